//! Loading the program, attaching it as well as the configuration allows, and pinning its maps.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapCore, MapFlags, MapHandle, PrintLevel};
use tern_abi::steer::{
    ATTACH_GENERIC, ATTACH_NATIVE, CLOCK_MONOTONIC_OFFSET, CLOCK_TAI, STEER_VERSION, SteerFacts, names,
};
use zerocopy::IntoBytes;

use crate::error::SteerError;
use crate::skeleton::SteerSkelBuilder;
use crate::steer::{AttachPreference, ClockPreference, SteerConfig, path_step};
use crate::sys::{self, Hook};

/// `BPF_F_XDP_DEV_BOUND_ONLY`: the program is loaded for one device, whose driver answers the metadata functions.
const DEVICE_BOUND: u32 = 1 << 6;

/// Lines of libbpf's log that an error quotes.
const LOG_LINES: usize = 12;

/// A loaded object: its one program and its maps.
pub(crate) struct Loaded {
    program: OwnedFd,
    program_id: u32,
    clock: u16,
    maps: Vec<(&'static str, MapHandle)>,
}

impl Loaded {
    /// Pins the maps; the facts go in last, with the version that tells others that all is in place.
    pub(crate) fn pin(&self, dir: &Path, facts: SteerFacts) -> Result<(), SteerError> {
        for (name, map) in &self.maps {
            let path = dir.join(name);
            path_step("pinning a map as", &path, sys::pin(map.as_fd(), &path))?;
        }
        self.write_facts(facts)
    }

    fn write_facts(&self, facts: SteerFacts) -> Result<(), SteerError> {
        let Some((_, map)) = self.maps.iter().find(|(name, _)| *name == names::FACTS) else { return Ok(()) };
        map.update(&0u32.to_ne_bytes(), facts.as_bytes(), MapFlags::ANY)
            .map_err(|error| SteerError::Map { operation: "writing the steering facts".into(), error })
    }
}

/// Tries what the configuration allows, best first.
pub(crate) fn load_and_attach(
    config: &SteerConfig,
    index: u32,
) -> Result<(Loaded, OwnedFd, SteerFacts, Vec<String>), SteerError> {
    let mut fallbacks = Vec::new();
    let netns_inode = sys::netns_inode()
        .map_err(|error| SteerError::System { operation: "asking for the network namespace".into(), error })?;
    let mut facts = SteerFacts { interface_index: index, netns_inode, ..SteerFacts::default() };

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
            .map_err(|error| SteerError::System { operation: "reading CLOCK_TAI".into(), error })?;
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
    let failed = |error| SteerError::Load { interface: config.interface.clone(), error, log: log.tail() };
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
        (names::CLAIMS, handle(&skeleton.maps.queue_claims)?),
        (names::FACTS, handle(&skeleton.maps.steer_facts)?),
    ];
    let program = program
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| SteerError::System { operation: "duplicating the program's descriptor".into(), error })?;
    let program_id = sys::program_id(program.as_fd())
        .map_err(|error| SteerError::System { operation: "asking for the program's id".into(), error })?;
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
    use tern_abi::steer::{
        COUNTERS_OF_NOBODY, QueueClaim, STEER_QUEUES, SteerCounter, SubscriptionKey, SubscriptionValue,
    };

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
        let of_all_queues = |bytes| bytes * STEER_QUEUES;
        let subscription = (size_of::<SubscriptionKey>(), of_all_queues(size_of::<SubscriptionValue>()));
        assert_eq!(sizes(&open.maps.subscriptions), subscription);
        assert_eq!(sizes(&open.maps.own_addresses), (4, of_all_queues(1)));
        assert_eq!(sizes(&open.maps.sockets), (4, 4));
        assert_eq!(sizes(&open.maps.steer_counters), (4, 8 * SteerCounter::COUNT));
        assert_eq!(sizes(&open.maps.queue_claims), (4, size_of::<QueueClaim>()));
        assert_eq!(sizes(&open.maps.steer_facts), (4, size_of::<SteerFacts>()));
        for map in [open.maps.sockets.max_entries(), open.maps.queue_claims.max_entries()] {
            assert_eq!(map as usize, STEER_QUEUES);
        }
        assert_eq!(open.maps.steer_counters.max_entries(), COUNTERS_OF_NOBODY + 1);
        assert_eq!(open.maps.steer_facts.max_entries(), 1);
        for (map, name) in [
            (open.maps.subscriptions.name(), names::SUBSCRIPTIONS),
            (open.maps.own_addresses.name(), names::OWN_ADDRESSES),
            (open.maps.sockets.name(), names::SOCKETS),
            (open.maps.steer_counters.name(), names::COUNTERS),
            (open.maps.queue_claims.name(), names::CLAIMS),
            (open.maps.steer_facts.name(), names::FACTS),
            (open.progs.tern_steer.name(), names::PROGRAM),
            (open.progs.tern_steer_nic.name(), names::PROGRAM_NIC),
        ] {
            assert_eq!(map, name);
        }
    }
}
