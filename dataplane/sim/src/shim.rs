//! A bridge between two interfaces that loses and reorders TCP segments, seeded: so that an order session can be tested
//! on a bad link. Everything else passes untouched. SIGUSR1 cuts the link for TCP segments, SIGUSR2 mends it.
//!
//! It copies Ethernet frames between two packet sockets. The interfaces need no address; the hosts behind them must
//! compute checksums and segments themselves (`ethtool -K DEV tx off` on both far ends of veth pairs), because a frame
//! whose checksum was left to hardware is worthless on a wire that has none.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket};
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// A frame that is held back passes at the latest after this.
const HOLD: Duration = Duration::from_millis(5);
/// Largest frame that is copied: jumbo with VLAN tag.
const FRAME_BYTES_MAX: usize = 9_218;

/// What one direction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Frames passed on.
    pub passed: u64,
    /// TCP segments lost.
    pub lost: u64,
    /// TCP segments that came while the link was cut.
    #[serde(default)]
    pub cut: u64,
    /// TCP segments passed behind a later one.
    pub reordered: u64,
    /// Frames that the other interface did not take: too large, or it is down.
    pub refused: u64,
}

/// One direction's fate of frames, without I/O.
#[derive(Debug)]
pub struct Direction {
    loss_share: u32,
    reorder_share: u32,
    rng: Rng,
    held: VecDeque<(Instant, Vec<u8>)>,
    /// No TCP segment passes.
    pub is_cut: bool,
    /// What happened so far.
    pub counts: Counts,
}

impl Direction {
    /// Shares are of 65,536 TCP segments.
    pub const fn new(loss_share: u32, reorder_share: u32, seed: u64) -> Self {
        Self {
            loss_share,
            reorder_share,
            rng: Rng::new(seed),
            held: VecDeque::new(),
            is_cut: false,
            counts: Counts { passed: 0, lost: 0, cut: 0, reordered: 0, refused: 0 },
        }
    }

    /// Decides on a frame; frames to send now are handed to `pass`, in their order.
    pub fn take(&mut self, now: Instant, frame: &[u8], mut pass: impl FnMut(&[u8])) {
        if is_tcp(frame) {
            if self.is_cut {
                self.counts.cut += 1;
                return;
            }
            if self.rng.chance(self.loss_share) {
                self.counts.lost += 1;
                return;
            }
            if self.held.is_empty() && self.rng.chance(self.reorder_share) {
                self.held.push_back((now + HOLD, frame.to_vec()));
                return;
            }
        }
        pass(frame);
        self.counts.passed += 1;
        if is_tcp(frame) {
            while let Some((_, late)) = self.held.pop_front() {
                self.counts.reordered += 1;
                self.counts.passed += 1;
                pass(&late);
            }
        }
    }

    /// Hands out frames that were held long enough: nothing came to overtake them.
    pub fn expire(&mut self, now: Instant, mut pass: impl FnMut(&[u8])) {
        while self.held.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, frame)) = self.held.pop_front() {
                self.counts.passed += 1;
                pass(&frame);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.held.front().map(|(until, _)| *until)
    }
}

/// Whether a frame is a TCP segment over IPv4, with or without a VLAN tag.
fn is_tcp(frame: &[u8]) -> bool {
    let at = if frame.get(12..14) == Some(&[0x81, 0x00]) { 16 } else { 12 };
    frame.get(at..at + 2) == Some(&[0x08, 0x00]) && frame.get(at + 2 + 9) == Some(&6)
}

fn open(interface: &str) -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let descriptor = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
        .context("open a packet socket: it needs CAP_NET_RAW")?;
    let address = nix::ifaddrs::getifaddrs()
        .context("list the interfaces")?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address.and_then(|address| address.as_link_addr().copied()));
    let Some(address) = address else { bail!("no interface {interface} in this network namespace") };
    bind(descriptor.as_raw_fd(), &address).with_context(|| format!("bind to {interface}"))?;
    Ok(descriptor)
}

/// Bridges two interfaces until SIGTERM or SIGINT; returns what each direction did.
///
/// # Errors
/// When an interface is not there, the privilege is missing or waiting fails.
pub fn run(interfaces: [&str; 2], mut directions: [Direction; 2], ready: impl FnOnce()) -> Result<[Counts; 2]> {
    let ends = [open(interfaces[0])?, open(interfaces[1])?];
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.add(Signal::SIGINT);
    mask.add(Signal::SIGUSR1);
    mask.add(Signal::SIGUSR2);
    mask.thread_block().context("block signals")?;
    let signals =
        SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).context("watch signals")?;
    ready();
    let mut frame = [0; FRAME_BYTES_MAX];
    loop {
        let deadline = directions.iter().filter_map(Direction::next_deadline).min();
        let timeout = deadline.map(|until| TimeSpec::from_duration(until.saturating_duration_since(Instant::now())));
        let mut waits = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(ends[0].as_fd(), PollFlags::POLLIN),
            PollFd::new(ends[1].as_fd(), PollFlags::POLLIN),
        ];
        match ppoll(&mut waits, timeout, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for frames"),
        }
        if let Ok(Some(signal)) = signals.read_signal() {
            let is_cut = signal.ssi_signo == Signal::SIGUSR1 as u32;
            if !is_cut && signal.ssi_signo != Signal::SIGUSR2 as u32 {
                return Ok([directions[0].counts, directions[1].counts]);
            }
            directions.iter_mut().for_each(|direction| direction.is_cut = is_cut);
        }
        for (from, direction) in directions.iter_mut().enumerate() {
            let (source, sink) = (ends[from].as_raw_fd(), ends[1 - from].as_raw_fd());
            let mut refused = 0;
            let mut pass = |bytes: &[u8]| {
                refused += u64::from(send(sink, bytes, MsgFlags::empty()).is_err());
            };
            while let Ok(length) = recv(source, &mut frame, MsgFlags::empty()) {
                direction.take(Instant::now(), &frame[..length], &mut pass);
            }
            direction.expire(Instant::now(), &mut pass);
            direction.counts.refused += refused;
            direction.counts.passed -= refused;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u8) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[12] = 0x08;
        frame[23] = 6;
        frame[59] = number;
        frame
    }

    #[test]
    fn tcp_is_recognized_with_and_without_a_tag() {
        assert!(is_tcp(&segment(0)));
        let mut tagged = vec![0; 64];
        tagged[12..18].copy_from_slice(&[0x81, 0, 0, 5, 8, 0]);
        tagged[27] = 6;
        assert!(is_tcp(&tagged));
        tagged[27] = 17;
        assert!(!is_tcp(&tagged));
        assert!(!is_tcp(&[0; 10]));
    }

    #[test]
    fn segments_are_lost_and_reordered_by_the_seed_and_the_rest_passes() {
        let now = Instant::now();
        let run = |seed| {
            let mut direction = Direction::new(6_554, 6_554, seed);
            let mut out = Vec::new();
            for number in 0..200 {
                direction.take(now, &segment(number), |frame| out.push(frame[59]));
                direction.take(now, &[9; 60], |frame| assert_eq!(frame[0], 9));
            }
            direction.expire(now + HOLD, |frame| out.push(frame[59]));
            (out, direction.counts)
        };
        let (out, counts) = run(3);
        assert_eq!(run(3).0, out, "the seed decides");
        assert!(counts.lost > 5 && counts.reordered > 5, "{counts:?}");
        assert_eq!(out.len() as u64, 200 - counts.lost);
        assert_eq!(counts.passed, 400 - counts.lost);
        let swapped = out.windows(2).filter(|pair| pair[0] > pair[1]).count() as u64;
        assert_eq!(swapped, counts.reordered);
    }

    #[test]
    fn a_cut_link_passes_no_segment_and_all_else() {
        let now = Instant::now();
        let mut direction = Direction::new(0, 0, 1);
        let mut out = Vec::new();
        for (number, is_cut) in [false, true, true, false].into_iter().enumerate() {
            direction.is_cut = is_cut;
            direction.take(now, &segment(number as u8), |frame| out.push(frame[59]));
            direction.take(now, &[9; 60], |frame| assert_eq!(frame[0], 9));
        }
        assert_eq!((out, direction.counts.cut, direction.counts.passed), (vec![0, 3], 2, 6));
    }

    #[test]
    fn a_held_segment_passes_when_nothing_overtakes_it() {
        let now = Instant::now();
        let mut direction = Direction::new(0, 65_536, 1);
        let mut out = 0;
        direction.take(now, &segment(1), |_| out += 1);
        direction.expire(now, |_| out += 1);
        assert_eq!(out, 0);
        direction.expire(now + HOLD, |_| out += 1);
        assert_eq!((out, direction.counts.reordered, direction.counts.passed), (1, 0, 1));
    }
}
