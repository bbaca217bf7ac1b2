//! The data plane's counters: one word each in the segment, written by the loop alone, read by anyone.

use crate::counter_enum;
use core::sync::atomic::{AtomicU64, Ordering};

counter_enum! {
    /// What the loop counts. Refusals of the gate are counted by reason in an array of their own.
    pub enum LoopCounter {
        LoopIterations = "loop_iterations": "Turns of the loop.",
        LoopBusy = "loop_busy": "Turns of the loop that found something to do.",
        FramesReceived = "frames_received": "Frames taken from the ports.",
        FramesSent = "frames_sent": "Frames handed to the ports.",
        TxKicks = "tx_kicks": "System calls that told the kernel to transmit.",
        TxRingFull = "tx_ring_full": "Frames that found no free TX descriptor or frame and were not sent.",
        DroppedNoRecord = "dropped_no_record": "Frames too short to hold the steering record.",
        DroppedRecordVersion = "dropped_record_version": "Frames whose steering record has another version.",
        DroppedRecordBad = "dropped_record_bad": "Frames whose steering record names bytes outside the frame or an unknown kind.",
        DroppedUnknownStream = "dropped_unknown_stream": "Datagrams of a stream that no feed reads.",
        DroppedTruncated = "dropped_truncated": "Datagrams shorter than their protocol's header or than their messages claim.",
        DroppedOversized = "dropped_oversized": "Datagrams too long for a receive buffer of the socket port.",
        DroppedWrongSession = "dropped_wrong_session": "Datagrams of another session of the feed's protocol.",
        DroppedDuplicate = "dropped_duplicate": "Messages that the same line had brought before.",
        Datagrams = "datagrams": "Market-data datagrams received.",
        DatagramBytes = "datagram_bytes": "Their payload bytes.",
        Heartbeats = "heartbeats": "Heartbeat datagrams of feeds.",
        Messages = "messages": "Market-data messages decoded.",
        UnknownMessageTypes = "unknown_message_types": "Market-data messages of a type that is not known, skipped.",
        TrailingBytes = "trailing_bytes": "Messages longer than their type says; the rest was skipped.",
        BadFields = "bad_fields": "Messages with a field outside what the specification allows.",
        Gaps = "gaps": "Gaps in a feed's sequence.",
        GapMessages = "gap_messages": "Messages missing in those gaps.",
        TrustLost = "trust_lost": "Times that the books of a stream lost trust.",
        TrustGained = "trust_gained": "Times that the books of a stream gained trust.",
        Events = "events": "Normalized book events applied.",
        UnknownOrders = "unknown_orders": "Events that name an order the book does not hold.",
        DuplicateOrders = "duplicate_orders": "Adds of an order the book already holds.",
        BookFull = "book_full": "Events dropped because a table of the book is full.",
        UnknownInstruments = "unknown_instruments": "Events of an instrument that is not in the directory.",
        Intents = "intents": "Intents that strategies returned.",
        IntentsStale = "intents_stale": "Intents older than the bound, refused.",
        OrdersNew = "orders_new": "New orders sent.",
        OrdersReplace = "orders_replace": "Replaces sent.",
        OrdersCancel = "orders_cancel": "Cancels sent.",
        OrderBytes = "order_bytes": "Bytes of order messages given to TCP.",
        RefusedWindowClosed = "refused_window_closed": "Orders refused because the venue's TCP window had no room.",
        RefusedRingFull = "refused_ring_full": "Orders refused because the order ring had no room for them: only what cancels and a halt need was left, or nothing.",
        DroppedAtKill = "dropped_at_kill": "Whole order messages not yet given to TCP that a kill dropped.",
        VenueAccepted = "venue_accepted": "Orders that the venue accepted.",
        VenueReplaced = "venue_replaced": "Replaces that the venue accepted.",
        VenueCanceled = "venue_canceled": "Orders or parts of orders that the venue canceled.",
        VenueRejected = "venue_rejected": "Orders that the venue rejected.",
        VenueCancelRejected = "venue_cancel_rejected": "Cancels that the venue rejected.",
        VenueExecuted = "venue_executed": "Executions, partial ones included.",
        VenueBroken = "venue_broken": "Executions that the venue broke.",
        VenueOther = "venue_other": "Other messages of the venue about orders.",
        VenueUnknownOrders = "venue_unknown_orders": "Messages of the venue about orders that are not ours.",
        VenueUnknownTypes = "venue_unknown_types": "Messages on an order session of a type that is not known, skipped.",
        VenueBad = "venue_bad": "Malformed messages on an order session.",
        FilledShares = "filled_shares": "Shares executed.",
        SessionsUp = "sessions_up": "Times that an order session logged in.",
        SessionsDown = "sessions_down": "Times that an order session ended.",
        LoginsRejected = "logins_rejected": "Logins that the venue rejected.",
        TcpConnects = "tcp_connects": "TCP connections opened.",
        TcpConnectFailures = "tcp_connect_failures": "Attempts to connect that failed, for any reason.",
        TcpConnectUnreachable = "tcp_connect_unreachable": "Attempts for which nobody answered on the link (ARP) or no route is known.",
        TcpConnectRefused = "tcp_connect_refused": "Attempts that the venue's host refused.",
        TcpConnectUnanswered = "tcp_connect_unanswered": "Attempts that the venue's host did not answer in time.",
        TcpResets = "tcp_resets": "TCP connections that the peer reset.",
        TcpTimeouts = "tcp_timeouts": "TCP connections given up for silence.",
        TcpRetransmits = "tcp_retransmits": "TCP segments sent again.",
        SessionBytes = "session_bytes": "Bytes received on order sessions.",
        Commands = "commands": "Commands taken from the control plane.",
        CommandsBad = "commands_bad": "Commands that were not understood.",
        ResumesRefused = "resumes_refused": "Resumes refused because somebody killed after the operator had looked.",
        Kills = "kills": "Times that the loop stopped trading because of the kill word or a kill command.",
        Halts = "halts": "Times that the loop stopped trading by itself.",
        StrategyPanics = "strategy_panics": "Strategies that panicked and were taken out.",
        CaptureShed = "capture_shed": "Datagrams that the capture ring could not take.",
        RecordRefused = "record_refused": "Records that the order ring could not take, each once.",
        RecordRetries = "record_retries": "Further attempts, in vain, at inputs that the order ring could not take: they are offered until it can.",
        StagesRefused = "stages_refused": "Stamps of stages that the order ring could not take; they decide nothing and are done without.",
        XskRxDropped = "xsk_rx_dropped": "XDP_STATISTICS rx_dropped: frames dropped for other reasons than the ones below.",
        XskRxInvalidDescs = "xsk_rx_invalid_descs": "XDP_STATISTICS rx_invalid_descs.",
        XskTxInvalidDescs = "xsk_tx_invalid_descs": "XDP_STATISTICS tx_invalid_descs.",
        XskRxRingFull = "xsk_rx_ring_full": "XDP_STATISTICS rx_ring_full: frames dropped because the RX ring was full.",
        XskRxFillRingEmpty = "xsk_rx_fill_ring_empty": "XDP_STATISTICS rx_fill_ring_empty_descs: frames dropped because no buffer was offered.",
        XskTxRingEmpty = "xsk_tx_ring_empty": "XDP_STATISTICS tx_ring_empty_descs.",
        SocketOverflow = "socket_overflow": "Datagrams that a kernel socket dropped because its buffer was full (SO_RXQ_OVFL).",
        OpenOrders = "open_orders": "Orders open now, unanswered ones included (a level, not a count).",
        CancelsRepeated = "cancels_repeated": "Cancels due again after the venue refused one.",
        CancelsGivenUp = "cancels_given_up": "Orders that the venue refused to cancel so often that no more cancels are sent.",
        MarketHalts = "market_halts": "Operational halts: our market stopped trading an instrument.",
        InstrumentsDistrusted = "instruments_distrusted": "Times that the book of one instrument lost trust, its stream not.",
        OverReduced = "over_reduced": "Executions and cancels of more shares than the order had.",
        BadInstruments = "bad_instruments": "Events of an instrument id beyond the configured number.",
        LineDuplicates = "line_duplicates": "Messages that the other line had brought before: the rule with two lines.",
        OtherInstruments = "other_instruments": "Events that named an order of another instrument than their own.",
        TcpRecalled = "tcp_recalled": "TCP connections that we reset to take back orders at a kill.",
        TcpRecalledBytes = "tcp_recalled_bytes": "Bytes, up to the last new order, that were not acknowledged then: none of them was sent (again).",
        ScopeChanges = "scope_changes": "Times that a scope was restricted, or runs again.",
        CommandsRefused = "commands_refused": "Commands that were recorded and changed nothing: unknown, out of range, or nothing there to do.",
        Unanswered = "unanswered": "Orders and replaces of an earlier run to which the venue's log has no answer: they are over.",
        ReconcileDifferences = "reconcile_differences": "Things that the venue's log and the journal say differently after a restart.",
        DaemonSilences = "daemon_silences": "Times that the daemon's heartbeat was missed, so that only cancels left.",
        AnswersLate = "answers_late": "Deadlines that passed without the venue's answer to an order, a replace or a cancel.",
        OrdersUnanswered = "orders_unanswered": "Open orders of which an answer of the venue is late (a level, not a count).",
        HighWater = "high_water": "Best profit of the day so far, 1/10000 of the currency unit (a level, not a count).",
        StrategyOverruns = "strategy_overruns": "Measured calls to strategies that took longer than their budget.",
        Outliers = "outliers": "Datagrams beyond the 99.9th percentile of a part of their way that were kept apart with how things stood.",
        OutliersLeftOut = "outliers_left_out": "Such datagrams that were not kept: longer ones came within the same tenths of a second.",
        LoopLooks = "loop_looks": "Looks of the housekeeping thread at the loop's thread and at the clock.",
        LoopSwitches = "loop_switches": "Times that the kernel took the core from the loop's thread (involuntary context switches).",
        LoopFaults = "loop_faults": "Page faults of the loop's thread.",
        LoopStoodNs = "loop_stood_ns": "Time that the loop's thread was ready to run and had no core, ns.",
        ClockSteps = "clock_steps": "Times that the kernel's clock was set by more than a millisecond.",
        ClockSteppedNs = "clock_stepped_ns": "By how much, all times together and whichever way, ns.",
        ClockAheadNs = "clock_ahead_ns": "How far the loop's clock is ahead of the kernel's, which was set back, ns: it is worked off (a level, not a count).",
    }
}

/// Words in the segment for [`LoopCounter`]s; more than there are, so that adding one keeps the layout.
pub const COUNTER_WORDS: usize = 256;
const _: () = assert!(LoopCounter::COUNT <= COUNTER_WORDS);

/// The counters as they lie in the segment. Only the loop writes, so that adding needs no locked instruction.
#[repr(C, align(128))]
pub struct Counters([AtomicU64; COUNTER_WORDS]);

impl Counters {
    /// All zero, outside of any segment: for tests and tools.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; COUNTER_WORDS])
    }

    /// Adds `n`; called by the single writer.
    #[inline]
    pub fn add(&self, counter: LoopCounter, n: u64) {
        let word = &self.0[counter.index()];
        word.store(word.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Sets a counter that is kept elsewhere (the kernel's); called by the single writer.
    #[inline]
    pub fn set(&self, counter: LoopCounter, value: u64) {
        self.0[counter.index()].store(value, Ordering::Relaxed);
    }

    /// The present value.
    #[inline]
    pub fn get(&self, counter: LoopCounter) -> u64 {
        self.0[counter.index()].load(Ordering::Relaxed)
    }

    /// Every counter's present value, in index order.
    pub fn snapshot(&self) -> [u64; LoopCounter::COUNT] {
        core::array::from_fn(|index| self.0[index].load(Ordering::Relaxed))
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}
