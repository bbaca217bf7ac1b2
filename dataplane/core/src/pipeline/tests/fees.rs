//! What the venue charges is in positions, profit and limits of loss.

use super::say;
use crate::fees::Fees;
use crate::pipeline::Config;
use crate::risk::{HaltReason, LimitId};
use crate::session::{VenueEvent, VenueEventKind};
use crate::testing::{Lines, Rig, Script, accepted, config, executed, new, scripted, told};
use crate::units::{InstrumentId, Side};
use tern_abi::record::{Kind, PositionRecord};

/// 0.0030 a share taken, 0.0020 back for a share added.
fn bench() -> (Rig<(Script,)>, Lines) {
    scripted(Config { fees: Fees::new([(b'R', 3000), (b'A', -2000)]), ..config() }, 1)
}

fn trade(rig: &mut Rig<(Script,)>, lines: &Lines, order: u32, side: Side, shares: u32, flag: u8) {
    say(rig, lines, new(0, side, 10_0000, shares));
    rig.venue(accepted(order, shares, 10_0000));
    rig.venue(VenueEvent { reason: flag, ..executed(order, shares, 10_0000, u64::from(order)) });
}

#[test]
fn fees_and_rebates_are_in_profit_by_strategy_symbol_and_firm() {
    let (mut rig, lines) = bench();
    trade(&mut rig, &lines, 1, Side::Buy, 100, b'R');
    trade(&mut rig, &lines, 2, Side::Sell, 50, b'A');
    let desk = rig.pipeline.desk();
    let held = desk.portfolio().position(0, InstrumentId(0));
    assert_eq!((held.shares, held.fees, held.realized()), (50, 3000 - 1000, -2000), "bought and sold at one price");
    assert_eq!(held.cash, -50 * 10_0000, "cash is what trades were paid with");
    assert_eq!(desk.gate().stake().profit(), -2000);
    let recorded = rig.rec.all::<PositionRecord>(Kind::Position).last().map(|record| (record.fees, record.realized));
    assert_eq!(recorded, Some((2000, -2000)));
}

#[test]
fn a_broken_trade_costs_nothing_and_one_that_is_said_twice_costs_once() {
    let (mut rig, lines) = bench();
    trade(&mut rig, &lines, 1, Side::Buy, 100, b'R');
    rig.venue(VenueEvent { reason: b'R', ..executed(1, 100, 10_0000, 1) });
    assert_eq!(rig.pipeline.desk().portfolio().position(0, InstrumentId(0)).fees, 3000);
    rig.venue(VenueEvent { match_number: 1, ..told(VenueEventKind::Broken, 1, 0) });
    let held = rig.pipeline.desk().portfolio().position(0, InstrumentId(0));
    assert_eq!((held.shares, held.fees, held.realized()), (0, 0, 0));
    assert_eq!(rig.pipeline.desk().gate().stake().profit(), 0);
}

#[test]
fn fees_alone_can_be_the_loss_that_stops_trading() {
    let halt = |max| {
        let (mut rig, lines) = bench();
        super::limit(&mut rig, LimitId::DailyLossMax, max);
        trade(&mut rig, &lines, 1, Side::Buy, 100, b'R');
        rig.pipeline.desk().gate().halt()
    };
    assert_eq!((halt(3000), halt(2999)), (None, Some(HaltReason::DailyLoss)));
}

#[test]
fn a_flag_that_the_table_does_not_name_costs_the_most() {
    let (mut rig, lines) = bench();
    trade(&mut rig, &lines, 1, Side::Buy, 100, b'?');
    assert_eq!(rig.pipeline.desk().portfolio().position(0, InstrumentId(0)).fees, 3000);
}
