//! `tern xdp`: for whoever looks for a packet. Nothing here touches the loop or what it reads.

mod capture;
mod counters;
mod evidence;
mod frame;
mod look;
mod pcap;
mod status;
mod tail;
mod why;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::args::XdpVerb;
use crate::outcome::{Failure, Outcome};
use crate::svg;
use crate::target::Target;

/// Of a picture.
const PICTURE_COLUMNS: u16 = 150;

/// Carries out a verb; without one, `status`.
///
/// # Errors
/// As the verbs say.
pub(crate) fn run(target: &Target, verb: Option<&XdpVerb>) -> Result<Outcome, Failure> {
    match verb {
        None => status::status(target, 1.0, false),
        Some(XdpVerb::Status { seconds, all, svg }) => drawn(status::status(target, *seconds, *all)?, svg.as_deref()),
        Some(XdpVerb::Capture { seconds, count, group, out }) => {
            capture::capture(target, *seconds, *count, *group, out)
        }
        Some(XdpVerb::Why { stream, seconds, svg }) => drawn(why::why(target, *stream, *seconds)?, svg.as_deref()),
    }
}

/// The same, and what it says as a picture in a file.
fn drawn(outcome: Outcome, svg: Option<&Path>) -> Result<Outcome, Failure> {
    if let Some(path) = svg {
        fs::write(path, svg::of_text(&outcome.text, PICTURE_COLUMNS))
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    }
    Ok(outcome)
}

/// `GROUP:PORT`, as the command line has it.
///
/// # Errors
/// In words, with what would be right.
pub(crate) fn group_and_port(text: &str) -> Result<(Ipv4Addr, u16), String> {
    let wrong = || format!("`{text}` is no IPv4 address and UDP port, such as 233.54.12.111:26477");
    let (group, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    match (group.parse(), port.parse()) {
        (Ok(group), Ok(port)) if port != 0 => Ok((group, port)),
        _ => Err(wrong()),
    }
}

/// Seconds from a tenth to an hour.
///
/// # Errors
/// In words.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=3600.0).contains(&value) { Ok(value) } else { Err("from 0.1 to 3600 seconds".into()) }
}
