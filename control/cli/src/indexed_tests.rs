//! The same is found with indexes, without them, and with such as are wrong.

use super::*;
use crate::records;
use crate::story::story;
use std::fs;
use std::path::PathBuf;
use tern_abi::record::{
    ACTION_NEW, ACTION_REPLACE, DatagramHead, Kind, OrderEventRecord, OrderRecord, PositionRecord, RefusalRecord,
    STAGES, StageRecord, StartRecord, VenueEventKind,
};
use tern_config::facts::{Named, Names};
use tern_journal::{Options, Writer};
use zerocopy::IntoBytes;

const SYMBOLS: [&[u8; 8]; 4] = [b"MSFT    ", b"AAPL    ", b"TERN    ", b"GULL    "];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct Journal {
    folder: PathBuf,
    seq: u64,
    random: Random,
}

impl Drop for Journal {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Journal {
    /// Several segments, runs with ids of their own, orders, replaces, answers, refusals and datagrams; a clock that steps back.
    fn new(seed: u64, records: u64) -> Self {
        let (mut journal, mut writer) = Self::begin(seed, 80_000);
        journal.write(&mut writer, records);
        journal
    }

    fn begin(seed: u64, segment_bytes: u64) -> (Self, Writer) {
        let folder = std::env::temp_dir().join(format!("tern-indexed-{seed}-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        let journal = Self { folder, seq: 0, random: Random(seed) };
        let options = Options { segment_bytes, ..Options::new("indexed") };
        let (writer, _) = Writer::open(&journal.folder, options).expect("a journal");
        (journal, writer)
    }

    /// Up to record `records`, which are in the file then.
    fn write(&mut self, writer: &mut Writer, records: u64) {
        let mut shift = 0;
        while self.seq < records {
            let step = self.random.below(1000);
            if self.seq == 0 || step == 0 {
                shift = self.random.below(3);
                let refusals = ["collar", "rate", "size"].map(|name| Named { name: name.into(), ..Named::default() });
                let mut names = Names { refusals: refusals.to_vec(), ..Names::default() };
                names.refusals.rotate_left(shift as usize);
                let names = serde_json::to_string(&names).expect("plain");
                let text = format!("x = 1\n#run day=7\n#names {names}");
                self.put(writer, Kind::Start, &[StartRecord::default().as_bytes(), text.as_bytes()].concat());
            }
            let (kind, body) = self.some(shift);
            self.put(writer, kind, &body);
        }
        writer.flush().expect("room");
    }

    fn put(&mut self, writer: &mut Writer, kind: Kind, body: &[u8]) {
        self.seq += 1 + u64::from(self.random.below(50) == 0);
        let tai_ns = 1_000_000 + self.seq * 1000 - self.random.below(5) * 700;
        let header = RecordHeader { seq: self.seq, tai_ns, kind: kind as u16, flags: 0, body_bytes: body.len() as u32 };
        writer.append(&header, body).expect("room");
    }

    fn some(&mut self, shift: u64) -> (Kind, Vec<u8>) {
        let order = 1 + self.random.below(400) as u32;
        let instrument = self.random.below(6) as u32;
        // Two instruments are never named.
        let symbol = *SYMBOLS[((u64::from(instrument) + shift) % 4) as usize];
        let action = if self.random.below(4) == 0 { ACTION_REPLACE } else { ACTION_NEW };
        let cause_seq = self.seq.saturating_sub(self.random.below(20));
        match self.random.below(8) {
            0 if instrument < 4 => {
                let replaces = if action == ACTION_REPLACE { self.random.below(u64::from(order)) as u32 } else { 0 };
                let record =
                    OrderRecord { order, replaces, action, instrument, symbol, cause_seq, ..OrderRecord::default() };
                (Kind::Order, record.as_bytes().to_vec())
            }
            1 | 2 => {
                let kind = [VenueEventKind::Accepted, VenueEventKind::Executed][self.random.below(2) as usize] as u8;
                let record = OrderEventRecord { order, kind, instrument, quantity: 5, ..OrderEventRecord::default() };
                (Kind::OrderEvent, record.as_bytes().to_vec())
            }
            3 if instrument < 4 => {
                (Kind::Position, PositionRecord { instrument, symbol, ..PositionRecord::default() }.as_bytes().to_vec())
            }
            4 => {
                let reason = self.random.below(4) as u32;
                (Kind::Refusal, RefusalRecord { instrument, reason, ..RefusalRecord::default() }.as_bytes().to_vec())
            }
            5 => {
                let record = StageRecord { order, cause_seq, stage_ns: [self.seq; STAGES], ..StageRecord::default() };
                (Kind::Stages, record.as_bytes().to_vec())
            }
            _ => (Kind::Datagram, [DatagramHead::default().as_bytes(), &[0x5A; 60][..]].concat()),
        }
    }

    /// What each of many queries finds: numbers of records, and how many had no name.
    fn answers(&self, by_index: bool) -> Vec<(Vec<u64>, u64)> {
        let mut all = Vec::new();
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let middle = 1_000_000 + self.seq * 500;
        for symbol in ["", "MSFT", "NONE"] {
            for reason in ["", "rate", "3"] {
                for times in [0..=u64::MAX, middle..=middle + 200_000, 0..=5, middle..=u64::MAX] {
                    let mut filter = Filter::new(some(symbol), some(reason), times);
                    let mut found = Vec::new();
                    let mut see = |filter: &mut Filter, header: &RecordHeader, body: &[u8]| {
                        if filter.wants(header, body) {
                            found.push(header.seq);
                        }
                        true
                    };
                    let damage = if by_index {
                        for_each(&self.folder, 0, &mut filter, &mut see)
                    } else {
                        records::for_each(&self.folder, 0, |header, body| see(&mut filter, header, body))
                    };
                    assert_eq!(damage.expect("readable"), None);
                    all.push((found, filter.nameless));
                }
            }
        }
        all
    }

    fn stories(&self, by_index: bool) -> Vec<String> {
        (1..400)
            .step_by(57)
            .filter_map(|order| story(&self.folder, order, 0, by_index).ok())
            .map(|told| told.text)
            .collect()
    }

    fn indexes(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.folder).expect("there").map(|file| file.expect("there").path());
        let mut found: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "index")).collect();
        found.sort();
        found
    }
}

#[test]
fn the_same_is_found_with_indexes_without_and_with_wrong_ones() {
    let journal = Journal::new(1, 5_000);
    let (answers, stories) = (journal.answers(false), journal.stories(false));
    assert!(answers.iter().filter(|(found, _)| !found.is_empty()).count() > 10 && answers.iter().any(|(_, n)| *n > 0));
    assert!(stories.len() > 4);
    let agrees = |what: &str| {
        let begins = tern_journal::recovered::last_day_begins(&journal.folder).expect("whole");
        assert_eq!(tern_journal::index::last_day_begins(&journal.folder).expect("whole"), begins, "{what}");
        assert_eq!(journal.answers(true), answers, "{what}");
        assert_eq!(journal.stories(true), stories, "{what}");
    };
    agrees("no index");
    let outcome = index(&journal.folder, false).expect("made");
    let files = journal.indexes();
    assert!(files.len() > 4 && outcome.json["made"] == files.len(), "{}", outcome.text);
    assert_eq!(index(&journal.folder, false).expect("right").json["right"], files.len());
    agrees("indexes");
    assert_eq!(index(&journal.folder, true).expect("right").code, exit::OK);

    // A byte changed anywhere, an end missing, nothing at all, and the index of another segment.
    let whole = fs::read(&files[1]).expect("there");
    let mut random = Random(7);
    for round in 0..24 {
        let mut bytes = whole.clone();
        let at = random.below(bytes.len() as u64) as usize;
        match round % 6 {
            0 => bytes.truncate(at),
            1 => bytes = fs::read(&files[2]).expect("there"),
            _ => bytes[at] ^= 1 << random.below(8),
        }
        fs::write(&files[1], &bytes).expect("ours");
        if round % 12 == 1 {
            agrees(&format!("round {round}, byte {at}"));
        } else {
            assert_eq!(journal.stories(true), stories, "round {round}, byte {at}");
        }
    }

    // Of another journal, with segments of the same numbers.
    let other = Journal::new(2, 5_000);
    index(&other.folder, false).expect("made");
    for (own, foreign) in files.iter().zip(other.indexes()) {
        fs::copy(foreign, own).expect("copied");
    }
    agrees("indexes of another journal");
    assert_eq!(index(&journal.folder, false).expect("made").json["made"], files.len(), "they are made anew");
    agrees("made anew");
}

/// Holds queries by index against such as read all.
fn agree(journal: &Journal, what: &str) {
    let begins = tern_journal::recovered::last_day_begins(&journal.folder).expect("whole");
    assert_eq!(tern_journal::index::last_day_begins(&journal.folder).expect("whole"), begins, "{what}");
    assert_eq!(journal.answers(true), journal.answers(false), "{what}");
    assert_eq!(journal.stories(true), journal.stories(false), "{what}");
}

#[test]
fn the_segment_that_is_being_written_is_found_in_by_what_was_indexed_of_it_so_far() {
    let (mut journal, mut writer) = Journal::begin(11, 1 << 30);
    let folder = journal.folder.clone();
    let path = folder.join("00000001.index");
    let mut grown = 0;
    for round in 1..=18 {
        let until = journal.seq + 50 + journal.random.below(900);
        journal.write(&mut writer, until);
        // What is added to the file is what is found when all is read.
        let so_far = Index::so_far(&folder, 1).expect("whole");
        assert!(!so_far.is_finished());
        let Some(written) = so_far.write().expect("room") else { continue };
        assert_eq!(written, path);
        grown += 1;
        let added = fs::read(&path).expect("written");
        assert_eq!(Index::check(&folder, 1).expect("whole"), Some(true), "round {round}");
        fs::remove_file(&path).expect("ours");
        Index::so_far(&folder, 1).expect("whole").write().expect("room").expect("a mark is there");
        assert!(added == fs::read(&path).expect("written"), "round {round}");
        let more = journal.seq + journal.random.below(200);
        journal.write(&mut writer, more);
        if round % 3 == 0 {
            agree(&journal, &format!("round {round}"));
        }
    }
    assert!(grown > 6, "{grown}");

    // A byte changed anywhere: it is passed over, or what is wrong in it is not used; what is written on top of it is right.
    let whole = fs::read(&path).expect("there");
    for round in 0..24 {
        let mut bytes = whole.clone();
        let at = journal.random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << journal.random.below(8);
        fs::write(&path, &bytes).expect("ours");
        assert_eq!(journal.stories(true), journal.stories(false), "round {round}, byte {at}");
        if round % 6 == 0 {
            let until = journal.seq + 900;
            journal.write(&mut writer, until);
            Index::so_far(&folder, 1).expect("whole").write().expect("room").expect("more marks are there");
            assert_eq!(Index::check(&folder, 1).expect("whole"), Some(true), "round {round}, byte {at}");
        }
    }

    // Finished, and written to the end.
    writer.seal().expect("a disk");
    agree(&journal, "finished, but not its index");
    let full = Index::open(&folder, 1).expect("whole");
    assert!(full.is_finished() && !full.is_kept());
    full.write().expect("room").expect("it has more");
    assert_eq!(Index::check(&folder, 1).expect("whole"), Some(true));
    let added = fs::read(&path).expect("written");
    fs::remove_file(&path).expect("ours");
    index(&folder, false).expect("made");
    assert!(added == fs::read(&path).expect("written"));
}

#[test]
fn an_index_of_what_a_power_cut_took_is_passed_over() {
    let (mut journal, mut writer) = Journal::begin(12, 1 << 30);
    let folder = journal.folder.clone();
    journal.write(&mut writer, 1_500);
    writer.sync().expect("a disk");
    let segment = folder.join("00000001.journal");
    let synced = fs::metadata(&segment).expect("there").len();
    let path = folder.join("00000001.index");
    let seq = journal.seq;
    journal.write(&mut writer, 6_000);
    Index::so_far(&folder, 1).expect("whole").write().expect("room").expect("marks are there");
    let index = fs::read(&path).expect("written");
    drop(writer);
    // All that was not synced is gone, and other records come in its place.
    for lost in 0..3 {
        let file = fs::OpenOptions::new().write(true).open(&segment).expect("ours");
        file.set_len(synced).expect("ours");
        file.sync_all().expect("a disk");
        fs::write(&path, &index).expect("ours");
        journal.seq = seq;
        journal.random = Random(100 + lost);
        agree(&journal, "cut");
        let options = Options { segment_bytes: 1 << 30, ..Options::new("indexed") };
        let (mut writer, _) = Writer::open(&folder, options).expect("recovered");
        for _ in 0..4 {
            let until = journal.seq + 1_100;
            journal.write(&mut writer, until);
            agree(&journal, "written anew");
        }
        assert_eq!(Index::check(&folder, 1).expect("whole"), None, "it is of other records");
        Index::so_far(&folder, 1).expect("whole").write().expect("room").expect("marks are there");
        assert_eq!(Index::check(&folder, 1).expect("whole"), Some(true));
        agree(&journal, "indexed anew");
    }
}

#[test]
fn damage_is_told_and_what_is_before_it_is_found() {
    let journal = Journal::new(3, 3_000);
    let path = journal.folder.join("00000002.journal");
    let mut bytes = fs::read(&path).expect("there");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).expect("ours");
    let run = |by_index: bool| {
        let (mut found, mut filter) = (Vec::new(), Filter::new(Some("MSFT".into()), None, 0..=u64::MAX));
        let mut see = |filter: &mut Filter, header: &RecordHeader, body: &[u8]| {
            if filter.wants(header, body) {
                found.push(header.seq);
            }
            true
        };
        let damage = match by_index {
            true => for_each(&journal.folder, 0, &mut filter, &mut see),
            false => records::for_each(&journal.folder, 0, |header, body| see(&mut filter, header, body)),
        };
        (found, damage.expect("readable"))
    };
    let scanned = run(false);
    assert!(scanned.1.is_some() && !scanned.0.is_empty());
    assert_eq!(run(true), scanned);
    assert_eq!(journal.stories(true), journal.stories(false));

    // With an index from before: what lies behind the damage is found too, the record itself is told, and nothing comes twice.
    bytes[at] ^= 1;
    fs::write(&path, &bytes).expect("ours");
    index(&journal.folder, false).expect("made");
    let whole = run(true);
    let hit = whole.0[whole.0.len() / 3];
    let mut second = Index::open(&journal.folder, 2).expect("whole");
    let offset = second.record_of(hit).expect("whole").expect("it lies in the second segment").offset as usize;
    bytes[offset + 40] ^= 1;
    fs::write(&path, &bytes).expect("ours");
    let (found, damage) = run(true);
    assert_eq!(damage.map(|damage| damage.offset), Some(offset as u64));
    assert_eq!(found, whole.0.iter().copied().take_while(|seq| *seq < hit).collect::<Vec<_>>());
}

#[test]
fn what_is_written_to_the_last_segment_while_a_query_reads_its_index_is_found() {
    // Where all has its index but the last segment, and where that is the only one.
    for records in [40, 3_000] {
        let mut journal = Journal::new(3 + records, records);
        index(&journal.folder, false).expect("made");
        let folder = journal.folder.clone();
        let options = Options { segment_bytes: 80_000, ..Options::new("indexed") };
        let (mut writer, _) = Writer::open(&folder, options).expect("whole");
        let last = journal.seq;
        let (mut found, mut is_written) = (Vec::new(), false);
        let mut filter = Filter::new(None, None, 1..=u64::MAX);
        let mut see = |_: &mut Filter, header: &RecordHeader, _: &[u8]| {
            found.push(header.seq);
            // The index of the last segment is made: it goes on, is finished, and another is begun.
            if header.seq == last && !is_written {
                is_written = true;
                for _ in 0..2 {
                    for _ in 0..30 {
                        let (kind, body) = journal.some(0);
                        journal.put(&mut writer, kind, &body);
                    }
                    writer.seal().expect("a disk");
                }
            }
            true
        };
        assert_eq!(for_each(&folder, 0, &mut filter, &mut see).expect("readable"), None);
        let mut all = Vec::new();
        let damage = records::for_each(&folder, 0, |header, _| {
            all.push(header.seq);
            true
        });
        assert_eq!(damage.expect("readable"), None);
        assert!(is_written && found == all, "{} of {}", found.len(), all.len());
    }
}

#[test]
fn a_query_that_cannot_tell_where_the_last_day_begins_says_that_the_journal_is_damaged() {
    let journal = Journal::new(5, 3_000);
    let last = *segments_from(&journal.folder, 0).expect("whole").end();
    let path = journal.folder.join(format!("{last:08}.journal"));
    let mut bytes = fs::read(&path).expect("there");
    bytes[0] ^= 1;
    fs::write(&path, bytes).expect("ours");
    for no_index in [false, true] {
        let query = crate::args::Query {
            order: None,
            symbol: Some("MSFT".into()),
            from: None,
            to: None,
            reason: None,
            limit: None,
            all_days: false,
            no_index,
        };
        let failure = crate::query::query(&journal.folder, &query, false).expect_err("damaged");
        assert_eq!(failure.code, exit::DAMAGED, "{}", failure.message);
    }
}
