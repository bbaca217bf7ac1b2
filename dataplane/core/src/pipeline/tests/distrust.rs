//! Books that lose trust while orders rest on them, where these are held.

use super::{Ask, say};
use crate::feed::Distrust;
use crate::input::Input;
use crate::pipeline::{Config, PipelineCounter};
use crate::risk::{HaltReason, Reason};
use crate::session::OrderAction;
use crate::strategy::Intent;
use crate::testing::{Rig, Script, accepted, config, new, scripted};
use crate::units::{OrderId, Price, Side};
use alloc::vec::Vec;
use tern_abi::command::CommandKind;
use tern_abi::event::{BookEvent, EventKind};

fn cancelled(rig: &mut Rig<(Script,)>) -> Vec<OrderAction> {
    rig.sent().iter().map(|sent| sent.action).collect()
}

fn cancel(order: u32) -> OrderAction {
    OrderAction::Cancel { order: OrderId(order) }
}

#[test]
fn where_orders_are_held_on_an_untrusted_book_they_stay_and_nothing_new_leaves() {
    let (mut rig, lines) = scripted(Config { pull_on_distrust: false, ..config() }, 2);
    lines.borrow_mut().extend([new(0, Side::Buy, 10_0000, 100), new(1, Side::Buy, 10_0000, 100)]);
    lines.borrow_mut().push_back(new(0, Side::Buy, 9_9000, 100));
    rig.input(Input::Timer);
    assert_eq!(rig.sent().len(), 3);
    for (order, price) in [(1, 10_0000), (2, 10_0000), (3, 9_9000)] {
        rig.venue(accepted(order, 100, price));
    }
    // An event that does not fit the book of one instrument, then a gap in the stream of both.
    rig.feed(&[BookEvent { instrument: 1, order: 4242, ..BookEvent::new(EventKind::Delete) }]);
    rig.feed_aged(Some(Distrust::Gap), &[], 0);
    assert_eq!((rig.counted(PipelineCounter::EventErrors), rig.counted(PipelineCounter::TrustLost)), (1, 1));
    lines.borrow_mut().extend([new(0, Side::Buy, 9_8000, 100), new(1, Side::Sell, 10_1000, 100)]);
    lines.borrow_mut().push_back(Intent::Replace { order: OrderId(1), price: Price(9_9900), quantity: 50 });
    rig.input(Input::Timer);
    assert_eq!((cancelled(&mut rig), rig.refused(Reason::BookUntrusted)), ([].into(), 3));
    assert_eq!((rig.open(Side::Buy), rig.pipeline.desk().orders().open_count()), (200, 3));
    // The way out is open: of a strategy, and of an operator.
    assert_eq!(say(&mut rig, &lines, Intent::Cancel { order: OrderId(1) }).len(), 1);
    rig.command(CommandKind::Kill);
    assert_eq!(cancelled(&mut rig), [cancel(2), cancel(3)]);
    assert_eq!(rig.pipeline.desk().gate().halt(), Some(HaltReason::Killed));
}

#[test]
fn what_was_held_rests_on_when_its_book_is_trusted_again() {
    let (mut rig, lines) = scripted(Config { pull_on_distrust: false, ..config() }, 1);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100)).len(), 1);
    rig.venue(accepted(1, 100, 10_0000));
    rig.feed_aged(Some(Distrust::Gap), &[], 0);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 9_9000, 100)), []);
    rig.feed_aged(None, &[], 0);
    assert_eq!(rig.open(Side::Buy), 100);
    assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 9_9000, 100)).len(), 1);
}
