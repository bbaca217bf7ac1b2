//! Live: follows the journal that the daemon writes, and the venue's drop copy, writes down what disagrees, and stops
//! trading.

use nix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tern_abi::segment::KillCause;
use tern_audit::{Audit, Finding};
use tern_config::Config;
use tern_config::facts::{AuditFacts, FACTS_VERSION};
use tern_journal::{Follower, JournalError, Reader};

use crate::live::{Watch, stop_trading};

/// Pause at the end of the journal before it is asked again.
const PAUSE: Duration = Duration::from_millis(2);
/// Pause before a kill that could not be written is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How often the facts are written.
const FACTS_EVERY: Duration = Duration::from_millis(250);
/// How often the journal is told how far it is read.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// The name under which its days wait until they are read.
const FOLLOWER: &str = "audit";
/// Records between two looks at the clock.
const RECORDS_A_LOOK: u64 = 4096;

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
    let mut watch = Watch::new(config).map_err(io("open drop_copy.jsonl beside it"))?;
    let mut reader = Reader::open(&config.paths.journal)?;
    let mut audit = Audit::new();
    let mut found = Vec::new();
    let mut copy_differs = false;
    let (mut facts_due, mut mark_due) = (Instant::now(), Instant::now());
    let mut mark = Mark::default();
    // It reads all days that are there, and none is to go meanwhile.
    mark.tell(config, 0);
    loop {
        let at_end = match reader.next() {
            Ok(Some(record)) => {
                audit.record(&record.header, record.body);
                if let Some(watch) = &mut watch {
                    watch.record(&record.header, record.body);
                }
                false
            }
            Ok(None) => true,
            Err(error) => {
                // What cannot be read cannot be agreed with.
                stop_trading(config, KillCause::Audit, tai_ns());
                return Err(error);
            }
        };
        let new = audit.take_found();
        write_down(&mut log, &new).map_err(io("write it"))?;
        found.extend(new);
        found.retain(|finding| finding.seq > audit.resumed_seq());
        // In the middle of old records a resume may still come; what is fresh stops trading at once.
        if !found.is_empty() && (at_end || is_recent(audit.counts().last_tai_ns)) {
            if stop_trading(config, KillCause::Audit, tai_ns()) {
                found.clear();
            } else {
                sleep(RETRY);
            }
        }
        if at_end && let Some(watch) = &mut watch {
            copy_differs |= watch.turn(config, tai_ns()).map_err(io("write drop_copy.jsonl beside it"))?;
            copy_differs = copy_differs && !stop_trading(config, KillCause::DropCopy, tai_ns());
        }
        let is_look = at_end || audit.counts().records.is_multiple_of(RECORDS_A_LOOK);
        if is_look && Instant::now() >= facts_due {
            facts_due = Instant::now() + FACTS_EVERY;
            write_facts(config, &audit, watch.as_ref(), at_end);
        }
        if is_look && Instant::now() >= mark_due {
            mark_due = Instant::now() + MARK_EVERY;
            mark.tell(config, audit.counts().last_seq + 1);
        }
        if at_end {
            sleep(PAUSE);
        }
    }
}

/// What the journal was told: none of what is not read is deleted.
#[derive(Default)]
struct Mark {
    trouble: String,
}

impl Mark {
    fn tell(&mut self, config: &Config, needs_seq: u64) {
        let who = "tern-audit, the second opinion".to_owned();
        let follower = Follower { name: FOLLOWER.to_owned(), needs_seq, told_tai_ns: tai_ns(), who };
        let trouble = follower.tell(&config.paths.journal).err().map(|error| error.to_string()).unwrap_or_default();
        if !trouble.is_empty() && trouble != self.trouble {
            eprintln!("tern-audit: days of the journal may be deleted before they are read: {trouble}");
        }
        self.trouble = trouble;
    }
}

/// What `tern status` shows, and by what the daemon sees that it gets on.
fn write_facts(config: &Config, audit: &Audit, watch: Option<&Watch>, at_end: bool) {
    let counts = audit.counts();
    let lag_ns = if at_end { 0 } else { tai_ns().saturating_sub(counts.last_tai_ns) };
    let facts = AuditFacts {
        version: FACTS_VERSION,
        pid: std::process::id(),
        at_ns: tai_ns(),
        last_seq: counts.last_seq,
        lag_ms: lag_ns / 1_000_000,
        orders: counts.orders,
        answers: counts.answers,
        disagreements: counts.disagreements,
        trades_kept: counts.trades_kept,
        drop_copy: watch.map(Watch::fact),
    };
    if let Err(error) = tern_config::facts::write(&config.paths.audit_facts(), &facts) {
        eprintln!("tern-audit: {}: {error}", config.paths.audit_facts().display());
    }
}

fn write_down(log: &mut File, found: &[Finding]) -> std::io::Result<()> {
    for finding in found {
        eprintln!("tern-audit: {}", finding.text());
        writeln!(log, "{}", finding.json())?;
    }
    if found.is_empty() { Ok(()) } else { log.sync_data() }
}

fn is_recent(tai: u64) -> bool {
    tai_ns().saturating_sub(tai) < 1_000_000_000
}

/// TAI, ns since 1970.
fn tai_ns() -> u64 {
    // Every Linux since 3.10 has CLOCK_TAI.
    clock_gettime(ClockId::CLOCK_TAI).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
