//! The generated day: its mix, its validity for a receiver that insists, its bytes for a seed.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tern_sim::generate::{Config, Generator, PEAK_MESSAGES, PEAK_NS, Shape};
use tern_venues::itch_ouch::wire::itch::{Message, length_of};

fn day(config: Config) -> Generator {
    Generator::new(config).expect("enough messages")
}

/// Percent of each type in the steady part, and in all.
fn mix(shape: Shape, messages: u64) -> BTreeMap<char, f64> {
    let mut config = Config::day(shape, messages, 11);
    config.halts = 0;
    let mut generator = day(config);
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    let mut steady = 0;
    let mut crosses = 0;
    let symbols = u64::from(shape.symbols());
    while let Some(message) = generator.next_message() {
        match message[0] {
            b'Q' => crosses += 1,
            // After the opening crosses, before the closing imbalances.
            kind if crosses == symbols && !(kind == b'I' && message[48] == b'C') && kind != b'S' => {
                *counts.entry(kind as char).or_default() += 1;
                steady += 1;
            }
            _ => {}
        }
    }
    counts.into_iter().map(|(kind, count)| (kind, count as f64 * 100.0 / f64::from(steady as u32))).collect()
}

fn assert_mix(measured: &BTreeMap<char, f64>, expected: &[(char, f64)], tolerance: f64) {
    for &(kind, percent) in expected {
        let is = measured.get(&kind).copied().unwrap_or(0.0);
        assert!((is - percent).abs() < tolerance, "{kind}: {is:.2} instead of {percent} percent; {measured:?}");
    }
    let others: f64 = measured.iter().filter(|(kind, _)| !expected.iter().any(|e| e.0 == **kind)).map(|(_, p)| p).sum();
    assert!(others < 0.3, "{measured:?}");
}

#[test]
fn small_days_have_the_small_mix() {
    let expected = [('A', 40.4), ('D', 38.0), ('U', 9.0), ('E', 7.9), ('X', 3.0), ('F', 1.0), ('P', 0.7)];
    assert_mix(&mix(Shape::Small, 600_000), &expected, 0.35);
}

#[test]
fn real_days_have_the_mix_of_a_real_day() {
    let expected =
        [('A', 34.6), ('D', 33.5), ('U', 26.3), ('E', 1.9), ('X', 1.5), ('P', 0.84), ('I', 0.71), ('F', 0.49)];
    assert_mix(&mix(Shape::RealDay, 900_000), &expected, 0.35);
}

#[derive(Clone, Copy)]
struct Order {
    locate: u16,
    side: u8,
    price: u32,
    shares: u32,
}

/// A receiver that insists on everything.
#[derive(Default)]
struct Receiver {
    orders: HashMap<u64, Order>,
    books: HashMap<(u16, u8), BTreeMap<u32, VecDeque<u64>>>,
    halted: std::collections::HashSet<u16>,
    now_ns: u64,
    symbols_executed: std::collections::HashSet<u16>,
    partial_fills: u64,
}

impl Receiver {
    fn add(&mut self, reference: u64, order: Order) {
        assert!(order.shares > 0 && order.price >= 10_000 && order.price.is_multiple_of(100));
        assert!(self.orders.insert(reference, order).is_none(), "reference {reference} is used twice");
        self.books.entry((order.locate, order.side)).or_default().entry(order.price).or_default().push_back(reference);
        let best = |side| self.books.get(&(order.locate, side)).cloned().unwrap_or_default();
        if let (Some((bid, _)), Some((ask, _))) = (best(b'B').last_key_value(), best(b'S').first_key_value()) {
            assert!(bid < ask, "crossed: {bid} {ask}");
        }
    }

    fn remove(&mut self, reference: u64) -> Order {
        let order = self.orders.remove(&reference).expect("the reference resolves");
        let book = self.books.get_mut(&(order.locate, order.side)).expect("a book");
        let queue = book.get_mut(&order.price).expect("a level");
        queue.retain(|&other| other != reference);
        if queue.is_empty() {
            book.remove(&order.price);
        }
        order
    }

    fn reduce(&mut self, reference: u64, shares: u32) {
        let order = self.orders.get_mut(&reference).expect("the reference resolves");
        assert!(shares > 0 && shares <= order.shares);
        order.shares -= shares;
        if order.shares == 0 {
            self.remove(reference);
        }
    }

    fn execute(&mut self, reference: u64, shares: u32) {
        let order = self.orders[&reference];
        let book = &self.books[&(order.locate, order.side)];
        let best = if order.side == b'B' { book.last_key_value() } else { book.first_key_value() };
        let (&price, queue) = best.expect("a level");
        assert_eq!((price, queue.front()), (order.price, Some(&reference)), "executions hit the front of the queue");
        self.partial_fills += u64::from(shares < order.shares);
        self.symbols_executed.insert(order.locate);
        self.reduce(reference, shares);
    }

    fn take(&mut self, bytes: &[u8]) {
        assert_eq!(Some(bytes.len()), length_of(bytes[0]));
        let message = Message::decode(bytes).expect("valid");
        let head = message.header();
        assert!(head.timestamp.get() >= self.now_ns, "time runs backwards");
        self.now_ns = head.timestamp.get();
        let locate = head.stock_locate.get();
        if b"AFEXDU".contains(&bytes[0]) {
            assert!(!self.halted.contains(&locate), "a halted symbol is quiet");
        }
        match message {
            Message::AddOrder(m) => self.add(
                m.order_reference_number.get(),
                Order { locate, side: m.buy_sell_indicator, price: m.price.get(), shares: m.shares.get() },
            ),
            Message::AddOrderMpid(m) => self.add(
                m.order_reference_number.get(),
                Order { locate, side: m.buy_sell_indicator, price: m.price.get(), shares: m.shares.get() },
            ),
            Message::OrderExecuted(m) => self.execute(m.order_reference_number.get(), m.executed_shares.get()),
            Message::OrderExecutedWithPrice(m) => {
                self.execute(m.order_reference_number.get(), m.executed_shares.get());
            }
            Message::OrderCancel(m) => self.reduce(m.order_reference_number.get(), m.cancelled_shares.get()),
            Message::OrderDelete(m) => {
                let order = self.remove(m.order_reference_number.get());
                assert_eq!(order.locate, locate);
            }
            Message::OrderReplace(m) => {
                let old = self.remove(m.original_order_reference_number.get());
                let new = Order { price: m.price.get(), shares: m.shares.get(), ..old };
                self.add(m.new_order_reference_number.get(), new);
            }
            Message::StockTradingAction(m) => {
                if m.trading_state == b'T' {
                    self.halted.remove(&locate);
                } else {
                    assert!(self.halted.insert(locate));
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_reference_resolves_books_stay_uncrossed_and_executions_hit_the_front() {
    for (shape, seed) in [(Shape::Small, 1), (Shape::Small, 2), (Shape::RealDay, 3)] {
        let mut config = Config::day(shape, 150_000, seed);
        config.symbols = Some(80);
        config.opening_orders = Some(4_000);
        let mut generator = day(config);
        let mut receiver = Receiver::default();
        let mut count = 0;
        while let Some(message) = generator.next_message() {
            receiver.take(message);
            count += 1;
        }
        assert_eq!(count, 150_000, "as many as asked for");
        assert_eq!(receiver.orders.len() as u32, generator.live_orders());
        assert!(receiver.halted.is_empty(), "every halt ends");
        assert!(receiver.symbols_executed.len() > 60, "{} symbols trade", receiver.symbols_executed.len());
        assert!(receiver.partial_fills > 100);
        assert!((3_500..6_000).contains(&generator.live_orders()), "{} live", generator.live_orders());
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes = |seed| {
        let mut generator = day(Config::day(Shape::Small, 30_000, seed));
        let mut all = Vec::new();
        while let Some(message) = generator.next_message() {
            all.extend_from_slice(message);
        }
        all
    };
    assert_eq!(bytes(5), bytes(5));
    assert_ne!(bytes(5), bytes(6));
}

#[test]
fn the_burst_has_the_published_peak_rate() {
    let mut generator = day(Config::day(Shape::Small, 300_000, 1));
    let mut window = VecDeque::new();
    let mut most = 0;
    let mut crosses = 0;
    while let Some(message) = generator.next_message() {
        let header = Message::decode(message).expect("valid").header().timestamp.get();
        crosses += u64::from(message[0] == b'Q');
        if crosses < 200 || message[0] == b'Q' {
            continue;
        }
        window.push_back(header);
        while window.front().is_some_and(|&first| header - first > PEAK_NS) {
            window.pop_front();
        }
        most = most.max(window.len() as u64);
    }
    assert!((PEAK_MESSAGES..PEAK_MESSAGES + 200).contains(&most), "{most}");
}

#[test]
fn busy_symbols_and_open_books_are_as_asked_for() {
    let mut config = Config::day(Shape::RealDay, 1_000_000, 4);
    config.opening_orders = Some(600_000);
    let mut generator = day(config);
    let mut by_symbol = vec![0_u32; 12_001];
    while let Some(message) = generator.next_message() {
        by_symbol[usize::from(u16::from_be_bytes([message[1], message[2]]))] += 1;
    }
    assert!(generator.live_orders_peak() >= 600_000);
    assert!(by_symbol[1..].iter().all(|&count| count > 0), "every symbol has messages");
    by_symbol.sort_unstable();
    let busiest: u32 = by_symbol.iter().rev().take(120).sum();
    let share = f64::from(busiest) / 1_000_000.0;
    assert!((0.2..0.7).contains(&share), "the busiest percent of symbols has {share:.2} of the messages");
}

#[test]
fn a_day_that_does_not_fit_is_refused() {
    let error = Generator::new(Config::day(Shape::RealDay, 50_000, 1)).err().expect("too few");
    assert!(error.to_string().contains("50000"), "{error}");
    assert!(error.need > 84_000);
}
