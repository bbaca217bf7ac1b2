//! Live: follows the journal that the daemon writes, writes down what disagrees, and stops trading.

use nix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;
use tern_abi::segment::KillCause;
use tern_audit::{Audit, Finding};
use tern_config::Config;
use tern_hw::segment::SegmentView;
use tern_journal::{JournalError, Reader};

/// Pause at the end of the journal before it is asked again.
const PAUSE: Duration = Duration::from_millis(2);
/// Pause before a kill that could not be written is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Follows until the journal cannot be read.
///
/// What was found before an operator's last resume is written down and does not stop trading again: the operator has
/// seen it. The journal may not be there yet.
pub(crate) fn follow(config: &Config) -> Result<u8, JournalError> {
    let path = config.paths.run.join("audit.jsonl");
    let io = |what: &'static str| {
        let path = path.clone();
        move |error| JournalError::Io { path, what, error }
    };
    let mut log = OpenOptions::new().create(true).append(true).open(&path).map_err(io("open it"))?;
    let mut reader = Reader::open(&config.paths.journal)?;
    let mut audit = Audit::new();
    let mut found = Vec::new();
    loop {
        let at_end = match reader.next() {
            Ok(Some(record)) => {
                audit.record(&record.header, record.body);
                false
            }
            Ok(None) => true,
            Err(error) => {
                // What cannot be read cannot be agreed with.
                stop_trading(config);
                return Err(error);
            }
        };
        let new = audit.take_found();
        write_down(&mut log, &new).map_err(io("write it"))?;
        found.extend(new);
        found.retain(|finding| finding.seq > audit.resumed_seq());
        // In the middle of old records a resume may still come; what is fresh stops trading at once.
        if !found.is_empty() && (at_end || is_recent(audit.counts().last_tai_ns)) {
            if stop_trading(config) {
                found.clear();
            } else {
                sleep(RETRY);
            }
        }
        if at_end {
            sleep(PAUSE);
        }
    }
}

fn write_down(log: &mut File, found: &[Finding]) -> std::io::Result<()> {
    for finding in found {
        eprintln!("tern-audit: {}", finding.text());
        writeln!(log, "{}", finding.json())?;
    }
    if found.is_empty() { Ok(()) } else { log.sync_data() }
}

/// Whether the kill word is written.
fn stop_trading(config: &Config) -> bool {
    let written = SegmentView::open(&config.instance.name, config.paths.segment_file())
        .and_then(|segment| segment.kill_for(u32::MAX, KillCause::Audit, tai_ns()));
    match written {
        Ok(state) => {
            eprintln!("tern-audit: trading is stopped (kill {}); `tern resume` once the cause is known", state.kills());
            true
        }
        Err(error) => {
            eprintln!("tern-audit: trading could not be stopped: {error}");
            false
        }
    }
}

fn is_recent(tai: u64) -> bool {
    tai_ns().saturating_sub(tai) < 1_000_000_000
}

/// TAI, ns since 1970.
fn tai_ns() -> u64 {
    // Every Linux since 3.10 has CLOCK_TAI.
    clock_gettime(ClockId::CLOCK_TAI).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
