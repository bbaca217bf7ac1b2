//! A live run: takes what it needs from the host, gives away what it does not need any more, and turns the loop until it is stopped.

use crate::arenas::Arenas;
use crate::assemble::{self, RunState};
use crate::clock::Clock;
use crate::engine::{Engine, LoopConfig, Parts};
use crate::housekeeping::Housekeeping;
use crate::isolate::{CatchUnwind, watch_panics};
use crate::names::names;
use crate::net::OrderTransport;
use crate::net::bypass::{BypassConfig, BypassTcp};
use crate::net::kernel::KernelTcp;
use crate::place;
use crate::recovery::{self, Known};
use anyhow::Context;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};
use tern_abi::ABI_VERSION;
use tern_abi::record::{Kind, Recorder, StartRecord};
use tern_abi::segment::Segment;
use tern_config::facts::{DataplaneFacts, FACTS_VERSION, PortFact, SandboxFact, StrategyFact};
use tern_config::{AutoOff, Config, Mac, PortKind, Wait};
use tern_core::feed::Feed;
use tern_core::pipeline::Pipeline;
use tern_core::reconcile::Ledger;
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_hw::clock::{Anchorer, Source};
use tern_hw::port::Port;
use tern_hw::sandbox::{Reach, Sandbox};
use tern_hw::segment::{Backing, DataPlaneEnds, DataPlaneSegment, SegmentSpec};
use tern_hw::socket::membership::Membership;
use tern_hw::socket::{SocketPort, SocketPortConfig, SocketSubscription};
use tern_hw::xdp::{XdpConfig, XdpPort, ZeroCopy};
use zerocopy::IntoBytes;

/// How long a stop may take until the connection is closed with orders still open.
const STOP_PATIENCE_NS: u64 = 2_000_000_000;
/// How long `ternd` may take to bring the last run's records into the journal.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two looks at a kernel connection when the loop spins, and when it blocks.
const KERNEL_POLL_NS: (u64, u64) = (2_000, 200_000);

/// What a run found and did without, for the facts file and the log.
#[derive(Debug, Default)]
struct Report {
    ports: Vec<PortFact>,
    arenas_huge_pages: bool,
    core: Option<u32>,
    sched_fifo: bool,
    sandbox: Option<SandboxFact>,
    fallbacks: Vec<String>,
}

impl Report {
    fn fallback(&mut self, text: impl Into<String>) {
        let text = text.into();
        tracing::warn!("{text}");
        self.fallbacks.push(text);
    }
}

/// Runs the data plane of `config` until `stop` is set or a shutdown command comes.
///
/// `parts` makes feed, session and strategies, given the memory for hot tables.
///
/// # Errors
/// What kept it from starting, for the user.
pub fn run<F: Feed, O: OrderSession, S: StrategySet>(
    config: &Config,
    stop: &'static AtomicBool,
    parts: impl FnOnce(&mut Arenas) -> anyhow::Result<(F, O, S)>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    watch_panics();
    let mut report = Report::default();
    let day = config.trading_day(utc_s());
    config.check_dates(day).map_err(|problem| tern_config::Problems(vec![problem]))?;
    let spec = SegmentSpec {
        path: config.paths.segment_file().map(Into::into),
        sizes: config.rings.sizes(),
        huge_pages: config.port.huge_pages == AutoOff::Auto,
        ..SegmentSpec::new(config.instance.name.clone())
    };
    let mut segment = DataPlaneSegment::open(&spec)?;
    if let Backing::Ordinary { why } = segment.backing()
        && !why.is_empty()
    {
        let text = format!("segment on ordinary pages: {why}");
        report.fallback(text);
    }
    let ends = segment.ends()?;
    let words = ends.segment;
    let (clock, anchorer) = tern_hw::clock::calibrate();
    if let Source::Kernel(why) = clock.source() {
        report.fallback(format!("time is read from the kernel: {why}"));
    }
    let day = config.trading_day(utc_s());
    let (mut state, ledger) = match &config.session {
        Some(_) => take_over(config, &ends, day, Clock::now(&clock).0)?,
        None => (RunState { day, ..RunState::default() }, None),
    };
    (state.opens_ns, state.closes_ns) = hours(config, day, Clock::now(&clock).0);

    let mut arenas = Arenas::new(config.port.huge_pages == AutoOff::Auto);
    let parts = parts(&mut arenas)?;
    let mut pipeline = assemble::pipeline(config, state, parts, &mut arenas)?;
    if let Some(ledger) = ledger {
        pipeline.recover(ledger);
    }
    report.arenas_huge_pages = arenas.is_huge();
    arenas.fallbacks().into_iter().for_each(|text| report.fallback(text));
    let run = Run { config, stop, began, clock, day, state, run: words.runs.get() };
    match config.port.kind {
        PortKind::Xdp => run.over_xdp(ends, anchorer, pipeline, report),
        PortKind::Socket => run.over_sockets(ends, anchorer, pipeline, report),
    }
}

/// Seconds since 1970 UTC, for the venue's calendar: the loop's clock tells TAI, and no one tells it when UTC leaps.
fn utc_s() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// What earlier runs of the day left behind, and scopes that the segment does not know: it may be a new one.
fn take_over(
    config: &Config,
    ends: &DataPlaneEnds<'_>,
    day: u32,
    now_ns: u64,
) -> anyhow::Result<(RunState, Option<Ledger>)> {
    let words = ends.segment;
    let undrained = || ends.recorder.undrained_slots();
    let (state, journal) =
        recovery::take_over(&config.paths.journal, &known(config, &words, day), undrained, JOURNAL_PATIENCE)
            .context("recovering the day from the journal")?;
    // No run has shown its limits here yet: the segment is new, or those before this one failed at their start.
    if words.limits.read().is_none() {
        recovery::remind(&journal, &words, now_ns)?;
    }
    if config.day.managed {
        recovery::hold_day(&journal, &words, day, now_ns)?;
    }
    has_bounds_of(config, &words, day)?;
    let ledger = recovery::ledger(&journal, &state, &assemble::opening(config));
    Ok((state, Some(ledger)))
}

/// Whether the configuration still bounds the price of each symbol of which bounds were set in the day `day`: in a symbol
/// without bounds there is no place for them, and nobody has lifted them.
fn has_bounds_of(config: &Config, words: &Segment<'_>, day: u32) -> anyhow::Result<()> {
    let Some(state) = words.bounds.read().filter(|state| state.day == day) else { return Ok(()) };
    let there = config.price_bounds();
    for shown in state.shown() {
        let symbol = String::from_utf8_lossy(&shown.symbol).trim_end().to_owned();
        anyhow::ensure!(
            there.contains_key(&symbol),
            "{}: bounds of {symbol}'s price were set today and hold until the day ends, but no price_min or price_max in \
             [[limits.symbol]] and no reference.price_bands bounds {symbol} any more: put them back, and loosen with `tern risk set`",
            config.file().display()
        );
    }
    Ok(())
}

/// What the segment remembers of the account.
fn known(config: &Config, words: &Segment<'_>, day: u32) -> Known {
    let account = config.session.as_ref().map_or(0, |session| usize::from(session.account));
    Known {
        day,
        next_order: words.next_order.get(account),
        messages: words.messages.get(account),
        high_water: words.usage.read().map_or(0, |usage| usage.high_water),
        journaled_seq: words.journaled_seq.get(),
    }
}

/// From when and until before when orders may be sent, in the loop's time, of which it is `now_ns`. 0: no bound, where the
/// configuration gives none; a run that outlives its day by a moment must not stop for it.
fn hours(config: &Config, day: u32, now_ns: u64) -> (u64, u64) {
    let ahead_s = (now_ns / 1_000_000_000).cast_signed() - utc_s().cast_signed();
    let tai_ns = |utc_s: i64| (utc_s + ahead_s).max(0).cast_unsigned().saturating_mul(1_000_000_000);
    let (Some(session), Some((from, until))) = (&config.session, config.order_hours(day)) else { return (0, 0) };
    (session.orders_from.map_or(0, |_| tai_ns(from)), session.orders_until.map_or(0, |_| tai_ns(until)))
}

struct Run<'c> {
    config: &'c Config,
    stop: &'static AtomicBool,
    began: Instant,
    clock: tern_hw::clock::Clock,
    day: u32,
    state: RunState,
    run: u64,
}

impl Run<'_> {
    fn over_xdp<F: Feed, O: OrderSession, S: StrategySet>(
        &self,
        ends: DataPlaneEnds<'_>,
        anchorer: Anchorer,
        pipeline: Pipeline<F, O, S>,
        mut report: Report,
    ) -> anyhow::Result<()> {
        let port = &self.config.port;
        let mut ports = Vec::with_capacity(port.queues.len());
        for queue in &port.queues {
            let opened = XdpPort::open(&XdpConfig {
                rx_frames: port.ring_frames,
                rx_ring: port.ring_frames,
                zero_copy: if port.zero_copy == AutoOff::Auto { ZeroCopy::Prefer } else { ZeroCopy::Never },
                huge_pages: port.huge_pages == AutoOff::Auto,
                ..XdpConfig::new(port.interface.clone(), *queue, self.config.paths.pins(&port.interface))
            })?;
            opened.fallbacks().iter().for_each(|text| report.fallback(text.clone()));
            ports.push(opened);
        }
        let readers = ports.iter().map(XdpPort::statistics_reader).collect::<Result<Vec<_>, _>>()?;
        // The kernel joins for us: it answers the queries of switches for as long as this lives.
        let mut membership = Membership::new(&port.interface)?;
        for feed in &self.config.feed {
            membership.join(feed.group)?;
        }
        let transport = self.bypass()?;
        let housekeeping = Housekeeping::new(readers, anchorer);
        self.turn(ends, pipeline, ports, transport, housekeeping, report)
    }

    fn over_sockets<F: Feed, O: OrderSession, S: StrategySet>(
        &self,
        ends: DataPlaneEnds<'_>,
        anchorer: Anchorer,
        pipeline: Pipeline<F, O, S>,
        mut report: Report,
    ) -> anyhow::Result<()> {
        let subscriptions = self.config.feed.iter().map(|feed| SocketSubscription {
            group: feed.group,
            port: feed.port,
            stream: feed.stream,
            line: feed.line.index(),
        });
        let port =
            SocketPort::open(&SocketPortConfig::new(self.config.port.interface.clone(), subscriptions.collect()))?;
        port.fallbacks().iter().for_each(|text| report.fallback(text.clone()));
        let pause = match self.config.run_loop.wait {
            Wait::Spin => KERNEL_POLL_NS.0,
            Wait::Block => KERNEL_POLL_NS.1,
        };
        let transport = self.config.session.as_ref().map(|session| {
            let local = self.config.port.address.map(|network| network.address);
            KernelTcp::new(local, session.address, session.reconnect_ms * 1_000_000, pause)
        });
        self.turn(ends, pipeline, vec![port], transport, Housekeeping::new(Vec::new(), anchorer), report)
    }

    fn bypass(&self) -> anyhow::Result<Option<BypassTcp>> {
        let port = &self.config.port;
        let (Some(session), Some(own)) = (&self.config.session, port.address) else { return Ok(None) };
        let mac = match port.mac {
            Mac::Address(mac) => mac,
            Mac::Auto => tern_hw::interface::mac_address(&port.interface)
                .with_context(|| format!("reading the MAC address of {}", port.interface))?,
        };
        let settings = BypassConfig {
            gateway: port.gateway,
            reconnect_ns: session.reconnect_ms * 1_000_000,
            run: self.run,
            // Differs in every run and every boot.
            seed: Clock::now(&self.clock).0 ^ u64::from(std::process::id()).rotate_left(40),
            ..BypassConfig::new(mac, own.address, own.prefix_bits, session.address)
        };
        BypassTcp::new(settings).map(Some).map_err(anyhow::Error::msg)
    }

    /// Everything is open: settle in, shut the door, turn.
    fn turn<P: Port, T: OrderTransport<P>, F: Feed, O: OrderSession, S: StrategySet>(
        &self,
        mut ends: DataPlaneEnds<'_>,
        pipeline: Pipeline<F, O, S>,
        ports: Vec<P>,
        transport: Option<T>,
        housekeeping: Housekeeping,
        mut report: Report,
    ) -> anyhow::Result<()> {
        report.ports = ports.iter().map(|port| port_fact(&port.facts())).collect();
        let segment = ends.segment;
        let words = segment.words();
        let ended = AtomicBool::new(false);
        let thread = tern_hw::thread::ThreadWatch::of_this_thread();
        if let Err(error) = &thread {
            report.fallback(format!("what the kernel does to the loop's thread is not seen: {error}"));
        }
        let housekeeping = housekeeping.watching(thread.ok());
        let sandbox = self.sandbox(&mut report);
        let (confined, confinement) = mpsc::channel();
        let (sandbox, has_ended) = (sandbox.as_ref(), &ended);
        std::thread::scope(|scope| {
            // Before this thread is pinned: a new thread would share its core.
            let keeper = std::thread::Builder::new()
                .name("tern-housekeeping".into())
                .spawn_scoped(scope, move || {
                    if confined.send(confine_thread(sandbox)).is_ok() {
                        housekeeping.run(words, has_ended);
                    }
                })
                .context("starting the housekeeping thread")?;
            let outcome = self.settle(&mut ends, &mut report).map(|()| {
                let parts = Parts {
                    ports,
                    transport,
                    recorder: ends.recorder,
                    clock: self.clock.clone(),
                    words,
                    commands: Some(ends.commands),
                    pipeline,
                    streams: assemble::streams(self.config),
                    shed: |recorder| recorder.shed_total().datagrams,
                };
                Engine::new(parts, self.loop_config(), CatchUnwind)
            });
            let outcome = outcome.and_then(|mut engine| {
                // The last file: none can be written behind this.
                self.write_facts(report)?;
                confinement.recv().context("waiting for the housekeeping thread")??;
                confine_thread(sandbox)?;
                let watched = match sandbox {
                    Some(sandbox) => sandbox.confine_calls(&words.kill).context(SANDBOX_OFF)?,
                    None => None,
                };
                tracing::info!(sandbox = watched.is_some(), "turning");
                engine.run(|| self.stop.load(Ordering::Relaxed), STOP_PATIENCE_NS);
                Ok(())
            });
            ended.store(true, Ordering::Release);
            keeper.thread().unpark();
            outcome
        })?;
        tracing::info!("stopped");
        Ok(())
    }

    fn loop_config(&self) -> LoopConfig {
        LoopConfig {
            block: self.config.run_loop.wait == Wait::Block,
            sample_stages_every: self.config.run_loop.sample_stages_every,
            account: self.config.session.as_ref().map_or(0, |session| session.account),
            day: self.day,
            daemon_silence_ns: self.config.daemon.silence_ms * 1_000_000,
            daemon_halt_ns: self.config.daemon.silence_halt_ms * 1_000_000,
            strategy_budget_ns: self.config.run_loop.strategy_budget_us * 1000,
        }
    }

    /// What the process will be shut into, and what of it this kernel lacks.
    fn sandbox(&self, report: &mut Report) -> Option<Sandbox> {
        if self.config.run_loop.sandbox == AutoOff::Off {
            report.fallback(
                "sandbox off (loop.sandbox = \"off\"): the data plane may open files and make every system call",
            );
            return None;
        }
        let reach = match (self.config.port.kind, &self.config.session) {
            (PortKind::Socket, Some(session)) => Reach::Tcp(session.address.port()),
            _ => Reach::Open,
        };
        let sandbox = Sandbox::of_this_kernel(reach);
        sandbox.fallbacks().iter().for_each(|text| report.fallback(text.clone()));
        report.sandbox = Some(SandboxFact { landlock: sandbox.landlock(), system_calls: sandbox.calls() });
        Some(sandbox)
    }

    /// Core, scheduling class and memory; then the run is announced.
    fn settle(&self, ends: &mut DataPlaneEnds<'_>, report: &mut Report) -> anyhow::Result<()> {
        let place = place::settle(self.config);
        (report.core, report.sched_fifo) = (place.core, place.sched_fifo);
        place.fallbacks.into_iter().for_each(|text| report.fallback(text));
        self.record_start(ends)
    }

    /// The first record of the run: who it is, and the configuration by which everything that follows was decided.
    fn record_start(&self, ends: &mut DataPlaneEnds<'_>) -> anyhow::Result<()> {
        let start =
            StartRecord { run: self.run, abi_version: ABI_VERSION, pid: std::process::id(), ..StartRecord::default() };
        let opening = assemble::opening_lines(self.config);
        let configuration = self.config.effective_toml() + &self.state.to_line() + &opening;
        let text = names().start_text(&configuration);
        ends.recorder
            .record(Clock::now(&self.clock).0, Kind::Start, &[start.as_bytes(), text.as_bytes()])
            .map_err(|_| anyhow::anyhow!("the order ring is full: is ternd running and the journal's disk not full?"))
    }

    fn write_facts(&self, report: Report) -> anyhow::Result<()> {
        let facts = DataplaneFacts {
            version: FACTS_VERSION,
            pid: std::process::id(),
            start_to_ready_ms: self.began.elapsed().as_millis() as u64,
            ports: report.ports,
            arenas_huge_pages: report.arenas_huge_pages,
            core: report.core,
            sched_fifo: report.sched_fifo,
            wait: match self.config.run_loop.wait {
                Wait::Spin => "spin",
                Wait::Block => "block",
            }
            .into(),
            sandbox: report.sandbox,
            fallbacks: report.fallbacks,
            venues: vec![assemble::VENUE.0],
            strategies: (self.config.strategy.iter())
                .map(|strategy| StrategyFact { name: strategy.name.clone(), id: strategy.id })
                .collect(),
            names: names(),
        };
        tracing::info!(
            ports = ?facts.ports,
            core = ?facts.core,
            sched_fifo = facts.sched_fifo,
            wait = facts.wait,
            arenas_huge_pages = facts.arenas_huge_pages,
            run = self.run,
            next_order_id = self.state.next_order_id,
            start_to_ready_ms = facts.start_to_ready_ms,
            "ready"
        );
        let path = self.config.paths.dataplane_facts();
        tern_config::facts::write(&path, &facts).with_context(|| format!("writing {}", path.display()))
    }
}

/// What to do when a kernel has the sandbox and does not give it.
const SANDBOX_OFF: &str = "shutting the data plane into its sandbox (loop.sandbox = \"off\" does without)";

/// The calling thread gives away its capabilities, and its files where there is a sandbox.
fn confine_thread(sandbox: Option<&Sandbox>) -> anyhow::Result<()> {
    match sandbox {
        Some(sandbox) => sandbox.confine_thread().context(SANDBOX_OFF),
        None => tern_hw::privilege::drop_capabilities().context("dropping capabilities"),
    }
}

fn port_fact(facts: &tern_hw::port::PortFacts) -> PortFact {
    PortFact {
        kind: facts.kind.into(),
        attach_mode: facts.attach_mode.into(),
        zero_copy: facts.zero_copy,
        interface: facts.interface.clone(),
        queue: facts.queue,
        huge_pages: facts.huge_pages,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::segment::{DayCount, NextOrder};

    #[test]
    fn order_ids_and_the_count_of_messages_go_on_within_the_venues_day_and_begin_anew() {
        const TEXT: &str = "[instance]\nname = \"day\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n[session]\n\
            venue = \"itch_ouch\"\naddress = \"10.1.0.1:9000\"\nuser = \"A\"\npassword = \"b\"\naccount = 1\n\
            day_starts = \"02:00\"\nutc_offset = \"-05:00\"\n";
        let config = Config::parse(std::path::Path::new("test"), TEXT).unwrap_or_else(|problems| panic!("{problems}"));
        let path = std::path::PathBuf::from(format!("/dev/shm/tern-test-day-{}", std::process::id()));
        let spec = SegmentSpec { path: Some(path.clone()), huge_pages: false, ..SegmentSpec::new("day") };
        let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
        let words = segment.ends().expect("ring ends").segment;
        std::fs::remove_file(path).expect("it was made");
        // 2026-11-22 02:00 in New York.
        let starts_s = 1_795_305_600 + 7 * 3600;
        let before = config.trading_day(starts_s - 1);
        words.next_order.set(1, NextOrder { day: before, next: 700 });
        words.messages.set(1, DayCount { day: before, count: 900 });
        let state_on = |day| {
            let folder = std::path::Path::new("/nonexistent/journal");
            let (state, _) = recovery::take_over(folder, &known(&config, &words, day), || 0, Duration::ZERO)
                .expect("an empty journal");
            (state.next_order_id, state.messages_sent, state.restarted)
        };
        assert_eq!(state_on(before), (700, 900, true));
        assert_eq!(state_on(config.trading_day(starts_s)), (0, 0, false));
    }

    #[test]
    fn bounds_that_were_set_in_the_day_need_a_configuration_that_bounds_the_symbol() {
        use tern_abi::command::SetBounds;
        use tern_abi::segment::BoundsState;
        const TEXT: &str = "[instance]\nname = \"bounds\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n";
        let config = |more: &str| {
            let parsed = Config::parse(std::path::Path::new("c.toml"), &format!("{TEXT}{more}"));
            parsed.unwrap_or_else(|problems| panic!("{problems}"))
        };
        let path = std::path::PathBuf::from(format!("/dev/shm/tern-test-bounds-{}", std::process::id()));
        let spec = SegmentSpec { path: Some(path.clone()), huge_pages: false, ..SegmentSpec::new("bounds") };
        let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
        let words = segment.ends().expect("ring ends").segment;
        std::fs::remove_file(path).expect("it was made");
        assert!(has_bounds_of(&config(""), &words, 7).is_ok(), "none were set");
        let mut state = BoundsState { day: 7, ..BoundsState::default() };
        let set = SetBounds { symbol: *b"GME     ", seen: [1, 9], wanted: [2, 8] };
        assert!(state.set(&set, (1, 33, 5)));
        words.bounds.write(&state);
        let said = has_bounds_of(&config(""), &words, 7).expect_err("no place for them").to_string();
        assert!(said.contains("c.toml: bounds of GME's price were set today"), "{said}");
        assert!(has_bounds_of(&config(""), &words, 8).is_ok(), "of another day");
        let bounded = config("[[limits.symbol]]\nsymbol = \"GME\"\nprice_max = 9\n");
        assert!(has_bounds_of(&bounded, &words, 7).is_ok());
    }

    #[test]
    fn the_hours_of_the_day_are_in_the_loops_time() {
        let text = "[instance]\nname = \"day\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n[session]\n\
            venue = \"itch_ouch\"\naddress = \"10.1.0.1:9000\"\nuser = \"A\"\npassword = \"b\"\naccount = 1\n\
            orders_from = \"09:30\"\norders_until = \"16:00\"\n";
        let config = Config::parse(std::path::Path::new("test"), text).unwrap_or_else(|problems| panic!("{problems}"));
        const SECOND_NS: u64 = 1_000_000_000;
        let day = config.trading_day(utc_s());
        let midnight_s = u64::from(day) * 86_400;
        // TAI is 37 seconds ahead; the second may change while this looks.
        let (opens_ns, closes_ns) = hours(&config, day, (utc_s() + 37) * SECOND_NS);
        assert_eq!(closes_ns - opens_ns, (6 * 3600 + 1800) * SECOND_NS);
        let ahead_s = opens_ns / SECOND_NS - (midnight_s + 9 * 3600 + 1800);
        assert!((36..=37).contains(&ahead_s), "{ahead_s}");
        let always = text.replace("orders_from = \"09:30\"\norders_until = \"16:00\"\n", "");
        let config =
            Config::parse(std::path::Path::new("test"), &always).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(hours(&config, day, 77 * SECOND_NS), (0, 0));
    }
}
