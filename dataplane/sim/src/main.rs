//! `tern-exchange`.
fn main() {}
