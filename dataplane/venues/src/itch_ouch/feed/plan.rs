//! The messages that make up nearly all of a day, decoded by table.
//!
//! A `match` on the type costs a mispredicted jump for most messages, as types follow each other at random: 13.2 ns a
//! message were measured, against 10.7 ns for a table on the same busy host (`benches/hot_path.rs`). So these eight types
//! are read by offsets, the same instructions for each; the offsets come from the structs of the wire layer.

use core::mem::offset_of;

use tern_abi::event::{BookEvent, EventKind, SIDE_BUY, SIDE_SELL, flags};

use crate::itch_ouch::wire::itch::{
    AddOrder, AddOrderMpid, Header, ItchMessage, OrderCancel, OrderDelete, OrderExecuted, OrderExecutedWithPrice,
    OrderReplace, Trade,
};

/// Where the fields of a type are.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// Bytes of the message; 0 says that the type is not decoded by table.
    pub(super) len: u8,
    /// What it becomes.
    kind: EventKind,
    order: Field,
    other: Field,
    price: Field,
    quantity: Field,
    /// Offset of the side, or of the type byte, which is never a side here.
    side_at: u8,
    /// Offset of the printable letter, or of the type byte, which is never `N` here.
    printable_at: u8,
}

/// Offset of a number; a number that a type does not have is read where the order is, and masked.
#[derive(Clone, Copy)]
struct Field {
    at: u8,
    mask: u8,
}

impl Field {
    const ABSENT: Self = Self { at: offset_of!(OrderDelete, order_reference_number) as u8, mask: 0 };

    const fn at(offset: usize) -> Self {
        Self { at: offset as u8, mask: 0xFF }
    }

    #[inline(always)]
    fn u64(self, bytes: &[u8]) -> Option<u64> {
        let field = bytes.get(usize::from(self.at)..)?.first_chunk()?;
        Some(u64::from_be_bytes(*field) & i64::from(self.mask.cast_signed()).cast_unsigned())
    }

    #[inline(always)]
    fn u32(self, bytes: &[u8]) -> Option<u32> {
        let field = bytes.get(usize::from(self.at)..)?.first_chunk()?;
        Some(u32::from_be_bytes(*field) & i32::from(self.mask.cast_signed()).cast_unsigned())
    }
}

const NONE: Plan = Plan {
    len: 0,
    kind: EventKind::Other,
    order: Field::ABSENT,
    other: Field::ABSENT,
    price: Field::ABSENT,
    quantity: Field::ABSENT,
    side_at: 0,
    printable_at: 0,
};

/// A plan for each type byte.
static PLANS: [Plan; 256] = plans();

#[inline(always)]
pub(super) fn plan_of(kind: u8) -> &'static Plan {
    &PLANS[usize::from(kind)]
}

/// The symbol of a message that names it; `None` for the types that do not.
pub(super) fn stock_of(bytes: &[u8]) -> Option<[u8; 8]> {
    let at = match *bytes.first()? {
        AddOrder::TYPE => offset_of!(AddOrder, stock),
        AddOrderMpid::TYPE => offset_of!(AddOrderMpid, stock),
        Trade::TYPE => offset_of!(Trade, stock),
        _ => return None,
    };
    bytes.get(at..)?.first_chunk().copied()
}

/// The stock locate of any message.
#[inline(always)]
pub(super) fn locate_of(bytes: &[u8]) -> Option<u16> {
    let field = bytes.get(offset_of!(Header, stock_locate)..)?.first_chunk()?;
    Some(u16::from_be_bytes(*field))
}

impl Plan {
    /// The event of a message of this plan; `None` when `bytes` are fewer than `len`.
    #[inline(always)]
    pub(super) fn event(&self, bytes: &[u8], instrument: u32) -> Option<BookEvent> {
        let timestamp = Field::at(offset_of!(Header, timestamp) - 2).u64(bytes)? << 16 >> 16;
        let side = *bytes.get(usize::from(self.side_at))?;
        let printable = *bytes.get(usize::from(self.printable_at))?;
        Some(BookEvent {
            order: self.order.u64(bytes)?,
            other: self.other.u64(bytes)?,
            price: i64::from(self.price.u32(bytes)?),
            venue_ns: timestamp,
            instrument,
            quantity: self.quantity.u32(bytes)?,
            // Another letter is no side; the book refuses such an order.
            side: SIDE_BUY * u8::from(side == b'B') + SIDE_SELL * u8::from(side == b'S'),
            flags: flags::NON_PRINTABLE * u16::from(printable == b'N'),
            ..BookEvent::new(self.kind)
        })
    }
}

/// A plan with the fields of a struct, by name.
macro_rules! plan {
    ($plans:ident, $message:ident => $kind:ident { $($field:ident: $name:ident),* } $($at:ident: $letter:ident)?) => {
        $plans[$message::TYPE as usize] = Plan {
            len: size_of::<$message>() as u8,
            kind: EventKind::$kind,
            $($field: Field::at(offset_of!($message, $name)),)*
            $($at: offset_of!($message, $letter) as u8,)?
            ..NONE
        };
    };
}

const fn plans() -> [Plan; 256] {
    let mut plans = [NONE; 256];
    plan!(plans, AddOrder => Add { order: order_reference_number, price: price, quantity: shares }
        side_at: buy_sell_indicator);
    plan!(plans, AddOrderMpid => Add { order: order_reference_number, price: price, quantity: shares }
        side_at: buy_sell_indicator);
    plan!(plans, OrderExecuted => Execute {
        order: order_reference_number, other: match_number, quantity: executed_shares
    });
    plan!(plans, OrderExecutedWithPrice => ExecuteAtPrice {
        order: order_reference_number, other: match_number, price: execution_price, quantity: executed_shares
    } printable_at: printable);
    plan!(plans, OrderCancel => Reduce { order: order_reference_number, quantity: cancelled_shares });
    plan!(plans, OrderDelete => Delete { order: order_reference_number });
    plan!(plans, OrderReplace => Replace {
        order: original_order_reference_number, other: new_order_reference_number, price: price, quantity: shares
    });
    plan!(plans, Trade => Trade { other: match_number, price: price, quantity: shares } side_at: buy_sell_indicator);
    plans
}
