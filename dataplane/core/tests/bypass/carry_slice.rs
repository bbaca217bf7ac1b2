//! A transport is fed bytes that passed no gate.
use tern_core::outbox::Carrier;

fn smuggle(transport: &mut impl Carrier, order: &[u8]) {
    let _ = transport.carry_order(order);
    let _ = transport.carry_control(order);
}

fn main() {}
