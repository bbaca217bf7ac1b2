//! What runs beside a loop on a busy host: a journal at full rate, four query loops of the CLI, a scraper of `tern-metrics`,
//! and an export that begins anew when it is through.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use tern_abi::record::{Kind, RecordHeader};
use tern_journal::{Options, Writer};

use crate::setting::Scratch;

/// Query loops at once.
const QUERIES: usize = 4;
/// From one scrape to the next: a hundred a second, where Prometheus takes one every few seconds.
const SCRAPE_EVERY: Duration = Duration::from_millis(10);
/// Pause between two looks at a program.
const LOOK: Duration = Duration::from_millis(2);
/// As the drain.
const BATCH: u64 = 4096;
const SYNC_EVERY: Duration = Duration::from_millis(10);

/// How often each part of the load was through, or begun.
#[derive(Debug, Default)]
pub struct Done {
    /// Records of the journal at full rate.
    pub records: AtomicU64,
    /// Queries that were answered.
    pub queries: AtomicU64,
    /// Scrapes.
    pub scrapes: AtomicU64,
    /// Exports that were begun: a run is shorter than one takes.
    pub exports: AtomicU64,
}

/// The load, on or off. Its threads run where the one that began them may.
#[derive(Debug)]
pub struct Load {
    is_on: AtomicBool,
    has_ended: AtomicBool,
    /// See [`Done`].
    pub done: Done,
    programs: PathBuf,
    config: PathBuf,
    journal: PathBuf,
    /// What the queries ask for; set before it is on.
    pub symbol: OnceLock<String>,
    metrics_port: u16,
}

impl Load {
    /// A load that is off, of the programs in a folder; `None`, and a loud word, where one is missing.
    pub fn new(metric: &str, config: &Path, journal: &Path, metrics_port: u16) -> Option<Self> {
        let beside = || std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
        let programs = std::env::var_os("TERN_BIN").map(PathBuf::from).or_else(beside)?;
        if let Some(missing) =
            ["tern", "tern-export", "tern-metrics"].iter().find(|name| !programs.join(name).is_file())
        {
            eprintln!("SKIP: {metric}: needs {missing} in {} (scripts/bench builds it)", programs.display());
            return None;
        }
        Some(Self {
            is_on: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            done: Done::default(),
            programs,
            config: config.to_owned(),
            journal: journal.to_owned(),
            symbol: OnceLock::new(),
            metrics_port,
        })
    }

    /// Its threads wait until it is on.
    pub fn begin<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        scope.spawn(|| self.write());
        scope.spawn(|| self.scrape());
        scope.spawn(|| self.export());
        for _ in 0..QUERIES {
            scope.spawn(|| self.query());
        }
    }

    /// On or off from now on.
    pub fn set(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Release);
    }

    /// For good.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire) && !self.has_ended.load(Ordering::Acquire)
    }

    /// Waits until it is on; whether it will be.
    fn wait(&self) -> bool {
        while !self.is_on() && !self.has_ended.load(Ordering::Acquire) {
            thread::sleep(LOOK);
        }
        !self.has_ended.load(Ordering::Acquire)
    }

    fn command(&self, program: &str) -> Command {
        Self::quiet(Command::new(self.programs.join(program)))
    }

    fn quiet(mut command: Command) -> Command {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Waits until the program ends, and whether well; one that still runs when the load is off is ended.
    fn through(&self, mut child: Child) -> bool {
        loop {
            match child.try_wait().expect("a program of our own") {
                Some(status) => return status.success(),
                None if self.is_on() => thread::sleep(LOOK),
                None => {
                    child.kill().expect("a program of our own");
                    child.wait().expect("a program of our own");
                    return false;
                }
            }
        }
    }

    fn query(&self) {
        while self.wait() {
            let mut command = self.command("tern");
            let symbol = self.symbol.get().expect("it is set before the load is on");
            command.args(["journal", "query", "--json", "--symbol", symbol, "--journal"]).arg(&self.journal);
            let is_answered = self.through(command.spawn().expect("it can be started"));
            self.done.queries.fetch_add(u64::from(is_answered), Ordering::Relaxed);
        }
    }

    fn export(&self) {
        while self.wait() {
            let out = Scratch::disk();
            let mut command = self.command("tern-export");
            command.arg(&self.journal).arg("--out").arg(out.path().join("tables"));
            self.done.exports.fetch_add(1, Ordering::Relaxed);
            self.through(command.spawn().expect("it can be started"));
        }
    }

    fn scrape(&self) {
        // Of the load's programs the only one that does not end by itself, should this one be killed.
        let mut command = Self::quiet(Command::new("setpriv"));
        command.args(["--pdeathsig", "KILL", "--"]).arg(self.programs.join("tern-metrics"));
        let mut server = command.arg("--config").arg(&self.config).spawn().expect("it can be started");
        while self.wait() {
            let got = TcpStream::connect(("127.0.0.1", self.metrics_port)).and_then(|mut line| {
                line.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
                let mut page = String::new();
                line.read_to_string(&mut page)?;
                Ok(page.contains("tern_loop_iterations"))
            });
            self.done.scrapes.fetch_add(u64::from(got.unwrap_or(false)), Ordering::Relaxed);
            thread::sleep(SCRAPE_EVERY);
        }
        server.kill().expect("a program of our own");
        server.wait().expect("a program of our own");
    }

    /// A journal of its own, as fast as core and disk take it.
    fn write(&self) {
        let body = [0x5A_u8; 64];
        while self.wait() {
            let disk = Scratch::disk();
            let (mut writer, _) = Writer::open(disk.path(), Options::new("load")).expect("a journal can be made");
            let (mut seq, mut synced) = (0, Instant::now());
            while self.is_on() {
                for _ in 0..BATCH {
                    seq += 1;
                    let header = RecordHeader { seq, tai_ns: seq, kind: Kind::Order as u16, flags: 0, body_bytes: 64 };
                    writer.append(&header, &body).expect("the disk is not full");
                }
                writer.flush().expect("the disk is not full");
                if synced.elapsed() >= SYNC_EVERY {
                    writer.sync().expect("the disk works");
                    synced = Instant::now();
                }
            }
            self.done.records.fetch_add(seq, Ordering::Relaxed);
        }
    }
}
