//! Cancels what a dead data plane left open, where the venue does not do that by itself: over a kernel socket, in the place
//! of the data plane, whose role is held meanwhile, so that none starts before it is over.
//!
//! What is open is asked of the venue's log and of nothing else. Whatever leaves is in the order ring before it does, and
//! so in the journal. Nothing but cancels and queries can leave ([`CancelLine`]).

mod open;

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tern_abi::counters::LoopCounter;
use tern_abi::record::{Kind, Recorder};
use tern_abi::rescue::{RescueRecord, RescueStep};
use tern_abi::ring::recorder::ShmRecorder;
use tern_abi::segment::{ConnState, DayCount, Words};
use tern_config::Session;
use tern_config::facts::RescueFact;
use tern_hw::segment::{SegmentSpec, StandInSegment};
use tern_soup::line::{ANY_SESSION, CancelLine, Login};
use tern_soup::{Answer, Said};
use zerocopy::IntoBytes;

use crate::clock;
use open::{Change, OpenOrders};

/// How often the connection is looked at.
const LOOK: Duration = Duration::from_micros(200);
/// The longest that one attempt to connect may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// Account queries behind cancels: one answer more may come than was asked for, the last message of the log as the survey
/// found it (SoupBinTCP 2.3.1 leaves open whether its number is that of the last message or of the next).
const QUERIES: u32 = 2;

/// Cancels everything that is open on the account of `session`, within `patience`; `why` it has to.
pub(crate) fn run(session: &Session, spec: &SegmentSpec, why: &str, patience: Duration) -> RescueFact {
    let began = Instant::now();
    let mut fact = RescueFact { at_ns: clock::tai_ns(), why: why.to_owned(), ..RescueFact::default() };
    fact.error = match StandInSegment::open(spec) {
        Err(error) => error.to_string(),
        Ok(mut stand_in) => match stand_in.ends() {
            Err(error) => error.to_string(),
            Ok((segment, recorder)) => {
                let log = Log { recorder, account: session.account, deadline: began + patience };
                let (words, open) = (segment.words(), OpenOrders::default());
                let (told_seq, log_read, news, answered) = (0, false, Vec::new(), 0);
                let mut rescue = Rescue { session, words, log, open, fact, told_seq, log_read, news, answered };
                let ended = rescue.run(began);
                fact = rescue.fact;
                ended.err().unwrap_or_default()
            }
        },
    };
    fact.took_ms = began.elapsed().as_millis() as u64;
    fact
}

/// Where what is done is recorded, before it is.
struct Log<'r> {
    recorder: ShmRecorder<'r>,
    account: u16,
    deadline: Instant,
}

impl Log<'_> {
    /// Waits for room: a ring that is full now is drained in a moment.
    fn record(&mut self, record: &RescueRecord, more: &[u8]) -> io::Result<()> {
        while self.recorder.record(clock::tai_ns(), Kind::Rescue, &[record.as_bytes(), more]).is_err() {
            if Instant::now() >= self.deadline {
                return Err(io::Error::other("the order ring takes no record, and nothing leaves without one"));
            }
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn step(&mut self, step: RescueStep, order: u32, count: u32, value: u64) -> Result<(), String> {
        self.record(&RescueRecord { order, count, value, ..RescueRecord::new(step, self.account) }, &[]).map_err(text)
    }

    /// Bytes that are about to leave.
    fn left(&mut self, order: u32, bytes: &[u8]) -> io::Result<()> {
        self.record(&RescueRecord { order, ..RescueRecord::new(RescueStep::Sent, self.account) }, bytes)
    }
}

struct Rescue<'a, 'r> {
    session: &'a Session,
    words: &'r Words,
    log: Log<'r>,
    open: OpenOrders,
    fact: RescueFact,
    /// Last message of the venue's log that was read.
    told_seq: u64,
    /// All that the log held when it was surveyed was read.
    log_read: bool,
    /// Orders that are to be cancelled.
    news: Vec<u32>,
    /// Account queries answered since the log was read.
    answered: u32,
}

impl Rescue<'_, '_> {
    /// Why it could not do all of it, if so.
    fn run(&mut self, began: Instant) -> Result<(), String> {
        self.fact.open_before = self.words.counters.get(LoopCounter::OpenOrders);
        let begun =
            RescueRecord { value: self.fact.open_before, ..RescueRecord::new(RescueStep::Begun, self.log.account) };
        let ended = (self.log.record(&begun, self.fact.why.as_bytes())).map_err(text).and_then(|()| self.cancel_all());
        self.fact.left_open = self.open.len() as u64;
        let count = self.open.len() as u32;
        let noted = match &ended {
            Ok(()) => self.log.step(RescueStep::Done, 0, count, began.elapsed().as_nanos() as u64),
            Err(why) => {
                let failed = RescueRecord { count, ..RescueRecord::new(RescueStep::Failed, self.log.account) };
                self.log.record(&failed, why.as_bytes()).map_err(text)
            }
        };
        if ended.is_ok() {
            self.settle();
        }
        ended.and(noted)
    }

    /// Of the dead data plane nothing is left that would have to be ended; what is open is what the venue says.
    fn settle(&self) {
        for conn in &self.words.conns {
            if conn.read().is_some() {
                conn.write(&ConnState { tai_ns: clock::tai_ns(), ..ConnState::default() });
            }
        }
        self.words.counters.set(LoopCounter::OpenOrders, self.open.len() as u64);
    }

    fn cancel_all(&mut self) -> Result<(), String> {
        // Where the log ends is not marked in it: the number that a login for the newest message is given says it.
        let (_, _, end) = self.connect(0)?;
        let (mut line, mut said, _) = self.connect(1)?;
        let mut asked = 0;
        loop {
            for answer in said.drain(..) {
                self.take(&answer)?;
            }
            if !self.log_read && self.told_seq.saturating_add(1) >= end {
                self.log_read = true;
                self.news = self.open.ids();
                self.fact.open_in_log = self.open.len() as u64;
                self.log.step(RescueStep::LogRead, 0, self.open.len() as u32, self.told_seq)?;
                asked += self.cancel(&mut line)?;
            } else if !self.news.is_empty() {
                asked += self.cancel(&mut line)?;
            }
            if self.log_read && self.answered >= asked {
                break;
            }
            self.hear(&mut line, &mut said)?;
        }
        for (order, shares) in self.open.iter() {
            self.log.step(RescueStep::Open, order, 0, shares.into())?;
        }
        let log = &mut self.log;
        line.log_out(&mut |order, bytes| log.left(order, bytes)).map_err(text)
    }

    /// What the venue says next.
    fn take(&mut self, answer: &Answer) -> Result<(), String> {
        match answer {
            Answer::Message { seq, said } => {
                self.told_seq = *seq;
                let change = said.as_ref().and_then(|said| self.open.take(said));
                if self.log_read {
                    self.answered += u32::from(matches!(said, Some(Said::Query)));
                    self.note(change)?;
                }
                Ok(())
            }
            Answer::End => Err("the venue ended its session".into()),
            Answer::Login { .. } | Answer::Refused(_) => Ok(()),
        }
    }

    /// What the venue says of an order after the log was read; orders that open then are to be cancelled too.
    fn note(&mut self, change: Option<Change>) -> Result<(), String> {
        match change {
            Some(Change::Opened(order)) => self.news.push(order),
            Some(Change::Cancelled(order, left)) => {
                self.fact.cancelled += u64::from(left == 0);
                self.log.step(RescueStep::Cancelled, order, 0, left.into())?;
            }
            Some(Change::Executed(order, shares)) => {
                self.fact.executed_shares += u64::from(shares);
                self.log.step(RescueStep::Executed, order, 0, shares.into())?;
            }
            None => {}
        }
        Ok(())
    }

    /// Cancels the news in one go, and asks for a word that stands behind what the venue says of them. How many it asked.
    fn cancel(&mut self, line: &mut CancelLine) -> Result<u32, String> {
        let news = std::mem::take(&mut self.news);
        let account = usize::from(self.log.account);
        let day = self.words.messages.get(account);
        let count = day.count.saturating_add(news.len() as u32);
        self.words.messages.set(account, DayCount { count, ..day });
        let log = &mut self.log;
        line.cancel(&news, &mut |order, bytes| log.left(order, bytes)).map_err(text)?;
        for _ in 0..QUERIES {
            line.query(&mut |order, bytes| log.left(order, bytes)).map_err(text)?;
        }
        self.fact.cancels_sent += news.len() as u64;
        Ok(QUERIES)
    }

    /// Waits until something came.
    fn hear(&self, line: &mut CancelLine, said: &mut Vec<Answer>) -> Result<(), String> {
        loop {
            match line.hear(said) {
                Ok(true) if !said.is_empty() => return Ok(()),
                Ok(_) if Instant::now() < self.log.deadline => sleep(LOOK),
                Ok(_) => return Err("the venue has not answered in time".into()),
                Err(error) => return Err(text(error)),
            }
        }
    }

    /// Logs in, again and again until the deadline: the venue may not have noticed yet that the old connection is gone. The
    /// line, what came behind the login, and the number that the login was given.
    fn connect(&mut self, next_seq: u64) -> Result<(CancelLine, Vec<Answer>, u64), String> {
        let pause = Duration::from_millis(self.session.reconnect_ms);
        loop {
            let why = match self.log_in(next_seq) {
                Ok(logged_in) => return Ok(logged_in),
                Err(why) => why,
            };
            if Instant::now() + pause >= self.log.deadline {
                return Err(format!("{}: {why}", self.session.address));
            }
            sleep(pause);
        }
    }

    fn log_in(&mut self, next_seq: u64) -> Result<(CancelLine, Vec<Answer>, u64), String> {
        let session = self.session;
        let (user, password) = (session.user.as_str(), session.password.reveal());
        let login = Login { address: session.address, user, password, session: ANY_SESSION, next_seq };
        let log = &mut self.log;
        let opened = CancelLine::open(&login, CONNECT_PATIENCE, &mut |order, bytes| log.left(order, bytes));
        let mut line = opened.map_err(text)?;
        let mut said = Vec::new();
        self.hear(&mut line, &mut said)?;
        match said.first().copied() {
            Some(Answer::Login { next_seq, .. }) => {
                said.remove(0);
                self.log.step(RescueStep::LoggedIn, 0, 0, next_seq)?;
                Ok((line, said, next_seq))
            }
            Some(Answer::Refused(letter)) => {
                Err(format!("the venue refuses the login ({})", char::from(letter).escape_default()))
            }
            _ => Err("the venue answers something else than a login".into()),
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn text(error: io::Error) -> String {
    error.to_string()
}
