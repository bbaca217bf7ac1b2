//! What lies behind the place where reading ended. To the reader a record that is cut short is one that is being written, and a
//! journal ends there; with segments behind it, it does not.

use std::fmt;
use std::path::Path;
use tern_journal::{JournalError, Reader};

/// Records follow that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutShort;

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the journal is damaged: what follows is cut short, and later segments have records all the same; \
             `tern journal verify` says where",
        )
    }
}

impl std::error::Error for CutShort {}

/// Whether the last segment begins behind record `seq`.
///
/// # Errors
/// As [`Reader::open_near`] and [`Reader::next`].
pub(crate) fn has_records_behind(journal: &Path, seq: u64) -> Result<bool, JournalError> {
    let mut last = Reader::open_near(journal, u64::MAX)?;
    Ok(last.next()?.is_some_and(|record| record.header.seq > seq))
}
