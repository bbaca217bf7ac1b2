//! The head: how far the journal is on the disk for sure, and the chain there, outside of the segments.
//!
//! ```text
//! head      two slots of 128 bytes, at 0 and at 4096, written in turn: one is whole whenever the other is torn
//! ```
//! It is written after each sync and synced itself once a second and with each segment's end. It never runs ahead of the
//! segments: a segment that ends before it, or has another chain there, is not what was written, whatever its checksums
//! say.

use crate::format::{Chain, JOURNAL_VERSION};
use crate::storage::{Storage, write_all};
use crate::verify::Damage;
use crate::{JournalError, io_error};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const MAGIC: [u8; 8] = *b"TERNHEAD";
const SLOT_BYTES: usize = size_of::<Slot>();
/// From slot to slot: never in one sector.
const STRIDE: usize = 4096;
/// How old the head on the disk may be after a power cut.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How far a journal is, and the chain there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the segment; 0 when there is none yet.
    pub segment: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Records of the whole journal up to there.
    pub records: u64,
    /// `seq` of the last of them.
    pub last_seq: u64,
    /// Its time, TAI ns.
    pub last_tai_ns: u64,
    /// The chain there: of the segment if it is finished, otherwise of the block as far as it goes.
    pub chain: Chain,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Slot {
    magic: [u8; 8],
    version: u32,
    reserved: u32,
    generation: u64,
    boot: [u8; 16],
    segment: u64,
    bytes: u64,
    records: u64,
    last_seq: u64,
    last_tai_ns: u64,
    chain: Chain,
    reserved_too: [u8; 12],
    crc: u32,
}

/// What a head file holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) head: Head,
    generation: u64,
    /// The boot of the host in which it was written.
    pub(crate) boot: [u8; 16],
}

impl Slot {
    fn new(known: &Known) -> Self {
        let Head { segment, bytes, records, last_seq, last_tai_ns, chain } = known.head;
        let mut slot = Self {
            magic: MAGIC,
            version: JOURNAL_VERSION,
            reserved: 0,
            generation: known.generation,
            boot: known.boot,
            segment,
            bytes,
            records,
            last_seq,
            last_tai_ns,
            chain,
            reserved_too: [0; 12],
            crc: 0,
        };
        slot.crc = slot.checksum();
        slot
    }

    fn checksum(&self) -> u32 {
        crc32fast::hash(&self.as_bytes()[..SLOT_BYTES - size_of::<u32>()])
    }

    fn read(file: &[u8], index: usize) -> Option<Known> {
        let (slot, _) = Self::read_from_prefix(file.get(index * STRIDE..)?).ok()?;
        let Self { segment, bytes, records, last_seq, last_tai_ns, chain, .. } = slot;
        (slot.magic == MAGIC && slot.version == JOURNAL_VERSION && slot.crc == slot.checksum()).then_some(Known {
            head: Head { segment, bytes, records, last_seq, last_tai_ns, chain },
            generation: slot.generation,
            boot: slot.boot,
        })
    }
}

pub(crate) fn head_path(folder: &Path) -> PathBuf {
    folder.join("head")
}

/// The head of the journal in `folder`; `None` if it has no such file.
pub(crate) fn read(folder: &Path) -> Result<Option<Known>, JournalError> {
    let path = head_path(folder);
    let file = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error(&path, "read it"))?,
    };
    match (0..2).filter_map(|index| Slot::read(&file, index)).max_by_key(|known| known.generation) {
        Some(known) => Ok(Some(known)),
        None => {
            let what = "none of its two copies of the head is whole";
            Err(JournalError::Damaged(Damage { path, offset: 0, what, after: None }))
        }
    }
}

/// How far the journal in `folder` is on the disk for sure, as its writer said last; `None` if it has no head yet.
///
/// # Errors
/// `Damaged` where none of the two copies is whole, `Io`.
pub fn durable(folder: &Path) -> Result<Option<Head>, JournalError> {
    Ok(read(folder)?.map(|known| known.head))
}

/// Which boot of the host this is: what a process wrote in another one may be on the disk in parts and out of order.
pub(crate) fn this_boot() -> [u8; 16] {
    let mut boot = [0; 16];
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: Vec<u8> =
        text.bytes().filter_map(|byte| (byte as char).to_digit(16)).map(|digit| digit as u8).collect();
    boot.iter_mut().zip(digits.chunks_exact(2)).for_each(|(byte, two)| *byte = two[0] << 4 | two[1]);
    boot
}

/// The head file, being written.
pub(crate) struct HeadFile<F> {
    file: F,
    path: PathBuf,
    known: Known,
    /// To be written even if it says the same: a sync of it failed, or it is another process's, of which nobody knows.
    rewrite: bool,
    /// Written, and not synced since.
    dirty: bool,
    synced: Instant,
}

impl<F> HeadFile<F> {
    /// Opens it, or makes it for an empty journal.
    pub(crate) fn open<S: Storage<File = F>>(
        storage: &mut S,
        folder: &Path,
        known: Option<Known>,
        boot: [u8; 16],
    ) -> Result<Self, JournalError> {
        let path = head_path(folder);
        let (file, known) = match known {
            Some(known) => (storage.open(&path).map_err(io_error(&path, "open it"))?, known),
            None => {
                let known = Known { head: Head::default(), generation: 1, boot };
                (Self::make(storage, folder, &known)?, known)
            }
        };
        Ok(Self { file, path, known: Known { boot, ..known }, rewrite: true, dirty: true, synced: Instant::now() })
    }

    /// A head file with the same in both slots, so that a full disk has room for either; its name appears with them or not
    /// at all.
    fn make<S: Storage<File = F>>(storage: &mut S, folder: &Path, known: &Known) -> Result<F, JournalError> {
        let path = head_path(folder);
        let new = path.with_extension("new");
        let mut file = storage.create(&new).map_err(io_error(&new, "make it"))?;
        let mut bytes = vec![0; STRIDE + SLOT_BYTES];
        for start in [0, STRIDE] {
            bytes[start..start + SLOT_BYTES].copy_from_slice(Slot::new(known).as_bytes());
        }
        write_all(storage, &mut file, &bytes, 0).map_err(|(_, error)| io_error(&new, "write it")(error))?;
        storage.sync(&mut file).map_err(io_error(&new, "sync it"))?;
        storage.rename(&new, &path).map_err(io_error(&new, "rename it"))?;
        storage.sync_folder(folder).map_err(io_error(folder, "sync it"))?;
        Ok(file)
    }

    pub(crate) fn head(&self) -> Head {
        self.known.head
    }

    /// Says that the journal is on the disk up to `head`; with `now` the head itself is synced too.
    pub(crate) fn put<S: Storage<File = F>>(
        &mut self,
        storage: &mut S,
        head: Head,
        now: bool,
    ) -> Result<(), JournalError> {
        if head != self.known.head || self.rewrite {
            let next = Known { head, generation: self.known.generation + 1, ..self.known };
            let offset = (next.generation as usize % 2 * STRIDE) as u64;
            // Until this is whole, the other slot counts, which is older and true.
            write_all(storage, &mut self.file, Slot::new(&next).as_bytes(), offset)
                .map_err(|(_, error)| io_error(&self.path, "write it")(error))?;
            self.known = next;
            (self.rewrite, self.dirty) = (false, true);
        }
        if self.dirty && (now || self.synced.elapsed() >= SYNC_EVERY) {
            if let Err(error) = storage.sync(&mut self.file) {
                // The kernel may have dropped it: it is written again before a sync counts.
                self.rewrite = true;
                return Err(io_error(&self.path, "sync it")(error));
            }
            (self.dirty, self.synced) = (false, Instant::now());
        }
        Ok(())
    }
}

/// Puts `head` in the place of whatever the folder has for one, which is kept beside it; where it is kept.
pub(crate) fn replace<S: Storage>(storage: &mut S, folder: &Path, head: Head) -> Result<Option<PathBuf>, JournalError> {
    let path = head_path(folder);
    let kept = (1..).map(|number: u32| folder.join(format!("head.replaced-{number}"))).find(|path| !path.exists());
    let kept = kept.filter(|_| path.exists());
    if let Some(kept) = &kept {
        fs::copy(&path, kept).map_err(io_error(kept, "copy the head to it"))?;
        fs::File::open(kept).and_then(|file| file.sync_all()).map_err(io_error(kept, "sync it"))?;
    }
    HeadFile::make(storage, folder, &Known { head, generation: 1, boot: this_boot() })?;
    Ok(kept)
}
