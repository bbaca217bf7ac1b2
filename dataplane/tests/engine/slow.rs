//! Strategies that take longer than their budget.

use crate::venue::Answer;
use crate::world::{LOOK_NS, SAMPLE_EVERY, SegmentFile, World, records, replayed};
use tern_abi::command::{Command, CommandKind};
use tern_abi::counters::LoopCounter;
use tern_abi::record::Kind;
use tern_abi::segment::{SCOPES, STRATEGY_UNKEPT, Scope, ScopeKind, TradingState};
use tern_dataplane::observe::STRATEGY_DISABLED;
use tern_hw::segment::DataPlaneSegment;
use zerocopy::FromBytes;

#[test]
fn a_strategy_that_takes_longer_than_its_budget_is_stopped_told_of_and_stopped_in_the_replay() {
    let file = SegmentFile::new("slow");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(2);
    world.trade(20);
    assert!(world.gateway.open_orders() > 0);
    assert_eq!(world.counter(LoopCounter::StrategyOverruns), 0);

    // From now on each call takes as long as a look at the clock, which is more than a microsecond.
    LOOK_NS.set(1500);
    world.trade(40);
    LOOK_NS.set(1);
    world.run_until("the cancels", |world| world.gateway.open_orders() == 0);
    let words = world.engine.words();
    assert_eq!(words.strategies.get(0), STRATEGY_DISABLED);
    let said = words.crashes[0].read().expect("why");
    assert!(said.text().starts_with("3 calls within 10000 ms took longer than their budget"), "{}", said.text());
    let scope = words.scopes.find(ScopeKind::Strategy, 1).expect("it stands in the segment");
    assert_eq!(scope.state, TradingState::CancelOnly);
    assert!(world.engine.pipeline().desk().can_trade(), "it alone is stopped");
    let before = world.gateway.orders.len();
    world.trade(20);
    assert_eq!(world.gateway.orders.len(), before);
    assert_eq!(world.allocations, 0);

    let commands = records(&file).into_iter().filter(|(kind, _)| *kind == Kind::Command as u16);
    let commands = commands.map(|(_, body)| Command::read_from_bytes(&body).expect("the kind's layout"));
    let overruns: Vec<Command> =
        commands.filter(|command| command.kind == CommandKind::StrategyOverrun as u32).collect();
    assert!(overruns.len() >= 3 && overruns.iter().all(|one| one.id == 1 && one.value >= 1500), "{overruns:?}");
}

/// No datagram is measured here: only what the venue says.
#[test]
fn a_strategy_that_is_slow_at_the_venues_answers_is_found() {
    SAMPLE_EVERY.set(0);
    let file = SegmentFile::new("slow-answers");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    SAMPLE_EVERY.set(16);
    world.log_in();
    world.open_market(2);
    world.trade(10);
    assert_eq!(world.counter(LoopCounter::StrategyOverruns), 0);
    LOOK_NS.set(1500);
    world.trade(20);
    LOOK_NS.set(1);
    world.run_until("the cancels", |world| world.gateway.open_orders() == 0);
    assert_eq!(world.engine.words().strategies.get(0), STRATEGY_DISABLED);
    assert!(world.counter(LoopCounter::StrategyOverruns) >= 3);
}

#[test]
fn a_strategy_that_is_stopped_while_every_place_is_taken_stays_stopped_in_the_next_run() {
    let file = SegmentFile::new("unkept");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    let symbol = |number: usize| u64::from_le_bytes(*format!("X{number:<7}").as_bytes().first_chunk().expect("eight"));
    let scope = |number| Scope {
        kind: ScopeKind::Symbol,
        key: symbol(number),
        state: TradingState::CancelOnly,
        uid: 1000,
        since_ns: 5,
        changes: 0,
    };
    for number in 0..SCOPES {
        world.engine.words().scopes.restrict(&scope(number)).expect("a place");
    }
    world.log_in();
    world.open_market(2);
    LOOK_NS.set(1500);
    world.trade(40);
    LOOK_NS.set(1);
    assert!(world.engine.pipeline().desk().is_disabled(0));
    let word = |world: &World<'_>| world.engine.words().strategies.get(0);
    assert_eq!(word(&world), STRATEGY_DISABLED | STRATEGY_UNKEPT | 1 << 32);
    drop(world);

    // Another run, that knows nothing but the segment.
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(2);
    world.trade(20);
    assert_eq!(world.gateway.count(b'O'), 0, "it sends nothing");
    assert_ne!(word(&world) & STRATEGY_UNKEPT, 0, "and stands there still");
    // A place is free after a while: from there an operator lifts it.
    let now = world.time.get();
    world.engine.words().scopes.lift(ScopeKind::Symbol, symbol(7), 1, 0, now).expect("seen");
    world.trade(5);
    world.time.set(now + 11_000_000_000);
    world.trade(5);
    let stands = world.engine.words().scopes.find(ScopeKind::Strategy, 1).expect("it has the place");
    assert_eq!((stands.state, word(&world) & STRATEGY_UNKEPT), (TradingState::CancelOnly, 0));
    world.engine.words().scopes.lift(ScopeKind::Strategy, 1, stands.changes, 0, 7).expect("seen");
    world.trade(20);
    assert!(world.gateway.count(b'O') > 0, "it goes on");
}

#[test]
fn a_stop_for_slowness_is_replayed_to_the_byte() {
    let file = SegmentFile::new("slow-replay");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(2);
    LOOK_NS.set(1500);
    world.trade(40);
    LOOK_NS.set(1);
    assert!(world.engine.pipeline().desk().is_disabled(0));
    drop(world);
    let outcome = replayed(&file);
    assert_eq!((outcome.mismatches, outcome.differences), (0, Vec::new()));
}
