//! What the venue may say of orders: mostly what follows from what it was told, now and then late, again, or absurd.

use super::firm::Num;
use super::known::{Known, Life, Pending};
use super::steps::Maker;
use crate::session::{VenueEvent, VenueEventKind};
use crate::units::{OrderId, Price, Side, StrategyId, Symbol};

impl Maker<'_> {
    pub(super) fn venue(&mut self) -> VenueEvent {
        if self.random.permille(12) {
            return self.venue_at_large();
        }
        let event = self.of_an_order();
        // Late and said before, by its number in the log.
        let seq = self.firm.last_seq;
        let session_seq = if self.random.permille(20) { self.random.below(seq + 1) } else { seq + 1 };
        VenueEvent { session_seq: session_seq.max(1), ..event }
    }

    fn venue_at_large(&mut self) -> VenueEvent {
        use VenueEventKind as Kind;
        match self.random.below(20) {
            0 => VenueEvent { live: self.random.permille(500), ..VenueEvent::new(Kind::LoggedIn) },
            1..4 => VenueEvent::new(Kind::CaughtUp),
            4..8 => {
                let order = OrderId(self.firm.next_id.saturating_add(self.random.below(4) as u32).min(u32::MAX - 9));
                VenueEvent { order, ..VenueEvent::new(Kind::NextOrderId) }
            }
            8 => VenueEvent::new(Kind::SystemEvent),
            // An order of an earlier run.
            _ => {
                let order = OrderId(self.firm.next_id.saturating_add(self.random.below(4) as u32));
                let kind = self.random.pick(&[Kind::Accepted, Kind::Accepted, Kind::Replaced]);
                VenueEvent {
                    order,
                    previous: order,
                    price: Price(10_0000 + self.random.within(-300, 300)),
                    quantity: self.random.within(0, 500) as u32,
                    symbol: self.random.pick(&[Symbol::new("S0"), Symbol::new("S1"), Symbol::new("ELSE"), None]),
                    side: self.random.pick(&[Some(Side::Buy), Some(Side::Sell), None]),
                    strategy: self.random.pick(&[Some(StrategyId(1)), Some(StrategyId(2)), Some(StrategyId(7)), None]),
                    live: self.random.permille(800),
                    session_seq: self.firm.last_seq + 1,
                    ..VenueEvent::new(kind)
                }
            }
        }
    }

    fn of_an_order(&mut self) -> VenueEvent {
        use VenueEventKind as Kind;
        let open = self.firm.open();
        let any = !self.firm.orders.is_empty();
        if !any || self.random.permille(5) {
            let order = OrderId(self.random.below(40) as u32 + 1);
            let kind = self.random.pick(&[Kind::Executed, Kind::Canceled, Kind::Rejected, Kind::Broken]);
            return VenueEvent { order, previous: order, quantity: 1, match_number: 1, ..VenueEvent::new(kind) };
        }
        if !self.firm.trades.is_empty() && self.random.permille(25) {
            let trade = self.random.pick(&self.firm.trades);
            let order = OrderId(trade.order);
            return VenueEvent {
                order,
                previous: order,
                match_number: trade.match_number,
                ..VenueEvent::new(Kind::Broken)
            };
        }
        let order = if open.is_empty() || self.random.permille(60) {
            &self.firm.orders[self.random.below(self.firm.orders.len() as u64) as usize]
        } else {
            &self.firm.orders[self.random.pick(&open)]
        };
        if let Some(pending) = order.pending.filter(|_| self.random.permille(450)) {
            return self.of_a_replace(order, pending);
        }
        let is_new = order.life == Life::New;
        let kind = match self.random.below(100) {
            0..60 if is_new => Kind::Accepted,
            60..66 if is_new => Kind::Rejected,
            0..60 => Kind::Executed,
            60..86 => Kind::Canceled,
            _ => self.random.pick(&[
                Kind::Accepted,
                Kind::Executed,
                Kind::CancelRejected,
                Kind::CancelPending,
                Kind::Modified,
                Kind::Restated,
                Kind::PriorityUpdated,
                Kind::Rejected,
            ]),
        };
        self.sane(kind, order)
    }

    fn of_a_replace(&mut self, order: &Known, pending: Pending) -> VenueEvent {
        use VenueEventKind as Kind;
        let kind =
            self.random.pick(&[Kind::Replaced, Kind::Replaced, Kind::Replaced, Kind::Rejected, Kind::ReplaceRejected]);
        let left = (pending.total - order.executed).max(0);
        VenueEvent {
            order: OrderId(pending.id),
            previous: OrderId(if kind == Kind::Replaced { order.id } else { pending.id }),
            price: Price(pending.price as i64),
            quantity: self.about(left),
            live: self.random.permille(970),
            ..VenueEvent::new(kind)
        }
    }

    /// A number of shares that is mostly the right one.
    fn about(&mut self, shares: Num) -> u32 {
        let shares = shares.clamp(0, u32::MAX.into()) as u32;
        match self.random.below(200) {
            0..190 => shares,
            190..199 => self.random.below(u64::from(shares) + 1) as u32,
            _ => self.random.pick(&[shares.saturating_add(1), 0, u32::MAX]),
        }
    }

    fn sane(&mut self, kind: VenueEventKind, order: &Known) -> VenueEvent {
        use VenueEventKind as Kind;
        *self.matches += 1;
        let is_again = self.random.permille(10);
        let part = if self.random.permille(500) { order.leaves } else { (order.leaves / 2).max(1) };
        let quantity = match kind {
            Kind::Accepted => self.about(order.leaves + order.executed),
            _ => self.about(part),
        };
        let better = if kind == Kind::Executed { self.random.within(0, 100) } else { 0 };
        let price = order.price as i64 - if order.side == Side::Buy { better } else { -better };
        VenueEvent {
            order: OrderId(order.id),
            previous: OrderId(order.id),
            price: Price(if self.random.permille(2) { self.random.pick(&[0, 1, i64::from(u32::MAX)]) } else { price }),
            quantity,
            match_number: *self.matches - u64::from(is_again),
            live: kind == Kind::Accepted && self.random.permille(980),
            ..VenueEvent::new(kind)
        }
    }
}
