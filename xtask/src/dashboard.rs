//! `cargo xtask dashboard`: a dashboard for Grafana with a panel for each metric of docs/metrics.md, which is made of the table
//! in the program.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::paths::Paths;

const FILE: &str = "deploy/grafana/rosey.json";
const PAGE: &str = "docs/metrics.md";

/// Width and height of a panel; a row has 24.
const PANEL: (u64, u64) = (8, 7);

/// The parts of the dashboard, by what the names of their metrics begin with. The rest stands in the first one.
const PARTS: [(&str, &[&str]); 7] = [
    ("Process", &[]),
    ("Paths of the bot", &["operation", "fallbacks", "hedges", "serving", "circuit", "nats"]),
    ("Outbox", &["outbox"]),
    ("Bot", &["bot"]),
    ("Database service", &["service"]),
    ("Stream", &["stream"]),
    ("Database", &["commit", "database"]),
];

/// A line of the page.
#[derive(Debug, PartialEq, Eq)]
struct Metric {
    name: String,
    kind: String,
    labels: Vec<String>,
    help: String,
}

/// Writes the dashboard, or with `--check` compares it.
pub(crate) fn write(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let check = match args {
        [] => false,
        [arg] if arg == "--check" => true,
        _ => return Err(Failure::usage("`dashboard` takes nothing but --check")),
    };
    let made = made(paths)?;
    let file = paths.root().join(FILE);
    if !check {
        std::fs::write(&file, made).map_err(|e| Failure::io(format!("write {FILE}"), &e))?;
        return Ok(ExitCode::SUCCESS);
    }
    let there = std::fs::read_to_string(&file).map_err(|e| Failure::io(format!("read {FILE}"), &e))?;
    if there == made {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(format!("{FILE} does not show what {PAGE} lists; `cargo xtask dashboard` writes it")))
}

fn made(paths: &Paths) -> Result<String, Failure> {
    let page = std::fs::read_to_string(paths.root().join(PAGE));
    let page = page.map_err(|e| Failure::io(format!("read {PAGE}"), &e))?;
    let text = serde_json::to_string_pretty(&dashboard(&metrics(&page))).unwrap_or_default();
    Ok(format!("{text}\n"))
}

/// The metrics of the page, in its order.
fn metrics(page: &str) -> Vec<Metric> {
    let read = |line: &str| {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, _, help] = cells[..] else { return None };
        let words = |cell: &str| -> Vec<String> {
            cell.split('`').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let name = words(name).pop().filter(|name| name.starts_with("rosey_"))?;
        Some(Metric { name, kind: kind.to_owned(), labels: words(labels), help: help.to_owned() })
    };
    page.lines().filter_map(read).collect()
}

fn dashboard(metrics: &[Metric]) -> Value {
    let (mut panels, mut y) = (Vec::new(), 0);
    for (part, (title, _)) in PARTS.iter().enumerate() {
        let id = panels.len() + 1;
        panels.push(json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": 24, "h": 1 },
        }));
        y += 1;
        let mut x = 0;
        for metric in metrics.iter().filter(|metric| metric.part() == part) {
            if x + PANEL.0 > 24 {
                (x, y) = (0, y + PANEL.1);
            }
            panels.push(metric.panel(panels.len() + 1, x, y));
            x += PANEL.0;
        }
        y += PANEL.1;
    }
    let variable = |name: &str, query: String| {
        json!({
            "name": name, "type": "query", "query": query, "datasource": source(), "refresh": 2,
            "multi": true, "includeAll": true, "current": { "text": "All", "value": "$__all" },
        })
    };
    json!({
        "title": "Rosey",
        "uid": "rosey",
        "tags": ["rosey"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "type": "datasource", "query": "prometheus" },
            variable("instance", "label_values(rosey_build_info, instance)".to_owned()),
        ] },
        "annotations": { "list": [{
            "name": "alerts", "enable": true, "iconColor": "red", "datasource": source(),
            "expr": "ALERTS{alertname=~\"Rosey.*\", alertstate=\"firing\"}", "titleFormat": "{{alertname}}",
        }] },
        "panels": panels,
    })
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

impl Metric {
    /// The place of its part among [`PARTS`].
    fn part(&self) -> usize {
        let rest = self.name.trim_start_matches("rosey_");
        let begins = |begins: &&str| rest.starts_with(*begins);
        PARTS.iter().position(|(_, beginnings)| beginnings.iter().any(begins)).unwrap_or(0)
    }

    fn panel(&self, id: usize, x: u64, y: u64) -> Value {
        let targets: Vec<Value> = self.expressions().into_iter().enumerate().map(target).collect();
        json!({
            "id": id, "type": "timeseries", "title": self.name, "description": self.help, "datasource": source(),
            "gridPos": { "x": x, "y": y, "w": PANEL.0, "h": PANEL.1 },
            "fieldConfig": { "defaults": { "unit": self.unit(), "min": 0 }, "overrides": [] },
            "options": { "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi" } },
            "targets": targets,
        })
    }

    /// What is asked for, each with its legend. A counter is shown by its rate, a histogram by two quantiles, a moment by how
    /// long ago it is.
    fn expressions(&self) -> Vec<(String, String)> {
        let Self { name, kind, labels, .. } = self;
        // What is a room's own says so, of a bot that is in several.
        let by =
            ["instance", "room"].into_iter().chain(labels.iter().map(String::as_str)).collect::<Vec<_>>();
        let legend = by.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ");
        let by = by.join(", ");
        let of = |suffix: &str| format!("{name}{suffix}{{instance=~\"$instance\"}}");
        match kind.as_str() {
            "counter" => vec![(format!("sum by ({by}) (rate({}[$__rate_interval]))", of("")), legend)],
            "histogram" => [("0.5", "p50"), ("0.99", "p99")]
                .map(|(quantile, said)| {
                    let rate = format!("sum by ({by}, le) (rate({}[$__rate_interval]))", of("_bucket"));
                    (format!("histogram_quantile({quantile}, {rate})"), format!("{said} {legend}"))
                })
                .to_vec(),
            _ if self.is_a_moment() => vec![(format!("time() - ({} > 0)", of("")), legend)],
            _ => vec![(of(""), legend)],
        }
    }

    fn is_a_moment(&self) -> bool {
        self.name.ends_with("_time_seconds") || self.name.ends_with("_since_seconds")
    }

    fn unit(&self) -> &'static str {
        match self.name.as_str() {
            // Seconds in each second.
            name if name.ends_with("_seconds_total") => "percentunit",
            name if name.ends_with("_total") => "ops",
            name if name.ends_with("_seconds") => "s",
            name if name.ends_with("_bytes") => "bytes",
            _ => "short",
        }
    }
}

fn target((place, (expression, legend)): (usize, (String, String))) -> Value {
    let letter = if place == 0 { "A" } else { "B" };
    json!({ "refId": letter, "expr": expression, "legendFormat": legend, "datasource": source() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_panel_and_the_dashboard_is_that_of_the_page() {
        let paths = Paths::find().expect("the workspace");
        let page = std::fs::read_to_string(paths.root().join(PAGE)).expect(PAGE);
        let all = metrics(&page);
        assert_eq!(all.len(), page.matches("\n| `rosey_").count());
        let dashboard = dashboard(&all);
        let panels = dashboard["panels"].as_array().expect("panels");
        let shown: Vec<&str> = panels.iter().filter_map(|panel| panel["title"].as_str()).collect();
        for metric in &all {
            assert_eq!(shown.iter().filter(|title| **title == metric.name).count(), 1, "{}", metric.name);
        }
        let written = std::fs::read_to_string(paths.root().join(FILE)).expect(FILE);
        assert!(written == made(&paths).expect("made"), "`cargo xtask dashboard` writes {FILE}");
    }

    #[test]
    fn a_line_of_the_page_is_a_metric_with_its_labels() {
        let line = "| `rosey_a_total` | counter | `operation` `path` | `bot`, `up` | What it counts. |";
        let labels = ["operation", "path"].map(str::to_owned).to_vec();
        let (name, kind) = ("rosey_a_total".to_owned(), "counter".to_owned());
        let help = "What it counts.".to_owned();
        assert_eq!(metrics(line), [Metric { name, kind, labels, help }]);
        assert!(metrics("| metric | kind | labels | of | |\n|---|---|---|---|---|").is_empty());
    }
}
