//! Order and control messages of any content for tests of what is below the outbox. Each passes a real gate and a real
//! outbox: there is no other way to what a [`Carrier`] takes.

use super::{CONN, Lines, Rig, Script, accepted, config, new, scripted, told};
use crate::input::{ConnEvent, Input};
use crate::outbox::Carrier;
use crate::strategy::Intent;
use crate::units::{OrderId, Side};
use tern_abi::record::VenueEventKind;

/// Makes messages.
#[derive(Debug)]
pub struct Mint {
    rig: Rig<(Script,)>,
    lines: Lines,
}

impl Default for Mint {
    fn default() -> Self {
        let mut config = config();
        // Every message is the same to the gate.
        config.limits.duplicate_window_ns = 0;
        let (mut rig, lines) = scripted(config, 1);
        let login = rig.pipeline.pending_control(CONN).len();
        rig.pipeline.consume_control(CONN, login);
        Self { rig, lines }
    }
}

impl Mint {
    /// Enters an order whose message is `bytes` (1 to 128 of them); whether `carrier` took it.
    pub fn order(&mut self, bytes: &[u8], carrier: &mut impl Carrier) -> bool {
        let order = self.rig.pipeline.next_order_id();
        let taken = self.message(new(0, Side::Buy, 10_0000, 1), bytes, carrier);
        self.rig.venue(told(VenueEventKind::Rejected, order, 1));
        taken
    }

    /// Cancels an order with the message `bytes`; whether `carrier` took it.
    pub fn cancel(&mut self, bytes: &[u8], carrier: &mut impl Carrier) -> bool {
        let order = self.rig.pipeline.next_order_id();
        self.lines.borrow_mut().push_back(new(0, Side::Buy, 10_0000, 1));
        self.rig.input(Input::Timer);
        assert_eq!(self.rig.sent().len(), 1, "an order to cancel");
        self.rig.venue(accepted(order, 1, 10_0000));
        let taken = self.message(Intent::Cancel { order: OrderId(order) }, bytes, carrier);
        self.rig.venue(told(VenueEventKind::Canceled, order, 1));
        taken
    }

    /// Housekeeping of the session; whether `carrier` took it.
    pub fn control(&mut self, bytes: &[u8], carrier: &mut impl Carrier) -> bool {
        self.rig.pipeline.session_mut().control_bytes = bytes.to_vec();
        self.rig.input(Input::Timer);
        let taken = self.rig.pipeline.hand_over_control(CONN, carrier).is_ok();
        self.rig.pipeline.consume_control(CONN, bytes.len());
        self.rig.rec.records.clear();
        taken
    }

    fn message(&mut self, intent: Intent, bytes: &[u8], carrier: &mut impl Carrier) -> bool {
        self.rig.conn(ConnEvent::Room(1 << 20));
        self.rig.pipeline.session_mut().order_bytes = bytes.to_vec();
        self.lines.borrow_mut().push_back(intent);
        self.rig.input(Input::Timer);
        assert_eq!(self.rig.pipeline.next_order_bytes(CONN), Some(bytes), "the gate passes it");
        let taken = self.rig.pipeline.hand_over_order(CONN, carrier).is_some();
        if !taken {
            self.rig.pipeline.order_bytes_sent(CONN, bytes.len());
        }
        self.rig.rec.records.clear();
        taken
    }
}
