//! Moves records from the rings into the journal, and gives ring space back only for what the journal has.
//!
//! When the journal cannot be written, trading is stopped and the record at hand is tried again until it can: nothing is
//! skipped. Records then stay in the rings; the order ring never sheds, so when it is full the loop stops by itself.

use std::time::{Duration, Instant};

use tern_abi::day::DayState;
use tern_abi::manual::ManualRecord;
use tern_abi::record::{Kind, RecordHeader, StageRecord};
use tern_abi::ring::drain::{Drain, Mark};
use tern_abi::segment::KillCause;
use tern_config::facts::HeadFact;
use tern_config::latency::LatencyFacts;
use tern_config::{Config, Fsync};
use tern_journal::DayLog;
use zerocopy::FromBytes;

use crate::shared::Shared;
use day::DayEnd;

pub(crate) mod day;

/// Records taken between two looks at everything else.
const BATCH_RECORDS: usize = 4096;
/// Pause when the rings are empty.
const IDLE: Duration = Duration::from_micros(200);
/// Pause before a record that the journal refused is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How long a daemon that ends goes on trying a journal that refuses.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// How often shed counts are looked at.
const SHED_EVERY: Duration = Duration::from_millis(100);

/// What the journal has to do for the drain.
pub(crate) trait Sink {
    type Error: std::fmt::Display;
    /// Takes one record; a record that the journal has already is taken and dropped.
    fn append(&mut self, header: &RecordHeader, body: &[u8]) -> Result<(), Self::Error>;
    /// Hands everything to the kernel: from here on it survives the death of this process.
    fn flush(&mut self) -> Result<(), Self::Error>;
    /// Forces everything to the disk: from here on it survives the death of the host.
    fn sync(&mut self) -> Result<(), Self::Error>;
    /// Ends the journal for now.
    fn seal(&mut self) -> Result<(), Self::Error>;
    /// `seq` of the last record taken, 0 if none.
    fn last_seq(&self) -> u64;
    /// `seq` of the last record that is on the disk for sure.
    fn durable_seq(&self) -> u64;
    /// How far it is on the disk, and the chain there.
    fn head(&self) -> HeadFact;
}

pub(crate) struct Drainer<'a, S> {
    drain: Drain<'a>,
    sink: S,
    fsync: Fsync,
    fsync_every: Duration,
    synced: Instant,
    dirty: bool,
    shed_due: Instant,
    turns: u64,
    records: u64,
    /// How long the loop's stages took, from its stage records.
    latency: LatencyFacts,
    /// What came of things done by hand, and is not told yet: only what the journal has is.
    told: Vec<ManualRecord>,
    /// A record that the journal refused.
    refused: Option<(RecordHeader, Vec<u8>)>,
    /// Ring space up to here is given back once the journal has flushed.
    mark: Option<Mark>,
    trouble: bool,
    day: DayEnd<'a>,
    /// How far the day is, from its records; shown when that is new.
    led: DayLog,
    led_is_new: bool,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Moved,
    Idle,
    Trouble,
    Corrupt,
}

impl<'a, S: Sink> Drainer<'a, S> {
    pub(crate) fn new(config: &Config, drain: Drain<'a>, sink: S, day: DayEnd<'a>) -> Self {
        Self {
            drain,
            sink,
            fsync: config.journal.fsync,
            fsync_every: Duration::from_millis(config.journal.fsync_ms),
            synced: Instant::now(),
            dirty: false,
            shed_due: Instant::now(),
            turns: 0,
            records: 0,
            latency: LatencyFacts::empty(),
            told: Vec::new(),
            refused: None,
            mark: None,
            trouble: false,
            day,
            led: DayLog::default(),
            led_is_new: false,
        }
    }

    /// Goes on with what the journal says of the day already.
    pub(crate) fn following(self, led: DayLog) -> Self {
        Self { led, ..self }
    }

    /// Until the data plane is gone and the rings are empty. Returns whether all of it is in the journal.
    pub(crate) fn run(mut self, shared: &Shared<'_>) -> bool {
        // A drain that waits for its core behind exports and queries fills the rings, and full rings stop trading.
        if let Err(why) = tern_hw::pin::before_others() {
            tracing::warn!("the drain competes with everything else on its core: {why}");
        }
        let mut last_chance = None;
        loop {
            // Asked before the turn: what is published until then, the turn finds.
            let ending = !shared.draining();
            let turn = self.turn(shared);
            self.turns += 1;
            shared.beat(self.turns);
            let deadline = *last_chance.get_or_insert_with(|| Instant::now() + LAST_PATIENCE);
            match turn {
                Turn::Moved => {}
                Turn::Idle if ending => return self.finish(shared),
                Turn::Idle => std::thread::sleep(IDLE),
                Turn::Trouble if ending && Instant::now() >= deadline => {
                    tracing::error!(
                        "records stay in the rings: the journal refuses them; the next start goes on there"
                    );
                    self.sync_last(shared);
                    return false;
                }
                Turn::Trouble => std::thread::sleep(RETRY),
                Turn::Corrupt if ending => {
                    self.sync_last(shared);
                    return false;
                }
                Turn::Corrupt => std::thread::sleep(RETRY),
            }
            if !ending {
                last_chance = None;
            }
        }
    }

    fn turn(&mut self, shared: &Shared<'_>) -> Turn {
        let outcome = self.move_batch();
        let moved = match &outcome {
            Ok(moved) => *moved,
            Err(Stop::Journal(error)) => {
                self.in_trouble(shared, &error.to_string());
                self.sync_in_trouble(shared);
                return Turn::Trouble;
            }
            Err(Stop::Ring(corrupt)) => {
                self.in_trouble(shared, corrupt);
                self.sync_in_trouble(shared);
                return Turn::Corrupt;
            }
        };
        self.told.drain(..).for_each(|record| shared.told.tell(record));
        // What comes after this, the new day's log has. What waits in the rings goes first: it may be of the day that ended.
        let more_waits = moved >= BATCH_RECORDS as u64;
        let ended = match if more_waits { Ok(false) } else { self.day.turn(&mut self.sink) } {
            Ok(ended) => ended,
            Err(error) => {
                self.in_trouble(shared, &error.to_string());
                return Turn::Trouble;
            }
        };
        if ended {
            // Before anything else can fail: of the day that begins nothing is prepared, and a run that goes on with the old one is not
            // to trade in it.
            crate::day::hold(shared, DayState::New.most());
        }
        let synced = match self.sync_if_due() {
            Ok(synced) => synced || ended,
            Err(error) => {
                self.in_trouble(shared, &error.to_string());
                return Turn::Trouble;
            }
        };
        // Only once what failed has succeeded: until then nobody may resume.
        if self.trouble {
            self.trouble = false;
            tracing::info!("the journal takes records again");
            shared.update(|facts| facts.journal.trouble.clear());
        }
        if moved > 0 || synced {
            self.publish(shared, synced);
        }
        if std::mem::take(&mut self.led_is_new) {
            shared.day.show(&self.led);
        }
        if Instant::now() >= self.shed_due {
            self.shed_due = Instant::now() + SHED_EVERY;
            let shed = self.drain.shed_total();
            shared.update(|facts| (facts.shed_datagrams, facts.shed_bytes) = (shed.datagrams, shed.bytes));
            shared.show_latency(&self.latency);
        }
        if moved > 0 { Turn::Moved } else { Turn::Idle }
    }

    /// Moves what waits, at most a batch, and gives its ring space back. Returns how many records it was.
    fn move_batch(&mut self) -> Result<u64, Stop<S::Error>> {
        // What the journal took and could not flush comes first: nothing piles up behind it.
        self.settle()?;
        let mut moved = 0;
        if let Some((header, body)) = &self.refused {
            append(&mut self.sink, &mut self.day, header, body).map_err(Stop::Journal)?;
            count_stages(&mut self.latency, header, body);
            note_manual(&mut self.told, header, body);
            self.led_is_new |= follow_day(&mut self.led, header, body);
            self.refused = None;
            self.mark = Some(self.drain.mark());
            self.records += 1;
            moved += 1;
        }
        while moved < BATCH_RECORDS {
            let record = match self.drain.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(corrupt) => return Err(Stop::Ring(corrupt.to_string())),
            };
            if let Err(error) = append(&mut self.sink, &mut self.day, &record.header, record.body) {
                self.refused = Some((record.header, record.body.to_vec()));
                return Err(Stop::Journal(error));
            }
            count_stages(&mut self.latency, &record.header, record.body);
            note_manual(&mut self.told, &record.header, record.body);
            self.led_is_new |= follow_day(&mut self.led, &record.header, record.body);
            moved += 1;
            self.records += 1;
            self.mark = Some(self.drain.mark());
        }
        self.settle()?;
        Ok(moved as u64)
    }

    /// Gives back the ring space of what was taken, once the journal has it safe.
    fn settle(&mut self) -> Result<(), Stop<S::Error>> {
        let Some(mark) = self.mark else { return Ok(()) };
        self.sink.flush().map_err(Stop::Journal)?;
        self.dirty = true;
        if self.fsync == Fsync::Batch {
            self.sink.sync().map_err(Stop::Journal)?;
            (self.dirty, self.synced) = (false, Instant::now());
        }
        self.drain.commit(mark);
        self.mark = None;
        Ok(())
    }

    /// Returns whether everything is on the disk now and was not said to be before.
    fn sync_if_due(&mut self) -> Result<bool, S::Error> {
        match self.fsync {
            Fsync::Batch => Ok(true),
            Fsync::Interval if self.dirty && self.synced.elapsed() >= self.fsync_every => {
                self.sink.sync()?;
                (self.dirty, self.synced) = (false, Instant::now());
                Ok(true)
            }
            Fsync::Interval | Fsync::Off => Ok(false),
        }
    }

    /// What was taken before the trouble is not to wait for its end. Trading is stopped and why is said already: a sync that fails
    /// too is tried again in the next turn.
    fn sync_in_trouble(&mut self, shared: &Shared<'_>) {
        // With `batch` nothing waits but what was just refused.
        if self.fsync == Fsync::Interval && matches!(self.sync_if_due(), Ok(true)) {
            self.publish(shared, true);
        }
    }

    /// The end without a seal, in the midst of trouble: what was taken is forced to the disk all the same.
    fn sync_last(&mut self, shared: &Shared<'_>) {
        match self.sink.sync() {
            Ok(()) => self.publish(shared, true),
            Err(error) => tracing::error!("what the journal took last may not be on the disk: {error}"),
        }
    }

    fn publish(&self, shared: &Shared<'_>, synced: bool) {
        let (last_seq, durable_seq) = (self.sink.last_seq(), self.sink.durable_seq());
        let head = synced.then(|| self.sink.head());
        let words = shared.segment.words();
        words.journaled_seq.set(last_seq);
        if synced {
            words.durable_seq.set(durable_seq);
        }
        shared.update(|facts| {
            (facts.journal.records, facts.journal.last_seq) = (self.records, last_seq);
            let Some(head) = head else { return };
            facts.journal.durable_seq = durable_seq;
            let before = facts.journal.head.replace(head.clone());
            if before.is_none_or(|before| before.segment != head.segment) {
                // Where logs go, the head is out of reach of whoever can write the journal.
                tracing::info!(
                    segment = head.segment,
                    bytes = head.bytes,
                    records = head.records,
                    seq = head.last_seq,
                    tai_ns = head.last_tai_ns,
                    chain = %head.chain,
                    "head of the journal"
                );
            }
        });
    }

    /// Stops trading, once for each time of trouble.
    fn in_trouble(&mut self, shared: &Shared<'_>, what: &str) {
        if !self.trouble {
            self.trouble = true;
            shared.halt(KillCause::JournalTrouble, &format!("the journal cannot go on: {what}"));
        }
        shared.update(|facts| facts.journal.trouble = what.to_owned());
    }

    fn finish(&mut self, shared: &Shared<'_>) -> bool {
        match self.sink.seal() {
            Ok(()) => {
                self.publish(shared, true);
                true
            }
            Err(error) => {
                self.in_trouble(shared, &error.to_string());
                false
            }
        }
    }
}

/// Appends one record. A run begins with a segment of its own: only there can days be told apart when the first ones are deleted.
fn append<S: Sink>(sink: &mut S, day: &mut DayEnd<'_>, header: &RecordHeader, body: &[u8]) -> Result<(), S::Error> {
    // One that the journal has already is offered again after a restart of the daemon, and begins nothing.
    if header.kind == Kind::Start as u16 && header.seq > sink.last_seq() {
        day.run_begins(sink)?;
    }
    sink.append(header, body)
}

/// Counts what a record says of the loop's stages, if it does.
fn count_stages(latency: &mut LatencyFacts, header: &RecordHeader, body: &[u8]) {
    if header.kind == Kind::Stages as u16
        && let Ok((stages, _)) = StageRecord::read_from_prefix(body)
    {
        latency.add(&stages);
    }
}

/// Keeps what a record says came of something done by hand, if it does.
fn note_manual(told: &mut Vec<ManualRecord>, header: &RecordHeader, body: &[u8]) {
    if header.kind == Kind::ManualOutcome as u16
        && let Ok((record, _)) = ManualRecord::read_from_prefix(body)
    {
        told.push(record);
    }
}

/// Whether it is a record that says how far the day is.
fn follow_day(led: &mut DayLog, header: &RecordHeader, body: &[u8]) -> bool {
    let is_of_day = header.kind == Kind::Day as u16 || header.kind == Kind::Start as u16;
    if is_of_day {
        led.apply(header, body);
    }
    is_of_day
}

enum Stop<E> {
    Journal(E),
    Ring(String),
}

#[cfg(test)]
mod tests;
