//! What is said on the daemon's control socket: one JSON object a line, a request and its response in turn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::DaemonFacts;

/// Version of this protocol; both sides say theirs.
pub const PROTOCOL_VERSION: u32 = 4;

/// Longest line that is taken, bytes.
pub const LINE_BYTES_MAX: usize = 65_536;

/// A line to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`PROTOCOL_VERSION`] of the one who asks.
    pub version: u32,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// How things stand.
    Status,
    /// Stop trading and cancel all. The kill word is set before anything else.
    Kill,
    /// Trade again, unless somebody killed since.
    Resume {
        /// Kills that the one who asks has seen: what `status` said.
        kills: u32,
    },
    /// Cancel all open orders and go on trading.
    CancelAll,
    /// Let a scope run again, unless somebody restricted it since.
    Lift {
        /// What the scope is about: `firm`, `venue`, `strategy` or `symbol`.
        kind: String,
        /// Which one.
        key: u64,
        /// Changes of the scope that the one who asks has seen: what `status` said.
        changes: u16,
    },
    /// Set a limit.
    SetLimit {
        /// Index of the limit, by the names of the data plane's facts.
        limit: u32,
        /// New value.
        value: i64,
    },
    /// Accept what journal and venue's log say differently after a restart.
    AcceptDifferences {
        /// How many there are, for the one who asks has looked at them.
        seen: u32,
    },
    /// The loop's counters.
    Counters,
    /// Where the journal stands.
    Journal,
}

/// A line from the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// [`PROTOCOL_VERSION`] of the daemon.
    pub version: u32,
    /// What came of the request.
    pub answer: Answer,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To `status` and `journal`.
    Status(Box<DaemonFacts>),
    /// To `counters`: by name, refusals by reason included.
    Counters(BTreeMap<String, u64>),
    /// To a command: handed to the loop; `taken` says whether the loop took and recorded it within the time waited.
    Command {
        /// The loop took it.
        taken: bool,
    },
    /// To `resume`: refused, somebody killed after the one who asked had looked.
    KilledSince {
        /// Kills by now.
        kills: u32,
    },
    /// To `lift`: done.
    Lifted,
    /// To `lift`: refused, somebody restricted the scope after the one who asked had looked; or nothing restricts it.
    NotLifted {
        /// Its changes by now; absent when nothing restricts it.
        changes: Option<u16>,
    },
    /// Nothing was done, and why.
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_look_as_documented() {
        let line = serde_json::to_string(&Request { version: 1, ask: Ask::SetLimit { limit: 3, value: -5 } });
        assert_eq!(line.unwrap_or_default(), r#"{"version":1,"ask":{"set_limit":{"limit":3,"value":-5}}}"#);
        let line = serde_json::to_string(&Request { version: 2, ask: Ask::Resume { kills: 7 } });
        assert_eq!(line.unwrap_or_default(), r#"{"version":2,"ask":{"resume":{"kills":7}}}"#);
        assert!(serde_json::from_str::<Request>(r#"{"version":1,"ask":"resume"}"#).is_err(), "of what was it seen?");
        assert!(serde_json::from_str::<Request>(r#"{"version":1,"ask":"kill"}"#).is_ok());
        assert!(serde_json::from_str::<Request>(r#"{"version":1,"ask":"kill","force":true}"#).is_err());
    }
}
