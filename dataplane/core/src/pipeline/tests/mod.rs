//! The pipeline between fakes: what goes in, what is recorded, what leaves.

mod adjust;
mod answers;
mod bands;
mod bounds;
mod connection;
mod crash;
mod daemon;
mod day;
mod distrust;
mod fees;
mod gate;
mod hash;
mod hours;
mod lifecycle;
mod limits;
mod manual;
mod model;
mod money;
mod opening;
mod proof;
mod reference;
mod restart;
mod scopes;
mod self_trade;
mod short_sale;
mod slow;
mod stake;
mod terms;
mod throttle;
mod way_out;

use super::{Config, PipelineCounter};
use crate::input::Input;
use crate::orders::{OrderNote, OrderState};
use crate::risk::{LimitId, Reason};
use crate::session::OrderAction;
use crate::strategy::{Intent, StrategySet};
use crate::testing::{Lines, Rig, Script, config};
use crate::units::OrderId;
use alloc::vec::Vec;
use tern_abi::command::{Command, CommandKind};

/// Questions that the tests ask.
trait Ask {
    fn refused(&self, reason: Reason) -> u64;
    fn noted(&self, note: OrderNote) -> u64;
    fn counted(&self, counter: PipelineCounter) -> u64;
    fn state(&self, order: u32) -> Option<OrderState>;
    fn leaves(&self, order: u32) -> u32;
    fn open(&self, side: crate::units::Side) -> i64;
}

impl<S: StrategySet> Ask for Rig<S> {
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

/// Sets a limit, which makes its epoch 3.
fn limit<S: StrategySet>(rig: &mut Rig<S>, id: LimitId, value: i64) {
    let command = Command { kind: CommandKind::SetLimit as u32, id: id as u32, value, epoch: 3, ..Command::default() };
    rig.input(Input::Command(&command));
    assert_eq!(rig.pipeline.desk().gate().limits().get(id), value);
}

/// The strategy with these lines wants something; what leaves.
fn say<S: StrategySet>(rig: &mut Rig<S>, lines: &Lines, intent: Intent) -> Vec<OrderAction> {
    lines.borrow_mut().push_back(intent);
    rig.input(Input::Timer);
    rig.sent().into_iter().map(|sent| sent.action).collect()
}

type Two = (Script, Script);

/// Two strategies with the ids 1 and 2 on one account, and the symbols S0 and S1.
fn two() -> (Rig<Two>, [Lines; 2]) {
    two_with(config())
}

fn two_with(config: Config) -> (Rig<Two>, [Lines; 2]) {
    let scripts = (Script::default(), Script::default());
    let lines = [scripts.0.lines.clone(), scripts.1.lines.clone()];
    (Rig::ready(config, 2, scripts), lines)
}
