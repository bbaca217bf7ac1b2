//! `[reference]`: what a firm's compliance, its lender and yesterday's market say of symbols, for one day of the venue. It stands in the
//! configuration itself or in a file that this names; the effective configuration has it in full, so that a replay needs
//! no file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::problem::Problem;
use crate::types::Config;
use crate::validate::PRICE_MAX;
use crate::values::text;

/// `[reference]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reference {
    /// A TOML file with the other keys of this section; relative to the configuration file.
    #[serde(skip_serializing)]
    pub file: Option<PathBuf>,
    /// The venue's trading day that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Date>,
    /// Symbols in which no order may be sent.
    pub restricted: Vec<String>,
    /// Symbols that may be sold short as they are.
    pub easy_to_borrow: Vec<String>,
    /// Shares of other symbols that may be sold short, because somebody located them.
    pub locates: BTreeMap<String, u32>,
    /// Closing prices of the trading day before, 1/10000 of the currency unit: the collar's reference begins there.
    pub prior_close: BTreeMap<String, u32>,
    /// Lowest and highest price of an order of the day, 1/10000 of the currency unit; with bounds in `[[limits.symbol]]`, both hold.
    /// The symbol's `prior_close` is within.
    pub price_bands: BTreeMap<String, [u32; 2]>,
}

/// A date of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Days since 1970-01-01.
    pub days: u32,
}

impl Date {
    /// Days since 1970-01-01 of a date of the Gregorian calendar; `None` before it, or when there is no such date.
    fn new(year: u32, month: u32, day: u32) -> Option<Self> {
        let is_leap = |year: u32| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let lengths = [31, 28 + u32::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let length = *lengths.get(month.checked_sub(1)? as usize)?;
        if !(1970..=9999).contains(&year) || !(1..=length).contains(&day) {
            return None;
        }
        let years: u32 = (1970..year).map(|year| 365 + u32::from(is_leap(year))).sum();
        let months: u32 = lengths.iter().take(month as usize - 1).sum();
        Some(Self { days: years + months + day - 1 })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = (1970..=9999)
            .flat_map(|year| (1..=12).map(move |month| (year, month)))
            .take_while(|(year, month)| Self::new(*year, *month, 1).is_some_and(|first| first.days <= self.days))
            .last();
        let (year, month) = date.unwrap_or((1970, 1));
        let first = Self::new(year, month, 1).map_or(0, |first| first.days);
        write!(f, "{year:04}-{month:02}-{:02}", self.days - first + 1)
    }
}

impl FromStr for Date {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no date");
        let mut parts = text.split('-');
        let mut part = |length: usize| -> Option<u32> {
            let part = parts.next().filter(|part| part.len() == length)?;
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let date = part(4).zip(part(2)).zip(part(2)).and_then(|((year, month), day)| Self::new(year, month, day));
        date.filter(|_| text.len() == 10).ok_or_else(wrong)
    }
}
text!(Date);

impl Config {
    /// Reads the reference file, if one is named. It takes the place of the name.
    pub(crate) fn fill_reference(&mut self) -> Result<(), Problem> {
        const FIELD: &str = "reference.file";
        let Some(Reference { file: Some(file), .. }) = &self.reference else { return Ok(()) };
        if self.reference != Some(Reference { file: Some(file.clone()), ..Reference::default() }) {
            return Err(self.problem(FIELD, "a file and lists are both given"));
        }
        let path = self.source.file.parent().unwrap_or(Path::new("")).join(file);
        let wrong = |why: String| self.problem(FIELD, format!("`{}` {why}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let read: Reference = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or("").matches('\n').count() + 1);
            wrong(format!("is wrong in line {line}: {}", error.message().replace('\n', " ")))
        })?;
        if read.file.is_some() {
            return Err(wrong("names another file".into()));
        }
        self.reference = Some(read);
        self.named.push(("reference", path));
        Ok(())
    }

    /// Bounds of a symbol's price outside of which it closed yesterday: one of the two is in another unit, or of another symbol. They
    /// would hold for the whole run, and let nothing leave, or leave open what they were to prevent.
    pub(crate) fn band_problems(&self) -> Vec<Problem> {
        let Some(reference) = &self.reference else { return Vec::new() };
        let mut bounds = Vec::new();
        for (index, own) in self.limits.symbol.iter().enumerate() {
            let at = |field: &str| format!("limits.symbol[{index}].{field}");
            let (lowest, highest) = (own.price_min.unwrap_or(1), own.price_max.unwrap_or(PRICE_MAX));
            bounds.push((at("price_min"), &own.symbol, [lowest, highest], [lowest, PRICE_MAX]));
            bounds.push((at("price_max"), &own.symbol, [lowest, highest], [1, highest]));
        }
        for (symbol, band) in &reference.price_bands {
            bounds.push((format!("reference.price_bands.{symbol}"), symbol, *band, *band));
        }
        // What is no price, or turned round, is said of its field already.
        let is_price = |price: &u32| (1..=PRICE_MAX).contains(price);
        let excluded = bounds.into_iter().filter_map(|(field, symbol, band, [lowest, highest])| {
            let close = reference.prior_close.get(symbol).filter(|close| is_price(close))?;
            let is_sound = band.iter().all(is_price) && band[0] <= band[1];
            let is_excluded = is_sound && !(lowest..=highest).contains(close);
            is_excluded.then(|| {
                let message = format!("prices from {lowest} to {highest} exclude {close}, the prior_close of {symbol}");
                let advice = format!(
                    "bounds with {close} within, or another prior_close or none: all in 1/10000 of the currency unit, a price in cents times 100"
                );
                self.problem_expecting(&field, message, &advice)
            })
        });
        excluded.collect()
    }

    /// Lowest and highest price of an order, by symbol, of those symbols that have bounds: the narrower ones of the limits and of the
    /// day's lists.
    pub fn price_bounds(&self) -> BTreeMap<String, [u32; 2]> {
        let own = self.limits.symbol.iter().filter(|own| own.price_min.is_some() || own.price_max.is_some());
        let mut bounds: BTreeMap<String, [u32; 2]> = own
            .map(|own| (own.symbol.clone(), [own.price_min.unwrap_or(1), own.price_max.unwrap_or(PRICE_MAX)]))
            .collect();
        for (symbol, [lowest, highest]) in self.reference.iter().flat_map(|reference| &reference.price_bands) {
            let both = bounds.entry(symbol.clone()).or_insert([*lowest, *highest]);
            *both = [both[0].max(*lowest), both[1].min(*highest)];
        }
        bounds
    }

    /// Whether the reference, if there is one, is for the trading day `day` ([`Config::trading_day`]).
    ///
    /// # Errors
    /// It is for another day: what was restricted or located then says nothing of today.
    pub fn check_reference(&self, day: u32) -> Result<(), Problem> {
        let Some(date) = self.reference.as_ref().and_then(|reference| reference.date) else { return Ok(()) };
        if date.days == day {
            return Ok(());
        }
        let today = Date { days: day };
        let advice = format!("the lists of {today}, the venue's trading day (session.day_starts, session.utc_offset)");
        Err(self.problem_expecting("reference.date", format!("the reference is of {date}"), &advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written_and_counted_in_days() {
        for (text, days) in [("1970-01-01", 0), ("1972-02-29", 789), ("2000-03-01", 11_017), ("2026-11-22", 20_779)] {
            let date: Date = text.parse().expect("a date");
            assert_eq!((date.days, date.to_string().as_str()), (days, text));
        }
        for text in
            ["", "2026-02-29", "2026-13-01", "2026-00-10", "2026-1-01", "1969-12-31", "2026-11-22-01", "x026-11-22"]
        {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    const BASE: &str = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n";

    #[test]
    fn a_reference_file_is_read_and_the_effective_configuration_needs_it_no_more() {
        let folder = std::env::temp_dir().join(format!("tern-reference-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let load = |lists: &str| {
            std::fs::write(folder.join("lists.toml"), lists).expect("written");
            std::fs::write(folder.join("c.toml"), format!("{BASE}[reference]\nfile = \"lists.toml\"\n"))
                .expect("written");
            Config::load(folder.join("c.toml"))
        };
        let lists = "date = \"2026-11-22\"\nrestricted = [\"BAD\"]\neasy_to_borrow = [\"SPY\"]\n[locates]\nGME = 500\n";
        let config = load(lists).unwrap_or_else(|problems| panic!("{problems}"));
        let again = Config::parse(Path::new("journal"), &config.effective_toml());
        let again = again.unwrap_or_else(|problems| panic!("{problems}")).reference.expect("it is there");
        assert_eq!((again.file, again.locates["GME"]), (None, 500));
        assert_eq!((again.restricted, again.easy_to_borrow), (vec!["BAD".to_owned()], vec!["SPY".to_owned()]));
        assert_eq!(config.check_reference(20_779), Ok(()));
        let shown = config.check_reference(20_780).expect_err("of another day").to_string();
        assert!(
            shown.contains("reference.date: the reference is of 2026-11-22; right would be: the lists of 2026-11-23")
        );
        for (lists, message) in [
            ("date = \"2026-11-22\"\nrestricted = [\"bad\"]", "reference.restricted[0]: `bad` is not a symbol"),
            ("restricted = []", "reference.date: required"),
            ("date = \"2026-11-22\"\nrestrict = []", "is wrong in line 2: unknown field `restrict`"),
            ("date = \"2026-11-22\"\n[locates]\nGME = 0", "reference.locates.GME: 0 is out of range"),
            (
                "date = \"2026-11-22\"\n[prior_close]\nGME = 231500\n[price_bands]\nGME = [2000, 2600]",
                "reference.price_bands.GME: prices from 2000 to 2600 exclude 231500",
            ),
            ("file = \"x\"", "names another file"),
        ] {
            let shown = load(lists).expect_err("refused").to_string();
            assert!(shown.contains(message), "{shown}");
        }
        std::fs::remove_dir_all(folder).expect("it was made");
        let both = format!("{BASE}[reference]\nfile = \"lists.toml\"\nrestricted = [\"BAD\"]\n");
        let shown = Config::parse(Path::new("x"), &both).expect_err("refused").to_string();
        assert!(shown.contains("reference.file: a file and lists are both given"), "{shown}");
    }
}
