//! Writing: nothing that was taken is lost by a call that fails, and every failure is told.

use crate::format::{
    BODY_BYTES_MAX, Chain, Checksum, FOOTER_BYTES, FOOTER_KIND, FileHeader, Footer, HEADER_BYTES, record_bytes,
    segment_path,
};
use crate::recover::{Recovered, Unfinished, recover};
use crate::storage::{Disk, Storage};
use crate::{JournalError, io_error};
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use tern_abi::record::RecordHeader;
use zerocopy::IntoBytes;

/// Bytes taken before they are written without being asked to.
const FLUSH_BYTES: usize = 1 << 20;

/// How a journal is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the instance, at most 32 bytes; a journal of another one is refused.
    pub instance: String,
    /// A segment is finished before it grows beyond this.
    pub segment_bytes: u64,
    /// At most so many bytes are taken before they are synced without being asked to. They are kept in memory until
    /// then: after a sync that failed nobody knows what reached the disk, and all of them are written again.
    pub unsynced_bytes_max: usize,
}

impl Options {
    /// Segments of 256 MiB, a sync every 32 MiB at the latest.
    pub fn new(instance: impl Into<String>) -> Self {
        Self { instance: instance.into(), segment_bytes: 256 << 20, unsynced_bytes_max: 32 << 20 }
    }
}

/// The end of a journal. There is one at a time: the folder is locked.
///
/// After an error the call can be repeated: what was taken is still there, and what was not is to be offered again.
pub struct Writer<S: Storage = Disk> {
    storage: S,
    folder: PathBuf,
    options: Options,
    segment: Option<Segment<S::File>>,
    next_number: u64,
    previous: Chain,
    last_seq: u64,
    flushed_seq: u64,
    durable_seq: u64,
    duplicates: u64,
    /// Held for its lock.
    _lock: File,
}

/// The segment being written.
struct Segment<F> {
    file: F,
    path: PathBuf,
    checksum: Checksum,
    chain: Sha256,
    records: u64,
    /// Bytes of the file that are on the disk for sure.
    synced_bytes: u64,
    /// What follows them, of which so much is written.
    tail: Vec<u8>,
    written: usize,
    /// The footer is in the tail.
    finished: Option<Chain>,
}

impl Writer {
    /// Recovers the journal in `folder`, which is made if it is not there, and goes on with it.
    ///
    /// # Errors
    /// `Locked`, `Missing`, `Version`, `Instance`, `Damaged` (in a way that no killed writer and no power cut leaves), `Io`.
    pub fn open(folder: &Path, options: Options) -> Result<(Self, Recovered), JournalError> {
        Self::open_on(Disk, folder, options)
    }
}

impl<S: Storage> Writer<S> {
    /// As [`Writer::open`], on other storage.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn open_on(mut storage: S, folder: &Path, options: Options) -> Result<(Self, Recovered), JournalError> {
        fs::create_dir_all(folder).map_err(io_error(folder, "make it"))?;
        let lock = lock(folder)?;
        let state = recover(folder, &options.instance, &mut storage)?;
        let segment = state.unfinished.map(|unfinished| Segment::resume(unfinished, &mut storage)).transpose()?;
        let last_seq = state.recovered.last_seq;
        let mut writer = Self {
            storage,
            folder: folder.to_owned(),
            options,
            segment,
            next_number: state.next_number,
            previous: state.previous,
            last_seq,
            flushed_seq: last_seq,
            durable_seq: 0,
            duplicates: 0,
            _lock: lock,
        };
        // The process that wrote the end may have died before syncing it.
        writer.sync()?;
        Ok((writer, state.recovered))
    }

    /// Takes one record. One whose `seq` is not above the last is counted and dropped: it was taken before, and its ring
    /// gave it again.
    ///
    /// # Errors
    /// If it could not be taken; offer it again.
    pub fn append(&mut self, header: &RecordHeader, body: &[u8]) -> Result<(), JournalError> {
        if header.seq <= self.last_seq {
            self.duplicates += 1;
            return Ok(());
        }
        let refuse = |what| Err(JournalError::Record { seq: header.seq, what });
        if header.body_bytes as usize != body.len() {
            return refuse("header and body disagree on its length");
        }
        if body.len() > BODY_BYTES_MAX {
            return refuse("it is longer than a record can be");
        }
        if header.kind == FOOTER_KIND {
            return refuse("its kind is the journal's own");
        }
        let bytes = record_bytes(body.len());
        if let Some(segment) = &self.segment {
            let full = segment.bytes() + (bytes + FOOTER_BYTES) as u64 > self.options.segment_bytes;
            if segment.finished.is_some() || full && segment.records > 0 {
                self.seal()?;
            } else if segment.tail.len() >= self.options.unsynced_bytes_max {
                self.sync()?;
            } else if segment.tail.len() - segment.written >= FLUSH_BYTES {
                self.flush()?;
            }
        }
        let segment = match &mut self.segment {
            Some(segment) => segment,
            none => none.insert(Segment::create(
                &mut self.storage,
                &self.folder,
                FileHeader::new(&self.options.instance, self.next_number, header, self.previous),
            )?),
        };
        segment.append(header, body);
        self.last_seq = header.seq;
        Ok(())
    }

    /// Hands everything taken to the kernel: from here on it survives the death of this process.
    ///
    /// # Errors
    /// `Io`, a full disk among others; what was taken is kept, call again.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if let Some(segment) = &mut self.segment {
            segment.flush(&mut self.storage)?;
        }
        self.flushed_seq = self.last_seq;
        Ok(())
    }

    /// Forces everything taken to the disk: from here on it survives the death of the host.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); the next call writes everything again that no sync has confirmed.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if let Some(segment) = &mut self.segment {
            segment.sync(&mut self.storage)?;
        }
        self.flushed_seq = self.last_seq;
        self.durable_seq = self.last_seq;
        Ok(())
    }

    /// Finishes the segment: the next record begins a new one.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn seal(&mut self) -> Result<(), JournalError> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let chain = segment.finish(self.last_seq);
        self.sync()?;
        self.previous = chain;
        self.next_number += 1;
        self.segment = None;
        Ok(())
    }

    /// `seq` of the last record taken, 0 if none.
    pub const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// `seq` of the last record handed to the kernel.
    pub const fn flushed_seq(&self) -> u64 {
        self.flushed_seq
    }

    /// `seq` of the last record that is on the disk for sure.
    pub const fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// The `seq` that a data plane with an empty segment goes on with.
    pub const fn next_seq(&self) -> u64 {
        self.last_seq + 1
    }

    /// Records that were offered again and dropped.
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

impl<F> Segment<F> {
    fn create<S: Storage<File = F>>(storage: &mut S, folder: &Path, header: FileHeader) -> Result<Self, JournalError> {
        let path = segment_path(folder, header.number);
        // Its name appears with its header or not at all.
        let new = path.with_added_extension("new");
        let mut file = storage.create(&new).map_err(io_error(&new, "make it"))?;
        write_all(storage, &mut file, header.as_bytes(), 0).map_err(|(_, error)| io_error(&new, "write it")(error))?;
        storage.sync(&mut file).map_err(io_error(&new, "sync it"))?;
        storage.rename(&new, &path).map_err(io_error(&new, "rename it"))?;
        storage.sync_folder(folder).map_err(io_error(folder, "sync it"))?;
        Ok(Self {
            file,
            path,
            checksum: Checksum::new(header.number),
            chain: Sha256::new_with_prefix(header.as_bytes()),
            records: 0,
            synced_bytes: HEADER_BYTES as u64,
            tail: Vec::new(),
            written: 0,
            finished: None,
        })
    }

    fn resume<S: Storage<File = F>>(from: Unfinished, storage: &mut S) -> Result<Self, JournalError> {
        let file = storage.open(&from.path).map_err(io_error(&from.path, "open it"))?;
        Ok(Self {
            file,
            checksum: Checksum::new(from.number),
            path: from.path,
            chain: from.chain,
            records: from.records,
            synced_bytes: from.bytes,
            tail: Vec::new(),
            written: 0,
            finished: None,
        })
    }

    fn bytes(&self) -> u64 {
        self.synced_bytes + self.tail.len() as u64
    }

    fn append(&mut self, header: &RecordHeader, body: &[u8]) {
        let start = self.tail.len();
        self.checksum.encode(header, body, &mut self.tail);
        self.chain.update(&self.tail[start..]);
        self.records += 1;
    }

    /// Puts the footer behind the records, once; the chain in it.
    fn finish(&mut self, last_seq: u64) -> Chain {
        if let Some(chain) = self.finished {
            return chain;
        }
        let chain = Chain::from(self.chain.clone().finalize());
        let footer = Footer { chain, records: self.records, last_seq };
        let body = footer.as_bytes();
        let header =
            RecordHeader { seq: last_seq, tai_ns: 0, kind: FOOTER_KIND, flags: 0, body_bytes: body.len() as u32 };
        self.checksum.encode(&header, body, &mut self.tail);
        *self.finished.insert(chain)
    }

    fn flush<S: Storage<File = F>>(&mut self, storage: &mut S) -> Result<(), JournalError> {
        let (rest, offset) = (&self.tail[self.written..], self.synced_bytes + self.written as u64);
        let outcome = write_all(storage, &mut self.file, rest, offset);
        self.written += outcome.as_ref().map_or_else(|(written, _)| *written, |()| rest.len());
        outcome.map_err(|(_, error)| io_error(&self.path, "write it")(error))
    }

    fn sync<S: Storage<File = F>>(&mut self, storage: &mut S) -> Result<(), JournalError> {
        self.flush(storage)?;
        if let Err(error) = storage.sync(&mut self.file) {
            // The kernel may have dropped what it could not write, and say success next time.
            self.written = 0;
            return Err(io_error(&self.path, "sync it")(error));
        }
        self.synced_bytes += self.tail.len() as u64;
        self.tail.clear();
        self.written = 0;
        Ok(())
    }
}

/// Writes all of `bytes`; on an error, how many are written all the same.
fn write_all<S: Storage>(
    storage: &mut S,
    file: &mut S::File,
    bytes: &[u8],
    offset: u64,
) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match storage.write_at(file, &bytes[written..], offset + written as u64) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(some) => written += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<File, JournalError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(io_error(&path, "make it"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error(&path, "lock it")(error)),
    }
}
