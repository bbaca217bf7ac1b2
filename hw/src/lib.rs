//! Everything of Tern that touches the machine: ports (AF_XDP and kernel sockets), shared memory, huge pages, pinning
//! and clocks.

pub mod clock;
pub mod destroy;
pub mod huge;
pub mod interface;
pub mod link;
pub mod memory;
pub mod pin;
pub mod port;
pub mod privilege;
pub mod reset;
pub mod sandbox;
pub mod segment;
pub mod signal;
pub mod socket;
mod sys;
pub mod tap;
#[cfg(feature = "testnet")]
pub mod testnet;
pub mod thread;
pub mod xdp;
