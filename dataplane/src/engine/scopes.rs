//! Scopes that the segment restricts: what changed there becomes a command, which is journaled before it takes effect.

use super::Engine;
use crate::clock::Clock;
use crate::net::OrderTransport;
use crate::observe::unkept_word;
use tern_abi::command::Command;
use tern_abi::command::SYSTEM_UID;
use tern_abi::counters::LoopCounter;
use tern_abi::record::Recorder;
use tern_abi::segment::{SCOPES, STRATEGIES, STRATEGY_STATE, STRATEGY_UNKEPT, Scope, ScopeKind, TradingState, Words};
use tern_core::feed::Feed;
use tern_core::input::Input;
use tern_core::probe::Isolate;
use tern_core::risk::Owner;
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_hw::port::Port;

/// What the pipeline was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScopesSeen {
    /// `None`: to be looked at again.
    version: Option<u64>,
    told: [Option<Scope>; SCOPES],
    /// Strategies that stand in the segment as stopped, a bit each.
    stopped: u32,
    /// Strategies that an earlier run had stopped without a place in the table, and of those the ones that the pipeline knows of.
    left: u32,
    left_told: u32,
}

impl ScopesSeen {
    /// Of a run that begins: what an earlier one left beside the table.
    pub(super) fn begin(words: &Words, owners: &[Owner]) -> Self {
        let left = (0..STRATEGIES).map(|index| words.strategies.get(index)).filter(|word| word & STRATEGY_UNKEPT != 0);
        let owner_of = |word: u64| owners.iter().find(|owner| u64::from(owner.strategy.0) == word >> 32);
        let left = left.filter_map(owner_of).fold(0, |left, owner| left | 1 << owner.index);
        Self { left, ..Self::default() }
    }

    /// Strategies that are stopped, by the pipeline or by an earlier run, and have no place in the table.
    pub(super) const fn unkept(&self, stopped: u32) -> u32 {
        (stopped | self.left) & !self.stopped
    }

    /// The next turn looks, whatever the version: who restricted a scope may have died before he counted it.
    pub(super) const fn look_again(&mut self) {
        self.version = None;
    }

    fn of(&self, scope: &Scope) -> Option<usize> {
        self.told.iter().position(|told| told.is_some_and(|told| is_same(&told, scope)))
    }
}

fn is_same(one: &Scope, other: &Scope) -> bool {
    (one.kind, one.key) == (other.kind, other.key)
}

impl<P, T, R, C, I, F, O, S> Engine<'_, P, T, R, C, I, F, O, S>
where
    P: Port,
    T: OrderTransport<P>,
    R: Recorder,
    C: Clock,
    I: Isolate,
    F: Feed,
    O: OrderSession,
    S: StrategySet,
{
    /// A strategy that the pipeline stopped stands in the segment, where an operator finds it and lets
    /// it go on, and where it outlives this run.
    #[inline]
    pub(super) fn tell_stopped(&mut self) {
        let stopped = self.parts.pipeline.desk().gate().scopes().stopped() | self.scopes.left;
        if stopped != self.scopes.stopped {
            self.write_stopped(stopped);
        }
    }

    #[cold]
    fn write_stopped(&mut self, stopped: u32) {
        self.tell_left();
        // What runs again may be stopped again.
        self.scopes.stopped &= stopped;
        for owner in self.parts.pipeline.desk().owners() {
            let bit = 1 << owner.index;
            if stopped & !self.scopes.stopped & bit == 0 {
                continue;
            }
            let scope = Scope {
                kind: ScopeKind::Strategy,
                key: owner.strategy.0.into(),
                state: TradingState::CancelOnly,
                uid: SYSTEM_UID,
                since_ns: self.parts.clock.now().0,
                changes: 0,
            };
            // A table without room is tried again: without a place in it nobody could lift the restriction. Until then the
            // strategy's own word says that it is stopped, should this run end.
            if self.parts.words.scopes.restrict(&scope).is_ok() {
                self.scopes.stopped |= bit;
            } else {
                let word = self.parts.words.strategies.get(owner.index.into()) & STRATEGY_STATE;
                self.parts.words.strategies.set(owner.index.into(), word | unkept_word(owner.strategy.0));
            }
        }
    }

    /// Tells the pipeline of strategies that an earlier run had stopped, and that no place of the table names.
    fn tell_left(&mut self) {
        for index in 0..STRATEGIES {
            let bit = 1 << index;
            let Some(owner) = self.parts.pipeline.desk().owners().get(index) else { return };
            if self.scopes.left & !self.scopes.left_told & bit == 0 {
                continue;
            }
            let (key, state) = (owner.strategy.0.into(), TradingState::CancelOnly);
            let command = Command::set_state(ScopeKind::Strategy, key, state, SYSTEM_UID);
            // One that cannot be recorded is acted on all the same, and comes again.
            if self.input(self.parts.clock.now(), Input::Command(&command)).is_ok() {
                self.scopes.left_told |= bit;
            }
        }
    }

    /// Acts on scopes that changed. Also on those that an earlier run left restricted: its first turn has seen none.
    #[inline]
    pub(super) fn heed_scopes(&mut self) -> bool {
        let version = self.parts.words.scopes.version();
        Some(version) != self.scopes.version && self.take_scopes(version)
    }

    /// Whether all that stands in the scopes now is recorded and in force.
    pub(super) fn knows_scopes(&self) -> bool {
        self.scopes.version == Some(self.parts.words.scopes.version())
    }

    #[cold]
    fn take_scopes(&mut self, version: u64) -> bool {
        let words = self.parts.words;
        let (mut is_told, mut is_new) = (true, false);
        for scope in words.scopes.iter() {
            // Of a scope that stands there twice, the strictest.
            let Some(scope) = words.scopes.find(scope.kind, scope.key) else { continue };
            self.tell_scope(&scope, &mut is_told, &mut is_new);
        }
        // One that is not there, or cannot be read, stays as it is: only a word that says so lifts a restriction.
        // What could not be told is told by the next turn.
        if is_told {
            self.scopes.version = Some(version);
            words.scopes_seen.set(version);
        }
        is_new
    }

    /// Tells the pipeline of a scope, unless it knows: then that is new, and told if there was room to record it.
    fn tell_scope(&mut self, scope: &Scope, is_told: &mut bool, is_new: &mut bool) {
        let known = self.scopes.of(scope);
        let told = known.and_then(|index| self.scopes.told[index]).map_or(TradingState::Running, |told| told.state);
        if told == scope.state {
            return;
        }
        *is_new = true;
        let runs = |told: &Option<Scope>| told.is_none_or(|told| told.state == TradingState::Running);
        let Some(place) = known.or_else(|| self.scopes.told.iter().position(runs)) else {
            *is_told = false;
            return;
        };
        if (scope.kind, scope.state) == (ScopeKind::Strategy, TradingState::Running) {
            // Should it be stopped again before the next turn looks, that is new.
            let owners = self.parts.pipeline.desk().owners().iter();
            let bits = owners.filter(|owner| u64::from(owner.strategy.0) == scope.key).map(|owner| 1 << owner.index);
            let runs = !bits.fold(0, |all, bit: u32| all | bit);
            self.scopes.stopped &= runs;
            self.scopes.left &= runs;
            self.scopes.left_told &= runs;
        }
        let command = Command::set_state(scope.kind, scope.key, scope.state, scope.uid);
        let next_id = self.parts.pipeline.next_order_id();
        let open = self.parts.pipeline.desk().open_orders_of_then(next_id, scope.kind, scope.key);
        // A restriction that cannot be recorded restricts all the same, and comes again until it is.
        if self.input(self.parts.clock.now(), Input::Command(&command)).is_err() {
            *is_told = false;
            return;
        }
        self.scopes.told[place] = Some(*scope);
        if scope.state == TradingState::Halted {
            self.follow_cancels(next_id, (scope.kind, scope.key), open);
        }
        self.parts.words.counters.add(LoopCounter::ScopeChanges, 1);
    }
}
