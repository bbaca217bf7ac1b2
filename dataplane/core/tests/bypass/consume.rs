//! A strategy takes the order out of an approval, past the outbox.
use tern_core::risk::Approved;
use tern_core::session::OrderView;

fn take(approved: Approved) -> OrderView {
    approved.consume()
}

fn main() {}
