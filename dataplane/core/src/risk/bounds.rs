//! The limits of an order as its symbol has them: those of all, or finer ones that the configuration names.
//!
//! They are worked out when they change, so that a check reads one entry of a table: nearly every instrument has the
//! first. A limit that is set by command is a ceiling for every symbol from then on, also for one that had more.

use super::checks::PRICE_MAX;
use super::{LimitId, Limits};
use crate::units::{Cash, Price, Quantity, Symbol};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Lowest price an order may have: a price of nothing is none.
const PRICE_MIN: Price = Price(1);

/// Limits of one symbol in place of those of all; `None` leaves the one of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolLimits {
    /// Which symbol.
    pub symbol: Symbol,
    /// In place of [`LimitId::PositionMax`].
    pub position_max: Option<i64>,
    /// In place of [`LimitId::OrderQuantityMax`].
    pub order_quantity_max: Option<Quantity>,
    /// In place of [`LimitId::OrderNotionalMax`].
    pub order_notional_max: Option<Cash>,
    /// Shares that may be sold short, held ones and open sales included; in place of
    /// [`Config::short_max`](crate::pipeline::Config::short_max).
    pub short_max: Option<i64>,
    /// Lowest price of an order, whatever the collar's reference is.
    pub price_min: Option<Price>,
    /// Highest price of an order.
    pub price_max: Option<Price>,
    /// No order may be sent in it.
    pub restricted: bool,
}

impl SymbolLimits {
    /// Every limit of `symbol` as that of all.
    pub const fn new(symbol: Symbol) -> Self {
        Self {
            symbol,
            position_max: None,
            order_quantity_max: None,
            order_notional_max: None,
            short_max: None,
            price_min: None,
            price_max: None,
            restricted: false,
        }
    }

    /// The lowest and the highest price of an order; the ends of all prices where nothing is said.
    const fn price_band(&self) -> (Price, Price) {
        let lowest = match self.price_min {
            Some(price) => price,
            None => PRICE_MIN,
        };
        match self.price_max {
            Some(price) => (lowest, price),
            None => (lowest, PRICE_MAX),
        }
    }

    /// Bounds of the price that no order could keep, or that are no prices: lowest and highest.
    pub(crate) fn wrong_band(&self) -> Option<(Price, Price)> {
        let (lowest, highest) = self.price_band();
        let is_right = PRICE_MIN <= lowest && lowest <= highest && highest <= PRICE_MAX;
        if is_right { None } else { Some((lowest, highest)) }
    }

    /// The first limit that is out of range, with its value.
    pub(crate) fn out_of_range(&self) -> Option<(LimitId, i64)> {
        let values = [
            (LimitId::PositionMax, self.position_max),
            (LimitId::OrderQuantityMax, self.order_quantity_max.map(i64::from)),
            (LimitId::OrderNotionalMax, self.order_notional_max),
        ];
        values
            .into_iter()
            .filter_map(|(id, value)| value.map(|value| (id, value)))
            .find(|(id, value)| !(0..=Limits::max(*id)).contains(value))
    }
}

/// What holds for the orders in an instrument: one line of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Bounds {
    /// Shares long or short, with all open orders of a side filled.
    pub(super) position_max: i64,
    /// Price times shares an order, 1/10000.
    pub(super) order_notional_max: Cash,
    /// Shares an order.
    pub(super) order_quantity_max: Quantity,
    /// No order may be sent.
    pub(super) restricted: bool,
    /// Shares that may be sold short.
    pub(super) short_max: i64,
    /// Lowest price of an order, at least 1.
    pub(super) price_min: Price,
    /// Highest price of an order, at most the highest that any may have.
    pub(super) price_max: Price,
}

const _: () = assert!(size_of::<Bounds>() == 64);

impl Bounds {
    const UNBOUNDED: Self = Self {
        position_max: i64::MAX,
        order_notional_max: i64::MAX,
        order_quantity_max: Quantity::MAX,
        restricted: false,
        short_max: i64::MAX,
        price_min: PRICE_MIN,
        price_max: PRICE_MAX,
    };

    const fn of_all(limits: &Limits, short_max: i64) -> Self {
        Self {
            restricted: false,
            short_max,
            price_min: PRICE_MIN,
            price_max: PRICE_MAX,
            position_max: limits.position_max,
            order_notional_max: limits.order_notional_max,
            order_quantity_max: limits.order_quantity_max,
        }
    }

    /// Whether the symbol has bounds of the price of its own.
    pub(super) fn has_price_band(&self) -> bool {
        (self.price_min, self.price_max) != (PRICE_MIN, PRICE_MAX)
    }

    /// The same without bounds of the price.
    pub(super) const fn at_any_price(&self) -> Self {
        Self { price_min: PRICE_MIN, price_max: PRICE_MAX, ..*self }
    }

    fn of_symbol(&self, symbol: &SymbolLimits, ceiling: &Self) -> Self {
        let (price_min, price_max) = symbol.price_band();
        Self {
            // The gate's products rely on a price that an order may have.
            price_min: price_min.max(PRICE_MIN),
            price_max: price_max.min(PRICE_MAX),
            restricted: symbol.restricted,
            short_max: symbol.short_max.unwrap_or(self.short_max),
            position_max: symbol.position_max.map_or(self.position_max, |max| max.min(ceiling.position_max)),
            order_notional_max: symbol
                .order_notional_max
                .map_or(self.order_notional_max, |max| max.min(ceiling.order_notional_max)),
            order_quantity_max: symbol
                .order_quantity_max
                .map_or(self.order_quantity_max, |max| max.min(ceiling.order_quantity_max)),
        }
    }
}

/// The bounds of all instruments. The first entry is that of most, the others those of the symbols that have their own.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct BoundsTable {
    rows: Box<[Bounds]>,
    /// By symbol.
    symbols: Box<[SymbolLimits]>,
    /// Shares that may be sold short in a symbol of which nothing is said.
    short_max: i64,
    /// What was set by command.
    ceiling: Bounds,
}

impl BoundsTable {
    pub(super) fn new(limits: &Limits, symbols: &[SymbolLimits], short_max: i64) -> Self {
        let all = Bounds::of_all(limits, short_max);
        let rows: Vec<Bounds> = core::iter::repeat_n(all, 1 + symbols.len()).collect();
        let mut symbols: Box<[SymbolLimits]> = symbols.into();
        symbols.sort_unstable_by_key(|limits| limits.symbol);
        let mut table = Self { rows: rows.into(), symbols, short_max, ceiling: Bounds::UNBOUNDED };
        table.work_out(limits);
        table
    }

    fn work_out(&mut self, limits: &Limits) {
        let Some((all, own)) = self.rows.split_first_mut() else { return };
        *all = Bounds::of_all(limits, self.short_max);
        for (row, symbol) in own.iter_mut().zip(&self.symbols) {
            *row = all.of_symbol(symbol, &self.ceiling);
        }
    }

    /// A command put `limits` in the place of those `before`. What it changed is a ceiling from then on.
    pub(super) fn set(&mut self, before: &Limits, limits: &Limits) {
        if before.position_max != limits.position_max {
            self.ceiling.position_max = limits.position_max;
        }
        if before.order_notional_max != limits.order_notional_max {
            self.ceiling.order_notional_max = limits.order_notional_max;
        }
        if before.order_quantity_max != limits.order_quantity_max {
            self.ceiling.order_quantity_max = limits.order_quantity_max;
        }
        self.work_out(limits);
    }

    /// Lowest and highest price of an order in a symbol; `None` where nothing bounds it but what bounds every order.
    pub(super) fn price_bounds(&self, symbol: Symbol) -> Option<(Price, Price)> {
        let index = self.symbols.binary_search_by_key(&symbol, |limits| limits.symbol).ok()?;
        self.symbols
            .get(index)
            .filter(|own| own.price_min.is_some() || own.price_max.is_some())
            .map(|own| own.price_band())
    }

    /// Puts other bounds of the price in the place of a symbol's own; of one that has none nothing changes.
    pub(super) fn set_price_bounds(&mut self, symbol: Symbol, (lowest, highest): (Price, Price), limits: &Limits) {
        if let Ok(index) = self.symbols.binary_search_by_key(&symbol, |limits| limits.symbol)
            && let Some(own) = self.symbols.get_mut(index)
        {
            (own.price_min, own.price_max) = (Some(lowest), Some(highest));
            self.work_out(limits);
        }
    }

    /// What is in force, and the ceilings, for a hash.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let of = |bounds: &Bounds| {
            let (prices, money) = ([bounds.price_min.0, bounds.price_max.0], bounds.order_notional_max);
            let signed = [bounds.position_max, money, bounds.short_max, prices[0], prices[1]].map(i64::cast_unsigned);
            let last = u64::from(bounds.order_quantity_max) << 1 | u64::from(bounds.restricted);
            signed.into_iter().chain([last])
        };
        self.rows.iter().chain([&self.ceiling]).flat_map(of)
    }

    /// The entry of a symbol, which its instrument keeps.
    pub(super) fn row_of(&self, symbol: Symbol) -> u16 {
        let own = self.symbols.binary_search_by_key(&symbol, |limits| limits.symbol);
        own.map_or(0, |index| u16::try_from(index + 1).unwrap_or(0))
    }

    /// The bounds of the instruments with this entry.
    #[inline]
    pub(super) fn row(&self, row: u16) -> &Bounds {
        // There is no row that an instrument keeps and the table lacks; nothing would be allowed in it.
        const NOTHING: &Bounds = &Bounds {
            position_max: 0,
            order_notional_max: 0,
            order_quantity_max: 0,
            restricted: true,
            short_max: 0,
            ..Bounds::UNBOUNDED
        };
        self.rows.get(usize::from(row)).unwrap_or(NOTHING)
    }
}
