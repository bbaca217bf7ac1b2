//! The shared segment as a file: makes, opens, locks and removes it, and gives each role its ring ends, safely, because
//! a lock on the file says that there is one data plane and one daemon.
//!
//! The file is `tern-INSTANCE` on hugetlbfs where one is mounted with enough free pages, else in `/dev/shm`. It appears
//! complete or not at all, and outlives every process that uses it; a lock ends with its process, however that ends.

#![allow(unsafe_code, reason = "maps a file that other processes write")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use tern_abi::ring::Corrupt;
use tern_abi::ring::commands::{CommandReceiver, CommandSender};
use tern_abi::ring::drain::Drain;
use tern_abi::ring::recorder::ShmRecorder;
use tern_abi::segment::{
    INSTANCE_BYTES_MAX, KillCause, KillState, Segment, SegmentError, SegmentIdentity, SegmentLayout, SegmentSizes,
};

/// What segment to make or open.
#[derive(Clone, Debug)]
pub struct SegmentSpec {
    /// Name of the instance: letters, digits, `-` and `_`, at most [`INSTANCE_BYTES_MAX`].
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    DataPlane = 0,
    Daemon = 1,
    Maker = 2,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::DataPlane => "data plane",
            Self::Daemon => "daemon",
            Self::Maker => "maker",
        }
    }
}

/// The file, mapped.
struct Mapping {
    file: File,
    path: PathBuf,
    base: NonNull<u8>,
    bytes: usize,
    writable: bool,
    backing: Backing,
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
        if !self.0.writable {
            let error = io::Error::from(io::ErrorKind::PermissionDenied);
            return Err(io_error(&self.0.path, "write the kill word")(error));
        }
        Ok(self.0.segment()?.kill.kill(uid, KillCause::Operator, tai_ns))
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

/// The file of the segment of `instance`: `path` if given, else on a mounted hugetlbfs, else in `/dev/shm`.
///
/// # Errors
/// `Name`, or `Absent` with the places where it was looked for.
pub fn find(instance: &str, path: Option<&Path>) -> Result<PathBuf, SegmentFileError> {
    let looked = candidates(instance, path)?;
    match looked.iter().find(|candidate| candidate.exists()) {
        Some(found) => Ok(found.clone()),
        None => Err(SegmentFileError::Absent { instance: instance.into(), looked }),
    }
}

/// Removes the segment of `instance` and what a killed maker left; says whether there was one.
///
/// # Errors
/// `Held` while a data plane or a daemon uses it.
pub fn remove(instance: &str, path: Option<&Path>) -> Result<bool, SegmentFileError> {
    let mut found = false;
    for path in candidates(instance, path)? {
        let new = path.with_added_extension("new");
        for path in [new, path] {
            let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
            for role in [Role::DataPlane, Role::Daemon] {
                if !lock(&file, role, false).map_err(io_error(&path, "lock it"))? {
                    let pid = held_pid(&path, role);
                    return Err(SegmentFileError::Held { path, role: role.name(), pid });
                }
            }
            fs::remove_file(&path).map_err(io_error(&path, "remove it"))?;
            found = true;
        }
    }
    Ok(found)
}

impl Mapping {
    fn segment(&self) -> Result<Segment<'_>, SegmentFileError> {
        // SAFETY: the mapping lives as long as the borrow, begins at a page, and a file of this name is used as a
        // segment by everyone.
        unsafe { Segment::attach(self.base, self.bytes) }
            .map_err(|error| SegmentFileError::Unusable { path: self.path.clone(), error })
    }

    fn corrupt(&self, corrupt: Corrupt) -> SegmentFileError {
        SegmentFileError::Unusable { path: self.path.clone(), error: corrupt.into() }
    }

    fn holder(&self, role: Role) -> Result<Option<u32>, SegmentFileError> {
        let held = is_locked(&self.file, role).map_err(io_error(&self.path, "ask for its lock"))?;
        Ok(held.then(|| self.segment().map_or(0, |segment| owner_pid(&segment, role))))
    }
}

fn io_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> SegmentFileError {
    let path = path.to_owned();
    move |error| SegmentFileError::Io { path, what, error }
}

fn candidates(instance: &str, path: Option<&Path>) -> Result<Vec<PathBuf>, SegmentFileError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !(1..=INSTANCE_BYTES_MAX).contains(&instance.len()) || !instance.bytes().all(allowed) {
        return Err(SegmentFileError::Name(instance.into()));
    }
    if let Some(path) = path {
        return Ok(vec![path.to_owned()]);
    }
    let name = format!("tern-{instance}");
    let mut found: Vec<PathBuf> = hugetlbfs_mounts().into_iter().map(|mount| mount.join(&name)).collect();
    found.push(Path::new("/dev/shm").join(&name));
    Ok(found)
}

/// Where hugetlbfs is mounted.
fn hugetlbfs_mounts() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let path = fields.next()?;
        (fields.next()? == "hugetlbfs").then(|| PathBuf::from(path))
    };
    mounts.lines().filter_map(mount).collect()
}

fn open_role(spec: &SegmentSpec, role: Role) -> Result<Mapping, SegmentFileError> {
    let layout = SegmentLayout::new(spec.sizes).map_err(SegmentFileError::Sizes)?;
    loop {
        let (path, why) = match find(&spec.instance, spec.path.as_deref()) {
            Ok(path) => (path, String::new()),
            Err(SegmentFileError::Absent { .. }) => make(spec, &layout)?,
            Err(error) => return Err(error),
        };
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(io_error(&path, "open it"))?,
        };
        if !lock(&file, role, false).map_err(io_error(&path, "lock it"))? {
            let pid = held_pid(&path, role);
            return Err(SegmentFileError::Held { path, role: role.name(), pid });
        }
        // Removed between opening and locking: the lock is on a file that nobody finds any more.
        let same = |found: fs::Metadata| file.metadata().is_ok_and(|ours| ours.ino() == found.ino());
        if !fs::metadata(&path).is_ok_and(same) {
            continue;
        }
        let mapping = map(file, path, true, true, why)?;
        let found = mapping.segment()?.layout().sizes();
        if found != spec.sizes {
            return Err(SegmentFileError::OtherSizes { path: mapping.path.clone(), found, wanted: spec.sizes });
        }
        return Ok(mapping);
    }
}

/// Makes the segment at the first place that takes it; the path, and why it is not on huge pages.
fn make(spec: &SegmentSpec, layout: &SegmentLayout) -> Result<(PathBuf, String), SegmentFileError> {
    let mut places = candidates(&spec.instance, spec.path.as_deref())?;
    let mut why = String::new();
    if spec.path.is_none() {
        if !spec.huge_pages {
            places.drain(..places.len() - 1);
        } else if places.len() == 1 {
            why = "no hugetlbfs is mounted".into();
        }
    }
    // There is always one; an empty path would be refused below.
    let last = places.pop().unwrap_or_default();
    for path in places {
        match make_at(&path, spec, layout) {
            Ok(()) => return Ok((path, why)),
            Err(error) => why = error.to_string(),
        }
    }
    make_at(&last, spec, layout)?;
    Ok((last, why))
}

fn make_at(path: &Path, spec: &SegmentSpec, layout: &SegmentLayout) -> Result<(), SegmentFileError> {
    let new = path.with_added_extension("new");
    // hugetlbfs gives its page size as the block size.
    let directory = new.parent().unwrap_or(Path::new("/"));
    let block = fs::metadata(directory).map_err(io_error(directory, "look at it"))?.blksize().max(4096);
    let bytes = (layout.total_bytes() as u64).next_multiple_of(block);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o660)
        .open(&new)
        .map_err(io_error(&new, "make it"))?;
    // Whoever has the lock makes the segment; who waited finds it made.
    lock(&file, Role::Maker, true).map_err(io_error(&new, "lock it"))?;
    if path.exists() {
        let ours = file.metadata().map(|metadata| metadata.ino()).unwrap_or(0);
        if fs::metadata(&new).is_ok_and(|found| found.ino() == ours) {
            fs::remove_file(&new).ok();
        }
        return Ok(());
    }
    let made = fill(&new, file, bytes, spec, layout)
        .and_then(|()| fs::rename(&new, path).map_err(io_error(path, "give it its name")));
    if made.is_err() {
        fs::remove_file(&new).ok();
    }
    made
}

fn fill(
    new: &Path,
    file: File,
    bytes: u64,
    spec: &SegmentSpec,
    layout: &SegmentLayout,
) -> Result<(), SegmentFileError> {
    file.set_len(0).and_then(|()| file.set_len(bytes)).map_err(io_error(new, "size it"))?;
    // Takes the pages now: without, a full file system would be a SIGBUS in the loop later.
    // SAFETY: a plain system call on an open file.
    if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes as libc::off_t) } != 0 {
        return Err(io_error(new, "take its memory")(io::Error::last_os_error()));
    }
    let mapping = map(file, new.to_owned(), true, false, String::new())?;
    let mut instance = [0; INSTANCE_BYTES_MAX + 1];
    instance[..spec.instance.len()].copy_from_slice(spec.instance.as_bytes());
    let identity = SegmentIdentity {
        instance,
        boot_id: boot_id(),
        created_tai_ns: spec.now_tai_ns,
        first_seq: spec.first_seq.max(1),
    };
    // SAFETY: a fresh zeroed file under a name that only its maker, who holds the lock, uses.
    unsafe { Segment::format(mapping.base, mapping.bytes, layout, &identity) }
        .map(|_| ())
        .map_err(|error| SegmentFileError::Unusable { path: new.to_owned(), error })
}

fn map(file: File, path: PathBuf, writable: bool, populate: bool, why: String) -> Result<Mapping, SegmentFileError> {
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

/// Byte `role` of the file. OFD locks belong to the open file: they end with the process and do not mind threads.
fn lock_range(role: Role) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: role as libc::off_t,
        l_len: 1,
        l_pid: 0,
    }
}

fn lock(file: &File, role: Role, wait: bool) -> io::Result<bool> {
    let command = if wait { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    loop {
        // SAFETY: an open file and a struct of the right type.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &lock_range(role)) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN | libc::EACCES) => return Ok(false),
            _ => return Err(error),
        }
    }
}

fn is_locked(file: &File, role: Role) -> io::Result<bool> {
    let mut range = lock_range(role);
    // SAFETY: an open file and a struct of the right type, which the kernel fills.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut range) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(range.l_type != libc::F_UNLCK as libc::c_short)
}

fn owner_pid(segment: &Segment<'_>, role: Role) -> u32 {
    let owner = if role == Role::Daemon { &segment.daemon } else { &segment.data_plane };
    owner.get().map_or(0, |(pid, _)| pid)
}

/// Who holds the lock on `path`, as the segment says; 0 if it cannot be read.
fn held_pid(path: &Path, role: Role) -> u32 {
    let Ok(file) = File::open(path) else { return 0 };
    let Ok(mapping) = map(file, path.to_owned(), false, false, String::new()) else { return 0 };
    mapping.segment().map_or(0, |segment| owner_pid(&segment, role))
}

/// Process id and start time (field 22 of `/proc/self/stat`, clock ticks since boot).
fn this_process() -> (u32, u64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything; field 3 follows the last of them.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let start = after_name.split_ascii_whitespace().nth(19).and_then(|field| field.parse().ok());
    (std::process::id(), start.unwrap_or(0))
}

fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: Vec<u8> =
        text.bytes().filter_map(|digit| (digit as char).to_digit(16)).map(|digit| digit as u8).collect();
    std::array::from_fn(|index| match digits.get(2 * index..2 * index + 2) {
        Some([high, low]) => high << 4 | low,
        _ => 0,
    })
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

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
