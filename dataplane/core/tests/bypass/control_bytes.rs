//! A session writes an order into the housekeeping bytes past the check.
use tern_core::session::Control;

fn smuggle(control: &mut Control, order: &[u8]) {
    control.bytes[..order.len()].copy_from_slice(order);
    control.length = order.len();
}

fn main() {}
