//! `journal_query`: `tern journal query` as a process, over a day of many symbols that is still being written: the story of an order
//! in its middle and of the latest one, and one symbol in a hundredth of the day. The peer is the same program reading every record (`--no-index`), as it does where no index is.
//! `TERN_BENCH_QUERY_RECORDS` says over how many records, for figures at full size.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::record::{
    ACTION_NEW, DatagramHead, Kind, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader, StageRecord,
    StartRecord, VenueEventKind,
};
use tern_dataplane::assemble::RunState;
use tern_journal::index::SoFar;
use tern_journal::{Index, Options, Writer, segments_from};
use zerocopy::IntoBytes;

use crate::harness::{Plan, Row, RowBuilder, interleave};
use crate::sandbox;
use crate::setting::Scratch;

const SYMBOLS: u32 = 5_000;
/// Records of a round: see [`Day::round`].
const ROUND: u64 = 20;
/// Records between two looks at whether the last segment has grown by enough for another index.
const LOOK_RECORDS: u64 = 50_000;
/// From record to record.
const STEP_NS: u64 = 200_000;
/// Above this a run takes minutes, and there are few.
const RECORDS_MANY: u64 = 20_000_000;
const RUNS_OF_MANY: usize = 3;

fn symbol(instrument: u32) -> [u8; 8] {
    let mut name = *b"S       ";
    name[1..5].copy_from_slice(format!("{instrument:04}").as_bytes());
    name
}

struct Day {
    journal: Writer,
    seq: u64,
    order: u32,
    body: Vec<u8>,
}

impl Day {
    fn put(&mut self, kind: Kind, parts: &[&[u8]]) {
        self.seq += 1;
        self.body.clear();
        parts.iter().for_each(|part| self.body.extend_from_slice(part));
        let (tai_ns, body_bytes) = (self.seq * STEP_NS, self.body.len() as u32);
        let header = RecordHeader { seq: self.seq, tai_ns, kind: kind as u16, flags: 0, body_bytes };
        self.journal.append(&header, &self.body).expect("the disk is not full");
    }

    fn event(&mut self, kind: VenueEventKind, instrument: u32, leaves: u32) {
        let (kind, order, session_seq) = (kind as u8, self.order, self.seq);
        let event =
            OrderEventRecord { kind, order, session_seq, instrument, leaves, quantity: 100, ..Default::default() };
        self.put(Kind::OrderEvent, &[event.as_bytes()]);
    }

    /// 12 datagrams; two orders, of which one trades and one is cancelled; their stamps.
    fn round(&mut self) {
        let payload = [0x5A; 40];
        (0..12).for_each(|_| self.put(Kind::Datagram, &[DatagramHead::default().as_bytes(), &payload]));
        for trades in [true, false] {
            self.order += 1;
            // Far from one another, as orders of a day are.
            let instrument = self.order.wrapping_mul(2_654_435_761) % SYMBOLS;
            let order = OrderRecord {
                action: ACTION_NEW,
                order: self.order,
                quantity: 100,
                price: 100_0000,
                cause_seq: self.seq - 3,
                instrument,
                symbol: symbol(instrument),
                side: if trades { SIDE_BUY } else { SIDE_SELL },
                ..OrderRecord::default()
            };
            self.put(Kind::Order, &[order.as_bytes()]);
            self.event(VenueEventKind::Accepted, instrument, 100);
            if trades {
                self.event(VenueEventKind::Executed, instrument, 0);
                let symbol = symbol(instrument);
                self.put(Kind::Position, &[PositionRecord { instrument, symbol, ..Default::default() }.as_bytes()]);
            } else {
                self.event(VenueEventKind::Canceled, instrument, 0);
            }
        }
        let stages = StageRecord { order: self.order, ..StageRecord::default() };
        self.put(Kind::Stages, &[stages.as_bytes()]);
    }
}

/// A journal of about `records` records in `folder`, its last segment indexed now and then as `ternd` does; what writes it, and
/// how many orders it has.
fn write_journal(folder: &Path, records: u64) -> (Writer, u32) {
    let (journal, _) = Writer::open(folder, Options::new("bench")).expect("a journal can be made");
    let mut day = Day { journal, seq: 0, order: 0, body: Vec::new() };
    let line = RunState { day: 20_783, journal_seq: Some(0), ..RunState::default() }.to_line();
    day.put(Kind::Start, &[StartRecord::default().as_bytes(), line.as_bytes()]);
    let (mut so_far, mut look) = (SoFar::default(), LOOK_RECORDS);
    while day.seq + ROUND <= records {
        day.round();
        if day.seq >= look {
            day.journal.flush().expect("the disk is not full");
            let last = *segments_from(folder, 0).expect("a whole journal").end();
            so_far.turn(folder, last).expect("the disk is not full");
            look += LOOK_RECORDS;
        }
    }
    day.journal.flush().expect("the disk is not full");
    (day.journal, day.order)
}

/// Indexes every finished segment; bytes of all indexes.
fn index(folder: &Path) -> u64 {
    let segments = segments_from(folder, 0).expect("a whole journal");
    for number in *segments.start()..*segments.end() {
        Index::open(folder, number).expect("a whole segment").write().expect("the disk is not full");
    }
    let files = std::fs::read_dir(folder).expect("there").map(|file| file.expect("there"));
    let indexes = files.filter(|file| file.path().extension().is_some_and(|end| end == "index"));
    indexes.map(|file| file.metadata().expect("there").len()).sum()
}

/// Milliseconds that a query takes; it has to find something.
fn ask(folder: &Path, arguments: &[&str]) -> f64 {
    let program = sandbox::program("tern");
    let began = Instant::now();
    let mut query = Command::new(program);
    query.args(["journal", "query", "--journal"]).arg(folder).args(arguments).stdout(Stdio::piped());
    let output = query.output().expect("tern runs");
    assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}: {}", output.status);
    began.elapsed().as_secs_f64() * 1e3
}

/// See the module.
pub fn journal_query(plan: Plan) -> Vec<Row> {
    let asked = std::env::var("TERN_BENCH_QUERY_RECORDS").ok().and_then(|text| text.parse().ok());
    let records = asked.unwrap_or(1_000_000 * plan.scale as u64);
    let disk = Scratch::disk();
    let folder = disk.path().join("journal");
    let began = Instant::now();
    // What writes it goes on to live: nothing is finished.
    let (_writer, orders) = write_journal(&folder, records);
    let written_s = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let index_bytes = index(&folder);
    let note = format!(
        "{records} records written in {written_s:.1} s; indexes of {} MiB made in {:.1} s",
        index_bytes >> 20,
        began.elapsed().as_secs_f64()
    );
    let order = (orders / 2).to_string();
    let (from, to) = (records / 2 * STEP_NS, (records / 2 + records / 100) * STEP_NS);
    let (from, to) = (from.to_string(), to.to_string());
    let story: &[&str] = &["--order", &order];
    let latest = orders.to_string();
    let latest: &[&str] = &["--order", &latest];
    let span: &[&str] = &["--symbol", "S0042", "--from", &from, "--to", &to];
    let row = |(name, arguments): (&str, &[&str])| {
        let scan = [arguments, &["--no-index"]].concat();
        let (by_index, by_scan) = if records > RECORDS_MANY {
            let runs = || 0..RUNS_OF_MANY;
            (runs().map(|_| ask(&folder, arguments)).collect(), runs().map(|_| ask(&folder, &scan)).collect())
        } else {
            interleave(plan, || ask(&folder, arguments), || ask(&folder, &scan))
        };
        RowBuilder::new(name, "ms", by_index).peer("the same, every record read", by_scan).note(note.clone()).build()
    };
    [("journal_query_order", story), ("journal_query_latest", latest), ("journal_query_symbol", span)].map(row).into()
}
