//! How the loop's stages are stamped, and how a strategy's panic is contained, without core seeing a clock or a runtime.

pub use tern_abi::record::Stage;

/// Told when a stage is reached. The loop stamps with the TSC; replay and simulation do nothing.
pub trait Probe {
    /// The datagram being worked on reached `stage`.
    fn mark(&mut self, stage: Stage);
}

/// A probe that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    #[inline(always)]
    fn mark(&mut self, _: Stage) {}
}

/// A strategy panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Runs a strategy so that its panic stops it alone. `catch_unwind` lives outside `no_std`.
pub trait Isolate {
    /// Runs `f`.
    ///
    /// # Errors
    /// [`Panicked`] when `f` panicked.
    fn call(&mut self, f: impl FnOnce()) -> Result<(), Panicked>;
}

/// Runs the strategy as it is: a panic goes on up.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotIsolated;

impl Isolate for NotIsolated {
    #[inline(always)]
    fn call(&mut self, f: impl FnOnce()) -> Result<(), Panicked> {
        f();
        Ok(())
    }
}
