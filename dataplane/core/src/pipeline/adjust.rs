//! A trade that no log of the venue has, told by a person: made or broken by phone, or handed over by another strategy. It counts in
//! a position like an execution, once the gate has looked at it like at an order that is filled at once.
//!
//! The record of it comes before its effect and is all that a restart knows of it: the next run hears the venue's log of the day
//! again, and counts it behind as many executions as it did at first.

use super::manual::told;
use super::{Desk, PipelineCounter, Turn};
use crate::portfolio::Adjustment;
use crate::probe::Probe;
use crate::reconcile::LedgerAdjustment;
use crate::risk::{Owner, Reason, Refusal};
use crate::units::{Cash, InstrumentId, Price, Quantity, Side, Symbol};
use tern_abi::manual::{AdjustmentRecord, ManualCommand, ManualOutcome, ManualRecord};
use tern_abi::record::{Kind, Recorder};
use zerocopy::IntoBytes;

/// Adjustments of a day.
pub const ADJUSTMENTS_MAX: usize = 256;

/// A trade as a person tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToldTrade {
    pub(super) owner: Owner,
    pub(super) instrument: InstrumentId,
    pub(super) side: Side,
    pub(super) price: Price,
    pub(super) quantity: Quantity,
    /// The price at which the shares of the instrument count with it.
    pub(super) counts_at: Cash,
}

/// Why a trade is not counted.
pub(super) enum NotCounted {
    Outcome(ManualOutcome),
    Refusal(Refusal),
}

impl Desk {
    /// Counts it, if the gate lets it.
    #[cold]
    pub(super) fn adjust_by_hand<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, wish: &ManualCommand) {
        let (trade, _) = match self.read_adjustment(turn, wish) {
            Ok(read) => read,
            Err(why) => {
                if let NotCounted::Refusal(refusal) = &why {
                    self.count_refusal(refusal.reason);
                }
                return self.not_counted(turn, wish, &why);
            }
        };
        let record = AdjustmentRecord {
            cause_seq: turn.cause_seq,
            request: wish.request,
            price: wish.price,
            after_executions: self.executions.told(),
            symbol: wish.symbol,
            quantity: wish.quantity,
            account: self.config.account.0,
            strategy: trade.owner.strategy.0,
            side: wish.side,
            reserved: [0; 7],
        };
        // What is in no journal must not move a position: nobody would find it again.
        if turn.rec.record(turn.now.0, Kind::Adjustment, &[record.as_bytes()]).is_err() {
            self.count(PipelineCounter::RecordsLost, 1);
            return self.halt(turn, crate::risk::HaltReason::RingFull);
        }
        let held = self.count_adjustment(turn, &trade);
        self.tell_by_hand(turn, ManualRecord { request: wish.request, value: held, ..told(ManualOutcome::Adjusted) });
    }

    /// Says what would come of it.
    pub(super) fn check_adjustment<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, wish: &ManualCommand) {
        match self.read_adjustment(turn, wish) {
            Ok((_, held)) => self
                .tell_by_hand(turn, ManualRecord { request: wish.request, value: held, ..told(ManualOutcome::Passes) }),
            Err(why) => self.not_counted(turn, wish, &why),
        }
    }

    fn not_counted<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        wish: &ManualCommand,
        why: &NotCounted,
    ) {
        match *why {
            NotCounted::Outcome(outcome) => self.refuse_by_hand(turn, wish.request, outcome),
            NotCounted::Refusal(refusal) => self.refused_by_hand(turn, wish.request, 0, refusal),
        }
    }

    /// The trade that a wish tells, if it may count, and the shares held with it.
    fn read_adjustment<R, P>(
        &self,
        turn: &Turn<'_, R, P>,
        wish: &ManualCommand,
    ) -> Result<(ToldTrade, i64), NotCounted> {
        if self.is_reconciling() {
            return Err(NotCounted::Outcome(ManualOutcome::Unread));
        }
        if self.portfolio.adjustments() >= ADJUSTMENTS_MAX {
            return Err(NotCounted::Outcome(ManualOutcome::TooMany));
        }
        let malformed = NotCounted::Outcome(ManualOutcome::Malformed);
        let owner = self.owners().iter().find(|owner| u64::from(owner.strategy.0) == wish.key).copied();
        let (Some(owner), Some(side)) = (owner, Side::from_u8(wish.side)) else { return Err(malformed) };
        let Some(instrument) = self.instruments.get(Symbol(wish.symbol)) else {
            return Err(NotCounted::Refusal(Refusal::new(Reason::UnknownInstrument)));
        };
        let (price, quantity) = (Price(wish.price), wish.quantity);
        let checked =
            self.gate.check_told_trade(turn.now, owner.index, (instrument, side), (price, quantity), &self.market());
        let trade =
            ToldTrade { owner, instrument, side, price, quantity, counts_at: checked.map_err(NotCounted::Refusal)? };
        let held = self.portfolio.position(usize::from(owner.index), instrument).shares;
        Ok((trade, held.saturating_add(side.sign() * i64::from(wish.quantity))))
    }

    /// The position moves. The shares that are held with it.
    fn count_adjustment<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, trade: &ToldTrade) -> i64 {
        let place = (trade.owner.index, trade.instrument);
        let before = self.portfolio.position(usize::from(place.0), place.1);
        self.portfolio.adjust(Adjustment {
            after_executions: self.executions.told(),
            owner: trade.owner.index,
            instrument: trade.instrument,
            side: trade.side,
            price: trade.price,
            quantity: trade.quantity,
        });
        self.gate.count_at(trade.instrument, trade.counts_at);
        self.position_changed(turn, place, trade.price, &before);
        self.portfolio.position(usize::from(place.0), place.1).shares
    }

    /// An earlier run of the day counted it; the gate looked at it then.
    #[cold]
    pub(super) fn count_again<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, known: &LedgerAdjustment) {
        // No room: then the position is missing in the comparison, which stops trading.
        let Some(instrument) = self.instruments.intern(known.symbol) else { return };
        if self.portfolio.adjustments() >= ADJUSTMENTS_MAX {
            return;
        }
        self.gate.heed_instruments(&self.instruments);
        let owner = self.owner_of(Some(known.strategy));
        let LedgerAdjustment { side, price, quantity, .. } = *known;
        let counts_at = self.gate.price_with((owner.index, instrument), (side, quantity), price);
        self.count_adjustment(turn, &ToldTrade { owner, instrument, side, price, quantity, counts_at });
    }
}
