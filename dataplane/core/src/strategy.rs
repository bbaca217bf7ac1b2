//! What a strategy is: called at defined points, answers with intents.

use crate::units::{InstrumentId, OrderId, Price, Quantity, Side};

/// A batch of datagrams ended: how stale what the strategy saw may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Age of the oldest datagram of the batch when its last event was applied, ns.
    pub age_ns: u64,
    /// Datagrams that still wait.
    pub backlog: u32,
}

/// Time in force and the like of a new order.
pub use crate::session::TimeInForce;

/// What a strategy wants. The gate decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// A new order.
    New {
        /// Instrument.
        instrument: InstrumentId,
        /// Side.
        side: Side,
        /// Limit price.
        price: Price,
        /// Shares.
        quantity: Quantity,
        /// Time in force.
        time_in_force: TimeInForce,
        /// Only if it does not trade at once.
        post_only: bool,
    },
    /// Another price or size for a live order; it loses its place unless only the size shrinks.
    Replace {
        /// The live order.
        order: OrderId,
        /// New limit price.
        price: Price,
        /// New open shares.
        quantity: Quantity,
    },
    /// Cancel a live order.
    Cancel {
        /// The live order.
        order: OrderId,
    },
}

/// Most intents a strategy may have in one call.
pub const INTENTS_MAX: usize = 16;

/// The intents of one call, bounded.
#[derive(Debug)]
pub struct Intents {
    intents: [Option<Intent>; INTENTS_MAX],
    length: usize,
    overflowed: u64,
}

impl Default for Intents {
    fn default() -> Self {
        Self { intents: [None; INTENTS_MAX], length: 0, overflowed: 0 }
    }
}

impl Intents {
    /// Adds an intent; when the call already has [`INTENTS_MAX`], it is dropped and counted.
    #[inline]
    pub fn push(&mut self, intent: Intent) {
        match self.intents.get_mut(self.length) {
            Some(slot) => {
                *slot = Some(intent);
                self.length += 1;
            }
            None => self.overflowed += 1,
        }
    }
    /// Intents held.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
    /// Intents dropped because a call had too many, since start.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }
    /// The intent at `index`, in the order in which they were pushed.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Intent> {
        self.intents.get(index).copied().flatten()
    }
    /// Forgets all intents.
    #[inline]
    pub fn clear(&mut self) {
        self.length = 0;
    }
}
