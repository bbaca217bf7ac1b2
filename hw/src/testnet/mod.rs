//! Networks for tests: two network namespaces joined by a veth pair, gone again when the value is dropped.
//!
//! ```text
//!  namespace "appliance"                 namespace "peer"
//!  tern0  10.77.0.1/24   <-- veth -->    peer0  10.77.0.2/24
//! ```
//!
//! IPv6 is off in both, so that no neighbour discovery disturbs counters, and so is checksum offload, because over
//! veth it leaves checksums half done. A test that has no root says so and is counted as skipped.

#![allow(unsafe_code, reason = "setns and raw sockets")]

mod frames;
mod raw;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub use frames::{FrameBuilder, checksum};
pub use raw::RawSocket;

/// Interface name of the appliance's end.
pub const APPLIANCE_INTERFACE: &str = "tern0";
/// Interface name of the peer's end.
pub const PEER_INTERFACE: &str = "peer0";
/// Address of the appliance's end, /24.
pub const APPLIANCE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Address of the peer's end, /24.
pub const PEER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// MAC of the appliance's end.
pub const APPLIANCE_MAC: [u8; 6] = [0x02, 0x54, 0, 0, 0, 1];
/// MAC of the peer's end.
pub const PEER_MAC: [u8; 6] = [0x02, 0x54, 0, 0, 0, 2];

/// File to which [`privileged`] appends one line a test, `ran NAME` or `skipped NAME`, so that a runner can count.
const COUNT_FILE_ENV: &str = "TERN_PRIVILEGED_LOG";

/// One of the two namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the program under test runs.
    Appliance,
    /// The other end.
    Peer,
}

impl Side {
    /// The interface of the pair that is on this side.
    pub fn interface(self) -> &'static str {
        match self {
            Side::Appliance => APPLIANCE_INTERFACE,
            Side::Peer => PEER_INTERFACE,
        }
    }
}

/// Whether the calling test may make networks; counts it, and says loudly when it is skipped.
pub fn privileged(test: &str) -> bool {
    // SAFETY: takes nothing, always succeeds.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("SKIP: {test}: needs root to make network namespaces");
    }
    if let Some(path) = std::env::var_os(COUNT_FILE_ENV)
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path)
    {
        let line = format!("{} {test}\n", if root { "ran" } else { "skipped" });
        // One write a line: tests of several processes append to the same file. Counting must not fail a test.
        let _ = file.write_all(line.as_bytes());
    }
    root
}

/// Two namespaces and a veth pair; all of it is removed on drop.
#[derive(Debug)]
pub struct TestNet {
    name: String,
    dir: PathBuf,
}

impl TestNet {
    /// Makes the network for `test`, or `None` (loudly) without root. `prefix` says whose it is, a few letters; what
    /// killed runs left under the same prefix is removed first.
    ///
    /// # Panics
    /// When root cannot make it: a broken host, which no test should hide.
    pub fn new(prefix: &str, test: &str) -> Option<Self> {
        Self::with_queues(prefix, test, 1)
    }

    /// As [`TestNet::new`], with this many queues at each end. Which one a frame takes depends on its flow.
    ///
    /// # Panics
    /// As [`TestNet::new`].
    pub fn with_queues(prefix: &str, test: &str, queues: u32) -> Option<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        if !privileged(test) {
            return None;
        }
        sweep(prefix);
        let name = format!("{prefix}-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let net = Self { dir: Path::new("/run").join(&name), name };
        for side in [Side::Appliance, Side::Peer] {
            ip(["netns", "add", &net.namespace(side)]);
            net.enter(side, || {
                for scope in ["all", "default"] {
                    let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
                    // A kernel without IPv6 has none to switch off.
                    if Path::new(&path).exists() {
                        fs::write(&path, "1").expect("root may set the sysctls of its namespace");
                    }
                }
            });
        }
        let (appliance, peer) = (net.namespace(Side::Appliance), net.namespace(Side::Peer));
        let queues = queues.to_string();
        #[rustfmt::skip]
        ip(["-n", &appliance, "link", "add", APPLIANCE_INTERFACE, "address", &mac(APPLIANCE_MAC),
            "numrxqueues", &queues, "numtxqueues", &queues, "type", "veth",
            "peer", "name", PEER_INTERFACE, "address", &mac(PEER_MAC),
            "numrxqueues", &queues, "numtxqueues", &queues, "netns", &peer]);
        for (side, address) in [(Side::Appliance, APPLIANCE_ADDRESS), (Side::Peer, PEER_ADDRESS)] {
            let namespace = net.namespace(side);
            let interface = side.interface();
            ip(["-n", &namespace, "address", "add", &format!("{address}/24"), "dev", interface]);
            run(net.command(side, "ethtool").args(["-K", interface, "tx", "off"]));
            ip(["-n", &namespace, "link", "set", "lo", "up"]);
            ip(["-n", &namespace, "link", "set", interface, "up"]);
            ip(["-n", &namespace, "route", "add", "224.0.0.0/4", "dev", interface]);
        }
        fs::create_dir_all(&net.dir).expect("root may write to /run");
        Some(net)
    }

    /// Name of a side's namespace, as `ip netns` lists it.
    pub fn namespace(&self, side: Side) -> String {
        match side {
            Side::Appliance => format!("{}-a", self.name),
            Side::Peer => format!("{}-p", self.name),
        }
    }

    /// A folder of this network's own under /run, removed (with a bpffs on it or one below) on drop.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs `work` in a thread inside of the namespace. Sockets made there stay there.
    ///
    /// # Panics
    /// When the namespace cannot be entered, or as `work` does.
    pub fn enter<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.namespace(side));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let namespace = File::open(&path).expect("the namespace was just made");
                // SAFETY: an open descriptor; moves this thread alone.
                let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "setns {path}: {}", io::Error::last_os_error());
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command that runs inside of the namespace. It shares this process's mounts, unlike under `ip netns exec`, so
    /// that it sees the same bpffs.
    pub fn command(&self, side: Side, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace(side))).arg("--").arg(program);
        command
    }

    /// A kernel counter of the side's interface: a file of /sys/class/net/…/statistics, such as `tx_dropped`.
    ///
    /// # Panics
    /// When `ip -s` does not report it.
    pub fn link_counter(&self, side: Side, direction: &str, counter: &str) -> u64 {
        let output = self
            .command(side, "ip")
            .args(["-s", "-json", "link", "show", "dev", side.interface()])
            .output()
            .expect("ip runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let section = text.split_once(&format!("\"{direction}\":{{")).map(|(_, rest)| rest).unwrap_or_default();
        let value = section.split_once(&format!("\"{counter}\":")).map(|(_, rest)| rest).unwrap_or_default();
        let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no {direction}.{counter} in {text}"))
    }

    /// A counter of `ethtool -S` of the side's interface, such as `rx_queue_0_drops`; `None` when there is none of
    /// that name.
    ///
    /// # Panics
    /// When ethtool is not installed.
    pub fn driver_counter(&self, side: Side, counter: &str) -> Option<u64> {
        let output = self.command(side, "ethtool").args(["-S", side.interface()]).output().expect("ethtool runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find_map(|line| {
            let (name, value) = line.trim().split_once(':')?;
            (name == counter).then(|| value.trim().parse().ok())?
        })
    }
}

impl Drop for TestNet {
    fn drop(&mut self) {
        for side in [Side::Appliance, Side::Peer] {
            let _ = Command::new("ip").args(["netns", "delete", &self.namespace(side)]).status();
        }
        remove_dir(&self.dir);
    }
}

/// Removes what killed runs of `prefix` left: their names carry the process id.
fn sweep(prefix: &str) {
    let dead = |name: &str| {
        let id = name.strip_prefix(prefix)?.strip_prefix('-')?.split('-').next()?.parse::<u32>().ok()?;
        (!Path::new(&format!("/proc/{id}")).exists()).then_some(())
    };
    for folder in ["/run/netns", "/run"] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if dead(&name).is_none() {
                continue;
            }
            if folder == "/run/netns" {
                let _ = Command::new("ip").args(["netns", "delete", &name]).status();
            } else {
                remove_dir(&entry.path());
            }
        }
    }
}

/// Removes `dir` and unmounts what lies on it or directly below it.
fn remove_dir(dir: &Path) {
    let below = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for mount in below.chain([dir.to_path_buf()]) {
        // Most are not mount points; that is no failure.
        let _ = Command::new("umount").arg("-q").arg(&mount).stderr(std::process::Stdio::null()).status();
    }
    let _ = fs::remove_dir_all(dir);
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn ip<const N: usize>(arguments: [&str; N]) {
    run(Command::new("ip").args(arguments));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
