//! One approved message is carried twice.
use tern_core::outbox::{Carrier, OrderBytes};

fn twice(transport: &mut impl Carrier, order: OrderBytes<'_>) {
    let _ = transport.carry_order(order);
    let _ = transport.carry_order(order);
}

fn main() {}
