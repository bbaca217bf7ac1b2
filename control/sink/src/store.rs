//! What a store is to the follower: it says how far it is, takes rows, and makes them and its position last at once.

use tern_schema::{Table, Value};

use crate::follow::Item;
use crate::position::Position;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or not now: it is asked again.
    #[error("{0:#}")]
    Gone(anyhow::Error),
    /// It will not, however often it is asked.
    #[error("{0:#}")]
    Refused(anyhow::Error),
}

/// Where records go.
pub trait Store {
    /// What it is, as messages name it; without a password.
    fn name(&self) -> String;

    /// Connects anew, forgets what is not stored, and says how far it is.
    ///
    /// # Errors
    /// It does not answer; it is not what this build would make, or of another journal.
    fn resume(&mut self) -> Result<Position, StoreError>;

    /// The record with which the next batch must end, where the store has a part of it already.
    fn must_end_at(&self) -> Option<u64> {
        None
    }

    /// Takes a row, in memory.
    ///
    /// # Errors
    /// The row cannot be stored.
    fn take(&mut self, table: &'static Table, item: &Item<'_>, row: &[Value<'_>]) -> Result<(), StoreError>;

    /// Bytes that are taken and not stored.
    fn waiting_bytes(&self) -> usize;

    /// Stores what was taken, and that it is up to `position`, both or none. After an error nobody knows which:
    /// [`resume`](Self::resume) tells.
    ///
    /// # Errors
    /// It does not answer; somebody else stored something since.
    fn commit(&mut self, position: &Position) -> Result<(), StoreError>;
}
