//! Strategies, a file each.
