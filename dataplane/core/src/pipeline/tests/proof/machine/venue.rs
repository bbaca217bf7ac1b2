//! A venue, written from OUCH 5.0 alone: what it does with each message, and everything that it may do by itself. It has
//! its own orders, and says what it did in a log that is heard in order.

use crate::session::{OrderAction, TimeInForce, VenueEvent, VenueEventKind};
use crate::testing::{Sent, accepted, executed, replaced, told};
use crate::units::{Side, StrategyId, Symbol};
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

/// The price of all buys, and of all sells: they never meet.
pub(super) const fn price_of(is_sell: bool) -> i64 {
    if is_sell { 10_0100 } else { 10_0000 }
}

/// Less than this many shares a chain (2.2).
const SHARES_END: u32 = 1_000_000;

/// A live order.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) id: u32,
    pub(super) is_sell: bool,
    pub(super) open: u32,
    /// Of the whole chain.
    pub(super) executed: u32,
    /// Shares taken off by self match prevention, of the whole chain.
    pub(super) decremented: u32,
    /// It will be canceled after the cross (3.9).
    pub(super) is_cancel_pending: bool,
    /// A cancel was rejected once (3.10).
    pub(super) is_cancel_rejected: bool,
}

/// A trade.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Trade {
    pub(super) number: u64,
    pub(super) id: u32,
    pub(super) is_sell: bool,
    pub(super) shares: u32,
    pub(super) is_broken: bool,
}

/// What the venue makes of the message that came first.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Answer {
    /// It does what it is asked for; of an order that is immediate or cancel, so many shares trade.
    Does(u32),
    /// Accepted or replaced, and canceled at once (order state D).
    Dead,
    /// 3.8.
    Rejects,
    /// 2.2, case 2: the details are invalid, the existing order is taken out.
    TakesOut,
    /// 3.9.
    CancelPending,
    /// 3.10.
    CancelRejected,
    /// Nothing is live under the id, or the message is one again: no word.
    Ignores,
    /// It is broken: the message is lost in it, and no word ever comes.
    Never,
}

/// What the venue does by itself.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Deed {
    Trades {
        id: u32,
        shares: u32,
    },
    /// Timed out, halted, end of day: all that is open.
    Cancels {
        id: u32,
    },
    /// A share is taken off by self match prevention (3.5).
    Decrements {
        id: u32,
    },
    Breaks {
        number: u64,
    },
    /// What was said is said again, under a new number of the log.
    BreaksAgain {
        number: u64,
    },
    ExecutesAgain {
        number: u64,
    },
}

/// The venue.
#[derive(Clone, Debug, Default)]
pub(super) struct Venue {
    pub(super) live: Vec<Live>,
    /// The greatest UserRefNum used.
    pub(super) last_used: u32,
    pub(super) inbound: VecDeque<Message>,
    pub(super) log: Vec<VenueEvent>,
    /// Messages of the log that were heard.
    pub(super) heard: usize,
    pub(super) trades: Vec<Trade>,
    /// Messages that were never answered, since the log was told last.
    pub(super) swallowed: u8,
}

/// A message of ours as it came in.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Message {
    /// Enter, replace, cancel, cancel a part.
    pub(super) kind: u8,
    pub(super) id: u32,
    pub(super) previous: u32,
    pub(super) is_sell: bool,
    pub(super) shares: u32,
    pub(super) is_ioc: bool,
}

pub(super) const ENTER: u8 = 0;
pub(super) const REPLACE: u8 = 1;
pub(super) const CANCEL: u8 = 2;
pub(super) const REDUCE: u8 = 3;

impl Message {
    pub(super) fn of(sent: &Sent) -> Self {
        let (kind, previous) = match sent.action {
            OrderAction::New { .. } => (ENTER, 0),
            OrderAction::Replace { previous, .. } => (REPLACE, previous.0),
            OrderAction::Cancel { .. } => (CANCEL, 0),
            OrderAction::Reduce { .. } => (REDUCE, 0),
        };
        let is_sell = sent.side == Side::Sell;
        Self { kind, id: sent.id().0, previous, is_sell, shares: sent.quantity, is_ioc: sent.ioc }
    }
}

/// The time in force of an intent.
pub(super) const fn time_in_force(is_ioc: bool) -> TimeInForce {
    if is_ioc { TimeInForce::Ioc } else { TimeInForce::Day }
}

impl Venue {
    fn at(&self, id: u32) -> Option<usize> {
        self.live.iter().position(|live| live.id == id)
    }

    pub(super) fn say(&mut self, event: VenueEvent, is_sell: bool) {
        let side = Some(if is_sell { Side::Sell } else { Side::Buy });
        let session_seq = self.log.len() as u64 + 1;
        let (symbol, strategy) = (Symbol::new("S0"), Some(StrategyId(1)));
        self.log.push(VenueEvent { symbol, side, strategy, session_seq, ..event });
    }

    /// What may become of the oldest message.
    pub(super) fn answers(&self) -> Vec<Answer> {
        let mut all = self.proper_answers();
        if !self.inbound.is_empty() {
            all.push(Answer::Never);
        }
        all
    }

    fn proper_answers(&self) -> Vec<Answer> {
        let Some(message) = self.inbound.front() else { return Vec::new() };
        match message.kind {
            // 1.2: taken for a retransmission.
            ENTER if message.id <= self.last_used => vec![Answer::Ignores],
            ENTER if message.is_ioc => {
                let mut all: Vec<Answer> = (0..=message.shares).map(Answer::Does).collect();
                all.extend([Answer::Rejects]);
                all
            }
            ENTER => vec![Answer::Does(0), Answer::Dead, Answer::Rejects],
            REPLACE => {
                let Some(at) = self.at(message.previous).filter(|_| message.id > self.last_used) else {
                    return vec![Answer::Ignores];
                };
                if self.left_of_chain(&self.live[at], message.shares) == 0 || message.shares >= SHARES_END {
                    return vec![Answer::TakesOut, Answer::Rejects];
                }
                vec![Answer::Does(0), Answer::Dead, Answer::Rejects, Answer::TakesOut]
            }
            // 2.3: one that would take nothing off is superfluous.
            REDUCE => match self.at(message.id).map(|at| self.live[at]) {
                Some(live) if !live.is_cancel_pending && self.intended(&live, message.shares) < live.open => {
                    let rejects = (!live.is_cancel_rejected).then_some(Answer::CancelRejected);
                    core::iter::once(Answer::Does(0)).chain(rejects).collect()
                }
                _ => vec![Answer::Ignores],
            },
            _ => match self.at(message.id).map(|at| self.live[at]) {
                Some(live) if !live.is_cancel_pending => {
                    let rejects = (!live.is_cancel_rejected).then_some(Answer::CancelRejected);
                    [Answer::Does(0), Answer::CancelPending].into_iter().chain(rejects).collect()
                }
                _ => vec![Answer::Ignores],
            },
        }
    }

    /// 2.2: the shares of a replace are those of the whole chain, what was decremented included.
    fn left_of_chain(&self, live: &Live, total: u32) -> u32 {
        total.saturating_sub(live.executed + live.decremented)
    }

    /// 2.3: what stays open when so many shares may trade in total.
    fn intended(&self, live: &Live, total: u32) -> u32 {
        total.saturating_sub(live.executed)
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        let Some(message) = self.inbound.pop_front() else { return };
        match answer {
            Answer::Ignores => return,
            Answer::Never => return self.swallowed += 1,
            _ => {}
        }
        match message.kind {
            ENTER => self.enter(&message, answer),
            REPLACE => self.replace(&message, answer),
            REDUCE if answer == Answer::Does(0) => self.reduce(&message),
            _ => self.cancel(&message, answer),
        }
    }

    fn reduce(&mut self, message: &Message) {
        let Some(at) = self.at(message.id) else { return };
        let Live { is_sell, open, .. } = self.live[at];
        let off = open - self.intended(&self.live[at], message.shares);
        self.take_off(at, off);
        self.say(told(VenueEventKind::Canceled, message.id, off), is_sell);
    }

    fn enter(&mut self, message: &Message, answer: Answer) {
        let Message { id, is_sell, shares, .. } = *message;
        self.last_used = id;
        if answer == Answer::Rejects {
            return self.say(told(VenueEventKind::Rejected, id, 0), is_sell);
        }
        let is_live = answer != Answer::Dead;
        self.say(VenueEvent { live: is_live, ..accepted(id, shares, price_of(is_sell)) }, is_sell);
        if !is_live {
            return;
        }
        self.live.push(Live {
            id,
            is_sell,
            open: shares,
            executed: 0,
            decremented: 0,
            is_cancel_pending: false,
            is_cancel_rejected: false,
        });
        if let (true, Answer::Does(traded)) = (message.is_ioc, answer) {
            if traded > 0 {
                self.deed(Deed::Trades { id, shares: traded });
            }
            self.deed(Deed::Cancels { id });
        }
    }

    fn replace(&mut self, message: &Message, answer: Answer) {
        let Some(at) = self.at(message.previous) else { return };
        let live = self.live[at];
        if answer == Answer::TakesOut {
            // The id is not used.
            return self.deed(Deed::Cancels { id: live.id });
        }
        self.last_used = message.id;
        if answer == Answer::Rejects {
            return self.say(told(VenueEventKind::Rejected, message.id, 0), live.is_sell);
        }
        let open = self.left_of_chain(&live, message.shares);
        let is_live = answer != Answer::Dead;
        let event = VenueEvent { live: is_live, ..replaced(live.id, message.id, open, price_of(live.is_sell)) };
        self.say(event, live.is_sell);
        if is_live {
            self.live[at] = Live { id: message.id, open, is_cancel_rejected: false, ..live };
        } else {
            self.live.remove(at);
        }
    }

    fn cancel(&mut self, message: &Message, answer: Answer) {
        let Some(at) = self.at(message.id) else { return };
        let is_sell = self.live[at].is_sell;
        match answer {
            Answer::CancelPending => {
                self.live[at].is_cancel_pending = true;
                self.say(told(VenueEventKind::CancelPending, message.id, 0), is_sell);
            }
            Answer::CancelRejected => {
                self.live[at].is_cancel_rejected = true;
                self.say(told(VenueEventKind::CancelRejected, message.id, 0), is_sell);
            }
            _ => self.deed(Deed::Cancels { id: message.id }),
        }
    }

    /// What it may do by itself: the usual, and the odd.
    pub(super) fn deeds(&self) -> (Vec<Deed>, Vec<Deed>) {
        let (mut usual, mut odd) = (Vec::new(), Vec::new());
        for Live { id, open, is_cancel_pending, .. } in self.live.iter().copied() {
            usual.push(Deed::Trades { id, shares: open });
            // What was to be canceled after the cross is canceled after it.
            if is_cancel_pending { &mut usual } else { &mut odd }.push(Deed::Cancels { id });
            if open > 1 {
                usual.push(Deed::Trades { id, shares: 1 });
                odd.push(Deed::Decrements { id });
            }
        }
        for Trade { number, is_broken, .. } in self.trades.iter().copied() {
            odd.push(Deed::ExecutesAgain { number });
            odd.push(if is_broken { Deed::BreaksAgain { number } } else { Deed::Breaks { number } });
        }
        (usual, odd)
    }

    pub(super) fn deed(&mut self, deed: Deed) {
        match deed {
            Deed::Trades { id, shares } => {
                let Some(at) = self.at(id) else { return };
                let number = self.trades.len() as u64 + 1;
                let is_sell = self.live[at].is_sell;
                self.live[at].executed += shares;
                self.take_off(at, shares);
                self.trades.push(Trade { number, id, is_sell, shares, is_broken: false });
                self.say(executed(id, shares, price_of(is_sell), number), is_sell);
            }
            Deed::Cancels { id } => {
                let Some(at) = self.at(id) else { return };
                let Live { is_sell, open, .. } = self.live.remove(at);
                self.say(told(VenueEventKind::Canceled, id, open), is_sell);
            }
            Deed::Decrements { id } => {
                let Some(at) = self.at(id) else { return };
                let is_sell = self.live[at].is_sell;
                self.live[at].decremented += 1;
                self.take_off(at, 1);
                self.say(told(VenueEventKind::Canceled, id, 1), is_sell);
            }
            Deed::Breaks { number } | Deed::BreaksAgain { number } => {
                let Some(trade) = self.trades.iter_mut().find(|trade| trade.number == number) else { return };
                trade.is_broken = true;
                let Trade { id, is_sell, .. } = *trade;
                self.say(VenueEvent { match_number: number, ..told(VenueEventKind::Broken, id, 0) }, is_sell);
            }
            Deed::ExecutesAgain { number } => {
                let Some(trade) = self.trades.iter().find(|trade| trade.number == number).copied() else { return };
                self.say(executed(trade.id, trade.shares, price_of(trade.is_sell), number), trade.is_sell);
            }
        }
    }

    fn take_off(&mut self, at: usize, shares: u32) {
        self.live[at].open -= shares;
        if self.live[at].open == 0 {
            self.live.remove(at);
        }
    }

    /// Shares of a side that may still trade, with everything that is on its way, or waits to be, at its worst.
    pub(super) fn may_trade(&self, is_sell: bool, waiting: &[Message]) -> u64 {
        let on_its_way = || self.inbound.iter().chain(waiting);
        let live = self.live.iter().filter(|live| live.is_sell == is_sell).map(|live| {
            let asks = on_its_way().filter(|message| message.kind == REPLACE && message.previous == live.id);
            let later = asks.map(|message| self.left_of_chain(live, message.shares)).max();
            u64::from(live.open.max(later.unwrap_or(0)))
        });
        let coming = on_its_way().filter(|message| message.kind == ENTER && message.is_sell == is_sell);
        live.sum::<u64>() + coming.map(|message| u64::from(message.shares)).sum::<u64>()
    }

    /// Shares of a side that traded, and of which nothing was heard.
    pub(super) fn traded_unheard(&self, is_sell: bool) -> u64 {
        let heard: Vec<u64> = self.said(0..self.heard, VenueEventKind::Executed).collect();
        let unheard: Vec<u64> = self.said(self.heard..self.log.len(), VenueEventKind::Executed).collect();
        let of_side = self.trades.iter().filter(|trade| trade.is_sell == is_sell && !heard.contains(&trade.number));
        of_side.filter(|trade| unheard.contains(&trade.number)).map(|trade| u64::from(trade.shares)).sum()
    }

    /// Match numbers of what was said of a kind.
    fn said(&self, part: core::ops::Range<usize>, kind: VenueEventKind) -> impl Iterator<Item = u64> {
        self.log[part].iter().filter(move |event| event.kind == kind).map(|event| event.match_number)
    }

    /// The position that follows from what was heard: executions less breaks, each once.
    pub(super) fn position_heard(&self) -> i64 {
        let executed: Vec<u64> = self.said(0..self.heard, VenueEventKind::Executed).collect();
        let broken: Vec<u64> = self.said(0..self.heard, VenueEventKind::Broken).collect();
        let stands = |trade: &&Trade| executed.contains(&trade.number) && !broken.contains(&trade.number);
        let signed = |trade: &Trade| if trade.is_sell { -i64::from(trade.shares) } else { i64::from(trade.shares) };
        self.trades.iter().filter(stands).map(signed).sum()
    }
}
