//! `export.json`: how far the export is, written after the files that it speaks of.

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::file::sync_folder;

const NAME: &str = "export.json";
const VERSION: u32 = 1;

/// What `export.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct State {
    version: u32,
    /// Tables that are exported.
    pub(crate) tables: Vec<String>,
    /// Segments of the journal that are done: these, and all before.
    pub(crate) segments: u64,
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

impl State {
    /// How far the export in `folder` is. Where there is none it begins: from then on no other tables mix with it.
    ///
    /// # Errors
    /// It cannot be read or begun, or it is one of other tables.
    pub(crate) fn load_or_begin(folder: &Path, tables: &[String]) -> Result<Self> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let state = Self::new(tables);
                state.save(folder)?;
                return Ok(state);
            }
            Err(error) => return Err(error).with_context(|| format!("{}: cannot read it", path.display())),
        };
        let state: Self = serde_json::from_str(&text)
            .with_context(|| format!("{}: not written by this build; export to another folder", path.display()))?;
        if state.version != VERSION || state.tables != tables {
            bail!(
                "{}: an export of other tables ({}) is there; name the same ones, or another folder",
                path.display(),
                state.tables.join(", ")
            );
        }
        Ok(state)
    }

    fn new(tables: &[String]) -> Self {
        Self {
            version: VERSION,
            tables: tables.to_vec(),
            segments: 0,
            next_seq: 0,
            start_seq: 0,
            records: 0,
            rows: BTreeMap::new(),
            unreadable: 0,
        }
    }

    /// Puts it in the place of the one before.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let (path, fresh) = (folder.join(NAME), folder.join("export.json.new"));
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
