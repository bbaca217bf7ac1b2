//! The venue's drop copy held against the journal: what it told us on the order session, as our records say, and what it
//! told there, message by message.
//!
//! Either side may be behind the other. What one has and the other lacks waits, and is a difference once it has waited for
//! longer than the deadline, while the other side was able to tell it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use tern_abi::event::SIDE_BUY;
use tern_abi::record::{OrderEventRecord, PositionRecord, VenueEventKind};
use tern_soup::Said;

/// Trades that are remembered, should they be broken.
const TRADES_KEPT: usize = 65_536;
/// How often positions are compared: there may be thousands of symbols.
const POSITIONS_EVERY: Duration = Duration::from_millis(50);
/// Differences that are shown.
const SHOWN: usize = 5;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: u8,
    order: u32,
    previous: u32,
    match_number: u64,
}

/// What it says of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    shares: u32,
    price: i64,
}

/// A message that the other side has not told yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    told: Told,
    /// On the clock of the side that lacks it.
    since: Duration,
    said: bool,
}

/// Who is to tell something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The journal.
    Here,
    /// The drop copy.
    There,
}

/// In what the two differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `missing_here`, `missing_there`, `differs` or `position`.
    pub what: &'static str,
    /// Kind of the message, or the symbol of a position.
    pub of: String,
    /// Our order id, or 0.
    pub order: u32,
    /// Number of an execution, or 0.
    pub match_number: u64,
    /// Which field differs, and its values here and there; empty and zeros where one side lacks all of it.
    pub field: &'static str,
    /// What our records say.
    pub here: i64,
    /// What the copy says.
    pub there: i64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.of)?;
        if self.order != 0 {
            write!(f, " order {}", self.order)?;
        }
        if self.match_number != 0 {
            write!(f, " match {}", self.match_number)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {} {} here, {} there", self.field, self.here, self.there)?;
        }
        Ok(())
    }
}

/// An order as the copy tells it, as long as something of it is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    symbol: [u8; 8],
    is_buy: bool,
    shares: u32,
}

/// The comparison of one day.
#[derive(Debug, Default)]
pub struct Copy {
    deadline: Duration,
    /// How long each side has been able to tell what it knows.
    able_here: Duration,
    able_there: Duration,
    /// By what they are about, oldest first: told by the copy and awaited here, and the other way round.
    wait_here: BTreeMap<Key, VecDeque<Waiting>>,
    wait_there: BTreeMap<Key, VecDeque<Waiting>>,
    /// Differences that no later message resolves.
    differ: Vec<Difference>,
    fresh: Vec<Difference>,
    /// Last message of the order session that the journal told: a new run tells the day again.
    told_seq: u64,
    matched: u64,
    executions: u64,
    positions: Positions,
    /// When they are compared next, on the copy's clock.
    positions_due: Duration,
}

/// Positions a symbol: as our records say, and as the copy's executions add up.
#[derive(Debug, Default)]
struct Positions {
    /// By strategy and symbol: shares, and those that were there before the first trade.
    here: BTreeMap<(u16, [u8; 8]), (i64, i64)>,
    /// The last trade of a strategy in an instrument, until its position is told.
    traded: BTreeMap<(u16, u32), i64>,
    there: BTreeMap<[u8; 8], i64>,
    open: BTreeMap<u32, Open>,
    trades: BTreeMap<u64, Vec<(u32, [u8; 8], i64)>>,
    /// A trade was broken that is not remembered: sums mean nothing any more.
    unsure: bool,
    /// A run has begun that has not compared the venue's log with the journal yet: it tells the day again.
    retold: bool,
    differ: BTreeMap<[u8; 8], (Duration, bool)>,
}

impl Copy {
    /// Nothing told yet.
    pub fn new(deadline: Duration) -> Self {
        Self { deadline, ..Self::default() }
    }

    /// A day of the venue begins.
    pub fn new_day(&mut self) {
        *self = Self::new(self.deadline);
    }

    /// A run begins, and tells the day again.
    pub fn new_run(&mut self) {
        self.positions.here.clear();
        self.positions.traded.clear();
        self.positions.retold = true;
    }

    /// The run has told it.
    pub fn run_told(&mut self) {
        self.positions.retold = false;
    }

    /// What our records say of a message of the order session.
    pub fn here(&mut self, event: &OrderEventRecord) {
        let Some(kind) = VenueEventKind::from_index(event.kind.into()) else { return };
        if event.session_seq == 0 {
            return;
        }
        if kind == VenueEventKind::Executed && event.instrument != u32::MAX {
            let shares = i64::from(event.quantity);
            let signed = if event.side == SIDE_BUY { shares } else { -shares };
            self.positions.traded.insert((event.strategy, event.instrument), signed);
        }
        if event.session_seq <= self.told_seq || !is_compared(kind) {
            return;
        }
        self.told_seq = event.session_seq;
        let has_price = matches!(kind, VenueEventKind::Accepted | VenueEventKind::Replaced | VenueEventKind::Executed);
        let told = Told { shares: event.quantity, price: if has_price { event.price } else { 0 } };
        let key =
            Key { kind: event.kind, order: event.order, previous: event.previous, match_number: event.match_number };
        self.tell(Side::Here, key, told);
    }

    /// What our records say of a position.
    pub fn position_here(&mut self, record: &PositionRecord) {
        let traded = self.positions.traded.remove(&(record.strategy, record.instrument)).unwrap_or(0);
        let entry = self.positions.here.entry((record.strategy, record.symbol));
        // What was held before the first trade of the day came from elsewhere.
        entry.or_insert((0, record.shares.saturating_sub(traded))).0 = record.shares;
    }

    /// A message of the drop copy.
    pub fn there(&mut self, said: &Said) {
        let Some((key, told)) = message(said) else { return };
        self.positions.there(said);
        self.tell(Side::There, key, told);
    }

    fn tell(&mut self, side: Side, key: Key, told: Told) {
        let other = if side == Side::Here { &mut self.wait_here } else { &mut self.wait_there };
        if let Some(queue) = other.get_mut(&key) {
            let waiting = queue.pop_front();
            if queue.is_empty() {
                other.remove(&key);
            }
            let Some(waiting) = waiting else { return };
            self.matched += 1;
            self.executions += u64::from(key.kind == VenueEventKind::Executed as u8);
            let (here, there) = if side == Side::Here { (told, waiting.told) } else { (waiting.told, told) };
            self.compare(key, here, there);
            return;
        }
        let (waits, since) = match side {
            Side::Here => (&mut self.wait_there, self.able_there),
            Side::There => (&mut self.wait_here, self.able_here),
        };
        waits.entry(key).or_default().push_back(Waiting { told, since, said: false });
    }

    fn compare(&mut self, key: Key, here: Told, there: Told) {
        let fields = [("shares", here.shares.into(), there.shares.into()), ("price", here.price, there.price)];
        for (field, here, there) in fields {
            if here != there {
                let difference = Difference { field, here, there, ..difference("differs", key) };
                self.fresh.push(difference.clone());
                self.differ.push(difference);
            }
        }
    }

    /// Both sides were asked for all that they have; `passed` since they were asked before, and who was able to tell.
    /// Gives out what has become a difference.
    pub fn look(&mut self, passed: Duration, able_here: bool, able_there: bool) -> Vec<Difference> {
        self.able_here += if able_here { passed } else { Duration::ZERO };
        self.able_there += if able_there { passed } else { Duration::ZERO };
        let mut fresh = std::mem::take(&mut self.fresh);
        for (waits, able, what) in [
            (&mut self.wait_here, self.able_here, "missing_here"),
            (&mut self.wait_there, self.able_there, "missing_there"),
        ] {
            for (key, queue) in waits.iter_mut() {
                for waiting in queue.iter_mut().filter(|waiting| !waiting.said) {
                    if able.saturating_sub(waiting.since) > self.deadline {
                        waiting.said = true;
                        fresh.push(difference(what, *key));
                    }
                }
            }
        }
        let is_quiet = able_here && able_there && self.wait_here.is_empty() && self.wait_there.is_empty();
        if is_quiet && self.able_there >= self.positions_due {
            self.positions_due = self.able_there + POSITIONS_EVERY;
            self.positions.compare(self.able_there, self.deadline, &mut fresh);
        }
        fresh
    }

    /// How things stand, but for the connection.
    pub fn fact(&self) -> tern_config::facts::CopyFact {
        let said = |waits: &BTreeMap<Key, VecDeque<Waiting>>, what| -> Vec<Difference> {
            let of = |(key, queue): (&Key, &VecDeque<Waiting>)| {
                queue.iter().filter(|waiting| waiting.said).map(|_| difference(what, *key)).collect::<Vec<_>>()
            };
            waits.iter().flat_map(of).collect()
        };
        let waiting = |waits: &BTreeMap<Key, VecDeque<Waiting>>| waits.values().map(|queue| queue.len() as u64).sum();
        let oldest = |waits: &BTreeMap<Key, VecDeque<Waiting>>, able: Duration| {
            let since = waits.values().filter_map(VecDeque::front).map(|waiting| waiting.since).min();
            since.map_or(Duration::ZERO, |since| able.saturating_sub(since))
        };
        let mut differences = said(&self.wait_here, "missing_here");
        differences.extend(said(&self.wait_there, "missing_there"));
        differences.extend(self.differ.iter().cloned());
        differences.extend(self.positions.said());
        let lag = oldest(&self.wait_here, self.able_here).max(oldest(&self.wait_there, self.able_there));
        tern_config::facts::CopyFact {
            matched: self.matched,
            executions: self.executions,
            waiting_here: waiting(&self.wait_here),
            waiting_there: waiting(&self.wait_there),
            lag_ms: lag.as_millis() as u64,
            positions: self.positions.symbols().len() as u64,
            positions_differ: self.positions.differ.len() as u64,
            differences: differences.len() as u64,
            examples: differences.iter().take(SHOWN).map(Difference::to_string).collect(),
            ..Default::default()
        }
    }
}

impl Positions {
    /// Counts what the copy says of orders and trades.
    fn there(&mut self, said: &Said) {
        match *said {
            Said::Accepted(echo) if echo.is_live => self.opened(echo.order, &echo),
            Said::Replaced { previous, echo } => {
                self.open.remove(&previous);
                if echo.is_live {
                    self.opened(echo.order, &echo);
                }
            }
            Said::Canceled { order, shares } => {
                self.less(order, shares);
            }
            Said::Executed { order, shares, match_number, .. } => match self.less(order, shares) {
                Some(open) => {
                    let signed = if open.is_buy { i64::from(shares) } else { -i64::from(shares) };
                    *self.there.entry(open.symbol).or_default() += signed;
                    self.trades.entry(match_number).or_default().push((order, open.symbol, signed));
                    if self.trades.len() > TRADES_KEPT {
                        self.trades.pop_first();
                    }
                }
                None => self.unsure = true,
            },
            Said::Broken { order, match_number } => {
                let trades = self.trades.get_mut(&match_number);
                let at = trades.as_ref().and_then(|trades| trades.iter().position(|trade| trade.0 == order));
                match trades.zip(at) {
                    Some((trades, at)) => {
                        let (_, symbol, signed) = trades.remove(at);
                        *self.there.entry(symbol).or_default() -= signed;
                    }
                    None => self.unsure = true,
                }
            }
            _ => {}
        }
    }

    fn opened(&mut self, order: u32, echo: &tern_soup::Echo) {
        self.open.insert(order, Open { symbol: echo.symbol, is_buy: echo.is_buy, shares: echo.shares });
    }

    /// Takes shares off an order, which is forgotten once nothing of it is open.
    fn less(&mut self, order: u32, shares: u32) -> Option<Open> {
        let open = self.open.get_mut(&order)?;
        open.shares = open.shares.saturating_sub(shares);
        let now = *open;
        if now.shares == 0 {
            self.open.remove(&order);
        }
        Some(now)
    }

    fn symbols(&self) -> BTreeSet<[u8; 8]> {
        self.there.keys().copied().chain(self.here.keys().map(|(_, symbol)| *symbol)).collect()
    }

    /// Shares that were traded in a symbol, on each side.
    fn of(&self, symbol: [u8; 8]) -> (i64, i64) {
        let ours = self.here.iter().filter(|((_, of), _)| *of == symbol);
        (ours.map(|(_, (shares, before))| shares - before).sum(), self.there.get(&symbol).copied().unwrap_or(0))
    }

    /// Nothing waits on either side: what differs now, and did so for longer than the deadline, is a difference.
    fn compare(&mut self, able: Duration, deadline: Duration, fresh: &mut Vec<Difference>) {
        if self.unsure || self.retold {
            return;
        }
        for symbol in self.symbols() {
            let (here, there) = self.of(symbol);
            if here == there {
                self.differ.remove(&symbol);
                continue;
            }
            let (since, said) = self.differ.entry(symbol).or_insert((able, false));
            if !*said && able.saturating_sub(*since) > deadline {
                *said = true;
                fresh.push(position(symbol, here, there));
            }
        }
    }

    fn said(&self) -> Vec<Difference> {
        let said = self.differ.iter().filter(|(_, (_, said))| *said);
        said.map(|(symbol, _)| {
            let (here, there) = self.of(*symbol);
            position(*symbol, here, there)
        })
        .collect()
    }
}

fn position(symbol: [u8; 8], here: i64, there: i64) -> Difference {
    let of = String::from_utf8_lossy(&symbol).trim_end().to_owned();
    Difference { what: "position", of, order: 0, match_number: 0, field: "shares", here, there }
}

fn difference(what: &'static str, key: Key) -> Difference {
    let of = VenueEventKind::from_index(key.kind.into()).map_or("?", VenueEventKind::name).to_owned();
    Difference { what, of, order: key.order, match_number: key.match_number, field: "", here: 0, there: 0 }
}

/// Whether messages of this kind are compared: those that orders, executions and positions follow from.
const fn is_compared(kind: VenueEventKind) -> bool {
    use VenueEventKind as Kind;
    matches!(kind, Kind::Accepted | Kind::Replaced | Kind::Canceled | Kind::Executed | Kind::Broken | Kind::Rejected)
}

/// What a message of the copy is about, and what it says, in the terms of our records.
fn message(said: &Said) -> Option<(Key, Told)> {
    use VenueEventKind as Kind;
    let price = |price: u64| i64::try_from(price).unwrap_or(i64::MAX);
    let (kind, order, previous, match_number, told) = match *said {
        Said::Accepted(echo) => {
            (Kind::Accepted, echo.order, 0, 0, Told { shares: echo.shares, price: price(echo.price) })
        }
        Said::Replaced { previous, echo } => {
            (Kind::Replaced, echo.order, previous, 0, Told { shares: echo.shares, price: price(echo.price) })
        }
        Said::Canceled { order, shares } => (Kind::Canceled, order, 0, 0, Told { shares, price: 0 }),
        Said::Executed { order, shares, price: at, match_number, .. } => {
            (Kind::Executed, order, 0, match_number, Told { shares, price: price(at) })
        }
        Said::Broken { order, match_number } => (Kind::Broken, order, 0, match_number, Told::default()),
        Said::Rejected { order } => (Kind::Rejected, order, 0, 0, Told::default()),
        Said::Modified { .. } | Said::Other { .. } | Said::Query => return None,
    };
    Some((Key { kind: kind as u8, order, previous, match_number }, told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_soup::Echo;

    const DEADLINE: Duration = Duration::from_millis(100);
    const STEP: Duration = Duration::from_millis(60);

    fn accepted(order: u32) -> Said {
        Said::Accepted(Echo {
            order,
            is_buy: true,
            shares: 100,
            symbol: *b"TERN    ",
            price: 10_0000,
            cross: b'N',
            is_live: true,
        })
    }

    fn executed(order: u32, match_number: u64, shares: u32) -> Said {
        Said::Executed { order, shares, price: 10_0000, liquidity: b'A', match_number }
    }

    fn event(kind: VenueEventKind, session_seq: u64, order: u32, match_number: u64, quantity: u32) -> OrderEventRecord {
        let (side, strategy, instrument) = (SIDE_BUY, 1, 7);
        let (price, kind) = (10_0000, kind as u8);
        OrderEventRecord {
            kind,
            session_seq,
            order,
            match_number,
            quantity,
            price,
            side,
            strategy,
            instrument,
            ..OrderEventRecord::default()
        }
    }

    /// A day on which both sides told an order and a trade.
    fn day() -> Copy {
        let mut copy = Copy::new(DEADLINE);
        copy.there(&accepted(1));
        copy.here(&event(VenueEventKind::Accepted, 1, 1, 0, 100));
        copy.here(&event(VenueEventKind::Executed, 2, 1, 90, 30));
        position_is(&mut copy, 30);
        copy.there(&executed(1, 90, 30));
        assert_eq!(look(&mut copy), [""; 0]);
        copy
    }

    fn position_is(copy: &mut Copy, shares: i64) {
        let (symbol, strategy, instrument) = (*b"TERN    ", 1, 7);
        copy.position_here(&PositionRecord { shares, symbol, strategy, instrument, ..PositionRecord::default() });
    }

    fn look(copy: &mut Copy) -> Vec<String> {
        copy.look(STEP, true, true).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn sides_that_tell_the_same_differ_in_nothing_whoever_is_first() {
        let mut copy = day();
        assert_eq!((look(&mut copy), look(&mut copy)), (vec![], vec![]));
        let fact = copy.fact();
        assert_eq!((fact.matched, fact.executions, fact.waiting_here, fact.waiting_there), (2, 1, 0, 0));
        assert_eq!((fact.positions, fact.differences), (1, 0));
    }

    #[test]
    fn what_one_side_lacks_is_a_difference_after_the_deadline_and_once() {
        let mut copy = day();
        copy.there(&executed(1, 91, 10));
        copy.here(&event(VenueEventKind::Executed, 3, 1, 92, 5));
        assert_eq!(look(&mut copy), [""; 0], "either may be behind");
        let found = look(&mut copy);
        assert_eq!(found, ["missing_here executed order 1 match 91", "missing_there executed order 1 match 92"]);
        assert_eq!(look(&mut copy), [""; 0], "said once");
        assert_eq!(copy.fact().differences, 2, "and shown as long as it is so");
        copy.here(&event(VenueEventKind::Executed, 4, 1, 91, 10));
        assert_eq!(copy.fact().differences, 1, "told late, it is none any more");
    }

    #[test]
    fn who_cannot_tell_is_given_time() {
        let mut copy = day();
        copy.there(&executed(1, 91, 10));
        for _ in 0..5 {
            assert_eq!(copy.look(STEP, false, true), [], "our session is down");
        }
        copy.here(&event(VenueEventKind::Executed, 3, 1, 92, 5));
        for _ in 0..5 {
            assert_eq!(copy.look(STEP, false, false), [], "and the copy's too");
        }
        assert_eq!(look(&mut copy).len() + look(&mut copy).len(), 2);
    }

    #[test]
    fn fields_that_differ_are_named_at_once() {
        let mut copy = day();
        copy.there(&executed(1, 91, 10));
        copy.here(&event(VenueEventKind::Executed, 3, 1, 91, 11));
        assert_eq!(look(&mut copy), ["differs executed order 1 match 91: shares 11 here, 10 there"]);
    }

    #[test]
    fn a_day_that_a_new_run_tells_again_is_not_counted_twice() {
        let mut copy = day();
        copy.new_run();
        copy.here(&event(VenueEventKind::Accepted, 1, 1, 0, 100));
        copy.here(&event(VenueEventKind::Executed, 2, 1, 90, 30));
        position_is(&mut copy, 30);
        copy.run_told();
        assert_eq!((look(&mut copy), look(&mut copy)), (vec![], vec![]));
        assert_eq!(copy.fact().matched, 2);
    }

    #[test]
    fn positions_are_compared_without_what_was_held_before_the_day() {
        let mut copy = Copy::new(DEADLINE);
        copy.there(&accepted(1));
        copy.here(&event(VenueEventKind::Accepted, 1, 1, 0, 100));
        copy.there(&executed(1, 90, 30));
        copy.here(&event(VenueEventKind::Executed, 2, 1, 90, 30));
        position_is(&mut copy, 530);
        assert_eq!((look(&mut copy), look(&mut copy)), (vec![], vec![]));
        copy.there(&executed(1, 91, 10));
        copy.here(&event(VenueEventKind::Executed, 3, 1, 91, 10));
        position_is(&mut copy, 541);
        let found: Vec<String> = (0..4).flat_map(|_| look(&mut copy)).collect();
        assert_eq!(found, ["position TERN: shares 41 here, 40 there"]);
    }

    #[test]
    fn a_broken_trade_is_taken_back_on_both_sides() {
        let mut copy = day();
        copy.there(&Said::Broken { order: 1, match_number: 90 });
        copy.here(&OrderEventRecord { price: 0, ..event(VenueEventKind::Broken, 3, 1, 90, 0) });
        position_is(&mut copy, 0);
        let found: Vec<String> = (0..4).flat_map(|_| look(&mut copy)).collect();
        assert_eq!(found, [""; 0]);
    }
}
