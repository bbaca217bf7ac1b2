//! A strategy builds the gate's approval itself.
use tern_core::risk::Approved;
use tern_core::session::OrderView;

fn forge(view: OrderView) -> Approved {
    Approved { view }
}

fn main() {}
