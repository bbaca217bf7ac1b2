//! Our side on memory: the pipeline with the real feed and session, a strategy that does this and that, and a journal
//! that ends where it is told to.

use crate::exchange::{Exchange, MIDDLE};
use std::cell::Cell;
use std::rc::Rc;
use tern_abi::command::{Command, CommandKind};
use tern_abi::record::{Kind, RecordHeader, Recorder, RingFull, StartRecord};
use tern_abi::segment::NextOrder;
use tern_core::book::{BookChange, Books, BooksMemory, Capacity, Heap, Instruments, InstrumentsMemory};
use tern_core::input::{ConnEvent, DownReason, Input};
use tern_core::opening::OpeningPosition;
use tern_core::pipeline::{AfterRestart, Config, Pipeline, StrategyConfig};
use tern_core::probe::NoProbe;
use tern_core::session::TimeInForce;
use tern_core::strategy::{Batch, Ctx, Intent, Intents, OrderEvent, Strategy};
use tern_core::units::{
    ConnId, InstrumentId, LineId, Price, Side, Stamp, StrategyId, StreamId, Symbol, TaiNs, TraderId,
};
use tern_dataplane::isolate::CatchUnwind;
use tern_dataplane::recovery::{self, Known};
use tern_dataplane::registry;
use tern_journal::Opening;
use tern_journal::recovered::Recovered;
use tern_sim::rng::Rng;
use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::ouch::Capacity as OuchCapacity;
use tern_venues::itch_ouch::{ItchFeed, OuchConfig, OuchSession};
use zerocopy::IntoBytes;

const CONN: ConnId = ConnId(0);
const STREAM: StreamId = StreamId(1);
pub(crate) const DAY: u32 = 9;

/// What is held when the day begins, in one symbol short; the third is never traded.
pub(crate) fn opening() -> [OpeningPosition; 3] {
    [("AAAA", 700), ("BBBB", -300), ("CCCC", 50)].map(|(symbol, shares)| OpeningPosition {
        strategy: StrategyId(1),
        symbol: Symbol::new(symbol).expect("short"),
        shares,
        cost: shares * (i64::from(MIDDLE) - 1_2345),
    })
}

fn line(held: &OpeningPosition) -> String {
    let OpeningPosition { strategy, symbol, shares, cost } = *held;
    Opening { account: 1, strategy: strategy.0, symbol: symbol.0, shares, cost }.to_line()
}

/// A record as the journal has it.
pub(crate) type Record = (RecordHeader, Vec<u8>);

/// Keeps records until it is to end; what comes after that was never published.
pub(crate) struct Journal {
    pub(crate) records: Vec<Record>,
    next_seq: u64,
    /// Records that may still come.
    left: usize,
}

impl Journal {
    pub(crate) fn is_dead(&self) -> bool {
        self.left == 0
    }
}

impl Recorder for Journal {
    fn record(&mut self, tai_ns: u64, kind: Kind, parts: &[&[u8]]) -> Result<(), RingFull> {
        if self.left > 0 {
            self.left -= 1;
            let body = parts.concat();
            let header =
                RecordHeader { seq: self.next_seq, tai_ns, kind: kind as u16, flags: 0, body_bytes: body.len() as u32 };
            self.records.push((header, body));
        }
        self.next_seq += 1;
        Ok(())
    }
    fn next_seq(&self) -> u64 {
        self.next_seq
    }
    fn has_room_for_orders(&self) -> bool {
        true
    }
}

/// Enters, replaces and cancels at random at each timer.
pub(crate) struct Restless {
    rng: Rng,
    is_quiet: Rc<Cell<bool>>,
}

impl Strategy for Restless {
    fn on_book(&mut self, _: &Ctx<'_>, _: &BookChange, _: &mut Intents) {}
    fn on_batch_end(&mut self, _: &Ctx<'_>, _: Batch, _: &mut Intents) {}
    fn on_order(&mut self, _: &Ctx<'_>, _: &OrderEvent, _: &mut Intents) {}
    fn on_timer(&mut self, ctx: &Ctx<'_>, out: &mut Intents) {
        for instrument in (0..2).map(InstrumentId) {
            let side = if self.rng.below(2) == 0 { Side::Buy } else { Side::Sell };
            // About half of them far enough to trade at once.
            let price = Price(i64::from(MIDDLE) + 100 * (i64::from(self.rng.below(9)) - 4));
            let quantity = 10 * (1 + self.rng.below(30));
            let own = ctx.orders(instrument).filter(|order| order.is_settled()).map(|order| order.id()).last();
            match (self.rng.below(8), own) {
                (0 | 1, Some(order)) => out.push(Intent::Replace { order, price, quantity }),
                (2, Some(order)) => out.push(Intent::Cancel { order }),
                (3.., _) => out.push(Intent::New {
                    instrument,
                    side,
                    price,
                    quantity,
                    min_quantity: 0,
                    time_in_force: if self.rng.below(4) == 0 { TimeInForce::Ioc } else { TimeInForce::Day },
                    post_only: false,
                }),
                _ => {}
            }
        }
    }
    fn next_deadline(&self) -> TaiNs {
        if self.is_quiet.get() { TaiNs::NEVER } else { TaiNs(0) }
    }
}

/// One run of the data plane.
pub(crate) struct Node {
    pub(crate) pipeline: Pipeline<ItchFeed, OuchSession, (Restless,)>,
    pub(crate) journal: Journal,
    pub(crate) is_quiet: Rc<Cell<bool>>,
    now: TaiNs,
    /// Messages of the feed that came.
    fed: usize,
    /// Bytes on their way to the venue.
    pub(crate) out: Vec<u8>,
    connected: bool,
}

impl Node {
    /// A run that finds `before` in the journal and `in_segment` as the next id in the segment, and whose journal takes
    /// `left` more records.
    pub(crate) fn begin(seed: u64, before: &[Record], in_segment: u32, arms: AfterRestart, left: usize) -> Self {
        let mut journal = Recovered::default();
        before.iter().for_each(|(header, body)| journal.apply(header, body));
        let known = Known { next_order: NextOrder { day: DAY, next: in_segment }, ..Known::of_day(DAY) };
        let state = recovery::begin(&journal, &known, 0);
        let mut config = Config {
            orders_max: 512,
            executions_max: 2048,
            feed_silence_ns_max: 0,
            next_order_id: state.next_order_id,
            restarted: state.restarted,
            after_restart: arms,
            opening: opening().to_vec(),
            ..Config::default()
        };
        config.limits.open_orders_max = 400;
        config.limits.orders_per_second_max = 1_000_000;
        config.limits.order_burst_max = 100_000;
        config.limits.position_max = 100_000;
        config.limits.duplicate_window_ns = 0;
        let is_quiet = Rc::new(Cell::new(false));
        let strategy = Restless { rng: Rng::new(seed ^ 0x5712), is_quiet: is_quiet.clone() };
        let session = OuchSession::new(OuchConfig {
            username: Alpha::new(b"TERN"),
            password: Alpha::new(b"secret"),
            capacity: OuchCapacity::Principal,
        });
        let parts = (registry::itch_feed(&[STREAM], &mut Heap), session, (strategy,));
        let strategies = [StrategyConfig { id: StrategyId(1), trader: TraderId(7) }];
        let books = Books::new(BooksMemory::new(Capacity { instruments: 4, orders: 1024, levels: 256 }));
        let instruments = Instruments::new(InstrumentsMemory::new(4));
        let mut pipeline =
            Pipeline::new(config, &strategies, parts, instruments, books).expect("a right configuration");
        pipeline.recover(recovery::ledger(&journal, &state, &opening()));
        let (next_seq, last_ns) = before.last().map_or((1, 1_000_000_000), |(last, _)| (last.seq + 1, last.tai_ns));
        let journal = Journal { records: before.to_vec(), next_seq, left };
        let now = TaiNs(last_ns + 1_000_000);
        let mut node = Self { pipeline, journal, is_quiet, now, fed: 0, out: Vec::new(), connected: false };
        let lines: String = opening().iter().map(line).collect();
        let text = format!("[instance]\nname = \"crash\"\n{}{lines}", state.to_line());
        let start = StartRecord::default();
        let parts = [start.as_bytes(), text.as_bytes()];
        node.journal.record(node.now.0, Kind::Start, &parts).expect("the journal takes everything");
        node
    }

    fn input(&mut self, input: Input<'_>) {
        if self.journal.is_dead() {
            return;
        }
        self.now = self.now.plus(1_000);
        self.pipeline
            .on_input(self.now, input, &mut self.journal, &mut NoProbe, &mut CatchUnwind)
            .expect("the journal takes everything");
    }

    pub(crate) fn command(&mut self, kind: CommandKind) {
        self.input(Input::Command(&Command { kind: kind as u32, ..Command::default() }));
    }

    pub(crate) fn resume(&mut self) {
        self.command(CommandKind::Resume);
    }

    pub(crate) fn accept(&mut self, seen: u32) {
        let command = Command { kind: CommandKind::AcceptDifferences as u32, id: seen, ..Command::default() };
        self.input(Input::Command(&command));
    }

    pub(crate) fn timer(&mut self) {
        self.input(Input::Timer);
    }

    /// Connects, or connects again where the session wants that.
    pub(crate) fn connect(&mut self, exchange: &mut Exchange) {
        if let Some(reason) = self.pipeline.take_drop(CONN) {
            exchange.disconnected();
            self.out.clear();
            self.connected = false;
            self.input(Input::Conn { conn: CONN, event: ConnEvent::Down(DownReason::Dropped(reason)) });
        }
        if !self.connected && !self.journal.is_dead() {
            self.connected = true;
            exchange.connected();
            self.input(Input::Conn { conn: CONN, event: ConnEvent::Up });
            self.input(Input::Conn { conn: CONN, event: ConnEvent::Room(1 << 20) });
        }
    }

    /// The next datagram of the feed, if there is one.
    pub(crate) fn feed(&mut self, exchange: &Exchange) -> bool {
        if self.fed == exchange.feed.len() || self.journal.is_dead() {
            return false;
        }
        let payload = exchange.datagram(self.fed);
        self.fed += 1;
        let at = Stamp { seen: self.now, arrival: self.now, nic: None };
        self.input(Input::Datagram { stream: STREAM, line: LineId(0), at, backlog: 0, payload: &payload });
        true
    }

    /// The first `bytes` of what is on its way from the venue.
    pub(crate) fn hear(&mut self, exchange: &mut Exchange, bytes: usize) {
        let bytes: Vec<u8> = exchange.out.drain(..bytes.min(exchange.out.len())).collect();
        if !bytes.is_empty() {
            self.input(Input::Session { conn: CONN, bytes: &bytes });
        }
    }

    /// Hands to TCP what waits; `messages` of the orders at most. A dead process hands over nothing.
    pub(crate) fn hand_over(&mut self, messages: usize) {
        if self.journal.is_dead() {
            return;
        }
        let control = self.pipeline.pending_control(CONN).to_vec();
        self.pipeline.consume_control(CONN, control.len());
        self.out.extend_from_slice(&control);
        for _ in 0..messages {
            let Some(bytes) = self.pipeline.next_order_bytes(CONN) else { break };
            self.out.extend_from_slice(bytes);
            let length = bytes.len();
            self.pipeline.order_bytes_sent(CONN, length);
        }
    }

    /// The first `bytes` on their way reach the venue.
    pub(crate) fn arrive(&mut self, exchange: &mut Exchange, bytes: usize) {
        let bytes: Vec<u8> = self.out.drain(..bytes.min(self.out.len())).collect();
        exchange.take(&bytes);
    }

    /// Everything goes where it goes, until nothing moves.
    pub(crate) fn settle(&mut self, exchange: &mut Exchange) {
        loop {
            let records = self.journal.records.len();
            self.connect(exchange);
            while self.feed(exchange) {}
            self.hand_over(usize::MAX);
            self.arrive(exchange, usize::MAX);
            self.hear(exchange, usize::MAX);
            if self.journal.records.len() == records && self.out.is_empty() && exchange.out.is_empty() {
                return;
            }
        }
    }

    /// One thing happens to us, the network or the venue.
    pub(crate) fn step(&mut self, exchange: &mut Exchange, rng: &mut Rng) {
        match rng.below(10) {
            0 | 1 => exchange.move_on(),
            2 => {
                let bytes = rng.below(2 + self.out.len() as u32) as usize;
                self.arrive(exchange, bytes);
            }
            3 => self.arrive(exchange, usize::MAX),
            4 | 5 => {
                self.feed(exchange);
            }
            6 => {
                let bytes = rng.below(2 + exchange.out.len() as u32) as usize;
                self.hear(exchange, bytes);
            }
            7 => self.hear(exchange, usize::MAX),
            8 => self.timer(),
            _ => self.hand_over(rng.below(4) as usize),
        }
        self.connect(exchange);
    }
}
