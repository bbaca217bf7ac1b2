//! Whoever has a pipeline changes its desk beside the inputs.
use tern_core::feed::Feed;
use tern_core::pipeline::{Desk, Pipeline};
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;

fn reach<F: Feed, O: OrderSession, S: StrategySet>(pipeline: &mut Pipeline<F, O, S>) -> &mut Desk {
    &mut pipeline.desk
}

fn main() {}
