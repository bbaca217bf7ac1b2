//! A strategy converts an order into an approval.
use tern_core::risk::Approved;
use tern_core::session::OrderView;

fn forge(view: OrderView) -> Approved {
    view.into()
}

fn main() {}
