//! docs/METRICS.md: what is said once, then each family with what to do and the alerts on it.

use std::fmt::Write;

use tern_abi::record::SPAN_NAMES;
use tern_abi::steer::SteerCounter;

use crate::panel::Panel;
use crate::rules::{Rule, rules};
use crate::table::{Family, Other, Source, families};

const HEAD: &str = include_str!("page_head.md");

/// The page.
pub fn page() -> String {
    let (families, rules) = (families(), rules());
    let mut text = HEAD.to_owned();
    let mut section = "";
    for panel in Panel::ALL {
        if panel.section() != section {
            section = panel.section();
            let _ = write!(text, "\n## {section}\n");
        }
        let _ = write!(text, "\n### {}\n\n", panel.title());
        families
            .iter()
            .filter(|family| family.panel == *panel)
            .for_each(|family| text.push_str(&entry(family, &rules)));
    }
    text
}

fn entry(family: &Family, rules: &[Rule]) -> String {
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!(" by {}", labels.join(", ")) };
    let alerts = alerts_on(family, rules);
    let alerts = if alerts.is_empty() { String::new() } else { format!(" Alert: {}.", alerts.join(", ")) };
    let values = values_of(family);
    format!(
        "- `{}` ({}{labels}): {}{values} What to do: {}.{alerts}\n",
        family.series(),
        family.kind.name(),
        family.help,
        family.todo
    )
}

/// The rules that ask for it.
fn alerts_on(family: &Family, rules: &[Rule]) -> Vec<String> {
    let asks = |rule: &&Rule| {
        let words = rule.expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.into_iter().any(|word| word == family.series())
    };
    // Every alert of ternd is a value of one family: docs/ALERTS.md lists them.
    let own = rules.iter().filter(|rule| rule.kind.is_none()).filter(asks);
    own.map(|rule| format!("`{}`", rule.name)).collect()
}

/// What the values of a label mean, where the label's name does not say it.
fn values_of(family: &Family) -> String {
    match family.source {
        Source::Other(Other::Steer) => SteerCounter::ALL
            .iter()
            .fold(String::new(), |text, counter| text + &format!(" `{}`: {}", counter.name(), counter.help())),
        Source::Other(Other::Latency) => {
            let names: Vec<String> = SPAN_NAMES.iter().map(|name| format!("`{name}`")).collect();
            format!(" Spans: {}.", names.join(", "))
        }
        _ => String::new(),
    }
}
