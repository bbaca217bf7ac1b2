//! Bounds of prices that were set by command: shown in the segment, and kept by a later run of the same trading day.

use super::Engine;
use crate::clock::Clock;
use crate::net::OrderTransport;
use tern_abi::command::{SYSTEM_UID, SetBounds, SetLimits};
use tern_abi::record::Recorder;
use tern_abi::segment::BoundsState;
use tern_core::feed::Feed;
use tern_core::probe::Isolate;
use tern_core::risk::{LimitId, Limits};
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::{Symbol, TaiNs};
use tern_hw::port::Port;

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
    /// Says which bounds a command put in force, if it did.
    pub(super) fn show_bounds(&self, command: &SetLimits, now: TaiNs) {
        if command.bounds.is_meant() {
            let mut state = self.shown_bounds();
            // Without a place they hold for this run alone. The daemon sends none of more symbols than there are places for.
            state.set(&command.bounds, (command.epoch, command.uid, now.0));
            self.parts.words.bounds.write(&state);
        }
    }

    /// What a run of this day left in force; nothing of another day.
    fn shown_bounds(&self) -> BoundsState {
        let day = self.config.day;
        let old = self.parts.words.bounds.read().filter(|old| old.day == day);
        old.unwrap_or(BoundsState { day, ..BoundsState::default() })
    }

    /// Gives the pipeline what was set in the day before this run, narrower or wider than its configuration: each a command
    /// of its own, recorded like any other. Whether all of it is done; what was given is not given again.
    pub(super) fn keep_bounds(&mut self) -> bool {
        let state = self.shown_bounds();
        // Those of another day are shown no more.
        self.parts.words.bounds.write(&state);
        for shown in state.shown() {
            let symbol = Symbol(shown.symbol);
            let Some(seen) = self.parts.pipeline.desk().gate().price_bounds(symbol) else {
                tracing::warn!(%symbol, "the configuration has no bounds of its price any more: what was set is not kept");
                continue;
            };
            // A price of the gate's fits: it is at most the highest that any order may have.
            let seen = [seen.0, seen.1].map(|price| u32::try_from(price.0).unwrap_or(u32::MAX));
            if seen == shown.prices {
                continue;
            }
            let limits = *self.limits();
            let values: [i64; LimitId::COUNT] = std::array::from_fn(|index| value(&limits, index));
            let epochs = (limits.epoch, limits.epoch.saturating_add(1));
            let why = "a new run: bounds of a price that were set before it";
            let bounds = SetBounds { symbol: shown.symbol, seen, wanted: shown.prices };
            let command = SetLimits { bounds, ..SetLimits::new(&values, epochs, SYSTEM_UID, why) };
            let now = self.parts.clock.now();
            if !self.set_limits(now, &command) {
                return false;
            }
        }
        true
    }
}

fn value(limits: &Limits, index: usize) -> i64 {
    LimitId::from_index(index).map_or(0, |id| limits.get(id))
}
