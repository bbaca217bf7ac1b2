//! A crash anywhere: one seeded day, killed at every record of its journal and at random instants between, restarted from
//! what the journal held, and compared with the exchange.
//!
//! `TERN_SEED` repeats a run.

mod exchange;
mod node;

use exchange::{Exchange, SYMBOLS};
use node::{Node, Record};
use std::collections::BTreeSet;
use tern_abi::command::CommandKind;
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::{ACTION_CANCEL, Kind, OrderRecord};
use tern_core::pipeline::AfterRestart;
use tern_core::risk::HaltReason;
use tern_core::units::{Side, Symbol};
use tern_journal::recovered::Recovered;
use tern_sim::log::Outcome;
use tern_sim::rng::Rng;
use zerocopy::FromBytes;

/// Steps of the day before it is over.
const STEPS: usize = 1500;
/// Points beside the records' boundaries, so that there are a thousand at least.
const INSTANTS: usize = 600;
const POINTS_MIN: usize = 1000;

fn seed() -> u64 {
    match std::env::var("TERN_SEED") {
        Ok(text) => text.parse().expect("TERN_SEED is a number"),
        Err(_) => std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64),
    }
}

/// Where a day is cut off.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// Records that are published; the process dies at the last of them.
    records: usize,
    /// Steps that are done.
    steps: usize,
    /// Of the published records, the newest that a power cut takes along; the segment with them.
    lost: usize,
    /// For what is drawn after the crash.
    seed: u64,
}

/// The day up to a point: both sides as the crash left them.
fn run(seed: u64, point: &Point) -> (Node, Exchange) {
    let mut exchange = Exchange::new(seed);
    let mut node = Node::begin(seed, &[], 0, AfterRestart::Operator, point.records);
    let mut rng = Rng::new(seed);
    node.connect(&mut exchange);
    for _ in 0..point.steps {
        if node.journal.is_dead() {
            break;
        }
        node.step(&mut exchange, &mut rng);
    }
    (node, exchange)
}

fn fold(records: &[Record]) -> Recovered {
    let mut journal = Recovered::default();
    records.iter().for_each(|(header, body)| journal.apply(header, body));
    journal
}

fn found(node: &Node, from: usize) -> Vec<ReconcileRecord> {
    let of_kind = node.journal.records[from..].iter().filter(|(header, _)| header.kind == Kind::Reconcile as u16);
    of_kind.map(|(_, body)| ReconcileRecord::read_from_bytes(body).expect("the kind's layout")).collect()
}

fn orders(node: &Node, from: usize) -> Vec<OrderRecord> {
    let of_kind = node.journal.records[from..].iter().filter(|(header, _)| header.kind == Kind::Order as u16);
    of_kind.map(|(_, body)| OrderRecord::read_from_bytes(body).expect("the kind's layout")).collect()
}

/// What the gate counts is at least what the exchange has: position and open orders, each side in its worst case. What
/// the exchange broke and we have not heard of yet is left out.
fn assert_exposure(node: &Node, exchange: &Exchange, what: &Point) {
    let desk = node.pipeline.desk();
    let account = &exchange.engine.accounts[0];
    if desk.executions().iter().filter(|execution| execution.broken).count() as u64 != account.breaks {
        return;
    }
    for (locate, name) in (1..).zip(SYMBOLS) {
        let symbol = Symbol::new(std::str::from_utf8(name).expect("ASCII")).expect("short");
        let Some(instrument) = desk.instruments().get(symbol) else { continue };
        let exposure = &desk.gate().exposures()[instrument.index()];
        let traded = account.holdings.get(&locate).map_or(0, |holding| holding.position);
        let position = traded + opened(symbol).0;
        for side in [Side::Buy, Side::Sell] {
            let is_buy = side == Side::Buy;
            let open: i64 = (account.orders.values())
                .filter(|order| order.locate == locate && (order.side_code == b'B') == is_buy)
                .map(|order| i64::from(order.open))
                .sum();
            let theirs = side.sign() * position + open;
            assert!(exposure.worst(side, 0) >= theirs, "{side:?} exposure {exposure:?} below {theirs}: {what:?}");
        }
    }
}

/// Both sides say the same of open orders, shares and cash.
fn assert_same(node: &Node, exchange: &Exchange, what: &Point) {
    let desk = node.pipeline.desk();
    let account = &exchange.engine.accounts[0];
    let mut ours: Vec<(u32, u32)> = desk.orders().open().map(|order| (order.id().0, order.leaves())).collect();
    let mut theirs: Vec<(u32, u32)> = account.orders.values().map(|order| (order.user_ref, order.open)).collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs, "open orders: {what:?}");
    for (locate, name) in (1..).zip(SYMBOLS) {
        let symbol = Symbol::new(std::str::from_utf8(name).expect("ASCII")).expect("short");
        let held = desk.instruments().get(symbol).map_or((0, 0), |instrument| {
            (0..desk.owners().len())
                .map(|owner| desk.portfolio().position(owner, instrument))
                .fold((0, 0), |(shares, cash), position| (shares + position.shares, cash + position.cash))
        });
        let holding = account.holdings.get(&locate).copied().unwrap_or_default();
        let opened = opened(symbol);
        assert_eq!(held, (opened.0 + holding.position, opened.1 + holding.cash), "{symbol:?}: {what:?}");
    }
}

/// What was held of a symbol when the day began, and what it stands for in cash.
fn opened(symbol: Symbol) -> (i64, i64) {
    let held = node::opening().into_iter().filter(|held| held.symbol == symbol);
    held.fold((0, 0), |(shares, cash), held| (shares + held.shares, cash - held.cost))
}

#[derive(Default, Debug)]
struct Totals {
    points: usize,
    restarts: usize,
    /// Restarts that died before the venue's log was read.
    cut: usize,
    open_at_crash: usize,
    unanswered: usize,
    mismatches: usize,
    lost_tails: usize,
    orders_after: usize,
}

/// The process is gone: of what was on its way a part arrives, the rest is lost, and so is whatever the venue said.
fn die(mut dead: Node, exchange: &mut Exchange, rng: &mut Rng) -> Node {
    let arrives = rng.below(1 + dead.out.len() as u32) as usize;
    dead.arrive(exchange, arrives);
    (0..rng.below(4)).for_each(|_| exchange.move_on());
    exchange.disconnected();
    dead
}

/// Crashes at a point, restarts, and holds both sides against each other.
fn crash(seed: u64, point: &Point, totals: &mut Totals) {
    let (mut dead, mut exchange) = run(seed, point);
    let mut rng = Rng::new(point.seed);
    if point.records == usize::MAX && rng.below(2) == 0 {
        dead.hand_over(usize::MAX);
    }
    let dead = die(dead, &mut exchange, &mut rng);
    let mut records = dead.journal.records.clone();
    records.truncate(records.len() - point.lost.min(records.len()));
    // A power cut takes the segment along; a kill leaves it, with what the loop last wrote there.
    let in_segment = if point.lost > 0 { 0 } else { dead.pipeline.next_order_id().min(fold(&records).next_order_id) };
    totals.points += 1;
    totals.lost_tails += usize::from(point.lost > 0);
    totals.open_at_crash += exchange.engine.accounts[0].orders.len();
    // Some restarts do not live to the end of the venue's log.
    while rng.below(4) == 0 {
        let left = rng.below(60) as usize;
        let mut cut = Node::begin(seed ^ rng.bits(), &records, in_segment, AfterRestart::Operator, left);
        cut.settle(&mut exchange);
        // Until the log is read it knows of nothing, and sends nothing.
        let is_reconciling = cut.pipeline.desk().is_reconciling();
        if !is_reconciling {
            assert_exposure(&cut, &exchange, point);
        }
        totals.cut += usize::from(is_reconciling);
        let cut = die(cut, &mut exchange, &mut rng);
        records = cut.journal.records;
    }
    let arms = if rng.below(2) == 0 { AfterRestart::Operator } else { AfterRestart::Agreement };
    let node = Node::begin(seed ^ point.seed, &records, in_segment, arms, usize::MAX);
    let lost = point.lost > 0;
    Restart { node, exchange, records, point, lost, arms, totals }.check(&mut rng);
}

/// A run behind a crash, and the venue that it finds.
struct Restart<'p> {
    node: Node,
    exchange: Exchange,
    /// What the journal held when it began.
    records: Vec<Record>,
    point: &'p Point,
    /// Records were lost.
    lost: bool,
    arms: AfterRestart,
    totals: &'p mut Totals,
}

impl Restart<'_> {
    fn halt(&self) -> Option<HaltReason> {
        self.node.pipeline.desk().gate().halt()
    }

    fn check(mut self, rng: &mut Rng) {
        let journal = fold(&self.records);
        let is_restarted = journal.has_traded();
        self.totals.restarts += usize::from(is_restarted);
        let differences = self.recover(&journal);
        let stopping = differences.iter().filter(|record| stops(record)).count();
        self.check_differences(&journal, &differences);
        // What was open is cancelled by now, whoever is to arm.
        assert!(!is_restarted || self.exchange.engine.accounts[0].orders.is_empty(), "{:?}", self.point);
        self.arm(stopping, is_restarted);
        self.trade_on(rng);
    }

    /// Reads the venue's log, and finds no way to trade meanwhile.
    fn recover(&mut self, journal: &Recovered) -> Vec<ReconcileRecord> {
        assert_eq!(self.halt(), Some(HaltReason::Reconciling));
        let from = self.records.len();
        let known_ids: BTreeSet<u32> = journal.orders().map(|(id, _)| id).collect();
        let unknown = self.exchange.taken().difference(&known_ids).count();
        // The strategy wants to trade all the while, and the books are there.
        self.node.connect(&mut self.exchange);
        while self.node.feed(&self.exchange) {
            self.node.timer();
        }
        self.node.resume();
        assert_eq!(self.halt(), Some(HaltReason::Reconciling), "nobody lifts it");
        assert!(orders(&self.node, from).is_empty(), "an order before the venue's log was read: {:?}", self.point);
        self.node.is_quiet.set(true);
        self.node.settle(&mut self.exchange);
        assert_same(&self.node, &self.exchange, self.point);
        assert_exposure(&self.node, &self.exchange, self.point);
        let differences = found(&self.node, from);
        let stopping = differences.iter().filter(|record| stops(record)).count();
        // Only lost records make a difference, and an order whose record is lost always does.
        assert!(stopping == 0 || self.lost, "{differences:?} {:?}", self.point);
        assert!(unknown == 0 || stopping > 0, "{unknown} orders unknown, {:?}", self.point);
        differences
    }

    fn check_differences(&mut self, journal: &Recovered, differences: &[ReconcileRecord]) {
        let point = self.point;
        let stopping = differences.iter().filter(|record| stops(record)).count();
        let done = differences.last().map(|record| (record.difference, record.ours));
        assert_eq!(done, Some((Difference::Done as u32, stopping as i64)), "{point:?}");
        self.totals.mismatches += usize::from(stopping > 0);
        let taken = self.exchange.taken();
        let never: BTreeSet<u32> = (differences.iter())
            .filter(|record| record.difference == Difference::Unanswered as u32)
            .map(|record| record.order)
            .collect();
        self.totals.unanswered += never.len();
        assert!(never.is_disjoint(&taken), "taken by the exchange: {never:?} {point:?}");
        for (id, _) in journal.orders().filter(|(_, order)| order.open && !order.acknowledged) {
            assert!(never.contains(&id) || taken.contains(&id) || stopping > 0, "order {id} is lost: {point:?}");
        }
        // No id that either side knows is given out again.
        let next = self.node.pipeline.next_order_id();
        let last_there = self.exchange.engine.accounts[0].last_user_ref;
        assert!(next >= journal.next_order_id && next > last_there, "{next}: {point:?}");
    }

    /// Trading goes on by agreement or by an operator, and by nothing else.
    fn arm(&mut self, stopping: usize, is_restarted: bool) {
        let point = self.point;
        let expected = match (stopping, self.arms) {
            (1.., _) => Some(HaltReason::ReconcileMismatch),
            (0, AfterRestart::Operator) if is_restarted => Some(HaltReason::Restarted),
            _ => None,
        };
        assert_eq!(self.halt(), expected, "{point:?}");
        self.node.is_quiet.set(false);
        if expected.is_none() {
            return;
        }
        (0..5).for_each(|_| self.node.timer());
        let sent = orders(&self.node, self.records.len());
        assert!(sent.iter().all(|order| order.action == ACTION_CANCEL), "before the operator armed: {point:?}");
        if stopping > 0 {
            self.node.resume();
            self.node.accept(stopping as u32 + 1);
            assert_eq!(self.halt(), expected, "neither a resume nor another count accepts them: {point:?}");
            self.node.accept(stopping as u32);
        } else {
            self.node.resume();
        }
        assert_eq!(self.halt(), None, "{point:?}");
    }

    fn trade_on(mut self, rng: &mut Rng) {
        let point = self.point;
        let received = self.exchange.received.len();
        for _ in 0..40 {
            self.node.step(&mut self.exchange, rng);
            assert_exposure(&self.node, &self.exchange, point);
        }
        self.node.is_quiet.set(true);
        self.node.settle(&mut self.exchange);
        assert_same(&self.node, &self.exchange, point);
        let entered = self.exchange.received[received..].iter().filter(|(kind, ..)| *kind == 'O');
        assert!(entered.clone().all(|(_, _, outcome)| *outcome != Outcome::Ignored), "an id was used twice: {point:?}");
        self.totals.orders_after += entered.count();
        // The journal of all runs tells the day as the exchange does.
        let whole = fold(&self.node.journal.records);
        assert!(!whole.unreconciled && whole.unreadable == 0, "{point:?}");
        for (locate, name) in (1..).zip(SYMBOLS) {
            let symbol = Symbol::new(std::str::from_utf8(name).expect("ASCII")).expect("short").0;
            let of_symbol = whole.positions().into_iter().filter(|((_, of), _)| *of == symbol);
            let sum = of_symbol.fold((0, 0), |(shares, cash), (_, p)| (shares + p.shares, cash + p.cash));
            let holding = self.exchange.engine.accounts[0].holdings.get(&locate).copied().unwrap_or_default();
            let opened = opened(Symbol(symbol));
            let expected = (opened.0 + holding.position, opened.1 + holding.cash);
            assert_eq!(sum, expected, "the journal's positions: {point:?}");
        }
    }
}

fn stops(record: &ReconcileRecord) -> bool {
    Difference::from_index(record.difference as usize).expect("a difference").stops()
}

#[test]
fn a_crash_at_every_record_and_between_is_recovered_from() {
    let seed = seed();
    println!("TERN_SEED={seed}");
    let whole = Point { records: usize::MAX, steps: STEPS, lost: 0, seed: 0 };
    let (mut node, mut exchange) = run(seed, &whole);
    let records = node.journal.records.len();
    node.is_quiet.set(true);
    node.settle(&mut exchange);
    assert_same(&node, &exchange, &whole);
    let account = &exchange.engine.accounts[0];
    let (executions, breaks) = (account.executions, account.breaks);
    assert!(executions >= 5 && exchange.received.len() >= 20, "a day in which nothing happens proves nothing");

    let mut rng = Rng::new(seed ^ 0xC4A5);
    let mut points = Vec::new();
    for records in 1..=records {
        let lost = if rng.below(3) == 0 { 1 + rng.below(8) as usize } else { 0 };
        points.push(Point { records, steps: STEPS, lost, seed: rng.bits() });
    }
    for _ in 0..INSTANTS.max(POINTS_MIN.saturating_sub(records)) {
        let lost = if rng.below(3) == 0 { 1 + rng.below(40) as usize } else { 0 };
        let steps = 1 + rng.below(STEPS as u32) as usize;
        points.push(Point { records: usize::MAX, steps, lost, seed: rng.bits() });
    }
    let mut totals = Totals::default();
    points.iter().for_each(|point| crash(seed, point, &mut totals));
    println!("{records} records, {} order messages, {executions} executions, {breaks} broken", exchange.received.len());
    println!("{totals:?}");
    assert!(totals.points >= POINTS_MIN, "{totals:?}");
    assert!(totals.open_at_crash > 0 && totals.unanswered > 0 && totals.mismatches > 0, "{totals:?}");
    assert!(totals.cut > 0 && totals.orders_after > totals.points, "after a restart it trades: {totals:?}");
}

#[test]
fn a_venue_that_lost_its_last_messages_is_told_from_one_that_did_not() {
    let seed = 11;
    let mut told = 0;
    for forgotten in 1..=6 {
        let whole = Point { records: usize::MAX, steps: STEPS, lost: 0, seed: 0 };
        let (mut dead, mut exchange) = run(seed, &whole);
        dead.is_quiet.set(true);
        dead.settle(&mut exchange);
        exchange.disconnected();
        exchange.forget(forgotten);
        let before = &dead.journal.records;
        let mut node = Node::begin(seed, before, 1, AfterRestart::Agreement, usize::MAX);
        node.settle(&mut exchange);
        let differences = found(&node, before.len());
        assert_eq!(node.pipeline.desk().gate().halt(), Some(HaltReason::ReconcileMismatch), "{differences:?}");
        told += differences.len();
    }
    assert!(told > 6);
}

#[test]
fn a_kill_outlives_a_restart_and_lifting_it_accepts_no_difference() {
    let seed = 12;
    let (mut dead, mut exchange) = run(seed, &Point { records: usize::MAX, steps: STEPS, lost: 0, seed: 0 });
    dead.command(CommandKind::Kill);
    dead.is_quiet.set(true);
    dead.settle(&mut exchange);
    exchange.disconnected();
    exchange.forget(1);
    let before = &dead.journal.records;
    let mut node = Node::begin(seed, before, 1, AfterRestart::Agreement, usize::MAX);
    let halt = |node: &Node| node.pipeline.desk().gate().halt();
    assert_eq!(halt(&node), Some(HaltReason::Killed));
    node.settle(&mut exchange);
    let stopping = found(&node, before.len()).iter().filter(|record| stops(record)).count();
    assert!(stopping > 0);
    assert_eq!(halt(&node), Some(HaltReason::Killed), "the kill stays the reason");
    node.resume();
    assert_eq!(halt(&node), Some(HaltReason::ReconcileMismatch), "what lies beneath it comes to light");
    // A kill again, and the other way round.
    node.command(CommandKind::Kill);
    node.accept(stopping as u32);
    assert_eq!(halt(&node), Some(HaltReason::Killed), "accepting lifts no kill");
    node.resume();
    assert_eq!(halt(&node), None);
}

#[test]
fn one_command_lifts_one_reason() {
    let seed = 13;
    let (mut dead, mut exchange) = run(seed, &Point { records: usize::MAX, steps: STEPS, lost: 0, seed: 0 });
    dead.command(CommandKind::Kill);
    dead.is_quiet.set(true);
    dead.settle(&mut exchange);
    exchange.disconnected();
    let mut node = Node::begin(seed, &dead.journal.records, 1, AfterRestart::Operator, usize::MAX);
    node.settle(&mut exchange);
    let halt = |node: &Node| node.pipeline.desk().gate().halt();
    assert_eq!(halt(&node), Some(HaltReason::Killed));
    node.resume();
    assert_eq!(halt(&node), Some(HaltReason::Restarted), "the restart is a reason of its own");
    node.resume();
    assert_eq!(halt(&node), None);
}
