//! The pinned loop: rings, decode, book, strategy, gate, order bytes, wire.
#![forbid(unsafe_code)]

pub mod net;
