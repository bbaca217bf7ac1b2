//! `book_full_depth` and `book_real_day`: order-by-order books on decoded datagrams, prefetched and applied as the
//! pipeline does, against the book that most would write first: a hash map of orders and a tree of levels.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

use tern_abi::event::{BookEvent, EventKind, SIDE_BUY};
use tern_core::book::{Books, BooksMemory, Capacity};
use tern_core::feed::Feed;
use tern_core::units::{LineId, StreamId, TaiNs};
use tern_dataplane::arenas::Arenas;
use tern_sim::generate::Shape;

use super::decode::{Events, feed};
use crate::flow::{self, Packing, generate};
use crate::harness::{Plan, RUNS_MIN, Row, RowBuilder, interleave, ns_each};

/// Orders of a level by arrival, and their shares together.
#[derive(Default)]
struct PlainLevel {
    shares: u64,
    queue: BTreeMap<u64, u64>,
}

#[derive(Clone, Copy)]
struct PlainOrder {
    instrument: u32,
    side: u8,
    price: i64,
    shares: u32,
    arrival: u64,
}

/// The book that most would write first, order by order with queue position.
#[derive(Default)]
struct Plain {
    orders: HashMap<u64, PlainOrder>,
    levels: HashMap<(u32, u8), BTreeMap<i64, PlainLevel>>,
    arrivals: u64,
}

impl Plain {
    fn add(&mut self, order: u64, instrument: u32, side: u8, price: i64, shares: u32) {
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.orders.insert(order, PlainOrder { instrument, side, price, shares, arrival });
        let level = self.levels.entry((instrument, side)).or_default().entry(price).or_default();
        level.shares += u64::from(shares);
        level.queue.insert(arrival, order);
    }
    fn reduce(&mut self, order: u64, by: u32) {
        let Some(entry) = self.orders.get_mut(&order) else { return };
        let by = by.min(entry.shares);
        entry.shares -= by;
        let PlainOrder { instrument, side, price, shares, arrival } = *entry;
        if shares == 0 {
            self.orders.remove(&order);
        }
        let Some(levels) = self.levels.get_mut(&(instrument, side)) else { return };
        let Some(level) = levels.get_mut(&price) else { return };
        level.shares -= u64::from(by);
        if shares == 0 {
            level.queue.remove(&arrival);
            if level.queue.is_empty() {
                levels.remove(&price);
            }
        }
    }
    fn best(&self, instrument: u32, side: u8) -> Option<(i64, u64)> {
        let levels = self.levels.get(&(instrument, side))?;
        let best = if side == SIDE_BUY { levels.last_key_value() } else { levels.first_key_value() };
        best.map(|(price, level)| (*price, level.shares))
    }
    fn apply(&mut self, event: &BookEvent) {
        match event.kind {
            EventKind::Add => self.add(event.order, event.instrument, event.side, event.price, event.quantity),
            EventKind::Execute | EventKind::ExecuteAtPrice | EventKind::Reduce => {
                self.reduce(event.order, event.quantity)
            }
            EventKind::Delete => self.reduce(event.order, u32::MAX),
            EventKind::Replace => {
                if let Some(old) = self.orders.get(&event.order).copied() {
                    self.reduce(event.order, u32::MAX);
                    self.add(event.other, old.instrument, old.side, event.price, event.quantity);
                }
            }
            _ => return,
        }
        black_box(self.best(event.instrument, SIDE_BUY));
    }
}

/// Datagrams whose events are timed in one run.
const STRETCH_DATAGRAMS: usize = 400;
/// Datagrams before them that bring a side's tables back into the caches, as in a loop that does nothing else.
const WARM_DATAGRAMS: usize = 1_600;

/// One side works off the next part of the flow; ns an event of its timed stretch.
fn run_part(part: &[Vec<BookEvent>], mut datagram: impl FnMut(&[BookEvent])) -> f64 {
    let (warm, stretch) = part.split_at(WARM_DATAGRAMS);
    warm.iter().for_each(|events| datagram(events));
    // In the product the events were written a moment before.
    black_box(stretch.iter().flatten().map(|event| event.order).fold(0, u64::wrapping_add));
    ns_each(|| {
        stretch.iter().for_each(|events| datagram(black_box(events)));
        stretch.iter().map(|events| events.len() as u64).sum()
    })
}

/// Both sides go through the same flow once, in parts that take turns; a part is one run.
fn measure(
    metric: &'static str,
    (shape, opening_orders, capacity): (Shape, u32, Capacity),
    target: f64,
    plan: Plan,
) -> Vec<Row> {
    const PART: usize = WARM_DATAGRAMS + STRETCH_DATAGRAMS;
    let runs = plan.runs.max(RUNS_MIN) * plan.scale;
    // One part that is not counted, then the runs.
    let steady = ((runs + 2) * PART * 14) as u64;
    let flow = generate(flow::Plan { shape, opening_orders, steady, packing: Packing::Busy, burst: false });
    let mut memory = Arenas::new(true);
    let mut books = Books::new(BooksMemory::from_memory(capacity, &mut memory));
    let mut plain = Plain::default();
    let (mut feed, mut sink) = (feed(), Events::new());
    let mut decoded: Vec<Vec<BookEvent>> = Vec::new();
    for (index, datagram) in flow.datagrams.iter().enumerate() {
        sink.used = 0;
        feed.on_payload(TaiNs(1), StreamId(0), LineId(0), datagram, &mut sink);
        let events = &sink.buffer[..sink.used];
        if index < flow.steady_from {
            for event in events {
                books.apply(event).expect("the flow fits the books");
                plain.apply(event);
            }
        } else {
            decoded.push(events.to_vec());
        }
    }
    let live_orders = books.order_count();
    let mut ours_at = decoded.chunks_exact(PART);
    let mut peer_at = decoded.chunks_exact(PART);
    let run_peer = || {
        let part = peer_at.next().expect("as many parts as runs");
        run_part(part, |events| events.iter().for_each(|event| plain.apply(event)))
    };
    let mut tops = 0_u64;
    let run_ours = || {
        let part = ours_at.next().expect("as many parts as runs");
        run_part(part, |events| {
            books.prefetch(events);
            for event in events {
                tops += u64::from(books.apply(event).expect("the flow fits the books").top_changed);
            }
        })
    };
    let (all_ours, all_peer) = interleave(Plan { runs, ..plan }, run_ours, run_peer);
    assert!(tops > 0, "the flow moves the best prices");
    assert_eq!(books.order_count(), plain.orders.len(), "both sides hold the same orders");
    vec![
        RowBuilder::new(metric, "ns/event", all_ours)
            .peer("HashMap of orders, BTreeMap of levels, BTreeMap of each queue", all_peer)
            .target(target)
            .note(format!(
                "{live_orders} live orders, {} symbols, order by order, tables for {} orders of {} MiB {}",
                shape.symbols(),
                capacity.orders,
                capacity.bytes() >> 20,
                if memory.is_huge() { "on huge pages" } else { "on ordinary pages" },
            ))
            .build(),
    ]
}

/// 200 symbols, 20,000 live orders, tables as one would configure them for that.
pub fn book_full_depth(plan: Plan) -> Vec<Row> {
    let capacity = Capacity { instruments: 256, orders: 65_536, levels: 32_768 };
    measure("book_full_depth", (Shape::Small, 20_000, capacity), 50.0, plan)
}

/// 12,000 symbols, 5.2 million live orders, random access, tables as configured by default.
pub fn book_real_day(plan: Plan) -> Vec<Row> {
    measure("book_real_day", (Shape::RealDay, 5_200_000, Capacity::default()), 75.0, plan)
}
