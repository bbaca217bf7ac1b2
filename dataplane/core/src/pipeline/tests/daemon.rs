//! A daemon that is not there: what stops at each deadline, what ends by itself, and what an operator has to end.

use super::{Ask, say};
use crate::input::{ConnEvent, Input};
use crate::orders::OrderState;
use crate::pipeline::PipelineCounter;
use crate::risk::{HaltReason, LimitId, Reason};
use crate::session::OrderAction;
use crate::strategy::Intent;
use crate::testing::{Lines, Rig, Script, accepted, add, config, executed, new, print, scripted};
use crate::units::{OrderId, Side};
use alloc::vec::Vec;
use tern_abi::command::{Command, CommandKind, DaemonPulse};
use tern_abi::record::{Kind, StateRecord};

const BUY: fn(u32) -> Intent = |quantity| new(0, Side::Buy, 10_0000, quantity);
const CANCEL: Intent = Intent::Cancel { order: OrderId(1) };

/// A strategy with one order of 100 shares open.
fn trading() -> (Rig<(Script,)>, Lines) {
    let (mut rig, lines) = scripted(config(), 2);
    assert_eq!(say(&mut rig, &lines, BUY(100)).len(), 1);
    rig.venue(accepted(1, 100, 10_0000));
    (rig, lines)
}

fn pulse(rig: &mut Rig<(Script,)>, pulse: DaemonPulse) {
    rig.input(Input::Command(&Command::daemon_pulse(pulse, 7)));
}

fn halt(rig: &Rig<(Script,)>) -> Option<HaltReason> {
    rig.pipeline.desk().gate().halt()
}

/// What was said of the trading state: whether it trades, and the reason.
fn states(rig: &Rig<(Script,)>) -> Vec<(u32, u32)> {
    rig.rec.all::<StateRecord>(Kind::State).iter().map(|state| (state.trading, state.reason)).collect()
}

#[test]
fn while_the_daemon_is_silent_only_cancels_leave_and_trading_goes_on_when_it_is_back() {
    let (mut rig, lines) = trading();
    lines.borrow_mut().push_back(BUY(5));
    rig.input(Input::Timer);
    pulse(&mut rig, DaemonPulse::Silent);
    assert_eq!(rig.state(2), Some(OrderState::Dropped), "what waits for TCP is taken back");
    assert!(rig.sent().is_empty());
    assert_eq!(say(&mut rig, &lines, BUY(6)), []);
    let replace = Intent::Replace { order: OrderId(1), price: crate::units::Price(9_9900), quantity: 90 };
    assert_eq!(say(&mut rig, &lines, replace), []);
    assert_eq!((rig.refused(Reason::DaemonSilent), halt(&rig)), (2, Some(HaltReason::DaemonSilent)));
    assert_eq!(rig.state(1), Some(OrderState::Live), "what rests stays");
    // An operator cannot have it otherwise: there would still be nobody who drains.
    rig.command(CommandKind::Resume);
    assert_eq!((rig.counted(PipelineCounter::CommandsRefused), halt(&rig)), (1, Some(HaltReason::DaemonSilent)));
    assert_eq!(say(&mut rig, &lines, CANCEL), [OrderAction::Cancel { order: OrderId(1) }]);
    pulse(&mut rig, DaemonPulse::Steady);
    assert_eq!(halt(&rig), None);
    assert_eq!(say(&mut rig, &lines, BUY(8)).len(), 1);
    assert_eq!(rig.counted(PipelineCounter::DaemonSilences), 1);
    let said = states(&rig);
    let silent = (0, HaltReason::DaemonSilent as u32);
    assert_eq!(said[said.len() - 2..], [silent, (1, HaltReason::NotHalted as u32)]);
}

#[test]
fn a_daemon_that_is_lost_stops_trading_cancels_all_and_its_return_lifts_nothing() {
    let (mut rig, lines) = trading();
    pulse(&mut rig, DaemonPulse::Silent);
    pulse(&mut rig, DaemonPulse::Lost);
    let sent: Vec<OrderAction> = rig.sent().into_iter().map(|sent| sent.action).collect();
    assert_eq!(sent, [OrderAction::Cancel { order: OrderId(1) }]);
    assert_eq!(halt(&rig), Some(HaltReason::DaemonLost));
    pulse(&mut rig, DaemonPulse::Steady);
    assert_eq!(say(&mut rig, &lines, BUY(5)), []);
    assert_eq!((halt(&rig), rig.refused(Reason::Halted)), (Some(HaltReason::DaemonLost), 1));
    rig.command(CommandKind::Resume);
    assert_eq!(say(&mut rig, &lines, BUY(5)).len(), 1);
}

#[test]
fn what_stops_trading_beside_the_silence_stays_and_the_silence_comes_to_light_beneath_it() {
    let (mut rig, lines) = trading();
    rig.command(CommandKind::Kill);
    pulse(&mut rig, DaemonPulse::Silent);
    assert_eq!(halt(&rig), Some(HaltReason::Killed));
    pulse(&mut rig, DaemonPulse::Steady);
    assert_eq!(halt(&rig), Some(HaltReason::Killed), "a beat lifts no kill");
    pulse(&mut rig, DaemonPulse::Silent);
    rig.command(CommandKind::Resume);
    assert_eq!(halt(&rig), Some(HaltReason::DaemonSilent), "the kill is lifted, the daemon is still silent");
    rig.command(CommandKind::Kill);
    assert_eq!(halt(&rig), Some(HaltReason::Killed), "a kill is a kill");
    pulse(&mut rig, DaemonPulse::Steady);
    rig.command(CommandKind::Resume);
    rig.sent();
    assert_eq!((halt(&rig), say(&mut rig, &lines, BUY(5)).len()), (None, 1));
}

#[test]
fn a_lost_record_or_a_loss_while_the_daemon_is_silent_stops_trading_for_good() {
    let (mut rig, _) = trading();
    pulse(&mut rig, DaemonPulse::Silent);
    rig.conn(ConnEvent::RecordLost);
    pulse(&mut rig, DaemonPulse::Steady);
    assert_eq!(halt(&rig), Some(HaltReason::RingFull), "a record was lost: an operator");

    let (mut rig, lines) = trading();
    super::limit(&mut rig, LimitId::DailyLossMax, 10_0000);
    assert_eq!(say(&mut rig, &lines, BUY(7)).len(), 1);
    rig.venue(accepted(2, 7, 10_0000));
    pulse(&mut rig, DaemonPulse::Silent);
    rig.venue(executed(1, 100, 10_0000, 1));
    rig.feed(&[add(0, 91, Side::Sell, 9_4900, 5), print(0, 9_4900)]);
    assert_eq!(halt(&rig), Some(HaltReason::DailyLoss));
    let sent: Vec<OrderAction> = rig.sent().into_iter().map(|sent| sent.action).collect();
    assert_eq!(sent, [OrderAction::Cancel { order: OrderId(2) }], "what rests is taken back");
    pulse(&mut rig, DaemonPulse::Steady);
    assert_eq!(halt(&rig), Some(HaltReason::DailyLoss));
}

#[test]
fn a_pulse_that_nobody_knows_changes_nothing() {
    let (mut rig, _) = trading();
    let unknown = Command { id: 99, ..Command::daemon_pulse(DaemonPulse::Lost, 1) };
    rig.input(Input::Command(&unknown));
    assert_eq!((halt(&rig), rig.counted(PipelineCounter::CommandsRefused)), (None, 1));
}
