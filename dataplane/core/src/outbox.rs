//! The outbox: where approvals turn into bytes, and the only place from which order bytes leave.
//!
//! It holds a few whole messages between the pipeline and TCP. They are normally handed over as soon as the input is
//! worked through; what is still here can be recalled.
//!
//! The proof that the gate said yes goes on to the wire: a [`Carrier`] takes [`OrderBytes`], which the outbox alone
//! makes, and [`ControlBytes`], which a pipeline's control buffer alone makes, each used up by being carried. Nothing
//! turns a slice into either.

use crate::risk::Approved;
use crate::session::{ControlBytes, EncodeError, OrderAction, OrderSession};
use core::ops::Deref;

/// Messages that fit.
pub const OUTBOX_MESSAGES: usize = 16;

/// Longest order message, framed, bytes.
pub const ORDER_MESSAGE_BYTES_MAX: usize = 128;

/// Bytes of one approved order message, on their way to TCP. Only the outbox makes them, and each message once.
#[derive(Debug)]
pub struct OrderBytes<'a> {
    bytes: &'a [u8],
    adds_risk: bool,
}

impl OrderBytes<'_> {
    /// Whether the message enters or replaces an order. One that only cancels may leave even after a kill.
    #[inline]
    pub const fn adds_risk(&self) -> bool {
        self.adds_risk
    }
}

impl Deref for OrderBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// The bytes cannot leave at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowClosed;

/// What takes bytes to the venue: the one seam by which anything leaves.
pub trait Carrier {
    /// Takes all of an order message, or nothing.
    ///
    /// # Errors
    /// [`WindowClosed`] when it could not leave at once; it can still be recalled then.
    fn carry_order(&mut self, order: OrderBytes<'_>) -> Result<(), WindowClosed>;
    /// Takes all of the session's housekeeping, or nothing.
    ///
    /// # Errors
    /// [`WindowClosed`] when it could not leave at once.
    fn carry_control(&mut self, control: ControlBytes<'_>) -> Result<(), WindowClosed>;
}

#[derive(Clone, Copy, Debug)]
struct Message {
    action: OrderAction,
    length: usize,
    bytes: [u8; ORDER_MESSAGE_BYTES_MAX],
}

/// The messages that wait, oldest first.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Outbox {
    messages: [Message; OUTBOX_MESSAGES],
    first: usize,
    length: usize,
    /// Bytes of the oldest message that TCP has already.
    begun_bytes: usize,
    pending_bytes: usize,
    /// Bytes that the venue's window takes beyond what was handed over.
    room_bytes: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        let nothing = OrderAction::Cancel { order: crate::units::OrderId(0) };
        let empty = Message { action: nothing, length: 0, bytes: [0; ORDER_MESSAGE_BYTES_MAX] };
        Self {
            messages: [empty; OUTBOX_MESSAGES],
            first: 0,
            length: 0,
            begun_bytes: 0,
            pending_bytes: 0,
            room_bytes: 0,
        }
    }
}

impl Outbox {
    /// Messages that wait, one begun included.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether another message fits.
    #[inline]
    pub fn has_slot(&self) -> bool {
        self.length < OUTBOX_MESSAGES
    }

    /// Whether the venue's window takes another message behind those that wait.
    #[inline]
    pub fn window_open(&self) -> bool {
        self.room_bytes >= self.pending_bytes + ORDER_MESSAGE_BYTES_MAX
    }

    pub(crate) fn set_room(&mut self, room_bytes: usize) {
        self.room_bytes = room_bytes;
    }

    #[inline]
    const fn place(&self, index: usize) -> usize {
        (self.first + index) % OUTBOX_MESSAGES
    }

    /// Writes an approved order and uses the approval up.
    ///
    /// # Errors
    /// Why the session could not write it; nothing waits then.
    #[inline]
    pub(crate) fn push(&mut self, approved: Approved, session: &mut impl OrderSession) -> Result<(), EncodeError> {
        let view = approved.consume();
        let place = self.place(self.length);
        let message = self.messages.get_mut(place).filter(|_| self.length < OUTBOX_MESSAGES);
        let message = message.ok_or(EncodeError::NoRoom)?;
        let length = session.encode(&view, &mut message.bytes)?;
        if length == 0 || length > ORDER_MESSAGE_BYTES_MAX {
            return Err(EncodeError::NoRoom);
        }
        message.action = view.action;
        message.length = length;
        self.length += 1;
        self.pending_bytes += length;
        Ok(())
    }

    /// The messages that wait, whole, and whether TCP has begun with the oldest.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> (impl Iterator<Item = &[u8]>, bool) {
        let places = (0..self.length).map(|index| &self.messages[self.place(index)]);
        (places.map(|message| &message.bytes[..message.length]), self.begun_bytes > 0)
    }

    /// What is left of the oldest message.
    #[inline]
    pub(crate) fn next(&self) -> Option<&[u8]> {
        self.oldest().map(|message| message.bytes)
    }

    #[inline]
    fn oldest(&self) -> Option<OrderBytes<'_>> {
        let message = self.messages.get(self.first).filter(|_| self.length > 0)?;
        let adds_risk = !matches!(message.action, OrderAction::Cancel { .. } | OrderAction::Reduce { .. });
        message.bytes.get(self.begun_bytes..message.length).map(|bytes| OrderBytes { bytes, adds_risk })
    }

    /// Gives the oldest message to `carrier`; how many bytes it took, if it took it. They cannot be recalled any more.
    #[inline]
    pub(crate) fn hand_over(&mut self, carrier: &mut impl Carrier) -> Option<usize> {
        let order = self.oldest()?;
        let count_bytes = order.len();
        carrier.carry_order(order).ok()?;
        self.sent(count_bytes);
        Some(count_bytes)
    }

    /// TCP took `count_bytes`; they cannot be recalled any more.
    pub(crate) fn sent(&mut self, count_bytes: usize) {
        let mut left = count_bytes.min(self.pending_bytes);
        self.pending_bytes -= left;
        self.room_bytes = self.room_bytes.saturating_sub(left);
        while let Some(message) = self.messages.get(self.first).filter(|_| left > 0 && self.length > 0) {
            let open = message.length - self.begun_bytes;
            if left < open {
                self.begun_bytes += left;
                return;
            }
            left -= open;
            self.begun_bytes = 0;
            self.first = self.place(1);
            self.length -= 1;
        }
    }

    /// TCP took all but the newest `count`: what a replay says in place of [`Outbox::sent`].
    pub(crate) fn keep(&mut self, count: usize) {
        while self.length > count {
            let Some(open) = self.next().map(<[u8]>::len) else { return };
            self.sent(open);
        }
    }

    /// Takes the newest message back that TCP has nothing of.
    pub(crate) fn recall(&mut self) -> Option<OrderAction> {
        let begun = usize::from(self.begun_bytes > 0);
        if self.length <= begun { None } else { self.drop_newest() }
    }

    /// Takes the newest message back, begun or not: the connection is gone.
    pub(crate) fn drop_newest(&mut self) -> Option<OrderAction> {
        let newest = self.length.checked_sub(1)?;
        let message = self.messages.get(self.place(newest))?;
        let open = if newest == 0 { message.length - core::mem::take(&mut self.begun_bytes) } else { message.length };
        self.pending_bytes -= open;
        self.length = newest;
        Some(message.action)
    }
}
