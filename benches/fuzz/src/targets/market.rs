//! Everything between the bytes that come in and the order bytes that go out.

use tern_abi::command::{Command, SetLimits};
use tern_abi::record::{Kind, OrderRecord};
use tern_abi::vec_recorder::VecRecorder;
use tern_core::book::{Books, BooksMemory, Capacity, Heap, Instruments, InstrumentsMemory};
use tern_core::input::{ConnEvent, DownReason, Input};
use tern_core::outbox::{Carrier, OrderBytes, WindowClosed};
use tern_core::pipeline::{Config, Desk, Pipeline, PipelineCounter, StrategyConfig};
use tern_core::probe::{NoProbe, NotIsolated};
use tern_core::risk::LimitId;
use tern_core::session::{ControlBytes, DropReason};
use tern_core::units::{ConnId, LineId, Side, Stamp, StrategyId, StreamId, TaiNs, TraderId};
use tern_sim::engine::{Engine, Rules};
use tern_strategies::{AnyStrategy, Setup};
use tern_venues::itch_ouch::wire::{itch, mold};
use tern_venues::itch_ouch::{ItchFeed, OuchSession};
use zerocopy::FromBytes;

use super::session::{new_session, venue_packet};
use crate::input::Choices;

const CONN: ConnId = ConnId(0);
const STREAM: StreamId = StreamId(1);
const ITCH_KINDS: &[u8] = b"ADEXUCFPDAEXHRSYLVWKJhQBINO";

type Line = Pipeline<ItchFeed, OuchSession, Box<[AnyStrategy]>>;

/// A pipeline with small tables and wide limits.
fn line(names: &[&str]) -> Line {
    let params = Default::default();
    let setup = Setup { instruments_max: 16, symbols: &[], params: &params };
    let strategies: Box<[AnyStrategy]> =
        names.iter().map(|name| tern_strategies::make(name, &setup).expect("a strategy")).collect();
    let ids: Vec<StrategyConfig> =
        (1..=names.len() as u16).map(|id| StrategyConfig { id: StrategyId(id), trader: TraderId(id) }).collect();
    let mut config = Config { orders_max: 64, executions_max: 64, ..Config::default() };
    config.limits.open_orders_max = 32;
    config.limits.orders_per_second_max = 1_000_000;
    config.limits.order_burst_max = 100_000;
    config.limits.intent_age_ns_max = 3_600_000_000_000;
    let feed = ItchFeed::new(STREAM, tern_core::book::Memory::arena(&mut Heap, ItchFeed::locates_len(1)));
    let capacity = Capacity { instruments: 16, orders: 256, levels: 128 };
    Pipeline::new(
        config,
        &ids,
        (feed, new_session(), strategies),
        Instruments::new(InstrumentsMemory::new(16)),
        Books::new(BooksMemory::new(capacity)),
    )
    .expect("a valid configuration")
}

/// One of four.
fn symbol(number: u8) -> [u8; 8] {
    [b'S', b'0' + number, b' ', b' ', b' ', b' ', b' ', b' ']
}

/// A datagram: damaged, or a packet of messages as the specification has them with any content.
fn datagram(choices: &mut Choices<'_>, next_seq: u64, out: &mut Vec<u8>) {
    out.clear();
    if choices.one_in(16) {
        out.extend_from_slice(choices.piece());
        return;
    }
    let session = *b"      S001";
    let seq = if choices.one_in(16) { choices.u64() } else { next_seq };
    let count = u16::from(choices.u8() % 8);
    out.extend_from_slice(&session);
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(&count.to_be_bytes());
    for _ in 0..count {
        let kind = ITCH_KINDS[usize::from(choices.u8()) % ITCH_KINDS.len()];
        let length = itch::length_of(kind).unwrap_or(1);
        let mut message = vec![0; length];
        message[0] = kind;
        message[2] = choices.u8() % 4;
        if matches!(kind, b'R' | b'H') {
            let stock = symbol(message[2]);
            message[11..19].copy_from_slice(&stock);
            message[19] = b'T';
            let content = choices.take(length.saturating_sub(20));
            message[20..20 + content.len()].copy_from_slice(content);
        } else {
            // Small references and prices, so that messages meet.
            let content = choices.take((length - 11).min(24));
            message[11..11 + content.len()].copy_from_slice(content);
            if !choices.one_in(4) && length >= 19 {
                message[11..18].fill(0);
            }
            if kind == b'A' && !choices.one_in(4) {
                message[19] = if message[19] & 1 == 0 { b'B' } else { b'S' };
                message[20..23].fill(0);
                let price = 1_000_000 + u32::from(choices.u8()) * 100;
                message[32..36].copy_from_slice(&price.to_be_bytes());
            }
        }
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.extend_from_slice(&message);
    }
}

/// Any datagrams through the feed into the books: what the books say of themselves agrees.
pub(super) fn itch_feed(data: &[u8]) {
    let mut choices = Choices(data);
    let (mut line, mut recorder, mut bytes) = (line(&[]), VecRecorder::default(), Vec::new());
    let mut now = TaiNs(1_000_000_000);
    while !choices.is_empty() {
        datagram(&mut choices, line_seq(&line), &mut bytes);
        now = now.plus(1000);
        let at = Stamp { seen: now, arrival: now, nic: None };
        let input = Input::Datagram { stream: STREAM, line: LineId(0), at, backlog: 0, payload: &bytes };
        line.on_input(now, input, &mut recorder, &mut NoProbe, &mut NotIsolated).expect("it is taken");
    }
    books_agree(line.desk());
}

fn line_seq(line: &Line) -> u64 {
    tern_core::feed::Feed::next_seq(line.feed(), STREAM)
}

/// Levels are in order and hold what their orders hold, and no order is in no book.
fn books_agree(desk: &Desk) {
    let books = desk.books();
    let mut orders = 0;
    for (instrument, _) in desk.instruments().iter() {
        for side in [Side::Buy, Side::Sell] {
            let levels: Vec<_> = books.depth(instrument, side).collect();
            assert!(levels.windows(2).all(|pair| (pair[0].price.0 - pair[1].price.0) * side.sign() > 0));
            let mut queue = books.orders(instrument, side).peekable();
            for level in &levels {
                let mut shares = 0;
                while let Some(order) = queue.next_if(|order| order.price == level.price) {
                    assert!(order.quantity > 0, "an order of nothing");
                    (orders, shares) = (orders + 1, shares + u64::from(order.quantity));
                }
                assert_eq!(shares, level.quantity, "a level holds what its orders hold");
            }
            assert!(queue.next().is_none());
        }
    }
    assert_eq!(orders, books.order_count());
}

/// Takes messages as long as it has room for them.
#[derive(Default)]
struct Wire {
    orders: Vec<Vec<u8>>,
    room: usize,
}

impl Carrier for Wire {
    fn carry_order(&mut self, order: OrderBytes<'_>) -> Result<(), WindowClosed> {
        self.room = self.room.checked_sub(1).ok_or(WindowClosed)?;
        self.orders.push(order.to_vec());
        Ok(())
    }
    fn carry_control(&mut self, _: ControlBytes<'_>) -> Result<(), WindowClosed> {
        Ok(())
    }
}

/// The messages that open a day of four stocks, each with a bid and an ask.
fn opening() -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for locate in 0..4 {
        let head = |kind: u8| [kind, 0, locate, 0, 0, 0x1f, 0x1a, 0xd4, 0x2b, 0x89, 0x15];
        let stock = symbol(locate);
        messages.push([&head(b'R')[..], &stock, b"QN", &100_u32.to_be_bytes(), b"NCZ PN 1N", &[0; 4], b"N"].concat());
        messages.push([&head(b'H')[..], &stock, b"T ", b"    "].concat());
        for (side, price) in [(b'B', 1_000_000_u32), (b'S', 1_010_000)] {
            let reference = u64::from(locate) * 2 + u64::from(side == b'S') + 1;
            let (reference, shares) = (reference.to_be_bytes(), 500_u32.to_be_bytes());
            messages.push([&head(b'A')[..], &reference, &[side], &shares, &stock, &price.to_be_bytes()].concat());
        }
    }
    messages
}

/// A packet of these messages.
fn packet(messages: &[Vec<u8>], seq: u64) -> Vec<u8> {
    let mut bytes = [b"      S001".as_slice(), &seq.to_be_bytes(), &(messages.len() as u16).to_be_bytes()].concat();
    for message in messages {
        bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
        bytes.extend_from_slice(message);
    }
    bytes
}

/// Any inputs in any order, the venue's answers among them: no order leaves that the gate did not approve, nothing at
/// risk is negative, and the records of it all give the same orders and the same state again.
pub(super) fn pipeline(data: &[u8]) {
    let mut choices = Choices(data);
    let (mut live, mut recorder, mut wire) = (line(&["maker", "taker"]), VecRecorder::default(), Wire::default());
    let (mut now, mut bytes, mut session_seq) = (TaiNs(1_000_000_000), Vec::new(), 1);
    // Most days begin as they should: connected, logged in, the market open.
    let mut beginning = if choices.one_in(8) { [].iter() } else { [11, 15, 14, 16].iter() };
    while !choices.is_empty() {
        now = now.plus(1000);
        let (command, limits);
        let input = match beginning.next().copied().unwrap_or_else(|| choices.u8() % 15) {
            11 => Input::Conn { conn: CONN, event: ConnEvent::Up },
            15 => Input::Conn { conn: CONN, event: ConnEvent::Room(60_000) },
            16 => {
                bytes = packet(&opening(), line_seq(&live));
                let at = Stamp { seen: now, arrival: now, nic: None };
                Input::Datagram { stream: STREAM, line: LineId(0), at, backlog: 0, payload: &bytes }
            }
            0..=5 => {
                datagram(&mut choices, line_seq(&live), &mut bytes);
                let at = Stamp { seen: now, arrival: now, nic: None };
                Input::Datagram { stream: STREAM, line: LineId(0), at, backlog: 0, payload: &bytes }
            }
            6..=9 => {
                bytes.clear();
                venue_packet(&mut choices, session_seq, &mut bytes);
                session_seq += 1;
                Input::Session { conn: CONN, bytes: &bytes }
            }
            10 => {
                let event = match choices.u8() % 8 {
                    0 => ConnEvent::Down(DownReason::Reset),
                    1 => ConnEvent::Down(DownReason::Dropped(DropReason::Killed)),
                    2 => ConnEvent::Up,
                    _ => ConnEvent::Room(usize::from(choices.u16())),
                };
                Input::Conn { conn: CONN, event }
            }
            12 if choices.one_in(4) => {
                let epoch_seen = live.desk().gate().limits().epoch;
                let values: Vec<i64> = LimitId::ALL
                    .iter()
                    .map(|_| i64::from(choices.u32().cast_signed()) << (choices.u8() % 32))
                    .collect();
                let refused = u32::from(choices.u8() % 8 / 4);
                limits = SetLimits { refused, ..SetLimits::new(&values, (epoch_seen, epoch_seen + 1), 0, "") };
                Input::SetLimits(&limits)
            }
            12 => {
                command = Command {
                    kind: u32::from(choices.u8() % 8),
                    id: u32::from(choices.u8() % 16),
                    value: i64::from(choices.u32().cast_signed()),
                    ..Command::default()
                };
                Input::Command(&command)
            }
            13 => {
                now = now.plus(u64::from(choices.u16()) * 1_000_000);
                Input::Timer
            }
            14 => log_in(&mut bytes),
            _ => unreachable!("all of 0 to 16 are above"),
        };
        live.on_input(now, input, &mut recorder, &mut NoProbe, &mut NotIsolated).expect("it is taken");
        let _ = live.take_drop(CONN);
        wire.room = if choices.one_in(8) { usize::from(choices.u8() % 4) } else { usize::MAX };
        let _ = live.hand_over_control(CONN, &mut wire);
        while live.hand_over_order(CONN, &mut wire).is_some() {}
        assert!(
            live.desk()
                .gate()
                .exposures()
                .iter()
                .all(|exposure| { exposure.open(Side::Buy) >= 0 && exposure.open(Side::Sell) >= 0 })
        );
    }
    books_agree(live.desk());
    let approved = recorder.bodies(Kind::Order).count() as u64;
    assert!(recorder.bodies(Kind::Order).all(|body| OrderRecord::read_from_bytes(body).is_ok()));
    let recalled = live.desk().counter(PipelineCounter::Recalled);
    assert!(wire.orders.len() as u64 + recalled <= approved, "an order left that the gate did not approve");
    again(&recorder, &live, &wire.orders);
}

/// What brings a session that is connected up: login accepted, the answer to the account query, a heartbeat.
fn log_in(bytes: &mut Vec<u8>) -> Input<'_> {
    bytes.clear();
    let accepted = [b"      S001".as_slice(), format!("{:>20}", 1).as_bytes()].concat();
    let query = [b"Q".as_slice(), &[0; 8], &1_u32.to_be_bytes(), &[0; 2]].concat();
    for (kind, payload) in [(b'A', &accepted[..]), (b'S', &query[..]), (b'H', &[])] {
        bytes.extend_from_slice(&(payload.len() as u16 + 1).to_be_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(payload);
    }
    Input::Session { conn: CONN, bytes }
}

/// The recorded inputs through a new pipeline.
fn again(recorder: &VecRecorder, live: &Line, sent: &[Vec<u8>]) {
    let (mut replayed, mut records, mut wire) = (line(&["maker", "taker"]), VecRecorder::default(), Vec::new());
    for (header, body) in recorder {
        let kind = Kind::from_u16(header.kind).expect("a kind");
        let mut take = |bytes: &[u8]| wire.push(bytes.to_vec());
        let _ = replayed.replay(TaiNs(header.tai_ns), kind, body, &mut records, &mut NotIsolated, &mut take);
        let _ = replayed.take_drop(CONN);
    }
    assert!(recorder == &records, "a replay records something else");
    assert_eq!(replayed.state_hash(), live.state_hash(), "a replay ends in another state");
    let common = wire.len().min(sent.len());
    assert!(sent.len() - common <= 16 && wire[..common] == sent[..common], "a replay sends something else");
}

/// The simulated exchange: any messages of clients and of the flow.
pub(super) fn exchange(data: &[u8]) {
    let mut choices = Choices(data);
    let mut engine = Engine::new(Rules::default(), ["FUZZ01".to_owned(), "FUZZ02".to_owned()]);
    let (mut bytes, mut now_ns) = (Vec::new(), 34_200_000_000_000);
    engine.on_login(0);
    while !choices.is_empty() {
        match choices.u8() % 4 {
            0 => {
                datagram(&mut choices, 1, &mut bytes);
                if let Ok(packet) = mold::Downstream::parse(&bytes) {
                    for message in packet.blocks().map_while(Result::ok) {
                        engine.apply_flow(&flow(message));
                    }
                }
            }
            1 => {
                now_ns += u64::from(choices.u16()) * 1_000_000;
                engine.advance(now_ns);
            }
            _ => {
                let account = u16::from(choices.u8() & 1);
                engine.on_client_message(account, &client_message(&mut choices));
            }
        }
    }
    engine.end_day();
}

/// A message of the flow: its references are below those of clients, as in every day that was published.
fn flow(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let starts: &[usize] = match message.first() {
        Some(b'A' | b'F' | b'E' | b'C' | b'X' | b'D') => &[11],
        Some(b'U') => &[11, 19],
        _ => &[],
    };
    for start in starts {
        if let Some(high) = message.get_mut(*start..start + 3) {
            high.fill(0);
        }
    }
    message
}

/// A client's message: damaged, or with small ids, a symbol that may be known and any content.
fn client_message(choices: &mut Choices<'_>) -> Vec<u8> {
    let kind = b"OUXMQ"[usize::from(choices.u8()) % 5];
    let mut message = [&[kind, 0, 0, 0, choices.u8() % 32][..], choices.take(44)].concat();
    if kind == b'O' && message.len() >= 26 {
        message[5] = if message[5] & 1 == 0 { b'B' } else { b'S' };
        message[6..9].fill(0);
        let stock = symbol(message[10] % 4);
        message[10..18].copy_from_slice(&stock);
    }
    message
}
