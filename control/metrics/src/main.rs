//! `tern-metrics`: answers scrapers with the metrics of an instance; `ternd` runs it where `[metrics] listen` is set.
#![forbid(unsafe_code)]

mod http;
mod web;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use tern_abi::segment::Segment;
use tern_config::Config;
use tern_hw::segment::SegmentView;
use tern_metrics::live::live;
use tern_metrics::made;
use tern_metrics::seen::{Requests, Seen};
use tern_metrics::table::families;
use tern_metrics::text::{self, Format};

use crate::http::{Endpoint, Shape};

/// The arguments or the configuration are wrong; also what `clap` ends with.
const USAGE: u8 = 2;

/// Metrics of a Tern instance, for Prometheus (docs/METRICS.md).
///
/// Exit codes: 0 done, 1 something failed (said on stderr), 2 wrong usage or configuration.
#[derive(Parser)]
#[command(name = "tern-metrics", version, group(ArgGroup::new("what").required(true).args(["config", "make"])))]
struct Arguments {
    /// Configuration of the instance; answers scrapers at its `metrics.listen`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints the metrics once instead, as OpenMetrics.
    #[arg(long, requires = "config")]
    once: bool,
    /// Prints them as JSON, one object a line.
    #[arg(long, requires = "once")]
    json: bool,
    /// Writes what is made from the table (pages, rules, their tests, dashboard) below this folder, the root of the sources.
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    make: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(root) = &arguments.make {
        return match made::write(root) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    let Some(file) = &arguments.config else { return USAGE.into() };
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return USAGE.into();
        }
    };
    if arguments.once {
        let told = read(&config, Requests::default(), |seen, segment| {
            if arguments.json {
                text::json(&families(), seen, segment)
            } else {
                text::render(&families(), seen, segment, Format::OpenMetrics)
            }
        });
        print!("{told}");
        return ExitCode::SUCCESS;
    }
    let Some(listen) = config.metrics.listen else {
        eprintln!("{}: there is no metrics.listen; --once prints the metrics without it", file.display());
        return USAGE.into();
    };
    let pid_file = config.paths.metrics_pid();
    let has_page = config.metrics.page;
    let read = Box::new(move |shape, requests| {
        read(&config, requests, |seen, segment| match shape {
            Shape::Text(format) => text::render(&families(), seen, segment, format),
            Shape::Live => live(&families(), seen, segment),
        })
    });
    let endpoint = match Endpoint::bind(listen, has_page, read) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            return failed(&format!("metrics.listen = {listen}: {error}; give each instance a port of its own"));
        }
    };
    if let Err(error) = std::fs::write(&pid_file, format!("{}\n", std::process::id())) {
        return failed(&format!("{}: {error}", pid_file.display()));
    }
    eprintln!("tern-metrics: http://{listen}/metrics{}", if has_page { ", and a page at /" } else { "" });
    endpoint.serve()
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("tern-metrics: {error}");
    ExitCode::FAILURE
}

/// Everything there is now, as `tell` tells it. The segment is looked up each time: it may be made anew.
fn read(config: &Config, requests: Requests, tell: impl Fn(&Seen, Option<&Segment<'_>>) -> String) -> String {
    let view = SegmentView::open_to_read(&config.instance.name, config.paths.segment_file()).ok();
    let seen = Seen::look(config, view.as_ref(), requests);
    let segment = view.as_ref().and_then(|view| view.segment().ok());
    tell(&seen, segment.as_ref())
}
