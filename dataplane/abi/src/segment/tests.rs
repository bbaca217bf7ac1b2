//! A segment in ordinary memory.

use super::*;
use crate::command::{Command, CommandKind, LIMITS_MAX, SetLimits};
use crate::counters::LoopCounter;
use crate::record::{Kind, Recorder};
use crate::ring::commands::Sent;
use std::string::ToString;
use std::vec::Vec;

#[repr(C, align(4096))]
struct Page([AtomicU64; PAGE_BYTES / 8]);

const SIZES: SegmentSizes =
    SegmentSizes { order_slots: 64, order_reserve_slots: 16, capture_bytes: 8192, command_slots: 16 };

fn zeroed(bytes: usize) -> Vec<Page> {
    (0..bytes.div_ceil(PAGE_BYTES)).map(|_| Page([const { AtomicU64::new(0) }; PAGE_BYTES / 8])).collect()
}

fn identity() -> SegmentIdentity {
    let mut instance = [0; INSTANCE_BYTES_MAX + 1];
    instance[..4].copy_from_slice(b"demo");
    SegmentIdentity { instance, boot_id: [7; 16], created_tai_ns: 5, first_seq: 41 }
}

fn format(pages: &[Page]) -> Result<Segment<'_>, SegmentError> {
    let layout = SegmentLayout::new(SIZES)?;
    // SAFETY: aligned, zeroed, and the tests touch it through segments alone.
    unsafe { Segment::format(NonNull::from(pages).cast(), size_of_val(pages), &layout, &identity()) }
}

fn attach(pages: &[Page]) -> Result<Segment<'_>, SegmentError> {
    // SAFETY: as above.
    unsafe { Segment::attach(NonNull::from(pages).cast(), size_of_val(pages)) }
}

#[test]
fn what_one_side_writes_the_other_reads() {
    let pages = zeroed(SegmentLayout::new(SIZES).expect("sizes").total_bytes());
    let ours = format(&pages).expect("large enough");
    let theirs = attach(&pages).expect("just made");
    assert_eq!(theirs.identity(), identity());
    assert_eq!(theirs.identity().instance_name(), "demo");
    assert_eq!(theirs.layout(), ours.layout());

    // SAFETY: one of each.
    let mut recorder = unsafe { ours.recorder() }.expect("sound");
    recorder.record(9, Kind::State, &[b"body"]).expect("room");
    // SAFETY: one of each.
    let mut drain = unsafe { theirs.drain() }.expect("sound");
    let record = drain.next().expect("sound").expect("published");
    assert_eq!((record.header.seq, record.header.tai_ns, record.body), (41, 9, &b"body"[..]));
    assert_eq!(theirs.next_seq.get(), 42);

    // SAFETY: one of each.
    let mut sender = unsafe { theirs.command_sender() }.expect("sound");
    // SAFETY: one of each.
    let mut receiver = unsafe { ours.command_receiver() }.expect("sound");
    assert_eq!(receiver.next(), Ok(None));
    let command = Command { kind: CommandKind::CancelAll as u32, uid: 1000, ..Command::default() };
    let ticket = sender.send(&command).expect("room");
    let limits = SetLimits { request: 9, ..SetLimits::new(&[3; LIMITS_MAX], (4, 5), 1000, "because") };
    let limits_ticket = sender.send_limits(&limits).expect("room");
    assert_eq!(receiver.next(), Ok(Some(Sent::Command(command))));
    assert!(!sender.taken(ticket));
    receiver.done();
    assert!(sender.taken(ticket) && !sender.taken(limits_ticket));
    assert_eq!(receiver.next(), Ok(Some(Sent::SetLimits(limits))));
    assert_eq!(receiver.next(), Ok(Some(Sent::SetLimits(limits))), "the same until it is done");
    receiver.done();
    assert!(sender.taken(limits_ticket));
    assert_eq!(receiver.next(), Ok(None));
    // Of the length of all limits, and something else.
    sender.send_limits(&SetLimits { kind: CommandKind::Resume as u32, ..limits }).expect("room");
    assert!(receiver.next().is_err());

    ours.counters.add(LoopCounter::Messages, 3);
    ours.refusals.add(5, 1);
    ours.refusals.add(REFUSAL_WORDS, 1);
    ours.next_order.set(2, NextOrder { day: 20_000, next: 77 });
    ours.messages.set(2, DayCount { day: 20_000, count: 99 });
    ours.trading.set(false, 4, 900);
    ours.trading.set(false, 4, 901);
    ours.trust.set(3, TRUSTED, 900);
    ours.trust.set(3, DISTRUSTED + 5, 950);
    ours.trust.set(3, DISTRUSTED + 5, 999);
    ours.trust.set(STREAMS, 1, 1);
    ours.data_plane_beat.beat(100, 2);
    ours.data_plane.set(12, 34);
    assert_eq!(theirs.counters.get(LoopCounter::Messages), 3);
    assert_eq!(theirs.counters.snapshot().iter().sum::<u64>(), 3);
    assert_eq!((theirs.refusals.get(5), theirs.refusals.get(REFUSAL_WORDS)), (1, 0));
    assert_eq!(theirs.next_order.get(2), NextOrder { day: 20_000, next: 77 });
    assert_eq!(theirs.messages.get(2), DayCount { day: 20_000, count: 99 });
    assert_eq!((theirs.trading.get(), theirs.trading.since_ns()), ((false, 4), 900), "since the first time");
    assert_eq!((theirs.trust.get(3), theirs.trust.get(STREAMS)), ((DISTRUSTED + 5, 950), (0, 0)));
    assert_eq!(theirs.data_plane_beat.last(), (100, 2));
    assert_eq!((theirs.data_plane.get(), theirs.daemon.get()), (Some((12, 34)), None));
}

#[test]
fn other_memory_is_refused_with_the_reason() {
    let pages = zeroed(SegmentLayout::new(SIZES).expect("sizes").total_bytes());
    assert_eq!(attach(&pages).err(), Some(SegmentError::Unfinished));
    assert!(matches!(format(&pages[1..]), Err(SegmentError::TooSmall { .. })));
    format(&pages).expect("large enough");
    assert!(matches!(attach(&pages[..3]), Err(SegmentError::TooSmall { .. })));
    assert!(matches!(attach(&[]), Err(SegmentError::TooSmall { .. })));
    pages[0].0[0].store(77, Ordering::Relaxed);
    let refused = attach(&pages).err().expect("another version").to_string();
    assert_eq!(refused, std::format!("has layout version 77, this build has {ABI_VERSION}"));
    pages[0].0[0].store(ABI_VERSION.into(), Ordering::Relaxed);
    for word in 2..15 {
        let whole = pages[0].0[word].fetch_xor(1 << 9, Ordering::Relaxed);
        assert_eq!(attach(&pages).err(), Some(SegmentError::Damaged), "word {word}");
        pages[0].0[word].store(whole, Ordering::Relaxed);
    }
    pages[0].0[1].store(0, Ordering::Relaxed);
    assert_eq!(attach(&pages).err(), Some(SegmentError::NotASegment));
}

#[test]
fn impossible_sizes_are_named() {
    let refused = |sizes: SegmentSizes| SegmentLayout::new(sizes).expect_err("impossible").to_string();
    assert_eq!(
        refused(SegmentSizes { order_slots: 100, ..SIZES }),
        "order_slots = 100: must be a power of two from 16 to 16777216"
    );
    assert!(refused(SegmentSizes { order_reserve_slots: 17, ..SIZES }).contains("a quarter of order_slots"));
    assert!(SegmentLayout::new(SegmentSizes::default()).is_ok());
}

#[test]
fn a_kill_after_the_decision_to_resume_wins() {
    let word = KillWord::default();
    assert!(!word.state().killed());
    let first = word.kill(1000, KillCause::Operator, 11);
    assert_eq!((first.killed(), first.kills(), first.uid()), (true, 1, 1000));
    let second = word.kill(1001, KillCause::Operator, 12);
    assert_eq!(word.clear(first), Err(second));
    assert_eq!(word.clear_seen(1), Err(second), "the second kill was not seen");
    assert_eq!(word.state(), second);
    let cleared = word.clear_seen(2).expect("nobody killed since");
    assert_eq!((cleared.killed(), cleared.kills(), cleared.uid()), (false, 2, 1001));
    assert_eq!(word.clear_seen(2), Ok(cleared), "nothing to clear is no kill");
    assert_eq!(word.kill(5, KillCause::HeartbeatLoss, 13).kills(), 3);
    assert!(word.clear_seen(2).is_err());
}

#[test]
fn the_last_kills_are_remembered_with_their_causes() {
    let word = KillWord::default();
    assert_eq!(word.note(0), None);
    assert_eq!(word.note(1), None);
    for kills in 1..=9 {
        word.kill(1000 + kills, KillCause::JournalTrouble, kills.into());
    }
    let note =
        |kills: u32| KillNote { kills, uid: 1000 + kills, cause: KillCause::JournalTrouble, tai_ns: kills.into() };
    assert_eq!(word.note(1), None, "its place was taken by the ninth");
    assert_eq!((word.note(2), word.note(9)), (Some(note(2)), Some(note(9))));
}

#[test]
fn of_a_kill_and_a_resume_at_the_same_time_the_kill_is_never_lost() {
    for _ in 0..200 {
        let word = KillWord::default();
        word.kill(1, KillCause::Operator, 1);
        let gate = std::sync::Barrier::new(2);
        let resumed = std::thread::scope(|scope| {
            scope.spawn(|| {
                gate.wait();
                word.kill(2, KillCause::Operator, 2);
            });
            gate.wait();
            word.clear_seen(1)
        });
        let state = word.state();
        assert!(state.killed() && state.kills() == 2, "{resumed:?} {state:?}");
    }
}

#[test]
fn a_mirror_always_has_a_whole_state() {
    let mirror = ConnMirror::default();
    assert_eq!(mirror.read(), None);
    let state =
        |n: u32| ConnState { snd_nxt: n, rcv_nxt: n, tai_ns: n.into(), peer_mac: [n as u8; 6], ..ConnState::default() };
    for n in 1..10 {
        mirror.write(&state(n));
        assert_eq!(mirror.read(), Some(state(n)));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| (10..100_000).for_each(|n| mirror.write(&state(n))));
        let mut last = 9;
        while last < 99_999 {
            let found = mirror.read().expect("written before");
            assert_eq!(found, state(found.snd_nxt), "torn");
            assert!(found.snd_nxt >= last);
            last = found.snd_nxt;
        }
    });
}

#[test]
fn an_onlooker_sees_how_full_the_rings_are() {
    let pages = zeroed(SegmentLayout::new(SIZES).expect("sizes").total_bytes());
    let ours = format(&pages).expect("large enough");
    let onlooker = attach(&pages).expect("just made");
    let empty = RingsUse { commands: (0, 16), orders: (0, 64), captures: (0, 8192) };
    assert_eq!(onlooker.rings_use(), Ok(empty));

    // SAFETY: one of each.
    let (mut recorder, mut drain) = unsafe { (ours.recorder().expect("sound"), ours.drain().expect("sound")) };
    for _ in 0..3 {
        recorder.record(9, Kind::State, &[&[0; 16]]).expect("room");
    }
    recorder.record(9, Kind::Datagram, &[&[0; 100]]).expect("room");
    // SAFETY: one of each.
    let mut sender = unsafe { ours.command_sender() }.expect("sound");
    sender.send(&Command::alert(1, true, 2)).expect("room");
    let found = onlooker.rings_use().expect("sound");
    assert_eq!((found.orders, found.commands), ((3, 64), (1, 16)));
    assert!(found.captures.0 >= 100 && found.captures.0 < 200, "{found:?}");

    while drain.next().expect("sound").is_some() {}
    drain.commit(drain.mark());
    assert_eq!(onlooker.rings_use(), Ok(RingsUse { commands: (1, 16), ..empty }));
    // Round and round: what was overwritten is not counted.
    for turn in 0..200 {
        recorder.record(9, Kind::State, &[&[0; 16]]).expect("room");
        assert_eq!(onlooker.rings_use().expect("sound").orders.0, 1, "turn {turn}");
        while drain.next().expect("sound").is_some() {}
        drain.commit(drain.mark());
    }
}
