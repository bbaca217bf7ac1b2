//! Each check, by its reason and counter, through the whole pipeline.

use super::{Ask, limit};
use crate::feed::Distrust;
use crate::input::{ConnEvent, Input};
use crate::pipeline::PipelineCounter;
use crate::risk::{LimitId, Reason};
use crate::session::EncodeError;
use crate::strategy::Intent;
use crate::testing::{Rig, Script, accepted, add, config, new, print, scripted, trading};
use crate::units::{InstrumentId, OrderId, Price, Side};
use alloc::vec::Vec;
use proptest::prelude::*;
use tern_abi::command::{Command, CommandKind};
use tern_abi::record::{ACTION_NEW, Kind, OrderRecord, RefusalRecord};

/// Gives one intent on a fresh bench and says why it was refused.
fn verdict(setup: impl FnOnce(&mut Rig<(Script,)>), intent: Intent) -> Option<Reason> {
    let (mut rig, lines) = scripted(config(), 2);
    setup(&mut rig);
    let already = *rig.pipeline.desk().refusals();
    rig.sent();
    lines.borrow_mut().push_back(intent);
    rig.input(Input::Timer);
    let now = rig.pipeline.desk().refusals();
    let reasons: Vec<Reason> =
        Reason::ALL.iter().copied().filter(|reason| now[reason.index()] != already[reason.index()]).collect();
    assert_eq!(rig.sent().len(), 1 - reasons.len(), "either sent or refused: {reasons:?}");
    let recorded: Vec<RefusalRecord> = rig.rec.all(Kind::Refusal);
    let last = recorded.last().and_then(|record| Reason::from_index(record.reason as usize));
    if rig.rec.room {
        assert_eq!(last, reasons.first().copied());
    }
    reasons.first().copied()
}

const BUY: Intent = Intent::New {
    instrument: InstrumentId(0),
    side: Side::Buy,
    price: Price(10_0000),
    quantity: 100,
    min_quantity: 0,
    time_in_force: crate::session::TimeInForce::Day,
    post_only: false,
};

#[test]
fn a_good_order_passes() {
    assert_eq!(verdict(|_| (), BUY), None);
}

#[test]
fn every_check_refuses_with_its_reason() {
    let cases: Vec<(Reason, Option<Reason>)> = Vec::from([
        (Reason::Killed, verdict(|rig| rig.command(CommandKind::Kill), BUY)),
        (Reason::Halted, verdict(|rig| rig.command(CommandKind::Shutdown), BUY)),
        (Reason::SessionNotReady, verdict(|rig| rig.conn(ConnEvent::Down(crate::input::DownReason::Reset)), BUY)),
        (Reason::WindowClosed, verdict(|rig| rig.conn(ConnEvent::Room(127)), BUY)),
        (Reason::RingReserve, verdict(|rig| rig.rec.room = false, BUY)),
        (Reason::UnknownInstrument, verdict(|_| (), new(2, Side::Buy, 10_0000, 1))),
        (Reason::UnknownInstrument, verdict(|_| (), new(u32::MAX, Side::Buy, 10_0000, 1))),
        (Reason::BookUntrusted, verdict(|rig| rig.feed_aged(Some(Distrust::Gap), &[], 0), BUY)),
        (Reason::NotTrading, verdict(|rig| rig.feed(&[tern_abi::event::BookEvent { code: b'H', ..trading(0) }]), BUY)),
        (Reason::Quantity, verdict(|_| (), new(0, Side::Buy, 10_0000, 0))),
        (Reason::Quantity, verdict(|_| (), new(0, Side::Buy, 10_0000, 1001))),
        (Reason::Quantity, verdict(|_| (), new(0, Side::Buy, 10_0000, u32::MAX))),
        (Reason::Price, verdict(|_| (), new(0, Side::Buy, 0, 1))),
        (Reason::Price, verdict(|_| (), new(0, Side::Sell, i64::MIN, 1))),
        (Reason::Price, verdict(|_| (), new(0, Side::Sell, i64::MAX, 1))),
        (Reason::Notional, verdict(|rig| limit(rig, LimitId::OrderNotionalMax, 100 * 10_0000 - 1), BUY)),
        (Reason::Collar, verdict(|_| (), new(0, Side::Buy, 10_5001, 1))),
        (Reason::Collar, verdict(|_| (), new(0, Side::Sell, 9_4999, 1))),
        (Reason::Collar, verdict(|_| (), new(0, Side::Sell, 1_999_999_900, 1))),
        (Reason::Position, verdict(|rig| limit(rig, LimitId::PositionMax, 99), BUY)),
        (Reason::OpenOrders, verdict(|rig| limit(rig, LimitId::OpenOrdersMax, 0), BUY)),
        (Reason::Rate, verdict(|rig| limit(rig, LimitId::OrdersPerSecondMax, 0), BUY)),
        (Reason::UnknownOrder, verdict(|_| (), Intent::Cancel { order: OrderId(1) })),
        (Reason::UnknownOrder, verdict(|_| (), Intent::Replace { order: OrderId(9), price: Price(1), quantity: 1 })),
    ]);
    for (number, (expected, got)) in cases.iter().enumerate() {
        assert_eq!(*got, Some(*expected), "case {number}");
    }
}

#[test]
fn the_collar_ends_are_inside() {
    assert_eq!(verdict(|_| (), new(0, Side::Buy, 10_5000, 1)), None);
    assert_eq!(verdict(|_| (), new(0, Side::Sell, 9_5000, 1)), None);
}

#[test]
fn without_a_print_the_middle_of_the_book_is_the_reference_and_without_that_there_is_none() {
    let (mut rig, lines) = {
        let script = Script::default();
        let lines = script.lines.clone();
        (Rig::bare(config(), 1, (script,)), lines)
    };
    rig.feed(&[trading(0), add(0, 1, Side::Buy, 10_0000, 100)]);
    rig.connect();
    lines.borrow_mut().push_back(BUY);
    rig.input(Input::Timer);
    assert_eq!((rig.refused(Reason::NoReference), rig.sent().len()), (1, 0));
    rig.feed(&[add(0, 2, Side::Sell, 10_2000, 100)]);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_6051, 1));
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_6050, 1));
    rig.input(Input::Timer);
    assert_eq!((rig.refused(Reason::Collar), rig.sent().len()), (1, 1));
    rig.feed(&[print(0, 9_0000)]);
    lines.borrow_mut().push_back(BUY);
    rig.input(Input::Timer);
    assert_eq!(rig.refused(Reason::Collar), 2, "the print goes before the middle");
}

#[test]
fn intents_on_old_data_are_refused() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().push_back(BUY);
    rig.feed_aged(None, &[print(0, 10_0000)], 50_000_000);
    assert_eq!(rig.sent().len(), 1);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 7));
    rig.feed_aged(None, &[print(0, 10_0000)], 50_000_001);
    assert_eq!((rig.refused(Reason::TooOld), rig.sent().len()), (1, 0));
}

#[test]
fn the_same_order_again_is_a_duplicate_for_a_while() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().extend([BUY, BUY, new(0, Side::Sell, 10_0001, 100), new(0, Side::Buy, 10_0000, 101)]);
    rig.input(Input::Timer);
    assert_eq!((rig.refused(Reason::Duplicate), rig.sent().len()), (1, 3));
    rig.now = rig.now.plus(100_000);
    lines.borrow_mut().extend([new(0, Side::Buy, 10_0000, 101)]);
    rig.input(Input::Timer);
    assert_eq!((rig.refused(Reason::Duplicate), rig.sent().len()), (1, 1));
}

#[test]
fn position_counts_open_orders_of_each_side_for_itself() {
    let (mut rig, lines) = scripted(config(), 1);
    // 10,000 shares may be held either way: ten orders a side fit, the eleventh does not, whatever the other side has.
    lines.borrow_mut().extend((0..11).map(|n| new(0, Side::Buy, 10_0000 - n, 1000)));
    rig.input(Input::Timer);
    assert_eq!((rig.sent().len(), rig.refused(Reason::Position)), (10, 1));
    lines.borrow_mut().extend((0..11).map(|n| new(0, Side::Sell, 10_0001 + n, 1000)));
    rig.input(Input::Timer);
    assert_eq!((rig.sent().len(), rig.refused(Reason::Position)), (10, 2));
    assert_eq!((rig.open(Side::Buy), rig.open(Side::Sell)), (10_000, 10_000));
}

#[test]
fn a_limit_below_what_is_held_leaves_the_way_out() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 1000));
    rig.input(Input::Timer);
    rig.venue(accepted(1, 1000, 10_0000));
    rig.venue(crate::testing::executed(1, 1000, 10_0000, 1));
    limit(&mut rig, LimitId::PositionMax, 10);
    lines.borrow_mut().extend([new(0, Side::Buy, 10_0000, 1), new(0, Side::Sell, 10_0000, 1000)]);
    rig.sent();
    rig.input(Input::Timer);
    let sent = rig.sent();
    assert_eq!((sent.len(), rig.refused(Reason::Position)), (1, 1));
    assert_eq!((sent[0].side, sent[0].short), (Side::Sell, false));
}

#[test]
fn sales_beyond_the_position_are_marked_short_open_sales_included() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 500));
    rig.input(Input::Timer);
    rig.venue(accepted(1, 500, 10_0000));
    rig.venue(crate::testing::executed(1, 500, 10_0000, 1));
    rig.sent();
    lines.borrow_mut().extend([new(0, Side::Sell, 10_0000, 300), new(0, Side::Sell, 10_0001, 200)]);
    lines.borrow_mut().push_back(new(0, Side::Sell, 10_0002, 1));
    rig.input(Input::Timer);
    let short: Vec<bool> = rig.sent().iter().map(|sent| sent.short).collect();
    assert_eq!(short, [false, false, true]);
    // A replace cannot change the mark (OUCH 5.0 has no side in it), so it may not make a long sale a short one.
    rig.venue(accepted(2, 300, 10_0000));
    lines.borrow_mut().push_back(Intent::Replace { order: OrderId(2), price: Price(10_0000), quantity: 301 });
    rig.input(Input::Timer);
    assert_eq!(rig.refused(Reason::ShortMark), 1);
}

#[test]
fn the_rate_keeps_a_budget_for_cancels() {
    let mut slow = config();
    slow.limits.orders_per_second_max = 1;
    slow.limits.order_burst_max = 2;
    slow.limits.cancel_reserve = 1;
    let (mut rig, lines) = scripted(slow, 1);
    lines.borrow_mut().extend((0..3).map(|n| new(0, Side::Buy, 10_0000 - n, 1)));
    rig.input(Input::Timer);
    assert_eq!((rig.sent().len(), rig.refused(Reason::Rate)), (2, 1));
    lines.borrow_mut().extend((1..3).map(|id| Intent::Cancel { order: OrderId(id) }));
    rig.input(Input::Timer);
    assert_eq!((rig.sent().len(), rig.refused(Reason::Rate)), (1, 2));
}

#[test]
fn orders_are_recorded_before_they_leave_with_their_cause_and_epoch() {
    let (mut rig, lines) = scripted(config(), 1);
    limit(&mut rig, LimitId::OrderQuantityMax, 500);
    lines.borrow_mut().push_back(BUY);
    rig.feed_aged(None, &[print(0, 10_0000)], 400);
    let cause = rig.rec.records.iter().rposition(|(_, kind, _)| *kind == Kind::Datagram).map(|at| at as u64 + 1);
    let orders: Vec<OrderRecord> = rig.rec.all(Kind::Order);
    assert_eq!(orders.len(), 1);
    let order = orders[0];
    assert_eq!(Some(order.cause_seq), cause);
    assert_eq!((order.cause_ns, order.limits_epoch, order.action), (rig.now.0 - 400, 3, ACTION_NEW));
    assert_eq!((order.order, order.strategy, order.trader, &order.symbol), (1, 1, 71, b"S0      "));
}

#[test]
fn an_order_that_cannot_be_recorded_does_not_leave_and_trading_stops() {
    let (mut rig, lines) = scripted(config(), 1);
    rig.rec.full = true;
    lines.borrow_mut().push_back(BUY);
    // Datagrams may be shed, so this input is taken; the order may not.
    rig.feed(&[print(0, 10_0000)]);
    assert_eq!((rig.refused(Reason::RecordFailed), rig.sent().len()), (1, 0));
    assert!(rig.counted(PipelineCounter::RecordsLost) >= 1);
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(crate::risk::HaltReason::RingFull));
    assert_eq!((rig.open(Side::Buy), rig.pipeline.desk().orders().open_count()), (0, 0));
    rig.rec.full = false;
    lines.borrow_mut().push_back(BUY);
    rig.feed(&[]);
    assert_eq!((rig.refused(Reason::Halted), rig.sent().len()), (1, 0));
    rig.command(CommandKind::Resume);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 3));
    rig.feed(&[]);
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn an_order_that_the_session_cannot_write_is_dead_and_counts_for_nothing() {
    let (mut rig, lines) = scripted(config(), 1);
    rig.pipeline.session_mut().refuse = Some(EncodeError::Price);
    lines.borrow_mut().push_back(BUY);
    rig.input(Input::Timer);
    assert_eq!((rig.refused(Reason::EncodeFailed), rig.sent().len()), (1, 0));
    assert_eq!(rig.state(1), Some(crate::orders::OrderState::Dropped));
    assert_eq!((rig.open(Side::Buy), rig.counted(PipelineCounter::OrdersNew)), (0, 0));
    rig.pipeline.session_mut().refuse = None;
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 5));
    rig.input(Input::Timer);
    assert_eq!(rig.sent()[0].id(), OrderId(2), "its id is not used again");
}

#[test]
fn a_call_gives_so_many_intents_and_the_outbox_holds_so_many_messages() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().extend((0..20).map(|n| new(0, Side::Buy, 10_0000 - n, 1)));
    rig.input(Input::Timer);
    assert_eq!(rig.counted(PipelineCounter::IntentsDropped), 4);
    lines.borrow_mut().push_back(BUY);
    rig.input(Input::Timer);
    assert_eq!((rig.refused(Reason::OutboxFull), rig.sent().len()), (1, crate::outbox::OUTBOX_MESSAGES));
}

#[test]
fn asked_beforehand_a_replace_without_an_id_left_is_refused_as_it_is_when_sent() {
    // Ids are also what is known of the day's messages.
    let limits = crate::risk::Limits { messages_per_day_max: u32::MAX, ..config().limits };
    let (mut rig, lines) = scripted(crate::pipeline::Config { next_order_id: u32::MAX - 1, limits, ..config() }, 1);
    lines.borrow_mut().push_back(BUY);
    rig.input(Input::Timer);
    rig.venue(accepted(u32::MAX - 1, 100, 10_0000));
    let replace = Intent::Replace { order: OrderId(u32::MAX - 1), price: Price(10_0000), quantity: 50 };
    assert_eq!(rig.pipeline.check_intent(rig.now, 0, 0, &replace), Err(Reason::IdsExhausted));
    lines.borrow_mut().push_back(replace);
    rig.input(Input::Timer);
    assert_eq!(rig.refused(Reason::IdsExhausted), 1);
}

#[test]
fn limits_out_of_range_or_of_unknown_scope_are_refused() {
    let (mut rig, _) = scripted(config(), 1);
    let before = *rig.pipeline.desk().gate().limits();
    let set = Command { kind: CommandKind::SetLimit as u32, value: 5, ..Command::default() };
    for command in [
        Command { id: 99, ..set },
        Command { value: -1, ..set },
        Command { scope: 1, ..set },
        Command { kind: 77, ..Command::default() },
    ] {
        rig.input(Input::Command(&command));
    }
    assert_eq!(*rig.pipeline.desk().gate().limits(), before);
    assert_eq!(rig.counted(PipelineCounter::CommandsRefused), 4);
}

proptest! {
    #[test]
    fn no_intent_overflows_or_passes_beyond_a_limit(
        instrument in prop_oneof![0_u32..3, any::<u32>()],
        sell: bool,
        price in prop_oneof![9_0000_i64..11_0000, any::<i64>()],
        quantity in prop_oneof![0_u32..2000, any::<u32>()],
        order in prop_oneof![0_u32..4, any::<u32>()],
        limits in proptest::collection::vec(prop_oneof![0_i64..100_000, any::<i64>()], LimitId::COUNT),
    ) {
        let mut rig = {
            let (mut rig, lines) = scripted(config(), 2);
            lines.borrow_mut().push_back(BUY);
            rig.input(Input::Timer);
            rig.venue(accepted(1, 100, 10_0000));
            rig
        };
        for (id, value) in LimitId::ALL.iter().zip(limits) {
            let kind = CommandKind::SetLimit as u32;
            rig.input(Input::Command(&Command { kind, id: *id as u32, value, ..Command::default() }));
        }
        let side = if sell { Side::Sell } else { Side::Buy };
        let now = rig.now.plus(1);
        let limits = *rig.pipeline.desk().gate().limits();
        if rig.pipeline.check_intent(now, 0, 0, &new(instrument, side, price, quantity)).is_ok() {
            let held = if instrument == 0 && !sell { 100 } else { 0 };
            prop_assert!(quantity > 0 && quantity <= limits.order_quantity_max);
            prop_assert!(i128::from(price) * i128::from(quantity) <= i128::from(limits.order_notional_max));
            prop_assert!(i64::from(quantity) + held <= limits.position_max);
            let away = (i128::from(price) - 10_0000).abs() * 10_000;
            prop_assert!(away <= 10_0000 * i128::from(limits.price_collar_bps));
        }
        let replace = Intent::Replace { order: OrderId(order), price: Price(price), quantity };
        if rig.pipeline.check_intent(now, 0, 0, &replace).is_ok() {
            prop_assert!(order == 1 && quantity > 0 && quantity <= limits.order_quantity_max);
            prop_assert!(quantity <= 100 || i64::from(quantity) <= limits.position_max);
        }
        let cancel = rig.pipeline.check_intent(now, 0, u64::MAX, &Intent::Cancel { order: OrderId(order) });
        prop_assert!(cancel == Ok(()) || order != 1 || limits.orders_per_second_max == 0
            || matches!(cancel, Err(Reason::Rate | Reason::MessagesPerDay)));
    }
}

#[test]
fn an_operational_halt_refuses_orders_in_its_symbol_until_it_is_lifted() {
    use tern_abi::event::{BookEvent, EventKind, flags};
    let halt =
        |flags| BookEvent { flags, code: b'h', ..BookEvent { instrument: 1, ..BookEvent::new(EventKind::Other) } };
    let (mut rig, lines) = scripted(config(), 2);
    lines.borrow_mut().push_back(new(1, Side::Buy, 10_0000, 100));
    rig.input(Input::Timer);
    rig.venue(accepted(1, 100, 10_0000));
    assert_eq!(rig.sent().len(), 1);

    // The strategy's answer to the very datagram that brings the halt is refused already.
    let busy = |order, price| Intent::Replace { order: OrderId(order), price: Price(price), quantity: 100 };
    lines.borrow_mut().extend([new(1, Side::Buy, 9_9900, 100), busy(1, 9_9900), new(0, Side::Buy, 10_0000, 100)]);
    rig.feed(&[halt(flags::MARKET_HALTED)]);
    assert_eq!((rig.refused(Reason::MarketHalted), rig.counted(PipelineCounter::MarketHalts)), (2, 1));
    assert_eq!(rig.sent().len(), 1, "another symbol trades on");
    assert!(rig.pipeline.desk().gate().is_halted(InstrumentId(1)));

    // The trading state says nothing of it, the way out stays open, and a halt survives what has no halt to tell.
    rig.feed(&[crate::testing::trading(1), add(0, 77, Side::Buy, 9_0000, 1)]);
    lines.borrow_mut().extend([new(1, Side::Buy, 9_9900, 100), Intent::Cancel { order: OrderId(1) }]);
    rig.input(Input::Timer);
    assert_eq!((rig.refused(Reason::MarketHalted), rig.sent().len()), (3, 1));

    lines.borrow_mut().push_back(new(1, Side::Buy, 9_9900, 100));
    rig.feed(&[halt(flags::MARKET_RESUMED)]);
    assert_eq!((rig.refused(Reason::MarketHalted), rig.sent().len()), (3, 1));

    // Feeds of other processes say it the same way.
    lines.borrow_mut().push_back(new(1, Side::Buy, 9_9800, 100));
    rig.input(Input::Events(&[halt(flags::MARKET_HALTED)]));
    assert_eq!((rig.refused(Reason::MarketHalted), rig.sent().len()), (4, 0));
}
