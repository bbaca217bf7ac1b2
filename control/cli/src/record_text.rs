//! Records as JSON objects, and those as lines for people.

use serde_json::{Map, Value, json};
use tern_abi::command::{Command, CommandKind, DaemonPulse, LimitsOutcome, SYSTEM_UID, SetBounds, SetLimits};
use tern_abi::counters::LoopCounter;
use tern_abi::day::{DayRecord, DayStep};
use tern_abi::manual::{AdjustmentRecord, ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};
use tern_abi::outlier::OutlierRecord;
use tern_abi::reconcile::ReconcileRecord;
use tern_abi::record::{
    ACTION_CANCEL, ACTION_NEW, ACTION_REPLACE, CONN_DOWN, CONN_RECORD_LOST, CONN_RING_ROOM, CONN_ROOM, CONN_UNSENT,
    CONN_UP, ConnRecord, DatagramHead, InstrumentTrustRecord, Kind, LimitsRecord, OrderEventRecord, OrderRecord,
    PositionRecord, RecordHeader, RefusalRecord, STAGE_NAMES, SessionHead, ShedRecord, StageRecord, StartRecord,
    StateRecord, StrategyEvent, StrategyRecord, TrustRecord, VenueEventKind,
};
use tern_abi::rescue::{RescueRecord, RescueStep};
use tern_abi::segment::ScopeKind;
use tern_config::alerts::AlertKind;
use tern_config::facts::{Names, name_at};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::fold::{side_name, symbol_text};
use crate::recover;
use crate::table::{money, tai_time};

/// The names that a start record brings.
pub(crate) fn names_of_start(header: &RecordHeader, body: &[u8]) -> Option<Names> {
    if header.kind != Kind::Start as u16 {
        return None;
    }
    let (_, text) = StartRecord::ref_from_prefix(body).ok()?;
    Some(Names::split_start_text(&String::from_utf8_lossy(text)).1)
}

/// A record as an object with `seq`, `tai_ns`, `kind`, and in `body` the fields of its kind; of a datagram's payload the
/// first `payload_bytes_max` in hexadecimal.
pub(crate) fn to_json(header: &RecordHeader, body: &[u8], names: &Names, payload_bytes_max: usize) -> Value {
    let kind = Kind::from_u16(header.kind);
    let fields = kind.and_then(|kind| fields(kind, body, names, payload_bytes_max));
    json!({
        "seq": header.seq,
        "tai_ns": header.tai_ns,
        "kind": kind.map_or_else(|| header.kind.to_string(), |kind| kind.name().to_owned()),
        "body": fields.unwrap_or_else(|| json!({ "unreadable_bytes": body.len() })),
    })
}

/// An object of [`to_json`] as one line: time, sequence number, kind, then the fields that say something.
pub(crate) fn to_line(record: &Value) -> String {
    let number = |key: &str| record[key].as_u64().unwrap_or(0);
    let kind = record["kind"].as_str().unwrap_or("?");
    let mut line = format!("{} {:>10} {kind:<13}", tai_time(number("tai_ns")), number("seq"));
    for (key, value) in record["body"].as_object().into_iter().flatten() {
        let shown = match value {
            Value::Null => continue,
            // User 0 is somebody.
            Value::Number(number) if number.as_u64() == Some(0) && key != "uid" => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) => text.lines().next().unwrap_or_default().to_owned(),
            Value::Number(number) if is_money(key) => money(number.as_i64().unwrap_or(0)),
            other => other.to_string(),
        };
        line.push_str(&format!(" {key}={shown}"));
    }
    line
}

fn is_money(key: &str) -> bool {
    ["price", "cash", "realized", "cost", "fees"].contains(&key)
}

fn read<T: FromBytes + KnownLayout + Immutable>(body: &[u8], then: impl FnOnce(T, &[u8]) -> Value) -> Option<Value> {
    T::read_from_prefix(body).ok().map(|(record, rest)| then(record, rest))
}

fn letter(code: u8) -> String {
    if code.is_ascii_graphic() { char::from(code).to_string() } else { String::new() }
}

fn action_name(action: u8) -> &'static str {
    match action {
        ACTION_NEW => "new",
        ACTION_REPLACE => "replace",
        ACTION_CANCEL => "cancel",
        _ => "?",
    }
}

fn fields(kind: Kind, body: &[u8], names: &Names, payload_bytes_max: usize) -> Option<Value> {
    match kind {
        Kind::Datagram => read(body, |head: DatagramHead, payload| {
            let shown = &payload[..payload.len().min(payload_bytes_max)];
            json!({ "stream": head.stream, "line": head.line, "arrival_ns": head.arrival_ns, "nic_ns": head.nic_ns,
                "backlog": head.backlog, "payload_bytes": payload.len(), "payload": hex(shown) })
        }),
        Kind::SessionBytes => read(body, |head: SessionHead, bytes| json!({ "conn": head.conn, "bytes": hex(bytes) })),
        Kind::Conn => read(body, |conn: ConnRecord, _| {
            let event = match conn.event {
                CONN_UP => "up",
                CONN_DOWN => "down",
                CONN_ROOM => "room",
                CONN_UNSENT => "unsent",
                CONN_RING_ROOM => "ring_room",
                CONN_RECORD_LOST => "record_lost",
                _ => "?",
            };
            json!({ "conn": conn.conn, "event": event, "value": conn.value })
        }),
        Kind::Command => read(body, |command: Command, _| {
            let what = CommandKind::from_u32(command.kind).map_or("?", CommandKind::name);
            let limit =
                (command.kind == CommandKind::SetLimit as u32).then(|| name_at(&names.limits, command.id as usize));
            let set = (command.kind == CommandKind::SetState as u32).then(|| command.scope_state()).flatten();
            let set = set.map(|(kind, key, state)| {
                let key = match kind {
                    ScopeKind::Symbol => json!(String::from_utf8_lossy(&key.to_le_bytes()).trim_end()),
                    _ => json!(key),
                };
                json!({ "kind": kind.name(), "key": key, "state": state.name() })
            });
            let pulse = (command.kind == CommandKind::DaemonPulse as u32)
                .then(|| DaemonPulse::from_index(command.id as usize).map_or("?", DaemonPulse::name));
            let overran = (command.kind == CommandKind::StrategyOverrun as u32)
                .then(|| json!({ "strategy": command.id, "took_ns": command.value }));
            let refused = (command.kind == CommandKind::Refused as u32)
                .then(|| CommandKind::from_u32(command.id).map_or("?", CommandKind::name));
            let alert = (command.kind == CommandKind::Alert as u32).then(|| {
                let (number, raised) = command.alert_raised();
                let name = AlertKind::from_index(number as usize).map_or("?", AlertKind::name);
                json!({ "alert": name, "event": if raised { "raised" } else { "cleared" } })
            });
            json!({ "kind": what, "limit": limit, "set_state": set, "pulse": pulse, "alert": alert,
                "refused": refused, "overran": overran, "value": command.value, "scope": command.scope,
                "epoch": command.epoch, "uid": command.uid, "kill_word": command.kill_word })
        }),
        Kind::SetLimits => SetLimits::of_record(body).map(|command| {
            let set = Some(command.bounds).filter(SetBounds::is_meant);
            let bounds = set.map(|bounds| {
                let text = String::from_utf8_lossy(&bounds.symbol);
                json!({ "symbol": text.trim_end_matches([' ', '\0']), "seen": bounds.seen, "wanted": bounds.wanted })
            });
            let values = command.values().iter().enumerate();
            let named = values.map(|(index, value)| (name_at(&names.limits, index), json!(value)));
            let refused = LimitsOutcome::from_index(command.refused as usize);
            json!({ "uid": command.uid, "why": command.why(), "epoch_seen": command.epoch_seen, "epoch": command.epoch,
                "refused": refused.filter(|refused| *refused != LimitsOutcome::Set).map(LimitsOutcome::name),
                "request": command.request, "values": Value::Object(named.collect()), "bounds": bounds })
        }),
        Kind::Limits => read(body, |limits: LimitsRecord, _| {
            let outcome = LimitsOutcome::from_index(limits.outcome as usize).map_or("?", LimitsOutcome::name);
            json!({ "outcome": outcome, "epoch": limits.epoch, "cause_seq": limits.cause_seq })
        }),
        Kind::Rescue => read(body, |step: RescueRecord, more| {
            let what = RescueStep::from_index(step.step as usize);
            let sent = what == Some(RescueStep::Sent);
            let text = (!sent).then(|| String::from_utf8_lossy(more).into_owned());
            json!({ "step": what.map_or("?", RescueStep::name), "order": step.order, "value": step.value,
                "count": step.count, "account": step.account, "text": text, "bytes": sent.then(|| hex(more)) })
        }),
        Kind::Manual => read(body, |wish: ManualCommand, _| {
            let what = wish.what();
            let scope = wish.scope().filter(|_| what == Some(ManualKind::Flatten));
            let is_order = what == Some(ManualKind::Order);
            let adjusted = (what == Some(ManualKind::Adjust)).then(|| {
                json!({ "symbol": symbol_text(&wish.symbol), "strategy": wish.key, "side": side_name(wish.side),
                    "price": wish.price, "quantity": wish.quantity })
            });
            let order = is_order.then(|| {
                json!({ "symbol": symbol_text(&wish.symbol), "side": side_name(wish.side), "price": wish.price,
                    "quantity": wish.quantity, "time_in_force": letter(wish.time_in_force), "post_only": wish.post_only != 0 })
            });
            let second = Some(wish.second_uid).filter(|uid| *uid != SYSTEM_UID);
            json!({ "what": what.map_or("?", ManualKind::name), "stage": wish.stage().map_or("?", ManualStage::name),
                "request": wish.request, "uid": wish.uid, "second_uid": second, "why": wish.why(), "order": wish.order,
                "wanted": order.or(adjusted), "scope": scope.map(|(kind, key)| scope_text(kind, key)), "within_ms": wish.within_ms })
        }),
        Kind::ManualOutcome => read(body, |record: ManualRecord, _| {
            let outcome = ManualOutcome::from_index(record.outcome as usize).map_or("?", ManualOutcome::name);
            let reason = record.reason.checked_sub(1).map(|reason| name_at(&names.refusals, reason as usize));
            json!({ "outcome": outcome, "request": record.request, "order": record.order, "reason": reason,
                "limit": record.limit, "value": record.value, "count": record.count, "cause_seq": record.cause_seq })
        }),
        Kind::Adjustment => read(body, |record: AdjustmentRecord, _| {
            json!({ "request": record.request, "account": record.account, "strategy": record.strategy,
                "symbol": symbol_text(&record.symbol), "side": side_name(record.side), "quantity": record.quantity,
                "price": record.price, "after_executions": record.after_executions, "cause_seq": record.cause_seq })
        }),
        Kind::Day => read(body, |day: DayRecord, _| {
            json!({ "step": day.step().map_or("?", DayStep::name), "day": day.day, "uid": day.uid,
                "until_ns": day.until_ns, "text": day.text() })
        }),
        Kind::Timer => Some(json!({})),
        Kind::Events => Some(json!({ "bytes": body.len() })),
        Kind::Start => read(body, |start: StartRecord, text| {
            let text = String::from_utf8_lossy(text);
            json!({ "run": start.run, "abi_version": start.abi_version, "pid": start.pid,
                "build": hex(&start.build).trim_end_matches('0'), "configuration": Names::split_start_text(&text).0 })
        }),
        Kind::Shed => read(body, |shed: ShedRecord, _| json!({ "datagrams": shed.datagrams, "bytes": shed.bytes })),
        Kind::Order => read(body, |order: OrderRecord, _| {
            json!({ "action": action_name(order.action), "order": order.order, "replaces": order.replaces,
                "symbol": symbol_text(&order.symbol), "side": side_name(order.side), "price": order.price,
                "quantity": order.quantity, "min_quantity": order.min_quantity, "time_in_force": letter(order.time_in_force), "flags": order.flags,
                "account": order.account, "strategy": order.strategy, "trader": order.trader, "venue": order.venue,
                "instrument": order.instrument, "limits_epoch": order.limits_epoch, "cause_seq": order.cause_seq,
                "cause_ns": order.cause_ns })
        }),
        Kind::Refusal => read(body, |refusal: RefusalRecord, _| {
            json!({ "reason": name_at(&names.refusals, refusal.reason as usize), "action": action_name(refusal.action),
                "order": refusal.order, "side": side_name(refusal.side), "price": refusal.price,
                "quantity": refusal.quantity, "limit": refusal.limit, "value": refusal.value,
                "account": refusal.account, "strategy": refusal.strategy, "instrument": refusal.instrument,
                "cause_seq": refusal.cause_seq })
        }),
        Kind::OrderEvent => read(body, |event: OrderEventRecord, _| {
            let what = VenueEventKind::from_index(event.kind.into()).map_or("?", VenueEventKind::name);
            json!({ "kind": what, "order": event.order, "previous": event.previous,
                "state": name_at(&names.order_states, event.state.into()), "side": side_name(event.side),
                "price": event.price, "quantity": event.quantity, "leaves": event.leaves,
                "reason": letter(event.reason), "flags": event.flags, "match_number": event.match_number,
                "venue_order": event.venue_order, "venue_ns": event.venue_ns, "session_seq": event.session_seq,
                "account": event.account, "strategy": event.strategy, "instrument": event.instrument })
        }),
        Kind::Position => read(body, |position: PositionRecord, _| {
            json!({ "symbol": symbol_text(&position.symbol), "shares": position.shares, "cash": position.cash,
                "realized": position.realized, "cost": position.cost, "fees": position.fees, "account": position.account,
                "strategy": position.strategy, "instrument": position.instrument })
        }),
        Kind::Stages => read(body, |record: StageRecord, _| {
            let stages: Map<String, Value> = (STAGE_NAMES.iter().zip(record.stage_ns))
                .filter(|(_, ns)| *ns != 0)
                .map(|(name, ns)| ((*name).to_owned(), json!(ns)))
                .collect();
            json!({ "order": record.order, "cause_seq": record.cause_seq, "backlog": record.backlog,
                "arrival_ns": record.arrival_ns, "stage_ns": stages })
        }),
        Kind::Outlier => read(body, |record: OutlierRecord, _| crate::outliers::record_json(&record)),
        Kind::Trust => read(body, |trust: TrustRecord, _| {
            let reason = name_at(&names.distrusts, trust.reason as usize);
            json!({ "stream": trust.stream, "trusted": trust.trusted != 0,
                "reason": (trust.trusted == 0).then_some(reason), "expected_seq": trust.expected_seq,
                "seen_seq": trust.seen_seq })
        }),
        Kind::InstrumentTrust => read(body, |trust: InstrumentTrustRecord, _| {
            json!({ "instrument": trust.instrument, "symbol": symbol_text(&trust.symbol), "trusted": false,
                "reason": name_at(&names.distrusts, trust.reason as usize), "cause_seq": trust.cause_seq })
        }),
        Kind::State => read(body, |state: StateRecord, _| {
            json!({ "trading": state.trading != 0, "reason": name_at(&names.halts, state.reason as usize),
                "cause_seq": state.cause_seq })
        }),
        Kind::Strategy | Kind::StrategyState => read(body, |record: StrategyRecord, more| {
            let event = StrategyEvent::from_index(record.event.into());
            let is_state = event == Some(StrategyEvent::State);
            let text = (!is_state && !more.is_empty()).then(|| String::from_utf8_lossy(more).into_owned());
            json!({ "strategy": record.strategy, "event": event.map_or("?", StrategyEvent::name),
                "version": record.version, "state_bytes": record.state_bytes, "cause_seq": record.cause_seq,
                "text": text, "state": is_state.then(|| hex(more)) })
        }),
        Kind::Reconcile => read(body, |record: ReconcileRecord, _| recover::difference_json(&record)),
        Kind::Counters => {
            let values = body.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
            let named = LoopCounter::ALL.iter().zip(values).filter(|(_, value)| *value != 0);
            Some(Value::Object(named.map(|(counter, value)| (counter.name().to_owned(), json!(value))).collect()))
        }
    }
}

/// A scope as `--scope` takes it, strategies by their id.
fn scope_text(kind: ScopeKind, key: u64) -> String {
    match kind {
        ScopeKind::Firm => kind.name().into(),
        ScopeKind::Venue | ScopeKind::Strategy => format!("{}:{key}", kind.name()),
        ScopeKind::Symbol => format!("{}:{}", kind.name(), symbol_text(&key.to_le_bytes())),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn header(kind: Kind, body: &[u8]) -> RecordHeader {
        RecordHeader {
            seq: 7,
            tai_ns: 1_795_354_953_000_000_001,
            kind: kind as u16,
            flags: 0,
            body_bytes: body.len() as u32,
        }
    }

    #[test]
    fn an_order_reads_well() {
        let order = OrderRecord {
            action: ACTION_NEW,
            side: 1,
            price: 12_3400,
            quantity: 100,
            order: 3,
            symbol: *b"AAPL    ",
            ..OrderRecord::default()
        };
        let record = to_json(&header(Kind::Order, order.as_bytes()), order.as_bytes(), &Names::default(), 0);
        assert_eq!(
            (record["body"]["symbol"].as_str(), record["body"]["price"].as_i64()),
            (Some("AAPL"), Some(123_400))
        );
        let line = to_line(&record);
        assert!(line.starts_with("2026-11-22T13:42:33.000000001 TAI          7 order "), "{line}");
        assert!(line.contains("action=new") && line.contains("price=12.3400") && !line.contains("replaces"), "{line}");
    }

    #[test]
    fn every_kind_is_read_or_said_to_be_unreadable() {
        for kind in Kind::ALL {
            let long = to_json(&header(*kind, &[0; 512]), &[0; 512], &Names::default(), 0);
            assert!(long["body"].get("unreadable_bytes").is_none(), "{long}");
            let short = to_json(&header(*kind, &[1]), &[1], &Names::default(), 0);
            assert_eq!(short["kind"], kind.name());
            assert!(!to_line(&short).is_empty());
        }
    }
}
