//! `tern risk diff|set --symbol`: the bounds of one symbol's price, for the rest of the trading day (adr/0035).

use std::collections::BTreeMap;
use tern_abi::command::SYSTEM_UID;

use serde_json::{Value, json};
use tern_abi::segment::{ShownBounds, Words};
use tern_config::limits::{Change, change_of_bounds};
use tern_config::protocol::{Answer, Ask};

use super::in_force::{InForce, symbol_text};
use super::set::told;
use crate::control::ask;
use crate::halt::since;
use crate::outcome::{Failure, Outcome};
use crate::table::money;
use crate::target::Target;

/// Highest price an order may have: OUCH 5.0, 1.2.
const PRICE_MAX: u32 = 1_999_999_900;

/// Bounds that would take the place of others, and what that does.
struct Wanted {
    in_force: InForce,
    symbol: String,
    from: [u32; 2],
    to: [u32; 2],
    effects: Vec<(&'static str, String, i64, &'static str)>,
}

/// What would change.
///
/// # Errors
/// Exit code 2: wrong pairs, or nothing is known that bounds the symbol's price. 3: no data plane has said what is in force.
pub(crate) fn diff_bounds(target: &Target, symbol: &str, pairs: &[String]) -> Result<Outcome, Failure> {
    let wanted = Wanted::find(target, symbol, pairs)?;
    let mut text = wanted.describe();
    if let Some(role) = wanted.role() {
        text.push_str(&format!(
            "needs the role {}; `tern risk set --symbol {symbol} --epoch {} --why TEXT ...` sets them until the trading day ends\n",
            role.replace('_', " "),
            wanted.in_force.state.epoch
        ));
    }
    Ok(Outcome::ok(text, wanted.json()))
}

/// Sets the bounds, if those of now and the limits of `epoch` are still in force.
///
/// # Errors
/// As [`diff_bounds`]; 3 when no daemon answers, 1 when it cannot do it.
pub(crate) fn set_bounds(
    target: &Target,
    symbol: &str,
    pairs: &[String],
    why: &str,
    epoch: Option<u32>,
) -> Result<Outcome, Failure> {
    let wanted = Wanted::find(target, symbol, pairs)?;
    let (text, json) = (wanted.describe(), wanted.json());
    let epoch_seen = epoch.unwrap_or(wanted.in_force.state.epoch);
    if wanted.change() == Change::None && epoch_seen == wanted.in_force.state.epoch {
        return Ok(told(text, json, None, (epoch_seen, epoch_seen), String::new()));
    }
    let (seen, wanted) = (wanted.from, wanted.to);
    match ask(target, Ask::SetBounds { epoch: epoch_seen, symbol: symbol.into(), seen, wanted, why: why.into() })? {
        Answer::Limits { verdict, epoch, message } => Ok(told(text, json, Some(verdict), (epoch_seen, epoch), message)),
        other => Err(Failure::failed(format!("ternd gave an answer to another question: {other:?}"))),
    }
}

impl Wanted {
    fn find(target: &Target, symbol: &str, pairs: &[String]) -> Result<Self, Failure> {
        let view = target.segment()?;
        let words = view.segment().map_err(Failure::failed)?;
        let in_force = InForce::find(target, &words)?;
        let set = words.bounds.read().and_then(|state| state.of(padded(symbol)).map(|shown| shown.prices));
        let (given, close) = target.prices.get(symbol).copied().unwrap_or_default();
        let from = set.or(given).ok_or_else(|| {
            Failure::usage(format!(
                "nothing is known that bounds the price of {symbol}: give --config FILE; a symbol that the configuration gives no \
                 bounds cannot be given any while it runs (`tern kill --scope symbol:{symbol}` stops it)"
            ))
        })?;
        let to = parse(pairs, from).map_err(Failure::usage)?;
        let mut wanted = Self { effects: Vec::new(), in_force, symbol: symbol.into(), from, to };
        wanted.effects = wanted.effects(close);
        Ok(wanted)
    }

    fn effects(&self, close: Option<u32>) -> Vec<(&'static str, String, i64, &'static str)> {
        let is_beyond = |price: i64| price < self.to[0].into() || price > self.to[1].into();
        let held = &self.in_force.holdings;
        // An order may be among the largest by shares and by value.
        let orders: BTreeMap<u32, i64> = (held.by_quantity.iter().chain(&held.by_value))
            .filter(|order| order.order != 0 && order.quantity != 0 && symbol_text(&order.symbol) == self.symbol)
            .map(|order| (order.order, order.value / i64::from(order.quantity)))
            .collect();
        let mut effects = Vec::new();
        for (order, price) in orders.into_iter().filter(|(_, price)| is_beyond(*price)) {
            let stays = "it stays until it is cancelled, and can be replaced at a price within alone";
            effects.push(("order", order.to_string(), price, stays));
        }
        if let Some(close) = close.map(i64::from).filter(|close| is_beyond(*close)) {
            let units = "the prior close is outside: is the price in 1/10000 of the currency unit?";
            effects.push(("prior_close", String::new(), close, units));
        }
        effects
    }

    fn change(&self) -> Change {
        change_of_bounds(self.from, self.to)
    }

    fn role(&self) -> Option<&'static str> {
        match self.change() {
            Change::None => None,
            Change::Tighter => Some("operator"),
            Change::Looser => Some("risk_officer"),
        }
    }

    fn describe(&self) -> String {
        let mut text = format!("against epoch {}, {}\n", self.in_force.state.epoch, self.in_force.origin());
        match self.change() {
            Change::None => text.push_str("nothing would change\n"),
            change => {
                let [from, to] = [self.from, self.to].map(shown);
                text.push_str(&format!("  prices of {}: {from} -> {to} ({})\n", self.symbol, change.name()));
            }
        }
        for (kind, name, price, consequence) in &self.effects {
            let name = if name.is_empty() { String::new() } else { format!(" {name}") };
            text.push_str(&format!("  {kind}{name} at {}: {consequence}\n", money(*price)));
        }
        text
    }

    fn json(&self) -> Value {
        let changed = json!({ "limit": "price_bounds", "symbol": self.symbol, "from": self.from, "to": self.to,
            "change": self.change().name() });
        let effects = self.effects.iter().map(|(kind, name, price, consequence)| {
            json!({ "kind": kind, "name": name, "price": price, "consequence": consequence })
        });
        json!({
            "epoch": self.in_force.state.epoch,
            "set": self.in_force.origin_json(),
            "as_of_ns": self.in_force.as_of_ns,
            "changes": if self.change() == Change::None { Vec::new() } else { vec![changed] },
            "effects": effects.collect::<Vec<_>>(),
            "needs_role": self.role(),
        })
    }
}

/// What commands set today, for `tern risk show`.
pub(crate) fn set_today(words: &Words) -> (String, Value) {
    let state = words.bounds.read().unwrap_or_default();
    let line = |set: &ShownBounds| {
        let by = if set.uid == SYSTEM_UID { "the data plane".into() } else { format!("uid {}", set.uid) };
        let since = since(Some(set.since_ns).filter(|ns| *ns != 0));
        let (prices, before) = (shown(set.prices), shown(set.before));
        format!("prices of {}: {prices} in place of {before}, by {by}{since}\n", symbol_text(&set.symbol))
    };
    let value = |set: &ShownBounds| {
        json!({ "symbol": symbol_text(&set.symbol), "prices": set.prices, "before": set.before, "epoch": set.epoch,
            "uid": (set.uid != SYSTEM_UID).then_some(set.uid), "since_ns": set.since_ns })
    };
    (state.shown().map(line).collect(), state.shown().map(value).collect())
}

fn padded(symbol: &str) -> [u8; 8] {
    std::array::from_fn(|index| symbol.as_bytes().get(index).copied().unwrap_or(b' '))
}

fn shown([lowest, highest]: [u32; 2]) -> String {
    match (lowest, highest) {
        (1, PRICE_MAX) => "any".into(),
        _ => format!("{} to {}", money(lowest), money(highest)),
    }
}

/// `price_min=N price_max=N`, one of them or both, in the place of `from`.
fn parse(pairs: &[String], from: [u32; 2]) -> Result<[u32; 2], String> {
    let mut to = from;
    let mut given = [false; 2];
    for pair in pairs {
        let index = match pair.split_once('=').map(|(key, _)| key.trim()) {
            Some("price_min") => 0,
            Some("price_max") => 1,
            _ => return Err(format!("`{pair}`: with --symbol, give price_min=PRICE, price_max=PRICE or both")),
        };
        if std::mem::replace(&mut given[index], true) {
            return Err(format!("`{pair}`: given twice"));
        }
        let value = pair.split_once('=').map_or("", |(_, value)| value.trim()).replace('_', "");
        to[index] = value.parse().ok().filter(|price| (1..=PRICE_MAX).contains(price)).ok_or_else(|| {
            format!(
                "`{pair}`: not a price from 1 to {PRICE_MAX} in 1/10000 of the currency unit; both ends set it free"
            )
        })?;
    }
    match to[0] <= to[1] {
        true => Ok(to),
        false => Err(format!("price_max {} is below price_min {}: give both", to[1], to[0])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_prices_and_what_is_wrong_is_named() {
        let read = |pairs: &[&str]| parse(&pairs.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>(), [20, 30]);
        assert_eq!((read(&["price_min=25"]), read(&["price_max=2_000", "price_min=1"])), (Ok([25, 30]), Ok([1, 2000])));
        for (wrong, said) in [
            (&["price_min=31"][..], "price_max 30 is below price_min 31"),
            (&["price_min=0"], "not a price"),
            (&["price_max=23.15"], "not a price"),
            (&["price_max=2000000000"], "not a price"),
            (&["price_min=-1"], "not a price"),
            (&["price_min=21", "price_min=22"], "given twice"),
            (&["position_max=5"], "give price_min=PRICE"),
            (&["limits.toml"], "give price_min=PRICE"),
        ] {
            let error = read(wrong).expect_err("wrong");
            assert!(error.contains(said), "{wrong:?}: {error}");
        }
    }
}
