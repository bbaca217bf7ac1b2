//! Bytes are passed off as those of an approved order.
use tern_core::outbox::OrderBytes;

fn forge(bytes: &[u8]) -> OrderBytes<'_> {
    OrderBytes { bytes }
}

fn main() {}
