//! Inputs as records, and back: what the pipeline writes in front of everything it does, and what a replay reads.

use crate::input::{ConnEvent, DownReason, Input};
use crate::session::DropReason;
use crate::units::{ConnId, LineId, Stamp, StreamId, TaiNs};
use tern_abi::command::{Command, SetLimits};
use tern_abi::event::BookEvent;
use tern_abi::manual::ManualCommand;
use tern_abi::record::{
    CONN_DOWN, CONN_RECORD_LOST, CONN_RING_ROOM, CONN_ROOM, CONN_UNSENT, CONN_UP, ConnRecord, DatagramHead, Kind,
    Recorder, RingFull, SessionHead,
};
use zerocopy::{FromBytes, IntoBytes, TryFromBytes};

/// Records an input.
///
/// # Errors
/// It does not fit. A datagram always fits: the recorder may shed it, and counts that.
#[inline]
pub fn record_input<R: Recorder>(rec: &mut R, now: TaiNs, input: &Input<'_>) -> Result<(), RingFull> {
    match *input {
        Input::Datagram { stream, line, at, backlog, payload } => {
            let head = DatagramHead {
                arrival_ns: at.arrival.0,
                nic_ns: at.nic.map_or(0, |nic| nic.0),
                stream: stream.0,
                line: line.0,
                backlog,
            };
            // Shedding is the recorder's affair; a datagram never stops the loop.
            let _ = rec.record(now.0, Kind::Datagram, &[head.as_bytes(), payload]);
            Ok(())
        }
        Input::Session { conn, bytes } => {
            let head = SessionHead { conn: conn.0, reserved: 0 };
            rec.record(now.0, Kind::SessionBytes, &[head.as_bytes(), bytes])
        }
        Input::Conn { conn, event } => {
            let (event, value) = match event {
                ConnEvent::Up => (CONN_UP, 0),
                ConnEvent::Down(reason) => (CONN_DOWN, down_code(reason)),
                ConnEvent::Room(bytes) => (CONN_ROOM, bytes as u64),
                ConnEvent::Unsent(messages) => (CONN_UNSENT, messages as u64),
                ConnEvent::RingRoom(room) => (CONN_RING_ROOM, u64::from(room)),
                ConnEvent::RecordLost => (CONN_RECORD_LOST, 0),
            };
            rec.record(now.0, Kind::Conn, &[ConnRecord { conn: conn.0, event, value }.as_bytes()])
        }
        Input::Events(events) => rec.record(now.0, Kind::Events, &[events.as_bytes()]),
        Input::Command(command) => rec.record(now.0, Kind::Command, &[command.as_bytes()]),
        Input::SetLimits(limits) => rec.record(now.0, Kind::SetLimits, &[limits.as_bytes()]),
        Input::Manual(wish) => rec.record(now.0, Kind::Manual, &[wish.as_bytes()]),
        Input::Timer => rec.record(now.0, Kind::Timer, &[]),
    }
}

/// Why a record is no input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnInput {
    /// It is an output, or a marker of the run.
    Other(Kind),
    /// Its body is not what its kind says.
    Malformed(Kind),
}

/// An input that borrows from its record, or is read out of it because of its alignment.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack of a replay")]
pub enum Recorded<'a> {
    /// Any input but a command.
    Input(Input<'a>),
    /// A command; [`Input::Command`] wants it by reference.
    Command(Command),
    /// All limits at once.
    SetLimits(SetLimits),
    /// What a person does by hand.
    Manual(ManualCommand),
}

impl Recorded<'_> {
    /// The input.
    pub const fn input(&self) -> Input<'_> {
        match self {
            Self::Input(input) => *input,
            Self::Command(command) => Input::Command(command),
            Self::SetLimits(limits) => Input::SetLimits(limits),
            Self::Manual(wish) => Input::Manual(wish),
        }
    }
}

/// Reads an input back from its record.
///
/// # Errors
/// Why it is none.
pub fn read_input(now: TaiNs, kind: Kind, body: &[u8]) -> Result<Recorded<'_>, NotAnInput> {
    let malformed = NotAnInput::Malformed(kind);
    let input = match kind {
        Kind::Datagram => {
            let (head, payload) = DatagramHead::read_from_prefix(body).map_err(|_| malformed)?;
            let nic = (head.nic_ns != 0).then_some(TaiNs(head.nic_ns));
            Input::Datagram {
                stream: StreamId(head.stream),
                line: LineId(head.line),
                at: Stamp { seen: now, arrival: TaiNs(head.arrival_ns), nic },
                backlog: head.backlog,
                payload,
            }
        }
        Kind::SessionBytes => {
            let (head, bytes) = SessionHead::read_from_prefix(body).map_err(|_| malformed)?;
            Input::Session { conn: ConnId(head.conn), bytes }
        }
        Kind::Conn => {
            let record = ConnRecord::read_from_bytes(body).map_err(|_| malformed)?;
            let count = usize::try_from(record.value).map_err(|_| malformed);
            let event = match record.event {
                CONN_UP => ConnEvent::Up,
                CONN_DOWN => ConnEvent::Down(down_of(record.value).ok_or(malformed)?),
                CONN_ROOM => ConnEvent::Room(count?),
                CONN_UNSENT => ConnEvent::Unsent(count?),
                CONN_RING_ROOM => ConnEvent::RingRoom(record.value != 0),
                CONN_RECORD_LOST => ConnEvent::RecordLost,
                _ => return Err(malformed),
            };
            Input::Conn { conn: ConnId(record.conn), event }
        }
        Kind::Events => Input::Events(<[BookEvent]>::try_ref_from_bytes(body).map_err(|_| malformed)?),
        Kind::Command => return Command::read_from_bytes(body).map(Recorded::Command).map_err(|_| malformed),
        Kind::SetLimits if body.len() > size_of::<SetLimits>() => return Err(malformed),
        Kind::SetLimits => {
            return SetLimits::of_record(body).map(Recorded::SetLimits).ok_or(malformed);
        }
        Kind::Manual => return ManualCommand::read_from_bytes(body).map(Recorded::Manual).map_err(|_| malformed),
        Kind::Timer => Input::Timer,
        other => return Err(NotAnInput::Other(other)),
    };
    Ok(Recorded::Input(input))
}

/// The reasons of our own drops, in the order of their codes.
const DROPS: [DropReason; 8] = [
    DropReason::BadPacket,
    DropReason::Silence,
    DropReason::LoginRejected,
    DropReason::EndOfSession,
    DropReason::ControlOverflow,
    DropReason::Killed,
    DropReason::Surveyed,
    DropReason::LogUnlike,
];

/// First code of our own drops.
const DROPPED: u64 = 16;

fn down_code(reason: DownReason) -> u64 {
    match reason {
        DownReason::Closed => 1,
        DownReason::Reset => 2,
        DownReason::TimedOut => 3,
        DownReason::Dropped(drop) => DROPPED + DROPS.iter().position(|d| *d == drop).map_or(0, |at| at as u64),
    }
}

fn down_of(code: u64) -> Option<DownReason> {
    Some(match code {
        1 => DownReason::Closed,
        2 => DownReason::Reset,
        3 => DownReason::TimedOut,
        _ => DownReason::Dropped(*DROPS.get(usize::try_from(code.checked_sub(DROPPED)?).ok()?)?),
    })
}
