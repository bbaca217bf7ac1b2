//! `[drop_copy]` and `[audit]`: those who look on.

use std::net::SocketAddrV4;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::types::Config;

/// `[drop_copy]`: read by the second opinion and held against the journal all day.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropCopy {
    /// Where it is read.
    pub address: SocketAddrV4,
    /// User.
    pub user: String,
    /// Password; filled from `password_file` where that is given.
    #[serde(default)]
    pub password: Secret,
    /// File whose first line is the password; relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Trading stops when a difference is older than that.
    #[serde(default = "deadline_ms")]
    pub deadline_ms: u64,
    /// Pause before connecting again.
    #[serde(default = "crate::types::reconnect_ms")]
    pub reconnect_ms: u64,
}

const fn deadline_ms() -> u64 {
    5000
}

/// `[audit]`: the second opinion.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Whether the daemon runs it. It does so in any case where there is a drop copy.
    pub live: bool,
    /// Behind the journal by more than that, it is a problem; not getting on meanwhile, it is ended and started again.
    pub lag_ms_max: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self { live: false, lag_ms_max: 5000 }
    }
}

impl Config {
    /// Whether the daemon runs the second opinion.
    pub const fn runs_audit(&self) -> bool {
        self.audit.live || self.drop_copy.is_some()
    }
}
