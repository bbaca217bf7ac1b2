//! Hot tables on huge pages, without core seeing them.

use std::io;
use tern_abi::arena::Arena;
use tern_core::book::{Heap, Memory};
use tern_hw::huge::{self, HugeOutcome, Pages};
use zerocopy::FromZeros;

/// Smaller tables come from the heap. A table of an instrument's state is a huge page at most, and still worth one:
/// spread over ordinary pages, such tables alone need more entries than a core's page table cache has.
const SMALL_BYTES: usize = 128 << 10;

/// Memory from huge pages where there are any.
#[derive(Debug)]
pub struct Arenas {
    most: Pages,
    outcomes: Vec<HugeOutcome>,
    failures: Vec<String>,
}

impl Arenas {
    /// On huge pages if `huge`, else on ordinary ones.
    pub fn new(huge: bool) -> Self {
        let most = if huge { Pages::Explicit } else { Pages::Ordinary };
        Self { most, outcomes: Vec::new(), failures: Vec::new() }
    }

    /// Whether all large tables lie on huge pages.
    pub fn is_huge(&self) -> bool {
        !self.outcomes.is_empty() && self.outcomes.iter().all(|outcome| outcome.pages > Pages::Ordinary)
    }

    /// What was asked for and not granted: for each kind of page that was taken instead, how much lies on it and why.
    pub fn fallbacks(&self) -> Vec<String> {
        let taken = [Pages::Transparent, Pages::Ordinary].into_iter().filter_map(|pages| {
            let missed = || self.outcomes.iter().filter(|outcome| outcome.pages == pages && !outcome.why.is_empty());
            let why = &missed().next()?.why;
            let bytes: usize = missed().map(|outcome| outcome.bytes).sum();
            Some(format!("{} MiB of tables on {} pages: {why}", bytes >> 20, pages.name().replace('_', " ")))
        });
        taken.chain(self.failures.iter().cloned()).collect()
    }

    /// What `find` found for a table of `len` elements; `None` if it is too small to ask, or there is nothing.
    fn found<T>(
        &mut self,
        len: usize,
        find: impl FnOnce(Pages) -> io::Result<(Arena<T>, HugeOutcome)>,
    ) -> Option<Arena<T>> {
        let bytes = len * size_of::<T>();
        if bytes < SMALL_BYTES {
            return None;
        }
        match find(self.most) {
            Ok((arena, outcome)) => {
                self.outcomes.push(outcome);
                Some(arena)
            }
            Err(error) => {
                self.failures.push(format!("a table of {bytes} bytes came from the heap: {error}"));
                None
            }
        }
    }

    /// Bytes of the large tables.
    pub fn bytes(&self) -> usize {
        self.outcomes.iter().map(|outcome| outcome.bytes).sum()
    }
}

impl Memory for Arenas {
    fn arena<T: FromZeros + Send + Sync>(&mut self, len: usize) -> Arena<T> {
        self.found(len, |most| huge::zeroed("table", len, most)).unwrap_or_else(|| Heap.arena(len))
    }
    fn arena_of<T: Clone + Send + Sync>(&mut self, len: usize, element: &T) -> Arena<T> {
        let make = |most| huge::from_fn("table", len, most, |_| element.clone());
        self.found(len, make).unwrap_or_else(|| Heap.arena_of(len, element))
    }
}
