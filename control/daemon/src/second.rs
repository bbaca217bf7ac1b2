//! A second person: a command that two users have to ask for, the one within a time after the other.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who asked first, for what, and until when another may.
#[derive(Debug)]
struct Pending {
    what: String,
    uid: u32,
    until: Instant,
}

/// See the module. One command waits at a time: another one takes its place.
#[derive(Debug, Default)]
pub(crate) struct SecondPerson(Mutex<Option<Pending>>);

impl SecondPerson {
    /// `uid` asks for `what` (the command with everything that it says) at `now`: whether another user has asked for the very same
    /// and there was time. What was confirmed waits no more.
    pub(crate) fn confirms(&self, what: &str, uid: u32, now: Instant, within: Duration) -> bool {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_confirmed =
            pending.as_ref().is_some_and(|first| first.what == what && first.uid != uid && now < first.until);
        *pending = (!is_confirmed).then(|| Pending { what: what.to_owned(), uid, until: now + within });
        is_confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_users_have_to_ask_for_the_same_within_the_time() {
        let (second, now, within) = (SecondPerson::default(), Instant::now(), Duration::from_secs(60));
        let ask = |what, uid, seconds| second.confirms(what, uid, now + Duration::from_secs(seconds), within);
        assert!(!ask("resume 3", 1, 0));
        assert!(!ask("resume 3", 1, 1), "the same person twice");
        assert!(!ask("resume 4", 2, 2), "somebody killed between");
        assert!(!ask("resume 4", 1, 62), "too late: this is a first one");
        assert!(ask("resume 4", 2, 63));
        assert!(!ask("resume 4", 1, 64), "done once, it is not done again");
    }
}
