//! What operators want: kills, scopes, limits.

use super::firm::{INSTRUMENTS, Num};
use super::steps::Maker;
use super::verdict::{Ask, Terms, symbol_key};
use crate::risk::{LimitId, Limits};
use crate::units::Side;
use std::vec::Vec;
use tern_abi::command::{Command, CommandKind, DaemonPulse, SetLimits};
use tern_abi::segment::{ScopeKind, TradingState};

impl Maker<'_> {
    pub(super) fn command(&mut self) -> Command {
        let kind = match self.random.below(1000) {
            0..30 => CommandKind::Kill,
            30..40 => CommandKind::CancelAll,
            40..42 => CommandKind::Shutdown,
            42..60 => CommandKind::Resume,
            60..90 => {
                let pulse = self.random.pick(&[DaemonPulse::Steady, DaemonPulse::Silent, DaemonPulse::Lost]);
                let id = if self.random.permille(50) { 9 } else { pulse as u32 };
                return Command { id, ..Command::daemon_pulse(pulse, 5) };
            }
            90..300 => return self.scope(),
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
        let value = self.value(id);
        let scope = u32::from(self.random.permille(10));
        Command { kind: CommandKind::SetLimit as u32, id: id as u32, value, scope, epoch: 3, ..Command::default() }
    }

    /// What a limit is set to: mostly the usual, often just what it is about now, now and then what none can have.
    fn value(&mut self, id: LimitId) -> i64 {
        let max = Limits::max(id);
        let usual = Limits { position_max: 3000, open_orders_max: 4, ..Limits::default() }.get(id);
        let is_loss = matches!(id, LimitId::DailyLossMax | LimitId::DrawdownMax | LimitId::StrategyDailyLossMax);
        match self.random.below(100) {
            0..70 if !is_loss => usual,
            0..30 => usual,
            30..90 => (self.level(id) + Num::from(self.random.within(-2, 2))).clamp(0, max.into()) as i64,
            90..97 => self.random.pick(&[0, 1, max, max - 1]),
            _ => self.random.pick(&[-1, i64::MIN, max.saturating_add(1), i64::MAX]),
        }
    }

    /// All limits at once: those in force with a few changed, mostly as it should be.
    pub(super) fn set_limits(&mut self) -> SetLimits {
        let mut values: Vec<i64> = self.firm.bounds.iter().map(|bound| *bound as i64).collect();
        for _ in 0..self.random.below(4) {
            let id = self.random.pick(LimitId::ALL);
            values[id.index()] = self.value(id);
        }
        if self.random.permille(100) {
            // Just what was lost, or a little more or less.
            let losses = [LimitId::DailyLossMax, LimitId::DrawdownMax, LimitId::StrategyDailyLossMax];
            let id = self.random.pick(&losses);
            let value = self.level(id) + Num::from(self.random.within(-1, 1));
            values[id.index()] = value.clamp(0, Limits::max(id).into()) as i64;
        }
        let now = self.firm.epoch;
        let seen = if self.random.permille(100) { self.random.below(6) as u32 } else { now };
        let epoch = if self.random.permille(30) { seen } else { seen.saturating_add(1 + self.random.below(2) as u32) };
        let limits = SetLimits { bounds: self.set_bounds(), ..SetLimits::new(&values, (seen, epoch), 1000, "") };
        match self.random.below(100) {
            0..3 => SetLimits { refused: self.random.pick(&[1, 2, 2, 3, 4, 5, u32::MAX]), ..limits },
            3 => SetLimits { count: self.random.pick(&[0, limits.count - 1, limits.count + 1, u32::MAX]), ..limits },
            _ => limits,
        }
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
            LimitId::StrategyPositionMax => {
                let owner = self.random.below(2) as usize;
                let ask = Ask {
                    owner,
                    instrument,
                    side,
                    price: 1,
                    quantity: 0,
                    age_ns: 0,
                    order: None,
                    terms: Terms::default(),
                };
                firm.worst_of_owner(&ask)
            }
            LimitId::StrategyGrossMax => firm.gross_of(self.random.below(2) as usize),
            LimitId::StrategyNetMax => firm.net_of(self.random.below(2) as usize, side),
            LimitId::StrategyDailyLossMax => -firm.profit_of(self.random.below(2) as usize),
            LimitId::MessagesPerDayMax => firm.day,
            LimitId::ExecutionsWindowNs => self.random.pick(&[0, 100_000, 1_000_000_000, 60_000_000_000]),
            LimitId::VolumeSharesMin => self.random.below(400).into(),
            LimitId::VolumePercentMax => self.random.below(300).into(),
            LimitId::ReferenceDepthMin => self.random.pick(&[0, 1, 85, 100, 500]),
            LimitId::ReferenceMoveBps | LimitId::ReferenceSpreadBps => self.random.pick(&[0, 5, 30, 500, 9_990]),
            LimitId::Equity => firm.gross() * 100 / firm.bound(LimitId::LeveragePercentMax).max(1) - firm.profit(),
            LimitId::LeveragePercentMax => firm.gross() * 100 / (firm.bound(LimitId::Equity) + firm.profit()).max(1),
            LimitId::OrderQuantityMax => self.random.below(400).into(),
            LimitId::OrderNotionalMax => firm.entered.last().map_or(0, |last| last.price * last.quantity),
            _ => self.random.below(5).into(),
        }
    }
}
