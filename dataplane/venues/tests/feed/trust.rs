//! What gives a stream trust, what takes it, and what is only counted.

use super::{SESSION, STREAM, Venue, add, delete, end_of_session, heartbeat, message, packet, packet_of, untrusted};
use tern_abi::event::{EventKind, flags};
use tern_core::feed::{Distrust, Feed, FeedCounter, FeedState};
use tern_core::units::{StreamId, TaiNs};
use tern_venues::itch_ouch::wire::Alpha;

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
