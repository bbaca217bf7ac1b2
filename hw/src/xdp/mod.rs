//! The AF_XDP port: one queue of one interface, its rings in user space, no system call but the TX kick (and, with
//! drivers that sleep on an empty fill ring, the RX wakeup).
//!
//! The XDP program is not loaded here. Its loader pins the XSKMAP; opening the port puts the socket there, and the
//! kernel takes it out again when the socket closes.

mod inspect;
mod rings;
mod statistics;

pub use inspect::{RingLevel, SocketLook, XdpStatistic, sockets_of};
pub use statistics::StatisticsReader;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use tern_abi::steer::{ATTACH_NATIVE, FRAME_RECORD_BYTES, STEER_VERSION, SteerFacts, names};
use zerocopy::FromBytes;

use crate::port::{Frame, FrameBatch, Port, PortFacts, PortStatistics};
use crate::sys;
use rings::Rings;

/// Bytes that the kernel keeps free in front of a received frame (`XDP_PACKET_HEADROOM`).
const KERNEL_HEADROOM_BYTES: u32 = 256;
/// Ethernet header and two VLAN tags, which the MTU does not count.
const LINK_HEADER_BYTES: u32 = 14 + 2 * 4;
/// How long a queue that was just closed may take to be free again.
const BUSY_RETRY: Duration = Duration::from_secs(2);
/// Pause between two tries to bind to a busy queue.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Whether frames may go without a copy between the NIC and the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroCopy {
    /// Where the driver can; else copied, with the reason kept.
    #[default]
    Prefer,
    /// Without a copy or not at all.
    Require,
    /// Always copied.
    Never,
}

/// What to open, and how large.
#[derive(Clone, Debug)]
pub struct XdpConfig {
    /// Interface name, in the network namespace of the calling thread.
    pub interface: String,
    /// RX and TX queue index.
    pub queue: u32,
    /// Folder of the steering pins of this interface.
    pub pins_dir: PathBuf,
    /// Bytes a frame of the memory takes, 2048 or 4096.
    pub frame_size_bytes: u32,
    /// Frames for reception, which is also the size of the fill ring; a power of two.
    pub rx_frames: u32,
    /// Size of the RX ring; a power of two. Smaller than `rx_frames` loses packets as `rx_ring_full`.
    pub rx_ring: u32,
    /// Frames for transmission, which is also the size of the TX and the completion ring; a power of two.
    pub tx_frames: u32,
    /// Whether to avoid copies.
    pub zero_copy: ZeroCopy,
    /// Whether to try huge pages for the frame memory.
    pub huge_pages: bool,
}

impl XdpConfig {
    /// The defaults: rings of 32,768 (4,096 lost packets in bursts), 2,048 frames for transmission, zero-copy and huge
    /// pages where there are any.
    pub fn new(interface: impl Into<String>, queue: u32, pins_dir: impl Into<PathBuf>) -> Self {
        Self {
            interface: interface.into(),
            queue,
            pins_dir: pins_dir.into(),
            frame_size_bytes: 2048,
            rx_frames: 32_768,
            rx_ring: 32_768,
            tx_frames: 2048,
            zero_copy: ZeroCopy::default(),
            huge_pages: true,
        }
    }

    /// The longest Ethernet frame that fits with its record in front.
    pub fn frame_room_bytes(&self) -> u32 {
        self.frame_size_bytes.saturating_sub(KERNEL_HEADROOM_BYTES + FRAME_RECORD_BYTES as u32)
    }
}

/// Why a port could not be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XdpOpenError {
    /// A size in the configuration is not usable.
    #[error("AF_XDP port: {field} = {value} is not usable: {reason}")]
    Config {
        /// Field of [`XdpConfig`].
        field: &'static str,
        /// Its value.
        value: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// The interface is not there.
    #[error("interface `{interface}`: {error}; `ip link` lists those of this network namespace")]
    Interface {
        /// The interface.
        interface: String,
        /// What the kernel reported.
        error: io::Error,
    },
    /// Frames of this MTU do not fit.
    #[error(
        "interface `{interface}` has an MTU of {mtu_bytes} bytes, but frames of {frame_size_bytes} bytes hold at most \
         {mtu_bytes_max}; lower the MTU or set frame_size_bytes = 4096"
    )]
    Mtu {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu_bytes: u32,
        /// The configured frame size.
        frame_size_bytes: u32,
        /// The largest MTU that fits it.
        mtu_bytes_max: u32,
    },
    /// The steering pins are missing or another version's.
    #[error("steering pins in {}: {reason}; is ternd running with this instance?", .dir.display())]
    Pins {
        /// Folder of the pins.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The frame memory could not be made.
    #[error(
        "AF_XDP frame memory of {bytes} bytes: {error} (RLIMIT_MEMLOCK counts unless the process has CAP_IPC_LOCK)"
    )]
    Memory {
        /// Its size.
        bytes: u64,
        /// What the kernel reported.
        error: io::Error,
    },
    /// The socket could not be bound to the queue.
    #[error("AF_XDP socket on `{interface}` queue {queue}: {error}{hint}")]
    Bind {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// What the kernel reported.
        error: io::Error,
        /// What that most often means, or nothing.
        hint: &'static str,
    },
    /// The socket could not be put into the XSKMAP.
    #[error("putting the AF_XDP socket of queue {queue} into {}: {error:#}", .map.display())]
    Register {
        /// The queue.
        queue: u32,
        /// The pin of the map.
        map: PathBuf,
        /// What the kernel reported.
        error: libbpf_rs::Error,
    },
}

/// An open AF_XDP port.
#[derive(Debug)]
pub struct XdpPort {
    rings: Rings,
    facts: PortFacts,
    fallbacks: Vec<String>,
}

impl XdpPort {
    /// Opens a socket on the queue and puts it into the pinned XSKMAP: from then on frames arrive.
    ///
    /// # Errors
    /// [`XdpOpenError`], as its texts say.
    pub fn open(config: &XdpConfig) -> Result<Self, XdpOpenError> {
        check_mtu(config)?;
        let steer = read_steer_facts(&config.pins_dir)?;
        let mut fallbacks = Vec::new();
        let mut rings = open_rings(config, &mut fallbacks)?;
        let zero_copy = rings.zero_copy().map_err(|error| bind_error(config, error))?;
        if config.zero_copy == ZeroCopy::Prefer && !zero_copy && fallbacks.is_empty() {
            fallbacks.push("copies frames: the kernel did not grant zero-copy and gave no reason".into());
        }
        rings.refill();
        register(config, &rings)?;
        let facts = PortFacts {
            kind: "xdp",
            attach_mode: if steer.attach_mode == ATTACH_NATIVE { "native" } else { "generic" },
            zero_copy,
            interface: config.interface.clone(),
            queue: config.queue,
            huge_pages: rings.huge_pages(),
        };
        Ok(Self { rings, facts, fallbacks })
    }

    /// Reads the kernel's counters of this socket from any thread.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn statistics_reader(&self) -> io::Result<StatisticsReader> {
        StatisticsReader::new(self)
    }

    /// What was asked for and not granted, each with its reason; the operator should see these.
    pub fn fallbacks(&self) -> &[String] {
        &self.fallbacks
    }
}

impl Port for XdpPort {
    #[inline]
    fn receive(&mut self, batch: &mut FrameBatch) -> usize {
        self.rings.receive(batch)
    }
    #[inline]
    fn backlog(&self) -> usize {
        self.rings.backlog()
    }
    #[inline]
    fn bytes(&self, frame: &Frame) -> &[u8] {
        self.rings.bytes(frame)
    }
    #[inline]
    fn release(&mut self, frame: Frame) {
        self.rings.release(frame);
    }
    #[inline]
    fn allocate(&mut self) -> Option<Frame> {
        self.rings.allocate()
    }
    #[inline]
    fn bytes_mut<'a>(&'a mut self, frame: &'a mut Frame) -> &'a mut [u8] {
        self.rings.bytes_mut(frame)
    }
    #[inline]
    fn submit(&mut self, frame: Frame, length_bytes: usize) -> Result<(), Frame> {
        self.rings.submit(frame, length_bytes)
    }
    #[inline]
    fn kick(&mut self) -> io::Result<()> {
        self.rings.kick()
    }
    fn wait(&mut self, timeout_ns: u64) -> io::Result<()> {
        self.rings.wait(timeout_ns)
    }
    fn statistics(&self) -> PortStatistics {
        self.rings.statistics()
    }
    fn facts(&self) -> PortFacts {
        self.facts.clone()
    }
}

fn check_mtu(config: &XdpConfig) -> Result<(), XdpOpenError> {
    let mtu_bytes = sys::interface_mtu(&config.interface)
        .map_err(|error| XdpOpenError::Interface { interface: config.interface.clone(), error })?;
    let mtu_bytes_max = config.frame_room_bytes().saturating_sub(LINK_HEADER_BYTES);
    if mtu_bytes > mtu_bytes_max {
        return Err(XdpOpenError::Mtu {
            interface: config.interface.clone(),
            mtu_bytes,
            frame_size_bytes: config.frame_size_bytes,
            mtu_bytes_max,
        });
    }
    Ok(())
}

fn read_steer_facts(dir: &Path) -> Result<SteerFacts, XdpOpenError> {
    let pins = |reason| XdpOpenError::Pins { dir: dir.into(), reason };
    fs::metadata(dir).map_err(|error| pins(error.to_string()))?;
    let map = MapHandle::from_pinned_path(dir.join(names::FACTS)).map_err(|error| pins(error.to_string()))?;
    let value = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).map_err(|error| pins(error.to_string()))?;
    let facts = value.and_then(|value| SteerFacts::read_from_bytes(&value).ok()).unwrap_or_default();
    if facts.version != STEER_VERSION {
        return Err(pins(format!("layout version {}, this program knows {STEER_VERSION}", facts.version)));
    }
    Ok(facts)
}

/// Tries huge pages, then zero-copy, as asked for, each with its fallback.
fn open_rings(config: &XdpConfig, fallbacks: &mut Vec<String>) -> Result<Rings, XdpOpenError> {
    if config.zero_copy != ZeroCopy::Never {
        match bind_patiently(config, true) {
            Err(XdpOpenError::Bind { error, .. })
                if config.zero_copy == ZeroCopy::Prefer && error.raw_os_error() != Some(libc::EBUSY) =>
            {
                fallbacks.push(format!("copies frames: the driver refused zero-copy ({error})"));
            }
            Err(error) => return Err(error),
            Ok((rings, note)) => {
                fallbacks.extend(note);
                return Ok(rings);
            }
        }
    }
    let (rings, note) = bind_patiently(config, false)?;
    fallbacks.extend(note);
    Ok(rings)
}

/// Binds, trying again while the queue is busy: the kernel frees one that was just closed only after a grace period.
fn bind_patiently(config: &XdpConfig, zero_copy: bool) -> Result<(Rings, Option<String>), XdpOpenError> {
    let deadline = Instant::now() + BUSY_RETRY;
    loop {
        match Rings::open(config, zero_copy) {
            Err(XdpOpenError::Bind { error, .. })
                if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline =>
            {
                thread::sleep(BUSY_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

fn bind_error(config: &XdpConfig, error: io::Error) -> XdpOpenError {
    let hint = match error.raw_os_error() {
        Some(libc::EBUSY) => "; another socket holds the queue: is another data plane running?",
        Some(libc::EINVAL) => "; has the interface that many queues? `ethtool -l` tells",
        Some(libc::EPERM) => "; CAP_NET_RAW is needed",
        Some(libc::EOPNOTSUPP) => "; the driver has no zero-copy: set zero_copy to prefer",
        Some(libc::ENETDOWN) => "; the interface is down: `ip link set` it up",
        _ => "",
    };
    XdpOpenError::Bind { interface: config.interface.clone(), queue: config.queue, error, hint }
}

fn register(config: &XdpConfig, rings: &Rings) -> Result<(), XdpOpenError> {
    let path = config.pins_dir.join(names::SOCKETS);
    MapHandle::from_pinned_path(&path)
        .and_then(|map| map.update(&config.queue.to_ne_bytes(), &rings.raw_fd().to_ne_bytes(), MapFlags::ANY))
        .map_err(|error| XdpOpenError::Register { queue: config.queue, map: path, error })
}
