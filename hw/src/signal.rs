//! SIGTERM and SIGINT as a flag that a loop can look at.
#![allow(unsafe_code, reason = "system calls")]

use crate::sys::check;
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED_TO_STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(_: libc::c_int) {
    ASKED_TO_STOP.store(true, Ordering::Relaxed);
}

/// From now on SIGTERM and SIGINT set the flag that is returned, instead of ending the process. A blocked `poll` comes
/// back with EINTR.
///
/// # Errors
/// What `sigaction` reported.
pub fn stop_flag() -> io::Result<&'static AtomicBool> {
    // SAFETY: plain data, for which zeroes are valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler does nothing but store to an atomic, which is allowed in a signal handler; the action
        // outlives the call.
        check(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    }
    Ok(&ASKED_TO_STOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_sets_the_flag() {
        let flag = stop_flag().expect("handlers are installed");
        assert!(!flag.load(Ordering::Relaxed));
        // SAFETY: no pointers; the handler is installed.
        unsafe { libc::raise(libc::SIGTERM) };
        assert!(flag.load(Ordering::Relaxed));
    }
}
