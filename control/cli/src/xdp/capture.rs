//! `tern xdp capture`: what the sockets gave the loop, as a capture that packet analyzers read. Out of the journal as it
//! grows, so that the loop is not touched: what the capture ring sheds is missing, and is counted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::look::Look;
use super::pcap::{PAYLOAD_BYTES_MAX, write_datagram, write_header};
use super::tail::Tail;
use crate::outcome::{Failure, Outcome, exit};
use crate::status::tai_ns;
use crate::table::grouped;
use crate::target::Target;

/// Pause between two looks at the journal.
const LOOK: Duration = Duration::from_millis(20);

/// Writes what comes to `to`, for so long or until there are so many.
///
/// # Errors
/// Exit code 2 when the group is none of the instance's; 1 when the journal cannot be read or the file not be written.
pub(crate) fn capture(
    target: &Target,
    seconds: f64,
    count: Option<u64>,
    only: Option<(Ipv4Addr, u16)>,
    to: &Path,
) -> Result<Outcome, Failure> {
    let known = lines(target)?;
    if let Some((group, port)) = only
        && !known.values().any(|line| *line == (group, port))
    {
        let all: Vec<String> = known.values().map(|(group, port)| format!("{group}:{port}")).collect();
        return Err(Failure::usage(format!("{group}:{port} is not subscribed; there are: {}", all.join(", "))));
    }
    let mut tail = Tail::open(&target.paths.journal).map_err(Failure::failed)?;
    let (began, since_ns) = (Instant::now(), tai_ns());
    let ahead_ns = tai_minus_utc_ns();
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", to.display()));
    let mut out = BufWriter::new(File::create(to).map_err(failed)?);
    write_header(&mut out).map_err(failed)?;
    let (mut written, mut bytes, mut left_out) = (0u64, 0u64, 0u64);
    let wanted = count.unwrap_or(u64::MAX);
    let mut wrong = None;
    loop {
        tail.read(since_ns, |seen| {
            let line = known.get(&(seen.head.stream, seen.head.line)).copied();
            match line {
                Some(line) if only.is_none_or(|only| only == line) && seen.payload.len() <= PAYLOAD_BYTES_MAX => {
                    let utc_ns = seen.head.arrival_ns.saturating_sub(ahead_ns);
                    wrong = write_datagram(&mut out, utc_ns, line, seen.seq as u16, seen.payload).err();
                    written += 1;
                    bytes += seen.payload.len() as u64;
                }
                Some(_) => {}
                None => left_out += 1,
            }
            wrong.is_none() && written < wanted
        })
        .map_err(Failure::failed)?;
        if let Some(error) = wrong {
            return Err(failed(error));
        }
        out.flush().map_err(failed)?;
        if written >= wanted || began.elapsed().as_secs_f64() >= seconds {
            break;
        }
        sleep(LOOK);
    }
    let took = began.elapsed().as_secs_f64();
    let mut text = format!(
        "{} datagrams, {} payload bytes in {took:.1} s: {}\narrival is the XDP program's (or the kernel socket's) stamp, UTC; the journal keeps payloads, so headers are made anew: source 0.0.0.0:0, no checksum, no VLAN\n",
        grouped(written),
        grouped(bytes),
        to.display()
    );
    if tail.shed > 0 {
        text.push_str(&format!("{} datagrams were shed by the capture ring and are missing\n", grouped(tail.shed)));
    }
    if left_out > 0 {
        text.push_str(&format!("{} datagrams of streams of which no group is known are left out\n", grouped(left_out)));
    }
    let json = json!({ "file": to, "datagrams": written, "payload_bytes": bytes, "seconds": took,
        "shed_datagrams": tail.shed, "unknown_stream_datagrams": left_out, "tai_minus_utc_ns": ahead_ns });
    Ok(Outcome { text, json, code: if written > 0 { exit::OK } else { exit::UNHEALTHY } })
}

/// Group and port, by stream and line.
type Lines = BTreeMap<(u16, u16), (Ipv4Addr, u16)>;

/// Of the configuration, or of the subscription map.
fn lines(target: &Target) -> Result<Lines, Failure> {
    let wanted = target.feeds.iter().map(|feed| ((feed.stream, feed.line.index().into()), (feed.group, feed.port)));
    let mut known: Lines = wanted.collect();
    if known.is_empty() {
        let look = Look::take(target).map_err(Failure::usage)?;
        let pins = look.pins.map_err(|why| Failure::failed(format!("no feed is known: give --config, or {why}")))?;
        known.extend(
            pins.subscriptions.iter().map(|known| ((known.stream, known.line.into()), (known.group, known.port))),
        );
    }
    Ok(known)
}

/// Leap seconds as the kernel was told them, ns; 0 where nobody told it, and then stamps are UTC already.
fn tai_minus_utc_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000);
    // The two are read one after the other: whole seconds are what they differ by.
    (tai_ns().saturating_sub(now) / 1_000_000_000) * 1_000_000_000
}
