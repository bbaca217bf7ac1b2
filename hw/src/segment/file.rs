//! Where the file is, and how it comes into being and goes.

use super::SegmentSpec;
use super::error::{SegmentFileError, io_error};
use super::lock::{Role, lock};
use super::mapping::{Mapping, held_pid, map};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tern_abi::segment::{INSTANCE_BYTES_MAX, Segment, SegmentIdentity, SegmentLayout};

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

/// Opens the file and takes the lock of `role`; makes the file if there is none.
pub(super) fn open_role(spec: &SegmentSpec, role: Role) -> Result<Mapping, SegmentFileError> {
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
    // The lock stays until the segment has its name: whoever waits for it would make it over again.
    let _lock = file.try_clone().map_err(io_error(&new, "keep its lock"))?;
    let made = fill(&new, file, bytes, spec, layout)
        .and_then(|()| fs::rename(&new, path).map_err(io_error(path, "give it its name")));
    if made.is_err() {
        fs::remove_file(&new).ok();
    }
    made
}

/// Makes a segment in `file`, which has no name but `new` yet.
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

fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: Vec<u8> =
        text.bytes().filter_map(|digit| (digit as char).to_digit(16)).map(|digit| digit as u8).collect();
    std::array::from_fn(|index| match digits.get(2 * index..2 * index + 2) {
        Some([high, low]) => high << 4 | low,
        _ => 0,
    })
}
