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

use crate::web::{self, Asset};

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

/// Reads everything there is, in a shape.
pub(crate) type Reading = dyn Fn(Shape, Requests) -> String + Send + Sync;

/// How what was read is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// For scrapers.
    Text(Format),
    /// For the page's script.
    Live,
}

impl Shape {
    const COUNT: usize = 3;

    const fn index(self) -> usize {
        match self {
            Self::Text(Format::Prometheus) => 0,
            Self::Text(Format::OpenMetrics) => 1,
            Self::Live => 2,
        }
    }
    const fn content_type(self) -> &'static str {
        match self {
            Self::Text(format) => format.content_type(),
            Self::Live => "application/json",
        }
    }
}

/// See the module.
pub(crate) struct Endpoint {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    read: Box<Reading>,
    /// Whether the page is there too.
    has_page: bool,
    /// What was read last, by [`Shape::index`].
    fresh: Mutex<[Option<Read>; Shape::COUNT]>,
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
    /// Binds `listen`; `has_page`: whether the page for people is there beside the metrics.
    pub(crate) fn bind(listen: SocketAddrV4, has_page: bool, read: Box<Reading>) -> io::Result<Self> {
        let shared = Shared {
            read,
            has_page,
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
        let asked = asked(&request, self.has_page);
        let body;
        let (status, kind, text): (&str, &str, &str) = match asked {
            Asked::Values(shape) => {
                body = self.values(shape);
                ("200 OK", shape.content_type(), &body)
            }
            Asked::Asset(asset) => ("200 OK", asset.kind, asset.text),
            Asked::Hint => ("200 OK", "text/plain; charset=utf-8", PAGE),
            Asked::Nothing(status) => (status, "text/plain; charset=utf-8", PAGE),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n{}{}\r\n",
            text.len(),
            if self.has_page { web::HEADERS } else { "" },
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
        Ok(matches!(asked, Asked::Values(_) | Asked::Asset(_)))
    }

    fn values(&self, shape: Shape) -> Arc<str> {
        // Held while everything is read: who comes meanwhile waits, and gets the same.
        let mut fresh = lock(&self.fresh);
        let place = &mut fresh[shape.index()];
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
        let text: Arc<str> = (self.read)(shape, requests).into();
        *place = Some((Instant::now(), text.clone()));
        text
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Values(Shape),
    /// A file of the page.
    Asset(Asset),
    /// Where the metrics are.
    Hint,
    /// The status that says why not.
    Nothing(&'static str),
}

fn asked(request: &[u8], has_page: bool) -> Asked {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    if !matches!(parsed.parse(request), Ok(httparse::Status::Complete(_))) {
        return Asked::Nothing("400 Bad Request");
    }
    let path = parsed.path.unwrap_or_default().split('?').next().unwrap_or_default();
    if !matches!(parsed.method, Some("GET" | "HEAD")) {
        return Asked::Nothing("405 Method Not Allowed");
    }
    let header = |name| parsed.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    if !header("host").all(|host| web::is_loopback_host(host.value)) {
        return Asked::Nothing("421 Misdirected Request");
    }
    match path {
        "/metrics" => {
            let accept: Vec<_> = header("accept").map(|header| String::from_utf8_lossy(header.value)).collect();
            Asked::Values(Shape::Text(Format::of_accept(&accept.join(","))))
        }
        "/live.json" if has_page => Asked::Values(Shape::Live),
        "/" if !has_page => Asked::Hint,
        _ => web::asset(path).filter(|_| has_page).map_or(Asked::Nothing("404 Not Found"), Asked::Asset),
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
#[path = "http_tests.rs"]
mod tests;
