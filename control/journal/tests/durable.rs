//! What is said to be on the disk is there after a power cut, whichever call failed before, once or for ever. The disk of these
//! tests forgets what a failed sync was to write, and calls the next one a success, as Linux does.

mod common;

use common::{Fault, Folder, append, body, header, records};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tern_journal::storage::{Disk, Storage};
use tern_journal::{JournalError, Options, Writer, accept_on, verify};

/// Records that a run writes.
const RECORDS: u64 = 60;

fn options(boot: u8) -> Options {
    Options { segment_bytes: 2000, boot: [boot; 16], ..Options::new("test") }
}

/// The files are the kernel's view; the model knows what of it is on the disk.
#[derive(Clone, Default)]
struct Model(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    calls: u32,
    /// From this call on so many fail.
    fails: Option<(Range<u32>, Fault)>,
    /// By inode: what is on the disk, and what was written since the last sync.
    disk: HashMap<u64, Vec<u8>>,
    dirty: HashMap<u64, Vec<Range<u64>>>,
    /// Names that are on the disk.
    names: BTreeMap<PathBuf, u64>,
}

impl Model {
    fn failing(fails: Option<(Range<u32>, Fault)>) -> Self {
        let model = Self::default();
        model.0.borrow_mut().fails = fails;
        model
    }

    fn calls(&self) -> u32 {
        self.0.borrow().calls
    }

    /// What a call does; `Some` for a write that takes only a byte.
    fn call(&self) -> io::Result<Option<Fault>> {
        let mut state = self.0.borrow_mut();
        state.calls += 1;
        let calls = state.calls;
        match &state.fails {
            Some((range, Fault::NoSpace)) if range.contains(&calls) => Err(io::Error::from_raw_os_error(28)),
            Some((range, Fault::Io)) if range.contains(&calls) => Err(io::Error::from_raw_os_error(5)),
            Some((range, Fault::Short)) if range.contains(&calls) => Ok(Some(Fault::Short)),
            _ => Ok(None),
        }
    }

    fn plain(&self) -> io::Result<()> {
        self.call()?.map_or(Ok(()), |_| Err(io::Error::from_raw_os_error(5)))
    }

    /// The host loses power: a folder with what was on the disk and nothing else.
    fn power_cut(&self) -> Folder {
        let (state, after) = (self.0.borrow(), Folder::new());
        for (path, inode) in &state.names {
            let name = path.file_name().expect("a name");
            fs::write(after.0.join(name), state.disk.get(inode).map_or(&[][..], Vec::as_slice)).expect("ours");
        }
        after
    }
}

impl Storage for Model {
    type File = File;

    fn create(&mut self, path: &Path) -> io::Result<File> {
        self.plain()?;
        let file = Disk.create(path)?;
        let inode = file.metadata()?.ino();
        let mut state = self.0.borrow_mut();
        state.disk.insert(inode, Vec::new());
        state.dirty.remove(&inode);
        Ok(file)
    }
    fn open(&mut self, path: &Path) -> io::Result<File> {
        self.plain()?;
        Disk.open(path)
    }
    fn write_at(&mut self, file: &mut File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let bytes = if self.call()?.is_some() { &bytes[..1] } else { bytes };
        let written = Disk.write_at(file, bytes, offset)?;
        let inode = file.metadata()?.ino();
        self.0.borrow_mut().dirty.entry(inode).or_default().push(offset..offset + written as u64);
        Ok(written)
    }
    fn sync(&mut self, file: &mut File) -> io::Result<()> {
        let outcome = self.plain();
        let facts = file.metadata()?;
        let mut state = self.0.borrow_mut();
        // Also of a sync that failed: the pages are clean from here on.
        let dirty = state.dirty.remove(&facts.ino()).unwrap_or_default();
        outcome?;
        let disk = state.disk.entry(facts.ino()).or_default();
        disk.resize(facts.len() as usize, 0);
        for range in dirty.iter().filter(|range| range.end <= facts.len()) {
            let part = &mut disk[range.start as usize..range.end as usize];
            std::os::unix::fs::FileExt::read_exact_at(
                &File::open(format!("/proc/self/fd/{}", fd(file)))?,
                part,
                range.start,
            )?;
        }
        Ok(())
    }
    fn set_len(&mut self, file: &mut File, bytes: u64) -> io::Result<()> {
        self.plain()?;
        Disk.set_len(file, bytes)
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
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            names.insert(entry.path(), entry.metadata()?.ino());
        }
        self.0.borrow_mut().names = names;
        Ok(())
    }
}

fn fd(file: &File) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(file)
}

/// What a run came to: all written, or given up after so many failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Sealed,
    GaveUp,
}

/// Writes records `from` on with a flush, a sync or neither after each, trying again what fails up to `patience` times; how it ended,
/// and the last record that was ever said to be on the disk.
fn write(model: &Model, folder: &Path, patience: u32) -> (End, u64) {
    let mut durable = 0;
    let end = write_until(model, folder, patience, &mut durable);
    (end.map_or(End::GaveUp, |()| End::Sealed), durable)
}

fn write_until(model: &Model, folder: &Path, patience: u32, durable: &mut u64) -> Result<(), JournalError> {
    let mut writer = stubborn(patience, || Writer::open_on(model.clone(), folder, options(1)))?.0;
    for seq in writer.next_seq()..=RECORDS {
        let body = body(seq);
        let header = header(seq, &body);
        let mut step = |act: &mut dyn FnMut(&mut Writer<Model>) -> Result<(), JournalError>| {
            stubborn(patience, || {
                let outcome = act(&mut writer);
                // Also after a failure nothing may be said that is not so.
                *durable = (*durable).max(writer.durable_seq()).max(writer.head().last_seq);
                outcome
            })
        };
        step(&mut |writer| writer.append(&header, &body))?;
        match seq % 9 {
            0 => step(&mut Writer::sync)?,
            4 => step(&mut Writer::flush)?,
            _ => {}
        }
    }
    stubborn(patience, || writer.seal())?;
    *durable = (*durable).max(writer.durable_seq());
    Ok(())
}

fn stubborn<T>(patience: u32, mut act: impl FnMut() -> Result<T, JournalError>) -> Result<T, JournalError> {
    let mut failures = 0;
    loop {
        match act() {
            Err(error) if failures >= patience => return Err(error),
            Err(error) => {
                assert!(matches!(error, JournalError::Io { .. }), "{error}");
                failures += 1;
            }
            done => return done,
        }
    }
}

/// After a power cut the journal opens without an alarm, and has what was said to be on the disk; then it goes on.
fn holds_after_power_cut(model: &Model, durable: u64, what: &str) {
    let after = model.power_cut();
    let (mut writer, recovered) = Writer::open(&after.0, options(2)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(recovered.last_seq >= durable, "{what}: {} of {durable}", recovered.last_seq);
    append(&mut writer, recovered.last_seq + 1..=RECORDS + 5).expect("room");
    writer.seal().expect("a disk");
    assert_eq!(after.read().expect("whole"), records(1..=RECORDS + 5), "{what}");
    assert!(verify(&after.0).expect("readable").is_whole(), "{what}");
}

/// Each call of a run that meets no fault, with each way to fail.
fn each_fault(mut with: impl FnMut(u32, Fault, &str)) {
    let (model, folder) = (Model::default(), Folder::new());
    assert_eq!(write(&model, &folder.0, 0), (End::Sealed, RECORDS));
    holds_after_power_cut(&model, RECORDS, "no fault");
    let calls = model.calls();
    assert!(calls > 50, "{calls}");
    for at in 1..=calls {
        for fault in [Fault::NoSpace, Fault::Io, Fault::Short] {
            with(at, fault, &format!("call {at} {fault:?}"));
        }
    }
}

#[test]
fn a_call_that_fails_once_is_tried_again_and_nothing_is_lost() {
    each_fault(|at, fault, what| {
        let (model, folder) = (Model::failing(Some((at..at + 1, fault))), Folder::new());
        assert_eq!(write(&model, &folder.0, 3), (End::Sealed, RECORDS), "{what}");
        assert_eq!(folder.read().expect("whole"), records(1..=RECORDS), "{what}");
        assert!(verify(&folder.0).expect("readable").is_whole(), "{what}");
        holds_after_power_cut(&model, RECORDS, what);
    });
}

#[test]
fn calls_that_fail_for_ever_leave_what_was_said_to_be_on_the_disk() {
    let mut gave_up = 0;
    each_fault(|at, fault, what| {
        let (model, folder) = (Model::failing(Some((at..u32::MAX, fault))), Folder::new());
        let (end, durable) = write(&model, &folder.0, 2);
        gave_up += u32::from(end == End::GaveUp);
        holds_after_power_cut(&model, durable, what);
    });
    assert!(gave_up > 100, "{gave_up}");
}

#[test]
fn a_process_that_dies_of_a_failed_call_leaves_nothing_that_the_next_takes_for_synced() {
    each_fault(|at, fault, what| {
        let (model, folder) = (Model::failing(Some((at..at + 1, fault))), Folder::new());
        // Killed by the first failure: the kernel still shows what it wrote, the disk may not have it.
        let (_, before) = write(&model, &folder.0, 0);
        holds_after_power_cut(&model, before, what);
        let mut durable = 0;
        let opened = Writer::open_on(model.clone(), &folder.0, options(1)).map(|(writer, _)| writer);
        let writer = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        durable = writer.durable_seq().max(durable);
        assert!(durable >= before, "{what}");
        holds_after_power_cut(&model, durable, what);
        drop(writer);
        assert_eq!(write(&model, &folder.0, 0).0, End::Sealed, "{what}");
        holds_after_power_cut(&model, RECORDS, what);
    });
}

#[test]
fn what_an_operator_takes_is_on_the_disk_before_the_head_says_so() {
    let mut unsynced = 0;
    each_fault(|at, fault, what| {
        let (model, folder) = (Model::failing(Some((at..u32::MAX, fault))), Folder::new());
        write(&model, &folder.0, 0);
        fs::remove_file(folder.0.join("head")).ok();
        model.0.borrow_mut().fails = None;
        let segments = |folder: &Folder| (1..9).map(|number| fs::read(folder.segment(number)).ok()).collect::<Vec<_>>();
        let on_disk = segments(&model.power_cut());
        let accepted = accept_on(model.clone(), &folder.0).unwrap_or_else(|error| panic!("{what}: {error}"));
        unsynced += u32::from(on_disk != segments(&model.power_cut()));
        holds_after_power_cut(&model, accepted.head.last_seq, what);
    });
    assert!(unsynced > 10, "{unsynced}");
}
