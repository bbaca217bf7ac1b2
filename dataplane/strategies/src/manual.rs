//! Owns the orders that people send by hand (`tern order send`): its id, trader and limits are theirs. By itself it wants nothing.

use crate::params::{Param, ParamError, Setup};
use tern_core::book::BookChange;
use tern_core::strategy::{Batch, Ctx, Intents, OrderEvent, Strategy};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Manual;

impl Manual {
    /// Its name in the configuration.
    pub const NAME: &'static str = "manual";
    /// Parameters: none.
    pub const PARAMS: &'static [Param] = &[];

    /// Makes one.
    ///
    /// # Errors
    /// A parameter was given: it has none.
    pub fn new(setup: &Setup<'_>) -> Result<Self, ParamError> {
        setup.params.read(&[]).map(|[]| Self)
    }
}

impl Strategy for Manual {
    #[inline]
    fn on_book(&mut self, _: &Ctx<'_>, _: &BookChange, _: &mut Intents) {}
    #[inline]
    fn on_batch_end(&mut self, _: &Ctx<'_>, _: Batch, _: &mut Intents) {}
    fn on_order(&mut self, _: &Ctx<'_>, _: &OrderEvent, _: &mut Intents) {}
    fn on_timer(&mut self, _: &Ctx<'_>, _: &mut Intents) {}
}
