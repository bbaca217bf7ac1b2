//! `wire_to_wire`: a small venue sends a datagram that makes a strategy act, and takes the time until the order's first
//! byte is in its hand, a kernel TCP socket; one clock on one core. Sides, each on a veth pair of its own and frozen
//! while another is measured: Tern as shipped over AF_XDP, Tern as shipped over kernel sockets, a bare spinning
//! responder that takes UDP and sends TCP by kernel sockets, and a bare UDP echo.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tern_abi::record::{STAGE_NAMES, STAGES, Stage, StageRecord};
use tern_venues::itch_ouch::wire::mold;

use crate::flow::SESSION;
use crate::harness::{Plan, Row, RowBuilder, percentile, rotate};
use crate::journaler::stages_of_orders;
use crate::market::Market;
use crate::respond::{FEED_PORT, ORDER_PORT};
use crate::sandbox::{Frozen, Link, in_host, isolated, program};
use crate::setting::{Scratch, pin_to, two_cores};
use crate::venue::Venue;

/// Triggers a run, before those that count.
const WARM: usize = 100;
/// From trigger to trigger: the wire and both sides have been idle for long when the next comes.
const PAUSE: Duration = Duration::from_micros(250);
/// Every stage of an order.
const WAY: [Stage; STAGES] =
    [Stage::FrameSeen, Stage::Decoded, Stage::Book, Stage::Strategy, Stage::Risk, Stage::Encoded, Stage::Submitted];
/// An answer later than this was lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// Until everything of a side is up.
const START: Duration = Duration::from_secs(20);

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    TernXdp,
    TernSocket,
    BareTcp,
    BareUdp,
}

/// The venue's side of one of the sides.
pub(crate) struct Side {
    kind: Kind,
    link: Link,
    pub(crate) feed: UdpSocket,
    orders: Option<TcpStream>,
    venue: Venue,
    market: Market,
    process: Frozen,
    buffer: [u8; 4096],
    answers: Vec<u8>,
    pub(crate) data_plane: Option<u32>,
    lost: u64,
}

/// A configuration with the limits of the example file, for this link.
fn configuration(kind: Kind, link: Link, folder: &Path, strategies: &str) -> String {
    let (kind, address) = match kind {
        Kind::TernSocket => ("socket", link.host()),
        _ => ("xdp", link.bypass()),
    };
    format!(
        r#"
[instance]
name = "{name}"
[paths]
journal = "{folder}/journal"
run = "/run/{name}"
[port]
kind = "{kind}"
interface = "{interface}"
address = "{address}/24"
[[feed]]
venue = "itch_ouch"
stream = 1
group = "{group}"
port = {FEED_PORT}
[session]
venue = "itch_ouch"
address = "{venue}:{ORDER_PORT}"
user = "BENCH"
password = "secret"
account = 1
{strategies}
[limits]
order_quantity_max = 10000
order_notional_max = 5_000_000_0000
position_max = 20000
strategy_position_max = 20000
messages_per_day_max = 1_000_000_000
executions_max = 1_000_000_000
orders_per_second_max = 20000
order_burst_max = 2000
cancel_reserve = 2000
open_orders_max = 20000
gross_max = 1_000_000_000_000_0000
net_max = 1_000_000_000_000_0000
strategy_gross_max = 1_000_000_000_000_0000
strategy_net_max = 1_000_000_000_000_0000
daily_loss_max = 1_000_000_000_000_0000
strategy_daily_loss_max = 1_000_000_000_000_0000
drawdown_max = 1_000_000_000_000_0000
[daemon]
heartbeat_loss_ms = 60000
"#,
        name = link.interface(),
        folder = folder.display(),
        interface = link.interface(),
        group = link.group(),
        venue = link.venue(),
    )
}

/// A taker that acts on every trigger.
const TAKER: &str = "[[strategy]]\nname = \"taker\"\nid = 1\nparams = { cooldown_ns = 0, hold_ns = 1000 }\n";

impl Side {
    /// Brings a side up and waits until it could answer.
    pub(crate) fn start(kind: Kind, number: u8, folder: &Path, strategy: Option<&str>) -> Self {
        let link = Link::new(number);
        let feed = UdpSocket::bind((link.venue().as_str(), 0)).expect("our own address");
        feed.connect((link.group().as_str(), FEED_PORT)).expect("a route to the group");
        let listener = TcpListener::bind((link.venue().as_str(), ORDER_PORT)).expect("our own address");
        let process = match kind {
            Kind::TernXdp | Kind::TernSocket => {
                let folder = folder.join(link.interface());
                fs::create_dir_all(&folder).expect("a folder of our own");
                let config = folder.join("tern.toml");
                let text = configuration(kind, link, &folder, strategy.unwrap_or(TAKER));
                fs::write(&config, text).expect("a folder of our own");
                let log = fs::File::create(folder.join("ternd.log")).expect("a folder of our own");
                in_host(program("ternd")).arg("--config").arg(config).stdout(Stdio::null()).stderr(log).spawn()
            }
            Kind::BareTcp | Kind::BareUdp => {
                let feed = format!("{}@{}", link.group(), link.host());
                let kind = if kind == Kind::BareTcp { "tcp" } else { "udp" };
                in_host(std::env::current_exe().expect("this program has a path"))
                    .args(["--respond", kind, &link.venue(), &feed])
                    .spawn()
            }
        };
        let mut process = Frozen::new(process.expect("nsenter (util-linux)"));
        let orders = (kind != Kind::BareUdp).then(|| accept(&listener, &mut process, folder));
        feed.set_nonblocking(true).expect("a socket");
        if kind == Kind::BareUdp {
            // It answers by unicast from its own address, which a connected socket would not take.
            drop(feed);
        }
        let feed = UdpSocket::bind((link.venue().as_str(), 0)).expect("our own address");
        feed.set_nonblocking(true).expect("a socket");
        let mut side = Self {
            kind,
            link,
            feed,
            orders,
            venue: Venue::default(),
            market: Market::default(),
            process,
            buffer: [0; 4096],
            answers: Vec::new(),
            data_plane: None,
            lost: 0,
        };
        if side.is_tern() {
            let pid = fs::read_to_string(format!("/run/{}/dataplane.pid", link.interface())).expect("a pid file");
            let pid = pid.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a pid");
            side.process.also(pid);
            side.data_plane = Some(pid);
        }
        side
    }

    fn is_tern(&self) -> bool {
        matches!(self.kind, Kind::TernXdp | Kind::TernSocket)
    }

    /// Until the session is ready: the login and the account query are answered.
    pub(crate) fn log_in(&mut self) {
        let until = Instant::now() + START;
        let mut quiet_from = Instant::now();
        while quiet_from.elapsed() < Duration::from_millis(300) || self.venue.logins() == 0 {
            assert!(Instant::now() < until, "the data plane logs in");
            if self.serve() {
                quiet_from = Instant::now();
            }
        }
    }

    /// Until the first trigger is answered.
    fn open(&mut self) {
        if self.is_tern() {
            self.log_in();
            let opening = self.market.opening().to_vec();
            self.send(&opening);
        }
        let until = Instant::now() + START;
        while self.trigger().is_none() {
            assert!(Instant::now() < until, "the other side answers a trigger");
        }
        self.lost = 0;
    }

    pub(crate) fn send(&self, payload: &[u8]) {
        let to = (self.link.group().parse::<std::net::Ipv4Addr>().expect("an address"), FEED_PORT);
        // Full: the host has not taken what was sent before. The venue waits, and what follows is late.
        while let Err(error) = self.feed.send_to(payload, to) {
            assert!(error.kind() == ErrorKind::WouldBlock, "the link is up: {error}");
        }
    }

    /// Reads what came and answers it; whether anything came.
    pub(crate) fn serve(&mut self) -> bool {
        let Some(orders) = &mut self.orders else { return false };
        match orders.read(&mut self.buffer) {
            Ok(0) => self.gone("closed"),
            Ok(length) => {
                if self.is_tern() {
                    self.venue.on_bytes(&self.buffer[..length]);
                    self.answer();
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.answer();
                false
            }
            Err(error) => self.gone(&error.to_string()),
        }
    }

    /// Signs of life of the venue, due once a second.
    pub(crate) fn heartbeat(&mut self) {
        let heartbeat = self.market.heartbeat().to_vec();
        self.send(&heartbeat);
        self.beat_session();
    }

    /// The other side gave the order connection up; says what it logged.
    fn gone(&self, how: &str) -> ! {
        let log = fs::read_to_string(format!("/run/{}/dataplane.log", self.link.interface())).unwrap_or_default();
        panic!("order connection of {:?}: {how}\n{log}", self.kind)
    }

    /// A heartbeat of a feed whose next message has this number.
    pub(crate) fn feed_heartbeat(&self, next_sequence: u64) {
        let mut payload = [0; mold::HEADER_BYTES];
        mold::write_heartbeat(&mut payload, SESSION, next_sequence).expect("a header fits");
        self.send(&payload);
    }

    /// A server heartbeat on the order connection.
    pub(crate) fn beat_session(&mut self) {
        self.venue.heartbeat();
        self.answer();
    }

    fn answer(&mut self) {
        self.venue.take(&mut self.answers);
        // What a slow client's window does not take goes with the next answer.
        while let Some(orders) = self.orders.as_mut().filter(|_| !self.answers.is_empty()) {
            match orders.write(&self.answers) {
                Ok(written) => drop(self.answers.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => self.gone(&error.to_string()),
            }
        }
    }

    /// Sends a trigger; ns until the answer's first byte, `None` when none came.
    fn trigger(&mut self) -> Option<u64> {
        let trigger = self.market.trigger().to_vec();
        let start = Instant::now();
        self.send(&trigger);
        let mut answered = None;
        while answered.is_none() && start.elapsed() < PATIENCE {
            answered = match self.kind {
                Kind::BareUdp => self.feed.recv(&mut self.buffer).ok().map(|_| start.elapsed()),
                Kind::BareTcp => self.read_at(start),
                Kind::TernXdp | Kind::TernSocket => self.read_order(start),
            };
            std::hint::spin_loop();
        }
        if self.is_tern() {
            self.answer();
            let reset = self.market.reset().to_vec();
            self.send(&reset);
        }
        answered.map(|elapsed| elapsed.as_nanos() as u64)
    }

    fn read_at(&mut self, start: Instant) -> Option<Duration> {
        let orders = self.orders.as_mut()?;
        match orders.read(&mut self.buffer) {
            Ok(length) if length > 0 => Some(start.elapsed()),
            _ => None,
        }
    }

    fn read_order(&mut self, start: Instant) -> Option<Duration> {
        let orders = self.orders.as_mut()?;
        let Ok(length) = orders.read(&mut self.buffer) else { return None };
        let elapsed = start.elapsed();
        if length == 0 {
            self.gone("closed");
        }
        let before = self.venue.orders();
        self.venue.on_bytes(&self.buffer[..length]);
        (self.venue.orders() > before).then_some(elapsed)
    }

    /// One run: the median of `count` triggers.
    fn run(&mut self, count: usize) -> f64 {
        self.process.thaw();
        if self.is_tern() {
            self.heartbeat();
        }
        let settle = Instant::now();
        while settle.elapsed() < Duration::from_millis(10) {
            self.serve();
        }
        let mut figures = Vec::with_capacity(count);
        for number in 0..WARM + count {
            match self.trigger() {
                Some(figure) if number >= WARM => figures.push(figure),
                Some(_) => {}
                None => self.lost += 1,
            }
            let until = Instant::now() + PAUSE + Duration::from_nanos(number as u64 * 7919 % 100_000);
            while Instant::now() < until {
                self.serve();
            }
        }
        self.process.freeze();
        assert!(figures.len() * 100 >= count * 95, "{} of {count} triggers were not answered", self.lost);
        percentile(&mut figures, 50.0)
    }
}

fn accept(listener: &TcpListener, process: &mut Frozen, folder: &Path) -> TcpStream {
    listener.set_nonblocking(true).expect("a socket");
    let until = Instant::now() + START;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nodelay(true).expect("a socket");
                stream.set_nonblocking(true).expect("a socket");
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(!process.has_ended() && Instant::now() < until, "no connection: {}", logs(folder));
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("accept: {error}"),
        }
    }
}

/// The logs of Tern under `folder`, for a message.
fn logs(folder: &Path) -> String {
    let logs = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path().join("ternd.log"));
    logs.filter_map(|log| fs::read_to_string(log).ok()).collect()
}

/// Resident memory of a process, MiB.
fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    kib.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN) / 1024.0
}

/// Where the time of an order goes inside of the data plane, by its own stamps.
fn inside(journal: &Path) -> String {
    let all = stages_of_orders(journal);
    let from_arrival = |of: &StageRecord, stage: Stage| of.stage_ns[stage as usize].saturating_sub(of.arrival_ns);
    let mut before: Option<Stage> = None;
    let mut texts = Vec::new();
    for (name, stage) in STAGE_NAMES.iter().zip(WAY) {
        let took = |of: &StageRecord| {
            from_arrival(of, stage).saturating_sub(before.map_or(0, |before| from_arrival(of, before)))
        };
        let mut took: Vec<u64> = all.iter().map(took).collect();
        texts.push(format!("{name} {:.0}", percentile(&mut took, 50.0)));
        before = Some(stage);
    }
    texts.join(", ")
}

/// See the module.
pub fn wire_to_wire(plan: Plan) -> Vec<Row> {
    let Some(cores) = two_cores("wire_to_wire") else { return Vec::new() };
    isolated("wire_to_wire", plan, |plan| {
        let scratch = Scratch::disk();
        let kinds = [Kind::TernXdp, Kind::TernSocket, Kind::BareTcp, Kind::BareUdp];
        let mut number = 0;
        let mut sides = kinds.map(|kind| {
            number += 1;
            let mut side = Side::start(kind, number, scratch.path(), None);
            side.open();
            side
        });
        // Not before: what is started inherits the cores of who starts it.
        pin_to(cores[0]);
        // Not before: a connection whose end is frozen for seconds is given up.
        sides.iter().for_each(|side| side.process.freeze());
        let count = if plan.scale == 1 { 1_000 } else { 2_000 };
        let resident = sides[0].data_plane.map_or(f64::NAN, resident_mib);
        let [xdp, socket, tcp, udp] = &mut sides;
        let all = rotate(
            plan,
            [&mut || xdp.run(count), &mut || socket.run(count), &mut || tcp.run(count), &mut || udp.run(count)],
        );
        let [xdp, socket, tcp, udp] = all;
        let note = format!(
            "veth, copy mode; median of a run; trigger sent to first byte of the order at the venue; medians inside: {}",
            inside(&scratch.path().join("h1/journal"))
        );
        let bare = "bare spinning responder, kernel UDP in, kernel TCP out";
        let row = |metric, ours: &Vec<f64>, name, peer: &Vec<f64>| {
            RowBuilder::new(metric, "ns", ours.clone()).peer(name, peer.clone())
        };
        vec![
            row("wire_to_wire", &xdp, bare, &tcp).target_ratio(0.8).note(note).build(),
            row("wire_to_wire_socket", &xdp, "our kernel-socket port", &socket).target_ratio(0.75).build(),
            row("wire_to_wire_udp", &xdp, "bare spinning UDP echo", &udp).note("a floor of the kernel's").build(),
            RowBuilder::new("data_plane_memory", "MiB", vec![resident])
                .target(1024.0)
                .note("peak resident, tables for 12,000 symbols and 6 million live orders touched at start, rings as used")
                .build(),
        ]
    })
}
