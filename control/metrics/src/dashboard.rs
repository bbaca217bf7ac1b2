//! The Grafana dashboard: a panel for each [`Panel`], with every family that sits in it.

use serde_json::{Value, json};

use crate::panel::Panel;
use crate::table::{Family, Kind, families};

/// The dashboard's own schema version; Grafana migrates older ones.
const SCHEMA_VERSION: u32 = 39;
const COLUMNS: u64 = 24;
const PANEL_WIDTH: u64 = 8;
const PANEL_HEIGHT: u64 = 8;
/// Quantiles of a histogram that are drawn.
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];
/// The scrape job, and the instances that are chosen above the panels.
const CHOSEN: &str = r#"job="tern",instance=~"$instance""#;

/// A line of a panel: what is asked, and how its lines are called.
struct Query {
    expr: String,
    legend: String,
}

fn queries(family: &Family) -> Vec<Query> {
    let series = format!("{}{{{CHOSEN}}}", family.series());
    let labels: String = family.labels.iter().map(|label| format!(" {{{{{label}}}}}")).collect();
    let name = family.name.trim_start_matches("tern_");
    let legend = format!("{{{{instance}}}} {name}{labels}");
    match family.kind {
        Kind::Gauge => vec![Query { expr: series, legend }],
        Kind::Counter => vec![Query { expr: format!("rate({series}[$__rate_interval])"), legend }],
        Kind::Histogram => QUANTILES
            .iter()
            .map(|quantile| Query {
                expr: format!(
                    "histogram_quantile({quantile}, sum by (instance, le{}) (rate({series}[$__rate_interval])))",
                    family.labels.iter().map(|label| format!(", {label}")).collect::<String>()
                ),
                legend: format!("{{{{instance}}}}{labels} p{}", quantile * 100.0),
            })
            .collect(),
    }
}

fn panel(panel: Panel, families: &[Family], id: u64, x: u64, y: u64) -> Value {
    let inside: Vec<&Family> = families.iter().filter(|family| family.panel == panel).collect();
    let queries: Vec<Query> = inside.iter().flat_map(|family| queries(family)).collect();
    let targets: Vec<Value> = (queries.iter().enumerate())
        .map(|(index, query)| {
            json!({
                "refId": format!("Q{index}"), "expr": query.expr, "legendFormat": query.legend,
                "datasource": { "type": "prometheus", "uid": "${datasource}" },
            })
        })
        .collect();
    let described: Vec<String> = inside
        .iter()
        .map(|family| format!("**{}** {} What to do: {}.", family.series(), family.help, family.todo))
        .collect();
    json!({
        "id": id,
        "type": "timeseries",
        "title": panel.title(),
        "description": described.join("\n\n"),
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "gridPos": { "x": x, "y": y, "w": PANEL_WIDTH, "h": PANEL_HEIGHT },
        "fieldConfig": { "defaults": { "unit": panel.unit() }, "overrides": [] },
        "options": { "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi", "sort": "desc" } },
        "targets": targets,
    })
}

/// The dashboard as JSON.
pub fn dashboard() -> Value {
    let families = families();
    let (mut panels, mut id, mut y) = (Vec::new(), 0, 0);
    let mut next_id = || {
        id += 1;
        id
    };
    let mut sections: Vec<&str> = Vec::new();
    for panel in Panel::ALL {
        if !sections.contains(&panel.section()) {
            sections.push(panel.section());
        }
    }
    for section in sections {
        panels.push(json!({
            "id": next_id(), "type": "row", "title": section, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
        }));
        y += 1;
        let inside: Vec<Panel> = Panel::ALL.iter().copied().filter(|panel| panel.section() == section).collect();
        for row in inside.chunks((COLUMNS / PANEL_WIDTH) as usize) {
            for (place, one) in row.iter().enumerate() {
                panels.push(panel(*one, &families, next_id(), place as u64 * PANEL_WIDTH, y));
            }
            y += PANEL_HEIGHT;
        }
    }
    json!({
        "title": "Tern",
        "uid": "tern",
        "description": "Made by `tern-metrics --make` from the table of metrics.",
        "tags": ["tern"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": true,
        "refresh": "5s",
        "time": { "from": "now-30m", "to": "now" },
        "timezone": "browser",
        "annotations": { "list": [{
            "name": "Alerts", "enable": true, "iconColor": "red",
            "datasource": { "type": "prometheus", "uid": "${datasource}" },
            "expr": "ALERTS{alertstate=\"firing\",job=\"tern\",instance=~\"$instance\"}", "titleFormat": "{{alertname}}",
        }] },
        "templating": { "list": [
            { "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus" },
            { "name": "instance", "type": "query", "label": "Instance", "multi": true, "includeAll": true, "allValue": ".*",
              "datasource": { "type": "prometheus", "uid": "${datasource}" },
              "query": { "query": "label_values(tern_build_info, instance)", "refId": "instances" },
              "current": { "text": "All", "value": "$__all" }, "refresh": 2 },
        ] },
        "panels": panels,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_family_is_drawn_and_no_panel_lies_on_another() {
        let dashboard = dashboard();
        let panels = dashboard["panels"].as_array().expect("panels");
        let (mut ids, mut places, mut drawn) = (BTreeSet::new(), BTreeSet::new(), String::new());
        for panel in panels {
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
            for cell in (0..at("w")).flat_map(|x| (0..at("h")).map(move |y| (x, y))) {
                assert!(places.insert((at("x") + cell.0, at("y") + cell.1)), "{} lies on another", panel["title"]);
            }
            assert!(at("x") + at("w") <= COLUMNS);
            for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
                drawn += target["expr"].as_str().expect("an expression");
                drawn.push('\n');
            }
        }
        for family in families() {
            let asked = format!("{}{{", family.series());
            assert!(drawn.contains(&asked), "{} is in no panel", family.name);
        }
    }
}
