//! The result of one run of a bench, as a file of JSON: what was measured, when, where, and which bars were met.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::paths::Paths;

/// The unit of rows of which more is better; of all others less is.
const RATE: &str = "per s";

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) group: String,
    pub(crate) row: String,
    pub(crate) unit: String,
    /// The median, between the ends of its confidence interval or of its rounds.
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The row of the same run that it is measured beside, and its share of that one's value.
    pub(crate) beside: Option<(String, f64)>,
    pub(crate) bars: Vec<BarResult>,
}

/// A bar, in words, and whether it is met.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BarResult {
    pub(crate) bar: String,
    pub(crate) met: bool,
}

/// What all numbers of a run have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Run {
    /// The name of the bench.
    pub(crate) bench: String,
    pub(crate) command: String,
    /// The start, UTC.
    pub(crate) date: String,
    /// Short; with `+` where files differ from it.
    pub(crate) commit: String,
    /// The load average of the last minute at the start, where the system tells it.
    pub(crate) load: Option<f64>,
    pub(crate) cores: u64,
    pub(crate) rustc: String,
    pub(crate) platform: String,
    pub(crate) seconds: f64,
    pub(crate) rows: Vec<Row>,
    /// What it has printed: its tables.
    pub(crate) text: String,
}

impl Row {
    pub(crate) fn more_is_better(&self) -> bool {
        self.unit == RATE
    }

    fn json(&self) -> Value {
        let mut row = json!({
            "group": self.group, "row": self.row, "unit": self.unit,
            "value": self.value, "low": self.low, "high": self.high,
        });
        if let Some((beside, ratio)) = &self.beside {
            row["beside"] = json!(beside);
            row["ratio"] = json!(ratio);
        }
        let bar = |held: &BarResult| json!({ "bar": held.bar, "met": held.met });
        row["bars"] = self.bars.iter().map(bar).collect();
        row
    }

    /// A row, unless something is missing or of another type.
    pub(crate) fn parse(json: &Value) -> Option<Self> {
        let text = |of: &Value, key: &str| Some(of[key].as_str()?.to_owned());
        let held = |bar: &Value| Some(BarResult { bar: text(bar, "bar")?, met: bar["met"].as_bool()? });
        let value = json["value"].as_f64()?;
        Some(Self {
            group: text(json, "group")?,
            row: text(json, "row")?,
            unit: text(json, "unit")?,
            value,
            low: json["low"].as_f64().unwrap_or(value),
            high: json["high"].as_f64().unwrap_or(value),
            beside: text(json, "beside").zip(json["ratio"].as_f64()),
            bars: json["bars"].as_array().into_iter().flatten().map(held).collect::<Option<_>>()?,
        })
    }
}

impl Run {
    /// A run that begins now, without its rows.
    pub(crate) fn begin(paths: &Paths, bench: &str, command: String) -> Self {
        let said = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).current_dir(paths.root()).output().ok();
            let output = output.filter(|output| output.status.success())?;
            Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
        };
        let differs = said("git", &["status", "--porcelain"]).is_some_and(|files| !files.is_empty());
        let commit = said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "?".to_owned());
        let rustc = said(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), &["--version"]);
        let rustc = rustc.as_deref().and_then(|version| version.split(' ').nth(1)).unwrap_or("?").to_owned();
        Self {
            bench: bench.to_owned(),
            command,
            date: said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]).unwrap_or_else(|| "?".to_owned()),
            commit: commit + if differs { "+" } else { "" },
            load: load(),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            rustc,
            platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            ..Self::default()
        }
    }

    /// The machine in a few words.
    pub(crate) fn machine(&self) -> String {
        let Self { cores, rustc, platform, .. } = self;
        let load = self.load.map_or_else(String::new, |load| format!(", load before {load:.2}"));
        format!("{cores} cores, rustc {rustc}, {platform}{load}")
    }

    pub(crate) fn json(&self) -> Value {
        let mut json = Map::new();
        let Self { bench, command, date, commit, load, cores, rustc, platform, seconds, rows, text } = self;
        for (key, value) in [
            ("bench", json!(bench)),
            ("command", json!(command)),
            ("date", json!(date)),
            ("commit", json!(commit)),
            ("load", json!(load)),
            ("cores", json!(cores)),
            ("rustc", json!(rustc)),
            ("platform", json!(platform)),
            ("seconds", json!(seconds)),
            ("rows", rows.iter().map(Row::json).collect()),
            ("text", json!(text)),
        ] {
            json.insert(key.to_owned(), value);
        }
        Value::Object(json)
    }

    /// A run, unless something is missing or of another type.
    pub(crate) fn parse(json: &Value) -> Option<Self> {
        let text = |key: &str| Some(json[key].as_str()?.to_owned());
        Some(Self {
            bench: text("bench")?,
            command: text("command")?,
            date: text("date")?,
            commit: text("commit")?,
            load: json["load"].as_f64(),
            cores: json["cores"].as_u64()?,
            rustc: text("rustc")?,
            platform: text("platform")?,
            seconds: json["seconds"].as_f64()?,
            rows: json["rows"].as_array()?.iter().map(Row::parse).collect::<Option<_>>()?,
            text: text("text")?,
        })
    }

    /// Writes it to the directory, under this name.
    pub(crate) fn save(&self, dir: &Path, name: &str) -> Result<PathBuf, Failure> {
        let file = dir.join(format!("{name}.json"));
        let text = format!("{:#}\n", self.json());
        let written = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&file, text));
        written.map_err(|e| Failure::io(format!("write {}", file.display()), &e))?;
        Ok(file)
    }
}

/// The load average of the last minute, where the system tells it.
pub(crate) fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The directory of results.
pub(crate) fn home(paths: &Paths) -> PathBuf {
    paths.target().join("bench-results")
}

/// The runs in a file, or in all files of a directory, in the order of their names.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, Run)>, Failure> {
    let failed = |e: std::io::Error| Failure::io(format!("read {}", path.display()), &e);
    let mut files = if path.is_dir() {
        let all = std::fs::read_dir(path).map_err(failed)?;
        let files = all.filter_map(|entry| Some(entry.ok()?.path()));
        files.filter(|file| file.extension().is_some_and(|ending| ending == "json")).collect()
    } else {
        vec![path.to_owned()]
    };
    files.sort();
    let one = |file: PathBuf| {
        let text = std::fs::read_to_string(&file);
        let text = text.map_err(|e| Failure::io(format!("read {}", file.display()), &e))?;
        let run = serde_json::from_str(&text).ok().as_ref().and_then(Run::parse);
        let wrong = || Failure::new(format!("{} is not the result of a bench", file.display()));
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, run.ok_or_else(wrong)?))
    };
    let runs: Vec<_> = files.into_iter().map(one).collect::<Result<_, Failure>>()?;
    if runs.is_empty() {
        return Err(Failure::new(format!("there are no results in {}", path.display())));
    }
    Ok(runs)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of this value, and half as much around it as `spread`.
    pub(crate) fn row(name: &str, value: f64, spread: f64) -> Row {
        let (low, high) = (value * (1.0 - spread / 2.0), value * (1.0 + spread / 2.0));
        let (group, row, unit) = ("a group".to_owned(), name.to_owned(), "ns".to_owned());
        Row { group, row, unit, value, low, high, beside: None, bars: Vec::new() }
    }

    pub(crate) fn run(rows: Vec<Row>) -> Run {
        let (bench, command) = ("writer".to_owned(), "cargo xtask bench writer".to_owned());
        let (date, commit) = ("2026-01-02T03:04:05Z".to_owned(), "abc1234".to_owned());
        Run { bench, command, date, commit, load: Some(0.25), cores: 2, rows, ..Run::default() }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let bar = BarResult { bar: "≤ 1 ×".to_owned(), met: false };
        let held = Row { beside: Some(("base".to_owned(), 1.5)), bars: vec![bar], ..row("held", 30.0, 0.1) };
        let run = run(vec![row("base", 20.0, 0.1), held]);
        let read: Value = serde_json::from_str(&run.json().to_string()).expect("JSON");
        assert_eq!(Run::parse(&read), Some(run));
    }

    #[test]
    fn a_row_of_a_bench_needs_no_spread_and_no_base() {
        let json = json!({ "group": "g", "row": "r", "unit": "ms", "value": 2.5 });
        let row = Row::parse(&json).expect("a row");
        assert_eq!((row.low, row.high, row.beside, row.bars.len()), (2.5, 2.5, None, 0));
        assert_eq!(Row::parse(&json!({ "group": "g", "row": "r", "unit": "ms" })), None);
    }
}
