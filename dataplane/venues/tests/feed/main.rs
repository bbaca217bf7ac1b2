//! The feed: sequences of datagrams and the events, trust and counters that must come of them.

#[path = "../common/mod.rs"]
mod common;
mod events;
mod trust;

use common::hex;
use proptest::prelude::*;
use tern_abi::arena::Arena;
use tern_abi::event::{BookEvent, EventKind, flags};
use tern_core::feed::{Distrust, EventSink, Feed, FeedCounter, FeedState};
use tern_core::units::{InstrumentId, LineId, StreamId, Symbol, TaiNs};
use tern_venues::itch_ouch::ItchFeed;
use tern_venues::itch_ouch::wire::{Alpha, mold};

const SESSION: mold::Session = Alpha(*b"20261122AB");
const STREAM: StreamId = StreamId(3);
const TIME_NS: u64 = 0x1f1a_d42b_8915;

struct Venue {
    feed: ItchFeed,
    events: Vec<BookEvent>,
    symbols: Vec<Symbol>,
    symbols_max: usize,
    now: TaiNs,
    line: LineId,
}

struct Sink<'a> {
    events: &'a mut Vec<BookEvent>,
    symbols: &'a mut Vec<Symbol>,
    symbols_max: usize,
}

impl EventSink for Sink<'_> {
    fn event(&mut self, event: BookEvent) {
        self.events.push(event);
    }

    fn instrument(&mut self, symbol: Symbol) -> Option<InstrumentId> {
        let known = self.symbols.iter().position(|known| *known == symbol);
        let index = known.or_else(|| {
            let room = self.symbols.len() < self.symbols_max;
            room.then(|| {
                self.symbols.push(symbol);
                self.symbols.len() - 1
            })
        })?;
        Some(InstrumentId(index as u32))
    }
}

impl Venue {
    fn new() -> Self {
        let locates = Arena::from_fn(ItchFeed::locates_len(2), |_| 0);
        Self {
            feed: ItchFeed::new(STREAM, locates),
            events: Vec::new(),
            symbols: Vec::new(),
            symbols_max: 1_000,
            now: TaiNs(1),
            line: LineId(0),
        }
    }

    fn take(&mut self, payload: &[u8]) -> FeedState {
        self.take_of(STREAM, payload)
    }

    fn take_of(&mut self, stream: StreamId, payload: &[u8]) -> FeedState {
        let Self { feed, events, symbols, symbols_max, now, line } = self;
        let mut sink = Sink { events, symbols, symbols_max: *symbols_max };
        feed.on_payload(*now, stream, *line, payload, &mut sink)
    }

    /// The event of one message, the next of the stream.
    fn event(&mut self, text: &str) -> BookEvent {
        let before = self.events.len();
        let next = self.feed.next_seq(STREAM);
        self.take(&packet(next, &[&message(text)]));
        assert_eq!(self.events.len(), before + 1);
        self.events[before]
    }

    fn counter(&self, counter: FeedCounter) -> u64 {
        self.feed.counters()[counter.index()]
    }

    /// Every counter that is not zero.
    fn counters(&self) -> Vec<(FeedCounter, u64)> {
        FeedCounter::ALL.iter().map(|counter| (*counter, self.counter(*counter))).filter(|(_, n)| *n != 0).collect()
    }
}

fn packet(sequence: u64, messages: &[&[u8]]) -> Vec<u8> {
    packet_of(SESSION, sequence, messages)
}

fn packet_of(session: mold::Session, sequence: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut buf = [0; 4096];
    let mut builder = mold::PacketBuilder::new(&mut buf, session, sequence).expect("room");
    for message in messages {
        builder.push(message).expect("room");
    }
    builder.finish().to_vec()
}

fn heartbeat(next: u64) -> Vec<u8> {
    packet(next, &[])
}

fn end_of_session(next: u64) -> Vec<u8> {
    let mut buf = [0; 20];
    mold::write_end_of_session(&mut buf, SESSION, next).expect("room");
    buf.to_vec()
}

/// A message whose locate is 1 unless the text says otherwise.
fn message(text: &str) -> Vec<u8> {
    hex(&text.replace("HEAD", "0001 0000 1f1ad42b8915").replace("AT2", "0002 0000 1f1ad42b8915"))
}

fn add(order: u64) -> Vec<u8> {
    message(&format!("'A' HEAD {order:016x} 'B' 000000c8 'GOOG    ' 0010c8e0"))
}

fn delete(order: u64) -> Vec<u8> {
    message(&format!("'D' HEAD {order:016x}"))
}

fn untrusted(reason: Distrust, expected: u64, seen: u64) -> FeedState {
    FeedState::Untrusted { reason, expected, seen }
}

fn event(kind: EventKind, instrument: u32) -> BookEvent {
    BookEvent { venue_ns: TIME_NS, instrument, flags: flags::LAST, ..BookEvent::new(kind) }
}

proptest! {
    #[test]
    fn any_datagrams_are_survived_and_counted(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..20),
        in_session in any::<bool>(),
    ) {
        let mut venue = Venue::new();
        venue.take(&heartbeat(1));
        let count = datagrams.len() as u64;
        for mut datagram in datagrams {
            if in_session && datagram.len() >= 20 {
                datagram[..10].copy_from_slice(&SESSION.0);
                datagram[10..18].copy_from_slice(&venue.feed.next_seq(STREAM).to_be_bytes());
                datagram[18] = 0;
            }
            venue.take(&datagram);
        }
        prop_assert_eq!(venue.counter(FeedCounter::Datagrams), count + 1);
    }

    #[test]
    fn however_a_day_is_cut_into_datagrams_the_events_are_the_same(
        count in 1_usize..60,
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..12), 0..30),
    ) {
        let messages: Vec<Vec<u8>> = (0..count as u64).map(|order| add(order + 1)).collect();
        let mut venue = Venue::new();
        let mut next = 0;
        // Retransmissions of anything that was sent, between pieces of what is new.
        for (index, length) in cuts {
            let from = index.index(next + 1);
            let to = (from + length).min(count);
            let piece: Vec<&[u8]> = messages[from..to].iter().map(Vec::as_slice).collect();
            let payload = packet(from as u64 + 1, &piece);
            prop_assert_eq!(venue.take(&payload), FeedState::InSequence);
            next = next.max(to);
        }
        let orders: Vec<u64> = venue.events.iter().map(|event| event.order).collect();
        prop_assert_eq!(orders, (1..=next as u64).collect::<Vec<_>>());
        prop_assert_eq!(venue.feed.next_seq(STREAM), next as u64 + 1);
    }
}

#[test]
fn what_the_other_line_brought_is_merged_and_counted_apart() {
    const A: LineId = LineId(0);
    const B: LineId = LineId(1);
    let mut venue = Venue::new();
    let messages = [add(1), add(2), delete(1), add(3), add(4)];
    let on = |venue: &mut Venue, line, first: usize, count: usize| {
        venue.line = line;
        let parts: Vec<&[u8]> = messages[first - 1..first - 1 + count].iter().map(Vec::as_slice).collect();
        venue.take(&packet(first as u64, &parts))
    };
    let counted = |venue: &Venue| [FeedCounter::Duplicates, FeedCounter::LineDuplicates].map(|c| venue.counter(c));
    // A is ahead, then B, and each packet of the one repeats or overlaps what the other brought.
    for (line, first, count, expected) in [
        (A, 1, 2, [0, 0]),
        (B, 1, 2, [0, 2]),
        (B, 3, 1, [0, 2]),
        (A, 3, 2, [0, 3]),
        (B, 4, 1, [0, 4]),
        // A line that repeats itself is something else.
        (B, 4, 1, [1, 4]),
        (A, 1, 4, [5, 4]),
        // Some of it repeated, some from the other line, some new.
        (B, 4, 2, [6, 4]),
        (A, 4, 2, [7, 5]),
        // A line without a name of its own only repeats.
        (LineId(7), 5, 1, [8, 5]),
    ] {
        assert_eq!(on(&mut venue, line, first, count), FeedState::InSequence);
        assert_eq!(counted(&venue), expected, "line {line:?}, {count} from {first}");
    }
    let kinds: Vec<EventKind> = venue.events.iter().map(|event| event.kind).collect();
    use EventKind::{Add, Delete};
    assert_eq!(kinds, [Add, Add, Delete, Add, Add], "each once");
    assert_eq!(venue.counter(FeedCounter::Messages), 5);
}
