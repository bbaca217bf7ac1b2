//! Section 2: messages to the venue. They are not sequenced and may be repeated benignly.

use zerocopy::big_endian::{U32, U64};

use super::{ClOrdId, OuchMessage, messages};
use crate::itch_ouch::wire::Alpha;

messages! {
    /// A message to the venue, borrowed from the input.
    enum Inbound;

    /// 2.1 Enter Order.
    EnterOrder b'O' 45 + Appendage {
        /// Offset 1: new transaction.
        user_ref_num: U32,
        /// Offset 5: see [`Side`](super::Side).
        side: u8,
        /// Offset 6: shares, 1 to 999,999.
        quantity: U32,
        /// Offset 10: symbol.
        symbol: Alpha<8>,
        /// Offset 18: see [`PriceMeaning`](super::PriceMeaning).
        price: U64,
        /// Offset 26: see [`TimeInForce`](super::TimeInForce).
        time_in_force: u8,
        /// Offset 27: see [`Display`](super::Display).
        display: u8,
        /// Offset 28: see [`Capacity`](super::Capacity).
        capacity: u8,
        /// Offset 29: `Y` or `N`.
        intermarket_sweep_eligibility: u8,
        /// Offset 30: see [`CrossType`](super::CrossType).
        cross_type: u8,
        /// Offset 31: customer order identifier.
        cl_ord_id: ClOrdId,
    }

    /// 2.2 Replace Order Request.
    ReplaceOrder b'U' 38 + Appendage {
        /// Offset 1: the order that is to end.
        orig_user_ref_num: U32,
        /// Offset 5: the replacement.
        user_ref_num: U32,
        /// Offset 9: total shares liable of the whole chain, executed ones included.
        quantity: U32,
        /// Offset 13: see [`PriceMeaning`](super::PriceMeaning).
        price: U64,
        /// Offset 21: see [`TimeInForce`](super::TimeInForce).
        time_in_force: u8,
        /// Offset 22: see [`Display`](super::Display).
        display: u8,
        /// Offset 23: `Y` or `N`.
        intermarket_sweep_eligibility: u8,
        /// Offset 24: customer order identifier of the replacement.
        cl_ord_id: ClOrdId,
    }

    /// 2.3 Cancel Order Request.
    CancelOrder b'X' 9 {
        /// Offset 1: the order.
        user_ref_num: U32,
        /// Offset 5: intended order size; 0 cancels all that is open.
        quantity: U32,
    }

    /// 2.4 Modify Order Request.
    ModifyOrder b'M' 10 {
        /// Offset 1: the order.
        user_ref_num: U32,
        /// Offset 5: new side; only S to E, S to T and E to T are allowed.
        side: u8,
        /// Offset 6: intended order size; 0 cancels all that is open.
        quantity: U32,
    }

    /// 2.5 Account Query Request.
    AccountQuery b'Q' 1 {}
}

impl CancelOrder {
    /// A request to leave `quantity` shares of an order in total; 0 for none.
    #[inline]
    pub const fn new(user_ref_num: u32, quantity: u32) -> Self {
        Self { kind: Self::TYPE, user_ref_num: U32::new(user_ref_num), quantity: U32::new(quantity) }
    }
}

impl AccountQuery {
    /// The request for the next UserRefNum.
    pub const NEW: Self = Self { kind: Self::TYPE };
}
