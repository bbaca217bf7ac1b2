//! The command ring: from the daemon to the loop, a slot a command, several for [`SetLimits`], [`ManualCommand`] and [`DayRecord`].

use super::slot::{SlotConsumer, SlotProducer, SlotRecord, WORD_BYTES, slots_for};
use super::{Corrupt, memory::Memory};
use crate::command::{Command, CommandKind, SetLimits};
use crate::day::DayRecord;
use crate::manual::{ManualCommand, ManualKind};
use crate::record::RingFull;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Slot size of the command ring.
pub const COMMAND_SLOT_BYTES: usize = 64;
const _: () = assert!(size_of::<Command>() + WORD_BYTES <= COMMAND_SLOT_BYTES);
/// Slots of a [`SetLimits`].
const LIMITS_SLOTS: u64 = slots_for::<COMMAND_SLOT_BYTES>(size_of::<SetLimits>());
/// Slots of a [`ManualCommand`].
const MANUAL_SLOTS: u64 = slots_for::<COMMAND_SLOT_BYTES>(size_of::<ManualCommand>());
/// Slots of a [`DayRecord`].
const DAY_SLOTS: u64 = slots_for::<COMMAND_SLOT_BYTES>(size_of::<DayRecord>());
// The length tells what it is.
const _: () = assert!(MANUAL_SLOTS > 1 && MANUAL_SLOTS != LIMITS_SLOTS);
const _: () = assert!(DAY_SLOTS > 1 && DAY_SLOTS != LIMITS_SLOTS && DAY_SLOTS != MANUAL_SLOTS);

/// What the daemon sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the loop's stack")]
pub enum Sent {
    /// Any command but those below.
    Command(Command),
    /// All limits at once.
    SetLimits(SetLimits),
    /// What a person does by hand.
    Manual(ManualCommand),
    /// A step of the trading day.
    Day(DayRecord),
}

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

    /// Hands all limits at once to the loop.
    ///
    /// # Errors
    /// [`RingFull`] as for [`send`](Self::send).
    pub fn send_limits(&mut self, limits: &SetLimits) -> Result<Ticket, RingFull> {
        self.0.push(limits.as_bytes(), &[], 0).map(Ticket)
    }

    /// Hands what a person does by hand to the loop.
    ///
    /// # Errors
    /// [`RingFull`] as for [`send`](Self::send).
    pub fn send_manual(&mut self, wish: &ManualCommand) -> Result<Ticket, RingFull> {
        self.0.push(wish.as_bytes(), &[], 0).map(Ticket)
    }

    /// Hands a step of the trading day to the loop.
    ///
    /// # Errors
    /// [`RingFull`] as for [`send`](Self::send).
    pub fn send_day(&mut self, day: &DayRecord) -> Result<Ticket, RingFull> {
        self.0.push(day.as_bytes(), &[], 0).map(Ticket)
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
    pub fn next(&self) -> Result<Option<Sent>, Corrupt> {
        let Some(record) = self.0.peek()? else { return Ok(None) };
        if record.slots() != 1 {
            return self.read_long(&record).map(Some);
        }
        Ok(Command::read_from_prefix(record.slot(0)).ok().map(|(command, _)| Sent::Command(command)))
    }

    #[cold]
    fn read_long(&self, record: &SlotRecord<'_, COMMAND_SLOT_BYTES>) -> Result<Sent, Corrupt> {
        let mut limits = SetLimits::new(&[], (0, 0), 0, "");
        if record.slots() == LIMITS_SLOTS {
            gather(record, limits.as_mut_bytes());
            if limits.kind == CommandKind::SetLimits as u32 {
                return Ok(Sent::SetLimits(limits));
            }
        }
        let mut wish = ManualCommand::new(ManualKind::Order, 0, 0, "");
        if record.slots() == MANUAL_SLOTS {
            gather(record, wish.as_mut_bytes());
            if wish.kind == CommandKind::Manual as u32 {
                return Ok(Sent::Manual(wish));
            }
        }
        if record.slots() == DAY_SLOTS {
            let mut day = DayRecord::new_zeroed();
            gather(record, day.as_mut_bytes());
            if day.kind == CommandKind::Day as u32 {
                return Ok(Sent::Day(day));
            }
        }
        Err(Corrupt { what: "it holds a command of a length that there is not", position: self.0.position() })
    }

    /// The command that [`next`](Self::next) gave is recorded; killed before, the next run is given it again.
    #[inline]
    pub fn done(&mut self) {
        let slots = self.0.peek().ok().flatten().map_or(0, |record| record.slots());
        self.0.advance(slots);
        self.0.commit(self.0.position());
    }
}

/// Puts what lies in the slots of a record end to end.
fn gather(record: &SlotRecord<'_, COMMAND_SLOT_BYTES>, whole: &mut [u8]) {
    for (index, piece) in (0..).zip(whole.chunks_mut(COMMAND_SLOT_BYTES - WORD_BYTES)) {
        piece.copy_from_slice(&record.slot(index)[..piece.len()]);
    }
}
