//! The numbers in the segment's words that say how things stand and why, with the names that users see.

use crate::counter_enum;

counter_enum! {
    /// Why somebody killed.
    pub enum KillCause {
        Unknown = "killed": "A kill whose cause nobody wrote down: whoever killed died over it.",
        Operator = "operator_kill": "An operator's kill.",
        HeartbeatLoss = "heartbeat_loss": "The daemon missed the heartbeat of the data plane.",
        JournalTrouble = "journal_trouble": "The daemon could not write the journal.",
        Audit = "audit_disagreement": "The second opinion disagreed with the gate.",
        AuditLost = "audit_lost": "The second opinion, which was asked for, does not run.",
        DropCopy = "drop_copy": "The venue's drop copy and the journal differed for too long.",
        Allotment = "allotment": "The data plane that ternd found running has limits above its allotment of the firm's.",
        ForbiddenCall = "forbidden_call": "The data plane made a system call that its sandbox forbids, and was ended by it.",
    }
}

/// [`Words::trust`](super::Words::trust): the books of the stream are trusted.
pub const TRUSTED: u64 = 1;
/// [`Words::trust`](super::Words::trust): they are not; the index of the data plane's reason is added.
pub const DISTRUSTED: u64 = 2;

counter_enum! {
    /// Where an order session is.
    pub enum SessionState {
        Absent = "absent": "There is none.",
        Down = "down": "No connection.",
        Connected = "connected": "Connected, not logged in or not caught up with the venue's log.",
        Ready = "ready": "Orders may be sent.",
    }
}

counter_enum! {
    /// Why an order session is not ready: what happened last. Nothing of it once it is ready.
    pub enum SessionFault {
        None = "none": "Nothing happened yet.",
        ConnectUnreachable = "connect_unreachable": "Nobody on the link answers for the venue's address or the gateway (ARP), or no route is known.",
        ConnectRefused = "connect_refused": "The venue's host refuses the connection.",
        ConnectUnanswered = "connect_unanswered": "The venue's host does not answer the attempt to connect.",
        ConnectLocal = "connect_local": "This host cannot make the connection: it lacks the address or the port.",
        Closed = "closed": "The venue closed the connection.",
        Reset = "reset": "The venue reset the connection.",
        TimedOut = "timed_out": "The venue acknowledged nothing for too long.",
        BadPacket = "bad_packet": "The venue sent what is no packet of the protocol.",
        Silence = "silence": "The venue said nothing for too long.",
        LoginRejected = "login_rejected": "The venue rejected the login.",
        EndOfSession = "end_of_session": "The venue ended the session.",
        ControlOverflow = "control_overflow": "More housekeeping of the session than could be sent.",
        Killed = "recalled": "The connection was reset to take back orders at a kill.",
        LogUnlike = "session_refused": "We refuse the session: the venue's log is shorter than what it told before, or starts behind it.",
    }
}
