//! Hot tables on huge pages, without core seeing them.

use tern_abi::arena::Arena;
use tern_core::book::{Heap, Memory};
use tern_hw::huge::{self, HugeOutcome, Pages};
use zerocopy::FromZeros;

/// Tables smaller than a huge page come from ordinary ones.
const SMALL_BYTES: usize = 2 << 20;

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

    /// Bytes of the large tables.
    pub fn bytes(&self) -> usize {
        self.outcomes.iter().map(|outcome| outcome.bytes).sum()
    }
}

impl Memory for Arenas {
    fn arena<T: FromZeros + Send + Sync>(&mut self, len: usize) -> Arena<T> {
        if len * size_of::<T>() < SMALL_BYTES {
            return Heap.arena(len);
        }
        match huge::zeroed("table", len, self.most) {
            Ok((arena, outcome)) => {
                self.outcomes.push(outcome);
                arena
            }
            Err(error) => {
                self.failures.push(format!("a table of {} bytes came from the heap: {error}", len * size_of::<T>()));
                Heap.arena(len)
            }
        }
    }
}
