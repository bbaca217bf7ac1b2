//! The control CLI.
