//! Finding the state of a journal before going on with it.

use crate::beginning::{NOT_BEHIND_THE_DELETED, beginning, beginning_path, open_segment};
use crate::chain::Block;
use crate::format::{Chain, FOOTER_BYTES, FileHeader, Footer, HEADER_BYTES, segment_number, segment_path};
use crate::head::{Head, Known, head_path};
use crate::scan::{Scan, Step};
use crate::storage::{Storage, write_all};
use crate::{JournalError, Options, io_error};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tern_abi::record::RecordHeader;
use zerocopy::IntoBytes;

/// What was found when a journal was opened for writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments there are.
    pub segments: u64,
    /// `seq` of the last record, 0 if there is none.
    pub last_seq: u64,
    /// Its time, TAI ns.
    pub last_tai_ns: u64,
    /// What was cut off the last segment.
    pub cut: Option<Cut>,
    /// How far it is now, all of it on the disk; none of an empty journal.
    pub head: Option<Head>,
}

/// The end of a segment that a killed writer or a power cut left half written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// Its length now.
    pub offset: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: cut {} half-written bytes at offset {}, none of which was said to be on the disk",
            self.path.display(),
            self.bytes,
            self.offset
        )
    }
}

/// State to go on from.
pub(crate) struct State {
    pub(crate) recovered: Recovered,
    /// Number of the segment to be continued or made.
    pub(crate) next_number: u64,
    /// Chain of the last finished segment.
    pub(crate) previous: Chain,
    /// Records of the finished segments.
    pub(crate) records_before: u64,
    /// The segment to be continued, if the last one is not finished.
    pub(crate) unfinished: Option<Unfinished>,
}

pub(crate) struct Unfinished {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) block: Block,
}

/// Numbers of the segments that are in `folder`.
pub(crate) fn segments_there(folder: &Path) -> Result<BTreeSet<u64>, JournalError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other.map_err(io_error(folder, "list it"))?,
    };
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(io_error(folder, "list it"))?.file_name();
        numbers.extend(name.to_str().and_then(segment_number));
    }
    Ok(numbers)
}

/// The segments in `folder`, from the one with which the journal begins, without a gap; an empty range when there is none. Where
/// days were deleted, the first one goes on where the seal of the last of them ends.
pub(crate) fn segment_span(folder: &Path) -> Result<RangeInclusive<u64>, JournalError> {
    loop {
        let begins = beginning(folder)?;
        let first = begins.segment;
        let numbers = segments_there(folder)?;
        let last = numbers.last().copied().unwrap_or(0).max(first - 1);
        let mut missing = (first..=last).filter(|number| !numbers.contains(number));
        // A listing may miss a name that appears beside it, and have a later one.
        match missing.find(|number| !segment_path(folder, *number).exists()) {
            // Days may have been deleted between the two looks.
            Some(_) if beginning(folder)?.segment > first => {}
            Some(number) => return Err(JournalError::Missing(segment_path(folder, number))),
            None if begins.deletion.is_none() || last < first => return Ok(first..=last),
            None => {
                match open_segment(folder, first, &begins) {
                    // A header that cannot be read is for those who read the segment.
                    Err(JournalError::Damaged(damage)) if damage.what == NOT_BEHIND_THE_DELETED => {
                        return Err(JournalError::Damaged(damage));
                    }
                    Err(JournalError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    _ => return Ok(first..=last),
                }
            }
        }
    }
}

/// Reads what has to be read of the journal in `folder`, and cuts a torn end.
///
/// Finished segments are only looked at from both ends; [`crate::verify`] reads all of them.
pub(crate) fn recover<S: Storage>(
    folder: &Path,
    options: &Options,
    known: Option<&Known>,
    storage: &mut S,
) -> Result<State, JournalError> {
    let beginning = beginning(folder)?;
    let span = segment_span(folder)?;
    let segments = *span.end();
    let head = known.map_or_else(Head::default, |known| known.head);
    let mut state = State {
        recovered: Recovered {
            segments: segments + 1 - beginning.segment,
            last_seq: beginning.last_seq(),
            last_tai_ns: beginning.deletion.as_ref().map_or(0, |deletion| deletion.seal.head.last_tai_ns),
            ..Recovered::default()
        },
        next_number: segments + 1,
        previous: beginning.previous(),
        records_before: beginning.records_before(),
        unfinished: None,
    };
    if let Some(deletion) = &beginning.deletion {
        let (found, wanted) = (deletion.seal.instance.clone(), options.instance.clone());
        if found != wanted {
            return Err(JournalError::Instance { path: beginning_path(folder), found, wanted });
        }
        // Days were deleted, so later ones were there.
        if span.is_empty() {
            return Err(JournalError::Missing(segment_path(folder, beginning.segment)));
        }
    }
    for number in span {
        let path = segment_path(folder, number);
        let mut scan = open_segment(folder, number, &beginning)?;
        if known.is_none() {
            return Err(JournalError::NoHead(head_path(folder)));
        }
        check_place(&scan, &options.instance, &state)?;
        if number < segments {
            if number == head.segment {
                check_head(Scan::open(&path, number)?, &head)?;
            }
            let footer = last_footer(&mut scan)?;
            state.previous = footer.chain;
            state.records_before += footer.records;
            (state.recovered.last_seq, state.recovered.last_tai_ns) = (footer.last_seq, scan.footer_tai_ns());
        } else {
            let end = End { head, is_same_boot: known.is_some_and(|known| known.boot == options.boot) };
            end.recover(scan, &mut state, storage)?;
        }
    }
    if head.segment > segments {
        return Err(JournalError::Missing(segment_path(folder, segments + 1)));
    }
    if state.recovered.segments > 0 {
        storage.sync_folder(folder).map_err(io_error(folder, "sync it"))?;
    }
    Ok(state)
}

/// Whether a finished segment, in which the head lies, is as that says.
fn check_head(mut scan: Scan, head: &Head) -> Result<(), JournalError> {
    let mut block = Block::beginning_with(scan.header().as_bytes());
    loop {
        match scan.step()? {
            Step::Record { whole, .. } => block.add(scan.bytes(whole)),
            Step::Mark(_, whole) => block.restart(scan.bytes(whole)),
            Step::Footer(_) => {}
            Step::End | Step::Torn | Step::Bad(_) => return Err(JournalError::Damaged(scan.damage(NOT_THE_HEAD))),
        }
        if scan.offset() == head.bytes && block.chain() == head.chain {
            return Ok(());
        }
        if scan.offset() >= head.bytes {
            return Err(JournalError::Damaged(scan.damage(NOT_THE_HEAD)));
        }
    }
}

pub(crate) const NOT_THE_HEAD: &str = "what lies before is not what was on the disk when the head was written";
pub(crate) const BEFORE_THE_HEAD: &str = "it ends before what the head says was on the disk";

/// Whether the segment is this instance's and follows the ones before it.
fn check_place(scan: &Scan, instance: &str, state: &State) -> Result<(), JournalError> {
    let header: &FileHeader = scan.header();
    let found = header.instance();
    if found != instance {
        return Err(JournalError::Instance { path: scan.path().to_owned(), found, wanted: instance.to_owned() });
    }
    if header.previous != state.previous || header.first_seq <= state.recovered.last_seq {
        return Err(JournalError::Damaged(scan.damage("it does not follow the segment before it")));
    }
    Ok(())
}

/// The footer at the very end of a finished segment.
pub(crate) fn last_footer(scan: &mut Scan) -> Result<Footer, JournalError> {
    if let Some(offset) =
        scan.file_bytes()?.checked_sub(FOOTER_BYTES as u64).filter(|offset| *offset >= HEADER_BYTES as u64)
    {
        scan.go_to(offset)?;
        if let Step::Footer(footer) = scan.step()? {
            return Ok(footer);
        }
    }
    Err(JournalError::Damaged(scan.damage("it has no footer, though segments follow")))
}

/// What is known of the end of a journal.
struct End {
    head: Head,
    /// The head was written in this boot of the host: all that was written is there as it was written.
    is_same_boot: bool,
}

impl End {
    fn recover<S: Storage>(&self, mut scan: Scan, state: &mut State, storage: &mut S) -> Result<(), JournalError> {
        let number = scan.header().number;
        let durable_bytes = if self.head.segment == number { self.head.bytes } else { HEADER_BYTES as u64 };
        let mut block = Block::beginning_with(scan.header().as_bytes());
        let mut records = 0;
        // A segment whose first record was never written keeps that record's place.
        // Its time is that of the record before: by that is known whether a day ended meanwhile.
        let mut last = RecordHeader {
            seq: scan.header().first_seq.saturating_sub(1),
            tai_ns: state.recovered.last_tai_ns,
            ..RecordHeader::default()
        };
        let mut finished = None;
        let mut is_torn = false;
        let mut is_as_head_says = self.head.segment != number;
        loop {
            let at = scan.offset();
            if at == durable_bytes && self.head.segment == number {
                is_as_head_says = block.chain() == self.head.chain;
            }
            if at >= durable_bytes && !is_as_head_says {
                return Err(JournalError::Damaged(scan.damage(NOT_THE_HEAD)));
            }
            match scan.step()? {
                Step::Record { header, whole, .. } => {
                    block.add(scan.bytes(whole));
                    records += 1;
                    last = header;
                }
                Step::Mark(mark, whole) => {
                    if mark.chain != block.chain() || mark.records != records {
                        return Err(JournalError::Damaged(
                            scan.damage("the block before this is not what its mark says"),
                        ));
                    }
                    block.restart(scan.bytes(whole));
                }
                Step::Footer(footer) => {
                    let sound = footer == Footer { chain: block.chain(), records, last_seq: last.seq };
                    let end = scan.offset();
                    if !sound || !matches!(scan.step()?, Step::End) {
                        return Err(JournalError::Damaged(scan.damage("its footer does not match its records")));
                    }
                    finished = Some((footer, end));
                    break;
                }
                Step::End if at >= durable_bytes => break,
                Step::End => return Err(JournalError::Damaged(scan.damage(BEFORE_THE_HEAD))),
                Step::Torn | Step::Bad(_) if at >= durable_bytes && may_be_torn(&mut scan, self.is_same_boot)? => {
                    is_torn = true;
                    break;
                }
                Step::Torn => return Err(JournalError::Damaged(scan.damage("its length is wrong"))),
                Step::Bad(what) => return Err(JournalError::Damaged(scan.damage(what))),
            }
        }
        let bytes = finished.map_or(scan.offset(), |(_, end)| end);
        if let Some((footer, end)) = finished
            && !is_as_head_says
            && (end != durable_bytes || footer.chain != self.head.chain)
        {
            return Err(JournalError::Damaged(scan.damage(NOT_THE_HEAD)));
        }
        let path = scan.path().to_owned();
        if scan.is_packed() {
            // Offsets in the segment are none in its file: nothing of that is cut or written again.
            confirm_packed(&scan, finished.is_some(), storage)?;
        } else {
            if is_torn {
                state.recovered.cut = Some(cut(&path, bytes, storage)?);
            }
            confirm(&path, durable_bytes.min(bytes), bytes, storage)?;
        }
        (state.recovered.last_seq, state.recovered.last_tai_ns) = (last.seq, last.tai_ns);
        state.recovered.head = Some(Head {
            segment: number,
            bytes,
            records: state.records_before + records,
            last_seq: last.seq,
            last_tai_ns: last.tai_ns,
            chain: block.chain(),
        });
        if let Some((footer, _)) = finished {
            state.previous = footer.chain;
            state.records_before += records;
        } else {
            state.next_number = number;
            state.unfinished = Some(Unfinished { path, number, bytes, records, block });
        }
        Ok(())
    }
}

/// Whether a killed writer or a power cut can have left what lies at the reading position, which is behind what is known
/// to have been on the disk. In the boot that wrote it a killed writer leaves a beginning; a power cut leaves of what was not
/// synced any part, but before a mark nothing can be missing that was on the disk when the mark was made.
pub(crate) fn may_be_torn(scan: &mut Scan, is_same_boot: bool) -> Result<bool, JournalError> {
    if is_same_boot {
        return Ok(!scan.has_record_behind()?);
    }
    let (at, last) = (scan.offset(), *scan.last());
    let mut may_be = true;
    while may_be && let Some(mark) = scan.seek_mark()? {
        may_be = mark.durable_bytes <= at;
    }
    scan.go_back(at, last)?;
    Ok(may_be)
}

/// Cuts the file.
pub(crate) fn cut<S: Storage>(path: &Path, offset: u64, storage: &mut S) -> Result<Cut, JournalError> {
    let bytes = fs::metadata(path).map_err(io_error(path, "look at it"))?.len();
    let mut file = storage.open(path).map_err(io_error(path, "open it"))?;
    storage.set_len(&mut file, offset).map_err(io_error(path, "cut it"))?;
    storage.sync(&mut file).map_err(io_error(path, "sync it"))?;
    Ok(Cut { path: path.to_owned(), offset, bytes: bytes - offset })
}

/// Has the bytes from `from` to `to` on the disk. They are written again: a sync that failed for the process before may
/// have left them in memory alone, and the next one would not say so.
pub(crate) fn confirm<S: Storage>(path: &Path, from: u64, to: u64, storage: &mut S) -> Result<(), JournalError> {
    let mut file = storage.open(path).map_err(io_error(path, "open it"))?;
    copy(path, from..to, storage, path, &mut file, from)?;
    storage.sync(&mut file).map_err(io_error(path, "sync it"))
}

/// Has a compressed segment on the disk; `Damaged` where it was not read up to its footer, as only finished ones are compressed.
pub(crate) fn confirm_packed<S: Storage>(scan: &Scan, is_finished: bool, storage: &mut S) -> Result<(), JournalError> {
    if !is_finished {
        return Err(JournalError::Damaged(scan.damage("it is compressed, and cannot be read up to its footer")));
    }
    let path = scan.path();
    let mut file = storage.open(path).map_err(io_error(path, "open it"))?;
    storage.sync(&mut file).map_err(io_error(path, "sync it"))
}

/// Writes a part of the file `path` into `file`, which is called `into`, at `offset`.
pub(crate) fn copy<S: Storage>(
    path: &Path,
    part: Range<u64>,
    storage: &mut S,
    into: &Path,
    file: &mut S::File,
    offset: u64,
) -> Result<(), JournalError> {
    let read = File::open(path).map_err(io_error(path, "open it"))?;
    let mut buffer = vec![0; (part.end - part.start).min(1 << 20) as usize];
    let mut at = part.start;
    while at < part.end {
        let piece = &mut buffer[..(part.end - at).min(1 << 20) as usize];
        read.read_exact_at(piece, at).map_err(io_error(path, "read it"))?;
        write_all(storage, file, piece, offset + (at - part.start))
            .map_err(|(_, error)| io_error(into, "write it")(error))?;
        at += piece.len() as u64;
    }
    Ok(())
}
