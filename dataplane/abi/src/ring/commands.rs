//! The command ring: from the daemon to the loop, a slot a command.

use super::slot::{SlotConsumer, SlotProducer};
use super::{Corrupt, memory::Memory};
use crate::command::Command;
use crate::record::RingFull;
use zerocopy::{FromBytes, IntoBytes};

/// Slot size of the command ring.
pub const COMMAND_SLOT_BYTES: usize = 64;
const _: () = assert!(size_of::<Command>() + super::slot::WORD_BYTES <= COMMAND_SLOT_BYTES);

/// The daemon's end.
pub struct CommandSender<'a>(SlotProducer<'a, COMMAND_SLOT_BYTES>);

/// What [`CommandSender::send`] gives, to ask later whether the command was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

#[allow(unsafe_code, reason = "says who may be the producer of the ring")]
impl<'a> CommandSender<'a> {
    /// Takes up sending where the last sender stopped.
    ///
    /// # Errors
    /// [`Corrupt`] if the memory is not such a ring.
    ///
    /// # Safety
    /// No other sender of this ring exists as long as this one does.
    pub unsafe fn attach(memory: Memory<'a>) -> Result<Self, Corrupt> {
        // SAFETY: the caller's promise.
        unsafe { SlotProducer::attach(memory) }.map(Self)
    }
}

impl CommandSender<'_> {
    /// Hands `command` to the loop.
    ///
    /// # Errors
    /// [`RingFull`] if the loop has not taken enough of the earlier ones.
    pub fn send(&mut self, command: &Command) -> Result<Ticket, RingFull> {
        self.0.push(command.as_bytes(), &[], 0).map(Ticket)
    }

    /// Whether the loop has taken the command and recorded it.
    pub fn taken(&self, ticket: Ticket) -> bool {
        self.0.consumed() > ticket.0
    }
}

/// The loop's end.
pub struct CommandReceiver<'a>(SlotConsumer<'a, COMMAND_SLOT_BYTES>);

#[allow(unsafe_code, reason = "says who may be the consumer of the ring")]
impl<'a> CommandReceiver<'a> {
    /// Takes up receiving at the first command that was not [`done`](Self::done).
    ///
    /// # Errors
    /// [`Corrupt`] if the memory is not such a ring.
    ///
    /// # Safety
    /// No other receiver of this ring exists as long as this one does.
    pub unsafe fn attach(memory: Memory<'a>) -> Result<Self, Corrupt> {
        // SAFETY: the caller's promise.
        unsafe { SlotConsumer::attach(memory) }.map(Self)
    }
}

impl CommandReceiver<'_> {
    /// The next command, if there is one; the same again until [`done`](Self::done).
    ///
    /// # Errors
    /// [`Corrupt`] if the ring holds what no sender wrote.
    #[inline]
    pub fn next(&self) -> Result<Option<Command>, Corrupt> {
        let Some(record) = self.0.peek()? else { return Ok(None) };
        Ok(Command::read_from_prefix(record.slot(0)).ok().map(|(command, _)| command))
    }

    /// The command that [`next`](Self::next) gave is recorded; killed before, the next run is given it again.
    #[inline]
    pub fn done(&mut self) {
        self.0.advance(1);
        self.0.commit(self.0.position());
    }
}
