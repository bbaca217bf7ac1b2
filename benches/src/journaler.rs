//! The other end of a recorder: drains a segment's rings into a real journal on another thread, as the daemon does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tern_hw::segment::DaemonSegment;
use tern_journal::{Options, Writer};

use crate::setting::Scratch;

/// As the daemon: records moved before ring space is given back.
const BATCH_RECORDS: usize = 4096;
/// As the daemon: pause when the rings are empty.
const IDLE: Duration = Duration::from_micros(200);
/// The default of `journal.fsync_ms`.
const SYNC_EVERY: Duration = Duration::from_millis(10);

/// Runs `work` while the segment's records go to a journal; what `work` returned and how many records were journaled.
///
/// # Panics
/// When the journal or a ring fails.
pub fn journaling<T: Send>(daemon: &mut DaemonSegment, work: impl FnOnce() -> T) -> (T, u64) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let drainer = scope.spawn(|| drain(daemon, &ended));
        let result = work();
        ended.store(true, Ordering::Release);
        (result, drainer.join().expect("the drain ends"))
    })
}

fn drain(daemon: &mut DaemonSegment, ended: &AtomicBool) -> u64 {
    let scratch = Scratch::disk();
    let (mut writer, _) = Writer::open(scratch.path(), Options::new("bench")).expect("a journal can be made");
    let mut ends = daemon.ends().expect("rings of our own");
    let (mut records, mut synced) = (0, Instant::now());
    loop {
        let last_turn = ended.load(Ordering::Acquire);
        let mut moved = 0;
        while moved < BATCH_RECORDS {
            let Some(record) = ends.drain.next().expect("rings of our own") else { break };
            writer.append(&record.header, record.body).expect("the journal takes records in order");
            moved += 1;
        }
        records += moved as u64;
        if moved > 0 {
            writer.flush().expect("the disk is not full");
            ends.drain.commit(ends.drain.mark());
        }
        if synced.elapsed() >= SYNC_EVERY {
            writer.sync().expect("the disk works");
            synced = Instant::now();
        }
        match (moved, last_turn) {
            (0, true) => return records,
            (0, false) => std::thread::sleep(IDLE),
            _ => {}
        }
    }
}
