//! The steps of the day: what each needs, what it does, and what of it is journaled.

use std::time::{Duration, Instant};

use tern_abi::command::{CommandKind, SYSTEM_UID};
use tern_abi::counters::LoopCounter;
use tern_abi::day::{DayState, DayStep};
use tern_abi::segment::{Scope, ScopeKind, TradingState};
use tern_config::protocol::{Answer, DayAnswer, DayCheck, StepDay};
use tern_config::{Config, Confirmed, Date};
use tern_journal::recovered::{last_day_begins, recovered};
use tern_journal::{DayLog, sha256_of};

use super::{checks, firm, hold, record};
use crate::clock;
use crate::journal::try_keep_seal;
use crate::limits::check_why;
use crate::roles::Role;
use crate::server::may;
use crate::shared::Shared;

/// How often a waiting step looks.
const LOOK: Duration = Duration::from_millis(2);
/// How long the loop and the drain may take until the journal has a step, and the disk a sealed one.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(3);
/// How long the venue may take to cancel what is open, and the second opinion to read up to the end.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
/// The last so many steps fit an answer.
const ENTRIES_TOLD: usize = 100;
/// A waiver or a lifted freeze counts no longer than this, ns.
const UNTIL_NS_MAX: u64 = 24 * 3_600_000_000_000;

/// Why a step is not done.
#[derive(Default)]
struct Refused {
    why: Vec<String>,
    open_orders: u64,
    /// Its record was handed to the loop and is not in the journal yet: it counts as soon as it is there.
    is_under_way: bool,
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self { why: vec![why], ..Self::default() }
    }
}

/// A step that somebody wants.
struct Wanted<'a> {
    step: &'a StepDay,
    uid: u32,
    why: &'a str,
    /// The day that runs.
    day: u32,
}

/// How far the day is, and what is found.
pub(crate) fn look(shared: &Shared<'_>) -> Answer {
    Answer::Day(Box::new(answer(shared, Ok(()))))
}

/// Takes a step, or says what it lacks.
pub(crate) fn step(shared: &Shared<'_>, uid: u32, step: &StepDay, why: &str) -> Answer {
    if let Err(wrong) = check_why(why) {
        return Answer::Error(wrong);
    }
    let role = match step {
        StepDay::Waive { .. } | StepDay::Unfreeze { .. } => Role::RiskOfficer,
        _ => Role::Operator,
    };
    // Where one person may not resume alone, one may not arm alone.
    let confirmed = matches!(step, StepDay::Arm).then_some((Confirmed::Resume, "arm the day"));
    if let Some(refused) = may(shared, uid, (CommandKind::Day, role), confirmed) {
        return refused;
    }
    let _one_at_a_time = super::lock(&shared.day.stepping);
    let Some(day) = shared.day.log().day.filter(|_| shared.facts().dataplane_pid != 0) else {
        let why = "no data plane runs that could take the step into the journal: start it (`tern status` says why it is down)";
        return Answer::Day(Box::new(answer(shared, Err(why.to_owned().into()))));
    };
    tracing::warn!(uid, step = name(step), why, "a step of the trading day");
    let wanted = Wanted { step, uid, why, day };
    let outcome = match (step, shared.config.day.managed) {
        (StepDay::Unfreeze { .. }, _) | (_, true) => take(shared, &wanted),
        _ => Err("the trading day is not led here: set day.managed = true in the configuration and restart ternd"
            .to_owned()
            .into()),
    };
    if let Err(refused) = &outcome
        && !refused.is_under_way
    {
        // What is refused is journaled where it can be; that it could not be takes nothing from the refusal.
        let text = format!("{}: {}", name(step), refused.why.join("; "));
        let _ = shared.send_day(&record(DayStep::Refused, day, uid, 0, &text));
    }
    Answer::Day(Box::new(answer(shared, outcome)))
}

const fn name(step: &StepDay) -> &'static str {
    match step {
        StepDay::Prepare => "prepare",
        StepDay::Ready => "ready",
        StepDay::Arm => "arm",
        StepDay::WindDown => "wind-down",
        StepDay::Close => "close",
        StepDay::Reconcile { .. } => "reconcile",
        StepDay::Seal => "seal",
        StepDay::Waive { .. } => "waive",
        StepDay::Unfreeze { .. } => "unfreeze",
    }
}

fn answer(shared: &Shared<'_>, outcome: Result<(), Refused>) -> DayAnswer {
    let log = shared.day.log();
    let (done, refused) = match outcome {
        Ok(()) => (true, Refused::default()),
        Err(refused) => (false, refused),
    };
    DayAnswer {
        done,
        refused: refused.why,
        open_orders: refused.open_orders,
        managed: shared.config.day.managed,
        state: log.state.name().into(),
        day: log.day,
        most: super::lets(shared).name().into(),
        seal: shared.facts().journal.seal.filter(|_| log.state == DayState::Sealed),
        entries: log.entries.iter().skip(log.entries.len().saturating_sub(ENTRIES_TOLD)).map(super::fact).collect(),
        checks: checks::all(shared, &log),
    }
}

fn take(shared: &Shared<'_>, wanted: &Wanted<'_>) -> Result<(), Refused> {
    use DayState::{Armed, Closed, New, Prepared, Ready, Reconciled, Sealed, WindDown};
    let log = shared.day.log();
    let from = |states: &[DayState]| match states.contains(&log.state) {
        true => Ok(()),
        false => Err(Refused::from(format!("the day is {}: {}", log.state.name(), next(log.state)))),
    };
    match wanted.step {
        StepDay::Prepare => {
            from(&[New, Prepared, Ready, Closed])?;
            green(shared, &log, &checks::OF_PREPARE)?;
            note_files(shared, wanted)?;
            journal(shared, wanted, DayStep::Prepared, wanted.why)
        }
        StepDay::Ready => {
            from(&[Prepared, Ready])?;
            green(shared, &log, &[])?;
            journal(shared, wanted, DayStep::Ready, wanted.why)
        }
        StepDay::Arm => {
            from(&[Ready, Armed, WindDown])?;
            let seen = not_restricted_by_a_user(shared)?;
            green(shared, &log, &[])?;
            journal(shared, wanted, DayStep::Armed, wanted.why)?;
            let_run(shared, seen)
        }
        StepDay::WindDown => {
            from(&[Armed, WindDown])?;
            hold(shared, TradingState::ReduceOnly);
            heeded(shared)?;
            journal(shared, wanted, DayStep::WindDown, wanted.why)
        }
        StepDay::Close => {
            from(&[New, Prepared, Ready, WindDown, Closed])?;
            close(shared)?;
            journal(shared, wanted, DayStep::Closed, wanted.why)
        }
        StepDay::Reconcile { rolled } => {
            from(&[Closed, Reconciled])?;
            agree(shared, &log)?;
            if let Some((file, hash)) = rolled {
                note(shared, wanted, &format!("rolled sha256={hash} {file}"))?;
            }
            journal(shared, wanted, DayStep::Reconciled, wanted.why)
        }
        StepDay::Seal => {
            from(&[Reconciled, Sealed])?;
            if log.state == Reconciled {
                journal(shared, wanted, DayStep::Sealed, wanted.why)?;
            }
            seal(shared)
        }
        StepDay::Waive { check, until_ns } => {
            let known = checks::all(shared, &log);
            match known.iter().find(|known| known.name == *check) {
                None => Err(format!("no check is called `{check}`; `tern day status` lists them").into()),
                Some(known) if !known.waivable => Err(format!("{check} cannot be waived: {}", known.todo).into()),
                Some(_) => until(shared, wanted, DayStep::Waived, *until_ns, &format!("{check} {}", wanted.why)),
            }
        }
        StepDay::Unfreeze { until_ns } => until(shared, wanted, DayStep::Unfrozen, *until_ns, wanted.why),
    }
}

/// What can be done in a state, for whoever wanted something else.
const fn next(state: DayState) -> &'static str {
    match state {
        DayState::New => "next is `tern day prepare`",
        DayState::Prepared => "next is `tern day ready`",
        DayState::Ready => "next is `tern day arm`",
        DayState::Armed => "next is `tern day wind-down`",
        DayState::WindDown => "next is `tern day close`",
        DayState::Closed => "next is `tern day reconcile`",
        DayState::Reconciled => "next is `tern day seal`",
        DayState::Sealed => "it is over; restart ternd for the next day",
    }
}

/// Whether the checks `of` (all, if none is named) are green or waived.
fn green(shared: &Shared<'_>, log: &DayLog, of: &[&str]) -> Result<(), Refused> {
    let is_asked = |check: &DayCheck| of.is_empty() || of.contains(&check.name.as_str());
    let red: Vec<String> = checks::all(shared, log)
        .iter()
        .filter(|check| check.stops() && is_asked(check))
        .map(|check| format!("{}: {}; {}", check.name, check.found, check.todo))
        .collect();
    if red.is_empty() { Ok(()) } else { Err(Refused { why: red, ..Refused::default() }) }
}

/// Which files the day begins with.
fn note_files(shared: &Shared<'_>, wanted: &Wanted<'_>) -> Result<(), Refused> {
    let config = Config::load(shared.config.file()).map_err(|problems| Refused::from(problems.to_string()))?;
    for (what, file) in config.files() {
        let hash = sha256_of(&file).map_err(|error| Refused::from(format!("{}: {error}", file.display())))?;
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        note(shared, wanted, &format!("{what} sha256={hash} {name}"))?;
    }
    Ok(())
}

fn note(shared: &Shared<'_>, wanted: &Wanted<'_>, text: &str) -> Result<(), Refused> {
    journal(shared, wanted, DayStep::Fact, text)
}

fn until(shared: &Shared<'_>, wanted: &Wanted<'_>, step: DayStep, until_ns: u64, text: &str) -> Result<(), Refused> {
    let now_ns = clock::tai_ns();
    if until_ns <= now_ns || until_ns - now_ns > UNTIL_NS_MAX {
        return Err("until when? a time from now on, at most 24 hours".to_owned().into());
    }
    send(shared, wanted, step, until_ns, text)
}

fn journal(shared: &Shared<'_>, wanted: &Wanted<'_>, step: DayStep, text: &str) -> Result<(), Refused> {
    send(shared, wanted, step, 0, text)
}

/// Has the loop record it, and waits until the journal has it. Where the journal cannot be written nothing is handed over: a step
/// that was refused must not count once the disk is mended. One that meets the trouble on its way is under way, and is called so.
fn send(shared: &Shared<'_>, wanted: &Wanted<'_>, step: DayStep, until_ns: u64, text: &str) -> Result<(), Refused> {
    let trouble = shared.facts().journal.trouble;
    if !trouble.is_empty() {
        let restricted = match step {
            DayStep::WindDown | DayStep::Closed => "; what it restricts is in force already",
            _ => "; nothing was changed",
        };
        return Err(format!("the journal cannot be written ({trouble}): mend that, then ask again{restricted}").into());
    }
    let before = shared.day.log().entries.last().map_or(0, |entry| entry.seq);
    let full = || Refused::from("the command ring is full: the data plane takes no commands".to_owned());
    shared.send_day(&record(step, wanted.day, wanted.uid, until_ns, text)).map_err(|_| full())?;
    let is_there = || {
        let log = shared.day.log();
        log.entries.iter().rev().take_while(|entry| entry.seq > before).any(|entry| entry.step == step)
    };
    match wait(JOURNAL_PATIENCE, is_there) {
        true => Ok(()),
        false => Err(Refused { is_under_way: true, ..Refused::from(under_way(step)) }),
    }
}

/// What becomes of a step whose record the journal does not have yet.
fn under_way(step: DayStep) -> String {
    let then = match step {
        DayStep::Armed => ", but no order leaves by it: `tern day arm` again lets the firm run",
        _ => "",
    };
    format!(
        "not refused, but not done: the journal does not have the step `{}` yet, and it counts as soon as it has{then}; see \
         `tern day status`",
        step.name()
    )
}

fn wait(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

/// The scope of the whole firm as it stands, restricted by nobody but the day: what a user restricted is his to lift, whatever was
/// waived.
fn not_restricted_by_a_user(shared: &Shared<'_>) -> Result<Option<Scope>, Refused> {
    let restricted = |found: &Scope| found.state != TradingState::Running;
    let found = shared.segment.words().scopes.find(ScopeKind::Firm, 0).filter(restricted);
    match found.filter(|found| found.uid != SYSTEM_UID) {
        None => Ok(found),
        Some(users) => Err(Refused::from(format!(
            "uid {} restricted the whole firm ({}); lift that first: `tern resume --scope firm`",
            users.uid,
            users.state.name()
        ))),
    }
}

/// Lets the whole firm run, if nothing restricted it since it was `seen`, and if the journal says that it is armed today.
fn let_run(shared: &Shared<'_>, seen: Option<Scope>) -> Result<(), Refused> {
    if super::most(shared) != TradingState::Running {
        return Err("another day began meanwhile: look (`tern day status`), then ask again".to_owned().into());
    }
    let Some(seen) = seen else { return Ok(()) };
    let loosened = shared.segment.words().scopes.loosen(&firm(TradingState::Running, seen.changes));
    loosened.map_err(|_| {
        Refused::from("somebody restricted the whole firm just now: look (`tern status`), then ask again".to_owned())
    })?;
    heeded(shared)
}

/// The loop acts by the scopes as they are.
fn heeded(shared: &Shared<'_>) -> Result<(), Refused> {
    let words = shared.segment.words();
    let version = words.scopes.version();
    match wait(SETTLE_PATIENCE, || words.scopes_seen.get() >= version) {
        true => Ok(()),
        false => Err("the data plane has not looked at it yet: `tern status` says what it is doing; ask again"
            .to_owned()
            .into()),
    }
}

/// Cancels what is open, and waits for the venue.
fn close(shared: &Shared<'_>) -> Result<(), Refused> {
    let words = shared.segment.words();
    hold(shared, TradingState::Halted);
    heeded(shared)?;
    let open = || words.counters.get(LoopCounter::OpenOrders);
    let is_known = || {
        (0..tern_abi::segment::CONNS).all(|conn| {
            use tern_abi::segment::SessionState::{Absent, Ready};
            let state = tern_abi::segment::SessionState::from_index(words.sessions.get(conn).0 as usize);
            state.is_some_and(|state| matches!(state, Absent | Ready))
        })
    };
    if wait(SETTLE_PATIENCE, || open() == 0 && is_known()) {
        return Ok(());
    }
    let open_orders = open();
    let why = match open_orders {
        0 => "the order session is not up: what is open at the venue is not known; `tern status` says why".to_owned(),
        some => format!(
            "{some} orders are open or not answered; `tern orders` lists them, `tern kill` cancels whatever holds them"
        ),
    };
    Err(Refused { open_orders, ..Refused::from(why) })
}

/// Whether the journal, the venue's log and the second opinion agree.
fn agree(shared: &Shared<'_>, log: &DayLog) -> Result<(), Refused> {
    let folder = &shared.config.paths.journal;
    let read = last_day_begins(folder).and_then(|begins| recovered(folder, begins..=u64::MAX));
    let (day, _) = read.map_err(|error| Refused::from(error.to_string()))?;
    let mut why = Vec::new();
    let open_orders = day.orders().filter(|(_, order)| order.open).count() as u64;
    if open_orders > 0 {
        why.push(format!("{open_orders} orders are open in the journal: `tern orders` lists them"));
    }
    match (day.unreconciled, day.differences_stopping) {
        (false, _) => {}
        (true, 0) => why.push("the last run has not compared the venue's log with the journal".into()),
        (true, found) => {
            why.push(format!("{found} differences from the venue's log are not accepted (`tern recover`)"))
        }
    }
    if day.unreadable > 0 {
        why.push(format!("{} records of the day cannot be read", day.unreadable));
    }
    // The second opinion has to have read as far as this did.
    if shared.facts().audit.is_some() {
        wait(SETTLE_PATIENCE, || checks::audit_facts(shared).last_seq >= day.last_seq);
        if checks::audit_facts(shared).last_seq < day.last_seq {
            why.push(format!("the second opinion has not read up to record {} yet", day.last_seq));
        }
    }
    if let Err(red) = green(shared, log, &["audit", "drop_copy", "journal"]) {
        why.extend(red.why);
    }
    if why.is_empty() { Ok(()) } else { Err(Refused { why, open_orders, ..Refused::default() }) }
}

/// Seals the journal, once the disk has the record that says so.
fn seal(shared: &Shared<'_>) -> Result<(), Refused> {
    let log = shared.day.log();
    let sealed_seq = log.entries.iter().rev().find(|entry| entry.step == DayStep::Sealed).map_or(0, |entry| entry.seq);
    let words = shared.segment.words();
    wait(JOURNAL_PATIENCE, || words.durable_seq.get() >= sealed_seq);
    let folder = &shared.config.paths.journal;
    let again = |why: String| Refused::from(format!("{why}; the day is over, `tern day seal` again writes its seal"));
    let seal = tern_journal::seal(folder).map_err(|error| again(error.to_string()))?;
    let Some(seal) = seal.filter(|seal| seal.head.last_seq >= sealed_seq) else {
        return Err(again(format!("the disk has not everything up to record {sealed_seq} yet (journal.fsync)")));
    };
    let path = try_keep_seal(folder, Ok(Some(seal))).map_err(|error| again(error.to_string()))?;
    shared.update(|facts| facts.journal.seal = path);
    tracing::warn!(day = %Date { days: log.day.unwrap_or(0) }, "the trading day is over and sealed");
    Ok(())
}
