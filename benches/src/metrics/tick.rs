//! `tick_to_order_p50`, `tick_to_order_p99`: from the frame that the port handed out to the bytes of the first order
//! that it caused, in the loop as it ships: steering record, MoldUDP64, books of 12,000 symbols with millions of live
//! orders, a maker and a taker on every symbol, the gate, records published to the shared segment and drained into a
//! journal by another thread, stage stamps on, order TCP past the kernel. The figure is the loop's own stamps; a
//! stopwatch around it, from the port's side, checks them. The peer is the same loop with a recorder that forgets.
//!
//! The port is memory and the venue answers between two ticks on the same core, so the caches are never the loop's
//! alone. Only one datagram is under way at a time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tern_abi::record::{Kind, NullRecorder, Recorder, RingFull, STAGE_NAMES, STAGES, Stage, StageRecord};
use tern_abi::segment::Words;
use tern_abi::steer::{FRAME_UDP, FrameRecord, STEER_VERSION};
use tern_config::Config;
use tern_core::units::{StreamId, TaiNs};
use tern_dataplane::arenas::Arenas;
use tern_dataplane::assemble::{self, RunState};
use tern_dataplane::engine::{Engine, LoopConfig, Parts};
use tern_dataplane::isolate::CatchUnwind;
use tern_dataplane::net::bypass::{BypassConfig, BypassTcp};
use tern_dataplane::registry;
use tern_hw::clock::Clock;
use tern_hw::memory::MemoryPort;
use tern_hw::port::{Frame, FrameBatch, Port, PortFacts, PortStatistics};
use tern_sim::generate::Shape;
use tern_strategies::AnyStrategy;
use tern_venues::itch_ouch::{ItchFeed, OuchSession};
use zerocopy::FromBytes;

use crate::flow::{self, Flow, Packing, generate};
use crate::harness::{Plan, RUNS_MIN, Row, RowBuilder, median, percentile};
use crate::journaler::{Progress, journaling};
use crate::peer::Peer;
use crate::setting::{configuration, segment};

const STREAM: StreamId = StreamId(1);
/// Records that may wait for the journal: an eighth of the order ring's slots, as a record takes one or two.
const RECORDS_AHEAD: u64 = 8_192;
/// Ethernet, IPv4 and UDP headers in front of a payload.
const HEADERS_BYTES: usize = 42;

/// A port that notes when it handed frames out and when the first frame came back for transmission.
pub(super) struct Stopwatch {
    port: MemoryPort,
    clock: Clock,
    handed_out_ns: u64,
    submitted_ns: u64,
}

impl Stopwatch {
    /// Time from the last frames handed out to the first one submitted since.
    fn interval_ns(&self) -> Option<u64> {
        (self.submitted_ns != 0).then(|| self.submitted_ns - self.handed_out_ns)
    }
}

impl Port for Stopwatch {
    #[inline]
    fn receive(&mut self, batch: &mut FrameBatch) -> usize {
        let count = self.port.receive(batch);
        if count > 0 {
            (self.handed_out_ns, self.submitted_ns) = (self.clock.now(), 0);
        }
        count
    }
    fn backlog(&self) -> usize {
        self.port.backlog()
    }
    #[inline]
    fn bytes(&self, frame: &Frame) -> &[u8] {
        self.port.bytes(frame)
    }
    fn release(&mut self, frame: Frame) {
        self.port.release(frame);
    }
    fn allocate(&mut self) -> Option<Frame> {
        self.port.allocate()
    }
    fn bytes_mut<'a>(&'a mut self, frame: &'a mut Frame) -> &'a mut [u8] {
        self.port.bytes_mut(frame)
    }
    fn submit(&mut self, frame: Frame, length_bytes: usize) -> Result<(), Frame> {
        if self.submitted_ns == 0 {
            self.submitted_ns = self.clock.now();
        }
        self.port.submit(frame, length_bytes)
    }
    fn kick(&mut self) -> std::io::Result<()> {
        self.port.kick()
    }
    fn wait(&mut self, timeout_ns: u64) -> std::io::Result<()> {
        self.port.wait(timeout_ns)
    }
    fn statistics(&self) -> PortStatistics {
        self.port.statistics()
    }
    fn facts(&self) -> PortFacts {
        self.port.facts()
    }
}

/// Stage stamps, ns after the frame was seen, of each datagram that caused an order.
pub(super) type Figures = Rc<RefCell<Vec<[u64; STAGES]>>>;

/// The stages that an order passes on its way to bytes.
const WAY: [Stage; 5] = [Stage::Decoded, Stage::Book, Stage::Strategy, Stage::Risk, Stage::Encoded];

/// A recorder that looks at the stage stamps that go by.
pub(super) struct Watch<R> {
    recorder: R,
    figures: Figures,
    next_seq: Rc<Cell<u64>>,
}

impl<R: Recorder> Recorder for Watch<R> {
    #[inline]
    fn record(&mut self, tai_ns: u64, kind: Kind, parts: &[&[u8]]) -> Result<(), RingFull> {
        if kind == Kind::Stages {
            let stages = StageRecord::read_from_bytes(parts[0]).expect("a record of stages");
            let stamps = stages.stage_ns;
            if stamps[Stage::Encoded as usize] != 0 {
                self.figures.borrow_mut().push(stamps.map(|stamp| stamp.saturating_sub(stamps[0])));
            }
        }
        self.next_seq.set(self.recorder.next_seq());
        self.recorder.record(tai_ns, kind, parts)
    }
    #[inline]
    fn next_seq(&self) -> u64 {
        self.recorder.next_seq()
    }
    #[inline]
    fn has_room_for_orders(&self) -> bool {
        self.recorder.has_room_for_orders()
    }
}

pub(super) type Loop<'a, R> =
    Engine<'a, Stopwatch, BypassTcp, Watch<R>, Clock, CatchUnwind, ItchFeed, OuchSession, Box<[AnyStrategy]>>;

/// A loop and the venue that it trades with.
pub(super) struct Rig<'a, R> {
    engine: Loop<'a, R>,
    peer: Peer,
    clock: Clock,
    inside_ns: Figures,
    /// Sequence of the records so far, about.
    next_seq: Rc<Cell<u64>>,
    /// The same, but measured from the port's side.
    outside_ns: Vec<u64>,
    frame: Vec<u8>,
}

impl<'a, R: Recorder> Rig<'a, R> {
    pub(super) fn new(config: &Config, words: &'a Words, recorder: R, clock: &Clock) -> Self {
        let mut memory = Arenas::new(true);
        let feed = registry::itch_feed(&[STREAM], &mut memory);
        let strategies = registry::strategies(config).expect("the registry has them");
        let parts = (feed, registry::ouch_session(config), strategies);
        let pipeline = assemble::pipeline(config, RunState::default(), parts, &mut memory).expect("right limits");
        let session = config.session.as_ref().expect("there is a session");
        let own = config.port.address.expect("there is an address");
        let bypass = BypassConfig::new([2, 0x54, 0, 0, 0, 3], own.address, own.prefix_bits, session.address);
        let port = Stopwatch { port: MemoryPort::new(1024), clock: clock.clone(), handed_out_ns: 0, submitted_ns: 0 };
        let (inside_ns, next_seq) = (Figures::default(), Rc::default());
        let parts = Parts {
            ports: vec![port],
            transport: Some(BypassTcp::new(bypass).expect("right addresses")),
            recorder: Watch { recorder, figures: Rc::clone(&inside_ns), next_seq: Rc::clone(&next_seq) },
            clock: clock.clone(),
            words,
            commands: None,
            pipeline,
            streams: vec![STREAM],
            shed: |_| 0,
        };
        let settings = LoopConfig {
            strategy_budget_ns: 1_000_000,
            block: false,
            sample_stages_every: config.run_loop.sample_stages_every,
            account: session.account,
            day: 1,
            // No daemon beats here, and one that is missed stops trading.
            daemon_silence_ns: 0,
            daemon_halt_ns: 0,
        };
        Self {
            engine: Engine::new(parts, settings, CatchUnwind),
            peer: Peer::listen(session.address),
            clock: clock.clone(),
            inside_ns,
            next_seq,
            outside_ns: Vec::new(),
            frame: Vec::with_capacity(2048),
        }
    }

    /// One datagram through the loop, then whatever the venue has to say to it.
    fn tick(&mut self, payload: &[u8]) {
        self.frame.clear();
        self.frame.resize(HEADERS_BYTES, 0);
        self.frame.extend_from_slice(payload);
        let record = FrameRecord {
            version: STEER_VERSION,
            kind: FRAME_UDP,
            stream: STREAM.0,
            payload_offset: HEADERS_BYTES as u16,
            payload_bytes: payload.len() as u16,
            arrival_tai_ns: self.clock.now(),
            ..FrameRecord::default()
        };
        let stamped = self.inside_ns.borrow().len();
        let port = &mut self.engine.ports_mut()[0];
        assert!(port.port.put(&record, &self.frame), "the port has buffers");
        self.engine.turn();
        // Housekeeping of the connection is submitted too: only with an order is it the order's frame.
        if self.inside_ns.borrow().len() > stamped
            && let Some(interval) = self.engine.ports()[0].interval_ns()
        {
            self.outside_ns.push(interval);
        }
        self.settle();
    }

    /// Until nobody has anything to say.
    fn settle(&mut self) {
        while self.peer.exchange(TaiNs(self.clock.now()), &mut self.engine.ports_mut()[0].port) {
            self.engine.turn();
        }
    }

    pub(super) fn log_in(&mut self) {
        let start = self.clock.now();
        while !self.engine.pipeline().desk().can_trade() {
            self.engine.turn();
            self.settle();
            let halt = self.engine.pipeline().desk().gate().halt();
            assert!(self.clock.now() - start < 10_000_000_000, "the venue takes the login; halted: {halt:?}");
        }
    }

    /// Datagrams, no faster than `journal` takes the records of this loop, if it does at all.
    pub(super) fn ticks(&mut self, datagrams: &[Vec<u8>], journal: Option<&Progress>) {
        for some in datagrams.chunks(16) {
            some.iter().for_each(|datagram| self.tick(datagram));
            if let Some(journal) = journal {
                journal.wait(self.next_seq.get(), RECORDS_AHEAD);
            }
        }
    }

    /// One run: p50 and p99 of frame seen to order encoded, then the same from outside, then the median that each
    /// stage of the way took.
    pub(super) fn run(&mut self, datagrams: &[Vec<u8>], journal: Option<&Progress>) -> Run {
        self.inside_ns.borrow_mut().clear();
        self.outside_ns.clear();
        self.ticks(datagrams, journal);
        let stamps = self.inside_ns.borrow();
        assert!(stamps.len() >= 300, "only {} of {} datagrams caused orders", stamps.len(), datagrams.len());
        assert_eq!(stamps.len(), self.outside_ns.len(), "every order left as a frame");
        let mut inside: Vec<u64> = stamps.iter().map(|stamps| stamps[Stage::Encoded as usize]).collect();
        let outside = &mut self.outside_ns;
        let figures = [percentile(&mut inside, 50.0), percentile(&mut inside, 99.0)];
        let [p50, p99] = [percentile(outside, 50.0), percentile(outside, 99.0)];
        let mut before = Stage::FrameSeen;
        let stages = WAY.map(|stage| {
            let took = |stamps: &[u64; STAGES]| stamps[stage as usize].saturating_sub(stamps[before as usize]);
            let mut took: Vec<u64> = stamps.iter().map(took).collect();
            before = stage;
            percentile(&mut took, 50.0)
        });
        Run { figures: [figures[0], figures[1], p50, p99], stages }
    }
}

/// What one run found, ns.
pub(super) struct Run {
    /// p50 and p99 from inside, then from outside.
    pub(super) figures: [f64; 4],
    stages: [f64; WAY.len()],
}

/// How much is measured: parts of the flow, one a run.
#[derive(Clone, Copy)]
struct Parting {
    warm: usize,
    run: usize,
    runs: usize,
}

fn measure(config: &Config, flow: &Flow, parting: Parting) -> (Vec<Run>, Vec<Run>, u64) {
    let (clock, _anchorer) = tern_hw::clock::calibrate();
    let (mut data_plane, mut daemon) = segment(config);
    let (mut bare_data_plane, _bare_daemon) = segment(config);
    let ends = data_plane.ends().expect("rings of our own");
    let words = ends.segment;
    let bare_words = bare_data_plane.ends().expect("rings of our own").segment;
    let ((ours, peer, orders), _) = journaling(&mut daemon, move |journal| {
        let mut ours = Rig::new(config, words.words(), ends.recorder, &clock);
        let mut peer = Rig::new(config, bare_words.words(), NullRecorder::default(), &clock);
        let (opening, steady) = flow.datagrams.split_at(flow.steady_from);
        let (warm, rest) = steady.split_at(parting.warm);
        // In turns, so that neither loop stands still long enough for its venue to seem gone.
        let mut both = |datagrams: &[Vec<u8>]| {
            for some in datagrams.chunks(1_000) {
                ours.ticks(some, Some(journal));
                peer.ticks(some, None);
            }
        };
        both(opening);
        both(warm);
        ours.log_in();
        peer.log_in();
        let mut figures = (Vec::new(), Vec::new());
        for (run, part) in rest.chunks_exact(parting.run).take(parting.runs).enumerate() {
            if run % 2 == 0 {
                figures.0.push(ours.run(part, Some(journal)));
            }
            figures.1.push(peer.run(part, None));
            if run % 2 == 1 {
                figures.0.push(ours.run(part, Some(journal)));
            }
        }
        let desk = ours.engine.pipeline().desk();
        assert!(desk.books().order_count() > 0 && desk.gate().halt().is_none(), "the loop trades to the end");
        (figures.0, figures.1, ours.peer.venue().orders())
    });
    (ours, peer, orders)
}

/// See the module.
pub fn tick_to_order(plan: Plan) -> Vec<Row> {
    let config = configuration();
    let opening_orders = if plan.scale == 1 { 1_000_000 } else { 5_200_000 };
    let mut rows = Vec::new();
    for packing in [Packing::Recorded, Packing::Busy] {
        // About one datagram in twenty causes an order, of the long ones one in three.
        let run = plan.scale * if packing == Packing::Busy { 4_000 } else { 20_000 };
        let parting = Parting { warm: 30_000, run, runs: plan.runs.max(RUNS_MIN) };
        let datagrams = (parting.warm + (parting.runs + 1) * parting.run) as u64;
        let steady = datagrams * if packing == Packing::Busy { 14 } else { 4 };
        let flow = generate(flow::Plan { shape: Shape::RealDay, opening_orders, steady, packing, burst: false });
        let part = flow.messages_from(flow.steady_from) as f64 / (flow.datagrams.len() - flow.steady_from) as f64;
        let (ours, peer, orders) = measure(&config, &flow, parting);
        let figures = |of: &[Run], index: usize| of.iter().map(|run| run.figures[index]).collect::<Vec<f64>>();
        let stage = |index: usize| {
            let took = median(&ours.iter().map(|run| run.stages[index]).collect::<Vec<f64>>());
            format!("{} {took:.0}", STAGE_NAMES[WAY[index] as usize])
        };
        let stages = (0..WAY.len()).map(stage).collect::<Vec<String>>().join(", ");
        let names: &[(&'static str, usize, Option<f64>)] = match packing {
            Packing::Recorded => &[
                ("tick_to_order_p50", 0, Some(300.0)),
                ("tick_to_order_p99", 1, Some(1_200.0)),
                ("tick_to_order_outside_p50", 2, None),
                ("tick_to_order_outside_p99", 3, None),
            ],
            Packing::Busy => &[("tick_to_order_busy_p50", 0, None), ("tick_to_order_busy_p99", 1, None)],
        };
        for (metric, index, target) in names {
            let note = match index {
                0 => format!(
                    "frame seen to order encoded; {opening_orders} live orders before the open, {part:.1} messages a \
                     datagram, {orders} order messages in all; medians of the stages: {stages}"
                ),
                1 => "the same, 99th percentile of each run".into(),
                2 => "from the port's side: frame handed out to the order's frame submitted".into(),
                _ => "the same, 99th percentile of each run".into(),
            };
            let row = RowBuilder::new(metric, "ns", figures(&ours, *index))
                .peer("the same loop with nothing journaled", figures(&peer, *index))
                .note(note);
            rows.push(if let Some(target) = target { row.target(*target).build() } else { row.build() });
        }
    }
    rows
}
