//! The flow's messages, applied to the book that it shares with clients. See the module above for the model.

use tern_venues::itch_ouch::wire::itch::{EventCode, Message};
use tern_venues::itch_ouch::wire::ouch::SystemEventCode;

use super::accounts::CancelWhy;
use super::{CLIENT_NUMBERS_FROM, Engine, OPEN_WITHOUT_CROSS_NS, Phase};
use crate::book::{Order, Owner, Side};

impl Engine {
    /// Takes one ITCH message of the flow. Its time is taken over; times of the flow never run backwards in valid flow,
    /// and the feed's do not even then.
    pub fn apply_flow(&mut self, bytes: &[u8]) {
        let Ok(message) = Message::decode(bytes) else {
            // An unknown type concerns receivers, not the book.
            self.publish(bytes);
            return;
        };
        let head = message.header();
        self.advance(head.timestamp.get());
        let locate = head.stock_locate.get();
        match message {
            Message::AddOrder(add) => {
                self.learn(locate, add.stock);
                let order = (add.order_reference_number.get(), add.shares.get(), add.price.get());
                self.flow_add(bytes, locate, Side::of_itch(add.buy_sell_indicator), order);
            }
            Message::AddOrderMpid(add) => {
                self.learn(locate, add.stock);
                let order = (add.order_reference_number.get(), add.shares.get(), add.price.get());
                self.flow_add(bytes, locate, Side::of_itch(add.buy_sell_indicator), order);
            }
            Message::OrderExecuted(execution) => self.flow_execute(
                bytes,
                execution.order_reference_number.get(),
                execution.executed_shares.get(),
                execution.match_number.get(),
                None,
            ),
            Message::OrderExecutedWithPrice(execution) => self.flow_execute(
                bytes,
                execution.order_reference_number.get(),
                execution.executed_shares.get(),
                execution.match_number.get(),
                Some((execution.printable, execution.execution_price.get())),
            ),
            Message::OrderCancel(cancel) => {
                self.flow_reduce(bytes, cancel.order_reference_number.get(), cancel.cancelled_shares.get());
            }
            Message::OrderDelete(delete) => self.flow_reduce(bytes, delete.order_reference_number.get(), u32::MAX),
            Message::OrderReplace(replace) => self.flow_replace(
                bytes,
                replace.original_order_reference_number.get(),
                (replace.new_order_reference_number.get(), replace.shares.get(), replace.price.get()),
            ),
            Message::Trade(trade) => {
                let (shares, price) = (trade.shares.get(), trade.price.get());
                let left = self.flow_against_clients(locate, Side::Sell, price, shares);
                let left = self.flow_against_clients(locate, Side::Buy, price, left);
                if left == shares {
                    self.publish(bytes);
                } else if left > 0 {
                    self.publish_trade(locate, left, price, trade.match_number.get());
                }
            }
            Message::CrossTrade(cross) => {
                self.learn(locate, cross.stock);
                self.flow_cross(bytes, locate, cross);
            }
            Message::NetOrderImbalance(imbalance) => {
                // Nasdaq's late periods begin minutes before a cross; here, with its first imbalance message.
                if let Some(symbol) = self.symbol_mut(locate) {
                    symbol.late = true;
                }
                debug_assert!(imbalance.head.stock_locate.get() == locate);
                self.publish(bytes);
            }
            Message::StockDirectory(directory) => {
                self.learn(locate, directory.stock);
                self.publish(bytes);
            }
            Message::StockTradingAction(action) => {
                self.learn(locate, action.stock);
                self.publish(bytes);
                self.set_halted(locate, action.trading_state != b'T');
            }
            Message::SystemEvent(event) => {
                self.publish(bytes);
                if let Some(event) = event.event() {
                    self.on_system_event(event);
                }
            }
            _ => self.publish(bytes),
        }
    }

    fn flow_add(&mut self, bytes: &[u8], locate: u16, side: Side, (reference, shares, price): (u64, u32, u32)) {
        debug_assert!(reference < CLIENT_NUMBERS_FROM, "the flow's references end below the clients'");
        let left = self.flow_against_clients(locate, side, price, shares);
        let owner = Owner::Flow { told: shares };
        let order = Order { reference, locate, side, price, shares: left, owner, hidden: false };
        if left == shares {
            self.publish(bytes);
        } else if left > 0 {
            self.publish_add(&order);
        }
        self.book.add(order);
    }

    fn flow_execute(
        &mut self,
        bytes: &[u8],
        reference: u64,
        shares: u32,
        match_number: u64,
        with_price: Option<(u8, u32)>,
    ) {
        let Some(&target) = self.book.get(reference) else {
            self.tally.flow_unknown += 1;
            self.publish(bytes);
            return;
        };
        // Part of a cross when not printable: clients took part in that by other means.
        let in_cross = with_price.is_some_and(|(printable, _)| printable == b'N');
        let left = if in_cross { shares } else { self.flow_against_clients_ahead(&target, shares) };
        let hit = left.min(target.shares);
        if hit == shares {
            self.publish(bytes);
        } else if hit > 0 {
            match with_price {
                None => self.publish_execution(&target, hit, match_number),
                Some((printable, price)) => {
                    self.publish_execution_at(&target, hit, match_number, printable, price);
                }
            }
        }
        let told = self.book.tell(reference, shares).unwrap_or(0);
        self.book.reduce(reference, hit);
        self.withdraw_above(reference, told);
    }

    /// Takes off the book what an order has more than the flow believes.
    fn withdraw_above(&mut self, reference: u64, told: u32) {
        let Some(&order) = self.book.get(reference) else { return };
        if order.shares > told {
            let excess = order.shares - told;
            self.publish_reduction(&order, excess);
            self.book.reduce(reference, excess);
        }
    }

    /// X and D: the flow takes shares off its order; what clients took before is not taken twice.
    fn flow_reduce(&mut self, bytes: &[u8], reference: u64, shares: u32) {
        let Some(&order) = self.book.get(reference) else {
            self.tally.flow_unknown += 1;
            self.publish(bytes);
            return;
        };
        let Owner::Flow { told: before } = order.owner else { return };
        let told = self.book.tell(reference, shares).unwrap_or(0);
        if order.shares == before {
            self.publish(bytes);
            self.book.reduce(reference, order.shares - told);
        } else {
            self.withdraw_above(reference, told);
        }
    }

    fn flow_replace(&mut self, bytes: &[u8], old: u64, (reference, shares, price): (u64, u32, u32)) {
        let Some(before) = self.book.remove(old) else {
            self.tally.flow_unknown += 1;
            self.publish(bytes);
            return;
        };
        let crosses = !self.is_halted(before.locate)
            && self
                .book
                .best_client(before.locate, before.side.opposite())
                .is_some_and(|client| before.side.accepts(price, client.price));
        let owner = Owner::Flow { told: shares };
        let mut order = Order { reference, price, shares, owner, ..before };
        if before.shares > 0 && !crosses {
            self.publish(bytes);
        } else {
            if before.shares > 0 {
                self.publish_reduction(&before, before.shares);
            }
            order.shares = self.flow_against_clients(before.locate, before.side, price, shares);
            if order.shares > 0 {
                self.publish_add(&order);
            }
        }
        self.book.add(order);
    }

    fn set_halted(&mut self, locate: u16, halted: bool) {
        let Some(symbol) = self.symbol_mut(locate) else { return };
        let resumed = symbol.halted && !halted;
        symbol.halted = halted;
        if resumed {
            symbol.late = false;
            // A resumption without a cross of its own in the flow: those who waited meet now.
            self.uncross(locate, b'H', None);
        }
    }

    fn on_system_event(&mut self, event: EventCode) {
        match event {
            EventCode::StartOfMessages => self.phase = Phase::Before,
            EventCode::StartOfSystemHours => {
                self.phase = Phase::Early;
                self.tell_system_event(SystemEventCode::StartOfDay);
            }
            EventCode::StartOfMarketHours => {
                self.phase = Phase::Market;
                self.open_all_at_ns = self.now_ns + OPEN_WITHOUT_CROSS_NS;
            }
            EventCode::EndOfMarketHours => self.phase = Phase::Late,
            EventCode::EndOfSystemHours => {
                self.expire_all();
                self.phase = Phase::Closed;
                self.tell_system_event(SystemEventCode::EndOfDay);
            }
            EventCode::EndOfMessages => self.phase = Phase::Closed,
        }
    }

    /// Ends the day where the flow leaves off: orders expire, breaks happen, nothing more is accepted.
    pub fn end_day(&mut self) {
        self.expire_all();
        self.settle_breaks();
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.tell_system_event(SystemEventCode::EndOfDay);
        }
    }

    /// The day is over: every order of every client expires.
    fn expire_all(&mut self) {
        for account in 0..self.accounts.len() as u16 {
            for user_ref in self.open_orders(account) {
                self.cancel_order(account, user_ref, CancelWhy::Timeout);
            }
        }
    }
}
