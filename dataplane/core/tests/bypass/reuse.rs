//! An approval is used after it was given away.
use tern_core::risk::Approved;

fn encode(_: Approved) {}

fn twice(approved: Approved) {
    encode(approved);
    encode(approved);
}

fn main() {}
