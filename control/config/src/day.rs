//! The venue's trading day. Order ids count within one (OUCH 5.0: a UserRefNum strictly increases an account and day), so
//! everything that keeps ids asks here which day it is, and nowhere else.
//!
//! Days are counted in the venue's time, which is UTC and a fixed offset: not in TAI, which is ahead of it by 37 s, and not
//! in this host's time zone. An instance belongs to the day in which it was started; it is started anew for the next.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::types::Config;
use crate::values::text;

const MINUTE_S: i64 = 60;
const DAY_S: i64 = 86_400;

/// A time of the day, minutes after midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 0 to 1439.
    pub minutes: u16,
}

/// What is added to UTC, minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcOffset {
    /// -720 to 840.
    pub minutes: i16,
}

impl Config {
    /// The trading day at `utc_s`, seconds since 1970 UTC: the days from 1970-01-01 to the date, in the venue's time, on
    /// which it began. Without a session, the UTC date.
    pub fn trading_day(&self, utc_s: u64) -> u32 {
        let (starts, offset) =
            self.session.as_ref().map_or_else(Default::default, |session| (session.day_starts, session.utc_offset));
        trading_day(starts, offset, utc_s)
    }
}

impl Config {
    /// The hours of the trading day `day` in which orders may be sent: from the first moment until before the second, in
    /// seconds since 1970 UTC. `None` without a session.
    pub fn order_hours(&self, day: u32) -> Option<(i64, i64)> {
        let session = self.session.as_ref()?;
        let midnight_s = i64::from(day) * DAY_S - i64::from(session.utc_offset.minutes) * MINUTE_S;
        let starts = session.day_starts.minutes;
        // What is before the start of the day is on the next date.
        let at = |time: TimeOfDay| {
            let date_s = if time.minutes < starts { DAY_S } else { 0 };
            midnight_s + date_s + i64::from(time.minutes) * MINUTE_S
        };
        let begins_s = midnight_s + i64::from(starts) * MINUTE_S;
        Some((session.orders_from.map_or(begins_s, at), session.orders_until.map_or(begins_s + DAY_S, at)))
    }
}

fn trading_day(starts: TimeOfDay, offset: UtcOffset, utc_s: u64) -> u32 {
    let shift_s = (i64::from(offset.minutes) - i64::from(starts.minutes)) * MINUTE_S;
    let day = utc_s.saturating_add_signed(shift_s).cast_signed().max(0) / DAY_S;
    u32::try_from(day).unwrap_or(u32::MAX)
}

/// `HH:MM`, in minutes.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| -> Option<u16> {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        minutes(text).map(|minutes| Self { minutes }).ok_or_else(|| format!("`{text}` is no time of the day"))
    }
}
text!(TimeOfDay);

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minutes < 0 { '-' } else { '+' };
        write!(f, "{sign}{}", TimeOfDay { minutes: self.minutes.unsigned_abs() })
    }
}

impl FromStr for UtcOffset {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let signed = match text.split_at_checked(1) {
            Some(("+", rest)) => minutes(rest).map(u16::cast_signed),
            Some(("-", rest)) => minutes(rest).map(|minutes| -minutes.cast_signed()),
            _ => None,
        };
        signed
            .filter(|minutes| (-12 * 60..=14 * 60).contains(minutes))
            .map(|minutes| Self { minutes })
            .ok_or_else(|| format!("`{text}` is no offset from UTC"))
    }
}
text!(UtcOffset);

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 00:00:00 UTC, and its number.
    const MIDNIGHT_S: u64 = 1_795_305_600;
    const DAY: u32 = 20_779;

    fn day(starts: &str, offset: &str, utc_s: u64) -> u32 {
        trading_day(starts.parse().expect("a time"), offset.parse().expect("an offset"), utc_s)
    }

    #[test]
    fn by_default_the_day_changes_at_midnight_utc_and_not_37_seconds_earlier() {
        assert_eq!(day("00:00", "+00:00", MIDNIGHT_S), DAY);
        // In TAI it is the next day by now.
        assert_eq!(day("00:00", "+00:00", MIDNIGHT_S - 1), DAY - 1);
        assert_eq!(day("00:00", "+00:00", MIDNIGHT_S - 37), DAY - 1);
        assert_eq!(day("00:00", "+00:00", MIDNIGHT_S + 86_399), DAY);
    }

    #[test]
    fn it_changes_at_the_start_of_the_venues_day() {
        // New York in winter: midnight there is 05:00 UTC.
        let new_york = MIDNIGHT_S + 5 * 3600;
        assert_eq!((day("00:00", "-05:00", new_york - 1), day("00:00", "-05:00", new_york)), (DAY - 1, DAY));
        // Tokyo: midnight is 15:00 UTC of the day before.
        let tokyo = MIDNIGHT_S - 9 * 3600;
        assert_eq!((day("00:00", "+09:00", tokyo - 1), day("00:00", "+09:00", tokyo)), (DAY - 1, DAY));
        // A day that begins at 17:00 in Chicago keeps its number over two midnights: UTC's and Chicago's.
        let chicago = MIDNIGHT_S + 23 * 3600;
        assert_eq!((day("17:00", "-06:00", chicago - 1), day("17:00", "-06:00", chicago)), (DAY - 1, DAY));
        assert_eq!(day("17:00", "-06:00", MIDNIGHT_S + 86_400), DAY);
        assert_eq!(day("17:00", "-06:00", MIDNIGHT_S + 86_400 + 6 * 3600), DAY);
        assert_eq!(day("17:00", "-06:00", chicago + 86_400 - 1), DAY);
        // Minutes count, and nothing is below 0.
        assert_eq!((day("00:30", "+05:30", MIDNIGHT_S - 5 * 3600 - 1), day("00:30", "+05:30", 0)), (DAY - 1, 0));
        assert_eq!((day("00:30", "+05:30", MIDNIGHT_S - 5 * 3600), day("23:59", "-12:00", 5)), (DAY, 0));
    }

    #[test]
    fn order_hours_lie_in_the_venues_day_also_where_that_spans_two_dates() {
        let hours = |keys: &str| {
            let text = format!(
                "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n[session]\nvenue = \"itch_ouch\"\n\
                 address = \"10.1.0.1:9000\"\nuser = \"A\"\npassword = \"b\"\naccount = 1\n{keys}"
            );
            let config = Config::parse(std::path::Path::new("test"), &text).map_err(|problems| problems.to_string())?;
            let (from, until) = config.order_hours(DAY).expect("a session");
            let after = |at: i64| (at - MIDNIGHT_S.cast_signed()) / 60;
            assert_eq!(config.trading_day(from.cast_unsigned()), DAY);
            Ok::<_, String>((after(from), after(until)))
        };
        assert_eq!(hours(""), Ok((0, 24 * 60)));
        let new_york = "utc_offset = \"-05:00\"\norders_from = \"09:30\"\norders_until = \"16:00\"\n";
        assert_eq!(hours(new_york), Ok((14 * 60 + 30, 21 * 60)));
        let chicago =
            "day_starts = \"17:00\"\nutc_offset = \"-06:00\"\norders_from = \"18:00\"\norders_until = \"15:15\"\n";
        assert_eq!(hours(chicago), Ok((24 * 60, 24 * 60 + 21 * 60 + 15)));
        let shown = hours("orders_from = \"16:00\"\norders_until = \"09:30\"\n").expect_err("refused");
        assert!(shown.contains("session.orders_until: not after orders_from within the venue's day"), "{shown}");
    }

    #[test]
    fn times_and_offsets_are_written_as_they_are_read() {
        for text in ["00:00", "09:30", "23:59"] {
            assert_eq!(text.parse::<TimeOfDay>().expect("a time").to_string(), text);
        }
        for text in ["+00:00", "-05:00", "+05:45", "-12:00", "+14:00"] {
            assert_eq!(text.parse::<UtcOffset>().expect("an offset").to_string(), text);
        }
        for text in ["", "24:00", "12:60", "9:30", "+9:30", "12", "12:3a", "-1:00", "ää:ää"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
        for text in ["", "05:00", "+14:01", "-12:01", "EST", "+", "é05:00"] {
            assert!(text.parse::<UtcOffset>().is_err(), "{text}");
        }
    }
}
