//! What clients did wrong: counted each time, said now and then.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Of each kind, a line in the log this often at most.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What a client of the control socket did that no client of ours does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misdeed {
    /// Too many connections.
    Refused,
    /// No request.
    Garbage,
    /// Another version of the protocol.
    OtherVersion,
    /// A line longer than any request.
    Oversized,
    /// A line that does not end.
    Slow,
    /// An answer that is not taken.
    Deaf,
    /// Nothing is asked.
    Idle,
}

impl Misdeed {
    /// The name that users see, and what it means.
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Refused => ("refused", "a connection was turned away: too many, or too many of the user"),
            Self::Garbage => ("garbage", "a line was no request"),
            Self::OtherVersion => ("other_version", "a request was of another version of the protocol"),
            Self::Oversized => ("oversized", "a line was longer than any request; the connection was ended"),
            Self::Slow => ("slow", "a line did not end in time; the connection was ended"),
            Self::Deaf => ("deaf", "an answer was not taken in time; the connection was ended"),
            Self::Idle => ("idle", "nothing was asked for too long; the connection was ended"),
        }
    }
}

/// Counts of them.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, Count>>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    said: u64,
    at: Option<Instant>,
}

impl Tally {
    /// Counts one of the user `uid`.
    pub(crate) fn note(&self, misdeed: Misdeed, uid: u32) {
        if let Some((all, new)) = self.count(misdeed, Instant::now()) {
            let (name, what) = misdeed.told();
            tracing::warn!(uid, all, new, "control socket: {name}: {what}");
        }
    }

    /// All so far and those since the last line, when there is to be one.
    fn count(&self, misdeed: Misdeed, now: Instant) -> Option<(u64, u64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(misdeed.told().0).or_default();
        count.all += 1;
        if count.at.is_some_and(|at| now.duration_since(at) < SAY_EVERY) {
            return None;
        }
        let new = count.all - count.said;
        (count.said, count.at) = (count.all, Some(now));
        Some((count.all, new))
    }

    /// By name, those that happened.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(name, count)| ((*name).to_owned(), count.all)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_and_a_flood_is_a_line_now_and_then() {
        let (tally, start) = (Tally::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(tally.count(Misdeed::Garbage, at(0)), Some((1, 1)));
        for _ in 0..1000 {
            assert_eq!(tally.count(Misdeed::Garbage, at(9)), None);
        }
        assert_eq!(tally.count(Misdeed::Slow, at(9)), Some((1, 1)), "of its own");
        assert_eq!(tally.count(Misdeed::Garbage, at(10)), Some((1002, 1001)));
        assert_eq!(tally.counts(), BTreeMap::from([("garbage".into(), 1002), ("slow".into(), 1)]));
    }
}
