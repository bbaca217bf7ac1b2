//! How far the last trading day is, as its operators led it: from the journal alone, so that it outlives every process.

use crate::JournalError;
use crate::format::segment_path;
use crate::reader::segment_near;
use crate::recover::segment_span;
use crate::recovered::{day_begin_of, last_start, run_value, start_text};
use crate::scan::Scan;
use std::path::Path;
use std::sync::Arc;
use tern_abi::day::{DayRecord, DayState, DayStep};
use tern_abi::record::{Kind, RecordHeader, StartRecord};
use zerocopy::{FromBytes, IntoBytes};

/// In the line of a start record that says how the run began: the venue's trading day.
const DAY: &str = "day";
/// Entries that are kept; of more, the first are left out. What state the day is in does not depend on them.
const ENTRIES_MAX: usize = 1000;

/// A step of the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayEntry {
    /// `seq` of its record.
    pub seq: u64,
    /// When, TAI ns.
    pub tai_ns: u64,
    /// What.
    pub step: DayStep,
    /// Who: Unix user id.
    pub uid: u32,
    /// Until when it counts, TAI ns; 0 = as long as the day.
    pub until_ns: u64,
    /// Why, or what.
    pub text: String,
}

impl DayEntry {
    /// Whether it still counts.
    pub fn counts(&self, now_ns: u64) -> bool {
        self.until_ns == 0 || now_ns < self.until_ns
    }
}

/// See the module. Feed it every record, in order, or those of its two kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayLog {
    /// The trading day of the last run; `None` when no run said one.
    pub day: Option<u32>,
    /// `seq` of the start record with which it begins.
    pub begins: u64,
    /// How far it is.
    pub state: DayState,
    /// What was done, in order; the last of them.
    pub entries: Vec<DayEntry>,
    /// Entries that are left out.
    pub left_out: u64,
    /// `seq` and text of the last run's start record.
    pub run: Option<(u64, Arc<str>)>,
}

impl DayLog {
    /// Adds one record; those of other kinds change nothing.
    pub fn apply(&mut self, header: &RecordHeader, body: &[u8]) {
        if header.kind == Kind::Start as u16 {
            let text = start_text(body).unwrap_or_default();
            let day = run_value(text, DAY).and_then(|value| value.parse().ok());
            self.begin(day, day_begin_of(body, header.seq));
            self.run = Some((header.seq, text.into()));
        } else if header.kind == Kind::Day as u16
            && let Ok((record, _)) = DayRecord::read_from_prefix(body)
        {
            self.step(header, &record);
        }
    }

    /// A run began. One of the same day goes on with it.
    pub(crate) fn begin(&mut self, day: Option<u32>, begins: u64) {
        if day != self.day || self.begins == 0 {
            *self = Self { day, begins, ..Self::default() };
        }
    }

    fn step(&mut self, header: &RecordHeader, record: &DayRecord) {
        // A step of another day says nothing of this one; one that this build does not know changes nothing that it knows.
        let Some(step) = record.step().filter(|_| Some(record.day) == self.day) else { return };
        self.state = step.state().unwrap_or(self.state);
        if self.entries.len() == ENTRIES_MAX {
            self.entries.remove(0);
            self.left_out += 1;
        }
        let (seq, tai_ns, text) = (header.seq, header.tai_ns, record.text().to_owned());
        self.entries.push(DayEntry { seq, tai_ns, step, uid: record.uid, until_ns: record.until_ns, text });
    }

    /// The last entry of a kind that still counts and whose text begins with the word `name`.
    pub fn counting(&self, step: DayStep, name: &str, now_ns: u64) -> Option<&DayEntry> {
        let is_named = |text: &str| name.is_empty() || text.split_whitespace().next() == Some(name);
        self.entries.iter().rev().find(|entry| entry.step == step && entry.counts(now_ns) && is_named(&entry.text))
    }
}

/// How far the last day of the journal in `folder` is.
///
/// # Errors
/// As [`last_day_begins`](crate::recovered::last_day_begins).
pub fn day_log(folder: &Path) -> Result<DayLog, JournalError> {
    let mut log = DayLog::default();
    let Some((header, text)) = last_start(folder)? else { return Ok(log) };
    let body = [StartRecord::default().as_bytes(), text.as_bytes()].concat();
    log.apply(&header, &body);
    let last = *segment_span(folder)?.end();
    for number in segment_near(folder, log.begins)?..=last {
        let mut scan = Scan::open(&segment_path(folder, number), number)?;
        while let Some(body) = scan.find(Kind::Day as u16)? {
            let header = *scan.last();
            if header.seq > log.begins {
                log.apply(&header, scan.bytes(body));
            }
        }
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(seq: u64, day: u32) -> (RecordHeader, Vec<u8>) {
        let text = format!("[instance]\nname = \"m\"\n#run next_order_id=1 day={day}\n");
        let body = [StartRecord::default().as_bytes(), text.as_bytes()].concat();
        (header(seq, Kind::Start), body)
    }

    fn header(seq: u64, kind: Kind) -> RecordHeader {
        RecordHeader { seq, tai_ns: seq * 10, kind: kind as u16, ..RecordHeader::default() }
    }

    fn step(seq: u64, day: u32, step: DayStep, until_ns: u64, text: &str) -> (RecordHeader, Vec<u8>) {
        (header(seq, Kind::Day), DayRecord::new(step, day, 7, until_ns, text).as_bytes().to_vec())
    }

    fn log(records: &[(RecordHeader, Vec<u8>)]) -> DayLog {
        let mut log = DayLog::default();
        records.iter().for_each(|(header, body)| log.apply(header, body));
        log
    }

    #[test]
    fn a_restart_goes_on_with_the_day_and_another_day_begins_anew() {
        let mut records = vec![start(1, 5), step(2, 5, DayStep::Prepared, 0, "why"), step(3, 5, DayStep::Armed, 0, "")];
        assert_eq!(log(&records).state, DayState::Armed);
        records.push(step(4, 5, DayStep::Refused, 0, "seal: it is armed"));
        records.push(step(5, 6, DayStep::Closed, 0, "of another day"));
        records.push(start(6, 5));
        let same = log(&records);
        assert_eq!((same.state, same.day, same.begins, same.entries.len()), (DayState::Armed, Some(5), 1, 3));
        records.push(start(7, 6));
        let next = log(&records);
        assert_eq!((next.state, next.day, next.entries.len()), (DayState::New, Some(6), 0));
    }

    #[test]
    fn a_waiver_counts_by_its_name_and_until_its_time() {
        let log = log(&[
            start(1, 5),
            step(2, 5, DayStep::Waived, 100, "disk ticket 9"),
            step(3, 5, DayStep::Unfrozen, 50, ""),
        ]);
        assert!(log.counting(DayStep::Waived, "disk", 99).is_some_and(|entry| entry.uid == 7));
        assert_eq!(log.counting(DayStep::Waived, "disk", 100), None);
        assert_eq!(log.counting(DayStep::Waived, "dis", 1), None);
        assert!(log.counting(DayStep::Unfrozen, "", 49).is_some());
    }

    #[test]
    fn what_is_read_from_a_journal_is_what_following_it_says() {
        let folder = std::env::temp_dir().join(format!("tern-day-log-{}", std::process::id()));
        let (mut writer, _) = crate::Writer::open(&folder, crate::Options::new("m")).expect("a journal");
        let records = [
            start(1, 5),
            step(2, 5, DayStep::Armed, 0, "yesterday"),
            start(3, 6),
            step(4, 6, DayStep::Prepared, 0, "x"),
        ];
        for (header, body) in &records {
            let header = RecordHeader { body_bytes: body.len() as u32, ..*header };
            writer.append(&header, body).expect("room");
        }
        writer.sync().expect("synced");
        let found = day_log(&folder).expect("readable");
        assert_eq!(found, log(&records));
        assert_eq!((found.state, found.entries[0].text.as_str()), (DayState::Prepared, "x"));
        drop(writer);
        std::fs::remove_dir_all(&folder).expect("it was made");
    }
}
