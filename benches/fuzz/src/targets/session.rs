//! The order session: any bytes of a venue, in any chunking, with everything else that can happen between them.

use tern_core::session::{Control, OrderAction, OrderSession, OrderSink, OrderView, TimeInForce, VenueEvent};
use tern_core::units::{InstrumentId, OrderId, Price, Side, StrategyId, Symbol, TaiNs, TraderId};
use tern_venues::itch_ouch::wire::ouch::Capacity;
use tern_venues::itch_ouch::wire::{Alpha, soup};
use tern_venues::itch_ouch::{OuchConfig, OuchSession};
use zerocopy::IntoBytes;

use crate::input::Choices;

/// Types of the venue's messages and their lengths, appendages empty.
#[rustfmt::skip]
const MESSAGES: [(u8, usize); 14] = [
    (b'S', 10), (b'A', 64), (b'U', 68), (b'C', 18), (b'D', 32), (b'E', 36), (b'B', 36),
    (b'J', 29), (b'P', 13), (b'I', 13), (b'T', 30), (b'M', 18), (b'R', 16), (b'Q', 13),
];

/// A whole packet of the venue: damaged, or as the specification has it with any content.
pub(super) fn venue_packet(choices: &mut Choices<'_>, next_seq: u64, out: &mut Vec<u8>) {
    let mut buffer = [0; 512];
    let length = match choices.u8() % 8 {
        0 => {
            out.extend_from_slice(choices.piece());
            return;
        }
        1 => {
            let session = *b"      S001";
            let sequence = [soup::AsciiNumber::new(next_seq), soup::AsciiNumber::new(choices.u64())]
                [usize::from(choices.u8() & 1)];
            let accepted = [&session[..], sequence.as_bytes()].concat();
            soup::write_packet(&mut buffer, soup::kind::LOGIN_ACCEPTED, &accepted)
        }
        2 => soup::write_packet(&mut buffer, soup::kind::SERVER_HEARTBEAT, &[]),
        3 => soup::write_packet(&mut buffer, choices.u8(), choices.take(40)),
        _ => {
            let (kind, length) = MESSAGES[usize::from(choices.u8()) % MESSAGES.len()];
            let mut message = vec![0; length];
            message[0] = kind;
            let content = choices.take(length - 1);
            message[1..=content.len()].copy_from_slice(content);
            // Ids that our own orders have come up more often.
            if length > 13 && choices.u8() & 1 == 0 {
                message[9..13].copy_from_slice(&u32::from(choices.u8() % 16).to_be_bytes());
            }
            soup::write_packet(&mut buffer, soup::kind::SEQUENCED_DATA, &message)
        }
    };
    out.extend_from_slice(&buffer[..length.expect("it fits")]);
}

pub(super) fn new_session() -> OuchSession {
    OuchSession::new(OuchConfig {
        username: Alpha::new(b"FUZZ"),
        password: Alpha::new(b"SECRET"),
        capacity: Capacity::Principal,
    })
}

#[derive(Default)]
struct Heard(Vec<VenueEvent>);

impl OrderSink for Heard {
    fn event(&mut self, event: VenueEvent) {
        self.0.push(event);
    }
}

/// The first byte chooses how the stream is cut: any chunking must give the same events and the same housekeeping.
pub(super) fn ouch_session(data: &[u8]) {
    let mut choices = Choices(data);
    let chunk = 1 + usize::from(choices.u8());
    assert_eq!(play(choices, chunk), play(choices, usize::MAX), "chunking changed what was heard");
}

fn play(mut choices: Choices<'_>, chunk: usize) -> (Vec<VenueEvent>, Vec<u8>, bool) {
    let mut session = new_session();
    let mut control = Control::new(OuchSession::is_order_packet);
    let (mut heard, mut said, mut now) = (Heard::default(), Vec::new(), TaiNs(1_000_000_000));
    session.on_connected(now, &mut control);
    while !choices.is_empty() {
        match choices.u8() % 8 {
            0 => {
                now = now.plus(u64::from(choices.u16()) * 1_000_000);
                session.on_timer(now, &mut control);
            }
            1 => {
                session.on_disconnected(now);
                control.clear();
                session.on_connected(now, &mut control);
            }
            2 => {
                let mut buffer = [0; 128];
                if let Ok(length) = session.encode(&order(&mut choices), &mut buffer) {
                    assert!(OuchSession::is_order_packet(&buffer[..length]), "an order that looks like none");
                    session.on_sent(now);
                }
            }
            3 => session.log_out(now, &mut control),
            _ => {
                let mut bytes = Vec::new();
                for _ in 0..1 + choices.u8() % 4 {
                    venue_packet(&mut choices, 1 + heard.0.len() as u64, &mut bytes);
                }
                bytes.chunks(chunk).for_each(|chunk| session.on_bytes(now, chunk, &mut heard, &mut control));
            }
        }
        if control.take_drop().is_some() {
            session.on_disconnected(now);
            control.clear();
            session.on_connected(now, &mut control);
        }
        said.extend_from_slice(control.pending());
        control.consume(Control::CAPACITY_BYTES);
    }
    (heard.0, said, session.is_ready())
}

fn order(choices: &mut Choices<'_>) -> OrderView {
    let id = OrderId(choices.u32());
    OrderView {
        action: match choices.u8() % 4 {
            0 => OrderAction::New { order: id },
            1 => OrderAction::Replace { previous: OrderId(choices.u32()), order: id },
            2 => OrderAction::Reduce { order: id },
            _ => OrderAction::Cancel { order: id },
        },
        symbol: Symbol(choices.array()),
        instrument: InstrumentId(0),
        side: if choices.u8() & 1 == 0 { Side::Buy } else { Side::Sell },
        short: choices.u8() & 1 == 0,
        price: Price(choices.u64().cast_signed()),
        quantity: choices.u32(),
        min_quantity: if choices.u8() & 7 == 0 { choices.u32() } else { 0 },
        time_in_force: match choices.u8() % 8 {
            0 => TimeInForce::OnOpen,
            1 => TimeInForce::OnClose,
            2..5 => TimeInForce::Day,
            _ => TimeInForce::Ioc,
        },
        post_only: choices.u8() & 1 == 0,
        strategy: StrategyId(choices.u16()),
        trader: TraderId(choices.u16()),
    }
}
