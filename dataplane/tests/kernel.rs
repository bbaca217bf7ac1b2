//! The order connection over a kernel socket, against listeners on loopback. Time is the test's own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tern_core::input::DownReason;
use tern_core::session::DropReason;
use tern_core::units::TaiNs;
use tern_dataplane::net::kernel::KernelTcp;
use tern_dataplane::net::{ConnectFailure, OrderTransport, TcpCounter, TransportEvent};
use tern_hw::memory::MemoryPort;

const RECONNECT_NS: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(10);

struct Link {
    ours: KernelTcp,
    port: MemoryPort,
    now: TaiNs,
    events: Vec<TransportEvent>,
}

impl Link {
    fn new(local: Option<Ipv4Addr>, venue: SocketAddr) -> Self {
        let SocketAddr::V4(venue) = venue else { panic!("an IPv4 address") };
        let ours = KernelTcp::new(local, venue, RECONNECT_NS, 0);
        Self { ours, port: MemoryPort::new(2), now: TaiNs(1_000_000_000), events: Vec::new() }
    }

    fn counter(&self, counter: TcpCounter) -> u64 {
        OrderTransport::<MemoryPort>::counters(&self.ours)[counter.index()]
    }

    fn failure(&self) -> Option<ConnectFailure> {
        OrderTransport::<MemoryPort>::connect_failure(&self.ours)
    }

    /// Polls until `done`; each poll is a millisecond later for the connection.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "not in time: {what}; events: {:?}", self.events);
            self.now = self.now.plus(1_000_000);
            self.ours.poll(self.now, &mut self.port);
            let mut buffer = [0; 64];
            while let Some(event) = OrderTransport::<MemoryPort>::next_event(&mut self.ours, self.now, &mut buffer) {
                self.events.push(event);
            }
        }
    }
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}

#[test]
fn a_refused_connection_is_counted_with_its_reason_until_one_succeeds() {
    let first = listener();
    let address = first.local_addr().expect("its address");
    drop(first);
    let mut link = Link::new(None, address);
    link.until("three refused attempts", |link| link.counter(TcpCounter::ConnectFailures) == 3);
    assert_eq!(link.counter(TcpCounter::ConnectRefused), 3);
    assert_eq!(link.failure(), Some(ConnectFailure::Refused));
    assert!(link.events.is_empty(), "never up, so never down");
    let _venue = TcpListener::bind(address).expect("the port is free again");
    link.until("a connection", |link| link.events == [TransportEvent::Up]);
    assert_eq!((link.counter(TcpCounter::Connects), link.failure()), (1, None));
}

#[test]
fn an_address_that_this_host_does_not_have_is_its_own_fault() {
    // TEST-NET-1 (RFC 5737): nobody's.
    let mut link = Link::new(Some(Ipv4Addr::new(192, 0, 2, 7)), listener().local_addr().expect("its address"));
    link.until("a failure", |link| link.counter(TcpCounter::ConnectFailures) == 1);
    assert_eq!(link.failure(), Some(ConnectFailure::Local));
}

#[test]
fn a_route_that_leads_nowhere_is_unreachable() {
    // Class E (RFC 1112 section 4): the kernel has no route to it.
    let nowhere = SocketAddrV4::new(Ipv4Addr::new(255, 255, 255, 254), 9);
    let mut link = Link::new(Some(Ipv4Addr::LOCALHOST), nowhere.into());
    link.until("a failure", |link| link.counter(TcpCounter::ConnectFailures) == 1);
    let failure = link.failure().expect("it failed");
    assert!(matches!(failure, ConnectFailure::Unreachable | ConnectFailure::Local), "{failure:?}");
}

/// What the venue reads after it has said its last word.
fn end_of(mut stream: TcpStream) -> Result<usize, ErrorKind> {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.read(&mut [0; 16]).map_err(|error| error.kind())
}

#[test]
fn the_end_of_a_session_is_a_clean_close_and_an_abort_a_reset() {
    let venue = listener();
    let mut link = Link::new(None, venue.local_addr().expect("its address"));
    for (round, finishes) in [true, false].into_iter().enumerate() {
        let (reason, expected) = match finishes {
            true => (DropReason::EndOfSession, Ok(0)),
            false => (DropReason::BadPacket, Err(ErrorKind::ConnectionReset)),
        };
        link.events.clear();
        link.until("a connection", |link| link.events == [TransportEvent::Up]);
        let (mut stream, _) = venue.accept().expect("a connection");
        stream.write_all(b"last").expect("it is sent");
        link.until("the last word", |link| link.events.contains(&TransportEvent::Bytes(4)));
        match finishes {
            true => link.ours.finish(link.now, &mut link.port, reason),
            false => link.ours.abort(link.now, &mut link.port, reason),
        }
        assert_eq!(end_of(stream), expected);
        let down = TransportEvent::Down(DownReason::Dropped(reason));
        link.until("the end", |link| link.events.last() == Some(&down));
        assert_eq!((link.counter(TcpCounter::Finished), link.counter(TcpCounter::Aborts)), (1, round as u64));
    }
}
