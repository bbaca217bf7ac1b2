//! The books against a slow, obviously right model, over random events of which many make no sense.

mod book_model;

use book_model::Model;
use proptest::prelude::*;
use tern_abi::event::{BookEvent, EventKind, SIDE_BUY, SIDE_SELL, flags};
use tern_core::book::{Books, BooksMemory, Capacity, Top};
use tern_core::units::{InstrumentId, Side};

const INSTRUMENTS: u32 = 3;

fn books() -> Books {
    let capacity = Capacity { instruments: INSTRUMENTS as usize, orders: 4000, levels: 4000 };
    Books::new(BooksMemory::new(capacity)).prefetching()
}

fn kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        12 => Just(EventKind::Add),
        4 => Just(EventKind::Delete),
        4 => Just(EventKind::Replace),
        4 => Just(EventKind::Execute),
        2 => Just(EventKind::ExecuteAtPrice),
        3 => Just(EventKind::Reduce),
        1 => Just(EventKind::Trade),
        1 => Just(EventKind::Cross),
        1 => Just(EventKind::TradingState),
        1 => Just(EventKind::Other),
    ]
}

/// Mostly sensible prices over `spread` ticks, some impossible.
fn price(spread: i64) -> impl Strategy<Value = i64> {
    prop_oneof![
        40 => (0..spread).prop_map(|tick| 1_000_000 + tick * 100),
        1 => prop_oneof![Just(0), Just(i64::from(u32::MAX)), Just(i64::from(u32::MAX) + 1), Just(-1), any::<i64>()],
    ]
}

fn quantity() -> impl Strategy<Value = u32> {
    prop_oneof![20 => 1_u32..300, 1 => Just(0), 1 => any::<u32>()]
}

prop_compose! {
    /// References from a small range, so that events meet live orders, dead ones and unborn ones.
    fn event(references: u64, spread: i64)(
        kind in kind(),
        order in 0..references,
        other in 0..references,
        price in price(spread),
        quantity in quantity(),
        instrument in prop_oneof![30 => Just(None), 2 => (0..=INSTRUMENTS).prop_map(Some), 1 => Just(Some(u32::MAX))],
        side in prop_oneof![20 => Just(SIDE_BUY), 20 => Just(SIDE_SELL), 1 => any::<u8>()],
        flags in prop_oneof![9 => Just(0), 1 => Just(flags::NON_PRINTABLE)],
        code in any::<u8>(),
    ) -> BookEvent {
        // Most events name an order of their own instrument, as a venue's do.
        let of_order = (order % u64::from(INSTRUMENTS)) as u32;
        let other = other - other % u64::from(INSTRUMENTS) + u64::from(of_order);
        let instrument = instrument.unwrap_or(of_order);
        BookEvent { order, other, price, instrument, quantity, side, flags, code, ..BookEvent::new(kind) }
    }
}

fn tops(books: &Books) -> Vec<Top> {
    (0..INSTRUMENTS).map(|id| books.top(InstrumentId(id))).collect()
}

/// Applies in batches as the pipeline does, comparing each outcome.
fn run(events: &[BookEvent], batch: usize, check_every: usize) {
    let (mut books, mut model) = (books(), Model::new(INSTRUMENTS));
    for (number, batch) in events.chunks(batch).enumerate() {
        books.prefetch(batch);
        for event in batch {
            let before = tops(&books);
            let outcome = books.apply(event);
            assert_eq!(outcome.map(drop), model.apply(event), "{event:?}");
            if let Ok(change) = outcome {
                let changed: Vec<_> =
                    (0..INSTRUMENTS).filter(|id| before[*id as usize] != tops(&books)[*id as usize]).collect();
                if let Some(id) = changed.first() {
                    assert!(change.top_changed, "{event:?} changed the top unannounced");
                    assert_eq!((changed.len(), change.instrument), (1, InstrumentId(*id)));
                    let other = change.side.expect("a change of orders has a side").opposite();
                    let now = books.best(InstrumentId(*id), other);
                    let then = before[*id as usize];
                    assert_eq!(now, if other == Side::Buy { then.bid } else { then.ask });
                }
            }
        }
        if number % check_every == 0 {
            model.assert_same(&books);
        }
    }
    model.assert_same(&books);
    // Emptied order by order, the books are as good as new.
    for (reference, (instrument, ..)) in &model.orders {
        let delete = BookEvent { order: *reference, instrument: *instrument, ..BookEvent::new(EventKind::Delete) };
        books.apply(&delete).unwrap();
    }
    assert_eq!((books.order_count(), books.level_count()), (0, 0));
    assert!(tops(&books).iter().all(|top| *top == Top::default()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn few_prices_long_queues(events in prop::collection::vec(event(120, 6), 1..600), batch in 1_usize..20) {
        run(&events, batch, 4);
    }

    #[test]
    fn many_prices_short_queues(events in prop::collection::vec(event(1500, 900), 1..2500), batch in 1_usize..20) {
        run(&events, batch, 40);
    }

    #[test]
    fn equal_books_have_equal_hashes(events in prop::collection::vec(event(80, 20), 1..300), extra in event(80, 20)) {
        let (mut one, mut two) = (books(), books());
        // The second takes a detour, so that its entries lie elsewhere.
        for order in 1_000_000..1_000_100 {
            let detour = BookEvent { order, price: 5, quantity: 1, side: SIDE_BUY, instrument: 0, ..BookEvent::new(EventKind::Add) };
            two.apply(&detour).unwrap();
        }
        for order in 1_000_000..1_000_100 {
            two.apply(&BookEvent { order, instrument: 0, ..BookEvent::new(EventKind::Delete) }).unwrap();
        }
        for event in &events {
            prop_assert_eq!(one.apply(event), two.apply(event));
        }
        prop_assert_eq!(one.state_hash(), two.state_hash());
        let (before, count, volumes) = (one.state_hash(), one.order_count(), one.status(InstrumentId(0)).volume);
        if extra.kind == EventKind::Add && one.apply(&extra).is_ok() {
            prop_assert_eq!((one.order_count(), one.status(InstrumentId(0)).volume), (count + 1, volumes));
            prop_assert_ne!(one.state_hash(), before);
        }
    }
}

/// A deep side: thousands of levels, so that ladders grow to three levels and shrink again.
#[test]
fn thousands_of_levels_come_and_go() {
    let (mut books, mut model) = (books(), Model::new(INSTRUMENTS));
    let mut state = 7_u64;
    for round in 0..6 {
        for order in 0..3500_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let price = match round % 3 {
                0 => (state >> 40) as i64,
                1 => order as i64,
                _ => 1_000_000 - order as i64,
            };
            let side = if round % 2 == 0 { SIDE_BUY } else { SIDE_SELL };
            let event = BookEvent { order, price, quantity: 1, side, instrument: 1, ..BookEvent::new(EventKind::Add) };
            assert_eq!(books.apply(&event).map(drop), model.apply(&event));
        }
        assert_eq!(books.order_count(), 3500);
        model.assert_same(&books);
        for order in 0..3500_u64 {
            let order = if round % 2 == 0 { order } else { (order * 1999) % 3500 };
            let event = BookEvent { order, instrument: 1, ..BookEvent::new(EventKind::Delete) };
            assert_eq!(books.apply(&event).map(drop), model.apply(&event));
            if order % 500 == 0 {
                model.assert_same(&books);
            }
        }
        assert_eq!((books.order_count(), books.level_count()), (0, 0));
    }
}
