//! Shared-memory and BPF-map layouts of Tern: everything that two processes, or a process and the kernel, must agree on.
//!
//! Nothing here does I/O. Layouts are `repr(C)`, little-endian and versioned; words that another process writes are
//! atomics.
#![no_std]

#[cfg(any(test, loom))]
extern crate std;

pub mod arena;
pub mod command;
pub mod counters;
pub mod day;
pub mod event;
pub mod manual;
pub mod outlier;
pub mod prefetch;
pub mod reconcile;
pub mod record;
pub mod rescue;
pub mod ring;
pub mod segment;
pub mod steer;
pub mod vec_recorder;

/// Version of every layout in this crate but the steering one; written last into the segment and checked first.
pub const ABI_VERSION: u32 = 9;
