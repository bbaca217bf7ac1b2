//! The flow generator: a seeded stream of ITCH messages shaped like a real day. Every reference resolves, every book
//! stays uncrossed, executions hit the front of the queue, the fair price of each symbol wanders and the market follows.
//!
//! A day has a preamble (directory, trading actions, Reg SHO), an opening book of added orders, the opening cross of
//! every symbol, the steady part, the closing crosses and the ending events. The mix of a [`Shape`] is that of the
//! steady part.

mod clock;
mod market;
mod messages;

pub use clock::{PEAK_MESSAGES, PEAK_NS};

use std::fmt;

use crate::book::Side;
use crate::rng::Rng;
use clock::Clock;
use market::Market;

/// Live orders at the peak of a real day.
pub const REAL_DAY_LIVE_ORDERS: u32 = 5_240_000;

/// What a day looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// 200 symbols and a busy book: A 40.4, D 38, U 9, E 7.9, X 3, F 1, P 0.7 percent.
    #[default]
    Small,
    /// 12,000 symbols: A 34.6, D 33.5, U 26.3, E 1.9, X 1.5, P 0.84, I 0.71, F 0.49 percent, the rest small types.
    RealDay,
}

/// Kinds of messages of the steady part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Add,
    AddMpid,
    Delete,
    Replace,
    Execute,
    ExecuteAt,
    Cancel,
    Trade,
    Imbalance,
    Participant,
    RegSho,
    Retail,
    Break,
}

impl Shape {
    /// Symbols of the shape.
    pub const fn symbols(self) -> u16 {
        match self {
            Self::Small => 200,
            Self::RealDay => 12_000,
        }
    }

    /// Parts of the mix in thousandths of a percent; they sum to 100,000.
    const fn mix(self) -> &'static [(Kind, u32)] {
        match self {
            Self::Small => &[
                (Kind::Add, 40_400),
                (Kind::Delete, 38_000),
                (Kind::Replace, 9_000),
                (Kind::Execute, 7_900),
                (Kind::Cancel, 3_000),
                (Kind::AddMpid, 1_000),
                (Kind::Trade, 700),
            ],
            Self::RealDay => &[
                (Kind::Add, 34_600),
                (Kind::Delete, 33_500),
                (Kind::Replace, 26_300),
                (Kind::Execute, 1_900),
                (Kind::Cancel, 1_500),
                (Kind::Trade, 840),
                (Kind::Imbalance, 710),
                (Kind::AddMpid, 490),
                (Kind::ExecuteAt, 90),
                (Kind::Participant, 30),
                (Kind::RegSho, 20),
                (Kind::Retail, 19),
                (Kind::Break, 1),
            ],
        }
    }
}

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Seed: the same configuration gives the same bytes.
    pub seed: u64,
    /// Shape of the day.
    pub shape: Shape,
    /// Messages in all, preamble and ending included.
    pub messages: u64,
    /// Orders added before the open, kept alive from then on; by default [`Config::default_opening_orders`].
    pub opening_orders: Option<u32>,
    /// Number of symbols instead of the shape's.
    pub symbols: Option<u16>,
    /// Halts of single symbols during the day.
    pub halts: u32,
    /// Start, ns since midnight.
    pub start_ns: u64,
    /// Opening, ns since midnight.
    pub open_ns: u64,
    /// Closing, ns since midnight.
    pub close_ns: u64,
    /// One stretch in the middle at the published peak rate.
    pub burst: bool,
}

impl Config {
    /// A whole day, as in a file: 04:00, 09:30, 16:00.
    pub const fn day(shape: Shape, messages: u64, seed: u64) -> Self {
        const HOUR_NS: u64 = 3_600_000_000_000;
        Self {
            seed,
            shape,
            messages,
            opening_orders: None,
            symbols: None,
            halts: 3,
            start_ns: 4 * HOUR_NS,
            open_ns: 9 * HOUR_NS + HOUR_NS / 2,
            close_ns: 16 * HOUR_NS,
            burst: true,
        }
    }

    /// Small: 60 a symbol. Real day: all 5.24 million when that leaves half of the messages for the steady part, else a
    /// fiftieth of the messages, so that a short file keeps the mix.
    pub fn default_opening_orders(&self) -> u32 {
        let wanted = match self.shape {
            Shape::Small => u64::from(self.symbol_count()) * 60,
            Shape::RealDay => u64::from(REAL_DAY_LIVE_ORDERS),
        };
        let room = self.messages.saturating_sub(self.overhead());
        if wanted * 2 <= room { wanted as u32 } else { (room / 50) as u32 }
    }

    fn symbol_count(&self) -> u16 {
        self.symbols.unwrap_or_else(|| self.shape.symbols())
    }

    /// Messages that are neither opening book nor steady part: six system events; R, H, Y; I and Q of two crosses; four
    /// a halt.
    fn overhead(&self) -> u64 {
        6 + 7 * u64::from(self.symbol_count()) + 4 * u64::from(self.halts)
    }
}

/// A configuration that no day fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewMessages {
    /// Messages asked for.
    pub have: u64,
    /// The least that will do.
    pub need: u64,
}

impl fmt::Display for TooFewMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages cannot hold a day of this shape: its directory, crosses, opening book and events alone take {}; \
             ask for more messages, or for fewer symbols or opening orders",
            self.have, self.need
        )
    }
}

impl std::error::Error for TooFewMessages {}

/// Where the day is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    StartOfMessages,
    Directory(u16),
    TradingAction(u16),
    RegSho(u16),
    SystemHours,
    OpeningBook(u32),
    OpeningImbalance(u16),
    MarketHours,
    OpeningCross(u16),
    Steady,
    ClosingImbalance(u16),
    EndOfMarketHours,
    ClosingCross(u16),
    EndOfSystemHours,
    EndOfMessages,
    Over,
}

/// The parts of a halt that are still to come.
#[derive(Clone, Copy, Debug)]
struct Halt {
    symbol: u16,
    step: u8,
    at: u64,
}

/// The generator. It allocates when it is made and when the number of live orders grows, else never.
pub struct Generator {
    config: Config,
    rng: Rng,
    market: Market,
    clock: Clock,
    stage: Stage,
    steady_left: u64,
    steady: u64,
    opening_orders: u32,
    kinds: Vec<Kind>,
    next_reference: u64,
    next_match: u64,
    broken_match: u64,
    halt: Option<Halt>,
    halts_left: u32,
    produced: u64,
    buf: [u8; 64],
}

impl Generator {
    /// Prepares a day.
    ///
    /// # Errors
    /// [`TooFewMessages`] when the preamble, the opening book and the ending do not fit.
    pub fn new(config: Config) -> Result<Self, TooFewMessages> {
        let opening_orders = config.opening_orders.unwrap_or_else(|| config.default_opening_orders());
        let need = config.overhead() + u64::from(opening_orders);
        if config.messages < need {
            return Err(TooFewMessages { have: config.messages, need });
        }
        let mut rng = Rng::new(config.seed);
        let market = Market::new(config.symbol_count(), opening_orders as usize + 4096, &mut rng);
        let mut kinds = Vec::with_capacity(65_536);
        let mut parts = 0_u64;
        for &(kind, part) in config.shape.mix() {
            parts += u64::from(part);
            kinds.resize((parts * 65_536 / 100_000) as usize, kind);
        }
        Ok(Self {
            rng,
            market,
            clock: Clock::new(config.start_ns),
            stage: Stage::StartOfMessages,
            steady_left: config.messages - need,
            steady: config.messages - need,
            opening_orders,
            kinds,
            next_reference: 0,
            next_match: 0,
            broken_match: 0,
            halt: None,
            halts_left: config.halts,
            produced: 0,
            buf: [0; 64],
            config,
        })
    }

    /// The next message of the day; `None` after the last.
    #[inline]
    pub fn next_message(&mut self) -> Option<&[u8]> {
        let length = if self.stage == Stage::Steady && self.steady_left > 0 {
            self.steady_left -= 1;
            self.steady_message()
        } else {
            self.staged_message()?
        };
        self.produced += 1;
        Some(&self.buf[..length])
    }

    /// Live orders now.
    pub const fn live_orders(&self) -> u32 {
        self.market.live
    }

    /// The most orders that were ever live.
    pub const fn live_orders_peak(&self) -> u32 {
        self.market.live_peak
    }

    /// Orders that are added before the open.
    pub const fn opening_orders(&self) -> u32 {
        self.opening_orders
    }

    /// Messages produced so far.
    pub const fn produced(&self) -> u64 {
        self.produced
    }

    /// Messages in all.
    pub const fn messages(&self) -> u64 {
        self.config.messages
    }

    /// Everything but the steady part.
    fn staged_message(&mut self) -> Option<usize> {
        let last = self.market.symbols.len() as u16 - 1;
        let next = |at: u16, same: fn(u16) -> Stage, then: Stage| if at < last { same(at + 1) } else { then };
        let (length, stage) = match self.stage {
            Stage::StartOfMessages => {
                // Directory and trading actions in the first tenth of the time before the open.
                let end_ns = self.config.start_ns + (self.config.open_ns - self.config.start_ns) / 10;
                let length = self.system_event(b'O');
                self.clock.spread(3 * self.market.symbols.len() as u64, end_ns);
                (length, Stage::Directory(0))
            }
            Stage::Directory(at) => (self.directory(at), next(at, Stage::Directory, Stage::TradingAction(0))),
            Stage::TradingAction(at) => {
                self.clock.tick_evenly();
                (self.trading_action(at, b'T', b"    "), next(at, Stage::TradingAction, Stage::RegSho(0)))
            }
            Stage::RegSho(at) => {
                self.clock.tick_evenly();
                (self.reg_sho(at, b'0'), next(at, Stage::RegSho, Stage::SystemHours))
            }
            Stage::SystemHours => {
                let span_ns = self.config.open_ns - self.config.start_ns;
                self.clock.spread(u64::from(self.opening_orders), self.config.start_ns + span_ns * 6 / 10);
                (self.system_event(b'S'), self.opening_stage(0))
            }
            Stage::OpeningBook(added) => (self.opening_order(), self.opening_stage(added + 1)),
            Stage::OpeningImbalance(at) => {
                let span_ns = self.config.open_ns - self.config.start_ns;
                self.clock.at(self.config.start_ns + span_ns * 8 / 10);
                (self.imbalance(at, b'O'), next(at, Stage::OpeningImbalance, Stage::MarketHours))
            }
            Stage::MarketHours => {
                self.clock.at(self.config.open_ns);
                (self.system_event(b'Q'), Stage::OpeningCross(0))
            }
            Stage::OpeningCross(at) => {
                if at == last {
                    self.market.forget_recent();
                    // The closing imbalances take the last fiftieth.
                    let span_ns = self.config.close_ns.saturating_sub(self.config.open_ns);
                    self.clock.spread(self.steady, self.config.open_ns + span_ns * 49 / 50);
                }
                (self.cross(at, b'O'), next(at, Stage::OpeningCross, Stage::Steady))
            }
            Stage::Steady => {
                // An unfinished halt ends before the day does.
                if let Some(length) = self.finish_halts() {
                    return Some(length);
                }
                (self.imbalance(0, b'C'), next(0, Stage::ClosingImbalance, Stage::EndOfMarketHours))
            }
            Stage::ClosingImbalance(at) => {
                (self.imbalance(at, b'C'), next(at, Stage::ClosingImbalance, Stage::EndOfMarketHours))
            }
            Stage::EndOfMarketHours => {
                self.clock.at(self.config.close_ns);
                (self.system_event(b'M'), Stage::ClosingCross(0))
            }
            Stage::ClosingCross(at) => (self.cross(at, b'C'), next(at, Stage::ClosingCross, Stage::EndOfSystemHours)),
            Stage::EndOfSystemHours => (self.system_event(b'E'), Stage::EndOfMessages),
            Stage::EndOfMessages => (self.system_event(b'C'), Stage::Over),
            Stage::Over => return None,
        };
        self.stage = stage;
        Some(length)
    }

    fn opening_stage(&self, added: u32) -> Stage {
        if added < self.opening_orders { Stage::OpeningBook(added) } else { Stage::OpeningImbalance(0) }
    }

    fn opening_order(&mut self) -> usize {
        self.clock.tick_evenly();
        let symbol = self.market.pick_symbol(&mut self.rng);
        let side = if self.rng.chance(32_768) { Side::Buy } else { Side::Sell };
        self.add(symbol, side, false)
    }

    fn steady_message(&mut self) -> usize {
        let done = self.steady - self.steady_left;
        if self.config.burst && self.steady >= 4 * PEAK_MESSAGES && done == self.steady / 2 {
            self.clock.burst();
        }
        self.clock.tick(&mut self.rng);
        if (self.halts_left > 0 || self.halt.is_some())
            && let Some(length) = self.halt_message(done)
        {
            // Halts have messages of their own: this one of the mix is still to come.
            self.steady_left += 1;
            return length;
        }
        let kind = self.kinds[(self.rng.bits() >> 48) as usize];
        let symbol = self.market.pick_symbol(&mut self.rng);
        self.market.drift(symbol, &mut self.rng);
        self.steady_kind(kind, symbol).unwrap_or_else(|| self.add_either(symbol, kind == Kind::AddMpid))
    }

    /// One message of a kind, `None` when nothing is there for it to act on.
    fn steady_kind(&mut self, kind: Kind, symbol: u16) -> Option<usize> {
        match kind {
            Kind::Add | Kind::AddMpid => None,
            Kind::Delete => {
                // A part of the deletes is the market moving away from a price that is not fair any more.
                let adverse = self.market.adverse(symbol, &mut self.rng);
                let front = if self.rng.chance(16_384) { self.market.front(symbol, adverse) } else { None };
                let at = front.or_else(|| self.market.pick_order(&mut self.rng))?;
                Some(self.delete(at))
            }
            Kind::Replace => {
                let at = self.market.pick_order(&mut self.rng)?;
                Some(self.replace(at))
            }
            Kind::Execute | Kind::ExecuteAt => {
                let adverse = self.market.adverse(symbol, &mut self.rng);
                let market = &self.market;
                let own = market.front(symbol, adverse).or_else(|| market.front(symbol, adverse.opposite()));
                let at = match own {
                    Some(at) => at,
                    // Nobody quotes this symbol: the trade happens in one that somebody does.
                    None => {
                        let slot = market.slot(market.pick_order(&mut self.rng)?);
                        market.front(slot.symbol, slot.side)?
                    }
                };
                Some(self.execute(at, kind == Kind::ExecuteAt))
            }
            Kind::Cancel => {
                let at = (0..8).find_map(|_| {
                    self.market.pick_order(&mut self.rng).filter(|&at| self.market.slot(at).shares > 1)
                })?;
                Some(self.cancel(at))
            }
            Kind::Trade => Some(self.trade(symbol)),
            Kind::Imbalance => Some(self.imbalance(symbol, b'A')),
            Kind::Participant => Some(self.participant(symbol)),
            Kind::RegSho => Some(self.reg_sho(symbol, b'1')),
            Kind::Retail => Some(self.retail(symbol)),
            Kind::Break => (self.broken_match != self.next_match).then(|| self.break_trade()),
        }
    }

    /// Executions take whole orders as long as more orders live than the day began with.
    fn takes_whole(&mut self) -> bool {
        self.market.live > self.opening_orders.max(64) || self.rng.chance(6_554)
    }

    /// The messages of halts, spread over the steady part: halt, imbalance, cross, resumption.
    fn halt_message(&mut self, done: u64) -> Option<usize> {
        match self.halt {
            None => {
                let due =
                    self.steady * u64::from(self.config.halts - self.halts_left + 1) / u64::from(self.config.halts + 1);
                if done < due {
                    return None;
                }
                self.halts_left -= 1;
                let symbol = self.market.pick_symbol(&mut self.rng);
                self.market.symbols[usize::from(symbol)].halted = true;
                let pause = self.steady / u64::from(self.config.halts + 1) / 4;
                self.halt = Some(Halt { symbol, step: 0, at: done + pause });
                Some(self.trading_action(symbol, b'H', b"T1  "))
            }
            Some(halt) if done >= halt.at => Some(self.step_halt(halt)),
            Some(_) => None,
        }
    }

    fn step_halt(&mut self, halt: Halt) -> usize {
        let pause = self.steady / u64::from(self.config.halts + 1) / 16;
        self.halt = (halt.step < 2).then_some(Halt { step: halt.step + 1, at: halt.at + pause, ..halt });
        match halt.step {
            0 => self.imbalance(halt.symbol, b'H'),
            1 => {
                // The resumption follows the cross at once.
                if let Some(halt) = &mut self.halt {
                    halt.at = 0;
                }
                self.cross(halt.symbol, b'H')
            }
            _ => {
                self.market.symbols[usize::from(halt.symbol)].halted = false;
                self.trading_action(halt.symbol, b'T', b"    ")
            }
        }
    }

    /// Ends a halt that is still on when the steady part is over, and makes up for halts that found no room.
    fn finish_halts(&mut self) -> Option<usize> {
        if let Some(halt) = self.halt {
            return Some(self.step_halt(halt));
        }
        if self.halts_left == 0 {
            return None;
        }
        self.halts_left -= 1;
        self.market.symbols[0].halted = true;
        self.halt = Some(Halt { symbol: 0, step: 0, at: 0 });
        Some(self.trading_action(0, b'H', b"T1  "))
    }
}
