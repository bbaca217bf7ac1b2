//! Alerts: one table of what is watched, how bad it is, when it is raised and what to do. The daemon raises by it, the CLI shows by
//! it, and docs/ALERTS.md is written from it.

use serde::{Deserialize, Serialize};
use tern_abi::counter_enum;

counter_enum! {
    /// What an alert is about. Values are part of the journal's layout ([`tern_abi::command::CommandKind::Alert`]).
    pub enum AlertKind {
        TradingStopped = "trading_stopped": "Trading is stopped, by a kill or by the loop itself, and does not go on by itself.",
        DataPlaneStuck = "data_plane_stuck": "The loop does not turn.",
        DataPlaneDown = "data_plane_down": "No data plane runs.",
        DataPlaneRestarted = "data_plane_restarted": "The data plane ended and was started again.",
        DaemonSilent = "daemon_silent": "The data plane missed the heartbeat of this daemon and sent nothing but cancels meanwhile.",
        SessionDown = "session_down": "An order session is not ready: no order can leave.",
        FeedUntrusted = "feed_untrusted": "The books of a stream are not trusted: messages are missing, or it is not what it should be.",
        FeedSilent = "feed_silent": "A stream of the feed is silent.",
        BooksUntrusted = "books_untrusted": "The book of an instrument lost trust, its stream did not.",
        RefusalsBurst = "refusals_burst": "The gate refuses more intents a second than it should have to.",
        LimitNear = "limit_near": "A limit is used to a large part.",
        LossNear = "loss_near": "The day's loss, or the fall of its profit, is a large part of the limit that stops trading.",
        JournalTrouble = "journal_trouble": "The journal cannot be written.",
        DiskLow = "disk_low": "Little room is left on the journal's disk.",
        AuditDisagreement = "audit_disagreement": "The second opinion disagrees with the gate, or cannot read the journal.",
        StrategyStopped = "strategy_stopped": "A strategy panicked, or was stopped for being too slow, trading too often or losing too much.",
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should look soon.
    #[default]
    Warning,
    /// Somebody has to look now: trading is stopped, or money or records are at stake.
    Critical,
}

impl Severity {
    /// As users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl AlertKind {
    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::DataPlaneRestarted
            | Self::DaemonSilent
            | Self::BooksUntrusted
            | Self::RefusalsBurst
            | Self::LimitNear
            | Self::DiskLow => Severity::Warning,
            _ => Severity::Critical,
        }
    }

    /// When it is raised.
    pub const fn condition(self) -> &'static str {
        match self {
            Self::TradingStopped => "the kill word is set, or the loop says a reason that an operator has to lift",
            Self::DataPlaneStuck => "its heartbeat has not changed for `daemon.heartbeat_loss_ms`",
            Self::DataPlaneDown => "it ended and was not started again yet, or its restarts are spent",
            Self::DataPlaneRestarted => "for a minute after each restart",
            Self::DaemonSilent => "for a minute after the loop counted a silence (`daemon.silence_ms`)",
            Self::SessionDown => "it was not ready for a second",
            Self::FeedUntrusted => "for as long as it is so, beginning after a second",
            Self::FeedSilent => "no packet of its session for `loop.feed_silence_ms`",
            Self::BooksUntrusted => "for a minute after each",
            Self::RefusalsBurst => "more than `alerts.refusals_per_second` in a second",
            Self::LimitNear => "a position, sum, order count or the day's messages at `alerts.limit_percent` or more",
            Self::LossNear => "`daily_loss_max` or `drawdown_max` used to `alerts.limit_percent` or more",
            Self::JournalTrouble => "the drain could not write, and tries again",
            Self::DiskLow => "less than `alerts.disk_free_mb` free where the journal is",
            Self::AuditDisagreement => "the last kill is `tern-audit`'s",
            Self::StrategyStopped => "a strategy is disabled, or restricted by the data plane",
        }
    }

    /// What to do, as a clause of a sentence.
    pub const fn todo(self) -> &'static str {
        match self {
            Self::TradingStopped => "`tern status` says why and what to do; then `tern resume`",
            Self::DataPlaneStuck => "see what its core does; the venue's session is ended from outside if it stays so",
            Self::DataPlaneDown => "dataplane.log has its last words; ask the venue which orders are open",
            Self::DataPlaneRestarted => "see dataplane.log and `tern recover`; then `tern resume`",
            Self::DaemonSilent => "see what kept ternd: its disk, its host",
            Self::SessionDown => "`tern status` says what happened; it connects again by itself",
            Self::FeedUntrusted => "`tern status` says why; `tern counters` says where packets went",
            Self::FeedSilent => "check the venue's feed and the switch",
            Self::BooksUntrusted => "see `tern journal cat --kind instrument_trust`; no order leaves in it",
            Self::RefusalsBurst => {
                "`tern counters` says for which reasons; stop the strategy if it is wrong (`tern kill --scope`)"
            }
            Self::LimitNear => "`tern risk show` says which; reduce, or have the limit raised",
            Self::LossNear => "see `tern positions`; trading stops at the limit",
            Self::JournalTrouble => "mend the disk; then `tern resume`",
            Self::DiskLow => "make room: a full disk stops trading",
            Self::AuditDisagreement => "audit.jsonl says in what; compare with the venue before `tern resume`",
            Self::StrategyStopped => {
                "see the log and `tern status`; `tern resume --scope strategy:NAME` if it may go on"
            }
        }
    }
}

/// Version of [`AlertsFacts`] and of what is delivered.
pub const ALERTS_VERSION: u32 = 1;

/// An alert that was raised or cleared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertEvent {
    /// [`ALERTS_VERSION`].
    pub version: u32,
    /// Counts the events of a daemon, from 1.
    pub number: u64,
    /// The instance.
    pub instance: String,
    /// `raised` or `cleared`.
    pub event: String,
    /// Name of the [`AlertKind`].
    pub alert: String,
    /// How bad it is.
    pub severity: Severity,
    /// Since when it is so, TAI ns.
    pub since_ns: u64,
    /// When this was said, TAI ns.
    pub at_ns: u64,
    /// What is known of it; may be empty.
    pub detail: String,
    /// What it means.
    pub help: String,
    /// What to do.
    pub todo: String,
}

/// How delivery fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryFacts {
    /// Events that the command took (exit code 0).
    pub delivered: u64,
    /// Events given up after the last try.
    pub failed: u64,
    /// Attempts that failed.
    pub attempts_failed: u64,
    /// Events that wait or are being delivered.
    pub pending: u64,
    /// Why the last attempt failed; empty when the last one did not.
    pub trouble: String,
}

/// `<run>/alerts.json`, written by the daemon with each change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertsFacts {
    /// [`ALERTS_VERSION`].
    pub version: u32,
    /// What is raised now, the worst first.
    pub active: Vec<AlertEvent>,
    /// The last events, oldest first.
    pub events: Vec<AlertEvent>,
    /// How delivery fares.
    pub delivery: DeliveryFacts,
}

/// The table as docs/ALERTS.md has it.
pub fn table() -> String {
    let row = |kind: &AlertKind| {
        format!(
            "| `{}` | {} | {} | {} | {} |\n",
            kind.name(),
            kind.severity().name(),
            kind.help(),
            kind.condition(),
            kind.todo()
        )
    };
    let head = "| alert | severity | means | raised when | what to do |\n|---|---|---|---|---|\n";
    AlertKind::ALL.iter().fold(head.to_owned(), |text, kind| text + &row(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_table_word_for_word() {
        let page = include_str!("../../../docs/ALERTS.md");
        assert!(page.contains(&table()), "docs/ALERTS.md differs from the table; it should have:\n{}", table());
    }

    #[test]
    fn the_keys_that_the_table_names_exist() {
        for kind in AlertKind::ALL {
            for word in kind.condition().split('`').skip(1).step_by(2).filter(|word| word.contains('.')) {
                assert!(crate::fields::find(word).is_some(), "{}: no key {word}", kind.name());
            }
            assert!(!kind.todo().ends_with('.') && !kind.condition().ends_with('.'), "clauses: {}", kind.name());
        }
    }
}
