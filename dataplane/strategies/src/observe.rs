//! Looks at everything and trades nothing: for recording, and for comparing books.

use crate::params::{Param, ParamError, Setup};
use tern_core::book::BookChange;
use tern_core::strategy::{Batch, Ctx, Intents, OrderEvent, Strategy};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Observe {
    /// Changes seen.
    pub changes: u64,
    /// Changes of a best level.
    pub top_changes: u64,
    /// Prints seen.
    pub trades: u64,
    /// Batches seen.
    pub batches: u64,
}

impl Observe {
    /// Parameters: none.
    pub const PARAMS: &'static [Param] = &[];

    /// Makes one.
    ///
    /// # Errors
    /// A parameter was given: it has none.
    pub fn new(setup: &Setup<'_>) -> Result<Self, ParamError> {
        setup.params.read(&[]).map(|[]| Self::default())
    }
}

impl Strategy for Observe {
    #[inline]
    fn on_book(&mut self, _: &Ctx<'_>, change: &BookChange, _: &mut Intents) {
        self.changes += 1;
        self.top_changes += u64::from(change.top_changed);
        self.trades += u64::from(change.traded.is_some());
    }
    #[inline]
    fn on_batch_end(&mut self, _: &Ctx<'_>, _: Batch, _: &mut Intents) {
        self.batches += 1;
    }
    fn on_order(&mut self, _: &Ctx<'_>, _: &OrderEvent, _: &mut Intents) {}
    fn on_timer(&mut self, _: &Ctx<'_>, _: &mut Intents) {}
}
