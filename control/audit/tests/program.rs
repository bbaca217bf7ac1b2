//! The program on journals: what it prints and how it ends.

mod common;

use common::*;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tern_abi::command::CommandKind;
use tern_abi::segment::KillCause;
use tern_config::Config;
use tern_hw::segment::{DataPlaneSegment, SegmentSpec};
use tern_journal::{Options, Writer, followers};

fn audit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tern-audit")).args(arguments).output().expect("it runs")
}

#[test]
fn the_exit_code_says_whether_it_agrees_and_json_says_with_what() {
    let mut day = Day::new();
    day.live(new(1, BUY, 100));
    let journal = day.journal();
    let path = journal.0.to_str().expect("UTF-8");
    let output = audit(&["--journal", path, "--once"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    day.order(new(2, BUY, 1001));
    let journal = day.journal();
    let path = journal.0.to_str().expect("UTF-8");
    let output = audit(&["--journal", path, "--once", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&json["orders"], &json["disagreements"]), (&2.into(), &1.into()));
    assert_eq!(json["found"][0]["disagreement"], "order_quantity");
    assert_eq!(json["found"][0]["found"], 1001);
}

#[test]
fn wrong_usage_and_a_damaged_journal_have_codes_of_their_own() {
    assert_eq!(audit(&[]).status.code(), Some(2));
    assert_eq!(audit(&["--config", "/nowhere/tern.toml"]).status.code(), Some(2));
    let journal = Day::new().journal();
    let file = journal.0.join("00000001.journal");
    let mut bytes = fs::read(&file).expect("a segment");
    bytes[200] ^= 1;
    fs::write(&file, bytes).expect("writes");
    let output = audit(&["--journal", journal.0.to_str().expect("UTF-8"), "--once"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("00000001.journal"));
}

/// A follower that ends with its test.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// An instance with a segment and no process, and how to append to its journal.
struct Instance {
    folder: Folder,
    segment: DataPlaneSegment,
    writer: Writer,
    written: usize,
}

impl Instance {
    fn new() -> Self {
        let folder = Folder::new();
        let at = |name: &str| folder.0.join(name).display().to_string();
        let text = format!(
            "[instance]\nname = \"audit\"\n[paths]\nsegment = \"{}\"\njournal = \"{}\"\nrun = \"{}\"\n\
             [port]\nkind = \"socket\"\ninterface = \"lo\"\n[rings]\norder_slots = 1024\n\
             capture_bytes = 1048576\ncommand_slots = 16\n",
            at("segment"),
            at("journal"),
            folder.0.display()
        );
        fs::write(folder.0.join("tern.toml"), text).expect("a file");
        let config = Config::load(folder.0.join("tern.toml")).expect("a configuration");
        let spec = SegmentSpec {
            path: config.paths.segment_file().map(PathBuf::from),
            sizes: config.rings.sizes(),
            ..SegmentSpec::new("audit")
        };
        let segment = DataPlaneSegment::open(&spec).expect("a segment");
        let (writer, _) = Writer::open(&config.paths.journal, Options::new("audit")).expect("a journal");
        Self { folder, segment, writer, written: 0 }
    }

    /// Appends what the day has more.
    fn write(&mut self, day: &Day) {
        for (header, body) in &day.records()[self.written..] {
            self.writer.append(header, body).expect("appends");
        }
        self.writer.flush().expect("flushes");
        self.written = day.records().len();
    }

    fn follow(&self) -> Follower {
        let file = self.folder.0.join("tern.toml");
        let child =
            Command::new(env!("CARGO_BIN_EXE_tern-audit")).arg("--config").arg(file).stderr(Stdio::null()).spawn();
        Follower(child.expect("it runs"))
    }

    fn findings(&self) -> usize {
        fs::read_to_string(self.folder.0.join("audit.jsonl")).map_or(0, |text| text.lines().count())
    }
}

fn within(limit: Duration, done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if done() {
            return true;
        }
        sleep(Duration::from_millis(1));
    }
    false
}

#[test]
fn a_lie_in_a_growing_journal_stops_trading_and_is_written_down() {
    let mut instance = Instance::new();
    let mut day = Day::new();
    day.live(new(1, BUY, 100));
    instance.write(&day);
    let _follower = instance.follow();
    let log = instance.folder.0.join("audit.jsonl");
    assert!(within(Duration::from_secs(20), || log.exists()), "it does not start");
    sleep(Duration::from_millis(50));
    assert!(!instance.segment.ends().expect("ends").kill.state().killed(), "an honest day stops nothing");
    day.order(new(2, BUY, 1001));
    instance.write(&day);
    let start = Instant::now();
    let ends = instance.segment.ends().expect("ends");
    assert!(within(Duration::from_secs(20), || ends.kill.state().killed()), "trading goes on");
    println!("from the record in the journal to the kill word: {} us", start.elapsed().as_micros());
    let state = ends.kill.state();
    let note = ends.kill.note(state.kills()).expect("a note of the kill");
    assert_eq!((note.cause, note.uid, state.kills()), (KillCause::Audit, u32::MAX, 1));
    assert_eq!(instance.findings(), 1);
}

#[test]
fn what_an_operator_resumed_after_does_not_stop_trading_again() {
    let mut instance = Instance::new();
    let mut day = Day::new();
    day.order(new(2, BUY, 1001));
    day.command(CommandKind::Kill, 0, 0);
    day.command(CommandKind::Resume, 0, 0);
    instance.write(&day);
    let _follower = instance.follow();
    assert!(within(Duration::from_secs(20), || instance.findings() == 1), "it is written down all the same");
    sleep(Duration::from_millis(100));
    assert!(!instance.segment.ends().expect("ends").kill.state().killed());
}

#[test]
fn a_journal_that_cannot_be_read_stops_trading() {
    let mut instance = Instance::new();
    instance.write(&Day::new());
    let file = instance.folder.0.join("journal/00000001.journal");
    let mut bytes = fs::read(&file).expect("a segment");
    bytes[200] ^= 1;
    fs::write(&file, bytes).expect("writes");
    let mut follower = instance.follow();
    assert_eq!(follower.0.wait().expect("it ends").code(), Some(4));
    assert!(instance.segment.ends().expect("ends").kill.state().killed());
}

#[test]
fn days_wait_until_they_are_read() {
    let mut instance = Instance::new();
    let mut day = Day::new();
    day.live(new(1, BUY, 100));
    instance.write(&day);
    let _follower = instance.follow();
    let journal = instance.folder.0.join("journal");
    let last = day.records().last().map_or(0, |(header, _)| header.seq);
    let needs = || followers(&journal).expect("readable").first().map(|follower| follower.needs_seq);
    assert!(within(Duration::from_secs(60), || needs() == Some(last + 1)), "{:?}", needs());
}
