//! Planted lies: in each journal the gate, the records or the venue are wrong in one way, and that is what is named.

mod answers;
mod bounds;
mod by_hand;
#[path = "../common/mod.rs"]
mod common;
mod honest;
mod state;

use common::{BUY, Day, Planted, money, new};
use tern_abi::record::OrderRecord;
use tern_audit::Disagreement as Lie;

const SET_QUANTITY: u32 = 0;

/// What stands for a price in a cross.
const MARKET: i64 = 0x7FFF_FFFF;

/// A buy of 10 at a price in a symbol.
fn priced(id: u32, symbol: &[u8; 8], price: i64) -> OrderRecord {
    OrderRecord { price, symbol: *symbol, ..new(id, BUY, 10) }
}

/// Every lie there is.
fn all() -> impl Iterator<Item = &'static Planted> {
    [bounds::LIES, state::LIES, answers::LIES, by_hand::LIES, money::LIES].into_iter().flatten()
}

#[test]
fn every_planted_lie_is_found_and_named_and_nothing_else_is() {
    for (name, lie, plant) in all() {
        let mut day = Day::new();
        plant(&mut day);
        let (counts, found) = day.audited();
        assert!(!found.is_empty(), "{name}: not found");
        assert!(found.iter().all(|finding| finding.what == *lie), "{name}: {found:?}");
        assert_eq!(counts.disagreements, found.len() as u64, "{name}");
    }
}

#[test]
fn every_disagreement_has_a_lie_that_shows_it() {
    let missing: Vec<_> = Lie::ALL.iter().filter(|what| !all().any(|(_, lie, _)| lie == *what)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
