//! What systemd is told (sd_notify(3)): that the instance works, how it fares, that its supervisor turns, that it ends. Without
//! NOTIFY_SOCKET nothing is told.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// What `ternd` keeps to itself: its children are not the service's main process.
pub(crate) const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// How often the line about how the instance fares may change.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where systemd listens, and what it was told.
pub(crate) struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Watchdog>,
    status: String,
    is_ready: bool,
    look_due: Instant,
}

/// systemd ends a service that does not say in time that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watchdog {
    every: Duration,
    due: Instant,
    /// Turns of the drain at the last sign of life.
    turns: u64,
}

impl Notify {
    /// As the environment says. `blocks_ms_max` is how long the supervisor may stand still for good reasons: a watchdog that is
    /// less patient is told to be.
    pub(crate) fn from_environment(blocks_ms_max: u64) -> Self {
        let own = env::var("WATCHDOG_PID").map_or(Ok(std::process::id()), |pid| pid.parse());
        let is_meant = own == Ok(std::process::id());
        let usec = env::var("WATCHDOG_USEC").ok().filter(|_| is_meant).and_then(|usec| usec.parse().ok());
        Self::new(env::var_os("NOTIFY_SOCKET"), usec, blocks_ms_max)
    }

    fn new(socket: Option<OsString>, watchdog_usec: Option<u64>, blocks_ms_max: u64) -> Self {
        let to = socket.and_then(|name| {
            open(&name)
                .inspect_err(|error| tracing::warn!(socket = ?name, "systemd cannot be told anything: {error}"))
                .ok()
        });
        let wanted_usec = blocks_ms_max.saturating_mul(2000);
        let notify = |usec: u64| Watchdog {
            // Four signs of life in a time.
            every: Duration::from_micros(usec / 4),
            due: Instant::now(),
            turns: 0,
        };
        let made = Self { watchdog: None, to, status: String::new(), is_ready: false, look_due: Instant::now() };
        let watchdog = watchdog_usec.filter(|usec| *usec > 0 && made.to.is_some()).map(|usec| {
            if usec < wanted_usec {
                made.send(&format!("WATCHDOG_USEC={wanted_usec}"));
            }
            notify(usec.max(wanted_usec))
        });
        Self { watchdog, ..made }
    }

    fn send(&self, text: &str) {
        let Some((socket, to)) = &self.to else { return };
        // It does not wait: a manager that is busy must not stop the supervisor.
        if let Err(error) = socket.send_to_addr(text.as_bytes(), to) {
            tracing::debug!("systemd was not told {text:?}: {error}");
        }
    }

    /// Whether somebody listens, and it is time to look how the instance fares.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.to.is_some() && now >= self.look_due;
        if is_due {
            self.look_due = now + LOOK_EVERY;
        }
        is_due
    }

    /// The instance works, once; what is said of it changes.
    pub(crate) fn tell(&mut self, is_ready: bool, status: &str) {
        let now_ready = is_ready && !self.is_ready;
        if now_ready {
            self.is_ready = true;
            self.send(&format!("READY=1\nSTATUS={status}"));
        } else if status != self.status {
            self.send(&format!("STATUS={status}"));
        }
        status.clone_into(&mut self.status);
    }

    /// The supervisor turns, and the drain has made so many turns: a sign of life if both go on.
    pub(crate) fn turn(&mut self, drain_turns: u64, now: Instant) {
        let Some(watchdog) = &mut self.watchdog else { return };
        if now >= watchdog.due && drain_turns != watchdog.turns {
            (watchdog.due, watchdog.turns) = (now + watchdog.every, drain_turns);
            self.send("WATCHDOG=1");
        }
    }

    /// The end begins, and may take so long.
    pub(crate) fn stopping(&mut self, within: Duration) {
        "ending: cancels all orders, logs out, writes what is left".clone_into(&mut self.status);
        self.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS={}", within.as_micros(), self.status));
    }

    /// Asked to load something anew, which it does not: said in the way that systemd 252 knows of.
    pub(crate) fn nothing_to_reload(&self) {
        self.send("RELOADING=1");
        self.send("READY=1");
    }
}

fn open(name: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// systemd's side, and what it heard.
    fn manager(name: &str) -> (UnixDatagram, OsString) {
        let name = format!("tern-notify-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        socket.set_nonblocking(true).expect("it does not block");
        (socket, format!("@{name}").into())
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        let mut all = Vec::new();
        while let Ok(count) = socket.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        all
    }

    #[test]
    fn it_is_ready_once_and_what_changes_is_told() {
        let (socket, name) = manager("ready");
        let mut notify = Notify::new(Some(name), None, 10_000);
        notify.tell(false, "waits for: data_plane_up");
        notify.tell(false, "waits for: data_plane_up");
        assert_eq!(heard(&socket), ["STATUS=waits for: data_plane_up"]);
        notify.tell(true, "trading");
        notify.tell(true, "trading");
        notify.tell(false, "no order leaves: killed");
        assert_eq!(heard(&socket), ["READY=1\nSTATUS=trading", "STATUS=no order leaves: killed"]);
        notify.turn(5, Instant::now());
        assert!(heard(&socket).is_empty(), "no watchdog was asked for");
        notify.nothing_to_reload();
        notify.stopping(Duration::from_secs(7));
        let said = heard(&socket);
        assert_eq!(said[..2], ["RELOADING=1", "READY=1"]);
        assert!(said[2].starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=7000000\nSTATUS=ending"), "{said:?}");
    }

    #[test]
    fn signs_of_life_come_from_turns_of_the_supervisor_while_the_drain_turns_too() {
        let (socket, name) = manager("watchdog");
        let mut notify = Notify::new(Some(name), Some(8_000_000), 1000);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for (turns, ms) in [(1, 10), (2, 20), (3, 1900), (4, 2100), (4, 4200), (4, 9000), (5, 9100)] {
            notify.turn(turns, at(ms));
        }
        // At 10, 2100 and 9100 ms: in between it was not due, or the drain stood still.
        assert_eq!(heard(&socket), ["WATCHDOG=1"; 3]);
    }

    #[test]
    fn a_watchdog_that_would_bite_in_the_middle_of_a_rescue_is_told_to_wait() {
        let (socket, name) = manager("patience");
        let mut notify = Notify::new(Some(name), Some(3_000_000), 15_000);
        assert_eq!(heard(&socket), ["WATCHDOG_USEC=30000000"]);
        let start = Instant::now();
        notify.turn(1, start);
        notify.turn(2, start + Duration::from_secs(7));
        notify.turn(3, start + Duration::from_secs(8));
        assert_eq!(heard(&socket), ["WATCHDOG=1"; 2]);
    }

    #[test]
    fn without_a_manager_or_with_one_that_is_gone_nothing_happens() {
        let (socket, name) = manager("gone");
        drop(socket);
        for socket in [None, Some(name), Some("nonsense".into()), Some("/nonexistent/notify".into())] {
            let mut notify = Notify::new(socket, Some(1_000_000), 0);
            notify.tell(true, "trading");
            notify.turn(1, Instant::now());
            notify.stopping(Duration::ZERO);
        }
    }
}
