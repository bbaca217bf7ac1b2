//! How long a datagram's way through the loop took, stage by stage.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Stages of a datagram's way through the loop, in order.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The loop took the frame.
    FrameSeen = 0,
    /// The datagram is decoded.
    Decoded = 1,
    /// The events are in the books.
    Book = 2,
    /// The strategy returned an intent.
    Strategy = 3,
    /// The gate approved it.
    Risk = 4,
    /// The order's bytes are encoded.
    Encoded = 5,
    /// The bytes were handed to the port.
    Submitted = 6,
}

/// Number of [`Stage`]s.
pub const STAGES: usize = 7;

/// Names of the stages, in order.
pub const STAGE_NAMES: [&str; STAGES] = ["frame_seen", "decoded", "book", "strategy", "risk", "encoded", "submitted"];

/// Stage stamps of one datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StageRecord {
    /// `seq` of the datagram's record.
    pub cause_seq: u64,
    /// XDP arrival, TAI ns.
    pub arrival_ns: u64,
    /// TAI ns of each [`Stage`]; 0 = not reached.
    pub stage_ns: [u64; STAGES],
    /// Order id that resulted, of several the first, whose way was measured; 0 for a sampled datagram without one.
    pub order: u32,
    /// Datagrams that waited behind it.
    pub backlog: u32,
}

/// Names of the spans of [`StageRecord::spans`], in order; those after the third are the stages, each from the one before.
pub const SPAN_NAMES: [&str; SPANS] = [
    "tick_to_order",
    "arrival_to_order",
    "arrival_to_seen",
    "decoded",
    "book",
    "strategy",
    "risk",
    "encoded",
    "submitted",
];
/// Number of spans.
pub const SPANS: usize = STAGES + 2;

impl StageRecord {
    /// How long each span took, ns; `None` of those that this datagram does not have.
    ///
    /// Tick to order is from the frame's being seen by the loop to the order's bytes; a stage is from the last stage before
    /// it that was reached.
    pub fn spans(&self) -> [Option<u64>; SPANS] {
        let between = |from: u64, to: u64| (from != 0 && to != 0).then(|| to.saturating_sub(from));
        let [seen, encoded] = [Stage::FrameSeen, Stage::Encoded].map(|stage| self.stage_ns[stage as usize]);
        let to_order = |from| if self.order != 0 { between(from, encoded) } else { None };
        let mut spans = [None; SPANS];
        spans[0] = to_order(seen);
        spans[1] = to_order(self.arrival_ns);
        spans[2] = between(self.arrival_ns, seen);
        let mut before = seen;
        for (span, now) in spans.iter_mut().skip(3).zip(self.stage_ns.iter().skip(1)) {
            *span = between(before, *now);
            before = if *now != 0 { *now } else { before };
        }
        spans
    }
}
