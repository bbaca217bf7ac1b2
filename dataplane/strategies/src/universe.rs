//! Which instruments a strategy trades, and which of them it has to look at again.

use crate::params::Setup;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use tern_core::strategy::Ctx;
use tern_core::units::{InstrumentId, Symbol};

/// What is known of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Unseen,
    Ignored,
    Clean,
    Dirty,
}

/// The instruments of a strategy and a queue of those that changed, each in it once.
#[derive(Debug)]
pub(crate) struct Universe {
    symbols: Vec<Symbol>,
    marks: Box<[Mark]>,
    queue: Box<[InstrumentId]>,
    first: usize,
    length: usize,
    traded: usize,
    traded_max: usize,
}

impl Universe {
    /// The symbols of `setup`, or the first `traded_max` that move.
    pub(crate) fn new(setup: &Setup<'_>, traded_max: usize) -> Self {
        let mut symbols = setup.symbols.to_vec();
        symbols.sort_unstable();
        Self {
            symbols,
            marks: vec![Mark::Unseen; setup.instruments_max].into_boxed_slice(),
            queue: vec![InstrumentId::NONE; setup.instruments_max.max(1)].into_boxed_slice(),
            first: 0,
            length: 0,
            traded: 0,
            traded_max,
        }
    }

    /// The instrument has to be looked at again, if it is one of ours. Whether it was seen for the first time.
    #[inline]
    pub(crate) fn touch(&mut self, ctx: &Ctx<'_>, instrument: InstrumentId) -> bool {
        let Some(&mark) = self.marks.get(instrument.index()) else { return false };
        let is_new = mark == Mark::Unseen;
        let mark = if is_new { self.classify(ctx, instrument) } else { mark };
        if mark == Mark::Clean {
            self.set(instrument, Mark::Dirty);
            let place = (self.first + self.length) % self.queue.len();
            if let Some(slot) = self.queue.get_mut(place) {
                *slot = instrument;
                self.length += 1;
            }
        }
        is_new
    }

    #[cold]
    fn classify(&mut self, ctx: &Ctx<'_>, instrument: InstrumentId) -> Mark {
        let symbol = ctx.instruments().symbol(instrument);
        let named = self.symbols.is_empty() || symbol.is_some_and(|s| self.symbols.binary_search(&s).is_ok());
        let mark = if named && self.traded < self.traded_max { Mark::Clean } else { Mark::Ignored };
        self.traded += usize::from(mark == Mark::Clean);
        self.set(instrument, mark);
        mark
    }

    fn set(&mut self, instrument: InstrumentId, mark: Mark) {
        if let Some(slot) = self.marks.get_mut(instrument.index()) {
            *slot = mark;
        }
    }

    /// The instrument that waits longest; it is clean from now on.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<InstrumentId> {
        self.length = self.length.checked_sub(1)?;
        let instrument = *self.queue.get(self.first)?;
        self.first = (self.first + 1) % self.queue.len();
        self.set(instrument, Mark::Clean);
        Some(instrument)
    }

    /// Whether none waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.length == 0
    }
}
