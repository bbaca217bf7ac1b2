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

/// One scope. `meta`: bits 0 to 7 the state, bits 8 to 15 the kind + 1 or [`CLAIMED`], upper half the user id; 0 is a free
/// place. It is written last.
#[repr(C)]
#[derive(Debug, Default)]
struct Place {
    meta: AtomicU64,
    key: AtomicU64,
    since_ns: AtomicU64,
}

/// In place of the kind: somebody is writing the rest. Should he die over it, the place is lost, not the table.
const CLAIMED: u64 = 0xFF00;

const fn meta_of(kind: ScopeKind, state: TradingState, uid: u32) -> u64 {
    (uid as u64) << 32 | (kind as u64 + 1) << 8 | state as u64
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
                return Some(Scope { kind, key, state, uid: (meta >> 32) as u32, since_ns });
            }
        }
        None
    }

    /// Takes the place, which said `meta`, for another scope.
    fn take(&self, meta: u64, scope: &Scope) -> bool {
        if self.meta.compare_exchange(meta, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        self.key.store(scope.key, Ordering::Relaxed);
        self.since_ns.store(scope.since_ns, Ordering::Relaxed);
        self.meta.store(meta_of(scope.kind, scope.state, scope.uid), Ordering::Release);
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

    /// What stands of one scope: the strictest, should two writers have entered it at once.
    pub fn find(&self, kind: ScopeKind, key: u64) -> Option<Scope> {
        self.iter().filter(|scope| (scope.kind, scope.key) == (kind, key)).max_by_key(|scope| scope.state as u8)
    }

    /// Restricts a scope to `scope.state`, never less than it is restricted already.
    ///
    /// # Errors
    /// [`ScopesFull`]; nothing changed.
    pub fn restrict(&self, scope: &Scope) -> Result<(), ScopesFull> {
        for place in &self.places {
            loop {
                let meta = place.meta.load(Ordering::Acquire);
                let Some(found) = place.read().filter(|found| (found.kind, found.key) == (scope.kind, scope.key))
                else {
                    break;
                };
                let state = if found.state as u8 > scope.state as u8 { found.state } else { scope.state };
                // Claimed first, so that nobody reads the new state with the old time.
                if place.take(meta, &Scope { state, ..*scope }) {
                    self.version.fetch_add(1, Ordering::AcqRel);
                    return Ok(());
                }
            }
        }
        let free = |meta: u64| meta == 0;
        let runs = |meta: u64| meta & 0xFF00 != CLAIMED && meta & 0xFF == TradingState::Running as u64;
        for is_usable in [free as fn(u64) -> bool, runs] {
            for place in &self.places {
                let meta = place.meta.load(Ordering::Acquire);
                if is_usable(meta) && place.take(meta, scope) {
                    self.version.fetch_add(1, Ordering::AcqRel);
                    return Ok(());
                }
            }
        }
        Err(ScopesFull)
    }

    /// Lets a scope run again, if nobody restricted it since somebody saw it restricted at `seen_ns`.
    ///
    /// # Errors
    /// What stands there instead; it is as it was. `None`: nothing stands there.
    pub fn lift(&self, kind: ScopeKind, key: u64, seen_ns: u64, uid: u32, now_ns: u64) -> Result<(), Option<Scope>> {
        let mut lifted = false;
        for place in &self.places {
            let meta = place.meta.load(Ordering::Acquire);
            let Some(found) = place.read().filter(|found| (found.kind, found.key) == (kind, key)) else { continue };
            if found.state == TradingState::Running {
                continue;
            }
            let running = Scope { state: TradingState::Running, uid, since_ns: now_ns, ..found };
            if found.since_ns > seen_ns || !place.take(meta, &running) {
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
        Scope { kind, key, state, uid: 7, since_ns }
    }

    #[test]
    fn restricting_never_loosens_and_lifting_needs_to_have_seen_it() {
        let scopes = Scopes::default();
        let (kind, key) = (ScopeKind::Strategy, 3);
        scopes.restrict(&scope(kind, key, TradingState::CancelOnly, 10)).expect("room");
        scopes.restrict(&scope(kind, key, TradingState::ReduceOnly, 20)).expect("its own place");
        assert_eq!(scopes.find(kind, key), Some(scope(kind, key, TradingState::CancelOnly, 20)), "said again later");
        let found = scopes.lift(kind, key, 10, 8, 30);
        assert_eq!(found, Err(Some(scope(kind, key, TradingState::CancelOnly, 20))), "somebody came after 10");
        let before = scopes.version();
        scopes.lift(kind, key, 20, 8, 30).expect("seen");
        assert!(scopes.version() > before);
        assert_eq!((scopes.restricted().count(), scopes.iter().count()), (0, 1));
        assert_eq!(scopes.lift(kind, key, 99, 8, 40), Err(None), "it runs");
        assert_eq!(scopes.lift(ScopeKind::Symbol, 1, 99, 8, 40), Err(None));
    }

    #[test]
    fn a_full_table_says_so_and_places_of_what_runs_are_used_again() {
        let scopes = Scopes::default();
        for key in 0..SCOPES as u64 {
            scopes.restrict(&scope(ScopeKind::Symbol, key, TradingState::Halted, key)).expect("room");
        }
        let more = scope(ScopeKind::Firm, 0, TradingState::ReduceOnly, 99);
        assert_eq!(scopes.restrict(&more), Err(ScopesFull));
        assert_eq!(scopes.restricted().count(), SCOPES);
        scopes.lift(ScopeKind::Symbol, 5, 99, 1, 100).expect("seen");
        scopes.restrict(&more).expect("the place of what runs");
        assert_eq!(scopes.find(ScopeKind::Symbol, 5), None);
        let kinds: Vec<ScopeKind> = scopes.restricted().map(|scope| scope.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == ScopeKind::Firm).count(), 1);
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
