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
    Unseen = 0,
    Ignored = 1,
    Clean = 2,
    Dirty = 3,
}

/// A mark an instrument, two bits each: those of a whole market are 3 KB, which stay in the nearest cache.
#[derive(Debug)]
struct Marks {
    words: Box<[u64]>,
    count: usize,
}

impl Marks {
    const IN_WORD: usize = 32;

    /// So many that are unseen.
    fn new(count: usize) -> Self {
        Self { words: vec![0; count.div_ceil(Self::IN_WORD)].into_boxed_slice(), count }
    }

    const fn shift(index: usize) -> usize {
        index % Self::IN_WORD * 2
    }

    #[inline]
    fn get(&self, index: usize) -> Option<Mark> {
        let word = self.words.get(index / Self::IN_WORD).filter(|_| index < self.count)?;
        Some(match word >> Self::shift(index) & 3 {
            0 => Mark::Unseen,
            1 => Mark::Ignored,
            2 => Mark::Clean,
            _ => Mark::Dirty,
        })
    }

    #[inline]
    fn set(&mut self, index: usize, mark: Mark) {
        if let Some(word) = self.words.get_mut(index / Self::IN_WORD).filter(|_| index < self.count) {
            *word = *word & !(3 << Self::shift(index)) | (mark as u64) << Self::shift(index);
        }
    }
}

/// The instruments of a strategy and a queue of those that changed, each in it once.
#[derive(Debug)]
pub(crate) struct Universe {
    symbols: Vec<Symbol>,
    marks: Marks,
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
            marks: Marks::new(setup.instruments_max),
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
        let Some(mark) = self.marks.get(instrument.index()) else { return false };
        let is_new = mark == Mark::Unseen;
        let mark = if is_new { self.classify(ctx, instrument) } else { mark };
        if mark == Mark::Clean {
            self.marks.set(instrument.index(), Mark::Dirty);
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
        self.marks.set(instrument.index(), mark);
        mark
    }

    /// The instrument that waits longest; it is clean from now on.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<InstrumentId> {
        self.length = self.length.checked_sub(1)?;
        let instrument = *self.queue.get(self.first)?;
        self.first = (self.first + 1) % self.queue.len();
        self.marks.set(instrument.index(), Mark::Clean);
        Some(instrument)
    }

    /// Whether none waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_leave_their_neighbours_alone_and_end_where_they_should() {
        let mut marks = Marks::new(65);
        let all = [Mark::Dirty, Mark::Ignored, Mark::Clean, Mark::Unseen];
        for index in 0..65 {
            marks.set(index, all[index % 4]);
        }
        marks.set(65, Mark::Dirty);
        marks.set(64, Mark::Clean);
        assert!((0..64).all(|index| marks.get(index) == Some(all[index % 4])));
        assert_eq!((marks.get(64), marks.get(65), marks.get(usize::MAX)), (Some(Mark::Clean), None, None));
    }
}
