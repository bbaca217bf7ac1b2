//! The limits in force, as the data plane shows them.

use serde_json::{Value, json};
use tern_abi::command::SYSTEM_UID;
use tern_abi::segment::{HoldingsState, LimitsState, NOT_MEASURED, UsageState, Words};
use tern_config::facts::{Names, name_at};
use tern_config::limits::{key_of, text_of, unit_of};

use crate::halt::since;
use crate::outcome::Failure;
use crate::table::{grouped, money};
use crate::target::Target;

/// One limit.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    /// The gate's name of it.
    pub(crate) name: String,
    /// What is in force, in the gate's unit.
    pub(crate) value: i64,
    /// What uses it, where that is measured.
    pub(crate) used: Option<i64>,
    /// What is there already is beyond it.
    pub(crate) is_reduce_only: bool,
}

/// All of them, with who set them.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    pub(crate) state: LimitsState,
    pub(crate) limits: Vec<Limit>,
    pub(crate) holdings: HoldingsState,
    /// When the usage was so, TAI ns; 0 = it was never said.
    pub(crate) as_of_ns: u64,
}

impl InForce {
    /// Out of the segment's words; `None` when no data plane has said anything there.
    pub(crate) fn read(words: &Words, names: &Names) -> Option<Self> {
        let state = words.limits.read()?;
        let usage = words.usage.read();
        let limits =
            (state.values().iter().enumerate()).map(|(index, value)| limit(index, *value, usage.as_ref(), names));
        Some(Self {
            limits: limits.collect(),
            holdings: words.holdings.read().unwrap_or_default(),
            as_of_ns: usage.map_or(0, |usage| usage.tai_ns),
            state,
        })
    }

    /// As [`read`](Self::read), for a command that needs it.
    ///
    /// # Errors
    /// Exit code 3: no data plane has said anything.
    pub(crate) fn find(target: &Target, words: &Words) -> Result<Self, Failure> {
        Self::read(words, &target.names()).ok_or_else(|| {
            Failure::not_running("no data plane has run in this segment: no limits are in force; start ternd first")
        })
    }

    pub(crate) fn limit(&self, name: &str) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.name == name)
    }

    /// Who set them, since when and why.
    pub(crate) fn origin(&self) -> String {
        let state = &self.state;
        let by = match state.uid {
            SYSTEM_UID if state.why().is_empty() => "the configuration at start".into(),
            SYSTEM_UID => "the data plane".into(),
            uid => format!("uid {uid}"),
        };
        let why = if state.why().is_empty() { String::new() } else { format!(": {}", state.why()) };
        format!("by {by}{}{why}", since(Some(state.since_ns).filter(|ns| *ns != 0)))
    }

    /// The same for programs.
    pub(crate) fn origin_json(&self) -> Value {
        let state = &self.state;
        let by = match state.uid {
            SYSTEM_UID if state.why().is_empty() => "configuration",
            SYSTEM_UID => "data_plane",
            _ => "operator",
        };
        let uid = (state.uid != SYSTEM_UID).then_some(state.uid);
        json!({ "by": by, "uid": uid, "since_ns": state.since_ns, "why": state.why() })
    }
}

fn limit(index: usize, value: i64, usage: Option<&UsageState>, names: &Names) -> Limit {
    let used = usage.and_then(|usage| usage.used.get(index)).copied().filter(|used| *used != NOT_MEASURED);
    let bits = usage.map_or(0, |usage| usage.reduce_only);
    Limit { name: name_at(&names.limits, index), value, used, is_reduce_only: bits >> index & 1 != 0 }
}

impl Limit {
    /// How much of it is used, percent; `None` where that says nothing.
    pub(crate) fn percent(&self) -> Option<i64> {
        let used = self.used.filter(|_| self.value > 0)?;
        i64::try_from(i128::from(used) * 100 / i128::from(self.value)).ok()
    }
}

/// A value of a limit as people read it, with its unit.
pub(crate) fn shown(name: &str, value: i64) -> String {
    match unit_of(name) {
        "1/10000" => money(value),
        "" => text_of(name, value),
        "percent" => format!("{} %", text_of(name, value)),
        unit => format!("{} {unit}", grouped(value)),
    }
}

/// Symbols, space padded, as text.
pub(crate) fn symbol_text(symbol: &[u8; 8]) -> String {
    String::from_utf8_lossy(symbol).trim_end_matches([' ', '\0']).to_owned()
}

/// What `tern status` says of the limits: a line for people, a sentence for each that is below what is there, and all of it
/// for programs.
pub(crate) fn reduce_only(target: &Target, words: &Words) -> (String, Vec<String>, Value) {
    let Some(in_force) = InForce::read(words, &target.names()) else {
        return ("none in force yet".into(), Vec::new(), Value::Null);
    };
    let beyond = || in_force.limits.iter().filter(|limit| limit.is_reduce_only);
    let sentences = beyond().map(|limit| {
        let used = shown(&limit.name, limit.used.unwrap_or(0));
        format!(
            "limits.{} is {} and {used} are there{}: only what reduces that leaves; `tern risk show` says more",
            key_of(&limit.name),
            shown(&limit.name, limit.value),
            of_what(&in_force, limit),
        )
    });
    let json = json!({
        "epoch": in_force.state.epoch,
        "set": in_force.origin_json(),
        "reduce_only": beyond().map(|limit| key_of(&limit.name)).collect::<Vec<_>>(),
    });
    (format!("epoch {}, {}", in_force.state.epoch, in_force.origin()), sentences.collect(), json)
}

fn of_what(in_force: &InForce, limit: &Limit) -> String {
    match largest(in_force, &limit.name) {
        Some(name) => format!(" ({name})"),
        None => String::new(),
    }
}

/// Which position or order uses a limit most, where it is one.
pub(crate) fn largest(in_force: &InForce, name: &str) -> Option<String> {
    let order = |order: &tern_abi::segment::ShownOrder| {
        (order.order != 0).then(|| format!("order {} in {}", order.order, symbol_text(&order.symbol)))
    };
    match name {
        "position_max" => Some(symbol_text(&in_force.holdings.positions[0].symbol)).filter(|symbol| !symbol.is_empty()),
        "order_quantity_max" => order(&in_force.holdings.by_quantity[0]),
        "order_notional_max" => order(&in_force.holdings.by_value[0]),
        _ => None,
    }
}
