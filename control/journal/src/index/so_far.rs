//! The index of the segment that is being written is written anew now and then, so that a query of today reads little of it.

use super::Index;
use crate::JournalError;
use crate::format::segment_path;
use std::fs;
use std::path::Path;

/// It is not worth it for less.
const GROWN_BYTES_MIN: u64 = 8 << 20;
/// Written anew when what no index tells is this part of what one does: the larger it is, the more each time writes.
const GROWN_PART: u64 = 4;

/// How far the segment that is being written has its index.
#[derive(Debug, Default)]
pub struct SoFar {
    segment: u64,
    bytes: u64,
}

impl SoFar {
    /// Writes the index of segment `number`, the last one, when it has grown by enough since it was written before: by 8 MiB, and
    /// a quarter. Whether it did.
    ///
    /// # Errors
    /// As [`Index::so_far`] and [`Index::write`]; it is not tried again before the segment has grown as much once more.
    pub fn turn(&mut self, folder: &Path, number: u64) -> Result<bool, JournalError> {
        let Ok(facts) = fs::metadata(segment_path(folder, number)) else { return Ok(false) };
        let bytes = facts.len();
        // A writer that recovers the segment cuts off what is torn.
        if self.segment != number || bytes < self.bytes {
            *self = Self { segment: number, bytes: 0 };
        }
        if bytes - self.bytes < GROWN_BYTES_MIN.max(self.bytes / GROWN_PART) {
            return Ok(false);
        }
        self.bytes = bytes;
        Index::so_far(folder, number)?.write().map(|written| written.is_some())
    }
}
