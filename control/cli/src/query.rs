//! `tern journal query`: orders, what the venue said of them, refusals and positions, by symbol, time and reason.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use tern_abi::record::{Kind, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader, RefusalRecord};
use tern_config::facts::{Names, name_at};
use tern_journal::{index, recovered};
use zerocopy::FromBytes;

use crate::args::Query;
use crate::fold::symbol_text;
use crate::indexed;
use crate::outcome::{Failure, Outcome, exit};
use crate::record_text::{names_of_start, to_json, to_line};
use crate::records;
use crate::story;
use crate::table::tai_ns;

/// What is looked for.
pub(crate) struct Filter {
    pub(crate) symbol: Option<String>,
    pub(crate) reason: Option<String>,
    from_ns: u64,
    to_ns: u64,
    pub(crate) names: Names,
    /// Symbols by instrument, as far as the run's records have said them.
    pub(crate) symbols: BTreeMap<u32, String>,
    /// Records of instruments whose symbol was not said.
    pub(crate) nameless: u64,
}

impl Filter {
    pub(crate) fn new(symbol: Option<String>, reason: Option<String>, times: RangeInclusive<u64>) -> Self {
        let (from_ns, to_ns) = times.into_inner();
        Self { symbol, reason, from_ns, to_ns, names: Names::default(), symbols: BTreeMap::new(), nameless: 0 }
    }

    /// Whether it leaves out anything that an index could spare.
    fn is_narrow(&self) -> bool {
        self.symbol.is_some() || self.reason.is_some() || self.times() != (0..=u64::MAX)
    }

    pub(crate) fn times(&self) -> RangeInclusive<u64> {
        self.from_ns..=self.to_ns
    }

    pub(crate) fn wants(&mut self, header: &RecordHeader, body: &[u8]) -> bool {
        if let Some(names) = names_of_start(header, body) {
            self.names = names;
            // A run gives out ids of its own.
            self.symbols.clear();
        }
        let Some((instrument, reason)) = self.of(header, body) else { return false };
        if !(self.from_ns..=self.to_ns).contains(&header.tai_ns) {
            return false;
        }
        if self.reason.is_some() && reason != self.reason {
            return false;
        }
        match (&self.symbol, self.symbols.get(&instrument)) {
            (None, _) => true,
            (Some(wanted), Some(symbol)) => wanted == symbol,
            (Some(_), None) => {
                self.nameless += 1;
                false
            }
        }
    }

    /// The instrument of a record that a query may give, and the reason if it is a refusal.
    fn of(&mut self, header: &RecordHeader, body: &[u8]) -> Option<(u32, Option<String>)> {
        match Kind::from_u16(header.kind)? {
            Kind::Order => {
                let order = OrderRecord::read_from_bytes(body).ok()?;
                self.symbols.insert(order.instrument, symbol_text(&order.symbol));
                Some((order.instrument, None))
            }
            Kind::Position => {
                let position = PositionRecord::read_from_bytes(body).ok()?;
                self.symbols.insert(position.instrument, symbol_text(&position.symbol));
                Some((position.instrument, None))
            }
            Kind::OrderEvent => Some((OrderEventRecord::read_from_bytes(body).ok()?.instrument, None)),
            Kind::Refusal => {
                let refusal = RefusalRecord::read_from_bytes(body).ok()?;
                Some((refusal.instrument, Some(name_at(&self.names.refusals, refusal.reason as usize))))
            }
            _ => None,
        }
    }
}

/// Prints records as they are found, or the story of one order.
///
/// # Errors
/// Exit code 1 when the journal cannot be opened or has no such order, 2 for a time that is none, 4 where it is damaged.
pub(crate) fn query(folder: &Path, query: &Query, json: bool) -> Result<Option<Outcome>, Failure> {
    let begins = || {
        let begins = if query.no_index { recovered::last_day_begins(folder) } else { index::last_day_begins(folder) };
        begins.map_err(indexed::damaged)
    };
    let from_seq = if query.all_days || !folder.is_dir() { 0 } else { begins()? };
    if let Some(order) = query.order {
        return story::story(folder, order, from_seq, !query.no_index).map(Some);
    }
    let time = |text: &Option<String>, otherwise: u64| match text {
        None => Ok(otherwise),
        Some(text) => tai_ns(text).ok_or_else(|| {
            Failure::usage(format!("`{text}` is no time: give it as 2026-11-22T13:42:33.5 (TAI), or in nanoseconds"))
        }),
    };
    let times = time(&query.from, 0)?..=time(&query.to, u64::MAX)?;
    let mut filter = Filter::new(query.symbol.clone(), query.reason.clone(), times);
    let mut left = query.limit.unwrap_or(u64::MAX);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut wrong = None;
    let mut see = |filter: &mut Filter, header: &RecordHeader, body: &[u8]| {
        if left == 0 {
            return false;
        }
        if filter.wants(header, body) {
            left -= 1;
            let record = to_json(header, body, &filter.names, 0);
            let line = if json { record.to_string() } else { to_line(&record) };
            wrong = writeln!(out, "{line}").err();
        }
        wrong.is_none()
    };
    let damage = if filter.is_narrow() && !query.no_index {
        indexed::for_each(folder, from_seq, &mut filter, &mut see)?
    } else {
        records::for_each(folder, from_seq, |header, body| see(&mut filter, header, body))?
    };
    let flushed = out.flush();
    match wrong.or(flushed.err()) {
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
        Some(error) => return Err(Failure::failed(error)),
        None => {}
    }
    if filter.nameless > 0 {
        eprintln!(
            "tern: {} records are left out: no order or position before them says the symbol of their instrument",
            filter.nameless
        );
    }
    match damage {
        Some(damage) => Err(Failure { message: damage.to_string(), code: exit::DAMAGED }),
        None => Ok(None),
    }
}
