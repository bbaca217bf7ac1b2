//! A limit in force is written over through the reference that shows it.
use tern_core::risk::Gate;

fn loosen(gate: &Gate) {
    gate.limits().order_quantity_max = u32::MAX;
}

fn main() {}
