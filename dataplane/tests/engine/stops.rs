//! What stops trading, in whole or in part: kills, cancels of everything, scopes; and what of it is taken back.

use crate::venue::Answer;
use crate::world::{SegmentFile, World, records, replayed};
use smoltcp::socket::tcp::State;
use tern_abi::command::{Command, CommandKind};
use tern_abi::counters::LoopCounter;
use tern_abi::record::{CONN_DOWN, CONN_UNSENT, ConnRecord, Kind};
use tern_abi::segment::{CancelAllState, KillCause, Scope, ScopeKind, TradingState};
use tern_core::risk::{LimitId, Reason};
use tern_dataplane::engine::CONN;
use tern_hw::segment::{DaemonSegment, DataPlaneSegment};
use zerocopy::FromBytes;

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
fn a_throttled_strategy_stands_in_the_segment_and_is_lifted_there() {
    let file = SegmentFile::new("throttle");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::AcceptAndFill);
    world.log_in();
    world.open_market(2);
    let command = Command {
        kind: CommandKind::SetLimit as u32,
        id: LimitId::ExecutionsMax as u32,
        value: 2,
        epoch: 1,
        ..Command::default()
    };
    let mut daemon = DaemonSegment::open(&file.spec()).expect("the daemon's side");
    daemon.ends().expect("ring ends").commands.send(&command).expect("room");
    drop(daemon);
    world.trade(20);
    let stands = |world: &World<'_>| world.engine.words().scopes.find(ScopeKind::Strategy, 1).map(|scope| scope.state);
    assert_eq!(stands(&world), Some(TradingState::CancelOnly));
    let entered = world.gateway.count(b'O');
    world.trade(20);
    assert_eq!(world.gateway.count(b'O'), entered);
    world.engine.words().scopes.lift(ScopeKind::Strategy, 1, 1, 0, 6).expect("seen");
    world.trade(20);
    assert!(world.gateway.count(b'O') > entered, "it goes on");
    assert_eq!(stands(&world), Some(TradingState::CancelOnly), "and is stopped again");
    drop(world);
    drop(segment);
    let outcome = replayed(&file);
    assert_eq!((outcome.mismatches, outcome.differences), (0, Vec::new()));
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
