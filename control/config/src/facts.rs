//! The files in the run folder that say what an instance found and did: written whole and renamed into place by their
//! one writer, read by everybody else, and still there when the writer is dead.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::venue::PortSetting;

/// Version of the layouts here.
pub const FACTS_VERSION: u32 = 1;

/// Begins the names in the text of a start record, after the effective configuration.
const NAMES_HEADER: &str = "\n#names ";

/// A counter, a reason or a state: its name, and what it means in one sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Lower case, words joined by `_`.
    pub name: String,
    /// One sentence; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
}

impl Named {
    /// From a name and a sentence, as the counter enums have them.
    pub fn new(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name: name.into(), help: help.into() }
    }
}

/// What the numbers in records and counters mean, in index order.
///
/// The data plane writes them into its facts file and into the start record of each run: whoever reads a journal later
/// needs no build of the same age, and the control side needs nothing of core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// `RefusalRecord::reason`.
    pub refusals: Vec<Named>,
    /// `StateRecord::reason`.
    pub halts: Vec<Named>,
    /// `TrustRecord::reason`.
    pub distrusts: Vec<Named>,
    /// `OrderEventRecord::kind`.
    pub order_events: Vec<Named>,
    /// `OrderEventRecord::state`.
    pub order_states: Vec<Named>,
    /// Limits by index: `SetLimits::values`, `Command::id` of a set-limit command.
    pub limits: Vec<Named>,
}

impl Names {
    /// The text of a start record: the effective configuration, then these names.
    pub fn start_text(&self, effective_toml: &str) -> String {
        let names = serde_json::to_string(self).unwrap_or_default();
        format!("{effective_toml}{NAMES_HEADER}{names}\n")
    }

    /// The configuration and the names in the text of a start record; no names if it has none.
    pub fn split_start_text(text: &str) -> (&str, Names) {
        match text.rsplit_once(NAMES_HEADER) {
            Some((configuration, names)) => (configuration, serde_json::from_str(names).unwrap_or_default()),
            None => (text, Names::default()),
        }
    }
}

/// The name at `index`, or the index itself where the table does not have it.
pub fn name_at(table: &[Named], index: usize) -> String {
    table.get(index).map_or_else(|| index.to_string(), |named| named.name.clone())
}

/// A port as the data plane opened it, asked back from the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFact {
    /// `xdp` or `socket`.
    pub kind: String,
    /// `native`, `generic` or `none`.
    pub attach_mode: String,
    /// Whether zero-copy was granted.
    pub zero_copy: bool,
    /// Interface.
    pub interface: String,
    /// RX queue.
    pub queue: u32,
    /// Whether the frames lie on huge pages.
    pub huge_pages: bool,
}

/// A strategy that the data plane runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyFact {
    /// Its name in the registry.
    pub name: String,
    /// Its id in records.
    pub id: u16,
}

/// What a data plane has shut itself into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxFact {
    /// Version of the kernel's Landlock, by which it opens no file; absent where the kernel has none.
    pub landlock: Option<u32>,
    /// System calls that seccomp leaves it; absent where the kernel has none, and all are left.
    pub system_calls: Option<usize>,
}

impl SandboxFact {
    /// In words.
    pub fn text(&self) -> String {
        let files = self.landlock.map_or("no Landlock".into(), |version| format!("Landlock {version}: no file"));
        let calls = self.system_calls.map_or("no seccomp".into(), |count| format!("seccomp: {count} system calls"));
        format!("no capability, {files}, {calls}")
    }
}

/// `<run>/dataplane.json`, written by the data plane when it is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataplaneFacts {
    /// [`FACTS_VERSION`].
    pub version: u32,
    /// Process id.
    pub pid: u32,
    /// Milliseconds from the start of the process until it was ready.
    pub start_to_ready_ms: u64,
    /// Ports.
    pub ports: Vec<PortFact>,
    /// Whether books and orders lie on huge pages.
    pub arenas_huge_pages: bool,
    /// Core that the loop is pinned to.
    pub core: Option<u32>,
    /// Whether the loop runs under SCHED_FIFO.
    pub sched_fifo: bool,
    /// `spin` or `block`.
    pub wait: String,
    /// What it may still ask the kernel for; absent where `loop.sandbox` is off.
    pub sandbox: Option<SandboxFact>,
    /// What was asked for and not granted, each with its reason.
    pub fallbacks: Vec<String>,
    /// Venue ids that orders go to.
    pub venues: Vec<u16>,
    /// Strategies.
    pub strategies: Vec<StrategyFact>,
    /// What the numbers mean.
    pub names: Names,
}

/// The journal as the daemon sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalFacts {
    /// Records that this daemon appended.
    pub records: u64,
    /// Sequence number of the last record appended.
    pub last_seq: u64,
    /// Sequence number up to which everything is forced to the disk.
    pub durable_seq: u64,
    /// How far it is on the disk, and the chain there: noted elsewhere, it proves later that nothing before it was changed.
    pub head: Option<HeadFact>,
    /// The seal that this daemon wrote when it ended.
    pub seal: Option<PathBuf>,
    /// Why it cannot be written now; empty while all is well.
    pub trouble: String,
    /// What is deleted of it, where something is to be (`journal.retain_days`).
    pub retention: Option<RetentionFact>,
}

/// What the daemon deletes of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetentionFact {
    /// Number of the journal's first segment.
    pub first_segment: u64,
    /// Sequence number of its first record.
    pub first_seq: u64,
    /// That record's time, TAI ns.
    pub first_tai_ns: u64,
    /// Days that are to be deleted and are not, as something holds them back.
    pub held_days: u64,
    /// What does.
    pub held_by: Vec<String>,
    /// When something was deleted last, TAI ns; 0 = never.
    pub deleted_tai_ns: u64,
    /// Sequence number of the last record that was deleted.
    pub deleted_seq: u64,
    /// Why it could not be looked at or deleted; empty while all is well.
    pub trouble: String,
}

/// The head of the journal's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadFact {
    /// Number of the segment file.
    pub segment: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Records of the whole journal up to there.
    pub records: u64,
    /// Sequence number of the last of them.
    pub last_seq: u64,
    /// Its time, TAI ns.
    pub last_tai_ns: u64,
    /// SHA-256 in hexadecimal.
    pub chain: String,
}

/// A process that the daemon runs beside the data plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchedFact {
    /// Process id; 0 = none runs.
    pub pid: u32,
    /// Restarts by this daemon.
    pub restarts: u64,
    /// The restart budget is spent: it stays down.
    pub gave_up: bool,
}

/// `<run>/audit.json`, written by the second opinion several times a second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditFacts {
    /// [`FACTS_VERSION`].
    pub version: u32,
    /// Process id.
    pub pid: u32,
    /// When this was written, TAI ns.
    pub at_ns: u64,
    /// Sequence number of the last record that it has read.
    pub last_seq: u64,
    /// Age of that record while there are more; 0 at the end of the journal.
    pub lag_ms: u64,
    /// Order records that it has followed.
    pub orders: u64,
    /// Messages of the venue that it has followed.
    pub answers: u64,
    /// Disagreements that it has found.
    pub disagreements: u64,
    /// Trades that it remembers, should they be broken.
    pub trades_kept: u64,
    /// The drop copy, where there is one.
    pub drop_copy: Option<CopyFact>,
}

/// The venue's drop copy, and how it compares with the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CopyFact {
    /// Logged in.
    pub connected: bool,
    /// Logins so far.
    pub logins: u64,
    /// Number of the next message of the copy.
    pub next_seq: u64,
    /// Messages that both sides have, alike.
    pub matched: u64,
    /// Executions among them.
    pub executions: u64,
    /// Told by the copy, and not in the journal yet.
    pub waiting_here: u64,
    /// In the journal, and not told by the copy yet.
    pub waiting_there: u64,
    /// How long the oldest of these waits.
    pub lag_ms: u64,
    /// Positions of symbols that were compared, and those that differ now.
    pub positions: u64,
    /// See [`positions`](Self::positions).
    pub positions_differ: u64,
    /// Differences that are there now.
    pub differences: u64,
    /// The first of them, in words.
    pub examples: Vec<String>,
    /// Why it is not connected; empty while it is.
    pub trouble: String,
}

/// Something done by hand that waits for a second person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PendingFact {
    /// Its number, for `tern confirm`.
    pub id: u64,
    /// `order`, `cancel`, `flatten` or `adjust`.
    pub what: String,
    /// What is wanted, for people.
    pub text: String,
    /// Who asked: Unix user id.
    pub uid: u32,
    /// Why.
    pub why: String,
    /// When, TAI ns.
    pub since_ns: u64,
    /// Until when it can be confirmed, TAI ns.
    pub until_ns: u64,
    /// Who confirmed it: then it is on its way to the data plane, and waits no more.
    pub confirmed_by: Option<u32>,
}

/// What the daemon did at the venue in the place of a data plane that was gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RescueFact {
    /// When it began, TAI ns.
    pub at_ns: u64,
    /// Why.
    pub why: String,
    /// Orders that were open, as the data plane said last.
    pub open_before: u64,
    /// Orders that were open in the venue's log.
    pub open_in_log: u64,
    /// Cancels that left.
    pub cancels_sent: u64,
    /// Orders that the venue cancelled upon it.
    pub cancelled: u64,
    /// Shares that traded meanwhile.
    pub executed_shares: u64,
    /// Orders that are known to be open still.
    pub left_open: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Why it could not do all of it; empty when it did.
    pub error: String,
}

/// Something that has to be so before a data plane is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadyFact {
    /// Its name.
    pub name: String,
    /// Why it is not so; empty when it is.
    pub why: String,
}

/// `<run>/daemon.json`, written by the daemon once a second and at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DaemonFacts {
    /// [`FACTS_VERSION`].
    pub version: u32,
    /// Process id of the daemon.
    pub pid: u32,
    /// `native`, `generic`, or `none` for the socket port.
    pub attach_mode: String,
    /// Whether the XDP program asks the NIC for receive stamps.
    pub nic_stamp: bool,
    /// What was asked for and not granted, each with its reason.
    pub fallbacks: Vec<String>,
    /// What was cleared of a crashed run.
    pub leftovers: Vec<String>,
    /// What had to be so before a data plane was started, as it was when the daemon looked last: until it was so.
    pub readiness: Vec<ReadyFact>,
    /// Process id of the data plane; 0 = none runs.
    pub dataplane_pid: u32,
    /// Whether this daemon found the data plane running.
    pub adopted: bool,
    /// Restarts of the data plane by this daemon.
    pub restarts: u64,
    /// The restart budget is spent: the data plane stays down.
    pub gave_up: bool,
    /// Heartbeats lost.
    pub heartbeat_losses: u64,
    /// Venue sessions of a dead data plane that were ended from outside.
    #[serde(default)]
    pub sessions_ended: u64,
    /// The order port, as the configuration says; absent when there is none.
    pub port: Option<PortSetting>,
    /// Times that the daemon cancelled in the place of a data plane that was gone.
    pub rescues: u64,
    /// The last of them.
    pub rescue: Option<RescueFact>,
    /// The second opinion, where the daemon runs it.
    pub audit: Option<WatchedFact>,
    /// The process that answers scrapers, where there is one.
    pub metrics: Option<WatchedFact>,
    /// What clients of the control socket did wrong, by name.
    pub misdeeds: BTreeMap<String, u64>,
    /// The journal.
    pub journal: JournalFacts,
    /// Datagrams that the capture ring shed since the segment was made.
    pub shed_datagrams: u64,
    /// Their bytes.
    pub shed_bytes: u64,
    /// The kill word is set.
    pub killed: bool,
    /// The loop says that it trades.
    pub trading: bool,
    /// Why it does not, an index into [`Names::halts`].
    pub halt_reason: u32,
    /// The loop's counters by name.
    pub counters: BTreeMap<String, u64>,
    /// Refusals by name of the reason.
    pub refused: BTreeMap<String, u64>,
    /// Counters of the XDP program by name.
    pub steer: BTreeMap<String, u64>,
    /// What was asked for by hand and waits for a second person.
    pub pending: Vec<PendingFact>,
}

/// Writes `facts` to `path`, whole or not at all.
///
/// # Errors
/// What the file system reported.
pub fn write(path: &Path, facts: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(facts)?;
    text.push(b'\n');
    let fresh = path.with_extension("json.new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}

/// Reads facts from `path`; `None` when there is no such file.
///
/// # Errors
/// What the file system reported, or `InvalidData` when the file holds something else.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_start_record_comes_apart_again() {
        let names = Names { refusals: vec![Named::new("price_collar", "Too far.")], ..Names::default() };
        let text = names.start_text("[instance]\nname = \"x\"\n");
        let (configuration, read) = Names::split_start_text(&text);
        assert_eq!(configuration, "[instance]\nname = \"x\"\n");
        assert_eq!(read, names);
        assert_eq!(Names::split_start_text("a = 1").1, Names::default());
        assert_eq!(name_at(&names.refusals, 0), "price_collar");
        assert_eq!(name_at(&names.refusals, 7), "7");
    }
}
