//! The program end to end over loopback: feed heard from message 1, orders entered, filled, replaced, canceled, the
//! stream replayed after a reconnect, and the log that says the same.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tern_sim::log::Line;
use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::itch::{self, ItchMessage, Message};
use tern_venues::itch_ouch::wire::mold::{Downstream, Kind};
use tern_venues::itch_ouch::wire::ouch::{self, Appendage, Inbound, OuchMessage, Outbound};
use tern_venues::itch_ouch::wire::soup::{self, AsciiNumber, Deframer, LoginRequest, Packet};
use zerocopy::IntoBytes;
use zerocopy::big_endian::{U32, U64};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 9, 1);
const PATIENCE: Duration = Duration::from_secs(20);

struct Exchange {
    child: Child,
    orders: String,
    feed: UdpSocket,
    heard: Vec<Vec<u8>>,
    next: u64,
    ended: bool,
    folder: PathBuf,
}

/// A file of one symbol: 300 shares to sell at 10.00, and a last message a minute later that keeps the day going.
fn quiet_file() -> Vec<u8> {
    let at = |ns: u64| 34_200_000_000_000 + ns;
    let stock = Alpha::new(b"AAAA");
    let mut file = Vec::new();
    let mut put = |bytes: &[u8]| {
        file.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        file.extend_from_slice(bytes);
    };
    let head = itch::StockTradingAction::header(1, 0, at(0));
    put(itch::StockTradingAction { head, stock, trading_state: b'T', reserved: b' ', reason: Alpha::BLANK }.as_bytes());
    put(itch::AddOrder {
        head: itch::AddOrder::header(1, 0, at(1)),
        order_reference_number: U64::new(1),
        buy_sell_indicator: b'S',
        shares: U32::new(300),
        stock,
        price: U32::new(100_000),
    }
    .as_bytes());
    put(itch::SystemEvent { head: itch::SystemEvent::header(0, 0, at(60_000_000_000)), event_code: b'C' }.as_bytes());
    file
}

impl Exchange {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("tern-sim-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("quiet.itch"), quiet_file()).expect("a file");
        let feed = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
        feed.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).expect("join on loopback");
        feed.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let port = feed.local_addr().expect("an address").port();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tern-exchange"))
            .current_dir(&folder)
            .args(["run", "--orders", "127.0.0.1:0", "--log", "log.jsonl", "--feed", &format!("{GROUP}:{port}")])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the exchange starts");
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().expect("stdout")).read_line(&mut ready).expect("a line");
        let orders = ready.strip_prefix("ready: orders ").and_then(|rest| rest.split(',').next()).expect("an address");
        Self { orders: orders.to_owned(), child, feed, heard: Vec::new(), next: 1, ended: false, folder }
    }

    /// Listens until `done` says so of all messages heard.
    fn listen(&mut self, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        let mut datagram = [0; 2048];
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "heard only {} messages", self.heard.len());
            let Ok(length) = self.feed.recv(&mut datagram) else { continue };
            assert!(length <= 1400);
            let packet = Downstream::parse(&datagram[..length]).expect("a packet");
            assert_eq!(packet.header.sequence_number.get(), self.next, "no gap");
            match packet.header.kind() {
                Kind::Messages(count) => self.next += u64::from(count),
                Kind::Heartbeat => {}
                Kind::EndOfSession => self.ended = true,
            }
            self.heard.extend(packet.blocks().map(|block| block.expect("whole").to_vec()));
        }
    }

    fn kinds(&self) -> String {
        self.heard.iter().map(|message| message[0] as char).collect()
    }

    /// Asks for the end as an operator would, and reads the log.
    fn stop(&mut self) -> Vec<Line> {
        let id = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("it runs");
        self.end()
    }

    fn end(&mut self) -> Vec<Line> {
        self.listen(|exchange| exchange.ended);
        assert!(self.child.wait().expect("it ends").success());
        let text = std::fs::read_to_string(self.folder.join("log.jsonl")).expect("the log");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of the log")).collect()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

struct Client {
    socket: TcpStream,
    deframer: Deframer<4096>,
    sequence: u64,
    messages: Vec<Vec<u8>>,
    rejected: Option<u8>,
    ended: bool,
}

impl Client {
    fn log_in(address: &str, password: &[u8], session: &[u8], sequence: u64) -> Self {
        let socket = TcpStream::connect(address).expect("connects");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let mut client =
            Self { socket, deframer: Deframer::new(), sequence: 0, messages: Vec::new(), rejected: None, ended: false };
        client.send(&Packet::LoginRequest(&LoginRequest {
            username: Alpha::new(b"tern01"),
            password: Alpha::new(password),
            requested_session: Alpha::new(session),
            requested_sequence_number: AsciiNumber::new(sequence),
        }));
        client.receive(|client| client.sequence > 0 || client.rejected.is_some());
        client
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut buf = [0; 512];
        let length = soup::write(&mut buf, packet).expect("fits");
        self.socket.write_all(&buf[..length]).expect("sends");
    }

    fn ouch(&mut self, message: &Inbound<'_>) {
        let mut buf = [0; 256];
        let length = message.write(&mut buf).expect("fits");
        self.send(&Packet::UnsequencedData(&buf[..length]));
    }

    fn enter(&mut self, user_ref: u32, side: u8, quantity: u32, price: u64) {
        let message = ouch::EnterOrder {
            kind: ouch::EnterOrder::TYPE,
            user_ref_num: U32::new(user_ref),
            side,
            quantity: U32::new(quantity),
            symbol: Alpha::new(b"AAAA"),
            price: U64::new(price),
            time_in_force: b'0',
            display: b'Y',
            capacity: b'P',
            intermarket_sweep_eligibility: b'N',
            cross_type: b'N',
            cl_ord_id: Alpha::new(b"E2E"),
        };
        self.ouch(&Inbound::EnterOrder(&message, Appendage::EMPTY));
    }

    fn receive(&mut self, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        let mut chunk = [0; 4096];
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "received only {} messages", self.messages.len());
            let length = match self.socket.read(&mut chunk) {
                Ok(0) => {
                    self.ended = true;
                    0
                }
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    self.ended = true;
                    0
                }
                Err(_) => 0,
            };
            let mut bytes = &chunk[..length];
            while let Some(frame) = self.deframer.next(&mut bytes).expect("frames") {
                match frame.packet().expect("known") {
                    Packet::LoginAccepted(accepted) => {
                        self.sequence = accepted.sequence_number.get().expect("a number");
                    }
                    Packet::LoginRejected(rejected) => self.rejected = Some(rejected.reject_reason_code),
                    Packet::SequencedData(message) => self.messages.push(message.to_vec()),
                    Packet::EndOfSession => self.ended = true,
                    _ => {}
                }
            }
        }
    }

    fn answers(&mut self, count: usize) -> String {
        self.receive(|client| client.messages.len() >= count);
        self.messages.iter().map(|message| message[0] as char).collect()
    }
}

#[test]
fn orders_are_filled_replaced_canceled_and_replayed() {
    let mut exchange = Exchange::start("orders", &["--itch", "quiet.itch", "--wait-for-clients", "1"]);
    let mut client = Client::log_in(&exchange.orders, b"secret", b"", 1);
    assert_eq!(client.sequence, 1);
    exchange.listen(|exchange| exchange.heard.len() >= 2);
    assert_eq!(exchange.kinds(), "HA", "from the first message on");

    client.enter(1, b'B', 500, 100_000);
    assert_eq!(client.answers(3), "SAE", "start of day, accepted, executed");
    let (Outbound::OrderExecuted(fill, _), _) = Outbound::decode(&client.messages[2]).expect("valid") else {
        panic!("an execution");
    };
    assert_eq!((fill.quantity.get(), fill.price.get()), (300, 100_000));
    exchange.listen(|exchange| exchange.heard.len() >= 4);
    assert_eq!(exchange.kinds(), "HAEA");
    let (Outbound::OrderAccepted(accepted, _), _) = Outbound::decode(&client.messages[1]).expect("valid") else {
        panic!("accepted");
    };
    let Ok(Message::AddOrder(shown)) = Message::decode(&exchange.heard[3]) else { panic!("an add") };
    assert_eq!(accepted.order_reference_number, shown.order_reference_number, "the feed shows the client's order");
    assert_eq!(shown.shares.get(), 200);

    let replace = ouch::ReplaceOrder {
        kind: ouch::ReplaceOrder::TYPE,
        orig_user_ref_num: U32::new(1),
        user_ref_num: U32::new(2),
        quantity: U32::new(400),
        price: U64::new(99_900),
        time_in_force: b'0',
        display: b'Y',
        intermarket_sweep_eligibility: b'N',
        cl_ord_id: Alpha::BLANK,
    };
    client.ouch(&Inbound::ReplaceOrder(&replace, Appendage::EMPTY));
    client.ouch(&Inbound::CancelOrder(&ouch::CancelOrder::new(2, 0)));
    assert_eq!(client.answers(5), "SAEUC");
    exchange.listen(|exchange| exchange.heard.len() >= 6);
    assert_eq!(exchange.kinds(), "HAEAUD");

    // The connection is lost; what was missed and what was not are there again, byte for byte.
    let first = std::mem::take(&mut client.messages);
    drop(client);
    let mut again = Client::log_in(&exchange.orders, b"SECRET", b"TERN000001", 1);
    again.receive(|client| client.messages.len() >= first.len());
    assert_eq!(again.messages, first);
    let mut tail = Client::log_in(&exchange.orders, b"secret", b"", 4);
    assert_eq!(tail.sequence, 4);
    tail.receive(|client| client.messages.len() >= 2);
    assert_eq!(tail.messages, first[3..]);
    // Both connections of the user see what comes.
    again.enter(3, b'B', 100, 90_000);
    assert_eq!(tail.answers(3), "UCA");
    assert_eq!(again.answers(6), "SAEUCA");

    let lines = exchange.stop();
    again.receive(|client| client.ended);
    assert_eq!(again.answers(8), "SAEUCACS", "the open order expires, the day ends");
    let received = lines.iter().filter(|line| matches!(line, Line::Received { .. })).count();
    assert_eq!(received, 4);
    let position = lines.iter().find_map(|line| match line {
        Line::Position { position, cash, .. } => Some((*position, *cash)),
        _ => None,
    });
    assert_eq!(position, Some((300, -300 * 100_000)));
    let Some(Line::End { totals }) = lines.last() else { panic!("a last line") };
    assert_eq!(totals.messages, exchange.next - 1);
    assert_eq!((totals.received, totals.executions, totals.shares), (4, 1, 300));
}

#[test]
fn logins_are_refused_with_their_reason() {
    let mut exchange = Exchange::start("logins", &["--itch", "quiet.itch"]);
    for (password, session, code) in [(b"wrong".as_slice(), b"".as_slice(), b'A'), (b"secret", b"OTHER", b'S')] {
        let mut client = Client::log_in(&exchange.orders, password, session, 1);
        assert_eq!(client.rejected, Some(code));
        client.receive(|client| client.ended);
    }
    exchange.stop();
}

#[test]
fn a_generated_day_runs_to_its_end_and_its_dumps_are_what_a_receiver_has() {
    let arguments =
        ["--seconds", "2", "--rate", "15000", "--symbols", "60", "--book-dump", "dump.jsonl", "--book-dumps", "4"];
    let mut exchange = Exchange::start("day", &arguments);
    let lines = exchange.end();
    let Some(Line::End { totals }) = lines.last() else { panic!("a last line") };
    assert_eq!((totals.messages, exchange.heard.len()), (30_000, 30_000));
    let kinds = exchange.kinds();
    assert!(kinds.starts_with("SR") && kinds.ends_with("SS"));
    assert_eq!(totals.book_dumps, 4);
    let text = std::fs::read_to_string(exchange.folder.join("dump.jsonl")).expect("the dump");
    let mut compared = 0;
    let mut orders = 0;
    for line in text.lines() {
        match serde_json::from_str(line).expect("a line of the dump") {
            tern_sim::dump::DumpLine::Level { orders: level, .. } => orders += level.len(),
            tern_sim::dump::DumpLine::End { sequence, orders: count, .. } => {
                assert_eq!(std::mem::take(&mut orders) as u64, count);
                assert_eq!(live(&exchange.heard[..sequence as usize]), count);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 4);
}

/// Live orders of a receiver after these messages.
fn live(messages: &[Vec<u8>]) -> u64 {
    let mut orders = std::collections::HashMap::new();
    let take = |orders: &mut std::collections::HashMap<u64, u32>, reference: u64, shares: u32| {
        let left = orders.get_mut(&reference).expect("known");
        *left -= shares;
        if *left == 0 {
            orders.remove(&reference);
        }
    };
    for message in messages {
        match Message::decode(message).expect("valid") {
            Message::AddOrder(m) => {
                orders.insert(m.order_reference_number.get(), m.shares.get());
            }
            Message::AddOrderMpid(m) => {
                orders.insert(m.order_reference_number.get(), m.shares.get());
            }
            Message::OrderReplace(m) => {
                orders.remove(&m.original_order_reference_number.get()).expect("known");
                orders.insert(m.new_order_reference_number.get(), m.shares.get());
            }
            Message::OrderDelete(m) => {
                orders.remove(&m.order_reference_number.get()).expect("known");
            }
            Message::OrderExecuted(m) => take(&mut orders, m.order_reference_number.get(), m.executed_shares.get()),
            Message::OrderExecutedWithPrice(m) => {
                take(&mut orders, m.order_reference_number.get(), m.executed_shares.get());
            }
            Message::OrderCancel(m) => take(&mut orders, m.order_reference_number.get(), m.cancelled_shares.get()),
            _ => {}
        }
    }
    orders.len() as u64
}

#[test]
fn faults_happen_on_request_and_are_counted() {
    let mut exchange =
        Exchange::start("faults", &["--itch", "quiet.itch", "--reset-after", "1", "--wait-for-clients", "1"]);
    let mut client = Client::log_in(&exchange.orders, b"secret", b"", 1);
    exchange.listen(|exchange| exchange.heard.len() >= 2);
    client.enter(1, b'B', 100, 90_000);
    client.receive(|client| client.ended);
    // The order arrived before the reset: it is in the stream of the next login.
    let mut again = Client::log_in(&exchange.orders, b"secret", b"", 1);
    assert_eq!(again.answers(2), "SA");
    let lines = exchange.stop();
    let resets =
        lines.iter().filter(|line| matches!(line, Line::Disconnect { reason, .. } if reason == "reset on request"));
    assert_eq!(resets.count(), 1);

    let mut exchange =
        Exchange::start("loss", &["--itch", "quiet.itch", "--drop-datagram", "3", "--wait-for-clients", "1"]);
    let mut client = Client::log_in(&exchange.orders, b"secret", b"", 1);
    exchange.listen(|exchange| exchange.heard.len() >= 2);
    client.enter(1, b'B', 100, 90_000);
    assert_eq!(client.answers(2), "SA");
    exchange.next = 4;
    let lines = exchange.stop();
    let Some(Line::End { totals }) = lines.last() else { panic!("a last line") };
    assert_eq!((totals.datagrams_dropped, totals.messages), (1, 4), "the add was lost, the delete at the end was not");
}

#[test]
fn a_stalled_gateway_closes_the_window_and_takes_all_later() {
    let arguments =
        ["--itch", "quiet.itch", "--stall-orders-after", "1", "--stall-ms", "1500", "--wait-for-clients", "1"];
    let mut exchange = Exchange::start("stall", &arguments);
    let mut client = Client::log_in(&exchange.orders, b"secret", b"", 1);
    exchange.listen(|exchange| exchange.heard.len() >= 2);
    client.enter(1, b'B', 100, 90_000);
    assert_eq!(client.answers(2), "SA");
    let stalled = Instant::now();
    client.ouch(&Inbound::AccountQuery(&ouch::AccountQuery::NEW));
    assert_eq!(client.answers(3), "SAQ");
    assert!(stalled.elapsed() > Duration::from_millis(1_000), "answered after {:?}", stalled.elapsed());
    exchange.stop();
}
