//! The journal as Parquet files: `TABLE/day=YYYY-MM-DD/SEGMENT.parquet`, a table a kind of record, a row a record
//! ([`tern_schema`]).
//!
//! A segment of the journal is exported whole or not at all: its files are written beside their names, then named, then
//! `export.json` says that it is done. So an export that ended in any way goes on where it was, and files that are there
//! hold each record once. The last segment, which may still grow, is written anew by every export.
//! `export.json` also says of which journal it is, and of which columns: another journal or another layout is refused.
#![forbid(unsafe_code)]

mod bound;
mod columns;
mod file;
mod run;
mod state;

pub use run::{Export, Report, Update};
pub use tern_schema::Selection;
