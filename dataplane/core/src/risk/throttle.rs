//! Repeated executions (RTS 6, 15(3)): how often a strategy traded lately. One that traded too often sends nothing until
//! an operator lets it. Calls that took too long are counted in the same way.

use crate::units::TaiNs;

/// Parts in which the window moves on.
const PARTS: u64 = 8;

/// Executions or slow calls of one strategy, by the part of the window in which they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repeats {
    /// The present part and those before it; one more than the window has, so that nothing younger is forgotten.
    counts: [u32; PARTS as usize + 1],
    /// Number of the present part.
    part: u64,
    /// The window in which they are counted.
    window_ns: u64,
}

const fn part_of(now: TaiNs, window_ns: u64) -> u64 {
    let part_ns = window_ns / PARTS;
    now.0 / if part_ns == 0 { 1 } else { part_ns }
}

impl Repeats {
    /// One more at `now`. How many there were in the last `window_ns`, or up to an eighth of it longer.
    pub(crate) fn add(&mut self, now: TaiNs, window_ns: u64) -> u32 {
        if window_ns != self.window_ns {
            self.change_window(now, window_ns);
        }
        self.move_on(now);
        if let Some(count) = self.counts.first_mut() {
            *count = count.saturating_add(1);
        }
        self.sum()
    }

    /// What was counted and when, for a hash.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.counts.iter().map(|count| u64::from(*count)).chain([self.part, self.window_ns])
    }

    fn sum(&self) -> u32 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Forgets what the window has left behind at `now`.
    fn move_on(&mut self, now: TaiNs) {
        let part = part_of(now, self.window_ns);
        let length = self.counts.len();
        let steps = part.saturating_sub(self.part).min(length as u64) as usize;
        self.counts.rotate_right(steps % length);
        self.counts.iter_mut().take(steps).for_each(|count| *count = 0);
        self.part = part;
    }

    /// A window that was set anew has other parts: what the old one still had at `now` is taken to be new in it.
    #[cold]
    fn change_window(&mut self, now: TaiNs, window_ns: u64) {
        self.move_on(now);
        let mut counts = [0; PARTS as usize + 1];
        if let Some(count) = counts.first_mut() {
            *count = self.sum();
        }
        *self = Self { counts, part: part_of(now, window_ns), window_ns };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_window_is_counted_and_what_is_long_past_is_not() {
        let mut repeats = Repeats::default();
        let start = 7_000_000;
        for (at, count) in
            [(0, 1), (0, 2), (500, 3), (1000, 4), (1124, 5), (1125, 4), (3000, 1), (3999, 2), (90_000, 1)]
        {
            assert_eq!(repeats.add(TaiNs(start + at), 1000), count, "at {at}");
        }
    }

    #[test]
    fn the_count_is_that_of_the_window_or_of_an_eighth_more() {
        let (mut repeats, mut all) = (Repeats::default(), std::vec::Vec::new());
        let mut now = 1_000_000_u64;
        for step in 0..5000_u64 {
            now += step * step % 97;
            all.push(now);
            let younger = |age| all.iter().filter(|at| now - **at < age).count() as u32;
            let counted = repeats.add(TaiNs(now), 1000);
            assert!(counted >= younger(1000) && counted <= younger(1125), "{counted} at {now}");
        }
    }

    #[test]
    fn a_shorter_window_and_none_do_not_lose_count_or_overflow() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.add(TaiNs(u64::MAX), 1), 1);
        assert_eq!(repeats.add(TaiNs(5), 0), 2);
        assert_eq!(repeats.add(TaiNs(5), u64::MAX), 3);
    }

    #[test]
    fn a_window_that_is_set_anew_keeps_what_the_old_one_still_had_and_no_more() {
        let start = TaiNs(7_000_000);
        for window in [100, 500, 999, 1001, 2000, 900_000] {
            let mut repeats = Repeats::default();
            assert_eq!((repeats.add(start, 1000), repeats.add(start.plus(900), 1000)), (1, 2));
            assert_eq!(repeats.add(start.plus(901), window), 3, "{window}");
            assert_eq!(repeats.add(start.plus(901), 1000), 4, "and back");
            assert_eq!(repeats.add(start.plus(90_000), window), 1, "{window}: all of them are long past");
        }
    }
}
