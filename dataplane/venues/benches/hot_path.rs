//! Nanoseconds of the two hot paths of this crate: a message decoded into an event, an order encoded into bytes.
//!
//! A quick look (medians of a few runs) while changing the codecs; the figures that count are measured in `benches/`,
//! beside their peers.

use std::hint::black_box;
use std::time::Instant;

use tern_abi::arena::Arena;
use tern_abi::event::{BookEvent, EventKind};
use tern_core::feed::{EventSink, Feed, FeedState};
use tern_core::session::{Control, OrderAction, OrderSession, OrderSink, OrderView, TimeInForce, VenueEvent};
use tern_core::units::{InstrumentId, LineId, OrderId, Price, Side, StrategyId, StreamId, Symbol, TaiNs, TraderId};
use tern_venues::itch_ouch::wire::itch::{
    AddOrder, ItchMessage, OrderCancel, OrderDelete, OrderExecuted, OrderReplace,
};
use tern_venues::itch_ouch::wire::{Alpha, mold, ouch, soup};
use tern_venues::itch_ouch::{ItchFeed, OuchConfig, OuchSession};
use zerocopy::IntoBytes;

const ROUNDS: usize = 20;
const SESSION: mold::Session = Alpha(*b"BENCH     ");

/// Takes events as the pipeline does: into a fixed buffer.
struct Events {
    buf: Vec<BookEvent>,
    used: usize,
    instruments: u32,
}

impl EventSink for Events {
    #[inline]
    fn event(&mut self, event: BookEvent) {
        if let Some(slot) = self.buf.get_mut(self.used) {
            *slot = event;
            self.used += 1;
        }
    }

    fn instrument(&mut self, _symbol: Symbol) -> Option<InstrumentId> {
        self.instruments += 1;
        Some(InstrumentId(self.instruments - 1))
    }
}

struct NoEvents;

impl OrderSink for NoEvents {
    fn event(&mut self, _event: VenueEvent) {}
}

/// Datagrams of about 1,400 bytes over 200 symbols: A 40, D 38, U 9, E 8, X 5 percent, mixed by a small generator.
fn datagrams(messages: u64) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut sequence = 1;
    while sequence <= messages {
        let mut buf = [0; 1400];
        let mut packet = mold::PacketBuilder::new(&mut buf, SESSION, sequence).expect("room");
        loop {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if packet.push(message(random, sequence + u64::from(packet.count())).as_slice()).is_err() {
                break;
            }
        }
        sequence += u64::from(packet.count());
        packets.push(packet.finish().to_vec());
    }
    packets
}

fn message(random: u64, number: u64) -> Vec<u8> {
    let locate = (random >> 8) as u16 % 200 + 1;
    let order = number.into();
    match random % 100 {
        // The first messages introduce the symbols.
        _ if number <= 4_000 => add(locate, number),
        0..40 => add(locate, number),
        40..78 => OrderDelete { head: OrderDelete::header(locate, 0, number), order_reference_number: order }
            .as_bytes()
            .to_vec(),
        78..87 => OrderReplace {
            head: OrderReplace::header(locate, 0, number),
            original_order_reference_number: order,
            new_order_reference_number: order,
            shares: 100.into(),
            price: 1_000_000.into(),
        }
        .as_bytes()
        .to_vec(),
        87..95 => OrderExecuted {
            head: OrderExecuted::header(locate, 0, number),
            order_reference_number: order,
            executed_shares: 10.into(),
            match_number: order,
        }
        .as_bytes()
        .to_vec(),
        _ => OrderCancel {
            head: OrderCancel::header(locate, 0, number),
            order_reference_number: order,
            cancelled_shares: 10.into(),
        }
        .as_bytes()
        .to_vec(),
    }
}

fn add(locate: u16, number: u64) -> Vec<u8> {
    AddOrder {
        head: AddOrder::header(locate, 0, number),
        order_reference_number: number.into(),
        buy_sell_indicator: if number.is_multiple_of(2) { b'B' } else { b'S' },
        shares: 100.into(),
        stock: Alpha::new(format!("S{locate}").as_bytes()),
        price: 1_000_000.into(),
    }
    .as_bytes()
    .to_vec()
}

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

/// Runs are short (tens of microseconds), so that the median is of runs that nothing interrupted.
fn decode_ns() -> f64 {
    const PACKETS_A_RUN: usize = 40;
    let packets = datagrams(40_000);
    let mut feed = ItchFeed::new(StreamId(0), Arena::from_fn(ItchFeed::locates_len(1), |_| 0));
    let mut sink = Events { buf: vec![BookEvent::new(EventKind::Other); 128], used: 0, instruments: 0 };
    let mut runs = Vec::new();
    for run in packets.chunks(PACKETS_A_RUN).cycle().take(packets.len() * ROUNDS / PACKETS_A_RUN) {
        // The same messages again, with the numbers that the feed expects.
        let mut next = feed.next_seq(StreamId(0));
        let mut run = run.to_vec();
        for packet in &mut run {
            packet[10..18].copy_from_slice(&next.to_be_bytes());
            next += u64::from(u16::from_be_bytes([packet[18], packet[19]]));
        }
        let mut events = 0;
        let start = Instant::now();
        for packet in &run {
            sink.used = 0;
            let state = feed.on_payload(TaiNs(1), StreamId(0), LineId(0), black_box(packet), &mut sink);
            events += black_box(&sink).used;
            assert_eq!(state, FeedState::InSequence);
        }
        runs.push(start.elapsed().as_nanos() as f64 / events as f64);
    }
    median(runs)
}

fn logged_in() -> OuchSession {
    let config = OuchConfig {
        username: Alpha::new(b"user"),
        password: Alpha::new(b"password"),
        capacity: ouch::Capacity::Principal,
    };
    let mut session = OuchSession::new(config);
    let mut control = Control::new(OuchSession::is_order_packet);
    session.on_connected(TaiNs(1), &mut control);
    let accepted = soup::LoginAccepted { session: Alpha::new(b"S"), sequence_number: soup::AsciiNumber::new(1) };
    let mut buf = [0; 64];
    let length = soup::write(&mut buf, &soup::Packet::LoginAccepted(&accepted)).expect("room");
    session.on_bytes(TaiNs(2), &buf[..length], &mut NoEvents, &mut control);
    session
}

fn encode_ns(action: impl Fn(u32) -> OrderAction) -> f64 {
    const ORDERS_A_RUN: u32 = 2_000;
    let mut session = logged_in();
    let mut buf = [0; 128];
    let runs = (0..1_000).map(|_| {
        let start = Instant::now();
        for id in 1..=ORDERS_A_RUN {
            let order = OrderView {
                action: action(id),
                symbol: Symbol(*b"AAPL    "),
                instrument: InstrumentId(7),
                side: Side::Sell,
                short: id.is_multiple_of(3),
                price: Price(1_000_000 + i64::from(id % 64)),
                quantity: 100,
                min_quantity: 0,
                time_in_force: TimeInForce::Day,
                post_only: false,
                strategy: StrategyId(id as u16),
                trader: TraderId(2),
            };
            let length = session.encode(black_box(&order), &mut buf).expect("encodes");
            black_box(&buf[..length]);
        }
        start.elapsed().as_nanos() as f64 / f64::from(ORDERS_A_RUN)
    });
    median(runs.collect())
}

fn main() {
    println!("itch decode to event      {:6.2} ns a message", decode_ns());
    println!("ouch encode enter order   {:6.2} ns", encode_ns(|id| OrderAction::New { order: OrderId(id) }));
    println!(
        "ouch encode replace order {:6.2} ns",
        encode_ns(|id| OrderAction::Replace { previous: OrderId(id), order: OrderId(id + 1) })
    );
    println!("ouch encode cancel order  {:6.2} ns", encode_ns(|id| OrderAction::Cancel { order: OrderId(id) }));
}
