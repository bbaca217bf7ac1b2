//! The connection object is made: all memory that it will ever have.

use super::super::device::{FRAME_BYTES_MAX, WireState, capabilities};
use super::super::mirror::Mirror;
use super::{BypassConfig, BypassTcp, Phase};
use smoltcp::iface::{Config, Interface, SocketSet, SocketStorage};
use smoltcp::phy::{Device, DeviceCapabilities, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Cidr};
use tern_core::units::TaiNs;

/// Receive buffer: the venue's log of the day comes at once after a restart.
const RECEIVE_BYTES: usize = 1 << 18;
/// Transmit buffer: bounds what is sent and not acknowledged.
const TRANSMIT_BYTES: usize = 1 << 14;

/// Only there to tell smoltcp's constructor what the medium is.
struct Blueprint;
struct NoToken;

impl Device for Blueprint {
    type RxToken<'a> = NoToken;
    type TxToken<'a> = NoToken;
    fn receive(&mut self, _: Instant) -> Option<(NoToken, NoToken)> {
        None
    }
    fn transmit(&mut self, _: Instant) -> Option<NoToken> {
        None
    }
    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

impl RxToken for NoToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&[])
    }
}

impl TxToken for NoToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        f(&mut [0; FRAME_BYTES_MAX][..length])
    }
}

/// Memory that lives as long as the process: a connection is made once a run.
fn leak(bytes: usize) -> &'static mut [u8] {
    Box::leak(vec![0_u8; bytes].into_boxed_slice())
}

impl BypassTcp {
    /// A connection that starts to connect with the first poll.
    ///
    /// # Errors
    /// What is wrong with the addresses, for the user.
    pub fn new(config: BypassConfig) -> Result<Self, String> {
        Self::with_buffers(config, leak(RECEIVE_BYTES), leak(TRANSMIT_BYTES))
    }

    /// As [`new`](Self::new), with these buffers for what was received and not read, and sent and not acknowledged.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_buffers(
        config: BypassConfig,
        receive: &'static mut [u8],
        transmit: &'static mut [u8],
    ) -> Result<Self, String> {
        let mac = EthernetAddress(config.mac);
        if !mac.is_unicast() {
            return Err(format!("{mac} cannot be our MAC address: it is a group address or zero"));
        }
        if config.prefix_bits > 32 {
            return Err(format!("{}/{}: a prefix has at most 32 bits", config.address, config.prefix_bits));
        }
        let cidr = Ipv4Cidr::new(config.address, config.prefix_bits);
        if !cidr.contains_addr(config.venue.ip()) && config.gateway.is_none() {
            return Err(format!(
                "the venue {} is not in {cidr} and no gateway is set: set port.gateway to the next hop's address",
                config.venue.ip()
            ));
        }
        let mut stack = Config::new(HardwareAddress::Ethernet(mac));
        stack.random_seed = config.seed;
        let mut interface = Interface::new(stack, &mut Blueprint, Instant::ZERO);
        let mut has_room = true;
        interface.update_ip_addrs(|addresses| has_room = addresses.push(IpCidr::Ipv4(cidr)).is_ok());
        if let Some(gateway) = config.gateway {
            has_room &= interface.routes_mut().add_default_ipv4_route(gateway).is_ok();
        }
        if !has_room {
            return Err("smoltcp was built without room for an address and a route".into());
        }
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(transmit));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(duration(config.ack_delay_ns)));
        socket.set_timeout(Some(duration(config.timeout_ns)));
        socket.set_keep_alive(Some(duration(config.keep_alive_ns)));
        let storage: &'static mut [SocketStorage<'static>] = Box::leak(Box::new([SocketStorage::EMPTY]));
        let mut sockets = SocketSet::new(storage);
        let handle = sockets.add(socket);
        let mirror = Mirror::new(config.mac, config.address, *config.venue.ip(), config.venue.port());
        Ok(Self {
            interface,
            sockets,
            handle,
            wire: WireState::new(mirror),
            staged: [0; FRAME_BYTES_MAX],
            staged_bytes: 0,
            config,
            phase: Phase::Waiting { until: TaiNs(0) },
            attempts: 0,
            failures: 0,
            surveyed: false,
            epoch: None,
            dirty: true,
            taken: 0,
            deadline: TaiNs(0),
            up_pending: false,
            down_pending: None,
            reset_seen: false,
            syn_left: false,
            taken_end: 0,
            risk_end: None,
            recall_until: None,
            is_finishing: false,
            connect_failure: None,
            is_final: false,
        })
    }
}

fn duration(ns: u64) -> Duration {
    Duration::from_micros(ns / 1000)
}
