//! The journal as the drain sees it.

use std::path::{Path, PathBuf};

use tern_abi::record::RecordHeader;
use tern_config::Config;
use tern_config::facts::HeadFact;
use tern_journal::{JournalError, Options, Seal, Writer, hex};

use crate::DaemonError;
use crate::drain::Sink;

/// Recovers the instance's journal and goes on with it.
pub(crate) fn open(config: &Config) -> Result<Writer, DaemonError> {
    let options = Options { segment_bytes: config.journal.segment_bytes, ..Options::new(config.instance.name.clone()) };
    let (writer, recovered) = Writer::open(&config.paths.journal, options)?;
    if let Some(cut) = &recovered.cut {
        tracing::warn!("{cut}");
    }
    tracing::info!(folder = %config.paths.journal.display(), last_seq = recovered.last_seq, "journal");
    Ok(writer)
}

/// Seals the day: the head in a file of its own and in the log. A day without a seal is not lost, so a failure is only said.
pub(crate) fn keep_seal(folder: &Path, seal: Result<Option<Seal>, JournalError>) -> Option<PathBuf> {
    try_keep_seal(folder, seal).unwrap_or_else(|error| {
        not_sealed(&error);
        None
    })
}

/// Says that the day has no seal.
pub(crate) fn not_sealed(error: &JournalError) {
    tracing::warn!("the day's journal is not sealed: {error}; `tern journal seal` can be tried again");
}

/// As [`keep_seal`], and a failure is the caller's to say. An end that has its seal already keeps that one.
pub(crate) fn try_keep_seal(
    folder: &Path,
    seal: Result<Option<Seal>, JournalError>,
) -> Result<Option<PathBuf>, JournalError> {
    let Some(seal) = seal? else { return Ok(None) };
    let kept = folder.join("seals").join(seal.file_name());
    if Seal::read(&kept).is_ok_and(|there| there == seal) {
        return Ok(Some(kept));
    }
    let path = seal.keep(folder)?;
    tracing::info!(
        file = %path.display(),
        day = seal.day,
        segment = seal.head.segment,
        bytes = seal.head.bytes,
        records = seal.records,
        seq = seal.head.last_seq,
        chain = %hex(&seal.head.chain),
        "the day's journal is sealed"
    );
    Ok(Some(path))
}

impl Sink for Writer {
    type Error = JournalError;
    fn append(&mut self, header: &RecordHeader, body: &[u8]) -> Result<(), JournalError> {
        Writer::append(self, header, body)
    }
    fn flush(&mut self) -> Result<(), JournalError> {
        Writer::flush(self)
    }
    fn sync(&mut self) -> Result<(), JournalError> {
        Writer::sync(self)
    }
    fn seal(&mut self) -> Result<(), JournalError> {
        Writer::seal(self)
    }
    fn last_seq(&self) -> u64 {
        Writer::last_seq(self)
    }
    fn durable_seq(&self) -> u64 {
        Writer::durable_seq(self)
    }
    fn head(&self) -> HeadFact {
        let head = Writer::head(self);
        HeadFact {
            segment: head.segment,
            bytes: head.bytes,
            records: head.records,
            last_seq: head.last_seq,
            last_tai_ns: head.last_tai_ns,
            chain: hex(&head.chain),
        }
    }
}
