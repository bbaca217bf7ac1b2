//! Journals, the program, and what a journal's own reader says of it.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod cluster;
pub(crate) mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tern_abi::record::{ACTION_CANCEL, ACTION_NEW, Kind, OrderRecord, PositionRecord, RecordHeader, StartRecord};
use tern_journal::{Options, Reader, Writer};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// 2026-11-22 12:00 TAI.
pub(crate) const NOON_NS: u64 = 1_795_348_800_000_000_000;

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Short: a socket's path has at most 107 bytes.
        let name = format!("tern-sink-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("journal")).expect("a folder");
        Self(path)
    }
    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) fn writer(instance: &str, journal: &Path) -> Writer {
    let options = Options { segment_bytes: 200_000, ..Options::new(instance) };
    Writer::open(journal, options).expect("a journal").0
}

/// Appends records `from..to`: of a hundred a start, a timer, two positions, and orders, every third of which a cancel.
pub(crate) fn write(writer: &mut Writer, from: u64, to: u64) {
    for seq in from..to {
        let (kind, body) = record(seq);
        let header = RecordHeader {
            seq,
            tai_ns: NOON_NS + seq * 1_000,
            kind: kind as u16,
            flags: 0,
            body_bytes: body.len() as u32,
        };
        writer.append(&header, &body).expect("it is written");
    }
    writer.sync().expect("it is on the disk");
}

fn record(seq: u64) -> (Kind, Vec<u8>) {
    match seq % 100 {
        1 => {
            let start = StartRecord { run: seq / 100, ..StartRecord::default() };
            (Kind::Start, [start.as_bytes(), b"x = 1\n#names {}\n"].concat())
        }
        2 => (Kind::Timer, Vec::new()),
        3 | 4 => {
            let cash = 7 - (seq as i64) * 12_345;
            let position =
                PositionRecord { symbol: *b"MSFT    ", cash, shares: -(seq as i64), ..PositionRecord::default() };
            (Kind::Position, position.as_bytes().to_vec())
        }
        _ => {
            let order = OrderRecord {
                order: seq as u32,
                price: 12_3400 + seq as i64,
                quantity: (seq % 900) as u32,
                action: if seq.is_multiple_of(3) { ACTION_CANCEL } else { ACTION_NEW },
                symbol: *b"AAPL    ",
                cause_seq: seq - 1,
                ..OrderRecord::default()
            };
            (Kind::Order, order.as_bytes().to_vec())
        }
    }
}

/// What a store must hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Of the orders, in order.
    pub(crate) seqs: Vec<u64>,
    /// Price by quantity of all orders, 1/10000.
    pub(crate) worth: i128,
    /// Cash of all positions, 1/10000.
    pub(crate) cash: i128,
    /// Rows a table.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Records of all kinds.
    pub(crate) records: u64,
}

/// From the journal itself.
pub(crate) fn sums(journal: &Path) -> Sums {
    let (mut reader, mut sums) = (Reader::open(journal).expect("a journal"), Sums::default());
    while let Some(record) = reader.next().expect("whole") {
        sums.records += 1;
        match record.kind().expect("known") {
            Kind::Order => {
                let (order, _) = OrderRecord::read_from_prefix(record.body).expect("an order");
                sums.seqs.push(record.header.seq);
                sums.worth += i128::from(order.price) * i128::from(order.quantity);
                *sums.rows.entry("orders".into()).or_default() += 1;
            }
            Kind::Position => {
                let (position, _) = PositionRecord::read_from_prefix(record.body).expect("a position");
                sums.cash += i128::from(position.cash);
                *sums.rows.entry("positions".into()).or_default() += 1;
            }
            Kind::Start => *sums.rows.entry("starts".into()).or_default() += 1,
            Kind::Timer => {}
            other => panic!("{other:?}"),
        }
    }
    sums
}

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tern-sink"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn ended(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A program that does not outlive the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.spawn().expect("it starts"))
    }
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it is killed");
        self.0.wait().expect("it is dead");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Until `condition` has a value.
pub(crate) fn wait<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Numbers that a seed makes: xorshift.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Self {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let seed = time.as_nanos() as u64 | 1;
        println!("seed {seed}");
        Self(seed)
    }
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
