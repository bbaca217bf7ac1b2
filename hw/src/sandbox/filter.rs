//! The filter as the kernel takes it: a program in classic BPF over `struct seccomp_data` (linux/seccomp.h).

use super::calls::{Call, Check, Rule};
use std::mem::offset_of;

/// AUDIT_ARCH_X86_64 of linux/audit.h, which the libc crate lacks.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
/// AUDIT_ARCH_AARCH64.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
/// No list of calls was measured for this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: u32 = 0;

/// From here on numbers are those of the x32 ABI, which would be a way round the list.
const X32: u32 = 0x4000_0000;

/// SECCOMP_RET_KILL_PROCESS: for what no program of ours can ask by accident.
pub(super) const KILL: u32 = 0x8000_0000;
/// SECCOMP_RET_TRAP: SIGSYS, whose handler says which call it was and ends the process.
pub(super) const TRAP: u32 = libc::SECCOMP_RET_TRAP;
/// SECCOMP_RET_ALLOW.
pub(super) const ALLOW: u32 = 0x7FFF_0000;
/// SECCOMP_RET_ERRNO with EACCES.
pub(super) const REFUSE: u32 = 0x0005_0000 | libc::EACCES as u32;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const NOT_BELOW: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

const fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// The program for these calls of process `pid`.
pub(super) fn program(calls: impl Iterator<Item = Call>, pid: u32) -> Vec<libc::sock_filter> {
    let mut steps = vec![
        step(LOAD, 0, 0, offset_of!(libc::seccomp_data, arch) as u32),
        step(EQUAL, 1, 0, ARCHITECTURE),
        step(RETURN, 0, 0, KILL),
        step(LOAD, 0, 0, offset_of!(libc::seccomp_data, nr) as u32),
        step(NOT_BELOW, 0, 1, X32),
        step(RETURN, 0, 0, KILL),
    ];
    for (number, rule) in calls {
        let body = match rule {
            Rule::Allow => vec![step(RETURN, 0, 0, ALLOW)],
            Rule::Refuse => vec![step(RETURN, 0, 0, REFUSE)],
            Rule::If(checks) => checks.iter().flat_map(|check| checked(check, check.one_of)).chain(allowed()).collect(),
            Rule::Own => checked(&Check { argument: 0, mask: u32::MAX, one_of: &[] }, &[pid])
                .into_iter()
                .chain(allowed())
                .collect(),
        };
        // Bodies are a few steps each and all of them return: a number that is not this one jumps over.
        steps.push(step(EQUAL, 0, body.len() as u8, number as u32));
        steps.extend(body);
    }
    steps.push(step(RETURN, 0, 0, TRAP));
    steps
}

fn allowed() -> [libc::sock_filter; 1] {
    [step(RETURN, 0, 0, ALLOW)]
}

/// Goes on behind itself if the check holds, else ends in SIGSYS.
fn checked(check: &Check, one_of: &[u32]) -> Vec<libc::sock_filter> {
    let argument = offset_of!(libc::seccomp_data, args) + 8 * usize::from(check.argument);
    // Little-endian: the lower half of an argument is at its beginning.
    let mut steps = vec![step(LOAD, 0, 0, argument as u32), step(AND, 0, 0, check.mask)];
    for (index, value) in one_of.iter().enumerate() {
        // Over the other values and the return.
        steps.push(step(EQUAL, (one_of.len() - index) as u8, 0, *value));
    }
    steps.push(step(RETURN, 0, 0, TRAP));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Reach, calls::calls};

    const PID: u32 = 4711;

    /// Runs the program as the kernel does.
    fn verdict(steps: &[libc::sock_filter], arch: u32, number: libc::c_long, args: [u64; 6]) -> u32 {
        let words = |offset: u32| match offset {
            0 => number as u32,
            4 => arch,
            offset => {
                let at = (offset - 16) as usize;
                (args[at / 8] >> (8 * (at % 8))) as u32
            }
        };
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let step = &steps[at];
            let jump = |is: bool| if is { step.jt as usize } else { step.jf as usize };
            at += 1 + match u32::from(step.code) {
                LOAD => {
                    accumulator = words(step.k);
                    0
                }
                AND => {
                    accumulator &= step.k;
                    0
                }
                EQUAL => jump(accumulator == step.k),
                NOT_BELOW => jump(accumulator >= step.k),
                RETURN => return step.k,
                other => panic!("no such step: {other:#x}"),
            };
        }
    }

    #[test]
    fn each_call_gets_what_the_table_says() {
        let of = |reach| program(calls(reach), PID);
        let (xdp, socket) = (of(Reach::Open), of(Reach::Tcp(9000)));
        let ask = |steps: &[_], number, args: [u64; 3]| {
            verdict(steps, ARCHITECTURE, number, [args[0], args[1], args[2], 0, 0, 0])
        };
        for steps in [&xdp, &socket] {
            assert_eq!(ask(steps, libc::SYS_sendto, [3, 0, 0]), ALLOW);
            assert_eq!(ask(steps, libc::SYS_exit_group, [0, 0, 0]), ALLOW);
            assert_eq!(ask(steps, libc::SYS_openat, [0, 0, 0]), REFUSE);
            assert_eq!(ask(steps, libc::SYS_mmap, [0, 4096, 3]), ALLOW);
            assert_eq!(ask(steps, libc::SYS_mmap, [0, 4096, 5]), TRAP, "executable");
            assert_eq!(ask(steps, libc::SYS_mprotect, [0, 4096, 7]), TRAP, "executable");
            assert_eq!(ask(steps, libc::SYS_tgkill, [PID.into(), 9, 6]), ALLOW);
            assert_eq!(ask(steps, libc::SYS_tgkill, [1, 1, 9]), TRAP, "another process");
            assert_eq!(ask(steps, libc::SYS_rt_sigaction, [libc::SIGABRT as u64, 0, 0]), ALLOW);
            assert_eq!(ask(steps, libc::SYS_rt_sigaction, [libc::SIGSYS as u64, 0, 0]), TRAP, "the handler stays");
            for number in [
                libc::SYS_execve,
                libc::SYS_execveat,
                libc::SYS_clone,
                libc::SYS_clone3,
                libc::SYS_ptrace,
                libc::SYS_process_vm_writev,
                libc::SYS_bpf,
                libc::SYS_io_uring_setup,
                libc::SYS_unshare,
                libc::SYS_mount,
                libc::SYS_prctl,
                libc::SYS_seccomp,
                libc::SYS_kill,
                libc::SYS_unlinkat,
                libc::SYS_memfd_create,
            ] {
                assert_eq!(ask(steps, number, [0, 0, 0]), TRAP, "{number}");
            }
            assert_eq!(verdict(steps, 0x4000_0003, libc::SYS_sendto, [0; 6]), KILL, "32 bits");
            assert_eq!(ask(steps, X32 as i64 + libc::SYS_sendto, [0, 0, 0]), KILL, "x32");
        }
        let stream = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let tcp = [libc::AF_INET as u64, stream as u64, 0];
        assert_eq!((ask(&xdp, libc::SYS_socket, tcp), ask(&socket, libc::SYS_socket, tcp)), (TRAP, ALLOW));
        let kinds = [[libc::AF_INET, libc::SOCK_DGRAM], [libc::AF_UNIX, stream], [libc::AF_PACKET, libc::SOCK_RAW]];
        for [family, kind] in kinds {
            assert_eq!(ask(&socket, libc::SYS_socket, [family as u64, kind as u64, 0]), TRAP, "{family} {kind}");
        }
        assert_eq!(ask(&socket, libc::SYS_ioctl, [3, 0x894b, 0]), ALLOW);
        assert_eq!(ask(&socket, libc::SYS_ioctl, [3, libc::TIOCSTI, 0]), TRAP);
        assert_eq!(ask(&xdp, libc::SYS_connect, [3, 0, 0]), TRAP);
    }

    #[test]
    fn the_kernel_takes_a_program_of_this_length_and_no_number_stands_twice() {
        for reach in [Reach::Open, Reach::Tcp(1)] {
            let length = program(calls(reach), PID).len();
            assert!(length < 4096, "BPF_MAXINSNS: {length}");
            let mut numbers: Vec<_> = calls(reach).map(|(number, _)| number).collect();
            numbers.sort_unstable();
            let count = numbers.len();
            numbers.dedup();
            assert_eq!(numbers.len(), count);
        }
    }
}
