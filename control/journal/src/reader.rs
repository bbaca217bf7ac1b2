//! Reading: all records in order, of a finished journal or of one that is being written.

use crate::JournalError;
use crate::beginning::{self, beginning};
use crate::format::{record_bytes, segment_path};
use crate::head;
use crate::recover::{last_footer, segment_span};
use crate::scan::{Scan, Step};
use std::io;
use std::path::{Path, PathBuf};
use tern_abi::record::{Kind, RecordHeader};

/// Gives the records of a journal in order. At the end it can be asked again: what was written since comes then.
pub struct Reader {
    folder: PathBuf,
    number: u64,
    /// Nothing behind this segment is looked at.
    last: u64,
    scan: Option<Scan>,
}

/// A record of a journal.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    /// Its header.
    pub header: RecordHeader,
    /// Its body.
    pub body: &'r [u8],
    /// Number of the segment it lies in.
    pub segment: u64,
    /// Where it begins there.
    pub offset: u64,
}

impl Record<'_> {
    /// What it is, if this build knows.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_u16(self.header.kind)
    }

    /// Where it ends in its segment.
    pub(crate) fn end(&self) -> u64 {
        self.offset + record_bytes(self.body.len()) as u64
    }
}

impl Reader {
    /// From the first record on that is there; the folder may still be empty.
    ///
    /// # Errors
    /// `Missing` if a segment is not there though later ones are, `Io`.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        Ok(Self::open_segment(folder, *segment_span(folder)?.start()))
    }

    /// From the first record on of the segment that holds `seq` or the gap in its place.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `Damaged`.
    pub fn open_near(folder: &Path, seq: u64) -> Result<Self, JournalError> {
        Ok(Self::open_segment(folder, segment_near(folder, seq)?))
    }

    /// From the first record of segment `number` on; it may not be there yet.
    pub fn open_segment(folder: &Path, number: u64) -> Self {
        Self { folder: folder.to_owned(), number, last: u64::MAX, scan: None }
    }

    /// From the journal's head on: what was written since the last time that it was forced to the disk, and what is written
    /// from now on. Of a journal without a head, all of it.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `Damaged` when the head is.
    pub fn open_at_head(folder: &Path) -> Result<Self, JournalError> {
        let Some(known) = head::read(folder)?.filter(|known| known.head.segment > 0) else { return Self::open(folder) };
        let mut reader = Self::open_segment(folder, known.head.segment);
        let mut scan = reader.open_scan()?;
        if scan.file_bytes()? == known.head.bytes && last_footer(&mut scan).is_ok() {
            // Finished, and nothing of the next one is on the disk for sure.
            return Ok(Self::open_segment(folder, known.head.segment + 1));
        }
        reader.begin_at(known.head.bytes, known.head.last_seq.saturating_add(1))?;
        Ok(reader)
    }

    /// The records of segment `number` alone, whatever is wrong with the next one.
    pub(crate) fn of_segment(folder: &Path, number: u64) -> Self {
        Self { last: number, ..Self::open_segment(folder, number) }
    }

    /// Goes to the record `seq`, which begins at `offset` of its segment.
    pub(crate) fn begin_at(&mut self, offset: u64, seq: u64) -> Result<(), JournalError> {
        let mut scan = self.open_scan()?;
        scan.go_back(offset, RecordHeader { seq: seq.saturating_sub(1), ..RecordHeader::default() })?;
        self.scan = Some(scan);
        Ok(())
    }

    /// The segment to be read next, which is there.
    fn open_scan(&self) -> Result<Scan, JournalError> {
        let outcome = beginning::open_segment(&self.folder, self.number, &beginning(&self.folder)?);
        match outcome {
            Err(JournalError::Io { path, error, what }) if error.kind() == io::ErrorKind::NotFound => {
                match beginning(&self.folder)?.segment {
                    first if self.number < first => Err(JournalError::Deleted { path, first }),
                    _ => Err(JournalError::Io { path, error, what }),
                }
            }
            outcome => outcome,
        }
    }

    /// Reads again from byte `at` on of the segment being read, with what its file has by now.
    fn reopen(&mut self, at: u64) -> Result<(), JournalError> {
        let Some(scan) = &self.scan else { return Ok(()) };
        let last = *scan.last();
        let mut scan = self.open_scan()?;
        scan.go_back(at, last)?;
        self.scan = Some(scan);
        Ok(())
    }

    /// The segment that it reads, or reads next.
    pub(crate) fn segment(&self) -> u64 {
        self.number
    }

    /// Bytes behind the last record given: of one that is or was being written.
    pub fn tail_bytes(&self) -> u64 {
        let Some(scan) = &self.scan else { return 0 };
        scan.file_bytes().map_or(0, |bytes| bytes.saturating_sub(scan.offset()))
    }

    /// The next record; `None` if there is none yet.
    ///
    /// # Errors
    /// `Damaged` where the journal does not hold what was written, or ends before its head or before a later segment;
    /// `Deleted` where the next segment went with its day meanwhile; `Missing`, `Version`, `Io`.
    #[allow(clippy::should_implement_trait, reason = "the record borrows from the reader, which Iterator cannot say")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        let mut must_go_on = false;
        let mut is_read_again = false;
        loop {
            if self.number > self.last {
                return Ok(None);
            }
            let Some(scan) = &mut self.scan else {
                let path = segment_path(&self.folder, self.number);
                if path.exists() {
                    self.scan = Some(self.open_scan()?);
                } else if must_go_on {
                    return Err(JournalError::Missing(path));
                } else {
                    // The next segment is not made yet, or it is gone.
                    let first = *segment_span(&self.folder)?.start();
                    if self.number < first {
                        return Err(JournalError::Deleted { path, first });
                    }
                    if !goes_further(&self.folder, self.number, 0) {
                        return Ok(None);
                    }
                    must_go_on = true;
                }
                continue;
            };
            let at = scan.offset();
            let wrong = match scan.step()? {
                Step::Record { header, body, .. } => {
                    let segment = self.number;
                    return Ok(self.scan.as_ref().map(|scan| Record {
                        header,
                        body: scan.bytes(body),
                        segment,
                        offset: at,
                    }));
                }
                Step::Mark(..) => continue,
                Step::Footer(_) => {
                    self.scan = None;
                    self.number += 1;
                    must_go_on = false;
                    continue;
                }
                Step::End => "it ends here, though the journal goes further",
                // Its writer may have been killed: recovery puts another record in the place of this beginning.
                Step::Torn => "a record is cut short here, though the journal goes further",
                // Its writer may have been killed and started again in the midst of this step: half of what was read is of the torn
                // end, and the other half of what was written in its place.
                Step::Bad(_) if !is_read_again => {
                    self.reopen(at)?;
                    is_read_again = true;
                    continue;
                }
                Step::Bad(what) => return Err(JournalError::Damaged(scan.damage(what))),
            };
            if must_go_on {
                return Err(JournalError::Damaged(scan.damage(wrong)));
            }
            scan.go_to(at)?;
            // Whatever says so was written after these bytes: they are read again, and then they have to be there.
            must_go_on = goes_further(&self.folder, self.number, at);
            if !must_go_on {
                return Ok(None);
            }
        }
    }
}

/// The last segment whose first record is not after `seq`: the one that holds it, or the gap in its place.
pub(crate) fn segment_near(folder: &Path, seq: u64) -> Result<u64, JournalError> {
    let span = segment_span(folder)?;
    let (mut low, mut high) = (*span.start(), *span.end().max(span.start()));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match Scan::open(&segment_path(folder, middle), middle) {
            Ok(scan) if scan.header().first_seq <= seq => low = middle,
            Ok(_) => high = middle - 1,
            // Deleted since the span was read, and with it what lies before it.
            Err(JournalError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => low = middle + 1,
            Err(error) => return Err(error),
        }
    }
    Ok(low)
}

/// Whether something says that the journal goes on behind byte `at` of segment `number`: a later segment, or its head. A head
/// that cannot be read says nothing; [`verify`](crate::verify()) tells that.
fn goes_further(folder: &Path, number: u64, at: u64) -> bool {
    let known = head::read(folder).ok().flatten();
    known.is_some_and(|known| (known.head.segment, known.head.bytes) > (number, at))
        || segment_path(folder, number + 1).exists()
}
