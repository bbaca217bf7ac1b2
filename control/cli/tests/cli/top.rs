//! `tern top` on a terminal, and without one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::tcgetattr;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use tern_abi::counters::LoopCounter;
use tern_hw::segment::DataPlaneSegment;

use crate::common::Bench;

const PATIENCE: Duration = Duration::from_secs(30);

/// A data plane that turns and heeds the kill word, while `work` runs.
fn beside_a_data_plane<T>(bench: &Bench, work: impl FnOnce() -> T) -> T {
    let spec = bench.spec();
    let (ready, is_ready) = mpsc::channel();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
            let plane = segment.ends().expect("its ends");
            plane.counters.set(LoopCounter::OpenOrders, 1234);
            plane.trading.set(true, 0, 1);
            let mut turns = 0;
            while !stop.load(Ordering::Relaxed) {
                let now = clock_gettime(ClockId::CLOCK_TAI).expect("a clock");
                turns += 1;
                plane.data_plane_beat.beat(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64, turns);
                if plane.kill.state().killed() {
                    plane.trading.set(false, 1, 2);
                    plane.counters.set(LoopCounter::OpenOrders, 0);
                }
                if turns == 1 {
                    ready.send(()).expect("the test waits");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        is_ready.recv().expect("the data plane is ready");
        let _stop = Stop(&stop);
        work()
    })
}

struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `tern top` on a terminal of 80x24, and what it wrote.
struct OnTerminal {
    child: Child,
    keys: File,
    said: mpsc::Receiver<Vec<u8>>,
    seen: String,
    /// Ours, by which the terminal's settings are asked for.
    terminal: OwnedFd,
}

impl OnTerminal {
    fn start(bench: &Bench, variables: &[(&str, &str)]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = openpty(Some(&size), None).expect("a terminal");
        let end = || Stdio::from(ends.slave.try_clone().expect("a descriptor"));
        // The program's own terminal, whatever the test runs on.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_tern")).env_remove("TERN_CONFIG").env_remove("NO_COLOR");
        command.args(["--config", &bench.config.file().display().to_string(), "top", "--interval", "0.2"]);
        command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").envs(variables.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("it runs");
        let mut screen = File::from(ends.master.try_clone().expect("a descriptor"));
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with an error when nobody has the other end any more.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                if say.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys: File::from(ends.master), said, seen: String::new(), terminal: ends.slave }
    }

    /// Waits until what was written since the last wait has `text`.
    fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.contains(text) && !shown(&self.seen).contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.said.recv_timeout(left).unwrap_or_else(|_| panic!("no `{text}` in {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        self.seen.clear();
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it is typed");
    }

    fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_raw(&self) -> bool {
        let flags = tcgetattr(&self.terminal).expect("a terminal").local_flags;
        !flags.contains(nix::sys::termios::LocalFlags::ECHO)
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was drawn, one place after the other: a way over cells that were blank already counts as one.
fn shown(seen: &str) -> String {
    let mut text = String::new();
    for (index, part) in seen.split("\u{1b}[").enumerate() {
        let end = if index == 0 { None } else { part.find(|letter: char| letter.is_ascii_alphabetic()) };
        let (command, drawn) = end.map_or(("", part), |end| part.split_at(end + 1));
        text.push_str(if command.ends_with('H') { " " } else { "" });
        text.push_str(drawn);
    }
    text
}

#[test]
fn on_a_terminal_it_kills_on_two_keys_and_leaves_the_terminal_as_it_was() {
    let bench = Bench::new("top");
    beside_a_data_plane(&bench, || {
        let is_killed = || bench.json(&["status"]).1["killed"] == true;
        let mut top = OnTerminal::start(&bench, &[]);
        top.wait_for("1_234 open");
        assert!(top.is_raw());
        top.press("K");
        top.wait_for("any other key: no");
        top.press("n");
        // Drawn over what was asked: the key was taken.
        top.press("?");
        top.wait_for("stops trading, cancels every open order");
        assert!(!is_killed(), "taken back");
        top.press("x");
        top.press("K");
        top.wait_for("any other key: no");
        top.press("y");
        top.wait_for("the kill word is set");
        assert!(is_killed());
        kill(Pid::from_raw(top.child.id() as i32), Signal::SIGTERM).expect("it runs");
        assert_eq!(top.end(), Some(0));
        top.wait_for("\u{1b}[?1049l");
        assert!(!top.is_raw(), "the shell has its terminal again");

        let mut dumb = OnTerminal::start(&bench, &[("TERM", "dumb"), ("LC_ALL", "C")]);
        dumb.wait_for("NO ORDER LEAVES");
        dumb.wait_for("+ 1 feeds ---");
        assert!(!dumb.is_raw());
        kill(Pid::from_raw(dumb.child.id() as i32), Signal::SIGTERM).expect("it runs");
        assert_eq!(dumb.end(), Some(0));
        while let Ok(bytes) = dumb.said.recv_timeout(Duration::from_millis(50)) {
            assert!(bytes.is_ascii() && !bytes.contains(&0x1b), "{bytes:?}");
        }
    });
    let output = bench.tern(&["top", "--interval", "0.1"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("STALE: the data plane does not run") && !text.contains("1_234"), "{text}");
    let picture = bench.folder.join("top.svg");
    let path = picture.display().to_string();
    assert_eq!(bench.tern(&["top", "--interval", "0.1", "--svg", &path]).status.code(), Some(3));
    assert!(std::fs::read_to_string(&picture).expect("it was written").contains("STALE"));
}
