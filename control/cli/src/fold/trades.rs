//! Executions, and the shares and cash that they add up to: computed from the venue's messages and the trades that people told alone,
//! beside the positions that the pipeline recorded.

use std::collections::BTreeMap;

use serde::Serialize;
use tern_abi::event::SIDE_BUY;
use tern_abi::manual::AdjustmentRecord;
use tern_abi::record::{OrderEventRecord, VenueEventKind};
use tern_journal::Opening;

/// One execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Execution {
    /// Account.
    pub account: u16,
    /// Strategy.
    pub strategy: u16,
    /// Our order id then.
    pub order: u32,
    /// The venue's match number.
    pub match_number: u64,
    /// Symbol.
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: &'static str,
    /// 1/10000 of the currency unit.
    pub price: i64,
    /// Shares.
    pub quantity: u32,
    /// The venue broke it.
    pub broken: bool,
    /// Shares were left open after it.
    pub partial: bool,
    #[serde(skip)]
    sign: i64,
}

/// What the executions of one account and symbol add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traded {
    /// Signed shares.
    pub shares: i64,
    /// Cash, 1/10000 of the currency unit; a buy lowers it.
    pub cash: i128,
    /// Shares bought.
    pub bought: u64,
    /// Shares sold.
    pub sold: u64,
    /// Executions, broken ones excluded.
    pub fills: u64,
    /// Executions that the venue broke.
    pub broken: u64,
}

/// All executions.
#[derive(Debug, Default)]
pub struct Trades {
    /// By day, account, match number and order: match numbers are those of a day.
    executions: BTreeMap<(u32, u16, u64, u32), Execution>,
    /// The last day, from 0.
    day: u32,
    /// What was held when it began.
    opening: Vec<Opening>,
    /// Trades of it that people told.
    told: Vec<AdjustmentRecord>,
    /// Executions that were said again and counted once.
    pub repeated: u64,
    /// Breaks of executions that are not here.
    pub unknown_breaks: u64,
}

impl Trades {
    /// Every execution, by day, account and match number.
    pub fn iter(&self) -> impl Iterator<Item = &Execution> {
        self.executions.values()
    }

    /// Another day of the venue begins.
    pub(super) fn new_day(&mut self) {
        self.day += 1;
        self.told.clear();
    }

    /// A run says what was held when the day began.
    pub(super) fn open(&mut self, opening: Vec<Opening>) {
        self.opening = opening;
    }

    /// Somebody told a trade that the venue does not.
    pub(super) fn tell(&mut self, told: AdjustmentRecord) {
        self.told.push(told);
    }

    /// Trades of the last day that people told, in order.
    pub fn told(&self) -> &[AdjustmentRecord] {
        &self.told
    }

    /// By account and symbol, of the last day and with what was held when it began: that counts as bought at what it cost.
    pub fn traded(&self) -> BTreeMap<(u16, String), Traded> {
        let mut sums: BTreeMap<(u16, String), Traded> = BTreeMap::new();
        for held in &self.opening {
            let sum = sums.entry((held.account, super::symbol_text(&held.symbol))).or_default();
            sum.shares = sum.shares.saturating_add(held.shares);
            sum.cash -= i128::from(held.cost);
        }
        for told in &self.told {
            let sum = sums.entry((told.account, super::symbol_text(&told.symbol))).or_default();
            let shares = if told.side == SIDE_BUY { i64::from(told.quantity) } else { -i64::from(told.quantity) };
            sum.shares = sum.shares.saturating_add(shares);
            sum.cash -= i128::from(shares) * i128::from(told.price);
        }
        for (_, execution) in self.executions.range((self.day, 0, 0, 0)..) {
            let sum = sums.entry((execution.account, execution.symbol.clone())).or_default();
            if execution.broken {
                sum.broken += 1;
                continue;
            }
            let shares = execution.sign * i64::from(execution.quantity);
            sum.fills += 1;
            sum.shares += shares;
            sum.cash -= i128::from(shares) * i128::from(execution.price);
            *if execution.sign > 0 { &mut sum.bought } else { &mut sum.sold } += u64::from(execution.quantity);
        }
        sums
    }

    pub(super) fn event(&mut self, event: &OrderEventRecord, symbol: &str) {
        match VenueEventKind::from_index(event.kind.into()) {
            Some(VenueEventKind::Executed) => self.executed(event, symbol),
            Some(VenueEventKind::Broken) => self.broken(event),
            _ => {}
        }
    }

    fn executed(&mut self, event: &OrderEventRecord, symbol: &str) {
        let execution = Execution {
            account: event.account,
            strategy: event.strategy,
            order: event.order,
            match_number: event.match_number,
            symbol: symbol.to_owned(),
            side: super::orders::side_name(event.side),
            price: event.price,
            quantity: event.quantity,
            broken: false,
            partial: event.leaves > 0,
            sign: if event.side == SIDE_BUY { 1 } else { -1 },
        };
        // Both sides of a trade with ourselves share a match number, so the key is it and the order.
        match self.executions.entry((self.day, event.account, event.match_number, event.order)) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(execution);
            }
            std::collections::btree_map::Entry::Occupied(_) => self.repeated += 1,
        }
    }

    /// The order may have been replaced since, so where no execution bears its id the only one of the match is taken.
    fn broken(&mut self, event: &OrderEventRecord) {
        let of_match = |order| (self.day, event.account, event.match_number, order);
        let matching = of_match(0)..=of_match(u32::MAX);
        let exact = of_match(event.order);
        let key = match self.executions.contains_key(&exact) {
            true => Some(exact),
            false => {
                let mut found = self.executions.range(matching).map(|(key, _)| *key);
                found.next().filter(|_| found.next().is_none())
            }
        };
        match key.and_then(|key| self.executions.get_mut(&key)) {
            Some(execution) => execution.broken = true,
            None => self.unknown_breaks += 1,
        }
    }
}
