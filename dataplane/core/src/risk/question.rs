//! What the gate is asked, and how it says no.

use super::Reason;
use super::checks::check_way_out;
use crate::book::{Books, Instruments};
use crate::orders::Orders;
use crate::session::TimeInForce;
use crate::units::{InstrumentId, Price, Quantity, Side, StrategyId, TaiNs, TraderId};

/// A strategy, as the gate knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Index on this host.
    pub index: u8,
    /// Strategy id.
    pub strategy: StrategyId,
    /// Trader id.
    pub trader: TraderId,
}

/// Why an intent was refused, with the bound and what it would have become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The check.
    pub reason: Reason,
    /// The bound, in the unit of the check; 0 where there is none.
    pub limit: i64,
    /// What the intent would have made of it.
    pub value: i64,
}

impl Refusal {
    pub(crate) const fn new(reason: Reason) -> Self {
        Self { reason, limit: 0, value: 0 }
    }
    pub(crate) const fn beyond(reason: Reason, limit: i64, value: i64) -> Self {
        Self { reason, limit, value }
    }
}

/// What is the same for every intent of one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The loop's time.
    pub(crate) now: TaiNs,
    /// Age of the market data behind the intent.
    pub(crate) age_ns: u64,
    /// The session can take an order.
    pub(crate) session_ready: bool,
    /// The venue's window takes one more message.
    pub(crate) window_open: bool,
    /// The outbox takes one more message.
    pub(crate) outbox_room: bool,
    /// The ring takes more than the cancels that must always fit.
    pub(crate) ring_room: bool,
}

impl Moment {
    /// Why no message can leave at all, if none can.
    pub(crate) fn blocked(&self) -> Option<Refusal> {
        check_way_out(self).err()
    }
}

/// What the checks look at beside the gate's own tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Market<'a> {
    pub(crate) instruments: &'a Instruments,
    pub(crate) books: &'a Books,
    pub(crate) orders: &'a Orders,
}

/// A new order as a strategy wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewOrder {
    pub(crate) instrument: InstrumentId,
    pub(crate) side: Side,
    pub(crate) price: Price,
    pub(crate) quantity: Quantity,
    pub(crate) min_quantity: Quantity,
    pub(crate) time_in_force: TimeInForce,
    pub(crate) post_only: bool,
}

/// What an intent wants of an instrument's shares, in plain numbers: what it is made of has just been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    /// The firm's position, seen from the side, with all open orders of the side and this one filled.
    pub(super) worst: i64,
    /// The same of its owner.
    pub(super) own_worst: i64,
    /// How far its owner could lean to the other side, 0 if not at all.
    pub(super) own_other: i64,
    /// Shares that it adds to those that are open.
    pub(super) more: i64,
    pub(super) instrument: InstrumentId,
    pub(super) owner: u8,
    /// No other owner ever had an order in the instrument.
    pub(super) is_sole: bool,
    pub(super) side: Side,
}
