//! Everything that the pipeline can be told. Nothing else changes its state.

use crate::session::DropReason;
use crate::units::{ConnId, LineId, Stamp, StreamId};
use tern_abi::command::{Command, SetLimits};
use tern_abi::event::BookEvent;
use tern_abi::manual::ManualCommand;

/// Why an order connection is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The other side closed it.
    Closed,
    /// The other side reset it.
    Reset,
    /// It could not be established, or nothing was acknowledged in time.
    TimedOut,
    /// We dropped it.
    Dropped(DropReason),
}

/// What happened to an order connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnEvent {
    /// Established.
    Up,
    /// Gone; order bytes not yet given to TCP are dropped.
    Down(DownReason),
    /// So many bytes more than were handed over so far can be sent at once, without queueing behind a closed window.
    Room(usize),
    /// So many of the order messages written last were not handed over yet. The pipeline records it by itself when the
    /// caller left some; only a replay gives it.
    Unsent(usize),
    /// Whether the recorder has room for orders. The pipeline asks the recorder and records a change by itself; only a
    /// replay gives it.
    RingRoom(bool),
    /// A record did not fit that must not be lost: trading stops. The pipeline records it by itself as soon as it can;
    /// only a replay gives it.
    RecordLost,
}

/// One input, in the order in which the loop saw it.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A UDP payload of a stream.
    Datagram {
        /// Stream.
        stream: StreamId,
        /// Line of the stream.
        line: LineId,
        /// Its stamps.
        at: Stamp,
        /// How many datagrams wait behind it.
        backlog: u32,
        /// The payload.
        payload: &'a [u8],
    },
    /// Bytes of an order connection, in any chunking.
    Session {
        /// Connection.
        conn: ConnId,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// An order connection changed.
    Conn {
        /// Connection.
        conn: ConnId,
        /// How.
        event: ConnEvent,
    },
    /// Normalized events of a feed in another process.
    Events(&'a [BookEvent]),
    /// A command of the control plane.
    Command(&'a Command),
    /// All limits at once.
    SetLimits(&'a SetLimits),
    /// What a person does by hand.
    Manual(&'a ManualCommand),
    /// The time that came with the call passed a deadline.
    Timer,
}
