//! `tern positions roll`: what a day ends with is what the next begins with, or nothing is written and the reason said.

mod bench;

use bench::{Bench, json, tern};
use serde_json::{Value, json as value};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::{Kind, PositionRecord, VenueEventKind};
use tern_config::Config;
use tern_journal::Opening;
use zerocopy::IntoBytes;

/// Days since 1970: 2026-11-27, a Friday.
const FRIDAY: u32 = 20_784;

fn opening(strategy: u16, symbol: &[u8; 8], shares: i64, cost: i64) -> Opening {
    Opening { account: 0, strategy, symbol: *symbol, shares, cost }
}

fn start(bench: &mut Bench, day: u32, opening: &[Opening]) {
    let lines: String = opening.iter().map(Opening::to_line).collect();
    bench.start(&format!("next_order_id=0 restarted=0 day={day} journal_seq=0\n{}", lines.trim_end()));
    bench.give(
        Kind::Reconcile,
        ReconcileRecord { difference: Difference::Done as u32, ..Default::default() }.as_bytes(),
    );
}

/// A day that began with MSFT of strategy 2 and ZZ of strategy 1, in which strategy 1 bought 30 MSFT and nothing is open.
fn day(name: &str) -> Bench {
    let mut bench = Bench::new(name, 1 << 20);
    start(&mut bench, FRIDAY, &[opening(2, b"MSFT    ", -31, -310_0000), opening(1, b"ZZ      ", 9, 9_0001)]);
    bench.order(1);
    bench.events(&[(1, VenueEventKind::Accepted, 100, 100), (1, VenueEventKind::Executed, 70, 30)]);
    let position = PositionRecord {
        shares: 30,
        cash: -300_0000,
        cost: 300_0000,
        strategy: 1,
        symbol: *b"MSFT    ",
        ..PositionRecord::default()
    };
    bench.give(Kind::Position, position.as_bytes());
    bench
}

fn cancel(bench: &mut Bench) {
    bench.events(&[(1, VenueEventKind::Canceled, 0, 70)]);
}

/// Strategy, symbol, shares and cost as `tern positions` has them.
fn held(folder: &Path) -> Vec<(u64, String, i64, i64)> {
    let (code, positions) = json(folder, &["positions"]);
    assert_eq!((code, &positions["mismatches"]), (0, &value!([])), "{positions}");
    let row = |position: &Value| {
        let number = |key: &str| position[key].as_i64().expect("a number");
        let symbol = position["symbol"].as_str().expect("a symbol").to_owned();
        (position["strategy"].as_u64().expect("an id"), symbol, number("shares"), number("cost"))
    };
    positions["positions"].as_array().expect("a list").iter().map(row).filter(|row| row.2 != 0).collect()
}

fn roll(bench: &Bench, more: &[&str]) -> (i32, String, String) {
    let to = bench.folder.join("opening.toml").display().to_string();
    tern(&bench.folder, &[&["positions", "roll", "--to", to.as_str()], more].concat())
}

#[test]
fn the_next_day_begins_with_what_the_day_ended_with() {
    let mut bench = day("roll-next");
    cancel(&mut bench);
    let ended = held(&bench.folder);
    let row = |strategy, symbol: &str, shares, cost| (strategy, symbol.to_owned(), shares, cost);
    let expected = [row(1, "MSFT", 30, 300_0000), row(1, "ZZ", 9, 9_0001), row(2, "MSFT", -31, -310_0000)];
    assert_eq!(ended, expected);
    let (code, out, err) = roll(&bench, &[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("3 positions of 2026-11-27") && out.contains("for 2026-11-30"), "{out}");
    let file = bench.folder.join("opening.toml");
    assert_eq!(std::fs::metadata(&file).expect("written").permissions().mode() & 0o777, 0o600);
    assert_eq!(bench.files_named("opening"), ["opening.toml"], "nothing is left beside it");
    // The next day, with that file.
    let text = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n[opening]\nfile = \"opening.toml\"\n\
        [[strategy]]\nname = \"a\"\nid = 1\n[[strategy]]\nname = \"b\"\nid = 2\n";
    std::fs::write(bench.folder.join("next.toml"), text).expect("written");
    let config = Config::load(bench.folder.join("next.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((config.check_dates(FRIDAY + 3), config.check_dates(FRIDAY + 4).is_err()), (Ok(()), true));
    let symbol = |name: &str| std::array::from_fn(|at| name.as_bytes().get(at).copied().unwrap_or(b' '));
    let begun: Vec<Opening> = config
        .held()
        .iter()
        .map(|held| opening(held.strategy, &symbol(&held.symbol), held.shares, held.cost))
        .collect();
    start(&mut bench, FRIDAY + 3, &begun);
    assert_eq!(held(&bench.folder), expected);
    let (code, day) = json(&bench.folder, &["recover"]);
    let sum: i64 = day["positions"].as_array().expect("a list").iter().map(|p| p["cost"].as_i64().expect("cost")).sum();
    assert_eq!((code, sum), (0, 300_0000 + 9_0001 - 310_0000));
}

#[test]
fn splits_are_exact_or_refused() {
    let mut bench = day("roll-splits");
    cancel(&mut bench);
    let splits = bench.folder.join("splits.toml");
    let with = |text: &str, more: &[&str]| {
        std::fs::write(&splits, text).expect("written");
        roll(&bench, &[&["--splits", splits.to_str().expect("UTF-8")], more].concat())
    };
    let (code, _, err) = with("MSFT = \"1:2\"\n", &[]);
    assert_eq!(code, 1);
    assert!(err.contains("MSFT of strategy 2: -31 shares split 1:2 are not whole ones"), "{err}");
    assert_eq!(bench.files_named("opening"), [""; 0]);
    for bad in ["MSFT = \"2\"", "MSFT = \"0:1\"", "MSFT = 2", "msft = \"2:1\""] {
        assert_eq!(with(bad, &[]).0, 2, "{bad}");
    }
    assert_eq!(with("", &["--date", "2026-11-27"]).0, 2, "a day that is not after it");
    let (code, out, _) = with("MSFT = \"3:1\"\nZZ = \"1:9\"\nOTHER = \"2:1\"\n", &["--date", "2026-12-01"]);
    assert_eq!(code, 0);
    assert!(out.contains("nothing is held of OTHER") && out.contains("has not stopped"), "{out}");
    let text = std::fs::read_to_string(bench.folder.join("opening.toml")).expect("written");
    for line in [
        "date = \"2026-12-01\"",
        "shares = 90 # split 3:1\ncost = 3000000",
        "shares = -93",
        "shares = 1 # split 1:9\ncost = 90001",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn nothing_is_written_of_a_day_that_is_not_over_or_not_known() {
    let refused = |bench: &Bench| {
        let (code, _, err) = roll(bench, &[]);
        assert_eq!(bench.files_named("opening"), [""; 0]);
        (code, err)
    };
    let mut bench = day("roll-refused");
    let (code, err) = refused(&bench);
    assert!(code == 5 && err.contains("1 orders are open"), "{code} {err}");
    cancel(&mut bench);
    bench.start(&format!("next_order_id=2 restarted=1 day={FRIDAY} journal_seq=9"));
    let (code, err) = refused(&bench);
    assert!(code == 3 && err.contains("has not compared"), "{code} {err}");
    let found = |difference, ours| ReconcileRecord { difference: difference as u32, ours, ..Default::default() };
    bench.give(Kind::Reconcile, found(Difference::PositionDiffers, 1).as_bytes());
    bench.give(Kind::Reconcile, found(Difference::Done, 1).as_bytes());
    let (code, err) = refused(&bench);
    assert!(code == 3 && err.contains("1 differences"), "{code} {err}");
    bench.give(Kind::OrderEvent, &[0; 3]);
    let (code, err) = refused(&bench);
    assert!(code == 4 && err.contains("1 records in it cannot be read"), "{code} {err}");
    let first = bench.folder.join("journal/00000001.journal");
    let mut bytes = std::fs::read(&first).expect("a file");
    bytes[300] ^= 1;
    std::fs::write(&first, bytes).expect("written");
    assert_eq!(refused(&bench).0, 4);
    let none = Bench::new("roll-none", 1 << 20);
    assert_eq!(refused(&none).0, 3, "no day");
}
