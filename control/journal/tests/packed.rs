//! Compressed segments: the same journal to everybody, whatever ends the compressing, and no damage that is not told.

mod common;

use common::{Fault, Faulty, Folder, append, options, read_on, records};
use std::fs;
use tern_journal::{Index, JournalError, Reader, Writer, accept, compress, compress_on, seal, verify, verify_with};

const LAST: u64 = 60;

/// Several segments, the last one not finished; how many.
fn journal() -> (Folder, u64) {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=LAST).expect("room");
    writer.sync().expect("a disk");
    let segments = writer.head().segment;
    (folder, segments)
}

fn compress_all(folder: &Folder, segments: u64) {
    for number in 1..=segments {
        let done = compress(&folder.0, number).expect("whole");
        assert_eq!(done.is_some(), number < segments, "never the last one");
        if let Some(done) = done {
            assert_eq!(fs::metadata(folder.segment(number)).expect("there").len(), done.after);
        }
        assert_eq!(compress(&folder.0, number).expect("whole"), None, "once");
    }
}

#[test]
fn a_compressed_journal_is_the_same_journal() {
    let (folder, segments) = journal();
    let kept = seal(&folder.0).expect("whole").expect("records");
    let before = verify(&folder.0).expect("readable");
    let mut follower = Reader::open(&folder.0).expect("there");
    assert!(follower.next().expect("whole").is_some());
    compress_all(&folder, segments);
    assert_eq!(folder.read().expect("whole"), records(1..=LAST));
    assert_eq!(read_on(&mut follower).expect("who reads on sees nothing of it"), records(2..=LAST));
    let after = verify_with(&folder.0, std::slice::from_ref(&kept)).expect("readable");
    assert!(after.is_whole(), "{:?}", after.damages);
    assert_eq!((after.records, after.last_seq, after.segments), (before.records, before.last_seq, before.segments));
    let proof =
        after.stretches.iter().map(|stretch| (stretch.first_seq, stretch.last_seq, stretch.proven_by.is_some()));
    assert_eq!(proof.collect::<Vec<_>>(), [(1, LAST, true)]);
    for seq in [1, 37, 50] {
        let mut reader = Reader::open_near(&folder.0, seq).expect("whole");
        assert!(reader.next().expect("whole").is_some_and(|record| record.header.seq <= seq));
    }
    // Its index is the same, made from either.
    let index = Index::make(&folder.0, 2).expect("whole");
    index.write().expect("room").expect("finished");
    assert_eq!(Index::check(&folder.0, 2).expect("whole"), Some(true));

    let (mut writer, recovered) = folder.open().expect("whole");
    assert_eq!((recovered.last_seq, recovered.cut), (LAST, None));
    append(&mut writer, LAST + 1..=90).expect("room");
    writer.seal().expect("a disk");
    assert_eq!(folder.read().expect("whole"), records(1..=90));
    assert!(verify_with(&folder.0, &[kept]).expect("readable").is_whole());
}

#[test]
fn every_flipped_bit_and_every_lost_end_of_a_compressed_segment_is_found() {
    let (folder, segments) = journal();
    compress_all(&folder, segments);
    let path = folder.segment(2);
    let whole = fs::read(&path).expect("there");
    let found = |what: &str| {
        let found = verify(&folder.0).expect("readable");
        assert!(found.damages.iter().any(|damage| damage.path == path), "{what}: {:?}", found.damages);
        // Readers give what was written, or say that they cannot.
        match folder.read() {
            Ok(read) => assert_eq!(read, records(1..=LAST), "{what}"),
            Err(JournalError::Damaged(damage)) => assert_eq!(damage.path, path, "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
    };
    let starts = |what: &str| {
        let (_, recovered) = folder.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(recovered.last_seq, LAST, "{what}");
    };
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).expect("ours");
        found(&format!("bit {bit}"));
        // Headers and footers, which a start reads, are there twice, beside the chunks.
        starts(&format!("bit {bit}"));
    }
    for end in (0..whole.len()).step_by(13) {
        fs::write(&path, &whole[..end]).expect("ours");
        found(&format!("cut at {end}"));
    }
    fs::write(&path, [&whole[..], &[0; 9]].concat()).expect("ours");
    found("bytes behind it");
    // The segment of another number, compressed, under this name.
    fs::copy(folder.segment(3), &path).expect("there");
    found("another segment");
}

#[test]
fn behind_a_damaged_chunk_verification_goes_on() {
    let folder = Folder::new();
    let (mut writer, _) =
        Writer::open(&folder.0, tern_journal::Options { segment_bytes: 300_000, ..options() }).expect("empty");
    append(&mut writer, 1..=6_000).expect("room");
    writer.sync().expect("a disk");
    compress(&folder.0, 1).expect("whole").expect("compressed");
    let path = folder.segment(1);
    let mut bytes = fs::read(&path).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("ours");
    let found = verify(&folder.0).expect("readable");
    assert!(!found.is_whole() && found.records > 3_000 && found.records < 6_000, "{} records", found.records);
    assert_eq!(found.stretches.last().map(|stretch| stretch.last_seq), Some(6_000));
    let error = folder.read().expect_err("damaged");
    let JournalError::Damaged(damage) = error else { panic!("{error}") };
    assert!(damage.after.is_some_and(|after| after.seq > 100), "what is before is read: {damage}");
}

#[test]
fn whatever_ends_the_compressing_the_journal_is_whole() {
    let (folder, _) = journal();
    let files = folder.save();
    let disk = Faulty::default();
    compress_on(&mut disk.clone(), &folder.0, 2).expect("whole").expect("compressed");
    let calls = disk.0.borrow().calls;
    assert!(calls >= 6, "{calls}");
    for at in 1..=calls {
        for fault in [Fault::NoSpace, Fault::Io, Fault::Short] {
            // One that fails for ever is like a process that ends there.
            for times in [1, u32::MAX - at] {
                folder.restore(&files);
                let disk = Faulty::default();
                disk.0.borrow_mut().at = Some((at, times, fault));
                let outcome = compress_on(&mut disk.clone(), &folder.0, 2);
                let what = format!("call {at}, {times} times, {fault:?}: {outcome:?}");
                assert!(!folder.segment(2).with_added_extension("packing").exists(), "{what}: nothing is left over");
                assert_eq!(folder.read().expect("whole"), records(1..=LAST), "{what}");
                assert!(verify(&folder.0).expect("readable").is_whole(), "{what}");
                compress(&folder.0, 2).expect("the next one can");
                assert!(compress(&folder.0, 2).expect("whole").is_none(), "{what}");
                assert!(folder.open().is_ok(), "{what}");
            }
        }
    }
}

#[test]
fn a_segment_that_is_damaged_is_left_as_it_is() {
    let (folder, _) = journal();
    let path = folder.segment(2);
    let mut bytes = fs::read(&path).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, &bytes).expect("ours");
    assert!(matches!(compress(&folder.0, 2), Err(JournalError::Damaged(_))));
    assert_eq!(fs::read(&path).expect("there"), bytes);
}

#[test]
fn a_compressed_segment_that_is_the_last_one_left_is_gone_on_behind_and_never_cut() {
    let (folder, segments) = journal();
    compress_all(&folder, segments);
    for number in 3..=segments {
        fs::remove_file(folder.segment(number)).expect("ours");
    }
    let path = folder.segment(2);
    let whole = fs::read(&path).expect("there");
    // The head is of a segment that is lost; it is taken as it is.
    assert!(folder.open().is_err());
    let accepted = accept(&folder.0).expect("whole");
    assert_eq!((accepted.head.segment, accepted.given_up), (2, None));
    assert_eq!(fs::read(&path).expect("there"), whole);
    let (writer, recovered) = folder.open().expect("whole");
    assert_eq!((recovered.last_seq, recovered.cut), (accepted.head.last_seq, None));
    drop(writer);
    assert_eq!(fs::read(&path).expect("there"), whole);
    assert!(verify(&folder.0).expect("readable").is_whole());

    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("ours");
    assert!(matches!(accept(&folder.0), Err(JournalError::Damaged(_))));
    assert!(matches!(folder.open(), Err(JournalError::Damaged(_))));
    assert_eq!(fs::read(&path).expect("there"), bytes, "it is left as it is");
}

#[test]
fn the_index_of_a_segment_needs_nothing_of_the_next() {
    let (folder, _) = journal();
    let mut bytes = fs::read(folder.segment(3)).expect("there");
    bytes[0] ^= 1;
    fs::write(folder.segment(3), bytes).expect("ours");
    let index = Index::make(&folder.0, 2).expect("whole");
    assert!(index.is_finished() && index.records() > 0);
    assert!(index.write().expect("room").is_some());
    assert!(matches!(Index::make(&folder.0, 3), Err(JournalError::Damaged(_))));
}
