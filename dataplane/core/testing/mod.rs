//! A pipeline on a bench: a feed and a session whose bytes tests write by hand, a recorder that keeps everything, and a
//! strategy that does what it is told. For tests only (feature `testing`).

extern crate std;

mod mint;

pub use mint::Mint;

use crate::book::{Books, BooksMemory, Capacity, Instruments, InstrumentsMemory};
use crate::feed::{EventSink, Feed, FeedCounter, FeedState};
use crate::input::{ConnEvent, Input};
use crate::pipeline::{Config, Pipeline, StrategyConfig};
use crate::probe::{Isolate, NoProbe, NotIsolated, PanicText, Panicked};
use crate::session::{
    Control, EncodeError, OrderAction, OrderSession, OrderSink, OrderView, SessionCounter, TimeInForce, VenueEvent,
    VenueEventKind,
};
use crate::strategy::{Batch, Ctx, Intent, Intents, OrderEvent, Strategy, StrategySet};
use crate::units::{
    ConnId, InstrumentId, LineId, OrderId, Price, Quantity, Side, Stamp, StrategyId, StreamId, Symbol, TaiNs, TraderId,
};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Write;
use tern_abi::command::{Command, CommandKind};
use tern_abi::event::{BookEvent, EventKind};
use tern_abi::record::{Kind, Recorder, RingFull};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// The stream of the bench.
pub const STREAM: StreamId = StreamId(1);
/// First byte of a payload that is no packet.
pub const GARBAGE: u8 = u8::MAX;
/// The connection of the bench.
pub const CONN: ConnId = ConnId(0);

/// Decodes payloads made of [`BookEvent`]s as they lie in memory, a first byte in front: 0 = in sequence, otherwise
/// untrusted for the reason with that index - 1, [`GARBAGE`] = no packet. The first payload introduces `S0`, `S1`, ...
#[derive(Debug, Default)]
pub struct FakeFeed {
    /// Instruments to introduce with the first payload.
    pub instruments: u32,
    heard: TaiNs,
    state: Option<FeedState>,
    counters: [u64; FeedCounter::COUNT],
}

impl Feed for FakeFeed {
    fn on_payload(
        &mut self,
        now: TaiNs,
        _: StreamId,
        _: LineId,
        payload: &[u8],
        sink: &mut impl EventSink,
    ) -> FeedState {
        if payload.first() == Some(&GARBAGE) {
            return self.state.unwrap_or(FeedState::InSequence);
        }
        self.heard = now;
        for index in 0..core::mem::take(&mut self.instruments) {
            let symbol = Symbol::new(&format!("S{index}")).expect("short");
            sink.instrument(symbol).expect("room");
        }
        let (state, events) = payload.split_first().expect("a state byte");
        for bytes in events.chunks(size_of::<BookEvent>()) {
            sink.event(BookEvent::try_read_from_bytes(bytes).expect("an event"));
        }
        let state = match state.checked_sub(1) {
            None => FeedState::InSequence,
            Some(reason) => FeedState::Untrusted {
                reason: crate::feed::Distrust::from_index(usize::from(reason)).expect("a reason"),
                expected: 5,
                seen: 9,
            },
        };
        self.state = Some(state);
        state
    }
    fn heard(&self, _: StreamId) -> TaiNs {
        self.heard
    }
    fn fall_silent(&mut self, _: StreamId) {
        self.state = Some(FeedState::Untrusted { reason: crate::feed::Distrust::Silent, expected: 0, seen: 0 });
    }
    fn next_deadline(&self) -> TaiNs {
        TaiNs::NEVER
    }
    fn counters(&self) -> &[u64; FeedCounter::COUNT] {
        &self.counters
    }
    fn next_seq(&self, _: StreamId) -> u64 {
        1
    }
}

/// A venue event as bytes of the fake session; an order message too, with `kind` 200 for new, 201 replace, 202 cancel.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Wire {
    match_number: u64,
    price: i64,
    session_seq: u64,
    symbol: [u8; 8],
    order: u32,
    previous: u32,
    quantity: u32,
    strategy: u16,
    kind: u8,
    side: u8,
    flags: u8,
    reason: u8,
    padding: [u8; 6],
}

const NEW: u8 = 200;
const REPLACE: u8 = 201;
const CANCEL: u8 = 202;

/// An order message that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What it does.
    pub action: OrderAction,
    /// Symbol.
    pub symbol: Symbol,
    /// Side.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// As in [`OrderView::quantity`].
    pub quantity: Quantity,
    /// Marked short.
    pub short: bool,
    /// Immediate or cancel.
    pub ioc: bool,
    /// Post only.
    pub post_only: bool,
    /// Strategy.
    pub strategy: StrategyId,
}

impl Sent {
    /// Reads an order message of the fake session.
    pub fn read(bytes: &[u8]) -> Self {
        let wire = Wire::read_from_bytes(bytes).expect("a message");
        let (order, previous) = (OrderId(wire.order), OrderId(wire.previous));
        Self {
            action: match wire.kind {
                NEW => OrderAction::New { order },
                REPLACE => OrderAction::Replace { previous, order },
                _ if wire.quantity != 0 => OrderAction::Reduce { order },
                _ => OrderAction::Cancel { order },
            },
            symbol: Symbol(wire.symbol),
            side: Side::from_u8(wire.side).expect("a side"),
            price: Price(wire.price),
            quantity: wire.quantity,
            short: wire.flags & 1 != 0,
            ioc: wire.flags & 2 != 0,
            post_only: wire.flags & 4 != 0,
            strategy: StrategyId(wire.strategy),
        }
    }

    /// The id that the message names or gives.
    pub fn id(&self) -> OrderId {
        match self.action {
            OrderAction::New { order }
            | OrderAction::Replace { order, .. }
            | OrderAction::Cancel { order }
            | OrderAction::Reduce { order } => order,
        }
    }
}

/// A session that is ready from [`VenueEventKind::CaughtUp`] until the connection is gone.
#[derive(Debug, Default)]
pub struct FakeSession {
    ready: bool,
    tail: Vec<u8>,
    /// Refuse to encode.
    pub refuse: Option<EncodeError>,
    /// Asked to log out.
    pub logged_out: bool,
    /// Bytes of the next order message in place of the fake's own.
    pub order_bytes: Vec<u8>,
    /// Housekeeping to send at the next timer.
    pub control_bytes: Vec<u8>,
    counters: [u64; SessionCounter::COUNT],
}

impl OrderSession for FakeSession {
    fn is_order_packet(packet: &[u8]) -> bool {
        packet.len() == size_of::<Wire>()
    }
    fn on_connected(&mut self, _: TaiNs, control: &mut Control) {
        control.send(b"login").expect("room");
    }
    fn on_disconnected(&mut self, _: TaiNs) {
        self.ready = false;
        self.tail.clear();
    }
    fn on_bytes(&mut self, _: TaiNs, bytes: &[u8], sink: &mut impl OrderSink, _: &mut Control) {
        self.tail.extend_from_slice(bytes);
        let whole = self.tail.len() / size_of::<Wire>() * size_of::<Wire>();
        for bytes in self.tail.drain(..whole).collect::<Vec<u8>>().chunks(size_of::<Wire>()) {
            let wire = Wire::read_from_bytes(bytes).expect("a message");
            let kind = VenueEventKind::from_index(usize::from(wire.kind)).expect("a kind");
            self.ready |= kind == VenueEventKind::CaughtUp;
            sink.event(VenueEvent {
                order: OrderId(wire.order),
                previous: OrderId(wire.previous),
                match_number: wire.match_number,
                price: Price(wire.price),
                quantity: wire.quantity,
                reason: wire.reason,
                symbol: (wire.symbol[0] != 0).then_some(Symbol(wire.symbol)),
                side: Side::from_u8(wire.side),
                live: wire.flags & 1 != 0,
                strategy: (wire.strategy != 0).then_some(StrategyId(wire.strategy)),
                trader: None,
                session_seq: wire.session_seq,
                venue_order: u64::from(wire.order) + 1_000_000,
                ..VenueEvent::new(kind)
            });
        }
    }
    fn on_timer(&mut self, _: TaiNs, control: &mut Control) {
        control.send(&core::mem::take(&mut self.control_bytes)).expect("room");
    }
    fn log_out(&mut self, _: TaiNs, _: &mut Control) {
        self.logged_out = true;
    }
    fn encode(&mut self, order: &OrderView, buf: &mut [u8]) -> Result<usize, EncodeError> {
        if let Some(error) = self.refuse {
            return Err(error);
        }
        if !self.order_bytes.is_empty() {
            let bytes = core::mem::take(&mut self.order_bytes);
            buf.get_mut(..bytes.len()).ok_or(EncodeError::NoRoom)?.copy_from_slice(&bytes);
            return Ok(bytes.len());
        }
        let (kind, id, previous) = match order.action {
            OrderAction::New { order } => (NEW, order, OrderId(0)),
            OrderAction::Replace { previous, order } => (REPLACE, order, previous),
            OrderAction::Cancel { order } | OrderAction::Reduce { order } => (CANCEL, order, OrderId(0)),
        };
        let wire = Wire {
            match_number: 0,
            price: order.price.0,
            session_seq: 0,
            symbol: order.symbol.0,
            order: id.0,
            previous: previous.0,
            quantity: order.quantity,
            strategy: order.strategy.0,
            kind,
            side: order.side as u8,
            flags: u8::from(order.short)
                | u8::from(order.time_in_force == TimeInForce::Ioc) << 1
                | u8::from(order.post_only) << 2,
            reason: 0,
            padding: [0; 6],
        };
        wire.write_to_prefix(buf).map_err(|_| EncodeError::NoRoom)?;
        Ok(size_of::<Wire>())
    }
    fn on_sent(&mut self, _: TaiNs) {}
    fn next_deadline(&self) -> TaiNs {
        if self.control_bytes.is_empty() { TaiNs::NEVER } else { TaiNs(0) }
    }
    fn is_ready(&self) -> bool {
        self.ready
    }
    fn counters(&self) -> &[u64; SessionCounter::COUNT] {
        &self.counters
    }
}

/// Keeps every record.
#[derive(Clone, Debug)]
pub struct VecRecorder {
    /// Time, kind and body of each.
    pub records: Vec<(u64, Kind, Vec<u8>)>,
    /// What [`Recorder::has_room_for_orders`] says.
    pub room: bool,
    /// Refuse what may not be shed.
    pub full: bool,
    /// Refuse records of this kind.
    pub refuse: Option<Kind>,
}

impl Default for VecRecorder {
    fn default() -> Self {
        Self { records: Vec::new(), room: true, full: false, refuse: None }
    }
}

impl Recorder for VecRecorder {
    fn record(&mut self, tai_ns: u64, kind: Kind, parts: &[&[u8]]) -> Result<(), RingFull> {
        if self.full && kind != Kind::Datagram || self.refuse == Some(kind) {
            return Err(RingFull);
        }
        self.records.push((tai_ns, kind, parts.concat()));
        Ok(())
    }
    fn next_seq(&self) -> u64 {
        self.records.len() as u64 + 1
    }
    fn has_room_for_orders(&self) -> bool {
        self.room
    }
}

impl VecRecorder {
    /// All records of a kind, as `T`.
    pub fn all<T: FromBytes>(&self, kind: Kind) -> Vec<T> {
        let of_kind = self.records.iter().filter(|(_, k, _)| *k == kind);
        of_kind.map(|(_, _, body)| T::read_from_bytes(body).expect("the kind's layout")).collect()
    }
}

/// What a [`Script`] still has to say; shared with the test.
pub type Lines = Rc<RefCell<VecDeque<Intent>>>;

/// A strategy that gives the intents it was handed, at the next timer or end of a batch.
#[derive(Debug, Default)]
pub struct Script {
    /// Intents to give.
    pub lines: Lines,
    /// What it was told of its orders.
    pub heard: Rc<RefCell<Vec<OrderEvent>>>,
    /// Panic at the next call.
    pub panic: Rc<RefCell<bool>>,
}

impl Script {
    fn speak(&mut self, out: &mut Intents) {
        assert!(!self.panic.replace(false), "told to panic");
        self.lines.borrow_mut().drain(..).for_each(|intent| out.push(intent));
    }
}

impl Strategy for Script {
    fn on_book(&mut self, _: &Ctx<'_>, _: &crate::book::BookChange, _: &mut Intents) {}
    fn on_batch_end(&mut self, _: &Ctx<'_>, _: Batch, out: &mut Intents) {
        self.speak(out);
    }
    fn on_order(&mut self, _: &Ctx<'_>, event: &OrderEvent, _: &mut Intents) {
        self.heard.borrow_mut().push(*event);
    }
    fn on_timer(&mut self, _: &Ctx<'_>, out: &mut Intents) {
        self.speak(out);
    }
    fn next_deadline(&self) -> TaiNs {
        if self.lines.borrow().is_empty() { TaiNs::NEVER } else { TaiNs(0) }
    }
}

std::thread_local! {
    static LAST_PANIC: Cell<PanicText> = const { Cell::new(PanicText::EMPTY) };
}

/// Catches a strategy's panic, as the loop does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Catch;

impl Isolate for Catch {
    fn call(&mut self, f: impl FnOnce()) -> Result<(), Panicked> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).map_err(|payload| {
            let mut text = PanicText::EMPTY;
            let formatted = payload.downcast_ref::<String>().map(String::as_str);
            let said = payload.downcast_ref::<&str>().copied().or(formatted);
            text.write_str(said.unwrap_or_default()).expect("it never fails");
            LAST_PANIC.set(text);
            Panicked
        })
    }
    fn panic_text(&self) -> PanicText {
        LAST_PANIC.get()
    }
}

/// A pipeline with fakes round it.
#[derive(Debug)]
pub struct Rig<S> {
    /// The pipeline.
    pub pipeline: Pipeline<FakeFeed, FakeSession, S>,
    /// Everything recorded.
    pub rec: VecRecorder,
    /// The time of the next input; each input moves it by a microsecond.
    pub now: TaiNs,
    /// The last sequence number of the venue's log.
    pub session_seq: u64,
}

/// The configuration of a bench: limits wide enough not to be in the way.
pub fn config() -> Config {
    let mut config =
        Config { orders_max: 256, executions_max: 256, feed_silence_ns_max: 0, ack_timeout_ns: 0, ..Config::default() };
    config.limits.open_orders_max = 200;
    config.limits.order_burst_max = 100_000;
    config.limits.orders_per_second_max = 1_000_000;
    config.limits.order_notional_max = i64::MAX / 4;
    config.limits.position_max = 10_000;
    config.limits.strategy_position_max = 10_000;
    config
}

/// An event that says that an instrument trades.
pub fn trading(instrument: u32) -> BookEvent {
    BookEvent { instrument, code: b'T', ..BookEvent::new(EventKind::TradingState) }
}

/// An order that joins a book.
pub fn add(instrument: u32, order: u64, side: Side, price: i64, quantity: u32) -> BookEvent {
    BookEvent { instrument, order, side: side as u8, price, quantity, ..BookEvent::new(EventKind::Add) }
}

/// A print.
pub fn print(instrument: u32, price: i64) -> BookEvent {
    BookEvent { instrument, price, quantity: 1, side: 1, other: 1, ..BookEvent::new(EventKind::Trade) }
}

/// A datagram of the fake feed.
pub fn payload(distrust: Option<crate::feed::Distrust>, events: &[BookEvent]) -> Vec<u8> {
    let mut bytes = vec![distrust.map_or(0, |reason| reason as u8 + 1)];
    events.iter().for_each(|event| bytes.extend_from_slice(event.as_bytes()));
    bytes
}

/// A venue event as bytes of the fake session.
pub fn venue_bytes(event: &VenueEvent) -> Vec<u8> {
    let wire = Wire {
        match_number: event.match_number,
        price: event.price.0,
        session_seq: event.session_seq,
        symbol: event.symbol.map_or([0; 8], |symbol| symbol.0),
        order: event.order.0,
        previous: event.previous.0,
        quantity: event.quantity,
        strategy: event.strategy.map_or(0, |id| id.0),
        kind: event.kind as u8,
        side: event.side.map_or(0, |side| side as u8),
        flags: u8::from(event.live),
        reason: event.reason,
        padding: [0; 6],
    };
    wire.as_bytes().to_vec()
}

impl<S: StrategySet> Rig<S> {
    /// A bench with `instruments` instruments named `S0` and so on; nothing was fed yet.
    pub fn bare(config: Config, instruments: u32, strategies: S) -> Self {
        let room = instruments as usize + config.opening.len();
        let capacity = Capacity { instruments: room, orders: 4096, levels: 1024 };
        let configs: Vec<StrategyConfig> = (1..=strategies.count() as u16)
            .map(|id| StrategyConfig { id: StrategyId(id), trader: TraderId(id + 70) })
            .collect();
        let feed = FakeFeed { instruments, ..FakeFeed::default() };
        let directory = Instruments::new(InstrumentsMemory::new(room));
        let books = Books::new(BooksMemory::new(capacity));
        let parts = (feed, FakeSession::default(), strategies);
        let pipeline = Pipeline::new(config, &configs, parts, directory, books).expect("a valid configuration");
        Self { pipeline, rec: VecRecorder::default(), now: TaiNs(1_000_000_000), session_seq: 0 }
    }

    /// A bench ready to trade: every instrument trades, last at 10.0000; logged in; room for a megabyte.
    pub fn ready(config: Config, instruments: u32, strategies: S) -> Self {
        let mut rig = Self::bare(config, instruments, strategies);
        let events: Vec<BookEvent> =
            (0..instruments).flat_map(|instrument| [trading(instrument), print(instrument, 10_0000)]).collect();
        // No more in a datagram than one can hold; the first introduces the instruments.
        events.chunks(1000).for_each(|chunk| rig.feed(chunk));
        rig.connect();
        rig
    }

    /// Connects, logs in, replays nothing.
    pub fn connect(&mut self) {
        self.conn(ConnEvent::Up);
        self.conn(ConnEvent::Room(1 << 20));
        self.venue(VenueEvent::new(VenueEventKind::CaughtUp));
    }

    /// Gives an input with an isolation.
    pub fn input_with(&mut self, input: Input<'_>, isolate: &mut impl Isolate) -> Result<(), RingFull> {
        self.now = self.now.plus(1000);
        self.pipeline.on_input(self.now, input, &mut self.rec, &mut NoProbe, isolate)
    }

    /// Gives an input that must be taken.
    pub fn input(&mut self, input: Input<'_>) {
        self.input_with(input, &mut NotIsolated).expect("the input is taken");
    }

    /// A datagram in sequence.
    pub fn feed(&mut self, events: &[BookEvent]) {
        self.feed_aged(None, events, 0);
    }

    /// A datagram, `age_ns` old, after which the books are not trusted if a reason is given.
    pub fn feed_aged(&mut self, distrust: Option<crate::feed::Distrust>, events: &[BookEvent], age_ns: u64) {
        let at = Stamp { seen: self.now, arrival: TaiNs(self.now.0 + 1000 - age_ns), nic: None };
        let payload = payload(distrust, events);
        self.input(Input::Datagram { stream: STREAM, line: LineId(0), at, backlog: 0, payload: &payload });
    }

    /// A datagram that is no packet of the feed.
    pub fn garbage(&mut self) {
        let at = Stamp { seen: self.now, arrival: self.now, nic: None };
        self.input(Input::Datagram { stream: STREAM, line: LineId(0), at, backlog: 0, payload: &[GARBAGE] });
    }

    /// A change of the connection.
    pub fn conn(&mut self, event: ConnEvent) {
        self.input(Input::Conn { conn: CONN, event });
    }

    /// The venue says something; orders' events get the next sequence number unless they have one.
    pub fn venue(&mut self, event: VenueEvent) {
        let mut event = event;
        if event.session_seq == 0 && event.order.0 != 0 && event.kind != VenueEventKind::NextOrderId {
            self.session_seq += 1;
            event.session_seq = self.session_seq;
        }
        let bytes = venue_bytes(&event);
        self.input(Input::Session { conn: CONN, bytes: &bytes });
    }

    /// A command.
    pub fn command(&mut self, kind: CommandKind) {
        self.input(Input::Command(&Command { kind: kind as u32, ..Command::default() }));
    }

    /// Hands everything over and returns it.
    pub fn sent(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        while let Some(bytes) = self.pipeline.next_order_bytes(CONN) {
            all.push(Sent::read(bytes));
            let count_bytes = bytes.len();
            self.pipeline.order_bytes_sent(CONN, count_bytes);
        }
        all
    }
}

/// A bench with one [`Script`], and the lines to give it.
pub fn scripted(config: Config, instruments: u32) -> (Rig<(Script,)>, Lines) {
    let script = Script::default();
    let lines = script.lines.clone();
    (Rig::ready(config, instruments, (script,)), lines)
}

/// A day order to buy or sell.
pub fn new(instrument: u32, side: Side, price: i64, quantity: u32) -> Intent {
    Intent::New {
        instrument: InstrumentId(instrument),
        side,
        price: Price(price),
        quantity,
        min_quantity: 0,
        time_in_force: TimeInForce::Day,
        post_only: false,
    }
}

/// The venue accepts an order as it is.
pub fn accepted(order: u32, quantity: u32, price: i64) -> VenueEvent {
    let (order, price) = (OrderId(order), Price(price));
    VenueEvent { order, previous: order, quantity, price, live: true, ..VenueEvent::new(VenueEventKind::Accepted) }
}

/// Shares of an order trade.
pub fn executed(order: u32, quantity: u32, price: i64, match_number: u64) -> VenueEvent {
    let (order, price) = (OrderId(order), Price(price));
    VenueEvent { order, previous: order, quantity, price, match_number, ..VenueEvent::new(VenueEventKind::Executed) }
}

/// Something happens to an order that has nothing more to say than shares.
pub fn told(kind: VenueEventKind, order: u32, quantity: u32) -> VenueEvent {
    VenueEvent { order: OrderId(order), previous: OrderId(order), quantity, ..VenueEvent::new(kind) }
}

/// An order was replaced; `quantity` is open now.
pub fn replaced(previous: u32, order: u32, quantity: u32, price: i64) -> VenueEvent {
    VenueEvent { kind: VenueEventKind::Replaced, previous: OrderId(previous), ..accepted(order, quantity, price) }
}
