//! The sections of the file that are about running an instance: who may do what, supervision, alerts, the journal. What each
//! key means and what is right for it stands in [`crate::fields`].

use std::net::SocketAddrV4;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A command that a second person can be asked to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confirmed {
    /// `tern resume`, with `--scope` and without.
    Resume,
    /// `tern recover --accept`.
    Accept,
    /// `tern order send`: by `tern confirm`, as those below.
    Order,
    /// `tern order cancel`.
    Cancel,
    /// `tern flatten`.
    Flatten,
    /// `tern positions adjust`.
    Adjust,
}

/// The strategy that orders of people belong to: `[[strategy]]` with this name.
pub const MANUAL: &str = "manual";

/// `[roles]`: Unix groups of this host. Nobody's role is asked for a kill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// Group whose members may tighten limits, resume, cancel all and trade by hand; empty = whoever reaches the control socket.
    pub operator: String,
    /// Group whose members may also loosen limits, resume after a loss, accept differences and adjust positions; empty = root alone.
    pub risk_officer: String,
    /// Whether root is a risk officer too.
    pub root_is_risk_officer: bool,
    /// Commands that another user has to ask for as well, or to confirm.
    pub second_person: Vec<Confirmed>,
    /// Within so long.
    pub second_person_s: u64,
}

impl Default for Roles {
    fn default() -> Self {
        Self {
            operator: String::new(),
            risk_officer: String::new(),
            root_is_risk_officer: true,
            second_person: Vec::new(),
            second_person_s: 120,
        }
    }
}

/// What the daemon does when the data plane's heartbeat stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeartbeatLoss {
    /// Says so and sets the kill word.
    Halt,
    /// Also ends the process and starts it again.
    Restart,
}

/// `[daemon]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Daemon {
    /// The data plane counts as stuck after so long without a heartbeat.
    pub heartbeat_loss_ms: u64,
    /// What then.
    pub on_heartbeat_loss: HeartbeatLoss,
    /// The venue's session of a stuck data plane is ended from outside so long after that.
    pub stuck_session_ms: u64,
    /// The data plane sends nothing but cancels after so long without a heartbeat of the daemon; 0 = it trades on.
    pub silence_ms: u64,
    /// It stops trading and cancels every order after so long, until an operator resumes; 0 = it does not.
    pub silence_halt_ms: u64,
    /// First pause before a restart; doubles with each further one.
    pub restart_pause_ms: u64,
    /// Restarts allowed in `restart_window_s`; one more and the data plane stays down.
    pub restarts_max: u32,
    /// Window of the restart budget.
    pub restart_window_s: u64,
    /// How long a graceful shutdown of the data plane may take.
    pub shutdown_ms: u64,
    /// How long the daemon tries to cancel what a dead data plane left open, where the port does not cancel on disconnect.
    pub rescue_ms: u64,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            heartbeat_loss_ms: 1000,
            on_heartbeat_loss: HeartbeatLoss::Halt,
            stuck_session_ms: 1000,
            silence_ms: 2000,
            silence_halt_ms: 30_000,
            restart_pause_ms: 200,
            restarts_max: 5,
            restart_window_s: 60,
            shutdown_ms: 3000,
            rescue_ms: 10_000,
        }
    }
}

/// `[alerts]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// Program and arguments that are started for each alert, which stands as JSON on their standard input; empty = none.
    pub command: Vec<String>,
    /// How long the command may take.
    pub timeout_ms: u64,
    /// Further tries when it fails or takes too long.
    pub retries: u32,
    /// Use of a limit from which on it is an alert, percent.
    pub limit_percent: u32,
    /// Refusals of the gate in a second above which they are an alert. Two strategies that the gate keeps from trading with one another,
    /// as in the demo, have 2,500 in an ordinary second of 20,000 messages; one that asks in vain at every message has all of them.
    pub refusals_per_second: u32,
    /// Room on the journal's disk below which it is an alert, MiB.
    pub disk_free_mb: u64,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            timeout_ms: 2000,
            retries: 3,
            limit_percent: 80,
            refusals_per_second: 5000,
            disk_free_mb: 1024,
        }
    }
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Where scrapers are answered, on the loopback interface; absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddrV4>,
    /// A page for people at `/` there, read-only: positions, feeds, latency, alerts.
    pub page: bool,
}

/// When the journal is forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// After each batch that the daemon took from the rings.
    Batch,
    /// Every `fsync_ms`.
    Interval,
    /// By the kernel, when it likes. Survives the death of processes, not of the host.
    Off,
}

/// `[journal]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Size at which a new file is begun.
    pub segment_bytes: u64,
    /// When it is forced to the disk.
    pub fsync: Fsync,
    /// The interval for `fsync = "interval"`.
    pub fsync_ms: u64,
    /// Whether segments of days before the last one are compressed.
    pub compress: bool,
    /// Days that are kept, beside the open one: those before are deleted, whole and oldest first, once each is sealed and every
    /// follower is past it (`tern journal retention`). 0 keeps everything. Trading days that the journal has count, not those of a
    /// calendar.
    pub retain_days: u32,
}

impl Default for Journal {
    fn default() -> Self {
        Self { segment_bytes: 1 << 28, fsync: Fsync::Interval, fsync_ms: 100, compress: true, retain_days: 0 }
    }
}
