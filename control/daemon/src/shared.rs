//! What the daemon's threads share.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tern_abi::command::SYSTEM_UID;
use tern_abi::command::{Command, CommandKind, SetLimits};
use tern_abi::counters::LoopCounter;
use tern_abi::day::DayRecord;
use tern_abi::manual::ManualCommand;
use tern_abi::record::RingFull;
use tern_abi::ring::commands::{CommandSender, Ticket};
use tern_abi::segment::{KillCause, REFUSAL_WORDS, Segment};
use tern_config::facts::{DaemonFacts, FACTS_VERSION, Names, RescueFact, RetentionFact, name_at};
use tern_config::latency::LatencyFacts;
use tern_config::venue::PortSetting;
use tern_config::{Config, Firm};

use crate::clients::Tally;
use crate::clock;
use crate::day::Leading;
use crate::pending::Pending;
use crate::second::SecondPerson;
use crate::told::Told;

pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    /// Whose allotments its limits are.
    pub(crate) firm: Option<Firm>,
    pub(crate) segment: Segment<'a>,
    commands: Mutex<CommandSender<'a>>,
    facts: Mutex<DaemonFacts>,
    /// Held while they are written: one writes at a time.
    facts_file: Mutex<()>,
    latency: Mutex<LatencyFacts>,
    draining: AtomicBool,
    serving: AtomicBool,
    requests: AtomicU64,
    pub(crate) second: SecondPerson,
    /// What clients of the control socket did wrong.
    pub(crate) tally: Tally,
    /// What is done by hand and waits for a second person.
    pub(crate) pending: Pending,
    /// What came of things done by hand.
    pub(crate) told: Told,
    pub(crate) day: Leading,
    began: Instant,
    /// Turns that the drain has made.
    drain_turns: AtomicU64,
    /// When the supervisor looked last, ms since `began`.
    watched_ms: AtomicU64,
    /// What the keeper says of deleting.
    pub(crate) retention: Arc<Mutex<Option<RetentionFact>>>,
    rescue_requested: AtomicBool,
}

/// A supervisor that has not looked for so long is stuck.
const WATCHED_MS_MAX: u64 = 1000;

impl<'a> Shared<'a> {
    pub(crate) fn new(
        config: &'a Config,
        firm: Option<Firm>,
        segment: Segment<'a>,
        commands: CommandSender<'a>,
    ) -> Self {
        let facts = DaemonFacts {
            version: FACTS_VERSION,
            pid: std::process::id(),
            attach_mode: "none".into(),
            port: config.session.as_ref().map(PortSetting::of),
            ..DaemonFacts::default()
        };
        Self {
            config,
            firm,
            segment,
            commands: Mutex::new(commands),
            facts: Mutex::new(facts),
            facts_file: Mutex::new(()),
            latency: Mutex::new(LatencyFacts::empty()),
            draining: AtomicBool::new(true),
            serving: AtomicBool::new(true),
            requests: AtomicU64::new(clock::tai_ns()),
            second: SecondPerson::default(),
            tally: Tally::default(),
            pending: Pending::default(),
            told: Told::default(),
            day: Leading::default(),
            began: Instant::now(),
            drain_turns: AtomicU64::new(0),
            watched_ms: AtomicU64::new(0),
            retention: Arc::default(),
            rescue_requested: AtomicBool::new(false),
        }
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut DaemonFacts)) {
        change(&mut lock(&self.facts));
    }

    pub(crate) fn facts(&self) -> DaemonFacts {
        lock(&self.facts).clone()
    }

    /// The drain says how long the loop's stages took.
    pub(crate) fn show_latency(&self, latency: &LatencyFacts) {
        lock(&self.latency).clone_from(latency);
    }

    /// How long they took, as the drain said last.
    pub(crate) fn latency(&self) -> LatencyFacts {
        lock(&self.latency).clone()
    }

    /// Takes the segment's words into the facts.
    pub(crate) fn refresh(&self, names: &Names) {
        let words = self.segment.words();
        let (trading, halt_reason) = words.trading.get();
        let counters = words.counters.snapshot();
        let refused = (0..REFUSAL_WORDS).map(|index| (index, words.refusals.get(index)));
        self.update(|facts| {
            (facts.trading, facts.halt_reason) = (trading, halt_reason);
            facts.misdeeds = self.tally.counts();
            facts.killed = words.kill.state().killed();
            facts.journal.retention.clone_from(&lock(&self.retention));
            facts.counters =
                LoopCounter::ALL.iter().zip(counters).map(|(counter, value)| (counter.name().into(), value)).collect();
            facts.refused = refused
                .filter(|(index, value)| *value != 0 || *index < names.refusals.len())
                .map(|(index, value)| (name_at(&names.refusals, index), value))
                .collect();
        });
    }

    pub(crate) fn write_facts(&self, path: &Path) {
        let _one = lock(&self.facts_file);
        if let Err(error) = tern_config::facts::write(path, &self.facts()) {
            tracing::warn!("{}: cannot be written: {error}", path.display());
        }
    }

    /// Stops trading in the name of the system.
    pub(crate) fn halt(&self, cause: KillCause, why: &str) {
        self.segment.words().kill.kill(SYSTEM_UID, cause, clock::tai_ns());
        tracing::error!("trading stopped: {why}; `tern resume` re-arms once it is mended");
    }

    /// Hands a command to the loop.
    pub(crate) fn send(&self, kind: CommandKind, uid: u32, id: u32) -> Result<Ticket, RingFull> {
        let words = self.segment.words();
        let command = Command {
            kind: kind as u32,
            id,
            value: 0,
            scope: 0,
            epoch: words.limits_epoch.get() as u32,
            uid,
            kill_word: 0,
        };
        lock(&self.commands).send(&command)
    }

    /// Has the loop write an alert into the journal.
    pub(crate) fn send_alert(&self, alert: u32, is_raised: bool, since_ns: u64) -> Result<Ticket, RingFull> {
        lock(&self.commands).send(&Command::alert(alert, is_raised, since_ns))
    }

    /// Whether the loop took the command and recorded it.
    pub(crate) fn is_taken(&self, ticket: Ticket) -> bool {
        lock(&self.commands).taken(ticket)
    }

    /// Hands all limits at once to the loop.
    pub(crate) fn send_limits(&self, limits: &SetLimits) -> Result<Ticket, RingFull> {
        lock(&self.commands).send_limits(limits)
    }

    /// Hands what a person does by hand to the loop.
    pub(crate) fn send_manual(&self, wish: &ManualCommand) -> Result<Ticket, RingFull> {
        lock(&self.commands).send_manual(&ManualCommand { handed_ns: clock::tai_ns(), ..*wish })
    }

    /// Has the loop write a step of the trading day into the journal.
    pub(crate) fn send_day(&self, step: &DayRecord) -> Result<Ticket, RingFull> {
        lock(&self.commands).send_day(step)
    }

    /// A number that no other request of this instance has, those of an earlier daemon included: it began with the time.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until the loop took the command and recorded it.
    pub(crate) fn wait_taken(&self, ticket: Ticket, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if lock(&self.commands).taken(ticket) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The supervisor looks.
    pub(crate) fn watch(&self) {
        self.watched_ms.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Says that the daemon lives: the drain does, after each of its `turns`, as long as the supervisor looks too. The data
    /// plane misses a daemon of which either is stuck.
    pub(crate) fn beat(&self, turns: u64) {
        self.drain_turns.store(turns, Ordering::Relaxed);
        let now_ms = self.began.elapsed().as_millis() as u64;
        if now_ms.saturating_sub(self.watched_ms.load(Ordering::Relaxed)) < WATCHED_MS_MAX {
            self.segment.words().daemon_beat.beat(clock::tai_ns(), turns);
        }
    }

    /// Turns that the drain has made.
    pub(crate) fn drain_turns(&self) -> u64 {
        self.drain_turns.load(Ordering::Relaxed)
    }

    /// Asks the supervisor to cancel in the place of a loop that does not.
    pub(crate) fn request_rescue(&self) {
        self.rescue_requested.store(true, Ordering::Release);
    }
    /// Whether somebody asked, once.
    pub(crate) fn take_rescue_request(&self) -> bool {
        self.rescue_requested.swap(false, Ordering::AcqRel)
    }
    /// What came of a rescue.
    pub(crate) fn rescued(&self, fact: RescueFact) {
        self.update(|facts| {
            facts.rescues += 1;
            facts.rescue = Some(fact);
        });
    }

    pub(crate) fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
    /// The data plane is gone: what is in the rings now is all that comes.
    pub(crate) fn stop_draining(&self) {
        self.draining.store(false, Ordering::Release);
    }
    pub(crate) fn serving(&self) -> bool {
        self.serving.load(Ordering::Acquire)
    }
    pub(crate) fn stop_serving(&self) {
        self.serving.store(false, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
