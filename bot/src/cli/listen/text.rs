//! Samples in the text format of Prometheus, version 0.0.4.

use std::fmt::Write;

use super::samples::{Sample, Samples};
use super::table::TABLE;

/// The type of such a text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The samples, each metric once and in the order of the table.
pub(super) fn of(samples: &Samples) -> String {
    let mut text = String::new();
    for metric in TABLE {
        let mut named = samples.all.iter().filter(|sample| sample.name == metric.name).peekable();
        if named.peek().is_none() {
            continue;
        }
        let _ = writeln!(text, "# HELP {} {}", metric.name, metric.help);
        let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind.as_str());
        named.for_each(|sample| line(&mut text, sample));
        text.push('\n');
    }
    text
}

fn line(text: &mut String, Sample { name, labels, value }: &Sample) {
    text.push_str(name);
    let mut before = '{';
    for (label, value) in labels {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{before}{label}=\"{value}\"");
        before = ',';
    }
    text.push_str(if labels.is_empty() { "" } else { "}" });
    let _ = writeln!(text, " {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_as_prometheus_reads_them() {
        let sample = |labels: &[(&'static str, &str)], value| Sample {
            name: "rosey_ready",
            labels: labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect(),
            value,
        };
        let all = vec![sample(&[], 1.0), sample(&[("a", "x\"y\\z\n"), ("b", "")], 0.25)];
        let mut samples = Samples::default();
        samples.all = all;
        let help = "# HELP rosey_ready 1 while /readyz answers 200, else 0.\n# TYPE rosey_ready gauge\n";
        let lines = "rosey_ready 1\nrosey_ready{a=\"x\\\"y\\\\z\\n\",b=\"\"} 0.25\n\n";
        assert_eq!(of(&samples), format!("{help}{lines}"));
    }
}
