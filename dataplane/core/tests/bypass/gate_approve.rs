//! A strategy asks the gate itself, and halts or opens it.
use tern_core::risk::Gate;

fn open(gate: &mut Gate) {
    gate.set_halt(None);
}

fn main() {}
