//! What is answered on the control socket: each command is journaled by the loop with the client's uid. [`crate::clients`] has the
//! connections.

use std::thread;
use std::time::{Duration, Instant};

use tern_abi::command::{CommandKind, SYSTEM_UID};
use tern_abi::segment::{KillCause, Scope, ScopeKind, TradingState};
use tern_config::Confirmed;
use tern_config::facts::name_at;
use tern_config::ledger::Move;
use tern_config::protocol::{Answer, Ask};

use crate::bounds;
use crate::clients::{Host, Tally};
use crate::clock;
use crate::day;
use crate::firm;
use crate::limits::{self, Wanted};
use crate::manual;
use crate::roles::{self, Role};
use crate::shared::Shared;

/// How often a waiting thread looks whether the daemon stops.
const LOOK: Duration = Duration::from_millis(50);
/// How long an answer waits for the loop to take a command.
const COMMAND_PATIENCE: Duration = Duration::from_millis(1000);

/// The daemon, as its clients find it.
impl Host for Shared<'_> {
    fn is_serving(&self) -> bool {
        self.serving()
    }
    fn answer(&self, ask: &Ask, uid: u32) -> Answer {
        answer(ask, uid, self)
    }
    fn tally(&self) -> &Tally {
        &self.tally
    }
    fn turn(&self) {
        manual::let_lapse(self);
    }
}

fn answer(ask: &Ask, uid: u32, shared: &Shared<'_>) -> Answer {
    match *ask {
        Ask::Status | Ask::Journal => {
            shared.refresh(&crate::read_names(shared.config));
            Answer::Status(Box::new(shared.facts()))
        }
        Ask::Counters => {
            shared.refresh(&crate::read_names(shared.config));
            let facts = shared.facts();
            let refused = facts.refused.into_iter().map(|(name, value)| (format!("refused_{name}"), value));
            Answer::Counters(facts.counters.into_iter().chain(refused).chain(facts.steer).collect())
        }
        Ask::Kill => {
            // The word first: it stops a loop that takes no commands any more.
            if !shared.segment.words().kill.state().killed() {
                shared.segment.words().kill.kill(uid, KillCause::Operator, clock::tai_ns());
            }
            tracing::warn!(uid, "kill");
            command(shared, CommandKind::Kill, uid, 0)
        }
        Ask::Resume { kills } => resume(shared, uid, kills),
        Ask::Lift { ref kind, key, changes } => {
            let what = format!("lift {kind} {key} {changes}");
            may(shared, uid, (CommandKind::SetState, Role::Operator), Some((Confirmed::Resume, &what)))
                .unwrap_or_else(|| lift(shared, uid, kind, key, changes))
        }
        Ask::LookAtDay => day::look(shared),
        Ask::StepDay { ref step, ref why } => day::step(shared, uid, step, why),
        Ask::Rescue => rescue(shared, uid),
        Ask::CancelAll => may(shared, uid, (CommandKind::CancelAll, Role::Operator), None)
            .unwrap_or_else(|| command(shared, CommandKind::CancelAll, uid, 0)),
        Ask::AcceptDifferences { seen } => {
            let what = format!("accept {seen}");
            let needs = (CommandKind::AcceptDifferences, Role::RiskOfficer);
            may(shared, uid, needs, Some((Confirmed::Accept, &what))).unwrap_or_else(|| {
                tracing::warn!(uid, seen, "differences accepted");
                command(shared, CommandKind::AcceptDifferences, uid, seen)
            })
        }
        Ask::MoveAllotment { ref limit, ref to, amount, ref why } => {
            let from = shared.config.instance.name.clone();
            let wanted = Move { limit: limit.clone(), from, to: to.clone(), amount, why: why.clone(), uid };
            officer(shared, uid).unwrap_or_else(|| firm::carry_out(shared, uid, Some(wanted), COMMAND_PATIENCE))
        }
        Ask::FinishMove => officer(shared, uid).unwrap_or_else(|| firm::carry_out(shared, uid, None, COMMAND_PATIENCE)),
        Ask::UndoMove => officer(shared, uid).unwrap_or_else(|| firm::undo(shared, uid)),
        Ask::SetLimits { epoch, ref values, ref why } => {
            limits::set(shared, uid, &Wanted { epoch, values, why }, COMMAND_PATIENCE)
        }
        Ask::Manual { ref wish, ref why, dry_run } => manual::ask(shared, uid, (wish, why, dry_run), COMMAND_PATIENCE),
        Ask::Pending => Answer::Pending(shared.pending.facts()),
        Ask::Confirm { id } => manual::confirm(shared, uid, id, COMMAND_PATIENCE),
        Ask::SetBounds { epoch, ref symbol, seen, wanted, ref why } => {
            bounds::set(shared, uid, &bounds::Wanted { epoch, symbol, seen, wanted, why }, COMMAND_PATIENCE)
        }
    }
}

/// Why `uid` may not move allotments.
fn officer(shared: &Shared<'_>, uid: u32) -> Option<Answer> {
    may(shared, uid, (CommandKind::SetLimits, Role::RiskOfficer), None)
}

/// Why `uid` may not have a command that needs a role, or not yet: a second person has to ask for the same, if the configuration
/// says so of it. `None`: it may. A refusal is journaled.
pub(crate) fn may(
    shared: &Shared<'_>,
    uid: u32,
    (kind, role): (CommandKind, Role),
    confirmed: Option<(Confirmed, &str)>,
) -> Option<Answer> {
    let roles = &shared.config.roles;
    if let Err(who) = roles::check(roles, uid, role) {
        tracing::warn!(uid, command = kind.name(), role = role.name(), "refused: not the role");
        // Should the command ring be full, as behind a stuck loop, the line above is all there is of it.
        let _ = shared.send(CommandKind::Refused, uid, kind as u32);
        let message =
            format!("refused: {} needs the role {}, which has: {who}; nothing was changed", kind.name(), role.name());
        return Some(Answer::Role { message });
    }
    let (_, what) = confirmed.filter(|(confirmed, _)| roles.second_person.contains(confirmed))?;
    let within = Duration::from_secs(roles.second_person_s);
    let is_second = shared.second.confirms(what, uid, Instant::now(), within);
    tracing::warn!(uid, what, is_second, "two people");
    (!is_second).then_some(Answer::SecondPerson { within_s: roles.second_person_s })
}

/// The loop clears the kill word when it takes the command, and refuses by itself when somebody killed until then. Here
/// only what is known to be refused is not sent, and what the loop made of it is told.
fn resume(shared: &Shared<'_>, uid: u32, kills_seen: u32) -> Answer {
    let word = &shared.segment.words().kill;
    let since = || Some(word.state().kills()).filter(|kills| *kills != kills_seen);
    if let Some(kills) = since() {
        tracing::warn!(uid, kills_seen, kills, "resume refused: somebody killed since");
        return Answer::KilledSince { kills };
    }
    // Until the order ring is full, orders would leave of which no journal has a record.
    let trouble = shared.facts().journal.trouble;
    if !trouble.is_empty() {
        tracing::warn!(uid, trouble, "resume refused: the journal takes no records");
        return Answer::Error(format!(
            "the journal takes no records: {trouble}; `tern status` says what to do, resume then; nothing was changed"
        ));
    }
    let (_, reason) = shared.segment.words().trading.get();
    let halt = name_at(&crate::read_names(shared.config).halts, reason as usize);
    // A second person confirms what the first one saw: the halt and the kills.
    let what = format!("resume {kills_seen} {halt}");
    if let Some(answer) =
        may(shared, uid, (CommandKind::Resume, Role::to_resume(&halt)), Some((Confirmed::Resume, &what)))
    {
        return answer;
    }
    tracing::warn!(uid, kills_seen, "resume");
    let answer = command(shared, CommandKind::Resume, uid, kills_seen);
    match since() {
        Some(kills) if matches!(answer, Answer::Command { taken: true }) => Answer::KilledSince { kills },
        _ => answer,
    }
}

/// The loop sees by itself that the scope runs again; restricting needs no daemon, lifting does, which knows who asks.
fn lift(shared: &Shared<'_>, uid: u32, kind: &str, key: u64, changes: u16) -> Answer {
    let Some(kind) = ScopeKind::ALL.iter().copied().find(|known| known.name() == kind) else {
        return Answer::Error(format!("no kind of scope is called `{kind}`"));
    };
    // A step of the day restricts first and is journaled then: in between, nothing is lifted.
    let one_at_a_time = if kind == ScopeKind::Firm { shared.day.one_at_a_time() } else { None };
    if kind == ScopeKind::Firm && one_at_a_time.is_none() {
        return Answer::Error("a step of the trading day is being taken: ask again in a moment".into());
    }
    let most = if kind == ScopeKind::Firm { day::most(shared) } else { TradingState::Running };
    tracing::warn!(uid, kind = kind.name(), key, most = most.name(), "lift");
    if most != TradingState::Running {
        return lift_to(shared, most, changes);
    }
    match shared.segment.words().scopes.lift(kind, key, changes, uid, clock::tai_ns()) {
        Ok(()) => Answer::Lifted,
        Err(found) => {
            let restricted = found.filter(|scope| scope.state != TradingState::Running);
            Answer::NotLifted { changes: restricted.map(|scope| scope.changes) }
        }
    }
}

/// The whole firm runs no further than the trading day lets it, and what the day restricts it restricts in its own name.
fn lift_to(shared: &Shared<'_>, most: TradingState, changes: u16) -> Answer {
    let scopes = &shared.segment.words().scopes;
    let (kind, key) = (ScopeKind::Firm, 0);
    let wanted = Scope { kind, key, state: most, uid: SYSTEM_UID, since_ns: clock::tai_ns(), changes };
    let state = shared.day.log().state.name();
    let was_further = scopes.find(kind, key).is_some_and(|scope| scope.state as u8 > most as u8);
    match scopes.loosen(&wanted) {
        Err(Some(found)) if found.changes > changes => Answer::NotLifted { changes: Some(found.changes) },
        Ok(()) if was_further => Answer::Error(format!(
            "loosened, but not lifted: the trading day is {state}, so the whole firm is {} from now on and until an operator arms it",
            most.name()
        )),
        _ => Answer::Error(format!(
            "the trading day is {state}: the whole firm is {} until an operator arms it; `tern day status` says what is next",
            most.name()
        )),
    }
}

/// Has the supervisor cancel what is open, and waits for what comes of it.
fn rescue(shared: &Shared<'_>, uid: u32) -> Answer {
    if !shared.segment.words().kill.state().killed() {
        return Answer::Error(
            "trading is not stopped: `tern kill` asks for this when the loop does not heed it".into(),
        );
    }
    let keeps = shared.config.session.as_ref().is_some_and(|port| !port.capabilities().cancel_on_disconnect);
    if !keeps {
        return Answer::Error("the venue cancels on disconnect, or there is no order port: nothing to do here".into());
    }
    tracing::warn!(uid, "cancel in the place of the loop");
    let before = shared.facts().rescues;
    shared.request_rescue();
    // Ending a data plane and finding that it ended takes moments beside what the venue is given.
    let deadline = Instant::now() + Duration::from_millis(shared.config.daemon.rescue_ms) + COMMAND_PATIENCE;
    while shared.serving() && Instant::now() < deadline {
        let facts = shared.facts();
        if let Some(fact) = facts.rescue.filter(|_| facts.rescues != before) {
            return Answer::Rescued(Box::new(fact));
        }
        thread::sleep(LOOK);
    }
    Answer::Error("nothing was cancelled in time: the loop heeded the kill by itself, or nothing was open".into())
}

fn command(shared: &Shared<'_>, kind: CommandKind, uid: u32, id: u32) -> Answer {
    match shared.send(kind, uid, id) {
        Ok(ticket) => Answer::Command { taken: shared.wait_taken(ticket, COMMAND_PATIENCE) },
        Err(_) => Answer::Error("the command ring is full: the data plane takes no commands".into()),
    }
}
