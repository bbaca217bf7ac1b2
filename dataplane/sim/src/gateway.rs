//! The order gateway: OUCH over SoupBinTCP on kernel TCP. One thread, no call that blocks: a client that does not read
//! only falls behind in its own stream, which is kept whole for replay anyway.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};
use tern_venues::itch_ouch::wire::soup::{
    self, AsciiNumber, Deframer, LoginAccepted, LoginRejected, LoginRequest, Packet, RejectCode, Session,
};

/// Largest packet from a client: an order with the longest sensible appendage is far below.
const INBOUND_BYTES_MAX: usize = 4096;
/// A connection takes on so many bytes of its stream at a time.
const OUTBOUND_CHUNK_BYTES: usize = 64 * 1024;
const HEARTBEAT: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(15);
const LOGIN: Duration = Duration::from_secs(30);

/// A user, and the account of the same index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// Misbehaviour on request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// After so many order messages, stop reading for the time given, so that clients' windows close.
    pub stall: Option<(u64, Duration)>,
    /// After so many order messages, reset the connection in the middle of a message.
    pub reset_after: Option<u64>,
}

/// What the gateway has to say to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A user logged in; its first message will have this sequence number.
    Login {
        /// Index of the account.
        account: u16,
        /// First sequence number sent.
        sequence: u64,
    },
    /// A login was refused.
    Refused {
        /// The name that was given.
        name: String,
    },
    /// An OUCH message arrived.
    Message {
        /// Index of the account.
        account: u16,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A connection of a user ended.
    Disconnect {
        /// Index of the account.
        account: u16,
        /// Whether it was the account's last one.
        last: bool,
        /// Why.
        reason: &'static str,
    },
}

/// An account's sequenced messages of the day, framed for the wire.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

struct Connection {
    socket: TcpStream,
    deframer: Box<Deframer<INBOUND_BYTES_MAX>>,
    account: Option<u16>,
    /// Bytes on their way, whole packets, and how many of them the kernel took.
    out: Vec<u8>,
    out_sent: usize,
    /// How many bytes of the account's stream were put into `out`.
    taken: usize,
    last_sent: Instant,
    last_received: Instant,
    end: Option<&'static str>,
    /// "End of session" was put: nothing of the stream follows.
    is_over: bool,
}

/// Listener, connections and streams.
pub struct Gateway {
    listener: TcpListener,
    session: Session,
    users: Vec<User>,
    streams: Vec<Stream>,
    connections: Vec<Connection>,
    faults: Faults,
    order_messages: u64,
    stalled_until: Option<Instant>,
    logins: u64,
    /// Streams are told and nothing is taken: a message ends the connection.
    read_only: bool,
}

impl Gateway {
    /// Listens.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn listen(address: SocketAddr, session: Session, users: Vec<User>, faults: Faults) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("listen for orders on {address}"))?;
        listener.set_nonblocking(true).context("make the listener non-blocking")?;
        if faults.stall.is_some() {
            // Accepted sockets inherit it: a small buffer makes the client's window close soon.
            setsockopt(&listener, sockopt::RcvBuf, &4096).context("make the receive buffer small")?;
        }
        let streams = users.iter().map(|_| Stream::default()).collect();
        Ok(Self {
            listener,
            session,
            users,
            streams,
            connections: Vec::new(),
            faults,
            order_messages: 0,
            stalled_until: None,
            logins: 0,
            read_only: false,
        })
    }

    /// Listens for those who only read: each of `users` gets the stream of the account with its index.
    ///
    /// # Errors
    /// As [`Gateway::listen`].
    pub fn listen_read_only(address: SocketAddr, session: Session, users: Vec<User>) -> Result<Self> {
        let gateway = Self::listen(address, session, users, Faults::default())?;
        Ok(Self { read_only: true, ..gateway })
    }

    /// Closes every connection, as a broken link does; the streams stay.
    pub fn cut(&mut self) {
        for connection in &mut self.connections {
            connection.end.get_or_insert("cut on request");
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("ask for the listener's address")
    }

    /// Logins accepted so far.
    pub const fn logins(&self) -> u64 {
        self.logins
    }

    /// Users that are logged in now.
    pub fn users_connected(&self) -> usize {
        let online = |account| self.connections.iter().any(|c| c.account == Some(account) && c.end.is_none());
        (0..self.users.len() as u16).filter(|&account| online(account)).count()
    }

    /// Messages in an account's stream.
    pub fn sequenced(&self, account: u16) -> u64 {
        self.streams.get(usize::from(account)).map_or(0, |stream| stream.starts.len() as u64)
    }

    /// Appends a message to an account's stream; [`Gateway::write`] sends it.
    pub fn append(&mut self, account: u16, message: &[u8]) {
        let Some(stream) = self.streams.get_mut(usize::from(account)) else { return };
        stream.starts.push(stream.bytes.len());
        let start = stream.bytes.len();
        stream.bytes.resize(start + soup::HEADER_BYTES + message.len(), 0);
        let written = soup::write(&mut stream.bytes[start..], &Packet::SequencedData(message));
        debug_assert!(written.is_ok(), "the room was made for it");
    }

    /// Descriptors to wait for, and whether for writing too.
    pub fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool, bool)> {
        let reads = self.stalled_until.is_none();
        let connections = self.connections.iter().map(move |connection| {
            let backlog = connection.out_sent < connection.out.len() || self.is_behind(connection);
            (connection.socket.as_fd(), reads, backlog)
        });
        std::iter::once((self.listener.as_fd(), true, false)).chain(connections)
    }

    fn is_behind(&self, connection: &Connection) -> bool {
        connection
            .account
            .and_then(|account| self.streams.get(usize::from(account)))
            .is_some_and(|stream| !connection.is_over && connection.taken < stream.bytes.len())
    }

    /// Accepts, reads and watches over silence; what happened is appended to `events`.
    pub fn read(&mut self, events: &mut Vec<Event>) {
        self.accept();
        if self.stalled_until.is_some_and(|until| Instant::now() >= until) {
            self.stalled_until = None;
        }
        let mut chunk = [0; 16 * 1024];
        for at in 0..self.connections.len() {
            while self.stalled_until.is_none() && self.connections[at].end.is_none() {
                match self.connections[at].socket.read(&mut chunk) {
                    Ok(0) => self.connections[at].end = Some("closed by the client"),
                    Ok(length) => {
                        self.connections[at].last_received = Instant::now();
                        self.take(at, &chunk[..length], events);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => self.connections[at].end = Some("reset by the client"),
                }
            }
        }
        self.watch();
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if socket.set_nonblocking(true).is_err() || socket.set_nodelay(true).is_err() {
                continue;
            }
            let now = Instant::now();
            self.connections.push(Connection {
                socket,
                deframer: Box::default(),
                account: None,
                out: Vec::new(),
                out_sent: 0,
                is_over: false,
                taken: 0,
                last_sent: now,
                last_received: now,
                end: None,
            });
        }
    }

    /// Heartbeats that are due, and clients that are silent for too long. A stall is ours, not the clients'.
    fn watch(&mut self) {
        let stalled = self.stalled_until.is_some();
        for connection in &mut self.connections {
            let patience = if connection.account.is_some() { SILENCE } else { LOGIN };
            if !stalled && connection.end.is_none() && connection.last_received.elapsed() > patience {
                connection.end = Some("silent for too long");
            }
            if connection.account.is_some() && connection.last_sent.elapsed() >= HEARTBEAT {
                connection.put(&Packet::ServerHeartbeat);
                connection.last_sent = Instant::now();
            }
        }
    }

    fn take(&mut self, at: usize, mut bytes: &[u8], events: &mut Vec<Event>) {
        // The deframer is taken out for the time of the loop: handling a packet needs all of the gateway.
        let mut deframer = std::mem::take(&mut self.connections[at].deframer);
        while self.connections[at].end.is_none() {
            match deframer.next(&mut bytes) {
                Ok(Some(frame)) => match frame.packet() {
                    Ok(packet) => self.packet(at, packet, events),
                    Err(soup::PacketError::Unknown { .. }) => {}
                    Err(soup::PacketError::Truncated { .. }) => {
                        self.connections[at].end = Some("sent a truncated packet");
                    }
                },
                Ok(None) => break,
                Err(_) => self.connections[at].end = Some("sent what is no SoupBinTCP"),
            }
        }
        self.connections[at].deframer = deframer;
    }

    fn packet(&mut self, at: usize, packet: Packet<'_>, events: &mut Vec<Event>) {
        match (packet, self.connections[at].account) {
            (Packet::LoginRequest(request), None) => self.login(at, request, events),
            (Packet::UnsequencedData(_), Some(_)) if self.read_only => {
                self.connections[at].end = Some("sent a message on a read-only stream");
            }
            (Packet::UnsequencedData(message), Some(account)) => {
                events.push(Event::Message { account, bytes: message.to_vec() });
                self.order_messages += 1;
                self.fail_on_request(at);
            }
            (Packet::LogoutRequest, _) => self.connections[at].end = Some("logged out"),
            (Packet::ClientHeartbeat | Packet::Debug(_), _) => {}
            (_, None) => self.connections[at].end = Some("sent something else than a login"),
            (_, Some(_)) => {}
        }
    }

    fn login(&mut self, at: usize, request: &LoginRequest, events: &mut Vec<Event>) {
        let name = request.username.to_string();
        let user = self.users.iter().position(|u| request.has_credentials(u.name.as_bytes(), u.password.as_bytes()));
        let session_fits = request.requested_session.is_blank()
            || request.requested_session.trimmed().eq_ignore_ascii_case(self.session.trimmed());
        let refusal = match user {
            None => Some(RejectCode::NotAuthorized),
            Some(_) if !session_fits => Some(RejectCode::SessionNotAvailable),
            Some(_) => None,
        };
        if let Some(code) = refusal {
            self.connections[at].put(&Packet::LoginRejected(&LoginRejected { reject_reason_code: code.byte() }));
            self.connections[at].end = Some("login refused");
            events.push(Event::Refused { name });
            return;
        }
        let account = user.unwrap_or_default() as u16;
        let stream = &self.streams[usize::from(account)];
        let next = stream.starts.len() as u64 + 1;
        // 0 is read as "new messages only"; a number that is too high is brought down to the next one.
        let sequence = match request.requested_sequence_number.get() {
            Some(0) => next,
            Some(wanted) => wanted.min(next),
            None => 1,
        };
        let taken = stream.starts.get(sequence as usize - 1).copied().unwrap_or(stream.bytes.len());
        let accepted = LoginAccepted {
            session: Session::right_justified(self.session.trimmed()),
            sequence_number: AsciiNumber::new(sequence),
        };
        let connection = &mut self.connections[at];
        connection.put(&Packet::LoginAccepted(&accepted));
        connection.account = Some(account);
        connection.taken = taken;
        self.logins += 1;
        events.push(Event::Login { account, sequence });
    }

    fn fail_on_request(&mut self, at: usize) {
        if let Some((after, duration)) = self.faults.stall
            && self.order_messages >= after
        {
            self.faults.stall = None;
            self.stalled_until = Some(Instant::now() + duration);
        }
        if self.faults.reset_after.is_some_and(|after| self.order_messages >= after) {
            self.faults.reset_after = None;
            let connection = &mut self.connections[at];
            // The start of a packet that never ends, then a reset instead of a close.
            let _sent = connection.socket.write(&[0, 40, soup::kind::SEQUENCED_DATA, b'E', 0]);
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            let _set = setsockopt(&connection.socket, sockopt::Linger, &linger);
            connection.out.clear();
            connection.out_sent = 0;
            connection.end = Some("reset on request");
        }
    }

    /// Sends what the kernel takes, and lets go of connections that ended.
    pub fn write(&mut self, events: &mut Vec<Event>) {
        for connection in &mut self.connections {
            if connection.end.is_some() && connection.out_sent == connection.out.len() {
                continue;
            }
            let stream = connection.account.and_then(|account| self.streams.get(usize::from(account)));
            connection.write(stream);
        }
        let mut at = 0;
        while at < self.connections.len() {
            let Some(reason) = self.connections[at].end else {
                at += 1;
                continue;
            };
            let gone = self.connections.swap_remove(at);
            if let Some(account) = gone.account {
                let last = !self.connections.iter().any(|other| other.account == Some(account));
                events.push(Event::Disconnect { account, last, reason });
            }
        }
    }

    /// Whether every connection has got its whole stream.
    pub fn is_flushed(&self) -> bool {
        self.connections.iter().all(|c| c.out_sent == c.out.len() && !self.is_behind(c))
    }

    /// Ends the session for all: "end of session", then close.
    pub fn end_of_session(&mut self) {
        for connection in self.connections.iter_mut().filter(|connection| connection.account.is_some()) {
            connection.put(&Packet::EndOfSession);
            let stream = connection.account.and_then(|account| self.streams.get(usize::from(account)));
            connection.write(stream);
            connection.is_over = true;
        }
    }

    /// When something is due without any descriptor saying so.
    pub fn until_deadline(&self) -> Duration {
        let heartbeat = self.connections.iter().map(|c| HEARTBEAT.saturating_sub(c.last_sent.elapsed())).min();
        let stall = self.stalled_until.map(|until| until.saturating_duration_since(Instant::now()));
        heartbeat.unwrap_or(HEARTBEAT).min(stall.unwrap_or(HEARTBEAT))
    }
}

impl Connection {
    /// Puts a packet behind what is on its way already; `out` always ends with a whole packet.
    fn put(&mut self, packet: &Packet<'_>) {
        let mut buf = [0; 64];
        if let Ok(length) = soup::write(&mut buf, packet) {
            self.out.extend_from_slice(&buf[..length]);
        }
    }

    fn write(&mut self, stream: Option<&Stream>) {
        loop {
            if self.out_sent == self.out.len() {
                self.out.clear();
                self.out_sent = 0;
                let Some(stream) = stream.filter(|stream| !self.is_over && self.taken < stream.bytes.len()) else {
                    return;
                };
                let mut upto = (self.taken + OUTBOUND_CHUNK_BYTES).min(stream.bytes.len());
                if upto < stream.bytes.len() {
                    // Whole packets: something else may have to go between them.
                    let index = stream.starts.partition_point(|&start| start <= upto);
                    upto = stream.starts[index - 1];
                }
                self.out.extend_from_slice(&stream.bytes[self.taken..upto]);
                self.taken = upto;
            }
            match self.socket.write(&self.out[self.out_sent..]) {
                Ok(length) => {
                    self.out_sent += length;
                    self.last_sent = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.out_sent = self.out.len();
                    self.end.get_or_insert("reset by the client");
                    return;
                }
            }
        }
    }
}
