//! The steering program of an interface and the instances that share it: whoever comes first attaches it, the others join, and the
//! last one to leave takes it off. What crashed instances left is cleared on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::query::{LinkInfoIter, LinkTypeInfo, ProgInfoIter};
use tern_abi::steer::{ATTACH_NATIVE, STEER_QUEUES, names};

use crate::bpffs::{ensure_bpffs, release_bpffs};
use crate::claims::Claims;
use crate::error::SteerError;
use crate::load::load_and_attach;
use crate::lock::SteerLock;
use crate::pins::SteerPins;
use crate::sys::{self, Hook};

/// Which hook to attach to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachPreference {
    /// The driver's, else the stack's with the reason kept.
    #[default]
    NativeElseGeneric,
    /// The driver's or none.
    Native,
    /// The stack's: slow, for tests and for drivers that attach but misbehave.
    Generic,
}

/// Which clock stamps arrivals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockPreference {
    /// CLOCK_TAI where the kernel has the helper (6.1 and newer), else CLOCK_MONOTONIC plus an offset.
    #[default]
    Tai,
    /// CLOCK_MONOTONIC plus an offset taken at load, which goes stale when the clock is stepped.
    MonotonicOffset,
}

/// What to attach where, and for whom.
#[derive(Clone, Debug)]
pub struct SteerConfig {
    /// Interface name, in the network namespace of the calling thread.
    pub interface: String,
    /// Folder that is or becomes a bpffs; the pins lie in a folder of it named after the interface.
    pub bpffs: PathBuf,
    /// Which hook.
    pub attach: AttachPreference,
    /// Whether to try the program that asks the NIC for receive stamps.
    pub nic_stamp: bool,
    /// Which clock.
    pub clock: ClockPreference,
    /// The queues that are the caller's.
    pub queues: Vec<u32>,
    /// What tells the caller from others on this interface: its run folder.
    pub owner: PathBuf,
    /// Whether the instance of an owner lives, its data plane included. What one that does not live left is cleared.
    pub lives: fn(&Path) -> bool,
}

impl SteerConfig {
    /// The defaults: native else generic, NIC stamps where there are any, CLOCK_TAI; queue 0, for an owner without a name, whom nobody
    /// shares the interface with.
    pub fn new(interface: impl Into<String>, bpffs: impl Into<PathBuf>) -> Self {
        Self {
            interface: interface.into(),
            bpffs: bpffs.into(),
            attach: AttachPreference::default(),
            nic_stamp: true,
            clock: ClockPreference::default(),
            queues: vec![0],
            owner: "?".into(),
            lives: |_| false,
        }
    }

    /// Where the pins of this interface lie.
    pub fn pins_dir(&self) -> PathBuf {
        self.bpffs.join(&self.interface)
    }
}

/// An attached steering program, or the part of it that is one instance's. Dropping this leaves it attached; [`Steer::detach`] takes
/// it off.
#[derive(Debug)]
pub struct Steer {
    config: SteerConfig,
    link: OwnedFd,
    pins: SteerPins,
    fallbacks: Vec<String>,
    leftovers: Vec<String>,
}

/// What is pinned for an interface.
enum Found {
    /// Nothing, or what nobody alive uses.
    Leftovers,
    /// A program that other instances use, whose queues these are; the dead have some, too.
    Shared(BTreeMap<u32, PathBuf>),
}

impl Steer {
    /// Joins the program that other instances have on the interface. Where none does: clears what a crashed run left in the pins
    /// folder, then loads, attaches and pins. The subscriptions start empty.
    ///
    /// # Errors
    /// [`SteerError::Taken`] when a queue is another instance's, [`SteerError::Unfit`] when the program of the others is not what is
    /// wanted, [`SteerError::ForeignProgram`] when the interface carries a program that was not attached from these pins (it
    /// stays as it is); the others as their texts say. After an error nothing of ours stays attached or pinned.
    pub fn attach(config: &SteerConfig) -> Result<Self, SteerError> {
        let index = interface_index(config)?;
        if let Some(queue) = config.queues.iter().copied().find(|queue| *queue as usize >= STEER_QUEUES) {
            return Err(SteerError::Queue { interface: config.interface.clone(), queue });
        }
        let _lock = SteerLock::take(&config.bpffs)?;
        ensure_bpffs(&config.bpffs)?;
        let attached = find(config).and_then(|found| match found {
            Found::Shared(owners) => Self::join(config, index, &owners),
            Found::Leftovers => Self::begin(config, index),
        });
        if attached.is_err() {
            // The first error is the one to report. What others have pinned keeps it mounted.
            let _ = release_bpffs(&config.bpffs);
        }
        attached
    }

    fn begin(config: &SteerConfig, index: u32) -> Result<Self, SteerError> {
        let dir = config.pins_dir();
        let leftovers = clear_leftovers(&dir)?;
        refuse_foreign(config, index)?;
        path_step("creating", &dir, fs::create_dir_all(&dir))?;
        let attached = load_and_attach(config, index).and_then(|(loaded, link, facts, fallbacks)| {
            loaded.pin(&dir, facts)?;
            let pin = dir.join(names::LINK);
            path_step("pinning the link as", &pin, sys::pin(link.as_fd(), &pin))?;
            let pins = SteerPins::open(&dir, &config.queues)?;
            pins.claim(&config.owner)?;
            Ok(Self { config: config.clone(), link, pins, fallbacks, leftovers })
        });
        if attached.is_err() {
            // The first error is the one to report; whatever this cannot clear, the next start does.
            let _ = clear_leftovers(&dir);
        }
        attached
    }

    fn join(config: &SteerConfig, index: u32, owners: &BTreeMap<u32, PathBuf>) -> Result<Self, SteerError> {
        let dir = config.pins_dir();
        let others: BTreeSet<&PathBuf> = owners.values().filter(|owner| lives(config, owner)).collect();
        let unfit = |why: &str| SteerError::Unfit {
            interface: config.interface.clone(),
            why: why.into(),
            holders: others.iter().map(|owner| owner.display().to_string()).collect::<Vec<_>>().join(", "),
        };
        let pins = match SteerPins::open(&dir, &config.queues) {
            Err(SteerError::Version { found, expected, .. }) => {
                return Err(unfit(&format!("its pins have layout version {found}, this release knows {expected}")));
            }
            pins => pins?,
        };
        if pins.facts().netns_inode != sys::netns_inode().unwrap_or(0) {
            return Err(unfit(
                "it is on an interface of the same name in another network namespace; or name another `paths.bpf`",
            ));
        }
        if pins.facts().interface_index != index || !pins.is_attached()? {
            return Err(unfit("it was detached from the interface, or the interface was made anew"));
        }
        let is_native = pins.facts().attach_mode == ATTACH_NATIVE;
        let mut fallbacks = Vec::new();
        match (config.attach, is_native) {
            (AttachPreference::Native, false) => return Err(unfit("it is attached generic, and native is asked for")),
            (AttachPreference::Generic, true) => return Err(unfit("it is attached native, and generic is asked for")),
            (AttachPreference::NativeElseGeneric, false) => {
                fallbacks.push("generic XDP instead of native, as whoever came first attached it".into());
            }
            _ => {}
        }
        if config.nic_stamp && config.attach != AttachPreference::Generic && pins.facts().nic_stamp == 0 {
            fallbacks.push("no NIC receive stamps: whoever came first attached the program without".into());
        }
        let link = dir.join(names::LINK);
        let link = path_step("opening", &link, sys::open_pin(&link))?;
        let mut leftovers = Vec::new();
        for (queue, owner) in owners.iter().filter(|(_, owner)| !lives(config, owner)) {
            if !config.queues.contains(queue) {
                pins.clear(&[*queue])?;
            }
            leftovers.push(format!("cleared queue {queue} of {}, which is gone", owner.display()));
        }
        if let Err(error) = pins.claim(&config.owner) {
            // The first error is the one to report; whatever this cannot clear, the next start does.
            let _ = pins.clear(&config.queues);
            return Err(error);
        }
        Ok(Self { config: config.clone(), link, pins, fallbacks, leftovers })
    }

    /// Takes over the program that an earlier process of the same owner attached or joined, with its subscriptions and sockets;
    /// `None` when there is none that works (then [`Steer::attach`]).
    ///
    /// # Errors
    /// [`SteerError::NoInterface`]; [`SteerError::Path`] when the link pin cannot be opened; [`SteerError::Map`].
    pub fn adopt(config: &SteerConfig) -> Result<Option<Self>, SteerError> {
        let index = interface_index(config)?;
        let _lock = SteerLock::take(&config.bpffs)?;
        let Ok(pins) = SteerPins::open(&config.pins_dir(), &config.queues) else { return Ok(None) };
        if pins.facts().interface_index != index || !pins.is_attached().unwrap_or(false) {
            return Ok(None);
        }
        let owners = pins.claims()?;
        if config.queues.iter().any(|queue| owners.get(queue) != Some(&config.owner)) {
            return Ok(None);
        }
        let pin = config.pins_dir().join(names::LINK);
        let link = path_step("opening", &pin, sys::open_pin(&pin))?;
        Ok(Some(Self { config: config.clone(), link, pins, fallbacks: Vec::new(), leftovers: Vec::new() }))
    }

    /// The maps.
    pub fn pins(&self) -> &SteerPins {
        &self.pins
    }

    /// What was asked for and not granted, each with its reason; the operator should see these.
    pub fn fallbacks(&self) -> &[String] {
        &self.fallbacks
    }

    /// What was cleared of a crashed run before attaching.
    pub fn leftovers(&self) -> &[String] {
        &self.leftovers
    }

    /// `"native"` or `"generic"`.
    pub fn attach_mode(&self) -> &'static str {
        if self.pins.facts().attach_mode == ATTACH_NATIVE { Hook::Native.name() } else { Hook::Generic.name() }
    }

    /// Whether the program asks the NIC for stamps (records may still carry none).
    pub fn nic_stamp(&self) -> bool {
        self.pins.facts().nic_stamp != 0
    }

    /// Takes what is ours out of the maps. Where no other instance uses the program it is detached, the pins are removed, and the
    /// bpffs is unmounted if nothing else is pinned there.
    ///
    /// # Errors
    /// [`SteerError::Path`] and [`SteerError::Map`], naming what could not be undone.
    pub fn detach(self) -> Result<(), SteerError> {
        let _lock = SteerLock::take(&self.config.bpffs)?;
        let owners = self.pins.claims()?;
        if owners.values().any(|owner| lives(&self.config, owner)) {
            let left = owners.iter().filter(|(_, owner)| !lives(&self.config, owner)).map(|(queue, _)| *queue);
            return self.pins.clear(&left.collect::<Vec<_>>());
        }
        let dir = self.config.pins_dir();
        match sys::detach(self.link.as_fd()) {
            Ok(()) => {}
            // Already detached, by an operator or with its interface.
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
            Err(error) => return Err(SteerError::Path { operation: "detaching the link", path: dir, error }),
        }
        // The link is detached, but its pin still reads as one; closing it first lets the program go with the pin.
        drop(self.link);
        clear_leftovers(&dir)?;
        release_bpffs(&self.config.bpffs)
    }
}

/// Whether an owner is another instance, and lives: what is ours was left by a run of ours that ended.
fn lives(config: &SteerConfig, owner: &Path) -> bool {
    owner != config.owner && (config.lives)(owner)
}

/// Looks for other instances on the interface.
///
/// # Errors
/// [`SteerError::Taken`].
fn find(config: &SteerConfig) -> Result<Found, SteerError> {
    // Pins without claims are those of a run that died while it attached.
    let Ok(claims) = Claims::open(&config.pins_dir()) else { return Ok(Found::Leftovers) };
    let owners = claims.all()?;
    let taken = owners.iter().find(|(queue, owner)| config.queues.contains(queue) && lives(config, owner));
    match taken {
        Some((queue, owner)) => {
            Err(SteerError::Taken { interface: config.interface.clone(), queue: *queue, holder: owner.clone() })
        }
        None if owners.values().any(|owner| lives(config, owner)) => Ok(Found::Shared(owners)),
        None => Ok(Found::Leftovers),
    }
}

fn interface_index(config: &SteerConfig) -> Result<u32, SteerError> {
    sys::interface_index(&config.interface).ok_or_else(|| SteerError::NoInterface(config.interface.clone()))
}

pub(crate) fn path_step<T>(operation: &'static str, path: &Path, result: io::Result<T>) -> Result<T, SteerError> {
    result.map_err(|error| SteerError::Path { operation, path: path.into(), error })
}

/// Detaches and removes what lies in `dir`; says what it found.
fn clear_leftovers(dir: &Path) -> Result<Vec<String>, SteerError> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => path_step("listing", dir, entries)?,
    };
    for entry in entries {
        let path = path_step("listing", dir, entry)?.path();
        if path.file_name().is_some_and(|name| name == names::LINK) {
            let link = path_step("opening", &path, sys::open_pin(&path))?;
            if path_step("reading", &path, sys::link_interface(link.as_fd()))? != 0 {
                path_step("detaching the program of", &path, sys::detach(link.as_fd()))?;
                found.push(format!("detached the program that {} kept attached", path.display()));
            }
        }
        path_step("removing", &path, fs::remove_file(&path))?;
        found.push(format!("removed the pin {}", path.display()));
    }
    path_step("removing", dir, fs::remove_dir(dir))?;
    Ok(found)
}

/// An error if any XDP program is attached: ours are gone by now.
fn refuse_foreign(config: &SteerConfig, index: u32) -> Result<(), SteerError> {
    let attached = sys::attached(index).map_err(|error| SteerError::System {
        operation: format!("asking which XDP programs `{}` carries", config.interface),
        error,
    })?;
    let (program_id, mode, keyword) = match attached {
        sys::Attached { native: 0, generic: 0, offloaded: 0 } => return Ok(()),
        sys::Attached { native: 0, generic: 0, offloaded } => (offloaded, "offloaded", "xdpoffload"),
        sys::Attached { native: 0, generic, .. } => (generic, "generic", "xdpgeneric"),
        sys::Attached { native, .. } => (native, "native", "xdpdrv"),
    };
    let program = ProgInfoIter::default().find(|program| program.id == program_id);
    let link = LinkInfoIter::default().find(|link| {
        link.prog_id == program_id && matches!(&link.info, LinkTypeInfo::Xdp(xdp) if xdp.ifindex == index)
    });
    Err(SteerError::ForeignProgram {
        interface: config.interface.clone(),
        program: program.map_or_else(|| "?".into(), |program| program.name.to_string_lossy().into_owned()),
        program_id,
        mode,
        pins: config.pins_dir(),
        remedy: match link {
            Some(link) => format!("bpftool link detach id {}", link.id),
            None => format!("ip link set dev {} {keyword} off", config.interface),
        },
    })
}
