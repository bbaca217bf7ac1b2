//! The loop, the wire and the venue in memory, and what the segment holds afterwards.

use crate::ALLOCATIONS;
use crate::common::{MAC, OURS, Peer, VENUE, config as bypass};
use crate::venue::{Answer, FeedWriter, Gateway};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tern_abi::counters::LoopCounter;
use tern_abi::record::{Kind, RecordHeader, Recorder, StartRecord};
use tern_abi::ring::recorder::ShmRecorder;
use tern_abi::segment::SegmentSizes;
use tern_abi::steer::{FRAME_ARP, FRAME_TCP, FRAME_UDP, FrameRecord, STEER_VERSION};
use tern_config::Config;
use tern_config::facts::Names;
use tern_core::book::Heap;
use tern_core::units::{StreamId, TaiNs};
use tern_dataplane::assemble::{self, RunState};
use tern_dataplane::clock::Clock;
use tern_dataplane::engine::{CONN, Engine, LoopConfig, Parts};
use tern_dataplane::isolate::CatchUnwind;
use tern_dataplane::net::bypass::BypassTcp;
use tern_dataplane::{registry, replay};
use tern_hw::memory::{FRAME_BYTES, MemoryPort};
use tern_hw::segment::{DaemonSegment, DataPlaneSegment, SegmentSpec};
use tern_strategies::AnyStrategy;
use tern_venues::itch_ouch::{ItchFeed, OuchSession};
use zerocopy::IntoBytes;

thread_local! {
    /// The process stands still for so many ns (second) right before the clock is looked at for this time (first).
    pub(crate) static PAUSE: Cell<(u32, u64)> = const { Cell::new((0, 0)) };
    /// What a look at the clock takes, ns.
    pub(crate) static LOOK_NS: Cell<u64> = const { Cell::new(1) };
    /// Of so many datagrams one has its stages measured.
    pub(crate) static SAMPLE_EVERY: Cell<u32> = const { Cell::new(16) };
}

/// A clock that the test sets.
#[derive(Clone)]
pub(crate) struct Hand(Rc<Cell<u64>>);

impl Clock for Hand {
    fn now(&self) -> TaiNs {
        // Each look takes a while, so that stamps are in order.
        self.0.set(self.0.get() + LOOK_NS.get());
        let (looks, pause_ns) = PAUSE.get();
        PAUSE.set((looks.saturating_sub(1), pause_ns));
        if looks == 1 {
            self.0.set(self.0.get() + pause_ns);
        }
        TaiNs(self.0.get())
    }
}

pub(crate) type TestEngine<'a> =
    Engine<'a, MemoryPort, BypassTcp, ShmRecorder<'a>, Hand, CatchUnwind, ItchFeed, OuchSession, Box<[AnyStrategy]>>;

const CONFIG: &str = r#"
[instance]
name = "engine"
[port]
interface = "none"
address = "10.1.0.2/24"
[loop]
strategy_budget_us = 1
strategy_overruns_max = 3
[capacity]
instruments = 100
orders = 10000
[[feed]]
venue = "itch_ouch"
stream = 1
group = "239.1.1.1"
port = 1
[session]
venue = "itch_ouch"
address = "10.1.0.1:9000"
user = "TERN01"
password = "secret"
account = 1
[[strategy]]
name = "maker"
id = 1
[limits]
order_quantity_max = 1000
order_notional_max = 5000000000000
price_collar_percent = 50
position_max = 100000
strategy_position_max = 100000
executions_max = 100000
orders_per_second_max = 1000000
order_burst_max = 100000
open_orders_max = 1000
duplicate_window_ns = 0
[[limits.symbol]]
symbol = "CENTS"
price_min = 2000
price_max = 2600
"#;

/// The daemon may be silent for so long until only cancels leave, and until trading stops. No daemon is there, so that tests
/// have that long unless they beat for it.
pub(crate) const DAEMON_SILENCE_NS: u64 = 120_000_000_000;
pub(crate) const DAEMON_HALT_NS: u64 = 2 * DAEMON_SILENCE_NS;

/// A segment file of this test, removed at its end.
pub(crate) struct SegmentFile(PathBuf);

impl SegmentFile {
    pub(crate) fn new(name: &str) -> Self {
        Self(Path::new("/dev/shm").join(format!("tern-test-{name}-{}", std::process::id())))
    }
    pub(crate) fn spec(&self) -> SegmentSpec {
        SegmentSpec {
            path: Some(self.0.clone()),
            sizes: SegmentSizes { capture_bytes: 1 << 22, ..SegmentSizes::default() },
            huge_pages: false,
            ..SegmentSpec::new("engine")
        }
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The loop, the wire and the venue.
pub(crate) struct World<'a> {
    pub(crate) engine: TestEngine<'a>,
    pub(crate) time: Rc<Cell<u64>>,
    pub(crate) peer: Peer,
    pub(crate) gateway: Gateway,
    pub(crate) feed: FeedWriter,
    pub(crate) stocks: u16,
    pub(crate) turns: u64,
    pub(crate) allocations: u64,
    /// The gateway reads what arrives.
    pub(crate) is_reading: bool,
}

impl<'a> World<'a> {
    pub(crate) fn new(segment: &'a mut DataPlaneSegment, window: usize, answer: fn(u32) -> Answer) -> Self {
        let config = Config::parse(Path::new("test"), CONFIG).expect("a valid configuration");
        let streams = assemble::streams(&config);
        let strategies = registry::strategies(&config).unwrap_or_else(|problem| panic!("{problem}"));
        let parts = (registry::itch_feed(&streams, &mut Heap), registry::ouch_session(&config), strategies);
        let pipeline = assemble::pipeline(&config, RunState::default(), parts, &mut Heap).expect("a pipeline");
        let mut ends = segment.ends().expect("ring ends");
        let start = StartRecord { run: 1, abi_version: tern_abi::ABI_VERSION, ..StartRecord::default() };
        let text = Names::default().start_text(&(config.effective_toml() + &RunState::default().to_line()));
        ends.recorder.record(1, Kind::Start, &[start.as_bytes(), text.as_bytes()]).expect("an empty ring");
        let time = Rc::new(Cell::new(1_000_000_000_000));
        let engine = Engine::new(
            Parts {
                ports: vec![MemoryPort::new(512)],
                transport: Some(BypassTcp::new(bypass()).expect("a valid configuration")),
                recorder: ends.recorder,
                clock: Hand(time.clone()),
                words: ends.segment.words(),
                commands: Some(ends.commands),
                pipeline,
                streams: vec![StreamId(1)],
                shed: |recorder| recorder.shed_total().datagrams,
            },
            LoopConfig {
                block: false,
                sample_stages_every: SAMPLE_EVERY.get(),
                account: 1,
                day: 7,
                daemon_silence_ns: DAEMON_SILENCE_NS,
                daemon_halt_ns: DAEMON_HALT_NS,
                strategy_budget_ns: config.run_loop.strategy_budget_us * 1000,
            },
            CatchUnwind,
        );
        assert_eq!((MAC, OURS, *VENUE.ip()), (bypass().mac, bypass().address, *bypass().venue.ip()));
        Self {
            engine,
            time,
            peer: Peer::new(window),
            gateway: Gateway::new(answer),
            feed: FeedWriter::default(),
            stocks: 0,
            turns: 0,
            allocations: 0,
            is_reading: true,
        }
    }

    pub(crate) fn turn(&mut self) {
        let before = ALLOCATIONS.get();
        self.engine.turn();
        self.allocations += ALLOCATIONS.get() - before;
        self.turns += 1;
    }

    /// A turn, then the wire both ways, then the venue; `ns` pass.
    pub(crate) fn step(&mut self, ns: u64) {
        self.turn();
        let mut frame = [0; FRAME_BYTES];
        let port = &mut self.engine.ports_mut()[0];
        while let Some(length) = port.take(&mut frame) {
            self.peer.queues.to_peer.push_back(frame[..length].to_vec());
        }
        let now = TaiNs(self.time.get());
        self.peer.poll(now);
        let bytes = if self.is_reading { self.peer.read() } else { Vec::new() };
        if !bytes.is_empty() {
            let answer = self.gateway.take(&bytes);
            self.peer.send(&answer);
            self.peer.poll(now);
        }
        while let Some(frame) = self.peer.queues.from_peer.pop_front() {
            let kind = if frame[12..14] == [8, 6] { FRAME_ARP } else { FRAME_TCP };
            let record = FrameRecord { version: STEER_VERSION, kind, ..FrameRecord::default() };
            assert!(self.engine.ports_mut()[0].put(&record, &frame));
        }
        self.time.set(self.time.get() + ns);
    }

    pub(crate) fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..200_000 {
            if done(self) {
                return;
            }
            self.step(50_000);
        }
        panic!("{what}: not reached");
    }

    pub(crate) fn market(&mut self, messages: &[Vec<u8>]) {
        let payload = self.feed.datagram(messages);
        let record = FrameRecord {
            version: STEER_VERSION,
            kind: FRAME_UDP,
            stream: 1,
            payload_offset: 0,
            payload_bytes: payload.len() as u16,
            arrival_tai_ns: self.time.get(),
            ..FrameRecord::default()
        };
        assert!(self.engine.ports_mut()[0].put(&record, &payload));
    }

    pub(crate) fn log_in(&mut self) {
        self.gateway.connected();
        let logins = self.gateway.logins;
        self.run_until("a login", |world| world.gateway.logins > logins);
        self.run_until("the query's answer", |world| world.engine.pipeline().pending_control(CONN).is_empty());
        for _ in 0..20 {
            self.step(50_000);
        }
        self.peer.send(&Gateway::heartbeat());
        self.run_until("a ready session", |world| world.engine.pipeline().desk().can_trade());
    }

    /// Stocks that trade, with a bid and an ask each.
    pub(crate) fn open_market(&mut self, stocks: u16) {
        for locate in 1..=stocks {
            let mut messages = self.feed.open(locate).to_vec();
            messages.push(self.feed.add(locate, b'B', 500, 99_0000).1);
            messages.push(self.feed.add(locate, b'S', 500, 101_0000).1);
            self.market(&messages);
            self.step(50_000);
        }
        self.stocks = stocks;
    }

    /// `count` datagrams that move the books.
    pub(crate) fn trade(&mut self, count: u32) {
        for number in 0..count {
            let locate = 1 + number as u16 % self.stocks;
            let better = (number % 7) * 100;
            let (bid, add_bid) = self.feed.add(locate, b'B', 100 + number % 900, 99_5000 + better);
            let (ask, add_ask) = self.feed.add(locate, b'S', 1000 - number % 900, 100_5000 + better);
            self.market(&[add_bid, add_ask]);
            self.step(200_000);
            let gone = [self.feed.delete(locate, bid), self.feed.delete(locate, ask)];
            self.market(&gone);
            self.step(200_000);
        }
    }

    /// Everything that was given to TCP is acknowledged.
    pub(crate) fn is_quiet(&self) -> bool {
        let connection = self.engine.transport().expect("a connection").connection();
        connection.unacknowledged == connection.next
    }

    pub(crate) fn counter(&self, counter: LoopCounter) -> u64 {
        self.engine.words().counters.get(counter)
    }
}

/// Every record of the segment: kinds and bodies.
pub(crate) fn records(file: &SegmentFile) -> Vec<(u16, Vec<u8>)> {
    headed_records(file).into_iter().map(|(header, body)| (header.kind, body)).collect()
}

pub(crate) fn headed_records(file: &SegmentFile) -> Vec<(RecordHeader, Vec<u8>)> {
    let mut daemon = DaemonSegment::open(&file.spec()).expect("the daemon's side");
    let mut ends = daemon.ends().expect("ring ends");
    let mut all = Vec::new();
    while let Some(record) = ends.drain.next().expect("rings are whole") {
        let bytes = record.body.to_vec();
        all.push((record.header, bytes));
    }
    all
}

/// A journal with the segment's records, replayed: inputs in, every output compared.
pub(crate) fn replayed(file: &SegmentFile) -> replay::Outcome {
    let folder = file.0.with_extension("journal");
    let (mut writer, _) = tern_journal::Writer::open(&folder, tern_journal::Options::new("engine")).expect("a journal");
    for (header, body) in headed_records(file) {
        writer.append(&header, &body).expect("takes it");
    }
    writer.sync().expect("syncs");
    let parts = |config: &Config| {
        let streams = assemble::streams(config);
        let strategies = registry::strategies(config).unwrap_or_else(|problem| panic!("{problem}"));
        Ok((registry::itch_feed(&streams, &mut Heap), registry::ouch_session(config), strategies))
    };
    let outcome = replay::replay(&folder, parts, |_, _| Ok(())).expect("a journal that replays");
    std::fs::remove_dir_all(&folder).expect("the journal is ours");
    outcome
}
