//! A venue's TCP side on memory: another smoltcp at the far end of a [`MemoryPort`], with a wire between that can lose
//! and swap frames.

#![allow(dead_code, reason = "each test file uses a part of it")]

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address, Ipv4Cidr};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use tern_abi::steer::{FRAME_ARP, FRAME_RECORD_BYTES, FRAME_TCP, FrameRecord, STEER_VERSION};
use tern_core::testing::Mint;
use tern_core::units::TaiNs;
use tern_dataplane::net::bypass::{BypassConfig, BypassTcp};
use tern_dataplane::net::{OrderTransport, TransportEvent};
use tern_hw::memory::{FRAME_BYTES, MemoryPort};
use tern_hw::port::{FrameBatch, Port};

pub(crate) const VENUE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, 1), 9000);
pub(crate) const OURS: Ipv4Address = Ipv4Address::new(10, 1, 0, 2);
pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Frames on their way to the peer and from it.
#[derive(Default)]
pub(crate) struct Queues {
    pub(crate) to_peer: VecDeque<Vec<u8>>,
    pub(crate) from_peer: VecDeque<Vec<u8>>,
}

impl Device for Queues {
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

pub(crate) struct In(Vec<u8>);
impl RxToken for In {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}
pub(crate) struct Out<'a>(&'a mut VecDeque<Vec<u8>>);
impl TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

/// The venue's end.
pub(crate) struct Peer {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    pub(crate) queues: Queues,
}

impl Peer {
    /// Listens on [`VENUE`]; takes at most `window` bytes that nobody reads.
    pub(crate) fn new(window: usize) -> Self {
        let mut queues = Queues::default();
        let mac = EthernetAddress([2, 0, 0, 0, 0, 1]);
        let mut interface =
            Interface::new(Config::new(HardwareAddress::Ethernet(mac)), &mut queues, Instant::from_millis(1));
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::Ipv4(Ipv4Cidr::new(*VENUE.ip(), 24))).expect("room for one address");
        });
        let buffer = |bytes: usize| SocketBuffer::new(Box::leak(vec![0; bytes].into_boxed_slice()));
        let mut socket = Socket::new(buffer(window), buffer(1 << 16));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let mut sockets = SocketSet::new(Box::leak(Box::new([smoltcp::iface::SocketStorage::EMPTY])) as &mut [_]);
        let handle = sockets.add(socket);
        let mut peer = Self { interface, sockets, handle, queues };
        peer.listen();
        peer
    }

    pub(crate) fn listen(&mut self) {
        self.socket().listen(VENUE.port()).expect("listens");
    }
    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
    pub(crate) fn state(&mut self) -> State {
        self.socket().state()
    }
    pub(crate) fn poll(&mut self, now: TaiNs) {
        self.interface.poll(Instant::from_micros((now.0 / 1000) as i64), &mut self.queues, &mut self.sockets);
    }
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.socket().send_slice(bytes), Ok(bytes.len()));
    }
    pub(crate) fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while self.socket().can_recv() {
            self.socket().recv(|bytes| (bytes.len(), all.extend_from_slice(bytes))).expect("can receive");
        }
        all
    }
}

/// What the wire does to frames: decided by a seeded generator, so that a failing run can be repeated.
pub(crate) struct Faults {
    state: u64,
    pub(crate) loss_permille: u64,
    pub(crate) swap_permille: u64,
    pub(crate) lost: u64,
    pub(crate) swapped: u64,
}

impl Faults {
    pub(crate) fn new(seed: u64, loss_permille: u64, swap_permille: u64) -> Self {
        Self { state: seed | 1, loss_permille, swap_permille, lost: 0, swapped: 0 }
    }
    fn chance(&mut self, permille: u64) -> bool {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 20) % 1000 < permille
    }
    fn carry(&mut self, queue: &mut VecDeque<Vec<u8>>, frame: Vec<u8>) {
        if self.chance(self.loss_permille) {
            self.lost += 1;
        } else if !queue.is_empty() && self.chance(self.swap_permille) {
            self.swapped += 1;
            let before_last = queue.len() - 1;
            queue.insert(before_last, frame);
        } else {
            queue.push_back(frame);
        }
    }
}

/// Both ends and the time between them.
pub(crate) struct Link {
    pub(crate) now: TaiNs,
    pub(crate) port: MemoryPort,
    pub(crate) ours: BypassTcp,
    pub(crate) peer: Peer,
    pub(crate) faults: Faults,
    pub(crate) events: Vec<TransportEvent>,
    pub(crate) received: Vec<u8>,
    pub(crate) mint: Mint,
    batch: FrameBatch,
}

pub(crate) fn config() -> BypassConfig {
    BypassConfig::new(MAC, OURS, 24, VENUE)
}

impl Link {
    pub(crate) fn new(config: BypassConfig, window: usize) -> Self {
        Self {
            now: TaiNs(1_000_000_000_000),
            port: MemoryPort::new(256),
            ours: BypassTcp::new(config).expect("a valid configuration"),
            peer: Peer::new(window),
            faults: Faults::new(1, 0, 0),
            events: Vec::with_capacity(1024),
            received: Vec::with_capacity(1 << 20),
            mint: Mint::default(),
            batch: FrameBatch::default(),
        }
    }

    pub(crate) fn counter(&self, counter: tern_dataplane::net::TcpCounter) -> u64 {
        OrderTransport::<MemoryPort>::counters(&self.ours)[counter.index()]
    }
    pub(crate) fn room(&self) -> usize {
        OrderTransport::<MemoryPort>::room(&self.ours)
    }
    pub(crate) fn unsent(&self) -> usize {
        OrderTransport::<MemoryPort>::unsent(&self.ours)
    }
    /// Sends `bytes` as an order message.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        let taken = self.mint.order(bytes, &mut self.ours);
        self.ours.flush(self.now, &mut self.port);
        taken
    }

    fn drain_events(&mut self) {
        let mut buffer = [0; 2048];
        while let Some(event) = OrderTransport::<MemoryPort>::next_event(&mut self.ours, self.now, &mut buffer) {
            if let TransportEvent::Bytes(count) = event {
                self.received.extend_from_slice(&buffer[..count]);
            }
            self.events.push(event);
        }
    }

    /// Our side alone: what waits in the port goes to the stack, what it submits goes on the wire.
    pub(crate) fn poll_ours(&mut self) {
        loop {
            if self.port.receive(&mut self.batch) == 0 {
                break;
            }
            for index in 0..self.batch.len() {
                let frame = self.batch.take(index).expect("a frame of the batch");
                OrderTransport::<MemoryPort>::stage(&mut self.ours, &self.port.bytes(&frame)[FRAME_RECORD_BYTES..]);
                self.port.release(frame);
                self.ours.poll(self.now, &mut self.port);
                self.drain_events();
            }
            self.batch.reset();
        }
        if OrderTransport::<MemoryPort>::wants_poll(&self.ours, self.now) {
            self.ours.poll(self.now, &mut self.port);
            self.drain_events();
        }
    }

    /// Frames that we submitted go to the peer.
    pub(crate) fn carry_out(&mut self) {
        let mut frame = [0; FRAME_BYTES];
        while let Some(length) = self.port.take(&mut frame) {
            self.faults.carry(&mut self.peer.queues.to_peer, frame[..length].to_vec());
        }
    }

    /// Frames of the peer go into our port, behind the record that the XDP program would write.
    pub(crate) fn carry_in(&mut self) {
        let mut arriving = VecDeque::new();
        while let Some(frame) = self.peer.queues.from_peer.pop_front() {
            self.faults.carry(&mut arriving, frame);
        }
        for frame in arriving {
            let kind = if frame[12..14] == [8, 6] { FRAME_ARP } else { FRAME_TCP };
            let record = FrameRecord { version: STEER_VERSION, kind, ..FrameRecord::default() };
            assert!(self.port.put(&record, &frame));
        }
    }

    /// One round of both sides, then `ns` pass.
    pub(crate) fn step(&mut self, ns: u64) {
        self.poll_ours();
        self.carry_out();
        self.peer.poll(self.now);
        self.carry_in();
        self.now = self.now.plus(ns);
    }

    /// Rounds until `done` holds, at most `seconds` of the link's time.
    pub(crate) fn run_until(&mut self, seconds: u64, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now.plus(seconds * 1_000_000_000);
        while !done(self) {
            assert!(self.now < end, "not reached in {seconds} s of the link's time; events: {:?}", self.events);
            self.step(100_000);
        }
    }

    pub(crate) fn connect(&mut self) {
        self.run_until(5, |link| link.events.contains(&TransportEvent::Up));
    }
}
