//! An order that no gate saw goes into the outbox.
use tern_core::outbox::Outbox;
use tern_core::session::{OrderSession, OrderView};

fn send(outbox: &mut Outbox, session: &mut impl OrderSession, view: OrderView) {
    let _ = outbox.push(view, session);
}

fn main() {}
