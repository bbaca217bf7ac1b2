//! The order connection over a port, against another TCP stack on a wire in memory.

mod common;

use common::{Faults, Link, config};
use smoltcp::socket::tcp::State;
use tern_core::input::DownReason;
use tern_core::session::DropReason;
use tern_dataplane::net::mirror::MirrorState;
use tern_dataplane::net::{ConnectFailure, OrderTransport, TcpCounter, TransportEvent};
use tern_hw::memory::MemoryPort;

const SECOND: u64 = 1_000_000_000;

#[test]
fn connects_exchanges_and_mirrors_the_numbers() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    assert_eq!(link.ours.connection().state, MirrorState::Established);
    assert!(link.room() > 1000, "room {}", link.room());

    assert!(link.send(b"order one"));
    assert_eq!(link.unsent(), 0, "the bytes left with the send");
    link.run_until(1, |link| link.peer.socket().recv_queue() == 9);
    assert_eq!(link.peer.read(), b"order one");
    link.peer.send(b"accepted");
    link.run_until(1, |link| link.received == b"accepted");

    link.step(SECOND / 10);
    link.step(SECOND / 10);
    let connection = *link.ours.connection();
    assert_eq!(connection.unacknowledged, connection.next, "all is acknowledged");
    assert_eq!(connection.remote_mac, [2, 0, 0, 0, 0, 1]);
    assert_eq!(link.counter(TcpCounter::Connects), 1);
    assert_eq!(link.counter(TcpCounter::BytesIn), 8);
    assert_eq!(link.counter(TcpCounter::BytesOut), 9);
    assert_eq!(link.counter(TcpCounter::Retransmits), 0);
    assert_eq!(link.counter(TcpCounter::BadChecksum), 0);
}

#[test]
fn a_closed_window_refuses_and_an_opened_one_takes_again() {
    let mut link = Link::new(config(), 1000);
    link.connect();
    let message = [b'x'; 60];
    let mut taken = 0;
    link.run_until(5, |link| {
        if link.send(&message) {
            taken += 60;
            assert_eq!(link.unsent(), 0, "nothing waits behind the window");
        }
        link.room() < 60 && link.peer.socket().recv_queue() == taken
    });
    assert_eq!(taken, 960, "so much fits into a window of 1000 bytes");
    let refused = link.counter(TcpCounter::Refused);
    assert!(!link.send(&message));
    assert_eq!(link.counter(TcpCounter::Refused), refused + 1);

    assert_eq!(link.peer.read().len(), 960);
    link.run_until(2, |link| link.room() >= 60);
    assert!(link.send(&message));
    link.run_until(1, |link| link.peer.socket().recv_queue() == 60);
}

#[test]
fn a_lost_window_update_is_found_by_the_keep_alive() {
    let mut link = Link::new(config(), 1000);
    link.connect();
    while link.send(&[b'x'; 60]) {
        link.step(1_000_000);
    }
    link.run_until(1, |link| link.ours.connection().unacknowledged == link.ours.connection().next);
    assert!(link.room() < 60);
    link.peer.read();
    link.peer.poll(link.now);
    assert!(!link.peer.queues.from_peer.is_empty(), "the peer announces its window");
    link.peer.queues.from_peer.clear();
    link.run_until(2, |link| link.room() >= 960);
}

#[test]
fn a_reset_of_the_peer_comes_after_its_last_bytes_and_is_followed_by_a_new_connection() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    let first_port = link.ours.connection().local_port;
    link.peer.send(b"tail");
    link.peer.poll(link.now);
    link.peer.socket().abort();
    link.peer.poll(link.now);
    link.carry_in();
    link.poll_ours();
    let down = TransportEvent::Down(DownReason::Reset);
    assert_eq!(link.events, [TransportEvent::Up, TransportEvent::Bytes(4), down]);
    assert_eq!(link.room(), 0);
    assert!(!link.send(b"x"));
    assert_eq!(link.counter(TcpCounter::PeerReset), 1);

    link.peer.listen();
    link.run_until(5, |link| link.events.len() == 4);
    assert_eq!(link.events[3], TransportEvent::Up);
    assert_ne!(link.ours.connection().local_port, first_port);
}

#[test]
fn a_close_of_the_peer_ends_in_order() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    link.peer.socket().close();
    link.run_until(2, |link| link.peer.state() == State::Closed || link.peer.state() == State::TimeWait);
    assert_eq!(link.events, [TransportEvent::Up, TransportEvent::Down(DownReason::Closed)]);
    assert_eq!(link.counter(TcpCounter::PeerClosed), 1);
    assert_eq!(link.counter(TcpCounter::Aborts), 0);
}

#[test]
fn our_close_is_final() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    link.ours.close(link.now, &mut link.port);
    link.run_until(2, |link| link.peer.state() == State::CloseWait);
    link.peer.socket().close();
    link.run_until(2, |link| OrderTransport::<MemoryPort>::is_closed(&link.ours));
    for _ in 0..100 {
        link.step(SECOND / 10);
    }
    assert_eq!(link.counter(TcpCounter::Connects), 1);
}

#[test]
fn connecting_is_repeated_with_a_growing_back_off() {
    let mut link = Link::new(config(), 1 << 16);
    link.peer.socket().abort();
    for _ in 0..200_000 {
        link.step(100_000);
    }
    let failures = link.counter(TcpCounter::ConnectFailures);
    assert!((4..=7).contains(&failures), "{failures} attempts in 20 s");
    assert!(link.events.is_empty(), "never up, so never down");
    // The peer's host is there and nobody listens.
    assert_eq!(link.counter(TcpCounter::ConnectRefused), failures);
    assert_eq!(OrderTransport::<MemoryPort>::connect_failure(&link.ours), Some(ConnectFailure::Refused));
    link.peer.listen();
    link.run_until(20, |link| link.events == [TransportEvent::Up]);
}

/// When the connection was up, each time within `seconds`; each is dropped at once for `reason`.
fn attempts(reason: DropReason, seconds: u64) -> Vec<u64> {
    let mut link = Link::new(config(), 1 << 16);
    let (start, mut ups) = (link.now, Vec::new());
    while link.now.since(start) < seconds * SECOND {
        link.step(100_000);
        if link.events.last() == Some(&TransportEvent::Up) {
            ups.push(link.now.since(start));
            link.ours.abort(link.now, &mut link.port, reason);
            link.carry_out();
            link.peer.poll(link.now);
            link.peer.listen();
            link.poll_ours();
            assert_eq!(link.events.last(), Some(&TransportEvent::Down(DownReason::Dropped(reason))));
        }
    }
    ups
}

#[test]
fn a_venue_that_takes_connections_but_refuses_the_session_is_tried_less_and_less_often() {
    let ups = attempts(DropReason::BadPacket, 40);
    let pauses: Vec<u64> = ups.windows(2).map(|pair| (pair[1] - pair[0]) / config().reconnect_ns).collect();
    assert_eq!(pauses[..5], [1, 2, 4, 8, 16], "{pauses:?}");
    assert!(pauses[5..].iter().all(|pause| *pause == 16), "bounded: {pauses:?}");

    // A session that was ready is no refusal.
    let mut link = Link::new(config(), 1 << 16);
    for up in 1..4 {
        link.run_until(5, |link| link.events.len() == 2 * up - 1);
        OrderTransport::<MemoryPort>::settled(&mut link.ours);
        let dropped = link.now;
        link.ours.abort(link.now, &mut link.port, DropReason::BadPacket);
        link.poll_ours();
        link.peer.poll(link.now);
        link.run_until(1, |link| link.peer.state() == State::Closed || link.peer.state() == State::Listen);
        link.peer.listen();
        link.run_until(5, |link| link.events.len() == 2 * up + 1);
        let pause = link.now.since(dropped) / config().reconnect_ns;
        assert_eq!(pause, 1, "after connection {up}");
    }
}

#[test]
fn a_survey_is_followed_by_a_connection_at_once_but_not_by_another_survey() {
    let ups = attempts(DropReason::Surveyed, 3);
    let pauses: Vec<u64> = ups.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] < SECOND / 20, "{pauses:?}");
    assert!(pauses[1..].iter().all(|pause| *pause >= config().reconnect_ns), "{pauses:?}");
}

#[test]
fn a_connection_that_nobody_answers_says_how_far_it_came() {
    // Nothing arrives: not even the ARP request is answered.
    let mut link = Link::new(config(), 1 << 16);
    link.faults = Faults::new(1, 1000, 0);
    link.run_until(30, |link| link.counter(TcpCounter::ConnectFailures) == 2);
    assert_eq!(link.counter(TcpCounter::ConnectUnreachable), 2);
    assert_eq!(OrderTransport::<MemoryPort>::connect_failure(&link.ours), Some(ConnectFailure::Unreachable));

    // The address is known, the SYN goes out, and nothing comes back.
    let mut link = Link::new(config(), 1 << 16);
    link.run_until(5, |link| link.ours.connection().state == MirrorState::SynSent);
    link.faults = Faults::new(1, 1000, 0);
    link.run_until(30, |link| link.counter(TcpCounter::ConnectFailures) == 1);
    assert_eq!(link.counter(TcpCounter::ConnectUnanswered), 1);
    assert_eq!(OrderTransport::<MemoryPort>::connect_failure(&link.ours), Some(ConnectFailure::Unanswered));
    link.faults = Faults::new(1, 0, 0);
    link.run_until(30, |link| link.events.last() == Some(&TransportEvent::Up));
    assert_eq!(OrderTransport::<MemoryPort>::connect_failure(&link.ours), None);
}

#[test]
fn the_end_of_a_session_is_a_clean_close_and_a_new_connection() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    link.peer.send(b"end");
    link.run_until(1, |link| link.received == b"end");
    link.ours.finish(link.now, &mut link.port, DropReason::EndOfSession);
    let down = TransportEvent::Down(DownReason::Dropped(DropReason::EndOfSession));
    link.run_until(1, |link| link.events.last() == Some(&down));
    link.run_until(1, |link| link.peer.state() == State::CloseWait);
    // What the venue still says is not looked at.
    link.peer.send(b"more");
    link.run_until(1, |link| link.ours.connection().expected != 0 && link.peer.socket().send_queue() == 0);
    assert_eq!((link.received.as_slice(), link.events.len()), (&b"end"[..], 3));
    link.peer.socket().close();
    link.run_until(1, |link| link.peer.state() == State::Closed);
    assert_eq!((link.counter(TcpCounter::Finished), link.counter(TcpCounter::Aborts)), (1, 0));
    link.peer.listen();
    link.run_until(5, |link| link.events.last() == Some(&TransportEvent::Up));
}

#[test]
fn a_venue_that_ends_the_session_and_never_closes_is_reset_in_the_end() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    link.ours.finish(link.now, &mut link.port, DropReason::EndOfSession);
    link.run_until(2, |link| link.peer.state() == State::Closed);
    assert_eq!((link.counter(TcpCounter::Finished), link.counter(TcpCounter::Aborts)), (1, 1));
}

#[test]
fn silence_of_the_peer_ends_the_connection() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    assert!(link.send(b"into the void"));
    link.faults = Faults::new(1, 1000, 0);
    link.run_until(10, |link| link.events.len() > 1);
    assert_eq!(link.events[1], TransportEvent::Down(DownReason::TimedOut));
    assert!(link.counter(TcpCounter::Retransmits) >= 1);
    link.faults = Faults::new(1, 0, 0);
    // The venue still holds the old connection; ours is a new one all the same.
    link.peer.socket().abort();
    link.peer.poll(link.now);
    link.peer.listen();
    link.run_until(30, |link| link.events.len() == 3);
}

#[test]
fn loss_and_reordering_lose_no_byte() {
    for seed in 1..=5 {
        let mut link = Link::new(config(), 1 << 16);
        link.connect();
        link.faults = Faults::new(seed, 10, 10);
        let (mut sent, mut got, mut answers) = (Vec::new(), Vec::new(), 0_u32);
        let mut next = 0_u32;
        link.run_until(200, |link| {
            if next < 2000 && link.send(&[next.to_le_bytes(); 12].concat()) {
                sent.extend_from_slice(&[next.to_le_bytes(); 12].concat());
                next += 1;
            }
            let more = link.peer.read();
            if !more.is_empty() && link.peer.socket().can_send() {
                link.peer.send(&more[..more.len().min(16)]);
                answers += more.len().min(16) as u32;
            }
            got.extend_from_slice(&more);
            next == 2000 && got.len() == sent.len() && link.received.len() == answers as usize
        });
        assert_eq!(got, sent, "seed {seed}");
        assert!(link.faults.lost > 10 && link.faults.swapped > 0, "the wire was faulty");
        assert!(link.counter(TcpCounter::Retransmits) > 0);
        assert_eq!(link.events.iter().filter(|event| **event == TransportEvent::Up).count(), 1);
    }
}

#[test]
fn an_expired_arp_entry_is_asked_for_again() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    let arp = link.counter(TcpCounter::Arp);
    // Nothing passes for longer than an entry lives (60 s) and our timeout is not asked: time jumps.
    link.now = link.now.plus(61 * SECOND);
    link.run_until(20, |link| link.counter(TcpCounter::Connects) == 2 || link.counter(TcpCounter::Arp) > arp);
    assert!(link.counter(TcpCounter::Arp) > arp);
}

#[test]
fn damaged_segments_are_counted_and_dropped() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    link.peer.send(b"payload");
    link.peer.poll(link.now);
    let frame = link.peer.queues.from_peer.back_mut().expect("a segment");
    *frame.last_mut().expect("a byte") ^= 1;
    link.carry_in();
    link.poll_ours();
    assert_eq!(link.counter(TcpCounter::BadChecksum), 1);
    for garbage in [&[][..], &[0; 13], &[0xff; 60]] {
        OrderTransport::<MemoryPort>::stage(&mut link.ours, garbage);
        link.ours.poll(link.now, &mut link.port);
    }
    OrderTransport::<MemoryPort>::stage(&mut link.ours, &[0xff; 4000]);
    assert_eq!(link.counter(TcpCounter::Malformed), 4);
    // The peer sends again.
    link.run_until(3, |link| link.received == b"payload");
}

#[test]
fn recall_resets_a_connection_whose_bytes_did_not_arrive() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    assert!(link.send(b"arrived"));
    link.run_until(1, |link| link.ours.connection().unacknowledged == link.ours.connection().next);
    assert!(!link.ours.recall(link.now, &mut link.port), "nothing to recall");

    // Lost on the wire: TCP would send it again after a second.
    assert!(link.send(b"never"));
    let mut frame = [0; tern_hw::memory::FRAME_BYTES];
    while link.port.take(&mut frame).is_some() {}
    assert!(!link.ours.recall(link.now, &mut link.port), "it may have arrived");
    link.run_until(2, |link| link.events.len() == 2);
    assert_eq!(link.events[1], TransportEvent::Down(DownReason::Dropped(DropReason::Killed)));
    link.run_until(2, |link| link.peer.state() == State::Closed || link.peer.state() == State::Listen);
    assert_eq!(link.peer.read(), b"arrived");
    assert_eq!(link.counter(TcpCounter::Recalled), 1);
    assert_eq!(link.counter(TcpCounter::Retransmits), 0);
}

/// The port's frames are lost; how many there were.
fn lose(link: &mut Link) -> usize {
    let mut frame = [0; tern_hw::memory::FRAME_BYTES];
    std::iter::from_fn(|| link.port.take(&mut frame)).count()
}

const KILLED: TransportEvent = TransportEvent::Down(DownReason::Dropped(DropReason::Killed));

#[test]
fn orders_lost_before_a_kill_are_not_sent_again_after_it() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    let sent_at = link.now;
    assert!(link.send(b"never"));
    assert_eq!(lose(&mut link), 1);
    // The retransmission is due 1 s after the loss: before a recall's patience is over.
    while link.now < sent_at.plus(900_000_000) {
        link.step(1_000_000);
    }
    assert!(!link.ours.recall(link.now, &mut link.port));
    link.run_until(1, |link| link.events.contains(&KILLED));
    assert!(link.now < sent_at.plus(1_050_000_000), "at the retransmission, not when patience ended");
    link.run_until(2, |link| link.peer.state() == State::Closed || link.peer.state() == State::Listen);
    assert_eq!(link.peer.read(), b"");
    assert_eq!((link.counter(TcpCounter::Recalled), link.counter(TcpCounter::RecalledBytes)), (1, 5));
    assert_eq!(link.counter(TcpCounter::Retransmits), 0);
}

#[test]
fn duplicate_acknowledgments_after_a_kill_bring_no_order_back() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    assert!(link.send(b"first"));
    assert_eq!(lose(&mut link), 1);
    for _ in 0..4 {
        assert!(link.send(b"later"));
    }
    assert!(!link.ours.recall(link.now, &mut link.port));
    assert!(link.mint.cancel(b"cancel", &mut link.ours), "the connection is there for cancels");
    link.ours.flush(link.now, &mut link.port);
    let killed_at = link.now;
    link.run_until(1, |link| link.events.contains(&KILLED));
    assert!(link.now < killed_at.plus(100_000_000), "at the third duplicate");
    assert_eq!(link.peer.read(), b"", "what lies behind a hole is nothing yet");
    assert_eq!((link.counter(TcpCounter::RecalledBytes), link.counter(TcpCounter::Retransmits)), (25, 0));
}

#[test]
fn orders_that_have_not_left_at_a_kill_never_leave() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    assert!(link.mint.order(b"taken, not flushed", &mut link.ours));
    assert_eq!(link.unsent(), 18);
    assert!(link.ours.recall(link.now, &mut link.port), "at once");
    link.run_until(2, |link| link.peer.state() == State::Closed || link.peer.state() == State::Listen);
    assert!(link.events.contains(&KILLED));
    assert_eq!(link.peer.read(), b"");
    assert_eq!(link.counter(TcpCounter::RecalledBytes), 18);
}

#[test]
fn cancels_and_housekeeping_outlive_a_kill() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    assert!(link.mint.cancel(b"cancel", &mut link.ours) && link.mint.control(b"heartbeat", &mut link.ours));
    assert!(!link.ours.recall(link.now, &mut link.port), "not flushed, but nothing to fear");
    link.ours.flush(link.now, &mut link.port);
    assert_eq!(lose(&mut link), 1);
    assert!(!link.ours.recall(link.now, &mut link.port));
    link.run_until(3, |link| link.peer.read() == b"cancelheartbeat");
    assert_eq!((link.counter(TcpCounter::Recalled), link.counter(TcpCounter::Retransmits)), (0, 1));
    assert_eq!(link.events, [TransportEvent::Up]);
}

#[test]
fn orders_under_way_at_a_kill_cost_no_connection_when_they_arrive() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    assert!(link.send(b"order"));
    assert!(!link.ours.recall(link.now, &mut link.port));
    let killed_at = link.now;
    while link.now < killed_at.plus(SECOND) {
        link.step(1_000_000);
    }
    assert_eq!((link.peer.read(), link.counter(TcpCounter::Recalled)), (b"order".to_vec(), 0));
    assert_eq!(link.events, [TransportEvent::Up]);
}

#[test]
fn an_opening_from_the_venues_side_is_dropped() {
    let mut link = Link::new(config(), 1 << 16);
    link.poll_ours();
    // Our SYN still waits for the venue's ARP answer: the stack has announced no window yet.
    let mut frame = syn(link.ours.connection().local_port, None);
    OrderTransport::<MemoryPort>::stage(&mut link.ours, &frame);
    link.ours.poll(link.now, &mut link.port);
    assert_eq!(link.counter(TcpCounter::Unacceptable), 1);
    *frame.last_mut().expect("a byte") ^= 1;
    OrderTransport::<MemoryPort>::stage(&mut link.ours, &frame);
    assert_eq!(link.counter(TcpCounter::BadChecksum), 1);
    link.connect();
}

#[test]
fn an_acknowledgment_that_the_stack_does_not_take_lets_no_order_out() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    assert!(link.send(b"never"));
    assert_eq!(lose(&mut link), 1);
    let connection = *link.ours.connection();
    // Outside our window: the stack drops it, acknowledgment and all.
    let frame = syn(connection.local_port, Some(connection.next));
    OrderTransport::<MemoryPort>::stage(&mut link.ours, &frame);
    link.ours.poll(link.now, &mut link.port);
    assert!(!link.ours.recall(link.now, &mut link.port));
    link.run_until(1, |link| link.events.contains(&KILLED));
    assert_eq!((link.peer.read(), link.counter(TcpCounter::RecalledBytes)), (Vec::new(), 5));
}

/// A SYN of the venue to our port.
fn syn(port: u16, ack: Option<u32>) -> Vec<u8> {
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::*;
    let tcp = TcpRepr {
        src_port: common::VENUE.port(),
        dst_port: port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: ack.map(|ack| TcpSeqNumber(ack.cast_signed())),
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (src_addr, dst_addr) = (*common::VENUE.ip(), common::OURS);
    let ip =
        Ipv4Repr { src_addr, dst_addr, next_header: IpProtocol::Tcp, payload_len: tcp.buffer_len(), hop_limit: 64 };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress([2, 0, 0, 0, 0, 1]),
        dst_addr: EthernetAddress(common::MAC),
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut frame = vec![0; 34 + tcp.buffer_len()];
    let checksums = ChecksumCapabilities::default();
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut frame));
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &checksums);
    let tcp_bytes = &mut frame[34..];
    tcp.emit(&mut TcpPacket::new_unchecked(tcp_bytes), &src_addr.into(), &dst_addr.into(), &checksums);
    frame
}

#[test]
fn every_frame_comes_back_to_the_port() {
    let mut link = Link::new(config(), 1 << 16);
    link.connect();
    for round in 0..500_u32 {
        assert!(link.send(&round.to_le_bytes()));
        link.step(100_000);
        link.peer.read();
    }
    link.poll_ours();
    link.carry_out();
    // One frame may wait in the stack for the next segment.
    assert!(link.port.free_frames() >= 255, "{} of 256 frames are free", link.port.free_frames());
}
