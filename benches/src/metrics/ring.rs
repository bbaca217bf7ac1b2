//! `ring_hop`: a record of 40 bytes from one core to another and back, by the slot ring of the shared segment (its
//! command rings, 64 bytes a slot) and by rtrb; and the hand-off of a bare cache line, below which no ring can go.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tern_abi::command::Command;
use tern_abi::ring::commands::{CommandReceiver, CommandSender};

use crate::harness::{Plan, Row, RowBuilder, median, rotate};
use crate::setting::{configuration, pin_to, segment, two_cores};

const BATCHES: usize = 60;
const ROUND_TRIPS: u32 = 200;

/// One direction of a way there and back.
trait Lane {
    /// Hands a word over.
    fn send(&mut self, value: u64);
    /// The next word, spinning until it is there.
    fn receive(&mut self) -> u64;
}

struct Slots<'a>(CommandSender<'a>, CommandReceiver<'a>);

impl Lane for Slots<'_> {
    fn send(&mut self, value: u64) {
        let command = Command { value: value as i64, ..Command::default() };
        self.0.send(&command).expect("one record is under way");
    }
    fn receive(&mut self) -> u64 {
        loop {
            if let Some(command) = self.1.next().expect("a ring of ours") {
                self.1.done();
                return command.value as u64;
            }
            spin_loop();
        }
    }
}

struct Rtrb(rtrb::Producer<Command>, rtrb::Consumer<Command>);

impl Lane for Rtrb {
    fn send(&mut self, value: u64) {
        self.0.push(Command { value: value as i64, ..Command::default() }).expect("one record is under way");
    }
    fn receive(&mut self) -> u64 {
        loop {
            if let Ok(command) = self.1.pop() {
                return command.value as u64;
            }
            spin_loop();
        }
    }
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
            let mut trip = |near: &mut dyn FnMut(u64) -> u64| {
                value += 1;
                assert_eq!(near(value), value, "what comes back is what was sent");
            };
            let mut there_and_back = |value| {
                near.send(value);
                near.receive()
            };
            let batches: Vec<f64> = (0..BATCHES)
                .map(|_| {
                    let start = Instant::now();
                    (0..ROUND_TRIPS).for_each(|_| trip(&mut there_and_back));
                    start.elapsed().as_nanos() as f64 / f64::from(2 * ROUND_TRIPS)
                })
                .collect();
            there_and_back(LAST);
            median(&batches)
        });
        measuring.join().expect("the measuring thread ends")
    })
}

fn slots(cores: [usize; 2]) -> f64 {
    let config = configuration();
    let ((mut there_out, mut there_in), (mut back_out, mut back_in)) = (segment(&config), segment(&config));
    let (there_out, there_in) = (there_out.ends(), there_in.ends());
    let (back_out, back_in) = (back_out.ends(), back_in.ends());
    let near = Slots(there_in.expect("a ring").commands, back_out.expect("a ring").commands);
    let far = Slots(back_in.expect("a ring").commands, there_out.expect("a ring").commands);
    hop_ns(cores, near, far)
}

fn rtrb_rings(cores: [usize; 2]) -> f64 {
    let capacity = configuration().rings.command_slots as usize;
    let (there_in, there_out) = rtrb::RingBuffer::new(capacity);
    let (back_in, back_out) = rtrb::RingBuffer::new(capacity);
    hop_ns(cores, Rtrb(there_in, back_out), Rtrb(back_in, there_out))
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
    let note = "40 bytes to another core, half a round trip between two pinned threads";
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
