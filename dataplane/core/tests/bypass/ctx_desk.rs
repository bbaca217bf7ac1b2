//! A strategy reaches through its context for the desk.
use tern_core::book::BookChange;
use tern_core::strategy::{Batch, Ctx, Intents, OrderEvent, Strategy};

struct Sly;

impl Strategy for Sly {
    fn on_book(&mut self, ctx: &Ctx<'_>, _: &BookChange, _: &mut Intents) {
        let _ = ctx.desk;
    }
    fn on_batch_end(&mut self, _: &Ctx<'_>, _: Batch, _: &mut Intents) {}
    fn on_order(&mut self, _: &Ctx<'_>, _: &OrderEvent, _: &mut Intents) {}
    fn on_timer(&mut self, _: &Ctx<'_>, _: &mut Intents) {}
}

fn main() {}
