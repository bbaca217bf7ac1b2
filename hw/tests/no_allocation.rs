//! After opening, neither port allocates: not by receiving, giving back, sending, kicking, waiting or counting.
#![allow(unsafe_code, reason = "a global allocator that counts")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{SocketAddrV4, UdpSocket};

use support::*;
use tern_hw::port::{FrameBatch, Port};
use tern_hw::socket::{SocketPort, SocketPortConfig, SocketSubscription};
use tern_hw::testnet::{APPLIANCE_MAC, FrameBuilder, PEER_MAC, Side, TestNet};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(start, layout) }
    }
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(start, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Takes `count` frames through all the calls of a loop; returns how many allocations that took.
fn allocations(port: &mut impl Port, count: u64, answer: Option<&[u8]>) -> u64 {
    let mut batch = FrameBatch::default();
    let mut received = 0;
    let before = ALLOCATIONS.get();
    while received < count {
        port.wait(1_000_000_000).expect("polls");
        received += port.receive(&mut batch) as u64;
        for index in 0..batch.len() {
            if let Some(frame) = batch.take(index) {
                assert!(port.bytes(&frame).len() > 32);
                port.release(frame);
            }
        }
        batch.reset();
        if let (Some(answer), Some(mut frame)) = (answer, port.allocate()) {
            port.bytes_mut(&mut frame)[..answer.len()].copy_from_slice(answer);
            port.submit(frame, answer.len()).expect("the ring has room");
        }
        port.kick().expect("kicks");
        assert_eq!(port.statistics().dropped(), 0);
    }
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(ALLOCATIONS.get(), before + 1);
}

#[test]
fn the_xdp_port_allocates_nothing() {
    let Some(net) = TestNet::new("txdp", "the_xdp_port_allocates_nothing") else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |_| {});
    let peer = peer_socket(&net);
    let frame = FrameBuilder::new().udp(SENDER, (GROUP, PORT), b"tick");
    let answer = FrameBuilder::new().destination(PEER_MAC).source(APPLIANCE_MAC).udp((OWN, 1), SENDER, b"trade");
    for _ in 0..20 {
        for _ in 0..500 {
            peer.send(&frame).expect("sends");
        }
        assert_eq!(allocations(&mut port, 500, Some(&answer)), 0);
    }
    assert!(port.statistics().tx_frames > 0);
    steer.detach().expect("detaches");
}

#[test]
fn the_socket_port_allocates_nothing() {
    let Some(net) = TestNet::new("txdp", "the_socket_port_allocates_nothing") else { return };
    let subscription = SocketSubscription { group: GROUP, port: PORT, stream: 1, line: 0 };
    let config = SocketPortConfig::new("tern0", vec![subscription]);
    let mut port = net.enter(Side::Appliance, || SocketPort::open(&config)).expect("opens");
    let sender = net.enter(Side::Peer, || UdpSocket::bind("0.0.0.0:0")).expect("binds");
    for _ in 0..20 {
        for _ in 0..500 {
            sender.send_to(b"tick", SocketAddrV4::new(GROUP, PORT)).expect("sends");
        }
        assert_eq!(allocations(&mut port, 500, None), 0);
    }
}
