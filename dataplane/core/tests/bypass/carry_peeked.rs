//! An order message that waits is looked at, and carried without being taken.
use tern_core::feed::Feed;
use tern_core::outbox::Carrier;
use tern_core::pipeline::Pipeline;
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::ConnId;

fn smuggle<F: Feed, O: OrderSession, S: StrategySet>(transport: &mut impl Carrier, pipeline: &Pipeline<F, O, S>) {
    if let Some(order) = pipeline.next_order_bytes(ConnId(0)) {
        let _ = transport.carry_order(order);
    }
}

fn main() {}
