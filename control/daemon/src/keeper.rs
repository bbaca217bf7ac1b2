//! Looks after what lies on the disk already, in a thread of its own that runs when nothing else wants to: it makes the index
//! of each segment that is finished. Whatever it cannot do is said once and costs no record: queries read what has no index.
//! Nobody waits for it: what it was doing when the daemon ends is begun anew by the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tern_config::Config;
use tern_journal::{Index, JournalError, segments_from};

use crate::DaemonError;

/// Pause between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether the daemon ends.
const TURN: Duration = Duration::from_millis(20);

pub(crate) struct Keeper {
    config: Config,
    stop: &'static AtomicBool,
    /// Segments up to here have their index.
    indexed: u64,
    /// What was said last.
    trouble: String,
}

impl Keeper {
    /// Begins to look after the journal of `config`, until `stop` is set.
    pub(crate) fn start(config: &Config, stop: &'static AtomicBool) -> Result<(), DaemonError> {
        let keeper = Self { config: config.clone(), stop, indexed: 0, trouble: String::new() };
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
        match self.index() {
            Ok(()) => self.trouble.clear(),
            Err(error) => {
                let error = error.to_string();
                if error != self.trouble {
                    tracing::warn!("a segment has no index, and queries read all of it: {error}");
                }
                self.trouble = error;
            }
        }
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
