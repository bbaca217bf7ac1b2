//! How much in which time: the message rate, the messages of the day, and how often a strategy traded.

use super::firm::{Fault, Firm, Num, OWNERS};
use super::verdict::strategy_of;
use crate::risk::LimitId;
use alloc::vec;
use tern_abi::segment::{ScopeKind, TradingState};

/// A window of executions moves on in eighths; so many of them besides the present one are counted.
const EIGHTHS: Num = 8;

impl Firm {
    /// When the rate would be as if nothing had been sent.
    pub(super) fn rate_full_at(&self) -> Num {
        self.messages.iter().fold(0, |full, (at, token)| full.max(Num::from(*at)) + token)
    }
    /// What a message takes of the rate, ns; `None` when there is no rate.
    pub(super) fn token(&self) -> Option<Num> {
        let rate = self.bound(LimitId::OrdersPerSecondMax);
        (rate > 0).then(|| (1_000_000_000 + rate - 1) / rate)
    }
    /// The rate was `before`. Once raised, what was taken comes back at the new one; what was left by none is the whole bucket at
    /// most.
    pub(super) fn change_rate(&mut self, before: Option<Num>) {
        let (Some(token), taken) = (self.token(), self.rate_full_at() - Num::from(self.now)) else { return };
        if taken <= 0 || before.is_some_and(|before| token >= before) {
            return;
        }
        let bucket = token * (self.bound(LimitId::OrderBurstMax) + self.bound(LimitId::CancelReserve));
        let taken = before.map_or(taken.min(bucket), |before| (taken * token + before - 1) / before);
        self.messages = vec![(self.now, taken)];
    }

    /// A message is sent, by the system itself or not.
    pub(super) fn take_message(&mut self, system: bool) {
        let token = self.token().unwrap_or(0);
        self.messages.push((self.now, token));
        let counts = !system || self.fault != Some(Fault::FreeCancels);
        self.day = (self.day + Num::from(counts)).min(u32::MAX.into());
    }

    /// The venue's log was told: as many ids as were used are messages of the day at least.
    pub(super) fn learn_messages(&mut self) {
        if self.fault != Some(Fault::IdsUnheard) {
            self.day = self.day.max(Num::from(self.next_id) - 1);
        }
    }

    /// A strategy traded. What the venue's log tells is of the past, and the house has no strategy to be stopped.
    pub(super) fn count_execution(&mut self, owner: usize) {
        let window = self.bound(LimitId::ExecutionsWindowNs);
        let is_of_now = self.caught_up || self.fault == Some(Fault::LogCounts);
        if !is_of_now || owner == OWNERS - 1 || window <= 0 {
            return;
        }
        let now = self.now;
        let is_in = |at: u64, window: Num| {
            let part = |at: u64| Num::from(at) / (window / EIGHTHS).max(1);
            part(at) + EIGHTHS >= part(now)
        };
        let (times, counted_in) = &mut self.executions[owner];
        if *counted_in != window {
            // What the old window still had is new in the new one.
            let forgets = self.fault == Some(Fault::WindowForgets);
            times.retain(|at| is_in(*at, *counted_in) && !forgets);
            times.fill(now);
            *counted_in = window;
        }
        times.push(now);
        let count = times.iter().filter(|at| is_in(**at, window)).count();
        if count as Num >= self.bound(LimitId::ExecutionsMax) && !self.throttled[owner] {
            self.throttled[owner] = true;
            self.stop_strategy(owner);
        }
    }

    /// Stopped as an operator would stop it, and what it has open is cancelled.
    pub(super) fn stop_strategy(&mut self, owner: usize) {
        let key = strategy_of(owner);
        let stricter = match self.said(ScopeKind::Strategy, key) {
            TradingState::Halted => TradingState::Halted,
            _ => TradingState::CancelOnly,
        };
        self.scopes.push((ScopeKind::Strategy, key, stricter));
        self.recall(false);
        self.want_cancels(|order| order.owner == owner);
    }

    /// An operator says how far a strategy may trade: anything but "cancel only" takes it over, and only "running" forgets
    /// what it traded.
    pub(super) fn take_over(&mut self, key: u64, state: TradingState) {
        let Some(owner) = (0..OWNERS).find(|owner| strategy_of(*owner) == key) else { return };
        if state != TradingState::CancelOnly {
            (self.throttled[owner], self.lost[owner]) = (false, false);
        }
        if state == TradingState::Running && self.fault != Some(Fault::Unforgotten) {
            self.executions[owner].0.clear();
        }
    }
}
