//! The shared segment as a file: makes, opens, locks and removes it, and gives each role its ring ends, safely, because
//! a lock on the file says that there is one data plane and one daemon.
//!
//! The file is `tern-INSTANCE` on hugetlbfs where one is mounted with enough free pages, else in `/dev/shm`. It appears
//! complete or not at all, and outlives every process that uses it; a lock ends with its process, however that ends.

#![allow(unsafe_code, reason = "maps a file that other processes write")]

mod error;
mod file;
mod lock;
mod mapping;

pub use error::SegmentFileError;
pub use file::{find, remove};
pub use mapping::Backing;

use error::io_error;
use file::open_role;
use lock::Role;
use mapping::{Mapping, map};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use tern_abi::ring::commands::{CommandReceiver, CommandSender};
use tern_abi::ring::drain::Drain;
use tern_abi::ring::recorder::ShmRecorder;
use tern_abi::segment::{KillCause, KillState, Scope, Segment, SegmentSizes};

/// What segment to make or open.
#[derive(Clone, Debug)]
pub struct SegmentSpec {
    /// Name of the instance: letters, digits, `-` and `_`, at most [`INSTANCE_BYTES_MAX`](tern_abi::segment::INSTANCE_BYTES_MAX).
    pub instance: String,
    /// The file; `None` = where [`find`] looks.
    pub path: Option<PathBuf>,
    /// Sizes of the rings.
    pub sizes: SegmentSizes,
    /// `seq` of the first record if the segment has to be made: one more than the journal's last.
    pub first_seq: u64,
    /// TAI ns, for the header if the segment has to be made.
    pub now_tai_ns: u64,
    /// Whether hugetlbfs is tried.
    pub huge_pages: bool,
}

impl SegmentSpec {
    /// A segment with the usual sizes.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            path: None,
            sizes: SegmentSizes::default(),
            first_seq: 1,
            now_tai_ns: 0,
            huge_pages: true,
        }
    }
}

/// The data plane's hold on the segment. There is one at a time.
pub struct DataPlaneSegment(Mapping);

/// What the data plane does with the segment.
pub struct DataPlaneEnds<'a> {
    /// Words: counters, heartbeats, kill word and so on.
    pub segment: Segment<'a>,
    /// Records.
    pub recorder: ShmRecorder<'a>,
    /// Commands of the daemon.
    pub commands: CommandReceiver<'a>,
}

/// The daemon's hold on the segment. There is one at a time.
pub struct DaemonSegment(Mapping);

/// What the daemon does with the segment.
pub struct DaemonEnds<'a> {
    /// Words: counters, heartbeats, kill word and so on.
    pub segment: Segment<'a>,
    /// Records.
    pub drain: Drain<'a>,
    /// Commands to the data plane.
    pub commands: CommandSender<'a>,
}

/// The daemon's hold on the data plane's role while there is no data plane: none can start as long as it is held, and
/// what is done in its place is recorded in its rings.
pub struct StandInSegment(Mapping);

/// A look at the segment, for anyone who may read the file.
pub struct SegmentView(Mapping);

impl DataPlaneSegment {
    /// Opens the segment for the data plane, makes it if there is none, and counts a run.
    ///
    /// # Errors
    /// [`SegmentFileError`]; `Held` if another data plane runs.
    pub fn open(spec: &SegmentSpec) -> Result<Self, SegmentFileError> {
        let mapping = open_role(spec, Role::DataPlane)?;
        let segment = mapping.segment()?;
        let (pid, start_ticks) = this_process();
        segment.data_plane.set(pid, start_ticks);
        segment.runs.set(segment.runs.get() + 1);
        Ok(Self(mapping))
    }

    /// Gives out the ring ends; the borrow keeps them single.
    ///
    /// # Errors
    /// [`SegmentFileError::Unusable`] if a ring cannot be read.
    pub fn ends(&mut self) -> Result<DataPlaneEnds<'_>, SegmentFileError> {
        let segment = self.0.segment()?;
        // SAFETY: the lock says that no other process has this role, `&mut self` that nothing in this one has.
        let ends = unsafe { segment.recorder().and_then(|recorder| Ok((recorder, segment.command_receiver()?))) };
        let (mut recorder, commands) = ends.map_err(|corrupt| self.0.corrupt(corrupt))?;
        // A segment made anew beside an old journal: the journal would drop what it takes for records that it has.
        recorder.raise_seq(segment.journaled_seq.get() + 1);
        Ok(DataPlaneEnds { segment, recorder, commands })
    }

    /// What holds its pages.
    pub fn backing(&self) -> &Backing {
        &self.0.backing
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl StandInSegment {
    /// Takes the data plane's role, without being one: no run is counted.
    ///
    /// # Errors
    /// [`SegmentFileError`]; `Held` while a data plane runs.
    pub fn open(spec: &SegmentSpec) -> Result<Self, SegmentFileError> {
        let mapping = open_role(spec, Role::DataPlane)?;
        // Not the dead one's id: who asks hears that nobody has said so yet.
        mapping.segment()?.data_plane.set(0, 0);
        Ok(Self(mapping))
    }

    /// Gives out the recorder; the borrow keeps it single. The words that a data plane writes are the stand-in's now.
    ///
    /// # Errors
    /// [`SegmentFileError::Unusable`] if a ring cannot be read.
    pub fn ends(&mut self) -> Result<(Segment<'_>, ShmRecorder<'_>), SegmentFileError> {
        let segment = self.0.segment()?;
        // SAFETY: the lock says that no data plane exists, `&mut self` that nothing in this process records.
        let mut recorder = unsafe { segment.recorder() }.map_err(|corrupt| self.0.corrupt(corrupt))?;
        recorder.raise_seq(segment.journaled_seq.get() + 1);
        Ok((segment, recorder))
    }
}

impl DaemonSegment {
    /// Opens the segment for the daemon, and makes it if there is none.
    ///
    /// # Errors
    /// [`SegmentFileError`]; `Held` if another daemon runs.
    pub fn open(spec: &SegmentSpec) -> Result<Self, SegmentFileError> {
        let mapping = open_role(spec, Role::Daemon)?;
        let (pid, start_ticks) = this_process();
        mapping.segment()?.daemon.set(pid, start_ticks);
        Ok(Self(mapping))
    }

    /// Gives out the ring ends; the borrow keeps them single.
    ///
    /// # Errors
    /// [`SegmentFileError::Unusable`] if a ring cannot be read.
    pub fn ends(&mut self) -> Result<DaemonEnds<'_>, SegmentFileError> {
        let segment = self.0.segment()?;
        // SAFETY: the lock says that no other process has this role, `&mut self` that nothing in this one has.
        let ends = unsafe { segment.drain().and_then(|drain| Ok((drain, segment.command_sender()?))) };
        let (drain, commands) = ends.map_err(|corrupt| self.0.corrupt(corrupt))?;
        Ok(DaemonEnds { segment, drain, commands })
    }

    /// Tells a segment how far the journal is, so that the next data plane numbers its records from there on at least:
    /// called once the journal is open and before a data plane is started.
    ///
    /// # Errors
    /// `Held` if a data plane already numbers its records below that; `Unusable`.
    pub fn set_journaled(&self, last_seq: u64) -> Result<(), SegmentFileError> {
        let segment = self.0.segment()?;
        segment.journaled_seq.set(last_seq);
        if segment.next_seq.get() <= last_seq {
            if let Some(pid) = self.data_plane()? {
                return Err(SegmentFileError::Held { path: self.0.path.clone(), role: Role::DataPlane.name(), pid });
            }
            segment.next_seq.set(last_seq + 1);
        }
        Ok(())
    }

    /// The data plane that holds the segment now, by its lock: `None` as soon as the process is gone. The id is 0 if it
    /// has not said so yet.
    ///
    /// # Errors
    /// [`SegmentFileError::Io`].
    pub fn data_plane(&self) -> Result<Option<u32>, SegmentFileError> {
        self.0.holder(Role::DataPlane)
    }

    /// What holds its pages.
    pub fn backing(&self) -> &Backing {
        &self.0.backing
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl SegmentView {
    /// Opens the segment of `instance` (or the file `path`) as far as the caller's rights go.
    ///
    /// # Errors
    /// [`SegmentFileError`]; `Absent` if there is none.
    pub fn open(instance: &str, path: Option<&Path>) -> Result<Self, SegmentFileError> {
        let path = find(instance, path)?;
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                File::open(&path).map(|file| (file, false))
            }
            other => other.map(|file| (file, true)),
        };
        let (file, writable) = file.map_err(io_error(&path, "open it"))?;
        let mapping = map(file, path, writable, false, String::new())?;
        mapping.segment()?;
        Ok(Self(mapping))
    }

    /// Opens it for reading alone, whatever the caller's rights: nothing that goes wrong in the caller can change it.
    ///
    /// # Errors
    /// As [`SegmentView::open`].
    pub fn open_to_read(instance: &str, path: Option<&Path>) -> Result<Self, SegmentFileError> {
        let path = find(instance, path)?;
        let file = File::open(&path).map_err(io_error(&path, "open it"))?;
        let mapping = map(file, path, false, false, String::new())?;
        mapping.segment()?;
        Ok(Self(mapping))
    }

    /// Everything outside the rings, for reading.
    ///
    /// # Errors
    /// [`SegmentFileError::Unusable`].
    pub fn segment(&self) -> Result<Segment<'_>, SegmentFileError> {
        self.0.segment()
    }

    /// Writes the kill word in the name of `uid`, an operator, at `tai_ns`.
    ///
    /// # Errors
    /// [`SegmentFileError::Io`] if the caller may not write the file.
    pub fn kill(&self, uid: u32, tai_ns: u64) -> Result<KillState, SegmentFileError> {
        self.kill_for(uid, KillCause::Operator, tai_ns)
    }

    /// Writes the kill word for `cause`, in the name of `uid` (`u32::MAX` = the system itself), at `tai_ns`.
    ///
    /// # Errors
    /// [`SegmentFileError::Io`] if the caller may not write the file.
    pub fn kill_for(&self, uid: u32, cause: KillCause, tai_ns: u64) -> Result<KillState, SegmentFileError> {
        if !self.0.writable {
            let error = io::Error::from(io::ErrorKind::PermissionDenied);
            return Err(io_error(&self.0.path, "write the kill word")(error));
        }
        Ok(self.0.segment()?.kill.kill(uid, cause, tai_ns))
    }

    /// Restricts a scope; the version of the table in which it stands.
    ///
    /// # Errors
    /// [`SegmentFileError::Io`] if the caller may not write the file, or the table is full.
    pub fn restrict(&self, scope: &Scope) -> Result<u64, SegmentFileError> {
        let failed = |kind| io_error(&self.0.path, "restrict a scope")(io::Error::from(kind));
        if !self.0.writable {
            return Err(failed(io::ErrorKind::PermissionDenied));
        }
        let scopes = &self.0.segment()?.words().scopes;
        scopes.restrict(scope).map_err(|_| failed(io::ErrorKind::QuotaExceeded))?;
        Ok(scopes.version())
    }

    /// The data plane that holds the segment now; the id is 0 if it has not said so yet.
    ///
    /// # Errors
    /// [`SegmentFileError::Io`].
    pub fn data_plane(&self) -> Result<Option<u32>, SegmentFileError> {
        self.0.holder(Role::DataPlane)
    }

    /// The daemon that holds the segment now; the id is 0 if it has not said so yet.
    ///
    /// # Errors
    /// [`SegmentFileError::Io`].
    pub fn daemon(&self) -> Result<Option<u32>, SegmentFileError> {
        self.0.holder(Role::Daemon)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl Deref for DataPlaneEnds<'_> {
    type Target = tern_abi::segment::Words;

    fn deref(&self) -> &Self::Target {
        self.segment.words()
    }
}

impl Deref for DaemonEnds<'_> {
    type Target = tern_abi::segment::Words;

    fn deref(&self) -> &Self::Target {
        self.segment.words()
    }
}

/// Process id and start time (field 22 of `/proc/self/stat`, clock ticks since boot).
fn this_process() -> (u32, u64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything; field 3 follows the last of them.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let start = after_name.split_ascii_whitespace().nth(19).and_then(|field| field.parse().ok());
    (std::process::id(), start.unwrap_or(0))
}

#[cfg(test)]
mod tests;
