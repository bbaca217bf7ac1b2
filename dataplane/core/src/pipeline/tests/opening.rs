//! What is held when the day begins counts from the first input, and is what executions are added to.

use super::{Ask, Two, say};
use crate::book::{Books, BooksMemory, Capacity, Instruments, InstrumentsMemory};
use crate::opening::OpeningPosition;
use crate::pipeline::{Config, ConfigError, Pipeline, PipelineCounter, StrategyConfig};
use crate::reconcile::{Ledger, LedgerPosition};
use crate::risk::{HaltReason, Reason, StrategyStop};
use crate::session::{VenueEvent, VenueEventKind};
use crate::testing::{
    FakeFeed, FakeSession, Lines, Rig, STREAM, Script, accepted, config, executed, new, scripted, told,
};
use crate::units::{InstrumentId, Side, StrategyId, Symbol, TraderId};
use alloc::vec::Vec;
use tern_abi::record::{InstrumentTrustRecord, Kind};

fn held(strategy: u16, symbol: &str, shares: i64, price: i64) -> OpeningPosition {
    let symbol = Symbol::new(symbol).expect("short");
    OpeningPosition { strategy: StrategyId(strategy), symbol, shares, cost: shares * price }
}

fn opened(opening: &[OpeningPosition], change: impl FnOnce(&mut Config)) -> (Rig<(Script,)>, Lines) {
    let mut config = Config { opening: opening.to_vec(), ..config() };
    change(&mut config);
    scripted(config, 2)
}

#[test]
fn the_day_begins_with_them_and_without_profit() {
    let opening = Vec::from([held(1, "S1", 300, 10_0000), held(1, "ZZ", -50, 20_0000)]);
    let rig = Rig::bare(Config { opening, ..config() }, 2, (Script::default(),));
    let desk = rig.pipeline.desk();
    let at = |name: &str| desk.instruments().get(Symbol::new(name).expect("short")).expect("it is named");
    let position = desk.portfolio().position(0, at("S1"));
    assert_eq!((position.shares, position.cost, position.realized()), (300, 3000_0000, 0));
    assert_eq!(desk.gate().exposure(at("ZZ")).map(|exposure| exposure.position()), Some(-50));
    let stake = desk.gate().stake();
    assert_eq!((stake.gross(), stake.net(Side::Buy), stake.net(Side::Sell)), (4000_0000, 3000_0000, 1000_0000));
    assert_eq!((stake.profit(), stake.realized()), (0, 0));
    assert_eq!(desk.gate().owner_stake(0).map(|stake| stake.gross()), Some(4000_0000));
    assert_eq!(desk.portfolio().of(0).count(), 2, "both are listed although nothing traded");
}

#[test]
fn limits_refuse_from_the_first_input_because_of_them_and_closing_stays_possible() {
    let (mut rig, lines) = opened(&[held(1, "S0", 100, 10_0000)], |config| config.limits.position_max = 100);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 1)), []);
    assert_eq!(rig.refused(Reason::Position), 1);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Sell, 10_0000, 100)).len(), 1);
    // Of money too, and in a symbol that neither feed nor venue has spoken of.
    let (mut rig, lines) = opened(&[held(1, "ZZ", 100, 10_0000)], |config| config.limits.gross_max = 1000_0000);
    assert_eq!(say(&mut rig, &lines, new(1, Side::Buy, 10_0000, 1)), []);
    assert_eq!(rig.refused(Reason::Gross), 1);
}

#[test]
fn a_symbol_that_the_feed_has_not_named_yet_has_not_lost_its_trust() {
    let (mut rig, lines) = opened(&[held(1, "ZZ", 100, 10_0000)], |_| ());
    let desk = rig.pipeline.desk();
    let of = desk.instruments().get(Symbol::new("ZZ").expect("short")).expect("it is named");
    assert!(desk.books().stream_distrust(STREAM).is_none() && !desk.books().is_trusted(of));
    let told: Vec<InstrumentTrustRecord> = rig.rec.all(Kind::InstrumentTrust);
    assert_eq!((told.len(), rig.counted(PipelineCounter::InstrumentsDistrusted)), (0, 0));
    assert_eq!(say(&mut rig, &lines, new(of.0, Side::Sell, 10_0000, 1)), [], "and has none either");
}

#[test]
fn trades_go_on_from_them_and_a_broken_one_leaves_them_as_they_were() {
    let (mut rig, lines) = opened(&[held(1, "S0", 100, 9_0000)], |_| ());
    say(&mut rig, &lines, new(0, Side::Sell, 10_0000, 40));
    rig.venue(accepted(1, 40, 10_0000));
    rig.venue(executed(1, 40, 10_0000, 5));
    let at = InstrumentId(0);
    let position = rig.pipeline.desk().portfolio().position(0, at);
    assert_eq!((position.shares, position.cost, position.realized()), (60, 60 * 9_0000, 40 * 1_0000));
    assert_eq!(rig.pipeline.desk().gate().stake().realized(), 40 * 1_0000);
    rig.venue(VenueEvent { match_number: 5, ..told(VenueEventKind::Broken, 1, 0) });
    let position = rig.pipeline.desk().portfolio().position(0, at);
    assert_eq!((position.shares, position.cost, position.realized()), (100, 900_0000, 0));
    assert_eq!(rig.pipeline.desk().gate().exposure(at).map(|exposure| exposure.position()), Some(100));
    assert_eq!(rig.pipeline.desk().gate().stake().realized(), 0);
}

#[test]
fn what_several_strategies_hold_counts_at_the_dearest_and_a_loss_between_them_stops_at_once() {
    let opening = Vec::from([held(1, "S0", 100, 12_0000), held(2, "S0", -100, 10_0000)]);
    let with = |daily_loss_max, strategy_daily_loss_max| -> Rig<Two> {
        let mut config = Config { opening: opening.clone(), ..config() };
        config.limits.daily_loss_max = daily_loss_max;
        config.limits.strategy_daily_loss_max = strategy_daily_loss_max;
        let mut rig = Rig::bare(config, 2, (Script::default(), Script::default()));
        rig.connect();
        rig
    };
    let rig = with(1000_0000, 1000_0000);
    let gate = rig.pipeline.desk().gate();
    assert_eq!((gate.stake().gross(), gate.halt()), (1200_0000, None));
    // Worth 11 on average: each has lost 100 by what it is worth, the firm 200 whatever it is worth.
    assert_eq!((gate.stake().profit(), gate.owner_stake(0).map(|stake| stake.profit())), (-200_0000, Some(-100_0000)));
    assert_eq!(with(199_9999, 1000_0000).pipeline.desk().gate().halt(), Some(HaltReason::DailyLoss));
    let stopped = with(1000_0000, 99_9999);
    assert_eq!(stopped.pipeline.desk().gate().scopes().stopped_for(StrategyStop::Loss), 0b11);
}

#[test]
fn a_restart_agrees_with_a_journal_that_has_them_and_with_no_other() {
    let differs = |shares: Option<i64>| {
        let config = Config { opening: Vec::from([held(1, "ZZ", 300, 10_0000)]), ..config() };
        let mut rig = Rig::bare(config, 1, (Script::default(),));
        let symbol = Symbol::new("ZZ").expect("short");
        let known = |shares| LedgerPosition { strategy: StrategyId(1), symbol, shares };
        rig.pipeline.recover(Ledger { positions: shares.map(known).into_iter().collect(), ..Ledger::default() });
        rig.connect();
        rig.pipeline.desk().gate().halt()
    };
    assert_eq!(differs(Some(300)), None);
    assert_eq!(differs(Some(299)), Some(HaltReason::ReconcileMismatch));
    assert_eq!(differs(None), Some(HaltReason::ReconcileMismatch));
}

#[test]
fn one_that_has_no_place_is_refused() {
    let refused = |opening: &[OpeningPosition]| {
        let config = Config { opening: opening.to_vec(), ..config() };
        let strategies = [StrategyConfig { id: StrategyId(1), trader: TraderId(1) }];
        let books = Books::new(BooksMemory::new(Capacity { instruments: 4, orders: 16, levels: 16 }));
        let instruments = Instruments::new(InstrumentsMemory::new(4));
        let parts = (FakeFeed::default(), FakeSession::default(), (Script::default(),));
        Pipeline::new(config, &strategies, parts, instruments, books).map(|_| ()).expect_err("refused")
    };
    let one = held(1, "S0", 1, 1);
    let wrong = |one: &OpeningPosition| ConfigError::Opening { strategy: one.strategy, symbol: one.symbol };
    for bad in [held(9, "S0", 1, 1), held(1, "S0", 0, 1), OpeningPosition { cost: -1, ..one }] {
        assert_eq!(refused(&[bad]), wrong(&bad));
    }
    assert_eq!(refused(&[one, one]), wrong(&one));
    let many: Vec<OpeningPosition> = (0..5).map(|n| held(1, &alloc::format!("A{n}"), 1, 1)).collect();
    assert!(matches!(refused(&many), ConfigError::Opening { .. }), "more symbols than there is room for");
}
