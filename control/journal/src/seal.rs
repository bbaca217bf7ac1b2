//! A seal: the head of a day, to be kept where whoever can write the journal cannot write.

use crate::beginning::beginning;
use crate::format::{Chain, segment_path};
use crate::head::{self, Head};
use crate::recover::last_footer;
use crate::recovered::{day_begins_before, run_value, start_text};
use crate::scan::Scan;
use crate::{JournalError, Reader, io_error};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use tern_abi::record::{Kind, StartRecord};
use zerocopy::FromBytes;

const TITLE: &str = "tern journal seal 1";

/// What a seal says of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// Instance whose journal it is.
    pub instance: String,
    /// The venue's day, as days since 1970-01-01; 0 when no run said which.
    pub day: u32,
    /// Where the journal was, and the chain there.
    pub head: Head,
    /// Records of the day up to there.
    pub records: u64,
    /// `seq` of the day's first record.
    pub first_seq: u64,
    /// Its time, TAI ns.
    pub first_tai_ns: u64,
    /// Build of the last run, in hexadecimal; zeros when it did not know.
    pub build: String,
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// What the file system reported.
pub fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let (mut file, mut piece) = (File::open(path)?, vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            bytes => hasher.update(&piece[..bytes]),
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Seal {
    /// By which it is called when something is proven by it.
    pub fn name(&self) -> String {
        format!("the seal of day {} at seq {}", self.day, self.head.last_seq)
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{}-{:012}.seal", self.day, self.head.last_seq)
    }

    /// Its text: lines of `key value`, the last one a SHA-256 over those before.
    pub fn to_text(&self) -> String {
        let Self { instance, day, head, records, first_seq, first_tai_ns, build } = self;
        let mut text = format!(
            "{TITLE}\ninstance {instance}\nday {day}\nsegment {}\nbytes {}\nchain {}\njournal_records {}\nrecords {records}\n\
             first_seq {first_seq}\nlast_seq {}\nfirst_tai_ns {first_tai_ns}\nlast_tai_ns {}\nbuild {build}\n",
            head.segment,
            head.bytes,
            hex(&head.chain),
            head.records,
            head.last_seq,
            head.last_tai_ns,
        );
        let digest = hex(&Sha256::digest(text.as_bytes()));
        text.push_str(&format!("sha256 {digest}\n"));
        text
    }

    /// Reads its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (body, digest) =
            text.trim_end().rsplit_once("\nsha256 ").ok_or("it does not end in a line `sha256 ...`")?;
        let body = format!("{body}\n");
        if hex(&Sha256::digest(body.as_bytes())) != digest {
            return Err("its last line does not fit the lines before: it was changed, or copied in part".into());
        }
        let mut lines = body.lines();
        if lines.next() != Some(TITLE) {
            return Err(format!("it does not begin with `{TITLE}`"));
        }
        let mut next = |key: &str| {
            let line = lines.next().unwrap_or_default();
            line.strip_prefix(key)
                .and_then(|rest| rest.strip_prefix(' '))
                .map(str::to_owned)
                .ok_or_else(|| format!("`{key}` is expected where it says `{line}`"))
        };
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
        let instance = next("instance")?;
        let day = next("day").and_then(number)?;
        let (segment, bytes) = (next("segment").and_then(number)?, next("bytes").and_then(number)?);
        let chain = next("chain").and_then(|text| chain_of(&text).ok_or_else(|| format!("`{text}` is no chain")))?;
        let (in_all, records) = (next("journal_records").and_then(number)?, next("records").and_then(number)?);
        let (first_seq, last_seq) = (next("first_seq").and_then(number)?, next("last_seq").and_then(number)?);
        let (first_tai_ns, last_tai_ns) =
            (next("first_tai_ns").and_then(number)?, next("last_tai_ns").and_then(number)?);
        let build = next("build")?;
        let day = u32::try_from(day).map_err(|_| format!("`{day}` is no day"))?;
        let head = Head { segment, bytes, records: in_all, last_seq, last_tai_ns, chain };
        Ok(Self { instance, day, head, records, first_seq, first_tai_ns, build })
    }

    /// Writes it into the folder `seals` of the journal; where that is.
    ///
    /// # Errors
    /// `Io`.
    pub fn keep(&self, journal: &Path) -> Result<PathBuf, JournalError> {
        let folder = journal.join("seals");
        fs::create_dir_all(&folder).map_err(io_error(&folder, "make it"))?;
        let path = folder.join(self.file_name());
        self.write(&path)?;
        Ok(path)
    }

    /// Reads a seal's file.
    ///
    /// # Errors
    /// `Io`, `Seal`.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let text = fs::read_to_string(path).map_err(io_error(path, "read it"))?;
        Self::parse(&text).map_err(|what| JournalError::Seal { path: path.to_owned(), what })
    }

    /// Writes it to `path`, whole or not at all.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, path: &Path) -> Result<(), JournalError> {
        let new = path.with_added_extension("new");
        let mut file = File::create(&new).map_err(io_error(&new, "make it"))?;
        file.write_all(self.to_text().as_bytes()).map_err(io_error(&new, "write it"))?;
        file.sync_all().map_err(io_error(&new, "sync it"))?;
        fs::rename(&new, path).map_err(io_error(&new, "rename it"))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder, "sync it"))
    }
}

fn chain_of(text: &str) -> Option<Chain> {
    let mut chain = Chain::default();
    if text.len() != 2 * chain.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in chain.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(chain)
}

/// A seal of the last day of the journal in `folder`, as far as it is on the disk; `None` when it has no record. The journal may
/// be being written. Of each day only the first segment is read; [`crate::verify`] reads all.
///
/// # Errors
/// `NoHead`, `Missing`, `Damaged`, `Version`, `Io`.
pub fn seal(folder: &Path) -> Result<Option<Seal>, JournalError> {
    let known = head::read(folder)?.ok_or_else(|| JournalError::NoHead(head::head_path(folder)))?;
    seal_of(folder, known.head)
}

/// A seal of the day with which segment `number` ends, which is finished: of all up to its end, whatever follows.
///
/// # Errors
/// `Missing`, `Damaged` (also when it is not finished), `Version`, `Io`.
pub fn seal_through(folder: &Path, number: u64) -> Result<Option<Seal>, JournalError> {
    let path = segment_path(folder, number);
    if !path.exists() {
        return Err(JournalError::Missing(path));
    }
    let mut scan = Scan::open(&path, number)?;
    let records_before = scan.header().records_before;
    let bytes = scan.file_bytes()?;
    let footer = last_footer(&mut scan)?;
    let head = Head {
        segment: number,
        bytes,
        records: records_before + footer.records,
        last_seq: footer.last_seq,
        last_tai_ns: scan.footer_tai_ns(),
        chain: footer.chain,
    };
    seal_of(folder, head)
}

fn seal_of(folder: &Path, head: Head) -> Result<Option<Seal>, JournalError> {
    if head.segment == 0 || head.records == 0 {
        return Ok(None);
    }
    let begins = day_begins_before(folder, head.segment)?;
    let mut reader = Reader::open_near(folder, begins)?;
    let Some(first) = reader.next()?.map(|record| record.segment) else { return Ok(None) };
    let scan = Scan::open(&segment_path(folder, first), first)?;
    let mut seal = Seal { instance: scan.header().instance(), head, ..Seal::default() };
    let mut before = scan.header().records_before;
    let mut reader = Reader::open_near(folder, begins)?;
    while let Some(record) = reader.next()? {
        if record.header.seq >= begins {
            (seal.first_seq, seal.first_tai_ns) = (record.header.seq, record.header.tai_ns);
            break;
        }
        before += 1;
    }
    seal.records = head.records.saturating_sub(before);
    if let Some((day, build)) = last_start(folder, head.segment)? {
        (seal.day, seal.build) = (day, build);
    }
    Ok(Some(seal))
}

/// Day and build that the last start record of the segments up to `last` says.
fn last_start(folder: &Path, last: u64) -> Result<Option<(u32, String)>, JournalError> {
    for number in (beginning(folder)?.segment..=last).rev() {
        let mut scan = Scan::open(&segment_path(folder, number), number)?;
        let mut last = None;
        while let Some(body) = scan.find(Kind::Start as u16)? {
            let body = scan.bytes(body);
            let day = start_text(body).and_then(|text| run_value(text, "day")).and_then(|day| day.parse().ok());
            let build =
                StartRecord::ref_from_prefix(body).map_or_else(|_| String::new(), |(start, _)| hex(&start.build));
            last = Some((day.unwrap_or(0), build));
        }
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}
