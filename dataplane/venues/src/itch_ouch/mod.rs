//! Nasdaq: TotalView-ITCH 5.0 over MoldUDP64 in, OUCH 5.0 over SoupBinTCP 3.00 out.
//!
//! What is implemented, and what was decided where the specifications leave doubt, is in `SPEC.md` beside this file.

mod cl_ord_id;
mod feed;
pub mod itch_file;
mod session;
pub mod wire;

pub use cl_ord_id::Attribution;
pub use feed::ItchFeed;
pub use session::{HEARTBEAT_NS, OuchConfig, OuchSession, SILENCE_NS};
