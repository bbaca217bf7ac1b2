//! SIGTERM and SIGINT as a flag that a loop can look at, SIGHUP as a count.
#![allow(unsafe_code, reason = "system calls")]

use crate::sys::check;
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static ASKED_TO_STOP: AtomicBool = AtomicBool::new(false);
static STOPS: AtomicU32 = AtomicU32::new(0);
static HANGUPS: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_stop(_: libc::c_int) {
    STOPS.fetch_add(1, Ordering::Relaxed);
    ASKED_TO_STOP.store(true, Ordering::Relaxed);
}

extern "C" fn on_hangup(_: libc::c_int) {
    HANGUPS.fetch_add(1, Ordering::Relaxed);
}

fn handle(signals: &[libc::c_int], handler: extern "C" fn(libc::c_int)) -> io::Result<()> {
    // SAFETY: plain data, for which zeroes are valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    for signal in signals {
        // SAFETY: the handlers of this file do nothing but change atomics, which is allowed in a signal handler; the action outlives
        // the call.
        check(unsafe { libc::sigaction(*signal, &raw const action, ptr::null_mut()) })?;
    }
    Ok(())
}

/// From now on SIGTERM and SIGINT set the flag that is returned, instead of ending the process. A blocked `poll` comes
/// back with EINTR.
///
/// # Errors
/// What `sigaction` reported.
pub fn stop_flag() -> io::Result<&'static AtomicBool> {
    handle(&[libc::SIGTERM, libc::SIGINT], on_stop)?;
    Ok(&ASKED_TO_STOP)
}

/// How often it was asked to stop since [`stop_flag`].
pub fn stops_asked() -> u32 {
    STOPS.load(Ordering::Relaxed)
}

/// From now on SIGHUP is counted, instead of ending the process: a terminal that goes takes no one with it.
///
/// # Errors
/// What `sigaction` reported.
pub fn count_hangups() -> io::Result<()> {
    handle(&[libc::SIGHUP], on_hangup)
}

/// How often SIGHUP came since [`count_hangups`].
pub fn hangups() -> u32 {
    HANGUPS.load(Ordering::Relaxed)
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
        assert!(flag.load(Ordering::Relaxed) && stops_asked() == 1);
        count_hangups().expect("the handler is installed");
        // SAFETY: as above.
        unsafe { libc::raise(libc::SIGHUP) };
        assert_eq!(hangups(), 1);
    }
}
