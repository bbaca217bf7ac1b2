//! Asking for a cache line before it is needed. Only a hint: it never faults and never changes what a program computes.

#![allow(unsafe_code, reason = "the prefetch instruction is an unsafe intrinsic")]

/// Starts to load the first cache line of `value`.
#[inline(always)]
pub fn prefetch_read<T: ?Sized>(value: &T) {
    hint(core::ptr::from_ref(value).cast());
}

/// Starts to load the first cache line of `slice[index]`; does nothing when there is no such element.
#[inline(always)]
pub fn prefetch_slice<T>(slice: &[T], index: usize) {
    if let Some(element) = slice.get(index) {
        prefetch_read(element);
    }
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
        assert_eq!(table, [1; 64]);
    }
}
