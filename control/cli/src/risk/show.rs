//! `tern risk show`.

use serde_json::{Value, json};
use tern_abi::segment::ShownPosition;
use tern_config::limits::{key_of, text_of, unit_of};

use super::bounds::set_today;
use super::in_force::{InForce, Limit, largest, shown, symbol_text};
use crate::outcome::{Failure, Outcome, exit};
use crate::table::{Align, Table, tai_time};
use crate::target::Target;

/// Every limit in force, and what uses it now.
///
/// # Errors
/// Exit code 3 when there is no segment, or no data plane has said anything in it.
pub(crate) fn show(target: &Target) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let running = view.data_plane().map_err(Failure::failed)?.is_some();
    let in_force = InForce::find(target, &words)?;
    let mut table = Table::new(&[
        ("limit", Align::Left),
        ("in force", Align::Right),
        ("used", Align::Right),
        ("%", Align::Right),
        ("by", Align::Left),
    ]);
    for limit in &in_force.limits {
        let used = limit.used.map_or_else(|| "-".into(), |used| shown(&limit.name, used));
        let percent = limit.percent().map_or_else(|| "-".into(), |percent| percent.to_string());
        let note = if limit.is_reduce_only { "reduce only" } else { "" };
        let by = [largest(&in_force, &limit.name).unwrap_or_default(), note.into()].join(" ");
        table.row(vec![key_of(&limit.name).into(), shown(&limit.name, limit.value), used, percent, by.trim().into()]);
    }
    let mut text = format!("epoch {}, {}\n", in_force.state.epoch, in_force.origin());
    if !running {
        text.push_str("no data plane runs: this is what the last one said\n");
    }
    text.push_str(&table.render());
    let (bounds, bounds_json) = set_today(&words);
    text.push_str(&bounds);
    text.push_str(&format!("usage as of {}\n", tai_time(in_force.as_of_ns)));
    let positions = in_force.holdings.positions.iter().filter(|position| position.symbol != [0; 8]);
    let json = json!({
        "epoch": in_force.state.epoch,
        "running": running,
        "set": in_force.origin_json(),
        "as_of_ns": in_force.as_of_ns,
        "limits": in_force.limits.iter().map(|limit| limit_json(&in_force, limit)).collect::<Vec<_>>(),
        "price_bounds_set": bounds_json,
        "positions": positions.map(position_json).collect::<Vec<_>>(),
    });
    Ok(Outcome { text, json, code: if running { exit::OK } else { exit::UNHEALTHY } })
}

fn limit_json(in_force: &InForce, limit: &Limit) -> Value {
    json!({
        "limit": limit.name,
        "key": key_of(&limit.name),
        "value": limit.value,
        "file_value": text_of(&limit.name, limit.value),
        "unit": unit_of(&limit.name),
        "used": limit.used,
        "percent": limit.percent(),
        "by": largest(in_force, &limit.name),
        "reduce_only": limit.is_reduce_only,
    })
}

fn position_json(position: &ShownPosition) -> Value {
    json!({
        "symbol": symbol_text(&position.symbol),
        "shares": position.shares,
        "open_buy": position.open_buy,
        "open_sell": position.open_sell,
        "worst": position.worst(),
    })
}
