//! The families that are not counters of the loop, a line each.

use crate::panel::Panel;
use crate::table::{Family, Kind, Other, Source};

/// A line of the table.
pub(crate) struct Row {
    source: Other,
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    panel: Panel,
    help: &'static str,
    todo: &'static str,
}

impl Row {
    pub(crate) fn family(&self) -> Family {
        Family {
            name: format!("tern_{}", self.name),
            kind: self.kind,
            labels: self.labels,
            help: self.help.into(),
            todo: self.todo,
            panel: self.panel,
            source: Source::Other(self.source),
        }
    }
}

macro_rules! rows {
    ($($kind:ident $source:ident $name:literal [$($label:literal),*] $panel:ident: $help:literal => $todo:literal;)+) => {
        &[$(Row {
            source: Other::$source, name: $name, kind: Kind::$kind, labels: &[$($label),*], panel: Panel::$panel,
            help: $help, todo: $todo,
        },)+]
    };
}

pub(crate) const FIXED: &[Row] = rows! {
    // ---- state
    Gauge Trading "trading" [] State: "1 while the loop says that it trades." => "at 0, `tern status` says why and what to do";
    Gauge Killed "killed" [] State: "1 while the kill word is set." => "see `trading_stopped`; `tern resume` re-arms once it is mended";
    Gauge HaltInfo "halt_info" ["reason"] State: "1 for the reason that the loop gives for not trading; absent while it trades." => "docs/OPERATIONS.md has each reason and what to do";
    Gauge ScopeRestricted "scope_restricted" ["kind", "key", "state"] State: "1 for each scope that may not trade freely." => "`tern status` says who restricted it; `tern resume --scope` lifts it";
    Gauge StrategyRunning "strategy_running" ["strategy"] State: "1 while the strategy is called, 0 once it panicked." => "see `strategy_stopped`";
    Gauge SegmentUp "segment_up" [] State: "1 if the shared segment can be read; without it most families are absent." => "start ternd, or see in its log why it does not start";
    Gauge BuildInfo "build_info" ["version", "abi", "name"] State: "1; the build that answers, its layout version and the name of the instance." => "all processes of a host should be of one build";
    Counter KillWords "kill_words" [] Stops: "Kills written into the segment since it was made, by whomever." => "see `trading_stopped`";
    Counter SessionsEnded "sessions_ended" [] Stops: "Venue sessions of a dead or stuck data plane that were ended from outside." => "ask the venue which orders are open; see dataplane.log";
    Counter Rescues "rescues" [] Stops: "Times that ternd cancelled in the place of a data plane that was gone." => "`tern status` says what is left open; ask the venue";
    // ---- alerts
    Gauge AlertRaised "alert_raised" ["alert", "severity"] Alerts: "1 while ternd has raised the alert; ternd pages it by itself." => "docs/ALERTS.md has each";
    Counter AlertDeliveries "alert_deliveries" ["outcome"] Alerts: "Alerts that ternd handed to `alerts.command`, by outcome." => "`tern alerts` says why the last one failed; try the command by hand";
    // ---- risk
    Gauge Profit "profit" [] Profit: "Profit of the day, realized and unrealized, currency units." => "`tern positions` has it by strategy and symbol";
    Gauge HighWater "profit_high_water" [] Profit: "Best profit of the day so far, currency units." => "none: drawdown is measured from it";
    Gauge Drawdown "drawdown" [] Profit: "Fall of profit below its best of the day, currency units." => "trading stops at `limits.drawdown_max`";
    Gauge LimitUsedRatio "limit_used_ratio" ["limit"] LimitUse: "What uses a limit, divided by it; of strategy limits the strategy that uses most." => "`tern risk show` says what uses it; reduce, or have the limit raised";
    Gauge LimitReduceOnly "limit_reduce_only" ["limit"] LimitUse: "1 while more is there than the limit allows, so that only what reduces it leaves." => "reduce, or have the limit raised (`tern risk set`)";
    Gauge Limit "limit" ["limit"] Limits: "The limits in force: shares, orders, messages, percent, seconds or currency units, as the limit's name says." => "`tern risk show` says who set them and why";
    Gauge LimitUsed "limit_used" ["limit"] Limits: "What uses them now, in the same unit; absent where nothing is measured." => "as for `tern_limit_used_ratio`";
    Gauge LimitsEpoch "limits_epoch" [] Limits: "Epoch of the limits in force; each change is a new one." => "none; an unexpected change is in `tern risk show`";
    Gauge PositionShares "position_shares" ["symbol"] Positions: "Shares held in the 16 symbols with the largest positions, short ones below 0." => "`tern positions` has all of them";
    Gauge PositionWorst "position_worst_shares" ["symbol"] Positions: "The same with all open orders of the worse side filled, long or short." => "held against `limits.position_max`";
    Counter Refused "refused" ["reason"] Refusals: "Intents that the gate refused, by reason." => "`tern counters` explains each reason; stop the strategy if it is wrong";
    // ---- orders
    Gauge CancelPending "cancel_all_pending" [] OpenOrders: "Orders of the last cancel-all, or of the last halted scope, that are still open." => "ask the venue if it does not fall to 0";
    // ---- latency
    Histogram Latency "latency_seconds" ["span"] Latency: "How long the spans of the loop took, since ternd started: tick_to_order from the frame seen to the order's bytes, stages from the one before." => "`tern latency` and `tern latency outliers` say which stage and why";
    // ---- feed
    Gauge StreamTrusted "stream_trusted" ["stream"] Trust: "1 while the books of the stream are trusted." => "see `feed_untrusted` and `feed_silent`";
    // ---- port
    Counter Steer "steer_frames" ["outcome"] Steering: "Frames by what the XDP program did with them, read once a second: those on the queues of this instance, and those on queues that are nobody's." => "`pass_other_queue`, `pass_no_socket`, `pass_unsubscribed` and `pass_no_headroom` are packets that the loop did not get: compare `[[feed]]` and `port.queues` with the NIC";
    // ---- session
    Gauge SessionReady "session_ready" ["session"] Session: "1 while orders can be sent on the session." => "see `session_down`";
    // ---- record
    Gauge RingUsed "ring_used_ratio" ["ring"] Rings: "How full the rings of the segment are." => "ternd does not drain (orders, captures) or the loop takes no commands: see their cores, and the disk";
    Counter Records "records" [] Journal: "Records that the loop made since the journal began." => "none: it is the load of the journal";
    Gauge JournalLag "journal_lag_records" [] Journal: "Records that are not in the journal yet." => "as for `tern_ring_used_ratio`";
    Gauge NotDurable "journal_not_durable_records" [] Journal: "Records that would not survive a power cut: not forced to the disk yet." => "see the disk, and `journal.fsync`";
    Gauge JournalTrouble "journal_trouble" [] Journal: "1 while the journal cannot be written." => "see `journal_trouble` in docs/ALERTS.md";
    Gauge JournalHeldBack "journal_held_back" [] Journal: "Days of the journal that are to be deleted and are held back, by a follower or by damage; 0 where nothing is deleted." => "see `TernRetentionHeld`";
    Counter CaptureShedDatagrams "capture_shed_datagrams" [] Journal: "Datagrams that the capture ring shed since the segment was made." => "as for `tern_capture_shed_total`";
    Counter CaptureShedBytes "capture_shed_bytes" [] Journal: "Their bytes." => "as for `tern_capture_shed_total`";
    Gauge DiskFree "disk_free_bytes" [] Disk: "Room left where the journal is." => "make room: a full disk stops trading";
    Gauge DiskSize "disk_size_bytes" [] Disk: "Size of the file system where the journal is." => "none: it is a fact";
    Gauge SinkBehind "sink_behind_seconds" ["sink"] Sinks: "Since when the store of a sink has not had all that is on the journal's disk; it grows while the sink is dead. Of sinks whose `--status` is `sink-NAME.json` in `paths.run`." => "the sink's stderr says why: its store is gone or too slow; remove the file of one that is no longer wanted";
    Gauge SinkRecords "sink_behind_records" ["sink"] Sinks: "Records that the store of a sink did not have when the sink said so last." => "as for `tern_sink_behind_seconds`";
    // ---- host
    Gauge ProcessUp "process_up" ["process"] Processes: "1 while the process lives: dataplane, ternd, audit where there is one, and metrics, which answers." => "the log of the process, in `paths.run`, has its last words";
    Gauge HeartbeatAge "heartbeat_age_seconds" ["process"] Processes: "Age of the last sign of life; everything that a dead process said is as old." => "see `data_plane_stuck` and `daemon_silent`";
    Counter Restarts "restarts" ["process"] Processes: "Restarts by this ternd." => "its log has the last words of each";
    Gauge GaveUp "gave_up" ["process"] Processes: "1 once the budget of restarts is spent: it stays down." => "mend the cause, then restart ternd";
    Counter HeartbeatLosses "heartbeat_losses" [] Processes: "Times that ternd missed the heartbeat of the data plane." => "see what its core does";
    Gauge FactsAge "facts_age_seconds" [] Processes: "Age of what ternd wrote down last: counters of the XDP program, restarts, trouble of the journal." => "ternd is dead or stuck: see `TernDaemonDown`";
    Gauge Resident "process_resident_bytes" ["process"] Memory: "Resident memory, what is shared included." => "the data plane takes its memory at start; growth later is a defect: report it";
    Counter Cpu "process_cpu_seconds" ["process"] Loop: "Time on a core." => "none; a spinning loop takes a whole one";
    Gauge ClockSynchronized "clock_synchronized" [] Clock: "1 while a time daemon keeps the kernel's clock." => "start chrony or ptp4l; records are stamped by this clock";
    Gauge ClockOffset "clock_offset_seconds" [] Clock: "What the kernel still has to correct, by its time daemon's word." => "see the time daemon (`chronyc tracking`, `pmc`)";
    Gauge ClockMaxError "clock_max_error_seconds" [] Clock: "Bound of the clock's error, by its time daemon's word; it grows while nobody corrects." => "see the time daemon";
    Gauge ClockTaiOffset "clock_tai_offset_seconds" [] Clock: "CLOCK_TAI minus UTC: 37 since 2017, 0 where nobody told the kernel." => "let the time daemon set it; records of hosts that differ do not line up";
    Gauge AuditLag "audit_lag_seconds" [] Audit: "How far the second opinion is behind the journal." => "give it a core; behind `audit.lag_ms_max` ternd starts it again";
    Counter AuditDisagreements "audit_disagreements" [] Audit: "Disagreements between the second opinion and the gate." => "see `audit_disagreement`: audit.jsonl says in what";
    Gauge DropCopyConnected "drop_copy_connected" [] Audit: "1 while the venue's drop copy is read." => "`tern status` says why not; it connects again by itself";
    Gauge DropCopyDifferences "drop_copy_differences" [] Audit: "What the drop copy and the journal say differently now." => "compare with the venue (drop_copy.jsonl)";
    Gauge DropCopyLag "drop_copy_lag_seconds" [] Audit: "How long the oldest message waits for its like on the other side." => "ask the venue; beyond `drop_copy.deadline_ms` trading stops";
    Counter Requests "metrics_requests" ["outcome"] Scrapes: "Requests to this endpoint by outcome: answered, bad (not HTTP, or nothing that is here), refused (too many at once), cut (too slow to ask or to read)." => "a scraper is too many or too slow if anything but answered grows: find it with `ss -tp`";
};
