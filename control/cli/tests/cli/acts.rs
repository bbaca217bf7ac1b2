//! `tern kill`, `cancel-all`, scopes and `resume`, with the daemon dead, deaf or played by the test.

use crate::common::Bench;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{DISTRUSTED, KillCause};
use tern_hw::segment::{DataPlaneEnds, DataPlaneSegment};

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
