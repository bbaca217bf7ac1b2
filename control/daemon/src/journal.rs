//! The journal as the drain sees it.

use tern_abi::record::RecordHeader;
use tern_config::Config;
use tern_config::facts::HeadFact;
use tern_journal::{JournalError, Options, Writer, hex};

use crate::DaemonError;
use crate::drain::Sink;
use crate::shared::Shared;

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
pub(crate) fn keep_seal(config: &Config, shared: &Shared<'_>) {
    let kept = tern_journal::seal(&config.paths.journal)
        .and_then(|seal| seal.map(|seal| seal.keep(&config.paths.journal).map(|path| (seal, path))).transpose());
    match kept {
        Ok(None) => {}
        Ok(Some((seal, path))) => {
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
            shared.update(|facts| facts.journal.seal = Some(path));
        }
        Err(error) => {
            tracing::warn!("the day's journal is not sealed: {error}; `tern journal seal` can be tried again")
        }
    }
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
