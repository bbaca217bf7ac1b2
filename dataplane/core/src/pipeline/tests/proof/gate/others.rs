//! What others do: prints that are not ours, the reference that follows them, what traded lately, and quotes.

use super::firm::{Fault, Firm, INSTRUMENTS, Num, SIDES};
use super::known::Known;
use crate::risk::LimitId;
use crate::units::Side;
use std::vec::Vec;
use tern_abi::event::{BookEvent, EventKind};

/// A print of others, and how far the reference might move a second then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Print {
    at: u64,
    instrument: usize,
    price: Num,
    shares: Num,
    move_bps: Num,
    /// At least a round lot: a price of the tape.
    is_round: bool,
}

/// Time in which the reference moves.
const TICK_NS: u64 = 1 << 20;
/// Ticks of the reference's second; a longer pause is worth no more.
const SECOND_TICKS: Num = 1 << 10;
/// Recent volume is that of the present part and of the one before.
const PART_NS: u64 = 1 << 36;
/// Executions among which the match number of a print is looked for.
const RECENT: usize = 32;
/// Levels of a side that are looked through for a quote of others.
const LEVELS: usize = 8;
/// Time in which the age of an indication is counted, and how much of it one may have.
const STEP_NS: u64 = 1 << 30;
const INDICATION_STEPS: u64 = 16;

/// Yesterday's close of an instrument.
pub(super) fn close_of(config: &crate::pipeline::Config, instrument: usize) -> Option<Num> {
    let name = std::format!("S{instrument}");
    let found = config.closes.iter().find(|(symbol, _)| std::string::ToString::to_string(symbol) == name);
    found.map(|(_, price)| (*price).into())
}

/// How eager a price is to trade: the greater the better. One that no order has means "market".
fn eagerness(side: Side, price: Num) -> Num {
    if !(0..super::verdict::MARKET).contains(&price) {
        return Num::MAX;
    }
    if side == Side::Buy { price } else { -price }
}

impl Firm {
    /// The best prices at which our orders stand, kept while any stands there. After everything that changes an order.
    pub(super) fn note_prices(&mut self) {
        for instrument in 0..INSTRUMENTS {
            for side in SIDES {
                let here = |order: &&Known| (order.instrument, order.side) == (instrument, side);
                let standing = self.orders.iter().filter(here).filter(|order| order.stands_for().0 > 0);
                let best = standing.flat_map(|order| order.prices()).map(|price| eagerness(side, price)).max();
                let known = &mut self.stood[instrument][side.index()];
                *known = best.map(|best| known.map_or(best, |known| known.max(best)));
            }
        }
    }

    /// Whether an order of ours may stand at a price. A bid of nothing stands nowhere.
    fn may_stand(&self, instrument: usize, side: Side, price: Num) -> bool {
        let stood = self.stood[instrument][side.index()].filter(|stood| side == Side::Sell || *stood != 0);
        stood.is_some_and(|stood| eagerness(side, price) <= stood)
    }

    /// Whether we were one side of a print: it names an open order of ours, at no better price than one of ours had, or a
    /// trade that the venue told us of a moment ago.
    fn is_own(&self, event: &BookEvent, side: Side, price: Num) -> bool {
        let instrument = event.instrument as usize;
        let named =
            |order: &&Known| order.is_open() && order.instrument == instrument && order.venue_order == event.order;
        let is_named = event.order != 0 && self.orders.iter().any(|order| named(&order));
        if is_named && self.may_stand(instrument, side, price) {
            return true;
        }
        let last = self.trades.iter().rev().find(|trade| !trade.back && !trade.told && trade.instrument == instrument);
        let is_lately = last.is_some_and(|trade| Num::from(self.now / TICK_NS - trade.at / TICK_NS) <= SECOND_TICKS);
        let known: Vec<usize> = self.known_trades().collect();
        let mut recent = known.iter().rev().take(RECENT);
        is_lately && recent.any(|at| self.trades[*at].match_number == event.other)
    }

    /// Shares traded in the market.
    pub(super) fn printed(&mut self, event: &BookEvent, side: Side, price: Num) {
        if !self.is_own(event, side, price) || self.fault == Some(Fault::OwnPrints) {
            self.prints.push(Print {
                at: self.now,
                instrument: event.instrument as usize,
                price,
                shares: event.quantity.into(),
                // A planted fault may make it less than nothing.
                move_bps: self.bound(LimitId::ReferenceMoveBps).max(0),
                is_round: self.fault == Some(Fault::OddLots)
                    || Num::from(event.quantity) >= self.round_lots[event.instrument as usize],
            });
        }
    }

    /// The directory or an auction says something.
    pub(super) fn hear_listing(&mut self, event: &BookEvent) {
        let instrument = event.instrument as usize;
        if event.kind == EventKind::Directory {
            if event.quantity > 0 {
                self.round_lots[instrument] = event.quantity.into();
            }
            return;
        }
        let [bought, sold] = self.stood[instrument];
        let is_ours = bought.is_some_and(|price| price != 0) || sold.is_some();
        if !is_ours || self.fault == Some(Fault::OwnIndication) {
            let is_price = event.price > 0 && event.price <= i64::from(u32::MAX);
            self.indications[instrument] = (if is_price { event.price.into() } else { 0 }, self.now);
        }
    }

    /// Where the prints of others are, from yesterday's close on: without one the first as it is, others as far as the time
    /// since the last move lets the reference follow. Nothing is traded for nothing.
    pub(super) fn followed(&self, instrument: usize) -> Option<Num> {
        let prints = self.prints.iter().filter(|print| print.instrument == instrument && print.price > 0);
        let prints = prints.filter(|print| print.is_round);
        let close = self.closes[instrument].filter(|_| self.fault != Some(Fault::NoClose));
        let followed = prints.fold(close.map(|close| (close, 0)), |known: Option<(Num, u64)>, print| {
            let tick = print.at / TICK_NS;
            let Some((reference, moved_at)) = known else { return Some((print.price, tick)) };
            let ticks = Num::from(tick - moved_at).min(SECOND_TICKS);
            let reach = reference * print.move_bps * ticks / (10_000 * SECOND_TICKS);
            let price = print.price.clamp(reference - reach, reference + reach);
            if price == reference { known } else { Some((price, tick)) }
        });
        followed.map(|(reference, _)| reference)
    }

    /// Shares that others traded in the last one to two parts; of each part as many as fit in the gate's number.
    pub(super) fn recent_volume(&self, instrument: usize) -> Num {
        let now = self.now / PART_NS;
        let of_part = |part: u64| {
            let prints = self.prints.iter().filter(|print| print.instrument == instrument);
            let shares: Num = prints.filter(|print| print.at / PART_NS == part).map(|print| print.shares).sum();
            shares.min(u32::MAX.into())
        };
        of_part(now) + if self.fault == Some(Fault::OldVolume) { 0 } else { of_part(now - 1) }
    }

    /// The price that an auction named a moment ago.
    fn indication(&self, instrument: usize) -> Option<Num> {
        let (price, at) = self.indications[instrument];
        let age = self.now / STEP_NS - at / STEP_NS;
        let is_fresh = age <= INDICATION_STEPS || self.fault == Some(Fault::OldIndication);
        (price != 0 && is_fresh).then_some(price)
    }

    /// What a price is compared with: where others trade, else what an auction names, else the middle of what they bid and ask if that is no wider
    /// than the limit.
    pub(super) fn reference(&self, instrument: usize) -> Option<Num> {
        self.followed(instrument).or_else(|| self.indication(instrument)).or_else(|| {
            let [bid, ask] = SIDES.map(|side| self.best_of_others(instrument, side));
            let (bid, ask) = (bid?, ask?);
            // Twice the middle and ten thousandths of it: no division, nothing rounded.
            let is_near = (ask - bid) * 2 * 10_000 <= (bid + ask) * self.bound(LimitId::ReferenceSpreadBps);
            (bid < ask && is_near).then_some((bid + ask) / 2)
        })
    }

    /// The best price of a side up to which others have as many shares as a side must have, among the first few.
    fn best_of_others(&self, instrument: usize, side: Side) -> Option<Num> {
        let orders = &self.books[instrument].orders;
        let mut prices: Vec<Num> = orders.iter().filter(|order| order.side == side).map(|order| order.price).collect();
        prices.sort_by_key(|price| -eagerness(side, *price));
        prices.dedup();
        let is_ours = |reference: u64| {
            let same = |own: &Known| {
                own.is_open() && (own.instrument, own.side, own.venue_order) == (instrument, side, reference)
            };
            self.fault != Some(Fault::OwnQuotes) && self.orders.iter().any(same)
        };
        let others_up_to = |best: Num| -> Num {
            let reached = |price: Num| eagerness(side, price) >= eagerness(side, best);
            let up_to = orders.iter().filter(|order| order.side == side && reached(order.price));
            let others =
                up_to.filter(|order| !self.may_stand(instrument, side, order.price) || !is_ours(order.reference));
            others.map(|order| order.quantity).sum()
        };
        let enough = self.bound(LimitId::ReferenceDepthMin).max(1);
        prices.into_iter().take(LEVELS).find(|price| others_up_to(*price) >= enough)
    }
}
