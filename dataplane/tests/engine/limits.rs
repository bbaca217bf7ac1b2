//! Limits set while it runs: through the command ring, into the journal, in force, shown; and kept by the next run.

use crate::ALLOCATIONS;
use crate::venue::Answer;
use crate::world::{SegmentFile, World, records, replayed};
use tern_abi::command::{LimitsOutcome, SetBounds, SetLimits};
use tern_abi::record::{Kind, LimitsRecord};
use tern_abi::segment::{NOT_MEASURED, Words};
use tern_core::risk::LimitId;
use tern_core::units::{Price, Symbol};
use tern_hw::segment::{DaemonSegment, DataPlaneSegment};
use zerocopy::FromBytes;

/// What is in force with these changes.
fn changed(words: &Words, changes: &[(LimitId, i64)]) -> SetLimits {
    let now = words.limits.read().expect("the first turn said it");
    let mut values = now.values().to_vec();
    changes.iter().for_each(|(id, value)| values[id.index()] = *value);
    let command = SetLimits::new(&values, (now.epoch, now.epoch + 1), 1000, "a test");
    SetLimits { request: u64::from(now.epoch) + 77, ..command }
}

fn outcomes(file: &SegmentFile) -> Vec<(u32, u32)> {
    let of_kind = records(file).into_iter().filter(|(kind, _)| *kind == Kind::Limits as u16);
    let read = of_kind.map(|(_, body)| LimitsRecord::read_from_bytes(&body).expect("its layout"));
    read.map(|record| (record.outcome, record.epoch)).collect()
}

#[test]
fn limits_of_the_ring_are_in_force_and_shown_before_they_count_as_taken_and_replay_to_the_byte() {
    let file = SegmentFile::new("limits");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut daemon = DaemonSegment::open(&file.spec()).expect("the daemon's side");
    let mut commands = daemon.ends().expect("ring ends").commands;
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::AcceptAndFill);
    world.log_in();
    world.open_market(2);
    world.trade(40);
    let words = world.engine.words();
    let start = words.limits.read().expect("the first turn said it");
    assert_eq!((start.epoch, start.uid, start.why(), start.values().len()), (0, u32::MAX, "", LimitId::COUNT));

    let command = changed(words, &[(LimitId::OrderQuantityMax, 99), (LimitId::PositionMax, 1)]);
    let before = ALLOCATIONS.get();
    let ticket = commands.send_limits(&command).expect("room");
    world.turn();
    assert_eq!(ALLOCATIONS.get(), before, "nothing was allocated");
    assert!(commands.taken(ticket));
    let now = words.limits.read().expect("it says so");
    assert_eq!((now.epoch, now.uid, now.request, now.why()), (1, 1000, 77, "a test"));
    assert_eq!((now.values(), words.limits_epoch.get()), (command.values(), 1));
    // Against what is not in force any more.
    commands.send_limits(&command).expect("room");
    world.turn();
    assert_eq!((words.limits.read(), words.limits_epoch.get()), (Some(now), 1));
    world.trade(20);

    // What is held is more than the new limit: said so, with the symbol.
    let usage = words.usage.read().expect("every millisecond");
    let holdings = words.holdings.read().expect("two symbols are looked through at once");
    let desk = world.engine.pipeline().desk();
    let worst = desk.gate().exposures().iter().map(|exposure| exposure.position().abs()).max().expect("instruments");
    assert!(worst > 1, "the maker was filled");
    assert!(holdings.positions[0].worst() >= worst && holdings.positions[0].symbol != [0; 8]);
    assert_eq!(usage.used[LimitId::PositionMax.index()], holdings.positions[0].worst());
    assert_eq!(usage.used[LimitId::GrossMax.index()], desk.gate().stake().gross());
    assert_eq!(usage.used[LimitId::PriceCollarBps.index()], NOT_MEASURED);
    assert_eq!(usage.reduce_only, 1 << LimitId::PositionMax.index());
    assert_eq!(words.symbol_count.get(), 2);
    assert_eq!(desk.instruments().len(), 2);
    assert_eq!(world.allocations, 0);
    drop(world);
    drop(segment);
    drop(daemon);
    let outcome = replayed(&file);
    assert_eq!((outcome.mismatches, outcome.differences), (0, Vec::new()));
    assert_eq!(outcomes(&file), [(LimitsOutcome::Set as u32, 1), (LimitsOutcome::Stale as u32, 1)]);
}

#[test]
fn the_next_run_keeps_what_was_tightened_and_loosens_nothing() {
    let file = SegmentFile::new("limits-kept");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    {
        let mut daemon = DaemonSegment::open(&file.spec()).expect("the daemon's side");
        let mut commands = daemon.ends().expect("ring ends").commands;
        let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
        world.turn();
        let words = world.engine.words();
        let command = changed(words, &[(LimitId::OrderQuantityMax, 10), (LimitId::PositionMax, 200_000)]);
        commands.send_limits(&command).expect("room");
        world.turn();
        assert_eq!(words.limits_epoch.get(), 1);
    }
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.turn();
    let limits = *world.engine.pipeline().desk().gate().limits();
    assert_eq!((limits.order_quantity_max, limits.position_max, limits.epoch), (10, 100_000, 2));
    let shown = world.engine.words().limits.read().expect("it says so");
    assert_eq!((shown.epoch, shown.uid), (2, u32::MAX));
    assert!(shown.why().starts_with("a new run: what was in force before"), "{}", shown.why());
    world.turn();
    assert_eq!(world.engine.words().limits_epoch.get(), 2, "once");
    drop(world);
    drop(segment);
    let outcome = replayed(&file);
    assert_eq!((outcome.runs, outcome.mismatches, outcome.differences), (2, 0, Vec::new()));
    assert_eq!(outcomes(&file), [(LimitsOutcome::Set as u32, 1), (LimitsOutcome::Set as u32, 2)]);
}

#[test]
fn bounds_of_a_price_that_were_set_hold_over_a_restart_of_the_day_in_either_direction() {
    let file = SegmentFile::new("bounds-kept");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let symbol = *b"CENTS   ";
    let in_force = |world: &World<'_>| world.engine.pipeline().desk().gate().price_bounds(Symbol(symbol));
    {
        let mut daemon = DaemonSegment::open(&file.spec()).expect("the daemon's side");
        let mut commands = daemon.ends().expect("ring ends").commands;
        let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
        world.turn();
        let words = world.engine.words();
        let bounds = SetBounds { symbol, seen: [2000, 2600], wanted: [200_000, 260_000] };
        commands.send_limits(&SetLimits { bounds, ..changed(words, &[]) }).expect("room");
        let before = ALLOCATIONS.get();
        world.turn();
        assert_eq!(ALLOCATIONS.get(), before, "nothing was allocated");
        assert_eq!(in_force(&world), Some((Price(200_000), Price(260_000))));
        let shown = words.bounds.read().expect("it says so");
        let own = *shown.of(symbol).expect("it is there");
        assert_eq!(
            (shown.day, own.prices, own.before, own.epoch, own.uid),
            (7, [200_000, 260_000], [2000, 2600], 1, 1000)
        );
        // Somebody who saw others.
        let other = SetBounds { wanted: [1, 2], ..bounds };
        commands.send_limits(&SetLimits { bounds: other, ..changed(words, &[]) }).expect("room");
        world.turn();
        assert_eq!(words.bounds.read(), Some(shown));
    }
    {
        let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
        world.turn();
        assert_eq!(in_force(&world), Some((Price(200_000), Price(260_000))), "no run of the day forgets it");
        let shown = world.engine.words().bounds.read().expect("it says so");
        let own = shown.of(symbol).expect("it is there");
        assert_eq!((own.prices, own.epoch, own.uid), ([200_000, 260_000], 3, 1000), "and who set it");
        world.turn();
        assert_eq!(world.engine.words().limits_epoch.get(), 3, "once");
    }
    {
        // Of another day.
        let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
        let old = world.engine.words().bounds.read().expect("it says so");
        world.engine.words().bounds.write(&tern_abi::segment::BoundsState { day: 6, ..old });
        world.turn();
        assert_eq!(in_force(&world), Some((Price(2000), Price(2600))), "they ended with their day");
        assert_eq!(world.engine.words().bounds.read().expect("it says so").shown().count(), 0);
    }
    drop(segment);
    let outcome = replayed(&file);
    assert_eq!((outcome.runs, outcome.mismatches, outcome.differences), (3, 0, Vec::new()));
    let set = LimitsOutcome::Set as u32;
    assert_eq!(outcomes(&file), [(set, 1), (LimitsOutcome::Stale as u32, 1), (set, 2), (set, 3), (set, 4)]);
}
