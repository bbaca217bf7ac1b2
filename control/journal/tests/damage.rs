//! Files that do not hold what was written: torn ends are cut, everything else is found and refused.

mod common;

use common::{Folder, append, records};
use std::fs;
use tern_journal::{JournalError, verify};

/// A journal with two finished segments and one that is not.
fn journal() -> (Folder, Vec<Vec<u8>>) {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=50).expect("room");
    writer.flush().expect("a disk");
    let files: Vec<_> = (1..).map(|number| folder.segment(number)).take_while(|path| path.exists()).collect();
    let bytes: Vec<_> = files.iter().map(|path| fs::read(path).expect("there")).collect();
    assert!(bytes.len() >= 3);
    (folder, bytes)
}

/// Number of whole records in the first `len` bytes of a segment.
fn whole_records(bytes: &[u8], len: usize) -> u64 {
    let (mut offset, mut count) = (128, 0);
    while offset + 32 <= len {
        let body = u32::from_le_bytes(bytes[offset + 20..offset + 24].try_into().expect("four")) as usize;
        offset += 32 + body.next_multiple_of(8);
        count += u64::from(offset <= len);
    }
    count
}

#[test]
fn a_torn_end_is_cut_at_every_byte() {
    let (folder, files) = journal();
    let whole_folder = folder.save();
    let last = files.len() as u64;
    let bytes = &files[files.len() - 1];
    let before = 50 - whole_records(bytes, bytes.len());
    let mut cuts = 0;
    for len in 128..bytes.len() {
        for fill in [None, Some(0), Some(0xFF)] {
            let mut torn = bytes[..len].to_vec();
            // A power cut may leave the length without the bytes.
            torn.extend(fill.iter().flat_map(|byte| vec![*byte; 64]));
            folder.restore(&whole_folder);
            fs::write(folder.segment(last), &torn).expect("ours");
            // Zeros may happen to be the padding that was to come.
            let same = torn.iter().zip(bytes).take_while(|(torn, bytes)| torn == bytes).count();
            let whole = before + whole_records(bytes, same);
            let (mut writer, recovered) = folder.open().unwrap_or_else(|error| panic!("{len} {fill:?}: {error}"));
            assert_eq!(recovered.last_seq, whole, "{len} {fill:?}");
            cuts += u32::from(recovered.cut.is_some());
            if len % 16 == 0 {
                append(&mut writer, whole + 1..=55).expect("room");
                writer.seal().expect("a disk");
                assert_eq!(folder.read().expect("whole"), records(1..=55), "{len}");
                assert!(verify(&folder.0).expect("readable").is_whole(), "{len}");
            }
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

#[test]
fn every_flipped_bit_is_found() {
    let (folder, files) = journal();
    {
        let (mut writer, _) = folder.open().expect("whole");
        writer.seal().expect("a disk");
    }
    let sealed = fs::read(folder.segment(files.len() as u64)).expect("there");
    for (number, bytes) in (1..).zip(files.iter().take(files.len() - 1).chain([&sealed])) {
        for byte in 0..bytes.len() {
            let bit = 1 << (byte % 8);
            let mut flipped = bytes.clone();
            flipped[byte] ^= bit;
            fs::write(folder.segment(number), &flipped).expect("ours");
            match verify(&folder.0) {
                Ok(found) => {
                    // At the end of the journal a wrong length cannot be told from a record that was half written.
                    let torn = number == files.len() as u64 && found.torn_bytes > 0;
                    assert!(!found.is_whole() || torn, "segment {number} byte {byte}");
                    let there = found.damages.iter().all(|damage| {
                        damage.path == folder.segment(number) && damage.offset <= byte as u64
                            || damage.path == folder.segment(number + 1) && damage.offset == 128
                    });
                    assert!(there, "segment {number} byte {byte}: {:?}", found.damages);
                }
                Err(JournalError::Version { .. }) => {}
                Err(error) => panic!("segment {number} byte {byte}: {error}"),
            }
        }
        fs::write(folder.segment(number), bytes).expect("ours");
    }
    assert!(verify(&folder.0).expect("readable").is_whole());
}

#[test]
fn damage_before_whole_records_is_refused_not_cut() {
    let (folder, files) = journal();
    let last = files.len() as u64;
    let mut bytes = files[files.len() - 1].clone();
    let middle = 128 + 32 + 5;
    bytes[middle] ^= 1;
    fs::write(folder.segment(last), &bytes).expect("ours");
    let refused = folder.open().err().expect("damaged");
    let JournalError::Damaged(damage) = &refused else { panic!("{refused}") };
    assert_eq!((damage.path.clone(), damage.offset <= middle as u64), (folder.segment(last), true));
    assert_eq!(fs::read(folder.segment(last)).expect("there"), bytes, "nothing was cut");
    assert!(matches!(folder.read(), Err(JournalError::Damaged(_))));
    let found = verify(&folder.0).expect("readable");
    let place = |damage: &tern_journal::Damage| (damage.path.clone(), damage.offset, damage.what);
    assert_eq!(found.damages.iter().map(place).collect::<Vec<_>>(), [place(damage)]);
    assert_eq!(found.damages[0].after.map(|after| after.seq + 1), Some(50 - whole_records(&bytes, bytes.len()) + 1));
    assert!(refused.to_string().contains("is damaged at offset 128"), "{refused}");
}

#[test]
fn segments_that_are_exchanged_or_forged_are_found() {
    let (folder, files) = journal();
    // A whole segment from a journal with other records.
    let other = Folder::new();
    let (mut writer, _) = other.open().expect("an empty folder");
    append(&mut writer, (1..=50).map(|seq| seq * 2)).expect("room");
    writer.seal().expect("a disk");
    fs::copy(other.segment(2), folder.segment(2)).expect("ours");
    let found = verify(&folder.0).expect("readable");
    assert!(!found.is_whole());
    assert!(matches!(folder.open(), Err(JournalError::Damaged(_))));
    // A segment under another number.
    fs::write(folder.segment(2), &files[0]).expect("ours");
    assert!(!verify(&folder.0).expect("readable").is_whole());
    // Something behind a footer.
    fs::write(folder.segment(2), [&files[1][..], &[0; 8]].concat()).expect("ours");
    assert!(!verify(&folder.0).expect("readable").is_whole());
    fs::write(folder.segment(2), &files[1]).expect("ours");
    assert!(verify(&folder.0).expect("readable").is_whole());
}

#[test]
fn a_finished_segment_that_lost_its_footer_is_refused() {
    let (folder, files) = journal();
    let bytes = &files[0];
    fs::write(folder.segment(1), &bytes[..bytes.len() - 80]).expect("ours");
    assert!(matches!(folder.open(), Err(JournalError::Damaged(_))));
    assert!(!verify(&folder.0).expect("readable").is_whole());
}

#[test]
fn another_version_is_refused_with_both() {
    let (folder, files) = journal();
    let mut bytes = files[0].clone();
    bytes[8] = 9;
    let crc = crc32fast::hash(&bytes[..124]);
    bytes[124..128].copy_from_slice(&crc.to_le_bytes());
    fs::write(folder.segment(1), &bytes).expect("ours");
    let refused = folder.open().err().expect("another version").to_string();
    assert!(refused.contains("journal version 9, this build has 2"), "{refused}");
}
