//! A run that goes on where another stopped: what the journal knows is taken over, and held against the venue's log.

use super::{AfterRestart, Desk, Pipeline, PipelineCounter, Turn, output};
use crate::feed::Feed;
use crate::probe::Probe;
use crate::reconcile::{Difference, Found, Ledger, LedgerPosition, Reconcile};
use crate::risk::HaltReason;
use crate::session::{OrderSession, VenueEvent, VenueEventKind};
use crate::strategy::StrategySet;
use alloc::boxed::Box;
use tern_abi::reconcile::ReconcileRecord;
use tern_abi::record::{Kind, Recorder};
use zerocopy::IntoBytes;

/// What a restart still asks for before trading goes on, whatever else may have stopped it.
#[derive(Debug)]
pub(crate) enum Recovery {
    /// Nothing.
    Over,
    /// The venue's log, compared with the journal.
    Reconciling(Box<Reconcile>),
    /// An operator who accepts so many differences.
    Differs(u64),
    /// An operator who lets trading go on.
    Agreed,
}

impl Recovery {
    /// The reason for which trading is stopped meanwhile.
    pub(crate) const fn stop(&self) -> Option<HaltReason> {
        match self {
            Self::Over => None,
            Self::Reconciling(_) => Some(HaltReason::Reconciling),
            Self::Differs(_) => Some(HaltReason::ReconcileMismatch),
            Self::Agreed => Some(HaltReason::Restarted),
        }
    }
}

impl<F: Feed, O: OrderSession, S: StrategySet> Pipeline<F, O, S> {
    /// Takes over what the journal says of the day before this run. Once, before the first input: it is part of how the
    /// run begins, and a replay does the same from the same journal.
    ///
    /// Trading is stopped from here on: for the reason it was stopped before, and until the venue's log was compared.
    pub fn recover(&mut self, ledger: Ledger) {
        let desk = &mut self.desk;
        for (strategy, state) in &ledger.states {
            desk.bring_back(*strategy, *state);
        }
        desk.gate.set_halt(Some(ledger.halt.unwrap_or(HaltReason::Reconciling)));
        let first_known = ledger.orders.last().map_or(0, |order| order.id.0.saturating_add(1));
        desk.ids.at_least(crate::units::OrderId(first_known.max(ledger.unknown_ids_below)));
        desk.recovery = Recovery::Reconciling(Box::new(Reconcile::new(ledger)));
    }
}

impl Desk {
    /// Whether the venue's log is still to be compared with the journal.
    pub const fn is_reconciling(&self) -> bool {
        matches!(self.recovery, Recovery::Reconciling(_))
    }

    /// An operator accepts the differences, having seen `seen` of them; `false` when there are none or other ones.
    pub(super) fn accept_differences<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, seen: u32) -> bool {
        if !matches!(self.recovery, Recovery::Differs(differences) if differences == u64::from(seen)) {
            return false;
        }
        self.record_found(turn, &Found::new(Difference::Accepted, i64::from(seen), self.last_session_seq as i64));
        self.recovery = Recovery::Over;
        if self.gate.halt() == Some(HaltReason::ReconcileMismatch) {
            self.lift(turn);
        }
        true
    }

    /// A message of the venue's log, before it takes effect.
    #[cold]
    pub(super) fn reconcile_event<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, event: &VenueEvent) {
        // Out of its place for the time, as what it finds is recorded by the desk that it looks at.
        let Recovery::Reconciling(mut reconcile) = core::mem::replace(&mut self.recovery, Recovery::Over) else {
            return;
        };
        let is_due = reconcile.is_due(event.session_seq) || event.kind == VenueEventKind::CaughtUp;
        let executions = if is_due { u64::MAX } else { self.executions.told() };
        while let Some(adjustment) = reconcile.next_adjustment(executions) {
            self.count_again(turn, &adjustment);
        }
        if reconcile.is_due(event.session_seq) {
            self.judge(turn, &mut reconcile);
        }
        if event.kind == VenueEventKind::CaughtUp {
            return self.reconciled(turn, reconcile);
        }
        if let Some(found) = reconcile.on_event(event) {
            self.found(turn, &mut reconcile, &found);
        }
        self.recovery = Recovery::Reconciling(reconcile);
    }

    /// Orders and positions where the journal ends.
    fn judge<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, reconcile: &mut Reconcile) {
        reconcile.judged();
        let mut at = 0;
        while let Some(found) = reconcile.compare_order(at, &self.orders) {
            at += 1;
            self.found_some(turn, reconcile, found);
        }
        let mut at = 0;
        while let Some(ours) = reconcile.ledger().positions.get(at).copied() {
            at += 1;
            let found = self.compare_position(reconcile, &ours);
            self.found_some(turn, reconcile, found);
        }
        for owner in 0..self.owners().len() {
            for instrument in (0..self.instruments.len() as u32).map(crate::units::InstrumentId) {
                let shares = self.portfolio.position(owner, instrument).shares;
                let Some(symbol) = self.instruments.symbol(instrument).filter(|_| shares != 0) else { continue };
                let theirs = LedgerPosition { strategy: self.owner(owner).strategy, symbol, shares };
                if !reconcile.ledger().positions.iter().any(|ours| self.is_same_place(ours, &theirs)) {
                    let found = Found::new(Difference::PositionDiffers, 0, shares);
                    self.found(turn, reconcile, &Found { position: Some(theirs), ..found });
                }
            }
        }
    }

    /// Whether two positions stand in the same row here: strategies that this host lacks share one.
    fn is_same_place(&self, one: &LedgerPosition, other: &LedgerPosition) -> bool {
        let row = |position: &LedgerPosition| self.owner_of(Some(position.strategy)).index;
        one.symbol == other.symbol && row(one) == row(other)
    }

    fn compare_position(&self, reconcile: &Reconcile, ours: &LedgerPosition) -> Option<Found> {
        let mut same = reconcile.ledger().positions.iter().filter(|other| self.is_same_place(ours, other));
        let first = *same.next()?;
        // The row is spoken of once.
        if first != *ours {
            return None;
        }
        let sum = same.fold(first.shares, |sum, other| sum.saturating_add(other.shares));
        let owner = usize::from(self.owner_of(Some(ours.strategy)).index);
        let instrument = self.instruments.get(ours.symbol);
        let theirs = instrument.map_or(0, |instrument| self.portfolio.position(owner, instrument).shares);
        let found = Found { position: Some(*ours), ..Found::new(Difference::PositionDiffers, sum, theirs) };
        (sum != theirs).then_some(found)
    }

    /// The venue's log has been read: what it lacks, and what comes of it all.
    fn reconciled<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, mut reconcile: Box<Reconcile>) {
        if reconcile.is_due(u64::MAX) {
            self.judge(turn, &mut reconcile);
        }
        let mut at = 0;
        while let Some(found) = reconcile.missing_order(at) {
            at += 1;
            self.found_some(turn, &mut reconcile, found);
        }
        let mut at = 0;
        while let Some(found) = reconcile.missing_execution(at) {
            at += 1;
            self.found_some(turn, &mut reconcile, found);
        }
        let (ours, theirs) = (reconcile.ledger().session_seq, self.last_session_seq);
        if theirs < ours {
            self.found(turn, &mut reconcile, &Found::new(Difference::LogShort, ours as i64, theirs as i64));
        }
        let (records, ids) = (reconcile.ledger().records_missing, reconcile.ledger().unknown_ids_below);
        if records != 0 || ids != 0 {
            let found = Found::new(Difference::JournalBehind, records as i64, i64::from(ids));
            self.found(turn, &mut reconcile, &found);
        }
        let differences = reconcile.differences();
        self.record_found(turn, &Found::new(Difference::Done, differences as i64, theirs as i64));
        self.recovery = match (differences, self.config.after_restart) {
            (0, AfterRestart::Operator) if self.config.restarted => Recovery::Agreed,
            (0, _) => Recovery::Over,
            (differences, _) => Recovery::Differs(differences),
        };
        // Whatever else stopped trading stays the reason; this one comes to light when that is lifted.
        if self.gate.halt() == Some(HaltReason::Reconciling) {
            self.lift(turn);
        }
    }

    fn found_some<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        reconcile: &mut Reconcile,
        found: Option<Found>,
    ) {
        if let Some(found) = found {
            self.found(turn, reconcile, &found);
        }
    }

    fn found<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, reconcile: &mut Reconcile, found: &Found) {
        reconcile.count(found);
        self.count(PipelineCounter::Unanswered, u64::from(found.difference == Difference::Unanswered));
        self.count(PipelineCounter::ReconcileDifferences, u64::from(found.difference.stops()));
        self.record_found(turn, found);
    }

    fn record_found<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, found: &Found) {
        let record = ReconcileRecord {
            cause_seq: turn.cause_seq,
            match_number: found.match_number,
            ours: found.ours,
            theirs: found.theirs,
            symbol: found.position.map_or([0; 8], |position| position.symbol.0),
            order: found.order.0,
            difference: found.difference as u32,
            strategy: found.position.map_or(0, |position| position.strategy.0),
            reserved: [0; 3],
        };
        output(turn, self, Kind::Reconcile, record.as_bytes());
    }
}
