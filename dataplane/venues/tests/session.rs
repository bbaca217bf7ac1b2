//! The order session against a venue that is played by hand: bytes in, events and bytes out.

mod common;

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

#[test]
fn on_an_empty_log_the_survey_is_the_login() {
    let mut line = Line::connected();
    assert_eq!(line.sent(), login("", 0));
    assert!(!line.session.is_ready());
    assert_eq!(encoded(&mut line, &new(1)), Err(EncodeError::NotLoggedIn));

    line.take(&accepted("S1", 1));
    assert_eq!(line.kinds(), [VenueEventKind::LoggedIn]);
    assert_eq!(line.sent(), hex(QUERY).repeat(2), "message 1 may be an answer of before");
    assert!(!line.session.is_ready());
    assert!(encoded(&mut line, &view(OrderAction::Cancel { order: OrderId(7) })).is_ok(), "cancels are possible");

    line.take(&answer(77));
    let events = line.events();
    assert_eq!((events[0].kind, events[0].order, events[0].session_seq), (VenueEventKind::NextOrderId, OrderId(77), 1));
    line.take(&hex(HEARTBEAT));
    assert!(!line.session.is_ready(), "it may be the answer to an earlier process");
    line.take(&answer(77));
    assert_eq!(line.kinds(), [VenueEventKind::NextOrderId, VenueEventKind::CaughtUp]);
    assert!(line.session.is_ready());
    assert_eq!(line.control.take_drop(), None);
    assert_eq!(line.counter(SessionCounter::Logins), 1);
}

/// A venue that keeps a log as the specification has it: what it sends is in the log, answers to queries too.
struct Venue {
    log: Vec<Vec<u8>>,
    /// Reads a request for message 0 as one for the last message, not for the next.
    from_last: bool,
}

impl Venue {
    /// A log of `messages` executions; each of `answers` is the number of an old answer instead.
    fn new(messages: u64, answers: &[u64], from_last: bool) -> Self {
        let message = |number| if answers.contains(&number) { answer(7) } else { executed(number as u32, 1) };
        Self { log: (1..=messages).map(message).collect(), from_last }
    }

    /// What the venue sends in answer to a login.
    fn log_in(&self, wanted: u64) -> Vec<u8> {
        let end = self.log.len() as u64;
        let first = match wanted {
            0 if self.from_last => end.max(1),
            0 => end + 1,
            wanted => wanted,
        };
        [accepted("S1", first), self.log[first as usize - 1..].concat()].concat()
    }

    /// Answers the queries among `sent`, which holds nothing else.
    fn answer(&mut self, sent: &[u8]) -> Vec<u8> {
        assert_eq!(sent, hex(QUERY).repeat(sent.len() / 4), "only queries");
        let answers = vec![answer(7); sent.len() / 4];
        self.log.extend_from_slice(&answers);
        answers.concat()
    }
}

#[test]
fn old_answers_in_a_long_log_never_end_the_replay() {
    const MESSAGES: u64 = 10_000;
    for from_last in [false, true] {
        // Old answers everywhere, at the very end too, and more of them than any login asks for.
        let old: Vec<u64> = (1..50).chain([5000, 5001, MESSAGES - 1, MESSAGES]).collect();
        let mut venue = Venue::new(MESSAGES, &old, from_last);
        let mut line = Line::connected();
        assert_eq!(line.sent(), login("", 0));
        line.take(&venue.log_in(0));
        assert_eq!(line.control.take_drop(), Some(DropReason::Surveyed));
        assert_eq!((line.kinds(), line.session.next_seq()), (Vec::new(), 1), "nothing is taken out of its place");

        line.reconnect();
        assert_eq!(line.sent(), login("S1", 1));
        for chunk in venue.log_in(1).chunks(1447) {
            line.take(chunk);
            assert!(!line.session.is_ready());
        }
        line.take(&hex(HEARTBEAT));
        assert!(!line.session.is_ready(), "nor does a venue that pauses");
        assert_eq!(line.session.next_seq(), MESSAGES + 1);
        let answers = venue.answer(&line.sent());
        line.take(&answers);
        assert!(line.session.is_ready(), "with the last of our answers");
        assert_eq!(line.kinds().iter().filter(|kind| **kind == VenueEventKind::CaughtUp).count(), 1);
        assert_eq!((line.counter(SessionCounter::Surveys), line.counter(SessionCounter::Logins)), (1, 1));
    }
}

#[test]
fn answers_to_queries_of_lost_connections_do_not_count() {
    let mut line = Line::ready();
    let mut venue = Venue::new(2, &[1, 2], false);
    for lost in 1..4 {
        line.reconnect();
        assert_eq!(line.sent(), login("S1", 3));
        line.take(&venue.log_in(3));
        // The connection goes before the venue's answers come, but it got the queries.
        assert_eq!(line.sent(), hex(QUERY).repeat(1 << lost));
    }
    let late = [venue.answer(&hex(QUERY).repeat(14)), executed(7, 1)].concat();
    venue.log.push(executed(7, 1));
    line.reconnect();
    line.sent();
    line.take(&accepted("S1", 3));
    line.take(&late);
    assert!(!line.session.is_ready(), "fourteen answers, all of before");
    let answers = venue.answer(&line.sent());
    let (rest, last) = answers.split_at(answers.len() - answer(7).len());
    line.take(rest);
    line.take(last);
    assert!(line.session.is_ready());
    line.reconnect();
    assert!(line.sent() == login("S1", venue.log.len() as u64 + 1), "what was answered need not be counted again");
}

#[test]
fn when_too_many_answers_are_open_the_end_of_the_log_is_asked_for_again() {
    let mut line = Line::ready();
    let mut sent = Vec::new();
    for _ in 0..10 {
        line.reconnect();
        sent = line.sent();
        if sent == login("S1", 0) {
            break;
        }
        line.take(&accepted("S1", 3));
        assert!(line.sent().len() <= 4 * 32 + 4);
    }
    assert_eq!(sent, login("S1", 0));
    line.take(&accepted("S1", 3));
    assert_eq!((line.control.take_drop(), line.sent()), (None, hex(QUERY).repeat(2)), "nothing to replay: it goes on");
    line.take(&[answer(1), answer(1)].concat());
    assert!(line.session.is_ready());
}

#[test]
fn orders_have_the_bytes_of_the_tables() {
    let mut line = Line::ready();
    let enter = "0030 'U' 'O' 00000007 'B' 000000c8 'GOOG    ' 000000000010c8e0 '0' 'Y' 'P' 'N' 'N' \
                 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &new(7)), Ok(hex(enter)));

    let short = OrderView { side: Side::Sell, short: true, time_in_force: TimeInForce::Ioc, ..new(7) };
    let enter = "0030 'U' 'O' 00000007 'T' 000000c8 'GOOG    ' 000000000010c8e0 '3' 'Y' 'P' 'N' 'N' \
                 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &short), Ok(hex(enter)));

    let post_only = OrderView { side: Side::Sell, post_only: true, ..new(7) };
    let enter = "0033 'U' 'O' 00000007 'S' 000000c8 'GOOG    ' 000000000010c8e0 '0' 'Y' 'P' 'N' 'N' \
                 'TERN010012BEEF' 0003 02 0c 'P'";
    assert_eq!(encoded(&mut line, &post_only), Ok(hex(enter)));

    let replace = view(OrderAction::Replace { previous: OrderId(7), order: OrderId(8) });
    let bytes = "0029 'U' 'U' 00000007 00000008 000000c8 000000000010c8e0 '0' 'Y' 'N' 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &replace), Ok(hex(bytes)));
    let bytes = "002c 'U' 'U' 00000007 00000008 000000c8 000000000010c8e0 '0' 'Y' 'N' 'TERN010012BEEF' 0003 02 0c 'P'";
    assert_eq!(encoded(&mut line, &OrderView { post_only: true, ..replace }), Ok(hex(bytes)));

    let cancel = OrderView { quantity: 0, ..view(OrderAction::Cancel { order: OrderId(8) }) };
    assert_eq!(encoded(&mut line, &cancel), Ok(hex("000a 'U' 'X' 00000008 00000000")));
    let reduce = OrderView { quantity: 120, ..view(OrderAction::Reduce { order: OrderId(8) }) };
    assert_eq!(encoded(&mut line, &reduce), Ok(hex("000a 'U' 'X' 00000008 00000078")));
}

#[test]
fn orders_for_crosses_and_with_a_minimum_have_the_bytes_of_the_tables() {
    let mut line = Line::ready();
    let on_open = OrderView { price: Price::MARKET, time_in_force: TimeInForce::OnOpen, ..new(7) };
    let enter = "0030 'U' 'O' 00000007 'B' 000000c8 'GOOG    ' 000000007fffffff '0' 'Y' 'P' 'N' 'O' \
                 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &on_open), Ok(hex(enter)));
    let on_close = OrderView { time_in_force: TimeInForce::OnClose, ..new(7) };
    let enter = "0030 'U' 'O' 00000007 'B' 000000c8 'GOOG    ' 000000000010c8e0 '0' 'Y' 'P' 'N' 'C' \
                 'TERN010012BEEF' 0000";
    assert_eq!(encoded(&mut line, &on_close), Ok(hex(enter)));
    // Appendix B: tag 3, four bytes.
    let minimum = OrderView { time_in_force: TimeInForce::Ioc, min_quantity: 100, ..new(7) };
    let enter = "0036 'U' 'O' 00000007 'B' 000000c8 'GOOG    ' 000000000010c8e0 '3' 'Y' 'P' 'N' 'N' \
                 'TERN010012BEEF' 0006 05 03 00000064";
    assert_eq!(encoded(&mut line, &minimum), Ok(hex(enter)));
    for wrong in [OrderView { min_quantity: 201, ..minimum }, OrderView { post_only: true, ..minimum }] {
        assert_eq!(encoded(&mut line, &wrong), Err(EncodeError::Quantity));
    }
}

#[test]
fn what_the_venue_has_no_field_for_is_refused() {
    let mut line = Line::ready();
    for price in [i64::MIN, -1, 0, 1_999_999_901, 0x7FFF_FFFF, i64::MAX] {
        assert_eq!(encoded(&mut line, &OrderView { price: Price(price), ..new(1) }), Err(EncodeError::Price));
    }
    for price in [1, 1_999_999_900] {
        assert!(encoded(&mut line, &OrderView { price: Price(price), ..new(1) }).is_ok());
    }
    for quantity in [0, 1_000_000, u32::MAX] {
        assert_eq!(encoded(&mut line, &OrderView { quantity, ..new(1) }), Err(EncodeError::Quantity));
    }
    let cancel = OrderView { quantity: 1_000_000, ..view(OrderAction::Cancel { order: OrderId(8) }) };
    assert_eq!(encoded(&mut line, &cancel), Err(EncodeError::Quantity));
    for order in [new(1), OrderView { post_only: true, ..new(1) }, cancel] {
        let order = OrderView { quantity: 1, ..order };
        let length = encoded(&mut line, &order).expect("fits").len();
        for room in 0..length {
            let mut buf = vec![0; room];
            assert_eq!(line.session.encode(&order, &mut buf), Err(EncodeError::NoRoom), "{room} of {length} bytes");
        }
    }
}

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
fn after_a_reconnect_the_log_must_be_caught_up_again() {
    let mut line = Line::ready();
    line.reconnect();
    assert!(!line.session.is_ready());
    line.take(&accepted("S1", 3));
    line.take(&hex(HEARTBEAT));
    assert!(!line.session.is_ready());
    line.take(&[executed(7, 1), answer(8), answer(8)].concat());
    use VenueEventKind::{CaughtUp, Executed, LoggedIn, NextOrderId};
    assert_eq!(line.kinds(), [LoggedIn, Executed, NextOrderId, NextOrderId, CaughtUp]);
    assert!(line.session.is_ready());
}

#[test]
fn a_venue_that_repeats_its_log_is_not_believed_twice() {
    let mut line = Line::ready();
    line.take(&executed(7, 1));
    line.events();
    line.reconnect();
    line.take(&[accepted("S1", 1), answer(1), answer(1), executed(7, 1)].concat());
    assert_eq!(line.kinds(), [VenueEventKind::LoggedIn]);
    assert_eq!(line.counter(SessionCounter::Replayed), 3);
    assert!(!line.session.is_ready(), "an answer of before does not count");
    line.take(&[answer(8), answer(8)].concat());
    assert!(line.session.is_ready());
}

#[test]
fn a_log_that_starts_behind_what_we_know_is_refused() {
    let mut line = Line::ready();
    line.reconnect();
    line.take(&accepted("S1", 4));
    assert_eq!(line.control.take_drop(), Some(DropReason::LogUnlike));
    assert_eq!(line.counter(SessionCounter::BadPackets), 1);
    assert!(!line.session.is_ready());
}

#[test]
fn a_log_that_ends_before_what_we_know_is_refused() {
    let mut line = Line::ready();
    line.take(&[executed(7, 1), executed(7, 2)].concat());
    line.reconnect();
    // A venue that lost the end of its log: what it says now bears numbers that we have seen.
    line.take(&[accepted("S1", 1), answer(1), hex(HEARTBEAT)].concat());
    assert_eq!(line.control.take_drop(), Some(DropReason::LogUnlike));
    assert!(!line.session.is_ready());
}

#[test]
fn a_new_session_of_the_venue_starts_from_one() {
    for name in ["S2", "S1"] {
        let mut line = Line::ready();
        line.take(&hex("0001 'Z'"));
        assert_eq!(line.kinds(), [VenueEventKind::EndOfSession]);
        assert_eq!(line.control.take_drop(), Some(DropReason::EndOfSession));
        assert!(!line.session.is_ready());
        assert_eq!(line.session.next_deadline(), TaiNs::NEVER);

        line.reconnect();
        assert_eq!(line.sent(), login("", 0));
        line.take(&accepted(name, 1));
        line.take(&executed(7, 1));
        let events = line.events();
        assert_eq!((events[0].kind, events[0].live), (VenueEventKind::LoggedIn, false));
        assert_eq!(events[1].session_seq, 1);
    }
}

#[test]
fn another_session_than_asked_for_is_surveyed_and_read_from_its_start() {
    let mut line = Line::ready();
    line.reconnect();
    line.sent();
    line.take(&accepted("S2", 9));
    assert_eq!((line.control.take_drop(), line.kinds()), (Some(DropReason::Surveyed), Vec::new()));
    line.reconnect();
    assert_eq!(line.sent(), login("S2", 0));
    line.take(&accepted("S2", 9));
    assert_eq!(line.control.take_drop(), Some(DropReason::Surveyed));
    line.reconnect();
    assert_eq!(line.sent(), login("S2", 1));
    line.take(&accepted("S2", 1));
    let events = line.events();
    assert_eq!((events[0].kind, events[0].live), (VenueEventKind::LoggedIn, false), "it is another log");
    line.reconnect();
    line.take(&accepted("S2", 1));
    assert!(line.events()[0].live, "and the same one from then on");
}

#[test]
fn a_refused_login_says_why_and_drops() {
    let mut line = Line::connected();
    line.take(&hex("0002 'J' 'S'"));
    let events = line.events();
    assert_eq!((events[0].kind, events[0].reason), (VenueEventKind::LoginRejected, b'S'));
    assert_eq!(line.control.take_drop(), Some(DropReason::LoginRejected));
    assert_eq!(line.counter(SessionCounter::LoginRejects), 1);
}

#[test]
fn heartbeats_are_sent_when_nothing_else_was() {
    let mut line = Line::logged_in();
    assert_eq!(line.session.next_deadline(), START.plus(HEARTBEAT_NS));
    line.timer(HEARTBEAT_NS - 1);
    assert_eq!(line.sent(), []);
    line.timer(1);
    assert_eq!(line.sent(), hex("0001 'R'"));
    assert_eq!(line.session.next_deadline(), START.plus(2 * HEARTBEAT_NS));

    line.now = line.now.plus(HEARTBEAT_NS / 2);
    line.session.on_sent(line.now);
    assert_eq!(line.session.next_deadline(), line.now.plus(HEARTBEAT_NS), "orders are signs of life");
    line.timer(HEARTBEAT_NS / 2);
    assert_eq!(line.sent(), []);
    assert_eq!(line.counter(SessionCounter::HeartbeatsOut), 1);
}

#[test]
fn a_silent_venue_is_dropped() {
    for mut line in [Line::connected(), Line::ready()] {
        line.timer(SILENCE_NS - 1);
        assert_eq!(line.control.take_drop(), None);
        line.take(&hex(HEARTBEAT));
        line.timer(SILENCE_NS - 1);
        assert_eq!(line.control.take_drop(), None, "any byte is a sign of life");
        line.timer(1);
        assert_eq!(line.control.take_drop(), Some(DropReason::Silence));
        assert_eq!(line.counter(SessionCounter::Silence), 1);
        assert!(!line.session.is_ready());
    }
}

#[test]
fn other_deadlines_are_held_over_a_reconnect_too() {
    let mut line = Line::logged_in();
    line.session = OuchSession::new(config()).with_deadlines(200, 500);
    for _ in 0..2 {
        line.session.on_connected(line.now, &mut line.control);
        assert_eq!(line.session.next_deadline(), line.now.plus(500));
        line.timer(499);
        assert_eq!(line.control.take_drop(), None);
        line.timer(1);
        assert_eq!(line.control.take_drop(), Some(DropReason::Silence));
        line.session.on_disconnected(line.now);
    }
}

#[test]
fn a_logout_waits_for_the_venue_to_close_but_not_for_ever() {
    let mut line = Line::ready();
    line.session.log_out(line.now, &mut line.control);
    assert_eq!(line.sent(), hex("0001 'O'"));
    assert!(!line.session.is_ready());
    assert_eq!(encoded(&mut line, &new(1)), Err(EncodeError::NotLoggedIn));
    line.take(&executed(7, 1));
    assert_eq!(line.kinds(), [VenueEventKind::Executed], "what was on its way still counts");
    line.timer(999_999_999);
    assert_eq!(line.control.take_drop(), None);
    line.timer(1);
    assert_eq!(line.control.take_drop(), Some(DropReason::EndOfSession));
}

#[test]
fn the_control_path_takes_no_order() {
    let mut line = Line::ready();
    let mut replace =
        encoded(&mut line, &view(OrderAction::Replace { previous: OrderId(1), order: OrderId(2) })).unwrap();
    let enter = encoded(&mut line, &new(1)).unwrap();
    let cancel = encoded(&mut line, &view(OrderAction::Cancel { order: OrderId(1) })).unwrap();
    let modify = hex("000b 'U' 'M' 00000008 'E' 00000032");
    for packet in [&enter, &replace, &cancel, &modify] {
        assert_eq!(line.control.send(packet), Err(ControlError::OrderMessage));
    }
    // Nor bytes that only begin harmlessly, or that are no whole packet.
    let smuggled = [hex(QUERY), enter.clone()].concat();
    let padded = hex("0003 'U' 'QO'");
    let foreign = hex("0001 'S'");
    replace.truncate(9);
    for packet in [&smuggled[..], &padded, &foreign, &replace, b"", b"\0", b"\0\0"] {
        assert_eq!(line.control.send(packet), Err(ControlError::OrderMessage), "{packet:?}");
    }
    assert_eq!(line.control.pending(), b"");
    for packet in [SURVEY, QUERY, "0001 'R'", "0001 'O'", "0003 '+' 'hi'"] {
        assert_eq!(line.control.send(&hex(packet)), Ok(()));
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

#[test]
fn bytes_that_are_no_packet_drop_the_session() {
    let cases = [
        (Line::ready as fn() -> Line, hex("0000")), // no type
        (Line::ready, hex("ffff 'S'")),             // longer than any packet of the protocol
        (Line::ready, hex("0002 'U' 'Q'")),         // a client's packet
        (Line::ready, accepted("S1", 3)),           // a second login
        (Line::connected, executed(7, 1)),          // before the login
        (Line::connected, hex("0005 'A' '  S1'")),  // a login cut short
        (Line::connected, hex("001f 'A' '        S1' '                   x'")), // no number
        (Line::connected, accepted("S1", 0)),       // numbers start at 1
    ];
    for (line, bytes) in cases {
        let mut line = line();
        line.take(&bytes);
        assert_eq!(line.control.take_drop(), Some(DropReason::BadPacket), "{bytes:?}");
        assert_eq!(line.counter(SessionCounter::BadPackets), 1);
        line.take(&executed(7, 1));
        assert_eq!(line.kinds(), [], "nothing more is read");
        line.reconnect();
        line.take(&accepted("S1", 1));
        assert_eq!(line.kinds(), [VenueEventKind::LoggedIn], "a new connection is a new start");
    }
}

#[test]
fn the_password_stays_out_of_logs() {
    let line = Line::connected();
    assert!(!format!("{:?} {:?}", config(), line.session).contains("secret"));
    assert_eq!(ouch::AccountQuery::NEW.as_bytes(), b"Q");
}
