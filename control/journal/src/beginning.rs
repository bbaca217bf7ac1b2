//! Where a journal begins: with its first segment, or behind the last day that was deleted.
//!
//! ```text
//! beginning          what was deleted last, as text: the seal of its last day in it, and a SHA-256 over all
//! seals/NAME.deleted the same, kept for good: each names the one before by its SHA-256
//! ```
//! The file `beginning` decides, from the moment it has its name: segments before it are no part of the journal, there or
//! not. Whatever ends a deletion in its middle leaves segments that the next one removes.

use crate::format::{Chain, segment_path};
use crate::scan::Scan;
use crate::seal::{Seal, hex};
use crate::verify::Damage;
use crate::{JournalError, io_error};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

const TITLE: &str = "tern journal deletion 1";

/// What was deleted at once: whole days, up to the end of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// When, TAI ns.
    pub at_tai_ns: u64,
    /// Days that were to be kept then (`journal.retain_days`).
    pub retain_days: u32,
    /// Number of the first segment; the last one is the seal's.
    pub first_segment: u64,
    /// `seq` of the first record, as the header of that segment says.
    pub first_seq: u64,
    /// Its time, TAI ns.
    pub first_tai_ns: u64,
    /// SHA-256 of the text of the deletion before, in hexadecimal; zeros in the first.
    pub before: String,
    /// Seal of the last day: what is left begins with its chain.
    pub seal: Seal,
}

impl Deletion {
    /// Its text: lines of `key value`, the seal, and a SHA-256 over all before.
    pub fn to_text(&self) -> String {
        let Self { at_tai_ns, retain_days, first_segment, first_seq, first_tai_ns, before, seal } = self;
        let mut text = format!(
            "{TITLE}\ndeleted_tai_ns {at_tai_ns}\nretain_days {retain_days}\nfirst_segment {first_segment}\n\
             first_seq {first_seq}\nfirst_tai_ns {first_tai_ns}\nbefore {before}\n{}",
            seal.to_text()
        );
        let digest = hex(&Sha256::digest(text.as_bytes()));
        text.push_str(&format!("sha256 {digest}\n"));
        text
    }

    /// SHA-256 of its text, in hexadecimal: by that the next deletion names it.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.to_text().as_bytes()))
    }

    /// The name of its file among the seals.
    pub fn file_name(&self) -> String {
        self.seal.file_name().replace(".seal", ".deleted")
    }

    /// Reads its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (body, digest) =
            text.trim_end().rsplit_once("\nsha256 ").ok_or("it does not end in a line `sha256 ...`")?;
        if hex(&Sha256::digest(format!("{body}\n").as_bytes())) != digest {
            return Err("its last line does not fit the lines before: it was changed, or copied in part".into());
        }
        let mut rest = body.strip_prefix(TITLE).ok_or_else(|| format!("it does not begin with `{TITLE}`"))?;
        let mut next = |key: &str| -> Result<&str, String> {
            let line = rest.strip_prefix('\n').unwrap_or_default();
            let (line, behind) = line.split_once('\n').ok_or_else(|| format!("it has no `{key}`"))?;
            rest = &rest[rest.len() - behind.len() - 1..];
            line.strip_prefix(key)
                .and_then(|value| value.strip_prefix(' '))
                .ok_or_else(|| format!("`{key}` is expected where it says `{line}`"))
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
        let at_tai_ns = next("deleted_tai_ns").and_then(number)?;
        let retain_days = next("retain_days").and_then(number)?;
        let retain_days = u32::try_from(retain_days).map_err(|_| format!("`{retain_days}` are too many days"))?;
        let first_segment = next("first_segment").and_then(number)?;
        let (first_seq, first_tai_ns) = (next("first_seq").and_then(number)?, next("first_tai_ns").and_then(number)?);
        let before = next("before")?.to_owned();
        let seal = Seal::parse(rest.trim_start()).map_err(|what| format!("its seal: {what}"))?;
        if seal.head.segment == u64::MAX || first_segment == 0 || first_segment > seal.head.segment {
            return Err(format!("segments {first_segment} to {} are none", seal.head.segment));
        }
        let read = Self { at_tai_ns, retain_days, first_segment, first_seq, first_tai_ns, before, seal };
        if read.to_text() == text { Ok(read) } else { Err("it is not as it was written".into()) }
    }
}

/// Where a journal begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Number of its first segment: 1, unless days were deleted.
    pub segment: u64,
    /// What was deleted last.
    pub deletion: Option<Deletion>,
}

impl Beginning {
    fn behind(deletion: Option<Deletion>) -> Self {
        let segment = deletion.as_ref().map_or(1, |deletion| deletion.seal.head.segment + 1);
        Self { segment, deletion }
    }

    /// The chain that the first segment goes on with.
    pub fn previous(&self) -> Chain {
        self.deletion.as_ref().map_or_else(Chain::default, |deletion| deletion.seal.head.chain)
    }

    /// Records that were deleted.
    pub fn records_before(&self) -> u64 {
        self.deletion.as_ref().map_or(0, |deletion| deletion.seal.head.records)
    }

    /// `seq` of the last record that was deleted; 0 if none was.
    pub fn last_seq(&self) -> u64 {
        self.deletion.as_ref().map_or(0, |deletion| deletion.seal.head.last_seq)
    }

    /// Whether the segment of `scan`, the first one, goes on where the seal of the last deleted day ends.
    pub(crate) fn check(&self, scan: &Scan) -> Result<(), JournalError> {
        let header = scan.header();
        let Some(deletion) = &self.deletion else { return Ok(()) };
        let is_next = header.previous == self.previous()
            && header.records_before == self.records_before()
            && header.first_seq > self.last_seq()
            && header.instance() == deletion.seal.instance;
        if is_next { Ok(()) } else { Err(JournalError::Damaged(scan.damage(NOT_BEHIND_THE_DELETED))) }
    }
}

pub(crate) const NOT_BEHIND_THE_DELETED: &str =
    "it does not go on where the seal of the last deleted day ends, which the file `beginning` has";
const NOT_A_BEGINNING: &str = "it is not what was written: nobody can tell with which segment the journal begins";

pub(crate) fn beginning_path(folder: &Path) -> PathBuf {
    folder.join("beginning")
}

/// Where the journal in `folder` begins.
///
/// # Errors
/// `Damaged` where that was changed, `Io`.
pub fn beginning(folder: &Path) -> Result<Beginning, JournalError> {
    let path = beginning_path(folder);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Beginning::behind(None)),
        other => other.map_err(io_error(&path, "read it"))?,
    };
    match Deletion::parse(&String::from_utf8_lossy(&text)) {
        Ok(deletion) => Ok(Beginning::behind(Some(deletion))),
        Err(_) => Err(JournalError::Damaged(Damage { path, offset: 0, what: NOT_A_BEGINNING, after: None })),
    }
}

/// Opens a segment, and holds it against the beginning where it is the first one.
pub(crate) fn open_segment(folder: &Path, number: u64, beginning: &Beginning) -> Result<Scan, JournalError> {
    let scan = Scan::open(&segment_path(folder, number), number)?;
    if number == beginning.segment {
        beginning.check(&scan)?;
    }
    Ok(scan)
}

/// Deletions of the journal in `folder`, the last one first, as far as each leads to the one before.
///
/// # Errors
/// `Damaged` where the file of one is missing or was changed; `Io`. Those found before it come with it.
pub fn deletions(folder: &Path) -> Result<Vec<Deletion>, (Vec<Deletion>, JournalError)> {
    let mut found = Vec::new();
    let mut next = match beginning(folder) {
        Ok(beginning) => beginning.deletion,
        Err(error) => return Err((found, error)),
    };
    let kept = match kept(folder) {
        Ok(kept) => kept,
        Err(error) => return Err((found, error)),
    };
    while let Some(deletion) = next {
        next = kept.iter().find(|other| other.digest() == deletion.before).cloned();
        let is_first = deletion.first_segment == 1;
        let follows = next.as_ref().is_some_and(|before| before.seal.head.segment + 1 == deletion.first_segment);
        let path = folder.join("seals").join(deletion.file_name());
        found.push(deletion);
        if is_first {
            break;
        }
        if !follows {
            let what = "what was deleted before this is not told: the file of that deletion is missing or was changed";
            return Err((found, JournalError::Damaged(Damage { path, offset: 0, what, after: None })));
        }
    }
    Ok(found)
}

/// All files of deletions that can be read.
fn kept(folder: &Path) -> Result<Vec<Deletion>, JournalError> {
    let seals = folder.join("seals");
    let entries = match fs::read_dir(&seals) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io_error(&seals, "list it"))?,
    };
    let mut kept = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error(&seals, "list it"))?.path();
        if path.extension().is_some_and(|extension| extension == "deleted") {
            let text = fs::read(&path).map_err(io_error(&path, "read it"))?;
            kept.extend(Deletion::parse(&String::from_utf8_lossy(&text)));
        }
    }
    Ok(kept)
}
