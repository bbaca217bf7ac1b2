//! What is said of each counter of the loop beside its name and help: where it is shown, and what to do about it.

use tern_abi::counters::LoopCounter;
use tern_abi::counters::LoopCounter as C;

use crate::panel::Panel;

/// Levels among the counters.
pub(crate) const fn is_level(counter: LoopCounter) -> bool {
    matches!(counter, C::OpenOrders | C::OrdersUnanswered | C::HighWater | C::ClockAheadNs)
}

/// What a counter's value is multiplied by: those in ns are served in seconds, the base unit.
pub(crate) fn scale(counter: LoopCounter) -> f64 {
    if counter.name().ends_with("_ns") { 1e-9 } else { 1.0 }
}

/// The panel of a counter.
pub(crate) const fn place(counter: LoopCounter) -> Panel {
    match counter {
        C::LoopIterations | C::LoopBusy => Panel::Loop,
        C::FramesReceived
        | C::FramesSent
        | C::TxKicks
        | C::TxRingFull
        | C::DroppedNoRecord
        | C::DroppedRecordVersion
        | C::DroppedRecordBad => Panel::Frames,
        C::Datagrams | C::DatagramBytes | C::Heartbeats | C::Messages | C::Events | C::LineDuplicates => {
            Panel::FeedTraffic
        }
        C::DroppedUnknownStream
        | C::DroppedTruncated
        | C::DroppedOversized
        | C::DroppedWrongSession
        | C::DroppedDuplicate
        | C::UnknownMessageTypes
        | C::TrailingBytes
        | C::BadFields
        | C::Gaps
        | C::GapMessages => Panel::FeedFaults,
        C::TrustLost | C::TrustGained | C::InstrumentsDistrusted | C::MarketHalts => Panel::Trust,
        C::UnknownOrders
        | C::DuplicateOrders
        | C::BookFull
        | C::UnknownInstruments
        | C::OverReduced
        | C::BadInstruments
        | C::OtherInstruments => Panel::Book,
        C::Intents | C::OrdersNew | C::OrdersReplace | C::OrdersCancel | C::OrderBytes => Panel::Orders,
        C::IntentsStale | C::RefusedWindowClosed | C::RefusedRingFull => Panel::Refusals,
        C::VenueAccepted
        | C::VenueReplaced
        | C::VenueCanceled
        | C::VenueRejected
        | C::VenueCancelRejected
        | C::VenueExecuted
        | C::VenueBroken
        | C::VenueOther
        | C::FilledShares => Panel::Answers,
        C::VenueUnknownOrders
        | C::VenueUnknownTypes
        | C::VenueBad
        | C::CancelsRepeated
        | C::CancelsGivenUp
        | C::AnswersLate
        | C::Unanswered
        | C::ReconcileDifferences
        | C::DroppedAtKill => Panel::OrderFaults,
        C::OpenOrders | C::OrdersUnanswered => Panel::OpenOrders,
        C::SessionsUp | C::SessionsDown | C::LoginsRejected | C::SessionBytes => Panel::Session,
        C::TcpConnects
        | C::TcpConnectFailures
        | C::TcpConnectUnreachable
        | C::TcpConnectRefused
        | C::TcpConnectUnanswered
        | C::TcpResets
        | C::TcpTimeouts
        | C::TcpRetransmits
        | C::TcpRecalled
        | C::TcpRecalledBytes => Panel::Tcp,
        C::Commands
        | C::CommandsBad
        | C::CommandsRefused
        | C::ResumesRefused
        | C::Kills
        | C::Halts
        | C::StrategyPanics
        | C::StrategyOverruns
        | C::ScopeChanges
        | C::DaemonSilences => Panel::Stops,
        C::CaptureShed | C::RecordRefused | C::RecordRetries | C::StagesRefused => Panel::Journal,
        C::XskRxDropped
        | C::XskRxInvalidDescs
        | C::XskTxInvalidDescs
        | C::XskRxRingFull
        | C::XskRxFillRingEmpty
        | C::XskTxRingEmpty
        | C::SocketOverflow => Panel::Port,
        C::HighWater => Panel::Profit,
        C::Outliers
        | C::OutliersLeftOut
        | C::LoopLooks
        | C::LoopSwitches
        | C::LoopFaults
        | C::LoopStoodNs
        | C::ClockSteps
        | C::ClockSteppedNs
        | C::ClockAheadNs => Panel::Loop,
    }
}

/// What to do about it, as a clause of a sentence.
pub(crate) const fn todo(counter: LoopCounter) -> &'static str {
    match counter {
        C::LoopIterations => "none while it grows; a rate of 0 is a loop that does not turn (`tern status`)",
        C::LoopBusy => {
            "none; near the rate of all turns, the core is full: fewer symbols or strategies, or a faster core"
        }
        C::FramesReceived | C::Datagrams | C::DatagramBytes | C::Heartbeats | C::Messages | C::Events => {
            "none: it is the load; at 0 in market hours see `feed_silent`"
        }
        C::FramesSent | C::TxKicks | C::OrderBytes | C::SessionBytes => "none: it is the load of the order session",
        C::TxRingFull => "raise `port.ring_frames`; an order's frame is sent again by TCP, later",
        C::DroppedNoRecord | C::DroppedRecordVersion | C::DroppedRecordBad => {
            "another XDP program feeds the socket: restart ternd, which attaches the one of its build"
        }
        C::DroppedUnknownStream => "a group is subscribed that no `[[feed]]` names: correct the configuration",
        C::DroppedTruncated | C::DroppedOversized => {
            "ask the venue or whoever carries its feed: datagrams are damaged on the way"
        }
        C::DroppedWrongSession => "the feed of another day or of a test is on this group: ask the venue",
        C::DroppedDuplicate => "the venue or the network repeats datagrams: look for a loop in the switch",
        C::LineDuplicates => "none: with two lines the later one is a duplicate; when it stops growing a line is gone",
        C::UnknownMessageTypes | C::TrailingBytes => {
            "the venue's protocol has grown: compare with its notices before the next release"
        }
        C::BadFields | C::BadInstruments | C::OtherInstruments => {
            "books may be wrong: compare with the venue; `tern journal cat --kind trust` says which lost trust"
        }
        C::Gaps | C::GapMessages => {
            "find where packets went: `tern counters`, the NIC's `ethtool -S`, the switch; books lose trust until they are rebuilt"
        }
        C::TrustLost => "see `feed_untrusted`: `tern status` says why",
        C::TrustGained => "none: books are trusted again",
        C::InstrumentsDistrusted => "see `books_untrusted`: no order leaves in the instrument",
        C::MarketHalts => "none: no order leaves in an instrument that the market halts",
        C::UnknownOrders | C::DuplicateOrders | C::OverReduced | C::UnknownInstruments => {
            "a few after a start in mid-day are events of before; a steady rate is a book that is not the venue's"
        }
        C::BookFull => "raise `capacity.orders` or `capacity.instruments` and restart: books are incomplete",
        C::Intents => "none: what strategies want",
        C::OrdersNew | C::OrdersReplace | C::OrdersCancel => {
            "none; compare with the answers of the venue and with `limits.orders_per_second_max`"
        }
        C::IntentsStale => "the loop is behind its feed: see its latency and `arrival_to_seen`",
        C::RefusedWindowClosed => "the venue does not read fast enough: ask it, and see its TCP window in a capture",
        C::RefusedRingFull => "ternd does not drain: see its disk and core",
        C::VenueAccepted | C::VenueReplaced | C::VenueCanceled | C::VenueExecuted | C::FilledShares | C::VenueOther => {
            "none: the day's business"
        }
        C::VenueRejected | C::VenueCancelRejected => {
            "`tern journal cat --kind order_event` has the venue's reason; a burst is a strategy or a port set wrong"
        }
        C::VenueBroken => "compare positions with the venue: broken trades are taken back (`tern positions`)",
        C::VenueUnknownOrders => "somebody else sends orders under this account: ask the venue at once",
        C::VenueUnknownTypes | C::VenueBad => "the venue's protocol is not the one configured: stop, and compare",
        C::CancelsRepeated => "a few are races with fills; a steady rate is a venue that does not let go of orders",
        C::CancelsGivenUp => "ask the venue to cancel them; `tern orders` names them",
        C::AnswersLate => "the venue is slow: see `tern orders`; after as long again trading stops",
        C::Unanswered => "none: after a restart, the venue's log had no answer to them",
        C::ReconcileDifferences => "`tern recover` tells each; accept them or have the venue correct its log",
        C::DroppedAtKill => "none: a kill took them back before they left",
        C::OpenOrders => "none; at a halt it has to fall to 0, else ask the venue to cancel",
        C::OrdersUnanswered => "`tern orders` names them; ask the venue if they stay",
        C::SessionsUp | C::TcpConnects => "none; more than one a day has a reason in `tern status`",
        C::SessionsDown => "see `session_down`: `tern status` says what happened",
        C::LoginsRejected => "user, password or sequence number are not what the venue expects: correct `[session]`",
        C::TcpConnectFailures => "the next three counters say of which kind",
        C::TcpConnectUnreachable => "nobody answers ARP: see address, gateway, cable and switch port",
        C::TcpConnectRefused => "the venue's host does not listen there: check `session.address` and its hours",
        C::TcpConnectUnanswered => "a firewall, or a venue that is down: ask it",
        C::TcpResets | C::TcpTimeouts => "the session was cut: it connects again; ask the venue why if it repeats",
        C::TcpRetransmits => "the line to the venue loses packets: see the NIC's and the switch's counters",
        C::TcpRecalled | C::TcpRecalledBytes => "none: a kill took back what was under way",
        C::Commands => "none: operators' commands, and what the loop journals",
        C::CommandsBad => "ternd and the data plane are of different builds: restart both",
        C::CommandsRefused | C::ResumesRefused => "none: whoever sent it was told why",
        C::Kills => "see `trading_stopped`: `tern status` says who and why",
        C::Halts => "see `trading_stopped`: `tern status` says why and what to do",
        C::StrategyOverruns => {
            "a strategy takes longer than `loop.strategy_budget_us`; after `loop.strategy_overruns_max` of them it is stopped (see `strategy_stopped`)"
        }
        C::StrategyPanics => "see `strategy_stopped`: the log has what it said and where",
        C::ScopeChanges => "none: `tern status` lists what is restricted",
        C::DaemonSilences => "see `daemon_silent`: ternd was kept from its core or disk",
        C::CaptureShed => "the disk is too slow for the feed: inputs of these datagrams are missing in replay",
        C::RecordRefused => "trading stopped: the order ring was full; see ternd's disk",
        C::RecordRetries => "ternd does not drain: see its disk and core",
        C::StagesRefused => "none for trading; latency figures miss these samples",
        C::XskRxDropped | C::XskRxRingFull => {
            "packets were lost: raise `port.ring_frames`, and give the loop a core of its own"
        }
        C::XskRxInvalidDescs | C::XskTxInvalidDescs => "a defect of ours or of the driver: report it with `ethtool -i`",
        C::XskRxFillRingEmpty => {
            "the loop gave frames back too late: give it a core of its own, raise `port.ring_frames`"
        }
        C::XskTxRingEmpty => "none: the kernel looked for frames to send and found none",
        C::SocketOverflow => "packets were lost: give the loop a core of its own, or use `port.kind = \"xdp\"`",
        C::Outliers => "`tern latency outliers` lists them with the likely cause",
        C::OutliersLeftOut => {
            "none: the longest of each tenth of a second are kept; a high rate is a host that is disturbed all the time"
        }
        C::LoopLooks => {
            "none; a rate of 0 is a housekeeping thread without a core, and outliers without their surroundings"
        }
        C::LoopSwitches | C::LoopStoodNs => {
            "the loop has no core of its own: `loop.core`, isolcpus, and what else runs there (`perf sched`)"
        }
        C::LoopFaults => {
            "a few at the start; later ones are memory that is not locked: give the data plane CAP_IPC_LOCK or a higher memlock"
        }
        C::ClockSteps | C::ClockSteppedNs | C::ClockAheadNs => {
            "see the host's time daemon: it should slew the clock, and never step it in market hours"
        }
        C::HighWater => "none: drawdown is measured from it",
    }
}
