//! Random steps: mostly sane, often at the very edge of a limit, now and then absurd.

use super::super::random::Random;
use super::firm::{Firm, INSTRUMENTS, Num};
use super::known::Known;
use super::verdict::{Ask, Terms, strategy_of};
use crate::feed::Distrust;
use crate::input::{ConnEvent, DownReason};
use crate::risk::LimitId;
use crate::session::{TimeInForce, VenueEvent, VenueEventKind};
use crate::strategy::Intent;
use crate::units::{InstrumentId, OrderId, Price, Side};
use std::boxed::Box;
use std::vec;
use std::vec::Vec;
use tern_abi::command::{Command, CommandKind, DaemonPulse, SetLimits};
use tern_abi::event::{BookEvent, EventKind, flags};
use tern_abi::manual::ManualCommand;
use tern_abi::segment::{ScopeKind, TradingState};

/// What goes wrong while intents are worked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    Nothing,
    /// Orders cannot be recorded.
    Record,
    /// The session cannot write them.
    Encode,
}

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Wait(u64),
    /// So many bytes to TCP.
    HandOver(usize),
    RingRoom(bool),
    Timer {
        intents: Vec<(usize, Intent)>,
        failing: Failing,
    },
    Datagram {
        events: Vec<BookEvent>,
        distrust: Option<Distrust>,
        age_ns: u64,
        intents: Vec<(usize, Intent)>,
    },
    Venue(VenueEvent),
    Command(Command),
    SetLimits(Box<SetLimits>),
    Conn(ConnEvent),
    Manual(Box<ManualCommand>),
}

/// Makes steps that know where the model stands.
pub(super) struct Maker<'a> {
    pub(super) random: &'a mut Random,
    pub(super) firm: &'a Firm,
    pub(super) matches: &'a mut u64,
    /// TCP hardly takes anything, and strategies say much at once.
    pub(super) is_slow: bool,
}

impl Maker<'_> {
    pub(super) fn step(&mut self) -> Step {
        if let Some(step) = self.way_back() {
            return step;
        }
        match self.random.below(1000) {
            0..400 => Step::Timer { intents: self.intents(), failing: Failing::Nothing },
            400..402 => Step::Timer { intents: self.intents(), failing: Failing::Record },
            402..404 => Step::Timer { intents: self.intents(), failing: Failing::Encode },
            404..500 => self.datagram(),
            500..790 => Step::Venue(self.venue()),
            790..850 => self.hand_over(),
            850..880 => Step::Manual(Box::new(self.wish())),
            880..930 => Step::Wait(self.wait()),
            930..980 => Step::Command(self.command()),
            980..990 => Step::SetLimits(Box::new(self.set_limits())),
            990..997 => Step::Conn(self.conn()),
            _ => Step::RingRoom(self.random.permille(300)),
        }
    }

    /// Out of states in which everything is refused: an episode should not end in one.
    fn way_back(&mut self) -> Option<Step> {
        let firm = self.firm;
        if firm.is_daemon_silent && self.random.permille(200) {
            return Some(Step::Command(Command::daemon_pulse(DaemonPulse::Steady, 0)));
        }
        if firm.halt.is_some() && self.random.permille(500) {
            return Some(Step::Command(Command { kind: CommandKind::Resume as u32, ..Command::default() }));
        }
        if !self.random.permille(250) {
            return None;
        }
        if !firm.is_ready {
            Some(Step::Venue(VenueEvent::new(VenueEventKind::CaughtUp)))
        } else if firm.room_bytes < 2000 {
            Some(Step::Conn(ConnEvent::Room(1 << 20)))
        } else if !firm.ring_room_next {
            Some(Step::RingRoom(true))
        } else if let Some(owner) = (0..2).find(|owner| firm.throttled[*owner] || firm.lost[*owner]) {
            let key = strategy_of(owner);
            Some(Step::Command(Command::set_state(ScopeKind::Strategy, key, TradingState::Running, 0)))
        } else if firm.stream_distrusted {
            Some(Step::Datagram { events: Vec::new(), distrust: None, age_ns: 0, intents: Vec::new() })
        } else {
            self.way_back_of_market()
        }
    }

    fn way_back_of_market(&mut self) -> Option<Step> {
        let instrument = self.random.below(INSTRUMENTS as u64) as usize;
        let book = &self.firm.books[instrument];
        let instrument = instrument as u32;
        let event = if book.state != b'T' {
            crate::testing::trading(instrument)
        } else if matches!(book.short_sale, b'1' | b'2') && self.random.permille(100) {
            BookEvent { instrument, code: b'0', ..BookEvent::new(EventKind::ShortSale) }
        } else if book.halted {
            BookEvent { instrument, flags: flags::MARKET_RESUMED, ..BookEvent::new(EventKind::Other) }
        } else {
            return None;
        };
        Some(Step::Datagram { events: vec![event], distrust: None, age_ns: 0, intents: Vec::new() })
    }

    pub(super) fn intents(&mut self) -> Vec<(usize, Intent)> {
        let count = self.random.pick(&[0, 1, 1, 1, 1, 2, if self.is_slow { 8 } else { 3 }]);
        let mut intents = Vec::new();
        for _ in 0..count {
            let intent = self.intent();
            let of_order = match intent {
                Intent::Replace { order, .. } | Intent::Cancel { order } | Intent::Reduce { order, .. } => {
                    self.firm.find(order.0)
                }
                Intent::New { .. } => None,
            };
            let owner = of_order.map_or(2, |at| self.firm.orders[at].owner);
            let is_own = owner < 2 && !self.random.permille(20);
            intents.push((if is_own { owner } else { self.random.below(2) as usize }, intent));
        }
        intents
    }

    fn intent(&mut self) -> Intent {
        let open = self.firm.open();
        match self.random.below(100) {
            0..70 => self.new_order(),
            70..92 if !open.is_empty() => {
                let order = &self.firm.orders[self.random.pick(&open)];
                let instrument = order.instrument;
                let (order, price) = (OrderId(self.id_of(order)), self.price(instrument, order.side));
                Intent::Replace { order, price, quantity: self.quantity(instrument) }
            }
            92..98 if !open.is_empty() => {
                let order = &self.firm.orders[self.random.pick(&open)];
                Intent::Cancel { order: OrderId(self.id_of(order)) }
            }
            98 => {
                let order = OrderId(self.random.below(30) as u32);
                self.random
                    .pick(&[Intent::Cancel { order }, Intent::Replace { order, price: Price(10_0000), quantity: 7 }])
            }
            _ => self.new_order(),
        }
    }

    fn id_of(&mut self, order: &Known) -> u32 {
        if self.random.permille(500) { order.cancel_target() } else { order.id }
    }

    pub(super) fn new_order(&mut self) -> Intent {
        if self.random.permille(50)
            && let Some(last) = self.firm.entered.last()
        {
            let (price, quantity) = (Price(last.price as i64), last.quantity as u32);
            return order(last.instrument as u32, last.side, price, quantity);
        }
        let absurd = self.random.permille(5);
        let instrument = if absurd { self.random.pick(&[3, u32::MAX]) } else { self.random.below(3) as u32 };
        let side = self.random.pick(&[Side::Buy, Side::Sell]);
        let place = (instrument as usize).min(INSTRUMENTS - 1);
        let price = self.price(place, side);
        let quantity = if self.random.permille(400) { self.edge(place, side, price) } else { self.quantity(place) };
        let plain = order(instrument, side, price, quantity);
        if self.random.permille(40) { self.with_terms(plain) } else { plain }
    }

    /// The same for a cross, or with a minimum, as it may be or as it may not.
    fn with_terms(&mut self, plain: Intent) -> Intent {
        let Intent::New { instrument, side, price, quantity, .. } = plain else { return plain };
        let price = if self.random.permille(500) { Price::MARKET } else { price };
        let lots = quantity / 100 * 100;
        Intent::New {
            instrument,
            side,
            price,
            quantity,
            min_quantity: self.random.pick(&[0, 0, 0, 0, lots, lots.saturating_add(100), 1]),
            time_in_force: self.random.pick(&[
                TimeInForce::OnOpen,
                TimeInForce::OnClose,
                TimeInForce::OnOpen,
                TimeInForce::Ioc,
                TimeInForce::Day,
            ]),
            post_only: self.random.permille(200),
        }
    }

    /// A price near the reference, at the ends of the collar, or one that no order may have.
    fn price(&mut self, instrument: usize, side: Side) -> Price {
        let reference = self.firm.reference(instrument).unwrap_or(10_0000) as i64;
        let reach = (Num::from(reference) * self.firm.bound(LimitId::PriceCollarBps) / 10_000) as i64;
        Price(match self.random.below(100) {
            // Each side on its own half, so that most do not meet.
            0..70 => reference - if side == Side::Buy { 1 } else { -1 } * self.random.within(0, 300),
            70..85 => reference + self.random.within(-300, 300),
            85..94 => reference + self.random.pick(&[-reach - 1, -reach, reach, reach + 1]),
            94..97 => self.random.pick(&[1, 2, 1_999_999_899, 1_999_999_900]),
            _ => self.random.pick(&[0, -1, 1_999_999_901, i64::from(u32::MAX), i64::MIN, i64::MAX]),
        })
    }

    fn quantity(&mut self, instrument: usize) -> u32 {
        let max = self.firm.order_bound(LimitId::OrderQuantityMax, instrument) as u32;
        match self.random.below(100) {
            0..91 => self.random.within(1, i64::from(max.clamp(1, 400))) as u32,
            91..93 => self.random.within(1, 1500) as u32,
            93..98 => self.random.pick(&[max, max.saturating_add(1), max.saturating_sub(1)]),
            _ => self.random.pick(&[0, 1, 999_999, 1_000_000, u32::MAX]),
        }
    }

    /// Shares that just reach a limit, or are one off it.
    fn edge(&mut self, instrument: usize, side: Side, price: Price) -> u32 {
        let firm = self.firm;
        let price = Num::from(price.0).max(1);
        let worst = firm.worst(instrument, side);
        let room = match self.random.below(12) {
            0 => firm.order_bound(LimitId::PositionMax, instrument) - worst,
            1 => (firm.bound(LimitId::GrossMax) - firm.gross()) / price,
            2 => (firm.bound(LimitId::NetMax) - firm.net(side)) / price,
            3 => firm.order_bound(LimitId::OrderNotionalMax, instrument) / price,
            6 => self.room_of_strategy(instrument, side),
            10 | 11 => {
                let owner = self.random.below(2) as usize;
                match self.random.permille(500) {
                    true => (firm.owner_bound(LimitId::StrategyGrossMax, owner) - firm.gross_of(owner)) / price,
                    false => (firm.owner_bound(LimitId::StrategyNetMax, owner) - firm.net_of(owner, side)) / price,
                }
            }
            7 => (firm.leverage_max().unwrap_or(0) - firm.gross()) / price,
            8 => firm.short_max(instrument) - firm.worst(instrument, Side::Sell),
            9 => (firm.recent_volume(instrument) * firm.bound(LimitId::VolumePercentMax) / 100)
                .max(firm.bound(LimitId::VolumeSharesMin)),
            4 => -firm.worst(instrument, side.opposite()),
            _ => -worst,
        };
        if !(0..=self.firm.order_bound(LimitId::OrderQuantityMax, instrument)).contains(&room) {
            return self.quantity(instrument);
        }
        (room + Num::from(self.random.within(-1, 1))).max(0) as u32
    }

    /// Shares that a strategy may still come to hold.
    fn room_of_strategy(&mut self, instrument: usize, side: Side) -> Num {
        let owner = self.random.below(2) as usize;
        let ask =
            Ask { owner, instrument, side, price: 1, quantity: 0, age_ns: 0, order: None, terms: Terms::default() };
        self.firm.owner_bound(LimitId::StrategyPositionMax, owner) - self.firm.worst_of_owner(&ask)
    }

    fn hand_over(&mut self) -> Step {
        let all: usize = self.firm.waiting.iter().map(|message| message.bytes_left).sum();
        Step::HandOver(match self.random.below(10) {
            0..9 if self.is_slow => 0,
            0..6 => all,
            6..9 => 56,
            _ => self.random.below(120) as usize,
        })
    }

    /// From no time at all to minutes.
    fn wait(&mut self) -> u64 {
        // The ends of the hours, and the nanoseconds before them.
        let (now, hours) = (self.firm.now, self.firm.hours);
        let ends = [hours.0.saturating_sub(1), hours.0, hours.1.saturating_sub(1), hours.1];
        let next = ends.into_iter().find(|end| *end > now && *end - now < 1_000_000_000_000);
        if let Some(end) = next.filter(|_| self.random.permille(300)) {
            return end - now;
        }
        match self.random.below(10) {
            0..3 => self.random.below(2000),
            3..6 => self.random.below(200_000),
            6..8 => self.random.below(2_000_000_000),
            8 => self.random.below(120_000_000_000),
            _ => self.random.pick(&[99_999, 100_000, 9_999_999, 10_000_000, 1_000_000_000]),
        }
    }

    fn conn(&mut self) -> ConnEvent {
        match self.random.below(10) {
            0..3 => ConnEvent::Down(DownReason::Reset),
            3..5 => ConnEvent::Up,
            _ => ConnEvent::Room(self.random.pick(&[0, 127, 128, 183, 184, 240, 600])),
        }
    }
}

fn order(instrument: u32, side: Side, price: Price, quantity: u32) -> Intent {
    Intent::New {
        instrument: InstrumentId(instrument),
        side,
        price,
        quantity,
        min_quantity: 0,
        time_in_force: TimeInForce::Day,
        post_only: false,
    }
}
