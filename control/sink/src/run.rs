//! Follows a journal into a store until it is told to end: batches, and what is done when the store is gone.

use anyhow::{Result, anyhow};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tern_abi::record::Kind;
use tern_schema::{Table, Value};

use crate::follow::{Follow, Item, Taken};
use crate::position::Position;
use crate::status::{CatchUp, Figures};
use crate::store::{Store, StoreError};

/// A batch ends when so many records are read, of whatever tables.
const BATCH_RECORDS: usize = 100_000;
/// Pause at the end of the journal.
const PAUSE: Duration = Duration::from_millis(10);
/// Pauses before a store that is gone is tried again: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// When it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Never: a store that is gone is tried again.
    Stopped,
    /// At the journal's end, or when the store is gone.
    Level,
}

/// A sink.
pub struct Sink<'a, S> {
    /// Folder of the journal.
    pub journal: &'a Path,
    /// Where the rows go.
    pub store: S,
    /// Which tables.
    pub tables: &'a [&'static Table],
    /// A batch ends when its rows are so large: what is kept in memory, the last record on top.
    pub batch_bytes: usize,
    /// What is told of it.
    pub figures: &'a Figures,
}

/// A batch in the making.
#[derive(Default)]
struct Batch {
    records: usize,
    /// Times of records that came while following, TAI ns.
    times: Vec<u64>,
}

impl<S: Store> Sink<'_, S> {
    /// Follows.
    ///
    /// # Errors
    /// The journal is damaged (what is before the damage is stored) or not the one that the store is of; the store refuses, or
    /// is gone and [`Until::Level`] was asked for.
    pub fn run(&mut self, until: Until) -> Result<()> {
        let mut pause = RETRY.0;
        loop {
            let before = self.figures.status(self.journal).commits;
            let error = match self.connection(until) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.downcast_ref() {
                Some(StoreError::Gone(_)) if until == Until::Stopped => {}
                _ => return Err(error),
            }
            if self.figures.status(self.journal).commits > before {
                pause = RETRY.0;
            }
            let losses = self.figures.gone(format!("{error:#}"));
            eprintln!(
                "tern-sink: {}: gone ({losses} times by now): {error:#}; tried again in {} ms, nothing is lost meanwhile",
                self.store.name(),
                pause.as_millis()
            );
            sleep(pause);
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// From a connection to what ends it.
    fn connection(&mut self, until: Until) -> Result<()> {
        let position = self.store.resume()?;
        self.figures.resumed(&position);
        eprintln!("tern-sink: {}: has {}", self.store.name(), position.name());
        let (began, first) = (Instant::now(), position.records);
        let mut follow = Follow::behind(self.journal, position)?;
        self.figures.begins(follow.records_before());
        let (mut batch, mut is_live) = (Batch::default(), false);
        loop {
            let read = match follow.read() {
                Ok(Some(item)) => {
                    if is_live {
                        batch.times.push(item.header.tai_ns);
                    }
                    batch.records += 1;
                    Some(self.take(&item)?)
                }
                Ok(None) => None,
                Err(error) => {
                    // What is before the damage is good.
                    if self.store.must_end_at().is_none() {
                        self.commit(&mut batch, follow.position())?;
                    }
                    return Err(error);
                }
            };
            match read {
                Some(taken) => {
                    follow.count(taken);
                    let is_due = match self.store.must_end_at() {
                        Some(seq) => follow.position().seq >= seq,
                        None => batch.records >= BATCH_RECORDS || self.store.waiting_bytes() >= self.batch_bytes,
                    };
                    if !is_due {
                        continue;
                    }
                    self.commit(&mut batch, follow.position())?;
                }
                None => {
                    if self.store.must_end_at().is_none() {
                        self.commit(&mut batch, follow.position())?;
                    }
                    if follow.position().seq < follow.head().last_seq {
                        sleep(PAUSE);
                        continue;
                    }
                    let records = follow.position().records - first;
                    let caught_up = (!is_live && records > 0).then(|| catch_up(records, began.elapsed()));
                    self.figures.level(caught_up);
                    is_live = true;
                    if until == Until::Level {
                        return Ok(());
                    }
                    sleep(PAUSE);
                }
            }
        }
    }

    fn take(&mut self, item: &Item<'_>) -> Result<Taken, StoreError> {
        let Some(table) = Kind::from_u16(item.header.kind).and_then(Table::of) else { return Ok(Taken::Unreadable) };
        if !self.tables.iter().any(|wanted| wanted.name == table.name) {
            return Ok(Taken::LeftOut);
        }
        let mut row: Vec<Value<'_>> = Vec::new();
        if table.row(&item.header, item.body, item.context, &mut row).is_none() {
            return Ok(Taken::Unreadable);
        }
        let seq = item.header.seq;
        let named = |error| match error {
            StoreError::Refused(error) => StoreError::Refused(error.context(anyhow!("record {seq} of {}", table.name))),
            gone => gone,
        };
        self.store.take(table, item, &row).map_err(named)?;
        Ok(Taken::Row)
    }

    fn commit(&mut self, batch: &mut Batch, position: &Position) -> Result<(), StoreError> {
        if batch.records == 0 {
            return Ok(());
        }
        self.store.commit(position)?;
        self.figures.stored(position, &batch.times);
        batch.records = 0;
        batch.times.clear();
        Ok(())
    }
}

fn catch_up(records: u64, took: Duration) -> CatchUp {
    let seconds = took.as_secs_f64();
    CatchUp { records, seconds, records_per_second: records as f64 / seconds.max(1e-6) }
}
