//! What is open on the account, as the venue's log tells it.

use std::collections::BTreeMap;

use tern_soup::Said;

/// Open orders by id, with their open shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenOrders(BTreeMap<u32, u32>);

/// What a message did to an order that was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is open, under this id, and was not before.
    Opened(u32),
    /// The venue took shares off it; so many are left.
    Cancelled(u32, u32),
    /// So many shares of it traded.
    Executed(u32, u32),
}

impl OpenOrders {
    /// The next message of the log.
    pub(crate) fn take(&mut self, said: &Said) -> Option<Change> {
        match *said {
            Said::Accepted(echo) => echo.is_live.then(|| self.open(echo.order, echo.shares)),
            Said::Replaced { previous, echo } => {
                self.0.remove(&previous);
                echo.is_live.then(|| self.open(echo.order, echo.shares))
            }
            Said::Canceled { order, shares } => self.less(order, shares).map(|left| Change::Cancelled(order, left)),
            Said::Executed { order, shares, .. } => self.less(order, shares).map(|_| Change::Executed(order, shares)),
            Said::Modified { order, shares } => {
                self.less(order, u32::MAX)?;
                (shares > 0).then(|| self.open(order, shares))
            }
            Said::Broken { .. } | Said::Rejected { .. } | Said::Other { .. } | Said::Query => None,
        }
    }

    fn open(&mut self, order: u32, shares: u32) -> Change {
        self.0.insert(order, shares);
        Change::Opened(order)
    }

    /// Takes shares off an order; what is left of it, if it was open.
    fn less(&mut self, order: u32, shares: u32) -> Option<u32> {
        let open = self.0.get_mut(&order)?;
        *open = open.saturating_sub(shares);
        let left = *open;
        if left == 0 {
            self.0.remove(&order);
        }
        Some(left)
    }

    /// Ids, ascending.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.0.keys().copied().collect()
    }

    /// Ids and open shares, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().map(|(order, shares)| (*order, *shares))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_soup::Echo;

    fn echo(order: u32, shares: u32, is_live: bool) -> Echo {
        Echo { order, is_buy: true, shares, symbol: *b"TERN    ", price: 10_0000, cross: b'N', is_live }
    }

    #[test]
    fn the_log_says_what_is_open_under_which_id() {
        let mut open = OpenOrders::default();
        for (said, change) in [
            (Said::Accepted(echo(1, 100, true)), Some(Change::Opened(1))),
            (Said::Accepted(echo(2, 100, false)), None),
            (Said::Accepted(echo(3, 50, true)), Some(Change::Opened(3))),
            (
                Said::Executed { order: 1, shares: 30, price: 1, liquidity: b'A', match_number: 9 },
                Some(Change::Executed(1, 30)),
            ),
            (Said::Replaced { previous: 1, echo: echo(4, 70, true) }, Some(Change::Opened(4))),
            (Said::Canceled { order: 4, shares: 20 }, Some(Change::Cancelled(4, 50))),
            (Said::Canceled { order: 3, shares: 50 }, Some(Change::Cancelled(3, 0))),
            (Said::Modified { order: 4, shares: 40 }, Some(Change::Opened(4))),
            (Said::Canceled { order: 9, shares: 1 }, None),
            (Said::Rejected { order: 4 }, None),
        ] {
            assert_eq!(open.take(&said), change, "{said:?}");
        }
        assert_eq!((open.ids(), open.iter().collect::<Vec<_>>()), (vec![4], vec![(4, 40)]));
        open.take(&Said::Replaced { previous: 4, echo: echo(5, 40, false) });
        assert_eq!(open.len(), 0, "a replacement that is dead on arrival leaves nothing");
    }
}
