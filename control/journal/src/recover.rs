//! Finding the state of a journal before going on with it.

use crate::format::{Chain, FOOTER_BYTES, FileHeader, Footer, HEADER_BYTES, segment_number, segment_path};
use crate::scan::{Scan, Step};
use crate::storage::Storage;
use crate::{JournalError, io_error};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
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
            "{}: cut {} bytes of a half-written record at offset {}",
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
    /// The segment to be continued, if the last one is not finished.
    pub(crate) unfinished: Option<Unfinished>,
}

pub(crate) struct Unfinished {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) chain: Sha256,
}

/// Numbers of the segments in `folder`, which begin at 1 and have no gap.
pub(crate) fn segment_count(folder: &Path) -> Result<u64, JournalError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        other => other.map_err(io_error(folder, "list it"))?,
    };
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(io_error(folder, "list it"))?.file_name();
        numbers.extend(name.to_str().and_then(segment_number));
    }
    let last = numbers.last().copied().unwrap_or(0);
    let missing = (1..=last).filter(|number| !numbers.contains(number)).map(|number| segment_path(folder, number));
    // A listing may miss a name that appears beside it, and have a later one.
    match missing.into_iter().find(|path| !path.exists()) {
        Some(path) => Err(JournalError::Missing(path)),
        None => Ok(last),
    }
}

/// Reads what has to be read of the journal in `folder`, and cuts a torn end.
///
/// Finished segments are only looked at from both ends; [`crate::verify`] reads all of them.
pub(crate) fn recover<S: Storage>(folder: &Path, instance: &str, storage: &mut S) -> Result<State, JournalError> {
    let segments = segment_count(folder)?;
    let mut state = State {
        recovered: Recovered { segments, ..Recovered::default() },
        next_number: segments + 1,
        previous: Chain::default(),
        unfinished: None,
    };
    for number in 1..=segments {
        let path = segment_path(folder, number);
        let scan = Scan::open(&path, number)?;
        check_place(&scan, instance, &state)?;
        if number < segments {
            let footer = last_footer(scan)?;
            state.previous = footer.chain;
            state.recovered.last_seq = footer.last_seq;
        } else {
            recover_last(scan, &mut state, storage)?;
        }
    }
    Ok(state)
}

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
fn last_footer(mut scan: Scan) -> Result<Footer, JournalError> {
    let path = scan.path().to_owned();
    let bytes = fs::metadata(&path).map_err(io_error(&path, "look at it"))?.len();
    if let Some(offset) = bytes.checked_sub(FOOTER_BYTES as u64).filter(|offset| *offset >= HEADER_BYTES as u64) {
        scan.go_to(offset)?;
        if let Step::Footer(footer) = scan.step()? {
            return Ok(footer);
        }
    }
    Err(JournalError::Damaged(scan.damage("it has no footer, though segments follow")))
}

fn recover_last<S: Storage>(mut scan: Scan, state: &mut State, storage: &mut S) -> Result<(), JournalError> {
    let mut chain = Sha256::new_with_prefix(scan.header().as_bytes());
    let mut records = 0;
    // A segment whose first record was never written keeps that record's place.
    let mut last = RecordHeader { seq: scan.header().first_seq.saturating_sub(1), ..RecordHeader::default() };
    let torn = loop {
        match scan.step()? {
            Step::Record { header, whole, .. } => {
                chain.update(scan.bytes(whole));
                records += 1;
                last = header;
            }
            Step::Footer(footer) => {
                let sound = footer == Footer { chain: chain.finalize().into(), records, last_seq: last.seq };
                if !sound || !matches!(scan.step()?, Step::End) {
                    return Err(JournalError::Damaged(scan.damage("its footer does not match its records")));
                }
                state.previous = footer.chain;
                (state.recovered.last_seq, state.recovered.last_tai_ns) = (last.seq, last.tai_ns);
                return Ok(());
            }
            Step::End => break false,
            // A killed writer leaves a beginning, a power cut also bytes that are none of its record's; whole records
            // behind that were not left by either.
            Step::Torn | Step::Bad(_) if !scan.has_record_behind()? => break true,
            Step::Torn => return Err(JournalError::Damaged(scan.damage("its length is wrong"))),
            Step::Bad(what) => return Err(JournalError::Damaged(scan.damage(what))),
        }
    };
    (state.recovered.last_seq, state.recovered.last_tai_ns) = (last.seq, last.tai_ns);
    let path = scan.path().to_owned();
    if torn {
        let bytes = fs::metadata(&path).map_err(io_error(&path, "look at it"))?.len();
        let mut file = storage.open(&path).map_err(io_error(&path, "open it"))?;
        storage.set_len(&mut file, scan.offset()).map_err(io_error(&path, "cut it"))?;
        storage.sync(&mut file).map_err(io_error(&path, "sync it"))?;
        state.recovered.cut = Some(Cut { path: path.clone(), offset: scan.offset(), bytes: bytes - scan.offset() });
    }
    let number = scan.header().number;
    state.next_number = number;
    state.unfinished = Some(Unfinished { path, number, bytes: scan.offset(), records, chain });
    Ok(())
}
