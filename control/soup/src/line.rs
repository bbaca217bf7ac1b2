//! Connections to a venue that read its log. None blocks but while it connects and while it writes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::answers::{Answer, Answers};
use crate::packets::Packet;

/// A session that nobody has named yet: the venue's present one.
pub const ANY_SESSION: [u8; 10] = [b' '; 10];

/// A client says something after so long (SoupBinTCP 3.00, 1.3).
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The venue is gone after so long without a byte (1.3).
const SILENCE: Duration = Duration::from_secs(15);
/// The longest that the kernel may refuse to take bytes.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// Where to log in, as whom, and what to hear.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The venue's address.
    pub address: SocketAddrV4,
    /// User.
    pub user: &'a str,
    /// Password.
    pub password: &'a str,
    /// The session, or [`ANY_SESSION`].
    pub session: [u8; 10],
    /// Number of the first message wanted; 0 = those from now on.
    pub next_seq: u64,
}

/// Takes what is about to leave, before it does: the order that it cancels, or 0, and its bytes, those of a password as
/// `*`. What it refuses does not leave.
pub type Record<'r> = dyn FnMut(u32, &[u8]) -> io::Result<()> + 'r;

/// A line that reads, and writes nothing but what a session needs to live.
///
/// It can send no message at all:
/// ```compile_fail
/// fn send(line: &mut tern_soup::line::CopyLine) {
///     line.cancel(&[1], &mut |_, _| Ok(()));
/// }
/// ```
pub struct CopyLine(Link);

/// A line that reads, and can cancel orders and ask the account query. Whatever leaves is recorded first.
///
/// Nothing else can be sent on it:
/// ```compile_fail
/// fn enter(line: &mut tern_soup::line::CancelLine) {
///     line.send(b"O");
/// }
/// ```
pub struct CancelLine(Link);

impl CopyLine {
    /// Connects and sends the login; what the venue makes of it is heard.
    ///
    /// # Errors
    /// What the kernel reported.
    pub fn open(login: &Login<'_>, patience: Duration) -> io::Result<Self> {
        Link::open(login, patience, &mut |_, _| Ok(())).map(Self)
    }

    /// Appends what came since, if anything did; says whether it did.
    ///
    /// # Errors
    /// The connection is gone, silent for too long, or what came is no packet.
    pub fn hear(&mut self, said: &mut Vec<Answer>) -> io::Result<bool> {
        self.0.hear(said)
    }
}

impl CancelLine {
    /// Connects and sends the login; what the venue makes of it is heard.
    ///
    /// # Errors
    /// What the kernel or `record` reported.
    pub fn open(login: &Login<'_>, patience: Duration, record: &mut Record<'_>) -> io::Result<Self> {
        Link::open(login, patience, record).map(Self)
    }

    /// As [`CopyLine::hear`].
    ///
    /// # Errors
    /// As [`CopyLine::hear`].
    pub fn hear(&mut self, said: &mut Vec<Answer>) -> io::Result<bool> {
        self.0.hear(said)
    }

    /// Cancels all of `orders`, in one go.
    ///
    /// # Errors
    /// What the kernel or `record` reported; in the latter case nothing left.
    pub fn cancel(&mut self, orders: &[u32], record: &mut Record<'_>) -> io::Result<()> {
        let packets: Vec<(u32, Packet<'_>)> = orders.iter().map(|order| (*order, Packet::Cancel(*order))).collect();
        self.0.send(&packets, record)
    }

    /// Asks the account query: its answer stands behind all that the venue says of what was sent before.
    ///
    /// # Errors
    /// As [`CancelLine::cancel`].
    pub fn query(&mut self, record: &mut Record<'_>) -> io::Result<()> {
        self.0.send(&[(0, Packet::Query)], record)
    }

    /// Ends the session.
    ///
    /// # Errors
    /// As [`CancelLine::cancel`].
    pub fn log_out(mut self, record: &mut Record<'_>) -> io::Result<()> {
        self.0.send(&[(0, Packet::LogOut)], record)
    }
}

struct Link {
    socket: TcpStream,
    answers: Answers,
    sent: Instant,
    heard: Instant,
}

impl Link {
    fn open(login: &Login<'_>, patience: Duration, record: &mut Record<'_>) -> io::Result<Self> {
        let hidden = "*".repeat(login.password.len());
        let packet =
            |password| Packet::Login { user: login.user, password, session: login.session, next_seq: login.next_seq };
        let socket = TcpStream::connect_timeout(&SocketAddr::V4(login.address), patience)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let now = Instant::now();
        let mut link = Self { socket, answers: Answers::default(), sent: now, heard: now };
        let mut shown = Vec::new();
        packet(&hidden).write(&mut shown);
        record(0, &shown)?;
        link.send(&[(0, packet(login.password))], &mut |_, _| Ok(()))?;
        Ok(link)
    }

    fn send(&mut self, packets: &[(u32, Packet<'_>)], record: &mut Record<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (order, packet) in packets {
            let from = bytes.len();
            packet.write(&mut bytes);
            record(*order, &bytes[from..])?;
        }
        self.sent = Instant::now();
        let deadline = self.sent + WRITE_PATIENCE;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                    sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn hear(&mut self, said: &mut Vec<Answer>) -> io::Result<bool> {
        let mut bytes = [0; 16 * 1024];
        let count = match self.socket.read(&mut bytes) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the venue closed the connection")),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return self.keep_alive().map(|()| false);
            }
            Err(error) => return Err(error),
        };
        self.heard = Instant::now();
        self.answers.take(&bytes[..count], said);
        if self.answers.is_broken() {
            return Err(io::Error::new(ErrorKind::InvalidData, "the venue sent what is no SoupBinTCP packet"));
        }
        self.keep_alive()?;
        Ok(true)
    }

    fn keep_alive(&mut self) -> io::Result<()> {
        if self.heard.elapsed() >= SILENCE {
            return Err(io::Error::new(ErrorKind::TimedOut, "the venue is silent"));
        }
        if self.sent.elapsed() >= HEARTBEAT {
            // A sign of life of the connection, and no message: like those of the loop it is not recorded.
            self.send(&[(0, Packet::Heartbeat)], &mut |_, _| Ok(()))?;
        }
        Ok(())
    }
}
