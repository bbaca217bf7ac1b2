//! Asking for a cache line before it is needed. Only a hint: it never faults and never changes what a program computes.

#![allow(unsafe_code, reason = "the prefetch instruction is an unsafe intrinsic")]

/// Starts to load the first cache line of `value`.
#[inline(always)]
pub fn prefetch_read<T: ?Sized>(value: &T) {
    hint(core::ptr::from_ref(value).cast());
}

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// Starts to load every cache line of `value`, from its first byte on: for what lies across several.
#[inline(always)]
pub fn prefetch_whole<T>(value: &T) {
    let at = core::ptr::from_ref(value).cast::<i8>();
    for offset in (0..size_of::<T>()).step_by(LINE_BYTES) {
        hint(at.wrapping_add(offset));
    }
}

/// Starts to load the cache line at an address, any address: for one that was chosen without a branch.
#[inline(always)]
pub fn prefetch_address(at: *const u8) {
    hint(at.cast());
}

/// Starts to load the first cache line of `slice[index]`; does nothing when there is no such element.
#[inline(always)]
pub fn prefetch_slice<T>(slice: &[T], index: usize) {
    if let Some(element) = slice.get(index) {
        prefetch_read(element);
    }
}

/// Starts to load the cache lines of the `bytes` bytes at `at` and to take them away from other cores: the stores that
/// follow find them here.
#[inline(always)]
pub(crate) fn prefetch_write(at: *const u8, bytes: usize) {
    for offset in (0..bytes).step_by(LINE_BYTES) {
        hint_write(at.wrapping_add(offset));
    }
}

#[inline(always)]
fn hint_write(at: *const u8) {
    // The intrinsic becomes a prefetch for reading unless the build names a CPU that has this one; all do.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads and writes nothing that the program can see and is defined for every address.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}

#[inline(always)]
fn hint(at: *const i8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing that the program can see and is defined for every address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at);
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_index_is_fine() {
        let table = [1_u64; 64];
        for index in [0, 63, 64, usize::MAX] {
            prefetch_slice(&table, index);
        }
        prefetch_slice::<u64>(&[], 0);
        prefetch_read("text");
        prefetch_whole(&[0_u8; 300]);
        prefetch_write(table.as_ptr().cast(), 10_000);
        assert_eq!(table, [1; 64]);
    }
}
