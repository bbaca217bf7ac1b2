//! The daemon with a data plane that only records and obeys: journaling, supervision, adoption, the control socket.

mod bench;
mod day;
mod disk;
mod firm;
mod limits;
mod manual;
mod rescue;
mod systemd;
mod xdp;

use bench::Bench;
use nix::sys::signal::Signal;
use tern_abi::command::{Command, CommandKind};
use tern_abi::record::Kind;
use tern_abi::segment::{KillCause, Scope, ScopeKind, TradingState};
use tern_journal::{Reader, Seal};
use zerocopy::FromBytes;

/// Every command in the journal.
fn commands_of(bench: &Bench) -> Vec<Command> {
    let mut reader = Reader::open(&bench.config.paths.journal).expect("a journal");
    let mut commands = Vec::new();
    while let Some(record) = reader.next().expect("it is whole") {
        if record.kind() == Some(Kind::Command) {
            commands.push(Command::read_from_bytes(record.body).expect("a whole command"));
        }
    }
    commands
}

#[test]
fn a_clean_stop_seals_the_journal_and_leaves_nothing_running() {
    let mut bench = Bench::new("clean", "", "");
    bench.start();
    bench.until_journaled(200);
    assert!(bench.ask(r#"{"version":7,"ask":"status"}"#).contains("\"status\""));
    let pid = bench.data_plane().expect("a pid file");
    bench.stop();
    assert!(bench.verified().records >= 200);
    let paths = &bench.config.paths;
    for gone in [paths.daemon_pid(), paths.dataplane_pid(), paths.control_socket(), paths.segment.clone()] {
        assert!(!gone.exists(), "{} is left", gone.display());
    }
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the data plane is left");
    let facts = bench.facts();
    assert_eq!((facts.dataplane_pid, facts.restarts), (0, 0));
    assert_eq!(facts.journal.durable_seq, bench.verified().last_seq);
    // The day is sealed, at the very end of the journal, and the seal proves all of it.
    let seal = Seal::read(&facts.journal.seal.expect("a seal")).expect("a seal");
    assert_eq!(
        (seal.head.last_seq, seal.first_seq, seal.records),
        (bench.verified().last_seq, 1, bench.verified().records)
    );
    assert_eq!(facts.journal.head.map(|head| head.chain), Some(tern_journal::hex(&seal.head.chain)));
    let found = tern_journal::verify_with(&bench.config.paths.journal, std::slice::from_ref(&seal)).expect("readable");
    let proven = found.stretches[0].proven_by.clone().expect("proven");
    assert!(proven.contains(&seal.name()) && found.stretches.len() == 1, "{found:?}");
}

/// Whoever runs the tests is of neither group; root is an operator all the same, and no risk officer here.
#[test]
fn without_the_role_a_command_is_refused_and_journaled_and_a_kill_is_not() {
    let roles =
        "[roles]\noperator = \"no-such-group\"\nrisk_officer = \"no-such-group\"\nroot_is_risk_officer = false\n";
    let mut bench = Bench::new("roles", "", roles);
    bench.start();
    bench.until_journaled(50);
    let accepted = bench.ask(r#"{"version":7,"ask":{"accept_differences":{"seen":1}}}"#);
    assert!(accepted.contains("\"role\"") && accepted.contains("needs the role risk officer"), "{accepted}");
    let taken = r#""taken":true"#;
    assert!(bench.ask(r#"{"version":7,"ask":"cancel_all"}"#).contains(taken), "a group that is not there bars nobody");
    assert!(bench.ask(r#"{"version":7,"ask":"kill"}"#).contains(taken), "a kill asks for no role");
    bench.stop();
    let refused: Vec<(u32, u32)> = commands_of(&bench)
        .iter()
        .filter(|command| command.kind == CommandKind::Refused as u32)
        .map(|command| (command.id, command.uid))
        .collect();
    assert_eq!(refused, [(CommandKind::AcceptDifferences as u32, nix::unistd::getuid().as_raw())]);
}

#[test]
fn what_a_second_person_has_to_confirm_waits_for_one() {
    let mut bench = Bench::new("second", "", "[roles]\nsecond_person = [\"resume\"]\n");
    bench.start();
    bench.until_journaled(50);
    assert!(bench.ask(r#"{"version":7,"ask":"kill"}"#).contains(r#""taken":true"#));
    for _ in 0..2 {
        let answer = bench.ask(r#"{"version":7,"ask":{"resume":{"kills":1}}}"#);
        assert!(answer.contains(r#""second_person":{"within_s":120}"#), "the same person twice is one: {answer}");
    }
    assert!(bench.view().segment().expect("a segment").kill.state().killed());
    bench.stop();
}

#[test]
fn a_killed_daemon_loses_nothing_and_the_next_one_adopts() {
    let mut bench = Bench::new("adopt", "", "");
    bench.start();
    bench.until_journaled(100);
    let pid = bench.data_plane().expect("a pid file");
    bench.signal(Signal::SIGKILL);
    let view = bench.view();
    let before = view.segment().expect("a segment").next_seq.get();
    bench.until("records while no daemon runs", || view.segment().expect("a segment").next_seq.get() > before + 100);

    bench.start();
    bench.until_journaled(before + 200);
    bench.until("the daemon's facts", || bench.facts().adopted);
    assert_eq!(bench.facts().dataplane_pid, pid, "the same process, not a second");
    assert!(bench.facts().leftovers.iter().any(|text| text.contains("killed")), "{:?}", bench.facts().leftovers);
    bench.stop();
    let found = bench.verified();
    assert_eq!((found.first_seq, found.missing_at_start), (1, 0));
}

#[test]
fn after_a_kill_of_both_the_next_start_goes_on() {
    let mut bench = Bench::new("both", "", "");
    bench.start();
    bench.until_journaled(100);
    bench.signal(Signal::SIGKILL);
    bench.kill_data_plane(Signal::SIGKILL);
    let view = bench.view();
    bench.until("the data plane's end", || view.data_plane().expect("its lock").is_none());
    let published = view.segment().expect("a segment").next_seq.get();
    bench.start();
    bench.until_journaled(published + 50);
    bench.stop();
    assert!(bench.verified().last_seq > published);
}

#[test]
fn a_data_plane_that_dies_is_started_again_and_one_that_keeps_dying_is_not() {
    let mut bench = Bench::new("budget", "fail", "[daemon]\nrestarts_max = 2\nrestart_pause_ms = 10\n");
    bench.start();
    bench.until("the budget is spent", || bench.facts().gave_up);
    assert_eq!(bench.facts().restarts, 2);
    assert!(bench.log().contains("2 restarts in 60 s are spent"), "{}", bench.log());
    bench.stop();

    let mut bench = Bench::new("usage", "usage", "");
    bench.start();
    bench.until("it is given up at once", || bench.facts().gave_up);
    assert_eq!(bench.facts().restarts, 0);
    bench.stop();
}

#[test]
fn a_killed_data_plane_comes_back_in_the_same_segment() {
    let mut bench = Bench::new("restart", "", "[daemon]\nrestart_pause_ms = 10\n");
    bench.start();
    bench.until_journaled(50);
    let first = bench.data_plane();
    bench.kill_data_plane(Signal::SIGKILL);
    bench.until("another data plane", || bench.data_plane().is_some_and(|pid| Some(pid) != first));
    let published = bench.view().segment().expect("a segment").next_seq.get();
    bench.until_journaled(published + 50);
    bench.until("its facts", || bench.facts().restarts == 1);
    bench.stop();
    bench.verified();
}

#[test]
fn a_stuck_data_plane_is_halted_ended_and_started_again() {
    let more = "[daemon]\nheartbeat_loss_ms = 100\non_heartbeat_loss = \"restart\"\nrestart_pause_ms = 10\nshutdown_ms = 100\n";
    let mut bench = Bench::new("stuck", "stuck", more);
    bench.start();
    bench.until("a loss and a restart", || bench.facts().heartbeat_losses >= 1 && bench.facts().restarts >= 1);
    {
        let view = bench.view();
        let word = &view.segment().expect("a segment").kill;
        assert!(word.state().killed(), "trading stopped");
        assert_eq!(word.note(1).map(|note| note.cause), Some(KillCause::HeartbeatLoss));
    }
    bench.stop();
    assert!(bench.config.paths.segment.exists(), "the kill word outlives the instance");
}

#[test]
fn a_second_opinion_that_was_asked_for_and_does_not_run_stops_trading() {
    // There is no program of that name beside the fake data plane.
    let more = "[audit]\nlive = true\n[daemon]\nrestarts_max = 1\nrestart_pause_ms = 10\n";
    let mut bench = Bench::new("no-audit", "", more);
    bench.start();
    bench.until("it is given up", || bench.facts().audit.is_some_and(|audit| audit.gave_up));
    assert_eq!(bench.facts().audit.map(|audit| (audit.pid, audit.restarts)), Some((0, 1)));
    {
        let view = bench.view();
        let word = &view.segment().expect("a segment").kill;
        assert!(word.state().killed(), "trading stopped");
        assert_eq!(word.note(1).map(|note| note.cause), Some(KillCause::AuditLost));
    }
    bench.stop();
    assert!(bench.log().contains("tern-audit cannot be started"), "{}", bench.log());
}

#[test]
fn commands_of_the_socket_reach_the_loop_with_the_callers_uid() {
    let mut bench = Bench::new("socket", "", "");
    bench.start();
    bench.until_journaled(10);
    let taken = r#""answer":{"command":{"taken":true}}"#;
    assert!(bench.ask(r#"{"version":7,"ask":"kill"}"#).contains(taken));
    // Restricted by whoever may write the segment, lifted by the daemon, by nobody who has not seen it.
    let lift =
        |seen: u16| format!(r#"{{"version":7,"ask":{{"lift":{{"kind":"strategy","key":1,"changes":{seen}}}}}}}"#);
    assert!(bench.ask(&lift(9)).contains(r#"{"not_lifted":{"changes":null}}"#), "nothing to lift");
    let scope =
        Scope { kind: ScopeKind::Strategy, key: 1, state: TradingState::Halted, uid: 5, since_ns: 77, changes: 0 };
    bench.view().restrict(&scope).expect("room");
    assert!(bench.ask(&lift(0)).contains(r#"{"not_lifted":{"changes":1}}"#));
    assert!(bench.ask(&lift(1)).contains(r#""answer":"lifted""#));
    let strange = r#"{"version":7,"ask":{"lift":{"kind":"planet","key":1,"changes":0}}}"#;
    assert!(bench.ask(strange).contains("no kind of scope is called `planet`"));
    assert!(bench.view().segment().expect("a segment").kill.state().killed());
    let refused = r#""answer":{"killed_since":{"kills":1}}"#;
    bench.until("the alert", || {
        std::fs::read_to_string(bench.config.paths.alerts_facts()).is_ok_and(|text| text.contains("trading_stopped"))
    });
    assert!(bench.ask(r#"{"version":7,"ask":{"resume":{"kills":0}}}"#).contains(refused), "it has not seen the kill");
    assert!(bench.view().segment().expect("a segment").kill.state().killed());
    assert!(bench.ask(r#"{"version":7,"ask":{"resume":{"kills":1}}}"#).contains(taken));
    assert!(!bench.view().segment().expect("a segment").kill.state().killed());

    for (line, why) in [
        (r#"{"version":9,"ask":"status"}"#, "protocol version 7, the client 9"),
        // As the version before it asked: not a request of this one, and answered by version all the same.
        (r#"{"version":3,"ask":{"set_limit":{"limit":3,"value":5}}}"#, "protocol version 7, the client 3"),
        (r#"{"version":7,"ask":"fly"}"#, "unknown variant `fly`"),
        ("not json", "not a request"),
        ("", "not a request"),
    ] {
        assert!(bench.ask(line).contains(why), "{line}: {}", bench.ask(line));
    }
    bench.stop();

    let (alerts, commands): (Vec<Command>, Vec<Command>) =
        commands_of(&bench).into_iter().partition(|command| command.kind == CommandKind::Alert as u32);
    let stopped = (tern_config::alerts::AlertKind::TradingStopped as u32, true);
    assert_eq!(alerts.first().map(Command::alert_raised), Some(stopped), "the kill's alert is journaled");
    let uid = nix::unistd::getuid().as_raw();
    let seen: Vec<(u32, u32)> = commands.iter().map(|command| (command.kind, command.uid)).collect();
    let [kill, resume] = [CommandKind::Kill, CommandKind::Resume].map(|kind| (kind as u32, uid));
    assert_eq!(seen, [kill, resume, (CommandKind::Shutdown as u32, u32::MAX)]);
    assert_eq!((commands[1].id, commands[1].kill_word >> 1), (1, 1), "kills seen, kills found");
}

#[test]
fn a_kill_between_the_daemons_look_and_the_loops_refuses_the_resume() {
    let mut bench = Bench::new("late-kill", "late_kill", "");
    bench.start();
    bench.until_journaled(10);
    assert!(bench.ask(r#"{"version":7,"ask":"kill"}"#).contains(r#""taken":true"#));
    let answer = bench.ask(r#"{"version":7,"ask":{"resume":{"kills":1}}}"#);
    assert!(answer.contains(r#""killed_since":{"kills":2}"#), "{answer}");
    let view = bench.view();
    let words = view.segment().expect("a segment");
    assert!(words.kill.state().killed() && !words.trading.get().0);
    let note = words.kill.note(2).expect("it is remembered");
    assert_eq!((note.uid, note.cause), (77, KillCause::Operator));
    bench.stop();
}

#[test]
fn a_second_daemon_and_a_foreign_segment_are_refused() {
    let mut bench = Bench::new("second", "", "");
    bench.start();
    bench.until_journaled(10);
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_ternd"))
        .args(["--config".as_ref(), bench.config.file().as_os_str()])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert!(said.contains("another"), "{said}");
    bench.stop();
    // A segment that begins again at 1 beside a journal that is further.
    let spec = tern_hw::segment::SegmentSpec {
        path: bench.config.paths.segment_file().map(Into::into),
        sizes: bench.config.rings.sizes(),
        ..tern_hw::segment::SegmentSpec::new(bench.config.instance.name.clone())
    };
    drop(tern_hw::segment::DaemonSegment::open(&spec).expect("it is made"));
    bench.start();
    bench.until("the refusal", || bench.log().contains("one of them is of other days"));
}

/// Beside the fake data plane lies no tern-metrics.
#[test]
fn metrics_that_cannot_be_had_are_tried_again_and_stop_nothing() {
    let more = "[metrics]\nlisten = \"127.0.0.1:19464\"\n[daemon]\nrestarts_max = 1\nrestart_pause_ms = 10\n";
    let mut bench = Bench::new("no-metrics", "", more);
    bench.start();
    bench.until("it is tried again and again", || bench.facts().metrics.is_some_and(|metrics| metrics.restarts > 3));
    assert!(bench.log().contains("tern-metrics cannot be started"), "{}", bench.log());
    let journaled = bench.view().segment().expect("a segment").journaled_seq.get();
    bench.until_journaled(journaled + 100);
    let view = bench.view();
    let kill = &view.segment().expect("a segment").kill;
    let killed = kill.state().killed().then(|| kill.note(kill.state().kills()).map(|note| note.cause));
    // On a host that is too busy for the heartbeat, that may be missed.
    assert!(matches!(killed, None | Some(Some(KillCause::HeartbeatLoss))), "{killed:?}");
    drop(view);
    bench.until("stages are written down for it", || bench.config.paths.latency_facts().exists());
    bench.stop();
    assert!(!bench.config.paths.metrics_pid().exists());
}
