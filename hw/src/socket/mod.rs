//! The kernel-socket port: the baseline, and the way in for NICs without XDP.
//!
//! One UDP socket a subscription. Datagrams go from the kernel straight into the port's buffers, behind a record like
//! the one that the XDP program writes, so that everything above reads one layout. It transmits nothing: orders go
//! over [`tcp::TcpLink`].

pub mod membership;
pub mod tcp;
mod udp;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use tern_abi::steer::{FRAME_RECORD_BYTES, FRAME_UDP, FrameRecord, STEER_VERSION};

use crate::port::{BATCH_FRAMES, Frame, FrameBatch, Port, PortFacts, PortStatistics};
use crate::sys;
use udp::Receiver;

/// One group and port to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSubscription {
    /// Destination address: a group, which is joined, or an address of this host.
    pub group: Ipv4Addr,
    /// Destination UDP port.
    pub port: u16,
    /// The stream id that the records carry.
    pub stream: u16,
    /// The line of the stream that the records carry: 0 = A, 1 = B.
    pub line: u8,
}

/// What to open, and how large.
#[derive(Clone, Debug)]
pub struct SocketPortConfig {
    /// Interface name, in the network namespace of the calling thread.
    pub interface: String,
    /// What to receive; a wait looks at 60 at most.
    pub subscriptions: Vec<SocketSubscription>,
    /// Buffers of the port.
    pub frames: u32,
    /// Bytes of a buffer, the record in front included; a longer datagram is dropped and counted.
    pub frame_size_bytes: u32,
    /// Receive buffer of each socket in the kernel, bytes.
    pub kernel_buffer_bytes: u32,
}

impl SocketPortConfig {
    /// The defaults: 1,024 buffers of 2,048 bytes, 16 MiB in the kernel for each socket.
    pub fn new(interface: impl Into<String>, subscriptions: Vec<SocketSubscription>) -> Self {
        Self {
            interface: interface.into(),
            subscriptions,
            frames: 1024,
            frame_size_bytes: 2048,
            kernel_buffer_bytes: 16 << 20,
        }
    }
}

/// Most sockets of one port: what one poll looks at, less a few descriptors of the caller's.
const SOCKETS_MAX: usize = sys::POLL_MAX - 4;

/// Why a socket port could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketOpenError {
    /// The configuration is not usable.
    #[error("socket port: {0}")]
    Config(String),
    /// The interface is not there.
    #[error("interface `{interface}`: {error}; `ip link` lists those of this network namespace")]
    Interface {
        /// The interface.
        interface: String,
        /// What the kernel reported.
        error: io::Error,
    },
    /// A socket could not be set up.
    #[error("socket for {group}:{port} on `{interface}`: {step}: {error}")]
    Socket {
        /// The interface.
        interface: String,
        /// Destination address.
        group: Ipv4Addr,
        /// Destination port.
        port: u16,
        /// What was tried.
        step: &'static str,
        /// What the kernel reported.
        error: io::Error,
    },
}

/// An open socket port.
#[derive(Debug)]
pub struct SocketPort {
    interface: String,
    /// Each with what the records of its datagrams have in common.
    sockets: Vec<(OwnedFd, FrameRecord)>,
    /// What `wait` looks at: the sockets, then the caller's descriptors.
    descriptors: Vec<RawFd>,
    receiver: Receiver,
    memory: Box<[u8]>,
    frame_size: usize,
    free: Vec<u32>,
    /// Where the next `receive` starts, so that a busy socket does not starve the others.
    next_socket: usize,
    rx_frame_count: u64,
    tx_full_count: u64,
    fallbacks: Vec<String>,
}

impl SocketPort {
    /// Opens, binds and joins all subscriptions.
    ///
    /// # Errors
    /// [`SocketOpenError`], as its texts say.
    pub fn open(config: &SocketPortConfig) -> Result<Self, SocketOpenError> {
        let frame_size = config.frame_size_bytes as usize;
        if config.subscriptions.is_empty() || config.subscriptions.len() > SOCKETS_MAX {
            let count = config.subscriptions.len();
            return Err(SocketOpenError::Config(format!("{count} subscriptions, but it takes 1 to {SOCKETS_MAX}")));
        }
        if frame_size <= FRAME_RECORD_BYTES || frame_size > usize::from(u16::MAX) || config.frames == 0 {
            return Err(SocketOpenError::Config(format!(
                "{} buffers of {frame_size} bytes: at least one is needed, of {} to {} bytes",
                config.frames,
                FRAME_RECORD_BYTES + 1,
                u16::MAX
            )));
        }
        let index = sys::interface_index(&config.interface)
            .map_err(|error| SocketOpenError::Interface { interface: config.interface.clone(), error })?;
        let mut fallbacks = Vec::new();
        let mut sockets = Vec::with_capacity(config.subscriptions.len());
        for subscription in &config.subscriptions {
            let record = FrameRecord {
                version: STEER_VERSION,
                kind: FRAME_UDP,
                stream: subscription.stream,
                line: subscription.line,
                ..FrameRecord::default()
            };
            sockets.push((open_socket(config, index, subscription, &mut fallbacks)?, record));
        }
        let mut descriptors = Vec::with_capacity(sys::POLL_MAX);
        descriptors.extend(sockets.iter().map(|(socket, _)| socket.as_raw_fd()));
        fallbacks.dedup();
        Ok(Self {
            interface: config.interface.clone(),
            sockets,
            descriptors,
            receiver: Receiver::new(),
            memory: vec![0; frame_size * config.frames as usize].into(),
            frame_size,
            free: (0..config.frames).rev().collect(),
            next_socket: 0,
            rx_frame_count: 0,
            tx_full_count: 0,
            fallbacks,
        })
    }

    /// What was asked for and not granted, each with its reason; the operator should see these.
    pub fn fallbacks(&self) -> &[String] {
        &self.fallbacks
    }

    /// Lets [`Port::wait`] return when this descriptor is readable too, a TCP connection's for instance. Returns
    /// `false` when it has no place for more. Take it back by [`SocketPort::unwatch`] before closing it.
    pub fn watch(&mut self, descriptor: &impl AsFd) -> bool {
        let fits = self.descriptors.len() < sys::POLL_MAX;
        if fits {
            self.descriptors.push(descriptor.as_fd().as_raw_fd());
        }
        fits
    }

    /// Undoes [`SocketPort::watch`].
    pub fn unwatch(&mut self, descriptor: &impl AsFd) {
        let fd = descriptor.as_fd().as_raw_fd();
        let own = self.sockets.len();
        if let Some(position) = self.descriptors[own..].iter().position(|watched| *watched == fd) {
            self.descriptors.swap_remove(own + position);
        }
    }

    /// Datagrams longer than a buffer, dropped.
    pub fn truncated(&self) -> u64 {
        self.receiver.truncated()
    }

    fn slot(&self, frame: &Frame) -> std::ops::Range<usize> {
        let start = frame.index as usize * self.frame_size;
        start..start + frame.length_bytes as usize
    }
}

impl Port for SocketPort {
    fn receive(&mut self, batch: &mut FrameBatch) -> usize {
        let mut received = 0;
        for step in 0..self.sockets.len() {
            let wanted = batch.room().min(self.free.len());
            if wanted == 0 {
                break;
            }
            let position = (self.next_socket + step) % self.sockets.len();
            let (socket, record) = &self.sockets[position];
            received += self.receiver.receive(
                socket.as_raw_fd(),
                record,
                &mut self.memory,
                self.frame_size,
                &mut self.free,
                wanted,
                batch,
            );
        }
        self.next_socket = (self.next_socket + 1) % self.sockets.len();
        self.rx_frame_count += received as u64;
        received
    }

    /// Always 0: only a system call would tell.
    fn backlog(&self) -> usize {
        0
    }

    fn bytes(&self, frame: &Frame) -> &[u8] {
        &self.memory[self.slot(frame)]
    }

    fn release(&mut self, frame: Frame) {
        self.free.push(frame.index);
    }

    /// Always `None`, counted as `tx_full`: this port transmits no frames.
    fn allocate(&mut self) -> Option<Frame> {
        self.tx_full_count += 1;
        None
    }

    fn bytes_mut<'a>(&'a mut self, frame: &'a mut Frame) -> &'a mut [u8] {
        let slot = self.slot(frame);
        &mut self.memory[slot]
    }

    /// Always refused, counted as `tx_full`: this port transmits no frames.
    fn submit(&mut self, frame: Frame, _length_bytes: usize) -> Result<(), Frame> {
        self.tx_full_count += 1;
        Err(frame)
    }

    fn kick(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, timeout_ns: u64) -> io::Result<()> {
        sys::poll_readable(&self.descriptors, timeout_ns)
    }

    fn statistics(&self) -> PortStatistics {
        PortStatistics {
            rx_frames: self.rx_frame_count,
            tx_full: self.tx_full_count,
            socket_overflow: self.sockets.iter().map(|(socket, _)| udp::drops(socket.as_raw_fd())).sum(),
            rx_dropped: self.receiver.truncated(),
            ..PortStatistics::default()
        }
    }

    fn facts(&self) -> PortFacts {
        PortFacts {
            kind: "socket",
            attach_mode: "none",
            zero_copy: false,
            interface: self.interface.clone(),
            queue: 0,
            huge_pages: false,
        }
    }
}

fn open_socket(
    config: &SocketPortConfig,
    interface_index: u32,
    subscription: &SocketSubscription,
    fallbacks: &mut Vec<String>,
) -> Result<OwnedFd, SocketOpenError> {
    let SocketSubscription { group, port, .. } = *subscription;
    let failed = |step: &'static str| {
        let interface = config.interface.clone();
        move |error| SocketOpenError::Socket { interface, group, port, step, error }
    };
    let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0).map_err(failed("opening"))?;
    let fd = socket.as_raw_fd();
    sys::set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1i32).map_err(failed("SO_REUSEADDR"))?;
    sys::set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1i32).map_err(failed("SO_TIMESTAMPNS"))?;
    let wanted = i32::try_from(config.kernel_buffer_bytes).unwrap_or(i32::MAX);
    if sys::set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, wanted).is_err() {
        // Without CAP_NET_ADMIN the kernel cuts it to net.core.rmem_max.
        sys::set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, wanted).map_err(failed("SO_RCVBUF"))?;
        let mut granted = 0i32;
        sys::option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &mut granted).map_err(failed("SO_RCVBUF"))?;
        // The kernel reports twice what it was asked for, for its own bookkeeping.
        if i64::from(granted) < 2 * i64::from(wanted) {
            fallbacks.push(format!(
                "receive buffers of {} instead of {wanted} bytes: raise net.core.rmem_max or give CAP_NET_ADMIN",
                granted / 2
            ));
        }
    }
    // Bound to the group itself, so that other groups on the same port stay out.
    sys::bind(fd, SocketAddrV4::new(group, port)).map_err(failed("binding"))?;
    if group.is_multicast() {
        sys::set_option(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0i32).map_err(failed("IP_MULTICAST_ALL"))?;
        sys::membership(fd, libc::IP_ADD_MEMBERSHIP, group, interface_index).map_err(failed("joining"))?;
    }
    Ok(socket)
}

const _: () = assert!(BATCH_FRAMES <= udp::MESSAGES, "one call fills a batch");
