//! Closing positions by hand: what is open in a scope is cancelled, and what is held there sold or bought back by orders that only
//! reduce, until nothing is left or the time is over.
//!
//! Each order is immediate or cancel, at the best price of the other side as the book shows it, for no more than is held less what
//! works on that side already, of its owner and of the firm. So none rests, none goes through zero whatever fills while it works, and
//! each passes the gate as a strategy's would: what is too far from the reference, too large or too fast waits. Orders belong to
//! whoever holds the position. It takes a step when it begins, and with each timer that is due.

use super::manual::told;
use super::{Desk, HOUSE, Pipeline, Turn};
use crate::feed::Feed;
use crate::orders::Order;
use crate::probe::Probe;
use crate::risk::{Owner, Part, Reason, Refusal};
use crate::session::{OrderSession, TimeInForce};
use crate::strategy::{Intent, StrategySet};
use crate::units::{InstrumentId, Price, Quantity, Side, TaiNs};
use alloc::boxed::Box;
use alloc::vec;
use tern_abi::manual::{ManualCommand, ManualOutcome, ManualRecord};
use tern_abi::record::Recorder;
use tern_abi::segment::ScopeKind;

/// Positions of one flatten.
pub(super) const TARGETS_MAX: usize = 4096;
/// Orders of one look, sent or refused: the ring's room was asked for once, before its input, and each has records.
const STEP_ORDERS_MAX: usize = 32;
/// From one look to the next: a venue answers within less.
const STEP_NS: u64 = 5_000_000;
/// Before an order that was refused, or had no price, is tried again; doubled each time up to the second.
const RETRY_NS: u64 = 50_000_000;
const RETRY_NS_MAX: u64 = 1_000_000_000;

/// What one owner holds, or has open, in one instrument.
#[derive(Clone, Copy, Debug)]
struct Target {
    owner: u8,
    instrument: InstrumentId,
    /// Not before.
    due: TaiNs,
    /// The last pause after a refusal; 0 = the last try was none.
    pause_ns: u64,
}

const NO_TARGET: Target = Target { owner: 0, instrument: InstrumentId::NONE, due: TaiNs(0), pause_ns: 0 };

/// The flatten that is under way, if one is.
#[derive(Debug)]
pub(super) struct Flatten {
    /// 0 = none.
    request: u64,
    part: Part,
    until: TaiNs,
    due: TaiNs,
    /// Why an order was refused last.
    refusal: Option<Refusal>,
    targets: Box<[Target]>,
    length: usize,
}

impl Default for Flatten {
    fn default() -> Self {
        Self {
            request: 0,
            part: Part::All(ScopeKind::Firm),
            until: TaiNs(0),
            due: TaiNs::NEVER,
            refusal: None,
            targets: vec![NO_TARGET; TARGETS_MAX].into_boxed_slice(),
            length: 0,
        }
    }
}

impl Flatten {
    /// When it wants a timer.
    #[inline]
    pub(super) const fn due(&self) -> TaiNs {
        self.due
    }

    /// Adds a target that is not in it yet; `false` when there is no room.
    fn add(&mut self, owner: u8, instrument: InstrumentId) -> bool {
        let Some(place) = self.targets.get_mut(self.length) else { return false };
        *place = Target { owner, instrument, ..NO_TARGET };
        self.length += 1;
        true
    }

    /// Everything that decides what comes, for a hash.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let targets = self.targets.iter().take(self.length);
        let targets =
            targets.flat_map(|of| [u64::from(of.instrument.0) << 8 | u64::from(of.owner), of.due.0, of.pause_ns]);
        let (kind, key) = match self.part {
            Part::All(kind) => (kind as u64, 0),
            Part::Owner(owner) => (u64::MAX, u64::from(owner)),
            Part::Symbol(symbol) => (u64::MAX - 1, u64::from_le_bytes(symbol.0)),
        };
        let [reason, limit, value] = self.refusal.map_or([0; 3], |refusal| {
            [refusal.reason as u64 + 1, refusal.limit.cast_unsigned(), refusal.value.cast_unsigned()]
        });
        let words = [self.request, kind, key, self.until.0, self.due.0, reason, limit, value];
        words.into_iter().chain(targets)
    }
}

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// One runs at a time, but for that of the firm, which takes the place of any.
    pub(super) fn begin_flatten<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, wish: &ManualCommand) {
        let desk = &mut self.desk;
        let part = match desk.may_flatten(wish) {
            Ok(part) => part,
            Err(outcome) => return desk.refuse_by_hand(turn, wish.request, outcome),
        };
        if desk.flatten.request != 0 {
            desk.end_flatten(turn, ManualOutcome::Left);
        }
        if !desk.gather(part) {
            return desk.refuse_by_hand(turn, wish.request, ManualOutcome::TooMany);
        }
        let until = turn.now.plus(u64::from(wish.within_ms).saturating_mul(1_000_000));
        let flatten = &mut desk.flatten;
        (flatten.request, flatten.part, flatten.until, flatten.refusal) = (wish.request, part, until, None);
        let record = ManualRecord { request: wish.request, count: flatten.length as u32, ..told(ManualOutcome::Began) };
        desk.tell_by_hand(turn, record);
        self.step_flatten(turn);
    }

    /// Sends what can be sent now, and finds out when to look again.
    #[cold]
    pub(super) fn step_flatten<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        if self.desk.flatten.request == 0 {
            self.desk.flatten.due = TaiNs::NEVER;
            return;
        }
        let part = self.desk.flatten.part;
        // An order that never rests is over by itself.
        self.desk.want_cancels(|desk, order| {
            !order.cancel_wanted && order.time_in_force != TimeInForce::Ioc && desk.is_part(part, order)
        });
        let (mut at, mut tries) = (0, 0);
        while let Some(target) = self.desk.flatten.targets.get(at).copied().filter(|_| at < self.desk.flatten.length) {
            if self.desk.is_flat(&target) {
                self.desk.flatten.length -= 1;
                let last = self.desk.flatten.length;
                self.desk.flatten.targets.swap(at, last);
                continue;
            }
            at += 1;
            if turn.now < target.due || tries >= STEP_ORDERS_MAX {
                continue;
            }
            // Room and rate are everybody's: what is beyond them would only be refused.
            if let Some(refusal) = self.desk.moment(turn.now, 0, &self.session).blocked() {
                self.desk.flatten.refusal = Some(refusal);
                continue;
            }
            if self.desk.gate.rate().allows_order(turn.now) {
                let (next, is_tried) = self.reduce_target(turn, target);
                tries += usize::from(is_tried);
                if let Some(place) = self.desk.flatten.targets.get_mut(at - 1) {
                    *place = next;
                }
            }
        }
        let flatten = &mut self.desk.flatten;
        if flatten.length == 0 {
            self.desk.end_flatten(turn, ManualOutcome::Flat);
        } else if turn.now >= flatten.until || self.desk.gate.is_stopped() {
            self.desk.end_flatten(turn, ManualOutcome::Left);
        } else {
            flatten.due = turn.now.plus(STEP_NS).min(flatten.until);
        }
    }

    /// Tries to close one position, or a part of it; whether the gate was asked.
    fn reduce_target<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, target: Target) -> (Target, bool) {
        let owner = self.desk.owner(usize::from(target.owner));
        let intent = match self.desk.closing(owner, target.instrument) {
            Ok(Some(intent)) => intent,
            Ok(None) => return (target, false),
            Err(refusal) => return (self.desk.wait_after(turn.now, target, refusal), false),
        };
        let order = self.desk.ids.next();
        let next = match self.act_by_hand(turn, owner, &intent) {
            Ok(()) => {
                let record = ManualRecord { request: self.desk.flatten.request, order, ..told(ManualOutcome::Sent) };
                self.desk.tell_by_hand(turn, record);
                Target { pause_ns: 0, ..target }
            }
            Err(refusal) => self.desk.wait_after(turn.now, target, refusal),
        };
        (next, true)
    }
}

impl Desk {
    /// What a flatten is about; why there can be none now.
    fn may_flatten(&self, wish: &ManualCommand) -> Result<Part, ManualOutcome> {
        let part = wish.scope().and_then(|(kind, key)| self.part_of(kind, key)).ok_or(ManualOutcome::Malformed)?;
        match part {
            Part::All(_) => Ok(part),
            _ if self.flatten.request != 0 => Err(ManualOutcome::Busy),
            _ => Ok(part),
        }
    }

    /// How much would be in a flatten. One that is under way is not looked at: it has the place of the list.
    pub(super) fn count_targets(&mut self, wish: &ManualCommand) -> Result<u32, ManualOutcome> {
        let part = self.may_flatten(wish)?;
        if self.flatten.request != 0 {
            return Err(ManualOutcome::Busy);
        }
        let fits = self.gather(part);
        let count = core::mem::take(&mut self.flatten.length) as u32;
        if fits { Ok(count) } else { Err(ManualOutcome::TooMany) }
    }

    /// Collects what is held and open in a part; `false`, and nothing, if that is too much.
    fn gather(&mut self, part: Part) -> bool {
        let fits = self.collect(part);
        if !fits {
            self.flatten.length = 0;
        }
        fits
    }

    fn collect(&mut self, part: Part) -> bool {
        self.flatten.length = 0;
        let Self { flatten, portfolio, orders, owners, owner_count, instruments, .. } = self;
        let is_in = |owner: u8, instrument: InstrumentId| match part {
            Part::All(_) => true,
            Part::Owner(of) => of == owner,
            Part::Symbol(symbol) => instruments.symbol(instrument) == Some(symbol),
        };
        for owner in owners.iter().take(*owner_count) {
            let held = portfolio.of(owner.index.into()).filter(|(_, position)| position.shares != 0);
            let mut held = held.filter(|(instrument, _)| is_in(owner.index, *instrument));
            if !held.all(|(instrument, _)| flatten.add(owner.index, instrument)) {
                return false;
            }
        }
        // What is open may still come to be held: by its first order, where nothing is held, each pair is met once.
        let is_first = |order: &Order| {
            let owner = usize::from(order.owner);
            portfolio.position(owner, order.instrument).shares == 0
                && orders.own(owner, order.instrument).next().is_some_and(|first| first.id == order.id)
        };
        let mut open = orders.open().filter(|order| is_in(order.owner, order.instrument) && is_first(order));
        open.all(|order| flatten.add(order.owner, order.instrument))
    }

    fn is_flat(&self, target: &Target) -> bool {
        let owner = usize::from(target.owner);
        self.portfolio.position(owner, target.instrument).shares == 0
            && self.orders.own(owner, target.instrument).next().is_none()
    }

    /// The order that closes most of a position now. `None`: what works already closes all that may be closed.
    ///
    /// # Errors
    /// Why there can be none.
    fn closing(&self, owner: Owner, instrument: InstrumentId) -> Result<Option<Intent>, Refusal> {
        let held = self.portfolio.position(usize::from(owner.index), instrument).shares;
        if held == 0 {
            return Ok(None);
        }
        if owner.strategy == HOUSE {
            // Of a strategy that this host does not have: nobody here sends orders for it.
            return Err(Refusal::new(Reason::StrategyDisabled));
        }
        let side = if held > 0 { Side::Sell } else { Side::Buy };
        let own = self.orders.own(usize::from(owner.index), instrument).filter(|order| order.side == side);
        let working: i64 = own.map(|order| i64::from(Order::exposure(order))).sum();
        let Some(exposure) = self.gate.exposure(instrument) else {
            return Err(Refusal::new(Reason::UnknownInstrument));
        };
        let room = held.saturating_abs().saturating_sub(working);
        if room <= 0 {
            return Ok(None);
        }
        // Strategies that hold the opposite of one another: to close the one's would make the firm's position larger.
        let firm = exposure.worst(side, 0).saturating_neg();
        if firm <= 0 {
            // Its own order that works is waited for; one of another strategy's may rest for ever.
            return if working > 0 {
                Ok(None)
            } else {
                Err(Refusal::beyond(Reason::ReduceOnly, 0, exposure.open(side)))
            };
        }
        let top = self.books.top(instrument);
        let best = if side == Side::Sell { top.bid } else { top.ask };
        let Some(price) = best.map(|level| on_tick(level.price, side)) else {
            return Err(Refusal::new(Reason::NoReference));
        };
        let most = self.gate.order_quantity_max(instrument, price);
        let quantity = Quantity::try_from(room.min(firm)).unwrap_or(Quantity::MAX).min(most);
        Ok(Some(Intent::New {
            instrument,
            side,
            price,
            quantity,
            min_quantity: 0,
            time_in_force: TimeInForce::Ioc,
            post_only: false,
        }))
    }

    fn wait_after(&mut self, now: TaiNs, target: Target, refusal: Refusal) -> Target {
        self.flatten.refusal = Some(refusal);
        let pause_ns = target.pause_ns.saturating_mul(2).clamp(RETRY_NS, RETRY_NS_MAX);
        Target { due: now.plus(pause_ns), pause_ns, ..target }
    }

    fn end_flatten<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, outcome: ManualOutcome) {
        let flatten = &mut self.flatten;
        let refusal = flatten.refusal.take().filter(|_| outcome == ManualOutcome::Left);
        let mut record = ManualRecord { request: flatten.request, count: flatten.length as u32, ..told(outcome) };
        if let Some(Refusal { reason, limit, value }) = refusal {
            (record.reason, record.limit, record.value) = (reason as u32 + 1, limit, value);
        }
        (flatten.request, flatten.length, flatten.due) = (0, 0, TaiNs::NEVER);
        self.tell_by_hand(turn, record);
    }
}

/// The price nearest to one of a book, and no worse for whoever stands there, that an order may have: a cent, below a dollar a
/// hundredth of one (SEC Rule 612). Books show others, midpoints among them.
const fn on_tick(price: Price, side: Side) -> Price {
    let tick = if price.0 >= 1_0000 { 100 } else { 1 };
    let below = price.0 - price.0.rem_euclid(tick);
    match side {
        Side::Sell => Price(below),
        Side::Buy if below == price.0 => price,
        Side::Buy => Price(below + tick),
    }
}
