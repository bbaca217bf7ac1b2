//! The trading day, led by operators (adr/0039). What state it is in follows from the journal; what may leave follows from the
//! scope of the whole firm in the segment, which is restricted unless the day is armed.
//!
//! A step that lets more leave is in the journal before it does; one that lets less leave is in force before the journal has it.
//! So whoever dies between the two leaves less, never more, than the journal says.

mod checks;
mod steps;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use tern_abi::command::SYSTEM_UID;
use tern_abi::day::{DayRecord, DayState, DayStep};
use tern_abi::segment::{Scope, ScopeKind, TradingState};
use tern_config::protocol::DayEntryFact;
use tern_journal::recovered::last_start;
use tern_journal::{DayEntry, DayLog, JournalError};

pub(crate) use self::steps::{look, step};
use crate::clock;
use crate::shared::Shared;

/// What the journal says of the day, and that one step is taken at a time.
#[derive(Default)]
pub(crate) struct Leading {
    log: Mutex<DayLog>,
    stepping: Mutex<()>,
    /// What a daemon of before saw the run begin with, once it was looked for.
    found: Mutex<Option<Run>>,
}

/// `seq` and text of a run's start record.
type Run = (u64, Arc<str>);

impl Leading {
    /// The journal says something new.
    pub(crate) fn show(&self, log: &DayLog) {
        lock(&self.log).clone_from(log);
    }

    /// Held while a step is taken, and by whoever lifts a restriction of the whole firm: a step that is under way is not undone.
    pub(crate) fn one_at_a_time(&self) -> Option<MutexGuard<'_, ()>> {
        match self.stepping.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What the last run began with. It is in the log once it passed by; of a run that was adopted the journal is read, and once: that may
    /// be gigabytes, and whoever may look at the day may do so often.
    fn run(&self, log: &DayLog, journal: &Path) -> Result<Option<Run>, JournalError> {
        let mut found = lock(&self.found);
        if log.run.is_none() && found.is_none() {
            *found = last_start(journal)?.map(|(header, text)| (header.seq, text.into()));
        }
        Ok(log.run.clone().or_else(|| found.clone()))
    }

    /// What it said last.
    pub(crate) fn log(&self) -> DayLog {
        lock(&self.log).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The scope of the whole firm as the day restricts it.
fn firm(state: TradingState, changes: u16) -> Scope {
    Scope { kind: ScopeKind::Firm, key: 0, state, uid: SYSTEM_UID, since_ns: clock::tai_ns(), changes }
}

/// Restricts the firm to what the day's state lets leave at most; what is restricted further stays so, and what a user restricted
/// stays his to lift.
pub(crate) fn hold(shared: &Shared<'_>, most: TradingState) {
    let scopes = &shared.segment.words().scopes;
    let now = scopes.find(ScopeKind::Firm, 0).map_or(TradingState::Running, |scope| scope.state);
    if !shared.config.day.managed || now as u8 >= most as u8 {
        return;
    }
    match scopes.restrict_beside(&firm(most, 0)) {
        Ok(()) => tracing::warn!(state = most.name(), "the trading day restricts the firm"),
        // No place is left for the whole firm: then nothing may leave at all.
        Err(_) => shared.halt(tern_abi::segment::KillCause::Unknown, "no place for the scope of the trading day"),
    }
}

/// As far as the day lets the whole firm run, where it is led.
pub(crate) fn most(shared: &Shared<'_>) -> TradingState {
    if !shared.config.day.managed {
        return TradingState::Running;
    }
    let log = shared.day.log();
    // What was armed yesterday is not armed today, also before the start record of today's run is here.
    let is_today = log.day == Some(shared.config.trading_day(crate::drain::day::utc_s()));
    if is_today { log.state.most() } else { DayState::New.most() }
}

/// What leaves by the day: what it lets leave at most, and no more than it let as yet. An arming whose record came late has let nothing
/// leave.
fn lets(shared: &Shared<'_>) -> TradingState {
    let most = most(shared);
    let held = shared.segment.words().scopes.find(ScopeKind::Firm, 0).filter(|scope| scope.uid == SYSTEM_UID);
    held.map(|scope| scope.state).filter(|state| *state as u8 > most as u8).unwrap_or(most)
}

/// Why limits may not be loosened now, if they may not.
pub(crate) fn frozen(shared: &Shared<'_>) -> Option<String> {
    let until_s = shared.config.frozen_until(crate::drain::day::utc_s())?;
    let lifted = shared.day.log().counting(DayStep::Unfrozen, "", clock::tai_ns()).is_some();
    let left_s = until_s.saturating_sub(crate::drain::day::utc_s());
    (!lifted).then(|| {
        format!(
            "refused: nothing is loosened in the {} minutes before session.orders_from, which is in {left_s} s; tightening and kills \
             are taken; a risk officer can lift the freeze: `tern day unfreeze --minutes N --why TEXT`; nothing was changed",
            shared.config.day.freeze_minutes
        )
    })
}

fn fact(entry: &DayEntry) -> DayEntryFact {
    DayEntryFact {
        seq: entry.seq,
        tai_ns: entry.tai_ns,
        step: entry.step.name().into(),
        uid: entry.uid,
        until_ns: entry.until_ns,
        text: entry.text.clone(),
    }
}

/// A record of a step of the day that runs.
fn record(step: DayStep, day: u32, uid: u32, until_ns: u64, text: &str) -> DayRecord {
    DayRecord::new(step, day, uid, until_ns, text)
}
