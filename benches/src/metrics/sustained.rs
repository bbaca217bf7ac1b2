//! `journal_sustained`: a ring that is never empty, drained into a journal on a real disk: checksum, chain, write, and a sync
//! every ten milliseconds, over segments of the default size. What counts is what a record costs the drain's core; how long it
//! takes with the disk's part is a row of its own. The peer writes the same bytes and a CRC-32 of each record through a buffer,
//! and syncs as often: it cannot tell a torn end, find what was changed, or write again what a failed sync dropped.

use std::cell::RefCell;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use tern_abi::record::{Kind, RecordHeader, Recorder};
use zerocopy::IntoBytes;

use crate::harness::{Plan, Row, RowBuilder, interleave};
use crate::journaler::{cpu_ns, journaling_in};
use crate::setting::{Scratch, configuration, segment};

/// Body of a record, bytes.
const BODY_BYTES: usize = 64;
/// Records of a run, for `--quick`.
const RECORDS: u64 = 2_000_000;
/// As the drain: records between two looks at the clock.
const BATCH: u64 = 4096;
/// The default of `journal.fsync_ms`.
const SYNC_EVERY: Duration = Duration::from_millis(10);

/// What a record cost, ns.
#[derive(Clone, Copy)]
struct Cost {
    /// Of the core.
    cpu: f64,
    /// Until all are on the disk.
    elapsed: f64,
}

impl Cost {
    fn of(records: u64, cpu_ns: u64, began: Instant) -> Self {
        let each = |ns: f64| ns / records as f64;
        Self { cpu: each(cpu_ns as f64), elapsed: each(began.elapsed().as_nanos() as f64) }
    }
}

/// Publishes records as fast as the ring takes them, until all are in a new journal and on the disk.
fn ours(records: u64) -> Cost {
    let disk = Scratch::disk();
    let (mut data_plane, mut daemon) = segment(&configuration());
    let mut recorder = data_plane.ends().expect("rings of our own").recorder;
    let body = [0x5A_u8; BODY_BYTES];
    let began = Instant::now();
    let ((), drained) = journaling_in(disk.path(), &mut daemon, |_| {
        for number in 1..=records {
            while recorder.record(number, Kind::Order, &[black_box(&body)]).is_err() {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    });
    assert_eq!(drained.records, records, "every record is in the journal");
    Cost::of(records, drained.cpu_ns, began)
}

fn peer(records: u64) -> Cost {
    let disk = Scratch::disk();
    let file = File::create(disk.path().join("plain")).expect("a file can be made");
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let body = [0x5A_u8; BODY_BYTES];
    let (began, before, mut synced) = (Instant::now(), cpu_ns(), Instant::now());
    for seq in 1..=records {
        let header =
            RecordHeader { seq, tai_ns: seq, kind: Kind::Order as u16, flags: 0, body_bytes: BODY_BYTES as u32 };
        let body = black_box(&body);
        let mut crc = crc32fast::Hasher::new();
        crc.update(header.as_bytes());
        crc.update(body);
        file.write_all(header.as_bytes()).expect("the disk is not full");
        file.write_all(&u64::from(crc.finalize()).to_le_bytes()).expect("the disk is not full");
        file.write_all(body).expect("the disk is not full");
        if seq % BATCH == 0 && synced.elapsed() >= SYNC_EVERY {
            file.flush().expect("the disk is not full");
            file.get_ref().sync_data().expect("the disk works");
            synced = Instant::now();
        }
    }
    file.flush().expect("the disk is not full");
    file.get_ref().sync_data().expect("the disk works");
    Cost::of(records, cpu_ns() - before, began)
}

/// See the module.
pub fn journal_sustained(plan: Plan) -> Vec<Row> {
    let records = RECORDS * plan.scale as u64;
    let (ours_elapsed, peer_elapsed) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let one = |run: fn(u64) -> Cost, elapsed: &RefCell<Vec<f64>>| {
        let cost = run(records);
        elapsed.borrow_mut().push(cost.elapsed);
        cost.cpu
    };
    let (all_ours, all_peer) = interleave(plan, || one(ours, &ours_elapsed), || one(peer, &peer_elapsed));
    // The first of each is the one that is not measured.
    let measured = |elapsed: RefCell<Vec<f64>>| elapsed.into_inner().split_off(1);
    let name = "BufWriter<File> with a CRC-32 of each record, synced as often";
    let note = format!("{records} records with {BODY_BYTES}-byte bodies, from the order ring");
    vec![
        RowBuilder::new("journal_sustained", "ns/record", all_ours)
            .peer(name, all_peer)
            .target(333.0)
            .note(format!("what the drain's core is kept by; {note} to the disk"))
            .build(),
        RowBuilder::new("journal_sustained_elapsed", "ns/record", measured(ours_elapsed))
            .peer(name, measured(peer_elapsed))
            .note(format!("until all is on the disk, whatever else uses cores and disk meanwhile; {note}"))
            .build(),
    ]
}
