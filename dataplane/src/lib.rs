//! The pinned loop: rings, decode, book, strategy, gate, order bytes, wire.
#![forbid(unsafe_code)]

pub mod clock;
pub mod engine;
pub mod isolate;
pub mod net;
pub mod observe;
pub mod probe;
