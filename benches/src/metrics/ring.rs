//! `ring_hop`: a record of 56 bytes from one core to another and back, by the slot ring that the shared segment is made
//! of (64 bytes a slot, its sequence inside) and by rtrb; and the hand-off of a bare cache line, below which no ring can
//! go.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tern_abi::ring::slot::{self, SlotConsumer, SlotProducer};
use zerocopy::{FromBytes, IntoBytes};

use crate::harness::{Plan, Row, RowBuilder, median, rotate};
use crate::setting::{pin_to, two_cores};

/// Bytes of a slot, and records that fit beside its sequence word.
const SLOT_BYTES: usize = 64;
type Record = [u64; 7];
/// Slots of every ring.
const SLOTS: usize = 256;

const BATCHES: usize = 60;
const ROUND_TRIPS: u32 = 200;

/// One direction of a way there and back.
trait Lane {
    /// Hands a word over.
    fn send(&mut self, value: u64);
    /// The next word, spinning until it is there.
    fn receive(&mut self) -> u64;
}

struct Slots(SlotProducer<'static, SLOT_BYTES>, SlotConsumer<'static, SLOT_BYTES>);

impl Lane for Slots {
    #[inline]
    fn send(&mut self, value: u64) {
        let record: Record = [value; 7];
        self.0.push(record.as_bytes(), &[], 0).expect("one record is under way");
    }
    #[inline]
    fn receive(&mut self) -> u64 {
        loop {
            if let Some(record) = self.1.peek().expect("a ring of ours") {
                let record = Record::read_from_bytes(record.slot(0)).expect("a slot holds a record");
                self.1.advance(1);
                self.1.commit(self.1.position());
                return checked(&record);
            }
            spin_loop();
        }
    }
}

struct Rtrb(rtrb::Producer<Record>, rtrb::Consumer<Record>);

impl Lane for Rtrb {
    #[inline]
    fn send(&mut self, value: u64) {
        self.0.push([value; 7]).expect("one record is under way");
    }
    #[inline]
    fn receive(&mut self) -> u64 {
        loop {
            if let Ok(record) = self.1.pop() {
                return checked(&record);
            }
            spin_loop();
        }
    }
}

/// Looks at the whole record, as its reader does.
#[inline]
fn checked(record: &Record) -> u64 {
    assert!(record.iter().all(|word| *word == record[0]), "a record arrives whole");
    record[0]
}

#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

struct Lines<'a> {
    out: &'a Line,
    back: &'a Line,
    last: u64,
}

impl Lane for Lines<'_> {
    fn send(&mut self, value: u64) {
        self.out.0.store(value, Ordering::Release);
    }
    fn receive(&mut self) -> u64 {
        loop {
            let value = self.back.0.load(Ordering::Acquire);
            if value != self.last {
                self.last = value;
                return value;
            }
            spin_loop();
        }
    }
}

/// Half a round trip in ns: the median of short batches, so that a batch that was interrupted does not count.
fn hop_ns(cores: [usize; 2], mut near: impl Lane + Send, mut far: impl Lane + Send) -> f64 {
    const LAST: u64 = u64::MAX;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            pin_to(cores[1]);
            loop {
                let value = far.receive();
                far.send(value);
                if value == LAST {
                    return;
                }
            }
        });
        let measuring = scope.spawn(move || {
            pin_to(cores[0]);
            let mut value = 0;
            let mut batch = || {
                let start = Instant::now();
                for _ in 0..ROUND_TRIPS {
                    value += 1;
                    near.send(value);
                    assert_eq!(near.receive(), value, "what comes back is what was sent");
                }
                start.elapsed().as_nanos() as f64 / f64::from(2 * ROUND_TRIPS)
            };
            let batches: Vec<f64> = (0..BATCHES).map(|_| batch()).collect();
            near.send(LAST);
            near.receive();
            median(&batches)
        });
        measuring.join().expect("the measuring thread ends")
    })
}

fn slots(cores: [usize; 2]) -> f64 {
    let [there, back] = [(); 2].map(|()| slot::within_process(SLOTS).expect("a power of two"));
    hop_ns(cores, Slots(there.0, back.1), Slots(back.0, there.1))
}

fn rtrb_rings(cores: [usize; 2]) -> f64 {
    let [there, back] = [(); 2].map(|()| rtrb::RingBuffer::new(SLOTS));
    hop_ns(cores, Rtrb(there.0, back.1), Rtrb(back.0, there.1))
}

fn lines(cores: [usize; 2]) -> f64 {
    let (there, back) = (Line::default(), Line::default());
    let near = Lines { out: &there, back: &back, last: 0 };
    let far = Lines { out: &back, back: &there, last: 0 };
    hop_ns(cores, near, far)
}

/// See the module.
pub fn ring_hop(plan: Plan) -> Vec<Row> {
    let Some(cores) = two_cores("ring_hop") else { return Vec::new() };
    let sides: [&mut dyn FnMut() -> f64; 3] = [&mut || slots(cores), &mut || rtrb_rings(cores), &mut || lines(cores)];
    let [ours, peer, line] = rotate(plan, sides);
    let note = "56 bytes to another core, half a round trip between two pinned threads";
    vec![
        RowBuilder::new("ring_hop", "ns/hop", ours.clone())
            .peer("rtrb 0.4", peer)
            .target_ratio(0.75)
            .note(note)
            .build(),
        RowBuilder::new("ring_hop_line", "ns/hop", ours)
            .peer("one word in one cache line: the hand-off itself", line)
            .note("the same hops against the least that two cores can do")
            .build(),
    ]
}
