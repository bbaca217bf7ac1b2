//! What a feed is: payloads in, normalized events in sequence out.

use crate::units::{InstrumentId, LineId, StreamId, Symbol, TaiNs};
use tern_abi::counter_enum;
use tern_abi::event::BookEvent;

counter_enum! {
    /// Why the books of a stream are not trusted.
    pub enum Distrust {
        NeverStarted = "never_started": "No message of the stream has been seen yet.",
        Gap = "gap": "Messages are missing.",
        LateStart = "late_start": "The first message seen was not the first of the session.",
        WrongSession = "wrong_session": "A datagram of another session arrived.",
        Truncated = "truncated": "A message ended before its fields did.",
        UnknownOrder = "unknown_order": "A message named an order that the book does not hold.",
        DuplicateOrder = "duplicate_order": "A message added an order that the book holds already.",
        Overfull = "overfull": "An event did not fit into the configured memory.",
        EndOfSession = "end_of_session": "The venue ended the session.",
        Restarted = "restarted": "The data plane restarted in mid-session.",
        Contradiction = "contradiction": "A message contradicted the book: more shares taken than an order had, no side, no shares.",
        Silent = "silent": "Nothing came for longer than a feed that is alive is silent; over with the next packet of its session.",
    }
}

counter_enum! {
    /// What a feed counts. One array of these a feed.
    pub enum FeedCounter {
        Datagrams = "feed_datagrams": "Payloads handed to the feed.",
        Messages = "feed_messages": "Messages decoded in sequence.",
        Heartbeats = "feed_heartbeats": "Heartbeat packets.",
        Duplicates = "feed_duplicates": "Messages that the same line had brought before (a retransmission).",
        LineDuplicates = "feed_line_duplicates": "Messages that the other line had brought before: the rule with two lines.",
        Gaps = "feed_gaps": "Gaps seen.",
        MissedMessages = "feed_missed_messages": "Messages missing in those gaps.",
        UnknownTypes = "feed_unknown_types": "Messages of an unknown type, skipped.",
        TrailingBytes = "feed_trailing_bytes": "Messages longer than their type, the rest skipped.",
        TruncatedMessages = "feed_truncated_messages": "Messages shorter than their type.",
        BadPackets = "feed_bad_packets": "Payloads that are no packet of the protocol.",
        WrongSession = "feed_wrong_session": "Packets of another session.",
        UnknownInstrument = "feed_unknown_instrument": "Messages whose instrument was never introduced.",
        EndOfSession = "feed_end_of_session": "End-of-session packets.",
    }
}

/// What the books of a stream are worth after a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedState {
    /// In sequence: every message of the session so far was handed out.
    InSequence,
    /// Not to be trusted, and why; `expected` and `seen` are sequence numbers where the reason has them, else 0.
    Untrusted {
        /// Why.
        reason: Distrust,
        /// The sequence number that should have come.
        expected: u64,
        /// The one that came.
        seen: u64,
    },
}

/// Takes what a feed decodes. The pipeline implements it.
pub trait EventSink {
    /// One event, in sequence.
    fn event(&mut self, event: BookEvent);
    /// The id of `symbol`, given out now if it is new; `None` when the configured memory is full.
    fn instrument(&mut self, symbol: Symbol) -> Option<InstrumentId>;
}

/// A market-data protocol: one instance decodes all streams of a venue.
pub trait Feed {
    /// Decodes one payload whole. `now` is the loop's time.
    fn on_payload(
        &mut self,
        now: TaiNs,
        stream: StreamId,
        line: LineId,
        payload: &[u8],
        sink: &mut impl EventSink,
    ) -> FeedState;
    /// When the feed wants a timer, at the latest (silence, recovery); [`TaiNs::NEVER`] if it waits for nothing.
    fn next_deadline(&self) -> TaiNs;
    /// When the last packet of the session that `stream` is in came, on whatever line; 0 before any. What is no packet,
    /// or one of another session, says nothing of the venue's health.
    fn heard(&self, stream: StreamId) -> TaiNs;
    /// Nothing was heard of `stream` for too long: its state is [`Distrust::Silent`] until the next packet of its session.
    fn fall_silent(&mut self, stream: StreamId);
    /// Counters, in [`FeedCounter`] order.
    fn counters(&self) -> &[u64; FeedCounter::COUNT];
    /// The sequence number of the next message that `stream` expects; 1 before any.
    fn next_seq(&self, stream: StreamId) -> u64;
}
