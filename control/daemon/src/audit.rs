//! Runs the second opinion beside the data plane: starts it, sees that it gets on, starts it again within a budget. One that
//! was asked for and does not run stops trading.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use tern_abi::segment::KillCause;
use tern_config::Config;
use tern_config::facts::{AuditFacts, WatchedFact};

use crate::process;
use crate::shared::Shared;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it may take to read what is left when the daemon ends, and to die.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Audit<'a> {
    config: &'a Config,
    program: PathBuf,
    shared: &'a Shared<'a>,
    child: Option<Child>,
    /// When it is started; nothing once it stays down.
    start_at: Option<Instant>,
    restarts: VecDeque<Instant>,
    look_at: Instant,
    /// The last record that it had read, and when that was another one.
    last_seq: u64,
    got_on: Instant,
}

impl<'a> Audit<'a> {
    /// The second opinion of `config`, if it asks for one: `tern-audit` beside `dataplane`.
    pub(crate) fn new(config: &'a Config, dataplane: &Path, shared: &'a Shared<'a>) -> Option<Self> {
        config.runs_audit().then(|| {
            // Two of them would write the same files.
            let before = tern_config::facts::read(&config.paths.audit_facts()).ok().flatten();
            process::end_leftover(before.map(|facts: AuditFacts| facts.pid), "tern-audit");
            shared.update(|facts| facts.audit = Some(WatchedFact::default()));
            let now = Instant::now();
            Self {
                config,
                program: dataplane.with_file_name("tern-audit"),
                shared,
                child: None,
                start_at: Some(now),
                restarts: VecDeque::new(),
                look_at: now,
                last_seq: 0,
                got_on: now,
            }
        })
    }

    pub(crate) fn turn(&mut self) {
        if Instant::now() < self.look_at {
            return;
        }
        self.look_at = Instant::now() + LOOK_EVERY;
        match &mut self.child {
            None if self.start_at.is_some_and(|at| Instant::now() >= at) => self.start(),
            None => {}
            Some(child) => match child.try_wait() {
                Ok(None) => self.watch(),
                Ok(Some(status)) => self.ended(&status.to_string()),
                Err(error) => self.ended(&format!("cannot be waited for: {error}")),
            },
        }
    }

    fn start(&mut self) {
        let log_path = self.config.paths.audit_log();
        match process::spawn(&self.program, self.config.file(), &log_path) {
            Ok(child) => {
                tracing::info!(pid = child.id(), log = %log_path.display(), "second opinion started");
                self.tell(|fact| fact.pid = child.id());
                self.child = Some(child);
                self.got_on = Instant::now();
            }
            Err(error) => self.ended(&format!("{} cannot be started: {error}", self.program.display())),
        }
    }

    /// One that is behind and does not get on is stuck.
    fn watch(&mut self) {
        let read = self.facts().map_or(0, |facts| facts.last_seq);
        if read != self.last_seq || read >= self.shared.segment.words().journaled_seq.get() {
            self.last_seq = read;
            self.got_on = Instant::now();
        }
        let patience = Duration::from_millis(self.config.audit.lag_ms_max);
        if self.got_on.elapsed() > patience
            && let Some(child) = &mut self.child
        {
            tracing::error!(pid = child.id(), last_seq = read, "the second opinion is stuck: ended");
            let _ = child.kill();
            self.got_on = Instant::now();
        }
    }

    /// What the one that runs wrote last.
    fn facts(&self) -> Option<AuditFacts> {
        let facts: AuditFacts = tern_config::facts::read(&self.config.paths.audit_facts()).ok()??;
        self.child.as_ref().filter(|child| child.id() == facts.pid).map(|_| facts)
    }

    fn ended(&mut self, how: &str) {
        self.child = None;
        let log = self.config.paths.audit_log();
        tracing::error!("second opinion: {how}; its last words are in {}", log.display());
        let now = Instant::now();
        let window = Duration::from_secs(self.config.daemon.restart_window_s);
        while self.restarts.front().is_some_and(|first| now.duration_since(*first) > window) {
            self.restarts.pop_front();
        }
        if self.restarts.len() >= self.config.daemon.restarts_max as usize {
            self.start_at = None;
            self.tell(|fact| (fact.pid, fact.gave_up) = (0, true));
            let why = format!("the second opinion stays down after {} restarts: {how}", self.restarts.len());
            self.shared.halt(KillCause::AuditLost, &why);
            return;
        }
        let doublings = self.restarts.len().min(16) as u32;
        self.restarts.push_back(now);
        self.tell(|fact| {
            fact.pid = 0;
            fact.restarts += 1;
        });
        let pause = Duration::from_millis(self.config.daemon.restart_pause_ms).saturating_mul(1 << doublings);
        self.start_at = Some(now + pause.min(Duration::from_secs(30)));
    }

    fn tell(&self, change: impl FnOnce(&mut WatchedFact)) {
        self.shared.update(|facts| change(facts.audit.get_or_insert_default()));
    }

    /// The journal is whole: it reads what is left, and ends.
    pub(crate) fn finish(&mut self) {
        let deadline = Instant::now() + LAST_PATIENCE;
        let last_seq = self.shared.facts().journal.last_seq;
        let is_behind = |audit: &Self| audit.facts().is_none_or(|facts| facts.last_seq < last_seq);
        while self.child.is_some() && is_behind(self) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.child.is_some() && is_behind(self) {
            tracing::warn!(
                last_seq,
                "the second opinion has not read the journal to its end; `tern-audit --once` does"
            );
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.tell(|fact| fact.pid = 0);
    }
}
