//! A real PostgreSQL, with sinks and servers killed at any moment.

mod common;

use common::server::Server;
use common::{Chance, Folder, NOON_NS, Running, Sums, ended, program, sums, wait, write, writer};
use postgres::Client;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use tern_abi::record::{Kind, OrderRecord, RecordHeader};
use zerocopy::IntoBytes as _;

/// The arguments of a sink.
fn arguments<'a>(journal: &'a str, url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["postgres", journal, "--url", url], more].concat()
}

/// Stores what there is; its exit code and what it said.
fn once(journal: &Path, server: &Server, more: &[&str]) -> (i32, String, String) {
    let (journal, url) = (journal.display().to_string(), server.url());
    ended(&arguments(&journal, &url, &[&["--once"], more].concat()))
}

/// What the database holds.
fn stored(client: &mut Client, schema: &str) -> Sums {
    let number = |text: &str| text.parse::<i128>().expect("a number");
    let row = client
        .query_one(
            &format!(
                "SELECT array_agg(seq ORDER BY seq), (10000 * sum(price * quantity))::bigint::text FROM {schema}.orders"
            ),
            &[],
        )
        .expect("orders");
    let seqs: Vec<i64> = row.get::<_, Option<_>>(0).unwrap_or_default();
    let cash: String = client
        .query_one(
            &format!("SELECT (10000 * coalesce(sum(cash), 0))::numeric(40,0)::text FROM {schema}.positions"),
            &[],
        )
        .expect("positions")
        .get(0);
    let mut sums = Sums {
        seqs: seqs.into_iter().map(i64::cast_unsigned).collect(),
        worth: number(row.get::<_, Option<&str>>(1).unwrap_or("0")),
        cash: number(&cash),
        ..Sums::default()
    };
    let mut all = 0;
    for table in tern_schema::TABLES.iter().filter(|table| !table.is_raw) {
        let count = format!("SELECT count(*) FROM {schema}.{}", table.name);
        let rows = client.query_one(&count, &[]).expect("a count").get::<_, i64>(0).cast_unsigned();
        if rows > 0 {
            sums.rows.insert(table.name.into(), rows);
        }
        all += rows;
    }
    let position =
        client.query_one(&format!("SELECT records, row_count FROM {schema}.sink_position"), &[]).expect("one");
    sums.records = position.get::<_, i64>(0).cast_unsigned();
    assert_eq!(position.get::<_, i64>(1).cast_unsigned(), all, "the position counts the rows that are there");
    sums
}

#[test]
fn values_come_as_they_are() {
    let (server, folder) = (Server::new(), Folder::new());
    let mut journal = writer("test", &folder.journal());
    write(&mut journal, 1, 5);
    let orders = [
        OrderRecord { price: i64::MAX, quantity: u32::MAX, symbol: *b"A\0B     ", ..OrderRecord::default() },
        OrderRecord { price: -1, cause_ns: u64::MAX, cause_seq: 3, ..OrderRecord::default() },
        OrderRecord { price: 1_0000, symbol: *b"\xff       ", ..OrderRecord::default() },
        OrderRecord { price: i64::MIN, ..OrderRecord::default() },
    ];
    for (seq, order) in (5..).zip(&orders) {
        let body = order.as_bytes();
        let (kind, body_bytes) = (Kind::Order as u16, body.len() as u32);
        let header = RecordHeader { seq, tai_ns: NOON_NS + 1_999, kind, flags: 0, body_bytes };
        journal.append(&header, body).expect("written");
    }
    // Of a kind that nobody knows.
    let header = RecordHeader { seq: 9, tai_ns: NOON_NS, kind: 999, flags: 0, body_bytes: 1 };
    journal.append(&header, &[1]).expect("written");
    let connections = [2 << 62, 9_999_000_000_000_000, 0].map(|value| tern_abi::record::ConnRecord {
        event: tern_abi::record::CONN_ROOM,
        value,
        ..tern_abi::record::ConnRecord::default()
    });
    for (seq, record) in (10..).zip(&connections) {
        let body = record.as_bytes();
        let (kind, body_bytes) = (Kind::Conn as u16, body.len() as u32);
        journal.append(&RecordHeader { seq, tai_ns: NOON_NS, kind, flags: 0, body_bytes }, body).expect("written");
    }
    // Not on the disk: it must not come.
    let header = RecordHeader { seq: 13, tai_ns: NOON_NS, kind: Kind::Timer as u16, flags: 0, body_bytes: 0 };
    journal.sync().expect("on the disk");
    journal.append(&header, &[]).expect("taken");

    let (code, said, errors) = once(&folder.journal(), &server, &["--json"]);
    assert_eq!(code, 3, "{errors}");
    assert!(errors.contains("1 records have no row"), "{errors}");
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let position = &said["position"];
    assert_eq!(
        (&position["seq"], &position["records"], &position["rows"], &position["unreadable"]),
        (&12.into(), &12.into(), &10.into(), &1.into()),
        "{said:#}"
    );
    let mut client = server.client();
    let texts = |client: &mut Client, query: &str| -> Vec<String> {
        client.query(query, &[]).expect("rows").iter().map(|row| row.get::<_, String>(0)).collect()
    };
    let found = texts(
        &mut client,
        "SELECT concat_ws('|', seq, price, quantity, symbol, cause_ns) FROM tern.orders ORDER BY seq",
    );
    assert_eq!(
        found,
        [
            "5|922337203685477.5807|4294967295|A\u{fffd}B",
            "6|-0.0001|0||-1",
            "7|1.0000|0|\u{fffd}",
            "8|-922337203685477.5808|0|",
        ]
    );
    let found = texts(&mut client, "SELECT value::text FROM tern.connections ORDER BY seq");
    assert_eq!(found, ["9223372036854775808", "9999000000000000", "0"]);
    let query = "SELECT (utc AT TIME ZONE 'UTC')::text || ' ' || day FROM tern.orders WHERE seq = 5";
    assert_eq!(texts(&mut client, query), ["2026-11-22 11:59:23.000001 2026-11-22"]);

    // Who reads may read, and nothing else.
    client.batch_execute("SET ROLE tern_reader").expect("a role");
    assert_eq!(texts(&mut client, "SELECT count(*)::text FROM tern.orders"), ["4"]);
    for query in ["DELETE FROM tern.orders", "UPDATE tern.sink_position SET seq = 1", "CREATE TABLE tern.x (y int)"] {
        let refused = client.batch_execute(query).expect_err("refused");
        assert_eq!(refused.code().map(postgres::error::SqlState::code), Some("42501"), "{query}: {refused}");
    }
}

/// SIGKILL at any moment, while the journal is written.
#[test]
fn a_sink_that_is_killed_loses_and_doubles_nothing() {
    const KILLS: u32 = 40;
    let (server, folder, mut chance) = (Server::new(), Folder::new(), Chance::new());
    let path = folder.journal();
    let mut journal = writer("test", &path);
    write(&mut journal, 1, 20_000);
    let (shown, url) = (path.display().to_string(), server.url());
    let (mut moved, mut before, mut next) = (0, 0, 20_000);
    let mut client = server.client();
    for round in 0..KILLS {
        let mut sink = Running::start(quiet(program(&arguments(&shown, &url, &["--batch", "64"]))));
        write(&mut journal, next, next + 4_000);
        next += 4_000;
        // Every second one is killed wherever it is by then, each other one soon after it stored something.
        if round % 2 == 0 {
            sleep(Duration::from_millis(chance.below(60)));
        } else {
            wait("it stores something", || (position(&mut client, "tern") > before).then_some(()));
            sleep(Duration::from_micros(chance.below(10_000)));
        }
        sink.kill();
        let at = position(&mut client, "tern");
        moved += u32::from(at > before && at < next - 1);
        before = at;
    }
    drop(journal);
    assert!(moved >= 5, "{moved} of {KILLS} sinks were killed on their way");
    let (code, _, errors) = once(&path, &server, &[]);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(stored(&mut server.client(), "tern"), sums(&path));
    println!("{KILLS} sinks killed, {moved} of them on their way, {} records", sums(&path).records);
}

/// The sink goes on by itself, whatever becomes of the server.
#[test]
fn a_server_that_dies_or_is_gone_costs_nothing() {
    let (mut server, folder, mut chance) = (Server::new(), Folder::new(), Chance::new());
    let (path, status) = (folder.journal(), folder.0.join("status.json"));
    let mut journal = writer("test", &path);
    write(&mut journal, 1, 50_000);
    let (shown, url, status_shown) = (path.display().to_string(), server.url(), status.display().to_string());
    let more = ["--status", &status_shown, "--behind", "1", "--batch", "256"];
    let errors = folder.0.join("errors");
    let mut command = program(&arguments(&shown, &url, &more));
    command.stdout(std::process::Stdio::null()).stderr(fs::File::create(&errors).expect("a file"));
    let sink = Running::start(command);
    let (mut inside, mut next) = (0, 50_000);
    for round in 0..6 {
        write(&mut journal, next, next + 30_000);
        next += 30_000;
        wait("a row", || (position(&mut server.client_if()?, "tern") > 0).then_some(()));
        sleep(Duration::from_millis(chance.below(150)));
        if round % 2 == 0 {
            server.kill()
        } else {
            server.stop()
        }
        if round == 0 {
            let said = || serde_json::from_slice::<serde_json::Value>(&fs::read(&status).ok()?).ok();
            let gone =
                wait("it says so", || said().filter(|said| said["state"] == "store_gone" && said["behind_ms"] != 0));
            assert!(gone["trouble"].is_string() && gone["losses"] == 1, "{gone:#}");
            wait("it warns", || fs::read_to_string(&errors).ok()?.contains("records behind, since").then_some(()));
        }
        server.start();
        let at = position(&mut server.client(), "tern");
        inside += u32::from(at > 0 && at < next - 1);
    }
    write(&mut journal, next, next + 100);
    wait("all is stored", || (position(&mut server.client(), "tern") == next + 99).then_some(()));
    assert_eq!(stored(&mut server.client(), "tern"), sums(&path));
    assert!(inside >= 2, "{inside} of 6 servers went while rows were stored");
    drop(sink);
    let errors = fs::read_to_string(errors).expect("text");
    assert!(errors.contains("tried again in") && errors.contains("nothing is lost"), "{errors}");
    println!("6 servers gone, {inside} of them while rows were stored, {} records", sums(&path).records);
}

/// What it cannot be sure of it does not touch.
#[test]
fn a_database_that_is_not_its_own_is_refused() {
    let (server, folder, other) = (Server::new(), Folder::new(), Folder::new());
    let path = folder.journal();
    write(&mut writer("test", &path), 1, 3_000);
    assert_eq!(once(&path, &server, &[]).0, 0);
    let mut client = server.client();
    let whole = stored(&mut client, "tern");
    let refused = |client: &mut Client, journal: &Path, more: &[&str], words: &[&str]| {
        let (code, _, errors) = once(journal, &server, more);
        assert!(code == 1 && words.iter().all(|word| errors.contains(word)), "{code}, not {words:?}: {errors}");
        assert_eq!(stored(client, "tern").rows, whole.rows, "nothing is touched");
    };

    // Other journals: of another instance, shorter, and of the same length.
    for (instance, from, to) in [("other", 1, 3_000), ("test", 1, 2_000), ("test", 2, 3_001)] {
        fs::remove_dir_all(other.journal()).ok();
        write(&mut writer(instance, &other.journal()), from, to);
        refused(
            &mut client,
            &other.journal(),
            &[],
            &["another journal", "Nothing is written", "record 2999 of instance `test`"],
        );
    }
    // The position was changed: behind, ahead, elsewhere.
    for change in
        ["seq = seq - 1", "seq = seq + 1", "crc = crc # 1", "segment = segment - 1", "chain = 'x'", "instance = 'x'"]
    {
        client.batch_execute(&format!("UPDATE tern.sink_position SET {change}")).expect("changed");
        let (code, _, errors) = once(&path, &server, &[]);
        assert!(code == 1 && errors.contains("the position was changed"), "{change}: {code}: {errors}");
        let back = "UPDATE tern.sink_position SET seq = 2999, crc = $1, segment = $2, chain = $3, instance = 'test'";
        let right = tern_sink_position(&path);
        client
            .execute(back, &[&i64::from(right.crc), &right.segment.cast_signed(), &right.chain])
            .expect("brought back");
        assert_eq!(once(&path, &server, &[]).0, 0, "and it is good again");
    }
    // Another build's tables, other tables, a schema of somebody else, names that are none.
    refused(&mut client, &path, &["--table", "orders"], &["asked for are orders", "--schema"]);
    client.batch_execute("UPDATE tern.sink_position SET version = 9").expect("changed");
    refused(&mut client, &path, &[], &["has version 9, this build has 1", "--schema"]);
    client.batch_execute("UPDATE tern.sink_position SET version = 1").expect("changed");
    client.batch_execute("UPDATE tern.sink_layout SET columns[3] = 'x: text' WHERE name = 'orders'").expect("changed");
    refused(&mut client, &path, &[], &["other columns", "`orders`", "(x: text)", "(action: text)"]);
    client.batch_execute("CREATE SCHEMA mine; CREATE TABLE mine.x (y int)").expect("made");
    refused(&mut client, &path, &["--schema", "mine"], &["none is of a sink"]);
    assert_eq!(once(&path, &server, &["--schema", "a;b"]).0, 2);
    assert_eq!(once(&path, &server, &["--schema", "second", "--table", "orders"]).0, 0, "another schema begins anew");
}

/// What is before the damage is stored, and what is wrong is said.
#[test]
fn a_damaged_journal_is_stored_up_to_the_damage() {
    let (server, folder) = (Server::new(), Folder::new());
    let path = folder.journal();
    write(&mut writer("test", &path), 1, 3_000);
    let (segment, whole) = (path.join("00000002.journal"), sums(&path));
    let good = fs::read(&segment).expect("a segment");
    let mut bad = good.clone();
    bad[100_000] ^= 1;
    fs::write(&segment, bad).expect("damaged");
    let (code, _, errors) = once(&path, &server, &[]);
    assert!(code == 4 && errors.contains("00000002.journal"), "{code}: {errors}");
    let found = stored(&mut server.client(), "tern");
    assert!(found.seqs.len() > 500 && whole.seqs.starts_with(&found.seqs), "{}", found.seqs.len());
    fs::write(&segment, good).expect("brought back");
    assert_eq!(once(&path, &server, &[]).0, 0);
    assert_eq!(stored(&mut server.client(), "tern"), whole);
}

/// Two sinks into one schema: rows once, and one of them is told.
#[test]
fn a_second_sink_is_told() {
    let (server, folder) = (Server::new(), Folder::new());
    let path = folder.journal();
    let mut journal = writer("test", &path);
    write(&mut journal, 1, 100);
    assert_eq!(once(&path, &server, &[]).0, 0);
    let (shown, url) = (path.display().to_string(), server.url());
    let mut sinks: Vec<Running> = (0..2)
        .map(|index| {
            let mut command = program(&arguments(&shown, &url, &[]));
            let errors = fs::File::create(folder.0.join(format!("errors{index}"))).expect("a file");
            Running::start({
                command.stderr(errors).stdout(std::process::Stdio::null());
                command
            })
        })
        .collect();
    let mut next = 100;
    let ended = wait("one of them ends", || {
        write(&mut journal, next, next + 50);
        next += 50;
        sinks.iter_mut().position(|sink| sink.0.try_wait().expect("looked").is_some())
    });
    let errors = fs::read_to_string(folder.0.join(format!("errors{ended}"))).expect("text");
    assert!(errors.contains("another tern-sink"), "{errors}");
    wait("the other one stores all", || (position(&mut server.client(), "tern") == next - 1).then_some(()));
    assert_eq!(stored(&mut server.client(), "tern"), sums(&path));
}

/// A COMMIT whose connection was lost, and that succeeds once the next connection has asked for the position.
#[test]
fn a_commit_that_comes_late_ends_nothing() {
    let (server, folder) = (Server::new(), Folder::new());
    let (path, errors) = (folder.journal(), folder.0.join("errors"));
    let mut journal = writer("test", &path);
    write(&mut journal, 1, 100);
    assert_eq!(once(&path, &server, &[]).0, 0);
    write(&mut journal, 100, 200);
    let (mut client, mut looking) = (server.client(), server.client());
    let mut late = client.transaction().expect("begun");
    let to = tern_sink_position(&path);
    let change =
        "UPDATE tern.sink_position SET seq = 199, crc = $1, segment = $2, chain = $3, tai_ns = $4, start_seq = $5";
    late.execute(
        change,
        &[
            &i64::from(to.crc),
            &to.segment.cast_signed(),
            &to.chain,
            &to.tai_ns.cast_signed(),
            &to.start_seq.cast_signed(),
        ],
    )
    .expect("changed");
    let (shown, url) = (path.display().to_string(), server.url());
    let mut command = program(&arguments(&shown, &url, &[]));
    command.stdout(std::process::Stdio::null()).stderr(fs::File::create(&errors).expect("a file"));
    let mut sink = Running::start(command);
    wait("it waits behind the other one", || {
        let waits = "SELECT 1 FROM pg_locks WHERE NOT granted";
        looking.query_opt(waits, &[]).expect("asked")
    });
    late.commit().expect("it succeeds");
    write(&mut journal, 200, 300);
    wait("it goes on", || (position(&mut looking, "tern") == 299).then_some(()));
    let said = fs::read_to_string(&errors).expect("text");
    assert!(said.contains("gone (1 times by now): the position is no longer at"), "{said}");
    // Nothing is in doubt any more: who moves the position now is somebody else.
    looking.batch_execute("UPDATE tern.sink_position SET crc = crc # 1").expect("changed");
    write(&mut journal, 300, 310);
    let status = wait("it ends", || sink.0.try_wait().expect("looked"));
    assert_eq!(status.code(), Some(1), "{}", fs::read_to_string(&errors).expect("text"));
}

/// What no waiting changes ends the sink, also one that is not asked to end.
#[test]
fn what_will_not_change_is_not_tried_again() {
    let (server, folder) = (Server::new(), Folder::new());
    let path = folder.journal();
    write(&mut writer("test", &path), 1, 100);
    assert_eq!(once(&path, &server, &[]).0, 0);
    server.client().batch_execute("DELETE FROM tern.sink_position").expect("deleted");
    let (shown, errors) = (path.display().to_string(), folder.0.join("errors"));
    for (url, words) in [(server.url(), "sink_position has no row"), ("user=tern dbname=tern".into(), "host")] {
        let mut command = program(&arguments(&shown, &url, &[]));
        command.stdout(std::process::Stdio::null()).stderr(fs::File::create(&errors).expect("a file"));
        let mut sink = Running::start(command);
        let status = wait("it ends", || sink.0.try_wait().expect("looked"));
        let said = fs::read_to_string(&errors).expect("text");
        assert!(status.code() == Some(1) && said.contains(words) && !said.contains("tried again"), "{status}: {said}");
    }
}

/// Without what it says on the way.
fn quiet(mut command: std::process::Command) -> std::process::Command {
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command
}

/// `seq` of the last record that is stored; 0 as long as there is no schema.
fn position(client: &mut Client, schema: &str) -> u64 {
    let row = client.query_one(&format!("SELECT seq FROM {schema}.sink_position"), &[]);
    row.map_or(0, |row| row.get::<_, i64>(0).cast_unsigned())
}

/// What the position of a whole journal is, by another way than the database.
fn tern_sink_position(journal: &Path) -> tern_sink::Position {
    let mut follow = tern_sink::Follow::behind(journal, tern_sink::Position::default()).expect("a journal");
    while follow.read().expect("whole").is_some() {}
    follow.position().clone()
}
