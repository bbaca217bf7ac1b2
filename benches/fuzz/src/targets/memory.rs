//! What another process or the XDP program writes into memory that is shared with us.

use std::cell::RefCell;
use std::ptr::NonNull;

use tern_abi::command::{Command, LIMITS_MAX, WHY_BYTES_MAX};
use tern_abi::day::DAY_TEXT_BYTES_MAX;
use tern_abi::record::{Kind, Recorder};
use tern_abi::ring::commands::{CommandReceiver, Sent};
use tern_abi::ring::drain::Drain;
use tern_abi::ring::memory::Memory;
use tern_abi::ring::recorder::RecordRings;
use tern_abi::segment::{Segment, SegmentIdentity, SegmentLayout, SegmentSizes};
use tern_abi::steer::{FRAME_RECORD_BYTES, FrameRecord, STEER_VERSION};
use tern_core::wire::{Frame, WireDrop, classify};
use zerocopy::{FromBytes, IntoBytes};

use crate::input::Choices;

/// More records than fit into any ring here: whoever reads more goes round in circles.
const RECORDS_MAX: usize = 10_000;

pub(super) fn classify_frame(data: &[u8]) {
    match classify(data) {
        Ok(Frame::Datagram(datagram)) => assert!(datagram.payload.len() + FRAME_RECORD_BYTES <= data.len()),
        Ok(Frame::Stack(frame)) => assert_eq!(frame, &data[FRAME_RECORD_BYTES..]),
        Err(WireDrop::NoRecord) => assert!(data.len() < FRAME_RECORD_BYTES),
        Err(_) => assert!(data.len() >= FRAME_RECORD_BYTES),
    }
}

/// A record of the right version with any fields, in front of any frame.
pub(super) fn steer_record(data: &[u8]) {
    let mut choices = Choices(data);
    let mut record = FrameRecord::read_from_bytes(&choices.array::<FRAME_RECORD_BYTES>()).expect("any bytes are one");
    record.version = STEER_VERSION;
    record.kind %= 5;
    let frame = choices.0;
    let bytes = [record.as_bytes(), frame].concat();
    if let Ok(Frame::Datagram(datagram)) = classify(&bytes) {
        let start = usize::from(record.payload_offset);
        assert_eq!(datagram.payload, &frame[start..start + usize::from(record.payload_bytes)]);
        assert_eq!((datagram.stream.0, datagram.arrival.0), (record.stream, record.arrival_tai_ns));
        assert_eq!(datagram.nic.map_or(0, |nic| nic.0), record.nic_ns);
    }
}

/// Zeroed words for a ring, with the fuzzer's bytes over them.
fn words(bytes: usize, data: &[u8]) -> Vec<u64> {
    let mut words = vec![0_u64; bytes / 8];
    let length = data.len().min(bytes);
    words.as_mut_bytes()[..length].copy_from_slice(&data[..length]);
    words
}

fn memory(words: &mut [u64]) -> Memory<'_> {
    let base = NonNull::from(&mut *words).cast();
    // SAFETY: the words are borrowed for as long as the memory lives, and nobody else has them.
    unsafe { Memory::new(base, size_of_val(words)) }
}

/// Commands out of a ring of 8 slots that any daemon wrote.
pub(super) fn command_ring(data: &[u8]) {
    let mut words = words(128 + 8 * 64, data);
    // SAFETY: the only receiver of this ring.
    let Ok(mut receiver) = (unsafe { CommandReceiver::attach(memory(&mut words)) }) else { return };
    for taken in 0.. {
        assert!(taken <= RECORDS_MAX, "the ring has no end");
        match receiver.next() {
            Ok(Some(Sent::Command(command))) => {
                assert_eq!(Command::read_from_bytes(command.as_bytes()), Ok(command));
            }
            Ok(Some(Sent::SetLimits(limits))) => {
                assert!(limits.values().len() <= LIMITS_MAX && limits.why().len() <= WHY_BYTES_MAX);
            }
            Ok(Some(Sent::Day(day))) => assert!(day.text().len() <= DAY_TEXT_BYTES_MAX),
            Ok(Some(Sent::Manual(wish))) => assert!(wish.why().len() <= WHY_BYTES_MAX),
            Ok(None) | Err(_) => break,
        }
        receiver.done();
    }
}

/// Records out of an order ring of 16 slots and a capture ring of 4096 bytes that any loop wrote.
pub(super) fn record_rings(data: &[u8]) {
    let (first, second) = data.split_at(data.len().min(1024));
    // Any seq counts as taken: what is wrong with a record otherwise is to be found as well.
    let (mut seq, mut order) = ([u64::MAX], words(128 + 16 * 128, first));
    let mut capture = words(4096 + 128, second);
    let rings = RecordRings { next_seq: memory(&mut seq), order: memory(&mut order), capture: memory(&mut capture) };
    // SAFETY: the only drain of these rings.
    let Ok(drain) = (unsafe { Drain::attach(rings) }) else { return };
    read_all(drain);
}

fn read_all(mut drain: Drain<'_>) {
    for taken in 0.. {
        assert!(taken <= RECORDS_MAX, "the rings have no end");
        match drain.next() {
            Ok(Some(record)) => assert_eq!(record.body.len(), record.header.body_bytes as usize),
            Ok(None) | Err(_) => break,
        }
        let mark = drain.mark();
        drain.commit(mark);
    }
}

const PAGE_BYTES: usize = 4096;

#[repr(C, align(4096))]
#[derive(Clone)]
struct Page([u8; PAGE_BYTES]);

/// A small segment as it is made, and a copy to be damaged.
struct Segments {
    made: Vec<Page>,
    damaged: Vec<Page>,
}

impl Segments {
    fn new() -> Self {
        let sizes = SegmentSizes { order_slots: 16, order_reserve_slots: 4, capture_bytes: 4096, command_slots: 2 };
        let layout = SegmentLayout::new(sizes).expect("sizes as they must be");
        let mut made = vec![Page([0; PAGE_BYTES]); layout.total_bytes().div_ceil(PAGE_BYTES)];
        let base = NonNull::from(made.as_mut_slice()).cast();
        let mut instance = [0; 32];
        instance[..4].copy_from_slice(b"fuzz");
        let identity = SegmentIdentity { instance, boot_id: [7; 16], created_tai_ns: 9, first_seq: 1 };
        // SAFETY: aligned, zeroed, large enough, and nobody else has it.
        let segment = unsafe { Segment::format(base, made.len() * PAGE_BYTES, &layout, &identity) }.expect("a segment");
        // SAFETY: the only recorder and sender of this segment.
        let ends = unsafe { (segment.recorder(), segment.command_sender()) };
        let (mut recorder, mut sender) = (ends.0.expect("rings"), ends.1.expect("a ring"));
        for (kind, bytes) in [(Kind::Timer, 0), (Kind::Datagram, 700), (Kind::SessionBytes, 300), (Kind::Datagram, 90)]
        {
            recorder.record(1, kind, &[&[1; 1000][..bytes]]).expect("room");
        }
        sender.send(&Command::default()).expect("room");
        Self { damaged: made.clone(), made }
    }
}

thread_local! {
    static SEGMENTS: RefCell<Segments> = RefCell::new(Segments::new());
}

/// A segment with pieces of it overwritten: in its header, or anywhere.
pub(super) fn segment(data: &[u8]) {
    SEGMENTS.with_borrow_mut(|Segments { made, damaged }| {
        damaged.clone_from_slice(made);
        let mut choices = Choices(data);
        let bytes = damaged.len() * PAGE_BYTES;
        let base: NonNull<u8> = NonNull::from(damaged.as_mut_slice()).cast();
        // SAFETY: the pages are contiguous bytes, and this borrow ends before the segment's begins.
        let whole = unsafe { std::slice::from_raw_parts_mut(base.as_ptr(), bytes) };
        while !choices.is_empty() {
            let end = if choices.u8() & 1 == 0 { 256 } else { bytes };
            let at = choices.u32() as usize % end;
            let piece = choices.piece();
            let length = piece.len().min(bytes - at);
            whole[at..at + length].copy_from_slice(&piece[..length]);
        }
        // SAFETY: aligned, `bytes` long, and nobody else has it.
        let Ok(segment) = (unsafe { Segment::attach(base, bytes) }) else { return };
        assert!(segment.layout().total_bytes() <= bytes);
        let _ = (segment.identity().instance_name().len(), segment.words().kill.state(), segment.words().trading.get());
        let _ = segment.words().conns.iter().filter_map(|conn| conn.read()).count();
        // SAFETY: the only drain, receiver and recorder of this segment.
        let (drain, receiver, recorder) = unsafe { (segment.drain(), segment.command_receiver(), segment.recorder()) };
        if let Ok(mut recorder) = recorder {
            for kind in [Kind::Timer, Kind::Datagram, Kind::Order, Kind::Datagram] {
                let _ = recorder.record(1, kind, &[&[1; 100]]);
            }
        }
        if let Ok(drain) = drain {
            read_all(drain);
        }
        if let Ok(receiver) = receiver {
            let _ = receiver.next();
        }
    });
}
