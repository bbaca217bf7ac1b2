//! Order messages of clients: OUCH 5.0, section 2. Where the specification leaves doubt, what was decided is said at the
//! place.

use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::ouch::{
    self, Appendage, CrossType, EnterOrder, Inbound, LIMIT_PRICE_MAX, ModifyOrder, OptionTag, OrderState, OuchMessage,
    Outbound, PriceMeaning, QUANTITY_LIMIT, RejectReason, ReplaceOrder, TimeInForce,
};
use zerocopy::big_endian::U32;

use super::accounts::{CancelWhy, ClientOrder};
use super::{Engine, IntendedSize, Phase, WhileHalted};
use crate::book::{Order, Side};
use crate::log::{Fields, Line, Outcome};

/// Shares of a round lot: of every symbol here.
const ROUND_LOT: u64 = 100;

/// Where a valid new order goes.
enum Destination {
    Match,
    Hold,
    Close,
}

/// What an appendage asks for that the engine knows.
#[derive(Default)]
struct Options {
    post_only: bool,
    min_quantity: u32,
    expire_seconds: Option<u64>,
}

impl Engine {
    /// Takes one OUCH message of a logged-in account.
    pub fn on_client_message(&mut self, account: u16, bytes: &[u8]) {
        let Some(owner) = self.accounts.get_mut(usize::from(account)) else { return };
        owner.received += 1;
        self.tally.received += 1;
        let name = owner.name.clone();
        let decoded = Inbound::decode(bytes).ok().map(|(message, _)| message);
        // The log says what arrived before what came of it.
        let at = self.out.log.len();
        let outcome = match &decoded {
            Some(Inbound::EnterOrder(message, options)) => self.enter(account, message, *options),
            Some(Inbound::ReplaceOrder(message, options)) => self.replace(account, message, *options),
            Some(Inbound::CancelOrder(message)) => {
                self.cancel(account, message.user_ref_num.get(), message.quantity.get())
            }
            Some(Inbound::ModifyOrder(message)) => self.modify(account, message),
            Some(Inbound::AccountQuery(_)) => self.query(account),
            None => Outcome::Malformed,
        };
        let raw = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let fields = fields(bytes, decoded.as_ref());
        self.out.log.insert(at, Line::Received { exchange_ns: self.now_ns, account: name, raw, fields, outcome });
    }

    pub(super) fn is_halted(&self, locate: u16) -> bool {
        self.symbol(locate).is_some_and(|symbol| symbol.halted)
    }

    /// 2.1. A number that is not above the last one processed is a retransmission: ignored, equal numbers too.
    fn enter(&mut self, account: u16, message: &EnterOrder, appendage: Appendage<'_>) -> Outcome {
        let user_ref = message.user_ref_num.get();
        let last = &mut self.accounts[usize::from(account)].last_user_ref;
        if user_ref <= *last {
            return Outcome::Ignored;
        }
        *last = user_ref;
        let (locate, destination, options) = match self.check(message, appendage) {
            Ok(found) => found,
            Err(reason) => {
                self.reject(account, user_ref, reason, message.cl_ord_id);
                return Outcome::Rejected;
            }
        };
        let price = message.price.get();
        let mut order = ClientOrder {
            user_ref,
            locate,
            side_code: message.side,
            limit: 0,
            price,
            time_in_force: message.time_in_force,
            display: message.display,
            capacity: message.capacity,
            sweep: message.intermarket_sweep_eligibility,
            cross_type: message.cross_type,
            cl_ord_id: message.cl_ord_id,
            reference: self.fresh_reference(),
            open: message.quantity.get(),
            executed: 0,
            executed_before: 0,
            post_only: options.post_only,
            min_quantity: options.min_quantity,
            held: matches!(destination, Destination::Hold),
            cancel_pending: false,
            cancel_rejected: false,
            expires_ns: options.expire_seconds.map_or(u64::MAX, |seconds| self.now_ns + seconds * 1_000_000_000),
        };
        order.limit = limit_of(order.side(), price);
        if order.expires_ns != u64::MAX {
            self.expiries.insert((order.expires_ns, account, user_ref));
        }
        self.accept(account, &order, OrderState::Live, appendage);
        self.accounts[usize::from(account)].orders.insert(user_ref, order);
        match destination {
            Destination::Hold => self.hold(account, user_ref, locate),
            Destination::Close => self.cancel_order(account, user_ref, CancelWhy::Closed),
            Destination::Match => self.work(account, user_ref),
        }
        Outcome::Done
    }

    pub(super) fn hold(&mut self, account: u16, user_ref: u32, locate: u16) {
        if let Some(symbol) = self.symbol_mut(locate) {
            symbol.held.push((account, user_ref));
        }
    }

    /// Sends a live order into the continuous market: it trades, then rests or ends.
    pub(super) fn work(&mut self, account: u16, user_ref: u32) {
        let Some(order) = self.order(account, user_ref).cloned() else { return };
        // Post only: an order that would trade with what is displayed is accepted and canceled, not price slid.
        let contra = self.book.best_displayed(order.locate, order.side().opposite());
        if order.post_only && contra.is_some_and(|price| order.side().accepts(order.limit, price)) {
            self.cancel_order(account, user_ref, CancelWhy::PostOnly);
            return;
        }
        if order.min_quantity > 0 && self.takes_at_once(account, &order) < order.min_quantity {
            self.cancel_order(account, user_ref, CancelWhy::ImmediateOrCancel);
            return;
        }
        self.match_incoming(account, user_ref);
        let Some(open) = self.order(account, user_ref).map(|order| order.open) else { return };
        if open == 0 {
            self.drop_order(account, user_ref);
        } else if order.time_in_force == TimeInForce::Ioc.byte() {
            self.cancel_order(account, user_ref, CancelWhy::ImmediateOrCancel);
        } else {
            self.rest(account, user_ref);
        }
    }

    fn check(
        &self,
        message: &EnterOrder,
        appendage: Appendage<'_>,
    ) -> Result<(u16, Destination, Options), RejectReason> {
        if matches!(self.phase, Phase::Before | Phase::Closed) {
            return Err(RejectReason::DESTINATION_CLOSED);
        }
        let &locate = self.locates.get(&message.symbol.0).ok_or(RejectReason::INVALID_SYMBOL)?;
        let symbol = self.symbol(locate).ok_or(RejectReason::INVALID_SYMBOL)?;
        ouch::Side::from_byte(message.side).ok_or(RejectReason::INVALID_SIDE)?;
        if !(1..QUANTITY_LIMIT).contains(&message.quantity.get()) {
            return Err(RejectReason::INVALID_QUANTITY);
        }
        ouch::Display::from_byte(message.display)
            .filter(|&display| display != ouch::Display::Conformant)
            .ok_or(RejectReason::INVALID_DISPLAY)?;
        let time_in_force = TimeInForce::from_byte(message.time_in_force).ok_or(RejectReason::OTHER)?;
        let options = self.options(appendage, time_in_force)?;
        if options.min_quantity > message.quantity.get() {
            return Err(RejectReason::INVALID_MIN_QUANTITY);
        }
        let cross = CrossType::from_byte(message.cross_type).ok_or(RejectReason::INVALID_CROSS_ORDER)?;
        let ioc = time_in_force == TimeInForce::Ioc;
        // Market orders are for crosses; an IOC one can at least not rest at no price.
        self.check_price(message.price.get(), cross != CrossType::Continuous || ioc)?;
        let destination = match cross {
            CrossType::Opening if !symbol.opened && self.phase < Phase::Late => Destination::Hold,
            CrossType::Closing if !symbol.closed => Destination::Hold,
            CrossType::HaltIpo if symbol.halted => Destination::Hold,
            CrossType::Continuous if symbol.halted => match self.rules.while_halted {
                WhileHalted::Hold if !ioc => Destination::Hold,
                _ => return Err(RejectReason::HALTED),
            },
            CrossType::Continuous if time_in_force == TimeInForce::Day => match self.phase {
                Phase::Early => Destination::Hold,
                Phase::Market if !symbol.closed => Destination::Match,
                _ => Destination::Close,
            },
            CrossType::Continuous => Destination::Match,
            _ => return Err(RejectReason::INVALID_CROSS_ORDER),
        };
        Ok((locate, destination, options))
    }

    /// Limits are whole cents from a dollar up (Regulation NMS, rule 612).
    fn check_price(&self, price: u64, market_allowed: bool) -> Result<(), RejectReason> {
        match PriceMeaning::of(price) {
            PriceMeaning::Market if market_allowed => Ok(()),
            PriceMeaning::Limit(limit) if limit > 0 && (limit < 10_000 || limit % 100 == 0) => Ok(()),
            _ => Err(RejectReason::INVALID_PRICE),
        }
    }

    /// What of appendix B the engine takes part in; what it would have to ignore to an order's harm is refused.
    fn options(&self, appendage: Appendage<'_>, time_in_force: TimeInForce) -> Result<Options, RejectReason> {
        if appendage.wire_bytes() > 512 {
            return Err(RejectReason::OTHER);
        }
        let mut options = Options::default();
        for element in &appendage {
            match element.option() {
                Some(OptionTag::PostOnly) => options.post_only = element.character() == Some(b'P'),
                Some(OptionTag::ExpireTime) => options.expire_seconds = element.number(),
                // A round lot (appendix B), and of what trades at once or not at all: one that would rest is not known here.
                Some(OptionTag::MinQty) => {
                    let lots = element.number().filter(|shares| shares % ROUND_LOT == 0);
                    let shares = lots.and_then(|shares| u32::try_from(shares).ok());
                    options.min_quantity = shares
                        .filter(|&shares| shares == 0 || time_in_force == TimeInForce::Ioc)
                        .ok_or(RejectReason::INVALID_MIN_QUANTITY)?;
                }
                Some(OptionTag::MaxFloor) if element.number() != Some(0) => {
                    return Err(RejectReason::INVALID_MAX_FLOOR);
                }
                Some(OptionTag::PriceType | OptionTag::DiscretionPriceType) if element.character() != Some(b'L') => {
                    return Err(RejectReason::PEGGING_NOT_ALLOWED);
                }
                _ => {}
            }
        }
        if time_in_force == TimeInForce::Gtt {
            options.expire_seconds.filter(|&seconds| seconds < 86_400).ok_or(RejectReason::OTHER)?;
        } else {
            options.expire_seconds = None;
        }
        Ok(options)
    }

    /// 2.2. Decided: the replacement's number has to be above the last one processed, like an entered one's. A total at
    /// or below what the chain has executed is an invalid detail; shares canceled by the user do not count in the total.
    /// The cancel that answers invalid details says "user requested".
    fn replace(&mut self, account: u16, message: &ReplaceOrder, appendage: Appendage<'_>) -> Outcome {
        let (original, user_ref) = (message.orig_user_ref_num.get(), message.user_ref_num.get());
        let last = self.accounts[usize::from(account)].last_user_ref;
        let Some(old) = self.order(account, original).cloned() else { return Outcome::Ignored };
        if user_ref <= last {
            return Outcome::Ignored;
        }
        if old.cancel_pending || (old.held && self.is_late(old.locate)) {
            self.accounts[usize::from(account)].last_user_ref = user_ref;
            self.reject(account, user_ref, RejectReason::REPLACE_NOT_ALLOWED, message.cl_ord_id);
            return Outcome::Rejected;
        }
        let price = message.price.get();
        let market_allowed = old.cross_type != b'N';
        let time_in_force = TimeInForce::from_byte(message.time_in_force);
        let total = message.quantity.get();
        let valid = total > old.executed
            && total < QUANTITY_LIMIT
            && self.check_price(price, market_allowed || time_in_force == Some(TimeInForce::Ioc)).is_ok()
            && ouch::Display::from_byte(message.display).is_some_and(|display| display != ouch::Display::Conformant);
        let options = time_in_force.and_then(|tif| self.options(appendage, tif).ok());
        let (true, Some(options)) = (valid, options) else {
            self.cancel_order(account, original, CancelWhy::User);
            return Outcome::Done;
        };
        self.accounts[usize::from(account)].last_user_ref = user_ref;
        let mut new = ClientOrder {
            user_ref,
            price,
            limit: limit_of(old.side(), price),
            time_in_force: message.time_in_force,
            display: message.display,
            sweep: message.intermarket_sweep_eligibility,
            cl_ord_id: message.cl_ord_id,
            reference: self.fresh_reference(),
            open: total - old.executed,
            executed_before: old.executed,
            post_only: options.post_only,
            min_quantity: options.min_quantity,
            cancel_rejected: false,
            expires_ns: options.expire_seconds.map_or(u64::MAX, |seconds| self.now_ns + seconds * 1_000_000_000),
            ..old.clone()
        };
        // A day order moved into the opening cross or out of a halt stays where it waits.
        new.held = old.held;
        if new.expires_ns != u64::MAX {
            self.expiries.insert((new.expires_ns, account, user_ref));
        }
        self.replaced(account, original, &new, appendage);
        if old.held || self.is_halted(old.locate) {
            self.replace_waiting(account, &old, new);
        } else {
            self.replace_resting(account, &old, new);
        }
        Outcome::Done
    }

    /// Replaces an order that cannot trade now. It goes last among those that wait; a resting one keeps resting.
    fn replace_waiting(&mut self, account: u16, old: &ClientOrder, mut new: ClientOrder) {
        let (user_ref, locate) = (new.user_ref, new.locate);
        if let Some(&resting) = self.book.get(old.reference) {
            self.publish_reduction(&resting, resting.shares);
        }
        self.drop_order(account, old.user_ref);
        new.held = true;
        self.accounts[usize::from(account)].orders.insert(user_ref, new);
        self.hold(account, user_ref, locate);
    }

    /// Replaces an order in the book. One that does not trade on the way is a U on the feed, any other a D and what
    /// follows.
    fn replace_resting(&mut self, account: u16, old: &ClientOrder, new: ClientOrder) {
        let (user_ref, side, limit) = (new.user_ref, new.side(), new.limit);
        let front = self.book.front(new.locate, side.opposite()).map(|order| order.price);
        let trades = front.is_some_and(|price| side.accepts(limit, price));
        let moves = !trades && !old.hidden() && !new.hidden() && new.time_in_force != TimeInForce::Ioc.byte();
        let resting = self.book.get(old.reference).copied();
        if moves && let Some(resting) = resting {
            let order = Order {
                reference: new.reference,
                price: limit,
                shares: new.open,
                owner: crate::book::Owner::Client { account, user_ref },
                ..resting
            };
            self.publish_replace(old.reference, &order);
            self.drop_order(account, old.user_ref);
            self.accounts[usize::from(account)].orders.insert(user_ref, new);
            self.book.add(order);
            return;
        }
        if let Some(resting) = resting {
            self.publish_reduction(&resting, resting.shares);
        }
        self.drop_order(account, old.user_ref);
        self.accounts[usize::from(account)].orders.insert(user_ref, new);
        self.work(account, user_ref);
    }

    fn is_late(&self, locate: u16) -> bool {
        self.symbol(locate).is_some_and(|symbol| symbol.late)
    }

    /// Shares that an intended size leaves open.
    fn intended_open(&self, order: &ClientOrder, quantity: u32) -> u32 {
        let executed = match self.rules.intended_size {
            IntendedSize::Chain => order.executed,
            IntendedSize::Order => order.executed - order.executed_before,
        };
        quantity.saturating_sub(executed)
    }

    /// 2.3. What would not reduce the order is superfluous and ignored.
    fn cancel(&mut self, account: u16, user_ref: u32, quantity: u32) -> Outcome {
        let Some(order) = self.order(account, user_ref).cloned() else { return Outcome::Ignored };
        let open = self.intended_open(&order, quantity);
        if open >= order.open || order.cancel_pending {
            return Outcome::Ignored;
        }
        if order.held && self.is_late(order.locate) {
            return self.cancel_late(account, user_ref, quantity);
        }
        self.reduce_order(account, user_ref, order.open - open, CancelWhy::User);
        Outcome::Done
    }

    /// 3.9 and 3.10: in the late period a full cancel waits for the cross, a partial one is refused; each is said once.
    fn cancel_late(&mut self, account: u16, user_ref: u32, quantity: u32) -> Outcome {
        let Some(order) = self.order_mut(account, user_ref) else { return Outcome::Ignored };
        if quantity == 0 {
            order.cancel_pending = true;
            self.cancel_pending(account, user_ref);
        } else if !std::mem::replace(&mut order.cancel_rejected, true) {
            self.cancel_rejected(account, user_ref);
        } else {
            return Outcome::Ignored;
        }
        Outcome::Late
    }

    /// 2.4. A larger size is taken, at the price of a new place in the queue and a new reference (3.11). A side that may
    /// not change is ignored with the whole request, which has no reject of its own.
    fn modify(&mut self, account: u16, message: &ModifyOrder) -> Outcome {
        let (user_ref, quantity) = (message.user_ref_num.get(), message.quantity.get());
        let Some(mut order) = self.order(account, user_ref).cloned() else { return Outcome::Ignored };
        let allowed = matches!((order.side_code, message.side), (b'S', b'E' | b'T') | (b'E', b'T'));
        if (!allowed && order.side_code != message.side) || quantity >= QUANTITY_LIMIT || order.cancel_pending {
            return Outcome::Ignored;
        }
        if order.held && self.is_late(order.locate) {
            return self.cancel_late(account, user_ref, quantity);
        }
        let open = self.intended_open(&order, quantity);
        if open == 0 {
            self.cancel_order(account, user_ref, CancelWhy::User);
            return Outcome::Done;
        }
        let had = order.open;
        order.open = open;
        order.side_code = message.side;
        let resting = self.book.get(order.reference).copied();
        if open > had {
            order.reference = self.fresh_reference();
        }
        self.accounts[usize::from(account)].orders.insert(user_ref, order.clone());
        self.modified(account, &order);
        match resting {
            Some(resting) if open > had => {
                self.book.remove(resting.reference);
                let larger = Order { reference: order.reference, shares: open, ..resting };
                self.book.add(larger);
                if !larger.hidden {
                    self.publish_replace(resting.reference, &larger);
                }
                self.priority_updated(account, &order);
            }
            Some(resting) if open < had => {
                self.publish_reduction(&resting, had - open);
                self.book.reduce(resting.reference, had - open);
            }
            _ => {}
        }
        Outcome::Done
    }

    /// 2.5.
    fn query(&mut self, account: u16) -> Outcome {
        let next = self.accounts[usize::from(account)].last_user_ref.saturating_add(1);
        let message = ouch::AccountQueryResponse {
            kind: ouch::AccountQueryResponse::TYPE,
            timestamp: self.timestamp(),
            next_user_ref_num: U32::new(next),
        };
        self.send(account, &Outbound::AccountQueryResponse(&message));
        Outcome::Done
    }
}

/// The limit of a price field: market orders accept any price.
fn limit_of(side: Side, price: u64) -> u32 {
    match (PriceMeaning::of(price), side) {
        (PriceMeaning::Limit(limit), _) => limit.min(LIMIT_PRICE_MAX) as u32,
        (_, Side::Buy) => u32::MAX,
        (_, Side::Sell) => 0,
    }
}

fn fields(bytes: &[u8], message: Option<&Inbound<'_>>) -> Fields {
    let kind = bytes.first().map(|byte| byte.escape_ascii().to_string()).unwrap_or_default();
    let text = |id: Alpha<14>| Some(id.to_string());
    match message {
        Some(Inbound::EnterOrder(order, _)) => Fields {
            kind,
            user_ref: Some(order.user_ref_num.get()),
            original_user_ref: None,
            side: Some(order.side as char),
            quantity: Some(order.quantity.get()),
            stock: Some(order.symbol.to_string()),
            price: Some(order.price.get()),
            time_in_force: Some(order.time_in_force as char),
            client_order_id: text(order.cl_ord_id),
        },
        Some(Inbound::ReplaceOrder(order, _)) => Fields {
            kind,
            user_ref: Some(order.user_ref_num.get()),
            original_user_ref: Some(order.orig_user_ref_num.get()),
            quantity: Some(order.quantity.get()),
            price: Some(order.price.get()),
            time_in_force: Some(order.time_in_force as char),
            client_order_id: text(order.cl_ord_id),
            ..Fields::default()
        },
        Some(Inbound::CancelOrder(order)) => Fields {
            kind,
            user_ref: Some(order.user_ref_num.get()),
            quantity: Some(order.quantity.get()),
            ..Fields::default()
        },
        Some(Inbound::ModifyOrder(order)) => Fields {
            kind,
            user_ref: Some(order.user_ref_num.get()),
            side: Some(order.side as char),
            quantity: Some(order.quantity.get()),
            ..Fields::default()
        },
        Some(Inbound::AccountQuery(_)) | None => Fields { kind, ..Fields::default() },
    }
}
