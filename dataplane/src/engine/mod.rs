//! The loop: ports, order connection, commands and timers around one pipeline.
//!
//! One turn looks at everything once. Nothing here allocates, locks or calls the system but the port's kick (and, with
//! the wait strategy `block`, its wait). What is decided, is decided in the pipeline; the loop brings inputs in the
//! order in which it saw them and takes bytes away.

mod bounds;
mod control;
mod daemon;
mod frames;
mod limits;
mod link;
mod scopes;
mod tails;

use crate::clock::Clock;
use crate::net::{OrderTransport, TransportEvent};
use crate::observe::{self, WireDrops};
use crate::probe::StageProbe;
use crate::tails::Tails;
use crate::watch::RiskWatch;
use daemon::DaemonWatch;
use scopes::ScopesSeen;
use tern_abi::command::{Command, CommandKind};
use tern_abi::counters::LoopCounter;
use tern_abi::record::{Kind, Recorder, RingFull};
use tern_abi::ring::commands::CommandReceiver;
use tern_abi::segment::{ScopeKind, SessionFault, SessionState, Words};
use tern_core::feed::Feed;
use tern_core::input::Input;
use tern_core::pipeline::Pipeline;
use tern_core::probe::Isolate;
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::{ConnId, StreamId, TaiNs};
use tern_core::wire::WireDrop;
use tern_hw::port::{FrameBatch, Port};
use zerocopy::IntoBytes;

/// The order connection of this host. There is one in this version.
pub const CONN: ConnId = ConnId(0);

/// Session bytes taken at once.
const SESSION_BYTES: usize = 2048;
/// Pause between two signs of life.
const BEAT_NS: u64 = 1_000_000;
/// Pause between two looks at the counters of kernel sockets: each is a system call a socket.
const SOCKET_LOOK_NS: u64 = 100_000_000;
/// From one record of all counters to the next.
const COUNTERS_NS: u64 = 1_000_000_000;
/// A turn that takes longer is a pause of the process.
const STILL_NS: u64 = 100_000_000;
/// Longest wait in the kernel (wait strategy `block`).
const WAIT_NS_MAX: u64 = 5_000_000;

/// How the loop behaves.
#[derive(Clone, Copy, Debug)]
pub struct LoopConfig {
    /// Blocks in the kernel when nothing is to be done, instead of spinning.
    pub block: bool,
    /// One datagram in so many has its stages recorded even if it caused no order; 0 = none.
    pub sample_stages_every: u32,
    /// Account index in the segment's order-id words.
    pub account: u16,
    /// The trading day that order ids count in.
    pub day: u32,
    /// After so long without a beat of the daemon only cancels leave; 0 = it is not missed.
    pub daemon_silence_ns: u64,
    /// After so long trading stops until an operator resumes; 0 = it does not.
    pub daemon_halt_ns: u64,
    /// A call to a strategy may take so long; 0 = it is not measured.
    pub strategy_budget_ns: u64,
}

/// Everything that a loop works with.
pub struct Parts<'a, P, T, R, C, F, O, S> {
    /// Ports; orders leave by the first.
    pub ports: Vec<P>,
    /// The order connection; `None` when the instance only observes.
    pub transport: Option<T>,
    /// Where records go.
    pub recorder: R,
    /// The loop's time.
    pub clock: C,
    /// Kill word, counters, heartbeats.
    pub words: &'a Words,
    /// Commands of the control plane.
    pub commands: Option<CommandReceiver<'a>>,
    /// The pipeline.
    pub pipeline: Pipeline<F, O, S>,
    /// Streams that the feeds read.
    pub streams: Vec<StreamId>,
    /// Datagrams that the recorder shed so far.
    pub shed: fn(&R) -> u64,
}

/// The loop.
pub struct Engine<'a, P, T, R, C, I, F, O, S> {
    parts: Parts<'a, P, T, R, C, F, O, S>,
    config: LoopConfig,
    isolate: I,
    probe: StageProbe<C>,
    batch: FrameBatch,
    drops: WireDrops,
    known_streams: Box<[u64; 1024]>,
    /// Session bytes that were taken and could not be recorded yet, or the buffer for the next.
    session_bytes: Box<[u8; SESSION_BYTES]>,
    /// An event that could not be recorded yet.
    held_event: Option<TransportEvent>,
    /// The kill word that was acted on last.
    killed_word: u64,
    /// Kills that the word had counted then: one that was taken back before the loop looked is still a kill.
    kills_seen: u32,
    /// A kill was acted on and could not be recorded yet.
    kill_unrecorded: Option<Command>,
    /// What the pipeline was told of the segment's scopes, and as of which version of them.
    scopes: ScopesSeen,
    /// The daemon's heartbeat.
    daemon: DaemonWatch,
    /// The segment says which limits are in force, with what an earlier run left.
    limits_kept: bool,
    /// What is shown of what uses the limits.
    watch: RiskWatch,
    /// Room that the pipeline believes in.
    room_told: usize,
    next_id_told: u32,
    messages_told: u32,
    /// Orders below this id were open when the last cancel-all came and are followed until they are gone; 0 = none.
    cancel_all_before: u32,
    /// In which scope they are.
    cancel_all_scope: (ScopeKind, u64),
    is_up: bool,
    /// Why the last connection ended.
    session_fault: SessionFault,
    is_stopping: bool,
    /// Something was submitted since the last kick.
    kick_due: bool,
    until_sample: u32,
    next_beat: TaiNs,
    /// The next look at the counters of kernel sockets; those of AF_XDP are another thread's.
    next_socket_look: TaiNs,
    /// The next record of all counters.
    next_counters: TaiNs,
    turns: u64,
    /// Datagrams that took longer than nearly all others.
    tails: Tails,
    /// When this turn began, before it looked at the ports.
    turn_began: TaiNs,
    /// How long the turn before it took.
    turn_ns: u64,
    /// For how long the process stood still, all pauses together.
    still_ns: u64,
}

impl<'a, P, T, R, C, I, F, O, S> Engine<'a, P, T, R, C, I, F, O, S>
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
    /// A loop that has not turned yet. All memory is taken here.
    pub fn new(parts: Parts<'a, P, T, R, C, F, O, S>, config: LoopConfig, isolate: I) -> Self {
        let mut known_streams = Box::new([0_u64; 1024]);
        for stream in &parts.streams {
            known_streams[stream.index() / 64] |= 1 << (stream.index() % 64);
        }
        let clock = parts.clock.clone();
        let parts_words = parts.words;
        let kills_seen = parts.words.kill.state().kills();
        let scopes = ScopesSeen::begin(parts_words, parts.pipeline.desk().owners());
        let has_sockets = parts.ports.iter().any(|port| port.facts().kind == "socket");
        Self {
            parts,
            config,
            isolate,
            probe: StageProbe::new(clock, config.strategy_budget_ns),
            batch: FrameBatch::default(),
            drops: [0; WireDrop::COUNT],
            known_streams,
            session_bytes: Box::new([0; SESSION_BYTES]),
            held_event: None,
            killed_word: 0,
            kills_seen,
            kill_unrecorded: None,
            scopes,
            daemon: DaemonWatch::new(config.daemon_silence_ns, config.daemon_halt_ns),
            limits_kept: false,
            watch: RiskWatch::new(parts_words),
            room_told: 0,
            next_id_told: 0,
            messages_told: 0,
            cancel_all_before: 0,
            cancel_all_scope: (ScopeKind::Firm, 0),
            is_up: false,
            session_fault: SessionFault::None,
            is_stopping: false,
            kick_due: false,
            until_sample: config.sample_stages_every,
            next_beat: TaiNs(0),
            next_socket_look: if has_sockets { TaiNs(0) } else { TaiNs::NEVER },
            next_counters: TaiNs(0),
            turns: 0,
            tails: Tails::default(),
            turn_began: TaiNs(0),
            turn_ns: 0,
            still_ns: 0,
        }
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Pipeline<F, O, S> {
        &self.parts.pipeline
    }

    /// The ports, for statistics.
    pub fn ports(&self) -> &[P] {
        &self.parts.ports
    }

    /// The ports, for tests that play the wire.
    pub fn ports_mut(&mut self) -> &mut [P] {
        &mut self.parts.ports
    }

    /// The order connection.
    pub fn transport(&self) -> Option<&T> {
        self.parts.transport.as_ref()
    }

    /// The shared words.
    pub fn words(&self) -> &'a Words {
        self.parts.words
    }

    /// Turns until the pipeline has shut down or, once `should_stop` said so, `patience_ns` passed; then closes the
    /// connection.
    pub fn run(&mut self, mut should_stop: impl FnMut() -> bool, patience_ns: u64) {
        let mut give_up = TaiNs::NEVER;
        loop {
            let busy = self.turn();
            if !busy && self.config.block {
                self.wait();
            }
            // A look at the flag is a look at memory that is in the cache unless somebody wrote to it.
            if give_up == TaiNs::NEVER && (should_stop() || self.is_stopping) {
                give_up = self.parts.clock.now().plus(patience_ns);
                if !self.is_stopping {
                    self.stop();
                }
            }
            if give_up != TaiNs::NEVER && (self.is_finished() || self.parts.clock.now() >= give_up) {
                break;
            }
        }
        self.close(patience_ns);
    }

    fn is_finished(&self) -> bool {
        self.parts.pipeline.is_finished() && self.parts.pipeline.pending_control(CONN).is_empty()
            || self.parts.transport.is_none()
            || !self.is_up
    }

    /// Cancels all, then logs out; the same as the shutdown command.
    pub fn stop(&mut self) {
        self.is_stopping = true;
        let command = Command { kind: CommandKind::Shutdown as u32, uid: u32::MAX, ..Command::default() };
        // Trading is stopped even if there is no room to record why.
        let _ = self.input(self.parts.clock.now(), Input::Command(&command));
        self.hand_over();
        self.kick();
    }

    /// Closes the order connection and waits until it is closed, at most `patience_ns`.
    fn close(&mut self, patience_ns: u64) {
        let (start, network_time) = (self.parts.clock.now(), self.network_time());
        if let (Some(transport), Some(port)) = (&mut self.parts.transport, self.parts.ports.first_mut()) {
            transport.close(network_time, port);
        }
        self.kick_due = true;
        while self.parts.transport.as_ref().is_some_and(|transport| !transport.is_closed())
            && self.parts.clock.now().since(start) < patience_ns
        {
            self.kick();
            self.turn();
        }
        self.kick();
        self.publish(self.parts.clock.now());
        self.tell_outliers(self.parts.clock.now(), true);
    }

    /// Loops turn without pause; one that took so long did not run (stopped, migrated, starved of its core).
    fn begin_turn(&mut self) {
        let now = self.parts.clock.now();
        let took_ns = now.since(self.turn_began);
        self.turn_ns = took_ns;
        if took_ns > STILL_NS && self.turn_began != TaiNs(0) {
            self.still_ns += took_ns;
        }
        self.turn_began = now;
    }

    /// The connection's time: that of the turn's begin, without the pauses of the process. While it stood still it did
    /// not hear the venue, which so was not silent.
    fn network_time(&self) -> TaiNs {
        TaiNs(self.turn_began.0.saturating_sub(self.still_ns))
    }

    /// Looks at everything once. Returns whether there was something to do.
    pub fn turn(&mut self) -> bool {
        self.turns += 1;
        self.begin_turn();
        if !self.limits_kept {
            self.limits_kept = self.keep_limits();
        }
        let mut busy = self.heed_kill();
        if busy {
            self.hand_over();
        }
        if let Some(command) = self.kill_unrecorded {
            busy = true;
            if self.input(self.parts.clock.now(), Input::Command(&command)).is_ok() {
                self.kill_unrecorded = None;
            }
        }
        self.tell_stopped();
        if self.heed_scopes() {
            busy = true;
            self.hand_over();
        }
        for index in 0..self.parts.ports.len() {
            busy |= self.receive(index);
        }
        let now = if busy { self.parts.clock.now() } else { self.turn_began };
        busy |= self.poll_transport(now, false);
        busy |= self.take_command(now);
        if now >= self.parts.pipeline.next_deadline() {
            let _ = self.input(now, Input::Timer);
            self.hand_over();
            busy = true;
        }
        self.kick();
        if self.probe.has_overrun() {
            self.tell_overruns();
        }
        if now >= self.next_beat {
            self.watch_daemon(now);
            self.publish(now);
        }
        if busy {
            self.parts.words.counters.add(LoopCounter::LoopBusy, 1);
        }
        busy
    }

    fn publish(&mut self, now: TaiNs) {
        self.next_beat = now.plus(BEAT_NS);
        self.scopes.look_again();
        self.parts.words.data_plane_beat.beat(now.0, self.turns);
        self.parts.words.counters.set(LoopCounter::LoopIterations, self.turns);
        let parts = &self.parts;
        if now >= self.next_socket_look {
            self.next_socket_look = now.plus(SOCKET_LOOK_NS);
            observe::publish_sockets(parts.words, parts.ports.iter().map(Port::statistics));
        }
        let unkept = self.scopes.unkept(parts.pipeline.desk().gate().scopes().stopped());
        observe::publish(parts.words, &parts.pipeline, &self.drops, &parts.streams, unkept, now);
        self.watch.look(parts.words, parts.pipeline.desk(), now);
        parts.words.counters.set(LoopCounter::CaptureShed, (parts.shed)(&parts.recorder));
        if let Some(transport) = &parts.transport {
            observe::publish_tcp(parts.words, transport.counters());
            parts.words.conns[CONN.index()].write(&transport.mirror(now));
        }
        if self.cancel_all_before != 0 {
            let (kind, key) = self.cancel_all_scope;
            let pending = parts.pipeline.desk().open_orders_of_then(self.cancel_all_before, kind, key);
            parts.words.cancel_all.set_pending(pending);
            if pending == 0 {
                self.cancel_all_before = 0;
            }
        }
        self.publish_session(now);
        self.tell_outliers(now, false);
        if now >= self.next_counters {
            self.next_counters = now.plus(COUNTERS_NS);
            let counters = self.parts.words.counters.snapshot();
            // What does not fit is done without: the next second has it, and it decides nothing.
            let _ = self.parts.recorder.record(now.0, Kind::Counters, &[counters.as_bytes()]);
        }
    }

    /// Where the order session is and, unless it is ready, what went wrong last.
    fn publish_session(&self, now: TaiNs) {
        let Parts { words, transport, pipeline, .. } = &self.parts;
        let (state, fault) = match (transport, self.is_up, pipeline.session().is_ready()) {
            (None, ..) => (SessionState::Absent, SessionFault::None),
            (Some(_), true, true) => (SessionState::Ready, SessionFault::None),
            (Some(_), true, false) => (SessionState::Connected, self.session_fault),
            (Some(transport), false, _) => {
                let failed = transport.connect_failure().map(observe::fault_of_connect);
                (SessionState::Down, failed.unwrap_or(self.session_fault))
            }
        };
        words.sessions.set(CONN.index(), state as u64, now.0);
        words.session_faults.set(CONN.index(), fault as u64, now.0);
    }

    /// Blocks until a frame comes or something else is due.
    fn wait(&mut self) {
        let now = self.parts.clock.now();
        let transport = self.parts.transport.as_ref().map_or(TaiNs::NEVER, OrderTransport::next_deadline);
        let transport = if transport == TaiNs::NEVER { transport } else { transport.plus(self.still_ns) };
        let due = self.parts.pipeline.next_deadline().min(transport).since(now);
        // With several ports only one can be waited for: the others are looked at soon.
        let longest = if self.parts.ports.len() > 1 { 100_000 } else { WAIT_NS_MAX };
        if let Some(port) = self.parts.ports.first_mut()
            && due > 0
        {
            // What fails here fails at the next receive too, where it shows as a port that brings nothing.
            let _ = port.wait(due.min(longest));
        }
    }

    /// Calls to strategies took longer than they may: the pipeline is told of each strategy once a turn, as a command, so that
    /// what becomes of it can be replayed.
    #[cold]
    fn tell_overruns(&mut self) {
        while let Some((index, took_ns)) = self.probe.take_overrun() {
            self.parts.words.counters.add(LoopCounter::StrategyOverruns, 1);
            let Some(owner) = self.parts.pipeline.desk().owners().get(index) else { continue };
            let command = Command::strategy_overrun(owner.strategy.0, took_ns);
            // Later than a kill that was heeded meanwhile: the pipeline's time never goes back. One that does not fit is done
            // without: then trading is stopped for that reason.
            let now = self.parts.clock.now();
            let _ = self.input(now, Input::Command(&command));
        }
        self.hand_over();
    }

    /// One input that is not a datagram.
    fn input(&mut self, now: TaiNs, input: Input<'_>) -> Result<(), RingFull> {
        self.parts.pipeline.on_input(now, input, &mut self.parts.recorder, self.probe.calls(), &mut self.isolate)
    }
}
