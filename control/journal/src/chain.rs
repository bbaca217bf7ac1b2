//! The chain over the blocks of a segment.

use crate::format::{BLOCK_BYTES, Chain};
use sha2::{Digest, Sha256};

/// A block being written or read.
///
/// It begins with the segment's header, which has the chain of the segment before, or with the mark of the block before,
/// which has that block's: whoever knows the last value knows all bytes before it.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    hasher: Sha256,
    /// Not hashed yet: many records at once cost less than each by itself, and a block found broken costs nothing.
    waiting: Vec<u8>,
    bytes: u64,
}

impl Block {
    /// A block that begins with a header or a mark.
    pub(crate) fn beginning_with(bytes: &[u8]) -> Self {
        let mut block = Self { hasher: Sha256::new(), waiting: Vec::with_capacity(BLOCK_BYTES), bytes: 0 };
        block.add(bytes);
        block
    }

    /// The next block, which begins with the mark that ended this one.
    pub(crate) fn restart(&mut self, mark: &[u8]) {
        self.hasher.reset();
        self.waiting.clear();
        self.bytes = 0;
        self.add(mark);
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.waiting.len() + bytes.len() > BLOCK_BYTES {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
        self.waiting.extend_from_slice(bytes);
    }

    /// Whether a mark is due before so many bytes more.
    pub(crate) fn is_full(&self, more: usize) -> bool {
        self.bytes + more as u64 > BLOCK_BYTES as u64
    }

    /// The chain after what was added so far.
    pub(crate) fn chain(&mut self) -> Chain {
        self.hasher.update(&self.waiting);
        self.waiting.clear();
        self.hasher.clone().finalize().into()
    }
}
