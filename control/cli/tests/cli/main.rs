//! The program itself: exit codes, and JSON of every verb that reads.

mod acts;
#[path = "../common/mod.rs"]
mod common;
mod journal;
mod status;
mod top;

use common::Bench;
use tern_hw::segment::DataPlaneSegment;

#[test]
fn without_a_segment_it_says_so_with_exit_code_3() {
    let bench = Bench::new("absent");
    for verb in ["status", "counters", "kill", "resume"] {
        let output = bench.tern(&[verb]);
        assert_eq!(output.status.code(), Some(3), "{verb}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn wrong_usage_and_configuration_have_exit_code_2() {
    let bench = Bench::new("usage");
    assert_eq!(bench.tern(&["fly"]).status.code(), Some(2));
    std::fs::write(bench.config.file(), "[instance]\nname = 3\n").expect("a file");
    let output = bench.tern(&["status"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("tern.toml:2:8: instance.name"), "{output:?}");
}

#[test]
fn every_verb_that_reads_has_json() {
    let bench = Bench::new("json");
    bench.write_journal();
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    segment.ends().expect("its ends").trading.set(true, 0, 1);
    let file = bench.config.file().display().to_string();
    for verb in [
        &["status"][..],
        &["top", "--interval", "0.1"],
        &["counters"],
        &["xdp"],
        &["xdp", "status", "--seconds", "0.1"],
        &["xdp", "why", "239.77.1.1:26400", "--seconds", "0.1"],
        &["positions"],
        &["orders"],
        &["latency"],
        &["latency", "outliers"],
        &["config", "check"],
        &["config", "explain"],
        &["config", "schema"],
        &["config", "show", "--effective"],
        &["config", "history"],
        &["risk", "check", &file],
        &["journal", "query", "--limit", "1"],
        &["journal", "verify"],
        &["journal", "stats"],
        &["journal", "index", "--check"],
        &["journal", "cat", "--limit", "1"],
        &["recover"],
        &["report"],
        &["completions", "bash"],
        &["man", "--markdown"],
    ] {
        let (code, said) = bench.json(verb);
        assert!(said.is_object() && [0, 3].contains(&code), "{verb:?}: {code} {said}");
        let text = bench.tern(verb);
        assert!(
            !text.stdout.is_empty() && !text.stdout.contains(&0x1b),
            "{verb:?}: no colours where there is no terminal"
        );
    }
}
