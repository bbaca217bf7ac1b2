//! The rings under loom: every order in which two threads can see each other's stores.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p tern-abi --test loom --release`. An empty test otherwise.
#![cfg(loom)]
#![allow(unsafe_code, reason = "stands in for the owner of the shared memory")]

use loom::sync::Arc;
use loom::thread;
use std::ptr::NonNull;
use tern_abi::record::{Kind, Recorder};
use tern_abi::ring::bytes::{self, BytesConsumer, BytesProducer};
use tern_abi::ring::drain::Drain;
use tern_abi::ring::memory::Memory;
use tern_abi::ring::recorder::{ORDER_SLOT_BYTES, RecordRings, ShmRecorder};
use tern_abi::ring::slot::{self, SlotConsumer, SlotProducer};

/// A slot of a word and eight bytes: every record of more than eight bytes takes several.
const S: usize = 16;

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

fn memory(bytes: usize) -> Memory<'static> {
    let words = vec![0_u64; bytes.div_ceil(8)].leak();
    // SAFETY: leaked, and only the ring under test has it.
    unsafe { Memory::new(NonNull::from(words).cast(), bytes) }
}

fn next<const N: usize>(consumer: &mut SlotConsumer<'_, N>) -> Vec<u8> {
    loop {
        if let Some(record) = consumer.peek().expect("a sound ring") {
            let slots = record.slots();
            let bytes = (0..slots).flat_map(|index| record.slot(index).to_vec()).collect();
            consumer.advance(slots);
            return bytes;
        }
        thread::yield_now();
    }
}

#[test]
fn slots_cross_whole_and_in_order_and_wrap() {
    model(|| {
        let memory = memory(slot::ring_bytes::<S>(2));
        let theirs = memory.clone();
        let producer = thread::spawn(move || {
            // SAFETY: the only producer.
            let mut producer = unsafe { SlotProducer::<S>::attach(theirs) }.expect("zeroed");
            for n in 1..=4_u8 {
                while producer.push(&[n; 8], &[], 0).is_err() {
                    thread::yield_now();
                }
            }
        });
        // SAFETY: the only consumer.
        let mut consumer = unsafe { SlotConsumer::<S>::attach(memory) }.expect("zeroed");
        for n in 1..=4_u8 {
            assert_eq!(next(&mut consumer), [n; 8]);
            consumer.commit(consumer.position());
        }
        producer.join().expect("no panic");
    });
}

#[test]
fn records_of_several_slots_are_never_seen_in_part() {
    model(|| {
        let memory = memory(slot::ring_bytes::<S>(4));
        let theirs = memory.clone();
        let producer = thread::spawn(move || {
            // SAFETY: the only producer.
            let mut producer = unsafe { SlotProducer::<S>::attach(theirs) }.expect("zeroed");
            for (n, bytes) in [(1_u8, 24), (2, 8), (3, 16)] {
                while producer.push(&[n; 8], &[&vec![n; bytes - 8]], 0).is_err() {
                    thread::yield_now();
                }
            }
        });
        // SAFETY: the only consumer.
        let mut consumer = unsafe { SlotConsumer::<S>::attach(memory) }.expect("zeroed");
        for (n, bytes) in [(1_u8, 24), (2, 8), (3, 16)] {
            assert_eq!(next(&mut consumer), vec![n; bytes]);
            consumer.commit(consumer.position());
        }
        producer.join().expect("no panic");
    });
}

#[test]
fn a_producer_that_comes_back_finds_its_place_beside_a_running_consumer() {
    model(|| {
        let memory = memory(slot::ring_bytes::<S>(2));
        let theirs = memory.clone();
        let producer = thread::spawn(move || {
            for n in 1..=3_u8 {
                // SAFETY: the only producer; each of them dies after one record.
                let mut producer = unsafe { SlotProducer::<S>::attach(theirs.clone()) }.expect("sound");
                while producer.push(&[n; 8], &[], 0).is_err() {
                    thread::yield_now();
                }
            }
        });
        for n in 1..=3_u8 {
            // SAFETY: the only consumer; each of them dies after one record.
            let mut consumer = unsafe { SlotConsumer::<S>::attach(memory.clone()) }.expect("sound");
            assert_eq!(next(&mut consumer), [n; 8]);
            consumer.commit(consumer.position());
        }
        producer.join().expect("no panic");
    });
}

#[test]
fn captures_cross_whole_wrap_and_are_shed_when_full() {
    model(|| {
        let memory = memory(bytes::ring_bytes(256));
        let theirs = memory.clone();
        let producer = thread::spawn(move || {
            // SAFETY: the only producer.
            let mut producer = unsafe { BytesProducer::attach(theirs) }.expect("zeroed");
            // 96 bytes each with the frame: the third wraps, and fits only if the consumer was quick.
            let taken = [1_u8, 2, 3].map(|n| producer.push(&[n; 24], &[&[n; 64]]));
            if let Some(due) = producer.marker_due() {
                producer.push_marker(&[9; 24], due);
            }
            (taken, producer.shed_total().datagrams)
        });
        // SAFETY: the only consumer.
        let mut consumer = unsafe { BytesConsumer::attach(memory) }.expect("zeroed");
        let mut seen = Vec::new();
        let mut read = |consumer: &mut BytesConsumer<'_>| {
            let published = consumer.published().expect("sound");
            while let Some(record) = consumer.take(published).expect("sound") {
                assert!(record.len() == 88 && record.iter().all(|byte| *byte == record[0]) || record[0] == 9);
                seen.push(record[0]);
            }
            consumer.commit(consumer.position());
        };
        read(&mut consumer);
        read(&mut consumer);
        let (taken, shed) = producer.join().expect("no panic");
        read(&mut consumer);
        let captured: Vec<u8> = [1, 2, 3].into_iter().zip(taken).filter(|(_, taken)| *taken).map(|(n, _)| n).collect();
        assert_eq!(seen.iter().copied().filter(|n| *n != 9).collect::<Vec<_>>(), captured);
        assert_eq!(shed as usize, 3 - captured.len());
    });
}

#[test]
fn both_rings_are_drained_in_one_order() {
    model(|| {
        let rings = RecordRings {
            next_seq: memory(8),
            order: memory(slot::ring_bytes::<ORDER_SLOT_BYTES>(4)),
            capture: memory(bytes::ring_bytes(256)),
        };
        let rings = Arc::new(rings);
        let theirs = rings.clone();
        let producer = thread::spawn(move || {
            // SAFETY: the only recorder.
            let mut recorder = unsafe { ShmRecorder::attach((*theirs).clone(), 1) }.expect("zeroed");
            for kind in [Kind::Datagram, Kind::Order, Kind::Datagram, Kind::Order] {
                recorder.record(0, kind, &[&[kind as u8; 8]]).expect("room");
            }
        });
        // SAFETY: the only drain.
        let mut drain = unsafe { Drain::attach((*rings).clone()) }.expect("zeroed");
        let mut seq = 0;
        while seq < 4 {
            match drain.next().expect("sound") {
                Some(record) => {
                    seq += 1;
                    assert_eq!(record.header.seq, seq);
                    assert_eq!(record.body, [record.header.kind as u8; 8]);
                }
                None => thread::yield_now(),
            }
            drain.commit(drain.mark());
        }
        producer.join().expect("no panic");
    });
}
