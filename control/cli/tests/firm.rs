//! `tern firm`, without daemons: what it shows, and what it says where it cannot do anything.

mod common;

use common::Bench;
use serde_json::json;
use tern_abi::command::SetLimits;
use tern_abi::segment::LimitsState;
use tern_config::Config;
use tern_config::facts::{DataplaneFacts, Named, Names};
use tern_config::firm::ALLOTTED;
use tern_config::ledger::{Ledger, Locked, Move, Store};
use tern_hw::segment::DataPlaneSegment;

fn all(value: i64) -> String {
    ALLOTTED.iter().map(|limit| format!("{limit} = {value}\n")).collect()
}

#[test]
fn show_says_who_may_use_what_and_which_move_is_half_done() {
    let mut bench = Bench::new("firm");
    let output = bench.tern(&["firm", "show"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no [firm]"), "{output:?}");

    let at = |file: &str| bench.folder.join(file).display().to_string();
    let firm = format!(
        "[firm]\nname = \"acme\"\nledger = \"{}\"\n[total]\n{}[[instance]]\nname = \"cli\"\nrun = \"{}\"\nsegment = \"{}\"\n\
         [instance.allotment]\n{}[[instance]]\nname = \"other\"\nrun = \"{}\"\n[instance.allotment]\n{}",
        at("acme.json"),
        all(100),
        at("run"),
        at("segment"),
        all(60),
        at("other"),
        all(30)
    );
    std::fs::write(at("firm.toml"), firm).expect("a file");
    let own = std::fs::read_to_string(bench.config.file()).expect("its file") + "[firm]\nfile = \"firm.toml\"\n";
    std::fs::write(bench.config.file(), own).expect("its file");
    let ledger_file = bench.folder.join("acme.json");
    bench.config = Config::load(bench.config.file()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(bench.tern(&["firm", "show"]).status.code(), Some(3), "no ledger yet");

    let firm = bench.config.load_firm().unwrap_or_else(|problems| panic!("{problems}")).expect("a firm");
    let mut ledger = Ledger::first(&firm);
    let mut locked = Locked::take(&ledger_file).expect("the lock");
    locked.write(&ledger).expect("written");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    plane.segment.words().limits.write(&LimitsState::new(&SetLimits::new(&[55], (0, 0), 7, "calm"), 5));
    let limits = vec![Named::new("open_orders_max", "")];
    let facts = DataplaneFacts { names: Names { limits, ..Names::default() }, ..DataplaneFacts::default() };
    tern_config::facts::write(&bench.config.paths.dataplane_facts(), &facts).expect("facts");
    let (code, said) = bench.json(&["firm", "show"]);
    assert_eq!((code, &said["firm"], &said["moving"]), (0, &json!("acme"), &json!(null)), "{said}");
    let orders = &said["limits"][5];
    assert_eq!(
        (&orders["limit"], &orders["total"], &orders["left"]),
        (&json!("open_orders_max"), &json!(100), &json!(10))
    );
    let own = json!({ "instance": "cli", "allotment": 60, "ceiling": 60, "in_force": 55, "used": null });
    assert_eq!(orders["instances"][0], own);
    let other = json!({ "instance": "other", "allotment": 30, "ceiling": 30, "in_force": null, "used": null });
    assert_eq!(orders["instances"][1], other);

    let why = "quiet".to_owned();
    let (limit, from, to) = ("open_orders_max".into(), "cli".into(), "other".into());
    ledger.moving = Some(Move { limit, from, to, amount: 25, why, uid: 7 });
    locked.write(&ledger).expect("written");
    let (code, said) = bench.json(&["firm", "show"]);
    assert_eq!((code, &said["moving"]["amount"]), (3, &json!(25)), "{said}");
    let instances = &said["limits"][5]["instances"];
    assert_eq!((&instances[0]["ceiling"], &instances[1]["ceiling"]), (&json!(35), &json!(30)), "neither may use it");
    let text = bench.tern(&["firm", "show"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("HALF DONE: 25 orders of open_orders_max from cli to other, begun by uid 7: quiet\n"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");

    // What moves goes through the daemon, which does not run.
    assert_eq!(bench.tern(&["firm", "finish"]).status.code(), Some(3));
    assert_eq!(bench.tern(&["firm", "undo"]).status.code(), Some(3));
    let to_nobody = ["firm", "move", "--limit", "net_max", "--from", "x", "--to", "cli", "--amount", "1", "--why", "w"];
    assert_eq!(bench.tern(&to_nobody).status.code(), Some(2));

    ledger.moving = None;
    ledger.held.entry("cli".into()).or_default().insert("net_max".into(), 71);
    locked.write(&ledger).expect("written");
    let (code, said) = bench.json(&["firm", "show"]);
    let problem = said["problem"].as_str().expect("a problem");
    assert!(code == 3 && problem.starts_with("net_max: the instances have 101 together, 1 more than"), "{said}");
}
