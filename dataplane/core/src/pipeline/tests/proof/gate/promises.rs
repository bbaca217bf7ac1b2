//! What the gate promises, asked of the model at each step: that a limit in force when orders were approved is kept
//! however they are filled, and that nothing keeps a position from being closed.

use super::firm::{Firm, Num, Trade};
use super::verdict::Ask;
use crate::risk::{LimitId, Reason, Refusal};
use crate::units::Side;
use std::format;
use std::string::String;
use std::vec::Vec;

/// What an intent would add, before it was decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adds {
    /// Shares, or a new order: the limit of positions is asked.
    shares: bool,
    /// Value, and not only to close: the limits of the firm's money are asked.
    value: bool,
}

impl Firm {
    pub(super) fn adds(&self, ask: &Ask) -> Adds {
        Adds { shares: self.adds_shares(ask), value: self.more_value(ask) > 0 && !self.only_closes(ask) }
    }

    /// What an approved order could come to, with everything that is open filled in the worst order: first its side alone,
    /// then the other side too. Asked right after the approval, so that the limits are those that were in force.
    pub(super) fn worst_fill(&self, approved: &Ask, adds: &Adds) -> Result<(), String> {
        let side = approved.side;
        let mut trades = self.trades.clone();
        let mut rounding = 0;
        for filled in [side, side.opposite()] {
            let is_closing = self.fill_all(filled, &mut trades, &mut rounding);
            let held = Self::holdings(trades.iter());
            if filled == side {
                let firm: Num = held.iter().map(|held| held[approved.instrument].shares).sum();
                let (reached, max) = (signed(side, firm), self.order_bound(LimitId::PositionMax, approved.instrument));
                if adds.shares && reached > max {
                    return Err(format!("filled, {reached} shares are held; {max} may be"));
                }
                let own = signed(side, held[approved.owner][approved.instrument].shares);
                let max = self.bound(LimitId::StrategyPositionMax);
                if adds.shares && own > max {
                    return Err(format!("filled, the strategy holds {own} shares; {max} may be"));
                }
                // At cost, closing takes off what the position cost, not what the order is worth: then net may move by
                // more than was counted, and is not promised.
                let net = signed(side, held.iter().flatten().map(|held| held.cost).sum());
                let max = self.bound(LimitId::NetMax);
                if adds.value && !is_closing && net > max + rounding {
                    return Err(format!("filled, net is {net}; {max} may be"));
                }
            }
            let (gross, max) = (Self::gross_of(&held), self.bound(LimitId::GrossMax));
            if adds.value && gross > max + rounding {
                return Err(format!("filled, gross is {gross}; {max} may be"));
            }
            // With the profit of the approval: what the fills themselves lose is not held against them.
            if let Some(max) = self.leverage_max().filter(|max| adds.value && gross > max + rounding) {
                return Err(format!("filled, gross is {gross}; leverage allows {max}"));
            }
        }
        Ok(())
    }

    /// Fills all open orders of a side at the price that makes up what they stand for, rounded up. Whether any of them
    /// closes something.
    fn fill_all(&self, side: Side, trades: &mut Vec<Trade>, rounding: &mut Num) -> bool {
        let mut is_closing = false;
        for order in self.orders.iter().filter(|order| order.side == side) {
            let (shares, value) = order.stands_for();
            if shares > 0 {
                trades.push(fill(order.owner, order.instrument, side, shares, (value + shares - 1) / shares));
                *rounding += shares;
                is_closing |= signed(side, self.held[order.owner][order.instrument].shares) < 0;
            }
        }
        is_closing
    }

    /// Closing is never refused for an amount of the firm.
    pub(super) fn can_close(&self, ask: &Ask, refusal: &Refusal) -> Result<(), String> {
        let is_of_owner = matches!(refusal.reason, Reason::ReduceOnly | Reason::StrategyPosition);
        let is_of_firm = matches!(
            refusal.reason,
            Reason::Position | Reason::Volume | Reason::Gross | Reason::Net | Reason::Leverage | Reason::NotLocated
        );
        let is_amount = is_of_firm || (is_of_owner && self.owner_only_closes(ask));
        if is_amount && self.only_closes(ask) {
            return Err(format!("an order that only closes was refused: {refusal:?}"));
        }
        Ok(())
    }

    /// Not only the firm's position, the strategy's own too becomes no larger.
    fn owner_only_closes(&self, ask: &Ask) -> bool {
        self.worst_of_owner(ask) <= 0
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
    }
}
