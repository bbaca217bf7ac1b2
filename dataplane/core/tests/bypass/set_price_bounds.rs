//! A strategy widens the bounds of a symbol's price.
use tern_core::pipeline::Desk;
use tern_core::units::{Price, Symbol};

fn widen(desk: &Desk, symbol: Symbol) {
    desk.gate().set_price_bounds(symbol, (Price(1), Price(1_999_999_900)));
}

fn main() {}
