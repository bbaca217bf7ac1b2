//! Who comes to the control socket, and how much of this daemon he gets: so many connections, so much memory, so much time. A
//! client may be broken, slow or hostile; the drain and the supervisor do not notice, and others find a place.

mod line;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use tern_config::Paths;
use tern_config::protocol::{Answer, Ask, PROTOCOL_VERSION, Request, other_version, version_of};

use crate::DaemonError;
use line::{Line, Lines};
pub(crate) use tally::{Misdeed, Tally};

/// How often a waiting thread looks whether the daemon stops.
const LOOK: Duration = Duration::from_millis(50);
/// Pause behind a connection that was turned away.
const TURNED_AWAY: Duration = Duration::from_millis(1);

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at once.
    pub(crate) clients: usize,
    /// Those of them that are kept for root.
    pub(crate) for_root: usize,
    /// Those of the others that are kept for users who have none yet: a few users with many connections keep nobody out.
    pub(crate) for_newcomers: usize,
    /// Connections of one user, root excepted.
    pub(crate) of_user: usize,
    /// How long a line may take from its first byte to its last, and an answer until it is taken.
    pub(crate) line: Duration,
    /// How long nothing may be asked.
    pub(crate) idle: Duration,
    /// Between two requests of a connection, on average.
    pub(crate) pace: Duration,
    /// Requests that may come at once before that.
    pub(crate) burst: u32,
}

impl Bounds {
    /// Those of a daemon.
    pub(crate) const DAEMON: Self = Self {
        clients: 32,
        for_root: 4,
        for_newcomers: 8,
        of_user: 8,
        line: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        pace: Duration::from_millis(20),
        burst: 50,
    };
}

/// Whoever answers.
pub(crate) trait Host: Sync {
    /// Whether the daemon goes on serving.
    fn is_serving(&self) -> bool;
    /// The answer to a request of the user `uid`.
    fn answer(&self, ask: &Ask, uid: u32) -> Answer;
    /// Where misdeeds are counted.
    fn tally(&self) -> &Tally;
    /// What is due whoever comes; called after each that came, and every 50 ms when nobody does.
    fn turn(&self) {}
}

pub(crate) fn listen(paths: &Paths) -> Result<UnixListener, DaemonError> {
    let path = paths.control_socket();
    let bound = UnixListener::bind(&path).and_then(|listener| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(DaemonError::io(format!("listening on {}", path.display())))
}

/// Until the host stops serving: a thread a client.
pub(crate) fn serve(listener: &UnixListener, host: &impl Host, bounds: &Bounds) {
    let seats = &Seats::default();
    thread::scope(|scope| {
        while host.is_serving() {
            host.turn();
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(LOOK);
                continue;
            };
            let Ok(uid) = getsockopt(&stream, PeerCredentials).map(|who| who.uid()) else { continue };
            let seat = match seats.take(uid, bounds) {
                Ok(seat) => seat,
                Err(why) => {
                    host.tally().note(Misdeed::Refused, uid);
                    // It fits into the buffer of a socket that nobody has written to: this waits for nobody.
                    let _ = stream.set_nonblocking(true).and_then(|()| line::send_at_once(&stream, Answer::Error(why)));
                    // Whoever comes in thousands waits in the kernel's queue, which has an end.
                    thread::sleep(TURNED_AWAY);
                    continue;
                }
            };
            let client = move || {
                let seat = seat;
                if let Err(error) = converse(&stream, seat.uid, host, bounds) {
                    tracing::debug!(uid = seat.uid, "client: {error}");
                }
            };
            if let Err(error) = thread::Builder::new().name("tern-client".into()).spawn_scoped(scope, client) {
                host.tally().note(Misdeed::Refused, uid);
                tracing::debug!(uid, "no thread for a client: {error}");
                thread::sleep(LOOK);
            }
        }
    });
}

/// Who sits where.
#[derive(Debug, Default)]
struct Seats(Mutex<BTreeMap<u32, usize>>);

/// A place that is given back however its holder ends.
#[derive(Debug)]
struct Seat<'s> {
    seats: &'s Seats,
    uid: u32,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for `uid`, or why there is none.
    fn take(&self, uid: u32, bounds: &Bounds) -> Result<Seat<'_>, String> {
        let mut taken = self.lock();
        let all: usize = taken.values().sum();
        let own = taken.get(&uid).copied().unwrap_or(0);
        let places = if uid == 0 { bounds.clients } else { bounds.clients.saturating_sub(bounds.for_root) };
        if all >= places {
            return Err(format!("{all} clients are connected already; `tern kill` needs no connection"));
        }
        if uid != 0 && own >= bounds.of_user {
            return Err(format!("the user {uid} has {own} connections already; `tern kill` needs none"));
        }
        if uid != 0 && own > 0 && all >= places.saturating_sub(bounds.for_newcomers) {
            return Err(format!(
                "{all} clients are connected already, and the user {uid} is one of them: what is left is for others; `tern kill` needs no connection"
            ));
        }
        *taken.entry(uid).or_insert(0) += 1;
        Ok(Seat { seats: self, uid })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        let left = taken.get(&self.uid).map_or(0, |own| own.saturating_sub(1));
        if left == 0 {
            taken.remove(&self.uid)
        } else {
            taken.insert(self.uid, left)
        };
    }
}

fn converse(stream: &UnixStream, uid: u32, host: &impl Host, bounds: &Bounds) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(LOOK))?;
    let is_serving = || host.is_serving();
    let mut lines = Lines::new(stream);
    let mut pace = Pace::new(bounds);
    loop {
        let misdeed = match lines.next(bounds, &is_serving)? {
            Line::Whole(line) => {
                thread::sleep(pace.wait(Instant::now()));
                let (answer, misdeed) = answer(line, uid, host);
                if let Some(misdeed) = misdeed {
                    host.tally().note(misdeed, uid);
                }
                match line::send(stream, answer, bounds, &is_serving)? {
                    true => continue,
                    false => Misdeed::Deaf,
                }
            }
            Line::End => return Ok(()),
            Line::Idle => Misdeed::Idle,
            Line::Slow => Misdeed::Slow,
            Line::Oversized => {
                let answer = Answer::Error(format!(
                    "a line longer than any request ({} bytes); the connection ends",
                    tern_config::protocol::LINE_BYTES_MAX
                ));
                line::send(stream, answer, bounds, &is_serving)?;
                Misdeed::Oversized
            }
        };
        host.tally().note(misdeed, uid);
        return Ok(());
    }
}

fn answer(line: &[u8], uid: u32, host: &impl Host) -> (Answer, Option<Misdeed>) {
    // The version first: what another version asks for may not even be a request of this one.
    match (version_of(line), serde_json::from_slice::<Request>(line)) {
        (Some(version), _) if version != PROTOCOL_VERSION => {
            (Answer::Error(other_version(version)), Some(Misdeed::OtherVersion))
        }
        (_, Err(error)) => {
            let text = format!("not a request of protocol version {PROTOCOL_VERSION}: {error}");
            (Answer::Error(text), Some(Misdeed::Garbage))
        }
        (_, Ok(request)) => (host.answer(&request.ask, uid), None),
    }
}

/// Requests of a connection over time: a burst, then one after the other.
#[derive(Debug)]
struct Pace {
    pace: Duration,
    ahead: Duration,
    /// When the requests so far would be over, had they come evenly.
    even: Instant,
}

impl Pace {
    fn new(bounds: &Bounds) -> Self {
        Self { pace: bounds.pace, ahead: bounds.pace * bounds.burst, even: Instant::now() }
    }

    /// How long a request that came `now` has to wait.
    fn wait(&mut self, now: Instant) -> Duration {
        self.even = self.even.max(now) + self.pace;
        self.even.duration_since(now).saturating_sub(self.ahead)
    }
}
