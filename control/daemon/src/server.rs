//! The control socket: line-delimited JSON, a thread a client, each command journaled by the loop with the client's uid.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use tern_abi::command::{CommandKind, SYSTEM_UID};
use tern_abi::segment::{KillCause, Scope, ScopeKind, TradingState};
use tern_config::facts::name_at;
use tern_config::ledger::Move;
use tern_config::protocol::{Answer, Ask, LINE_BYTES_MAX, PROTOCOL_VERSION, Request, Response, version_of};
use tern_config::{Confirmed, Paths};

use crate::DaemonError;
use crate::bounds;
use crate::clock;
use crate::day;
use crate::firm;
use crate::limits::{self, Wanted};
use crate::roles::{self, Role};
use crate::shared::Shared;

/// Clients at once; more are told so and sent away.
const CLIENTS_MAX: usize = 32;
/// How often a waiting thread looks whether the daemon stops.
const LOOK: Duration = Duration::from_millis(50);
/// How long a client may take to send a line or to take an answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer waits for the loop to take a command.
const COMMAND_PATIENCE: Duration = Duration::from_millis(1000);

pub(crate) fn listen(paths: &Paths) -> Result<UnixListener, DaemonError> {
    let path = paths.control_socket();
    let bound = UnixListener::bind(&path).and_then(|listener| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(DaemonError::io(format!("listening on {}", path.display())))
}

/// Until the daemon stops serving.
pub(crate) fn serve(listener: &UnixListener, shared: &Shared<'_>) {
    let clients = &AtomicUsize::new(0);
    thread::scope(|scope| {
        while shared.serving() {
            match listener.accept() {
                Ok((stream, _)) if clients.load(Ordering::Relaxed) < CLIENTS_MAX => {
                    clients.fetch_add(1, Ordering::Relaxed);
                    scope.spawn(move || {
                        if let Err(error) = converse(stream, shared) {
                            tracing::debug!("client: {error}");
                        }
                        clients.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                Ok((mut stream, _)) => {
                    let full = Answer::Error(format!("{CLIENTS_MAX} clients are connected already"));
                    let _ = write_answer(&mut stream, full);
                }
                Err(_) => thread::sleep(LOOK),
            }
        }
    });
}

fn converse(mut stream: UnixStream, shared: &Shared<'_>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
    let uid = getsockopt(&stream, PeerCredentials).map_err(io::Error::from)?.uid();
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let Some(line) = read_line(&mut reader, shared)? else { return Ok(()) };
        // The version first: what another version asks for may not even be a request of this one.
        let answer = match (version_of(&line), serde_json::from_slice::<Request>(&line)) {
            (Some(version), _) if version != PROTOCOL_VERSION => Answer::Error(format!(
                "this ternd speaks protocol version {PROTOCOL_VERSION}, the client {version}; use the tern of the same release"
            )),
            (_, Err(error)) => Answer::Error(format!("not a request of protocol version {PROTOCOL_VERSION}: {error}")),
            (_, Ok(request)) => answer(&request.ask, uid, shared),
        };
        write_answer(&mut stream, answer)?;
    }
}

/// One line without its end; `None` at the end of the stream, of the client's time, or of the daemon.
fn read_line(reader: &mut BufReader<UnixStream>, shared: &Shared<'_>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut waited = Duration::ZERO;
    loop {
        let room = (LINE_BYTES_MAX + 1 - line.len()) as u64;
        match reader.by_ref().take(room).read_until(b'\n', &mut line) {
            Ok(0) => return Ok(None),
            Ok(_) if line.last() == Some(&b'\n') => return Ok(Some(line)),
            Ok(_) if line.len() > LINE_BYTES_MAX => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line longer than any request"));
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                waited += LOOK;
                // Between two requests a client may wait as long as it likes; within one it may not.
                if !shared.serving() || (!line.is_empty() && waited >= CLIENT_PATIENCE) {
                    return Ok(None);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_answer(stream: &mut UnixStream, answer: Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Response { version: PROTOCOL_VERSION, answer })?;
    line.push(b'\n');
    stream.write_all(&line)
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
    match scopes.loosen(&wanted) {
        Err(Some(found)) if found.changes > changes => Answer::NotLifted { changes: Some(found.changes) },
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
