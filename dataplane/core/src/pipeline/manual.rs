//! What a person does by hand: an order and a cancel. They go the way of a strategy's intents, through the same gate; a flatten is in
//! `flatten.rs`, a position set right in `adjust.rs`.

use super::{Desk, Pipeline, PipelineCounter, Turn, output};
use crate::feed::Feed;
use crate::orders::{LATE_MAX, Life, Slot};
use crate::probe::Probe;
use crate::risk::{Owner, Reason, Refusal};
use crate::session::{OrderSession, TimeInForce};
use crate::strategy::{Intent, StrategySet};
use crate::units::{OrderId, Price, Side, Symbol};
use tern_abi::manual::{ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};
use tern_abi::record::{Kind, Recorder};
use zerocopy::IntoBytes;

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// A wish that was recorded. What came of it is recorded too; one that only tells how far it has come changes nothing.
    pub(super) fn on_manual<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, wish: &ManualCommand) {
        self.desk.count(PipelineCounter::Commands, 1);
        match wish.stage() {
            Some(ManualStage::Do) => {}
            Some(ManualStage::Check) => return self.desk.check_by_hand(turn, wish, &self.session),
            Some(ManualStage::Asked) => return,
            Some(ManualStage::Role | ManualStage::Lapsed | ManualStage::Dropped) | None => {
                self.desk.count(PipelineCounter::CommandsRefused, 1);
                return;
            }
        }
        match wish.what() {
            Some(ManualKind::Order | ManualKind::Flatten | ManualKind::Adjust) if wish.is_too_old(turn.now.0) => {
                self.desk.refuse_by_hand(turn, wish.request, ManualOutcome::Expired);
            }
            Some(ManualKind::Order) => self.order_by_hand(turn, wish),
            Some(ManualKind::Cancel) => self.desk.cancel_by_hand(turn, wish),
            Some(ManualKind::Flatten) => self.begin_flatten(turn, wish),
            Some(ManualKind::Adjust) => self.desk.adjust_by_hand(turn, wish),
            None => self.desk.refuse_by_hand(turn, wish.request, ManualOutcome::Malformed),
        }
    }

    fn order_by_hand<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, wish: &ManualCommand) {
        let (owner, intent) = match self.desk.read_order(wish) {
            Ok(read) => read,
            Err(Unread::Outcome(outcome)) => return self.desk.refuse_by_hand(turn, wish.request, outcome),
            Err(Unread::Refusal(refusal)) => {
                self.desk.count_refusal(refusal.reason);
                return self.desk.refused_by_hand(turn, wish.request, 0, refusal);
            }
        };
        let order = self.desk.ids.next();
        match self.act_by_hand(turn, owner, &intent) {
            Ok(()) => {
                self.desk.tell_by_hand(turn, ManualRecord { request: wish.request, order, ..told(ManualOutcome::Sent) })
            }
            Err(refusal) => self.desk.refused_by_hand(turn, wish.request, 0, refusal),
        }
    }

    /// One intent of an owner who was not asked: the way of those that strategies have.
    pub(super) fn act_by_hand<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        owner: Owner,
        intent: &Intent,
    ) -> Result<(), Refusal> {
        self.desk.count(PipelineCounter::Intents, 1);
        let outcome = self.desk.act(turn, owner, 0, intent, &mut self.session);
        if let Err(refusal) = outcome {
            self.desk.refused(turn, owner, intent, refusal);
            if refusal.reason == Reason::SelfTrade {
                self.desk.clear_the_way(intent);
            }
        }
        outcome
    }
}

/// Why there is no order that the gate could be asked about.
enum Unread {
    Outcome(ManualOutcome),
    Refusal(Refusal),
}

/// A record of this outcome with nothing else in it.
pub(super) fn told(outcome: ManualOutcome) -> ManualRecord {
    ManualRecord { outcome: outcome as u32, ..ManualRecord::default() }
}

impl Desk {
    /// Whose the orders are that a person sends.
    fn owner_by_hand(&self) -> Option<Owner> {
        let strategy = self.config.by_hand?;
        self.owners().iter().find(|owner| owner.strategy == strategy).copied()
    }

    /// The order that a wish is about, and whose it is.
    fn read_order(&self, wish: &ManualCommand) -> Result<(Owner, Intent), Unread> {
        let owner = self.owner_by_hand().ok_or(Unread::Outcome(ManualOutcome::NoDesk))?;
        let malformed = || Unread::Outcome(ManualOutcome::Malformed);
        let side = Side::from_u8(wish.side).ok_or_else(malformed)?;
        let time_in_force = TimeInForce::from_letter(wish.time_in_force).ok_or_else(malformed)?;
        let unknown = Unread::Refusal(Refusal::new(Reason::UnknownInstrument));
        let instrument = self.instruments.get(Symbol(wish.symbol)).ok_or(unknown)?;
        let intent = Intent::New {
            instrument,
            side,
            price: Price(wish.price),
            quantity: wish.quantity,
            min_quantity: 0,
            time_in_force,
            post_only: wish.post_only != 0,
        };
        Ok((owner, intent))
    }

    /// Says what would come of a wish now, and does nothing of it.
    fn check_by_hand<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        wish: &ManualCommand,
        session: &impl OrderSession,
    ) {
        let request = wish.request;
        let passes = ManualRecord { request, order: wish.order, ..told(ManualOutcome::Passes) };
        match wish.what() {
            Some(ManualKind::Order) => match self.read_order(wish) {
                Ok((owner, intent)) => match self.check(turn.now, owner.index.into(), 0, &intent, session) {
                    Ok(()) => self.tell_by_hand(turn, passes),
                    Err(refusal) => self.refused_by_hand(turn, request, 0, refusal),
                },
                Err(Unread::Outcome(outcome)) => self.refuse_by_hand(turn, request, outcome),
                Err(Unread::Refusal(refusal)) => self.refused_by_hand(turn, request, 0, refusal),
            },
            Some(ManualKind::Cancel) if self.open_by_hand(wish).is_some() => self.tell_by_hand(turn, passes),
            Some(ManualKind::Cancel) => {
                self.refused_by_hand(turn, request, wish.order, Refusal::new(Reason::UnknownOrder));
            }
            Some(ManualKind::Flatten) => match self.count_targets(wish) {
                Ok(count) => self.tell_by_hand(turn, ManualRecord { count, ..passes }),
                Err(outcome) => self.refuse_by_hand(turn, request, outcome),
            },
            Some(ManualKind::Adjust) => self.check_adjustment(turn, wish),
            None => self.refuse_by_hand(turn, request, ManualOutcome::Malformed),
        }
    }

    /// The open order that a wish names.
    fn open_by_hand(&self, wish: &ManualCommand) -> Option<Slot> {
        let slot = self.orders.slot(OrderId(wish.order))?;
        self.orders.get(slot).filter(|order| !matches!(order.life, Life::Dead(_))).map(|_| slot)
    }

    /// An operator wants an order gone, whosever it is: like one of a cancel of all it is sent as soon as the venue takes it, and
    /// once more if the venue refused or never answered it.
    fn cancel_by_hand<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, wish: &ManualCommand) {
        let slot = self.open_by_hand(wish);
        let Some(order) = slot.and_then(|slot| self.orders.get_mut(slot)) else {
            self.count_refusal(Reason::UnknownOrder);
            return self.refused_by_hand(turn, wish.request, wish.order, Refusal::new(Reason::UnknownOrder));
        };
        order.forget_refused_cancels();
        if order.late >= LATE_MAX {
            order.forget_cancel_sent();
        }
        order.cancel_wanted = true;
        self.sweep_due = true;
        let record = ManualRecord { request: wish.request, order: wish.order, ..told(ManualOutcome::Canceling) };
        self.tell_by_hand(turn, record);
    }

    /// It could not even be asked for.
    pub(super) fn refuse_by_hand<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        request: u64,
        outcome: ManualOutcome,
    ) {
        self.count(PipelineCounter::CommandsRefused, 1);
        self.tell_by_hand(turn, ManualRecord { request, ..told(outcome) });
    }

    /// The gate refused it.
    pub(super) fn refused_by_hand<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        request: u64,
        order: u32,
        refusal: Refusal,
    ) {
        let Refusal { reason, limit, value } = refusal;
        let record =
            ManualRecord { request, order, reason: reason as u32 + 1, limit, value, ..told(ManualOutcome::Refused) };
        self.tell_by_hand(turn, record);
    }

    /// Records what came of it.
    pub(super) fn tell_by_hand<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, record: ManualRecord) {
        let record = ManualRecord { cause_seq: turn.cause_seq, ..record };
        output(turn, self, Kind::ManualOutcome, record.as_bytes());
    }
}
