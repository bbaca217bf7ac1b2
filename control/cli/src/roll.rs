//! `tern positions roll`: the opening positions of the next day, from what the last day of the journal ends with.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;
use tern_config::{Date, Splits};
use tern_journal::recovered::Recovered;

use crate::fold::symbol_text;
use crate::outcome::{Failure, Outcome, exit};
use crate::recover;

/// Days of a week.
const WEEK: u32 = 7;
/// 1970-01-01 was a Thursday: days since then, and three, are days of the week from Monday.
const THURSDAY: u32 = 3;

/// A position as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rolled {
    strategy: u16,
    symbol: String,
    shares: i64,
    cost: i64,
}

/// Writes to `to` what the last day of the journal in `folder` ends with, `splits` (a TOML file: symbol = "new:old") applied,
/// as what is held when the day `date` begins; without it the next day of the week that is none of a weekend.
///
/// # Errors
/// Exit code 4 when the journal is damaged, 5 while orders are open, 3 when the venue's log was not found to agree, 1 when a
/// split leaves a part of a share or the file cannot be written, 2 for splits or a date that make no sense.
pub(crate) fn roll(folder: &Path, to: &Path, splits: Option<&Path>, date: Option<Date>) -> Result<Outcome, Failure> {
    let (day, tail_bytes) = recover::read(folder)?;
    let from = check(&day, tail_bytes)?;
    let date = date.unwrap_or_else(|| next_weekday(from));
    if date.days <= from.days {
        return Err(Failure::usage(format!("{date} is not after {from}, the journal's last day")));
    }
    let splits = splits.map(read_splits).transpose()?.unwrap_or_default();
    let rolled = positions(&day, &splits)?;
    let unused: Vec<&String> =
        splits.keys().filter(|symbol| rolled.iter().all(|position| position.symbol != **symbol)).collect();
    write(to, &text(&rolled, (from, date), &splits))
        .map_err(|error| Failure::failed(format!("{}: cannot be written: {error}", to.display())))?;
    let mut said = format!("{} positions of {from} written to {} for {date}\n", rolled.len(), to.display());
    for symbol in &unused {
        said.push_str(&format!("nothing is held of {symbol}, which was split\n"));
    }
    if !day.clean_stop {
        said.push_str("the data plane has not stopped in order: what it trades from here on is not in the file\n");
    }
    let list: Vec<_> = (rolled.iter())
        .map(|position| {
            json!({ "strategy": position.strategy, "symbol": position.symbol, "shares": position.shares,
                "cost": position.cost })
        })
        .collect();
    let json = json!({ "unit": "1/10000", "from": from.to_string(), "date": date.to_string(), "file": to,
        "positions": list, "splits_unused": unused, "clean_stop": day.clean_stop });
    Ok(Outcome::ok(said, json))
}

/// The day that ends, if it has ended and everything is known of it.
fn check(day: &Recovered, tail_bytes: u64) -> Result<Date, Failure> {
    let refuse = |code, message: String| Err(Failure { message: format!("{message}; nothing was written"), code });
    if tail_bytes > 0 || day.unreadable > 0 {
        let message = format!(
            "{tail_bytes} bytes at the journal's end and {} records in it cannot be read: start ternd, which repairs what a power \
             cut left, and see `tern recover`",
            day.unreadable
        );
        return refuse(exit::DAMAGED, message);
    }
    let Some(days) = day.day else {
        return refuse(exit::UNHEALTHY, "no run of the journal said which trading day it was".into());
    };
    let open = day.orders().filter(|(_, order)| order.open).count();
    if open > 0 {
        let message =
            format!("{open} orders are open or not answered: `tern orders` lists them, `tern cancel-all` cancels");
        return refuse(exit::UNKNOWN_ORDERS, message);
    }
    if day.unreconciled {
        let message = match day.differences_stopping {
            0 => "the last run has not compared the venue's log with the journal: start it once more".to_owned(),
            found => format!("{found} differences from the venue's log are not accepted (`tern recover`)"),
        };
        return refuse(exit::UNHEALTHY, message);
    }
    Ok(Date { days })
}

/// Holidays are not known here.
fn next_weekday(after: Date) -> Date {
    let mut days = after.days + 1;
    while (days + THURSDAY) % WEEK >= 5 {
        days += 1;
    }
    Date { days }
}

fn read_splits(file: &Path) -> Result<Splits, Failure> {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    tern_config::parse_splits(&text).map_err(wrong)
}

/// What is held, split. What it cost stays what it cost.
fn positions(day: &Recovered, splits: &Splits) -> Result<Vec<Rolled>, Failure> {
    let held = day.positions().into_iter().filter(|(_, position)| position.shares != 0);
    held.map(|((strategy, symbol), position)| {
        let symbol = symbol_text(&symbol);
        let (new, old) = splits.get(&symbol).copied().unwrap_or((1, 1));
        let (shares, old) = (i128::from(position.shares) * i128::from(new), i128::from(old));
        let whole = Some(shares / old).filter(|_| shares % old == 0).and_then(|shares| i64::try_from(shares).ok());
        let Some(shares) = whole else {
            return Err(Failure::failed(format!(
                "{symbol} of strategy {strategy}: {} shares split {new}:{old} are not whole ones; sell the part before the split, \
                 or leave {symbol} out and write its position by hand; nothing was written",
                position.shares
            )));
        };
        Ok(Rolled { strategy, symbol, shares, cost: position.cost })
    })
    .collect()
}

fn text(rolled: &[Rolled], (from, date): (Date, Date), splits: &Splits) -> String {
    let mut text = format!("# What the journal of {from} ends with, by `tern positions roll`.\ndate = \"{date}\"\n");
    for Rolled { strategy, symbol, shares, cost } in rolled {
        let split = splits.get(symbol).map_or_else(String::new, |(new, old)| format!(" # split {new}:{old}"));
        text.push_str(&format!(
            "\n[[position]]\nsymbol = \"{symbol}\"\nstrategy = {strategy}\nshares = {shares}{split}\ncost = {cost}\n"
        ));
    }
    text
}

/// All of it or nothing: a file beside it takes its place.
fn write(to: &Path, text: &str) -> io::Result<()> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = to.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    let beside = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, to)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // Whatever is left of it is of no use, and the first error says more.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_day_is_none_of_a_weekend() {
        let next = |text: &str| next_weekday(text.parse().expect("a date")).to_string();
        let found = ["2026-11-26", "2026-11-27", "2026-11-28", "2026-11-29"].map(next);
        assert_eq!(found, ["2026-11-27", "2026-11-30", "2026-11-30", "2026-11-30"]);
    }
}
