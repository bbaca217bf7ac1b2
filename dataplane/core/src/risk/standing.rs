//! What an instrument counts for: in shares, of the firm and of each owner, and in money at one price.
//!
//! Shares are what orders decide, so shares are what is summed, each as if all that may still trade did. For one side of an
//! owner that is what he holds and has open there, and nothing if he would still lean to the other. Of the firm:
//!
//! - **net**, a side: its position with every open order of that side filled, and nothing if it would still lean to the other;
//! - **gross**: the owners' longs together or their shorts together, whichever is more. As each may close what he holds
//!   whenever he likes, that is how far the firm's position can come to be from flat, to either side.
//!
//! Fills move shares from "open" to "held" and raise none of these, in whatever order and at whatever price they come; what
//! only closes adds to none of them. Money is shares at one price an instrument, the highest at which shares were added since
//! it stood for nothing: an order's own, or the reference's if that is higher, as a sale may be filled for more than it asks.
//! No fill changes that price. Reasons are in adr/0015.

use super::gate::Gate;
use super::question::Wants;
use super::{Exposure, HaltReason};
use crate::orders::Order;
use crate::portfolio::Position;
use crate::units::{Cash, InstrumentId, Price, Quantity, Side};
use zerocopy::FromZeros;

/// What one owner holds of an instrument, and has open in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub(super) struct Own {
    /// Signed shares held.
    pub(super) shares: i64,
    /// Shares that open orders may trade at worst, by side.
    pub(super) open: [i64; 2],
    spare: i64,
}

impl Own {
    /// The position, seen from `side`, with all that is open there and `more` shares filled.
    #[inline]
    pub(super) const fn worst(&self, side: Side, more: i64) -> i64 {
        self.shares.saturating_mul(side.sign()).saturating_add(self.open[side.index()]).saturating_add(more)
    }

    #[inline]
    pub(super) fn counts(&self) -> Counts {
        let net = [self.worst(Side::Buy, 0).max(0), self.worst(Side::Sell, 0).max(0)];
        Counts { net, gross: net[0].max(net[1]) }
    }
}

/// What counts of an instrument, in shares; see the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// By side.
    pub(super) net: [i64; 2],
    pub(super) gross: i64,
}

impl Counts {
    /// Of the firm: `sides` are the owners' longs and shorts together.
    #[inline]
    pub(super) fn of_firm(exposure: &Exposure, sides: [i64; 2]) -> Self {
        let net = [exposure.worst(Side::Buy, 0).max(0), exposure.worst(Side::Sell, 0).max(0)];
        Self { net, gross: sides[0].max(sides[1]) }
    }
}

/// Money that counts, over all instruments. 1/10000 of the currency unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Worth {
    pub(super) gross: Cash,
    /// By side.
    pub(super) net: [Cash; 2],
}

impl Worth {
    /// An instrument counted for `before` shares at one price, and counts for `after` at another.
    #[inline]
    fn moved(&mut self, before: (&Counts, Cash), after: (&Counts, Cash)) {
        let more = |was: i64, is: i64| is.saturating_mul(after.1).saturating_sub(was.saturating_mul(before.1));
        self.gross = self.gross.saturating_add(more(before.0.gross, after.0.gross));
        for (sum, (was, is)) in self.net.iter_mut().zip(before.0.net.into_iter().zip(after.0.net)) {
            *sum = sum.saturating_add(more(was, is));
        }
    }
}

/// A price as shares count at it.
#[inline]
pub(super) fn valued(price: Price) -> Cash {
    price.0.clamp(0, u32::MAX as i64)
}

/// The owners of a set of bits.
#[inline]
fn each(mut owners: u32) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let owner = owners.trailing_zeros();
        owners &= owners.wrapping_sub(1);
        (owner < u32::BITS).then_some(owner as u8)
    })
}

impl Gate {
    #[inline]
    fn place(&self, instrument: InstrumentId, owner: u8) -> usize {
        instrument.index() * self.owner_count + usize::from(owner)
    }

    /// What an intent of an owner wants that adds `more` shares. Of the only owner of an instrument no line but its own is read.
    #[inline]
    pub(super) fn wants(
        &self,
        owner: u8,
        (instrument, side): (InstrumentId, Side),
        more: i64,
        exposure: &Exposure,
    ) -> Wants {
        let (worst, is_sole) = (exposure.worst(side, more), exposure.is_sole_owner(owner));
        let (own_worst, own_other) = if is_sole {
            (worst, exposure.worst(side.opposite(), 0).max(0))
        } else {
            let own = self.owns.get(self.place(instrument, owner)).copied().unwrap_or_default();
            (own.worst(side, more), own.worst(side.opposite(), 0).max(0))
        };
        Wants { worst, own_worst, own_other, more, instrument, owner, is_sole, side }
    }

    /// The owners' leans to the side of an intent together, and those to the other.
    #[inline]
    pub(super) fn sides_of(&self, wants: &Wants) -> (i64, i64) {
        let sides = self.sides.get(wants.instrument.index()).copied().unwrap_or_default();
        (sides[wants.side.index()], sides[wants.side.opposite().index()])
    }

    /// What an owner holds changed by `shares`, and what he has open on a side by `more`. Whether it counts for more now.
    fn shift(&mut self, instrument: InstrumentId, owner: u8, shares: i64, (side, more): (Side, i64)) -> bool {
        let (index, place) = (instrument.index(), self.place(instrument, owner));
        let Some((exposure, sides)) = self.exposures.get_mut(index).zip(self.sides.get_mut(index)) else {
            return false;
        };
        let Some((own, stake)) = self.owns.get_mut(place).zip(self.owner_stakes.get_mut(usize::from(owner))) else {
            return false;
        };
        exposure.owners |= 1 << owner;
        let (firm_was, own_was) = (Counts::of_firm(exposure, *sides), own.counts());
        exposure.position = exposure.position.saturating_add(shares);
        exposure.open[side.index()] += more;
        exposure.holders = exposure.holders.wrapping_sub(u8::from(own.shares != 0));
        own.shares = own.shares.saturating_add(shares);
        own.open[side.index()] += more;
        exposure.holders = exposure.holders.wrapping_add(u8::from(own.shares != 0));
        let own_is = own.counts();
        for (sum, (was, is)) in sides.iter_mut().zip(own_was.net.into_iter().zip(own_is.net)) {
            *sum = sum.saturating_add(is.saturating_sub(was));
        }
        let firm_is = Counts::of_firm(exposure, *sides);
        let price = exposure.valued_at;
        self.stake.worth.moved((&firm_was, price), (&firm_is, price));
        stake.worth.moved((&own_was, price), (&own_is, price));
        firm_is.gross > firm_was.gross
    }

    /// From now on the shares of an instrument count at `price`.
    pub(super) fn revalue(&mut self, instrument: InstrumentId, price: Cash) {
        let index = instrument.index();
        let Some((exposure, sides)) = self.exposures.get_mut(index).zip(self.sides.get(index)) else { return };
        let before = core::mem::replace(&mut exposure.valued_at, price);
        let (counts, owners) = (Counts::of_firm(exposure, *sides), exposure.owners);
        self.stake.worth.moved((&counts, before), (&counts, price));
        for owner in each(owners) {
            let own = self.owns.get(self.place(instrument, owner)).copied().unwrap_or_default();
            if let Some(stake) = self.owner_stakes.get_mut(usize::from(owner)) {
                stake.worth.moved((&own.counts(), before), (&own.counts(), price));
            }
        }
    }

    /// Brings what stands at risk in the order's instrument up to date with it.
    #[inline]
    pub(crate) fn settle(&mut self, order: &mut Order) {
        let now = order.exposure();
        let before = core::mem::replace(&mut order.counted, now);
        let more = i64::from(now) - i64::from(before);
        let grew = self.shift(order.instrument, order.owner, 0, (order.side, more));
        let index = order.instrument.index();
        let Some((exposure, sight)) = self.exposures.get(index).zip(self.sights.get_mut(index)) else { return };
        sight.own.settle(order, exposure.open(order.side));
        // What was approved counts at its price already; what the venue alone knew of does not.
        let price = valued(order.dearest());
        if grew && price > exposure.valued_at {
            self.revalue(order.instrument, price);
        }
    }

    /// The price at which the shares of an instrument count with a trade that was let pass before this run: its own, if it adds to
    /// what an owner holds and is higher.
    pub(crate) fn price_with(
        &self,
        (owner, instrument): (u8, InstrumentId),
        (side, quantity): (Side, Quantity),
        price: Price,
    ) -> Cash {
        let now = self.exposure(instrument).map_or(0, |exposure| exposure.valued_at);
        let held = self.owns.get(self.place(instrument, owner)).map_or(0, |own| own.shares);
        let closes = held.saturating_mul(side.sign()) < 0 && i64::from(quantity) <= held.saturating_abs();
        if closes { now } else { now.max(valued(price)) }
    }

    /// A strategy's position in an instrument changed, by a trade at `price` or the break of one.
    pub(crate) fn position_changed(
        &mut self,
        (owner, instrument): (u8, InstrumentId),
        price: Price,
        before: &Position,
        after: &Position,
    ) {
        let Some(exposure) = self.exposures.get(instrument.index()) else { return };
        let mark = exposure.mark;
        // An order that traded counted at a price; only without one a trade gives the first.
        if exposure.valued_at == 0 {
            self.revalue(instrument, valued(price));
        }
        let shares = after.shares.saturating_sub(before.shares);
        self.shift(instrument, owner, shares, (Side::Buy, 0));
        let realized = after.realized().saturating_sub(before.realized());
        let cost = after.cost.saturating_sub(before.cost);
        let unrealized = shares.saturating_mul(mark).saturating_sub(cost);
        self.stake.earned(realized, unrealized);
        if let Some(stake) = self.owner_stakes.get_mut(usize::from(owner)) {
            stake.earned(realized, unrealized);
        }
    }

    /// A strategy holds `position` from before the day. Its shares count at `dearest` in money, and are worth `worth` until the
    /// market says better.
    pub(crate) fn open_position(
        &mut self,
        (owner, instrument): (u8, InstrumentId),
        position: &Position,
        (dearest, worth): (Price, Price),
    ) {
        if let Some(exposure) = self.exposures.get_mut(instrument.index()) {
            exposure.mark = worth.0;
        }
        self.position_changed((owner, instrument), dearest, &Position::default(), position);
    }

    /// A share of the instrument is worth `price` now. Why that stops trading, if it does; strategies that it stops are in
    /// [`take_losers`](Self::take_losers).
    #[inline]
    pub(crate) fn mark(&mut self, instrument: InstrumentId, price: Option<Price>) -> Option<HaltReason> {
        let exposure = self.exposures.get_mut(instrument.index())?;
        let price = price?.0;
        let moved = price.saturating_sub(core::mem::replace(&mut exposure.mark, price));
        let (position, owners) = (exposure.position, exposure.owners);
        self.stake.earned(0, position.saturating_mul(moved));
        if moved != 0 {
            for owner in each(owners) {
                let shares = self.owns.get(self.place(instrument, owner)).map_or(0, |own| own.shares);
                if let Some(stake) = self.owner_stakes.get_mut(usize::from(owner)) {
                    stake.earned(0, shares.saturating_mul(moved));
                }
            }
        }
        self.watch_losses()
    }

    /// Why the profit of now stops trading, if it does: also when limits of loss changed, and no mark has come since.
    #[inline]
    pub(crate) fn watch_losses(&mut self) -> Option<HaltReason> {
        for (owner, stake) in (0_u8..).zip(self.owner_stakes.iter().take(self.owner_count)) {
            let is_beyond = stake.profit() < -self.strategy_bounds.row(owner).daily_loss_max;
            self.losers |= u32::from(is_beyond) << owner;
        }
        self.stake.watch(self.limits.daily_loss_max, self.limits.drawdown_max)
    }

    /// Owners whose loss of the day was beyond their limit when it was looked at since this was asked last, a bit each.
    #[inline]
    pub(crate) const fn take_losers(&mut self) -> u32 {
        core::mem::replace(&mut self.losers, 0)
    }

    /// Whether a mark of the instrument would say anything new.
    #[inline]
    pub(crate) fn is_held(&self, instrument: InstrumentId) -> bool {
        self.exposure(instrument).is_some_and(|exposure| exposure.holders != 0)
    }
}
