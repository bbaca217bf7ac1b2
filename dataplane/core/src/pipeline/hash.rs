//! A hash of all that decides what happens next: equal after a replay.

use super::Desk;
use crate::orders::{Life, Order};
use crate::risk::LimitId;

impl Desk {
    /// Walks all tables.
    pub(crate) fn state_hash(&self) -> u64 {
        let mut hash = Fnv(0xCBF2_9CE4_8422_2325);
        self.hash_session(&mut hash);
        self.gate.scopes().words().for_each(|word| hash.add(word));
        hash.add(u64::from(self.gate.limits().epoch));
        LimitId::ALL.iter().for_each(|id| hash.add(self.gate.limits().get(*id) as u64));
        self.gate.words().for_each(|word| hash.add(word));
        self.gate.sight_words().chain(self.gate.listing_words()).for_each(|word| hash.add(word));
        for order in self.orders.open() {
            hash.add_order(order);
        }
        // What was executed is not counted again, and what is broken is looked for here.
        hash.add(self.executions.forgotten());
        for execution in self.executions.iter() {
            hash.add(execution.match_number);
            hash.add(u64::from(execution.order.0) << 32 | u64::from(execution.quantity));
            hash.add(u64::from(execution.broken) << 1 | u64::from(execution.old_log));
        }
        for owner in 0..self.owners().len() {
            for (instrument, position) in self.portfolio.of(owner) {
                hash.add(u64::from(instrument.0));
                let words = [position.shares, position.cash, position.cost, position.fees];
                words.iter().for_each(|value| hash.add(*value as u64));
            }
        }
        self.portfolio.adjustment_words().for_each(|word| hash.add(word));
        hash.0
    }

    fn hash_session(&self, hash: &mut Fnv) {
        hash.add(u64::from(self.ids.next()));
        hash.add(self.gate.halt().map_or(0, |reason| reason as u64 + 1));
        hash.add(self.recovery.stop().map_or(0, |reason| reason as u64 + 1));
        hash.add(self.last_session_seq);
        hash.add(u64::from(self.gate.messages()));
        self.lives.words().chain(self.flatten.words()).for_each(|word| hash.add(word));
        let flags = [
            self.session_ready,
            self.caught_up,
            self.ring_room,
            self.shutting_down,
            self.logged_out,
            self.daemon_silent,
        ];
        hash.add(flags.iter().fold(0, |word, flag| word << 1 | u64::from(*flag)));
        // When to look again is only a lower bound of what orders and streams say.
        self.heard.iter().for_each(|heard| hash.add(heard.0));
    }
}

/// FNV-1a over words.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    fn add_pair(&mut self, high: u32, low: u32) {
        self.add(u64::from(high) << 32 | u64::from(low));
    }

    fn add_order(&mut self, order: &Order) {
        self.add_pair(order.id.0, order.pending.0);
        self.add_pair(order.cancel_sent.0, order.leaves);
        self.add_pair(order.instrument.0, order.executed);
        self.add_pair(order.pending_total, order.executed_before);
        self.add_pair(order.reduce_to, order.counted);
        let prices = [order.price, order.pending_price, order.valued_at];
        prices.iter().for_each(|price| self.add(price.0 as u64));
        [order.cancel_due, order.answer_due].iter().for_each(|due| self.add(due.0));
        self.add(order.venue_order);
        let flags = [
            matches!(order.life, Life::New),
            order.old_log,
            order.doubtful,
            order.adopted,
            order.cancel_wanted,
            order.cancel_waits,
            order.reduce_refused,
            order.short,
            order.post_only,
        ];
        let flags = flags.iter().fold(0, |word, flag| word << 1 | u64::from(*flag));
        let bytes = [order.owner, order.side as u8, order.cancels_refused, order.late, order.time_in_force.letter()];
        self.add(bytes.iter().fold(flags, |word, byte| word << 8 | u64::from(*byte)));
    }
}
