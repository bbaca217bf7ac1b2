//! Interleaved runs, medians, and the rows of `bench.json`.

use std::time::Instant;

/// Fewest runs of each side.
pub const RUNS_MIN: usize = 9;

/// One row of `bench.json`.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Row {
    /// Name of the metric, as given to `--only`.
    pub metric: String,
    /// Median of our runs.
    pub ours: f64,
    /// Median of the peer's runs, in the same unit.
    pub peer: Option<f64>,
    /// What the peer is.
    pub peer_name: Option<String>,
    /// `ours / peer`.
    pub ratio: Option<f64>,
    /// Unit of `ours` and `peer`.
    pub unit: String,
    /// Runs of each side.
    pub runs: usize,
    /// Target for `ours`, in its unit, and for the ratio, where the project set one.
    pub target: Option<f64>,
    /// Highest ratio that meets the target.
    pub target_ratio: Option<f64>,
    /// All figures of ours, in the order in which they were measured.
    pub all_ours: Vec<f64>,
    /// All figures of the peer.
    pub all_peer: Vec<f64>,
    /// What a reader must know about this figure.
    pub note: String,
}

impl Row {
    /// Whether each target that was set is met.
    pub fn meets_target(&self) -> Option<bool> {
        let value = self.target.map(|target| self.ours <= target);
        let ratio = self.target_ratio.zip(self.ratio).map(|(target, ratio)| ratio <= target);
        match (value, ratio) {
            (None, None) => None,
            (value, ratio) => Some(value.unwrap_or(true) && ratio.unwrap_or(true)),
        }
    }
}

/// Median; 0 for no figure.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The value below which `percent` of all figures lie, nearest rank; 0 for no figure. Sorts them.
pub fn percentile(figures: &mut [u64], percent: f64) -> f64 {
    figures.sort_unstable();
    let rank = (figures.len() as f64 * percent / 100.0).ceil() as usize;
    figures.get(rank.max(1) - 1).map_or(0.0, |figure| *figure as f64)
}

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Runs of each side.
    pub runs: usize,
    /// Multiplies the work of a run: 1 for `--quick`.
    pub scale: usize,
}

/// Runs all sides in turn, `plan.runs` times each, after one unmeasured run of each. Who begins changes from run to
/// run, so that no side always comes after the same other.
pub fn rotate<const N: usize>(plan: Plan, mut sides: [&mut dyn FnMut() -> f64; N]) -> [Vec<f64>; N] {
    let runs = plan.runs.max(RUNS_MIN);
    sides.iter_mut().for_each(|side| {
        side();
    });
    let mut all = [const { Vec::new() }; N];
    for run in 0..runs {
        for place in 0..N {
            let side = (run + place) % N;
            all[side].push(sides[side]());
        }
    }
    all
}

/// Runs ours and the peer in turn; see [`rotate`].
pub fn interleave(plan: Plan, mut ours: impl FnMut() -> f64, mut peer: impl FnMut() -> f64) -> (Vec<f64>, Vec<f64>) {
    let [ours, peer] = rotate(plan, [&mut ours, &mut peer]);
    (ours, peer)
}

/// Nanoseconds an item of `work`, which says how many items it did.
pub fn ns_each(work: impl FnOnce() -> u64) -> f64 {
    let start = Instant::now();
    let items = work();
    let elapsed = start.elapsed();
    elapsed.as_nanos() as f64 / items.max(1) as f64
}

/// Builds a row from figures.
#[derive(Clone, Debug)]
pub struct RowBuilder(Row);

impl RowBuilder {
    /// A row of `metric` in `unit`.
    pub fn new(metric: &str, unit: &str, all_ours: Vec<f64>) -> Self {
        Self(Row {
            metric: metric.into(),
            ours: median(&all_ours),
            peer: None,
            peer_name: None,
            ratio: None,
            unit: unit.into(),
            runs: all_ours.len(),
            target: None,
            target_ratio: None,
            all_ours,
            all_peer: Vec::new(),
            note: String::new(),
        })
    }
    /// With the peer's figures.
    pub fn peer(mut self, name: &str, all_peer: Vec<f64>) -> Self {
        let peer = median(&all_peer);
        self.0.peer = Some(peer);
        self.0.peer_name = Some(name.into());
        self.0.ratio = (peer > 0.0).then(|| self.0.ours / peer);
        self.0.all_peer = all_peer;
        self
    }
    /// With a target for the figure itself.
    pub fn target(mut self, target: f64) -> Self {
        self.0.target = Some(target);
        self
    }
    /// With a target for the ratio.
    pub fn target_ratio(mut self, target: f64) -> Self {
        self.0.target_ratio = Some(target);
        self
    }
    /// With a note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.note = note.into();
        self
    }
    /// The row.
    pub fn build(self) -> Row {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn percentiles_are_figures_that_occurred() {
        let mut figures: Vec<u64> = (1..=200).rev().collect();
        assert_eq!([50.0, 99.0, 100.0].map(|percent| percentile(&mut figures, percent)), [100.0, 198.0, 200.0]);
        assert_eq!(percentile(&mut [7], 50.0), 7.0);
        assert_eq!(percentile(&mut [], 99.0), 0.0);
    }

    #[test]
    fn sides_take_turns() {
        let log = std::cell::RefCell::new(String::new());
        let peer = || {
            log.borrow_mut().push('p');
            1.0
        };
        let ours = || {
            log.borrow_mut().push('o');
            1.0
        };
        let (all_ours, all_peer) = interleave(Plan { runs: 9, scale: 1 }, ours, peer);
        assert!(log.borrow().starts_with("opoppoop"), "{}", log.borrow());
        assert_eq!((all_ours.len(), all_peer.len()), (9, 9));
    }

    #[test]
    fn a_missed_target_is_seen() {
        let row = RowBuilder::new("x", "ns", vec![10.0]).peer("p", vec![10.0]).target(20.0).target_ratio(0.75).build();
        assert_eq!(row.meets_target(), Some(false));
    }
}
