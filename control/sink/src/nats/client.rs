//! The client's side of NATS, as far as a sink needs it: one connection, requests, and messages with headers.
//!
//! Protocol: lines that end in CR LF, `HPUB`, `MSG` and `HMSG` with so many bytes behind them.

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value as Json, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take: a cluster that chooses a leader anew needs some seconds.
const ANSWER: Duration = Duration::from_secs(5);
/// Longest line, and longest message: more than servers allow.
const LINE_MAX: u64 = 1 << 20;
const MESSAGE_MAX: usize = 64 << 20;

/// A connection.
pub(super) struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    inbox: String,
    /// Largest message that the server takes.
    pub(super) payload_max: usize,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Message {
    /// The number in the subject that it was sent to: of the request that it answers.
    pub(super) request: u64,
    /// `NATS/1.0 503` and its like have a status.
    status: Option<u16>,
    pub(super) body: Vec<u8>,
}

/// Who logs in.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) token: Option<String>,
}

impl Connection {
    /// With the server at `address` (`host:port`).
    pub(super) fn open(address: &str, login: &Login, random: u64) -> Result<Self> {
        let mut last = anyhow!("{address}: it names no address");
        let addresses = address.to_socket_addrs().with_context(|| format!("{address}: no such host, or no port"))?;
        for one in addresses {
            match TcpStream::connect_timeout(&one, CONNECT) {
                Ok(stream) => return Self::begin(stream, login, random).with_context(|| address.to_owned()),
                Err(error) => last = anyhow!(error).context(address.to_owned()),
            }
        }
        Err(last)
    }

    fn begin(stream: TcpStream, login: &Login, random: u64) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let reader = BufReader::with_capacity(1 << 16, stream.try_clone()?);
        let inbox = format!("_INBOX.tern-sink-{random:016x}");
        let mut connection = Self { reader, writer: stream, inbox, payload_max: 1 << 20 };
        let first = connection.line()?;
        let Some(info) = first.strip_prefix("INFO ") else { bail!("it is no NATS server: {first:?}") };
        let info: Json = serde_json::from_str(info).context("the server's INFO")?;
        if info["tls_required"] == true {
            bail!("it wants TLS, which tern-sink has not: give it a listener of the host, or a tunnel");
        }
        if info["headers"] != true || info["jetstream"] != true {
            bail!("it has no JetStream");
        }
        connection.payload_max = info["max_payload"].as_u64().unwrap_or(1 << 20) as usize;
        let hello = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "protocol": 1, "name": "tern-sink",
            "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "user": login.user, "pass": login.password,
            "auth_token": login.token,
        });
        let subscribe = format!("CONNECT {hello}\r\nSUB {}.* 1\r\nPING\r\n", connection.inbox);
        connection.writer.write_all(subscribe.as_bytes())?;
        loop {
            match connection.line()?.as_str() {
                "PONG" => return Ok(connection),
                line => connection.aside(line)?,
            }
        }
    }

    /// Sends a request, whose answer comes as [`Message::request`] `request`.
    pub(super) fn send(&mut self, subject: &str, request: u64, headers: &[(&str, &str)], body: &[u8]) -> Result<()> {
        let mut head = String::from("NATS/1.0\r\n");
        headers.iter().for_each(|(name, value)| head.extend([name, ": ", value, "\r\n"]));
        head.push_str("\r\n");
        let line = format!("HPUB {subject} {}.{request} {} {}\r\n", self.inbox, head.len(), head.len() + body.len());
        let whole = [line.as_bytes(), head.as_bytes(), body, b"\r\n"].concat();
        Ok(self.writer.write_all(&whole)?)
    }

    /// The next answer.
    pub(super) fn answer(&mut self) -> Result<Message> {
        let until = Instant::now() + ANSWER;
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let with_headers = match words.first() {
                Some(&"MSG") => false,
                Some(&"HMSG") => true,
                _ => {
                    self.aside(&line)?;
                    // Pings come from a server that does not answer, too.
                    if Instant::now() > until {
                        bail!("no answer within {} s", ANSWER.as_secs());
                    }
                    continue;
                }
            };
            let number = |word: Option<&&str>| word.and_then(|word| word.parse::<usize>().ok());
            let total = number(words.last()).filter(|total| *total <= MESSAGE_MAX);
            let head = if with_headers { number(words.get(words.len().saturating_sub(2))) } else { Some(0) };
            let (Some(total), Some(head)) = (total, head) else { bail!("a message of unknown length: {line:?}") };
            let mut bytes = vec![0; total + 2];
            self.reader.read_exact(&mut bytes)?;
            bytes.truncate(total);
            if head > total {
                bail!("a message with more headers than bytes: {line:?}");
            }
            let body = bytes.split_off(head);
            let status =
                String::from_utf8_lossy(&bytes).split_ascii_whitespace().nth(1).and_then(|code| code.parse().ok());
            let request = words.get(1).and_then(|subject| subject.rsplit('.').next()?.parse().ok());
            let Some(request) = request else { continue };
            return Ok(Message { request, status, body });
        }
    }

    /// Asks, and waits for the answer, which is JSON.
    pub(super) fn ask(&mut self, subject: &str, body: &Json) -> Result<Json> {
        let request = u64::MAX;
        self.send(subject, request, &[], body.to_string().as_bytes())?;
        loop {
            let message = self.answer()?;
            if message.request == request {
                return message.json();
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let count = self.reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(|error| {
            let silent = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            if silent { anyhow!("no answer within {} s", ANSWER.as_secs()) } else { error.into() }
        })?;
        if count == 0 {
            bail!("the server closed the connection");
        }
        let text = String::from_utf8(line).context("a line that is no text")?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// What a server says without being asked.
    fn aside(&mut self, line: &str) -> Result<()> {
        if line == "PING" {
            self.writer.write_all(b"PONG\r\n")?;
        } else if let Some(error) = line.strip_prefix("-ERR ") {
            bail!("the server says {error}");
        }
        Ok(())
    }
}

impl Message {
    /// Its JSON.
    pub(super) fn json(&self) -> Result<Json> {
        match self.status {
            Some(503) => bail!("no server answers for the stream now (503)"),
            Some(code) if self.body.is_empty() => bail!("the server answers with status {code}"),
            _ => serde_json::from_slice(&self.body).context("an answer that is no JSON"),
        }
    }
}
