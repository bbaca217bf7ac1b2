//! What the venue told, and what the records make of it.

use crate::common::{BUY, Day, Planted, SELL, accepted, broken, executed, new, replace, replaced};
use tern_audit::Disagreement as Lie;

pub(crate) const LIES: &[Planted] = &[
    ("a replace of no order", Lie::ReplaceUnknown, |day| day.order(replace(8, 9, BUY, 10))),
    ("a replace of the other side", Lie::ReplaceUnlike, |day| {
        day.live(new(1, BUY, 10));
        day.order(replace(1, 2, SELL, 10));
    }),
    ("the venue has an order without record", Lie::NoRecord, |day| day.said(&accepted(&new(1, BUY, 10)))),
    ("a trade without record", Lie::NoRecord, |day| day.said(&executed(1, 10, 7))),
    ("other shares left", Lie::EchoQuantity, |day| {
        day.order(new(1, BUY, 10));
        day.said(&accepted(&new(1, BUY, 100)));
    }),
    ("another price left", Lie::EchoPrice, |day| {
        day.order_with(new(1, BUY, 10), |order| order.price = 9_9999);
        day.said(&accepted(&new(1, BUY, 10)));
    }),
    ("a sell left at a lower price", Lie::EchoPrice, |day| {
        day.order_with(new(1, SELL, 10), |order| order.price = 10_0001);
        day.said(&accepted(&new(1, SELL, 10)));
    }),
    ("the other side left", Lie::EchoSide, |day| {
        day.order(new(1, BUY, 10));
        day.said(&accepted(&new(1, SELL, 10)));
    }),
    ("an order left for the continuous market", Lie::EchoCross, |day| {
        day.order_with(new(1, BUY, 10), |order| order.time_in_force = b'7');
        day.said(&accepted(&new(1, BUY, 10)));
    }),
    ("a market order outside of a cross", Lie::OrderPrice, |day| {
        day.order_with(new(1, BUY, 10), |order| order.price = 0x7FFF_FFFF);
    }),
    ("another symbol left", Lie::EchoSymbol, |day| {
        day.order_with(new(1, BUY, 10), |order| order.symbol = *b"OTHER   ");
        day.said(&accepted(&new(1, BUY, 10)));
    }),
    ("a replaced total that is wrong", Lie::ReplaceTotal, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 40, 7));
        day.order(replace(1, 2, BUY, 100));
        day.said(&replaced(&replace(1, 2, BUY, 100), 100));
    }),
    ("another order replaced", Lie::ReplaceChain, |day| {
        day.live(new(1, BUY, 100));
        day.live(new(2, BUY, 100));
        day.order(replace(1, 3, BUY, 100));
        day.said(&replaced(&replace(2, 3, BUY, 100), 100));
    }),
    ("more executed than ordered", Lie::OverExecution, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.said(&executed(1, 41, 8));
    }),
    ("a break of no trade", Lie::UnknownBreak, |day| {
        day.live(new(1, BUY, 100));
        day.said(&broken(1, 7));
    }),
    ("left although it is said not to have", Lie::LeftAfterAll, |day| {
        day.order(new(1, BUY, 100));
        day.event(1, 0, 0);
        day.said(&accepted(&new(1, BUY, 100)));
    }),
    ("a position that the trades do not make", Lie::PositionClaim, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.position(50);
    }),
    ("a position without what was held when the day began", Lie::PositionClaim, |day| {
        *day = Day::opened(1400);
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.position(60);
    }),
    ("beyond position_max with what was held when the day began", Lie::Position, |day| {
        *day = Day::opened(1400);
        day.order(new(1, BUY, 101));
    }),
    ("open shares that the answers do not leave", Lie::LeavesClaim, |day| {
        day.live(new(1, BUY, 100));
        day.said(&executed(1, 60, 7));
        day.event(1, 60, 3);
    }),
];

#[test]
fn answers_in_pieces_are_read_like_answers_in_one() {
    let mut day = Day::new();
    day.order(new(1, BUY, 10));
    let message = accepted(&new(1, BUY, 11));
    let bytes = [&(message.len() as u16 + 1).to_be_bytes()[..], b"S", &message].concat();
    for piece in bytes.chunks(7) {
        day.bytes(piece);
    }
    let (counts, found) = day.audited();
    assert_eq!(found.iter().map(|finding| finding.what).collect::<Vec<_>>(), [Lie::EchoQuantity]);
    assert_eq!((counts.answers, found[0].expected, found[0].found), (2, 10, 11));
}
