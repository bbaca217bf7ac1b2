//! What the journal has of things done by hand: the drain tells it, and whoever asked waits for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tern_abi::manual::{ManualOutcome, ManualRecord};

use crate::manual::outcome_of;

/// Records that are kept of one request; of more the last takes the place of the one before it.
const RECORDS_MAX: usize = 1024;

/// By request; only of those that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<BTreeMap<u64, Vec<ManualRecord>>>);

impl Told {
    /// Somebody waits for what comes of it.
    pub(crate) fn expect(&self, request: u64) {
        self.lock().insert(request, Vec::new());
    }

    /// The journal has this.
    pub(crate) fn tell(&self, record: ManualRecord) {
        if let Some(records) = self.lock().get_mut(&record.request) {
            if records.len() >= RECORDS_MAX {
                records.pop();
            }
            records.push(record);
        }
    }

    /// Whether nothing more comes: a flatten goes on after it began and after each order.
    pub(crate) fn is_over(&self, request: u64) -> bool {
        let all = self.lock();
        let Some(records) = all.get(&request) else { return true };
        let is_flatten = records.first().and_then(outcome_of) == Some(ManualOutcome::Began);
        let is_end = |record: &ManualRecord| {
            !is_flatten || matches!(outcome_of(record), Some(ManualOutcome::Flat | ManualOutcome::Left))
        };
        records.last().is_some_and(is_end)
    }

    /// What was told; nobody waits any more.
    pub(crate) fn take(&self, request: u64) -> Vec<ManualRecord> {
        self.lock().remove(&request).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<ManualRecord>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_over_with_one_word_and_a_flatten_with_its_last() {
        let told = Told::default();
        let record =
            |request, outcome: ManualOutcome| ManualRecord { request, outcome: outcome as u32, ..Default::default() };
        told.tell(record(1, ManualOutcome::Sent));
        assert!(told.is_over(1) && told.take(1).is_empty(), "nobody waits");
        told.expect(1);
        told.expect(2);
        assert!(!told.is_over(1));
        told.tell(record(1, ManualOutcome::Sent));
        for outcome in [ManualOutcome::Began, ManualOutcome::Sent] {
            told.tell(record(2, outcome));
            assert!(told.is_over(1) && !told.is_over(2), "{outcome:?}");
        }
        for _ in 0..2 * RECORDS_MAX {
            told.tell(record(2, ManualOutcome::Sent));
        }
        told.tell(record(2, ManualOutcome::Left));
        assert!(told.is_over(2));
        assert_eq!((told.take(1).len(), told.take(2).len()), (1, RECORDS_MAX));
    }
}
