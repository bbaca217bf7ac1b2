//! The journal as the drain sees it.

use tern_abi::record::RecordHeader;
use tern_config::Config;
use tern_journal::{JournalError, Options, Writer};

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
}
