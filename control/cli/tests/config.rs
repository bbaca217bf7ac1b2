//! `tern config`: files, what runs, what would change, and the limits that ever were in force.

mod common;

use common::Bench;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use tern_abi::command::{SetBounds, SetLimits};
use tern_abi::record::{Kind, LimitsRecord, RecordHeader, StartRecord};
use tern_abi::segment::LimitsState;
use tern_config::Limits;
use tern_config::facts::{DataplaneFacts, Named, Names};
use tern_hw::segment::DataPlaneSegment;
use tern_journal::{Options, Writer};
use zerocopy::IntoBytes;

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn names() -> Names {
    Names {
        limits: Limits::default().values().into_keys().map(|name| Named::new(name, "")).collect(),
        ..Names::default()
    }
}

/// The default limits, some of them otherwise, in the data plane's order.
fn limits(other: &[(&str, i64)]) -> Vec<i64> {
    let mut values = Limits::default().values();
    other.iter().for_each(|(name, value)| _ = values.insert((*name).to_owned(), *value));
    values.into_values().collect()
}

/// A journal of one start and the sets of limits behind it.
fn write_journal(bench: &Bench, sets: &[SetLimits]) {
    let (mut journal, _) = Writer::open(&bench.config.paths.journal, Options::new("cli")).expect("a journal");
    let mut seq = 0;
    let mut put = |kind: Kind, body: &[u8]| {
        seq += 1;
        let tai_ns = 1_795_354_953_000_000_000 + seq;
        let header = RecordHeader { seq, tai_ns, kind: kind as u16, flags: 0, body_bytes: body.len() as u32 };
        journal.append(&header, body).expect("the disk is not full");
    };
    let start = names().start_text(&bench.config.effective_toml());
    put(Kind::Start, &[StartRecord::default().as_bytes(), start.as_bytes()].concat());
    for set in sets {
        // Without bounds as builds wrote it that knew none.
        let old = std::mem::offset_of!(SetLimits, bounds);
        put(Kind::SetLimits, if set.bounds.is_meant() { set.as_bytes() } else { &set.as_bytes()[..old] });
        put(Kind::Limits, LimitsRecord { cause_seq: 0, epoch: set.epoch, outcome: 0 }.as_bytes());
    }
    journal.flush().expect("the disk is not full");
}

#[test]
fn a_wrong_file_is_shown_in_its_lines_and_each_problem_is_there_for_programs() {
    let bench = Bench::new("config-check");
    let right = bench.tern(&["config", "check"]);
    assert_eq!(right.status.code(), Some(0));
    assert!(text(&right).ends_with("tern.toml: right, for instance cli\n"), "{right:?}");
    let file = bench.folder.join("wrong.toml");
    let wrong = "[instance]\nname = \"x\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\nring_frames = 100\n[limits]\nposition_max = 0\n";
    std::fs::write(&file, wrong).expect("a file");
    let file = file.display().to_string();
    let said = bench.tern(&["config", "check", &file]);
    assert_eq!(said.status.code(), Some(2));
    for part in [
        ":6:15\n  |\n6 | ring_frames = 100\n  |               ^\n  = right would be: a power of two",
        "8 | position_max = 0",
    ] {
        assert!(text(&said).contains(part), "{}", text(&said));
    }
    let (code, said) = bench.json(&["config", "check", &file]);
    assert_eq!((code, &said["valid"], &said["problems"][1]["line"]), (2, &false.into(), &8.into()), "{said}");
    assert_eq!(said["problems"][0]["field"], "port.ring_frames");
}

#[test]
fn a_key_is_explained_and_one_that_is_not_there_has_neighbours() {
    let bench = Bench::new("config-explain");
    let one = text(&bench.tern(&["config", "explain", "loop.wait"]));
    for part in ["spin: Polls without pause", "default:       \"spin\"", "takes effect:  restart"] {
        assert!(one.contains(part), "{one}");
    }
    let (_, section) = bench.json(&["config", "explain", "[metrics]"]);
    assert_eq!(section["keys"][0]["key"], "metrics.listen");
    let none = bench.tern(&["config", "explain", "limits.postion_max"]);
    assert_eq!(none.status.code(), Some(2));
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(said.contains("near to it are limits.position_max"), "{said}");
    let (_, schema) = bench.json(&["config", "schema"]);
    assert!(schema["schema"]["properties"]["instance"].is_object(), "{schema}");
}

#[test]
fn the_reference_is_what_the_program_says() {
    let bench = Bench::new("config-reference");
    let said = text(&bench.tern(&["config", "explain", "--markdown"]));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CONFIGURATION.md");
    let there = std::fs::read_to_string(file).unwrap_or_default();
    assert!(there == said, "docs/CONFIGURATION.md is old: `tern config explain --markdown >docs/CONFIGURATION.md`");
}

#[test]
fn what_runs_is_shown_with_the_limits_in_force_and_a_file_is_held_against_it() {
    let bench = Bench::new("config-diff");
    assert_eq!(bench.tern(&["config", "show"]).status.code(), Some(3), "it never ran");
    write_journal(&bench, &[]);
    let (code, said) = bench.json(&["config", "show"]);
    assert_eq!((code, &said["limits"], &said["values"]["limits.position_max"]), (0, &Value::Null, &"2000".into()));

    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    tern_config::facts::write(
        &bench.config.paths.dataplane_facts(),
        &DataplaneFacts { names: names(), ..DataplaneFacts::default() },
    )
    .expect("facts");
    let command = SetLimits::new(&limits(&[("position_max", 1500), ("self_trade", 3)]), (2, 3), 1000, "calm");
    plane.segment.words().limits.write(&LimitsState::new(&command, 5));
    let (_, said) = bench.json(&["config", "show"]);
    assert_eq!((&said["limits"]["epoch"], &said["limits"]["set"]["why"]), (&3.into(), &"calm".into()), "{said}");
    assert_eq!(said["values"]["limits.self_trade"], "\"cancel_both\"");

    let (code, said) = bench.json(&["config", "diff"]);
    assert_eq!((code, &said["needs_restart"]), (0, &false.into()), "{said}");
    let expected = json!([
        { "key": "limits.position_max", "from": "1500", "to": "2000", "takes_effect": "live", "change": "looser" },
        { "key": "limits.self_trade", "from": "\"cancel_both\"", "to": "\"cancel_newest\"", "takes_effect": "live",
          "change": "looser" },
    ]);
    assert_eq!(said["changes"], expected);

    // One key that takes a restart keeps all of them from being set.
    let file = bench.folder.join("other.toml");
    let other = std::fs::read_to_string(bench.config.file()).expect("it is there") + "[loop]\nwait = \"block\"\n";
    std::fs::write(&file, other).expect("a file");
    let file = file.display().to_string();
    let said = text(&bench.tern(&["config", "diff", &file]));
    assert!(said.contains("loop.wait: \"spin\" -> \"block\" (restart)\n"), "{said}");
    assert!(said.ends_with("1 take effect with the next start\n"), "{said}");
    let (code, said) = bench.json(&["config", "apply", &file, "--why", "x"]);
    assert_eq!((code, &said["verdict"]), (2, &"needs_restart".into()), "{said}");
    assert_eq!(bench.tern(&["config", "apply"]).status.code(), Some(2), "why?");
    let daemonless = bench.tern(&["config", "apply", "--why", "x"]);
    assert_eq!(daemonless.status.code(), Some(3), "it goes to the daemon: {daemonless:?}");
}

#[test]
fn limits_have_a_history_and_an_earlier_epoch_can_be_had_again() {
    let bench = Bench::new("config-history");
    let sets = [
        SetLimits::new(&limits(&[("position_max", 1500)]), (0, 1), 1000, "calm"),
        SetLimits::new(&limits(&[("position_max", 1200), ("gross_max", 7)]), (1, 2), u32::MAX, "allotted"),
    ];
    write_journal(&bench, &sets);
    let said = text(&bench.tern(&["config", "history"]));
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("epoch 0  2026-11-22T13:42:33") && lines[0].ends_with("with the configuration's"),
        "{said}"
    );
    assert!(lines[1].ends_with("by uid 1000: calm") && lines[2] == "  position_max: 2000 -> 1500", "{said}");
    assert!(lines[3].ends_with("by the data plane: allotted") && lines[4].starts_with("  gross_max: "), "{said}");
    let (_, said) = bench.json(&["config", "history"]);
    assert_eq!((&said["epochs"][1]["uid"], &said["epochs"][2]["uid"]), (&1000.into(), &Value::Null));

    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let facts = DataplaneFacts { names: names(), ..DataplaneFacts::default() };
    tern_config::facts::write(&bench.config.paths.dataplane_facts(), &facts).expect("facts");
    plane.segment.words().limits.write(&LimitsState::new(&sets[1], 5));
    let none = bench.tern(&["config", "rollback", "9", "--why", "x"]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    let listener = UnixListener::bind(bench.config.paths.control_socket()).expect("a socket");
    let asked = std::thread::scope(|scope| {
        let daemon = scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("tern connects");
            let mut asked = String::new();
            BufReader::new(stream.try_clone().expect("a socket")).read_line(&mut asked).expect("a request");
            let answer = json!({ "version": tern_config::protocol::PROTOCOL_VERSION,
                "answer": { "limits": { "verdict": "set", "epoch": 3, "message": "" } } });
            writeln!(stream, "{answer}").expect("it is taken");
            serde_json::from_str::<Value>(&asked).expect("JSON")
        });
        let output = bench.tern(&["config", "rollback", "1", "--why", "back to calm"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        daemon.join().expect("it answers")
    });
    let gross = Limits::default().gross_max;
    let expected = json!({ "epoch": 2, "values": { "position_max": 1500, "gross_max": gross }, "why": "back to calm" });
    assert_eq!(asked["ask"]["set_limits"], expected, "what differs, against the epoch in force");
}

#[test]
fn records_of_earlier_builds_have_epochs_and_bounds_of_prices_stand_in_the_way_of_a_rollback() {
    let bench = Bench::new("config-bounds");
    let bounds = SetBounds { symbol: *b"GME     ", seen: [1, 9], wanted: [2, 8] };
    let first = SetLimits::new(&limits(&[("position_max", 1500)]), (0, 1), 1000, "calm");
    let second = SetLimits { bounds, ..SetLimits::new(&limits(&[("position_max", 1500)]), (1, 2), 1000, "wild") };
    write_journal(&bench, &[first, second]);
    let said = text(&bench.tern(&["config", "history"]));
    assert!(said.ends_with("  price bounds of GME: absent -> [2, 8]\n"), "{said}");
    let refused = bench.tern(&["config", "rollback", "1", "--why", "x"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("the price bounds of GME were absent in epoch 1 and are [2, 8]"), "{said}");
}
