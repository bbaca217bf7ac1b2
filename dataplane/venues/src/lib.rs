//! Venue protocols, a folder each: feed and order entry, both directions.
//!
//! Nothing here allocates, reads a clock or does I/O; malformed input is a counted reason, never a panic.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod itch_ouch;
