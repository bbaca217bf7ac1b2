//! `tern-sink`: the journal in a database or a message store, live. What it does goes to stderr, the report at its end to stdout.
//!
//! Exit codes, as `tern` has them: 0 it ended as asked; 1 the store refuses, or is gone and `--once` was asked for; 2 the
//! command line is wrong; 3 all is stored but for records of which no row could be made; 4 the journal is damaged, and what
//! was before the damage is stored.
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tern_journal::{JournalError, follower_name, is_follower_name};
use tern_schema::{Selection, Table};
use tern_sink::{Figures, Nats, Postgres, Replay, Servers, Sink, Store, Telling, Until, keep_signals, say, tell};

#[derive(Parser)]
#[command(name = "tern-sink", version, about = "Follows the journal into a store, each record once (docs/SCHEMA.md).")]
struct Arguments {
    #[command(subcommand)]
    store: Into,
}

#[derive(Subcommand)]
enum Into {
    /// A schema of a PostgreSQL database; it is made where it is not there.
    Postgres {
        #[command(flatten)]
        common: Common,
        /// The database: `host=/run/postgresql dbname=tern`, or `postgresql://...`. There is no TLS: a socket of the host, or
        /// a tunnel. By default the variable TERN_SINK_URL, which keeps a password off the command line.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// The schema; one a journal.
        #[arg(long, default_value = "tern")]
        schema: String,
        /// The role that may read it; it is made where it is not there.
        #[arg(long, default_value = "tern_reader", value_name = "ROLE")]
        reader: String,
    },
    /// A stream of NATS JetStream, a subject a table: `tern.HOST.TABLE`; it is made where it is not there.
    Nats {
        #[command(flatten)]
        common: Common,
        /// A server; may be given several times. There is no TLS. User and password, or token, are those of the variables
        /// TERN_SINK_USER, TERN_SINK_PASSWORD and TERN_SINK_TOKEN.
        #[arg(long = "server", value_name = "HOST:PORT", default_value = "127.0.0.1:4222")]
        servers: Vec<String>,
        /// The monitor of a server, which is asked whether it syncs each message; one for each server.
        #[arg(long = "monitor", value_name = "HOST:PORT", required_unless_present_any = ["sync_unchecked", "replay"])]
        monitors: Vec<String>,
        /// The servers are not asked: somebody else sees to it that `sync_interval: always` is set.
        #[arg(long, conflicts_with = "monitors")]
        sync_unchecked: bool,
        /// This host, or instance, as subjects name it; by default the host's name.
        #[arg(long)]
        host: Option<String>,
        /// The stream; by default `tern-HOST`.
        #[arg(long)]
        stream: Option<String>,
        /// Servers that must keep each message.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=5))]
        replicas: u64,
        /// Stores nothing: reads the stream back and proves that it is what the journal says, each record once.
        #[arg(long, conflicts_with_all = ["once", "status"])]
        replay: bool,
    },
}

#[derive(Args)]
struct Common {
    /// Folder of the journal.
    journal: PathBuf,
    /// Only this table; may be given several times.
    #[arg(long = "table", value_name = "NAME", conflicts_with = "raw")]
    tables: Vec<String>,
    /// Raw input too: datagrams, session bytes, timers, events.
    #[arg(long)]
    raw: bool,
    /// Ends at the journal's end, or when the store is gone.
    #[arg(long)]
    once: bool,
    /// Writes how it is to this file, each second.
    #[arg(long, value_name = "FILE")]
    status: Option<PathBuf>,
    /// Says so when the store has not had all for so many seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    behind: u64,
    /// Rows are stored at the latest when they are so large, in KiB: more is faster when much waits, and takes more memory.
    #[arg(long, default_value_t = 4096, value_name = "KIB", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    batch: u32,
    /// Under this name days of the journal are kept until they are stored (`tern journal retention`); by default one made of the
    /// store's.
    #[arg(long, value_name = "NAME", value_parser = follower)]
    follower: Option<String>,
    /// No day of the journal is kept for it.
    #[arg(long, conflicts_with = "follower")]
    no_hold: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

fn follower(name: &str) -> Result<String, String> {
    if is_follower_name(name) { Ok(name.to_owned()) } else { Err("letters, digits and . _ - are a name".into()) }
}

fn main() -> ExitCode {
    match Arguments::parse().store {
        Into::Postgres { common, url, schema, reader } => {
            let Some(url) = url.or_else(|| std::env::var("TERN_SINK_URL").ok()) else {
                return usage(&"neither --url nor TERN_SINK_URL says which database");
            };
            follow(&common, |tables| Postgres::new(&url, &schema, &reader, tables))
        }
        Into::Nats { common, servers, monitors, host, stream, replicas, replay, sync_unchecked } => {
            if !replay && !sync_unchecked && monitors.len() != servers.len() {
                let (asked, all) = (monitors.len(), servers.len());
                return usage(&format!("{asked} --monitor for {all} --server: each server has its own, and is asked"));
            }
            let own = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
            let host = host.unwrap_or_else(own);
            let servers = Servers { addresses: servers, monitors, host, stream, replicas };
            if replay { prove(&common, &servers) } else { follow(&common, |tables| Nats::new(&servers, tables)) }
        }
    }
}

fn usage(what: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("tern-sink: {what}");
    ExitCode::from(2)
}

/// Reads a stream back.
fn prove(common: &Common, servers: &Servers) -> ExitCode {
    let tables = match Selection::asked(common.raw, &common.tables).tables() {
        Ok(tables) => tables,
        Err(error) => return usage(&error),
    };
    match Replay::open(servers, &tables).and_then(|replay| replay.prove(&common.journal)) {
        Ok(replayed) => {
            let text = if common.json {
                serde_json::to_string_pretty(&replayed).unwrap_or_default()
            } else {
                let rows = replayed.rows.iter().map(|(table, rows)| format!("{rows:>12}  {table}\n"));
                format!(
                    "{}{} messages up to {}: what the journal says, each once; {} of a batch that is not whole yet{}",
                    rows.collect::<String>(),
                    replayed.messages,
                    replayed.position.name(),
                    replayed.unfinished,
                    match replayed.of_deleted {
                        0 => String::new(),
                        count => format!("; NOT COMPARED: the first {count}, of days that the journal has no more"),
                    }
                )
            };
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tern-sink: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn follow<S: Store>(common: &Common, store: impl FnOnce(&[&'static Table]) -> anyhow::Result<S>) -> ExitCode {
    let tables = match Selection::asked(common.raw, &common.tables).tables() {
        Ok(tables) => tables,
        Err(error) => return usage(&error),
    };
    let store = match store(&tables) {
        Ok(store) => store,
        Err(error) => return usage(&format!("{error:#}")),
    };
    let signals = match keep_signals() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("tern-sink: signals cannot be kept: {error}");
            return ExitCode::FAILURE;
        }
    };
    let figures = Figures::new(store.name());
    let own = || common.follower.clone().unwrap_or_else(|| follower_name("sink", &store.name()));
    let telling = Telling {
        journal: common.journal.clone(),
        follower: (!common.no_hold).then(own),
        file: common.status.clone(),
        behind_max: Duration::from_secs(common.behind.max(1)),
        json: common.json,
    };
    {
        let (figures, telling) = (figures.clone(), telling.clone());
        std::thread::spawn(move || tell(&figures, &telling, &signals));
    }
    let until = if common.once { Until::Level } else { Until::Stopped };
    let batch_bytes = common.batch as usize * 1024;
    let ended = Sink { journal: &common.journal, store, tables: &tables, batch_bytes, figures: &figures }.run(until);
    let status = figures.status(&common.journal);
    say(&status, &telling);
    match ended {
        Ok(()) if status.position.unreadable == 0 => ExitCode::SUCCESS,
        Ok(()) => {
            eprintln!(
                "tern-sink: {} records have no row: of a kind that this build does not know, or too short; `tern journal \
                 verify` tells whether they are what was written",
                status.position.unreadable
            );
            ExitCode::from(3)
        }
        Err(error) => {
            eprintln!("tern-sink: {}: {error:#}", status.store);
            let damaged = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(JournalError::Damaged(_))));
            ExitCode::from(if damaged { 4 } else { 1 })
        }
    }
}
