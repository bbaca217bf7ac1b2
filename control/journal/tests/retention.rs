//! Days that are deleted: what is left is a journal to everybody, nothing goes that somebody needs, and whatever cuts a deletion
//! loses nothing else.

mod common;

use common::{Fault, Faulty, Folder, append, header_of, options, read_on};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tern_abi::record::{Kind, StartRecord};
use tern_journal::recovered::{last_day_begins, recovered};
use tern_journal::retention::{Hold, Plan, delete, delete_on, plan, settle, settle_on};
use tern_journal::{
    Deletion, Follower, Index, JournalError, Reader, Seal, Writer, accept, beginning, compress, deletions, followers,
    forget, seal, seal_through, segments_from, verify, verify_with,
};
use zerocopy::IntoBytes;

const FIRST_DAY: u32 = 20_000;
/// Records of a day, the start record among them.
const A_DAY: u64 = 60;

/// A run begins with record `seq`.
fn start(writer: &mut Writer, seq: u64, day: u32, day_begins: Option<u64>) {
    let begins = day_begins.map_or_else(String::new, |seq| format!(" day_begins={seq}"));
    let text = format!("[instance]\n#run day={day}{begins}\n");
    let body = [StartRecord::default().as_bytes(), text.as_bytes()].concat();
    writer.append(&header_of(seq, Kind::Start, &body), &body).expect("room");
}

/// A day from record `seq` on; the seal of its end.
fn day(folder: &Folder, writer: &mut Writer, seq: u64, day: u32) -> Seal {
    start(writer, seq, day, None);
    append(writer, seq + 1..seq + A_DAY).expect("room");
    writer.seal().expect("a disk");
    let seal = seal_through(&folder.0, writer.head().segment).expect("whole").expect("records");
    seal.keep(&folder.0).expect("room");
    seal
}

/// A journal of `count` days that ended, and an open one; their seals.
fn days(count: u32) -> (Folder, Vec<Seal>) {
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("an empty folder");
    let first = |day: u32| u64::from(day) * A_DAY + 1;
    let seals = (0..count).map(|number| day(&folder, &mut writer, first(number), FIRST_DAY + number)).collect();
    start(&mut writer, first(count), FIRST_DAY + count, None);
    append(&mut writer, first(count) + 1..first(count) + 9).expect("room");
    writer.sync().expect("a disk");
    (folder, seals)
}

fn seqs(folder: &Folder) -> Result<(u64, u64, usize), JournalError> {
    let read = folder.read()?;
    Ok((read.first().map_or(0, |first| first.0), read.last().map_or(0, |last| last.0), read.len()))
}

fn delete_now(folder: &Folder, retain_days: u32) -> (Plan, Option<Deletion>) {
    let plan = plan(&folder.0, retain_days).expect("whole");
    let deletion = delete(&folder.0, &plan, 77).expect("a disk");
    (plan, deletion)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("there")
        .map(|file| file.expect("there").file_name().into_string().expect("plain"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_left_is_a_journal_to_every_reader() {
    let (folder, seals) = days(5);
    for number in 1..=seals[0].head.segment {
        Index::make(&folder.0, number).expect("whole").write().expect("room");
    }
    compress(&folder.0, 1).expect("whole");
    let mut early = Reader::open(&folder.0).expect("there");
    assert_eq!(early.next().expect("whole").map(|record| record.header.seq), Some(1));
    let before = verify(&folder.0).expect("readable");
    let whole = folder.read().expect("whole");

    let (made, deletion) = delete_now(&folder, 2);
    assert_eq!((made.due_days, made.held_by), (vec![20_000, 20_001, 20_002], vec![]));
    let deletion = deletion.expect("three days are due");
    let (first, last) = (seals[2].head.segment + 1, before.segments);
    assert_eq!((deletion.first_segment, deletion.first_seq, &deletion.seal), (1, 1, &seals[2]));
    assert_eq!((made.segments, deletion.at_tai_ns, deletion.retain_days), (first - 1, 77, 2));
    let left: Vec<String> = names(&folder.0).into_iter().filter(|name| name.starts_with("0000")).collect();
    assert_eq!(left, (first..=last).map(|number| format!("{number:08}.journal")).collect::<Vec<_>>(), "indexes go too");
    assert_eq!(delete_now(&folder, 2).1, None, "once");

    // All that is left, from the start of a run on, to a reader from anywhere.
    let first_seq = 3 * A_DAY + 1;
    assert_eq!(folder.read().expect("whole"), whole[3 * A_DAY as usize..]);
    for seq in [0, 1, first_seq - 1, first_seq, first_seq + 70] {
        let mut reader = Reader::open_near(&folder.0, seq).expect("whole");
        let found = reader.next().expect("whole").expect("a record").header.seq;
        assert!(found <= seq.max(first_seq) && found >= first_seq, "{seq}: {found}");
    }
    assert_eq!(segments_from(&folder.0, 0).expect("whole"), first..=last);
    assert_eq!(segments_from(&folder.0, 5).expect("whole"), first..=last);
    // Who was in the middle of what is gone reads its open file to the end, and then is told.
    let told = read_on(&mut early).expect_err("the next segment is gone");
    assert!(matches!(&told, JournalError::Deleted { first: named, .. } if *named == first), "{told}");
    let begins = last_day_begins(&folder.0).expect("whole");
    assert_eq!(begins, 5 * A_DAY + 1);
    assert_eq!(tern_journal::index::last_day_begins(&folder.0).expect("whole"), begins);
    assert_eq!(recovered(&folder.0, begins..=u64::MAX).expect("whole").0.day, Some(20_005));

    let found = verify_with(&folder.0, &seals).expect("readable");
    assert!(found.is_whole() && found.unexplained() == 0, "{:?}", found.damages);
    assert_eq!((found.first_seq, found.segments, found.leftovers), (first_seq, last - first + 1, 0));
    assert_eq!((found.deletions, found.of_deleted.len()), (vec![deletion.clone()], 3));
    assert!(found.stretches.iter().all(|stretch| stretch.proven_by.is_some()), "{:?}", found.stretches);
    assert_eq!(found.last_seq, before.last_seq);
    let again = seal(&folder.0).expect("whole").expect("records");
    assert_eq!((again.head, again.records, again.day), (before.head.expect("a head"), 9, 20_005));
    assert_eq!(seal_through(&folder.0, seals[4].head.segment).expect("whole"), Some(seals[4].clone()));
    assert!(compress(&folder.0, first).expect("whole").is_some());

    // It goes on, is taken as it is, and more of it is deleted later.
    let (mut writer, recovered) = folder.open().expect("whole");
    assert_eq!((recovered.last_seq, recovered.segments), (before.last_seq, last - first + 1));
    append(&mut writer, before.last_seq + 1..=6 * A_DAY).expect("room");
    writer.seal().expect("a disk");
    seal_through(&folder.0, writer.head().segment).expect("whole").expect("records").keep(&folder.0).expect("room");
    start(&mut writer, 6 * A_DAY + 1, 20_006, None);
    writer.sync().expect("a disk");
    drop(writer);
    accept(&folder.0).expect("whole");
    let (_, next) = delete_now(&folder, 2);
    let next = next.expect("one more day");
    assert_eq!((next.first_segment, next.seal.day, &next.before), (first, 20_003, &deletion.digest()));
    assert_eq!(deletions(&folder.0).map_err(|(_, error)| error).expect("all are told"), [next, deletion]);
    let (_, recovered) = folder.open().expect("whole");
    assert_eq!(recovered.last_seq, 6 * A_DAY + 1);
    assert!(verify_with(&folder.0, &seals).expect("readable").is_whole());
}

#[test]
fn what_is_merely_missing_is_damage_whatever_seals_are_there() {
    let (folder, seals) = days(4);
    let first = seals[1].head.segment + 1;
    (1..first).for_each(|number| fs::remove_file(folder.segment(number)).expect("there"));
    let is_missing = |error: &JournalError| matches!(error, JournalError::Missing(path) if *path == folder.segment(1));
    assert!(folder.open().err().is_some_and(|error| is_missing(&error)));
    assert!(folder.read().err().is_some_and(|error| is_missing(&error)));
    assert!(plan(&folder.0, 1).err().is_some_and(|error| is_missing(&error)));
    assert!(seal(&folder.0).is_err() && accept(&folder.0).is_err());
    let found = verify(&folder.0).expect("readable");
    assert_eq!(found.damages.len() as u64, first - 1);
    assert_eq!(found.damages[0].path, folder.segment(1));

    // One that is gone behind what was deleted is damage as well, and the first of those before all.
    let (folder, seals) = days(4);
    delete_now(&folder, 1).1.expect("three days are due");
    let first = seals[2].head.segment + 1;
    for gone in [first, first + 1] {
        let kept = fs::read(folder.segment(gone)).expect("there");
        fs::remove_file(folder.segment(gone)).expect("there");
        assert!(matches!(folder.open(), Err(JournalError::Missing(path)) if path == folder.segment(gone)));
        assert!(matches!(folder.read(), Err(JournalError::Missing(path)) if path == folder.segment(gone)));
        let found = verify(&folder.0).expect("readable");
        assert_eq!(found.damages.first().map(|damage| damage.path.clone()), Some(folder.segment(gone)));
        fs::write(folder.segment(gone), kept).expect("ours");
    }
    // Without the word of what was deleted they are missing again.
    fs::remove_file(folder.0.join("beginning")).expect("there");
    assert!(matches!(folder.open(), Err(JournalError::Missing(path)) if path == folder.segment(1)));
    assert!(matches!(folder.read(), Err(JournalError::Missing(path)) if path == folder.segment(1)));
    assert!(!verify(&folder.0).expect("readable").is_whole());
}

#[test]
fn a_forged_beginning_is_found_by_everybody() {
    let (folder, seals) = days(4);
    let deletion = delete_now(&folder, 1).1.expect("three days are due");
    let path = folder.0.join("beginning");
    let text = fs::read(&path).expect("there");
    let is_told = |what: &str| {
        assert!(matches!(folder.open(), Err(JournalError::Damaged(_) | JournalError::Instance { .. })), "{what}");
        assert!(matches!(folder.read(), Err(JournalError::Damaged(_))), "{what}");
        assert!(matches!(seal(&folder.0), Err(JournalError::Damaged(_))), "{what}");
        assert!(!verify(&folder.0).expect("readable").is_whole(), "{what}");
    };
    for bit in 0..text.len() * 8 {
        let mut changed = text.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &changed).expect("ours");
        assert!(matches!(beginning(&folder.0), Err(JournalError::Damaged(damage)) if damage.path == path), "bit {bit}");
    }
    is_told("a flipped bit");
    // Every checksum right, and not the chain of what is there.
    let head = deletion.seal.head;
    let mut chain = head.chain;
    chain[0] ^= 1;
    let wrong_heads = [
        tern_journal::Head { chain, ..head },
        tern_journal::Head { records: head.records - 1, ..head },
        tern_journal::Head { last_seq: head.last_seq + 1, ..head },
    ];
    for head in wrong_heads {
        let forged = Deletion { seal: Seal { head, ..deletion.seal.clone() }, ..deletion.clone() };
        fs::write(&path, forged.to_text()).expect("ours");
        is_told("another head");
    }
    let other = Seal { instance: "other".into(), ..deletion.seal.clone() };
    fs::write(&path, Deletion { seal: other, ..deletion.clone() }.to_text()).expect("ours");
    is_told("another instance");
    // The seal of an earlier day: segments between are missing.
    let earlier = Deletion { seal: seals[0].clone(), ..deletion.clone() };
    fs::write(&path, earlier.to_text()).expect("ours");
    assert!(matches!(folder.open(), Err(JournalError::Missing(_))));
    assert!(!verify(&folder.0).expect("readable").is_whole());
    // As docs/OPERATIONS.md says: the deletion's own file has the same text.
    fs::copy(folder.0.join("seals").join(deletion.file_name()), &path).expect("ours");
    assert_eq!(fs::read(&path).expect("there"), text);
    assert!(verify_with(&folder.0, &seals).expect("readable").is_whole());
    // A seal kept elsewhere that says otherwise of the end of what was deleted.
    let elsewhere = Seal { head: tern_journal::Head { chain, ..head }, ..deletion.seal.clone() };
    let found = verify_with(&folder.0, &[elsewhere]).expect("readable");
    assert_eq!(found.damages.len(), 1, "{found:?}");
}

#[test]
fn what_was_deleted_is_told_for_good() {
    let (folder, _) = days(6);
    for retain in [4, 3, 1] {
        delete_now(&folder, retain).1.expect("a day is due");
    }
    let all = deletions(&folder.0).map_err(|(_, error)| error).expect("all are told");
    assert_eq!(all.iter().map(|one| one.seal.day).collect::<Vec<_>>(), [20_004, 20_002, 20_001]);
    assert_eq!(all[2].first_seq, 1);
    assert!(all.windows(2).all(|two| two[1].seal.head.segment + 1 == two[0].first_segment));
    // Any of them, the last one's copy too, is missed.
    for gone in &all[1..] {
        let path = folder.0.join("seals").join(gone.file_name());
        let text = fs::read_to_string(&path).expect("kept");
        fs::remove_file(&path).expect("there");
        assert_eq!(verify(&folder.0).expect("readable").damages.len(), 1);
        fs::write(&path, text.replace("retain_days", "retain_dayS")).expect("ours");
        assert_eq!(verify(&folder.0).expect("readable").damages.len(), 1);
        fs::write(&path, text).expect("ours");
    }
    assert!(verify(&folder.0).expect("readable").is_whole());
}

#[test]
fn a_deletion_cut_at_every_call_leaves_the_whole_or_the_rest() {
    let (folder, seals) = days(4);
    let disk = Faulty::default();
    let made = plan(&folder.0, 2).expect("whole");
    delete_on(&mut disk.clone(), &folder.0, &made, 77).expect("no fault");
    let calls = disk.0.borrow().calls;
    assert!(calls > 10, "{calls}");
    let rest = seqs(&folder).expect("whole");
    for fault in [Fault::Io, Fault::NoSpace, Fault::Short] {
        for (at, times) in (1..=calls).flat_map(|at| [(at, 1), (at, u32::MAX - at)]) {
            let what = format!("call {at} {fault:?}, {times} times");
            let (folder, _) = days(4);
            let disk = Faulty::default();
            disk.0.borrow_mut().at = Some((at, times, fault));
            let made = plan(&folder.0, 2).expect("whole");
            let outcome = delete_on(&mut disk.clone(), &folder.0, &made, 77);
            assert!(outcome.is_err() || fault == Fault::Short, "{what}");
            // Every reader has all, or what is left.
            let found = seqs(&folder).expect("readable in between");
            assert!(found == (1, rest.1, rest.1 as usize) || found == rest, "{what}: {found:?}");
            let (_, recovered) = folder.open().expect("in between");
            assert_eq!(recovered.last_seq, rest.1, "{what}");
            let verified = verify_with(&folder.0, &seals[2..]).expect("readable");
            assert!(verified.is_whole(), "{what}: {:?}", verified.damages);
            // The next look ends it.
            settle(&folder.0).expect("a disk");
            let made = plan(&folder.0, 2).expect("whole");
            delete(&folder.0, &made, 78).expect("a disk");
            assert_eq!(seqs(&folder).expect("whole"), rest, "{what}");
            let left = plan(&folder.0, 2).expect("whole");
            assert_eq!((left.leftovers, left.delete, left.due_days.len()), (vec![], None, 0), "{what}");
            let verified = verify(&folder.0).expect("readable");
            assert!(verified.is_whole() && verified.deletions.len() == 1, "{what}: {:?}", verified.damages);
        }
    }
}

#[test]
fn segments_of_deleted_days_that_are_still_there_are_none_of_the_journal() {
    let (folder, seals) = days(3);
    let whole = folder.save();
    let deletion = delete_now(&folder, 1).1.expect("two days are due");
    let rest = seqs(&folder).expect("whole");
    // As if ternd had been killed before the last two were removed.
    let last = deletion.seal.head.segment;
    for number in [last - 1, last] {
        let (path, bytes) = whole.iter().find(|(path, _)| *path == folder.segment(number)).expect("it was there");
        fs::write(path, bytes).expect("ours");
    }
    assert_eq!(seqs(&folder).expect("whole"), rest);
    assert!(folder.open().is_ok());
    let found = verify_with(&folder.0, &seals).expect("readable");
    assert!(found.is_whole() && found.leftovers == 2, "{found:?}");
    assert_eq!(plan(&folder.0, 1).expect("whole").leftovers, [last - 1, last]);
    fs::remove_file(folder.0.join("seals").join(deletion.file_name())).expect("kept");
    assert_eq!(settle_on(&mut Faulty::default(), &folder.0).expect("a disk"), 2);
    assert!(verify(&folder.0).expect("readable").leftovers == 0);
    assert!(folder.0.join("seals").join(deletion.file_name()).exists(), "it is written again");
}

#[test]
fn a_follower_that_is_behind_holds_back_what_it_needs() {
    let (folder, seals) = days(5);
    let tell = |name: &str, needs_seq| {
        Follower { name: name.into(), needs_seq, told_tai_ns: 5, who: "a test".into() }.tell(&folder.0).expect("room");
    };
    let held = |plan: &Plan| -> Vec<String> {
        let name = |hold: &Hold| match hold {
            Hold::Follower(follower) => follower.name.clone(),
            other => format!("{other:?}"),
        };
        plan.held_by.iter().map(name).collect()
    };
    tell("near", 5 * A_DAY + 3);
    tell("far", A_DAY);
    let made = plan(&folder.0, 1).expect("whole");
    assert_eq!((made.due_days.len(), &made.delete, held(&made)), (4, &None, vec!["far".to_owned()]));
    // The last record of a day is needed as long as it is the one by which a follower knows the journal again.
    tell("far", 2 * A_DAY);
    assert_eq!(plan(&folder.0, 1).expect("whole").delete, Some(seals[0].clone()));
    tell("far", 2 * A_DAY + 1);
    let (made, deletion) = delete_now(&folder, 1);
    assert_eq!((held(&made), deletion.map(|one| one.seal)), (vec!["far".to_owned()], Some(seals[1].clone())));
    // One whose file is not what was written needs all.
    fs::write(folder.0.join("followers/odd"), "needs_seq 99999\n").expect("ours");
    tell("far", 5 * A_DAY);
    let made = plan(&folder.0, 1).expect("whole");
    assert_eq!((&made.delete, held(&made)), (&None, vec!["odd".to_owned()]));
    assert!(!forget(&folder.0, "../head").expect("not a name") && !forget(&folder.0, "none").expect("none"));
    assert!(forget(&folder.0, "odd").expect("a disk"));
    // A file by a name that no follower has is one that holds back, too.
    fs::write(folder.0.join("followers/copy of near (1)"), "").expect("ours");
    assert_eq!(held(&plan(&folder.0, 1).expect("whole")), ["copy of near (1)"]);
    assert!(forget(&folder.0, "copy of near (1)").expect("a disk"));
    assert_eq!(followers(&folder.0).expect("readable").len(), 2);
    let (made, deletion) = delete_now(&folder, 1);
    assert_eq!((held(&made).len(), deletion.map(|one| one.seal)), (0, Some(seals[3].clone())));
}

#[test]
fn a_day_without_its_seal_or_whose_run_goes_on_is_not_cut() {
    let (folder, seals) = days(4);
    // The second day's seal is gone, or is another one: it goes with the third.
    let path = folder.0.join("seals").join(seals[1].file_name());
    for text in [None, Some("forged".to_owned())] {
        match text {
            Some(text) => fs::write(&path, text).expect("ours"),
            None => fs::remove_file(&path).expect("there"),
        }
        let made = plan(&folder.0, 1).expect("whole");
        assert_eq!((made.due_days, made.delete), (vec![20_000, 20_002], Some(seals[2].clone())));
        assert_eq!(plan(&folder.0, 2).expect("whole").delete, Some(seals[0].clone()));
    }
    // Of a day whose seal is right in itself, and is not what the segment ends with, nothing goes.
    let head = tern_journal::Head { chain: [7; 32], ..seals[2].head };
    Seal { head, ..seals[2].clone() }.keep(&folder.0).expect("room");
    let made = plan(&folder.0, 1).expect("whole");
    assert_eq!((made.delete, made.held_by), (Some(seals[0].clone()), vec![Hold::NoEnd]));

    // A run that goes on beyond the end of its day: the day is cut where the next run begins.
    let folder = Folder::new();
    let (mut writer, _) = folder.open().expect("empty");
    let first = day(&folder, &mut writer, 1, 20_000);
    append(&mut writer, A_DAY + 1..2 * A_DAY).expect("room");
    writer.seal().expect("a disk");
    seal_through(&folder.0, writer.head().segment).expect("whole").expect("records").keep(&folder.0).expect("room");
    let third = day(&folder, &mut writer, 2 * A_DAY + 1, 20_002);
    start(&mut writer, 3 * A_DAY + 1, 20_003, None);
    writer.sync().expect("a disk");
    let made = plan(&folder.0, 1).expect("whole");
    let seal = made.delete.expect("the first day with what its run did afterwards");
    assert!(seal.head.last_seq == 2 * A_DAY - 1 && seal.day == first.day && third.day == 20_002);
    // Nor is a damaged segment deleted: it is what there is to be looked at.
    let mut bytes = fs::read(folder.segment(2)).expect("there");
    let end = bytes.len();
    bytes[end - 30] ^= 1;
    fs::write(folder.segment(2), bytes).expect("ours");
    let made = plan(&folder.0, 1).expect("readable");
    assert!(made.delete.is_none() && matches!(made.held_by[..], [Hold::Damage(_)]), "{made:?}");
}

#[test]
fn the_last_day_and_what_is_to_be_kept_stay_in_whatever_order_days_come() {
    // Whatever came of a random life: what is left is the end of what was, begins with a run, and has all that somebody needs.
    let mut random = 7_u64;
    let mut below = move |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let mut deleted = 0;
    for case in 0..150 {
        let folder = Folder::new();
        let (mut writer, _) = folder.open().expect("an empty folder");
        let (mut seq, mut day_now, mut last_run_of) = (1, FIRST_DAY, Vec::new());
        let (mut begins, mut sealed_days) = (0, BTreeSet::new());
        for _ in 0..below(12) + 2 {
            // A run of the same day, of a later one, or by a clock that ran ahead.
            let step = [0, 1, 1, 1, 3, 500][below(6) as usize];
            let of_day = if step == 500 { day_now + 500 } else { day_now + step };
            day_now = if step == 500 { day_now } else { of_day };
            let is_same = last_run_of.last().is_some_and(|(day, _)| *day == of_day);
            begins = if is_same { begins } else { seq };
            start(&mut writer, seq, of_day, is_same.then_some(begins));
            last_run_of.push((of_day, seq));
            let records = below(50);
            append(&mut writer, seq + 1..=seq + records).expect("room");
            seq += records + 1;
            match below(4) {
                0 => {}
                1 => writer.sync().expect("a disk"),
                sealed => {
                    writer.seal().expect("a disk");
                    let seal = seal_through(&folder.0, writer.head().segment).expect("whole").expect("records");
                    if sealed == 2 || below(3) > 0 {
                        sealed_days.insert(of_day);
                        seal.keep(&folder.0).expect("room");
                    }
                }
            }
        }
        writer.sync().expect("a disk");
        drop(writer);
        let whole = folder.read().expect("whole");
        let retain = below(4) as u32 + 1;
        let needs_seq = below(2 * seq);
        Follower { name: "one".into(), needs_seq, ..Follower::default() }.tell(&folder.0).expect("room");
        let (made, deletion) = delete_now(&folder, retain);
        let left = folder.read().expect("whole");
        assert!(whole.ends_with(&left) && !left.is_empty(), "case {case}");
        assert!(verify(&folder.0).expect("readable").is_whole(), "case {case}");
        let first = left[0].0;
        assert!(last_day_begins(&folder.0).expect("whole") >= first, "case {case}");
        if let Some(deletion) = deletion {
            deleted += 1;
            assert!(last_run_of.iter().any(|(_, at)| *at == first), "case {case}: it begins with a run");
            assert!(needs_seq >= first.min(needs_seq) && needs_seq > deletion.seal.head.last_seq, "case {case}");
            let open = made.open_day.expect("a run");
            let kept: Vec<u32> = sealed_days.range(..open).rev().take(retain as usize).copied().collect();
            let gone = last_run_of.iter().filter(|(_, at)| *at < first).map(|(day, _)| *day);
            assert!(kept.len() == retain as usize, "case {case}: {kept:?}");
            assert!(gone.clone().all(|day| day != open && !kept.contains(&day)), "case {case}: {kept:?}");
        }
        let (_, recovered) = Writer::open(&folder.0, options()).expect("whole");
        assert_eq!(recovered.last_seq, seq - 1, "case {case}");
    }
    assert!(deleted > 20, "{deleted} of the cases delete something");
}
