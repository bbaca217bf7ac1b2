//! Limits and what uses them, as the data plane shows them: which limits are in force and who set them, how much of each
//! is used, and the largest positions and open orders.

use super::mirror::{Mirror, words_of};
use crate::command::{LIMITS_MAX, SYSTEM_UID, SetBounds, SetLimits, WHY_BYTES_MAX, text_of};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Symbols that have a word; of an instance with more, the rest is not shown.
pub const SYMBOL_WORDS: usize = 16_384;
/// Positions that are shown, the largest.
pub const POSITIONS_SHOWN: usize = 16;
/// Open orders that are shown, the largest by shares and by value.
pub const ORDERS_SHOWN: usize = 8;
/// Symbols whose bounds of the price may be set by command in a day.
pub const BOUNDS_SHOWN: usize = 32;

/// In [`UsageState::used`]: nothing is measured that uses this limit.
pub const NOT_MEASURED: i64 = i64::MIN;

/// The limits in force.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct LimitsState {
    /// Epoch; every order record has that of the limits it was checked against.
    pub epoch: u32,
    /// Limits in `values`.
    pub count: u32,
    /// Who set them: Unix user id; `u32::MAX` = the configuration at start, or the system itself.
    pub uid: u32,
    /// Zero.
    pub reserved: u32,
    /// When they came into force, TAI ns.
    pub since_ns: u64,
    /// [`SetLimits::request`] of the command that set them; 0 = none.
    pub request: u64,
    /// By index of the limit (`tern_core::risk::LimitId`).
    pub values: [i64; LIMITS_MAX],
    /// Why, UTF-8, zero padded; empty = the configuration at start.
    pub why: [u8; WHY_BYTES_MAX],
}

impl LimitsState {
    /// The state after a command, or at start.
    pub fn new(command: &SetLimits, since_ns: u64) -> Self {
        Self {
            epoch: command.epoch,
            count: command.count,
            uid: command.uid,
            reserved: 0,
            since_ns,
            request: command.request,
            values: command.values,
            why: command.why,
        }
    }

    /// The limits there are.
    pub fn values(&self) -> &[i64] {
        self.values.get(..self.count as usize).unwrap_or(&self.values)
    }

    /// Why, as text.
    pub fn why(&self) -> &str {
        text_of(&self.why)
    }
}

/// What uses the limits.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct UsageState {
    /// When this was so, TAI ns.
    pub tai_ns: u64,
    /// Limits that are below what is there already, so that only what reduces it leaves: a bit each, by index.
    pub reduce_only: u64,
    /// The best profit of the day so far, 1/10000: drawdown is measured from it, over restarts too.
    pub high_water: i64,
    /// In the limit's unit, by its index; [`NOT_MEASURED`] where nothing is.
    pub used: [i64; LIMITS_MAX],
}

/// A position with the open orders that could change it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ShownPosition {
    /// Symbol, space padded; zeros = nothing is shown here.
    pub symbol: [u8; 8],
    /// Signed shares held.
    pub shares: i64,
    /// Shares that open buys may trade.
    pub open_buy: i64,
    /// Shares that open sales may trade.
    pub open_sell: i64,
}

impl ShownPosition {
    /// The position, long or short, with all open orders of the worse side filled.
    pub const fn worst(&self) -> i64 {
        let long = self.shares.saturating_add(self.open_buy);
        let short = self.open_sell.saturating_sub(self.shares);
        if long > short { long } else { short }
    }
}

/// An open order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ShownOrder {
    /// Symbol, space padded; zeros = nothing is shown here.
    pub symbol: [u8; 8],
    /// Price times shares that it stands for, 1/10000 of the currency unit.
    pub value: i64,
    /// Our id.
    pub order: u32,
    /// Shares that it stands for.
    pub quantity: u32,
}

/// The largest positions and open orders, as one look through all of them found them; largest first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct HoldingsState {
    /// When the look began, TAI ns.
    pub began_ns: u64,
    /// By [`ShownPosition::worst`].
    pub positions: [ShownPosition; POSITIONS_SHOWN],
    /// By shares.
    pub by_quantity: [ShownOrder; ORDERS_SHOWN],
    /// By value.
    pub by_value: [ShownOrder; ORDERS_SHOWN],
}

/// Bounds of a symbol's price that were set by command.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ShownBounds {
    /// Symbol, space padded; zeros = nothing is shown here.
    pub symbol: [u8; 8],
    /// Lowest and highest price of an order, 1/10000.
    pub prices: [u32; 2],
    /// Those that they took the place of.
    pub before: [u32; 2],
    /// Epoch of the limits with which they came into force.
    pub epoch: u32,
    /// Who set them: Unix user id; `u32::MAX` = the system, which kept them over a restart.
    pub uid: u32,
    /// When, TAI ns.
    pub since_ns: u64,
}

/// All bounds of prices that were set by command in the trading day.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct BoundsState {
    /// The trading day, days since 1970-01-01: they end with it.
    pub day: u32,
    /// Zero.
    pub reserved: u32,
    /// In the order in which the symbols came.
    pub symbols: [ShownBounds; BOUNDS_SHOWN],
}

impl BoundsState {
    /// With what a command set; false if there is no place for another symbol.
    pub fn set(&mut self, bounds: &SetBounds, (epoch, uid, since_ns): (u32, u32, u64)) -> bool {
        let mut places = self.symbols.iter_mut();
        let Some(place) = places.find(|place| place.symbol == bounds.symbol || place.symbol == [0; 8]) else {
            return false;
        };
        let SetBounds { symbol, seen, wanted } = *bounds;
        // Who set them is not forgotten when a run begins anew.
        let is_kept = uid == SYSTEM_UID && place.symbol == symbol && place.prices == wanted;
        let (uid, since_ns) = if is_kept { (place.uid, place.since_ns) } else { (uid, since_ns) };
        *place = ShownBounds { symbol, prices: wanted, before: seen, epoch, uid, since_ns };
        true
    }

    /// Those of a symbol, if a command set some.
    pub fn of(&self, symbol: [u8; 8]) -> Option<&ShownBounds> {
        self.shown().find(|shown| shown.symbol == symbol)
    }

    /// All of them.
    pub fn shown(&self) -> impl Iterator<Item = &ShownBounds> {
        self.symbols.iter().filter(|shown| shown.symbol != [0; 8])
    }

    /// Whether there is a place for those of `symbol`.
    pub fn has_room_for(&self, symbol: [u8; 8]) -> bool {
        self.symbols.iter().any(|place| place.symbol == symbol || place.symbol == [0; 8])
    }
}

/// See [`BoundsState`].
pub type BoundsMirror = Mirror<BoundsState, { words_of::<BoundsState>() }>;
/// See [`LimitsState`].
pub type LimitsMirror = Mirror<LimitsState, { words_of::<LimitsState>() }>;
/// See [`UsageState`].
pub type UsageMirror = Mirror<UsageState, { words_of::<UsageState>() }>;
/// See [`HoldingsState`].
pub type HoldingsMirror = Mirror<HoldingsState, { words_of::<HoldingsState>() }>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_a_position_is_its_worse_side() {
        let position =
            |shares, open_buy, open_sell| ShownPosition { shares, open_buy, open_sell, ..Default::default() };
        assert_eq!(position(100, 50, 500).worst(), 400);
        assert_eq!(position(100, 350, 500).worst(), 450);
        assert_eq!(position(-100, 0, 0).worst(), 100);
        assert_eq!(position(i64::MAX, 1, 0).worst(), i64::MAX);
    }

    #[test]
    fn a_state_says_what_the_command_said() {
        let mirror = LimitsMirror::default();
        let command = SetLimits { request: 5, ..SetLimits::new(&[1, 2, 3], (6, 7), 1000, "calmer") };
        mirror.write(&LimitsState::new(&command, 99));
        let found = mirror.read().expect("it was written");
        assert_eq!((found.epoch, found.uid, found.request, found.since_ns), (7, 1000, 5, 99));
        assert_eq!((found.values(), found.why()), (&[1, 2, 3][..], "calmer"));
    }
}
