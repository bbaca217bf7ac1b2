//! Benchmarks with a peer or baseline in the same run.
