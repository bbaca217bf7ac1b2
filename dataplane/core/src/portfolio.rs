//! Positions, cash and profit of every (strategy, instrument), in integers.

use crate::book::{Books, Memory};
use crate::fees::Fees;
use crate::opening::Opened;
use crate::orders::Execution;
use crate::units::{Cash, InstrumentId, Price, Quantity, Side};
use alloc::boxed::Box;
use alloc::vec::Vec;
use tern_abi::arena::Arena;
use tern_abi::prefetch::prefetch_slice;
use zerocopy::FromZeros;

/// What one strategy holds of one instrument.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub struct Position {
    /// Signed shares.
    pub shares: i64,
    /// Cash from trading; a buy lowers it, and what was held before the day counts as bought. 1/10000 of the currency unit.
    pub cash: Cash,
    /// What the shares held cost, signed like them. 1/10000.
    pub cost: Cash,
    /// What the venue charged for trading, less what it paid, 1/10000.
    pub fees: Cash,
    /// Executions counted, and trades told by hand.
    pub fills: u64,
}

impl Position {
    /// Realized profit, after fees. 1/10000.
    ///
    /// Money is neither made nor lost by buying: what left as cash is in the cost of what is held, so the rest is
    /// profit, but for what trading costs.
    #[inline]
    pub const fn realized(&self) -> Cash {
        self.cash.saturating_add(self.cost).saturating_sub(self.fees)
    }

    /// Profit that closing at `mark` would add. 1/10000.
    #[inline]
    pub const fn unrealized(&self, mark: Price) -> Cash {
        self.shares.saturating_mul(mark.0).saturating_sub(self.cost)
    }

    /// Average price of the shares held, rounded down; `None` when flat.
    #[inline]
    pub const fn average(&self) -> Option<Price> {
        match self.cost.checked_div(self.shares) {
            Some(price) => Some(Price(price)),
            None => None,
        }
    }

    fn execute(&mut self, execution: &Execution, fees: &Fees) {
        self.trade(execution.side, execution.quantity, execution.price);
        self.fees = self.fees.saturating_add(fees.of(execution.liquidity, execution.quantity));
    }

    /// Counts a trade of `quantity` shares. A trade against the position realizes its part of the cost, at the average;
    /// what goes through zero opens anew at the trade's price.
    pub(crate) fn trade(&mut self, side: Side, quantity: u32, price: Price) {
        let signed = side.sign() * i64::from(quantity);
        let value = signed.saturating_mul(price.0);
        self.cash = self.cash.saturating_sub(value);
        self.fills += 1;
        let against = self.shares != 0 && (self.shares > 0) != (signed > 0);
        if !against {
            self.cost = self.cost.saturating_add(value);
        } else if signed.unsigned_abs() < self.shares.unsigned_abs() {
            // The rounding stays in the cost, so nothing is lost when the rest is closed.
            let left = i128::from(self.shares) + i128::from(signed);
            self.cost = (i128::from(self.cost) * left / i128::from(self.shares)) as i64;
        } else {
            self.cost = self.shares.saturating_add(signed).saturating_mul(price.0);
        }
        self.shares = self.shares.saturating_add(signed);
    }
}

/// A trade that no log of the venue has, in its place among the executions of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adjustment {
    /// So many executions of the day came before it.
    pub(crate) after_executions: u64,
    pub(crate) owner: u8,
    pub(crate) instrument: InstrumentId,
    pub(crate) side: Side,
    pub(crate) price: Price,
    pub(crate) quantity: Quantity,
}

/// All positions.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Portfolio {
    positions: Arena<Position>,
    instruments: usize,
    fees: Fees,
    /// What was held before the day.
    opened: Box<[Opened]>,
    /// In order; as many as there is room for from the start.
    adjusted: Vec<Adjustment>,
}

impl Portfolio {
    pub(crate) fn new(
        owners: usize,
        instruments: usize,
        fees: Fees,
        adjustments_max: usize,
        memory: &mut impl Memory,
    ) -> Self {
        let positions = memory.arena(owners * instruments);
        let adjusted = Vec::with_capacity(adjustments_max);
        Self { positions, instruments, fees, opened: Box::default(), adjusted }
    }

    /// The day begins with these, before anything trades.
    pub(crate) fn open(&mut self, opened: Box<[Opened]>) {
        for one in &opened {
            let index = self.index(usize::from(one.owner), one.instrument);
            if let Some(position) = index.and_then(|index| self.positions.get_mut(index)) {
                *position = one.position;
            }
        }
        self.opened = opened;
    }

    /// What an owner held of an instrument when the day began.
    fn opening(&self, owner: u8, instrument: InstrumentId) -> Position {
        let mut opened = self.opened.iter().filter(|one| (one.owner, one.instrument) == (owner, instrument));
        opened.next().map(|one| one.position).unwrap_or_default()
    }

    #[inline]
    fn index(&self, owner: usize, instrument: InstrumentId) -> Option<usize> {
        (instrument.index() < self.instruments).then_some(owner * self.instruments + instrument.index())
    }

    /// What the strategy with index `owner` holds of `instrument`.
    #[inline]
    pub fn position(&self, owner: usize, instrument: InstrumentId) -> Position {
        self.index(owner, instrument).and_then(|index| self.positions.get(index)).copied().unwrap_or_default()
    }

    /// Asks for what a strategy holds of an instrument.
    #[inline]
    pub(crate) fn prefetch(&self, owner: usize, instrument: InstrumentId) {
        if let Some(index) = self.index(owner, instrument) {
            prefetch_slice(&self.positions, index);
        }
    }

    /// Every position of the strategy with index `owner` that is held or ever traded, by instrument id.
    pub fn of(&self, owner: usize) -> impl Iterator<Item = (InstrumentId, &Position)> {
        let first = owner * self.instruments;
        let rows = self.positions.get(first..first + self.instruments).unwrap_or_default();
        (0..).map(InstrumentId).zip(rows).filter(|(_, position)| position.fills != 0 || position.shares != 0)
    }

    pub(crate) fn apply(&mut self, execution: &Execution) {
        let index = self.index(usize::from(execution.owner), execution.instrument);
        if let Some(position) = index.and_then(|index| self.positions.get_mut(index)) {
            position.execute(execution, &self.fees);
        }
    }

    /// Takes a trade out again. `history` are all executions of the day, `broken` marked in them: with all of them the
    /// position is what it would have been without the trade; with some forgotten the trade is traded back, which is
    /// right in shares and cash, and keeps its fee.
    pub(crate) fn take_out<'a>(
        &mut self,
        broken: &Execution,
        history: impl Iterator<Item = &'a Execution>,
        complete: bool,
    ) {
        let opening = self.opening(broken.owner, broken.instrument);
        let index = self.index(usize::from(broken.owner), broken.instrument);
        let Some(position) = index.and_then(|index| self.positions.get_mut(index)) else { return };
        if !complete {
            position.trade(broken.side.opposite(), broken.quantity, broken.price);
            return;
        }
        let fills = position.fills;
        *position = opening;
        let place = (broken.owner, broken.instrument);
        let mut adjusted = self.adjusted.iter().filter(|one| (one.owner, one.instrument) == place).peekable();
        for (before, execution) in (0_u64..).zip(history) {
            while let Some(one) = adjusted.next_if(|one| one.after_executions <= before) {
                position.trade(one.side, one.quantity, one.price);
            }
            if !execution.broken && (execution.owner, execution.instrument) == place {
                position.execute(execution, &self.fees);
            }
        }
        adjusted.for_each(|one| position.trade(one.side, one.quantity, one.price));
        position.fills = fills;
    }

    /// Counts a trade that the venue does not tell of. There has to be room for it.
    pub(crate) fn adjust(&mut self, adjustment: Adjustment) {
        debug_assert!(self.adjusted.len() < self.adjusted.capacity(), "nothing is allocated here");
        let index = self.index(usize::from(adjustment.owner), adjustment.instrument);
        if let Some(position) = index.and_then(|index| self.positions.get_mut(index)) {
            position.trade(adjustment.side, adjustment.quantity, adjustment.price);
        }
        self.adjusted.push(adjustment);
    }

    /// How many trades of the day were told by hand.
    pub(crate) const fn adjustments(&self) -> usize {
        self.adjusted.len()
    }

    /// Everything that decides what a broken trade leaves, for a hash.
    pub(crate) fn adjustment_words(&self) -> impl Iterator<Item = u64> + '_ {
        self.adjusted.iter().flat_map(|one| {
            let place = u64::from(one.instrument.0) << 16 | u64::from(one.owner) << 8 | one.side as u64;
            [one.after_executions, place, one.price.0.cast_unsigned(), u64::from(one.quantity)]
        })
    }

    /// Realized and unrealized profit of the strategy with index `owner`, marked at the middle of each book, or at the
    /// last print where a side is missing. Walks all instruments.
    pub fn profit(&self, owner: usize, books: &Books) -> (Cash, Cash) {
        self.of(owner).fold((0, 0), |(realized, unrealized), (instrument, position)| {
            let open = mark(books, instrument).map_or(0, |mark| position.unrealized(mark));
            (realized.saturating_add(position.realized()), unrealized.saturating_add(open))
        })
    }
}

/// What a share is worth now: the last print, as far as bid and ask allow it; before any print the middle.
///
/// Not the middle alone: at the edges of the day, and in instruments that hardly trade, bid and ask may be a cent and a
/// hundred thousand dollars, and nobody lost anything.
pub fn mark(books: &Books, instrument: InstrumentId) -> Option<Price> {
    let top = books.top(instrument);
    let (bid, ask) = (top.bid.map(|bid| bid.price), top.ask.map(|ask| ask.price));
    match books.status(instrument).last_price {
        Some(last) => {
            let last = bid.map_or(last, |bid| last.max(bid));
            Some(ask.map_or(last, |ask| last.min(ask)))
        }
        None => Some(Price((bid?.0 + ask?.0) / 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn traded(trades: &[(Side, u32, i64)]) -> Position {
        let mut position = Position::default();
        trades.iter().for_each(|(side, quantity, price)| position.trade(*side, *quantity, Price(*price)));
        position
    }

    #[test]
    fn profit_is_realized_at_the_average_cost() {
        use Side::{Buy, Sell};
        let position = traded(&[(Buy, 100, 10_0000), (Buy, 100, 12_0000), (Sell, 50, 13_0000)]);
        assert_eq!((position.shares, position.cost), (150, 150 * 11_0000));
        assert_eq!(position.realized(), 50 * 2_0000);
        assert_eq!(position.average(), Some(Price(11_0000)));
        assert_eq!(position.unrealized(Price(10_0000)), -150 * 1_0000);
    }

    #[test]
    fn going_through_zero_opens_at_the_new_price() {
        use Side::{Buy, Sell};
        let position = traded(&[(Buy, 100, 10_0000), (Sell, 250, 11_0000)]);
        assert_eq!((position.shares, position.cost, position.realized()), (-150, -150 * 11_0000, 100 * 1_0000));
        let flat = traded(&[(Sell, 30, 5_0000), (Buy, 30, 4_0000)]);
        assert_eq!((flat.shares, flat.cost, flat.realized(), flat.average()), (0, 0, 30 * 1_0000, None));
    }

    proptest! {
        #[test]
        fn flat_means_no_cost_and_all_profit_is_cash(
            trades in proptest::collection::vec((any::<bool>(), 1_u32..5000, 1_i64..2_000_000_000), 1..60)
        ) {
            let mut position = Position::default();
            let (mut shares, mut cash) = (0_i64, 0_i64);
            for (buy, quantity, price) in trades {
                let side = if buy { Side::Buy } else { Side::Sell };
                position.trade(side, quantity, Price(price));
                shares += side.sign() * i64::from(quantity);
                cash -= side.sign() * i64::from(quantity) * price;
                prop_assert_eq!((position.shares, position.cash), (shares, cash));
                prop_assert!(position.cost.signum() * shares.signum() >= 0);
            }
            let close = if shares > 0 { Side::Sell } else { Side::Buy };
            position.trade(close, shares.unsigned_abs() as u32, Price(7));
            prop_assert_eq!((position.shares, position.cost), (0, 0));
            prop_assert_eq!(position.realized(), position.cash);
        }

        #[test]
        fn extreme_values_saturate(side: bool, quantity: u32, price: i64, again: i64) {
            let side = if side { Side::Buy } else { Side::Sell };
            let mut position = Position::default();
            for _ in 0..4 {
                position.trade(side, quantity, Price(price));
                position.trade(side.opposite(), quantity / 2, Price(again));
            }
            let _ = (position.realized(), position.unrealized(Price(again)), position.average());
        }
    }
}
