//! A day written record by record, into a real journal, with the venue's answers as bytes.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod money;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tern_abi::command::{Command, CommandKind, LimitsOutcome, SetLimits};
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::manual::{AdjustmentRecord, ManualCommand, ManualKind, ManualOutcome, ManualRecord};
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::*;
use tern_abi::segment::{ScopeKind, TradingState};
use tern_audit::{Audit, Counts, Disagreement, Finding};
use tern_journal::{Options, Reader, Writer};
use zerocopy::IntoBytes;

pub(crate) const BUY: u8 = SIDE_BUY;
pub(crate) const SELL: u8 = SIDE_SELL;
pub(crate) const LIMITS: &str = "[limits]\norder_quantity_max = 1000\norder_notional_max = 100_000_0000\n\
    position_max = 1500\nopen_orders_max = 4\norders_per_second_max = 10\norder_burst_max = 5\n\
    [[limits.symbol]]\nsymbol = \"WIDE\"\norder_quantity_max = 2000\nposition_max = 5000\n\
    [[limits.symbol]]\nsymbol = \"BAND\"\nprice_min = 90000\nprice_max = 110000\n\
    [[limits.symbol]]\nsymbol = \"ABOVE\"\nprice_min = 90000\n\
    [[limits.strategy]]\nid = 9\nposition_max = 300\n\
    [reference.price_bands]\nBAND = [80000, 100000]\nLISTED = [95000, 105000]\n\
    [[strategy]]\nname = \"manual\"\nid = 1\n";

/// The day so far.
pub(crate) struct Day {
    records: Vec<(RecordHeader, Vec<u8>)>,
    seq: u64,
    pub(crate) tai_ns: u64,
    cause: u64,
    /// Shares that were held when the run began, at a ten-thousandth each.
    opened: i64,
}

/// A lie, the disagreement it must be found as, and how it comes to be.
pub(crate) type Planted = (&'static str, Disagreement, fn(&mut Day));

impl Day {
    /// A run that is logged in and caught up, with a trusted stream.
    pub(crate) fn new() -> Self {
        Self::under(LIMITS)
    }

    /// The same with this effective configuration.
    pub(crate) fn under(configuration: &str) -> Self {
        let mut day = Self { records: Vec::new(), seq: 0, tai_ns: 1_000_000_000, cause: 0, opened: 0 };
        day.start_under(1, configuration);
        day.trust(true);
        day.log_in(b"SESSION001", 1);
        day.query();
        day
    }

    /// As [`Day::new`], with shares of the symbol held when the day began.
    pub(crate) fn opened(shares: i64) -> Self {
        let mut day = Self { records: Vec::new(), seq: 0, tai_ns: 1_000_000_000, cause: 0, opened: 0 };
        day.start_opened(1, shares);
        day.trust(true);
        day.log_in(b"SESSION001", 1);
        day.query();
        day.reconciled(Difference::Done, 0);
        day
    }

    pub(crate) fn start_opened(&mut self, run: u64, shares: i64) {
        let start = StartRecord { run, ..StartRecord::default() };
        self.opened = shares;
        let held = format!(
            "\n[opening]\n[[opening.position]]\nsymbol = \"TERN\"\nstrategy = 1\nshares = {shares}\ncost = {shares}\n\
             #run journal_seq=0\n"
        );
        self.record(Kind::Start, &[start.as_bytes(), LIMITS.as_bytes(), held.as_bytes()]);
    }

    pub(crate) fn record(&mut self, kind: Kind, parts: &[&[u8]]) {
        self.seq += 1;
        self.tai_ns += 1000;
        if (kind as u16) < Kind::Order as u16 {
            self.cause = self.seq;
        }
        let body = parts.concat();
        let header = RecordHeader {
            seq: self.seq,
            tai_ns: self.tai_ns,
            kind: kind as u16,
            flags: 0,
            body_bytes: body.len() as u32,
        };
        self.records.push((header, body));
    }

    pub(crate) fn start(&mut self, run: u64) {
        self.start_under(run, LIMITS);
    }

    pub(crate) fn start_under(&mut self, run: u64, configuration: &str) {
        let start = StartRecord { run, ..StartRecord::default() };
        self.record(Kind::Start, &[start.as_bytes(), configuration.as_bytes()]);
    }

    /// A run that says so much of how it began.
    pub(crate) fn start_saying(&mut self, run: u64, line: &str) {
        let start = StartRecord { run, ..StartRecord::default() };
        self.record(Kind::Start, &[start.as_bytes(), LIMITS.as_bytes(), format!("\n#run {line}\n").as_bytes()]);
    }

    /// The outcome of the comparison after a restart.
    pub(crate) fn reconciled(&mut self, difference: Difference, ours: i64) {
        self.record(Kind::Timer, &[]);
        let record = ReconcileRecord { difference: difference as u32, ours, ..ReconcileRecord::default() };
        self.record(Kind::Reconcile, &[record.as_bytes()]);
        self.record(Kind::State, &[StateRecord { cause_seq: self.cause, trading: 1, reason: 0 }.as_bytes()]);
    }

    pub(crate) fn trust(&mut self, trusted: bool) {
        self.record(Kind::Timer, &[]);
        let trust = TrustRecord { stream: 1, trusted: trusted.into(), ..TrustRecord::default() };
        self.record(Kind::Trust, &[trust.as_bytes()]);
    }

    pub(crate) fn conn(&mut self, event: u32) {
        self.record(Kind::Conn, &[ConnRecord { conn: 1, event, value: 0 }.as_bytes()]);
    }

    pub(crate) fn log_in(&mut self, session: &[u8; 10], next_seq: u64) {
        self.conn(CONN_UP);
        let mut body = vec![b'A'];
        body.extend_from_slice(session);
        body.extend_from_slice(format!("{next_seq:>20}").as_bytes());
        self.bytes(&packet(&body));
    }

    /// Received on the session; the `seq` of the record.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> u64 {
        self.record(Kind::SessionBytes, &[SessionHead { conn: 1, reserved: 0 }.as_bytes(), bytes]);
        self.cause
    }

    pub(crate) fn said(&mut self, message: &[u8]) {
        self.bytes(&said(message));
    }

    /// Several messages that came at once.
    pub(crate) fn said_together(&mut self, messages: &[&[u8]]) {
        let packets: Vec<u8> = messages.iter().flat_map(|message| packet(&[b"S", *message].concat())).collect();
        self.bytes(&packets);
    }

    pub(crate) fn command(&mut self, kind: CommandKind, id: u32, value: i64) {
        let command = Command { kind: kind as u32, id, value, epoch: 1, ..Command::default() };
        self.record(Kind::Command, &[command.as_bytes()]);
    }

    /// All limits as [`LIMITS`] has them but for the shares of an order, against `epoch_seen`; and the epoch that the loop
    /// says is in force after it.
    pub(crate) fn set_limits(&mut self, quantity: i64, epoch_seen: u32, refused: LimitsOutcome, epoch_claimed: u32) {
        let any = i64::MAX / 2;
        let values = [quantity, 100_000_000, 500, 1500, 4, 10, 5, 200, 0, 0, any, any, any, any, 1];
        let command = SetLimits::new(&values, (epoch_seen, epoch_seen + 1), 1000, "a test");
        self.record(Kind::SetLimits, &[SetLimits { refused: refused as u32, ..command }.as_bytes()]);
        let record = LimitsRecord { cause_seq: self.cause, epoch: epoch_claimed, outcome: 0 };
        self.record(Kind::Limits, &[record.as_bytes()]);
    }

    pub(crate) fn scope(&mut self, kind: ScopeKind, key: u64, state: TradingState) {
        self.record(Kind::Command, &[Command::set_state(kind, key, state, 1000).as_bytes()]);
    }

    /// An order record as it ought to be, changed by `lie`, after an input.
    pub(crate) fn order_with(&mut self, order: OrderRecord, lie: impl FnOnce(&mut OrderRecord)) {
        self.record(Kind::Timer, &[]);
        let mut order = OrderRecord { cause_seq: self.cause, ..order };
        lie(&mut order);
        self.record(Kind::Order, &[order.as_bytes()]);
    }

    /// Somebody wants this done by hand.
    pub(crate) fn wish(&mut self, wish: ManualCommand) {
        self.record(Kind::Manual, &[wish.as_bytes()]);
    }

    /// The loop sent this order for a wish.
    pub(crate) fn sent_by_hand(&mut self, request: u64, order: OrderRecord) {
        self.output_order(OrderRecord { cause_seq: self.cause, ..order });
        let outcome = ManualOutcome::Sent as u32;
        let record =
            ManualRecord { cause_seq: self.cause, request, order: order.order, outcome, ..ManualRecord::default() };
        self.record(Kind::ManualOutcome, &[record.as_bytes()]);
    }

    /// The loop counts a trade that somebody told.
    pub(crate) fn adjusted(&mut self, wish: &ManualCommand) {
        let ManualCommand { request, symbol, side, price, quantity, .. } = *wish;
        let record = AdjustmentRecord {
            cause_seq: self.cause,
            request,
            symbol,
            side,
            price,
            quantity,
            account: 1,
            strategy: 1,
            ..AdjustmentRecord::default()
        };
        self.record(Kind::Adjustment, &[record.as_bytes()]);
    }

    /// An order record as it is, without an input of its own.
    pub(crate) fn output_order(&mut self, order: OrderRecord) {
        self.record(Kind::Order, &[order.as_bytes()]);
    }

    pub(crate) fn order(&mut self, order: OrderRecord) {
        self.order_with(order, |_| ());
    }

    /// Sends an order and has it accepted as it is.
    pub(crate) fn live(&mut self, order: OrderRecord) {
        self.order(order);
        self.said(&accepted(&order));
    }

    pub(crate) fn query(&mut self) {
        self.said(&[&b"Q"[..], &[0; 8], &[0, 0, 0, 1]].concat());
    }

    /// After trades of one side alone, each at 10.0000 and for nothing.
    pub(crate) fn position(&mut self, shares: i64) {
        let cost = self.opened + (shares - self.opened) * 10_0000;
        self.position_of(PositionRecord { shares, cash: -cost, cost, ..PositionRecord::default() });
    }

    /// Of strategy 1 in `TERN`.
    pub(crate) fn position_of(&mut self, position: PositionRecord) {
        let position = PositionRecord { symbol: *b"TERN    ", account: 1, strategy: 1, ..position };
        self.record(Kind::Position, &[position.as_bytes()]);
    }

    pub(crate) fn event(&mut self, order: u32, leaves: u32, session_seq: u64) {
        let event = OrderEventRecord { order, leaves, session_seq, ..OrderEventRecord::default() };
        self.record(Kind::OrderEvent, &[event.as_bytes()]);
    }

    /// What the data plane says of an order by itself.
    pub(crate) fn event_of(&mut self, kind: VenueEventKind, order: u32, leaves: u32) {
        self.record(Kind::Timer, &[]);
        let event = OrderEventRecord { kind: kind as u8, order, leaves, ..OrderEventRecord::default() };
        self.record(Kind::OrderEvent, &[event.as_bytes()]);
    }

    /// Writes the day into a journal and has it audited from there.
    pub(crate) fn audited(&self) -> (Counts, Vec<Finding>) {
        let folder = self.journal();
        let mut reader = Reader::open(&folder.0).expect("a journal");
        let mut audit = Audit::new();
        while let Some(record) = reader.next().expect("a whole journal") {
            audit.record(&record.header, record.body);
        }
        audit.finish();
        assert_eq!(audit.counts().records, self.records.len() as u64);
        (audit.counts(), audit.take_found())
    }

    pub(crate) fn journal(&self) -> Folder {
        let folder = Folder::new();
        let (mut writer, _) = Writer::open(&folder.0, Options::new("test")).expect("a journal");
        for (header, body) in &self.records {
            writer.append(header, body).expect("appends");
        }
        writer.seal().expect("seals");
        folder
    }

    pub(crate) fn records(&self) -> &[(RecordHeader, Vec<u8>)] {
        &self.records
    }
}

/// A folder that goes with its test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tern-audit-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A buy of so many by hand, as [`new`] has it.
pub(crate) fn wished(request: u64, quantity: u32) -> ManualCommand {
    let wish = ManualCommand::new(ManualKind::Order, request, 1000, "a test");
    ManualCommand { symbol: *b"TERN    ", side: BUY, price: 10_0000, quantity, ..wish }
}

/// A trade of strategy 1 at 10.0000 that somebody tells.
pub(crate) fn told_trade(request: u64, side: u8, quantity: u32) -> ManualCommand {
    let wish = ManualCommand::new(ManualKind::Adjust, request, 1000, "a test");
    ManualCommand { symbol: *b"TERN    ", key: 1, side, price: 10_0000, quantity, ..wish }
}

/// A flatten of all.
pub(crate) fn flatten(request: u64) -> ManualCommand {
    ManualCommand { within_ms: 1000, ..ManualCommand::new(ManualKind::Flatten, request, 1000, "a test") }
}

/// A new order at 10.0000.
pub(crate) fn new(order: u32, side: u8, quantity: u32) -> OrderRecord {
    OrderRecord {
        order,
        side,
        quantity,
        price: 10_0000,
        symbol: *b"TERN    ",
        account: 1,
        strategy: 1,
        action: ACTION_NEW,
        ..OrderRecord::default()
    }
}

pub(crate) fn replace(replaces: u32, order: u32, side: u8, total: u32) -> OrderRecord {
    OrderRecord { action: ACTION_REPLACE, replaces, ..new(order, side, total) }
}

fn packet(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes()[..], body].concat()
}

/// A message as a sequenced packet.
pub(crate) fn said(message: &[u8]) -> Vec<u8> {
    packet(&[b"S", message].concat())
}

fn side(side: u8) -> u8 {
    if side == BUY { b'B' } else { b'S' }
}

/// OUCH 5.0, 2.1, from FIX's time in force of the record.
fn cross(time_in_force: u8) -> u8 {
    match time_in_force {
        b'2' => b'O',
        b'7' => b'C',
        _ => b'N',
    }
}

fn echo(order: &OrderRecord, quantity: u32) -> Vec<u8> {
    [
        &[side(order.side)][..],
        &quantity.to_be_bytes(),
        &order.symbol,
        &(order.price as u64).to_be_bytes(),
        b"0Y",
        &[0; 8],
        &[b'A', b'N', cross(order.time_in_force), b'L'],
        b"              ",
        &[0, 0],
    ]
    .concat()
}

/// OUCH 5.0, 3.2.
pub(crate) fn accepted(order: &OrderRecord) -> Vec<u8> {
    let message = [&b"A"[..], &[0; 8], &order.order.to_be_bytes(), &echo(order, order.quantity)].concat();
    assert_eq!(message.len(), 64);
    message
}

/// OUCH 5.0, 3.3; `leaves` shares are open.
pub(crate) fn replaced(order: &OrderRecord, leaves: u32) -> Vec<u8> {
    [&b"U"[..], &[0; 8], &order.replaces.to_be_bytes(), &order.order.to_be_bytes(), &echo(order, leaves)].concat()
}

/// OUCH 5.0, 3.6.
pub(crate) fn executed(order: u32, quantity: u32, number: u64) -> Vec<u8> {
    executed_at(order, quantity, (10_0000, b'A'), number)
}

/// The same at a price, with a liquidity flag.
pub(crate) fn executed_at(order: u32, quantity: u32, (price, flag): (u64, u8), number: u64) -> Vec<u8> {
    let (shares, price, number) = (quantity.to_be_bytes(), price.to_be_bytes(), number.to_be_bytes());
    [&b"E"[..], &[0; 8], &order.to_be_bytes(), &shares, &price, &[flag], &number, &[0, 0]].concat()
}

/// OUCH 5.0, 3.4.
pub(crate) fn canceled(order: u32, quantity: u32) -> Vec<u8> {
    [&b"C"[..], &[0; 8], &order.to_be_bytes(), &quantity.to_be_bytes(), b"U"].concat()
}

/// OUCH 5.0, 3.7.
pub(crate) fn broken(order: u32, number: u64) -> Vec<u8> {
    [&b"B"[..], &[0; 8], &order.to_be_bytes(), &number.to_be_bytes(), b"C", &[b' '; 14]].concat()
}

/// OUCH 5.0, 3.8.
pub(crate) fn rejected(order: u32) -> Vec<u8> {
    [&b"J"[..], &[0; 8], &order.to_be_bytes(), &[0, 1], &[b' '; 14]].concat()
}
