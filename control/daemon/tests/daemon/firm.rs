//! Two instances of a firm on one host: neither gets above its allotment, and what one gives the other gets.

use crate::bench::Bench;
use crate::day::{opens_soon, step, unfreeze, venue_not_there};
use crate::limits::{groups, journaled, set};
use serde_json::Value;
use std::path::PathBuf;
use tern_abi::command::LimitsOutcome;
use tern_config::firm::ALLOTTED;
use tern_config::ledger::{self, Ledger};
use tern_config::{Config, Limits};

/// Each allotted limit as by default, so many times.
fn amounts(times: i64) -> String {
    let values = Limits::default().values();
    ALLOTTED.iter().map(|limit| format!("{limit} = {}\n", values[*limit] * times)).collect()
}

struct Host {
    a: Bench,
    b: Bench,
    ledger: PathBuf,
}

/// Instances `a` and `b`, which have half of everything each: 2000 shares a symbol, and 1000 in force.
fn host(name: &str, mode: &'static str) -> Host {
    host_with(name, mode, "")
}

/// The same, with more in the configuration of `a`.
fn host_with(name: &str, mode: &'static str, more: &str) -> Host {
    let roles = format!("[roles]\nrisk_officer = \"{}\"\n", groups().0);
    let mut a = Bench::new(&format!("{name}-a"), mode, &format!("{roles}[daemon]\nrestarts_max = 0\n{more}"));
    let mut b = Bench::new(&format!("{name}-b"), "", &roles);
    let (firm, ledger) = (a.folder.join("firm.toml"), a.folder.join("firm").join("acme.json"));
    let mut text = format!("[firm]\nname = \"acme\"\nledger = \"{}\"\n[total]\n{}", ledger.display(), amounts(2));
    for (bench, instance) in [(&mut a, "a"), (&mut b, "b")] {
        let paths = &bench.config.paths;
        text += &format!(
            "[[instance]]\nname = \"{instance}\"\nrun = \"{}\"\nsegment = \"{}\"\n[instance.allotment]\n{}",
            paths.run.display(),
            paths.segment.display(),
            amounts(1)
        );
    }
    std::fs::write(&firm, text).expect("a file");
    for (bench, instance) in [(&mut a, "a"), (&mut b, "b")] {
        let file = bench.config.file().to_path_buf();
        let own = std::fs::read_to_string(&file).expect("its file");
        let named = own.replace(&bench.config.instance.name, instance);
        std::fs::write(&file, format!("{named}[firm]\nfile = \"{}\"\n", firm.display())).expect("its file");
        bench.config = Config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
    }
    Host { a, b, ledger }
}

impl Host {
    fn start(&mut self) {
        for bench in [&mut self.a, &mut self.b] {
            bench.start();
            bench.until_journaled(10);
        }
    }

    fn ledger(&self) -> Ledger {
        ledger::look(&self.ledger).expect("readable").expect("it is there")
    }

    fn ceilings(&self) -> (Option<i64>, Option<i64>) {
        let ledger = self.ledger();
        (ledger.ceiling("a", "position_max"), ledger.ceiling("b", "position_max"))
    }
}

/// Whether it was done, and what was said; an error is not done.
fn ask(bench: &Bench, ask: &str) -> (bool, String) {
    let answer: Value = serde_json::from_str(&bench.ask(&format!(r#"{{"version":7,"ask":{ask}}}"#))).expect("JSON");
    let answer = &answer["answer"];
    let found = &answer["allotment"];
    let said = [&answer["error"], &answer["role"]["message"], &found["message"]].into_iter().find_map(Value::as_str);
    (found["done"] == true, said.unwrap_or_else(|| panic!("{answer}")).into())
}

fn give(bench: &Bench, amount: i64) -> (bool, String) {
    let what = format!(r#""limit":"position_max","to":"b","amount":{amount},"why":"a quiet day for a""#);
    ask(bench, &format!(r#"{{"move_allotment":{{{what}}}}}"#))
}

fn give_gross(bench: &Bench, amount: i64) -> (bool, String) {
    let what = format!(r#""limit":"gross_max","to":"b","amount":{amount},"why":"a quiet day for a""#);
    ask(bench, &format!(r#"{{"move_allotment":{{{what}}}}}"#))
}

/// Kills the data plane, and waits until the daemon has given it up.
fn take_down(bench: &Bench) {
    bench.kill_data_plane(nix::sys::signal::Signal::SIGKILL);
    bench.until("its data plane stays down", || bench.facts().gave_up && bench.facts().dataplane_pid == 0);
    // What it left in the rings is not in the journal at once.
    bench.until("all of its records are in the journal", || {
        let view = bench.view();
        let words = view.segment().expect("a segment");
        words.next_seq.get() == words.journaled_seq.get() + 1
    });
}

fn position(bench: &Bench) -> i64 {
    bench.view().segment().expect("a segment").limits.read().expect("limits").values()[0]
}

#[test]
fn no_instance_gets_above_its_allotment_and_what_one_gives_the_other_may_set() {
    let mut host = host("firm", "");
    host.start();
    assert_eq!(host.ceilings(), (Some(2000), Some(2000)));
    let (verdict, epoch, message) = set(&host.b, 0, r#"{"position_max":2500}"#, "more");
    assert_eq!((verdict.as_str(), epoch), ("refused", 0));
    assert!(message.contains("position_max = 2500 is above the allotment 2000 of the firm's limit"), "{message}");

    let (done, why) = give(&host.a, 2000);
    assert!(!done && why.contains("1 to 1999 can"), "{why}");
    let (done, why) = ask(&host.b, r#""finish_move""#);
    assert!(!done && why == "no move is half done", "{why}");
    assert_eq!(give(&host.a, 1200), (true, String::new()));
    assert_eq!((host.ceilings(), position(&host.a)), ((Some(800), Some(3200)), 800));
    assert_eq!(set(&host.b, 0, r#"{"position_max":3200}"#, "its share").0, "set");
    let (verdict, _, message) = set(&host.a, 1, r#"{"position_max":801}"#, "and back");
    assert!(verdict == "refused" && message.contains("above the allotment 800"), "{message}");
    assert_eq!(set(&host.a, 1, r#"{"position_max":700}"#, "tighter").0, "set");
    assert_eq!(set(&host.a, 2, r#"{"position_max":800}"#, "and back").0, "set");

    // Its file still says 2000: a new run of the segment would keep 800, one of a new segment would not.
    host.a.stop();
    host.a.start();
    host.a.until("its data plane is not started", || host.a.facts().gave_up);
    assert!(host.a.log().contains("position_max is 2000, 1200 above the allotment 800"), "{}", host.a.log());
    assert_eq!(host.a.facts().dataplane_pid, 0);
    host.a.stop();
    host.b.stop();
    let (commands, outcomes) = journaled(&host.a);
    let why: Vec<&str> = commands.iter().map(|command| command.why()).collect();
    assert_eq!(why, ["a quiet day for a", "and back", "tighter", "and back"]);
    let (set, range) = (LimitsOutcome::Set, LimitsOutcome::Range);
    assert_eq!(outcomes, [set, range, set, set]);
}

#[test]
fn before_the_open_no_allotment_moves_but_by_a_risk_officers_word() {
    let more = venue_not_there(&opens_soon()) + "[day]\nfreeze_minutes = 90\n";
    let mut host = host_with("frozen", "", &more);
    host.start();
    let (done, why) = give(&host.a, 100);
    assert!(!done && why.contains("nothing is loosened in the 90 minutes before"), "{why}");
    assert_eq!(host.ceilings(), (Some(2000), Some(2000)));
    let lifted = step(&host.a, &unfreeze());
    assert!(lifted.0, "{lifted:?}");
    assert_eq!(give(&host.a, 100), (true, String::new()));
    assert_eq!(host.ceilings(), (Some(1900), Some(2100)));
    host.a.stop();
    host.b.stop();
}

#[test]
fn a_move_of_which_the_first_half_is_not_confirmed_gives_nothing_until_it_is_finished_or_undone() {
    // Somebody sets limits between the daemon's look and the loop's, each time.
    let mut host = host("half", "late_limits");
    host.start();
    let (done, why) = give(&host.a, 1200);
    assert!(!done && why.contains("others set limits meanwhile; nothing was given to anybody"), "{why}");
    assert_eq!(host.ceilings(), (Some(800), Some(2000)), "neither may use it");
    let (done, why) = give(&host.a, 5);
    assert!(!done && why.contains("a move of 1200 position_max from a to b is half done"), "{why}");
    let (done, why) = ask(&host.b, r#""finish_move""#);
    assert!(!done && why.contains("the move takes from a: its ternd has to be asked, and not that of b"), "{why}");
    assert_eq!(set(&host.b, 0, r#"{"position_max":2001}"#, "too early").0, "refused");
    let (done, why) = ask(&host.a, r#""finish_move""#);
    assert!(!done && why.contains("nothing was given"), "{why}");
    assert_eq!(ask(&host.b, r#""undo_move""#), (true, String::new()), "whichever daemon lives can");
    assert_eq!((host.ceilings(), host.ledger().moving), ((Some(2000), Some(2000)), None));
    host.b.stop();
    host.a.stop();
}

#[test]
fn what_is_used_is_not_given_away() {
    let mut host = host("used", "holds");
    host.start();
    let (done, why) = give(&host.a, 1200);
    assert!(!done && why.contains("900 of position_max are used here, and 800 would be left"), "{why}");
    assert_eq!((host.ceilings(), host.ledger().moving, position(&host.a)), ((Some(2000), Some(2000)), None, 1000));
    assert_eq!(give(&host.a, 1100), (true, String::new()));
    assert_eq!((host.ceilings(), position(&host.a)), ((Some(900), Some(3100)), 900));
    host.a.stop();
    host.b.stop();
}

#[test]
fn what_became_used_before_the_limit_was_tighter_is_not_given_away_either() {
    let mut host = host("late-used", "late_holds");
    host.start();
    let (done, why) = give(&host.a, 1200);
    assert!(!done && why.contains("900 of position_max are used here, and 800 would be left"), "{why}");
    assert!(why.contains("nothing was given to anybody"), "{why}");
    assert_eq!((host.ceilings(), position(&host.a)), ((Some(800), Some(2000)), 800), "neither may use it");
    assert!(!ask(&host.a, r#""finish_move""#).0, "they are used still");
    assert_eq!(ask(&host.a, r#""undo_move""#), (true, String::new()));
    assert_eq!(host.ceilings(), (Some(2000), Some(2000)));
    host.a.stop();
    host.b.stop();
}

#[test]
fn what_one_that_stays_down_left_open_stays_with_it_and_the_rest_may_be_taken() {
    let mut host = host("down", "leaves");
    host.start();
    host.a.until("its data plane stays down", || host.a.facts().gave_up);
    // Three orders of 100 shares, of which the venue has said nothing.
    let (done, why) = give(&host.a, 1701);
    assert!(!done && why.contains("300 of position_max are used here, and 299 would be left"), "{why}");
    assert_eq!((host.ceilings(), host.ledger().moving), ((Some(2000), Some(2000)), None));
    assert_eq!(give(&host.a, 1700), (true, String::new()));
    assert_eq!(host.ceilings(), (Some(300), Some(3700)));
    assert_eq!(set(&host.b, 0, r#"{"position_max":3700}"#, "its share").0, "set");
    let gross = r#"{"move_allotment":{"limit":"gross_max","to":"b","amount":1,"why":"all of it"}}"#;
    let (done, why) = ask(&host.a, gross);
    assert!(!done && why.contains("no data plane has said which gross_max was in force here"), "{why}");
    host.a.stop();
    host.a.start();
    let refused = "position_max is 2000, 1700 above the allotment 300";
    host.a.until("it is not started with more than is left", || host.a.log().contains(refused));
    host.a.stop();
    host.b.stop();
}

#[test]
fn what_is_above_a_limit_that_was_set_below_it_stays_with_one_that_is_down() {
    let mut host = host("above-down", "spends");
    host.start();
    let all = Limits::default().gross_max;
    let used = all / 10 * 8;
    assert_eq!(set(&host.a, 0, &format!(r#"{{"gross_max":{}}}"#, all / 2), "less").0, "set");
    host.a.until("it says what it uses of the new limit", || {
        let view = host.a.view();
        let words = view.segment().expect("a segment");
        let limits = words.limits.read().expect("limits");
        words.usage.read().is_some_and(|usage| usage.used[2] == used && usage.tai_ns >= limits.since_ns)
    });
    take_down(&host.a);
    let (done, why) = give_gross(&host.a, all / 2);
    assert!(
        !done && why.contains(&format!("{used} of gross_max are used here, and {} would be left", all / 2)),
        "{why}"
    );
    assert!(!give_gross(&host.a, all - used + 1).0, "one more than what is not used");
    // As little is given without its journal, which says whether that was its last word.
    let (journal, away) = (host.a.config.paths.journal.clone(), host.a.folder.join("away"));
    std::fs::rename(&journal, &away).expect("it is there");
    let (done, why) = give_gross(&host.a, all - used);
    assert!(!done && why.contains("ends with record 0, and"), "{why}");
    std::fs::rename(&away, &journal).expect("it was there");
    assert_eq!((host.ledger().moving, host.ledger().ceiling("b", "gross_max")), (None, Some(all)));
    assert_eq!(give_gross(&host.a, all - used), (true, String::new()));
    let ledger = host.ledger();
    assert_eq!(
        (ledger.ceiling("a", "gross_max"), ledger.ceiling("b", "gross_max")),
        (Some(used), Some(2 * all - used))
    );
    host.a.stop();
    host.b.stop();
}

#[test]
fn a_move_that_is_half_done_when_its_data_plane_goes_down_is_not_finished_before_less_is_used() {
    let mut host = host("half-down", "late_spends");
    host.start();
    let all = Limits::default().gross_max;
    let too_much = format!("{} of gross_max are used here, and {} would be left", all / 10 * 8, all / 2);
    let (done, why) = give_gross(&host.a, all / 2);
    assert!(!done && why.contains(&too_much), "{why}");
    assert!(host.ledger().moving.is_some(), "it is half done: {why}");
    take_down(&host.a);
    let (done, why) = ask(&host.a, r#""finish_move""#);
    assert!(!done && why.contains(&too_much), "{why}");
    assert_eq!(host.ledger().ceiling("b", "gross_max"), Some(all), "nothing was given");
    // The next run has closed enough. The segment stays where its daemon was killed.
    let _ = host.a.signal(nix::sys::signal::Signal::SIGKILL);
    host.a.start();
    host.a.until("another run", || {
        let facts = host.a.facts();
        !facts.gave_up && facts.dataplane_pid != 0 && ask(&host.a, r#""finish_move""#).0
    });
    let ledger = host.ledger();
    assert_eq!((ledger.moving.as_ref(), ledger.ceiling("b", "gross_max")), (None, Some(all + all / 2)));
    host.a.stop();
    host.b.stop();
}

#[test]
fn one_that_is_down_and_has_not_said_what_it_uses_under_the_last_limit_gives_nothing() {
    let mut host = host("mute-down", "mute");
    host.start();
    let all = Limits::default().gross_max;
    assert_eq!(set(&host.a, 0, &format!(r#"{{"gross_max":{}}}"#, all / 2), "less").0, "set");
    take_down(&host.a);
    let (done, why) = give_gross(&host.a, 1);
    let unknown = format!("the last data plane has not said what it used of gross_max = {}", all / 2);
    assert!(!done && why.contains(&unknown), "{why}");
    assert_eq!((host.ledger().moving, host.ledger().ceiling("a", "gross_max")), (None, Some(all)));
    host.a.stop();
    host.b.stop();
}

#[test]
fn with_a_ledger_above_the_totals_a_data_plane_that_runs_is_stopped_and_none_is_started() {
    let mut host = host("above", "");
    host.start();
    // The daemons die, and the firm's total is cut meanwhile.
    let _ = host.a.signal(nix::sys::signal::Signal::SIGKILL);
    host.b.stop();
    let firm = host.a.folder.join("firm.toml");
    let text = std::fs::read_to_string(&firm).expect("a file");
    let text = text.replace("position_max = 4000", "position_max = 3000");
    let text = text.replacen("position_max = 2000", "position_max = 900", 1);
    std::fs::write(&firm, text).expect("a file");
    host.b.start();
    host.b.until("its data plane is not started", || host.b.facts().gave_up);
    let said = "position_max: the instances have 4000 together, 1000 more than the total 3000";
    assert!(host.b.log().contains(said), "{}", host.b.log());
    host.a.start();
    host.a.until("the adopted one is stopped", || host.a.facts().killed);
    assert!(host.a.log().contains(said), "{}", host.a.log());
    // A new ledger is not made over the head of one that runs with more than its first allotment.
    host.b.stop();
    std::fs::remove_file(&host.ledger).expect("it is there");
    host.b.start();
    let said = "there is no ledger, and a runs with";
    host.b.until("it says why not", || host.b.log().contains(said));
    assert!(!host.ledger.exists());
    host.b.stop();
}
