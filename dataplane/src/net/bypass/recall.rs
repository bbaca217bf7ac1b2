//! What a kill takes back: orders that are on the wire may still arrive, those that would be sent again may not.

use super::super::mirror::is_before;
use super::super::{OrderTransport, TcpCounter};
use super::{BypassTcp, Phase};
use tern_core::session::DropReason;
use tern_core::units::TaiNs;
use tern_hw::port::Port;

/// How long orders under way may stay unacknowledged after a kill: the venue's delayed acknowledgment (40 ms on Linux)
/// comes sooner. What is to be sent again before that ends the connection at once.
const RECALL_PATIENCE_NS: u64 = 200_000_000;

impl BypassTcp {
    /// See [`OrderTransport::recall`].
    pub(super) fn recall_orders<P: Port>(&mut self, now: TaiNs, port: &mut P) -> bool {
        if !matches!(self.phase, Phase::Up | Phase::Closing { .. }) || self.is_acknowledged(self.risk_end) {
            return false;
        }
        let sent_end = self.wire.mirror.connection().next;
        if self.risk_end.is_some_and(|end| is_before(sent_end, end)) || self.wire.is_blocked() {
            self.reset_recalled(now, port);
            return true;
        }
        // On the wire: it has arrived or will at once, and then the connection is needed for the cancels. Or it was lost,
        // and then it must not be sent again.
        self.wire.sealed_end = self.risk_end;
        self.recall_until.get_or_insert(now.plus(RECALL_PATIENCE_NS));
        self.dirty = true;
        false
    }

    /// After a kill: whether what was under way then has arrived; if it has not in time, the connection goes.
    pub(super) fn check_recall<P: Port>(&mut self, now: TaiNs, port: &mut P) {
        let Some(until) = self.recall_until else { return };
        if self.is_acknowledged(self.wire.sealed_end) {
            self.end_recall();
        } else if self.wire.is_barred || now >= until {
            self.reset_recalled(now, port);
        }
    }

    /// The first byte that the stack may still send again. The mirror's number is the venue's word, which the stack does
    /// not take from a segment outside its window.
    fn first_kept(&self) -> u32 {
        self.taken_end.wrapping_sub(self.socket().send_queue() as u32)
    }

    fn is_acknowledged(&self, end: Option<u32>) -> bool {
        end.is_none_or(|end| !is_before(self.first_kept(), end))
    }

    pub(super) fn end_recall(&mut self) {
        self.recall_until = None;
        self.wire.sealed_end = None;
        self.wire.is_barred = false;
    }

    /// Nothing else keeps from the venue what it may not get any more.
    #[cold]
    fn reset_recalled<P: Port>(&mut self, now: TaiNs, port: &mut P) {
        let bytes = self.risk_end.map_or(0, |end| end.wrapping_sub(self.first_kept()));
        self.wire.count(TcpCounter::Recalled);
        self.wire.counters[TcpCounter::RecalledBytes.index()] += u64::from(bytes);
        self.wire.discard_held();
        self.abort(now, port, DropReason::Killed);
    }
}
