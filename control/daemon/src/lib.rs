//! The control daemon: configuration, XDP, supervision, journal drain.
//!
//! The main thread supervises, one drains the rings into the journal, one looks after what lies there already, one after
//! alerts, and each client of the control socket has one. The data plane is a child that does not die with its daemon:
//! records stay in the rings, and a restarted daemon adopts it (the lock on the segment says that it lives). Multicast
//! groups are joined by the data plane, so that the membership, too, outlives the daemon.
#![forbid(unsafe_code)]

mod alerts;
mod audit;
mod bounds;
mod claims;
mod clients;
mod clock;
mod day;
mod drain;
mod exporter;
mod firm;
mod journal;
mod keeper;
mod limits;
mod manual;
mod notify;
mod pending;
mod process;
mod readiness;
mod rescue;
mod retain;
mod roles;
mod run_folder;
mod second;
mod server;
mod shared;
mod steer;
mod supervisor;
mod told;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tern_config::facts::{DaemonFacts, DataplaneFacts};
use tern_config::{AutoOff, Config};
use tern_hw::segment::{DaemonSegment, SegmentFileError, SegmentSpec, SegmentView};
use tern_journal::DayLog;

use crate::audit::Audit;
use crate::claims::Claims;
use crate::drain::Drainer;
use crate::drain::day::{DayEnd, utc_s};
use crate::exporter::Exporter;
use crate::keeper::Keeper;
use crate::notify::Notify;
use crate::run_folder::RunFolder;
use crate::shared::Shared;
use crate::steer::Steering;
use crate::supervisor::Supervisor;

/// Why the daemon could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The segment.
    #[error("{0}")]
    Segment(#[from] SegmentFileError),
    /// The journal.
    #[error("{0}")]
    Journal(#[from] tern_journal::JournalError),
    /// The segment is older than the journal: its records would be taken for ones that the journal has.
    #[error(
        "{}: its next record has seq {next_seq}, the journal {} goes to seq {last_seq} already: one of them is of other \
         days; give the journal another folder, or remove the segment if nothing in it is missed",
        .segment.display(),
        .journal.display()
    )]
    OlderSegment {
        /// The segment's file.
        segment: PathBuf,
        /// The journal's folder.
        journal: PathBuf,
        /// The segment's next record.
        next_seq: u64,
        /// The journal's last record.
        last_seq: u64,
    },
    /// The XDP program.
    #[error("{0}")]
    Steer(#[from] tern_ebpf::SteerError),
    /// The firm's limits.
    #[error("{0}")]
    Firm(String),
    /// Something that this instance needs for itself is another's.
    #[error("{key}: {what} is taken by another ternd ({holder}); give each instance its own, or stop that one")]
    Taken {
        /// The key that names it.
        key: String,
        /// What it is.
        what: String,
        /// Who has it.
        holder: String,
    },
    /// A file or a system call.
    #[error("{what}: {error}")]
    Io {
        /// What was tried, and on what.
        what: String,
        /// What was reported.
        error: io::Error,
    },
}

impl DaemonError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// How long the supervisor may take for a turn beside a rescue: a disk that is slow to take facts, a host that is busy.
const SUPERVISOR_SLACK_MS: u64 = 10_000;
/// What systemd is told that the end may take, beside what the configuration gives the data plane and a rescue: signals, the last
/// records, the seal.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or SIGINT; `dataplane` is the program to start and watch.
///
/// # Errors
/// What kept it from starting; what happens later is logged and shown by `tern status`, and the daemon goes on.
pub fn run(config: &Config, dataplane: &Path) -> Result<(), DaemonError> {
    let handlers = || DaemonError::io("installing signal handlers");
    let stop = tern_hw::signal::stop_flag().map_err(handlers())?;
    tern_hw::signal::count_hangups().map_err(handlers())?;
    let firm = config.load_firm().map_err(|problems| DaemonError::Firm(problems.to_string()))?;
    let claims = Claims::take(config)?;
    let journal = journal::open(config)?;
    // Before any day may go: a follower that cannot say how far it is holds nothing back.
    if let Err(error) = tern_journal::make_followers(&config.paths.journal) {
        tracing::warn!("followers of the journal cannot hold days back: {error}");
    }
    // Read where somebody asks for it: a long day takes seconds.
    let led = match config.day.managed || config.day.freeze_minutes > 0 {
        true => tern_journal::day_log(&config.paths.journal)?,
        false => DayLog::default(),
    };
    let spec = SegmentSpec {
        path: config.paths.segment_file().map(Path::to_path_buf),
        sizes: config.rings.sizes(),
        first_seq: journal.next_seq(),
        now_tai_ns: clock::tai_ns(),
        huge_pages: config.port.huge_pages == AutoOff::Auto,
        ..SegmentSpec::new(config.instance.name.clone())
    };
    let mut segment = DaemonSegment::open(&spec)?;
    // Held from here on: this is the only daemon of the instance, so whatever lies in the run folder is a leftover.
    tracing::info!(segment = %segment.path().display(), backing = ?segment.backing(), "shared segment");
    let segment_path = segment.path().to_path_buf();
    let view = SegmentView::open(&config.instance.name, Some(&segment_path))?;
    let ends = segment.ends()?;
    if ends.next_seq.get() <= journal.last_seq() {
        return Err(DaemonError::OlderSegment {
            segment: segment_path,
            journal: config.paths.journal.clone(),
            next_seq: ends.next_seq.get(),
            last_seq: journal.last_seq(),
        });
    }

    // Of a daemon that was killed: what waited then for a second person.
    let before =
        tern_config::facts::read::<DaemonFacts>(&config.paths.daemon_facts()).ok().flatten().unwrap_or_default();
    let run_folder = RunFolder::claim(&config.paths)?;
    let shared = Shared::new(config, firm, ends.segment, ends.commands);
    for text in claims.shared() {
        tracing::warn!("{text}");
    }
    shared.update(|facts| facts.fallbacks.extend(claims.shared().iter().cloned()));
    shared.update(|facts| facts.leftovers.extend(run_folder.leftovers().iter().cloned()));
    manual::tell_dropped(&shared, &before.pending);

    // What a data plane that was not led until now may do is the day's affair from here on; one that starts asks by itself.
    shared.day.show(&led);
    let running = view.data_plane()?;
    if running.is_some() {
        day::hold(&shared, day::most(&shared));
    }
    let mut steering = Steering::set_up(config, running.is_some(), &shared)?;
    let (day_ended, days) = mpsc::channel();
    let day = DayEnd::new(config, utc_s, journal.head().last_tai_ns, Some(day_ended));
    let drainer = Drainer::new(config, ends.drain, journal, day).following(led);
    let listener = clients::listen(&config.paths)?;

    Keeper::start(config, days, Arc::clone(&shared.retention), stop)?;
    let (clean, drained) = thread::scope(|scope| {
        let drain = scope.spawn(|| drainer.run(&shared));
        let server = scope.spawn(|| clients::serve(&listener, &shared, &clients::Bounds::DAEMON));
        let alerts = scope.spawn(|| alerts::Alerts::new(&shared).run());
        let mut supervisor = Supervisor::new(config, dataplane, &view, &shared);
        let mut audit = Audit::new(config, dataplane, &shared);
        let mut exporter = Exporter::new(config, dataplane, &shared);
        let mut notify = Notify::from_environment(config.daemon.rescue_ms + SUPERVISOR_SLACK_MS);
        supervisor.run(stop, &mut steering, audit.as_mut(), exporter.as_mut(), &mut notify);
        manual::drop_waiting(&shared);
        tracing::info!("asked to stop: cancelling all orders, then the journal is written to its end");
        notify.stopping(Duration::from_millis(config.daemon.shutdown_ms + config.daemon.rescue_ms) + END_PATIENCE);
        let ended = supervisor.shut_down();
        shared.stop_draining();
        let drained = drain.join().unwrap_or(false);
        if let Some(audit) = &mut audit {
            audit.finish();
        }
        if let Some(exporter) = &mut exporter {
            exporter.finish();
        }
        shared.stop_serving();
        let _ = server.join();
        let _ = alerts.join();
        (ended && drained, drained)
    });

    let folder = &config.paths.journal;
    if drained && let Some(path) = journal::keep_seal(folder, tern_journal::seal(folder)) {
        shared.update(|facts| facts.journal.seal = Some(path));
    }
    // The last facts, with counters that nothing changes any more.
    steering.count(&shared);
    let restricted = ends.segment.kill.state().killed() || ends.segment.scopes.restricted().next().is_some();
    shared.refresh(&read_names(config));
    shared.write_facts(&config.paths.daemon_facts());
    steering.tear_down()?;
    run_folder.release();
    drop(view);
    drop(segment);
    // Everything is in the journal. A set kill word is kept, and so are restricted scopes: they must outlive the instance
    // until an operator re-arms.
    if clean && !restricted {
        tern_hw::segment::remove(&config.instance.name, Some(&segment_path))?;
    }
    tracing::info!(clean, "stopped");
    Ok(())
}

/// What the data plane's numbers mean, as far as it said so already.
pub(crate) fn read_names(config: &Config) -> tern_config::facts::Names {
    let facts: Option<DataplaneFacts> = tern_config::facts::read(&config.paths.dataplane_facts()).unwrap_or_default();
    facts.unwrap_or_default().names
}
