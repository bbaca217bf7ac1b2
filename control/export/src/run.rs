//! One export: records to rows, segment after segment.

use anyhow::{Context as _, Result, bail};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tern_abi::record::{Kind, RecordHeader};
use tern_journal::{Follower, JournalError, Reader};
use tern_schema::{Context, Selection, Table, Value};

use crate::file::{TableFile, file_name, lock, remove_others, remove_unfinished};
use crate::state::{Next, State};

/// TAI is ahead of UTC by so much since 2017; a second more or less does not matter here.
const TAI_AHEAD_NS: u64 = 37_000_000_000;

/// What an export has done, all earlier ones into the same folder included.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Records of the journal, of all kinds.
    pub records: u64,
    /// Records that are in the files.
    pub rows: BTreeMap<String, u64>,
    /// Records of tables that were not asked for.
    pub left_out: u64,
    /// Records of which no row could be made: of a kind that this build does not know, or shorter than their kind.
    pub unreadable: u64,
    /// Segments of the journal.
    pub segments: u64,
    /// Of those, segments that an earlier export had done.
    pub segments_before: u64,
    /// Records that this export read.
    pub records_read: u64,
}

/// How far an export is.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Bytes of the journal's segments that are done.
    pub bytes: u64,
    /// Bytes of all its segments.
    pub bytes_total: u64,
    /// Records read.
    pub records: u64,
}

/// An export of a journal into a folder.
pub struct Export {
    journal: PathBuf,
    folder: PathBuf,
    tables: Vec<&'static Table>,
    follower: Option<String>,
}

/// A segment that is being exported.
#[derive(Default)]
struct Part {
    files: BTreeMap<(&'static str, u32), TableFile>,
    records: u64,
    unreadable: u64,
}

impl Export {
    /// Of the journal in `journal` into `folder`, which is made.
    ///
    /// # Errors
    /// There is no journal, no such table, or the folder cannot be made.
    pub fn new(journal: &Path, folder: &Path, selection: &Selection) -> Result<Self> {
        if !journal.is_dir() {
            bail!("{}: there is no journal", journal.display());
        }
        let tables = selection.tables()?;
        fs::create_dir_all(folder).with_context(|| format!("{}: cannot make the folder", folder.display()))?;
        Ok(Self { journal: journal.to_owned(), folder: folder.to_owned(), tables, follower: None })
    }

    /// Has days of the journal wait, under this name, until they are exported; what is exported of the last segment alone counts as
    /// not exported.
    #[must_use]
    pub fn followed_as(self, name: Option<String>) -> Self {
        Self { follower: name, ..self }
    }

    /// Says how far the export is.
    fn tell(&self, state: &State) {
        let Some(name) = &self.follower else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let follower = Follower {
            name: name.clone(),
            needs_seq: state.next_seq,
            told_tai_ns: now + TAI_AHEAD_NS,
            who: format!("tern-export to {}", self.folder.display()),
        };
        // An archive that nobody may write loses no days.
        if let Err(error) = follower.tell(&self.journal) {
            eprintln!("tern-export: days of the journal may be deleted before they are exported: {error}");
        }
    }

    /// Exports what is not exported yet. `progress` is told now and then.
    ///
    /// # Errors
    /// Another export writes into the folder; the journal is another one, or damaged (what is before the damage is exported), or
    /// a file cannot be written; what was done before stays done.
    pub fn run(&self, mut progress: impl FnMut(Update)) -> Result<Report> {
        let _lock = lock(&self.folder)?;
        let mut state = State::load_or_begin(&self.folder, &self.tables)?;
        state.bind(&self.journal, &self.folder)?;
        for table in &self.tables {
            remove_unfinished(&self.folder.join(table.name))?;
        }
        let before = state.segments;
        self.tell(&state);
        let mut context = self.context_of(state.start_seq)?;
        let mut reader = self.reader_near(state.next_seq)?;
        let sizes = self.sizes();
        let bytes_total = sizes.values().sum();
        let mut update = Update { bytes: 0, bytes_total, records: 0 };
        let (mut segment, mut part, mut start_seq) = (0, Part::default(), state.start_seq);
        let mut last_seq = state.next_seq.saturating_sub(1);
        let after = |seq| format!("after record {seq}");
        let damage: Option<anyhow::Error> = loop {
            let record = match reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => break None,
                Err(error @ JournalError::Damaged(_)) => break Some(error.into()),
                Err(error) => return Err(error).with_context(|| after(last_seq)),
            };
            last_seq = record.header.seq;
            if record.segment <= state.segments {
                continue;
            }
            if record.segment != segment && segment != 0 {
                let done = std::mem::take(&mut part);
                // What the segment's last record belongs to is what the next one's first one begins with.
                let next = Next { seq: record.header.seq, start_seq };
                self.end_part(done, segment, Some(next), &mut state)?;
            }
            segment = record.segment;
            if record.header.kind == Kind::Start as u16 {
                start_seq = record.header.seq;
            }
            context.heed(&record.header, record.body);
            self.take(&mut part, segment, (&record.header, record.body), &context)?;
            update.records += 1;
            if update.records.is_multiple_of(50_000) {
                update.bytes = sizes.range(..segment).map(|(_, bytes)| bytes).sum();
                progress(update);
            }
        };
        // The last segment may grow, and one that is damaged may be brought back whole: it is in the files, but not among those
        // that are done.
        let mut all = state.clone();
        // Where damage hides the whole segment, what an earlier export has of it stays.
        if damage.is_none() || part.records > 0 {
            self.end_part(part, segment.max(state.segments + 1), None, &mut all)?;
        }
        if let Some(error) = damage {
            return Err(error.context(after(last_seq)));
        }
        self.tell(&state);
        progress(Update { bytes: bytes_total, ..update });
        let (segments, records_read) = (segment.max(state.segments) - state.skipped, update.records);
        Ok(Report { segments, segments_before: before - state.skipped, records_read, ..self.counts(&all) })
    }

    /// What is in the files, and what is not.
    fn counts(&self, all: &State) -> Report {
        let rows = |table: &&Table| (table.name.to_owned(), all.rows.get(table.name).copied().unwrap_or(0));
        let in_files: u64 = all.rows.values().sum();
        Report {
            records: all.records,
            rows: self.tables.iter().map(rows).collect(),
            left_out: all.records - in_files - all.unreadable,
            unreadable: all.unreadable,
            ..Report::default()
        }
    }

    /// A reader that gives the records from `seq` on, and maybe some before.
    fn reader_near(&self, seq: u64) -> Result<Reader> {
        match Reader::open_near(&self.journal, seq) {
            // It looks at segments further on too, and one of those may be the damaged one.
            Err(JournalError::Damaged(_)) => Ok(Reader::open(&self.journal)?),
            other => Ok(other?),
        }
    }

    /// What the start record of the run says in whose middle the export goes on.
    fn context_of(&self, start_seq: u64) -> Result<Context> {
        let mut context = Context::default();
        if start_seq == 0 {
            return Ok(context);
        }
        let mut reader = self.reader_near(start_seq)?;
        while let Some(record) = reader.next()? {
            if record.header.seq >= start_seq {
                context.heed(&record.header, record.body);
                break;
            }
        }
        Ok(context)
    }

    fn take<'a>(
        &self,
        part: &mut Part,
        segment: u64,
        (header, body): (&RecordHeader, &'a [u8]),
        context: &Context,
    ) -> Result<()> {
        part.records += 1;
        let Some(table) = Kind::from_u16(header.kind).and_then(Table::of) else {
            part.unreadable += 1;
            return Ok(());
        };
        if !self.tables.iter().any(|wanted| wanted.name == table.name) {
            return Ok(());
        }
        let mut row: Vec<Value<'a>> = Vec::new();
        if table.row(header, body, context, &mut row).is_none() {
            part.unreadable += 1;
            return Ok(());
        }
        let file = match part.files.entry((table.name, context.day())) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let day = self.folder.join(table.name).join(format!("day={}", context.date()));
                entry.insert(TableFile::create(table, day.join(file_name(segment)))?)
            }
        };
        file.push(&row, body.len())
    }

    /// Names the files of a segment, takes away what an earlier export left of it and of those before that have no record, and
    /// says that it is done if something comes `next`.
    fn end_part(&self, part: Part, segment: u64, next: Option<Next>, state: &mut State) -> Result<()> {
        let mut ended = Vec::new();
        for ((table, _), file) in part.files {
            ended.push((table, file.end()?));
        }
        for (table, file) in &ended {
            file.name()?;
            *state.rows.entry((*table).to_owned()).or_default() += file.rows;
        }
        let written: BTreeSet<PathBuf> = ended.into_iter().map(|(_, file)| file.path).collect();
        for number in state.segments + 1..=segment {
            for table in &self.tables {
                remove_others(&self.folder.join(table.name), number, &written)?;
            }
        }
        state.records += part.records;
        state.unreadable += part.unreadable;
        match next {
            Some(next) => state.done(segment, next, &self.journal, &self.folder),
            None => Ok(()),
        }
    }

    /// Bytes of each segment file.
    fn sizes(&self) -> BTreeMap<u64, u64> {
        let files = fs::read_dir(&self.journal).into_iter().flatten().flatten();
        let sized = files.filter_map(|file| {
            let number = file.file_name().to_str()?.strip_suffix(".journal")?.parse().ok()?;
            Some((number, file.metadata().ok()?.len()))
        });
        sized.collect()
    }
}
