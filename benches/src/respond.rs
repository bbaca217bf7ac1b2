//! The least that answers a datagram with kernel sockets, spinning on the last core as the loop does: what Tern is
//! compared with on the wire.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};

use crate::setting::pin_to;

/// Bytes of an Enter Order of Tern with its framing: what the bare responder sends for every datagram.
pub const ORDER_BYTES: usize = 50;
/// Port of the feed.
pub const FEED_PORT: u16 = 26_400;
/// Port of the venue's order gateway.
pub const ORDER_PORT: u16 = 9_000;

/// Answers until it is killed. `kind` is `tcp` (an order on a connection to `venue`) or `udp` (the datagram, back to its
/// sender); `feed` is `group@interface address`.
///
/// # Panics
/// When an address is wrong or the venue is gone.
pub fn run(kind: &str, venue: &str, feed: &str) {
    let (group, interface) = feed.split_once('@').expect("group@interface address");
    let address = |text: &str| text.parse::<Ipv4Addr>().expect("an address");
    let socket = UdpSocket::bind((address(group), FEED_PORT)).expect("the feed's port is free");
    socket.join_multicast_v4(&address(group), &address(interface)).expect("a multicast group");
    socket.set_nonblocking(true).expect("a socket");
    let mut order = (kind == "tcp").then(|| {
        let stream = TcpStream::connect((venue, ORDER_PORT)).expect("the venue listens");
        stream.set_nodelay(true).expect("a socket");
        stream
    });
    pin_to(*tern_hw::pin::allowed_cores().last().expect("a core"));
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            std::hint::spin_loop();
            continue;
        };
        match &mut order {
            Some(stream) => stream.write_all(&[b'O'; ORDER_BYTES]).expect("the venue reads"),
            None => drop(socket.send_to(&buffer[..length], from)),
        }
    }
}
