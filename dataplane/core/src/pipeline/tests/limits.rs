//! All limits at once: whole, between two inputs, in the journal before they are in force; or not at all.

use super::{Ask, say};
use crate::input::Input;
use crate::pipeline::PipelineCounter;
use crate::probe::NotIsolated;
use crate::risk::{HaltReason, LimitId, Reason};
use crate::session::OrderAction;
use crate::testing::{Rig, Script, accepted, config, executed, new, print, scripted};
use crate::units::{OrderId, Side};
use alloc::vec::Vec;
use tern_abi::command::{LimitsOutcome, SetLimits};
use tern_abi::record::{Kind, LimitsRecord, OrderRecord};

/// The limits in force with these changes, against `epoch_seen`.
fn changed(rig: &Rig<(Script,)>, changes: &[(LimitId, i64)], epoch_seen: u32) -> SetLimits {
    let now = rig.pipeline.desk().gate().limits();
    let value = |id: &LimitId| changes.iter().find(|(of, _)| of == id).map_or(now.get(*id), |(_, value)| *value);
    let values: Vec<i64> = LimitId::ALL.iter().map(value).collect();
    SetLimits::new(&values, (epoch_seen, epoch_seen + 1), 1000, "a test")
}

fn outcomes(rig: &Rig<(Script,)>) -> Vec<(u32, u32)> {
    let records: Vec<LimitsRecord> = rig.rec.all(Kind::Limits);
    records.iter().map(|record| (record.outcome, record.epoch)).collect()
}

#[test]
fn all_of_a_set_is_in_force_for_the_next_input_and_recorded_before() {
    let (mut rig, lines) = scripted(config(), 1);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100)).len(), 1);
    let command = changed(&rig, &[(LimitId::OrderQuantityMax, 50), (LimitId::PositionMax, 120)], 0);
    let seq = rig.rec.records.len() as u64 + 1;
    rig.input(Input::SetLimits(&command));
    let after = *rig.pipeline.desk().gate().limits();
    assert_eq!((after.order_quantity_max, after.position_max, after.epoch), (50, 120, 1));
    let kinds: Vec<Kind> = rig.rec.records.iter().skip(seq as usize - 1).map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::SetLimits, Kind::Limits]);
    let told: Vec<LimitsRecord> = rig.rec.all(Kind::Limits);
    assert_eq!(told, [LimitsRecord { cause_seq: seq, epoch: 1, outcome: LimitsOutcome::Set as u32 }]);
    let kept: Vec<SetLimits> = rig.rec.all(Kind::SetLimits);
    assert_eq!((kept.len(), kept[0].uid, kept[0].why()), (1, 1000, "a test"));

    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 9_9900, 51)).len(), 0, "the one limit");
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 9_9900, 21)).len(), 0, "and the other");
    assert_eq!((rig.refused(Reason::Quantity), rig.refused(Reason::Position)), (1, 1));
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 9_9900, 20)).len(), 1);
    let epochs: Vec<u32> = rig.rec.all(Kind::Order).iter().map(|order: &OrderRecord| order.limits_epoch).collect();
    assert_eq!(epochs, [0, 1]);
}

#[test]
fn what_is_refused_changes_nothing_and_says_why() {
    let (mut rig, _) = scripted(config(), 1);
    let before = *rig.pipeline.desk().gate().limits();
    let good = changed(&rig, &[(LimitId::PositionMax, 1)], 0);
    let range = changed(&rig, &[(LimitId::OrderQuantityMax, 1), (LimitId::PositionMax, -1)], 0);
    let role = SetLimits { refused: LimitsOutcome::Role as u32, ..good };
    let cases = [
        (range, LimitsOutcome::Range),
        (SetLimits { epoch_seen: 4, epoch: 5, ..good }, LimitsOutcome::Stale),
        (role, LimitsOutcome::Role),
        (SetLimits { epoch_seen: 4, epoch: 5, ..role }, LimitsOutcome::Role),
        (SetLimits { refused: 77, ..good }, LimitsOutcome::Unlike),
        (SetLimits { count: good.count - 1, ..good }, LimitsOutcome::Unlike),
        (SetLimits { count: u32::MAX, ..good }, LimitsOutcome::Unlike),
        (SetLimits { epoch: 0, ..good }, LimitsOutcome::Unlike),
    ];
    for (command, _) in &cases {
        rig.input(Input::SetLimits(command));
        assert_eq!(*rig.pipeline.desk().gate().limits(), before);
    }
    let expected: Vec<(u32, u32)> = cases.iter().map(|(_, outcome)| (*outcome as u32, 0)).collect();
    assert_eq!(outcomes(&rig), expected);
    assert_eq!(rig.counted(PipelineCounter::CommandsRefused), cases.len() as u64);
    rig.input(Input::SetLimits(&good));
    rig.input(Input::SetLimits(&good));
    assert_eq!(outcomes(&rig)[cases.len()..], [(LimitsOutcome::Set as u32, 1), (LimitsOutcome::Stale as u32, 1)]);
}

#[test]
fn limits_that_cannot_be_recorded_are_not_in_force() {
    let (mut rig, _) = scripted(config(), 1);
    let command = changed(&rig, &[(LimitId::PositionMax, 1)], 0);
    let before = *rig.pipeline.desk().gate().limits();
    rig.rec.full = true;
    rig.input_with(Input::SetLimits(&command), &mut NotIsolated).expect_err("no room");
    assert_eq!(*rig.pipeline.desk().gate().limits(), before);
    rig.rec.full = false;
    rig.input(Input::SetLimits(&command));
    assert_eq!(rig.pipeline.desk().gate().limits().position_max, 1);
}

#[test]
fn a_set_below_what_is_there_leaves_the_way_out() {
    for side in [Side::Buy, Side::Sell] {
        let (mut rig, lines) = scripted(config(), 1);
        assert_eq!(say(&mut rig, &lines, new(0, side, 10_0000, 100)).len(), 1);
        rig.venue(accepted(1, 100, 10_0000));
        rig.venue(executed(1, 100, 10_0000, 1));
        let command = changed(
            &rig,
            &[
                (LimitId::PositionMax, 1),
                (LimitId::GrossMax, 1),
                (LimitId::NetMax, 1),
                (LimitId::OrderQuantityMax, 60),
                (LimitId::OpenOrdersMax, 1),
            ],
            0,
        );
        rig.input(Input::SetLimits(&command));
        assert_eq!(rig.pipeline.desk().gate().halt(), None);
        assert_eq!(say(&mut rig, &lines, new(0, side, 9_9900, 1)).len(), 0, "{side:?}: nothing is added");
        assert_eq!(say(&mut rig, &lines, new(0, side.opposite(), 10_0000, 60)).len(), 1, "{side:?}: out it goes");
        rig.venue(accepted(2, 60, 10_0000));
        rig.venue(executed(2, 60, 10_0000, 2));
        assert_eq!(say(&mut rig, &lines, new(0, side.opposite(), 10_0000, 40)).len(), 1, "{side:?}: all of it");
    }
}

#[test]
fn a_limit_below_the_loss_of_now_stops_trading_at_once_and_takes_orders_back() {
    let (mut rig, lines) = scripted(config(), 1);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100)).len(), 1);
    rig.venue(accepted(1, 100, 10_0000));
    rig.venue(executed(1, 100, 10_0000, 1));
    rig.feed(&[print(0, 9_9000)]);
    let loss = -rig.pipeline.desk().gate().stake().profit();
    assert!(loss > 0, "the price fell");
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 9_8000, 100)).len(), 1);
    rig.venue(accepted(2, 100, 9_8000));
    let enough = changed(&rig, &[(LimitId::DailyLossMax, loss)], 0);
    rig.input(Input::SetLimits(&enough));
    assert_eq!(rig.pipeline.desk().gate().halt(), None, "the limit itself is inside");
    let below = changed(&rig, &[(LimitId::DailyLossMax, loss - 1)], 1);
    rig.input(Input::SetLimits(&below));
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::DailyLoss));
    let sent: Vec<OrderAction> = rig.sent().into_iter().map(|sent| sent.action).collect();
    assert_eq!(sent, [OrderAction::Cancel { order: OrderId(2) }]);
    let kinds: Vec<Kind> = rig.rec.records.iter().rev().take(4).map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Order, Kind::State, Kind::Limits, Kind::SetLimits], "newest first");
}
