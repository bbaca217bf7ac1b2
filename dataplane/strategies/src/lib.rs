//! Strategies, a file each, and the registry by which a configuration names them.
//!
//! A strategy sees what [`tern_core::strategy::Ctx`] shows and answers with intents; it has no way to the wire. Memory is
//! taken at construction only.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod maker;
pub mod manual;
pub mod observe;
pub mod params;
pub mod registry;
pub mod taker;
mod universe;

#[cfg(test)]
mod tests;

pub use params::{Param, ParamError, Setup, StrategyParams};
pub use registry::{AnyStrategy, Entry, REGISTRY, make};

/// The venue's price increment (SEC rule 612): a cent, below a dollar a hundredth of one.
const fn tick(price: i64) -> i64 {
    if price >= 1_0000 { 100 } else { 1 }
}

/// The highest price up to `price` that the venue takes. Books may show others, midpoints among them.
pub(crate) const fn tick_down(price: i64) -> i64 {
    price - price.rem_euclid(tick(price))
}

/// The lowest price from `price` on that the venue takes.
pub(crate) const fn tick_up(price: i64) -> i64 {
    tick_down(price + tick(price) - 1)
}
