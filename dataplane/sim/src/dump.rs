//! Full-depth dumps of the book, order by order in priority order, for comparison with another book of the same feed.
//!
//! JSON, one level a line: `{"sequence":N,"locate":L,"stock":"S","side":"B","price":P,"orders":[[reference,shares],...]}`,
//! and a line `{"sequence":N,"end":true,"orders":count}` after the last level. The state is that after ITCH message
//! `sequence`. One action of the exchange can be several messages (a sweep), and the book passes through none of the
//! states in between; a dump asked for there is taken at the end of the action, and says so by its number. The datagram
//! of that message ends with it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::book::Side;
use crate::engine::Engine;
use crate::rng::Rng;

/// One line of a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DumpLine {
    /// A level.
    Level {
        /// Last ITCH message applied.
        sequence: u64,
        /// Stock locate.
        locate: u16,
        /// Symbol.
        stock: String,
        /// `B` or `S`.
        side: char,
        /// Price in 1/10000 dollars.
        price: u32,
        /// Reference and displayed shares of each order, oldest first.
        orders: Vec<(u64, u32)>,
    },
    /// The end of one dump.
    End {
        /// Last ITCH message applied.
        sequence: u64,
        /// Always true.
        end: bool,
        /// Displayed orders in the dump.
        orders: u64,
    },
}

/// When to dump, and where to.
pub struct Dumps {
    out: BufWriter<File>,
    /// Sequence numbers, ascending.
    wanted: std::collections::VecDeque<u64>,
    /// Dumps written.
    pub written: u64,
}

impl Dumps {
    /// Creates the file. Besides the sequence numbers given, `random` ones are drawn from all that are expected.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path, at: &[u64], random: u32, expected: u64, seed: u64) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("create the book dump {}", path.display()))?;
        let mut rng = Rng::new(seed ^ 0xD0_3B);
        let drawn = (0..random).map(|_| 1 + (rng.unit() * expected as f64) as u64);
        let mut wanted: Vec<u64> = at.iter().copied().chain(drawn).collect();
        wanted.sort_unstable();
        wanted.dedup();
        Ok(Self { out: BufWriter::new(file), wanted: wanted.into(), written: 0 })
    }

    /// Whether a dump is due after message `sequence`.
    pub fn is_due(&self, sequence: u64) -> bool {
        self.wanted.front().is_some_and(|&wanted| wanted <= sequence)
    }

    /// Writes the book as it is after message `sequence`, for all dumps wanted up to there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, engine: &Engine, sequence: u64) -> Result<()> {
        while self.is_due(sequence) {
            self.wanted.pop_front();
        }
        let mut count = 0;
        for locate in 0..engine.book.locates() {
            for side in [Side::Buy, Side::Sell] {
                for (price, orders) in engine.book.levels(locate, side) {
                    count += orders.len() as u64;
                    let stock = engine.stock(locate).to_string();
                    let side = side.byte() as char;
                    self.line(&DumpLine::Level { sequence, locate, stock, side, price, orders })?;
                }
            }
        }
        self.line(&DumpLine::End { sequence, end: true, orders: count })?;
        self.written += 1;
        self.out.flush().context("write the book dump")
    }

    /// Writes what is wanted behind the last message, once.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&mut self, engine: &Engine, sequence: u64) -> Result<()> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        self.wanted.clear();
        self.write(engine, sequence)
    }

    fn line(&mut self, line: &DumpLine) -> Result<()> {
        serde_json::to_writer(&mut self.out, line).context("write the book dump")?;
        self.out.write_all(b"\n").context("write the book dump")
    }
}
