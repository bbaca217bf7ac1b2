//! Taking a journal as it is for the whole of it, when an operator says so.

use crate::JournalError;
use crate::chain::Block;
use crate::format::{Footer, segment_path};
use crate::head::{self, Head};
use crate::io_error;
use crate::recover::{confirm, confirm_packed, copy, cut, segment_span};
use crate::scan::{Scan, Step};
use crate::storage::{Disk, Storage};
use crate::verify::Damage;
use crate::writer;
use std::fs;
use std::path::{Path, PathBuf};
use zerocopy::IntoBytes;

/// What [`accept`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The head now.
    pub head: Head,
    /// What the head said before, if it could be read.
    pub before: Option<Head>,
    /// Where the old head file is kept.
    pub kept: Option<PathBuf>,
    /// What lay behind the head in the last segment.
    pub given_up: Option<GivenUp>,
}

/// The end of a segment that is not part of the journal any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The segment.
    pub segment: PathBuf,
    /// Its length now.
    pub offset: u64,
    /// Bytes that lay behind.
    pub bytes: u64,
    /// The file that has them: beside the segment, and no segment itself.
    pub kept: PathBuf,
}

/// Takes the journal in `folder` as it is for the whole of it: writes the head anew at the last whole record of the last
/// segment, before whatever is not one. For an operator who knows why the head is missing or goes further than the segments: a
/// disk that lost what it had confirmed, a copy made without it. What lies behind is moved to a file of its own. Damage
/// before is not mended by this.
///
/// # Errors
/// `Locked`, `Missing`, `Damaged`, `Version`, `Io`. Nothing of the segment is cut before all that is cut is kept, and the head
/// is written last: after an error the call can be repeated.
pub fn accept(folder: &Path) -> Result<Accepted, JournalError> {
    accept_on(Disk, folder)
}

/// As [`accept`], on other storage.
///
/// # Errors
/// As [`accept`].
pub fn accept_on<S: Storage>(mut storage: S, folder: &Path) -> Result<Accepted, JournalError> {
    let _lock = writer::lock(folder)?;
    let before = head::read(folder).ok().flatten().map(|known| known.head);
    let span = segment_span(folder)?;
    let segments = *span.end();
    let (mut head, mut given_up) = (Head::default(), None);
    if !span.is_empty() {
        let path = segment_path(folder, segments);
        let mut scan = Scan::open(&path, segments)?;
        let is_finished;
        (head, is_finished) = last_whole(&mut scan)?;
        if scan.is_packed() {
            confirm_packed(&scan, is_finished, &mut storage)?;
        } else {
            given_up = give_up(&path, head.bytes, folder, &mut storage)?;
            // The head says that all of it is on the disk, and nobody knows what of it was ever synced.
            confirm(&path, 0, head.bytes, &mut storage)?;
        }
        storage.sync_folder(folder).map_err(io_error(folder, "sync it"))?;
    }
    let kept = head::replace(&mut storage, folder, head)?;
    Ok(Accepted { head, before, kept, given_up })
}

/// The head behind the last whole record of a segment, or behind its footer; whether that was reached.
fn last_whole(scan: &mut Scan) -> Result<(Head, bool), JournalError> {
    let header = *scan.header();
    let mut block = Block::beginning_with(header.as_bytes());
    let last_seq = header.first_seq.saturating_sub(1);
    let mut head = Head { segment: header.number, last_seq, ..Head::default() };
    let (mut records, mut is_finished) = (0, false);
    loop {
        head.bytes = scan.offset();
        let wrong = match scan.step()? {
            Step::Record { header, whole, .. } => {
                block.add(scan.bytes(whole));
                records += 1;
                (head.last_seq, head.last_tai_ns) = (header.seq, header.tai_ns);
                continue;
            }
            Step::Mark(mark, whole) if mark.chain == block.chain() && mark.records == records => {
                block.restart(scan.bytes(whole));
                continue;
            }
            Step::Footer(footer) if footer == (Footer { chain: block.chain(), records, last_seq: head.last_seq }) => {
                head.bytes = scan.offset();
                is_finished = true;
                break;
            }
            Step::End | Step::Torn | Step::Bad(_) => break,
            // Lost bytes do not look like this; recovery would refuse it, so it is refused before anything is cut.
            Step::Mark(..) => "the block before this is not what its mark says",
            Step::Footer(_) => "its footer does not match its records",
        };
        return Err(JournalError::Damaged(Damage { offset: head.bytes, ..scan.damage(wrong) }));
    }
    head.records = header.records_before + records;
    head.chain = block.chain();
    Ok((head, is_finished))
}

/// Cuts the segment at `offset`, once what lies behind is in a file of its own.
fn give_up<S: Storage>(
    path: &Path,
    offset: u64,
    folder: &Path,
    storage: &mut S,
) -> Result<Option<GivenUp>, JournalError> {
    let end = fs::metadata(path).map_err(io_error(path, "look at it"))?.len();
    if end <= offset {
        return Ok(None);
    }
    let names = (1..).map(|number: u32| path.with_added_extension(format!("given-up-{number}")));
    let Some(kept) = { names }.find(|path| !path.exists()) else { return Ok(None) };
    // Its name appears with its bytes or not at all.
    let new = kept.with_added_extension("new");
    let mut file = storage.create(&new).map_err(io_error(&new, "make it"))?;
    copy(path, offset..end, storage, &new, &mut file, 0)?;
    storage.sync(&mut file).map_err(io_error(&new, "sync it"))?;
    storage.rename(&new, &kept).map_err(io_error(&new, "rename it"))?;
    storage.sync_folder(folder).map_err(io_error(folder, "sync it"))?;
    cut(path, offset, storage)?;
    Ok(Some(GivenUp { segment: path.to_owned(), offset, bytes: end - offset, kept }))
}
