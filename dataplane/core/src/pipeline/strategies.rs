//! The lives of strategies: one that panics, or is too slow, is stopped alone, told of, and built anew when an operator lets it
//! go on.

use super::{Desk, Pipeline, PipelineCounter, STRATEGIES_MAX, Turn};
use crate::feed::Feed;
use crate::kept::KeptState;
use crate::probe::{Isolate, PanicText, Panicked, Probe};
use crate::risk::{HaltReason, Repeats, StrategyStop};
use crate::session::OrderSession;
use crate::strategy::StrategySet;
use crate::units::{StrategyId, TaiNs};
use alloc::boxed::Box;
use alloc::vec;
use core::fmt::Write;
use tern_abi::command::Command;
use tern_abi::record::{Kind, Recorder, RingFull, StrategyEvent, StrategyRecord};
use zerocopy::IntoBytes;

/// Why a strategy is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When.
    pub at: TaiNs,
    /// What its panic said, and where it was; or how slow it was.
    pub text: PanicText,
}

/// What is known of each strategy beside what it holds.
#[derive(Debug)]
pub(super) struct Lives {
    /// Those that panicked or were too slow and are not called, a bit each.
    disabled: u32,
    /// Those that are to be given their state, or built anew, a bit each.
    due: u32,
    of: Box<[Life]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Life {
    /// The state that it handed out last, as it is recorded.
    kept: Option<KeptState>,
    crash: Option<Crash>,
    /// Calls beyond their budget.
    overruns: Repeats,
}

impl Lives {
    pub(super) fn new(strategies: usize) -> Self {
        Self { disabled: 0, due: 0, of: vec![Life::default(); strategies].into_boxed_slice() }
    }

    #[inline]
    pub(super) const fn is_disabled(&self, index: usize) -> bool {
        self.disabled & (1 << index) != 0
    }

    #[inline]
    pub(super) const fn is_any_due(&self) -> bool {
        self.due != 0
    }

    /// An operator lets the strategy go on; one that did not panic goes on as it is.
    pub(super) const fn want_restart(&mut self, index: usize) {
        self.due |= self.disabled & (1 << index);
    }

    /// Everything that decides what comes, for a hash.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let states = self.of.iter().flat_map(|life| {
            let version = life.kept.map_or(0, |kept| 1 << 32 | u64::from(kept.version()));
            let bytes = life.kept.iter().flat_map(KeptState::bytes);
            let overruns = life.overruns.words();
            core::iter::once(version).chain(bytes.map(|byte| u64::from(*byte))).chain(overruns)
        });
        [self.disabled.into(), self.due.into()].into_iter().chain(states)
    }
}

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// The strategy is not called again until an operator lets it go on, and its orders go; the others trade on.
    #[cold]
    pub(super) fn strategy_panicked<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        index: usize,
        text: &PanicText,
    ) {
        self.intents.clear();
        self.desk.count(PipelineCounter::StrategyPanics, 1);
        self.desk.strategy_stopped(turn, index, (StrategyEvent::Panicked, StrategyStop::Panic), text);
    }

    /// When the strategy with this index wants a timer, as it said last.
    #[inline]
    pub(super) fn deadline(&self, index: usize) -> TaiNs {
        self.deadlines.as_ref().and_then(|of| of.get(index)).copied().unwrap_or(TaiNs::NEVER)
    }

    /// Asks a strategy when it wants a timer, after each call and at each timer: contained as those are.
    #[inline]
    pub(super) fn ask_deadline<I: Isolate>(&mut self, isolate: &mut I, index: usize) -> Result<(), Panicked> {
        let mut at = TaiNs::NEVER;
        isolate.call(|| at = self.strategies.next_deadline(index))?;
        if let Some(deadline) = self.deadlines.as_mut().and_then(|of| of.get_mut(index)) {
            *deadline = at;
        }
        Ok(())
    }

    /// Before the first input is acted on.
    #[cold]
    pub(super) fn ask_deadlines<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
    ) {
        self.deadlines = Some([TaiNs::NEVER; STRATEGIES_MAX]);
        for index in 0..self.strategies.count() {
            if !self.desk.is_disabled(index) && self.ask_deadline(isolate, index).is_err() {
                self.strategy_panicked(turn, index, &isolate.panic_text());
            }
        }
    }

    /// Builds anew those that an operator let go on, and gives those their state that begin with the run.
    pub(super) fn restart_strategies<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
    ) {
        if self.desk.lives.due == 0 {
            return;
        }
        let due = core::mem::take(&mut self.desk.lives.due);
        for index in (0..self.strategies.count()).filter(|index| due & (1 << index) != 0) {
            self.restart_strategy(turn, isolate, index);
        }
    }

    #[cold]
    fn restart_strategy<R: Recorder, P: Probe, I: Isolate>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        isolate: &mut I,
        index: usize,
    ) {
        let Some(kept) = self.desk.lives.of.get(index).map(|life| life.kept) else { return };
        let was_disabled = self.desk.is_disabled(index);
        let mut is_built = false;
        let outcome = isolate.call(|| match &kept {
            Some(state) if !was_disabled => {
                self.strategies.restore(index, state);
                is_built = true;
            }
            state => is_built = self.strategies.rebuild(index, state.as_ref()),
        });
        let outcome = outcome.and_then(|()| if is_built { self.ask_deadline(isolate, index) } else { Ok(()) });
        let text = match outcome {
            Ok(()) if is_built => {
                self.desk.lives.disabled &= !(1 << index);
                if let Some(life) = self.desk.lives.of.get_mut(index) {
                    life.overruns = Repeats::default();
                }
                self.desk.count(PipelineCounter::StrategyRestarts, was_disabled.into());
                let _ = self.desk.tell_strategy(turn, index, StrategyEvent::Restarted, kept.as_ref(), b"");
                return;
            }
            Ok(()) => {
                let mut text = PanicText::EMPTY;
                let _ = text.write_str("there is nothing to build it from in this run");
                text
            }
            Err(_) => {
                self.desk.count(PipelineCounter::StrategyPanics, 1);
                isolate.panic_text()
            }
        };
        // It may have been the state that it could not bear: the next try is without.
        if let Some(life) = self.desk.lives.of.get_mut(index) {
            life.kept = None;
        }
        self.desk.strategy_stopped(turn, index, (StrategyEvent::NotBuilt, StrategyStop::Panic), &text);
    }
}

impl Desk {
    /// Why the strategy with this index was taken out last in this run.
    pub fn crash(&self, index: usize) -> Option<&Crash> {
        self.lives.of.get(index)?.crash.as_ref()
    }

    /// What the strategy with this index handed out last.
    pub fn kept_state(&self, index: usize) -> Option<&KeptState> {
        self.lives.of.get(index)?.kept.as_ref()
    }

    /// What the journal kept of an earlier run of the day: given to the strategy before it is called.
    pub(super) fn bring_back(&mut self, strategy: StrategyId, state: KeptState) {
        let index = self.owners().iter().position(|owner| owner.strategy == strategy);
        let Some((index, life)) = index.and_then(|index| Some((index, self.lives.of.get_mut(index)?))) else { return };
        life.kept = Some(state);
        self.lives.due |= 1 << index;
    }

    /// Records what a strategy handed out; only what is recorded is ever given to it.
    #[inline(never)]
    pub(super) fn keep_state<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        index: usize,
        state: &KeptState,
    ) {
        if self.tell_strategy(turn, index, StrategyEvent::State, Some(state), state.bytes()).is_ok()
            && let Some(life) = self.lives.of.get_mut(index)
        {
            life.kept = Some(*state);
        }
    }

    /// The loop found that a call took longer than its budget: how long, it says, as core knows no clock. Too many of them within
    /// a while, and the strategy is stopped as one that panicked. `false` if there is no such strategy.
    pub(super) fn strategy_overran<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        command: &Command,
    ) -> bool {
        let index = self.owners().iter().position(|owner| u32::from(owner.strategy.0) == command.id);
        let Some((index, life)) = index.and_then(|index| Some((index, self.lives.of.get_mut(index)?))) else {
            return false;
        };
        let (max, window_ns) = (self.config.overruns_max, self.config.overruns_window_ns);
        let overruns = life.overruns.add(turn.now, window_ns);
        self.count(PipelineCounter::StrategyOverruns, 1);
        if max == 0 || overruns < max || self.is_disabled(index) {
            return true;
        }
        let mut text = PanicText::EMPTY;
        let (took_us, window_ms) = (command.value / 1000, window_ns / 1_000_000);
        let _ =
            write!(text, "{overruns} calls within {window_ms} ms took longer than their budget, the last {took_us} us");
        self.count(PipelineCounter::StrategiesSlow, 1);
        self.strategy_stopped(turn, index, (StrategyEvent::TooSlow, StrategyStop::Slow), &text);
        true
    }

    /// Stops a strategy that panicked or is too slow, and says so.
    fn strategy_stopped<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        index: usize,
        (event, why): (StrategyEvent, StrategyStop),
        text: &PanicText,
    ) {
        self.lives.disabled |= 1 << index;
        if let Some(life) = self.lives.of.get_mut(index) {
            life.crash = Some(Crash { at: turn.now, text: *text });
        }
        let _ = self.tell_strategy(turn, index, event, None, text.as_str().as_bytes());
        self.stop_strategy(turn, index as u8, why);
    }

    fn tell_strategy<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        index: usize,
        event: StrategyEvent,
        state: Option<&KeptState>,
        more: &[u8],
    ) -> Result<(), RingFull> {
        let record = StrategyRecord {
            cause_seq: turn.cause_seq,
            strategy: self.owner(index).strategy.0,
            event: event as u16,
            version: state.map_or(0, KeptState::version),
            state_bytes: state.map_or(0, |state| state.bytes().len() as u16),
        };
        let kind = if event == StrategyEvent::State { Kind::StrategyState } else { Kind::Strategy };
        let told = turn.rec.record(turn.now.0, kind, &[record.as_bytes(), more]);
        if told.is_err() {
            self.count(PipelineCounter::RecordsLost, 1);
            self.halt(turn, HaltReason::RingFull);
        }
        told
    }
}
