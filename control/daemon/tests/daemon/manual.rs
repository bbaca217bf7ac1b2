//! What people do by hand over the control socket: by role, with a second person where that is set, and what the journal has of it.

use crate::bench::Bench;
use crate::limits::groups;
use nix::sys::signal::Signal;
use nix::unistd::getuid;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tern_abi::command::SYSTEM_UID;
use tern_abi::manual::{ManualCommand, ManualKind, ManualStage};
use tern_abi::record::Kind;
use tern_abi::segment::{ScopeKind, TradingState};
use tern_journal::Reader;
use zerocopy::FromBytes;

/// A strategy that orders by hand belong to.
const DESK: &str = "[[strategy]]\nname = \"manual\"\nid = 9\ntrader = 77\n";

fn order(shares: u32) -> String {
    let rest = r#""price":123400,"time_in_force":"day","post_only":false"#;
    format!(r#"{{"order":{{"symbol":"SPY","is_buy":true,"shares":{shares},{rest}}}}}"#)
}

fn ask(bench: &Bench, wish: &str, more: &str) -> Value {
    let answer = bench.ask(&format!(r#"{{"version":7,"ask":{{"manual":{{"wish":{wish},"why":"a test",{more}}}}}}}"#));
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    answer["answer"].clone()
}

fn want(bench: &Bench, wish: &str) -> Value {
    ask(bench, wish, r#""dry_run":false"#)
}

/// A user that is not the one who runs the tests as root.
const SOMEBODY: u32 = 65_534;

/// Confirms as another user: the kernel says so of a process of its own.
fn confirm_as(bench: &Bench, uid: u32, id: u64) -> String {
    let socket = bench.config.paths.control_socket();
    for path in [&socket, &bench.config.paths.run, &bench.folder] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("root may");
    }
    const CLIENT: &str = "import socket, sys\nto = socket.socket(socket.AF_UNIX)\nto.connect(sys.argv[1])\n\
        to.sendall(sys.argv[2].encode() + b'\\n')\nprint(to.makefile().readline())";
    let line = format!(r#"{{"version":7,"ask":{{"confirm":{{"id":{id}}}}}}}"#);
    let mut client = Command::new("python3");
    client.arg("-c").arg(CLIENT).arg(socket).arg(line).current_dir("/").uid(uid).gid(uid);
    let output = client.output().expect("python3 runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Everything that people wanted, as the journal has it.
fn journaled(bench: &Bench) -> Vec<ManualCommand> {
    let mut reader = Reader::open(&bench.config.paths.journal).expect("a journal");
    let mut found = Vec::new();
    while let Some(record) = reader.next().expect("it is whole") {
        if record.kind() == Some(Kind::Manual) {
            found.push(ManualCommand::read_from_bytes(record.body).expect("its layout"));
        }
    }
    found
}

fn stages(found: &[ManualCommand]) -> Vec<(ManualKind, ManualStage)> {
    found.iter().map(|wish| (wish.what().expect("a kind"), wish.stage().expect("a stage"))).collect()
}

#[test]
fn what_is_done_by_hand_is_answered_with_its_order_or_with_the_reason_and_the_bound() {
    let mut bench = Bench::new("by-hand", "", DESK);
    bench.start();
    bench.until_journaled(10);
    let sent = want(&bench, &order(100));
    assert_eq!((&sent["manual"]["outcome"], &sent["manual"]["orders"][0]), (&"sent".into(), &7.into()), "{sent}");
    let refused = want(&bench, &order(901));
    let fact = &refused["manual"];
    assert_eq!((&fact["outcome"], &fact["limit"], &fact["value"]), (&"refused".into(), &900.into(), &901.into()));
    assert_eq!(ask(&bench, &order(1), r#""dry_run":true"#)["manual"]["outcome"], "passes");
    assert_eq!(want(&bench, r#"{"cancel":{"order":3}}"#)["manual"]["outcome"], "canceling");
    let flat = want(&bench, r#"{"flatten":{"kind":"strategy","key":9,"within_ms":1000}}"#);
    assert_eq!((&flat["manual"]["outcome"], &flat["manual"]["orders"][0]), (&"flat".into(), &7.into()), "{flat}");
    let view = bench.view();
    let scope = view.segment().expect("a segment").scopes.find(ScopeKind::Strategy, 9).expect("it is restricted");
    assert_eq!((scope.state, scope.uid), (TradingState::ReduceOnly, getuid().as_raw()), "nothing opens it anew");
    for wrong in [
        r#"{"flatten":{"kind":"venue","key":1,"within_ms":1000}}"#,
        r#"{"flatten":{"kind":"firm","key":0,"within_ms":1}}"#,
        &order(0),
        &order(1).replace("SPY", "NO SYMBOL"),
    ] {
        let said = want(&bench, wrong);
        assert!(said["error"].as_str().is_some_and(|why| why.contains("nothing was done")), "{said}");
    }
    bench.stop();
    let found = journaled(&bench);
    let (made, look) = (ManualStage::Do, ManualStage::Check);
    let expected = [
        (ManualKind::Order, made),
        (ManualKind::Order, made),
        (ManualKind::Order, look),
        (ManualKind::Cancel, made),
        (ManualKind::Flatten, made),
    ];
    assert_eq!(stages(&found), expected);
    assert!(found.iter().all(|wish| wish.uid == getuid().as_raw() && wish.why() == "a test"));
    assert!(found.iter().all(|wish| wish.second_uid == SYSTEM_UID), "nobody had to confirm it");
    assert_eq!((found[0].symbol, found[0].quantity, found[0].price), (*b"SPY     ", 100, 123_400));
}

#[test]
fn a_position_is_set_right_by_a_risk_officer_alone_and_only_of_what_there_is() {
    let adjust = |strategy: u16, symbol: &str, shares: u32| {
        let rest = format!(r#""strategy":{strategy},"is_buy":true,"shares":{shares},"price":123400"#);
        format!(r#"{{"adjust":{{"symbol":"{symbol}",{rest}}}}}"#)
    };
    let mut bench = Bench::new("no-session", "", DESK);
    bench.start();
    bench.until_journaled(10);
    let said = want(&bench, &adjust(9, "SPY", 100));
    assert!(said["error"].as_str().is_some_and(|said| said.contains("no [session] is configured")), "{said}");
    bench.stop();
    let session =
        "[session]\nvenue = \"itch_ouch\"\naddress = \"127.0.0.1:9\"\nuser = \"A\"\npassword = \"b\"\naccount = 1\n";
    let mut bench = Bench::new("adjust", "", &format!("{session}{DESK}"));
    bench.start();
    bench.until_journaled(10);
    let told = want(&bench, &adjust(9, "SPY", 100));
    let is_root = getuid().is_root();
    match is_root {
        true => assert_eq!(told["manual"]["outcome"], "adjusted", "{told}"),
        false => assert!(told["role"]["message"].as_str().is_some_and(|said| said.contains("risk officer")), "{told}"),
    }
    for (wrong, why) in [
        (adjust(8, "SPY", 100), "no [[strategy]] of this instance has the id 8"),
        (adjust(9, "SPY", 0), "a trade has at least a share"),
        (adjust(9, "NO SYMBOL", 1), "is not a symbol"),
    ] {
        let said = want(&bench, &wrong);
        assert!(said["error"].as_str().is_some_and(|said| said.contains(why)), "{said}");
    }
    bench.stop();
    let stage = if is_root { ManualStage::Do } else { ManualStage::Role };
    let found = journaled(&bench);
    assert_eq!(stages(&found), [(ManualKind::Adjust, stage)]);
    assert_eq!((found[0].key, found[0].quantity, found[0].symbol), (9, 100, *b"SPY     "));
}

#[test]
fn without_a_strategy_for_them_orders_by_hand_are_refused_and_halted_scopes_are_not_flattened() {
    let mut bench = Bench::new("no-desk", "", "");
    bench.start();
    bench.until_journaled(10);
    let said = want(&bench, &order(1));
    assert!(said["error"].as_str().is_some_and(|why| why.contains("no [[strategy]] with name")), "{said}");
    let view = bench.view();
    let halted = tern_abi::segment::Scope {
        kind: ScopeKind::Firm,
        key: 0,
        state: TradingState::Halted,
        uid: 1,
        since_ns: 0,
        changes: 0,
    };
    view.restrict(&halted).expect("room");
    let said = want(&bench, r#"{"flatten":{"kind":"firm","key":0,"within_ms":1000}}"#);
    assert!(said["error"].as_str().is_some_and(|why| why.contains("firm is halted")), "{said}");
    bench.stop();
    assert_eq!(journaled(&bench), []);
}

/// Whoever runs the tests: root is an operator in any case, so for others alone is there a role to lack.
#[test]
fn it_waits_for_another_user_and_what_nobody_confirms_is_told_as_over() {
    let (_, other) = groups();
    let roles = "[roles]\nsecond_person = [\"order\", \"flatten\"]\nsecond_person_s = 5\n";
    let operator = if getuid().is_root() { "" } else { other.as_str() };
    let mut bench = Bench::new("waits", "", &format!("{roles}operator = \"{operator}\"\n{DESK}"));
    bench.start();
    bench.until_journaled(10);
    if !getuid().is_root() {
        assert!(want(&bench, &order(1))["role"]["message"].as_str().is_some_and(|said| said.contains("operator")));
        bench.stop();
        assert_eq!(stages(&journaled(&bench)), [(ManualKind::Order, ManualStage::Role)]);
        return;
    }
    let waits = want(&bench, &order(100));
    let id = waits["waits"]["id"].as_u64().unwrap_or_else(|| panic!("{waits}"));
    assert_eq!(waits["waits"]["within_s"], 5);
    let pending = bench.ask(r#"{"version":7,"ask":"pending"}"#);
    assert!(pending.contains(&id.to_string()) && pending.contains("buy 100 SPY at 12.3400, day"), "{pending}");
    let confirm = |bench: &Bench, id: u64| bench.ask(&format!(r#"{{"version":7,"ask":{{"confirm":{{"id":{id}}}}}}}"#));
    let same = confirm(&bench, id);
    assert!(same.contains("\"role\"") && same.contains("second person"), "the same user is none: {same}");
    assert!(confirm(&bench, id + 1).contains("waits (any more)"));
    let second = want(&bench, &order(50))["waits"]["id"].as_u64().expect("it waits too");
    let confirmed = confirm_as(&bench, SOMEBODY, second);
    assert!(confirmed.contains(r#""outcome":"sent""#) && confirmed.contains(r#""confirmed_by":65534"#), "{confirmed}");
    assert!(confirm_as(&bench, SOMEBODY, second).contains("waits (any more)"), "once");
    assert_eq!(want(&bench, r#"{"cancel":{"order":3}}"#)["manual"]["outcome"], "canceling", "not asked of a cancel");
    // Nobody comes.
    bench.until("it lapses", || !bench.ask(r#"{"version":7,"ask":"pending"}"#).contains(&id.to_string()));
    assert!(confirm(&bench, id).contains("waits (any more)"));
    // The next daemon says what it dropped.
    let flatten = r#"{"flatten":{"kind":"firm","key":0,"within_ms":1000}}"#;
    let waits = want(&bench, flatten);
    assert!(waits["waits"]["id"].is_u64(), "{waits}");
    bench.signal(Signal::SIGKILL);
    bench.start();
    bench.until("the next daemon's word", || {
        bench.facts().leftovers.iter().any(|said| said.contains("flatten firm") && said.contains("ask again"))
    });
    bench.until("a daemon that answers", || bench.config.paths.control_socket().exists());
    assert!(!bench.ask(r#"{"version":7,"ask":"pending"}"#).contains("flatten"), "nothing waits there");
    assert!(want(&bench, flatten)["waits"]["id"].is_u64());
    // One that was confirmed, and was being handed over: only the journal knows whether the loop had it.
    bench.signal(Signal::SIGKILL);
    let path = bench.config.paths.daemon_facts();
    let mut facts: Value = serde_json::from_slice(&std::fs::read(&path).expect("facts")).expect("JSON");
    facts["pending"][0]["confirmed_by"] = SOMEBODY.into();
    std::fs::write(&path, facts.to_string()).expect("it can be written");
    bench.start();
    bench.until("the next daemon's word", || {
        let told = |said: &String| {
            said.contains("confirmed by uid 65534) was on its way") && said.contains("look for request")
        };
        bench.facts().leftovers.iter().any(told)
    });
    bench.stop();
    let (order, cancel, flatten) = (ManualKind::Order, ManualKind::Cancel, ManualKind::Flatten);
    let expected = [
        (order, ManualStage::Asked),
        (order, ManualStage::Role),
        (order, ManualStage::Asked),
        (order, ManualStage::Do),
        (cancel, ManualStage::Do),
        (order, ManualStage::Lapsed),
        (flatten, ManualStage::Asked),
        (flatten, ManualStage::Dropped),
        (flatten, ManualStage::Asked),
    ];
    let found = journaled(&bench);
    assert_eq!(stages(&found), expected);
    assert_eq!((found[0].request, found[1].request, found[5].request), (id, id, id));
    let done = found[3];
    assert_eq!((done.request, done.quantity, done.uid, done.second_uid), (second, 50, 0, SOMEBODY));
}
