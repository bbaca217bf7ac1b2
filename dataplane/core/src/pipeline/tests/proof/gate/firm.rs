//! What the model knows: plain lists of all that happened, and sums taken from them anew.

use super::known::Known;
use super::others::Print;
use crate::pipeline::UnknownOrders;
use crate::risk::{HaltReason, LimitId, Reason, Refusal, StrategyLimits, SymbolLimits};
use crate::session::OrderAction;
use crate::units::{OrderId, Side};
use std::vec;
use std::vec::Vec;
use tern_abi::command::LimitsOutcome;
use tern_abi::manual::ManualOutcome;
use tern_abi::segment::{ScopeKind, TradingState};

/// Wide enough that no sum of the model overflows.
pub(super) type Num = i128;

pub(super) const INSTRUMENTS: usize = 3;
/// Two strategies and the house.
pub(super) const OWNERS: usize = 3;
pub(super) const SIDES: [Side; 2] = [Side::Buy, Side::Sell];

/// A trade, or one that was traded back because the history that would undo a break is not kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trade {
    pub(super) at: u64,
    pub(super) match_number: u64,
    pub(super) order: u32,
    pub(super) owner: usize,
    pub(super) instrument: usize,
    pub(super) side: Side,
    pub(super) quantity: Num,
    pub(super) price: Num,
    pub(super) broken: bool,
    /// As if it never was: broken while the history was whole.
    pub(super) undone: bool,
    /// Not an execution: a broken one, traded back.
    pub(super) back: bool,
    /// Said by a log that is gone, and not by the one now.
    pub(super) old_log: bool,
    /// By a person: no execution of the venue's.
    pub(super) told: bool,
}

/// What an owner holds of an instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) shares: Num,
    pub(super) cash: Num,
    pub(super) cost: Num,
}

impl Held {
    /// Average cost: what closes takes its part of the cost along, rounded towards zero; what goes through zero starts
    /// again at its own price.
    fn trade(&mut self, side: Side, quantity: Num, price: Num) {
        let signed = if side == Side::Buy { quantity } else { -quantity };
        let after = self.shares + signed;
        self.cash -= signed * price;
        self.cost = if self.shares == 0 || self.shares.signum() == signed.signum() || signed == 0 {
            self.cost + signed * price
        } else if after.signum() == self.shares.signum() {
            self.cost * after / self.shares
        } else {
            after * price
        };
        self.shares = after;
    }
}

/// Whether a number, or one that comes of it in a step, may not fit in the gate's own.
pub(super) fn large(number: Num) -> bool {
    number.unsigned_abs() > i64::MAX as u128 / 8
}

/// All holdings, by owner and instrument.
pub(super) type Holdings = [[Held; INSTRUMENTS]; OWNERS];

/// A message that waits for TCP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) action: OrderAction,
    pub(super) bytes_left: usize,
    pub(super) begun: bool,
}

/// A new order that was approved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    pub(super) at: u64,
    pub(super) instrument: usize,
    pub(super) side: Side,
    pub(super) price: Num,
    pub(super) quantity: Num,
    pub(super) cross: u8,
}

/// What an input led to, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent {
        action: OrderAction,
        price: Num,
        quantity: Num,
        side: Side,
        short: bool,
        system: bool,
    },
    Refused(Refusal),
    /// All limits at once: the epoch in force after it, and what came of it.
    Limits(u32, LimitsOutcome),
    /// What came of a wish, why not, and the shares or the figure that it says.
    ByHand(ManualOutcome, Option<Refusal>, Num),
}

/// What is planted in order to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The model has another bound than the gate.
    Bound(LimitId, Num),
    /// The model never refuses for this.
    Ignored(Reason),
    /// The gate hears of another number of shares in messages of this kind.
    Misheard(crate::session::VenueEventKind),
    /// The gate sees prints a tick higher.
    Misprint,
    /// The model forgets that a replace stands for the larger of the two until it is answered.
    NewSizeAtOnce,
    /// The model takes orders off its sums when the cancel is sent.
    CancelledAtOnce,
    /// The model takes our own prints for those of others.
    OwnPrints,
    /// The model takes our own quotes for those of others.
    OwnQuotes,
    /// The model takes fewer shares than a round lot for a price.
    OddLots,
    /// The model takes a price that an auction named however long ago.
    OldIndication,
    /// The model takes a price that our own orders are part of.
    OwnIndication,
    /// The model begins without yesterday's close.
    NoClose,
    /// The model forgets the volume of the part before the present one.
    OldVolume,
    /// The model does not count the system's cancels as messages of the day.
    FreeCancels,
    /// The model does not learn from the venue's ids how many messages the day had.
    IdsUnheard,
    /// The model lets orders be sent at the very end of the hours.
    LastInstant,
    /// The model lets a symbol with limits of its own keep them whatever is set by command.
    NoCeiling,
    /// The model forgets executions when another window is set for them.
    WindowForgets,
    /// The model remembers executions from before a strategy was let go on.
    Unforgotten,
    /// The model counts what the venue's log tells of the past as executions of now.
    LogCounts,
    /// The model takes limits that were made against others than those in force.
    StaleTaken,
    /// The model looks at new limits of loss only with the next price.
    LossLater,
    /// The model takes the firm's net from what positions cost and what orders ask.
    NetAtCost,
    /// The model takes the firm's gross from what each strategy's positions cost and what orders ask.
    GrossAtCost,
    /// The model counts a sale at what it asks, however much more others pay.
    SalesAtLimit,
    /// The model counts an instrument at the price of the last trade.
    FillsRevalue,
    /// The model takes the ends of a symbol's bounds for outside.
    BandEnds,
    /// The model sends market orders whatever bounds the symbol has.
    MarketInBand,
    /// The model forgets a trade that a person told.
    ToldUncounted,
}

/// An order in a book.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resting {
    pub(super) reference: u64,
    pub(super) side: Side,
    pub(super) price: Num,
    pub(super) quantity: Num,
}

/// An instrument's book, as far as orders depend on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) orders: Vec<Resting>,
    pub(super) last: Option<Num>,
    pub(super) state: u8,
    /// What the venue says of Rule 201.
    pub(super) short_sale: u8,
    pub(super) halted: bool,
    pub(super) distrusted: bool,
    /// What closing what is held would add, when it was last looked at.
    pub(super) unrealized: Num,
    /// What a share was worth then.
    pub(super) mark: Num,
}

/// The model.
#[derive(Clone, Debug)]
pub(super) struct Firm {
    pub(super) now: u64,
    pub(super) fault: Option<Fault>,
    /// The limits in force, by id.
    pub(super) bounds: Vec<Num>,
    /// What was set by command, by id.
    pub(super) ceilings: Vec<Option<Num>>,
    pub(super) symbols: Vec<SymbolLimits>,
    pub(super) strategies: Vec<StrategyLimits>,
    pub(super) short_max: Num,
    pub(super) epoch: u32,
    /// From when, and until before when, orders may be sent.
    pub(super) hours: (u64, u64),
    pub(super) halt: Option<HaltReason>,
    pub(super) is_daemon_silent: bool,
    pub(super) is_shutting_down: bool,
    /// All that was said of scopes.
    pub(super) scopes: Vec<(ScopeKind, u64, TradingState)>,
    /// Owners that were stopped for trading too often.
    pub(super) throttled: [bool; OWNERS],
    /// Owners that were stopped for what they lost.
    pub(super) lost: [bool; OWNERS],
    /// When each owner traded, and the window in which that was counted last.
    pub(super) executions: [(Vec<u64>, Num); OWNERS],
    pub(super) orders: Vec<Known>,
    pub(super) trades: Vec<Trade>,
    pub(super) held: Holdings,
    /// When a message was sent, and what it took of the rate.
    pub(super) messages: Vec<(u64, Num)>,
    /// Messages of the venue's day.
    pub(super) day: Num,
    pub(super) entered: Vec<Entered>,
    /// Profit at each look.
    pub(super) profits: Vec<Num>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) room_bytes: usize,
    pub(super) is_ready: bool,
    /// The venue's log was told up to now.
    pub(super) caught_up: bool,
    pub(super) ring_room: bool,
    /// What the recorder says from the next input on.
    pub(super) ring_room_next: bool,
    pub(super) record_fails: bool,
    pub(super) encode_fails: bool,
    /// A lost record is still to be told.
    pub(super) loss_untold: bool,
    pub(super) next_id: u32,
    pub(super) last_seq: u64,
    pub(super) books: Vec<Book>,
    /// The price at which each instrument counts.
    pub(super) values: [Num; INSTRUMENTS],
    /// What others traded.
    pub(super) prints: Vec<Print>,
    /// Shares of a round lot.
    pub(super) round_lots: [Num; INSTRUMENTS],
    /// The price that an auction named last, and when.
    pub(super) indications: [(Num, u64); INSTRUMENTS],
    /// Where the market closed the day before.
    pub(super) closes: [Option<Num>; INSTRUMENTS],
    /// The best price at which an order of ours may have stood since any stood there, by side.
    pub(super) stood: [[Option<Num>; 2]; INSTRUMENTS],
    pub(super) stream_distrusted: bool,
    pub(super) orders_max: usize,
    pub(super) executions_max: usize,
    pub(super) unknown_orders: UnknownOrders,
    pub(super) pull_on_distrust: bool,
    pub(super) refusals: Vec<u64>,
    pub(super) out: Vec<Outcome>,
    /// Counts what opened or ended, for the age of lists.
    pub(super) clock: u64,
    /// A number on the way to a sum was too large for the gate's own.
    pub(super) was_beyond: bool,
}

impl Firm {
    pub(super) fn new(config: &crate::pipeline::Config) -> Self {
        Self {
            now: 0,
            fault: None,
            bounds: LimitId::ALL.iter().map(|id| Num::from(config.limits.get(*id))).collect(),
            ceilings: vec![None; LimitId::COUNT],
            symbols: config.symbols.clone(),
            strategies: config.strategy_limits.clone(),
            short_max: config.short_max.into(),
            epoch: config.limits.epoch,
            hours: (config.hours.0.0, config.hours.1.0),
            halt: None,
            is_daemon_silent: false,
            is_shutting_down: false,
            scopes: Vec::new(),
            throttled: [false; OWNERS],
            lost: [false; OWNERS],
            executions: Default::default(),
            orders: Vec::new(),
            trades: Vec::new(),
            held: Holdings::default(),
            messages: Vec::new(),
            day: config.messages_sent.into(),
            entered: Vec::new(),
            profits: vec![0],
            waiting: Vec::new(),
            room_bytes: 0,
            is_ready: false,
            caught_up: false,
            ring_room: true,
            ring_room_next: true,
            record_fails: false,
            encode_fails: false,
            loss_untold: false,
            next_id: config.next_order_id.max(1),
            last_seq: 0,
            books: vec![Book::default(); INSTRUMENTS],
            values: [0; INSTRUMENTS],
            prints: Vec::new(),
            round_lots: [1; INSTRUMENTS],
            indications: [(0, 0); INSTRUMENTS],
            closes: std::array::from_fn(|instrument| super::others::close_of(config, instrument)),
            stood: Default::default(),
            stream_distrusted: false,
            orders_max: config.orders_max,
            executions_max: config.executions_max,
            unknown_orders: config.unknown_orders,
            pull_on_distrust: config.pull_on_distrust,
            refusals: vec![0; Reason::COUNT],
            out: Vec::new(),
            clock: 0,
            was_beyond: false,
        }
    }

    /// The places of the open orders, oldest first.
    pub(super) fn open(&self) -> Vec<usize> {
        let mut open: Vec<usize> = (0..self.orders.len()).filter(|at| self.orders[*at].is_open()).collect();
        open.sort_by_key(|at| self.orders[*at].since);
        open
    }

    pub(super) fn find(&self, id: u32) -> Option<usize> {
        let is_it = |order: &Known| order.id == id || order.pending.is_some_and(|pending| pending.id == id);
        if id == 0 { None } else { self.orders.iter().position(is_it) }
    }

    /// What an order stands for, shares and value, with the planted fault if there is one.
    pub(super) fn stands_for(&self, order: &Known) -> (Num, Num) {
        match self.fault {
            Some(Fault::NewSizeAtOnce) if let Some(pending) = order.pending.filter(|_| order.is_open()) => {
                let later = (pending.total - order.executed).max(0);
                (later, later * pending.price)
            }
            Some(Fault::CancelledAtOnce) if order.cancel_sent.is_some() => (0, 0),
            _ => order.stands_for(),
        }
    }

    /// Shares and value of the open orders of a side, of one instrument or all.
    pub(super) fn open_of(&self, instrument: Option<usize>, side: Side) -> (Num, Num) {
        let of = self
            .orders
            .iter()
            .filter(|order| order.side == side && instrument.is_none_or(|instrument| order.instrument == instrument));
        of.map(|order| self.stands_for(order)).fold((0, 0), |sum, (shares, value)| (sum.0 + shares, sum.1 + value))
    }

    /// The firm's position in an instrument: all executions less those broken.
    pub(super) fn position(&self, instrument: usize) -> Num {
        let stands = self.trades.iter().filter(|t| t.instrument == instrument && !t.broken && !t.back);
        stands.map(|t| if t.side == Side::Buy { t.quantity } else { -t.quantity }).sum()
    }

    /// The position seen from `side` with all open orders of the side filled.
    pub(super) fn worst(&self, instrument: usize, side: Side) -> Num {
        let position = self.position(instrument);
        self.open_of(Some(instrument), side).0 + if side == Side::Buy { position } else { -position }
    }

    /// What everybody holds: all trades from the first on.
    pub(super) fn holdings<'a>(trades: impl Iterator<Item = &'a Trade>) -> Holdings {
        let mut held = Holdings::default();
        for trade in trades.filter(|trade| !trade.undone) {
            held[trade.owner][trade.instrument].trade(trade.side, trade.quantity, trade.price);
        }
        held
    }

    pub(super) fn realized(&self) -> Num {
        self.held.iter().flatten().map(|held| held.cash + held.cost).sum()
    }
    pub(super) fn profit(&self) -> Num {
        self.realized() + self.books.iter().map(|book| book.unrealized).sum::<Num>()
    }
    pub(super) fn drawdown(&self) -> Num {
        self.profits.iter().max().copied().unwrap_or(0) - self.profit()
    }

    /// Executions that are still known, oldest first.
    pub(super) fn known_trades(&self) -> impl Iterator<Item = usize> {
        let is_execution = |trade: &Trade| !trade.back && !trade.told;
        let all: Vec<usize> = (0..self.trades.len()).filter(|at| is_execution(&self.trades[*at])).collect();
        let forgotten = all.len().saturating_sub(self.executions_max);
        all.into_iter().skip(forgotten)
    }

    pub(super) fn take_id(&mut self, id: u32) {
        self.next_id = self.next_id.max(id.saturating_add(1));
    }

    /// Whether a number is, or was, too large for the gate's own, which holds on to the largest then.
    pub(super) fn is_beyond(&self) -> bool {
        self.was_beyond
            || self.held.iter().flatten().any(|held| large(held.cash) || large(held.cost) || large(held.shares))
            || self.books.iter().any(|book| large(book.unrealized))
            || SIDES.iter().any(|side| large(self.open_of(None, *side).1))
            || large(self.gross())
            || (0..OWNERS).any(|owner| large(self.gross_of(owner)) || large(self.profit_of(owner)))
    }

    /// The order's id that a message names.
    pub(super) fn named(action: OrderAction) -> u32 {
        match action {
            OrderAction::New { order }
            | OrderAction::Cancel { order }
            | OrderAction::Reduce { order }
            | OrderAction::Replace { order, .. } => order.0,
        }
    }

    pub(super) fn cancel_of(order: &Known) -> OrderAction {
        OrderAction::Cancel { order: OrderId(order.cancel_target()) }
    }
}
