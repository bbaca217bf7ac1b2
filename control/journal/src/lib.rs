//! The journal: every record of the rings, on disk, in order, for as long as somebody may ask.
//!
//! A journal is a folder of segment files, numbered from 1 without a gap. Only the last one is written, at its end. The first
//! days may be deleted ([`retention`]): it then begins where the seal of the last of them ends ([`beginning()`]).
//!
//! ```text
//! segment   header (128 bytes): magic, version, instance, number, first seq, time, chain of the segment before, records
//!           before, crc
//!           blocks of records, at most 64 KiB where records are shorter
//!           mark, between two blocks: a record of kind 0xFFFE with the chain of the block that ends
//!           footer, once the segment is full or the daemon ends: a record of kind 0xFFFF with the last block's chain
//! record    RecordHeader (24 bytes) | crc32 | zero (4 bytes) | body | zeros up to a multiple of 8
//! chain     SHA-256 over the bytes of a block. The first block of a segment begins with the header, each other one with
//!           the mark before it: both have the chain so far
//! ```
//! The crc of a record covers all its bytes and the number of its segment. The [`Head`], in a file beside the segments,
//! says how far the journal is on the disk for sure, and the chain there. [`Writer`] recovers a journal and goes on with
//! it, [`Reader`] follows it, finished or not, and takes no damage for its end, [`verify`] reads every bit of it, and a [`Seal`] is a head to be kept
//! elsewhere. Who can prove what with that: docs/adr/0026.
#![forbid(unsafe_code)]

mod accept;
mod beginning;
mod chain;
mod day;
mod facts;
mod follower;
mod format;
mod head;
pub mod index;
mod opening;
mod packed;
mod reader;
mod recover;
pub mod recovered;
pub mod retention;
mod scan;
mod seal;
pub mod storage;
mod verify;
mod writer;

pub use accept::{Accepted, GivenUp, accept, accept_on};
pub use beginning::{Beginning, Deletion, beginning, deletions};
pub use day::{DayEntry, DayLog, day_log};
pub use facts::{SegmentFacts, segment_facts};
pub use follower::{Follower, follower_name, followers, forget, is_follower_name, make_followers};
pub use format::{BODY_BYTES_MAX, Chain, JOURNAL_VERSION};
pub use head::{Head, durable};
pub use index::{Index, segments_from};
pub use opening::Opening;
pub use packed::{Compressed, compress, compress_on};
pub use reader::{Reader, Record};
pub use recover::{Cut, Recovered};
pub use seal::{Seal, hex, seal, seal_through, sha256_of};
pub use verify::{Damage, Gap, Stretch, Verified, verify, verify_with};
pub use writer::{Options, Writer};

use std::io;
use std::path::{Path, PathBuf};

/// Why a journal cannot be written or read. Every message names the file or folder.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A system call failed.
    #[error("{path}: cannot {what}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// Another process writes it.
    #[error("{0}: another process writes this journal; stop it first")]
    Locked(PathBuf),
    /// A segment is not there, though later ones are.
    #[error("{0} is missing; bring it back from where it was moved, the journal has no other copy")]
    Missing(PathBuf),
    /// A segment was deleted as it was to be (`journal.retain_days`), while somebody read it or wanted to.
    #[error("{path} was deleted with its day; the journal begins with segment {first}: read it from there")]
    Deleted {
        /// The file.
        path: PathBuf,
        /// Number of the first segment.
        first: u64,
    },
    /// There are segments, and no head.
    #[error(
        "{0} is missing: without it nobody can tell whether the journal still has its end; bring it back, or see what \
         `tern journal verify` says and take the journal as it is with `tern journal accept`"
    )]
    NoHead(PathBuf),
    /// Made by a build with another format.
    #[error(
        "{path} has journal version {found}, this build has {JOURNAL_VERSION}; read it with the build that wrote it, and \
         give this one an empty folder (paths.journal), between two trading days"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The journal of another instance.
    #[error("{path} is of instance {found:?}, not {wanted:?}; give each instance a journal folder of its own")]
    Instance {
        /// The file.
        path: PathBuf,
        /// Its instance.
        found: String,
        /// The instance configured.
        wanted: String,
    },
    /// A file does not hold what was written.
    #[error("{0}; the records before are whole: keep the file, and find out what wrote to it or to its disk")]
    Damaged(Damage),
    /// Not a seal.
    #[error("{path}: {what}")]
    Seal {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The record cannot be written as it is.
    #[error("record {seq} cannot be written: {what}")]
    Record {
        /// Its sequence number.
        seq: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

fn io_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |error| JournalError::Io { path, what, error }
}
