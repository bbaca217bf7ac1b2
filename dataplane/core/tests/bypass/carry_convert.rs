//! Bytes are turned into what a transport takes.
use tern_core::outbox::Carrier;

fn smuggle(transport: &mut impl Carrier, order: &[u8]) {
    let _ = transport.carry_order(order.into());
    let _ = transport.carry_control(order.into());
}

fn main() {}
