//! The shipped loop over a port in memory: a session that logs in, trades, is reset, logs in again, is rejected, killed
//! and resumed; and not one allocation in any turn of it.
#![allow(unsafe_code, reason = "a global allocator that counts")]

#[path = "../common/mod.rs"]
mod common;
mod daemon;
mod limits;
mod slow;
mod stops;
mod tails;
#[path = "../common/venue.rs"]
mod venue;
mod world;

use common::config as bypass;
use smoltcp::socket::tcp::State;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use tern_abi::counters::LoopCounter;
use tern_abi::record::{ACTION_CANCEL, Kind, OrderRecord, StageRecord};
use tern_abi::segment::{DISTRUSTED, KillCause, SegmentSizes, SessionFault, SessionState, TRUSTED};
use tern_abi::steer::{FRAME_UDP, FrameRecord, STEER_VERSION};
use tern_core::risk::Reason;
use tern_dataplane::net::{OrderTransport, TcpCounter};
use tern_hw::memory::{FRAME_BYTES, MemoryPort};
use tern_hw::segment::{DataPlaneSegment, SegmentSpec};
use venue::{Answer, Gateway};
use world::{PAUSE, SegmentFile, World, records};
use zerocopy::FromBytes;

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
    let mut caused: HashMap<u64, Vec<u32>> = HashMap::new();
    for (_, body) in of(Kind::Order) {
        let order = OrderRecord::read_from_bytes(body).expect("an order");
        if order.action != ACTION_CANCEL {
            caused.entry(order.cause_seq).or_default().push(order.order);
        }
    }
    assert!(stages.iter().any(|stage| stage.order != 0 && caused[&stage.cause_seq].len() > 1));
    for stage in stages {
        // Of several orders of a datagram the first: its way was measured.
        let first = caused.get(&stage.cause_seq).and_then(|orders| orders.iter().min());
        assert!(stage.order == 0 || first == Some(&stage.order), "{stage:?}: {first:?}");
        let reached: Vec<u64> = stage.stage_ns.into_iter().filter(|ns| *ns != 0).collect();
        assert!(reached.is_sorted() && reached[0] >= stage.arrival_ns, "{stage:?}");
    }
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
