//! The AF_XDP port on veth: what it carries in both directions, and that every lost frame is in a kernel counter.

mod support;

use std::time::{Duration, Instant};

use support::*;
use tern_abi::steer::SteerCounter;
use tern_ebpf::AttachPreference;
use tern_hw::port::{FrameBatch, Port, PortStatistics};
use tern_hw::testnet::{APPLIANCE_MAC, FrameBuilder, PEER_MAC, RawSocket, Side, TestNet};
use tern_hw::xdp::{XdpConfig, XdpOpenError, XdpPort, ZeroCopy};

/// What the kernel dropped between the peer's socket and ours, each by its own counter.
#[derive(Debug, Default, PartialEq, Eq)]
struct KernelDrops {
    /// The peer's device could not hand the frame over: the ring between the two ends was full.
    peer_tx_dropped: u64,
    /// `xdp_statistics.rx_dropped`: no frame to copy into, or one too short.
    rx_dropped: u64,
    /// `xdp_statistics.rx_ring_full`.
    rx_ring_full: u64,
}

impl KernelDrops {
    fn read(net: &TestNet, statistics: &PortStatistics) -> Self {
        Self {
            peer_tx_dropped: net.link_counter(Side::Peer, "tx", "dropped"),
            rx_dropped: statistics.rx_dropped,
            rx_ring_full: statistics.rx_ring_full,
        }
    }
    fn sum(&self) -> u64 {
        self.peer_tx_dropped + self.rx_dropped + self.rx_ring_full
    }
}

/// Sends `count` numbered datagrams from the peer as fast as it can; returns how many the kernel accepted.
fn send_numbered(peer: &RawSocket, count: u64) -> u64 {
    let builder = FrameBuilder::new();
    let mut sent = 0;
    for number in 0..count {
        let frame = builder.udp(SENDER, (GROUP, PORT), &number.to_be_bytes());
        sent += u64::from(peer.send(&frame).is_ok());
    }
    sent
}

/// Takes whatever arrives until `done`, giving each frame's payload to `each`.
fn drain(port: &mut XdpPort, mut each: impl FnMut(&[u8]), mut done: impl FnMut(u64) -> bool) -> u64 {
    let mut batch = FrameBatch::default();
    let mut received = 0;
    let mut quiet_since = Instant::now();
    loop {
        if port.receive(&mut batch) == 0 {
            if done(received) || quiet_since.elapsed() > PATIENCE {
                return received;
            }
            port.wait(1_000_000).expect("polls");
            continue;
        }
        quiet_since = Instant::now();
        for index in 0..batch.len() {
            let frame = batch.take(index).expect("just received");
            let bytes = port.bytes(&frame);
            each(&bytes[bytes.len() - 8..]);
            port.release(frame);
        }
        received += batch.len() as u64;
        batch.reset();
    }
}

#[test]
fn a_hundred_thousand_datagrams_without_loss() {
    const COUNT: u64 = 100_000;
    let Some(net) = TestNet::new("txdp", "a_hundred_thousand_datagrams_without_loss") else { return };
    let steer = attach(&net, |_| {});
    let defaults = XdpConfig::new("", 0, "");
    let mut port = open(&net, &steer, |config| {
        (config.rx_frames, config.rx_ring) = (defaults.rx_frames, defaults.rx_ring);
    });
    let facts = port.facts();
    assert_eq!((facts.kind, facts.attach_mode, facts.zero_copy), ("xdp", "native", false), "{:?}", port.fallbacks());
    assert!(port.fallbacks().iter().any(|reason| reason.contains("zero-copy")), "{:?}", port.fallbacks());
    let peer = peer_socket(&net);
    let started = Instant::now();
    let mut next = 0u64;
    let (sent, received) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_numbered(&peer, COUNT));
        let received = drain(
            &mut port,
            |payload| {
                assert_eq!(payload, next.to_be_bytes(), "in order, none missing");
                next += 1;
            },
            |received| received == COUNT,
        );
        (sender.join().expect("sends"), received)
    });
    let elapsed = started.elapsed();
    let statistics = port.statistics();
    let drops = KernelDrops::read(&net, &statistics);
    eprintln!("{COUNT} datagrams in {elapsed:?} ({:.0}/s), {drops:?}", COUNT as f64 / elapsed.as_secs_f64());
    assert_eq!((sent, received, statistics.rx_frames), (COUNT, COUNT, COUNT));
    assert_eq!(drops, KernelDrops::default());
    let counts = steer.pins().counters().expect("reads");
    assert_eq!(counts.get(SteerCounter::RedirectUdp), COUNT);
    steer.detach().expect("detaches");
}

/// Overflows the port on purpose: sent = received + the kernel's own drop counters, added up.
fn overflow(test: &str, change: impl FnOnce(&mut XdpConfig) + Send, check: impl FnOnce(&PortStatistics, &KernelDrops)) {
    const COUNT: u64 = 2_000;
    let Some(net) = TestNet::new("txdp", test) else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, change);
    let peer = peer_socket(&net);
    // Nobody receives meanwhile, so the rings must overflow.
    let sent = send_numbered(&peer, COUNT);
    assert_eq!(sent, COUNT, "the peer's socket accepts all");
    let settled = |received: u64, net: &TestNet, port: &XdpPort| {
        let statistics = port.statistics();
        (received + KernelDrops::read(net, &statistics).sum() >= COUNT).then_some(statistics)
    };
    let deadline = Instant::now() + PATIENCE;
    let mut received = 0;
    let statistics = loop {
        received += drain(&mut port, |_| {}, |_| true);
        if let Some(statistics) = settled(received, &net, &port) {
            break statistics;
        }
        assert!(Instant::now() < deadline, "frames are unaccounted for: {received} {:?}", port.statistics());
    };
    let drops = KernelDrops::read(&net, &statistics);
    eprintln!("{test}: sent {sent}, received {received}, {drops:?}");
    assert_eq!(sent, received + drops.sum(), "{drops:?} {statistics:?}");
    assert_eq!(statistics.dropped(), drops.rx_dropped + drops.rx_ring_full);
    // The driver counts a refused redirect as its own drop; it must have dropped nothing else.
    let driver_drops = net.driver_counter(Side::Appliance, "rx_queue_0_drops").expect("veth counts drops");
    assert_eq!(driver_drops, drops.rx_dropped + drops.rx_ring_full);
    check(&statistics, &drops);

    // The port works again afterwards.
    let before = port.statistics();
    assert_eq!(send_numbered(&peer, 5), 5);
    assert_eq!(drain(&mut port, |_| {}, |received| received == 5), 5);
    assert_eq!(port.statistics().rx_frames, before.rx_frames + 5);
    steer.detach().expect("detaches");
}

#[test]
fn a_full_rx_ring_is_counted() {
    overflow(
        "a_full_rx_ring_is_counted",
        |config| (config.rx_frames, config.rx_ring) = (256, 16),
        |statistics, drops| {
            assert!(drops.rx_ring_full > 0, "{drops:?}");
            assert_eq!(statistics.rx_fill_ring_empty_descs, 0, "{statistics:?}");
        },
    );
}

#[test]
fn an_empty_fill_ring_is_counted() {
    overflow(
        "an_empty_fill_ring_is_counted",
        |config| (config.rx_frames, config.rx_ring) = (16, 256),
        |statistics, drops| {
            assert!(drops.rx_dropped > 0, "{drops:?}");
            assert_eq!(statistics.rx_fill_ring_empty_descs, drops.rx_dropped, "the fill ring explains each drop");
        },
    );
}

#[test]
fn transmitted_frames_reach_the_peer() {
    let Some(net) = TestNet::new("txdp", "transmitted_frames_reach_the_peer") else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |config| config.tx_frames = 16);
    let peer = peer_socket(&net);
    let builder = FrameBuilder::new().destination(PEER_MAC).source(APPLIANCE_MAC);
    // More than there are frames for, so that completed ones must come back.
    for number in 0..200u32 {
        let frame = builder.udp((OWN, 1), (SENDER.0, 2), &number.to_be_bytes());
        let deadline = Instant::now() + PATIENCE;
        let mut slot = loop {
            if let Some(slot) = port.allocate() {
                break slot;
            }
            assert!(Instant::now() < deadline, "no frame came back: {:?}", port.statistics());
            port.kick().expect("kicks");
        };
        assert!(slot.len() >= 1514);
        port.bytes_mut(&mut slot)[..frame.len()].copy_from_slice(&frame);
        port.submit(slot, frame.len()).expect("as many places in the ring as frames");
        port.kick().expect("kicks");
        let got = peer.receive(PATIENCE, |bytes| bytes[..14] == frame[..14]).expect("captures");
        assert_eq!(got.as_deref(), Some(&frame[..]));
    }
    let statistics = port.statistics();
    assert_eq!(statistics.tx_frames, 200);
    assert_eq!((statistics.tx_invalid_descs, statistics.kicks), (0, 200), "{statistics:?}");
    steer.detach().expect("detaches");
}

#[test]
fn more_frames_than_one_kick_sends_all_leave() {
    const COUNT: u32 = 100;
    let Some(net) = TestNet::new("txdp", "more_frames_than_one_kick_sends_all_leave") else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |config| config.tx_frames = 128);
    let peer = peer_socket(&net);
    let builder = FrameBuilder::new().destination(PEER_MAC).source(APPLIANCE_MAC);
    let frames: Vec<_> = (0..COUNT).map(|number| builder.udp((OWN, 1), (SENDER.0, 2), &number.to_be_bytes())).collect();
    for frame in &frames {
        let mut slot = port.allocate().expect("128 frames");
        port.bytes_mut(&mut slot)[..frame.len()].copy_from_slice(frame);
        port.submit(slot, frame.len()).expect("128 places");
    }
    // In copy mode the kernel sends 32 a call: the port remembers that some are left, and stops when none is.
    let mut kicks = 0;
    loop {
        let before = port.statistics().kicks;
        port.kick().expect("kicks");
        if port.statistics().kicks == before {
            break;
        }
        kicks += 1;
        assert!(kicks <= COUNT, "it never stops kicking");
    }
    assert!(kicks > 1, "one call sent them all: the test shows nothing");
    for frame in &frames {
        let got = peer.receive(PATIENCE, |bytes| bytes[..14] == frame[..14]).expect("captures");
        assert_eq!(got.as_deref(), Some(&frame[..]), "in order");
    }
    steer.detach().expect("detaches");
}

#[test]
fn each_queue_has_its_own_port() {
    const COUNT: u16 = 400;
    let Some(net) = TestNet::with_queues("txdp", "each_queue_has_its_own_port", 2) else { return };
    let steer = attach(&net, |config| config.queues = vec![0, 1]);
    let mut first = open(&net, &steer, |config| config.queue = 0);
    let mut second = open(&net, &steer, |config| config.queue = 1);
    let peer = peer_socket(&net);
    let send_flows = || {
        for source_port in 0..COUNT {
            let from = (SENDER.0, 1000 + source_port);
            peer.send(&FrameBuilder::new().udp(from, (GROUP, PORT), &source_port.to_be_bytes())).expect("sends");
        }
    };
    send_flows();
    let redirected = counts_when(&steer, |counts| counts.total() >= u64::from(COUNT));
    assert_eq!(redirected.get(SteerCounter::RedirectUdp), u64::from(COUNT));
    let mut total = 0;
    for (queue, port) in [(0, &mut first), (1, &mut second)] {
        let mut batch = FrameBatch::default();
        while port.receive(&mut batch) > 0 {
            for index in 0..batch.len() {
                let frame = batch.take(index).expect("received");
                assert_eq!(port.bytes(&frame)[10..12], u16::to_ne_bytes(queue), "the record names the queue");
                port.release(frame);
            }
            batch.reset();
        }
        let received = port.statistics().rx_frames;
        eprintln!("queue {queue}: {received} frames");
        assert!(received > 0, "no flow took queue {queue}");
        total += received;
    }
    assert_eq!(total, u64::from(COUNT));

    // A queue without a socket passes its frames to the kernel; the other goes on. A process that another test forks
    // may hold the socket open until it execs: first wait until it is gone.
    drop(second);
    let mut send_and_count = || {
        let before = steer.pins().counters().expect("reads");
        send_flows();
        let counts = counts_when(&steer, |counts| counts.since(&before).total() >= u64::from(COUNT)).since(&before);
        assert_eq!(counts.total(), u64::from(COUNT));
        let received = drain(&mut first, |_| {}, |_| true);
        (received, counts.get(SteerCounter::RedirectUdp), counts.get(SteerCounter::PassNoSocket))
    };
    let deadline = Instant::now() + PATIENCE;
    while send_and_count().2 == 0 {
        assert!(Instant::now() < deadline, "the closed socket stays in the map");
    }
    let (received, redirected, passed) = send_and_count();
    assert_eq!(redirected + passed, u64::from(COUNT));
    assert!(redirected > 0 && passed > 0, "{redirected} {passed}");
    assert_eq!(received, redirected);
    steer.detach().expect("detaches");
}

#[test]
fn transmission_is_refused_when_all_frames_are_out() {
    let Some(net) = TestNet::new("txdp", "transmission_is_refused_when_all_frames_are_out") else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |config| config.tx_frames = 16);
    let frames: Vec<_> = std::iter::from_fn(|| port.allocate()).collect();
    assert_eq!(frames.len(), 16);
    assert_eq!(port.statistics().tx_full, 1);
    // Unsent frames come back by release.
    for frame in frames {
        port.release(frame);
    }
    assert!(port.allocate().map(|frame| port.release(frame)).is_some());
    port.kick().expect("has nothing to do");
    assert_eq!(port.statistics().kicks, 0, "no system call without a submitted frame");
    steer.detach().expect("detaches");
}

#[test]
fn frames_are_not_lost_when_held() {
    let Some(net) = TestNet::new("txdp", "frames_are_not_lost_when_held") else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |config| (config.rx_frames, config.rx_ring) = (16, 16));
    let peer = peer_socket(&net);
    // Fill and empty every slot many times over: a slot lost on the way would stop reception.
    for round in 0..50 {
        assert_eq!(send_numbered(&peer, 16), 16);
        let frames = receive(&mut port, 16);
        assert_eq!(frames.len(), 16, "round {round}: {:?}", port.statistics());
    }
    assert_eq!(port.backlog(), 0);
    steer.detach().expect("detaches");
}

#[test]
fn another_ports_frame_is_never_read() {
    const fn movable<T: Send>() {}
    movable::<XdpPort>();
    let Some(net) = TestNet::with_queues("txdp", "another_ports_frame_is_never_read", 2) else { return };
    let steer = attach(&net, |_| {});
    let mut first = open(&net, &steer, |config| config.queue = 0);
    let second = open(&net, &steer, |config| config.queue = 1);
    let frame = first.allocate().expect("64 frames");
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| second.bytes(&frame).len()));
    assert!(read.is_err(), "the slot is outside of the other port's table");
    first.release(frame);
    drop((first, second));
    steer.detach().expect("detaches");
}

#[test]
fn backlog_tells_what_waits() {
    let Some(net) = TestNet::new("txdp", "backlog_tells_what_waits") else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |_| {});
    assert_eq!(send_numbered(&peer_socket(&net), 200), 200);
    counts_when(&steer, |counts| counts.get(SteerCounter::RedirectUdp) == 200);
    let mut batch = FrameBatch::default();
    assert_eq!(port.receive(&mut batch), 64);
    assert_eq!(port.backlog(), 136);
    for index in 0..64 {
        port.release(batch.take(index).expect("received"));
    }
    steer.detach().expect("detaches");
}

#[test]
fn opening_explains_its_refusals() {
    let Some(net) = TestNet::new("txdp", "opening_explains_its_refusals") else { return };
    let steer = attach(&net, |_| {});
    let open = |change: &(dyn Fn(&mut XdpConfig) + Sync)| {
        let mut config = XdpConfig::new("tern0", 0, steer.pins().dir());
        (config.rx_frames, config.rx_ring, config.tx_frames) = (64, 64, 64);
        change(&mut config);
        net.enter(Side::Appliance, || XdpPort::open(&config)).map(drop).expect_err("refused")
    };
    let error = open(&|config| config.interface = "nosuch0".into());
    assert!(matches!(error, XdpOpenError::Interface { .. }), "{error}");
    let error = open(&|config| config.pins_dir = "/nowhere".into());
    assert!(matches!(error, XdpOpenError::Pins { .. }), "{error}");
    let error = open(&|config| config.rx_ring = 100);
    assert!(matches!(error, XdpOpenError::Config { field: "rx_ring", .. }), "{error}");
    let error = open(&|config| config.frame_size_bytes = 3000);
    assert!(matches!(error, XdpOpenError::Config { field: "frame_size_bytes", .. }), "{error}");
    let error = open(&|config| config.queue = 77);
    assert!(error.to_string().contains("ethtool -l"), "{error}");
    let error = open(&|config| config.zero_copy = ZeroCopy::Require);
    assert!(error.to_string().contains("zero-copy"), "{error}");
    let status = net.command(Side::Appliance, "ip").args(["link", "set", "tern0", "mtu", "3000"]).status();
    assert!(status.expect("ip runs").success());
    let error = open(&|_| {});
    assert!(matches!(error, XdpOpenError::Mtu { mtu_bytes: 3000, .. }), "{error}");
    steer.detach().expect("detaches");
}

#[test]
fn a_port_reopens_right_after_it_closed() {
    let Some(net) = TestNet::new("txdp", "a_port_reopens_right_after_it_closed") else { return };
    for mode in [AttachPreference::Native, AttachPreference::Generic] {
        let steer = attach(&net, |config| config.attach = mode);
        for _ in 0..3 {
            let mut port = open(&net, &steer, |config| config.zero_copy = ZeroCopy::Never);
            assert_eq!(port.fallbacks(), [""; 0], "nothing was asked for that was refused");
            assert_eq!(send_numbered(&peer_socket(&net), 3), 3);
            assert_eq!(receive(&mut port, 3).len(), 3);
        }
        steer.detach().expect("detaches");
    }
}

#[test]
fn huge_pages_are_used_where_there_are_any() {
    let test = "huge_pages_are_used_where_there_are_any";
    let Some(net) = TestNet::new("txdp", test) else { return };
    let steer = attach(&net, |_| {});
    let free_pages = || {
        let facts = std::fs::read_to_string("/proc/meminfo").expect("Linux");
        facts.lines().find_map(|line| line.strip_prefix("HugePages_Free:")?.trim().parse::<u64>().ok())
    };
    let free = free_pages();
    let mut port = open(&net, &steer, |config| config.huge_pages = true);
    // 1,088 frames of 2,048 bytes take two pages of 2 MiB.
    let enough = free.unwrap_or(0) >= 2;
    eprintln!("{test}: HugePages_Free {free:?}, so the {} is tested", if enough { "grant" } else { "fallback" });
    assert_eq!(port.facts().huge_pages, enough, "{:?}", port.fallbacks());
    assert_eq!(port.fallbacks().iter().any(|reason| reason.contains("HugePages_Free")), !enough);
    assert_eq!(send_numbered(&peer_socket(&net), 3), 3);
    assert_eq!(receive(&mut port, 3).len(), 3);
    drop(port);
    // The kernel lets go of the pages some time after the socket closed.
    let deadline = Instant::now() + PATIENCE;
    while free_pages() != free {
        assert!(Instant::now() < deadline, "{:?} of {free:?} pages came back", free_pages());
        std::thread::yield_now();
    }
    steer.detach().expect("detaches");
}

#[test]
fn waiting_ends_on_arrival_and_on_time() {
    let Some(net) = TestNet::new("txdp", "waiting_ends_on_arrival_and_on_time") else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |_| {});
    let started = Instant::now();
    port.wait(20_000_000).expect("polls");
    assert!(started.elapsed() >= Duration::from_millis(20));
    let peer = peer_socket(&net);
    assert_eq!(send_numbered(&peer, 1), 1);
    let started = Instant::now();
    port.wait(PATIENCE.as_nanos() as u64).expect("polls");
    assert!(started.elapsed() < PATIENCE, "it returned because of the frame");
    assert_eq!(receive(&mut port, 1).len(), 1);
    steer.detach().expect("detaches");
}
