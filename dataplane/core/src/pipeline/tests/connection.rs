//! Kill, connection loss, strategies that panic, and the window.

use super::Ask;
use crate::feed::Distrust;
use crate::input::{ConnEvent, DownReason, Input};
use crate::orders::OrderState;
use crate::pipeline::{Config, PipelineCounter};
use crate::risk::{HaltReason, Reason};
use crate::session::{OrderAction, VenueEvent, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{CONN, Catch, Rig, Script, accepted, add, config, executed, new, replaced, scripted, told};
use crate::units::{InstrumentId, OrderId, Price, Side, TaiNs};
use alloc::vec::Vec;
use tern_abi::command::{Command, CommandKind};
use tern_abi::record::{Kind, StateRecord};
use zerocopy::IntoBytes;

fn cancels(rig: &mut Rig<(Script,)>) -> Vec<u32> {
    let sent = rig.sent();
    assert!(sent.iter().all(|sent| matches!(sent.action, OrderAction::Cancel { .. })), "{sent:?}");
    sent.iter().map(|sent| sent.id().0).collect()
}

#[test]
fn a_kill_takes_back_what_tcp_does_not_have_and_cancels_the_rest() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().extend((0..2).map(|n| new(0, Side::Buy, 10_0000 - n, 100)));
    rig.input(Input::Timer);
    rig.sent();
    rig.venue(accepted(1, 100, 10_0000));
    rig.venue(accepted(2, 100, 9_9999));
    // Waiting in the outbox: a new order, a replace, a cancel.
    lines.borrow_mut().push_back(new(0, Side::Sell, 10_0100, 5));
    lines.borrow_mut().push_back(Intent::Replace { order: OrderId(1), price: Price(10_0001), quantity: 900 });
    lines.borrow_mut().push_back(Intent::Cancel { order: OrderId(2) });
    rig.input(Input::Timer);
    assert_eq!((rig.open(Side::Buy), rig.open(Side::Sell)), (1000, 5));
    rig.command(CommandKind::Kill);
    assert_eq!(rig.counted(PipelineCounter::Recalled), 3);
    assert_eq!(rig.state(3), Some(OrderState::Dropped));
    assert_eq!((rig.open(Side::Buy), rig.open(Side::Sell)), (200, 0));
    assert_eq!(cancels(&mut rig), [1, 2], "regenerated from the orders that are left");
    let states: Vec<StateRecord> = rig.rec.all(Kind::State);
    assert_eq!(states.last().map(|s| (s.trading, s.reason)), Some((0, HaltReason::Killed as u32)));
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 1));
    rig.input(Input::Timer);
    assert_eq!((rig.refused(Reason::Killed), rig.sent().len()), (1, 0));
    // The operator has seen one kill, the loop found two: an input like any other, and refused in a replay too.
    let late = Command { kind: CommandKind::Resume as u32, id: 1, kill_word: 2 << 1 | 1, ..Command::default() };
    rig.input(Input::Command(&late));
    assert!(!rig.pipeline.desk().can_trade());
    rig.command(CommandKind::Resume);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 1));
    rig.input(Input::Timer);
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn a_message_that_tcp_has_begun_is_not_taken_back() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().extend((0..2).map(|n| new(0, Side::Buy, 10_0000 - n, 100)));
    rig.input(Input::Timer);
    rig.pipeline.order_bytes_sent(CONN, 10);
    let left = rig.pipeline.next_order_bytes(CONN).map(|bytes| bytes.len());
    rig.command(CommandKind::Kill);
    assert_eq!((rig.state(1), rig.state(2)), (Some(OrderState::PendingCancel), Some(OrderState::Dropped)));
    assert_eq!(rig.pipeline.next_order_bytes(CONN).map(|bytes| bytes.len()), left);
    rig.pipeline.order_bytes_sent(CONN, left.unwrap_or_default());
    assert_eq!(cancels(&mut rig), [1]);
}

#[test]
fn cancels_wait_for_the_window_and_go_on_when_it_opens() {
    let (mut rig, lines) = scripted(config(), 1);
    for start in 0..4 {
        lines.borrow_mut().extend((0..10).map(|n| new(0, Side::Buy, 10_0000 - start * 10 - n, 1)));
        rig.input(Input::Timer);
        rig.sent();
    }
    rig.conn(ConnEvent::Room(0));
    rig.command(CommandKind::Kill);
    assert_eq!(cancels(&mut rig), [] as [u32; 0]);
    assert_eq!(rig.pipeline.next_deadline(), TaiNs::NEVER, "no use in coming before there is room");
    rig.conn(ConnEvent::Room(128 + 56 + 56));
    let mut all = cancels(&mut rig);
    assert_eq!(all.len(), 3);
    rig.conn(ConnEvent::Room(1 << 20));
    while all.len() < 40 {
        let more = cancels(&mut rig);
        assert!(!more.is_empty() && more.len() <= crate::outbox::OUTBOX_MESSAGES);
        all.extend(more);
        if all.len() < 40 {
            assert_eq!(rig.pipeline.next_deadline(), TaiNs(0));
        }
        rig.input(Input::Timer);
    }
    assert_eq!(all, (1..=40).collect::<Vec<u32>>());
    assert_eq!(rig.counted(PipelineCounter::SystemCancels), 40);
}

#[test]
fn a_shutdown_logs_out_when_nothing_is_open() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 1));
    rig.input(Input::Timer);
    rig.sent();
    rig.venue(accepted(1, 1, 10_0000));
    rig.command(CommandKind::Shutdown);
    assert_eq!(cancels(&mut rig), [1]);
    assert!(!rig.pipeline.is_finished());
    rig.venue(told(VenueEventKind::Canceled, 1, 1));
    assert!(rig.pipeline.is_finished() && rig.pipeline.session().logged_out);
    rig.command(CommandKind::Resume);
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::Shutdown));
}

#[test]
fn what_was_on_its_way_when_the_connection_broke_is_resolved_by_the_log() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().extend((0..4).map(|n| new(0, Side::Buy, 10_0000 - n, 100)));
    rig.input(Input::Timer);
    rig.sent();
    (1..3).for_each(|id| rig.venue(accepted(id, 100, 9_9999)));
    lines.borrow_mut().push_back(Intent::Replace { order: OrderId(1), price: Price(10_0001), quantity: 150 });
    lines.borrow_mut().push_back(Intent::Replace { order: OrderId(2), price: Price(10_0001), quantity: 150 });
    rig.input(Input::Timer);
    rig.sent();
    // Not handed over when the connection breaks.
    lines.borrow_mut().push_back(new(0, Side::Sell, 10_0100, 7));
    rig.input(Input::Timer);
    rig.conn(ConnEvent::Down(DownReason::Reset));
    assert_eq!(rig.state(7), Some(OrderState::Dropped));
    assert_eq!(rig.open(Side::Buy), 500, "in doubt counts in full");
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 1));
    rig.input(Input::Timer);
    assert_eq!(rig.refused(Reason::SessionNotReady), 1);

    rig.conn(ConnEvent::Up);
    rig.conn(ConnEvent::Room(1 << 20));
    rig.venue(accepted(3, 100, 9_9998));
    rig.venue(replaced(1, 5, 150, 10_0001));
    rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
    // 3 arrived, 4 did not; the replace of 1 arrived, that of 2 did not.
    assert_eq!([5, 2, 3].map(|id| rig.state(id)), [Some(OrderState::Live); 3]);
    assert_eq!((rig.state(4), rig.state(6)), (Some(OrderState::Lost), None));
    assert_eq!((rig.open(Side::Buy), rig.counted(PipelineCounter::OrdersLost)), (350, 1));
    // Should it come after all, it is open again, and not wanted.
    rig.venue(accepted(4, 100, 9_9997));
    assert_eq!((rig.state(4), rig.open(Side::Buy)), (Some(OrderState::PendingCancel), 450));
    assert_eq!(cancels(&mut rig), [4]);
}

#[test]
fn a_cancel_lost_with_the_connection_is_sent_again() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 100));
    rig.input(Input::Timer);
    rig.sent();
    rig.venue(accepted(1, 100, 10_0000));
    lines.borrow_mut().push_back(Intent::Cancel { order: OrderId(1) });
    rig.input(Input::Timer);
    assert_eq!(cancels(&mut rig), [1]);
    rig.conn(ConnEvent::Down(DownReason::Closed));
    rig.connect();
    assert_eq!(cancels(&mut rig), [1]);
}

#[test]
fn orders_in_a_book_that_loses_trust_are_pulled() {
    let (mut rig, lines) = scripted(config(), 2);
    lines.borrow_mut().extend([new(0, Side::Buy, 10_0000, 1), new(1, Side::Buy, 10_0000, 1)]);
    rig.input(Input::Timer);
    rig.sent();
    // One event that does not fit: that instrument alone.
    let stranger = tern_abi::event::BookEvent {
        instrument: 1,
        order: 4242,
        ..tern_abi::event::BookEvent::new(tern_abi::event::EventKind::Delete)
    };
    rig.feed(&[stranger]);
    assert_eq!((cancels(&mut rig), rig.counted(PipelineCounter::EventErrors)), ([2].into(), 1));
    rig.feed_aged(Some(Distrust::Gap), &[], 0);
    assert_eq!((cancels(&mut rig), rig.counted(PipelineCounter::TrustLost)), ([1].into(), 1));
    let trust: Vec<tern_abi::record::TrustRecord> = rig.rec.all(Kind::Trust);
    assert_eq!(trust.last().map(|t| (t.trusted, t.expected_seq, t.seen_seq)), Some((0, 5, 9)));
}

#[test]
fn an_event_that_names_another_instruments_order_costs_both_their_trust() {
    use tern_abi::event::{BookEvent, EventKind};
    let (mut rig, lines) = scripted(config(), 4);
    lines.borrow_mut().extend([0, 1, 2].map(|instrument| new(instrument, Side::Buy, 10_0000, 1)));
    rig.input(Input::Timer);
    rig.sent();
    let before = rig.pipeline.desk().books().order_count();
    rig.feed(&[
        add(1, 9, Side::Buy, 9_0000, 1),
        BookEvent { instrument: 2, order: 9, ..BookEvent::new(EventKind::Delete) },
    ]);
    assert_eq!(cancels(&mut rig), [2, 3]);
    let books = rig.pipeline.desk().books();
    assert_eq!(books.order_count(), before + 1, "the order is where it was");
    assert_eq!([0, 1, 2].map(|id| books.is_trusted(InstrumentId(id))), [true, false, false]);
    let told: Vec<tern_abi::record::InstrumentTrustRecord> = rig.rec.all(Kind::InstrumentTrust);
    assert_eq!(told.iter().map(|record| record.instrument).collect::<Vec<_>>(), [1, 2], "the journal names both");
}

#[test]
fn an_instrument_that_loses_trust_is_recorded_once() {
    use tern_abi::event::{BookEvent, EventKind};
    use tern_abi::record::InstrumentTrustRecord;
    let stranger = |instrument, order| BookEvent { instrument, order, ..BookEvent::new(EventKind::Delete) };
    let (mut rig, _) = scripted(config(), 4);
    let told = |rig: &Rig<(Script,)>| -> Vec<(u32, u32)> {
        let records: Vec<InstrumentTrustRecord> = rig.rec.all(Kind::InstrumentTrust);
        records.iter().map(|record| (record.instrument, record.reason)).collect()
    };
    rig.feed(&[]);
    assert_eq!(told(&rig), []);
    let cause = crate::replay::NotAnInput::Other(Kind::InstrumentTrust);
    let before = rig.rec.records.len() as u64;
    let twice = add(2, 9, Side::Buy, 10_0000, 1);
    rig.feed(&[stranger(1, 50), stranger(1, 51), twice, twice]);
    let expected = [(1, Distrust::UnknownOrder as u32), (2, Distrust::DuplicateOrder as u32)];
    assert_eq!(told(&rig), expected);
    let records: Vec<InstrumentTrustRecord> = rig.rec.all(Kind::InstrumentTrust);
    assert_eq!((records[0].cause_seq, &records[0].symbol), (before + 1, b"S1      "));
    let body = records[0].as_bytes();
    assert_eq!(crate::replay::read_input(rig.now, Kind::InstrumentTrust, body).err(), Some(cause), "an output");
    // Nothing more is lost: not by the next event that does not fit, and not while the stream is worth nothing.
    rig.feed(&[stranger(2, 52)]);
    rig.feed_aged(Some(Distrust::Gap), &[stranger(0, 53)], 0);
    assert_eq!(told(&rig), expected);
    // The stream is trusted again, that instrument is not.
    rig.feed(&[]);
    assert_eq!(told(&rig)[2..], [(0, Distrust::UnknownOrder as u32)]);
    // An order of no instrument may have been anybody's.
    rig.feed(&[add(u32::MAX, 60, Side::Buy, 10_0000, 1)]);
    assert_eq!(told(&rig)[3..], [(3, Distrust::Overfull as u32)]);
    assert_eq!(rig.counted(PipelineCounter::InstrumentsDistrusted), 4);
}

#[test]
fn a_strategy_that_panics_is_disabled_alone() {
    let (bad, good) = (Script::default(), Script::default());
    let (bad_lines, good_lines, panic) = (bad.lines.clone(), good.lines.clone(), bad.panic.clone());
    let mut rig = Rig::ready(config(), 1, (bad, good));
    bad_lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 1));
    good_lines.borrow_mut().push_back(new(0, Side::Buy, 9_9999, 1));
    rig.input(Input::Timer);
    assert_eq!(rig.sent().len(), 2);
    panic.replace(true);
    bad_lines.borrow_mut().push_back(new(0, Side::Buy, 9_9990, 1));
    assert_eq!(rig.input_with(Input::Timer, &mut Catch), Ok(()));
    assert_eq!(rig.counted(PipelineCounter::StrategyPanics), 1);
    let sent = rig.sent();
    assert_eq!(sent.iter().map(|s| s.action).collect::<Vec<_>>(), [OrderAction::Cancel { order: OrderId(1) }]);
    good_lines.borrow_mut().push_back(new(0, Side::Buy, 9_9998, 1));
    rig.input(Input::Timer);
    assert_eq!(rig.sent().len(), 1, "the other trades on");
    assert_eq!(rig.pipeline.next_deadline(), TaiNs::NEVER, "the disabled one's timer counts no more");
}

#[test]
fn an_input_that_cannot_be_recorded_is_not_acted_on_but_a_kill_is() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 1));
    rig.input(Input::Timer);
    rig.sent();
    rig.rec.full = true;
    let bytes = crate::testing::venue_bytes(&accepted(1, 1, 10_0000));
    assert!(rig.input_with(Input::Session { conn: CONN, bytes: &bytes }, &mut crate::probe::NotIsolated).is_err());
    assert_eq!(rig.state(1), Some(OrderState::PendingNew));
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::RingFull));
    let kill = tern_abi::command::Command { kind: CommandKind::Kill as u32, ..Default::default() };
    assert!(rig.input_with(Input::Command(&kill), &mut crate::probe::NotIsolated).is_err());
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::Killed));
    rig.rec.full = false;
    rig.input(Input::Timer);
    assert_eq!(cancels(&mut rig), [1]);
}

#[test]
fn another_log_of_the_venue_is_counted_from_its_start_and_stops_trading() {
    let (mut rig, lines) = scripted(config(), 1);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 100));
    rig.input(Input::Timer);
    rig.sent();
    rig.venue(accepted(1, 100, 10_0000));
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 50));
    rig.input(Input::Timer);
    rig.sent();
    rig.conn(ConnEvent::Down(DownReason::Closed));
    rig.conn(ConnEvent::Up);
    rig.conn(ConnEvent::Room(1 << 20));
    rig.venue(VenueEvent { live: true, ..VenueEvent::new(VenueEventKind::LoggedIn) });
    assert_eq!(rig.pipeline.desk().gate().halt(), None, "the log goes on");

    rig.conn(ConnEvent::Down(DownReason::Closed));
    rig.conn(ConnEvent::Up);
    rig.venue(VenueEvent::new(VenueEventKind::LoggedIn));
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::LogChanged));
    // The first number of the new log is below what was seen of the old one, and is new all the same.
    rig.venue(VenueEvent { session_seq: 1, ..executed(1, 40, 10_0000, 9) });
    assert_eq!(rig.counted(PipelineCounter::VenueDuplicates), 0);
    assert_eq!(rig.pipeline.desk().gate().exposures()[0].position(), 40);
    rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
    assert_eq!(rig.open(Side::Buy), 60 + 50, "the old log may know the order that the new one does not");
}

#[test]
fn another_log_that_tells_all_again_leaves_orders_as_they_were() {
    let (mut rig, lines) = scripted(config(), 1);
    let mut log = Vec::new();
    let mut hear = |rig: &mut Rig<(Script,)>, event: VenueEvent| {
        let session_seq = log.len() as u64 + 1;
        let (symbol, side) = (crate::units::Symbol::new("S0"), Some(Side::Buy));
        log.push(VenueEvent { session_seq, symbol, side, strategy: Some(crate::units::StrategyId(1)), ..event });
        rig.venue(log[log.len() - 1]);
    };
    lines.borrow_mut().extend([new(0, Side::Buy, 10_0000, 100), new(0, Side::Buy, 9_9000, 50)]);
    rig.input(Input::Timer);
    hear(&mut rig, accepted(1, 100, 10_0000));
    hear(&mut rig, accepted(2, 50, 9_9000));
    hear(&mut rig, executed(1, 40, 10_0000, 1));
    // Without a number of its own that would tell it from another: a part of the second is cancelled.
    hear(&mut rig, told(VenueEventKind::Canceled, 2, 20));
    hear(&mut rig, executed(2, 10, 9_9000, 2));
    lines.borrow_mut().push_back(Intent::Replace { order: OrderId(1), price: Price(10_0100), quantity: 60 });
    rig.input(Input::Timer);
    hear(&mut rig, replaced(1, 3, 60, 10_0100));
    rig.sent();
    let open = |rig: &Rig<(Script,)>| -> Vec<(u32, u32, u32, OrderState)> {
        let orders = rig.pipeline.desk().orders().open();
        orders.map(|order| (order.id().0, order.leaves(), order.executed(), order.state())).collect()
    };
    let before = open(&rig);
    assert_eq!(before, [(3, 60, 40, OrderState::Live), (2, 20, 10, OrderState::Live)]);

    rig.conn(ConnEvent::Down(DownReason::Closed));
    rig.conn(ConnEvent::Up);
    rig.conn(ConnEvent::Room(1 << 20));
    rig.venue(VenueEvent::new(VenueEventKind::LoggedIn));
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::LogChanged));
    log.iter().for_each(|event| rig.venue(*event));
    rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
    assert_eq!(open(&rig), before, "none is there twice, none lost shares twice");
    assert_eq!((rig.open(Side::Buy), rig.pipeline.desk().gate().exposures()[0].position()), (80, 50));
    assert!(rig.sent().is_empty(), "nothing is cancelled");
}

#[test]
fn a_live_order_that_cannot_be_taken_in_stops_trading() {
    let (mut rig, _) = scripted(config(), 1);
    let stranger =
        VenueEvent { side: Some(Side::Buy), symbol: crate::units::Symbol::new("OTHER"), ..accepted(77, 5, 1) };
    rig.venue(VenueEvent { live: false, ..stranger });
    assert_eq!(rig.pipeline.desk().gate().halt(), None, "it is dead already");
    // The directory is full: the order has no instrument here, so its exposure counts nowhere.
    rig.venue(VenueEvent { order: OrderId(78), previous: OrderId(78), ..stranger });
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::UnknownOrder));
}

#[test]
fn a_silent_stream_loses_trust_and_the_next_message_in_sequence_brings_it_back() {
    let silence = 1_000_000_000;
    let (mut rig, lines) = scripted(Config { feed_silence_ns_max: silence, ..config() }, 1);
    let heard = rig.now;
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 100));
    rig.input(Input::Timer);
    assert_eq!(rig.sent().len(), 1);
    assert!(rig.pipeline.next_deadline() <= heard.plus(silence));
    // Market data is heard: the look at the old deadline changes nothing, and the next one is later.
    rig.now = heard.plus(silence / 2);
    rig.feed(&[]);
    let heard = rig.now;
    rig.now = heard.plus(silence / 2);
    rig.input(Input::Timer);
    assert_eq!(rig.pipeline.desk().books().stream_distrust(crate::testing::STREAM), None);
    assert_eq!(rig.pipeline.next_deadline(), heard.plus(silence));

    // Datagrams that are no packet of the session are no sign of life.
    rig.now = rig.now.plus(silence / 4);
    rig.garbage();

    // A fill asks for a new order on books that are old: refused, and what is open is pulled.
    rig.now = heard.plus(silence);
    rig.input(Input::Timer);
    assert_eq!(rig.pipeline.desk().books().stream_distrust(crate::testing::STREAM), Some(Distrust::Silent));
    assert_eq!((cancels(&mut rig), rig.counted(PipelineCounter::TrustLost)), ([1].into(), 1));
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0001, 100));
    rig.input(Input::Timer);
    assert_eq!((rig.refused(Reason::BookUntrusted), rig.sent().len()), (1, 0));
    assert_eq!(rig.pipeline.next_deadline(), TaiNs::NEVER, "there is no stream to watch");

    rig.garbage();
    assert_eq!(rig.counted(PipelineCounter::TrustGained), 1, "nor do they end a silence");
    rig.feed(&[]);
    lines.borrow_mut().push_back(new(0, Side::Buy, 10_0001, 100));
    rig.input(Input::Timer);
    assert_eq!((rig.counted(PipelineCounter::TrustGained), rig.sent().len()), (2, 1));
    assert!(rig.pipeline.next_deadline() <= rig.now.plus(silence));
}
