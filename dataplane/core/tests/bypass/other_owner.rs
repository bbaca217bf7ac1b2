//! A strategy asks in the name of another one.
use tern_core::strategy::Ctx;

fn pose(ctx: &mut Ctx<'_>) {
    ctx.owner = 2;
}

fn main() {}
