//! What a message of the venue does to an order (semantics of OUCH 5.0, sections 2 and 3).

use super::{Execution, Executions, Life, Order, OrderState, Orders, Slot};
use crate::session::{VenueEvent, VenueEventKind};
use crate::units::{InstrumentId, OrderId, Price, Quantity, Side, StrategyId, TaiNs, TraderId};
use tern_abi::counter_enum;

counter_enum! {
    /// How an event of the venue fitted what we knew.
    pub enum OrderNote {
        Applied = "order_applied": "Events that fitted.",
        Adopted = "order_adopted": "Orders that the venue knows and we did not (a restart): taken in.",
        Revived = "order_revived": "Orders that we took for lost and the venue has: open again.",
        Duplicate = "order_duplicate": "Events that say what was known already; ignored.",
        NotOurs = "order_not_ours": "Events of orders that are unknown here and cannot be taken in.",
        UnknownExecution = "order_unknown_execution": "Executions of unknown orders: positions are in doubt, trading stops.",
        UnknownBreak = "order_unknown_break": "Broken trades whose execution is unknown: positions are in doubt, trading stops.",
        OverAccepted = "order_over_accepted": "Acceptances of more shares, or at a worse price, than were asked for: counted in full, trading stops.",
        Overfill = "order_overfill": "Executions of more shares than were open: counted in full, trading stops.",
        Overcancel = "order_overcancel": "Cancels of more shares than were open; the order is over.",
        Unexpected = "order_unexpected": "Events that do not fit the order's state; the venue's word is taken.",
        Full = "order_table_full": "Orders that the venue knows and for which the table had no slot: trading stops.",
    }
}

/// Who an order first heard of from the venue belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Instrument.
    pub instrument: InstrumentId,
    /// Side.
    pub side: Side,
    /// Index of the strategy on this host.
    pub owner: u8,
    /// Strategy.
    pub strategy: StrategyId,
    /// Trader.
    pub trader: TraderId,
    /// Whether to cancel it at once.
    pub cancel: bool,
}

/// What an event did.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// The order it did it to.
    pub slot: Option<Slot>,
    /// How it fitted.
    pub note: OrderNote,
    /// Shares that traded: a new execution, to be added to the position.
    pub fill: Option<Execution>,
    /// A trade that no longer stands, to be taken out of the position.
    pub broken: Option<Execution>,
    /// An order that turned out to be the one in `slot` under a former id: it is over.
    pub merged: Option<Slot>,
}

impl Applied {
    const fn new(slot: Option<Slot>, note: OrderNote) -> Self {
        Self { slot, note, fill: None, broken: None, merged: None }
    }
}

impl Orders {
    /// Applies what the venue said of an order. `identity` is who it belongs to should it be unknown here.
    pub(crate) fn apply(
        &mut self,
        event: &VenueEvent,
        executions: &mut Executions,
        identity: Option<Identity>,
    ) -> Applied {
        use VenueEventKind as Kind;
        if event.kind == Kind::Broken {
            return self.break_trade(event, executions);
        }
        if event.kind == Kind::Replaced {
            return self.replaced(event, identity);
        }
        let Some(slot) = self.slot(event.order) else {
            return match event.kind {
                Kind::Accepted => self.adopt(event, identity),
                Kind::Executed if executions.contains(event.match_number, event.order) => {
                    Applied::new(None, OrderNote::Duplicate)
                }
                Kind::Executed => Applied::new(None, OrderNote::UnknownExecution),
                _ => Applied::new(None, OrderNote::NotOurs),
            };
        };
        let note = match event.kind {
            Kind::Accepted => self.accepted(slot, event),
            Kind::Executed => return self.executed(slot, event, executions),
            Kind::Canceled => self.canceled(slot, event.quantity),
            Kind::Rejected | Kind::ReplaceRejected => self.rejected(slot, event.order),
            Kind::CancelPending => self.on_open(slot, |order| {
                order.cancel_sent = order.id;
                order.cancel_waits = true;
            }),
            Kind::CancelRejected => self.on_open(slot, Order::cancel_rejected),
            Kind::Modified => self.modified(slot, event.quantity),
            Kind::Restated => self.on_open(slot, |_| ()),
            Kind::PriorityUpdated => self.on_open(slot, |order| {
                order.price = event.price;
                order.venue_order = event.venue_order;
            }),
            _ => OrderNote::Unexpected,
        };
        Applied::new(Some(slot), note)
    }

    /// Does `change` to an open order.
    fn on_open(&mut self, slot: Slot, change: impl FnOnce(&mut Order)) -> OrderNote {
        match self.get_mut(slot) {
            Some(order) if !matches!(order.life, Life::Dead(_)) => {
                change(order);
                OrderNote::Applied
            }
            _ => OrderNote::Unexpected,
        }
    }

    /// 3.2. The accepted total and price may differ from what was sent.
    fn accepted(&mut self, slot: Slot, event: &VenueEvent) -> OrderNote {
        let Some(order) = self.get_mut(slot) else { return OrderNote::NotOurs };
        let asked = order.asked_to_enter();
        if core::mem::take(&mut order.old_log) {
            // Told again from its start: what it lost since then is told again too.
            order.life = Life::New;
            order.executed = 0;
            order.cancel_waits = false;
        }
        let note = match order.life {
            Life::New if asked.is_some_and(|asked| asked.is_less_than(event)) => OrderNote::OverAccepted,
            Life::New => OrderNote::Applied,
            Life::Dead(OrderState::Lost | OrderState::Dropped) => OrderNote::Revived,
            Life::Live | Life::Dead(_) => return OrderNote::Duplicate,
        };
        self.revive(slot);
        if let Some(order) = self.get_mut(slot) {
            order.life = Life::Live;
            order.doubtful = false;
            order.leaves = event.quantity.saturating_sub(order.executed);
            order.venue_order = event.venue_order;
            order.price = event.price;
            // An order that came back from the dead was given up here: nobody minds it. One that is more than was asked for
            // nobody wants.
            order.cancel_wanted |= note != OrderNote::Applied;
        }
        if !event.live {
            self.bury(slot, OrderState::Canceled);
        }
        note
    }

    /// Takes in an order that only the venue knows.
    fn adopt(&mut self, event: &VenueEvent, identity: Option<Identity>) -> Applied {
        let Some(identity) = identity else { return Applied::new(None, OrderNote::NotOurs) };
        let mut order = Order::new(event.order, identity.instrument, identity.side, event.price, event.quantity);
        order.strategy = identity.strategy;
        order.trader = identity.trader;
        order.owner = identity.owner;
        order.venue_order = event.venue_order;
        order.life = Life::Live;
        order.adopted = true;
        order.cancel_wanted = identity.cancel;
        let Some(slot) = self.insert(order) else { return Applied::new(None, OrderNote::Full) };
        if !event.live {
            self.bury(slot, OrderState::Canceled);
        }
        Applied::new(Some(slot), OrderNote::Adopted)
    }

    /// 3.3. `quantity` is what is open now; executions on the way were said before.
    fn replaced(&mut self, event: &VenueEvent, identity: Option<Identity>) -> Applied {
        let Some(slot) = self.slot(event.previous) else {
            return match self.slot(event.order) {
                Some(slot) => Applied::new(Some(slot), OrderNote::Duplicate),
                None => self.adopt(event, identity),
            };
        };
        if let Some(known) = self.slot(event.order).filter(|known| *known != slot) {
            return self.merge(slot, known, event);
        }
        let Some(order) = self.get(slot) else { return Applied::new(None, OrderNote::NotOurs) };
        let asked = order.asked_to_replace(event.order);
        let note = match order.life {
            Life::Dead(_) => OrderNote::Revived,
            _ if asked.is_some_and(|asked| asked.is_less_than(event)) => OrderNote::OverAccepted,
            _ if order.pending == event.order || order.adopted => OrderNote::Applied,
            _ => OrderNote::Unexpected,
        };
        self.revive(slot);
        self.set_id(slot, event.order);
        if let Some(order) = self.get_mut(slot) {
            order.life = Life::Live;
            order.doubtful = false;
            order.old_log = false;
            order.leaves = event.quantity;
            order.pending_total = 0;
            order.executed_before = order.executed;
            order.venue_order = event.venue_order;
            order.price = event.price;
            order.cancel_wanted |= matches!(note, OrderNote::Revived | OrderNote::OverAccepted);
            if order.cancel_sent == event.previous {
                // The replace overtook that cancel: the venue ignores it (2.3), so it does not count as sent.
                order.cancel_sent = OrderId(0);
            }
        }
        if !event.live {
            self.bury(slot, OrderState::Canceled);
        }
        Applied::new(Some(slot), note)
    }

    /// A log that begins anew told an order under its first id, where it is known under a later one: it is that order.
    fn merge(&mut self, former: Slot, known: Slot, event: &VenueEvent) -> Applied {
        let executed = self.get(former).map_or(0, |order| order.executed);
        self.bury(former, OrderState::Canceled);
        if let Some(order) = self.get_mut(known)
            && core::mem::take(&mut order.old_log)
        {
            order.leaves = event.quantity;
            order.executed = executed;
            order.price = event.price;
            order.venue_order = event.venue_order;
            if !event.live {
                self.bury(known, OrderState::Canceled);
            }
        }
        Applied { merged: Some(former), ..Applied::new(Some(known), OrderNote::Duplicate) }
    }

    /// An execution that is in the position already. If the order was told again from its start, its shares are gone again.
    fn executed_again(&mut self, slot: Slot, event: &VenueEvent, executions: &mut Executions) {
        let is_told_again = executions.is_told_again(event.match_number, event.order);
        let Some(order) = self.get_mut(slot).filter(|order| is_told_again && !order.old_log) else { return };
        if matches!(order.life, Life::Dead(_)) {
            return;
        }
        order.leaves = order.leaves.saturating_sub(event.quantity);
        order.executed = order.executed.saturating_add(event.quantity);
        if order.leaves == 0 {
            self.bury(slot, OrderState::Filled);
        }
    }

    /// 3.6. What traded, traded: the position follows even where the order does not fit.
    fn executed(&mut self, slot: Slot, event: &VenueEvent, executions: &mut Executions) -> Applied {
        if executions.contains(event.match_number, event.order) {
            self.executed_again(slot, event, executions);
            return Applied::new(Some(slot), OrderNote::Duplicate);
        }
        let Some(order) = self.get_mut(slot) else { return Applied::new(None, OrderNote::UnknownExecution) };
        let overfill = event.quantity > order.leaves;
        order.leaves = order.leaves.saturating_sub(event.quantity);
        order.executed = order.executed.saturating_add(event.quantity);
        let execution = Execution {
            match_number: event.match_number,
            price: event.price,
            order: event.order,
            quantity: event.quantity,
            instrument: order.instrument,
            owner: order.owner,
            side: order.side,
            liquidity: event.reason,
            broken: false,
            old_log: false,
        };
        executions.insert(execution);
        if order.leaves == 0 {
            // A replace on its way finds no live order and is silently ignored (2.2): it is over as well.
            self.bury(slot, OrderState::Filled);
        }
        let note = if overfill { OrderNote::Overfill } else { OrderNote::Applied };
        Applied { fill: Some(execution), ..Applied::new(Some(slot), note) }
    }

    /// 3.4. Shares are what was taken off; the order may live on.
    fn canceled(&mut self, slot: Slot, quantity: Quantity) -> OrderNote {
        let Some(order) = self.get_mut(slot) else { return OrderNote::NotOurs };
        if matches!(order.life, Life::Dead(_)) {
            return OrderNote::Duplicate;
        }
        let note = if quantity > order.leaves { OrderNote::Overcancel } else { OrderNote::Applied };
        order.leaves = order.leaves.saturating_sub(quantity);
        order.heed_reduction();
        if order.leaves == 0 {
            self.bury(slot, OrderState::Canceled);
        }
        note
    }

    /// 3.8. `refused` names a new order, or a replacement: then the order stays as it is (2.2, case 3).
    fn rejected(&mut self, slot: Slot, refused: OrderId) -> OrderNote {
        let Some(order) = self.get_mut(slot) else { return OrderNote::NotOurs };
        if order.pending == refused {
            order.doubtful = false;
            self.replace_undone(slot);
            return OrderNote::Applied;
        }
        match order.life {
            Life::Dead(_) => OrderNote::Duplicate,
            Life::New => {
                self.bury(slot, OrderState::Rejected);
                OrderNote::Applied
            }
            Life::Live => OrderNote::Unexpected,
        }
    }

    /// 3.12. `quantity` is what is open now.
    fn modified(&mut self, slot: Slot, quantity: Quantity) -> OrderNote {
        let note = self.on_open(slot, |order| order.leaves = quantity);
        if note == OrderNote::Applied && quantity == 0 {
            self.bury(slot, OrderState::Canceled);
        }
        note
    }

    /// 3.7. The shares are not open again: the order's quantity was used.
    fn break_trade(&self, event: &VenueEvent, executions: &mut Executions) -> Applied {
        let slot = self.slot(event.order);
        let Some(order) = executions.order_of(event.match_number, event.order) else {
            return Applied::new(slot, OrderNote::UnknownBreak);
        };
        match executions.break_trade(event.match_number, order) {
            Some(execution) => Applied { broken: Some(execution), ..Applied::new(slot, OrderNote::Applied) },
            None => Applied::new(slot, OrderNote::Duplicate),
        }
    }

    /// A replace was sent.
    pub(crate) fn replace_sent(&mut self, slot: Slot, id: OrderId, price: Price, total: Quantity) {
        self.set_pending(slot, id);
        if let Some(order) = self.get_mut(slot) {
            order.pending_price = price;
            order.pending_total = total;
        }
    }

    /// The connection broke: what was on its way may or may not have arrived.
    pub(crate) fn connection_lost(&mut self) {
        let mut at = self.first_open();
        while let Some(slot) = at {
            at = self.next_open(slot);
            if let Some(order) = self.get_mut(slot) {
                order.doubtful = matches!(order.life, Life::New) || order.pending.0 != 0;
                order.cancel_sent = OrderId(0);
                order.reduce_to = 0;
                order.answer_due = TaiNs(0);
                order.forget_refused_cancels();
            }
        }
    }

    /// The venue's log is another one from here on. What it does not know of may have arrived under the old one, and goes
    /// on counting; what it does know it may tell again from the start.
    pub(crate) fn log_changed(&mut self) {
        let mut at = self.first_open();
        while let Some(slot) = at {
            at = self.next_open(slot);
            if let Some(order) = self.get_mut(slot) {
                order.doubtful = false;
                order.old_log = true;
            }
        }
    }

    /// A replace never left, or never arrived: the order is as it was.
    pub(crate) fn replace_undone(&mut self, slot: Slot) {
        if let Some(order) = self.get_mut(slot) {
            order.pending_total = 0;
            if order.cancel_sent == order.pending {
                order.cancel_sent = OrderId(0);
            }
        }
        self.set_pending(slot, OrderId(0));
    }

    /// The venue's log of the day was replayed: what was in doubt and is not in it never arrived. Whether the order
    /// changed.
    pub(crate) fn resolve_doubt(&mut self, slot: Slot) -> bool {
        let Some(order) = self.get_mut(slot) else { return false };
        if !core::mem::take(&mut order.doubtful) {
            return false;
        }
        if matches!(order.life, Life::New) {
            self.bury(slot, OrderState::Lost);
        } else {
            self.replace_undone(slot);
        }
        true
    }
}
