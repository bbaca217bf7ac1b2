//! `journal_sustained`: what a record costs the drain's core from a ring to a real file: checksum, chain, write, and a sync
//! every ten milliseconds, over segments of the default size. The peer writes the same bytes and a CRC-32 of each record
//! through a buffer, and syncs as often: it cannot tell a torn end, find what was changed, or write again what a failed
//! sync dropped.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use tern_abi::record::{Kind, RecordHeader};
use tern_journal::{Options, Writer};
use zerocopy::IntoBytes;

use crate::harness::{Plan, Row, RowBuilder, interleave, ns_each};
use crate::setting::Scratch;

/// Body of a record, bytes.
const BODY_BYTES: usize = 64;
/// Records of a run, for `--quick`.
const RECORDS: u64 = 2_000_000;
/// As the drain: records between two flushes.
const BATCH: u64 = 4096;
/// The default of `journal.fsync_ms`.
const SYNC_EVERY: Duration = Duration::from_millis(10);

fn header(seq: u64) -> RecordHeader {
    RecordHeader { seq, tai_ns: seq, kind: Kind::Order as u16, flags: 0, body_bytes: BODY_BYTES as u32 }
}

/// Writes records `1..=records` into a new journal; nanoseconds a record, the last sync included.
fn ours(records: u64) -> f64 {
    let disk = Scratch::disk();
    let (mut writer, _) = Writer::open(disk.path(), Options::new("bench")).expect("a journal can be made");
    let body = [0x5A_u8; BODY_BYTES];
    let mut synced = Instant::now();
    ns_each(|| {
        for seq in 1..=records {
            writer.append(&header(seq), black_box(&body)).expect("the disk is not full");
            if seq % BATCH == 0 {
                writer.flush().expect("the disk is not full");
                if synced.elapsed() >= SYNC_EVERY {
                    writer.sync().expect("the disk works");
                    synced = Instant::now();
                }
            }
        }
        writer.seal().expect("the disk works");
        assert_eq!(writer.durable_seq(), records);
        records
    })
}

fn peer(records: u64) -> f64 {
    let disk = Scratch::disk();
    let file = File::create(disk.path().join("plain")).expect("a file can be made");
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let body = [0x5A_u8; BODY_BYTES];
    let mut synced = Instant::now();
    ns_each(|| {
        for seq in 1..=records {
            let (header, body) = (header(seq), black_box(&body));
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
        records
    })
}

/// See the module.
pub fn journal_sustained(plan: Plan) -> Vec<Row> {
    let records = RECORDS * plan.scale as u64;
    let (all_ours, all_peer) = interleave(plan, || ours(records), || peer(records));
    vec![
        RowBuilder::new("journal_sustained", "ns/record", all_ours)
            .peer("BufWriter<File> with a CRC-32 of each record, synced as often", all_peer)
            .target(333.0)
            .note(format!("{records} records with {BODY_BYTES}-byte bodies, on the disk when the run ends"))
            .build(),
    ]
}
