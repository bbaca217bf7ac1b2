//! Proofs by search: the gate against a slow model of it ([`gate`]), and the orders against a venue that says everything
//! that a venue may say ([`machine`]).
//!
//! What `cargo test` runs is bounded to seconds. The whole of it, with progress:
//!
//! ```text
//! cargo test --release -p tern-core --locked --lib proof -- --ignored --nocapture
//! ```
//! `TERN_PROOF_STEPS` and `TERN_PROOF_SEED` change how much is tried and where it starts; a failure names the seed that
//! brings it back.

mod gate;
mod machine;
mod random;

use std::string::String;

/// A number from the environment.
fn from_env(name: &str) -> Option<u64> {
    let text: String = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}; it must be a whole number")))
}
