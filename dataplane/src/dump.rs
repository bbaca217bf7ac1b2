//! What the books were while a journal is replayed, to be compared with somebody else's.
//!
//! [`Dumps`]: full depth, order by order, in the lines that `tern-exchange --book-dump` writes too: one level a line, then
//! a line that ends the dump. The exchange's lines also name the locate, which only the feed knows here; ours say which
//! books are not trusted and why. [`Tops`]: best ask and bid of one symbol after every datagram.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use tern_core::book::{Books, Instruments, Level};
use tern_core::units::{Side, Symbol};

/// When to dump, and where to.
pub struct Dumps<W> {
    out: W,
    /// Feed sequence numbers, ascending.
    wanted: VecDeque<u64>,
}

impl<W: Write> Dumps<W> {
    /// Dumps after these sequence numbers, in any order.
    pub fn new(out: W, mut wanted: Vec<u64>) -> Self {
        wanted.sort_unstable();
        wanted.dedup();
        Self { out, wanted: wanted.into() }
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
        let untrusted: BTreeMap<String, &str> = (instruments.iter())
            .filter_map(|(instrument, symbol)| Some((symbol.to_string(), books.distrust(instrument)?.name())))
            .collect();
        let untrusted = serde_json::to_string(&untrusted)?;
        writeln!(self.out, r#"{{"sequence":{sequence},"end":true,"orders":{count},"untrusted":{untrusted}}}"#)?;
        self.out.flush()
    }

    fn end_level(&mut self, is_open: bool) -> io::Result<()> {
        if is_open { writeln!(self.out, "]}}") } else { Ok(()) }
    }
}

/// Best ask and bid of one symbol after every datagram, a line each: feed sequence number of the datagram's last message,
/// ask price, ask shares, bid price, bid shares. An empty side leaves its two fields empty.
pub struct Tops<W> {
    out: W,
    symbol: Symbol,
    sequence: u64,
}

impl<W: Write> Tops<W> {
    /// Writes the tops of `symbol` to `out`.
    pub fn new(out: W, symbol: Symbol) -> Self {
        Self { out, symbol, sequence: 0 }
    }

    /// A datagram whose last message is `sequence` was applied. Heartbeats and repeated messages write nothing.
    ///
    /// # Errors
    /// What the writer reported.
    pub fn after(&mut self, sequence: u64, books: &Books, instruments: &Instruments) -> io::Result<()> {
        if sequence <= self.sequence {
            return Ok(());
        }
        self.sequence = sequence;
        let top = instruments.get(self.symbol).map(|instrument| books.top(instrument)).unwrap_or_default();
        write!(self.out, "{sequence}")?;
        for level in [top.ask, top.bid] {
            match level {
                Some(Level { price, quantity, .. }) => write!(self.out, ",{},{quantity}", price.0)?,
                None => write!(self.out, ",,")?,
            }
        }
        writeln!(self.out)
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// What the writer reported.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}
