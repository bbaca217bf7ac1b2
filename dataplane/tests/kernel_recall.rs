//! A kill on the order connection over a kernel socket, on loopback.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tern_core::input::DownReason;
use tern_core::session::DropReason;
use tern_core::testing::Mint;
use tern_core::units::TaiNs;
use tern_dataplane::net::kernel::KernelTcp;
use tern_dataplane::net::{OrderTransport, TcpCounter, TransportEvent};
use tern_hw::memory::MemoryPort;

struct World {
    ours: KernelTcp,
    port: MemoryPort,
    mint: Mint,
    venue: TcpStream,
    start: Instant,
}

impl World {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let SocketAddr::V4(address) = listener.local_addr().expect("bound") else { panic!("IPv4") };
        let (mut port, start) = (MemoryPort::new(4), Instant::now());
        let mut ours = KernelTcp::new(None, address, 1_000_000_000, 0);
        ours.poll(TaiNs(1), &mut port);
        let (venue, _) = listener.accept().expect("connects");
        venue.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let mut world = Self { ours, port, mint: Mint::default(), venue, start };
        assert_eq!(world.event(), TransportEvent::Up);
        world
    }

    fn now(&self) -> TaiNs {
        TaiNs(1 + self.start.elapsed().as_nanos() as u64)
    }

    fn poll(&mut self) -> Option<TransportEvent> {
        let now = self.now();
        self.ours.poll(now, &mut self.port);
        OrderTransport::<MemoryPort>::next_event(&mut self.ours, now, &mut [0; 64])
    }

    fn event(&mut self) -> TransportEvent {
        while self.start.elapsed() < Duration::from_secs(10) {
            if let Some(event) = self.poll() {
                return event;
            }
        }
        panic!("nothing happens");
    }

    fn recall(&mut self) -> bool {
        self.ours.recall(self.now(), &mut self.port)
    }

    fn flush(&mut self) {
        self.ours.flush(self.now(), &mut self.port);
    }

    fn counter(&self, counter: TcpCounter) -> u64 {
        OrderTransport::<MemoryPort>::counters(&self.ours)[counter.index()]
    }
}

#[test]
fn orders_taken_but_not_flushed_at_a_kill_never_leave() {
    let mut world = World::new();
    assert!(world.mint.order(b"never", &mut world.ours));
    assert!(world.recall(), "at once");
    world.flush();
    assert_eq!(world.event(), TransportEvent::Down(DownReason::Dropped(DropReason::Killed)));
    let mut got = Vec::new();
    let ended = world.venue.read_to_end(&mut got);
    assert_eq!((got.len(), ended.map_err(|error| error.kind())), (0, Err(ErrorKind::ConnectionReset)));
    assert_eq!((world.counter(TcpCounter::Recalled), world.counter(TcpCounter::RecalledBytes)), (1, 5));
}

#[test]
fn orders_that_arrived_and_cancels_cost_no_connection() {
    let mut world = World::new();
    assert!(world.mint.order(b"order", &mut world.ours));
    world.flush();
    let mut got = [0; 5];
    world.venue.read_exact(&mut got).expect("arrives");
    assert!(world.mint.cancel(b"cancel", &mut world.ours));
    assert!(!world.recall(), "loopback acknowledges before a read sees the bytes");
    world.flush();
    let mut got = [0; 6];
    world.venue.read_exact(&mut got).expect("the cancel arrives");
    let until = Instant::now() + Duration::from_millis(20);
    while Instant::now() < until {
        assert_eq!(world.poll(), None);
    }
    assert_eq!(world.counter(TcpCounter::Recalled), 0);
}
