//! The books at their limits: memory that runs out, numbers at the ends of their ranges, bytes that make no sense.

use proptest::prelude::*;
use tern_abi::event::{BookEvent, EventKind, SIDE_BUY, SIDE_SELL, flags};
use tern_core::book::{BookError, Books, BooksMemory, Capacity, Instruments, InstrumentsMemory, Level};
use tern_core::feed::Distrust;
use tern_core::units::{InstrumentId, Price, Side, StreamId, Symbol};
use zerocopy::TryFromBytes;

const SPY: InstrumentId = InstrumentId(0);

fn books(orders: usize, levels: usize) -> Books {
    Books::new(BooksMemory::new(Capacity { instruments: 2, orders, levels }))
}

fn add(order: u64, side: u8, price: i64, quantity: u32) -> BookEvent {
    BookEvent { order, side, price, quantity, instrument: 0, ..BookEvent::new(EventKind::Add) }
}

fn of(kind: EventKind, order: u64, quantity: u32) -> BookEvent {
    BookEvent { order, quantity, instrument: 0, ..BookEvent::new(kind) }
}

#[test]
fn a_whole_day_fits_into_700_mib() {
    let capacity = Capacity { instruments: 12_000, orders: 6_000_000, ..Capacity::default() };
    let mib = capacity.bytes() >> 20;
    println!("12,000 symbols, 6 million orders, {} levels: {mib} MiB", capacity.levels);
    assert!(mib < 700, "{mib} MiB");
    // The sum is what is really allocated.
    for capacity in [
        Capacity { instruments: 10, orders: 1000, levels: 300 },
        Capacity { instruments: 0, orders: 0, levels: 0 },
        Capacity { instruments: 1, orders: 1, levels: 1 },
    ] {
        assert_eq!(BooksMemory::new(capacity).bytes(), capacity.bytes());
    }
}

#[test]
fn too_many_orders_are_refused_and_change_nothing() {
    let mut books = books(100, 100);
    for order in 0..100 {
        books.apply(&add(order, SIDE_BUY, 10_000, 1)).unwrap();
    }
    let hash = books.state_hash();
    assert_eq!(books.apply(&add(100, SIDE_BUY, 10_000, 1)), Err(BookError::Overfull));
    assert_eq!(books.apply(&add(7, SIDE_BUY, 10_000, 1)), Err(BookError::DuplicateOrder));
    assert_eq!((books.state_hash(), books.order_count()), (hash, 100));
    assert_eq!(books.errors()[BookError::Overfull.index()], 1);
    // A replacement takes the place that it frees.
    books.apply(&BookEvent { other: 100, price: 9_900, ..of(EventKind::Replace, 3, 5) }).unwrap();
    assert_eq!(books.queue_ahead(4), Some((3, 3)));
    books.apply(&of(EventKind::Delete, 5, 0)).unwrap();
    books.apply(&add(101, SIDE_BUY, 10_000, 1)).unwrap();
    assert_eq!(books.queue_ahead(101), Some((98, 98)));
}

#[test]
fn too_many_levels_are_refused_and_change_nothing() {
    let mut books = books(1000, 50);
    for order in 0..50 {
        books.apply(&add(order, SIDE_SELL, order as i64 * 100, 1)).unwrap();
    }
    let hash = books.state_hash();
    assert_eq!(books.apply(&add(50, SIDE_SELL, 1, 1)), Err(BookError::Overfull));
    assert_eq!((books.state_hash(), books.level_count(), books.order_count()), (hash, 50, 50));
    books.apply(&add(50, SIDE_SELL, 100, 1)).unwrap();
    assert_eq!(books.queue_ahead(50), Some((1, 1)));
}

#[test]
fn no_memory_at_all_refuses_everything() {
    let mut books = Books::new(BooksMemory::new(Capacity { instruments: 0, orders: 0, levels: 0 }));
    let events = [add(1, SIDE_BUY, 1, 1), of(EventKind::Delete, 1, 0), of(EventKind::TradingState, 0, 0)];
    books.prefetch(&events);
    assert_eq!(books.apply(&events[0]), Err(BookError::BadInstrument));
    assert_eq!(books.apply(&events[1]), Err(BookError::UnknownOrder));
    assert_eq!(books.apply(&events[2]), Err(BookError::BadInstrument));
    assert!(!books.is_trusted(SPY));
    let mut books = Books::new(BooksMemory::new(Capacity { instruments: 1, orders: 0, levels: 0 }));
    assert_eq!(books.apply(&events[0]), Err(BookError::Overfull));
}

#[test]
fn numbers_at_the_ends_of_their_ranges() {
    let mut books = books(100, 100);
    let dearest = i64::from(u32::MAX);
    for (order, side, price) in [
        (0, SIDE_BUY, 0),
        (u64::MAX, SIDE_BUY, dearest),
        (1, SIDE_SELL, 0),
        (u64::MAX - 1, SIDE_SELL, dearest),
        (2, SIDE_BUY, dearest),
    ] {
        books.apply(&add(order, side, price, u32::MAX)).unwrap();
    }
    let twice = Level { price: Price(dearest), quantity: 2 * u64::from(u32::MAX), orders: 2 };
    let once = |price| Level { price: Price(price), quantity: u64::from(u32::MAX), orders: 1 };
    assert_eq!(books.depth(SPY, Side::Buy).collect::<Vec<_>>(), [twice, once(0)]);
    assert_eq!(books.depth(SPY, Side::Sell).collect::<Vec<_>>(), [once(0), once(dearest)]);
    for price in [-1, dearest + 1, i64::MIN, i64::MAX] {
        assert_eq!(books.apply(&add(9, SIDE_BUY, price, 1)), Err(BookError::BadField));
    }
    assert_eq!(books.apply(&add(9, SIDE_BUY, 1, 0)), Err(BookError::BadField));
    assert_eq!(books.apply(&add(9, 0, 1, 1)), Err(BookError::BadField));
    // Volume stops at the end of its range instead of wrapping.
    let print = BookEvent { price: 5, ..of(EventKind::Cross, 0, u32::MAX) };
    assert_eq!(books.apply(&print).unwrap().traded, Some((Price(5), u32::MAX)));
    assert_eq!(books.status(SPY).volume, u64::from(u32::MAX));
}

#[test]
fn taking_more_than_an_order_has_takes_it_out_and_is_an_error() {
    for kind in [EventKind::Execute, EventKind::ExecuteAtPrice, EventKind::Reduce] {
        let mut books = books(10, 10);
        books.apply(&add(1, SIDE_BUY, 100, 10)).unwrap();
        books.apply(&add(2, SIDE_BUY, 100, 10)).unwrap();
        assert_eq!(books.apply(&of(kind, 1, 11)), Err(BookError::OverReduced));
        assert_eq!((books.order(1), books.order_count(), books.status(SPY).volume), (None, 1, 0));
        assert_eq!(books.queue_ahead(2), Some((0, 0)));
        assert_eq!(books.apply(&of(kind, 2, 10)).map(|change| change.top_changed), Ok(true));
        assert_eq!(books.best(SPY, Side::Buy), None);
        assert_eq!(BookError::OverReduced.distrust(), Distrust::Contradiction);
    }
}

#[test]
fn prints_count_and_what_is_not_printable_does_not() {
    let mut books = books(10, 10);
    books.apply(&add(1, SIDE_SELL, 20_000, 500)).unwrap();
    let change = books.apply(&of(EventKind::Execute, 1, 100)).unwrap();
    assert_eq!((change.traded, change.side, change.top_changed), (Some((Price(20_000), 100)), Some(Side::Sell), true));
    let at_price = BookEvent { price: 19_000, ..of(EventKind::ExecuteAtPrice, 1, 100) };
    assert_eq!(books.apply(&at_price).unwrap().traded, Some((Price(19_000), 100)));
    let silent = BookEvent { flags: flags::NON_PRINTABLE, ..at_price };
    assert_eq!(books.apply(&silent).unwrap().traded, None);
    assert_eq!((books.status(SPY).volume, books.status(SPY).last_price), (200, Some(Price(19_000))));
    let refused = BookEvent { price: -1, ..at_price };
    assert_eq!(books.apply(&refused), Err(BookError::BadField));
    assert_eq!(books.order(1).unwrap().quantity, 200);
    books.apply(&BookEvent { code: b'H', ..of(EventKind::TradingState, 0, 0) }).unwrap();
    books.apply(&BookEvent { code: b'1', ..of(EventKind::ShortSale, 0, 0) }).unwrap();
    assert_eq!((books.status(SPY).trading_state, books.status(SPY).short_sale), (b'H', b'1'));
}

#[test]
fn trust_follows_the_stream_and_the_instrument() {
    let (mut books, other, stream) = (books(10, 10), InstrumentId(1), StreamId(3));
    assert_eq!(books.distrust(SPY), Some(Distrust::NeverStarted));
    books.set_stream_distrust(stream, None);
    assert!(!books.is_trusted(SPY), "not of the stream yet");
    books.assign(SPY, stream);
    books.assign(other, StreamId(4));
    assert_eq!((books.is_trusted(SPY), books.is_trusted(other)), (true, false));
    books.set_distrust(SPY, Some(Distrust::UnknownOrder));
    assert_eq!((books.is_trusted(SPY), books.distrust(SPY)), (false, Some(Distrust::UnknownOrder)));
    books.set_stream_distrust(stream, Some(Distrust::Gap));
    assert_eq!((books.distrust(SPY), books.stream_distrust(stream)), (Some(Distrust::Gap), Some(Distrust::Gap)));
    books.set_stream_distrust(stream, None);
    books.set_distrust(SPY, None);
    assert!(books.is_trusted(SPY));
    // Ids that do not exist are never trusted and harm nothing.
    for stream in [StreamId(256), StreamId(u16::MAX)] {
        books.set_stream_distrust(stream, None);
        books.assign(other, stream);
        assert!(!books.is_trusted(other));
    }
    assert!(!books.is_trusted(InstrumentId::NONE));
}

#[test]
fn clearing_takes_out_one_instrument_or_one_stream() {
    let mut books = books(100, 100);
    books.assign(SPY, StreamId(0));
    books.assign(InstrumentId(1), StreamId(1));
    books.set_stream_distrust(StreamId(0), None);
    let empty = books.state_hash();
    for order in 0..40 {
        let event = add(order, if order % 3 == 0 { SIDE_SELL } else { SIDE_BUY }, (order % 7) as i64, 5);
        books.apply(&BookEvent { instrument: (order % 2) as u32, ..event }).unwrap();
    }
    books.clear(SPY);
    assert_eq!(books.order_count(), 20);
    assert!(books.is_trusted(SPY));
    books.clear_stream(StreamId(1));
    assert_eq!((books.order_count(), books.level_count(), books.state_hash()), (0, 0, empty));
    books.clear(InstrumentId::NONE);
}

#[test]
fn symbols_get_dense_ids_in_order_until_the_directory_is_full() {
    let mut directory = Instruments::new(InstrumentsMemory::new(300));
    assert!(directory.is_empty());
    let symbol = |number: u32| Symbol::new(&format!("S{number}")).unwrap();
    for number in 0..300 {
        assert_eq!(directory.get(symbol(number)), None);
        assert_eq!(directory.intern(symbol(number)), Some(InstrumentId(number)));
        assert_eq!(directory.intern(symbol(number)), Some(InstrumentId(number)));
    }
    assert_eq!((directory.intern(symbol(300)), directory.len()), (None, 300));
    assert_eq!(
        (directory.get(symbol(17)), directory.symbol(InstrumentId(17))),
        (Some(InstrumentId(17)), Some(symbol(17)))
    );
    assert_eq!((directory.get(symbol(300)), directory.symbol(InstrumentId(300))), (None, None));
    assert!(directory.iter().eq((0..300).map(|number| (InstrumentId(number), symbol(number)))));
    assert_eq!(Instruments::new(InstrumentsMemory::new(0)).intern(symbol(1)), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever 48 bytes say: an outcome, never a panic, and the sums stay those of the orders. Few orders and levels, so
    /// that every limit is met; references and prices from a few bits, so that events meet.
    #[test]
    fn any_bytes_that_are_events_are_safe(
        raw in prop::collection::vec((any::<[u8; 48]>(), 1_u8..16, any::<u8>()), 1..400),
        narrow in any::<bool>(),
    ) {
        let capacity = Capacity { instruments: 20, orders: 24, levels: 12 };
        let mut books = Books::new(BooksMemory::new(capacity)).prefetching();
        let mut events = Vec::new();
        for (mut bytes, kind, small) in raw {
            bytes[40] = kind;
            if narrow {
                bytes[..32].fill(0);
                bytes[0] = small % 32;
                bytes[8] = small.wrapping_mul(7) % 32;
                bytes[16] = small % 5;
                bytes[32..40].fill(0);
                bytes[36] = small % 11;
                bytes[41] = 1 + small % 2;
            }
            if let Ok(event) = BookEvent::try_read_from_bytes(&bytes) {
                events.push(event);
            }
        }
        prop_assert!(!narrow || !events.is_empty());
        let mut failed = 0;
        for batch in events.chunks(40) {
            books.prefetch(batch);
            failed += batch.iter().filter(|event| books.apply(event).is_err()).count() as u64;
        }
        let counted: u64 = books.errors().iter().sum();
        prop_assert_eq!(failed, counted);
        let (mut orders, mut levels) = (0, 0);
        for instrument in (0..capacity.instruments as u32).map(InstrumentId) {
            for side in [Side::Buy, Side::Sell] {
                let depth: Vec<_> = books.depth(instrument, side).collect();
                prop_assert_eq!(books.best(instrument, side), depth.first().copied());
                let shares: u64 = books.orders(instrument, side).map(|order| u64::from(order.quantity)).sum();
                prop_assert_eq!(shares, depth.iter().map(|level| level.quantity).sum::<u64>());
                orders += books.orders(instrument, side).count();
                levels += depth.len();
            }
        }
        prop_assert_eq!((orders, levels), (books.order_count(), books.level_count()));
    }
}
