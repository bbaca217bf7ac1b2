//! Networks that die with the process that made them.
//!
//! A network metric runs in a process of its own, in mount, PID, IPC and network namespaces made by
//! `unshare --kill-child`: however it ends, the kernel ends every process in there and takes links, mounts, pins and
//! segments along. Root only.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Plan, RUNS_MIN, Row};
use crate::setting::Scratch;

/// Set inside, to the folder that the process outside removes.
pub(crate) const INSIDE: &str = "TERN_BENCH_SANDBOX";
const HOST: &str = "host";

/// Runs `metric` in namespaces of its own: outside, starts this program again there and takes its rows; inside, calls
/// `measure`. Without root it is skipped, loudly.
///
/// # Panics
/// When the namespaces cannot be made or the metric fails in there.
pub fn isolated(metric: &str, plan: Plan, measure: impl FnOnce(Plan) -> Vec<Row>) -> Vec<Row> {
    if std::env::var_os(INSIDE).is_some() {
        prepare();
        return measure(plan);
    }
    if !is_root() {
        eprintln!("SKIP: {metric}: needs root for network namespaces and XDP");
        return Vec::new();
    }
    let scratch = Scratch::disk();
    let json = scratch.path().join("rows.json");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["--propagation", "private"]).arg(std::env::current_exe().expect("this program has a path"));
    command.args(["--only", metric, "--json"]).arg(&json).env(INSIDE, scratch.path()).stdout(Stdio::null());
    if plan.runs == RUNS_MIN {
        command.arg("--quick");
    }
    let status = command.status().unwrap_or_else(|error| panic!("unshare (util-linux): {error}"));
    assert!(status.success(), "{metric} failed in its namespaces: {status}");
    let rows = fs::read_to_string(&json).expect("the metric wrote its rows");
    serde_json::from_str(&rows).expect("rows")
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// Private `/run` and `/dev/shm`, and the host's network namespace beside our own.
fn prepare() {
    for place in ["/run", "/dev/shm"] {
        run("mount", ["-t", "tmpfs", "-o", "mode=0755", "tmpfs", place]);
    }
    run("ip", ["link", "set", "lo", "up"]);
    run("ip", ["netns", "add", HOST]);
    run("ip", ["-n", HOST, "link", "set", "lo", "up"]);
}

/// Runs a command to its end.
///
/// # Panics
/// When it fails.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A veth pair: `vN`, 10.90.N.1, here where the venue is, and `hN`, 10.90.N.3, in the host's namespace. Tern's own
/// address is 10.90.N.2; the multicast group is 239.90.N.1.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    number: u8,
}

impl Link {
    /// Makes the pair.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(number: u8) -> Self {
        let (venue, host) = (format!("v{number}"), format!("h{number}"));
        run("ip", ["link", "add", &venue, "type", "veth", "peer", "name", &host, "netns", HOST]);
        let link = Self { number };
        for (prefix, name, address) in [(vec![], &venue, link.venue()), (vec!["-n", HOST], &host, link.host())] {
            let ip = |arguments: &[&str]| run("ip", prefix.iter().copied().chain(arguments.iter().copied()));
            ip(&["address", "add", &format!("{address}/24"), "dev", name]);
            ip(&["link", "set", name, "up"]);
            ip(&["route", "add", &format!("{}/32", link.group()), "dev", name]);
        }
        // veth leaves checksums half done otherwise, which a stack of our own must not accept.
        run("ethtool", ["-K", &venue, "tx", "off"]);
        in_host("ethtool").args(["-K", &host, "tx", "off"]).stdout(Stdio::null()).status().expect("ethtool runs");
        link
    }
    /// Interface name on the host's side.
    pub fn interface(self) -> String {
        format!("h{}", self.number)
    }
    /// The venue's address.
    pub fn venue(self) -> String {
        format!("10.90.{}.1", self.number)
    }
    /// Tern's own address past the kernel.
    pub fn bypass(self) -> String {
        format!("10.90.{}.2", self.number)
    }
    /// The host kernel's address.
    pub fn host(self) -> String {
        format!("10.90.{}.3", self.number)
    }
    /// The feed's group.
    pub fn group(self) -> String {
        format!("239.90.{}.1", self.number)
    }
}

/// A command in the host's network namespace.
pub fn in_host(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{HOST}")).arg("--").arg(program).stdin(Stdio::null());
    command
}

/// A process and, by its pid file, one that it started; both can be frozen while another side is measured.
#[derive(Debug)]
pub struct Frozen {
    child: Child,
    others: Vec<u32>,
}

impl Frozen {
    /// Takes care of `child`.
    pub fn new(child: Child) -> Self {
        Self { child, others: Vec::new() }
    }
    /// Another process to be frozen along.
    pub fn also(&mut self, pid: u32) {
        self.others.push(pid);
    }
    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
    /// Stops it where it is.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }
    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }
    fn signal(&self, signal: &str) {
        let pids = self.others.iter().copied().chain([self.child.id()]).map(|pid| pid.to_string());
        run("kill", [signal.to_string()].into_iter().chain(pids));
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

/// Where the products' programs are: beside this one, or where `TERN_BIN` says.
pub fn program(name: &str) -> std::path::PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let folder = std::env::var_os("TERN_BIN").map(Into::into);
    let path = folder.unwrap_or_else(|| own.parent().unwrap_or(Path::new(".")).to_path_buf()).join(name);
    assert!(path.exists(), "{}: not built; scripts/bench builds everything", path.display());
    path
}
