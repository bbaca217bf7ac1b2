use super::*;

/// An endpoint whose answers are `bytes` long, and where it is.
fn endpoint(bytes: usize) -> (Arc<Shared>, std::net::SocketAddr) {
    endpoint_with(bytes, false)
}

fn endpoint_with(bytes: usize, has_page: bool) -> (Arc<Shared>, std::net::SocketAddr) {
    let read = Box::new(move |shape, _: Requests| match shape {
        Shape::Text(Format::Prometheus) => "x".repeat(bytes),
        Shape::Text(Format::OpenMetrics) => "# EOF\n".to_owned(),
        Shape::Live => "{}".to_owned(),
    });
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().expect("an address"), has_page, read).expect("a port");
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
    let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("Content-Length: 3\r\n") && answer.ends_with("\r\n\r\nxxx"), "{answer}");
    let answer = ask(address, "GET /metrics?x=1 HTTP/1.1\r\nACCEPT: application/openmetrics-text\r\n\r\n");
    assert!(answer.contains("application/openmetrics-text; version=1.0.0") && answer.ends_with("# EOF\n"), "{answer}");
    let answer = ask(address, "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert!(answer.contains("Content-Length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "200"),
        ("GET /metricss HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
        ("\u{1}\u{2}\u{3}\r\n\r\n", "400"),
        ("GET /metrics HTTP/9\r\n\r\n", "400"),
        // There is no page where nobody asked for one.
        ("GET /live.json HTTP/1.1\r\n\r\n", "404"),
        ("GET /page.js HTTP/1.1\r\n\r\n", "404"),
    ] {
        let answer = ask(address, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(REQUEST_BYTES_MAX));
    assert!(ask(address, &long).starts_with("HTTP/1.1 400") || ask(address, &long).is_empty(), "too long");
    until("three were answered", || shared.counts.answered.load(Ordering::Relaxed) == 3);
}

#[test]
fn the_page_is_for_this_host_alone() {
    let (shared, address) = endpoint_with(3, true);
    let page = ask(address, "GET / HTTP/1.1\r\nHost: 127.0.0.1:9464\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html") && page.contains("page.js"), "{page}");
    assert!(page.contains("\r\nContent-Security-Policy: default-src 'none'; script-src 'self';"), "{page}");
    let live = ask(address, "GET /live.json HTTP/1.1\r\nHost: localhost:9464\r\n\r\n");
    assert!(live.contains("application/json") && live.ends_with("\r\n\r\n{}"), "{live}");
    for request in [
        "GET /live.json HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    ] {
        let answer = ask(address, request);
        assert!(answer.starts_with("HTTP/1.1 421") && !answer.contains("{}"), "{request:?}: {answer}");
    }
    // Positions are among the metrics too. Who sends no name is no browser.
    let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 421") && !answer.contains("xxx"), "{answer}");
    assert!(ask(address, "GET /metrics HTTP/1.1\r\n\r\n").ends_with("xxx"));
    assert!(ask(address, "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with("HTTP/1.1 405"));
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
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().expect("an address"), false, read).expect("a port");
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
