//! After a restart: the journal as a witness against the venue's log.
//!
//! A restarted run reads the venue's log of the day from its start, and builds orders and positions from it. What the
//! journal says of the same day comes as a [`Ledger`]. The two are compared where both can speak: at the last message of
//! the log that the journal has read. What the log says behind that is news, not a difference; an order that the
//! journal lacks is one wherever it stands, for no order leaves without a record.

use crate::kept::KeptState;
use crate::orders::Orders;
use crate::risk::HaltReason;
use crate::session::{VenueEvent, VenueEventKind};
use crate::units::{OrderId, Price, Quantity, Side, StrategyId, Symbol};
use alloc::boxed::Box;

pub use tern_abi::reconcile::Difference;

/// An order id of the day, as the journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerOrder {
    /// The id; a replacement has a line of its own.
    pub id: OrderId,
    /// The venue said that it took it.
    pub acknowledged: bool,
    /// Whether its fate is open: live, or sent and not answered.
    pub open: bool,
    /// Shares open.
    pub leaves: Quantity,
}

/// An execution of the day, as the journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerExecution {
    /// The venue's match number.
    pub match_number: u64,
    /// Our order, as it was called then.
    pub order: OrderId,
    /// Shares.
    pub quantity: Quantity,
    /// Price.
    pub price: Price,
}

/// A position, as the journal's executions add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerPosition {
    /// Strategy.
    pub strategy: StrategyId,
    /// Symbol.
    pub symbol: Symbol,
    /// Signed shares.
    pub shares: i64,
}

/// A trade of the day that a person told, as the journal has it: the venue's log does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerAdjustment {
    /// So many executions of the day came before it.
    pub after_executions: u64,
    /// Strategy.
    pub strategy: StrategyId,
    /// Symbol.
    pub symbol: Symbol,
    /// Side.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Shares.
    pub quantity: Quantity,
}

/// What the journal says of the day before this run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Number of the last message of the venue's log that it has read; 0 = none.
    pub session_seq: u64,
    /// Order ids, ascending.
    pub orders: Box<[LedgerOrder]>,
    /// Executions, by match number and order, ascending.
    pub executions: Box<[LedgerExecution]>,
    /// Positions that are not flat.
    pub positions: Box<[LedgerPosition]>,
    /// Trades that people told, in order. They are no matter of comparison: this is all that is known of them.
    pub adjustments: Box<[LedgerAdjustment]>,
    /// What strategies handed out last.
    pub states: Box<[(StrategyId, KeptState)]>,
    /// Why trading was stopped, if it was.
    pub halt: Option<HaltReason>,
    /// At least so many records of the day are not in it.
    pub records_missing: u64,
    /// The next order id that the segment knows, when the journal knows nothing of the day; else 0.
    pub unknown_ids_below: u32,
}

/// A difference to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) difference: Difference,
    pub(crate) order: OrderId,
    pub(crate) match_number: u64,
    pub(crate) ours: i64,
    pub(crate) theirs: i64,
    pub(crate) position: Option<LedgerPosition>,
}

impl Found {
    pub(crate) const fn new(difference: Difference, ours: i64, theirs: i64) -> Self {
        Self { difference, order: OrderId(0), match_number: 0, ours, theirs, position: None }
    }
}

/// The comparison under way.
#[derive(Debug)]
pub(crate) struct Reconcile {
    ledger: Ledger,
    orders_seen: Box<[bool]>,
    executions_seen: Box<[bool]>,
    /// Differences that stop trading.
    differences: u64,
    /// The point at which both speak is behind us.
    judged: bool,
    /// Adjustments that were counted.
    adjusted: usize,
}

impl Reconcile {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self {
            orders_seen: ledger.orders.iter().map(|_| false).collect(),
            executions_seen: ledger.executions.iter().map(|_| false).collect(),
            ledger,
            differences: 0,
            judged: false,
            adjusted: 0,
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) const fn differences(&self) -> u64 {
        self.differences
    }

    pub(crate) fn count(&mut self, found: &Found) {
        self.differences += u64::from(found.difference.stops());
    }

    /// Whether the comparison of states is due before the message with this number is applied.
    pub(crate) const fn is_due(&self, session_seq: u64) -> bool {
        !self.judged && session_seq > self.ledger.session_seq
    }

    /// The next trade that a person told, if no more than `executions` of the day come before it. All of them come before the
    /// journal's end.
    pub(crate) fn next_adjustment(&mut self, executions: u64) -> Option<LedgerAdjustment> {
        let next = self.ledger.adjustments.get(self.adjusted).copied();
        let next = next.filter(|next| next.after_executions <= executions)?;
        self.adjusted += 1;
        Some(next)
    }

    pub(crate) fn judged(&mut self) {
        self.judged = true;
    }

    fn order_at(&self, id: OrderId) -> Option<usize> {
        self.ledger.orders.binary_search_by_key(&id.0, |order| order.id.0).ok()
    }

    /// What a message of the log shows by itself.
    pub(crate) fn on_event(&mut self, event: &VenueEvent) -> Option<Found> {
        match event.kind {
            VenueEventKind::Accepted
            | VenueEventKind::Replaced
            | VenueEventKind::Rejected
            | VenueEventKind::ReplaceRejected => {
                let Some(at) = self.order_at(event.order) else {
                    let found = Found::new(Difference::OrderUnknown, 0, i64::from(event.quantity));
                    return Some(Found { order: event.order, ..found });
                };
                self.orders_seen[at] = true;
                None
            }
            VenueEventKind::Executed => self.on_execution(event),
            _ => None,
        }
    }

    fn on_execution(&mut self, event: &VenueEvent) -> Option<Found> {
        let key = (event.match_number, event.order.0);
        let place = self.ledger.executions.binary_search_by_key(&key, |e| (e.match_number, e.order.0));
        let theirs = i64::from(event.quantity);
        let found = match place {
            Ok(at) => {
                self.executions_seen[at] = true;
                let ours = self.ledger.executions[at];
                if (ours.quantity, ours.price) == (event.quantity, event.price) {
                    return None;
                }
                Found::new(Difference::ExecutionDiffers, i64::from(ours.quantity), theirs)
            }
            Err(_) if event.session_seq > self.ledger.session_seq => return None,
            Err(_) => Found::new(Difference::ExecutionUnknown, 0, theirs),
        };
        Some(Found { order: event.order, match_number: event.match_number, ..found })
    }

    /// Where both speak: the order with index `at`, open shares in the journal against those in the table. `None` behind
    /// the last one.
    pub(crate) fn compare_order(&self, at: usize, orders: &Orders) -> Option<Option<Found>> {
        let ours = self.ledger.orders.get(at)?;
        if !ours.acknowledged {
            return Some(None);
        }
        // By the name it has now: the id before a replace is over, whatever became of the chain.
        let theirs = orders.find(ours.id).filter(|order| order.id() == ours.id && order.state().is_open());
        let theirs = theirs.map_or(0, |order| order.leaves());
        let ours_open = if ours.open { ours.leaves } else { 0 };
        let found = Found::new(Difference::OrderDiffers, i64::from(ours_open), i64::from(theirs));
        Some((ours_open != theirs).then_some(Found { order: ours.id, ..found }))
    }

    /// At the end of the log: the order id with index `at`, if the log does not have it.
    pub(crate) fn missing_order(&self, at: usize) -> Option<Option<Found>> {
        let (ours, seen) = (self.ledger.orders.get(at)?, *self.orders_seen.get(at)?);
        let difference = match (seen, ours.acknowledged) {
            (true, _) => return Some(None),
            (false, true) => Difference::OrderMissing,
            (false, false) if ours.open => Difference::Unanswered,
            (false, false) => return Some(None),
        };
        Some(Some(Found { order: ours.id, ..Found::new(difference, i64::from(ours.leaves), 0) }))
    }

    /// At the end of the log: the execution with index `at`, if the log does not have it.
    pub(crate) fn missing_execution(&self, at: usize) -> Option<Option<Found>> {
        let (ours, seen) = (self.ledger.executions.get(at)?, *self.executions_seen.get(at)?);
        let found = Found::new(Difference::ExecutionMissing, i64::from(ours.quantity), 0);
        Some((!seen).then_some(Found { order: ours.order, match_number: ours.match_number, ..found }))
    }
}
