//! What people and machines see: results on stdout, everything else on stderr, a progress bar on a terminal.
//!
//! All of it passes through here: no password of an address and no character that commands a terminal is shown, and an
//! output that is closed ends nothing.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::args::{Global, LogFormat};
use super::exit::{Exit, Failure};
use super::{logfile, secrets, shown};
use eitherway::clock;

/// Whether results and failures are JSON, and whether the log is.
static RESULTS: AtomicBool = AtomicBool::new(false);
static LOG: AtomicBool = AtomicBool::new(false);

/// The bars on the terminal; the log is written above them.
fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// From now on everything is said in these forms.
pub(super) fn speak(results: bool, log: bool) {
    RESULTS.store(results, Ordering::Relaxed);
    LOG.store(log, Ordering::Relaxed);
    if log {
        std::panic::set_hook(Box::new(|panic| {
            let line = logged("ERROR", &panic.to_string(), Map::new());
            log_line(&line);
        }));
    }
}

/// The same, as the options say. `story`: the command tells its story in words, whatever its result is.
pub(super) fn speak_as(global: &Global, story: bool) {
    let usual = if global.json && !story { LogFormat::Json } else { LogFormat::Text };
    let format = global.log_format.unwrap_or(usual);
    speak(global.json, matches!(format, LogFormat::Json));
}

/// Whether results and failures are JSON.
pub(super) fn results_json() -> bool {
    RESULTS.load(Ordering::Relaxed)
}

/// Whether the log is JSON.
pub(super) fn logs_json() -> bool {
    LOG.load(Ordering::Relaxed)
}

/// A bar over `total` steps on a terminal; nothing elsewhere.
pub(super) fn bar(total: Option<u64>, unit: &str) -> ProgressBar {
    let template = match total {
        Some(_) => format!("{{bar:32}} {{percent:>3}} %  {{pos}}/{{len}} {unit}  {{msg}}  {{elapsed}}"),
        None => format!("{{spinner}} {{pos}} {unit}  {{msg}}  {{elapsed}}"),
    };
    styled_bar(total, &template)
}

/// The same, as it is wanted.
pub(super) fn styled_bar(total: Option<u64>, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() || logs_json() {
        return ProgressBar::hidden();
    }
    let bar = bars().add(ProgressBar::new(total.unwrap_or(0)));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Prints a line for people on stderr, above the bars.
pub(super) fn say(text: impl AsRef<str>) {
    let text = text.as_ref();
    if logs_json() {
        log_line(&logged("INFO", text, Map::new()));
    } else {
        let text = secrets::hide(&shown::lines(text));
        append(&text);
        stderr(&text);
    }
}

/// Warns on stderr alone: about the file of the log.
fn warn(text: &str) {
    if logs_json() {
        stderr(&logged("WARN", text, Map::new()));
    } else {
        stderr(&format!("rosey: {}", secrets::hide(&shown::lines(text))));
    }
}

/// Says how a command that runs for long has ended: in words, or as an object with the details.
/// A bad outcome has an error, like any other failure.
pub(super) fn ending(text: &str, exit: Exit, error: Option<String>, details: Value) {
    if !logs_json() && !RESULTS.load(Ordering::Relaxed) {
        return say(text);
    }
    let mut details = match details {
        Value::Object(details) => details,
        other => Map::from_iter([("result".to_owned(), other)]),
    };
    details.insert("exit".to_owned(), exit.number().into());
    if exit != Exit::Ok {
        let error = error.unwrap_or_else(|| "the outcome is bad: see what was said before".to_owned());
        let more = [("error", error.into()), ("class", Value::Null), ("code", exit.name().into())];
        details.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    let level = if exit == Exit::Ok { "INFO" } else { "ERROR" };
    log_line(&logged(level, text, details));
}

/// Says why a command failed: as an object of results if those are JSON, as a line of the log if that is, else in words.
fn failure(message: &str, class: Option<&str>, code: &str, exit: u8) {
    let message = secrets::hide(message);
    if RESULTS.load(Ordering::Relaxed) {
        let object = json!({"error": message, "class": class, "code": code, "exit": exit});
        log_line(&shown::json(&object.to_string()));
    } else if logs_json() {
        let more = [("class", json!(class)), ("code", json!(code)), ("exit", json!(exit))];
        log_line(&logged(
            "ERROR",
            &message,
            more.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
        ));
    } else {
        let line = format!("rosey: {}", shown::lines(&message));
        append(&line);
        stderr(&line);
    }
}

impl Failure {
    /// Says it on stderr: a sentence, or one object of JSON.
    pub(super) fn report(&self) -> ExitCode {
        let class = self.code.map(|code| code.class.as_str());
        let code = self.code.map_or_else(|| self.exit.name(), |code| code.name);
        failure(self.message(), class, code, self.exit.number());
        self.exit.into()
    }
}

/// Prints a result on stdout.
pub(super) fn print(text: impl AsRef<str>) {
    let text = secrets::redact(&shown::lines(text.as_ref()));
    put(&text);
}

/// Prints text that holds no secret on stdout.
pub(super) fn print_text(text: &str) {
    put(text.trim_end());
}

/// Prints a result on stdout as one line of JSON.
pub(super) fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => put(&shown::json(&text)),
        Err(e) => failure(&format!("the result is no JSON: {e}"), None, "failed", 1),
    }
}

/// Prints a result: as JSON, or as this text.
pub(super) fn show<T: serde::Serialize>(global: &Global, value: &T, text: impl FnOnce(&T) -> String) {
    if global.json {
        print_json(value);
    } else {
        print(text(value));
    }
}

fn put(text: &str) {
    bars().suspend(|| written(writeln!(io::stdout(), "{text}")));
}

/// Why a result could not be written to stdout: the first reason.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Notes how writing to stdout went. A closed pipe (`rosey recent | head`) is the reader's choice.
pub(super) fn written(result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = UNWRITTEN.set(error);
    }
}

/// Why not everything that was printed has been written, if so.
pub(super) fn unwritten() -> Option<&'static io::Error> {
    written(io::stdout().flush());
    UNWRITTEN.get()
}

/// A line as the log writes it in JSON.
fn logged(level: &str, message: &str, more: Map<String, Value>) -> String {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), clock::rfc3339(clock::now()).into());
    line.insert("level".to_owned(), level.into());
    line.insert("message".to_owned(), message.into());
    line.extend(more);
    secrets::hide(&shown::json(&Value::Object(line).to_string()))
}

/// Writes a line to the file of the log; returns whether it is there.
pub(super) fn append(line: &str) -> bool {
    logfile::append(line, warn)
}

fn log_line(line: &str) {
    append(line);
    stderr(line);
}

fn stderr(line: &str) {
    raw_stderr(format!("{line}\n").as_bytes());
}

/// Writes to stderr without tearing the bars. That it is closed ends nothing.
pub(super) fn raw_stderr(bytes: &[u8]) {
    bars().suspend(|| {
        let _ = io::stderr().write_all(bytes);
    });
}
