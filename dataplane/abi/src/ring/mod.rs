//! The rings of the shared segment. Each has one producer and one consumer, which may be different processes; either
//! may be killed at any instruction and come back: what was published stays, what was half written was never visible.
//!
//! - [`slot`]: fixed slots with the sequence inside, for records that must never be lost (orders, commands).
//! - [`bytes`]: variable-length records end to end, for captured datagrams, which may be shed and are then counted.
//! - [`recorder`]: both together, in one order: what the loop writes and what the daemon drains.
//!
//! All raw pointer work is in [`memory`]; the algorithms above it are checked with loom (`tests/loom.rs`).

pub mod bytes;
pub mod commands;
pub mod drain;
pub mod memory;
pub mod recorder;
pub mod slot;
#[cfg(all(test, not(loom)))]
#[allow(unsafe_code, reason = "stands in for the owner of the shared memory")]
mod tests;

/// The ring's memory does not hold what a producer of this version writes: it was overwritten, or is no ring at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Which rule was broken.
    pub what: &'static str,
    /// At which position of the ring (slots or bytes since its creation).
    pub position: u64,
}

impl core::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ring is corrupt at position {}: {}", self.position, self.what)
    }
}

impl core::error::Error for Corrupt {}
