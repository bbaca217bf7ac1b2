//! The program itself: exit codes, `kill` with the daemon dead, and what it makes of a journal.

mod common;
mod top;

use common::Bench;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tern_abi::counters::LoopCounter;
use tern_abi::record::{
    ACTION_NEW, Kind, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader, RefusalRecord, STAGES, StageRecord,
    StartRecord, VenueEventKind,
};
use tern_abi::segment::{DISTRUSTED, KillCause, SessionFault, SessionState, TRUSTED};
use tern_config::facts::{DaemonFacts, DataplaneFacts, Named, Names};
use tern_hw::segment::{DataPlaneEnds, DataPlaneSegment};
use tern_journal::{Options, Writer};
use zerocopy::IntoBytes;

impl Bench {
    /// A journal of one run: an order, filled in two parts of which one was broken, a refusal, stages.
    fn write_journal(&self) {
        let (mut journal, _) =
            Writer::open(&self.config.paths.journal, Options::new("cli")).expect("a journal can be made");
        let mut seq = 0;
        let mut add = |kind: Kind, body: &[u8]| {
            seq += 1;
            let header =
                RecordHeader { seq, tai_ns: seq * 1000, kind: kind as u16, flags: 0, body_bytes: body.len() as u32 };
            journal.append(&header, body).expect("it is taken");
        };
        let names = Names { refusals: vec![Named::new("killed", ""), Named::new("collar", "")], ..Names::default() };
        let start = [StartRecord::default().as_bytes(), names.start_text("x = 1\n").as_bytes()].concat();
        add(Kind::Start, &start);
        let symbol = *b"MSFT    ";
        let order = OrderRecord {
            action: ACTION_NEW,
            order: 1,
            side: 1,
            price: 10_0000,
            quantity: 100,
            symbol,
            account: 1,
            instrument: 3,
            ..OrderRecord::default()
        };
        add(Kind::Order, order.as_bytes());
        let event = |kind: VenueEventKind, quantity, leaves, match_number| OrderEventRecord {
            kind: kind as u8,
            order: 1,
            side: 1,
            price: 10_0000,
            quantity,
            leaves,
            match_number,
            account: 1,
            instrument: 3,
            ..OrderEventRecord::default()
        };
        add(Kind::OrderEvent, event(VenueEventKind::Accepted, 100, 100, 0).as_bytes());
        add(Kind::OrderEvent, event(VenueEventKind::Executed, 30, 70, 7).as_bytes());
        add(Kind::OrderEvent, event(VenueEventKind::Executed, 20, 50, 8).as_bytes());
        add(Kind::OrderEvent, event(VenueEventKind::Broken, 0, 50, 7).as_bytes());
        let position = PositionRecord {
            shares: 20,
            cash: -200_0000,
            symbol,
            account: 1,
            instrument: 3,
            ..PositionRecord::default()
        };
        add(Kind::Position, position.as_bytes());
        add(Kind::Refusal, RefusalRecord { reason: 1, ..RefusalRecord::default() }.as_bytes());
        let mut stage_ns = [0; STAGES];
        stage_ns[..6].copy_from_slice(&[1000, 1100, 1200, 1300, 1400, 1500]);
        add(Kind::Stages, StageRecord { arrival_ns: 900, stage_ns, order: 1, ..StageRecord::default() }.as_bytes());
        journal.seal().expect("it is written");
    }
}

#[test]
fn without_a_segment_it_says_so_with_exit_code_3() {
    let bench = Bench::new("absent");
    for verb in ["status", "counters", "kill", "resume"] {
        let output = bench.tern(&[verb]);
        assert_eq!(output.status.code(), Some(3), "{verb}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn wrong_usage_and_configuration_have_exit_code_2() {
    let bench = Bench::new("usage");
    assert_eq!(bench.tern(&["fly"]).status.code(), Some(2));
    std::fs::write(bench.config.file(), "[instance]\nname = 3\n").expect("a file");
    let output = bench.tern(&["status"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("tern.toml:2:8: instance.name"), "{output:?}");
}

#[test]
fn a_kill_with_the_daemon_dead_is_heeded_by_the_loop_and_answered() {
    let bench = Bench::new("kill");
    let spec = bench.spec();
    let (ready, is_ready) = mpsc::channel();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let data_plane = scope.spawn(|| {
            let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
            let plane = segment.ends().expect("its ends");
            plane.counters.set(LoopCounter::OpenOrders, 5);
            plane.trading.set(true, 0, 1);
            ready.send(()).expect("the test waits");
            while !stop.load(Ordering::Relaxed) {
                if plane.kill.state().killed() {
                    plane.trading.set(false, 1, 2);
                    plane.counters.set(LoopCounter::OpenOrders, 0);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        is_ready.recv().expect("the data plane is ready");
        let (code, status) = bench.json(&["status"]);
        assert_eq!((code, &status["open_orders"]), (3, &Value::from(5)), "ternd is dead: {status}");
        let (code, answer) = bench.json(&["kill", "--timeout-ms", "5000"]);
        assert_eq!((code, answer["acknowledged"].as_bool()), (0, Some(true)), "{answer}");
        assert_eq!(answer["orders"]["cancelled"], 5, "{answer}");
        assert_eq!(answer["ternd_told"], false);
        let (_, status) = bench.json(&["status"]);
        assert_eq!((status["killed"].as_bool(), status["kills"].as_u64()), (Some(true), Some(1)));
        assert_eq!(bench.tern(&["resume"]).status.code(), Some(3), "only the daemon re-arms");
        assert_eq!(bench.tern(&["resume", "--kills", "1"]).status.code(), Some(3), "with a number as well");
        stop.store(true, Ordering::Relaxed);
        data_plane.join().expect("it ends");
    });
}

/// The sentence among the problems that begins so.
fn problem<'a>(status: &'a Value, begins: &str) -> &'a str {
    let problems = status["problems"].as_array().expect("a list").iter().filter_map(Value::as_str);
    let found: Vec<&str> = problems.filter(|problem| problem.starts_with(begins)).collect();
    assert_eq!(found.len(), 1, "`{begins}`: {status}");
    found[0]
}

#[test]
fn status_says_what_keeps_orders_from_leaving_by_whom_since_when_and_what_to_do() {
    let bench = Bench::new("why");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let named = |names: &[&str]| names.iter().map(|name| Named::new(*name, "So it is.")).collect();
    let names = Names {
        halts: named(&["not_halted", "killed", "shutdown", "ring_full"]),
        distrusts: named(&["never_started", "gap"]),
        ..Names::default()
    };
    let facts = DataplaneFacts { names, ..DataplaneFacts::default() };
    tern_config::facts::write(&bench.config.paths.dataplane_facts(), &facts).expect("facts");
    let status = || {
        let now_ns = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64;
        // In TAI or UTC, as the host has it: at worst 37 s ahead, which is not old.
        plane.data_plane_beat.beat(now_ns + 60_000_000_000, 1);
        bench.json(&["status"])
    };
    let halt = |status: &Value| {
        let halt = &status["halt"];
        assert_eq!(status["halt_reason"], halt["reason"]);
        let text = |key: &str| halt[key].as_str().expect("a text").to_owned();
        (text("reason"), text("by"), halt["uid"].as_u64(), halt["since_ns"].as_u64(), halt["kills"].as_u64())
    };
    let (ready, none) = (SessionState::Ready as u64, SessionFault::None as u64);

    plane.trading.set(true, 0, 100);
    plane.sessions.set(0, ready, 100);
    plane.trust.set(1, TRUSTED, 100);
    let (code, said) = status();
    assert_eq!((code, &said["halt"], &said["trading"]), (3, &Value::Null, &true.into()), "{said}");
    assert_eq!(said["problems"].as_array().map(Vec::len), Some(1), "ternd is dead, which stops nothing: {said}");

    // What the feed does.
    plane.trust.set(2, DISTRUSTED + 1, 200);
    let (_, said) = status();
    assert_eq!(said["halt"], Value::Null, "the other stream is trusted");
    assert!(problem(&said, "stream 2 is not trusted: gap (So it is) since 1970").contains("first message"));
    plane.trust.set(1, DISTRUSTED, 250);
    let (_, said) = status();
    assert_eq!(halt(&said), ("no_trusted_stream".into(), "feed".into(), None, Some(250), Some(0)));
    assert_eq!(said["halt"]["detail"], "never_started");
    assert!(problem(&said, "no stream is trusted, stream 1").contains("feed.group"));
    plane.trust.set(1, TRUSTED, 260);

    // What the order connection does.
    for (fault, by, begins, advice) in [
        (SessionFault::ConnectRefused, "venue", "order session 0 is down: connect_refused", "session.address"),
        (SessionFault::ConnectUnreachable, "network", "order session 0 is down: connect_unreachable", "port.gateway"),
        (SessionFault::LoginRejected, "venue", "order session 0 is down: login_rejected", "session.password"),
        (SessionFault::LogUnlike, "data_plane", "order session 0 is down: session_refused", "compare"),
    ] {
        plane.sessions.set(0, SessionState::Down as u64, 300);
        plane.session_faults.set(0, fault as u64, 310);
        plane.counters.set(LoopCounter::TcpConnectFailures, 1234);
        let (code, said) = status();
        assert_eq!((code, halt(&said)), (3, (fault.name().into(), by.into(), None, Some(310), Some(0))));
        let sentence = problem(&said, begins);
        assert!(sentence.contains(advice) && sentence.contains("since 1970-01-01T00:00:00.000000310"), "{sentence}");
        assert_eq!(sentence.contains("1_234 attempts"), fault.name().starts_with("connect"), "{sentence}");
        plane.session_faults.set(0, none, 310);
    }
    plane.sessions.set(0, ready, 320);

    // What the loop and the daemon do.
    plane.trading.set(false, 3, 400);
    let (_, said) = status();
    assert_eq!(halt(&said), ("ring_full".into(), "data_plane".into(), None, Some(400), Some(0)));
    assert!(problem(&said, "trading is stopped: ring_full by the data plane since 1970").contains("tern resume"));
    plane.kill.kill(u32::MAX, KillCause::HeartbeatLoss, 500);
    let (_, said) = status();
    assert_eq!(halt(&said), ("heartbeat_loss".into(), "ternd".into(), None, Some(500), Some(1)));
    problem(&said, "trading is stopped: heartbeat_loss by ternd since 1970");
    plane.kill.kill(u32::MAX, KillCause::JournalTrouble, 600);
    let mut facts = DaemonFacts::default();
    facts.journal.trouble = "No space left on device".into();
    tern_config::facts::write(&bench.config.paths.daemon_facts(), &facts).expect("facts");
    let (_, said) = status();
    assert_eq!(halt(&said), ("journal_trouble".into(), "ternd".into(), None, Some(600), Some(2)));
    problem(&said, "trading is stopped: journal_trouble (No space left on device) by ternd since 1970");
    plane.kill.kill(1000, KillCause::Operator, 700);
    let (_, said) = status();
    assert_eq!(halt(&said), ("operator_kill".into(), "operator".into(), Some(1000), Some(700), Some(3)));
    problem(&said, "trading is stopped: operator_kill by uid 1000 since 1970");
    problem(&said, "the journal cannot be written: No space left on device");
    let text = bench.tern(&["status"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("no order leaves: operator_kill by uid 1000") && text.contains("PROBLEM"), "{text}");

    // What it said while it lived is no news of a dead data plane.
    drop(segment);
    let (_, said) = bench.json(&["status"]);
    problem(&said, "the data plane is not running");
    assert_eq!((&said["trading"], &said["halt"]["reason"]), (&false.into(), &"operator_kill".into()));
    assert_eq!(said["problems"].as_array().map(Vec::len), Some(4), "{said}");
}

#[test]
fn a_kill_that_nobody_heeds_says_that_orders_are_unknown() {
    let bench = Bench::new("unknown");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    plane.counters.set(LoopCounter::OpenOrders, 5);
    plane.trading.set(true, 0, 1);
    let (code, answer) = bench.json(&["kill", "--timeout-ms", "50"]);
    assert_eq!((code, &answer["orders"]["unknown"]), (5, &Value::from(5)), "{answer}");
    assert!(plane.kill.state().killed());
    drop(segment);
    let (code, answer) = bench.json(&["kill"]);
    assert_eq!((code, answer["acknowledged"].as_bool()), (5, Some(false)), "no data plane runs: {answer}");
}

#[test]
fn a_cancel_all_reports_what_became_of_the_orders_of_then() {
    let bench = Bench::new("cancel-all");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let listener = UnixListener::bind(bench.config.paths.control_socket()).expect("a socket");
    plane.counters.set(LoopCounter::OpenOrders, 9);
    // Cancels that left are not what counts.
    plane.counters.set(LoopCounter::OrdersCancel, 1000);
    for (taken, left, code, orders) in [
        (true, Some(0), 0, [7, 7, 0, 0]),
        (true, Some(3), 5, [7, 4, 3, 0]),
        (true, None, 5, [9, 0, 0, 9]),
        (false, None, 5, [9, 0, 0, 9]),
    ] {
        let (found, said) = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("tern connects");
                BufReader::new(stream.try_clone().expect("a socket")).read_line(&mut String::new()).expect("a request");
                if let Some(left) = left {
                    plane.cancel_all.begin(7);
                    plane.cancel_all.set_pending(left);
                }
                writeln!(stream, r#"{{"version":7,"answer":{{"command":{{"taken":{taken}}}}}}}"#).expect("it is taken");
            });
            bench.json(&["cancel-all", "--timeout-ms", "50"])
        });
        let numbers = ["open_before", "cancelled", "pending", "unknown"].map(|name| said["orders"][name].as_u64());
        assert_eq!((found, numbers), (code, orders.map(Some)), "{said}");
        assert_eq!(said["acknowledged"], left.is_some());
        assert!(said["waited_ms"].as_u64().is_some());
    }
}

/// Plays the loop: acts by what the table says, and has so many orders of the scope left.
fn heed_scopes(plane: &DataPlaneEnds<'_>, version_before: u64, left: u64) {
    while plane.scopes.version() == version_before {
        std::thread::sleep(Duration::from_millis(1));
    }
    plane.cancel_all.begin(4);
    plane.cancel_all.set_pending(left);
    plane.scopes_seen.set(plane.scopes.version());
}

#[test]
fn a_scope_is_restricted_by_the_cli_alone_and_shown_until_it_is_lifted() {
    let bench = Bench::new("scope");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    plane.trading.set(true, 0, 1);
    plane.counters.set(LoopCounter::OpenOrders, 9);
    for (symbol, left, code, orders) in [("symbol:MSFT", 0, 0, [4, 4, 0, 0]), ("symbol:AAPL", 3, 5, [4, 1, 3, 0])] {
        let before = plane.scopes.version();
        let (found, said) = std::thread::scope(|scope| {
            scope.spawn(|| heed_scopes(&plane, before, left));
            bench.json(&["kill", "--scope", symbol, "--timeout-ms", "300"])
        });
        let numbers = ["open_before", "cancelled", "pending", "unknown"].map(|name| said["orders"][name].as_u64());
        assert_eq!((found, numbers), (code, orders.map(Some)), "{said}");
        assert_eq!((said["scope"].as_str(), said["state"].as_str()), (Some(symbol), Some("halted")));
    }
    // Said again, there is nothing new to follow.
    let before = plane.scopes.version();
    let (code, said) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while plane.scopes.version() == before {
                std::thread::sleep(Duration::from_millis(1));
            }
            plane.scopes_seen.set(plane.scopes.version());
        });
        bench.json(&["kill", "--scope", "symbol:MSFT", "--timeout-ms", "300"])
    });
    assert_eq!((code, said["acknowledged"].as_bool(), said["orders"].is_null()), (0, Some(true), true), "{said}");
    // Nobody heeds: the restriction stands all the same.
    let (code, said) = bench.json(&["kill", "--scope", "strategy:2", "--state", "reduce-only", "--timeout-ms", "50"]);
    assert_eq!((code, said["acknowledged"].as_bool(), said["orders"].is_null()), (5, Some(false), true), "{said}");
    let (_, status) = bench.json(&["status"]);
    let shown: Vec<_> = status["restricted"].as_array().expect("a list").iter().collect();
    assert_eq!(shown.len(), 3, "{status}");
    assert_eq!((shown[2]["scope"].as_str(), shown[2]["state"].as_str()), (Some("strategy:2"), Some("reduce_only")));
    let problems = status["problems"].to_string();
    assert!(problems.contains("symbol:MSFT is halted: by uid"), "{problems}");
    assert!(problems.contains("`tern resume --scope strategy:2` lifts it"), "{problems}");
    // A wrong scope is wrong usage and changes nothing.
    let version = plane.scopes.version();
    let output = bench.tern(&["kill", "--scope", "symbol:"]);
    assert_eq!((output.status.code(), plane.scopes.version()), (Some(2), version));
}

#[test]
fn a_scope_is_lifted_by_the_daemon_unless_somebody_came_after_the_look() {
    let bench = Bench::new("lift");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let listener = UnixListener::bind(bench.config.paths.control_socket()).expect("a socket");
    let (code, said) = bench.json(&["resume", "--scope", "strategy:1"]);
    assert_eq!((code, said["lifted"].as_bool()), (0, Some(false)), "it is not restricted: {said}");
    bench.json(&["kill", "--scope", "strategy:1", "--state", "cancel-only", "--timeout-ms", "10"]);
    for (answer, code, lifted) in [(r#"{"not_lifted":{"changes":7}}"#, 6, false), (r#""lifted""#, 0, true)] {
        let (found, said) = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("tern connects");
                let mut line = String::new();
                BufReader::new(stream.try_clone().expect("a socket")).read_line(&mut line).expect("a request");
                assert!(line.contains(r#"{"lift":{"kind":"strategy","key":1,"changes":1}}"#), "{line}");
                plane.scopes_seen.set(plane.scopes.version());
                writeln!(stream, r#"{{"version":7,"answer":{answer}}}"#).expect("it is taken");
            });
            bench.json(&["resume", "--scope", "strategy:1", "--timeout-ms", "100"])
        });
        assert_eq!((found, said["lifted"].as_bool()), (code, Some(lifted)), "{said}");
    }
    // With no daemon there is nobody who may.
    drop(listener);
    std::fs::remove_file(bench.config.paths.control_socket()).expect("the socket");
    assert_eq!(bench.tern(&["resume", "--scope", "strategy:1"]).status.code(), Some(3));
}

/// A daemon that plays the loop as well: `late_kill` comes between its look and the loop's.
fn answer_resume(listener: &UnixListener, plane: &DataPlaneEnds<'_>, late_kill: bool) -> u64 {
    let (mut stream, _) = listener.accept().expect("tern connects");
    let mut line = String::new();
    BufReader::new(stream.try_clone().expect("a socket")).read_line(&mut line).expect("a request");
    let request: Value = serde_json::from_str(&line).expect("JSON");
    let seen = request["ask"]["resume"]["kills"].as_u64().expect("a number of kills");
    if late_kill {
        plane.kill.kill(u32::MAX, KillCause::HeartbeatLoss, 2_000_000_000);
    }
    let answer = match plane.kill.clear_seen(seen as u32) {
        Ok(_) => {
            plane.trading.set(true, 0, 1);
            r#"{"command":{"taken":true}}"#.to_owned()
        }
        Err(state) => format!(r#"{{"killed_since":{{"kills":{}}}}}"#, state.kills()),
    };
    writeln!(stream, r#"{{"version":7,"answer":{answer}}}"#).expect("it is taken");
    seen
}

#[test]
fn a_resume_clears_what_was_seen_and_nothing_later() {
    let bench = Bench::new("resume");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let listener = UnixListener::bind(bench.config.paths.control_socket()).expect("a socket");
    plane.trading.set(false, 1, 2);
    plane.kill.kill(1000, KillCause::Operator, 1_000_000_000);
    let resume = |arguments: &[&str], late_kill| {
        std::thread::scope(|scope| {
            let daemon = scope.spawn(|| answer_resume(&listener, &plane, late_kill));
            let (code, said) = bench.json(&[&["resume"], arguments].concat());
            (code, said, daemon.join().expect("it answers"))
        })
    };

    let (code, said, seen) = resume(&[], true);
    assert_eq!((code, seen), (6, 1), "{said}");
    assert_eq!((&said["refused"], &said["resumed"]), (&true.into(), &false.into()));
    assert_eq!((&said["kills_seen"], &said["kills"], &said["cleared"]), (&1.into(), &2.into(), &Value::Null));
    let late = &said["killed_since"][0];
    assert_eq!((&late["reason"], &late["by"], &late["kills"]), (&"heartbeat_loss".into(), &"ternd".into(), &2.into()));
    assert_eq!(late["at_ns"], 2_000_000_000_u64);
    assert!(plane.kill.state().killed());

    let (code, said, seen) = resume(&["--kills", "1"], false);
    assert_eq!((code, seen), (6, 1), "the number of a script is what it has seen: {said}");

    let (code, said, seen) = resume(&[], false);
    assert_eq!((code, seen), (0, 2), "{said}");
    assert_eq!(
        (&said["cleared"]["reason"], &said["cleared"]["since_ns"]),
        (&"heartbeat_loss".into(), &2_000_000_000_u64.into())
    );
    assert!(!plane.kill.state().killed());
    assert_eq!(said["killed_since"], Value::Array(Vec::new()));
    assert_eq!(said["halt"], Value::Null);

    // Nothing is stopped any more, and no book is trusted: that is no trading yet.
    plane.trust.set(1, DISTRUSTED, 250);
    let (code, said, _) = resume(&[], false);
    assert_eq!(
        (code, &said["resumed"], &said["halt"]["reason"]),
        (0, &true.into(), &"no_trusted_stream".into()),
        "{said}"
    );
}

#[test]
fn the_journal_adds_up() {
    let bench = Bench::new("journal");
    bench.write_journal();
    let (code, orders) = bench.json(&["orders"]);
    assert_eq!((code, &orders["open"], &orders["orders"][0]["leaves"]), (0, &1.into(), &50.into()), "{orders}");
    let (code, positions) = bench.json(&["positions"]);
    assert_eq!((code, &positions["positions"][0]["shares"]), (0, &20.into()), "{positions}");

    let (code, report) = bench.json(&["report"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["version"], 1);
    assert_eq!(report["orders"]["by_action"]["new"], 1);
    assert_eq!(report["orders"]["refused"]["collar"], 1);
    assert_eq!((&report["fills"]["count"], &report["fills"]["broken"]), (&1.into(), &1.into()));
    assert_eq!((&report["traded"][0]["shares"], &report["traded"][0]["cash"]), (&20.into(), &(-2_000_000).into()));
    assert_eq!((&report["journal"]["verified"], &report["journal"]["unexplained"]), (&true.into(), &0.into()));
    assert!(
        report["latency_ns"]["tick_to_order"]["p50"].as_u64().is_some_and(|p50| p50.abs_diff(500) <= 1),
        "{report}"
    );
    assert_eq!(report["stage_latency_ns"]["decoded"]["n"], 1);

    let cat = bench.tern(&["--json", "journal", "cat", "--kind", "order,refusal"]);
    let lines: Vec<Value> = String::from_utf8_lossy(&cat.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["kind"], &lines[0]["body"]["symbol"]), (&"order".into(), &"MSFT".into()));
    assert_eq!(lines[1]["body"]["reason"], "collar");
    let cat = bench.tern(&["journal", "cat", "--from-seq", "3", "--limit", "2"]);
    assert_eq!(String::from_utf8_lossy(&cat.stdout).lines().count(), 2);
    assert_eq!(bench.tern(&["journal", "cat", "--kind", "nonsense"]).status.code(), Some(2));
    for verb in [&["latency", "--plot"][..], &["journal", "stats"], &["report"], &["orders", "--all"]] {
        let output = bench.tern(verb);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.is_empty() && text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}

#[test]
fn damage_is_named_with_exit_code_4() {
    let bench = Bench::new("damage");
    bench.write_journal();
    assert_eq!(bench.json(&["journal", "verify"]).0, 0);
    let files = std::fs::read_dir(&bench.config.paths.journal).expect("a folder").flatten().map(|entry| entry.path());
    let mut files = files.filter(|path| path.extension().is_some_and(|extension| extension == "journal"));
    let file = files.by_ref().max_by_key(|path| path.metadata().map_or(0, |facts| facts.len())).expect("a segment");
    let mut bytes = std::fs::read(&file).expect("it is readable");
    let middle = bytes.len() - 400;
    bytes[middle] ^= 4;
    std::fs::write(&file, bytes).expect("it is writable");
    let (code, found) = bench.json(&["journal", "verify"]);
    assert_eq!((code, found["sound"].as_bool()), (4, Some(false)), "{found}");
    assert_eq!(found["damages"][0]["file"].as_str(), file.to_str());
    assert!(found["damages"][0]["after_seq"].as_u64().is_some_and(|seq| seq > 1), "{found}");
    assert_eq!(bench.tern(&["orders"]).status.code(), Some(4));
}

#[test]
fn a_seal_kept_elsewhere_finds_what_was_made_anew_and_an_end_given_up_is_said() {
    let bench = Bench::new("seal");
    bench.write_journal();
    let journal = bench.config.paths.journal.clone();
    let kept = journal.with_file_name("kept.seal");
    let kept_text = kept.to_str().expect("UTF-8");
    let (code, sealed) = bench.json(&["journal", "seal", "--to", kept_text]);
    assert_eq!((code, sealed["file"].as_str()), (0, Some(kept_text)), "{sealed}");
    let (code, found) = bench.json(&["journal", "verify", "--seal", kept_text]);
    assert_eq!(code, 0, "{found}");
    assert_eq!(found["head"]["chain"], sealed["head"]["chain"]);
    let proven = found["stretches"][0]["proven_by"].as_str().expect("proven");
    assert!(proven.contains("the head") && proven.contains("the seal of day"), "{proven}");
    // Its end is taken away, but for a few bytes: found, and not to be written on until somebody says that it is to be so.
    let file = journal.join("00000001.journal");
    let bytes = std::fs::read(&file).expect("a segment");
    let (mut ends, mut at) = (Vec::new(), 128);
    while at < bytes.len() {
        ends.push(at);
        let body = u32::from_le_bytes(bytes[at + 20..at + 24].try_into().expect("four")) as usize;
        at += 32 + body.next_multiple_of(8);
    }
    std::fs::write(&file, &bytes[..ends[ends.len() - 2] + 8]).expect("ours");
    let (code, found) = bench.json(&["journal", "verify"]);
    assert_eq!((code, &found["stretches"][0]["proven_by"]), (4, &serde_json::Value::Null), "{found}");
    assert!(Writer::open(&journal, Options::new("cli")).is_err());
    let text = String::from_utf8(bench.tern(&["journal", "accept"]).stdout).expect("UTF-8");
    assert!(text.contains("GIVEN UP: seq ") && text.contains("GIVEN UP: 8 bytes of "), "{text}");
    let given_up = std::fs::read(journal.join("00000001.journal.given-up-1")).expect("kept");
    assert_eq!(given_up, bytes[ends[ends.len() - 2]..][..8]);
    assert_eq!(bench.json(&["journal", "verify"]).0, 0);
    assert_eq!(bench.json(&["journal", "verify", "--seal", kept_text]).0, 4, "the seal still tells");
    // What is no seal is no proof.
    std::fs::write(&kept, "tern journal seal 1\n").expect("ours");
    let refused = bench.tern(&["journal", "verify", "--seal", kept_text]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("kept.seal: it does not end in"), "{refused:?}");
    assert!(Writer::open(&journal, Options::new("cli")).is_ok());
}

#[test]
fn a_position_unlike_its_executions_is_a_mismatch() {
    let bench = Bench::new("mismatch");
    bench.write_journal();
    let (mut journal, recovered) = Writer::open(&bench.config.paths.journal, Options::new("cli")).expect("it goes on");
    let wrong =
        PositionRecord { shares: 21, cash: -200_0000, symbol: *b"MSFT    ", account: 1, ..PositionRecord::default() };
    let header = RecordHeader {
        seq: recovered.last_seq + 1,
        tai_ns: 1,
        kind: Kind::Position as u16,
        flags: 0,
        body_bytes: wrong.as_bytes().len() as u32,
    };
    journal.append(&header, wrong.as_bytes()).expect("it is taken");
    journal.seal().expect("it is written");
    let (code, positions) = bench.json(&["positions"]);
    assert_eq!((code, &positions["mismatches"][0]["recorded"]["shares"]), (1, &21.into()), "{positions}");
}

#[test]
fn every_verb_that_reads_has_json() {
    let bench = Bench::new("json");
    bench.write_journal();
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    segment.ends().expect("its ends").trading.set(true, 0, 1);
    let file = bench.config.file().display().to_string();
    for verb in [
        &["status"][..],
        &["top", "--interval", "0.1"],
        &["counters"],
        &["xdp"],
        &["xdp", "status", "--seconds", "0.1"],
        &["xdp", "why", "239.77.1.1:26400", "--seconds", "0.1"],
        &["positions"],
        &["orders"],
        &["latency"],
        &["latency", "outliers"],
        &["config", "check"],
        &["config", "explain"],
        &["config", "schema"],
        &["config", "show", "--effective"],
        &["config", "history"],
        &["risk", "check", &file],
        &["journal", "query", "--limit", "1"],
        &["journal", "verify"],
        &["journal", "stats"],
        &["journal", "index", "--check"],
        &["journal", "cat", "--limit", "1"],
        &["recover"],
        &["report"],
        &["completions", "bash"],
        &["man", "--markdown"],
    ] {
        let (code, said) = bench.json(verb);
        assert!(said.is_object() && [0, 3].contains(&code), "{verb:?}: {code} {said}");
        let text = bench.tern(verb);
        assert!(
            !text.stdout.is_empty() && !text.stdout.contains(&0x1b),
            "{verb:?}: no colours where there is no terminal"
        );
    }
}
