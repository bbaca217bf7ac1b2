//! From the configuration to the parts of a pipeline. The same for a live run and for a replay: what decides is made
//! here once, from the configuration alone.

use std::collections::BTreeMap;
use tern_config::{
    AfterRestart as AfterRestartConfig, Config, Limits as LimitsConfig, SelfTrade as SelfTradeConfig, UntrustedBook,
};
use tern_core::book::{Books, BooksMemory, Capacity, Instruments, InstrumentsMemory, Memory};
use tern_core::feed::Feed;
use tern_core::fees::Fees;
use tern_core::opening::OpeningPosition;
use tern_core::pipeline::{self, AfterRestart, ConfigError, Pipeline, StrategyConfig, UnknownOrders};
use tern_core::risk::{HaltReason, Limits, SelfTrade, StrategyLimits, SymbolLimits};
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::{AccountId, Price, StrategyId, StreamId, Symbol, TaiNs, TraderId, VenueId};
use tern_journal::Opening;
use tern_journal::recovered::{DAY_BEGINS, RUN_LINE};

/// What a run knows that its configuration does not say; recorded with the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunState {
    /// No order id below this is given out.
    pub next_order_id: u32,
    /// Messages that earlier runs sent in the venue's day.
    pub messages_sent: u32,
    /// The best profit of earlier runs of the day, 1/10000.
    pub high_water: i64,
    /// From when orders may be sent, TAI ns.
    pub opens_ns: u64,
    /// Until before when, TAI ns; 0 = no end.
    pub closes_ns: u64,
    /// An earlier run may have traded in this session.
    pub restarted: bool,
    /// The venue's trading day ([`Config::trading_day`]).
    pub day: u32,
    /// The journal was read up to this record for what it knows of the day; `None` when it was not read.
    pub journal_seq: Option<u64>,
    /// At least so many records of the day were not in it.
    pub records_missing: u64,
    /// `seq` of the start record with which the day began, when that was another run's.
    pub day_begins: Option<u64>,
    /// Why trading was stopped before, if it was and an operator has to lift that.
    pub halt: Option<HaltReason>,
}

impl RunState {
    /// As a comment line behind the effective configuration.
    pub fn to_line(self) -> String {
        let Self { next_order_id, messages_sent, high_water, opens_ns, closes_ns, day, records_missing, .. } = self;
        let restarted = u8::from(self.restarted);
        let journal = self.journal_seq.map_or_else(String::new, |seq| format!(" journal_seq={seq}"));
        let halt = self.halt.map_or_else(String::new, |reason| format!(" halt={}", reason as u32));
        let begins = self.day_begins.map_or_else(String::new, |seq| format!(" {DAY_BEGINS}={seq}"));
        format!(
            "{RUN_LINE}next_order_id={next_order_id} messages_sent={messages_sent} \
             high_water={high_water} opens_ns={opens_ns} closes_ns={closes_ns} restarted={restarted} day={day}{journal} \
             records_missing={records_missing}{begins}{halt}\n"
        )
    }

    /// Out of the text of a start record.
    pub fn from_text(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix(RUN_LINE))?;
        let mut state = Self::default();
        for word in line.split_whitespace() {
            match word.split_once('=')? {
                ("next_order_id", value) => state.next_order_id = value.parse().ok()?,
                ("messages_sent", value) => state.messages_sent = value.parse().ok()?,
                ("high_water", value) => state.high_water = value.parse().ok()?,
                ("opens_ns", value) => state.opens_ns = value.parse().ok()?,
                ("closes_ns", value) => state.closes_ns = value.parse().ok()?,
                ("restarted", value) => state.restarted = value != "0",
                ("day", value) => state.day = value.parse().ok()?,
                ("journal_seq", value) => state.journal_seq = Some(value.parse().ok()?),
                ("records_missing", value) => state.records_missing = value.parse().ok()?,
                (DAY_BEGINS, value) => state.day_begins = Some(value.parse().ok()?),
                ("halt", value) => state.halt = HaltReason::from_index(value.parse().ok()?),
                _ => {}
            }
        }
        Some(state)
    }
}

/// The venue that orders go to. There is one in this version.
pub const VENUE: VenueId = VenueId(1);

/// Streams that the feeds read, each once.
pub fn streams(config: &Config) -> Vec<StreamId> {
    let mut streams: Vec<StreamId> = config.feed.iter().map(|feed| StreamId(feed.stream)).collect();
    streams.sort_unstable();
    streams.dedup();
    streams
}

/// The gate's limits.
pub fn limits(config: &LimitsConfig) -> Limits {
    Limits {
        order_quantity_max: config.order_quantity_max,
        order_notional_max: config.order_notional_max,
        price_collar_bps: config.price_collar_percent.saturating_mul(100),
        position_max: config.position_max,
        open_orders_max: config.open_orders_max,
        orders_per_second_max: config.orders_per_second_max,
        order_burst_max: config.order_burst_max,
        cancel_reserve: config.cancel_reserve,
        intent_age_ns_max: config.intent_age_ns_max,
        duplicate_window_ns: config.duplicate_window_ns,
        gross_max: config.gross_max,
        net_max: config.net_max,
        daily_loss_max: config.daily_loss_max,
        drawdown_max: config.drawdown_max,
        self_trade: match config.self_trade {
            SelfTradeConfig::Off => SelfTrade::Off,
            SelfTradeConfig::CancelNewest => SelfTrade::CancelNewest,
            SelfTradeConfig::CancelOldest => SelfTrade::CancelOldest,
            SelfTradeConfig::CancelBoth => SelfTrade::CancelBoth,
        },
        messages_per_day_max: config.messages_per_day_max,
        cancel_day_reserve: config.cancel_day_reserve,
        strategy_position_max: config.strategy_position_max,
        executions_max: config.executions_max,
        executions_window_ns: config.executions_window_ns,
        volume_percent_max: config.volume_percent_max,
        volume_shares_min: config.volume_shares_min,
        reference_move_bps: config.reference_move_percent.saturating_mul(100),
        reference_spread_bps: config.reference_spread_percent.saturating_mul(100),
        reference_depth_min: config.reference_depth_min,
        equity: config.equity,
        leverage_percent_max: config.leverage_percent_max,
        strategy_gross_max: config.strategy_gross_max,
        strategy_net_max: config.strategy_net_max,
        strategy_daily_loss_max: config.strategy_daily_loss_max,
        epoch: 0,
    }
}

/// What the configuration says of single symbols: their limits, and what the day's lists say of them.
fn symbol_limits(config: &Config) -> Vec<SymbolLimits> {
    let price = |price: u32| Price(price.into());
    let mut symbols: BTreeMap<Symbol, SymbolLimits> = BTreeMap::new();
    let mut with = |name: &str, change: &dyn Fn(&mut SymbolLimits)| {
        if let Some(symbol) = Symbol::new(name) {
            change(symbols.entry(symbol).or_insert(SymbolLimits::new(symbol)));
        }
    };
    for limits in &config.limits.symbol {
        with(&limits.symbol, &|symbol| {
            symbol.position_max = limits.position_max;
            symbol.order_quantity_max = limits.order_quantity_max;
            symbol.order_notional_max = limits.order_notional_max;
            symbol.price_min = limits.price_min.map(price);
            symbol.price_max = limits.price_max.map(price);
        });
    }
    if let Some(reference) = &config.reference {
        for (name, shares) in &reference.locates {
            with(name, &|symbol| symbol.short_max = Some(i64::from(*shares)));
        }
        for name in &reference.easy_to_borrow {
            with(name, &|symbol| symbol.short_max = Some(i64::MAX));
        }
        // Of two bounds the narrower one holds.
        for (name, [lowest, highest]) in &reference.price_bands {
            with(name, &|symbol| {
                symbol.price_min = symbol.price_min.max(Some(price(*lowest)));
                symbol.price_max = Some(symbol.price_max.map_or(price(*highest), |own| own.min(price(*highest))));
            });
        }
        for name in &reference.restricted {
            with(name, &|symbol| symbol.restricted = true);
        }
    }
    symbols.into_values().collect()
}

/// Closing prices of the day before.
fn closes(config: &Config) -> Vec<(Symbol, u32)> {
    let closes = config.reference.iter().flat_map(|reference| &reference.prior_close);
    closes.filter_map(|(name, price)| Some((Symbol::new(name)?, *price))).collect()
}

/// What is held when the day begins.
pub fn opening(config: &Config) -> Vec<OpeningPosition> {
    let held = |held: &tern_config::Held| {
        let (strategy, symbol) = (StrategyId(held.strategy), Symbol::new(&held.symbol)?);
        Some(OpeningPosition { strategy, symbol, shares: held.shares, cost: held.cost })
    };
    config.held().iter().filter_map(held).collect()
}

/// The same as lines of a start record.
pub fn opening_lines(config: &Config) -> String {
    let account = account(config).0;
    let line = |one: OpeningPosition| {
        let OpeningPosition { strategy, symbol, shares, cost } = one;
        Opening { account, strategy: strategy.0, symbol: symbol.0, shares, cost }.to_line()
    };
    opening(config).into_iter().map(line).collect()
}

fn account(config: &Config) -> AccountId {
    config.session.as_ref().map_or(pipeline::Config::default().account, |session| AccountId(session.account))
}

/// What the configuration says of single strategies.
fn strategy_limits(config: &LimitsConfig) -> Vec<StrategyLimits> {
    let of = |limits: &tern_config::StrategyLimits| StrategyLimits {
        strategy: StrategyId(limits.id),
        position_max: limits.position_max,
        gross_max: limits.gross_max,
        net_max: limits.net_max,
        daily_loss_max: limits.daily_loss_max,
    };
    config.strategy.iter().map(of).collect()
}

/// The strategy that orders of people belong to.
fn by_hand(config: &Config) -> Option<StrategyId> {
    let by_hand = config.strategy.iter().find(|strategy| strategy.name == tern_config::MANUAL);
    by_hand.map(|strategy| StrategyId(strategy.id))
}

/// What the venue charges.
fn fees(config: &Config) -> Fees {
    let Some(session) = &config.session else { return Fees::default() };
    Fees::new(session.fees.iter().filter_map(|(flag, each)| flag.bytes().next().map(|flag| (flag, *each))))
}

/// A pipeline as the configuration describes it, its hot tables in `memory`.
///
/// # Errors
/// What the pipeline says is wrong.
pub fn pipeline<F: Feed, O: OrderSession, S: StrategySet>(
    config: &Config,
    state: RunState,
    parts: (F, O, S),
    memory: &mut impl Memory,
) -> Result<Pipeline<F, O, S>, ConfigError> {
    let defaults = pipeline::Config::default();
    let limits = limits(&config.limits);
    let settings = pipeline::Config {
        account: account(config),
        venue: VENUE,
        conn: crate::engine::CONN,
        limits,
        by_hand: by_hand(config),
        symbols: symbol_limits(config),
        closes: closes(config),
        strategy_limits: strategy_limits(&config.limits),
        // Lists that there are not say nothing; what they leave out is not to be borrowed.
        short_max: if config.reference.is_some() { 0 } else { i64::MAX },
        orders_max: defaults.orders_max.max(2 * limits.open_orders_max as usize),
        next_order_id: state.next_order_id,
        messages_sent: state.messages_sent,
        high_water: state.high_water,
        hours: (TaiNs(state.opens_ns), if state.closes_ns == 0 { TaiNs::NEVER } else { TaiNs(state.closes_ns) }),
        restarted: state.restarted,
        ack_timeout_ns: config
            .session
            .as_ref()
            .map_or(defaults.ack_timeout_ns, |s| s.ack_timeout_ms.saturating_mul(1_000_000)),
        fees: fees(config),
        opening: opening(config),
        unknown_orders: UnknownOrders::Cancel,
        feed_silence_ns_max: config.run_loop.feed_silence_ms.saturating_mul(1_000_000),
        pull_on_distrust: config.run_loop.on_untrusted_book == UntrustedBook::Pull,
        overruns_max: config.run_loop.strategy_overruns_max,
        overruns_window_ns: config.run_loop.strategy_overruns_window_ms.saturating_mul(1_000_000),
        after_restart: match config.session.as_ref().map(|session| session.after_restart) {
            Some(AfterRestartConfig::Agreement) => AfterRestart::Agreement,
            Some(AfterRestartConfig::Operator) | None => AfterRestart::Operator,
        },
        ..defaults
    };
    let strategies: Vec<StrategyConfig> = config
        .strategy
        .iter()
        .map(|strategy| StrategyConfig { id: StrategyId(strategy.id), trader: TraderId(strategy.trader) })
        .collect();
    let instruments = config.capacity.instruments as usize;
    let orders = config.capacity.orders as usize;
    let capacity = Capacity { instruments, orders, levels: orders / 2 + 2 * instruments };
    let books = Books::new(BooksMemory::from_memory(capacity, memory));
    let instruments = Instruments::new(InstrumentsMemory::from_memory(instruments, memory));
    Pipeline::with_memory(settings, &strategies, parts, instruments, books, memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the control side compares and sets by name is what the gate is given.
    #[test]
    fn every_limit_of_the_gate_is_a_key_of_the_file_with_a_known_direction() {
        use tern_core::risk::LimitId;
        let file =
            LimitsConfig { price_collar_percent: 7, self_trade: SelfTradeConfig::CancelBoth, ..Default::default() };
        let values = file.values();
        let gate = limits(&file);
        for id in LimitId::ALL {
            assert_eq!(values.get(id.name()), Some(&gate.get(*id)), "{}", id.name());
            assert!(tern_config::limits::has_direction(id.name()), "{}: which way is it looser?", id.name());
        }
    }

    #[test]
    fn limits_of_single_strategies_reach_the_gate() {
        let own = tern_config::StrategyLimits {
            id: 7,
            position_max: Some(1),
            gross_max: Some(2),
            net_max: None,
            daily_loss_max: Some(4),
        };
        let file = LimitsConfig { strategy: vec![own], ..Default::default() };
        let limits = StrategyLimits {
            position_max: Some(1),
            gross_max: Some(2),
            daily_loss_max: Some(4),
            ..StrategyLimits::new(StrategyId(7))
        };
        assert_eq!(strategy_limits(&file), [limits]);
    }

    #[test]
    fn whether_orders_are_held_on_an_untrusted_book_reaches_the_pipeline() {
        use crate::registry::{itch_feed, ouch_session, strategies};
        const TEXT: &str = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n[loop]\n";
        for (line, is_pulled) in
            [("", true), ("on_untrusted_book = \"pull\"", true), ("on_untrusted_book = \"hold\"", false)]
        {
            let text = format!("{TEXT}{line}\n");
            let config = Config::parse(std::path::Path::new("test"), &text);
            let config = config.unwrap_or_else(|problems| panic!("{problems}"));
            let mut heap = tern_core::book::Heap;
            let parts =
                (itch_feed(&streams(&config), &mut heap), ouch_session(&config), strategies(&config).expect("known"));
            let made = pipeline(&config, RunState::default(), parts, &mut heap).expect("a pipeline");
            assert_eq!(made.desk().config().pull_on_distrust, is_pulled, "{line}");
        }
    }

    #[test]
    fn opening_positions_reach_the_pipeline_and_the_start_record() {
        const TEXT: &str = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n\
            [[strategy]]\nname = \"observe\"\nid = 7\n[opening]\ndate = \"2026-11-22\"\n\
            [[opening.position]]\nsymbol = \"SPY\"\nstrategy = \"observe\"\nshares = -30\nprice = 100000\n";
        let config = Config::parse(std::path::Path::new("test"), TEXT).unwrap_or_else(|problems| panic!("{problems}"));
        let symbol = Symbol::new("SPY").expect("a symbol");
        assert_eq!(
            opening(&config),
            [OpeningPosition { strategy: StrategyId(7), symbol, shares: -30, cost: -300_0000 }]
        );
        let lines = opening_lines(&config);
        let said = Opening { account: 1, strategy: 7, symbol: symbol.0, shares: -30, cost: -300_0000 };
        assert_eq!(Opening::of_start(&(config.effective_toml() + &lines)), Some(vec![said]));
        use crate::registry::{itch_feed, ouch_session, strategies};
        let mut heap = tern_core::book::Heap;
        let parts =
            (itch_feed(&streams(&config), &mut heap), ouch_session(&config), strategies(&config).expect("known"));
        let made = pipeline(&config, RunState::default(), parts, &mut heap).expect("a pipeline");
        let instrument = made.desk().instruments().get(symbol).expect("it is named");
        assert_eq!(made.desk().portfolio().position(0, instrument).shares, -30);
        assert_eq!(made.desk().gate().stake().gross(), 300_0000);
    }

    #[test]
    fn orders_by_hand_belong_to_the_strategy_of_that_name_if_there_is_one() {
        assert_eq!(tern_config::MANUAL, tern_strategies::manual::Manual::NAME);
        const TEXT: &str = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n\
            [[strategy]]\nname = \"observe\"\nid = 7\n";
        let parse = |text: &str| {
            Config::parse(std::path::Path::new("test"), text).unwrap_or_else(|problems| panic!("{problems}"))
        };
        assert_eq!(by_hand(&parse(TEXT)), None);
        let config = parse(&format!("{TEXT}[[strategy]]\nname = \"manual\"\nid = 9\n"));
        assert_eq!(by_hand(&config), Some(StrategyId(9)));
        assert_eq!(crate::registry::strategies(&config).map(|all| all.len()).ok(), Some(2));
    }

    #[test]
    fn the_run_state_survives_the_start_record() {
        let state = RunState {
            next_order_id: 77,
            messages_sent: 99,
            high_water: 7,
            opens_ns: 5,
            closes_ns: 9,
            restarted: true,
            day: 9,
            journal_seq: Some(5),
            records_missing: 3,
            day_begins: Some(2),
            halt: Some(HaltReason::Overfill),
        };
        let text = format!("[instance]\nname = \"x\"\n{}#names {{}}\n", state.to_line());
        assert_eq!(RunState::from_text(&text), Some(state));
        assert_eq!(RunState::from_text("[instance]\n"), None);
        // A run that did not read the journal says so by saying nothing.
        let fresh = RunState { day: 9, ..RunState::default() };
        assert_eq!(RunState::from_text(&fresh.to_line()), Some(fresh));
    }

    #[test]
    fn limits_and_lists_of_symbols_reach_the_gate_as_one() {
        const TEXT: &str = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n\
            [[limits.symbol]]\nsymbol = \"SPY\"\nposition_max = 7\nprice_min = 300\nprice_max = 900\n[[limits.symbol]]\nsymbol = \"QQQ\"\nprice_max = 800\n[reference]\ndate = \"2026-11-22\"\n\
            restricted = [\"BAD\"]\neasy_to_borrow = [\"SPY\"]\nlocates = { GME = 500, SPY = 1 }\n\
            price_bands = { GME = [20, 30], QQQ = [100, 850], SPY = [350, 700] }\n";
        let config = Config::parse(std::path::Path::new("test"), TEXT).unwrap_or_else(|problems| panic!("{problems}"));
        let of = |name: &str| SymbolLimits::new(Symbol::new(name).expect("a symbol"));
        let within = |name: &str, lowest, highest| SymbolLimits {
            price_min: Some(Price(lowest)),
            price_max: Some(Price(highest)),
            ..of(name)
        };
        let expected = [
            SymbolLimits { restricted: true, ..of("BAD") },
            SymbolLimits { short_max: Some(500), ..within("GME", 20, 30) },
            within("QQQ", 100, 800),
            SymbolLimits { position_max: Some(7), short_max: Some(i64::MAX), ..within("SPY", 350, 700) },
        ];
        assert_eq!(symbol_limits(&config), expected);
    }
}
