//! The venue's end of the order connection on memory: another TCP stack at the far end of a [`MemoryPort`].

use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Cidr};
use std::net::SocketAddrV4;
use tern_abi::steer::{FRAME_ARP, FRAME_TCP, FrameRecord, STEER_VERSION};
use tern_core::units::TaiNs;
use tern_hw::memory::{FRAME_BYTES, MemoryPort};

use crate::venue::Venue;

const WINDOW_BYTES: usize = 1 << 18;

/// Frames on their way.
#[derive(Default)]
struct Wire {
    to_peer: VecDeque<Vec<u8>>,
    from_peer: VecDeque<Vec<u8>>,
}

impl Device for Wire {
    type RxToken<'a> = In;
    type TxToken<'a> = Out<'a>;
    fn receive(&mut self, _: Instant) -> Option<(In, Out<'_>)> {
        let frame = self.to_peer.pop_front()?;
        Some((In(frame), Out(&mut self.from_peer)))
    }
    fn transmit(&mut self, _: Instant) -> Option<Out<'_>> {
        Some(Out(&mut self.from_peer))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct In(Vec<u8>);

impl RxToken for In {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Out<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

/// A [`Venue`] behind a TCP stack of its own.
pub struct Peer {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    wire: Wire,
    venue: Venue,
    answers: Vec<u8>,
    next_heartbeat: TaiNs,
}

impl Peer {
    /// Listens on `address`.
    ///
    /// # Panics
    /// Never: everything that smoltcp can refuse here is a constant.
    pub fn listen(address: SocketAddrV4) -> Self {
        let mut wire = Wire::default();
        let mac = HardwareAddress::Ethernet(EthernetAddress([2, 0x54, 0, 0, 0, 2]));
        let mut interface = Interface::new(Config::new(mac), &mut wire, Instant::from_millis(1));
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::Ipv4(Ipv4Cidr::new(*address.ip(), 24))).expect("room for one address");
        });
        // There is one for each loop measured; its memory is never given back.
        let buffer = || SocketBuffer::new(vec![0; WINDOW_BYTES].leak());
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket.listen(address.port()).expect("a port");
        let mut sockets = SocketSet::new(vec![SocketStorage::EMPTY].leak());
        let handle = sockets.add(socket);
        let venue = Venue::default();
        Self { interface, sockets, handle, wire, venue, answers: Vec::new(), next_heartbeat: TaiNs(0) }
    }

    /// The venue.
    pub fn venue(&self) -> &Venue {
        &self.venue
    }

    /// Takes what `port` submitted, lets the venue answer, and makes the answers receivable. Whether there were any.
    pub fn exchange(&mut self, now: TaiNs, port: &mut MemoryPort) -> bool {
        let mut frame = [0; FRAME_BYTES];
        while let Some(length) = port.take(&mut frame) {
            self.wire.to_peer.push_back(frame[..length].to_vec());
        }
        let is_due = now >= self.next_heartbeat;
        if self.wire.to_peer.is_empty() && !is_due {
            return false;
        }
        self.poll(now);
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        if is_due && socket.may_send() {
            self.venue.heartbeat();
        }
        if is_due {
            self.next_heartbeat = now.plus(1_000_000_000);
        }
        while socket.can_recv() {
            let venue = &mut self.venue;
            socket.recv(|bytes| (bytes.len(), venue.on_bytes(bytes))).expect("there are bytes");
        }
        self.venue.take(&mut self.answers);
        let sent = socket.send_slice(&self.answers).unwrap_or(0);
        self.answers.drain(..sent);
        self.poll(now);
        let answered = !self.wire.from_peer.is_empty();
        while let Some(frame) = self.wire.from_peer.pop_front() {
            let kind = if frame[12..14] == [8, 6] { FRAME_ARP } else { FRAME_TCP };
            let record = FrameRecord { version: STEER_VERSION, kind, ..FrameRecord::default() };
            assert!(port.put(&record, &frame), "the port has buffers");
        }
        answered
    }

    fn poll(&mut self, now: TaiNs) {
        let now = Instant::from_micros((now.0 / 1_000) as i64);
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
    }
}
