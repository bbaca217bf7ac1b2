//! What must hold in every state, and what a venue that breaks its own rules must lead to.

use super::World;
use super::bench::{Bench, Ours, is_over};
use super::venue::{CANCEL, Message, REDUCE, Venue};
use crate::orders::LATE_MAX;
use crate::risk::HaltReason;
use crate::session::VenueEventKind;
use crate::testing::{executed, told};
use crate::units::OrderId;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Messages that left in a step: ids only grow, and none is given twice.
pub(super) fn ids_grow(last_sent: &mut u32, sent: &[Message]) -> Result<(), String> {
    for message in sent.iter().filter(|message| !matches!(message.kind, CANCEL | REDUCE)) {
        if message.id <= *last_sent {
            return Err(format!("id {} after {last_sent}", message.id));
        }
        *last_sent = message.id;
    }
    Ok(())
}

/// What is over stays over.
pub(super) fn dead_stay_dead(before: &Ours, after: &Ours) -> Result<(), String> {
    for dead in before.known().filter(|order| is_over(order)) {
        if let Some(order) = after.orders.find(dead.id)
            && order.state().is_open()
        {
            return Err(format!("order {} was {:?} and is {:?}", dead.id.0, dead.state(), order.state()));
        }
    }
    Ok(())
}

/// What holds in every state.
pub(super) fn always(world: &World) -> Result<(), String> {
    let (ours, venue) = (&world.ours, &world.venue);
    if let Some(halt) = ours.halt() {
        return Err(format!("trading stopped although the venue kept to its rules: {halt:?}"));
    }
    let heard = venue.position_heard();
    if ours.positions() != [heard; 2] {
        return Err(format!("positions are {:?}, executions less breaks make {heard}", ours.positions()));
    }
    let (waiting, _) = ours.waiting();
    for is_sell in [false, true] {
        let may_trade = venue.may_trade(is_sell, &waiting) + venue.traded_unheard(is_sell);
        let counted = ours.open_shares(is_sell);
        if counted < may_trade as i64 {
            return Err(format!("{counted} shares count as open, {may_trade} may still trade (sell: {is_sell})"));
        }
    }
    awaited(ours)?;
    // What a venue has swallowed it has to tell in its next log.
    if venue.swallowed == 0 && waiting.is_empty() && venue.inbound.is_empty() && venue.heard == venue.log.len() {
        settled(ours, venue)?;
    }
    Ok(())
}

/// A deadline passed: each order that it was of is counted, at the first a cancel of it leaves or left, and at the second
/// trading stops.
pub(super) fn told_of_silence(before: &Ours, after: &Ours) -> Result<(), String> {
    let mut given_up = false;
    for order in after.orders.open().filter(|order| order.is_late()) {
        let late_before = before.orders.find(order.id).map_or(0, |order| order.late);
        given_up |= order.late > late_before && order.late >= LATE_MAX;
        if !order.cancel_wanted {
            return Err(format!("order {} is not answered, and no cancel is wanted", order.id.0));
        }
    }
    let late = after.orders.open().filter(|order| order.is_late()).count();
    if after.unanswered as usize != late {
        return Err(format!("{} orders count as not answered, {late} are", after.unanswered));
    }
    let expected = given_up.then_some(HaltReason::NoAnswer);
    if after.halt() != expected {
        return Err(format!("trading is stopped for {:?}, it has to be for {expected:?}", after.halt()));
    }
    Ok(())
}

/// What waits for a word has a deadline, or is told of.
fn awaited(ours: &Ours) -> Result<(), String> {
    for order in ours.orders.open().filter(|order| order.awaits_answer()) {
        if order.answer_due.0 == 0 && order.late < LATE_MAX {
            return Err(format!("order {} waits without a deadline: {order:?}", order.id.0));
        }
    }
    Ok(())
}

/// Everything is said and heard: both have the same orders, and nothing waits for a word that will not come.
fn settled(ours: &Ours, venue: &Venue) -> Result<(), String> {
    let mut open: Vec<(u32, u32)> = ours.orders.open().map(|order| (order.id.0, order.leaves)).collect();
    let mut live: Vec<(u32, u32)> = venue.live.iter().map(|live| (live.id, live.open)).collect();
    open.sort_unstable();
    live.sort_unstable();
    if open != live {
        return Err(format!("open here {open:?}, live there {live:?}"));
    }
    for order in ours.orders.open() {
        let at_venue = venue.live.iter().find(|live| live.id == order.id.0);
        let is_awaited = at_venue.is_some_and(|live| live.is_cancel_pending);
        let is_paused = order.cancel_due.0 != 0;
        if order.pending.0 != 0 || order.doubtful || !(order.is_settled() || is_awaited || is_paused) {
            return Err(format!("order {} waits for an answer that will not come: {order:?}", order.id.0));
        }
    }
    for is_sell in [false, true] {
        let leaves: u64 = venue.live.iter().filter(|l| l.is_sell == is_sell).map(|l| u64::from(l.open)).sum();
        if ours.open_shares(is_sell) != leaves as i64 {
            return Err(format!("{} shares count as open, {leaves} are", ours.open_shares(is_sell)));
        }
    }
    Ok(())
}

/// A venue that breaks its own rules: shares count, and trading stops. Asked where all was heard.
pub(super) fn loud_when_wrong(bench: &mut Bench, world: &World) -> Result<u64, String> {
    let mut asked = 0;
    let number = 900;
    let next_seq = world.venue.log.len() as u64 + 1;
    let held = world.venue.position_heard();
    let mut ask = |event, by: i64, reason: HaltReason| {
        let mut ours = world.ours.clone();
        bench.with(&mut ours, |bench| bench.hear(&crate::session::VenueEvent { session_seq: next_seq, ..event }));
        asked += 1;
        if ours.halt() != Some(reason) || ours.positions() != [held + by; 2] {
            return Err(format!("{event:?} led to {:?}, positions {:?}", ours.halt(), ours.positions()));
        }
        Ok(())
    };
    for order in world.ours.known() {
        // More than is open, of an order that lives or is dead.
        let shares = order.leaves + 1;
        let by = order.side.sign() * i64::from(shares);
        ask(executed(order.id.0, shares, 10_0000, number), by, HaltReason::Overfill)?;
    }
    for order in world.ours.orders.open().filter(|order| order.asked_to_enter().is_some()) {
        let more = crate::testing::accepted(order.id.0, order.leaves + 1, order.price.0);
        ask(more, 0, HaltReason::OverAccepted)?;
        let worse = crate::testing::accepted(order.id.0, order.leaves, order.price.0 + order.side.sign());
        ask(worse, 0, HaltReason::OverAccepted)?;
    }
    for order in world.ours.orders.open().filter(|order| order.pending.0 != 0) {
        let more = order.pending_total.saturating_sub(order.executed) + 1;
        let event = crate::testing::replaced(order.id.0, order.pending.0, more, order.pending_price.0);
        ask(event, 0, HaltReason::OverAccepted)?;
    }
    let stranger = OrderId(77);
    ask(executed(stranger.0, 1, 10_0000, number), 0, HaltReason::UnknownExecution)?;
    let broken = crate::session::VenueEvent { match_number: number, ..told(VenueEventKind::Broken, stranger.0, 0) };
    ask(broken, 0, HaltReason::UnknownExecution)?;
    Ok(asked)
}
