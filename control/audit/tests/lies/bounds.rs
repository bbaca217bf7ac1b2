//! Orders beyond what the limits, the prices of a symbol, the position, the rate and the ids allow.

use super::{MARKET, SET_QUANTITY, priced};
use crate::common::{BUY, Planted, SELL, canceled, executed, new, rejected, replace};
use tern_abi::command::{CommandKind, LimitsOutcome};
use tern_abi::record::OrderRecord;
use tern_audit::Disagreement as Lie;

pub(crate) const LIES: &[Planted] = &[
    ("beyond order_quantity_max", Lie::OrderQuantity, |day| day.order(new(1, BUY, 1001))),
    ("beyond what its symbol may have, after an order beyond what all may", Lie::OrderQuantity, |day| {
        day.order_with(new(1, BUY, 2000), |order| order.symbol = *b"WIDE    ");
        day.order_with(new(2, BUY, 2001), |order| order.symbol = *b"WIDE    ");
    }),
    ("beyond a limit that a command set for all, symbols included", Lie::OrderQuantity, |day| {
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.order_with(new(1, BUY, 100), |order| {
            order.symbol = *b"WIDE    ";
            order.limits_epoch = 1;
        });
    }),
    ("no shares", Lie::OrderQuantity, |day| day.order(new(1, BUY, 0))),
    ("beyond order_notional_max", Lie::OrderNotional, |day| {
        day.order_with(new(1, BUY, 1000), |order| order.price = 100_0001);
    }),
    ("a replace above a limit and what it stood for", Lie::OrderQuantity, |day| {
        day.live(new(1, BUY, 500));
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.order_with(replace(1, 2, BUY, 501), |order| order.limits_epoch = 1);
    }),
    ("limits of one record heeded in part", Lie::OrderQuantity, |day| {
        day.set_limits(99, 0, LimitsOutcome::Set, 1);
        day.order_with(new(1, BUY, 100), |order| order.limits_epoch = 1);
    }),
    ("limits that the daemon refused in force", Lie::LimitsEpoch, |day| {
        day.set_limits(99, 0, LimitsOutcome::Role, 1);
    }),
    ("limits against another epoch in force", Lie::LimitsEpoch, |day| {
        day.set_limits(99, 7, LimitsOutcome::Set, 8);
    }),
    ("limits that were set not in force", Lie::LimitsEpoch, |day| {
        day.set_limits(99, 0, LimitsOutcome::Set, 0);
    }),
    ("a price of nothing", Lie::OrderPrice, |day| day.order_with(new(1, BUY, 1), |order| order.price = 0)),
    ("a price above the highest", Lie::OrderPrice, |day| {
        day.command(CommandKind::SetLimit, 1, i64::MAX / 2);
        day.order_with(new(1, BUY, 1), |order| {
            order.price = 1_999_999_901;
            order.limits_epoch = 1;
        });
    }),
    ("a tick below the lowest price of its symbol", Lie::PriceBand, |day| day.order(priced(1, b"BAND    ", 8_9999))),
    ("a tick above the highest price of its symbol on the day's list", Lie::PriceBand, |day| {
        day.order(priced(1, b"BAND    ", 10_0001));
    }),
    ("a tick above the highest price of a symbol that the day's list alone has", Lie::PriceBand, |day| {
        day.order(priced(1, b"LISTED  ", 10_5001));
    }),
    ("a replace to a price outside of the bounds", Lie::PriceBand, |day| {
        day.live(priced(1, b"BAND    ", 10_0000));
        day.order(OrderRecord { price: 8_9999, symbol: *b"BAND    ", ..replace(1, 2, BUY, 10) });
    }),
    ("a market order in a symbol with a lowest price", Lie::PriceBand, |day| {
        day.order(OrderRecord { time_in_force: b'2', ..priced(1, b"ABOVE   ", MARKET) });
    }),
    ("no side", Lie::OrderSide, |day| day.order_with(new(1, SELL, 1), |order| order.side = 3)),
    ("long beyond position_max with open orders", Lie::Position, |day| {
        day.live(new(1, BUY, 1000));
        day.order(new(2, BUY, 501));
    }),
    ("short beyond position_max", Lie::Position, |day| {
        day.live(new(1, SELL, 1000));
        day.said(&executed(1, 1000, 7));
        day.order(new(2, SELL, 501));
    }),
    ("buys and sells taken for one sum", Lie::Position, |day| {
        day.live(new(1, BUY, 1000));
        day.live(new(2, SELL, 1000));
        day.order(new(3, BUY, 600));
    }),
    ("a replace beyond position_max", Lie::Position, |day| {
        day.live(new(1, BUY, 1000));
        day.live(new(2, BUY, 500));
        day.order(replace(2, 3, BUY, 501));
    }),
    ("a strategy beyond the position that it may have itself", Lie::StrategyPosition, |day| {
        day.order_with(new(1, BUY, 301), |order| order.strategy = 9);
    }),
    ("an open order too many", Lie::OpenOrders, |day| (1..=5).for_each(|id| day.order(new(id, BUY, 1)))),
    ("the rate", Lie::Rate, |day| {
        for id in 1..=17 {
            day.order(new(id, BUY, 1));
            day.said(&rejected(id));
        }
    }),
    ("an id twice", Lie::IdReused, |day| {
        day.live(new(1, BUY, 10));
        day.said(&canceled(1, 10));
        day.order(new(1, BUY, 10));
    }),
    ("an id below the last", Lie::IdReused, |day| {
        day.live(new(5, BUY, 10));
        day.order(new(4, BUY, 10));
    }),
    ("an id of the run before", Lie::IdReused, |day| {
        day.live(new(5, BUY, 10));
        day.start(2);
        day.log_in(b"SESSION001", 1);
        day.order(new(2, BUY, 10));
    }),
];
