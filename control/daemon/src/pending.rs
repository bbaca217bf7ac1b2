//! What is done by hand and waits for a second person: it is asked for by one user, and done when another one confirms it by its
//! number. A bounded number waits for a bounded time; nothing waits longer than the daemon lives.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tern_abi::manual::ManualCommand;
use tern_config::facts::PendingFact;

/// So many wait at once: more are refused.
pub(crate) const PENDING_MAX: usize = 16;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) command: ManualCommand,
    pub(crate) fact: PendingFact,
    until: Instant,
}

/// See the module. What was confirmed is told among [`facts`](Self::facts) until it was handed over: a daemon that is killed
/// in between leaves word of it.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    waiting: Vec<Waiting>,
    confirmed: Vec<PendingFact>,
}

/// Why nothing is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotConfirmed {
    /// Nothing with this number waits, any more or at all.
    Absent,
    /// Whoever asked for it is no second person.
    Same,
}

impl Pending {
    /// Has `command` wait until `now` is `within` later; whether there was room.
    pub(crate) fn add(&self, command: ManualCommand, fact: PendingFact, now: Instant, within: Duration) -> bool {
        let all = &mut self.lock().waiting;
        let has_room = all.len() < PENDING_MAX;
        if has_room {
            all.push(Waiting { command, fact, until: now + within });
        }
        has_room
    }

    /// What waits, oldest first, and what is being handed over.
    pub(crate) fn facts(&self) -> Vec<PendingFact> {
        let lists = self.lock();
        let waiting = lists.waiting.iter().map(|waiting| waiting.fact.clone());
        waiting.chain(lists.confirmed.iter().cloned()).collect()
    }

    /// The one with this number, to be looked at.
    pub(crate) fn find(&self, id: u64) -> Option<Waiting> {
        self.lock().waiting.iter().find(|waiting| waiting.fact.id == id).cloned()
    }

    /// Takes out what `uid` confirms at `now`: it is done once.
    ///
    /// # Errors
    /// Why it is not confirmed.
    pub(crate) fn confirm(&self, id: u64, uid: u32, now: Instant) -> Result<Waiting, NotConfirmed> {
        let Lists { waiting: all, confirmed } = &mut *self.lock();
        let found = all.iter().position(|waiting| waiting.fact.id == id && now < waiting.until);
        let place = found.ok_or(NotConfirmed::Absent)?;
        if all[place].fact.uid == uid {
            return Err(NotConfirmed::Same);
        }
        let taken = all.remove(place);
        confirmed.push(PendingFact { confirmed_by: Some(uid), ..taken.fact.clone() });
        Ok(taken)
    }

    /// What was confirmed under this number is handed over, or over without that.
    pub(crate) fn handed_over(&self, id: u64) {
        self.lock().confirmed.retain(|fact| fact.id != id);
    }

    /// Takes out what nobody confirmed until `now`.
    pub(crate) fn lapsed(&self, now: Instant) -> Vec<Waiting> {
        let all = &mut self.lock().waiting;
        let (lapsed, left) = all.drain(..).partition(|waiting| now >= waiting.until);
        *all = left;
        lapsed
    }

    /// Takes out everything.
    pub(crate) fn drop_all(&self) -> Vec<Waiting> {
        std::mem::take(&mut self.lock().waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::manual::ManualKind;

    #[test]
    fn another_user_confirms_once_and_in_time_and_no_more_wait_than_there_is_room_for() {
        let (pending, now, within) = (Pending::default(), Instant::now(), Duration::from_secs(60));
        let at = |seconds| now + Duration::from_secs(seconds);
        let ask = |id, uid, seconds| {
            let command = ManualCommand::new(ManualKind::Order, id, uid, "a test");
            pending.add(command, PendingFact { id, uid, ..PendingFact::default() }, at(seconds), within)
        };
        assert!(ask(1, 1000, 0));
        assert_eq!(pending.confirm(1, 1000, at(1)).err(), Some(NotConfirmed::Same));
        assert_eq!(pending.confirm(2, 1001, at(1)).err(), Some(NotConfirmed::Absent));
        assert_eq!(pending.confirm(1, 1001, at(60)).err(), Some(NotConfirmed::Absent), "too late");
        let done = pending.confirm(1, 1001, at(59)).expect("another user, in time");
        assert_eq!((done.command.request, done.command.uid), (1, 1000));
        let told: Vec<(u64, Option<u32>)> = pending.facts().iter().map(|fact| (fact.id, fact.confirmed_by)).collect();
        assert_eq!(told, [(1, Some(1001))], "until it is handed over");
        pending.handed_over(1);
        assert!(pending.facts().is_empty());
        assert_eq!(pending.confirm(1, 1001, at(59)).err(), Some(NotConfirmed::Absent), "once");
        for id in 0..PENDING_MAX as u64 {
            assert!(ask(id, 1000, id), "{id}");
        }
        assert!(!ask(99, 1000, 0));
        let lapsed: Vec<u64> = pending.lapsed(at(61)).iter().map(|waiting| waiting.fact.id).collect();
        assert_eq!((lapsed, pending.facts().len()), (vec![0, 1], PENDING_MAX - 2));
        assert_eq!((pending.drop_all().len(), pending.facts().len()), (PENDING_MAX - 2, 0));
    }
}
