//! The exchange's own log: JSON, one object a line. It is the independent side of every comparison: what arrived from
//! clients, what they traded, where that leaves them. Nothing in it comes from the client's own books.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One line of the log. `exchange_ns` is exchange time in ns since midnight; prices and cash are in 1/10000 dollars.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// First line.
    Start {
        /// Seed of the run: flow, faults and breaks follow from it.
        seed: u64,
        /// Name of the feed's and the order entry's session.
        session: String,
        /// Where the flow comes from.
        source: String,
    },
    /// A login was accepted or refused.
    Login {
        /// Exchange time.
        exchange_ns: u64,
        /// User.
        account: String,
        /// Whether it was accepted.
        accepted: bool,
        /// First sequence number sent.
        sequence: u64,
    },
    /// A connection of a user ended.
    Disconnect {
        /// Exchange time.
        exchange_ns: u64,
        /// User.
        account: String,
        /// Why.
        reason: String,
    },
    /// An order message arrived (O, U, X, M or Q), whatever became of it.
    Received {
        /// Exchange time.
        exchange_ns: u64,
        /// User.
        account: String,
        /// The OUCH message, in hexadecimal, without its SoupBinTCP framing.
        raw: String,
        /// Its fields.
        fields: Fields,
        /// What became of it.
        outcome: Outcome,
    },
    /// A client's order traded.
    Execution {
        /// Exchange time.
        exchange_ns: u64,
        /// User.
        account: String,
        /// The client's number.
        user_ref: u32,
        /// The exchange's reference.
        reference: u64,
        /// Symbol.
        stock: String,
        /// `B` or `S`.
        side: char,
        /// Price.
        price: u32,
        /// Shares.
        shares: u32,
        /// Number of the match.
        match_number: u64,
        /// Liquidity flag.
        liquidity: char,
    },
    /// An execution of a client was broken. Fields as in the execution.
    Break {
        /// Exchange time.
        exchange_ns: u64,
        /// User.
        account: String,
        /// The client's number.
        user_ref: u32,
        /// Symbol.
        stock: String,
        /// `B` or `S`.
        side: char,
        /// Price.
        price: u32,
        /// Shares.
        shares: u32,
        /// Number of the match.
        match_number: u64,
    },
    /// Where an account ended in a symbol; one line for each in which it ever traded.
    Position {
        /// User.
        account: String,
        /// Symbol.
        stock: String,
        /// Shares, signed.
        position: i64,
        /// Cash, signed: what was received less what was paid.
        cash: i64,
    },
    /// Last line of an account.
    Account {
        /// User.
        account: String,
        /// Cash over all symbols.
        cash: i64,
        /// Order messages received: O, U, X, M, Q.
        received: u64,
        /// Executions.
        executions: u64,
        /// Broken executions.
        breaks: u64,
        /// Sequenced messages in the account's stream.
        sequenced: u64,
        /// Orders open at the end.
        open_orders: u64,
    },
    /// Last line.
    End {
        /// What was sent and counted.
        totals: Totals,
    },
}

/// Fields of an order message, as far as its type has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fields {
    /// Type byte.
    pub kind: String,
    /// UserRefNum; of a replace, the replacement's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_ref: Option<u32>,
    /// OrigUserRefNum.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub original_user_ref: Option<u32>,
    /// Side byte.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub side: Option<char>,
    /// Quantity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quantity: Option<u32>,
    /// Symbol.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stock: Option<String>,
    /// Price.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price: Option<u64>,
    /// Time in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_in_force: Option<char>,
    /// Client order id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_order_id: Option<String>,
}

/// What became of an order message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Accepted, replaced, canceled, modified or answered.
    Done,
    /// Rejected with a message.
    Rejected,
    /// Silently ignored, as the specification asks: retransmission, late replace, superfluous cancel.
    Ignored,
    /// Held back until a cross: cancel pending or cancel reject.
    Late,
    /// Not a message of the protocol.
    Malformed,
}

/// Counters of a whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Seed of the run.
    pub seed: u64,
    /// Datagrams with messages handed to the network.
    pub datagrams_sent: u64,
    /// Datagrams without messages handed to the network: heartbeats and ends of session.
    pub heartbeats_sent: u64,
    /// Datagrams dropped on request.
    pub datagrams_dropped: u64,
    /// Datagrams that the kernel refused.
    pub datagrams_failed: u64,
    /// ITCH messages published, dropped datagrams' included.
    pub messages: u64,
    /// Next ITCH sequence number.
    pub next_sequence: u64,
    /// ITCH messages by type.
    pub messages_by_type: std::collections::BTreeMap<char, u64>,
    /// Messages of the flow that named an order which was never added; published as they are.
    pub flow_unknown: u64,
    /// Orders live in the book at the end.
    pub live_orders: u64,
    /// Order messages received from all clients.
    pub received: u64,
    /// Executions of all clients.
    pub executions: u64,
    /// Shares of these.
    pub shares: u64,
    /// Executions that left shares of the order open.
    pub partial_fills: u64,
    /// Symbols in which clients traded.
    pub symbols_traded: u64,
    /// Broken executions.
    pub breaks: u64,
    /// Wall time from first message to last.
    pub elapsed_ms: u64,
    /// Full-depth dumps written.
    pub book_dumps: u64,
}

/// Writes lines; a run without a log file counts nothing less.
pub struct Log {
    out: Option<BufWriter<File>>,
}

impl Log {
    /// Creates the file, or nothing when there is no path.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: Option<&Path>) -> Result<Self> {
        let out = match path {
            Some(path) => {
                let file = File::create(path).with_context(|| format!("create the log {}", path.display()))?;
                Some(BufWriter::new(file))
            }
            None => None,
        };
        Ok(Self { out })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn line(&mut self, line: &Line) -> Result<()> {
        if let Some(out) = &mut self.out {
            serde_json::to_writer(&mut *out, line).context("write the log")?;
            out.write_all(b"\n").context("write the log")?;
        }
        Ok(())
    }

    /// Hands everything to the kernel.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.out.as_mut().map_or(Ok(()), |out| out.flush().context("flush the log"))
    }
}
