//! A crash anywhere: one seeded day, killed at every record of its journal and at random instants between, restarted from
//! what the journal held, and compared with the exchange.
//!
//! `TERN_SEED` repeats a run.

mod exchange;
mod node;

use exchange::{Exchange, SYMBOLS};
use node::{DAY, Node, Record};
use std::collections::BTreeSet;
use tern_abi::command::CommandKind;
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::{ACTION_CANCEL, Kind, OrderRecord};
use tern_abi::segment::NextOrder;
use tern_core::risk::HaltReason;
use tern_core::units::{Side, Symbol};
use tern_dataplane::assemble::RunState;
use tern_dataplane::recovery::{self, Known};
use tern_journal::recovered::Recovered;
use tern_sim::log::Outcome;
use tern_sim::rng::Rng;
use zerocopy::FromBytes;

/// Steps of the day before it is over.
const STEPS: usize = 600;
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
    let state = RunState { day: DAY, journal_seq: Some(0), ..RunState::default() };
    let mut node = Node::new(seed, state, None, &[], point.records);
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

/// Order ids that the exchange took, as its own account tells.
fn taken(exchange: &Exchange) -> BTreeSet<u32> {
    let done = exchange.received.iter().filter(|(kind, _, outcome)| "OU".contains(*kind) && *outcome == Outcome::Done);
    done.map(|(_, id, _)| *id).collect()
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
        let Some(instrument) =
            desk.instruments().get(Symbol::new(std::str::from_utf8(name).expect("ASCII")).expect("short"))
        else {
            continue;
        };
        let exposure = &desk.gate().exposures()[instrument.index()];
        let position = account.holdings.get(&locate).map_or(0, |holding| holding.position);
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
        assert_eq!(held, (holding.position, holding.cash), "{symbol:?}: {what:?}");
    }
}

#[derive(Default, Debug)]
struct Totals {
    points: usize,
    restarts: usize,
    open_at_crash: usize,
    never_arrived: usize,
    mismatches: usize,
    lost_tails: usize,
    orders_after: usize,
}

/// Crashes at a point, restarts, and holds both sides against each other.
fn crash(seed: u64, point: &Point, totals: &mut Totals) {
    let (mut dead, mut exchange) = run(seed, point);
    let mut rng = Rng::new(point.seed);
    // What was on its way: a part arrives, the rest is lost; whatever the venue said is lost.
    let arrives = rng.below(1 + dead.out.len() as u32) as usize;
    dead.arrive(&mut exchange, arrives);
    for _ in 0..rng.below(4) {
        exchange.move_on();
    }
    exchange.disconnected();
    let kept = dead.journal.records.len().saturating_sub(point.lost);
    let before = &dead.journal.records[..kept];
    let journal = fold(before);
    // A power cut takes the segment along; a kill leaves it, with what the loop last wrote there.
    let next = if point.lost > 0 { 0 } else { dead.pipeline.next_order_id().min(journal.next_order_id) };
    let known = Known { day: DAY, next_order: NextOrder { day: DAY, next }, journaled_seq: 0 };
    let (state, ledger) = recovery::begin(&journal, &known, 0);
    let is_restarted = ledger.is_some();
    totals.points += 1;
    totals.restarts += usize::from(is_restarted);
    totals.lost_tails += usize::from(point.lost > 0);
    totals.open_at_crash += exchange.engine.accounts[0].orders.len();
    let known_ids: BTreeSet<u32> = journal.orders().map(|(id, _)| id).collect();
    let unknown = taken(&exchange).difference(&known_ids).count();

    let mut node = Node::new(seed ^ point.seed, state, ledger, before, usize::MAX);
    assert_eq!(node.pipeline.desk().gate().halt(), is_restarted.then_some(HaltReason::Reconciling));
    let from = node.journal.records.len();
    // The strategy wants to trade all the while, and the books are there.
    node.connect(&mut exchange);
    while node.feed(&exchange) {
        node.timer();
    }
    assert!(orders(&node, from).is_empty(), "an order before the venue's log was read: {point:?}");
    node.is_quiet.set(true);
    node.settle(&mut exchange);
    assert_same(&node, &exchange, point);
    assert_exposure(&node, &exchange, point);

    let differences = found(&node, from);
    let stops = differences
        .iter()
        .filter(|record| Difference::from_index(record.difference as usize).expect("a difference").stops());
    let stopping = stops.count();
    let halt = node.pipeline.desk().gate().halt();
    if is_restarted {
        assert_eq!(differences.last().map(|record| record.difference), Some(Difference::Done as u32), "{point:?}");
        assert_eq!(halt, (stopping > 0).then_some(HaltReason::ReconcileMismatch), "{differences:?} {point:?}");
        // Only lost records make a difference, and an order whose record is lost always does.
        assert!(stopping == 0 || point.lost > 0, "{differences:?} {point:?}");
        assert!(unknown == 0 || stopping > 0, "{unknown} orders unknown, {point:?}");
    }
    totals.mismatches += usize::from(stopping > 0);
    let taken_now = taken(&exchange);
    let never: BTreeSet<u32> = (differences.iter())
        .filter(|record| record.difference == Difference::NeverArrived as u32)
        .map(|record| record.order)
        .collect();
    totals.never_arrived += never.len();
    assert!(never.is_disjoint(&taken_now), "taken by the exchange: {never:?} {point:?}");
    for (id, _) in journal.orders().filter(|(_, order)| order.open && !order.acknowledged) {
        assert!(never.contains(&id) || taken_now.contains(&id) || stopping > 0, "order {id} is lost: {point:?}");
    }
    // No id that either side knows is given out again.
    let next = node.pipeline.next_order_id();
    assert!(next >= journal.next_order_id && next > exchange.engine.accounts[0].last_user_ref, "{next}: {point:?}");
    // What was open is cancelled by now, whoever is to arm.
    assert!(!is_restarted || exchange.engine.accounts[0].orders.is_empty(), "{point:?}");

    node.is_quiet.set(false);
    if stopping > 0 {
        (0..5).for_each(|_| node.timer());
        let sent = orders(&node, from);
        assert!(
            sent.iter().all(|order| order.action == ACTION_CANCEL),
            "an order before the operator armed: {point:?}"
        );
        node.command(CommandKind::Resume);
    }
    let received = exchange.received.len();
    for _ in 0..40 {
        node.step(&mut exchange, &mut rng);
        assert_exposure(&node, &exchange, point);
    }
    node.is_quiet.set(true);
    node.settle(&mut exchange);
    assert_same(&node, &exchange, point);
    let entered = exchange.received[received..].iter().filter(|(kind, ..)| *kind == 'O');
    assert!(entered.clone().all(|(_, _, outcome)| *outcome != Outcome::Ignored), "an id was used twice: {point:?}");
    totals.orders_after += entered.count();
    // The journal of both runs tells the day as the exchange does.
    let whole = fold(&node.journal.records);
    assert!(!whole.unreconciled && whole.unreadable == 0, "{point:?}");
    for (locate, name) in (1..).zip(SYMBOLS) {
        let symbol = Symbol::new(std::str::from_utf8(name).expect("ASCII")).expect("short").0;
        let of_symbol = whole.positions().into_iter().filter(|((_, of), _)| *of == symbol);
        let sum = of_symbol.fold((0, 0), |(shares, cash), (_, p)| (shares + p.shares, cash + p.cash));
        let holding = exchange.engine.accounts[0].holdings.get(&locate).copied().unwrap_or_default();
        assert_eq!(sum, (holding.position, holding.cash), "the journal's positions: {point:?}");
    }
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
        let lost = if rng.below(3) == 0 { 1 + rng.below(8) as usize } else { 0 };
        let steps = 1 + rng.below(STEPS as u32) as usize;
        points.push(Point { records: usize::MAX, steps, lost, seed: rng.bits() });
    }
    let mut totals = Totals::default();
    points.iter().for_each(|point| crash(seed, point, &mut totals));
    println!("{records} records, {} order messages, {executions} executions, {breaks} broken", exchange.received.len());
    println!("{totals:?}");
    assert!(totals.points >= POINTS_MIN, "{totals:?}");
    assert!(totals.open_at_crash > 0 && totals.never_arrived > 0 && totals.mismatches > 0, "{totals:?}");
    assert!(totals.orders_after > totals.points, "after a restart it trades: {totals:?}");
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
        let journal = fold(&dead.journal.records);
        let known = Known { day: DAY, next_order: NextOrder { day: DAY, next: 1 }, journaled_seq: 0 };
        let (state, ledger) = recovery::begin(&journal, &known, 0);
        let mut node = Node::new(seed, state, ledger, &dead.journal.records, usize::MAX);
        let from = node.journal.records.len();
        node.settle(&mut exchange);
        let differences = found(&node, from);
        assert_eq!(node.pipeline.desk().gate().halt(), Some(HaltReason::ReconcileMismatch), "{differences:?}");
        told += differences.len();
    }
    assert!(told > 6);
}
