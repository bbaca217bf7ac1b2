//! The simulated exchange: matching engine, feed publisher, order entry server, flow generator.
//!
//! `tern-exchange` is an ordinary process on kernel sockets, for demo, tests and strategy research. Its matching engine
//! and book are its own, so that it is an independent witness of what the data plane believes; its log is the other side
//! of every comparison. What it shares with the data plane are the wire structs.
#![forbid(unsafe_code)]

pub mod book;
pub mod cli;
pub mod dump;
pub mod engine;
pub mod exchange;
pub mod feed;
pub mod gateway;
pub mod generate;
pub mod lobster;
pub mod log;
pub mod rng;
pub mod shim;
pub mod source;
