//! The endpoint: one request a connection, a bounded number of connections, and a deadline for each. Whoever asks too much,
//! too slowly, or does not read, is cut off; nobody else notices.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tern_metrics::seen::Requests;
use tern_metrics::text::Format;

/// Connections at once.
const CONNECTIONS_MAX: usize = 8;
/// Threads at once: those of connections, and of some that had to give way and do not know it yet.
const THREADS_MAX: usize = 2 * CONNECTIONS_MAX;
/// One that has been open for so long gives way to a new one when all places are taken.
const GIVES_WAY_AFTER: Duration = Duration::from_millis(250);
/// In which a request has to be whole, and an answer has to be read.
const DEADLINE: Duration = Duration::from_secs(2);
/// Pause after each accepted connection: a flood takes no more of a core than that lets it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(1);
/// Pause after an accept that failed, for want of descriptors for example.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// Longest request.
const REQUEST_BYTES_MAX: usize = 8192;
/// Header lines of a request at most.
const HEADERS_MAX: usize = 64;
/// What was read is answered again for so long: a flood of scrapers reads no more than one.
const FRESH_FOR: Duration = Duration::from_millis(200);

const PAGE: &str = "Metrics of a Tern instance are at /metrics; docs/METRICS.md says what they mean.\n";

/// Reads everything there is, in a format.
pub(crate) type Reading = dyn Fn(Format, Requests) -> String + Send + Sync;

/// See the module.
pub(crate) struct Endpoint {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    read: Box<Reading>,
    /// What was read last, by format.
    fresh: Mutex<[Option<Read>; 2]>,
    open: Mutex<Vec<Open>>,
    threads: AtomicUsize,
    counts: Counts,
}

/// Gives back the place and the thread of a connection, however it ends.
struct Ending {
    shared: Arc<Shared>,
    is_over: Arc<AtomicBool>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        lock(&self.shared.open).retain(|place| !place.is_over.load(Ordering::Acquire));
        self.shared.threads.fetch_sub(1, Ordering::AcqRel);
    }
}

/// When, and what.
type Read = (Instant, Arc<str>);

/// A connection.
struct Open {
    since: Instant,
    stream: TcpStream,
    is_over: Arc<AtomicBool>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    bad: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
}

impl Endpoint {
    pub(crate) fn bind(listen: SocketAddrV4, read: Box<Reading>) -> io::Result<Self> {
        let shared = Shared {
            read,
            fresh: Mutex::default(),
            open: Mutex::default(),
            threads: AtomicUsize::new(0),
            counts: Counts::default(),
        };
        Ok(Self { listener: TcpListener::bind(listen)?, shared: Arc::new(shared) })
    }

    #[cfg(test)]
    fn address(&self) -> std::net::SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// Answers for as long as the process lives.
    pub(crate) fn serve(&self) -> ! {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.take(stream);
                    thread::sleep(ACCEPT_PAUSE);
                }
                Err(error) => {
                    eprintln!("tern-metrics: accepting a connection: {error}");
                    thread::sleep(FAILURE_PAUSE);
                }
            }
        }
    }

    /// Gives the connection a place and a thread, or turns it away.
    fn take(&self, stream: TcpStream) {
        let Ok(second) = stream.try_clone() else { return };
        let is_over = Arc::new(AtomicBool::new(false));
        let place = Open { since: Instant::now(), stream: second, is_over: is_over.clone() };
        let shared = self.shared.clone();
        // A look that hangs, on a disk that does not answer, must not gather threads behind it.
        if shared.threads.load(Ordering::Acquire) >= THREADS_MAX || !shared.enter(place) {
            shared.counts.refused.fetch_add(1, Ordering::Relaxed);
            refuse(stream);
            return;
        }
        shared.threads.fetch_add(1, Ordering::AcqRel);
        let ending = Ending { shared: self.shared.clone(), is_over };
        let started = thread::Builder::new().name("scrape".into()).stack_size(256 << 10).spawn(move || {
            let shared = &ending.shared;
            let count = match shared.answer(stream) {
                Ok(true) => &shared.counts.answered,
                Ok(false) => &shared.counts.bad,
                Err(_) => &shared.counts.cut,
            };
            count.fetch_add(1, Ordering::Relaxed);
        });
        if started.is_err() {
            // The connection, its place and its thread went with the closure.
            shared.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Shared {
    /// Takes a place. When all are taken, the connection that is open longest loses its own, if it had its time.
    fn enter(&self, place: Open) -> bool {
        let mut open = lock(&self.open);
        if open.len() >= CONNECTIONS_MAX {
            let oldest = (0..open.len()).min_by_key(|index| open[*index].since);
            let Some(oldest) = oldest.filter(|index| open[*index].since.elapsed() >= GIVES_WAY_AFTER) else {
                return false;
            };
            let _ = open.swap_remove(oldest).stream.shutdown(Shutdown::Both);
        }
        open.push(place);
        true
    }

    /// Whether it was a request for metrics; an error is one that was too slow.
    fn answer(&self, mut stream: TcpStream) -> io::Result<bool> {
        let deadline = Instant::now() + DEADLINE;
        let request = read_request(&mut stream, deadline)?;
        let asked = asked(&request);
        let body;
        let (status, kind, text): (&str, &str, &str) = match asked {
            Asked::Metrics(format) => {
                body = self.metrics(format);
                ("200 OK", format.content_type(), &body)
            }
            Asked::Page => ("200 OK", "text/plain; charset=utf-8", PAGE),
            Asked::Nothing(status) => (status, "text/plain; charset=utf-8", PAGE),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n",
            text.len(),
            if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" }
        );
        let deadline = Instant::now() + DEADLINE;
        write_all(&mut stream, head.as_bytes(), deadline)?;
        if !request.starts_with(b"HEAD ") {
            write_all(&mut stream, text.as_bytes(), deadline)?;
        }
        stream.shutdown(Shutdown::Write)?;
        // Until the other side has closed too, or its time is over: closing first could take the answer from it.
        let mut rest = [0; 512];
        let deadline = deadline.min(Instant::now() + GIVES_WAY_AFTER);
        while let Ok(Some(1..)) = read_some(&mut stream, &mut rest, deadline) {}
        Ok(matches!(asked, Asked::Metrics(_)))
    }

    fn metrics(&self, format: Format) -> Arc<str> {
        // Held while everything is read: who comes meanwhile waits, and gets the same.
        let mut fresh = lock(&self.fresh);
        let place = &mut fresh[usize::from(format == Format::OpenMetrics)];
        if let Some((_, text)) = place.as_ref().filter(|(at, _)| at.elapsed() < FRESH_FOR) {
            return text.clone();
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.counts;
        let requests = Requests {
            answered: count(&counts.answered),
            bad: count(&counts.bad),
            refused: count(&counts.refused),
            cut: count(&counts.cut),
        };
        let text: Arc<str> = (self.read)(format, requests).into();
        *place = Some((Instant::now(), text.clone()));
        text
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Metrics(Format),
    Page,
    /// The status that says why not.
    Nothing(&'static str),
}

fn asked(request: &[u8]) -> Asked {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    if !matches!(parsed.parse(request), Ok(httparse::Status::Complete(_))) {
        return Asked::Nothing("400 Bad Request");
    }
    let path = parsed.path.unwrap_or_default().split('?').next().unwrap_or_default();
    match (parsed.method.unwrap_or_default(), path) {
        ("GET" | "HEAD", "/metrics") => {
            let accepts = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
            let accept: Vec<_> = accepts.map(|header| String::from_utf8_lossy(header.value)).collect();
            Asked::Metrics(Format::of_accept(&accept.join(",")))
        }
        ("GET" | "HEAD", "/") => Asked::Page,
        ("GET" | "HEAD", _) => Asked::Nothing("404 Not Found"),
        _ => Asked::Nothing("405 Method Not Allowed"),
    }
}

/// Up to the empty line, or as much as a request may have.
fn read_request(stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut request, mut part) = (Vec::with_capacity(1024), [0; 1024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        match read_some(stream, &mut part, deadline)? {
            Some(0) => break,
            Some(count) => request.extend_from_slice(&part[..count]),
            None => {}
        }
    }
    Ok(request)
}

/// How many bytes came; `None` when a signal did.
fn read_some(stream: &mut TcpStream, part: &mut [u8], deadline: Instant) -> io::Result<Option<usize>> {
    stream.set_read_timeout(Some(left(deadline)?))?;
    match stream.read(part) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_all(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Says that there are too many, if that takes no waiting.
fn refuse(mut stream: TcpStream) {
    let _ = stream.set_nonblocking(true);
    let _ = stream
        .write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An endpoint whose answers are `bytes` long, and where it is.
    fn endpoint(bytes: usize) -> (Arc<Shared>, std::net::SocketAddr) {
        let read = Box::new(
            move |format, _: Requests| {
                if format == Format::OpenMetrics { "# EOF\n".to_owned() } else { "x".repeat(bytes) }
            },
        );
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().expect("an address"), read).expect("a port");
        let (shared, address) = (endpoint.shared.clone(), endpoint.address());
        thread::spawn(move || endpoint.serve());
        (shared, address)
    }

    fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn until(what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(Instant::now() < deadline, "not within 10 s: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn each_request_gets_what_it_asks_for_or_is_told_why_not() {
        let (shared, address) = endpoint(3);
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("Content-Length: 3\r\n") && answer.ends_with("\r\n\r\nxxx"), "{answer}");
        let answer = ask(address, "GET /metrics?x=1 HTTP/1.1\r\nACCEPT: application/openmetrics-text\r\n\r\n");
        assert!(
            answer.contains("application/openmetrics-text; version=1.0.0") && answer.ends_with("# EOF\n"),
            "{answer}"
        );
        let answer = ask(address, "HEAD /metrics HTTP/1.0\r\n\r\n");
        assert!(answer.contains("Content-Length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "200"),
            ("GET /metricss HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
            ("\u{1}\u{2}\u{3}\r\n\r\n", "400"),
            ("GET /metrics HTTP/9\r\n\r\n", "400"),
        ] {
            let answer = ask(address, request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
        }
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(REQUEST_BYTES_MAX));
        assert!(ask(address, &long).starts_with("HTTP/1.1 400") || ask(address, &long).is_empty(), "too long");
        until("three were answered", || shared.counts.answered.load(Ordering::Relaxed) == 3);
    }

    #[test]
    fn who_sends_nothing_and_who_reads_nothing_is_cut_off() {
        // More than the kernel's buffers hold.
        let (shared, address) = endpoint(64 << 20);
        let silent = TcpStream::connect(address).expect("it listens");
        let mut deaf = TcpStream::connect(address).expect("it listens");
        deaf.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("it is taken");
        until("both are cut", || shared.counts.cut.load(Ordering::Relaxed) == 2);
        until("their places are free", || lock(&shared.open).is_empty());
        drop((silent, deaf));
    }

    #[test]
    fn a_scraper_is_answered_whoever_else_holds_connections() {
        let (shared, address) = endpoint(3);
        let hanging: Vec<TcpStream> =
            (0..3 * CONNECTIONS_MAX).map(|_| TcpStream::connect(address).expect("it listens")).collect();
        until("all places are taken", || lock(&shared.open).len() == CONNECTIONS_MAX);
        thread::sleep(GIVES_WAY_AFTER);
        let answer = ask(address, "GET /metrics HTTP/1.1\r\n\r\n");
        assert!(answer.ends_with("xxx"), "{answer:?}");
        assert!(lock(&shared.open).len() <= CONNECTIONS_MAX);
        assert!(shared.counts.refused.load(Ordering::Relaxed) > 0, "some were turned away");
        drop(hanging);
    }

    #[test]
    fn a_look_that_hangs_gathers_no_threads_and_a_panic_gives_its_place_back() {
        let hangs = Arc::new(AtomicBool::new(true));
        let gate = hangs.clone();
        let read = Box::new(move |_, _: Requests| {
            while gate.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(2));
            }
            panic!("on purpose, in a test");
        });
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().expect("an address"), read).expect("a port");
        let (shared, address) = (endpoint.shared.clone(), endpoint.address());
        thread::spawn(move || endpoint.serve());
        let mut asking = Vec::new();
        for _ in 0..4 {
            for _ in 0..2 * CONNECTIONS_MAX {
                let mut stream = TcpStream::connect(address).expect("it listens");
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
                asking.push(stream);
            }
            thread::sleep(GIVES_WAY_AFTER);
            assert!(shared.threads.load(Ordering::Acquire) <= THREADS_MAX);
        }
        hangs.store(false, Ordering::Release);
        until("all is given back", || shared.threads.load(Ordering::Acquire) == 0 && lock(&shared.open).is_empty());
    }
}
