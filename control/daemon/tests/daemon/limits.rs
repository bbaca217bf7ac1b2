//! Limits set over the control socket: by whom, against which epoch, and what the journal has of it.

use crate::bench::Bench;
use nix::unistd::{Group, getgid, getuid};
use serde_json::Value;
use tern_abi::command::{LimitsOutcome, SetLimits};
use tern_abi::record::{Kind, LimitsRecord};
use tern_journal::Reader;
use zerocopy::FromBytes;

/// The verdict, the epoch and the message that the daemon answers; `error` for an error.
pub(crate) fn set(bench: &Bench, epoch: u32, values: &str, why: &str) -> (String, u64, String) {
    verdict(bench, &format!(r#"{{"set_limits":{{"epoch":{epoch},"values":{values},"why":"{why}"}}}}"#))
}

/// The same of bounds of a price.
fn set_bounds(bench: &Bench, epoch: u32, symbol: &str, [seen, wanted]: [[u32; 2]; 2]) -> (String, u64, String) {
    let bounds = format!(r#""symbol":"{symbol}","seen":{seen:?},"wanted":{wanted:?},"why":"cents""#);
    verdict(bench, &format!(r#"{{"set_bounds":{{"epoch":{epoch},{bounds}}}}}"#))
}

fn verdict(bench: &Bench, ask: &str) -> (String, u64, String) {
    let answer = bench.ask(&format!(r#"{{"version":7,"ask":{ask}}}"#));
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let limits = &answer["answer"]["limits"];
    match answer["answer"]["error"].as_str() {
        Some(error) => ("error".into(), 0, error.into()),
        None => (
            limits["verdict"].as_str().unwrap_or_else(|| panic!("{answer}")).into(),
            limits["epoch"].as_u64().expect("an epoch"),
            limits["message"].as_str().expect("a message").into(),
        ),
    }
}

/// What the journal has: commands, and what came of each.
pub(crate) fn journaled(bench: &Bench) -> (Vec<SetLimits>, Vec<LimitsOutcome>) {
    let mut reader = Reader::open(&bench.config.paths.journal).expect("a journal");
    let (mut commands, mut outcomes) = (Vec::new(), Vec::new());
    while let Some(record) = reader.next().expect("it is whole") {
        match record.kind() {
            Some(Kind::SetLimits) => commands.push(SetLimits::of_record(record.body).expect("its layout")),
            Some(Kind::Limits) => {
                let found = LimitsRecord::read_from_bytes(record.body).expect("its layout");
                outcomes.push(LimitsOutcome::from_index(found.outcome as usize).expect("one of them"));
            }
            _ => {}
        }
    }
    (commands, outcomes)
}

/// The runner's own group, and one that it is not in.
pub(crate) fn groups() -> (String, String) {
    let own = Group::from_gid(getgid()).expect("groups can be read").expect("it has a name").name;
    let user = nix::unistd::User::from_uid(getuid()).expect("users can be read").expect("it has a name");
    let name = std::ffi::CString::new(user.name).expect("no zero");
    let mine = nix::unistd::getgrouplist(&name, user.gid).expect("its groups");
    let other = ["daemon", "bin", "nogroup", "users"].iter().find(|name| {
        let group = Group::from_name(name).expect("groups can be read");
        group.is_some_and(|group| !mine.contains(&group.gid))
    });
    (own, (*other.expect("a group of the system")).into())
}

#[test]
fn all_of_a_set_is_in_force_or_nothing_and_the_journal_says_who_and_why() {
    let (own, _) = groups();
    let mut bench = Bench::new("limits", "", &format!("[roles]\nrisk_officer = \"{own}\"\n"));
    bench.start();
    bench.until_journaled(10);
    let both = r#"{"position_max":900,"duplicate_window_ns":10}"#;
    assert_eq!(set(&bench, 0, both, "a test"), ("set".into(), 1, String::new()));
    let view = bench.view();
    let words = view.segment().expect("a segment");
    let found = words.limits.read().expect("it says so");
    assert_eq!((found.values(), found.epoch, found.why()), (&[900, 10][..], 1, "a test"));
    assert_eq!(found.uid, getuid().as_raw());

    // What was seen is not in force any more.
    let (verdict, epoch, message) = set(&bench, 0, r#"{"position_max":800}"#, "late");
    assert_eq!((verdict.as_str(), epoch), ("stale", 1));
    assert!(message.contains("epoch 0 was seen, 1 is in force; look again"), "{message}");
    let (verdict, epoch, message) = set(&bench, 1, r#"{"position_max":-5}"#, "wrong");
    assert_eq!((verdict.as_str(), epoch), ("refused", 1));
    assert!(message.contains("out of range; nothing was changed"), "{message}");
    for (values, why, said) in [
        (r#"{"position_maximum":1}"#, "typo", "no limit `position_maximum`; the data plane has: position_max, dup"),
        (r#"{"position_max":1}"#, "", "why: 1 to 160 bytes of text"),
        (r#"{"position_max":1}"#, "two\\nlines", "why: 1 to 160 bytes of text"),
    ] {
        let (verdict, _, message) = set(&bench, 1, values, why);
        assert!(verdict == "error" && message.contains(said), "{message}");
    }
    assert_eq!(words.limits.read(), Some(found), "nothing of it changed anything");
    bench.stop();

    let (commands, outcomes) = journaled(&bench);
    assert_eq!(outcomes, [LimitsOutcome::Set, LimitsOutcome::Stale, LimitsOutcome::Range]);
    let said: Vec<(u32, u32, &str)> =
        commands.iter().map(|command| (command.uid, command.epoch_seen, command.why())).collect();
    let uid = getuid().as_raw();
    assert_eq!(said, [(uid, 0, "a test"), (uid, 0, "late"), (uid, 1, "wrong")]);
    assert_eq!(commands[1].values(), [800, 10], "what was wanted, though it was refused");
}

#[test]
fn loosening_needs_the_risk_officer_and_the_refusal_is_journaled() {
    let (own, other) = groups();
    let roles = format!("[roles]\noperator = \"{own}\"\nrisk_officer = \"{other}\"\nroot_is_risk_officer = false\n");
    let mut bench = Bench::new("roles", "", &roles);
    bench.start();
    bench.until_journaled(10);
    // One of the two is looser: nothing of it is set.
    let mixed = r#"{"position_max":900,"duplicate_window_ns":10}"#;
    let (verdict, epoch, message) = set(&bench, 0, mixed, "a test");
    assert_eq!((verdict.as_str(), epoch), ("role", 0));
    let expected =
        format!("loosening duplicate_window_ns needs the role risk officer, which has: members of the group `{other}`");
    assert!(message.contains(&expected) && message.contains("nothing was changed"), "{message}");
    assert_eq!(set(&bench, 0, r#"{"position_max":900}"#, "tighter").0, "set");
    assert_eq!(set(&bench, 1, r#"{"position_max":901}"#, "and back").0, "role");
    let taken = r#""answer":{"command":{"taken":true}}"#;
    assert!(bench.ask(r#"{"version":7,"ask":"kill"}"#).contains(taken), "a kill asks for no role");
    bench.stop();
    let (commands, outcomes) = journaled(&bench);
    assert_eq!(outcomes, [LimitsOutcome::Role, LimitsOutcome::Set, LimitsOutcome::Role]);
    assert_eq!((commands[0].values(), commands[0].why()), (&[900, 10][..], "a test"));
}

#[test]
fn a_group_that_is_not_there_bars_nobody_from_tightening() {
    let roles =
        "[roles]\noperator = \"no-such-group-1\"\nrisk_officer = \"no-such-group-2\"\nroot_is_risk_officer = false\n";
    let mut bench = Bench::new("no-groups", "", roles);
    bench.start();
    bench.until_journaled(10);
    assert_eq!(set(&bench, 0, r#"{"position_max":900}"#, "tighter").0, "set");
    let (verdict, _, message) = set(&bench, 1, r#"{"position_max":1000}"#, "looser");
    assert!(verdict == "role" && message.contains("`no-such-group-2` of [roles], which does not exist"), "{message}");
    bench.stop();
}

#[test]
fn limits_that_were_set_between_the_daemons_look_and_the_loops_refuse_it() {
    let mut bench = Bench::new("late-limits", "late_limits", "");
    bench.start();
    bench.until_journaled(10);
    let (verdict, epoch, message) = set(&bench, 0, r#"{"position_max":900}"#, "too late");
    assert_eq!((verdict.as_str(), epoch), ("stale", 1), "{message}");
    bench.stop();
    let (commands, outcomes) = journaled(&bench);
    assert_eq!(outcomes, [LimitsOutcome::Set, LimitsOutcome::Stale]);
    assert_eq!(commands.iter().map(|command| command.why()).collect::<Vec<_>>(), ["somebody else", "too late"]);
}

#[test]
fn without_a_data_plane_there_is_nothing_to_set() {
    let mut bench = Bench::new("no-plane", "usage", "");
    bench.start();
    bench.until("it is given up at once", || bench.facts().gave_up);
    let (verdict, _, message) = set(&bench, 0, r#"{"position_max":900}"#, "a test");
    assert!(verdict == "error" && message.contains("no data plane runs"), "{message}");
    bench.stop();
}

#[test]
fn bounds_of_a_price_are_set_by_role_and_the_journal_says_by_whom_and_why() {
    let (own, other) = groups();
    let roles = format!("[roles]\noperator = \"{own}\"\nrisk_officer = \"{other}\"\nroot_is_risk_officer = false\n");
    let mut bench = Bench::new("bounds", "", &roles);
    bench.start();
    bench.until_journaled(10);
    let (verdict, epoch, message) = set_bounds(&bench, 0, "GME", [[2000, 2600], [200_000, 260_000]]);
    assert_eq!((verdict.as_str(), epoch), ("role", 0));
    assert!(message.contains("loosening the bounds of GME needs the role risk officer"), "{message}");
    assert_eq!(set_bounds(&bench, 0, "GME", [[2000, 2600], [2100, 2600]]).0, "set");
    assert_eq!(set_bounds(&bench, 0, "GME", [[2100, 2600], [2100, 2500]]).0, "stale");
    for wrong in ["", "LONGERNAME", "a b"] {
        let (verdict, _, message) = set_bounds(&bench, 1, wrong, [[1, 9], [1, 8]]);
        assert!(verdict == "error" && message.contains("is not a symbol"), "{message}");
    }
    // As many as there are places for, and the one that is there already.
    for index in 1..32 {
        assert_eq!(set_bounds(&bench, index, &format!("S{index}"), [[1, 9], [1, 8]]).0, "set", "{index}");
    }
    let (verdict, _, message) = set_bounds(&bench, 32, "S32", [[1, 9], [1, 8]]);
    assert!(
        verdict == "error" && message.contains("as many symbols were set today as there are places for"),
        "{message}"
    );
    assert_eq!(set_bounds(&bench, 32, "GME", [[2100, 2600], [2200, 2600]]).0, "set");
    bench.stop();
    let (commands, outcomes) = journaled(&bench);
    assert_eq!(outcomes[..3], [LimitsOutcome::Role, LimitsOutcome::Set, LimitsOutcome::Stale]);
    let first = commands[0];
    assert_eq!((first.uid, first.why(), first.bounds.symbol), (getuid().as_raw(), "cents", *b"GME     "));
    assert_eq!((first.bounds.seen, first.bounds.wanted), ([2000, 2600], [200_000, 260_000]), "what was wanted");
    assert_eq!(first.values(), commands[1].values(), "no other limit changes with it");
}
