//! Every system call fails in turn, in every way: the failure is told, and after it nothing is missing or doubled.

mod common;

use common::{Fault, Faulty, Folder, append, body, header, options, records};
use std::fs;
use tern_journal::{JournalError, Options, Writer, verify};

/// Writes records 1 to 60 with a sync now and then, repeating what fails; how often something failed.
fn write_stubbornly(folder: &Folder, disk: &Faulty) -> Result<u32, JournalError> {
    let mut failures = 0;
    let mut writer = loop {
        match Writer::open_on(disk.clone(), &folder.0, options()) {
            Ok((writer, _)) => break writer,
            Err(error) => failures += told(&error),
        }
    };
    for seq in 1..=60 {
        let body = body(seq);
        while let Err(error) = writer.append(&header(seq, &body), &body) {
            failures += told(&error);
        }
        if seq % 7 == 0 {
            while let Err(error) = writer.flush() {
                failures += told(&error);
            }
            assert_eq!(writer.flushed_seq(), seq);
        }
        if seq % 20 == 0 {
            while let Err(error) = writer.sync() {
                failures += told(&error);
                assert!(writer.durable_seq() < seq);
            }
            assert_eq!(writer.durable_seq(), seq);
        }
    }
    while let Err(error) = writer.seal() {
        failures += told(&error);
    }
    Ok(failures)
}

fn told(error: &JournalError) -> u32 {
    assert!(matches!(error, JournalError::Io { .. }), "{error}");
    1
}

#[test]
fn no_failing_call_loses_or_doubles_a_record() {
    let disk = Faulty::default();
    let folder = Folder::new();
    write_stubbornly(&folder, &disk).expect("no fault");
    let calls = disk.0.borrow().calls;
    assert!(calls > 30, "{calls}");
    for at in 1..=calls {
        for fault in [Fault::NoSpace, Fault::Io, Fault::Short] {
            for times in [1, 4] {
                let (disk, folder) = (Faulty::default(), Folder::new());
                disk.0.borrow_mut().at = Some((at, times, fault));
                disk.0.borrow_mut().lose_unsynced = true;
                let failures = write_stubbornly(&folder, &disk).expect("in the end");
                let failed = disk.0.borrow().failed;
                assert!(failed > 0 && failures <= failed, "call {at} {fault:?}");
                assert!(failures > 0 || fault == Fault::Short, "call {at} {fault:?} was not told");
                assert_eq!(folder.read().expect("whole"), records(1..=60), "call {at} {fault:?}");
                assert!(verify(&folder.0).expect("readable").is_whole(), "call {at} {fault:?}");
            }
        }
    }
}

#[test]
fn a_writer_killed_at_every_call_leaves_what_was_flushed() {
    let disk = Faulty::default();
    let folder = Folder::new();
    write_stubbornly(&folder, &disk).expect("no fault");
    let calls = disk.0.borrow().calls;
    for at in 1..=calls {
        let (disk, folder) = (Faulty::default(), Folder::new());
        disk.0.borrow_mut().at = Some((at, u32::MAX - at, Fault::Io));
        let mut flushed = 0;
        if let Ok((mut writer, _)) = Writer::open_on(disk, &folder.0, options()) {
            for seq in 1..=60 {
                let done = append(&mut writer, [seq]).and_then(|()| writer.flush());
                flushed = writer.flushed_seq();
                if done.is_err() {
                    break;
                }
            }
        }
        let (mut writer, recovered) = folder.open().expect("what a killed writer leaves");
        assert!(recovered.last_seq >= flushed, "call {at}");
        append(&mut writer, 1..=60).expect("room");
        writer.seal().expect("a disk");
        assert_eq!(folder.read().expect("whole"), records(1..=60), "call {at}");
    }
}

#[test]
fn a_disk_that_stays_full_is_told_and_memory_stays_bounded() {
    let (disk, folder) = (Faulty::default(), Folder::new());
    let options = Options { unsynced_bytes_max: 4 << 20, ..Options::new("test") };
    let (mut writer, _) = Writer::open_on(disk.clone(), &folder.0, options).expect("an empty folder");
    let body = vec![1; 10_000];
    writer.append(&header(1, &body), &body).expect("room");
    let calls = disk.0.borrow().calls;
    disk.0.borrow_mut().at = Some((calls + 1, u32::MAX / 2, Fault::NoSpace));
    let mut refused = 0;
    let mut seq = 2;
    for _ in 0..10_000 {
        match writer.append(&header(seq, &body), &body) {
            Ok(()) => seq += 1,
            Err(error) => {
                assert!(error.to_string().contains("No space left on device"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 9_000 && seq < 150, "{seq} taken");
    disk.0.borrow_mut().at = None;
    writer.seal().expect("room again");
    assert_eq!(folder.read().expect("whole").len() as u64, seq - 1);
}

#[test]
fn a_really_full_disk_is_told() {
    let folder = Folder::new();
    let mount = folder.0.join("small");
    fs::create_dir_all(&mount).expect("ours");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tern-journal-test"])
        .arg(&mount)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIP: a full disk needs the right to mount a tmpfs");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let (mut writer, _) = Writer::open(&mount, Options::new("test")).expect("an empty disk");
        let mut last = 0;
        let error = loop {
            if let Err(error) = append(&mut writer, [last + 1]).and_then(|()| writer.flush()) {
                break error;
            }
            last += 1;
        };
        assert!(error.to_string().contains("No space left on device"), "{error}");
        drop(writer);
        let (writer, recovered) = Writer::open(&mount, Options::new("test")).expect("a torn end");
        assert_eq!((recovered.last_seq, writer.next_seq()), (last, last + 1));
    });
    let gone = std::process::Command::new("umount").arg(&mount).status();
    assert!(gone.is_ok_and(|status| status.success()));
    outcome.expect("no panic");
}
