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

/// Where the fields of a type are. The type decides what an instruction reads, never which instruction comes next.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    order: Head,
    other: Wide,
    price: Narrow,
    quantity: Narrow,
    /// Bytes of the message; 0 says that the type is not decoded by table.
    pub(super) len: u8,
    /// What it becomes.
    kind: EventKind,
    letter: Letter,
}

/// Where every type by table has eight bytes that are its order or nothing that is asked for.
const HEAD_AT: usize = offset_of!(OrderDelete, order_reference_number);
/// Bytes that every type by table has.
const HEAD_BYTES: usize = HEAD_AT + 8;

/// The order: always at the same place, so that one look at the length is enough for it and all that lies before.
#[derive(Clone, Copy)]
struct Head {
    mask: u64,
}

/// A number of eight bytes. One that a type does not have is read where the order is, and masked.
#[derive(Clone, Copy)]
struct Wide {
    mask: u64,
    at: u8,
}

/// The same of four bytes.
#[derive(Clone, Copy)]
struct Narrow {
    mask: u32,
    at: u8,
}

/// The one letter of a type: its side, or whether the execution is printed.
#[derive(Clone, Copy)]
struct Letter {
    at: u8,
    /// All bits when it is a side.
    side: u8,
    /// All bits when it says what is printed.
    printable: u16,
}

impl Letter {
    const ABSENT: Self = Self { at: 0, side: 0, printable: 0 };

    const fn side(offset: usize) -> Self {
        Self { at: offset as u8, side: u8::MAX, printable: 0 }
    }

    const fn printable(offset: usize) -> Self {
        Self { at: offset as u8, side: 0, printable: u16::MAX }
    }

    /// The side: another letter is none, and the book refuses such an order.
    #[inline(always)]
    fn side_of(self, letter: u8) -> u8 {
        (SIDE_BUY * u8::from(letter == b'B') + SIDE_SELL * u8::from(letter == b'S')) & self.side
    }

    #[inline(always)]
    fn flags_of(self, letter: u8) -> u16 {
        (flags::NON_PRINTABLE * u16::from(letter == b'N')) & self.printable
    }
}

impl Head {
    const ABSENT: Self = Self { mask: 0 };

    const fn at(offset: usize) -> Self {
        assert!(offset == HEAD_AT);
        Self { mask: u64::MAX }
    }
}

impl Wide {
    const ABSENT: Self = Self { at: HEAD_AT as u8, mask: 0 };

    const fn at(offset: usize) -> Self {
        Self { at: offset as u8, mask: u64::MAX }
    }

    #[inline(always)]
    fn of(self, bytes: &[u8]) -> Option<u64> {
        let at = usize::from(self.at);
        let field = bytes.get(at..at + 8)?.first_chunk()?;
        Some(u64::from_be_bytes(*field) & self.mask)
    }
}

impl Narrow {
    const ABSENT: Self = Self { at: HEAD_AT as u8, mask: 0 };

    const fn at(offset: usize) -> Self {
        Self { at: offset as u8, mask: u32::MAX }
    }

    #[inline(always)]
    fn of(self, bytes: &[u8]) -> Option<u32> {
        let at = usize::from(self.at);
        let field = bytes.get(at..at + 4)?.first_chunk()?;
        Some(u32::from_be_bytes(*field) & self.mask)
    }
}

const NONE: Plan = Plan {
    order: Head::ABSENT,
    other: Wide::ABSENT,
    price: Narrow::ABSENT,
    quantity: Narrow::ABSENT,
    len: 0,
    kind: EventKind::Other,
    letter: Letter::ABSENT,
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

/// The first bytes of a message by table, and its plan; `None` when it has another length than its type, or none.
#[inline(always)]
pub(super) fn head_of(bytes: &[u8]) -> Option<(&[u8; HEAD_BYTES], &'static Plan)> {
    let head = bytes.first_chunk::<HEAD_BYTES>()?;
    let plan = plan_of(head[0]);
    if bytes.len() == usize::from(plan.len) { Some((head, plan)) } else { None }
}

/// The stock locate of a message.
#[inline(always)]
pub(super) fn locate_of(head: &[u8; HEAD_BYTES]) -> u16 {
    const AT: usize = offset_of!(Header, stock_locate);
    u16::from_be_bytes([head[AT], head[AT + 1]])
}

/// Eight bytes of the head.
#[inline(always)]
fn eight<const AT: usize>(head: &[u8; HEAD_BYTES]) -> Option<u64> {
    head.get(AT..)?.first_chunk().map(|field| u64::from_be_bytes(*field))
}

impl Plan {
    /// The event of a message of this plan, with `flags` beside its own; `None` when `bytes` are fewer than `len`.
    #[inline(always)]
    pub(super) fn event(
        &self,
        head: &[u8; HEAD_BYTES],
        bytes: &[u8],
        instrument: u32,
        flags: u16,
    ) -> Option<BookEvent> {
        const TIME_AT: usize = offset_of!(Header, timestamp) - 2;
        let letter = *bytes.get(usize::from(self.letter.at))?;
        Some(BookEvent {
            order: eight::<HEAD_AT>(head)? & self.order.mask,
            other: self.other.of(bytes)?,
            price: i64::from(self.price.of(bytes)?),
            venue_ns: eight::<TIME_AT>(head)? << 16 >> 16,
            instrument,
            quantity: self.quantity.of(bytes)?,
            side: self.letter.side_of(letter),
            flags: flags | self.letter.flags_of(letter),
            ..BookEvent::new(self.kind)
        })
    }
}

/// A plan with the fields of a struct, by name.
macro_rules! plan {
    (@order $at:expr) => { Head::at($at) };
    (@other $at:expr) => { Wide::at($at) };
    (@price $at:expr) => { Narrow::at($at) };
    (@quantity $at:expr) => { Narrow::at($at) };
    ($plans:ident, $message:ident => $kind:ident { $($field:ident: $name:ident),* } $($at:ident: $letter:ident)?) => {
        let plan = &mut $plans[$message::TYPE as usize];
        plan.len = size_of::<$message>() as u8;
        plan.kind = EventKind::$kind;
        $(plan.$field = plan!(@$field offset_of!($message, $name));)*
        $(plan.letter = Letter::$at(offset_of!($message, $letter));)?
    };
}

const fn plans() -> [Plan; 256] {
    let mut plans = [NONE; 256];
    plan!(plans, AddOrder => Add { order: order_reference_number, price: price, quantity: shares }
        side: buy_sell_indicator);
    plan!(plans, AddOrderMpid => Add { order: order_reference_number, price: price, quantity: shares }
        side: buy_sell_indicator);
    plan!(plans, OrderExecuted => Execute {
        order: order_reference_number, other: match_number, quantity: executed_shares
    });
    plan!(plans, OrderExecutedWithPrice => ExecuteAtPrice {
        order: order_reference_number, other: match_number, price: execution_price, quantity: executed_shares
    } printable: printable);
    plan!(plans, OrderCancel => Reduce { order: order_reference_number, quantity: cancelled_shares });
    plan!(plans, OrderDelete => Delete { order: order_reference_number });
    plan!(plans, OrderReplace => Replace {
        order: original_order_reference_number, other: new_order_reference_number, price: price, quantity: shares
    });
    plan!(plans, Trade => Trade { other: match_number, price: price, quantity: shares } side: buy_sell_indicator);
    plans
}
