//! Datagrams that take longer than nearly all others are kept apart, with how things stood.

use crate::venue::Answer;
use crate::world::{LOOK_NS, PAUSE, SegmentFile, World, headed_records, replayed};
use tern_abi::counters::LoopCounter;
use tern_abi::outlier::{OutlierRecord, Tail};
use tern_abi::record::{Kind, Stage, StageRecord};
use tern_hw::segment::DataPlaneSegment;
use zerocopy::FromBytes;

/// A second look of the housekeeping thread comes, with what it counted.
fn look(world: &World<'_>, switches: u64, stood_ns: u64) {
    let counters = &world.engine.words().counters;
    counters.set(LoopCounter::LoopSwitches, switches);
    counters.set(LoopCounter::LoopStoodNs, stood_ns);
    counters.add(LoopCounter::LoopLooks, 1);
}

fn outliers(file: &SegmentFile) -> Vec<OutlierRecord> {
    let records = headed_records(file).into_iter().filter(|(header, _)| header.kind == Kind::Outlier as u16);
    records.map(|(_, body)| OutlierRecord::read_from_bytes(&body).expect("the kind's layout")).collect()
}

fn took(stages: &StageRecord, from: Stage, to: Stage) -> u64 {
    stages.stage_ns[to as usize].saturating_sub(stages.stage_ns[from as usize])
}

#[test]
fn a_slow_stage_is_kept_with_its_stamps_and_what_the_kernel_did() {
    let file = SegmentFile::new("tails");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(2);
    world.trade(3_000);
    look(&world, 100, 0);
    world.trade(10);
    look(&world, 100, 0);
    world.trade(10);
    let before = world.counter(LoopCounter::Outliers);

    // Three datagrams come at once; the core is gone at one stamp after another, each time between two looks.
    for stamp in 0..8 {
        for number in 0..3 {
            let add = world.feed.add(1, b'B', 100 + number, 99_5000).1;
            world.market(&[add]);
        }
        PAUSE.set((3 + 2 * stamp, 3_000_000));
        world.step(200_000);
        for _ in 0..2 {
            look(&world, 107 + u64::from(stamp), 2_900_000 * (1 + u64::from(stamp)));
            world.trade(10);
        }
    }
    assert!(world.counter(LoopCounter::Outliers) > before);
    assert_eq!(world.allocations, 0);

    let found = outliers(&file);
    let inside = 1 << Tail::Work as u32 | 1 << Tail::Order as u32;
    let slow = found.iter().find(|one| one.beyond & inside != 0).unwrap_or_else(|| panic!("no slow stage: {found:?}"));
    let last = if slow.stages.order == 0 { Stage::Book } else { Stage::Encoded };
    assert!(took(&slow.stages, Stage::FrameSeen, last) > 3_000_000, "{slow:?}");
    assert!(slow.switches >= 1 && slow.stood_ns >= 2_900_000 && slow.batch >= 3, "{slow:?}");
    assert!(slow.window_ns > 0 && slow.order_slots > 0 && slow.capture_bytes > 0, "{slow:?}");
    // Those behind it in the batch waited for it.
    let behind: Vec<&OutlierRecord> =
        found.iter().filter(|one| one.stages.arrival_ns == slow.stages.arrival_ns && one.place > slow.place).collect();
    assert!(!behind.is_empty() && behind.iter().all(|one| one.beyond & 1 << Tail::Wait as u32 != 0), "{found:?}");
}

#[test]
fn outliers_do_not_change_a_replay_and_those_that_wait_are_told_at_the_end() {
    let file = SegmentFile::new("tails-end");
    let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
    let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
    world.log_in();
    world.open_market(2);
    world.trade(5);
    // Every look at the clock takes longer than anything is allowed to before it is known what is usual.
    LOOK_NS.set(200_000);
    world.trade(2);
    LOOK_NS.set(1);
    assert_eq!(world.counter(LoopCounter::Outliers), 0);
    world.engine.run(|| true, 1_000);
    assert!(world.counter(LoopCounter::Outliers) > 0);
    drop(world);
    assert!(outliers(&file).iter().all(|one| one.window_ns == 0 && one.beyond != 0));
    let outcome = replayed(&file);
    assert_eq!((outcome.mismatches, outcome.differences), (0, Vec::new()));
}
