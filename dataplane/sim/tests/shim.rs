//! The shim between real interfaces: an order session over a link that loses and reorders segments arrives whole.
//!
//! Needs root: it makes two network namespaces with a veth pair each, bridged by the shim, and removes them again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tern_sim::shim::Counts;
use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::ouch::AccountQuery;
use tern_venues::itch_ouch::wire::soup::{self, AsciiNumber, Deframer, LoginRequest, Packet};
use zerocopy::IntoBytes;

const INSIDE: &str = "TERN_SIM_SHIM_TEST";
const QUERIES: usize = 600;

fn ip(arguments: &str) -> bool {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    output.is_ok_and(|output| output.status.success())
}

/// Namespaces that go away however the test ends; their links go with them.
struct Namespaces {
    exchange: String,
    client: String,
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.exchange));
        ip(&format!("netns del {}", self.client));
    }
}

struct Running(Child);

impl Running {
    /// Waits for the line that says ready.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        // Byte by byte: what follows the line is for whoever reads the rest.
        let stdout = child.stdout.as_mut().expect("stdout");
        BufReader::with_capacity(1, stdout).read_line(&mut line).expect("a line");
        assert!(line.starts_with("ready"), "{line:?}");
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _waited = self.0.wait();
    }
}

#[test]
fn an_order_session_over_a_bad_link_arrives_whole() {
    if let Ok(exchange) = std::env::var(INSIDE) {
        inside(&exchange);
        return;
    }
    let id = std::process::id() % 100_000;
    let namespaces = Namespaces { exchange: format!("tsim{id}x"), client: format!("tsim{id}c") };
    if !ip(&format!("netns add {}", namespaces.exchange)) || !ip(&format!("netns add {}", namespaces.client)) {
        eprintln!("SKIP: an_order_session_over_a_bad_link_arrives_whole needs root and ip (network namespaces)");
        return;
    }
    let (x, c) = (&namespaces.exchange, &namespaces.client);
    for step in [
        format!("-n {c} link add far type veth peer name x0 netns {x}"),
        format!("-n {c} link add near type veth peer name c0"),
        format!("-n {x} addr add 10.203.77.1/24 dev x0"),
        format!("-n {c} addr add 10.203.77.2/24 dev c0"),
        format!("-n {x} link set x0 up"),
        format!("-n {c} link set far up"),
        format!("-n {c} link set near up"),
        format!("-n {c} link set c0 up"),
        format!("netns exec {x} ethtool -K x0 tx off"),
        format!("netns exec {c} ethtool -K c0 tx off"),
    ] {
        assert!(ip(&step), "ip {step}");
    }
    let name = "an_order_session_over_a_bad_link_arrives_whole";
    let status = Command::new("ip")
        .args(["netns", "exec", c])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, x)
        .status()
        .expect("ip runs");
    assert!(status.success());
}

fn inside(exchange: &str) {
    let program = env!("CARGO_BIN_EXE_tern-exchange");
    let _exchange = Running::start(Command::new("ip").args(["netns", "exec", exchange, program, "run"]).args([
        "--orders",
        "10.203.77.1:9000",
        "--interface",
        "10.203.77.1",
        "--seconds",
        "60",
        "--rate",
        "200",
        "--symbols",
        "5",
    ]));
    let mut shim = Running::start(Command::new(program).args([
        "shim",
        "--interfaces",
        "near",
        "far",
        "--loss-percent",
        "4",
        "--reorder-percent",
        "4",
        "--seed",
        "7",
    ]));
    let mut socket = TcpStream::connect("10.203.77.1:9000").expect("connects through the shim");
    socket.set_nodelay(true).expect("an option");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let put = |socket: &mut TcpStream, packet: &Packet<'_>| {
        let mut buf = [0; 128];
        let length = soup::write(&mut buf, packet).expect("fits");
        socket.write_all(&buf[..length]).expect("sends");
    };
    let login = LoginRequest {
        username: Alpha::new(b"TERN01"),
        password: Alpha::new(b"secret"),
        requested_session: Alpha::BLANK,
        requested_sequence_number: AsciiNumber::new(1),
    };
    put(&mut socket, &Packet::LoginRequest(&login));
    let start = Instant::now();
    let mut deframer = Deframer::<4096>::new();
    let (mut sent, mut answered) = (0, 0);
    let mut chunk = [0; 4096];
    while answered < QUERIES {
        assert!(start.elapsed() < Duration::from_secs(60), "only {answered} of {sent} answered");
        // A few in flight at a time, so that there are many segments to lose.
        if sent < QUERIES && sent < answered + 8 {
            put(&mut socket, &Packet::UnsequencedData(AccountQuery::NEW.as_bytes()));
            sent += 1;
            continue;
        }
        let length = socket.read(&mut chunk).unwrap_or(0);
        let mut bytes = &chunk[..length];
        while let Some(frame) = deframer.next(&mut bytes).expect("frames") {
            answered += usize::from(frame.kind == soup::kind::SEQUENCED_DATA && frame.payload[0] == b'Q');
        }
    }
    let id = nix::unistd::Pid::from_raw(shim.0.id() as i32);
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("it runs");
    let mut text = String::new();
    shim.0.stdout.as_mut().expect("stdout").read_to_string(&mut text).expect("counts");
    let counts: [Counts; 2] = serde_json::from_str(&text).expect("counts");
    for direction in counts {
        assert!(direction.lost > 3 && direction.reordered > 3 && direction.passed > 100, "{counts:?}");
        assert_eq!(direction.refused, 0, "{counts:?}");
    }
}
