//! What keeps an instance from trading, or from being whole: for each thing one sentence that says what, since when, and
//! what to do.

use tern_abi::counters::LoopCounter;
use tern_abi::segment::{CONNS, DISTRUSTED, KillCause, STREAMS, SessionFault, SessionState, TRUSTED, Words};
use tern_config::facts::{DaemonFacts, Names, name_at};

use crate::halt::{By, Halt, since};
use crate::table::grouped;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// One sentence each, the most damning first.
    pub(crate) problems: Vec<String>,
    /// What keeps orders from leaving; the first, where there are several.
    pub(crate) halt: Option<Halt>,
}

impl Findings {
    /// Something that keeps orders from leaving.
    pub(crate) fn stop(&mut self, halt: Halt, sentence: String) {
        self.halt.get_or_insert(halt);
        self.problems.push(sentence);
    }

    /// The kill word and the loop's own halts.
    pub(crate) fn trading(&mut self, words: &Words, facts: &DaemonFacts, names: &Names) {
        if let Some(mut halt) = Halt::of(words, words.kill.state(), &names.halts) {
            if halt.reason == KillCause::JournalTrouble.name() {
                halt.detail.clone_from(&facts.journal.trouble);
            }
            let sentence = format!("trading is stopped: {}; {}", halt.text(), halt_advice(&halt.reason, facts));
            self.stop(halt, sentence);
        }
    }

    /// Order sessions that are not ready.
    pub(crate) fn sessions(&mut self, words: &Words) {
        for conn in 0..CONNS {
            let (state, state_since) = words.sessions.get(conn);
            let (fault, fault_since) = words.session_faults.get(conn);
            let state = SessionState::from_index(state as usize).unwrap_or(SessionState::Absent);
            if matches!(state, SessionState::Absent | SessionState::Ready) {
                continue;
            }
            let fault = SessionFault::from_index(fault as usize).unwrap_or(SessionFault::None);
            let (reason, by, since_ns) = match fault {
                SessionFault::None => ("session_not_ready", By::Venue, state_since),
                _ => (fault.name(), by_of(fault), fault_since),
            };
            let what = match fault {
                SessionFault::None => format!("order session {conn} is {}, no order can leave", state.name()),
                _ => {
                    format!("order session {conn} is {}: {} {}", state.name(), fault.name(), in_brackets(fault.help()))
                }
            };
            let failed = words.counters.get(LoopCounter::TcpConnectFailures);
            let attempts = match is_connect(fault) {
                true => format!(", {} attempts to connect failed so far", grouped(failed)),
                false => String::new(),
            };
            let since_ns = Some(since_ns).filter(|ns| *ns != 0);
            let detail = fault.help().trim_end_matches('.').to_owned();
            let kills = words.kill.state().kills();
            let halt = Halt { reason: reason.into(), by, since_ns, kills, detail };
            let sentence = format!("{what}{}{attempts}; {}", since(since_ns), session_advice(fault));
            self.stop(halt, sentence);
        }
    }

    /// Orders that the venue does not answer.
    pub(crate) fn unanswered(&mut self, words: &Words) {
        let orders = words.counters.get(LoopCounter::OrdersUnanswered);
        if orders > 0 {
            self.problems.push(format!(
                "{} open orders are not answered by the venue within session.ack_timeout_ms: they count as open and are cancelled; see `tern orders`, ask the venue",
                grouped(orders)
            ));
        }
    }

    /// Streams that are not trusted: a halt when none is.
    pub(crate) fn streams(&mut self, words: &Words, names: &Names) {
        let known = || (0..STREAMS).map(|stream| (stream, words.trust.get(stream))).filter(|(_, (code, _))| *code != 0);
        let any_trusted = known().any(|(_, (code, _))| code == TRUSTED);
        for (stream, (code, since_ns)) in known().filter(|(_, (code, _))| *code >= DISTRUSTED) {
            let index = (code - DISTRUSTED) as usize;
            let reason = name_at(&names.distrusts, index);
            let help = names.distrusts.get(index).map_or("", |named| named.help.as_str());
            let since_ns = Some(since_ns).filter(|ns| *ns != 0);
            let sentence = format!(
                "{}stream {stream} is not trusted: {reason} {}{}; no order leaves on its books; {}",
                if any_trusted { "" } else { "no stream is trusted, " },
                in_brackets(help),
                since(since_ns),
                trust_advice(&reason)
            );
            if any_trusted {
                self.problems.push(sentence);
            } else {
                let halt = Halt {
                    reason: "no_trusted_stream".into(),
                    by: By::Feed,
                    since_ns,
                    kills: words.kill.state().kills(),
                    detail: reason,
                };
                self.stop(halt, sentence);
            }
        }
    }
}

/// A sentence of a help text inside another sentence.
fn in_brackets(help: &str) -> String {
    if help.is_empty() { String::new() } else { format!("({})", help.trim_end_matches('.')) }
}

const fn is_connect(fault: SessionFault) -> bool {
    matches!(
        fault,
        SessionFault::ConnectUnreachable
            | SessionFault::ConnectRefused
            | SessionFault::ConnectUnanswered
            | SessionFault::ConnectLocal
    )
}

const fn by_of(fault: SessionFault) -> By {
    match fault {
        SessionFault::ConnectUnreachable | SessionFault::ConnectUnanswered | SessionFault::TimedOut => By::Network,
        SessionFault::ConnectLocal
        | SessionFault::ControlOverflow
        | SessionFault::Killed
        | SessionFault::LogUnlike
        | SessionFault::None => By::DataPlane,
        _ => By::Venue,
    }
}

/// What to do when the loop is halted.
fn halt_advice(reason: &str, facts: &DaemonFacts) -> String {
    let resume = "then `tern resume`";
    match reason {
        "operator_kill" | "killed" => format!("find out why, {resume}"),
        "heartbeat_loss" => {
            format!("find out what kept the loop from turning (its core, its memory, a debugger), {resume}")
        }
        "journal_trouble" if facts.journal.trouble.is_empty() => {
            "the journal takes records again: `tern resume`".into()
        }
        // No disk is to blame, and nothing that runs on can mend it.
        "journal_trouble" if facts.journal.trouble.starts_with("ring is corrupt") => format!(
            "something wrote over the shared segment: stop ternd, move the segment file aside, find out what did it, start anew; \
             docs/RECOVERY.md says what is compared, {resume}"
        ),
        "journal_trouble" => format!("mend the journal's disk, {resume}"),
        "ring_full" => format!("bring the drain back (is ternd running, is the journal's disk full?), {resume}"),
        "audit_lost" => format!("audit.log says why it ended; mend that, restart ternd, {resume}"),
        "forbidden_call" => format!(
            "dataplane.log names the system call; keep the log, the journal and the program's file, find out who asked for it (a strategy, a \
             library, an intruder), {resume}"
        ),
        "allotment" => format!("`tern firm show` says what it may have, `tern risk set` tightens, {resume}"),
        "drop_copy" => format!("compare with the venue what drop_copy.jsonl in paths.run names, {resume}"),
        "daily_loss" | "drawdown" => format!(
            "see `tern positions`; close what has to be closed at the venue, raise limits.{reason}_max (`tern risk set`) if that is right, {resume}"
        ),
        "log_changed" => format!("compare orders and positions with the venue, {resume}"),
        "no_answer" => format!(
            "`tern orders` marks what was not answered, and it counts as open; ask the venue; a new connection reads its log, {resume}"
        ),
        "overfill" | "over_accepted" | "unknown_execution" => {
            format!("compare with the venue before anything else, {resume}")
        }
        "order_table_full" | "unknown_order" => format!("cancel at the venue and raise the capacity, {resume}"),
        "daemon_silent" => {
            "see what ternd and its disk are doing, or start it; it goes on by itself once ternd beats".into()
        }
        "daemon_lost" => format!("start ternd, see what kept it, look at the positions, {resume}"),
        "reconciling" => "it goes on by itself once the order session has told the venue's log".into(),
        "reconcile_mismatch" => {
            "`tern recover` says what differs; ask the venue, then `tern recover --accept N`".into()
        }
        "restarted" => format!("see `tern recover`, `tern positions` and the books, {resume}"),
        "shutdown" => "the run is ending".into(),
        _ => format!("docs/OPERATIONS.md says what it means, {resume}"),
    }
}

/// What to do about a session.
const fn session_advice(fault: SessionFault) -> &'static str {
    match fault {
        SessionFault::None => "it connects and logs in by itself",
        SessionFault::ConnectUnreachable => {
            "check the cable, the VLAN, session.address, port.address and port.gateway; it is tried again by itself"
        }
        SessionFault::ConnectRefused => {
            "ask the venue whether its gateway is open, and check session.address; it is tried again by itself"
        }
        SessionFault::ConnectUnanswered => {
            "check routes and firewalls up to session.address; it is tried again by itself"
        }
        SessionFault::ConnectLocal => {
            "check port.address: the host needs it for a kernel socket; it is tried again by itself"
        }
        SessionFault::LoginRejected => {
            "check session.user and session.password, and that nobody else is logged in with them; it is tried again by itself"
        }
        SessionFault::EndOfSession => {
            "the venue's day is over, or it begins another session: it logs in to that by itself"
        }
        SessionFault::BadPacket | SessionFault::ControlOverflow => {
            "`tern counters` says what was wrong; ask the venue; it is tried again by itself"
        }
        SessionFault::LogUnlike => {
            "compare orders and positions with the venue; a new run (restart the data plane) reads its log from the start"
        }
        SessionFault::Closed
        | SessionFault::Reset
        | SessionFault::TimedOut
        | SessionFault::Silence
        | SessionFault::Killed => "it connects again by itself; if it does not stay, ask the venue",
    }
}

/// What to do about a stream.
fn trust_advice(reason: &str) -> &'static str {
    match reason {
        "never_started" => {
            "nothing of it has come: check feed.group, feed.port and the switch, `tern counters` says where packets go"
        }
        "silent" => {
            "check the venue's feed and the switch; it is trusted again with the next datagram if nothing is missing"
        }
        "end_of_session" => "the venue has ended its session; the next one is heard by a new run",
        _ => "it is trusted again in a run that hears a session from its first message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_somebody_and_something_to_do() {
        for fault in SessionFault::ALL {
            assert!(!session_advice(*fault).is_empty() && !by_of(*fault).name().is_empty());
            assert!(!session_advice(*fault).ends_with('.'), "a clause of a sentence: {}", fault.name());
        }
    }
}
