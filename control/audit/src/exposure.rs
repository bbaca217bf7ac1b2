//! Gross and net exposure, of the firm and of each strategy, as adr/0015 says them: in shares first, then in money at one
//! price a symbol.
//!
//! Shares are exact. The price is the highest at which shares were added since the symbol stood for nothing, and the gate
//! takes the reference of its collar where that is higher: no record has it. So a price here is the least and the most that
//! the gate can have taken: an order's own price, and the highest reference from which the collar lets that order's price be.

use std::collections::BTreeMap;

/// A strategy's position: account, strategy, symbol.
pub(crate) type Owner = (u16, u16, [u8; 8]);
/// Account and strategy.
pub(crate) type Strategy = (u16, u16);

/// The highest price at which the gate counts anything: it has no more bits for one.
pub(crate) const WORTH_MAX: i128 = u32::MAX as i128;
/// Places of the sums.
pub(crate) const GROSS: usize = 0;
const NET: [usize; 2] = [1, 2];

/// Where the net of a side is among the sums.
pub(crate) const fn net(is_buy: bool) -> usize {
    NET[if is_buy { 0 } else { 1 }]
}

/// The least and the most that a figure can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) low: i128,
    pub(crate) high: i128,
}

impl Span {
    pub(crate) const fn new(low: i128, high: i128) -> Self {
        Self { low, high }
    }

    fn or_higher(self, other: Self) -> Self {
        Self::new(self.low.max(other.low), self.high.max(other.high))
    }

    fn around(self, other: Self) -> Self {
        Self::new(self.low.min(other.low), self.high.max(other.high))
    }

    fn plus(self, shares: i128, price: Self) -> Self {
        let more = |sum: i128, price: i128| sum.saturating_add(shares.saturating_mul(price));
        Self::new(more(self.low, price.low), more(self.high, price.high))
    }
}

/// Gross, net of the buys, net of the sells.
pub(crate) type Sums = [Span; 3];

/// Position and open shares of a symbol; buys and sells never net.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stake {
    pub(crate) position: i128,
    open_buy: i128,
    open_sell: i128,
}

impl Stake {
    /// The position seen from a side, with every open order of that side filled.
    pub(crate) fn worst(&self, is_buy: bool) -> i128 {
        if is_buy { self.position + self.open_buy } else { self.open_sell - self.position }
    }

    fn open(&mut self, is_buy: bool, shares: i128) {
        *if is_buy { &mut self.open_buy } else { &mut self.open_sell } += shares;
    }

    /// What it counts for by itself, in shares, in the order of [`Sums`].
    fn counts(&self) -> [i128; 3] {
        let [buy, sell] = [true, false].map(|is_buy| self.worst(is_buy).max(0));
        [buy.max(sell), buy, sell]
    }
}

/// A symbol.
#[derive(Clone, Debug, Default)]
struct Held {
    strategies: BTreeMap<Strategy, Stake>,
    price: Span,
    /// Lowest and highest price of the day of an order or a position in it.
    seen: Option<Span>,
}

impl Held {
    fn firm(&self) -> Stake {
        self.strategies.values().fold(Stake::default(), |sum, one| Stake {
            position: sum.position + one.position,
            open_buy: sum.open_buy + one.open_buy,
            open_sell: sum.open_sell + one.open_sell,
        })
    }

    fn own(&self, strategy: Strategy) -> Stake {
        self.strategies.get(&strategy).copied().unwrap_or_default()
    }

    /// What it counts for, of the firm: strategies that lean to one side together, and the firm's own lean.
    fn counts(&self) -> [i128; 3] {
        let together = |is_buy| self.strategies.values().map(|one| one.worst(is_buy).max(0)).sum::<i128>();
        let [_, buy, sell] = self.firm().counts();
        [together(true).max(together(false)), buy, sell]
    }

    fn see(&mut self, price: i128) {
        let one = Span::new(price, price);
        self.seen = Some(self.seen.map_or(one, |seen| seen.around(one)));
    }
}

fn add(sums: &mut Sums, shares: [i128; 3], price: Span, sign: i128) {
    for (sum, shares) in sums.iter_mut().zip(shares) {
        *sum = sum.plus(sign * shares, price);
    }
}

/// Shares that an order asks for beyond those that are open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) owner: Owner,
    pub(crate) is_buy: bool,
    pub(crate) more: i128,
    /// The price at which shares that are added count.
    pub(crate) fresh: Span,
    /// The price of a replace that asks for a higher one, else 0.
    pub(crate) dearer: Span,
    /// Whether the gate saw what is seen here. It did not if its strategy acted on the first of several answers.
    pub(crate) is_sure: bool,
}

/// What an order makes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// At which the symbol counts then.
    pub(crate) price: Span,
    /// It adds shares to what the firm could come to hold.
    pub(crate) adds: bool,
    /// The same of its strategy.
    pub(crate) own_adds: bool,
    /// The symbol certainly counts at a higher price.
    pub(crate) is_dearer: bool,
    pub(crate) firm: Sums,
    pub(crate) own: Sums,
    /// The position seen from the side with all filled, of the firm and of the strategy.
    pub(crate) worst: (i128, i128),
}

/// Every symbol, and the sums over them.
#[derive(Debug, Default)]
pub(crate) struct Exposures {
    symbols: BTreeMap<[u8; 8], Held>,
    firm: Sums,
    strategies: BTreeMap<Strategy, Sums>,
}

impl Exposures {
    pub(crate) fn stake(&self, symbol: [u8; 8]) -> Stake {
        self.symbols.get(&symbol).map(Held::firm).unwrap_or_default()
    }

    /// What a strategy has in a symbol.
    pub(crate) fn own(&self, (account, strategy, symbol): Owner) -> Stake {
        self.symbols.get(&symbol).map(|held| held.own((account, strategy))).unwrap_or_default()
    }

    /// Sums of the firm, and of each strategy.
    pub(crate) fn sums(&self) -> (&Sums, &BTreeMap<Strategy, Sums>) {
        (&self.firm, &self.strategies)
    }

    /// Shares changed hands, or went back.
    pub(crate) fn traded(&mut self, (account, strategy, symbol): Owner, shares: i128) {
        self.change(symbol, |held| held.strategies.entry((account, strategy)).or_default().position += shares);
    }

    /// So many more shares may yet trade.
    pub(crate) fn open(&mut self, (account, strategy, symbol): Owner, is_buy: bool, shares: i128) {
        self.change(symbol, |held| held.strategies.entry((account, strategy)).or_default().open(is_buy, shares));
    }

    /// The symbol counts at `price` from now on.
    pub(crate) fn value(&mut self, symbol: [u8; 8], price: Span) {
        self.change(symbol, |held| held.price = price);
    }

    /// A price that an order or a position of the day has.
    pub(crate) fn see(&mut self, symbol: [u8; 8], price: i128) {
        self.symbols.entry(symbol).or_default().see(price);
    }

    /// A run counts anew, from what was held when the day began and from the venue's log: at the price of some order or
    /// position of the day.
    pub(crate) fn count_anew(&mut self) {
        let symbols: Vec<_> = self.symbols.iter().map(|(symbol, held)| (*symbol, held.seen)).collect();
        for (symbol, seen) in symbols {
            self.value(symbol, seen.unwrap_or_default());
        }
    }

    /// Of prices that were approved and of which there is no record, nothing is known from above.
    pub(crate) fn lose_sight(&mut self) {
        let symbols: Vec<_> = self.symbols.iter().map(|(symbol, held)| (*symbol, held.price)).collect();
        for (symbol, price) in symbols {
            self.value(symbol, Span::new(price.low, WORTH_MAX));
        }
    }

    fn change(&mut self, symbol: [u8; 8], change: impl FnOnce(&mut Held)) {
        let held = self.symbols.entry(symbol).or_default();
        let mut count = |held: &Held, sign| {
            add(&mut self.firm, held.counts(), held.price, sign);
            for (strategy, stake) in &held.strategies {
                add(self.strategies.entry(*strategy).or_default(), stake.counts(), held.price, sign);
            }
        };
        count(held, -1);
        change(held);
        count(held, 1);
    }

    /// What an order would make of it.
    pub(crate) fn with(&self, wanted: &Wanted) -> Outcome {
        let (account, strategy, symbol) = wanted.owner;
        let before = self.symbols.get(&symbol).cloned().unwrap_or_default();
        let mut after = before.clone();
        after.strategies.entry((account, strategy)).or_default().open(wanted.is_buy, wanted.more);
        let own = after.own((account, strategy));
        let worst = (after.firm().worst(wanted.is_buy), own.worst(wanted.is_buy));
        after.price = price_then(wanted, &before, &after, worst);
        let moved = |sums: &Sums, was: [i128; 3], is: [i128; 3]| {
            let mut sums = *sums;
            add(&mut sums, was, before.price, -1);
            add(&mut sums, is, after.price, 1);
            sums
        };
        let own_sums = self.strategies.get(&(account, strategy)).copied().unwrap_or_default();
        Outcome {
            price: after.price,
            adds: wanted.more > 0 && worst.0 > 0,
            own_adds: wanted.more > 0 && worst.1 > 0,
            is_dearer: after.price.low > before.price.high,
            firm: moved(&self.firm, before.counts(), after.counts()),
            own: moved(&own_sums, before.own((account, strategy)).counts(), own.counts()),
            worst,
        }
    }
}

/// The price at which a symbol counts with an order: adr/0015.
fn price_then(wanted: &Wanted, before: &Held, after: &Held, worst: (i128, i128)) -> Span {
    let (gross, gross_then) = (before.counts()[GROSS], after.counts()[GROSS]);
    let (price, fresh) = (before.price, wanted.fresh);
    if !wanted.is_sure {
        // The gate may have seen more open than is left now, and so have kept its price, or have begun with a new one.
        let low = if gross == 0 { price.low.min(fresh.low) } else { price.low };
        return Span::new(low, price.or_higher(fresh).or_higher(wanted.dearer).high);
    }
    match gross_then > gross {
        true if gross == 0 => fresh,
        true => price.or_higher(fresh),
        false if worst.0 > 0 && worst.1 > 0 => price.or_higher(wanted.dearer),
        false => price,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERN: [u8; 8] = *b"TERN    ";

    fn wanted(strategy: u16, is_buy: bool, more: i128, price: i128) -> Wanted {
        let fresh = Span::new(price, price);
        Wanted { owner: (1, strategy, TERN), is_buy, more, fresh, dearer: Span::default(), is_sure: true }
    }

    fn send(exposures: &mut Exposures, wanted: &Wanted) -> Outcome {
        let outcome = exposures.with(wanted);
        exposures.open(wanted.owner, wanted.is_buy, wanted.more);
        exposures.value(TERN, outcome.price);
        assert_eq!(exposures.firm, outcome.firm, "what would be is what is");
        outcome
    }

    #[test]
    fn two_strategies_against_one_another_count_once_and_a_fill_raises_nothing() {
        let mut exposures = Exposures::default();
        send(&mut exposures, &wanted(1, true, 100, 10));
        let both = send(&mut exposures, &wanted(2, false, 100, 10));
        assert_eq!(both.firm.map(|sum| sum.low), [1000, 1000, 1000]);
        assert_eq!(both.own.map(|sum| sum.low), [1000, 0, 1000]);
        for (strategy, is_buy) in [(1, true), (2, false)] {
            exposures.open((1, strategy, TERN), is_buy, -100);
            exposures.traded((1, strategy, TERN), if is_buy { 100 } else { -100 });
        }
        assert_eq!(exposures.firm.map(|sum| sum.low), [1000, 0, 0]);
    }

    #[test]
    fn the_price_is_the_highest_at_which_shares_were_added_until_nothing_is_left() {
        let mut exposures = Exposures::default();
        assert_eq!(send(&mut exposures, &wanted(1, true, 10, 20)).price.low, 20);
        assert_eq!(send(&mut exposures, &wanted(1, true, 10, 15)).price.low, 20);
        assert_eq!(send(&mut exposures, &wanted(1, true, 10, 25)).price.low, 25);
        // What only closes changes no price.
        exposures.open((1, 1, TERN), true, -30);
        exposures.traded((1, 1, TERN), 30);
        assert_eq!(send(&mut exposures, &wanted(1, false, 30, 40)).price.low, 25);
        exposures.open((1, 1, TERN), false, -30);
        exposures.traded((1, 1, TERN), -30);
        assert_eq!(send(&mut exposures, &wanted(1, true, 1, 5)).price.low, 5);
    }

    #[test]
    fn what_the_gate_may_not_have_seen_widens_the_price() {
        let mut exposures = Exposures::default();
        send(&mut exposures, &wanted(1, true, 10, 20));
        let unsure = Wanted { is_sure: false, ..wanted(1, true, 10, 30) };
        assert_eq!(exposures.with(&unsure).price, Span::new(20, 30));
        exposures.lose_sight();
        assert_eq!(exposures.with(&unsure).price, Span::new(20, WORTH_MAX));
    }
}
