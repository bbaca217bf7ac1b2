//! `ouch_encode`: an Enter Order, framed for SoupBinTCP, as the session ships it, against writing the same fields one
//! after the other into a reused vector.

use std::hint::black_box;

use tern_core::session::{Control, OrderAction, OrderSession, OrderSink, OrderView, TimeInForce, VenueEvent};
use tern_core::units::{InstrumentId, OrderId, Price, Side, StrategyId, Symbol, TaiNs, TraderId};
use tern_venues::itch_ouch::wire::{Alpha, ouch, soup};
use tern_venues::itch_ouch::{OuchConfig, OuchSession};

use crate::harness::{Plan, Row, RowBuilder, interleave, ns_each};

struct NoEvents;

impl OrderSink for NoEvents {
    fn event(&mut self, _: VenueEvent) {}
}

/// A session that a venue accepted.
pub(crate) fn logged_in() -> OuchSession {
    let config = OuchConfig {
        username: Alpha::new(b"bench"),
        password: Alpha::new(b"secret"),
        capacity: ouch::Capacity::Principal,
    };
    let mut session = OuchSession::new(config);
    let mut control = Control::new(OuchSession::is_order_packet);
    session.on_connected(TaiNs(1), &mut control);
    let accepted = soup::LoginAccepted { session: Alpha::new(b"B"), sequence_number: soup::AsciiNumber::new(1) };
    let mut buffer = [0; 64];
    let length = soup::write(&mut buffer, &soup::Packet::LoginAccepted(&accepted)).expect("a login fits");
    session.on_bytes(TaiNs(2), &buffer[..length], &mut NoEvents, &mut control);
    session
}

fn order(id: u32) -> OrderView {
    OrderView {
        action: OrderAction::New { order: OrderId(id) },
        symbol: Symbol(*b"AAPL    "),
        instrument: InstrumentId(7),
        side: if id.is_multiple_of(2) { Side::Buy } else { Side::Sell },
        short: id.is_multiple_of(3),
        price: Price(1_000_000 + i64::from(id % 64)),
        quantity: 100 + id % 900,
        min_quantity: 0,
        time_in_force: TimeInForce::Day,
        post_only: id.is_multiple_of(4),
        strategy: StrategyId(3),
        trader: TraderId(2),
    }
}

/// The fields of the Enter Order table (OUCH 5.0, 2.1), appended one by one, client order id as text.
fn plain(order: &OrderView, out: &mut Vec<u8>) {
    let OrderAction::New { order: id } = order.action else { return };
    out.clear();
    out.extend_from_slice(&[0, 0, b'U', b'O']);
    out.extend_from_slice(&id.0.to_be_bytes());
    out.push(match (order.side, order.short) {
        (Side::Buy, _) => b'B',
        (Side::Sell, false) => b'S',
        (Side::Sell, true) => b'T',
    });
    out.extend_from_slice(&order.quantity.to_be_bytes());
    out.extend_from_slice(&order.symbol.0);
    out.extend_from_slice(&(order.price.0 as u64).to_be_bytes());
    out.extend_from_slice(b"0YPNN");
    out.extend_from_slice(format!("{:<14}", format!("{}-{}", order.strategy.0, order.trader.0)).as_bytes());
    let length = (out.len() - 2) as u16;
    out[..2].copy_from_slice(&length.to_be_bytes());
}

/// See the module.
pub fn ouch_encode(plan: Plan) -> Vec<Row> {
    const ORDERS: u32 = 20_000;
    let mut session = logged_in();
    let mut buffer = [0; 128];
    let mut vector = Vec::with_capacity(128);
    let orders: Vec<OrderView> = (1..=ORDERS * plan.scale as u32).map(order).collect();
    let run_peer = || {
        ns_each(|| {
            for order in &orders {
                plain(black_box(order), &mut vector);
                black_box(&vector);
            }
            orders.len() as u64
        })
    };
    let run_ours = || {
        ns_each(|| {
            for order in &orders {
                let length = session.encode(black_box(order), &mut buffer).expect("the order encodes");
                black_box(&buffer[..length]);
            }
            orders.len() as u64
        })
    };
    let (all_ours, all_peer) = interleave(plan, run_ours, run_peer);
    vec![
        RowBuilder::new("ouch_encode", "ns/order", all_ours)
            .peer("fields appended one by one to a reused Vec, client order id by format!", all_peer)
            .target(20.0)
            .note("Enter Order with appendage and SoupBinTCP framing, from the approved order to bytes in the outbox")
            .build(),
    ]
}
