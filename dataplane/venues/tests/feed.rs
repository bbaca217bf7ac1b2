//! The feed: sequences of datagrams and the events, trust and counters that must come of them.

mod common;

use common::{hex, shared_bytes};
use proptest::prelude::*;
use tern_abi::arena::Arena;
use tern_abi::event::{BookEvent, EventKind, SIDE_BUY, SIDE_NONE, SIDE_SELL, flags};
use tern_core::feed::{Distrust, EventSink, Feed, FeedCounter, FeedState};
use tern_core::units::{InstrumentId, LineId, StreamId, Symbol, TaiNs};
use tern_venues::itch_ouch::ItchFeed;
use tern_venues::itch_ouch::itch_file::ItchFile;
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

#[test]
fn every_message_that_changes_a_book_becomes_its_event() {
    let mut venue = Venue::new();
    let order = 0xabcdef;
    assert_eq!(
        venue.event("'A' HEAD 0000000000abcdef 'B' 000000c8 'GOOG    ' 0010c8e0"),
        BookEvent { order, side: SIDE_BUY, quantity: 200, price: 1_100_000, ..event(EventKind::Add, 0) }
    );
    assert_eq!(
        venue.event("'F' AT2 0000000000abcdf0 'S' 0000012c 'IBM     ' 0010c9a8 'NSDQ'"),
        BookEvent { order: 0xabcdf0, side: SIDE_SELL, quantity: 300, price: 1_100_200, ..event(EventKind::Add, 1) }
    );
    assert_eq!(
        venue.event("'E' HEAD 0000000000abcdef 00000032 0000000011223344"),
        BookEvent { order, quantity: 50, other: 0x1122_3344, ..event(EventKind::Execute, 0) }
    );
    let at_price =
        BookEvent { order, quantity: 51, other: 0x1122_3345, price: 1_099_844, ..event(EventKind::ExecuteAtPrice, 0) };
    assert_eq!(
        venue.event("'C' HEAD 0000000000abcdef 00000033 0000000011223345 'N' 0010c844"),
        BookEvent { flags: flags::LAST | flags::NON_PRINTABLE, ..at_price }
    );
    assert_eq!(venue.event("'C' HEAD 0000000000abcdef 00000033 0000000011223345 'Y' 0010c844"), at_price);
    assert_eq!(
        venue.event("'X' HEAD 0000000000abcdef 00000019"),
        BookEvent { order, quantity: 25, ..event(EventKind::Reduce, 0) }
    );
    assert_eq!(
        venue.event("'U' HEAD 0000000000abcdef 0000000000abd000 00000190 0010c8f4"),
        BookEvent { order, other: 0xabd000, quantity: 400, price: 1_100_020, ..event(EventKind::Replace, 0) }
    );
    assert_eq!(venue.event("'D' AT2 0000000000abcdf0"), BookEvent { order: 0xabcdf0, ..event(EventKind::Delete, 1) });
    assert_eq!(venue.take(&heartbeat(9)), FeedState::InSequence);
    assert_eq!(
        venue.counters(),
        [(FeedCounter::Datagrams, 9), (FeedCounter::Messages, 8), (FeedCounter::Heartbeats, 1)]
    );
}

#[test]
fn every_other_message_becomes_an_event_too() {
    let mut venue = Venue::new();
    assert_eq!(
        venue.event("'S' 0000 0000 1f1ad42b8915 'Q'"),
        BookEvent { code: b'Q', ..event(EventKind::System, u32::MAX) }
    );
    assert_eq!(
        venue.event("'R' HEAD 'GOOG    ' 'Q' 'N' 00000064 'N' 'C' 'Z ' 'P' 'N' 'Z' '1' 'N' 00000003 'Y'"),
        BookEvent {
            order: u64::from_le_bytes(*b"GOOG    "),
            quantity: 100,
            flags: flags::LAST | flags::LISTING,
            ..event(EventKind::Directory, 0)
        }
    );
    assert_eq!(
        venue.event("'H' HEAD 'GOOG    ' 'P' ' ' 'LUDP'"),
        BookEvent { code: b'P', ..event(EventKind::TradingState, 0) }
    );
    assert_eq!(venue.event("'Y' HEAD 'GOOG    ' '1'"), BookEvent { code: b'1', ..event(EventKind::ShortSale, 0) });
    assert_eq!(
        venue.event("'P' HEAD 0000000000000009 'B' 00000007 'GOOG    ' 0010c900 0000000011223346"),
        BookEvent { side: SIDE_BUY, quantity: 7, price: 1_100_032, other: 0x1122_3346, ..event(EventKind::Trade, 0) }
    );
    assert_eq!(
        venue.event("'Q' HEAD 0000000100000000 'GOOG    ' 0010c910 0000000011223347 'O'"),
        BookEvent {
            quantity: u32::MAX, // more shares than the record can say
            price: 1_100_048,
            other: 0x1122_3347,
            code: b'O',
            ..event(EventKind::Cross, 0)
        }
    );
    assert_eq!(
        venue.event("'B' HEAD 0000000011223345"),
        BookEvent { other: 0x1122_3345, ..event(EventKind::Broken, 0) }
    );
    assert_eq!(
        venue.event("'I' HEAD 0000000000002710 0000000000000bb8 'S' 'GOOG    ' 0010c920 0010c930 0010c940 'C' 'L'"),
        BookEvent {
            quantity: 10_000,
            other: 3_000,
            price: 1_100_096,
            code: b'S',
            flags: flags::LAST | flags::LISTING,
            ..event(EventKind::Imbalance, 0)
        }
    );
    for (text, instrument) in [
        ("'L' HEAD 'GSCO' 'GOOG    ' 'Y' 'P' 'W'", 0),
        ("'V' 0000 0000 1f1ad42b8915 0000000100000002 0000000300000004 0000000500000006", u32::MAX),
        ("'W' 0000 0000 1f1ad42b8915 '2'", u32::MAX),
        ("'K' HEAD 'GOOG    ' 00008ca0 'A' 00030d40", 0),
        ("'J' HEAD 'GOOG    ' 000186a0 0001adb0 00015f90 00000002", 0),
        ("'h' HEAD 'GOOG    ' 'B' 'H'", 0),
        ("'N' HEAD 'GOOG    ' 'A'", 0),
        ("'O' HEAD 'GOOG    ' 'Y' 00013880 0002bf20 000186a0 00001f1ad42b8915 00015f90 0001adb0", 0),
    ] {
        let code = message(text)[0];
        assert_eq!(venue.event(text), BookEvent { code, ..event(EventKind::Other, instrument) });
    }
    assert_eq!(venue.take(&heartbeat(17)), FeedState::InSequence);
    assert_eq!(venue.symbols, [Symbol(*b"GOOG    ")]);
    assert_eq!(venue.counter(FeedCounter::UnknownTypes), 0, "listed types are not unknown");
}

#[test]
fn the_last_event_of_a_datagram_is_marked_whatever_it_is() {
    let mut venue = Venue::new();
    venue.take(&packet(1, &[&add(1), &add(2), b"z?"]));
    let marks: Vec<u16> = venue.events.iter().map(|event| event.flags).collect();
    assert_eq!(marks, [0, 0, flags::LAST]);
    assert_eq!(venue.events[2].kind, EventKind::Other);
}

#[test]
fn nothing_is_trusted_before_the_first_packet() {
    let mut venue = Venue::new();
    let never = untrusted(Distrust::NeverStarted, 1, 0);
    assert_eq!(venue.feed.next_seq(STREAM), 1);
    assert_eq!(venue.take(b"garbage"), never);
    assert_eq!(venue.take(&heartbeat(1)), FeedState::InSequence, "a session may begin in silence");
}

#[test]
fn datagrams_in_sequence_keep_trust_and_old_ones_are_dropped() {
    let mut venue = Venue::new();
    assert_eq!(venue.take(&packet(1, &[&add(1), &add(2)])), FeedState::InSequence);
    assert_eq!(venue.take(&packet(1, &[&add(1), &add(2)])), FeedState::InSequence, "seen before, whole");
    assert_eq!(venue.take(&packet(2, &[&add(2), &add(3)])), FeedState::InSequence, "seen before, in part");
    assert_eq!(venue.take(&heartbeat(2)), FeedState::InSequence, "an old heartbeat");
    assert_eq!(venue.events.iter().map(|event| event.order).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(venue.feed.next_seq(STREAM), 4);
    assert_eq!(
        venue.counters(),
        [
            (FeedCounter::Datagrams, 4),
            (FeedCounter::Messages, 3),
            (FeedCounter::Heartbeats, 1),
            (FeedCounter::Duplicates, 3)
        ]
    );
}

#[test]
fn a_gap_loses_trust_for_good_and_says_what_is_missing() {
    let mut venue = Venue::new();
    venue.take(&packet(1, &[&add(1)]));
    let gap = untrusted(Distrust::Gap, 2, 5);
    assert_eq!(venue.take(&packet(5, &[&add(5)])), gap);
    assert_eq!(venue.take(&packet(6, &[&add(6)])), gap, "in sequence again, but not trusted");
    assert_eq!(venue.take(&packet(2, &[&add(2)])), gap, "what comes too late does not fill it");
    assert_eq!(venue.take(&packet(9, &[&add(9)])), gap, "the first reason stays");
    assert_eq!(venue.events.iter().map(|event| event.order).collect::<Vec<_>>(), [1, 5, 6, 9]);
    assert_eq!(
        venue.counters(),
        [
            (FeedCounter::Datagrams, 5),
            (FeedCounter::Messages, 4),
            (FeedCounter::Duplicates, 1),
            (FeedCounter::Gaps, 2),
            (FeedCounter::MissedMessages, 5)
        ]
    );
}

#[test]
fn more_missing_messages_than_a_counter_holds_are_counted_as_the_most_it_holds() {
    let mut venue = Venue::new();
    venue.take(&packet(1, &[&add(1)]));
    // The second packet ends the range, the third begins again.
    venue.take(&packet(u64::MAX - 1, &[&add(2), &add(3)]));
    venue.take(&packet(u64::MAX / 2, &[&add(4)]));
    assert!(venue.counters().contains(&(FeedCounter::MissedMessages, u64::MAX)), "{:?}", venue.counters());
}

#[test]
fn a_heartbeat_tells_of_messages_lost_at_the_end() {
    let mut venue = Venue::new();
    venue.take(&packet(1, &[&add(1)]));
    assert_eq!(venue.take(&heartbeat(4)), untrusted(Distrust::Gap, 2, 4));
    venue.take(&heartbeat(4));
    venue.take(&packet(4, &[&add(4)]));
    assert_eq!((venue.counter(FeedCounter::Gaps), venue.counter(FeedCounter::MissedMessages)), (1, 2), "counted once");
    assert_eq!(venue.feed.next_seq(STREAM), 5);
}

#[test]
fn a_late_start_is_not_trusted() {
    for first in [packet(7, &[&add(7)]), heartbeat(7)] {
        let mut venue = Venue::new();
        assert_eq!(venue.take(&first), untrusted(Distrust::LateStart, 1, 7));
        assert_eq!(venue.counter(FeedCounter::MissedMessages), 6);
    }
}

#[test]
fn the_end_of_the_session_ends_trust() {
    let mut venue = Venue::new();
    venue.take(&packet(1, &[&add(1)]));
    assert_eq!(venue.take(&end_of_session(2)), untrusted(Distrust::EndOfSession, 2, 2));
    assert_eq!(venue.counter(FeedCounter::EndOfSession), 1);

    let mut venue = Venue::new();
    venue.take(&packet(1, &[&add(1)]));
    assert_eq!(venue.take(&end_of_session(3)), untrusted(Distrust::Gap, 2, 3), "with a message lost before");
}

#[test]
fn a_foreign_session_loses_trust_and_changes_nothing_else() {
    let mut venue = Venue::new();
    venue.take(&packet(1, &[&add(1)]));
    assert_eq!(venue.feed.session(STREAM), Some(SESSION));
    let foreign = packet_of(Alpha(*b"OTHER     "), 1, &[&add(9)]);
    assert_eq!(venue.take(&foreign), untrusted(Distrust::WrongSession, 2, 1));
    assert_eq!((venue.events.len(), venue.feed.session(STREAM)), (1, Some(SESSION)));
    assert_eq!(venue.counter(FeedCounter::WrongSession), 1);
}

#[test]
fn garbage_is_counted_and_neither_enters_a_session_nor_loses_trust() {
    let mut venue = Venue::new();
    let zeros = [0; 40];
    let binary = packet_of(Alpha([0xff; 10]), 1, &[&add(1)]);
    let cut = packet_of(Alpha(*b"OTHER     "), 1, &[&add(1)]);
    let cut = &cut[..cut.len() - 1];
    for garbage in [&b""[..], b"short", &zeros, &binary, cut] {
        assert_eq!(venue.take(garbage), untrusted(Distrust::NeverStarted, 1, 0));
    }
    assert_eq!(venue.take(&packet(1, &[&add(1)])), FeedState::InSequence);
    for garbage in [&b""[..], b"short", &zeros, &binary, cut] {
        assert_eq!(venue.take(garbage), FeedState::InSequence);
    }
    assert_eq!(venue.counter(FeedCounter::BadPackets), 10);
    assert_eq!(venue.events.len(), 1);
}

#[test]
fn a_packet_that_ends_inside_a_message_loses_trust() {
    let whole = packet(1, &[&add(1), &add(2), &delete(1)]);
    for cut in 1..=2 + 19 + 2 + 36 {
        let mut venue = Venue::new();
        venue.take(&heartbeat(1));
        let missing = if cut <= 21 { 1 } else { 2 };
        let state = venue.take(&whole[..whole.len() - cut]);
        assert_eq!(state, untrusted(Distrust::Truncated, 4 - missing, 4), "cut {cut}");
        assert_eq!(venue.counter(FeedCounter::Messages), 3 - missing);
        assert_eq!(venue.counter(FeedCounter::MissedMessages), missing);
        assert_eq!(venue.counter(FeedCounter::BadPackets), 1);
        assert_eq!(venue.feed.next_seq(STREAM), 4, "the sender does not send it again");
        assert_eq!(venue.events.last().map(|event| event.flags), Some(flags::LAST));
    }
}

/// What came before on the other line is not missed, but what the packet would have brought beside it is.
#[test]
fn a_repeated_packet_that_ends_early_loses_what_is_new_in_it() {
    let messages = [add(1), add(2), add(3), add(4)];
    let whole = packet(1, &messages.each_ref().map(|message| &message[..]));
    for cut in [1, 40, 80, 120] {
        let mut venue = Venue::new();
        venue.take(&packet(1, &[&add(1), &add(2)]));
        let missing = if cut == 1 { 1 } else { 2 };
        let state = venue.take(&whole[..whole.len() - cut]);
        assert_eq!(state, untrusted(Distrust::Truncated, 5 - missing, 5), "cut {cut}");
        assert_eq!(venue.counter(FeedCounter::MissedMessages), missing);
        assert_eq!(venue.counter(FeedCounter::Messages), 2 + 2 - missing);
        assert_eq!(venue.events.last().map(|event| event.flags), Some(flags::LAST));
    }
}

#[test]
fn a_truncated_message_loses_trust_and_the_next_is_read() {
    for len in 0..36 {
        let mut venue = Venue::new();
        let state = venue.take(&packet(1, &[&add(1), &add(2)[..len], &add(3)]));
        assert_eq!(state, untrusted(Distrust::Truncated, 2, 2), "{len} bytes");
        assert_eq!(venue.events.iter().map(|event| event.order).collect::<Vec<_>>(), [1, 0, 3]);
        assert_eq!(venue.events[1].kind, EventKind::Other);
        assert_eq!((venue.counter(FeedCounter::TruncatedMessages), venue.counter(FeedCounter::Messages)), (1, 3));
    }
}

#[test]
fn unknown_types_and_trailing_bytes_are_counted_and_skipped() {
    let mut venue = Venue::new();
    let longer = [add(2), b"later version".to_vec()].concat();
    assert_eq!(venue.take(&packet(1, &[&add(1), b"zzz", &longer, &delete(1)])), FeedState::InSequence);
    let seen: Vec<(EventKind, u64, u8)> = venue.events.iter().map(|e| (e.kind, e.order, e.code)).collect();
    assert_eq!(
        seen,
        [(EventKind::Add, 1, 0), (EventKind::Other, 0, b'z'), (EventKind::Add, 2, 0), (EventKind::Delete, 1, 0)]
    );
    assert_eq!(
        venue.counters(),
        [
            (FeedCounter::Datagrams, 1),
            (FeedCounter::Messages, 4),
            (FeedCounter::UnknownTypes, 1),
            (FeedCounter::TrailingBytes, 1)
        ]
    );
}

#[test]
fn an_order_of_an_instrument_that_was_never_introduced_loses_trust() {
    for text in [
        "'D' AT2 0000000000000001",
        "'X' AT2 0000000000000001 00000019",
        "'E' AT2 0000000000000001 00000032 0000000011223344",
        "'C' AT2 0000000000000001 00000033 0000000011223345 'N' 0010c844",
        "'U' AT2 0000000000000001 0000000000000002 00000190 0010c8f4",
    ] {
        let mut venue = Venue::new();
        let state = venue.take(&packet(1, &[&add(1), &message(text)]));
        assert_eq!(state, untrusted(Distrust::UnknownOrder, 2, 2));
        assert_eq!(venue.counter(FeedCounter::UnknownInstrument), 1);
        assert_eq!((venue.events[1].kind, venue.events[1].code), (EventKind::Other, message(text)[0]));
    }
}

#[test]
fn more_symbols_than_there_is_room_for_lose_trust() {
    let mut venue = Venue::new();
    venue.symbols_max = 1;
    let second = message("'A' AT2 0000000000000002 'S' 000000c8 'IBM     ' 0010c8e0");
    assert_eq!(venue.take(&packet(1, &[&add(1), &second])), untrusted(Distrust::Overfull, 2, 2));
    assert_eq!(venue.counter(FeedCounter::UnknownInstrument), 1);
    let kinds: Vec<EventKind> = venue.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Add, EventKind::Other]);
}

#[test]
fn the_directory_decides_what_a_locate_means() {
    let mut venue = Venue::new();
    assert_eq!(venue.event("'A' HEAD 0000000000000001 'B' 000000c8 'GOOG    ' 0010c8e0").instrument, 0);
    let directory = "'R' HEAD 'IBM     ' 'N' 'N' 00000064 'N' 'C' 'Z ' 'P' 'N' 'Z' '1' 'N' 00000003 'Y'";
    assert_eq!(venue.event(directory).instrument, 1);
    assert_eq!(venue.event("'A' HEAD 0000000000000002 'B' 000000c8 'IBM     ' 0010c8e0").instrument, 1);
}

#[test]
fn a_side_that_is_none_is_left_to_the_book() {
    let mut venue = Venue::new();
    assert_eq!(venue.event("'A' HEAD 0000000000000001 '?' 000000c8 'GOOG    ' 0010c8e0").side, SIDE_NONE);
}

#[test]
fn streams_have_sequences_sessions_and_locates_of_their_own() {
    let mut venue = Venue::new();
    let other = StreamId(STREAM.0 + 1);
    let ibm = message("'A' HEAD 0000000000000001 'B' 000000c8 'IBM     ' 0010c8e0");
    assert_eq!(venue.take(&packet(1, &[&add(1)])), FeedState::InSequence);
    assert_eq!(venue.take_of(other, &packet_of(Alpha(*b"SECOND    "), 1, &[&ibm])), FeedState::InSequence);
    assert_eq!(venue.events.iter().map(|event| event.instrument).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(venue.take(&packet(3, &[])), untrusted(Distrust::Gap, 2, 3));
    assert_eq!(venue.take_of(other, &packet_of(Alpha(*b"SECOND    "), 2, &[])), FeedState::InSequence);
    for stranger in [StreamId(STREAM.0 - 1), StreamId(STREAM.0 + 2)] {
        let state = venue.take_of(stranger, &packet(1, &[&add(1)]));
        assert_eq!(state, untrusted(Distrust::NeverStarted, 1, 0));
    }
    assert_eq!(venue.counter(FeedCounter::BadPackets), 2);
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
fn real_files_pass_in_sequence() {
    for (path, messages, symbols) in [
        ("itch/nasdaq-20191230-first-500-book-messages.itch", 500, 198),
        ("itch/bx-20191230-sampled-3-symbols.itch", 12_012, 3),
    ] {
        let Some(bytes) = shared_bytes(path) else { continue };
        let mut venue = Venue::new();
        venue.symbols_max = 20_000;
        for (index, message) in ItchFile::new(&bytes).enumerate() {
            let state = venue.take(&packet(index as u64 + 1, &[message.expect("whole")]));
            assert_eq!(state, FeedState::InSequence, "{path}, message {}", index + 1);
        }
        assert_eq!(venue.events.len(), messages, "{path}");
        let mut seen: Vec<u32> =
            venue.events.iter().map(|event| event.instrument).filter(|id| *id != u32::MAX).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), symbols, "{path}");
    }
}

#[test]
fn only_packets_of_the_session_are_signs_of_life() {
    let mut venue = Venue::new();
    assert_eq!(venue.feed.heard(STREAM), TaiNs(0));
    venue.take(&packet(1, &[&add(1)]));
    assert_eq!(venue.feed.heard(STREAM), TaiNs(1));
    venue.now = TaiNs(2);
    for garbage in [&b"junk"[..], &[0xff; 60], &packet_of(Alpha(*b"          "), 2, &[&add(2)])] {
        venue.take(garbage);
        assert_eq!(venue.feed.heard(STREAM), TaiNs(1), "{garbage:?}");
    }
    let silent = untrusted(Distrust::Silent, 0, 0);
    venue.feed.fall_silent(STREAM);
    assert_eq!(venue.take(b"junk"), silent, "noise does not end a silence");
    assert_eq!(venue.take_of(StreamId(4), &heartbeat(1)), FeedState::InSequence, "another stream");
    venue.now = TaiNs(3);
    assert_eq!(venue.take(&heartbeat(2)), FeedState::InSequence);
    assert_eq!(venue.feed.heard(STREAM), TaiNs(3));

    // A packet of another session is another venue's.
    venue.now = TaiNs(4);
    venue.take(&packet_of(Alpha(*b"20261123AB"), 2, &[&add(2)]));
    assert_eq!(venue.feed.heard(STREAM), TaiNs(3));
    // A repeated packet of ours is a sign of life, and a reason that is worse than silence stays.
    venue.feed.fall_silent(STREAM);
    assert!(matches!(venue.take(&packet(1, &[&add(1)])), FeedState::Untrusted { reason: Distrust::WrongSession, .. }));
    assert_eq!(venue.feed.heard(STREAM), TaiNs(4));
}

#[test]
fn an_operational_halt_of_our_market_is_marked_and_of_others_is_not() {
    let mut venue = Venue::new();
    let other = |flags| BookEvent { code: b'h', flags: flags | flags::LAST, ..event(EventKind::Other, 0) };
    for (text, flags) in [
        ("'h' HEAD 'GOOG    ' 'Q' 'H'", flags::MARKET_HALTED),
        ("'h' HEAD 'GOOG    ' 'Q' 'T'", flags::MARKET_RESUMED),
        ("'h' HEAD 'GOOG    ' 'Q' '?'", flags::MARKET_HALTED),
        ("'h' HEAD 'GOOG    ' 'B' 'H'", 0),
        ("'h' HEAD 'GOOG    ' 'X' 'T'", 0),
    ] {
        assert_eq!(venue.event(text), other(flags), "{text}");
    }
    assert_eq!(venue.counters(), [(FeedCounter::Datagrams, 5), (FeedCounter::Messages, 5)]);
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
