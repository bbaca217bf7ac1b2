//! Bounds of the price of single symbols, which hold whatever the reference of the collar is.

use super::{Ask, say};
use crate::book::{Books, BooksMemory, Capacity, Instruments, InstrumentsMemory};
use crate::input::Input;
use crate::pipeline::{Config, ConfigError, Pipeline, StrategyConfig};
use crate::risk::LimitId;
use crate::risk::{Reason, SymbolLimits};
use crate::session::TimeInForce;
use crate::strategy::Intent;
use crate::testing::{FakeFeed, FakeSession, Lines, Rig, Script, accepted, config, new, print, replaced, scripted};
use crate::units::{InstrumentId, OrderId, Price, Side, StrategyId, Symbol, TraderId};
use alloc::vec::Vec;
use tern_abi::command::{LimitsOutcome, SetBounds, SetLimits};
use tern_abi::record::{Kind, LimitsRecord, RefusalRecord};

const BOTH: [Side; 2] = [Side::Buy, Side::Sell];

fn symbol(price_min: Option<i64>, price_max: Option<i64>) -> SymbolLimits {
    let (price_min, price_max) = (price_min.map(Price), price_max.map(Price));
    SymbolLimits { price_min, price_max, ..SymbolLimits::new(Symbol::new("S1").expect("a symbol")) }
}

/// S1 has these bounds, S0 none; both traded at 10.0000, and the collar is 5 percent.
fn bench(price_min: Option<i64>, price_max: Option<i64>) -> (Rig<(Script,)>, Lines) {
    scripted(Config { symbols: Vec::from([symbol(price_min, price_max)]), ..config() }, 2)
}

/// Reason, bound and value of the last refusal.
fn refused(rig: &Rig<(Script,)>) -> Option<(u32, i64, i64)> {
    rig.rec.all::<RefusalRecord>(Kind::Refusal).last().map(|record| (record.reason, record.limit, record.value))
}

fn in_cross(side: Side, price: Price) -> Intent {
    Intent::New {
        instrument: InstrumentId(1),
        side,
        price,
        quantity: 100,
        min_quantity: 0,
        time_in_force: TimeInForce::OnClose,
        post_only: false,
    }
}

#[test]
fn a_symbols_bounds_of_the_price_hold_for_both_sides_and_their_ends_are_inside() {
    let band = Reason::PriceBand as u32;
    for side in BOTH {
        for (price, bound) in [(9_9000, None), (10_1000, None), (9_8999, Some(9_9000)), (10_1001, Some(10_1000))] {
            let (mut rig, lines) = bench(Some(9_9000), Some(10_1000));
            let sent = say(&mut rig, &lines, new(1, side, price, 10)).len();
            assert_eq!((sent, refused(&rig)), (usize::from(bound.is_none()), bound.map(|bound| (band, bound, price))));
            assert_eq!(rig.refused(Reason::PriceBand), u64::from(bound.is_some()));
            assert_eq!(say(&mut rig, &lines, new(0, side, price, 10)).len(), 1, "of S0 nothing is said");
        }
    }
}

#[test]
fn one_bound_alone_leaves_the_other_end_to_the_collar() {
    let (mut rig, lines) = bench(Some(9_9000), None);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 9_8999, 10)), []);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_5000, 10)).len(), 1);
    let (mut rig, lines) = bench(None, Some(10_1000));
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_1001, 10)), []);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 9_5000, 10)).len(), 1);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 9_4999, 10)), []);
    assert_eq!((rig.refused(Reason::PriceBand), rig.refused(Reason::Collar)), (1, 1));
    // A price that no order may have is refused as that.
    for price in [0, -1, 1_999_999_901, i64::MAX, i64::MIN] {
        assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, price, 10)), []);
        assert_eq!(refused(&rig), Some((Reason::Price as u32, 1_999_999_900, price)));
    }
}

#[test]
fn no_move_of_the_reference_opens_the_bounds() {
    let (mut rig, lines) = bench(None, Some(10_1000));
    for _ in 0..20 {
        rig.now = rig.now.plus(1_000_000_000);
        rig.feed(&[print(0, 12_0000), print(1, 12_0000)]);
    }
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 12_0000, 10)).len(), 1);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 12_0000, 10)), []);
    assert_eq!(rig.refused(Reason::PriceBand), 1);
}

#[test]
fn a_replace_stays_within_the_bounds() {
    let (mut rig, lines) = bench(Some(9_9000), Some(10_1000));
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 100)).len(), 1);
    rig.venue(accepted(1, 100, 10_0000));
    let to = |order, price, quantity| Intent::Replace { order: OrderId(order), price: Price(price), quantity };
    assert_eq!(say(&mut rig, &lines, to(1, 10_1001, 100)), []);
    assert_eq!(say(&mut rig, &lines, to(1, 9_8999, 1)), [], "not even a smaller one");
    assert_eq!(rig.refused(Reason::PriceBand), 2);
    assert_eq!(say(&mut rig, &lines, to(1, 10_1000, 100)).len(), 1);
    rig.venue(replaced(1, 2, 100, 10_1000));
    assert_eq!(say(&mut rig, &lines, Intent::Cancel { order: OrderId(2) }).len(), 1);
}

#[test]
fn in_a_cross_a_limit_lies_within_the_bounds_and_a_market_order_is_not_sent() {
    for side in BOTH {
        // The upper collar, at which both are valued, is 10.5000.
        let (mut rig, lines) = bench(Some(9_9000), Some(10_1000));
        assert_eq!(say(&mut rig, &lines, in_cross(side, Price(10_1001))), []);
        assert_eq!(refused(&rig), Some((Reason::PriceBand as u32, 10_1000, 10_1001)));
        assert_eq!(say(&mut rig, &lines, in_cross(side, Price(9_8999))), []);
        assert_eq!(say(&mut rig, &lines, in_cross(side, Price::MARKET)), []);
        assert_eq!(refused(&rig), Some((Reason::PriceBand as u32, 10_1000, Price::MARKET.0)));
        assert_eq!(say(&mut rig, &lines, in_cross(side, Price(10_1000))).len(), 1);
        assert_eq!(rig.pipeline.desk().gate().stake().gross(), 100 * 10_5000, "valued as without bounds");
        let (mut rig, lines) = bench(Some(9_9000), None);
        assert_eq!(say(&mut rig, &lines, in_cross(side, Price::MARKET)), []);
        let (mut rig, lines) = bench(None, None);
        assert_eq!(say(&mut rig, &lines, in_cross(side, Price::MARKET)).len(), 1);
    }
    // A limit at the very price that it is valued at.
    let (mut rig, lines) = bench(None, Some(10_4999));
    assert_eq!(say(&mut rig, &lines, in_cross(Side::Buy, Price(10_5000))), []);
    assert_eq!(rig.refused(Reason::PriceBand), 1);
}

#[test]
fn bounds_that_no_price_can_keep_are_refused_at_the_start() {
    let refused = |symbol: SymbolLimits| {
        let memory = Capacity { instruments: 1, orders: 8, levels: 8 };
        let parts = (FakeFeed::default(), FakeSession::default(), (Script::default(),));
        let strategies = [StrategyConfig { id: StrategyId(1), trader: TraderId(1) }];
        let (books, instruments) = (Books::new(BooksMemory::new(memory)), Instruments::new(InstrumentsMemory::new(1)));
        let config = Config { symbols: Vec::from([symbol]), ..config() };
        Pipeline::new(config, &strategies, parts, instruments, books).map(|_| ())
    };
    let wrong = |lowest, highest| {
        let (lowest, highest) = (Price(lowest), Price(highest));
        Err(ConfigError::PriceBand { symbol: symbol(None, None).symbol, lowest, highest })
    };
    assert_eq!(refused(symbol(Some(10_0000), Some(10_0000))), Ok(()));
    assert_eq!(refused(symbol(Some(10_0001), Some(10_0000))), wrong(10_0001, 10_0000));
    assert_eq!(refused(symbol(Some(0), None)), wrong(0, 1_999_999_900));
    assert_eq!(refused(symbol(None, Some(1_999_999_901))), wrong(1, 1_999_999_901));
}

/// All limits as they are, with these bounds of a symbol's price.
fn bounds(rig: &Rig<(Script,)>, name: &str, seen: [u32; 2], wanted: [u32; 2]) -> SetLimits {
    let limits = rig.pipeline.desk().gate().limits();
    let values: Vec<i64> = LimitId::ALL.iter().map(|id| limits.get(*id)).collect();
    let symbol = Symbol::new(name).expect("a symbol").0;
    let command = SetLimits::new(&values, (limits.epoch, limits.epoch + 1), 1000, "cents");
    SetLimits { bounds: SetBounds { symbol, seen, wanted }, ..command }
}

fn last_outcome(rig: &Rig<(Script,)>) -> (u32, u32) {
    let told: Vec<LimitsRecord> = rig.rec.all(Kind::Limits);
    told.last().map(|told| (told.outcome, told.epoch)).expect("an outcome")
}

#[test]
fn wrong_bounds_are_lifted_and_narrowed_by_command_and_hold_from_the_next_input_on() {
    let (mut rig, lines) = bench(Some(900), Some(1010));
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 10)), [], "they are in another unit");
    rig.input(Input::SetLimits(&bounds(&rig, "S1", [900, 1010], [9_9000, 10_1000])));
    assert_eq!(last_outcome(&rig), (LimitsOutcome::Set as u32, 1));
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_1000, 10)).len(), 1);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_1001, 10)), []);
    rig.input(Input::SetLimits(&bounds(&rig, "S1", [9_9000, 10_1000], [9_9000, 10_0500])));
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0501, 10)), []);
    assert_eq!(refused(&rig), Some((Reason::PriceBand as u32, 10_0500, 10_0501)));
    // Off, and on again: who gave them once may be given others.
    let highest = 1_999_999_900;
    rig.input(Input::SetLimits(&bounds(&rig, "S1", [9_9000, 10_0500], [1, highest])));
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0501, 10)).len(), 1);
    rig.input(Input::SetLimits(&bounds(&rig, "S1", [1, highest], [9_9000, 10_0000])));
    assert_eq!((last_outcome(&rig).1, rig.pipeline.desk().gate().limits().epoch), (4, 4));
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0001, 10)), []);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 10_0501, 10)).len(), 1, "of S0 nothing was said");
    // Other limits leave the bounds alone.
    let limits = bounds(&rig, "S1", [0; 2], [0; 2]);
    rig.input(Input::SetLimits(&SetLimits { bounds: SetBounds::default(), ..limits }));
    assert_eq!(last_outcome(&rig), (LimitsOutcome::Set as u32, 5));
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0001, 11)), []);
}

#[test]
fn bounds_that_were_not_seen_or_are_none_or_were_never_given_change_nothing() {
    let (mut rig, _) = bench(Some(9_9000), Some(10_1000));
    let seen = [9_9000, 10_1000];
    for (name, seen, wanted, outcome) in [
        ("S1", [9_9000, 10_1001], [9_0000, 10_0000], LimitsOutcome::Stale),
        ("S1", [1, 1_999_999_900], [9_0000, 10_0000], LimitsOutcome::Stale),
        ("S1", seen, [0, 10_0000], LimitsOutcome::Range),
        ("S1", seen, [10_0001, 10_0000], LimitsOutcome::Range),
        ("S1", seen, [1, 1_999_999_901], LimitsOutcome::Range),
        ("S1", seen, [u32::MAX; 2], LimitsOutcome::Range),
        ("S0", [1, 1_999_999_900], [9_0000, 10_0000], LimitsOutcome::Range),
        ("NONE", seen, [9_0000, 10_0000], LimitsOutcome::Range),
    ] {
        rig.input(Input::SetLimits(&bounds(&rig, name, seen, wanted)));
        assert_eq!(last_outcome(&rig), (outcome as u32, 0), "{name} {seen:?} {wanted:?}");
    }
    let refused = SetLimits { refused: LimitsOutcome::Role as u32, ..bounds(&rig, "S1", seen, [1, 20_0000]) };
    rig.input(Input::SetLimits(&refused));
    assert_eq!(last_outcome(&rig), (LimitsOutcome::Role as u32, 0));
    let gate = rig.pipeline.desk().gate();
    assert_eq!(gate.price_bounds(Symbol::new("S1").expect("a symbol")), Some((Price(9_9000), Price(10_1000))));
    assert_eq!(gate.price_bounds(Symbol::new("S0").expect("a symbol")), None);
}
