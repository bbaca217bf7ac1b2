//! What the records of a journal add up to: orders, executions, positions, refusals, latencies.
//!
//! Written apart from the pipeline on purpose: it follows the records alone, so that where the two disagree somebody
//! hears of it.

mod latency;
mod orders;
mod trades;

use std::collections::BTreeMap;

use tern_abi::command::SYSTEM_UID;
use tern_abi::manual::{AdjustmentRecord, ManualCommand, ManualKind, ManualOutcome, ManualRecord};
use tern_abi::record::{
    ACTION_CANCEL, ACTION_NEW, ACTION_REPLACE, Kind, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader,
    RefusalRecord, ShedRecord, StageRecord, StartRecord, StateRecord, TrustRecord,
};
use tern_config::facts::{Names, name_at};
use tern_journal::Opening;
use tern_journal::recovered::run_value;
use zerocopy::{FromBytes, Immutable, KnownLayout};

pub(crate) use latency::SPAN_NS_MAX;
pub use latency::{Latencies, Percentiles, Span};
pub(crate) use orders::side_name;
pub use orders::{ByHand, OrderRow, Orders};
pub use trades::{Execution, Traded, Trades};

/// [`OrderRecord::flags`]: sent by the system, not by a strategy.
const FLAG_SYSTEM: u8 = 2;

/// Order messages by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sent {
    /// New orders.
    pub new: u64,
    /// Replaces.
    pub replace: u64,
    /// Cancels.
    pub cancel: u64,
    /// Those among them that the system sent, not a strategy.
    pub by_system: u64,
}

impl Sent {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.new + self.replace + self.cancel
    }
}

/// Where a position stands, with the run of the symbol's id behind it.
pub type PositionKey = (u16, u16, String);

/// The state after all records so far.
#[derive(Debug, Default)]
pub struct Fold {
    /// What numbers mean, from the last start record.
    pub names: Names,
    /// Runs of the data plane.
    pub runs: u64,
    /// Records by kind, in the order of their numbers.
    pub kinds: BTreeMap<u16, u64>,
    /// Records seen.
    pub records: u64,
    /// First sequence number seen.
    pub first_seq: u64,
    /// Last sequence number seen.
    pub last_seq: u64,
    /// Time of the first record, TAI ns.
    pub first_ns: u64,
    /// Time of the last record, TAI ns.
    pub last_ns: u64,
    /// Sequence numbers that no record bears.
    pub missing: u64,
    /// Those of them that a restart of the data plane explains.
    pub missing_at_restart: u64,
    /// Datagrams shed, by the markers.
    pub shed: ShedRecord,
    /// Order messages sent.
    pub sent: Sent,
    /// Orders.
    pub orders: Orders,
    /// Executions, and what they add up to.
    pub trades: Trades,
    /// Last position record of each account, strategy and symbol in the last day; what was held when it began and has not
    /// traded since as such a record would have it.
    pub positions: BTreeMap<PositionKey, PositionRecord>,
    /// Refusals by index of the reason.
    pub refused: BTreeMap<u32, u64>,
    /// Events of orders by index of the kind.
    pub events: BTreeMap<u8, u64>,
    /// The trading state, once one was recorded.
    pub trading: Option<StateRecord>,
    /// Trust in each stream.
    pub trust: BTreeMap<u16, TrustRecord>,
    /// Stage stamps.
    pub latencies: Latencies,
    /// Records whose body is shorter than their kind, or whose kind is unknown.
    pub unreadable: u64,
    /// Symbol of each instrument id of the present run.
    symbols: BTreeMap<u32, String>,
    /// What people had done by hand, by request.
    by_hand: BTreeMap<u64, ByHand>,
    /// The last trading day, if a run said which.
    day: Option<u32>,
}

/// A symbol without its padding.
pub fn symbol_text(symbol: &[u8; 8]) -> String {
    String::from_utf8_lossy(symbol).trim_end().to_owned()
}

impl Fold {
    /// Adds one record; records come in the order of `seq`.
    pub fn apply(&mut self, header: &RecordHeader, body: &[u8]) {
        let kind = Kind::from_u16(header.kind);
        self.follow_sequence(header, kind);
        let readable = match kind {
            Some(Kind::Start) => self.start(body),
            Some(Kind::Shed) => read(body, |shed: ShedRecord| {
                self.shed.datagrams += shed.datagrams;
                self.shed.bytes += shed.bytes;
            }),
            Some(Kind::Order) => read(body, |order: OrderRecord| self.order(header, &order)),
            Some(Kind::Refusal) => read(body, |refusal: RefusalRecord| {
                *self.refused.entry(refusal.reason).or_default() += 1;
            }),
            Some(Kind::OrderEvent) => read(body, |event: OrderEventRecord| self.event(header, &event)),
            Some(Kind::Position) => read(body, |position: PositionRecord| {
                let symbol = symbol_text(&position.symbol);
                self.symbols.insert(position.instrument, symbol.clone());
                self.positions.insert((position.account, position.strategy, symbol), position);
            }),
            Some(Kind::Stages) => read(body, |stages: StageRecord| self.latencies.add(header.tai_ns, &stages)),
            Some(Kind::Trust) => read(body, |trust: TrustRecord| {
                self.trust.insert(trust.stream, trust);
            }),
            Some(Kind::Manual) => read(body, |wish: ManualCommand| self.wished(&wish)),
            Some(Kind::ManualOutcome) => read(body, |told: ManualRecord| self.done_by_hand(&told)),
            Some(Kind::Adjustment) => read(body, |told: AdjustmentRecord| self.trades.tell(told)),
            Some(Kind::State) => read(body, |state: StateRecord| self.trading = Some(state)),
            Some(_) => true,
            None => false,
        };
        self.unreadable += u64::from(!readable);
    }

    /// The name of a refusal reason.
    pub fn refusal_name(&self, reason: u32) -> String {
        name_at(&self.names.refusals, reason as usize)
    }

    /// Sequence numbers that neither the shed markers nor a restart explain: records that were lost.
    pub fn unexplained(&self) -> u64 {
        self.missing.saturating_sub(self.missing_at_restart).saturating_sub(self.shed.datagrams)
    }

    fn follow_sequence(&mut self, header: &RecordHeader, kind: Option<Kind>) {
        if self.records == 0 {
            (self.first_seq, self.first_ns) = (header.seq, header.tai_ns);
        } else {
            let missing = header.seq.saturating_sub(self.last_seq).saturating_sub(1);
            self.missing += missing;
            // Killed between taking a seq and publishing its record, a run leaves a gap of one before the next start.
            if kind == Some(Kind::Start) && missing == 1 {
                self.missing_at_restart += 1;
            }
        }
        self.records += 1;
        (self.last_seq, self.last_ns) = (header.seq, header.tai_ns);
        *self.kinds.entry(header.kind).or_default() += 1;
    }

    fn start(&mut self, body: &[u8]) -> bool {
        let Ok((_, text)) = StartRecord::ref_from_prefix(body) else { return false };
        self.runs += 1;
        self.symbols.clear();
        let text = String::from_utf8_lossy(text);
        let names = Names::split_start_text(&text).1;
        if names != Names::default() {
            self.names = names;
        }
        let day = run_value(&text, "day").and_then(|value| value.parse().ok());
        if day != self.day || self.runs == 1 {
            self.day = day;
            self.positions.clear();
            self.trades.new_day();
        }
        let Some(opening) = Opening::of_start(&text) else { return false };
        for held in &opening {
            let Opening { account, strategy, symbol, shares, cost } = *held;
            let cash = cost.saturating_neg();
            let record = PositionRecord { shares, cash, cost, symbol, account, strategy, ..PositionRecord::default() };
            self.positions.entry((account, strategy, symbol_text(&symbol))).or_insert(record);
        }
        self.trades.open(opening);
        true
    }

    fn order(&mut self, header: &RecordHeader, order: &OrderRecord) {
        match order.action {
            ACTION_NEW => self.sent.new += 1,
            ACTION_REPLACE => self.sent.replace += 1,
            ACTION_CANCEL => self.sent.cancel += 1,
            _ => {}
        }
        self.sent.by_system += u64::from(order.flags & FLAG_SYSTEM != 0);
        self.symbols.insert(order.instrument, symbol_text(&order.symbol));
        self.orders.sent(header.tai_ns, order);
    }

    fn wished(&mut self, wish: &ManualCommand) {
        let by_hand = ByHand {
            uid: wish.uid,
            confirmed_by: Some(wish.second_uid).filter(|uid| *uid != SYSTEM_UID),
            what: wish.what().map_or("?", ManualKind::name),
            why: wish.why().to_owned(),
        };
        self.by_hand.insert(wish.request, by_hand);
    }

    fn done_by_hand(&mut self, told: &ManualRecord) {
        let is_sent = told.outcome == ManualOutcome::Sent as u32;
        if let Some(by_hand) = self.by_hand.get(&told.request).filter(|_| is_sent) {
            self.orders.sent_by_hand(told.order, by_hand);
        }
    }

    fn event(&mut self, header: &RecordHeader, event: &OrderEventRecord) {
        *self.events.entry(event.kind).or_default() += 1;
        let symbol = self.symbols.get(&event.instrument).cloned().unwrap_or_default();
        let row = self.orders.event(header.tai_ns, event, &symbol);
        let symbol = row.map_or(symbol, |row| row.symbol.clone());
        self.trades.event(event, &symbol);
    }
}

/// Reads the fixed part of a body and hands it on; `false` when the body is too short for it.
fn read<T: FromBytes + KnownLayout + Immutable>(body: &[u8], then: impl FnOnce(T)) -> bool {
    match T::read_from_prefix(body) {
        Ok((record, _)) => {
            then(record);
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests;
