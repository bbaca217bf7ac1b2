//! The order connection over a real AF_XDP port on veth, against the kernel's TCP at the other end.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tern_abi::steer::FRAME_RECORD_BYTES;
use tern_core::input::DownReason;
use tern_core::session::DropReason;
use tern_core::testing::Mint;
use tern_core::units::TaiNs;
use tern_dataplane::net::bypass::{BypassConfig, BypassTcp};
use tern_dataplane::net::{OrderTransport, TcpCounter, TransportEvent};
use tern_ebpf::{Steer, SteerConfig};
use tern_hw::clock::kernel_tai_ns;
use tern_hw::port::{FrameBatch, Port};
use tern_hw::testnet::{APPLIANCE_INTERFACE, APPLIANCE_MAC, PEER_ADDRESS, Side, TestNet};
use tern_hw::xdp::{XdpConfig, XdpPort};

/// Ours, and not the kernel's.
const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const GATEWAY: SocketAddrV4 = SocketAddrV4::new(PEER_ADDRESS, 9000);
const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    port: XdpPort,
    ours: BypassTcp,
    listener: TcpListener,
    events: Vec<TransportEvent>,
    received: Vec<u8>,
    mint: Mint,
    batch: FrameBatch,
    /// Last: the program goes when nothing uses it any more.
    _steer: Steer,
    _net: TestNet,
}

impl World {
    fn new(test: &str) -> Option<Self> {
        let net = TestNet::new("tloop", test)?;
        let steer = net
            .enter(Side::Appliance, || Steer::attach(&SteerConfig::new(APPLIANCE_INTERFACE, net.dir().join("bpf"))))
            .expect("attaches");
        steer.pins().add_address(OWN).expect("adds the address");
        let mut config = XdpConfig::new(APPLIANCE_INTERFACE, 0, steer.pins().dir());
        (config.rx_frames, config.rx_ring, config.tx_frames) = (1024, 1024, 64);
        config.huge_pages = false;
        let port = net.enter(Side::Appliance, || XdpPort::open(&config)).expect("opens");
        let listener = net
            .enter(Side::Peer, || {
                // A small receive buffer that does not grow: the window closes soon, and then is closed.
                std::fs::write("/proc/sys/net/ipv4/tcp_rmem", "4096 16384 16384")?;
                TcpListener::bind(GATEWAY)
            })
            .expect("listens");
        let config = BypassConfig { reconnect_ns: 20_000_000, ..BypassConfig::new(APPLIANCE_MAC, OWN, 24, GATEWAY) };
        Some(Self {
            port,
            ours: BypassTcp::new(config).expect("a valid configuration"),
            listener,
            events: Vec::new(),
            received: Vec::new(),
            mint: Mint::default(),
            batch: FrameBatch::default(),
            _steer: steer,
            _net: net,
        })
    }

    fn now() -> TaiNs {
        TaiNs(kernel_tai_ns())
    }

    fn turn(&mut self) {
        self.port.receive(&mut self.batch);
        for index in 0..self.batch.len() {
            let frame = self.batch.take(index).expect("just received");
            OrderTransport::<XdpPort>::stage(&mut self.ours, &self.port.bytes(&frame)[FRAME_RECORD_BYTES..]);
            self.port.release(frame);
            self.poll();
        }
        self.batch.reset();
        if OrderTransport::<XdpPort>::wants_poll(&self.ours, Self::now()) {
            self.poll();
        }
        self.port.kick().expect("kicks");
    }

    fn poll(&mut self) {
        self.ours.poll(Self::now(), &mut self.port);
        let mut buffer = [0; 2048];
        while let Some(event) = OrderTransport::<XdpPort>::next_event(&mut self.ours, Self::now(), &mut buffer) {
            if let TransportEvent::Bytes(count) = event {
                self.received.extend_from_slice(&buffer[..count]);
            }
            self.events.push(event);
        }
    }

    fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "{what}: not within {PATIENCE:?}; {:?}, {:?}",
                self.ours.connection(),
                self.events
            );
            self.turn();
        }
    }

    fn connect(&mut self) -> TcpStream {
        self.events.clear();
        self.run_until("a connection", |world| world.events.contains(&TransportEvent::Up));
        let (stream, from) = self.listener.accept().expect("accepts");
        assert_eq!(from.ip(), OWN);
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        let taken = self.mint.order(bytes, &mut self.ours);
        self.ours.flush(Self::now(), &mut self.port);
        self.port.kick().expect("kicks");
        taken
    }

    fn counter(&self, counter: TcpCounter) -> u64 {
        OrderTransport::<XdpPort>::counters(&self.ours)[counter.index()]
    }
}

#[test]
fn bytes_go_both_ways_between_us_and_the_kernel() {
    let Some(mut world) = World::new("bytes_go_both_ways_between_us_and_the_kernel") else { return };
    let mut venue = world.connect();
    for round in 0..200_u32 {
        let message = round.to_be_bytes().repeat(12);
        assert!(world.send(&message), "round {round}");
        let mut got = vec![0; message.len()];
        venue.read_exact(&mut got).expect("arrives");
        assert_eq!(got, message);
        venue.write_all(&got[..8]).expect("answers");
        let want = 8 * (round as usize + 1);
        world.run_until("the answer", |world| world.received.len() >= want);
    }
    // Everything that the venue answered came, in order.
    let expected: Vec<u8> = (0..200_u32).flat_map(|round| round.to_be_bytes().repeat(2)).collect();
    assert_eq!(world.received, expected);
    assert_eq!(world.counter(TcpCounter::BadChecksum) + world.counter(TcpCounter::Malformed), 0);
}

/// Sends until the venue, which reads nothing, has no window left; returns the bytes taken. The kernel announces its
/// window in steps and may drop what it then has no room for: up to one message stays unacknowledged and is repeated.
fn fill(world: &mut World, message: &[u8]) -> usize {
    let mut taken = 0;
    let mut closed_since = Instant::now();
    world.run_until("a closed window", |world| {
        while world.send(message) {
            taken += message.len();
            closed_since = Instant::now();
        }
        closed_since.elapsed() > Duration::from_millis(300)
    });
    assert_eq!(OrderTransport::<XdpPort>::unsent(&world.ours), 0, "nothing waits behind the window");
    let connection = world.ours.connection();
    assert!(connection.next.wrapping_sub(connection.unacknowledged) as usize <= message.len());
    taken
}

#[test]
fn the_kernels_closed_window_refuses_until_it_opens() {
    let Some(mut world) = World::new("the_kernels_closed_window_refuses_until_it_opens") else { return };
    let mut venue = world.connect();
    let message = [7; 100];
    let taken = fill(&mut world, &message);
    assert!(world.counter(TcpCounter::Refused) > 0);
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; taken + 100];
        venue.read_exact(&mut got).expect("all of it, and the next one");
    });
    world.run_until("an open window", |world| world.send(&message));
    world.run_until("all acknowledged", |world| world.ours.connection().unacknowledged == world.ours.connection().next);
    reader.join().expect("the venue read everything");
}

#[test]
fn a_kill_at_a_closed_window_keeps_back_what_the_venue_does_not_have() {
    let Some(mut world) = World::new("a_kill_at_a_closed_window_keeps_back_what_the_venue_does_not_have") else {
        return;
    };
    let mut venue = world.connect();
    let taken = fill(&mut world, &[7; 100]);
    let connection = *world.ours.connection();
    let lost = connection.next.wrapping_sub(connection.unacknowledged) as usize;
    world.ours.recall(World::now(), &mut world.port);
    if lost > 0 {
        let killed = TransportEvent::Down(DownReason::Dropped(DropReason::Killed));
        world.run_until("the recall", |world| world.events.contains(&killed));
        world.port.kick().expect("kicks");
    }
    // Now the venue reads: what it had at the kill, and not a byte more.
    venue.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let (mut got, mut buffer) = (0, [0; 65536]);
    while let Ok(count @ 1..) = venue.read(&mut buffer) {
        got += count;
        world.turn();
    }
    assert_eq!(got, taken - lost);
}

#[test]
fn a_reset_is_told_and_followed_by_a_new_connection_from_another_port() {
    let test = "a_reset_is_told_and_followed_by_a_new_connection_from_another_port";
    let Some(mut world) = World::new(test) else { return };
    let venue = world.connect();
    let first = venue.peer_addr().expect("an address").port();
    assert!(world.send(b"never read"));
    // A kernel socket closed with unread bytes resets its connection (RFC 2525, 2.17).
    let mut seen = [0; 1];
    venue.peek(&mut seen).expect("the bytes are there");
    drop(venue);
    world.run_until("the reset", |world| world.events.contains(&TransportEvent::Down(DownReason::Reset)));
    let venue = world.connect();
    assert_ne!(venue.peer_addr().expect("an address").port(), first);
    assert_eq!(world.counter(TcpCounter::PeerReset), 1);
}

#[test]
fn an_end_of_the_venue_is_a_close_and_ours_is_one_too() {
    let Some(mut world) = World::new("an_end_of_the_venue_is_a_close_and_ours_is_one_too") else { return };
    let venue = world.connect();
    drop(venue);
    world.run_until("the close", |world| world.events.contains(&TransportEvent::Down(DownReason::Closed)));
    let mut venue = world.connect();
    world.ours.close(World::now(), &mut world.port);
    world.port.kick().expect("kicks");
    let mut rest = [0; 8];
    assert_eq!(venue.read(&mut rest).expect("an orderly end"), 0);
    drop(venue);
    world.run_until("our end", |world| OrderTransport::<XdpPort>::is_closed(&world.ours));
    assert_eq!(world.counter(TcpCounter::Aborts), 0);
}
