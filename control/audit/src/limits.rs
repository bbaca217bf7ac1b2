//! The limits that ought to be in force: from the start record's configuration, then as commands change them.

use serde::Deserialize;
use tern_abi::command::{Command, LimitsOutcome, SetLimits};
use tern_config::facts::Names;

/// What is recomputed of `[limits]`, widened. Defaults are those that the configuration writes out in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Limits {
    pub(crate) order_quantity_max: i64,
    pub(crate) order_notional_max: i64,
    pub(crate) position_max: i64,
    pub(crate) open_orders_max: i64,
    pub(crate) orders_per_second_max: i64,
    pub(crate) order_burst_max: i64,
    /// Not in the file: the configuration a run starts with is epoch 0.
    #[serde(skip)]
    pub(crate) epoch: u32,
    /// How many the gate has, recomputed or not, as the start record names them; 0 = it does not.
    #[serde(skip)]
    count: usize,
}

#[derive(Deserialize)]
struct Effective {
    limits: Limits,
}

/// Shares an order may have at most: below 1,000,000 (OUCH 5.0, 2.1).
const QUANTITY_MAX: i64 = 999_999;
/// Largest value of the limits that are counts.
const COUNT_MAX: i64 = u32::MAX as i64;

impl Limits {
    /// Those of an effective configuration; `None` if the text does not say them.
    pub(crate) fn of_configuration(text: &str) -> Option<Self> {
        let count = Names::split_start_text(text).1.limits.len();
        toml::from_str::<Effective>(text).ok().map(|effective| Limits { count, ..effective.limits })
    }

    /// A restart loosens nothing: of each, the tighter of this and what was in force before.
    pub(crate) fn tightened_by(mut self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self };
        for (limit, before) in [
            (&mut self.order_quantity_max, before.order_quantity_max),
            (&mut self.order_notional_max, before.order_notional_max),
            (&mut self.position_max, before.position_max),
            (&mut self.open_orders_max, before.open_orders_max),
            (&mut self.orders_per_second_max, before.orders_per_second_max),
            (&mut self.order_burst_max, before.order_burst_max),
        ] {
            *limit = before.min(*limit);
        }
        self
    }

    /// A `SetLimit`. Numbers are those of the journal's layout; what a command may not set changes nothing.
    pub(crate) fn set(&mut self, command: &Command) {
        if command.scope == 0 && self.set_one(command.id as usize, command.value) {
            self.epoch = command.epoch;
        }
    }

    /// All of a `SetLimits`, or none of it; whether they are in force.
    pub(crate) fn set_all(&mut self, command: &SetLimits) -> bool {
        let mut limits = Self { epoch: command.epoch, ..*self };
        let is_meant = command.refused == LimitsOutcome::Set as u32
            && command.epoch_seen == self.epoch
            && command.epoch > command.epoch_seen
            && (self.count == 0 || command.count as usize == self.count);
        let set = is_meant && command.values().iter().enumerate().all(|(index, value)| limits.set_one(index, *value));
        if set {
            *self = limits;
        }
        set
    }

    /// Sets one by its number; whether there is such a limit and the value is in its range.
    fn set_one(&mut self, index: usize, value: i64) -> bool {
        // A limit that is not recomputed here moves the epoch all the same.
        let mut ignored = 0;
        let (limit, max) = match index {
            0 => (&mut self.order_quantity_max, QUANTITY_MAX),
            1 => (&mut self.order_notional_max, i64::MAX / 2),
            3 => (&mut self.position_max, 1 << 40),
            4 => (&mut self.open_orders_max, COUNT_MAX),
            5 => (&mut self.orders_per_second_max, COUNT_MAX),
            6 => (&mut self.order_burst_max, COUNT_MAX),
            2 => (&mut ignored, 10_000),
            7 => (&mut ignored, COUNT_MAX),
            8 | 9 => (&mut ignored, 3_600_000_000_000),
            10..=13 => (&mut ignored, i64::MAX / 2),
            14 => (&mut ignored, 3),
            _ if index < self.count => (&mut ignored, i64::MAX),
            _ => return false,
        };
        let is_within = (0..=max).contains(&value);
        if is_within {
            *limit = value;
        }
        is_within
    }
}
