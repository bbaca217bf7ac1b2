//! What an event costs the books, on two shapes of flow: `small` (200 symbols, twenty thousand live orders) and
//! `real-day` (12,000 symbols, 5.2 million live orders, every event somewhere else), with and without prefetch.
//!
//! `cargo run --release -p tern-core --example book_speed [small|real-day] [rounds]`; set
//! `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` to have the tables on transparent huge pages, as the data plane has them.

use std::time::Instant;
use tern_abi::event::{BookEvent, EventKind, SIDE_BUY, SIDE_SELL};
use tern_core::book::{Books, BooksMemory, Capacity};
use tern_core::units::{InstrumentId, Side};

/// Events timed in one go: short, so that on a shared host most stretches are timed without a pause.
const SEGMENT: usize = 1_000;

struct Shape {
    name: &'static str,
    instruments: u32,
    live_orders: usize,
    /// Weights of add, delete, replace, execute, reduce, trade.
    weights: [u32; 6],
    /// Mean distance of a new order from the middle, ticks.
    depth_ticks: f64,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "small",
        instruments: 200,
        live_orders: 20_000,
        weights: [404, 380, 90, 79, 30, 17],
        depth_ticks: 12.0,
    },
    Shape {
        name: "real-day",
        instruments: 12_000,
        live_orders: 5_200_000,
        weights: [346, 335, 263, 19, 15, 8],
        depth_ticks: 40.0,
    },
];

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Makes flow that keeps the number of live orders about the same; has books of its own to know what is live.
struct Flow<'a> {
    shape: &'a Shape,
    random: Random,
    books: Books,
    live: Vec<u64>,
    reference: u64,
}

impl<'a> Flow<'a> {
    fn new(shape: &'a Shape, capacity: Capacity) -> Self {
        let books = Books::new(BooksMemory::new(capacity));
        Self { shape, random: Random(1), books, live: Vec::new(), reference: 0 }
    }
    fn price(&mut self, instrument: u32, side: u8) -> i64 {
        let ticks = (-(1.0 - self.random.unit()).ln() * self.shape.depth_ticks) as i64 + 1;
        let middle = 100_000 + i64::from(instrument % 997) * 1_000;
        middle + 100 * if side == SIDE_BUY { -ticks } else { ticks }
    }
    fn reference(&mut self) -> u64 {
        // Other symbols of the venue take references too.
        self.reference += 1 + self.random.next() % 3;
        self.reference
    }
    fn add(&mut self) -> BookEvent {
        let instrument = self.random.below(self.shape.instruments as usize) as u32;
        let side = if self.random.next() & 1 == 0 { SIDE_BUY } else { SIDE_SELL };
        let price = self.price(instrument, side);
        let order = self.reference();
        self.live.push(order);
        let quantity = 100 * (1 + self.random.below(5) as u32);
        BookEvent { order, instrument, side, price, quantity, ..BookEvent::new(EventKind::Add) }
    }
    /// An order that is still live, taken out of the list.
    fn victim(&mut self) -> Option<(u64, u32)> {
        while !self.live.is_empty() {
            let at = self.random.below(self.live.len());
            let reference = self.live.swap_remove(at);
            if let Some(order) = self.books.order(reference) {
                return Some((reference, order.instrument.0));
            }
        }
        None
    }
    fn event(&mut self) -> BookEvent {
        let total: u32 = self.shape.weights.iter().sum();
        let mut pick = self.random.below(total as usize) as u32;
        let mut choice = 0;
        while pick >= self.shape.weights[choice] {
            pick -= self.shape.weights[choice];
            choice += 1;
        }
        if self.books.order_count() < self.shape.live_orders * 99 / 100 {
            choice = 0;
        }
        let event = match choice {
            1 | 2 | 4 => self.victim().map(|(order, instrument)| match choice {
                1 => BookEvent { order, instrument, ..BookEvent::new(EventKind::Delete) },
                2 => {
                    let side = self.books.order(order).map_or(Side::Buy, |order| order.side) as u8;
                    let price = self.price(instrument, side);
                    let other = self.reference();
                    self.live.push(other);
                    BookEvent { order, other, instrument, price, quantity: 100, ..BookEvent::new(EventKind::Replace) }
                }
                _ => {
                    self.live.push(order);
                    BookEvent { order, instrument, quantity: 0, ..BookEvent::new(EventKind::Reduce) }
                }
            }),
            3 => {
                let instrument = self.random.below(self.shape.instruments as usize) as u32;
                let side = if self.random.next() & 1 == 0 { Side::Buy } else { Side::Sell };
                self.books.orders(InstrumentId(instrument), side).next().map(|first| {
                    let (order, quantity) = (first.reference, first.quantity.min(100));
                    BookEvent { order, instrument, quantity, ..BookEvent::new(EventKind::Execute) }
                })
            }
            5 => {
                let instrument = self.random.below(self.shape.instruments as usize) as u32;
                let (side, price, quantity) = (SIDE_SELL, 100_000, 100);
                Some(BookEvent { instrument, side, price, quantity, ..BookEvent::new(EventKind::Trade) })
            }
            _ => None,
        };
        let event = event.unwrap_or_else(|| self.add());
        self.books.apply(&event).expect("flow that fits the books");
        event
    }
}

/// Nanoseconds an event, the events in datagrams of 8 to 20.
#[inline(never)]
fn time(books: &mut Books, events: &[BookEvent], prefetch: bool) -> f64 {
    let mut sizes = Random(9);
    let mut tops = 0_u64;
    let mut rest = events;
    let start = Instant::now();
    while !rest.is_empty() {
        let (datagram, after) = rest.split_at((8 + sizes.below(13)).min(rest.len()));
        rest = after;
        if prefetch {
            books.prefetch(datagram);
        }
        for event in datagram {
            tops += u64::from(books.apply(event).expect("flow that fits the books").top_changed);
        }
    }
    let ns = start.elapsed().as_nanos() as f64 / events.len() as f64;
    assert!(tops > 0);
    ns
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1001);
    let chosen = |name| arguments.iter().all(|argument| argument.parse::<usize>().is_ok() || argument == name);
    for shape in SHAPES.iter().filter(|shape| chosen(shape.name)) {
        let orders = shape.live_orders + shape.live_orders / 8;
        let instruments = shape.instruments as usize;
        let capacity = Capacity { instruments, orders, levels: orders / 2 + 5_000 };
        let mut flow = Flow::new(shape, capacity);
        let mut books = Books::new(BooksMemory::new(capacity));
        for _ in 0..shape.live_orders {
            let event = flow.event();
            books.apply(&event).expect("flow that fits the books");
        }
        let segments: Vec<Vec<_>> = (0..2 * rounds).map(|_| (0..SEGMENT).map(|_| flow.event()).collect()).collect();
        let mut ns = [Vec::new(), Vec::new()];
        for (round, events) in segments.iter().enumerate() {
            // Interleaved, each way on a fresh stretch of the same flow. The events are in the cache, as after decoding.
            let warm: u64 = events.iter().map(|event| event.order).sum();
            std::hint::black_box(warm);
            ns[round % 2].push(time(&mut books, events, round % 2 == 0));
        }
        assert_eq!(books.state_hash(), flow.books.state_hash());
        let best = ns.each_ref().map(|ns| ns.iter().copied().fold(f64::MAX, f64::min));
        let [with, without] = ns.map(median);
        println!(
            "{}: {with:.1} ns an event with prefetch, {without:.1} without (medians of {rounds}; least {:.1} and {:.1}); {} orders, {} levels, {} MiB of tables",
            shape.name,
            best[0],
            best[1],
            books.order_count(),
            books.level_count(),
            capacity.bytes() >> 20,
        );
    }
}
