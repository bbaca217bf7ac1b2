//! A file in the making. It has its name only once it is whole and on the disk.

use anyhow::{Context as _, Result, bail};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tern_schema::{Table, Value};

use crate::columns::{ColumnBuffer, schema};

/// Rows of a row group: what a reader has to look at when it wants one of them, and what is kept in memory here.
const GROUP_ROWS: usize = 1 << 16;
/// A row group ends earlier when its rows are this large.
const GROUP_BYTES: usize = 64 << 20;

/// Ending of a file that is not whole yet.
const UNFINISHED: &str = "unfinished";

pub(crate) struct TableFile {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    columns: Vec<ColumnBuffer>,
    waiting: usize,
    waiting_bytes: usize,
    pub(crate) rows: u64,
}

impl TableFile {
    /// Begins the file that will be `path`.
    pub(crate) fn create(table: &'static Table, path: PathBuf) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("{}: cannot make the folder", folder.display()))?;
        let unfinished = path.with_extension(UNFINISHED);
        let file = File::create(&unfinished).with_context(|| format!("{}: cannot create it", unfinished.display()))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(file, schema(table)?, Arc::new(properties))?;
        let columns = table.all_columns().map(ColumnBuffer::new).collect();
        Ok(Self { path, writer, columns, waiting: 0, waiting_bytes: 0, rows: 0 })
    }

    pub(crate) fn push(&mut self, row: &[Value<'_>], body_bytes: usize) -> Result<()> {
        self.columns.iter_mut().zip(row).try_for_each(|(column, value)| column.push(value))?;
        self.rows += 1;
        self.waiting += 1;
        self.waiting_bytes += body_bytes;
        if self.waiting >= GROUP_ROWS || self.waiting_bytes >= GROUP_BYTES { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> Result<()> {
        if self.waiting == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let mut writer = group.next_column()?.context("a column less than the schema has")?;
            column.flush(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        (self.waiting, self.waiting_bytes) = (0, 0);
        Ok(())
    }

    /// Brings the file to the disk, still without its name.
    pub(crate) fn end(mut self) -> Result<EndedFile> {
        self.end_group()?;
        let file = self.writer.into_inner().with_context(|| format!("{}: cannot end it", self.path.display()))?;
        file.sync_all().with_context(|| format!("{}: cannot sync it", self.path.display()))?;
        Ok(EndedFile { path: self.path, rows: self.rows })
    }
}

/// A file that is whole.
pub(crate) struct EndedFile {
    pub(crate) path: PathBuf,
    pub(crate) rows: u64,
}

impl EndedFile {
    /// Gives it its name, in the place of what an earlier export may have left there.
    pub(crate) fn name(&self) -> Result<()> {
        fs::rename(self.path.with_extension(UNFINISHED), &self.path)
            .with_context(|| format!("{}: cannot give the file its name", self.path.display()))?;
        sync_folder(self.path.parent().unwrap_or(Path::new(".")))
    }
}

/// Takes away what an export that was cut short left of a table.
pub(crate) fn remove_unfinished(table: &Path) -> Result<()> {
    for day in days(table)? {
        for file in fs::read_dir(&day).into_iter().flatten().flatten() {
            let path = file.path();
            if path.extension().is_some_and(|ending| ending == UNFINISHED) {
                fs::remove_file(&path).with_context(|| format!("{}: cannot remove it", path.display()))?;
            }
        }
    }
    Ok(())
}

/// Takes away the files of a segment that are none of those in `written`: an earlier export wrote them when the segment's end was
/// another, or its rows were of another day.
pub(crate) fn remove_others(table: &Path, segment: u64, written: &BTreeSet<PathBuf>) -> Result<()> {
    for day in days(table)? {
        let path = day.join(file_name(segment));
        if written.contains(&path) {
            continue;
        }
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(&day)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{}: cannot remove it", path.display())),
        }
    }
    Ok(())
}

/// The name of a segment's file in the folder of a day.
pub(crate) fn file_name(segment: u64) -> String {
    format!("{segment:08}.parquet")
}

/// Folders of the days of a table; none when the table has no folder yet.
fn days(table: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let mut days = Vec::new();
        for entry in fs::read_dir(table)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b"day=") && entry.path().is_dir() {
                days.push(entry.path());
            }
        }
        Ok(days)
    };
    match list() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other.with_context(|| format!("{}: cannot list it", table.display())),
    }
}

/// Keeps other exporters out of `folder`, as long as what is returned lives.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("export.lock");
    let file = File::create(&path).with_context(|| format!("{}: cannot make it", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "{}: another tern-export writes here; wait until it has ended, or export to another folder",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{}: cannot lock it", path.display())),
    }
}

pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    let opened = File::open(folder).and_then(|folder| folder.sync_all());
    opened.with_context(|| format!("{}: cannot sync the folder", folder.display()))
}
