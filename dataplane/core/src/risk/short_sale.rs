//! Short sales (Regulation SHO): what may be borrowed, and at which price a symbol under Rule 201 may be sold.

use super::Reason;
use super::bounds::Bounds;
use super::gate::Gate;
use super::question::Refusal;
use crate::book::Books;
use crate::units::{InstrumentId, Price};

/// Rule 201 is in force: since today, since yesterday (ITCH 5.0, 1.2.3: `1` and `2`).
const IN_FORCE: [u8; 2] = [b'1', b'2'];

impl Gate {
    /// Whether a short sale may be sent that adds `more` shares: `worst` is what would be short then, with every open sale
    /// filled. The best bid is that of this venue.
    pub(super) fn check_short(
        &self,
        (instrument, price): (InstrumentId, Price),
        (more, worst): (i64, i64),
        bounds: &Bounds,
        books: &Books,
    ) -> Result<(), Refusal> {
        if more > 0 && worst > bounds.short_max {
            return Err(Refusal { reason: Reason::NotLocated, limit: bounds.short_max, value: worst });
        }
        if !IN_FORCE.contains(&books.status(instrument).short_sale) {
            return Ok(());
        }
        match books.top(instrument).bid {
            // A market order may trade at any price.
            Some(bid) if price <= bid.price || price.is_market() => {
                Err(Refusal { reason: Reason::ShortSalePrice, limit: bid.price.0, value: price.0 })
            }
            _ => Ok(()),
        }
    }
}
