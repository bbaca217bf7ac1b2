//! Which parts of the firm's orders are restricted, and how far: the kill switch in parts.
//!
//! An order falls under up to four scopes: the firm, the venue, its strategy, its symbol; the strictest counts. That
//! nothing is restricted is the rule, and costs one compare.

use super::{Reason, Refusal, StrategyStop};
use crate::units::Symbol;
use tern_abi::segment::{SCOPES, ScopeKind, TradingState};

/// Owners that there can be: strategies, and the house.
pub(super) const OWNERS: usize = crate::pipeline::STRATEGIES_MAX + 1;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Scopes {
    firm: TradingState,
    venue: TradingState,
    owners: [TradingState; OWNERS],
    /// Owners that were stopped, a bit each, by why.
    stopped: [u32; StrategyStop::COUNT],
    symbols: [(Symbol, TradingState); SCOPES],
    is_any: bool,
}

impl Default for Scopes {
    fn default() -> Self {
        Self {
            firm: TradingState::Running,
            venue: TradingState::Running,
            owners: [TradingState::Running; OWNERS],
            stopped: [0; StrategyStop::COUNT],
            symbols: [(Symbol([0; 8]), TradingState::Running); SCOPES],
            is_any: false,
        }
    }
}

/// A scope whose key was found to mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Every order.
    All(ScopeKind),
    /// Those of the strategy with this index.
    Owner(u8),
    /// Those in this symbol.
    Symbol(Symbol),
}

const fn stricter(one: TradingState, other: TradingState) -> TradingState {
    if one as u8 >= other as u8 { one } else { other }
}

impl Scopes {
    /// Sets how far a part may trade; `false` when there is no room for another symbol.
    pub(crate) fn set(&mut self, part: Part, state: TradingState) -> bool {
        match part {
            Part::All(ScopeKind::Venue) => self.venue = state,
            Part::All(_) => self.firm = state,
            Part::Owner(owner) => match self.owners.get_mut(usize::from(owner)) {
                Some(place) => {
                    *place = state;
                    // An operator who says anything else has taken it over.
                    if state != TradingState::CancelOnly {
                        self.stopped.iter_mut().for_each(|owners| *owners &= !(1 << owner));
                    }
                }
                None => return false,
            },
            Part::Symbol(symbol) => {
                let known = self.symbols.iter().position(|(held, _)| *held == symbol);
                let runs = || self.symbols.iter().position(|(_, state)| *state == TradingState::Running);
                let Some(place) = known.or_else(runs).and_then(|index| self.symbols.get_mut(index)) else {
                    return false;
                };
                *place = (symbol, state);
            }
        }
        self.note_any();
        true
    }

    /// Stops an owner: cancels are all that he sends until an operator lets him go on. Whether that is new.
    pub(crate) fn stop(&mut self, owner: u8, why: StrategyStop) -> bool {
        let Some(state) = self.owners.get_mut(usize::from(owner)) else { return false };
        *state = stricter(*state, TradingState::CancelOnly);
        let owners = &mut self.stopped[why.index()];
        let is_new = *owners & 1 << owner == 0;
        *owners |= 1 << owner;
        self.note_any();
        is_new
    }

    /// Owners that are stopped for this reason, a bit each by index.
    #[inline]
    pub const fn stopped_for(&self, why: StrategyStop) -> u32 {
        self.stopped[why.index()]
    }

    /// Owners that are stopped, a bit each by index.
    #[inline]
    pub fn stopped(&self) -> u32 {
        self.stopped.iter().fold(0, |all, owners| all | owners)
    }

    /// Why an owner is stopped, if he is: the first reason that there is.
    pub(crate) fn stop_of(&self, owner: u8) -> Option<StrategyStop> {
        StrategyStop::ALL.iter().copied().find(|why| self.stopped_for(*why) & 1 << owner != 0)
    }

    fn note_any(&mut self) {
        let all = [self.firm, self.venue].into_iter().chain(self.owners).chain(self.symbols.map(|(_, state)| state));
        self.is_any = all.into_iter().any(|state| state != TradingState::Running);
    }

    /// Whether anything is restricted.
    #[inline]
    pub(crate) const fn is_any(&self) -> bool {
        self.is_any
    }

    /// How far orders of a strategy in a symbol may trade.
    #[inline]
    pub(crate) fn state(&self, owner: u8, symbol: Symbol) -> TradingState {
        if self.is_any { self.strictest(owner, symbol) } else { TradingState::Running }
    }

    #[cold]
    fn strictest(&self, owner: u8, symbol: Symbol) -> TradingState {
        let of_owner = self.owners.get(usize::from(owner)).copied().unwrap_or(TradingState::Running);
        let of_symbol = self.symbols.iter().filter(|(held, _)| *held == symbol).map(|(_, state)| *state);
        [self.venue, of_owner].into_iter().chain(of_symbol).fold(self.firm, stricter)
    }

    /// Everything that is not running, for a hash of what decides.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let symbols = self.symbols.iter().filter(|(_, state)| *state != TradingState::Running);
        let symbols = symbols.flat_map(|(symbol, state)| [u64::from_le_bytes(symbol.0), *state as u64]);
        let states = [self.firm, self.venue].into_iter().chain(self.owners).map(|state| state as u64);
        states.chain(self.stopped.into_iter().map(u64::from)).chain(symbols)
    }
}

/// What an order would make of a position, if every order of its side traded; of the firm's and of its strategy's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// The firm's position, seen from the side, with all open orders of the side and this one filled.
    pub(super) firm: i64,
    /// The strategy's.
    pub(super) owner: i64,
}

/// What a scope that does not run says to an order.
///
/// # Errors
/// The refusal, unless the scope may reduce and the order only reduces, the firm's position and its strategy's.
#[cold]
pub(super) fn check_restricted(
    state: TradingState,
    stopped: Option<StrategyStop>,
    outcome: &Outcome,
) -> Result<(), Refusal> {
    match state {
        TradingState::Running => Ok(()),
        TradingState::ReduceOnly => match outcome.firm.max(outcome.owner) {
            worst if worst > 0 => Err(Refusal { reason: Reason::ReduceOnly, limit: 0, value: worst }),
            _ => Ok(()),
        },
        TradingState::CancelOnly => Err(Refusal::new(match stopped {
            Some(StrategyStop::Panic) => Reason::StrategyDisabled,
            Some(StrategyStop::Executions) => Reason::RepeatedExecutions,
            Some(StrategyStop::Loss) => Reason::StrategyLoss,
            Some(StrategyStop::Slow) => Reason::StrategySlow,
            None => Reason::CancelOnly,
        })),
        TradingState::Halted => Err(Refusal::new(Reason::ScopeHalted)),
    }
}
