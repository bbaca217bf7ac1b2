//! Every table, one entry a column: name, type, whether it may be empty, meaning, and where it comes from.

use crate::{Column, Context, Table, Type, Value};
use std::borrow::Cow;
use tern_abi::command::{Command, CommandKind, LimitsOutcome, SetBounds, SetLimits};
use tern_abi::counters::LoopCounter;
use tern_abi::day::{DayRecord, DayStep};
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::manual::{AdjustmentRecord, ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};
use tern_abi::outlier::OutlierRecord;
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::{
    ACTION_CANCEL, ACTION_NEW, ACTION_REPLACE, CONN_DOWN, CONN_RECORD_LOST, CONN_RING_ROOM, CONN_ROOM, CONN_UNSENT,
    CONN_UP, ConnRecord, DatagramHead, InstrumentTrustRecord, Kind, LimitsRecord, OrderEventRecord, OrderRecord,
    PositionRecord, RefusalRecord, SessionHead, ShedRecord, StageRecord, StartRecord, StateRecord, StrategyEvent,
    StrategyRecord, TrustRecord, VenueEventKind,
};
use tern_abi::rescue::{RescueRecord, RescueStep};
use tern_config::facts::{Named, name_at};
use zerocopy::FromBytes;

/// A table of the records of one kind: struct of the record, and the columns with how each is read from that struct, from
/// the bytes behind it and from what earlier records said.
macro_rules! table {
    ($name:literal of $kind:ident, $record:ty, raw $raw:literal, $help:literal;
     $($column:ident $ty:ident $(or $null:ident)?, $say:literal, $get:expr;)*) => {
        Table {
            name: $name,
            kind: Kind::$kind,
            help: $help,
            is_raw: $raw,
            columns: &[$(Column {
                name: stringify!($column),
                ty: Type::$ty,
                nullable: false $(|| table!(@$null))?,
                help: $say,
            }),*],
            fill: |body, context, row| {
                let (record, rest) = <$record>::read_from_prefix(body).ok()?;
                $({
                    row.push(call(&record, rest, context, $get));
                })*
                Some(())
            },
        }
    };
    (@null) => { true };
}

/// Calls `get`; says what its arguments are, which a closure in a table cannot.
#[inline(always)]
fn call<'a, R>(
    record: &R,
    rest: &'a [u8],
    context: &Context,
    get: fn(&R, &'a [u8], &Context) -> Value<'a>,
) -> Value<'a> {
    get(record, rest, context)
}

fn number(value: impl Into<u64>) -> Value<'static> {
    Value::Unsigned(value.into())
}

/// A number that is 0 where there is none.
fn some(value: impl Into<u64>) -> Value<'static> {
    match value.into() {
        0 => Value::Null,
        value => Value::Unsigned(value),
    }
}

fn word(text: &'static str) -> Value<'static> {
    Value::Text(Cow::Borrowed(text))
}

fn words(text: String) -> Value<'static> {
    Value::Text(Cow::Owned(text))
}

fn named(table: &[Named], index: impl Into<u64>) -> Value<'static> {
    words(name_at(table, usize::try_from(index.into()).unwrap_or(usize::MAX)))
}

/// The bytes behind a record as text.
fn behind(rest: &[u8]) -> Value<'_> {
    if rest.is_empty() { Value::Null } else { Value::Text(String::from_utf8_lossy(rest)) }
}

fn symbol(symbol: &[u8; 8]) -> Value<'static> {
    let text = String::from_utf8_lossy(symbol);
    words(text.trim_end_matches([' ', '\0']).to_owned())
}

fn side(side: u8) -> Value<'static> {
    match side {
        SIDE_BUY => word("buy"),
        SIDE_SELL => word("sell"),
        _ => Value::Null,
    }
}

fn action(action: u8) -> Value<'static> {
    match action {
        ACTION_NEW => word("new"),
        ACTION_REPLACE => word("replace"),
        ACTION_CANCEL => word("cancel"),
        other => words(other.to_string()),
    }
}

fn letter(code: u8) -> Value<'static> {
    match code {
        0 => Value::Null,
        code if code.is_ascii_graphic() => words(char::from(code).to_string()),
        code => words(code.to_string()),
    }
}

fn conn_event(event: u32) -> Value<'static> {
    match event {
        CONN_UP => word("up"),
        CONN_DOWN => word("down"),
        CONN_ROOM => word("room"),
        CONN_UNSENT => word("unsent"),
        CONN_RING_ROOM => word("ring_room"),
        CONN_RECORD_LOST => word("record_lost"),
        other => words(other.to_string()),
    }
}

/// The name of a numbered thing, or its number where this build does not know it.
fn known(name: Option<&'static str>, value: impl Into<u64>) -> Value<'static> {
    name.map_or_else(|| words(value.into().to_string()), word)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A command that sets limits, without what builds before did not have at its end.
#[derive(FromBytes)]
struct LimitsHead([u8; std::mem::offset_of!(SetLimits, bounds)]);

impl LimitsHead {
    fn command(&self) -> SetLimits {
        SetLimits::of_record(&self.0).unwrap_or_else(|| SetLimits::new(&[], (0, 0), 0, ""))
    }
}

/// The bounds of a price that change with limits: what stands behind their head.
fn bounds(rest: &[u8]) -> Option<SetBounds> {
    SetBounds::read_from_prefix(rest).ok().map(|(bounds, _)| bounds).filter(SetBounds::is_meant)
}

/// Limits by name, as an object in JSON. Names of limits are plain words.
fn limits(command: &SetLimits, context: &Context) -> String {
    let values = command.values().iter().enumerate();
    let pairs: Vec<String> =
        values.map(|(index, value)| format!("\"{}\":{value}", name_at(&context.names.limits, index))).collect();
    format!("{{{}}}", pairs.join(","))
}

const fn counter_columns() -> [Column; LoopCounter::COUNT] {
    let mut columns = [Column { name: "", ty: Type::U64, nullable: true, help: "" }; LoopCounter::COUNT];
    let mut index = 0;
    while index < columns.len() {
        columns[index].name = LoopCounter::ALL[index].name();
        columns[index].help = LoopCounter::ALL[index].help();
        index += 1;
    }
    columns
}
static COUNTER_COLUMNS: [Column; LoopCounter::COUNT] = counter_columns();

/// Every table, in the order of the kinds of records.
pub static TABLES: &[Table] = &[
    table! { "datagrams" of Datagram, DatagramHead, raw true, "A datagram of market data that the loop took.";
        stream U32, "Stream id.", |r, _, _| number(r.stream);
        line U32, "Line of the stream: 0 = A, 1 = B.", |r, _, _| number(r.line);
        arrival TaiNs, "When the XDP program or the kernel socket saw it.", |r, _, _| number(r.arrival_ns);
        nic_ns U64 or null, "The NIC's own stamp.", |r, _, _| some(r.nic_ns);
        backlog U32, "Datagrams that waited behind it.", |r, _, _| number(r.backlog);
        payload Bytes, "The UDP payload.", |_, rest, _| Value::Bytes(rest);
    },
    table! { "session_bytes" of SessionBytes, SessionHead, raw true, "Bytes received on an order connection.";
        conn U32, "Connection id.", |r, _, _| number(r.conn);
        bytes Bytes, "The bytes.", |_, rest, _| Value::Bytes(rest);
    },
    table! { "connections" of Conn, ConnRecord, raw false, "What happened to an order connection.";
        conn U32, "Connection id.", |r, _, _| number(r.conn);
        event Text, "`up`, `down`, `room`, `unsent`, `ring_room`, `record_lost`.", |r, _, _| conn_event(r.event);
        value U64, "By event: reason, bytes, messages, or 1 and 0.", |r, _, _| number(r.value);
    },
    table! { "commands" of Command, Command, raw false, "A command that the loop took.";
        command Text, "What was commanded.", |r, _, _| known(CommandKind::from_u32(r.kind).map(CommandKind::name), r.kind);
        id U32, "By command.", |r, _, _| number(r.id);
        value I64, "By command.", |r, _, _| Value::Signed(r.value);
        scope U32, "By command; 0 = everything.", |r, _, _| number(r.scope);
        epoch U32, "Epoch of the configuration that it belongs to.", |r, _, _| number(r.epoch);
        uid U32 or null, "Unix user id of who sent it; null = the system itself.",
            |r, _, _| if r.uid == u32::MAX { Value::Null } else { number(r.uid) };
    },
    Table {
        name: "timers",
        kind: Kind::Timer,
        help: "The loop's timer fired.",
        is_raw: true,
        columns: &[],
        fill: |_, _, _| Some(()),
    },
    Table {
        name: "events",
        kind: Kind::Events,
        help: "Normalized events from a feed of another process.",
        is_raw: true,
        columns: &[Column {
            name: "events",
            ty: Type::Bytes,
            nullable: false,
            help: "`BookEvent`s of 48 bytes, as tern-abi describes them.",
        }],
        fill: |body, _, row| {
            row.push(Value::Bytes(body));
            Some(())
        },
    },
    table! { "starts" of Start, StartRecord, raw false, "A run of the data plane began.";
        run U64, "How many runs the shared segment has seen, this one included.", |r, _, _| number(r.run);
        abi_version U32, "Layout version of the records.", |r, _, _| number(r.abi_version);
        pid U32, "Process id.", |r, _, _| number(r.pid);
        build Text, "First half of the build's commit.", |r, _, _| words(hex(&r.build).trim_end_matches('0').to_owned());
        configuration Text or null, "The configuration in force, TOML, and the names that the build gives to numbers.",
            |_, rest, _| behind(rest);
    },
    table! { "shed" of Shed, ShedRecord, raw false, "Datagrams were not captured.";
        datagrams U64, "How many, since the last such record.", |r, _, _| number(r.datagrams);
        bytes U64, "Their payload bytes.", |r, _, _| number(r.bytes);
    },
    table! { "limit_commands" of SetLimits, LimitsHead, raw false, "All limits were to be set at once.";
        uid U32 or null, "Unix user id of who wants it; null = the system itself.",
            |r, _, _| if r.command().uid == u32::MAX { Value::Null } else { number(r.command().uid) };
        why Text, "Why.", |r, _, _| words(r.command().why().to_owned());
        epoch_seen U32, "Epoch of the limits against which the change was made.", |r, _, _| number(r.command().epoch_seen);
        epoch U32, "Epoch of the limits after it.", |r, _, _| number(r.command().epoch);
        request U64, "Names the request; 0 = none.", |r, _, _| number(r.command().request);
        refused Text or null, "Why the daemon refused it, if it did.", |r, _, _| {
            let refused = LimitsOutcome::from_index(r.command().refused as usize).filter(|refused| *refused != LimitsOutcome::Set);
            refused.map_or(Value::Null, |refused| word(refused.name()))
        };
        limits Text, "Every limit by name, a JSON object.", |r, _, context| words(limits(&r.command(), context));
        bounds_symbol Text or null, "Symbol whose bounds of the price change with it; null = none.",
            |_, rest, _| bounds(rest).map_or(Value::Null, |bounds| symbol(&bounds.symbol));
        bounds_lowest U32 or null, "Lowest price of an order in it after that, 1/10000.",
            |_, rest, _| bounds(rest).map_or(Value::Null, |bounds| number(bounds.wanted[0]));
        bounds_highest U32 or null, "Highest price of an order in it after that, 1/10000.",
            |_, rest, _| bounds(rest).map_or(Value::Null, |bounds| number(bounds.wanted[1]));
    },
    table! { "rescues" of Rescue, RescueRecord, raw false, "What the daemon did at the venue while no data plane ran.";
        step Text, "What it did.", |r, _, _| known(RescueStep::from_index(r.step as usize).map(RescueStep::name), r.step);
        order_id U32 or null, "Our order id.", |r, _, _| some(r.order);
        orders U32, "By step: how many are open.", |r, _, _| number(r.count);
        value U64, "By step.", |r, _, _| number(r.value);
        account U32, "Account id.", |r, _, _| number(r.account);
        bytes Bytes, "The bytes that left, or a text.", |_, rest, _| Value::Bytes(rest);
    },
    table! { "day_steps" of Day, DayRecord, raw false, "A step of the trading day, by an operator.";
        step Text, "What was done.", |r, _, _| known(r.step().map(DayStep::name), r.step);
        of_day U32, "The venue's trading day, days since 1970-01-01.", |r, _, _| number(r.day);
        uid U32, "Unix user id of who did it.", |r, _, _| number(r.uid);
        until_ns U64 or null, "Until when it counts, TAI ns; null = as long as the day.", |r, _, _| some(r.until_ns);
        why Text, "Why, or what was found.", |r, _, _| words(r.text().to_owned());
    },
    table! { "orders" of Order, OrderRecord, raw false, "An order message that the gate approved, recorded before its bytes left.";
        action Text, "`new`, `replace` or `cancel`.", |r, _, _| action(r.action);
        order_id U32, "The account's order id; of OUCH the UserRefNum.", |r, _, _| number(r.order);
        replaces U32 or null, "The order id that it replaces.", |r, _, _| some(r.replaces);
        symbol Text, "Symbol.", |r, _, _| symbol(&r.symbol);
        side Text or null, "`buy` or `sell`.", |r, _, _| side(r.side);
        price Money, "Limit price; 214748.3647 = market, in a cross.", |r, _, _| Value::Signed(r.price);
        quantity U32, "Shares of the chain; of a cancel those that may trade in total.", |r, _, _| number(r.quantity);
        min_quantity U32, "Fewest shares that may trade at once; 0 = any.", |r, _, _| number(r.min_quantity);
        time_in_force Text or null, "`0` day, `3` immediate or cancel, `2` on open, `7` on close.", |r, _, _| letter(r.time_in_force);
        post_only Bool, "Refused by the venue rather than traded at once.", |r, _, _| Value::Bool(r.flags & 1 != 0);
        by_system Bool, "Sent by the system, not by a strategy.", |r, _, _| Value::Bool(r.flags & 2 != 0);
        short Bool, "Marked as a short sale.", |r, _, _| Value::Bool(r.flags & 4 != 0);
        account U32, "Account id.", |r, _, _| number(r.account);
        strategy U32, "Strategy id.", |r, _, _| number(r.strategy);
        trader U32, "Trader id.", |r, _, _| number(r.trader);
        venue U32, "Venue id.", |r, _, _| number(r.venue);
        instrument U32, "Instrument id of the host.", |r, _, _| number(r.instrument);
        limits_epoch U32, "Epoch of the limits in force.", |r, _, _| number(r.limits_epoch);
        cause_seq U64, "`seq` of the input that caused it.", |r, _, _| number(r.cause_seq);
        cause_ns TaiNs or null, "When the datagram that caused it arrived.", |r, _, _| some(r.cause_ns);
    },
    table! { "refusals" of Refusal, RefusalRecord, raw false, "An intent that the gate refused.";
        reason Text, "Which check.", |r, _, context| named(&context.names.refusals, r.reason);
        action Text, "`new`, `replace` or `cancel`.", |r, _, _| action(r.action);
        order_id U32 or null, "The order that it names.", |r, _, _| some(r.order);
        side Text or null, "`buy` or `sell`.", |r, _, _| side(r.side);
        price Money, "Limit price.", |r, _, _| Value::Signed(r.price);
        quantity U32, "Shares.", |r, _, _| number(r.quantity);
        bound I64, "The bound, in the unit of the check; 0 where there is none.", |r, _, _| Value::Signed(r.limit);
        value I64, "What the intent would have made of it.", |r, _, _| Value::Signed(r.value);
        account U32, "Account id.", |r, _, _| number(r.account);
        strategy U32, "Strategy id.", |r, _, _| number(r.strategy);
        instrument U32, "Instrument id of the host.", |r, _, _| number(r.instrument);
        cause_seq U64, "`seq` of the input that caused it.", |r, _, _| number(r.cause_seq);
    },
    table! { "order_events" of OrderEvent, OrderEventRecord, raw false, "What the venue said of an order, with our state after it.";
        event Text, "What it said.", |r, _, _| known(VenueEventKind::from_index(r.kind.into()).map(VenueEventKind::name), r.kind);
        order_id U32, "Our order id.", |r, _, _| number(r.order);
        previous U32 or null, "Our order id before a replace.", |r, _, _| some(r.previous);
        state Text, "State of the order after it.", |r, _, context| named(&context.names.order_states, r.state);
        side Text or null, "`buy` or `sell`.", |r, _, _| side(r.side);
        price Money, "Price of the execution, or of the order.", |r, _, _| Value::Signed(r.price);
        quantity U32, "Shares executed or canceled by it.", |r, _, _| number(r.quantity);
        leaves U32, "Shares still open after it.", |r, _, _| number(r.leaves);
        reason Text or null, "The venue's reason, a letter or number.", |r, _, _| letter(r.reason);
        added_liquidity Bool, "The execution added liquidity.", |r, _, _| Value::Bool(r.flags & 1 != 0);
        unknown_order Bool, "The order was not known to us before.", |r, _, _| Value::Bool(r.flags & 2 != 0);
        match_number U64 or null, "Of an execution, or of the trade broken.", |r, _, _| some(r.match_number);
        venue_order U64 or null, "The venue's own order reference.", |r, _, _| some(r.venue_order);
        venue_ns U64, "The venue's time: ns since its midnight.", |r, _, _| number(r.venue_ns);
        session_seq U64, "The session's number of the message.", |r, _, _| number(r.session_seq);
        account U32, "Account id.", |r, _, _| number(r.account);
        strategy U32, "Strategy id.", |r, _, _| number(r.strategy);
        instrument U32, "Instrument id of the host.", |r, _, _| number(r.instrument);
    },
    table! { "positions" of Position, PositionRecord, raw false, "What a strategy holds of a symbol, after each change.";
        symbol Text, "Symbol.", |r, _, _| symbol(&r.symbol);
        shares I64, "Shares held; negative = short.", |r, _, _| Value::Signed(r.shares);
        cash Money, "Cash from trading; a buy lowers it.", |r, _, _| Value::Signed(r.cash);
        realized Money, "Realized profit, after fees.", |r, _, _| Value::Signed(r.realized);
        cost Money, "Cost of what is held, with its sign.", |r, _, _| Value::Signed(r.cost);
        fees Money, "What the venue charged, less what it paid.", |r, _, _| Value::Signed(r.fees);
        account U32, "Account id.", |r, _, _| number(r.account);
        strategy U32, "Strategy id.", |r, _, _| number(r.strategy);
        instrument U32, "Instrument id of the host.", |r, _, _| number(r.instrument);
    },
    table! { "stages" of Stages, StageRecord, raw false, "When a datagram passed each stage of the loop: of those that caused orders, and of samples.";
        order_id U32 or null, "The order that resulted, of several the first.", |r, _, _| some(r.order);
        backlog U32, "Datagrams that waited behind it.", |r, _, _| number(r.backlog);
        arrival TaiNs, "When the XDP program or the kernel socket saw it.", |r, _, _| number(r.arrival_ns);
        frame_seen TaiNs or null, "The loop took the frame.", |r, _, _| some(r.stage_ns[0]);
        decoded TaiNs or null, "The datagram is decoded.", |r, _, _| some(r.stage_ns[1]);
        book TaiNs or null, "The events are in the books.", |r, _, _| some(r.stage_ns[2]);
        strategy TaiNs or null, "The strategy returned an intent.", |r, _, _| some(r.stage_ns[3]);
        risk TaiNs or null, "The gate approved it.", |r, _, _| some(r.stage_ns[4]);
        encoded TaiNs or null, "The order's bytes are encoded.", |r, _, _| some(r.stage_ns[5]);
        submitted TaiNs or null, "The bytes were handed to the port.", |r, _, _| some(r.stage_ns[6]);
        cause_seq U64, "`seq` of the datagram.", |r, _, _| number(r.cause_seq);
    },
    table! { "outliers" of Outlier, OutlierRecord, raw false, "Datagrams that took longer than nearly all others, and how things stood around them.";
        order_id U32 or null, "The order that resulted, of several the first.", |r, _, _| some(r.stages.order);
        backlog U32, "Datagrams that waited behind it.", |r, _, _| number(r.stages.backlog);
        arrival TaiNs, "When the XDP program or the kernel socket saw it.", |r, _, _| number(r.stages.arrival_ns);
        frame_seen TaiNs or null, "The loop took the frame.", |r, _, _| some(r.stages.stage_ns[0]);
        decoded TaiNs or null, "The datagram is decoded.", |r, _, _| some(r.stages.stage_ns[1]);
        book TaiNs or null, "The events are in the books.", |r, _, _| some(r.stages.stage_ns[2]);
        strategy TaiNs or null, "The strategy returned an intent.", |r, _, _| some(r.stages.stage_ns[3]);
        risk TaiNs or null, "The gate approved it.", |r, _, _| some(r.stages.stage_ns[4]);
        encoded TaiNs or null, "The order's bytes are encoded.", |r, _, _| some(r.stages.stage_ns[5]);
        submitted TaiNs or null, "The bytes were handed to the port.", |r, _, _| some(r.stages.stage_ns[6]);
        cause_seq U64, "`seq` of the datagram.", |r, _, _| number(r.stages.cause_seq);
        beyond U32, "Which thresholds it is beyond: bit 0 wait, 1 work, 2 order, 3 send.", |r, _, _| number(r.beyond);
        place U32, "Frames of its batch that were worked off before it.", |r, _, _| number(r.place);
        batch U32, "Frames of its batch.", |r, _, _| number(r.batch);
        waiting U32, "Frames that waited in the port's ring when the loop was through with it.", |r, _, _| number(r.waiting);
        order_slots_used U32, "Slots of the order ring in use.", |r, _, _| number(r.order_used);
        capture_bytes_used U64, "Bytes of the capture ring in use.", |r, _, _| number(r.capture_used);
        overdue_ns U64, "How long a timer of the pipeline had been due.", |r, _, _| number(r.overdue_ns);
        turn_ns U64, "How long the loop's turn before it lasted.", |r, _, _| number(r.turn_ns);
        window_ns U64 or null, "Over how long the rest was counted, around it.", |r, _, _| some(r.window_ns);
        switches U32, "Times that the kernel took the core from the loop's thread.", |r, _, _| number(r.switches);
        faults U32, "Page faults of the loop's thread.", |r, _, _| number(r.faults);
        stood_ns U64, "The loop's thread was ready to run and had no core.", |r, _, _| number(r.stood_ns);
        stepped_ns U64, "By how much the kernel's clock was set; at least by how far the loop's was still ahead of it.", |r, _, _| number(r.stepped_ns);
    },
    table! { "trust" of Trust, TrustRecord, raw false, "The books of a stream gained or lost trust.";
        stream U32, "Stream id.", |r, _, _| number(r.stream);
        trusted Bool, "Whether they are trusted from now on.", |r, _, _| Value::Bool(r.trusted != 0);
        reason Text or null, "Why not.",
            |r, _, context| if r.trusted != 0 { Value::Null } else { named(&context.names.distrusts, r.reason) };
        expected_seq U64, "First sequence number missing, of a gap.", |r, _, _| number(r.expected_seq);
        seen_seq U64, "Sequence number that came instead.", |r, _, _| number(r.seen_seq);
    },
    table! { "states" of State, StateRecord, raw false, "Trading stopped or was resumed.";
        trading Bool, "Whether orders may leave from now on.", |r, _, _| Value::Bool(r.trading != 0);
        reason Text, "Why.", |r, _, context| named(&context.names.halts, r.reason);
        cause_seq U64, "`seq` of the input that changed it.", |r, _, _| number(r.cause_seq);
    },
    Table {
        name: "counters",
        kind: Kind::Counters,
        help: "Every counter of the loop, once a second; null = the build that wrote it had no such counter.",
        is_raw: false,
        columns: &COUNTER_COLUMNS,
        fill: |body, _, row| {
            let (values, _) = body.as_chunks::<8>();
            row.extend((0..LoopCounter::COUNT).map(|index| {
                values.get(index).map_or(Value::Null, |value| Value::Unsigned(u64::from_le_bytes(*value)))
            }));
            Some(())
        },
    },
    table! { "manual_commands" of Manual, ManualCommand, raw false, "What a person wanted done by hand, and how far it had come.";
        request U64, "Names it.", |r, _, _| number(r.request);
        what Text, "`order`, `cancel`, `flatten` or `adjust`.",
            |r, _, _| known(ManualKind::from_index(r.what as usize).map(ManualKind::name), r.what);
        stage Text, "`do`, or how far it had come.",
            |r, _, _| known(ManualStage::from_index(r.stage as usize).map(ManualStage::name), r.stage);
        uid U32, "Unix user id of who asked.", |r, _, _| number(r.uid);
        second_uid U32 or null, "Of who confirmed it; null = nobody did.",
            |r, _, _| if r.second_uid == u32::MAX { Value::Null } else { number(r.second_uid) };
        why Text, "Why.", |r, _, _| Value::Text(r.why().to_owned().into());
        symbol Text, "Symbol of an order or an adjustment, else empty.", |r, _, _| symbol(&r.symbol);
        side Text or null, "Of those.", |r, _, _| if r.side == 0 { Value::Null } else { side(r.side) };
        price Money, "Limit price of an order, price of an adjustment.", |r, _, _| Value::Signed(r.price);
        quantity U32, "Shares of those.", |r, _, _| number(r.quantity);
        order_id U32 or null, "Our order id, of a cancel.", |r, _, _| some(r.order);
        scope U32, "Kind of the scope of a flatten.", |r, _, _| number(r.scope);
        scope_key U64, "Key of the scope of a flatten; strategy id of an adjustment.", |r, _, _| number(r.key);
    },
    table! { "manual_outcomes" of ManualOutcome, ManualRecord, raw false, "What came of something done by hand.";
        request U64, "The command's.", |r, _, _| number(r.request);
        outcome Text, "What came of it.",
            |r, _, _| known(ManualOutcome::from_index(r.outcome as usize).map(ManualOutcome::name), r.outcome);
        order_id U32 or null, "Our order id.", |r, _, _| some(r.order);
        reason Text or null, "Why the gate refused.",
            |r, _, context| r.reason.checked_sub(1).map_or(Value::Null, |reason| named(&context.names.refusals, reason));
        bound I64, "The bound that was broken, in the unit of the reason.", |r, _, _| Value::Signed(r.limit);
        value I64, "What it would have become; shares held with an adjustment.", |r, _, _| Value::Signed(r.value);
        count U32, "Positions of a flatten.", |r, _, _| number(r.count);
        cause_seq U64, "`seq` of the input that led to it.", |r, _, _| number(r.cause_seq);
    },
    table! { "adjustments" of Adjustment, AdjustmentRecord, raw false, "A trade told by hand that counts in a position; the venue's log has none of them.";
        request U64, "The command's.", |r, _, _| number(r.request);
        account U32, "Account id.", |r, _, _| number(r.account);
        strategy U32, "Strategy id.", |r, _, _| number(r.strategy);
        symbol Text, "Symbol.", |r, _, _| symbol(&r.symbol);
        side Text or null, "Side.", |r, _, _| side(r.side);
        quantity U32, "Shares.", |r, _, _| number(r.quantity);
        price Money, "Price of a share.", |r, _, _| Value::Signed(r.price);
        after_executions U64, "Executions of the day that came before it.", |r, _, _| number(r.after_executions);
        cause_seq U64, "`seq` of the input that led to it.", |r, _, _| number(r.cause_seq);
    },
    table! { "instrument_trust" of InstrumentTrust, InstrumentTrustRecord, raw false, "The book of one instrument lost trust.";
        symbol Text, "Symbol.", |r, _, _| symbol(&r.symbol);
        instrument U32, "Instrument id of the host.", |r, _, _| number(r.instrument);
        reason Text, "Why.", |r, _, context| named(&context.names.distrusts, r.reason);
        cause_seq U64, "`seq` of the input that brought the event.", |r, _, _| number(r.cause_seq);
    },
    table! { "limit_outcomes" of Limits, LimitsRecord, raw false, "What came of a command that sets limits.";
        outcome Text, "`set`, or why not.",
            |r, _, _| known(LimitsOutcome::from_index(r.outcome as usize).map(LimitsOutcome::name), r.outcome);
        epoch U32, "Epoch of the limits in force after it.", |r, _, _| number(r.epoch);
        cause_seq U64, "`seq` of the command.", |r, _, _| number(r.cause_seq);
    },
    table! { "differences" of Reconcile, ReconcileRecord, raw false, "What journal and venue's log say differently after a restart, and what came of it.";
        difference Text, "What.",
            |r, _, _| known(Difference::from_index(r.difference as usize).map(Difference::name), r.difference);
        ours I64, "What the journal says, by difference.", |r, _, _| Value::Signed(r.ours);
        theirs I64, "What the venue's log says, by difference.", |r, _, _| Value::Signed(r.theirs);
        order_id U32 or null, "Our order id.", |r, _, _| some(r.order);
        match_number U64 or null, "Of an execution.", |r, _, _| some(r.match_number);
        symbol Text, "Symbol of a position, else empty.", |r, _, _| symbol(&r.symbol);
        strategy U32 or null, "Strategy id of a position.", |r, _, _| some(r.strategy);
        cause_seq U64, "`seq` of the input that showed it.", |r, _, _| number(r.cause_seq);
    },
    table! { "strategies" of Strategy, StrategyRecord, raw false, "A strategy panicked, or was built anew.";
        strategy U32, "Strategy id.", |r, _, _| number(r.strategy);
        event Text, "What became of it.",
            |r, _, _| known(StrategyEvent::from_index(r.event.into()).map(StrategyEvent::name), r.event);
        text Text or null, "Why and where.", |_, rest, _| behind(rest);
        cause_seq U64, "`seq` of the input that led to it.", |r, _, _| number(r.cause_seq);
    },
    table! { "strategy_states" of StrategyState, StrategyRecord, raw false, "State that a strategy handed out.";
        strategy U32, "Strategy id.", |r, _, _| number(r.strategy);
        version U32, "Version of the state, as the strategy numbers them.", |r, _, _| number(r.version);
        state Bytes, "The state.", |r, rest, _| Value::Bytes(rest.get(..usize::from(r.state_bytes)).unwrap_or(rest));
        cause_seq U64, "`seq` of the input that led to it.", |r, _, _| number(r.cause_seq);
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::record::RecordHeader;

    #[test]
    fn every_kind_has_one_table_and_every_name_is_once() {
        for kind in Kind::ALL {
            assert_eq!(TABLES.iter().filter(|table| table.kind == *kind).count(), 1, "{}", kind.name());
        }
        for (index, table) in TABLES.iter().enumerate() {
            assert!(TABLES[..index].iter().all(|before| before.name != table.name), "{}", table.name);
            let names: Vec<&str> = table.all_columns().map(|column| column.name).collect();
            for (at, name) in names.iter().enumerate() {
                // Words that SQL keeps for itself would have to be quoted in every query.
                assert!(!["order", "limit", "table", "group", "select", "to", "from", "end"].contains(name), "{name}");
                assert!(!names[..at].contains(name), "{}.{name}", table.name);
            }
        }
    }

    /// Whatever bytes a record has, its row has the values that its columns promise, or there is none.
    #[test]
    fn every_row_has_the_columns_types() {
        let context = Context::default();
        let mut rows = 0;
        for table in TABLES {
            for (length, filled) in [(0, 0), (1, 1), (40, 0xFF), (3_000, 0), (3_000, 1), (3_000, 0xFF)] {
                let body = vec![filled; length];
                let mut row = Vec::new();
                let header = RecordHeader { seq: 9, tai_ns: 8, kind: table.kind as u16, ..RecordHeader::default() };
                if table.row(&header, &body, &context, &mut row).is_none() {
                    assert!(row.is_empty() && length < 3_000, "{} of {length}", table.name);
                    continue;
                }
                rows += 1;
                assert_eq!(row.len(), table.all_columns().count(), "{}", table.name);
                for (column, value) in table.all_columns().zip(&row) {
                    let fits = match (column.ty, value) {
                        (_, Value::Null) => column.nullable,
                        (Type::U64 | Type::TaiNs, Value::Unsigned(_)) => true,
                        (Type::U32, Value::Unsigned(value)) => *value <= u64::from(u32::MAX),
                        (Type::I64 | Type::Money, Value::Signed(_)) => true,
                        (Type::Text, Value::Text(_))
                        | (Type::Bytes, Value::Bytes(_))
                        | (Type::Bool, Value::Bool(_)) => true,
                        _ => false,
                    };
                    assert!(fits || column.name == "side" && filled == 0, "{}.{}: {value:?}", table.name, column.name);
                }
            }
        }
        assert!(rows >= TABLES.len() * 3, "{rows}");
    }
}
