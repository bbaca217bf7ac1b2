//! A strategy makes a gate of its own, with limits to its taste.
use tern_core::book::Heap;
use tern_core::risk::{Gate, Limits};

fn lenient() -> Gate {
    Gate::new(Limits { order_quantity_max: u32::MAX, ..Limits::default() }, (&[], i64::MAX), (1, &[]), 1, &mut Heap)
}

fn main() {}
