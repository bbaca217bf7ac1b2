//! What people do by hand: orders through the gate, cancels of any order, trades that they tell; and bounds of a price.

use super::checks;
use super::firm::{Fault, Firm, INSTRUMENTS, Num, Outcome, Trade};
use super::steps::Maker;
use super::verdict::{Ask, TOLD, Terms, strategy_of, symbol_key};
use crate::risk::{Reason, Refusal};
use crate::session::TimeInForce;
use crate::strategy::Intent;
use crate::units::{InstrumentId, Price, Side};
use tern_abi::command::{LimitsOutcome, SetBounds};
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::manual::{ManualCommand, ManualKind, ManualOutcome, ManualStage};

/// Whose the orders are that people send.
pub(super) const DESK: usize = 1;
/// A symbol that no feed named.
const NOWHERE: [u8; 8] = *b"NOWHERE ";

impl Firm {
    /// A wish. What comes of it is an outcome behind what it did.
    pub(super) fn by_hand(&mut self, wish: &ManualCommand) {
        let is_done = match wish.stage() {
            Some(ManualStage::Do) => true,
            Some(ManualStage::Check) => false,
            _ => return,
        };
        let place = (0..INSTRUMENTS).find(|place| symbol_key(*place) == u64::from_le_bytes(wish.symbol));
        let unknown = Refusal::new(Reason::UnknownInstrument);
        let said = match wish.what() {
            Some(ManualKind::Order) => match place {
                None => Err((unknown, true)),
                Some(place) => self.order_by_hand(wish, place, is_done),
            },
            Some(ManualKind::Cancel) => self.cancel_by_hand(wish, is_done),
            Some(ManualKind::Adjust) => match place {
                None => Err((unknown, true)),
                Some(place) => self.told_trade(wish, place, is_done).map_err(|refusal| (refusal, true)),
            },
            _ => unreachable!("no step asks for it"),
        };
        match said {
            Ok((outcome, value)) => self.out.push(Outcome::ByHand(outcome, None, value)),
            Err((refusal, is_uncounted)) => {
                self.refusals[refusal.reason.index()] += u64::from(is_done && is_uncounted);
                self.out.push(Outcome::ByHand(ManualOutcome::Refused, Some(refusal), refusal.value.into()));
            }
        }
    }

    /// The error says whether the refusal is not counted yet.
    fn order_by_hand(
        &mut self,
        wish: &ManualCommand,
        place: usize,
        is_done: bool,
    ) -> Result<(ManualOutcome, Num), (Refusal, bool)> {
        let intent = intent_of(wish, place);
        if !is_done {
            let ask = self.ask(DESK, &intent, 0).map_err(|refusal| (refusal, true))?;
            return self.may_enter(&ask).map(|()| (ManualOutcome::Passes, 0)).map_err(|refusal| (refusal, true));
        }
        match self.act(DESK, &intent, 0) {
            None => Ok((ManualOutcome::Sent, 0)),
            Some(refusal) => Err((refusal, false)),
        }
    }

    fn cancel_by_hand(&mut self, wish: &ManualCommand, is_done: bool) -> Result<(ManualOutcome, Num), (Refusal, bool)> {
        let Some(at) = self.find(wish.order).filter(|at| self.orders[*at].is_open()) else {
            return Err((Refusal::new(Reason::UnknownOrder), true));
        };
        if !is_done {
            return Ok((ManualOutcome::Passes, 0));
        }
        self.orders[at].forget_refused();
        self.orders[at].cancel_wanted = true;
        Ok((ManualOutcome::Canceling, 0))
    }

    /// Everything that an order is asked but what is about sending one; the shares held with it.
    fn told_trade(
        &mut self,
        wish: &ManualCommand,
        place: usize,
        is_done: bool,
    ) -> Result<(ManualOutcome, Num), Refusal> {
        let owner = (0..super::firm::OWNERS).find(|owner| strategy_of(*owner) == wish.key).expect("steps name owners");
        let side = if wish.side == SIDE_BUY { Side::Buy } else { Side::Sell };
        let (price, quantity) = (Num::from(wish.price), Num::from(wish.quantity));
        let ask =
            Ask { owner, instrument: place, side, price, quantity, age_ns: 0, order: None, terms: Terms::default() };
        self.verdict(TOLD, &ask)?;
        let held = self.held[owner][place].shares + if side == Side::Buy { quantity } else { -quantity };
        if !is_done {
            return Ok((ManualOutcome::Passes, held));
        }
        self.values[place] = self.value_with(&ask);
        if self.fault != Some(Fault::ToldUncounted) {
            self.trades.push(Trade {
                at: self.now,
                match_number: 0,
                order: 0,
                owner,
                instrument: place,
                side,
                quantity,
                price,
                broken: false,
                undone: false,
                back: false,
                old_log: false,
                told: true,
            });
        }
        self.holdings_changed(place, price);
        Ok((ManualOutcome::Adjusted, held))
    }

    /// What bounds of a price come to: only a symbol that has some takes others, and only from whoever saw those in force.
    pub(super) fn bounds_outcome(&self, command: &SetBounds) -> Option<LimitsOutcome> {
        if command.symbol == [0; 8] {
            return None;
        }
        let Some((lowest, highest)) = self.band_of(command.symbol) else { return Some(LimitsOutcome::Range) };
        let [from, to] = command.wanted.map(Num::from);
        if command.seen.map(Num::from) != [lowest, highest] {
            Some(LimitsOutcome::Stale)
        } else if from < 1 || from > to || to > checks::PRICE_MAX {
            Some(LimitsOutcome::Range)
        } else {
            None
        }
    }

    /// The bounds of a symbol that has any.
    fn band_of(&self, symbol: [u8; 8]) -> Option<(Num, Num)> {
        let own = self.symbols.iter().find(|own| own.symbol.0 == symbol)?;
        (own.price_min.is_some() || own.price_max.is_some()).then(|| {
            let of = |price: Option<Price>, other: Num| price.map_or(other, |price| price.0.into());
            (of(own.price_min, 1), of(own.price_max, checks::PRICE_MAX))
        })
    }

    pub(super) fn put_bounds(&mut self, command: &SetBounds) {
        let [from, to] = command.wanted.map(|price| Some(Price(price.into())));
        let own = self.symbols.iter_mut().filter(|own| own.symbol.0 == command.symbol);
        own.for_each(|own| (own.price_min, own.price_max) = (from, to));
    }
}

fn intent_of(wish: &ManualCommand, place: usize) -> Intent {
    Intent::New {
        instrument: InstrumentId(place as u32),
        side: if wish.side == SIDE_BUY { Side::Buy } else { Side::Sell },
        price: Price(wish.price),
        quantity: wish.quantity,
        min_quantity: 0,
        time_in_force: TimeInForce::from_letter(wish.time_in_force).expect("steps have one"),
        post_only: wish.post_only != 0,
    }
}

/// The collar, where there is a reference.
pub(super) fn told_collar(firm: &Firm, ask: &Ask) -> Option<Refusal> {
    checks::collar(firm, ask).filter(|refusal| refusal.reason != Reason::NoReference)
}

impl Maker<'_> {
    /// A wish, mostly one that makes sense.
    pub(super) fn wish(&mut self) -> ManualCommand {
        let what = self.random.pick(&[ManualKind::Order, ManualKind::Order, ManualKind::Cancel, ManualKind::Adjust]);
        let plain = ManualCommand::new(what, 1 + self.random.below(1000), 1000, "");
        let stages = [ManualStage::Do, ManualStage::Do, ManualStage::Do, ManualStage::Check, ManualStage::Asked];
        let stage = self.random.pick(&stages) as u32;
        let open = self.firm.open();
        let order = match open.is_empty() || self.random.permille(100) {
            true => self.random.below(30) as u32,
            false => self.firm.orders[self.random.pick(&open)].cancel_target(),
        };
        let Some(Intent::New { instrument, side, price, quantity, time_in_force, post_only, .. }) = self.new_wish()
        else {
            return ManualCommand { what: ManualKind::Cancel as u32, stage, order, ..plain };
        };
        let symbol = match self.random.permille(20) {
            true => NOWHERE,
            false => symbol_key(instrument.index()).to_le_bytes(),
        };
        ManualCommand {
            stage,
            order,
            symbol,
            quantity,
            price: price.0,
            key: strategy_of(self.random.below(super::firm::OWNERS as u64) as usize),
            side: if side == Side::Buy { SIDE_BUY } else { SIDE_SELL },
            time_in_force: time_in_force.letter(),
            post_only: u8::from(post_only),
            ..plain
        }
    }

    fn new_wish(&mut self) -> Option<Intent> {
        let is_known =
            |intent: &Intent| matches!(intent, Intent::New { instrument, .. } if instrument.index() < INSTRUMENTS);
        Some(self.new_order()).filter(is_known)
    }

    /// Other bounds of a price, mostly as they may be.
    pub(super) fn set_bounds(&mut self) -> SetBounds {
        if self.random.permille(700) || self.firm.symbols.is_empty() {
            return SetBounds::default();
        }
        let at = self.random.below(self.firm.symbols.len() as u64) as usize;
        let symbol = self.firm.symbols[at].symbol.0;
        let (lowest, highest) = self.firm.band_of(symbol).unwrap_or((1, checks::PRICE_MAX));
        let seen = [lowest as u32 + u32::from(self.random.permille(50)), highest as u32];
        let from = self.random.pick(&[1, 9_9000, 9_9900, 10_0000]);
        let to = self.random.pick(&[10_0000, 10_0150, 10_2000, 1_999_999_900]);
        let wanted =
            self.random.pick(&[[from, to], [from, to], [from, to], [from, to], [to, from], [0, to], [from, u32::MAX]]);
        SetBounds { symbol: if self.random.permille(30) { NOWHERE } else { symbol }, seen, wanted }
    }
}
