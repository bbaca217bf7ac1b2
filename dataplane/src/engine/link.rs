//! The order connection: its events in, order bytes out.

use super::Engine;
use super::{CONN, Parts};
use crate::clock::Clock;
use crate::net::OrderTransport;
use crate::net::TransportEvent;
use crate::observe;
use tern_abi::counters::LoopCounter;
use tern_abi::record::Recorder;
use tern_abi::record::RingFull;
use tern_abi::segment::{DayCount, NextOrder, SessionFault};
use tern_core::feed::Feed;
use tern_core::input::{ConnEvent, Input};
use tern_core::probe::Isolate;
use tern_core::session::{DropReason, OrderSession};
use tern_core::strategy::StrategySet;
use tern_core::units::TaiNs;
use tern_hw::port::Port;

/// Room that the pipeline is told of at most: what one input can cause (16 messages of 128 bytes) several times over.
const ROOM_TOLD_MAX: usize = 8192;
/// The pipeline is told of more room when it knows of less than this.
const ROOM_LOW: usize = 4096;

impl<P, T, R, C, I, F, O, S> Engine<'_, P, T, R, C, I, F, O, S>
where
    P: Port,
    T: OrderTransport<P>,
    R: Recorder,
    C: Clock,
    I: Isolate,
    F: Feed,
    O: OrderSession,
    S: StrategySet,
{
    /// Runs the order connection and brings its events in.
    pub(super) fn poll_transport(&mut self, now: TaiNs, staged: bool) -> bool {
        let network_time = self.network_time();
        let (Some(transport), Some(port)) = (&mut self.parts.transport, self.parts.ports.first_mut()) else {
            return false;
        };
        if !staged && !transport.wants_poll(network_time) && self.held_event.is_none() {
            return false;
        }
        transport.poll(network_time, port);
        self.kick_due = true;
        let mut busy = staged;
        while let Some(event) = self.next_event() {
            busy = true;
            if self.on_transport_event(now, event).is_err() {
                self.held_event = Some(event);
                break;
            }
        }
        self.tell_room(now);
        self.hand_over();
        busy
    }

    pub(super) fn next_event(&mut self) -> Option<TransportEvent> {
        let network_time = self.network_time();
        let transport = self.parts.transport.as_mut()?;
        self.held_event.take().or_else(|| transport.next_event(network_time, &mut self.session_bytes[..]))
    }

    pub(super) fn on_transport_event(&mut self, now: TaiNs, event: TransportEvent) -> Result<(), RingFull> {
        match event {
            TransportEvent::Bytes(bytes) => {
                let Parts { pipeline, recorder, .. } = &mut self.parts;
                let input = Input::Session { conn: CONN, bytes: &self.session_bytes[..bytes] };
                pipeline.on_input(now, input, recorder, self.probe.calls(), &mut self.isolate)?;
                self.parts.words.counters.add(LoopCounter::SessionBytes, bytes as u64);
                if self.parts.pipeline.session().is_ready()
                    && let Some(transport) = &mut self.parts.transport
                {
                    transport.settled();
                }
            }
            TransportEvent::Up => {
                self.input(now, Input::Conn { conn: CONN, event: ConnEvent::Up })?;
                self.is_up = true;
                self.room_told = 0;
            }
            TransportEvent::Down(reason) => {
                self.input(now, Input::Conn { conn: CONN, event: ConnEvent::Down(reason) })?;
                self.is_up = false;
                let fault = observe::fault_of_down(reason);
                if fault != SessionFault::None {
                    self.session_fault = fault;
                }
                self.room_told = 0;
            }
        }
        self.tell_room(now);
        self.hand_over();
        Ok(())
    }

    /// Tells the pipeline what the venue's window takes: less than it believes at once, more only when it runs low, so
    /// that the journal is not filled with windows.
    #[inline]
    pub(super) fn tell_room(&mut self, now: TaiNs) {
        let Some(transport) = &self.parts.transport else { return };
        if !self.is_up {
            return;
        }
        let room = transport.room().min(ROOM_TOLD_MAX);
        if room < self.room_told || (self.room_told < ROOM_LOW && room > self.room_told) {
            let event = ConnEvent::Room(room);
            if self.input(now, Input::Conn { conn: CONN, event }).is_ok() {
                self.room_told = room;
            }
        }
    }

    /// Hands what waits to TCP: housekeeping first, then whole order messages, as long as all of it leaves at once.
    /// Returns how many order messages left.
    pub(super) fn hand_over(&mut self) -> usize {
        let mut sent = 0;
        if !self.is_up {
            return sent;
        }
        let now = self.network_time();
        self.tell_day();
        let mut open = self.hand_over_control();
        while open && self.parts.pipeline.next_order_bytes(CONN).is_some() {
            // The last look at the kill word, and at what is restricted, before bytes are out of reach. A kill puts its
            // cancels in their place.
            self.heed_kill();
            self.heed_scopes();
            open = self.send_order();
            sent += usize::from(open);
        }
        if let (Some(transport), Some(port)) = (&mut self.parts.transport, self.parts.ports.first_mut()) {
            transport.flush(now, port);
        }
        if let Some(reason) = self.parts.pipeline.take_drop(CONN)
            && let (Some(transport), Some(port)) = (&mut self.parts.transport, self.parts.ports.first_mut())
        {
            match reason {
                // The venue is done with the connection as well: nothing is under way that would have to be stopped.
                DropReason::EndOfSession => transport.finish(now, port, reason),
                _ => transport.abort(now, port, reason),
            }
            self.kick_due = true;
        }
        sent
    }

    pub(super) fn hand_over_control(&mut self) -> bool {
        let Parts { pipeline, transport: Some(transport), .. } = &mut self.parts else { return false };
        let bytes = match pipeline.hand_over_control(CONN, transport) {
            Ok(0) => return true,
            Ok(bytes) => bytes,
            Err(_) => return false,
        };
        self.room_told = self.room_told.saturating_sub(bytes);
        self.kick_due = true;
        true
    }

    #[inline]
    pub(super) fn send_order(&mut self) -> bool {
        let Parts { pipeline, transport: Some(transport), words, .. } = &mut self.parts else { return false };
        let Some(bytes) = pipeline.hand_over_order(CONN, transport) else { return false };
        words.counters.add(LoopCounter::OrderBytes, bytes as u64);
        self.room_told = self.room_told.saturating_sub(bytes);
        self.kick_due = true;
        true
    }

    /// The segment knows of an order id before its bytes are out: a restart never gives it out again. So it knows of every
    /// message that counts for the day.
    #[inline]
    pub(super) fn tell_day(&mut self) {
        let next = self.parts.pipeline.next_order_id();
        if next != self.next_id_told {
            let account = usize::from(self.config.account);
            self.parts.words.next_order.set(account, NextOrder { day: self.config.day, next });
            self.next_id_told = next;
        }
        let count = self.parts.pipeline.desk().gate().messages();
        if count != self.messages_told {
            let account = usize::from(self.config.account);
            self.parts.words.messages.set(account, DayCount { day: self.config.day, count });
            self.messages_told = count;
        }
    }

    /// One system call for everything that was submitted.
    #[inline]
    pub(super) fn kick(&mut self) {
        if !core::mem::take(&mut self.kick_due) {
            return;
        }
        if let Some(port) = self.parts.ports.first_mut() {
            self.parts.words.counters.add(LoopCounter::TxKicks, 1);
            // An error of the interface (down, gone) shows as a silent venue; TCP repeats what was lost.
            let _ = port.kick();
        }
    }
}
