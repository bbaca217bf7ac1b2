//! `journal_append`: what the loop pays to have a record of an order in the journal: publishing it in the order ring of
//! the shared segment, from where the other core writes it to a real journal. The peer writes the same bytes to a file
//! through a buffer, which survives no crash of the process.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use tern_abi::record::{Kind, RecordHeader, Recorder};
use zerocopy::IntoBytes;

use crate::harness::{Plan, Row, RowBuilder, interleave, median};
use crate::journaler::journaling;
use crate::setting::{Scratch, configuration, segment};

/// Body of a record, bytes: about that of an order.
const BODY_BYTES: usize = 64;
/// Records published back to back, as one datagram's orders and their stamps.
const BURST: usize = 8;
/// Bursts a run; the figure of a run is their median.
const BURSTS: usize = 2_000;
/// From burst to burst.
const PAUSE: Duration = Duration::from_micros(5);

/// Nanoseconds a record: the median of bursts with pauses between, as a loop records.
fn bursts(mut record: impl FnMut(u64)) -> f64 {
    let mut figures = Vec::with_capacity(BURSTS);
    let mut number = 0;
    for _ in 0..BURSTS {
        let start = Instant::now();
        for _ in 0..BURST {
            number += 1;
            record(black_box(number));
        }
        figures.push(start.elapsed().as_nanos() as f64 / BURST as f64);
        let until = Instant::now() + PAUSE;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
    median(&figures)
}

/// See the module.
pub fn journal_append(plan: Plan) -> Vec<Row> {
    let config = configuration();
    let (mut data_plane, mut daemon) = segment(&config);
    let mut ends = data_plane.ends().expect("rings of our own");
    let disk = Scratch::disk();
    let mut file = BufWriter::new(File::create(disk.path().join("plain")).expect("a file can be made"));
    let body = [0x5A_u8; BODY_BYTES];
    let run_peer = || {
        bursts(|number| {
            let header =
                RecordHeader { seq: number, tai_ns: number, kind: Kind::Order as u16, flags: 0, body_bytes: 64 };
            file.write_all(header.as_bytes()).expect("the disk is not full");
            file.write_all(black_box(&body)).expect("the disk is not full");
        })
    };
    let mut published = 0;
    let run_ours = || {
        bursts(|number| {
            ends.recorder.record(number, Kind::Order, &[black_box(&body)]).expect("the drain keeps up");
            published += 1;
        })
    };
    let ((all_ours, all_peer), journaled) = journaling(&mut daemon, |_| interleave(plan, run_ours, run_peer));
    assert_eq!(journaled, published, "every record is in the journal");
    vec![
        RowBuilder::new("journal_append", "ns/record", all_ours)
            .peer("write_all of header and body to BufWriter<File>", all_peer)
            .target(80.0)
            .note(format!("{BODY_BYTES}-byte bodies, {BURST} at a time; {journaled} drained into a journal meanwhile"))
            .build(),
    ]
}
