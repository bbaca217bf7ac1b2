//! The order rate, with a budget kept for cancels.

use crate::units::TaiNs;

const SECOND_NS: u64 = 1_000_000_000;

/// A token bucket on the caller's time, in its one-word form: the time at which the bucket would be full again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    full_at_ns: u64,
    token_ns: u64,
    orders_ns: u64,
    cancels_ns: u64,
}

impl Rate {
    /// `per_second` tokens a second, at most `burst` at once, and `reserve` more that only cancels may take.
    pub const fn new(per_second: u32, burst: u32, reserve: u32) -> Self {
        let mut rate = Self { full_at_ns: 0, token_ns: 0, orders_ns: 0, cancels_ns: 0 };
        rate.set(per_second, burst, reserve, TaiNs(0));
        rate
    }

    /// Changes the limits at `now`. What was taken stays taken: after a raise as many messages as before, which come back at
    /// the new rate; what a rate that was lowered to nothing left, as the whole bucket at most.
    pub(crate) const fn set(&mut self, per_second: u32, burst: u32, reserve: u32, now: TaiNs) {
        let before_ns = self.token_ns;
        // Rounded up: never faster than asked.
        self.token_ns = if per_second == 0 { u64::MAX } else { SECOND_NS.div_ceil(per_second as u64) };
        self.orders_ns = if per_second == 0 { 0 } else { self.token_ns.saturating_mul(burst as u64) };
        self.cancels_ns = self.orders_ns.saturating_add(if per_second == 0 {
            0
        } else {
            self.token_ns.saturating_mul(reserve as u64)
        });
        if self.token_ns < before_ns && self.full_at_ns > now.0 {
            let taken_ns = self.full_at_ns - now.0;
            let taken_ns = match before_ns {
                u64::MAX if taken_ns > self.cancels_ns => self.cancels_ns,
                u64::MAX => taken_ns,
                // Less than it was: it fits.
                _ => (taken_ns as u128 * self.token_ns as u128).div_ceil(before_ns as u128) as u64,
            };
            self.full_at_ns = now.0.saturating_add(taken_ns);
        }
    }

    /// Whether an order may be sent at `now`.
    #[inline]
    pub const fn allows_order(&self, now: TaiNs) -> bool {
        self.fits(now, self.orders_ns)
    }

    /// Whether a cancel may be sent at `now`.
    #[inline]
    pub const fn allows_cancel(&self, now: TaiNs) -> bool {
        self.fits(now, self.cancels_ns)
    }

    /// From when on `count` orders may be sent at once; [`TaiNs::NEVER`] when the burst is smaller than that.
    #[inline]
    pub const fn orders_due(&self, count: u32) -> TaiNs {
        let wanted_ns = self.token_ns.saturating_mul(count as u64);
        if wanted_ns > self.orders_ns {
            return TaiNs::NEVER;
        }
        TaiNs(self.full_at_ns.saturating_sub(self.orders_ns - wanted_ns))
    }

    /// Tokens that are taken at `now` and not given back yet: up to the burst by orders, up to the reserve beyond it by
    /// cancels.
    pub const fn taken(&self, now: TaiNs) -> u64 {
        self.full_at_ns.saturating_sub(now.0).div_ceil(self.token_ns)
    }

    /// What was taken, for a hash.
    pub(super) const fn word(&self) -> u64 {
        self.full_at_ns
    }

    #[inline]
    const fn fits(&self, now: TaiNs, budget_ns: u64) -> bool {
        self.full_at_ns.saturating_sub(now.0).saturating_add(self.token_ns) <= budget_ns
    }

    /// A message was sent at `now`.
    #[inline]
    pub(crate) const fn take(&mut self, now: TaiNs) {
        let from = if self.full_at_ns > now.0 { self.full_at_ns } else { now.0 };
        // A rate of nothing has no token to give: cancels that the system forces through do not block the future.
        if self.token_ns != u64::MAX {
            self.full_at_ns = from.saturating_add(self.token_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_leave_the_reserve_to_cancels() {
        let mut rate = Rate::new(1000, 5, 2);
        let now = TaiNs(7 * SECOND_NS);
        let orders = (0..100).take_while(|_| rate.allows_order(now).then(|| rate.take(now)).is_some()).count();
        let cancels = (0..100).take_while(|_| rate.allows_cancel(now).then(|| rate.take(now)).is_some()).count();
        assert_eq!((orders, cancels), (5, 2));
        assert!(!rate.allows_order(now.plus(2_000_000)), "the reserve fills first");
        assert!(rate.allows_order(now.plus(3_000_000)));
    }

    #[test]
    fn what_is_taken_is_given_back_token_by_token() {
        let mut rate = Rate::new(1000, 5, 2);
        let now = TaiNs(7 * SECOND_NS);
        assert_eq!(rate.taken(now), 0);
        (0..4).for_each(|_| rate.take(now));
        assert_eq!((rate.taken(now), rate.taken(now.plus(1)), rate.taken(now.plus(1_000_000))), (4, 4, 3));
        assert_eq!((rate.taken(now.plus(4_000_000)), Rate::new(0, 1, 1).taken(now)), (0, 0));
    }

    #[test]
    fn when_orders_are_due_as_many_are_allowed_and_not_before() {
        let mut rate = Rate::new(1000, 5, 2);
        let now = TaiNs(7 * SECOND_NS);
        assert!(rate.orders_due(5) <= now);
        assert_eq!(rate.orders_due(6), TaiNs::NEVER);
        assert_eq!(Rate::new(0, 5, 0).orders_due(1), TaiNs::NEVER);
        (0..5).for_each(|_| rate.take(now));
        for count in 1..=5 {
            let due = rate.orders_due(count);
            assert_eq!(due, now.plus(u64::from(count) * 1_000_000));
            let allowed = |at| {
                let mut rate = rate;
                (0..count).all(|_| rate.allows_order(at).then(|| rate.take(at)).is_some())
            };
            assert!(allowed(due) && !allowed(TaiNs(due.0 - 1)), "{count}");
        }
    }

    #[test]
    fn no_second_has_more_than_rate_and_burst() {
        let mut rate = Rate::new(300, 10, 0);
        let mut sent = std::vec::Vec::new();
        for step in 0..4000_u64 {
            let now = TaiNs(SECOND_NS + step * 1_000_000);
            while rate.allows_order(now) {
                rate.take(now);
                sent.push(now.0);
            }
        }
        for (index, start) in sent.iter().enumerate() {
            let within = sent[index..].iter().take_while(|at| **at < start + SECOND_NS).count();
            assert!(within <= 310, "{within} in the second from {start}");
        }
        assert!(sent.len() > 1150, "{}", sent.len());
    }

    #[test]
    fn what_was_taken_comes_back_at_the_raised_rate() {
        let now = TaiNs(7 * SECOND_NS);
        let mut rate = Rate::new(1, 10, 0);
        (0..10).for_each(|_| rate.take(now));
        rate.set(1000, 10, 0, now);
        assert!(!rate.allows_order(now), "ten are taken");
        assert_eq!((rate.taken(now), rate.orders_due(1)), (10, now.plus(1_000_000)));
        // Lowered, nothing that was taken comes back sooner.
        rate.set(10, 10, 0, now);
        assert_eq!(rate.orders_due(10), now.plus(10_000_000));
        // By way of nothing, no more than the bucket is taken.
        let mut rate = Rate::new(1, 10, 0);
        (0..10).for_each(|_| rate.take(now));
        rate.set(0, 10, 0, now);
        rate.set(1000, 10, 5, now);
        assert_eq!(rate.taken(now), 15);
    }

    #[test]
    fn a_rate_of_zero_refuses_and_extremes_do_not_overflow() {
        let mut rate = Rate::new(0, u32::MAX, u32::MAX);
        assert!(!rate.allows_order(TaiNs(5)) && !rate.allows_cancel(TaiNs(u64::MAX)));
        rate.take(TaiNs(u64::MAX));
        rate.set(u32::MAX, u32::MAX, u32::MAX, TaiNs(0));
        assert!(rate.allows_order(TaiNs(0)));
        rate.take(TaiNs(u64::MAX));
        assert!(!rate.allows_order(TaiNs(0)));
        assert!(rate.allows_order(TaiNs(u64::MAX)));
    }
}
