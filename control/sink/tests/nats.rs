//! Real NATS servers, one and three, with sinks and servers killed at any moment.

mod common;

use common::cluster::Cluster;
use common::{Chance, Folder, Running, ended, program, sums, wait, write, writer};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

fn arguments(journal: &Path, cluster: &Cluster, more: &[&str]) -> Vec<String> {
    let mut all = vec!["nats".to_owned(), journal.display().to_string(), "--host".into(), "edge-1".into()];
    all.extend(cluster.arguments());
    all.extend(more.iter().map(|word| (*word).to_owned()));
    all
}

fn run(journal: &Path, cluster: &Cluster, more: &[&str]) -> (i32, String, String) {
    let all = arguments(journal, cluster, more);
    ended(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn follower(journal: &Path, cluster: &Cluster, more: &[&str], errors: &Path) -> Running {
    let all = arguments(journal, cluster, more);
    let mut command = program(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let errors = fs::File::options().create(true).append(true).open(errors).expect("a file");
    command.stdout(std::process::Stdio::null()).stderr(errors);
    Running::start(command)
}

/// Reads the stream back; what it has.
fn replay(journal: &Path, cluster: &Cluster, more: &[&str]) -> Value {
    let (code, said, errors) = run(journal, cluster, &[&["--replay", "--json"], more].concat());
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&said).expect("JSON")
}

/// The stream has all rows of the journal, each once.
fn is_whole(journal: &Path, cluster: &Cluster, more: &[&str]) {
    let (replayed, sums) = (replay(journal, cluster, more), sums(journal));
    let rows: std::collections::BTreeMap<String, u64> = serde_json::from_value(replayed["rows"].clone()).expect("rows");
    assert_eq!(rows, sums.rows, "{replayed:#}");
    assert_eq!(replayed["unfinished"], 0, "{replayed:#}");
}

/// SIGKILL at any moment, between the messages of a batch too.
#[test]
fn a_sink_that_is_killed_loses_and_doubles_nothing() {
    const KILLS: u32 = 30;
    let (cluster, folder, mut chance) = (Cluster::new(1, "always"), Folder::new(), Chance::new());
    let (path, errors) = (folder.journal(), folder.0.join("errors"));
    let mut journal = writer("test", &path);
    write(&mut journal, 1, 5_000);
    let more = ["--replicas", "1", "--batch", "64"];
    let (mut moved, mut inside, mut before, mut next) = (0, 0, 0, 5_000);
    for _ in 0..KILLS {
        let mut sink = follower(&path, &cluster, &more, &errors);
        write(&mut journal, next, next + 2_000);
        next += 2_000;
        sleep(Duration::from_millis(10 + chance.below(60)));
        sink.kill();
        let replayed = match before {
            0 => Value::Null,
            _ => replay(&path, &cluster, &more[..2]),
        };
        inside += u32::from(replayed["unfinished"].as_u64().is_some_and(|messages| messages > 0));
        let at = replayed["position"]["seq"].as_u64().unwrap_or(1);
        moved += u32::from(at > before && at < next - 1);
        before = at;
    }
    drop(journal);
    let (code, _, said) = run(&path, &cluster, &[&more[..], &["--once"]].concat());
    assert_eq!(code, 0, "{said}");
    is_whole(&path, &cluster, &more[..2]);
    assert!(
        moved >= 5,
        "{moved} of {KILLS} sinks were killed on their way:\n{}",
        fs::read_to_string(errors).unwrap_or_default()
    );
    println!("{KILLS} sinks killed, {moved} on their way, {inside} within a batch, {} records", sums(&path).records);
}

/// Of three the one that leads dies and comes back, then another one.
#[test]
fn a_cluster_that_loses_a_server_loses_and_doubles_nothing() {
    let (mut cluster, folder, mut chance) = (Cluster::new(3, "always"), Folder::new(), Chance::new());
    let (path, errors, status) = (folder.journal(), folder.0.join("errors"), folder.0.join("status.json"));
    let mut journal = writer("test", &path);
    write(&mut journal, 1, 2_000);
    let status_shown = status.display().to_string();
    let sink = follower(&path, &cluster, &["--batch", "64", "--status", &status_shown], &errors);
    let said = || serde_json::from_slice::<Value>(&fs::read(&status).ok()?).ok();
    let stored = |to: u64| {
        wait("all is stored", || said().filter(|said| said["position"]["seq"] == to && said["behind_records"] == 0));
    };
    stored(1_999);
    let (mut next, leader) = (2_000, cluster.leader());
    for node in [leader, (leader + 1) % 3] {
        write(&mut journal, next, next + 2_000);
        next += 2_000;
        sleep(Duration::from_millis(chance.below(30)));
        cluster.kill(node);
        write(&mut journal, next, next + 500);
        next += 500;
        // Two of three are enough.
        stored(next - 1);
        cluster.start(node);
    }
    drop(sink);
    is_whole(&path, &cluster, &[]);
    let gone = fs::read_to_string(errors).expect("text").matches("nothing is lost meanwhile").count();
    assert!(gone > 0, "the sink did not notice that the leader was killed");
    println!(
        "the leader (n{leader}) and another one killed, {} records: the stream is the journal",
        sums(&path).records
    );
}

/// What it cannot be sure of it does not touch, and reading back finds what is wrong.
#[test]
fn a_stream_that_is_not_its_own_is_refused() {
    let (cluster, folder, other) = (Cluster::new(1, "\"2m\""), Folder::new(), Folder::new());
    let path = folder.journal();
    write(&mut writer("test", &path), 1, 3_000);
    let (code, _, errors) = run(&path, &cluster, &["--once", "--replicas", "1"]);
    assert!(code == 1 && errors.contains("sync_interval: always"), "{code}: {errors}");

    let cluster = Cluster::new(1, "always");
    let once = |journal: &Path, more: &[&str]| run(journal, &cluster, &[&["--once"], more].concat());
    assert_eq!(once(&path, &["--replicas", "1"]).0, 0);
    is_whole(&path, &cluster, &["--replicas", "1"]);
    for (instance, from, to) in [("other", 1, 3_000), ("test", 1, 2_000), ("test", 2, 3_001)] {
        fs::remove_dir_all(other.journal()).ok();
        write(&mut writer(instance, &other.journal()), from, to);
        let (code, _, errors) = once(&other.journal(), &["--replicas", "1"]);
        assert!(code == 1 && errors.contains("another journal"), "{code}: {errors}");
        let (code, _, errors) = run(&other.journal(), &cluster, &["--replay", "--replicas", "1"]);
        assert!(code == 1 && errors.contains("record 2999 of instance `test`"), "{code}: {errors}");
    }
    let (code, _, errors) = once(&path, &["--replicas", "1", "--table", "orders"]);
    assert!(code == 1 && errors.contains("of other tables"), "{code}: {errors}");
    let (code, _, errors) = once(&path, &["--replicas", "3"]);
    assert!(code == 1 && errors.contains("1 replicas, asked for are 3"), "{code}: {errors}");
    assert_eq!(once(&path, &["--replicas", "1", "--stream", "a.b"]).0, 2);
    is_whole(&path, &cluster, &["--replicas", "1"]);
}
