//! Plain tables and numbers for a terminal.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

/// Widest line, characters: a terminal's; whatever reads a pipe or a file gets all of it.
fn width() -> usize {
    static WIDTH: OnceLock<usize> = OnceLock::new();
    const LEAST: usize = 40;
    *WIDTH.get_or_init(|| match io::stdout().is_terminal() {
        true => ratatui::crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns).max(LEAST)),
        false => usize::MAX,
    })
}

/// Where the text of a column goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Lines of cells under a heading; the last column is cut where the line would be wider than the terminal.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a line, a cell a column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether it has no lines.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, with a line break after each line.
    pub(crate) fn render(&self) -> String {
        self.render_within(width())
    }

    fn render_within(&self, width_max: usize) -> String {
        let heading: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let lines = || std::iter::once(&heading).chain(&self.rows);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                lines().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        lines().map(|line| self.line(line, &widths, width_max)).collect()
    }

    fn line(&self, cells: &[String], widths: &[usize], width_max: usize) -> String {
        let mut text = String::new();
        for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(&self.columns) {
            let padding = " ".repeat(width - cell.chars().count());
            match align {
                Align::Left => text.extend([cell.as_str(), &padding, "  "]),
                Align::Right => text.extend([&padding, cell.as_str(), "  "]),
            }
        }
        let text = text.trim_end();
        let mut line: String = text.chars().take(width_max).collect();
        if text.chars().count() > width_max {
            line.pop();
            line.push('…');
        }
        line.push('\n');
        line
    }
}

/// A number with its thousands set apart: `1_234_567`.
pub(crate) fn grouped(value: impl Into<i128>) -> String {
    let value = value.into();
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// Money or a price of 1/10000 in the currency unit: `-12.3400`.
pub(crate) fn money(value: impl Into<i128>) -> String {
    let value = value.into();
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{:04}", grouped((value.unsigned_abs() / 10_000) as i128), value.unsigned_abs() % 10_000)
}

/// Nanoseconds in the unit that suits them: `850 ns`, `1.25 us`, `3.40 ms`, `2.00 s`.
pub(crate) fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.2} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

/// TAI ns as date and time with nanoseconds: `2026-11-22T13:42:33.000000001 TAI`.
pub(crate) fn tai_time(ns: u64) -> String {
    let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{rest:09} TAI",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Seconds since 1970 as date and time: `2026-11-22T13:42:33 UTC`.
pub(crate) fn utc_time(seconds: u64) -> String {
    let text = tai_time(seconds.saturating_mul(1_000_000_000));
    format!("{} UTC", text.split('.').next().unwrap_or_default())
}

/// TAI ns of a time as [`tai_time`] writes it, seconds and what follows them optional, or of a plain number.
pub(crate) fn tai_ns(text: &str) -> Option<u64> {
    if let Ok(ns) = text.parse() {
        return Some(ns);
    }
    let text = text.strip_suffix(" TAI").unwrap_or(text);
    let (date, time) = text.split_once('T')?;
    let numbers = |text: &str, by: char| text.split(by).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let ([year, month, day], time) = (<[u64; 3]>::try_from(numbers(date, '-')?).ok()?, numbers(time, ':')?);
    let (hour, minute, second) = (*time.first()?, *time.get(1)?, time.get(2).copied().unwrap_or(0));
    let digits = fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = (1970..2500).contains(&year) && time.len() <= 3 && hour < 24 && minute < 60 && second < 60 && digits;
    // Where there is no such day, another one comes back from its number.
    let days = (1..=12).contains(&month).then(|| days_of(year, month, day))?;
    let rest: u64 = format!("{fraction:0<9}").parse().ok()?;
    (is_time && civil(days) == (year, month, day))
        .then(|| (days * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000_000 + rest)
}

/// The day since 1970 of a date (Hinnant, `days_from_civil`).
fn days_of(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.saturating_sub(1);
    let year_of_era = year % 400;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (year / 400 * 146_097 + day_of_era).saturating_sub(719_468)
}

/// Year, month and day of a day since 1970 (Hinnant, chrono-compatible low-level date algorithms, `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            (grouped(1_234_567_u64), grouped(-999), grouped(-1000)),
            ("1_234_567".into(), "-999".into(), "-1_000".into())
        );
        assert_eq!(
            (money(-12_3400_i64), money(5), money(123_456_780_001_i64)),
            ("-12.3400".into(), "0.0005".into(), "12_345_678.0001".into())
        );
        assert_eq!(
            (duration(850), duration(1250), duration(3_400_000), duration(2_000_000_000)),
            ("850 ns".into(), "1.25 us".into(), "3.40 ms".into(), "2.00 s".into())
        );
        assert_eq!(tai_time(1_795_354_953_000_000_001), "2026-11-22T13:42:33.000000001 TAI");
        assert_eq!(tai_time(951_782_400_000_000_000), "2000-02-29T00:00:00.000000000 TAI");
    }

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for ns in [0, 951_782_400_000_000_000, 951_868_799_999_999_999, 1_795_354_953_000_000_001] {
            assert_eq!(tai_ns(&tai_time(ns)), Some(ns));
        }
        assert_eq!(tai_ns("1795354953000000001"), Some(1_795_354_953_000_000_001));
        assert_eq!(tai_ns("2026-11-22T13:42"), Some(1_795_354_920_000_000_000));
        assert_eq!(tai_ns("2026-11-22T13:42:33.5"), Some(1_795_354_953_500_000_000));
        for wrong in ["", "T", "2026-02-30T00:00", "2026-13-01T00:00", "2026-11-22T24:00", "2026-11-22T1:2:3:4", "x"] {
            assert_eq!(tai_ns(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn columns_line_up_and_long_lines_are_cut() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right), ("help", Align::Left)]);
        table.row(vec!["a".into(), "10".into(), "x".repeat(200)]);
        let text = table.render_within(100);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "name   n  help");
        assert!(lines[1].starts_with("a     10  xxx") && lines[1].ends_with('…'));
        assert_eq!(lines[1].chars().count(), 100);
        let whole = table.render_within(usize::MAX);
        assert!(whole.contains(&"x".repeat(200)) && !whole.contains('…'));
    }
}
