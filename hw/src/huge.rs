//! Memory for core's tables, on huge pages where the host gives them: explicit ones first, then transparent ones, then
//! ordinary ones. All of it is touched before it is handed out, so that the loop takes no page fault.

#![allow(unsafe_code, reason = "maps memory and gives it a type")]

use std::alloc::Layout;
use std::fmt;
use std::fs;
use std::io;
use std::ptr::NonNull;
use tern_abi::arena::Arena;
use zerocopy::FromZeros;

/// Size of a transparent huge page on the hosts that Tern supports.
const HUGE_BYTES: usize = 2 << 20;

/// The largest pages that may be used: what a configuration allows, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pages {
    /// 4 KiB.
    Ordinary,
    /// 2 MiB where the kernel finds them (`madvise`).
    Transparent,
    /// From the kernel's pool (`vm.nr_hugepages`), of its default size.
    Explicit,
}

impl Pages {
    /// The name that users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Transparent => "transparent_huge",
            Self::Explicit => "explicit_huge",
        }
    }
}

/// What an arena came to lie on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugeOutcome {
    /// What the memory is for.
    pub name: &'static str,
    /// Its size.
    pub bytes: usize,
    /// The pages it lies on. `Transparent` if any part of it does.
    pub pages: Pages,
    /// How much of it lies on huge pages.
    pub huge_bytes: usize,
    /// Why not on larger ones; empty if it lies on what was asked for.
    pub why: String,
}

impl fmt::Display for HugeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        write!(f, "{}: {:.1} MiB on {} pages", self.name, mib(self.bytes), self.pages.name())?;
        if self.pages == Pages::Transparent && self.huge_bytes < self.bytes {
            write!(f, " ({:.1} MiB of it)", mib(self.huge_bytes))?;
        }
        if !self.why.is_empty() {
            write!(f, "; {}", self.why)?;
        }
        Ok(())
    }
}

/// `len` zeroed elements for what is called `name`, on pages no larger than `most`.
///
/// # Errors
/// When the host has not so much memory.
pub fn zeroed<T: FromZeros>(name: &'static str, len: usize, most: Pages) -> io::Result<(Arena<T>, HugeOutcome)> {
    let (first, free, outcome) = find::<T>(name, len, most)?;
    // SAFETY: `find` gives memory for `len` elements that is zero, which is a sound T, and `free` unmaps it.
    Ok((unsafe { Arena::from_raw(first, len, free) }, outcome))
}

/// `len` elements made by `make(index)`, for types that are not sound as zeros; otherwise as [`zeroed`].
///
/// # Errors
/// When the host has not so much memory.
pub fn from_fn<T>(
    name: &'static str,
    len: usize,
    most: Pages,
    mut make: impl FnMut(usize) -> T,
) -> io::Result<(Arena<T>, HugeOutcome)> {
    let (first, free, outcome) = find::<T>(name, len, most)?;
    for index in 0..len {
        // SAFETY: `find` gives memory for `len` elements; should `make` panic, the mapping leaks and nothing is dropped.
        unsafe { first.add(index).write(make(index)) };
    }
    // SAFETY: every element was written above, and `free` drops and unmaps them.
    Ok((unsafe { Arena::from_raw(first, len, free) }, outcome))
}

type Found<T> = (NonNull<T>, unsafe fn(NonNull<T>, usize), HugeOutcome);

/// Zeroed memory for `len` elements.
fn find<T>(name: &'static str, len: usize, most: Pages) -> io::Result<Found<T>> {
    let layout = Layout::array::<T>(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut outcome = HugeOutcome { name, bytes: layout.size(), pages: most, huge_bytes: 0, why: String::new() };
    if layout.size() == 0 {
        return Ok((NonNull::dangling(), free_nothing::<T>, outcome));
    }
    if most == Pages::Explicit {
        match explicit(layout) {
            Ok(first) => {
                outcome.huge_bytes = layout.size();
                return Ok((first.cast(), free_explicit::<T>, outcome));
            }
            Err(why) => outcome.why = why,
        }
    }
    let bytes = mapped_bytes(layout.size());
    let first = map_aligned(bytes)?;
    outcome.pages = Pages::Ordinary;
    let advice = if most >= Pages::Transparent { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: a mapping of ours of this length. A kernel without transparent huge pages refuses, which changes nothing.
    let advised = unsafe { libc::madvise(first.as_ptr().cast(), bytes, advice) } == 0;
    touch(first, layout.size());
    if most >= Pages::Transparent {
        outcome.huge_bytes = if advised { transparent_bytes(first.addr().get(), bytes).min(layout.size()) } else { 0 };
        if outcome.huge_bytes > 0 {
            outcome.pages = Pages::Transparent;
        } else {
            let gap = if outcome.why.is_empty() { "" } else { "; " };
            outcome.why += &format!("{gap}no transparent huge pages ({})", transparent_setting());
        }
    }
    Ok((first.cast(), free_mapped::<T>, outcome))
}

/// Pages of the kernel's pool, or why there are none.
fn explicit(layout: Layout) -> Result<NonNull<u8>, String> {
    let facts = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    // hugepage-rs panics without this line, which a kernel without hugetlb does not have.
    if !facts.lines().any(|line| line.starts_with("Hugepagesize:")) {
        return Err("the kernel has no explicit huge pages".into());
    }
    // SAFETY: the layout is not empty.
    let first = unsafe { hugepage_rs::alloc(layout) };
    let Some(first) = NonNull::new(first) else {
        let free = facts.lines().find_map(|line| line.strip_prefix("HugePages_Free:")).unwrap_or("0").trim();
        return Err(format!(
            "{} explicit huge pages are needed and {free} are free (vm.nr_hugepages)",
            layout.size().div_ceil(HUGE_BYTES)
        ));
    };
    touch(first, layout.size());
    Ok(first)
}

/// Maps `bytes` of zeroes, aligned to huge pages.
fn map_aligned(bytes: usize) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes + HUGE_BYTES, protection, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let Some(base) = NonNull::new(base.cast::<u8>()) else { return Err(io::ErrorKind::OutOfMemory.into()) };
    let before = base.addr().get().next_multiple_of(HUGE_BYTES) - base.addr().get();
    // SAFETY: `before` is less than the HUGE_BYTES by which the mapping is too long.
    let first = unsafe { base.add(before) };
    for (start, len) in [(base, before), (first.map_addr(|address| address.saturating_add(bytes)), HUGE_BYTES - before)]
    {
        if len > 0 {
            // SAFETY: the ends of the mapping just made, which nobody uses.
            unsafe { libc::munmap(start.as_ptr().cast(), len) };
        }
    }
    Ok(first)
}

/// Whole huge pages, so that the end of a table lies on one too. What is behind it costs nothing where the kernel gives
/// ordinary pages after all.
const fn mapped_bytes(bytes: usize) -> usize {
    bytes.next_multiple_of(HUGE_BYTES)
}

/// Takes a page fault for every page now.
fn touch(first: NonNull<u8>, bytes: usize) {
    for offset in (0..bytes).step_by(4096) {
        // SAFETY: inside the mapping. Volatile, because a plain store of zero over zero might be left out.
        unsafe { first.add(offset).write_volatile(0) };
    }
}

/// Drops the elements; nothing was mapped.
///
/// # Safety
/// As [`tern_abi::arena::Free`].
unsafe fn free_nothing<T>(first: NonNull<T>, len: usize) {
    // SAFETY: the arena's elements, dropped once.
    unsafe { NonNull::slice_from_raw_parts(first, len).drop_in_place() };
}

/// # Safety
/// As [`tern_abi::arena::Free`], for memory of [`explicit`].
unsafe fn free_explicit<T>(first: NonNull<T>, len: usize) {
    // SAFETY: the arena's elements, dropped once.
    unsafe { NonNull::slice_from_raw_parts(first, len).drop_in_place() };
    if let Ok(layout) = Layout::array::<T>(len) {
        // SAFETY: the layout that `find` allocated.
        unsafe { hugepage_rs::dealloc(first.as_ptr().cast(), layout) };
    }
}

/// # Safety
/// As [`tern_abi::arena::Free`], for memory of [`map_aligned`].
unsafe fn free_mapped<T>(first: NonNull<T>, len: usize) {
    // SAFETY: the arena's elements, dropped once; then the length that was mapped.
    unsafe {
        NonNull::slice_from_raw_parts(first, len).drop_in_place();
        libc::munmap(first.as_ptr().cast(), mapped_bytes(len * size_of::<T>()));
    }
}

/// How much of the range the kernel put on transparent huge pages, bytes.
fn transparent_bytes(first: usize, bytes: usize) -> usize {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut total = 0;
    let mut inside = false;
    for line in maps.lines() {
        let Some((head, rest)) = line.split_once([' ', ':']) else { continue };
        if let Some((start, end)) = head.split_once('-') {
            let parse = |text| usize::from_str_radix(text, 16).unwrap_or(0);
            inside = parse(start) < first + bytes && parse(end) > first;
        } else if inside && head == "AnonHugePages" {
            let kib = rest.trim_start_matches(':').trim().trim_end_matches(" kB");
            total += 1024 * kib.parse::<usize>().unwrap_or(0);
        }
    }
    total
}

fn transparent_setting() -> String {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    fs::read_to_string(path).map_or_else(|_| "not in this kernel".into(), |text| format!("{path}: {}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn whatever_the_host_gives_the_arena_is_zeroed_and_the_outcome_says_on_what() {
        for most in [Pages::Explicit, Pages::Transparent, Pages::Ordinary] {
            let (mut arena, outcome) = zeroed::<u64>("table", 1_000_000, most).expect("8 MB");
            assert_eq!(arena.len(), 1_000_000);
            assert!(arena.iter().all(|element| *element == 0));
            arena[999_999] = 7;
            assert!(outcome.pages <= most && outcome.bytes == 8_000_000, "{outcome}");
            assert_eq!(outcome.huge_bytes > 0, outcome.pages > Pages::Ordinary, "{outcome}");
            assert_eq!(outcome.why.is_empty(), outcome.pages == most, "{outcome}");
        }
    }

    #[test]
    fn the_fallback_can_be_forced() {
        let (_arena, outcome) = zeroed::<u64>("table", 1_000_000, Pages::Ordinary).expect("8 MB");
        assert_eq!((outcome.pages, outcome.huge_bytes, outcome.why.as_str()), (Pages::Ordinary, 0, ""));
        assert_eq!(outcome.to_string(), "table: 7.6 MiB on ordinary pages");
    }

    #[test]
    fn elements_are_made_and_dropped_once() {
        let shared = Rc::new(());
        for len in [0, 1, 1000] {
            let (arena, _) = from_fn("rcs", len, Pages::Explicit, |_| shared.clone()).expect("small");
            assert_eq!(Rc::strong_count(&shared), len + 1);
            drop(arena);
            assert_eq!(Rc::strong_count(&shared), 1);
        }
        assert_eq!(from_fn("units", 5, Pages::Explicit, |_| ()).expect("nothing").0.len(), 5);
    }

    #[test]
    fn memory_that_nobody_has_is_an_error() {
        assert!(zeroed::<u64>("everything", usize::MAX / 4, Pages::Explicit).is_err());
        assert!(zeroed::<u64>("too much", 1 << 50, Pages::Transparent).is_err());
    }
}
