//! What is at stake, in money: what counts of each instrument, taken anew from all orders and holdings, at the price that it
//! counts at.

use super::firm::{Fault, Firm, Holdings, INSTRUMENTS, Num, OWNERS, SIDES};
use super::verdict::Ask;
use crate::units::Side;

/// How far each owner would lean to each side of an instrument, negative if to the other.
type Leans = [[Num; 2]; OWNERS];

/// No price of an order is above it.
const PRICE_MAX: Num = u32::MAX as Num;

fn sum_of_sides(leans: &Leans) -> [Num; 2] {
    [0, 1].map(|side| leans.iter().map(|lean| lean[side].max(0)).sum())
}

/// Longs together or shorts together, whichever is more.
fn gross_shares(leans: &Leans) -> Num {
    let [longs, shorts] = sum_of_sides(leans);
    longs.max(shorts)
}

impl Firm {
    /// Leans with everything of a side filled, and with what an intent adds, if one is given.
    fn leans(&self, instrument: usize, with: Option<&Ask>) -> Leans {
        let mut leans = Leans::default();
        for (owner, lean) in leans.iter_mut().enumerate() {
            let held = self.held[owner][instrument].shares;
            *lean = [held, -held];
        }
        for order in self.orders.iter().filter(|order| order.instrument == instrument) {
            leans[order.owner][order.side.index()] += self.stands_for(order).0;
        }
        if let Some(ask) = with {
            leans[ask.owner][ask.side.index()] += self.more_shares(ask);
        }
        leans
    }

    /// How far an instrument can come to be from flat.
    pub(super) fn most(&self, instrument: usize) -> Num {
        gross_shares(&self.leans(instrument, None))
    }

    fn net_shares(&self, instrument: usize, side: Side) -> Num {
        self.worst(instrument, side).max(0)
    }

    pub(super) fn gross(&self) -> Num {
        if self.fault == Some(Fault::GrossAtCost) {
            let held: Num = self.held.iter().flatten().map(|held| held.cost.abs()).sum();
            return held + SIDES.map(|side| self.open_of(None, side).1).iter().sum::<Num>();
        }
        (0..INSTRUMENTS).map(|instrument| self.values[instrument] * self.most(instrument)).sum()
    }
    pub(super) fn net(&self, side: Side) -> Num {
        if self.fault == Some(Fault::NetAtCost) {
            let cost: Num = self.held.iter().flatten().map(|held| held.cost).sum();
            return self.open_of(None, side).1 + if side == Side::Buy { cost } else { -cost };
        }
        (0..INSTRUMENTS).map(|instrument| self.values[instrument] * self.net_shares(instrument, side)).sum()
    }
    pub(super) fn gross_of(&self, owner: usize) -> Num {
        let most = |instrument: usize| self.leans(instrument, None)[owner].into_iter().max().unwrap_or(0).max(0);
        (0..INSTRUMENTS).map(|instrument| self.values[instrument] * most(instrument)).sum()
    }
    pub(super) fn net_of(&self, owner: usize, side: Side) -> Num {
        let lean = |instrument: usize| self.leans(instrument, None)[owner][side.index()].max(0);
        (0..INSTRUMENTS).map(|instrument| self.values[instrument] * lean(instrument)).sum()
    }
    /// Profit of an owner: what he took in, and what his shares were worth when they were last looked at.
    pub(super) fn profit_of(&self, owner: usize) -> Num {
        let of = |instrument: usize| {
            let held = self.held[owner][instrument];
            held.cash + held.shares * self.books[instrument].mark
        };
        (0..INSTRUMENTS).map(of).sum()
    }

    /// The price at which an instrument counts once an intent is approved: the highest at which shares were added since it
    /// stood for nothing.
    pub(super) fn value_with(&self, ask: &Ask) -> Num {
        let before = self.values[ask.instrument];
        let (most, most_with) = (self.most(ask.instrument), gross_shares(&self.leans(ask.instrument, Some(ask))));
        let clamp = |price: Num| price.clamp(0, PRICE_MAX);
        let reference = self.reference(ask.instrument).filter(|_| self.fault != Some(Fault::SalesAtLimit));
        let replaced = ask.order.map_or(0, |at| self.orders[at].price);
        let fresh = clamp(self.each(ask).max(replaced).max(reference.unwrap_or(0)));
        let dearer = ask.order.is_some_and(|at| ask.price > self.orders[at].price);
        match most_with > most {
            true if most == 0 => fresh,
            true => before.max(fresh),
            false if dearer && !self.only_closes(ask) && self.worst_of_owner(ask) > 0 => before.max(clamp(ask.price)),
            false => before,
        }
    }

    /// What an intent adds to gross and to the net of its side: of the firm, then of its owner.
    pub(super) fn adds_of(&self, ask: &Ask) -> [(Num, Num); 2] {
        let (price, then) = (self.values[ask.instrument], self.value_with(ask));
        let (leans, leans_then) = (self.leans(ask.instrument, None), self.leans(ask.instrument, Some(ask)));
        let more = |now: Num, later: Num| later * then - now * price;
        let net = more(self.net_shares(ask.instrument, ask.side), self.worst_with(ask).max(0));
        let of_owner = |leans: &Leans| leans[ask.owner].into_iter().max().unwrap_or(0).max(0);
        let own_side = |leans: &Leans| leans[ask.owner][ask.side.index()].max(0);
        [
            (more(gross_shares(&leans), gross_shares(&leans_then)), net),
            (more(of_owner(&leans), of_owner(&leans_then)), more(own_side(&leans), own_side(&leans_then))),
        ]
    }

    /// An order of which the venue alone knew came to stand for more: it counts at its price at least.
    pub(super) fn regrew(&mut self, at: usize, most_before: Num) {
        let order = &self.orders[at];
        let (instrument, price) = (order.instrument, order.dearest().clamp(0, PRICE_MAX));
        if self.most(instrument) > most_before {
            self.values[instrument] = self.values[instrument].max(price);
        }
    }

    /// A trade is a price where there was none.
    pub(super) fn first_value(&mut self, instrument: usize, price: Num) {
        if self.values[instrument] == 0 || self.fault == Some(Fault::FillsRevalue) {
            self.values[instrument] = price.clamp(0, PRICE_MAX);
        }
    }

    /// What holdings count for as they are, with nothing open: gross, net by side, and the same of one owner. The firm's
    /// gross is what it is now, and what it can come to be when each owner closes what he holds.
    pub(super) fn worth_of(&self, held: &Holdings, owner: usize) -> (Num, [Num; 2], Num, [Num; 2]) {
        let (mut gross, mut net, mut own_gross, mut own_net) = (0, [0; 2], 0, [0; 2]);
        for instrument in 0..INSTRUMENTS {
            let value = self.values[instrument];
            let shares: Num = held.iter().map(|held| held[instrument].shares).sum();
            let leans = held.each_ref().map(|held| [held[instrument].shares, -held[instrument].shares]);
            gross += value * gross_shares(&leans).max(shares.abs());
            own_gross += value * held[owner][instrument].shares.abs();
            for (side, sign) in [(0, 1), (1, -1)] {
                net[side] += value * (sign * shares).max(0);
                own_net[side] += value * (sign * held[owner][instrument].shares).max(0);
            }
        }
        (gross, net, own_gross, own_net)
    }
}
