//! Approved orders, against what was in force.

use super::Audit;
use crate::exposure::{Owner, Span, WORTH_MAX};
use crate::finding::Disagreement;
use crate::limits::{Limits, PRICE_MAX};
use crate::orders::{Chain, Life, Pending, Standing};
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::record::{ACTION_CANCEL, ACTION_NEW, ACTION_REPLACE, OrderRecord};
use tern_abi::segment::{ScopeKind, TradingState};

const SECOND_NS: u64 = 1_000_000_000;
/// What stands for a price in a cross (OUCH 5.0, 1.2).
pub(super) const MARKET: i64 = 0x7FFF_FFFF;

impl Audit {
    pub(super) fn on_order(&mut self, order: &OrderRecord) {
        self.counts.orders += 1;
        if order.cause_seq == 0 || order.cause_seq >= self.seq || self.outputs.contains(&order.cause_seq) {
            self.disagree(Disagreement::Cause, order.order, i128::from(self.seq) - 1, order.cause_seq.into());
        }
        if order.action == ACTION_CANCEL {
            if self.orders.get(order.order).is_none() {
                self.disagree(Disagreement::ReplaceUnknown, order.order, 0, order.order.into());
            }
            return;
        }
        let Some(limits) = self.limits.as_ref().map(|limits| limits.of(order.symbol, order.strategy)) else {
            self.disagree(Disagreement::NoLimits, order.order, 0, 0);
            return;
        };
        if order.limits_epoch != limits.epoch {
            self.disagree(Disagreement::LimitsEpoch, order.order, limits.epoch.into(), order.limits_epoch.into());
        }
        self.instruments.insert(order.instrument, order.symbol);
        self.check_losses(&limits, order);
        let is_reused = order.order <= self.last_order;
        self.check_moment(order);
        if let Some(bound) = limits.beyond_band(order.price) {
            self.disagree(Disagreement::PriceBand, order.order, bound.into(), order.price.into());
        }
        self.check_rate(&limits, order.order);
        self.sent_last = Some(*order);
        match order.action {
            ACTION_NEW => self.on_new(&limits, order, is_reused),
            ACTION_REPLACE => self.on_replace(&limits, order),
            other => self.disagree(Disagreement::RecordUnreadable, order.order, ACTION_NEW.into(), other.into()),
        }
    }

    pub(super) fn on_new(&mut self, limits: &Limits, order: &OrderRecord, is_reused: bool) {
        self.check_size(limits, order, &[Standing::default()]);
        if is_reused && self.orders.get(order.order).is_some() {
            // What the id stood for stays: the venue ignores the second.
            return;
        }
        let is_buy = order.side == SIDE_BUY;
        let (owner, cross) = ((order.account, order.strategy, order.symbol), cross_of(order.time_in_force));
        let wanted = self.wanted(limits, owner, (order.side, order.quantity, order.price), cross == b'N');
        let outcome = self.orders.exposures.with(&wanted);
        self.orders.insert(Chain {
            id: order.order,
            symbol: order.symbol,
            is_buy,
            strategy: (order.account, order.strategy),
            cross,
            price: order.price,
            echoed: order.price,
            total: order.quantity.into(),
            executed: 0,
            leaves: order.quantity.into(),
            life: Life::New,
            pending: None,
            unsent_on: None,
        });
        self.count_at(order, outcome.price);
        self.check_position(limits, owner, order.order, is_buy);
        self.check_money(limits, order, &outcome);
        let open = self.orders.open();
        if open > limits.open_orders_max.into() {
            self.disagree(Disagreement::OpenOrders, order.order, limits.open_orders_max.into(), open);
        }
    }

    pub(super) fn on_replace(&mut self, limits: &Limits, order: &OrderRecord) {
        let is_buy = order.side == SIDE_BUY;
        let Some(chain) = self.orders.get(order.replaces) else {
            self.disagree(Disagreement::ReplaceUnknown, order.order, 0, order.replaces.into());
            return;
        };
        // Over is no disagreement: it may have ended in the very bytes of which the strategy saw the first message.
        let (before, now, same) =
            (chain.at_risk(), chain.standing(), chain.symbol == order.symbol && chain.is_buy == is_buy);
        let standing = [self.before.get(&chain.id).copied().unwrap_or(now), now];
        if !same {
            self.disagree(Disagreement::ReplaceUnlike, order.order, 0, order.replaces.into());
            return;
        }
        let wanted = (chain.life != Life::Over).then(|| self.wanted_again(limits, order, chain));
        let outcome = wanted.map(|wanted| self.orders.exposures.with(&wanted));
        self.check_size(limits, order, &standing);
        let after = self.orders.change(order.replaces, |chain| {
            chain.pending = Some(Pending { order: order.order, price: order.price, total: order.quantity.into() });
            chain.at_risk()
        });
        // One that adds no share is a way out, whatever the position is.
        if after.is_some_and(|after| after > before) {
            self.check_position(limits, (order.account, order.strategy, order.symbol), order.order, is_buy);
        }
        if let Some(outcome) = outcome {
            self.count_at(order, outcome.price);
            self.check_money(limits, order, &outcome);
        }
    }

    fn count_at(&mut self, order: &OrderRecord, price: Span) {
        self.orders.exposures.value(order.symbol, price);
        self.orders.exposures.see(order.symbol, i128::from(order.price).clamp(0, WORTH_MAX));
    }

    /// Whether an order may be sent at all now.
    pub(super) fn check_moment(&mut self, order: &OrderRecord) {
        if self.killed || self.shutting_down {
            self.disagree(Disagreement::AfterKill, order.order, 0, 1);
        } else if self.halted {
            self.disagree(Disagreement::AfterHalt, order.order, 0, 1);
        }
        if self.unreconciled {
            self.disagree(Disagreement::Unreconciled, order.order, 0, 1);
        }
        let of_order = [
            (ScopeKind::Firm, 0),
            (ScopeKind::Venue, u64::from(order.venue)),
            (ScopeKind::Strategy, u64::from(order.strategy)),
            (ScopeKind::Symbol, u64::from_le_bytes(order.symbol)),
        ];
        let stops = |state: &TradingState| matches!(state, TradingState::CancelOnly | TradingState::Halted);
        if of_order.iter().any(|scope| self.scopes.get(scope).is_some_and(stops)) {
            self.disagree(Disagreement::ScopeStopped, order.order, 0, 1);
        }
        if !self.streams.is_empty() && self.streams.values().all(|trusted| !trusted) {
            self.disagree(Disagreement::UntrustedStream, order.order, 1, 0);
        }
        if self.untrusted.contains(&order.symbol) {
            self.disagree(Disagreement::UntrustedBook, order.order, 1, 0);
        }
        if order.order <= self.last_order {
            self.disagree(Disagreement::IdReused, order.order, i128::from(self.last_order) + 1, order.order.into());
        }
        self.last_order = self.last_order.max(order.order);
        if order.side != SIDE_BUY && order.side != SIDE_SELL {
            self.disagree(Disagreement::OrderSide, order.order, SIDE_BUY.into(), order.side.into());
        }
        let is_market = order.price == MARKET && cross_of(order.time_in_force) != b'N';
        if !(1..=PRICE_MAX).contains(&order.price) && !is_market {
            self.disagree(Disagreement::OrderPrice, order.order, PRICE_MAX.into(), order.price.into());
        }
    }

    /// Of a replace, `standing` is what the order may have stood for when it was approved: a limit set below that does not
    /// keep it from being made smaller. It is wrong only if it is wrong for all of them.
    pub(super) fn check_size(&mut self, limits: &Limits, order: &OrderRecord, standing: &[Standing]) {
        let shares = |of: &Standing| i128::from(order.quantity) - of.executed;
        let beyond = |of: &Standing| (of.shares.max(limits.order_quantity_max.into()), shares(of));
        let beyond_value =
            |of: &Standing| (of.value.max(limits.order_notional_max.into()), i128::from(order.price) * shares(of));
        let worst = |pairs: Vec<(i128, i128)>| pairs.into_iter().min_by_key(|(max, found)| found - max);
        if let Some((max, found)) = worst(standing.iter().map(beyond).collect())
            && (found > max || order.quantity == 0)
        {
            self.disagree(Disagreement::OrderQuantity, order.order, max, found);
        }
        // What a market order is worth depends on the collar, which is not recomputed.
        if let Some((max, found)) = worst(standing.iter().map(beyond_value).collect())
            && order.price != MARKET
            && found > max
        {
            self.disagree(Disagreement::OrderNotional, order.order, max, found);
        }
    }

    /// No second has more orders than rate and burst together, however the bucket is made; one more at its edge.
    pub(super) fn check_rate(&mut self, limits: &Limits, order: u32) {
        self.sent_ns.push_back(self.tai_ns);
        while self.sent_ns.front().is_some_and(|sent| self.tai_ns.saturating_sub(*sent) >= SECOND_NS) {
            self.sent_ns.pop_front();
        }
        let max = i128::from(limits.orders_per_second_max) + i128::from(limits.order_burst_max) + 1;
        if self.sent_ns.len() as i128 > max {
            self.disagree(Disagreement::Rate, order, max, self.sent_ns.len() as i128);
        }
    }

    /// With what was just counted: an order, or a trade that was told (then `order` is 0).
    pub(super) fn check_position(&mut self, limits: &Limits, owner: Owner, order: u32, is_buy: bool) {
        let worst = self.orders.exposures.stake(owner.2).worst(is_buy);
        if worst > limits.position_max.into() {
            self.disagree(Disagreement::Position, order, limits.position_max.into(), worst);
        }
        let own = self.orders.exposures.own(owner).worst(is_buy);
        if own > limits.strategy_position_max.into() {
            self.disagree(Disagreement::StrategyPosition, order, limits.strategy_position_max.into(), own);
        }
    }
}

/// The cross type (OUCH 5.0, 2.1) of a time in force as records have it.
const fn cross_of(time_in_force: u8) -> u8 {
    match time_in_force {
        b'2' => b'O',
        b'7' => b'C',
        _ => b'N',
    }
}
