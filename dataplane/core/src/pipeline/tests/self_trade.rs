//! No order of the account trades with another of its own, whichever strategies sent them.

use super::{Ask, Two, limit, say};
use crate::pipeline::PipelineCounter;
use crate::risk::{LimitId, Reason, SelfTrade, would_trade};
use crate::session::{OrderAction, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{Lines, Rig, accepted, executed, new, replaced, told};
use crate::units::{OrderId, Price, Side};
use alloc::vec::Vec;
use proptest::prelude::*;
use tern_abi::record::{Kind, RefusalRecord};

/// Two strategies on one account, under a policy.
fn two(policy: SelfTrade) -> (Rig<Two>, [Lines; 2]) {
    let (mut rig, lines) = super::two();
    limit(&mut rig, LimitId::SelfTrade, policy as i64);
    assert_eq!(rig.pipeline.desk().gate().limits().self_trade, policy);
    (rig, lines)
}

/// A bid of the first strategy at 10.00 rests.
fn resting(policy: SelfTrade) -> (Rig<Two>, [Lines; 2]) {
    let (mut rig, lines) = two(policy);
    assert_eq!(say(&mut rig, &lines[0], new(0, Side::Buy, 10_0000, 100)).len(), 1);
    rig.venue(accepted(1, 100, 10_0000));
    (rig, lines)
}

#[test]
fn the_newest_is_refused_and_what_rests_stays() {
    let (mut rig, lines) = resting(SelfTrade::CancelNewest);
    assert_eq!(say(&mut rig, &lines[1], new(0, Side::Sell, 10_0000, 10)), []);
    assert_eq!(rig.refused(Reason::SelfTrade), 1);
    let recorded: Vec<RefusalRecord> = rig.rec.all(Kind::Refusal);
    let last = recorded.last().map(|record| (record.reason, record.limit, record.value, record.strategy));
    assert_eq!(last, Some((Reason::SelfTrade as u32, 10_0000, 10_0000, 2)), "theirs, ours, and whose");
    // A tick beside it, or in another instrument, nothing is in the way; nor for the same side.
    assert_eq!(say(&mut rig, &lines[1], new(0, Side::Sell, 10_0001, 10)).len(), 1);
    assert_eq!(say(&mut rig, &lines[1], new(1, Side::Sell, 10_0000, 10)).len(), 1);
    assert_eq!(say(&mut rig, &lines[1], new(0, Side::Buy, 10_0000, 10)).len(), 1);
    assert_eq!((rig.refused(Reason::SelfTrade), rig.counted(PipelineCounter::SystemCancels)), (1, 0));
}

#[test]
fn a_strategy_does_not_trade_with_itself_either() {
    let (mut rig, lines) = resting(SelfTrade::CancelNewest);
    assert_eq!(say(&mut rig, &lines[0], new(0, Side::Sell, 9_9900, 10)), []);
    assert_eq!(rig.refused(Reason::SelfTrade), 1);
}

#[test]
fn the_oldest_makes_way_and_then_the_order_passes() {
    for policy in [SelfTrade::CancelOldest, SelfTrade::CancelBoth] {
        let (mut rig, lines) = resting(policy);
        let sell = new(0, Side::Sell, 10_0000, 10);
        assert_eq!(say(&mut rig, &lines[1], sell), [OrderAction::Cancel { order: OrderId(1) }]);
        // Until the venue says that it is gone, it may trade.
        assert_eq!(say(&mut rig, &lines[1], sell), []);
        rig.venue(told(VenueEventKind::CancelPending, 1, 0));
        assert_eq!(say(&mut rig, &lines[1], sell), []);
        assert_eq!(rig.refused(Reason::SelfTrade), 3);
        rig.venue(told(VenueEventKind::Canceled, 1, 100));
        assert_eq!(say(&mut rig, &lines[1], sell).len(), 1);
        assert_eq!(rig.counted(PipelineCounter::SystemCancels), 1);
    }
}

#[test]
fn a_replace_is_an_order_too_and_stands_at_both_its_prices() {
    let (mut rig, lines) = resting(SelfTrade::CancelNewest);
    assert_eq!(say(&mut rig, &lines[1], new(0, Side::Sell, 10_0200, 10)).len(), 1);
    rig.venue(accepted(2, 10, 10_0200));
    let replace = |price| Intent::Replace { order: OrderId(1), price: Price(price), quantity: 100 };
    assert_eq!(say(&mut rig, &lines[0], replace(10_0200)), []);
    assert_eq!(say(&mut rig, &lines[0], replace(10_0100)).len(), 1);
    // On its way from 10.00 to 10.01: a sell reaches it at either.
    assert_eq!(say(&mut rig, &lines[1], new(0, Side::Sell, 10_0100, 10)), []);
    rig.venue(replaced(1, 3, 100, 10_0100));
    let back = Intent::Replace { order: OrderId(3), price: Price(9_9000), quantity: 100 };
    assert_eq!(say(&mut rig, &lines[0], back).len(), 1);
    assert_eq!(say(&mut rig, &lines[1], new(0, Side::Sell, 10_0000, 10)), [], "still at 10.01 for all we know");
    rig.venue(replaced(3, 4, 100, 9_9000));
    assert_eq!(rig.refused(Reason::SelfTrade), 3);
    assert_eq!(say(&mut rig, &lines[1], new(0, Side::Sell, 10_0000, 10)).len(), 1);
}

#[test]
fn off_is_off() {
    let (mut rig, lines) = resting(SelfTrade::Off);
    assert_eq!(say(&mut rig, &lines[1], new(0, Side::Sell, 10_0000, 10)).len(), 1);
    assert_eq!(rig.refused(Reason::SelfTrade), 0);
}

/// What happens next: intents of both strategies near one price, and answers of the venue in any order.
#[derive(Clone, Debug)]
enum Step {
    New { owner: usize, sell: bool, tick: i64 },
    Replace { pick: usize, tick: i64 },
    Cancel { pick: usize },
    Answer { pick: usize, how: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (pick, tick) = (0_usize..12, 0_i64..6);
    prop_oneof![
        4 => (0_usize..2, any::<bool>(), tick.clone()).prop_map(|(owner, sell, tick)| Step::New { owner, sell, tick }),
        2 => (pick.clone(), tick).prop_map(|(pick, tick)| Step::Replace { pick, tick }),
        1 => pick.clone().prop_map(|pick| Step::Cancel { pick }),
        6 => (pick, 0_u8..5).prop_map(|(pick, how)| Step::Answer { pick, how }),
    ]
}

/// Prices a tenth of a cent apart.
fn price(tick: i64) -> i64 {
    10_0000 + 10 * tick
}

/// The venue answers what is on its way with this order, or trades or cancels it.
fn answer(rig: &mut Rig<Two>, pick: usize, how: u8, match_number: u64) {
    let orders = rig.pipeline.desk().orders();
    let Some(order) = orders.open().nth(pick % (orders.open_count() as usize).max(1)).copied() else { return };
    let id = order.id().0;
    let event = match how {
        0 if order.pending.0 != 0 && order.intended_leaves() > 0 => {
            replaced(id, order.pending.0, order.intended_leaves(), order.pending_price.0)
        }
        1 if order.pending.0 != 0 => told(VenueEventKind::ReplaceRejected, order.pending.0, 0),
        2 => told(VenueEventKind::Canceled, id, order.leaves()),
        3 => executed(id, 1 + order.leaves() / 2, order.price().0, match_number),
        _ => accepted(id, order.leaves() + order.executed, order.price().0),
    };
    rig.venue(event);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_two_open_orders_could_ever_trade_with_one_another(
        steps in proptest::collection::vec(step(), 1..80), policy in 1_usize..4
    ) {
        let policy = SelfTrade::from_index(policy).expect("a policy");
        let (mut rig, lines) = two(policy);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::New { owner, sell, tick } => {
                    let side = if sell { Side::Sell } else { Side::Buy };
                    // Of a size of its own, so that it is no duplicate.
                    say(&mut rig, &lines[owner], new(0, side, price(tick), 10 + number as u32));
                }
                Step::Replace { pick, tick } => {
                    let orders = rig.pipeline.desk().orders();
                    let picked = orders.open().nth(pick % (orders.open_count() as usize).max(1)).copied();
                    if let Some(order) = picked {
                        let intent = Intent::Replace { order: order.id(), price: Price(price(tick)), quantity: 20 };
                        say(&mut rig, &lines[usize::from(order.owner)], intent);
                    }
                }
                Step::Cancel { pick } => {
                    let orders = rig.pipeline.desk().orders();
                    let picked = orders.open().nth(pick % (orders.open_count() as usize).max(1)).copied();
                    if let Some(order) = picked {
                        say(&mut rig, &lines[usize::from(order.owner)], Intent::Cancel { order: order.id() });
                    }
                }
                Step::Answer { pick, how } => answer(&mut rig, pick, how, number as u64 + 1),
            }
            rig.sent();
            let open: Vec<_> = rig.pipeline.desk().orders().open().copied().collect();
            for one in &open {
                for price in [one.price, one.pending_price].into_iter().take(1 + usize::from(one.pending.0 != 0)) {
                    let met = open.iter().find(|other| would_trade(other, one.side, price));
                    prop_assert!(met.is_none(), "{:?} and {:?} could trade", one, met);
                }
            }
            prop_assert_eq!(rig.pipeline.desk().gate().halt(), None);
        }
    }
}
