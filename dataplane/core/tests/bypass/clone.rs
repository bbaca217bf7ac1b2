//! An approval is cloned.
use tern_core::risk::Approved;

fn twice(approved: Approved) -> [Approved; 2] {
    [approved.clone(), approved]
}

fn main() {}
