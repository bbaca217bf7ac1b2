//! What the loop recorded of market data just now: the end of the journal, read as it grows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tern_abi::record::{DatagramHead, Kind, ShedRecord};
use tern_journal::{JournalError, Reader};
use zerocopy::FromBytes;

/// A datagram that the loop took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'t> {
    pub(crate) seq: u64,
    pub(crate) head: DatagramHead,
    pub(crate) payload: &'t [u8],
}

/// What was seen of one line of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) datagrams: u64,
    /// Arrival of the last one, TAI ns.
    pub(crate) last_ns: u64,
    /// The first ten bytes of payloads where they are printable: of MoldUDP64 the session.
    pub(crate) sessions: BTreeSet<String>,
}

/// Follows the journal.
pub(crate) struct Tail {
    reader: Reader,
    /// By stream and line.
    pub(crate) lines: BTreeMap<(u16, u16), Line>,
    /// Datagrams that were taken and not recorded.
    pub(crate) shed: u64,
}

impl Tail {
    /// From the journal's head on; what lies before `since_ns` is passed over.
    ///
    /// # Errors
    /// In words: there is no journal, or it cannot be read.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        if !folder.is_dir() {
            return Err(format!("{}: there is no journal", folder.display()));
        }
        let reader = Reader::open_at_head(folder).map_err(|error| error.to_string())?;
        Ok(Self { reader, lines: BTreeMap::new(), shed: 0 })
    }

    /// Takes what was written since; `see` is given each datagram, and says whether it wants more.
    ///
    /// # Errors
    /// In words: damage, or it cannot be read.
    pub(crate) fn read(&mut self, since_ns: u64, mut see: impl FnMut(Seen<'_>) -> bool) -> Result<(), String> {
        loop {
            let record = match self.reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(JournalError::Damaged(damage)) => return Err(damage.to_string()),
                Err(error) => return Err(error.to_string()),
            };
            match Kind::from_u16(record.header.kind) {
                Some(Kind::Datagram) => {
                    let Ok((head, payload)) = DatagramHead::read_from_prefix(record.body) else { continue };
                    if head.arrival_ns < since_ns {
                        continue;
                    }
                    let line = self.lines.entry((head.stream, head.line)).or_default();
                    line.datagrams += 1;
                    line.last_ns = head.arrival_ns;
                    if let Some(session) = payload.first_chunk::<10>().filter(|bytes| bytes.iter().all(is_printable))
                        && line.sessions.len() < 8
                    {
                        line.sessions.insert(String::from_utf8_lossy(session).trim().into());
                    }
                    if !see(Seen { seq: record.header.seq, head, payload }) {
                        return Ok(());
                    }
                }
                Some(Kind::Shed) if record.header.tai_ns >= since_ns => {
                    self.shed += ShedRecord::read_from_prefix(record.body).map_or(0, |(shed, _)| shed.datagrams);
                }
                _ => {}
            }
        }
    }
}

const fn is_printable(byte: &u8) -> bool {
    byte.is_ascii_graphic() || *byte == b' '
}
