//! An order's life, message by message.

use super::Ask;
use crate::input::{ConnEvent, DownReason, Input};
use crate::orders::{OrderNote, OrderState};
use crate::pipeline::PipelineCounter;
use crate::risk::{HaltReason, Reason};
use crate::session::{OrderAction, VenueEvent, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{Lines, Rig, Script, accepted, config, executed, new, replaced, scripted, told};
use crate::units::{InstrumentId, OrderId, Price, Side, TaiNs};
use alloc::vec::Vec;
use tern_abi::command::CommandKind;
use tern_abi::record::{Kind, OrderEventRecord, PositionRecord};

/// A bench with a live buy of 100 at 10.0000, id 1.
fn live() -> (Rig<(Script,)>, Lines) {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 100));
    rig.input(Input::Timer);
    assert_eq!(rig.state(1), Some(OrderState::PendingNew));
    rig.venue(accepted(1, 100, 10_0000));
    rig.sent();
    (rig, lines)
}

fn say(rig: &mut Rig<(Script,)>, lines: &Lines, intent: Intent) {
    lines.borrow_mut().push_back(intent);
    rig.input(Input::Timer);
}

fn replace(quantity: u32) -> Intent {
    Intent::Replace { order: OrderId(1), price: Price(10_0100), quantity }
}

const CANCEL: Intent = Intent::Cancel { order: OrderId(1) };

fn position(rig: &Rig<(Script,)>) -> i64 {
    let desk = rig.pipeline.desk();
    let held = desk.portfolio().position(0, InstrumentId(0)).shares;
    assert_eq!(desk.gate().exposures()[0].position(), held, "the gate knows what the portfolio knows");
    held
}

#[test]
fn partial_fills_until_filled() {
    let (mut rig, _) = live();
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::Live), 100));
    rig.venue(executed(1, 30, 9_9900, 1));
    assert_eq!((rig.leaves(1), rig.open(Side::Buy), position(&rig)), (70, 70, 30));
    rig.venue(executed(1, 70, 10_0000, 2));
    assert_eq!((rig.state(1), rig.open(Side::Buy), position(&rig)), (Some(OrderState::Filled), 0, 100));
    let positions: Vec<PositionRecord> = rig.rec.all(Kind::Position);
    assert_eq!(positions.last().map(|p| (p.shares, p.cash)), Some((100, -(30 * 9_9900 + 70 * 10_0000))));
    let events: Vec<OrderEventRecord> = rig.rec.all(Kind::OrderEvent);
    assert_eq!(events.iter().map(|event| event.leaves).collect::<Vec<u32>>(), [100, 70, 0]);
}

#[test]
fn the_replace_carries_the_total_of_the_chain_and_counts_the_greater_until_answered() {
    let (mut rig, lines) = live();
    rig.venue(executed(1, 30, 10_0000, 1));
    say(&mut rig, &lines, replace(200));
    let sent = rig.sent();
    assert_eq!(sent[0].action, OrderAction::Replace { previous: OrderId(1), order: OrderId(2) });
    assert_eq!((sent[0].quantity, sent[0].price), (230, Price(10_0100)));
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::PendingReplace), 200));
    // In flight: 20 more trade on the original; the total stays, so 180 will be open.
    rig.venue(executed(1, 20, 10_0000, 2));
    assert_eq!((rig.leaves(1), rig.open(Side::Buy)), (50, 180));
    rig.venue(replaced(1, 2, 180, 10_0100));
    assert_eq!((rig.state(2), rig.leaves(2), rig.open(Side::Buy)), (Some(OrderState::Live), 180, 180));
    assert_eq!(rig.state(1), None);
    rig.venue(executed(2, 180, 10_0100, 3));
    assert_eq!((rig.state(2), position(&rig)), (Some(OrderState::Filled), 230));
}

#[test]
fn a_smaller_replace_counts_the_old_leaves_until_answered() {
    let (mut rig, lines) = live();
    say(&mut rig, &lines, replace(10));
    assert_eq!(rig.open(Side::Buy), 100);
    rig.venue(replaced(1, 2, 10, 10_0100));
    assert_eq!(rig.open(Side::Buy), 10);
}

#[test]
fn a_replace_that_comes_too_late_dies_with_its_order() {
    let (mut rig, lines) = live();
    say(&mut rig, &lines, replace(300));
    rig.venue(executed(1, 100, 10_0000, 1));
    assert_eq!((rig.state(1), rig.state(2), rig.open(Side::Buy)), (Some(OrderState::Filled), None, 0));
    // The same with a cancel by the venue: an invalid replace takes the order out (OUCH 5.0, 2.2, case 2).
    let (mut rig, lines) = live();
    say(&mut rig, &lines, replace(300));
    rig.venue(told(VenueEventKind::Canceled, 1, 100));
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::Canceled), 0));
}

#[test]
fn a_refused_replace_leaves_the_order_as_it_is() {
    for kind in [VenueEventKind::Rejected, VenueEventKind::ReplaceRejected] {
        let (mut rig, lines) = live();
        say(&mut rig, &lines, replace(300));
        rig.venue(told(kind, 2, 0));
        assert_eq!((rig.state(1), rig.leaves(1), rig.open(Side::Buy)), (Some(OrderState::Live), 100, 100));
        say(&mut rig, &lines, replace(50));
        assert_eq!(rig.sent().last().map(|sent| sent.id()), Some(OrderId(3)), "an id is never used twice");
    }
}

#[test]
fn a_cancel_counts_as_open_until_the_venue_agrees_and_may_lose_to_a_fill() {
    let (mut rig, lines) = live();
    say(&mut rig, &lines, CANCEL);
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::PendingCancel), 100));
    rig.venue(executed(1, 40, 10_0000, 1));
    assert_eq!((rig.state(1), rig.open(Side::Buy), position(&rig)), (Some(OrderState::PendingCancel), 60, 40));
    rig.venue(told(VenueEventKind::Canceled, 1, 60));
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::Canceled), 0));
    say(&mut rig, &lines, CANCEL);
    assert_eq!(rig.refused(Reason::UnknownOrder), 1);
}

#[test]
fn one_thing_at_a_time_but_a_cancel_follows_a_replace() {
    let (mut rig, lines) = live();
    say(&mut rig, &lines, replace(50));
    say(&mut rig, &lines, replace(60));
    assert_eq!(rig.refused(Reason::OrderBusy), 1);
    say(&mut rig, &lines, CANCEL);
    let last = rig.sent().last().map(|sent| sent.action);
    assert_eq!(last, Some(OrderAction::Cancel { order: OrderId(2) }), "by then the replace is done");
    say(&mut rig, &lines, CANCEL);
    assert_eq!(rig.refused(Reason::OrderBusy), 2);
    // The replace is refused: the cancel named an id that never was, so the original is cancelled now.
    rig.venue(told(VenueEventKind::Rejected, 2, 0));
    assert_eq!(rig.sent().first().map(|sent| sent.action), Some(OrderAction::Cancel { order: OrderId(1) }));
    assert_eq!(rig.state(1), Some(OrderState::PendingCancel));
}

#[test]
fn unsolicited_and_partial_cancels() {
    let (mut rig, _) = live();
    rig.venue(told(VenueEventKind::Canceled, 1, 25));
    assert_eq!((rig.state(1), rig.leaves(1), rig.open(Side::Buy)), (Some(OrderState::Live), 75, 75));
    rig.venue(told(VenueEventKind::Canceled, 1, 80));
    assert_eq!((rig.state(1), rig.open(Side::Buy)), (Some(OrderState::Canceled), 0));
    assert_eq!(rig.noted(OrderNote::Overcancel), 1);
    rig.venue(told(VenueEventKind::Canceled, 1, 1));
    assert_eq!(rig.noted(OrderNote::Duplicate), 1);
}

#[test]
fn accepted_dead_rejected_and_changed_on_entry() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().extend((0..4).map(|n| new(0, Side::Sell, 10_0000 + n, 100)));
    rig.input(Input::Timer);
    rig.venue(VenueEvent { live: false, ..accepted(1, 100, 10_0000) });
    rig.venue(told(VenueEventKind::Rejected, 2, 0));
    rig.venue(accepted(3, 60, 10_0050));
    rig.venue(executed(4, 100, 10_0003, 8));
    assert_eq!(
        [1, 2, 3, 4].map(|id| rig.state(id)),
        [OrderState::Canceled, OrderState::Rejected, OrderState::Live, OrderState::Filled].map(Some)
    );
    assert_eq!((rig.open(Side::Sell), rig.leaves(3)), (60, 60));
    // Out of order: the acceptance of a filled order says nothing new.
    rig.venue(accepted(4, 100, 10_0003));
    assert_eq!((rig.noted(OrderNote::Duplicate), rig.open(Side::Sell)), (1, 60));
}

#[test]
fn a_trade_said_twice_counts_once() {
    let (mut rig, _) = live();
    rig.venue(executed(1, 30, 10_0000, 7));
    rig.venue(executed(1, 30, 10_0000, 7));
    assert_eq!((position(&rig), rig.leaves(1), rig.noted(OrderNote::Duplicate)), (30, 70, 1));
    // And a whole message again, by its number in the log.
    rig.venue(VenueEvent { session_seq: 2, ..executed(1, 30, 10_0000, 99) });
    assert_eq!((position(&rig), rig.counted(PipelineCounter::VenueDuplicates)), (30, 1));
}

#[test]
fn a_broken_trade_is_as_if_it_never_was() {
    let (mut rig, _) = live();
    rig.venue(executed(1, 30, 9_0000, 7));
    let without = rig.pipeline.desk().portfolio().position(0, InstrumentId(0));
    rig.venue(executed(1, 70, 11_0000, 8));
    let broken = VenueEvent { match_number: 8, ..told(VenueEventKind::Broken, 1, 0) };
    rig.venue(broken);
    let after = rig.pipeline.desk().portfolio().position(0, InstrumentId(0));
    assert_eq!((after.shares, after.cash, after.cost), (without.shares, without.cash, without.cost));
    assert_eq!((position(&rig), rig.state(1)), (30, Some(OrderState::Filled)), "the shares are not open again");
    rig.venue(broken);
    assert_eq!((position(&rig), rig.noted(OrderNote::Duplicate)), (30, 1));
    assert_eq!(rig.pipeline.desk().gate().halt(), None);
    rig.venue(VenueEvent { match_number: 9, ..told(VenueEventKind::Broken, 1, 0) });
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::UnknownExecution));
}

#[test]
fn a_break_after_trades_were_forgotten_is_right_in_shares_and_cash() {
    let mut small = config();
    small.executions_max = 2;
    let (mut rig, lines) = scripted(small, 1);
    say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100));
    rig.venue(accepted(1, 100, 10_0000));
    (1..=3_u32).for_each(|n| rig.venue(executed(1, 10 * n, 10_0000 - i64::from(n), u64::from(n))));
    rig.venue(VenueEvent { match_number: 2, ..told(VenueEventKind::Broken, 1, 0) });
    let held = rig.pipeline.desk().portfolio().position(0, InstrumentId(0));
    assert_eq!((held.shares, held.cash), (40, -(10 * 9_9999 + 30 * 9_9997)));
    assert_eq!(position(&rig), 40);
    rig.venue(VenueEvent { match_number: 1, ..told(VenueEventKind::Broken, 1, 0) });
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::UnknownExecution), "forgotten");
}

#[test]
fn a_break_may_name_the_order_by_a_later_id_unless_that_leaves_a_doubt() {
    let (mut rig, lines) = live();
    rig.venue(executed(1, 30, 10_0000, 7));
    say(&mut rig, &lines, replace(200));
    rig.venue(replaced(1, 2, 200, 10_0100));
    rig.venue(VenueEvent { match_number: 7, ..told(VenueEventKind::Broken, 2, 0) });
    assert_eq!((position(&rig), rig.noted(OrderNote::UnknownBreak)), (0, 0));
    // Both sides of a trade are ours: each has its own execution, and a third name is a doubt.
    say(&mut rig, &lines, new(0, Side::Sell, 10_0101, 50));
    rig.venue(accepted(3, 50, 10_0101));
    rig.venue(executed(2, 20, 10_0100, 8));
    rig.venue(executed(3, 20, 10_0100, 8));
    assert_eq!((position(&rig), rig.noted(OrderNote::Duplicate)), (0, 0));
    rig.venue(VenueEvent { match_number: 8, ..told(VenueEventKind::Broken, 3, 0) });
    assert_eq!(position(&rig), 20);
    rig.venue(VenueEvent { match_number: 8, ..told(VenueEventKind::Broken, 1, 0) });
    assert_eq!((position(&rig), rig.noted(OrderNote::UnknownBreak)), (20, 1));
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::UnknownExecution));
}

#[test]
fn what_dead_orders_leave_behind_is_reused_oldest_first() {
    let mut small = config();
    small.orders_max = 4;
    small.limits.open_orders_max = 4;
    let (mut rig, lines) = scripted(small, 1);
    for id in 1..=10_u32 {
        say(&mut rig, &lines, new(0, Side::Buy, 10_0000 + i64::from(id), 10));
        rig.venue(accepted(id, 10, 10_0000));
        rig.venue(told(VenueEventKind::Canceled, id, 10));
    }
    assert_eq!([6, 7, 8, 9, 10].map(|id| rig.state(id).is_some()), [false, true, true, true, true]);
    for n in 0..5 {
        say(&mut rig, &lines, new(0, Side::Buy, 10_0000 - n, 10));
    }
    assert_eq!((rig.refused(Reason::OpenOrders), rig.pipeline.desk().orders().open_count()), (1, 4));
    let ids: Vec<u32> = rig.pipeline.desk().orders().open().map(|order| order.id().0).collect();
    assert_eq!(ids, [11, 12, 13, 14]);
    let own: Vec<u32> = rig.pipeline.desk().orders().own(0, InstrumentId(0)).map(|order| order.id().0).collect();
    assert_eq!(own, ids);
}

#[test]
fn an_overfill_is_counted_in_full_and_stops_trading() {
    let (mut rig, lines) = live();
    rig.venue(executed(1, 150, 10_0000, 1));
    assert_eq!((position(&rig), rig.noted(OrderNote::Overfill), rig.open(Side::Buy)), (150, 1, 0));
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::Overfill));
    say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 1));
    assert_eq!(rig.refused(Reason::Halted), 1);
}

#[test]
fn executions_that_cannot_be_attributed_stop_trading() {
    let (mut rig, _) = live();
    rig.venue(executed(77, 10, 10_0000, 1));
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::UnknownExecution));
    assert_eq!(rig.noted(OrderNote::UnknownExecution), 1);
    rig.venue(told(VenueEventKind::Canceled, 78, 10));
    assert_eq!(rig.noted(OrderNote::NotOurs), 1);
}

#[test]
fn messages_without_effect_on_shares() {
    let (mut rig, _) = live();
    rig.venue(told(VenueEventKind::Restated, 1, 0));
    rig.venue(told(VenueEventKind::CancelPending, 1, 0));
    assert_eq!(rig.state(1), Some(OrderState::PendingCancel));
    rig.venue(told(VenueEventKind::CancelRejected, 1, 0));
    assert_eq!(rig.state(1), Some(OrderState::Live));
    rig.venue(told(VenueEventKind::Modified, 1, 90));
    assert_eq!((rig.leaves(1), rig.open(Side::Buy)), (90, 90));
    rig.venue(VenueEvent { price: Price(9_9999), ..told(VenueEventKind::PriorityUpdated, 1, 0) });
    let price = rig.pipeline.desk().orders().find(OrderId(1)).map(|order| order.price());
    assert_eq!(price, Some(Price(9_9999)));
    assert_eq!(rig.noted(OrderNote::Applied), 6);
}

#[test]
fn the_owner_hears_of_its_orders_and_no_other_strategy_does() {
    let (first, second) = (Script::default(), Script::default());
    let (lines, heard, other) = (second.lines.clone(), second.heard.clone(), first.heard.clone());
    let mut rig = Rig::ready(config(), 1, (first, second));
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 100));
    rig.input(Input::Timer);
    rig.venue(accepted(1, 100, 10_0000));
    rig.venue(executed(1, 40, 10_0000, 5));
    let states: Vec<(VenueEventKind, u32)> = heard.borrow().iter().map(|e| (e.kind, e.leaves)).collect();
    assert_eq!(states, [(VenueEventKind::Accepted, 100), (VenueEventKind::Executed, 60)]);
    assert!(other.borrow().is_empty());
    assert_eq!(rig.pipeline.desk().portfolio().position(1, InstrumentId(0)).shares, 40);
    assert_eq!(rig.pipeline.desk().portfolio().position(0, InstrumentId(0)).shares, 0);
}

/// An order whose cancel was refused once, at `rig.now`.
fn refused_once() -> (Rig<(Script,)>, Lines) {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 100));
    rig.input(Input::Timer);
    rig.venue(accepted(1, 100, 10_0000));
    lines.borrow_mut().push_back(Intent::Cancel { order: OrderId(1) });
    rig.input(Input::Timer);
    assert_eq!(rig.sent().len(), 2);
    rig.venue(told(VenueEventKind::CancelRejected, 1, 0));
    (rig, lines)
}

#[test]
fn a_refused_cancel_is_repeated_after_growing_pauses_and_given_up_in_the_end() {
    let (mut rig, lines) = refused_once();
    let mut pauses = Vec::new();
    loop {
        assert_eq!(rig.sent(), [], "not at once");
        rig.input(Input::Timer);
        assert_eq!(rig.sent(), [], "nor with the next input");
        let due = rig.pipeline.next_deadline();
        if due == TaiNs::NEVER {
            break;
        }
        pauses.push(due.since(rig.now) / 10_000_000);
        rig.now = due;
        rig.input(Input::Timer);
        let sent = rig.sent();
        assert_eq!(sent.len(), 1, "one cancel");
        assert_eq!(sent[0].action, OrderAction::Cancel { order: OrderId(1) });
        rig.venue(told(VenueEventKind::CancelRejected, 1, 0));
    }
    // The first pause is a microsecond of the rig short.
    assert_eq!(pauses, [0, 1, 3, 7, 15, 31, 63, 99, 99, 99, 99], "in units of 10 ms, rounded down");
    let order = *rig.pipeline.desk().orders().find(OrderId(1)).unwrap();
    assert_eq!((order.state(), order.leaves()), (OrderState::Unknown, 100));
    assert_eq!(rig.pipeline.desk().gate().exposure(InstrumentId(0)).unwrap().open(Side::Buy), 100, "it still counts");
    let records: Vec<OrderEventRecord> = rig.rec.all(Kind::OrderEvent);
    assert_eq!(records.last().unwrap().state, OrderState::Unknown as u8);
    let counter = |counter| rig.pipeline.desk().counter(counter);
    assert_eq!(counter(PipelineCounter::VenueCancelRejected), 12);
    assert_eq!((counter(PipelineCounter::CancelsRepeated), counter(PipelineCounter::CancelsGivenUp)), (11, 1));

    // The strategy cannot go on in its place; an operator can, and a new connection does.
    lines.borrow_mut().push_back(Intent::Cancel { order: OrderId(1) });
    rig.input(Input::Timer);
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.pipeline.desk().refusals()[Reason::OrderBusy.index()], 1);
    rig.command(CommandKind::CancelAll);
    assert_eq!(rig.sent().len(), 1);
    rig.venue(told(VenueEventKind::Canceled, 1, 100));
    assert_eq!(rig.pipeline.desk().orders().open_count(), 0);
}

#[test]
fn a_reconnect_or_an_end_forgets_refused_cancels() {
    let (mut rig, _) = refused_once();
    rig.conn(ConnEvent::Down(DownReason::Closed));
    rig.connect();
    assert_eq!(rig.sent().len(), 1, "sent on the new connection, without a pause");

    let (mut rig, _) = refused_once();
    rig.venue(executed(1, 100, 10_0000, 9));
    let due = rig.pipeline.next_deadline();
    rig.now = due;
    rig.input(Input::Timer);
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.pipeline.next_deadline(), TaiNs::NEVER);
}
