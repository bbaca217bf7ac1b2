//! ITCH messages of the engine's own making.

use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::itch::{self, ItchMessage};
use zerocopy::IntoBytes;
use zerocopy::big_endian::{U32, U64};

use super::Engine;
use crate::book::Order;

impl Engine {
    /// Publishes a message as it is.
    pub(super) fn publish(&mut self, message: &[u8]) {
        // ITCH messages have at most 50 bytes; a file's length field bounds any other.
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        self.out.feed.extend_from_slice(&length.to_be_bytes());
        self.out.feed.extend_from_slice(&message[..usize::from(length)]);
    }

    fn head<M: ItchMessage>(&self, locate: u16) -> itch::Header {
        M::header(locate, 0, self.now_ns)
    }

    pub(super) fn publish_add(&mut self, order: &Order) {
        let message = itch::AddOrder {
            head: self.head::<itch::AddOrder>(order.locate),
            order_reference_number: U64::new(order.reference),
            buy_sell_indicator: order.side.byte(),
            shares: U32::new(order.shares),
            stock: self.stock(order.locate),
            price: U32::new(order.price),
        };
        self.publish(message.as_bytes());
    }

    /// Publishes that `shares` of an order were traded at its price: E when it is displayed, P when not.
    pub(super) fn publish_execution(&mut self, order: &Order, shares: u32, match_number: u64) {
        if order.hidden {
            self.publish_trade(order.locate, shares, order.price, match_number);
            return;
        }
        let message = itch::OrderExecuted {
            head: self.head::<itch::OrderExecuted>(order.locate),
            order_reference_number: U64::new(order.reference),
            executed_shares: U32::new(shares),
            match_number: U64::new(match_number),
        };
        self.publish(message.as_bytes());
    }

    pub(super) fn publish_execution_at(
        &mut self,
        order: &Order,
        shares: u32,
        match_number: u64,
        printable: u8,
        execution_price: u32,
    ) {
        let message = itch::OrderExecutedWithPrice {
            head: self.head::<itch::OrderExecutedWithPrice>(order.locate),
            order_reference_number: U64::new(order.reference),
            executed_shares: U32::new(shares),
            match_number: U64::new(match_number),
            printable,
            execution_price: U32::new(execution_price),
        };
        self.publish(message.as_bytes());
    }

    pub(super) fn publish_trade(&mut self, locate: u16, shares: u32, price: u32, match_number: u64) {
        let message = itch::Trade {
            head: self.head::<itch::Trade>(locate),
            order_reference_number: U64::new(0),
            buy_sell_indicator: b'B',
            shares: U32::new(shares),
            stock: self.stock(locate),
            price: U32::new(price),
            match_number: U64::new(match_number),
        };
        self.publish(message.as_bytes());
    }

    /// Publishes that an order loses `shares`: X while some are left, else D.
    pub(super) fn publish_reduction(&mut self, order: &Order, shares: u32) {
        if order.hidden {
            return;
        }
        if shares < order.shares {
            let message = itch::OrderCancel {
                head: self.head::<itch::OrderCancel>(order.locate),
                order_reference_number: U64::new(order.reference),
                cancelled_shares: U32::new(shares),
            };
            self.publish(message.as_bytes());
        } else {
            let message = itch::OrderDelete {
                head: self.head::<itch::OrderDelete>(order.locate),
                order_reference_number: U64::new(order.reference),
            };
            self.publish(message.as_bytes());
        }
    }

    /// Publishes that `new` takes the place of a displayed order: same side and symbol, new reference, last in its queue.
    pub(super) fn publish_replace(&mut self, old_reference: u64, new: &Order) {
        let message = itch::OrderReplace {
            head: self.head::<itch::OrderReplace>(new.locate),
            original_order_reference_number: U64::new(old_reference),
            new_order_reference_number: U64::new(new.reference),
            shares: U32::new(new.shares),
            price: U32::new(new.price),
        };
        self.publish(message.as_bytes());
    }

    pub(super) fn publish_cross(&mut self, locate: u16, shares: u64, price: u32, match_number: u64, cross_type: u8) {
        let message = itch::CrossTrade {
            head: self.head::<itch::CrossTrade>(locate),
            shares: U64::new(shares),
            stock: self.stock(locate),
            cross_price: U32::new(price),
            match_number: U64::new(match_number),
            cross_type,
        };
        self.publish(message.as_bytes());
    }

    pub(super) fn publish_break(&mut self, locate: u16, match_number: u64) {
        let message =
            itch::BrokenTrade { head: self.head::<itch::BrokenTrade>(locate), match_number: U64::new(match_number) };
        self.publish(message.as_bytes());
    }

    /// Learns a symbol from a message that names it.
    pub(super) fn learn(&mut self, locate: u16, stock: Alpha<8>) {
        let index = usize::from(locate);
        if self.symbols.len() <= index {
            self.symbols.resize_with(index + 1, || None);
        }
        if self.symbols[index].is_none() {
            self.symbols[index] = Some(super::Symbol::new(stock));
            self.locates.insert(stock.0, locate);
        }
    }
}
