//! Orders as bytes: one OUCH message in one SoupBinTCP packet, ready for TCP.

use tern_core::session::{EncodeError, OrderAction, OrderView, TimeInForce};
use tern_core::units::{Price, Quantity, Side};
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::itch_ouch::Attribution;
use crate::itch_ouch::wire::ouch::{
    self, CancelOrder, Capacity, CrossType, Display, EnterOrder, LIMIT_PRICE_MAX, MARKET_PRICE, OptionTag, OuchMessage,
    QUANTITY_LIMIT, ReplaceOrder,
};
use crate::itch_ouch::wire::{Alpha, soup};

/// A message without options in its packet.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Framed<M> {
    soup: soup::Header,
    message: M,
    appendage_length: U16,
}

/// Bytes of a minimum quantity as an option, behind a [`Framed`] message.
const MIN_QTY_BYTES: usize = 6;

/// Post only as an option, behind a [`Framed`] message.
const POST_ONLY: [u8; 3] = [2, OptionTag::PostOnly.byte(), b'P'];

/// A cancel in its packet.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FramedCancel {
    soup: soup::Header,
    message: CancelOrder,
}

/// What all orders of a session have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    capacity: Capacity,
}

impl Template {
    pub(super) const fn new(capacity: Capacity) -> Self {
        Self { capacity }
    }

    #[inline]
    pub(super) fn encode(&self, order: &OrderView, buf: &mut [u8]) -> Result<usize, EncodeError> {
        let cl_ord_id = Attribution { strategy: order.strategy, trader: order.trader }.cl_ord_id();
        match order.action {
            OrderAction::New { order: id } => {
                let message = EnterOrder {
                    kind: EnterOrder::TYPE,
                    user_ref_num: U32::new(id.0),
                    side: side(order),
                    quantity: quantity(order.quantity)?,
                    symbol: Alpha(order.symbol.0),
                    price: if order.time_in_force.is_cross() { cross_price(order.price) } else { price(order.price) }?,
                    time_in_force: time_in_force(order),
                    display: Display::Visible.byte(),
                    capacity: self.capacity.byte(),
                    intermarket_sweep_eligibility: b'N',
                    cross_type: cross_type(order),
                    cl_ord_id,
                };
                if order.min_quantity != 0 {
                    return write_with_minimum(message, order, buf);
                }
                write(message, order.post_only, buf)
            }
            OrderAction::Replace { previous, order: id } => {
                let message = ReplaceOrder {
                    kind: ReplaceOrder::TYPE,
                    orig_user_ref_num: U32::new(previous.0),
                    user_ref_num: U32::new(id.0),
                    quantity: quantity(order.quantity)?,
                    price: price(order.price)?,
                    time_in_force: time_in_force(order),
                    display: Display::Visible.byte(),
                    intermarket_sweep_eligibility: b'N',
                    cl_ord_id,
                };
                write(message, order.post_only, buf)
            }
            OrderAction::Cancel { order: id } | OrderAction::Reduce { order: id } => {
                if order.quantity >= QUANTITY_LIMIT {
                    return Err(EncodeError::Quantity);
                }
                let packet = FramedCancel {
                    soup: header(size_of::<CancelOrder>()),
                    message: CancelOrder::new(id.0, order.quantity),
                };
                put(buf, packet.as_bytes())
            }
        }
    }
}

#[inline(always)]
fn write<M: IntoBytes + Immutable + Unaligned>(
    message: M,
    post_only: bool,
    buf: &mut [u8],
) -> Result<usize, EncodeError> {
    let appendage_bytes = if post_only { POST_ONLY.len() } else { 0 };
    let packet = Framed {
        soup: header(size_of::<M>() + size_of::<U16>() + appendage_bytes),
        message,
        appendage_length: U16::new(appendage_bytes as u16),
    };
    let length = put(buf, packet.as_bytes())?;
    if post_only {
        return Ok(length + put(&mut buf[length..], &POST_ONLY)?);
    }
    Ok(length)
}

/// A minimum quantity goes with nothing else: an order that has to trade at once cannot be post only.
#[cold]
fn write_with_minimum(message: EnterOrder, order: &OrderView, buf: &mut [u8]) -> Result<usize, EncodeError> {
    if order.post_only || order.min_quantity > order.quantity {
        return Err(EncodeError::Quantity);
    }
    let packet = Framed {
        soup: header(size_of::<EnterOrder>() + size_of::<U16>() + MIN_QTY_BYTES),
        message,
        appendage_length: U16::new(MIN_QTY_BYTES as u16),
    };
    let mut option = [5, OptionTag::MinQty.byte(), 0, 0, 0, 0];
    option[2..].copy_from_slice(&order.min_quantity.to_be_bytes());
    let length = put(buf, packet.as_bytes())?;
    Ok(length + put(&mut buf[length..], &option)?)
}

#[inline(always)]
const fn header(payload_bytes: usize) -> soup::Header {
    soup::Header::new(soup::kind::UNSEQUENCED_DATA, payload_bytes as u16)
}

#[inline(always)]
fn put(buf: &mut [u8], bytes: &[u8]) -> Result<usize, EncodeError> {
    buf.get_mut(..bytes.len()).ok_or(EncodeError::NoRoom)?.copy_from_slice(bytes);
    Ok(bytes.len())
}

/// The price of an order for a cross: a limit, or what says market.
#[cold]
fn cross_price(limit: Price) -> Result<U64, EncodeError> {
    if limit.is_market() { Ok(U64::new(MARKET_PRICE)) } else { price(limit) }
}

/// Outside of crosses a price is a limit.
#[inline(always)]
fn price(price: Price) -> Result<U64, EncodeError> {
    match u64::try_from(price.0) {
        Ok(limit @ 1..=LIMIT_PRICE_MAX) => Ok(U64::new(limit)),
        _ => Err(EncodeError::Price),
    }
}

#[inline(always)]
fn quantity(quantity: Quantity) -> Result<U32, EncodeError> {
    match quantity {
        1..QUANTITY_LIMIT => Ok(U32::new(quantity)),
        _ => Err(EncodeError::Quantity),
    }
}

#[inline(always)]
const fn side(order: &OrderView) -> u8 {
    match (order.side, order.short) {
        (Side::Buy, _) => ouch::Side::Buy.byte(),
        (Side::Sell, false) => ouch::Side::Sell.byte(),
        (Side::Sell, true) => ouch::Side::SellShort.byte(),
    }
}

#[inline(always)]
const fn time_in_force(order: &OrderView) -> u8 {
    match order.time_in_force {
        TimeInForce::Day | TimeInForce::OnOpen | TimeInForce::OnClose => ouch::TimeInForce::Day.byte(),
        TimeInForce::Ioc => ouch::TimeInForce::Ioc.byte(),
    }
}

#[inline(always)]
const fn cross_type(order: &OrderView) -> u8 {
    match order.time_in_force {
        TimeInForce::Day | TimeInForce::Ioc => CrossType::Continuous.byte(),
        TimeInForce::OnOpen => CrossType::Opening.byte(),
        TimeInForce::OnClose => CrossType::Closing.byte(),
    }
}
