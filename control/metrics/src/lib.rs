//! Metrics: one table of all families ([`table`]), the alert rules on them ([`rules`]), and what is made from both: the text
//! that scrapers read ([`text`]), docs/METRICS.md ([`page`]), the rules file with its tests, the Grafana dashboard
//! ([`dashboard`]), and what the page for people asks for ([`live`]).
//!
//! What is measured stays where it was measured: the segment's words, and the facts files of the run folder. This crate reads
//! and writes nothing of an instance.
#![forbid(unsafe_code)]

pub mod dashboard;
mod fixed;
pub mod live;
mod loop_counters;
pub mod made;
pub mod page;
pub mod panel;
mod promtool;
pub mod rules;
mod rules_table;
pub mod seen;
pub mod sinks;
pub mod table;
pub mod text;
mod values;
