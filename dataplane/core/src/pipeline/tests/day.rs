//! Messages of the venue's day: what counts, what cancels may use beyond it, and what a restart knows of it.

use super::{Ask, limit, say};
use crate::pipeline::Config;
use crate::risk::{LimitId, Reason};
use crate::session::{OrderAction, VenueEvent, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{Rig, Script, accepted, config, new, scripted};
use crate::units::{OrderId, Price, Side};
use tern_abi::command::CommandKind;

const BUY: fn(u32) -> Intent = |quantity| new(0, Side::Buy, 10_0000, quantity);

fn of_the_day(messages_per_day_max: u32, cancel_day_reserve: u32) -> Config {
    let mut config = config();
    config.limits.messages_per_day_max = messages_per_day_max;
    config.limits.cancel_day_reserve = cancel_day_reserve;
    config
}

#[test]
fn a_day_has_so_many_messages_and_cancels_a_few_more() {
    let (mut rig, lines) = scripted(of_the_day(4, 1), 1);
    for (order, quantity) in [(1, 10), (2, 20)] {
        assert_eq!(say(&mut rig, &lines, BUY(quantity)).len(), 1);
        rig.venue(accepted(order, quantity, 10_0000));
    }
    let replace = |order, quantity| Intent::Replace { order: OrderId(order), price: Price(10_0000), quantity };
    assert_eq!(say(&mut rig, &lines, replace(1, 11)).len(), 1);
    // A refused message is none.
    assert_eq!(say(&mut rig, &lines, replace(77, 1)), []);
    assert_eq!(rig.pipeline.desk().gate().messages(), 3);
    assert_eq!(say(&mut rig, &lines, BUY(30)).len(), 1, "the last of the day");
    assert_eq!(say(&mut rig, &lines, BUY(40)), []);
    assert_eq!(say(&mut rig, &lines, replace(2, 21)), []);
    assert_eq!(rig.refused(Reason::MessagesPerDay), 2);
    let cancel = |order| Intent::Cancel { order: OrderId(order) };
    assert_eq!(say(&mut rig, &lines, cancel(2)), [OrderAction::Cancel { order: OrderId(2) }]);
    assert_eq!(say(&mut rig, &lines, cancel(4)), [], "the reserve is used up");
    assert_eq!(rig.refused(Reason::MessagesPerDay), 3);
    // An operator may grant more; what was sent stays sent.
    limit(&mut rig, LimitId::MessagesPerDayMax, 6);
    assert_eq!(say(&mut rig, &lines, BUY(50)).len(), 1);
    assert_eq!(say(&mut rig, &lines, BUY(60)), []);
}

#[test]
fn a_kill_cancels_whatever_the_day_had() {
    let (mut rig, lines) = scripted(of_the_day(1, 0), 1);
    assert_eq!(say(&mut rig, &lines, BUY(10)).len(), 1);
    rig.venue(accepted(1, 10, 10_0000));
    assert_eq!(say(&mut rig, &lines, Intent::Cancel { order: OrderId(1) }), []);
    rig.command(CommandKind::Kill);
    assert_eq!(rig.sent().len(), 1);
    assert_eq!(rig.pipeline.desk().gate().messages(), 2);
}

#[test]
fn a_restart_within_the_day_goes_on_with_what_segment_or_venue_know() {
    for (messages_sent, next_order_id, known) in [(0, 1, 0), (50, 40, 50), (10, 40, 39), (0, 40, 39)] {
        let config = Config { messages_sent, ..of_the_day(51, 0) };
        let mut rig = Rig::bare(config, 1, (Script::default(),));
        rig.venue(VenueEvent { order: OrderId(next_order_id), ..VenueEvent::new(VenueEventKind::NextOrderId) });
        rig.connect();
        assert_eq!(rig.pipeline.desk().gate().messages(), known);
    }
}
