//! What is said on the daemon's control socket: one JSON object a line, a request and its response in turn.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::facts::{DaemonFacts, PendingFact, RescueFact};

/// Version of this protocol; both sides say theirs.
pub const PROTOCOL_VERSION: u32 = 7;

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
    /// Set limits, all of them or none, if those that were seen are still in force.
    SetLimits {
        /// Epoch of the limits that the one who asks has seen.
        epoch: u32,
        /// What changes, by the names of the data plane's facts, in the gate's units.
        values: BTreeMap<String, i64>,
        /// Why, for the journal.
        why: String,
    },
    /// Set the bounds of a symbol's price, if those that were seen are still in force.
    SetBounds {
        /// Epoch of the limits that the one who asks has seen.
        epoch: u32,
        /// Which symbol.
        symbol: String,
        /// Lowest and highest price of an order that it has seen in force, 1/10000.
        seen: [u32; 2],
        /// Those that are wanted.
        wanted: [u32; 2],
        /// Why, for the journal.
        why: String,
    },
    /// Move a part of this instance's allotment of the firm's limits to another instance.
    MoveAllotment {
        /// Which limit, by the gate's name.
        limit: String,
        /// The instance that gets it.
        to: String,
        /// How much, in the limit's unit.
        amount: i64,
        /// Why, for the journal.
        why: String,
    },
    /// Finish a move of this instance's allotment that is half done.
    FinishMove,
    /// Forget a move of an allotment that is half done, of whichever instance.
    UndoMove,
    /// Accept what journal and venue's log say differently after a restart.
    AcceptDifferences {
        /// How many there are, for the one who asks has looked at them.
        seen: u32,
    },
    /// Cancel what is open in the place of a loop that does not heed the kill, or is gone; answered once it was tried. Where
    /// the port cancels on disconnect nothing is done.
    Rescue,
    /// An order, a cancel or a flatten by hand.
    Manual {
        /// What is wanted.
        wish: Wish,
        /// Why, for the journal.
        why: String,
        /// Only what would come of it.
        dry_run: bool,
    },
    /// What waits for a second person.
    Pending,
    /// Have done what another user asked for.
    Confirm {
        /// Its number, as `pending` says it.
        id: u64,
    },
    /// How far the trading day is, and what each check of readiness finds.
    LookAtDay,
    /// A step of the trading day.
    StepDay {
        /// Which.
        step: StepDay,
        /// Why, for the journal.
        why: String,
    },
    /// The loop's counters.
    Counters,
    /// Where the journal stands.
    Journal,
}

/// What a person wants done by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Wish {
    /// A new order.
    Order {
        /// Symbol.
        symbol: String,
        /// To buy; else to sell.
        is_buy: bool,
        /// Shares.
        shares: u32,
        /// Limit price, 1/10000.
        price: i64,
        /// How long it stands.
        time_in_force: TimeInForce,
        /// Only if it does not trade at once.
        post_only: bool,
    },
    /// An open order is to go, whosever it is.
    Cancel {
        /// Any id that it has.
        order: u32,
    },
    /// Orders of a scope are to go, and its positions to be closed.
    Flatten {
        /// `firm`, `strategy` or `symbol`.
        kind: String,
        /// Which one.
        key: u64,
        /// For how long it tries.
        within_ms: u32,
    },
    /// A trade that the venue's log does not have is to count in a position.
    Adjust {
        /// Symbol.
        symbol: String,
        /// Id of the strategy.
        strategy: u16,
        /// Bought; else sold.
        is_buy: bool,
        /// Shares.
        shares: u32,
        /// Price of a share, 1/10000.
        price: i64,
    },
}

/// How long an order stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    /// Until the end of the day.
    #[default]
    Day,
    /// What does not trade at once is cancelled.
    Ioc,
    /// For the opening cross.
    Open,
    /// For the closing cross.
    Close,
}

impl TimeInForce {
    /// As records have it (FIX, tag 59).
    pub const fn letter(self) -> u8 {
        match self {
            Self::Day => b'0',
            Self::Ioc => b'3',
            Self::Open => b'2',
            Self::Close => b'7',
        }
    }
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
    /// To `set_limits`.
    Limits {
        /// What came of it.
        verdict: LimitsVerdict,
        /// Epoch of the limits in force now.
        epoch: u32,
        /// For people: what was not done, why, and what to do; empty when it was done.
        message: String,
    },
    /// To what is asked about a move of an allotment.
    Allotment {
        /// It was done; else it may be half done.
        done: bool,
        /// For people: what was done, or why not, and what to do.
        message: String,
    },
    /// To what is asked about the trading day.
    Day(Box<DayAnswer>),
    /// To `rescue`: what was done.
    Rescued(Box<RescueFact>),
    /// To a command that needs a role which the one who asks does not have; nothing was done, and the refusal is journaled.
    Role {
        /// The role, and who has it, for people.
        message: String,
    },
    /// To a command that a second person has to confirm: it is done when another user asks for the same within the time.
    SecondPerson {
        /// Within so many seconds.
        within_s: u64,
    },
    /// To what is done by hand.
    Manual(Box<ManualFact>),
    /// To what is done by hand: another user has to confirm it.
    Waits {
        /// Its number.
        id: u64,
        /// Within so many seconds.
        within_s: u64,
    },
    /// To `pending`.
    Pending(Vec<PendingFact>),
    /// Nothing was done, and why.
    Error(String),
}

/// What came of something that was done by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualFact {
    /// Names it in the journal.
    pub request: u64,
    /// The loop took it. It may do so later, should the time waited have been too short.
    pub taken: bool,
    /// The last that the data plane said of it (`tern_abi::manual::ManualOutcome`); empty = nothing yet.
    pub outcome: String,
    /// Orders that it led to, or the one that it is about.
    pub orders: Vec<u32>,
    /// Why the gate refused, if it did.
    pub reason: Option<String>,
    /// The bound that was broken, in the unit of the reason.
    pub limit: i64,
    /// What it would have become.
    pub value: i64,
    /// Of a flatten: positions and instruments in it, or left.
    pub count: u32,
    /// Who confirmed it, if somebody had to.
    pub confirmed_by: Option<u32>,
}

/// A step of the trading day that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StepDay {
    /// The day's data are there.
    Prepare,
    /// Every check of readiness is green, or waived.
    Ready,
    /// Orders may leave.
    Arm,
    /// Only what lowers a position may leave.
    WindDown,
    /// Nothing is open.
    Close,
    /// Everything agrees.
    Reconcile {
        /// The file of opening positions that was written for the next day, and its SHA-256; absent when none was wanted.
        rolled: Option<(String, String)>,
    },
    /// The day is over.
    Seal,
    /// A check counts as green until a time.
    Waive {
        /// Which.
        check: String,
        /// Until when, TAI ns.
        until_ns: u64,
    },
    /// Limits may be loosened before the open, until a time.
    Unfreeze {
        /// Until when, TAI ns.
        until_ns: u64,
    },
}

/// A check of readiness, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCheck {
    /// Its name.
    pub name: String,
    /// Nothing is wrong.
    pub green: bool,
    /// What was found.
    pub found: String,
    /// What to do; empty where it is green.
    pub todo: String,
    /// Whether it can be waived.
    pub waivable: bool,
    /// Who waived it, why and until when; absent when nobody did.
    pub waived: Option<DayEntryFact>,
}

impl DayCheck {
    /// Whether it keeps the day from being ready.
    pub fn stops(&self) -> bool {
        !self.green && self.waived.is_none()
    }
}

/// A step of the day, as the journal has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayEntryFact {
    /// Its record.
    pub seq: u64,
    /// When, TAI ns.
    pub tai_ns: u64,
    /// What.
    pub step: String,
    /// Who.
    pub uid: u32,
    /// Until when it counts, TAI ns; 0 = as long as the day.
    pub until_ns: u64,
    /// Why, or what.
    pub text: String,
}

/// What there is to say of the trading day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayAnswer {
    /// What was asked for is done.
    pub done: bool,
    /// Why it is not, and what to do; empty when it is.
    pub refused: Vec<String>,
    /// Orders that may be open at the venue; only where that is why.
    pub open_orders: u64,
    /// The day is led here (`day.managed`).
    pub managed: bool,
    /// How far the day is now.
    pub state: String,
    /// Days since 1970-01-01; absent when no data plane ran.
    pub day: Option<u32>,
    /// The most that the whole firm may do in it.
    pub most: String,
    /// The seal of a day that is over.
    pub seal: Option<PathBuf>,
    /// What was done.
    pub entries: Vec<DayEntryFact>,
    /// What each check finds.
    pub checks: Vec<DayCheck>,
}

/// What came of a request to set limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitsVerdict {
    /// They are in force.
    Set,
    /// Refused: others are in force than those that were seen.
    Stale,
    /// Refused: the one who asks does not have the role that it needs.
    Role,
    /// Refused by the loop, as out of range or as made for another build.
    Refused,
    /// The loop has not taken it yet. It decides when it does.
    Waiting,
}

/// What a daemon says to a client whose requests are of another version.
pub fn other_version(client: u32) -> String {
    let whose = if client < PROTOCOL_VERSION { "tern is older: upgrade tern" } else { "ternd is older: upgrade ternd" };
    format!(
        "this ternd speaks protocol version {PROTOCOL_VERSION}, the client {client}; {whose}, or use the tern of ternd's release {}; \
         `tern kill` works meanwhile",
        env!("CARGO_PKG_VERSION")
    )
}

/// What every line of every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The version that a line says it has, whatever else is in it; `None` if it is no such line.
pub fn version_of(line: &[u8]) -> Option<u32> {
    serde_json::from_slice::<Versioned>(line).ok().map(|line| line.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_look_as_documented() {
        let values = BTreeMap::from([("position_max".to_owned(), 5)]);
        let line = serde_json::to_string(&Request {
            version: PROTOCOL_VERSION,
            ask: Ask::SetLimits { epoch: 3, values, why: "calmer".into() },
        });
        assert_eq!(
            line.unwrap_or_default(),
            r#"{"version":7,"ask":{"set_limits":{"epoch":3,"values":{"position_max":5},"why":"calmer"}}}"#
        );
        assert_eq!(version_of(br#"{"version":3,"ask":{"set_limit":{"limit":3,"value":-5}}}"#), Some(3));
        assert_eq!((version_of(b"{}"), version_of(b"nonsense")), (None, None));
        let line = serde_json::to_string(&Request { version: 2, ask: Ask::Resume { kills: 7 } });
        assert_eq!(line.unwrap_or_default(), r#"{"version":2,"ask":{"resume":{"kills":7}}}"#);
        assert!(serde_json::from_str::<Request>(r#"{"version":1,"ask":"resume"}"#).is_err(), "of what was it seen?");
        assert!(serde_json::from_str::<Request>(r#"{"version":1,"ask":"kill"}"#).is_ok());
        assert!(serde_json::from_str::<Request>(r#"{"version":1,"ask":"kill","force":true}"#).is_err());
    }
}
