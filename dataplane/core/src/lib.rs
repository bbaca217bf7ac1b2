//! The trading core of Tern: wire views, books, strategies, the gate, orders, positions, and the pipeline that joins
//! them.
//!
//! Pure: no I/O, no clock (time is an argument), no unsafe code, no allocation after start. Every input arrives through
//! [`pipeline::Pipeline::on_input`](input::Input); the same inputs give the same outputs, byte for byte.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod book;
pub mod feed;
pub mod input;
pub mod probe;
pub mod session;
pub mod strategy;
pub mod units;
