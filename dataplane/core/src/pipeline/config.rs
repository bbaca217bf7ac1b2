//! What a pipeline is told once, at its construction.

use crate::fees::Fees;
use crate::opening::OpeningPosition;
use crate::risk::{LimitError, LimitId, Limits, StrategyLimits, SymbolLimits};
use crate::units::{AccountId, Cash, ConnId, Price, StrategyId, Symbol, TaiNs, TraderId, VenueId};
use alloc::vec::Vec;

/// What becomes of an open order that the venue knows and this run does not: one of a run before a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownOrders {
    /// It is cancelled as soon as the session is ready.
    #[default]
    Cancel,
    /// It is kept; its strategy sees it among its own.
    Keep,
}

/// Who lets trading go on after a restart in mid-day, when venue's log and journal agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterRestart {
    /// An operator.
    #[default]
    Operator,
    /// That they agree is enough.
    Agreement,
}

/// A strategy's place on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrategyConfig {
    /// Its id in records and client order ids.
    pub id: StrategyId,
    /// For whom it trades.
    pub trader: TraderId,
}

/// Most symbols with limits of their own.
pub const SYMBOL_LIMITS_MAX: usize = u16::MAX as usize - 1;

/// Most strategies of a host.
pub const STRATEGIES_MAX: usize = 16;

/// The strategy id under which orders of strategies that this host does not have are kept.
pub const HOUSE: StrategyId = StrategyId(u16::MAX);

/// Silence after which a stream is not trusted: heartbeats of three seconds are missing.
pub(super) const FEED_SILENCE_NS_MAX: u64 = 3_500_000_000;

/// Time for an answer: a venue answers within microseconds, and within milliseconds in the worst of an opening.
pub(super) const ACK_TIMEOUT_NS: u64 = 1_000_000_000;

/// A loop that loses its core now and then has a few calls that took long; a strategy that is too slow has them all the time.
const OVERRUNS_MAX: u32 = 20;
const OVERRUNS_WINDOW_NS: u64 = 10_000_000_000;

/// Configuration of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Account.
    pub account: AccountId,
    /// Venue.
    pub venue: VenueId,
    /// The order connection.
    pub conn: ConnId,
    /// Limits at start.
    pub limits: Limits,
    /// The strategy that orders of a person belong to; `None`: no person sends any.
    pub by_hand: Option<StrategyId>,
    /// Limits of single symbols, each symbol once and at most [`SYMBOL_LIMITS_MAX`] of them.
    pub symbols: Vec<SymbolLimits>,
    /// Limits of single strategies, each strategy once.
    pub strategy_limits: Vec<StrategyLimits>,
    /// Shares that may be sold short in a symbol of which [`symbols`](Self::symbols) says nothing: 0 where what may be
    /// borrowed is known, `i64::MAX` where it is not.
    pub short_max: i64,
    /// Orders kept, open and recently dead. Dead ones make room for new ones.
    pub orders_max: usize,
    /// Executions kept for broken trades and repeats.
    pub executions_max: usize,
    /// No id below this is given out: what segment and journal know of the account's day. 0 when they know nothing.
    pub next_order_id: u32,
    /// Messages to the venue in its day that earlier runs sent; ids that were used count as well.
    pub messages_sent: u32,
    /// The best profit of the day so far, 1/10000: drawdown is measured from it.
    pub high_water: Cash,
    /// From when, and until before when, orders may be sent. Cancels may be at any time.
    pub hours: (TaiNs, TaiNs),
    /// Closing prices of the day before, 1/10000, by symbol: where a reference begins.
    pub closes: Vec<(Symbol, u32)>,
    /// An earlier run traded in this session: books are untrusted for that reason until a feed says better.
    pub restarted: bool,
    /// What becomes of open orders of an earlier run.
    pub unknown_orders: UnknownOrders,
    /// Who lets trading go on after a restart.
    pub after_restart: AfterRestart,
    /// A stream that was silent for so long is not trusted until it is heard again; 0 = not checked. A feed that has
    /// nothing to say sends heartbeats (MoldUDP64 1.00: one a second).
    pub feed_silence_ns_max: u64,
    /// The venue has to answer an order, a replace and a cancel within so long; 0 = not checked.
    pub ack_timeout_ns: u64,
    /// So many calls to a strategy beyond their budget within [`overruns_window_ns`](Self::overruns_window_ns) stop it;
    /// 0 = they are only counted.
    pub overruns_max: u32,
    /// Window in which they are counted, or up to an eighth longer.
    pub overruns_window_ns: u64,
    /// What the venue charges.
    pub fees: Fees,
    /// Whether orders in a book that loses trust are cancelled.
    pub pull_on_distrust: bool,
    /// What is held when the day begins, each strategy and symbol once. The same in every run of the day.
    pub opening: Vec<OpeningPosition>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account: AccountId(1),
            venue: VenueId(1),
            conn: ConnId(0),
            limits: Limits::default(),
            by_hand: None,
            symbols: Vec::new(),
            strategy_limits: Vec::new(),
            short_max: i64::MAX,
            orders_max: 65_536,
            executions_max: 262_144,
            next_order_id: 0,
            messages_sent: 0,
            high_water: 0,
            hours: (TaiNs(0), TaiNs::NEVER),
            closes: Vec::new(),
            restarted: false,
            unknown_orders: UnknownOrders::Cancel,
            after_restart: AfterRestart::Operator,
            feed_silence_ns_max: FEED_SILENCE_NS_MAX,
            ack_timeout_ns: ACK_TIMEOUT_NS,
            overruns_max: OVERRUNS_MAX,
            overruns_window_ns: OVERRUNS_WINDOW_NS,
            fees: Fees::default(),
            pull_on_distrust: true,
            opening: Vec::new(),
        }
    }
}

/// Why a pipeline cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A limit is out of range.
    Limit(LimitError),
    /// As many strategy configurations as strategies are needed, at most [`STRATEGIES_MAX`].
    Strategies {
        /// Strategies given.
        strategies: usize,
        /// Configurations given.
        configurations: usize,
    },
    /// Two strategies have the same id, or one has [`HOUSE`]'s.
    StrategyId(StrategyId),
    /// A limit of a symbol is out of range, or the symbol stands there twice.
    Symbol {
        /// The symbol.
        symbol: Symbol,
        /// The limit that is out of range and its value; `None`: it stands there twice, or there are too many.
        limit: Option<(LimitId, i64)>,
    },
    /// Bounds of a symbol's price that are no prices, or the lowest is above the highest.
    PriceBand {
        /// The symbol.
        symbol: Symbol,
        /// The lowest price, 1/10000.
        lowest: Price,
        /// The highest price, 1/10000.
        highest: Price,
    },
    /// A limit of a strategy is out of range, or the strategy stands there twice or not among those of the host.
    StrategyLimits {
        /// The strategy.
        strategy: StrategyId,
        /// The limit that is out of range and its value; `None`: there is no such strategy, or it stands there twice.
        limit: Option<(LimitId, i64)>,
    },
    /// An opening position of no strategy of this host, of no shares, at no cost or one of the other sign, given twice, or in
    /// more symbols than there is room for.
    Opening {
        /// The strategy.
        strategy: StrategyId,
        /// The symbol.
        symbol: Symbol,
    },
    /// No order would fit: `orders_max` is 0 or smaller than `limits.open_orders_max`.
    Orders {
        /// `orders_max`.
        orders_max: usize,
        /// `limits.open_orders_max`.
        open_orders_max: u32,
    },
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Limit(LimitError::Unknown(id)) => write!(f, "no limit has the number {id}"),
            Self::Limit(LimitError::Scope(scope)) => write!(f, "limits of scope {scope} are not known; use scope 0"),
            Self::Limit(LimitError::Range { id, value, max }) => {
                write!(f, "limit {} is {value}; it must be between 0 and {max}", id.name())
            }
            Self::Strategies { strategies, configurations } => write!(
                f,
                "{strategies} strategies but {configurations} configurations; give one each, at most {STRATEGIES_MAX}"
            ),
            Self::StrategyId(id) => write!(f, "strategy id {} is taken or reserved; give each its own", id.0),
            Self::Symbol { symbol, limit: Some((id, value)) } => {
                let max = Limits::max(*id);
                write!(f, "limit {} of {symbol} is {value}; it must be between 0 and {max}", id.name())
            }
            Self::Symbol { symbol, limit: None } => write!(
                f,
                "limits of {symbol} are given twice, or of more than {SYMBOL_LIMITS_MAX} symbols; give each symbol once"
            ),
            Self::PriceBand { symbol, lowest, highest } => write!(
                f,
                "orders in {symbol} may have prices from {} to {}; give prices from 1 to {}, the lower one first",
                lowest.0,
                highest.0,
                crate::risk::PRICE_MAX.0
            ),
            Self::StrategyLimits { strategy, limit: Some((id, value)) } => {
                let (strategy, max) = (strategy.0, Limits::max(*id));
                write!(f, "limit {} of strategy {strategy} is {value}; it must be between 0 and {max}", id.name())
            }
            Self::StrategyLimits { strategy, limit: None } => write!(
                f,
                "limits of strategy {} are given twice, or there is no such strategy; give each that there is once",
                strategy.0
            ),
            Self::Opening { strategy, symbol } => write!(
                f,
                "the opening position of strategy {} in {symbol} has no place: there is no such strategy, it is given twice, \
                 it is of nothing, or there are more symbols than capacity.instruments",
                strategy.0
            ),
            Self::Orders { orders_max, open_orders_max } => write!(
                f,
                "orders_max is {orders_max}, fewer than the {open_orders_max} of open_orders_max; make it larger"
            ),
        }
    }
}

impl core::error::Error for ConfigError {}
