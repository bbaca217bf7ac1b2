//! What is known of an instrument in one cache line: both best levels, last trade, trading state and trust.

use super::order::price_of;
use super::{Level, Top};
use crate::feed::Distrust;
use crate::units::{Price, Side};
use core::hint::select_unpredictable;
use zerocopy::FromZeros;

/// One side: a copy of its best level.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct Best {
    /// Shares at the best level.
    pub(super) quantity: u64,
    /// Orders at the best level; 0 means that the side is empty and nothing else here counts.
    pub(super) orders: u32,
    /// Rank of the best level.
    pub(super) rank: u32,
    /// Slot of the best level.
    pub(super) level: u32,
    pub(super) reserved: u32,
}

impl Best {
    /// Becomes `other` if that is what it is, which nobody can predict.
    #[inline(always)]
    pub(super) fn update(&mut self, is_other: bool, other: Self) {
        self.quantity = select_unpredictable(is_other, other.quantity, self.quantity);
        self.orders = select_unpredictable(is_other, other.orders, self.orders);
        self.rank = select_unpredictable(is_other, other.rank, self.rank);
        self.level = select_unpredictable(is_other, other.level, self.level);
    }
    #[inline(always)]
    fn view(&self, side: Side) -> Option<Level> {
        (self.orders != 0).then(|| Level {
            price: price_of(side, self.rank),
            quantity: self.quantity,
            orders: self.orders,
        })
    }
}

/// The cache line of an instrument.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct BookLine {
    pub(super) sides: [Best; 2],
    /// Shares printed since start.
    pub(super) volume: u64,
    /// Price of the last print; 0 before any.
    pub(super) last_price: u32,
    /// The venue's letter; 0 before any.
    pub(super) trading_state: u8,
    /// The venue's letter; 0 before any.
    pub(super) short_sale: u8,
    /// 0 or [`Distrust`] index + 1, of the instrument itself.
    pub(super) distrust: u8,
    /// 0 or [`Distrust`] index + 1, of its stream.
    pub(super) stream_distrust: u8,
}

impl BookLine {
    #[inline(always)]
    pub(super) fn top(&self) -> Top {
        let [bid, ask] = &self.sides;
        Top { bid: bid.view(Side::Buy), ask: ask.view(Side::Sell) }
    }
    #[inline(always)]
    pub(super) fn print(&mut self, price: u32, quantity: u32) {
        self.last_price = price;
        self.volume = self.volume.saturating_add(u64::from(quantity));
    }
    pub(super) fn status(&self) -> Status {
        Status {
            trading_state: self.trading_state,
            short_sale: self.short_sale,
            last_price: (self.last_price != 0).then_some(Price(i64::from(self.last_price))),
            volume: self.volume,
        }
    }
}

/// 0 for trust, else the reason's index + 1.
pub(super) const fn distrust_code(reason: Option<Distrust>) -> u8 {
    match reason {
        None => 0,
        Some(reason) => reason.index() as u8 + 1,
    }
}

/// The reason of a code.
pub(super) const fn distrust_of(code: u8) -> Option<Distrust> {
    if code == 0 { None } else { Distrust::from_index(code as usize - 1) }
}

/// What the venue says of an instrument beside its orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The venue's trading state letter (ITCH: `H` halted, `P` paused, `Q` quotation only, `T` trading); 0 before any.
    pub trading_state: u8,
    /// The venue's short-sale restriction letter (ITCH Reg SHO action: `0`, `1`, `2`); 0 before any.
    pub short_sale: u8,
    /// Price of the last print.
    pub last_price: Option<Price>,
    /// Shares printed since start, crosses included, non-printable executions not.
    pub volume: u64,
}
