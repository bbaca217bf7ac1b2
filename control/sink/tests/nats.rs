//! Real NATS servers, one and three, with sinks and servers killed at any moment.

mod common;

use common::cluster::Cluster;
use common::{Chance, Folder, Running, ended, program, sums, wait, write, writer};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
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

/// A stream that somebody else made, and that would delete messages by itself, or take others'.
#[test]
fn a_stream_that_would_lose_messages_is_refused() {
    let (cluster, folder) = (Cluster::new(1, "always"), Folder::new());
    let path = folder.journal();
    write(&mut writer("test", &path), 1, 100);
    let made = cluster.ask("STREAM.CREATE.up", &json!({ "name": "up", "subjects": ["up"], "storage": "file" }));
    assert!(made["error"].is_null(), "{made:#}");
    let good = json!({
        "name": "s", "subjects": ["tern.edge-1.>"], "storage": "file", "num_replicas": 1, "retention": "limits",
        "discard": "new", "deny_delete": true, "deny_purge": true,
    });
    let changes = [
        ("max_age", json!(3_600_000_000_000_u64)),
        ("max_msgs", json!(1_000)),
        ("max_bytes", json!(1 << 20)),
        ("max_msgs_per_subject", json!(10)),
        ("no_ack", json!(true)),
        ("sources", json!([{ "name": "up" }])),
        ("none", Value::Null),
    ];
    for (key, value) in changes {
        let mut config = good.clone();
        if !value.is_null() {
            config[key] = value;
        }
        let made = cluster.ask("STREAM.CREATE.s", &config);
        assert!(made["error"].is_null(), "{key}: {made:#}");
        let (code, _, errors) = run(&path, &cluster, &["--once", "--replicas", "1", "--stream", "s"]);
        if key == "none" {
            assert_eq!(code, 0, "{errors}");
        } else {
            assert!(code == 1 && errors.contains(&format!("stream `s` has {key} ")), "{key}: {code}: {errors}");
        }
        let gone = cluster.ask("STREAM.DELETE.s", &json!({}));
        assert_eq!(gone["success"], true, "{gone:#}");
    }
}

/// Where nobody says whether servers sync, nothing is stored, and one that says later that it does not ends the sink.
#[test]
fn monitors_that_do_not_answer_are_asked_again() {
    let (cluster, folder) = (Cluster::new(1, "always"), Folder::new());
    let (path, errors) = (folder.journal(), folder.0.join("errors"));
    let mut journal = writer("test", &path);
    write(&mut journal, 1, 100);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let (shown, server, monitor) = (path.display().to_string(), cluster.address(0, 0), cluster.address(0, 1));
    let of = |more: &[&'static str], monitors: &[&str]| {
        let mut all =
            ["nats", &shown, "--host", "edge-1", "--replicas", "1", "--server", &server].map(str::to_owned).to_vec();
        all.extend(more.iter().map(|word| (*word).to_owned()));
        all.extend(monitors.iter().flat_map(|monitor| ["--monitor".to_owned(), (*monitor).to_owned()]));
        all
    };
    let words = |all: &[String]| ended(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, _, said) = words(&of(&["--once"], &[&monitor, &silent]));
    assert!(code == 2 && said.contains("2 --monitor for 1 --server"), "{code}: {said}");
    let (code, _, said) = words(&of(&["--once"], &[&silent]));
    assert!(code == 1 && said.contains("no monitor answers"), "{code}: {said}");
    let made = cluster.ask("STREAM.INFO.tern-edge-1", &json!({}));
    assert!(!made["error"].is_null(), "nothing is touched: {made:#}");

    let all = of(&["--server", "127.0.0.1:1"], &[&monitor, &silent]);
    let mut command = program(&all.iter().map(String::as_str).collect::<Vec<_>>());
    command.stdout(std::process::Stdio::null()).stderr(fs::File::create(&errors).expect("a file"));
    let mut sink = Running::start(command);
    let said = || fs::read_to_string(&errors).expect("text");
    wait("it begins", || said().contains(": has ").then_some(()));
    // The server that was down is back, and does not sync.
    let listener = TcpListener::bind(&silent).expect("the port");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            BufReader::new(&stream).read_line(&mut String::new()).ok();
            (&stream).write_all(b"HTTP/1.0 200 OK\r\n\r\n{\"config\":{\"sync_interval\":120000000000}}").ok();
        }
    });
    let mut next = 100;
    let status = wait("it ends", || {
        write(&mut journal, next, next + 10);
        next += 10;
        sink.0.try_wait().expect("looked")
    });
    assert!(status.code() == Some(1) && said().contains("does not sync each message"), "{status}: {}", said());
}
