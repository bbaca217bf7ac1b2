//! Unit tests of the rules, for `promtool test rules`: each rule has to fire with its series and be silent without.

use std::fmt::Write;

use crate::rules::{RUNBOOK, Rule, quoted, rules};

/// Samples stand so far apart, s.
const STEP_S: u32 = 5;

/// The file of tests, beside the rules file.
pub(crate) fn yaml() -> String {
    let mut text = String::from(
        "# Made by `tern-metrics --make` from control/metrics; a test says when it is stale.\n\
         rule_files: [tern.rules.yml]\nevaluation_interval: 5s\ntests:\n",
    );
    for rule in rules() {
        text.push_str(&case(&rule, "fires", &rule.test.fires, true));
        text.push_str(&case(&rule, "is silent", &rule.test.silent, false));
    }
    text
}

fn case(rule: &Rule, what: &str, series: &[(String, String)], fires: bool) -> String {
    let mut text = format!("  - name: {} {what}\n    interval: {STEP_S}s\n    input_series:\n", rule.name);
    for (name, values) in series {
        let _ = writeln!(text, "      - series: {}\n        values: {}", quoted(&of_job(name)), quoted(values));
    }
    let _ = writeln!(
        text,
        "    alert_rule_test:\n      - eval_time: {}s\n        alertname: {}",
        rule.test.at_s, rule.name
    );
    if !fires {
        text.push_str("        exp_alerts: []\n");
        return text;
    }
    text.push_str("        exp_alerts:\n          - exp_labels:\n");
    let labels = [("job", "tern"), ("instance", "host:9464"), ("severity", rule.severity.name())];
    let own = rule.test.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in labels.into_iter().chain(own) {
        let _ = writeln!(text, "              {name}: {}", quoted(value));
    }
    let _ = writeln!(
        text,
        "            exp_annotations:\n              summary: {}\n              todo: {}\n              runbook: {}",
        quoted(rule.help),
        quoted(rule.todo),
        quoted(RUNBOOK)
    );
    text
}

/// The series with the labels that scraping gives it.
fn of_job(series: &str) -> String {
    let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
    let comma = if rest == "}" { "" } else { "," };
    format!("{name}{{job=\"tern\",instance=\"host:9464\"{comma}{rest}")
}
