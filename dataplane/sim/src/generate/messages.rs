//! The generator's messages, written into its buffer.

use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::itch::{self, ItchMessage};
use zerocopy::IntoBytes;
use zerocopy::big_endian::{U32, U64};

use super::Generator;
use crate::book::Side;

/// The name of a symbol: four letters, unique, in an order that shows no pattern.
pub(super) fn name(symbol: u16) -> Alpha<8> {
    // 7919 shares no factor with 26^4, so no two symbols meet.
    let mut number = (u32::from(symbol) * 7919 + 131_071) % 456_976;
    let mut letters = [b'A'; 4];
    for letter in letters.iter_mut().rev() {
        *letter += (number % 26) as u8;
        number /= 26;
    }
    Alpha::new(&letters)
}

impl Generator {
    #[inline]
    fn put(&mut self, message: &impl IntoBytesSized) -> usize {
        let bytes = message.bytes();
        self.buf[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    #[inline]
    fn head<M: ItchMessage>(&self, symbol: u16) -> itch::Header {
        M::header(symbol + 1, 0, self.clock.now_ns)
    }

    pub(super) fn system_event(&mut self, event_code: u8) -> usize {
        let head = itch::SystemEvent::header(0, 0, self.clock.now_ns);
        self.put(&itch::SystemEvent { head, event_code })
    }

    pub(super) fn directory(&mut self, symbol: u16) -> usize {
        self.clock.tick_evenly();
        let message = itch::StockDirectory {
            head: self.head::<itch::StockDirectory>(symbol),
            stock: name(symbol),
            market_category: b'Q',
            financial_status_indicator: b'N',
            round_lot_size: U32::new(100),
            round_lots_only: b'N',
            issue_classification: b'C',
            issue_sub_type: Alpha::new(b"Z"),
            authenticity: b'P',
            short_sale_threshold_indicator: b'N',
            ipo_flag: b'N',
            luld_reference_price_tier: b'1',
            etp_flag: b'N',
            etp_leverage_factor: U32::new(0),
            inverse_indicator: b'N',
        };
        self.put(&message)
    }

    pub(super) fn trading_action(&mut self, symbol: u16, trading_state: u8, reason: &[u8; 4]) -> usize {
        let message = itch::StockTradingAction {
            head: self.head::<itch::StockTradingAction>(symbol),
            stock: name(symbol),
            trading_state,
            reserved: b' ',
            reason: Alpha::new(reason),
        };
        self.put(&message)
    }

    pub(super) fn reg_sho(&mut self, symbol: u16, reg_sho_action: u8) -> usize {
        let head = self.head::<itch::RegShoRestriction>(symbol);
        self.put(&itch::RegShoRestriction { head, stock: name(symbol), reg_sho_action })
    }

    pub(super) fn participant(&mut self, symbol: u16) -> usize {
        let message = itch::MarketParticipantPosition {
            head: self.head::<itch::MarketParticipantPosition>(symbol),
            mpid: Alpha::new(b"TRNM"),
            stock: name(symbol),
            primary_market_maker: b'Y',
            market_maker_mode: b'N',
            market_participant_state: b'A',
        };
        self.put(&message)
    }

    pub(super) fn retail(&mut self, symbol: u16) -> usize {
        let head = self.head::<itch::RetailInterest>(symbol);
        let interest_flag = [b'B', b'S', b'A', b'N'][self.rng.below(4) as usize];
        self.put(&itch::RetailInterest { head, stock: name(symbol), interest_flag })
    }

    pub(super) fn imbalance(&mut self, symbol: u16, cross_type: u8) -> usize {
        let price = self.market.middle(symbol);
        let message = itch::NetOrderImbalance {
            head: self.head::<itch::NetOrderImbalance>(symbol),
            paired_shares: U64::new(u64::from(self.rng.below(1_000)) * 100),
            imbalance_shares: U64::new(u64::from(self.rng.below(100)) * 100),
            imbalance_direction: [b'B', b'S'][self.rng.below(2) as usize],
            stock: name(symbol),
            far_price: U32::new(price),
            near_price: U32::new(price),
            current_reference_price: U32::new(price),
            cross_type,
            price_variation_indicator: b'L',
        };
        self.put(&message)
    }

    pub(super) fn cross(&mut self, symbol: u16, cross_type: u8) -> usize {
        self.next_match += 1;
        let message = itch::CrossTrade {
            head: self.head::<itch::CrossTrade>(symbol),
            shares: U64::new(u64::from(self.rng.below(500)) * 100),
            stock: name(symbol),
            cross_price: U32::new(self.market.middle(symbol)),
            match_number: U64::new(self.next_match),
            cross_type,
        };
        self.put(&message)
    }

    /// Shares of a new order: mostly a round lot, often odd, sometimes many.
    #[inline]
    fn size(&mut self) -> u32 {
        let bits = self.rng.bits();
        match bits & 15 {
            0..=7 => 100,
            8..=10 => 100 * (1 + (bits >> 32) as u32 % 9),
            11..=14 => 1 + (bits >> 32) as u32 % 99,
            _ => 1_000 + 100 * ((bits >> 32) as u32 % 40),
        }
    }

    pub(super) fn add_either(&mut self, symbol: u16, attributed: bool) -> usize {
        let side = if self.rng.chance(32_768) { Side::Buy } else { Side::Sell };
        self.add(symbol, side, attributed)
    }

    #[inline]
    pub(super) fn add(&mut self, symbol: u16, side: Side, attributed: bool) -> usize {
        let side = if self.market.has_room(symbol, side) { side } else { side.opposite() };
        let tick = self.market.place(symbol, side, &mut self.rng);
        let shares = self.size();
        self.next_reference += 1;
        let reference = self.next_reference;
        self.market.add(reference, symbol, side, tick, shares);
        let price = self.market.price(symbol, i32::from(tick));
        if attributed {
            let message = itch::AddOrderMpid {
                head: self.head::<itch::AddOrderMpid>(symbol),
                order_reference_number: U64::new(reference),
                buy_sell_indicator: side.byte(),
                shares: U32::new(shares),
                stock: name(symbol),
                price: U32::new(price),
                attribution: Alpha::new(b"TRNM"),
            };
            return self.put(&message);
        }
        let message = itch::AddOrder {
            head: self.head::<itch::AddOrder>(symbol),
            order_reference_number: U64::new(reference),
            buy_sell_indicator: side.byte(),
            shares: U32::new(shares),
            stock: name(symbol),
            price: U32::new(price),
        };
        self.put(&message)
    }

    #[inline]
    pub(super) fn delete(&mut self, at: u32) -> usize {
        let slot = self.market.slot(at);
        self.market.remove(at);
        let message = itch::OrderDelete {
            head: self.head::<itch::OrderDelete>(slot.symbol),
            order_reference_number: U64::new(slot.reference),
        };
        self.put(&message)
    }

    #[inline]
    pub(super) fn replace(&mut self, at: u32) -> usize {
        let slot = self.market.slot(at);
        let tick = self.market.place(slot.symbol, slot.side, &mut self.rng);
        let shares = self.size();
        self.next_reference += 1;
        let reference = self.next_reference;
        self.market.replace(at, reference, tick, shares);
        let message = itch::OrderReplace {
            head: self.head::<itch::OrderReplace>(slot.symbol),
            original_order_reference_number: U64::new(slot.reference),
            new_order_reference_number: U64::new(reference),
            shares: U32::new(shares),
            price: U32::new(self.market.price(slot.symbol, i32::from(tick))),
        };
        self.put(&message)
    }

    pub(super) fn execute(&mut self, at: u32, with_price: bool) -> usize {
        let slot = self.market.slot(at);
        let shares =
            if slot.shares == 1 || self.takes_whole() { slot.shares } else { 1 + self.rng.below(slot.shares - 1) };
        self.market.reduce(at, shares);
        self.next_match += 1;
        if with_price {
            let message = itch::OrderExecutedWithPrice {
                head: self.head::<itch::OrderExecutedWithPrice>(slot.symbol),
                order_reference_number: U64::new(slot.reference),
                executed_shares: U32::new(shares),
                match_number: U64::new(self.next_match),
                printable: b'Y',
                execution_price: U32::new(self.market.middle(slot.symbol)),
            };
            return self.put(&message);
        }
        let message = itch::OrderExecuted {
            head: self.head::<itch::OrderExecuted>(slot.symbol),
            order_reference_number: U64::new(slot.reference),
            executed_shares: U32::new(shares),
            match_number: U64::new(self.next_match),
        };
        self.put(&message)
    }

    pub(super) fn cancel(&mut self, at: u32) -> usize {
        let slot = self.market.slot(at);
        let shares = 1 + self.rng.below(slot.shares - 1);
        self.market.reduce(at, shares);
        let message = itch::OrderCancel {
            head: self.head::<itch::OrderCancel>(slot.symbol),
            order_reference_number: U64::new(slot.reference),
            cancelled_shares: U32::new(shares),
        };
        self.put(&message)
    }

    pub(super) fn trade(&mut self, symbol: u16) -> usize {
        self.next_match += 1;
        let message = itch::Trade {
            head: self.head::<itch::Trade>(symbol),
            order_reference_number: U64::new(0),
            buy_sell_indicator: b'B',
            shares: U32::new(self.size()),
            stock: name(symbol),
            price: U32::new(self.market.middle(symbol)),
            match_number: U64::new(self.next_match),
        };
        self.put(&message)
    }

    pub(super) fn break_trade(&mut self) -> usize {
        self.broken_match = self.next_match;
        let head = itch::BrokenTrade::header(0, 0, self.clock.now_ns);
        self.put(&itch::BrokenTrade { head, match_number: U64::new(self.broken_match) })
    }
}

/// Wire structs as bytes.
trait IntoBytesSized {
    fn bytes(&self) -> &[u8];
}

impl<M: ItchMessage + IntoBytes> IntoBytesSized for M {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}
