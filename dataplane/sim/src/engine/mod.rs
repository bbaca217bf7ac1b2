//! The matching engine: the flow's messages and clients' orders meet in one book; out come the feed and the clients'
//! answers.
//!
//! No I/O and no clock: time is an argument, what is to be sent is collected in [`Output`].
//!
//! # How the flow and clients meet
//! The flow is a stream of ITCH messages (a file's or the generator's) that is valid by itself. As long as no client
//! interferes it is published byte for byte. Where clients have orders:
//! - an execution of the flow is an incoming order of that size: client orders at a better price, and those ahead in the
//!   queue at its price, trade first; the flow's own order gets the rest, and what it therefore did not trade is taken
//!   off the book (X or D), so that it never has more shares than the flow believes;
//! - an order of the flow that is added or moved to a price which crosses client orders trades with these first; only
//!   the rest is added;
//! - a hidden trade (P) goes first to client orders that are at least as good as its price;
//! - a client's incoming order takes what is there in price-time priority, the flow's orders included. When the flow
//!   later names an order that is gone, that message concerns nobody and is not published;
//! - a cross (Q) of the flow is balanced interest of its size at its price, which client orders of the cross join.
//!
//! The flow's own orders never trade with each other but where the flow says so. Hence the published stream is valid,
//! and each book is uncrossed as long as the flow's is.

mod accounts;
mod client;
mod cross;
mod flow;
mod matching;
mod publish;
#[cfg(test)]
mod tests;

pub use accounts::{Account, ClientOrder};
pub use cross::{Clearing, Interest, clear};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tern_venues::itch_ouch::wire::Alpha;

use crate::book::Book;
use crate::log::Line;
use crate::rng::Rng;

/// References and match numbers of clients' orders start here, above all that a flow uses in a day.
pub const CLIENT_NUMBERS_FROM: u64 = 1 << 40;

/// What happens to an account's orders that would trade with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SelfTrade {
    /// They trade.
    #[default]
    Allow,
    /// The resting order is canceled (AIQ "cancel oldest").
    CancelOldest,
    /// The incoming order is canceled.
    CancelNewest,
    /// Both lose what would have traded.
    Decrement,
}

/// What happens to continuous orders that arrive while their symbol is halted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum WhileHalted {
    /// Rejected.
    #[default]
    Reject,
    /// Held, not displayed, and part of the cross that ends the halt.
    Hold,
}

/// What the quantity of a cancel or modify bounds (the specification can be read either way).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum IntendedSize {
    /// Shares executed over the whole replace chain, as in a replace.
    #[default]
    Chain,
    /// Shares executed since the last replace.
    Order,
}

/// A wrong fill planted so that a comparison has something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WrongFill {
    /// The log says one share more than the client was told.
    Log,
    /// The client is told one share more than was traded.
    Client,
}

/// Choices of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Seed of breaks.
    pub seed: u64,
    /// Self trades.
    pub self_trade: SelfTrade,
    /// Orders while halted.
    pub while_halted: WhileHalted,
    /// Reading of cancel quantities.
    pub intended_size: IntendedSize,
    /// Of 65,536 executions, how many are broken later.
    pub break_share: u32,
    /// Plants a wrong fill, the first that completes an order.
    pub wrong_fill: Option<WrongFill>,
    /// Cancels an account's orders when its last connection ends.
    pub cancel_on_disconnect: bool,
}

/// Where the day is, by the flow's system events. A flow that never says starts in market hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before system hours: orders are rejected.
    Before,
    /// System hours, before market hours: extended-hours orders trade, day orders wait for the opening cross.
    Early,
    /// Market hours.
    Market,
    /// After market hours.
    Late,
    /// After system hours: orders are rejected.
    Closed,
}

/// A symbol as the feed announced it.
#[derive(Clone, Debug)]
struct Symbol {
    stock: Alpha<8>,
    halted: bool,
    opened: bool,
    closed: bool,
    /// The cross whose late period has begun: cancels of held orders have to wait for it.
    late: bool,
    /// Orders that wait for a cross or the end of a halt, oldest first.
    held: Vec<(u16, u32)>,
}

impl Symbol {
    const fn new(stock: Alpha<8>) -> Self {
        Self { stock, halted: false, opened: false, closed: false, late: false, held: Vec::new() }
    }
}

/// What the engine wants sent and written; the caller takes it after each call.
#[derive(Default, Debug)]
pub struct Output {
    /// ITCH messages, each behind its length as 2 big-endian bytes.
    pub feed: Vec<u8>,
    /// OUCH messages and the index of the account whose stream they belong to.
    pub clients: Vec<(u16, Vec<u8>)>,
    /// Lines of the log.
    pub log: Vec<Line>,
}

/// Totals of clients' trades.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Executions.
    pub executions: u64,
    /// Their shares.
    pub shares: u64,
    /// Executions that left shares open.
    pub partial_fills: u64,
    /// Broken executions.
    pub breaks: u64,
    /// Order messages received.
    pub received: u64,
    /// Locates traded.
    pub symbols: BTreeSet<u16>,
    /// Messages of the flow that named an unknown order.
    pub flow_unknown: u64,
}

/// One client's part in a trade, for a break.
#[derive(Clone, Copy, Debug)]
struct TradeSide {
    account: u16,
    user_ref: u32,
    cl_ord_id: Alpha<14>,
    locate: u16,
    side: crate::book::Side,
    price: u32,
    shares: u32,
}

/// The engine.
pub struct Engine {
    rules: Rules,
    /// All books.
    pub book: Book,
    /// What is to be sent.
    pub out: Output,
    /// Totals.
    pub tally: Tally,
    /// All accounts, in the order they were configured.
    pub accounts: Vec<Account>,
    symbols: Vec<Option<Symbol>>,
    locates: HashMap<[u8; 8], u16>,
    phase: Phase,
    now_ns: u64,
    open_all_at_ns: u64,
    next_reference: u64,
    next_match: u64,
    rng: Rng,
    breaks: BTreeMap<(u64, u64), Vec<TradeSide>>,
    expiries: BTreeSet<(u64, u16, u32)>,
    wrong_fill: Option<WrongFill>,
}

/// How long after the start of market hours a symbol without a cross of its own opens.
const OPEN_WITHOUT_CROSS_NS: u64 = 5_000_000_000;

impl Engine {
    /// An engine without symbols; the flow announces them.
    pub fn new(rules: Rules, users: impl IntoIterator<Item = String>) -> Self {
        Self {
            rules,
            book: Book::default(),
            out: Output::default(),
            tally: Tally::default(),
            accounts: users.into_iter().map(Account::new).collect(),
            symbols: Vec::new(),
            locates: HashMap::new(),
            phase: Phase::Market,
            now_ns: 0,
            open_all_at_ns: u64::MAX,
            next_reference: CLIENT_NUMBERS_FROM,
            next_match: CLIENT_NUMBERS_FROM,
            rng: Rng::new(rules.seed ^ 0xB4EA_C5D0),
            breaks: BTreeMap::new(),
            expiries: BTreeSet::new(),
            wrong_fill: rules.wrong_fill,
        }
    }

    /// Exchange time, ns since midnight.
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Where the day is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The symbol of a locate, blank when it was never announced.
    pub fn stock(&self, locate: u16) -> Alpha<8> {
        self.symbol(locate).map_or(Alpha::BLANK, |symbol| symbol.stock)
    }

    fn symbol(&self, locate: u16) -> Option<&Symbol> {
        self.symbols.get(usize::from(locate)).and_then(Option::as_ref)
    }

    fn symbol_mut(&mut self, locate: u16) -> Option<&mut Symbol> {
        self.symbols.get_mut(usize::from(locate)).and_then(Option::as_mut)
    }

    /// Moves time on: breaks that are due happen, orders expire, symbols that no cross opened open.
    pub fn advance(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        while let Some(entry) = self.breaks.first_entry() {
            if entry.key().0 > self.now_ns {
                break;
            }
            let ((_, match_number), sides) = entry.remove_entry();
            self.break_trade(match_number, &sides);
        }
        while let Some(&(due_ns, account, user_ref)) = self.expiries.first() {
            if due_ns > self.now_ns {
                break;
            }
            self.expiries.pop_first();
            self.cancel_order(account, user_ref, accounts::CancelWhy::Timeout);
        }
        if self.now_ns >= self.open_all_at_ns {
            self.open_all_at_ns = u64::MAX;
            self.open_the_rest();
        }
    }

    /// When [`Engine::advance`] next has something to do; `u64::MAX` for never.
    pub fn next_deadline_ns(&self) -> u64 {
        let due_break = self.breaks.first_key_value().map_or(u64::MAX, |(key, _)| key.0);
        let due_expiry = self.expiries.first().map_or(u64::MAX, |entry| entry.0);
        due_break.min(due_expiry).min(self.open_all_at_ns)
    }

    /// Lets every break that is still to come happen now: the day ends.
    fn settle_breaks(&mut self) {
        while let Some(((_, match_number), sides)) = self.breaks.pop_first() {
            self.break_trade(match_number, &sides);
        }
    }

    fn fresh_match(&mut self) -> u64 {
        self.next_match += 1;
        self.next_match
    }

    fn fresh_reference(&mut self) -> u64 {
        self.next_reference += 1;
        self.next_reference
    }
}
