//! The shipped loop over a port in memory: a session that logs in, trades, is reset, logs in again, is rejected, killed
//! and resumed; and not one allocation in any turn of it.
#![allow(unsafe_code, reason = "a global allocator that counts")]

mod common;
#[path = "common/venue.rs"]
mod venue;

use common::{MAC, OURS, Peer, VENUE, config as bypass};
use smoltcp::socket::tcp::State;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tern_abi::command::{Command, CommandKind};
use tern_abi::counters::LoopCounter;
use tern_abi::record::{CONN_DOWN, CONN_UNSENT, ConnRecord, Kind, RecordHeader, Recorder, StageRecord, StartRecord};
use tern_abi::ring::recorder::ShmRecorder;
use tern_abi::segment::{
    CancelAllState, DISTRUSTED, KillCause, Scope, ScopeKind, SegmentSizes, SessionFault, SessionState, TRUSTED,
    TradingState,
};
use tern_abi::steer::{FRAME_ARP, FRAME_TCP, FRAME_UDP, FrameRecord, STEER_VERSION};
use tern_config::Config;
use tern_config::facts::Names;
use tern_core::book::Heap;
use tern_core::risk::Reason;
use tern_core::units::{StreamId, TaiNs};
use tern_dataplane::assemble::{self, RunState};
use tern_dataplane::clock::Clock;
use tern_dataplane::engine::{CONN, Engine, LoopConfig, Parts};
use tern_dataplane::isolate::CatchUnwind;
use tern_dataplane::net::bypass::BypassTcp;
use tern_dataplane::net::{OrderTransport, TcpCounter};
use tern_dataplane::{registry, replay};
use tern_hw::memory::{FRAME_BYTES, MemoryPort};
use tern_hw::segment::{DaemonSegment, DataPlaneSegment, SegmentSpec};
use tern_strategies::AnyStrategy;
use tern_venues::itch_ouch::{ItchFeed, OuchSession};
use venue::{Answer, FeedWriter, Gateway};
use zerocopy::{FromBytes, IntoBytes};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(start, layout) }
    }
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(start, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// The process stands still for so many ns (second) right before the clock is looked at for this time (first).
    static PAUSE: Cell<(u32, u64)> = const { Cell::new((0, 0)) };
}

/// A clock that the test sets.
#[derive(Clone)]
struct Hand(Rc<Cell<u64>>);

impl Clock for Hand {
    fn now(&self) -> TaiNs {
        // Each look takes a nanosecond, so that stamps are in order.
        self.0.set(self.0.get() + 1);
        let (looks, pause_ns) = PAUSE.get();
        PAUSE.set((looks.saturating_sub(1), pause_ns));
        if looks == 1 {
            self.0.set(self.0.get() + pause_ns);
        }
        TaiNs(self.0.get())
    }
}

type TestEngine<'a> =
    Engine<'a, MemoryPort, BypassTcp, ShmRecorder<'a>, Hand, CatchUnwind, ItchFeed, OuchSession, Box<[AnyStrategy]>>;

const CONFIG: &str = r#"
[instance]
name = "engine"
[port]
interface = "none"
address = "10.1.0.2/24"
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
orders_per_second_max = 1000000
order_burst_max = 100000
open_orders_max = 1000
duplicate_window_ns = 0
"#;

/// A segment file of this test, removed at its end.
struct SegmentFile(PathBuf);

impl SegmentFile {
    fn new(name: &str) -> Self {
        Self(Path::new("/dev/shm").join(format!("tern-test-{name}-{}", std::process::id())))
    }
    fn spec(&self) -> SegmentSpec {
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
struct World<'a> {
    engine: TestEngine<'a>,
    time: Rc<Cell<u64>>,
    peer: Peer,
    gateway: Gateway,
    feed: FeedWriter,
    stocks: u16,
    turns: u64,
    allocations: u64,
    /// The gateway reads what arrives.
    is_reading: bool,
}

impl<'a> World<'a> {
    fn new(segment: &'a mut DataPlaneSegment, window: usize, answer: fn(u32) -> Answer) -> Self {
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
            LoopConfig { block: false, sample_stages_every: 16, account: 1, day: 7 },
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

    fn turn(&mut self) {
        let before = ALLOCATIONS.get();
        self.engine.turn();
        self.allocations += ALLOCATIONS.get() - before;
        self.turns += 1;
    }

    /// A turn, then the wire both ways, then the venue; `ns` pass.
    fn step(&mut self, ns: u64) {
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

    fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..200_000 {
            if done(self) {
                return;
            }
            self.step(50_000);
        }
        panic!("{what}: not reached");
    }

    fn market(&mut self, messages: &[Vec<u8>]) {
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

    fn log_in(&mut self) {
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
    fn open_market(&mut self, stocks: u16) {
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
    fn trade(&mut self, count: u32) {
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
    fn is_quiet(&self) -> bool {
        let connection = self.engine.transport().expect("a connection").connection();
        connection.unacknowledged == connection.next
    }

    fn counter(&self, counter: LoopCounter) -> u64 {
        self.engine.words().counters.get(counter)
    }
}

/// Every record of the segment: kinds and bodies.
fn records(file: &SegmentFile) -> Vec<(u16, Vec<u8>)> {
    headed_records(file).into_iter().map(|(header, body)| (header.kind, body)).collect()
}

fn headed_records(file: &SegmentFile) -> Vec<(RecordHeader, Vec<u8>)> {
    let mut daemon = DaemonSegment::open(&file.spec()).expect("the daemon's side");
    let mut ends = daemon.ends().expect("ring ends");
    let mut all = Vec::new();
    while let Some(record) = ends.drain.next().expect("rings are whole") {
        let bytes = record.body.to_vec();
        all.push((record.header, bytes));
    }
    all
}

fn mixed(reference: u32) -> Answer {
    match reference % 7 {
        0 => Answer::Reject,
        1 | 2 => Answer::AcceptAndFill,
        _ => Answer::Accept,
    }
}

#[test]
fn a_day_with_a_reset_rejects_and_a_kill_allocates_nothing_and_loses_no_record() {
    let file = SegmentFile::new("day");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, mixed);
    world.log_in();
    world.open_market(2);
    world.trade(400);
    let before_reset = world.gateway.orders.len();
    assert!(before_reset > 200, "{before_reset} order messages");

    // The venue resets the connection when nothing is under way; the session resumes where it was.
    world.run_until("a quiet wire", |world| world.is_quiet());
    world.peer.socket().abort();
    world.step(50_000);
    world.run_until("the reset", |world| world.counter(LoopCounter::TcpResets) == 1);
    world.peer.listen();
    world.log_in();
    assert_eq!(world.counter(LoopCounter::TcpConnects), 2);
    world.trade(200);
    assert!(world.gateway.orders.len() > before_reset + 50);
    assert!(world.gateway.count(b'O') > 20, "orders");

    // The kill word stops everything and takes back what is open.
    world.engine.words().kill.kill(1000, KillCause::Operator, 1);
    world.turn();
    let new_orders = world.gateway.count(b'O') + world.gateway.count(b'U');
    world.run_until("the kill", |world| world.gateway.open_orders() == 0);
    world.trade(50);
    assert_eq!(world.gateway.count(b'O') + world.gateway.count(b'U'), new_orders, "nothing new after a kill");
    assert_eq!(world.counter(LoopCounter::Kills), 1);
    assert!(!world.engine.words().trading.get().0);

    assert_eq!(world.allocations, 0, "allocations in {} turns", world.turns);
    assert_eq!(world.counter(LoopCounter::RecordRefused), 0);
    let executed = world.counter(LoopCounter::VenueExecuted);
    assert!(executed > 10, "{executed} executions");
    // What the venue answered is counted by kind; the session went once.
    for counter in [LoopCounter::VenueAccepted, LoopCounter::VenueRejected, LoopCounter::VenueCanceled] {
        assert!(world.counter(counter) > 0, "{}", counter.name());
    }
    assert_eq!(world.counter(LoopCounter::SessionsDown), 1);
    assert_eq!(world.counter(LoopCounter::TrustGained), 1);

    // Every message that the venue got is in the rings, and what more is there was taken back; stamps came out in order.
    let received = world.gateway.orders.len() + world.counter(LoopCounter::DroppedAtKill) as usize;
    drop(world);
    drop(segment);
    let records = records(&file);
    let of = |kind: Kind| records.iter().filter(move |(found, _)| *found == kind as u16);
    assert_eq!(of(Kind::Order).count(), received);
    assert_eq!(of(Kind::Command).count(), 1);
    let stages: Vec<StageRecord> =
        of(Kind::Stages).map(|(_, body)| StageRecord::read_from_bytes(body).expect("stamps")).collect();
    assert!(stages.iter().any(|stage| stage.order != 0) && stages.iter().any(|stage| stage.order == 0));
    for stage in stages {
        let reached: Vec<u64> = stage.stage_ns.into_iter().filter(|ns| *ns != 0).collect();
        assert!(reached.is_sorted() && reached[0] >= stage.arrival_ns, "{stage:?}");
    }
}

#[test]
fn a_kill_that_is_taken_back_before_the_loop_looks_is_still_a_kill() {
    let file = SegmentFile::new("taken-back");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(2);
    world.trade(20);
    assert!(world.gateway.open_orders() > 0);

    let word = &world.engine.words().kill;
    let cleared = word.kill(1000, KillCause::Operator, 1);
    word.clear(cleared).expect("nobody killed since");
    world.run_until("the cancels", |world| world.gateway.open_orders() == 0);
    assert_eq!(world.counter(LoopCounter::Kills), 1);
    assert!(!world.engine.pipeline().desk().can_trade(), "the command to resume has not come");
    world.trade(5);
    assert_eq!(world.counter(LoopCounter::Kills), 1, "once");
}

#[test]
fn a_resume_clears_no_kill_that_came_after_the_operator_looked() {
    let file = SegmentFile::new("resume");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut daemon = DaemonSegment::open(&file.spec()).expect("the daemon's side");
    let mut commands = daemon.ends().expect("ring ends").commands;
    let mut resume = |kills_seen| {
        let command = Command { kind: CommandKind::Resume as u32, id: kills_seen, ..Command::default() };
        commands.send(&command).expect("room");
    };
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(2);
    world.trade(20);
    let word = &world.engine.words().kill;
    word.kill(1000, KillCause::Operator, 1);
    world.turn();
    assert_eq!(world.counter(LoopCounter::Kills), 1);

    // The daemon has checked and sent; then somebody kills, and the loop turns.
    resume(1);
    word.kill(1001, KillCause::Operator, 2);
    world.turn();
    assert!(word.state().killed() && !world.engine.pipeline().desk().can_trade());
    assert_eq!((world.counter(LoopCounter::ResumesRefused), world.counter(LoopCounter::Kills)), (1, 2));
    world.run_until("the cancels", |world| world.gateway.open_orders() == 0);

    resume(2);
    world.turn();
    assert!(!word.state().killed() && world.engine.pipeline().desk().can_trade());
    assert_eq!((world.counter(LoopCounter::ResumesRefused), world.counter(LoopCounter::Kills)), (1, 2));
    let before = world.gateway.orders.len();
    world.trade(20);
    assert!(world.gateway.orders.len() > before, "it trades again");
}

#[test]
fn a_cancel_all_is_done_when_the_orders_of_then_are_gone_and_not_the_later_ones() {
    let file = SegmentFile::new("cancel-all");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut daemon = DaemonSegment::open(&file.spec()).expect("the daemon's side");
    let mut commands = daemon.ends().expect("ring ends").commands;
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(8);
    world.trade(40);
    let open = world.engine.pipeline().desk().orders().open_count().into();
    assert!(open > 4, "{open} orders open");
    assert_eq!(world.engine.words().cancel_all.get(), CancelAllState::default());

    // The venue does not answer: every order waits for it.
    world.is_reading = false;
    commands.send(&Command { kind: CommandKind::CancelAll as u32, ..Command::default() }).expect("room");
    world.turn();
    assert_eq!(world.engine.words().cancel_all.get(), CancelAllState { count: 1, open, pending: open });
    for _ in 0..100 {
        world.step(50_000);
    }
    assert_eq!(world.engine.words().cancel_all.get().pending, open, "sent is not cancelled");

    // It answers: they go, while trading goes on.
    world.is_reading = true;
    world.run_until("the cancels", |world| world.engine.words().cancel_all.get().pending == 0);
    world.trade(20);
    assert!(world.engine.pipeline().desk().can_trade());
    assert!(world.engine.pipeline().desk().orders().open_count() > 0, "orders of later");
    assert_eq!(world.engine.words().cancel_all.get(), CancelAllState { count: 1, open, pending: 0 });
}

#[test]
fn a_ring_that_fills_refuses_orders_first_and_counts_each_record_once() {
    let file = SegmentFile::new("ring");
    let sizes =
        SegmentSizes { order_slots: 1024, order_reserve_slots: 128, capture_bytes: 1 << 22, ..SegmentSizes::default() };
    let spec = SegmentSpec { sizes, ..file.spec() };
    let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(4);
    // Nobody drains.
    let refusals = |world: &World<'_>, reason: Reason| world.engine.words().refusals.get(reason.index());
    let mut rounds = 0;
    while world.counter(LoopCounter::RecordRefused) == 0 {
        world.trade(10);
        rounds += 1;
        assert!(rounds < 1000, "the ring never filled");
    }
    let by_reserve = refusals(&world, Reason::RingReserve);
    assert!(by_reserve > 0, "orders are refused before an input is");
    let sent = world.gateway.orders.len();
    world.trade(200);
    assert!(world.gateway.orders[sent..].iter().all(|order| order[0] == b'X'), "nothing new");
    assert_eq!(world.counter(LoopCounter::RefusedRingFull), by_reserve + refusals(&world, Reason::RecordFailed));
    let (refused, retries) = (world.counter(LoopCounter::RecordRefused), world.counter(LoopCounter::RecordRetries));
    assert!(refused < 20 && retries > 100, "{refused} records, {retries} more attempts");
    assert!(!world.engine.words().trading.get().0);
}

#[test]
fn a_kill_at_a_closed_window_sends_no_order_afterwards() {
    let file = SegmentFile::new("window");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1000, |_| Answer::Accept);
    world.log_in();
    world.is_reading = false;
    world.open_market(60);
    world.trade(60);
    let refused = world.engine.words().refusals.snapshot();
    assert!(refused[Reason::WindowClosed.index()] > 0, "the window closed and orders were refused");

    let held = world.peer.socket().recv_queue();
    world.engine.words().kill.kill(0, KillCause::Operator, 1);
    world.trade(20);
    assert_eq!(world.peer.socket().recv_queue(), held, "nothing came behind what was there");
    // Cancels go as soon as the window opens, new orders never.
    world.is_reading = true;
    world.run_until("the cancels", |world| {
        world.peer.state() != State::Established
            || (world.gateway.open_orders() == 0 && !world.gateway.orders.is_empty())
    });
    let first_cancel = world.gateway.orders.iter().position(|order| order[0] == b'X').expect("cancels were sent");
    assert!(world.gateway.orders[first_cancel..].iter().all(|order| order[0] == b'X'));
}

#[test]
fn the_segment_says_why_no_order_can_leave_and_since_when() {
    let file = SegmentFile::new("why");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    let start_ns = world.time.get();
    let is = |world: &World<'_>, state: SessionState, fault: SessionFault| {
        let words = world.engine.words();
        (words.sessions.get(0).0, words.session_faults.get(0).0) == (state as u64, fault as u64)
    };
    // Nobody listens at the venue.
    world.peer.socket().abort();
    world.run_until("a refused attempt", |world| is(world, SessionState::Down, SessionFault::ConnectRefused));
    assert!(world.counter(LoopCounter::TcpConnectFailures) > 0);
    assert_eq!(world.counter(LoopCounter::TcpConnectRefused), world.counter(LoopCounter::TcpConnectFailures));
    let refused_ns = world.engine.words().session_faults.get(0).1;
    assert!(refused_ns >= start_ns);
    let never_started = DISTRUSTED + tern_core::feed::Distrust::NeverStarted as u64;
    assert_eq!(world.engine.words().trust.get(1).0, never_started);

    // It listens, and does not want us.
    world.is_reading = false;
    world.peer.listen();
    world.run_until("a connection", |world| is(world, SessionState::Connected, SessionFault::None));
    world.run_until("our login", |world| world.peer.socket().recv_queue() > 0);
    world.peer.send(&Gateway::login_rejected());
    world.run_until("its end", |world| is(world, SessionState::Down, SessionFault::LoginRejected));
    assert!(world.engine.words().session_faults.get(0).1 > refused_ns);
    world.peer.read();

    world.is_reading = true;
    world.peer.listen();
    world.log_in();
    world.run_until("no fault any more", |world| is(world, SessionState::Ready, SessionFault::None));
    world.open_market(1);
    world.run_until("trust", |world| world.engine.words().trust.get(1).0 == TRUSTED);
    world.engine.words().kill.kill(1000, KillCause::Operator, 1);
    world.run_until("the halt", |world| !world.engine.words().trading.get().0);
    assert!(world.engine.words().trading.since_ns() >= world.engine.words().trust.get(1).1);
}

/// A process that stood still finds what the venue said meanwhile. Until it has looked, the silence was its own.
#[test]
fn a_pause_of_the_process_is_no_silence_of_the_venue() {
    const PAUSE_NS: u64 = 8_000_000_000;
    assert!(PAUSE_NS > bypass().timeout_ns);
    let mut looks = 0;
    while PAUSE.get().0 == 0 {
        looks += 1;
        let file = SegmentFile::new("pause");
        let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
        let mut world = World::new(&mut segment, 65_535, |_| Answer::Accept);
        world.log_in();
        world.open_market(1);
        // The market moves; the step leaves the venue's answer to the orders in the port.
        let sent = world.gateway.orders.len();
        world.trade(1);
        assert!(world.gateway.orders.len() > sent, "orders were on their way");
        PAUSE.set((looks, PAUSE_NS));
        world.turn();
        world.turn();
        let transport = world.engine.transport().expect("there is a connection");
        let counters = OrderTransport::<MemoryPort>::counters(transport);
        assert_eq!(counters[TcpCounter::TimedOut.index()], 0, "paused before look {looks} of two turns");
        assert_eq!(world.peer.state(), State::Established);
    }
    assert!(looks > 6, "a turn looks at the clock several times: {looks}");
    PAUSE.set((0, 0));
}

#[test]
fn the_end_of_the_session_is_answered_by_a_clean_close() {
    let file = SegmentFile::new("end");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.peer.send(&Gateway::end_of_session());
    world.run_until("our FIN", |world| world.peer.state() == State::CloseWait);
    world.peer.socket().close();
    world.run_until("the end", |world| world.peer.state() == State::Closed);
    world.run_until("its count", |world| world.counter(LoopCounter::SessionsDown) == 1);
    let counters = OrderTransport::<MemoryPort>::counters(world.engine.transport().expect("there is one"));
    assert_eq!((counters[TcpCounter::Finished.index()], counters[TcpCounter::Aborts.index()]), (1, 0));
    world.peer.listen();
    world.gateway.connected();
    world.run_until("another login", |world| world.gateway.logins == 2);
}

#[test]
fn malformed_frames_are_counted_each_by_its_reason() {
    let file = SegmentFile::new("malformed");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    let good = FrameRecord { version: STEER_VERSION, kind: FRAME_UDP, stream: 1, ..FrameRecord::default() };
    let port = &mut world.engine.ports_mut()[0];
    assert!(port.put(&FrameRecord { version: 99, ..good }, b"x"));
    assert!(port.put(&FrameRecord { kind: 77, ..good }, b"x"));
    assert!(port.put(&FrameRecord { payload_bytes: 9, ..good }, b"x"));
    assert!(port.put(&FrameRecord { stream: 5, payload_bytes: 1, ..good }, b"x"));
    assert!(port.put(&FrameRecord { payload_bytes: 5, ..good }, b"bogus"));
    let free = port.free_frames();
    world.turn();
    world.time.set(world.time.get() + 2_000_000);
    world.turn();
    for (counter, count) in [
        (LoopCounter::FramesReceived, 5),
        (LoopCounter::DroppedRecordVersion, 1),
        (LoopCounter::DroppedRecordBad, 1),
        (LoopCounter::DroppedUnknownStream, 1),
        (LoopCounter::Datagrams, 1),
        // One by its record, one by its protocol.
        (LoopCounter::DroppedTruncated, 2),
    ] {
        assert_eq!(world.counter(counter), count, "{}", counter.name());
    }
    let mut frame = [0; FRAME_BYTES];
    let port = &mut world.engine.ports_mut()[0];
    while port.take(&mut frame).is_some() {}
    assert!(port.free_frames() >= free + 4, "every frame was given back");
}

#[test]
fn the_line_that_a_record_names_reaches_the_feed() {
    let file = SegmentFile::new("lines");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    let messages = world.feed.open(1);
    let payload = world.feed.datagram(&messages);
    for line in [0, 1, 1] {
        let payload_bytes = payload.len() as u16;
        let record = FrameRecord {
            version: STEER_VERSION,
            kind: FRAME_UDP,
            stream: 1,
            line,
            payload_bytes,
            ..FrameRecord::default()
        };
        assert!(world.engine.ports_mut()[0].put(&record, &payload));
    }
    world.turn();
    world.time.set(world.time.get() + 2_000_000);
    world.turn();
    for (counter, count) in
        [(LoopCounter::Messages, 2), (LoopCounter::LineDuplicates, 2), (LoopCounter::DroppedDuplicate, 2)]
    {
        assert_eq!(world.counter(counter), count, "{}", counter.name());
    }
    let stream = tern_core::units::StreamId(1);
    assert_eq!(world.engine.pipeline().desk().books().stream_distrust(stream), None);
}

/// A journal with the segment's records, replayed: inputs in, every output compared.
fn replayed(file: &SegmentFile) -> replay::Outcome {
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

#[test]
fn a_kill_that_takes_orders_back_replays_to_the_byte() {
    let file = SegmentFile::new("recalled");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(20);
    world.trade(40);
    world.run_until("a quiet wire", |world| world.is_quiet());
    let (at_venue, journaled) = (world.gateway.orders.len(), world.counter(LoopCounter::OrderBytes));

    // The TX ring is full: the first order stays in the stack's hands, those behind it in the outbox.
    world.engine.ports_mut()[0].limit_submitted(0);
    for number in 0..12_u32 {
        let locate = 1 + number as u16;
        let (_, bid) = world.feed.add(locate, b'B', 800, 100_4000);
        world.market(&[bid]);
    }
    world.turn();
    let in_stack = world.counter(LoopCounter::OrderBytes) - journaled;
    assert!(in_stack > 0, "TCP was given orders");
    assert!(world.engine.pipeline().next_order_bytes(CONN).is_some(), "and more wait");
    world.engine.words().kill.kill(0, KillCause::Operator, 1);
    world.turn();
    world.engine.ports_mut()[0].limit_submitted(usize::MAX);
    world.run_until("the reset", |world| world.peer.state() != State::Established);
    world.time.set(world.time.get() + 2_000_000);
    world.turn();
    assert_eq!(world.gateway.orders.len(), at_venue, "nothing of it arrived");
    let (taken_back, recalled_bytes) =
        (world.counter(LoopCounter::DroppedAtKill), world.counter(LoopCounter::TcpRecalledBytes));
    assert!(taken_back > 0 && recalled_bytes > 0, "{taken_back} messages, {recalled_bytes} bytes");
    assert_eq!(world.counter(LoopCounter::TcpRecalled), 1);

    // The next login tells what became of the orders; the others are cancelled.
    world.peer.listen();
    world.gateway.connected();
    world.run_until("the cancels", |world| world.gateway.open_orders() == 0);
    assert!(world.gateway.orders[at_venue..].iter().all(|order| order[0] == b'X'), "cancels alone");

    world.run_until("the last answer", |world| world.engine.pipeline().desk().orders().open_count() == 0);
    drop(world);
    drop(segment);
    let conns: Vec<ConnRecord> = records(&file)
        .iter()
        .filter(|(kind, _)| *kind == Kind::Conn as u16)
        .map(|(_, body)| ConnRecord::read_from_bytes(body).expect("its layout"))
        .collect();
    assert!(conns.iter().any(|conn| conn.event == CONN_UNSENT && conn.value == taken_back), "{conns:?}");
    assert!(
        conns.iter().any(|conn| conn.event == CONN_DOWN && conn.value == 16 + 5),
        "dropped for the kill: {conns:?}"
    );
    let outcome = replayed(&file);
    assert_eq!((outcome.mismatches, outcome.differences), (0, Vec::new()));
    assert!(outcome.orders as usize > at_venue && outcome.inputs > 100, "{} orders", outcome.orders);
}

#[test]
fn a_scope_that_an_earlier_run_left_halted_stays_so_until_it_is_lifted_and_replays_to_the_byte() {
    let file = SegmentFile::new("scope");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    let halted =
        Scope { kind: ScopeKind::Strategy, key: 1, state: TradingState::Halted, uid: 1000, since_ns: 5, changes: 0 };
    world.engine.words().scopes.restrict(&halted).expect("room");
    world.log_in();
    world.open_market(2);
    world.trade(20);
    assert_eq!(world.gateway.count(b'O'), 0, "the first turn knew");
    assert_eq!(world.engine.words().scopes_seen.get(), world.engine.words().scopes.version());
    world.engine.words().scopes.lift(ScopeKind::Strategy, 1, 1, 0, 6).expect("seen");
    world.trade(20);
    assert!(world.gateway.count(b'O') > 0 && world.gateway.open_orders() > 0);
    // Halted again, what it has open is cancelled and followed.
    world.engine.words().scopes.restrict(&Scope { since_ns: 7, ..halted }).expect("its place");
    world.run_until("the cancels", |world| world.gateway.open_orders() == 0);
    let entered = world.gateway.count(b'O') + world.gateway.count(b'U');
    world.trade(20);
    assert_eq!(world.gateway.count(b'O') + world.gateway.count(b'U'), entered);
    world.run_until("the last answer", |world| world.engine.words().cancel_all.get().pending == 0);
    assert_eq!((world.counter(LoopCounter::ScopeChanges), world.counter(LoopCounter::Kills)), (3, 0));
    assert!(world.engine.words().trading.get().0, "the rest of the firm trades");
    drop(world);
    drop(segment);
    let outcome = replayed(&file);
    assert_eq!((outcome.mismatches, outcome.differences), (0, Vec::new()));
}
