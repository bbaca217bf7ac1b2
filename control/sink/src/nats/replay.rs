//! Reads a stream back, message by message, and holds it against the journal.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::json;
use std::collections::VecDeque;
use std::path::Path;
use tern_abi::record::Kind;
use tern_journal::beginning;
use tern_schema::{Table, Value};

use super::batch::{Batch, Part, layout_of};
use super::client::Connection;
use super::stream::{Stored, stored, told};
use super::{Nats, Rows, Servers};
use crate::follow::Follow;
use crate::position::Position;

/// Messages asked for before the first is here.
const AHEAD: u64 = 64;

/// A stream being read.
pub struct Replay {
    nats: Nats,
    connection: Connection,
    last: u64,
    asked: u64,
    given: u64,
    early: VecDeque<(u64, Stored)>,
}

/// What a stream has.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Replayed {
    /// Messages.
    pub messages: u64,
    /// Rows in them.
    pub rows: Rows,
    /// How far the stream is.
    pub position: Position,
    /// Messages at the end whose batch is not whole yet.
    pub unfinished: usize,
    /// Messages at the beginning of which the journal has not all any more, as days of it were deleted: they are in the order in
    /// which they were sent, and nothing else of them is proven.
    pub of_deleted: u64,
}

impl Replay {
    /// Of the stream of these servers, up to where it is now.
    ///
    /// # Errors
    /// No server answers, or there is no such stream.
    pub fn open(servers: &Servers, tables: &[&'static Table]) -> Result<Self> {
        let mut nats = Nats::new(servers, tables)?;
        let mut connection = nats.connect()?;
        let last = nats.stream.last(&mut connection, false)?;
        Ok(Self { nats, connection, last, asked: 0, given: 0, early: VecDeque::new() })
    }

    /// The next message.
    fn next(&mut self) -> Result<Option<Stored>> {
        if self.given == self.last {
            return Ok(None);
        }
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.nats.stream.name);
        while self.asked < self.last && self.asked < self.given + AHEAD {
            self.asked += 1;
            let body = json!({ "seq": self.asked }).to_string();
            self.connection.send(&subject, self.asked, &[], body.as_bytes())?;
        }
        let wanted = self.given + 1;
        loop {
            if let Some(at) = self.early.iter().position(|(number, _)| *number == wanted) {
                self.given = wanted;
                return Ok(self.early.remove(at).map(|(_, message)| message));
            }
            let answer = self.connection.answer()?;
            let number = answer.request;
            let message = told(answer.json()?)
                .map_err(|(code, words)| anyhow::anyhow!("{words} ({code})"))
                .and_then(|answer| stored(&answer))
                .with_context(|| format!("message {number} of stream `{}`", self.nats.stream.name))?;
            self.early.push_back((number, message));
        }
    }

    /// Reads all of it, and makes each batch anew from the journal in `journal`: every message must be, byte for byte, what
    /// the journal makes, and none be missing or twice.
    ///
    /// # Errors
    /// A message is not what the journal says; the journal cannot be read.
    pub fn prove(mut self, journal: &Path) -> Result<Replayed> {
        let deleted_seq = beginning(journal)?.last_seq();
        let mut follow = Follow::behind(journal, Position::default())?;
        let mut replayed = Replayed::default();
        let mut expected: VecDeque<(&'static str, String)> = VecDeque::new();
        let mut current: Option<Part> = None;
        let mut is_deleted = false;
        while let Some(message) = self.next()? {
            replayed.messages += 1;
            let at = || format!("message {}", self.given);
            let part = &message.part;
            if part.layout != layout_of(&self.nats.tables) {
                bail!("{}: it is of other tables, or of a build with other columns", at());
            }
            if expected.is_empty() {
                if !part.from.is_at(&replayed.position) || part.index != 0 {
                    bail!(
                        "{}: it goes on behind {}, part {}, and the one before ends with {}",
                        at(),
                        part.from.name(),
                        part.index,
                        replayed.position.name()
                    );
                }
                is_deleted = part.from.seq < deleted_seq;
                if is_deleted {
                    // What of it is there is not all of the batch.
                    expected = vec![("", String::new()); part.count].into();
                } else {
                    while follow.position().seq.max(deleted_seq) < part.from.seq {
                        follow.read()?.with_context(|| format!("the journal has no {}", part.from.name()))?;
                    }
                    expected = self.made(&mut follow, &part.to)?.into();
                }
                if expected.len() != part.count {
                    bail!(
                        "{}: a batch of {} messages, and the journal makes {} of it",
                        at(),
                        part.count,
                        expected.len()
                    );
                }
            } else if let Some(before) = &current
                && (part.id() != (Part { index: before.index + 1, ..before.clone() }).id()
                    || !part.to.is_at(&before.to))
            {
                bail!("{}: it is {}, and the one before is {}", at(), part.id(), before.id());
            }
            let Some((table, text)) = expected.pop_front() else { bail!("{}: it is one too many", at()) };
            let subject = format!("{}.{table}", self.nats.stream.subject);
            replayed.of_deleted += u64::from(is_deleted);
            if !is_deleted
                && (message.subject != subject || message.part.table != table || message.body != text.as_bytes())
            {
                bail!("{}: on `{}`, and is not what the journal says on `{subject}`", at(), message.subject);
            }
            let rows = message.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
            *replayed.rows.entry(message.part.table.clone()).or_default() += rows as u64;
            if expected.is_empty() {
                replayed.position = message.part.to.clone();
            }
            current = Some(message.part);
        }
        replayed.unfinished = if expected.is_empty() { 0 } else { current.map_or(0, |part| part.index + 1) };
        Ok(replayed)
    }

    /// The messages of the batch that ends with `to`, from the journal.
    fn made(&self, follow: &mut Follow, to: &Position) -> Result<Vec<(&'static str, String)>> {
        let mut batch = Batch::new(&self.nats.tables);
        while follow.position().seq < to.seq {
            let Some(item) = follow.read()? else { bail!("the journal has no {}", to.name()) };
            let Some(table) = Kind::from_u16(item.header.kind).and_then(Table::of) else { continue };
            if !self.nats.tables.iter().any(|wanted| wanted.name == table.name) {
                continue;
            }
            let mut row: Vec<Value<'_>> = Vec::new();
            if table.row(&item.header, item.body, item.context, &mut row).is_some() {
                batch.push(table, &row)?;
            }
        }
        if !follow.position().is_at(to) {
            bail!("the stream has {}, the journal has {}", to.name(), follow.position().name());
        }
        Ok(batch.finish())
    }
}
