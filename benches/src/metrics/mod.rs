//! The metrics, a file a room.

pub mod book;
pub mod burst;
pub mod decode;
pub mod encode;
pub mod journal;
pub mod memory;
pub mod query;
pub mod recovery;
pub mod ring;
pub mod risk;
pub mod sustained;
pub mod tick;
pub mod underload;
pub mod wire;

use crate::harness::{Plan, Row};

/// Runs a metric.
pub type Run = fn(Plan) -> Vec<Row>;

/// Every metric, in the order of a packet's path.
pub const ALL: &[(&str, Run)] = &[
    ("memory_wait", memory::memory_wait),
    ("itch_decode", decode::itch_decode),
    ("book_full_depth", book::book_full_depth),
    ("book_real_day", book::book_real_day),
    ("risk_check", risk::risk_check),
    ("ouch_encode", encode::ouch_encode),
    ("journal_append", journal::journal_append),
    ("journal_sustained", sustained::journal_sustained),
    ("recovery", recovery::recovery),
    ("journal_query", query::journal_query),
    ("ring_hop", ring::ring_hop),
    ("tick_to_order", tick::tick_to_order),
    ("loop_under_load", underload::loop_under_load),
    ("wire_to_wire", wire::wire_to_wire),
    ("burst", burst::burst),
    ("stress", burst::stress),
];
