//! The trading core of Tern: wire views, books, strategies, the gate, orders, positions, and the pipeline that joins
//! them.
//!
//! Pure: no I/O, no clock (time is an argument), no unsafe code, no allocation after start. Every input arrives through
//! [`pipeline::Pipeline::on_input`]; the same inputs give the same outputs, byte for byte.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod book;
pub mod feed;
pub mod fees;
mod index;
pub mod input;
pub mod kept;
pub mod opening;
pub mod orders;
pub mod outbox;
pub mod pipeline;
pub mod portfolio;
pub mod probe;
pub mod reconcile;
pub mod replay;
pub mod risk;
pub mod session;
pub mod strategy;
#[cfg(any(test, feature = "testing"))]
#[path = "../testing/mod.rs"]
pub mod testing;
pub mod units;
pub mod wire;
