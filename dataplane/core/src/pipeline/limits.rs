//! Limits change between two inputs: all of them at once, or none.

use super::{Desk, PipelineCounter, Turn, output};
use crate::probe::Probe;
use crate::risk::{Gate, LimitError, LimitId, Limits, SymbolLimits};
use crate::units::{Price, Symbol, TaiNs};
use tern_abi::command::{Command, LIMITS_MAX, LimitsOutcome, SetBounds, SetLimits};
use tern_abi::record::{Kind, LimitsRecord, Recorder};
use zerocopy::IntoBytes;

const _: () = assert!(LimitId::COUNT <= LIMITS_MAX, "a record of all limits has no place for the last of them");

impl Desk {
    /// A command that was recorded. What came of it is recorded too.
    pub(super) fn on_set_limits<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>, command: &SetLimits) {
        self.count(PipelineCounter::Commands, 1);
        let outcome = match limits_after(&self.gate, command) {
            Ok((limits, bounds)) => {
                self.gate.set_limits(limits, turn.now);
                if let Some((symbol, prices)) = bounds {
                    self.gate.set_price_bounds(symbol, prices);
                }
                LimitsOutcome::Set
            }
            Err(outcome) => {
                self.count(PipelineCounter::CommandsRefused, 1);
                outcome
            }
        };
        let epoch = self.gate.limits().epoch;
        let record = LimitsRecord { cause_seq: turn.cause_seq, epoch, outcome: outcome as u32 };
        output(turn, self, Kind::Limits, record.as_bytes());
        // A limit below the loss of now is exceeded: that is no matter of the next price, which may be long in coming.
        if outcome == LimitsOutcome::Set {
            self.heed_losses(turn);
        }
    }

    /// Stops what the profit of now stops, without a new price.
    pub(super) fn heed_losses<R: Recorder, P: Probe>(&mut self, turn: &mut Turn<'_, R, P>) {
        if let Some(reason) = self.gate.watch_losses()
            && !self.gate.is_stopped()
        {
            self.kill(turn, reason);
        }
        self.stop_losers(turn);
    }

    /// One limit by itself, as journals of earlier builds have it.
    pub(super) fn set_limit(&mut self, command: &Command, now: TaiNs) -> Result<(), LimitError> {
        if command.scope != 0 {
            return Err(LimitError::Scope(command.scope));
        }
        let id = LimitId::from_index(command.id as usize).ok_or(LimitError::Unknown(command.id))?;
        let mut limits = *self.gate.limits();
        limits.set(id, command.value)?;
        limits.epoch = command.epoch;
        self.gate.set_limits(limits, now);
        Ok(())
    }
}

/// A symbol with the lowest and the highest price of its orders.
type Bounds = (Symbol, (Price, Price));

/// The limits after `command`, with those of the gate in force, and the bounds of a price that change with them; why not, if
/// it is refused. Decided by the two alone, so that a replay decides the same.
fn limits_after(gate: &Gate, command: &SetLimits) -> Result<(Limits, Option<Bounds>), LimitsOutcome> {
    let now = gate.limits();
    match LimitsOutcome::from_index(command.refused as usize) {
        Some(LimitsOutcome::Set) => {}
        Some(refused) => return Err(refused),
        None => return Err(LimitsOutcome::Unlike),
    }
    if command.count as usize != LimitId::COUNT || command.epoch <= command.epoch_seen {
        return Err(LimitsOutcome::Unlike);
    }
    if command.epoch_seen != now.epoch {
        return Err(LimitsOutcome::Stale);
    }
    let mut limits = Limits { epoch: command.epoch, ..*now };
    for (id, value) in LimitId::ALL.iter().zip(command.values()) {
        limits.set(*id, *value).map_err(|_| LimitsOutcome::Range)?;
    }
    Ok((limits, bounds_after(gate, &command.bounds)?))
}

/// Only bounds that the configuration gave are another's to set: what is in force was seen, or it is refused.
fn bounds_after(gate: &Gate, command: &SetBounds) -> Result<Option<Bounds>, LimitsOutcome> {
    if !command.is_meant() {
        return Ok(None);
    }
    let symbol = Symbol(command.symbol);
    let (lowest, highest) = gate.price_bounds(symbol).ok_or(LimitsOutcome::Range)?;
    let [seen, wanted] = [command.seen, command.wanted].map(|prices| prices.map(|price| Price(price.into())));
    if seen != [lowest, highest] {
        return Err(LimitsOutcome::Stale);
    }
    let [lowest, highest] = wanted;
    let own = SymbolLimits { price_min: Some(lowest), price_max: Some(highest), ..SymbolLimits::new(symbol) };
    match own.wrong_band() {
        Some(_) => Err(LimitsOutcome::Range),
        None => Ok(Some((symbol, (lowest, highest)))),
    }
}
