//! The control CLI.
#![forbid(unsafe_code)]

pub mod fold;
