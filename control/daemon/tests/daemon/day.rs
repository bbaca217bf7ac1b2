//! A trading day that operators lead: what each step lacks, what may leave meanwhile, and that it outlives the daemon.

use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use serde_json::Value;
use tern_abi::command::SYSTEM_UID;
use tern_abi::segment::{Scope, ScopeKind, TradingState};
use tern_journal::{DayEntry, day_log};

use crate::bench::Bench;
use crate::limits::{groups, set};

/// `[session]` of a venue that is not there, and what leads the day.
pub(crate) fn managed(more: &str) -> String {
    let (own, _) = groups();
    format!("{}[roles]\nrisk_officer = \"{own}\"\n", venue_not_there(more))
}

/// `[session]` of a venue that is not there.
pub(crate) fn venue_not_there(more: &str) -> String {
    format!(
        "[session]\nvenue = \"itch_ouch\"\naddress = \"127.0.0.1:9\"\nuser = \"A\"\npassword = \"b\"\naccount = 1\n{more}"
    )
}

fn ask(bench: &Bench, ask: &str) -> Value {
    let answer = bench.ask(&format!(r#"{{"version":7,"ask":{ask}}}"#));
    serde_json::from_str(&answer).expect("JSON")
}

/// Whether the step is done, the state after it, and why not.
pub(crate) fn step(bench: &Bench, step: &str) -> (bool, String, String) {
    let answer = ask(bench, &format!(r#"{{"step_day":{{"step":{step},"why":"a test"}}}}"#));
    let day = &answer["answer"]["day"];
    let state = day["state"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (day["done"].as_bool().expect("a word"), state, day["refused"].to_string())
}

fn waive(bench: &Bench, check: &str) {
    let until_ns = u64::MAX / 2;
    let refused = step(bench, &format!(r#"{{"waive":{{"check":"{check}","until_ns":{until_ns}}}}}"#));
    assert!(!refused.0 && refused.2.contains("at most 24 hours"), "{refused:?}");
    let done = step(bench, &waiver(check));
    assert!(done.0, "{check}: {done:?}");
}

/// A waiver for an hour.
pub(crate) fn waiver(check: &str) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64;
    format!(r#"{{"waive":{{"check":"{check}","until_ns":{}}}}}"#, now + 3_600_000_000_000)
}

fn firm(bench: &Bench) -> TradingState {
    let view = bench.view();
    let found = view.segment().expect("a segment").scopes.find(ScopeKind::Firm, 0);
    found.map_or(TradingState::Running, |scope| scope.state)
}

/// Waits until the daemon knows which day runs.
fn until_the_day_is_known(bench: &Bench) {
    // The socket of a daemon that was killed is there still, and nobody listens at it.
    bench.until("ternd listens", || UnixStream::connect(bench.config.paths.control_socket()).is_ok());
    bench.until("the day is known", || ask(bench, "\"look_at_day\"")["answer"]["day"]["day"].is_u64());
}

#[test]
fn a_day_is_led_step_by_step_and_outlives_the_daemon() {
    let mut bench = Bench::new("day", "", &(managed("") + "[day]\nmanaged = true\n"));
    bench.start();
    until_the_day_is_known(&bench);
    let refused = step(&bench, "\"arm\"");
    assert!(!refused.0 && refused.1 == "new" && refused.2.contains("tern day prepare"), "{refused:?}");
    let refused = step(&bench, "\"prepare\"");
    assert!(!refused.0 && refused.2.contains("reference: there is no [reference]"), "{refused:?}");
    let refused = step(&bench, r#"{"waive":{"check":"journal","until_ns":1}}"#);
    assert!(!refused.0 && refused.2.contains("cannot be waived"), "{refused:?}");
    let refused = step(&bench, r#"{"waive":{"check":"weather","until_ns":1}}"#);
    assert!(!refused.0 && refused.2.contains("no check is called"), "{refused:?}");
    ["reference", "opening"].iter().for_each(|check| waive(&bench, check));
    let prepared = step(&bench, "\"prepare\"");
    assert!(prepared.0, "{prepared:?}");
    let refused = step(&bench, "\"ready\"");
    assert!(!refused.0 && refused.2.contains("session: ") && refused.2.contains("audit: "), "{refused:?}");
    ["session", "feed", "audit", "alerts", "disk"].iter().for_each(|check| waive(&bench, check));

    // As a data plane that is led begins: the fake one does not do it by itself.
    bench.signal(Signal::SIGKILL);
    bench.start();
    until_the_day_is_known(&bench);
    bench.until("the new daemon holds the firm", || firm(&bench) == TradingState::CancelOnly);
    let changes = bench.view().segment().expect("a segment").scopes.find(ScopeKind::Firm, 0).expect("a place").changes;
    let lifted = ask(&bench, &format!(r#"{{"lift":{{"kind":"firm","key":0,"changes":{changes}}}}}"#));
    assert!(
        lifted["answer"]["error"].as_str().is_some_and(|why| why.contains("until an operator arms it")),
        "{lifted}"
    );
    assert_eq!(firm(&bench), TradingState::CancelOnly, "nobody but who arms the day lets orders leave");

    bench.until("ready", || step(&bench, "\"ready\"").0);
    assert_eq!(firm(&bench), TradingState::CancelOnly);
    // What a user restricted is his to lift, whatever was waived.
    waive(&bench, "scopes");
    let users =
        Scope { kind: ScopeKind::Firm, key: 0, state: TradingState::ReduceOnly, uid: 4711, since_ns: 1, changes: 0 };
    let restricted = |scope: &Scope| {
        let view = bench.view();
        let scopes = &view.segment().expect("a segment").scopes;
        scopes.restrict(scope).expect("its own place");
        scopes.find(ScopeKind::Firm, 0).expect("there").changes
    };
    let changes = restricted(&users);
    let refused = step(&bench, "\"arm\"");
    assert!(!refused.0 && refused.2.contains("uid 4711 restricted the whole firm (cancel_only)"), "{refused:?}");
    assert_eq!((refused.1.as_str(), firm(&bench)), ("ready", TradingState::CancelOnly));
    ask(&bench, &format!(r#"{{"lift":{{"kind":"firm","key":0,"changes":{changes}}}}}"#));
    let armed = step(&bench, "\"arm\"");
    assert_eq!((armed.0, firm(&bench)), (true, TradingState::Running), "{armed:?}");
    let wound = step(&bench, "\"wind_down\"");
    assert_eq!((wound.0, firm(&bench)), (true, TradingState::ReduceOnly), "{wound:?}");
    let refused = step(&bench, r#"{"reconcile":{"rolled":null}}"#);
    assert!(!refused.0 && refused.1 == "wind_down", "{refused:?}");
    // What a user restricts further is lifted as far as the day lets the firm run, and then it is the day's again.
    let halted = Scope { state: TradingState::Halted, ..users };
    let lift = |changes: u16| {
        let answer = ask(&bench, &format!(r#"{{"lift":{{"kind":"firm","key":0,"changes":{changes}}}}}"#));
        answer["answer"].clone()
    };
    let stale = restricted(&halted);
    let changes = restricted(&Scope { uid: 4712, ..halted });
    assert_eq!(lift(stale)["not_lifted"]["changes"], changes, "somebody restricted it since");
    assert_eq!(firm(&bench), TradingState::Halted);
    let said = lift(changes)["error"].to_string();
    assert!(said.contains("loosened, but not lifted: the trading day is wind_down"), "{said}");
    let found = bench.view().segment().expect("a segment").scopes.find(ScopeKind::Firm, 0).expect("a place");
    assert_eq!((found.state, found.uid), (TradingState::ReduceOnly, SYSTEM_UID));
    let said = lift(found.changes)["error"].to_string();
    assert!(said.contains("the whole firm is reduce_only until an operator arms it"), "{said}");
    assert_eq!(firm(&bench), TradingState::ReduceOnly);
    bench.stop();
    let log = day_log(&bench.config.paths.journal).expect("readable");
    assert_eq!(log.state.name(), "wind_down");
    let steps: Vec<&str> = log.entries.iter().map(|entry| entry.step.name()).collect();
    for wanted in ["refused", "waived", "fact", "prepared", "ready", "armed", "wind_down"] {
        assert!(steps.contains(&wanted), "{wanted} is not among {steps:?}");
    }
    assert!(bench.verified().records > 0);
}

#[test]
fn a_step_whose_record_is_late_is_not_called_refused_and_an_arming_that_came_late_lets_nothing_leave() {
    let patient = "heartbeat_loss_ms = 60000\n";
    let mut bench = Bench::new("late", "", &(managed("") + "[day]\nmanaged = true\n[daemon]\n" + patient));
    bench.start();
    until_the_day_is_known(&bench);
    let checks = ["reference", "opening", "session", "feed", "audit", "alerts", "disk", "scopes"];
    checks.iter().for_each(|check| waive(&bench, check));
    assert!(step(&bench, "\"prepare\"").0);
    bench.until("ready", || step(&bench, "\"ready\"").0);
    // The daemon holds the firm from its start; the fake data plane does not do it by itself.
    bench.signal(Signal::SIGKILL);
    bench.start();
    until_the_day_is_known(&bench);
    bench.until("the new daemon holds the firm", || firm(&bench) == TradingState::CancelOnly);

    // The loop stands still, and so does the way into the journal.
    bench.kill_data_plane(Signal::SIGSTOP);
    let late = step(&bench, "\"arm\"");
    bench.kill_data_plane(Signal::SIGCONT);
    assert!(
        !late.0 && late.2.contains("not refused, but not done") && late.2.contains("`tern day arm` again"),
        "{late:?}"
    );
    let state = || ask(&bench, "\"look_at_day\"")["answer"]["day"].clone();
    bench.until("the record is there", || state()["state"] == "armed");
    assert_eq!((state()["most"].as_str(), firm(&bench)), (Some("cancel_only"), TradingState::CancelOnly));
    let armed = step(&bench, "\"arm\"");
    assert_eq!(
        (armed.0, firm(&bench), state()["most"].as_str()),
        (true, TradingState::Running, Some("running")),
        "{armed:?}"
    );
    bench.stop();
    let log = day_log(&bench.config.paths.journal).expect("readable");
    let refused = |entry: &&DayEntry| entry.step.name() == "refused" && entry.text.starts_with("arm");
    assert_eq!(log.entries.iter().find(refused).map(|entry| &entry.text), None, "the arming was not refused");
}

/// The freeze is lifted for ten minutes.
pub(crate) fn unfreeze() -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64;
    format!(r#"{{"unfreeze":{{"until_ns":{}}}}}"#, now + 600_000_000_000)
}

/// The venue's day is moved so that the open is in an hour or two, whatever the hour of the test: within a freeze of 90 minutes.
pub(crate) fn opens_soon() -> String {
    let minutes = |more: u64| {
        let utc_s = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        (utc_s / 60 + more) % 1440
    };
    let at = |minutes: u64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    format!("day_starts = \"{}\"\norders_from = \"{}\"\n", at(minutes(1380)), at(minutes(60)))
}

#[test]
fn before_the_open_nothing_is_loosened_but_by_a_risk_officers_word() {
    let mut bench = Bench::new("freeze", "", &(managed(&opens_soon()) + "[day]\nfreeze_minutes = 90\n"));
    bench.start();
    until_the_day_is_known(&bench);
    let tighter = set(&bench, 0, r#"{"position_max":900}"#, "calmer");
    assert_eq!(tighter.0, "set", "{tighter:?}");
    let refused = set(&bench, 1, r#"{"position_max":950}"#, "busier");
    assert!(refused.0 == "refused" && refused.2.contains("tern day unfreeze"), "{refused:?}");
    let refused = step(&bench, "\"arm\"");
    assert!(!refused.0 && refused.2.contains("day.managed"), "{refused:?}");
    let lifted = step(&bench, &unfreeze());
    assert!(lifted.0, "{lifted:?}");
    let looser = set(&bench, 1, r#"{"position_max":950}"#, "busier");
    assert_eq!(looser.0, "set", "{looser:?}");
    bench.stop();
    let log = day_log(&bench.config.paths.journal).expect("readable");
    let entry = log.entries.iter().find(|entry| entry.step.name() == "unfrozen").expect("it is journaled");
    assert_eq!(entry.text, "a test");
}
