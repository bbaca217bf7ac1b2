//! Runs the process that answers scrapers beside the data plane. It is a process of its own so that nothing that comes over
//! HTTP can take this one's memory, descriptors or time; and one that does not run stops nothing: it is started again,
//! ever more seldom, and the facts say so.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use tern_config::Config;
use tern_config::facts::WatchedFact;

use crate::process;
use crate::shared::Shared;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often how long the loop's stages took is written down for it.
const LATENCY_EVERY: Duration = Duration::from_secs(1);
/// Longest pause before a restart.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// One that ran for so long is started again as if for the first time.
const STEADY: Duration = Duration::from_secs(60);

pub(crate) struct Exporter<'a> {
    config: &'a Config,
    program: PathBuf,
    shared: &'a Shared<'a>,
    child: Option<Child>,
    started: Instant,
    start_at: Instant,
    pause: Duration,
    look_at: Instant,
    latency_due: Instant,
}

impl<'a> Exporter<'a> {
    /// The one of `config`, if it asks for one: `tern-metrics` beside `dataplane`.
    pub(crate) fn new(config: &'a Config, dataplane: &Path, shared: &'a Shared<'a>) -> Option<Self> {
        config.metrics.listen?;
        // It has the port.
        let pid = std::fs::read_to_string(config.paths.metrics_pid()).ok().and_then(|text| text.trim().parse().ok());
        process::end_leftover(pid, "tern-metrics");
        shared.update(|facts| facts.metrics = Some(WatchedFact::default()));
        let now = Instant::now();
        Some(Self {
            config,
            program: dataplane.with_file_name("tern-metrics"),
            shared,
            child: None,
            started: now,
            start_at: now,
            pause: first_pause(config),
            look_at: now,
            latency_due: now,
        })
    }

    pub(crate) fn turn(&mut self) {
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        if now >= self.latency_due {
            self.latency_due = now + LATENCY_EVERY;
            let path = self.config.paths.latency_facts();
            if let Err(error) = tern_config::facts::write(&path, &self.shared.latency()) {
                tracing::warn!("{}: cannot be written: {error}", path.display());
            }
        }
        match &mut self.child {
            None if now >= self.start_at => self.start(),
            None => {}
            Some(child) => match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => self.ended(&status.to_string()),
                Err(error) => self.ended(&format!("cannot be waited for: {error}")),
            },
        }
    }

    fn start(&mut self) {
        let log_path = self.config.paths.metrics_log();
        match process::spawn(&self.program, self.config.file(), &log_path) {
            Ok(child) => {
                tracing::info!(pid = child.id(), log = %log_path.display(), "metrics started");
                self.tell(|fact| fact.pid = child.id());
                self.started = Instant::now();
                self.child = Some(child);
            }
            Err(error) => self.ended(&format!("{} cannot be started: {error}", self.program.display())),
        }
    }

    fn ended(&mut self, how: &str) {
        if self.child.take().is_some() && self.started.elapsed() >= STEADY {
            self.pause = first_pause(self.config);
        }
        let pause_ms = self.pause.as_millis() as u64;
        let log = self.config.paths.metrics_log();
        tracing::warn!(pause_ms, "metrics: {how}; started again; its last words are in {}", log.display());
        self.start_at = Instant::now() + self.pause;
        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        self.tell(|fact| {
            fact.pid = 0;
            fact.restarts += 1;
        });
    }

    fn tell(&self, change: impl FnOnce(&mut WatchedFact)) {
        self.shared.update(|facts| change(facts.metrics.get_or_insert_default()));
    }

    /// It has nothing to finish.
    pub(crate) fn finish(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_file(self.config.paths.metrics_pid());
        }
        self.tell(|fact| fact.pid = 0);
    }
}

fn first_pause(config: &Config) -> Duration {
    Duration::from_millis(config.daemon.restart_pause_ms)
}
