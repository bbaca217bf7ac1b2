//! A journal folder that goes with its test, and storage that fails when told to.

#![allow(dead_code, reason = "each test file uses a part")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use tern_abi::record::{Kind, RecordHeader};
use tern_journal::storage::{Disk, Storage};
use tern_journal::{JournalError, Options, Reader, Recovered, Writer};

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tern-journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // In memory where there is such a place: the tests sync thousands of times.
        let memory = Path::new("/dev/shm");
        let path = if memory.is_dir() { memory.join(name) } else { std::env::temp_dir().join(name) };
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn open(&self) -> Result<(Writer, Recovered), JournalError> {
        Writer::open(&self.0, options())
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:08}.journal"))
    }

    /// Every file and its bytes.
    pub(crate) fn save(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = fs::read_dir(&self.0).expect("ours").map(|entry| entry.expect("ours").path());
        files.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(&path).expect("there"))).collect()
    }

    /// Only these files, as they were.
    pub(crate) fn restore(&self, files: &[(PathBuf, Vec<u8>)]) {
        for (path, _) in self.save() {
            if !files.iter().any(|(known, _)| *known == path) {
                fs::remove_file(path).expect("ours");
            }
        }
        files.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("ours"));
    }

    /// `seq` and body of every record.
    pub(crate) fn read(&self) -> Result<Vec<(u64, Vec<u8>)>, JournalError> {
        let mut reader = Reader::open(&self.0)?;
        read_on(&mut reader)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Small segments, so that a test has several.
pub(crate) fn options() -> Options {
    Options { segment_bytes: 2000, ..Options::new("test") }
}

pub(crate) fn read_on(reader: &mut Reader) -> Result<Vec<(u64, Vec<u8>)>, JournalError> {
    let mut found = Vec::new();
    while let Some(record) = reader.next()? {
        found.push((record.header.seq, record.body.to_vec()));
    }
    Ok(found)
}

pub(crate) fn header(seq: u64, body: &[u8]) -> RecordHeader {
    header_of(seq, Kind::State, body)
}

pub(crate) fn header_of(seq: u64, kind: Kind, body: &[u8]) -> RecordHeader {
    RecordHeader { seq, tai_ns: 1000 + seq, kind: kind as u16, flags: 0, body_bytes: body.len() as u32 }
}

/// A body that tells its `seq`, of a length that varies.
pub(crate) fn body(seq: u64) -> Vec<u8> {
    (0..seq * 7 % 90).map(|index| (seq + index) as u8).collect()
}

pub(crate) fn records(seqs: impl IntoIterator<Item = u64>) -> Vec<(u64, Vec<u8>)> {
    seqs.into_iter().map(|seq| (seq, body(seq))).collect()
}

pub(crate) fn append<S: Storage>(
    writer: &mut Writer<S>,
    seqs: impl IntoIterator<Item = u64>,
) -> Result<(), JournalError> {
    for seq in seqs {
        let body = body(seq);
        writer.append(&header(seq, &body), &body)?;
    }
    Ok(())
}

/// What a call of [`Faulty`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The disk is full.
    NoSpace,
    /// The disk is broken.
    Io,
    /// A write takes only a byte; other calls fail.
    Short,
}

/// The disk of the host, whose call number `at` fails, and `times` - 1 more after it.
#[derive(Clone, Default)]
pub(crate) struct Faulty(pub(crate) Rc<RefCell<Plan>>);

#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) calls: u32,
    pub(crate) at: Option<(u32, u32, Fault)>,
    pub(crate) failed: u32,
    /// What a failed sync leaves: the file as the last good sync left it.
    pub(crate) lose_unsynced: bool,
    /// By inode.
    synced: HashMap<u64, u64>,
}

pub(crate) struct FaultyFile(File);

impl Faulty {
    fn call(&self) -> io::Result<Option<Fault>> {
        let mut plan = self.0.borrow_mut();
        plan.calls += 1;
        let calls = plan.calls;
        match plan.at {
            Some((at, times, fault)) if (at..at + times).contains(&calls) => {
                plan.failed += 1;
                match fault {
                    Fault::NoSpace => Err(io::Error::from_raw_os_error(28)),
                    Fault::Io => Err(io::Error::from_raw_os_error(5)),
                    Fault::Short => Ok(Some(fault)),
                }
            }
            _ => Ok(None),
        }
    }

    fn plain(&self) -> io::Result<()> {
        match self.call()? {
            Some(_) => Err(io::Error::from_raw_os_error(5)),
            None => Ok(()),
        }
    }
}

impl Storage for Faulty {
    type File = FaultyFile;

    fn create(&mut self, path: &Path) -> io::Result<FaultyFile> {
        self.plain()?;
        Ok(FaultyFile(Disk.create(path)?))
    }
    fn open(&mut self, path: &Path) -> io::Result<FaultyFile> {
        self.plain()?;
        let file = Disk.open(path)?;
        let facts = file.metadata()?;
        self.0.borrow_mut().synced.insert(facts.ino(), facts.len());
        Ok(FaultyFile(file))
    }
    fn write_at(&mut self, file: &mut FaultyFile, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let bytes = if self.call()?.is_some() { &bytes[..1] } else { bytes };
        Disk.write_at(&mut file.0, bytes, offset)
    }
    fn sync(&mut self, file: &mut FaultyFile) -> io::Result<()> {
        let failed = self.plain();
        let mut plan = self.0.borrow_mut();
        let facts = file.0.metadata()?;
        if failed.is_ok() {
            plan.synced.insert(facts.ino(), facts.len());
        } else if plan.lose_unsynced {
            file.0.set_len(plan.synced.get(&facts.ino()).copied().unwrap_or(0))?;
            file.0.set_len(facts.len())?;
        }
        failed
    }
    fn set_len(&mut self, file: &mut FaultyFile, bytes: u64) -> io::Result<()> {
        self.plain()?;
        Disk.set_len(&mut file.0, bytes)
    }
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.plain()?;
        Disk.rename(from, to)
    }
    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.plain()?;
        Disk.remove(path)
    }
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.plain()?;
        Disk.sync_folder(folder)
    }
}
