//! The trading core: pure, no I/O, no clock, no allocation after start.
