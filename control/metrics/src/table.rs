//! The table: every family of metrics, with all that is said of it anywhere.

use tern_abi::counters::LoopCounter;

use crate::fixed::FIXED;
use crate::loop_counters::{is_level, place, todo};
use crate::panel::Panel;

/// What a family is to a scraper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for a restart of what counts it.
    Counter,
    /// A level.
    Gauge,
    /// Samples in buckets.
    Histogram,
}

impl Kind {
    /// As the text formats have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Where the values of a family come from: [`crate::values`] has the code for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A word of the loop's.
    Loop(LoopCounter),
    /// One of those below.
    Other(Other),
}

/// Sources that are not simply a word of the loop's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is described by its line in fixed.rs")]
pub enum Other {
    BuildInfo,
    SegmentUp,
    ProcessUp,
    HeartbeatAge,
    Resident,
    Cpu,
    Restarts,
    GaveUp,
    HeartbeatLosses,
    FactsAge,
    SessionsEnded,
    Rescues,
    Trading,
    Killed,
    KillWords,
    HaltInfo,
    ScopeRestricted,
    AlertRaised,
    AlertDeliveries,
    Refused,
    Limit,
    LimitUsed,
    LimitUsedRatio,
    LimitReduceOnly,
    LimitsEpoch,
    Profit,
    HighWater,
    Drawdown,
    PositionShares,
    PositionWorst,
    StrategyRunning,
    SessionReady,
    CancelPending,
    StreamTrusted,
    Steer,
    Latency,
    RingUsed,
    Records,
    JournalLag,
    NotDurable,
    JournalTrouble,
    JournalHeldBack,
    CaptureShedDatagrams,
    CaptureShedBytes,
    DiskFree,
    DiskSize,
    ClockSynchronized,
    ClockOffset,
    ClockMaxError,
    ClockTaiOffset,
    AuditLag,
    SinkBehind,
    SinkRecords,
    AuditDisagreements,
    DropCopyConnected,
    DropCopyDifferences,
    DropCopyLag,
    Requests,
}

/// A family of metrics.
#[derive(Clone, Debug)]
pub struct Family {
    /// With prefix and unit, without `_total`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence.
    pub help: String,
    /// What to do about it.
    pub todo: &'static str,
    /// Where it is shown.
    pub panel: Panel,
    /// Where its values come from.
    pub source: Source,
}

impl Family {
    /// Its unit, as its name says it (OpenMetrics, `# UNIT`); empty = none.
    pub fn unit(&self) -> &'static str {
        let units = ["seconds", "bytes", "ratio"];
        units.into_iter().find(|unit| self.name.ends_with(&format!("_{unit}"))).unwrap_or("")
    }

    /// The name that its samples have in a query.
    pub fn series(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge => self.name.clone(),
            Kind::Histogram => format!("{}_bucket", self.name),
        }
    }
}

/// Every family, in the order of the panels.
pub fn families() -> Vec<Family> {
    let of_loop = LoopCounter::ALL.iter().filter(|counter| **counter != LoopCounter::HighWater).map(|counter| Family {
        name: match counter.name().strip_suffix("_ns") {
            Some(of) => format!("tern_{of}_seconds"),
            None => format!("tern_{}", counter.name()),
        },
        kind: if is_level(*counter) { Kind::Gauge } else { Kind::Counter },
        labels: &[],
        help: counter.help().replace(", ns.", ", seconds."),
        todo: todo(*counter),
        panel: place(*counter),
        source: Source::Loop(*counter),
    });
    let mut families: Vec<Family> = FIXED.iter().map(|row| row.family()).chain(of_loop).collect();
    let order = |family: &Family| Panel::ALL.iter().position(|panel| *panel == family.panel);
    families.sort_by_key(order);
    families
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_as_the_ecosystem_wants_them() {
        let families = families();
        let names: BTreeSet<&str> = families.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names.len(), families.len(), "a name is there twice");
        for family in &families {
            let name = &family.name;
            let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            assert!(plain && name.starts_with("tern_"), "{name}");
            assert!(!name.ends_with("_total") && !name.ends_with("_count"), "{name}: what the format adds");
            for scaled in ["_ns", "_us", "_ms", "_mb", "_percent", "_minutes"] {
                assert!(!name.ends_with(scaled), "{name}: base units");
            }
            assert!(family.help.ends_with('.') || family.help.ends_with("descs."), "{name}: help is a sentence");
            assert!(family.todo.len() > 10 && !family.todo.ends_with('.'), "{name}: what to do, as a clause");
            assert!(family.kind != Kind::Histogram || family.unit() == "seconds", "{name}");
        }
    }

    #[test]
    fn every_panel_has_families() {
        let families = families();
        for panel in Panel::ALL {
            assert!(families.iter().any(|family| family.panel == *panel), "{panel:?} is empty");
        }
    }
}
