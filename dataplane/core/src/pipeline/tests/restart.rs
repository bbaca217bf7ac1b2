//! Orders and positions out of the venue's log after a restart, and the same inputs again.

use super::Ask;
use crate::book::BookChange;
use crate::input::{ConnEvent, DownReason, Input};
use crate::orders::{OrderNote, OrderState};
use crate::pipeline::{Config, HOUSE, PipelineCounter, UnknownOrders};
use crate::probe::NotIsolated;
use crate::risk::{HaltReason, LimitId, Limits, Reason};
use crate::session::{OrderAction, VenueEvent, VenueEventKind};
use crate::strategy::{Batch, Ctx, Intent, Intents, OrderEvent, Strategy};
use crate::testing::{Rig, Script, Sent, accepted, config, executed, new, print, replaced, told};
use crate::units::{InstrumentId, OrderId, Price, Side, StrategyId, Symbol, TaiNs};
use alloc::vec::Vec;
use tern_abi::command::{Command, CommandKind, DaemonPulse, LimitsOutcome, SetLimits};
use tern_abi::event::{BookEvent, EventKind, flags};
use tern_abi::record::{
    CONN_RECORD_LOST, CONN_RING_ROOM, CONN_UNSENT, ConnRecord, Kind, LimitsRecord, OrderEventRecord, OrderRecord,
};

fn known_by_the_venue(order: u32, strategy: u16) -> VenueEvent {
    VenueEvent {
        symbol: Symbol::new("S0"),
        side: Some(Side::Sell),
        strategy: Some(StrategyId(strategy)),
        ..accepted(order, 100, 10_0000)
    }
}

fn restarted(unknown_orders: UnknownOrders) -> Rig<(Script,)> {
    let config = Config { restarted: true, next_order_id: 12, unknown_orders, ..config() };
    let mut rig = Rig::bare(config, 2, (Script::default(),));
    rig.conn(ConnEvent::Up);
    rig.conn(ConnEvent::Room(1 << 20));
    rig.venue(known_by_the_venue(7, 1));
    rig.venue(executed(7, 30, 10_0000, 3));
    rig.venue(known_by_the_venue(8, 1));
    rig.venue(told(VenueEventKind::Canceled, 8, 100));
    rig.venue(known_by_the_venue(9, 5));
    rig.venue(VenueEvent { symbol: Symbol::new("S0"), ..replaced(7, 20, 170, 10_0100) });
    rig.venue(VenueEvent { match_number: 3, ..told(VenueEventKind::Broken, 7, 0) });
    assert!(rig.sent().is_empty(), "nothing leaves before the log is replayed");
    rig.venue(VenueEvent { order: OrderId(40), ..VenueEvent::new(VenueEventKind::NextOrderId) });
    rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
    rig
}

#[test]
fn the_venues_log_rebuilds_orders_and_positions_and_unknown_orders_are_cancelled() {
    let mut rig = restarted(UnknownOrders::Cancel);
    let sent: Vec<OrderAction> = rig.sent().iter().map(|sent| sent.action).collect();
    assert_eq!(sent, [20, 9].map(|order| OrderAction::Cancel { order: OrderId(order) }));
    assert_eq!((rig.state(20), rig.leaves(20)), (Some(OrderState::PendingCancel), 170));
    assert_eq!(rig.state(8), Some(OrderState::Canceled));
    assert_eq!((rig.noted(OrderNote::Adopted), rig.open(Side::Sell)), (3, 270));
    assert_eq!(rig.pipeline.next_order_id(), 40);
    let desk = rig.pipeline.desk();
    assert_eq!(desk.portfolio().position(0, InstrumentId(0)).shares, 0, "the trade was broken");
    // A strategy that this host does not have: kept under its own id, in the house's row.
    assert_eq!(desk.orders().find(OrderId(9)).map(|order| order.strategy()), Some(StrategyId(5)));
    assert_eq!(desk.owners().last().map(|owner| owner.strategy), Some(HOUSE));
    let events: Vec<OrderEventRecord> = rig.rec.all(Kind::OrderEvent);
    assert_eq!(events[0].flags & 2, 2, "not known before");
}

#[test]
fn unknown_orders_are_kept_where_the_configuration_says_so() {
    let mut rig = restarted(UnknownOrders::Keep);
    assert!(rig.sent().is_empty());
    assert_eq!([20, 9].map(|id| rig.state(id)), [Some(OrderState::Live); 2]);
}

#[test]
fn after_a_restart_no_order_leaves_until_the_books_are_trusted() {
    let mut rig = restarted(UnknownOrders::Cancel);
    rig.sent();
    assert_eq!(
        rig.pipeline.desk().books().stream_distrust(crate::testing::STREAM),
        Some(crate::feed::Distrust::Restarted)
    );
    let verdict = rig.pipeline.check_intent(rig.now, 0, 0, &new(0, Side::Buy, 10_0000, 1));
    assert_eq!(verdict, Err(Reason::BookUntrusted));
}

/// Trades by what it sees alone, so that a replay needs nothing but the inputs.
#[derive(Debug, Default)]
struct Busy {
    calls: u32,
}

impl Strategy for Busy {
    fn on_book(&mut self, _: &Ctx<'_>, change: &BookChange, out: &mut Intents) {
        if let Some((price, _)) = change.traded {
            self.calls += 1;
            out.push(new(change.instrument.0, Side::Buy, price.0 + i64::from(self.calls % 5), 100));
            // More than an order may have: a refusal.
            out.push(new(change.instrument.0, Side::Sell, price.0, 5000));
        }
    }
    fn on_batch_end(&mut self, _: &Ctx<'_>, _: Batch, _: &mut Intents) {}
    fn on_order(&mut self, _: &Ctx<'_>, event: &OrderEvent, out: &mut Intents) {
        if event.state == OrderState::Live {
            out.push(match event.order.0 % 3 {
                0 => Intent::Cancel { order: event.order },
                _ => Intent::Replace { order: event.order, price: Price(event.price.0 + 1), quantity: 300 },
            });
        }
    }
    fn on_timer(&mut self, _: &Ctx<'_>, _: &mut Intents) {}
}

/// Limits against `epoch_seen` that let the orders of [`Busy`] pass, and not all of its replaces.
fn limits_of_epoch(rig: &Rig<(Busy,)>, epoch_seen: u32) -> SetLimits {
    let limits = Limits { order_quantity_max: 250, ..*rig.pipeline.desk().gate().limits() };
    let values: Vec<i64> = LimitId::ALL.iter().map(|id| limits.get(*id)).collect();
    SetLimits::new(&values, (epoch_seen, epoch_seen + 1), 1000, "less")
}

/// A run with a bit of everything; what is left in the outbox now and then waits for the next input.
fn run() -> (Rig<(Busy,)>, Vec<Sent>) {
    let mut rig = Rig::ready(config(), 2, (Busy::default(),));
    let mut wire = rig.sent();
    for round in 0..30_u32 {
        let price = 10_0000 + i64::from(round % 7) * 10;
        rig.feed(&[print(round % 2, price)]);
        let event = |order, flags| BookEvent { instrument: 1, order, flags, ..BookEvent::new(EventKind::Other) };
        match round {
            9 => rig.feed(&[event(0, flags::MARKET_HALTED)]),
            16 => rig.feed(&[event(0, flags::MARKET_RESUMED)]),
            12 | 14 => rig.input(Input::SetLimits(&limits_of_epoch(&rig, 0))),
            18 => rig.input(Input::Command(&Command::daemon_pulse(DaemonPulse::Silent, 5))),
            20 => rig.input(Input::Command(&Command::daemon_pulse(DaemonPulse::Steady, 0))),
            24 => rig.feed(&[BookEvent { kind: EventKind::Delete, ..event(4242, 0) }]),
            _ => {}
        }
        let id = rig.pipeline.next_order_id() - 1;
        match round % 6 {
            0 => rig.venue(accepted(id, 100, price)),
            1 => {
                rig.venue(accepted(id, 100, price));
                rig.venue(executed(id, 60, price, u64::from(round)));
            }
            2 => rig.rec.room = false,
            3 => rig.command(if round < 10 { CommandKind::Kill } else { CommandKind::CancelAll }),
            4 => {
                rig.rec.room = true;
                rig.command(CommandKind::Resume);
            }
            _ => {
                rig.conn(ConnEvent::Down(DownReason::TimedOut));
                rig.connect();
            }
        }
        if round % 4 != 0 {
            wire.extend(rig.sent());
        }
        rig.input(Input::Timer);
    }
    wire.extend(rig.sent());
    (rig, wire)
}

#[test]
fn the_recorded_inputs_give_the_same_records_orders_and_state() {
    let (mut original, wire) = run();
    original.rec.room = true;
    let kinds = |kind| original.rec.records.iter().filter(|(_, k, _)| *k == kind).count();
    assert!(kinds(Kind::Order) > 20 && kinds(Kind::Refusal) > 20 && kinds(Kind::State) >= 2);
    assert_eq!(kinds(Kind::InstrumentTrust), 1);
    // Limits were set, and set again against an epoch that was not in force any more.
    let limits: Vec<LimitsRecord> = original.rec.all(Kind::Limits);
    let outcomes = [LimitsOutcome::Set, LimitsOutcome::Stale].map(|outcome| (outcome as u32, 1));
    assert_eq!(limits.iter().map(|record| (record.outcome, record.epoch)).collect::<Vec<_>>(), outcomes);
    let epochs = |epoch| original.rec.all(Kind::Order).iter().any(|order: &OrderRecord| order.limits_epoch == epoch);
    assert!(epochs(0) && epochs(1));
    assert!(original.refused(Reason::MarketHalted) > 0 && original.refused(Reason::BookUntrusted) > 0);
    assert!(original.refused(Reason::DaemonSilent) > 0);
    // Both things that are no inputs happened, and are recorded.
    let conn: Vec<ConnRecord> = original.rec.all(Kind::Conn);
    assert!(conn.iter().any(|record| record.event == CONN_UNSENT));
    assert!(conn.iter().any(|record| record.event == CONN_RING_ROOM));

    let mut again = Rig::bare(config(), 2, (Busy::default(),));
    let mut replayed = Vec::new();
    for (tai_ns, kind, body) in &original.rec.records {
        let now = TaiNs(*tai_ns);
        let mut wire = |bytes: &[u8]| replayed.push(Sent::read(bytes));
        let result = again.pipeline.replay(now, *kind, body, &mut again.rec, &mut NotIsolated, &mut wire);
        assert_eq!(result.is_ok(), (*kind as u16) < 64, "{kind:?}");
    }
    replayed.extend(again.sent());
    for (index, (ours, theirs)) in again.rec.records.iter().zip(&original.rec.records).enumerate() {
        assert_eq!(ours, theirs, "record {index}");
    }
    assert_eq!(again.rec.records.len(), original.rec.records.len());
    assert_eq!(replayed, wire);
    assert_eq!(again.pipeline.state_hash(), original.pipeline.state_hash());
}

#[test]
fn a_stop_because_a_record_did_not_fit_comes_again_in_a_replay() {
    let mut rig = Rig::ready(config(), 1, (Busy::default(),));
    rig.sent();
    rig.feed(&[print(0, 10_0000)]);
    assert_eq!(rig.sent().len(), 1);
    // What the ring keeps for decisions is still there, but the venue's answer does not fit.
    rig.rec.refuse = Some(Kind::SessionBytes);
    let bytes = crate::testing::venue_bytes(&accepted(1, 100, 10_0001));
    for _ in 0..3 {
        let input = Input::Session { conn: crate::testing::CONN, bytes: &bytes };
        assert!(rig.input_with(input, &mut NotIsolated).is_err());
    }
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::RingFull));
    let lost = |rig: &Rig<(Busy,)>| {
        let conn: Vec<ConnRecord> = rig.rec.all(Kind::Conn);
        conn.iter().filter(|record| record.event == CONN_RECORD_LOST).count()
    };
    assert_eq!(lost(&rig), 1, "told once, not with every attempt");
    assert_eq!(rig.counted(PipelineCounter::InputsRefused), 1, "it is one input");
    assert_eq!(rig.counted(PipelineCounter::InputsRetried), 2);
    rig.feed(&[print(0, 10_0010)]);
    assert_eq!((rig.sent().len(), rig.refused(Reason::Halted)), (0, 2));
    rig.rec.refuse = None;
    let input = Input::Session { conn: crate::testing::CONN, bytes: &bytes };
    assert!(rig.input_with(input, &mut NotIsolated).is_ok());
    rig.rec.refuse = Some(Kind::SessionBytes);
    assert!(rig.input_with(input, &mut NotIsolated).is_err());
    assert_eq!(rig.counted(PipelineCounter::InputsRefused), 2, "the next one is another");
    rig.rec.refuse = None;
    rig.command(CommandKind::Resume);
    rig.feed(&[print(0, 10_0020)]);
    assert_eq!(rig.sent().len(), 1);

    let mut again = Rig::bare(config(), 1, (Busy::default(),));
    for (tai_ns, kind, body) in &rig.rec.records {
        let _ = again.pipeline.replay(TaiNs(*tai_ns), *kind, body, &mut again.rec, &mut NotIsolated, &mut |_| ());
    }
    assert_eq!(again.rec.records, rig.rec.records);
    assert_eq!(again.pipeline.state_hash(), rig.pipeline.state_hash());
}
