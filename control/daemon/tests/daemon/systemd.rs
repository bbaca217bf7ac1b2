//! The daemon as a service: what systemd hears of it, what its signals do, and how a data plane that its sandbox ended is told of.

use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;
use tern_abi::segment::KillCause;

use super::Bench;

/// systemd's side of NOTIFY_SOCKET, and all that was said there.
struct Manager {
    socket: UnixDatagram,
    said: Vec<String>,
}

impl Manager {
    fn of(bench: &mut Bench) -> Self {
        let path = bench.folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("it does not block");
        bench.environment.push(("NOTIFY_SOCKET", path.display().to_string()));
        Self { socket, said: Vec::new() }
    }

    fn has_said(&mut self, what: &str) -> bool {
        let mut buffer = [0; 1024];
        while let Ok(count) = self.socket.recv(&mut buffer) {
            self.said.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        self.said.iter().any(|text| text.lines().any(|line| line.starts_with(what)))
    }
}

#[test]
fn systemd_hears_that_it_works_lives_and_ends() {
    let mut bench = Bench::new("notify", "", "");
    let mut manager = Manager::of(&mut bench);
    // Longer than what the supervisor may take for a rescue, so that it stands as it is.
    bench.environment.push(("WATCHDOG_USEC", "60000000".into()));
    bench.start();
    bench.until("READY=1", || manager.has_said("READY=1"));
    assert!(bench.data_plane().is_some(), "ready without a data plane");
    assert!(bench.view().segment().expect("a segment").data_plane_beat.last().0 > 0, "ready before it turned");
    bench.until("a sign of life", || manager.has_said("WATCHDOG=1"));
    bench.until("it trades", || manager.has_said("STATUS=trading"));
    assert!(bench.facts().readiness.iter().all(|ready| ready.why.is_empty()), "{:?}", bench.facts().readiness);
    bench.tell(Signal::SIGHUP);
    bench.until("SIGHUP is answered", || manager.has_said("RELOADING=1"));
    assert!(bench.log().contains("nothing is loaded anew"), "{}", bench.log());
    assert!(bench.ask(r#"{"version":7,"ask":"kill"}"#).contains("true"));
    bench.until("the kill is told", || manager.has_said("STATUS=no order leaves: killed"));
    bench.stop();
    assert!(manager.has_said("STOPPING=1") && manager.has_said("EXTEND_TIMEOUT_USEC="), "{:?}", manager.said);
    assert_eq!(manager.said.iter().filter(|text| text.starts_with("READY=1\n")).count(), 1, "{:?}", manager.said);
}

#[test]
fn a_data_plane_that_keeps_failing_is_never_said_to_work() {
    let mut bench = Bench::new("not-ready", "fail", "[daemon]\nrestarts_max = 1\nrestart_pause_ms = 10\n");
    let mut manager = Manager::of(&mut bench);
    bench.start();
    bench.until("it says why it waits", || manager.has_said("STATUS=the data plane stays down"));
    bench.stop();
    assert!(!manager.has_said("READY=1"), "{:?}", manager.said);
}

#[test]
fn no_data_plane_is_started_before_the_second_opinion_runs() {
    // There is no tern-audit beside the fake data plane: it is given up after its restarts, and trading is stopped then.
    let more = "[audit]\nlive = true\n[daemon]\nrestarts_max = 3\nrestart_pause_ms = 200\n";
    let mut bench = Bench::new("start-order", "", more);
    bench.start();
    bench.until("it waits", || bench.facts().readiness.iter().any(|ready| !ready.why.is_empty()));
    bench.until("a data plane", || bench.data_plane().is_some());
    let view = bench.view();
    let word = &view.segment().expect("a segment").kill;
    assert!(word.state().killed(), "a data plane was started and could have traded");
    assert_eq!(word.note(1).map(|note| note.cause), Some(KillCause::AuditLost));
    assert!(bench.log().contains("no data plane is started before: second_opinion"), "{}", bench.log());
    drop(view);
    bench.stop();
}

#[test]
fn an_instance_of_another_name_takes_neither_the_folders_nor_the_journal_of_this_one() {
    let mut bench = Bench::new("claims", "", "");
    bench.start();
    bench.until_journaled(20);
    let text = std::fs::read_to_string(bench.config.file()).expect("a configuration");
    let name = format!("name = \"{}\"", bench.config.instance.name);
    let (run, segment) =
        (bench.config.paths.run.display().to_string(), bench.config.paths.segment.display().to_string());
    let other = text.replace(&name, "name = \"other\"").replace(&segment, &format!("{segment}-other"));
    for (key, text) in [("paths.run", other.clone()), ("paths.journal", other.replace(&run, &format!("{run}-other")))] {
        let file = bench.folder.join("other.toml");
        std::fs::write(&file, text).expect("a file");
        let said = std::process::Command::new(env!("CARGO_BIN_EXE_ternd")).arg("--config").arg(&file).output();
        let said = said.expect("it runs");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(1), "{text}");
        let whose = bench.config.file().display().to_string();
        assert!(text.contains(key) && text.contains("another ternd") && text.contains(&whose), "{text}");
    }
    assert!(bench.ask(r#"{"version":7,"ask":"status"}"#).contains("status"), "its socket is gone");
    bench.stop();
    assert!(!std::path::Path::new(&format!("{segment}-other")).exists(), "something was made before it was refused");
}

#[test]
fn a_data_plane_that_its_sandbox_ended_stops_trading_and_is_named() {
    let mut bench = Bench::new("sigsys", "", "[daemon]\nrestart_pause_ms = 10\n");
    bench.start();
    bench.until_journaled(50);
    let first = bench.data_plane();
    // As the kernel ends one that asks for what no list has: nobody has set the word.
    bench.kill_data_plane(Signal::SIGSYS);
    bench.until("another data plane", || bench.data_plane().is_some_and(|pid| Some(pid) != first));
    {
        let view = bench.view();
        let words = view.segment().expect("a segment");
        let note = words.kill.note(1).expect("it is noted");
        assert_eq!((note.cause, note.uid), (KillCause::ForbiddenCall, u32::MAX));
        let published = words.next_seq.get();
        bench.until_journaled(published + 50);
        assert!(words.kill.state().killed() && !words.trading.get().0, "it trades again by itself");
    }
    assert!(bench.log().contains("ended by its sandbox (SIGSYS)"), "{}", bench.log());
    bench.stop();
}

#[test]
fn who_asks_twice_to_stop_does_not_wait_for_an_orderly_end_and_every_record_is_kept() {
    let mut bench = Bench::new("twice", "", "[daemon]\nshutdown_ms = 60000\n");
    bench.start();
    bench.until_journaled(50);
    // A loop that takes no command any more.
    bench.kill_data_plane(Signal::SIGSTOP);
    let published = bench.view().segment().expect("a segment").next_seq.get();
    bench.tell(Signal::SIGTERM);
    bench.until("it waits", || bench.log().contains("asking the data plane to cancel all"));
    let status = bench.signal(Signal::SIGTERM);
    assert!(status.success(), "{status}\n{}", bench.log());
    assert!(bench.log().contains("hurried=true"), "{}", bench.log());
    assert!(bench.verified().last_seq + 1 >= published, "records are lost");
}
