//! The alert rules: one for each alert that ternd raises by itself, from the same table, and Prometheus' own.

use std::fmt::Write;

use tern_config::alerts::{AlertKind, Severity};

use crate::rules_table::{OWN, RECORDED};

/// An alert rule of Prometheus.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Name of the alert.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// When it is so.
    pub expr: String,
    /// For how long, s.
    pub for_s: u32,
    /// What it means.
    pub help: &'static str,
    /// What to do, a clause.
    pub todo: &'static str,
    /// The alert of ternd that it repeats, which pages by itself.
    pub kind: Option<AlertKind>,
    /// For its test: series with which it fires, and does not, labels of what fires, and when.
    pub(crate) test: Test,
}

/// See [`Rule`].
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) fires: Vec<(String, String)>,
    pub(crate) silent: Vec<(String, String)>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) at_s: u32,
}

/// Every rule.
pub fn rules() -> Vec<Rule> {
    AlertKind::ALL.iter().map(|kind| of_kind(*kind)).chain(OWN.iter().map(of_own)).collect()
}

fn of_kind(kind: AlertKind) -> Rule {
    let selector = format!("tern_alert_raised{{alert=\"{}\"}}", kind.name());
    let severity = kind.severity().name();
    let series = format!("tern_alert_raised{{alert=\"{}\",severity=\"{severity}\"}}", kind.name());
    let other = "tern_alert_raised{alert=\"another\",severity=\"critical\"}".to_owned();
    Rule {
        name: format!("Tern{}", camel(kind.name())),
        severity: kind.severity(),
        expr: format!("{selector} == 1"),
        for_s: 0,
        help: kind.help(),
        todo: kind.todo(),
        kind: Some(kind),
        test: Test {
            fires: vec![(series.clone(), "0 1x5".into())],
            silent: vec![(series, "0x6".into()), (other, "1x6".into())],
            labels: vec![("alert".into(), kind.name().into())],
            at_s: 10,
        },
    }
}

fn of_own(own: &crate::rules_table::Own) -> Rule {
    let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
    Rule {
        name: own.name.into(),
        severity: own.severity,
        expr: own.expr.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
        for_s: own.for_s,
        help: own.help,
        todo: own.todo,
        kind: None,
        test: Test { fires: owned(own.fires), silent: owned(own.silent), labels: owned(own.labels), at_s: own.at_s },
    }
}

fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(1.min(word.len()));
        first.to_ascii_uppercase() + rest
    };
    name.split('_').map(capital).collect()
}

/// A text as YAML's single-quoted one.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Where alerts are described, for whoever gets one.
pub(crate) const RUNBOOK: &str = "docs/ALERTS.md";

/// The rules file.
pub fn yaml() -> String {
    let mut text = String::from(
        "# Made by `tern-metrics --make` from control/metrics; a test says when it is stale.\n\
         # The scrape job is called tern; docs/METRICS.md has its configuration.\ngroups:\n",
    );
    text.push_str("  - name: tern-recorded\n    interval: 30s\n    rules:\n");
    for recorded in RECORDED {
        let _ = writeln!(text, "      # {}", recorded.help);
        let _ = writeln!(text, "      - record: {}\n        expr: {}", recorded.name, quoted(recorded.expr));
    }
    let (of_ternd, own): (Vec<Rule>, Vec<Rule>) = rules().into_iter().partition(|rule| rule.kind.is_some());
    for (name, rules) in [("tern-alerts-of-ternd", of_ternd), ("tern-alerts", own)] {
        let _ = writeln!(text, "  - name: {name}\n    rules:");
        rules.iter().for_each(|rule| text.push_str(&one(rule)));
    }
    text
}

fn one(rule: &Rule) -> String {
    let wait = if rule.for_s == 0 { String::new() } else { format!("        for: {}s\n", rule.for_s) };
    format!(
        "      - alert: {}\n        expr: {}\n{wait}        labels:\n          severity: {}\n        annotations:\n          \
         summary: {}\n          todo: {}\n          runbook: {}\n",
        rule.name,
        quoted(&rule.expr),
        rule.severity.name(),
        quoted(rule.help),
        quoted(rule.todo),
        quoted(RUNBOOK),
    )
}

/// The table of Prometheus' own rules, as docs/ALERTS.md has it.
pub fn table() -> String {
    let mut text = String::from("| alert | severity | means | raised when | what to do |\n|---|---|---|---|---|\n");
    for rule in rules().iter().filter(|rule| rule.kind.is_none()) {
        let wait = if rule.for_s == 0 { String::new() } else { format!(", for {} s", rule.for_s) };
        let expr = rule.expr.replace('|', "\\|");
        let severity = rule.severity.name();
        let _ = writeln!(text, "| `{}` | {severity} | {} | `{expr}`{wait} | {} |", rule.name, rule.help, rule.todo);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::table::families;

    #[test]
    fn rules_name_metrics_that_exist_and_are_sentences() {
        let families = families();
        let mut names: BTreeSet<String> = families.iter().map(crate::table::Family::series).collect();
        names.extend(families.iter().map(|family| family.name.clone()));
        names.insert("tern_latency_seconds_count".into());
        let mut checked = 0;
        for expr in rules().iter().map(|rule| rule.expr.clone()).chain(RECORDED.iter().map(|it| it.expr.to_owned())) {
            let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            for word in words.filter(|word| word.starts_with("tern_")) {
                assert!(names.contains(word), "{expr}: no metric {word}");
                checked += 1;
            }
        }
        assert!(checked > 40, "{checked}");
        let unique: BTreeSet<String> = rules().into_iter().map(|rule| rule.name).collect();
        assert_eq!(unique.len(), rules().len());
        for rule in rules() {
            assert!(rule.help.ends_with('.') && !rule.todo.ends_with('.'), "{}", rule.name);
        }
    }

    #[test]
    fn the_page_of_alerts_has_the_table_word_for_word() {
        let page = include_str!("../../../docs/ALERTS.md");
        assert!(page.contains(&table()), "docs/ALERTS.md differs from the rules; it should have:\n{}", table());
    }
}
