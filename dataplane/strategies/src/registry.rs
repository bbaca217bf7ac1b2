//! The strategies by name: one line each in the list and one in the enum.

use crate::maker::Maker;
use crate::manual::Manual;
use crate::observe::Observe;
use crate::params::{Param, ParamError, Setup};
use crate::taker::Taker;
use alloc::string::ToString;
use tern_core::book::BookChange;
use tern_core::strategy::{Batch, Ctx, Intents, KeptState, OrderEvent, Strategy};
use tern_core::units::TaiNs;

/// A strategy that a configuration can name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    /// Makes one.
    pub make: fn(&Setup<'_>) -> Result<AnyStrategy, ParamError>,
}

macro_rules! registry {
    ($($name:literal => $kind:ident: $help:literal,)+) => {
        /// Any strategy of the registry, chosen at run time without a virtual call.
        #[derive(Debug)]
        pub enum AnyStrategy {
            $(#[doc = $help] $kind($kind),)+
        }

        /// Every strategy.
        pub const REGISTRY: &[Entry] = &[$(Entry {
            name: $name,
            help: $help,
            params: $kind::PARAMS,
            make: |setup| $kind::new(setup).map(AnyStrategy::$kind),
        },)+];

        impl Strategy for AnyStrategy {
            #[inline]
            fn on_book(&mut self, ctx: &Ctx<'_>, change: &BookChange, out: &mut Intents) {
                match self { $(Self::$kind(strategy) => strategy.on_book(ctx, change, out),)+ }
            }
            #[inline]
            fn on_batch_end(&mut self, ctx: &Ctx<'_>, batch: Batch, out: &mut Intents) {
                match self { $(Self::$kind(strategy) => strategy.on_batch_end(ctx, batch, out),)+ }
            }
            fn on_order(&mut self, ctx: &Ctx<'_>, event: &OrderEvent, out: &mut Intents) {
                match self { $(Self::$kind(strategy) => strategy.on_order(ctx, event, out),)+ }
            }
            fn on_timer(&mut self, ctx: &Ctx<'_>, out: &mut Intents) {
                match self { $(Self::$kind(strategy) => strategy.on_timer(ctx, out),)+ }
            }
            #[inline]
            fn next_deadline(&self) -> TaiNs {
                match self { $(Self::$kind(strategy) => strategy.next_deadline(),)+ }
            }
            fn restore(&mut self, state: &KeptState) {
                match self { $(Self::$kind(strategy) => strategy.restore(state),)+ }
            }
        }
    };
}

registry! {
    "maker" => Maker: "Quotes both sides round a fair price from the book's imbalance, skewed by what it holds.",
    "taker" => Taker: "Takes the side that the book's imbalance points to, and leaves again soon after.",
    "observe" => Observe: "Looks at everything and trades nothing.",
    "manual" => Manual: "Owns the orders that people send by hand, and wants nothing by itself.",
}

/// Makes the strategy called `name`.
///
/// # Errors
/// No strategy has the name, or a parameter does not fit.
pub fn make(name: &str, setup: &Setup<'_>) -> Result<AnyStrategy, ParamError> {
    let entry = REGISTRY.iter().find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| ParamError::Strategy { name: name.to_string() })?;
    (entry.make)(setup)
}
