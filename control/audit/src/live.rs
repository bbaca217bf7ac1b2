//! What the follower knows of the instance beside its journal, and how it is shown.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::json;
use tern_abi::reconcile::{Difference as Outcome, ReconcileRecord};
use tern_abi::record::{Kind, OrderEventRecord, PositionRecord, RecordHeader, StartRecord};
use tern_abi::segment::{KillCause, SessionState};
use tern_audit::{Copy, Difference};
use tern_config::Config;
use tern_config::facts::CopyFact;
use tern_hw::segment::SegmentView;
use tern_journal::recovered::run_value;
use zerocopy::FromBytes;

use crate::copy_line::Reader;

/// A pause of this process counts as no more for what waits.
const TURN_MAX: Duration = Duration::from_millis(100);
/// How long a look at the segment holds: it may be made anew.
const VIEW_FOR: Duration = Duration::from_secs(2);
/// A daemon that did not beat for so long does not write the journal either.
const BEAT_FOR: Duration = Duration::from_millis(250);

/// The drop copy, held against the journal as it grows.
pub(crate) struct Watch {
    copy: Copy,
    reader: Reader,
    day: String,
    looked: Instant,
    view: Option<(Instant, SegmentView)>,
    /// The daemon's last beat, and since when it is that.
    beat: (u64, Instant),
    log: File,
    /// Differences that were written down before: trading has been stopped for them.
    known: BTreeSet<String>,
}

impl Watch {
    /// `None` where the configuration names no drop copy.
    ///
    /// # Errors
    /// The file of differences cannot be used.
    pub(crate) fn new(config: &Config) -> io::Result<Option<Self>> {
        let Some(drop_copy) = &config.drop_copy else { return Ok(None) };
        let path = config.paths.run.join("drop_copy.jsonl");
        let known = fs::read_to_string(&path).unwrap_or_default();
        let name = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(format!("{} {}", line["day"].as_str()?, line["text"].as_str()?))
        };
        Ok(Some(Self {
            copy: Copy::new(Duration::from_millis(drop_copy.deadline_ms)),
            reader: Reader::new(drop_copy),
            day: String::new(),
            looked: Instant::now(),
            view: None,
            beat: (0, Instant::now()),
            log: OpenOptions::new().create(true).append(true).open(&path)?,
            known: known.lines().filter_map(name).collect(),
        }))
    }

    /// A record of the journal.
    pub(crate) fn record(&mut self, header: &RecordHeader, body: &[u8]) {
        match Kind::from_u16(header.kind) {
            Some(Kind::OrderEvent) => {
                OrderEventRecord::read_from_prefix(body).map(|(event, _)| self.copy.here(&event)).ok();
            }
            Some(Kind::Position) => {
                PositionRecord::read_from_prefix(body).map(|(record, _)| self.copy.position_here(&record)).ok();
            }
            Some(Kind::Start) => {
                let text = StartRecord::ref_from_prefix(body).ok().and_then(|(_, text)| std::str::from_utf8(text).ok());
                self.started(text.unwrap_or_default());
            }
            Some(Kind::Reconcile) => {
                let outcome = ReconcileRecord::read_from_prefix(body).map(|(record, _)| record.difference);
                if outcome.is_ok_and(|outcome| outcome == Outcome::Done as u32) {
                    self.copy.run_told();
                }
            }
            _ => {}
        }
    }

    fn started(&mut self, text: &str) {
        let day = run_value(text, "day").unwrap_or_default();
        if day != self.day {
            self.day = day.to_owned();
            self.copy.new_day();
            self.reader.begin_anew();
        }
        self.copy.new_run();
    }

    /// The journal was read to its end: what the copy has is taken, and what differs for too long is written down. Whether
    /// any of that is new.
    ///
    /// # Errors
    /// The file of differences cannot be written.
    pub(crate) fn turn(&mut self, config: &Config, tai_ns: u64) -> io::Result<bool> {
        let mut taken = self.reader.read(&mut self.copy);
        // Bounded: the journal grows meanwhile.
        for _ in 0..64 {
            if taken {
                break;
            }
            taken = self.reader.read(&mut self.copy);
        }
        let passed = self.looked.elapsed().min(TURN_MAX);
        self.looked = Instant::now();
        if !taken {
            return Ok(false);
        }
        let able_here = self.is_able(config);
        let mut news = false;
        for difference in self.copy.look(passed, able_here, self.reader.is_connected()) {
            news |= self.write_down(&difference, tai_ns)?;
        }
        Ok(news)
    }

    /// Whether our order session could have told what the copy tells, and the daemon could have written it down.
    fn is_able(&mut self, config: &Config) -> bool {
        if self.view.as_ref().is_none_or(|(since, _)| since.elapsed() > VIEW_FOR) {
            let view = SegmentView::open(&config.instance.name, config.paths.segment_file());
            self.view = view.ok().map(|view| (Instant::now(), view));
        }
        let Some((_, view)) = &self.view else { return false };
        let runs = view.data_plane().is_ok_and(|pid| pid.is_some());
        let Ok(words) = view.segment() else { return false };
        let beat = words.daemon_beat.last().0;
        if beat != self.beat.0 {
            self.beat = (beat, Instant::now());
        }
        runs && self.beat.1.elapsed() < BEAT_FOR && words.sessions.get(0).0 == SessionState::Ready as u64
    }

    /// Whether it was not known before.
    fn write_down(&mut self, difference: &Difference, tai_ns: u64) -> io::Result<bool> {
        let text = difference.to_string();
        if !self.known.insert(format!("{} {text}", self.day)) {
            return Ok(false);
        }
        eprintln!("tern-audit: drop copy: {text}");
        let line = json!({ "day": self.day, "at_ns": tai_ns, "difference": difference.what, "of": difference.of,
            "order": difference.order, "match_number": difference.match_number, "field": difference.field,
            "here": difference.here, "there": difference.there, "text": text });
        writeln!(self.log, "{line}")?;
        self.log.sync_data()?;
        Ok(true)
    }

    /// How it stands.
    pub(crate) fn fact(&self) -> CopyFact {
        let reader = &self.reader;
        CopyFact {
            connected: reader.is_connected(),
            logins: reader.logins,
            next_seq: reader.next_seq,
            trouble: reader.trouble.clone(),
            ..self.copy.fact()
        }
    }
}

/// Writes the kill word for `cause`; whether it is written.
pub(crate) fn stop_trading(config: &Config, cause: KillCause, tai_ns: u64) -> bool {
    let written = SegmentView::open(&config.instance.name, config.paths.segment_file())
        .and_then(|segment| segment.kill_for(u32::MAX, cause, tai_ns));
    match written {
        Ok(state) => {
            eprintln!("tern-audit: trading is stopped (kill {}); `tern resume` once the cause is known", state.kills());
            true
        }
        Err(error) => {
            eprintln!("tern-audit: trading could not be stopped: {error}");
            false
        }
    }
}
