//! The feed: MoldUDP64 payloads in, normalized events in sequence out.
//!
//! Every message in sequence gives exactly one event, so the last event of a datagram is always marked. Messages without
//! a normalized meaning, of unknown types too, are [`EventKind::Other`].

mod plan;

use tern_abi::arena::Arena;
use tern_abi::event::{BookEvent, EventKind, flags};
use tern_core::feed::{Distrust, EventSink, Feed, FeedCounter, FeedState};
use tern_core::units::{InstrumentId, LineId, StreamId, Symbol, TaiNs};

use super::wire::Alpha;
use super::wire::itch::{DecodeError, Header, ItchMessage, Message, OperationalHalt, OperationalHaltAction};
use super::wire::mold::{Downstream, Kind, Session};
use plan::{Plan, head_of, locate_of, plan_of, stock_of};

/// The market to which orders go, as operational halts name it (ITCH 5.0, 1.2.8): Nasdaq.
const MARKET: u8 = b'Q';

/// Lines of a stream that are kept apart: A and B.
const LINES: usize = 2;

/// Locate codes of a stream.
const LOCATES: usize = 1 << 16;

type Counters = [u64; FeedCounter::COUNT];

/// TotalView-ITCH 5.0 over MoldUDP64: all streams of a venue.
///
/// Trust, once lost, does not come back: what the session sent while it was lost is unknown. Messages after a gap are
/// still decoded and handed out, so that counters and observers see them.
#[derive(Debug)]
pub struct ItchFeed {
    first: StreamId,
    streams: Arena<Stream>,
    /// [`LOCATES`] a stream: instrument id + 1, or 0 where none was introduced.
    locates: Arena<u32>,
    counters: Counters,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    session: Option<Session>,
    next_seq: u64,
    /// What each line would have to bring next: tells a message that the other line brought first from a repeated one.
    line_next: [u64; LINES],
    state: FeedState,
    /// When the last packet of the session came.
    heard: TaiNs,
    /// None came for too long.
    silent: bool,
}

impl Stream {
    const NEW: Self = Self {
        session: None,
        next_seq: 1,
        line_next: [1; LINES],
        state: FeedState::Untrusted { reason: Distrust::NeverStarted, expected: 1, seen: 0 },
        heard: TaiNs(0),
        silent: false,
    };

    /// What the books are worth: a stream in sequence is worth nothing while it is silent.
    fn state(&self) -> FeedState {
        match self.state {
            FeedState::InSequence if self.silent => {
                FeedState::Untrusted { reason: Distrust::Silent, expected: 0, seen: 0 }
            }
            state => state,
        }
    }

    /// `line` brought so many messages from `sequence` on; how many it had brought before.
    #[inline]
    fn brought(&mut self, line: LineId, sequence: u64, messages: u64) -> u64 {
        // A line that is not kept apart repeats whatever it brings late.
        let Some(next) = self.line_next.get_mut(usize::from(line.0)) else { return messages };
        let repeated = next.saturating_sub(sequence).min(messages);
        *next = sequence.saturating_add(messages).max(*next);
        repeated
    }

    fn distrust(&mut self, reason: Distrust, expected: u64, seen: u64) {
        // The first reason stays: the others follow from it.
        if !matches!(self.state, FeedState::Untrusted { reason, .. } if reason != Distrust::NeverStarted) {
            self.state = FeedState::Untrusted { reason, expected, seen };
        }
    }

    fn started(&mut self) {
        if let FeedState::Untrusted { reason: Distrust::NeverStarted, .. } = self.state {
            self.state = FeedState::InSequence;
        }
    }
}

impl ItchFeed {
    /// Elements of the locate table that so many streams need.
    pub const fn locates_len(streams: usize) -> usize {
        streams * LOCATES
    }

    /// A feed of the streams from `first` on, as many as `locates` (zeroed, [`Self::locates_len`]) has room for.
    pub fn new(first: StreamId, locates: Arena<u32>) -> Self {
        let streams = Arena::from_fn(locates.len() / LOCATES, |_| Stream::NEW);
        Self { first, streams, locates, counters: [0; FeedCounter::COUNT] }
    }

    /// The session that a stream is in, once a packet told it.
    pub fn session(&self, stream: StreamId) -> Option<Session> {
        self.streams.get(self.index(stream)).and_then(|stream| stream.session)
    }

    fn index(&self, stream: StreamId) -> usize {
        stream.index().wrapping_sub(self.first.index())
    }

    #[inline]
    fn count(&mut self, counter: FeedCounter, more: u64) {
        count(&mut self.counters, counter, more);
    }

    /// A packet of a session that is not the stream's: the first one, a foreign one, or garbage. `true` when the stream
    /// is in that session now.
    #[cold]
    fn enter_session(&mut self, index: usize, packet: &Downstream<'_>) -> bool {
        if !is_plausible(packet) {
            self.count(FeedCounter::BadPackets, 1);
            return false;
        }
        let stream = &mut self.streams[index];
        if stream.session.is_none() {
            stream.session = Some(packet.header.session);
            return true;
        }
        stream.distrust(Distrust::WrongSession, stream.next_seq, packet.header.sequence_number.get());
        self.count(FeedCounter::WrongSession, 1);
        false
    }

    /// A packet that does not start with the expected message. Returns how many of its messages were seen before.
    #[cold]
    fn out_of_sequence(&mut self, index: usize, sequence: u64) -> u64 {
        let stream = &mut self.streams[index];
        let expected = stream.next_seq;
        if sequence < expected {
            return expected - sequence;
        }
        let is_start = matches!(stream.state, FeedState::Untrusted { reason: Distrust::NeverStarted, .. });
        stream.distrust(if is_start { Distrust::LateStart } else { Distrust::Gap }, expected, sequence);
        stream.next_seq = sequence;
        self.count(FeedCounter::Gaps, 1);
        self.count(FeedCounter::MissedMessages, sequence - expected);
        0
    }

    #[inline]
    fn on_messages(
        &mut self,
        index: usize,
        line: LineId,
        packet: &Downstream<'_>,
        promised: u16,
        sink: &mut impl EventSink,
    ) {
        let sequence = packet.header.sequence_number.get();
        let repeated = self.streams[index].brought(line, sequence, u64::from(promised));
        let mut seen_before = 0;
        if sequence != self.streams[index].next_seq {
            seen_before = self.out_of_sequence(index, sequence).min(u64::from(promised));
            // What this line brings for the first time, and is not new, came on the other one.
            let repeated = repeated.min(seen_before);
            self.count(FeedCounter::Duplicates, repeated);
            self.count(FeedCounter::LineDuplicates, seen_before - repeated);
            if seen_before == u64::from(promised) {
                return;
            }
        }
        let locates = &mut self.locates[index * LOCATES..];
        let Some(locates) = locates.first_chunk_mut::<LOCATES>() else { return };
        let mut decoder = Decoder { locates, counters: &mut self.counters, left: 0, distrust: None, sink };

        let mut blocks = packet.blocks();
        let mut cut = (0..seen_before).find_map(|_| blocks.next()?.err());
        while let Some(block) = blocks.next() {
            match block {
                Ok(bytes) => decoder.normalize(bytes, blocks.left()),
                Err(error) => cut = Some(error),
            }
        }
        let fresh = u64::from(promised) - seen_before;
        let missing = cut.map_or(0, |cut| fresh.min(u64::from(cut.missing_count)));
        if missing != 0 {
            decoder.sink.event(BookEvent { flags: flags::LAST, ..BookEvent::new(EventKind::Other) });
        }

        let distrust = decoder.distrust;
        self.count(FeedCounter::Messages, fresh - missing);
        let stream = &mut self.streams[index];
        stream.next_seq = sequence.wrapping_add(u64::from(promised));
        stream.started();
        if let Some((reason, left)) = distrust {
            let message = stream.next_seq.wrapping_sub(u64::from(left) + 1);
            stream.distrust(reason, message, message);
        }
        if missing != 0 {
            stream.distrust(Distrust::Truncated, stream.next_seq.wrapping_sub(missing), stream.next_seq);
            self.count(FeedCounter::BadPackets, 1);
            self.count(FeedCounter::MissedMessages, missing);
        }
    }

    #[cold]
    fn on_empty(&mut self, index: usize, sequence: u64, is_end: bool) {
        // Heartbeats and ends of session carry the number of the next message: a higher one tells of a loss.
        if sequence > self.streams[index].next_seq {
            self.out_of_sequence(index, sequence);
        }
        let stream = &mut self.streams[index];
        stream.started();
        if is_end {
            stream.distrust(Distrust::EndOfSession, sequence, sequence);
        }
        self.count(if is_end { FeedCounter::EndOfSession } else { FeedCounter::Heartbeats }, 1);
    }
}

impl Feed for ItchFeed {
    #[inline]
    fn on_payload(
        &mut self,
        now: TaiNs,
        stream: StreamId,
        line: LineId,
        payload: &[u8],
        sink: &mut impl EventSink,
    ) -> FeedState {
        let index = self.index(stream);
        self.count(FeedCounter::Datagrams, 1);
        let (Some(known), Ok(packet)) = (self.streams.get(index), Downstream::parse(payload)) else {
            self.count(FeedCounter::BadPackets, 1);
            return self.streams.get(index).unwrap_or(&Stream::NEW).state();
        };
        if known.session == Some(packet.header.session) || self.enter_session(index, &packet) {
            match packet.header.kind() {
                Kind::Messages(promised) => self.on_messages(index, line, &packet, promised, sink),
                Kind::Heartbeat => self.on_empty(index, packet.header.sequence_number.get(), false),
                Kind::EndOfSession => self.on_empty(index, packet.header.sequence_number.get(), true),
            }
            let stream = &mut self.streams[index];
            (stream.heard, stream.silent) = (now, false);
        }
        self.streams[index].state()
    }

    fn heard(&self, stream: StreamId) -> TaiNs {
        self.streams.get(self.index(stream)).unwrap_or(&Stream::NEW).heard
    }

    fn fall_silent(&mut self, stream: StreamId) {
        let index = self.index(stream);
        if let Some(stream) = self.streams.get_mut(index) {
            stream.silent = true;
        }
    }

    fn next_deadline(&self) -> TaiNs {
        TaiNs::NEVER
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn next_seq(&self, stream: StreamId) -> u64 {
        self.streams.get(self.index(stream)).unwrap_or(&Stream::NEW).next_seq
    }
}

#[inline]
fn count(counters: &mut Counters, counter: FeedCounter, more: u64) {
    // A sequence number that jumps to the end of its range tells of more missing messages than a counter holds.
    counters[counter.index()] = counters[counter.index()].saturating_add(more);
}

/// Whether a packet can have come from a MoldUDP64 sender: a printable session, and blocks that fill it. Asked before a
/// session is entered or called foreign, so that garbage does neither.
fn is_plausible(packet: &Downstream<'_>) -> bool {
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    packet.header.session.0.iter().all(printable)
        && !packet.header.session.is_blank()
        && packet.header.sequence_number.get() != 0
        && packet.blocks().all(|block| block.is_ok())
}

/// Turns messages of one datagram into events.
struct Decoder<'a, S> {
    locates: &'a mut [u32; LOCATES],
    counters: &'a mut Counters,
    /// Messages that follow the one at which [`Self::by_type`] is.
    left: u16,
    /// Why trust is lost, and how many messages follow the one at fault.
    distrust: Option<(Distrust, u16)>,
    sink: &'a mut S,
}

impl<S: EventSink> Decoder<'_, S> {
    /// Hands the event of a message out that so many follow. In two places, so that the frequent one is written field by
    /// field where the sink keeps it: put together elsewhere and copied, it is read before its parts have been stored,
    /// which cost a quarter of all decoding.
    #[inline(always)]
    fn normalize(&mut self, bytes: &[u8], left: u16) {
        let flags = if left == 0 { flags::LAST } else { 0 };
        if let Some(event) = self.by_plan(bytes, flags) {
            self.sink.event(event);
        } else {
            self.left = left;
            let event = self.by_type(bytes);
            self.sink.event(BookEvent { flags: event.flags | flags, ..event });
        }
    }

    /// The event of a frequent type, whole and of a known instrument; all else is for [`Self::by_type`].
    #[inline(always)]
    fn by_plan(&mut self, bytes: &[u8], flags: u16) -> Option<BookEvent> {
        let (head, plan) = head_of(bytes)?;
        let instrument = self.locates[usize::from(locate_of(head))].checked_sub(1)?;
        plan.event(head, bytes, instrument, flags)
    }

    #[inline(never)]
    fn by_type(&mut self, bytes: &[u8]) -> BookEvent {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(error) => return self.undecoded(error),
        };
        let (own, trailing) = bytes.split_at(message.len_bytes());
        if !trailing.is_empty() {
            count(self.counters, FeedCounter::TrailingBytes, 1);
        }
        let event = match plan_of(message.header().kind) {
            Plan { len: 0, .. } => self.rare(&message),
            _ => self.instrument_of(own, message.header()).and_then(|instrument| {
                let (head, plan) = head_of(own)?;
                plan.event(head, own, instrument, 0)
            }),
        };
        event.unwrap_or_else(|| self.other(message.header()))
    }

    /// The instrument of a frequent type: known, or introduced by a message that names its symbol. An order that comes
    /// without either cannot be in a book.
    fn instrument_of(&mut self, own: &[u8], head: &Header) -> Option<u32> {
        match (self.locate(head), stock_of(own)) {
            (Some(instrument), _) => Some(instrument),
            (None, Some(stock)) => self.introduce(head, &Alpha(stock)),
            (None, None) => {
                count(self.counters, FeedCounter::UnknownInstrument, 1);
                self.lose_trust(Distrust::UnknownOrder);
                None
            }
        }
    }

    /// The event of a message that changes no book; `None` when it has no normalized meaning or its instrument no id.
    fn rare(&mut self, message: &Message<'_>) -> Option<BookEvent> {
        Some(match message {
            Message::CrossTrade(m) => BookEvent {
                other: m.match_number.get(),
                price: i64::from(m.cross_price.get()),
                quantity: saturated(m.shares.get()),
                code: m.cross_type,
                ..at(EventKind::Cross, &m.head, self.introduced(&m.head, &m.stock)?)
            },
            Message::NetOrderImbalance(m) => BookEvent {
                other: m.imbalance_shares.get(),
                price: i64::from(m.current_reference_price.get()),
                quantity: saturated(m.paired_shares.get()),
                code: m.imbalance_direction,
                flags: flags::LISTING,
                ..at(EventKind::Imbalance, &m.head, self.introduced(&m.head, &m.stock)?)
            },
            Message::StockTradingAction(m) => BookEvent {
                code: m.trading_state,
                ..at(EventKind::TradingState, &m.head, self.introduced(&m.head, &m.stock)?)
            },
            Message::RegShoRestriction(m) => BookEvent {
                code: m.reg_sho_action,
                ..at(EventKind::ShortSale, &m.head, self.introduced(&m.head, &m.stock)?)
            },
            Message::StockDirectory(m) => BookEvent {
                order: u64::from_le_bytes(m.stock.0),
                quantity: m.round_lot_size.get(),
                flags: flags::LISTING,
                // The directory decides what a locate means, whatever was there before.
                ..at(EventKind::Directory, &m.head, self.introduce(&m.head, &m.stock)?)
            },
            Message::OperationalHalt(m) => BookEvent {
                code: OperationalHalt::TYPE,
                flags: halt_flags(m),
                ..at(EventKind::Other, &m.head, self.introduced(&m.head, &m.stock)?)
            },
            Message::BrokenTrade(m) => BookEvent {
                other: m.match_number.get(),
                ..at(EventKind::Broken, &m.head, self.locate(&m.head).unwrap_or(NO_INSTRUMENT))
            },
            Message::SystemEvent(m) => {
                BookEvent { code: m.event_code, ..at(EventKind::System, &m.head, NO_INSTRUMENT) }
            }
            _ => return None,
        })
    }

    /// A message that is skipped: it takes its place in the sequence, with its type as code.
    #[cold]
    fn other(&self, head: &Header) -> BookEvent {
        let instrument = self.locate(head).unwrap_or(NO_INSTRUMENT);
        BookEvent { code: head.kind, ..at(EventKind::Other, head, instrument) }
    }

    #[cold]
    fn undecoded(&mut self, error: DecodeError) -> BookEvent {
        let code = match error {
            DecodeError::Unknown { kind } => {
                count(self.counters, FeedCounter::UnknownTypes, 1);
                kind
            }
            DecodeError::Empty => self.truncated(0),
            DecodeError::Truncated { kind, .. } => self.truncated(kind),
        };
        BookEvent { code, ..BookEvent::new(EventKind::Other) }
    }

    fn truncated(&mut self, kind: u8) -> u8 {
        count(self.counters, FeedCounter::TruncatedMessages, 1);
        self.lose_trust(Distrust::Truncated);
        kind
    }

    fn lose_trust(&mut self, reason: Distrust) {
        self.distrust.get_or_insert((reason, self.left));
    }

    fn locate(&self, head: &Header) -> Option<u32> {
        self.locates[usize::from(head.stock_locate.get())].checked_sub(1)
    }

    /// The instrument of a message that names its symbol: that introduces it when the directory did not.
    fn introduced(&mut self, head: &Header, stock: &Alpha<8>) -> Option<u32> {
        match self.locate(head) {
            Some(instrument) => Some(instrument),
            None => self.introduce(head, stock),
        }
    }

    #[cold]
    fn introduce(&mut self, head: &Header, stock: &Alpha<8>) -> Option<u32> {
        let Some(InstrumentId(id)) = self.sink.instrument(Symbol(stock.0)) else {
            count(self.counters, FeedCounter::UnknownInstrument, 1);
            self.lose_trust(Distrust::Overfull);
            return None;
        };
        self.locates[usize::from(head.stock_locate.get())] = id.wrapping_add(1);
        Some(id)
    }
}

const NO_INSTRUMENT: u32 = InstrumentId::NONE.0;

/// An event with its kind, time and instrument.
fn at(kind: EventKind, head: &Header, instrument: u32) -> BookEvent {
    BookEvent { venue_ns: head.timestamp.get(), instrument, ..BookEvent::new(kind) }
}

/// What an operational halt means for orders of ours: nothing when it is another market's. An action that is not known
/// counts as a halt.
fn halt_flags(halt: &OperationalHalt) -> u16 {
    match halt.action() {
        _ if halt.market_code != MARKET => 0,
        Some(OperationalHaltAction::Resumed) => flags::MARKET_RESUMED,
        Some(OperationalHaltAction::Halted) | None => flags::MARKET_HALTED,
    }
}

fn saturated(shares: u64) -> u32 {
    u32::try_from(shares).unwrap_or(u32::MAX)
}
