//! The wall clock of the records.

use nix::time::{ClockId, clock_gettime};

/// TAI, ns since 1970. Not for the hot path.
pub(crate) fn tai_ns() -> u64 {
    // Every Linux since 3.10 has CLOCK_TAI.
    clock_gettime(ClockId::CLOCK_TAI).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
