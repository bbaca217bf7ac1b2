//! Benchmarks with a peer or a baseline in the same run.
//!
//! Each metric runs ours and the peer in turn, at least nine times each, and quotes medians: on a shared machine a
//! single figure means nothing, and a figure without its peer of the same minute means little.

pub mod flow;
pub mod harness;
pub mod journaler;
pub mod load;
pub mod market;
pub mod metrics;
pub mod peer;
pub mod respond;
pub mod sandbox;
pub mod setting;
pub mod venue;
