//! The system calls that libbpf-rs does not cover, each behind a safe function. All of the crate's `unsafe` is here.
#![allow(unsafe_code, reason = "system calls and libbpf's C functions")]

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use libbpf_rs::libbpf_sys;

/// Which of the kernel's two XDP hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Native,
    Generic,
}

impl Hook {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Hook::Native => "native",
            Hook::Generic => "generic",
        }
    }
}

/// Programs attached to an interface, by hook; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) native: u32,
    pub(crate) generic: u32,
    pub(crate) offloaded: u32,
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
}

fn check_errno(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a terminated string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// The network namespace of the calling thread, as `stat /proc/thread-self/ns/net` names it.
pub(crate) fn netns_inode() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/thread-self/ns/net")?.ino())
}

pub(crate) fn file_system_magic(path: &Path) -> io::Result<libc::c_long> {
    let path = c_path(path)?;
    // SAFETY: statfs is plain data, for which zeroes are valid.
    let mut facts: libc::statfs = unsafe { mem::zeroed() };
    // SAFETY: a terminated string and a writable struct that outlive the call.
    check_errno(unsafe { libc::statfs(path.as_ptr(), &raw mut facts) })?;
    Ok(facts.f_type)
}

pub(crate) fn mount_bpffs(dir: &Path) -> io::Result<()> {
    let dir = c_path(dir)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: terminated strings that outlive the call; bpffs takes its options as a string.
    check_errno(unsafe {
        libc::mount(c"bpffs".as_ptr(), dir.as_ptr(), c"bpf".as_ptr(), flags, c"mode=0755".as_ptr().cast())
    })
}

/// Unmounts `dir` now from the tree, and for good once nobody has it open: a child that is about to exec may still hold
/// a descriptor for an instant.
pub(crate) fn unmount(dir: &Path) -> io::Result<()> {
    let dir = c_path(dir)?;
    // SAFETY: a terminated string that outlives the call.
    check_errno(unsafe { libc::umount2(dir.as_ptr(), libc::UMOUNT_NOFOLLOW | libc::MNT_DETACH) })
}

pub(crate) fn attach(program: BorrowedFd<'_>, interface_index: u32, hook: Hook) -> io::Result<OwnedFd> {
    // SAFETY: the options are plain data, for which zeroes are valid.
    let mut options: libbpf_sys::bpf_link_create_opts = unsafe { mem::zeroed() };
    options.sz = mem::size_of_val(&options) as _;
    options.flags = match hook {
        Hook::Native => libbpf_sys::XDP_FLAGS_DRV_MODE,
        Hook::Generic => libbpf_sys::XDP_FLAGS_SKB_MODE,
    };
    // SAFETY: an open program and options that outlive the call.
    let fd = check(unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            interface_index as i32,
            libbpf_sys::BPF_XDP,
            &raw const options,
        )
    })?;
    // SAFETY: the call just returned this descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an open descriptor.
    check(unsafe { libbpf_sys::bpf_link_detach(link.as_raw_fd()) }).map(drop)
}

pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: an open descriptor and a terminated string that outlives the call.
    check(unsafe { libbpf_sys::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) }).map(drop)
}

pub(crate) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: a terminated string that outlives the call.
    let fd = check(unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) })?;
    // SAFETY: the call just returned this descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The interface that an XDP link is attached to; 0 once it is detached.
pub(crate) fn link_interface(link: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: the info is plain data, for which zeroes are valid.
    let mut info: libbpf_sys::bpf_link_info = unsafe { mem::zeroed() };
    let mut length = mem::size_of_val(&info) as u32;
    // SAFETY: an open descriptor, and a writable struct with its length, which outlive the call.
    check(unsafe { libbpf_sys::bpf_obj_get_info_by_fd(link.as_raw_fd(), (&raw mut info).cast(), &raw mut length) })?;
    if info.type_ != libbpf_sys::BPF_LINK_TYPE_XDP {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the pin is not an XDP link"));
    }
    // SAFETY: the type just said that this member of the union is the valid one.
    Ok(unsafe { info.__bindgen_anon_1.xdp.ifindex })
}

pub(crate) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: the info is plain data, for which zeroes are valid.
    let mut info: libbpf_sys::bpf_prog_info = unsafe { mem::zeroed() };
    let mut length = mem::size_of_val(&info) as u32;
    // SAFETY: an open descriptor, and a writable struct with its length, which outlive the call.
    check(unsafe { libbpf_sys::bpf_obj_get_info_by_fd(program.as_raw_fd(), (&raw mut info).cast(), &raw mut length) })?;
    Ok(info.id)
}

pub(crate) fn attached(interface_index: u32) -> io::Result<Attached> {
    // SAFETY: the options are plain data, for which zeroes are valid.
    let mut options: libbpf_sys::bpf_xdp_query_opts = unsafe { mem::zeroed() };
    options.sz = mem::size_of_val(&options) as _;
    // SAFETY: writable options that outlive the call.
    check(unsafe { libbpf_sys::bpf_xdp_query(interface_index as i32, 0, &raw mut options) })?;
    Ok(Attached { native: options.drv_prog_id, generic: options.skb_prog_id, offloaded: options.hw_prog_id })
}

/// Whether XDP programs may read CLOCK_TAI on this kernel.
pub(crate) fn has_tai_helper() -> bool {
    // SAFETY: no pointer but the null that stands for no options.
    let answer = unsafe {
        libbpf_sys::libbpf_probe_bpf_helper(
            libbpf_sys::BPF_PROG_TYPE_XDP,
            libbpf_sys::BPF_FUNC_ktime_get_tai_ns,
            ptr::null(),
        )
    };
    answer == 1
}

fn clock_ns(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a writable struct that outlives the call.
    check_errno(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// CLOCK_TAI minus CLOCK_MONOTONIC, ns: of several readings the one with the least time in between.
pub(crate) fn tai_minus_monotonic_ns() -> io::Result<u64> {
    let mut best = (u64::MAX, 0);
    for _ in 0..16 {
        let before = clock_ns(libc::CLOCK_MONOTONIC)?;
        let tai = clock_ns(libc::CLOCK_TAI)?;
        let after = clock_ns(libc::CLOCK_MONOTONIC)?;
        best = best.min((after - before, tai.wrapping_sub(before + (after - before) / 2)));
    }
    Ok(best.1)
}
