//! The daemon's control socket, from the client's side.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tern_config::Paths;
use tern_config::protocol::{Answer, Ask, LINE_BYTES_MAX, PROTOCOL_VERSION, Request, Response, version_of};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the daemon.
///
/// # Errors
/// What kept it from answering; an answer of another protocol version is an error as well.
pub(crate) fn ask(paths: &Paths, ask: Ask) -> io::Result<Answer> {
    ask_within(paths, ask, PATIENCE)
}

/// As [`ask`], for what takes longer.
///
/// # Errors
/// As [`ask`].
pub(crate) fn ask_within(paths: &Paths, ask: Ask, patience: Duration) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(paths.control_socket())?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&Request { version: PROTOCOL_VERSION, ask })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut line = Vec::new();
    BufReader::new(stream).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    // The version first: the answer of another one may not even be an answer of this one.
    if let Some(version) = version_of(&line).filter(|version| *version != PROTOCOL_VERSION) {
        let message = format!(
            "ternd speaks protocol version {version}, this tern {PROTOCOL_VERSION}; {}, or use the tern of ternd's release",
            if version < PROTOCOL_VERSION { "ternd is older: upgrade ternd" } else { "tern is older: upgrade tern" }
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let response: Response = serde_json::from_slice(&line)?;
    Ok(response.answer)
}
