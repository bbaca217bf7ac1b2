//! An approval is taken out of where it waits, and something else left in its place.
use tern_core::risk::Approved;

fn twice(waiting: &mut Approved) -> [Approved; 2] {
    [std::mem::take(waiting), std::mem::take(waiting)]
}

fn behind(waiting: &Approved) -> Approved {
    *waiting
}

fn main() {}
