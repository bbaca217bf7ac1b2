//! What came in: datagrams, session bytes, what became of a connection, and where a run begins.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// In front of a recorded datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DatagramHead {
    /// When the XDP program (or the kernel socket) saw it: TAI ns.
    pub arrival_ns: u64,
    /// NIC stamp, 0 = absent.
    pub nic_ns: u64,
    /// Stream id.
    pub stream: u16,
    /// Line of the stream: 0 = A, 1 = B.
    pub line: u16,
    /// Datagrams that waited behind this one when it was taken.
    pub backlog: u32,
}

/// In front of recorded session bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SessionHead {
    /// Connection id.
    pub conn: u32,
    /// Zero.
    pub reserved: u32,
}

/// [`ConnRecord::event`]: the connection is established.
pub const CONN_UP: u32 = 1;
/// [`ConnRecord::event`]: the connection is gone; `value` is a `DownReason`.
pub const CONN_DOWN: u32 = 2;
/// [`ConnRecord::event`]: `value` bytes can be sent at once without queueing.
pub const CONN_ROOM: u32 = 3;
/// [`ConnRecord::event`]: the newest `value` order messages were not handed to TCP when the next input came. Absent
/// when none was left, which is the rule.
pub const CONN_UNSENT: u32 = 4;
/// [`ConnRecord::event`]: the order ring has room for orders (`value` 1) or only its reserve for cancels left (0).
pub const CONN_RING_ROOM: u32 = 5;
/// [`ConnRecord::event`]: a record did not fit that must not be lost, and trading stopped.
pub const CONN_RECORD_LOST: u32 = 6;

/// An event of an order connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ConnRecord {
    /// Connection id.
    pub conn: u32,
    /// One of the `CONN_` values.
    pub event: u32,
    /// By event.
    pub value: u64,
}

/// A run of the data plane begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StartRecord {
    /// How many runs this segment has seen, this one included.
    pub run: u64,
    /// Layout version of the records.
    pub abi_version: u32,
    /// Process id.
    pub pid: u32,
    /// First half of the build id (git commit, as bytes; zero when unknown).
    pub build: [u8; 24],
}

/// A marker in the capture ring: datagrams were shed just before it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ShedRecord {
    /// Datagrams not captured since the last marker.
    pub datagrams: u64,
    /// Their payload bytes.
    pub bytes: u64,
}
