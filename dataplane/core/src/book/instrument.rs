//! Symbols and their dense ids.

use super::memory::InstrumentsMemory;
use super::table::mix;
use crate::units::{InstrumentId, Symbol};
use tern_abi::arena::Arena;
use zerocopy::FromZeros;

/// A symbol's bytes.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, FromZeros)]
pub(super) struct InstrumentSlot([u8; 8]);

/// Directory of symbols: ids are given out from 0 in the order in which symbols are first seen, so the same input gives
/// the same ids.
#[derive(Debug)]
pub struct Instruments {
    slots: Arena<InstrumentSlot>,
    /// Id + 1 by hash of the symbol, 0 is free; twice as long as there can be symbols, so a probe always ends.
    index: Arena<u32>,
    length: usize,
}

impl Instruments {
    /// An empty directory over `memory`.
    pub fn new(memory: InstrumentsMemory) -> Self {
        Self { slots: memory.slots, index: memory.index, length: 0 }
    }
    /// Symbols held.
    pub fn len(&self) -> usize {
        self.length
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The place in the index where `symbol` is or would be.
    fn place(&self, symbol: Symbol) -> usize {
        let mask = self.index.len() - 1;
        let mut at = mix(u64::from_le_bytes(symbol.0)) as usize & mask;
        loop {
            match self.index[at] {
                0 => return at,
                id if self.slots[id as usize - 1].0 == symbol.0 => return at,
                _ => at = (at + 1) & mask,
            }
        }
    }
    /// The id of `symbol`, if it has one.
    pub fn get(&self, symbol: Symbol) -> Option<InstrumentId> {
        self.index[self.place(symbol)].checked_sub(1).map(InstrumentId)
    }
    /// The id of `symbol`, given out now if it is new; `None` when the directory is full.
    pub fn intern(&mut self, symbol: Symbol) -> Option<InstrumentId> {
        let place = self.place(symbol);
        if let Some(id) = self.index[place].checked_sub(1) {
            return Some(InstrumentId(id));
        }
        *self.slots.get_mut(self.length)? = InstrumentSlot(symbol.0);
        let id = self.length as u32;
        self.length += 1;
        self.index[place] = id + 1;
        Some(InstrumentId(id))
    }
    /// The symbol of `instrument`.
    pub fn symbol(&self, instrument: InstrumentId) -> Option<Symbol> {
        let slots = self.slots.get(..self.length)?;
        slots.get(instrument.index()).map(|slot| Symbol(slot.0))
    }
    /// All symbols, by id.
    pub fn iter(&self) -> impl Iterator<Item = (InstrumentId, Symbol)> {
        (0..).map(InstrumentId).zip(self.slots.iter().take(self.length).map(|slot| Symbol(slot.0)))
    }
}
