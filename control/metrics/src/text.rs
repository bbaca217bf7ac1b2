//! What a scraper reads: the text format of Prometheus (0.0.4), and OpenMetrics (1.0.0).

use std::fmt::Write;

use serde_json::json;
use tern_abi::segment::Segment;

use crate::seen::Seen;
use crate::table::{Family, Kind};
use crate::values::{Sample, Value, samples};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The one that a scraper asks for in its `Accept` header: OpenMetrics where it names it, else Prometheus text.
    pub fn of_accept(accept: &str) -> Self {
        let wants = accept.split(',').map(str::trim).any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            let is_refused = parts.any(|part| {
                part.strip_prefix("q=").and_then(|weight| weight.trim().parse::<f64>().ok()).is_some_and(|q| q <= 0.0)
            });
            is_it && !is_refused
        });
        if wants { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The `Content-Type` of the answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Everything, in a format.
pub fn render(families: &[Family], seen: &Seen, segment: Option<&Segment<'_>>, format: Format) -> String {
    let mut text = String::with_capacity(1 << 16);
    for family in families {
        let found = samples(family.source, seen, segment);
        if !found.is_empty() {
            head(&mut text, family, format);
            found.iter().for_each(|sample| lines(&mut text, family, sample));
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// Everything as lines of JSON, for `--once --json`.
pub fn json(families: &[Family], seen: &Seen, segment: Option<&Segment<'_>>) -> String {
    let mut text = String::new();
    for mut value in values(families, seen, segment) {
        value["version"] = 1.into();
        let _ = writeln!(text, "{value}");
    }
    text
}

/// Each value as an object: `name`, `labels`, `value`.
pub(crate) fn values(families: &[Family], seen: &Seen, segment: Option<&Segment<'_>>) -> Vec<serde_json::Value> {
    let mut all = Vec::new();
    for family in families {
        for sample in samples(family.source, seen, segment) {
            each_line(family, &sample, |name, labels, value| {
                let labels: serde_json::Map<String, serde_json::Value> =
                    labels.iter().map(|(key, text)| ((*key).to_owned(), text.as_str().into())).collect();
                all.push(json!({ "name": name, "labels": labels, "value": value }));
            });
        }
    }
    all
}

fn head(text: &mut String, family: &Family, format: Format) {
    let name = match (format, family.kind) {
        // Prometheus' own format describes the sample, OpenMetrics the family.
        (Format::Prometheus, Kind::Counter) => family.series(),
        _ => family.name.clone(),
    };
    let help = match format {
        Format::Prometheus => family.help.replace('\\', "\\\\").replace('\n', "\\n"),
        Format::OpenMetrics => escaped(&family.help),
    };
    let _ = writeln!(text, "# HELP {name} {help}");
    let _ = writeln!(text, "# TYPE {name} {}", family.kind.name());
    if format == Format::OpenMetrics && !family.unit().is_empty() {
        let _ = writeln!(text, "# UNIT {name} {}", family.unit());
    }
}

fn lines(text: &mut String, family: &Family, sample: &Sample) {
    each_line(family, sample, |name, labels, value| {
        text.push_str(name);
        for (index, (key, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(text, "{before}{key}=\"{}\"", escaped(value));
        }
        text.push_str(if labels.is_empty() { " " } else { "} " });
        text.push_str(&number(value));
        text.push('\n');
    });
}

fn each_line(family: &Family, sample: &Sample, mut line: impl FnMut(&str, &[(&'static str, String)], f64)) {
    match &sample.value {
        Value::Number(value) if family.kind == Kind::Counter => line(&family.series(), &sample.labels, *value),
        Value::Number(value) => line(&family.name, &sample.labels, *value),
        Value::Buckets { cumulative, sum } => {
            for (bound, count) in cumulative {
                let mut labels = sample.labels.clone();
                labels.push(("le", number(*bound)));
                line(&format!("{}_bucket", family.name), &labels, *count as f64);
            }
            let all = cumulative.last().map_or(0, |(_, count)| *count);
            line(&format!("{}_sum", family.name), &sample.labels, *sum);
            line(&format!("{}_count", family.name), &sample.labels, all as f64);
        }
    }
}

fn number(value: f64) -> String {
    match value {
        _ if value.is_infinite() && value > 0.0 => "+Inf".into(),
        _ if value.is_infinite() => "-Inf".into(),
        _ if value.is_nan() => "NaN".into(),
        // Ten digits: 1e-7 stays itself, and no 0.30000000000000004 becomes a bound's name.
        _ if value != 0.0 && value.abs() < 1.0 => {
            let text = format!("{value:.12}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{value}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::families;

    #[test]
    fn a_scraper_gets_the_format_that_it_asks_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::of_accept(prometheus), Format::OpenMetrics);
        for accept in
            ["", "*/*", "text/plain", "text/html, application/openmetrics-text; q=0", "application/openmetrics-textual"]
        {
            assert_eq!(Format::of_accept(accept), Format::Prometheus, "{accept}");
        }
    }

    #[test]
    fn values_and_labels_are_written_so_that_they_are_read_as_they_were() {
        for (value, text) in [
            (0.0, "0"),
            (3.0, "3"),
            (-2.5, "-2.5"),
            (1e-7, "0.0000001"),
            (100.0 * 1e-9, "0.0000001"),
            (750.0 * 1e-9, "0.00000075"),
            (1e9, "1000000000"),
            (4e18, "4000000000000000000"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn without_a_segment_it_says_so_and_ends_as_the_format_wants() {
        let text = render(&families(), &Seen::default(), None, Format::OpenMetrics);
        assert!(text.contains("# TYPE tern_segment_up gauge\ntern_segment_up 0\n"), "{text}");
        assert!(
            text.contains(
                "# TYPE tern_metrics_requests counter\ntern_metrics_requests_total{outcome=\"answered\"} 0\n"
            )
        );
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
        assert!(!text.contains("tern_trading "), "nothing is made up");
        let text = render(&families(), &Seen::default(), None, Format::Prometheus);
        assert!(text.contains("# TYPE tern_metrics_requests_total counter\n") && !text.contains("# EOF"));
        assert!(text.contains("# TYPE tern_clock_offset_seconds gauge\n") && !text.contains("# UNIT"));
    }
}
