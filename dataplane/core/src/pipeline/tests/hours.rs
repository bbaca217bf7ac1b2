//! The hours of the day in which orders may be sent.

use super::{Ask, say};
use crate::risk::Reason;
use crate::strategy::Intent;
use crate::testing::{accepted, config, new, scripted};
use crate::units::{OrderId, Price, Side, TaiNs};

#[test]
fn orders_are_sent_within_the_hours_and_cancels_at_any_time() {
    let (opens, closes) = (TaiNs(5_000_000_000), TaiNs(9_000_000_000));
    let mut config = config();
    config.hours = (opens, closes);
    let (mut rig, lines) = scripted(config, 1);
    let buy = |quantity| new(0, Side::Buy, 10_0000, quantity);
    // Each input is a microsecond after the one before.
    rig.now = TaiNs(opens.0 - 1001);
    assert_eq!(say(&mut rig, &lines, buy(1)), [], "a moment before");
    rig.now = TaiNs(opens.0 - 1000);
    assert_eq!(say(&mut rig, &lines, buy(2)).len(), 1, "when it opens");
    rig.venue(accepted(1, 2, 10_0000));
    rig.now = TaiNs(closes.0 - 1001);
    assert_eq!(say(&mut rig, &lines, buy(3)).len(), 1, "the last moment");
    assert_eq!(say(&mut rig, &lines, buy(4)), []);
    let replace = Intent::Replace { order: OrderId(1), price: Price(10_0000), quantity: 1 };
    assert_eq!(say(&mut rig, &lines, replace), []);
    assert_eq!(rig.refused(Reason::OutOfHours), 3);
    assert_eq!(say(&mut rig, &lines, Intent::Cancel { order: OrderId(1) }).len(), 1);
}
