//! The kernel-socket port, its TCP connection, and the joins that the XDP mode needs too.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use support::*;
use tern_abi::steer::{FRAME_UDP, STEER_VERSION};
use tern_hw::port::{FrameBatch, Port};
use tern_hw::socket::membership::Membership;
use tern_hw::socket::tcp::{Received, TcpLink, TcpState};
use tern_hw::socket::{SocketOpenError, SocketPort, SocketPortConfig, SocketSubscription};
use tern_hw::testnet::{APPLIANCE_ADDRESS, FrameBuilder, PEER_ADDRESS, RawSocket, Side, TestNet};

const OTHER_GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 1, 2);

fn open_port(net: &TestNet, change: impl FnOnce(&mut SocketPortConfig) + Send) -> SocketPort {
    let subscriptions = vec![
        SocketSubscription { group: GROUP, port: PORT, stream: STREAM, line: 0 },
        SocketSubscription { group: OTHER_GROUP, port: PORT, stream: 9, line: 1 },
    ];
    let mut config = SocketPortConfig::new("tern0", subscriptions);
    change(&mut config);
    net.enter(Side::Appliance, || SocketPort::open(&config)).expect("opens")
}

fn send_from_peer(net: &TestNet, group: Ipv4Addr, port: u16, payload: &[u8]) {
    let socket = net.enter(Side::Peer, || UdpSocket::bind("0.0.0.0:0")).expect("binds");
    assert_eq!(socket.send_to(payload, SocketAddrV4::new(group, port)).expect("sends"), payload.len());
}

#[test]
fn datagrams_arrive_behind_a_record() {
    let Some(net) = TestNet::new("txdp", "datagrams_arrive_behind_a_record") else { return };
    let mut port = open_port(&net, |_| {});
    assert_eq!((port.facts().kind, port.facts().attach_mode, port.facts().zero_copy), ("socket", "none", false));
    assert_eq!(port.fallbacks(), [""; 0], "root gets the buffers it asks for");
    for (group, stream, payload) in
        [(GROUP, STREAM, &b"first"[..]), (OTHER_GROUP, 9, b""), (GROUP, STREAM, &[7; 1472]), (GROUP, STREAM, b"last")]
    {
        let before_ns = tai_ns();
        send_from_peer(&net, group, PORT, payload);
        let (record, rest) = receive(&mut port, 1).pop().expect("arrives");
        assert_eq!(rest, payload);
        assert_eq!((record.version, record.kind, record.stream), (STEER_VERSION, FRAME_UDP, stream));
        assert_eq!((record.payload_offset, usize::from(record.payload_bytes)), (0, payload.len()));
        assert!((before_ns..=tai_ns()).contains(&record.arrival_tai_ns), "{record:?}");
        assert_eq!((record.nic_ns, record.queue, record.reserved), (0, 0, [0; 3]));
        assert_eq!(record.line, u8::from(group == OTHER_GROUP), "as subscribed");
    }
    // Another group on the same port, and another port: not subscribed.
    send_from_peer(&net, Ipv4Addr::new(239, 77, 1, 3), PORT, b"stranger");
    send_from_peer(&net, GROUP, PORT + 1, b"stranger");
    send_from_peer(&net, GROUP, PORT, b"after");
    assert_eq!(receive(&mut port, 1)[0].1, b"after");
    let statistics = port.statistics();
    assert_eq!((statistics.rx_frames, statistics.socket_overflow, statistics.rx_dropped), (5, 0, 0));
}

#[test]
fn a_burst_on_several_sockets_reuses_all_buffers() {
    let Some(net) = TestNet::new("txdp", "a_burst_on_several_sockets_reuses_all_buffers") else { return };
    let mut port = open_port(&net, |config| config.frames = 100);
    for round in 0..20 {
        for number in 0..50u8 {
            send_from_peer(&net, GROUP, PORT, &[number]);
            send_from_peer(&net, OTHER_GROUP, PORT, &[number]);
        }
        let mut batch = FrameBatch::default();
        let mut next = [0u8; 2];
        let deadline = Instant::now() + PATIENCE;
        while next != [50, 50] {
            assert!(Instant::now() < deadline, "round {round}: {next:?}");
            port.wait(10_000_000).expect("polls");
            port.receive(&mut batch);
            for index in 0..batch.len() {
                let frame = batch.take(index).expect("received");
                let bytes = port.bytes(&frame);
                // The stream is the third word of the record.
                let line = usize::from(u16::from_ne_bytes([bytes[4], bytes[5]]) == 9);
                assert_eq!(bytes[32], next[line], "in order on each socket");
                next[line] += 1;
                port.release(frame);
            }
            batch.reset();
        }
    }
    assert_eq!(port.statistics().rx_frames, 2000);
}

#[test]
fn overflow_and_truncation_are_counted() {
    const COUNT: u64 = 3_000;
    let Some(net) = TestNet::new("txdp", "overflow_and_truncation_are_counted") else { return };
    let mut port = open_port(&net, |config| config.kernel_buffer_bytes = 65_536);
    let peer = peer_socket(&net);
    let frame = FrameBuilder::new().udp(SENDER, (GROUP, PORT), &[1; 200]);
    let frame = with_multicast_mac(frame);
    for _ in 0..COUNT {
        peer.send(&frame).expect("sends");
    }
    let mut received = 0;
    let deadline = Instant::now() + PATIENCE;
    let overflow = loop {
        let mut batch = FrameBatch::default();
        received += port.receive(&mut batch) as u64;
        for index in 0..batch.len() {
            port.release(batch.take(index).expect("received"));
        }
        let overflow = port.statistics().socket_overflow;
        if received + overflow + net.link_counter(Side::Peer, "tx", "dropped") >= COUNT {
            break overflow;
        }
        assert!(Instant::now() < deadline, "unaccounted for: {received} + {overflow}");
    };
    eprintln!("sent {COUNT}, received {received}, socket_overflow {overflow}");
    assert!(overflow > 0);
    assert_eq!(received + overflow + net.link_counter(Side::Peer, "tx", "dropped"), COUNT);

    drop(port);
    let mut port = open_port(&net, |config| config.frame_size_bytes = 128);
    send_from_peer(&net, GROUP, PORT, &[2; 97]);
    send_from_peer(&net, GROUP, PORT, &[3; 96]);
    assert_eq!(receive(&mut port, 1)[0].1, [3; 96], "the longest that fits");
    assert_eq!((port.truncated(), port.statistics().rx_dropped), (1, 1));
}

/// The kernel only takes a multicast datagram that came to a multicast MAC (RFC 1112, section 6.4).
fn with_multicast_mac(mut frame: Vec<u8>) -> Vec<u8> {
    let group = GROUP.octets();
    frame[..6].copy_from_slice(&[0x01, 0x00, 0x5e, group[1] & 0x7f, group[2], group[3]]);
    frame
}

#[test]
fn the_socket_port_transmits_nothing_and_refuses_nonsense() {
    let Some(net) = TestNet::new("txdp", "the_socket_port_transmits_nothing_and_refuses_nonsense") else { return };
    let mut port = open_port(&net, |_| {});
    assert!(port.allocate().is_none());
    send_from_peer(&net, GROUP, PORT, b"x");
    port.wait(PATIENCE.as_nanos() as u64).expect("polls");
    let mut batch = FrameBatch::default();
    assert_eq!(port.receive(&mut batch), 1);
    let frame = batch.take(0).expect("received");
    let frame = port.submit(frame, 1).expect_err("refused");
    port.release(frame);
    assert_eq!((port.statistics().tx_full, port.statistics().tx_frames), (2, 0));
    port.kick().expect("does nothing");

    let refused = |config: SocketPortConfig| {
        net.enter(Side::Appliance, || SocketPort::open(&config)).map(drop).expect_err("refused")
    };
    assert!(matches!(refused(SocketPortConfig::new("tern0", vec![])), SocketOpenError::Config(_)));
    let one = SocketSubscription { group: GROUP, port: PORT, stream: 1, line: 0 };
    assert!(matches!(refused(SocketPortConfig::new("nosuch0", vec![one])), SocketOpenError::Interface { .. }));
    let foreign = SocketSubscription { group: Ipv4Addr::new(192, 0, 2, 1), ..one };
    let error = refused(SocketPortConfig::new("tern0", vec![foreign]));
    assert!(error.to_string().contains("192.0.2.1") && error.to_string().contains("binding"), "{error}");
}

#[test]
fn waiting_watches_the_callers_connection_too() {
    let Some(net) = TestNet::new("txdp", "waiting_watches_the_callers_connection_too") else { return };
    let mut port = open_port(&net, |_| {});
    let (mut link, mut peer) = connected(&net);
    assert!(port.watch(&link));
    peer.write_all(b"!").expect("writes");
    let started = Instant::now();
    port.wait(PATIENCE.as_nanos() as u64).expect("polls");
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(link.receive(&mut [0; 8]).expect("receives"), Received::Bytes(1));
    port.unwatch(&link);
    peer.write_all(b"!").expect("writes");
    let started = Instant::now();
    port.wait(20_000_000).expect("polls");
    assert!(started.elapsed() >= Duration::from_millis(20), "it does not look any more");
}

fn connected(net: &TestNet) -> (TcpLink, std::net::TcpStream) {
    let listener = net.enter(Side::Peer, || TcpListener::bind((PEER_ADDRESS, 0))).expect("binds");
    let std::net::SocketAddr::V4(remote) = listener.local_addr().expect("is bound") else { panic!("IPv4") };
    let mut link = net.enter(Side::Appliance, || TcpLink::connect(Some(APPLIANCE_ADDRESS), remote)).expect("starts");
    let (peer, from) = listener.accept().expect("accepts");
    assert_eq!(from.ip(), APPLIANCE_ADDRESS);
    let deadline = Instant::now() + PATIENCE;
    while link.poll().expect("connects") != TcpState::Up {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    peer.set_read_timeout(Some(PATIENCE)).expect("sets");
    (link, peer)
}

#[test]
fn tcp_carries_bytes_both_ways_without_blocking() {
    let Some(net) = TestNet::new("txdp", "tcp_carries_bytes_both_ways_without_blocking") else { return };
    let (mut link, mut peer) = connected(&net);
    let mut buffer = [0; 64];
    assert_eq!(link.receive(&mut buffer).expect("receives"), Received::Nothing);
    assert_eq!(link.send(b"order").expect("sends"), 5);
    peer.read_exact(&mut buffer[..5]).expect("reads");
    assert_eq!(&buffer[..5], b"order");
    peer.write_all(b"fill").expect("writes");
    let deadline = Instant::now() + PATIENCE;
    let received = loop {
        match link.receive(&mut buffer).expect("receives") {
            Received::Nothing => assert!(Instant::now() < deadline),
            received => break received,
        }
    };
    assert_eq!(received, Received::Bytes(4));
    drop(peer);
    while link.receive(&mut buffer).expect("receives") != Received::End {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn a_closed_window_shows_and_a_reset_discards_what_is_queued() {
    let Some(net) = TestNet::new("txdp", "a_closed_window_shows_and_a_reset_discards_what_is_queued") else { return };
    let (mut link, mut peer) = connected(&net);
    assert_eq!(link.unsent_bytes().expect("asks"), 0);
    // The peer does not read: its window closes, and the kernel goes on taking bytes that it cannot send.
    let order = [0x4f; 1000];
    let (mut accepted, mut accepted_when_unsent) = (0, None);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if accepted_when_unsent.is_none() && link.unsent_bytes().expect("asks") > 0 {
            accepted_when_unsent = Some(accepted);
        }
        let count = link.send(&order).expect("sends");
        accepted += count;
        if count == 0 && link.unsent_bytes().expect("asks") > 100 * order.len() {
            break;
        }
        assert!(Instant::now() < deadline, "the send buffer never filled: {accepted} bytes");
    }
    let stopped = accepted_when_unsent.expect("a full buffer has unsent bytes");
    assert!(stopped < accepted, "who asks before sending stops earlier: {stopped} < {accepted}");
    let unsent = link.unsent_bytes().expect("asks");
    assert!(link.unacknowledged_bytes().expect("asks") >= unsent);
    eprintln!("the kernel took {accepted} bytes, {unsent} unsent; first unsent after {stopped}");
    link.reset().expect("resets");
    let mut got = 0;
    let mut buffer = vec![0; 65_536];
    let error = loop {
        match peer.read(&mut buffer) {
            Ok(0) => panic!("an orderly end instead of a reset"),
            Ok(count) => got += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(got <= accepted - unsent, "{got} of {accepted} bytes reached the peer: the {unsent} unsent ones never do");
}

#[test]
fn tcp_tells_why_it_failed() {
    let Some(net) = TestNet::new("txdp", "tcp_tells_why_it_failed") else { return };
    let refused = SocketAddrV4::new(PEER_ADDRESS, 1);
    let mut link = net.enter(Side::Appliance, || TcpLink::connect(None, refused)).expect("starts");
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        match link.poll() {
            Ok(state) => assert_eq!(state, TcpState::Connecting),
            Err(error) => break error,
        }
        assert!(Instant::now() < deadline);
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);

    // Nobody answers: connecting returns at once and stays under way.
    let silent = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 99), 1);
    let started = Instant::now();
    let mut link = net.enter(Side::Appliance, || TcpLink::connect(None, silent)).expect("starts");
    assert_eq!(link.poll().expect("is under way"), TcpState::Connecting);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(link.send(b"x").is_ok_and(|count| count == 0), "nothing is queued before the handshake");

    let nowhere = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 1), 1);
    let error = net.enter(Side::Appliance, || TcpLink::connect(None, nowhere)).map(drop).expect_err("no route");
    assert!(error.to_string().contains("203.0.113.1"), "{error}");
}

/// Waits for the IGMPv3 report (RFC 3376, section 4.2) with a record of this type for the group.
fn igmp_report(peer: &RawSocket, group: Ipv4Addr, wanted: &[u8]) -> bool {
    let found = peer.receive(PATIENCE, |frame| {
        // IPv4 with the router alert option, IGMP; records start 8 bytes into the report.
        let Some(packet) = frame.get(14..).filter(|_| frame[12..14] == [8, 0]) else { return false };
        let report = &packet[usize::from(packet[0] & 15) * 4..];
        let records = usize::from(u16::from_be_bytes([report[6], report[7]]));
        packet[9] == 2
            && report[0] == 0x22
            && report[8..]
                .chunks(8)
                .take(records)
                .any(|record| wanted.contains(&record[0]) && record[4..8] == group.octets())
    });
    found.expect("captures").is_some()
}

/// CHANGE_TO_EXCLUDE_MODE without sources: a join. CHANGE_TO_INCLUDE_MODE without sources: a leave.
const IGMP_JOIN: &[u8] = &[4];
const IGMP_LEAVE: &[u8] = &[3];

#[test]
fn joins_and_leaves_are_sent_on_the_wire() {
    let Some(net) = TestNet::new("txdp", "joins_and_leaves_are_sent_on_the_wire") else { return };
    // As in the XDP mode: the program is attached, and no socket receives.
    let steer = attach(&net, |_| {});
    let port = open(&net, &steer, |_| {});
    let peer = peer_socket(&net);
    let mut membership = net.enter(Side::Appliance, || Membership::new("tern0")).expect("opens");
    // One socket joins 20 groups at most: more need more.
    let groups: Vec<_> = (0..45).map(|number| Ipv4Addr::new(239, 78, 0, number)).collect();
    for &group in &groups {
        assert!(net.enter(Side::Appliance, || membership.join(group)).expect("joins"));
        assert!(igmp_report(&peer, group, IGMP_JOIN), "no IGMP report for {group}");
    }
    assert!(!membership.join(groups[0]).expect("is no error"), "joined already");
    assert_eq!(membership.groups().count(), 45);
    assert!(membership.leave(groups[3]).expect("leaves"));
    assert!(igmp_report(&peer, groups[3], IGMP_LEAVE), "no IGMP leave");
    assert!(!membership.leave(groups[3]).expect("is no error"));
    let error = membership.join(APPLIANCE_ADDRESS).expect_err("not a group");
    assert!(error.to_string().contains("10.77.0.1") && error.to_string().contains("tern0"), "{error}");
    drop(membership);
    assert!(igmp_report(&peer, groups[4], IGMP_LEAVE), "dropping leaves all");
    drop(port);
    steer.detach().expect("detaches");

    // The socket port joins by itself.
    let _port = open_port(&net, |_| {});
    assert!(igmp_report(&peer, GROUP, IGMP_JOIN), "no IGMP report for {GROUP}");
    assert!(net.enter(Side::Appliance, || Membership::new("nosuch0")).is_err());
}
