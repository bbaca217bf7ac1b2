//! The stream: made once, held against what it must be, and read.

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value as Json, json};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::batch::{BATCH_HEADER, Part};
use super::client::Connection;
use crate::store::StoreError;

/// Codes of JetStream's errors.
const NO_STREAM: u64 = 10_059;
const NO_MESSAGE: u64 = 10_037;
/// How long a second message with the same id is known to be one. A sink does not need it: it is a second lock.
const DUPLICATES_NS: u64 = 120_000_000_000;
/// How long a monitor may take.
const MONITOR: Duration = Duration::from_secs(3);
const MONITOR_BYTES: u64 = 1 << 20;

/// A stream, as a sink makes it.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    /// `tern.HOST`: what the subjects of the tables begin with.
    pub(super) subject: String,
    pub(super) replicas: u64,
}

/// A message of the stream.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) subject: String,
    pub(super) part: Part,
    pub(super) body: Vec<u8>,
}

/// What a request to JetStream came to: its answer, or the code and words of its error.
pub(super) fn told(answer: Json) -> Result<Json, (u64, String)> {
    match answer.get("error") {
        None => Ok(answer),
        Some(error) => {
            let words = error["description"].as_str().unwrap_or("an error without words").to_owned();
            Err((error["err_code"].as_u64().unwrap_or(0), words))
        }
    }
}

fn gone(error: impl Into<anyhow::Error>) -> StoreError {
    StoreError::Gone(error.into())
}

impl Stream {
    /// Messages that it has had so far: the number of the last one. It is made where it is not there and `make` says so.
    ///
    /// # Errors
    /// `Refused` where it is not what a sink would make.
    pub(super) fn last(&self, connection: &mut Connection, make: bool) -> Result<u64, StoreError> {
        let ask = |connection: &mut Connection, what: &str, body: &Json| {
            connection.ask(&format!("$JS.API.STREAM.{what}.{}", self.name), body).map(told).map_err(gone)
        };
        let info = match ask(connection, "INFO", &json!({}))? {
            Err((NO_STREAM, _)) if make => ask(connection, "CREATE", &self.wanted())?,
            other => other,
        };
        let info = match info {
            Ok(info) => info,
            Err((NO_STREAM, words)) => return Err(StoreError::Refused(anyhow!("stream `{}`: {words}", self.name))),
            // No leader, no quorum, too few servers: they may come.
            Err((code, words)) => return Err(gone(anyhow!("stream `{}`: {words} ({code})", self.name))),
        };
        self.check(&info["config"]).map_err(StoreError::Refused)?;
        info["state"]["last_seq"]
            .as_u64()
            .ok_or_else(|| gone(anyhow!("stream `{}` does not say how far it is", self.name)))
    }

    fn wanted(&self) -> Json {
        json!({
            "name": self.name, "subjects": [format!("{}.>", self.subject)], "storage": "file", "num_replicas": self.replicas,
            "retention": "limits", "discard": "new", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0,
            "max_msgs_per_subject": -1, "max_msg_size": -1, "duplicate_window": DUPLICATES_NS, "deny_delete": true,
            "deny_purge": true, "allow_direct": true,
        })
    }

    /// What would lose messages, delete them by itself, or let others write them.
    fn check(&self, config: &Json) -> Result<()> {
        const SAME: [&str; 10] = [
            "subjects",
            "storage",
            "retention",
            "discard",
            "deny_delete",
            "deny_purge",
            "max_age",
            "max_msgs",
            "max_bytes",
            "max_msgs_per_subject",
        ];
        let wanted = self.wanted();
        for key in SAME {
            if config[key] != wanted[key] {
                bail!(
                    "stream `{}` has {key} {}, a sink's has {}: name another one (--stream)",
                    self.name,
                    config[key],
                    wanted[key]
                );
            }
        }
        // Without acknowledgements nothing is known to be stored; another stream's messages are no sink's.
        let has = |key: &str| match &config[key] {
            Json::Null | Json::Bool(false) => false,
            Json::Array(all) => !all.is_empty(),
            _ => true,
        };
        if let Some(key) = ["no_ack", "mirror", "sources"].into_iter().find(|key| has(key)) {
            bail!("stream `{}` has {key} {}, a sink's has none: name another one (--stream)", self.name, config[key]);
        }
        let replicas = config["num_replicas"].as_u64().unwrap_or(0);
        if replicas < self.replicas {
            bail!(
                "stream `{}` has {replicas} replicas, asked for are {} (--replicas): have the stream changed, or ask for fewer",
                self.name,
                self.replicas
            );
        }
        Ok(())
    }

    /// The message of this number.
    pub(super) fn message(&self, connection: &mut Connection, number: u64) -> Result<Stored, StoreError> {
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.name);
        match told(connection.ask(&subject, &json!({ "seq": number })).map_err(gone)?) {
            Ok(answer) => stored(&answer).map_err(|error| {
                StoreError::Refused(error.context(format!("message {number} of stream `{}` is no sink's", self.name)))
            }),
            Err((NO_MESSAGE, words)) => Err(StoreError::Refused(anyhow!(
                "message {number} of stream `{}`, by which a sink knows where to go on: {words}",
                self.name
            ))),
            Err((code, words)) => Err(gone(anyhow!("message {number} of stream `{}`: {words} ({code})", self.name))),
        }
    }
}

/// A message, out of the answer of the request for it.
pub(super) fn stored(answer: &Json) -> Result<Stored> {
    let message = &answer["message"];
    let bytes = |key: &str| base64(message[key].as_str().unwrap_or_default()).with_context(|| format!("its {key}"));
    let headers = String::from_utf8(bytes("hdrs")?).context("its headers")?;
    let prefix = format!("{BATCH_HEADER}: ");
    let part = headers.lines().find_map(|line| line.strip_prefix(&prefix)).context("it has no header Tern-Batch")?;
    let part = serde_json::from_str(part).context("its header Tern-Batch is not one that this build writes")?;
    let subject = message["subject"].as_str().unwrap_or_default().to_owned();
    Ok(Stored { subject, part, body: bytes("data")? })
}

/// Base64 with the usual alphabet.
fn base64(text: &str) -> Result<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut out, mut word, mut bits) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => bail!("not base64"),
        };
        word = word << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
        }
    }
    Ok(out)
}

/// Those of `monitors` that did not answer, which is said; all that did, sync.
///
/// # Errors
/// `Refused` where a server does not sync.
pub(super) fn check_syncs(monitors: &[String]) -> Result<Vec<String>, StoreError> {
    let mut silent = Vec::new();
    for monitor in monitors {
        match check_sync(monitor) {
            Err(StoreError::Gone(error)) => {
                eprintln!("tern-sink: {error:#}: not known whether it syncs");
                silent.push(monitor.clone());
            }
            other => other?,
        }
    }
    Ok(silent)
}

/// Whether the server whose monitor is at `address` (`host:port`) syncs each message before it says that it has it.
///
/// # Errors
/// It does not, or does not answer.
fn check_sync(address: &str) -> Result<(), StoreError> {
    let answer = monitor(address).with_context(|| format!("monitor {address}")).map_err(gone)?;
    let config = &answer["config"];
    if config["sync_always"] == true {
        return Ok(());
    }
    Err(StoreError::Refused(anyhow!(
        "the server at {address} does not sync each message (its sync_interval is {} ns): a power cut would take what it said it \
         has. Set `sync_interval: always` in the block `jetstream` of its configuration",
        config["sync_interval"]
    )))
}

fn monitor(address: &str) -> Result<Json> {
    let one = address.to_socket_addrs()?.next().context("it names no address")?;
    let mut stream = TcpStream::connect_timeout(&one, MONITOR)?;
    stream.set_read_timeout(Some(MONITOR))?;
    stream.write_all(format!("GET /jsz?config=true HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.take(MONITOR_BYTES).read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("its answer has no end")?;
    if head.split_ascii_whitespace().nth(1) != Some("200") {
        bail!("it answers {}", head.lines().next().unwrap_or_default());
    }
    serde_json::from_str(body).context("its answer is no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_others_write_it() {
        let cases = [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")];
        for (text, bytes) in cases {
            assert_eq!(base64(text).expect("good"), bytes.as_bytes());
        }
        assert_eq!(base64("+/8=").expect("good"), [0xFB, 0xFF]);
        assert!(base64("Zm9v!").is_err());
    }
}
