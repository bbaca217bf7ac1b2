//! Seccomp: which system calls the process makes from now on, and what it says when it asks for another.
#![allow(unsafe_code, reason = "system calls and a signal handler")]

use super::{Reach, calls, filter};
use crate::sys::check;
use std::fmt::Write;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use tern_abi::command::SYSTEM_UID;
use tern_abi::segment::{KillCause, KillWord};

/// SECCOMP_FILTER_FLAG_SPEC_ALLOW: a kernel before 5.16 would make every load wait for the stores before it, as it does for
/// programs that run code of strangers.
const SPEC_ALLOW: libc::c_ulong = 1 << 2;
/// `si_code` of a SIGSYS that seccomp sent.
const SYS_SECCOMP: i32 = 1;
/// Where `si_syscall` lies in a `siginfo_t` of 64 bits; the libc crate has no name for it.
const SI_SYSCALL_BYTES: usize = 24;

/// The kill word that is set when the process asks for what it may not have; null while there is none.
static WORD: AtomicPtr<KillWord> = AtomicPtr::new(ptr::null_mut());

/// Whether the kernel has what is needed.
///
/// # Errors
/// Why not: ENOSYS or EINVAL where it was not built in, EOPNOTSUPP before Linux 4.14.
pub(super) fn available() -> io::Result<()> {
    let action: u32 = filter::TRAP;
    // SAFETY: an action, which outlives the call.
    match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts the filter on every thread of the process.
///
/// # Errors
/// What the kernel reported; a thread that could not be brought under it.
pub(super) fn restrict(reach: Reach) -> io::Result<()> {
    let steps = filter::program(calls::calls(reach), std::process::id());
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        filter: steps.as_ptr().cast_mut(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | SPEC_ALLOW;
    // SAFETY: a program with its length, which outlive the call; the kernel copies it.
    match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) } {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        thread => Err(io::Error::other(format!("thread {thread} has a filter of its own"))),
    }
}

/// As long as this lives, a forbidden call also sets a kill word.
#[derive(Debug)]
pub struct KillOnForbidden<'w>(PhantomData<&'w KillWord>);

impl Drop for KillOnForbidden<'_> {
    fn drop(&mut self) {
        WORD.store(ptr::null_mut(), Ordering::Release);
    }
}

/// Has SIGSYS set `word`, say on stderr which call it was, and end the process.
///
/// # Errors
/// What `sigaction` reported.
pub(super) fn watch(word: &KillWord) -> io::Result<KillOnForbidden<'_>> {
    WORD.store(ptr::from_ref(word).cast_mut(), Ordering::Release);
    // SAFETY: plain data, for which zeroes are valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_forbidden as *const () as libc::sighandler_t;
    // Once, and not held back meanwhile: the second SIGSYS, by which the handler ends, is the kernel's to handle.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESETHAND | libc::SA_NODEFER | libc::SA_ONSTACK;
    // SAFETY: the handler does what a signal handler may, and the action outlives the call.
    check(unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) })?;
    Ok(KillOnForbidden(PhantomData))
}

extern "C" fn on_forbidden(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let word = WORD.load(Ordering::Acquire);
    // SAFETY: set by `watch`, and taken back before the word's borrow ends. It consists of atomics.
    if let Some(word) = unsafe { word.as_ref() } {
        word.kill(SYSTEM_UID, KillCause::ForbiddenCall, crate::clock::kernel_tai_ns());
    }
    let mut line = Line { bytes: [0; 160], length: 0 };
    // SAFETY: the kernel hands over a whole `siginfo_t`; behind `si_code` it has these fields if seccomp sent it.
    let said = unsafe {
        let by_seccomp = (*info).si_code == SYS_SECCOMP;
        by_seccomp.then(|| (info.cast::<u8>().add(SI_SYSCALL_BYTES).cast::<i32>().read(), (*info).si_addr() as usize))
    };
    // What does not fit is cut off.
    let _ = match said {
        Some((number, place)) => writeln!(
            line,
            "tern-dataplane: system call {number} at {place:#x} is forbidden by the sandbox: trading is stopped, the process ends"
        ),
        None => writeln!(line, "tern-dataplane: SIGSYS from outside: trading is stopped, the process ends"),
    };
    // SAFETY: bytes with their length, then calls without pointers. The second SIGSYS ends the process; should it not, the
    // last call does.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.length);
        libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), libc::SIGSYS);
        libc::_exit(128 + libc::SIGSYS);
    }
}

/// Text without an allocator, which a signal handler must not call.
struct Line {
    bytes: [u8; 160],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for (place, byte) in self.bytes[self.length..].iter_mut().zip(text.bytes()) {
            *place = byte;
            self.length += 1;
        }
        Ok(())
    }
}
