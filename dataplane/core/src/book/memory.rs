//! Where the books' tables come from, and how large they are.

use super::instrument::InstrumentSlot;
use super::ladder::Node;
use super::level::{LevelLine, NEAR};
use super::line::BookLine;
use super::order::OrderLine;
use super::prices::Near;
use super::table::prime_from;
use tern_abi::arena::Arena;
use zerocopy::FromZeros;

/// Gives out the memory of tables, zeroed: the heap in tests and tools, huge pages in the data plane.
pub trait Memory {
    /// `len` elements, all bytes zero.
    fn arena<T: FromZeros + Send + Sync>(&mut self, len: usize) -> Arena<T>;
    /// `len` elements like `element`, which need not be zero.
    fn arena_of<T: Clone + Send + Sync>(&mut self, len: usize, element: &T) -> Arena<T>;
}

/// Memory from the ordinary heap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

impl Memory for Heap {
    fn arena<T: FromZeros + Send + Sync>(&mut self, len: usize) -> Arena<T> {
        Arena::from_fn(len, |_| T::new_zeroed())
    }
    fn arena_of<T: Clone + Send + Sync>(&mut self, len: usize, element: &T) -> Arena<T> {
        Arena::from_fn(len, |_| element.clone())
    }
}

/// How much the books must hold. More than that is refused with [`BookError::Overfull`](super::BookError::Overfull).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Instruments; at most 2^21.
    pub instruments: usize,
    /// Live orders, all instruments together; at most 2^28.
    pub orders: usize,
    /// Price levels, all instruments and both sides together; at most 2^28. As many as `orders` can never be exceeded.
    pub levels: usize,
}

impl Default for Capacity {
    /// A whole day of all symbols of a US equities venue: the published peak is 5.24 million live orders.
    fn default() -> Self {
        Self { instruments: 12_500, orders: 6_000_000, levels: 3_000_000 }
    }
}

impl Capacity {
    /// Tables this full keep most entries in the line that their key names.
    const ORDERS_LOAD_PERCENT: usize = 60;
    /// Most levels have a place of their own: the table has to hold all of them only in the worst case.
    const LEVELS_LOAD_PERCENT: usize = 75;
    const MAX: usize = 1 << 28;

    const fn at_most(count: usize) -> usize {
        if count < Self::MAX { count } else { Self::MAX }
    }
    /// Never more than asked for, and never more than there are numbers for.
    pub(super) const fn clamped(self) -> Self {
        Self {
            // Places of levels near one another have slot numbers of 30 bits.
            instruments: if self.instruments < 1 << 21 { self.instruments } else { 1 << 21 },
            orders: Self::at_most(self.orders),
            levels: Self::at_most(self.levels),
        }
    }
    const fn order_lines(self) -> usize {
        prime_from(self.orders * 100 / Self::ORDERS_LOAD_PERCENT / 2 + 1)
    }
    const fn level_lines(self) -> usize {
        2 * self.instruments * NEAR / 2 + self.levels * 100 / Self::LEVELS_LOAD_PERCENT / 2 + 1
    }
    /// A side with one level needs a node of its own, and nodes are freed only when empty.
    const fn nodes(self) -> usize {
        self.levels / 6 + 2 * self.instruments + 16
    }
    /// Bytes of all tables together.
    pub const fn bytes(self) -> usize {
        let it = self.clamped();
        it.order_lines() * size_of::<OrderLine>()
            + it.level_lines() * size_of::<LevelLine>()
            + it.nodes() * size_of::<Node>()
            + it.instruments * (2 * size_of::<Near>() + size_of::<BookLine>() + size_of::<u16>())
    }
}

/// The tables of [`Books`](super::Books), made once at start.
#[derive(Debug)]
pub struct BooksMemory {
    pub(super) capacity: Capacity,
    pub(super) orders: Arena<OrderLine>,
    pub(super) levels: Arena<LevelLine>,
    pub(super) nodes: Arena<Node>,
    pub(super) near: Arena<Near>,
    pub(super) lines: Arena<BookLine>,
    pub(super) streams: Arena<u16>,
}

impl BooksMemory {
    /// Tables on the heap.
    pub fn new(capacity: Capacity) -> Self {
        Self::from_memory(capacity, &mut Heap)
    }
    /// Tables from `memory`.
    pub fn from_memory(capacity: Capacity, memory: &mut impl Memory) -> Self {
        let capacity = capacity.clamped();
        Self {
            capacity,
            orders: memory.arena(capacity.order_lines()),
            levels: memory.arena(capacity.level_lines()),
            nodes: memory.arena(capacity.nodes()),
            near: memory.arena(2 * capacity.instruments),
            lines: memory.arena(capacity.instruments),
            streams: memory.arena(capacity.instruments),
        }
    }
    /// Bytes of all tables together.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.orders)
            + size_of_val(&*self.levels)
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.near)
            + size_of_val(&*self.lines)
            + size_of_val(&*self.streams)
    }
}

/// The tables of [`Instruments`](super::Instruments), made once at start.
#[derive(Debug)]
pub struct InstrumentsMemory {
    pub(super) slots: Arena<InstrumentSlot>,
    pub(super) index: Arena<u32>,
}

impl InstrumentsMemory {
    /// Tables for `instruments` symbols on the heap.
    pub fn new(instruments: usize) -> Self {
        Self::from_memory(instruments, &mut Heap)
    }
    /// Tables for `instruments` symbols (at most 2^28) from `memory`.
    pub fn from_memory(instruments: usize, memory: &mut impl Memory) -> Self {
        let instruments = Capacity::at_most(instruments);
        Self { slots: memory.arena(instruments), index: memory.arena((instruments * 2).next_power_of_two()) }
    }
}
