//! Order bytes are kept for later, when the kill word may be set.
use tern_core::outbox::{Carrier, OrderBytes, WindowClosed};

struct Hoard<'a>(Vec<OrderBytes<'a>>);

impl<'h> Carrier for Hoard<'h> {
    fn carry_order(&mut self, order: OrderBytes<'_>) -> Result<(), WindowClosed> {
        self.0.push(order);
        Ok(())
    }
    fn carry_control(&mut self, _: tern_core::session::ControlBytes<'_>) -> Result<(), WindowClosed> {
        Ok(())
    }
}

fn main() {}
