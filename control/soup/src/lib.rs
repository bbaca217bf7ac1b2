//! The control side's own lines to a venue, over kernel TCP: SoupBinTCP 3.00, and of OUCH 5.0 what the venue says, the
//! cancel and the account query. Written from the specifications, without a line of the data plane's code.
//!
//! Nothing here can enter an order: what may be written is [`line::CancelLine`]'s cancels and queries, and a
//! [`line::CopyLine`] writes nothing but its login and heartbeats.
#![forbid(unsafe_code)]

mod answers;
pub mod line;
mod packets;

pub use answers::{Answer, Answers, Echo, Said};
