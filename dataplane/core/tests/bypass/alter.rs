//! An approval is altered after the gate saw it.
use tern_core::risk::Approved;

fn enlarge(approved: &mut Approved) {
    approved.view.quantity = 1_000_000;
}

fn main() {}
