//! An index is made of its segment.

use super::{KEYS, Key, Posting, Said, Tables, WINDOW_BYTES, Window};
use crate::reader::{Reader, Record};
use crate::{JournalError, segment_facts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tern_abi::record::{
    ACTION_REPLACE, Kind, OrderEventRecord, OrderRecord, PositionRecord, RefusalRecord, StageRecord,
};
use zerocopy::FromBytes;

#[derive(Default)]
struct Build {
    tables: Tables,
    postings: [Vec<Posting>; KEYS],
    /// Of the run, as far as the segment says.
    symbols: BTreeMap<u32, [u8; 8]>,
    unsaid: BTreeSet<u32>,
}

/// Reads segment `number`; of one that is not finished, what is there.
pub(super) fn build(folder: &Path, number: u64) -> Result<(Tables, [Vec<Posting>; KEYS]), JournalError> {
    let mut build = Build::default();
    let mut reader = Reader::of_segment(folder, number);
    while let Some(record) = reader.next()? {
        build.record(&record);
    }
    // Asked afterwards: whoever finished it meanwhile has written nothing that was not read.
    let end = segment_facts(folder, number)?.and_then(|facts| facts.end);
    build.tables.chain = end.filter(|_| reader.segment() > number).unwrap_or_default();
    for postings in &mut build.postings {
        postings.sort_unstable();
    }
    Ok((build.tables, build.postings))
}

impl Build {
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
