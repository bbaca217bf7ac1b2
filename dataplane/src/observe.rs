//! What the loop shows in the shared segment: written every millisecond by the loop, read by anyone.

use crate::net::{ConnectFailure, TcpCounter, TcpCounters};
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{
    CrashState, DISTRUSTED, STRATEGIES, STRATEGY_STATE, STRATEGY_UNKEPT, STREAMS, SessionFault, TRUSTED, Words,
};
use tern_core::book::BookError;
use tern_core::feed::{Feed, FeedCounter};
use tern_core::input::DownReason;
use tern_core::orders::OrderNote;
use tern_core::pipeline::{Pipeline, PipelineCounter};
use tern_core::risk::{HaltReason, Reason};
use tern_core::session::{DropReason, OrderSession, SessionCounter};
use tern_core::strategy::StrategySet;
use tern_core::units::{StreamId, TaiNs};
use tern_core::wire::WireDrop;
use tern_hw::port::PortStatistics;

/// `Words::strategies`: running.
pub const STRATEGY_RUNNING: u64 = 1;
/// `Words::strategies`: it panicked and is not called any more.
pub const STRATEGY_DISABLED: u64 = 2;

/// Frames that the loop dropped before any protocol saw them, in [`WireDrop`] order.
pub type WireDrops = [u64; WireDrop::COUNT];

/// Copies what the pipeline and its parts count, and how they stand at `now`. `unkept` are strategies that are stopped without a
/// place in the table of scopes, a bit each.
pub fn publish<F: Feed, O: OrderSession, S: StrategySet>(
    words: &Words,
    pipeline: &Pipeline<F, O, S>,
    drops: &WireDrops,
    streams: &[StreamId],
    unkept: u32,
    now: TaiNs,
) {
    publish_counters(words, pipeline, drops);
    let desk = pipeline.desk();
    for (index, count) in desk.refusals().iter().enumerate() {
        words.refusals.set(index, *count);
    }
    let halt = desk.gate().halt();
    words.trading.set(halt.is_none(), halt.unwrap_or(HaltReason::NotHalted) as u32, now.0);
    for stream in streams.iter().filter(|stream| stream.index() < STREAMS) {
        let reason = desk.books().stream_distrust(*stream);
        words.trust.set(stream.index(), reason.map_or(TRUSTED, |reason| DISTRUSTED + reason as u64), now.0);
    }
    for index in 0..pipeline.strategies().count().min(STRATEGIES) {
        let state = if desk.is_disabled(index) { STRATEGY_DISABLED } else { STRATEGY_RUNNING };
        if let Some(crash) = desk.crash(index)
            && words.strategies.get(index) & STRATEGY_STATE != state
        {
            words.crashes[index].write(&CrashState::new(crash.at.0, crash.text.as_str()));
        }
        let id = desk.owners().get(index).map_or(0, |owner| owner.strategy.0);
        words.strategies.set(index, if unkept & 1 << index == 0 { state } else { state | unkept_word(id) });
    }
}

/// What the word of a strategy with this id has beside its state, if it is stopped without a place in the table of scopes.
pub fn unkept_word(id: u16) -> u64 {
    u64::from(id) << 32 | STRATEGY_UNKEPT
}

fn publish_counters<F: Feed, O: OrderSession, S: StrategySet>(
    words: &Words,
    pipeline: &Pipeline<F, O, S>,
    drops: &WireDrops,
) {
    let desk = pipeline.desk();
    let feed = |counter: FeedCounter| pipeline.feed().counters()[counter.index()];
    let session = |counter: SessionCounter| pipeline.session().counters()[counter.index()];
    let refused = |reason: Reason| desk.refusals()[reason.index()];
    let dropped = |reason: WireDrop| drops[reason.index()];
    let own = |counter: PipelineCounter| desk.counter(counter);
    let values = [
        (LoopCounter::DroppedNoRecord, dropped(WireDrop::NoRecord)),
        (LoopCounter::DroppedRecordVersion, dropped(WireDrop::Version)),
        (
            LoopCounter::DroppedRecordBad,
            dropped(WireDrop::Kind) + dropped(WireDrop::Offset) + dropped(WireDrop::NoFrame),
        ),
        (
            LoopCounter::DroppedTruncated,
            dropped(WireDrop::Truncated) + feed(FeedCounter::BadPackets) + feed(FeedCounter::TruncatedMessages),
        ),
        (LoopCounter::DroppedWrongSession, feed(FeedCounter::WrongSession)),
        (LoopCounter::DroppedDuplicate, feed(FeedCounter::Duplicates)),
        (LoopCounter::LineDuplicates, feed(FeedCounter::LineDuplicates)),
        (LoopCounter::Heartbeats, feed(FeedCounter::Heartbeats)),
        (LoopCounter::Messages, feed(FeedCounter::Messages)),
        (LoopCounter::UnknownMessageTypes, feed(FeedCounter::UnknownTypes)),
        (LoopCounter::TrailingBytes, feed(FeedCounter::TrailingBytes)),
        (LoopCounter::Gaps, feed(FeedCounter::Gaps)),
        (LoopCounter::GapMessages, feed(FeedCounter::MissedMessages)),
        (LoopCounter::TrustLost, own(PipelineCounter::TrustLost)),
        (LoopCounter::TrustGained, own(PipelineCounter::TrustGained)),
        (LoopCounter::Events, own(PipelineCounter::Events)),
        (LoopCounter::UnknownInstruments, feed(FeedCounter::UnknownInstrument)),
        (LoopCounter::DaemonSilences, own(PipelineCounter::DaemonSilences)),
        (LoopCounter::MarketHalts, own(PipelineCounter::MarketHalts)),
        (LoopCounter::InstrumentsDistrusted, own(PipelineCounter::InstrumentsDistrusted)),
        (LoopCounter::Intents, own(PipelineCounter::Intents)),
        (LoopCounter::IntentsStale, refused(Reason::TooOld)),
        (LoopCounter::OrdersNew, own(PipelineCounter::OrdersNew)),
        (LoopCounter::OrdersReplace, own(PipelineCounter::OrdersReplace)),
        (LoopCounter::OrdersCancel, own(PipelineCounter::OrdersCancel) + own(PipelineCounter::SystemCancels)),
        (LoopCounter::RefusedWindowClosed, refused(Reason::WindowClosed)),
        (LoopCounter::RefusedRingFull, refused(Reason::RingReserve) + refused(Reason::RecordFailed)),
        (LoopCounter::DroppedAtKill, own(PipelineCounter::Recalled)),
        (LoopCounter::VenueAccepted, own(PipelineCounter::VenueAccepted)),
        (LoopCounter::VenueReplaced, own(PipelineCounter::VenueReplaced)),
        (LoopCounter::VenueCanceled, own(PipelineCounter::VenueCanceled)),
        (LoopCounter::VenueRejected, own(PipelineCounter::VenueRejected)),
        (LoopCounter::VenueCancelRejected, own(PipelineCounter::VenueCancelRejected)),
        (LoopCounter::CancelsRepeated, own(PipelineCounter::CancelsRepeated)),
        (LoopCounter::CancelsGivenUp, own(PipelineCounter::CancelsGivenUp)),
        (LoopCounter::VenueOther, own(PipelineCounter::VenueOther)),
        (LoopCounter::VenueExecuted, own(PipelineCounter::Fills)),
        (LoopCounter::VenueBroken, own(PipelineCounter::Broken)),
        (LoopCounter::VenueUnknownOrders, desk.notes()[OrderNote::NotOurs.index()]),
        (
            LoopCounter::VenueUnknownTypes,
            session(SessionCounter::UnknownMessages) + session(SessionCounter::UnknownPackets),
        ),
        (LoopCounter::VenueBad, session(SessionCounter::BadPackets) + session(SessionCounter::TruncatedMessages)),
        (LoopCounter::FilledShares, own(PipelineCounter::FilledShares)),
        (LoopCounter::SessionsUp, session(SessionCounter::Logins)),
        (LoopCounter::SessionsDown, own(PipelineCounter::ConnectionsLost)),
        (LoopCounter::LoginsRejected, session(SessionCounter::LoginRejects)),
        (LoopCounter::Halts, own(PipelineCounter::Halts)),
        (LoopCounter::StrategyPanics, own(PipelineCounter::StrategyPanics)),
        (LoopCounter::CommandsRefused, own(PipelineCounter::CommandsRefused)),
        (LoopCounter::Unanswered, own(PipelineCounter::Unanswered)),
        (LoopCounter::ReconcileDifferences, own(PipelineCounter::ReconcileDifferences)),
        (LoopCounter::AnswersLate, own(PipelineCounter::AnswersLate)),
        (LoopCounter::OrdersUnanswered, u64::from(desk.unanswered())),
        (LoopCounter::HighWater, u64::try_from(desk.gate().stake().high_water()).unwrap_or(0)),
        (LoopCounter::OpenOrders, u64::from(desk.orders().open_count())),
        (LoopCounter::RecordRetries, own(PipelineCounter::InputsRetried)),
        (LoopCounter::RecordRefused, own(PipelineCounter::InputsRefused) + own(PipelineCounter::RecordsLost)),
    ];
    let books = BookError::ALL.iter().map(|error| (counter_of(*error), desk.books().errors()[error.index()]));
    for (counter, value) in values.into_iter().chain(books) {
        words.counters.set(counter, value);
    }
}

/// Where an event that did not fit is shown; an error without a place does not compile.
const fn counter_of(error: BookError) -> LoopCounter {
    match error {
        BookError::UnknownOrder => LoopCounter::UnknownOrders,
        BookError::DuplicateOrder => LoopCounter::DuplicateOrders,
        BookError::Overfull => LoopCounter::BookFull,
        BookError::OverReduced => LoopCounter::OverReduced,
        BookError::OtherInstrument => LoopCounter::OtherInstruments,
        BookError::BadInstrument => LoopCounter::BadInstruments,
        BookError::BadField => LoopCounter::BadFields,
    }
}

/// Copies what kernel sockets count.
pub fn publish_sockets(words: &Words, ports: impl Iterator<Item = PortStatistics>) {
    let (overflow, oversized) = ports.fold((0, 0), |sum, port| (sum.0 + port.socket_overflow, sum.1 + port.rx_dropped));
    words.counters.set(LoopCounter::SocketOverflow, overflow);
    words.counters.set(LoopCounter::DroppedOversized, oversized);
}

/// Copies what the order connection counts.
pub fn publish_tcp(words: &Words, tcp: &TcpCounters) {
    let of = |counter: TcpCounter| tcp[counter.index()];
    let values = [
        (LoopCounter::TcpConnects, of(TcpCounter::Connects)),
        (LoopCounter::TcpConnectFailures, of(TcpCounter::ConnectFailures)),
        (LoopCounter::TcpConnectUnreachable, of(TcpCounter::ConnectUnreachable)),
        (LoopCounter::TcpConnectRefused, of(TcpCounter::ConnectRefused)),
        (LoopCounter::TcpConnectUnanswered, of(TcpCounter::ConnectUnanswered)),
        (LoopCounter::TcpResets, of(TcpCounter::PeerReset)),
        (LoopCounter::TcpTimeouts, of(TcpCounter::TimedOut)),
        (LoopCounter::TcpRetransmits, of(TcpCounter::Retransmits)),
        (LoopCounter::TcpRecalled, of(TcpCounter::Recalled)),
        (LoopCounter::TcpRecalledBytes, of(TcpCounter::RecalledBytes)),
        (LoopCounter::FramesSent, of(TcpCounter::SegmentsOut)),
        (LoopCounter::TxRingFull, of(TcpCounter::FrameShortage)),
    ];
    for (counter, value) in values {
        words.counters.set(counter, value);
    }
}

/// What the end of a connection says about its session.
pub const fn fault_of_down(reason: DownReason) -> SessionFault {
    match reason {
        DownReason::Closed => SessionFault::Closed,
        DownReason::Reset => SessionFault::Reset,
        DownReason::TimedOut => SessionFault::TimedOut,
        DownReason::Dropped(DropReason::BadPacket) => SessionFault::BadPacket,
        DownReason::Dropped(DropReason::Silence) => SessionFault::Silence,
        DownReason::Dropped(DropReason::LoginRejected) => SessionFault::LoginRejected,
        DownReason::Dropped(DropReason::EndOfSession) => SessionFault::EndOfSession,
        DownReason::Dropped(DropReason::ControlOverflow) => SessionFault::ControlOverflow,
        DownReason::Dropped(DropReason::Killed) => SessionFault::Killed,
        DownReason::Dropped(DropReason::Surveyed) => SessionFault::None,
        DownReason::Dropped(DropReason::LogUnlike) => SessionFault::LogUnlike,
    }
}

/// What a failed attempt to connect says.
pub const fn fault_of_connect(failure: ConnectFailure) -> SessionFault {
    match failure {
        ConnectFailure::Unreachable => SessionFault::ConnectUnreachable,
        ConnectFailure::Refused => SessionFault::ConnectRefused,
        ConnectFailure::Unanswered => SessionFault::ConnectUnanswered,
        ConnectFailure::Local => SessionFault::ConnectLocal,
    }
}
