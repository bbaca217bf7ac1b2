//! The metrics, a file a room.

pub mod book;
pub mod decode;
pub mod encode;

use crate::harness::{Plan, Row};

/// Runs a metric.
pub type Run = fn(Plan) -> Vec<Row>;

/// Every metric, in the order of a packet's path.
pub const ALL: &[(&str, Run)] = &[
    ("itch_decode", decode::itch_decode),
    ("book_full_depth", book::book_full_depth),
    ("book_real_day", book::book_real_day),
    ("ouch_encode", encode::ouch_encode),
];
