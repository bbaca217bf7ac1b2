//! An index is made of its segment.

use super::{KEYS, Key, Posting, Postings, Reach, Said, Tables, WINDOW_BYTES, Window, mark_at};
use crate::reader::{Reader, Record};
use crate::{JournalError, segment_facts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tern_abi::record::{
    ACTION_REPLACE, Kind, OrderEventRecord, OrderRecord, PositionRecord, RefusalRecord, StageRecord,
};
use zerocopy::FromBytes;

/// Up to where an index is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// All that is there.
    Now,
    /// The last mark that does not lie behind this byte.
    Mark(u64),
}

#[derive(Default)]
struct Build {
    tables: Tables,
    postings: Postings,
    /// Of the run, as far as the segment says.
    symbols: BTreeMap<u32, [u8; 8]>,
    unsaid: BTreeSet<u32>,
    at_mark: AtMark,
}

/// What there was at the last mark.
#[derive(Clone, Copy, Default)]
struct AtMark {
    bytes: u64,
    records: u64,
    /// Entries of `starts`, `said`, `unsaid`, `replaces` and `windows`.
    tables: [usize; 5],
    postings: [usize; KEYS],
    /// Records behind the mark may lie in it, too.
    last_window: Option<Window>,
}

/// Reads segment `number`, behind what is `known` of it, which ends at a mark. The postings are those behind that.
pub(super) fn build(
    folder: &Path,
    number: u64,
    known: Option<Tables>,
    until: Until,
) -> Result<(Tables, Postings), JournalError> {
    let mut reader = Reader::of_segment(folder, number);
    let mut build = Build::default();
    if let Some(known) = known {
        if let Reach::Mark { last_seq, .. } = known.reach {
            reader.begin_at(known.bytes, last_seq.saturating_add(1))?;
        }
        build = Build::behind(known);
    }
    let limit = if let Until::Mark(limit) = until { limit } else { u64::MAX };
    while let Some(record) = reader.next()? {
        // Between records there is nothing but marks.
        if build.tables.records > 0 && build.tables.bytes != record.offset {
            build.note_mark();
        }
        if record.offset > limit {
            break;
        }
        build.record(&record);
    }
    build.tables.reach = match until {
        // Asked afterwards: whoever finished it meanwhile has written nothing that was not read.
        Until::Now => {
            let end = segment_facts(folder, number)?.and_then(|facts| facts.end);
            end.filter(|_| reader.segment() > number).map_or(Reach::Now, Reach::End)
        }
        Until::Mark(_) => {
            // Nothing may lie behind the last one: a writer that recovers the segment cuts off what is torn.
            let found = match mark_at(folder, number, build.tables.bytes)? {
                Some(mark) => Some(mark),
                None => {
                    build.go_back();
                    mark_at(folder, number, build.tables.bytes)?
                }
            };
            found.filter(|(_, records)| *records == build.tables.records).map_or(Reach::Now, |(reach, _)| reach)
        }
    };
    for postings in &mut build.postings {
        postings.sort_unstable();
    }
    Ok((build.tables, build.postings))
}

impl Build {
    /// Goes on where `tables` end.
    fn behind(tables: Tables) -> Self {
        let run = tables.starts.last().map_or(0, |start| start.at);
        let said = tables.said.iter().filter(|said| said.at >= run);
        let unsaid = tables.unsaid.iter().filter(|first| first.at >= run);
        let mut build = Self {
            symbols: said.map(|said| (said.instrument, said.symbol)).collect(),
            unsaid: unsaid.map(|first| first.key).collect(),
            ..Self::default()
        };
        build.tables = tables;
        build.note_mark();
        build
    }

    /// A mark lies where the last record ends.
    fn note_mark(&mut self) {
        let Tables { bytes, records, starts, said, unsaid, replaces, windows, .. } = &self.tables;
        self.at_mark = AtMark {
            bytes: *bytes,
            records: *records,
            tables: [starts.len(), said.len(), unsaid.len(), replaces.len(), windows.len()],
            postings: [0, 1, 2].map(|key| self.postings[key].len()),
            last_window: windows.last().copied(),
        };
    }

    /// Forgets what lies behind the last mark.
    fn go_back(&mut self) {
        let AtMark { bytes, records, tables: [starts, said, unsaid, replaces, windows], postings, last_window } =
            self.at_mark;
        (self.tables.bytes, self.tables.records) = (bytes, records);
        self.tables.starts.truncate(starts);
        self.tables.said.truncate(said);
        self.tables.unsaid.truncate(unsaid);
        self.tables.replaces.truncate(replaces);
        self.tables.windows.truncate(windows.saturating_sub(1));
        self.tables.windows.extend(last_window);
        self.postings.iter_mut().zip(postings).for_each(|(all, count)| all.truncate(count));
    }

    fn record(&mut self, record: &Record<'_>) {
        let Record { header, body, offset, .. } = *record;
        // A segment has at most 16 GiB, and records lie at multiples of 8.
        let at = (offset / 8) as u32;
        self.tables.records += 1;
        self.tables.bytes = record.end();
        let place = offset / WINDOW_BYTES;
        match self.tables.windows.last_mut() {
            Some(window) if window.first_offset / WINDOW_BYTES == place => {
                window.min_ns = window.min_ns.min(header.tai_ns);
                window.max_ns = window.max_ns.max(header.tai_ns);
            }
            _ => self.tables.windows.push(Window {
                first_offset: offset,
                first_seq: header.seq,
                min_ns: header.tai_ns,
                max_ns: header.tai_ns,
            }),
        }
        match Kind::from_u16(header.kind) {
            Some(Kind::Order) => {
                let Ok((order, _)) = OrderRecord::read_from_prefix(body) else { return };
                self.say(at, order.instrument, order.symbol);
                self.put(Key::Order, order.order, at);
                self.put(Key::Instrument, order.instrument, at);
                if order.action == ACTION_REPLACE {
                    self.tables.replaces.push([at, order.replaces, order.order]);
                }
            }
            Some(Kind::OrderEvent) => {
                let Ok((event, _)) = OrderEventRecord::read_from_prefix(body) else { return };
                self.put(Key::Order, event.order, at);
                self.of_instrument(event.instrument, at);
            }
            Some(Kind::Stages) => {
                let Ok((stages, _)) = StageRecord::read_from_prefix(body) else { return };
                if stages.order != 0 {
                    self.put(Key::Order, stages.order, at);
                }
            }
            Some(Kind::Position) => {
                let Ok((position, _)) = PositionRecord::read_from_prefix(body) else { return };
                self.say(at, position.instrument, position.symbol);
                self.put(Key::Instrument, position.instrument, at);
            }
            Some(Kind::Refusal) => {
                let Ok((refusal, _)) = RefusalRecord::read_from_prefix(body) else { return };
                self.of_instrument(refusal.instrument, at);
                self.put(Key::Reason, refusal.reason, at);
            }
            Some(Kind::Start) => {
                self.tables.starts.push(Posting { key: 0, at });
                // A run gives out ids of its own.
                self.symbols.clear();
                self.unsaid.clear();
            }
            _ => {}
        }
    }

    fn put(&mut self, by: Key, key: u32, at: u32) {
        self.postings[by as usize].push(Posting { key, at });
    }

    fn say(&mut self, at: u32, instrument: u32, symbol: [u8; 8]) {
        if self.symbols.insert(instrument, symbol) != Some(symbol) {
            self.tables.said.push(Said { at, instrument, symbol });
        }
    }

    fn of_instrument(&mut self, instrument: u32, at: u32) {
        if !self.symbols.contains_key(&instrument) && self.unsaid.insert(instrument) {
            self.tables.unsaid.push(Posting { key: instrument, at });
        }
        self.put(Key::Instrument, instrument, at);
    }
}
