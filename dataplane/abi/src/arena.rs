//! A fixed slice whose memory somebody else found: core takes every table it needs as an [`Arena`], so that it runs on
//! huge pages without knowing of them and allocates nothing after start.

#![allow(unsafe_code, reason = "owns raw memory; the one place where core's tables meet an allocator or a mapping")]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Gives the memory of an arena back: the first element and the number of elements, as given to [`Arena::from_raw`].
pub type Free<T> = unsafe fn(NonNull<T>, usize);

/// An owned slice of fixed length; use it as `&[T]` and `&mut [T]`.
///
/// From a `Vec` in tests and tools, from huge pages in the data plane (`tern_hw::huge`).
pub struct Arena<T> {
    first: NonNull<T>,
    len: usize,
    free: Free<T>,
}

impl<T> Arena<T> {
    /// Takes over `len` elements that start at `first`; `free` is called once, when the arena is dropped.
    ///
    /// # Safety
    /// `first` must point to `len` initialized elements that nothing else uses as long as the arena lives, and `free`
    /// must be the way to drop them and give back their memory.
    pub const unsafe fn from_raw(first: NonNull<T>, len: usize, free: Free<T>) -> Self {
        Self { first, len, free }
    }

    /// `len` elements made by `make(index)`, on the ordinary heap.
    pub fn from_fn(len: usize, make: impl FnMut(usize) -> T) -> Self {
        (0..len).map(make).collect::<Vec<T>>().into()
    }
}

// SAFETY: an arena owns its elements like a Box<[T]> does; `free` is a plain function that may run on any thread.
unsafe impl<T: Send> Send for Arena<T> {}
// SAFETY: a shared arena gives out only `&[T]`.
unsafe impl<T: Sync> Sync for Arena<T> {}

impl<T> From<Box<[T]>> for Arena<T> {
    fn from(elements: Box<[T]>) -> Self {
        /// # Safety
        /// `first` and `len` come from `Box::into_raw` below.
        unsafe fn free<T>(first: NonNull<T>, len: usize) {
            let slice = NonNull::slice_from_raw_parts(first, len);
            // SAFETY: the slice came from Box::into_raw and is given back once.
            drop(unsafe { Box::from_raw(slice.as_ptr()) });
        }
        let len = elements.len();
        let first = NonNull::from(Box::leak(elements)).cast::<T>();
        // SAFETY: the box's elements are ours alone now, and `free` turns them back into the box.
        unsafe { Self::from_raw(first, len, free::<T>) }
    }
}

impl<T> From<Vec<T>> for Arena<T> {
    fn from(elements: Vec<T>) -> Self {
        elements.into_boxed_slice().into()
    }
}

/// A copy lies on the ordinary heap, wherever the original does: for tests and tools.
impl<T: Clone> Clone for Arena<T> {
    fn clone(&self) -> Self {
        self.to_vec().into()
    }
}

impl<T> Deref for Arena<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `from_raw` was promised `len` initialized elements at `first`, ours alone.
        unsafe { core::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Arena<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes the borrow exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

impl<T> Drop for Arena<T> {
    fn drop(&mut self) {
        // SAFETY: `from_raw` was promised that `free` gives this memory back, and drop runs once.
        unsafe { (self.free)(self.first, self.len) }
    }
}

impl<T> fmt::Debug for Arena<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("len", &self.len).field("element_bytes", &size_of::<T>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::vec;

    #[test]
    fn a_vec_becomes_an_arena_and_its_elements_are_dropped_once() {
        let shared = Rc::new(());
        let mut arena = Arena::from(vec![shared.clone(), shared.clone(), shared.clone()]);
        assert_eq!(Rc::strong_count(&shared), 4);
        arena[1] = Rc::new(());
        assert_eq!(Rc::strong_count(&shared), 3);
        drop(arena);
        assert_eq!(Rc::strong_count(&shared), 1);
    }

    #[test]
    fn a_copy_has_elements_of_its_own() {
        let mut original = Arena::from(vec![1, 2, 3]);
        let copy = original.clone();
        original[1] = 9;
        assert_eq!((&*original, &*copy), (&[1, 9, 3][..], &[1, 2, 3][..]));
    }

    #[test]
    fn empty_and_zero_sized_elements_are_fine() {
        assert!(Arena::<u64>::from(Vec::new()).is_empty());
        assert_eq!(Arena::from_fn(7, |_| ()).len(), 7);
    }
}
