//! `cargo xtask bench NAME`: one bench and its result.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use super::record::{self, Row, Run};
use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::{cargo, shown, succeeded};
use crate::{postgres, ratios, server};

/// The folders of benches, and their packages.
const FOLDERS: [(&str, &str); 3] =
    [("benches", "eitherway"), ("bot/benches", BOT), ("layers/benches", "eitherway-layers")];
/// The package whose benches need a nats-server.
const BOT: &str = "rosey-bot";
/// The bench that has rows on PostgreSQL.
const ON_POSTGRES: &str = "writer";
/// The benches that Criterion measures; the others print tables of their own, and write their rows to the file that
/// [`ROWS`] names.
const BY_CRITERION: [&str; 6] = ["direct_vs_nats", "layers", "reads", "service", "writer", "yours"];
/// The variable that names the file of rows: a line of JSON each.
const ROWS: &str = "BENCH_ROWS";

/// A bench with its arguments.
pub(super) struct Bench<'a> {
    pub(super) name: &'a str,
    package: &'static str,
    args: Vec<&'a str>,
    /// Variables that it is run with.
    pub(super) env: &'a [(&'a str, &'a str)],
}

impl<'a> Bench<'a> {
    /// The bench of this name, if there is one.
    pub(super) fn find(paths: &Paths, name: &'a str, args: Vec<&'a str>) -> Result<Self, Failure> {
        let benches = benches(paths);
        let Some((_, package)) = benches.iter().find(|(known, _)| known == name) else {
            return Err(Failure::usage(format!("there is no bench `{name}` ({})", listed(&benches))));
        };
        Ok(Self { name, package, args, env: &[] })
    }

    /// As it is typed.
    pub(super) fn command(&self) -> String {
        let env = self.env.iter().map(|(name, value)| format!("{name}={value} "));
        let words = ["cargo", "xtask", "bench", self.name].into_iter().chain(self.args.iter().copied());
        let mut typed = Command::new("cargo");
        typed.args(words.skip(1));
        env.collect::<String>() + &shown(&typed)
    }

    /// Cargo's command, without arguments for the bench. The whole workspace is selected, because Cargo otherwise chooses
    /// other features of dependencies for each package, and compiles them again.
    pub(super) fn cargo(&self, paths: &Paths) -> Result<Command, Failure> {
        let mut command = cargo(paths);
        command.args(["bench", "--workspace", "--all-features", "--bench", self.name]);
        command.envs(self.env.iter().copied());
        if self.package == BOT {
            command.env(server::VARIABLE, server::find_or_fetch(paths)?);
        }
        if self.name == ON_POSTGRES {
            command.env(postgres::VARIABLE, postgres::find_or_fetch(paths)?);
        }
        Ok(command)
    }

    /// Runs it, with its output on the terminal. Its charts go to this directory.
    pub(super) fn run(&self, paths: &Paths, charts: &Path) -> Result<Run, Failure> {
        let mut command = self.cargo(paths)?;
        command.arg("--").args(&self.args);
        let mut run = Run::begin(paths, self.name, self.command());
        let begun = Instant::now();
        if BY_CRITERION.contains(&self.name) {
            ratios::bench(paths, &mut run, command, charts)?;
        } else {
            own(paths, &mut run, command)?;
        }
        run.seconds = begun.elapsed().as_secs_f64();
        Ok(run)
    }
}

/// Runs a bench that prints tables of its own, and takes what it prints and the rows that it writes.
fn own(paths: &Paths, run: &mut Run, mut command: Command) -> Result<(), Failure> {
    let home = record::home(paths);
    let file = home.join(format!("rows-{}.jsonl", std::process::id()));
    let made = std::fs::create_dir_all(&home).and_then(|()| std::fs::write(&file, ""));
    made.map_err(|e| Failure::io(format!("write {}", file.display()), &e))?;
    command.env(ROWS, &file).stdin(Stdio::null()).stdout(Stdio::piped());
    let line = shown(&command);
    eprintln!("\n→ {line}");
    let failed = |e: std::io::Error| Failure::io(format!("run `{line}`"), &e);
    let mut child = command.spawn().map_err(failed)?;
    for printed in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let printed = printed.map_err(failed)?;
        println!("{printed}");
        run.text += &format!("{}\n", printed.trim_end());
    }
    let ended = child.wait().map_err(failed)?;
    let rows = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    let rows = rows.map_err(|e| Failure::io(format!("read {}", file.display()), &e))?;
    // The rows count, whatever the bench says of them: it fails if an operation was lost.
    succeeded(ended, &line, "the message is above")?;
    run.text = run.text.trim().to_owned() + "\n";
    run.rows = rows_of(&rows)
        .ok_or_else(|| Failure::new(format!("the bench `{}` has written rows that are none", run.bench)))?;
    Ok(())
}

fn rows_of(lines: &str) -> Option<Vec<Row>> {
    lines.lines().map(|line| Row::parse(&serde_json::from_str(line).ok()?)).collect()
}

/// Runs one bench, and keeps its result. All arguments behind the name are the bench's.
pub(super) fn bench(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let Some((name, rest)) = args.split_first().filter(|(name, _)| !name.starts_with('-')) else {
        let listed = listed(&benches(paths));
        return Err(Failure::usage(format!(
            "`bench` wants the name of a bench ({listed}), --compare or --report"
        )));
    };
    let rest: Vec<&str> = rest.iter().map(String::as_str).filter(|arg| *arg != "--").collect();
    // A short look draws no charts of the documentation.
    let charts = charts(paths, rest.contains(&"--quick"))?;
    let run = Bench::find(paths, name, rest)?.run(paths, &charts)?;
    let stamp: String = run.date.chars().filter(char::is_ascii_alphanumeric).collect();
    let file = run.save(&record::home(paths), &format!("{name}-{stamp}"))?;
    println!("The result: {}", file.display());
    Ok(ExitCode::SUCCESS)
}

/// The directory that charts are drawn into.
fn charts(paths: &Paths, quick: bool) -> Result<PathBuf, Failure> {
    let dir = if quick { record::home(paths) } else { paths.root().join("docs") };
    std::fs::create_dir_all(&dir).map_err(|e| Failure::io(format!("create {}", dir.display()), &e))?;
    Ok(dir)
}

fn listed(benches: &[(String, &str)]) -> String {
    benches.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The names of the benches, sorted, and their packages.
fn benches(paths: &Paths) -> Vec<(String, &'static str)> {
    let of_folder = |(folder, package)| {
        let files = std::fs::read_dir(paths.root().join(folder)).into_iter().flatten();
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter_map(move |name| Some((name.strip_suffix(".rs")?.to_owned(), package)))
    };
    let mut found: Vec<_> = FOLDERS.into_iter().flat_map(of_folder).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_none_is_not_left_out_silently() {
        let good = r#"{"group":"g","row":"r","unit":"ms","value":1.0}"#;
        assert_eq!(rows_of(&format!("{good}\n{good}\n")).map(|rows| rows.len()), Some(2));
        assert_eq!(rows_of(""), Some(Vec::new()));
        assert_eq!(rows_of(&format!("{good}\nnonsense\n")), None);
    }
}
