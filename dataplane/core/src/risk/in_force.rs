//! What is in force at the gate, set by commands, by the venue and by what trades, and shown to whoever looks.

use super::gate::Gate;
use super::{Exposure, HaltReason, Limits, Rate, Repeats, Scopes, Stake, StrategyStop};
use crate::book::Instruments;
use crate::units::{Cash, InstrumentId, Price, Quantity, Symbol, TaiNs};
use tern_abi::prefetch::prefetch_slice;

impl Gate {
    /// Limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Why nothing is traded, if nothing is.
    #[inline]
    pub const fn halt(&self) -> Option<HaltReason> {
        self.halt
    }

    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        self.halt.is_none()
    }

    /// Trading is stopped, and not only until the daemon is heard again: what stops it more stops nothing new.
    #[inline]
    pub(crate) const fn is_stopped(&self) -> bool {
        !matches!(self.halt, None | Some(HaltReason::DaemonSilent))
    }

    /// The order rate.
    #[inline]
    pub const fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Messages that were sent to the venue in its day: orders, replaces, cancels, those of the system too.
    #[inline]
    pub const fn messages(&self) -> u32 {
        self.messages
    }

    /// An earlier run of the day had this profit at its best.
    pub(crate) fn high_water_at_least(&mut self, profit: Cash) {
        self.stake.high_water = self.stake.high_water.max(profit);
    }

    /// At least `sent` messages of the day are known.
    pub(crate) fn messages_at_least(&mut self, sent: u32) {
        self.messages = self.messages.max(sent);
    }

    /// Orders may be sent from `opens` until before `closes`.
    pub(crate) const fn set_hours(&mut self, (opens, closes): (TaiNs, TaiNs)) {
        self.hours = (opens, closes);
    }

    /// What stands at risk in an instrument.
    #[inline]
    pub fn exposure(&self, instrument: InstrumentId) -> Option<&Exposure> {
        self.exposures.get(instrument.index())
    }

    /// Asks for what stands at risk in an instrument.
    #[inline]
    pub(crate) fn prefetch(&self, instrument: InstrumentId) {
        prefetch_slice(&self.exposures, instrument.index());
        prefetch_slice(&self.sights, instrument.index());
        prefetch_slice(&self.owns, instrument.index() * self.owner_count);
        prefetch_slice(&self.sides, instrument.index());
        self.listings.prefetch(instrument);
    }

    /// Every instrument's exposure, by instrument id.
    pub fn exposures(&self) -> &[Exposure] {
        &self.exposures
    }

    /// Whether our market takes orders in an instrument: no operational halt is in force.
    #[inline]
    pub fn is_halted(&self, instrument: InstrumentId) -> bool {
        self.exposure(instrument).is_some_and(Exposure::is_halted)
    }

    /// Our market stopped, or resumed, trading an instrument.
    pub(crate) fn set_halted(&mut self, instrument: InstrumentId, halted: bool) {
        if let Some(exposure) = self.exposures.get_mut(instrument.index()) {
            exposure.halted = u8::from(halted);
        }
    }

    /// The most shares that an order in an instrument may have at a price.
    pub(crate) fn order_quantity_max(&self, instrument: InstrumentId, price: Price) -> Quantity {
        let row = self.exposure(instrument).map_or(0, |exposure| exposure.bounds);
        let bounds = self.bounds.row(row);
        let by_value = bounds.order_notional_max.checked_div(price.0).unwrap_or(0);
        bounds.order_quantity_max.min(Quantity::try_from(by_value).unwrap_or(Quantity::MAX))
    }

    /// A command put these bounds of a symbol's price in force.
    pub(crate) fn set_price_bounds(&mut self, symbol: Symbol, prices: (Price, Price)) {
        self.bounds.set_price_bounds(symbol, prices, &self.limits);
    }

    /// Lowest and highest price of an order in a symbol, whatever the collar's reference is; `None` where the configuration
    /// bounds it in neither way.
    pub fn price_bounds(&self, symbol: Symbol) -> Option<(Price, Price)> {
        self.bounds.price_bounds(symbol)
    }

    /// A command put these limits in force, at `now`.
    pub(crate) fn set_limits(&mut self, limits: Limits, now: TaiNs) {
        let before = core::mem::replace(&mut self.limits, limits);
        self.bounds.set(&before, &limits);
        self.strategy_bounds.set(&before, &limits);
        self.rate.set(limits.orders_per_second_max, limits.order_burst_max, limits.cancel_reserve, now);
    }

    /// Instruments were named: those that are new get the bounds of their symbols. One compare when none is.
    #[inline]
    pub(crate) fn heed_instruments(&mut self, instruments: &Instruments) {
        if instruments.len() != self.instruments {
            self.name_instruments(instruments);
        }
    }

    #[cold]
    fn name_instruments(&mut self, instruments: &Instruments) {
        for (instrument, symbol) in instruments.iter().skip(self.instruments) {
            if let Some(exposure) = self.exposures.get_mut(instrument.index()) {
                exposure.bounds = self.bounds.row_of(symbol);
            }
        }
        self.begin_references(self.instruments, instruments);
        self.instruments = instruments.len();
    }

    pub(crate) fn set_halt(&mut self, halt: Option<HaltReason>) {
        self.halt = halt;
    }

    /// Which parts of the firm's orders are restricted.
    #[inline]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    pub(crate) fn scopes_mut(&mut self) -> &mut Scopes {
        &mut self.scopes
    }

    /// An order of a strategy traded. Whether it has traded as often as it may, and is stopped now.
    pub(crate) fn executed(&mut self, owner: u8, now: TaiNs) -> bool {
        let (max, window_ns) = (self.limits.executions_max, self.limits.executions_window_ns);
        let Some(repeats) = self.repeats.get_mut(usize::from(owner)) else { return false };
        let is_too_often = window_ns != 0 && repeats.add(now, window_ns) >= max;
        is_too_often && self.scopes.stop(owner, StrategyStop::Executions)
    }

    /// An operator lets a strategy go on: what it traded before is forgotten.
    pub(crate) fn forget_executions(&mut self, owner: u8) {
        if let Some(repeats) = self.repeats.get_mut(usize::from(owner)) {
            *repeats = Repeats::default();
        }
    }

    /// What the firm has at stake over all instruments.
    #[inline]
    pub fn stake(&self) -> &Stake {
        &self.stake
    }

    /// What the owner with this index has at stake.
    #[inline]
    pub fn owner_stake(&self, owner: usize) -> Option<&Stake> {
        self.owner_stakes.get(owner)
    }
}
