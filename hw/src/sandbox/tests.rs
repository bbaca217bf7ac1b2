//! The sandbox against this kernel, each time in a child process: what is given away is not given back.
#![allow(unsafe_code, reason = "fork, and system calls that are forbidden")]

use super::*;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use tern_abi::segment::KillCause;

/// Runs `child` in a process of its own; how that ended, as waitpid(2) says. `child` says whether all was as it should be.
fn in_child(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child has this thread alone, and of what other threads may hold it needs the allocator, which fork(3) leaves whole.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
    if pid == 0 {
        let code = if child() { 0 } else { 1 };
        // SAFETY: no pointers.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: a child of ours and room for its status.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

fn exited_well(status: i32) -> bool {
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

/// A word that parent and child share.
fn shared_word() -> &'static KillWord {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping where the kernel likes, at the begin of a page; zeroes are a valid kill word, which is made of atomics.
    unsafe {
        let place = libc::mmap(std::ptr::null_mut(), size_of::<KillWord>(), protection, flags, -1, 0);
        assert_ne!(place, libc::MAP_FAILED);
        &*place.cast::<KillWord>()
    }
}

/// `None` where the kernel has no seccomp.
fn confined(reach: Reach) -> Option<Sandbox> {
    let sandbox = Sandbox::of_this_kernel(reach);
    sandbox.fallbacks().iter().for_each(|text| println!("{text}"));
    if sandbox.calls().is_none() {
        println!("SKIP: no seccomp here");
        return None;
    }
    Some(sandbox)
}

#[test]
fn a_forbidden_call_sets_the_word_and_ends_the_process_by_sigsys() {
    let Some(sandbox) = confined(Reach::Open) else { return };
    let word = shared_word();
    let status = in_child(|| {
        let _watch = sandbox.confine_calls(word);
        // SAFETY: no pointers.
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
        true
    });
    assert!(libc::WIFSIGNALED(status), "{status:#x}: it went on");
    assert_eq!(libc::WTERMSIG(status), libc::SIGSYS);
    let state = word.state();
    assert!(state.killed());
    assert_eq!(word.note(state.kills()).map(|note| note.cause), Some(KillCause::ForbiddenCall));
}

#[test]
fn every_thread_is_under_it_and_a_new_one_cannot_be_started() {
    let Some(sandbox) = confined(Reach::Open) else { return };
    let status = in_child(|| {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            let _ = wait.recv();
            // SAFETY: no pointers.
            unsafe { libc::getppid() }
        });
        let _watch = sandbox.confine_calls(shared_word());
        let _ = go.send(());
        other.join().is_ok()
    });
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS, "{status:#x}: another thread is free");
    let status = in_child(|| {
        let _watch = sandbox.confine_calls(shared_word());
        std::thread::Builder::new().spawn(|| ()).is_ok()
    });
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS, "{status:#x}: a thread was started");
}

#[test]
fn a_panic_with_a_backtrace_time_and_memory_are_no_forbidden_calls() {
    let Some(sandbox) = confined(Reach::Open) else { return };
    let status = in_child(|| {
        // SAFETY: the child has one thread.
        unsafe { std::env::set_var("RUST_BACKTRACE", "full") };
        let ok = sandbox.confine_thread().is_ok();
        let Ok(_watch) = sandbox.confine_calls(shared_word()) else { return false };
        let caught = std::panic::catch_unwind(|| panic!("a strategy's panic, as it should be")).is_err();
        let memory: Vec<Vec<u8>> = (0..64).map(|n| vec![n; 1 << 20]).collect();
        let sum: usize = memory.iter().map(Vec::len).sum();
        std::thread::sleep(std::time::Duration::from_millis(1));
        std::thread::park_timeout(std::time::Duration::from_millis(1));
        let refused = File::open("/dev/null").map_err(|error| error.kind());
        ok && caught && sum == 64 << 20 && matches!(refused, Err(io::ErrorKind::PermissionDenied))
    });
    assert!(exited_well(status), "{status:#x}");
}

#[test]
fn a_process_that_aborts_dies_by_sigabrt_and_not_of_the_sandbox() {
    let Some(sandbox) = confined(Reach::Open) else { return };
    let status = in_child(|| {
        let _watch = sandbox.confine_calls(shared_word());
        std::process::abort()
    });
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT, "{status:#x}");
}

#[test]
fn a_confined_thread_opens_no_file_and_keeps_what_is_open() {
    let sandbox = Sandbox::of_this_kernel(Reach::Open);
    if sandbox.landlock().is_none() {
        println!("SKIP: {:?}", sandbox.fallbacks());
        return;
    }
    let path = std::env::temp_dir().join(format!("tern-landlock-{}", std::process::id()));
    let mut file = File::create(&path).expect("a file");
    // Landlock is the thread's: no child is needed.
    let (opened, wrote, made) = std::thread::scope(|scope| {
        let confined = scope.spawn(|| {
            sandbox.confine_thread().expect("confined");
            let made = path.with_extension("new");
            (File::open(&path), io::Write::write(&mut file, b"kept"), File::create(made))
        });
        confined.join().expect("no panic")
    });
    std::fs::remove_file(&path).expect("it is there, and another thread may remove it");
    let denied = |outcome: io::Result<File>| outcome.is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
    assert!(denied(opened) && denied(made), "a file was opened");
    assert_eq!(wrote.ok(), Some(4));
}

#[test]
fn of_tcp_the_venues_port_alone_is_left() {
    let (venue, other) =
        (TcpListener::bind("127.0.0.1:0").expect("a port"), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    let (venue_port, other_port) = (port(&venue), port(&other));
    let Some(sandbox) = confined(Reach::Tcp(venue_port)) else { return };
    let has_net = sandbox.landlock().is_some_and(|version| version >= 4);
    let status = in_child(|| {
        let ok = sandbox.confine_thread().is_ok();
        let Ok(_watch) = sandbox.confine_calls(shared_word()) else { return false };
        let connect = |port| {
            let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            crate::socket::tcp::TcpLink::connect(Some(Ipv4Addr::LOCALHOST), to).map(|link| (link.local(), link.reset()))
        };
        let there = connect(venue_port).is_ok() && connect(venue_port).is_ok();
        ok && there && connect(other_port).is_err() == has_net
    });
    assert!(exited_well(status), "{status:#x}");
}
