//! Hot tables on huge pages, without core seeing them.

use tern_abi::arena::Arena;
use tern_core::book::{Heap, Memory};
use tern_hw::huge::{self, HugeOutcome, Pages};
use zerocopy::FromZeros;

/// Tables smaller than this come from ordinary pages: huge ones would be mostly empty.
const SMALL_BYTES: usize = 1 << 20;

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

    /// What was asked for and not granted, each reason once.
    pub fn fallbacks(&self) -> Vec<String> {
        let mut texts: Vec<String> = self
            .outcomes
            .iter()
            .filter(|outcome| !outcome.why.is_empty())
            .map(|outcome| format!("tables on {} pages: {}", outcome.pages.name(), outcome.why))
            .chain(self.failures.iter().cloned())
            .collect();
        texts.sort_unstable();
        texts.dedup();
        texts
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
