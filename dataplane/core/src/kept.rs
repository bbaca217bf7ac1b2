//! What outlives a strategy that panicked: the state that it handed out, and how to build it anew.

use crate::probe::{Isolate, Panicked};
use crate::strategy::{Call, Ctx, Intents, StrategySet};
use crate::units::TaiNs;
use alloc::boxed::Box;
use core::fmt;
pub use tern_abi::record::STRATEGY_STATE_MAX as STATE_BYTES_MAX;

/// A state that is longer than [`STATE_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateTooLong {
    /// Its bytes.
    pub bytes: usize,
}

impl fmt::Display for StateTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a state of {} bytes, and {STATE_BYTES_MAX} at most are kept: hand out less", self.bytes)
    }
}

impl core::error::Error for StateTooLong {}

/// The own state of a strategy, as it handed it out: bytes that mean something to it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptState {
    version: u16,
    length: u16,
    bytes: [u8; STATE_BYTES_MAX],
}

impl Default for KeptState {
    fn default() -> Self {
        Self { version: 0, length: 0, bytes: [0; STATE_BYTES_MAX] }
    }
}

impl KeptState {
    /// A state of `version`, as the strategy numbers them.
    ///
    /// # Errors
    /// It is longer than [`STATE_BYTES_MAX`].
    pub fn new(version: u16, state: &[u8]) -> Result<Self, StateTooLong> {
        let mut kept = Self { version, length: state.len() as u16, ..Self::default() };
        kept.bytes.get_mut(..state.len()).ok_or(StateTooLong { bytes: state.len() })?.copy_from_slice(state);
        Ok(kept)
    }
    /// Its version.
    pub const fn version(&self) -> u16 {
        self.version
    }
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// A set of strategies with a way to make all of them anew, from the configuration that the run began with.
pub struct Rebuilt<S> {
    set: S,
    make: Box<dyn Fn() -> Option<S>>,
}

impl<S: fmt::Debug> fmt::Debug for Rebuilt<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rebuilt").field(&self.set).finish()
    }
}

impl<S> Rebuilt<S> {
    /// `set`, and what makes another like it.
    pub fn new(set: S, make: impl Fn() -> Option<S> + 'static) -> Self {
        Self { set, make: Box::new(make) }
    }
}

impl<S: StrategySet> StrategySet for Rebuilt<S> {
    fn count(&self) -> usize {
        self.set.count()
    }
    #[inline]
    fn call<I: Isolate>(
        &mut self,
        index: usize,
        isolate: &mut I,
        call: Call<'_>,
        ctx: &Ctx<'_>,
        out: &mut Intents,
    ) -> Result<usize, Panicked> {
        self.set.call(index, isolate, call, ctx, out)
    }
    #[inline]
    fn next_deadline(&self, index: usize) -> TaiNs {
        self.set.next_deadline(index)
    }
    fn restore(&mut self, index: usize, state: &KeptState) {
        self.set.restore(index, state);
    }
    fn exchange(&mut self, index: usize, fresh: &mut Self) {
        self.set.exchange(index, &mut fresh.set);
    }
    fn rebuild(&mut self, index: usize, state: Option<&KeptState>) -> bool {
        let Some(mut fresh) = (self.make)().filter(|fresh| index < fresh.count()) else { return false };
        // Before it takes its place: one that panics over its state never does.
        if let Some(state) = state {
            fresh.restore(index, state);
        }
        self.set.exchange(index, &mut fresh);
        true
    }
}
