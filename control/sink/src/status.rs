//! What a sink says of itself: a file that is written each second, the report at its end, and a warning when it is behind.
//!
//! A thread of its own does this, for a store that hangs holds the other one. It also ends the process when it is asked to:
//! a sink may end anywhere, so nothing is waited for.

use hdrhistogram::Histogram;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tern_journal::Follower;

use crate::position::Position;

/// How often the file is written, and what is said looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How soon a signal to end is seen.
const TURN: Duration = Duration::from_millis(50);

/// Where a sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not reached the store yet.
    Connecting,
    /// It stores what came while it, or the store, was away.
    CatchingUp,
    /// It stores records as they come.
    Following,
    /// The store does not answer; it is tried again.
    StoreGone,
}

/// From a record's time to its commit, of records that came while the sink followed; microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Records that were measured.
    pub records: u64,
    /// Half of them were stored within so long.
    pub p50_us: u64,
    /// All but a hundredth.
    pub p99_us: u64,
    /// All.
    pub max_us: u64,
}

/// What was stored of what had waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CatchUp {
    /// Records, of all kinds.
    pub records: u64,
    /// How long it took, from the connection on.
    pub seconds: f64,
    /// Records a second.
    pub records_per_second: f64,
}

/// All that a sink says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The store.
    pub store: String,
    /// Where the sink is.
    pub state: State,
    /// Why the store did not do what it was asked, when it did not.
    pub trouble: Option<String>,
    /// When this was written, TAI ns.
    pub at_ns: u64,
    /// How far the store is.
    pub position: Position,
    /// Records that are on the journal's disk and not in the store.
    pub behind_records: u64,
    /// How old the first of them may be, ms: since the store had all.
    pub behind_ms: u64,
    /// Times that rows were stored.
    pub commits: u64,
    /// Times that the store was gone.
    pub losses: u64,
    /// Lag while following.
    pub lag: Lag,
    /// The last catching up that ended.
    pub catch_up: Option<CatchUp>,
}

struct Told {
    status: Status,
    lag: Histogram<u64>,
    level_at: Instant,
    /// Records of the journal that are none of the position's.
    records_before: u64,
}

/// The figures of a running sink, shared by its two threads.
#[derive(Clone)]
pub struct Figures(Arc<Mutex<Told>>);

impl Figures {
    /// Of a sink into `store` that begins.
    pub fn new(store: String) -> Self {
        let status = Status {
            store,
            state: State::Connecting,
            trouble: None,
            at_ns: 0,
            position: Position::default(),
            behind_records: 0,
            behind_ms: 0,
            commits: 0,
            losses: 0,
            lag: Lag::default(),
            catch_up: None,
        };
        // Microseconds up to an hour, to one part in a hundred: these bounds are in order.
        let lag =
            Histogram::new_with_bounds(1, 3_600_000_000, 2).unwrap_or_else(|_| unreachable!("the bounds are in order"));
        Self(Arc::new(Mutex::new(Told { status, lag, level_at: Instant::now(), records_before: 0 })))
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store answered, and ends with `position`.
    pub(crate) fn resumed(&self, position: &Position) {
        let mut told = self.lock();
        told.status.state = State::CatchingUp;
        told.status.trouble = None;
        told.status.position = position.clone();
    }

    /// So many records of the journal are none of the position's.
    pub(crate) fn begins(&self, records_before: u64) {
        self.lock().records_before = records_before;
    }

    /// The store did not answer; how often that was.
    pub(crate) fn gone(&self, why: String) -> u64 {
        let mut told = self.lock();
        // One that was never reached was not lost.
        told.status.losses += u64::from(!matches!(told.status.state, State::StoreGone | State::Connecting));
        told.status.state = State::StoreGone;
        told.status.trouble = Some(why);
        told.status.losses
    }

    /// Rows are stored up to `position`, those of records of these times (TAI ns) among them.
    pub(crate) fn stored(&self, position: &Position, times: &[u64]) {
        let now = tai_ns();
        let mut told = self.lock();
        told.status.position = position.clone();
        told.status.commits += 1;
        for time in times {
            told.lag.saturating_record((now.saturating_sub(*time) / 1_000).max(1));
        }
    }

    /// The store has all that the journal has.
    pub(crate) fn level(&self, caught_up: Option<CatchUp>) {
        let mut told = self.lock();
        told.status.state = State::Following;
        told.level_at = Instant::now();
        if caught_up.is_some() {
            told.status.catch_up = caught_up;
        }
    }

    /// What there is to say now, of the journal in `journal`.
    pub fn status(&self, journal: &Path) -> Status {
        let head = tern_journal::durable(journal).ok().flatten().unwrap_or_default();
        let told = self.lock();
        let mut status = told.status.clone();
        status.at_ns = tai_ns();
        status.behind_records = head.records.saturating_sub(told.records_before + status.position.records);
        if status.behind_records > 0 {
            status.behind_ms = told.level_at.elapsed().as_millis() as u64;
        }
        let at = |part| told.lag.value_at_quantile(part);
        if !told.lag.is_empty() {
            let (p50_us, p99_us, max_us) = (at(0.5), at(0.99), told.lag.max());
            status.lag = Lag { records: told.lag.len(), p50_us, p99_us, max_us };
        }
        status
    }
}

/// Where and when it is said.
#[derive(Clone, Debug)]
pub struct Telling {
    /// The journal.
    pub journal: PathBuf,
    /// The file, if there is to be one.
    pub file: Option<PathBuf>,
    /// Under which name the journal's days wait for it; `None`: they do not.
    pub follower: Option<String>,
    /// A warning is said when the store has not had all for so long.
    pub behind_max: Duration,
    /// The report is JSON.
    pub json: bool,
}

/// Keeps signals to end for [`tell`]. To be called before any other thread is there.
///
/// # Errors
/// The kernel refuses.
pub fn keep_signals() -> nix::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Says how the sink is until a signal ends the process, with the report and exit code 0.
pub fn tell(figures: &Figures, telling: &Telling, signals: &SignalFd) {
    let mut due = Instant::now();
    let mut mark = Mark::default();
    let mut warn_at = telling.behind_max;
    loop {
        if matches!(signals.read_signal(), Ok(Some(_))) {
            say(&figures.status(&telling.journal), telling);
            std::process::exit(0);
        }
        if Instant::now() >= due {
            due = Instant::now() + EVERY;
            let status = figures.status(&telling.journal);
            if let Some(file) = &telling.file {
                write(file, &status);
            }
            mark.tell(&status, telling);
            let behind = Duration::from_millis(status.behind_ms);
            if behind < telling.behind_max {
                warn_at = telling.behind_max;
            } else if behind >= warn_at {
                // Twice as long until it is said again: an hour's outage is no flood.
                warn_at = behind.saturating_mul(2);
                let why = status.trouble.as_deref().unwrap_or("it does not keep up, or does not answer");
                eprintln!(
                    "tern-sink: {}: {} records behind, since {} s: {why}",
                    status.store,
                    status.behind_records,
                    behind.as_secs()
                );
            }
        }
        sleep(TURN);
    }
}

/// Prints the report, and writes the file a last time.
pub fn say(status: &Status, telling: &Telling) {
    if let Some(file) = &telling.file {
        write(file, status);
    }
    Mark::default().tell(status, telling);
    let text = if telling.json { serde_json::to_string_pretty(status).unwrap_or_default() } else { report(status) };
    // Who closed the pipe does not want it.
    writeln!(std::io::stdout(), "{text}").ok();
}

/// What the journal was told of how far the sink is: none of what it still needs is deleted.
#[derive(Default)]
struct Mark {
    /// The `seq` told last.
    told: Option<u64>,
    /// It was said that it cannot be told.
    is_silent: bool,
}

impl Mark {
    fn tell(&mut self, status: &Status, telling: &Telling) {
        let Some(name) = &telling.follower else { return };
        // Until the store has said how far it is, what was told by an earlier run holds.
        let is_known = status.state != State::Connecting && status.state != State::StoreGone;
        let is_there = || {
            let all = tern_journal::followers(&telling.journal).unwrap_or_default();
            all.iter().any(|follower| follower.name == *name)
        };
        if !is_known && (self.told.is_some() || is_there()) {
            return;
        }
        // The last record that is stored is needed too: by that the journal is known again.
        let follower = Follower {
            name: name.clone(),
            needs_seq: status.position.seq,
            told_tai_ns: status.at_ns,
            who: format!("tern-sink, {}", status.store),
        };
        match follower.tell(&telling.journal) {
            Ok(()) => (self.told, self.is_silent) = (Some(follower.needs_seq), false),
            Err(error) if !self.is_silent => {
                self.is_silent = true;
                eprintln!("tern-sink: days of the journal may be deleted before they are stored: {error}");
            }
            Err(_) => {}
        }
    }
}

fn report(status: &Status) -> String {
    let Status { position, lag, .. } = status;
    let mut lines = vec![
        format!("{}: up to {}", status.store, position.name()),
        format!(
            "{} records of the journal: {} rows, {} of tables not asked for, {} without a row; {} behind",
            position.records,
            position.rows,
            position.records - position.rows - position.unreadable,
            position.unreadable,
            status.behind_records
        ),
        format!("{} commits, the store was lost {} times", status.commits, status.losses),
    ];
    if lag.records > 0 {
        let ms = |us: u64| us as f64 / 1_000.0;
        lines.push(format!(
            "from a record's time to its commit: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms ({} records)",
            ms(lag.p50_us),
            ms(lag.p99_us),
            ms(lag.max_us),
            lag.records
        ));
    }
    if let Some(CatchUp { records, seconds, records_per_second }) = status.catch_up {
        lines.push(format!("caught up: {records} records in {seconds:.2} s, {records_per_second:.0} a second"));
    }
    lines.join("\n")
}

/// Beside its name, then named: a reader never sees half of it.
fn write(file: &Path, status: &Status) {
    let fresh = file.with_extension("new");
    let text = serde_json::to_string_pretty(status).unwrap_or_default();
    if let Err(error) = std::fs::write(&fresh, text + "\n").and_then(|()| std::fs::rename(&fresh, file)) {
        eprintln!("tern-sink: {}: cannot write it: {error}", file.display());
    }
}

/// TAI, ns since 1970.
pub(crate) fn tai_ns() -> u64 {
    // Every Linux since 3.10 has CLOCK_TAI.
    clock_gettime(ClockId::CLOCK_TAI).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
