//! `tern status`: what keeps orders from leaving, and what to do.

use crate::common::Bench;
use serde_json::Value;
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{DISTRUSTED, KillCause, SessionFault, SessionState, TRUSTED};
use tern_config::facts::{DaemonFacts, DataplaneFacts, Named, Names};
use tern_hw::segment::DataPlaneSegment;

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
