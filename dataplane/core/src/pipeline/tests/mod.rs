//! The pipeline between fakes: what goes in, what is recorded, what leaves.

mod connection;
mod gate;
mod lifecycle;
mod model;
mod restart;
mod scopes;
mod self_trade;
mod stake;
mod way_out;

use super::PipelineCounter;
use crate::orders::{OrderNote, OrderState};
use crate::risk::Reason;
use crate::testing::Rig;
use crate::units::OrderId;

/// Questions that the tests ask.
trait Ask {
    fn refused(&self, reason: Reason) -> u64;
    fn noted(&self, note: OrderNote) -> u64;
    fn counted(&self, counter: PipelineCounter) -> u64;
    fn state(&self, order: u32) -> Option<OrderState>;
    fn leaves(&self, order: u32) -> u32;
    fn open(&self, side: crate::units::Side) -> i64;
}

impl<S: crate::strategy::StrategySet> Ask for Rig<S> {
    fn refused(&self, reason: Reason) -> u64 {
        self.pipeline.desk().refusals()[reason.index()]
    }
    fn noted(&self, note: OrderNote) -> u64 {
        self.pipeline.desk().notes()[note.index()]
    }
    fn counted(&self, counter: PipelineCounter) -> u64 {
        self.pipeline.desk().counter(counter)
    }
    fn state(&self, order: u32) -> Option<OrderState> {
        self.pipeline.desk().orders().find(OrderId(order)).map(|order| order.state())
    }
    fn leaves(&self, order: u32) -> u32 {
        self.pipeline.desk().orders().find(OrderId(order)).map_or(0, |order| order.leaves())
    }
    fn open(&self, side: crate::units::Side) -> i64 {
        self.pipeline.desk().gate().exposures()[0].open(side)
    }
}
