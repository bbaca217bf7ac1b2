//! `tern-bench`: runs the metrics and writes `bench.json`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tern_benches::flow::SEED;
use tern_benches::harness::{Plan, RUNS_MIN, Row};
use tern_benches::metrics::ALL;

/// Benchmarks with a peer or a baseline in the same run, as medians of interleaved runs.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Less work a run: all metrics in about three minutes.
    #[arg(long)]
    quick: bool,
    /// Only these metrics.
    #[arg(long, value_name = "METRIC")]
    only: Vec<String>,
    /// Where the rows go.
    #[arg(long, default_value = "bench.json")]
    json: PathBuf,
    /// Print the names of the metrics.
    #[arg(long)]
    list: bool,
    /// For ourselves: play the other side of a network metric.
    #[arg(long, hide = true, num_args = 3, value_names = ["KIND", "VENUE", "FEED"])]
    respond: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let [kind, venue, feed] = &arguments.respond[..] {
        tern_benches::respond::run(kind, venue, feed);
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        ALL.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.only.iter().find(|name| ALL.iter().all(|(known, _)| known != name)) {
        eprintln!("tern-bench: no metric {unknown}; --list names them");
        return ExitCode::from(2);
    }
    let plan = Plan { runs: if arguments.quick { RUNS_MIN } else { 15 }, scale: if arguments.quick { 1 } else { 3 } };
    let mut rows: Vec<Row> = Vec::new();
    for (name, run) in ALL {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        eprint!("{name} ... ");
        let start = Instant::now();
        let measured = run(plan);
        eprintln!("{:.1} s", start.elapsed().as_secs_f64());
        measured.iter().for_each(print);
        rows.extend(measured);
    }
    println!("seed of the flow {SEED}; medians of interleaved runs");
    let text = match serde_json::to_string_pretty(&rows) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("tern-bench: {error}");
            return ExitCode::FAILURE;
        }
    };
    match std::fs::write(&arguments.json, text + "\n") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tern-bench: {}: {error}", arguments.json.display());
            ExitCode::FAILURE
        }
    }
}

fn print(row: &Row) {
    let verdict = match row.meets_target() {
        None => "",
        Some(true) => "  meets its target",
        Some(false) => "  MISSES its target",
    };
    let peer = match (row.peer, &row.peer_name, row.ratio) {
        (Some(peer), Some(name), Some(ratio)) => format!("; {ratio:.2}x of {peer:.1} ({name})"),
        _ => String::new(),
    };
    println!("{:<20} {:>10.1} {}{peer}{verdict}", row.metric, row.ours, row.unit);
    if !row.note.is_empty() {
        println!("{:20} {}", "", row.note);
    }
}
