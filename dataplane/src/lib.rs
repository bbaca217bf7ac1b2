//! The pinned loop: rings, decode, book, strategy, gate, order bytes, wire.
#![forbid(unsafe_code)]

pub mod arenas;
pub mod assemble;
pub mod clock;
pub mod dump;
pub mod engine;
pub mod housekeeping;
pub mod isolate;
pub mod names;
pub mod net;
pub mod observe;
mod place;
pub mod probe;
pub mod recovery;
pub mod registry;
pub mod replay;
mod start;
pub mod tails;
pub mod watch;

pub use start::run;
