//! What uses the limits, for people and programs outside: sums as the gate has them, and the largest positions and open
//! orders, of which a few are looked at each time so that the loop is never kept.

use tern_abi::command::LIMITS_MAX;
use tern_abi::segment::{
    HoldingsState, NOT_MEASURED, ORDERS_SHOWN, SYMBOL_WORDS, ShownOrder, ShownPosition, UsageState, Words,
};
use tern_core::orders::Order;
use tern_core::pipeline::{Desk, PipelineCounter};
use tern_core::risk::{LimitId, Stake};
use tern_core::units::{InstrumentId, Side, TaiNs};

/// Instruments, and places of orders, that one look takes.
const PLACES_A_LOOK: usize = 32;
/// Order messages are counted over so long.
const SECOND_NS: u64 = 1_000_000_000;

/// See the module.
#[derive(Debug)]
pub struct RiskWatch {
    /// What the last complete look found.
    found: HoldingsState,
    /// What this one has found so far, and up to where.
    finding: HoldingsState,
    next_instrument: usize,
    next_place: usize,
    symbols_shown: usize,
    /// When the second began in which order messages are counted, how many there had been then, and what the last one had.
    second: (TaiNs, u64),
    messages: u64,
}

impl RiskWatch {
    /// A run begins: symbols have other ids than in an earlier one.
    pub fn new(words: &Words) -> Self {
        words.symbol_count.set(0);
        Self {
            found: HoldingsState::default(),
            finding: HoldingsState::default(),
            next_instrument: 0,
            next_place: 0,
            symbols_shown: 0,
            second: (TaiNs(0), 0),
            messages: 0,
        }
    }

    /// Looks a little further, and shows what is known.
    pub fn look(&mut self, words: &Words, desk: &Desk, now: TaiNs) {
        self.show_symbols(words, desk);
        self.count_messages(desk, now);
        self.look_at_positions(desk, now);
        self.look_at_orders(desk);
        let is_through = self.next_instrument >= desk.instruments().len() && self.next_place >= desk.orders().places();
        if is_through {
            self.found = core::mem::take(&mut self.finding);
            (self.next_instrument, self.next_place) = (0, 0);
            words.holdings.write(&self.found);
        }
        words.usage.write(&self.usage(desk, now));
    }

    fn show_symbols(&mut self, words: &Words, desk: &Desk) {
        let known = desk.instruments().len().min(SYMBOL_WORDS);
        if self.symbols_shown == known {
            return;
        }
        let until = known.min(self.symbols_shown + PLACES_A_LOOK);
        for index in self.symbols_shown..until {
            words.symbols.set(index, u64::from_le_bytes(symbol_of(desk, InstrumentId(index as u32))));
        }
        self.symbols_shown = until;
        words.symbol_count.set(until as u64);
    }

    fn count_messages(&mut self, desk: &Desk, now: TaiNs) {
        let kinds = [
            PipelineCounter::OrdersNew,
            PipelineCounter::OrdersReplace,
            PipelineCounter::OrdersCancel,
            PipelineCounter::SystemCancels,
        ];
        let sent = kinds.iter().map(|kind| desk.counter(*kind)).sum();
        let (began, before) = self.second;
        if now.since(began) >= SECOND_NS {
            // A loop that stood still for longer says nothing of a second.
            let is_one = now.since(began) < 2 * SECOND_NS;
            self.messages = if is_one { sent - before } else { 0 };
            self.second = (now, sent);
        }
    }

    fn look_at_positions(&mut self, desk: &Desk, now: TaiNs) {
        if (self.next_instrument, self.next_place) == (0, 0) {
            self.finding = HoldingsState { began_ns: now.0, ..HoldingsState::default() };
        }
        let until = desk.instruments().len().min(self.next_instrument + PLACES_A_LOOK);
        for index in self.next_instrument..until {
            let instrument = InstrumentId(index as u32);
            let Some(exposure) = desk.gate().exposure(instrument) else { continue };
            let position = ShownPosition {
                symbol: symbol_of(desk, instrument),
                shares: exposure.position(),
                open_buy: exposure.open(Side::Buy),
                open_sell: exposure.open(Side::Sell),
            };
            keep_largest(&mut self.finding.positions, position, ShownPosition::worst);
        }
        self.next_instrument = until.max(self.next_instrument);
    }

    fn look_at_orders(&mut self, desk: &Desk) {
        let until = desk.orders().places().min(self.next_place + PLACES_A_LOOK);
        for order in (self.next_place..until).filter_map(|place| desk.orders().open_at(place)) {
            let shown = shown(desk, order);
            keep_largest::<_, ORDERS_SHOWN>(&mut self.finding.by_quantity, shown, |order| order.quantity.into());
            keep_largest::<_, ORDERS_SHOWN>(&mut self.finding.by_value, shown, |order| order.value);
        }
        self.next_place = until.max(self.next_place);
    }

    fn usage(&self, desk: &Desk, now: TaiNs) -> UsageState {
        let high_water = desk.gate().stake().high_water();
        let mut usage = UsageState { tai_ns: now.0, reduce_only: 0, high_water, used: [NOT_MEASURED; LIMITS_MAX] };
        let limits = desk.gate().limits();
        for ((index, id), place) in LimitId::ALL.iter().enumerate().zip(&mut usage.used) {
            let Some(used) = self.used(*id, desk, now) else { continue };
            *place = used;
            usage.reduce_only |= u64::from(is_of_what_stands(*id) && used > limits.get(*id)) << index;
        }
        usage
    }

    /// What uses a limit now, in its unit; `None` where nothing is measured.
    fn used(&self, id: LimitId, desk: &Desk, now: TaiNs) -> Option<i64> {
        let gate = desk.gate();
        let (stake, taken) = (gate.stake(), || i64::try_from(gate.rate().taken(now)).unwrap_or(i64::MAX));
        let burst = i64::from(gate.limits().order_burst_max);
        Some(match id {
            LimitId::OrderQuantityMax => i64::from(self.found.by_quantity[0].quantity),
            LimitId::OrderNotionalMax => self.found.by_value[0].value,
            LimitId::PositionMax => self.found.positions[0].worst(),
            LimitId::OpenOrdersMax => i64::from(desk.orders().open_count()),
            LimitId::OrdersPerSecondMax => i64::try_from(self.messages).unwrap_or(i64::MAX),
            LimitId::OrderBurstMax => taken().min(burst),
            LimitId::CancelReserve => (taken() - burst).max(0),
            LimitId::GrossMax => stake.gross(),
            LimitId::NetMax => stake.net(Side::Buy).max(stake.net(Side::Sell)),
            LimitId::DailyLossMax => stake.profit().saturating_neg().max(0),
            LimitId::DrawdownMax => stake.drawdown(),
            LimitId::StrategyGrossMax => most_of(desk, Stake::gross),
            LimitId::StrategyNetMax => most_of(desk, |stake| stake.net(Side::Buy).max(stake.net(Side::Sell))),
            LimitId::StrategyDailyLossMax => most_of(desk, |stake| stake.profit().saturating_neg().max(0)),
            LimitId::MessagesPerDayMax => i64::from(gate.messages()),
            LimitId::LeveragePercentMax if gate.limits().equity > 0 => {
                let worth = gate.limits().equity.saturating_add(stake.profit()).max(1);
                i64::try_from(i128::from(stake.gross()) * 100 / i128::from(worth)).unwrap_or(i64::MAX)
            }
            _ => return None,
        })
    }
}

/// Whether what stands already can be beyond the limit, so that only what reduces it leaves. A loss beyond its limit stops
/// trading instead, and a rate has passed.
const fn is_of_what_stands(id: LimitId) -> bool {
    matches!(
        id,
        LimitId::OrderQuantityMax
            | LimitId::OrderNotionalMax
            | LimitId::PositionMax
            | LimitId::OpenOrdersMax
            | LimitId::GrossMax
            | LimitId::NetMax
            | LimitId::LeveragePercentMax
            | LimitId::StrategyGrossMax
            | LimitId::StrategyNetMax
    )
}

/// The most that a strategy of the host has of something at stake.
fn most_of(desk: &Desk, what: impl Fn(&Stake) -> i64) -> i64 {
    let strategies = 0..desk.owners().len().saturating_sub(1);
    strategies.filter_map(|owner| desk.gate().owner_stake(owner)).map(what).max().unwrap_or(0)
}

fn symbol_of(desk: &Desk, instrument: InstrumentId) -> [u8; 8] {
    desk.instruments().symbol(instrument).map_or([0; 8], |symbol| symbol.0)
}

fn shown(desk: &Desk, order: &Order) -> ShownOrder {
    ShownOrder {
        symbol: symbol_of(desk, order.instrument()),
        value: order.value(),
        order: order.id().0,
        quantity: order.exposure(),
    }
}

/// Puts `new` where it belongs among the largest, largest first; the smallest goes. Nothing has no place.
fn keep_largest<T: Copy, const N: usize>(largest: &mut [T; N], new: T, size: impl Fn(&T) -> i64) {
    let its_size = size(&new);
    let Some(last) = largest.last().filter(|last| its_size > 0 && size(last) < its_size).map(|_| N - 1) else { return };
    let place = largest.iter().position(|held| size(held) < its_size).unwrap_or(last);
    largest.copy_within(place..last, place + 1);
    largest[place] = new;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_kept_in_order() {
        let mut largest = [0_i64; 3];
        for (new, expected) in [
            (5, [5, 0, 0]),
            (0, [5, 0, 0]),
            (7, [7, 5, 0]),
            (5, [7, 5, 5]),
            (5, [7, 5, 5]),
            (6, [7, 6, 5]),
            (-9, [7, 6, 5]),
            (8, [8, 7, 6]),
        ] {
            keep_largest(&mut largest, new, |value| *value);
            assert_eq!(largest, expected);
        }
    }
}
