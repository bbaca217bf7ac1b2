//! The file of an index.

use super::{KEYS, Key, Posting, Postings, Reach, Said, Tables, Window, mark_at};
use crate::facts::segment_facts;
use crate::format::Chain;
use crate::{JournalError, io_error};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const MAGIC: [u8; 8] = *b"TERNINDX";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = size_of::<Header>();
/// Postings of a page.
const PAGE: usize = 512;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Header {
    magic: [u8; 8],
    version: u32,
    /// Over the header behind this field, and the tables.
    crc: u32,
    number: u64,
    bytes: u64,
    records: u64,
    /// At the segment's end, or at the mark.
    chain: Chain,
    starts: u32,
    said: u32,
    unsaid: u32,
    replaces: u32,
    windows: u64,
    postings: [u64; KEYS],
    /// 0: of all of a finished segment; 1: of what lies before the mark at `bytes`.
    at_mark: u32,
    reserved: u32,
}

/// Where the crc begins to count.
const COVERED_FROM: usize = 16;

/// A page of postings: the key of the first, and the checksum of all.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Fence {
    first_key: u32,
    crc: u32,
}

/// The postings of an index file, of which pages are read as they are asked for.
pub(super) struct Kept {
    path: PathBuf,
    pub(super) reach: Reach,
    /// Of a segment that is being written, which has another index soon. (A query over years has more segments than a process
    /// may have files: the others are opened for each question.)
    file: Option<File>,
    fences: [Vec<Fence>; KEYS],
    counts: [u64; KEYS],
    /// Where the postings by each key begin.
    begins: [u64; KEYS],
}

fn index_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.index"))
}

/// The index file of segment `number`, if it is there, whole, and of this very segment.
pub(super) fn open(folder: &Path, number: u64) -> Result<Option<(Tables, Kept)>, JournalError> {
    let path = index_path(folder, number);
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error(&path, "open it"))?,
    };
    // Before what it says is believed: it may be of the same number in another journal, or older than the segment.
    let Some(facts) = segment_facts(folder, number)? else { return Ok(None) };
    let length = file.metadata().map_err(io_error(&path, "look at it"))?.len();
    let mut bytes = vec![0; HEADER_BYTES.min(length as usize)];
    file.read_exact(&mut bytes).map_err(io_error(&path, "read it"))?;
    let Ok(header) = Header::read_from_bytes(&bytes) else { return Ok(None) };
    let is_its = (header.magic, header.version, header.number) == (MAGIC, VERSION, number);
    let Some(layout) = Layout::of(&header).filter(|layout| is_its && layout.end == length) else { return Ok(None) };
    bytes.resize(layout.begins[0] as usize, 0);
    file.read_exact(&mut bytes[HEADER_BYTES..]).map_err(io_error(&path, "read it"))?;
    if crc32fast::hash(&bytes[COVERED_FROM..]) != header.crc {
        return Ok(None);
    }
    let Some(reach) = reach(folder, number, &header, facts.end)? else { return Ok(None) };
    let file = matches!(reach, Reach::Mark { .. }).then_some(file);
    Ok(parse(&header, &bytes[HEADER_BYTES..]).map(|(tables, fences)| {
        let kept = Kept { path, reach, file, fences, counts: header.postings, begins: layout.begins };
        (Tables { reach, ..tables }, kept)
    }))
}

/// How far the index of this header goes; `None` when the segment, whose end has chain `end`, is not as it was when it was made.
fn reach(folder: &Path, number: u64, header: &Header, end: Option<Chain>) -> Result<Option<Reach>, JournalError> {
    if header.at_mark == 0 {
        return Ok(end.filter(|end| *end == header.chain).map(Reach::End));
    }
    let is_same = |found: &(Reach, u64)| matches!(found, (Reach::Mark { chain, .. }, records) if (*chain, *records) == (header.chain, header.records));
    Ok(mark_at(folder, number, header.bytes)?.filter(is_same).map(|(reach, _)| reach))
}

/// Where the postings begin, and the file ends.
struct Layout {
    begins: [u64; KEYS],
    end: u64,
}

impl Layout {
    /// `None` when the counts are beyond all measure.
    fn of(header: &Header) -> Option<Self> {
        let table = |count: u64, bytes: usize| count.checked_mul(bytes as u64);
        let mut at = HEADER_BYTES as u64;
        let tables = [
            table(header.starts.into(), size_of::<Posting>())?,
            table(header.said.into(), size_of::<Said>())?,
            table(header.unsaid.into(), size_of::<Posting>())?,
            table(header.replaces.into(), size_of::<[u32; 3]>())?,
            table(header.windows, size_of::<Window>())?,
        ];
        let fences = header.postings.map(|count| count.div_ceil(PAGE as u64) * size_of::<Fence>() as u64);
        for bytes in tables.into_iter().chain(fences) {
            at = at.checked_add(bytes)?;
        }
        let mut begins = [0; KEYS];
        for (begin, count) in begins.iter_mut().zip(header.postings) {
            *begin = at;
            at = at.checked_add(table(count, size_of::<Posting>())?)?;
        }
        Some(Self { begins, end: at })
    }
}

fn parse(header: &Header, bytes: &[u8]) -> Option<(Tables, [Vec<Fence>; KEYS])> {
    fn take<T: FromBytes + Immutable + KnownLayout + Clone>(bytes: &mut &[u8], count: u64) -> Option<Vec<T>> {
        let (taken, rest) = bytes.split_at_checked(usize::try_from(count).ok()?.checked_mul(size_of::<T>())?)?;
        *bytes = rest;
        taken.chunks_exact(size_of::<T>()).map(|chunk| T::read_from_bytes(chunk).ok()).collect()
    }
    let rest = &mut { bytes };
    let tables = Tables {
        bytes: header.bytes,
        records: header.records,
        reach: Reach::Now,
        starts: take(rest, header.starts.into())?,
        said: take(rest, header.said.into())?,
        unsaid: take(rest, header.unsaid.into())?,
        replaces: take(rest, header.replaces.into())?,
        windows: take(rest, header.windows)?,
    };
    let mut fences = [const { Vec::new() }; KEYS];
    for (fences, count) in fences.iter_mut().zip(header.postings) {
        *fences = take(rest, count.div_ceil(PAGE as u64))?;
    }
    Some((tables, fences))
}

/// Removes what processes left that ended while they wrote the index of segment `number`.
fn remove_unfinished(folder: &Path, number: u64) {
    let begins = format!("{number:08}.index.");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let of_process = name.strip_prefix(&begins).and_then(|rest| rest.strip_suffix(".new"));
        if of_process.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_file(folder.join(name)).ok();
        }
    }
}

/// Writes the index of segment `number`, whole or not at all. It is not synced: one that a power cut broke is passed over.
pub(super) fn write(folder: &Path, number: u64, tables: &Tables, postings: &Postings) -> Result<PathBuf, JournalError> {
    let (chain, at_mark) = match tables.reach {
        Reach::Mark { chain, .. } => (chain, 1),
        Reach::End(chain) => (chain, 0),
        // It would never be found to be of this segment.
        Reach::Now => (Chain::default(), 0),
    };
    let fence = |page: &[Posting]| Fence { first_key: page[0].key, crc: crc32fast::hash(page.as_bytes()) };
    let mut header = Header {
        magic: MAGIC,
        version: VERSION,
        number,
        bytes: tables.bytes,
        records: tables.records,
        chain,
        at_mark,
        starts: tables.starts.len() as u32,
        said: tables.said.len() as u32,
        unsaid: tables.unsaid.len() as u32,
        replaces: tables.replaces.len() as u32,
        windows: tables.windows.len() as u64,
        postings: [0, 1, 2].map(|key| postings[key].len() as u64),
        ..Header::default()
    };
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(tables.starts.as_bytes());
    bytes.extend_from_slice(tables.said.as_bytes());
    bytes.extend_from_slice(tables.unsaid.as_bytes());
    bytes.extend_from_slice(tables.replaces.as_bytes());
    bytes.extend_from_slice(tables.windows.as_bytes());
    for postings in postings {
        let fences: Vec<Fence> = postings.chunks(PAGE).map(fence).collect();
        bytes.extend_from_slice(fences.as_bytes());
    }
    header.crc = crc32fast::hash(&bytes[COVERED_FROM..]);
    bytes[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    let path = index_path(folder, number);
    // A name of its own for each process: two may make the same one. One that ended meanwhile left it behind.
    let new = path.with_added_extension(format!("{}.new", std::process::id()));
    remove_unfinished(folder, number);
    let put = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        postings.iter().try_for_each(|postings| file.write_all(postings.as_bytes()))?;
        fs::rename(&new, &path)
    };
    let outcome = put();
    if outcome.is_err() {
        fs::remove_file(&new).ok();
    }
    outcome.map_err(io_error(&path, "write it"))?;
    Ok(path)
}

impl Kept {
    /// The postings of these keys, ascending; `None` when a page is not what was written.
    pub(super) fn find(&self, key: Key, wanted: &BTreeSet<u32>) -> Result<Option<Vec<Posting>>, JournalError> {
        let fences = &self.fences[key as usize];
        self.with_file(|file| {
            let mut found = Vec::new();
            // Keys that follow one another share pages.
            let (mut at_hand, mut postings) = (usize::MAX, Vec::new());
            for wanted in wanted {
                // The first may begin in the page before the first that begins with it.
                let from = fences.partition_point(|fence| fence.first_key < *wanted).saturating_sub(1);
                let until = fences.partition_point(|fence| fence.first_key <= *wanted);
                for page in from..until {
                    if page != at_hand {
                        let Some(read) = self.page(file, key, page)? else { return Ok(None) };
                        (at_hand, postings) = (page, read);
                    }
                    let first = postings.partition_point(|posting| posting.key < *wanted);
                    found.extend(postings[first..].iter().take_while(|posting| posting.key == *wanted));
                }
            }
            Ok(Some(found))
        })
    }

    /// All of them.
    pub(super) fn all(&self, key: Key) -> Result<Option<Vec<Posting>>, JournalError> {
        self.with_file(|file| {
            let mut all = Vec::new();
            for page in 0..self.fences[key as usize].len() {
                let Some(postings) = self.page(file, key, page)? else { return Ok(None) };
                all.extend(postings);
            }
            Ok(Some(all))
        })
    }

    /// Gives `read` the file; `None` when that is gone.
    fn with_file<T>(
        &self,
        read: impl FnOnce(&File) -> Result<Option<T>, JournalError>,
    ) -> Result<Option<T>, JournalError> {
        if let Some(file) = &self.file {
            return read(file);
        }
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => read(&other.map_err(io_error(&self.path, "open it"))?),
        }
    }

    fn page(&self, file: &File, key: Key, page: usize) -> Result<Option<Vec<Posting>>, JournalError> {
        let first = page * PAGE;
        let count = (self.counts[key as usize] as usize - first).min(PAGE);
        let mut bytes = vec![0; count * size_of::<Posting>()];
        let offset = self.begins[key as usize] + (first * size_of::<Posting>()) as u64;
        match file.read_exact_at(&mut bytes, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other.map_err(io_error(&self.path, "read it"))?,
        }
        if crc32fast::hash(&bytes) != self.fences[key as usize][page].crc {
            return Ok(None);
        }
        let postings = bytes.chunks_exact(size_of::<Posting>());
        Ok(postings.map(|chunk| Posting::read_from_bytes(chunk).ok()).collect())
    }
}
