//! A venue for one client that answers at once: accepts, replaces and cancels, never trades. It knows no market; what
//! it is for is orders that live as long as a real venue's answers keep them alive.

use std::collections::HashMap;

use tern_venues::itch_ouch::wire::ouch::{
    self, Appendage, CancelOrder, EnterOrder, Inbound, OrderAccepted, OrderCanceled, OrderReplaced, OuchMessage,
    Outbound, ReplaceOrder,
};
use tern_venues::itch_ouch::wire::soup::{self, Deframer, Packet};
use tern_venues::itch_ouch::wire::{Alpha, ouch::TimeInForce};

/// Longest packet of a client.
const PACKET_BYTES_MAX: usize = 512;

/// What the answers to an order repeat.
#[derive(Clone, Copy)]
struct Open {
    enter: EnterOrder,
    quantity: u32,
}

/// See the [module](self).
pub struct Venue {
    deframer: Deframer<PACKET_BYTES_MAX>,
    open: HashMap<u32, Open>,
    out: Vec<u8>,
    orders: u64,
    logins: u64,
    references: u64,
}

impl Default for Venue {
    fn default() -> Self {
        Self {
            deframer: Deframer::new(),
            open: HashMap::new(),
            out: Vec::with_capacity(4096),
            orders: 0,
            logins: 0,
            references: 1 << 40,
        }
    }
}

impl Venue {
    /// Takes bytes of the client; answers are in [`Venue::take`].
    ///
    /// # Panics
    /// When the bytes are no SoupBinTCP.
    pub fn on_bytes(&mut self, mut bytes: &[u8]) {
        // The deframer lends its frames while the rest answers.
        let mut deframer = std::mem::take(&mut self.deframer);
        while let Some(frame) = deframer.next(&mut bytes).expect("the client frames its packets") {
            match frame.packet() {
                Ok(Packet::LoginRequest(login)) => {
                    self.logins += 1;
                    let next = login.requested_sequence_number.get().unwrap_or(1).max(1);
                    let session = Alpha::new(b"BENCH");
                    let sequence_number = soup::AsciiNumber::new(next);
                    self.packet(&Packet::LoginAccepted(&soup::LoginAccepted { session, sequence_number }));
                }
                Ok(Packet::UnsequencedData(message)) => self.on_message(message),
                _ => {}
            }
        }
        self.deframer = deframer;
    }

    /// A server heartbeat: due once a second.
    pub fn heartbeat(&mut self) {
        self.packet(&Packet::ServerHeartbeat);
    }

    /// Answers that wait, taken.
    pub fn take(&mut self, into: &mut Vec<u8>) {
        into.append(&mut self.out);
    }

    /// Enter, replace and cancel requests so far.
    pub fn orders(&self) -> u64 {
        self.orders
    }

    /// Logins so far.
    pub fn logins(&self) -> u64 {
        self.logins
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        let mut buffer = [0; PACKET_BYTES_MAX];
        let length = soup::write(&mut buffer, packet).expect("an answer fits");
        self.out.extend_from_slice(&buffer[..length]);
    }

    fn answer(&mut self, message: &Outbound<'_>) {
        let mut buffer = [0; 128];
        let length = message.write(&mut buffer).expect("an answer fits");
        self.packet(&Packet::SequencedData(&buffer[..length]));
    }

    fn on_message(&mut self, message: &[u8]) {
        let Ok((message, _)) = Inbound::decode(message) else { return };
        match message {
            Inbound::EnterOrder(enter, _) => self.enter(enter),
            Inbound::ReplaceOrder(replace, _) => self.replace(replace),
            Inbound::CancelOrder(cancel) => self.cancel(cancel),
            Inbound::ModifyOrder(..) => {}
            Inbound::AccountQuery(_) => {
                let next = self.open.keys().max().map_or(1, |id| id + 1);
                let response = ouch::AccountQueryResponse {
                    kind: ouch::AccountQueryResponse::TYPE,
                    timestamp: 0.into(),
                    next_user_ref_num: next.into(),
                };
                self.answer(&Outbound::AccountQueryResponse(&response));
                // The client trades once the venue has nothing more to say.
                self.heartbeat();
            }
        }
    }

    fn reference(&mut self) -> u64 {
        self.orders += 1;
        self.references += 1;
        self.references
    }

    fn enter(&mut self, enter: &EnterOrder) {
        let accepted = OrderAccepted {
            kind: OrderAccepted::TYPE,
            timestamp: 0.into(),
            user_ref_num: enter.user_ref_num,
            side: enter.side,
            quantity: enter.quantity,
            symbol: enter.symbol,
            price: enter.price,
            time_in_force: enter.time_in_force,
            display: enter.display,
            order_reference_number: self.reference().into(),
            capacity: enter.capacity,
            intermarket_sweep_eligibility: enter.intermarket_sweep_eligibility,
            cross_type: enter.cross_type,
            order_state: b'L',
            cl_ord_id: enter.cl_ord_id,
        };
        self.answer(&Outbound::OrderAccepted(&accepted, Appendage::default()));
        let (id, quantity) = (enter.user_ref_num.get(), enter.quantity.get());
        if enter.time_in_force == TimeInForce::Ioc as u8 {
            self.canceled(id, quantity);
        } else {
            self.open.insert(id, Open { enter: *enter, quantity });
        }
    }

    fn replace(&mut self, replace: &ReplaceOrder) {
        let reference = self.reference();
        // Late replaces are silently ignored (OUCH 5.0, 2.2).
        let Some(open) = self.open.remove(&replace.orig_user_ref_num.get()) else { return };
        let replaced = OrderReplaced {
            kind: OrderReplaced::TYPE,
            timestamp: 0.into(),
            orig_user_ref_num: replace.orig_user_ref_num,
            user_ref_num: replace.user_ref_num,
            side: open.enter.side,
            quantity: replace.quantity,
            symbol: open.enter.symbol,
            price: replace.price,
            time_in_force: replace.time_in_force,
            display: replace.display,
            order_reference_number: reference.into(),
            capacity: open.enter.capacity,
            intermarket_sweep_eligibility: replace.intermarket_sweep_eligibility,
            cross_type: open.enter.cross_type,
            order_state: b'L',
            cl_ord_id: replace.cl_ord_id,
        };
        self.answer(&Outbound::OrderReplaced(&replaced, Appendage::default()));
        self.open.insert(replace.user_ref_num.get(), Open { quantity: replace.quantity.get(), ..open });
    }

    fn cancel(&mut self, cancel: &CancelOrder) {
        self.orders += 1;
        // Superfluous cancels are silently ignored (OUCH 5.0, 2.3).
        if let Some(open) = self.open.remove(&cancel.user_ref_num.get()) {
            self.canceled(cancel.user_ref_num.get(), open.quantity);
        }
    }

    fn canceled(&mut self, id: u32, quantity: u32) {
        let canceled = OrderCanceled {
            kind: OrderCanceled::TYPE,
            timestamp: 0.into(),
            user_ref_num: id.into(),
            quantity: quantity.into(),
            reason: b'U',
        };
        self.answer(&Outbound::OrderCanceled(&canceled));
    }
}
