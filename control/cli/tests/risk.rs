//! `tern risk`, what `tern status` says of limits, and scopes that there are not.

mod common;

use common::Bench;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use tern_abi::command::{LIMITS_MAX, SetBounds, SetLimits};
use tern_abi::segment::{
    BoundsState, HoldingsState, LimitsState, NOT_MEASURED, ORDERS_SHOWN, POSITIONS_SHOWN, ShownOrder, ShownPosition,
    UsageState, Words,
};
use tern_config::Limits;
use tern_config::facts::{DataplaneFacts, Named, Names, StrategyFact};
use tern_config::limits::key_of;
use tern_hw::segment::DataPlaneSegment;

/// What the fake data plane calls its limits, in its order.
fn names() -> Vec<String> {
    Limits::default().values().into_keys().collect()
}

fn index(name: &str) -> usize {
    names().iter().position(|known| known == name).unwrap_or_else(|| panic!("no limit {name}"))
}

/// Says that the default limits are in force, as a user set them, and what is there: 1,500 shares of MSFT with 100 more to be
/// bought, 300 of AAPL short, an order of 500 shares, a gross of $90,000.
fn say_limits(bench: &Bench, words: &Words) {
    let limits = names().into_iter().map(|name| Named::new(name, "")).collect();
    let facts = DataplaneFacts {
        names: Names { limits, ..Names::default() },
        venues: vec![1],
        strategies: vec![StrategyFact { name: "maker".into(), id: 1 }],
        ..DataplaneFacts::default()
    };
    tern_config::facts::write(&bench.config.paths.dataplane_facts(), &facts).expect("facts");
    let values: Vec<i64> = Limits::default().values().into_values().collect();
    let command = SetLimits::new(&values, (2, 3), 1000, "calm");
    words.limits.write(&LimitsState::new(&command, 1_795_354_953_000_000_000));
    let mut used = [NOT_MEASURED; LIMITS_MAX];
    for (name, value) in
        [("position_max", 1600), ("order_quantity_max", 500), ("gross_max", 900_000_000), ("daily_loss_max", 70_0000)]
    {
        used[index(name)] = value;
    }
    words.usage.write(&UsageState { tai_ns: 5, reduce_only: 0, high_water: 0, used });
    let mut positions = [ShownPosition::default(); POSITIONS_SHOWN];
    positions[0] = ShownPosition { symbol: *b"MSFT    ", shares: 1500, open_buy: 100, open_sell: 0 };
    positions[1] = ShownPosition { symbol: *b"AAPL    ", shares: -300, open_buy: 0, open_sell: 0 };
    let mut orders = [ShownOrder::default(); ORDERS_SHOWN];
    orders[0] = ShownOrder { symbol: *b"MSFT    ", value: 50_000_000, order: 7, quantity: 500 };
    words.holdings.write(&HoldingsState { began_ns: 4, positions, by_quantity: orders, by_value: orders });
}

/// The one entry with this key among several.
fn entry<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    let mut found = list.as_array().expect("a list").iter().filter(|entry| entry[key] == value);
    found.next().unwrap_or_else(|| panic!("no {key} = {value}: {list}"))
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn show_says_what_is_in_force_who_set_it_and_what_uses_it() {
    let bench = Bench::new("show");
    assert_eq!(bench.tern(&["risk", "show"]).status.code(), Some(3), "no segment");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let output = bench.tern(&["risk", "show"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("no limits are in force"), "{output:?}");

    say_limits(&bench, plane.segment.words());
    let (code, said) = bench.json(&["risk", "show"]);
    assert_eq!((code, &said["epoch"], &said["running"]), (0, &json!(3), &json!(true)), "{said}");
    let set = json!({ "by": "operator", "uid": 1000, "since_ns": 1_795_354_953_000_000_000_u64, "why": "calm" });
    assert_eq!(said["set"], set);
    assert_eq!(said["limits"].as_array().map(Vec::len), Some(Limits::default().values().len()));
    let position = entry(&said["limits"], "key", "position_max");
    assert_eq!((&position["value"], &position["used"], &position["percent"]), (&2000.into(), &1600.into(), &80.into()));
    assert_eq!((&position["by"], &position["unit"]), (&"MSFT".into(), &"shares".into()));
    let collar = entry(&said["limits"], "limit", "price_collar_bps");
    assert_eq!((&collar["key"], &collar["file_value"]), (&"price_collar_percent".into(), &"5".into()));
    assert_eq!((&collar["value"], &collar["used"], &collar["percent"]), (&500.into(), &Value::Null, &Value::Null));
    assert_eq!(entry(&said["positions"], "symbol", "AAPL")["worst"], 300);
    let text = bench.tern(&["risk", "show"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("epoch 3, by uid 1000 since 2026-11-22T13:42:33.000000000 TAI: calm\n"), "{text}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let position = text.lines().find(|line| line.starts_with("position_max")).expect("a line");
    assert_eq!(words(position), ["position_max", "2_000", "shares", "1_600", "shares", "80", "MSFT"]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");

    // What a dead data plane said last is shown as that.
    drop(segment);
    let (code, said) = bench.json(&["risk", "show"]);
    assert_eq!((code, &said["running"]), (3, &json!(false)));
}

#[test]
fn check_needs_no_instance_and_names_file_line_field_and_what_would_be_right() {
    let bench = Bench::new("check");
    let file = bench.folder.join("limits.toml").display().to_string();
    let check = |text: &str| {
        std::fs::write(&file, text).expect("a file");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tern"))
            .env_remove("TERN_CONFIG")
            .args(["--json", "risk", "check", &file])
            .output()
            .expect("it runs");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), said)
    };
    let (code, said) = check("[limits]\nposition_max = 77\n");
    assert_eq!(
        (code, &said["valid"], &said["limits"]["position_max"]),
        (Some(0), &json!(true), &json!("77")),
        "{said}"
    );
    let (code, said) = check("[limits]\nposition_max = 0\nself_trade = \"off\"\ngross_max = -1\n");
    assert_eq!((code, &said["valid"]), (Some(2), &json!(false)), "{said}");
    let found: Vec<(u64, &str)> = said["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|problem| (problem["line"].as_u64().expect("a line"), problem["field"].as_str().expect("a field")))
        .collect();
    assert_eq!(found, [(2, "limits.position_max"), (4, "limits.gross_max")]);
    let first = &said["problems"][0];
    assert_eq!((&first["file"], &first["expected"]), (&json!(file), &json!("shares from 1 to 4000000000")));
    for (text, line, field) in [
        ("[limits]\nposition_maximum = 5\n", 2, "limits.position_maximum"),
        ("[limits]\n\nposition_max = \"many\"\n", 3, "limits.position_max"),
        // A whole configuration is checked whole.
        ("[instance]\nname = \"UPPER\"\n[port]\ninterface = \"lo\"\nkind = \"socket\"\n", 2, "instance.name"),
    ] {
        let (code, said) = check(text);
        let first = &said["problems"][0];
        assert_eq!((code, &first["line"], &first["field"]), (Some(2), &json!(line), &json!(field)), "{said}");
    }
    let output = bench.tern(&["risk", "check", "/nowhere/at/all.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("cannot be read"), "{output:?}");
    assert_eq!(bench.tern(&["risk", "check", &bench.config.file().display().to_string()]).status.code(), Some(0));
}

#[test]
fn diff_names_each_change_and_what_is_beyond_the_new_limits_already() {
    let bench = Bench::new("diff");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    say_limits(&bench, plane.segment.words());
    let file = bench.config.file().display().to_string();
    let (code, said) = bench.json(&["risk", "diff", &file]);
    let none = (0, &json!(3), &json!([]), &Value::Null);
    assert_eq!((code, &said["epoch"], &said["changes"], &said["needs_role"]), none, "the defaults: {said}");

    let pairs = ["position_max=200", "order_quantity_max=499", "gross_max=800_000_000", "daily_loss_max=600000"];
    let (code, said) = bench.json(&[&["risk", "diff"][..], &pairs].concat());
    assert_eq!((code, &said["needs_role"]), (0, &"operator".into()), "{said}");
    assert_eq!(said["changes"].as_array().map(Vec::len), Some(4));
    let change = entry(&said["changes"], "key", "position_max");
    assert_eq!((&change["from"], &change["to"], &change["change"]), (&2000.into(), &200.into(), &"tighter".into()));
    let effects: Vec<(&str, &str, i64, &str)> = said["effects"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|effect| {
            let text = |key: &str| effect[key].as_str().expect("a text");
            (text("key"), text("name"), effect["value"].as_i64().expect("a value"), text("consequence"))
        })
        .collect();
    assert_eq!(
        effects,
        [
            ("daily_loss_max", "", 70_0000, "stops_trading"),
            ("gross_max", "", 900_000_000, "reduce_only"),
            ("order_quantity_max", "7 in MSFT", 500, "smaller_only"),
            ("position_max", "MSFT", 1600, "reduce_only"),
            ("position_max", "AAPL", 300, "reduce_only"),
        ]
    );
    let text = bench.tern(&["risk", "diff", "position_max=3000", "price_collar_percent=4"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("position_max: 2_000 shares -> 3_000 shares (looser)"), "{text}");
    assert!(text.contains("price_collar_percent: 5 % -> 4 % (tighter)"), "{text}");
    assert!(text.contains("needs the role risk officer; `tern risk set --epoch 3"), "{text}");

    for (wrong, why) in [
        (&["position_maximum=5"][..], "unknown field `position_maximum`"),
        (&["position_max=0"], "KEY=VALUE:1:1: limits.position_max: 0 is out of range; right would be: shares from 1"),
        (&["position_max=5", "tern.toml"], "one file, or KEY=VALUE pairs"),
        (&["/nowhere/at/all.toml"], "cannot be read"),
    ] {
        let output = bench.tern(&[&["risk", "diff"], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(stderr(&output).contains(why), "{wrong:?}: {}", stderr(&output));
    }
    assert_eq!(bench.tern(&["risk", "diff"]).status.code(), Some(2));

    // A data plane with a limit that this release does not have.
    let more = DataplaneFacts {
        names: Names { limits: vec![Named::new("of_another_release", "")], ..Names::default() },
        ..DataplaneFacts::default()
    };
    tern_config::facts::write(&bench.config.paths.dataplane_facts(), &more).expect("facts");
    let output = bench.tern(&["risk", "diff", &file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`of_another_release` that this tern does not know"), "{}", stderr(&output));
}

/// A daemon that answers once; what it was asked.
fn answered(listener: &UnixListener, line: &str) -> Value {
    let (mut stream, _) = listener.accept().expect("tern connects");
    let mut asked = String::new();
    BufReader::new(stream.try_clone().expect("a socket")).read_line(&mut asked).expect("a request");
    writeln!(stream, "{line}").expect("it is taken");
    serde_json::from_str(&asked).expect("JSON")
}

/// The arguments of a set.
fn set<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["risk", "set", "--why", "a test"], more].concat()
}

#[test]
fn set_sends_what_changes_against_the_epoch_that_was_seen() {
    let bench = Bench::new("set");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    say_limits(&bench, plane.segment.words());
    let output = bench.tern(&set(&["position_max=5"]));
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("ternd does not answer at"), "{output:?}");
    let (code, said) = bench.json(&set(&["position_max=2000"]));
    assert_eq!((code, &said["verdict"]), (0, &"nothing_to_change".into()), "needs no daemon: {said}");
    assert_eq!(bench.tern(&["risk", "set", "position_max=5"]).status.code(), Some(2), "why?");

    let listener = UnixListener::bind(bench.config.paths.control_socket()).expect("a socket");
    let ask = |more: &[&str], line: &str| {
        std::thread::scope(|scope| {
            let daemon = scope.spawn(|| answered(&listener, line));
            let output = bench.tern(&[&["--json"][..], &set(more)].concat());
            (output, daemon.join().expect("it answers"))
        })
    };
    let answer = |verdict: &str, epoch: u32, message: &str| {
        json!({ "version": 7, "answer": { "limits": { "verdict": verdict, "epoch": epoch, "message": message } } })
            .to_string()
    };
    let (output, asked) =
        ask(&["position_max=5", "price_collar_percent=4", "gross_max=20_000_000_000"], &answer("set", 4, ""));
    let expected = json!({ "set_limits": { "epoch": 3, "values": { "position_max": 5, "price_collar_bps": 400 }, "why": "a test" } });
    assert_eq!((output.status.code(), &asked["ask"]), (Some(0), &expected), "what is as it was is not sent");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&said["verdict"], &said["epoch_seen"], &said["epoch"]), (&"set".into(), &3.into(), &4.into()));
    for (verdict, code) in [("stale", 7), ("role", 8), ("refused", 1), ("waiting", 3)] {
        let (output, asked) = ask(&["position_max=5", "--epoch", "2"], &answer(verdict, 3, "no: and why"));
        assert_eq!((output.status.code(), &asked["ask"]["set_limits"]["epoch"]), (Some(code), &json!(2)), "{verdict}");
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(said["message"], "no: and why");
    }
    // A stale epoch is asked about, even if nothing would change: the answer is not that all is well.
    assert_eq!(ask(&["position_max=2000", "--epoch", "1"], &answer("stale", 3, "look again")).0.status.code(), Some(7));
    // A daemon of the release before.
    let (output, _) = ask(&["position_max=5"], r#"{"version":3,"answer":{"something":{"of":"then"}}}"#);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("ternd speaks protocol version 3, this tern 7"), "{}", stderr(&output));
    let (output, _) = ask(&["position_max=5"], r#"{"version":7,"answer":{"error":"no data plane runs"}}"#);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn status_says_the_epoch_and_which_limits_are_below_what_is_there() {
    let bench = Bench::new("reduce-only");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let (_, said) = bench.json(&["status"]);
    assert_eq!(said["limits"], Value::Null);
    say_limits(&bench, plane.segment.words());
    let (_, said) = bench.json(&["status"]);
    assert_eq!((&said["limits"]["epoch"], &said["limits"]["reduce_only"]), (&3.into(), &json!([])), "{said}");
    let usage = plane.segment.words().usage.read().expect("it was said");
    plane.segment.words().usage.write(&UsageState { reduce_only: 1 << index("position_max"), ..usage });
    let (code, said) = bench.json(&["status"]);
    assert_eq!((code, &said["limits"]["reduce_only"]), (3, &json!(["position_max"])));
    let problems = said["problems"].to_string();
    let sentence =
        "limits.position_max is 2_000 shares and 1_600 shares are there (MSFT): only what reduces that leaves";
    assert!(problems.contains(sentence), "{problems}");
    let text = bench.tern(&["status"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("limits       epoch 3, by uid 1000"), "{text}");
}

#[test]
fn a_scope_that_is_not_here_is_refused_with_what_there_is() {
    let bench = Bench::new("no-scope");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let words = plane.segment.words();
    let kill =
        |scope: &str, more: &[&str]| bench.json(&[&["kill", "--scope", scope, "--timeout-ms", "10"], more].concat());
    // Nobody has said anything: it is stopped, and said to be unsure.
    let (code, said) = kill("venue:1", &[]);
    assert_eq!((code, &said["exists"], words.scopes.restricted().count()), (5, &Value::Null, 1), "{said}");
    say_limits(&bench, words);
    let (_, said) = kill("symbol:MSFT", &[]);
    assert_eq!((&said["exists"], words.scopes.restricted().count()), (&Value::Null, 2), "no directory yet: {said}");
    let text = bench.tern(&["kill", "--scope", "symbol:MSFT", "--timeout-ms", "10"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("whether it stops anything is not known: the data plane has not read"), "{text}");

    for (place, symbol) in [*b"AAPL    ", *b"MSFT    ", *b"MSTR    "].iter().enumerate() {
        words.symbols.set(place, u64::from_le_bytes(*symbol));
    }
    words.symbol_count.set(3);
    let version = words.scopes.version();
    for (scope, there) in [
        ("venue:7", "there is no such venue here, so nothing was stopped; there are: venue:1"),
        ("strategy:9", "no such strategy is configured; there are: maker (id 1)"),
        ("strategy:taker", "no such strategy is configured; there are: maker (id 1)"),
        ("symbol:MFST", "there are: symbol:MSFT, symbol:MSTR, symbol:AAPL; --even-unknown"),
    ] {
        let output = bench.tern(&["kill", "--scope", scope]);
        assert_eq!((output.status.code(), words.scopes.version()), (Some(2), version), "{scope}");
        assert!(stderr(&output).contains(there), "{scope}: {}", stderr(&output));
    }
    let (_, said) = kill("symbol:LATER", &["--even-unknown"]);
    assert_eq!((&said["exists"], words.scopes.version()), (&json!(false), version + 1), "{said}");
    for scope in ["venue:1", "strategy:maker", "strategy:1", "symbol:AAPL"] {
        assert_eq!(kill(scope, &[]).1["exists"], true, "{scope}");
    }
    // What was restricted while nobody knew can be lifted all the same: that is the daemon's affair.
    assert_eq!(bench.tern(&["resume", "--scope", "symbol:LATER"]).status.code(), Some(3));
}

/// Every key of the default limits is one that the file knows.
#[test]
fn the_names_of_the_gate_have_keys_in_the_file() {
    let keys: String = names().iter().map(|name| format!("{}\n", key_of(name))).collect();
    let fields = tern_config::fields::FIELDS.iter().filter_map(|field| field.path.strip_prefix("limits."));
    // Limits of single symbols and strategies are not set by command.
    let of_all = fields.filter(|field| !field.starts_with("symbol[]") && !field.starts_with("strategy[]"));
    let unknown: Vec<&str> = of_all.filter(|field| !keys.lines().any(|key| key == *field)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

#[test]
fn bounds_of_a_price_are_shown_and_a_diff_names_orders_and_a_close_beyond_the_new_ones() {
    let bench = Bench::new("bounds");
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    say_limits(&bench, plane.segment.words());
    let diff = |pairs: &[&str]| bench.json(&[&["risk", "diff", "--symbol", "MSFT"], pairs].concat());
    let output = bench.tern(&["risk", "diff", "--symbol", "MSFT", "price_min=5"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nothing is known that bounds the price of MSFT"), "{output:?}");

    let mut state = BoundsState { day: 7, ..BoundsState::default() };
    let bounds = SetBounds { symbol: *b"MSFT    ", seen: [900, 1100], wanted: [90_000, 110_000] };
    assert!(state.set(&bounds, (3, 1000, 1_795_354_953_000_000_000)));
    plane.segment.words().bounds.write(&state);
    let (code, said) = diff(&["price_min=95_000"]);
    let change = json!([{ "limit": "price_bounds", "symbol": "MSFT", "from": [90_000, 110_000], "to": [95_000, 110_000],
        "change": "tighter" }]);
    assert_eq!(
        (code, &said["changes"], &said["needs_role"], &said["effects"]),
        (0, &change, &json!("operator"), &json!([]))
    );
    // The order of 500 shares asks for 10.0000.
    let (_, said) = diff(&["price_min=100_001", "price_max=120_000"]);
    assert_eq!((&said["changes"][0]["change"], &said["needs_role"]), (&json!("looser"), &json!("risk_officer")));
    let order = entry(&said["effects"], "kind", "order");
    assert_eq!((&order["name"], &order["price"]), (&json!("7"), &json!(100_000)));
    let (_, said) = diff(&["price_min=90_000"]);
    assert_eq!((&said["changes"], &said["needs_role"]), (&json!([]), &Value::Null));

    let (_, said) = bench.json(&["risk", "show"]);
    let shown = entry(&said["price_bounds_set"], "symbol", "MSFT");
    assert_eq!(
        (&shown["prices"], &shown["before"], &shown["uid"]),
        (&json!([90_000, 110_000]), &json!([900, 1100]), &json!(1000))
    );
    let text = String::from_utf8_lossy(&bench.tern(&["risk", "show"]).stdout).into_owned();
    assert!(
        text.contains("prices of MSFT: 9.0000 to 11.0000 in place of 0.0900 to 0.1100, by uid 1000 since 2026"),
        "{text}"
    );
    let output = bench.tern(&["risk", "set", "--symbol", "MSFT", "price_min=95000", "--why", "calm"]);
    assert_eq!(output.status.code(), Some(3), "no daemon answers: {output:?}");
}

#[test]
fn what_a_file_says_of_single_symbols_and_strategies_is_shown_and_said_not_to_be_set() {
    let bench = Bench::new("single");
    let file = bench.folder.join("single.toml").display().to_string();
    let text = "[limits]\nposition_max = 1900\n[[limits.symbol]]\nsymbol = \"MSFT\"\nposition_max = 5\n\
        [[limits.strategy]]\nid = 1\ngross_max = 7\n";
    std::fs::write(&file, text).expect("a file");
    let (code, said) = bench.json(&["risk", "check", &file]);
    assert_eq!((code, &said["symbol"]), (0, &json!([{ "symbol": "MSFT", "position_max": 5 }])), "{said}");
    let text = String::from_utf8_lossy(&bench.tern(&["risk", "check", &file]).stdout).into_owned();
    assert!(
        text.contains("[[limits.symbol]] position_max 5, symbol MSFT\n[[limits.strategy]] gross_max 7, id 1\n"),
        "{text}"
    );
    let mut segment = DataPlaneSegment::open(&bench.spec()).expect("a segment");
    let plane = segment.ends().expect("its ends");
    say_limits(&bench, plane.segment.words());
    let (code, said) = bench.json(&["risk", "diff", &file]);
    assert_eq!((code, &said["not_set"]), (0, &json!(["limits.symbol MSFT", "limits.strategy 1"])), "{said}");
    let text = String::from_utf8_lossy(&bench.tern(&["risk", "diff", &file]).stdout).into_owned();
    assert!(text.contains("NOT part of it") && text.contains("limits.symbol MSFT, limits.strategy 1"), "{text}");
    let (_, said) = bench.json(&["risk", "diff", "position_max=1900"]);
    assert_eq!(said["not_set"], json!([]));
    std::fs::write(&file, "[limits]\n[[limits.strategy]]\nid = 0\ngross_max = 7\n").expect("a file");
    let (code, said) = bench.json(&["risk", "check", &file]);
    assert_eq!((code, &said["problems"][0]["field"]), (2, &json!("limits.strategy[0].id")), "{said}");
}

#[test]
fn what_is_done_by_hand_is_asked_of_the_daemon_and_each_outcome_has_its_exit_code() {
    let bench = Bench::new("by-hand");
    let send = ["order", "send", "--symbol", "SPY", "--side", "sell", "--shares", "5", "--why", "a test", "--price"];
    for wrong in ["0", "-1", "1.23456", "1e3", "", "1.", "x"] {
        assert_eq!(bench.tern(&[&send[..], &[wrong]].concat()).status.code(), Some(2), "a price of {wrong}");
    }
    assert_eq!(bench.tern(&["flatten", "--why", "x"]).status.code(), Some(2), "of what?");
    assert_eq!(bench.tern(&["flatten", "--all", "--symbol", "SPY", "--why", "x"]).status.code(), Some(2));
    let priced = [&send[..], &["12.3"]].concat();
    assert_eq!(bench.tern(&priced).status.code(), Some(3), "no daemon");

    let listener = UnixListener::bind(bench.config.paths.control_socket()).expect("a socket");
    let ask = |arguments: &[&str], answer: Value| {
        let line = json!({ "version": 7, "answer": answer }).to_string();
        std::thread::scope(|scope| {
            let daemon = scope.spawn(|| answered(&listener, &line));
            let output = bench.tern(&[&["--json"][..], arguments].concat());
            (output, daemon.join().expect("it answers"))
        })
    };
    let fact = |outcome: &str| {
        json!({ "manual": { "request": 1, "taken": true, "outcome": outcome, "orders": [7], "reason": "collar",
            "limit": 100, "value": 200, "count": 2, "confirmed_by": null } })
    };
    let (output, asked) = ask(&priced, fact("sent"));
    let wish = json!({ "order": { "symbol": "SPY", "is_buy": false, "shares": 5, "price": 123_000,
        "time_in_force": "day", "post_only": false } });
    assert_eq!(asked["ask"], json!({ "manual": { "wish": wish, "why": "a test", "dry_run": false } }));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &said["orders"][0], &said["done"]), (Some(0), &7.into(), &true.into()));
    for (outcome, code) in [
        ("canceling", 0),
        ("flat", 0),
        ("passes", 0),
        ("refused", 10),
        ("left", 5),
        ("busy", 1),
        ("no_desk", 1),
        ("", 3),
    ] {
        assert_eq!(ask(&priced, fact(outcome)).0.status.code(), Some(code), "{outcome}");
    }
    let (_, asked) = ask(&["flatten", "--symbol", "SPY", "--timeout-ms", "50", "--why", "a test"], fact("flat"));
    let flatten = &asked["ask"]["manual"]["wish"]["flatten"];
    let key = u64::from_le_bytes(*b"SPY     ");
    assert_eq!(*flatten, json!({ "kind": "symbol", "key": key, "within_ms": 50 }));
    let (output, asked) =
        ask(&["order", "cancel", "7", "--why", "a test"], json!({ "waits": { "id": 3, "within_s": 60 } }));
    assert_eq!((output.status.code(), &asked["ask"]["manual"]["wish"]["cancel"]["order"]), (Some(9), &7.into()));
    let (output, asked) = ask(&["confirm", "3"], json!({ "role": { "message": "no" } }));
    assert_eq!((output.status.code(), &asked["ask"]["confirm"]["id"]), (Some(8), &3.into()));
    let waiting = json!([{ "id": 3, "what": "cancel", "text": "cancel order 7", "uid": 5, "why": "a test" }]);
    let (output, _) = ask(&["pending"], json!({ "pending": waiting }));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &said["pending"][0]["text"]), (Some(0), &"cancel order 7".into()));
}
