//! `tern journal query --order`: an order's whole story, from the packet that caused it to its last fill, each step with
//! its time. Whatever the order was called: replaces give it new ids.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tern_abi::record::{
    ACTION_CANCEL, ACTION_REPLACE, DatagramHead, Kind, OrderEventRecord, OrderRecord, PositionRecord, RecordHeader,
    STAGE_NAMES, Stage, StageRecord, VenueEventKind,
};
use tern_config::facts::Names;
use tern_journal::Damage;
use zerocopy::FromBytes;

use crate::history::damage_note;
use crate::indexed;
use crate::outcome::{Failure, Outcome};
use crate::packet;
use crate::record_text::{names_of_start, to_json};
use crate::records;
use crate::table::{duration, grouped, money, tai_time};

/// So many records behind an input its stages are looked for.
const OUTPUTS_MAX: u64 = 256;

/// The last record that they may be.
const fn last_of(cause: u64) -> u64 {
    cause.saturating_add(OUTPUTS_MAX)
}

/// [`OrderRecord::flags`]: sent by the system, not by a strategy.
const FLAG_SYSTEM: u8 = 2;

/// Something that happened to the order.
struct Step {
    tai_ns: u64,
    /// Where it belongs among what has the same time.
    rank: Rank,
    text: String,
    json: Value,
}

/// What comes of one input has its time: the input before what it caused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Cause,
    Stage,
    Sent { order: u32 },
    Heard,
}

/// The ids that an order has or had: those before it, and those that replaces gave it or would have given it.
fn ids_of(order: u32, replaces: &[(u32, u32)]) -> BTreeSet<u32> {
    let mut ids = BTreeSet::from([order]);
    // A replace is later than the order that it names, so one walk each way finds them all.
    for (replaced, by) in replaces.iter().rev() {
        if ids.contains(by) {
            ids.insert(*replaced);
        }
    }
    for (replaced, by) in replaces {
        if ids.contains(replaced) {
            ids.insert(*by);
        }
    }
    ids
}

/// What is found on the way through the journal.
struct Story {
    ids: BTreeSet<u32>,
    names: Names,
    steps: Vec<Step>,
    first: Option<OrderRecord>,
    /// Inputs that caused one of its messages.
    causes: BTreeSet<u64>,
    sent_ns: Option<u64>,
    answered_ns: Option<u64>,
    executed: u64,
    /// Price times shares.
    value: i128,
    state: Option<String>,
    /// Of the last execution: the position record behind it belongs to it.
    position_of: Option<(u16, u32)>,
    /// Messages of the venue's log that were heard: after a restart it tells them again.
    told: BTreeSet<(u64, u8)>,
    /// Datagrams whose stages were told.
    timed: BTreeSet<u64>,
}

impl Story {
    fn new(ids: BTreeSet<u32>) -> Self {
        Self {
            ids,
            names: Names::default(),
            steps: Vec::new(),
            first: None,
            causes: BTreeSet::new(),
            sent_ns: None,
            answered_ns: None,
            executed: 0,
            value: 0,
            state: None,
            position_of: None,
            told: BTreeSet::new(),
            timed: BTreeSet::new(),
        }
    }

    fn see(&mut self, header: &RecordHeader, body: &[u8]) {
        if let Some(names) = names_of_start(header, body) {
            self.names = names;
        }
        match Kind::from_u16(header.kind) {
            Some(Kind::Order) => {
                if let Ok(order) = OrderRecord::read_from_bytes(body)
                    && self.ids.contains(&order.order)
                {
                    self.sent(header, body, &order);
                }
            }
            Some(Kind::OrderEvent) => {
                if let Ok(event) = OrderEventRecord::read_from_bytes(body)
                    && self.ids.contains(&event.order)
                {
                    self.heard(header, body, &event);
                }
            }
            Some(Kind::Stages) => {
                if let Ok(stages) = StageRecord::read_from_bytes(body)
                    && self.ids.contains(&stages.order)
                {
                    self.timed(&stages);
                }
            }
            Some(Kind::Position) => {
                if let Ok(position) = PositionRecord::read_from_bytes(body)
                    && self.position_of.take_if(|of| *of == (position.strategy, position.instrument)).is_some()
                {
                    let text = format!(
                        "position {} at cost {}, realized {}",
                        grouped(position.shares),
                        money(position.cost),
                        money(position.realized)
                    );
                    self.step(header, body, Rank::Heard, text);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, header: &RecordHeader, body: &[u8], rank: Rank, text: String) {
        let json = to_json(header, body, &self.names, 0);
        self.steps.push(Step { tai_ns: header.tai_ns, rank, text, json });
    }

    fn sent(&mut self, header: &RecordHeader, body: &[u8], order: &OrderRecord) {
        let who = if order.flags & FLAG_SYSTEM != 0 { " by the system" } else { "" };
        let terms = || format!("{} at {}", grouped(order.quantity), money(order.price));
        let text = match order.action {
            ACTION_CANCEL => format!("cancel of {} approved{who}", order.order),
            ACTION_REPLACE => format!("replace of {} by {} approved: {}", order.replaces, order.order, terms()),
            _ => format!("order {} approved: {}", order.order, terms()),
        };
        let rank = Rank::Sent { order: order.order };
        let text = format!("{text}; limits of epoch {}, recorded as {}", order.limits_epoch, header.seq);
        self.step(header, body, rank, text);
        self.causes.insert(order.cause_seq);
        self.first.get_or_insert(*order);
        self.sent_ns.get_or_insert(header.tai_ns);
    }

    fn heard(&mut self, header: &RecordHeader, body: &[u8], event: &OrderEventRecord) {
        let record = to_json(header, body, &self.names, 0);
        let is_new = self.told.insert((event.session_seq, event.kind)) || event.session_seq == 0;
        let state = record["body"]["state"].as_str().unwrap_or("?").to_owned();
        let kind = VenueEventKind::from_index(event.kind.into());
        let name = kind.map_or("?", VenueEventKind::name);
        let text = match kind {
            Some(VenueEventKind::Executed) => {
                if is_new {
                    self.executed += u64::from(event.quantity);
                    self.value += i128::from(event.price) * i128::from(event.quantity);
                }
                self.position_of = Some((event.strategy, event.instrument));
                format!(
                    "executed {} at {}, match {}; {} open, {state}",
                    grouped(event.quantity),
                    money(event.price),
                    event.match_number,
                    grouped(event.leaves)
                )
            }
            Some(VenueEventKind::Broken) => {
                self.position_of = Some((event.strategy, event.instrument));
                format!("{name}: match {}", event.match_number)
            }
            _ => format!("{name}; {} open, {state}", grouped(event.leaves)),
        };
        self.answered_ns.get_or_insert(header.tai_ns);
        self.state = Some(state);
        let who = if is_new { "venue" } else { "venue's log, told again" };
        self.steps.push(Step {
            tai_ns: header.tai_ns,
            rank: Rank::Heard,
            text: format!("{who}: {text}"),
            json: record,
        });
    }

    fn timed(&mut self, stages: &StageRecord) {
        self.timed.insert(stages.cause_seq);
        // A record has the time of its input; the stage says when the gate was done with it.
        let risk_ns = stages.stage_ns[Stage::Risk as usize];
        let is_its = |step: &&mut Step| matches!(step.rank, Rank::Sent { order } if order == stages.order);
        if let Some(step) = self.steps.iter_mut().rev().find(is_its).filter(|_| risk_ns != 0) {
            step.tai_ns = risk_ns;
        }
        for (index, (name, ns)) in STAGE_NAMES.iter().zip(stages.stage_ns).enumerate().filter(|(_, (_, ns))| *ns != 0) {
            let waiting = if *name == "frame_seen" { format!(", {} behind it", stages.backlog) } else { String::new() };
            // Frame, decoding and book are of all orders of the datagram.
            let is_of_another = index > Stage::Book as usize && stages.order != 0 && !self.ids.contains(&stages.order);
            let whose = if is_of_another {
                format!(" of order {}, the first of its datagram", stages.order)
            } else {
                String::new()
            };
            self.steps.push(Step {
                tai_ns: ns,
                rank: Rank::Stage,
                text: format!("{}{whose}{waiting}", name.replace('_', " ")),
                json: json!({ "tai_ns": ns, "kind": "stage", "body": { "stage": name, "order": stages.order,
                    "cause_seq": stages.cause_seq, "backlog": stages.backlog } }),
            });
        }
    }

    /// A record from the input `cause` on, which caused a message: that input and, unless they are told, its stages, which name
    /// the first of several orders, and none where only cancels left. Whether there is more to look for.
    fn around(&mut self, cause: u64, header: &RecordHeader, body: &[u8]) -> bool {
        if header.seq == cause {
            self.caused(header, body);
        } else if header.kind == Kind::Stages as u16
            && let Ok(stages) = StageRecord::read_from_bytes(body)
            && stages.cause_seq == cause
            && !self.timed.contains(&cause)
        {
            self.timed(&stages);
        }
        // What came of a datagram lies before the next input.
        let is_of_it =
            if header.seq == cause { header.kind == Kind::Datagram as u16 } else { header.kind >= Kind::Order as u16 };
        is_of_it && !self.timed.contains(&cause)
    }

    /// The input that caused a message, with what a datagram told.
    fn caused(&mut self, header: &RecordHeader, body: &[u8]) {
        let mut json = to_json(header, body, &self.names, 0);
        let (tai_ns, text) = match DatagramHead::read_from_prefix(body) {
            Ok((head, payload)) if header.kind == Kind::Datagram as u16 => {
                let told = packet::told(payload);
                let messages = told["told"].as_array().map_or(0, Vec::len);
                let mut text = format!(
                    "datagram arrived, recorded as {}: stream {}, line {}, sequence {}, {} messages",
                    header.seq, head.stream, head.line, told["sequence"], told["messages"]
                );
                for message in told["told"].as_array().into_iter().flatten() {
                    text.push_str(&format!("\n{:>16}{}", "", message.as_str().unwrap_or_default()));
                }
                if told["messages"].as_u64() > Some(messages as u64) {
                    text.push_str(&format!("\n{:>16}...", ""));
                }
                json["body"]["packet"] = told;
                (head.arrival_ns, text)
            }
            _ => (
                header.tai_ns,
                format!("caused by {}, recorded as {}", json["kind"].as_str().unwrap_or("?"), header.seq),
            ),
        };
        self.steps.push(Step { tai_ns, rank: Rank::Cause, text, json });
    }

    fn heading(&self, order: u32) -> String {
        let ids = || self.ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        match &self.first {
            Some(first) => format!(
                "order {order} ({}), {} {}: account {}, strategy {}, trader {}, venue {}\n",
                ids(),
                crate::fold::side_name(first.side),
                crate::fold::symbol_text(&first.symbol),
                first.account,
                first.strategy,
                first.trader,
                first.venue
            ),
            None => format!("order {order} ({}): this journal has no word that it was sent from here\n", ids()),
        }
    }

    fn average(&self) -> Option<i128> {
        (self.executed > 0).then(|| self.value / i128::from(self.executed))
    }

    fn outcome(mut self, order: u32) -> Outcome {
        // The stages of a message come after it in the journal and were before it in time.
        self.steps.sort_by_key(|step| (step.tai_ns, step.rank));
        let mut text = self.heading(order);
        let began = self.steps.first().map_or(0, |step| step.tai_ns);
        text.push_str(&format!("{}\n", tai_time(began)));
        for step in &self.steps {
            text.push_str(&format!("{:>14}  {}\n", format!("+{}", duration(step.tai_ns - began)), step.text));
        }
        let answer_ns = self.answered_ns.zip(self.sent_ns).map(|(heard, sent)| heard.saturating_sub(sent));
        let state = self.state.as_deref().unwrap_or("not answered");
        text.push_str(&format!("{state}; executed {}", grouped(self.executed)));
        if let Some(average) = self.average() {
            text.push_str(&format!(" at {} on average", money(average)));
        }
        if let Some(ns) = answer_ns {
            text.push_str(&format!("; first answer {} after it was recorded", duration(ns)));
        }
        text.push('\n');
        let json = json!({ "order": order, "ids": self.ids, "state": self.state, "executed": self.executed,
            "average_price": self.average().map(|price| price as i64), "answer_ns": answer_ns,
            "steps": self.steps.into_iter().map(|step| step.json).collect::<Vec<_>>() });
        Outcome { text, json, code: 0 }
    }
}

/// The story of `order` in the records from `from_seq` on: ids are an account's and a day's, so that is where a day begins.
///
/// # Errors
/// Exit code 1 when there is no such order; 4 where the journal is damaged.
pub(crate) fn story(folder: &Path, order: u32, from_seq: u64, by_index: bool) -> Result<Outcome, Failure> {
    let found = if by_index { by_indexes(folder, order, from_seq)? } else { None };
    // Where one cannot be made the journal is damaged: all that can be read is read, and it is said where that ends.
    let (story, damage) = match found {
        Some(story) => (story, None),
        None => by_scan(folder, order, from_seq)?,
    };
    if story.steps.is_empty() {
        return Err(Failure::failed(format!(
            "{}: no order {order} on the last day; `--all-days` looks at all of them",
            folder.display()
        )));
    }
    let mut outcome = story.outcome(order);
    outcome.code = damage_note(damage.as_ref(), &mut outcome.text);
    Ok(outcome)
}

/// The story of `order` by the segments' indexes; `None` when a segment is damaged.
fn by_indexes(folder: &Path, order: u32, from_seq: u64) -> Result<Option<Story>, Failure> {
    let Some(mut day) = indexed::Day::open(folder, from_seq)? else { return Ok(None) };
    let Some(replaces) = day.replaces()? else { return Ok(None) };
    let mut story = Story::new(ids_of(order, &replaces));
    let ids: Vec<u32> = story.ids.iter().copied().collect();
    let told = day.of_orders(&ids, |header, body| {
        story.see(header, body);
        story.position_of.map(|(_, instrument)| instrument)
    })?;
    if !told {
        return Ok(None);
    }
    for cause in std::mem::take(&mut story.causes) {
        let mut more = true;
        for seq in cause..=last_of(cause) {
            if !day.record(seq, |header, body| more = story.around(cause, header, body))? {
                return Ok(None);
            }
            if !more {
                break;
            }
        }
    }
    Ok(Some(story))
}

/// The same by reading every record, and where the journal is damaged.
fn by_scan(folder: &Path, order: u32, from_seq: u64) -> Result<(Story, Option<Damage>), Failure> {
    let mut replaces = Vec::new();
    records::for_each(folder, from_seq, |header, body| {
        if header.kind == Kind::Order as u16
            && let Ok(record) = OrderRecord::read_from_bytes(body)
            && record.action == ACTION_REPLACE
        {
            replaces.push((record.replaces, record.order));
        }
        true
    })?;
    let mut story = Story::new(ids_of(order, &replaces));
    let damage = records::for_each(folder, from_seq, |header, body| {
        story.see(header, body);
        true
    })?;
    for cause in std::mem::take(&mut story.causes) {
        records::for_each(folder, cause, |header, body| {
            header.seq <= last_of(cause) && story.around(cause, header, body)
        })?;
    }
    Ok((story, damage))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::record::{ACTION_NEW, STAGES};
    use tern_journal::{Options, Writer};
    use zerocopy::IntoBytes;

    /// A journal of these records, a microsecond apart.
    fn journal(name: &str, records: &[(Kind, Vec<u8>)]) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("tern-story-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let (mut writer, _) = Writer::open(&folder, Options::new("story")).expect("a journal");
        for (index, (kind, body)) in records.iter().enumerate() {
            let seq = index as u64 + 1;
            let (kind, body_bytes) = (*kind as u16, body.len() as u32);
            let header = RecordHeader { seq, tai_ns: seq * 1000, kind, flags: 0, body_bytes };
            writer.append(&header, body).expect("room");
        }
        writer.flush().expect("room");
        folder
    }

    fn order(action: u8, order: u32, replaces: u32, cause_seq: u64) -> (Kind, Vec<u8>) {
        let record = OrderRecord {
            action,
            order,
            replaces,
            cause_seq,
            quantity: 100,
            price: 10_0000,
            symbol: *b"MSFT    ",
            side: 1,
            strategy: 1,
            ..OrderRecord::default()
        };
        (Kind::Order, record.as_bytes().to_vec())
    }

    fn event(kind: VenueEventKind, order: u32, quantity: u32, session_seq: u64) -> (Kind, Vec<u8>) {
        let (price, strategy) = (10_0000 + i64::from(order), 1);
        let event = OrderEventRecord {
            kind: kind as u8,
            order,
            quantity,
            session_seq,
            price,
            strategy,
            ..OrderEventRecord::default()
        };
        (Kind::OrderEvent, event.as_bytes().to_vec())
    }

    fn texts(outcome: &Outcome) -> Vec<&str> {
        outcome.text.lines().collect()
    }

    #[test]
    fn an_order_is_told_from_the_packet_to_the_fill_by_whichever_id() {
        let mut datagram = DatagramHead { arrival_ns: 900, stream: 3, ..DatagramHead::default() }.as_bytes().to_vec();
        datagram.extend(b"TERN000001\0\0\0\0\0\0\0\x05\0\0");
        let mut stage_ns = [0; STAGES];
        (stage_ns[Stage::FrameSeen as usize], stage_ns[Stage::Risk as usize]) = (950, 1300);
        let stages = StageRecord { cause_seq: 1, arrival_ns: 900, stage_ns, order: 1, backlog: 4 };
        let cancel = StageRecord { cause_seq: 12, arrival_ns: 11_000, stage_ns, order: 0, backlog: 5 };
        let position = PositionRecord { shares: 60, strategy: 1, ..PositionRecord::default() };
        let records = [
            (Kind::Datagram, datagram.clone()),
            order(ACTION_NEW, 1, 0, 1),
            order(ACTION_NEW, 2, 0, 1),
            (Kind::Stages, stages.as_bytes().to_vec()),
            event(VenueEventKind::Accepted, 1, 100, 7),
            event(VenueEventKind::Executed, 2, 99, 8),
            order(ACTION_REPLACE, 3, 1, 5),
            event(VenueEventKind::Executed, 1, 60, 9),
            (Kind::Position, position.as_bytes().to_vec()),
            // A restart tells the log again.
            event(VenueEventKind::Executed, 1, 60, 9),
            event(VenueEventKind::Executed, 3, 40, 10),
            (Kind::Datagram, datagram.clone()),
            order(ACTION_CANCEL, 2, 0, 12),
            (Kind::Stages, cancel.as_bytes().to_vec()),
        ];
        let folder = journal("whole", &records);
        for id in [1, 3] {
            let told = story(&folder, id, 0, true).expect("it is there");
            let scanned = story(&folder, id, 0, false).expect("it is there");
            assert_eq!((&told.text, &told.json), (&scanned.text, &scanned.json), "without indexes it is the same");
            assert_eq!((told.code, &told.json["ids"], &told.json["executed"]), (0, &json!([1, 3]), &json!(100)));
            assert_eq!(told.json["average_price"], json!((100_001 * 60 + 100_003 * 40) / 100));
            let lines = texts(&told);
            assert!(lines[2].contains("+0 ns") && lines[2].contains("stream 3, line 0, sequence 5"), "{}", told.text);
            assert!(lines[3].contains("+50 ns  frame seen, 4 behind it"), "{}", told.text);
            // The stage says when, the record has its input's time.
            assert!(lines[5].contains("+400 ns  order 1 approved"), "{}", told.text);
            let of = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
            assert_eq!(
                (of("executed 60"), of("told again"), of("position 60"), of("99")),
                (2, 1, 1, 0),
                "{}",
                told.text
            );
        }
        let second = story(&folder, 2, 0, true).expect("it is there");
        assert_eq!(second.json["ids"], json!([2]));
        assert_eq!(second.text, story(&folder, 2, 0, false).expect("it is there").text);
        for what in [
            "frame seen, 4 behind it",
            "risk of order 1, the first of its datagram",
            "frame seen, 5 behind it",
            "risk\n",
        ] {
            assert!(second.text.contains(what), "{what}: {}", second.text);
        }
        let missing = story(&folder, 9, 0, true).expect_err("there is none");
        assert!(missing.message.contains("no order 9"), "{}", missing.message);
        std::fs::remove_dir_all(folder).expect("it is there");
    }
}
