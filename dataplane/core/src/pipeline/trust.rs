//! What the journal says of books that lose trust one by one.

use super::{Desk, PipelineCounter, Turn, output};
use crate::feed::Distrust;
use crate::units::{InstrumentId, StreamId};
use tern_abi::event::BookEvent;
use tern_abi::record::{InstrumentTrustRecord, Kind, Recorder};
use zerocopy::IntoBytes;

/// Counts that move when an instrument may have lost trust without its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrustMarks {
    event_errors: u64,
    /// A stream that comes back leaves those instruments untrusted that did not fit before.
    trust_gained: u64,
}

impl Desk {
    #[inline]
    pub(super) fn trust_marks(&self) -> TrustMarks {
        TrustMarks {
            event_errors: self.counter(PipelineCounter::EventErrors),
            trust_gained: self.counter(PipelineCounter::TrustGained),
        }
    }

    /// Some of `events` did not fit: records each instrument that lost trust by itself, once. While its stream is not
    /// trusted either, there is nothing to lose.
    #[cold]
    pub(super) fn tell_distrust<R: Recorder, P>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        stream: Option<StreamId>,
        before: TrustMarks,
        events: &[BookEvent],
    ) {
        if stream.is_some_and(|stream| self.books.stream_distrust(stream).is_some()) {
            return;
        }
        let is_known = |event: &BookEvent| (event.instrument as usize) < self.instruments.len();
        // An event of no instrument that did not fit may have been for any.
        let any = before.trust_gained != self.trust_marks().trust_gained || !events.iter().all(is_known);
        if any {
            (0..self.instruments.len() as u32).for_each(|index| self.tell_distrust_of(turn, InstrumentId(index)));
        } else {
            for event in events {
                self.tell_distrust_of(turn, InstrumentId(event.instrument));
                // An event that names another instrument's order costs that one its trust too.
                if let Some(order) = self.books.order(event.order) {
                    self.tell_distrust_of(turn, order.instrument);
                }
            }
        }
    }

    fn tell_distrust_of<R: Recorder, P>(&mut self, turn: &mut Turn<'_, R, P>, instrument: InstrumentId) {
        let Some(told) = self.distrust_told.get_mut(instrument.index()) else { return };
        // One that no stream has named yet, as of an opening position, has no trust to lose: its first event brings it.
        let reason = self.books.distrust(instrument).filter(|reason| *reason != Distrust::NeverStarted);
        if core::mem::replace(told, reason.is_some()) {
            return;
        }
        let (Some(reason), Some(symbol)) = (reason, self.instruments.symbol(instrument)) else { return };
        let record = InstrumentTrustRecord {
            cause_seq: turn.cause_seq,
            symbol: symbol.0,
            instrument: instrument.0,
            reason: reason as u32,
        };
        self.count(PipelineCounter::InstrumentsDistrusted, 1);
        output(turn, self, Kind::InstrumentTrust, record.as_bytes());
    }
}
