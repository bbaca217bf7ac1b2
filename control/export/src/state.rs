//! `export.json`: how far the export is, written after the files that it speaks of.

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tern_journal::beginning;
use tern_schema::{Table, layout};

use crate::bound::Bound;
use crate::file::sync_folder;

const NAME: &str = "export.json";
const VERSION: u32 = 2;

/// What `export.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct State {
    version: u32,
    /// Tables that are exported.
    pub(crate) tables: Vec<String>,
    /// The columns of each, names and types.
    columns: BTreeMap<String, Vec<String>>,
    /// The journal it is of, where the segments that are done end; `None` until that has a segment.
    bound: Option<Bound>,
    /// Segments of the journal that are done: these, and all before.
    pub(crate) segments: u64,
    /// Of those, segments that were deleted before the export began: it has nothing of them.
    #[serde(default)]
    pub(crate) skipped: u64,
    /// Where to read on: the number of the next record or a later one.
    pub(crate) next_seq: u64,
    /// The start record whose run the next record belongs to; 0 = none is known.
    pub(crate) start_seq: u64,
    /// Records of the segments that are done.
    pub(crate) records: u64,
    /// Rows of each table in the segments that are done.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Records in the segments that are done of which no row could be made.
    pub(crate) unreadable: u64,
}

/// Where an export goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    /// The next record.
    pub(crate) seq: u64,
    /// The start record whose run it belongs to; 0 = none is known.
    pub(crate) start_seq: u64,
}

fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

impl State {
    /// How far the export in `folder` is. Where there is none it begins: from then on no other tables mix with it.
    ///
    /// # Errors
    /// It cannot be read or begun, or it is one of other tables, or of the same with other columns.
    pub(crate) fn load_or_begin(folder: &Path, tables: &[&Table]) -> Result<Self> {
        let fresh = Self::new(tables);
        let path = path(folder);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fresh.save(folder)?;
                return Ok(fresh);
            }
            Err(error) => return Err(error).with_context(|| format!("{}: cannot read it", path.display())),
        };
        let state: Self = serde_json::from_str(&text)
            .with_context(|| format!("{}: not written by this build; export to another folder", path.display()))?;
        if state.version != VERSION {
            bail!("{}: written by another build; export to another folder", path.display());
        }
        if state.tables != fresh.tables {
            bail!(
                "{}: an export of other tables ({}) is there; name the same ones, or another folder",
                path.display(),
                state.tables.join(", ")
            );
        }
        if let Some(table) = fresh.tables.iter().find(|table| state.columns.get(*table) != fresh.columns.get(*table)) {
            let list = |state: &Self| state.columns.get(table).map(|columns| columns.join(", ")).unwrap_or_default();
            bail!(
                "{}: an export by a build with other columns is there: of table `{table}` it has ({}), this build has ({}). \
                 Export all of the journal to another folder",
                path.display(),
                list(&state),
                list(&fresh)
            );
        }
        Ok(state)
    }

    fn new(tables: &[&Table]) -> Self {
        Self {
            version: VERSION,
            tables: tables.iter().map(|table| table.name.to_owned()).collect(),
            columns: tables.iter().map(|table| (table.name.to_owned(), layout(table))).collect(),
            bound: None,
            segments: 0,
            skipped: 0,
            next_seq: 0,
            start_seq: 0,
            records: 0,
            rows: BTreeMap::new(),
            unreadable: 0,
        }
    }

    /// Holds the journal against the one that was exported before; an export that begins is bound to it.
    ///
    /// # Errors
    /// It is another journal, it cannot be read, or the state cannot be written.
    pub(crate) fn bind(&mut self, journal: &Path, folder: &Path) -> Result<()> {
        let begins = beginning(journal)?;
        if self.bound.is_none() && self.segments == 0 {
            (self.segments, self.skipped) = (begins.segment - 1, begins.segment - 1);
        } else if self.segments + 1 < begins.segment {
            bail!(
                "{}: the export has the journal up to the end of segment {}, and {} begins with segment {} by now: records up to {} \
                 were deleted before they were exported, as this export was forgotten, or was never a follower of that journal. \
                 Export what is there to another folder",
                path(folder).display(),
                self.segments,
                journal.display(),
                begins.segment,
                begins.last_seq()
            );
        }
        let found = Bound::behind(journal, self.segments)?;
        match (&self.bound, &found) {
            (None, None) if self.segments == self.skipped => Ok(()),
            (None, Some(_)) if self.segments == self.skipped => {
                self.bound = found;
                self.save(folder)
            }
            (Some(known), Some(found)) if known.is_same(found, self.segments) => Ok(()),
            (known, found) => {
                let name = |bound: &Option<Bound>, none: &str| {
                    bound.as_ref().map_or_else(|| none.to_owned(), |bound| bound.name(self.segments))
                };
                bail!(
                    "{}: export of another journal: {}; {} is {}. Export that journal, or this one to another folder",
                    path(folder).display(),
                    name(known, "it does not say which"),
                    journal.display(),
                    name(found, &format!("one without a finished segment {}", self.segments.max(1)))
                )
            }
        }
    }

    /// Says that `segments` segments are done; the next record and its run's start record are those.
    ///
    /// # Errors
    /// The journal cannot be read, or the state cannot be written.
    pub(crate) fn done(&mut self, segments: u64, next: Next, journal: &Path, folder: &Path) -> Result<()> {
        (self.segments, self.next_seq, self.start_seq) = (segments, next.seq, next.start_seq);
        self.bound = Bound::behind(journal, segments)?;
        self.save(folder)
    }

    /// Puts it in the place of the one before.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let (path, fresh) = (path(folder), folder.join("export.json.new"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&fresh)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().with_context(|| format!("{}: cannot write it", path.display()))?;
        sync_folder(folder)
    }
}
