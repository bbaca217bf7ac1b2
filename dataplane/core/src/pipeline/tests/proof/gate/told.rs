//! What the venue tells the firm of its orders.

use super::firm::{Fault, Firm, INSTRUMENTS, Num, OWNERS, Trade};
use super::known::{Known, Life};
use super::verdict::{MARKET, strategy_of, symbol_key};
use crate::pipeline::UnknownOrders;
use crate::risk::HaltReason;
use crate::session::{VenueEvent, VenueEventKind};
use crate::units::Side;
use std::vec::Vec;

/// Pause after the first refused cancel; it doubles up to a second, and the twelfth is the last.
const PAUSE_NS: u64 = 10_000_000;
const PAUSE_NS_MAX: u64 = 1_000_000_000;
const REFUSED_MAX: u32 = 12;

const U32_MAX: Num = u32::MAX as Num;

impl Firm {
    /// The venue says something.
    pub(super) fn hear(&mut self, event: &VenueEvent) {
        use VenueEventKind as Kind;
        if event.session_seq != 0 {
            if event.session_seq <= self.last_seq {
                return;
            }
            self.last_seq = event.session_seq;
        }
        match event.kind {
            Kind::LoggedIn if !event.live => self.log_changed(),
            Kind::NextOrderId => self.next_id = self.next_id.max(event.order.0),
            Kind::CaughtUp => self.caught_up(),
            Kind::SystemEvent | Kind::LoggedIn | Kind::LoginRejected | Kind::EndOfSession => {}
            _ => {
                self.take_id(event.order.0);
                self.take_id(event.previous.0);
                self.hear_of_order(event);
            }
        }
        self.note_prices();
    }

    fn log_changed(&mut self) {
        if std::mem::take(&mut self.last_seq) != 0 {
            self.stop(HaltReason::LogChanged);
            for order in self.orders.iter_mut().filter(|order| order.is_open()) {
                (order.doubtful, order.old_log) = (false, true);
            }
            let known: Vec<usize> = self.known_trades().collect();
            known.into_iter().for_each(|at| self.trades[at].old_log = true);
        }
    }

    /// The log was replayed: what it does not know of never arrived.
    fn caught_up(&mut self) {
        self.is_ready = true;
        self.caught_up = true;
        self.learn_messages();
        for at in self.open() {
            if std::mem::take(&mut self.orders[at].doubtful) {
                match self.orders[at].life {
                    Life::New => self.bury(at, true),
                    _ => self.replace_undone(at),
                }
            }
        }
        self.watch_losses();
    }

    fn hear_of_order(&mut self, event: &VenueEvent) {
        use VenueEventKind as Kind;
        let id = event.order.0;
        match (event.kind, self.find(id)) {
            (Kind::Broken, _) => self.broken(event),
            (Kind::Replaced, _) => self.replaced(event),
            (Kind::Accepted, None) => self.adopt(event),
            (Kind::Executed, at) => self.executed(at, event),
            (_, None) if event.live => self.stop(HaltReason::UnknownOrder),
            (_, None) => {}
            (Kind::Accepted, Some(at)) => self.accepted(at, event),
            (Kind::Canceled, Some(at)) => {
                let left = (self.orders[at].leaves - Num::from(event.quantity)).max(0);
                self.left(at, left);
            }
            (Kind::Modified, Some(at)) => self.left(at, event.quantity.into()),
            (Kind::Rejected | Kind::ReplaceRejected, Some(at)) => self.rejected(at, id),
            (kind, Some(at)) if self.orders[at].is_open() => {
                let now = self.now;
                let order = &mut self.orders[at];
                match kind {
                    Kind::CancelPending => order.cancel_sent = Some(order.id),
                    Kind::CancelRejected => {
                        order.cancel_sent = None;
                        let pause = PAUSE_NS * 2_u64.pow(order.cancels_refused.min(16));
                        order.cancels_refused += 1;
                        let is_last = order.cancels_refused >= REFUSED_MAX;
                        order.cancel_due = Some(if is_last { u64::MAX } else { now + pause.min(PAUSE_NS_MAX) });
                    }
                    Kind::PriorityUpdated => {
                        order.price = event.price.0.into();
                        order.venue_order = reference_of(event);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// An open order has `left` shares; without one it is over.
    fn left(&mut self, at: usize, left: Num) {
        if self.orders[at].is_open() {
            let most = self.most(self.orders[at].instrument);
            self.orders[at].leaves = left;
            if left == 0 {
                self.bury(at, false);
            }
            self.regrew(at, most);
        }
    }

    fn revive(&mut self, at: usize) {
        if !self.orders[at].is_open() {
            self.clock += 1;
            self.orders[at].since = self.clock;
            self.orders[at].cancel_wanted = true;
        }
        self.orders[at].life = Life::Live;
        self.orders[at].doubtful = false;
    }

    fn accepted(&mut self, at: usize, event: &VenueEvent) {
        let is_told_again = self.orders[at].old_log;
        if !is_told_again && !matches!(self.orders[at].life, Life::New | Life::Dead(true)) {
            return;
        }
        let is_new = !is_told_again && self.orders[at].life == Life::New;
        let (price, asked) = (self.orders[at].price, self.orders[at].leaves + self.orders[at].executed);
        let is_more = is_new && self.is_more(at, event, price, asked);
        let most = self.most(self.orders[at].instrument);
        if is_told_again {
            (self.orders[at].old_log, self.orders[at].executed) = (false, 0);
        }
        self.revive(at);
        let order = &mut self.orders[at];
        order.leaves = (Num::from(event.quantity) - order.executed).max(0);
        order.price = event.price.0.into();
        order.venue_order = reference_of(event);
        order.cancel_wanted |= is_more;
        if is_more {
            self.stop(HaltReason::OverAccepted);
        }
        if !event.live {
            self.bury(at, false);
        }
        self.regrew(at, most);
    }

    /// Whether the venue took more shares than were asked for, or a worse price.
    fn is_more(&self, at: usize, event: &VenueEvent, price: Num, most: Num) -> bool {
        let worse = Num::from(event.price.0) - price;
        let worse = if self.orders[at].side == Side::Buy { worse } else { -worse };
        (worse > 0 && price != MARKET) || Num::from(event.quantity) > most.max(0)
    }

    fn replaced(&mut self, event: &VenueEvent) {
        let Some(at) = self.find(event.previous.0) else {
            if self.find(event.order.0).is_none() {
                self.adopt(event);
            }
            return;
        };
        if let Some(known) = self.find(event.order.0).filter(|known| *known != at) {
            return self.merge(at, known, event);
        }
        let order = &self.orders[at];
        let asked = order.pending.filter(|pending| pending.id == event.order.0 && !order.old_log && order.is_open());
        let is_more = asked.is_some_and(|asked| self.is_more(at, event, asked.price, asked.total - order.executed));
        let most = self.most(self.orders[at].instrument);
        self.revive(at);
        let order = &mut self.orders[at];
        order.cancel_wanted |= is_more;
        order.old_log = false;
        order.pending = None;
        order.id = event.order.0;
        order.leaves = event.quantity.into();
        order.price = event.price.0.into();
        order.venue_order = reference_of(event);
        // The venue did the replace first, so a cancel of the old id finds nothing.
        order.cancel_sent = order.cancel_sent.filter(|sent| *sent != event.previous.0);
        if is_more {
            self.stop(HaltReason::OverAccepted);
        }
        if !event.live {
            self.bury(at, false);
        }
        self.regrew(at, most);
    }

    /// Told under its first id by a log that begins anew, and known under a later one.
    fn merge(&mut self, former: usize, known: usize, event: &VenueEvent) {
        let executed = self.orders[former].executed;
        self.bury(former, false);
        let most = self.most(self.orders[known].instrument);
        if self.orders[known].old_log {
            let order = &mut self.orders[known];
            (order.old_log, order.leaves, order.executed) = (false, event.quantity.into(), executed);
            order.price = event.price.0.into();
            if !event.live {
                self.bury(known, false);
            }
        }
        self.regrew(known, most);
    }

    /// An order of an earlier run.
    fn adopt(&mut self, event: &VenueEvent) {
        let instrument = event.symbol.and_then(|symbol| {
            (0..INSTRUMENTS).find(|instrument| symbol_key(*instrument) == u64::from_le_bytes(symbol.0))
        });
        let (Some(instrument), Some(side)) = (instrument, event.side) else {
            if event.live {
                self.stop(HaltReason::UnknownOrder);
            }
            return;
        };
        let house = OWNERS - 1;
        let id = event.strategy.map_or(0, |strategy| strategy.0.into());
        let owner = (0..OWNERS).find(|owner| strategy_of(*owner) == id).unwrap_or(house);
        let (price, leaves) = (event.price.0.into(), event.quantity.into());
        let order = Known {
            life: Life::Live,
            venue_order: reference_of(event),
            cancel_wanted: self.unknown_orders == UnknownOrders::Cancel,
            ..Known::new(event.order.0, owner, instrument, side, price, leaves)
        };
        let most = self.most(instrument);
        if !self.insert(order) {
            self.stop(HaltReason::OrderTableFull);
            return;
        }
        let last = self.orders.len() - 1;
        if !event.live {
            self.bury(last, false);
        }
        self.regrew(last, most);
    }

    fn rejected(&mut self, at: usize, id: u32) {
        if self.orders[at].pending.is_some_and(|pending| pending.id == id) {
            self.orders[at].doubtful = false;
            self.replace_undone(at);
        } else if self.orders[at].life == Life::New {
            self.bury(at, false);
        }
    }

    fn executed(&mut self, at: Option<usize>, event: &VenueEvent) {
        let (match_number, id) = (event.match_number, event.order.0);
        let is_same = |at: usize| (self.trades[at].match_number, self.trades[at].order) == (match_number, id);
        let known = self.known_trades().find(|at| is_same(*at));
        if let Some(known) = known {
            let is_told_again = std::mem::take(&mut self.trades[known].old_log);
            if let Some(at) = at.filter(|at| is_told_again && self.orders[*at].is_open() && !self.orders[*at].old_log) {
                self.orders[at].executed = (self.orders[at].executed + Num::from(event.quantity)).min(U32_MAX);
                self.left(at, (self.orders[at].leaves - Num::from(event.quantity)).max(0));
            }
            return;
        }
        let Some(at) = at else { return self.stop(HaltReason::UnknownExecution) };
        let quantity = Num::from(event.quantity);
        let order = &mut self.orders[at];
        let is_overfill = quantity > order.leaves;
        order.executed = (order.executed + quantity).min(U32_MAX);
        let (owner, instrument, side) = (order.owner, order.instrument, order.side);
        let left = (order.leaves - quantity).max(0);
        self.left(at, left);
        let price = event.price.0.into();
        self.trades.push(Trade {
            at: self.now,
            match_number,
            order: id,
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
        });
        self.holdings_changed(instrument, price);
        self.count_execution(owner);
        if is_overfill {
            self.stop(HaltReason::Overfill);
        }
    }

    /// A trade is named by its number; by the order too where both sides of it were ours.
    fn broken(&mut self, event: &VenueEvent) {
        let of_match = |at: &usize| self.trades[*at].match_number == event.match_number;
        let of_trade: Vec<usize> = self.known_trades().filter(of_match).collect();
        let named = of_trade.iter().copied().find(|at| self.trades[*at].order == event.order.0);
        let only = if of_trade.len() == 1 { of_trade.first().copied() } else { None };
        let Some(at) = named.or(only) else { return self.stop(HaltReason::UnknownExecution) };
        if self.trades[at].broken {
            return;
        }
        let is_whole = self.trades.iter().filter(|trade| !trade.back && !trade.told).count() <= self.executions_max;
        self.trades[at].broken = true;
        self.trades[at].undone = is_whole;
        let trade = self.trades[at];
        if !is_whole {
            self.trades.push(Trade { side: trade.side.opposite(), back: true, ..trade });
        }
        self.holdings_changed(trade.instrument, trade.price);
    }

    pub(super) fn holdings_changed(&mut self, instrument: usize, price: Num) {
        self.held = Self::holdings(self.trades.iter());
        self.first_value(instrument, price);
        let price = self.mark_of(instrument).unwrap_or(price);
        self.look(instrument, Some(price));
    }

    /// What the gate is told in place of an event: another thing if that is the planted fault.
    pub(super) fn misheard(&self, event: &VenueEvent) -> VenueEvent {
        let by = u32::from(self.fault == Some(Fault::Misheard(event.kind)));
        VenueEvent { quantity: event.quantity.saturating_add(by), ..*event }
    }
}

/// The venue's reference of the order that an event of the fake session names.
fn reference_of(event: &VenueEvent) -> u64 {
    u64::from(event.order.0) + 1_000_000
}
