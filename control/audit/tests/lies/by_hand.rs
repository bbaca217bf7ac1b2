//! What people did by hand, and what of it nobody wanted.

use crate::common::{BUY, Planted, SELL, executed, flatten, new, told_trade, wished};
use tern_abi::manual::{ManualCommand, ManualStage};
use tern_abi::record::{Kind, OrderRecord};
use tern_audit::Disagreement as Lie;

pub(crate) const LIES: &[Planted] = &[
    ("an order by hand that nobody wanted", Lie::ByHand, |day| {
        day.record(Kind::Timer, &[]);
        day.sent_by_hand(5, new(1, BUY, 100));
    }),
    ("an order by hand that waits for a second person", Lie::ByHand, |day| {
        day.wish(ManualCommand { stage: ManualStage::Asked as u32, ..wished(5, 100) });
        day.sent_by_hand(5, new(1, BUY, 100));
    }),
    ("an order by hand of more shares than were wanted", Lie::ByHand, |day| {
        day.wish(wished(5, 100));
        day.sent_by_hand(5, new(1, BUY, 101));
    }),
    ("an order by hand to the other side", Lie::ByHand, |day| {
        day.wish(wished(5, 100));
        day.sent_by_hand(5, new(1, SELL, 100));
    }),
    ("an order by hand that waits where one to fill at once was wanted", Lie::ByHand, |day| {
        day.wish(ManualCommand { time_in_force: b'3', ..wished(5, 100) });
        day.sent_by_hand(5, OrderRecord { time_in_force: b'0', ..new(1, BUY, 100) });
    }),
    ("an order by hand that takes where one was to wait", Lie::ByHand, |day| {
        day.wish(ManualCommand { post_only: 1, ..wished(5, 100) });
        day.sent_by_hand(5, new(1, BUY, 100));
    }),
    ("an order by hand that is another strategy's", Lie::ByHand, |day| {
        day.wish(wished(5, 100));
        day.sent_by_hand(5, OrderRecord { strategy: 2, ..new(1, BUY, 100) });
    }),
    ("a flatten that goes through zero", Lie::FlattenTurns, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 100, 7));
        day.position(100);
        day.wish(flatten(5));
        day.sent_by_hand(5, new(2, SELL, 101));
    }),
    ("a flatten that forgets what works", Lie::FlattenTurns, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 100, 7));
        day.position(100);
        day.live(new(2, SELL, 60));
        day.wish(flatten(5));
        day.sent_by_hand(5, new(3, SELL, 41));
    }),
    ("an adjustment that nobody wanted", Lie::ByHand, |day| {
        day.record(Kind::Timer, &[]);
        day.adjusted(&told_trade(5, BUY, 100));
        day.position(100);
    }),
    ("an adjustment of more shares than were told", Lie::ByHand, |day| {
        day.wish(told_trade(5, BUY, 100));
        day.adjusted(&told_trade(5, BUY, 101));
        day.position(101);
    }),
    ("an adjustment for another strategy", Lie::ByHand, |day| {
        day.wish(ManualCommand { key: 2, ..told_trade(5, BUY, 100) });
        day.adjusted(&told_trade(5, BUY, 100));
        day.position(100);
    }),
    ("a told trade of more shares than an order may have", Lie::OrderQuantity, |day| {
        day.wish(told_trade(5, BUY, 1001));
        day.adjusted(&told_trade(5, BUY, 1001));
        day.position(1001);
    }),
    ("a told trade worth more than an order may be", Lie::OrderNotional, |day| {
        let told = ManualCommand { price: 100_0001, ..told_trade(5, BUY, 1000) };
        day.wish(told);
        day.adjusted(&told);
    }),
    ("a told trade beyond the position", Lie::Position, |day| {
        day.live(new(1, BUY, 1000));
        day.wish(told_trade(5, BUY, 501));
        day.adjusted(&told_trade(5, BUY, 501));
        day.position(501);
    }),
    ("a position without a trade that was told", Lie::PositionClaim, |day| {
        day.wish(told_trade(5, BUY, 100));
        day.adjusted(&told_trade(5, BUY, 100));
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.position(60);
    }),
];
