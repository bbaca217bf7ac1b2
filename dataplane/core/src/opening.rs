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
    for one in opening {
        let wrong = ConfigError::Opening { strategy: one.strategy, symbol: one.symbol };
        let owner = strategies.iter().position(|strategy| strategy.id == one.strategy);
        let owner = owner.and_then(|owner| u8::try_from(owner).ok()).ok_or(wrong)?;
        let instrument = instruments.intern(one.symbol).ok_or(wrong)?;
        let is_again = placed.iter().any(|other| (other.owner, other.instrument) == (owner, instrument));
        if is_again || one.shares == 0 || one.shares.signum() != one.cost.signum() {
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
    for opened in placed {
        let of_symbol = || opening.iter().zip(placed).filter(|(_, other)| other.instrument == opened.instrument);
        let dearest = of_symbol().map(|(one, _)| one.average()).max().unwrap_or(Price(0));
        let sum = |value: fn(&OpeningPosition) -> i64| -> i128 {
            of_symbol().map(|(one, _)| i128::from(value(one).unsigned_abs())).sum()
        };
        let worth = sum(|one| one.cost) / sum(|one| one.shares).max(1);
        let worth = Price(i64::try_from(worth).unwrap_or(i64::MAX));
        gate.open_position((opened.owner, opened.instrument), &opened.position, (dearest, worth));
    }
}
