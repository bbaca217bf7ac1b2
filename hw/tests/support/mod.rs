//! What the privileged tests share: an attached program and an open port on a network of their own.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part, through this module")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tern_abi::steer::{FRAME_RECORD_BYTES, FrameRecord, SteerCounter};
use tern_ebpf::{Steer, SteerConfig, SteerCounts, Subscription};
use tern_hw::port::{FrameBatch, Port};
use tern_hw::testnet::{APPLIANCE_INTERFACE, PEER_ADDRESS, PEER_INTERFACE, RawSocket, Side, TestNet};
use tern_hw::xdp::{XdpConfig, XdpPort};
use zerocopy::FromBytes;

/// How long anything on a veth pair may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 1, 1);
pub const PORT: u16 = 26_477;
pub const STREAM: u16 = 513;
/// An address that is ours and not the kernel's.
pub const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
pub const SENDER: (Ipv4Addr, u16) = (PEER_ADDRESS, 40_000);

/// Attaches with the standard subscription and address.
pub fn attach(net: &TestNet, change: impl FnOnce(&mut SteerConfig) + Send) -> Steer {
    let steer = net.enter(Side::Appliance, || Steer::attach(&steer_config(net, change))).expect("attaches");
    steer.pins().subscribe(Subscription { group: GROUP, port: PORT, stream: STREAM, line: 0 }).expect("subscribes");
    steer.pins().add_address(OWN).expect("adds the address");
    steer
}

pub fn steer_config(net: &TestNet, change: impl FnOnce(&mut SteerConfig)) -> SteerConfig {
    let mut config = SteerConfig::new(APPLIANCE_INTERFACE, net.dir().join("bpf"));
    change(&mut config);
    config
}

/// Opens the port on queue 0, small and without huge pages unless changed.
pub fn open(net: &TestNet, steer: &Steer, change: impl FnOnce(&mut XdpConfig) + Send) -> XdpPort {
    let mut config = XdpConfig::new(APPLIANCE_INTERFACE, 0, steer.pins().dir());
    (config.rx_frames, config.rx_ring, config.tx_frames) = (1024, 1024, 64);
    config.huge_pages = false;
    change(&mut config);
    net.enter(Side::Appliance, || XdpPort::open(&config)).expect("opens")
}

pub fn peer_socket(net: &TestNet) -> RawSocket {
    net.enter(Side::Peer, || RawSocket::open(PEER_INTERFACE)).expect("root opens packet sockets")
}

/// Receives until `count` frames came or the patience is over; each as its record and the frame behind it.
pub fn receive(port: &mut impl Port, count: usize) -> Vec<(FrameRecord, Vec<u8>)> {
    let deadline = Instant::now() + PATIENCE;
    let mut batch = FrameBatch::default();
    let mut frames = Vec::new();
    while frames.len() < count && Instant::now() < deadline {
        port.wait(100_000_000).expect("polls");
        port.receive(&mut batch);
        for index in 0..batch.len() {
            let frame = batch.take(index).expect("just received");
            let bytes = port.bytes(&frame);
            let (record, rest) = bytes.split_at(FRAME_RECORD_BYTES);
            frames.push((FrameRecord::read_from_bytes(record).expect("32 bytes"), rest.to_vec()));
            port.release(frame);
        }
        batch.reset();
    }
    frames
}

/// Polls the counters until `done` holds; what they were then, or at the end of the patience.
pub fn counts_when(steer: &Steer, done: impl Fn(&SteerCounts) -> bool) -> SteerCounts {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counts = steer.pins().counters().expect("reads");
        if done(&counts) || Instant::now() >= deadline {
            return counts;
        }
        std::thread::yield_now();
    }
}

/// Asserts that exactly these outcomes were counted since `before`, once `sum` frames were.
pub fn assert_counted(steer: &Steer, before: &SteerCounts, expected: &[(SteerCounter, u64)]) {
    let sum: u64 = expected.iter().map(|(_, count)| count).sum();
    let after = counts_when(steer, |counts| counts.since(before).total() >= sum).since(before);
    let counted: Vec<_> = after.iter().filter(|(_, count)| *count != 0).collect();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(counted, expected, "outcomes");
}

/// CLOCK_TAI now, ns.
pub fn tai_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a writable struct that outlives the call.
    #[allow(unsafe_code, reason = "the standard library does not read CLOCK_TAI")]
    let result = unsafe { libc::clock_gettime(libc::CLOCK_TAI, &raw mut time) };
    assert_eq!(result, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
