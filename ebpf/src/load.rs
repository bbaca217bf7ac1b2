//! Loading, attaching, pinning, and undoing all of it.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use libbpf_rs::query::{LinkInfoIter, LinkTypeInfo, ProgInfoIter};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapCore, MapFlags, MapHandle, PrintLevel};
use tern_abi::steer::{
    ATTACH_GENERIC, ATTACH_NATIVE, CLOCK_MONOTONIC_OFFSET, CLOCK_TAI, STEER_VERSION, SteerFacts, names,
};
use zerocopy::IntoBytes;

use crate::bpffs::{ensure_bpffs, release_bpffs};
use crate::error::SteerError;
use crate::pins::SteerPins;
use crate::skeleton::SteerSkelBuilder;
use crate::sys::{self, Hook};

/// `BPF_F_XDP_DEV_BOUND_ONLY`: the program is loaded for one device, whose driver answers the metadata functions.
const DEVICE_BOUND: u32 = 1 << 6;

/// Lines of libbpf's log that an error quotes.
const LOG_LINES: usize = 12;

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

/// What to attach where.
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
}

impl SteerConfig {
    /// The defaults: native else generic, NIC stamps where there are any, CLOCK_TAI.
    pub fn new(interface: impl Into<String>, bpffs: impl Into<PathBuf>) -> Self {
        Self {
            interface: interface.into(),
            bpffs: bpffs.into(),
            attach: AttachPreference::default(),
            nic_stamp: true,
            clock: ClockPreference::default(),
        }
    }

    /// Where the pins of this interface lie.
    pub fn pins_dir(&self) -> PathBuf {
        self.bpffs.join(&self.interface)
    }
}

/// An attached steering program. Dropping this leaves it attached; [`Steer::detach`] takes it off.
#[derive(Debug)]
pub struct Steer {
    config: SteerConfig,
    link: OwnedFd,
    pins: SteerPins,
    fallbacks: Vec<String>,
    leftovers: Vec<String>,
}

impl Steer {
    /// Clears what a crashed run left in the pins folder, then loads, attaches and pins. The subscriptions start empty.
    ///
    /// # Errors
    /// [`SteerError::ForeignProgram`] when the interface carries a program that was not attached from these pins (it
    /// stays as it is); the others as their texts say. After an error nothing of ours stays attached or pinned.
    pub fn attach(config: &SteerConfig) -> Result<Self, SteerError> {
        let index = interface_index(config)?;
        let dir = config.pins_dir();
        ensure_bpffs(&config.bpffs)?;
        let leftovers = clear_leftovers(&dir)?;
        refuse_foreign(config, index)?;
        path_step("creating", &dir, fs::create_dir_all(&dir))?;
        let attached = load_and_attach(config, index).and_then(|(loaded, link, facts, fallbacks)| {
            loaded.pin(&dir, facts)?;
            let pin = dir.join(names::LINK);
            path_step("pinning the link as", &pin, sys::pin(link.as_fd(), &pin))?;
            Ok(Self { config: config.clone(), link, pins: SteerPins::open(&dir)?, fallbacks, leftovers })
        });
        if attached.is_err() {
            // The first error is the one to report; whatever this cannot clear, the next start does.
            let _ = clear_leftovers(&dir).and_then(|_| release_bpffs(&config.bpffs));
        }
        attached
    }

    /// Takes over a program that an earlier process attached and pinned, with its subscriptions and sockets; `None`
    /// when there is none that works (then [`Steer::attach`]).
    ///
    /// # Errors
    /// [`SteerError::NoInterface`]; [`SteerError::Path`] when the link pin cannot be opened.
    pub fn adopt(config: &SteerConfig) -> Result<Option<Self>, SteerError> {
        let index = interface_index(config)?;
        let Ok(pins) = SteerPins::open(&config.pins_dir()) else { return Ok(None) };
        if pins.facts().interface_index != index || !pins.is_attached().unwrap_or(false) {
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

    /// Detaches the program, removes the pins, and unmounts the bpffs if nothing else is pinned there.
    ///
    /// # Errors
    /// [`SteerError::Path`], naming what could not be undone.
    pub fn detach(self) -> Result<(), SteerError> {
        let dir = self.config.pins_dir();
        match sys::detach(self.link.as_fd()) {
            Ok(()) => {}
            // Already detached, by an operator or with its interface.
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
            Err(source) => return Err(SteerError::Path { operation: "detaching the link", path: dir, source }),
        }
        // The link is detached, but its pin still reads as one; closing it first lets the program go with the pin.
        drop(self.link);
        clear_leftovers(&dir)?;
        release_bpffs(&self.config.bpffs)
    }
}

fn interface_index(config: &SteerConfig) -> Result<u32, SteerError> {
    sys::interface_index(&config.interface).ok_or_else(|| SteerError::NoInterface(config.interface.clone()))
}

fn path_step<T>(operation: &'static str, path: &Path, result: io::Result<T>) -> Result<T, SteerError> {
    result.map_err(|source| SteerError::Path { operation, path: path.into(), source })
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
    let attached = sys::attached(index).map_err(|source| SteerError::System {
        operation: format!("asking which XDP programs `{}` carries", config.interface),
        source,
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

/// A loaded object: its one program and its maps.
struct Loaded {
    program: OwnedFd,
    program_id: u32,
    clock: u16,
    maps: Vec<(&'static str, MapHandle)>,
}

impl Loaded {
    /// Pins the maps; the facts go in last, with the version that tells others that all is in place.
    fn pin(&self, dir: &Path, facts: SteerFacts) -> Result<(), SteerError> {
        for (name, map) in &self.maps {
            let path = dir.join(name);
            path_step("pinning a map as", &path, sys::pin(map.as_fd(), &path))?;
        }
        self.write_facts(facts)
    }

    fn write_facts(&self, facts: SteerFacts) -> Result<(), SteerError> {
        let Some((_, map)) = self.maps.iter().find(|(name, _)| *name == names::FACTS) else { return Ok(()) };
        map.update(&0u32.to_ne_bytes(), facts.as_bytes(), MapFlags::ANY)
            .map_err(|source| SteerError::Map { operation: "writing the steering facts".into(), source })
    }
}

/// Tries what the configuration allows, best first.
fn load_and_attach(config: &SteerConfig, index: u32) -> Result<(Loaded, OwnedFd, SteerFacts, Vec<String>), SteerError> {
    let mut fallbacks = Vec::new();
    let mut facts = SteerFacts { interface_index: index, ..SteerFacts::default() };

    if config.nic_stamp && config.attach != AttachPreference::Generic {
        match load(config, Some(index)).and_then(|loaded| attach(config, loaded, Hook::Native, &mut facts)) {
            Ok((loaded, link)) => {
                facts.nic_stamp = 1;
                return Ok((loaded, link, facts, fallbacks));
            }
            Err(error) => fallbacks.push(format!("no NIC receive stamps: {error}")),
        }
    }
    if config.attach != AttachPreference::Generic {
        match attach(config, load(config, None)?, Hook::Native, &mut facts) {
            Ok((loaded, link)) => return Ok((loaded, link, facts, fallbacks)),
            Err(error) if config.attach == AttachPreference::Native => return Err(error),
            Err(error) => {
                fallbacks.push(format!("generic XDP instead of native, which copies every frame and is slow: {error}"))
            }
        }
    }
    let (loaded, link) = attach(config, load(config, None)?, Hook::Generic, &mut facts)?;
    Ok((loaded, link, facts, fallbacks))
}

fn attach(
    config: &SteerConfig,
    loaded: Loaded,
    hook: Hook,
    facts: &mut SteerFacts,
) -> Result<(Loaded, OwnedFd), SteerError> {
    facts.attach_mode = if hook == Hook::Native { ATTACH_NATIVE } else { ATTACH_GENERIC };
    facts.clock = loaded.clock;
    facts.program_id = loaded.program_id;
    if facts.clock == CLOCK_MONOTONIC_OFFSET {
        facts.tai_minus_monotonic_ns = sys::tai_minus_monotonic_ns()
            .map_err(|source| SteerError::System { operation: "reading CLOCK_TAI".into(), source })?;
        // The program needs the offset from its first frame; the version still says that pins are not ready.
        facts.version = 0;
        loaded.write_facts(*facts)?;
    }
    facts.version = STEER_VERSION;
    match sys::attach(loaded.program.as_fd(), facts.interface_index, hook) {
        Ok(link) => Ok((loaded, link)),
        Err(error) => Err(SteerError::Attach {
            interface: config.interface.clone(),
            attempts: format!("{}: {error}{}", hook.name(), hint(&error)),
        }),
    }
}

/// What an error of attaching most often means.
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => " (the driver has no native XDP)",
        Some(libc::ERANGE) => {
            " (the MTU is too large for XDP without fragments; on veth the peer's counts, 3500 at most)"
        }
        Some(libc::EBUSY | libc::EEXIST) => " (another XDP program was attached meanwhile)",
        Some(libc::EPERM) => " (CAP_NET_ADMIN and CAP_BPF are needed)",
        _ => "",
    }
}

/// Loads the device-bound program for `device`, or the plain one.
fn load(config: &SteerConfig, device: Option<u32>) -> Result<Loaded, SteerError> {
    let log = LibbpfLog::capture();
    let failed = |source| SteerError::Load { interface: config.interface.clone(), source, log: log.tail() };
    let mut storage = MaybeUninit::uninit();
    let mut open = SteerSkelBuilder::default().open(&mut storage).map_err(failed)?;
    let has_tai = config.clock == ClockPreference::Tai && sys::has_tai_helper();
    if let Some(data) = open.maps.rodata_data.as_deref_mut() {
        data.has_tai_clock = has_tai;
    }
    open.progs.tern_steer.set_autoload(device.is_none());
    open.progs.tern_steer_nic.set_autoload(device.is_some());
    if let Some(index) = device {
        open.progs.tern_steer_nic.set_ifindex(index);
        open.progs.tern_steer_nic.set_flags(DEVICE_BOUND);
    }
    let skeleton = open.load().map_err(failed)?;
    let program = if device.is_some() { &skeleton.progs.tern_steer_nic } else { &skeleton.progs.tern_steer };
    let handle = |map: &libbpf_rs::MapMut<'_>| MapHandle::try_from(map).map_err(failed);
    let maps = vec![
        (names::SUBSCRIPTIONS, handle(&skeleton.maps.subscriptions)?),
        (names::OWN_ADDRESSES, handle(&skeleton.maps.own_addresses)?),
        (names::SOCKETS, handle(&skeleton.maps.sockets)?),
        (names::COUNTERS, handle(&skeleton.maps.steer_counters)?),
        (names::FACTS, handle(&skeleton.maps.steer_facts)?),
    ];
    let program = program
        .as_fd()
        .try_clone_to_owned()
        .map_err(|source| SteerError::System { operation: "duplicating the program's descriptor".into(), source })?;
    let program_id = sys::program_id(program.as_fd())
        .map_err(|source| SteerError::System { operation: "asking for the program's id".into(), source })?;
    Ok(Loaded { program, program_id, clock: if has_tai { CLOCK_TAI } else { CLOCK_MONOTONIC_OFFSET }, maps })
}

/// libbpf tells why a load failed through a process-wide callback alone; this collects it while it lives.
struct LibbpfLog {
    previous: Option<(PrintLevel, libbpf_rs::PrintCallback)>,
}

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl LibbpfLog {
    fn capture() -> Self {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let previous = libbpf_rs::set_print(Some((PrintLevel::Warn, |_, line| {
            LOG.lock().unwrap_or_else(PoisonError::into_inner).push(line.trim_end().to_owned());
        })));
        Self { previous }
    }

    fn tail(&self) -> String {
        let lines = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(LOG_LINES)).map(|line| format!("\n  {line}")).collect()
    }
}

impl Drop for LibbpfLog {
    fn drop(&mut self) {
        libbpf_rs::set_print(self.previous);
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use libbpf_rs::AsRawLibbpf;
    use tern_abi::steer::{SteerCounter, SubscriptionKey};

    use super::*;

    /// Offsets are asserted when the program compiles; the maps' own sizes are only in the object.
    #[test]
    fn maps_have_the_sizes_of_the_abi() {
        let mut storage = MaybeUninit::uninit();
        let open = SteerSkelBuilder::default().open(&mut storage).expect("the object parses");
        let sizes = |map: &libbpf_rs::OpenMapMut<'_>| {
            let map = map.as_libbpf_object().as_ptr();
            #[allow(unsafe_code, reason = "libbpf-rs has no such accessor for a map that is not created")]
            // SAFETY: a map of the open object.
            unsafe {
                (
                    libbpf_rs::libbpf_sys::bpf_map__key_size(map) as usize,
                    libbpf_rs::libbpf_sys::bpf_map__value_size(map) as usize,
                )
            }
        };
        assert_eq!(sizes(&open.maps.subscriptions), (size_of::<SubscriptionKey>(), 4));
        assert_eq!(sizes(&open.maps.own_addresses), (4, 4));
        assert_eq!(sizes(&open.maps.sockets), (4, 4));
        assert_eq!(sizes(&open.maps.steer_counters), (4, 8));
        assert_eq!(sizes(&open.maps.steer_facts), (4, size_of::<SteerFacts>()));
        assert_eq!(open.maps.steer_counters.max_entries() as usize, SteerCounter::COUNT);
        assert_eq!(open.maps.steer_facts.max_entries(), 1);
        for (map, name) in [
            (open.maps.subscriptions.name(), names::SUBSCRIPTIONS),
            (open.maps.own_addresses.name(), names::OWN_ADDRESSES),
            (open.maps.sockets.name(), names::SOCKETS),
            (open.maps.steer_counters.name(), names::COUNTERS),
            (open.maps.steer_facts.name(), names::FACTS),
            (open.progs.tern_steer.name(), names::PROGRAM),
            (open.progs.tern_steer_nic.name(), names::PROGRAM_NIC),
        ] {
            assert_eq!(map, name);
        }
    }
}
