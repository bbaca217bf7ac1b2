//! What the venue told.

use super::Audit;
use super::approved::MARKET;
use crate::exposure::WORTH_MAX;
use crate::finding::Disagreement;
use crate::ledger::Trade;
use crate::orders::{Chain, Life};
use tern_soup::{Answer, Echo, Said};

/// The least price that stands for it: 200,000.0000.
const MARKET_FROM: u64 = 2_000_000_000;
/// Trades that are remembered, should they be broken: what is older, the venue has long settled.
const TRADES_KEPT: usize = 262_144;

impl Audit {
    pub(super) fn on_bytes(&mut self, conn: u32, bytes: &[u8]) {
        let mut said = Vec::new();
        self.answers.entry(conn).or_default().take(bytes, &mut said);
        for answer in said {
            match answer {
                Answer::Login { session, .. } => self.on_login(session),
                Answer::Message { seq, said } if seq > self.told_seq => {
                    self.told_seq = seq;
                    self.counts.answers += 1;
                    self.told_now += 1;
                    if let Some(said) = said {
                        self.on_said(said);
                    }
                }
                // The log is told again: what it says is known.
                Answer::Message { .. } | Answer::Refused(_) | Answer::End => {}
            }
        }
    }

    pub(super) fn on_said(&mut self, said: Said) {
        if let Some(chain) = said.order().and_then(|order| self.orders.get(order)) {
            self.before.entry(chain.id).or_insert_with(|| chain.standing());
        }
        match said {
            Said::Accepted(echo) => self.on_accepted(&echo),
            Said::Replaced { previous, echo } => self.on_replaced(previous, &echo),
            Said::Executed { order, shares, price, liquidity, match_number } => {
                self.on_executed((order, match_number), shares.into(), i128::from(price).min(WORTH_MAX), liquidity);
            }
            Said::Broken { order, match_number } => self.on_broken(order, match_number),
            Said::Canceled { order, shares } => self.on_open(order, |chain| chain.leaves -= i128::from(shares)),
            Said::Modified { order, shares } => self.on_open(order, |chain| chain.leaves = shares.into()),
            Said::Rejected { order } => self.on_open(order, |chain| match chain.pending {
                Some(pending) if pending.order == order => chain.pending = None,
                _ if chain.life == Life::New => chain.life = Life::Over,
                _ => {}
            }),
            Said::Other { order } => self.on_open(order, |_| ()),
            Said::Query => {
                if let Some(last) = self.doubtful.take() {
                    self.orders.give_up_unanswered(last);
                }
            }
        }
    }

    /// Does `change` to an order of ours, which is over once nothing is open.
    pub(super) fn on_open(&mut self, order: u32, change: impl FnOnce(&mut Chain)) {
        let known = self.orders.change(order, |chain| {
            if chain.life != Life::Over {
                change(chain);
                if chain.leaves <= 0 {
                    chain.life = Life::Over;
                }
            }
        });
        if known.is_none() {
            self.disagree(Disagreement::NoRecord, order, 0, order.into());
        }
    }

    /// What an echo has in common with the record of its order; `price` is the record's.
    pub(super) fn check_echo(&mut self, echo: &Echo, chain: &Chain, price: i64) {
        if echo.is_buy != chain.is_buy {
            self.disagree(Disagreement::EchoSide, echo.order, chain.is_buy.into(), echo.is_buy.into());
        }
        if echo.symbol != chain.symbol {
            let number = |symbol: [u8; 8]| i128::from(u64::from_be_bytes(symbol));
            self.disagree(Disagreement::EchoSymbol, echo.order, number(chain.symbol), number(echo.symbol));
        }
        // Either number that says market (1.2).
        let echoed = if echo.price >= MARKET_FROM { i128::from(MARKET) } else { i128::from(echo.price) };
        let recorded = i128::from(price);
        if if chain.is_buy { echoed > recorded } else { echoed < recorded } {
            self.disagree(Disagreement::EchoPrice, echo.order, recorded, echoed);
        }
        if chain.unsent_on == Some((echo.order, self.connections)) {
            self.disagree(Disagreement::LeftAfterAll, echo.order, 0, echo.order.into());
        }
    }

    pub(super) fn on_accepted(&mut self, echo: &Echo) {
        let Some(chain) = self.orders.get(echo.order).cloned() else {
            self.disagree(Disagreement::NoRecord, echo.order, 0, echo.order.into());
            return;
        };
        self.check_echo(echo, &chain, chain.price);
        if echo.cross != chain.cross {
            self.disagree(Disagreement::EchoCross, echo.order, chain.cross.into(), echo.cross.into());
        }
        if i128::from(echo.shares) != chain.total {
            self.disagree(Disagreement::EchoQuantity, echo.order, chain.total, echo.shares.into());
        }
        self.orders.exposures.see(chain.symbol, i128::from(echo.price).min(WORTH_MAX));
        self.orders.change(echo.order, |chain| {
            chain.life = if echo.is_live { Life::Live } else { Life::Over };
            chain.echoed = i64::try_from(echo.price).unwrap_or(i64::MAX);
            chain.leaves = i128::from(echo.shares) - chain.executed;
        });
    }

    pub(super) fn on_replaced(&mut self, previous: u32, echo: &Echo) {
        let Some(chain) = self.orders.get(echo.order).cloned() else {
            self.disagree(Disagreement::NoRecord, echo.order, 0, echo.order.into());
            return;
        };
        if self.orders.get(previous).map(|chain| chain.id) != Some(chain.id) {
            self.disagree(Disagreement::ReplaceChain, echo.order, chain.id.into(), previous.into());
        }
        // One that was given up leaves nothing to compare with but what stays the same over the chain.
        let pending = chain.pending.filter(|pending| pending.order == echo.order);
        self.check_echo(
            echo,
            &chain,
            pending.map_or(i64::from(u8::from(chain.is_buy)) * i64::MAX, |pending| pending.price),
        );
        let total = chain.executed + i128::from(echo.shares);
        if let Some(pending) = pending.filter(|pending| pending.total != total) {
            self.disagree(Disagreement::ReplaceTotal, echo.order, pending.total, total);
        }
        self.orders.exposures.see(chain.symbol, i128::from(echo.price).min(WORTH_MAX));
        self.orders.change(echo.order, |chain| {
            chain.pending = None;
            chain.price = i64::try_from(echo.price).unwrap_or(i64::MAX);
            chain.echoed = chain.price;
            chain.total = total;
            chain.leaves = echo.shares.into();
            chain.life = if echo.is_live { Life::Live } else { Life::Over };
        });
    }

    pub(super) fn on_executed(&mut self, key: (u32, u64), shares: i128, price: i128, liquidity: u8) {
        let order = key.0;
        if self.trades.contains_key(&key) {
            return;
        }
        let Some((leaves, owner, signed)) = self.orders.change(order, |chain| {
            let leaves = if chain.life == Life::Over { 0 } else { chain.leaves };
            chain.executed += shares;
            chain.leaves = (leaves - shares).max(0);
            if chain.leaves == 0 {
                chain.life = Life::Over;
            }
            (leaves, chain.owner(), if chain.is_buy { shares } else { -shares })
        }) else {
            self.disagree(Disagreement::NoRecord, order, 0, order.into());
            return;
        };
        if shares > leaves {
            self.disagree(Disagreement::OverExecution, order, leaves, shares);
        }
        let trade = Trade { owner, shares: signed, price, liquidity, number: self.trades_numbered };
        self.trades_numbered += 1;
        self.trades.insert(key, trade);
        self.trades_told.push_back(key);
        if self.trades_told.len() > TRADES_KEPT
            && let Some(oldest) = self.trades_told.pop_front()
        {
            self.trades.remove(&oldest);
            self.trades_forgotten = true;
        }
        self.counts.trades_kept = self.trades.len() as u64;
        self.executed(&trade);
    }

    fn on_broken(&mut self, order: u32, match_number: u64) {
        self.broken_now = true;
        match self.trades.remove(&(order, match_number)) {
            Some(trade) => {
                self.trades_told.retain(|key| *key != (order, match_number));
                self.taken_out(&trade);
            }
            None => self.on_unknown_break(order, match_number),
        }
    }

    /// A trade that was told so long ago that it is forgotten: how many shares it had, the record of the position says.
    pub(super) fn on_unknown_break(&mut self, order: u32, match_number: u64) {
        let owner = self.orders.get(order).map(Chain::owner);
        match owner.filter(|_| self.trades_forgotten) {
            Some(owner) => {
                self.counts.breaks_believed += 1;
                self.believed.insert(owner);
            }
            None => self.disagree(Disagreement::UnknownBreak, order, 0, match_number.into()),
        }
    }
}
