//! What of an allotment is used: it cannot be given away, for the other instance might use it as well.

use std::time::{Duration, Instant};

use tern_abi::segment::{HoldingsState, NOT_MEASURED, UsageState, Words};
use tern_config::ledger::Move;

/// How long the data plane is waited for to have looked at all of its positions: with 12,000 instruments a look takes two
/// seconds, and the lock is held meanwhile. A move that is finished later waits no second time.
const LOOK_PATIENCE: Duration = Duration::from_millis(2500);

/// What the data plane said last.
struct Said {
    usage: Option<UsageState>,
    holdings: Option<HoldingsState>,
}

impl Said {
    fn read(words: &Words) -> Self {
        Self { usage: words.usage.read(), holdings: words.holdings.read() }
    }

    /// What uses the limit with this name and index, in its unit, as it was at `since_ns` (TAI) or later; `None` when that was
    /// not said yet. Of a rate nothing stays used.
    fn used(&self, limit: &str, index: usize, since_ns: u64) -> Option<i64> {
        match limit {
            "orders_per_second_max" => Some(0),
            // As one look through all positions found them, which takes its time.
            "position_max" => {
                let found = self.holdings.filter(|found| found.began_ns >= since_ns)?;
                Some(found.positions[0].worst())
            }
            _ => {
                let usage = self.usage.filter(|usage| usage.tai_ns >= since_ns)?;
                usage.used.get(index).copied().filter(|used| *used != NOT_MEASURED)
            }
        }
    }
}

/// Whether no more is used than would be left, as far as is known now: the usual mistake, found before anything is changed.
///
/// # Errors
/// More is used, and what to do.
pub(super) fn may_leave(words: &Words, limit: &str, index: usize, left: i64) -> Result<(), String> {
    known_since(words, limit, index, 0).map_or(Ok(()), |used| is_within(limit, used, left))
}

/// What the data plane said last that it uses, if it said so at `since_ns` (TAI) or later, in the limit's unit.
pub(super) fn known_since(words: &Words, limit: &str, index: usize, since_ns: u64) -> Option<i64> {
    Said::read(words).used(limit, index, since_ns)
}

/// Waits until the data plane says that no more than `most` is used. Under a limit in force since `since_ns`, it cannot become
/// more after that.
///
/// # Errors
/// More is used, or it is not known yet, and what to do.
pub(super) fn fits(words: &Words, moving: &Move, index: usize, most: i64, since_ns: u64) -> Result<(), String> {
    let deadline = Instant::now() + LOOK_PATIENCE;
    loop {
        if let Some(used) = known_since(words, &moving.limit, index, since_ns) {
            return is_within(&moving.limit, used, most);
        }
        if Instant::now() >= deadline {
            return Err(format!("the data plane has not said yet what it uses of {}", moving.limit));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether what is used fits into what would be left.
///
/// # Errors
/// It does not, and what to do.
pub(super) fn is_within(limit: &str, used: i64, most: i64) -> Result<(), String> {
    if used <= most {
        return Ok(());
    }
    Err(format!("{used} of {limit} are used here, and {most} would be left: close or cancel first, or move less"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::command::LIMITS_MAX;
    use tern_abi::segment::ShownPosition;

    #[test]
    fn what_is_used_is_as_the_data_plane_said_after_the_limit_was_in_force() {
        let mut said = Said { usage: None, holdings: None };
        assert_eq!(said.used("gross_max", 1, 0), None, "nothing was said");
        let mut usage = UsageState { tai_ns: 50, reduce_only: 0, high_water: 0, used: [NOT_MEASURED; LIMITS_MAX] };
        usage.used[1] = 80;
        said.usage = Some(usage);
        assert_eq!((said.used("gross_max", 1, 50), said.used("gross_max", 1, 51)), (Some(80), None));
        assert_eq!(said.used("net_max", 2, 50), None, "nothing is measured");
        assert_eq!(said.used("orders_per_second_max", 3, u64::MAX), Some(0));
        assert_eq!(is_within("gross_max", 80, 80), Ok(()));
        let above = is_within("gross_max", 80, 79).expect_err("80 are used");
        assert!(above.starts_with("80 of gross_max are used here, and 79 would be left"), "{above}");
    }

    #[test]
    fn a_position_counts_with_its_open_orders_and_only_from_a_look_that_began_after() {
        let mut found = HoldingsState { began_ns: 50, ..HoldingsState::default() };
        found.positions[0] = ShownPosition { symbol: *b"TERN    ", shares: -60, open_buy: 0, open_sell: 40 };
        let said = Said { usage: None, holdings: Some(found) };
        assert_eq!((said.used("position_max", 0, 50), said.used("position_max", 0, 51)), (Some(100), None));
    }
}
