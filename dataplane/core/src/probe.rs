//! How the loop's stages are stamped, and how a strategy's panic is contained, without core seeing a clock or a runtime.

use core::fmt;
pub use tern_abi::record::{STRATEGY_TEXT_MAX, Stage};

/// Told when a stage is reached. The loop stamps with the TSC; replay and simulation do nothing.
pub trait Probe {
    /// The datagram being worked on reached `stage`.
    fn mark(&mut self, stage: Stage);
    /// A strategy is called now.
    #[inline(always)]
    fn call_begins(&mut self) {}
    /// The strategy with this index has answered, or panicked.
    #[inline(always)]
    fn call_ends(&mut self, _index: usize) {}
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

/// What a panic said and where, as much of it as fits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PanicText {
    bytes: [u8; STRATEGY_TEXT_MAX],
    length: usize,
}

impl PanicText {
    /// No text.
    pub const EMPTY: Self = Self { bytes: [0; STRATEGY_TEXT_MAX], length: 0 };

    /// The text; what did not fit is cut off at a character.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for PanicText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Write for PanicText {
    /// Never fails: what is too long is cut off.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.length;
        let cut = text.floor_char_boundary(room);
        let (kept, place) = (text.as_bytes().get(..cut), self.bytes.get_mut(self.length..self.length + cut));
        if let (Some(kept), Some(place)) = (kept, place) {
            place.copy_from_slice(kept);
            self.length += cut;
        }
        Ok(())
    }
}

/// Runs a strategy so that its panic stops it alone. `catch_unwind` lives outside `no_std`.
pub trait Isolate {
    /// Runs `f`.
    ///
    /// # Errors
    /// [`Panicked`] when `f` panicked.
    fn call(&mut self, f: impl FnOnce()) -> Result<(), Panicked>;
    /// What the last panic said, and where it was. The same code on the same inputs says the same.
    fn panic_text(&self) -> PanicText;
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
    fn panic_text(&self) -> PanicText {
        PanicText::EMPTY
    }
}
