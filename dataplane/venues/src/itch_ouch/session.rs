//! The order session: OUCH 5.0 over SoupBinTCP 3.00, the client's side, without I/O.
//!
//! Login, resume, heartbeats and framing are here; what a message means as an event is in `events`, what an order is as
//! bytes in `encode`.

mod encode;
mod events;

use core::fmt;

use tern_core::session::{
    Control, DropReason, EncodeError, OrderSession, OrderSink, OrderView, SessionCounter, VenueEvent, VenueEventKind,
};
use tern_core::units::TaiNs;
use zerocopy::IntoBytes;

use super::wire::Alpha;
use super::wire::ouch::{self, Capacity, Outbound};
use super::wire::soup::{
    self, AsciiNumber, Deframer, Frame, LoginAccepted, LoginRequest, Packet, PacketError, Session,
};

/// A client heartbeat is due when nothing was sent for this long (SoupBinTCP 3.00, section 1.3), unless another time is given.
pub const HEARTBEAT_NS: u64 = 1_000_000_000;
/// The venue is gone when nothing was heard for this long (section 1.3: "typically 15 seconds"), unless another is given.
pub const SILENCE_NS: u64 = 15_000_000_000;
/// How long the venue may take to close the connection after a logout.
const LOGOUT_NS: u64 = 1_000_000_000;

/// Account queries that one login may send; with more to be told apart, the end of the log is asked for instead.
const QUERIES_MAX: u32 = 32;

/// Longest packet taken, in bytes: OUCH messages are below 200, debug texts longer.
const PACKET_BYTES_MAX: usize = 4096;

type Counters = [u64; SessionCounter::COUNT];

/// How to log in, and what every order says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OuchConfig {
    /// SoupBinTCP username.
    pub username: Alpha<6>,
    /// SoupBinTCP password.
    pub password: Alpha<10>,
    /// Capacity of every order.
    pub capacity: Capacity,
}

impl fmt::Debug for OuchConfig {
    // The password stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OuchConfig")
            .field("username", &self.username)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection.
    Down,
    /// Login sent; a survey asks for nothing but the number at which the log ends.
    LoggingIn { survey: bool },
    /// Login accepted. Orders may be sent once `CatchUp` is done.
    LoggedIn(CatchUp),
    /// Logout sent.
    LoggingOut,
    /// We asked for the connection to be dropped: nothing that it still brings is looked at.
    Dropping,
}

/// How far the replay of the venue's log is.
///
/// The answer to an account query asked after the login stands behind everything that the log held then; but answers to
/// queries of earlier logins stand in the log too. [`Log`] bounds how many of those can still come, so one answer more
/// than that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CatchUp {
    /// So many answers have to come yet.
    Awaits(u32),
    Done,
}

/// The client's side of an OUCH session. Keeps session and sequence number over reconnects.
#[derive(Debug)]
pub struct OuchSession {
    // Apart from the rest, as its frames are borrowed while the client handles them.
    deframer: Deframer<PACKET_BYTES_MAX>,
    client: Client,
}

#[derive(Debug)]
struct Client {
    config: OuchConfig,
    template: encode::Template,
    state: State,
    link: Link,
    log: Log,
    /// The session of the last login that went on to the log.
    entered: Option<Session>,
    counters: Counters,
}

/// When each side was last heard, and for how long it may be silent.
#[derive(Clone, Copy, Debug)]
struct Link {
    sent: TaiNs,
    heard: TaiNs,
    heartbeat_ns: u64,
    silence_ns: u64,
}

/// Where we are in the venue's log.
#[derive(Clone, Copy, Debug)]
struct Log {
    /// The session that the numbers belong to; blank before the first login.
    session: Session,
    /// Number of the next message that is new to us.
    next: u64,
    /// Number of the next message that this connection brings.
    incoming: u64,
    /// Number of the last message, or of the one behind it, at the last survey; 0 when a survey is due. What was said
    /// before it says nothing about our own queries.
    end: u64,
    /// Answers from `end` on that may still come: to queries that this process sent, and message `end` itself.
    unanswered: u32,
}

impl Log {
    const NEW: Self = Self { session: Alpha::BLANK, next: 1, incoming: 1, end: 0, unanswered: 0 };
}

impl OuchSession {
    /// A session that has not logged in yet. The first login asks where the venue's log of the day ends, the next one
    /// for the log from its start.
    pub const fn new(config: OuchConfig) -> Self {
        let client = Client {
            config,
            template: encode::Template::new(config.capacity),
            state: State::Down,
            link: Link { sent: TaiNs(0), heard: TaiNs(0), heartbeat_ns: HEARTBEAT_NS, silence_ns: SILENCE_NS },
            log: Log::NEW,
            entered: None,
            counters: [0; SessionCounter::COUNT],
        };
        Self { deframer: Deframer::new(), client }
    }

    /// The same, with a heartbeat due after `heartbeat_ns` without a message of ours, and the venue gone after `silence_ns`
    /// without a byte of its.
    pub const fn with_deadlines(mut self, heartbeat_ns: u64, silence_ns: u64) -> Self {
        (self.client.link.heartbeat_ns, self.client.link.silence_ns) = (heartbeat_ns, silence_ns);
        self
    }

    /// Sequence number of the next message of the venue's log that is new to us.
    pub const fn next_seq(&self) -> u64 {
        self.client.log.next
    }
}

impl Client {
    fn send(&mut self, now: TaiNs, packet: &Packet<'_>, control: &mut Control) {
        let mut buf = [0; 64];
        // Login is the longest, 49 bytes. A full buffer asks for the drop by itself, and nothing here is an order.
        if let Ok(length) = soup::write(&mut buf, packet)
            && control.send(&buf[..length]).is_ok()
        {
            self.link.sent = now;
        }
    }

    fn drop_connection(&mut self, reason: DropReason, control: &mut Control) {
        self.state = State::Dropping;
        control.drop_connection(reason);
    }

    /// The venue's log is not the one that it told us of: what is missing in it would be lost for good.
    fn refuse_log(&mut self, control: &mut Control) {
        count(&mut self.counters, SessionCounter::BadPackets);
        self.drop_connection(DropReason::LogUnlike, control);
    }

    fn bad_packet(&mut self, control: &mut Control) {
        count(&mut self.counters, SessionCounter::BadPackets);
        self.drop_connection(DropReason::BadPacket, control);
    }

    fn on_packet(
        &mut self,
        now: TaiNs,
        packet: Result<Packet<'_>, PacketError>,
        sink: &mut impl OrderSink,
        control: &mut Control,
    ) {
        match (packet, self.state) {
            (Ok(Packet::SequencedData(message)), State::LoggedIn(_) | State::LoggingOut) => {
                self.on_sequenced(message, sink, control);
            }
            (Ok(Packet::ServerHeartbeat), _) => {
                count(&mut self.counters, SessionCounter::HeartbeatsIn);
                if matches!(self.state, State::LoggedIn(_)) && self.log.incoming < self.log.next {
                    // The venue has nothing more to send, but its log is shorter than what it told us before: it lost
                    // messages, and new ones bear numbers that we take for old.
                    self.refuse_log(control);
                }
            }
            (Ok(Packet::Debug(_)), _) => {}
            (Ok(Packet::LoginAccepted(login)), State::LoggingIn { survey }) => {
                self.on_accepted(now, login, survey, sink, control);
            }
            (Ok(Packet::LoginRejected(login)), State::LoggingIn { .. }) => {
                count(&mut self.counters, SessionCounter::LoginRejects);
                let reason = login.reject_reason_code;
                sink.event(VenueEvent { reason, ..VenueEvent::new(VenueEventKind::LoginRejected) });
                self.drop_connection(DropReason::LoginRejected, control);
            }
            (Ok(Packet::EndOfSession), State::LoggedIn(_) | State::LoggingOut) => {
                // The next login asks for the venue's current session, from its start.
                self.log = Log::NEW;
                self.entered = None;
                sink.event(VenueEvent::new(VenueEventKind::EndOfSession));
                self.drop_connection(DropReason::EndOfSession, control);
            }
            (Err(PacketError::Unknown { .. }), _) => count(&mut self.counters, SessionCounter::UnknownPackets),
            // Too short, out of place, or a packet that only clients send.
            _ => self.bad_packet(control),
        }
    }

    fn on_accepted(
        &mut self,
        now: TaiNs,
        login: &LoginAccepted,
        survey: bool,
        sink: &mut impl OrderSink,
        control: &mut Control,
    ) {
        let Some(incoming) = login.sequence_number.get().filter(|&number| number != 0) else {
            return self.bad_packet(control);
        };
        if self.log.session.trimmed() != login.session.trimmed() {
            self.log = Log { session: login.session, ..Log::NEW };
        }
        if survey {
            count(&mut self.counters, SessionCounter::Surveys);
            // Whether the number is the last message's or the next one's, the log is known to reach up to it.
            self.log.end = incoming;
            self.log.unanswered = 1;
        }
        if self.log.end == 0 || (survey && incoming > self.log.next) {
            // Another log than we asked for, whose end is unknown; or one that has to be read from further ahead.
            return self.drop_connection(DropReason::Surveyed, control);
        }
        if incoming > self.log.next {
            // The log starts behind what we know: fills in between would be lost for good.
            return self.refuse_log(control);
        }
        self.log.incoming = incoming;
        count(&mut self.counters, SessionCounter::Logins);
        let goes_on = self.entered.replace(self.log.session) == Some(self.log.session);
        sink.event(VenueEvent { live: goes_on, ..VenueEvent::new(VenueEventKind::LoggedIn) });
        let queries = self.log.unanswered + 1;
        self.log.unanswered += queries;
        self.state = State::LoggedIn(CatchUp::Awaits(queries));
        for _ in 0..queries {
            self.send(now, &Packet::UnsequencedData(ouch::AccountQuery::NEW.as_bytes()), control);
        }
    }

    /// Message `number` answers an account query. The last of those that are awaited is an answer to our own, so the
    /// log as it was at the login has been read.
    fn on_answer(&mut self, number: u64, sink: &mut impl OrderSink) {
        if number < self.log.end {
            return;
        }
        self.log.unanswered = self.log.unanswered.saturating_sub(1);
        match self.state {
            State::LoggedIn(CatchUp::Awaits(1)) => {
                self.state = State::LoggedIn(CatchUp::Done);
                sink.event(VenueEvent::new(VenueEventKind::CaughtUp));
            }
            State::LoggedIn(CatchUp::Awaits(more)) => self.state = State::LoggedIn(CatchUp::Awaits(more - 1)),
            _ => {}
        }
    }

    #[inline]
    fn on_sequenced(&mut self, message: &[u8], sink: &mut impl OrderSink, control: &mut Control) {
        let number = self.log.incoming;
        self.log.incoming += 1;
        if number < self.log.next {
            return count(&mut self.counters, SessionCounter::Replayed);
        }
        match Outbound::decode(message) {
            Ok((message, trailing_bytes)) => {
                if trailing_bytes != 0 {
                    count(&mut self.counters, SessionCounter::TrailingBytes);
                }
                sink.event(VenueEvent { session_seq: number, ..events::venue_event(&message) });
                if let Outbound::AccountQueryResponse(_) = message {
                    self.on_answer(number, sink);
                }
            }
            Err(ouch::DecodeError::Unknown { .. }) => count(&mut self.counters, SessionCounter::UnknownMessages),
            Err(_) => {
                // Not counted as read: trading cannot go on without knowing what it said.
                count(&mut self.counters, SessionCounter::TruncatedMessages);
                return self.drop_connection(DropReason::BadPacket, control);
            }
        }
        self.log.next = number + 1;
        count(&mut self.counters, SessionCounter::Sequenced);
    }
}

impl OrderSession for OuchSession {
    fn is_order_packet(packet: &[u8]) -> bool {
        !is_control_packet(packet)
    }

    fn on_connected(&mut self, now: TaiNs, control: &mut Control) {
        self.deframer.reset();
        if self.client.log.unanswered >= QUERIES_MAX {
            self.client.log.end = 0;
        }
        let survey = self.client.log.end == 0;
        self.client.state = State::LoggingIn { survey };
        self.client.link = Link { sent: now, heard: now, ..self.client.link };
        let login = LoginRequest {
            username: self.client.config.username,
            password: self.client.config.password,
            requested_session: self.client.log.session,
            requested_sequence_number: AsciiNumber::new(if survey { 0 } else { self.client.log.next }),
        };
        self.client.send(now, &Packet::LoginRequest(&login), control);
    }

    fn on_disconnected(&mut self, _now: TaiNs) {
        self.deframer.reset();
        self.client.state = State::Down;
    }

    fn on_bytes(&mut self, now: TaiNs, bytes: &[u8], sink: &mut impl OrderSink, control: &mut Control) {
        let Self { deframer, client } = self;
        client.counters[SessionCounter::BytesIn.index()] += bytes.len() as u64;
        client.link.heard = now;
        let mut rest = bytes;
        while !matches!(client.state, State::Down | State::Dropping) {
            match deframer.next(&mut rest) {
                Ok(Some(frame)) => {
                    count(&mut client.counters, SessionCounter::PacketsIn);
                    client.on_packet(now, frame.packet(), sink, control);
                }
                Ok(None) => break,
                Err(_) => client.bad_packet(control),
            }
        }
    }

    fn on_timer(&mut self, now: TaiNs, control: &mut Control) {
        match self.client.state {
            State::Down | State::Dropping => {}
            State::LoggingOut if now.since(self.client.link.sent) >= LOGOUT_NS => {
                self.client.drop_connection(DropReason::EndOfSession, control);
            }
            _ if now.since(self.client.link.heard) >= self.client.link.silence_ns => {
                count(&mut self.client.counters, SessionCounter::Silence);
                self.client.drop_connection(DropReason::Silence, control);
            }
            State::LoggedIn(_) if now.since(self.client.link.sent) >= self.client.link.heartbeat_ns => {
                self.client.send(now, &Packet::ClientHeartbeat, control);
                count(&mut self.client.counters, SessionCounter::HeartbeatsOut);
            }
            State::LoggingIn { .. } | State::LoggedIn(_) | State::LoggingOut => {}
        }
    }

    fn log_out(&mut self, now: TaiNs, control: &mut Control) {
        match self.client.state {
            State::LoggedIn(_) => {
                self.client.send(now, &Packet::LogoutRequest, control);
                self.client.state = State::LoggingOut;
            }
            State::LoggingIn { .. } => self.client.drop_connection(DropReason::EndOfSession, control),
            State::Down | State::LoggingOut | State::Dropping => {}
        }
    }

    #[inline]
    fn encode(&mut self, order: &OrderView, buf: &mut [u8]) -> Result<usize, EncodeError> {
        match self.client.state {
            State::LoggedIn(_) => self.client.template.encode(order, buf),
            _ => Err(EncodeError::NotLoggedIn),
        }
    }

    #[inline]
    fn on_sent(&mut self, now: TaiNs) {
        self.client.link.sent = now;
    }

    fn next_deadline(&self) -> TaiNs {
        let silence = self.client.link.heard.plus(self.client.link.silence_ns);
        match self.client.state {
            State::Down | State::Dropping => TaiNs::NEVER,
            State::LoggingIn { .. } => silence,
            State::LoggedIn(_) => silence.min(self.client.link.sent.plus(self.client.link.heartbeat_ns)),
            State::LoggingOut => silence.min(self.client.link.sent.plus(LOGOUT_NS)),
        }
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.client.state == State::LoggedIn(CatchUp::Done)
    }

    fn counters(&self) -> &Counters {
        &self.client.counters
    }
}

#[inline]
fn count(counters: &mut Counters, counter: SessionCounter) {
    counters[counter.index()] += 1;
}

/// Whether `packet` is exactly one packet that cannot carry an order. Everything else counts as an order, so that what
/// is not understood is refused.
fn is_control_packet(packet: &[u8]) -> bool {
    match Frame::of_packet(packet).map(|frame| frame.packet()) {
        Some(Ok(Packet::UnsequencedData(message))) => message == ouch::AccountQuery::NEW.as_bytes(),
        Some(Ok(Packet::LoginRequest(_) | Packet::ClientHeartbeat | Packet::LogoutRequest | Packet::Debug(_))) => true,
        _ => false,
    }
}
