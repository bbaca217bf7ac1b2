//! The XDP program: attached for the data plane, or joined where another instance has it on the interface; adopted after a daemon's
//! death, left or detached at the end.

use tern_config::{Attach, Config, PortKind};
use tern_ebpf::{AttachPreference, Steer, SteerConfig, SteerError, Subscription};

use crate::claims;
use crate::shared::Shared;

/// The XDP program of the instance; nothing for the socket port.
pub(crate) struct Steering<'a> {
    config: &'a Config,
    steer: Option<Steer>,
}

impl<'a> Steering<'a> {
    /// Attaches the program, or takes over the one that feeds a data plane which runs.
    pub(crate) fn set_up(config: &'a Config, data_plane_runs: bool, shared: &Shared<'_>) -> Result<Self, SteerError> {
        if config.port.kind != PortKind::Xdp {
            return Ok(Self { config, steer: None });
        }
        let wanted = SteerConfig {
            attach: match config.port.attach {
                Attach::Auto => AttachPreference::NativeElseGeneric,
                Attach::Native => AttachPreference::Native,
                Attach::Generic => AttachPreference::Generic,
            },
            queues: config.port.queues.clone(),
            owner: config.paths.run.clone(),
            lives: claims::lives,
            ..SteerConfig::new(&config.port.interface, &config.paths.bpf)
        };
        let adopted = if data_plane_runs { Steer::adopt(&wanted)? } else { None };
        if data_plane_runs && adopted.is_none() {
            tracing::warn!(
                "the XDP program of the running data plane is gone: attaching it anew; it must be restarted"
            );
        }
        let steer = match adopted {
            Some(steer) => steer,
            None => Steer::attach(&wanted)?,
        };
        for fallback in steer.fallbacks() {
            tracing::warn!("{fallback}");
        }
        tracing::info!(interface = %config.port.interface, mode = steer.attach_mode(), nic_stamp = steer.nic_stamp(), "XDP");
        shared.update(|facts| {
            facts.attach_mode = steer.attach_mode().into();
            facts.nic_stamp = steer.nic_stamp();
            facts.fallbacks.extend(steer.fallbacks().iter().cloned());
            facts.leftovers.extend(steer.leftovers().iter().cloned());
        });
        let steering = Self { config, steer: Some(steer) };
        match steering.subscribe() {
            Ok(()) => Ok(steering),
            Err(error) => {
                // The first error is the one to report; the next start clears what this cannot.
                let _ = steering.tear_down();
                Err(error)
            }
        }
    }

    /// Makes the maps say what the configuration says: subscriptions of both lines, and our own address.
    fn subscribe(&self) -> Result<(), SteerError> {
        let Some(steer) = &self.steer else { return Ok(()) };
        let wanted: Vec<Subscription> = (self.config.feed.iter())
            .map(|feed| Subscription {
                group: feed.group,
                port: feed.port,
                stream: feed.stream,
                line: feed.line.index(),
            })
            .collect();
        for old in steer.pins().subscriptions()? {
            if !wanted.iter().any(|new| (new.group, new.port) == (old.group, old.port)) {
                steer.pins().unsubscribe(old.group, old.port)?;
            }
        }
        for subscription in wanted {
            steer.pins().subscribe(subscription)?;
        }
        match self.config.port.address {
            Some(own) => steer.pins().add_address(own.address),
            None => Ok(()),
        }
    }

    /// Takes the program's counters into the facts.
    pub(crate) fn count(&self, shared: &Shared<'_>) {
        let Some(steer) = &self.steer else { return };
        match steer.pins().counters() {
            Ok(counts) => shared.update(|facts| {
                facts.steer = counts.iter().map(|(counter, value)| (counter.name().into(), value)).collect();
            }),
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Detaches and unpins.
    pub(crate) fn tear_down(self) -> Result<(), SteerError> {
        self.steer.map_or(Ok(()), Steer::detach)
    }
}
