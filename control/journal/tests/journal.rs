//! Writing, reading, coming back.

mod common;

use common::{Folder, append, body, header, header_of, options, read_on, records};
use std::fs;
use tern_abi::record::{Kind, ShedRecord};
use tern_journal::{JournalError, Options, Reader, Writer, seal_through, verify};
use zerocopy::IntoBytes;

#[test]
fn what_is_written_is_read_over_several_segments() {
    let folder = Folder::new();
    let (mut writer, recovered) = folder.open().expect("an empty folder");
    assert_eq!((recovered.segments, recovered.last_seq, writer.next_seq()), (0, 0, 1));
    append(&mut writer, 1..=100).expect("room");
    assert_eq!((writer.last_seq(), writer.durable_seq() < 100), (100, true));
    writer.sync().expect("a disk");
    assert_eq!(writer.durable_seq(), 100);
    writer.seal().expect("a disk");
    assert_eq!(folder.read().expect("whole"), records(1..=100));
    let found = verify(&folder.0).expect("readable");
    assert!(found.is_whole() && found.segments > 3, "{found:?}");
    assert_eq!((found.records, found.first_seq, found.last_seq, found.last_tai_ns), (100, 1, 100, 1100));
    assert_eq!((found.missing, found.torn_bytes), (0, 0));
}

#[test]
fn a_writer_that_comes_back_goes_on_and_drops_what_it_has() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=30).expect("room");
    writer.flush().expect("a disk");
    drop(writer);
    for (from, to) in [(25, 60), (1, 61), (62, 90)] {
        let (mut writer, recovered) = folder.open().expect("whole");
        assert_eq!(recovered.cut, None);
        let last = recovered.last_seq;
        assert_eq!(recovered.last_tai_ns, 1000 + last);
        append(&mut writer, from..=to).expect("room");
        assert_eq!(writer.duplicates(), last + 1 - from.min(last + 1));
        if from == 1 { writer.seal() } else { writer.flush() }.expect("a disk");
    }
    assert_eq!(folder.read().expect("whole"), records(1..=90));
    assert!(verify(&folder.0).expect("readable").is_whole());
}

#[test]
fn a_reader_follows_a_journal_that_is_being_written() {
    let folder = Folder::new();
    let mut reader = Reader::open(&folder.0).expect("an empty folder");
    assert!(reader.next().expect("empty").is_none());
    let (mut writer, _) = folder.open().expect("an empty folder");
    let mut found = Vec::new();
    for seq in 1..=80 {
        append(&mut writer, [seq]).expect("room");
        writer.flush().expect("a disk");
        found.extend(read_on(&mut reader).expect("whole"));
        assert_eq!(found.len() as u64, seq);
    }
    assert_eq!(found, records(1..=80));
}

#[test]
fn a_reader_from_the_head_on_has_what_was_not_on_the_disk_for_sure_and_what_comes() {
    let folder = Folder::new();
    let mut reader = Reader::open_at_head(&folder.0).expect("an empty folder");
    assert!(reader.next().expect("empty").is_none());
    let (mut writer, _) = folder.open().expect("an empty folder");
    // Over several segments, so that heads lie in the middle, at the end and at the beginning of one.
    for seq in 1..=120 {
        append(&mut writer, [seq]).expect("room");
        writer.sync().expect("a disk");
        let mut from_here = Reader::open_at_head(&folder.0).expect("whole");
        assert_eq!(read_on(&mut from_here).expect("whole"), [], "after {seq}");
        if seq % 10 == 0 {
            append(&mut writer, [seq + 1]).expect("room");
            writer.flush().expect("a disk");
            assert_eq!(read_on(&mut from_here).expect("whole"), records([seq + 1]), "after {seq}");
        }
    }
    assert_eq!(read_on(&mut reader).expect("whole"), records(1..=121), "opened before there was a head");
}

#[test]
fn a_reader_from_a_head_behind_a_footer_goes_on_with_the_next_segment() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=3).expect("room");
    writer.seal().expect("a disk");
    let mut reader = Reader::open_at_head(&folder.0).expect("whole");
    assert!(reader.next().expect("nothing yet").is_none());
    append(&mut writer, [4]).expect("room");
    writer.flush().expect("a disk");
    assert_eq!(read_on(&mut reader).expect("whole"), records([4]), "opened before the next segment was there");
    let mut late = Reader::open_at_head(&folder.0).expect("whole");
    assert_eq!(read_on(&mut late).expect("whole"), records([4]), "opened once it was");
}

#[test]
fn a_reader_survives_the_death_of_the_writer_in_mid_record() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=5).expect("room");
    writer.flush().expect("a disk");
    drop(writer);
    let path = folder.segment(1);
    let mut bytes = fs::read(&path).expect("there");
    bytes.extend_from_slice(header(6, &[0; 80]).as_bytes());
    bytes.extend_from_slice(&[0; 21]);
    fs::write(&path, &bytes).expect("ours");
    let mut reader = Reader::open(&folder.0).expect("there");
    assert_eq!(read_on(&mut reader).expect("whole so far"), records(1..=5));
    let (mut writer, recovered) = folder.open().expect("a torn end is cut");
    assert_eq!(recovered.cut.map(|cut| cut.bytes), Some(45));
    append(&mut writer, 6..=9).expect("room");
    writer.flush().expect("a disk");
    assert_eq!(read_on(&mut reader).expect("whole"), records(6..=9));
}

#[test]
fn reading_can_begin_near_a_seq() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=100).expect("room");
    writer.seal().expect("a disk");
    for seq in [0, 1, 37, 99, 100, 1000] {
        let mut reader = Reader::open_near(&folder.0, seq).expect("whole");
        let found = read_on(&mut reader).expect("whole");
        let first = found.first().expect("not empty").0;
        assert!(first <= seq.max(1) && (seq.min(100) - first.min(seq)) < 40, "{first} for {seq}");
        assert_eq!(found, records(first..=100));
    }
}

#[test]
fn gaps_are_listed_and_explained() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, [1, 2]).expect("room");
    // Three shed, told by the marker with seq 6.
    let shed = ShedRecord { datagrams: 3, bytes: 300 };
    writer.append(&header_of(6, Kind::Shed, shed.as_bytes()), shed.as_bytes()).expect("room");
    // Killed between taking 7 and publishing it.
    writer.append(&header_of(8, Kind::Start, b"start"), b"start").expect("room");
    append(&mut writer, [9, 15]).expect("room");
    writer.seal().expect("a disk");
    let found = verify(&folder.0).expect("readable");
    assert!(found.is_whole());
    assert_eq!((found.missing, found.shed_datagrams, found.missing_at_start, found.unexplained()), (9, 3, 1, 5));
    let gaps: Vec<_> = found.gaps.iter().map(|gap| (gap.after_seq, gap.missing, gap.at_start)).collect();
    assert_eq!(gaps, [(2, 3, false), (6, 1, true), (9, 5, false)]);
}

#[test]
fn what_cannot_be_a_record_is_refused() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    let wrong = header(1, &[0; 8]);
    assert!(matches!(writer.append(&wrong, &[0; 9]), Err(JournalError::Record { seq: 1, .. })));
    let own = tern_abi::record::RecordHeader { kind: u16::MAX, ..wrong };
    assert!(matches!(writer.append(&own, &[0; 8]), Err(JournalError::Record { .. })));
    assert_eq!(writer.last_seq(), 0);
    // Longer than a segment: it gets one of its own.
    let long = vec![7; 5000];
    writer.append(&header(1, &long), &long).expect("room");
    append(&mut writer, [2]).expect("room");
    writer.seal().expect("a disk");
    assert_eq!(folder.read().expect("whole"), [(1, long), (2, body(2))]);
}

#[test]
fn a_journal_has_one_writer_and_one_instance() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, [1]).expect("room");
    writer.flush().expect("a disk");
    assert!(matches!(folder.open(), Err(JournalError::Locked(_))));
    drop(writer);
    let refused = Writer::open(&folder.0, Options::new("other")).err().expect("another instance").to_string();
    assert!(refused.contains(r#"is of instance "test", not "other""#), "{refused}");
    assert!(Writer::open(&folder.0, options()).is_ok());
}

#[test]
fn a_missing_segment_is_named() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=100).expect("room");
    writer.seal().expect("a disk");
    drop(writer);
    for number in [1, 2] {
        let away = folder.0.join("away");
        fs::rename(folder.segment(number), &away).expect("there");
        let is_it =
            |error: JournalError| matches!(error, JournalError::Missing(path) if path == folder.segment(number));
        assert!(is_it(folder.open().err().expect("missing")));
        let found = verify(&folder.0).expect("readable");
        assert_eq!(found.damages[0].path, folder.segment(number));
        assert_eq!(
            found.stretches.last().map(|stretch| stretch.last_seq),
            Some(100),
            "what follows is read and proven"
        );
        assert!(is_it(folder.read().expect_err("missing")));
        fs::rename(&away, folder.segment(number)).expect("there");
    }
    assert!(folder.open().is_ok());
}

/// A journal of several segments, written to its end and closed.
fn of_segments() -> (Folder, u64) {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=100).expect("room");
    writer.seal().expect("a disk");
    let segments = writer.head().segment;
    (folder, segments)
}

#[test]
fn a_segment_cut_anywhere_is_damage_and_not_the_end_when_something_says_that_the_journal_goes_on() {
    let (folder, segments) = of_segments();
    let files = folder.save();
    // In the middle segments say so, in the last one the head does.
    for number in [1, 2, segments] {
        let whole = fs::read(folder.segment(number)).expect("there");
        for cut in 128..whole.len() {
            fs::write(folder.segment(number), &whole[..cut]).expect("ours");
            let mut reader = Reader::open(&folder.0).expect("no name is missing");
            let mut last = 0;
            let error = loop {
                match reader.next() {
                    Ok(Some(record)) => last = record.header.seq,
                    Ok(None) => panic!("segment {number} cut at {cut} was taken for the end, after {last}"),
                    Err(error) => break error,
                }
            };
            let JournalError::Damaged(damage) = error else { panic!("{cut}: {error}") };
            assert_eq!(damage.path, folder.segment(number), "cut at {cut}");
            assert!(damage.offset <= cut as u64, "{damage} for {cut}");
            assert!(damage.after.is_none_or(|after| after.seq == last), "{damage}");
            assert!(reader.next().is_err(), "asked again it says the same");
        }
        folder.restore(&files);
    }
    assert_eq!(folder.read().expect("whole"), records(1..=100));
}

#[test]
fn a_last_segment_that_the_head_knows_is_missed() {
    let (folder, segments) = of_segments();
    fs::remove_file(folder.segment(segments)).expect("there");
    let error = folder.read().expect_err("the head goes further");
    assert!(matches!(&error, JournalError::Missing(path) if *path == folder.segment(segments)), "{error}");
}

#[test]
fn what_a_restarted_writer_put_in_the_place_of_a_torn_end_is_read_again_before_it_is_called_damage() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=9).expect("room");
    writer.sync().expect("a disk");
    let path = folder.segment(1);
    let whole = fs::read(&path).expect("there");
    // What a reader has in its memory already: half of one record and half of another.
    let mut mixed = whole.clone();
    let last = mixed.len() - 20;
    mixed[last] ^= 1;
    fs::write(&path, &mixed).expect("ours");
    let mut reader = Reader::open(&folder.0).expect("there");
    assert!(reader.next().expect("whole").is_some());
    fs::write(&path, &whole).expect("ours");
    assert_eq!(read_on(&mut reader).expect("what is there now"), records(2..=9));

    // What is wrong on the disk too is damage, and named where it is.
    fs::write(&path, &mixed).expect("ours");
    let mut reader = Reader::open(&folder.0).expect("there");
    let error = read_on(&mut reader).expect_err("it is wrong");
    assert!(
        matches!(&error, JournalError::Damaged(damage) if damage.after.is_some_and(|after| after.seq == 8)),
        "{error}"
    );
}

#[test]
fn a_last_segment_without_a_record_has_the_time_of_the_record_before_it_and_can_be_sealed() {
    let (folder, segments) = of_segments();
    let (mut writer, before) = folder.open().expect("whole");
    assert_eq!((before.last_seq, before.last_tai_ns), (100, 1100));
    // Killed between making the segment and writing its first record.
    append(&mut writer, [101]).expect("room");
    drop(writer);
    assert_eq!(fs::metadata(folder.segment(segments + 1)).expect("made").len(), 128);
    let (mut writer, recovered) = folder.open().expect("whole");
    assert_eq!((recovered.last_seq, recovered.last_tai_ns), (100, 1100));
    assert_eq!(writer.head().last_tai_ns, 1100, "by this the next start knows that the day ended");
    writer.seal().expect("a disk");
    let seal = seal_through(&folder.0, segments + 1).expect("whole").expect("the day before");
    assert_eq!((seal.head.last_seq, seal.head.last_tai_ns, seal.head.records), (100, 1100, 100));
    append(&mut writer, [101]).expect("room");
    writer.seal().expect("a disk");
    assert!(verify(&folder.0).expect("readable").is_whole());
    assert_eq!(folder.read().expect("whole"), records(1..=101));
}
