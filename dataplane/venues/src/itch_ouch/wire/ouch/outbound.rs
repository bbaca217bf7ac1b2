//! Section 3: messages from the venue, sequenced by SoupBinTCP. Times are nanoseconds since midnight.

use zerocopy::big_endian::{U16, U32, U64};

use super::{ClOrdId, messages};
use crate::itch_ouch::wire::Alpha;

messages! {
    /// A message from the venue, borrowed from the input.
    enum Outbound;

    /// 3.1 System Event.
    SystemEvent b'S' 10 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: see [`SystemEventCode`](super::SystemEventCode).
        event_code: u8,
    }

    /// 3.2 Order Accepted.
    OrderAccepted b'A' 62 + Appendage {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: as entered.
        user_ref_num: U32,
        /// Offset 13: as entered.
        side: u8,
        /// Offset 14: shares accepted.
        quantity: U32,
        /// Offset 18: as entered.
        symbol: Alpha<8>,
        /// Offset 26: accepted price, equal to the entered one or better.
        price: U64,
        /// Offset 34: accepted time in force, equal to the entered one or shorter.
        time_in_force: u8,
        /// Offset 35: accepted display; `Z` conformant too.
        display: u8,
        /// Offset 36: the venue's reference of the order, as on the market data feed.
        order_reference_number: U64,
        /// Offset 44: as entered.
        capacity: u8,
        /// Offset 45: `Y` or `N`.
        intermarket_sweep_eligibility: u8,
        /// Offset 46: as entered.
        cross_type: u8,
        /// Offset 47: see [`OrderState`](super::OrderState).
        order_state: u8,
        /// Offset 48: as entered.
        cl_ord_id: ClOrdId,
    }

    /// 3.3 Order Replaced.
    OrderReplaced b'U' 66 + Appendage {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order that ended.
        orig_user_ref_num: U32,
        /// Offset 13: the replacement.
        user_ref_num: U32,
        /// Offset 17: side of the chain's first order.
        side: u8,
        /// Offset 18: shares open after the replacement.
        quantity: U32,
        /// Offset 22: symbol.
        symbol: Alpha<8>,
        /// Offset 30: accepted price, equal to the entered one or better.
        price: U64,
        /// Offset 38: accepted time in force.
        time_in_force: u8,
        /// Offset 39: accepted display.
        display: u8,
        /// Offset 40: the venue's reference of the replacement.
        order_reference_number: U64,
        /// Offset 48: of the chain's first order.
        capacity: u8,
        /// Offset 49: `Y` or `N`.
        intermarket_sweep_eligibility: u8,
        /// Offset 50: as entered.
        cross_type: u8,
        /// Offset 51: see [`OrderState`](super::OrderState).
        order_state: u8,
        /// Offset 52: of the replacement.
        cl_ord_id: ClOrdId,
    }

    /// 3.4 Order Canceled, in part or in full.
    OrderCanceled b'C' 18 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order.
        user_ref_num: U32,
        /// Offset 13: shares taken off, not cumulative.
        quantity: U32,
        /// Offset 17: see [`CancelReason`](super::CancelReason).
        reason: u8,
    }

    /// 3.5 AIQ Canceled: self match prevention.
    AiqCanceled b'D' 32 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order.
        user_ref_num: U32,
        /// Offset 13: shares taken off, not cumulative.
        decrement_shares: U32,
        /// Offset 17: always `Q`.
        reason: u8,
        /// Offset 18: shares that would have traded.
        quantity_prevented_from_trading: U32,
        /// Offset 22: price that they would have traded at.
        execution_price: U64,
        /// Offset 30: appendix E.
        liquidity_flag: u8,
        /// Offset 31: strategy of the canceled order.
        aiq_strategy: u8,
    }

    /// 3.6 Order Executed, in part or in full.
    OrderExecuted b'E' 34 + Appendage {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order.
        user_ref_num: U32,
        /// Offset 13: shares executed, not cumulative.
        quantity: U32,
        /// Offset 17: price of the execution.
        price: U64,
        /// Offset 25: appendix E.
        liquidity_flag: u8,
        /// Offset 26: number of the match, shared by both sides.
        match_number: U64,
    }

    /// 3.7 Broken Trade.
    BrokenTrade b'B' 36 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order.
        user_ref_num: U32,
        /// Offset 13: the match that is broken.
        match_number: U64,
        /// Offset 21: see [`BrokenTradeReason`](super::BrokenTradeReason).
        reason: u8,
        /// Offset 22: of the order.
        cl_ord_id: ClOrdId,
    }

    /// 3.8 Rejected, in answer to an enter or a replace.
    Rejected b'J' 29 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the transaction, consumed.
        user_ref_num: U32,
        /// Offset 13: see [`RejectReason`](super::RejectReason).
        reason: U16,
        /// Offset 15: of the transaction.
        cl_ord_id: ClOrdId,
    }

    /// 3.9 Cancel Pending: the rest will be canceled right after the cross.
    CancelPending b'P' 13 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order.
        user_ref_num: U32,
    }

    /// 3.10 Cancel Reject: no partial cancel now, none scheduled.
    CancelReject b'I' 13 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order.
        user_ref_num: U32,
    }

    /// 3.11 Order Priority Update.
    OrderPriorityUpdate b'T' 30 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order.
        user_ref_num: U32,
        /// Offset 13: limit price.
        price: U64,
        /// Offset 21: new display.
        display: u8,
        /// Offset 22: new reference of the order.
        order_reference_number: U64,
    }

    /// 3.12 Order Modified.
    OrderModified b'M' 18 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order.
        user_ref_num: U32,
        /// Offset 13: as asked for.
        side: u8,
        /// Offset 14: shares open.
        quantity: U32,
    }

    /// 3.13 Order Restated.
    OrderRestated b'R' 14 + Appendage {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the order.
        user_ref_num: U32,
        /// Offset 13: see [`RestatedReason`](super::RestatedReason).
        reason: u8,
    }

    /// 3.14 Account Query Response.
    AccountQueryResponse b'Q' 13 {
        /// Offset 1.
        timestamp: U64,
        /// Offset 9: the lowest UserRefNum that can be used.
        next_user_ref_num: U32,
    }
}
