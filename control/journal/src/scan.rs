//! Reading one segment file, record by record.

use crate::chain::Block;
use crate::format::{
    BODY_BYTES_MAX, BadHeader, Chain, Checksum, FOOTER_KIND, FileHeader, Footer, HEAD_BYTES, HEADER_BYTES, MARK_BYTES,
    MARK_KIND, Mark, Parsed, RecordHead, record_bytes,
};
use crate::packed::Packed;
use crate::verify::Damage;
use crate::{JournalError, io_error};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tern_abi::record::RecordHeader;
use zerocopy::{FromBytes, IntoBytes};

/// Bytes asked of the file at once, where all of it is read.
const CHUNK_BYTES: usize = 1 << 18;

/// Said of a compressed file, at the first record that cannot be read.
const CHUNK_DAMAGED: &str = "the part of the compressed file that has this is not what was written";

/// Where the kind lies in a record.
const KIND_AT: usize = std::mem::offset_of!(RecordHeader, kind);

/// A segment file being read. What was read may grow meanwhile.
pub(crate) struct Scan {
    file: Source,
    path: PathBuf,
    header: FileHeader,
    checksum: Checksum,
    buffer: Vec<u8>,
    /// Where in the buffer the next record begins, and where that is in the file.
    start: usize,
    offset: u64,
    /// The last whole record.
    last: RecordHeader,
    /// Of the footer, once it was stepped over.
    footer_tai_ns: u64,
    /// Bytes asked of the file at once.
    piece: usize,
}

/// Where the bytes come from.
enum Source {
    File(File),
    Packed(Box<Packed>),
    #[cfg(test)]
    Memory(io::Cursor<std::rc::Rc<[u8]>>),
    /// Ends at `end` until that was seen twice, as a file that is being written.
    #[cfg(test)]
    Growing {
        bytes: Vec<u8>,
        at: usize,
        end: usize,
        seen: u32,
    },
}

impl Source {
    /// A segment's file, compressed or not.
    fn open(path: &Path, is_lenient: bool) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(io_error(path, "open it"))?;
        Ok(match Packed::open(&file).map_err(io_error(path, "read it"))? {
            Some(packed) => Self::Packed(Box::new(packed.lenient(is_lenient))),
            None => Self::File(file),
        })
    }

    /// Bytes it has now.
    fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.metadata().map(|facts| facts.len()),
            Self::Packed(packed) => Ok(packed.len()),
            #[cfg(test)]
            Self::Memory(bytes) => Ok(bytes.get_ref().len() as u64),
            #[cfg(test)]
            Self::Growing { end, .. } => Ok(*end as u64),
        }
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            Self::Packed(packed) => packed.read(into),
            #[cfg(test)]
            Self::Memory(bytes) => bytes.read(into),
            #[cfg(test)]
            Self::Growing { bytes, at, end, seen } => {
                let count = (&bytes[*at..*end]).read(into)?;
                *at += count;
                *seen = if count == 0 { *seen + 1 } else { 0 };
                if *seen == 2 {
                    *end = bytes.len();
                }
                Ok(count)
            }
        }
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Packed(packed) => {
                let SeekFrom::Start(to) = to else { return Err(io::ErrorKind::Unsupported.into()) };
                packed.seek(to);
                Ok(to)
            }
            #[cfg(test)]
            Self::Memory(bytes) => bytes.seek(to),
            #[cfg(test)]
            Self::Growing { at, .. } => {
                let SeekFrom::Start(to) = to else { return Err(io::ErrorKind::Unsupported.into()) };
                *at = to as usize;
                Ok(to)
            }
        }
    }
}

/// What lies at the reading position.
pub(crate) enum Step {
    /// A record, stepped over; its bytes in [`Scan::bytes`].
    Record {
        /// Its header.
        header: RecordHeader,
        /// Its body.
        body: Range<usize>,
        /// All of it.
        whole: Range<usize>,
    },
    /// The mark between two blocks, stepped over; its bytes in [`Scan::bytes`].
    Mark(Mark, Range<usize>),
    /// The footer, stepped over: nothing may follow.
    Footer(Footer),
    /// Nothing more.
    End,
    /// Fewer bytes than the record has that begins here: it is still being written, or its writer was killed.
    Torn,
    /// Not a record.
    Bad(&'static str),
}

impl Scan {
    /// Opens a segment and reads its header.
    pub(crate) fn open(path: &Path, number: u64) -> Result<Self, JournalError> {
        Self::on(Source::open(path, false)?, path, number)
    }

    /// As [`open`](Self::open), and goes on behind what is damaged in a compressed file, where it reads zeros.
    pub(crate) fn open_lenient(path: &Path, number: u64) -> Result<Self, JournalError> {
        Self::on(Source::open(path, true)?, path, number)
    }

    /// Whether the file is compressed.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.file, Source::Packed(_))
    }

    /// What is wrong with a compressed file, though all of the segment may be there.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match &self.file {
            Source::Packed(packed) => packed.fault,
            _ => None,
        }
    }

    /// The chain at the end of a finished segment, once every record, mark and the footer are found to be what it says.
    pub(crate) fn proven_chain(mut self) -> Result<Chain, JournalError> {
        let mut block = Block::beginning_with(self.header.as_bytes());
        let mut records = 0;
        loop {
            let wrong = match self.step()? {
                Step::Record { whole, .. } => {
                    block.add(self.bytes(whole));
                    records += 1;
                    continue;
                }
                Step::Mark(mark, whole) if mark.chain == block.chain() && mark.records == records => {
                    block.restart(self.bytes(whole));
                    continue;
                }
                Step::Mark(..) => "the block before this is not what its mark says",
                Step::Footer(footer) if footer.chain == block.chain() && footer.records == records => {
                    if matches!(self.step()?, Step::End) {
                        return Ok(footer.chain);
                    }
                    "something follows its footer"
                }
                Step::Footer(_) => "its footer does not match its records",
                Step::End | Step::Torn => "it ends without a footer",
                Step::Bad(what) => what,
            };
            return Err(JournalError::Damaged(self.damage(wrong)));
        }
    }

    /// As [`open`](Self::open), of a file's bytes in memory.
    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: std::rc::Rc<[u8]>, path: &Path, number: u64) -> Result<Self, JournalError> {
        Self::on(Source::Memory(io::Cursor::new(bytes)), path, number)
    }

    /// As [`of_bytes`](Self::of_bytes), of a file that is being written: it has only `end` of them when its end is seen first.
    #[cfg(test)]
    pub(crate) fn growing(bytes: Vec<u8>, end: usize, path: &Path, number: u64) -> Result<Self, JournalError> {
        Self::on(Source::Growing { bytes, at: 0, end, seen: 0 }, path, number)
    }

    fn on(mut file: Source, path: &Path, number: u64) -> Result<Self, JournalError> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        let damaged = |what| JournalError::Damaged(Damage { path: path.to_owned(), offset: 0, what, after: None });
        match file.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(damaged(CHUNK_DAMAGED)),
            other => other.map_err(io_error(path, "read it"))?,
        };
        let header = match FileHeader::parse(&bytes) {
            Ok(header) => header,
            Err(BadHeader::Version(found)) => return Err(JournalError::Version { path: path.to_owned(), found }),
            Err(BadHeader::Damaged(what)) => return Err(damaged(what)),
        };
        if header.number != number {
            return Err(damaged("its name and its header disagree on its number"));
        }
        let last = RecordHeader { seq: header.first_seq.saturating_sub(1), ..RecordHeader::default() };
        Ok(Self::begin(file, path, number, header, last))
    }

    /// Opens a segment at its first record, whatever its header says; `None` when it ends before that.
    pub(crate) fn behind_header(path: &Path, number: u64) -> Result<Option<Self>, JournalError> {
        let mut file = Source::open(path, true)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        file.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut bytes).map_err(io_error(path, "read it"))?;
        let Ok(header) = FileHeader::read_from_bytes(&bytes) else { return Ok(None) };
        Ok(Some(Self::begin(file, path, number, header, RecordHeader::default())))
    }

    fn begin(file: Source, path: &Path, number: u64, header: FileHeader, last: RecordHeader) -> Self {
        Self {
            file,
            path: path.to_owned(),
            header,
            checksum: Checksum::new(number),
            buffer: Vec::new(),
            start: 0,
            offset: HEADER_BYTES as u64,
            last,
            footer_tai_ns: 0,
            piece: CHUNK_BYTES,
        }
    }

    /// Asks for so many bytes at once: few, where single records are looked up.
    pub(crate) fn in_pieces(mut self, bytes: usize) -> Self {
        self.piece = bytes;
        self
    }

    /// Goes on reading at `offset`, where a record begins, with what the file holds by then.
    pub(crate) fn go_to(&mut self, offset: u64) -> Result<(), JournalError> {
        self.file.seek(SeekFrom::Start(offset)).map_err(io_error(&self.path, "read it"))?;
        (self.offset, self.start) = (offset, 0);
        self.buffer.clear();
        Ok(())
    }

    /// As [`go_to`](Self::go_to), where `last` is the record before.
    pub(crate) fn go_back(&mut self, offset: u64, last: RecordHeader) -> Result<(), JournalError> {
        self.last = last;
        self.go_to(offset)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Where the next record begins in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// How far the file was read.
    pub(crate) fn seen_bytes(&self) -> u64 {
        self.offset + (self.buffer.len() - self.start) as u64
    }

    /// Bytes that the file has now.
    pub(crate) fn file_bytes(&self) -> Result<u64, JournalError> {
        self.file.len().map_err(io_error(&self.path, "look at it"))
    }

    /// Bytes that the last step gave the place of.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Damage at the reading position.
    pub(crate) fn damage(&self, what: &'static str) -> Damage {
        let after = (self.offset > HEADER_BYTES as u64).then_some(self.last);
        Damage { path: self.path.clone(), offset: self.offset, what, after }
    }

    /// Looks at what lies at the reading position, and steps over it if it is whole.
    pub(crate) fn step(&mut self) -> Result<Step, JournalError> {
        let mut needed = 1;
        let (head, bytes) = loop {
            let found = self.fill(needed)?;
            if found == 0 {
                return Ok(Step::End);
            }
            match self.checksum.parse(&self.buffer[self.start..]) {
                Parsed::Whole(head, bytes) => break (head, bytes),
                Parsed::Bad(what) => return Ok(Step::Bad(what)),
                Parsed::Short(whole) if found < whole && whole <= needed => return Ok(Step::Torn),
                Parsed::Short(whole) => needed = whole,
            }
        };
        let header = head.header;
        let whole = self.start..self.start + bytes;
        let body_start = self.start + size_of::<RecordHead>();
        let body = body_start..body_start + header.body_bytes as usize;
        if header.kind == FOOTER_KIND {
            let Ok(footer) = Footer::read_from_bytes(&self.buffer[body]) else {
                return Ok(Step::Bad("its footer has another length"));
            };
            self.footer_tai_ns = header.tai_ns;
            self.advance(bytes);
            return Ok(Step::Footer(footer));
        }
        if header.kind == MARK_KIND {
            let Ok(mark) = Mark::read_from_bytes(&self.buffer[body]) else {
                return Ok(Step::Bad("its mark has another length"));
            };
            self.advance(bytes);
            return Ok(Step::Mark(mark, whole));
        }
        if header.seq <= self.last.seq {
            return Ok(Step::Bad("its seq is not above the one before"));
        }
        self.last = header;
        self.advance(bytes);
        Ok(Step::Record { header, body, whole })
    }

    /// The next record of this kind, looked for by lengths alone; `None` when there is none up to the end of the file, or up
    /// to where nothing begins as a record does. Only the record found is checked.
    pub(crate) fn find(&mut self, kind: u16) -> Result<Option<Range<usize>>, JournalError> {
        loop {
            let found = self.fill(HEAD_BYTES)?;
            let Ok((head, _)) = RecordHead::read_from_prefix(&self.buffer[self.start..]) else { return Ok(None) };
            let body_bytes = head.header.body_bytes as usize;
            if head.header.kind == kind {
                return Ok(match self.step()? {
                    Step::Record { body, .. } => Some(body),
                    _ => None,
                });
            }
            if head.header.kind == FOOTER_KIND || body_bytes > BODY_BYTES_MAX {
                return Ok(None);
            }
            let bytes = record_bytes(body_bytes);
            if found < bytes && self.fill(bytes)? < bytes {
                return Ok(None);
            }
            self.advance(bytes);
        }
    }

    /// Time of the last record, as the footer that was stepped over says; TAI ns.
    pub(crate) fn footer_tai_ns(&self) -> u64 {
        self.footer_tai_ns
    }

    /// The record stepped over last.
    pub(crate) fn last(&self) -> &RecordHeader {
        &self.last
    }

    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Goes to the next mark behind the reading position, where a block begins; `None` if there is none.
    pub(crate) fn seek_mark(&mut self) -> Result<Option<Mark>, JournalError> {
        loop {
            let found = self.fill(8 + MARK_BYTES)?;
            let Some(places) = (found.checked_sub(MARK_BYTES)).map(|last| last / 8).filter(|places| *places > 0) else {
                return Ok(None);
            };
            // The kind first: almost no place gets further.
            let kind = MARK_KIND.to_le_bytes();
            let words = self.buffer[self.start + 8..].chunks_exact(8).skip(KIND_AT / 8).take(places);
            let at = { words }.position(|word| word[KIND_AT % 8..KIND_AT % 8 + 2] == kind);
            self.advance(8 * at.map_or(places, |at| at + 1));
            if at.is_none() {
                continue;
            }
            let bytes = &self.buffer[self.start..self.start + MARK_BYTES];
            if let Parsed::Whole(head, MARK_BYTES) = self.checksum.parse(bytes)
                && let Ok(mark) = Mark::read_from_bytes(&bytes[HEAD_BYTES..])
            {
                (self.last.seq, self.last.tai_ns) = (head.header.seq, head.header.tai_ns);
                return Ok(Some(mark));
            }
        }
    }

    /// Whether a whole record lies anywhere behind the reading position.
    pub(crate) fn has_record_behind(&mut self) -> Result<bool, JournalError> {
        self.fill(usize::MAX)?;
        let rest = &self.buffer[self.start..];
        let above = self.last.seq;
        Ok((8..rest.len()).step_by(8).any(|offset| match self.checksum.parse(&rest[offset..]) {
            Parsed::Whole(head, _) => head.header.seq > above || head.header.kind >= MARK_KIND,
            Parsed::Short(_) | Parsed::Bad(_) => false,
        }))
    }

    /// Has at least `needed` bytes from the reading position in the buffer, if the file has; how many there are.
    fn fill(&mut self, needed: usize) -> Result<usize, JournalError> {
        let outcome = self.fill_from_file(needed);
        outcome.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => JournalError::Damaged(self.damage(CHUNK_DAMAGED)),
            _ => io_error(&self.path, "read it")(error),
        })
    }

    fn fill_from_file(&mut self, needed: usize) -> io::Result<usize> {
        while self.buffer.len() - self.start < needed {
            if self.start >= CHUNK_BYTES {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            let old = self.buffer.len();
            let wanted = needed.saturating_sub(old - self.start).clamp(self.piece, 1 << 24);
            match self.file.by_ref().take(wanted as u64).read_to_end(&mut self.buffer) {
                Ok(0) => break,
                // What lies before the damage is there already.
                Err(error) if error.kind() == io::ErrorKind::InvalidData && self.buffer.len() > old => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(self.buffer.len() - self.start)
    }
}
