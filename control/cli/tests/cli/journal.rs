//! What the program makes of a journal: orders, positions, reports, damage and seals.

use crate::common::Bench;
use serde_json::Value;
use tern_abi::record::{
    ACTION_NEW, Kind, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader, RefusalRecord, STAGES, StageRecord,
    StartRecord, VenueEventKind,
};
use tern_config::facts::{Named, Names};
use tern_journal::{Options, Writer};
use zerocopy::IntoBytes;

impl Bench {
    /// A journal of one run: an order, filled in two parts of which one was broken, a refusal, stages.
    pub(crate) fn write_journal(&self) {
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
