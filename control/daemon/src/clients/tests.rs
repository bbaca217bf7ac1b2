//! Hostile clients against a host that only answers: what each is told, what it costs, and that others are served all the while.

use super::*;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// As the daemon, and less patient.
const BOUNDS: Bounds = Bounds {
    clients: 6,
    line: Duration::from_millis(300),
    idle: Duration::from_millis(600),
    pace: Duration::from_millis(5),
    burst: 100,
    ..Bounds::DAEMON
};
/// How long anything may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(20);

struct Answers {
    serving: AtomicBool,
    asked: AtomicU64,
    tally: Tally,
}

impl Host for Answers {
    fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Acquire)
    }
    fn answer(&self, ask: &Ask, _: u32) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match ask {
            // An answer that is more than a socket holds.
            Ask::Journal => Answer::Error("x".repeat(4 << 20)),
            _ => Answer::Lifted,
        }
    }
    fn tally(&self) -> &Tally {
        &self.tally
    }
}

struct World<'w> {
    socket: PathBuf,
    host: &'w Answers,
}

impl World<'_> {
    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Asks once on a connection of its own.
    fn ask(&self, line: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(line).expect("it is taken");
        said(&stream)
    }

    fn until(&self, name: &str, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.host.tally.counts().get(name).copied().unwrap_or(0) < count {
            assert!(Instant::now() < deadline, "{name}: {:?}", self.host.tally.counts());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// An honest client is answered; it may have to come again while all places are taken.
    fn is_served(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.ask(OK).contains("lifted") {
            assert!(Instant::now() < deadline, "{:?}", self.host.tally.counts());
        }
    }
}

const OK: &[u8] = br#"{"version":7,"ask":"cancel_all"}
"#;

/// The line that comes; empty when the connection ends.
fn said(stream: &UnixStream) -> String {
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line);
    assert!(read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "no end in time");
    line
}

fn is_ended(mut stream: &UnixStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn with(name: &str, bounds: &Bounds, test: impl FnOnce(&World<'_>)) {
    let folder = std::env::temp_dir().join(format!("tern-clients-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let socket = folder.join("tern.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    listener.set_nonblocking(true).expect("it does not block");
    let host = Answers { serving: AtomicBool::new(true), asked: AtomicU64::new(0), tally: Tally::default() };
    thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener, &host, bounds));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&World { socket, host: &host })));
        let ends = Instant::now();
        host.serving.store(false, Ordering::Release);
        server.join().expect("no client makes the server panic");
        assert!(ends.elapsed() < PATIENCE, "clients held up the end for {:?}", ends.elapsed());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn garbage_is_answered_counted_and_does_not_end_the_connection() {
    with("garbage", &BOUNDS, |world| {
        let mut stream = world.connect();
        let deep = format!("{}{}\n", "[".repeat(30_000), "]".repeat(30_000));
        let lines: [&[u8]; 6] = [
            b"\n",
            b"\0\xff\xfe\n",
            b"GET / HTTP/1.1\r\n",
            b"{\"version\":7}\n",
            b"{\"version\":-1}\n",
            deep.as_bytes(),
        ];
        for line in lines {
            stream.write_all(line).expect("taken");
            let answer = said(&stream);
            assert!(answer.contains("not a request of protocol version 7"), "{line:?}: {answer}");
        }
        stream.write_all(OK).expect("taken");
        assert!(said(&stream).contains("lifted"));
        assert_eq!(world.host.tally.counts().get("garbage"), Some(&6));
    });
}

#[test]
fn another_version_is_told_which_side_is_to_be_upgraded() {
    with("version", &BOUNDS, |world| {
        let newer = world.ask(b"{\"version\":99,\"ask\":{\"beam_up\":{\"who\":[1,2,3]}},\"more\":null}\n");
        assert!(newer.contains("protocol version 7, the client 99") && newer.contains("upgrade ternd"), "{newer}");
        let older = world.ask(b"{\"version\":1,\"ask\":\"kill\"}\n");
        assert!(older.contains("the client 1") && older.contains("upgrade tern,"), "{older}");
        assert_eq!(world.host.asked.load(Ordering::Relaxed), 0, "a request of another version was carried out");
        assert_eq!(world.host.tally.counts().get("other_version"), Some(&2));
    });
}

#[test]
fn a_line_without_end_is_cut_off_at_the_length_of_a_request() {
    with("oversized", &BOUNDS, |world| {
        let mut stream = world.connect();
        // Until the other side has closed.
        let piece = [b'a'; 4096];
        let mut sent = 0;
        while sent < 64 << 20 && stream.write_all(&piece).is_ok() {
            sent += piece.len();
        }
        assert!(sent < 4 << 20, "{sent} bytes were taken");
        world.until("oversized", 1);
        world.is_served();
    });
}

#[test]
fn slow_half_open_idle_and_deaf_clients_lose_their_place_in_time() {
    with("slow", &BOUNDS, |world| {
        // A byte now and then, for ever.
        let drip = world.connect();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut drip = &drip;
                while drip.write_all(b"{").is_ok() {
                    thread::sleep(Duration::from_millis(10));
                }
            });
            let mut half = world.connect();
            half.write_all(b"{\"version\":").expect("taken");
            let idle = world.connect();
            let closed = world.connect();
            closed.shutdown(std::net::Shutdown::Write).expect("half closed");
            assert!(is_ended(&closed), "it will never ask");
            let mut deaf = world.connect();
            deaf.write_all(b"{\"version\":7,\"ask\":\"journal\"}\n").expect("taken");
            world.until("slow", 2);
            world.until("deaf", 1);
            world.until("idle", 1);
            assert!(is_ended(&half) && is_ended(&idle) && is_ended(&drip));
        });
        world.is_served();
    });
}

#[test]
fn a_flood_of_requests_is_slowed_down_and_others_are_answered() {
    let bounds = Bounds { pace: Duration::from_millis(5), burst: 10, ..BOUNDS };
    with("flood", &bounds, |world| {
        let mut stream = world.connect();
        let began = Instant::now();
        const REQUESTS: u32 = 100;
        thread::scope(|scope| {
            let reader = stream.try_clone().expect("the same socket");
            scope.spawn(move || BufReader::new(reader).lines().take(REQUESTS as usize).count());
            for _ in 0..REQUESTS {
                stream.write_all(OK).expect("taken");
            }
            world.is_served();
        });
        // Ten at once, the rest at its pace: never faster, however busy the host is.
        assert!(began.elapsed() >= bounds.pace * (REQUESTS - 11), "{:?}", began.elapsed());
    });
}

#[test]
fn thousands_of_connections_are_turned_away_and_leave_no_trace() {
    with("thousands", &Bounds { idle: PATIENCE, ..BOUNDS }, |world| {
        let held: Vec<UnixStream> = (0..BOUNDS.clients).map(|_| world.connect()).collect();
        let mut told = 0;
        for _ in 0..2000 {
            told += u32::from(said(&world.connect()).contains("clients are connected already"));
        }
        assert_eq!(told, 2000);
        world.until("refused", 2000);
        drop(held);
        world.is_served();
    });
}

#[test]
fn a_user_has_a_share_of_the_places_and_some_are_roots() {
    let (seats, bounds) =
        (Seats::default(), Bounds { clients: 12, for_root: 2, for_newcomers: 0, of_user: 4, ..BOUNDS });
    let take = |uid| seats.take(uid, &bounds);
    let own: Vec<_> = (0..4).map(|_| take(1000).expect("a place")).collect();
    assert!(take(1000).expect_err("a fifth").contains("the user 1000 has 4 connections"));
    let others: Vec<_> = (0..6).map(|index| take(1001 + index / 3).expect("a place")).collect();
    assert!(take(1009).expect_err("those left are root's").contains("10 clients are connected"));
    let root = [take(0).expect("a place"), take(0).expect("a place")];
    assert!(take(0).is_err(), "there is an end for root too");
    drop((own, root, others));
    assert!(take(1000).is_ok() && seats.lock().is_empty(), "all are given back");
}

#[test]
fn requests_come_at_once_up_to_a_burst_and_then_one_after_the_other() {
    let mut pace = Pace::new(&Bounds { pace: Duration::from_millis(20), burst: 3, ..BOUNDS });
    let start = pace.even;
    let at = |ms| start + Duration::from_millis(ms);
    let waits: Vec<u128> = (0..5).map(|_| pace.wait(at(0)).as_millis()).collect();
    assert_eq!(waits, [0, 0, 0, 20, 40]);
    assert_eq!(pace.wait(at(10_000)), Duration::ZERO, "forgotten in time");
}

/// As the daemon has them: however many connections a few users want, a user who has none finds a place.
#[test]
fn a_few_users_with_many_connections_keep_no_other_out() {
    let (seats, bounds) = (Seats::default(), Bounds::DAEMON);
    let mut held = Vec::new();
    for uid in 1000..1004 {
        held.extend((0..bounds.clients).filter_map(|_| seats.take(uid, &bounds).ok()));
    }
    assert_eq!(
        held.len(),
        bounds.clients - bounds.for_root - bounds.for_newcomers + 1,
        "the fourth has one all the same"
    );
    let operator = seats.take(2000, &bounds).expect("a place for somebody else");
    let refused = seats.take(2000, &bounds).expect_err("a second one is another's");
    assert!(refused.contains("what is left is for others"), "{refused}");
    assert!(seats.take(0, &bounds).is_ok());
    drop((held, operator));
    assert!(seats.lock().is_empty());
}
