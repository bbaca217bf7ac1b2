//! The day out of records written by hand.

use super::*;
use tern_abi::command::SetBounds;
use tern_abi::event::SIDE_SELL;
use tern_abi::record::{ACTION_NEW, VenueEventKind};
use zerocopy::IntoBytes;

/// Gives records their numbers.
#[derive(Default)]
struct Day {
    state: Recovered,
    seq: u64,
    session_seq: u64,
}

impl Day {
    fn give(&mut self, kind: Kind, body: &[u8]) {
        self.seq += 1;
        let body_bytes = body.len() as u32;
        let header = RecordHeader { seq: self.seq, tai_ns: self.seq * 10, kind: kind as u16, flags: 0, body_bytes };
        self.state.apply(&header, body);
    }

    fn start(&mut self, line: &str) {
        let mut body = StartRecord::default().as_bytes().to_vec();
        body.extend_from_slice(format!("[instance]\n{RUN_LINE}{line}\n#names {{}}\n").as_bytes());
        self.give(Kind::Start, &body);
    }

    fn send(&mut self, action: u8, order: u32, replaces: u32, quantity: u32) {
        let record = OrderRecord {
            action,
            order,
            replaces,
            quantity,
            price: 10_0000,
            symbol: *b"AAAA    ",
            instrument: 3,
            strategy: 1,
            side: SIDE_BUY,
            ..OrderRecord::default()
        };
        self.give(Kind::Order, record.as_bytes());
    }

    fn hear(&mut self, kind: VenueEventKind, event: OrderEventRecord) {
        self.session_seq += 1;
        let event =
            OrderEventRecord { kind: kind as u8, session_seq: self.session_seq, instrument: 3, strategy: 1, ..event };
        self.give(Kind::OrderEvent, event.as_bytes());
    }

    fn accepted(&mut self, order: u32, leaves: u32) {
        self.hear(VenueEventKind::Accepted, OrderEventRecord { order, leaves, ..OrderEventRecord::default() });
    }

    fn executed(&mut self, order: u32, match_number: u64, quantity: u32, price: i64, side: u8, leaves: u32) {
        let event =
            OrderEventRecord { order, match_number, quantity, price, side, leaves, ..OrderEventRecord::default() };
        self.hear(VenueEventKind::Executed, event);
    }

    fn outcome(&mut self, differences: i64) {
        let record = ReconcileRecord { ours: differences, ..ReconcileRecord::default() };
        self.give(Kind::Reconcile, record.as_bytes());
    }

    fn state(&mut self, trading: u32, reason: u32) {
        self.give(Kind::State, StateRecord { cause_seq: 0, trading, reason }.as_bytes());
    }

    fn open(&self) -> Vec<u32> {
        self.state.orders().filter(|(_, order)| order.open).map(|(id, _)| id).collect()
    }
}

fn day() -> Day {
    let mut day = Day::default();
    day.start("next_order_id=0 restarted=0 day=7");
    day.send(ACTION_NEW, 1, 0, 300);
    day.accepted(1, 300);
    day.executed(1, 90, 100, 10_0000, SIDE_BUY, 200);
    day.executed(1, 91, 100, 12_0000, SIDE_BUY, 100);
    day.send(ACTION_REPLACE, 2, 1, 400);
    day.send(ACTION_NEW, 3, 0, 50);
    day
}

#[test]
fn orders_executions_and_positions_are_as_the_records_say() {
    let mut day = day();
    day.hear(VenueEventKind::Replaced, OrderEventRecord { order: 2, previous: 1, leaves: 200, ..Default::default() });
    day.executed(2, 92, 50, 13_0000, SIDE_SELL, 150);
    assert_eq!(day.open(), [2, 3]);
    assert_eq!((day.state.next_order_id, day.state.session_seq(), day.state.last_seq), (4, 5, 9));
    let unanswered: Vec<u32> =
        day.state.orders().filter(|(_, o)| o.open && !o.acknowledged).map(|(id, _)| id).collect();
    assert_eq!(unanswered, [3]);
    let position = day.state.positions()[&(1, *b"AAAA    ")];
    assert_eq!((position.shares, position.average(), position.realized()), (150, Some(11_0000), 50 * 2_0000));
    assert_eq!(position.cash, -100 * 10_0000 - 100 * 12_0000 + 50 * 13_0000);
    assert_eq!(day.state.unreadable, 0);
}

#[test]
fn a_trade_is_broken_by_its_number_whatever_its_order_is_called_since() {
    let mut day = day();
    day.hear(VenueEventKind::Replaced, OrderEventRecord { order: 2, previous: 1, leaves: 200, ..Default::default() });
    let broken = OrderEventRecord { order: 2, match_number: 91, leaves: 200, ..Default::default() };
    day.hear(VenueEventKind::Broken, broken);
    let position = day.state.positions()[&(1, *b"AAAA    ")];
    assert_eq!((position.shares, position.cash, position.fills), (100, -100 * 10_0000, 1));
    // One that was not heard of before changes nothing, and is no crash.
    day.hear(VenueEventKind::Broken, OrderEventRecord { match_number: 5, ..broken });
    assert_eq!(day.state.positions()[&(1, *b"AAAA    ")], position);
}

#[test]
fn an_execution_that_is_told_again_counts_once() {
    let mut day = day();
    day.executed(1, 91, 100, 12_0000, SIDE_BUY, 100);
    assert_eq!(day.state.positions()[&(1, *b"AAAA    ")].shares, 200);
}

#[test]
fn a_run_counts_once_its_word_agrees_with_what_was_known() {
    let mut day = day();
    day.session_seq = 0;
    day.start("next_order_id=4 restarted=1 day=7 journal_seq=7");
    day.accepted(1, 300);
    // Killed in the middle of the venue's log: what was known before stands.
    assert_eq!(day.open(), [1, 2, 3]);
    assert!(day.state.unreconciled);
    day.executed(1, 90, 100, 10_0000, SIDE_BUY, 200);
    day.outcome(0);
    assert_eq!((day.open(), day.state.session_seq()), (vec![1], 2));
    assert!(!day.state.unreconciled);
    assert_eq!(day.state.next_order_id, 4, "ids are never forgotten");
    day.send(ACTION_NEW, 4, 0, 10);
    assert_eq!(day.open(), [1, 4]);
}

#[test]
fn a_run_that_differs_counts_once_an_operator_accepts_it() {
    let mut day = day();
    day.start("next_order_id=4 restarted=1 day=7 journal_seq=7");
    day.accepted(1, 300);
    let missing = ReconcileRecord { difference: Difference::ExecutionMissing as u32, ..ReconcileRecord::default() };
    day.give(Kind::Reconcile, missing.as_bytes());
    let never = ReconcileRecord { difference: Difference::Unanswered as u32, ..ReconcileRecord::default() };
    day.give(Kind::Reconcile, never.as_bytes());
    day.outcome(1);
    day.state(0, 13);
    assert_eq!((day.state.differences.len(), day.state.differences_stopping), (2, 1));
    assert_eq!((day.state.halt, day.state.unreconciled), (Some(13), true));
    assert_eq!(day.open(), [1, 2, 3]);
    // A kill that is lifted accepts nothing.
    day.state(1, 0);
    assert_eq!((day.state.halt, day.state.unreconciled), (None, true));
    let accepted = ReconcileRecord { difference: Difference::Accepted as u32, ours: 1, ..ReconcileRecord::default() };
    day.give(Kind::Reconcile, accepted.as_bytes());
    assert_eq!((day.state.differences_stopping, day.state.unreconciled, day.open()), (1, false, vec![1]));
}

#[test]
fn a_stop_survives_restarts_an_orderly_end_and_the_day() {
    let mut day = day();
    day.state(0, 1);
    day.state(0, HALT_SHUTDOWN);
    day.start("next_order_id=4 restarted=1 day=7");
    assert_eq!(day.state.halt, Some(1));
    day.start("next_order_id=0 restarted=0 day=8");
    assert_eq!((day.state.halt, day.state.next_order_id, day.state.runs), (Some(1), 0, 1));
    assert!(day.open().is_empty() && day.state.positions().is_empty());
    // What the run itself said at its start counts.
    day.start("next_order_id=0 restarted=0 day=8 journal_seq=12 halt=5");
    assert_eq!(day.state.halt, Some(5));
    day.start("next_order_id=0 restarted=0 day=8 journal_seq=13");
    assert_eq!(day.state.halt, None);
}

#[test]
fn a_scope_is_restricted_until_it_is_lifted_whatever_day_it_is() {
    let mut day = day();
    let set = |state| Command::set_state(ScopeKind::Strategy, 4, state, 7);
    day.give(Kind::Command, set(TradingState::ReduceOnly).as_bytes());
    day.give(Kind::Command, set(TradingState::Halted).as_bytes());
    day.start("next_order_id=0 restarted=0 day=8");
    let standing = [((ScopeKind::Strategy, 4), set(TradingState::Halted))];
    assert!(day.state.scopes.iter().map(|(scope, command)| (*scope, *command)).eq(standing));
    day.give(Kind::Command, set(TradingState::Running).as_bytes());
    assert!(day.state.scopes.is_empty());
}

#[test]
fn limits_that_were_set_hold_however_a_run_ends_and_those_that_were_refused_do_not() {
    let mut day = day();
    let set = |epoch| SetLimits::new(&[7, 8], (epoch - 1, epoch), 40, "calm");
    let outcome = |epoch, outcome: LimitsOutcome| LimitsRecord { cause_seq: 0, epoch, outcome: outcome as u32 };
    day.give(Kind::SetLimits, set(1).as_bytes());
    day.give(Kind::Limits, outcome(1, LimitsOutcome::Set).as_bytes());
    day.give(Kind::SetLimits, set(5).as_bytes());
    day.give(Kind::Limits, outcome(1, LimitsOutcome::Stale).as_bytes());
    day.state(0, HALT_SHUTDOWN);
    day.start("next_order_id=0 restarted=0 day=8");
    assert_eq!(day.state.limits, Some(set(1)));
}

#[test]
fn bounds_of_a_price_that_were_set_hold_for_their_day() {
    let mut day = day();
    let bounds = SetBounds { symbol: *b"GME     ", seen: [1, 2], wanted: [3, 4] };
    let set = |epoch, wanted| SetLimits {
        bounds: SetBounds { wanted, ..bounds },
        ..SetLimits::new(&[7, 8], (epoch - 1, epoch), 40, "cents")
    };
    let mut give = |epoch, wanted, outcome: LimitsOutcome| {
        day.give(Kind::SetLimits, set(epoch, wanted).as_bytes());
        let record = LimitsRecord { cause_seq: 0, epoch, outcome: outcome as u32 };
        day.give(Kind::Limits, record.as_bytes());
    };
    give(1, [3, 4], LimitsOutcome::Set);
    give(2, [5, 6], LimitsOutcome::Set);
    give(2, [7, 8], LimitsOutcome::Stale);
    // As builds before have it.
    let old = SetLimits::new(&[9, 9], (2, 3), 40, "calm");
    day.give(Kind::SetLimits, &old.as_bytes()[..std::mem::offset_of!(SetLimits, bounds)]);
    day.give(Kind::Limits, LimitsRecord { cause_seq: 0, epoch: 3, outcome: LimitsOutcome::Set as u32 }.as_bytes());
    assert_eq!((day.state.limits, day.state.unreadable), (Some(old), 0));
    let wanted: Vec<[u32; 2]> = day.state.bounds.values().map(|command| command.bounds.wanted).collect();
    assert_eq!(wanted, [[5, 6]]);
    day.start("next_order_id=0 restarted=0 day=8");
    assert!(day.state.bounds.is_empty(), "of another day");
    assert_eq!(day.state.limits, Some(old));
}

#[test]
fn what_a_strategy_handed_out_last_is_kept_for_the_day_unless_it_panicked_over_it() {
    let mut day = day();
    let give = |day: &mut Day, kind, event: StrategyEvent, strategy, more: &[u8]| {
        let record = StrategyRecord { strategy, event: event as u16, version: 3, ..StrategyRecord::default() };
        day.give(kind, &[record.as_bytes(), more].concat());
    };
    for (strategy, state) in [(1, b"a"), (2, b"b"), (1, b"c")] {
        give(&mut day, Kind::StrategyState, StrategyEvent::State, strategy, state);
    }
    give(&mut day, Kind::Strategy, StrategyEvent::Panicked, 1, b"why");
    give(&mut day, Kind::Strategy, StrategyEvent::NotBuilt, 2, b"why");
    assert_eq!(day.state.strategy_states, [(1, (3, b"c".to_vec()))].into());
    day.start("next_order_id=0 restarted=0 day=8");
    assert!(day.state.strategy_states.is_empty(), "of another day");
}

#[test]
fn records_that_are_too_short_or_unknown_are_counted() {
    let mut day = day();
    day.give(Kind::Order, &[1, 2, 3]);
    day.give(Kind::Start, &[]);
    let header = RecordHeader { kind: 999, ..RecordHeader::default() };
    day.state.apply(&header, &[]);
    assert_eq!(day.state.unreadable, 3);
}

#[test]
fn the_last_day_is_found_from_the_end_of_the_journal() {
    let folder = std::env::temp_dir().join(format!("tern-recovered-day-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    assert_eq!(last_day_begins(&folder).expect("nothing is there"), 0);
    let options = crate::Options { segment_bytes: 4096, ..crate::Options::new("day") };
    let (mut writer, _) = crate::Writer::open(&folder, options).expect("a journal");
    let mut seq = 0;
    let mut give = |kind: Kind, body: &[u8]| {
        seq += 1;
        let body_bytes = body.len() as u32;
        writer.append(&RecordHeader { seq, tai_ns: seq, kind: kind as u16, flags: 0, body_bytes }, body).expect("room");
        seq
    };
    let start = |line: &str| [StartRecord::default().as_bytes(), format!("{RUN_LINE}{line}\n").as_bytes()].concat();
    give(Kind::Start, &start("next_order_id=0 restarted=0 day=7"));
    (0..100).for_each(|_| _ = give(Kind::Datagram, &[0; 200]));
    let begins = give(Kind::Start, &start("next_order_id=0 restarted=0 day=8"));
    give(Kind::Order, OrderRecord { order: 4, ..OrderRecord::default() }.as_bytes());
    (0..100).for_each(|_| _ = give(Kind::Datagram, &[0; 200]));
    give(Kind::Start, &start(&format!("next_order_id=5 restarted=1 day=8 {DAY_BEGINS}={begins}")));
    (0..100).for_each(|_| _ = give(Kind::Datagram, &[0; 200]));
    writer.flush().expect("written");
    let found = last_day_begins(&folder).map(|begins| (begins, recovered(&folder, begins..=u64::MAX)));
    std::fs::remove_dir_all(&folder).expect("it was made");
    let (found, day) = found.expect("a whole journal");
    let (day, tail) = day.expect("a whole journal");
    assert_eq!((found, day.day_begins, day.day, day.runs), (begins, begins, Some(8), 2));
    assert_eq!((day.records, day.next_order_id, tail), (203, 5, 0), "of the day alone");
}

#[test]
fn positions_begin_with_what_the_run_that_agreed_was_told_was_held() {
    let held = |shares: i64| Opening { account: 1, strategy: 1, symbol: *b"AAAA    ", shares, cost: shares * 9_0000 };
    let other = Opening { symbol: *b"ZZ      ", ..held(-7) };
    let start = |day: &mut Day, restarted: u8, opening: &[Opening]| {
        let lines: String = opening.iter().map(Opening::to_line).collect();
        day.start(&format!("day=9 restarted={restarted} journal_seq=0\n{}", lines.trim_end()));
    };
    let shares = |day: &Day| -> Vec<(i64, i64)> {
        day.state.positions().values().map(|position| (position.shares, position.realized())).collect()
    };
    let mut day = Day::default();
    start(&mut day, 0, &[held(100), other]);
    assert_eq!(shares(&day), [(100, 0), (-7, 0)]);
    day.send(ACTION_NEW, 1, 0, 40);
    day.accepted(1, 40);
    day.executed(1, 5, 40, 10_0000, SIDE_SELL, 0);
    assert_eq!(shares(&day), [(60, 40 * 1_0000), (-7, 0)]);
    // Another file in the middle of the day is a difference until somebody accepts it.
    start(&mut day, 1, &[held(200)]);
    day.session_seq = 0;
    day.accepted(1, 40);
    day.executed(1, 5, 40, 10_0000, SIDE_SELL, 0);
    let position = PositionRecord { symbol: *b"AAAA    ", instrument: 3, ..PositionRecord::default() };
    day.give(Kind::Position, position.as_bytes());
    day.outcome(0);
    assert_eq!(shares(&day), [(160, 40 * 1_0000)], "what agreed counts");
    start(&mut day, 1, &[held(300)]);
    assert_eq!(shares(&day), [(160, 40 * 1_0000)], "until it has");
    // The next day begins with its own.
    day.start("day=10 restarted=0 journal_seq=9");
    assert_eq!(shares(&day), []);
    assert_eq!(day.state.unreadable, 0);
}

#[test]
fn trades_that_people_told_count_in_their_place_over_restarts() {
    let told = |after_executions, side, quantity, price| AdjustmentRecord {
        after_executions,
        side,
        quantity,
        price,
        strategy: 1,
        symbol: *b"AAAA    ",
        ..AdjustmentRecord::default()
    };
    let position = |day: &Day| day.state.positions().get(&(1, *b"AAAA    ")).copied().unwrap_or_default();
    let named = PositionRecord { symbol: *b"AAAA    ", instrument: 3, ..PositionRecord::default() };
    let mut day = Day::default();
    day.start("day=9 restarted=0 journal_seq=0");
    day.outcome(0);
    day.send(ACTION_NEW, 1, 0, 200);
    day.accepted(1, 200);
    day.executed(1, 5, 100, 10_0000, SIDE_BUY, 100);
    day.give(Kind::Position, named.as_bytes());
    // Between two trades: sold at a profit of 2 each, and what is bought after it does not change that.
    day.give(Kind::Adjustment, told(1, SIDE_SELL, 50, 12_0000).as_bytes());
    day.executed(1, 6, 100, 14_0000, SIDE_BUY, 0);
    let before = position(&day);
    assert_eq!((before.shares, before.cost, before.realized()), (150, 50 * 10_0000 + 100 * 14_0000, 50 * 2_0000));
    // The next run tells the executions again, and of the adjustments nothing.
    day.start("day=9 restarted=1 journal_seq=9");
    day.session_seq = 0;
    day.give(Kind::Position, named.as_bytes());
    day.accepted(1, 200);
    day.executed(1, 5, 100, 10_0000, SIDE_BUY, 100);
    day.executed(1, 6, 100, 14_0000, SIDE_BUY, 0);
    day.outcome(0);
    assert_eq!(position(&day), before);
    day.give(Kind::Adjustment, told(2, SIDE_SELL, 150, 10_0000).as_bytes());
    assert_eq!((position(&day).shares, position(&day).fills), (0, 4));
    day.start("day=10 restarted=0 journal_seq=9");
    assert_eq!(
        (position(&day), day.state.adjustments.len(), day.state.unreadable),
        (RecoveredPosition::default(), 0, 0)
    );
}
