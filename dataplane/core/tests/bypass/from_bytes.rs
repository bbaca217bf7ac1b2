//! An approval read from bytes.
use tern_core::risk::Approved;
use zerocopy::TryFromBytes;

fn forge(bytes: &[u8]) -> Option<Approved> {
    Approved::try_read_from_bytes(bytes).ok()
}

fn main() {}
