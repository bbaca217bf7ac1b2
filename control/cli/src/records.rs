//! The one place where the journal is read.

use std::path::Path;

use tern_abi::record::RecordHeader;
use tern_journal::{Damage, JournalError, Reader};

use crate::outcome::Failure;

/// Hands every record from `from_seq` on to `see`, until that says `false` or the journal ends; where it is damaged,
/// the damage comes back.
///
/// # Errors
/// When the journal cannot be opened or read.
pub(crate) fn for_each(
    folder: &Path,
    from_seq: u64,
    mut see: impl FnMut(&RecordHeader, &[u8]) -> bool,
) -> Result<Option<Damage>, Failure> {
    if !folder.is_dir() {
        return Err(Failure::failed(format!("{}: there is no journal", folder.display())));
    }
    let opened = if from_seq == 0 { Reader::open(folder) } else { Reader::open_near(folder, from_seq) };
    let mut reader = match opened {
        Err(JournalError::Damaged(damage)) => return Ok(Some(damage)),
        opened => opened.map_err(Failure::failed)?,
    };
    loop {
        match reader.next() {
            Ok(None) => return Ok(None),
            Ok(Some(record)) if record.header.seq < from_seq => {}
            Ok(Some(record)) if see(&record.header, record.body) => {}
            Ok(Some(_)) => return Ok(None),
            Err(JournalError::Damaged(damage)) => return Ok(Some(damage)),
            Err(error) => return Err(Failure::failed(error)),
        }
    }
}
