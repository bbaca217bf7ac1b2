//! What the records before say of those that follow.

use tern_abi::record::{Kind, RecordHeader, StartRecord};
use tern_config::Config;
use tern_config::facts::Names;
use zerocopy::FromBytes;

/// TAI is so far ahead of UTC since 2017. A host whose kernel was not told has TAI that reads as UTC: near the end of a
/// trading day its runs may count to the day before.
const TAI_AHEAD_S: u64 = 37;

/// What the line of a start record begins with that says how its run began, as the data plane writes it.
const RUN_LINE: &str = "#run ";

/// Names and trading day of the run that wrote the records. Hand it every record, in order, before its row is made.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub(crate) names: Names,
    day: u32,
}

impl Context {
    /// Takes over what a start record says; of other records nothing.
    pub fn heed(&mut self, header: &RecordHeader, body: &[u8]) {
        let utc_s = (header.tai_ns / 1_000_000_000).saturating_sub(TAI_AHEAD_S);
        if header.kind == Kind::Start as u16
            && let Ok((_, text)) = StartRecord::ref_from_prefix(body)
        {
            let text = String::from_utf8_lossy(text);
            let (configuration, names) = Names::split_start_text(&text);
            self.names = names;
            self.day = day_said(configuration).unwrap_or_else(|| {
                // A configuration that this build does not understand any more has the UTC date as its day.
                let config = Config::journaled(configuration);
                config.map_or((utc_s / 86_400) as u32, |(config, _)| config.trading_day(utc_s))
            });
        } else if self.day == 0 {
            // The journal begins in the middle of a run: its start is not here.
            self.day = (utc_s / 86_400) as u32;
        }
    }

    /// The trading day of the run, days since 1970-01-01.
    pub const fn day(&self) -> u32 {
        self.day
    }

    /// The trading day as `YYYY-MM-DD`.
    pub fn date(&self) -> String {
        date_of(self.day)
    }
}

/// The trading day that the run itself traded; `None` when it did not say, or said 0.
fn day_said(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(RUN_LINE))?;
    let day = line.split_whitespace().find_map(|word| word.strip_prefix("day="))?;
    day.parse().ok().filter(|day| *day != 0)
}

/// The date of a day since 1970-01-01, as `YYYY-MM-DD` (proleptic Gregorian; the algorithm counts years from March).
fn date_of(day: u32) -> String {
    let shifted = u64::from(day) + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * of_year + 2) / 153;
    let date = of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let of = |day| date_of(day);
        assert_eq!(
            [of(0), of(11_016), of(19_782), of(20_783)],
            ["1970-01-01", "2000-02-29", "2024-02-29", "2026-11-26"]
        );
    }
}
