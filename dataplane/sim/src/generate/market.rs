//! The generator's compact picture of all books: enough to keep every reference valid, every book uncrossed and every
//! execution at the front of the queue, at a few cache lines a message.
//!
//! Prices of a symbol live in a window of [`WINDOW`] ticks. One array of levels serves both sides: levels up to the best
//! bid hold buys, levels from the best ask on hold sells.

use crate::book::Side;
use crate::rng::Rng;

/// Ticks (cents) of a symbol's price window.
pub(super) const WINDOW: i32 = 512;
/// The fair price stays this far from the ends of the window.
const MARGIN: i32 = 96;
/// How deep below the touch orders are placed at most.
const DEPTH: f64 = 160.0;
const NIL: u32 = u32::MAX;
const RECENT: usize = 4096;

#[derive(Clone, Copy)]
struct Level {
    head: u32,
    tail: u32,
}

/// A live order, or a free slot (0 shares) that chains to the next free one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) reference: u64,
    pub(super) shares: u32,
    previous: u32,
    next: u32,
    pub(super) symbol: u16,
    pub(super) tick: u16,
    pub(super) side: Side,
}

#[derive(Clone, Copy)]
pub(super) struct Symbol {
    /// Price of tick 0 in cents.
    base: u32,
    pub(super) fair: i32,
    best_bid: i32,
    best_ask: i32,
    pub(super) halted: bool,
}

pub(super) struct Market {
    pub(super) symbols: Vec<Symbol>,
    levels: Vec<Level>,
    slots: Vec<Slot>,
    free: u32,
    pub(super) live: u32,
    pub(super) live_peak: u32,
    recent: Vec<u32>,
    recent_at: usize,
    skew: Vec<u16>,
}

impl Market {
    pub(super) fn new(symbols: u16, capacity: usize, rng: &mut Rng) -> Self {
        let draw = |rng: &mut Rng| Symbol {
            // 8 to 400 dollars, evenly on a logarithmic scale.
            base: (800.0 * 50_f64.powf(rng.unit())) as u32 - WINDOW as u32 / 2,
            fair: WINDOW / 2,
            best_bid: -1,
            best_ask: WINDOW,
            halted: false,
        };
        let symbols: Vec<Symbol> = (0..symbols).map(|_| draw(rng)).collect();
        Self {
            levels: vec![Level { head: NIL, tail: NIL }; symbols.len() * WINDOW as usize],
            slots: Vec::with_capacity(capacity),
            free: NIL,
            live: 0,
            live_peak: 0,
            recent: vec![NIL; RECENT],
            recent_at: 0,
            skew: skew_table(symbols.len()),
            symbols,
        }
    }

    /// A symbol, busy ones more often (Zipf), none that is halted.
    #[inline]
    pub(super) fn pick_symbol(&mut self, rng: &mut Rng) -> u16 {
        let mut symbol = 0;
        for _ in 0..8 {
            symbol = self.skew[(rng.bits() >> 48) as usize];
            if !self.symbols[usize::from(symbol)].halted {
                break;
            }
        }
        symbol
    }

    /// The fair price takes a step now and then, and turns back at the ends of its range.
    #[inline]
    pub(super) fn drift(&mut self, symbol: u16, rng: &mut Rng) {
        if rng.chance(2048) {
            let symbol = &mut self.symbols[usize::from(symbol)];
            let step = if rng.chance(32_768) { 1 } else { -1 };
            symbol.fair = (symbol.fair + step).clamp(MARGIN, WINDOW - MARGIN);
        }
    }

    /// Price in 1/10000 dollars.
    #[inline]
    pub(super) fn price(&self, symbol: u16, tick: i32) -> u32 {
        (self.symbols[usize::from(symbol)].base + tick as u32) * 100
    }

    /// Price in the middle of the market.
    pub(super) fn middle(&self, symbol: u16) -> u32 {
        let found = &self.symbols[usize::from(symbol)];
        let (bid, ask) =
            (self.price(symbol, found.best_bid.max(0)), self.price(symbol, found.best_ask.min(WINDOW - 1)));
        (bid + ask) / 2 / 100 * 100
    }

    /// A tick for an order of `side` that does not cross the book: near the fair price, sometimes far.
    #[inline]
    pub(super) fn place(&self, symbol: u16, side: Side, rng: &mut Rng) -> u16 {
        let found = &self.symbols[usize::from(symbol)];
        let draw = rng.unit();
        let depth = (draw * draw * draw * DEPTH) as i32;
        let tick = match side {
            Side::Buy => (found.fair.min(found.best_ask - 1) - depth).max(0),
            Side::Sell => (found.fair + 1).max(found.best_bid + 1) + depth,
        };
        tick.min(WINDOW - 1) as u16
    }

    /// Whether an order of `side` fits between the window's ends without crossing the book.
    #[inline]
    pub(super) fn has_room(&self, symbol: u16, side: Side) -> bool {
        let found = &self.symbols[usize::from(symbol)];
        match side {
            Side::Buy => found.best_ask > 0,
            Side::Sell => found.best_bid < WINDOW - 1,
        }
    }

    /// The side whose touch is on the wrong side of the fair price, else either.
    #[inline]
    pub(super) fn adverse(&self, symbol: u16, rng: &mut Rng) -> Side {
        let found = &self.symbols[usize::from(symbol)];
        if found.best_bid > found.fair {
            Side::Buy
        } else if found.best_ask <= found.fair || rng.chance(32_768) {
            Side::Sell
        } else {
            Side::Buy
        }
    }

    #[inline]
    pub(super) fn slot(&self, at: u32) -> Slot {
        self.slots[at as usize]
    }

    /// The first order in priority of a side.
    #[inline]
    pub(super) fn front(&self, symbol: u16, side: Side) -> Option<u32> {
        let found = &self.symbols[usize::from(symbol)];
        let tick = match side {
            Side::Buy => found.best_bid,
            Side::Sell => found.best_ask,
        };
        if !(0..WINDOW).contains(&tick) {
            return None;
        }
        Some(self.levels[usize::from(symbol) * WINDOW as usize + tick as usize].head)
    }

    /// A live order to touch: mostly a recent one, as most orders live short lives, else any. None that is halted.
    #[inline]
    pub(super) fn pick_order(&self, rng: &mut Rng) -> Option<u32> {
        for attempt in 0..24 {
            let bits = rng.bits();
            let at = if attempt < 8 && bits & 1023 < 600 {
                self.recent[(bits >> 32) as usize % RECENT]
            } else {
                (((bits >> 32) * self.slots.len() as u64) >> 32) as u32
            };
            if let Some(slot) = self.slots.get(at as usize)
                && slot.shares > 0
                && !self.symbols[usize::from(slot.symbol)].halted
            {
                return Some(at);
            }
        }
        None
    }

    pub(super) fn add(&mut self, reference: u64, symbol: u16, side: Side, tick: u16, shares: u32) {
        let slot = Slot { reference, shares, previous: NIL, next: NIL, symbol, tick, side };
        let at = self.free;
        let at = match self.slots.get_mut(at as usize) {
            Some(free) => {
                self.free = free.next;
                *free = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.live += 1;
        self.live_peak = self.live_peak.max(self.live);
        self.enqueue(at);
        self.recent[self.recent_at] = at;
        self.recent_at = (self.recent_at + 1) % RECENT;
    }

    fn enqueue(&mut self, at: u32) {
        let Slot { symbol, tick, side, .. } = self.slots[at as usize];
        let level = &mut self.levels[usize::from(symbol) * WINDOW as usize + usize::from(tick)];
        let tail = std::mem::replace(&mut level.tail, at);
        if tail == NIL {
            level.head = at;
        } else {
            self.slots[tail as usize].next = at;
        }
        self.slots[at as usize].previous = tail;
        self.slots[at as usize].next = NIL;
        let found = &mut self.symbols[usize::from(symbol)];
        match side {
            Side::Buy => found.best_bid = found.best_bid.max(i32::from(tick)),
            Side::Sell => found.best_ask = found.best_ask.min(i32::from(tick)),
        }
    }

    fn dequeue(&mut self, at: u32) {
        let Slot { symbol, tick, side, previous, next, .. } = self.slots[at as usize];
        let first = usize::from(symbol) * WINDOW as usize;
        let level = &mut self.levels[first + usize::from(tick)];
        if previous == NIL {
            level.head = next;
        }
        if next == NIL {
            level.tail = previous;
        }
        let empty = level.head == NIL;
        if previous != NIL {
            self.slots[previous as usize].next = next;
        }
        if next != NIL {
            self.slots[next as usize].previous = previous;
        }
        if !empty {
            return;
        }
        let found = &mut self.symbols[usize::from(symbol)];
        let levels = &self.levels[first..first + WINDOW as usize];
        match side {
            Side::Buy if found.best_bid == i32::from(tick) => {
                while found.best_bid >= 0 && levels[found.best_bid as usize].head == NIL {
                    found.best_bid -= 1;
                }
            }
            Side::Sell if found.best_ask == i32::from(tick) => {
                while found.best_ask < WINDOW && levels[found.best_ask as usize].head == NIL {
                    found.best_ask += 1;
                }
            }
            _ => {}
        }
    }

    pub(super) fn remove(&mut self, at: u32) {
        self.dequeue(at);
        let slot = &mut self.slots[at as usize];
        slot.shares = 0;
        slot.next = self.free;
        self.free = at;
        self.live -= 1;
    }

    /// Takes shares off an order; it ends at 0.
    pub(super) fn reduce(&mut self, at: u32, shares: u32) {
        let slot = &mut self.slots[at as usize];
        if shares < slot.shares {
            slot.shares -= shares;
        } else {
            self.remove(at);
        }
    }

    /// Moves an order to a new price, size and reference, last in its queue.
    pub(super) fn replace(&mut self, at: u32, reference: u64, tick: u16, shares: u32) {
        self.dequeue(at);
        let slot = &mut self.slots[at as usize];
        slot.reference = reference;
        slot.tick = tick;
        slot.shares = shares;
        self.enqueue(at);
    }

    /// Frees the ring of recent orders for a new phase: what was added in bulk is not recent activity.
    pub(super) fn forget_recent(&mut self) {
        self.recent.fill(NIL);
    }
}

/// 65,536 entries, so that one draw of 16 bits gives a symbol with a Zipf weight of exponent 0.9. Every symbol has one
/// entry at least.
fn skew_table(symbols: usize) -> Vec<u16> {
    let weights: Vec<f64> = (1..=symbols).map(|rank| (rank as f64).powf(-0.9)).collect();
    let total: f64 = weights.iter().sum();
    let spare = 65_536 - symbols.min(65_536);
    let mut table = Vec::with_capacity(65_536);
    let mut owed = 0.0;
    for (symbol, weight) in weights.iter().enumerate() {
        owed += weight / total * spare as f64;
        table.push(symbol as u16);
        while owed >= 1.0 && table.len() < 65_536 {
            table.push(symbol as u16);
            owed -= 1.0;
        }
    }
    table.resize(65_536, 0);
    table
}
