//! Follows a journal from the place where a store ends, and never beyond what is on the journal's disk for sure: a store that
//! had more than the journal after a power cut could not be told from one of another journal.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tern_abi::record::{Kind, RecordHeader};
use tern_journal::{Head, JournalError, Reader, beginning, durable, hex, segment_facts};
use tern_schema::Context;

use crate::position::{Position, checksum};

/// How often the journal's head is read while nothing new is on the disk: a file of four kilobytes in the kernel's cache.
const HEAD_EVERY: Duration = Duration::from_millis(10);
/// How long records may be missing of which the head says that they are on the disk: the file system may be a remote one.
const MISSING_MAX: Duration = Duration::from_secs(5);

/// A record with what is needed to store it.
#[derive(Clone, Copy, Debug)]
pub struct Item<'r> {
    /// Its header.
    pub header: RecordHeader,
    /// Its body.
    pub body: &'r [u8],
    /// Names and trading day of its run.
    pub context: &'r Context,
}

/// A journal being followed.
pub struct Follow {
    folder: PathBuf,
    reader: Reader,
    context: Context,
    position: Position,
    head: Head,
    looked: Option<Instant>,
    missing_since: Option<Instant>,
    records_before: u64,
}

impl Follow {
    /// Behind `position`, which must be a record of the journal in `folder`.
    ///
    /// # Errors
    /// The journal does not have that record: it is another one, or the position was changed by somebody, or what follows it was
    /// deleted. It is damaged or cannot be read.
    pub fn behind(folder: &Path, position: Position) -> Result<Self> {
        if !folder.is_dir() {
            bail!("{}: there is no journal", folder.display());
        }
        let begins = beginning(folder)?;
        if position.seq > 0 && position.segment < begins.segment {
            bail!(
                "the store ends with {}, and {} begins with segment {} by now: records up to {} were deleted before they were \
                 stored, as this sink was forgotten, or was never a follower of that journal. Nothing is written. Fill another \
                 store (or schema, or stream) from there on",
                position.name(),
                folder.display(),
                begins.segment,
                begins.last_seq()
            );
        }
        let mut follow = Self {
            folder: folder.to_owned(),
            reader: reader_near(folder, position.seq)?,
            context: Context::default(),
            position,
            head: durable(folder)?.unwrap_or_default(),
            looked: None,
            missing_since: None,
            records_before: begins.records_before(),
        };
        if follow.position.seq > 0 {
            follow.find_position()?;
        }
        Ok(follow)
    }

    /// The place behind the last record given.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Records of the journal that are none of the position's: they were deleted before the store began.
    pub fn records_before(&self) -> u64 {
        self.records_before
    }

    /// The journal's end on the disk, when it was looked at last.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Steps up to the record of the position and holds it against what the position says; the context is that of its run.
    fn find_position(&mut self) -> Result<()> {
        let wanted = self.position.clone();
        if let Some(start) = (wanted.start_seq > 0).then(|| self.find(wanted.start_seq)).transpose()?.flatten() {
            self.context.heed(&start.0, &start.1);
        }
        self.reader = reader_near(&self.folder, wanted.seq)?;
        let (mut found, mut in_segment) = (None, 0);
        while let Some(record) = self.reader.next()? {
            in_segment += u64::from(record.segment == wanted.segment);
            if record.header.seq >= wanted.seq {
                self.context.heed(&record.header, record.body);
                found = Some((record.header, checksum(&record.header, record.body), record.segment));
                break;
            }
        }
        let seen = match found {
            Some((header, crc, segment)) => {
                let (instance, chain, before) = identity(&self.folder, segment)?;
                self.records_before = (before + in_segment).saturating_sub(wanted.records);
                let (seq, tai_ns) = (header.seq, header.tai_ns);
                Position { instance, segment, chain, seq, tai_ns, crc, ..Position::default() }
            }
            None => Position::default(),
        };
        if !wanted.is_at(&seen) {
            bail!(
                "the store ends with {}, and {} has {} there: it is another journal, its end was given up, or the position was \
                 changed. Nothing is written. Follow the journal that the store is of, or fill another store (or schema, or \
                 stream) from the beginning",
                wanted.name(),
                self.folder.display(),
                if seen.seq == 0 { "no such record".to_owned() } else { seen.name() }
            );
        }
        Ok(())
    }

    fn find(&self, seq: u64) -> Result<Option<(RecordHeader, Vec<u8>)>> {
        let mut reader = reader_near(&self.folder, seq)?;
        while let Some(record) = reader.next()? {
            if record.header.seq >= seq {
                return Ok((record.header.seq == seq).then(|| (record.header, record.body.to_vec())));
            }
        }
        Ok(None)
    }

    /// The next record that is on the disk; `None` if there is none yet.
    ///
    /// # Errors
    /// The journal is damaged, a segment is missing, or it cannot be read. What was given before stands.
    pub fn read(&mut self) -> Result<Option<Item<'_>>> {
        if self.position.seq >= self.head.last_seq && !self.look()? {
            return Ok(None);
        }
        let Some(record) = self.reader.next()? else {
            let since = *self.missing_since.get_or_insert_with(Instant::now);
            if since.elapsed() > MISSING_MAX {
                bail!(
                    "{}: the head says that records up to {} are on the disk, and none can be read behind {}: `tern journal verify` \
                     says what is wrong",
                    self.folder.display(),
                    self.head.last_seq,
                    self.position.seq
                );
            }
            return Ok(None);
        };
        self.missing_since = None;
        let header = record.header;
        if record.segment != self.position.segment {
            (self.position.instance, self.position.chain, _) = identity(&self.folder, record.segment)?;
            self.position.segment = record.segment;
        }
        if header.kind == Kind::Start as u16 {
            self.position.start_seq = header.seq;
        }
        self.context.heed(&header, record.body);
        self.position.seq = header.seq;
        self.position.tai_ns = header.tai_ns;
        self.position.crc = checksum(&header, record.body);
        self.position.records += 1;
        Ok(Some(Item { header, body: record.body, context: &self.context }))
    }

    /// Counts what became of the record given last.
    pub fn count(&mut self, outcome: Taken) {
        match outcome {
            Taken::Row => self.position.rows += 1,
            Taken::LeftOut => {}
            Taken::Unreadable => self.position.unreadable += 1,
        }
    }

    /// Looks how far the journal is on the disk; whether it is further than what was given.
    fn look(&mut self) -> Result<bool> {
        if self.looked.is_some_and(|at| at.elapsed() < HEAD_EVERY) {
            return Ok(false);
        }
        self.looked = Some(Instant::now());
        self.head = durable(&self.folder)?.unwrap_or_default();
        Ok(self.position.seq < self.head.last_seq)
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It has a row.
    Row,
    /// It is of a table that was not asked for.
    LeftOut,
    /// It is of a kind that this build does not know, or shorter than its kind.
    Unreadable,
}

/// Instance of a segment, the chain before it in hexadecimal, and how many records are before it.
fn identity(folder: &Path, segment: u64) -> Result<(String, String, u64)> {
    let Some(facts) = segment_facts(folder, segment)? else {
        bail!("{}: segment {segment} is gone while it is read", folder.display());
    };
    Ok((facts.instance, hex(&facts.previous), facts.records_before))
}

fn reader_near(folder: &Path, seq: u64) -> Result<Reader, JournalError> {
    match Reader::open_near(folder, seq) {
        // It looks at segments further on too, and one of those may be the damaged one.
        Err(JournalError::Damaged(_)) => Reader::open(folder),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::record::StartRecord;
    use tern_journal::{Options, Writer, retention, seal_through};
    use zerocopy::IntoBytes;

    /// Reads to the end; the last position, and how many records that was.
    fn to_end(follow: &mut Follow) -> (Position, u64) {
        let mut count = 0;
        while follow.read().expect("whole").is_some() {
            count += 1;
        }
        (follow.position().clone(), count)
    }

    #[test]
    fn a_store_goes_on_behind_deleted_days_and_one_that_lacks_some_of_them_is_told() {
        let folder = std::env::temp_dir().join(format!("tern-follow-{}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        let (mut writer, _) = Writer::open(&folder, Options::new("follow")).expect("an empty folder");
        for seq in 1..=40 {
            let is_start = seq % 10 == 1;
            let text = if is_start { format!("#run day={}\n", 20_000 + seq / 10) } else { String::new() };
            let body = [StartRecord::default().as_bytes(), text.as_bytes()].concat();
            let kind = if is_start { Kind::Start } else { Kind::State } as u16;
            let header = RecordHeader { seq, tai_ns: seq, kind, flags: 0, body_bytes: body.len() as u32 };
            writer.append(&header, &body).expect("room");
            if seq % 10 == 0 && seq < 40 {
                writer.seal().expect("a disk");
                seal_through(&folder, seq / 10).expect("whole").expect("records").keep(&folder).expect("room");
            }
        }
        writer.sync().expect("a disk");
        let mut all = Follow::behind(&folder, Position::default()).expect("whole");
        let mut early = Position::default();
        for _ in 0..15 {
            all.read().expect("whole");
        }
        early.clone_from(all.position());
        let (end, rest) = to_end(&mut all);
        assert_eq!((end.records, rest, all.records_before()), (40, 25, 0));

        let plan = retention::plan(&folder, 1).expect("whole");
        retention::delete(&folder, &plan, 1).expect("a disk").expect("two days are due");
        let follow = Follow::behind(&folder, end).expect("its record is there");
        assert_eq!(follow.records_before(), 0, "it has those that were deleted");
        let error = Follow::behind(&folder, early).err().expect("five records are lost to it").to_string();
        assert!(error.contains("were deleted before they were stored"), "{error}");
        // A new one begins with the first day that is there, and counts from there.
        let mut fresh = Follow::behind(&folder, Position::default()).expect("whole");
        let (end, count) = to_end(&mut fresh);
        assert_eq!((count, end.records, fresh.records_before(), end.seq), (20, 20, 20, 40));
        let again = Follow::behind(&folder, end).expect("whole");
        assert_eq!(again.records_before() + again.position().records, again.head().records, "nothing is behind");
        std::fs::remove_dir_all(&folder).ok();
    }
}
