//! An approval of zero bytes.
use tern_core::risk::Approved;
use zerocopy::FromZeros;

fn forge() -> Approved {
    Approved::new_zeroed()
}

fn main() {}
