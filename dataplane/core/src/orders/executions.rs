//! The executions of the day by match number: a trade is broken by its number, and one that is said twice counts once.

use crate::book::Memory;
use crate::index::Index;
use crate::units::{InstrumentId, OrderId, Price, Quantity, Side};
use tern_abi::arena::Arena;

/// Executions that [`Executions::is_recent`] looks through.
const RECENT: usize = 32;

/// One execution of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The venue's match number.
    pub match_number: u64,
    /// Price.
    pub price: Price,
    /// Our order, as it was called then.
    pub order: OrderId,
    /// Shares.
    pub quantity: Quantity,
    /// Instrument.
    pub instrument: InstrumentId,
    /// Index of the strategy on this host.
    pub owner: u8,
    /// Side.
    pub side: Side,
    /// The venue's liquidity flag: what it costs.
    pub liquidity: u8,
    /// The venue broke it since.
    pub broken: bool,
    /// Said by a log of the venue that is gone, and not yet by the one now.
    pub(crate) old_log: bool,
}

/// The executions, newest kept. Both sides of a trade with ourselves share a match number, so the key is it and the
/// order.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Executions {
    ring: Arena<Option<Execution>>,
    index: Index,
    next: usize,
    forgotten: u64,
}

impl Executions {
    pub(crate) fn new(capacity: usize, memory: &mut impl Memory) -> Self {
        let capacity = capacity.max(1);
        Self { ring: memory.arena_of(capacity, &None), index: Index::new(capacity, memory), next: 0, forgotten: 0 }
    }

    /// How many were forgotten because newer ones took their place; a break of one of them cannot be followed.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many were told in the day.
    pub(crate) fn told(&self) -> u64 {
        let kept = if self.forgotten > 0 || self.is_full() { self.ring.len() } else { self.next };
        self.forgotten.saturating_add(kept as u64)
    }

    fn is_full(&self) -> bool {
        self.ring.last().is_some_and(Option::is_some)
    }

    /// Those kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Execution> {
        let (newer, older) = self.ring.split_at(self.next.min(self.ring.len()));
        older.iter().chain(newer).flatten()
    }

    fn place(&self, match_number: u64, order: OrderId) -> Option<u32> {
        self.index.find(hash(match_number, order), |place| {
            matches!(self.ring.get(place as usize), Some(Some(e)) if e.match_number == match_number && e.order == order)
        })
    }

    /// Whether the execution is known.
    pub(crate) fn contains(&self, match_number: u64, order: OrderId) -> bool {
        self.place(match_number, order).is_some()
    }

    /// Whether one of the last executions had this match number, whatever our order was called.
    pub(crate) fn is_recent(&self, match_number: u64) -> bool {
        let (newer, older) = self.ring.split_at(self.next.min(self.ring.len()));
        let mut recent = newer.iter().rev().chain(older.iter().rev()).take(RECENT).flatten();
        recent.any(|execution| execution.match_number == match_number)
    }

    pub(crate) fn insert(&mut self, execution: Execution) {
        let place = self.next;
        let Some(cell) = self.ring.get_mut(place) else { return };
        if let Some(old) = cell.replace(execution) {
            self.forgotten += 1;
            self.index.remove(hash(old.match_number, old.order), place as u32);
        }
        self.index.insert(hash(execution.match_number, execution.order), place as u32);
        self.next = (place + 1) % self.ring.len();
    }

    /// The name under which the order of a trade traded. A venue may name it by the id it had then or by one that a
    /// replace gave it since; the match number decides as long as only one order of ours was in the trade.
    pub(crate) fn order_of(&self, match_number: u64, named: OrderId) -> Option<OrderId> {
        if self.contains(match_number, named) {
            return Some(named);
        }
        let mut of_trade = self.iter().filter(|execution| execution.match_number == match_number);
        let first = of_trade.next()?;
        of_trade.next().is_none().then_some(first.order)
    }

    /// The venue's log is another one from here on: it may say them all again.
    pub(crate) fn log_changed(&mut self) {
        self.ring.iter_mut().flatten().for_each(|execution| execution.old_log = true);
    }

    /// Whether a known execution is said for the first time by the log that the venue has now.
    pub(crate) fn is_told_again(&mut self, match_number: u64, order: OrderId) -> bool {
        let place = self.place(match_number, order);
        match place.and_then(|place| self.ring.get_mut(place as usize)) {
            Some(Some(execution)) => core::mem::take(&mut execution.old_log),
            _ => false,
        }
    }

    /// Marks an execution broken; `None` when it is unknown or broken already.
    pub(crate) fn break_trade(&mut self, match_number: u64, order: OrderId) -> Option<Execution> {
        let place = self.place(match_number, order)?;
        match self.ring.get_mut(place as usize) {
            Some(Some(execution)) if !execution.broken => {
                execution.broken = true;
                Some(*execution)
            }
            _ => None,
        }
    }
}

/// Match numbers grow by small steps; the multiplication spreads them over the index.
#[inline]
fn hash(match_number: u64, order: OrderId) -> u32 {
    ((match_number ^ u64::from(order.0).rotate_left(40)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}
