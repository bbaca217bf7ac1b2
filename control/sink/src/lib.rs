//! The journal in a store, live: the tables of [`tern_schema`], each record once.
//!
//! A sink is a process of its own that only reads the journal's files: nothing that it or its store does reaches who writes
//! them. The store keeps the [`Position`] with the rows, both or none; wherever a sink, or the store, ends, the next
//! connection asks the store how far it is and reads on from there. What is not on the journal's disk for sure is not stored,
//! so a store never has more than the journal. A store of another journal is refused. Why so: docs/adr/0032.
#![forbid(unsafe_code)]

mod follow;
mod nats;
mod position;
mod postgres;
mod run;
mod status;
mod store;

pub use follow::{Follow, Item, Taken};
pub use nats::{Nats, Replay, Replayed, Servers};
pub use position::{Position, checksum};
pub use postgres::Postgres;
pub use run::{Sink, Until};
pub use status::{CatchUp, Figures, Lag, State, Status, Telling, keep_signals, say, tell};
pub use store::{Store, StoreError};
