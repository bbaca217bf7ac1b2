//! Why trading is stopped: by whom, since when, and after how many kills. What `tern status` says and what `tern resume`
//! is about to clear are the same thing.

use serde_json::{Value, json};
use tern_abi::command::SYSTEM_UID;
use tern_abi::segment::{KillCause, KillNote, KillState, Words};
use tern_config::facts::{Named, name_at};

use crate::table::tai_time;

/// Who stopped trading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A user, by `tern kill`.
    Operator(u32),
    /// The daemon.
    Daemon,
    /// The loop by itself.
    DataPlane,
    /// The venue, on the order session.
    Venue,
    /// The venue's market data, or its absence.
    Feed,
    /// Something between us and the venue.
    Network,
}

impl By {
    pub(crate) const fn of_uid(uid: u32) -> Self {
        if uid == SYSTEM_UID { Self::Daemon } else { Self::Operator(uid) }
    }

    /// For programs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Operator(_) => "operator",
            Self::Daemon => "ternd",
            Self::DataPlane => "data_plane",
            Self::Venue => "venue",
            Self::Feed => "feed",
            Self::Network => "network",
        }
    }

    /// For people.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Operator(uid) => format!("uid {uid}"),
            Self::Daemon => "ternd".into(),
            Self::DataPlane => "the data plane".into(),
            Self::Venue => "the venue".into(),
            Self::Feed => "the feed".into(),
            Self::Network => "the network".into(),
        }
    }
}

/// Why trading is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    /// The name of the reason.
    pub(crate) reason: String,
    /// Whose doing it is.
    pub(crate) by: By,
    /// Since when, TAI ns; `None` when that is not known.
    pub(crate) since_ns: Option<u64>,
    /// Kills so far.
    pub(crate) kills: u32,
    /// What else is known; may be empty.
    pub(crate) detail: String,
}

impl Halt {
    /// Why the loop does not trade, as `words` and the kill word's `state` say; `None` when it does. `halts` are the names
    /// of the loop's reasons.
    pub(crate) fn of(words: &Words, state: KillState, halts: &[Named]) -> Option<Self> {
        let kills = state.kills();
        let (trading, reason) = words.trading.get();
        let reason = name_at(halts, reason as usize);
        // A kill that was cleared and not resumed is still why the loop has stopped.
        if state.killed() || (!trading && reason == "killed" && kills > 0) {
            let note = words.kill.note(kills);
            return Some(Self {
                reason: note.map_or(KillCause::Unknown, |note| note.cause).name().into(),
                by: By::of_uid(state.uid()),
                since_ns: note.map(|note| note.tai_ns),
                kills,
                detail: String::new(),
            });
        }
        let since_ns = Some(words.trading.since_ns()).filter(|ns| *ns != 0);
        (!trading).then_some(Self { reason, by: By::DataPlane, since_ns, kills, detail: String::new() })
    }

    /// The data plane does not run, or is stuck.
    pub(crate) fn of_process(runs: bool, kills: u32) -> Self {
        let reason = if runs { "stuck" } else { "not_running" }.into();
        Self { reason, by: By::DataPlane, since_ns: None, kills, detail: String::new() }
    }

    /// For people, in one line.
    pub(crate) fn text(&self) -> String {
        let kills = if self.kills == 1 { "1 kill".into() } else { format!("{} kills", self.kills) };
        let detail = if self.detail.is_empty() { String::new() } else { format!(" ({})", self.detail) };
        format!("{}{detail} by {}{} ({kills} so far)", self.reason, self.by.text(), since(self.since_ns))
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let uid = if let By::Operator(uid) = self.by { Some(uid) } else { None };
        json!({ "reason": self.reason, "by": self.by.name(), "uid": uid, "since_ns": self.since_ns, "kills": self.kills,
            "detail": self.detail })
    }
}

/// ` since` and the time, if it is known.
pub(crate) fn since(since_ns: Option<u64>) -> String {
    since_ns.map_or_else(String::new, |ns| format!(" since {}", tai_time(ns)))
}

/// The kills after the first `seen` that are still remembered, oldest first.
pub(crate) fn kills_since(words: &Words, seen: u32) -> Vec<KillNote> {
    let kills = words.kill.state().kills();
    let oldest = seen.max(kills.saturating_sub(8));
    (oldest..kills).filter_map(|before| words.kill.note(before + 1)).collect()
}

/// A kill for people.
pub(crate) fn kill_text(note: &KillNote) -> String {
    format!(
        "kill {} at {} by {} ({})",
        note.kills,
        tai_time(note.tai_ns),
        By::of_uid(note.uid).text(),
        note.cause.name()
    )
}

/// A kill for programs.
pub(crate) fn kill_json(note: &KillNote) -> Value {
    let by = By::of_uid(note.uid);
    let uid = if let By::Operator(uid) = by { Some(uid) } else { None };
    json!({ "kills": note.kills, "reason": note.cause.name(), "by": by.name(), "uid": uid, "at_ns": note.tai_ns })
}
