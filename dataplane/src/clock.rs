//! The loop's time.

use tern_core::units::TaiNs;

/// A clock of one thread. Clones read the same time.
pub trait Clock: Clone {
    /// The time now; never less than before.
    fn now(&self) -> TaiNs;
}

impl Clock for tern_hw::clock::Clock {
    #[inline]
    fn now(&self) -> TaiNs {
        TaiNs(tern_hw::clock::Clock::now(self))
    }
}
