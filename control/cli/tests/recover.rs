//! `tern recover` and `tern journal retention` on journals written by hand: what they say, and their exit codes.

mod bench;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;

use bench::{Bench, json};
use serde_json::{Value, json as value};
use tern_abi::command::{Command as LoopCommand, SetBounds, SetLimits};
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::{Kind, LimitsRecord, StateRecord, VenueEventKind};
use tern_abi::segment::{ScopeKind, TradingState};
use tern_config::protocol::PROTOCOL_VERSION;
use tern_hw::segment::{DataPlaneSegment, SegmentSpec};
use tern_journal::{Follower, retention};
use zerocopy::IntoBytes;

impl Bench {
    /// Two orders: one filled in part, one not answered.
    fn trade(&mut self) {
        self.start("next_order_id=0 restarted=0 day=7 journal_seq=0");
        self.order(1);
        self.order(2);
        self.events(&[(1, VenueEventKind::Accepted, 100, 100), (1, VenueEventKind::Executed, 70, 30)]);
    }

    /// A restart that finds that the venue lacks the execution.
    fn differ(&mut self) {
        self.start("next_order_id=3 restarted=1 day=7 journal_seq=5 day_begins=1");
        let found = |difference, order, ours| ReconcileRecord {
            difference: difference as u32,
            order,
            ours,
            ..ReconcileRecord::default()
        };
        self.give(Kind::Reconcile, found(Difference::ExecutionMissing, 1, 30).as_bytes());
        self.give(Kind::Reconcile, found(Difference::Unanswered, 2, 100).as_bytes());
        self.give(Kind::Reconcile, found(Difference::Done, 0, 1).as_bytes());
        self.give(Kind::State, StateRecord { cause_seq: 0, trading: 0, reason: 13 }.as_bytes());
    }
}

#[test]
fn the_day_is_told_with_what_a_start_would_begin_with() {
    let mut bench = Bench::new("day", 1 << 20);
    let (code, out, _) = bench.tern(&["recover"]);
    assert_eq!((code, out.lines().next()), (0, Some("the journal is empty")));
    bench.trade();
    bench.give(Kind::SetLimits, SetLimits::new(&[7, 8], (0, 9), 40, "calm").as_bytes());
    bench.give(Kind::Limits, LimitsRecord { cause_seq: 0, epoch: 9, outcome: 0 }.as_bytes());
    let stop = LoopCommand::set_state(ScopeKind::Symbol, u64::from_le_bytes(*b"MSFT    "), TradingState::Halted, 40);
    bench.give(Kind::Command, stop.as_bytes());
    let (code, said) = bench.json(&["recover", "--dry-run"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        (said["day"].as_u64(), said["runs"].as_u64(), said["next_order_id"].as_u64()),
        (Some(7), Some(1), Some(3))
    );
    assert_eq!(said["orders"]["open"].as_array().map(Vec::len), Some(2), "{said}");
    assert_eq!(said["positions"][0]["shares"], 30);
    assert_eq!((said["scopes"][0]["key"].as_str(), said["scopes"][0]["uid"].as_u64()), (Some("MSFT"), Some(40)));
    assert_eq!((said["limits"]["epoch"].as_u64(), said["limits"]["why"].as_str()), (Some(9), Some("calm")), "{said}");
    assert_eq!((said["start"]["segment"].as_bool(), said["start"]["next_order_id"].as_u64()), (Some(false), Some(3)));
    let (_, out, _) = bench.tern(&["recover", "--dry-run"]);
    assert!(out.contains("orders: 2 ids, 2 open, 1 of them not answered; the next id is 3"), "{out}");
    assert!(out.contains("restricted: symbol MSFT is halted, by uid 40"), "{out}");
    assert!(out.contains("begins with order id 3, and a new segment"), "{out}");
    assert!(out.starts_with("1970-01-08 (day 7): 1 runs") && out.contains("waits for an operator"), "{out}");
    assert!(out.contains("limits: set with epoch 9 by uid 40: calm"), "{out}");
    bench.give(Kind::SetLimits, SetLimits::new(&[7, 7], (9, 10), u32::MAX, "a new run").as_bytes());
    bench.give(Kind::Limits, LimitsRecord { cause_seq: 0, epoch: 10, outcome: 0 }.as_bytes());
    let (_, out, _) = bench.tern(&["recover"]);
    assert!(out.contains("limits: set with epoch 10 by the data plane: a new run"), "{out}");
    let (_, said) = bench.json(&["recover"]);
    assert_eq!(
        (&said["limits"]["by"], &said["limits"]["uid"]),
        (&"data_plane".into(), &serde_json::json!(null)),
        "{said}"
    );
    assert_eq!((&said["scopes"][0]["by"], &said["scopes"][0]["uid"]), (&"operator".into(), &serde_json::json!(40)));
    let bounds = SetBounds { symbol: *b"GME     ", seen: [2000, 2600], wanted: [200_000, 260_000] };
    bench.give(Kind::SetLimits, SetLimits { bounds, ..SetLimits::new(&[7, 8], (10, 11), 41, "cents") }.as_bytes());
    bench.give(Kind::Limits, LimitsRecord { cause_seq: 0, epoch: 11, outcome: 0 }.as_bytes());
    let (_, said) = bench.json(&["recover"]);
    let expected = serde_json::json!([{ "symbol": "GME", "prices": [200_000, 260_000], "epoch": 11, "by": "operator", "uid": 41, "why": "cents" }]);
    assert_eq!(said["price_bounds"], expected, "{said}");
    let (_, out, _) = bench.tern(&["recover"]);
    assert!(out.contains("prices of GME: 20.0000 to 26.0000, set with epoch 11 by uid 41: cents"), "{out}");
}

#[test]
fn records_that_the_segment_knows_and_the_journal_lacks_are_told() {
    let mut bench = Bench::new("behind", 1 << 20);
    bench.trade();
    let spec = SegmentSpec { path: Some(bench.folder.join("segment")), ..SegmentSpec::new("recover") };
    let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
    segment.ends().expect("its ends").journaled_seq.set(bench.seq + 4);
    let (code, said) = bench.json(&["recover", "--dry-run"]);
    assert_eq!((code, said["start"]["records_missing"].as_u64()), (3, Some(4)), "{said}");
}

#[test]
fn differences_are_named_and_accepted_by_their_number() {
    let mut bench = Bench::new("differ", 1 << 20);
    bench.trade();
    let (code, _, why) = bench.tern(&["recover", "--accept", "1"]);
    assert_eq!(code, 2, "there is nothing to accept: {why}");
    bench.differ();
    let (code, out, _) = bench.tern(&["recover"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("execution_missing order 1: journal 30, venue 0"), "{out}");
    assert!(out.contains("unanswered order 2"), "{out}");
    assert!(out.contains("1 DIFFERENCES keep orders from leaving"), "{out}");
    let (code, _, why) = bench.tern(&["recover", "--accept", "2"]);
    assert!(code == 2 && why.contains("1 differences were found, not 2"), "{code} {why}");
    let spec = SegmentSpec { path: Some(bench.folder.join("segment")), ..SegmentSpec::new("recover") };
    let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let (code, _, why) = bench.tern(&["recover", "--accept", "1"]);
    assert!(code == 3 && why.contains("ternd does not answer"), "{code} {why}");

    // A daemon that hands it to a loop that takes it and records it.
    let listener = UnixListener::bind(bench.folder.join("run/tern.sock")).expect("a socket");
    let folder = bench.folder.clone();
    let asked = std::thread::spawn(move || json(&folder, &["recover", "--accept", "1"]));
    let (mut stream, _) = listener.accept().expect("tern connects");
    let mut line = String::new();
    BufReader::new(stream.try_clone().expect("a socket")).read_line(&mut line).expect("a request");
    assert!(line.contains(r#""accept_differences":{"seen":1}"#), "{line}");
    let accepted = ReconcileRecord { difference: Difference::Accepted as u32, ours: 1, ..ReconcileRecord::default() };
    bench.give(Kind::Reconcile, accepted.as_bytes());
    plane.trading.set(true, 0, 1);
    writeln!(stream, r#"{{"version":{PROTOCOL_VERSION},"answer":{{"command":{{"taken":true}}}}}}"#).expect("taken");
    let (code, said) = asked.join().expect("it ends");
    assert_eq!((code, said["accepted"].as_bool(), said["trading"].as_bool()), (0, Some(true), Some(true)), "{said}");
}

#[test]
fn a_journal_of_which_a_part_is_missing_or_damaged_is_refused_with_exit_code_4() {
    let mut bench = Bench::new("missing", 4096);
    bench.trade();
    (0..100).for_each(|_| bench.give(Kind::Timer, &[0; 100]));
    let first = bench.folder.join("journal/00000001.journal");
    let second = bench.folder.join("journal/00000002.journal");
    let bytes = std::fs::read(&second).expect("a second segment");
    std::fs::rename(&first, bench.folder.join("elsewhere")).expect("it is there");
    let (code, _, why) = bench.tern(&["recover", "--dry-run"]);
    assert!(
        code == 4 && why.contains("00000001.journal") && why.contains("no data plane starts on it"),
        "{code} {why}"
    );
    std::fs::rename(bench.folder.join("elsewhere"), &first).expect("it is back");
    let mut flipped = bytes;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&second, flipped).expect("room");
    let (code, _, why) = bench.tern(&["recover"]);
    assert!(code == 4 && why.contains("00000002.journal"), "{code} {why}");
}

#[test]
fn every_command_reads_a_journal_whose_first_days_were_deleted_and_says_what_went_and_what_holds_back_more() {
    let mut bench = Bench::new("deleted", 1 << 20);
    for day in 0..4 {
        bench.start(&format!("next_order_id=0 restarted=0 day={} journal_seq=0", 20_784 + day));
        bench.order(day + 1);
        bench.events(&[(day + 1, VenueEventKind::Accepted, 100, 100), (day + 1, VenueEventKind::Canceled, 0, 100)]);
        if day < 3 {
            bench.end_day();
        }
    }
    let journal = bench.folder.join("journal");
    let follower = Follower { name: "slow".into(), needs_seq: 5, told_tai_ns: 1, who: "a test".into() };
    follower.tell(&journal).expect("room");
    let (code, everything) = bench.json(&["journal", "retention"]);
    assert_eq!(
        (code, &everything["delete"], &everything["retain_days"]),
        (0, &Value::Null, &value!(0)),
        "{everything}"
    );
    let (code, plan) = bench.json(&["journal", "retention", "--days", "1"]);
    assert_eq!((code, &plan["due_days"]), (0, &value!(["2026-11-27", "2026-11-28"])), "{plan}");
    assert_eq!((&plan["delete"]["through_seq"], &plan["delete"]["segments"]), (&value!(4), &value!(1)), "{plan}");
    assert_eq!(plan["held_by"], value!([{ "follower": "slow", "needs_seq": 5 }]));
    assert_eq!((&plan["first"]["seq"], &plan["first"]["day"]), (&value!(1), &value!("2026-11-27")), "{plan}");
    let (code, text, _) = bench.tern(&["journal", "retention", "--days", "1"]);
    assert!(code == 0 && text.contains("HELD BACK by follower slow") && text.contains("journal forget slow"), "{text}");

    let (code, _, error) = bench.tern(&["journal", "forget", "quick"]);
    assert!(code == 2 && error.contains("there are: slow"), "{error}");
    assert_eq!(bench.tern(&["journal", "forget", "slow"]).0, 0);
    let plan = retention::plan(&journal, 1).expect("whole");
    retention::delete(&journal, &plan, 7).expect("a disk").expect("two days are due");

    let (code, shown) = bench.json(&["journal", "retention"]);
    assert_eq!((code, &shown["first"]["seq"], &shown["first"]["segment"]), (0, &value!(9), &value!(3)), "{shown}");
    assert_eq!((&shown["deletions"][0]["last_seq"], &shown["deletions"][0]["tai_ns"]), (&value!(8), &value!(7)));
    let (code, found) = bench.json(&["journal", "verify"]);
    assert_eq!((code, &found["first_seq"], &found["deletions"][0]["last_seq"]), (0, &value!(9), &value!(8)), "{found}");
    let seal = |day: u32, seq: u64| journal.join(format!("seals/{day}-{seq:012}.seal")).display().to_string();
    for (day, seq) in [(20_784, 4), (20_785, 8), (20_786, 12)] {
        assert_eq!(bench.json(&["journal", "verify", "--seal", &seal(day, seq)]).0, 0, "{day}");
    }
    assert_eq!(bench.json(&["journal", "stats"]).1["records"], 8);
    assert_eq!(bench.json(&["journal", "seal"]).1["head"]["records"], 12, "of what is synced");
    assert_eq!(bench.json(&["journal", "index"]).1["made"], 1);
    for more in [&[][..], &["--no-index"]] {
        let (code, _, error) = bench.tern(&[&["journal", "query", "--order", "4"], more].concat());
        assert_eq!(code, 0, "{error}");
        let (code, out, _) = bench.tern(&[&["journal", "query", "--all-days", "--symbol", "MSFT"], more].concat());
        assert!(code == 0 && out.lines().count() >= 2, "{out}");
    }
    for verb in [&["orders", "--all"][..], &["positions"], &["report"], &["journal", "cat"], &["recover", "--dry-run"]]
    {
        let (code, _, error) = bench.tern(verb);
        assert!(code == 0 || verb[0] == "recover" && code != 4, "{verb:?}: {code} {error}");
    }
    std::fs::remove_file(journal.join("beginning")).expect("there");
    for verb in [&["journal", "verify"][..], &["journal", "retention"], &["journal", "stats"], &["orders"]] {
        let (code, _, error) = bench.tern(verb);
        assert!(code != 0, "{verb:?} takes a journal without its beginning: {error}");
    }
}

/// Flips a bit near the end of a segment; its bytes then.
fn damage_the_end_of(bench: &Bench, segment: &str) -> Vec<u8> {
    let path = bench.folder.join("journal").join(segment);
    let mut bytes = std::fs::read(&path).expect("readable");
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    bytes
}

/// An incident is collected with nothing running, from a journal that is damaged, and no password is in any file of it.
#[test]
fn an_incident_is_collected_whatever_is_dead_and_without_passwords() {
    let mut bench = Bench::new("incident", 1 << 20);
    bench.trade();
    let config = bench.folder.join("tern.toml");
    let mut text = std::fs::read_to_string(&config).expect("readable");
    text.push_str(
        "[session]\nvenue = \"itch_ouch\"\naddress = \"127.0.0.1:9\"\nuser = \"A\"\npassword = \"hush-hush\"\naccount = 1\n\
         [drop_copy]\naddress = \"127.0.0.1:8\"\nuser = \"B\"\npassword = \"not-a-word\"\n",
    );
    std::fs::write(&config, text).expect("written");
    std::fs::write(bench.folder.join("run").join("dataplane.log"), "login of A with hush-hush\n").expect("written");
    let bytes = damage_the_end_of(&bench, "00000001.journal");

    let to = bench.folder.join("bundle");
    let collect = |times: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tern"))
            .env_remove("TERN_CONFIG")
            .args(["--json", "--config"])
            .arg(&config)
            .args(["incident", "--to"])
            .arg(&to)
            .args(times)
            .output();
        output.expect("it runs")
    };
    let output = collect(&["--around", "10", "--minutes", "1"]);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["manifest_sha256"], tern_journal::sha256_of(&to.join("manifest.json")).expect("there"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(to.join("manifest.json")).expect("there")).expect("JSON");
    let files = manifest["files"].as_array().expect("a list");
    for file in files {
        let name = file["file"].as_str().expect("a name");
        let found = std::fs::read(to.join(name)).expect("it is there");
        assert_eq!(file["sha256"], tern_journal::sha256_of(&to.join(name)).expect("readable"), "{name}");
        for secret in ["hush-hush", "not-a-word"] {
            assert!(!found.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in {name}");
        }
    }
    let has = |name: &str| files.iter().any(|file| file["file"] == name);
    assert!(has("logs/dataplane.log") && has("config/effective.toml") && has("journal/00000001.journal"), "{manifest}");
    assert_eq!(std::fs::read(to.join("journal/00000001.journal")).expect("there"), bytes, "as it is, damage and all");
    let text = std::fs::read_to_string(to.join("logs/dataplane.log")).expect("there");
    assert_eq!(text, "login of A with <hidden>\n");
    let missing = manifest["missing"].to_string();
    assert!(missing.contains("records.jsonl is not whole") && missing.contains("\"status\""), "{missing}");
    assert!(std::fs::read_to_string(to.join("records.jsonl")).expect("there").lines().count() >= 3);
    let again = collect(&[]);
    assert_eq!(again.status.code(), Some(1), "a folder that is there is not written to");
    assert!(String::from_utf8_lossy(&again.stderr).contains("name a folder that is not there"));
}

/// What happened on an earlier day is found there, and a time of which the journal has nothing is told so.
#[test]
fn an_incident_of_an_earlier_day_has_its_records_and_one_of_no_day_says_what_there_is() {
    const DAY_NS: u64 = 86_400_000_000_000;
    let mut bench = Bench::new("incident-days", 1 << 20);
    for day in 1..=3 {
        bench.since_ns = day * DAY_NS;
        bench.start(&format!("next_order_id=0 restarted=0 day={day} journal_seq=0"));
        bench.order(day as u32);
        bench.end_day();
    }
    let collect = |name: &str, around_ns: u64| {
        let to = bench.folder.join(name);
        let around = around_ns.to_string();
        let (code, told) =
            bench.json(&["incident", "--to", to.to_str().expect("text"), "--around", &around, "--minutes", "5"]);
        let records = std::fs::read_to_string(to.join("records.jsonl")).expect("it is there");
        let seqs: Vec<u64> = records
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["seq"].as_u64().expect("a number"))
            .collect();
        (code, told["missing"].to_string(), seqs)
    };
    let (code, missing, seqs) = collect("second", 2 * DAY_NS);
    assert_eq!((code, seqs), (0, vec![3, 4]), "{missing}");
    let (code, _, seqs) = collect("first", DAY_NS + 2);
    assert_eq!((code, seqs), (0, vec![1, 2]));
    for (name, around_ns) in [("before", 1), ("between", 2 * DAY_NS + DAY_NS / 2), ("after", 9 * DAY_NS)] {
        let (code, missing, seqs) = collect(name, around_ns);
        assert_eq!((code, seqs), (3, vec![]), "{name}");
        assert!(missing.contains("none is of the time that was asked for: the journal begins 1970-01-02"), "{missing}");
    }
    let packed = tern_journal::compress(&bench.folder.join("journal"), 1).expect("it is whole");
    assert!(packed.is_some(), "it is finished, and not the last one");
    let (code, _, seqs) = collect("compressed", DAY_NS + 2);
    assert_eq!((code, seqs), (0, vec![1, 2]));
    // Behind damage it goes on with the next segment, and says that it is not whole.
    damage_the_end_of(&bench, "00000002.journal");
    let to = bench.folder.join("all");
    let around = (2 * DAY_NS).to_string();
    let all = ["incident", "--to", to.to_str().expect("text"), "--around", &around, "--minutes", "2880"];
    let (code, told) = bench.json(&all);
    let records = std::fs::read_to_string(to.join("records.jsonl")).expect("it is there");
    let has = |seq: u64| records.contains(&format!("\"seq\":{seq},"));
    assert_eq!((code, has(1), has(2), has(5), has(6)), (4, true, true, true, true), "{records}");
    assert!(told["missing"].to_string().contains("records.jsonl is not whole"), "{told}");
}
