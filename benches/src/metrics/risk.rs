//! `risk_check`: everything that the gate asks of a new order, in a pipeline with 12,000 symbols trading, session up and
//! books full; and the same for symbols drawn at random, one after the other, whose lines are in no near cache. The peer
//! keeps the same limits in hash maps by symbol and the rate as a queue of times.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;

use tern_abi::record::NullRecorder;
use tern_core::input::{ConnEvent, Input};
use tern_core::pipeline::Pipeline;
use tern_core::probe::{NoProbe, NotIsolated};
use tern_core::strategy::{Intent, TimeInForce};
use tern_core::units::{InstrumentId, LineId, Price, Side, Stamp, StreamId, TaiNs};
use tern_dataplane::arenas::Arenas;
use tern_dataplane::assemble::{self, RunState};
use tern_dataplane::engine::CONN;
use tern_dataplane::registry;
use tern_sim::generate::Shape;
use tern_strategies::AnyStrategy;
use tern_venues::itch_ouch::{ItchFeed, OuchSession};

use crate::flow::{self, Packing, generate};
use crate::harness::{Plan, Row, RowBuilder, interleave, ns_each};
use crate::setting::configuration;
use crate::venue::Venue;

const STREAM: StreamId = StreamId(1);

type Observing = Pipeline<ItchFeed, OuchSession, Box<[AnyStrategy]>>;

/// A pipeline that could trade: books of a day, market open, session ready.
fn ready() -> (Observing, TaiNs) {
    let mut config = configuration();
    config.strategy.truncate(1);
    config.strategy[0].name = "observe".into();
    config.strategy[0].params.clear();
    let mut memory = Arenas::new(true);
    let feed = registry::itch_feed(&[STREAM], &mut memory);
    let strategies = registry::strategies(&config).expect("the registry has it");
    let parts = (feed, registry::ouch_session(&config), strategies);
    let mut pipeline =
        assemble::pipeline(&config, RunState::default(), parts, &mut memory).expect("the configuration is right");
    let mut now = TaiNs(1_000_000_000_000_000_000);
    let mut give = |pipeline: &mut Observing, input: Input<'_>| {
        now = now.plus(1_000);
        let recorder = &mut NullRecorder::default();
        pipeline.on_input(now, input, recorder, &mut NoProbe, &mut NotIsolated).expect("nothing is full");
        now
    };
    let flow = generate(flow::Plan {
        shape: Shape::RealDay,
        opening_orders: 400_000,
        steady: 50_000,
        packing: Packing::Busy,
        burst: false,
    });
    // Not to the end: the market is still open.
    for payload in &flow.datagrams[..flow.steady_from + 2_000] {
        let at = Stamp { seen: TaiNs(1), arrival: TaiNs(1), nic: None };
        give(&mut pipeline, Input::Datagram { stream: STREAM, line: LineId(0), at, backlog: 0, payload });
    }
    give(&mut pipeline, Input::Conn { conn: CONN, event: ConnEvent::Up });
    give(&mut pipeline, Input::Conn { conn: CONN, event: ConnEvent::Room(8192) });
    let (mut venue, mut answers) = (Venue::default(), Vec::new());
    while !pipeline.desk().can_trade() {
        let asked = pipeline.pending_control(CONN).len();
        venue.on_bytes(pipeline.pending_control(CONN));
        pipeline.consume_control(CONN, asked);
        venue.take(&mut answers);
        assert!(!answers.is_empty(), "the venue answers a login");
        give(&mut pipeline, Input::Session { conn: CONN, bytes: &answers });
        answers.clear();
    }
    (pipeline, now)
}

/// Orders that pass, a symbol each.
fn passing(pipeline: &Observing, now: TaiNs) -> Vec<Intent> {
    let books = pipeline.desk().books();
    let order = |index| {
        let instrument = InstrumentId(index);
        let price = books.status(instrument).last_price.or(books.top(instrument).bid.map(|level| level.price))?;
        let side = if index % 2 == 0 { Side::Buy } else { Side::Sell };
        let quantity = 1 + index % 100;
        let price = Price(price.0 / 100 * 100);
        let time_in_force = TimeInForce::Day;
        Some(Intent::New {
            instrument,
            side,
            price,
            quantity,
            min_quantity: 0,
            time_in_force,
            post_only: index % 4 == 0,
        })
    };
    let passes = |intent: &Intent| pipeline.check_intent(now, 0, 1_000, intent).is_ok();
    (0..12_000).filter_map(order).filter(passes).collect()
}

#[derive(Default)]
struct PlainSymbol {
    trading: bool,
    reference: i64,
    position: i64,
    open: [i64; 2],
    last: (i64, u32, u8),
    last_ns: u64,
}

/// The limits as most would keep them first.
#[derive(Default)]
struct Plain {
    symbols: HashMap<[u8; 8], PlainSymbol>,
    sent: VecDeque<u64>,
    open_orders: u32,
    killed: bool,
}

impl Plain {
    fn check(&mut self, now: u64, age_ns: u64, symbol: [u8; 8], side: u8, price: i64, quantity: u32) -> bool {
        if self.killed || age_ns > 50_000_000 || self.open_orders >= 60_000 {
            return false;
        }
        while self.sent.front().is_some_and(|at| now - at > 1_000_000_000) {
            self.sent.pop_front();
        }
        let Some(of) = self.symbols.get(&symbol) else { return false };
        let worst = of.position * (1 - 2 * i64::from(side)) + of.open[usize::from(side)] + i64::from(quantity);
        self.sent.len() < 1_000_000
            && of.trading
            && quantity > 0
            && quantity <= 10_000
            && price > 0
            && price * i64::from(quantity) <= 50_000_000_000
            && (price - of.reference).abs() * 100 <= of.reference * 5
            && worst <= 20_000
            && (of.last != (price, quantity, side) || now - of.last_ns >= 100_000)
    }
}

/// See the module.
pub fn risk_check(plan: Plan) -> Vec<Row> {
    let (pipeline, now) = ready();
    let orders = passing(&pipeline, now);
    assert!(orders.len() > 10_000, "{} of 12,000 symbols trade", orders.len());
    let name = |instrument| pipeline.desk().instruments().symbol(instrument).expect("a symbol").0;
    let mut plain = Plain::default();
    for intent in &orders {
        let Intent::New { instrument, price, .. } = intent else { continue };
        let symbol = PlainSymbol { trading: true, reference: price.0, ..PlainSymbol::default() };
        plain.symbols.insert(name(*instrument), symbol);
    }
    let mut random = tern_sim::rng::Rng::new(flow::SEED);
    let draws = 20_000 * plan.scale;
    let cold: Vec<Intent> = (0..draws).map(|_| orders[random.below(orders.len() as u32) as usize]).collect();
    let hot: Vec<Intent> = (0..draws).map(|index| orders[index % 8]).collect();
    let mut rows = Vec::new();
    for (metric, drawn, note) in
        [("risk_check", &hot, "8 symbols in turn"), ("risk_check_cold", &cold, "symbols drawn at random")]
    {
        let run_peer = || {
            ns_each(|| {
                for intent in drawn {
                    let Intent::New { instrument, side, price, quantity, .. } = *black_box(intent) else { continue };
                    let side = u8::from(side == Side::Sell);
                    assert!(plain.check(now.0, 1_000, name(instrument), side, price.0, quantity));
                }
                drawn.len() as u64
            })
        };
        let run_ours = || {
            ns_each(|| {
                for intent in drawn {
                    let verdict = pipeline.check_intent(black_box(now), 0, 1_000, black_box(intent));
                    assert!(black_box(verdict).is_ok());
                }
                drawn.len() as u64
            })
        };
        let (all_ours, all_peer) = interleave(plan, run_ours, run_peer);
        let row = RowBuilder::new(metric, "ns/order", all_ours)
            .peer("the same limits in a HashMap by symbol, the rate as a queue of times", all_peer)
            .note(format!("{note}, of {} that trade; every check of a new order passed", orders.len()));
        rows.push(if metric == "risk_check" { row.target(40.0).build() } else { row.build() });
    }
    rows
}
