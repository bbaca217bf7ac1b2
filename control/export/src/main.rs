//! `tern-export`: the journal as Parquet files. Progress goes to stderr, the report to stdout.
//!
//! Exit codes, as `tern` has them: 0 all is exported; 1 it is not; 2 the command line is wrong; 3 all is exported but for
//! records of which no row could be made; 4 the journal is damaged, and what was before the damage is exported.
#![forbid(unsafe_code)]

use clap::Parser;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tern_export::{Export, Report, Selection, Update};
use tern_journal::{JournalError, follower_name, is_follower_name};

#[derive(Parser)]
#[command(
    name = "tern-export",
    version,
    about = "Writes the journal as Parquet files, TABLE/day=YYYY-MM-DD/SEGMENT.parquet."
)]
struct Args {
    /// Folder of the journal.
    #[arg(required_unless_present = "schema")]
    journal: Option<PathBuf>,
    /// Folder of the files; an export that is there goes on where it was.
    #[arg(long, required_unless_present = "schema")]
    out: Option<PathBuf>,
    /// Only this table; may be given several times.
    #[arg(long = "table", value_name = "NAME", conflicts_with = "raw")]
    tables: Vec<String>,
    /// Raw input too: datagrams, session bytes, timers, events.
    #[arg(long)]
    raw: bool,
    /// Under this name days of the journal are kept until they are exported (`tern journal retention`); by default one made of the
    /// folder's.
    #[arg(long, value_name = "NAME", value_parser = follower)]
    follower: Option<String>,
    /// No day of the journal is kept for this export.
    #[arg(long, conflicts_with = "follower")]
    no_hold: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    /// Prints what the tables and columns are, as Markdown, and exports nothing.
    #[arg(long, exclusive = true)]
    schema: bool,
}

fn follower(name: &str) -> Result<String, String> {
    if is_follower_name(name) { Ok(name.to_owned()) } else { Err("letters, digits and . _ - are a name".into()) }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.schema {
        return match std::io::stdout().write_all(tern_schema::markdown().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    match export(&args) {
        Ok(report) if report.unreadable == 0 => ExitCode::SUCCESS,
        Ok(report) => {
            eprintln!(
                "tern-export: {} records have no row: of a kind that this build does not know, or too short; `tern journal \
                 verify` tells whether they are what was written",
                report.unreadable
            );
            ExitCode::from(3)
        }
        Err(error) => {
            eprintln!("tern-export: {error:#}");
            let damaged = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(JournalError::Damaged(_))));
            ExitCode::from(if damaged { 4 } else { 1 })
        }
    }
}

fn export(args: &Args) -> anyhow::Result<Report> {
    let selection = Selection::asked(args.raw, &args.tables);
    let (journal, out) = (args.journal.clone().unwrap_or_default(), args.out.clone().unwrap_or_default());
    let began = Instant::now();
    let bar = std::io::stderr().is_terminal();
    let export = Export::new(&journal, &out, &selection)?;
    let own = || {
        let whole = std::path::absolute(&out).unwrap_or_else(|_| out.clone());
        follower_name("export", &whole.display().to_string())
    };
    let name = args.follower.clone().unwrap_or_else(own);
    let report = export.followed_as((!args.no_hold).then_some(name)).run(|update| {
        if bar {
            show(update, began);
        }
    })?;
    if bar {
        eprintln!();
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut text = Vec::new();
    if args.json {
        let mut value = serde_json::to_value(&report)?;
        value["seconds"] = serde_json::json!(seconds);
        writeln!(text, "{value:#}")?;
    } else {
        write_report(&mut text, &report, seconds)?;
    }
    std::io::stdout().write_all(&text)?;
    Ok(report)
}

fn show(update: Update, began: Instant) {
    const WIDTH: usize = 30;
    let part = update.bytes as f64 / update.bytes_total.max(1) as f64;
    let full = (part * WIDTH as f64) as usize;
    let rate = update.records as f64 / began.elapsed().as_secs_f64().max(1e-3);
    eprint!(
        "\r[{}{}] {:3.0} %  {} records, {rate:.0} a second  ",
        "#".repeat(full),
        ".".repeat(WIDTH - full.min(WIDTH)),
        part * 100.0,
        update.records
    );
}

fn write_report(out: &mut impl std::io::Write, report: &Report, seconds: f64) -> std::io::Result<()> {
    for (table, rows) in report.rows.iter().filter(|(_, rows)| **rows != 0) {
        writeln!(out, "{rows:>12}  {table}")?;
    }
    writeln!(
        out,
        "{:>12}  records in {} segments: {} in the files, {} of tables not asked for, {} without a row",
        report.records,
        report.segments,
        report.rows.values().sum::<u64>(),
        report.left_out,
        report.unreadable
    )?;
    writeln!(
        out,
        "{} segments were exported before; {} records read in {seconds:.1} s",
        report.segments_before, report.records_read
    )
}
