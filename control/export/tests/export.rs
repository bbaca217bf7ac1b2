//! Journals exported, cut short at every point, and exported on.

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tern_abi::record::{ACTION_NEW, Kind, OrderRecord, RecordHeader, StartRecord};
use tern_export::{Export, Report, Selection};
use tern_journal::recovered::RUN_LINE;
use tern_journal::{
    Follower, JournalError, Options, Writer, accept, compress, followers, retention, seal_through, segment_facts,
};
use zerocopy::IntoBytes as _;

/// 2026-11-22 12:00 TAI.
const NOON_NS: u64 = 1_795_348_800_000_000_000;
const DAY_NS: u64 = 86_400_000_000_000;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tern-export-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("journal")).expect("a folder");
        Self(path)
    }
    fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
    fn out(&self) -> PathBuf {
        self.0.join("out")
    }
    fn segment(&self, number: u64) -> PathBuf {
        self.journal().join(format!("{number:08}.journal"))
    }
    fn first_seq(&self, segment: u64) -> u64 {
        segment_facts(&self.journal(), segment).expect("it is whole").expect("it is there").first_seq
    }
    /// The exit code of the program.
    fn exit_code(&self) -> Option<i32> {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_tern-export"));
        program.arg(self.journal()).arg("--out").arg(self.out()).output().expect("it runs").status.code()
    }
    fn export(&self, selection: &Selection) -> anyhow::Result<Report> {
        Export::new(&self.journal(), &self.out(), selection)?.run(|_| {})
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Appends records `from..to`: an order each, but every tenth one a start of a run, a day later from the hundredth on.
fn write(folder: &Folder, from: u64, to: u64) {
    write_as("test", folder, from, to);
}

fn write_as(instance: &str, folder: &Folder, from: u64, to: u64) {
    let options = Options { segment_bytes: 4_000, ..Options::new(instance) };
    let (mut writer, _) = Writer::open(&folder.journal(), options).expect("a journal");
    for seq in from..to {
        let tai_ns = NOON_NS + seq * 1_000 + if seq >= 100 { DAY_NS } else { 0 };
        let (kind, body) = if seq % 10 == 1 {
            (Kind::Start, StartRecord { run: seq / 10, ..StartRecord::default() }.as_bytes().to_vec())
        } else {
            let order = OrderRecord {
                order: seq as u32,
                price: 12_3400,
                action: ACTION_NEW,
                symbol: *b"AAPL    ",
                cause_ns: if seq % 2 == 0 { 0 } else { tai_ns - 500 },
                ..OrderRecord::default()
            };
            (Kind::Order, order.as_bytes().to_vec())
        };
        let header = RecordHeader { seq, tai_ns, kind: kind as u16, flags: 0, body_bytes: body.len() as u32 };
        writer.append(&header, &body).expect("it is written");
    }
    writer.sync().expect("it is on the disk");
}

/// `seq`, order id, price and whether a cause is said, of every row in the files of a folder, by day.
fn orders(out: &Path) -> BTreeMap<String, Vec<(u64, u32, bool)>> {
    let mut all: BTreeMap<String, Vec<(u64, u32, bool)>> = BTreeMap::new();
    for day in fs::read_dir(out.join("orders")).expect("a folder of orders").flatten() {
        let name = day.file_name().into_string().expect("a name");
        for file in fs::read_dir(day.path()).expect("a folder of a day").flatten() {
            assert_eq!(
                file.path().extension().and_then(|ending| ending.to_str()),
                Some("parquet"),
                "nothing unfinished"
            );
            let reader =
                SerializedFileReader::new(fs::File::open(file.path()).expect("a file")).expect("a Parquet file");
            for row in reader.get_row_iter(None).expect("rows") {
                let row = row.expect("a row");
                let place = |column: &str| {
                    row.get_column_iter().position(|(name, _)| name == column).expect("there is such a column")
                };
                assert_eq!(row.get_string(place("symbol")).expect("text"), "AAPL");
                let price = row.get_decimal(place("price")).expect("a decimal");
                assert_eq!((price.scale(), price.precision()), (4, 18));
                all.entry(name.clone()).or_default().push((
                    row.get_ulong(place("seq")).expect("a number"),
                    row.get_uint(place("order_id")).expect("a number"),
                    row.get_column_iter().any(|(name, value)| name == "cause_ns" && value.to_string() != "null"),
                ));
            }
        }
    }
    all.values_mut().for_each(|rows| rows.sort_unstable());
    all
}

fn expected(to: u64) -> BTreeMap<String, Vec<(u64, u32, bool)>> {
    let mut all: BTreeMap<String, Vec<(u64, u32, bool)>> = BTreeMap::new();
    // A run belongs to the day of its start: the records from the hundredth to the next start are still of the day before.
    for seq in (1..to).filter(|seq| seq % 10 != 1) {
        let day = if seq > 101 { "day=2026-11-23" } else { "day=2026-11-22" };
        all.entry(day.to_owned()).or_default().push((seq, seq as u32, seq % 2 != 0));
    }
    all
}

#[test]
fn every_record_is_in_the_files_once_and_a_later_export_adds_what_came() {
    let folder = Folder::new();
    write(&folder, 1, 150);
    let report = folder.export(&Selection::Decisions).expect("exported");
    assert_eq!((report.records, report.rows["orders"], report.rows["starts"]), (149, 134, 15));
    assert_eq!((report.left_out, report.unreadable, report.segments_before), (0, 0, 0));
    assert!(report.segments > 3, "{report:?}");
    assert_eq!(orders(&folder.out()), expected(150));

    let again = folder.export(&Selection::Decisions).expect("exported");
    assert_eq!((again.records, &again.rows), (149, &report.rows));
    assert!(again.records_read < 40, "only the last segment is read again: {again:?}");
    assert_eq!(orders(&folder.out()), expected(150));

    write(&folder, 150, 300);
    let more = folder.export(&Selection::Decisions).expect("exported");
    assert_eq!((more.records, more.rows["orders"]), (299, 269));
    assert_eq!(orders(&folder.out()), expected(300));
}

/// Whatever of an export is there, files and state in any mixture, the next one makes it whole.
#[test]
fn an_export_that_was_cut_short_goes_on() {
    let folder = Folder::new();
    write(&folder, 1, 150);
    let journal = fs::read_dir(folder.journal()).expect("a journal").flatten();
    let mut segments: Vec<PathBuf> =
        journal.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "journal")).collect();
    segments.sort();
    for cut in 1..segments.len() {
        let out = folder.out();
        fs::remove_dir_all(&out).ok();
        // The state is that of an export that had done `cut` segments; the files are further, and one is unfinished.
        let part = Folder::new();
        for segment in &segments[..=cut] {
            fs::copy(segment, part.journal().join(segment.file_name().expect("a name"))).expect("copied");
        }
        part.export(&Selection::Decisions).expect("exported");
        fs::rename(part.out(), &out).expect("moved");
        fs::write(out.join("orders/day=2026-11-22/00000001.unfinished"), b"half").expect("written");
        folder.export(&Selection::Decisions).expect("exported");
        assert_eq!(orders(&out), expected(150), "cut after {cut}");
    }
}

#[test]
fn other_tables_need_another_folder() {
    let folder = Folder::new();
    write(&folder, 1, 20);
    let report = folder.export(&Selection::Named(vec!["starts".into()])).expect("exported");
    assert_eq!((report.rows.len(), report.rows["starts"], report.left_out), (1, 2, 17));
    let error = folder.export(&Selection::Decisions).expect_err("refused").to_string();
    assert!(error.contains("export.json") && error.contains("starts") && error.contains("another folder"), "{error}");
    let error = folder.export(&Selection::Named(vec!["order".into()])).expect_err("refused").to_string();
    assert!(error.contains("`order`") && error.contains("orders"), "{error}");
}

/// A journal with the same numbers of segments is not the one that was exported.
#[test]
fn another_journal_needs_another_folder() {
    let message = |folder: &Folder| folder.export(&Selection::Decisions).expect_err("refused").to_string();
    for (instance, from, to) in [("other", 1, 150), ("test", 2, 300), ("test", 1, 10), ("other", 1, 0)] {
        let folder = Folder::new();
        write(&folder, 1, 150);
        folder.export(&Selection::Decisions).expect("exported");
        fs::remove_dir_all(folder.journal()).expect("removed");
        write_as(instance, &folder, from, to);
        let refused = message(&folder);
        let names_both = refused.contains("instance `test`, chain ")
            && (refused.contains(&format!("instance `{instance}`, chain ")) || refused.contains("without a finished"));
        assert!(names_both, "{refused}");
        assert!(refused.contains("another journal") && refused.contains("another folder"), "{refused}");
        assert_eq!(orders(&folder.out()), expected(150), "nothing is touched");
    }

    // Nothing is done yet: the first segment is told by where it begins.
    let folder = Folder::new();
    write(&folder, 1, 5);
    folder.export(&Selection::Decisions).expect("exported");
    fs::remove_dir_all(folder.journal()).expect("removed");
    write(&folder, 2, 5);
    let refused = message(&folder);
    assert!(refused.contains("with record 1 at") && refused.contains("with record 2 at"), "{refused}");
}

/// A backup that has what was exported, and no more, is the same journal.
#[test]
fn a_journal_restored_to_where_it_was_exported_goes_on() {
    let folder = Folder::new();
    write(&folder, 1, 150);
    let report = folder.export(&Selection::Decisions).expect("exported");
    let end = folder.first_seq(report.segments);
    fs::remove_file(folder.segment(report.segments)).expect("removed");
    folder.export(&Selection::Decisions).expect_err("its head goes further");
    accept(&folder.journal()).expect("an operator says so");
    let again = folder.export(&Selection::Decisions).expect("exported");
    assert_eq!(again.segments, report.segments - 1, "{again:?}");
    assert!(again.records < report.records && again.records_read == 0, "{again:?}");
    assert_eq!(orders(&folder.out()), expected(end), "its rows went with the segment");
    fs::remove_file(folder.segment(again.segments)).expect("removed");
    folder.export(&Selection::Decisions).expect_err("refused");
}

/// The last segment's end may be another one, and so may be its day.
#[test]
fn files_of_rows_that_are_no_more_are_removed() {
    let folder = Folder::new();
    write(&folder, 1, 150);
    let report = folder.export(&Selection::Decisions).expect("exported");
    let name = format!("{:08}.parquet", report.segments);
    let (today, other) = (folder.out().join("orders/day=2026-11-23"), folder.out().join("orders/day=2026-11-25"));
    fs::create_dir(&other).expect("made");
    fs::copy(today.join(&name), other.join(&name)).expect("copied");
    folder.export(&Selection::Decisions).expect("exported");
    assert_eq!(orders(&folder.out()), expected(150), "each row once, under its day");

    // As recovery leaves it that cuts all records: only the header.
    let file = fs::OpenOptions::new().write(true).open(folder.segment(report.segments)).expect("the segment");
    file.set_len(128).expect("cut");
    accept(&folder.journal()).expect("an operator says so");
    let cut = folder.export(&Selection::Decisions).expect("exported");
    let end = folder.first_seq(report.segments);
    assert_eq!(orders(&folder.out()), expected(end));
    assert_eq!(cut.records, end - 1);
}

/// Changes a byte: of a record's body behind `from`, or the one there when nothing of a record follows.
fn damage(path: &Path, from: usize) {
    let mut bytes = fs::read(path).expect("a segment");
    let at = bytes[from..].windows(4).position(|four| four == b"AAPL").filter(|_| from > 0).unwrap_or(0);
    bytes[from + at] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[test]
fn what_is_before_the_damage_is_exported() {
    let folder = Folder::new();
    write(&folder, 1, 150);
    damage(&folder.segment(3), 2_000);
    let refused = || {
        let error = folder.export(&Selection::Decisions).expect_err("damaged");
        let Some(JournalError::Damaged(damage)) = error.chain().find_map(|cause| cause.downcast_ref()) else {
            panic!("{error:#}")
        };
        (damage.after.map(|after| after.seq), error.to_string())
    };
    let (after, text) = refused();
    let last = after.expect("a record before it");
    assert!(last > folder.first_seq(3), "in the middle of the segment: {last}");
    assert_eq!(text, format!("after record {last}"));
    assert_eq!(orders(&folder.out()), expected(last + 1));

    // On from segment 2, and headers further on are what is damaged.
    let folder_two = Folder::new();
    write(&folder_two, 1, 150);
    fs::copy(folder_two.segment(3), folder.segment(3)).expect("brought back");
    let end = folder.first_seq(4);
    (4..).map(|number| folder.segment(number)).take_while(|path| path.exists()).for_each(|path| damage(&path, 0));
    assert_eq!(refused(), (None, format!("after record {}", end - 1)));
    assert_eq!(orders(&folder.out()), expected(end));
    assert_eq!(folder.exit_code(), Some(4));
}

#[test]
fn a_segment_that_is_cut_is_damage_though_nothing_in_it_is_wrong() {
    let folder = Folder::new();
    write(&folder, 1, 150);
    let whole = fs::read(folder.segment(3)).expect("a segment");
    for bytes in [2_001, 128] {
        fs::remove_dir_all(folder.out()).ok();
        fs::write(folder.segment(3), &whole[..bytes]).expect("cut");
        let error = folder.export(&Selection::Decisions).expect_err("damaged");
        assert!(error.chain().any(|cause| matches!(cause.downcast_ref(), Some(JournalError::Damaged(_)))), "{error:#}");
        assert_eq!(folder.exit_code(), Some(4));
        let last = error.to_string().strip_prefix("after record ").expect("where").parse::<u64>().expect("a number");
        assert!((folder.first_seq(3) - 1..folder.first_seq(4) - 1).contains(&last), "{last}");
        assert_eq!(orders(&folder.out()), expected(last + 1));
    }
    fs::write(folder.segment(3), &whole).expect("brought back");
    folder.export(&Selection::Decisions).expect("exported");
    assert_eq!(orders(&folder.out()), expected(150));
}

#[test]
fn compressed_segments_are_exported_as_any_other() {
    let folder = Folder::new();
    write(&folder, 1, 150);
    folder.export(&Selection::Decisions).expect("exported");
    for number in 1..4 {
        compress(&folder.journal(), number).expect("whole").expect("compressed");
    }
    write(&folder, 150, 200);
    folder.export(&Selection::Decisions).expect("it is the same journal");
    assert_eq!(orders(&folder.out()), expected(200));
    fs::remove_dir_all(folder.out()).expect("removed");
    folder.export(&Selection::Decisions).expect("exported");
    assert_eq!(orders(&folder.out()), expected(200));
}

/// Four days of twenty records, sealed but for the last; the first two go once `retain_days` is 1.
fn write_days(folder: &Folder) {
    let (mut writer, _) = Writer::open(&folder.journal(), Options::new("test")).expect("a journal");
    for seq in 1..=80 {
        let (kind, body) = if seq % 20 == 1 {
            let text = format!("{RUN_LINE}day={}\n", 20_000 + seq / 20);
            (Kind::Start, [StartRecord::default().as_bytes(), text.as_bytes()].concat())
        } else {
            let order = OrderRecord {
                order: seq as u32,
                price: 12_3400,
                action: ACTION_NEW,
                symbol: *b"AAPL    ",
                ..OrderRecord::default()
            };
            (Kind::Order, order.as_bytes().to_vec())
        };
        let header =
            RecordHeader { seq, tai_ns: NOON_NS + seq, kind: kind as u16, flags: 0, body_bytes: body.len() as u32 };
        writer.append(&header, &body).expect("it is written");
        if seq % 20 == 0 && seq < 80 {
            writer.seal().expect("a disk");
            let seal = seal_through(&folder.journal(), seq / 20).expect("whole").expect("records");
            seal.keep(&folder.journal()).expect("room");
        }
    }
    writer.sync().expect("it is on the disk");
}

fn delete_days(folder: &Folder) -> retention::Plan {
    let plan = retention::plan(&folder.journal(), 1).expect("whole");
    retention::delete(&folder.journal(), &plan, 1).expect("a disk");
    plan
}

#[test]
fn deleted_days_stay_in_the_export_that_has_them_and_are_waited_for_until_then() {
    let order_seqs = |out: &Path| -> Vec<u64> {
        let mut all: Vec<u64> = orders(out).into_values().flatten().map(|(seq, ..)| seq).collect();
        all.sort_unstable();
        all
    };
    let expected = |from: u64| (from..=80).filter(|seq| seq % 20 != 1).collect::<Vec<u64>>();
    let folder = Folder::new();
    write_days(&folder);
    let export = |out: &Path| {
        let export = Export::new(&folder.journal(), out, &Selection::Decisions).expect("a journal");
        export.followed_as(Some("it".into())).run(|_| {})
    };
    // One that began and has nothing yet.
    Follower { name: "it".into(), needs_seq: 0, ..Follower::default() }.tell(&folder.journal()).expect("room");
    assert_eq!(delete_days(&folder).delete, None, "it waits");
    export(&folder.out()).expect("exported");
    assert_eq!(
        followers(&folder.journal()).expect("readable")[0].needs_seq,
        61,
        "of the last segment only that is done"
    );
    // Another export has only the first segment.
    let behind = folder.0.join("behind");
    let copied = std::process::Command::new("cp").arg("-r").arg(folder.out()).arg(&behind).status().expect("it runs");
    assert!(copied.success());
    let state = fs::read_to_string(behind.join("export.json")).expect("there");
    fs::write(behind.join("export.json"), state.replace("\"segments\": 3", "\"segments\": 1")).expect("ours");
    assert!(delete_days(&folder).delete.is_some());
    assert!(!folder.segment(2).exists() && folder.segment(3).exists());
    let report = export(&folder.out()).expect("it goes on");
    assert_eq!((report.segments, report.segments_before), (4, 3));
    assert_eq!(order_seqs(&folder.out()), expected(1), "what is exported stays");
    let error = export(&behind).expect_err("a day is lost to it").to_string();
    assert!(error.contains("were deleted before they were exported"), "{error}");
    // A new one has what is there, and leaves files alone that are of what is not.
    let fresh = folder.0.join("fresh");
    let report = export(&fresh).expect("exported");
    assert_eq!((report.records, report.segments, report.segments_before), (40, 2, 0));
    assert_eq!(order_seqs(&fresh), expected(41));
    assert_eq!(export(&fresh).expect("again").segments_before, 1);
    fs::remove_file(folder.out().join("export.json")).expect("there");
    export(&folder.out()).expect("exported anew");
    assert_eq!(order_seqs(&folder.out()), expected(1), "the only copy there is");
}

/// What came while it read is for the next export: never damage.
#[test]
fn a_journal_is_exported_while_it_is_written() {
    let folder = Folder::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&folder, 1, 1_500));
        while !writer.is_finished() {
            folder.export(&Selection::Decisions).expect("exported");
        }
    });
    folder.export(&Selection::Decisions).expect("exported");
    assert_eq!(orders(&folder.out()), expected(1_500));
}

#[test]
fn a_second_exporter_is_told_to_wait() {
    let folder = Folder::new();
    write(&folder, 1, 20);
    folder.export(&Selection::Decisions).expect("exported");
    let lock = fs::File::create(folder.out().join("export.lock")).expect("a file");
    lock.lock().expect("locked");
    let refused = folder.export(&Selection::Decisions).expect_err("refused").to_string();
    assert!(refused.contains("another tern-export") && refused.contains("wait"), "{refused}");
    drop(lock);
    folder.export(&Selection::Decisions).expect("exported");
}

/// Files of two layouts in one folder could not be read as one table.
#[test]
fn other_columns_need_another_folder() {
    let folder = Folder::new();
    write(&folder, 1, 20);
    folder.export(&Selection::Decisions).expect("exported");
    let path = folder.out().join("export.json");
    let text = fs::read_to_string(&path).expect("a state");
    for (this, earlier) in [("order_id: unsigned 32", "order_id: unsigned 64"), ("order_id: uns", "id: uns")] {
        assert!(text.contains(this), "{text}");
        fs::write(&path, text.replace(this, earlier)).expect("written");
        let refused = folder.export(&Selection::Decisions).expect_err("refused").to_string();
        assert!(refused.contains("other columns") && refused.contains("another folder"), "{refused}");
        assert!(refused.contains(this) && refused.contains(earlier), "{refused}");
    }
    fs::write(&path, text).expect("written");
    folder.export(&Selection::Decisions).expect("exported");
}

/// What the run said wins over the clock: it may have been given a day, or begun before midnight by its start record's time.
#[test]
fn the_day_is_the_one_that_the_run_said() {
    let folder = Folder::new();
    let (mut writer, _) = Writer::open(&folder.journal(), Options::new("test")).expect("a journal");
    for (seq, line) in [(1, "restarted=0 day=20783 high_water=0"), (2, "day=0"), (3, "day=x"), (4, "high_water=20783")]
    {
        let text = format!("x = 1\n{RUN_LINE}{line}\n#names {{}}\n");
        let body = [StartRecord::default().as_bytes(), text.as_bytes()].concat();
        let (kind, body_bytes) = (Kind::Start as u16, body.len() as u32);
        writer
            .append(&RecordHeader { seq, tai_ns: NOON_NS, kind, flags: 0, body_bytes }, &body)
            .expect("it is written");
    }
    writer.sync().expect("it is on the disk");
    folder.export(&Selection::Decisions).expect("exported");
    let rows = |day: &str| {
        let file = fs::File::open(folder.out().join("starts").join(day).join("00000001.parquet")).expect("a file");
        SerializedFileReader::new(file).expect("a Parquet file").metadata().file_metadata().num_rows()
    };
    assert_eq!([rows("day=2026-11-26"), rows("day=2026-11-22")], [1, 3]);
}

/// What this build cannot make a row of is counted, not passed over.
#[test]
fn records_without_a_row_are_counted() {
    let folder = Folder::new();
    write(&folder, 1, 5);
    let (mut writer, _) = Writer::open(&folder.journal(), Options::new("test")).expect("a journal");
    for (seq, kind) in [(5, 999), (6, Kind::Order as u16)] {
        let header = RecordHeader { seq, tai_ns: NOON_NS, kind, flags: 0, body_bytes: 3 };
        writer.append(&header, &[1, 2, 3]).expect("it is written");
    }
    writer.sync().expect("it is on the disk");
    let report = folder.export(&Selection::Decisions).expect("exported");
    assert_eq!((report.records, report.unreadable, report.rows["orders"]), (6, 2, 3));
}

#[test]
fn the_document_is_what_the_tables_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SCHEMA.md");
    let text = fs::read_to_string(path).expect("docs/SCHEMA.md is there");
    assert!(text == tern_schema::markdown(), "docs/SCHEMA.md is old: tern-export --schema >docs/SCHEMA.md");
}
