//! The instance that a command is about, and what can be opened of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tern_config::facts::{DaemonFacts, DataplaneFacts, Names};
use tern_config::venue::PortSetting;
use tern_config::{Config, Feed, Paths, Port};
use tern_hw::segment::{SegmentFileError, SegmentView};

use crate::args::Which;
use crate::outcome::Failure;

/// An instance.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// Where its files are.
    pub(crate) paths: Paths,
    /// After so long without a heartbeat a process counts as stuck.
    pub(crate) heartbeat_loss_ms: u64,
    /// Its interface, where the configuration is known.
    pub(crate) interface: Option<String>,
    /// A second opinion that is behind by more is a problem.
    pub(crate) audit_lag_ms_max: u64,
    /// Its order port, where the configuration or the daemon says it.
    pub(crate) port: Option<PortSetting>,
    /// Bounds of the price and closing price of the day before, by symbol, as its configuration says; empty where that is not known.
    pub(crate) prices: BTreeMap<String, (Option<[u32; 2]>, Option<u32>)>,
    /// Its `[port]`, where the configuration is known.
    pub(crate) port_wanted: Option<Port>,
    /// Its lines of market data; empty where the configuration is not known.
    pub(crate) feeds: Vec<Feed>,
    /// Its strategies, name and id, where the configuration or the data plane says them.
    pub(crate) strategies: Vec<(String, u16)>,
}

impl Target {
    /// From `--config` or `--instance`.
    ///
    /// # Errors
    /// Exit code 2: neither is given, or the configuration is wrong.
    pub(crate) fn find(which: &Which) -> Result<Self, Failure> {
        let mut target = match (&which.config, &which.instance) {
            (Some(file), _) => {
                let config = Config::load(file).map_err(Failure::usage)?;
                let mut prices: BTreeMap<String, (Option<[u32; 2]>, Option<u32>)> =
                    config.price_bounds().into_iter().map(|(symbol, bounds)| (symbol, (Some(bounds), None))).collect();
                for (symbol, close) in config.reference.iter().flat_map(|reference| &reference.prior_close) {
                    prices.entry(symbol.clone()).or_default().1 = Some(*close);
                }
                Self {
                    prices,
                    name: config.instance.name,
                    paths: config.paths,
                    heartbeat_loss_ms: config.daemon.heartbeat_loss_ms,
                    audit_lag_ms_max: config.audit.lag_ms_max,
                    interface: Some(config.port.interface.clone()),
                    port_wanted: Some(config.port),
                    feeds: config.feed,
                    port: config.session.as_ref().map(PortSetting::of),
                    strategies: config.strategy.iter().map(|strategy| (strategy.name.clone(), strategy.id)).collect(),
                }
            }
            (None, Some(name)) => Self {
                name: name.clone(),
                paths: Paths::of(name),
                heartbeat_loss_ms: tern_config::Daemon::default().heartbeat_loss_ms,
                audit_lag_ms_max: tern_config::Audit::default().lag_ms_max,
                interface: None,
                port_wanted: None,
                feeds: Vec::new(),
                port: None,
                prices: BTreeMap::new(),
                strategies: Vec::new(),
            },
            (None, None) => return Err(Failure::usage("which instance? give --config FILE or --instance NAME")),
        };
        if target.port.is_none() {
            target.port = target.daemon_facts().port;
        }
        if target.strategies.is_empty() {
            let said = target.dataplane_facts().strategies;
            target.strategies = said.into_iter().map(|strategy| (strategy.name, strategy.id)).collect();
        }
        if let Some(journal) = &which.journal {
            target.paths.journal.clone_from(journal);
        }
        Ok(target)
    }

    /// The journal's folder, for which `--journal` alone is enough.
    ///
    /// # Errors
    /// As [`Target::find`].
    pub(crate) fn journal(which: &Which) -> Result<PathBuf, Failure> {
        match &which.journal {
            Some(folder) => Ok(folder.clone()),
            None => Self::find(which).map(|target| target.paths.journal),
        }
    }

    /// Days of the journal that are to be kept: `days`, or what the configuration says; without one, all.
    ///
    /// # Errors
    /// Exit code 2: the configuration is wrong.
    pub(crate) fn retain_days(which: &Which, days: Option<u32>) -> Result<u32, Failure> {
        match (days, &which.config) {
            (Some(days), _) => Ok(days),
            (None, Some(file)) => Ok(Config::load(file).map_err(Failure::usage)?.journal.retain_days),
            (None, None) => Ok(0),
        }
    }

    /// A look at the segment.
    ///
    /// # Errors
    /// Exit code 3 when there is none, 1 when it cannot be used.
    pub(crate) fn segment(&self) -> Result<SegmentView, Failure> {
        SegmentView::open(&self.name, self.paths.segment_file()).map_err(|error| match error {
            SegmentFileError::Absent { .. } => Failure::not_running(error),
            _ => Failure::failed(error),
        })
    }

    /// What the daemon wrote last; the default when it wrote nothing or nothing readable.
    pub(crate) fn daemon_facts(&self) -> DaemonFacts {
        tern_config::facts::read(&self.paths.daemon_facts()).unwrap_or_default().unwrap_or_default()
    }

    /// What the data plane wrote at its start.
    pub(crate) fn dataplane_facts(&self) -> DataplaneFacts {
        tern_config::facts::read(&self.paths.dataplane_facts()).unwrap_or_default().unwrap_or_default()
    }

    /// The interface that carries its orders: of the configuration, or as the data plane said at its start.
    ///
    /// # Errors
    /// Neither says it.
    pub(crate) fn interface_name(&self) -> Result<String, String> {
        let said = || self.dataplane_facts().ports.into_iter().map(|port| port.interface).next();
        self.interface.clone().or_else(said).ok_or_else(|| "no interface is known; give --config FILE".into())
    }

    /// What its numbers mean.
    pub(crate) fn names(&self) -> Names {
        self.dataplane_facts().names
    }
}
