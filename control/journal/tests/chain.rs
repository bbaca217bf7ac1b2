//! What checksums cannot find: whoever can write the files can make them right. The chain and what was noted of it
//! elsewhere cannot be made right.

mod common;

use common::{Fault, Faulty, Folder, append, header, records};
use std::fs;
use tern_journal::{
    JournalError, Options, Seal, Verified, Writer, accept, accept_on, seal, seal_through, verify, verify_with,
};

fn bodies(mark: u8, count: u64) -> Vec<Vec<u8>> {
    (1..=count).map(|seq| vec![if seq == count / 2 { mark } else { seq as u8 }; 1000]).collect()
}

/// A journal with one segment of several blocks, finished or not; one record in its middle has `mark` for a body.
fn blocks(mark: u8, is_finished: bool) -> Folder {
    let folder = Folder::new();
    let (mut writer, _) = Writer::open(&folder.0, Options::new("test")).expect("an empty folder");
    for (seq, body) in (1..).zip(bodies(mark, 400)) {
        writer.append(&header(seq, &body), &body).expect("room");
    }
    if is_finished { writer.seal() } else { writer.sync() }.expect("a disk");
    folder
}

/// Small segments, sealed at two places in between.
fn sealed() -> (Folder, Vec<Seal>) {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    let mut seals = Vec::new();
    for seqs in [1..=40, 41..=80, 81..=120] {
        append(&mut writer, seqs).expect("room");
        writer.sync().expect("a disk");
        seals.extend(seal(&folder.0).expect("whole"));
    }
    writer.seal().expect("a disk");
    (folder, seals)
}

fn what(found: &Verified) -> Vec<&str> {
    found.damages.iter().map(|damage| damage.what).collect()
}

#[test]
fn a_forged_record_with_a_right_checksum_is_found_in_its_block() {
    for is_finished in [false, true] {
        let (ours, theirs) = (blocks(1, is_finished), blocks(2, is_finished));
        let (mut bytes, other) =
            (fs::read(ours.segment(1)).expect("there"), fs::read(theirs.segment(1)).expect("there"));
        assert!(verify(&ours.0).expect("readable").is_whole());
        // The record, and the checksum that its writer would have given it.
        let at = bytes.iter().zip(&other).position(|(one, other)| one != other).expect("they differ") & !7;
        let start = at - at % 8;
        bytes[start - 24..start + 1032].copy_from_slice(&other[start - 24..start + 1032]);
        fs::write(ours.segment(1), &bytes).expect("ours");
        let found = verify(&ours.0).expect("readable");
        assert_eq!(what(&found), ["the block that begins here is not the one that its mark says"], "{is_finished}");
        let damage = found.damages[0].clone();
        assert!(damage.offset < start as u64 && start as u64 - damage.offset <= 64 << 10, "{damage}");
        assert_eq!(found.records, 400, "every checksum is right");
        // All that follows the block is proven, and of what lies before it only that it holds together.
        let [before, behind] = &found.stretches[..] else { panic!("{:?}", found.stretches) };
        assert_eq!((before.first_seq, &before.proven_by), (1, &None));
        assert_eq!((behind.last_seq, behind.proven_by.as_deref()), (400, Some("the head")));
        assert_eq!(before.last_seq + 1, behind.first_seq);
        assert!(!is_finished || matches!(verify(&ours.0), Ok(found) if !found.is_whole()));
        if !is_finished {
            assert!(matches!(Writer::open(&ours.0, Options::new("test")), Err(JournalError::Damaged(_))));
        }
    }
}

#[test]
fn a_journal_made_anew_is_not_the_one_that_was_sealed() {
    let (ours, theirs) = (blocks(1, true), blocks(2, true));
    let noted = seal(&ours.0).expect("whole").expect("records");
    assert!(verify_with(&ours.0, std::slice::from_ref(&noted)).expect("readable").is_whole());
    // With all its files, the head too: nothing in the folder is wrong.
    assert!(verify(&theirs.0).expect("readable").is_whole());
    let found = verify_with(&theirs.0, &[noted]).expect("readable");
    assert_eq!(what(&found), ["what lies before is not what was on the disk when the head was written"]);
}

#[test]
fn what_was_cut_at_a_record_is_found_and_not_taken_for_a_torn_end() {
    let (folder, seals) = sealed();
    let whole = folder.save();
    let last = (1..).take_while(|number| folder.segment(*number).exists()).last().expect("segments");
    let bytes = fs::read(folder.segment(last)).expect("there");
    let (mut offset, mut cuts) = (128, 0);
    while offset < bytes.len() {
        fs::write(folder.segment(last), &bytes[..offset]).expect("ours");
        let found = verify(&folder.0).expect("readable");
        assert_eq!(what(&found), ["it ends before what the head says was on the disk"], "{offset}");
        assert!(found.damages[0].after.is_some_and(|after| after.tai_ns == 1000 + after.seq), "{found:?}");
        assert!(matches!(folder.open(), Err(JournalError::Damaged(_))), "{offset}");
        assert_eq!(fs::read(folder.segment(last)).expect("there").len(), offset, "nothing was cut");
        let body_bytes = u32::from_le_bytes(bytes[offset + 20..offset + 24].try_into().expect("four")) as usize;
        offset += 32 + body_bytes.next_multiple_of(8);
        cuts += 1;
    }
    assert!(cuts > 3);
    // Whole segments off the end, and with them the head: only what was noted elsewhere knows.
    for gone in (2..=last).rev() {
        fs::remove_file(folder.segment(gone)).expect("there");
        let found = verify(&folder.0).expect("readable");
        assert_eq!(found.damages.len() as u64, last - gone + 1, "{found:?}");
        assert!(what(&found).iter().all(|what| what.starts_with("it is missing")), "{found:?}");
        assert!(matches!(folder.open(), Err(JournalError::Missing(path)) if path == folder.segment(gone)));
    }
    fs::remove_file(folder.0.join("head")).expect("there");
    assert!(matches!(folder.open(), Err(JournalError::NoHead(_))));
    let found = verify_with(&folder.0, &seals).expect("readable");
    assert!(what(&found).iter().filter(|what| what.starts_with("it is missing")).count() > 2, "{found:?}");
    folder.restore(&whole);
    assert!(verify_with(&folder.0, &seals).expect("readable").is_whole());
}

#[test]
fn seals_prove_what_lies_before_them_and_survive_their_text() {
    let (folder, seals) = sealed();
    let [first, second, third] = &seals[..] else { panic!("{seals:?}") };
    assert_eq!((first.head.last_seq, first.records, first.first_tai_ns, first.head.last_tai_ns), (40, 40, 1001, 1040));
    for seal in &seals {
        assert_eq!(Seal::parse(&seal.to_text()).as_ref(), Ok(seal));
    }
    // Damage behind the second one: up to there all is proven, and behind the damage the head proves the rest.
    let path = folder.segment(second.head.segment);
    let mut bytes = fs::read(&path).expect("there");
    let after = second.head.bytes as usize + 5;
    bytes[after] ^= 4;
    fs::write(&path, &bytes).expect("ours");
    let found = verify_with(&folder.0, &[third.clone(), first.clone(), second.clone()]).expect("readable");
    assert_eq!(found.damages.len(), 1, "{found:?}");
    assert_eq!(found.damages[0].after.map(|after| (after.seq, after.tai_ns)), Some((80, 1080)));
    let proven: Vec<_> =
        found.stretches.iter().filter_map(|part| Some((part.last_seq, part.proven_by.clone()?))).collect();
    assert_eq!(proven[..2], [(40, first.name()), (80, second.name())]);
    assert_eq!(proven.last().map(|(seq, _)| *seq), Some(120));
    // A seal that was touched is none.
    let text = third.to_text();
    for changed in
        [text.replace("records 120", "records 121"), text.replace("seal 1\n", "seal 2\n"), text[..100].into()]
    {
        assert!(changed != text && Seal::parse(&changed).is_err(), "{changed}");
    }
}

#[test]
fn segments_that_change_places_are_found() {
    let (folder, seals) = sealed();
    let (one, two) = (fs::read(folder.segment(2)).expect("there"), fs::read(folder.segment(3)).expect("there"));
    fs::write(folder.segment(2), two).expect("ours");
    fs::write(folder.segment(3), one).expect("ours");
    let found = verify_with(&folder.0, &seals).expect("readable");
    assert_eq!(what(&found)[0], "its name and its header disagree on its number");
    assert!(found.damages.iter().any(|damage| damage.path == folder.segment(2)), "{found:?}");
    assert!(found.damages.iter().any(|damage| damage.path == folder.segment(3)), "{found:?}");
    assert!(folder.open().is_err());
}

#[test]
fn an_operator_can_take_a_journal_without_its_end() {
    let (folder, seals) = sealed();
    let last = (1..).take_while(|number| folder.segment(*number).exists()).last().expect("segments");
    fs::remove_file(folder.segment(last)).expect("there");
    assert!(matches!(folder.open(), Err(JournalError::Missing(_))));
    let accepted = accept(&folder.0).expect("it is whole so far");
    assert_eq!(accepted.before.map(|head| head.last_seq), Some(120));
    let kept = accepted.kept.expect("the old head");
    assert!(kept.exists() && verify(&folder.0).expect("readable").is_whole());
    // Whoever kept a seal sees it all the same.
    assert!(!verify_with(&folder.0, &seals).expect("readable").is_whole());
    let (mut writer, recovered) = folder.open().expect("as it is");
    assert_eq!(recovered.last_seq, accepted.head.last_seq);
    append(&mut writer, recovered.last_seq + 1..=130).expect("room");
    writer.seal().expect("a disk");
    assert_eq!(folder.read().expect("whole"), records(1..=130));
    assert!(verify(&folder.0).expect("readable").is_whole());
}

/// A journal of one unfinished segment whose disk lost 512 bytes in its middle, and where they begin.
fn with_a_hole() -> (Folder, usize) {
    let folder = blocks(1, false);
    let mut bytes = fs::read(folder.segment(1)).expect("there");
    let hole = bytes.len() / 1024 * 512;
    bytes[hole..hole + 512].fill(0);
    fs::write(folder.segment(1), &bytes).expect("ours");
    (folder, hole)
}

#[test]
fn an_operator_can_take_a_journal_with_a_hole_and_what_lies_behind_is_kept() {
    let other_boot = Options { boot: [9; 16], ..Options::new("test") };
    for options in [Options::new("test"), other_boot] {
        let (folder, hole) = with_a_hole();
        let noted = seal(&folder.0).expect("a head");
        let before = fs::read(folder.segment(1)).expect("there");
        assert!(matches!(Writer::open(&folder.0, options.clone()), Err(JournalError::Damaged(_))));
        let accepted = accept(&folder.0).expect("a way out");
        let given_up = accepted.given_up.expect("whole records lay behind");
        assert_eq!((given_up.segment, given_up.offset), (folder.segment(1), accepted.head.bytes));
        assert!(accepted.head.bytes <= hole as u64 && accepted.head.last_seq > 100, "{:?}", accepted.head);
        let kept = fs::read(&given_up.kept).expect("kept");
        assert_eq!([fs::read(folder.segment(1)).expect("there"), kept.clone()].concat(), before, "no byte is lost");
        assert_eq!(kept.len() as u64, given_up.bytes);
        // Whoever kept a seal sees it; but for that, the journal is sound and goes on.
        assert!(!verify_with(&folder.0, noted.as_slice()).expect("readable").is_whole());
        let found = verify(&folder.0).expect("readable");
        assert!(found.is_whole() && found.segments == 1 && found.last_seq == accepted.head.last_seq, "{found:?}");
        let (mut writer, recovered) = Writer::open(&folder.0, options).expect("nothing lies behind");
        assert_eq!((recovered.last_seq, recovered.cut), (accepted.head.last_seq, None));
        append(&mut writer, recovered.last_seq + 1..=500).expect("room");
        writer.seal().expect("a disk");
        drop(writer);
        let found = verify(&folder.0).expect("readable");
        assert!(found.is_whole() && found.records == 500, "{found:?}");
        // Nothing more is given up when it is done again.
        assert_eq!(accept(&folder.0).expect("whole").given_up, None);
        assert_eq!(fs::read(&given_up.kept).expect("kept"), kept);
    }
}

#[test]
fn what_an_operator_takes_is_never_lost_by_a_call_that_fails() {
    let (folder, _) = with_a_hole();
    let whole = folder.save();
    let segment = fs::read(folder.segment(1)).expect("there");
    let disk = Faulty::default();
    let accepted = accept_on(disk.clone(), &folder.0).expect("no fault");
    let calls = disk.0.borrow().calls;
    assert!(calls > 10, "{calls}");
    for at in 1..=calls {
        folder.restore(&whole);
        let disk = Faulty::default();
        disk.0.borrow_mut().at = Some((at, 1, Fault::Io));
        assert!(matches!(accept_on(disk, &folder.0), Err(JournalError::Io { .. })), "call {at}");
        let now = fs::read(folder.segment(1)).expect("there");
        let kept = fs::read(folder.segment(1).with_added_extension("given-up-1")).unwrap_or_default();
        let is_kept = now == segment || [&now[..], &kept[..]].concat() == segment;
        assert!(is_kept, "call {at}: {} and {} bytes", now.len(), kept.len());
        assert_eq!(accept(&folder.0).expect("repeated").head, accepted.head, "call {at}");
        assert!(Writer::open(&folder.0, Options::new("test")).is_ok(), "call {at}");
    }
}

#[test]
fn a_forged_block_is_no_hole_and_nothing_is_cut() {
    let (ours, theirs) = (blocks(1, false), blocks(2, false));
    let (mut bytes, other) = (fs::read(ours.segment(1)).expect("there"), fs::read(theirs.segment(1)).expect("there"));
    let at = bytes.iter().zip(&other).position(|(one, other)| one != other).expect("they differ") & !7;
    bytes[at..at + 1032].copy_from_slice(&other[at..at + 1032]);
    fs::write(ours.segment(1), &bytes).expect("ours");
    assert!(matches!(accept(&ours.0), Err(JournalError::Damaged(damage)) if damage.offset > at as u64));
    assert_eq!(fs::read(ours.segment(1)).expect("there"), bytes);
}

#[test]
fn what_recovery_refuses_after_a_power_cut_verify_names() {
    let folder = Folder::new();
    let boot = |boot| Options { boot: [boot; 16], ..Options::new("test") };
    let (mut writer, _) = Writer::open(&folder.0, boot(1)).expect("an empty folder");
    let mut old_head = Vec::new();
    for (seq, body) in (1..).zip(bodies(1, 400)) {
        writer.append(&header(seq, &body), &body).expect("room");
        if seq % 50 == 0 {
            writer.sync().expect("a disk");
            let head = fs::read(folder.0.join("head")).expect("there");
            old_head = if seq == 50 { head } else { old_head };
        }
    }
    drop(writer);
    // The head on the disk is a second old; a hole lies behind it, and before what a mark says was on the disk.
    fs::write(folder.0.join("head"), old_head).expect("ours");
    let mut bytes = fs::read(folder.segment(1)).expect("there");
    let hole = bytes.len() / 1024 * 512;
    bytes[hole..hole + 512].fill(0);
    fs::write(folder.segment(1), &bytes).expect("ours");
    let found = verify(&folder.0).expect("readable");
    let damage = found.damages.first().expect("a mark tells");
    assert!(damage.offset <= hole as u64 && hole as u64 - damage.offset < 1100, "{damage}");
    assert!(matches!(Writer::open(&folder.0, boot(2)), Err(JournalError::Damaged(refused)) if refused == *damage));
}

#[test]
fn a_number_that_no_segment_has_is_said_at_once() {
    for stray in [99_999_999_999_u64, u64::MAX - 1, u64::MAX] {
        let (folder, seals) = sealed();
        let last = (1..).take_while(|number| folder.segment(*number).exists()).last().expect("segments");
        let mut noted = seals[0].clone();
        noted.head.segment = stray;
        let found = verify_with(&folder.0, &[noted]).expect("readable");
        let missing = what(&found).iter().filter(|what| what.starts_with("it is missing")).count();
        assert!((3..=102).contains(&missing), "{missing}");
        assert_eq!(found.damages[0].path, folder.segment(last + 1));
        assert_eq!(found.damages.last().map(|damage| &damage.path), Some(&folder.segment(stray)));
        assert!(
            what(&found).contains(&"it is missing and more behind it, and what was noted of the journal goes further")
        );
        fs::write(folder.segment(stray), b"x").expect("ours");
        let found = verify(&folder.0).expect("readable");
        assert!(what(&found).contains(&"it is missing and more behind it, though later ones are there"), "{found:?}");
        assert_eq!(found.damages.last().map(|damage| &damage.path), Some(&folder.segment(stray)));
    }
}

#[test]
fn a_seal_with_the_right_chain_and_other_facts_proves_nothing() {
    let (folder, seals) = sealed();
    let changes: [fn(&mut Seal); 3] =
        [|seal| seal.head.records += 1, |seal| seal.head.last_seq -= 1, |seal| seal.instance.push('x')];
    for change in changes {
        let mut forged = seals[1].clone();
        change(&mut forged);
        let found = verify_with(&folder.0, &[seals[0].clone(), forged.clone()]).expect("readable");
        assert_eq!(
            what(&found),
            ["the chain is as noted, but instance, records or last seq noted with it are not the journal's"]
        );
        let proven: Vec<_> = found.stretches.iter().filter_map(|stretch| stretch.proven_by.clone()).collect();
        assert!(proven.contains(&seals[0].name()) && !proven.contains(&forged.name()), "{proven:?}");
    }
}

#[test]
fn an_empty_segment_behind_a_gap_is_sound() {
    let (folder, _) = sealed();
    let (mut writer, recovered) = folder.open().expect("whole");
    let last = recovered.segments + 1;
    // The first record behind a gap is taken, its segment made, and the writer killed before a byte of it is written.
    append(&mut writer, [200]).expect("room");
    drop(writer);
    assert_eq!(fs::metadata(folder.segment(last)).expect("there").len(), 128);
    let (mut writer, recovered) = folder.open().expect("an empty segment");
    assert_eq!(recovered.last_seq, 199);
    writer.seal().expect("a disk");
    let noted = seal(&folder.0).expect("a head");
    assert!(verify_with(&folder.0, noted.as_slice()).expect("readable").is_whole());
    append(&mut writer, 200..=210).expect("room");
    writer.seal().expect("a disk");
    drop(writer);
    let found = verify_with(&folder.0, noted.as_slice()).expect("readable");
    assert!(found.is_whole() && (found.records, found.last_seq, found.missing) == (131, 210, 79), "{found:?}");
    assert!(folder.open().is_ok());
}

#[test]
fn a_seal_through_a_finished_segment_is_the_one_made_when_it_ended() {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    append(&mut writer, 1..=50).expect("room");
    writer.seal().expect("a disk");
    let (then, head) = (seal(&folder.0).expect("whole").expect("records"), writer.head());
    append(&mut writer, 51..=53).expect("room");
    writer.sync().expect("a disk");
    assert_eq!(seal_through(&folder.0, head.segment).expect("finished"), Some(then.clone()));
    assert_ne!(seal(&folder.0).expect("whole"), Some(then.clone()));
    assert!(matches!(seal_through(&folder.0, head.segment + 1), Err(JournalError::Damaged(_))), "it is not finished");
    assert!(matches!(seal_through(&folder.0, head.segment + 2), Err(JournalError::Missing(_))));
    let found = verify_with(&folder.0, &[then]).expect("readable");
    assert_eq!(found.stretches[0].last_seq, 50, "{:?}", found.stretches);
}
