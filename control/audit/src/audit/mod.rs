//! The walk over the records.

mod approved;
mod by_hand;
mod claims;
mod figures;
mod money;
mod run;
mod told;

use crate::exposure::Owner;
use crate::finding::{Disagreement, Finding};
use crate::ledger::{Fees, Ledger, Ledgers, Trade};
use crate::limits::InForce;
use crate::orders::{Orders, Standing};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tern_abi::command::{Command, SetLimits};
use tern_abi::manual::{AdjustmentRecord, ManualCommand, ManualRecord};
use tern_abi::reconcile::ReconcileRecord;
use tern_abi::record::{
    ConnRecord, InstrumentTrustRecord, Kind, LimitsRecord, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader,
    RefusalRecord, SessionHead, StartRecord, StateRecord, TrustRecord,
};
use tern_abi::segment::{ScopeKind, TradingState};
use tern_soup::Answers;
use zerocopy::FromBytes;

/// Outputs that are remembered to tell a cause that is none. A cause is the input before; this many records are not
/// between them.
const OUTPUTS_KEPT: usize = 4096;

/// What was followed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records.
    pub records: u64,
    /// Order records: new, replace, cancel.
    pub orders: u64,
    /// Messages of the venue, each once.
    pub answers: u64,
    /// Disagreements.
    pub disagreements: u64,
    /// Trades that are remembered, should they be broken.
    pub trades_kept: u64,
    /// Breaks of trades that are not remembered any more; the position recorded next is believed.
    pub breaks_believed: u64,
    /// `seq` of the last record.
    pub last_seq: u64,
    /// The loop's time of the last record, TAI ns.
    pub last_tai_ns: u64,
}

/// The second opinion's own view of the day.
#[derive(Debug, Default)]
pub struct Audit {
    limits: Option<InForce>,
    orders: Orders,
    /// Trades that the venue told and did not break, by order and match number.
    trades: BTreeMap<(u32, u64), Trade>,
    /// Their keys, oldest first, and whether some were forgotten.
    trades_told: VecDeque<(u32, u64)>,
    trades_forgotten: bool,
    /// How many were told in the day, and trades that people told, each with how many were told before it.
    trades_numbered: u64,
    told_by_hand: Vec<(u64, Trade)>,
    /// Whose position the next record says, and nobody checks.
    believed: BTreeSet<Owner>,
    /// The same, of what a position cost and what was paid for it.
    money_believed: BTreeSet<Owner>,
    ledgers: Ledgers,
    /// What a ledger is if a broken trade was not taken out but traded back, as the data plane does once it forgot trades.
    traded_back: BTreeMap<Owner, Ledger>,
    /// `None` if the run does not say them.
    fees: Option<Fees>,
    /// What the run says was held when the day began, and what of that is counted in positions.
    opening: BTreeMap<Owner, Ledger>,
    opened: BTreeMap<Owner, Ledger>,
    losses: money::Losses,
    /// Names of the gate's reasons, as the run numbers them, and symbols of its instruments.
    reasons: Vec<String>,
    instruments: BTreeMap<u32, [u8; 8]>,
    /// Messages of the venue that this input brought, and whether a trade was broken by one.
    told_now: usize,
    broken_now: bool,
    last_order: u32,
    /// The order record before this one.
    sent_last: Option<OrderRecord>,
    /// The strategy that has the orders sent by hand, by the configuration of the run.
    by_hand: Option<u16>,
    /// When new orders and replaces were sent, within the last second.
    sent_ns: VecDeque<u64>,
    killed: bool,
    shutting_down: bool,
    halted: bool,
    unreconciled: bool,
    /// What is restricted, by kind of scope and key, and how far.
    scopes: BTreeMap<(ScopeKind, u64), TradingState>,
    streams: BTreeMap<u16, bool>,
    untrusted: BTreeSet<[u8; 8]>,
    answers: BTreeMap<u32, Answers>,
    /// Connections so far, over all ids.
    connections: u64,
    session: Option<[u8; 10]>,
    /// Last message of the venue's log that was taken.
    told_seq: u64,
    /// A run began and no login was seen since.
    fresh_run: bool,
    /// Highest order id that was in doubt when its connection or its run ended.
    doubtful: Option<u32>,
    /// What the orders stood for that this input speaks of, before it: the strategy may have acted on its first message.
    before: BTreeMap<u32, Standing>,
    /// What the records of this input say the state is, to be compared once the next input comes.
    leaves_claimed: BTreeMap<u32, i128>,
    positions_claimed: BTreeMap<Owner, PositionRecord>,
    outputs: BTreeSet<u64>,
    counts: Counts,
    /// `seq` of the last resume that was valid.
    resumed_seq: u64,
    seq: u64,
    tai_ns: u64,
    found: Vec<Finding>,
    /// What people wanted done by hand, by request.
    wishes: BTreeMap<u64, ManualCommand>,
}

impl Audit {
    /// Knows nothing yet: it begins with the first record of a journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was followed so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// `seq` of an operator's last valid resume, or 0: what was found before has been seen by somebody.
    pub fn resumed_seq(&self) -> u64 {
        self.resumed_seq
    }

    /// The next record. What disagrees is in [`take_found`](Self::take_found) then.
    pub fn record(&mut self, header: &RecordHeader, body: &[u8]) {
        let Some(kind) = Kind::from_u16(header.kind) else { return };
        if (kind as u16) < Kind::Order as u16 {
            self.settle_claims();
            self.before.clear();
            (self.told_now, self.broken_now) = (0, false);
        }
        self.seq = header.seq;
        self.tai_ns = header.tai_ns;
        self.counts.records += 1;
        self.counts.last_seq = header.seq;
        self.counts.last_tai_ns = header.tai_ns;
        if kind as u16 >= Kind::Order as u16 {
            self.outputs.insert(header.seq);
            if self.outputs.len() > OUTPUTS_KEPT {
                self.outputs.pop_first();
            }
        }
        let read = match kind {
            Kind::Start => with(body, |start: StartRecord, text| self.on_start(&start, text)),
            Kind::Reconcile => with(body, |record: ReconcileRecord, _| self.on_reconcile(&record)),
            Kind::Command => with(body, |command: Command, _| self.on_command(&command)),
            Kind::SetLimits => SetLimits::of_record(body).map(|command| self.on_set_limits(&command)),
            Kind::Limits => with(body, |claimed: LimitsRecord, _| self.on_limits(&claimed)),
            Kind::Manual => with(body, |wish: ManualCommand, _| self.on_manual(&wish)),
            Kind::ManualOutcome => with(body, |told: ManualRecord, _| self.on_manual_outcome(&told)),
            Kind::Adjustment => with(body, |record: AdjustmentRecord, _| self.on_adjustment(&record)),
            Kind::Conn => with(body, |conn: ConnRecord, _| self.on_conn(&conn)),
            Kind::SessionBytes => with(body, |head: SessionHead, bytes| self.on_bytes(head.conn, bytes)),
            Kind::Trust => with(body, |trust: TrustRecord, _| {
                self.streams.insert(trust.stream, trust.trusted != 0);
            }),
            Kind::InstrumentTrust => with(body, |trust: InstrumentTrustRecord, _| {
                self.untrusted.insert(trust.symbol);
            }),
            Kind::State => with(body, |state: StateRecord, _| self.halted = state.trading == 0),
            Kind::Order => with(body, |order: OrderRecord, _| self.on_order(&order)),
            Kind::Refusal => with(body, |refusal: RefusalRecord, _| self.on_refusal(&refusal)),
            Kind::OrderEvent => with(body, |event: OrderEventRecord, _| self.on_order_event(&event)),
            Kind::Position => with(body, |position: PositionRecord, _| {
                let owner = (position.account, position.strategy, position.symbol);
                self.instruments.insert(position.instrument, position.symbol);
                self.positions_claimed.insert(owner, position);
            }),
            _ => Some(()),
        };
        if read.is_none() {
            self.disagree(Disagreement::RecordUnreadable, 0, 0, body.len() as i128);
        }
    }

    /// The journal ends here: what the last input's records say is compared as well.
    pub fn finish(&mut self) {
        self.settle_claims();
    }

    /// Gives out what was found since the last call.
    pub fn take_found(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    fn disagree(&mut self, what: Disagreement, order: u32, expected: i128, found: i128) {
        self.find(Finding { what, seq: self.seq, tai_ns: self.tai_ns, order, of: None, expected, found });
    }

    /// About a position.
    fn disagree_of(&mut self, what: Disagreement, owner: Owner, expected: i128, found: i128) {
        let of = Some((owner.1, owner.2));
        self.find(Finding { what, seq: self.seq, tai_ns: self.tai_ns, order: 0, of, expected, found });
    }

    fn find(&mut self, finding: Finding) {
        self.counts.disagreements += 1;
        self.found.push(finding);
    }
}

/// Reads a body's fixed part and gives it with the rest; `None` if it is too short.
fn with<T: FromBytes>(body: &[u8], then: impl FnOnce(T, &[u8])) -> Option<()> {
    let (head, rest) = T::read_from_prefix(body).ok()?;
    then(head, rest);
    Some(())
}
