//! Who owns an order, carried in its client order id.
//!
//! The venue sends the id back with every acceptance, so the log of the day, replayed after a crash, tells whose each
//! order is. Layout of the 14 characters, all letters and digits (OUCH 5.0, section 1.2):
//!
//! | offset | length | content |
//! |---|---|---|
//! | 0 | 6 | `TERN01`: ours, first layout |
//! | 6 | 4 | strategy id, upper-case hexadecimal |
//! | 10 | 4 | trader id, upper-case hexadecimal |

use tern_core::units::{StrategyId, TraderId};

use super::wire::Alpha;
use super::wire::ouch::ClOrdId;

const MARK: [u8; 6] = *b"TERN01";
const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Owner of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Strategy.
    pub strategy: StrategyId,
    /// Trader.
    pub trader: TraderId,
}

impl Attribution {
    /// The id of an order of this owner.
    #[inline]
    pub const fn cl_ord_id(self) -> ClOrdId {
        let [t, e, r, n, zero, one] = MARK;
        let [a, b, c, d] = hex(self.strategy.0);
        let [f, g, h, i] = hex(self.trader.0);
        Alpha([t, e, r, n, zero, one, a, b, c, d, f, g, h, i])
    }

    /// The owner that an id names; `None` for ids that are not of this layout.
    pub fn of(id: &ClOrdId) -> Option<Self> {
        let digits = id.0.strip_prefix(&MARK)?;
        let (strategy, trader) = digits.split_at_checked(4)?;
        Some(Self { strategy: StrategyId(number(strategy)?), trader: TraderId(number(trader)?) })
    }
}

const fn hex(number: u16) -> [u8; 4] {
    [
        DIGITS[(number >> 12) as usize & 0xF],
        DIGITS[(number >> 8) as usize & 0xF],
        DIGITS[(number >> 4) as usize & 0xF],
        DIGITS[number as usize & 0xF],
    ]
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |number, digit| {
        let value = DIGITS.iter().position(|known| known == digit)?;
        Some(number << 4 | value as u16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(strategy: u16, trader: u16) -> Attribution {
        Attribution { strategy: StrategyId(strategy), trader: TraderId(trader) }
    }

    #[test]
    fn ids_are_letters_and_digits_and_name_their_owner() {
        assert_eq!(&of(0x12, 0xBEEF).cl_ord_id().0, b"TERN010012BEEF");
        for (strategy, trader) in [(0, 0), (1, 2), (u16::MAX, 0), (0x0A0B, u16::MAX)] {
            let id = of(strategy, trader).cl_ord_id();
            assert!(id.0.iter().all(u8::is_ascii_alphanumeric));
            assert_eq!(Attribution::of(&id), Some(of(strategy, trader)));
        }
    }

    #[test]
    fn foreign_ids_have_no_owner() {
        for id in [b"TERN02000A000B", b"              ", b"TERN01000a000B", b"TERN01000 000B"] {
            assert_eq!(Attribution::of(&Alpha(*id)), None);
        }
    }
}
