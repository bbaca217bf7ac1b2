//! Limits that are set below what is there already: nothing may be added, and the way out stays open.

use super::{Ask, limit, say};
use crate::input::Input;
use crate::risk::{LimitId, Reason};
use crate::session::{OrderAction, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{Lines, Rig, Script, accepted, config, executed, new, scripted, told};
use crate::units::{OrderId, Price, Side};

/// 100 shares held on `side`, 100 more wanted there by order 2, and then limits of nothing.
fn beyond(side: Side) -> (Rig<(Script,)>, Lines) {
    let (mut rig, lines) = scripted(config(), 1);
    assert_eq!(say(&mut rig, &lines, new(0, side, 10_0000, 100)).len(), 1);
    rig.venue(accepted(1, 100, 10_0000));
    rig.venue(executed(1, 100, 10_0000, 1));
    assert_eq!(say(&mut rig, &lines, new(0, side, 9_9900, 100)).len(), 1);
    rig.venue(accepted(2, 100, 9_9900));
    for id in [LimitId::PositionMax, LimitId::GrossMax, LimitId::NetMax] {
        limit(&mut rig, id, 0);
    }
    assert_eq!(rig.pipeline.desk().gate().halt(), None, "a limit that is lowered stops nothing");
    (rig, lines)
}

#[test]
fn below_the_position_nothing_is_added_and_all_of_it_can_be_closed() {
    for side in [Side::Buy, Side::Sell] {
        let (mut rig, lines) = beyond(side);
        let back = side.opposite();
        assert_eq!(say(&mut rig, &lines, new(0, side, 9_9900, 1)).len(), 0, "{side:?}");
        assert_eq!(rig.refused(Reason::Position), 1);
        // The order that stands there is taken back first, or closing would trade with it.
        assert_eq!(say(&mut rig, &lines, Intent::Cancel { order: OrderId(2) }).len(), 1, "{side:?}");
        rig.venue(told(VenueEventKind::Canceled, 2, 100));
        assert_eq!(say(&mut rig, &lines, new(0, back, 10_0000, 101)).len(), 0, "{side:?}: one too many turns it round");
        assert_eq!(rig.refused(Reason::Position), 2);
        assert_eq!(say(&mut rig, &lines, new(0, back, 10_0000, 60)).len(), 1, "{side:?}");
        assert_eq!(say(&mut rig, &lines, new(0, back, 10_0000, 41)).len(), 0, "{side:?}: open orders count");
        assert_eq!(say(&mut rig, &lines, new(0, back, 10_0000, 40)).len(), 1, "{side:?}");
        assert_eq!(rig.refused(Reason::Position), 3);
    }
}

#[test]
fn below_what_is_open_an_order_can_be_made_smaller_and_not_larger() {
    for side in [Side::Buy, Side::Sell] {
        let (mut rig, lines) = beyond(side);
        let replace = |quantity| Intent::Replace { order: OrderId(2), price: Price(9_9900), quantity };
        assert_eq!(say(&mut rig, &lines, replace(101)).len(), 0, "{side:?}");
        assert_eq!(rig.refused(Reason::Position), 1);
        lines.borrow_mut().push_back(replace(50));
        rig.input(Input::Timer);
        let sent: alloc::vec::Vec<_> = rig.sent().into_iter().map(|sent| sent.action).collect();
        assert_eq!(sent, [OrderAction::Replace { previous: OrderId(2), order: OrderId(3) }], "{side:?}");
    }
}

#[test]
fn limits_of_an_order_below_what_one_stands_for_let_it_be_made_smaller_and_no_larger() {
    for (id, value, reason) in
        [(LimitId::OrderQuantityMax, 40, Reason::Quantity), (LimitId::OrderNotionalMax, 1, Reason::Notional)]
    {
        let (mut rig, lines) = scripted(config(), 1);
        assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 10_0000, 100)).len(), 1);
        rig.venue(accepted(1, 100, 10_0000));
        limit(&mut rig, id, value);
        let replace = |quantity| Intent::Replace { order: OrderId(1), price: Price(10_0000), quantity };
        assert_eq!(say(&mut rig, &lines, replace(101)).len(), 0, "{reason:?}");
        assert_eq!(rig.refused(reason), 1);
        assert_eq!(say(&mut rig, &lines, replace(50)).len(), 1, "{reason:?}");
        assert_eq!(say(&mut rig, &lines, new(0, Side::Buy, 9_9900, 100)).len(), 0, "a new one has nothing to stand on");
        assert_eq!(rig.refused(reason), 2);
    }
}
