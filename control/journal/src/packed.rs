//! A finished segment, compressed: the same bytes, which everything else of the crate sees, in chunks that are read one by one.
//!
//! ```text
//! NNNNNNNN.journal  header (128 bytes), table (16 bytes a chunk), chunks, the table again, the header again
//! ```
//! It has the name of the segment and takes its place in one step. A chunk is 64 KiB of the segment by LZ4 (block format), or as it
//! was where that is not shorter; its checksum is in the table. A flipped bit costs one chunk or, in a table, nothing: there
//! are two. The chain runs over the segment's own bytes, so heads and seals hold as before.

use crate::format::segment_path;
use crate::scan::Scan;
use crate::storage::{Storage, write_all};
use crate::{JournalError, io_error};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const MAGIC: [u8; 8] = *b"TERNPACK";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = size_of::<Header>();
/// Of the segment in a chunk: as much as a block of the chain, so that damage costs no more than before.
const CHUNK_BYTES: usize = 64 << 10;
/// More chunks than a segment can have.
const CHUNKS_MAX: u64 = 1 << 20;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Header {
    magic: [u8; 8],
    version: u32,
    /// Over the header behind this field, and the table.
    crc: u32,
    /// Of the segment.
    number: u64,
    plain_bytes: u64,
    chunks: u64,
    reserved: [u64; 11],
}

/// Where the crc begins to count.
const COVERED_FROM: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Chunk {
    offset: u64,
    bytes: u32,
    /// Over these bytes.
    crc: u32,
}

/// A compressed segment being read.
pub(crate) struct Packed {
    file: File,
    plain_bytes: u64,
    chunks: Vec<Chunk>,
    /// Where the next byte is read.
    at: u64,
    /// The chunk that was read last, and its bytes.
    current: Option<(usize, Vec<u8>)>,
    compressed: Vec<u8>,
    is_lenient: bool,
    /// What is wrong with the file, though all of the segment may be there.
    pub(crate) fault: Option<&'static str>,
}

impl Packed {
    /// If `file` is a compressed segment.
    pub(crate) fn open(file: &File) -> io::Result<Option<Self>> {
        let length = file.metadata()?.len();
        let mut magic = [0; 8];
        if length < 2 * HEADER_BYTES as u64 || file.read_exact_at(&mut magic, 0).is_err() {
            return Ok(None);
        }
        let is_packed = magic == MAGIC;
        if !is_packed && magic == crate::format::MAGIC {
            return Ok(None);
        }
        let front = Self::table(file, length, false)?;
        let back = Self::table(file, length, true)?;
        let fault = match (&front, &back) {
            (Some((header, chunks)), Some(other)) if (header, chunks) == (&other.0, &other.1) => {
                let tables = 2 * (HEADER_BYTES + size_of_val(&chunks[..])) as u64;
                let all: u64 = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
                (tables + all != length).then_some("its length is not what its table says")
            }
            (Some(_), _) => Some("the table at its end is not what was written; the one at its beginning is"),
            (None, Some(_)) => Some("the table at its beginning is not what was written; the one at its end is"),
            // Neither: then it is what its first bytes say, and wrong.
            (None, None) => return Ok(None),
        };
        let Some((header, chunks)) = front.or(back) else { return Ok(None) };
        Ok(Some(Self {
            file: file.try_clone()?,
            plain_bytes: header.plain_bytes,
            chunks,
            at: 0,
            current: None,
            compressed: Vec::new(),
            is_lenient: false,
            fault,
        }))
    }

    /// Header and table, if they are whole: those at the beginning, or those at the end.
    fn table(file: &File, length: u64, at_end: bool) -> io::Result<Option<(Header, Vec<Chunk>)>> {
        let mut bytes = vec![0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, if at_end { length - HEADER_BYTES as u64 } else { 0 })?;
        let Ok(header) = Header::read_from_bytes(&bytes) else { return Ok(None) };
        let is_ours = (header.magic, header.version) == (MAGIC, VERSION) && header.chunks <= CHUNKS_MAX;
        if !is_ours || header.chunks != header.plain_bytes.div_ceil(CHUNK_BYTES as u64) {
            return Ok(None);
        }
        let table_bytes = header.chunks as usize * size_of::<Chunk>();
        let before =
            if at_end { length.checked_sub((HEADER_BYTES + table_bytes) as u64) } else { Some(HEADER_BYTES as u64) };
        let mut table = vec![0; table_bytes];
        let Some(offset) = before else { return Ok(None) };
        match file.read_exact_at(&mut table, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        if checksum(&header, &table) != header.crc {
            return Ok(None);
        }
        let chunks: Option<Vec<Chunk>> =
            table.chunks_exact(size_of::<Chunk>()).map(|chunk| Chunk::read_from_bytes(chunk).ok()).collect();
        Ok(chunks.map(|chunks| (header, chunks)))
    }

    /// With `is_lenient` it gives zeros for a chunk that is damaged, so that what lies behind can be read.
    pub(crate) fn lenient(self, is_lenient: bool) -> Self {
        Self { is_lenient, ..self }
    }

    /// Bytes of the segment.
    pub(crate) fn len(&self) -> u64 {
        self.plain_bytes
    }

    pub(crate) fn seek(&mut self, at: u64) {
        self.at = at;
    }

    /// Reads some bytes of the segment. Where a chunk is damaged the error's kind is `InvalidData`.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.plain_bytes || into.is_empty() {
            return Ok(0);
        }
        let index = (self.at / CHUNK_BYTES as u64) as usize;
        if self.current.as_ref().is_none_or(|(current, _)| *current != index) {
            self.load(index)?;
        }
        let Some((_, chunk)) = &self.current else { return Ok(0) };
        let rest = &chunk[(self.at % CHUNK_BYTES as u64) as usize..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }

    fn load(&mut self, index: usize) -> io::Result<()> {
        let begins = index as u64 * CHUNK_BYTES as u64;
        let plain = (self.plain_bytes - begins).min(CHUNK_BYTES as u64) as usize;
        let mut into = self.current.take().map_or_else(Vec::new, |(_, buffer)| buffer);
        into.clear();
        into.resize(plain, 0);
        if !self.unpack(self.chunks[index], &mut into)? {
            if !self.is_lenient {
                return Err(io::ErrorKind::InvalidData.into());
            }
            into.fill(0);
        }
        self.current = Some((index, into));
        Ok(())
    }

    /// Whether the chunk is what was written.
    fn unpack(&mut self, chunk: Chunk, into: &mut [u8]) -> io::Result<bool> {
        // Never more than it was before.
        if chunk.bytes as usize > CHUNK_BYTES {
            return Ok(false);
        }
        self.compressed.resize(chunk.bytes as usize, 0);
        match self.file.read_exact_at(&mut self.compressed, chunk.offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if crc32fast::hash(&self.compressed) != chunk.crc {
            return Ok(false);
        }
        if self.compressed.len() == into.len() {
            into.copy_from_slice(&self.compressed);
            return Ok(true);
        }
        Ok(lz4_flex::block::decompress_into(&self.compressed, into).is_ok_and(|bytes| bytes == into.len()))
    }
}

fn checksum(header: &Header, table: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header.as_bytes()[COVERED_FROM..]);
    hasher.update(table);
    hasher.finalize()
}

/// What compressing a segment came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// Bytes of the file before.
    pub before: u64,
    /// Bytes of the file now.
    pub after: u64,
}

/// Compresses segment `number` of the journal in `folder`; `None` when it is compressed already, or is not finished, or is the
/// last one. The file is written beside the segment, synced, read back and held against the chain, and only then takes the
/// segment's name: whatever ends this, one of the two is there, whole. After an error the new one is removed: a full disk is
/// not to be fuller by it. One process at a time may do this to a journal.
///
/// # Errors
/// `Damaged` when the segment is not what its chain says: it stays as it is. `Io`.
pub fn compress_on<S: Storage>(
    storage: &mut S,
    folder: &Path,
    number: u64,
) -> Result<Option<Compressed>, JournalError> {
    let path = segment_path(folder, number);
    if !segment_path(folder, number + 1).exists() {
        return Ok(None);
    }
    let file = File::open(&path).map_err(io_error(&path, "open it"))?;
    let scan = Scan::open(&path, number)?;
    if scan.is_packed() {
        return Ok(None);
    }
    // Nothing is made of a segment that is not whole, and its own file is the best witness.
    let chain = scan.proven_chain()?;
    let plain_bytes = file.metadata().map_err(io_error(&path, "look at it"))?.len();
    let new = path.with_added_extension("packing");
    let mut put = || -> Result<u64, JournalError> {
        let after = pack(storage, &file, (&path, &new), number, plain_bytes)?;
        let written = Scan::open(&new, number)?;
        let is_whole = written.fault().is_none() && written.file_bytes()? == plain_bytes;
        if !is_whole || written.proven_chain()? != chain {
            let error = io::Error::other("what was read back is not what was written");
            return Err(io_error(&new, "compress it")(error));
        }
        storage.rename(&new, &path).map_err(io_error(&new, "rename it"))?;
        storage.sync_folder(folder).map_err(io_error(folder, "sync it"))?;
        Ok(after)
    };
    match put() {
        Ok(after) => Ok(Some(Compressed { before: plain_bytes, after })),
        Err(error) => {
            // Once it has the segment's name there is none of this one.
            fs::remove_file(&new).ok();
            Err(error)
        }
    }
}

/// As [`compress_on`], on the disk of the host.
///
/// # Errors
/// As [`compress_on`].
pub fn compress(folder: &Path, number: u64) -> Result<Option<Compressed>, JournalError> {
    compress_on(&mut crate::storage::Disk, folder, number)
}

/// Writes the compressed file; its length.
fn pack<S: Storage>(
    storage: &mut S,
    from: &File,
    (path, new): (&PathBuf, &PathBuf),
    number: u64,
    plain_bytes: u64,
) -> Result<u64, JournalError> {
    let count = plain_bytes.div_ceil(CHUNK_BYTES as u64);
    let mut into = storage.create(new).map_err(io_error(new, "make it"))?;
    let mut put = |storage: &mut S, bytes: &[u8], at: u64| {
        write_all(storage, &mut into, bytes, at).map_err(|(_, error)| io_error(new, "write it")(error))
    };
    let mut chunks: Vec<Chunk> = Vec::with_capacity(count as usize);
    let mut at = (HEADER_BYTES + count as usize * size_of::<Chunk>()) as u64;
    let mut plain = vec![0; CHUNK_BYTES];
    for index in 0..count {
        let begins = index * CHUNK_BYTES as u64;
        let plain = &mut plain[..(plain_bytes - begins).min(CHUNK_BYTES as u64) as usize];
        from.read_exact_at(plain, begins).map_err(io_error(path, "read it"))?;
        let compressed = lz4_flex::block::compress(plain);
        let bytes = if compressed.len() < plain.len() { &compressed[..] } else { plain };
        put(storage, bytes, at)?;
        chunks.push(Chunk { offset: at, bytes: bytes.len() as u32, crc: crc32fast::hash(bytes) });
        at += bytes.len() as u64;
    }
    let mut header =
        Header { magic: MAGIC, version: VERSION, crc: 0, number, plain_bytes, chunks: count, reserved: [0; 11] };
    header.crc = checksum(&header, chunks.as_bytes());
    put(storage, &[header.as_bytes(), chunks.as_bytes()].concat(), 0)?;
    let end = [chunks.as_bytes(), header.as_bytes()].concat();
    put(storage, &end, at)?;
    storage.sync(&mut into).map_err(io_error(new, "sync it"))?;
    Ok(at + end.len() as u64)
}
