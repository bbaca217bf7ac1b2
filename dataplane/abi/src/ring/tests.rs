//! The rings over ordinary memory: against a model, with two threads, through crashes, and over damaged memory.

use super::bytes::{self, BytesConsumer, BytesProducer};
use super::drain::Drain;
use super::memory::{LINE_BYTES, Memory};
use super::recorder::{ORDER_SLOT_BYTES, RecordRings, ShmRecorder};
use super::slot::{self, SlotConsumer, SlotProducer};
use crate::record::{Kind, Recorder, RingFull, ShedRecord};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;
use zerocopy::FromBytes;

const S: usize = 64;

/// Zeroed words that a ring can live in.
fn zeroed(bytes: usize) -> Vec<AtomicU64> {
    (0..bytes.div_ceil(8)).map(|_| AtomicU64::new(0)).collect()
}

/// The words as shared memory; several over the same words stand for several processes.
fn shared(words: &[AtomicU64]) -> Memory<'_> {
    // SAFETY: the tests keep `words` alive and look at them through the rings alone; atomics may be written shared.
    unsafe { Memory::new(NonNull::from(words).cast(), size_of_val(words)) }
}

fn slot_producer(words: &[AtomicU64]) -> SlotProducer<'_, S> {
    // SAFETY: each test has one producer at a time.
    unsafe { SlotProducer::attach(shared(words)) }.expect("a sound ring")
}

fn slot_consumer(words: &[AtomicU64]) -> SlotConsumer<'_, S> {
    // SAFETY: each test has one consumer at a time.
    unsafe { SlotConsumer::attach(shared(words)) }.expect("a sound ring")
}

#[test]
fn a_ring_within_one_process_carries_records() {
    let (mut producer, mut consumer) = slot::within_process::<S>(4).expect("a power of two");
    for lap in 0..9_u8 {
        producer.push(&[lap; 16], &[&[lap; 40]], 0).expect("room");
        let record = consumer.peek().expect("sound").expect("one is published");
        assert_eq!((record.slots(), record.slot(0)), (1, &[lap; 56][..]));
        consumer.advance(1);
        consumer.commit(consumer.position());
    }
    assert!(slot::within_process::<S>(3).is_err());
}

fn bytes_producer(words: &[AtomicU64]) -> BytesProducer<'_> {
    // SAFETY: each test has one producer at a time.
    unsafe { BytesProducer::attach(shared(words)) }.expect("a sound ring")
}

fn bytes_consumer(words: &[AtomicU64]) -> BytesConsumer<'_> {
    // SAFETY: each test has one consumer at a time.
    unsafe { BytesConsumer::attach(shared(words)) }.expect("a sound ring")
}

/// The next record with its zero filling, as a length byte tells its true end.
fn read_slots(consumer: &mut SlotConsumer<'_, S>) -> Option<Vec<u8>> {
    let record = consumer.peek().expect("a sound ring")?;
    let bytes: Vec<u8> = (0..record.slots()).flat_map(|index| record.slot(index).to_vec()).collect();
    let slots = record.slots();
    consumer.advance(slots);
    Some(bytes)
}

#[test]
fn a_record_crosses_and_a_zeroed_ring_is_empty() {
    let words = zeroed(slot::ring_bytes::<S>(4));
    let mut producer = slot_producer(&words);
    let mut consumer = slot_consumer(&words);
    assert!(read_slots(&mut consumer).is_none());
    assert_eq!(producer.push(b"ab", &[b"cd", b"", b"e"], 0), Ok(0));
    assert_eq!(&read_slots(&mut consumer).expect("published")[..5], b"abcde");
    assert!(read_slots(&mut consumer).is_none());
}

#[test]
fn a_full_ring_refuses_and_the_reserve_is_kept() {
    let words = zeroed(slot::ring_bytes::<S>(4));
    let mut producer = slot_producer(&words);
    let mut consumer = slot_consumer(&words);
    assert_eq!(producer.push(&[1], &[], 2), Ok(0));
    assert_eq!(producer.push(&[2], &[], 2), Ok(1));
    assert_eq!(producer.push(&[3], &[], 2), Err(RingFull));
    assert!(producer.has_room(2) && !producer.has_room(3));
    assert_eq!(producer.push(&[3; 100], &[], 0), Ok(2));
    assert_eq!(producer.push(&[4], &[], 0), Err(RingFull));
    // Reading gives nothing back; committing does.
    for _ in 0..3 {
        read_slots(&mut consumer).expect("published");
    }
    assert_eq!(producer.push(&[4], &[], 0), Err(RingFull));
    consumer.commit(1);
    assert_eq!(producer.push(&[4], &[], 0), Ok(4));
    assert_eq!(producer.push(&[0; 5 * 56], &[], 0), Err(RingFull), "longer than the ring");
}

#[test]
fn ends_that_were_killed_come_back_at_the_right_place() {
    let words = zeroed(slot::ring_bytes::<S>(8));
    let mut producer = slot_producer(&words);
    for n in 0..5_u8 {
        producer.push(&[n; 60], &[], 4).ok();
    }
    assert_eq!(producer.position(), 4, "two records of two slots leave the four");
    assert_eq!(slot_producer(&words).position(), 4);
    let mut consumer = slot_consumer(&words);
    read_slots(&mut consumer).expect("published");
    read_slots(&mut consumer).expect("published");
    consumer.commit(2);
    // Only the first was committed: the second comes again.
    let mut consumer = slot_consumer(&words);
    assert_eq!(read_slots(&mut consumer).expect("published")[..60], [1; 60]);
    assert_eq!(slot_producer(&words).position(), 4);
}

#[test]
fn the_tail_of_a_half_written_record_is_never_taken_for_a_record() {
    let words = zeroed(slot::ring_bytes::<S>(8));
    let first_word = LINE_BYTES / 8;
    slot_producer(&words).push(&[7; 160], &[], 0).expect("room");
    // As if killed before the first word was stored.
    // SAFETY: nothing else looks at the ring at this moment.
    unsafe { shared(&words).write(8 * first_word, &[0; 8]) };
    let mut consumer = slot_consumer(&words);
    assert!(read_slots(&mut consumer).is_none());
    let mut producer = slot_producer(&words);
    assert_eq!(producer.push(&[9], &[], 0), Ok(0));
    assert_eq!(read_slots(&mut consumer).expect("published")[0], 9);
    assert!(read_slots(&mut consumer).is_none(), "slot 1 still bears the dead record's word");
}

#[test]
fn damaged_slots_are_reported() {
    let words = zeroed(slot::ring_bytes::<S>(8));
    slot_producer(&words).push(&[7; 160], &[], 0).expect("room");
    // SAFETY: nothing else looks at the ring at this moment.
    unsafe { shared(&words).write(LINE_BYTES + S, &[0; 8]) };
    let consumer = slot_consumer(&words);
    assert_eq!(consumer.peek().err().map(|corrupt| corrupt.position), Some(1));
    // SAFETY: as above.
    unsafe { shared(&words).write(LINE_BYTES, &(900_u64 << 52 | 1).to_ne_bytes()) };
    assert_eq!(consumer.peek().err().map(|corrupt| corrupt.position), Some(0));
    // SAFETY: no producer exists.
    assert!(unsafe { SlotProducer::<S>::attach(shared(&words)) }.is_err());
    let odd = zeroed(slot::ring_bytes::<S>(5));
    // SAFETY: no producer exists.
    assert!(unsafe { SlotProducer::<S>::attach(shared(&odd)) }.is_err());
}

#[test]
fn captures_wrap_and_shed_and_tell() {
    let words = zeroed(bytes::ring_bytes(1024));
    let mut producer = bytes_producer(&words);
    let mut consumer = bytes_consumer(&words);
    let mut pushed = 0;
    while producer.push(&[1; 24], &[&[2; 76]]) {
        pushed += 1;
    }
    assert_eq!(pushed, 9);
    assert!(!producer.push(&[1; 24], &[&[2; 10]]), "once shedding, small ones are shed too");
    assert_eq!(producer.shed_total(), ShedRecord { datagrams: 2, bytes: 86 });
    assert_eq!(producer.marker_due(), None, "nothing is free yet");
    let published = consumer.published().expect("sound");
    while let Some(record) = consumer.take(published).expect("sound") {
        assert_eq!(record.len(), 100);
    }
    // The producer is killed and comes back: what it shed is not forgotten.
    let mut producer = bytes_producer(&words);
    assert!(!producer.push(&[1; 24], &[]));
    consumer.commit(consumer.position());
    let told = producer.marker_due().expect("room again");
    assert_eq!(told, ShedRecord { datagrams: 3, bytes: 86 });
    producer.push_marker(&[3; 24], told);
    assert_eq!(producer.marker_due(), None);
    assert!(producer.push(&[4; 24], &[&[5; 400]]), "wraps");
    let published = consumer.published().expect("sound");
    let marker = consumer.take(published).expect("sound").expect("published").to_vec();
    assert_eq!(ShedRecord::read_from_bytes(&marker[24..]), Ok(told));
    let record = consumer.take(published).expect("sound").expect("published");
    assert_eq!((record.len(), record[24], record[423]), (424, 5, 5));
    assert_eq!(consumer.take(published), Ok(None));
}

#[test]
fn damaged_captures_are_reported() {
    let words = zeroed(bytes::ring_bytes(1024));
    bytes_producer(&words).push(&[1; 24], &[]);
    let data = bytes::ring_bytes(0);
    for frame in [25_u64, u64::MAX >> 1, 1 << 63 | 64, u64::MAX] {
        // SAFETY: nothing else looks at the ring at this moment.
        unsafe { shared(&words).write(data, &frame.to_ne_bytes()) };
        let mut consumer = bytes_consumer(&words);
        let published = consumer.published().expect("sound");
        assert!(consumer.peek(published).is_err(), "frame {frame:#x}");
    }
    // SAFETY: as above.
    unsafe { shared(&words).write(0, &4096_u64.to_ne_bytes()) };
    // SAFETY: no other end exists.
    assert!(unsafe { BytesProducer::attach(shared(&words)) }.is_err());
}

proptest! {
    #[test]
    fn slots_agree_with_a_queue(steps in prop::collection::vec((0..4_u8, 0..200_usize, 0..4_u64), 1..300)) {
        let words = zeroed(slot::ring_bytes::<S>(16));
        let mut producer = slot_producer(&words);
        let mut consumer = slot_consumer(&words);
        let (mut model, mut unread, mut used, mut n) = (VecDeque::new(), 0_usize, 0_u64, 0_u8);
        for (step, bytes, keep_free) in steps {
            match step {
                0 | 1 => {
                    n = n.wrapping_add(1);
                    let record = vec![n; bytes];
                    let slots = slot::slots_for::<S>(bytes);
                    let fits = used + slots + keep_free <= 16;
                    let cut = bytes / 3;
                    prop_assert_eq!(producer.push(&record[..cut], &[&record[cut..]], keep_free).is_ok(), fits);
                    if fits {
                        used += slots;
                        model.push_back((record, slots));
                        unread += 1;
                    }
                }
                2 => {
                    let expected = (unread > 0).then(|| &model[model.len() - unread].0);
                    let found = read_slots(&mut consumer);
                    prop_assert_eq!(found.is_some(), expected.is_some());
                    if let (Some(found), Some(expected)) = (found, expected) {
                        prop_assert_eq!(&found[..expected.len()], &expected[..]);
                        unread -= 1;
                    }
                }
                // Commit what was read; bring one end or both back from the dead.
                _ => {
                    consumer.commit(consumer.position());
                    while model.len() > unread {
                        used -= model.pop_front().map_or(0, |(_, slots)| slots);
                    }
                    if bytes % 2 == 0 { producer = slot_producer(&words); }
                    if bytes % 3 == 0 { consumer = slot_consumer(&words); }
                }
            }
        }
    }

    #[test]
    fn captures_agree_with_a_queue(steps in prop::collection::vec((0..4_u8, 0..300_usize), 1..300)) {
        let words = zeroed(bytes::ring_bytes(1024));
        let mut producer = bytes_producer(&words);
        let mut consumer = bytes_consumer(&words);
        let (mut model, mut n, mut shed, mut told) = (VecDeque::new(), 0_u8, 0_u64, 0_u64);
        for (step, bytes) in steps {
            match step {
                0 | 1 => {
                    if let Some(due) = producer.marker_due() {
                        producer.push_marker(&[0; 24], due);
                        told += due.datagrams;
                        model.push_back(Vec::new());
                    }
                    n = n.wrapping_add(1);
                    let record = vec![n; 24 + bytes];
                    if producer.push(&record[..24], &[&record[24..]]) { model.push_back(record); } else { shed += 1; }
                }
                2 => {
                    let published = consumer.published().expect("sound");
                    let found = consumer.take(published).expect("sound");
                    let expected = model.pop_front();
                    prop_assert_eq!(found.is_some(), expected.is_some());
                    if let (Some(found), Some(expected)) = (found, expected)
                        && !expected.is_empty() { prop_assert_eq!(found, &expected[..]); }
                }
                _ => {
                    consumer.commit(consumer.position());
                    if bytes % 2 == 0 { producer = bytes_producer(&words); }
                    if bytes % 3 == 0 { consumer = bytes_consumer(&words); }
                }
            }
        }
        prop_assert_eq!(producer.shed_total().datagrams, shed);
        prop_assert!(told <= shed);
    }
}

#[test]
fn two_threads_lose_and_tear_nothing() {
    let words = zeroed(slot::ring_bytes::<S>(64));
    let words = &words[..];
    const RECORDS: u64 = 200_000;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut producer = slot_producer(words);
            for n in 0..RECORDS {
                let body = n.to_ne_bytes().repeat(1 + n as usize % 20);
                while producer.push(&[], &[&body], 0).is_err() {
                    std::thread::yield_now();
                }
            }
        });
        let mut consumer = slot_consumer(words);
        for n in 0..RECORDS {
            let found = loop {
                if let Some(found) = read_slots(&mut consumer) {
                    break found;
                }
                std::thread::yield_now();
            };
            let body = n.to_ne_bytes().repeat(1 + n as usize % 20);
            assert_eq!(found[..body.len()], body[..], "record {n}");
            consumer.commit(consumer.position());
        }
    });
}

/// Rings of a whole segment in memory of their own.
struct Rings {
    seq: Vec<AtomicU64>,
    order: Vec<AtomicU64>,
    capture: Vec<AtomicU64>,
}

impl Rings {
    fn new(slots: usize, capture: usize) -> Self {
        Self {
            seq: zeroed(8),
            order: zeroed(slot::ring_bytes::<ORDER_SLOT_BYTES>(slots)),
            capture: zeroed(bytes::ring_bytes(capture)),
        }
    }
    fn memory(&self) -> RecordRings<'_> {
        RecordRings { next_seq: shared(&self.seq), order: shared(&self.order), capture: shared(&self.capture) }
    }
    fn recorder(&self, reserve: u64) -> ShmRecorder<'_> {
        // SAFETY: each test has one recorder at a time.
        unsafe { ShmRecorder::attach(self.memory(), reserve) }.expect("sound rings")
    }
    fn drain(&self) -> Drain<'_> {
        // SAFETY: each test has one drain at a time.
        unsafe { Drain::attach(self.memory()) }.expect("sound rings")
    }
}

fn drained(drain: &mut Drain<'_>) -> Vec<(u64, u16, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some(record) = drain.next().expect("sound rings") {
        found.push((record.header.seq, record.header.kind, record.body.to_vec()));
    }
    found
}

#[test]
fn both_rings_come_out_in_one_order_and_again_until_committed() {
    let rings = Rings::new(64, 4096);
    let mut recorder = rings.recorder(16);
    let kinds = [Kind::Datagram, Kind::Order, Kind::Datagram, Kind::Datagram, Kind::SessionBytes, Kind::State];
    let mut expected = Vec::new();
    for (n, kind) in kinds.into_iter().enumerate() {
        let body = vec![n as u8; 60 * n];
        assert_eq!(recorder.next_seq(), n as u64 + 1);
        recorder.record(7, kind, &[&body[..n], &body[n..]]).expect("room");
        expected.push((n as u64 + 1, kind as u16, body));
    }
    let mut drain = rings.drain();
    assert_eq!(drained(&mut drain), expected);
    assert_eq!(drained(&mut rings.drain()), expected, "nothing was committed");
    let mut drain = rings.drain();
    for _ in 0..2 {
        drain.next().expect("sound").expect("published");
    }
    let mark = drain.mark();
    drained(&mut drain);
    drain.commit(mark);
    assert_eq!(drained(&mut rings.drain()), expected[2..]);
    // The next run continues the sequence.
    assert_eq!(rings.recorder(16).next_seq(), 7);
}

/// The drain's errors at three calls, with how many records it gave before and how far it may give back.
fn damage_seen(rings: &Rings) -> (usize, Vec<super::Corrupt>) {
    let mut drain = rings.drain();
    let mut given = 0;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let before = drain.mark();
        match drain.next() {
            Ok(record) => {
                assert!(record.is_some(), "the damage was stepped over");
                given += 1;
            }
            Err(corrupt) => {
                assert_eq!(drain.mark(), before, "a record that was not given may not be given back");
                seen.push(corrupt);
            }
        }
    }
    (given, seen)
}

/// Overwrites `bytes` at `offset` from the ring's first record on.
fn damage(ring: &[AtomicU64], first: usize, offset: usize, bytes: &[u8]) {
    // SAFETY: nothing else looks at the ring at this moment.
    unsafe { shared(ring).write(first + offset, bytes) };
}

#[test]
fn a_damaged_record_of_either_ring_ends_the_reading_and_is_never_stepped_over() {
    use crate::record::RecordHeader;
    use core::mem::offset_of;
    let length = offset_of!(RecordHeader, body_bytes);
    let seq = offset_of!(RecordHeader, seq);
    // Where, what is written there, what is said, how many records come before it.
    let disagree = "a captured record and its header disagree on its length";
    let captured: [(usize, &[u8], &str, usize); 6] = [
        (8 + length, &99_u32.to_ne_bytes(), disagree, 0),
        (8 + length, &101_u32.to_ne_bytes(), disagree, 0),
        (8 + length, &u32::MAX.to_ne_bytes(), disagree, 0),
        // Its frame says that it is shorter than a header, or empty.
        (0, &20_u64.to_ne_bytes(), disagree, 0),
        (0, &0_u64.to_ne_bytes(), disagree, 0),
        (8 + seq, &0_u64.to_ne_bytes(), "a record bears a seq that is not above that before it", 0),
    ];
    for (offset, bytes, what, before) in captured {
        let rings = Rings::new(64, 4096);
        let mut recorder = rings.recorder(16);
        for kind in [Kind::Datagram, Kind::Order, Kind::Datagram] {
            recorder.record(7, kind, &[&[1; 100]]).expect("room");
        }
        damage(&rings.capture, bytes::ring_bytes(0), offset, bytes);
        let (given, seen) = damage_seen(&rings);
        assert_eq!((given, seen), (before, vec![super::Corrupt { what, position: 0 }; 3]), "{bytes:?} at {offset}");
    }
    let disagree = "an order record and its header disagree on its length";
    let orders: [(usize, &[u8], &str, usize); 4] = [
        (8 + length, &96_u32.to_ne_bytes(), disagree, 0),
        (8 + length, &217_u32.to_ne_bytes(), disagree, 0),
        (8 + seq, &0_u64.to_ne_bytes(), "a record bears a seq that is not above that before it", 0),
        // The capture behind it goes out before it, in vain: the seq that the order had is missing.
        (8 + seq, &77_u64.to_ne_bytes(), "a record bears a seq that no recorder has taken", 1),
    ];
    for (offset, bytes, what, before) in orders {
        let rings = Rings::new(64, 4096);
        let mut recorder = rings.recorder(16);
        recorder.record(7, Kind::Order, &[&[1; 150]]).expect("room");
        recorder.record(7, Kind::Datagram, &[&[1; 100]]).expect("room");
        damage(&rings.order, LINE_BYTES, offset, bytes);
        let (given, seen) = damage_seen(&rings);
        assert_eq!((given, seen), (before, vec![super::Corrupt { what, position: 0 }; 3]), "{bytes:?} at {offset}");
    }
}

#[test]
fn orders_stop_first_then_inputs_and_cancels_last() {
    let rings = Rings::new(16, 1024);
    let mut recorder = rings.recorder(4);
    let mut orders = 0;
    while recorder.has_room_for_orders() {
        recorder.record(0, Kind::Order, &[&[0; 72]]).expect("room was promised");
        orders += 1;
    }
    assert_eq!(orders, 8, "twice the reserve is left");
    let mut timers = 0;
    while recorder.record(0, Kind::Timer, &[]).is_ok() {
        timers += 1;
    }
    assert_eq!(timers, 4, "an ordinary record leaves the reserve");
    assert_eq!(recorder.next_seq(), 13, "a refused record takes no seq");
    for _ in 0..4 {
        recorder.record(0, Kind::Order, &[&[0; 72]]).expect("cancels use the rest");
    }
    assert_eq!(recorder.record(0, Kind::Order, &[&[0; 72]]), Err(RingFull));
    let mut drain = rings.drain();
    assert_eq!(drained(&mut drain).len(), 16);
    drain.commit(drain.mark());
    assert!(recorder.has_room_for_orders());
}

#[test]
fn the_gap_in_the_sequence_is_as_wide_as_the_markers_say() {
    let rings = Rings::new(64, 1024);
    let mut recorder = rings.recorder(16);
    let mut drain = rings.drain();
    let (mut last, mut missing, mut told) = (0, 0, 0);
    for round in 0..50 {
        for _ in 0..7 {
            recorder.record(round, Kind::Datagram, &[&[9; 150]]).expect("datagrams are never refused");
        }
        recorder.record(round, Kind::Timer, &[]).expect("room");
        for (seq, kind, body) in drained(&mut drain) {
            assert!(seq > last);
            missing += seq - last - 1;
            last = seq;
            if kind == Kind::Shed as u16 {
                told += ShedRecord::read_from_bytes(&body[..]).expect("a marker").datagrams;
            }
        }
        if round % 2 == 0 {
            drain.commit(drain.mark());
        }
    }
    assert_eq!(missing, recorder.shed_total().datagrams);
    assert!(told > 0 && told <= missing, "{told} of {missing}");
    drain.commit(drain.mark());
    recorder.record(99, Kind::Timer, &[]).expect("room");
    let rest = drained(&mut drain);
    let told_last = rest.iter().filter(|record| record.1 == Kind::Shed as u16);
    told +=
        told_last.map(|record| ShedRecord::read_from_bytes(&record.2[..]).expect("a marker").datagrams).sum::<u64>();
    assert_eq!(told, missing);
}

#[test]
fn a_drain_beside_a_running_recorder_sees_every_seq_in_order() {
    let rings = Rings::new(256, 1 << 14);
    const RECORDS: u64 = 200_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut recorder = rings.recorder(32);
            let mut random = 1_u64;
            for n in 0..RECORDS {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let body = vec![n as u8; (random >> 33) as usize % 300];
                let kind = if random >> 60 < 10 { Kind::Datagram } else { Kind::OrderEvent };
                while recorder.record(n, kind, &[&body]).is_err() {
                    std::thread::yield_now();
                }
            }
            // The last marker needs room, which the drain makes.
            while recorder.record(RECORDS, Kind::State, &[]).is_err() {}
        });
        let mut drain = rings.drain();
        let (mut last, mut missing, mut told) = (0, 0, 0);
        loop {
            match drain.next().expect("sound rings") {
                None => std::thread::yield_now(),
                Some(record) => {
                    let header = record.header;
                    assert!(header.seq > last, "{} after {last}", header.seq);
                    missing += header.seq - last - 1;
                    last = header.seq;
                    if header.kind == Kind::Shed as u16 {
                        told += ShedRecord::read_from_bytes(record.body).expect("a marker").datagrams;
                    } else {
                        assert!(record.body.iter().all(|byte| *byte == header.tai_ns as u8), "torn record {last}");
                    }
                    let done = header.kind == Kind::State as u16;
                    drain.commit(drain.mark());
                    if done {
                        break;
                    }
                }
            }
        }
        assert_eq!(missing, drain.shed_total().datagrams);
        assert!(told <= missing);
    });
}

#[test]
fn positions_that_no_ring_reaches_are_refused() {
    let words = zeroed(slot::ring_bytes::<S>(4));
    for position in [u64::MAX, 1 << 52, 1 << 51] {
        words[0].store(position, core::sync::atomic::Ordering::Relaxed);
        // SAFETY: the only consumer of this ring.
        let refused = unsafe { SlotConsumer::<S>::attach(shared(&words)) }.err().expect("refused");
        assert_eq!((refused.what, refused.position), ("its position is impossible", position));
    }
    let words = zeroed(bytes::ring_bytes(256));
    for cursor in [0, LINE_BYTES / 8] {
        words[cursor].store(!7, core::sync::atomic::Ordering::Relaxed);
    }
    // SAFETY: the only consumer of this ring.
    assert!(unsafe { BytesConsumer::attach(shared(&words)) }.is_err());
}

#[test]
fn a_damaged_consumer_leaves_no_room() {
    let words = zeroed(slot::ring_bytes::<S>(4));
    let mut producer = slot_producer(&words);
    words[0].store(u64::MAX, core::sync::atomic::Ordering::Relaxed);
    for _ in 0..4 {
        producer.push(b"x", &[], 0).expect("as much as was free when it was sound");
    }
    assert!(producer.push(b"x", &[], 0).is_err() && !producer.has_room(1));
}
