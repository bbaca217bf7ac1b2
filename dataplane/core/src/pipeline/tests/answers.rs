//! A venue that answers late, or not at all.

use super::Ask;
use crate::input::{ConnEvent, DownReason, Input};
use crate::orders::OrderState;
use crate::pipeline::{Config, PipelineCounter};
use crate::risk::{HaltReason, Reason};
use crate::session::{OrderAction, VenueEvent, VenueEventKind};
use crate::strategy::{Intent, OrderEvent};
use crate::testing::{Lines, Rig, Script, accepted, config, executed, new, replaced, told};
use crate::units::{OrderId, Price, Side, TaiNs};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use tern_abi::command::CommandKind;
use tern_abi::record::{Kind, OrderEventRecord};

const TIMEOUT_NS: u64 = 1_000_000_000;

struct Bench {
    rig: Rig<(Script,)>,
    lines: Lines,
    heard: Rc<RefCell<Vec<OrderEvent>>>,
}

/// A bench that has sent a buy of 100 at 10.0000, id 1.
fn bench() -> Bench {
    let script = Script::default();
    let (lines, heard) = (script.lines.clone(), script.heard.clone());
    let rig = Rig::ready(Config { ack_timeout_ns: TIMEOUT_NS, ..config() }, 1, (script,));
    let mut bench = Bench { rig, lines, heard };
    assert_eq!(bench.say(new(0, Side::Buy, 10_0000, 100)), [OrderAction::New { order: OrderId(1) }]);
    bench
}

impl Bench {
    fn say(&mut self, intent: Intent) -> Vec<OrderAction> {
        super::say(&mut self.rig, &self.lines, intent)
    }

    /// The loop comes when it is asked to, which is after `ns` at the latest; what leaves then.
    fn wait(&mut self, ns: u64) -> Vec<OrderAction> {
        // Each input takes its time.
        let until = self.rig.now.plus(ns + 5_000);
        while self.rig.pipeline.next_deadline() <= until {
            self.rig.now = self.rig.now.max(self.rig.pipeline.next_deadline());
            self.rig.input(Input::Timer);
        }
        self.rig.now = self.rig.now.max(until);
        self.rig.sent().into_iter().map(|sent| sent.action).collect()
    }

    fn late(&self) -> (u64, u32) {
        (self.rig.counted(PipelineCounter::AnswersLate), self.rig.pipeline.desk().unanswered())
    }

    fn halt(&self) -> Option<HaltReason> {
        self.rig.pipeline.desk().gate().halt()
    }

    /// How often the strategy was told of silence.
    fn told_of_silence(&self) -> usize {
        self.heard.borrow().iter().filter(|event| event.kind == VenueEventKind::Unanswered).count()
    }
}

const CANCEL: Intent = Intent::Cancel { order: OrderId(1) };

#[test]
fn an_order_that_is_not_answered_counts_is_cancelled_once_and_stops_trading_in_the_end() {
    let mut bench = bench();
    assert!(bench.wait(TIMEOUT_NS - 10_000).is_empty());
    assert_eq!((bench.late(), bench.told_of_silence()), ((0, 0), 0));
    assert_eq!(bench.wait(10_000), [OrderAction::Cancel { order: OrderId(1) }]);
    assert_eq!((bench.late(), bench.told_of_silence(), bench.halt()), ((1, 1), 1, None));
    assert_eq!((bench.rig.state(1), bench.rig.open(Side::Buy)), (Some(OrderState::PendingCancel), 100));
    let silence = |bench: &Bench| {
        let records: Vec<OrderEventRecord> = bench.rig.rec.all(Kind::OrderEvent);
        let of_silence = records.iter().filter(|record| record.kind == VenueEventKind::Unanswered as u8);
        of_silence.map(|record| (record.order, record.leaves, record.reason, record.session_seq)).collect::<Vec<_>>()
    };
    assert_eq!(silence(&bench), [(1, 100, 1, 0)]);
    assert!(bench.wait(TIMEOUT_NS).is_empty(), "no cancel is sent twice");
    assert_eq!((bench.late(), bench.told_of_silence(), bench.halt()), ((2, 1), 2, Some(HaltReason::NoAnswer)));
    assert_eq!((bench.rig.state(1), bench.rig.open(Side::Buy)), (Some(OrderState::Unknown), 100));
    assert_eq!(silence(&bench), [(1, 100, 1, 0), (1, 100, 2, 0)]);
    // It stays open, and nothing more is tried by itself.
    assert!(bench.wait(100 * TIMEOUT_NS).is_empty());
    bench.say(new(0, Side::Buy, 9_9900, 100));
    assert_eq!(bench.rig.refused(Reason::Halted), 1);
    // The operator's cancel-all is another try.
    bench.rig.command(CommandKind::Resume);
    bench.rig.command(CommandKind::CancelAll);
    assert_eq!(bench.wait(0), [OrderAction::Cancel { order: OrderId(1) }]);
    bench.wait(TIMEOUT_NS);
    assert_eq!(bench.halt(), Some(HaltReason::NoAnswer), "a venue that still says nothing stops trading again");
    bench.rig.venue(told(VenueEventKind::Rejected, 1, 0));
    assert_eq!((bench.rig.state(1), bench.rig.open(Side::Buy)), (Some(OrderState::Rejected), 0));
    assert_eq!(bench.late().1, 0);
}

#[test]
fn an_answer_after_the_deadline_is_taken_and_the_cancel_goes_on() {
    let mut bench = bench();
    bench.wait(TIMEOUT_NS + 1000);
    bench.rig.venue(accepted(1, 100, 10_0000));
    assert_eq!((bench.rig.state(1), bench.late().1), (Some(OrderState::PendingCancel), 0));
    bench.rig.venue(executed(1, 40, 10_0000, 1));
    bench.rig.venue(told(VenueEventKind::Canceled, 1, 60));
    assert_eq!((bench.rig.state(1), bench.rig.open(Side::Buy)), (Some(OrderState::Canceled), 0));
    assert!(bench.wait(100 * TIMEOUT_NS).is_empty());
    assert_eq!((bench.late(), bench.halt()), ((1, 0), None));
}

#[test]
fn an_answer_in_time_leaves_nothing_to_wait_for() {
    let mut bench = bench();
    bench.rig.venue(accepted(1, 100, 10_0000));
    bench.say(Intent::Replace { order: OrderId(1), price: Price(10_0100), quantity: 50 });
    bench.rig.venue(replaced(1, 2, 50, 10_0100));
    assert!(bench.wait(100 * TIMEOUT_NS).is_empty());
    // What the venue ignores without a word is about an order whose end it has said.
    bench.say(Intent::Replace { order: OrderId(2), price: Price(10_0000), quantity: 70 });
    bench.say(Intent::Cancel { order: OrderId(2) });
    bench.rig.venue(executed(2, 50, 10_0100, 1));
    assert_eq!(bench.rig.pipeline.desk().orders().open_count(), 0);
    bench.wait(100 * TIMEOUT_NS);
    assert_eq!((bench.late(), bench.halt()), ((0, 0), None));
}

#[test]
fn a_replace_that_is_not_answered_is_cancelled_under_the_id_that_it_gives() {
    let mut bench = bench();
    bench.rig.venue(accepted(1, 100, 10_0000));
    bench.say(Intent::Replace { order: OrderId(1), price: Price(10_0100), quantity: 150 });
    assert_eq!(bench.wait(TIMEOUT_NS), [OrderAction::Cancel { order: OrderId(2) }]);
    assert_eq!(bench.rig.open(Side::Buy), 150, "the greater of both, all the time");
    bench.wait(TIMEOUT_NS);
    assert_eq!((bench.rig.open(Side::Buy), bench.halt()), (150, Some(HaltReason::NoAnswer)));
    // The venue's log says what became of it.
    bench.rig.conn(ConnEvent::Down(DownReason::Reset));
    assert!(bench.wait(100 * TIMEOUT_NS).is_empty());
    bench.rig.connect();
    assert_eq!((bench.rig.open(Side::Buy), bench.late().1), (100, 0));
    assert_eq!(bench.wait(0), [OrderAction::Cancel { order: OrderId(1) }]);
}

#[test]
fn a_cancel_that_is_not_answered_is_sent_once_more() {
    let mut bench = bench();
    bench.rig.venue(accepted(1, 100, 10_0000));
    assert_eq!(bench.say(CANCEL), [OrderAction::Cancel { order: OrderId(1) }]);
    assert_eq!(bench.wait(TIMEOUT_NS), [OrderAction::Cancel { order: OrderId(1) }]);
    assert_eq!((bench.rig.open(Side::Buy), bench.halt()), (100, None));
    bench.wait(TIMEOUT_NS);
    assert_eq!(bench.halt(), Some(HaltReason::NoAnswer));
}

#[test]
fn a_cancel_that_waits_for_the_cross_has_no_deadline() {
    let mut bench = bench();
    bench.rig.venue(accepted(1, 100, 10_0000));
    bench.say(CANCEL);
    bench.rig.venue(told(VenueEventKind::CancelPending, 1, 0));
    assert!(bench.wait(100 * TIMEOUT_NS).is_empty());
    assert_eq!((bench.late(), bench.halt(), bench.rig.open(Side::Buy)), ((0, 0), None, 100));
    bench.rig.venue(told(VenueEventKind::Canceled, 1, 100));
    assert_eq!(bench.rig.open(Side::Buy), 0);
}

#[test]
fn executions_are_no_answer() {
    let mut bench = bench();
    bench.rig.venue(accepted(1, 100, 10_0000));
    bench.say(CANCEL);
    for number in 1..=4 {
        bench.wait(TIMEOUT_NS / 4);
        bench.rig.venue(executed(1, 1, 10_0000, number));
    }
    assert_eq!(bench.late(), (1, 1));
}

#[test]
fn what_a_log_that_begins_anew_does_not_tell_has_a_deadline_too() {
    let mut bench = bench();
    bench.rig.conn(ConnEvent::Down(DownReason::Reset));
    bench.rig.conn(ConnEvent::Up);
    bench.rig.conn(ConnEvent::Room(1 << 20));
    // Something was heard of the log that is gone.
    bench.rig.pipeline.desk.last_session_seq = 5;
    bench.rig.venue(VenueEvent::new(VenueEventKind::LoggedIn));
    bench.rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
    assert_eq!((bench.rig.state(1), bench.halt()), (Some(OrderState::PendingNew), Some(HaltReason::LogChanged)));
    assert_eq!(bench.wait(TIMEOUT_NS), [OrderAction::Cancel { order: OrderId(1) }]);
    assert_eq!(bench.late(), (1, 1));
}

#[test]
fn without_a_timeout_nothing_is_ever_late() {
    let script = Script::default();
    let lines = script.lines.clone();
    let mut rig = Rig::ready(config(), 1, (script,));
    super::say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100));
    assert_eq!(rig.pipeline.next_deadline(), TaiNs::NEVER);
}
