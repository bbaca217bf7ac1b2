//! `tern latency --html`: percentiles of each span, and how they were over the day, as one page without a script.

use std::fmt::Write as _;
use std::path::Path;

use hdrhistogram::Histogram;
use tern_abi::record::{Kind, Stage, StageRecord};
use zerocopy::FromBytes;

use crate::fold::{Latencies, SPAN_NS_MAX, Span};
use crate::outcome::Failure;
use crate::picture_outliers;
use crate::records;
use crate::table::{duration, grouped, tai_time};

pub(crate) const WIDTH: f64 = 860.0;
pub(crate) const HEIGHT: f64 = 320.0;
pub(crate) const LEFT: f64 = 80.0;
const BOTTOM: f64 = 40.0;
pub(crate) const TOP: f64 = 16.0;
pub(crate) const RIGHT: f64 = 130.0;
/// From one line of text to the next.
pub(crate) const LINE: f64 = 12.0;
/// Parts of the day in the plot over time.
const PARTS: usize = 120;
/// One colour a curve, told apart also without colours by the labels at their ends.
pub(crate) const COLOURS: [&str; 9] =
    ["#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#b9770e", "#16a085", "#7f8c8d", "#d35400", "#34495e"];
/// Percentiles that a curve goes through: each nine has the same width.
const QUANTILES: [(&str, f64); 13] = [
    ("least", 0.0),
    ("p25", 0.25),
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.5", 0.995),
    ("p99.9", 0.999),
    ("p99.95", 0.9995),
    ("p99.99", 0.9999),
    ("p99.995", 0.99995),
    ("p99.999", 0.99999),
];
/// Curves of the plot over time, and what of each part of the day they are.
const OVER_TIME: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];

/// A picture's vertical axis, in ns: logarithmic, as a tail needs.
pub(crate) struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    pub(crate) fn of(values: impl Iterator<Item = u64>) -> Self {
        let (low, high) = values.fold((u64::MAX, 1), |(low, high), value| (low.min(value.max(1)), high.max(value)));
        let decade = |value: f64, up: bool| 10_f64.powf(if up { value.log10().ceil() } else { value.log10().floor() });
        let low = decade(low.min(high) as f64, false);
        Self { low, high: decade(high as f64, true).max(low * 10.0) }
    }

    pub(crate) fn y(&self, ns: u64) -> f64 {
        let part = ((ns.max(1) as f64).log10() - self.low.log10()) / (self.high.log10() - self.low.log10());
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - BOTTOM - TOP)
    }

    /// A line for each power of ten.
    pub(crate) fn grid(&self, svg: &mut String) {
        let mut ns = self.low;
        while ns <= self.high * 1.01 {
            let y = self.y(ns as u64);
            let _ = write!(
                svg,
                "<line x1='{LEFT}' x2='{}' y1='{y:.1}' y2='{y:.1}' class='grid'/><text x='{}' y='{:.1}' class='left'>{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                duration(ns as u64)
            );
            ns *= 10.0;
        }
    }
}

/// Curves with their names at their ends, the names apart from one another.
fn curves(svg: &mut String, curves: &[(&str, Vec<(f64, f64)>)]) {
    let mut ends: Vec<(usize, f64, f64)> = Vec::new();
    for (index, (_, points)) in curves.iter().enumerate() {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(svg, "<polyline points='{}' stroke='{}'/>", path.join(" "), COLOURS[index % COLOURS.len()]);
        ends.extend(points.last().map(|(x, y)| (index, *x, *y)));
    }
    ends.sort_by(|one, other| one.2.total_cmp(&other.2));
    let mut lowest = 0.0;
    for (index, x, y) in ends {
        lowest = f64::max(y, lowest + LINE);
        let (name, colour) = (curves[index].0, COLOURS[index % COLOURS.len()]);
        let _ = write!(svg, "<text x='{:.1}' y='{:.1}' fill='{colour}'>{name}</text>", x + 6.0, lowest + 4.0);
    }
}

pub(crate) fn framed(title: &str, inside: &str) -> String {
    format!("<h2>{title}</h2><svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{title}'>{inside}</svg>\n")
}

/// Every span that has samples, from its least to its longest.
fn percentiles(latencies: &Latencies) -> String {
    let spans: Vec<&Span> = latencies.spans().filter(|span| span.percentiles().n > 0).collect();
    let axis = Axis::of(spans.iter().flat_map(|span| [span.at(0.0), span.at(1.0)]));
    let column = |index: usize| LEFT + (WIDTH - RIGHT - LEFT) * index as f64 / QUANTILES.len() as f64;
    let mut svg = String::new();
    axis.grid(&mut svg);
    for (index, (label, _)) in QUANTILES.iter().enumerate().step_by(2) {
        let _ = write!(svg, "<text x='{:.1}' y='{}' class='below'>{label}</text>", column(index), HEIGHT - 16.0);
    }
    let told = spans.iter().map(|span| {
        let n = span.percentiles().n as f64;
        // A percentile of fewer samples than it is fine is the longest one.
        let told = QUANTILES.iter().enumerate().filter(|(_, (_, quantile))| (1.0 - quantile) * n >= 1.0);
        let mut points: Vec<(f64, f64)> = told.map(|(index, (_, q))| (column(index), axis.y(span.at(*q)))).collect();
        points.push((points.last().map_or(LEFT, |point| point.0) + 20.0, axis.y(span.at(1.0))));
        (span.name, points)
    });
    curves(&mut svg, &told.collect::<Vec<_>>());
    framed("Percentiles of each span; the last point of a curve is its longest sample", &svg)
}

/// Tick to order in each part of the day.
fn over_time(window_ns: (u64, u64), parts: &[Histogram<u64>]) -> String {
    let filled = || parts.iter().enumerate().filter(|(_, part)| !part.is_empty());
    let axis = Axis::of(filled().flat_map(|(_, part)| [part.value_at_quantile(0.5), part.max()]));
    let column = |index: usize| LEFT + (WIDTH - RIGHT - LEFT) * (index as f64 + 0.5) / PARTS as f64;
    let mut svg = String::new();
    axis.grid(&mut svg);
    for (x, ns) in [(LEFT, window_ns.0), (WIDTH - RIGHT, window_ns.1)] {
        let _ = write!(svg, "<text x='{x}' y='{}' class='below'>{}</text>", HEIGHT - 16.0, &tai_time(ns)[11..19]);
    }
    let told = OVER_TIME.iter().map(|(name, quantile)| {
        let at = |part: &Histogram<u64>| axis.y(part.value_at_quantile(*quantile));
        let points: Vec<(f64, f64)> = filled().map(|(index, part)| (column(index), at(part))).collect();
        (*name, points)
    });
    curves(&mut svg, &told.collect::<Vec<_>>());
    framed("Tick to order over time (TAI)", &svg)
}

fn table(latencies: &Latencies) -> String {
    let mut rows = String::new();
    for span in latencies.spans() {
        let p = span.percentiles();
        let _ = write!(rows, "<tr><td>{}<td class='text'>{}<td>{}", span.name, span.help, grouped(p.n));
        for value in [p.min, p.p50, p.p90, p.p99, p.p999, p.max] {
            let _ = write!(rows, "<td>{}", duration(value));
        }
        rows.push_str("</tr>\n");
    }
    format!("<table><tr><th>span<th>from, to<th>n<th>min<th>p50<th>p90<th>p99<th>p99.9<th>max</tr>\n{rows}</table>\n")
}

const STYLE: &str = "body{font:14px sans-serif;max-width:960px;margin:2em auto;color:#222}svg{width:100%}\
    polyline{fill:none;stroke-width:1.6}text{font-size:11px}.grid{stroke:#ddd}.left{text-anchor:end}\
    .below{text-anchor:middle}td,th{padding:2px 8px;text-align:right;white-space:nowrap}td:nth-child(-n+2),th:nth-child(-n+2),.text{text-align:left}td.text{white-space:normal}";

/// Writes the page.
///
/// # Errors
/// When the journal cannot be read, has no samples, or the file cannot be written.
pub(crate) fn write(folder: &Path, latencies: &Latencies, file: &Path) -> Result<(), Failure> {
    let (first, last) = latencies.window_ns;
    if latencies.tick_to_order.percentiles().n == 0 {
        return Err(Failure::failed("the journal has no order with stage stamps: there is nothing to draw"));
    }
    let empty = || Histogram::new_with_bounds(1, SPAN_NS_MAX, 2).map_err(Failure::failed);
    let mut parts: Vec<Histogram<u64>> = (0..PARTS).map(|_| empty()).collect::<Result<_, _>>()?;
    let long = (last - first).max(1);
    records::for_each(folder, 0, |header, body| {
        if header.kind == Kind::Stages as u16
            && let Ok(record) = StageRecord::read_from_bytes(body)
            && record.order != 0
        {
            let part = u128::from(header.tai_ns.saturating_sub(first)) * PARTS as u128 / u128::from(long);
            let stamp = |stage: Stage| record.stage_ns[stage as usize];
            let ns = stamp(Stage::Encoded).saturating_sub(stamp(Stage::FrameSeen));
            parts[(part as usize).min(PARTS - 1)].saturating_record(ns);
        }
        true
    })?;
    let page = format!(
        "<!doctype html><meta charset='utf-8'><title>Tern latency</title><style>{STYLE}</style>\n<h1>Latency</h1>\n\
         <p>{} to {}, from the stage records of {}.</p>\n{}{}{}{}",
        tai_time(first),
        tai_time(last),
        folder.display().to_string().replace('<', "&lt;"),
        table(latencies),
        percentiles(latencies),
        over_time((first, last), &parts),
        picture_outliers::section(folder, (first, last))?
    );
    std::fs::write(file, page).map_err(|error| Failure::failed(format!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use crate::history::latency;
    use crate::outliers::tests::{Bench, with};

    #[test]
    fn the_page_has_every_span_and_both_pictures() {
        let mut bench = with("picture", 0, [500, 100, 9_000_000, 50, 40, 10], false);
        bench.flush();
        let file = bench.folder.with_extension("html");
        latency(&bench.folder, false, Some(&file)).expect("a page");
        let page = std::fs::read_to_string(&file).expect("a page");
        std::fs::remove_file(&file).expect("it is there");
        assert_eq!((page.matches("<svg").count(), page.matches("<circle").count()), (3, 1));
        for part in ["tick_to_order", ">p99.9<", ">max<", "10.00 ms</text>", "<td>9.00 ms", ">1 host</text>"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        // Ends in one height are apart: no two names at one place.
        let mut places: Vec<&str> = page.match_indices("fill='#").map(|(at, _)| &page[at - 18..at]).collect();
        let count = places.len();
        places.sort_unstable();
        places.dedup();
        assert!(count > 8 && places.len() == count, "{places:?}");
    }

    #[test]
    fn without_a_sample_there_is_no_page() {
        let mut bench = Bench::new("no-picture");
        bench.flush();
        let file = bench.folder.with_extension("html");
        let failure = latency(&bench.folder, false, Some(&file)).expect_err("nothing to draw");
        assert!(failure.message.contains("nothing to draw") && !file.exists(), "{}", failure.message);
    }
}
