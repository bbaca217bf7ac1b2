//! The grammar. Groups of verbs that are long have files of their own.

mod day;
mod manual;
mod xdp;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tern_abi::segment::TradingState;

pub use day::DayVerb;
pub use manual::{OrderSide, OrderVerb, Tif};
pub use xdp::XdpVerb;

/// Looks at, stops and resumes one Tern instance.
#[derive(Parser, Debug)]
#[command(name = "tern", version, after_help = EXIT_CODES)]
pub struct Arguments {
    /// Which instance.
    #[command(flatten)]
    pub which: Which,
    /// Prints JSON, with a version, on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done; all is well
  1  something failed (said on stderr)
  2  wrong usage or configuration
  3  not running, or not healthy
  4  the journal is damaged
  5  kill or cancel: not all orders are known to be cancelled
  6  resume: refused, somebody killed since you looked
  7  risk set: refused, other limits are in force than those that were seen
  8  refused: it needs a role that you do not have
  9  not done yet: a second person has to ask for the same, or to confirm it
  10 refused by the gate; the reason and its bound are said";

/// Each exit code with its meaning, as the help has them.
pub(crate) fn exit_codes() -> impl Iterator<Item = (u8, &'static str)> {
    EXIT_CODES.lines().filter_map(|line| {
        let (code, meaning) = line.trim().split_once(' ')?;
        Some((code.parse().ok()?, meaning.trim_start()))
    })
}

/// The instance, by its configuration or by its name.
#[derive(Args, Debug, Clone)]
pub struct Which {
    /// Configuration of the instance.
    #[arg(long, global = true, value_name = "FILE", env = "TERN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Name of an instance with the usual paths.
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "config")]
    pub instance: Option<String>,
    /// Folder of the journal, if it is elsewhere (a copy, for example).
    #[arg(long, global = true, value_name = "FOLDER")]
    pub journal: Option<PathBuf>,
}

/// What can be done.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// How things stand; works with ternd dead.
    Status,
    /// Alerts: what is raised, the last ones, and how their delivery fares.
    Alerts {
        /// Goes on, and prints each as it is raised or cleared (with --json an object a line).
        #[arg(long)]
        follow: bool,
    },
    /// Counters of the XDP program, the sockets and the loop, and refusals by reason.
    Counters {
        /// Also those that are zero.
        #[arg(long)]
        all: bool,
    },
    /// The dashboard: feeds, books, strategies, orders, risk, latency, counters, alerts; kill on a key, with confirmation. Where
    /// stdout is no terminal, one screen as text. Exit code 3 when the data plane's figures are not those of now.
    Top {
        /// How often it looks.
        #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = crate::xdp::seconds)]
        interval: f64,
        /// Prints one screen as text, and ends.
        #[arg(long)]
        once: bool,
        /// Writes one screen as a picture into this file, and ends.
        #[arg(long, value_name = "FILE", conflicts_with = "once")]
        svg: Option<PathBuf>,
        /// Columns and lines of a screen that is not a terminal's, such as 120x40.
        #[arg(long, value_name = "COLUMNSxLINES", value_parser = crate::top::size)]
        size: Option<(u16, u16)>,
    },
    /// For network engineers: the XDP program, its sockets and subscriptions, every counter on a packet's way with its rate.
    #[command(args_conflicts_with_subcommands = true)]
    Xdp {
        /// What of it; without it, `status`.
        #[command(subcommand)]
        verb: Option<XdpVerb>,
    },
    /// Positions and cash of the last day, from the journal.
    #[command(args_conflicts_with_subcommands = true)]
    Positions {
        /// More than a list.
        #[command(subcommand)]
        more: Option<PositionsVerb>,
    },
    /// Orders, from the journal.
    Orders {
        /// Also those that are not open.
        #[arg(long)]
        all: bool,
        /// The newest so many.
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Percentiles of each stage and from tick to order, from the journal.
    #[command(args_conflicts_with_subcommands = true)]
    Latency {
        /// Draws the distribution of each span.
        #[arg(long)]
        plot: bool,
        /// Also draws percentiles, and how they were over time, as a page in this file.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// More than percentiles.
        #[command(subcommand)]
        more: Option<LatencyVerb>,
    },
    /// Stops trading and cancels all open orders, or those of a scope. Writes into the segment itself: works with ternd
    /// dead.
    Kill {
        /// Only a part: `venue:ID`, `strategy:NAME` or `symbol:SYMBOL`; `firm` is everything.
        #[arg(long, value_name = "SCOPE")]
        scope: Option<String>,
        /// Also a scope that does not exist here yet, such as a symbol that may be listed later.
        #[arg(long, requires = "scope")]
        even_unknown: bool,
        /// How far it is stopped.
        #[arg(long, value_enum, default_value_t = StopState::Halted)]
        state: StopState,
        /// How long to wait for the data plane.
        #[arg(long, default_value_t = 2000, value_name = "MS")]
        timeout_ms: u64,
    },
    /// Trades again, unless somebody killed since the kills that are shown (or given) here; or lets a scope run again.
    Resume {
        /// Only what `tern kill --scope` restricted: `firm`, `venue:ID`, `strategy:NAME` or `symbol:SYMBOL`.
        #[arg(long, value_name = "SCOPE", conflicts_with = "kills")]
        scope: Option<String>,
        /// Kills that were seen, as `tern status --json` says in `kills`; without it, those there are now.
        #[arg(long, value_name = "N")]
        kills: Option<u32>,
        /// How long to wait for the data plane.
        #[arg(long, default_value_t = 2000, value_name = "MS")]
        timeout_ms: u64,
    },
    /// Cancels all open orders and goes on trading.
    CancelAll {
        /// How long to wait for the data plane.
        #[arg(long, default_value_t = 2000, value_name = "MS")]
        timeout_ms: u64,
    },
    /// An order, or a cancel, by hand: through the gate, and journaled with who and why. Needs the role operator.
    #[command(subcommand)]
    Order(OrderVerb),
    /// Closes positions by hand: cancels what is open in a scope, which may only reduce from then on (`tern resume --scope` lifts
    /// that), and sends orders that only reduce until nothing is left or the time is over. Needs the role operator.
    #[command(group = clap::ArgGroup::new("part").required(true))]
    Flatten {
        /// Positions in this symbol.
        #[arg(long, value_name = "SYMBOL", group = "part")]
        symbol: Option<String>,
        /// Positions of this strategy, by name or id.
        #[arg(long, value_name = "NAME", group = "part")]
        strategy: Option<String>,
        /// All positions.
        #[arg(long, group = "part")]
        all: bool,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// For how long it tries.
        #[arg(long, default_value_t = 10_000, value_name = "MS")]
        timeout_ms: u32,
        /// Only says how much would be in it.
        #[arg(long)]
        dry_run: bool,
    },
    /// What was asked for by hand and waits for a second person.
    Pending,
    /// Has done what another user asked for by hand. Needs the role operator.
    Confirm {
        /// Its number, as `tern pending` says it.
        id: u64,
    },
    /// The trading day: how far it is, what keeps it from being ready, and its steps.
    #[command(subcommand)]
    Day(DayVerb),
    /// Collects all that an incident is looked into by in a new folder: journal, limits and their history, counters, logs, host.
    /// Passwords are not in it. Works with ternd and data plane dead, and on a damaged journal. Exit code 3 when the journal has nothing of
    /// that time: it says what it has; 4 when a part of it cannot be read: it goes on behind that.
    Incident {
        /// The folder; it is made, for its owner alone.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
        /// Records and logs of so many minutes before that time, and records of as many after it.
        #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        minutes: u32,
        /// When it happened: TAI as 2026-11-22T13:42:33.5, or nanoseconds; without it, now.
        #[arg(long, value_name = "TIME")]
        around: Option<String>,
    },
    /// Configuration: what is wrong with a file, what each key means, what runs, what a file would change, and applying it.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Limits: which are in force and what uses them, what others would change, and setting them.
    #[command(subcommand)]
    Risk(RiskVerb),
    /// The firm's limits over several instances: who may use how much of them, and moving that.
    #[command(subcommand)]
    Firm(FirmVerb),
    /// The journal's records.
    #[command(subcommand)]
    Journal(JournalVerb),
    /// The journal as Parquet files, by `tern-export`, a program of its own that lies beside this one.
    Export {
        /// Its arguments, such as `--out FOLDER`; `tern export -- --help` prints them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// The day as the journal tells it, and what the last start found different in the venue's log.
    Recover {
        /// Also what a data plane that starts now would begin with.
        #[arg(long)]
        dry_run: bool,
        /// Accepts so many differences, which have been looked at: from here on the venue's log counts.
        #[arg(long, value_name = "N", conflicts_with = "dry_run")]
        accept: Option<u32>,
    },
    /// Everything that the journal adds up to, for comparison with other records of the same day.
    Report,
    /// Prints what a shell completes the command by; needs no instance.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Writes a man page for each verb, or prints the reference of all as Markdown (docs/CLI.md); needs no instance.
    Man {
        /// The folder; it is made if it is not there.
        #[arg(long, value_name = "FOLDER", required_unless_present = "markdown")]
        out: Option<PathBuf>,
        /// Prints the reference instead.
        #[arg(long, conflicts_with = "out")]
        markdown: bool,
    },
}

/// What is done with positions.
#[derive(Debug, clap::Subcommand)]
pub enum PositionsVerb {
    /// Writes what the last day ends with as the next day's opening positions (`opening.file`). Refused while orders are open
    /// (exit code 5), on a damaged journal (4), and when the last comparison with the venue's log differs (3).
    Roll {
        /// The file; it is written anew as a whole, for its owner alone.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// A TOML file of splits, such as `TERN = "2:1"`: two new shares for an old one.
        #[arg(long, value_name = "FILE")]
        splits: Option<PathBuf>,
        /// The trading day that they are for; without it the next one that is none of a weekend. Holidays are not known.
        #[arg(long, value_name = "YYYY-MM-DD")]
        date: Option<tern_config::Date>,
    },
    /// Counts a trade that the venue's log does not have, such as one that was made or broken by phone, in a strategy's position. It
    /// passes the gate like an order that is filled at once, also while trading is stopped, and outlives restarts. Needs the role of a
    /// risk officer. Exit code 10 when the gate refuses it.
    Adjust {
        /// Symbol.
        #[arg(long, value_name = "SYMBOL")]
        symbol: String,
        /// Strategy, by name or id.
        #[arg(long, value_name = "STRATEGY")]
        strategy: String,
        /// Whether it was bought or sold.
        #[arg(long, value_enum)]
        side: OrderSide,
        /// How many shares.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        shares: u32,
        /// Price of a share, in the currency unit, for example 12.34.
        #[arg(long, value_name = "PRICE", value_parser = manual::price)]
        price: i64,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// Only says what the gate would.
        #[arg(long)]
        dry_run: bool,
    },
}

/// How far trading is stopped.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopState {
    /// Only what lowers a position leaves.
    ReduceOnly,
    /// Only cancels leave.
    CancelOnly,
    /// Only cancels leave, and what is open is cancelled.
    Halted,
}

impl From<StopState> for TradingState {
    fn from(state: StopState) -> Self {
        match state {
            StopState::ReduceOnly => Self::ReduceOnly,
            StopState::CancelOnly => Self::CancelOnly,
            StopState::Halted => Self::Halted,
        }
    }
}

/// What can be done with configuration.
#[derive(Subcommand, Debug)]
pub enum ConfigVerb {
    /// Everything that is wrong with a file, each in its line, with what would be right; needs no instance. Exit code 2 if
    /// anything is.
    Check {
        /// The file; without it that of --config.
        file: Option<PathBuf>,
    },
    /// What a key means, what is right for it, its default, and whether it takes effect live or with the next start.
    Explain {
        /// A key such as `loop.wait`, or a section; without it, all.
        key: Option<String>,
        /// All of them as Markdown.
        #[arg(long, conflicts_with = "key")]
        markdown: bool,
    },
    /// The file's JSON Schema, for editors.
    Schema,
    /// With what the instance runs: the configuration of its last start and the limits in force.
    Show {
        /// Instead the file of --config, with every default filled in and secrets hidden.
        #[arg(long)]
        effective: bool,
    },
    /// What a file has otherwise than what runs, and whether that takes effect live or with the next start.
    Diff {
        /// The file; without it that of --config.
        file: Option<PathBuf>,
    },
    /// Sets what a file has otherwise, if all of it takes effect live; else nothing, with exit code 2. Roles as of `tern risk
    /// set`.
    Apply {
        /// The file; without it that of --config.
        file: Option<PathBuf>,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// Only if the limits of this epoch are still in force; without it, those of now.
        #[arg(long, value_name = "N")]
        epoch: Option<u32>,
    },
    /// Every set of limits that came into force: its epoch, when, by whom, why, and what it changed.
    History,
    /// Sets the limits of an earlier epoch again, all of them, under a new epoch. Roles as of `tern risk set`.
    Rollback {
        /// Which, as `tern config history` says.
        epoch: u32,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}

/// What can be done with limits.
#[derive(Subcommand, Debug)]
pub enum RiskVerb {
    /// Each limit in force, what uses it, who set it and when: from the running data plane, not from the file.
    Show,
    /// Checks the limits of a file, or of a file with nothing but [limits]; needs no instance.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// What would change, tighter or looser, and what is beyond the new limits already.
    Diff {
        /// A file, whose limits count as at a start with it, or KEY=VALUE pairs, keys as in [limits].
        #[arg(required = true, value_name = "FILE|KEY=VALUE")]
        limits: Vec<String>,
        /// Of this symbol alone, which the configuration gives bounds: KEY=VALUE with price_min and price_max, 1/10000.
        #[arg(long, value_name = "SYMBOL")]
        symbol: Option<String>,
    },
    /// Sets all of it at once, or nothing. Tightening needs the role operator, loosening risk officer.
    Set {
        /// A file, whose limits count as at a start with it, or KEY=VALUE pairs, keys as in [limits].
        #[arg(required = true, value_name = "FILE|KEY=VALUE")]
        limits: Vec<String>,
        /// Of this symbol alone, for the rest of the trading day: KEY=VALUE with price_min and price_max, 1/10000.
        #[arg(long, value_name = "SYMBOL")]
        symbol: Option<String>,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// Only if the limits of this epoch are still in force, as `tern risk diff` said; without it, those of now.
        #[arg(long, value_name = "N")]
        epoch: Option<u32>,
    },
}

/// What can be done with allotments of the firm's limits. Needs --config of any of its instances.
#[derive(Subcommand, Debug)]
pub enum FirmVerb {
    /// Totals, what each instance may use, has in force and uses, what is left, and a move that is half done.
    Show,
    /// Moves a part of an instance's allotment to another one: first the one's limit is tightened, then the other may
    /// loosen. Needs the role risk officer.
    Move {
        /// Which limit, as in [limits].
        #[arg(long, value_name = "NAME")]
        limit: String,
        /// The instance that it is taken from. Its ternd has to run, and its data plane, unless ternd has given that up.
        #[arg(long, value_name = "INSTANCE")]
        from: String,
        /// The instance that it is given to.
        #[arg(long, value_name = "INSTANCE")]
        to: String,
        /// How much, in the limit's unit (money in 1/10000).
        #[arg(long, value_name = "N")]
        amount: i64,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Finishes a move that is half done.
    Finish,
    /// Forgets a move that is half done: nothing was given yet. What was tightened stays so until somebody loosens it.
    Undo,
}

/// What else can be asked of latency.
#[derive(Subcommand, Debug)]
pub enum LatencyVerb {
    /// The longest samples, each with its stamps and the likely cause.
    Outliers {
        /// Which span.
        #[arg(long, default_value = crate::outliers::WHOLE, value_name = "SPAN",
            value_parser = crate::outliers::SPANS)]
        span: String,
        /// Samples beyond this percentile.
        #[arg(long, default_value_t = 99.9, value_name = "PERCENT", value_parser = percentile)]
        beyond: f64,
        /// The longest so many.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
}

fn percentile(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..100.0).contains(&value) { Ok(value) } else { Err("a percentile is from 0 to below 100".into()) }
}

/// What can be done with the journal.
#[derive(Subcommand, Debug)]
pub enum JournalVerb {
    /// Prints records.
    Cat {
        /// Only these kinds, separated by commas.
        #[arg(long, value_name = "KIND", value_delimiter = ',')]
        kind: Vec<String>,
        /// From this sequence number.
        #[arg(long, default_value_t = 0, value_name = "SEQ")]
        from_seq: u64,
        /// At most so many.
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// Of a datagram's payload, so many bytes in hexadecimal.
        #[arg(long, default_value_t = 0, value_name = "BYTES")]
        payload: usize,
    },
    /// Finds orders, what the venue said of them, refusals and positions; of one order the whole story.
    Query(Query),
    /// Reads everything and checks it: checksums, the chain, the head, and seals that were kept elsewhere.
    Verify {
        /// A seal that the journal is held against; may be given several times.
        #[arg(long, value_name = "FILE")]
        seal: Vec<PathBuf>,
    },
    /// Writes a seal of the last day, as far as it is on the disk: keep it where nobody who can write the journal can
    /// write. Works while ternd runs.
    Seal {
        /// Where to; otherwise into the folder `seals` of the journal.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Takes a journal that lost its end, its head, or a part of its last segment as it is: for an operator who knows why.
    /// What lies behind such a hole is moved to a file beside the segment, the old head is kept, and every seal made
    /// before still tells.
    Accept,
    /// Makes the indexes of finished segments that lack a right one; ternd does that by itself. They can be removed at any time.
    Index {
        /// Makes none, and tells of each one that is there whether it says what its segment does.
        #[arg(long)]
        check: bool,
    },
    /// The first day that is there, what is deleted of the journal by `journal.retain_days`, and what holds that back.
    Retention {
        /// As if so many days were to be kept; by default what the configuration says.
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
    },
    /// Takes a follower away for which days of the journal are kept: one that is no more.
    Forget {
        /// As `tern journal retention` names it.
        name: String,
    },
    /// Counts records by kind.
    Stats,
}

/// What is looked for; all of it has to hold.
#[derive(Args, Debug)]
pub struct Query {
    /// The story of this order, by any id that it had, from the packet that caused it to its last fill.
    #[arg(long, value_name = "ID", conflicts_with_all = ["symbol", "from", "to", "reason", "limit"])]
    pub order: Option<u32>,
    /// Only of this symbol.
    #[arg(long, value_name = "SYMBOL")]
    pub symbol: Option<String>,
    /// Not before this time: TAI as 2026-11-22T13:42:33.5, or nanoseconds.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Not after this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only refusals for this reason, as `tern counters` names it.
    #[arg(long, value_name = "NAME")]
    pub reason: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Of all days in the journal, not of the last alone.
    #[arg(long)]
    pub all_days: bool,
    /// Reads every record instead of asking the indexes. It finds the same, and takes longer.
    #[arg(long)]
    pub no_index: bool,
}
