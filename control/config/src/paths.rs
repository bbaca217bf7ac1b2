//! `[paths]`: where the files of an instance are.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::AUTO;

/// `[paths]`; empty paths are filled from the instance's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Paths {
    /// The shared segment: a file on tmpfs or hugetlbfs, or `auto`; see [`Paths::segment_file`].
    pub segment: PathBuf,
    /// Folder of the journal's files.
    pub journal: PathBuf,
    /// Folder of the control socket and the pid files.
    pub run: PathBuf,
    /// Where a bpffs is or gets mounted, with the pins of the XDP programs; by default `bpf` beside the run folder. Instances on one
    /// interface share its program and have this in common.
    pub bpf: PathBuf,
}

impl Paths {
    /// The paths of an instance whose configuration names none.
    pub fn of(instance: &str) -> Self {
        Self {
            segment: AUTO.into(),
            journal: format!("/var/lib/tern/{instance}/journal").into(),
            run: format!("/run/tern/{instance}").into(),
            bpf: "/run/tern/bpf".into(),
        }
    }

    /// Fills what is empty: the bpffs lies beside the run folder, wherever that is.
    pub(crate) fn fill(&mut self, instance: &str) {
        let defaults = Self::of(instance);
        for (path, default) in [
            (&mut self.segment, defaults.segment),
            (&mut self.journal, defaults.journal),
            (&mut self.run, defaults.run),
        ] {
            if path.as_os_str().is_empty() {
                *path = default;
            }
        }
        if self.bpf.as_os_str().is_empty() {
            self.bpf = self.run.with_file_name("bpf");
        }
    }

    /// Where the pins of an interface are.
    pub fn pins(&self, interface: &str) -> PathBuf {
        self.bpf.join(interface)
    }

    /// The segment's file; `None` = on hugetlbfs where one is mounted with enough free pages, else in `/dev/shm`.
    pub fn segment_file(&self) -> Option<&Path> {
        (self.segment != Path::new(AUTO)).then_some(&self.segment)
    }
    /// The daemon's control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.run.join("tern.sock")
    }
    /// Pid file of the daemon.
    pub fn daemon_pid(&self) -> PathBuf {
        self.run.join("ternd.pid")
    }
    /// Pid file of the data plane, kept by the daemon. The data plane outlives a daemon that dies: this is how a script
    /// finds it then.
    pub fn dataplane_pid(&self) -> PathBuf {
        self.run.join("dataplane.pid")
    }
    /// What the data plane printed.
    pub fn dataplane_log(&self) -> PathBuf {
        self.run.join("dataplane.log")
    }
    /// What the data plane found at start: [`crate::facts::DataplaneFacts`] as JSON, written by it.
    pub fn dataplane_facts(&self) -> PathBuf {
        self.run.join("dataplane.json")
    }
    /// What the second opinion follows: [`crate::facts::AuditFacts`] as JSON, written by it.
    pub fn audit_facts(&self) -> PathBuf {
        self.run.join("audit.json")
    }
    /// What the second opinion printed.
    pub fn audit_log(&self) -> PathBuf {
        self.run.join("audit.log")
    }
    /// What is raised, and what was: [`crate::alerts::AlertsFacts`] as JSON, written by the daemon.
    pub fn alerts_facts(&self) -> PathBuf {
        self.run.join("alerts.json")
    }
    /// How long the stages of the loop took: [`crate::latency::LatencyFacts`] as JSON, written by the daemon.
    pub fn latency_facts(&self) -> PathBuf {
        self.run.join("latency.json")
    }
    /// Pid file of the process that answers scrapers, kept by it.
    pub fn metrics_pid(&self) -> PathBuf {
        self.run.join("metrics.pid")
    }
    /// What it printed.
    pub fn metrics_log(&self) -> PathBuf {
        self.run.join("metrics.log")
    }
    /// What the daemon found and did: [`crate::facts::DaemonFacts`] as JSON, written by it.
    pub fn daemon_facts(&self) -> PathBuf {
        self.run.join("daemon.json")
    }
}
