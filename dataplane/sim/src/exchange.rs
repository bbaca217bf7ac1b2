//! The running exchange: one thread that paces the flow, serves clients and publishes.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use tern_venues::itch_ouch::wire::ouch::{OrderExecuted, OuchMessage};
use tern_venues::itch_ouch::wire::{mold, soup};

use crate::dump::Dumps;
use crate::engine::{Engine, Rules};
use crate::feed::{Loss, Publisher};
use crate::gateway::{Event, Faults, Gateway, User};
use crate::log::{Line, Log, Totals};
use crate::source::Source;

/// Messages of the flow between two looks at the clients.
const BATCH: u32 = 64;
/// Clients without an order message for this long at the end of the day have none under way.
const QUIET: Duration = Duration::from_millis(200);

/// How fast exchange time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many times as fast as the clock on the wall; 1 is as recorded.
    Scaled(f64),
    /// As fast as it goes, or at most so many messages a second.
    Flat {
        /// Messages a second.
        rate_max: Option<u64>,
    },
}

/// A second stream of each account that says what the first one says, and takes nothing.
#[derive(Clone, Debug)]
pub struct DropCopy {
    /// Where it is read.
    pub address: SocketAddr,
    /// Who reads it: the first user the first account's, and so on.
    pub users: Vec<User>,
    /// Close its connections after so many messages, once.
    pub cut_after: Option<u64>,
}

/// Which stream an execution is withheld from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WithholdFrom {
    /// The order session.
    Orders,
    /// The drop copy.
    DropCopy,
}

/// An execution that one stream does not tell.
#[derive(Clone, Copy, Debug)]
pub struct Withhold {
    /// From whom.
    pub from: WithholdFrom,
    /// The first one after so many.
    pub after: u64,
}

/// Everything about a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seed, for the log.
    pub seed: u64,
    /// Name of the flow, for the log.
    pub source_name: String,
    /// Session name of feed and order entry.
    pub session: String,
    /// Where the feed goes.
    pub feed: SocketAddrV4,
    /// Address of the interface that it leaves by.
    pub interface: Ipv4Addr,
    /// Where orders are taken.
    pub orders: SocketAddr,
    /// The drop copy.
    pub drop_copy: Option<DropCopy>,
    /// An execution that is told on one of the two streams alone.
    pub withhold: Option<Withhold>,
    /// Users, an account each.
    pub users: Vec<User>,
    /// Pace of the flow.
    pub pace: Pace,
    /// Wall time after which the day ends, finished or not.
    pub seconds: Option<f64>,
    /// Logins to wait for before the first message, and for how long.
    pub wait_for_clients: u64,
    /// The longest wait for them.
    pub wait_max: Duration,
    /// Wait before the first message, after the clients are there.
    pub start_delay: Duration,
    /// How long clients have for reading the end.
    pub linger: Duration,
    /// Rules of the engine.
    pub rules: Rules,
    /// Most messages a datagram.
    pub datagram_messages_max: u16,
    /// Datagram loss.
    pub loss: Loss,
    /// Order entry faults.
    pub faults: Faults,
    /// The log.
    pub log: Option<PathBuf>,
    /// The dump file.
    pub dump: Option<PathBuf>,
    /// Sequence numbers to dump at.
    pub dump_at: Vec<u64>,
    /// Random dumps besides.
    pub dump_random: u32,
}

/// The exchange between its first and its last message.
pub struct Exchange {
    settings: Settings,
    engine: Engine,
    publisher: Publisher,
    gateway: Gateway,
    drop_copy: Option<Gateway>,
    /// Messages on the drop copy, and executions so far.
    copied: u64,
    executions: u64,
    log: Log,
    dumps: Option<Dumps>,
    signals: SignalFd,
    events: Vec<Event>,
    stopped: bool,
}

impl Exchange {
    /// Opens sockets and files.
    ///
    /// # Errors
    /// When an address, an interface or a file is not to be had.
    pub fn open(settings: Settings, expected: u64) -> Result<Self> {
        let publisher = Publisher::open(
            settings.feed,
            settings.interface,
            mold::Session::new(settings.session.as_bytes()),
            settings.datagram_messages_max,
            settings.loss.clone(),
        )?;
        let gateway = Gateway::listen(
            settings.orders,
            soup::Session::new(settings.session.as_bytes()),
            settings.users.clone(),
            settings.faults,
        )?;
        let session = soup::Session::new(settings.session.as_bytes());
        let drop_copy = match &settings.drop_copy {
            Some(copy) => Some(Gateway::listen_read_only(copy.address, session, copy.users.clone())?),
            None => None,
        };
        let mut log = Log::create(settings.log.as_deref())?;
        log.line(&Line::Start {
            seed: settings.seed,
            session: settings.session.clone(),
            source: settings.source_name.clone(),
        })?;
        let dumps = match &settings.dump {
            Some(path) => Some(Dumps::create(path, &settings.dump_at, settings.dump_random, expected, settings.seed)?),
            None => None,
        };
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        mask.thread_block().context("block signals")?;
        let signals =
            SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).context("watch signals")?;
        let engine = Engine::new(settings.rules, settings.users.iter().map(|user| user.name.clone()));
        let (copied, executions, events, stopped) = (0, 0, Vec::new(), false);
        Ok(Self {
            settings,
            engine,
            publisher,
            gateway,
            drop_copy,
            copied,
            executions,
            log,
            dumps,
            signals,
            events,
            stopped,
        })
    }

    /// Where orders are taken: of use when the port was left to the kernel.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn order_address(&self) -> Result<SocketAddr> {
        self.gateway.address()
    }

    /// Runs the day to its end, or until a signal or the time asked for ends it.
    ///
    /// # Errors
    /// When a file cannot be written or waiting fails.
    pub fn run(mut self, mut source: Source) -> Result<Totals> {
        self.wait_for_clients()?;
        let start = Instant::now();
        let origin_ns = source.next_ns().unwrap_or(0);
        let mut sent = 0_u64;
        while !self.stopped {
            let elapsed = start.elapsed();
            if self.settings.seconds.is_some_and(|seconds| elapsed.as_secs_f64() >= seconds) {
                break;
            }
            let mut left = BATCH;
            while left > 0 && self.is_due(&source, origin_ns, elapsed, sent) {
                if let Some(message) = source.next() {
                    self.engine.apply_flow(message);
                }
                source.step()?;
                sent += 1;
                left -= 1;
                self.deliver()?;
            }
            let Some(next_ns) = source.next_ns() else { break };
            if let Pace::Scaled(factor) = self.settings.pace {
                // Never past the next message of the flow: its time is still to come.
                let passed_ns = (elapsed.as_nanos() as f64 * factor) as u64;
                self.engine.advance((origin_ns + passed_ns).min(next_ns));
                self.deliver()?;
            }
            self.publisher.flush();
            let timeout = if left == 0 { Duration::ZERO } else { self.until_due(next_ns, origin_ns, start, sent) };
            self.serve(timeout)?;
        }
        self.finish(start.elapsed())
    }

    fn is_due(&self, source: &Source, origin_ns: u64, elapsed: Duration, sent: u64) -> bool {
        let Some(next_ns) = source.next_ns() else { return false };
        match self.settings.pace {
            Pace::Scaled(factor) => next_ns - origin_ns <= (elapsed.as_nanos() as f64 * factor) as u64,
            Pace::Flat { rate_max: None } => true,
            Pace::Flat { rate_max: Some(rate) } => sent as f64 <= elapsed.as_secs_f64() * rate as f64,
        }
    }

    /// How long there is nothing to do but for clients.
    fn until_due(&self, next_ns: u64, origin_ns: u64, start: Instant, sent: u64) -> Duration {
        let due = match self.settings.pace {
            Pace::Scaled(factor) => {
                let next_ns = next_ns.min(self.engine.next_deadline_ns()).saturating_sub(origin_ns);
                Duration::from_nanos((next_ns as f64 / factor) as u64)
            }
            Pace::Flat { rate_max: None } => Duration::ZERO,
            Pace::Flat { rate_max: Some(rate) } => Duration::from_secs_f64(sent as f64 / rate as f64),
        };
        due.saturating_sub(start.elapsed())
    }

    /// Nothing is published before those who want to hear the first message are there.
    fn wait_for_clients(&mut self) -> Result<()> {
        let start = Instant::now();
        while !self.stopped
            && self.gateway.logins() < self.settings.wait_for_clients
            && start.elapsed() < self.settings.wait_max
        {
            self.serve(Duration::from_millis(50))?;
        }
        let start = Instant::now();
        while !self.stopped && start.elapsed() < self.settings.start_delay {
            self.serve(self.settings.start_delay.saturating_sub(start.elapsed()))?;
        }
        Ok(())
    }

    /// Waits for clients at most so long, takes what they sent and answers.
    fn serve(&mut self, timeout: Duration) -> Result<()> {
        let timeout = timeout.min(self.publisher.until_heartbeat()).min(self.gateway.until_deadline());
        {
            let mut waits = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let copy = self.drop_copy.iter().flat_map(Gateway::descriptors);
            for (descriptor, read, write) in self.gateway.descriptors().chain(copy) {
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::POLLIN, read);
                flags.set(PollFlags::POLLOUT, write);
                waits.push(PollFd::new(descriptor, flags));
            }
            match ppoll(&mut waits, Some(TimeSpec::from_duration(timeout)), None) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error).context("wait for clients"),
            }
        }
        if let Ok(Some(_)) = self.signals.read_signal() {
            self.stopped = true;
        }
        self.gateway.read(&mut self.events);
        self.take_events()?;
        self.publisher.flush();
        self.gateway.write(&mut self.events);
        self.take_events()?;
        self.serve_drop_copy();
        self.publisher.heartbeat_if_idle();
        Ok(())
    }

    /// Nobody's orders depend on who reads a copy: what happens there is in no log.
    fn serve_drop_copy(&mut self) {
        if let Some(copy) = &mut self.drop_copy {
            let mut events = Vec::new();
            copy.read(&mut events);
            copy.write(&mut events);
        }
    }

    fn take_events(&mut self) -> Result<()> {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            let exchange_ns = self.engine.now_ns();
            let name = |account: u16| self.settings.users[usize::from(account)].name.clone();
            match event {
                Event::Login { account, sequence } => {
                    self.log.line(&Line::Login { exchange_ns, account: name(account), accepted: true, sequence })?;
                    self.engine.on_login(account);
                }
                Event::Refused { name } => {
                    self.log.line(&Line::Login { exchange_ns, account: name, accepted: false, sequence: 0 })?;
                }
                Event::Message { account, bytes } => self.engine.on_client_message(account, &bytes),
                Event::Disconnect { account, last, reason } => {
                    let account_name = name(account);
                    self.log.line(&Line::Disconnect { exchange_ns, account: account_name, reason: reason.into() })?;
                    if last {
                        self.engine.on_disconnect(account);
                    }
                }
            }
            self.deliver()?;
        }
        self.events = events;
        Ok(())
    }

    /// Hands on what the engine wants sent and written. Called after each action, so that dumps fall between actions.
    fn deliver(&mut self) -> Result<()> {
        let out = &mut self.engine.out;
        let mut rest = out.feed.as_slice();
        while let Some((length, body)) = rest.split_first_chunk::<2>() {
            let (message, behind) = body.split_at(usize::from(u16::from_be_bytes(*length)).min(body.len()));
            self.publisher.push(message);
            rest = behind;
        }
        let published = !out.feed.is_empty();
        out.feed.clear();
        for (account, message) in out.clients.drain(..) {
            let mut withheld = None;
            if message.first() == Some(&OrderExecuted::TYPE) {
                self.executions += 1;
                let due = self.settings.withhold.filter(|withhold| self.executions > withhold.after);
                withheld = due.map(|withhold| withhold.from);
                self.settings.withhold = self.settings.withhold.filter(|_| due.is_none());
            }
            if withheld != Some(WithholdFrom::Orders) {
                self.gateway.append(account, &message);
            }
            if let Some(copy) = self.drop_copy.as_mut().filter(|_| withheld != Some(WithholdFrom::DropCopy)) {
                copy.append(account, &message);
                self.copied += 1;
                if self.settings.drop_copy.as_ref().is_some_and(|copy| copy.cut_after == Some(self.copied)) {
                    copy.cut();
                }
            }
        }
        for line in out.log.drain(..) {
            self.log.line(&line)?;
        }
        let sequence = self.publisher.next_sequence() - 1;
        if published
            && let Some(dumps) = &mut self.dumps
            && dumps.is_due(sequence)
        {
            self.publisher.flush();
            dumps.write(&self.engine, sequence)?;
        }
        Ok(())
    }

    /// Ends the day: orders expire, breaks that are still to come happen, everybody gets the rest and the end, and the
    /// log says where all this leads.
    fn finish(mut self, elapsed: Duration) -> Result<Totals> {
        self.engine.end_day();
        self.deliver()?;
        self.publisher.flush();
        let end = Instant::now() + self.settings.linger;
        while Instant::now() < end {
            self.serve(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())))?;
            let copied = self.drop_copy.as_ref().is_none_or(Gateway::is_flushed);
            if self.gateway.users_connected() == 0 && self.gateway.is_flushed() && copied {
                break;
            }
        }
        self.deliver()?;
        if let Some(dumps) = &mut self.dumps {
            dumps.finish(&self.engine, self.publisher.next_sequence() - 1)?;
        }
        for _ in 0..3 {
            self.publisher.end_of_session();
        }
        self.hear_out()?;
        self.gateway.end_of_session();
        if let Some(copy) = &mut self.drop_copy {
            copy.end_of_session();
        }
        // What a client sent before it read that was sent to a venue that listened.
        self.hear_out()?;
        let totals = self.totals(elapsed);
        self.log_accounts()?;
        self.log.line(&Line::End { totals: totals.clone() })?;
        self.log.flush()?;
        Ok(totals)
    }

    /// Reads on until clients, who know by now that the day is over, have fallen silent: a connection closed on messages
    /// that are under way is reset, and they are lost.
    fn hear_out(&mut self) -> Result<()> {
        let end = Instant::now() + self.settings.linger;
        let (mut heard, mut since) = (self.engine.tally.received, Instant::now());
        while self.gateway.users_connected() > 0 && since.elapsed() < QUIET && Instant::now() < end {
            self.serve(Duration::from_millis(20))?;
            if self.engine.tally.received != heard {
                (heard, since) = (self.engine.tally.received, Instant::now());
            }
        }
        self.deliver()
    }

    fn totals(&self, elapsed: Duration) -> Totals {
        let sent = self.publisher.sent();
        let tally = &self.engine.tally;
        Totals {
            seed: self.settings.seed,
            datagrams_sent: sent.datagrams,
            heartbeats_sent: sent.heartbeats,
            datagrams_dropped: sent.dropped,
            datagrams_failed: sent.failed,
            messages: self.publisher.next_sequence() - 1,
            next_sequence: self.publisher.next_sequence(),
            messages_by_type: sent.by_type,
            flow_unknown: tally.flow_unknown,
            live_orders: self.engine.book.live() as u64,
            received: tally.received,
            executions: tally.executions,
            shares: tally.shares,
            partial_fills: tally.partial_fills,
            symbols_traded: tally.symbols.len() as u64,
            breaks: tally.breaks,
            elapsed_ms: elapsed.as_millis() as u64,
            book_dumps: self.dumps.as_ref().map_or(0, |dumps| dumps.written),
        }
    }

    fn log_accounts(&mut self) -> Result<()> {
        for (index, account) in self.engine.accounts.iter().enumerate() {
            let mut cash = 0;
            for (&locate, holding) in &account.holdings {
                cash += holding.cash;
                self.log.line(&Line::Position {
                    account: account.name.clone(),
                    stock: self.engine.stock(locate).to_string(),
                    position: holding.position,
                    cash: holding.cash,
                })?;
            }
            self.log.line(&Line::Account {
                account: account.name.clone(),
                cash,
                received: account.received,
                executions: account.executions,
                breaks: account.breaks,
                sequenced: self.gateway.sequenced(index as u16),
                open_orders: account.orders.len() as u64,
            })?;
        }
        Ok(())
    }
}
