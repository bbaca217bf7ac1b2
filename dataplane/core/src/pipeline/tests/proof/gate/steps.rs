//! Random steps: mostly sane, often at the very edge of a limit, now and then absurd.

use super::super::random::Random;
use super::firm::{Firm, INSTRUMENTS, Known, Num};
use super::verdict::symbol_key;
use crate::feed::Distrust;
use crate::input::{ConnEvent, DownReason};
use crate::pipeline::{Config, UnknownOrders};
use crate::risk::{LimitId, Limits};
use crate::session::{TimeInForce, VenueEvent, VenueEventKind};
use crate::strategy::Intent;
use crate::testing::{add, print};
use crate::units::{InstrumentId, OrderId, Price, Side, UNIT};
use std::vec;
use std::vec::Vec;
use tern_abi::command::{Command, CommandKind};
use tern_abi::event::{BookEvent, EventKind, flags};
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
    Conn(ConnEvent),
}

/// The limits of an episode: the default with one place to widen it from.
fn limits(random: &mut Random) -> Limits {
    let wide = Limits {
        open_orders_max: 4,
        order_burst_max: 100_000,
        orders_per_second_max: 1_000_000,
        position_max: 3000,
        ..Limits::default()
    };
    if random.permille(500) {
        return wide;
    }
    Limits {
        orders_per_second_max: random.pick(&[1, 3, 1000, 1_000_000]),
        order_burst_max: random.pick(&[1, 5, 200]),
        cancel_reserve: random.pick(&[0, 2, 200]),
        gross_max: random.within(1, 60) * 1000 * UNIT,
        net_max: random.within(1, 60) * 500 * UNIT,
        daily_loss_max: random.within(0, 100) * 10 * UNIT,
        drawdown_max: random.within(0, 100) * 10 * UNIT,
        ..wide
    }
}

/// The configuration of an episode.
pub(super) fn config(random: &mut Random) -> Config {
    let mut limits = limits(random);
    limits.open_orders_max = random.pick(&[1, 4, 4, 12, 40]);
    Config {
        limits,
        orders_max: random.pick(&[1, 16, 64]).max(limits.open_orders_max as usize),
        executions_max: random.pick(&[3, 256]),
        feed_silence_ns_max: 0,
        next_order_id: if random.permille(10) { u32::MAX - 5 } else { 0 },
        unknown_orders: random.pick(&[UnknownOrders::Cancel, UnknownOrders::Keep]),
        pull_on_distrust: random.permille(500),
        ..Config::default()
    }
}

/// What makes an episode's pipeline trade. Now and then an instrument has no print yet.
pub(super) fn opening(random: &mut Random) -> Vec<Step> {
    let mut events: Vec<BookEvent> = (0..INSTRUMENTS as u32).map(crate::testing::trading).collect();
    events
        .extend((0..INSTRUMENTS as u32).filter(|_| random.permille(950)).map(|instrument| print(instrument, 10_0000)));
    vec![
        Step::Datagram { events, distrust: None, age_ns: 0, intents: Vec::new() },
        Step::Conn(ConnEvent::Up),
        Step::Conn(ConnEvent::Room(1 << 20)),
        Step::Venue(VenueEvent::new(VenueEventKind::CaughtUp)),
    ]
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
            790..880 => self.hand_over(),
            880..930 => Step::Wait(self.wait()),
            930..990 => Step::Command(self.command()),
            990..997 => Step::Conn(self.conn()),
            _ => Step::RingRoom(self.random.permille(300)),
        }
    }

    /// Out of states in which everything is refused: an episode should not end in one.
    fn way_back(&mut self) -> Option<Step> {
        let firm = self.firm;
        if firm.halt.is_some() && self.random.permille(300) {
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
        } else if book.halted {
            BookEvent { instrument, flags: flags::MARKET_RESUMED, ..BookEvent::new(EventKind::Other) }
        } else {
            return None;
        };
        Some(Step::Datagram { events: vec![event], distrust: None, age_ns: 0, intents: Vec::new() })
    }

    fn intents(&mut self) -> Vec<(usize, Intent)> {
        let count = self.random.pick(&[0, 1, 1, 1, 1, 2, if self.is_slow { 8 } else { 3 }]);
        let mut intents = Vec::new();
        for _ in 0..count {
            let intent = self.intent();
            let of_order = match intent {
                Intent::Replace { order, .. } | Intent::Cancel { order } => self.firm.find(order.0),
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
                let (order, price) = (OrderId(self.id_of(order)), self.price(order.instrument, order.side));
                Intent::Replace { order, price, quantity: self.quantity() }
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

    fn new_order(&mut self) -> Intent {
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
        let quantity = if self.random.permille(400) { self.edge(place, side, price) } else { self.quantity() };
        order(instrument, side, price, quantity)
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

    fn quantity(&mut self) -> u32 {
        let max = self.firm.bound(LimitId::OrderQuantityMax) as u32;
        match self.random.below(100) {
            0..88 => self.random.within(1, 400) as u32,
            88..93 => self.random.within(1, 1500) as u32,
            93..98 => self.random.pick(&[max, max.saturating_add(1), max.saturating_sub(1)]),
            _ => self.random.pick(&[0, 1, 999_999, 1_000_000, u32::MAX]),
        }
    }

    /// Shares that just reach a limit, or are one off it.
    fn edge(&mut self, instrument: usize, side: Side, price: Price) -> u32 {
        let firm = self.firm;
        let price = Num::from(price.0).max(1);
        let worst = firm.worst(instrument, side);
        let room = match self.random.below(6) {
            0 => firm.bound(LimitId::PositionMax) - worst,
            1 => (firm.bound(LimitId::GrossMax) - firm.gross()) / price,
            2 => (firm.bound(LimitId::NetMax) - firm.net(side)) / price,
            3 => firm.bound(LimitId::OrderNotionalMax) / price,
            4 => -firm.worst(instrument, side.opposite()),
            _ => -worst,
        };
        if !(0..=firm.bound(LimitId::OrderQuantityMax)).contains(&room) {
            return self.quantity();
        }
        (room + Num::from(self.random.within(-1, 1))).max(0) as u32
    }

    fn datagram(&mut self) -> Step {
        let count = self.random.pick(&[0, 1, 1, 2, 3]);
        let events = (0..count).map(|_| self.market()).collect();
        let distrust = self.random.permille(20).then_some(Distrust::Gap);
        let max = self.firm.bound(LimitId::IntentAgeNsMax) as u64;
        let age_ns = match self.random.below(10) {
            0..7 => self.random.below(1000),
            _ => self.random.pick(&[max.saturating_sub(1), max, max + 1, u64::MAX]),
        };
        let intents = if self.random.permille(500) { self.intents() } else { Vec::new() };
        Step::Datagram { events, distrust, age_ns, intents }
    }

    fn market(&mut self) -> BookEvent {
        let instrument = self.random.below(INSTRUMENTS as u64) as u32;
        let book = &self.firm.books[instrument as usize];
        let last = book.last.unwrap_or(10_0000) as i64;
        let near = (last + self.random.within(-200, 200)).clamp(9_0000, 11_0000);
        match self.random.below(1000) {
            0..400 => print(instrument, near),
            400..650 if book.orders.len() < 10 => {
                let side = self.random.pick(&[Side::Buy, Side::Sell]);
                add(instrument, self.random.word() >> 1, side, near, 1 + self.random.below(9) as u32)
            }
            650..960 if !book.orders.is_empty() => {
                let order = self.random.pick(&book.orders).0;
                BookEvent { instrument, order, ..BookEvent::new(EventKind::Delete) }
            }
            960..975 => {
                let code = self.random.pick(b"HPQT");
                BookEvent { code, ..crate::testing::trading(instrument) }
            }
            975..990 => {
                let flags = self.random.pick(&[flags::MARKET_HALTED, flags::MARKET_RESUMED]);
                BookEvent { instrument, flags, ..BookEvent::new(EventKind::Other) }
            }
            990..995 => print(instrument, self.random.pick(&[1, 20_0000, 1_999_999_900, i64::from(u32::MAX)])),
            // Nobody's order: the book is not the venue's any more.
            999 if self.random.permille(200) => BookEvent { instrument, order: 1, ..BookEvent::new(EventKind::Delete) },
            _ => print(instrument, last),
        }
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

    fn command(&mut self) -> Command {
        let kind = match self.random.below(1000) {
            0..30 => CommandKind::Kill,
            30..40 => CommandKind::CancelAll,
            40..42 => CommandKind::Shutdown,
            42..60 => CommandKind::Resume,
            60..300 => return self.scope(),
            _ => return self.set_limit(),
        };
        Command { kind: kind as u32, ..Command::default() }
    }

    fn scope(&mut self) -> Command {
        let symbol = u64::from_le_bytes(*b"NEVER   ");
        let (kind, key) = match self.random.below(10) {
            0 => (ScopeKind::Firm, self.random.pick(&[0, 0, 0, 1])),
            1 => (ScopeKind::Venue, self.random.pick(&[1, 1, 1, 2])),
            2..5 => (ScopeKind::Strategy, self.random.pick(&[1, 2, 3, 65_535])),
            5 => (ScopeKind::Symbol, symbol),
            _ => (ScopeKind::Symbol, symbol_key(self.random.below(INSTRUMENTS as u64) as usize)),
        };
        // Mostly lifted again: what is set should not be all there is to see.
        let state = match self.random.below(10) {
            0..6 => TradingState::Running,
            6..8 => TradingState::ReduceOnly,
            8 => TradingState::CancelOnly,
            _ => TradingState::Halted,
        };
        let lifted = self.firm.scopes.last().filter(|said| said.2 != TradingState::Running);
        match lifted.filter(|_| self.random.permille(600)) {
            Some((kind, key, _)) => Command::set_state(*kind, *key, TradingState::Running, 0),
            None => Command::set_state(kind, key, state, 0),
        }
    }

    fn set_limit(&mut self) -> Command {
        let id = self.random.pick(LimitId::ALL);
        let max = Limits::max(id);
        let usual = Limits { position_max: 3000, open_orders_max: 4, ..Limits::default() }.get(id);
        let is_loss = matches!(id, LimitId::DailyLossMax | LimitId::DrawdownMax);
        let value = match self.random.below(100) {
            0..70 if !is_loss => usual,
            0..30 => usual,
            30..90 => (self.level(id) + Num::from(self.random.within(-2, 2))).clamp(0, max.into()) as i64,
            90..97 => self.random.pick(&[0, 1, max, max - 1]),
            _ => self.random.pick(&[-1, i64::MIN, max.saturating_add(1), i64::MAX]),
        };
        let scope = u32::from(self.random.permille(10));
        Command { kind: CommandKind::SetLimit as u32, id: id as u32, value, scope, epoch: 3, ..Command::default() }
    }

    /// What a limit is about, as it is now.
    fn level(&mut self, id: LimitId) -> Num {
        let firm = self.firm;
        let instrument = self.random.below(INSTRUMENTS as u64) as usize;
        let side = self.random.pick(&[Side::Buy, Side::Sell]);
        match id {
            LimitId::PositionMax => firm.worst(instrument, side),
            LimitId::GrossMax => firm.gross(),
            LimitId::NetMax => firm.net(side),
            LimitId::DailyLossMax => -firm.profit(),
            LimitId::DrawdownMax => firm.drawdown(),
            LimitId::OpenOrdersMax => firm.open().len() as Num,
            LimitId::OrderQuantityMax => self.random.below(400).into(),
            LimitId::OrderNotionalMax => firm.entered.last().map_or(0, |last| last.price * last.quantity),
            _ => self.random.below(5).into(),
        }
    }
}

fn order(instrument: u32, side: Side, price: Price, quantity: u32) -> Intent {
    Intent::New {
        instrument: InstrumentId(instrument),
        side,
        price,
        quantity,
        time_in_force: TimeInForce::Day,
        post_only: false,
    }
}
