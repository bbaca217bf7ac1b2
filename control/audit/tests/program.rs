//! The program on journals: what it prints and how it ends.

mod common;

use common::*;
use std::fs;
use std::process::{Command, Output};

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
