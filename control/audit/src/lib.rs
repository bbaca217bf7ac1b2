//! The second opinion: from the journal alone, and without a line of the data plane's code, it recomputes orders,
//! positions and limits, and names everything in which the gate, the orders' records and the venue do not agree.
//!
//! [`Audit`] is fed record by record. What an order record says is core's word; what the venue's answers echo (id, side,
//! shares, symbol, price) is the witness of what left. ADR 0009 says who witnesses what.
#![forbid(unsafe_code)]

mod audit;
mod copy;
mod exposure;
mod finding;
mod ledger;
mod limits;
mod opening;
mod orders;

pub use audit::{Audit, Counts};
pub use copy::{Copy, Difference};
pub use finding::{Disagreement, Finding};
