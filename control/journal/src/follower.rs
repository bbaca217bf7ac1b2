//! Who follows a journal, and how far each one is: nothing is deleted that one of them still needs.
//!
//! ```text
//! followers/NAME  lines of `key value`: needs_seq, told_tai_ns, who
//! ```
//! Each follower writes its own file, whole or not at all. One that is not what was written holds back everything. Nobody but an
//! operator takes one away: who is gone may come back.

use crate::{JournalError, io_error};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The longest name.
const NAME_BYTES_MAX: usize = 100;

/// A follower, as it said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follower {
    /// Its name.
    pub name: String,
    /// The first record that it still needs, by `seq`; 0 = all. Everything before may be deleted.
    pub needs_seq: u64,
    /// When it said so, TAI ns; 0 where its file cannot be read.
    pub told_tai_ns: u64,
    /// What it is, for people.
    pub who: String,
}

fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join("followers").join(name)
}

/// A name that a file can have, made of any text: what differs in text differs in the name.
pub fn follower_name(kind: &str, of: &str) -> String {
    let plain: String = of
        .chars()
        .map(|each| if each.is_ascii_alphanumeric() || matches!(each, '.' | '_') { each } else { '-' })
        .take(NAME_BYTES_MAX / 2)
        .collect();
    format!("{kind}-{}-{:08x}", plain.trim_matches(|each| matches!(each, '-' | '.')), crc32fast::hash(of.as_bytes()))
}

/// Whether `name` is one that a follower can have.
pub fn is_follower_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.') && name.bytes().all(is_plain)
}

impl Follower {
    /// Says it: writes the file. It is not synced: an older one holds back more.
    ///
    /// # Errors
    /// `Io`.
    pub fn tell(&self, folder: &Path) -> Result<(), JournalError> {
        let path = path_of(folder, &self.name);
        if let Some(all) = path.parent() {
            match fs::create_dir(all) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(io_error(all, "make it")(error));
                }
                _ => {}
            }
        }
        // A name of its own, which no listing takes for a follower: two may run at once.
        let new = path.with_file_name(format!(".{}.{}", self.name, std::process::id()));
        let Self { needs_seq, told_tai_ns, who, .. } = self;
        let who = who.replace(['\n', '\r'], " ");
        let text = format!("needs_seq {needs_seq}\ntold_tai_ns {told_tai_ns}\nwho {who}\n");
        let put = || fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        let outcome = put();
        if outcome.is_err() {
            fs::remove_file(&new).ok();
        }
        outcome.map_err(io_error(&path, "write it"))
    }

    fn parse(name: &str, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut next = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        let (needs_seq, told_tai_ns) = (next("needs_seq")?.parse().ok()?, next("told_tai_ns")?.parse().ok()?);
        let who = next("who")?.to_owned();
        text.ends_with('\n').then_some(Self { name: name.to_owned(), needs_seq, told_tai_ns, who })
    }
}

/// Makes the folder in which followers say how far they are, for them and their group: a sink need not be of the daemon's user. One
/// that is there stays as it is.
///
/// # Errors
/// `Io`.
pub fn make_followers(folder: &Path) -> Result<(), JournalError> {
    let all = folder.join("followers");
    if all.is_dir() {
        return Ok(());
    }
    let make = || {
        fs::create_dir(&all)?;
        // Beyond what the umask of the process leaves.
        fs::set_permissions(&all, Permissions::from_mode(0o770))
    };
    make().map_err(io_error(&all, "make it"))
}

/// All followers of the journal in `folder`, by name.
///
/// # Errors
/// `Io`.
pub fn followers(folder: &Path) -> Result<Vec<Follower>, JournalError> {
    let all = folder.join("followers");
    let entries = match fs::read_dir(&all) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io_error(&all, "list it"))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(io_error(&all, "list it"))?.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = path_of(folder, &name);
        let text = match fs::read(&path) {
            // Forgotten meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.map_err(io_error(&path, "read it"))?,
        };
        let unreadable =
            || Follower { name: name.clone(), who: "a file that cannot be read".into(), ..Follower::default() };
        found.push(Follower::parse(&name, &String::from_utf8_lossy(&text)).unwrap_or_else(unreadable));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Takes a follower away: nothing waits for it any more. Whether there was one. Whatever [`followers`] lists can be taken away, also a
/// file that somebody put there under a name that no follower has.
///
/// # Errors
/// `Io`.
pub fn forget(folder: &Path, name: &str) -> Result<bool, JournalError> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Ok(false);
    }
    let path = path_of(folder, name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true).map_err(io_error(&path, "remove it")),
    }
}
