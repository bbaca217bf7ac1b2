//! What a strategy is: called at defined points, answers with intents.

use crate::book::{BookChange, Books, Instruments};
pub use crate::kept::{KeptState, Rebuilt, STATE_BYTES_MAX, StateTooLong};
use crate::orders::{Order, OrderState};
use crate::pipeline::Desk;
use crate::portfolio::Position;
use crate::probe::{Isolate, Panicked};
use crate::risk::Limits;
use crate::session::VenueEventKind;
use crate::units::{InstrumentId, OrderId, Price, Quantity, Side, Symbol, TaiNs};
use alloc::boxed::Box;
pub use tern_abi::segment::TradingState;

/// A batch of datagrams ended: how stale what the strategy saw may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Age of the oldest datagram of the batch when its last event was applied, ns.
    pub age_ns: u64,
    /// Datagrams that still wait.
    pub backlog: u32,
}

/// Time in force and the like of a new order.
pub use crate::session::TimeInForce;

/// What a strategy wants. The gate decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// A new order.
    New {
        /// Instrument.
        instrument: InstrumentId,
        /// Side.
        side: Side,
        /// Limit price; [`Price::MARKET`] for an order on open or on close that takes what the cross pays.
        price: Price,
        /// Shares.
        quantity: Quantity,
        /// Fewest shares that may trade at once, in hundreds, for an immediate-or-cancel order; 0 = any.
        min_quantity: Quantity,
        /// Time in force.
        time_in_force: TimeInForce,
        /// Only if it does not trade at once.
        post_only: bool,
    },
    /// Another price or size for a live order; it loses its place unless only the size shrinks.
    Replace {
        /// The live order.
        order: OrderId,
        /// New limit price.
        price: Price,
        /// New open shares.
        quantity: Quantity,
    },
    /// Cancel a live order.
    Cancel {
        /// The live order.
        order: OrderId,
    },
    /// Cancel a part of a live order; what stays keeps its place.
    Reduce {
        /// The live order.
        order: OrderId,
        /// Shares to stay open: fewer than now, and not 0.
        quantity: Quantity,
    },
}

/// Most intents a strategy may have in one call.
pub const INTENTS_MAX: usize = 16;

/// The intents of one call, bounded.
#[derive(Debug)]
pub struct Intents {
    intents: [Option<Intent>; INTENTS_MAX],
    length: usize,
    overflowed: u64,
    state: KeptState,
    has_state: bool,
}

impl Default for Intents {
    fn default() -> Self {
        Self { intents: [None; INTENTS_MAX], length: 0, overflowed: 0, state: KeptState::default(), has_state: false }
    }
}

impl Intents {
    /// Adds an intent; when the call already has [`INTENTS_MAX`], it is dropped and counted.
    #[inline]
    pub fn push(&mut self, intent: Intent) {
        match self.intents.get_mut(self.length) {
            Some(slot) => {
                *slot = Some(intent);
                self.length += 1;
            }
            None => self.overflowed += 1,
        }
    }
    /// Hands out the strategy's own state, which it is given ([`Strategy::restore`]) when it is built anew: after a panic
    /// that an operator lets it go on from, and after a restart within the day. Taken when the call is over, and recorded
    /// before the call's intents are looked at; of several in one call the last counts, and none of a call that panics.
    /// Each is a record of the journal: hand it out when it changed, not with every call.
    ///
    /// # Errors
    /// It is longer than [`STATE_BYTES_MAX`]; what was handed out before stays.
    #[inline]
    pub fn keep(&mut self, version: u16, state: &[u8]) -> Result<(), StateTooLong> {
        self.state = KeptState::new(version, state)?;
        self.has_state = true;
        Ok(())
    }
    /// The state that this call handed out, if it did.
    #[inline]
    pub(crate) fn kept(&self) -> Option<&KeptState> {
        self.has_state.then_some(&self.state)
    }
    pub(crate) fn forget_state(&mut self) {
        self.has_state = false;
    }
    /// Intents held.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
    /// Intents dropped because a call had too many, since last asked.
    pub(crate) fn take_overflowed(&mut self) -> u64 {
        core::mem::take(&mut self.overflowed)
    }
    /// The intent at `index`, in the order in which they were pushed.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Intent> {
        self.intents.get(index).copied().flatten()
    }
    /// Forgets all intents, and the state.
    #[inline]
    pub fn clear(&mut self) {
        self.length = 0;
        self.has_state = false;
    }
}

/// What happened to one of the strategy's own orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// What.
    pub kind: VenueEventKind,
    /// The order's id now.
    pub order: OrderId,
    /// Its id before a replace; equal to `order` otherwise.
    pub previous: OrderId,
    /// Instrument.
    pub instrument: InstrumentId,
    /// Side.
    pub side: Side,
    /// Price of the execution or the order.
    pub price: Price,
    /// Shares of this event.
    pub quantity: Quantity,
    /// Shares still open.
    pub leaves: Quantity,
    /// Where the order is in its life now.
    pub state: OrderState,
}

/// What a strategy may look at while it is called.
#[derive(Clone, Copy, Debug)]
pub struct Ctx<'a> {
    pub(crate) now: TaiNs,
    pub(crate) owner: usize,
    pub(crate) desk: &'a Desk,
}

impl<'a> Ctx<'a> {
    /// The loop's time.
    #[inline]
    pub const fn now(&self) -> TaiNs {
        self.now
    }
    /// All books.
    #[inline]
    pub const fn books(&self) -> &'a Books {
        &self.desk.books
    }
    /// All instruments.
    #[inline]
    pub const fn instruments(&self) -> &'a Instruments {
        &self.desk.instruments
    }
    /// Whether orders could be sent: not halted, logged in.
    #[inline]
    pub const fn can_trade(&self) -> bool {
        self.desk.can_trade()
    }
    /// Whether the instrument's book is trusted and the venue lets it trade, no halt of any kind, and no operator keeps
    /// this strategy from new orders in it.
    #[inline]
    pub fn is_tradable(&self, instrument: InstrumentId) -> bool {
        let books = self.books();
        books.is_trusted(instrument)
            && books.status(instrument).trading_state == b'T'
            && !self.desk.gate.is_halted(instrument)
            && matches!(self.trading_state(instrument), TradingState::Running | TradingState::ReduceOnly)
    }
    /// How far this strategy's orders in an instrument may trade: an operator can restrict strategies, symbols, or all.
    #[inline]
    pub fn trading_state(&self, instrument: InstrumentId) -> TradingState {
        let scopes = self.desk.gate.scopes();
        if !scopes.is_any() {
            return TradingState::Running;
        }
        let symbol = self.desk.instruments.symbol(instrument).unwrap_or(Symbol([b' '; 8]));
        scopes.state(self.owner as u8, symbol)
    }
    /// What this strategy holds of an instrument.
    #[inline]
    pub fn position(&self, instrument: InstrumentId) -> Position {
        self.desk.portfolio.position(self.owner, instrument)
    }
    /// This strategy's open orders in an instrument, oldest first.
    #[inline]
    pub fn orders(&self, instrument: InstrumentId) -> impl Iterator<Item = &'a Order> {
        self.desk.orders.own(self.owner, instrument)
    }
    /// Whether an open order of the account may stand on a side at a price: where this says no, none does, and what the book
    /// shows there is others'. One compare, which says no for most prices.
    #[inline]
    pub fn may_stand(&self, instrument: InstrumentId, side: Side, price: Price) -> bool {
        self.desk.gate.may_stand(instrument, side, price)
    }
    /// This strategy's order with this id, open or recently dead.
    #[inline]
    pub fn order(&self, id: OrderId) -> Option<&'a Order> {
        self.desk.orders.find(id).filter(|order| usize::from(order.owner) == self.owner)
    }
    /// From when on the rate lets so many order messages through at once: what is sent before is refused, as `rate`. A
    /// strategy that asks first keeps its intents until they are worth something. [`TaiNs::NEVER`] when the rate's burst
    /// is smaller.
    #[inline]
    pub const fn orders_due(&self, count: u32) -> TaiNs {
        self.desk.gate.rate().orders_due(count)
    }
    /// Limits in force.
    #[inline]
    pub fn limits(&self) -> &'a Limits {
        self.desk.gate.limits()
    }
}

/// A trading strategy: sees books and its own orders, answers with intents. It cannot send anything.
pub trait Strategy {
    /// An event changed a book, or traded. All events of the datagram are in the books already.
    fn on_book(&mut self, ctx: &Ctx<'_>, change: &BookChange, out: &mut Intents);
    /// All changes of a datagram were told.
    fn on_batch_end(&mut self, ctx: &Ctx<'_>, batch: Batch, out: &mut Intents);
    /// Something happened to an own order.
    fn on_order(&mut self, ctx: &Ctx<'_>, event: &OrderEvent, out: &mut Intents);
    /// [`Strategy::next_deadline`] passed.
    fn on_timer(&mut self, ctx: &Ctx<'_>, out: &mut Intents);
    /// When `on_timer` is wanted; [`TaiNs::NEVER`] if not.
    fn next_deadline(&self) -> TaiNs {
        TaiNs::NEVER
    }
    /// What it handed out last ([`Intents::keep`]), before the first call to one that was built anew. The version may be
    /// one of another build: what it cannot read it leaves. Positions and open orders are not its affair: [`Ctx`] has
    /// them.
    fn restore(&mut self, _: &KeptState) {}
}

/// A call to a strategy.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// [`Strategy::on_book`] for each, until one gives an intent.
    Book(&'a [BookChange]),
    /// [`Strategy::on_batch_end`].
    BatchEnd(Batch),
    /// [`Strategy::on_order`].
    Order(&'a OrderEvent),
    /// [`Strategy::on_timer`].
    Timer,
}

/// Makes the call; how many book changes were told.
#[inline]
fn dispatch<S: Strategy>(strategy: &mut S, call: Call<'_>, ctx: &Ctx<'_>, out: &mut Intents) -> usize {
    match call {
        Call::Book(changes) => {
            for (index, change) in changes.iter().enumerate() {
                strategy.on_book(ctx, change, out);
                if !out.is_empty() {
                    return index + 1;
                }
            }
            return changes.len();
        }
        Call::BatchEnd(batch) => strategy.on_batch_end(ctx, batch, out),
        Call::Order(event) => strategy.on_order(ctx, event, out),
        Call::Timer => strategy.on_timer(ctx, out),
    }
    0
}

/// The strategies of a host, each contained by itself: a tuple of up to four, or a boxed slice of one type;
/// [`Rebuilt`] is either, with a way to build them anew.
pub trait StrategySet {
    /// How many there are.
    fn count(&self) -> usize;
    /// Calls the one with this index. Returns how many book changes it was told.
    ///
    /// # Errors
    /// [`Panicked`] when it did; it is not to be called again.
    fn call<I: Isolate>(
        &mut self,
        index: usize,
        isolate: &mut I,
        call: Call<'_>,
        ctx: &Ctx<'_>,
        out: &mut Intents,
    ) -> Result<usize, Panicked>;
    /// When the one with this index wants a timer.
    fn next_deadline(&self, index: usize) -> TaiNs;
    /// Gives the one with this index its state.
    fn restore(&mut self, index: usize, state: &KeptState);
    /// Takes the one with this index of `fresh` in the place of its own, which `fresh` has then.
    fn exchange(&mut self, index: usize, fresh: &mut Self);
    /// Builds the one with this index anew, and gives it its state; `false` when this set cannot. Cold: it may allocate,
    /// and panic.
    fn rebuild(&mut self, _: usize, _: Option<&KeptState>) -> bool {
        false
    }
}

/// One strategy, isolated.
#[inline]
fn contained<S: Strategy, I: Isolate>(
    strategy: &mut S,
    isolate: &mut I,
    call: Call<'_>,
    ctx: &Ctx<'_>,
    out: &mut Intents,
) -> Result<usize, Panicked> {
    let mut told = 0;
    isolate.call(|| told = dispatch(strategy, call, ctx, out)).map(|()| told)
}

macro_rules! strategy_tuple {
    ($count:literal: $($name:ident $index:tt),+) => {
        impl<$($name: Strategy),+> StrategySet for ($($name,)+) {
            fn count(&self) -> usize {
                $count
            }
            #[inline]
            fn call<I: Isolate>(
                &mut self,
                index: usize,
                isolate: &mut I,
                call: Call<'_>,
                ctx: &Ctx<'_>,
                out: &mut Intents,
            ) -> Result<usize, Panicked> {
                match index {
                    $($index => contained(&mut self.$index, isolate, call, ctx, out),)+
                    _ => Ok(0),
                }
            }
            fn next_deadline(&self, index: usize) -> TaiNs {
                match index {
                    $($index => self.$index.next_deadline(),)+
                    _ => TaiNs::NEVER,
                }
            }
            fn restore(&mut self, index: usize, state: &KeptState) {
                match index {
                    $($index => self.$index.restore(state),)+
                    _ => {}
                }
            }
            fn exchange(&mut self, index: usize, fresh: &mut Self) {
                match index {
                    $($index => core::mem::swap(&mut self.$index, &mut fresh.$index),)+
                    _ => {}
                }
            }
        }
    };
}
strategy_tuple!(1: A 0);
strategy_tuple!(2: A 0, B 1);
strategy_tuple!(3: A 0, B 1, C 2);
strategy_tuple!(4: A 0, B 1, C 2, D 3);

impl<S: Strategy> StrategySet for Box<[S]> {
    fn count(&self) -> usize {
        self.len()
    }
    #[inline]
    fn call<I: Isolate>(
        &mut self,
        index: usize,
        isolate: &mut I,
        call: Call<'_>,
        ctx: &Ctx<'_>,
        out: &mut Intents,
    ) -> Result<usize, Panicked> {
        self.get_mut(index).map_or(Ok(0), |strategy| contained(strategy, isolate, call, ctx, out))
    }
    fn next_deadline(&self, index: usize) -> TaiNs {
        self.get(index).map_or(TaiNs::NEVER, Strategy::next_deadline)
    }
    fn restore(&mut self, index: usize, state: &KeptState) {
        if let Some(strategy) = self.get_mut(index) {
            strategy.restore(state);
        }
    }
    fn exchange(&mut self, index: usize, fresh: &mut Self) {
        if let (Some(own), Some(other)) = (self.get_mut(index), fresh.get_mut(index)) {
            core::mem::swap(own, other);
        }
    }
}
