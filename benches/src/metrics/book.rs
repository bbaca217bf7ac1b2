//! `book_full_depth` and `book_real_day`: order-by-order books on decoded datagrams, prefetched and applied as the
//! pipeline does, against the book that most would write first: a hash map of orders and a tree of levels.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hint::black_box;

use tern_abi::event::{BookEvent, EventKind, SIDE_BUY};
use tern_core::book::{Books, BooksMemory, Capacity};
use tern_core::feed::Feed;
use tern_core::units::{LineId, StreamId, TaiNs};
use tern_sim::generate::Shape;

use super::decode::{Events, feed};
use crate::flow::generate;
use crate::harness::{Plan, Row, RowBuilder, interleave, ns_each};

/// The book that most would write first, order by order with queue position.
#[derive(Default)]
struct Plain {
    orders: HashMap<u64, (u32, u8, i64, u32)>,
    levels: HashMap<(u32, u8), BTreeMap<i64, (u64, VecDeque<u64>)>>,
}

impl Plain {
    fn add(&mut self, order: u64, instrument: u32, side: u8, price: i64, quantity: u32) {
        self.orders.insert(order, (instrument, side, price, quantity));
        let level = self.levels.entry((instrument, side)).or_default().entry(price).or_default();
        level.0 += u64::from(quantity);
        level.1.push_back(order);
    }
    fn reduce(&mut self, order: u64, by: u32) {
        let Some(entry) = self.orders.get_mut(&order) else { return };
        let by = by.min(entry.3);
        entry.3 -= by;
        let (instrument, side, price, left) = *entry;
        if left == 0 {
            self.orders.remove(&order);
        }
        let Some(levels) = self.levels.get_mut(&(instrument, side)) else { return };
        let Some(level) = levels.get_mut(&price) else { return };
        level.0 -= u64::from(by);
        if left == 0 {
            level.1.retain(|other| *other != order);
            if level.1.is_empty() {
                levels.remove(&price);
            }
        }
    }
    fn best(&self, instrument: u32, side: u8) -> Option<i64> {
        let levels = self.levels.get(&(instrument, side))?;
        if side == SIDE_BUY { levels.keys().next_back().copied() } else { levels.keys().next().copied() }
    }
    fn apply(&mut self, event: &BookEvent) {
        match event.kind {
            EventKind::Add => self.add(event.order, event.instrument, event.side, event.price, event.quantity),
            EventKind::Execute | EventKind::ExecuteAtPrice | EventKind::Reduce => {
                self.reduce(event.order, event.quantity)
            }
            EventKind::Delete => self.reduce(event.order, u32::MAX),
            EventKind::Replace => {
                if let Some((instrument, side, _, _)) = self.orders.get(&event.order).copied() {
                    self.reduce(event.order, u32::MAX);
                    self.add(event.other, instrument, side, event.price, event.quantity);
                }
            }
            _ => return,
        }
        black_box(self.best(event.instrument, SIDE_BUY));
    }
}

/// Both sides go through the same flow once, in stretches that take turns; a stretch is one run.
fn measure(metric: &'static str, shape: Shape, live: u32, target: f64, plan: Plan) -> Vec<Row> {
    const STRETCH_DATAGRAMS: usize = 400;
    // one warm stretch, then the runs
    let runs = plan.runs.max(9) * plan.scale;
    let flow = generate(shape, live, ((runs + 4) * STRETCH_DATAGRAMS * 20) as u64);
    let capacity = Capacity::default();
    let mut books = Books::new(BooksMemory::new(capacity));
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
    let mut ours_at = decoded.chunks(STRETCH_DATAGRAMS);
    let mut peer_at = decoded.chunks(STRETCH_DATAGRAMS);
    let mut run_peer = || {
        let stretch = peer_at.next().expect("as many stretches as runs");
        ns_each(|| {
            stretch.iter().flatten().for_each(|event| plain.apply(black_box(event)));
            stretch.iter().map(|events| events.len() as u64).sum()
        })
    };
    let run_ours = || {
        let stretch = ours_at.next().expect("as many stretches as runs");
        ns_each(|| {
            let mut tops = 0_u64;
            for events in stretch {
                books.prefetch(black_box(events));
                for event in events {
                    tops += u64::from(books.apply(event).expect("the flow fits the books").top_changed);
                }
            }
            assert!(black_box(tops) > 0, "the flow moves the best prices");
            stretch.iter().map(|events| events.len() as u64).sum()
        })
    };
    let (all_ours, all_peer) = interleave(Plan { runs, ..plan }, run_ours, Some(&mut run_peer));
    vec![
        RowBuilder::new(metric, "ns/event", all_ours)
            .peer("HashMap of orders, BTreeMap of levels, VecDeque of the queue", all_peer)
            .target(target)
            .note(format!(
                "{live_orders} live orders, {} symbols, order by order, tables {} MiB, each run a fresh stretch of the flow",
                shape.symbols(),
                capacity.bytes() >> 20,
            ))
            .build(),
    ]
}

/// 200 symbols, 20,000 live orders.
pub fn book_full_depth(plan: Plan) -> Vec<Row> {
    measure("book_full_depth", Shape::Small, 20_000, 50.0, plan)
}

/// 12,000 symbols, 5.2 million live orders, random access.
pub fn book_real_day(plan: Plan) -> Vec<Row> {
    measure("book_real_day", Shape::RealDay, 5_200_000, 75.0, plan)
}
