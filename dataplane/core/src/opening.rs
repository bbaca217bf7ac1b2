//! What is held when the day begins: positions of earlier days, which no execution of the venue's log of today explains.
//!
//! Their instruments are named before the first input, so they count in every limit from the start, whether or not the
//! feed or the venue has spoken of them yet. What they were bought for is no profit of today: their cash is what they cost,
//! with the sign turned, as if they had been bought at that price this morning.

use crate::book::Instruments;
use crate::pipeline::{ConfigError, StrategyConfig};
use crate::portfolio::Position;
use crate::risk::Gate;
use crate::units::{Cash, InstrumentId, Price, StrategyId, Symbol};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// A position of an earlier day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpeningPosition {
    /// Who holds it; a strategy of this host.
    pub strategy: StrategyId,
    /// Symbol.
    pub symbol: Symbol,
    /// Signed shares, not 0.
    pub shares: i64,
    /// What they cost, signed like them, 1/10000. Not 0.
    pub cost: Cash,
}

impl OpeningPosition {
    /// What a share cost, rounded up, 1/10000.
    const fn average(&self) -> Price {
        let price = self.cost.unsigned_abs().div_ceil(if self.shares == 0 { 1 } else { self.shares.unsigned_abs() });
        Price(if price > i64::MAX as u64 { i64::MAX } else { price as i64 })
    }
}

/// One of them in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// Index of the strategy.
    pub(crate) owner: u8,
    pub(crate) instrument: InstrumentId,
    pub(crate) position: Position,
}

/// Finds a place for each position, and names their instruments.
///
/// # Errors
/// There is no such strategy, no room for the instrument, nothing held or for nothing, or the place is taken.
pub(crate) fn place(
    opening: &[OpeningPosition],
    strategies: &[StrategyConfig],
    instruments: &mut Instruments,
) -> Result<Box<[Opened]>, ConfigError> {
    let mut placed: Vec<Opened> = Vec::with_capacity(opening.len());
    let mut taken = BTreeSet::new();
    for one in opening {
        let wrong = ConfigError::Opening { strategy: one.strategy, symbol: one.symbol };
        let owner = strategies.iter().position(|strategy| strategy.id == one.strategy);
        let owner = owner.and_then(|owner| u8::try_from(owner).ok()).ok_or(wrong)?;
        let instrument = instruments.intern(one.symbol).ok_or(wrong)?;
        if !taken.insert((instrument, owner)) || one.shares == 0 || one.shares.signum() != one.cost.signum() {
            return Err(wrong);
        }
        let cash = one.cost.saturating_neg();
        let position = Position { shares: one.shares, cost: one.cost, cash, ..Position::default() };
        placed.push(Opened { owner, instrument, position });
    }
    Ok(placed.into_boxed_slice())
}

/// Has the gate count them, whose instruments it knows already.
///
/// The shares of a symbol count at the highest price that any of them cost (adr/0015). Until the market says what they are
/// worth, that is what they cost on average over all strategies.
pub(crate) fn count(opening: &[OpeningPosition], placed: &[Opened], gate: &mut Gate) {
    let mut symbols: BTreeMap<InstrumentId, Worth> = BTreeMap::new();
    for (one, opened) in opening.iter().zip(placed) {
        symbols.entry(opened.instrument).or_default().add(one);
    }
    for opened in placed {
        let of_symbol = symbols.get(&opened.instrument).copied().unwrap_or_default();
        let worth = (of_symbol.dearest, of_symbol.average());
        gate.open_position((opened.owner, opened.instrument), &opened.position, worth);
    }
}

/// What the positions of all strategies in a symbol cost, and how many shares they are, whichever way they lean.
#[derive(Clone, Copy, Debug, Default)]
struct Worth {
    dearest: Price,
    cost: i128,
    shares: i128,
}

impl Worth {
    fn add(&mut self, one: &OpeningPosition) {
        self.dearest = self.dearest.max(one.average());
        self.cost += i128::from(one.cost.unsigned_abs());
        self.shares += i128::from(one.shares.unsigned_abs());
    }

    fn average(&self) -> Price {
        Price(i64::try_from(self.cost / self.shares.max(1)).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{Heap, InstrumentsMemory};
    use crate::risk::Limits;
    use crate::units::TraderId;
    use std::time::{Duration, Instant};

    /// A place found by a walk over all others takes minutes here.
    #[test]
    fn two_hundred_thousand_positions_are_placed_and_counted_in_a_moment() {
        const SYMBOLS: u32 = 50_000;
        let strategies: Vec<StrategyConfig> =
            (1..=4).map(|id| StrategyConfig { id: StrategyId(id), trader: TraderId(0) }).collect();
        let symbol = |number: u32| {
            let mut name = *b"A0000000";
            (0..7).fold(number, |rest, digit| {
                name[7 - digit] = b'0' + (rest % 10) as u8;
                rest / 10
            });
            Symbol(name)
        };
        let opening: Vec<OpeningPosition> = (0..4 * SYMBOLS)
            .map(|number| OpeningPosition {
                strategy: StrategyId(1 + (number / SYMBOLS) as u16),
                symbol: symbol(number % SYMBOLS),
                shares: 10,
                cost: 100 + i64::from(number / SYMBOLS),
            })
            .collect();
        let mut instruments = Instruments::new(InstrumentsMemory::from_memory(SYMBOLS as usize, &mut Heap));
        let mut gate = Gate::new(Limits::default(), (&[], i64::MAX), (5, &[]), SYMBOLS as usize, &mut Heap);
        let began = Instant::now();
        let placed = place(&opening, &strategies, &mut instruments).expect("room for all");
        count(&opening, &placed, &mut gate);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        // 40 shares of each at 10.3, rounded up.
        assert_eq!((placed.len(), gate.stake().gross()), (200_000, i64::from(SYMBOLS) * 40 * 11));
        let again = [opening[0], opening[0]];
        assert!(matches!(place(&again, &strategies, &mut instruments), Err(ConfigError::Opening { .. })));
    }
}
