//! The system calls that a data plane makes once it turns, and why each. What is not here ends the process.
//!
//! Found with strace over both ports: the loop, connections that come and go, the housekeeping thread, a strategy's panic, the
//! end. To it came what the C library may ask for under another version or another state of its memory.

use super::Reach;

/// Holds when the lower half of an argument, masked, is one of these. The kernel looks at no more of it: all of them are `int`,
/// `unsigned int` or flags in the lower half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) argument: u8,
    pub(super) mask: u32,
    pub(super) one_of: &'static [u32],
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Made. Since Linux 5.11 the kernel remembers these and does not run the filter for them.
    Allow,
    /// Made if all of these hold.
    If(&'static [Check]),
    /// Made if it is about this process.
    Own,
    /// Fails as a file that may not be opened: libraries ask for such, and do without.
    Refuse,
}

/// A call by its number, and what becomes of it.
pub(super) type Call = (libc::c_long, Rule);

/// Memory that can be written is never executed: no mapping may be.
const NOT_EXECUTABLE: Rule = Rule::If(&[Check { argument: 2, mask: libc::PROT_EXEC as u32, one_of: &[0] }]);

/// TCP over IPv4. The low bits are the kind, above them stand SOCK_NONBLOCK and SOCK_CLOEXEC.
const TCP_SOCKET: Rule = Rule::If(&[
    Check { argument: 0, mask: u32::MAX, one_of: &[libc::AF_INET as u32] },
    Check { argument: 1, mask: 0xF, one_of: &[libc::SOCK_STREAM as u32] },
    Check { argument: 2, mask: u32::MAX, one_of: &[0, libc::IPPROTO_TCP as u32] },
]);

/// SIOCOUTQ and SIOCOUTQNSD: what waits in a socket to leave.
const UNSENT: Rule = Rule::If(&[Check { argument: 1, mask: u32::MAX, one_of: &[libc::TIOCOUTQ as u32, 0x894b] }]);

/// A build with assertions asks whether a descriptor is open before it closes it.
const IS_OPEN: Rule = Rule::If(&[Check { argument: 1, mask: u32::MAX, one_of: &[libc::F_GETFD as u32] }]);

/// Handlers that the process takes back as it dies: those of the language for a stack that is full, and abort(3).
const LAST_SIGNALS: Rule = Rule::If(&[Check {
    argument: 0,
    mask: u32::MAX,
    one_of: &[libc::SIGSEGV as u32, libc::SIGBUS as u32, libc::SIGABRT as u32],
}]);

/// Over whichever port. Those of the hot path are first: before Linux 5.11 the filter is run down to them.
const ALWAYS: &[Call] = &[
    // AF_XDP: the kicks of TX and of the fill ring. Kernel sockets: what they send and receive.
    (libc::SYS_sendto, Rule::Allow),
    (libc::SYS_recvfrom, Rule::Allow),
    (libc::SYS_recvmmsg, Rule::Allow),
    (libc::SYS_ppoll, Rule::Allow),
    // The clock, where the kernel has no vDSO for it.
    (libc::SYS_clock_gettime, Rule::Allow),
    // The housekeeping thread: pauses, counters of sockets and of the loop's thread.
    (libc::SYS_futex, Rule::Allow),
    (libc::SYS_getsockopt, Rule::Allow),
    (libc::SYS_pread64, Rule::Allow),
    // A wait or a pause that was stopped (SIGSTOP) and goes on.
    (libc::SYS_restart_syscall, Rule::Allow),
    (libc::SYS_clock_nanosleep, Rule::Allow),
    (libc::SYS_nanosleep, Rule::Allow),
    (libc::SYS_sched_yield, Rule::Allow),
    // The log, on descriptors that are open.
    (libc::SYS_write, Rule::Allow),
    (libc::SYS_writev, Rule::Allow),
    // Memory for text, off the hot path, and what is given back at the end.
    (libc::SYS_brk, Rule::Allow),
    (libc::SYS_mmap, NOT_EXECUTABLE),
    (libc::SYS_mprotect, NOT_EXECUTABLE),
    (libc::SYS_mremap, Rule::Allow),
    (libc::SYS_munmap, Rule::Allow),
    (libc::SYS_madvise, Rule::Allow),
    (libc::SYS_getrandom, Rule::Allow),
    (libc::SYS_sched_getaffinity, Rule::Allow),
    // Signals: SIGTERM's handler, and a process that dies by its own hand.
    (libc::SYS_rt_sigreturn, Rule::Allow),
    (libc::SYS_rt_sigprocmask, Rule::Allow),
    (libc::SYS_rt_sigaction, LAST_SIGNALS),
    (libc::SYS_sigaltstack, Rule::Allow),
    (libc::SYS_getpid, Rule::Allow),
    (libc::SYS_gettid, Rule::Allow),
    (libc::SYS_tgkill, Rule::Own),
    // The end of a thread and of the process.
    (libc::SYS_close, Rule::Allow),
    (libc::SYS_fcntl, IS_OPEN),
    (libc::SYS_exit, Rule::Allow),
    (libc::SYS_exit_group, Rule::Allow),
    // A backtrace looks for the program's symbols, an allocator counts processors. Both do without.
    (libc::SYS_openat, Rule::Refuse),
    (libc::SYS_newfstatat, Rule::Refuse),
    (libc::SYS_statx, Rule::Refuse),
    (libc::SYS_readlinkat, Rule::Refuse),
    (libc::SYS_faccessat, Rule::Refuse),
    (libc::SYS_getcwd, Rule::Refuse),
];

/// The same as above under their older numbers.
#[cfg(target_arch = "x86_64")]
const OLD: &[Call] = &[
    (libc::SYS_poll, Rule::Allow),
    (libc::SYS_open, Rule::Refuse),
    (libc::SYS_stat, Rule::Refuse),
    (libc::SYS_lstat, Rule::Refuse),
    (libc::SYS_readlink, Rule::Refuse),
    (libc::SYS_access, Rule::Refuse),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[Call] = &[];

/// An order connection over kernel sockets, which is made anew when it is lost.
const CONNECTION: &[Call] = &[
    (libc::SYS_ioctl, UNSENT),
    (libc::SYS_socket, TCP_SOCKET),
    (libc::SYS_setsockopt, Rule::Allow),
    (libc::SYS_bind, Rule::Allow),
    (libc::SYS_connect, Rule::Allow),
    (libc::SYS_getsockname, Rule::Allow),
    (libc::SYS_getpeername, Rule::Allow),
];

/// All of them for a process of this reach.
pub(super) fn calls(reach: Reach) -> impl Iterator<Item = Call> {
    let connection = if reach == Reach::Open { &[] } else { CONNECTION };
    ALWAYS.iter().chain(connection).chain(OLD).copied()
}
