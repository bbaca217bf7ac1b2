//! A login to the exchange's gateway with a long log behind it: how soon the appliance's session knows that it has read
//! all of it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tern_core::session::{Control, DropReason, OrderSession, OrderSink, SessionCounter, VenueEvent, VenueEventKind};
use tern_core::units::TaiNs;
use tern_sim::gateway::{Event, Faults, Gateway, User};
use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::ouch::{
    AccountQueryResponse, Appendage, Capacity, OrderExecuted, OuchMessage, Outbound,
};
use tern_venues::itch_ouch::{OuchConfig, OuchSession};

const MESSAGES: u64 = 10_000;
/// A venue's next heartbeat is up to a second away; whoever needs it to be ready is slower than this.
const READY_MAX: Duration = Duration::from_millis(500);

fn message(message: &Outbound<'_>) -> Vec<u8> {
    let mut bytes = [0; 128];
    let length = message.write(&mut bytes).expect("room");
    bytes[..length].to_vec()
}

fn answer() -> Vec<u8> {
    message(&Outbound::AccountQueryResponse(&AccountQueryResponse {
        kind: AccountQueryResponse::TYPE,
        timestamp: 0.into(),
        next_user_ref_num: 7.into(),
    }))
}

fn executed(number: u64) -> Vec<u8> {
    let executed = OrderExecuted {
        kind: OrderExecuted::TYPE,
        timestamp: 0.into(),
        user_ref_num: 3.into(),
        quantity: 1.into(),
        price: 100_000.into(),
        liquidity_flag: b'A',
        match_number: number.into(),
    };
    message(&Outbound::OrderExecuted(&executed, Appendage::EMPTY))
}

/// A gateway whose account has traded all day: every hundredth message answers a query, the last one too.
fn gateway() -> Gateway {
    let user = User { name: "trader".into(), password: "secret".into() };
    let session = Alpha::right_justified(b"S1");
    let mut gateway =
        Gateway::listen("127.0.0.1:0".parse().expect("an address"), session, vec![user], Faults::default())
            .expect("a listener");
    for number in 1..=MESSAGES {
        gateway.append(0, &if number % 100 == 0 { answer() } else { executed(number) });
    }
    gateway
}

/// Answers queries until `stop`.
fn serve(mut gateway: Gateway, stop: &AtomicBool) {
    let mut events = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        gateway.read(&mut events);
        for event in events.drain(..) {
            if let Event::Message { account, .. } = event {
                gateway.append(account, &answer());
            }
        }
        gateway.write(&mut events);
        std::thread::yield_now();
    }
}

#[derive(Default)]
struct Seen {
    executions: u64,
    ready: u32,
}

impl OrderSink for Seen {
    fn event(&mut self, event: VenueEvent) {
        self.executions += u64::from(event.kind == VenueEventKind::Executed);
        self.ready += u32::from(event.kind == VenueEventKind::CaughtUp);
    }
}

/// Connects until the session is ready; connects again only where the session asks for it.
fn log_in(session: &mut OuchSession, address: std::net::SocketAddr, seen: &mut Seen) -> (Duration, u32) {
    let start = Instant::now();
    let now = || TaiNs(1 + start.elapsed().as_nanos() as u64);
    let mut control = Control::new(OuchSession::is_order_packet);
    let mut buffer = [0; 2048];
    let mut connections = 0;
    loop {
        let mut socket = TcpStream::connect(address).expect("the gateway listens");
        socket.set_nodelay(true).expect("an option");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        connections += 1;
        session.on_connected(now(), &mut control);
        loop {
            socket.write_all(control.pending()).expect("the gateway reads");
            control.consume(control.pending().len());
            if session.is_ready() {
                return (start.elapsed(), connections);
            }
            match socket.read(&mut buffer) {
                Ok(0) => panic!("the gateway closed the connection"),
                Ok(length) => session.on_bytes(now(), &buffer[..length], seen, &mut control),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
            if let Some(reason) = control.take_drop() {
                assert_eq!(reason, DropReason::Surveyed);
                break;
            }
        }
        session.on_disconnected(now());
        control.clear();
    }
}

#[test]
fn a_long_log_is_read_to_its_end_and_trading_begins_a_round_trip_later() {
    let gateway = gateway();
    let address = gateway.address().expect("an address");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| serve(gateway, &stop));
        let config = OuchConfig {
            username: Alpha::new(b"trader"),
            password: Alpha::new(b"secret"),
            capacity: Capacity::Principal,
        };
        let mut session = OuchSession::new(config);
        let mut seen = Seen::default();
        let (first, connections) = log_in(&mut session, address, &mut seen);
        let executions = MESSAGES - MESSAGES / 100;
        let read = (connections, seen.executions, seen.ready);
        session.on_disconnected(TaiNs(u64::MAX / 2));
        let (again, reconnections) = log_in(&mut session, address, &mut seen);
        stop.store(true, Ordering::Relaxed);

        assert_eq!(read, (2, executions, 1), "a survey, then the whole log");
        assert_eq!((reconnections, seen.executions, seen.ready), (1, executions, 2), "nothing twice");
        assert_eq!(session.counters()[SessionCounter::Surveys.index()], 1);
        eprintln!("ready after {first:?} with {MESSAGES} messages to read, after {again:?} with none");
        assert!(first < READY_MAX && again < READY_MAX, "{first:?} {again:?}");
    });
}
