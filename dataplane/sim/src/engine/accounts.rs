//! Accounts: their orders, positions and cash, and the OUCH messages that they are told.

use std::collections::{BTreeMap, HashMap};

use tern_venues::itch_ouch::wire::ouch::{
    AiqCanceled, Appendage, CancelPending, CancelReason, CancelReject, OrderAccepted, OrderCanceled, OrderExecuted,
    OrderModified, OrderPriorityUpdate, OrderReplaced, OrderState, OuchMessage, Outbound, RejectReason, Rejected,
    SystemEvent, SystemEventCode,
};
use tern_venues::itch_ouch::wire::{Alpha, ouch};
use zerocopy::big_endian::{U16, U32, U64};

use super::{Engine, Phase, TradeSide, WrongFill};
use crate::book::Side;
use crate::log::Line;

/// A live order of a client, resting in the book or held for a cross.
#[derive(Clone, Debug)]
pub struct ClientOrder {
    /// The client's number.
    pub user_ref: u32,
    /// Stock locate.
    pub locate: u16,
    /// Side byte as entered.
    pub side_code: u8,
    /// Limit in 1/10000 dollars; the largest or 0 for market orders.
    pub limit: u32,
    /// Price field as entered.
    pub price: u64,
    /// Time in force byte.
    pub time_in_force: u8,
    /// Display byte.
    pub display: u8,
    /// Capacity byte.
    pub capacity: u8,
    /// Intermarket sweep byte.
    pub sweep: u8,
    /// Cross type byte.
    pub cross_type: u8,
    /// Client order id.
    pub cl_ord_id: Alpha<14>,
    /// Reference on the feed.
    pub reference: u64,
    /// Shares open.
    pub open: u32,
    /// Shares executed or taken by self match prevention, over the whole replace chain.
    pub executed: u32,
    /// Of these, before the last replace.
    pub executed_before: u32,
    /// Post only.
    pub post_only: bool,
    /// Fewest shares that may trade at once; 0 = any.
    pub min_quantity: u32,
    /// Waits for a cross or the end of a halt, not in the book.
    pub held: bool,
    /// A cancel waits for the cross.
    pub cancel_pending: bool,
    /// A partial cancel was refused; it is said once.
    pub cancel_rejected: bool,
    /// When it expires, exchange time; never when `u64::MAX`.
    pub expires_ns: u64,
}

impl ClientOrder {
    /// Buy or sell.
    pub const fn side(&self) -> Side {
        if self.side_code == b'B' { Side::Buy } else { Side::Sell }
    }

    pub(super) const fn hidden(&self) -> bool {
        self.display == b'N'
    }
}

/// Position and cash in one symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Shares, signed.
    pub position: i64,
    /// Received less paid, 1/10000 dollars.
    pub cash: i64,
}

/// An account: what OUCH calls a port.
#[derive(Clone, Debug)]
pub struct Account {
    /// User name.
    pub name: String,
    /// Highest UserRefNum processed.
    pub last_user_ref: u32,
    /// Live orders by UserRefNum.
    pub orders: HashMap<u32, ClientOrder>,
    /// Holdings by locate.
    pub holdings: BTreeMap<u16, Holding>,
    /// Order messages received.
    pub received: u64,
    /// Executions.
    pub executions: u64,
    /// Broken executions.
    pub breaks: u64,
    /// Whether it was told that the day has started.
    day_started: bool,
}

impl Account {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            last_user_ref: 0,
            orders: HashMap::new(),
            holdings: BTreeMap::new(),
            received: 0,
            executions: 0,
            breaks: 0,
            day_started: false,
        }
    }

    fn book_trade(&mut self, locate: u16, side: Side, shares: i64, price: u32) {
        let signed = if side == Side::Buy { shares } else { -shares };
        let holding = self.holdings.entry(locate).or_default();
        holding.position += signed;
        holding.cash -= signed * i64::from(price);
    }
}

/// Why an order loses shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CancelWhy {
    User,
    ImmediateOrCancel,
    PostOnly,
    Timeout,
    Closed,
    Disconnected,
}

impl CancelWhy {
    const fn reason(self) -> CancelReason {
        match self {
            Self::User => CancelReason::UserRequested,
            Self::ImmediateOrCancel => CancelReason::ImmediateOrCancel,
            Self::PostOnly => CancelReason::PostOnlyContra,
            Self::Timeout => CancelReason::Timeout,
            Self::Closed => CancelReason::Closed,
            Self::Disconnected => CancelReason::System,
        }
    }
}

impl Engine {
    /// Puts a message into an account's stream.
    pub(super) fn send(&mut self, account: u16, message: &Outbound<'_>) {
        // Large enough for any message with the largest appendage that an inbound message can have brought.
        let mut buf = [0; 1024];
        match message.write(&mut buf) {
            Ok(length) => self.out.clients.push((account, buf[..length].to_vec())),
            // An appendage of that size was refused on entry.
            Err(_) => debug_assert!(false, "outbound OUCH message does not fit"),
        }
    }

    pub(super) fn timestamp(&self) -> U64 {
        U64::new(self.now_ns)
    }

    /// Tells accounts about the day: the start once orders are accepted, the end when no more are.
    pub(super) fn tell_system_event(&mut self, event: SystemEventCode) {
        let message = SystemEvent { kind: SystemEvent::TYPE, timestamp: self.timestamp(), event_code: event.byte() };
        for account in 0..self.accounts.len() {
            let told = &mut self.accounts[account].day_started;
            if event == SystemEventCode::StartOfDay && std::mem::replace(told, true) {
                continue;
            }
            self.send(account as u16, &Outbound::SystemEvent(&message));
        }
    }

    /// The first login of an account opens its stream: when orders are accepted already, it begins by saying so.
    pub fn on_login(&mut self, account: u16) {
        if !matches!(self.phase, Phase::Early | Phase::Market | Phase::Late) {
            return;
        }
        let message = SystemEvent {
            kind: SystemEvent::TYPE,
            timestamp: self.timestamp(),
            event_code: SystemEventCode::StartOfDay.byte(),
        };
        let told = self.accounts.get_mut(usize::from(account)).map(|a| std::mem::replace(&mut a.day_started, true));
        if told == Some(false) {
            self.send(account, &Outbound::SystemEvent(&message));
        }
    }

    /// The last connection of an account ended.
    pub fn on_disconnect(&mut self, account: u16) {
        if !self.rules.cancel_on_disconnect {
            return;
        }
        for user_ref in self.open_orders(account) {
            self.cancel_order(account, user_ref, CancelWhy::Disconnected);
        }
    }

    /// Live orders of an account, oldest first.
    pub fn open_orders(&self, account: u16) -> Vec<u32> {
        let Some(account) = self.accounts.get(usize::from(account)) else { return Vec::new() };
        let mut all: Vec<u32> = account.orders.keys().copied().collect();
        all.sort_unstable();
        all
    }

    pub(super) fn order(&self, account: u16, user_ref: u32) -> Option<&ClientOrder> {
        self.accounts.get(usize::from(account))?.orders.get(&user_ref)
    }

    pub(super) fn order_mut(&mut self, account: u16, user_ref: u32) -> Option<&mut ClientOrder> {
        self.accounts.get_mut(usize::from(account))?.orders.get_mut(&user_ref)
    }

    /// Forgets an order, wherever it is.
    pub(super) fn drop_order(&mut self, account: u16, user_ref: u32) -> Option<ClientOrder> {
        let order = self.accounts.get_mut(usize::from(account))?.orders.remove(&user_ref)?;
        self.book.remove(order.reference);
        self.expiries.remove(&(order.expires_ns, account, user_ref));
        if order.held
            && let Some(symbol) = self.symbol_mut(order.locate)
        {
            symbol.held.retain(|&entry| entry != (account, user_ref));
        }
        Some(order)
    }

    pub(super) fn accept(&mut self, account: u16, order: &ClientOrder, state: OrderState, options: Appendage<'_>) {
        let message = OrderAccepted {
            kind: OrderAccepted::TYPE,
            timestamp: self.timestamp(),
            user_ref_num: U32::new(order.user_ref),
            side: order.side_code,
            quantity: U32::new(order.open),
            symbol: self.stock(order.locate),
            price: U64::new(order.price),
            time_in_force: order.time_in_force,
            display: order.display,
            order_reference_number: U64::new(order.reference),
            capacity: order.capacity,
            intermarket_sweep_eligibility: order.sweep,
            cross_type: order.cross_type,
            order_state: state.byte(),
            cl_ord_id: order.cl_ord_id,
        };
        self.send(account, &Outbound::OrderAccepted(&message, options));
    }

    pub(super) fn replaced(&mut self, account: u16, original: u32, order: &ClientOrder, options: Appendage<'_>) {
        let message = OrderReplaced {
            kind: OrderReplaced::TYPE,
            timestamp: self.timestamp(),
            orig_user_ref_num: U32::new(original),
            user_ref_num: U32::new(order.user_ref),
            side: order.side_code,
            quantity: U32::new(order.open),
            symbol: self.stock(order.locate),
            price: U64::new(order.price),
            time_in_force: order.time_in_force,
            display: order.display,
            order_reference_number: U64::new(order.reference),
            capacity: order.capacity,
            intermarket_sweep_eligibility: order.sweep,
            cross_type: order.cross_type,
            order_state: OrderState::Live.byte(),
            cl_ord_id: order.cl_ord_id,
        };
        self.send(account, &Outbound::OrderReplaced(&message, options));
    }

    pub(super) fn reject(&mut self, account: u16, user_ref: u32, reason: RejectReason, cl_ord_id: Alpha<14>) {
        let message = Rejected {
            kind: Rejected::TYPE,
            timestamp: self.timestamp(),
            user_ref_num: U32::new(user_ref),
            reason: U16::new(reason.0),
            cl_ord_id,
        };
        self.send(account, &Outbound::Rejected(&message));
    }

    pub(super) fn canceled(&mut self, account: u16, user_ref: u32, shares: u32, why: CancelWhy) {
        let message = OrderCanceled {
            kind: OrderCanceled::TYPE,
            timestamp: self.timestamp(),
            user_ref_num: U32::new(user_ref),
            quantity: U32::new(shares),
            reason: why.reason().byte(),
        };
        self.send(account, &Outbound::OrderCanceled(&message));
    }

    pub(super) fn aiq_canceled(
        &mut self,
        account: u16,
        user_ref: u32,
        lost: u32,
        prevented: u32,
        price: u32,
        strategy: u8,
    ) {
        let message = AiqCanceled {
            kind: AiqCanceled::TYPE,
            timestamp: self.timestamp(),
            user_ref_num: U32::new(user_ref),
            decrement_shares: U32::new(lost),
            reason: b'Q',
            quantity_prevented_from_trading: U32::new(prevented),
            execution_price: U64::new(u64::from(price)),
            liquidity_flag: b'R',
            aiq_strategy: strategy,
        };
        self.send(account, &Outbound::AiqCanceled(&message));
    }

    pub(super) fn cancel_pending(&mut self, account: u16, user_ref: u32) {
        let message =
            CancelPending { kind: CancelPending::TYPE, timestamp: self.timestamp(), user_ref_num: U32::new(user_ref) };
        self.send(account, &Outbound::CancelPending(&message));
    }

    pub(super) fn cancel_rejected(&mut self, account: u16, user_ref: u32) {
        let message =
            CancelReject { kind: CancelReject::TYPE, timestamp: self.timestamp(), user_ref_num: U32::new(user_ref) };
        self.send(account, &Outbound::CancelReject(&message));
    }

    pub(super) fn modified(&mut self, account: u16, order: &ClientOrder) {
        let message = OrderModified {
            kind: OrderModified::TYPE,
            timestamp: self.timestamp(),
            user_ref_num: U32::new(order.user_ref),
            side: order.side_code,
            quantity: U32::new(order.open),
        };
        self.send(account, &Outbound::OrderModified(&message));
    }

    pub(super) fn priority_updated(&mut self, account: u16, order: &ClientOrder) {
        let message = OrderPriorityUpdate {
            kind: OrderPriorityUpdate::TYPE,
            timestamp: self.timestamp(),
            user_ref_num: U32::new(order.user_ref),
            price: U64::new(order.price),
            display: order.display,
            order_reference_number: U64::new(order.reference),
        };
        self.send(account, &Outbound::OrderPriorityUpdate(&message));
    }

    /// Books a trade of a live client order: its shares, the account's holding, the message, the log, and whether it
    /// will be broken. The order stays known even with nothing left; the caller lets go of it.
    pub(super) fn fill(
        &mut self,
        account: u16,
        user_ref: u32,
        shares: u32,
        price: u32,
        liquidity: u8,
        match_number: u64,
    ) {
        let Some(order) = self.order_mut(account, user_ref) else { return };
        order.open -= shares.min(order.open);
        order.executed = order.executed.saturating_add(shares);
        let order = order.clone();
        let owner = &mut self.accounts[usize::from(account)];
        owner.book_trade(order.locate, order.side(), i64::from(shares), price);
        owner.executions += 1;
        let name = owner.name.clone();
        self.tally.executions += 1;
        self.tally.shares += u64::from(shares);
        self.tally.partial_fills += u64::from(order.open > 0);
        self.tally.symbols.insert(order.locate);
        // One that completes an order: told too high, more traded than was open, whatever comes later.
        let wrong = if order.open == 0 { self.wrong_fill.take() } else { None };
        let message = OrderExecuted {
            kind: OrderExecuted::TYPE,
            timestamp: self.timestamp(),
            user_ref_num: U32::new(user_ref),
            quantity: U32::new(shares + u32::from(wrong == Some(WrongFill::Client))),
            price: U64::new(u64::from(price)),
            liquidity_flag: liquidity,
            match_number: U64::new(match_number),
        };
        self.send(account, &Outbound::OrderExecuted(&message, Appendage::EMPTY));
        let logged = shares + u32::from(wrong == Some(WrongFill::Log));
        if wrong == Some(WrongFill::Log) {
            self.accounts[usize::from(account)].book_trade(order.locate, order.side(), 1, price);
        }
        self.out.log.push(Line::Execution {
            exchange_ns: self.now_ns,
            account: name,
            user_ref,
            reference: order.reference,
            stock: self.stock(order.locate).to_string(),
            side: order.side().byte() as char,
            price,
            shares: logged,
            match_number,
            liquidity: liquidity as char,
        });
        let part = TradeSide {
            account,
            user_ref,
            cl_ord_id: order.cl_ord_id,
            locate: order.locate,
            side: order.side(),
            price,
            shares,
        };
        self.maybe_break(match_number, part);
    }

    /// Decides whether a trade will be broken. Both sides of a trade share its fate: they have the same match number.
    fn maybe_break(&mut self, match_number: u64, part: TradeSide) {
        let pending = self.breaks.iter_mut().rev().find(|((_, number), _)| *number == match_number);
        if let Some((_, sides)) = pending {
            sides.push(part);
        } else if self.rules.break_share > 0 && self.rng.chance(self.rules.break_share) {
            // Within 50 to 250 ms of exchange time.
            let due_ns = self.now_ns + 50_000_000 + u64::from(self.rng.below(200_000_000));
            self.breaks.insert((due_ns, match_number), vec![part]);
        }
    }

    pub(super) fn break_trade(&mut self, match_number: u64, sides: &[TradeSide]) {
        let Some(first) = sides.first() else { return };
        self.publish_break(first.locate, match_number);
        for part in sides {
            let message = ouch::BrokenTrade {
                kind: ouch::BrokenTrade::TYPE,
                timestamp: self.timestamp(),
                user_ref_num: U32::new(part.user_ref),
                match_number: U64::new(match_number),
                reason: ouch::BrokenTradeReason::Erroneous.byte(),
                cl_ord_id: part.cl_ord_id,
            };
            self.send(part.account, &Outbound::BrokenTrade(&message));
            let owner = &mut self.accounts[usize::from(part.account)];
            owner.book_trade(part.locate, part.side, -i64::from(part.shares), part.price);
            owner.breaks += 1;
            self.tally.breaks += 1;
            self.out.log.push(Line::Break {
                exchange_ns: self.now_ns,
                account: self.accounts[usize::from(part.account)].name.clone(),
                user_ref: part.user_ref,
                stock: self.stock(part.locate).to_string(),
                side: part.side.byte() as char,
                price: part.price,
                shares: part.shares,
                match_number,
            });
        }
    }
}
