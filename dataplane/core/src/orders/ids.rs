//! Order ids: one allocator an account.

use crate::units::OrderId;

/// Gives out strictly increasing ids (OUCH 5.0, 1.2: UserRefNum is unique and strictly increasing an account and day).
///
/// Ids that the venue left unused (a replace that came too late) are never given out again: harmless, and nothing has
/// to be known about what the venue did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderIds {
    next: u32,
}

impl OrderIds {
    /// Starts at `next`, or at 1: the greatest of what the journal, the segment and the venue know.
    pub const fn starting_at(next: u32) -> Self {
        Self { next: if next == 0 { 1 } else { next } }
    }

    /// The id that the next order gets; `None` when the day's ids are used up.
    #[inline]
    pub const fn peek(&self) -> Option<OrderId> {
        if self.next == u32::MAX { None } else { Some(OrderId(self.next)) }
    }

    /// The number of the id that the next order gets.
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// `id` is in use: never give out it or one below it.
    #[inline]
    pub fn used(&mut self, id: OrderId) {
        self.next = self.next.max(id.0.saturating_add(1));
    }

    /// The venue accepts nothing below `next`.
    pub fn at_least(&mut self, next: OrderId) {
        self.next = self.next.max(next.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_only_grow() {
        let mut ids = OrderIds::starting_at(0);
        assert_eq!(ids.peek(), Some(OrderId(1)));
        ids.used(OrderId(1));
        ids.at_least(OrderId(40));
        ids.at_least(OrderId(7));
        ids.used(OrderId(3));
        assert_eq!(ids.peek(), Some(OrderId(40)));
    }

    #[test]
    fn the_last_id_is_never_given_out() {
        let mut ids = OrderIds::starting_at(u32::MAX - 1);
        assert_eq!(ids.peek(), Some(OrderId(u32::MAX - 1)));
        ids.used(OrderId(u32::MAX - 1));
        assert_eq!(ids.peek(), None);
        ids.used(OrderId(u32::MAX));
        assert_eq!(ids.peek(), None);
    }
}
