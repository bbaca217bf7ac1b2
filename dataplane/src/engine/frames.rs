//! A batch of frames: what each of them is, and what becomes of it.

use super::{CONN, Engine};
use crate::clock::Clock;
use crate::net::OrderTransport;
use crate::probe::StageProbe;
use tern_abi::counters::LoopCounter;
use tern_abi::record::{Kind, Recorder, Stage};
use tern_core::feed::Feed;
use tern_core::input::Input;
use tern_core::pipeline::Pipeline;
use tern_core::probe::{Isolate, Probe};
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::{Stamp, StreamId, TaiNs};
use tern_core::wire::{Datagram, Frame, WireDrop, classify};
use tern_hw::port::{BATCH_FRAMES, Port};
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
    /// Takes one batch of frames from a port and works it off.
    pub(super) fn receive(&mut self, index: usize) -> bool {
        let Some(port) = self.parts.ports.get_mut(index) else { return false };
        let count = port.receive(&mut self.batch);
        if count == 0 {
            return false;
        }
        self.parts.words.counters.add(LoopCounter::FramesReceived, count as u64);
        self.tell_room(self.parts.clock.now());
        for place in 0..count {
            self.on_frame(index, place, count - place - 1);
        }
        self.batch.reset();
        true
    }

    /// One frame: what it is, is decided here; every way out gives it back.
    fn on_frame(&mut self, port_index: usize, place: usize, behind: usize) {
        let Some(port) = self.parts.ports.get(port_index) else { return };
        let Some(frame) = self.batch.take(place) else { return };
        let outcome = match classify(port.bytes(&frame)) {
            Ok(Frame::Datagram(datagram)) if !is_known(&self.known_streams, datagram.stream) => {
                Outcome::Dropped(LoopCounter::DroppedUnknownStream)
            }
            Ok(Frame::Datagram(datagram)) => {
                let waiting = behind + if behind < BATCH_FRAMES - 1 { 0 } else { port.backlog() };
                Outcome::Datagram(on_datagram(
                    &mut self.parts.pipeline,
                    &mut self.parts.recorder,
                    &mut self.probe,
                    &mut self.isolate,
                    &self.parts.clock,
                    &datagram,
                    (waiting, self.until_sample == 1),
                ))
            }
            Ok(Frame::Stack(bytes)) => match &mut self.parts.transport {
                Some(transport) => {
                    transport.stage(bytes);
                    Outcome::Staged
                }
                None => Outcome::Dropped(LoopCounter::DroppedRecordBad),
            },
            Err(reason) => Outcome::Bad(reason),
        };
        match outcome {
            Outcome::Datagram(seen) => {
                self.after_datagram(port_index, &Seen { place, batch: place + behind + 1, ..seen });
            }
            Outcome::Staged => {
                self.poll_transport(self.parts.clock.now(), true);
            }
            Outcome::Dropped(counter) => self.parts.words.counters.add(counter, 1),
            Outcome::Bad(reason) => self.drops[reason.index()] += 1,
        }
        if let Some(port) = self.parts.ports.get_mut(port_index) {
            port.release(frame);
        }
    }

    /// Orders that a datagram caused leave before the next datagram is looked at.
    #[inline]
    fn after_datagram(&mut self, port_index: usize, seen: &Seen) {
        let counters = &self.parts.words.counters;
        counters.add(LoopCounter::Datagrams, 1);
        counters.add(LoopCounter::DatagramBytes, seen.payload_bytes as u64);
        let has_order = self.parts.pipeline.next_order_bytes(CONN).is_some() && self.hand_over() > 0;
        if has_order {
            self.kick();
            self.probe.mark(Stage::Submitted);
        }
        let sampled = self.config.sample_stages_every != 0 && {
            self.until_sample -= 1;
            self.until_sample == 0
        };
        if sampled {
            self.until_sample = self.config.sample_stages_every;
        }
        let next_id = self.parts.pipeline.next_order_id();
        // Of several the first: its way was measured.
        let order = if has_order && next_id != seen.next_id { seen.next_id } else { 0 };
        let record = self.probe.record(seen.seq, seen.arrival, order, seen.backlog);
        if has_order || sampled {
            // Stamps that do not fit are done without: they decide nothing.
            if self.parts.recorder.record(self.parts.clock.now().0, Kind::Stages, &[record.as_bytes()]).is_err() {
                self.parts.words.counters.add(LoopCounter::StagesRefused, 1);
            }
        }
        let beyond = self.tails.add(&record);
        if beyond != 0 && self.tails.has_place(&record) {
            self.keep_outlier(port_index, seen, record, beyond);
        }
    }
}

/// What became of a frame.
enum Outcome {
    Datagram(Seen),
    Staged,
    Dropped(LoopCounter),
    Bad(WireDrop),
}

/// What is remembered of a datagram once its frame may go.
pub(super) struct Seen {
    seq: u64,
    arrival: TaiNs,
    payload_bytes: usize,
    backlog: u32,
    next_id: u32,
    /// Frames of its batch before it, and all of them.
    pub(super) place: usize,
    pub(super) batch: usize,
}

#[inline]
fn is_known(streams: &[u64; 1024], stream: StreamId) -> bool {
    streams.get(stream.index() / 64).is_some_and(|word| word >> (stream.index() % 64) & 1 != 0)
}

#[inline]
fn on_datagram<R: Recorder, C: Clock, I: Isolate, F: Feed, O: OrderSession, S: StrategySet>(
    pipeline: &mut Pipeline<F, O, S>,
    recorder: &mut R,
    probe: &mut StageProbe<C>,
    isolate: &mut I,
    clock: &C,
    datagram: &Datagram<'_>,
    (waiting, is_sampled): (usize, bool),
) -> Seen {
    let now = clock.now();
    probe.begin(now, is_sampled);
    let seen = Seen {
        seq: recorder.next_seq(),
        arrival: datagram.arrival,
        payload_bytes: datagram.payload.len(),
        backlog: waiting as u32,
        next_id: pipeline.next_order_id(),
        place: 0,
        batch: 0,
    };
    let at = Stamp { seen: now, arrival: datagram.arrival, nic: datagram.nic };
    let input = Input::Datagram {
        stream: datagram.stream,
        line: datagram.line,
        at,
        backlog: seen.backlog,
        payload: datagram.payload,
    };
    // A datagram is never refused: what cannot be captured is shed and counted by the recorder.
    let _ = pipeline.on_input(now, input, recorder, probe, isolate);
    seen
}
