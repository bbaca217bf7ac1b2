//! Lines from a client and answers to it, each within a time and a length, on a socket whose calls come back every so often.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use tern_config::protocol::{Answer, LINE_BYTES_MAX, PROTOCOL_VERSION, Response};

use super::Bounds;

/// Bytes that are taken from the socket at a time.
const READ_BYTES: usize = 4096;

/// What came of waiting for a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// One, without its end.
    Whole(&'l [u8]),
    /// The client has closed, or the daemon stops.
    End,
    /// Nothing was asked for too long.
    Idle,
    /// A line began and did not end in time.
    Slow,
    /// A line is longer than any request.
    Oversized,
}

/// The lines of a client. Never holds more than one of the greatest length and what is read at a time.
pub(super) struct Lines<'s> {
    stream: &'s UnixStream,
    bytes: Vec<u8>,
    /// Bytes at the front that were given out.
    used: usize,
}

impl<'s> Lines<'s> {
    pub(super) fn new(stream: &'s UnixStream) -> Self {
        Self { stream, bytes: Vec::new(), used: 0 }
    }

    /// Waits for the next line.
    ///
    /// # Errors
    /// What the socket reported.
    pub(super) fn next(&mut self, bounds: &Bounds, is_serving: &dyn Fn() -> bool) -> io::Result<Line<'_>> {
        self.bytes.drain(..self.used);
        self.used = 0;
        let waits_since = Instant::now();
        let mut began = (!self.bytes.is_empty()).then_some(waits_since);
        let mut searched = 0;
        loop {
            if let Some(end) = self.bytes[searched..].iter().position(|byte| *byte == b'\n') {
                let length = searched + end;
                self.used = length + 1;
                return Ok(if length > LINE_BYTES_MAX { Line::Oversized } else { Line::Whole(&self.bytes[..length]) });
            }
            searched = self.bytes.len();
            if searched > LINE_BYTES_MAX {
                return Ok(Line::Oversized);
            }
            let mut buffer = [0; READ_BYTES];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Line::End),
                Ok(count) => {
                    began.get_or_insert_with(Instant::now);
                    self.bytes.extend_from_slice(&buffer[..count]);
                }
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error),
            }
            if !is_serving() {
                return Ok(Line::End);
            }
            // By the clock, and not by how often nothing came: one byte now and then is slow too.
            match began {
                Some(began) if began.elapsed() >= bounds.line => return Ok(Line::Slow),
                None if waits_since.elapsed() >= bounds.idle => return Ok(Line::Idle),
                _ => {}
            }
        }
    }
}

/// Nothing came, or nothing went, for a moment.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn bytes_of(answer: Answer) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Response { version: PROTOCOL_VERSION, answer })?;
    line.push(b'\n');
    Ok(line)
}

/// Sends an answer; `false` when the client did not take it in time, or the daemon stops.
///
/// # Errors
/// What the socket reported.
pub(super) fn send(
    mut stream: &UnixStream,
    answer: Answer,
    bounds: &Bounds,
    is_serving: &dyn Fn() -> bool,
) -> io::Result<bool> {
    let line = bytes_of(answer)?;
    let began = Instant::now();
    let mut left = &line[..];
    while !left.is_empty() {
        match stream.write(left) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Ok(count) => left = &left[count..],
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
        if !left.is_empty() && (began.elapsed() >= bounds.line || !is_serving()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sends as much of an answer as the socket takes at once.
///
/// # Errors
/// What the socket reported.
pub(super) fn send_at_once(mut stream: &UnixStream, answer: Answer) -> io::Result<()> {
    stream.write_all(&bytes_of(answer)?)
}
