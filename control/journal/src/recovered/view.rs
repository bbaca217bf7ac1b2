//! Orders, executions and positions of a day, as one run tells them.

use super::ascending::Ascending;
use crate::opening::Opening;
use std::collections::BTreeMap;
use tern_abi::record::{OrderEventRecord, VenueEventKind};

/// An order id of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveredOrder {
    /// Price in 1/10000.
    pub price: i64,
    /// Instrument id, for [`Recovered::symbol`].
    pub instrument: u32,
    /// The id that it replaces, or 0.
    pub replaces: u32,
    /// The replacement on its way, or 0.
    pub replacement: u32,
    /// Shares open; 0 once it is over.
    pub leaves: u32,
    /// Strategy id.
    pub strategy: u16,
    /// Side.
    pub side: u8,
    /// The venue said that it took it.
    pub acknowledged: bool,
    /// Live, or sent and not answered.
    pub open: bool,
}

/// An execution of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredExecution {
    /// Its place among the executions of the day.
    pub place: u64,
    /// Price in 1/10000.
    pub price: i64,
    /// Instrument id, for [`Recovered::symbol`].
    pub instrument: u32,
    /// Shares.
    pub quantity: u32,
    /// Strategy id.
    pub strategy: u16,
    /// Whether it bought.
    pub is_buy: bool,
    /// The venue broke it since.
    pub broken: bool,
}

/// A position, as the executions add up. Money in 1/10000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveredPosition {
    /// Signed shares.
    pub shares: i64,
    /// Cash from trading; a buy lowers it.
    pub cash: i64,
    /// What the shares held cost, signed like them.
    pub cost: i64,
    /// Executions that stand, and trades told by hand.
    pub fills: u64,
}

impl RecoveredPosition {
    /// Realized profit before fees, 1/10000: what the venue charges is not in its executions.
    pub const fn realized(&self) -> i64 {
        self.cash.saturating_add(self.cost)
    }

    /// Average price of the shares held, 1/10000; `None` when flat.
    pub const fn average(&self) -> Option<i64> {
        self.cost.checked_div(self.shares)
    }

    /// As the data plane counts: a trade against the position realizes its part of the cost, at the average.
    pub(super) fn trade(&mut self, is_buy: bool, quantity: u32, price: i64) {
        let signed = if is_buy { i64::from(quantity) } else { -i64::from(quantity) };
        let value = signed.saturating_mul(price);
        self.cash = self.cash.saturating_sub(value);
        self.fills += 1;
        let against = self.shares != 0 && (self.shares > 0) != (signed > 0);
        let left = self.shares.saturating_add(signed);
        self.cost = if !against {
            self.cost.saturating_add(value)
        } else if signed.unsigned_abs() < self.shares.unsigned_abs() {
            // Nearer to zero than the cost was, so it fits.
            (i128::from(self.cost) * i128::from(left) / i128::from(self.shares)) as i64
        } else {
            left.saturating_mul(price)
        };
        self.shares = left;
    }
}

/// The day as one run, or several that agree, tell it.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) orders: Ascending<u32, RecoveredOrder>,
    /// By match number and order: both sides of a trade with ourselves share the number.
    pub(super) executions: Ascending<(u64, u32), RecoveredExecution>,
    /// Symbol of each instrument id of the run.
    pub(super) symbols: BTreeMap<u32, [u8; 8]>,
    pub(super) session_seq: u64,
    /// What was held when the day began.
    pub(super) opening: Vec<Opening>,
}

impl View {
    pub(super) fn event(&mut self, event: &OrderEventRecord) {
        self.session_seq = self.session_seq.max(event.session_seq);
        match VenueEventKind::from_index(usize::from(event.kind)) {
            Some(VenueEventKind::Executed) => self.executed(event),
            Some(VenueEventKind::Broken) => return self.broken(event),
            Some(VenueEventKind::Replaced) => self.replaced(event),
            Some(VenueEventKind::ReplaceRejected) => return self.replace_ended(event),
            _ => {}
        }
        let order = self.orders.entry(event.order, || unknown(event));
        // A local end says nothing of the venue.
        order.acknowledged |= event.session_seq != 0;
        order.leaves = event.leaves;
        order.open = event.leaves != 0;
        if !order.open && order.replacement != 0 {
            // A replacement of what is over finds nothing, and the venue says nothing of it.
            let replacement = std::mem::take(&mut order.replacement);
            self.end(replacement);
        }
    }

    fn end(&mut self, id: u32) {
        if let Some(order) = self.orders.get_mut(id) {
            (order.open, order.leaves) = (false, 0);
        }
    }

    fn executed(&mut self, event: &OrderEventRecord) {
        let place = self.executions.len() as u64;
        let is_buy = event.side == tern_abi::event::SIDE_BUY;
        let (price, instrument, quantity, strategy) = (event.price, event.instrument, event.quantity, event.strategy);
        let execution = RecoveredExecution { place, price, instrument, quantity, strategy, is_buy, broken: false };
        self.executions.entry((event.match_number, event.order), || execution);
    }

    /// The venue may name the order by the id it had then or by a later one; with one execution of that number there is
    /// no doubt.
    fn broken(&mut self, event: &OrderEventRecord) {
        let key = (event.match_number, event.order);
        if let Some(execution) = self.executions.get_mut(key) {
            execution.broken = true;
            return;
        }
        let mut of_trade = self.executions.range_mut((event.match_number, 0), (event.match_number, u32::MAX));
        if let (Some(execution), None) = (of_trade.next(), of_trade.next()) {
            execution.broken = true;
        }
    }

    fn replaced(&mut self, event: &OrderEventRecord) {
        let Some(previous) = self.orders.get_mut(event.previous) else { return };
        (previous.open, previous.leaves, previous.replacement) = (false, 0, 0);
        let of_chain = RecoveredOrder { replaces: event.previous, price: event.price, ..*previous };
        self.orders.entry(event.order, || of_chain).price = event.price;
    }

    /// The replacement is refused, or was given up here: what it was to replace is as it was.
    fn replace_ended(&mut self, event: &OrderEventRecord) {
        // Said by the venue it names the replacement, said here the order.
        if let Some(replacement) = self.orders.get_mut(event.order).filter(|order| order.replaces != 0)
            && event.session_seq != 0
        {
            replacement.acknowledged = true;
            let previous = replacement.replaces;
            self.end(event.order);
            if let Some(order) = self.orders.get_mut(previous).filter(|order| order.replacement == event.order) {
                order.replacement = 0;
            }
            return;
        }
        if let Some(order) = self.orders.get_mut(event.order) {
            let replacement = std::mem::take(&mut order.replacement);
            self.end(replacement);
        }
    }
}

/// An order that the venue told of first.
fn unknown(event: &OrderEventRecord) -> RecoveredOrder {
    RecoveredOrder {
        price: event.price,
        instrument: event.instrument,
        strategy: event.strategy,
        side: event.side,
        ..RecoveredOrder::default()
    }
}
