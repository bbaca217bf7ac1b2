//! The outliers in the page of `tern latency --html`: when they were, how long they took, and why.

use std::fmt::Write as _;
use std::path::Path;

use crate::outcome::Failure;
use crate::outliers::{self, Cause, Found, WHOLE};
use crate::picture::{Axis, COLOURS, HEIGHT, LEFT, LINE, RIGHT, TOP, WIDTH, framed};
use crate::table::{duration, grouped, tai_time};

/// Beyond this percentile.
const BEYOND: f64 = 99.9;
/// Dots in the picture: the longest ones.
const DOTS: usize = 2_000;
/// Lines of the table: the longest ones.
const LINES: usize = 20;

/// Picture and table; nothing where there is no sample.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn section(folder: &Path, window_ns: (u64, u64)) -> Result<String, Failure> {
    let found = outliers::find(folder, WHOLE, BEYOND, DOTS)?;
    if found.told.is_empty() {
        return Ok(String::new());
    }
    Ok(picture(&found, window_ns) + &table(&found))
}

fn colour(cause: Cause) -> &'static str {
    let index = Cause::ALL.iter().position(|known| *known == cause).unwrap_or(0);
    COLOURS[index % COLOURS.len()]
}

/// A dot each, in its cause's colour, and the causes at the side, the most frequent first.
fn picture(found: &Found, (first_ns, last_ns): (u64, u64)) -> String {
    let axis = Axis::of(found.told.iter().map(|told| told.ns));
    let first_ns = found.told.iter().map(|told| told.at_ns).fold(first_ns, u64::min);
    let long = last_ns.saturating_sub(first_ns).max(1) as f64;
    let mut svg = String::new();
    axis.grid(&mut svg);
    for (x, ns) in [(LEFT, first_ns), (WIDTH - RIGHT, last_ns)] {
        let _ = write!(svg, "<text x='{x}' y='{}' class='below'>{}</text>", HEIGHT - 16.0, &tai_time(ns)[11..19]);
    }
    for told in &found.told {
        let x = LEFT + (WIDTH - RIGHT - LEFT) * (told.at_ns.saturating_sub(first_ns) as f64 / long).min(1.0);
        let (y, name) = (axis.y(told.ns), told.cause.name());
        let _ = write!(
            svg,
            "<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{}'><title>{name}: {}</title></circle>",
            colour(told.cause),
            duration(told.ns)
        );
    }
    let count = |cause: &Cause| found.told.iter().filter(|told| told.cause == *cause).count();
    let mut causes: Vec<(usize, Cause)> = Cause::ALL.iter().map(|cause| (count(cause), *cause)).collect();
    causes.retain(|(count, _)| *count > 0);
    causes.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    for (line, (count, cause)) in causes.iter().enumerate() {
        let (y, x) = (TOP + LINE * (line as f64 + 1.0), WIDTH - RIGHT + 10.0);
        let text = format!("{} {}", grouped(*count as u64), cause.name());
        let _ = write!(svg, "<text x='{x}' y='{y:.1}' fill='{}'>{text}</text>", colour(*cause));
    }
    framed("Samples beyond p99.9 over time (TAI), each with its likely cause", &svg)
}

fn table(found: &Found) -> String {
    let mut rows = String::new();
    for told in found.told.iter().take(LINES) {
        let text = told.text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(rows, "<tr><td>{}<td>{}<td class='text'>{text}</tr>", tai_time(told.at_ns), duration(told.ns));
    }
    format!("<table><tr><th>arrival<th>took<th class='text'>part and likely cause</tr>\n{rows}</table>\n")
}
