//! Containment of a strategy's panic.

use std::cell::Cell;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use tern_core::probe::{Isolate, PanicText, Panicked};

thread_local! {
    /// The last panic of this thread.
    static LAST: Cell<PanicText> = const { Cell::new(PanicText::EMPTY) };
}

/// Has every panic of this process written down where [`CatchUnwind`] finds it, with its place, before whatever was done
/// with it before (a line on stderr). Once is enough; without it, nothing is known of a panic but that there was one.
pub fn watch_panics() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            LAST.set(text_of(info));
            before(info);
        }));
    });
}

fn text_of(info: &PanicHookInfo<'_>) -> PanicText {
    let mut text = PanicText::EMPTY;
    // The place first: a message may be too long.
    if let Some(place) = info.location() {
        let _ = write!(text, "{place}: ");
    }
    let _ = text.write_str(info.payload_as_str().unwrap_or("a panic without words"));
    text
}

/// Catches a panic. The strategy that panicked is not called again, so its broken state is never looked at; nothing
/// else is lent to it mutably but its list of intents, which is cleared before every call.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatchUnwind;

impl Isolate for CatchUnwind {
    #[inline]
    fn call(&mut self, f: impl FnOnce()) -> Result<(), Panicked> {
        catch_unwind(AssertUnwindSafe(f)).map_err(|_| Panicked)
    }
    fn panic_text(&self) -> PanicText {
        LAST.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_what_it_said_and_where() {
        watch_panics();
        watch_panics();
        assert_eq!(CatchUnwind.call(|| panic!("seven of {}", "nine")), Err(Panicked));
        let text = CatchUnwind.panic_text();
        assert!(text.as_str().starts_with("dataplane/src/isolate.rs:"), "{text:?}");
        assert!(text.as_str().ends_with(": seven of nine"), "{text:?}");
        assert_eq!(CatchUnwind.call(|| panic!("{}", "\u{e4}".repeat(999))), Err(Panicked));
        let text = CatchUnwind.panic_text();
        assert!((239..=240).contains(&text.as_str().len()) && text.as_str().ends_with('\u{e4}'), "{text:?}");
    }
}
