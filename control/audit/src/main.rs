//! `tern-audit`: follows a journal and says, and stops trading, when the gate is wrong.
#![forbid(unsafe_code)]

mod copy_line;
mod follow;
mod live;

use clap::{ArgGroup, Parser};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tern_audit::Audit;
use tern_config::Config;
use tern_journal::{JournalError, Reader};

/// Disagreements were found.
const DISAGREES: u8 = 1;
/// The arguments or the configuration are wrong; also what `clap` ends with.
const USAGE: u8 = 2;
/// The journal cannot be read to its end.
const DAMAGED: u8 = 4;

/// The second opinion: recomputes orders, positions and limits from the journal alone.
///
/// Exit code 0: it agrees; 1: it does not; 2: wrong arguments or configuration; 4: the journal cannot be read.
#[derive(Parser)]
#[command(name = "tern-audit", version, group(ArgGroup::new("source").required(true).args(["config", "journal"])))]
struct Arguments {
    /// Follow the journal of this configuration as it grows, and stop trading at a disagreement.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the journal in this folder to its end.
    #[arg(long, value_name = "FOLDER", requires = "once")]
    journal: Option<PathBuf>,
    /// End at the end of the journal.
    #[arg(long, conflicts_with = "config")]
    once: bool,
    /// Answer as one JSON object.
    #[arg(long, conflicts_with = "config")]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match (&arguments.config, &arguments.journal) {
        (Some(file), _) => match Config::load(file) {
            Ok(config) => follow::follow(&config),
            Err(problems) => {
                eprintln!("{problems}");
                return USAGE.into();
            }
        },
        (None, Some(folder)) => once(folder, arguments.json),
        (None, None) => return USAGE.into(),
    };
    match ended {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("tern-audit: {error}");
            DAMAGED.into()
        }
    }
}

/// Reads a whole journal and says what was found.
fn once(folder: &Path, as_json: bool) -> Result<u8, JournalError> {
    let mut reader = Reader::open(folder)?;
    let mut audit = Audit::new();
    while let Some(record) = reader.next()? {
        audit.record(&record.header, record.body);
    }
    audit.finish();
    let (counts, found) = (audit.counts(), audit.take_found());
    let mut lines = Vec::new();
    if as_json {
        let found: Vec<_> = found.iter().map(tern_audit::Finding::json).collect();
        lines.push(
            json!({ "records": counts.records, "orders": counts.orders, "answers": counts.answers,
                "disagreements": counts.disagreements, "found": found, "money": audit.money() })
            .to_string(),
        );
    } else {
        lines.extend(found.iter().map(tern_audit::Finding::text));
        lines.push(format!(
            "{} records, {} orders, {} answers of the venue, {} disagreements",
            counts.records, counts.orders, counts.answers, counts.disagreements
        ));
    }
    // Who closed the pipe has read enough; the exit code says the rest.
    writeln!(std::io::stdout(), "{}", lines.join("\n")).ok();
    Ok(if counts.disagreements == 0 { 0 } else { DISAGREES })
}
