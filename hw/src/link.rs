//! What the kernel says of an interface of this network namespace: whether it is up, which XDP programs it carries, its
//! counters. Asked by rtnetlink(7), because /sys shows the namespace in which it was mounted.

use std::io;
use std::os::fd::AsRawFd;

use tern_abi::counter_enum;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::sys;

counter_enum! {
    /// `struct rtnl_link_stats64` of linux/if_link.h, in its order.
    pub enum LinkCounter {
        RxPackets = "rx_packets": "Good packets received.",
        TxPackets = "tx_packets": "Packets sent; what AF_XDP sends is counted by drivers alone.",
        RxBytes = "rx_bytes": "Good bytes received.",
        TxBytes = "tx_bytes": "Bytes sent.",
        RxErrors = "rx_errors": "Bad packets received: the sum of those below. Look at cable, optics and the switch's port.",
        TxErrors = "tx_errors": "Packets that could not be sent.",
        RxDropped = "rx_dropped": "Packets that the host dropped after it had them, for want of buffers or of a protocol.",
        TxDropped = "tx_dropped": "Packets dropped on their way out, for want of room.",
        Multicast = "multicast": "Multicast packets received.",
        Collisions = "collisions": "Collisions.",
        RxLengthErrors = "rx_length_errors": "Packets dropped for their length: see the MTU.",
        RxOverErrors = "rx_over_errors": "Packets that overran the receiver.",
        RxCrcErrors = "rx_crc_errors": "Packets with a wrong checksum of the frame: cable, optics, the switch's port.",
        RxFrameErrors = "rx_frame_errors": "Frames with wrong alignment.",
        RxFifoErrors = "rx_fifo_errors": "Packets that found the NIC's buffer full.",
        RxMissedErrors = "rx_missed_errors": "Packets that the NIC dropped because the host gave it no buffers in time: the core that serves the queue is late, or its ring is too small.",
        TxAbortedErrors = "tx_aborted_errors": "Packets whose sending was given up.",
        TxCarrierErrors = "tx_carrier_errors": "Packets not sent for want of a carrier.",
        TxFifoErrors = "tx_fifo_errors": "Packets that the NIC had not in time to send.",
        TxHeartbeatErrors = "tx_heartbeat_errors": "Old Ethernet's heartbeat errors.",
        TxWindowErrors = "tx_window_errors": "Late collisions.",
        RxCompressed = "rx_compressed": "Compressed packets received.",
        TxCompressed = "tx_compressed": "Compressed packets sent.",
        RxNohandler = "rx_nohandler": "Packets received on a device that is not in use.",
        RxOtherhostDropped = "rx_otherhost_dropped": "Packets to another host's MAC address.",
    }
}

/// The kernel's ids of attached XDP programs by hook; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachedPrograms {
    /// Run by the driver.
    pub native: u32,
    /// Run by the stack.
    pub generic: u32,
    /// Run by the NIC.
    pub offloaded: u32,
}

impl AttachedPrograms {
    /// Each attached program with the name of its hook.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let all = [("native", self.native), ("generic", self.generic), ("offloaded", self.offloaded)];
        all.into_iter().filter(|(_, id)| *id != 0)
    }
}

/// An interface as the kernel describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Set up by the administrator (`IFF_UP`).
    pub is_up: bool,
    /// Somebody is at the other end.
    pub has_carrier: bool,
    /// Bytes of a packet at most.
    pub mtu_bytes: u32,
    /// RX queues that it was made with; how many are in use is [`crate::interface::rx_queues`].
    pub rx_queues: u32,
    /// XDP programs.
    pub programs: AttachedPrograms,
    /// By index of [`LinkCounter`]; those that this kernel does not have are 0.
    pub counters: [u64; LinkCounter::COUNT],
}

impl Link {
    /// A counter.
    pub fn get(&self, counter: LinkCounter) -> u64 {
        self.counters[counter.index()]
    }
}

/// `struct nlmsghdr` and `struct ifinfomsg`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Head {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    family: u8,
    padding: u8,
    device_kind: u16,
    index: i32,
    device_flags: u32,
    change: u32,
}

/// Attributes of linux/if_link.h that the libc crate lacks, or has under several types.
mod attribute {
    pub(super) const MTU: u16 = 4;
    pub(super) const STATS64: u16 = 23;
    pub(super) const NUM_RX_QUEUES: u16 = 32;
    pub(super) const CARRIER: u16 = 33;
    pub(super) const XDP: u16 = 43;
    pub(super) const XDP_ATTACHED: u16 = 2;
    pub(super) const XDP_PROG_ID: u16 = 4;
    pub(super) const XDP_DRV_PROG_ID: u16 = 5;
    pub(super) const XDP_SKB_PROG_ID: u16 = 6;
    pub(super) const XDP_HW_PROG_ID: u16 = 7;
}

/// Asks for an interface of the calling thread's network namespace.
///
/// # Errors
/// ENODEV when there is none of this name; what else the kernel reported.
pub fn link(interface: &str) -> io::Result<Link> {
    let index = sys::interface_index(interface)?;
    let socket = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    let patience = libc::timeval { tv_sec: 1, tv_usec: 0 };
    sys::set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, patience)?;
    let request = Head {
        length: size_of::<Head>() as u32,
        kind: libc::RTM_GETLINK,
        flags: libc::NLM_F_REQUEST as u16,
        index: index as i32,
        ..Head::default()
    };
    sys::send(socket.as_raw_fd(), request.as_bytes(), 0)?;
    let mut answer = vec![0; 1 << 16];
    let length = sys::receive(socket.as_raw_fd(), &mut answer, 0)?;
    parse(answer.get(..length).unwrap_or_default())
}

/// What an answer to RTM_GETLINK says.
fn parse(answer: &[u8]) -> io::Result<Link> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is no answer");
    let number = |bytes: Option<&[u8]>| bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    if kind.map(i32::from) == Some(libc::NLMSG_ERROR) {
        let code = number(answer.get(16..20)).ok_or_else(wrong)? as i32;
        return Err(io::Error::from_raw_os_error(code.wrapping_neg()));
    }
    let (head, rest) = Head::read_from_prefix(answer).map_err(|_| wrong())?;
    if kind != Some(libc::RTM_NEWLINK) {
        return Err(wrong());
    }
    let mut link = Link {
        index: head.index as u32,
        is_up: head.device_flags & libc::IFF_UP as u32 != 0,
        has_carrier: head.device_flags & libc::IFF_RUNNING as u32 != 0,
        ..Link::default()
    };
    for (kind, value) in attributes(rest) {
        match kind {
            attribute::MTU => link.mtu_bytes = number(Some(value)).unwrap_or(0),
            attribute::NUM_RX_QUEUES => link.rx_queues = number(Some(value)).unwrap_or(0),
            attribute::CARRIER => link.has_carrier = value.first() == Some(&1),
            attribute::XDP => link.programs = programs(value),
            attribute::STATS64 => {
                for (counter, word) in link.counters.iter_mut().zip(value.chunks_exact(8)) {
                    *counter = word.try_into().map_or(0, u64::from_ne_bytes);
                }
            }
            _ => {}
        }
    }
    Ok(link)
}

/// The nest IFLA_XDP: with one program its id and hook, with several an id a hook.
fn programs(nest: &[u8]) -> AttachedPrograms {
    const NATIVE: u8 = 1;
    const GENERIC: u8 = 2;
    const OFFLOADED: u8 = 3;
    let mut found = AttachedPrograms::default();
    let (mut hook, mut only) = (0, 0);
    for (kind, value) in attributes(nest) {
        let id = value.try_into().map_or(0, u32::from_ne_bytes);
        match kind {
            attribute::XDP_ATTACHED => hook = value.first().copied().unwrap_or(0),
            attribute::XDP_PROG_ID => only = id,
            attribute::XDP_DRV_PROG_ID => found.native = id,
            attribute::XDP_SKB_PROG_ID => found.generic = id,
            attribute::XDP_HW_PROG_ID => found.offloaded = id,
            _ => {}
        }
    }
    match hook {
        NATIVE if found.native == 0 => found.native = only,
        GENERIC if found.generic == 0 => found.generic = only,
        OFFLOADED if found.offloaded == 0 => found.offloaded = only,
        _ => {}
    }
    found
}

/// Type and value of each netlink attribute; what does not fit ends them.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// NLA_F_NESTED and NLA_F_NET_BYTEORDER.
    const FLAGS: u16 = 0xC000;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & !FLAGS;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute_bytes(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::from(((4 + value.len()) as u16).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_loopback_is_up_and_carries_no_program() {
        let lo = link("lo").expect("lo exists");
        assert_eq!((lo.index, lo.programs.iter().count()), (1, 0), "{lo:?}");
        assert!(lo.mtu_bytes >= 1500 && lo.rx_queues >= 1, "{lo:?}");
        assert_eq!(link("no-such-if0").expect_err("no such interface").raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn programs_are_told_apart_by_hook_and_short_answers_are_none() {
        let one = [attribute_bytes(2, &[2]), attribute_bytes(4, &7u32.to_ne_bytes())].concat();
        assert_eq!(programs(&one), AttachedPrograms { generic: 7, ..AttachedPrograms::default() });
        let several = [
            attribute_bytes(2, &[4]),
            attribute_bytes(5, &8u32.to_ne_bytes()),
            attribute_bytes(7, &9u32.to_ne_bytes()),
        ]
        .concat();
        let found: Vec<_> = programs(&several).iter().collect();
        assert_eq!(found, [("native", 8), ("offloaded", 9)]);
        assert_eq!(attributes(&[3, 0, 1, 0, 9]).count(), 0, "shorter than its own head");
        assert_eq!(attributes(&[9, 0, 1, 0, 9]).count(), 0, "longer than the rest");
        for length in 0..40 {
            assert!(parse(&vec![0; length]).is_err());
        }
    }
}
