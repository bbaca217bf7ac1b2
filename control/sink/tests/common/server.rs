//! A PostgreSQL of the host's or of `.tools`, in a folder of its own, on a socket only.

use postgres::{Client, NoTls};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::{Folder, wait};

/// Who runs it when the test is root, which the server refuses to be.
const NOBODY: u32 = 65_534;

pub(crate) struct Server {
    child: Option<Child>,
    folder: Folder,
    bin: PathBuf,
}

/// The newest there is.
fn bin() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for base in [root.join(".tools/usr/lib/postgresql"), PathBuf::from("/usr/lib/postgresql")] {
        let versions = fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        if let Some(bin) = versions.filter(|bin| bin.join("postgres").exists()).max() {
            return bin;
        }
    }
    panic!("no PostgreSQL in .tools or /usr/lib/postgresql: scripts/setup --test brings it");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("itself").uid() == 0
}

impl Server {
    /// A server with an empty database `tern`.
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).expect("for all to see");
        let (data, socket) = (folder.0.join("data"), folder.0.join("socket"));
        for path in [&data, &socket] {
            fs::create_dir(path).expect("a folder");
            if is_root() {
                chown(path, Some(NOBODY), Some(NOBODY)).expect("given away");
            }
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("for one alone");
        let mut server = Self { child: None, folder, bin: bin() };
        let initdb = ["-U", "tern", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"];
        let made = server.command("initdb").args(initdb).arg(&data).output().expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.start();
        server.client_of("postgres").batch_execute("CREATE DATABASE tern").expect("a database");
        server
    }

    /// One of its programs, as a user whom it accepts; it dies with this thread.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        if is_root() {
            let id = NOBODY.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        }
        command.args(["--pdeathsig", "QUIT", "--"]).arg(self.bin.join(program)).stdin(Stdio::null()).current_dir("/");
        command
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.0.join("log")).expect("a log");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.folder.0.join("data")).arg("-k").arg(self.folder.0.join("socket"));
        // Shared memory in its folder: of a server that is killed nothing stays in /dev/shm.
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "shared_buffers=16MB",
            "autovacuum=off",
            "max_wal_size=256MB",
            "dynamic_shared_memory_type=mmap",
        ] {
            command.args(["-c", setting]);
        }
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().expect("postgres starts"));
        let url = self.url_of("postgres");
        wait("the server answers", || Client::connect(&url, NoTls).ok());
    }

    /// SIGKILL of the server, which it takes for a crash. Its sessions end when they see it.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let pid = self.folder.0.join("data/postmaster.pid");
        let facts = fs::read_to_string(&pid).unwrap_or_default();
        child.kill().expect("killed");
        child.wait().expect("dead");
        fs::remove_file(pid).ok();
        // The next one is refused as long as somebody of this one has its memory.
        sleep(Duration::from_millis(200));
        // The last words of the file: key and id of the memory by which it says that it runs, which nobody takes away now.
        if let Some(id) = facts.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            Command::new("ipcrm").args(["--shmem-id", id]).status().expect("ipcrm runs");
        }
    }

    /// Ends it at once, as an operator does who does not wait: sessions are told.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("told");
        child.wait().expect("ended");
    }

    fn url_of(&self, database: &str) -> String {
        format!("host={} user=tern dbname={database}", self.folder.0.join("socket").display())
    }

    pub(crate) fn url(&self) -> String {
        self.url_of("tern")
    }

    fn client_of(&self, database: &str) -> Client {
        Client::connect(&self.url_of(database), NoTls).expect("a connection")
    }

    /// A connection, if it accepts one now.
    pub(crate) fn client_if(&self) -> Option<Client> {
        Client::connect(&self.url(), NoTls).ok()
    }

    pub(crate) fn client(&self) -> Client {
        self.client_of("tern")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
    }
}
