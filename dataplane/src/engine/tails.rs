//! Datagrams that took longer than nearly all others: noted as they happen, recorded once it is known what the kernel did.

use super::Engine;
use super::frames::Seen;
use crate::clock::Clock;
use crate::net::OrderTransport;
use tern_abi::outlier::OutlierRecord;
use tern_abi::record::{Kind, Recorder, StageRecord};
use tern_core::feed::Feed;
use tern_core::probe::Isolate;
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::TaiNs;
use tern_hw::port::Port;
use zerocopy::IntoBytes;

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
    /// Notes how things stand around a datagram that is beyond a threshold.
    #[cold]
    pub(super) fn keep_outlier(&mut self, port_index: usize, seen: &Seen, stages: StageRecord, beyond: u32) {
        let now = self.parts.clock.now();
        let fill = self.parts.recorder.fill();
        let waiting = self.parts.ports.get(port_index).map_or(0, Port::backlog);
        let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let record = OutlierRecord {
            stages,
            capture_used: fill.captures.0,
            capture_bytes: fill.captures.1,
            overdue_ns: now.since(self.parts.pipeline.next_deadline()).min(now.since(TaiNs(stages.arrival_ns))),
            turn_ns: self.turn_ns,
            order_used: few(fill.orders.0),
            order_slots: few(fill.orders.1),
            waiting: few(waiting as u64),
            place: seen.place as u16,
            batch: seen.batch as u16,
            beyond,
            ..OutlierRecord::default()
        };
        self.tails.keep(&self.parts.words.counters, record, now);
    }

    /// Records those of which enough is known, or all. What does not fit into the order ring waits for room: it decides nothing.
    pub(super) fn tell_outliers(&mut self, now: TaiNs, all: bool) {
        let recorder = &mut self.parts.recorder;
        self.tails.settle(&self.parts.words.counters, now, all, |record| {
            recorder.record(now.0, Kind::Outlier, &[record.as_bytes()])
        });
    }
}
