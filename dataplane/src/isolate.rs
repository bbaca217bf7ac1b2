//! Containment of a strategy's panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use tern_core::probe::{Isolate, Panicked};

/// Catches a panic. The strategy that panicked is not called again, so its broken state is never looked at; nothing
/// else is lent to it mutably but its list of intents, which is cleared before every call.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatchUnwind;

impl Isolate for CatchUnwind {
    #[inline]
    fn call(&mut self, f: impl FnOnce()) -> Result<(), Panicked> {
        catch_unwind(AssertUnwindSafe(f)).map_err(|_| Panicked)
    }
}
