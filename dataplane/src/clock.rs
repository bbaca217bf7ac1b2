//! The loop's time. Read once per thing that happens, and kept as ticks where nanoseconds are not needed yet.

use tern_core::units::TaiNs;

/// A clock that can be read in ticks and turned into time later: reading the TSC costs 10 ns, converting a few more.
pub trait Clock {
    /// Ticks now.
    fn ticks(&self) -> u64;
    /// The time at which the counter stood at `ticks`. Never goes back for growing ticks.
    fn time_of(&self, ticks: u64) -> TaiNs;
    /// The time now.
    #[inline]
    fn now(&self) -> TaiNs {
        self.time_of(self.ticks())
    }
}

impl<C: Clock + ?Sized> Clock for &C {
    #[inline]
    fn ticks(&self) -> u64 {
        (**self).ticks()
    }
    #[inline]
    fn time_of(&self, ticks: u64) -> TaiNs {
        (**self).time_of(ticks)
    }
}
