//! Ends a venue's TCP connection from outside: for a loop that does not turn any more, or is dead. The venue then cancels
//! what is open, as its port is set (cancel on disconnect).
//!
//! Over AF_XDP the connection lives in the loop's own TCP, so the kernel knows nothing of it. What is needed to reset it lies in
//! the segment ([`ConnState`]). With kernel sockets it is the kernel that ends it ([`destroy`](crate::destroy)). A receiver heeds a reset with exactly the sequence number that it expects (RFC 9293, 3.10.7.4;
//! RFC 5961, 3.2), which lies between what it has acknowledged and a little beyond what the loop last wrote down: each
//! number gets one.

use crate::{destroy, sys};
use std::io;
use std::os::fd::AsRawFd;
use tern_abi::segment::{CONN_STATE_CLOSED, CONN_STATE_KERNEL, ConnState};

/// Bytes that the loop may have sent after it wrote the state down: every message that may wait for TCP, and more.
const AHEAD_BYTES: u32 = 2048;
/// A venue gives up a connection that is silent for some ten seconds (SoupBinTCP 3.00: 15).
const AGE_NS_MAX: u64 = 300_000_000_000;
/// More bytes than that are never under way.
const SPAN_MAX: u32 = 65_536;

/// Ethernet, IPv4 and TCP headers, none with options.
const FRAME_BYTES: usize = 14 + 20 + 20;
const TCP: u8 = 6;
const RST: u8 = 0x04;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The segment knows of no connection.
    NoConnection,
    /// It is one of the kernel's, which destroyed its socket and reset it.
    Destroyed,
    /// It is one of the kernel's, and was reset through the descriptor of the process.
    Disconnected,
    /// What the segment knows of it is so old that the venue has given it up long ago, and its numbers may be another's.
    TooOld,
    /// So many segments were sent.
    Sent(u32),
}

/// Resets the connection of `state`: by segments on `interface`, or, if it is one of the kernel's, by having its socket
/// destroyed, else through the descriptors of the data plane `pid`, if one runs; `now_ns` is TAI. Whether the venue heeds what is
/// sent is not known here.
///
/// # Errors
/// What the kernel reported: EPERM without CAP_NET_RAW, ENODEV for an interface that there is not; for a socket of the kernel's,
/// both ways and why neither could be gone.
pub fn reset(interface: &str, pid: Option<u32>, state: &ConnState, now_ns: u64) -> io::Result<Reset> {
    match state.state {
        CONN_STATE_CLOSED => return Ok(Reset::NoConnection),
        CONN_STATE_KERNEL => return reset_of_kernel(pid, state),
        _ if now_ns.saturating_sub(state.tai_ns) > AGE_NS_MAX => return Ok(Reset::TooOld),
        _ => {}
    }
    let socket = sys::packet_socket(interface)?;
    let mut sent = 0;
    for seq in sequence_numbers(state) {
        match sys::send(socket.as_raw_fd(), &frame(state, seq), 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => std::thread::yield_now(),
            Err(error) => return Err(error),
            Ok(_) => sent += 1,
        }
    }
    Ok(Reset::Sent(sent))
}

/// Old or not: a socket that has the addresses is the connection, or there is none.
fn reset_of_kernel(pid: Option<u32>, state: &ConnState) -> io::Result<Reset> {
    let (own, peer) = destroy::ends(state);
    let error = match destroy::destroy(own, peer) {
        Ok(true) => return Ok(Reset::Destroyed),
        Ok(false) => return Ok(Reset::NoConnection),
        Err(error) => error,
    };
    let explained = |why: &str| {
        let missing = match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => " (the kernel is built without CONFIG_INET_DIAG_DESTROY)",
            Some(libc::EPERM) => " (it takes CAP_NET_ADMIN)",
            _ => "",
        };
        let text =
            format!("the kernel does not destroy the socket: {error}{missing}; {why}; end the data plane's process");
        io::Error::new(error.kind(), text)
    };
    let Some(pid) = pid else { return Err(explained("no process is known to have it")) };
    match destroy::disconnect(pid, own, peer) {
        Ok(true) => Ok(Reset::Disconnected),
        Ok(false) => Ok(Reset::NoConnection),
        Err(other) => Err(explained(&format!("process {pid} does not hand it over: {other}"))),
    }
}

/// The likeliest first: all that was sent has arrived.
fn sequence_numbers(state: &ConnState) -> impl Iterator<Item = u32> {
    let (first, next) = (state.snd_una, state.snd_nxt);
    let span = next.wrapping_sub(first).min(SPAN_MAX) + AHEAD_BYTES;
    [next, first].into_iter().chain((0..=span).map(move |offset| first.wrapping_add(offset)))
}

fn frame(state: &ConnState, seq: u32) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    let (ethernet, packet) = frame.split_at_mut(14);
    ethernet[..6].copy_from_slice(&state.peer_mac);
    ethernet[6..12].copy_from_slice(&state.own_mac);
    ethernet[12..].copy_from_slice(&0x0800_u16.to_be_bytes());
    let (ip, tcp) = packet.split_at_mut(20);
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&40_u16.to_be_bytes());
    // Not to be fragmented.
    ip[6] = 0x40;
    (ip[8], ip[9]) = (64, TCP);
    ip[12..16].copy_from_slice(&state.own_ip);
    ip[16..20].copy_from_slice(&state.peer_ip);
    let sum = checksum(0, ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    tcp[..2].copy_from_slice(&state.own_port.to_be_bytes());
    tcp[2..4].copy_from_slice(&state.peer_port.to_be_bytes());
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[12] = 5 << 4;
    tcp[13] = RST;
    let pseudo = ones_sum(0, &ip[12..20]) + u32::from(TCP) + 20;
    let sum = checksum(pseudo, tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Sum of 16-bit words (RFC 1071), not folded. `bytes` are an even number.
fn ones_sum(start: u32, bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).fold(start, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])))
}

fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = ones_sum(start, bytes);
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ConnState {
        ConnState {
            own_mac: [2, 0, 0, 0, 0, 1],
            peer_mac: [2, 0, 0, 0, 0, 2],
            own_ip: [10, 77, 0, 2],
            peer_ip: [10, 77, 0, 1],
            own_port: 49152,
            peer_port: 9000,
            snd_una: u32::MAX - 4,
            snd_nxt: 6,
            state: tern_abi::segment::CONN_STATE_ESTABLISHED,
            ..ConnState::default()
        }
    }

    #[test]
    fn every_number_that_may_be_expected_gets_one_the_likeliest_first() {
        let numbers: Vec<u32> = sequence_numbers(&state()).collect();
        assert_eq!(numbers[..3], [6, u32::MAX - 4, u32::MAX - 4]);
        assert_eq!(numbers.last(), Some(&(6 + AHEAD_BYTES)));
        assert_eq!(numbers.len() as u32, 2 + 11 + AHEAD_BYTES + 1);
        // A state that makes no sense costs a bounded number.
        let torn = ConnState { snd_una: 0, snd_nxt: u32::MAX, ..state() };
        assert!(sequence_numbers(&torn).count() < 70_000);
    }

    #[test]
    fn the_frame_is_a_reset_with_right_checksums() {
        let frame = frame(&state(), 0x0102_0304);
        assert_eq!(frame[..14], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        assert_eq!(checksum(0, &frame[14..34]), 0, "the sum over a header with its checksum is all ones");
        let pseudo = ones_sum(0, &frame[26..34]) + u32::from(TCP) + 20;
        assert_eq!(checksum(pseudo, &frame[34..]), 0);
        assert_eq!((frame[34..38].to_vec(), frame[38..42].to_vec()), (vec![192, 0, 35, 40], vec![1, 2, 3, 4]));
        assert_eq!((frame[46] >> 4, frame[47]), (5, RST));
    }

    #[test]
    fn without_a_connection_nothing_is_sent() {
        let of = |kind| reset("no-such-if0", None, &ConnState { state: kind, ..state() }, 5);
        assert_eq!(of(CONN_STATE_CLOSED).expect("nothing to do"), Reset::NoConnection);
        assert!(of(tern_abi::segment::CONN_STATE_ESTABLISHED).is_err());
        let late = reset("no-such-if0", None, &state(), AGE_NS_MAX + 1).expect("nothing is done");
        assert_eq!(late, Reset::TooOld);
    }
}
