//! A finished segment, compressed: the same bytes, which everything else of the crate sees, in chunks that are read one by one.
//!
//! ```text
//! NNNNNNNN.journal  header (128 bytes), the segment's own header and footer as they are, table (16 bytes a chunk), chunks; the
//!                   table, the header and footer, and the header again
//! ```
//! It has the name of the segment and takes its place in one step. A chunk is 64 KiB of the segment by LZ4 (block format), or as it
//! was where that is not shorter; its checksum is in the table. A flipped bit costs one chunk or, in what stands beside the chunks,
//! nothing: that is there twice. So a start, which reads headers and footers alone, needs no chunk. Files of version 1 have no header
//! and footer of their own, and are read. The chain runs over the segment's own bytes, so heads and seals hold as before.

use crate::format::{self, FOOTER_BYTES, segment_path};
use crate::scan::Scan;
use crate::storage::{Storage, write_all};
use crate::{JournalError, io_error};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const MAGIC: [u8; 8] = *b"TERNPACK";
const VERSION: u32 = 2;
/// Without [`Ends`].
const VERSION_WITHOUT_ENDS: u32 = 1;
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
    /// Over the header behind this field, the ends and the table.
    crc: u32,
    /// Of the segment.
    number: u64,
    plain_bytes: u64,
    chunks: u64,
    reserved: [u64; 11],
}

/// The segment's own header and footer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Ends {
    header: [u8; format::HEADER_BYTES],
    footer: [u8; FOOTER_BYTES],
}

/// What stands beside the chunks, twice.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Beside {
    header: Header,
    ends: Option<Ends>,
    chunks: Vec<Chunk>,
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
    ends: Option<Ends>,
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
            (Some(one), Some(other)) if one == other => {
                let ends = one.ends.map_or(0, |ends| size_of_val(&ends));
                let tables = 2 * (HEADER_BYTES + ends + size_of_val(&one.chunks[..])) as u64;
                let all: u64 = one.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
                (tables + all != length).then_some("its length is not what its table says")
            }
            (Some(_), _) => Some("the table at its end is not what was written; the one at its beginning is"),
            (None, Some(_)) => Some("the table at its beginning is not what was written; the one at its end is"),
            // Neither: then it is what its first bytes say, and wrong.
            (None, None) => return Ok(None),
        };
        let Some(Beside { header, ends, chunks }) = front.or(back) else { return Ok(None) };
        Ok(Some(Self {
            file: file.try_clone()?,
            plain_bytes: header.plain_bytes,
            ends,
            chunks,
            at: 0,
            current: None,
            compressed: Vec::new(),
            is_lenient: false,
            fault,
        }))
    }

    /// What stands beside the chunks, if it is whole: at the beginning, or at the end.
    fn table(file: &File, length: u64, at_end: bool) -> io::Result<Option<Beside>> {
        let mut bytes = vec![0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, if at_end { length - HEADER_BYTES as u64 } else { 0 })?;
        let Ok(header) = Header::read_from_bytes(&bytes) else { return Ok(None) };
        let has_ends = header.version == VERSION;
        let is_known = has_ends || header.version == VERSION_WITHOUT_ENDS;
        let is_ours = header.magic == MAGIC && is_known && header.chunks <= CHUNKS_MAX;
        if !is_ours || header.chunks != header.plain_bytes.div_ceil(CHUNK_BYTES as u64) {
            return Ok(None);
        }
        let table_bytes = header.chunks as usize * size_of::<Chunk>();
        let ends_bytes = if has_ends { size_of::<Ends>() } else { 0 };
        let whole = HEADER_BYTES + ends_bytes + table_bytes;
        let before = if at_end { length.checked_sub(whole as u64) } else { Some(HEADER_BYTES as u64) };
        let mut beside = vec![0; ends_bytes + table_bytes];
        let Some(offset) = before else { return Ok(None) };
        match file.read_exact_at(&mut beside, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let (ends, table) = if at_end {
            let (table, ends) = beside.split_at(table_bytes);
            (ends, table)
        } else {
            beside.split_at(ends_bytes)
        };
        if checksum(&header, ends, table) != header.crc {
            return Ok(None);
        }
        let chunks: Option<Vec<Chunk>> =
            table.chunks_exact(size_of::<Chunk>()).map(|chunk| Chunk::read_from_bytes(chunk).ok()).collect();
        Ok(chunks.map(|chunks| Beside { header, ends: Ends::read_from_bytes(ends).ok(), chunks }))
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
        let footer_at = match &self.ends {
            // Verification reads the chunks themselves.
            Some(ends) if !self.is_lenient => {
                let footer_at = self.plain_bytes.saturating_sub(FOOTER_BYTES as u64);
                let own = if self.at < format::HEADER_BYTES as u64 {
                    Some(&ends.header[self.at as usize..])
                } else {
                    self.at.checked_sub(footer_at).and_then(|at| ends.footer.get(at as usize..))
                };
                if let Some(own) = own {
                    let count = own.len().min(into.len());
                    into[..count].copy_from_slice(&own[..count]);
                    self.at += count as u64;
                    return Ok(count);
                }
                footer_at
            }
            _ => self.plain_bytes,
        };
        let index = (self.at / CHUNK_BYTES as u64) as usize;
        if self.current.as_ref().is_none_or(|(current, _)| *current != index) {
            self.load(index)?;
        }
        let Some((_, chunk)) = &self.current else { return Ok(0) };
        let rest = &chunk[(self.at % CHUNK_BYTES as u64) as usize..];
        let count = rest.len().min(into.len()).min((footer_at - self.at) as usize);
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

fn checksum(header: &Header, ends: &[u8], table: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header.as_bytes()[COVERED_FROM..]);
    hasher.update(ends);
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
        let ends = Some(ends_of(&file, plain_bytes).map_err(io_error(&path, "read it"))?);
        let after = pack(storage, &file, (&path, &new), number, plain_bytes, ends)?;
        // The chunks themselves, not the header and footer beside them.
        let written = Scan::open_lenient(&new, number)?;
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

/// Header and footer of a finished segment of so many bytes.
fn ends_of(file: &File, plain_bytes: u64) -> io::Result<Ends> {
    let mut ends = Ends { header: [0; format::HEADER_BYTES], footer: [0; FOOTER_BYTES] };
    file.read_exact_at(&mut ends.header, 0)?;
    file.read_exact_at(&mut ends.footer, plain_bytes.saturating_sub(FOOTER_BYTES as u64))?;
    Ok(ends)
}

/// Writes the compressed file; its length. Without `ends` it is one of version 1.
fn pack<S: Storage>(
    storage: &mut S,
    from: &File,
    (path, new): (&PathBuf, &PathBuf),
    number: u64,
    plain_bytes: u64,
    ends: Option<Ends>,
) -> Result<u64, JournalError> {
    let own = ends.as_ref().map_or(&[][..], |ends| ends.as_bytes());
    let count = plain_bytes.div_ceil(CHUNK_BYTES as u64);
    let mut into = storage.create(new).map_err(io_error(new, "make it"))?;
    let mut put = |storage: &mut S, bytes: &[u8], at: u64| {
        write_all(storage, &mut into, bytes, at).map_err(|(_, error)| io_error(new, "write it")(error))
    };
    let mut chunks: Vec<Chunk> = Vec::with_capacity(count as usize);
    let mut at = (HEADER_BYTES + own.len() + count as usize * size_of::<Chunk>()) as u64;
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
    let version = if ends.is_some() { VERSION } else { VERSION_WITHOUT_ENDS };
    let mut header = Header { magic: MAGIC, version, crc: 0, number, plain_bytes, chunks: count, reserved: [0; 11] };
    header.crc = checksum(&header, own, chunks.as_bytes());
    put(storage, &[header.as_bytes(), own, chunks.as_bytes()].concat(), 0)?;
    let end = [chunks.as_bytes(), own, header.as_bytes()].concat();
    put(storage, &end, at)?;
    storage.sync(&mut into).map_err(io_error(new, "sync it"))?;
    Ok(at + end.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Writer, verify};
    use tern_abi::record::{Kind, RecordHeader};

    #[test]
    fn a_file_of_version_1_is_read_as_before() {
        let folder = std::env::temp_dir().join(format!("tern-packed-1-{}", std::process::id()));
        let (mut writer, _) = Writer::open(&folder, Options::new("one")).expect("an empty folder");
        for seq in 1..=200 {
            let body = [seq as u8; 1000];
            let header = RecordHeader { seq, tai_ns: seq, kind: Kind::State as u16, flags: 0, body_bytes: 1000 };
            writer.append(&header, &body).expect("room");
            if seq == 150 {
                writer.seal().expect("a disk");
            }
        }
        writer.sync().expect("a disk");
        drop(writer);
        let (path, new) = (segment_path(&folder, 1), folder.join("new"));
        let file = File::open(&path).expect("there");
        let bytes = file.metadata().expect("there").len();
        let storage = &mut crate::storage::Disk;
        pack(storage, &file, (&path, &new), 1, bytes, None).expect("room");
        fs::rename(&new, &path).expect("ours");
        let found = verify(&folder).expect("readable");
        assert!(found.is_whole() && found.records == 200, "{:?}", found.damages);
        assert!(Writer::open(&folder, Options::new("one")).is_ok());
        fs::remove_dir_all(&folder).ok();
    }
}
