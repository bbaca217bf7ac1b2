//! The shared segment: the one place where data plane, daemon and CLI meet. A named file that outlives all of them.
//!
//! ```text
//! offset 0     header (4096 bytes), written once when the segment is made
//!              0  version       u64   ABI_VERSION; written last, checked first
//!              8  magic         8 bytes "TERNSEG\0"
//!             16  sizes         order slots, order reserve, capture bytes, command slots: u64 each
//!             48  regions       offset and length of words, commands, orders, captures: u64 each
//!            112  total         bytes of the segment
//!            120  created       TAI ns
//!            128  boot id       16 bytes, of the host
//!            144  instance      32 bytes, zero padded
//! words        kill word, heartbeats, owners, order ids, counters, ... ([`Words`]), cache lines by writer
//! commands     slot ring, 64-byte slots         daemon -> data plane
//! orders       slot ring, 128-byte slots        data plane -> daemon, never sheds
//! captures     ring of bytes                    data plane -> daemon, may shed
//! ```
//! Every region begins at a multiple of 4096. A segment of another version is refused with both versions in the
//! message: nothing in it but the first 16 bytes has a meaning across versions.

#![allow(unsafe_code, reason = "gives raw shared memory its types")]

mod causes;
mod mirror;
mod risk;
mod scopes;
mod words;

pub use causes::{DISTRUSTED, KillCause, SessionFault, SessionState, TRUSTED};
pub use mirror::Mirror;
pub use risk::{
    BOUNDS_SHOWN, BoundsMirror, BoundsState, HoldingsMirror, HoldingsState, LimitsMirror, LimitsState, NOT_MEASURED,
    ORDERS_SHOWN, POSITIONS_SHOWN, SYMBOL_WORDS, ShownBounds, ShownOrder, ShownPosition, UsageMirror, UsageState,
};
pub use scopes::{SCOPES, Scope, ScopeKind, Scopes, ScopesFull, TradingState};
pub use words::{
    ACCOUNTS, Beat, CONN_STATE_CLOSED, CONN_STATE_CLOSING, CONN_STATE_ESTABLISHED, CONN_STATE_KERNEL,
    CONN_STATE_OPENING, CONNS, CancelAll, CancelAllState, ConnMirror, ConnState, CrashMirror, CrashState, DayCount,
    DayCounts, KillNote, KillState, KillWord, NextOrder, NextOrders, Owner, REFUSAL_WORDS, STRATEGIES, STRATEGY_STATE,
    STRATEGY_UNKEPT, STREAMS, Trading, Word, WordArray, Words,
};

use crate::ABI_VERSION;
use crate::ring::Corrupt;
use crate::ring::commands::{COMMAND_SLOT_BYTES, CommandReceiver, CommandSender};
use crate::ring::drain::Drain;
use crate::ring::memory::Memory;
use crate::ring::recorder::{ORDER_SLOT_BYTES, RecordRings, ShmRecorder};
use crate::ring::{bytes, slot};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const MAGIC: [u8; 8] = *b"TERNSEG\0";
const PAGE_BYTES: usize = 4096;

/// Longest name of an instance, bytes.
pub const INSTANCE_BYTES_MAX: usize = 31;

/// How large the rings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSizes {
    /// Slots of the order ring, 128 bytes each; a power of two.
    pub order_slots: usize,
    /// Slots of the order ring that ordinary records leave free; see [`ShmRecorder`].
    pub order_reserve_slots: usize,
    /// Bytes of the capture ring; a power of two.
    pub capture_bytes: usize,
    /// Slots of the command ring, 64 bytes each; a power of two.
    pub command_slots: usize,
}

impl Default for SegmentSizes {
    /// 8 MiB of orders, 64 MiB of captures: about a second of an opening.
    fn default() -> Self {
        Self { order_slots: 1 << 16, order_reserve_slots: 1 << 13, capture_bytes: 1 << 26, command_slots: 1 << 10 }
    }
}

/// Where everything lies, given the sizes of the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLayout {
    sizes: SegmentSizes,
    words: Region,
    commands: Region,
    orders: Region,
    captures: Region,
    total: usize,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Region {
    offset: u64,
    bytes: u64,
}

impl SegmentLayout {
    /// # Errors
    /// [`SegmentError::Sizes`] naming the size that is no power of two, or too small or large.
    pub fn new(sizes: SegmentSizes) -> Result<Self, SegmentError> {
        let checks = [
            ("order_slots", sizes.order_slots, 16..=1 << 24),
            ("capture_bytes", sizes.capture_bytes, 4096..=1 << 36),
            ("command_slots", sizes.command_slots, 2..=1 << 20),
        ];
        for (name, value, range) in checks {
            if !value.is_power_of_two() || !range.contains(&value) {
                return Err(SegmentError::Sizes { name, value, min: *range.start(), max: *range.end() });
            }
        }
        // Orders stop at twice the reserve.
        let most = sizes.order_slots / 4;
        if sizes.order_reserve_slots == 0 || sizes.order_reserve_slots > most {
            let value = sizes.order_reserve_slots;
            return Err(SegmentError::Sizes { name: "order_reserve_slots", value, min: 1, max: most });
        }
        let mut end = PAGE_BYTES;
        let mut region = |bytes: usize| {
            let offset = end as u64;
            end = (end + bytes).next_multiple_of(PAGE_BYTES);
            Region { offset, bytes: bytes as u64 }
        };
        let words = region(size_of::<Words>());
        let commands = region(slot::ring_bytes::<COMMAND_SLOT_BYTES>(sizes.command_slots));
        let orders = region(slot::ring_bytes::<ORDER_SLOT_BYTES>(sizes.order_slots));
        let captures = region(bytes::ring_bytes(sizes.capture_bytes));
        Ok(Self { sizes, words, commands, orders, captures, total: end })
    }

    /// The sizes it was made for.
    pub const fn sizes(&self) -> SegmentSizes {
        self.sizes
    }

    /// Bytes that the segment takes.
    pub const fn total_bytes(&self) -> usize {
        self.total
    }

    fn header(&self) -> Header {
        let sizes = self.sizes;
        Header {
            version: 0,
            magic: MAGIC,
            sizes: [sizes.order_slots, sizes.order_reserve_slots, sizes.capture_bytes, sizes.command_slots]
                .map(|size| size as u64),
            regions: [self.words, self.commands, self.orders, self.captures],
            total: self.total as u64,
            ..Header::default()
        }
    }
}

/// Whose segment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentIdentity {
    /// Name of the instance, at most [`INSTANCE_BYTES_MAX`] bytes, zero padded.
    pub instance: [u8; INSTANCE_BYTES_MAX + 1],
    /// The host's boot id.
    pub boot_id: [u8; 16],
    /// TAI ns.
    pub created_tai_ns: u64,
    /// `seq` of the first record: one more than the last in the journal.
    pub first_seq: u64,
}

impl SegmentIdentity {
    /// The instance as text; what is no UTF-8 is left out.
    pub fn instance_name(&self) -> &str {
        let end = self.instance.iter().position(|byte| *byte == 0).unwrap_or(self.instance.len());
        match core::str::from_utf8(&self.instance[..end]) {
            Ok(name) => name,
            Err(error) => core::str::from_utf8(&self.instance[..error.valid_up_to()]).unwrap_or_default(),
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Header {
    version: u64,
    magic: [u8; 8],
    sizes: [u64; 4],
    regions: [Region; 4],
    total: u64,
    created_tai_ns: u64,
    boot_id: [u8; 16],
    instance: [u8; INSTANCE_BYTES_MAX + 1],
}

/// Why memory is not a segment that this build can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentError {
    /// A ring size is impossible.
    Sizes {
        /// Which.
        name: &'static str,
        /// What was asked for.
        value: usize,
        /// Smallest.
        min: usize,
        /// Largest.
        max: usize,
    },
    /// Fewer bytes than the header or the layout says.
    TooSmall {
        /// Bytes there are.
        bytes: usize,
        /// Bytes it takes.
        needed: usize,
    },
    /// The version word was never written: its maker died half way.
    Unfinished,
    /// It does not begin as a segment does.
    NotASegment,
    /// Made by a build with another layout.
    Version {
        /// The version in the segment.
        found: u64,
        /// The version of this build.
        ours: u32,
    },
    /// Its header contradicts itself.
    Damaged,
    /// One of its rings cannot be read.
    Ring(Corrupt),
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Sizes { name, value, min, max } if name == "order_reserve_slots" => {
                write!(f, "{name} = {value}: must be from {min} to {max} (a quarter of order_slots)")
            }
            Self::Sizes { name, value, min, max } => {
                write!(f, "{name} = {value}: must be a power of two from {min} to {max}")
            }
            Self::TooSmall { bytes, needed } => write!(f, "has {bytes} bytes where {needed} are needed"),
            Self::Unfinished => write!(f, "was never finished: its maker died half way"),
            Self::NotASegment => write!(f, "is not a segment of Tern"),
            Self::Version { found, ours } => write!(f, "has layout version {found}, this build has {ours}"),
            Self::Damaged => write!(f, "has a damaged header"),
            Self::Ring(corrupt) => corrupt.fmt(f),
        }
    }
}

impl core::error::Error for SegmentError {}

impl From<Corrupt> for SegmentError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Ring(corrupt)
    }
}

/// How full the rings are: used and capacity, slots or (captures) bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingsUse {
    /// Commands that the loop has not taken.
    pub commands: (u64, u64),
    /// Order records that the daemon has not given back.
    pub orders: (u64, u64),
    /// Captured datagrams that the daemon has not given back.
    pub captures: (u64, u64),
}

/// A segment in memory. Reading its [`Words`] is safe for everyone; each ring end may exist once.
#[derive(Clone, Copy)]
pub struct Segment<'a> {
    base: NonNull<u8>,
    header: Header,
    layout: SegmentLayout,
    life: PhantomData<&'a Words>,
}

// SAFETY: all that the segment gives out is atomic, or a ring end with a protocol of its own.
unsafe impl Send for Segment<'_> {}
// SAFETY: as above.
unsafe impl Sync for Segment<'_> {}

impl<'a> Segment<'a> {
    /// Makes a segment in zeroed memory.
    ///
    /// # Errors
    /// [`SegmentError::TooSmall`].
    ///
    /// # Safety
    /// `base` is aligned to 4096 and points to `bytes` zero bytes, writable and touched by nobody else until this returns;
    /// for `'a` they stay valid and are used as a segment only.
    pub unsafe fn format(
        base: NonNull<u8>,
        bytes: usize,
        layout: &SegmentLayout,
        identity: &SegmentIdentity,
    ) -> Result<Self, SegmentError> {
        if bytes < layout.total {
            return Err(SegmentError::TooSmall { bytes, needed: layout.total });
        }
        let header = Header {
            created_tai_ns: identity.created_tai_ns,
            boot_id: identity.boot_id,
            instance: identity.instance,
            ..layout.header()
        };
        // SAFETY: aligned, large enough and ours alone, says the caller.
        unsafe { base.cast::<Header>().write(header) };
        let segment = Self { base, header, layout: *layout, life: PhantomData };
        segment.next_seq.set(identity.first_seq);
        // SAFETY: the version is the first word of the header.
        let version = unsafe { AtomicU64::from_ptr(base.as_ptr().cast()) };
        version.store(ABI_VERSION.into(), Ordering::Release);
        Ok(segment)
    }

    /// Looks at a segment that was made before.
    ///
    /// # Errors
    /// Every kind of [`SegmentError`] but `Ring`.
    ///
    /// # Safety
    /// `base` is aligned to 4096 and points to `bytes` bytes that for `'a` stay valid and are used as a segment only,
    /// by this process and others.
    pub unsafe fn attach(base: NonNull<u8>, bytes: usize) -> Result<Self, SegmentError> {
        if bytes < PAGE_BYTES {
            return Err(SegmentError::TooSmall { bytes, needed: PAGE_BYTES });
        }
        // SAFETY: the version is the first word of the header.
        let version = unsafe { AtomicU64::from_ptr(base.as_ptr().cast()) }.load(Ordering::Acquire);
        // SAFETY: the header lies within the first page. It is never written once the version is, and before that its
        // maker is the only one to have the memory.
        let header = unsafe { base.cast::<Header>().read() };
        match version {
            0 => return Err(SegmentError::Unfinished),
            _ if header.magic != MAGIC => return Err(SegmentError::NotASegment),
            _ if version != ABI_VERSION.into() => {
                return Err(SegmentError::Version { found: version, ours: ABI_VERSION });
            }
            _ => {}
        }
        let [order_slots, order_reserve_slots, capture_bytes, command_slots] = header.sizes.map(|size| size as usize);
        let layout =
            SegmentLayout::new(SegmentSizes { order_slots, order_reserve_slots, capture_bytes, command_slots })
                .map_err(|_| SegmentError::Damaged)?;
        let expected = layout.header();
        if (expected.regions, expected.total) != (header.regions, header.total) {
            return Err(SegmentError::Damaged);
        }
        if bytes < layout.total {
            return Err(SegmentError::TooSmall { bytes, needed: layout.total });
        }
        Ok(Self { base, header, layout, life: PhantomData })
    }

    /// Where everything lies.
    pub const fn layout(&self) -> &SegmentLayout {
        &self.layout
    }

    /// Whose it is; `first_seq` is the next record's by now.
    pub fn identity(&self) -> SegmentIdentity {
        SegmentIdentity {
            instance: self.header.instance,
            boot_id: self.header.boot_id,
            created_tai_ns: self.header.created_tai_ns,
            first_seq: self.next_seq.get(),
        }
    }

    /// Everything outside the rings.
    #[inline]
    pub const fn words(&self) -> &'a Words {
        // SAFETY: the region lies inside the segment and is aligned to a page; its content is atomics alone, for which
        // every value is sound.
        unsafe { self.base.add(self.layout.words.offset as usize).cast::<Words>().as_ref() }
    }

    /// The data plane's recorder.
    ///
    /// # Errors
    /// [`Corrupt`] if the rings cannot be read.
    ///
    /// # Safety
    /// No other recorder of this segment exists, here or in another process.
    pub unsafe fn recorder(&self) -> Result<ShmRecorder<'a>, Corrupt> {
        // SAFETY: the caller's promise.
        unsafe { ShmRecorder::attach(self.record_rings(), self.layout.sizes.order_reserve_slots as u64) }
    }

    /// The daemon's drain.
    ///
    /// # Errors
    /// [`Corrupt`] if the rings cannot be read.
    ///
    /// # Safety
    /// No other drain of this segment exists, here or in another process.
    pub unsafe fn drain(&self) -> Result<Drain<'a>, Corrupt> {
        // SAFETY: the caller's promise.
        unsafe { Drain::attach(self.record_rings()) }
    }

    /// The daemon's end of the command ring.
    ///
    /// # Errors
    /// [`Corrupt`] if the ring cannot be read.
    ///
    /// # Safety
    /// No other sender of this segment exists, here or in another process.
    pub unsafe fn command_sender(&self) -> Result<CommandSender<'a>, Corrupt> {
        // SAFETY: the caller's promise.
        unsafe { CommandSender::attach(self.memory(self.layout.commands)) }
    }

    /// The data plane's end of the command ring.
    ///
    /// # Errors
    /// [`Corrupt`] if the ring cannot be read.
    ///
    /// # Safety
    /// No other receiver of this segment exists, here or in another process.
    pub unsafe fn command_receiver(&self) -> Result<CommandReceiver<'a>, Corrupt> {
        // SAFETY: the caller's promise.
        unsafe { CommandReceiver::attach(self.memory(self.layout.commands)) }
    }

    /// How full the rings are now, for onlookers.
    ///
    /// # Errors
    /// [`Corrupt`] if a ring cannot be read.
    pub fn rings_use(&self) -> Result<RingsUse, Corrupt> {
        Ok(RingsUse {
            commands: slot::used::<COMMAND_SLOT_BYTES>(self.memory(self.layout.commands))?,
            orders: slot::used::<ORDER_SLOT_BYTES>(self.memory(self.layout.orders))?,
            captures: bytes::used(&self.memory(self.layout.captures)),
        })
    }

    fn record_rings(&self) -> RecordRings<'a> {
        let next_seq = core::mem::offset_of!(Words, next_seq) as u64 + self.layout.words.offset;
        RecordRings {
            next_seq: self.memory(Region { offset: next_seq, bytes: 8 }),
            order: self.memory(self.layout.orders),
            capture: self.memory(self.layout.captures),
        }
    }

    fn memory(&self, region: Region) -> Memory<'a> {
        // SAFETY: the region lies inside the segment, which is valid for 'a; nothing but ring ends touches it, and the
        // sequence word is an atomic everywhere.
        unsafe { Memory::new(self.base.add(region.offset as usize), region.bytes as usize) }
    }
}

impl Deref for Segment<'_> {
    type Target = Words;

    #[inline]
    fn deref(&self) -> &Words {
        self.words()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
