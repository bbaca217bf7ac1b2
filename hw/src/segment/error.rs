//! Why a segment file cannot be used.

use std::io;
use std::path::{Path, PathBuf};
use tern_abi::segment::{INSTANCE_BYTES_MAX, SegmentError, SegmentSizes};

/// Why a segment file cannot be used. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum SegmentFileError {
    /// The instance's name cannot be part of a file name.
    #[error("instance name {0:?}: letters, digits, - and _ only, 1 to {INSTANCE_BYTES_MAX} of them")]
    Name(String),
    /// The ring sizes are impossible.
    #[error("shared segment: {0}")]
    Sizes(SegmentError),
    /// The file is there, but not what this build uses.
    #[error(
        "{path} {error}; drain it with the build that made it, or remove it (records not yet in the journal are lost)"
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SegmentError,
    },
    /// The file was made with other sizes.
    #[error(
        "{path} was made with {found:?}, the configuration says {wanted:?}; let the daemon drain it, then remove it"
    )]
    OtherSizes {
        /// The file.
        path: PathBuf,
        /// Its sizes.
        found: SegmentSizes,
        /// The configured sizes.
        wanted: SegmentSizes,
    },
    /// Another process has this role.
    #[error("{path}: another {role} is running (pid {pid}); stop it first")]
    Held {
        /// The file.
        path: PathBuf,
        /// `data plane` or `daemon`.
        role: &'static str,
        /// Its process id; 0 if it has not said so yet.
        pid: u32,
    },
    /// There is no such segment.
    #[error("no shared segment of instance {instance:?} (looked for {looked:?}); is ternd running?")]
    Absent {
        /// The instance.
        instance: String,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// A system call failed.
    #[error("{path}: cannot {what}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
}

/// Puts file and call to what the system said.
pub(super) fn io_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> SegmentFileError {
    let path = path.to_owned();
    move |error| SegmentFileError::Io { path, what, error }
}
