//! A strategy calls the gate's constructor of approvals.
use tern_core::risk::Approved;
use tern_core::session::OrderView;

fn forge(view: OrderView) -> Approved {
    Approved::new(view)
}

fn main() {}
