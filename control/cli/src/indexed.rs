//! Queries by the segments' indexes, and `tern journal index`. An index says where to look; what is given out is read from the
//! segment and passes the same filter as where every record is read.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::Range;
use std::path::Path;

use serde_json::json;
use tern_abi::record::RecordHeader;
use tern_config::facts::name_at;
use tern_journal::{Damage, Index, JournalError, Reader, segments_from};

use crate::fold::symbol_text;
use crate::outcome::{Failure, Outcome, exit};
use crate::query::Filter;
use crate::table::grouped;

/// More reasons than a gate has.
const REASONS: u32 = 256;

/// Damage is what a query tells of; other errors end it.
fn damage_of<T>(outcome: Result<T, JournalError>) -> Result<Result<T, Damage>, Failure> {
    match outcome {
        Ok(found) => Ok(Ok(found)),
        Err(JournalError::Damaged(damage)) => Ok(Err(damage)),
        Err(error) => Err(Failure::failed(error)),
    }
}

fn no_journal(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() { Ok(()) } else { Err(Failure::failed(format!("{}: there is no journal", folder.display()))) }
}

/// As [`records::for_each`](crate::records::for_each), but only records that `filter` may want, and start records.
///
/// # Errors
/// When the journal cannot be opened or read.
pub(crate) fn for_each(
    folder: &Path,
    from_seq: u64,
    filter: &mut Filter,
    see: &mut impl FnMut(&mut Filter, &RecordHeader, &[u8]) -> bool,
) -> Result<Option<Damage>, Failure> {
    no_journal(folder)?;
    let segments = match damage_of(segments_from(folder, from_seq))? {
        Ok(segments) => segments,
        Err(damage) => return Ok(Some(damage)),
    };
    let (mut last, mut next_seq) = (*segments.start(), from_seq);
    for number in segments {
        last = number;
        let mut see_once = |filter: &mut Filter, header: &RecordHeader, body: &[u8]| {
            let more = header.seq < next_seq || see(filter, header, body);
            next_seq = next_seq.max(header.seq + 1);
            more
        };
        let outcome = Index::open(folder, number)
            .and_then(|mut index| Ok((one_segment(&mut index, filter, &mut see_once)?, index)));
        match damage_of(outcome)? {
            Ok((true, index)) if index.is_finished() => {}
            // What was written since the index was made lies behind what it knows, in the same segment.
            Ok((true, index)) => {
                return match damage_of(index.behind())? {
                    Ok(reader) => rest_of(reader, from_seq, filter, see),
                    Err(damage) => Ok(Some(damage)),
                };
            }
            Ok((false, _)) => return Ok(None),
            // What is whole before the damage is given out all the same, and once.
            Err(_) => return rest_of(Reader::open_segment(folder, number), next_seq, filter, see),
        }
    }
    rest_of(Reader::open_segment(folder, last + 1), from_seq, filter, see)
}

/// Reads on without an index: behind damage that keeps one from being made, and what was begun meanwhile.
fn rest_of(
    mut reader: Reader,
    from_seq: u64,
    filter: &mut Filter,
    see: &mut impl FnMut(&mut Filter, &RecordHeader, &[u8]) -> bool,
) -> Result<Option<Damage>, Failure> {
    loop {
        match damage_of(reader.next())? {
            Ok(None) => return Ok(None),
            Ok(Some(record)) if record.header.seq < from_seq => {}
            Ok(Some(record)) if see(filter, &record.header, record.body) => {}
            Ok(Some(_)) => return Ok(None),
            Err(damage) => return Ok(Some(damage)),
        }
    }
}

/// Whether more is wanted.
fn one_segment(
    index: &mut Index,
    filter: &mut Filter,
    see: &mut impl FnMut(&mut Filter, &RecordHeader, &[u8]) -> bool,
) -> Result<bool, JournalError> {
    let places = places(index, filter)?;
    let mut said = index.said().collect::<Vec<_>>().into_iter().peekable();
    let mut done = 0;
    for place in places {
        let mut at = place.start.max(done);
        while at < place.end.min(index.end()) {
            hear(filter, &mut said, at);
            let (record, next) = index.record_at(at)?;
            if !see(filter, &record.header, record.body) {
                return Ok(false);
            }
            (at, done) = (next, next);
        }
    }
    hear(filter, &mut said, u64::MAX);
    Ok(true)
}

/// Tells the filter which symbols were said up to `at`.
fn hear(filter: &mut Filter, said: &mut Peekable<impl Iterator<Item = (u64, u32, [u8; 8])>>, at: u64) {
    while let Some((_, instrument, symbol)) = said.next_if(|(said_at, ..)| *said_at <= at) {
        filter.symbols.insert(instrument, symbol_text(&symbol));
    }
}

/// Where in a segment records lie that `filter` may want, and start records; ascending. Too much is asked rather than too little.
fn places(index: &mut Index, filter: &Filter) -> Result<Vec<Range<u64>>, JournalError> {
    let windows = index.windows(&filter.times());
    let starts: Vec<u64> = index.starts().collect();
    let mut found: Option<BTreeSet<u64>> = None;
    if let Some(symbol) = &filter.symbol {
        let parts = instruments(index, filter, symbol, &starts);
        let postings = index.of_instruments(&parts.keys().copied().collect())?;
        let is_in = |(instrument, at): &(u32, u64)| parts[instrument].iter().any(|part| part.contains(at));
        found = Some(postings.into_iter().filter(is_in).map(|(_, at)| at).collect());
    }
    if let Some(reason) = &filter.reason {
        let mut all = BTreeSet::new();
        for key in reasons(index, filter, reason, &starts)? {
            all.extend(index.of_reason(key)?);
        }
        found = Some(match found {
            Some(others) => &others & &all,
            None => all,
        });
    }
    let mut places: Vec<Range<u64>> = match found {
        Some(found) => {
            let is_in_time = |at: &u64| {
                let behind = windows.partition_point(|window| window.start <= *at);
                behind.checked_sub(1).is_some_and(|window| windows[window].contains(at))
            };
            found.into_iter().filter(is_in_time).map(|at| at..at + 1).collect()
        }
        None => windows,
    };
    places.extend(starts.iter().map(|at| *at..at + 1));
    places.sort_unstable_by_key(|place| (place.start, place.end));
    Ok(places)
}

/// Instruments that may be of `symbol`, and in which parts of the segment: known from before or said in it, and those that
/// nothing says, which are counted.
fn instruments(index: &Index, filter: &Filter, symbol: &str, starts: &[u64]) -> BTreeMap<u32, Vec<Range<u64>>> {
    let mut parts: BTreeMap<u32, Vec<Range<u64>>> = BTreeMap::new();
    let mut said_at: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (at, instrument, said) in index.said() {
        said_at.entry(instrument).or_default().push(at);
        if symbol_text(&said) == symbol {
            parts.entry(instrument).or_default().push(0..u64::MAX);
        }
    }
    for (instrument, _) in filter.symbols.iter().filter(|(_, known)| *known == symbol) {
        parts.entry(*instrument).or_default().push(0..u64::MAX);
    }
    let next = |places: &[u64], at| places.get(places.partition_point(|place| *place <= at)).copied();
    for (at, instrument) in index.unsaid() {
        // What was known before counts up to the first start of a run.
        let is_known = starts.first().is_none_or(|start| at < *start) && filter.symbols.contains_key(&instrument);
        if !is_known {
            // Up to where something says it, or another run begins.
            let said = said_at.get(&instrument).and_then(|places| next(places, at));
            let end = [said, next(starts, at)].into_iter().flatten().min();
            parts.entry(instrument).or_default().push(at..end.unwrap_or(u64::MAX));
        }
    }
    parts
}

/// Numbers that `reason` has in the runs of a segment.
fn reasons(index: &mut Index, filter: &Filter, reason: &str, starts: &[u64]) -> Result<BTreeSet<u32>, JournalError> {
    let mut tables = vec![filter.names.refusals.clone()];
    for at in starts {
        let (record, _) = index.record_at(*at)?;
        tables.extend(crate::record_text::names_of_start(&record.header, record.body).map(|names| names.refusals));
    }
    let is_it = |number: &u32| tables.iter().any(|table| name_at(table, *number as usize) == reason);
    Ok((0..REASONS).filter(is_it).collect())
}

/// The records from a `seq` on, by their indexes.
pub(crate) struct Day<'f> {
    folder: &'f Path,
    from_seq: u64,
    indexes: Vec<Index>,
}

impl<'f> Day<'f> {
    /// `None` where the journal is damaged, or goes on behind what can be read.
    ///
    /// # Errors
    /// When the journal cannot be opened or read.
    pub(crate) fn open(folder: &'f Path, from_seq: u64) -> Result<Option<Self>, Failure> {
        no_journal(folder)?;
        let open = || -> Result<Vec<Index>, JournalError> {
            segments_from(folder, from_seq)?.map(|number| Index::open(folder, number)).collect()
        };
        let Ok(indexes) = damage_of(open())? else { return Ok(None) };
        let last = indexes.last().map_or(0, Index::number);
        // Behind them nothing may be missing, and nothing may have been begun.
        match damage_of(Reader::open_segment(folder, last + 1).next())? {
            Ok(None) => Ok(Some(Self { folder, from_seq, indexes })),
            Ok(Some(_)) | Err(_) => Ok(None),
        }
    }

    /// Replaces of the day: the order replaced, and by which.
    /// `None` where the journal is damaged.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn replaces(&mut self) -> Result<Option<Vec<(u32, u32)>>, Failure> {
        let mut begins = 0;
        if let Some(first) = self.indexes.first_mut() {
            match damage_of(first.record_of(self.from_seq))? {
                Ok(Some(record)) => begins = record.offset,
                Ok(None) => {}
                Err(_) => return Ok(None),
            }
        }
        let first = self.indexes.first().map(Index::number);
        let of_day = |index: &Index, at: u64| Some(index.number()) != first || at >= begins;
        let all = self.indexes.iter().flat_map(|index| index.replaces().filter(move |(at, ..)| of_day(index, *at)));
        Ok(Some(all.map(|(_, replaced, by)| (replaced, by)).collect()))
    }

    /// Hands start records and those of these orders to `see`, in order. As long as it names an instrument, also that one's
    /// records. Whether all could be read.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn of_orders(
        &mut self,
        orders: &[u32],
        mut see: impl FnMut(&RecordHeader, &[u8]) -> Option<u32>,
    ) -> Result<bool, Failure> {
        let mut also = None;
        for index in &mut self.indexes {
            match damage_of(of_orders(index, orders, self.from_seq, &mut also, &mut see))? {
                Ok(()) => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Hands record `seq` to `see`; whether it could be read. One that was shed is not there.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn record(&mut self, seq: u64, see: impl FnOnce(&RecordHeader, &[u8])) -> Result<bool, Failure> {
        let Ok(segments) = damage_of(segments_from(self.folder, seq))? else { return Ok(false) };
        let index = self.indexes.iter_mut().find(|index| index.number() == *segments.start());
        let Some(index) = index else { return Ok(true) };
        match damage_of(index.record_of(seq))? {
            Ok(Some(record)) => see(&record.header, record.body),
            Ok(None) => {}
            Err(_) => return Ok(false),
        }
        Ok(true)
    }
}

fn of_orders(
    index: &mut Index,
    orders: &[u32],
    from_seq: u64,
    also: &mut Option<u32>,
    see: &mut impl FnMut(&RecordHeader, &[u8]) -> Option<u32>,
) -> Result<(), JournalError> {
    let mut wanted: BTreeSet<u64> = index.starts().collect();
    for order in orders {
        wanted.extend(index.of_order(*order)?);
    }
    let mut of_instrument = match also {
        Some(instrument) => index.of_instrument(*instrument)?,
        None => Vec::new(),
    };
    let mut next = 0;
    loop {
        let own = wanted.range(next..).next().copied();
        let other =
            of_instrument.get(of_instrument.partition_point(|at| *at < next)).copied().filter(|_| also.is_some());
        let Some(at) = own.into_iter().chain(other).min() else { return Ok(()) };
        let (record, behind) = index.record_at(at)?;
        next = behind;
        if record.header.seq < from_seq {
            continue;
        }
        let named = see(&record.header, record.body);
        if named != *also {
            *also = named;
            of_instrument = match named {
                Some(instrument) => index.of_instrument(instrument)?,
                None => Vec::new(),
            };
        }
    }
}

/// Exit code 4 when the journal is damaged.
pub(crate) fn damaged(error: JournalError) -> Failure {
    match error {
        JournalError::Damaged(_) => Failure { message: error.to_string(), code: exit::DAMAGED },
        other => Failure::failed(other),
    }
}

/// Makes what is missing, or looks whether what is there is right.
///
/// # Errors
/// When the journal cannot be read, or an index cannot be written; exit code 4 when the journal is damaged or an index is wrong.
pub(crate) fn index(folder: &Path, check: bool) -> Result<Outcome, Failure> {
    no_journal(folder)?;
    let (mut right, mut made, mut wrong) = (0_u64, 0_u64, Vec::new());
    for number in segments_from(folder, 0).map_err(damaged)? {
        if check {
            match Index::check(folder, number).map_err(damaged)? {
                Some(true) => right += 1,
                Some(false) => wrong.push(number),
                None => {}
            }
            continue;
        }
        let index = Index::open(folder, number).map_err(damaged)?;
        if index.is_kept() {
            right += 1;
        } else if index.write().map_err(damaged)?.is_some() {
            made += 1;
        }
    }
    let mut text = match check {
        true => format!("{} indexes say what their segments do\n", grouped(right)),
        false => format!("{} indexes made, {} were right\n", grouped(made), grouped(right)),
    };
    for number in &wrong {
        text.push_str(&format!("WRONG: the index of segment {number} does not say what the segment does: remove it\n"));
    }
    let code = if wrong.is_empty() { exit::OK } else { exit::DAMAGED };
    Ok(Outcome { text, json: json!({ "made": made, "right": right, "wrong": wrong }), code })
}

#[cfg(test)]
#[path = "indexed_tests.rs"]
mod tests;
