//! The order session against a venue that is played by hand: bytes in, events and bytes out.

#[path = "../common/mod.rs"]
mod common;
mod events;
mod link;
mod log;
mod orders;

use common::hex;
use proptest::prelude::*;
use tern_core::session::{
    Control, ControlError, DropReason, EncodeError, OrderAction, OrderSession, OrderSink, OrderView, SessionCounter,
    TimeInForce, VenueEvent, VenueEventKind,
};
use tern_core::units::{InstrumentId, OrderId, Price, Side, StrategyId, Symbol, TaiNs, TraderId};
use tern_venues::itch_ouch::wire::{Alpha, ouch, soup};
use tern_venues::itch_ouch::{HEARTBEAT_NS, OuchConfig, OuchSession, SILENCE_NS};
use zerocopy::IntoBytes;

const START: TaiNs = TaiNs(1_000_000_000_000);
const VENUE_NS: u64 = 0x1f1a_d42b_8915;
const SURVEY: &str = "002f 'L' 'trader' 'secret    ' '          ' '                   0'";
const QUERY: &str = "0002 'U' 'Q'";
const HEARTBEAT: &str = "0001 'H'";

struct Sink(Vec<VenueEvent>);

impl OrderSink for Sink {
    fn event(&mut self, event: VenueEvent) {
        self.0.push(event);
    }
}

struct Line {
    session: OuchSession,
    control: Control,
    sink: Sink,
    now: TaiNs,
}

fn config() -> OuchConfig {
    OuchConfig { username: Alpha::new(b"trader"), password: Alpha::new(b"secret"), capacity: ouch::Capacity::Principal }
}

/// The venue's message in its packet.
fn sequenced(text: &str) -> Vec<u8> {
    let message = hex(&text.replace("TIME", "00001f1ad42b8915"));
    let mut buf = [0; 256];
    let length = soup::write(&mut buf, &soup::Packet::SequencedData(&message)).expect("room");
    buf[..length].to_vec()
}

fn accepted(session: &str, sequence: u64) -> Vec<u8> {
    hex(&format!("001f 'A' '{session:>10}' '{sequence:>20}'"))
}

fn answer(next: u32) -> Vec<u8> {
    sequenced(&format!("'Q' TIME {next:08x}"))
}

fn executed(order: u32, quantity: u32) -> Vec<u8> {
    sequenced(&format!("'E' TIME {order:08x} {quantity:08x} 000000000010c8e6 'A' 0000000011223344 0000"))
}

impl Line {
    fn connected() -> Self {
        let mut line = Self {
            session: OuchSession::new(config()),
            control: Control::new(OuchSession::is_order_packet),
            sink: Sink(Vec::new()),
            now: START,
        };
        line.session.on_connected(line.now, &mut line.control);
        line
    }

    fn logged_in() -> Self {
        let mut line = Self::connected();
        line.take(&accepted("S1", 1));
        line.sent();
        line
    }

    /// Logged in to an empty log, both answers (messages 1 and 2) read.
    fn ready() -> Self {
        let mut line = Self::logged_in();
        line.take(&[answer(1), answer(1)].concat());
        assert!(line.session.is_ready());
        line.events();
        line
    }

    fn take(&mut self, bytes: &[u8]) {
        self.session.on_bytes(self.now, bytes, &mut self.sink, &mut self.control);
    }

    fn timer(&mut self, later_ns: u64) {
        self.now = self.now.plus(later_ns);
        self.session.on_timer(self.now, &mut self.control);
    }

    fn reconnect(&mut self) {
        self.session.on_disconnected(self.now);
        self.control.clear();
        self.session.on_connected(self.now, &mut self.control);
    }

    /// Control bytes since the last call.
    fn sent(&mut self) -> Vec<u8> {
        let sent = self.control.pending().to_vec();
        self.control.consume(sent.len());
        sent
    }

    fn events(&mut self) -> Vec<VenueEvent> {
        std::mem::take(&mut self.sink.0)
    }

    fn kinds(&mut self) -> Vec<VenueEventKind> {
        self.events().iter().map(|event| event.kind).collect()
    }

    fn counter(&self, counter: SessionCounter) -> u64 {
        self.session.counters()[counter.index()]
    }
}

fn view(action: OrderAction) -> OrderView {
    OrderView {
        action,
        symbol: Symbol(*b"GOOG    "),
        instrument: InstrumentId(5),
        side: Side::Buy,
        short: false,
        price: Price(1_100_000),
        quantity: 200,
        min_quantity: 0,
        time_in_force: TimeInForce::Day,
        post_only: false,
        strategy: StrategyId(0x12),
        trader: TraderId(0xBEEF),
    }
}

fn new(order: u32) -> OrderView {
    view(OrderAction::New { order: OrderId(order) })
}

fn encoded(line: &mut Line, order: &OrderView) -> Result<Vec<u8>, EncodeError> {
    let mut buf = [0; 80];
    line.session.encode(order, &mut buf).map(|length| buf[..length].to_vec())
}

fn login(session: &str, sequence: u64) -> Vec<u8> {
    hex(&format!("002f 'L' 'trader' 'secret    ' '{session:>10}' '{sequence:>20}'"))
}
