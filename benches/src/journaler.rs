//! The other end of a recorder: drains a segment's rings into a real journal on another thread, and keeps its indexes on a
//! third that runs when nothing else wants to, as the daemon does.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tern_abi::record::{Kind, Stage, StageRecord};
use tern_hw::pin;
use tern_hw::segment::DaemonSegment;
use tern_journal::index::SoFar;
use tern_journal::{Index, JournalError, Options, Reader, Writer, segments_from};
use zerocopy::FromBytes;

use crate::setting::Scratch;

/// As the daemon: records moved before ring space is given back.
const BATCH_RECORDS: usize = 4096;
/// As the daemon: pause when the rings are empty.
const IDLE: Duration = Duration::from_micros(200);
/// As the daemon: pause between two looks at the segments, in steps after which it may end.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(20);
/// The default of `journal.fsync_ms`.
const SYNC_EVERY: Duration = Duration::from_millis(10);

/// How far the drain is.
#[derive(Debug, Default)]
pub struct Progress {
    ended: AtomicBool,
    next_seq: AtomicU64,
    waited_ns: AtomicU64,
}

impl Progress {
    /// Waits until at most `left` records before `next_seq` are still in the rings: a flow without pauses outruns any
    /// disk, which no venue does.
    pub fn wait(&self, next_seq: u64, left: u64) {
        if self.next_seq.load(Ordering::Acquire) + left >= next_seq {
            return;
        }
        let began = Instant::now();
        while self.next_seq.load(Ordering::Acquire) + left < next_seq {
            std::thread::sleep(IDLE / 4);
        }
        self.waited_ns.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// How long the flow waited since this was asked before.
    pub fn take_waited(&self) -> Duration {
        Duration::from_nanos(self.waited_ns.swap(0, Ordering::Relaxed))
    }
}

/// What the drain did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drained {
    /// Records in the journal, and on the disk.
    pub records: u64,
    /// What it cost its core, ns, waiting for the disk left out.
    pub cpu_ns: u64,
}

/// Runs `work` while the segment's records go to a journal; what `work` returned and how many records were journaled.
///
/// # Panics
/// When the journal or a ring fails.
pub fn journaling<T: Send>(daemon: &mut DaemonSegment, work: impl FnOnce(&Progress) -> T) -> (T, u64) {
    let scratch = Scratch::disk();
    let (result, drained) = journaling_in(scratch.path(), daemon, work);
    (result, drained.records)
}

/// As [`journaling`], into a folder.
///
/// # Panics
/// When the journal or a ring fails.
pub fn journaling_in<T: Send>(
    folder: &Path,
    daemon: &mut DaemonSegment,
    work: impl FnOnce(&Progress) -> T,
) -> (T, Drained) {
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let drainer = scope.spawn(|| drain(folder, daemon, &progress));
        scope.spawn(|| keep_indexes(folder, &progress));
        let result = {
            let _end = End(&progress.ended);
            work(&progress)
        };
        (result, drainer.join().expect("the drain ends"))
    })
}

/// The stage records of datagrams that caused an order, out of a journal.
///
/// # Panics
/// When the journal cannot be read.
pub fn stages_of_orders(folder: &Path) -> Vec<StageRecord> {
    let mut reader = Reader::open(folder).expect("the daemon keeps a journal");
    let mut all = Vec::new();
    while let Some(record) = reader.next().expect("the journal is sound") {
        if record.header.kind == Kind::Stages as u16 {
            let stages = StageRecord::read_from_bytes(record.body).expect("a record of stages");
            if stages.stage_ns[Stage::Encoded as usize] != 0 {
                all.push(stages);
            }
        }
    }
    all
}

/// Sets the flag when dropped: a panic ends the drain too, so that it shows.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What the calling thread has had of a core, ns.
pub fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts it");
    text.split_ascii_whitespace().next().and_then(|ns| ns.parse().ok()).expect("a number")
}

fn keep_indexes(folder: &Path, progress: &Progress) {
    pin::when_idle().expect("no privilege is needed");
    let (mut indexed, mut so_far, mut due) = (0, SoFar::default(), Instant::now());
    let mut keep = || -> Result<(), JournalError> {
        let segments = segments_from(folder, 0)?;
        for number in (indexed + 1).max(*segments.start())..*segments.end() {
            Index::open(folder, number)?.write()?;
            indexed = number;
        }
        so_far.turn(folder, *segments.end()).map(drop)
    };
    while !progress.ended.load(Ordering::Acquire) {
        if Instant::now() >= due {
            keep().expect("the journal is sound, and the disk is not full");
            due = Instant::now() + LOOK_EVERY;
        }
        std::thread::sleep(TURN);
    }
}

fn drain(folder: &Path, daemon: &mut DaemonSegment, progress: &Progress) -> Drained {
    let (mut writer, _) = Writer::open(folder, Options::new("bench")).expect("a journal can be made");
    // As the daemon's; where it is not granted, as that goes on without.
    let _ = pin::before_others();
    let cpu_before = cpu_ns();
    let mut ends = daemon.ends().expect("rings of our own");
    let (mut records, mut synced) = (0, Instant::now());
    loop {
        let last_turn = progress.ended.load(Ordering::Acquire);
        let (mut moved, mut last_seq) = (0, 0);
        while moved < BATCH_RECORDS {
            let Some(record) = ends.drain.next().expect("rings of our own") else { break };
            writer.append(&record.header, record.body).expect("the journal takes records in order");
            (moved, last_seq) = (moved + 1, record.header.seq);
        }
        records += moved as u64;
        if moved > 0 {
            writer.flush().expect("the disk is not full");
            ends.drain.commit(ends.drain.mark());
            progress.next_seq.store(last_seq + 1, Ordering::Release);
        }
        if synced.elapsed() >= SYNC_EVERY {
            writer.sync().expect("the disk works");
            synced = Instant::now();
        }
        match (moved, last_turn) {
            (0, true) => {
                writer.sync().expect("the disk works");
                return Drained { records, cpu_ns: cpu_ns() - cpu_before };
            }
            (0, false) => std::thread::sleep(IDLE),
            _ => {}
        }
    }
}
