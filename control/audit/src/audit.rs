//! The walk over the records.

use crate::finding::{Disagreement, Finding};
use crate::limits::{InForce, Limits};
use crate::opening;
use crate::orders::{Chain, Life, Orders, Pending, Standing};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tern_abi::command::{Command, CommandKind, SetLimits};
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::{
    ACTION_CANCEL, ACTION_NEW, ACTION_REPLACE, CONN_DOWN, CONN_UP, ConnRecord, InstrumentTrustRecord, Kind,
    LimitsRecord, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader, SessionHead, StartRecord, StateRecord,
    TrustRecord, VenueEventKind,
};
use tern_abi::segment::{ScopeKind, TradingState};
use tern_journal::recovered::run_value;
use tern_soup::{Answer, Answers, Echo, Said};
use zerocopy::FromBytes;

/// A strategy's position: account, strategy, symbol.
pub(crate) type Owner = (u16, u16, [u8; 8]);

const SECOND_NS: u64 = 1_000_000_000;
/// What stands for a price in a cross (OUCH 5.0, 1.2).
const MARKET: i64 = 0x7FFF_FFFF;
/// The least price that stands for it: 200,000.0000.
const MARKET_FROM: u64 = 2_000_000_000;
/// Highest price of a limit order, 199,999.9900 (OUCH 5.0, 1.2).
const PRICE_MAX: i64 = 1_999_999_900;
/// Trades that are remembered, should they be broken: what is older, the venue has long settled.
const TRADES_KEPT: usize = 262_144;
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
    /// Trades that the venue told and did not break: order and match number, signed shares and whose they are.
    trades: BTreeMap<(u32, u64), (i128, Owner)>,
    /// Their keys, oldest first, and whether some were forgotten.
    trades_told: VecDeque<(u32, u64)>,
    trades_forgotten: bool,
    /// Whose position the next record says, and nobody checks.
    believed: BTreeSet<Owner>,
    positions: BTreeMap<Owner, i128>,
    /// What the run says was held when the day began, and what of that is counted in positions.
    opening: BTreeMap<Owner, i128>,
    opened: BTreeMap<Owner, i128>,
    last_order: u32,
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
    positions_claimed: BTreeMap<Owner, i128>,
    outputs: BTreeSet<u64>,
    counts: Counts,
    /// `seq` of the last resume that was valid.
    resumed_seq: u64,
    seq: u64,
    tai_ns: u64,
    found: Vec<Finding>,
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
            Kind::SetLimits => with(body, |command: SetLimits, _| self.on_set_limits(&command)),
            Kind::Limits => with(body, |claimed: LimitsRecord, _| self.on_limits(&claimed)),
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
            Kind::OrderEvent => with(body, |event: OrderEventRecord, _| self.on_order_event(&event)),
            Kind::Position => with(body, |position: PositionRecord, _| {
                let owner = (position.account, position.strategy, position.symbol);
                self.positions_claimed.insert(owner, position.shares.into());
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
        self.counts.disagreements += 1;
        self.found.push(Finding { what, seq: self.seq, tai_ns: self.tai_ns, order, expected, found });
    }

    /// Limits that were tightened, restricted scopes, kills and halts outlive a run.
    fn on_start(&mut self, start: &StartRecord, text: &[u8]) {
        let text = std::str::from_utf8(text).unwrap_or_default();
        // A run that says how far it read the journal holds the venue's log against it before it trades.
        self.unreconciled = run_value(text, "journal_seq").is_some();
        // Runs before that began with the file's limits.
        let before = self.limits.take().filter(|_| self.unreconciled);
        self.limits = InForce::of_configuration(text).map(|limits| limits.tightened_by(before.as_ref()));
        self.opening = opening::of_configuration(text).unwrap_or_default();
        // Before runs did that, a kill was kept by the segment alone, and an end that was asked for ended it.
        self.killed &= self.unreconciled || (start.run > 1 && !self.shutting_down);
        self.sent_ns.clear();
        self.streams.clear();
        self.untrusted.clear();
        self.answers.clear();
        self.fresh_run = true;
        self.doubtful = Some(self.last_order);
        // Until the run says that it trades, or is resumed.
        self.halted = self.unreconciled;
        self.shutting_down = false;
    }

    fn on_command(&mut self, command: &Command) {
        match CommandKind::from_u32(command.kind) {
            Some(CommandKind::Kill) => self.killed = true,
            Some(CommandKind::Shutdown) => self.shutting_down = true,
            Some(CommandKind::Resume) if command.resumes() => {
                self.killed = false;
                self.resumed_seq = self.seq;
                self.halted = self.shutting_down;
            }
            Some(CommandKind::SetState) => {
                if let Some((kind, key, state)) = command.scope_state() {
                    self.scopes.insert((kind, key), state);
                }
            }
            Some(CommandKind::SetLimit) => {
                if let Some(limits) = &mut self.limits {
                    limits.set(command);
                    // What was sent before was sent under another rate.
                    if matches!(command.id, 5 | 6) {
                        self.sent_ns.clear();
                    }
                }
            }
            _ => {}
        }
    }

    /// The outcome of the comparison after a restart, or an operator's word on it.
    fn on_reconcile(&mut self, record: &ReconcileRecord) {
        match Difference::from_index(record.difference as usize) {
            Some(Difference::Done) if record.ours == 0 => self.unreconciled = false,
            Some(Difference::Accepted) => self.unreconciled = false,
            _ => {}
        }
    }

    fn on_set_limits(&mut self, command: &SetLimits) {
        let Some(limits) = &mut self.limits else { return };
        let before = limits.rate();
        if limits.set_all(command) && before != limits.rate() {
            // What was sent before was sent under another rate.
            self.sent_ns.clear();
        }
    }

    /// The epoch in force after a command, as the loop says it.
    fn on_limits(&mut self, claimed: &LimitsRecord) {
        let ought = self.limits.as_ref().map(InForce::epoch);
        if let Some(epoch) = ought.filter(|epoch| *epoch != claimed.epoch) {
            self.disagree(Disagreement::LimitsEpoch, 0, epoch.into(), claimed.epoch.into());
        }
    }

    fn on_conn(&mut self, conn: &ConnRecord) {
        match conn.event {
            CONN_UP => {
                self.connections += 1;
                self.answers.insert(conn.conn, Answers::default());
            }
            CONN_DOWN => {
                self.answers.remove(&conn.conn);
                self.doubtful = Some(self.last_order);
            }
            _ => {}
        }
    }

    fn on_bytes(&mut self, conn: u32, bytes: &[u8]) {
        let mut said = Vec::new();
        self.answers.entry(conn).or_default().take(bytes, &mut said);
        for answer in said {
            match answer {
                Answer::Login { session, .. } => self.on_login(session),
                Answer::Message { seq, said } if seq > self.told_seq => {
                    self.told_seq = seq;
                    self.counts.answers += 1;
                    if let Some(said) = said {
                        self.on_said(said);
                    }
                }
                // The log is told again: what it says is known.
                Answer::Message { .. } | Answer::Refused(_) | Answer::End => {}
            }
        }
    }

    /// Another session in a new run is another day: ids and orders begin anew. Within a run the data plane stops instead.
    fn on_login(&mut self, session: [u8; 10]) {
        if self.session != Some(session) {
            self.told_seq = 0;
            if self.fresh_run && self.session.is_some() {
                self.orders = Orders::default();
                self.trades.clear();
                self.trades_told.clear();
                self.trades_forgotten = false;
                self.positions.clear();
                self.opened.clear();
                self.last_order = 0;
                self.doubtful = None;
            }
            self.session = Some(session);
        }
        if std::mem::take(&mut self.fresh_run) {
            self.open_day();
        }
    }

    /// What was held when the day began counts as the run says it: one that was restarted with another file may do so once
    /// an operator accepted the difference.
    fn open_day(&mut self) {
        let opening = std::mem::take(&mut self.opening);
        for (owner, shares) in std::mem::replace(&mut self.opened, opening.clone()) {
            self.traded(owner, -shares);
        }
        for (owner, shares) in opening {
            self.traded(owner, shares);
        }
    }

    /// Whether an order may be sent at all now.
    fn check_moment(&mut self, order: &OrderRecord) {
        if self.killed || self.shutting_down {
            self.disagree(Disagreement::AfterKill, order.order, 0, 1);
        } else if self.halted {
            self.disagree(Disagreement::AfterHalt, order.order, 0, 1);
        }
        if self.unreconciled {
            self.disagree(Disagreement::Unreconciled, order.order, 0, 1);
        }
        let of_order = [
            (ScopeKind::Firm, 0),
            (ScopeKind::Venue, u64::from(order.venue)),
            (ScopeKind::Strategy, u64::from(order.strategy)),
            (ScopeKind::Symbol, u64::from_le_bytes(order.symbol)),
        ];
        let stops = |state: &TradingState| matches!(state, TradingState::CancelOnly | TradingState::Halted);
        if of_order.iter().any(|scope| self.scopes.get(scope).is_some_and(stops)) {
            self.disagree(Disagreement::ScopeStopped, order.order, 0, 1);
        }
        if !self.streams.is_empty() && self.streams.values().all(|trusted| !trusted) {
            self.disagree(Disagreement::UntrustedStream, order.order, 1, 0);
        }
        if self.untrusted.contains(&order.symbol) {
            self.disagree(Disagreement::UntrustedBook, order.order, 1, 0);
        }
        if order.order <= self.last_order {
            self.disagree(Disagreement::IdReused, order.order, i128::from(self.last_order) + 1, order.order.into());
        }
        self.last_order = self.last_order.max(order.order);
        if order.side != SIDE_BUY && order.side != SIDE_SELL {
            self.disagree(Disagreement::OrderSide, order.order, SIDE_BUY.into(), order.side.into());
        }
        let is_market = order.price == MARKET && cross_of(order.time_in_force) != b'N';
        if !(1..=PRICE_MAX).contains(&order.price) && !is_market {
            self.disagree(Disagreement::OrderPrice, order.order, PRICE_MAX.into(), order.price.into());
        }
    }

    /// Of a replace, `standing` is what the order may have stood for when it was approved: a limit set below that does not
    /// keep it from being made smaller. It is wrong only if it is wrong for all of them.
    fn check_size(&mut self, limits: &Limits, order: &OrderRecord, standing: &[Standing]) {
        let shares = |of: &Standing| i128::from(order.quantity) - of.executed;
        let beyond = |of: &Standing| (of.shares.max(limits.order_quantity_max.into()), shares(of));
        let beyond_value =
            |of: &Standing| (of.value.max(limits.order_notional_max.into()), i128::from(order.price) * shares(of));
        let worst = |pairs: Vec<(i128, i128)>| pairs.into_iter().min_by_key(|(max, found)| found - max);
        if let Some((max, found)) = worst(standing.iter().map(beyond).collect())
            && (found > max || order.quantity == 0)
        {
            self.disagree(Disagreement::OrderQuantity, order.order, max, found);
        }
        // What a market order is worth depends on the collar, which is not recomputed.
        if let Some((max, found)) = worst(standing.iter().map(beyond_value).collect())
            && order.price != MARKET
            && found > max
        {
            self.disagree(Disagreement::OrderNotional, order.order, max, found);
        }
    }

    /// No second has more orders than rate and burst together, however the bucket is made; one more at its edge.
    fn check_rate(&mut self, limits: &Limits, order: u32) {
        self.sent_ns.push_back(self.tai_ns);
        while self.sent_ns.front().is_some_and(|sent| self.tai_ns.saturating_sub(*sent) >= SECOND_NS) {
            self.sent_ns.pop_front();
        }
        let max = i128::from(limits.orders_per_second_max) + i128::from(limits.order_burst_max) + 1;
        if self.sent_ns.len() as i128 > max {
            self.disagree(Disagreement::Rate, order, max, self.sent_ns.len() as i128);
        }
    }

    fn check_position(&mut self, limits: &Limits, order: &OrderRecord, is_buy: bool) {
        let worst = self.orders.stake(order.symbol).worst(is_buy);
        if worst > limits.position_max.into() {
            self.disagree(Disagreement::Position, order.order, limits.position_max.into(), worst);
        }
        let own = self.orders.own((order.account, order.strategy, order.symbol)).worst(is_buy);
        if own > limits.strategy_position_max.into() {
            self.disagree(Disagreement::StrategyPosition, order.order, limits.strategy_position_max.into(), own);
        }
    }

    fn on_order(&mut self, order: &OrderRecord) {
        self.counts.orders += 1;
        if order.cause_seq == 0 || order.cause_seq >= self.seq || self.outputs.contains(&order.cause_seq) {
            self.disagree(Disagreement::Cause, order.order, i128::from(self.seq) - 1, order.cause_seq.into());
        }
        if order.action == ACTION_CANCEL {
            if self.orders.get(order.order).is_none() {
                self.disagree(Disagreement::ReplaceUnknown, order.order, 0, order.order.into());
            }
            return;
        }
        let Some(limits) = self.limits.as_ref().map(|limits| limits.of(order.symbol, order.strategy)) else {
            self.disagree(Disagreement::NoLimits, order.order, 0, 0);
            return;
        };
        if order.limits_epoch != limits.epoch {
            self.disagree(Disagreement::LimitsEpoch, order.order, limits.epoch.into(), order.limits_epoch.into());
        }
        let is_reused = order.order <= self.last_order;
        self.check_moment(order);
        self.check_rate(&limits, order.order);
        match order.action {
            ACTION_NEW => self.on_new(&limits, order, is_reused),
            ACTION_REPLACE => self.on_replace(&limits, order),
            other => self.disagree(Disagreement::RecordUnreadable, order.order, ACTION_NEW.into(), other.into()),
        }
    }

    fn on_new(&mut self, limits: &Limits, order: &OrderRecord, is_reused: bool) {
        self.check_size(limits, order, &[Standing::default()]);
        if is_reused && self.orders.get(order.order).is_some() {
            // What the id stood for stays: the venue ignores the second.
            return;
        }
        let is_buy = order.side == SIDE_BUY;
        self.orders.insert(Chain {
            id: order.order,
            symbol: order.symbol,
            is_buy,
            strategy: (order.account, order.strategy),
            cross: cross_of(order.time_in_force),
            price: order.price,
            total: order.quantity.into(),
            executed: 0,
            leaves: order.quantity.into(),
            life: Life::New,
            pending: None,
            unsent_on: None,
        });
        self.check_position(limits, order, is_buy);
        let open = self.orders.open();
        if open > limits.open_orders_max.into() {
            self.disagree(Disagreement::OpenOrders, order.order, limits.open_orders_max.into(), open);
        }
    }

    fn on_replace(&mut self, limits: &Limits, order: &OrderRecord) {
        let is_buy = order.side == SIDE_BUY;
        let Some(chain) = self.orders.get(order.replaces) else {
            self.disagree(Disagreement::ReplaceUnknown, order.order, 0, order.replaces.into());
            return;
        };
        // Over is no disagreement: it may have ended in the very bytes of which the strategy saw the first message.
        let (before, now, same) =
            (chain.at_risk(), chain.standing(), chain.symbol == order.symbol && chain.is_buy == is_buy);
        let standing = [self.before.get(&chain.id).copied().unwrap_or(now), now];
        if !same {
            self.disagree(Disagreement::ReplaceUnlike, order.order, 0, order.replaces.into());
            return;
        }
        self.check_size(limits, order, &standing);
        let after = self.orders.change(order.replaces, |chain| {
            chain.pending = Some(Pending { order: order.order, price: order.price, total: order.quantity.into() });
            chain.at_risk()
        });
        // One that adds no share is a way out, whatever the position is.
        if after.is_some_and(|after| after > before) {
            self.check_position(limits, order, is_buy);
        }
    }

    /// Core's word that an order, or its replace, never left or never arrived: it has no place in the venue's log.
    fn on_order_event(&mut self, event: &OrderEventRecord) {
        // By the chain: one input may tell of an order under its old id and then under its new one. An event that is about
        // none of the orders that the data plane still has (a trade broken under an id that was replaced since) claims nothing.
        if event.state != u8::MAX {
            let chain = self.orders.get(event.order).map_or(event.order, |chain| chain.id);
            self.leaves_claimed.insert(chain, event.leaves.into());
        }
        // That the venue does not answer says nothing of what it has.
        if event.session_seq != 0 || event.kind == VenueEventKind::Unanswered as u8 {
            return;
        }
        let connections = self.connections;
        self.orders.change(event.order, |chain| match chain.pending.take() {
            Some(pending) => chain.unsent_on = Some((pending.order, connections)),
            None if event.leaves == 0 && chain.life == Life::New => {
                chain.unsent_on = Some((chain.id, connections));
                chain.life = Life::Over;
            }
            None => {}
        });
    }

    /// Between two inputs everything that one caused is recorded, and the claims are to be true.
    fn settle_claims(&mut self) {
        let replaying = self.doubtful.is_some();
        for (order, claimed) in std::mem::take(&mut self.leaves_claimed) {
            let Some(chain) = self.orders.get(order).filter(|_| !replaying) else { continue };
            let leaves = if chain.life == Life::Over { 0 } else { chain.leaves };
            if leaves != claimed {
                self.disagree(Disagreement::LeavesClaim, order, leaves, claimed);
            }
        }
        for (owner, claimed) in std::mem::take(&mut self.positions_claimed) {
            let shares = self.positions.get(&owner).copied().unwrap_or(0);
            if self.believed.remove(&owner) {
                self.traded(owner, claimed - shares);
                continue;
            }
            if !replaying && shares != claimed {
                self.disagree(Disagreement::PositionClaim, 0, shares, claimed);
            }
        }
    }

    fn on_said(&mut self, said: Said) {
        if let Some(chain) = said.order().and_then(|order| self.orders.get(order)) {
            self.before.entry(chain.id).or_insert_with(|| chain.standing());
        }
        match said {
            Said::Accepted(echo) => self.on_accepted(&echo),
            Said::Replaced { previous, echo } => self.on_replaced(previous, &echo),
            Said::Executed { order, shares, match_number, .. } => self.on_executed(order, shares.into(), match_number),
            Said::Broken { order, match_number } => match self.trades.remove(&(order, match_number)) {
                Some((shares, owner)) => self.traded(owner, -shares),
                None => self.on_unknown_break(order, match_number),
            },
            Said::Canceled { order, shares } => self.on_open(order, |chain| chain.leaves -= i128::from(shares)),
            Said::Modified { order, shares } => self.on_open(order, |chain| chain.leaves = shares.into()),
            Said::Rejected { order } => self.on_open(order, |chain| match chain.pending {
                Some(pending) if pending.order == order => chain.pending = None,
                _ if chain.life == Life::New => chain.life = Life::Over,
                _ => {}
            }),
            Said::Other { order } => self.on_open(order, |_| ()),
            Said::Query => {
                if let Some(last) = self.doubtful.take() {
                    self.orders.give_up_unanswered(last);
                }
            }
        }
    }

    /// Does `change` to an order of ours, which is over once nothing is open.
    fn on_open(&mut self, order: u32, change: impl FnOnce(&mut Chain)) {
        let known = self.orders.change(order, |chain| {
            if chain.life != Life::Over {
                change(chain);
                if chain.leaves <= 0 {
                    chain.life = Life::Over;
                }
            }
        });
        if known.is_none() {
            self.disagree(Disagreement::NoRecord, order, 0, order.into());
        }
    }

    /// What an echo has in common with the record of its order; `price` is the record's.
    fn check_echo(&mut self, echo: &Echo, chain: &Chain, price: i64) {
        if echo.is_buy != chain.is_buy {
            self.disagree(Disagreement::EchoSide, echo.order, chain.is_buy.into(), echo.is_buy.into());
        }
        if echo.symbol != chain.symbol {
            let number = |symbol: [u8; 8]| i128::from(u64::from_be_bytes(symbol));
            self.disagree(Disagreement::EchoSymbol, echo.order, number(chain.symbol), number(echo.symbol));
        }
        // Either number that says market (1.2).
        let echoed = if echo.price >= MARKET_FROM { i128::from(MARKET) } else { i128::from(echo.price) };
        let recorded = i128::from(price);
        if if chain.is_buy { echoed > recorded } else { echoed < recorded } {
            self.disagree(Disagreement::EchoPrice, echo.order, recorded, echoed);
        }
        if chain.unsent_on == Some((echo.order, self.connections)) {
            self.disagree(Disagreement::LeftAfterAll, echo.order, 0, echo.order.into());
        }
    }

    fn on_accepted(&mut self, echo: &Echo) {
        let Some(chain) = self.orders.get(echo.order).cloned() else {
            self.disagree(Disagreement::NoRecord, echo.order, 0, echo.order.into());
            return;
        };
        self.check_echo(echo, &chain, chain.price);
        if echo.cross != chain.cross {
            self.disagree(Disagreement::EchoCross, echo.order, chain.cross.into(), echo.cross.into());
        }
        if i128::from(echo.shares) != chain.total {
            self.disagree(Disagreement::EchoQuantity, echo.order, chain.total, echo.shares.into());
        }
        self.orders.change(echo.order, |chain| {
            chain.life = if echo.is_live { Life::Live } else { Life::Over };
            chain.leaves = i128::from(echo.shares) - chain.executed;
        });
    }

    fn on_replaced(&mut self, previous: u32, echo: &Echo) {
        let Some(chain) = self.orders.get(echo.order).cloned() else {
            self.disagree(Disagreement::NoRecord, echo.order, 0, echo.order.into());
            return;
        };
        if self.orders.get(previous).map(|chain| chain.id) != Some(chain.id) {
            self.disagree(Disagreement::ReplaceChain, echo.order, chain.id.into(), previous.into());
        }
        // One that was given up leaves nothing to compare with but what stays the same over the chain.
        let pending = chain.pending.filter(|pending| pending.order == echo.order);
        self.check_echo(
            echo,
            &chain,
            pending.map_or(i64::from(u8::from(chain.is_buy)) * i64::MAX, |pending| pending.price),
        );
        let total = chain.executed + i128::from(echo.shares);
        if let Some(pending) = pending.filter(|pending| pending.total != total) {
            self.disagree(Disagreement::ReplaceTotal, echo.order, pending.total, total);
        }
        self.orders.change(echo.order, |chain| {
            chain.pending = None;
            chain.price = i64::try_from(echo.price).unwrap_or(i64::MAX);
            chain.total = total;
            chain.leaves = echo.shares.into();
            chain.life = if echo.is_live { Life::Live } else { Life::Over };
        });
    }

    fn on_executed(&mut self, order: u32, shares: i128, match_number: u64) {
        if self.trades.contains_key(&(order, match_number)) {
            return;
        }
        let Some((leaves, owner, signed)) = self.orders.change(order, |chain| {
            let leaves = if chain.life == Life::Over { 0 } else { chain.leaves };
            chain.executed += shares;
            chain.leaves = (leaves - shares).max(0);
            if chain.leaves == 0 {
                chain.life = Life::Over;
            }
            let (account, strategy) = chain.strategy;
            (leaves, (account, strategy, chain.symbol), if chain.is_buy { shares } else { -shares })
        }) else {
            self.disagree(Disagreement::NoRecord, order, 0, order.into());
            return;
        };
        if shares > leaves {
            self.disagree(Disagreement::OverExecution, order, leaves, shares);
        }
        self.trades.insert((order, match_number), (signed, owner));
        self.trades_told.push_back((order, match_number));
        if self.trades_told.len() > TRADES_KEPT
            && let Some(oldest) = self.trades_told.pop_front()
        {
            self.trades.remove(&oldest);
            self.trades_forgotten = true;
        }
        self.counts.trades_kept = self.trades.len() as u64;
        self.traded(owner, signed);
    }

    /// A trade that was told so long ago that it is forgotten: how many shares it had, the record of the position says.
    fn on_unknown_break(&mut self, order: u32, match_number: u64) {
        let owner = self.orders.get(order).map(|chain| (chain.strategy.0, chain.strategy.1, chain.symbol));
        match owner.filter(|_| self.trades_forgotten) {
            Some(owner) => {
                self.counts.breaks_believed += 1;
                self.believed.insert(owner);
            }
            None => self.disagree(Disagreement::UnknownBreak, order, 0, match_number.into()),
        }
    }

    fn traded(&mut self, owner: Owner, shares: i128) {
        self.orders.traded(owner, shares);
        *self.positions.entry(owner).or_default() += shares;
    }
}

/// The cross type (OUCH 5.0, 2.1) of a time in force as records have it.
const fn cross_of(time_in_force: u8) -> u8 {
    match time_in_force {
        b'2' => b'O',
        b'7' => b'C',
        _ => b'N',
    }
}

/// Reads a body's fixed part and gives it with the rest; `None` if it is too short.
fn with<T: FromBytes>(body: &[u8], then: impl FnOnce(T, &[u8])) -> Option<()> {
    let (head, rest) = T::read_from_prefix(body).ok()?;
    then(head, rest);
    Some(())
}
