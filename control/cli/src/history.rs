//! `tern orders`, `positions`, `latency` and `report`: what the journal adds up to.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tern_abi::record::{Kind, PositionRecord, VenueEventKind};
use tern_config::facts::name_at;
use tern_journal::Damage;

use crate::fold::{Fold, OrderRow, Span, Traded};
use crate::outcome::{Failure, Outcome, exit};
use crate::picture;
use crate::records;
use crate::table::{Align, Table, duration, grouped, money, tai_time};

/// Columns of a plot.
const PLOT_COLUMNS: usize = 40;
/// Widest bar of a plot.
const PLOT_BAR: u64 = 50;

/// Folds the whole journal.
fn fold(folder: &Path) -> Result<(Fold, Option<Damage>), Failure> {
    let mut fold = Fold::default();
    let damage = records::for_each(folder, 0, |header, body| {
        fold.apply(header, body);
        true
    })?;
    Ok((fold, damage))
}

/// A line of warning, and the exit code, when the journal cannot be read to its end.
pub(crate) fn damage_note(damage: Option<&Damage>, text: &mut String) -> u8 {
    match damage {
        None => exit::OK,
        Some(damage) => {
            text.push_str(&format!("DAMAGED: {damage}; what follows it is missing above\n"));
            exit::DAMAGED
        }
    }
}

/// Orders, newest last.
///
/// # Errors
/// When the journal cannot be opened.
pub(crate) fn orders(folder: &Path, all: bool, limit: usize) -> Result<Outcome, Failure> {
    let (fold, damage) = fold(folder)?;
    let open = fold.orders.open().count();
    let mut rows: Vec<&OrderRow> = fold.orders.iter().filter(|row| all || row.is_open()).collect();
    rows.sort_by_key(|row| row.changed_ns);
    let newest = rows.split_off(rows.len().saturating_sub(limit));
    let columns = [
        ("order", Align::Right),
        ("account", Align::Right),
        ("strategy", Align::Right),
        ("symbol", Align::Left),
        ("side", Align::Left),
        ("price", Align::Right),
        ("quantity", Align::Right),
        ("open", Align::Right),
        ("executed", Align::Right),
        ("state", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for row in &newest {
        table.row(vec![
            row.order.to_string(),
            row.account.to_string(),
            row.strategy.to_string(),
            row.symbol.clone(),
            row.side.into(),
            money(row.price),
            grouped(row.quantity),
            grouped(row.leaves),
            grouped(row.executed),
            format!("{:?}{}", row.life, if row.unanswered { ", unanswered" } else { "" }).to_lowercase(),
        ]);
    }
    let mut text = if table.is_empty() { String::new() } else { table.render() };
    for (row, by) in newest.iter().filter_map(|row| Some((row, row.by_hand.as_ref()?))) {
        let second = by.confirmed_by.map_or_else(String::new, |uid| format!(", confirmed by uid {uid}"));
        text.push_str(&format!("{} by hand ({}): uid {}{second}: {}\n", row.order, by.what, by.uid, by.why));
    }
    text.push_str(&format!("{open} open orders of {}\n", fold.orders.iter().count()));
    let code = damage_note(damage.as_ref(), &mut text);
    Ok(Outcome { text, json: json!({ "open": open, "orders": newest }), code })
}

/// One line of the positions: what the pipeline recorded beside what the executions add up to.
fn position_json(position: &PositionRecord, key: &(u16, u16, String)) -> Value {
    json!({
        "account": key.0, "strategy": key.1, "symbol": key.2, "shares": position.shares, "cash": position.cash,
        "realized": position.realized, "cost": position.cost, "fees": position.fees,
        "average": position.cost.checked_div(position.shares),
    })
}

/// Sums of the recorded positions by account and symbol: the executions know no finer.
fn recorded(fold: &Fold) -> BTreeMap<(u16, String), (i64, i128)> {
    let mut sums: BTreeMap<(u16, String), (i64, i128)> = BTreeMap::new();
    for ((account, _, symbol), position) in &fold.positions {
        let sum = sums.entry((*account, symbol.clone())).or_default();
        sum.0 += position.shares;
        sum.1 += i128::from(position.cash);
    }
    sums
}

/// Where recorded positions and executions do not say the same.
fn mismatches(fold: &Fold) -> Vec<Value> {
    let (recorded, traded) = (recorded(fold), fold.trades.traded());
    let keys: std::collections::BTreeSet<_> = recorded.keys().chain(traded.keys()).collect();
    let unlike = |key: &&(u16, String)| {
        let Traded { shares, cash, .. } = traded.get(*key).copied().unwrap_or_default();
        recorded.get(*key).copied().unwrap_or_default() != (shares, cash)
    };
    keys.into_iter()
        .filter(unlike)
        .map(|key| {
            let (shares, cash) = recorded.get(key).copied().unwrap_or_default();
            let executed = traded.get(key).copied().unwrap_or_default();
            json!({ "account": key.0, "symbol": key.1, "recorded": { "shares": shares, "cash": cash as i64 },
                "executed": { "shares": executed.shares, "cash": executed.cash as i64 } })
        })
        .collect()
}

/// Positions and cash.
///
/// # Errors
/// When the journal cannot be opened.
pub(crate) fn positions(folder: &Path) -> Result<Outcome, Failure> {
    let (fold, damage) = fold(folder)?;
    let columns = [
        ("account", Align::Right),
        ("strategy", Align::Right),
        ("symbol", Align::Left),
        ("shares", Align::Right),
        ("cash", Align::Right),
        ("realized", Align::Right),
        ("fees", Align::Right),
        ("cost", Align::Right),
        ("average", Align::Right),
    ];
    let mut table = Table::new(&columns);
    let (mut cash, mut realized, mut fees) = (0_i128, 0_i128, 0_i128);
    for ((account, strategy, symbol), position) in &fold.positions {
        cash += i128::from(position.cash);
        realized += i128::from(position.realized);
        fees += i128::from(position.fees);
        table.row(vec![
            account.to_string(),
            strategy.to_string(),
            symbol.clone(),
            grouped(position.shares),
            money(position.cash),
            money(position.realized),
            money(position.fees),
            money(position.cost),
            position.cost.checked_div(position.shares).map_or_else(String::new, money),
        ]);
    }
    let mismatches = mismatches(&fold);
    let mut text = if table.is_empty() { String::new() } else { table.render() };
    text.push_str(&format!(
        "{} positions; cash {}, realized {} after fees of {}\n",
        fold.positions.len(),
        money(cash),
        money(realized),
        money(fees)
    ));
    let told = fold.trades.told().len();
    if told > 0 {
        text.push_str(&format!("{told} trades of the day were told by hand (`tern journal cat --kind adjustment`)\n"));
    }
    if !mismatches.is_empty() {
        text.push_str(&format!("MISMATCH: {} positions differ from the sum of the executions\n", mismatches.len()));
    }
    let code = damage_note(damage.as_ref(), &mut text);
    let list: Vec<Value> = fold.positions.iter().map(|(key, position)| position_json(position, key)).collect();
    let json = json!({ "unit": "1/10000", "positions": list, "cash": cash as i64, "realized": realized as i64,
        "fees": fees as i64, "told_by_hand": told, "mismatches": mismatches });
    Ok(Outcome { text, json, code: if code == exit::OK && !mismatches.is_empty() { exit::FAILED } else { code } })
}

/// Percentiles, with `plot` the distribution of each span, and with `html` pictures in that file.
///
/// # Errors
/// When the journal cannot be opened, or the file not be written.
pub(crate) fn latency(folder: &Path, plot: bool, html: Option<&Path>) -> Result<Outcome, Failure> {
    let (fold, damage) = fold(folder)?;
    if let Some(file) = html {
        picture::write(folder, &fold.latencies, file)?;
    }
    let columns = [
        ("span", Align::Left),
        ("n", Align::Right),
        ("min", Align::Right),
        ("p50", Align::Right),
        ("p90", Align::Right),
        ("p99", Align::Right),
        ("p99.9", Align::Right),
        ("max", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for span in fold.latencies.spans() {
        let p = span.percentiles();
        let mut cells = vec![span.name.to_owned(), grouped(p.n)];
        cells.extend([p.min, p.p50, p.p90, p.p99, p.p999, p.max].map(duration));
        table.row(cells);
    }
    let mut text = table.render();
    if plot {
        for span in fold.latencies.spans().filter(|span| span.percentiles().n > 0) {
            text.push_str(&format!("\n{}: {}\n{}", span.name, span.help, plot_of(span)));
        }
    }
    let code = damage_note(damage.as_ref(), &mut text);
    let (whole, stages) = latency_json(&fold, plot);
    Ok(Outcome { text, json: json!({ "latency_ns": whole, "stage_latency_ns": stages }), code })
}

fn plot_of(span: &Span) -> String {
    let shape = span.shape(PLOT_COLUMNS);
    let most = shape.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let lines = shape.iter().filter(|(_, count)| *count > 0).map(|(from, count)| {
        // A range with few samples still shows: the tail is what is looked for.
        let bar = (count * PLOT_BAR / most).max(1) as usize;
        format!("{:>10} {:>9} {}\n", duration(*from), grouped(*count), "#".repeat(bar))
    });
    lines.collect()
}

fn span_json(span: &Span, shape: bool) -> Value {
    let mut object = serde_json::to_value(span.percentiles()).unwrap_or_default();
    if let (true, Some(object)) = (shape, object.as_object_mut()) {
        object.insert("shape".into(), json!(span.shape(PLOT_COLUMNS)));
    }
    object
}

/// `latency_ns` and `stage_latency_ns`.
fn latency_json(fold: &Fold, shape: bool) -> (Value, Value) {
    let latencies = &fold.latencies;
    let whole = [&latencies.tick_to_order, &latencies.arrival_to_order, &latencies.arrival_to_seen];
    let object = |spans: &mut dyn Iterator<Item = &Span>| -> Value {
        Value::Object(spans.map(|span| (span.name.to_owned(), span_json(span, shape))).collect())
    };
    (object(&mut whole.into_iter()), object(&mut latencies.stages.iter().skip(1)))
}

/// Everything that the journal adds up to.
///
/// # Errors
/// When the journal cannot be opened.
pub(crate) fn report(folder: &Path) -> Result<Outcome, Failure> {
    let (fold, damage) = fold(folder)?;
    let verified = tern_journal::verify(folder).map_err(Failure::failed)?;
    let (latency_ns, stage_latency_ns) = latency_json(&fold, true);
    let realized: i128 = fold.positions.values().map(|position| i128::from(position.realized)).sum();
    let named = |table: &[tern_config::facts::Named], counts: &BTreeMap<u32, u64>| -> BTreeMap<String, u64> {
        counts.iter().map(|(index, count)| (name_at(table, *index as usize), *count)).collect()
    };
    let events: BTreeMap<String, u64> = (fold.events.iter())
        .map(|(kind, count)| {
            let name = VenueEventKind::from_index(usize::from(*kind))
                .map_or_else(|| kind.to_string(), |kind| kind.name().into());
            (name, *count)
        })
        .collect();
    let traded: Vec<Value> = (fold.trades.traded().iter())
        .map(|((account, symbol), traded)| {
            let mut object = serde_json::to_value(traded).unwrap_or_default();
            if let Some(object) = object.as_object_mut() {
                object.insert("account".into(), json!(account));
                object.insert("symbol".into(), json!(symbol));
                object.insert("cash".into(), json!(traded.cash as i64));
            }
            object
        })
        .collect();
    let executions = || fold.trades.iter();
    let mismatches = mismatches(&fold);
    let json = json!({
        "journal": {
            "records": fold.records, "first_seq": fold.first_seq, "last_seq": fold.last_seq,
            "by_kind": kinds(&fold), "runs": fold.runs, "unreadable": fold.unreadable,
            "missing": fold.missing, "missing_at_restart": fold.missing_at_restart, "unexplained": fold.unexplained(),
            "shed": fold.shed.datagrams, "shed_bytes": fold.shed.bytes,
            "verified": verified.is_whole(),
            "damages": verified.damages.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "first_time": tai_time(fold.first_ns), "last_time": tai_time(fold.last_ns),
        },
        "orders": {
            "by_action": fold.sent, "total": fold.sent.total(), "open": fold.orders.open().count(),
            "refused": named(&fold.names.refusals, &fold.refused), "events": events,
        },
        "fills": {
            "count": executions().filter(|execution| !execution.broken).count(),
            "partial": executions().filter(|execution| !execution.broken && execution.partial).count(),
            "broken": executions().filter(|execution| execution.broken).count(),
            "repeated": fold.trades.repeated, "unknown_breaks": fold.trades.unknown_breaks,
            "symbols": fold.trades.traded().values().filter(|traded| traded.fills > 0).count(),
        },
        "executions": executions().collect::<Vec<_>>(),
        "traded": traded,
        "positions": fold.positions.iter().map(|(key, position)| position_json(position, key)).collect::<Vec<_>>(),
        "mismatches": mismatches,
        "realized": realized as i64,
        "fees": fold.positions.values().map(|position| i128::from(position.fees)).sum::<i128>() as i64,
        "latency_ns": latency_ns,
        "stage_latency_ns": stage_latency_ns,
        "unit": "1/10000",
    });
    let mut text = format!(
        "journal    {} records in {} runs, {} lost, {} datagrams shed\n\
         orders     {} sent: {} new, {} replaces, {} cancels; {} open\n\
         refused    {}\n\
         fills      {} in {} symbols, {} broken\n\
         positions  {}, {} of them unlike the sum of their executions\n",
        grouped(fold.records),
        fold.runs,
        fold.unexplained(),
        grouped(fold.shed.datagrams),
        grouped(fold.sent.total()),
        grouped(fold.sent.new),
        grouped(fold.sent.replace),
        grouped(fold.sent.cancel),
        fold.orders.open().count(),
        grouped(fold.refused.values().sum::<u64>()),
        grouped(executions().filter(|execution| !execution.broken).count() as u64),
        fold.trades.traded().values().filter(|traded| traded.fills + traded.broken > 0).count(),
        executions().filter(|execution| execution.broken).count(),
        fold.positions.len(),
        mismatches.len(),
    );
    let code = damage_note(damage.as_ref(), &mut text);
    Ok(Outcome { text, json, code })
}

/// Records by the name of their kind.
pub(crate) fn kinds(fold: &Fold) -> BTreeMap<String, u64> {
    fold.kinds.iter().map(|(kind, count)| (kind_name(*kind), *count)).collect()
}

/// The name of a kind of record, or its number.
pub(crate) fn kind_name(kind: u16) -> String {
    Kind::from_u16(kind).map_or_else(|| kind.to_string(), |kind| kind.name().to_owned())
}
