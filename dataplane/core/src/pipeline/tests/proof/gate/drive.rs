//! One episode: a fresh pipeline and a fresh model, the same random steps for both, compared after each.

use super::firm::{Fault, Firm, INSTRUMENTS, Num, OWNERS, Outcome, SIDES};
use super::known::Life;
use super::steps::{Failing, Step};
use crate::book::{Books, BooksMemory, Capacity, Instruments, InstrumentsMemory};
use crate::input::{ConnEvent, Input};
use crate::pipeline::{Config, Pipeline, StrategyConfig};
use crate::probe::{NoProbe, NotIsolated};
use crate::risk::{LimitId, Reason, Refusal, StrategyStop};
use crate::session::OrderAction;
use crate::strategy::Intent;
use crate::testing::{CONN, FakeFeed, FakeSession, Lines, Rig, STREAM, Script, VecRecorder, payload, venue_bytes};
use crate::units::{InstrumentId, LineId, OrderId, Side, Stamp, StrategyId, TaiNs, TraderId};
use std::format;
use std::string::String;
use std::vec::Vec;
use tern_abi::command::LimitsOutcome;
use tern_abi::event::BookEvent;
use tern_abi::manual::{ManualOutcome, ManualRecord};
use tern_abi::record::{ACTION_CANCEL, ACTION_NEW, Kind, LimitsRecord, OrderRecord, RefusalRecord};
use zerocopy::FromBytes;

/// [`OrderRecord::flags`]: sent by the system.
const FLAG_SYSTEM: u8 = 2;
/// [`OrderRecord::flags`]: marked short.
const FLAG_SHORT: u8 = 4;

/// When an episode begins: far from where the ticks of the reference wrap.
pub(super) const START: TaiNs = TaiNs(1_795_305_600_000_000_000);

type Both = (Script, Script);

/// The gate and its model, side by side.
pub(super) struct Pair {
    rig: Rig<Both>,
    lines: [Lines; 2],
    pub(super) firm: Firm,
}

/// A bench with tables no larger than an episode needs.
fn rig(config: &Config) -> (Rig<Both>, [Lines; 2]) {
    let scripts = (Script::default(), Script::default());
    let lines = [scripts.0.lines.clone(), scripts.1.lines.clone()];
    let capacity = Capacity { instruments: INSTRUMENTS, orders: 64, levels: 64 };
    let configs = [1, 2].map(|id| StrategyConfig { id: StrategyId(id), trader: TraderId(id + 70) });
    let mut feed = FakeFeed::default();
    feed.instruments = INSTRUMENTS as u32;
    let directory = Instruments::new(InstrumentsMemory::new(INSTRUMENTS));
    let books = Books::new(BooksMemory::new(capacity));
    let parts = (feed, FakeSession::default(), scripts);
    let pipeline = Pipeline::new(config.clone(), &configs, parts, directory, books).expect("a valid configuration");
    let rig = Rig { pipeline, rec: VecRecorder::default(), now: START, session_seq: 0 };
    (rig, lines)
}

impl Pair {
    pub(super) fn new(config: &Config, fault: Option<Fault>) -> Self {
        let (rig, lines) = rig(config);
        let firm = Firm { now: rig.now.0, fault, ..Firm::new(config) };
        Self { rig, lines, firm }
    }

    fn input(&mut self, input: Input<'_>) {
        self.firm.begin();
        let Rig { pipeline, rec, now, .. } = &mut self.rig;
        pipeline.on_input(*now, input, rec, &mut NoProbe, &mut NotIsolated).expect("the input is recorded");
    }

    /// Gives a step to both.
    pub(super) fn take(&mut self, step: &Step) {
        self.rig.rec.records.clear();
        self.firm.out.clear();
        match step {
            Step::Wait(ns) => {
                self.rig.now = self.rig.now.plus(*ns);
                self.firm.now = self.rig.now.0;
            }
            Step::HandOver(bytes) => {
                self.rig.pipeline.order_bytes_sent(CONN, *bytes);
                self.firm.sent(*bytes);
            }
            Step::RingRoom(room) => {
                self.rig.rec.room = *room;
                self.firm.ring_room_next = *room;
            }
            Step::Timer { intents, failing } => {
                self.fail(*failing);
                self.lines(intents);
                self.input(Input::Timer);
                self.act(intents, 0);
                self.fail(Failing::Nothing);
            }
            Step::Datagram { events, distrust, age_ns, intents } => {
                let told: Vec<BookEvent> = events.iter().map(|event| self.firm.misprinted(event)).collect();
                let payload = payload(*distrust, &told);
                let arrival = TaiNs(self.rig.now.0.saturating_sub(*age_ns));
                let at = Stamp { seen: self.rig.now, arrival, nic: None };
                self.lines(intents);
                self.input(Input::Datagram { stream: STREAM, line: LineId(0), at, backlog: 0, payload: &payload });
                self.firm.watch(events, distrust.is_none());
                self.act(intents, self.rig.now.since(arrival));
            }
            Step::Venue(event) => {
                let bytes = venue_bytes(&self.firm.misheard(event));
                self.input(Input::Session { conn: CONN, bytes: &bytes });
                self.firm.hear(event);
                self.firm.end();
            }
            Step::Command(command) => {
                self.input(Input::Command(command));
                self.firm.command(command);
                self.firm.end();
            }
            Step::SetLimits(limits) => {
                self.input(Input::SetLimits(limits));
                self.firm.set_limits(limits);
                self.firm.end();
            }
            Step::Manual(wish) => {
                self.input(Input::Manual(wish));
                self.firm.by_hand(wish);
                self.firm.end();
            }
            Step::Conn(event) => {
                self.input(Input::Conn { conn: CONN, event: *event });
                match event {
                    ConnEvent::Down(_) => self.firm.connection_lost(),
                    ConnEvent::Up => self.firm.caught_up = false,
                    ConnEvent::Room(bytes) => self.firm.room_bytes = *bytes,
                    _ => {}
                }
                self.firm.end();
            }
        }
    }

    fn fail(&mut self, failing: Failing) {
        self.rig.rec.refuse = (failing == Failing::Record).then_some(Kind::Order);
        self.rig.pipeline.session_mut().refuse = (failing == Failing::Encode).then_some(super::acts::ENCODE_ERROR);
        self.firm.record_fails = failing == Failing::Record;
        self.firm.encode_fails = failing == Failing::Encode;
    }

    fn lines(&mut self, intents: &[(usize, Intent)]) {
        intents.iter().for_each(|(owner, intent)| self.lines[*owner].borrow_mut().push_back(*intent));
    }

    /// What the strategies said, one after the other.
    fn act(&mut self, intents: &[(usize, Intent)], age_ns: u64) {
        for owner in 0..2 {
            for (_, intent) in intents.iter().filter(|said| said.0 == owner) {
                self.firm.act(owner, intent, age_ns);
            }
        }
        self.firm.end();
    }

    /// What the gate says without doing it.
    pub(super) fn check(&self, owner: usize, intent: &Intent) -> Result<(), Reason> {
        self.rig.pipeline.check_intent(self.rig.now, owner, 0, intent)
    }

    /// Everything that decides what the gate says next, but the books.
    pub(super) fn gate_state(&self) -> String {
        let desk = self.rig.pipeline.desk();
        let gate = desk.gate();
        let ids = desk.ids.next();
        format!("{:?} {:?} {:?} {ids} {:x}", gate.rate(), gate.exposures(), gate.stake(), desk.state_hash())
    }

    /// The differences between the two, if there are any.
    pub(super) fn compare(&self) -> Result<(), String> {
        self.compare_outcomes()?;
        self.compare_sums()?;
        self.compare_orders()
    }

    fn compare_outcomes(&self) -> Result<(), String> {
        let got: Vec<Outcome> =
            self.rig.rec.records.iter().filter_map(|(_, kind, body)| outcome(*kind, body)).collect();
        let is_recorded = |said: &&Outcome| self.firm.ring_room || !matches!(said, Outcome::Refused(_));
        let expected: Vec<Outcome> = self.firm.out.iter().filter(is_recorded).copied().collect();
        same("what came of it", &got, &expected)?;
        same("refusals by reason", &&self.rig.pipeline.desk().refusals()[..], &&self.firm.refusals[..])
    }

    fn compare_sums(&self) -> Result<(), String> {
        let desk = self.rig.pipeline.desk();
        let (gate, firm) = (desk.gate(), &self.firm);
        same("halt", &gate.halt(), &firm.halt)?;
        let bounds: Vec<Num> = LimitId::ALL.iter().map(|id| gate.limits().get(*id).into()).collect();
        same("limits", &(bounds, gate.limits().epoch), &(firm.bounds.clone(), firm.epoch))?;
        same("messages of the day", &gate.messages().into(), &firm.day)?;
        for owner in 0..OWNERS {
            let is_throttled = gate.scopes().stopped_for(StrategyStop::Executions) & 1 << owner != 0;
            same("stopped for its executions", &is_throttled, &firm.throttled[owner])?;
            let has_lost = gate.scopes().stopped_for(StrategyStop::Loss) & 1 << owner != 0;
            same("stopped for its loss", &has_lost, &firm.lost[owner])?;
        }
        same("next id", &desk.ids.next(), &firm.next_id)?;
        // The first of three words of an instrument has the reference in its upper half.
        let references: Vec<Num> = gate.sight_words().step_by(3).map(|word| Num::from(word >> 32)).collect();
        for (instrument, exposure) in gate.exposures().iter().enumerate() {
            same("reference", &references[instrument], &firm.followed(instrument).unwrap_or(0))?;
            same("price that counts", &exposure.valued_at().into(), &firm.values[instrument])?;
            same("position", &exposure.position().into(), &firm.position(instrument))?;
            for side in SIDES {
                same("open shares", &exposure.open(side).into(), &firm.open_of(Some(instrument), side).0)?;
            }
        }
        let stake = gate.stake();
        for side in SIDES {
            same("net", &stake.net(side).into(), &firm.net(side))?;
        }
        same("gross", &stake.gross().into(), &firm.gross())?;
        same("realized", &stake.realized().into(), &firm.realized())?;
        same("profit", &stake.profit().into(), &firm.profit())?;
        same("drawdown", &stake.drawdown().into(), &firm.drawdown())?;
        for owner in 0..OWNERS {
            let stake = gate.owner_stake(owner).expect("every owner has one");
            same("gross of an owner", &stake.gross().into(), &firm.gross_of(owner))?;
            same("profit of an owner", &stake.profit().into(), &firm.profit_of(owner))?;
            for side in SIDES {
                same("net of an owner", &stake.net(side).into(), &firm.net_of(owner, side))?;
            }
            for instrument in 0..INSTRUMENTS {
                let held = desk.portfolio().position(owner, InstrumentId(instrument as u32));
                let expected = firm.held[owner][instrument];
                let got: [Num; 3] = [held.shares.into(), held.cash.into(), held.cost.into()];
                same("holding", &got, &[expected.shares, expected.cash, expected.cost])?;
            }
        }
        Ok(())
    }

    fn compare_orders(&self) -> Result<(), String> {
        let (orders, firm) = (&self.rig.pipeline.desk().orders, &self.firm);
        let open = firm.open();
        same("open orders", &(orders.open_count() as usize), &open.len())?;
        for (got, at) in orders.open().zip(open) {
            let known = &firm.orders[at];
            let pending = known.pending.map_or((0, 0), |pending| (pending.id, pending.total));
            same("id", &(got.id.0, got.owner as usize, got.side), &(known.id, known.owner, known.side))?;
            same("replace", &(got.pending.0, Num::from(got.pending_total)), &pending)?;
            same(
                "cancel",
                &(got.cancel_sent.0, got.cancel_wanted),
                &(known.cancel_sent.unwrap_or(0), known.cancel_wanted),
            )?;
            same("price", &got.price.0.into(), &known.price)?;
            same("shares", &[got.leaves, got.executed].map(Num::from), &[known.leaves, known.executed])?;
            same("new", &matches!(got.life, crate::orders::Life::New), &(known.life == Life::New))?;
        }
        Ok(())
    }
}

fn same<T: PartialEq + core::fmt::Debug>(what: &str, gate: &T, model: &T) -> Result<(), String> {
    if gate == model { Ok(()) } else { Err(format!("{what}: the gate has {gate:?}, the model {model:?}")) }
}

/// A record as the outcome that it tells.
fn outcome(kind: Kind, body: &[u8]) -> Option<Outcome> {
    match kind {
        Kind::Order => {
            let record = OrderRecord::read_from_bytes(body).expect("an order's record");
            let (order, previous) = (OrderId(record.order), OrderId(record.replaces));
            let action = match record.action {
                ACTION_NEW => OrderAction::New { order },
                ACTION_CANCEL => OrderAction::Cancel { order },
                _ => OrderAction::Replace { previous, order },
            };
            Some(Outcome::Sent {
                action,
                price: record.price.into(),
                quantity: record.quantity.into(),
                side: Side::from_u8(record.side).expect("a side"),
                short: record.flags & FLAG_SHORT != 0,
                system: record.flags & FLAG_SYSTEM != 0,
            })
        }
        Kind::Refusal => {
            let record = RefusalRecord::read_from_bytes(body).expect("a refusal's record");
            let reason = Reason::from_index(record.reason as usize).expect("a reason");
            Some(Outcome::Refused(Refusal { reason, limit: record.limit, value: record.value }))
        }
        Kind::Limits => {
            let record = LimitsRecord::read_from_bytes(body).expect("what came of limits");
            let outcome = LimitsOutcome::from_index(record.outcome as usize).expect("an outcome");
            Some(Outcome::Limits(record.epoch, outcome))
        }
        Kind::ManualOutcome => {
            let record = ManualRecord::read_from_bytes(body).expect("what came of a wish");
            let outcome = ManualOutcome::from_index(record.outcome as usize).expect("an outcome");
            let reason = record.reason.checked_sub(1).and_then(|reason| Reason::from_index(reason as usize));
            let refusal = reason.map(|reason| Refusal { reason, limit: record.limit, value: record.value });
            Some(Outcome::ByHand(outcome, refusal, record.value.into()))
        }
        _ => None,
    }
}
