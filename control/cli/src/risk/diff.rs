//! `tern risk diff`: what would change, and what that does to what is there.

use serde_json::{Value, json};
use tern_abi::segment::{ShownOrder, ShownPosition};
use tern_config::limits::key_of;

use super::in_force::{InForce, shown, symbol_text};
use super::wanted::{Changed, changes, not_set, not_set_text, role};
use crate::outcome::{Failure, Outcome};
use crate::target::Target;

/// Something that a new limit is below.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    limit: String,
    /// `position`, `order`, `sum` or `loss`.
    kind: &'static str,
    /// Which symbol or order; empty for sums.
    name: String,
    value: i64,
    to: i64,
    /// What follows, for programs and for people.
    consequence: (&'static str, &'static str),
}

const REDUCE_ONLY: (&str, &str) = ("reduce_only", "only what reduces it leaves");
const SMALLER_ONLY: (&str, &str) = ("smaller_only", "it stays, and can only be made smaller or cancelled");
const CANCELS_FIRST: (&str, &str) = ("cancels_first", "no new order until fewer are open; cancels go through");
const STOPS_IT: (&str, &str) = ("stops_strategy", "the strategy is STOPPED at once, and its open orders are cancelled");
const STOPS: (&str, &str) = ("stops_trading", "TRADING STOPS at once, and every open order is cancelled");

/// What would change.
///
/// # Errors
/// Exit code 2 for a wrong file or wrong pairs, 3 when no data plane has said which limits are in force.
pub(crate) fn diff(target: &Target, source: &[String]) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let in_force = InForce::find(target, &words)?;
    let changes = changes(&in_force, source)?;
    let effects = effects(&in_force, &changes);
    let mut text = describe(&in_force, &changes, &effects) + &not_set_text(source);
    if let Some(role) = role(&changes) {
        text.push_str(&format!(
            "needs the role {}; `tern risk set --epoch {} --why TEXT ...` sets all of it\n",
            role.replace('_', " "),
            in_force.state.epoch
        ));
    }
    let mut json = json(&in_force, &changes, &effects);
    json["not_set"] = not_set(source).into();
    Ok(Outcome::ok(text, json))
}

/// For people: every change, then what it is below.
pub(crate) fn describe(in_force: &InForce, changes: &[Changed], effects: &[Effect]) -> String {
    let mut text = format!("against epoch {}, {}\n", in_force.state.epoch, in_force.origin());
    if changes.is_empty() {
        text.push_str("nothing would change\n");
    }
    changes.iter().for_each(|change| text.push_str(&format!("  {}\n", change.text())));
    for effect in effects {
        let name = if effect.name.is_empty() { String::new() } else { format!(" {}", effect.name) };
        text.push_str(&format!(
            "  {}: {}{name} has {}, beyond {}: {}\n",
            key_of(&effect.limit),
            effect.kind,
            shown(&effect.limit, effect.value),
            shown(&effect.limit, effect.to),
            effect.consequence.1
        ));
    }
    text
}

/// For programs.
pub(crate) fn json(in_force: &InForce, changes: &[Changed], effects: &[Effect]) -> Value {
    let effect = |effect: &Effect| {
        json!({ "limit": effect.limit, "key": key_of(&effect.limit), "kind": effect.kind, "name": effect.name,
            "value": effect.value, "to": effect.to, "consequence": effect.consequence.0 })
    };
    json!({
        "epoch": in_force.state.epoch,
        "set": in_force.origin_json(),
        "as_of_ns": in_force.as_of_ns,
        "changes": changes.iter().map(Changed::json).collect::<Vec<_>>(),
        "effects": effects.iter().map(effect).collect::<Vec<_>>(),
        "needs_role": role(changes),
    })
}

/// What is there that the new limits are below.
pub(crate) fn effects(in_force: &InForce, changes: &[Changed]) -> Vec<Effect> {
    changes.iter().flat_map(|change| effects_of(in_force, change)).collect()
}

fn effects_of(in_force: &InForce, change: &Changed) -> Vec<Effect> {
    let held = &in_force.holdings;
    let sum = |kind, consequence| {
        let used = in_force.limit(&change.name).and_then(|limit| limit.used).unwrap_or(0);
        let beyond = (used > change.to).then(|| effect(change, kind, String::new(), used, consequence));
        beyond.into_iter().collect()
    };
    match change.name.as_str() {
        "position_max" => {
            let beyond = held.positions.iter().filter(|position| position.worst() > change.to);
            beyond.map(|position| of_position(change, position)).collect()
        }
        "order_quantity_max" => {
            let beyond = held.by_quantity.iter().filter(|order| i64::from(order.quantity) > change.to);
            beyond.map(|order| of_order(change, order, order.quantity.into())).collect()
        }
        "order_notional_max" => {
            let beyond = held.by_value.iter().filter(|order| order.value > change.to);
            beyond.map(|order| of_order(change, order, order.value)).collect()
        }
        "open_orders_max" => sum("sum", CANCELS_FIRST),
        "gross_max" | "net_max" => sum("sum", REDUCE_ONLY),
        "strategy_gross_max" | "strategy_net_max" => sum("strategy", REDUCE_ONLY),
        "strategy_daily_loss_max" => sum("strategy", STOPS_IT),
        "daily_loss_max" | "drawdown_max" => sum("loss", STOPS),
        _ => Vec::new(),
    }
}

fn of_position(change: &Changed, position: &ShownPosition) -> Effect {
    effect(change, "position", symbol_text(&position.symbol), position.worst(), REDUCE_ONLY)
}

fn of_order(change: &Changed, order: &ShownOrder, value: i64) -> Effect {
    let name = format!("{} in {}", order.order, symbol_text(&order.symbol));
    effect(change, "order", name, value, SMALLER_ONLY)
}

fn effect(
    change: &Changed,
    kind: &'static str,
    name: String,
    value: i64,
    consequence: (&'static str, &'static str),
) -> Effect {
    Effect { limit: change.name.clone(), kind, name, value, to: change.to, consequence }
}
