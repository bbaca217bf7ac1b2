//! Writing: nothing that was taken is lost by a call that fails, and every failure is told.

use crate::chain::Block;
use crate::format::{
    BODY_BYTES_MAX, Chain, Checksum, FOOTER_BYTES, FOOTER_KIND, FileHeader, Footer, HEADER_BYTES, MARK_BYTES,
    MARK_KIND, Mark, record_bytes, segment_path,
};
use crate::head::{self, Head, HeadFile};
use crate::recover::{Recovered, Unfinished, recover};
use crate::storage::{Disk, Storage, write_all};
use crate::{JournalError, io_error};
use std::fs::{self, File, TryLockError};
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
    /// Which boot of the host this is. After another one (a power cut) what was never synced may be there in parts and in
    /// any order; within one, the kernel still has it as it was written.
    pub boot: [u8; 16],
}

impl Options {
    /// Segments of 256 MiB, a sync every 32 MiB at the latest.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            segment_bytes: 256 << 20,
            unsynced_bytes_max: 32 << 20,
            boot: head::this_boot(),
        }
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
    head: HeadFile<S::File>,
    /// Records of the finished segments.
    records_before: u64,
    last_seq: u64,
    last_tai_ns: u64,
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
    number: u64,
    block: Block,
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
        let known = head::read(folder)?;
        let state = recover(folder, &options, known.as_ref(), &mut storage)?;
        let head = HeadFile::open(&mut storage, folder, known, options.boot)?;
        let segment = state.unfinished.map(|unfinished| Segment::resume(unfinished, &mut storage)).transpose()?;
        let last_seq = state.recovered.last_seq;
        let mut writer = Self {
            storage,
            folder: folder.to_owned(),
            options,
            segment,
            next_number: state.next_number,
            previous: state.previous,
            head,
            records_before: state.records_before,
            last_seq,
            last_tai_ns: state.recovered.last_tai_ns,
            flushed_seq: last_seq,
            durable_seq: 0,
            duplicates: 0,
            _lock: lock,
        };
        // The process that wrote the end may have died before saying that it is on the disk.
        writer.put_head(state.recovered.head.unwrap_or_default(), true)?;
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
        if header.kind >= MARK_KIND {
            return refuse("its kind is the journal's own");
        }
        let bytes = record_bytes(body.len());
        if let Some(segment) = &self.segment {
            let full = segment.bytes() + (bytes + MARK_BYTES + FOOTER_BYTES) as u64 > self.options.segment_bytes;
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
                FileHeader::new(&self.options.instance, self.next_number, header, self.previous, self.records_before),
            )?),
        };
        segment.append(header, body, self.last_seq, self.last_tai_ns);
        (self.last_seq, self.last_tai_ns) = (header.seq, header.tai_ns);
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
            let head = segment.head(self.records_before, self.last_seq, self.last_tai_ns);
            let is_finished = segment.finished.is_some();
            self.put_head(head, is_finished)?;
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
        let chain = segment.finish(self.last_seq, self.last_tai_ns);
        let records = segment.records;
        self.sync()?;
        self.previous = chain;
        self.records_before += records;
        self.next_number += 1;
        self.segment = None;
        Ok(())
    }

    fn put_head(&mut self, head: Head, now: bool) -> Result<(), JournalError> {
        self.head.put(&mut self.storage, head, now)
    }

    /// How far the journal is on the disk for sure, and the chain there: who notes it elsewhere can tell later whether
    /// anything before it was changed.
    pub fn head(&self) -> Head {
        self.head.head()
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
            number: header.number,
            block: Block::beginning_with(header.as_bytes()),
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
            number: from.number,
            path: from.path,
            block: from.block,
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

    /// `last_seq` and `last_tai_ns` are of the record before.
    fn append(&mut self, header: &RecordHeader, body: &[u8], last_seq: u64, last_tai_ns: u64) {
        if self.block.is_full(record_bytes(body.len())) && self.records > 0 {
            let mark = Mark { chain: self.block.chain(), records: self.records, durable_bytes: self.synced_bytes };
            let start = self.tail.len();
            self.put_own(MARK_KIND, mark.as_bytes(), last_seq, last_tai_ns);
            self.block.restart(&self.tail[start..]);
        }
        let start = self.tail.len();
        self.checksum.encode(header, body, &mut self.tail);
        self.block.add(&self.tail[start..]);
        self.records += 1;
    }

    /// A record of the journal's own.
    fn put_own(&mut self, kind: u16, body: &[u8], seq: u64, tai_ns: u64) {
        let header = RecordHeader { seq, tai_ns, kind, flags: 0, body_bytes: body.len() as u32 };
        self.checksum.encode(&header, body, &mut self.tail);
    }

    /// Puts the footer behind the records, once; the chain in it.
    fn finish(&mut self, last_seq: u64, last_tai_ns: u64) -> Chain {
        if let Some(chain) = self.finished {
            return chain;
        }
        let chain = self.block.chain();
        let footer = Footer { chain, records: self.records, last_seq };
        self.put_own(FOOTER_KIND, footer.as_bytes(), last_seq, last_tai_ns);
        *self.finished.insert(chain)
    }

    /// The head, once all of it is synced.
    fn head(&mut self, records_before: u64, last_seq: u64, last_tai_ns: u64) -> Head {
        let chain = self.finished.unwrap_or_else(|| self.block.chain());
        let records = records_before + self.records;
        Head { segment: self.number, bytes: self.synced_bytes, records, last_seq, last_tai_ns, chain }
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

pub(crate) fn lock(folder: &Path) -> Result<File, JournalError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(io_error(&path, "make it"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error(&path, "lock it")(error)),
    }
}
