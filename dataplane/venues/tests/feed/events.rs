//! What a message becomes.

use super::{Venue, add, delete, event, heartbeat, message, packet, untrusted};
use crate::common::shared_bytes;
use tern_abi::event::{BookEvent, EventKind, SIDE_BUY, SIDE_NONE, SIDE_SELL, flags};
use tern_core::feed::{Distrust, FeedCounter, FeedState};
use tern_core::units::Symbol;
use tern_venues::itch_ouch::itch_file::ItchFile;

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
