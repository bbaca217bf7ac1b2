//! Our own orders: ids, the table of them, and the machine that follows what the venue says.

mod answers;
mod asked;
mod executions;
mod ids;
mod machine;
mod table;

pub(crate) use answers::LATE_MAX;
pub use executions::{Execution, Executions};
pub use ids::OrderIds;
pub use machine::{Applied, Identity, OrderNote};
pub use table::{Orders, Slot};

use crate::session::TimeInForce;
use crate::units::{Cash, InstrumentId, OrderId, Price, Quantity, Side, StrategyId, TaiNs, TraderId};
use tern_abi::counter_enum;

counter_enum! {
    /// Where an order is in its life. Values are part of the journal's layout.
    pub enum OrderState {
        PendingNew = "pending_new": "Sent, not yet acknowledged.",
        Live = "live": "Acknowledged and open.",
        PendingReplace = "pending_replace": "Open; a replace or a partial cancel is on its way.",
        PendingCancel = "pending_cancel": "Open; a cancel is on its way.",
        Filled = "filled": "Nothing is left: all of it traded, or what did not was canceled before.",
        Canceled = "canceled": "Nothing is left: canceled by us or by the venue.",
        Rejected = "rejected": "The venue did not accept it.",
        Dropped = "dropped": "It never left: killed or refused by the encoder before TCP had it.",
        Lost = "lost": "It was sent on a connection that broke, and the venue's log does not know it.",
        Unknown = "unknown": "The venue does not answer, or refused again and again to cancel it: open, for all that is known.",
    }
}

impl OrderState {
    /// Whether shares may still trade.
    #[inline]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::PendingNew | Self::Live | Self::PendingReplace | Self::PendingCancel | Self::Unknown)
    }
}

/// Pause after the first cancel that the venue refuses; it doubles with each further one of the order.
const CANCEL_PAUSE_NS: u64 = 10_000_000;
/// Longest pause between two cancels of an order.
const CANCEL_PAUSE_NS_MAX: u64 = 1_000_000_000;
/// Refused cancels of an order after which no more are sent: about seven seconds.
pub(crate) const CANCELS_REFUSED_MAX: u8 = 12;

/// Why an order is dead, or that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Not yet acknowledged.
    New,
    /// Acknowledged.
    Live,
    /// Over, and how.
    Dead(OrderState),
}

/// One of our orders; over replaces it stays the same order under a new id.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub(crate) id: OrderId,
    /// Id of the replacement on its way; 0 = none.
    pub(crate) pending: OrderId,
    /// Id that a cancel on its way names; 0 = none.
    pub(crate) cancel_sent: OrderId,
    pub(crate) instrument: InstrumentId,
    pub(crate) price: Price,
    pub(crate) pending_price: Price,
    /// The venue's reference.
    pub(crate) venue_order: u64,
    /// Shares open.
    pub(crate) leaves: Quantity,
    /// Shares of the whole chain that traded.
    pub(crate) executed: Quantity,
    /// Chain total that the replacement on its way asks for.
    pub(crate) pending_total: Quantity,
    /// Shares of the chain that traded before the last replace.
    pub(crate) executed_before: Quantity,
    /// Shares in total to which a partial cancel on its way takes the order; 0 = none is.
    pub(crate) reduce_to: Quantity,
    /// What a share is valued at, should it trade for more than its limit: in a cross. Zero: its price.
    pub(crate) valued_at: Price,
    /// Shares with which the order stands in the exposure of its instrument now.
    pub(crate) counted: Quantity,
    pub(crate) strategy: StrategyId,
    pub(crate) trader: TraderId,
    /// Index of the strategy on this host.
    pub(crate) owner: u8,
    pub(crate) side: Side,
    pub(crate) life: Life,
    pub(crate) time_in_force: TimeInForce,
    pub(crate) post_only: bool,
    /// The venue refused a partial cancel (OUCH 5.0, 3.10: it says so once, and ignores the next).
    pub(crate) reduce_refused: bool,
    /// Entered as a short sale.
    pub(crate) short: bool,
    /// Somebody wants it gone: cancels are sent until the venue agrees.
    pub(crate) cancel_wanted: bool,
    /// Sent on a connection that broke since: the venue's log will tell.
    pub(crate) doubtful: bool,
    /// Cancels that the venue refused, in a row.
    pub(crate) cancels_refused: u8,
    /// When the next cancel may be sent after one was refused; until then none is on its way. Zero: at once.
    pub(crate) cancel_due: TaiNs,
    /// When the venue has to have answered the oldest message without an answer; zero: none is waited for.
    pub(crate) answer_due: TaiNs,
    /// Deadlines that passed without that answer.
    pub(crate) late: u8,
    /// The venue said that it will be canceled after the cross (OUCH 5.0, 3.9).
    pub(crate) cancel_waits: bool,
    /// First heard of from the venue.
    pub(crate) adopted: bool,
    /// Known from a log of the venue that is gone: the one now may tell it again, from its start.
    pub(crate) old_log: bool,
}

impl Order {
    /// Our id of it now.
    #[inline]
    pub const fn id(&self) -> OrderId {
        self.id
    }
    /// Instrument.
    #[inline]
    pub const fn instrument(&self) -> InstrumentId {
        self.instrument
    }
    /// Side.
    #[inline]
    pub const fn side(&self) -> Side {
        self.side
    }
    /// Limit price, as the venue last accepted it.
    #[inline]
    pub const fn price(&self) -> Price {
        self.price
    }
    /// Price that the replacement on its way asks for, else the price.
    #[inline]
    pub const fn intended_price(&self) -> Price {
        if self.pending.0 == 0 { self.price } else { self.pending_price }
    }
    /// Shares open.
    #[inline]
    pub const fn leaves(&self) -> Quantity {
        self.leaves
    }
    /// Shares open, or to be open once the replacement on its way is there.
    #[inline]
    pub const fn intended_leaves(&self) -> Quantity {
        if self.pending.0 == 0 { self.leaves } else { self.pending_total.saturating_sub(self.executed) }
    }
    /// Shares that traded, over all replaces.
    #[inline]
    pub const fn executed(&self) -> Quantity {
        self.executed
    }
    /// The venue's reference, 0 before it is acknowledged: the order's number in the feed, if it is displayed.
    #[inline]
    pub const fn venue_order(&self) -> u64 {
        self.venue_order
    }
    /// Strategy.
    #[inline]
    pub const fn strategy(&self) -> StrategyId {
        self.strategy
    }
    /// Where it is in its life.
    #[inline]
    pub const fn state(&self) -> OrderState {
        match self.life {
            Life::Dead(state) => state,
            _ if self.late >= LATE_MAX => OrderState::Unknown,
            _ if self.cancel_sent.0 != 0 => OrderState::PendingCancel,
            _ if self.cancels_refused >= CANCELS_REFUSED_MAX => OrderState::Unknown,
            _ if self.pending.0 != 0 || self.reduce_to != 0 => OrderState::PendingReplace,
            Life::New => OrderState::PendingNew,
            Life::Live => OrderState::Live,
        }
    }
    /// Whether a replace or a cancel would be taken now: nothing is on its way.
    #[inline]
    pub const fn is_settled(&self) -> bool {
        matches!(self.life, Life::Live)
            && self.pending.0 == 0
            && self.cancel_sent.0 == 0
            && self.reduce_to == 0
            && !self.cancel_wanted
    }

    /// Shares that may still trade in the worst case: during a replace the greater of what is open and what the
    /// replacement would leave open; a cancel on its way changes nothing.
    #[inline]
    pub fn exposure(&self) -> Quantity {
        if matches!(self.life, Life::Dead(_)) { 0 } else { self.leaves.max(self.intended_leaves()) }
    }

    /// Price times shares in the worst case, as [`exposure`](Self::exposure) of shares; in a cross not at its price.
    #[inline]
    pub fn value(&self) -> Cash {
        let value = |price: Price, shares: Quantity| {
            let each = if self.valued_at.0 == 0 { price } else { self.valued_at };
            each.0.saturating_mul(i64::from(shares))
        };
        match self.life {
            Life::Dead(_) => 0,
            _ => value(self.price, self.leaves).max(value(self.intended_price(), self.intended_leaves())),
        }
    }

    /// The most that a share of it is valued at: in a cross not its price.
    #[inline]
    pub fn dearest(&self) -> Price {
        if self.valued_at.0 == 0 { self.price.max(self.intended_price()) } else { self.valued_at }
    }

    /// Whether a cancel has to be sent: wanted, and none on its way for the id that the order has, or will have.
    #[inline]
    pub(crate) fn needs_cancel(&self) -> bool {
        self.cancel_wanted
            && self.cancel_due.0 == 0
            && self.cancel_sent != self.cancel_target()
            && !matches!(self.life, Life::Dead(_))
    }

    /// The venue refused a cancel at `now`. The order stays wanted gone: another cancel follows after a pause, until as
    /// many were refused as can be excused.
    pub(crate) fn cancel_refused(&mut self, now: TaiNs) {
        let pause_ns = CANCEL_PAUSE_NS.saturating_mul(1 << self.cancels_refused.min(16)).min(CANCEL_PAUSE_NS_MAX);
        self.cancels_refused = self.cancels_refused.saturating_add(1);
        let given_up = self.cancels_refused >= CANCELS_REFUSED_MAX;
        self.cancel_due = if given_up { TaiNs::NEVER } else { now.plus(pause_ns) };
    }

    /// What the venue refused before says nothing any more.
    pub(crate) fn forget_refused_cancels(&mut self) {
        self.cancels_refused = 0;
        self.cancel_due = TaiNs(0);
    }

    /// The id that a cancel must name: the venue works through our messages in order, so by then a replace on its way
    /// is done.
    #[inline]
    pub(crate) const fn cancel_target(&self) -> OrderId {
        if self.pending.0 == 0 { self.id } else { self.pending }
    }
}
