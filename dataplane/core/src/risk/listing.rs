//! What is said of an instrument beside its trades and quotes, for the reference of the collar: its round lot, the price
//! at which the market closed the day before, and the price that an auction names before it prints.

use super::gate::Gate;
use crate::book::Instruments;
use crate::units::{InstrumentId, Price, Quantity, Symbol, TaiNs};
use alloc::boxed::Box;
use alloc::vec;
use tern_abi::event::{BookEvent, EventKind};
use tern_abi::prefetch::prefetch_slice;

/// Shares of a round lot until a directory says: of a feed that has none, every print counts.
const ROUND_LOT: Quantity = 1;
/// An indication is no older than so many steps of 2^30 ns: an auction names a price every second to every ten.
const INDICATION_STEPS: u32 = 16;

#[derive(Clone, Copy, Debug)]
struct Listing {
    round_lot: Quantity,
    /// 0: none was named.
    indication: u32,
    /// Step in which it was named.
    indicated_at: u32,
}

/// By instrument.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Listings {
    all: Box<[Listing]>,
    /// Closing prices of the day before, by symbol.
    closes: Box<[(Symbol, u32)]>,
}

const fn step(now: TaiNs) -> u32 {
    (now.0 >> 30) as u32
}

impl Listings {
    pub(super) fn new(instruments: usize) -> Self {
        let unknown = Listing { round_lot: ROUND_LOT, indication: 0, indicated_at: 0 };
        Self { all: vec![unknown; instruments].into_boxed_slice(), closes: Box::default() }
    }

    /// Asks for what is said of an instrument.
    #[inline]
    pub(super) fn prefetch(&self, instrument: InstrumentId) {
        prefetch_slice(&self.all, instrument.index());
    }

    #[inline]
    pub(super) fn round_lot(&self, instrument: InstrumentId) -> Quantity {
        self.all.get(instrument.index()).map_or(ROUND_LOT, |listing| listing.round_lot)
    }

    fn indication(&self, now: TaiNs, instrument: InstrumentId) -> Option<Price> {
        let listing = self.all.get(instrument.index()).filter(|listing| listing.indication != 0)?;
        let is_fresh = step(now).wrapping_sub(listing.indicated_at) <= INDICATION_STEPS;
        is_fresh.then_some(Price(i64::from(listing.indication)))
    }

    /// What decides, for a hash.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.all.iter().flat_map(|listing| {
            [u64::from(listing.round_lot), u64::from(listing.indication) << 32 | u64::from(listing.indicated_at)]
        })
    }
}

impl Gate {
    /// Closing prices of the day before. An instrument's reference begins there, so that its first print is bounded too.
    pub(crate) fn set_closes(&mut self, closes: &[(Symbol, u32)]) {
        self.listings.closes = closes.into();
        self.listings.closes.sort_unstable();
    }

    /// Instruments from `known` on are new.
    pub(super) fn begin_references(&mut self, known: usize, instruments: &Instruments) {
        if self.listings.closes.is_empty() {
            return;
        }
        for (instrument, symbol) in instruments.iter().skip(known) {
            let closes = &self.listings.closes;
            let found = closes.binary_search_by_key(&symbol, |(symbol, _)| *symbol);
            if let (Ok(at), Some(sight)) = (found, self.sights.get_mut(instrument.index())) {
                sight.begin_at(closes[at].1);
            }
        }
    }

    /// The directory named an instrument, or an auction a price. One that our own orders are part of says nothing.
    #[cold]
    pub(crate) fn heed_listing(&mut self, now: TaiNs, event: &BookEvent) {
        let index = event.instrument as usize;
        let Some(listing) = self.listings.all.get_mut(index) else { return };
        match event.kind {
            EventKind::Directory if event.quantity != 0 => listing.round_lot = event.quantity,
            EventKind::Imbalance if self.sights.get(index).is_some_and(|sight| !sight.own.is_any()) => {
                listing.indication = u32::try_from(event.price).unwrap_or(0);
                listing.indicated_at = step(now);
            }
            _ => {}
        }
    }

    pub(super) fn indication(&self, now: TaiNs, instrument: InstrumentId) -> Option<Price> {
        self.listings.indication(now, instrument)
    }

    /// Round lots and indications, two words an instrument, for a hash of what decides.
    pub(crate) fn listing_words(&self) -> impl Iterator<Item = u64> + '_ {
        self.listings.words()
    }
}
