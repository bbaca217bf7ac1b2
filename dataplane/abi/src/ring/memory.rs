//! Memory that a producer and a consumer share, and the only unsafe code of the rings.
//!
//! A [`Memory`] hands out atomic words and plain byte ranges. Byte ranges are unsafe to touch because only the ring's
//! protocol says whose turn it is. Under loom the same addresses are shadowed by loom's atomics and cells, so that the
//! ring code is checked as it stands.

#![allow(unsafe_code, reason = "raw shared memory")]

use crate::prefetch::prefetch_write;
use core::marker::PhantomData;
use core::ptr::NonNull;

#[cfg(not(loom))]
pub(super) use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU64, Ordering};

/// A word in this many bytes has its cache line (and the line that the CPU fetches along with it) to itself.
pub const LINE_BYTES: usize = if cfg!(loom) { 8 } else { 128 };

/// A range of shared memory, valid for `'a`.
#[derive(Clone)]
pub struct Memory<'a> {
    base: NonNull<u8>,
    bytes: usize,
    life: PhantomData<&'a [u64]>,
    #[cfg(loom)]
    shadow: shadow::Shadow,
}

// SAFETY: the range is valid for 'a whatever the thread; every access is atomic or unsafe with a protocol behind it.
unsafe impl Send for Memory<'_> {}
// SAFETY: as above.
unsafe impl Sync for Memory<'_> {}

impl<'a> Memory<'a> {
    /// The `bytes` bytes from `base` on.
    ///
    /// # Safety
    /// `base` is aligned to 8, and for `'a` the range is readable and writable and touched by nothing but rings
    /// that hold it (in this process or another).
    ///
    /// # Panics
    /// If `base` or `bytes` is not a multiple of 8.
    pub unsafe fn new(base: NonNull<u8>, bytes: usize) -> Self {
        assert!(base.addr().get().is_multiple_of(8) && bytes.is_multiple_of(8), "shared memory is aligned to 8 bytes");
        Self {
            base,
            bytes,
            life: PhantomData,
            #[cfg(loom)]
            shadow: shadow::Shadow::new(bytes / 8),
        }
    }

    /// Length in bytes.
    #[inline]
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Whether it has no bytes.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The word at `offset` (a multiple of 8).
    #[inline]
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < self.bytes, "word outside the ring");
        #[cfg(loom)]
        return self.shadow.word(offset / 8);
        #[cfg(not(loom))]
        // SAFETY: offset and length are multiples of 8, so the word lies inside the range that `new` was promised.
        unsafe {
            AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast())
        }
    }

    /// The `len` bytes at `offset`.
    ///
    /// # Safety
    /// Nobody writes to them as long as the slice is used.
    #[inline]
    pub(super) unsafe fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        assert!(offset <= self.bytes && len <= self.bytes - offset, "bytes outside the ring");
        #[cfg(loom)]
        self.shadow.read(offset, len);
        // SAFETY: inside the range; the caller knows that nobody writes.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr().add(offset), len) }
    }

    /// Copies `from` to `offset`.
    ///
    /// # Safety
    /// Nobody else touches these bytes meanwhile.
    #[inline]
    pub(super) unsafe fn write(&self, offset: usize, from: &[u8]) {
        assert!(offset <= self.bytes && from.len() <= self.bytes - offset, "bytes outside the ring");
        #[cfg(loom)]
        self.shadow.write(offset, from.len());
        // SAFETY: inside the range; the caller knows that the bytes are his; `from` is a borrow, so not among them.
        unsafe { copy(from, self.base.as_ptr().add(offset)) }
    }

    /// Asks for the lines of a range that is written next, as far as it lies in the memory.
    #[inline]
    pub(super) fn will_write(&self, offset: usize, len: usize) {
        let len = len.min(self.bytes.saturating_sub(offset));
        prefetch_write(self.base.as_ptr().wrapping_add(offset), len);
    }
}

/// Copies `from` to `to`; the lengths of most records without the call that a copy of unknown length is.
///
/// # Safety
/// `to` is writable for as many bytes, which are not among those of `from`.
#[inline(always)]
unsafe fn copy(from: &[u8], to: *mut u8) {
    /// Copies the first and the last N bytes, which overlap: together all of `from`.
    ///
    /// # Safety
    /// As above, and `from` is from N to 2 N bytes long.
    #[inline(always)]
    unsafe fn both_ends<const N: usize>(from: &[u8], to: *mut u8) {
        let last = from.len() - N;
        // SAFETY: both ranges of N bytes lie inside `from` and inside what `to` is writable for; bytes have no alignment.
        unsafe {
            let first = from.as_ptr().cast::<[u8; N]>().read();
            let second = from.as_ptr().add(last).cast::<[u8; N]>().read();
            to.cast::<[u8; N]>().write(first);
            to.add(last).cast::<[u8; N]>().write(second);
        }
    }
    // SAFETY: the caller's promise, and the lengths are as each arm says.
    unsafe {
        match from.len() {
            32..=64 => both_ends::<32>(from, to),
            16..=31 => both_ends::<16>(from, to),
            8..=15 => both_ends::<8>(from, to),
            len => core::ptr::copy_nonoverlapping(from.as_ptr(), to, len),
        }
    }
}

/// Stands in for the memory under loom: an atomic and an access checker for every 8 bytes.
#[cfg(loom)]
mod shadow {
    use super::AtomicU64;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use std::vec::Vec;

    #[derive(Clone)]
    pub(super) struct Shadow {
        words: Arc<Vec<AtomicU64>>,
        cells: Arc<Vec<UnsafeCell<()>>>,
    }

    impl Shadow {
        pub(super) fn new(words: usize) -> Self {
            Self {
                words: Arc::new((0..words).map(|_| AtomicU64::new(0)).collect()),
                cells: Arc::new((0..words).map(|_| UnsafeCell::new(())).collect()),
            }
        }
        pub(super) fn word(&self, index: usize) -> &AtomicU64 {
            &self.words[index]
        }
        pub(super) fn read(&self, offset: usize, len: usize) {
            for cell in &self.cells[offset / 8..(offset + len).div_ceil(8)] {
                cell.with(|_| ());
            }
        }
        pub(super) fn write(&self, offset: usize, len: usize) {
            for cell in &self.cells[offset / 8..(offset + len).div_ceil(8)] {
                cell.with_mut(|_| ());
            }
        }
    }
}
