//! What an outbound message means as an event of an order.

use tern_core::session::{VenueEvent, VenueEventKind};
use tern_core::units::{OrderId, Price, Side, Symbol};

use crate::itch_ouch::Attribution;
use crate::itch_ouch::wire::ouch::{self, ClOrdId, OptionTag, OrderState, Outbound, PriceMeaning};

/// The event of a message; its place in the session's log is set by the caller.
#[inline]
pub(super) fn venue_event(message: &Outbound<'_>) -> VenueEvent {
    match message {
        Outbound::SystemEvent(m) => {
            VenueEvent { reason: m.event_code, ..at(VenueEventKind::SystemEvent, m.timestamp.get()) }
        }
        Outbound::OrderAccepted(m, _) => VenueEvent {
            venue_order: m.order_reference_number.get(),
            price: price(m.price.get()),
            quantity: m.quantity.get(),
            symbol: Some(Symbol(m.symbol.0)),
            side: side(m.side),
            live: is_live(m.order_state),
            ..owned(&m.cl_ord_id, of(VenueEventKind::Accepted, m.timestamp.get(), m.user_ref_num.get()))
        },
        Outbound::OrderReplaced(m, _) => VenueEvent {
            previous: OrderId(m.orig_user_ref_num.get()),
            venue_order: m.order_reference_number.get(),
            price: price(m.price.get()),
            quantity: m.quantity.get(),
            symbol: Some(Symbol(m.symbol.0)),
            side: side(m.side),
            live: is_live(m.order_state),
            ..owned(&m.cl_ord_id, of(VenueEventKind::Replaced, m.timestamp.get(), m.user_ref_num.get()))
        },
        Outbound::OrderCanceled(m) => VenueEvent {
            quantity: m.quantity.get(),
            reason: m.reason,
            ..of(VenueEventKind::Canceled, m.timestamp.get(), m.user_ref_num.get())
        },
        Outbound::AiqCanceled(m) => VenueEvent {
            quantity: m.decrement_shares.get(),
            reason: m.reason,
            ..of(VenueEventKind::Canceled, m.timestamp.get(), m.user_ref_num.get())
        },
        Outbound::OrderExecuted(m, _) => VenueEvent {
            match_number: m.match_number.get(),
            price: price(m.price.get()),
            quantity: m.quantity.get(),
            reason: m.liquidity_flag,
            added_liquidity: adds_liquidity(m.liquidity_flag),
            ..of(VenueEventKind::Executed, m.timestamp.get(), m.user_ref_num.get())
        },
        Outbound::BrokenTrade(m) => VenueEvent {
            match_number: m.match_number.get(),
            reason: m.reason,
            ..owned(&m.cl_ord_id, of(VenueEventKind::Broken, m.timestamp.get(), m.user_ref_num.get()))
        },
        Outbound::Rejected(m) => VenueEvent {
            reason: reject_reason(m.reason.get()),
            ..owned(&m.cl_ord_id, of(VenueEventKind::Rejected, m.timestamp.get(), m.user_ref_num.get()))
        },
        Outbound::CancelPending(m) => of(VenueEventKind::CancelPending, m.timestamp.get(), m.user_ref_num.get()),
        Outbound::CancelReject(m) => of(VenueEventKind::CancelRejected, m.timestamp.get(), m.user_ref_num.get()),
        Outbound::OrderPriorityUpdate(m) => VenueEvent {
            venue_order: m.order_reference_number.get(),
            price: price(m.price.get()),
            ..of(VenueEventKind::PriorityUpdated, m.timestamp.get(), m.user_ref_num.get())
        },
        Outbound::OrderModified(m) => VenueEvent {
            quantity: m.quantity.get(),
            side: side(m.side),
            ..of(VenueEventKind::Modified, m.timestamp.get(), m.user_ref_num.get())
        },
        Outbound::OrderRestated(m, appendage) => {
            let number = |option| appendage.get(option).and_then(|element| element.number()).unwrap_or(0);
            VenueEvent {
                venue_order: number(OptionTag::SecondaryOrdRefNum),
                price: price(number(OptionTag::DisplayPrice)),
                quantity: u32::try_from(number(OptionTag::DisplayQuantity)).unwrap_or(u32::MAX),
                reason: m.reason,
                ..of(VenueEventKind::Restated, m.timestamp.get(), m.user_ref_num.get())
            }
        }
        Outbound::AccountQueryResponse(m) => {
            of(VenueEventKind::NextOrderId, m.timestamp.get(), m.next_user_ref_num.get())
        }
    }
}

#[inline]
fn at(kind: VenueEventKind, venue_ns: u64) -> VenueEvent {
    VenueEvent { venue_ns, ..VenueEvent::new(kind) }
}

#[inline]
fn of(kind: VenueEventKind, venue_ns: u64, user_ref_num: ouch::UserRefNum) -> VenueEvent {
    let order = OrderId(user_ref_num);
    VenueEvent { order, previous: order, ..at(kind, venue_ns) }
}

#[inline]
fn owned(id: &ClOrdId, event: VenueEvent) -> VenueEvent {
    match Attribution::of(id) {
        Some(Attribution { strategy, trader }) => {
            VenueEvent { strategy: Some(strategy), trader: Some(trader), ..event }
        }
        None => event,
    }
}

#[inline]
fn price(price: u64) -> Price {
    // Either number that says market (1.2).
    if let PriceMeaning::Market = PriceMeaning::of(price) {
        return Price::MARKET;
    }
    Price(i64::try_from(price).unwrap_or(i64::MAX))
}

#[inline]
fn side(letter: u8) -> Option<Side> {
    Some(match ouch::Side::from_byte(letter)? {
        ouch::Side::Buy => Side::Buy,
        ouch::Side::Sell | ouch::Side::SellShort | ouch::Side::SellShortExempt => Side::Sell,
    })
}

/// Anything but "dead" counts as live: an order too many on our list can be canceled, one too few cannot.
#[inline]
fn is_live(order_state: u8) -> bool {
    order_state != OrderState::Dead.byte()
}

/// Appendix D has codes up to 0x2A; higher ones, which may come, end at 255.
#[inline]
fn reject_reason(code: u16) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Appendix E: whether an execution added liquidity. Crosses neither add nor remove; flags that are not listed count as
/// not added.
#[inline]
fn adds_liquidity(flag: u8) -> bool {
    matches!(flag, b'A' | b'e' | b'J' | b'j' | b'k' | b'7' | b'8' | b'1')
}
