//! `[day]`: whether the trading day is led by `tern day`, and when limits may not be loosened any more before the open.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::Config;

/// `[day]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Day {
    /// Whether orders leave only in a day that an operator has armed (`tern day arm`).
    pub managed: bool,
    /// So long before `session.orders_from` nothing is loosened, unless a risk officer has said why (`tern day unfreeze`); 0 = never frozen.
    pub freeze_minutes: u32,
}

/// Longest freeze, minutes.
pub(crate) const FREEZE_MINUTES_MAX: u32 = 720;

impl Config {
    /// If limits are frozen at `utc_s`, seconds since 1970 UTC: until before when, the same.
    pub fn frozen_until(&self, utc_s: u64) -> Option<u64> {
        self.session.as_ref()?.orders_from?;
        let (from_s, _) = self.order_hours(self.trading_day(utc_s))?;
        let begins_s = from_s - i64::from(self.day.freeze_minutes) * 60;
        let now_s = utc_s.cast_signed();
        (begins_s <= now_s && now_s < from_s).then_some(from_s.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 00:00:00 UTC.
    const MIDNIGHT_S: u64 = 1_795_305_600;

    #[test]
    fn limits_are_frozen_before_the_open_of_the_venues_day() {
        let config = |day: &str, from: &str| {
            let text = format!(
                "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n[session]\nvenue = \"itch_ouch\"\n\
                 address = \"10.1.0.1:9000\"\nuser = \"A\"\npassword = \"b\"\naccount = 1\nutc_offset = \"-05:00\"\n{from}[day]\n{day}"
            );
            Config::parse(std::path::Path::new("test"), &text).map_err(|problems| problems.to_string())
        };
        let frozen = config("freeze_minutes = 30\n", "orders_from = \"09:30\"\n").expect("right");
        let at = |minutes: u64| frozen.frozen_until(MIDNIGHT_S + minutes * 60);
        let open = 14 * 60 + 30;
        let open_s = MIDNIGHT_S + open * 60;
        assert_eq!([at(open - 31), at(open - 30), at(open - 1), at(open)], [None, Some(open_s), Some(open_s), None]);
        let never = config("managed = true\n", "orders_from = \"09:30\"\n").expect("right");
        assert_eq!(never.frozen_until(open_s - 1), None);
        let shown = config("freeze_minutes = 30\n", "").expect_err("before what?");
        assert!(shown.contains("day.freeze_minutes: there is no session.orders_from"), "{shown}");
        let shown = config("freeze_minutes = 721\n", "orders_from = \"09:30\"\n").expect_err("too long");
        assert!(shown.contains("day.freeze_minutes: 721 is out of range"), "{shown}");
    }
}
