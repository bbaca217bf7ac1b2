//! An approval out of nothing.
use tern_core::risk::Approved;

fn forge() -> Approved {
    Approved::default()
}

fn main() {}
