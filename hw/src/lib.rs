//! Everything of Tern that touches the machine: ports (AF_XDP and kernel sockets), shared memory, huge pages, pinning
//! and clocks.

pub mod memory;
pub mod port;
mod sys;
#[cfg(feature = "testnet")]
pub mod testnet;
pub mod xdp;
