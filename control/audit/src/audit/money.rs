//! Money: what approved and refused orders make of gross, net and leverage, and losses that ought to have stopped trading.
//!
//! Two things the gate knows and no record has: the reference of its collar, and what a share is worth. Of the first only the
//! least is held against a limit: an order's own price. What the gate may have refused for, is anything up to the highest
//! reference from which the collar allows the price. Of the second nothing is assumed: a loss counts here once no price could
//! undo it. So nothing is called wrong that may be right; what passes is bounded by the collar, and by what is not closed.

use super::Audit;
use super::approved::MARKET;
use crate::exposure::{GROSS, Outcome, Owner, Span, Strategy, WORTH_MAX, Wanted, net};
use crate::finding::Disagreement;
use crate::limits::Limits;
use crate::orders::Chain;
use std::collections::BTreeSet;
use tern_abi::event::SIDE_BUY;
use tern_abi::record::{ACTION_NEW, OrderRecord, RefusalRecord};

/// Losses that certainly are beyond a limit, and were when a position changed last: the gate looks whenever one does.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// The best profit of this run that no price can have made worse.
    best: i128,
    firm: bool,
    strategies: BTreeSet<Strategy>,
    /// A position changed and nobody looked since.
    pub(super) due: bool,
}

impl Losses {
    /// An operator lets trading go on: what was lost by then has been seen.
    pub(super) fn firm_seen(&mut self) {
        self.firm = false;
    }

    /// An operator lets a strategy go on.
    pub(super) fn strategy_seen(&mut self, id: u64) {
        self.strategies.retain(|strategy| u64::from(strategy.1) != id);
    }
}

/// The highest reference of which a price is within the collar.
fn reference_max(price: i128, collar_bps: i64) -> i128 {
    let below = 10_000 - i128::from(collar_bps);
    if below <= 0 { WORTH_MAX } else { (price * 10_000 / below + 1).min(WORTH_MAX) }
}

/// What a share counts at in a cross, at most: the upper collar.
fn collar_max(price: i128, collar_bps: i64) -> i128 {
    let reference = reference_max(price, collar_bps);
    (reference + reference * i128::from(collar_bps) / 10_000 + 1).min(WORTH_MAX)
}

impl Audit {
    /// A new order, as exposure sees it. For a cross it is not said at which price it counts, if it is none of its own.
    pub(super) fn wanted(&self, limits: &Limits, owner: Owner, order: (u8, u32, i64), is_plain: bool) -> Wanted {
        let (side, quantity, price) = order;
        let own = i128::from(price).clamp(0, WORTH_MAX);
        let fresh = match price {
            MARKET => Span::new(0, WORTH_MAX),
            _ if is_plain => Span::new(own, reference_max(own, limits.price_collar_bps).max(own)),
            _ => Span::new(own, collar_max(own, limits.price_collar_bps).max(own)),
        };
        let (dearer, is_sure) = (Span::default(), self.told_now <= 1);
        Wanted { owner, is_buy: side == SIDE_BUY, more: quantity.into(), fresh, dearer, is_sure }
    }

    /// A replace: of `chain` as it is before.
    pub(super) fn wanted_again(&self, limits: &Limits, order: &OrderRecord, chain: &Chain) -> Wanted {
        let total = i128::from(order.quantity);
        let more = (total - chain.executed).max(chain.leaves) - chain.at_risk();
        let price = i128::from(order.price).clamp(0, WORTH_MAX);
        let (least, most) = (i128::from(chain.price.min(chain.echoed)), i128::from(chain.price.max(chain.echoed)));
        let fresh = Span::new(price, reference_max(price, limits.price_collar_bps).max(most.min(WORTH_MAX)));
        let dearer = Span::new(if price > most { price } else { 0 }, if price > least { price } else { 0 });
        let (is_buy, is_sure) = (chain.is_buy, self.told_now <= 1);
        Wanted { owner: chain.owner(), is_buy, more, fresh, dearer, is_sure }
    }

    /// Whether the gate can have seen less open than is now: a trade was broken by one of several answers.
    fn is_blurred(&self) -> bool {
        self.broken_now && self.told_now > 1
    }

    /// What is closed only, or made smaller, is asked about no sum.
    pub(super) fn check_money(&mut self, limits: &Limits, order: &OrderRecord, outcome: &Outcome) {
        if self.is_blurred() {
            return;
        }
        let net = net(order.side == SIDE_BUY);
        let Outcome { adds, own_adds, is_dearer, .. } = *outcome;
        let mut beyond = |is_asked: bool, what: Disagreement, max: i128, found: Span| {
            if is_asked && found.low > max {
                self.disagree(what, order.order, max, found.low);
            }
        };
        let is_asked = adds && own_adds || is_dearer;
        beyond(is_asked, Disagreement::Gross, limits.gross_max.into(), outcome.firm[GROSS]);
        beyond(adds || is_dearer, Disagreement::Net, limits.net_max.into(), outcome.firm[net]);
        let own = own_adds || is_dearer;
        beyond(own, Disagreement::StrategyGross, limits.strategy_gross_max.into(), outcome.own[GROSS]);
        beyond(own, Disagreement::StrategyNet, limits.strategy_net_max.into(), outcome.own[net]);
        let profit = self.ledgers.firm().at_most().filter(|_| self.told_now <= 1);
        if let Some(max) = profit.and_then(|profit| limits.leverage_max(profit)).filter(|_| is_asked)
            && outcome.firm[GROSS].low > max
        {
            self.disagree(Disagreement::Leverage, order.order, max, outcome.firm[GROSS].low);
        }
    }

    /// An order although a loss ought to have stopped trading, or its strategy.
    pub(super) fn check_losses(&mut self, limits: &Limits, order: &OrderRecord) {
        if self.killed || self.halted || self.shutting_down {
            return;
        }
        let profit = self.ledgers.firm().at_most().filter(|_| self.losses.firm);
        if let Some(profit) = profit {
            let (loss_max, fall_max) = (i128::from(limits.daily_loss_max), i128::from(limits.drawdown_max));
            let fall = self.losses.best - profit;
            if profit < -loss_max {
                self.disagree(Disagreement::DailyLoss, order.order, -loss_max, profit);
            } else if fall > fall_max {
                self.disagree(Disagreement::Drawdown, order.order, fall_max, fall);
            }
        }
        let strategy = (order.account, order.strategy);
        let own = self.ledgers.strategies().get(&strategy).filter(|_| self.losses.strategies.contains(&strategy));
        let (own, max) = (own.and_then(|own| own.at_most()), -i128::from(limits.strategy_daily_loss_max));
        if let Some(profit) = own.filter(|profit| *profit < max) {
            self.disagree(Disagreement::StrategyLoss, order.order, max, profit);
        }
    }

    /// Between two inputs, after a position changed: whether a loss is beyond a limit now.
    pub(super) fn look_at_losses(&mut self) {
        if !std::mem::take(&mut self.losses.due) {
            return;
        }
        let firm = *self.ledgers.firm();
        self.losses.best = self.losses.best.max(firm.at_least().unwrap_or(0));
        // While the log is told, or nothing trades anyway, the gate stops nothing more.
        let Some(in_force) = &self.limits else { return };
        if self.doubtful.is_some() || self.unreconciled || self.halted || self.killed {
            return;
        }
        let all = in_force.of([b' '; 8], 0);
        let best = self.losses.best;
        self.losses.firm = firm.at_most().is_some_and(|profit| {
            profit < -i128::from(all.daily_loss_max) || best - profit > i128::from(all.drawdown_max)
        });
        for (strategy, profit) in self.ledgers.strategies() {
            let max = -i128::from(in_force.of([b' '; 8], strategy.1).strategy_daily_loss_max);
            if profit.at_most().is_some_and(|profit| profit < max) {
                self.losses.strategies.insert(*strategy);
            } else {
                self.losses.strategies.remove(strategy);
            }
        }
    }

    /// What the gate says that it compared, when it refuses: its own sums, which no other record has.
    pub(super) fn on_refusal(&mut self, refusal: &RefusalRecord) {
        let Some(reason) = self.reasons.get(refusal.reason as usize).cloned() else { return };
        if matches!(reason.as_str(), "record_failed" | "encode_failed") {
            // It was approved, and counts at a price that no order record has.
            self.orders.exposures.lose_sight();
            return;
        }
        let Some(symbol) = self.instruments.get(&refusal.instrument).copied() else { return };
        let Some(limits) = self.limits.as_ref().map(|limits| limits.of(symbol, refusal.strategy)) else { return };
        let owner = (refusal.account, refusal.strategy, symbol);
        if reason == "price_band" {
            let bound = limits.beyond_band(refusal.price);
            if bound != Some(refusal.limit) {
                let expected = bound.unwrap_or_default().into();
                self.disagree_of(Disagreement::RefusalLimit, owner, expected, refusal.limit.into());
            }
            return;
        }
        let asked = (refusal.side, refusal.quantity, refusal.price);
        let outcome = self.orders.exposures.with(&self.wanted(&limits, owner, asked, false));
        let exactly = |shares| Span::new(shares, shares);
        let net = net(refusal.side == SIDE_BUY);
        let (max, sum) = match reason.as_str() {
            "position" => (limits.position_max, exactly(outcome.worst.0)),
            "strategy_position" => (limits.strategy_position_max, exactly(outcome.worst.1)),
            "gross" => (limits.gross_max, outcome.firm[GROSS]),
            "net" => (limits.net_max, outcome.firm[net]),
            "strategy_gross" => (limits.strategy_gross_max, outcome.own[GROSS]),
            "strategy_net" => (limits.strategy_net_max, outcome.own[net]),
            _ => return,
        };
        let (limit, value) = (i128::from(refusal.limit), i128::from(refusal.value));
        if limit != i128::from(max) {
            self.disagree_of(Disagreement::RefusalLimit, owner, max.into(), limit);
        }
        // What a replace adds, the record does not say; and of several answers the gate may have seen the first alone.
        if refusal.action != ACTION_NEW || self.told_now > 1 {
            return;
        }
        if value < sum.low || value > sum.high {
            let nearest = if value < sum.low { sum.low } else { sum.high };
            self.disagree_of(Disagreement::RefusalValue, owner, nearest, value);
        }
    }
}
