//! A journal written by hand, and the command on it.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tern_abi::event::SIDE_BUY;
use tern_abi::record::{ACTION_NEW, Kind, OrderEventRecord, OrderRecord, RecordHeader, StartRecord, VenueEventKind};
use tern_journal::{Options, Writer, seal_through};
use zerocopy::IntoBytes;

pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
    journal: Writer,
    pub(crate) seq: u64,
    /// When records are of, before their number.
    pub(crate) since_ns: u64,
}

impl Bench {
    pub(crate) fn new(name: &str, segment_bytes: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("tern-recover-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("run")).expect("a temporary folder");
        let at = |file: &str| folder.join(file).display().to_string();
        let text = format!(
            "[instance]\nname = \"recover\"\n[paths]\nsegment = \"{}\"\njournal = \"{}\"\nrun = \"{}\"\n\
             [port]\nkind = \"socket\"\ninterface = \"lo\"\n",
            at("segment"),
            at("journal"),
            at("run")
        );
        std::fs::write(folder.join("tern.toml"), text).expect("a file");
        let options = Options { segment_bytes, ..Options::new("recover") };
        let (journal, _) = Writer::open(&folder.join("journal"), options).expect("a journal");
        Self { folder, journal, seq: 0, since_ns: 0 }
    }

    pub(crate) fn give(&mut self, kind: Kind, body: &[u8]) {
        self.seq += 1;
        let body_bytes = body.len() as u32;
        let tai_ns = self.since_ns + self.seq;
        let header = RecordHeader { seq: self.seq, tai_ns, kind: kind as u16, flags: 0, body_bytes };
        self.journal.append(&header, body).expect("room");
        self.journal.flush().expect("room");
    }

    pub(crate) fn start(&mut self, line: &str) {
        let text = format!("x = 1\n#run {line}\n");
        self.give(Kind::Start, &[StartRecord::default().as_bytes(), text.as_bytes()].concat());
    }

    /// Ends the segment, and with it the day, which is sealed.
    pub(crate) fn end_day(&mut self) {
        self.journal.seal().expect("a disk");
        let folder = self.folder.join("journal");
        let seal = seal_through(&folder, self.journal.head().segment).expect("whole").expect("records");
        seal.keep(&folder).expect("room");
    }

    /// An order of strategy 1 to buy 100 MSFT at 10.
    pub(crate) fn order(&mut self, order: u32) {
        let order = OrderRecord {
            action: ACTION_NEW,
            order,
            quantity: 100,
            price: 10_0000,
            symbol: *b"MSFT    ",
            side: SIDE_BUY,
            strategy: 1,
            ..OrderRecord::default()
        };
        self.give(Kind::Order, order.as_bytes());
    }

    /// What the venue says of orders: id, what, leaves, quantity. Executions have match number 5 and the price 10.
    pub(crate) fn events(&mut self, events: &[(u32, VenueEventKind, u32, u32)]) {
        for (order, kind, leaves, quantity) in events {
            let event = OrderEventRecord {
                kind: *kind as u8,
                order: *order,
                match_number: 5,
                price: 10_0000,
                session_seq: u64::from(*quantity),
                quantity: *quantity,
                leaves: *leaves,
                strategy: 1,
                side: SIDE_BUY,
                ..OrderEventRecord::default()
            };
            self.give(Kind::OrderEvent, event.as_bytes());
        }
    }

    /// Files of the folder whose names have `part` in them.
    pub(crate) fn files_named(&self, part: &str) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).expect("it was made");
        let name =
            |entry: std::io::Result<std::fs::DirEntry>| entry.expect("readable").file_name().display().to_string();
        entries.map(name).filter(|name| name.contains(part)).collect()
    }

    pub(crate) fn tern(&self, arguments: &[&str]) -> (i32, String, String) {
        tern(&self.folder, arguments)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Value) {
        json(&self.folder, arguments)
    }
}

pub(crate) fn tern(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tern"))
        .env_remove("TERN_CONFIG")
        .arg("--config")
        .arg(folder.join("tern.toml"))
        .args(arguments)
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("it was not killed"), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn json(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let (code, out, err) = tern(folder, &[&["--json"], arguments].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
