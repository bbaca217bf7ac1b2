//! The end of the venue's day, in the middle of a run or before it: the segment is finished there, so that a seal can be made of all
//! before.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tern_config::Config;

use super::Sink;

/// How often the clock is asked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// TAI is ahead of UTC by so much since 2017; a second more or less does not matter to a day.
const TAI_AHEAD_S: u64 = 37;

/// Which day it is, and who is told that one has ended.
pub(crate) struct DayEnd<'a> {
    config: &'a Config,
    /// Seconds since 1970 UTC.
    clock: fn() -> u64,
    day: u32,
    due: Instant,
    /// Takes the number of the segment with which a day ended.
    ended: Option<Sender<u64>>,
}

/// Seconds since 1970 UTC.
pub(crate) fn utc_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl<'a> DayEnd<'a> {
    /// By `clock`; `ended` takes the number of the segment with which a day ended. `last_tai_ns` is the time of the last record of
    /// the journal, 0 if there is none: a day that ended without anybody to seal it (a power cut, a daemon that was killed)
    /// ends with the first turn.
    pub(crate) fn new(config: &'a Config, clock: fn() -> u64, last_tai_ns: u64, ended: Option<Sender<u64>>) -> Self {
        let today = config.trading_day(clock());
        let last = config.trading_day((last_tai_ns / 1_000_000_000).saturating_sub(TAI_AHEAD_S));
        // A record of a clock that ran ahead is not to keep days from ending.
        let day = if last_tai_ns == 0 { today } else { last.min(today) };
        Self { config, clock, day, due: Instant::now(), ended }
    }

    #[cfg(test)]
    pub(super) fn look_now(&mut self) {
        self.due = Instant::now();
    }

    /// Finishes the segment once for each day that begins. A clock that was set back begins none.
    ///
    /// # Errors
    /// As [`Sink::seal`]: call it again.
    pub(crate) fn turn<S: Sink>(&mut self, sink: &mut S) -> Result<bool, S::Error> {
        if Instant::now() < self.due {
            return Ok(false);
        }
        self.due = Instant::now() + LOOK_EVERY;
        let today = self.config.trading_day((self.clock)());
        if today <= self.day {
            return Ok(false);
        }
        let segment = self.finish(sink)?;
        self.day = today;
        tracing::info!(day = today, segment, "another day begins; the segment before it is finished");
        Ok(true)
    }

    /// Finishes the segment before a run's first record: a day may have ended with the run before, whenever that was.
    ///
    /// # Errors
    /// As [`Sink::seal`]: call it again.
    pub(super) fn run_begins<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        self.finish(sink).map(drop)
    }

    /// Finishes the segment, and has it sealed; its number.
    fn finish<S: Sink>(&self, sink: &mut S) -> Result<u64, S::Error> {
        sink.seal()?;
        let segment = sink.head().segment;
        // Whoever makes the seal may be gone: the orderly end makes one all the same.
        if let Some(ended) = &self.ended
            && segment > 0
        {
            ended.send(segment).ok();
        }
        Ok(segment)
    }
}
