//! Nasdaq: TotalView-ITCH 5.0 over MoldUDP64 in, OUCH 5.0 over SoupBinTCP 3.00 out.
//!
//! What is implemented, and what was decided where the specifications leave doubt, is in `SPEC.md` beside this file.

pub mod itch_file;
pub mod wire;
