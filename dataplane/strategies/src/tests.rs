//! The strategies trade with a small venue of the test's own.

use crate::{AnyStrategy, ParamError, REGISTRY, Setup, StrategyParams, make};
use std::collections::BTreeMap;
use tern_abi::command::CommandKind;
use tern_abi::event::{BookEvent, EventKind};
use tern_core::input::{ConnEvent, Input};
use tern_core::opening::OpeningPosition;
use tern_core::pipeline::{Config, PipelineCounter};
use tern_core::risk::Reason;
use tern_core::session::{OrderAction, VenueEvent, VenueEventKind};
use tern_core::testing::{Rig, accepted, add, config, executed, print, replaced, told, trading};
use tern_core::units::{InstrumentId, OrderId, Side, StrategyId, Symbol, TaiNs};

const SYMBOLS: u32 = 60;

fn strategy(name: &str, params: &[(&str, i64)]) -> AnyStrategy {
    let params: StrategyParams = params.iter().copied().collect();
    make(name, &Setup { instruments_max: SYMBOLS as usize, symbols: &[], params: &params }).unwrap()
}

/// A small generator with a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// One of our orders at the venue.
#[derive(Clone, Copy)]
struct Resting {
    leaves: u32,
    executed: u32,
    price: i64,
}

struct Market {
    rig: Rig<(AnyStrategy,)>,
    random: Random,
    ours: BTreeMap<u32, Resting>,
    books: Vec<[u64; 2]>,
    next_reference: u64,
    next_match: u64,
    sent: [u64; 3],
    partial_fills: u64,
    traded: std::collections::BTreeSet<u32>,
}

impl Market {
    fn new(strategy: AnyStrategy, seed: u64) -> Self {
        Self::with_rate(strategy, seed, 1_000_000, 100_000)
    }

    fn with_rate(strategy: AnyStrategy, seed: u64, per_second: u32, burst: u32) -> Self {
        Self::of(config(), strategy, seed, per_second, burst)
    }

    fn of(mut config: Config, strategy: AnyStrategy, seed: u64, per_second: u32, burst: u32) -> Self {
        config.limits.position_max = 100_000;
        config.limits.strategy_position_max = 100_000;
        config.limits.orders_per_second_max = per_second;
        config.limits.order_burst_max = burst;
        let rig = Rig::ready(config, SYMBOLS, (strategy,));
        let mut market = Self {
            rig,
            random: Random(seed),
            ours: BTreeMap::new(),
            books: vec![[0; 2]; SYMBOLS as usize],
            next_reference: 1,
            next_match: 1000,
            sent: [0; 3],
            partial_fills: 0,
            traded: std::collections::BTreeSet::new(),
        };
        for instrument in 0..SYMBOLS {
            market.requote(instrument);
        }
        market
    }

    /// Somebody else quotes the instrument anew: one order a side, near 10.0000.
    fn requote(&mut self, instrument: u32) {
        let mut events = Vec::new();
        for old in self.books[instrument as usize].into_iter().filter(|old| *old != 0) {
            events.push(BookEvent { instrument, order: old, ..BookEvent::new(EventKind::Delete) });
        }
        let bid = 9_9000 + self.random.below(15) as i64 * 100;
        let spread = (1 + self.random.below(6) as i64) * 100;
        for (index, side, price) in [(0, Side::Buy, bid), (1, Side::Sell, bid + spread)] {
            let shares = 100 * (1 + self.random.below(9) * self.random.below(9)) as u32;
            events.push(add(instrument, self.next_reference, side, price, shares));
            self.books[instrument as usize][index] = self.next_reference;
            self.next_reference += 1;
        }
        self.rig.feed(&events);
        self.answer();
    }

    /// Answers what came, as the venue does.
    fn answer(&mut self) {
        loop {
            let sent = self.rig.sent();
            if sent.is_empty() {
                return;
            }
            for message in sent {
                match message.action {
                    OrderAction::New { order } => {
                        self.sent[0] += 1;
                        self.rig.venue(accepted(order.0, message.quantity, message.price.0));
                        let leaves = message.quantity;
                        self.ours.insert(order.0, Resting { leaves, executed: 0, price: message.price.0 });
                        if message.ioc {
                            let part = if self.random.below(3) == 0 { leaves / 2 } else { leaves };
                            self.fill(order.0, part);
                            self.cancel(order.0);
                        }
                    }
                    OrderAction::Replace { previous, order } => {
                        self.sent[1] += 1;
                        let Some(old) = self.ours.remove(&previous.0) else { continue };
                        let leaves = message.quantity - old.executed;
                        self.rig.venue(replaced(previous.0, order.0, leaves, message.price.0));
                        self.ours.insert(order.0, Resting { leaves, price: message.price.0, ..old });
                    }
                    OrderAction::Reduce { order } => unreachable!("no strategy here asks for it: {order:?}"),
                    OrderAction::Cancel { order } => {
                        self.sent[2] += 1;
                        self.cancel(order.0);
                    }
                }
            }
        }
    }

    fn cancel(&mut self, order: u32) {
        if let Some(resting) = self.ours.remove(&order) {
            self.rig.venue(told(VenueEventKind::Canceled, order, resting.leaves));
        }
    }

    fn fill(&mut self, order: u32, quantity: u32) {
        let Some(resting) = self.ours.get_mut(&order) else { return };
        let quantity = quantity.min(resting.leaves);
        if quantity == 0 {
            return;
        }
        resting.leaves -= quantity;
        resting.executed += quantity;
        let (left, price) = (resting.leaves, resting.price);
        self.partial_fills += u64::from(left > 0);
        if left == 0 {
            self.ours.remove(&order);
        }
        self.next_match += 1;
        let instrument = self.rig.pipeline.desk().orders().find(OrderId(order)).map(|order| order.instrument().0);
        self.traded.extend(instrument);
        self.rig.venue(executed(order, quantity, price, self.next_match));
    }

    fn run(&mut self, rounds: u32) {
        for _ in 0..rounds {
            let instrument = self.random.below(u64::from(SYMBOLS)) as u32;
            self.requote(instrument);
            if self.random.below(3) == 0 && !self.ours.is_empty() {
                let pick = self.random.below(self.ours.len() as u64) as usize;
                let order = *self.ours.keys().nth(pick).unwrap();
                let quantity = 1 + self.random.below(120) as u32;
                self.fill(order, quantity);
                self.answer();
            }
            self.rig.now = self.rig.now.plus(1_000_000);
            if self.rig.pipeline.next_deadline() <= self.rig.now {
                self.rig.input(Input::Timer);
                self.answer();
            }
        }
    }

    fn held_max(&self) -> i64 {
        let desk = self.rig.pipeline.desk();
        (0..SYMBOLS).map(|i| desk.portfolio().position(0, InstrumentId(i)).shares.abs()).max().unwrap_or(0)
    }

    fn refused(&self, reason: Reason) -> u64 {
        self.rig.pipeline.desk().refusals()[reason.index()]
    }

    /// The venue's orders and ours are the same, and nothing was odd on the way.
    fn agrees(&self) {
        let desk = self.rig.pipeline.desk();
        let ours: Vec<(u32, u32)> = desk.orders().open().map(|order| (order.id().0, order.leaves())).collect();
        let mut theirs: Vec<(u32, u32)> = self.ours.iter().map(|(id, resting)| (*id, resting.leaves)).collect();
        theirs.sort_unstable();
        let mut sorted = ours.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, theirs);
        assert_eq!(desk.gate().halt(), None);
        assert_eq!(desk.counter(PipelineCounter::IntentsDropped), 0);
        for reason in [Reason::Price, Reason::Quantity, Reason::Notional, Reason::UnknownOrder, Reason::Position] {
            assert_eq!(self.refused(reason), 0, "{}", reason.name());
        }
    }
}

#[test]
fn the_maker_quotes_replaces_and_cancels_over_many_symbols_within_its_position() {
    let mut market = Market::new(strategy("maker", &[("max_position", 500)]), 7);
    market.run(6000);
    market.agrees();
    assert!(market.traded.len() >= 50, "{} symbols", market.traded.len());
    assert!(market.sent.iter().all(|count| *count > 200), "new, replace, cancel: {:?}", market.sent);
    assert!(market.partial_fills > 200, "{}", market.partial_fills);
    assert!((300..=500).contains(&market.held_max()), "{}", market.held_max());
    let desk = market.rig.pipeline.desk();
    for instrument in 0..SYMBOLS {
        for side in [Side::Buy, Side::Sell] {
            let own = desk.orders().own(0, InstrumentId(instrument)).filter(|order| order.side() == side);
            assert!(own.count() <= 1, "one quote a side");
        }
    }
}

#[test]
fn the_makers_quotes_do_not_cross_the_book_and_lean_against_its_position() {
    let mut market = Market::new(strategy("maker", &[("skew", 300), ("tolerance", 0), ("pull_ratio", 1_000_000)]), 3);
    let quotes = |market: &Market| -> [i64; 2] {
        let orders = market.rig.pipeline.desk().orders();
        let quote = |side| orders.own(0, InstrumentId(0)).find(|order| order.side() == side).unwrap().price().0;
        [quote(Side::Buy), quote(Side::Sell)]
    };
    let flat = quotes(&market);
    let top = market.rig.pipeline.desk().books().top(InstrumentId(0));
    assert!(flat[0] < top.ask.unwrap().price.0 && flat[1] > top.bid.unwrap().price.0);
    let buy = market.rig.pipeline.desk().orders().own(0, InstrumentId(0)).find(|o| o.side() == Side::Buy).unwrap();
    let id = buy.id().0;
    market.fill(id, 100);
    market.answer();
    let long = quotes(&market);
    assert!(long[0] < flat[0] && long[1] <= flat[1], "{long:?} after {flat:?}");
}

#[test]
fn the_taker_enters_on_imbalance_and_leaves_again() {
    for ioc in [1, 0] {
        let mut market = Market::new(strategy("taker", &[("ioc", ioc), ("hold_ns", 20_000_000)]), 11);
        market.run(6000);
        market.agrees();
        assert!(market.traded.len() >= 50, "{} symbols", market.traded.len());
        assert!(market.sent[0] > 500 && market.partial_fills > 50, "{:?} {}", market.sent, market.partial_fills);
        assert_eq!(ioc == 0, market.sent[2] > 0, "only what rests is cancelled");
        assert!(market.held_max() <= 500);
        // Left alone, it leaves every position: each look trades at least a part.
        market.rig.command(CommandKind::CancelAll);
        market.answer();
        for _ in 0..400 {
            market.rig.now = market.rig.now.plus(20_000_000);
            market.rig.input(Input::Timer);
            market.answer();
            while ioc == 0
                && let Some(order) = market.ours.keys().next().copied()
            {
                market.fill(order, 1000);
            }
        }
        assert_eq!(market.held_max(), 0, "ioc {ioc}");
    }
}

/// A run before it, or the day before, left positions: it was built anew and remembers none of them.
#[test]
fn the_taker_leaves_what_it_finds_it_holds() {
    let mut config = config();
    config.opening = (0..8_u8)
        .map(|index| {
            let shares = if index % 2 == 0 { 300 } else { -300 };
            let symbol = Symbol([b'S', b'0' + index, b' ', b' ', b' ', b' ', b' ', b' ']);
            OpeningPosition { strategy: StrategyId(1), symbol, shares, cost: shares * 10_0000 }
        })
        .collect();
    // No entry of its own: nothing is a hundred thousand times larger.
    let taker = strategy("taker", &[("ratio", 100_000), ("hold_ns", 20_000_000)]);
    let mut market = Market::of(config, taker, 5, 1_000_000, 100_000);
    assert_eq!(market.held_max(), 300);
    market.run(3000);
    assert_eq!(market.held_max(), 0);
    assert!(market.sent[0] >= 8 && market.traded.len() == 8, "{:?} in {} symbols", market.sent, market.traded.len());
}

/// After a restart the venue tells of trades of an earlier run, long after the books were looked at first.
#[test]
fn the_taker_leaves_what_the_venues_log_tells_it_holds() {
    let taker = strategy("taker", &[("ratio", 100_000), ("hold_ns", 20_000_000)]);
    let config = Config { restarted: true, ..config() };
    let mut rig = Rig::bare(config, 2, (taker,));
    rig.feed(&[trading(0), print(0, 10_0000), add(0, 1, Side::Buy, 9_9900, 500), add(0, 2, Side::Sell, 10_0100, 500)]);
    rig.conn(ConnEvent::Up);
    rig.conn(ConnEvent::Room(1 << 20));
    let order = VenueEvent {
        symbol: Symbol::new("S0"),
        side: Some(Side::Buy),
        strategy: Some(StrategyId(1)),
        ..accepted(7, 300, 10_0000)
    };
    rig.venue(order);
    rig.venue(executed(7, 300, 10_0000, 3));
    rig.venue(VenueEvent { order: OrderId(40), ..VenueEvent::new(VenueEventKind::NextOrderId) });
    rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
    // Nothing that would be refused: it is not tradable now.
    rig.feed(&[BookEvent { instrument: 0, code: b'H', ..BookEvent::new(EventKind::TradingState) }]);
    rig.now = rig.now.plus(20_000_000);
    rig.input(Input::Timer);
    assert!(rig.sent().is_empty());
    assert!(rig.pipeline.desk().refusals().iter().all(|refused| *refused == 0));
    rig.feed(&[trading(0)]);
    rig.now = rig.now.plus(20_000_000);
    rig.input(Input::Timer);
    let sent = rig.sent();
    let wanted: Vec<(Side, u32)> = sent.iter().map(|sent| (sent.side, sent.quantity)).collect();
    assert_eq!(wanted, [(Side::Sell, 300)]);
}

#[test]
fn no_strategy_asks_for_more_than_the_rate_allows() {
    // A round lasts a millisecond and a bit, and moves one instrument: the maker wants up to 2000 messages a second.
    for (name, per_second, burst, enough) in [("maker", 400, 20, 2000), ("maker", 400, 1, 500), ("taker", 60, 5, 200)] {
        let mut market = Market::with_rate(strategy(name, &[]), 7, per_second, burst);
        market.run(6000);
        market.agrees();
        let sent: u64 = market.sent.iter().sum();
        assert!(sent > enough, "{name}: {:?} in six seconds", market.sent);
        if burst > 1 {
            assert_eq!(market.refused(Reason::Rate), 0, "{name}");
        }
        // Whoever waited gets its turn once there is room.
        let mut turns = 0;
        while name == "maker" && market.rig.pipeline.next_deadline() != TaiNs::NEVER {
            market.rig.now = TaiNs(market.rig.now.0.max(market.rig.pipeline.next_deadline().0));
            market.rig.input(Input::Timer);
            market.answer();
            turns += 1;
            assert!(turns < 1000, "it comes to rest");
        }
    }
}

#[test]
fn the_maker_leaves_a_part_of_the_burst_to_others() {
    let mut market = Market::with_rate(strategy("maker", &[("rate_spare", 50)]), 7, 1, 20);
    market.run(200);
    let sent: u64 = market.sent.iter().sum();
    assert!((9..=11).contains(&sent), "half of the burst: {:?}", market.sent);
    assert!(market.rig.pipeline.desk().gate().rate().orders_due(9) <= market.rig.now);
}

#[test]
fn orders_are_priced_in_the_venues_increments_whatever_the_book_shows() {
    let prices = |name: &str, bid: (i64, u32), ask: (i64, u32)| -> Vec<i64> {
        let mut config = config();
        // A symbol that cost 10 costs a dollar a while later.
        config.limits.reference_move_bps = 10_000;
        let mut rig = Rig::ready(config, SYMBOLS, (strategy(name, &[("instruments", 1)]),));
        rig.now = rig.now.plus(2_000_000_000);
        let adds = [add(0, 1, Side::Buy, bid.0, bid.1), add(0, 2, Side::Sell, ask.0, ask.1)];
        rig.feed(&[print(0, (bid.0 + ask.0) / 2), adds[0], adds[1]]);
        rig.sent().iter().map(|message| message.price.0).collect()
    };
    // Both off the cent; then a bid below a dollar, whose increment is not that of the quotes above it.
    assert_eq!(prices("maker", (103_917, 100), (104_383, 100)), [104_000, 104_300]);
    assert_eq!(prices("maker", (9_950, 100), (10_450, 100)), [10_100, 10_300]);
    assert_eq!(prices("taker", (103_917, 100), (104_383, 900)), [103_900]);
    assert_eq!(prices("taker", (103_917, 900), (104_383, 100)), [104_400]);
    assert_eq!(prices("taker", (9_917, 100), (9_993, 900)), [9_917]);
}

#[test]
fn the_maker_does_not_follow_its_own_quotes_inside_a_wide_spread() {
    let mut rig = Rig::ready(config(), SYMBOLS, (strategy("maker", &[("instruments", 1)]),));
    rig.feed(&[add(0, 1, Side::Buy, 99_000, 100), add(0, 2, Side::Sell, 101_000, 300)]);
    let quotes = rig.sent();
    let prices: Vec<i64> = quotes.iter().map(|quote| quote.price.0).collect();
    assert_eq!(prices, [99_400, 99_600], "round 9.95, nearer to the side with fewer shares");
    for (quote, side) in quotes.iter().zip([Side::Buy, Side::Sell]) {
        let OrderAction::New { order } = quote.action else { panic!("a new order") };
        rig.venue(accepted(order.0, quote.quantity, quote.price.0));
        let reference = rig.pipeline.desk().orders().find(order).unwrap().venue_order();
        rig.feed(&[add(0, reference, side, quote.price.0, quote.quantity)]);
        let sent = rig.sent();
        assert!(sent.is_empty(), "nobody else moved: {sent:?}");
    }
}

#[test]
fn a_rejected_quote_waits_for_the_book_to_change() {
    let mut rig = Rig::ready(config(), SYMBOLS, (strategy("maker", &[("instruments", 1)]),));
    rig.feed(&[add(0, 1, Side::Buy, 100_000, 100), add(0, 2, Side::Sell, 100_400, 100)]);
    let sent = rig.sent();
    assert_eq!(sent.len(), 2);
    for message in sent {
        let OrderAction::New { order } = message.action else { panic!("a new order") };
        rig.venue(told(VenueEventKind::Rejected, order.0, 0));
        assert!(rig.sent().is_empty(), "the same quote again at once would be rejected again, and so on");
    }
    rig.feed(&[add(0, 3, Side::Buy, 100_100, 100)]);
    assert_eq!(rig.sent().len(), 2);
}

#[test]
fn observe_sends_nothing() {
    let mut market = Market::new(strategy("observe", &[]), 5);
    market.run(100);
    assert_eq!(market.sent, [0; 3]);
    let AnyStrategy::Observe(observe) = &market.rig.pipeline.strategies().0 else { panic!("observe") };
    assert!(observe.changes > 300 && observe.top_changes > 300 && observe.batches > 100);
}

#[test]
fn only_named_symbols_are_traded() {
    let params: StrategyParams = [("pull_ratio", 1_000_000)].into_iter().collect();
    let symbols = [tern_core::units::Symbol::new("S7").unwrap()];
    let setup = Setup { instruments_max: SYMBOLS as usize, symbols: &symbols, params: &params };
    let mut market = Market::new(make("maker", &setup).unwrap(), 5);
    market.run(500);
    let orders = market.rig.pipeline.desk().orders();
    let instruments: Vec<u32> = orders.open().map(|order| order.instrument().0).collect();
    assert_eq!(instruments, [7, 7]);
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let said = |name: &str, pairs: &[(&str, i64)]| -> String {
        let params: StrategyParams = pairs.iter().copied().collect();
        let setup = Setup { instruments_max: 1, symbols: &[], params: &params };
        make(name, &setup).map(|_| ()).map_err(|error: ParamError| error.to_string()).unwrap_err()
    };
    assert_eq!(said("market", &[]), "no strategy is called `market`; there are maker, taker, observe, manual");
    assert!(said("maker", &[("quantty", 1)]).starts_with("no parameter is called `quantty`; there are quantity,"));
    assert!(said("maker", &[("quantity", 0)]).starts_with("`quantity` is 0; it must be between 1 and 999999"));
    assert!(said("observe", &[("quantity", 1)]).starts_with("no parameter is called `quantity`"));
    for entry in REGISTRY {
        for param in entry.params {
            assert!((param.range.0..=param.range.1).contains(&param.default), "{} {}", entry.name, param.name);
        }
    }
}
