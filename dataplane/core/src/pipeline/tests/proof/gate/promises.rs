//! What the gate promises, asked of the model at each step: that a limit in force when orders were approved is kept
//! however they are filled, and that nothing keeps a position from being closed.

use super::firm::{Firm, Holdings, Num, SIDES, Trade};
use super::verdict::Ask;
use crate::risk::{LimitId, Reason, Refusal};
use crate::units::Side;
use std::format;
use std::string::String;
use std::vec::Vec;

/// What stood before an intent was decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adds {
    /// It adds shares: the limits of positions are asked.
    shares: bool,
    /// The sums of money before it: what it does not add to may have been beyond its limit already, and comes no further.
    gross: Num,
    net: Num,
    own_gross: Num,
    own_net: Num,
    /// The price of its instrument: at a higher one, what stood already counts for more.
    value: Num,
}

/// In which order all that is open is filled, and how much of it: the side of the approved order first, or any others, so
/// many in eight of each.
const FILLINGS: u64 = 12;

impl Firm {
    pub(super) fn adds(&self, ask: &Ask) -> Adds {
        Adds {
            shares: self.adds_shares(ask),
            gross: self.gross(),
            net: self.net(ask.side),
            own_gross: self.gross_of(ask.owner),
            own_net: self.net_of(ask.owner, ask.side),
            value: self.values[ask.instrument],
        }
    }

    /// What an approved order could come to, with what is open filled in many orders, in whole and in part, at the price asked
    /// and far better ones. Asked right after the approval, so that the limits are those that were in force.
    pub(super) fn worst_fill(&self, approved: &Ask, adds: &Adds) -> Result<(), String> {
        for filling in 0..FILLINGS {
            let mut trades = self.trades.clone();
            let order = if filling % 2 == 0 { [approved.side, approved.side.opposite()] } else { SIDES };
            for side in order {
                self.fill(side, filling, &mut trades);
                let held = Self::holdings(trades.iter());
                self.within_positions(approved, adds, &held, filling == 0 && side == approved.side)?;
                self.within_money(approved, adds, &held)?;
            }
        }
        Ok(())
    }

    fn within_positions(&self, approved: &Ask, adds: &Adds, held: &Holdings, is_side: bool) -> Result<(), String> {
        if !adds.shares || !is_side {
            return Ok(());
        }
        let firm: Num = held.iter().map(|held| held[approved.instrument].shares).sum();
        let reached = signed(approved.side, firm);
        let max = self.order_bound(LimitId::PositionMax, approved.instrument);
        if reached > max {
            return Err(format!("filled, {reached} shares are held; {max} may be"));
        }
        let own = signed(approved.side, held[approved.owner][approved.instrument].shares);
        let max = self.owner_bound(LimitId::StrategyPositionMax, approved.owner);
        if own > max {
            return Err(format!("filled, the strategy holds {own} shares; {max} may be"));
        }
        Ok(())
    }

    /// Not beyond the limit, nor, if it was beyond it before, any further.
    fn within_money(&self, approved: &Ask, adds: &Adds, held: &Holdings) -> Result<(), String> {
        let (gross, net, own_gross, own_net) = self.worth_of(held, approved.owner);
        let (side, owner) = (approved.side.index(), approved.owner);
        let leverage = self.leverage_max().unwrap_or(Num::MAX);
        for (what, value, max, before) in [
            ("gross", gross, self.bound(LimitId::GrossMax), adds.gross),
            ("net", net[side], self.bound(LimitId::NetMax), adds.net),
            // With the profit of the approval: what the fills themselves lose is not held against them.
            ("gross, of what leverage allows,", gross, leverage, adds.gross),
            ("the strategy's gross", own_gross, self.owner_bound(LimitId::StrategyGrossMax, owner), adds.own_gross),
            ("the strategy's net", own_net[side], self.owner_bound(LimitId::StrategyNetMax, owner), adds.own_net),
        ] {
            if value > max.max(before) {
                return Err(format!("filled, {what} is {value}; {max} may be, and {before} was"));
            }
        }
        // To the other side nothing was added: only a higher price makes it more.
        let other = approved.side.opposite();
        let is_repriced = self.values[approved.instrument] != adds.value;
        if !is_repriced && net[other.index()] > self.net(other) {
            return Err(format!("filled, net to the other side is {}; {} was", net[other.index()], self.net(other)));
        }
        Ok(())
    }

    /// Fills open orders of a side. All of them in the first two fillings, else some, in whole or in part; at the price that
    /// they ask, or at one far better.
    fn fill(&self, side: Side, filling: u64, trades: &mut Vec<Trade>) {
        for (place, order) in self.orders.iter().enumerate().filter(|(_, order)| order.side == side) {
            let shares = order.stands_for().0;
            let draw = (filling * 31 + place as u64 + 7).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60;
            let filled = if filling < 2 { shares } else { shares * Num::from(draw % 9).min(8) / 8 };
            let price = match (draw >= 8, side) {
                (false, _) => order.price,
                (true, Side::Buy) => 1,
                (true, Side::Sell) => order.price * 7,
            };
            if filled > 0 {
                trades.push(fill(order.owner, order.instrument, side, filled, price));
            }
        }
    }

    /// Closing is never refused for an amount: neither of the firm's position, nor of the strategy's own.
    pub(super) fn can_close(&self, ask: &Ask, refusal: &Refusal) -> Result<(), String> {
        let owner_closes = self.worst_of_owner(ask) <= 0;
        let is_refused_wrongly = match refusal.reason {
            Reason::Gross | Reason::Leverage => self.only_closes(ask) || owner_closes,
            Reason::Position | Reason::Volume | Reason::Net | Reason::NotLocated => self.only_closes(ask),
            Reason::StrategyGross | Reason::StrategyNet => owner_closes,
            Reason::ReduceOnly | Reason::StrategyPosition => owner_closes && self.only_closes(ask),
            _ => false,
        };
        if is_refused_wrongly {
            return Err(format!("an order that only closes was refused: {refusal:?}"));
        }
        Ok(())
    }
}

fn signed(side: Side, shares: Num) -> Num {
    if side == Side::Buy { shares } else { -shares }
}

fn fill(owner: usize, instrument: usize, side: Side, quantity: Num, price: Num) -> Trade {
    let (at, match_number, order) = (0, u64::MAX, 0);
    Trade {
        at,
        match_number,
        order,
        owner,
        instrument,
        side,
        quantity,
        price,
        broken: false,
        undone: false,
        back: false,
        old_log: false,
        told: false,
    }
}
