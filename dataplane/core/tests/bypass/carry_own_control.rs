//! A control buffer that lets orders pass is made, and carried past the pipeline.
use tern_core::outbox::Carrier;
use tern_core::session::Control;

fn smuggle(transport: &mut impl Carrier, order: &[u8]) {
    let mut control = Control::new(|_| false);
    let _ = control.send(order);
    let _ = control.hand_over(transport);
}

fn main() {}
