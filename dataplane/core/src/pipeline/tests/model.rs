//! Random traffic against an obviously right model: the worst case never exceeds the limit, and every order is where the
//! venue has it.

use super::Ask;
use crate::input::{ConnEvent, DownReason, Input};
use crate::risk::Reason;
use crate::session::{OrderAction, VenueEvent, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{Lines, Rig, Script, Sent, accepted, config, executed, new, replaced, scripted, told};
use crate::units::{InstrumentId, OrderId, Price, Side};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use proptest::prelude::*;

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
    trades: Vec<(u64, u32, Side, u32)>,
    broken: Vec<u64>,
    position: i64,
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
    ]
}

impl Venue {
    fn picked(&self, pick: usize) -> Option<u32> {
        self.orders.keys().copied().nth(pick % self.orders.len().max(1))
    }

    /// OUCH 5.0, section 2: what each message does to what is there.
    fn take(&mut self, odd: u8) {
        let Some(message) = self.waiting.pop_front() else { return };
        match message.action {
            OrderAction::New { order } if odd < 20 => self.said.push_back(told(VenueEventKind::Rejected, order.0, 0)),
            OrderAction::New { order } => {
                let (side, leaves) = (message.side, message.quantity);
                self.orders.insert(order.0, AtVenue { side, leaves, executed: 0 });
                self.said.push_back(accepted(order.0, leaves, 10_0000));
            }
            OrderAction::Replace { previous, order } => {
                // Not live: silently ignored (2.2, case 1).
                let Some(old) = self.orders.get(&previous.0).copied() else { return };
                let leaves = message.quantity.saturating_sub(old.executed);
                if odd < 20 {
                    self.said.push_back(told(VenueEventKind::Rejected, order.0, 0));
                } else if odd < 40 || leaves == 0 {
                    // Invalid: the order is taken out (case 2).
                    self.orders.remove(&previous.0);
                    self.said.push_back(told(VenueEventKind::Canceled, previous.0, old.leaves));
                } else {
                    self.orders.remove(&previous.0);
                    self.orders.insert(order.0, AtVenue { leaves, ..old });
                    self.said.push_back(replaced(previous.0, order.0, leaves, 10_0000));
                }
            }
            OrderAction::Cancel { order } => {
                if let Some(old) = self.orders.remove(&order.0) {
                    self.said.push_back(told(VenueEventKind::Canceled, order.0, old.leaves));
                }
            }
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
        self.said.push_back(executed(order, quantity, 10_0000, number));
    }

    fn shrink(&mut self, order: u32, part: u32) {
        let Some(at) = self.orders.get_mut(&order) else { return };
        let quantity = part.min(at.leaves);
        at.leaves -= quantity;
        if at.leaves == 0 {
            self.orders.remove(&order);
        }
        self.said.push_back(told(VenueEventKind::Canceled, order, quantity));
    }

    fn break_trade(&mut self, pick: usize) {
        let Some(&(number, order, side, quantity)) = self.trades.get(pick) else { return };
        if self.broken.contains(&number) {
            return;
        }
        self.broken.push(number);
        self.position -= side.sign() * i64::from(quantity);
        self.said.push_back(VenueEvent { match_number: number, ..told(VenueEventKind::Broken, order, 0) });
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
                OrderAction::Cancel { .. } => {}
            }
        }
        side.sign() * self.position + worst.values().sum::<i64>()
    }
}

fn hear(rig: &mut Rig<(Script,)>, venue: &mut Venue) -> bool {
    let Some(event) = venue.said.pop_front() else { return false };
    rig.venue(event);
    venue.waiting.extend(rig.sent());
    true
}

fn say(rig: &mut Rig<(Script,)>, lines: &Lines, venue: &mut Venue, intent: Intent) {
    lines.borrow_mut().push_back(intent);
    rig.input(Input::Timer);
    venue.waiting.extend(rig.sent());
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
        let (mut rig, lines) = scripted(config, 1);
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
                    venue.waiting.extend(rig.sent());
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
