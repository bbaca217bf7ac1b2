//! The engine's semantics, one by one, on what it publishes and tells.

mod crosses;
mod orders;
mod with_flow;

use tern_venues::itch_ouch::wire::itch::{self, ItchMessage, Message};
use tern_venues::itch_ouch::wire::ouch::{self, Appendage, AppendageWriter, Inbound, OptionTag, OuchMessage, Outbound};
use tern_venues::itch_ouch::wire::{Alpha, Stamp48};
use zerocopy::IntoBytes;
use zerocopy::big_endian::{U32, U64};

use super::{Engine, Rules};
use crate::book::Side;

/// An engine with symbol AAAA (locate 1), two accounts, and shorthands for both sides of it.
pub(super) struct Floor {
    pub(super) engine: Engine,
    now_ns: u64,
}

/// An order as the tests write it.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) user_ref: u32,
    pub(super) side: u8,
    pub(super) quantity: u32,
    pub(super) price: u64,
    pub(super) time_in_force: u8,
    pub(super) display: u8,
    pub(super) cross: u8,
    pub(super) post_only: bool,
    pub(super) min_quantity: u32,
}

pub(super) fn entry(user_ref: u32, side: u8, quantity: u32, price: u64) -> Entry {
    Entry {
        user_ref,
        side,
        quantity,
        price,
        time_in_force: b'0',
        display: b'Y',
        cross: b'N',
        post_only: false,
        min_quantity: 0,
    }
}

impl Floor {
    pub(super) fn with(rules: Rules) -> Self {
        let engine = Engine::new(rules, ["ONE".to_owned(), "TWO".to_owned()]);
        let mut floor = Self { engine, now_ns: 1_000 };
        floor.trading(b'T');
        floor.feed();
        floor
    }

    pub(super) fn new() -> Self {
        Self::with(Rules::default())
    }

    fn head<M: ItchMessage>(&mut self) -> itch::Header {
        self.now_ns += 1;
        itch::Header { timestamp: Stamp48::new(self.now_ns), ..M::header(1, 0, 0) }
    }

    pub(super) fn wait(&mut self, ns: u64) {
        self.now_ns += ns;
        self.engine.advance(self.now_ns);
    }

    pub(super) fn flow(&mut self, message: &impl ItchMessage) {
        self.engine.apply_flow(message.as_bytes());
    }

    pub(super) fn trading(&mut self, trading_state: u8) {
        let head = self.head::<itch::StockTradingAction>();
        let stock = Alpha::new(b"AAAA");
        self.flow(&itch::StockTradingAction { head, stock, trading_state, reserved: b' ', reason: Alpha::BLANK });
    }

    pub(super) fn event(&mut self, event_code: u8) {
        let head = self.head::<itch::SystemEvent>();
        self.flow(&itch::SystemEvent { head, event_code });
    }

    pub(super) fn add(&mut self, reference: u64, side: Side, shares: u32, price: u32) {
        let head = self.head::<itch::AddOrder>();
        self.flow(&itch::AddOrder {
            head,
            order_reference_number: U64::new(reference),
            buy_sell_indicator: side.byte(),
            shares: U32::new(shares),
            stock: Alpha::new(b"AAAA"),
            price: U32::new(price),
        });
    }

    pub(super) fn execute(&mut self, reference: u64, shares: u32, match_number: u64) {
        let head = self.head::<itch::OrderExecuted>();
        self.flow(&itch::OrderExecuted {
            head,
            order_reference_number: U64::new(reference),
            executed_shares: U32::new(shares),
            match_number: U64::new(match_number),
        });
    }

    pub(super) fn delete(&mut self, reference: u64) {
        let head = self.head::<itch::OrderDelete>();
        self.flow(&itch::OrderDelete { head, order_reference_number: U64::new(reference) });
    }

    pub(super) fn reduce(&mut self, reference: u64, shares: u32) {
        let head = self.head::<itch::OrderCancel>();
        let cancelled_shares = U32::new(shares);
        self.flow(&itch::OrderCancel { head, order_reference_number: U64::new(reference), cancelled_shares });
    }

    pub(super) fn replace_flow(&mut self, old: u64, new: u64, shares: u32, price: u32) {
        let head = self.head::<itch::OrderReplace>();
        self.flow(&itch::OrderReplace {
            head,
            original_order_reference_number: U64::new(old),
            new_order_reference_number: U64::new(new),
            shares: U32::new(shares),
            price: U32::new(price),
        });
    }

    pub(super) fn hidden_trade(&mut self, shares: u32, price: u32, match_number: u64) {
        let head = self.head::<itch::Trade>();
        self.flow(&itch::Trade {
            head,
            order_reference_number: U64::new(0),
            buy_sell_indicator: b'B',
            shares: U32::new(shares),
            stock: Alpha::new(b"AAAA"),
            price: U32::new(price),
            match_number: U64::new(match_number),
        });
    }

    pub(super) fn imbalance(&mut self, cross_type: u8) {
        let head = self.head::<itch::NetOrderImbalance>();
        self.flow(&itch::NetOrderImbalance {
            head,
            paired_shares: U64::new(0),
            imbalance_shares: U64::new(0),
            imbalance_direction: b'O',
            stock: Alpha::new(b"AAAA"),
            far_price: U32::new(0),
            near_price: U32::new(0),
            current_reference_price: U32::new(0),
            cross_type,
            price_variation_indicator: b' ',
        });
    }

    pub(super) fn cross(&mut self, cross_type: u8, shares: u64, price: u32) {
        let head = self.head::<itch::CrossTrade>();
        self.flow(&itch::CrossTrade {
            head,
            shares: U64::new(shares),
            stock: Alpha::new(b"AAAA"),
            cross_price: U32::new(price),
            match_number: U64::new(77),
            cross_type,
        });
    }

    fn send(&mut self, account: u16, message: &Inbound<'_>) {
        let mut buf = [0; 256];
        let length = message.write(&mut buf).expect("fits");
        self.engine.on_client_message(account, &buf[..length]);
    }

    pub(super) fn enter(&mut self, account: u16, entry: Entry) {
        let mut options = [0; 16];
        let mut writer = AppendageWriter::new(&mut options);
        if entry.post_only {
            writer.push(OptionTag::PostOnly, b"P").expect("fits");
        }
        if entry.min_quantity != 0 {
            writer.push(OptionTag::MinQty, &entry.min_quantity.to_be_bytes()).expect("fits");
        }
        let message = ouch::EnterOrder {
            kind: ouch::EnterOrder::TYPE,
            user_ref_num: U32::new(entry.user_ref),
            side: entry.side,
            quantity: U32::new(entry.quantity),
            symbol: Alpha::new(b"AAAA"),
            price: U64::new(entry.price),
            time_in_force: entry.time_in_force,
            display: entry.display,
            capacity: b'P',
            intermarket_sweep_eligibility: b'N',
            cross_type: entry.cross,
            cl_ord_id: Alpha::new(b"ID"),
        };
        self.send(account, &Inbound::EnterOrder(&message, writer.finish()));
    }

    pub(super) fn replace(&mut self, account: u16, original: u32, entry: Entry) {
        let message = ouch::ReplaceOrder {
            kind: ouch::ReplaceOrder::TYPE,
            orig_user_ref_num: U32::new(original),
            user_ref_num: U32::new(entry.user_ref),
            quantity: U32::new(entry.quantity),
            price: U64::new(entry.price),
            time_in_force: entry.time_in_force,
            display: entry.display,
            intermarket_sweep_eligibility: b'N',
            cl_ord_id: Alpha::new(b"ID2"),
        };
        self.send(account, &Inbound::ReplaceOrder(&message, Appendage::EMPTY));
    }

    pub(super) fn cancel(&mut self, account: u16, user_ref: u32, quantity: u32) {
        self.send(account, &Inbound::CancelOrder(&ouch::CancelOrder::new(user_ref, quantity)));
    }

    pub(super) fn modify(&mut self, account: u16, user_ref: u32, side: u8, quantity: u32) {
        let message = ouch::ModifyOrder {
            kind: ouch::ModifyOrder::TYPE,
            user_ref_num: U32::new(user_ref),
            side,
            quantity: U32::new(quantity),
        };
        self.send(account, &Inbound::ModifyOrder(&message));
    }

    pub(super) fn query(&mut self, account: u16) {
        self.send(account, &Inbound::AccountQuery(&ouch::AccountQuery::NEW));
    }

    /// What was published since the last call, a word a message.
    pub(super) fn feed(&mut self) -> String {
        let bytes = std::mem::take(&mut self.engine.out.feed);
        let mut rest = bytes.as_slice();
        let mut words = Vec::new();
        while let Some((length, body)) = rest.split_first_chunk::<2>() {
            let (message, behind) = body.split_at(usize::from(u16::from_be_bytes(*length)));
            words.push(word(&Message::decode(message).expect("valid")));
            rest = behind;
        }
        words.join(" ")
    }

    /// What the accounts were told since the last call: account, then a word a message.
    pub(super) fn told(&mut self) -> String {
        let messages = std::mem::take(&mut self.engine.out.clients);
        let words = messages.iter().map(|(account, bytes)| {
            let (message, trailing) = Outbound::decode(bytes).expect("valid");
            assert_eq!(trailing, 0);
            format!("{account}:{}", answer(&message))
        });
        words.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn holding(&self, account: usize) -> (i64, i64) {
        let holding = self.engine.accounts[account].holdings.get(&1).copied().unwrap_or_default();
        (holding.position, holding.cash)
    }
}

/// Client references and matches count from 1 here.
fn short(number: u64) -> String {
    match number.checked_sub(super::CLIENT_NUMBERS_FROM) {
        Some(client) => format!("c{client}"),
        None => number.to_string(),
    }
}

fn word(message: &Message<'_>) -> String {
    match message {
        Message::AddOrder(m) => format!(
            "A({},{}{}@{})",
            short(m.order_reference_number.get()),
            m.buy_sell_indicator as char,
            m.shares,
            m.price
        ),
        Message::OrderExecuted(m) => {
            format!(
                "E({},{},{})",
                short(m.order_reference_number.get()),
                m.executed_shares,
                short(m.match_number.get())
            )
        }
        Message::OrderExecutedWithPrice(m) => format!(
            "C({},{}@{},{})",
            short(m.order_reference_number.get()),
            m.executed_shares,
            m.execution_price,
            m.printable as char
        ),
        Message::OrderCancel(m) => format!("X({},{})", short(m.order_reference_number.get()), m.cancelled_shares),
        Message::OrderDelete(m) => format!("D({})", short(m.order_reference_number.get())),
        Message::OrderReplace(m) => format!(
            "U({},{},{}@{})",
            short(m.original_order_reference_number.get()),
            short(m.new_order_reference_number.get()),
            m.shares,
            m.price
        ),
        Message::Trade(m) => format!("P({}@{})", m.shares, m.price),
        Message::CrossTrade(m) => format!("Q({}@{},{})", m.shares, m.cross_price, m.cross_type as char),
        Message::BrokenTrade(m) => format!("B({})", short(m.match_number.get())),
        Message::StockTradingAction(m) => format!("H({})", m.trading_state as char),
        other => (other.header().kind as char).to_string(),
    }
}

fn answer(message: &Outbound<'_>) -> String {
    match message {
        Outbound::SystemEvent(m) => format!("S({})", m.event_code as char),
        Outbound::OrderAccepted(m, _) => format!("A({},{})", m.user_ref_num, m.quantity),
        Outbound::OrderReplaced(m, _) => format!("U({},{},{})", m.orig_user_ref_num, m.user_ref_num, m.quantity),
        Outbound::OrderCanceled(m) => format!("C({},{},{})", m.user_ref_num, m.quantity, m.reason as char),
        Outbound::AiqCanceled(m) => {
            format!("D({},{},{})", m.user_ref_num, m.decrement_shares, m.quantity_prevented_from_trading)
        }
        Outbound::OrderExecuted(m, _) => {
            format!("E({},{}@{},{})", m.user_ref_num, m.quantity, m.price, m.liquidity_flag as char)
        }
        Outbound::BrokenTrade(m) => format!("B({})", m.user_ref_num),
        Outbound::Rejected(m) => format!("J({},{})", m.user_ref_num, m.reason),
        Outbound::CancelPending(m) => format!("P({})", m.user_ref_num),
        Outbound::CancelReject(m) => format!("I({})", m.user_ref_num),
        Outbound::OrderPriorityUpdate(m) => {
            format!("T({},{})", m.user_ref_num, short(m.order_reference_number.get()))
        }
        Outbound::OrderModified(m) => format!("M({},{}{})", m.user_ref_num, m.side as char, m.quantity),
        Outbound::OrderRestated(m, _) => format!("R({})", m.user_ref_num),
        Outbound::AccountQueryResponse(m) => format!("Q({})", m.next_user_ref_num),
    }
}
