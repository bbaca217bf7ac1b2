//! An approval is taken apart, and another one made of the rest of it.
use tern_core::risk::Approved;
use tern_core::session::OrderView;

fn take_apart(approved: Approved) -> OrderView {
    let Approved { view } = approved;
    view
}

fn exchange(approved: Approved, view: OrderView) -> Approved {
    Approved { view, ..approved }
}

fn main() {}
