//! A journal again, through the same pipeline: its inputs go in, what comes out is compared with what the journal says
//! came out, byte for byte. Stage stamps are left out: they are the host's, not the pipeline's.

use crate::assemble::{self, RunState};
use crate::engine::CONN;
use crate::isolate::{CatchUnwind, watch_panics};
use crate::recovery;
use anyhow::{Context, anyhow};
use std::collections::VecDeque;
use std::path::Path;
use tern_abi::record::{Kind, RecordHeader, Recorder, RingFull, ShedRecord, StartRecord};
use tern_config::facts::Names;
use tern_config::{Config, Problem};
use tern_core::book::Heap;
use tern_core::feed::Feed;
use tern_core::input::{ConnEvent, Input};
use tern_core::pipeline::{Desk, Pipeline};
use tern_core::probe::NoProbe;
use tern_core::replay::{NotAnInput, Recorded, read_input};
use tern_core::session::OrderSession;
use tern_core::strategy::StrategySet;
use tern_core::units::{StreamId, TaiNs};
use tern_journal::Reader;
use zerocopy::FromBytes;

/// Differences that are described; the others are counted.
const DESCRIBED_MAX: usize = 10;

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// Runs of the data plane in the journal.
    pub runs: u64,
    /// Inputs given to the pipeline.
    pub inputs: u64,
    /// Outputs compared.
    pub outputs: u64,
    /// Orders, replaces and cancels among them.
    pub orders: u64,
    /// Outputs that differ, are missing or were not in the journal.
    pub mismatches: u64,
    /// Datagrams that were not captured: what depends on them cannot be made again.
    pub shed: u64,
    /// The first differences, in words.
    pub differences: Vec<String>,
    /// What this build would refuse, or does not know, of a configuration that was in force: it was taken as it stands.
    pub odd: Vec<String>,
}

/// Takes what the pipeline records: the input itself, then outputs.
#[derive(Default)]
struct Produced {
    next_seq: u64,
    outputs: VecDeque<(RecordHeader, Vec<u8>)>,
}

impl Recorder for Produced {
    fn record(&mut self, tai_ns: u64, kind: Kind, parts: &[&[u8]]) -> Result<(), RingFull> {
        let seq = self.next_seq;
        self.next_seq += 1;
        if is_output(kind) {
            let body = parts.concat();
            let header = RecordHeader { seq, tai_ns, kind: kind as u16, flags: 0, body_bytes: body.len() as u32 };
            self.outputs.push_back((header, body));
        }
        Ok(())
    }
    fn next_seq(&self) -> u64 {
        self.next_seq
    }
    fn has_room_for_orders(&self) -> bool {
        true
    }
}

/// What the pipeline makes, and makes again.
const fn is_output(kind: Kind) -> bool {
    kind as u16 >= Kind::Order as u16 && !matches!(kind, Kind::Stages | Kind::Counters | Kind::Outlier)
}

struct Run<F, O, S> {
    pipeline: Pipeline<F, O, S>,
    stream: StreamId,
    /// The last input said which messages had not been handed over.
    unsent_known: bool,
}

/// Replays the journal in `folder`; `parts` makes feed, session and strategies of a run from its configuration. After each
/// datagram `look` is given the feed's last sequence number and the desk.
///
/// # Errors
/// A journal that cannot be read or used, and what `look` returned; differences are no error but part of the outcome.
pub fn replay<F: Feed, O: OrderSession, S: StrategySet>(
    folder: &Path,
    mut parts: impl FnMut(&Config) -> anyhow::Result<(F, O, S)>,
    mut look: impl FnMut(u64, &Desk) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    watch_panics();
    let mut outcome = Outcome::default();
    let mut produced = Produced::default();
    let mut run: Option<Run<F, O, S>> = None;
    let mut reader = Reader::open(folder)?;
    while let Some(record) = reader.next()? {
        let header = record.header;
        match record.kind() {
            Some(Kind::Start) => {
                finish_input(&mut produced, &mut outcome);
                let started =
                    begin(folder, record.body, &mut parts).with_context(|| format!("record {}", header.seq))?;
                let odd = started.1.into_iter().map(|problem| format!("record {}: {problem}", header.seq));
                outcome.odd.extend(odd);
                run = Some(started.0);
                outcome.runs += 1;
            }
            Some(Kind::Shed) => {
                let shed = ShedRecord::read_from_bytes(record.body).map_err(|_| anyhow!("a shed marker of no size"))?;
                outcome.shed += shed.datagrams;
            }
            Some(kind) if is_output(kind) => compare(&mut produced, &mut outcome, &header, kind, record.body),
            Some(kind) => {
                let input = match read_input(TaiNs(header.tai_ns), kind, record.body) {
                    Ok(input) => input,
                    Err(NotAnInput::Other(_)) => continue,
                    Err(NotAnInput::Malformed(kind)) => {
                        return Err(anyhow!("record {}: malformed {}", header.seq, kind.name()));
                    }
                };
                finish_input(&mut produced, &mut outcome);
                let run = run.as_mut().ok_or_else(|| anyhow!("record {} comes before any start", header.seq))?;
                produced.next_seq = header.seq;
                outcome.inputs += 1;
                run.give(TaiNs(header.tai_ns), &input, &mut produced);
                if kind == Kind::Datagram {
                    look(run.pipeline.feed().next_seq(run.stream).saturating_sub(1), run.pipeline.desk())?;
                }
            }
            None => return Err(anyhow!("record {} has kind {}, which this build lacks", header.seq, header.kind)),
        }
    }
    finish_input(&mut produced, &mut outcome);
    Ok(outcome)
}

/// A pipeline as it was when the run began, and what is odd about the configuration that it had.
fn begin<F: Feed, O: OrderSession, S: StrategySet>(
    folder: &Path,
    body: &[u8],
    parts: &mut impl FnMut(&Config) -> anyhow::Result<(F, O, S)>,
) -> anyhow::Result<(Run<F, O, S>, Vec<Problem>)> {
    let (_, text) = StartRecord::read_from_prefix(body).map_err(|_| anyhow!("a start record that is too short"))?;
    let text = std::str::from_utf8(text).context("the configuration in the start record")?;
    let (configuration, _) = Names::split_start_text(text);
    let (config, odd) = Config::journaled(configuration)?;
    let state = RunState::from_text(configuration).context("the start record does not say how the run began")?;
    let mut pipeline = assemble::pipeline(&config, state, parts(&config)?, &mut Heap)?;
    if let Some(ledger) = recovery::read(folder, &state, &assemble::opening(&config))? {
        pipeline.recover(ledger);
    }
    let stream = assemble::streams(&config).first().copied().unwrap_or_default();
    Ok((Run { pipeline, stream, unsent_known: false }, odd))
}

impl<F: Feed, O: OrderSession, S: StrategySet> Run<F, O, S> {
    /// One input, with what the live loop did before it: everything that waited was handed to TCP, unless this input or
    /// the one before says what was not.
    fn give(&mut self, now: TaiNs, input: &Recorded<'_>, produced: &mut Produced) {
        let says_unsent = matches!(input, Recorded::Input(Input::Conn { event: ConnEvent::Unsent(_), .. }));
        let control = self.pipeline.pending_control(CONN).len();
        self.pipeline.consume_control(CONN, control);
        let all_sent = !says_unsent && !self.unsent_known;
        while all_sent && let Some(bytes) = self.pipeline.next_order_bytes(CONN).map(|bytes| bytes.len()) {
            self.pipeline.order_bytes_sent(CONN, bytes);
        }
        // What the recorder says of its room may stand between that and the input that it belongs to.
        let is_between = matches!(input, Recorded::Input(Input::Conn { event: ConnEvent::RingRoom(_), .. }));
        self.unsent_known = says_unsent || (self.unsent_known && is_between);
        let input = input.input();
        // The recorder of a replay is never full.
        let _ = self.pipeline.on_input(now, input, produced, &mut NoProbe, &mut CatchUnwind);
        let _ = self.pipeline.take_drop(CONN);
    }
}

/// The next output of the journal against the next that was produced.
fn compare(produced: &mut Produced, outcome: &mut Outcome, header: &RecordHeader, kind: Kind, body: &[u8]) {
    outcome.outputs += 1;
    outcome.orders += u64::from(kind == Kind::Order);
    let differs = match produced.outputs.pop_front() {
        None => "was not produced again".into(),
        Some((again, bytes)) if again.kind != header.kind => {
            let name = Kind::from_u16(again.kind).map_or("?", Kind::name);
            format!("came out as {name} of {} bytes", bytes.len())
        }
        Some((again, bytes)) if again.tai_ns != header.tai_ns || bytes != body => {
            let at = bytes.iter().zip(body).position(|(ours, theirs)| ours != theirs);
            format!("differs (first byte: {at:?}, time by {} ns)", again.tai_ns.abs_diff(header.tai_ns))
        }
        Some(_) => return,
    };
    difference(outcome, format!("record {}, {}: {differs}", header.seq, kind.name()));
}

/// Before the next input: whatever was produced beyond the journal's outputs is a difference.
fn finish_input(produced: &mut Produced, outcome: &mut Outcome) {
    while let Some((header, _)) = produced.outputs.pop_front() {
        let name = Kind::from_u16(header.kind).map_or("?", Kind::name);
        difference(outcome, format!("{name} produced after record {} is not in the journal", header.seq));
    }
}

fn difference(outcome: &mut Outcome, text: String) {
    outcome.mismatches += 1;
    if outcome.differences.len() < DESCRIBED_MAX {
        outcome.differences.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry;
    use zerocopy::IntoBytes;

    /// A run before this build refused it: bounds without the prior close, a limit out of today's range, a key that is gone.
    const ODD: &str = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\nis_bonded = true\n\
        [capacity]\ninstruments = 10\norders = 100\n[limits]\nvolume_shares_min = 1000000\nopen_orders_max = 10\n\
        [reference]\ndate = \"2026-11-22\"\n[reference.prior_close]\nGME = 231500\n[reference.price_bands]\nGME = [2000, 2600]\n";

    fn replayed(name: &str, configuration: &str) -> anyhow::Result<Outcome> {
        let folder = std::env::temp_dir().join(format!("tern-replay-{name}-{}", std::process::id()));
        let (mut writer, _) = tern_journal::Writer::open(&folder, tern_journal::Options::new("m"))?;
        let text = Names::default().start_text(&(configuration.to_owned() + &RunState::default().to_line()));
        let body = [StartRecord::default().as_bytes(), text.as_bytes()].concat();
        for (seq, kind, body) in [(1, Kind::Start, &body[..]), (2, Kind::Timer, &[])] {
            let header = RecordHeader { seq, tai_ns: seq, kind: kind as u16, flags: 0, body_bytes: body.len() as u32 };
            writer.append(&header, body)?;
        }
        writer.sync()?;
        let parts = |config: &Config| {
            let strategies = registry::strategies(config).map_err(|problem| anyhow!("{problem}"))?;
            Ok((registry::itch_feed(&[], &mut Heap), registry::ouch_session(config), strategies))
        };
        let outcome = replay(&folder, parts, |_, _| Ok(()));
        std::fs::remove_dir_all(&folder)?;
        outcome
    }

    #[test]
    fn a_day_whose_configuration_would_be_refused_today_replays_and_what_is_odd_is_said() {
        assert!(Config::parse(Path::new("today"), &ODD.replace("is_bonded = true\n", "")).is_err());
        let outcome = replayed("odd", ODD).unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!((outcome.runs, outcome.inputs, outcome.mismatches), (1, 1, 0));
        let said = outcome.odd.join("\n");
        for part in [
            "record 1: start record:6:1: port.is_bonded: unknown field",
            "start record:11:21: limits.volume_shares_min: 1000000 is out of range",
            "reference.price_bands.GME: prices from 2000 to 2600 exclude 231500, the prior_close of GME",
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
        assert_eq!(outcome.odd.len(), 3, "{said}");
    }

    #[test]
    fn what_cannot_be_built_names_the_record_and_the_field() {
        let error = replayed("large", &ODD.replace("orders = 100", "orders = 4000000000")).expect_err("too large");
        assert!(format!("{error:#}").contains("record 1: start record:9:10: capacity.orders: "), "{error:#}");
    }
}
