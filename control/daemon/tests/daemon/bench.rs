//! An instance of its own for each test: folders, configuration, and the processes to be ended whatever happens.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tern_config::Config;
use tern_config::facts::DaemonFacts;
use tern_hw::segment::SegmentView;
use tern_journal::Verified;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
    pub(crate) config: Config,
    daemon: Option<Child>,
    mode: &'static str,
    /// Environment of the daemon besides.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Bench {
    /// An instance whose data plane is the fake one in `mode`; `more` is added to the configuration.
    pub(crate) fn new(name: &str, mode: &'static str, more: &str) -> Self {
        Self::on("kind = \"socket\"\ninterface = \"lo\"", name, mode, more)
    }

    /// As [`Bench::new`], on another port.
    pub(crate) fn on(port: &str, name: &str, mode: &'static str, more: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tern-ctl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let at = |file: &str| folder.join(file).display().to_string();
        let text = format!(
            "[instance]\nname = \"t{}\"\n[paths]\nsegment = \"{}\"\njournal = \"{}\"\nrun = \"{}\"\n\
             [port]\n{port}\nhuge_pages = \"off\"\n\
             [rings]\norder_slots = 4096\ncapture_bytes = 1048576\ncommand_slots = 16\n{more}",
            std::process::id(),
            at("segment"),
            at("journal"),
            at("run")
        );
        let file = folder.join("tern.toml");
        std::fs::write(&file, text).expect("a file");
        let config = Config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
        Self { folder, config, daemon: None, mode, environment: Vec::new() }
    }

    pub(crate) fn start(&mut self) {
        let examples = std::env::current_exe().expect("this test").with_file_name("..").join("examples");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("ternd.log"));
        let daemon = Command::new(env!("CARGO_BIN_EXE_ternd"))
            .arg("--config")
            .arg(self.config.file())
            .arg("--dataplane-bin")
            .arg(examples.join("fake_dataplane"))
            .env("TERN_FAKE", self.mode)
            .envs(self.environment.iter().cloned())
            .stderr(Stdio::from(log.expect("a log file")))
            .spawn()
            .expect("ternd starts");
        self.daemon = Some(daemon);
    }

    /// Waits until `done`; fails the test, with the daemon's log, when that takes too long.
    pub(crate) fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "not in time: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn log(&self) -> String {
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        read(self.folder.join("ternd.log")) + &read(self.config.paths.dataplane_log())
    }

    pub(crate) fn view(&self) -> SegmentView {
        SegmentView::open(&self.config.instance.name, self.config.paths.segment_file()).expect("the segment")
    }

    /// Waits until the journal has so many records.
    pub(crate) fn until_journaled(&self, seq: u64) {
        self.until("the segment", || self.config.paths.segment.exists());
        let view = self.view();
        self.until(&format!("seq {seq} in the journal"), || {
            view.segment().expect("a segment").journaled_seq.get() >= seq
        });
    }

    pub(crate) fn facts(&self) -> DaemonFacts {
        let facts = tern_config::facts::read(&self.config.paths.daemon_facts()).expect("facts are readable");
        facts.unwrap_or_default()
    }

    pub(crate) fn signal(&mut self, signal: Signal) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("a daemon runs");
        kill(Pid::from_raw(daemon.id() as i32), signal).expect("it lives");
        daemon.wait().expect("it ends")
    }

    /// Signals the daemon and does not wait for what comes of it.
    pub(crate) fn tell(&self, signal: Signal) {
        let daemon = self.daemon.as_ref().expect("a daemon runs");
        kill(Pid::from_raw(daemon.id() as i32), signal).expect("it lives");
    }

    /// Ends the daemon as an operator does.
    pub(crate) fn stop(&mut self) {
        let status = self.signal(Signal::SIGTERM);
        assert!(status.success(), "{status}\n{}", self.log());
    }

    pub(crate) fn data_plane(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.config.paths.dataplane_pid()).ok()?;
        text.trim().parse().ok()
    }

    pub(crate) fn kill_data_plane(&self, signal: Signal) {
        if let Some(pid) = self.data_plane() {
            let _ = kill(Pid::from_raw(pid as i32), signal);
        }
    }

    /// The journal, whole and without a record lost.
    pub(crate) fn verified(&self) -> Verified {
        let found = tern_journal::verify(&self.config.paths.journal).expect("the journal is there");
        assert!(found.is_whole(), "{:?}", found.damages);
        assert_eq!(found.unexplained(), 0, "{found:?}");
        found
    }

    /// Sends a line to the control socket and returns the answer.
    pub(crate) fn ask(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.config.paths.control_socket()).expect("ternd listens");
        writeln!(stream, "{line}").expect("it is taken");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill_data_plane(Signal::SIGKILL);
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("{} is left behind: {error}", folder.display());
    }
}
