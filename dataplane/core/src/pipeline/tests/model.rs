//! Random traffic against an obviously right model: the worst case never exceeds the limit, and every order is where the
//! venue has it.

use super::Ask;
use crate::input::{ConnEvent, DownReason, Input};
use crate::pipeline::Config;
use crate::risk::{Reason, SelfTrade};
use crate::session::{OrderAction, VenueEvent, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{
    Lines, Rig, Script, Sent, accepted, config, executed, new, print, replaced, scripted, told, trading,
};
use crate::units::{InstrumentId, OrderId, Price, Side, StrategyId, Symbol};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use proptest::prelude::*;
use tern_abi::record::{ACTION_CANCEL, ACTION_NEW, ACTION_REPLACE, Kind, OrderRecord};

const LIMIT: i64 = 1000;

/// An order as the venue has it.
#[derive(Clone, Copy, Debug)]
struct AtVenue {
    side: Side,
    leaves: u32,
    executed: u32,
}

/// The venue: works through messages in order, says what it did, and trades when it likes.
#[derive(Debug, Default)]
struct Venue {
    orders: BTreeMap<u32, AtVenue>,
    waiting: VecDeque<Sent>,
    said: VecDeque<VenueEvent>,
    /// All that was said since the morning.
    log: Vec<VenueEvent>,
    trades: Vec<(u64, u32, Side, u32)>,
    broken: Vec<u64>,
    position: i64,
    /// Messages of this run of ours so far.
    handed_over: usize,
}

#[derive(Clone, Debug)]
enum Step {
    New {
        sell: bool,
        quantity: u32,
    },
    Replace {
        pick: usize,
        quantity: u32,
    },
    Cancel {
        pick: usize,
    },
    /// The venue takes the oldest message.
    Take {
        odd: u8,
    },
    /// The venue trades a part of an order.
    Trade {
        pick: usize,
        part: u32,
    },
    /// The venue cancels a part of an order of its own accord.
    Shrink {
        pick: usize,
        part: u32,
    },
    /// The venue breaks a trade.
    Break {
        pick: usize,
    },
    /// We hear the oldest message of the venue.
    Hear,
    /// The connection breaks; messages on their way are lost from here on.
    Reconnect {
        arrived: usize,
    },
    /// We are killed and start again with nothing but the next order id; messages on their way as above.
    Crash {
        arrived: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let pick = 0_usize..8;
    prop_oneof![
        4 => (any::<bool>(), 1_u32..600).prop_map(|(sell, quantity)| Step::New { sell, quantity }),
        3 => (pick.clone(), 1_u32..600).prop_map(|(pick, quantity)| Step::Replace { pick, quantity }),
        2 => pick.clone().prop_map(|pick| Step::Cancel { pick }),
        6 => any::<u8>().prop_map(|odd| Step::Take { odd }),
        4 => (pick.clone(), 1_u32..400).prop_map(|(pick, part)| Step::Trade { pick, part }),
        1 => (pick.clone(), 1_u32..400).prop_map(|(pick, part)| Step::Shrink { pick, part }),
        1 => pick.prop_map(|pick| Step::Break { pick }),
        8 => Just(Step::Hear),
        1 => (0_usize..4).prop_map(|arrived| Step::Reconnect { arrived }),
        1 => (0_usize..4).prop_map(|arrived| Step::Crash { arrived }),
    ]
}

impl Venue {
    /// What a real venue's message would carry too: enough to take the order in after a crash.
    fn say(&mut self, event: VenueEvent) {
        let side = self.orders.get(&event.order.0).map(|at| at.side);
        let session_seq = self.log.len() as u64 + 1;
        let event = VenueEvent { symbol: Symbol::new("S0"), side, strategy: Some(StrategyId(1)), session_seq, ..event };
        self.log.push(event);
        self.said.push_back(event);
    }

    fn picked(&self, pick: usize) -> Option<u32> {
        self.orders.keys().copied().nth(pick % self.orders.len().max(1))
    }

    /// OUCH 5.0, section 2: what each message does to what is there.
    fn take(&mut self, odd: u8) {
        let Some(message) = self.waiting.pop_front() else { return };
        match message.action {
            OrderAction::New { order } if odd < 20 => self.say(told(VenueEventKind::Rejected, order.0, 0)),
            OrderAction::New { order } => {
                let (side, leaves) = (message.side, message.quantity);
                self.orders.insert(order.0, AtVenue { side, leaves, executed: 0 });
                self.say(accepted(order.0, leaves, message.price.0));
            }
            OrderAction::Replace { previous, order } => {
                // Not live: silently ignored (2.2, case 1).
                let Some(old) = self.orders.get(&previous.0).copied() else { return };
                let leaves = message.quantity.saturating_sub(old.executed);
                if odd < 20 {
                    self.say(told(VenueEventKind::Rejected, order.0, 0));
                } else if odd < 40 || leaves == 0 {
                    // Invalid: the order is taken out (case 2).
                    self.orders.remove(&previous.0);
                    self.say(told(VenueEventKind::Canceled, previous.0, old.leaves));
                } else {
                    self.orders.remove(&previous.0);
                    self.orders.insert(order.0, AtVenue { leaves, ..old });
                    self.say(replaced(previous.0, order.0, leaves, message.price.0));
                }
            }
            OrderAction::Cancel { order } => {
                if let Some(old) = self.orders.remove(&order.0) {
                    self.say(told(VenueEventKind::Canceled, order.0, old.leaves));
                }
            }
            OrderAction::Reduce { .. } => unreachable!("nobody asks for it here"),
        }
    }

    fn trade(&mut self, order: u32, part: u32) {
        let Some(at) = self.orders.get_mut(&order) else { return };
        let quantity = part.min(at.leaves);
        at.leaves -= quantity;
        at.executed += quantity;
        let (side, left) = (at.side, at.leaves);
        if left == 0 {
            self.orders.remove(&order);
        }
        self.position += side.sign() * i64::from(quantity);
        let number = self.trades.len() as u64 + 1;
        self.trades.push((number, order, side, quantity));
        self.say(executed(order, quantity, 10_0000, number));
    }

    fn shrink(&mut self, order: u32, part: u32) {
        let Some(at) = self.orders.get_mut(&order) else { return };
        let quantity = part.min(at.leaves);
        at.leaves -= quantity;
        if at.leaves == 0 {
            self.orders.remove(&order);
        }
        self.say(told(VenueEventKind::Canceled, order, quantity));
    }

    fn break_trade(&mut self, pick: usize) {
        let Some(&(number, order, side, quantity)) = self.trades.get(pick) else { return };
        if self.broken.contains(&number) {
            return;
        }
        self.broken.push(number);
        self.position -= side.sign() * i64::from(quantity);
        self.say(VenueEvent { match_number: number, ..told(VenueEventKind::Broken, order, 0) });
    }

    /// Position with every order of a side filled: those here and those on their way, replaces at their worst.
    fn worst(&self, side: Side) -> i64 {
        let mut worst: BTreeMap<u32, i64> =
            self.orders.iter().filter(|(_, at)| at.side == side).map(|(id, at)| (*id, i64::from(at.leaves))).collect();
        let mut executed: BTreeMap<u32, u32> = self.orders.iter().map(|(id, at)| (*id, at.executed)).collect();
        for message in self.waiting.iter().filter(|message| message.side == side) {
            match message.action {
                OrderAction::New { order } => {
                    worst.insert(order.0, i64::from(message.quantity));
                    executed.insert(order.0, 0);
                }
                OrderAction::Replace { previous, order } => {
                    let Some(old) = worst.remove(&previous.0) else { continue };
                    let done = executed.get(&previous.0).copied().unwrap_or(0);
                    executed.insert(order.0, done);
                    worst.insert(order.0, old.max(i64::from(message.quantity) - i64::from(done)));
                }
                OrderAction::Cancel { .. } | OrderAction::Reduce { .. } => {}
            }
        }
        side.sign() * self.position + worst.values().sum::<i64>()
    }
}

/// Hands over what waits. Nothing is recalled in this test, so each order record is one message, in the same order.
fn hand_over(rig: &mut Rig<(Script,)>, venue: &mut Venue) {
    let sent = rig.sent();
    let records: Vec<OrderRecord> = rig.rec.all(Kind::Order);
    let new = &records[records.len() - sent.len()..];
    for (record, sent) in new.iter().zip(&sent) {
        let (action, previous) = match sent.action {
            OrderAction::New { .. } => (ACTION_NEW, 0),
            OrderAction::Replace { previous, .. } => (ACTION_REPLACE, previous.0),
            OrderAction::Cancel { .. } | OrderAction::Reduce { .. } => (ACTION_CANCEL, 0),
        };
        assert_eq!((record.action, record.order, record.replaces), (action, sent.id().0, previous));
        assert_eq!((record.price, record.quantity), (sent.price.0, sent.quantity));
        assert_eq!((record.symbol, record.side), (sent.symbol.0, sent.side as u8));
    }
    venue.handed_over += sent.len();
    assert_eq!(venue.handed_over, records.len(), "a record a message, none twice");
    venue.waiting.extend(sent);
}

fn hear(rig: &mut Rig<(Script,)>, venue: &mut Venue) -> bool {
    let Some(event) = venue.said.pop_front() else { return false };
    rig.venue(event);
    hand_over(rig, venue);
    true
}

/// A new process: the segment told it the next order id, the venue tells the rest.
fn restart(config: Config, next_order_id: u32, venue: &mut Venue) -> (Rig<(Script,)>, Lines) {
    let script = Script::default();
    let lines = script.lines.clone();
    let mut rig = Rig::bare(Config { restarted: true, next_order_id, ..config }, 1, (script,));
    rig.feed(&[trading(0), print(0, 10_0000)]);
    rig.conn(ConnEvent::Up);
    rig.conn(ConnEvent::Room(1 << 20));
    venue.handed_over = 0;
    venue.said.clear();
    for event in venue.log.clone() {
        rig.venue(event);
        assert!(rig.sent().is_empty(), "nothing leaves before the log is replayed");
    }
    rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
    hand_over(&mut rig, venue);
    (rig, lines)
}

fn say(rig: &mut Rig<(Script,)>, lines: &Lines, venue: &mut Venue, intent: Intent) {
    lines.borrow_mut().push_back(intent);
    rig.input(Input::Timer);
    hand_over(rig, venue);
}

fn ours(rig: &Rig<(Script,)>, pick: usize) -> Option<OrderId> {
    let orders = rig.pipeline.desk().orders();
    orders.open().map(|order| order.id()).nth(pick % (orders.open_count() as usize).max(1))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_interleaving_exceeds_the_limit_or_loses_an_order(steps in proptest::collection::vec(step(), 1..120)) {
        let mut config = config();
        config.limits.position_max = LIMIT;
        config.limits.duplicate_window_ns = 0;
        // Both sides at one price: what is asked here is whether all of it is counted.
        config.limits.self_trade = SelfTrade::Off;
        let (mut rig, mut lines) = scripted(config.clone(), 1);
        let mut venue = Venue::default();
        let mut breaks = false;
        for step in steps {
            match step {
                Step::New { sell, quantity } => {
                    let side = if sell { Side::Sell } else { Side::Buy };
                    say(&mut rig, &lines, &mut venue, new(0, side, 10_0000, quantity));
                }
                Step::Replace { pick, quantity } => {
                    if let Some(order) = ours(&rig, pick) {
                        let price = Price(10_0001);
                        say(&mut rig, &lines, &mut venue, Intent::Replace { order, price, quantity });
                    }
                }
                Step::Cancel { pick } => {
                    if let Some(order) = ours(&rig, pick) {
                        say(&mut rig, &lines, &mut venue, Intent::Cancel { order });
                    }
                }
                Step::Take { odd } => venue.take(odd),
                Step::Trade { pick, part } => if let Some(order) = venue.picked(pick) { venue.trade(order, part) },
                Step::Shrink { pick, part } => if let Some(order) = venue.picked(pick) { venue.shrink(order, part) },
                Step::Break { pick } => {
                    // The venue may break a trade that took risk off: then more is held than the gate could foresee.
                    breaks = true;
                    venue.break_trade(pick);
                }
                Step::Hear => { hear(&mut rig, &mut venue); }
                Step::Reconnect { arrived } => {
                    // Some of what was on its way arrives, the rest never does.
                    for _ in 0..arrived {
                        venue.take(255);
                    }
                    venue.waiting.clear();
                    rig.conn(ConnEvent::Down(DownReason::Reset));
                    rig.conn(ConnEvent::Up);
                    rig.conn(ConnEvent::Room(1 << 20));
                    while hear(&mut rig, &mut venue) {}
                    rig.venue(VenueEvent::new(VenueEventKind::CaughtUp));
                    hand_over(&mut rig, &mut venue);
                }
                Step::Crash { arrived } => {
                    for _ in 0..arrived {
                        venue.take(255);
                    }
                    venue.waiting.clear();
                    let next = rig.pipeline.next_order_id();
                    (rig, lines) = restart(config.clone(), next, &mut venue);
                    prop_assert!(rig.pipeline.next_order_id() >= next, "an id is given out twice");
                    let held = rig.pipeline.desk().gate().exposures()[0].position();
                    prop_assert_eq!(held, venue.position);
                }
            }
            if !breaks {
                for side in [Side::Buy, Side::Sell] {
                    let worst = venue.worst(side);
                    prop_assert!(worst <= LIMIT, "{:?} could reach {}", side, worst);
                    // What the venue did and we have not heard only lowers what is at risk.
                    let gate = rig.pipeline.desk().gate().exposures()[0].worst(side, 0);
                    prop_assert!(gate >= worst, "{side:?}: the gate counts {gate}, the venue could reach {worst}");
                }
            }
            prop_assert_eq!(rig.pipeline.desk().gate().halt(), None);
            super::stake::assert_sums(rig.pipeline.desk());
        }
        // Everything is said: both have the same orders and the same position.
        while !venue.waiting.is_empty() || !venue.said.is_empty() {
            venue.take(255);
            hear(&mut rig, &mut venue);
        }
        let desk = rig.pipeline.desk();
        let open: BTreeMap<u32, u32> = desk.orders().open().map(|o| (o.id().0, o.leaves())).collect();
        let theirs: BTreeMap<u32, u32> = venue.orders.iter().map(|(id, at)| (*id, at.leaves)).collect();
        prop_assert_eq!(open, theirs);
        let held = desk.portfolio().position(0, InstrumentId(0)).shares;
        prop_assert_eq!(held, venue.position);
        prop_assert_eq!(desk.gate().exposures()[0].position(), venue.position);
        for side in [Side::Buy, Side::Sell] {
            let leaves: i64 = venue.orders.values().filter(|at| at.side == side).map(|at| i64::from(at.leaves)).sum();
            prop_assert_eq!(rig.open(side), leaves);
        }
        prop_assert_eq!(rig.refused(Reason::Killed), 0);
    }
}
