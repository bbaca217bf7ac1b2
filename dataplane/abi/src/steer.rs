//! What `steer.bpf.c` and user space agree on: the record in front of each redirected frame, the keys and values of
//! the maps, and one counter per outcome.
//!
//! The record sits in the [`FRAME_RECORD_BYTES`] bytes directly before the Ethernet header, inside the slice that the
//! AF_XDP socket hands out (`bpf_xdp_adjust_head(-32)`). Byte order is the host's (little-endian): the record never
//! leaves the machine.

/// Length of [`FrameRecord`] in bytes.
pub const FRAME_RECORD_BYTES: usize = 32;

/// Version of the record's layout and of the maps; a mismatch is refused.
pub const STEER_VERSION: u16 = 3;

/// RX queues of an interface that the maps have a place for. Those beyond carry nothing for us.
pub const STEER_QUEUES: usize = 256;

/// Row of the counters' map behind those of the queues: of the queues that have no place, and what a queue had counted before an
/// instance claimed it. Every instance counts it, as it counts the queues that are nobody's: so its sums never go down when another
/// instance takes one of these.
pub const COUNTERS_OF_NOBODY: u32 = STEER_QUEUES as u32;

/// `FrameRecord::kind`: a UDP datagram of a subscribed group and port.
pub const FRAME_UDP: u16 = 1;
/// `FrameRecord::kind`: a TCP segment to one of our own addresses.
pub const FRAME_TCP: u16 = 2;
/// `FrameRecord::kind`: an ARP frame whose target is one of our own addresses.
pub const FRAME_ARP: u16 = 3;

/// The record in front of a redirected frame.
///
/// `payload_offset` and `payload_bytes` are counted from the first byte of the Ethernet header (not of the record) and
/// name the UDP payload; both are 0 for TCP and ARP.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct FrameRecord {
    /// [`STEER_VERSION`].
    pub version: u16,
    /// [`FRAME_UDP`], [`FRAME_TCP`] or [`FRAME_ARP`].
    pub kind: u16,
    /// The stream id that the subscription map gives for (group, port); 0 for TCP and ARP.
    pub stream: u16,
    /// Offset of the UDP payload from the Ethernet header, bytes.
    pub payload_offset: u16,
    /// Length of the UDP payload, bytes.
    pub payload_bytes: u16,
    /// RX queue index on which the frame arrived.
    pub queue: u16,
    /// Line of the stream, as the subscription map says: 0 = A, 1 = B; 0 for TCP and ARP.
    pub line: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// When the XDP program saw the frame: CLOCK_TAI, ns.
    pub arrival_tai_ns: u64,
    /// The NIC's receive stamp, ns of its PHC; 0 means absent.
    pub nic_ns: u64,
}

/// Key of the subscription map: IPv4 destination group and UDP destination port, both in network byte order as they
/// stand in the packet, then zeroed padding.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct SubscriptionKey {
    /// Destination IPv4 address, network byte order.
    pub group: [u8; 4],
    /// Destination UDP port, network byte order.
    pub port: [u8; 2],
    /// Zero.
    pub padding: [u8; 2],
}

/// What the record of a datagram says of where it belongs; the value of the subscription map has one for each RX queue
/// (`[SubscriptionValue; STEER_QUEUES]`), for each queue has its instance and each instance its streams.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct SubscriptionValue {
    /// Stream id.
    pub stream: u16,
    /// Line of the stream: 0 = A, 1 = B.
    pub line: u8,
    /// 1 where the instance of the queue wants it, else 0.
    pub wanted: u8,
}

/// Length of [`QueueClaim::owner`] in bytes.
pub const CLAIM_BYTES: usize = 128;

/// Whose a queue is. The program does not read it.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct QueueClaim {
    /// What tells instances apart, their run folder, then zeroes; all zero: nobody's.
    pub owner: [u8; CLAIM_BYTES],
}

impl QueueClaim {
    /// Of an owner; what is longer than there is room is cut.
    pub fn of(owner: &[u8]) -> Self {
        let mut claim = Self { owner: [0; CLAIM_BYTES] };
        claim.owner.iter_mut().zip(owner).for_each(|(to, from)| *to = *from);
        claim
    }

    /// The owner, empty if it is nobody's.
    pub fn name(&self) -> &[u8] {
        self.owner.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// `SteerFacts::attach_mode`: the driver runs the program.
pub const ATTACH_NATIVE: u16 = 1;
/// `SteerFacts::attach_mode`: the stack runs the program on a copied frame, because the driver cannot.
pub const ATTACH_GENERIC: u16 = 2;

/// `SteerFacts::clock`: arrival stamps are read from CLOCK_TAI.
pub const CLOCK_TAI: u16 = 1;
/// `SteerFacts::clock`: arrival stamps are CLOCK_MONOTONIC plus an offset taken at load (kernels before 6.1).
pub const CLOCK_MONOTONIC_OFFSET: u16 = 2;

/// The only value of the facts map: what the loader chose, for every process that opens the pins.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct SteerFacts {
    /// [`STEER_VERSION`]; 0 while the loader is not done.
    pub version: u16,
    /// [`ATTACH_NATIVE`] or [`ATTACH_GENERIC`].
    pub attach_mode: u16,
    /// 1 when the program asks the NIC for receive stamps (it may still have none), else 0.
    pub nic_stamp: u16,
    /// [`CLOCK_TAI`] or [`CLOCK_MONOTONIC_OFFSET`].
    pub clock: u16,
    /// Index of the interface that the program is attached to.
    pub interface_index: u32,
    /// The kernel's id of the program.
    pub program_id: u32,
    /// What [`CLOCK_MONOTONIC_OFFSET`] adds, ns.
    pub tai_minus_monotonic_ns: u64,
    /// Inode of the network namespace that has the interface: names and indices of interfaces are a namespace's own.
    pub netns_inode: u64,
}

/// Names of the BPF maps, the program and the pins.
pub mod names {
    /// Hash map [`super::SubscriptionKey`] -> `[`[`super::SubscriptionValue`]`; `[`super::STEER_QUEUES`]`]`.
    pub const SUBSCRIPTIONS: &str = "subscriptions";
    /// Hash map of our own IPv4 addresses (network byte order) -> `[u8; `[`super::STEER_QUEUES`]`]`, 1 on the queues whose instance has it.
    pub const OWN_ADDRESSES: &str = "own_addresses";
    /// XSKMAP: RX queue index -> AF_XDP socket.
    pub const SOCKETS: &str = "sockets";
    /// Per-CPU array, RX queue index or [`super::COUNTERS_OF_NOBODY`] -> `[u64; `[`super::SteerCounter::COUNT`]`]`.
    pub const COUNTERS: &str = "steer_counters";
    /// Array, RX queue index -> [`super::QueueClaim`].
    pub const CLAIMS: &str = "queue_claims";
    /// Array with one [`super::SteerFacts`].
    pub const FACTS: &str = "steer_facts";
    /// The XDP program (at most 15 characters).
    pub const PROGRAM: &str = "tern_steer";
    /// The XDP program bound to one device, which asks its NIC for stamps.
    pub const PROGRAM_NIC: &str = "tern_steer_nic";
    /// Pin of the link that keeps the program attached.
    pub const LINK: &str = "link";
}

/// Declares a counter enum whose variants index an array, with the name and the meaning of each.
#[macro_export]
macro_rules! counter_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($variant:ident = $text:literal : $help:literal,)+ }) => {
        $(#[$meta])*
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $(#[doc = $help] $variant,)+ }
        impl $name {
            /// Every variant, in index order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();
            /// Position in the counter array.
            #[inline]
            pub const fn index(self) -> usize { self as usize }
            /// The name that users see: lower case, words joined by `_`.
            pub const fn name(self) -> &'static str { match self { $($name::$variant => $text,)+ } }
            /// What the counter counts, in one sentence.
            pub const fn help(self) -> &'static str { match self { $($name::$variant => $help,)+ } }
            /// The variant at `index`, if there is one.
            pub const fn from_index(index: usize) -> Option<Self> {
                if index < Self::COUNT { Some(Self::ALL[index]) } else { None }
            }
        }
    };
}

counter_enum! {
    /// Outcomes of the XDP program: each frame adds one to exactly one of the outcomes.
    pub enum SteerCounter {
        RedirectUdp = "redirect_udp": "Datagrams of a subscribed group handed to the queue's AF_XDP socket (attempts: the socket's own drops come after).",
        RedirectTcp = "redirect_tcp": "TCP segments to our own addresses handed to the socket.",
        RedirectArp = "redirect_arp": "ARP frames that ask for or answer our own addresses handed to the socket.",
        PassNotIp = "pass_not_ip": "Frames of other EtherTypes passed to the kernel.",
        PassVlanDepth = "pass_vlan_depth": "Frames with more VLAN tags than are parsed, passed to the kernel.",
        PassArpOther = "pass_arp_other": "ARP frames that do not concern our addresses, passed to the kernel.",
        PassArpOtherQueue = "pass_arp_other_queue": "ARP frames for an address that is wanted on another queue than the one that they came in on, passed to the kernel: most NICs bring all ARP to one queue, and tell it apart by destination MAC alone.",
        PassTruncated = "pass_truncated": "Frames shorter than their headers claim, passed to the kernel.",
        PassIpOptions = "pass_ip_options": "IPv4 packets with options (or a bad header length), passed to the kernel.",
        PassFragment = "pass_fragment": "IPv4 fragments passed to the kernel.",
        PassProtocol = "pass_protocol": "IPv4 packets neither UDP nor TCP, passed to the kernel.",
        PassUnsubscribed = "pass_unsubscribed": "UDP datagrams of no subscription, passed to the kernel.",
        PassTcpOther = "pass_tcp_other": "TCP segments to other addresses, passed to the kernel.",
        PassOtherQueue = "pass_other_queue": "Frames that are wanted, but not on the queue that they came in on, passed to the kernel: no instance has the queue, or one that does not want them.",
        PassNoSocket = "pass_no_socket": "Frames for us on a queue of ours that has no AF_XDP socket now, passed to the kernel.",
        PassNoHeadroom = "pass_no_headroom": "Frames for us with no room in front for the record, passed to the kernel.",
    }
}
