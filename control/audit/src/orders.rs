//! Our orders as chains: an order and what replaced it, under all their ids.

use crate::exposure::{Exposures, Owner};
use std::collections::BTreeMap;

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Recorded; the venue has not answered.
    New,
    /// The venue has it.
    Live,
    /// Filled, canceled, rejected, or said not to have left.
    Over,
}

/// A replace on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) order: u32,
    pub(crate) price: i64,
    /// Shares of the whole chain.
    pub(crate) total: i128,
}

/// An order over all its replaces.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) id: u32,
    pub(crate) symbol: [u8; 8],
    pub(crate) is_buy: bool,
    pub(crate) strategy: (u16, u16),
    /// Cross type (OUCH 5.0, 2.1).
    pub(crate) cross: u8,
    pub(crate) price: i64,
    /// The price that the venue echoed last; before it did, the record's.
    pub(crate) echoed: i64,
    pub(crate) total: i128,
    pub(crate) executed: i128,
    pub(crate) leaves: i128,
    pub(crate) life: Life,
    pub(crate) pending: Option<Pending>,
    /// The connection, by count, on which it is said that it, or its replace, did not leave.
    pub(crate) unsent_on: Option<(u32, u64)>,
}

/// What an order stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) executed: i128,
    pub(crate) shares: i128,
    /// Price times shares, 1/10000.
    pub(crate) value: i128,
}

impl Chain {
    pub(crate) fn owner(&self) -> Owner {
        (self.strategy.0, self.strategy.1, self.symbol)
    }

    /// What it stands for without the replace on its way.
    pub(crate) fn standing(&self) -> Standing {
        let shares = if self.life == Life::Over { 0 } else { self.leaves };
        Standing { executed: self.executed, shares, value: i128::from(self.price) * shares }
    }

    /// Shares that may yet trade at worst: a replace counts with the greater of before and after.
    pub(crate) fn at_risk(&self) -> i128 {
        match self.life {
            Life::Over => 0,
            _ => self.leaves.max(self.pending.map_or(0, |pending| pending.total - self.executed)),
        }
    }
}

/// Every order of the day.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    chains: BTreeMap<u32, Chain>,
    /// Of every id, the first one of its chain.
    first: BTreeMap<u32, u32>,
    pub(crate) exposures: Exposures,
    open: i128,
}

impl Orders {
    pub(crate) fn get(&self, id: u32) -> Option<&Chain> {
        self.chains.get(self.first.get(&id)?)
    }

    pub(crate) fn open(&self) -> i128 {
        self.open
    }

    /// Shares that an owner's orders of a side may yet trade. Walks all orders.
    pub(crate) fn working(&self, owner: Owner, is_buy: bool) -> i128 {
        let of_side = self.chains.values().filter(|chain| chain.is_buy == is_buy && chain.owner() == owner);
        of_side.map(Chain::at_risk).sum()
    }

    /// A new chain; the caller has seen that its id is new.
    pub(crate) fn insert(&mut self, chain: Chain) {
        let id = chain.id;
        self.first.insert(id, id);
        self.settle(&chain, 1);
        self.chains.insert(id, chain);
    }

    /// Changes the chain that `id` belongs to, and what it adds to the sums. `None` if there is none.
    pub(crate) fn change<T>(&mut self, id: u32, change: impl FnOnce(&mut Chain) -> T) -> Option<T> {
        let first = *self.first.get(&id)?;
        let mut chain = self.chains.remove(&first)?;
        self.settle(&chain, -1);
        let answer = change(&mut chain);
        if let Some(pending) = chain.pending {
            self.first.insert(pending.order, first);
        }
        self.settle(&chain, 1);
        self.chains.insert(first, chain);
        Some(answer)
    }

    /// Shares changed hands, or went back.
    pub(crate) fn traded(&mut self, owner: Owner, shares: i128) {
        self.exposures.traded(owner, shares);
    }

    /// The venue's log was told and what it does not know never arrived: new orders are over, replaces undone, if their
    /// id is at most `last`.
    pub(crate) fn give_up_unanswered(&mut self, last: u32) {
        let doubtful: Vec<u32> = self
            .chains
            .values()
            .filter(|chain| chain.life != Life::Over)
            .filter_map(|chain| match chain.pending {
                Some(pending) => (pending.order <= last).then_some(chain.id),
                None => (chain.life == Life::New && chain.id <= last).then_some(chain.id),
            })
            .collect();
        for id in doubtful {
            self.change(id, |chain| {
                chain.pending = None;
                if chain.life == Life::New {
                    chain.life = Life::Over;
                }
            });
        }
    }

    fn settle(&mut self, chain: &Chain, sign: i128) {
        self.exposures.open(chain.owner(), chain.is_buy, sign * chain.at_risk());
        self.open += sign * i128::from(chain.life != Life::Over);
    }
}
