//! Full-depth dumps of the books, order by order, in the lines that `tern-exchange --book-dump` writes too: one level a
//! line, then a line that ends the dump. The exchange's lines also name the locate, which only the feed knows here.

use std::collections::VecDeque;
use std::io::{self, Write};
use tern_core::book::{Books, Instruments};
use tern_core::units::Side;

/// When to dump, and where to.
pub struct Dumps<W> {
    out: W,
    /// Feed sequence numbers, ascending.
    wanted: VecDeque<u64>,
    written: u64,
}

impl<W: Write> Dumps<W> {
    /// Dumps after these sequence numbers, in any order.
    pub fn new(out: W, mut wanted: Vec<u64>) -> Self {
        wanted.sort_unstable();
        wanted.dedup();
        Self { out, wanted: wanted.into(), written: 0 }
    }

    /// Dumps written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Sequence numbers that did not come.
    pub fn missing(&self) -> impl Iterator<Item = u64> {
        self.wanted.iter().copied()
    }

    /// A datagram whose last message is `sequence` was applied: writes what is wanted up to there, once.
    ///
    /// # Errors
    /// What the writer reported.
    pub fn after(&mut self, sequence: u64, books: &Books, instruments: &Instruments) -> io::Result<()> {
        let before = self.wanted.len();
        while self.wanted.front().is_some_and(|wanted| *wanted <= sequence) {
            self.wanted.pop_front();
        }
        if self.wanted.len() == before {
            return Ok(());
        }
        self.written += 1;
        self.write(sequence, books, instruments)
    }

    fn write(&mut self, sequence: u64, books: &Books, instruments: &Instruments) -> io::Result<()> {
        let mut count = 0_u64;
        for (instrument, symbol) in instruments.iter() {
            for (side, letter) in [(Side::Buy, 'B'), (Side::Sell, 'S')] {
                let mut price = None;
                for order in books.orders(instrument, side) {
                    if price != Some(order.price) {
                        self.end_level(price.is_some())?;
                        let (stock, at) = (serde_json::Value::from(symbol.as_str()), order.price.0);
                        let head = format!(r#""stock":{stock},"side":"{letter}","price":{at}"#);
                        write!(self.out, r#"{{"sequence":{sequence},{head},"orders":["#)?;
                    } else {
                        write!(self.out, ",")?;
                    }
                    price = Some(order.price);
                    write!(self.out, "[{},{}]", order.reference, order.quantity)?;
                    count += 1;
                }
                self.end_level(price.is_some())?;
            }
        }
        writeln!(self.out, r#"{{"sequence":{sequence},"end":true,"orders":{count}}}"#)?;
        self.out.flush()
    }

    fn end_level(&mut self, is_open: bool) -> io::Result<()> {
        if is_open { writeln!(self.out, "]}}") } else { Ok(()) }
    }
}
