//! Scopes in which trading is restricted: a part of the firm's orders, and how far it may still trade.
//!
//! Like the kill word, the table is written by whoever may write the segment, with daemon and loop dead if need be: the
//! loop looks at its version every turn and takes what changed as a command, which is journaled. It lies in the segment,
//! so it outlives a restart of either process. Restricting is for every operator; lifting goes through the daemon.

use crate::counter_enum;
use core::sync::atomic::{AtomicU64, Ordering, fence};

counter_enum! {
    /// How far the orders of a scope may still trade; the later the stricter. Values are part of the layout.
    pub enum TradingState {
        Running = "running": "Everything that the limits allow.",
        ReduceOnly = "reduce_only": "Only what lowers the position, with every open order of that side filled.",
        CancelOnly = "cancel_only": "Only cancels.",
        Halted = "halted": "Only cancels; what was open is cancelled.",
    }
}

counter_enum! {
    /// What a scope is about. Values are part of the layout.
    pub enum ScopeKind {
        Firm = "firm": "Every order of this instance; the key is 0.",
        Venue = "venue": "The orders at one venue; the key is its id.",
        Strategy = "strategy": "The orders of one strategy; the key is its id.",
        Symbol = "symbol": "The orders in one symbol; the key is its eight bytes, little-endian.",
    }
}

/// Scopes that can be restricted at once.
pub const SCOPES: usize = 32;

/// A scope, its state, and who set it when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What it is about.
    pub kind: ScopeKind,
    /// Which one.
    pub key: u64,
    /// How far it may trade.
    pub state: TradingState,
    /// The user who said so; `u32::MAX` = the system itself.
    pub uid: u32,
    /// When, TAI ns.
    pub since_ns: u64,
    /// Changes of this scope so far, modulo 2^16: what a lifting has to have seen. Given by the table.
    pub changes: u16,
}

/// Every place of the table is taken: restrict a wider scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopesFull;

/// See the module.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Scopes {
    /// Counts changes.
    version: AtomicU64,
    places: [Place; SCOPES],
}

/// One scope. `meta`: bits 0 to 7 the state, bits 8 to 15 the kind + 1 or [`CLAIMED`], bits 16 to 31 the changes, upper half
/// the user id; 0 is a free place. A scope that has its place changes by one exchange of `meta`, so that nobody ever finds it
/// absent or half way; the time follows.
#[repr(C)]
#[derive(Debug, Default)]
struct Place {
    meta: AtomicU64,
    key: AtomicU64,
    since_ns: AtomicU64,
}

/// In place of the kind: somebody is writing the rest. Should he die over it, the place is lost, not the table.
const CLAIMED: u64 = 0xFF00;

/// A place of a scope that has run again for so long may be given to another: by then the loop knows that it runs.
const REUSE_NS: u64 = 10_000_000_000;

const fn meta_of(scope: &Scope) -> u64 {
    (scope.uid as u64) << 32 | (scope.changes as u64) << 16 | (scope.kind as u64 + 1) << 8 | scope.state as u64
}

impl Place {
    fn read(&self) -> Option<Scope> {
        // A place that changes while it is read is read again; then it is somebody else's turn to be right.
        for _ in 0..4 {
            let meta = self.meta.load(Ordering::Acquire);
            let (key, since_ns) = (self.key.load(Ordering::Relaxed), self.since_ns.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if self.meta.load(Ordering::Relaxed) == meta {
                let kind = ScopeKind::from_index(((meta >> 8 & 0xFF) as usize).checked_sub(1)?)?;
                let state = TradingState::from_index((meta & 0xFF) as usize)?;
                return Some(Scope {
                    kind,
                    key,
                    state,
                    uid: (meta >> 32) as u32,
                    since_ns,
                    changes: (meta >> 16) as u16,
                });
            }
        }
        None
    }

    /// The place holds this scope, which was `found` in it, and goes on holding it.
    fn change(&self, found: &Scope, state: TradingState, uid: u32, since_ns: u64) -> bool {
        let changed = Scope { state, uid, changes: found.changes.wrapping_add(1), ..*found };
        let (old, new) = (meta_of(found), meta_of(&changed));
        let done = self.meta.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if done {
            self.since_ns.store(since_ns, Ordering::Relaxed);
        }
        done
    }

    /// Takes the place, which said `meta`, for another scope.
    fn take(&self, meta: u64, scope: &Scope) -> bool {
        if self.meta.compare_exchange(meta, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        // Who reads the new key finds that the place was claimed.
        fence(Ordering::Release);
        self.key.store(scope.key, Ordering::Relaxed);
        self.since_ns.store(scope.since_ns, Ordering::Relaxed);
        self.meta.store(meta_of(scope), Ordering::Release);
        true
    }
}

impl Scopes {
    /// Changes so far: what was read before this number was is not older than it.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Every scope that ever was restricted and whose place nobody needed since, those that run again included.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.places.iter().filter_map(Place::read)
    }

    /// The scopes that do not run.
    pub fn restricted(&self) -> impl Iterator<Item = Scope> + '_ {
        self.iter().filter(|scope| scope.state != TradingState::Running)
    }

    /// What stands of one scope: the strictest, and all changes seen, should two writers have entered it at once.
    pub fn find(&self, kind: ScopeKind, key: u64) -> Option<Scope> {
        let mine = || self.iter().filter(|scope| (scope.kind, scope.key) == (kind, key));
        let changes = mine().map(|scope| scope.changes).max()?;
        mine().max_by_key(|scope| scope.state as u8).map(|scope| Scope { changes, ..scope })
    }

    /// Restricts a scope to `scope.state`, never less than it is restricted already.
    ///
    /// # Errors
    /// [`ScopesFull`]; nothing changed.
    pub fn restrict(&self, scope: &Scope) -> Result<(), ScopesFull> {
        self.restrict_in_the_name_of(scope, |_| scope.uid)
    }

    /// As [`restrict`](Self::restrict), for what restricts beside users: whoever restricted the scope before is still named, as it is
    /// still for him to lift.
    ///
    /// # Errors
    /// As [`restrict`](Self::restrict).
    pub fn restrict_beside(&self, scope: &Scope) -> Result<(), ScopesFull> {
        let is_restricted = |found: &Scope| found.state != TradingState::Running;
        self.restrict_in_the_name_of(scope, |found| if is_restricted(found) { found.uid } else { scope.uid })
    }

    fn restrict_in_the_name_of(&self, scope: &Scope, name: impl Fn(&Scope) -> u32) -> Result<(), ScopesFull> {
        for place in &self.places {
            while let Some(found) = place.read().filter(|found| (found.kind, found.key) == (scope.kind, scope.key)) {
                let state = if found.state as u8 > scope.state as u8 { found.state } else { scope.state };
                if place.change(&found, state, name(&found), scope.since_ns) {
                    self.version.fetch_add(1, Ordering::AcqRel);
                    return Ok(());
                }
            }
        }
        let scope = &Scope { changes: 1, ..*scope };
        let is_free = |place: &Place| place.meta.load(Ordering::Acquire) == 0;
        let runs_long = |place: &Place| {
            let long_ago = scope.since_ns.saturating_sub(REUSE_NS);
            place.read().is_some_and(|found| found.state == TradingState::Running && found.since_ns < long_ago)
        };
        for place in
            self.places.iter().filter(|place| is_free(place)).chain(self.places.iter().filter(|p| runs_long(p)))
        {
            let meta = place.meta.load(Ordering::Acquire);
            let is_restricted = meta != 0 && meta & 0xFF != TradingState::Running as u64;
            if !is_restricted && meta & 0xFF00 != CLAIMED && place.take(meta, scope) {
                self.version.fetch_add(1, Ordering::AcqRel);
                return Ok(());
            }
        }
        Err(ScopesFull)
    }

    /// Lets a scope run again, if it did not change since somebody saw it with so many `changes`.
    ///
    /// # Errors
    /// What stands there instead; it is as it was. `None`: nothing stands there.
    pub fn lift(&self, kind: ScopeKind, key: u64, changes: u16, uid: u32, now_ns: u64) -> Result<(), Option<Scope>> {
        self.loosen(&Scope { kind, key, state: TradingState::Running, uid, since_ns: now_ns, changes })
    }

    /// As [`lift`](Self::lift), down to `wanted.state` and no further; of a scope that has changed no more than `wanted.changes`. One that
    /// is restricted less stays as it is, one that is just there is restricted in the name of `wanted.uid` from here on.
    ///
    /// # Errors
    /// As [`lift`](Self::lift).
    pub fn loosen(&self, wanted: &Scope) -> Result<(), Option<Scope>> {
        let Scope { kind, key, state, uid, since_ns, changes } = *wanted;
        let restricted = |found: &Scope| {
            (found.kind, found.key) == (kind, key) && {
                found.state != TradingState::Running && found.state as u8 >= state as u8
            }
        };
        let mut lifted = false;
        for place in &self.places {
            let Some(found) = place.read().filter(restricted) else { continue };
            if found.changes > changes || !place.change(&found, state, uid, since_ns) {
                return Err(self.find(kind, key));
            }
            lifted = true;
        }
        self.version.fetch_add(1, Ordering::AcqRel);
        if lifted { Ok(()) } else { Err(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn scope(kind: ScopeKind, key: u64, state: TradingState, since_ns: u64) -> Scope {
        Scope { kind, key, state, uid: 7, since_ns, changes: 0 }
    }

    #[test]
    fn what_restricts_beside_users_leaves_their_restriction_theirs() {
        let scopes = Scopes::default();
        let (kind, key) = (ScopeKind::Firm, 0);
        let beside = |state, at| Scope { uid: 99, ..scope(kind, key, state, at) };
        scopes.restrict_beside(&beside(TradingState::CancelOnly, 10)).expect("room");
        assert_eq!(scopes.find(kind, key).map(|found| found.uid), Some(99), "nobody had restricted it");
        scopes.restrict(&scope(kind, key, TradingState::ReduceOnly, 20)).expect("its own place");
        scopes.restrict_beside(&beside(TradingState::Halted, 30)).expect("its own place");
        let found = scopes.find(kind, key).expect("there");
        assert_eq!((found.state, found.uid), (TradingState::Halted, 7));
        scopes.loosen(&Scope { changes: found.changes, ..beside(TradingState::Running, 40) }).expect("it was seen");
        scopes.restrict_beside(&beside(TradingState::CancelOnly, 50)).expect("its own place");
        assert_eq!(scopes.find(kind, key).map(|found| found.uid), Some(99), "it ran between");
    }

    #[test]
    fn restricting_never_loosens_and_lifting_needs_to_have_seen_it() {
        let scopes = Scopes::default();
        let (kind, key) = (ScopeKind::Strategy, 3);
        scopes.restrict(&scope(kind, key, TradingState::CancelOnly, 10)).expect("room");
        scopes.restrict(&scope(kind, key, TradingState::ReduceOnly, 20)).expect("its own place");
        let found = Scope { changes: 2, ..scope(kind, key, TradingState::CancelOnly, 20) };
        assert_eq!(scopes.find(kind, key), Some(found), "said again later");
        assert_eq!(scopes.lift(kind, key, 1, 8, 30), Err(Some(found)), "somebody came after the first");
        let before = scopes.version();
        scopes.lift(kind, key, 2, 8, 30).expect("seen");
        assert!(scopes.version() > before);
        assert_eq!((scopes.restricted().count(), scopes.iter().count()), (0, 1));
        assert_eq!(scopes.lift(kind, key, 3, 8, 40), Err(None), "it runs");
        assert_eq!(scopes.lift(ScopeKind::Symbol, 1, 1, 8, 40), Err(None));
    }

    #[test]
    fn loosening_stops_where_it_was_told_to() {
        let scopes = Scopes::default();
        let at = |state, changes| Scope { changes, ..scope(ScopeKind::Firm, 0, state, 5) };
        scopes.restrict(&at(TradingState::Halted, 0)).expect("room");
        assert!(scopes.loosen(&at(TradingState::ReduceOnly, 0)).is_err(), "of what was it seen?");
        scopes.loosen(&at(TradingState::ReduceOnly, 1)).expect("seen");
        assert_eq!(scopes.find(ScopeKind::Firm, 0), Some(at(TradingState::ReduceOnly, 2)));
        assert_eq!(scopes.loosen(&at(TradingState::CancelOnly, 2)), Err(None), "that would restrict it");
        assert_eq!(scopes.find(ScopeKind::Firm, 0), Some(at(TradingState::ReduceOnly, 2)));
        scopes.loosen(&Scope { uid: 8, ..at(TradingState::ReduceOnly, 2) }).expect("in another name");
        assert_eq!(scopes.find(ScopeKind::Firm, 0), Some(Scope { uid: 8, ..at(TradingState::ReduceOnly, 3) }));
    }

    #[test]
    fn a_full_table_says_so_and_places_of_what_has_run_for_long_are_used_again() {
        let scopes = Scopes::default();
        for key in 0..SCOPES as u64 {
            scopes.restrict(&scope(ScopeKind::Symbol, key, TradingState::Halted, key)).expect("room");
        }
        let more = |since_ns| scope(ScopeKind::Firm, 0, TradingState::ReduceOnly, since_ns);
        assert_eq!(scopes.restrict(&more(99)), Err(ScopesFull));
        assert_eq!(scopes.restricted().count(), SCOPES);
        scopes.lift(ScopeKind::Symbol, 5, 1, 1, 100).expect("seen");
        assert_eq!(scopes.restrict(&more(100 + REUSE_NS)), Err(ScopesFull), "the loop may not have looked yet");
        scopes.restrict(&more(101 + REUSE_NS)).expect("the place of what runs");
        assert_eq!(scopes.find(ScopeKind::Symbol, 5), None);
        let kinds: Vec<ScopeKind> = scopes.restricted().map(|scope| scope.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == ScopeKind::Firm).count(), 1);
    }

    /// Two that restrict again and again, one that lifts what it saw, and one that looks: a scope is never absent, and what
    /// it says was said.
    #[test]
    fn whoever_looks_finds_the_scope_whatever_the_others_do() {
        let scopes = Scopes::default();
        let halt = scope(ScopeKind::Strategy, 1, TradingState::Halted, 5);
        scopes.restrict(&halt).expect("room");
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| (0..20_000).for_each(|_| scopes.restrict(&halt).expect("its place")));
            }
            threads.spawn(|| {
                for _ in 0..20_000 {
                    let seen = scopes.find(halt.kind, halt.key).map_or(0, |found| found.changes);
                    let _ = scopes.lift(halt.kind, halt.key, seen, 9, 6);
                }
            });
            for _ in 0..20_000 {
                let meta = scopes.places[0].meta.load(Ordering::Acquire);
                assert_eq!(meta >> 8 & 0xFF, ScopeKind::Strategy as u64 + 1, "never absent");
            }
        });
        scopes.restrict(&halt).expect("its place");
        assert_eq!(scopes.find(halt.kind, halt.key).map(|found| found.state), Some(TradingState::Halted));
        assert_eq!(scopes.iter().count(), 1);
    }

    #[test]
    fn a_scope_that_two_entered_at_once_counts_at_its_strictest_and_is_lifted_as_one() {
        let scopes = Scopes::default();
        let (kind, key) = (ScopeKind::Symbol, 4);
        let entered = |state, changes| Scope { changes, ..scope(kind, key, state, 5) };
        assert!(scopes.places[3].take(0, &entered(TradingState::ReduceOnly, 2)));
        assert!(scopes.places[9].take(0, &entered(TradingState::Halted, 1)));
        assert_eq!(scopes.find(kind, key), Some(entered(TradingState::Halted, 2)));
        scopes.lift(kind, key, 2, 8, 9).expect("seen");
        assert_eq!(scopes.restricted().count(), 0);
    }

    #[test]
    fn bytes_that_nobody_wrote_are_no_scope() {
        let scopes = Scopes::default();
        for (place, meta) in scopes.places.iter().zip([u64::MAX, CLAIMED, 0x0109, 0x0900, 0x0003]) {
            place.meta.store(meta, Ordering::Relaxed);
        }
        assert_eq!(scopes.iter().count(), 0);
        scopes.restrict(&scope(ScopeKind::Venue, 1, TradingState::Halted, 1)).expect("there are other places");
        assert_eq!(scopes.restricted().count(), 1);
    }
}
