//! The pinned loop: rings, decode, book, strategy, gate, order bytes, wire.
