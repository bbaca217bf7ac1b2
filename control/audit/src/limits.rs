//! The limits that ought to be in force: from the start record's configuration, then as commands change them.

use serde::Deserialize;
use tern_abi::command::Command;

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
        toml::from_str::<Effective>(text).ok().map(|effective| effective.limits)
    }

    /// A `SetLimit`. Numbers are those of the journal's layout; what a command may not set changes nothing.
    pub(crate) fn set(&mut self, command: &Command) {
        // A limit that is not recomputed here moves the epoch all the same.
        let mut ignored = 0;
        let (limit, max) = match command.id {
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
            15 | 16 => (&mut ignored, COUNT_MAX),
            _ => return,
        };
        if command.scope == 0 && (0..=max).contains(&command.value) {
            *limit = command.value;
            self.epoch = command.epoch;
        }
    }
}
