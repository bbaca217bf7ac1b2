//! An approval is copied.
use tern_core::risk::Approved;

fn copied<T: Copy>(value: &T) -> T {
    *value
}

fn twice(approved: &Approved) -> Approved {
    copied(approved)
}

fn main() {}
