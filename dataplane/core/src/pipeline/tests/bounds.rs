//! Limits of single strategies and single symbols.

use super::{Ask, Two, limit, say, two};
use crate::book::{Books, BooksMemory, Capacity, Instruments, InstrumentsMemory};
use crate::input::ConnEvent;
use crate::pipeline::{Config, ConfigError, Pipeline, StrategyConfig};
use crate::risk::{LimitId, Reason, SymbolLimits};
use crate::session::VenueEvent;
use crate::strategy::Intent;
use crate::testing::{
    FakeFeed, FakeSession, Lines, Rig, Script, accepted, config, executed, new, print, scripted, trading,
};
use crate::units::{OrderId, Price, Side, StrategyId, Symbol, TraderId};
use alloc::vec::Vec;

fn symbol(name: &str) -> Symbol {
    Symbol::new(name).expect("a symbol")
}

const BUY: fn(u32, u32) -> Intent = |instrument, quantity| new(instrument, Side::Buy, 10_0000, quantity);
const SELL: fn(u32, u32) -> Intent = |instrument, quantity| new(instrument, Side::Sell, 10_0000, quantity);

fn fill(rig: &mut Rig<Two>, order: u32, quantity: u32) {
    rig.venue(accepted(order, quantity, 10_0000));
    rig.venue(executed(order, quantity, 10_0000, u64::from(order)));
}

#[test]
fn a_strategy_has_a_limit_of_its_own_with_its_open_orders_filled() {
    let (mut rig, lines) = two();
    limit(&mut rig, LimitId::StrategyPositionMax, 100);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 101)), []);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 60)).len(), 1);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 41)), []);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 40)).len(), 1);
    assert_eq!(rig.refused(Reason::StrategyPosition), 2);
    // The other strategy has its own, whatever the first has, and each instrument for itself.
    assert_eq!(say(&mut rig, &lines[1], BUY(0, 101)), []);
    assert_eq!(say(&mut rig, &lines[1], BUY(0, 100)).len(), 1);
    assert_eq!(say(&mut rig, &lines[0], BUY(1, 100)).len(), 1);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)), [], "as before, now that there are two");
    assert_eq!(rig.refused(Reason::StrategyPosition), 4);
}

#[test]
fn what_another_strategy_holds_against_it_does_not_widen_a_strategys_limit() {
    let (mut rig, lines) = two();
    assert_eq!(say(&mut rig, &lines[1], SELL(0, 500)).len(), 1);
    fill(&mut rig, 1, 500);
    limit(&mut rig, LimitId::StrategyPositionMax, 100);
    // The firm would be short 399: the strategy would be long 101.
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 101)), []);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 100)).len(), 1);
    fill(&mut rig, 2, 100);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 1)), []);
    assert_eq!(rig.refused(Reason::StrategyPosition), 2);
    // Whoever is beyond a limit that was set later may get out, and no further in.
    assert_eq!(say(&mut rig, &lines[1], SELL(0, 1)), []);
    assert_eq!(say(&mut rig, &lines[1], BUY(0, 500)).len(), 1);
    fill(&mut rig, 3, 500);
    assert_eq!(say(&mut rig, &lines[0], SELL(0, 100)).len(), 1);
}

#[test]
fn a_replace_counts_for_its_strategy() {
    let (mut rig, lines) = two();
    limit(&mut rig, LimitId::StrategyPositionMax, 100);
    assert_eq!(say(&mut rig, &lines[0], BUY(0, 90)).len(), 1);
    rig.venue(accepted(1, 90, 10_0000));
    let to = |quantity| Intent::Replace { order: OrderId(1), price: Price(10_0000), quantity };
    assert_eq!(say(&mut rig, &lines[0], to(101)), []);
    assert_eq!(rig.refused(Reason::StrategyPosition), 1);
    assert_eq!(say(&mut rig, &lines[0], to(100)).len(), 1);
}

/// S1 has limits of its own, beyond those of all in shares, below them in money.
fn of_symbol() -> (Rig<(Script,)>, Lines) {
    let mut config = config();
    config.limits.position_max = 200;
    config.limits.order_quantity_max = 100;
    config.symbols = Vec::from([
        SymbolLimits::new(symbol("NEVER")),
        SymbolLimits {
            position_max: Some(600),
            order_quantity_max: Some(300),
            order_notional_max: Some(25_000_000),
            ..SymbolLimits::new(symbol("S1"))
        },
    ]);
    scripted(config, 2)
}

#[test]
fn a_symbol_has_limits_of_its_own_in_place_of_those_of_all() {
    let (mut rig, lines) = of_symbol();
    assert_eq!(say(&mut rig, &lines, BUY(0, 101)), []);
    assert_eq!(say(&mut rig, &lines, BUY(1, 301)), []);
    assert_eq!(rig.refused(Reason::Quantity), 2);
    assert_eq!(say(&mut rig, &lines, BUY(1, 251)), []);
    assert_eq!(rig.refused(Reason::Notional), 1);
    assert_eq!(say(&mut rig, &lines, BUY(1, 250)).len(), 1);
    assert_eq!(say(&mut rig, &lines, BUY(1, 249)).len(), 1);
    assert_eq!(say(&mut rig, &lines, BUY(1, 102)), []);
    assert_eq!(rig.refused(Reason::Position), 1);
    assert_eq!(say(&mut rig, &lines, BUY(1, 101)).len(), 1);
    for quantity in [99, 100] {
        assert_eq!(say(&mut rig, &lines, BUY(0, quantity)).len(), 1);
    }
    assert_eq!(say(&mut rig, &lines, BUY(0, 2)), []);
    assert_eq!(rig.refused(Reason::Position), 2);
}

#[test]
fn a_limit_that_an_operator_sets_is_a_ceiling_for_every_symbol() {
    let (mut rig, lines) = of_symbol();
    limit(&mut rig, LimitId::OrderQuantityMax, 80);
    assert_eq!(say(&mut rig, &lines, BUY(1, 81)), []);
    assert_eq!(say(&mut rig, &lines, BUY(1, 80)).len(), 1);
    limit(&mut rig, LimitId::OrderQuantityMax, 1000);
    assert_eq!(say(&mut rig, &lines, BUY(1, 301)), [], "its own again");
    assert_eq!(rig.refused(Reason::Quantity), 2);
    limit(&mut rig, LimitId::PositionMax, 280);
    assert_eq!(say(&mut rig, &lines, BUY(1, 201)), []);
    assert_eq!(say(&mut rig, &lines, BUY(1, 200)).len(), 1);
    assert_eq!(rig.refused(Reason::Position), 1);
}

#[test]
fn a_symbol_that_the_venues_log_names_before_the_feed_has_its_limits() {
    let own = SymbolLimits { position_max: Some(10), ..SymbolLimits::new(symbol("S0")) };
    let script = Script::default();
    let lines = script.lines.clone();
    let mut rig = Rig::bare(Config { symbols: Vec::from([own]), ..config() }, 1, (script,));
    rig.conn(ConnEvent::Up);
    rig.venue(VenueEvent {
        symbol: Symbol::new("S0"),
        side: Some(Side::Sell),
        strategy: Some(StrategyId(1)),
        ..accepted(1, 10, 10_0000)
    });
    rig.feed(&[trading(0), print(0, 10_0000)]);
    rig.connect();
    rig.sent();
    assert_eq!(say(&mut rig, &lines, BUY(0, 11)), []);
    assert_eq!(rig.refused(Reason::Position), 1);
}

#[test]
fn limits_of_symbols_that_make_no_sense_are_refused() {
    let refused = |symbols: Vec<SymbolLimits>| {
        let memory = Capacity { instruments: 1, orders: 8, levels: 8 };
        let parts = (FakeFeed::default(), FakeSession::default(), (Script::default(),));
        let strategies = [StrategyConfig { id: StrategyId(1), trader: TraderId(1) }];
        let books = Books::new(BooksMemory::new(memory));
        let instruments = Instruments::new(InstrumentsMemory::new(1));
        Pipeline::new(Config { symbols, ..config() }, &strategies, parts, instruments, books).map(|_| ())
    };
    let one = SymbolLimits::new(symbol("S0"));
    assert_eq!(refused(Vec::from([one])), Ok(()));
    assert_eq!(refused(Vec::from([one, one])), Err(ConfigError::Symbol { symbol: one.symbol, limit: None }));
    let beyond = SymbolLimits { position_max: Some(-1), ..one };
    let limit = Some((LimitId::PositionMax, -1));
    assert_eq!(refused(Vec::from([beyond])), Err(ConfigError::Symbol { symbol: one.symbol, limit }));
}
