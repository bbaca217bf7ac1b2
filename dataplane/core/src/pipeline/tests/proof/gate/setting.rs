//! What an episode begins with: limits, the rest of the configuration, and the first steps.

use super::super::random::Random;
use super::drive::START;
use super::firm::INSTRUMENTS;
use super::steps::Step;
use crate::input::ConnEvent;
use crate::pipeline::{Config, UnknownOrders};
use crate::risk::{Limits, StrategyLimits, SymbolLimits};
use crate::session::{VenueEvent, VenueEventKind};
use crate::testing::{add, print};
use crate::units::{Price, Side, StrategyId, Symbol, TaiNs, UNIT};
use std::vec;
use std::vec::Vec;
use tern_abi::event::BookEvent;

/// The limits of an episode: the default with one place to widen it from.
fn limits(random: &mut Random) -> Limits {
    let wide = Limits {
        volume_shares_min: random.pick(&[0, 400, 1000, 1000, 1000]),
        volume_percent_max: random.pick(&[10, 100, 1000]),
        reference_move_bps: random.pick(&[0, 500, 500, 10_000]),
        reference_spread_bps: random.pick(&[10, 10, 50, 1000]),
        reference_depth_min: random.pick(&[0, 1, 60, 100, 100, 400]),
        open_orders_max: 4,
        order_burst_max: 100_000,
        orders_per_second_max: 1_000_000,
        position_max: 3000,
        ..Limits::default()
    };
    if random.permille(500) {
        return wide;
    }
    Limits {
        orders_per_second_max: random.pick(&[1, 3, 1000, 1_000_000]),
        order_burst_max: random.pick(&[1, 5, 200]),
        cancel_reserve: random.pick(&[0, 2, 200]),
        gross_max: random.within(1, 60) * 1000 * UNIT,
        net_max: random.within(1, 60) * 500 * UNIT,
        daily_loss_max: random.within(0, 100) * 30 * UNIT,
        drawdown_max: random.within(0, 100) * 30 * UNIT,
        messages_per_day_max: random.pick(&[20, 60, 2_000_000, 2_000_000]),
        cancel_day_reserve: random.pick(&[0, 2, 20]),
        strategy_position_max: random.pick(&[400, 1500, 5000]),
        executions_max: random.pick(&[0, 1, 3, 5, 8, 5000, 5000]),
        executions_window_ns: random.pick(&[0, 7, 8, 800_000, 1_000_000_007, 60_000_000_000]),
        equity: random.pick(&[0, 1, 2]) * random.within(1, 100) * 100 * UNIT,
        leverage_percent_max: random.within(50, 300) as u32,
        strategy_gross_max: random.within(5, 60) * 1000 * UNIT,
        strategy_net_max: random.within(5, 60) * 500 * UNIT,
        strategy_daily_loss_max: random.within(0, 100) * 30 * UNIT,
        ..wide
    }
}

/// Limits of single symbols, also of one that never trades.
fn symbols(random: &mut Random) -> Vec<SymbolLimits> {
    let mut symbols = Vec::new();
    for name in ["S0", "S1", "S2", "NEVER"] {
        if random.permille(800) {
            continue;
        }
        symbols.push(SymbolLimits {
            position_max: random.pick(&[None, Some(0), Some(700), Some(4000)]),
            order_quantity_max: random.pick(&[None, Some(300), Some(5000)]),
            order_notional_max: random.pick(&[None, Some(2000 * UNIT), Some(500_000 * UNIT)]),
            short_max: random.pick(&[None, Some(0), Some(500), Some(i64::MAX)]),
            price_min: random.pick(&[None, None, Some(Price(9_9900)), Some(Price(10_0000))]),
            price_max: random.pick(&[None, None, Some(Price(10_0000)), Some(Price(10_0150))]),
            restricted: random.permille(150),
            ..SymbolLimits::new(Symbol::new(name).expect("short"))
        });
    }
    symbols
}

/// Yesterday's closes, in no order, also of a symbol that never trades.
fn closes(random: &mut Random) -> Vec<(Symbol, u32)> {
    let mut closes = Vec::new();
    for name in ["S2", "NEVER", "S0", "S1"] {
        if random.permille(150) {
            closes.push((Symbol::new(name).expect("short"), random.pick(&[9_8000, 10_0000, 10_2000])));
        }
    }
    closes
}

/// Limits of single strategies.
fn strategies(random: &mut Random) -> Vec<StrategyLimits> {
    let mut strategies = Vec::new();
    for id in [1, 2] {
        if random.permille(100) {
            strategies.push(StrategyLimits {
                position_max: random.pick(&[None, Some(0), Some(600)]),
                gross_max: random.pick(&[None, Some(0), Some(3000 * UNIT), Some(50_000 * UNIT)]),
                net_max: random.pick(&[None, Some(0), Some(2000 * UNIT), Some(50_000 * UNIT)]),
                daily_loss_max: random.pick(&[None, Some(0), Some(100 * UNIT)]),
                ..StrategyLimits::new(StrategyId(id))
            });
        }
    }
    strategies
}

/// The configuration of an episode.
pub(super) fn config(random: &mut Random) -> Config {
    let mut limits = limits(random);
    limits.open_orders_max = random.pick(&[1, 4, 4, 12, 40]);
    let next_order_id = if random.permille(15) { u32::MAX - 5 } else { 0 };
    if next_order_id != 0 && random.permille(800) {
        // Every id used before is a message of the day; there has to be room for the last ones.
        limits.messages_per_day_max = u32::MAX;
    }
    // Orders may be sent from a second after the start until a minute after it, or at any time.
    let hours = (START.plus(random.below(3) * 500_000_000), START.plus(random.within(1, 60) as u64 * 1_000_000_000));
    Config {
        // What the venue does not answer is searched by `machine`.
        ack_timeout_ns: 0,
        limits,
        symbols: symbols(random),
        strategy_limits: strategies(random),
        short_max: random.pick(&[i64::MAX, i64::MAX, i64::MAX, 300, 0]),
        messages_sent: if random.permille(100) { random.pick(&[15, 2_000_000 - 20, u32::MAX - 5]) } else { 0 },
        hours: if random.permille(50) { hours } else { (TaiNs(0), TaiNs::NEVER) },
        closes: closes(random),
        orders_max: random.pick(&[1, 16, 64]).max(limits.open_orders_max as usize),
        executions_max: random.pick(&[3, 256]),
        feed_silence_ns_max: 0,
        next_order_id,
        by_hand: Some(StrategyId(super::by_hand::DESK as u16 + 1)),
        unknown_orders: random.pick(&[UnknownOrders::Cancel, UnknownOrders::Keep]),
        pull_on_distrust: random.permille(500),
        ..Config::default()
    }
}

/// What makes an episode's pipeline trade. Now and then an instrument has no print yet, but a bid and an ask, or nothing.
pub(super) fn opening(random: &mut Random) -> Vec<Step> {
    let mut events: Vec<BookEvent> = (0..INSTRUMENTS as u32).map(crate::testing::trading).collect();
    for instrument in 0..INSTRUMENTS as u32 {
        match random.below(10) {
            0..7 => events.push(print(instrument, 10_0000)),
            7..9 => {
                let half = random.within(1, 50);
                let order = u64::from(instrument) * 2 + 10;
                events.push(add(instrument, order, Side::Buy, 10_0000 - half, 100));
                events.push(add(instrument, order + 1, Side::Sell, 10_0000 + half, 100));
            }
            _ => {}
        }
    }
    vec![
        Step::Datagram { events, distrust: None, age_ns: 0, intents: Vec::new() },
        Step::Conn(ConnEvent::Up),
        Step::Conn(ConnEvent::Room(1 << 20)),
        Step::Venue(VenueEvent::new(VenueEventKind::CaughtUp)),
    ]
}
