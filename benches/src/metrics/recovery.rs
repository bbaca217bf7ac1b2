//! `recovery`: how long a data plane that starts again in mid-day takes to know what its journal knows: orders,
//! executions, positions, limits, stops. The peer reads the same files and does nothing with them: nothing that reads a
//! journal is faster.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::record::{
    ACTION_NEW, DatagramHead, Kind, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader, StageRecord,
    StartRecord, VenueEventKind,
};
use tern_dataplane::assemble::RunState;
use tern_dataplane::recovery::{Known, ledger, take_over};
use tern_journal::{Options, Writer};
use zerocopy::IntoBytes;

use crate::harness::{Plan, Row, RowBuilder, interleave};
use crate::setting::Scratch;

const DAY: u32 = 20_783;
/// Records of one round of the mix: see [`Mix::round`].
const ROUND: u64 = 20;
/// Payload of a datagram: a few messages.
const PAYLOAD_BYTES: usize = 96;

/// A day as a run records it: about half of it datagrams, then orders and what the venue says of them.
struct Mix {
    journal: Writer,
    seq: u64,
    order: u32,
    session_seq: u64,
}

impl Mix {
    fn put(&mut self, kind: Kind, parts: &[&[u8]]) {
        self.seq += 1;
        let body = parts.concat();
        let header = RecordHeader {
            seq: self.seq,
            tai_ns: self.seq * 1000,
            kind: kind as u16,
            flags: 0,
            body_bytes: body.len() as u32,
        };
        self.journal.append(&header, &body).expect("the disk is not full");
    }

    fn event(&mut self, kind: VenueEventKind, leaves: u32) {
        self.session_seq += 1;
        let event = OrderEventRecord {
            kind: kind as u8,
            order: self.order,
            session_seq: self.session_seq,
            match_number: self.session_seq,
            price: 100_0000,
            quantity: 100,
            leaves,
            instrument: self.order % 200,
            strategy: 1,
            side: if self.order.is_multiple_of(2) { SIDE_BUY } else { SIDE_SELL },
            ..OrderEventRecord::default()
        };
        self.put(Kind::OrderEvent, &[event.as_bytes()]);
    }

    /// 12 datagrams; two orders, of which one trades and one is cancelled; their stamps.
    fn round(&mut self) {
        let payload = [0x5A; PAYLOAD_BYTES];
        (0..12).for_each(|_| self.put(Kind::Datagram, &[DatagramHead::default().as_bytes(), &payload]));
        for trades in [true, false] {
            self.order += 1;
            let order = OrderRecord {
                action: ACTION_NEW,
                order: self.order,
                quantity: 100,
                price: 100_0000,
                instrument: self.order % 200,
                symbol: *b"AAAA    ",
                strategy: 1,
                ..OrderRecord::default()
            };
            self.put(Kind::Order, &[order.as_bytes()]);
            self.event(VenueEventKind::Accepted, 100);
            if trades {
                self.event(VenueEventKind::Executed, 0);
                self.put(Kind::Position, &[PositionRecord::default().as_bytes()]);
            } else {
                self.event(VenueEventKind::Canceled, 0);
            }
        }
        self.put(Kind::Stages, &[StageRecord::default().as_bytes()]);
    }
}

/// A journal of about `records` records in `folder`; the orders it knows.
fn write_journal(folder: &Path, records: u64) -> u32 {
    let (journal, _) = Writer::open(folder, Options::new("bench")).expect("a journal can be made");
    let mut mix = Mix { journal, seq: 0, order: 0, session_seq: 0 };
    let line = RunState { day: DAY, journal_seq: Some(0), ..RunState::default() }.to_line();
    mix.put(Kind::Start, &[StartRecord::default().as_bytes(), line.as_bytes()]);
    while mix.seq + ROUND <= records {
        mix.round();
    }
    mix.journal.flush().expect("the disk is not full");
    mix.order
}

/// Reads every file of a folder, in pieces; bytes read.
fn read_all(folder: &Path) -> u64 {
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).expect("the journal's folder").flatten() {
        let mut file = File::open(entry.path()).expect("a file of the journal");
        loop {
            match file.read(&mut buffer).expect("the disk can be read") {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    bytes
}

fn ms(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn measure(plan: Plan, name: &str, records: u64, target_ms: f64) -> Row {
    let disk = Scratch::disk();
    let folder = disk.path().join("journal");
    let orders = write_journal(&folder, records);
    let known = Known::of_day(DAY);
    let recover = || {
        ms(|| {
            let (state, journal) = take_over(&folder, &known, || 0, Duration::ZERO).expect("a whole journal");
            let ledger = ledger(&journal, &state, &[]);
            assert_eq!((state.next_order_id, ledger.orders.len()), (orders + 1, orders as usize));
        })
    };
    let mut bytes = 0;
    let read = || ms(|| bytes = read_all(&folder));
    let (all_ours, all_peer) = interleave(plan, recover, read);
    RowBuilder::new(name, "ms", all_ours)
        .peer("reading the same files", all_peer)
        .target(target_ms)
        .note(format!("{records} records, {} MiB in the page cache, {orders} orders", bytes >> 20))
        .build()
}

/// See the module.
pub fn recovery(plan: Plan) -> Vec<Row> {
    let sizes: &[(&str, u64, f64)] = match plan.scale {
        1 => &[("recovery_1m", 1_000_000, 200.0)],
        _ => &[
            ("recovery_1m", 1_000_000, 200.0),
            ("recovery_5m", 5_000_000, 1000.0),
            ("recovery_10m", 10_000_000, 2000.0),
        ],
    };
    sizes.iter().map(|(name, records, target_ms)| measure(plan, name, *records, *target_ms)).collect()
}
