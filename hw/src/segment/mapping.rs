//! The file in memory.

use super::error::{SegmentFileError, io_error};
use super::lock::{Role, is_locked};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use tern_abi::ring::Corrupt;
use tern_abi::segment::{Segment, SegmentError};

/// What holds the segment's pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Huge pages of this size, bytes.
    HugeTlb {
        /// Bytes of a page.
        page_bytes: u64,
    },
    /// Ordinary pages of a tmpfs (or another file system), and why not huge ones.
    Ordinary {
        /// Why; empty if huge pages were not asked for.
        why: String,
    },
}

/// The file, mapped.
pub(super) struct Mapping {
    file: File,
    pub(super) path: PathBuf,
    pub(super) base: NonNull<u8>,
    pub(super) bytes: usize,
    pub(super) writable: bool,
    pub(super) backing: Backing,
}

// SAFETY: shared memory; what may be done with it from where is the segment's matter.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and every borrow of it has ended.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

impl Mapping {
    pub(super) fn segment(&self) -> Result<Segment<'_>, SegmentFileError> {
        // SAFETY: the mapping lives as long as the borrow, begins at a page, and a file of this name is used as a
        // segment by everyone.
        unsafe { Segment::attach(self.base, self.bytes) }
            .map_err(|error| SegmentFileError::Unusable { path: self.path.clone(), error })
    }

    pub(super) fn corrupt(&self, corrupt: Corrupt) -> SegmentFileError {
        SegmentFileError::Unusable { path: self.path.clone(), error: corrupt.into() }
    }

    pub(super) fn holder(&self, role: Role) -> Result<Option<u32>, SegmentFileError> {
        let held = is_locked(&self.file, role).map_err(io_error(&self.path, "ask for its lock"))?;
        Ok(held.then(|| self.segment().map_or(0, |segment| owner_pid(&segment, role))))
    }
}

/// Maps a file; `why` it is not on huge pages.
pub(super) fn map(
    file: File,
    path: PathBuf,
    writable: bool,
    populate: bool,
    why: String,
) -> Result<Mapping, SegmentFileError> {
    let metadata = file.metadata().map_err(io_error(&path, "look at it"))?;
    let bytes = metadata.len() as usize;
    if bytes == 0 {
        return Err(SegmentFileError::Unusable { path, error: SegmentError::Unfinished });
    }
    let protection = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
    let flags = libc::MAP_SHARED | if populate { libc::MAP_POPULATE } else { 0 };
    // SAFETY: a new mapping at an address that the kernel chooses.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, file.as_raw_fd(), 0) };
    if base == libc::MAP_FAILED {
        return Err(io_error(&path, "map it")(io::Error::last_os_error()));
    }
    let Some(base) = NonNull::new(base.cast()) else {
        return Err(io_error(&path, "map it")(io::Error::from(io::ErrorKind::InvalidData)));
    };
    let backing = if metadata.blksize() > 4096 && is_hugetlbfs(&file) {
        Backing::HugeTlb { page_bytes: metadata.blksize() }
    } else {
        Backing::Ordinary { why }
    };
    Ok(Mapping { file, path, base, bytes, writable, backing })
}

fn is_hugetlbfs(file: &File) -> bool {
    // SAFETY: all zero bytes are a sound `statfs`, which the kernel then fills.
    let mut facts: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: an open file and a struct of the right type.
    unsafe { libc::fstatfs(file.as_raw_fd(), &mut facts) == 0 && facts.f_type == libc::HUGETLBFS_MAGIC }
}

fn owner_pid(segment: &Segment<'_>, role: Role) -> u32 {
    let owner = if role == Role::Daemon { &segment.daemon } else { &segment.data_plane };
    owner.get().map_or(0, |(pid, _)| pid)
}

/// Who holds the lock on `path`, as the segment says; 0 if it cannot be read.
pub(super) fn held_pid(path: &Path, role: Role) -> u32 {
    let Ok(file) = File::open(path) else { return 0 };
    let Ok(mapping) = map(file, path.to_owned(), false, false, String::new()) else { return 0 };
    mapping.segment().map_or(0, |segment| owner_pid(&segment, role))
}
