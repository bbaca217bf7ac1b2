//! The venue's messages as events.

use super::*;

fn venue(kind: VenueEventKind, order: u32, session_seq: u64) -> VenueEvent {
    let order = OrderId(order);
    VenueEvent { order, previous: order, venue_ns: VENUE_NS, session_seq, ..VenueEvent::new(kind) }
}

/// Every message of the venue and the event that it is.
fn conversation() -> Vec<(Vec<u8>, VenueEvent)> {
    use VenueEventKind as Kind;
    let owner = |event| VenueEvent { strategy: Some(StrategyId(0x12)), trader: Some(TraderId(0xBEEF)), ..event };
    let system = VenueEvent { venue_ns: VENUE_NS, reason: b'S', ..VenueEvent::new(Kind::SystemEvent) };
    let table: [(&str, VenueEvent); 16] = [
        ("'S' TIME 'S'", system),
        (
            "'A' TIME 00000007 'B' 000000c8 'GOOG    ' 000000000010c8e0 '0' 'Y' 0000000000abcdef 'P' 'N' 'N' 'L' \
             'TERN010012BEEF' 0000",
            VenueEvent {
                venue_order: 0xabcdef,
                price: Price(1_100_000),
                quantity: 200,
                symbol: Some(Symbol(*b"GOOG    ")),
                side: Some(Side::Buy),
                live: true,
                ..owner(venue(Kind::Accepted, 7, 0))
            },
        ),
        (
            "'A' TIME 00000009 'T' 000000c8 'IBM     ' 000000000010c8e0 '0' 'Y' 0000000000abcdee 'P' 'N' 'N' 'D' \
             'SOMEBODY ELSE ' 0003 02 12 '0'",
            VenueEvent {
                venue_order: 0xabcdee,
                price: Price(1_100_000),
                quantity: 200,
                symbol: Some(Symbol(*b"IBM     ")),
                side: Some(Side::Sell),
                live: false,
                ..venue(Kind::Accepted, 9, 0)
            },
        ),
        (
            "'U' TIME 00000007 00000008 'B' 00000190 'GOOG    ' 000000000010c8e4 '0' 'Y' 0000000000abcdf0 'P' 'N' 'N' \
             'L' 'TERN010012BEEF' 0000",
            VenueEvent {
                previous: OrderId(7),
                venue_order: 0xabcdf0,
                price: Price(1_100_004),
                quantity: 400,
                symbol: Some(Symbol(*b"GOOG    ")),
                side: Some(Side::Buy),
                live: true,
                ..owner(venue(Kind::Replaced, 8, 0))
            },
        ),
        ("'C' TIME 00000008 00000032 'U'", VenueEvent { quantity: 50, reason: b'U', ..venue(Kind::Canceled, 8, 0) }),
        (
            "'D' TIME 00000008 00000021 'Q' 00000022 000000000010c8e5 'R' 'D'",
            VenueEvent { quantity: 33, reason: b'Q', ..venue(Kind::Canceled, 8, 0) },
        ),
        (
            "'E' TIME 00000008 00000033 000000000010c8e6 'A' 0000000011223344 0000",
            VenueEvent {
                quantity: 51,
                price: Price(1_100_006),
                match_number: 0x1122_3344,
                reason: b'A',
                added_liquidity: true,
                ..venue(Kind::Executed, 8, 0)
            },
        ),
        (
            "'E' TIME 00000008 00000001 000000000010c8e6 'R' 0000000011223345 0000",
            VenueEvent {
                quantity: 1,
                price: Price(1_100_006),
                match_number: 0x1122_3345,
                reason: b'R',
                ..venue(Kind::Executed, 8, 0)
            },
        ),
        (
            "'B' TIME 00000008 0000000011223344 'E' 'TERN010012BEEF'",
            VenueEvent { match_number: 0x1122_3344, reason: b'E', ..owner(venue(Kind::Broken, 8, 0)) },
        ),
        ("'J' TIME 0000000a 001d 'TERN010012BEEF'", VenueEvent { reason: 0x1d, ..owner(venue(Kind::Rejected, 10, 0)) }),
        ("'P' TIME 00000008", venue(Kind::CancelPending, 8, 0)),
        ("'I' TIME 00000008", venue(Kind::CancelRejected, 8, 0)),
        (
            "'T' TIME 00000008 000000000010c8e7 'Y' 0000000000abcdf1",
            VenueEvent { price: Price(1_100_007), venue_order: 0xabcdf1, ..venue(Kind::PriorityUpdated, 8, 0) },
        ),
        (
            "'M' TIME 00000008 'T' 0000000c",
            VenueEvent { side: Some(Side::Sell), quantity: 12, ..venue(Kind::Modified, 8, 0) },
        ),
        (
            "'R' TIME 00000008 'R' 001a 09 17 000000000010c8e8 09 01 0000000000abcdf2 05 16 00000064",
            VenueEvent {
                reason: b'R',
                price: Price(1_100_008),
                venue_order: 0xabcdf2,
                quantity: 100,
                ..venue(Kind::Restated, 8, 0)
            },
        ),
        ("'Q' TIME 0000000b", venue(Kind::NextOrderId, 11, 0)),
    ];
    let numbered = table.into_iter().zip(3..);
    numbered.map(|((text, event), session_seq)| (sequenced(text), VenueEvent { session_seq, ..event })).collect()
}

#[test]
fn every_message_of_the_venue_becomes_its_event() {
    let mut line = Line::ready();
    for (bytes, event) in conversation() {
        line.take(&bytes);
        assert_eq!(line.events(), [event]);
    }
    assert_eq!(line.session.next_seq(), 19);
    assert_eq!(line.counter(SessionCounter::Sequenced), 18);
    assert_eq!(line.control.take_drop(), None);
}

proptest! {
    #[test]
    fn however_tcp_cuts_the_bytes_the_events_are_the_same(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let (bytes, events): (Vec<Vec<u8>>, Vec<VenueEvent>) = conversation().into_iter().unzip();
        let mut stream = bytes.concat();
        stream.extend(hex(HEARTBEAT));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut line = Line::ready();
        for cut in cuts.windows(2) {
            line.take(&stream[cut[0]..cut[1]]);
        }
        prop_assert_eq!(line.events(), events);
        prop_assert_eq!(line.counter(SessionCounter::HeartbeatsIn), 1);
    }

    #[test]
    fn any_bytes_are_survived(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20)) {
        for mut line in [Line::connected(), Line::ready()] {
            for chunk in &chunks {
                line.take(chunk);
                line.timer(HEARTBEAT_NS);
            }
        }
    }

    #[test]
    fn a_reset_anywhere_loses_and_repeats_nothing(cut in any::<prop::sample::Index>()) {
        let (bytes, events): (Vec<Vec<u8>>, Vec<VenueEvent>) = conversation().into_iter().unzip();
        let stream = bytes.concat();
        let cut = cut.index(stream.len() + 1);
        let mut line = Line::ready();
        line.take(&stream[..cut]);
        let read = (line.session.next_seq() - 3) as usize;

        line.reconnect();
        let next = line.session.next_seq();
        prop_assert_eq!(line.sent(), login("S1", next));
        line.take(&accepted("S1", next));
        line.take(&bytes[read..].concat());
        let ours = [VenueEventKind::LoggedIn, VenueEventKind::CaughtUp];
        let seen: Vec<VenueEvent> = line.events().into_iter().filter(|event| !ours.contains(&event.kind)).collect();
        prop_assert_eq!(seen, events);
    }
}

#[test]
fn what_is_unknown_is_counted_and_skipped() {
    let mut line = Line::ready();
    line.take(&hex("0003 '?' '??'"));
    line.take(&hex("0006 '+' 'hello'"));
    line.take(&sequenced("'z' 0102"));
    line.take(&sequenced("'P' TIME 00000008 'later version'"));
    let events = line.events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind, events[0].session_seq), (VenueEventKind::CancelPending, 4), "both took a number");
    assert_eq!(line.counter(SessionCounter::UnknownPackets), 1);
    assert_eq!(line.counter(SessionCounter::UnknownMessages), 1);
    assert_eq!(line.counter(SessionCounter::TrailingBytes), 1);
    assert_eq!(line.control.take_drop(), None);
    assert!(line.session.is_ready());
}

#[test]
fn a_truncated_message_drops_the_session_and_is_asked_for_again() {
    let mut line = Line::ready();
    line.take(&[sequenced("'E' TIME 00000008"), executed(8, 1)].concat());
    assert_eq!(line.kinds(), [], "nothing is taken behind it");
    assert_eq!(line.control.take_drop(), Some(DropReason::BadPacket));
    assert_eq!(line.counter(SessionCounter::TruncatedMessages), 1);
    assert_eq!(line.session.next_seq(), 3);
}
