//! The journal as the drain sees it.

use std::path::{Path, PathBuf};

use tern_abi::record::RecordHeader;
use tern_config::Config;
use tern_config::facts::HeadFact;
use tern_journal::{JournalError, Options, Seal, Writer, hex};

use crate::DaemonError;
use crate::drain::Sink;
use crate::drain::day::utc_s;

/// TAI is ahead of UTC by so much since 2017; a second more or less does not matter to a day.
const TAI_AHEAD_S: u64 = 37;

/// Recovers the instance's journal and goes on with it.
pub(crate) fn open(config: &Config) -> Result<Writer, DaemonError> {
    let options = Options { segment_bytes: config.journal.segment_bytes, ..Options::new(config.instance.name.clone()) };
    let (mut writer, recovered) = Writer::open(&config.paths.journal, options)?;
    if let Some(cut) = &recovered.cut {
        tracing::warn!("{cut}");
    }
    tracing::info!(folder = %config.paths.journal.display(), last_seq = recovered.last_seq, "journal");
    seal_day_before(config, &mut writer, recovered.last_tai_ns);
    Ok(writer)
}

/// Seals the day: the head in a file of its own and in the log. A day without a seal is not lost, so a failure is only said.
pub(crate) fn keep_seal(folder: &Path, seal: Result<Option<Seal>, JournalError>) -> Option<PathBuf> {
    let kept = seal.and_then(|seal| seal.map(|seal| seal.keep(folder).map(|path| (seal, path))).transpose());
    match kept {
        Ok(None) => None,
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
            Some(path)
        }
        Err(error) => {
            tracing::warn!("the day's journal is not sealed: {error}; `tern journal seal` can be tried again");
            None
        }
    }
}

/// Seals the day before, if it ended without anybody to do it: a power cut, a daemon that was killed. The day that begins has a
/// segment of its own then.
fn seal_day_before(config: &Config, writer: &mut Writer, last_tai_ns: u64) {
    let folder = &config.paths.journal;
    let last_day = config.trading_day((last_tai_ns / 1_000_000_000).saturating_sub(TAI_AHEAD_S));
    if last_tai_ns == 0 || last_day >= config.trading_day(utc_s()) {
        return;
    }
    match tern_journal::seal(folder) {
        Ok(Some(seal)) if !folder.join("seals").join(seal.file_name()).exists() => {
            let seal = writer.seal().and_then(|()| tern_journal::seal(folder));
            keep_seal(folder, seal);
        }
        Ok(_) => {}
        Err(error) => {
            keep_seal(folder, Err(error));
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
