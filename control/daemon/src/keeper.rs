//! Looks after what lies on the disk already, in a thread of its own that runs when nothing else wants to: it seals
//! days that ended while the daemon ran on, makes the index of each segment that is finished, and compresses those of days
//! before the last one. Whatever it cannot do is said once and costs no record: queries read what has no index. Nobody waits for it: what it was doing when the daemon ends is begun anew by the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use tern_config::Config;
use tern_journal::index::last_day_begins;
use tern_journal::{Index, JournalError, compress, segments_from};

use crate::DaemonError;
use crate::journal;

/// Pause between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether another day has begun: that may read the last segment.
const COLD_EVERY: Duration = Duration::from_secs(20);
/// How often it is asked whether the daemon ends.
const TURN: Duration = Duration::from_millis(20);

pub(crate) struct Keeper {
    config: Config,
    stop: &'static AtomicBool,
    /// Numbers of segments with which a day ended.
    days: Receiver<u64>,
    /// Segments up to here have their index.
    indexed: u64,
    /// Segments up to here were looked at for compression.
    compressed: u64,
    cold_due: Instant,
    /// What was said last.
    trouble: String,
}

impl Keeper {
    /// Begins to look after the journal of `config`, until `stop` is set.
    pub(crate) fn start(config: &Config, days: Receiver<u64>, stop: &'static AtomicBool) -> Result<(), DaemonError> {
        let keeper = Self {
            config: config.clone(),
            stop,
            days,
            indexed: 0,
            compressed: 0,
            cold_due: Instant::now(),
            trouble: String::new(),
        };
        let thread = thread::Builder::new().name("keeper".into());
        thread
            .spawn(|| keeper.run())
            .map(drop)
            .map_err(DaemonError::io("starting the thread that looks after the journal"))
    }

    fn run(mut self) {
        if let Err(why) = tern_hw::pin::when_idle() {
            tracing::warn!("what looks after the journal competes with everything else: {why}");
        }
        let mut due = Instant::now();
        while !self.ends() {
            if Instant::now() >= due {
                self.turn();
                due = Instant::now() + LOOK_EVERY;
            }
            thread::sleep(TURN);
        }
    }

    fn ends(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn turn(&mut self) {
        while let Ok(segment) = self.days.try_recv() {
            let folder = &self.config.paths.journal;
            journal::keep_seal(folder, tern_journal::seal_through(folder, segment));
        }
        let outcome = self.index().and_then(|()| self.compress());
        match outcome {
            Ok(()) => self.trouble.clear(),
            Err(error) => {
                let error = error.to_string();
                if error != self.trouble {
                    tracing::warn!("a finished segment of the journal is left as it is: {error}");
                }
                self.trouble = error;
            }
        }
    }

    /// Segments of days before the last one: what a data plane reads that starts again is left as it is.
    fn compress(&mut self) -> Result<(), JournalError> {
        let folder = &self.config.paths.journal;
        // Only what is indexed: both read all of the segment, and queries come first.
        let is_due = Instant::now() >= self.cold_due && self.compressed < self.indexed;
        if !self.config.journal.compress || !is_due {
            return Ok(());
        }
        self.cold_due = Instant::now() + COLD_EVERY;
        let begins = last_day_begins(folder)?;
        let day = if begins == 0 { 1 } else { *segments_from(folder, begins)?.start() };
        for number in self.compressed + 1..day.min(self.indexed + 1) {
            if self.ends() {
                return Ok(());
            }
            let outcome = compress(folder, number);
            // What cannot be compressed is tried again by the next daemon; those behind it are not to wait.
            self.compressed = number;
            if let Some(done) = outcome? {
                tracing::info!(segment = number, before = done.before, after = done.after, "compressed");
            }
        }
        Ok(())
    }

    fn index(&mut self) -> Result<(), JournalError> {
        let folder = &self.config.paths.journal;
        let segments = segments_from(folder, 0)?;
        // The last one is being written.
        for number in self.indexed + 1..*segments.end() {
            if self.ends() {
                return Ok(());
            }
            let index = Index::open(folder, number)?;
            if !index.is_kept() {
                index.write()?;
                tracing::debug!(segment = number, records = index.records(), "indexed");
            }
            self.indexed = number;
        }
        Ok(())
    }
}
