//! NATS JetStream: a stream a host, a subject a table, and the position in the headers of each message.
//!
//! Each message is stored only behind the one that it follows (`Nats-Expected-Last-Sequence`, within a batch also
//! `Nats-Expected-Last-Msg-Id`), so that what is sent twice, or by two, is stored once, however long after. The last message
//! says of which batch it is: the next connection makes that batch again, from the journal, and sends what is missing.

mod batch;
mod client;
mod replay;
mod stream;

use anyhow::{Result, anyhow};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};
use tern_schema::{Table, Value};

use crate::follow::Item;
use crate::position::Position;
use crate::store::{Store, StoreError};
use batch::{BATCH_HEADER, Batch, Part, layout_of, token};
use client::{Connection, Login};
pub use replay::{Replay, Replayed};
use stream::{Stored, Stream, check_syncs, told};

/// Messages that are sent and not yet answered, at most.
const IN_FLIGHT: usize = 32;
/// JetStream's error for a message that is larger than the stream takes, which no waiting changes. A full disk is waited for.
const TOO_LARGE: u64 = 10_054;
/// How long after a monitor that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Where the servers are, and what the stream is.
#[derive(Clone, Debug)]
pub struct Servers {
    /// `host:port` of each; the first that answers is taken.
    pub addresses: Vec<String>,
    /// `host:port` of the monitor of each; none: they are not asked whether they sync.
    pub monitors: Vec<String>,
    /// The host, as subjects name it.
    pub host: String,
    /// The stream; `tern-HOST` by default.
    pub stream: Option<String>,
    /// Servers that must keep each message.
    pub replicas: u64,
}

/// A stream of some servers.
pub struct Nats {
    servers: Servers,
    login: Login,
    stream: Stream,
    tables: Vec<&'static Table>,
    layout: u32,
    batch: Batch,
    connection: Option<Connection>,
    /// The server that is asked first: the next one after each that failed.
    turn: usize,
    /// Number of the last message.
    last: u64,
    /// Where the stream ends, as whole batches go.
    position: Position,
    /// The last message, where its batch is not whole: which one it is, and its rows.
    unfinished: Option<(Part, Vec<u8>)>,
    /// Monitors that did not answer yet, and when they were asked last.
    silent: Vec<String>,
    asked: Instant,
    /// What they answer now: a host that is down keeps who asks it for seconds, so another thread does.
    answers: Option<Receiver<Result<Vec<String>, StoreError>>>,
    random: u64,
}

impl Nats {
    /// Of these servers, none of which is asked anything yet. User, password and token are those of the variables
    /// TERN_SINK_USER, TERN_SINK_PASSWORD and TERN_SINK_TOKEN.
    ///
    /// # Errors
    /// A name cannot be part of a subject.
    pub fn new(servers: &Servers, tables: &[&'static Table]) -> Result<Self> {
        let host = token("host", &servers.host)?;
        let stream = Stream {
            name: match &servers.stream {
                Some(name) => token("stream", name)?,
                None => format!("tern-{host}"),
            },
            subject: format!("tern.{host}"),
            replicas: servers.replicas,
        };
        let said = |name| std::env::var(name).ok();
        let (user, password, token) = (said("TERN_SINK_USER"), said("TERN_SINK_PASSWORD"), said("TERN_SINK_TOKEN"));
        Ok(Self {
            servers: servers.clone(),
            login: Login { user, password, token },
            stream,
            tables: tables.to_vec(),
            layout: layout_of(tables),
            batch: Batch::new(tables),
            connection: None,
            turn: 0,
            last: 0,
            position: Position::default(),
            unfinished: None,
            silent: Vec::new(),
            asked: Instant::now(),
            answers: None,
            // Only for a subject of its own to be answered on.
            random: crate::status::tai_ns() ^ u64::from(std::process::id()) << 40,
        })
    }

    fn connect(&mut self) -> Result<Connection, StoreError> {
        let mut last = anyhow!("no server is named");
        for _ in 0..self.servers.addresses.len() {
            let address = &self.servers.addresses[self.turn % self.servers.addresses.len()];
            match Connection::open(address, &self.login, self.random) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
            self.turn += 1;
        }
        Err(StoreError::Gone(last))
    }

    /// Asks monitors that did not answer so far: a server that was down may be back, and not sync.
    ///
    /// # Errors
    /// `Refused` where one answered, and does not sync.
    fn ask_again(&mut self) -> Result<(), StoreError> {
        match self.answers.as_ref().map(Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return Ok(()),
            Some(Ok(silent)) => (self.answers, self.silent, self.asked) = (None, silent?, Instant::now()),
            Some(Err(TryRecvError::Disconnected)) | None => self.answers = None,
        }
        if !self.silent.is_empty() && self.asked.elapsed() >= ASK_AGAIN {
            let (sender, receiver) = channel();
            let silent = self.silent.clone();
            // Nobody waits for it any more where the connection was lost meanwhile.
            std::thread::spawn(move || sender.send(check_syncs(&silent)).ok());
            self.answers = Some(receiver);
        }
        Ok(())
    }

    /// Takes over what the last message says; the first one has nothing before it.
    fn take_over(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        (self.position, self.unfinished) = (Position::default(), None);
        if self.last == 0 {
            return Ok(());
        }
        let Stored { part, body, .. } = self.stream.message(connection, self.last)?;
        if part.layout != self.layout {
            return Err(StoreError::Refused(anyhow!(
                "stream `{}` is of other tables, or of a build with other columns. Ask for the same ones, or name another stream \
                 (--stream, with another --host): it is filled from the beginning of the journal",
                self.stream.name
            )));
        }
        if part.index + 1 >= part.count {
            self.position = part.to;
        } else {
            self.position = part.from.clone();
            self.unfinished = Some((part, body));
        }
        Ok(())
    }

    fn send(&mut self, to: &Position) -> Result<(), StoreError> {
        let messages = self.batch.finish();
        let done = match self.unfinished.take() {
            Some((part, body)) if part.is_of(to, &messages, &body) => part.index + 1,
            Some((part, _)) => {
                return Err(StoreError::Refused(anyhow!(
                    "stream `{}` ends within a batch of {} messages up to {}, and the journal makes {} others of it up to {}: \
                     it is another journal, or was written by another build. Nothing is sent",
                    self.stream.name,
                    part.count,
                    part.to.name(),
                    messages.len(),
                    to.name()
                )));
            }
            None => 0,
        };
        let Some(connection) = &mut self.connection else {
            return Err(StoreError::Gone(anyhow!("there is no connection")));
        };
        let gone = StoreError::Gone;
        let (mut in_flight, mut before) = (0, None::<String>);
        for (index, (table, text)) in messages.iter().enumerate().skip(done) {
            let part = Part {
                from: self.position.clone(),
                to: to.clone(),
                index,
                count: messages.len(),
                table: (*table).to_owned(),
                layout: self.layout,
            };
            let (id, last) = (part.id(), (self.last + in_flight as u64).to_string());
            let header = serde_json::to_string(&part).map_err(|error| StoreError::Refused(error.into()))?;
            if text.len() + header.len() + 1_024 > connection.payload_max {
                return Err(StoreError::Refused(anyhow!(
                    "a row of `{table}` has {} bytes, and the server takes {}: raise max_payload in its configuration",
                    text.len(),
                    connection.payload_max
                )));
            }
            let mut headers =
                vec![("Nats-Msg-Id", id.as_str()), ("Nats-Expected-Last-Sequence", &last), (BATCH_HEADER, &header)];
            if let Some(before) = &before {
                headers.push(("Nats-Expected-Last-Msg-Id", before));
            }
            let subject = format!("{}.{table}", self.stream.subject);
            connection.send(&subject, self.last + in_flight as u64 + 1, &headers, text.as_bytes()).map_err(gone)?;
            before = Some(id);
            in_flight += 1;
            if in_flight == IN_FLIGHT {
                acknowledged(connection, &mut self.last, &mut in_flight)?;
            }
        }
        while in_flight > 0 {
            acknowledged(connection, &mut self.last, &mut in_flight)?;
        }
        self.position = to.clone();
        Ok(())
    }
}

/// Waits until the message behind `last` is stored.
fn acknowledged(connection: &mut Connection, last: &mut u64, in_flight: &mut usize) -> Result<(), StoreError> {
    let message = connection.answer().map_err(StoreError::Gone)?;
    match told(message.json().map_err(StoreError::Gone)?) {
        Ok(answer) if message.request == *last + 1 && answer["seq"] == *last + 1 => {
            *last += 1;
            *in_flight -= 1;
            Ok(())
        }
        // Of another place, or in another order: what is stored is asked anew.
        Ok(answer) => Err(StoreError::Gone(anyhow!("message {} is stored as {}", *last + 1, answer["seq"]))),
        Err((TOO_LARGE, words)) => {
            Err(StoreError::Refused(anyhow!("message {}: {words}; raise the stream's max_msg_size", *last + 1)))
        }
        Err((code, words)) => Err(StoreError::Gone(anyhow!("message {} is not stored: {words} ({code})", *last + 1))),
    }
}

impl Store for Nats {
    fn name(&self) -> String {
        format!("nats {} of {}", self.stream.name, self.servers.addresses.join(","))
    }

    fn resume(&mut self) -> Result<Position, StoreError> {
        self.connection = None;
        self.batch = Batch::new(&self.tables);
        // One that is down is asked when it is back: the others have the messages. Of none nothing would be known.
        let monitors = &self.servers.monitors;
        (self.answers, self.silent, self.asked) = (None, check_syncs(monitors)?, Instant::now());
        if !monitors.is_empty() && self.silent.len() == monitors.len() {
            return Err(StoreError::Gone(anyhow!(
                "no monitor answers ({}): not known whether servers sync",
                monitors.join(",")
            )));
        }
        let mut connection = self.connect()?;
        let asked = self.stream.last(&mut connection, true).and_then(|last| {
            self.last = last;
            self.take_over(&mut connection)
        });
        if asked.is_err() {
            self.turn += 1;
        }
        asked?;
        self.connection = Some(connection);
        Ok(self.position.clone())
    }

    fn must_end_at(&self) -> Option<u64> {
        self.unfinished.as_ref().map(|(part, _)| part.to.seq)
    }

    fn take(&mut self, table: &'static Table, _: &Item<'_>, row: &[Value<'_>]) -> Result<(), StoreError> {
        self.batch.push(table, row).map_err(StoreError::Refused)
    }

    fn waiting_bytes(&self) -> usize {
        self.batch.bytes()
    }

    fn commit(&mut self, position: &Position) -> Result<(), StoreError> {
        self.ask_again()?;
        // Without a row there is no message: the next one says that the journal was read up to here.
        if self.batch.bytes() == 0 && self.unfinished.is_none() {
            return Ok(());
        }
        let sent = self.send(position);
        if sent.is_err() {
            self.turn += 1;
        }
        sent
    }
}

/// Rows a table.
type Rows = BTreeMap<String, u64>;
