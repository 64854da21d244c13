//! The log: its filter, which can be exchanged, and the file it goes to, which can be opened again after a rename.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::args::Global;
use super::causes::{Causes, only_causes};
use super::exit::{Exit, Failure};
use super::{console, secrets, shown};

/// The file that the log goes to instead of stderr, if one is named.
static FILE: Mutex<Option<(PathBuf, File)>> = Mutex::new(None);

/// The filter in force.
static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

fn file() -> MutexGuard<'static, Option<(PathBuf, File)>> {
    FILE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts logging, at this level if nothing was said.
pub(super) fn start(global: &Global, level: &str) -> Result<(), Failure> {
    if let Some(path) = &global.log_file {
        *file() = Some((path.clone(), open(path)?));
    }
    let (filter, handle) = reload::Layer::new(filter(global.log.as_deref().unwrap_or(level))?);
    // Colours are for a terminal. A line that cannot be written is lost, and nothing else.
    let ansi = io::stderr().is_terminal() && global.log_file.is_none();
    let json = console::logs_json();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines { json, ansi: ansi && !json })
        .with_ansi(ansi && !json)
        .log_internal_errors(false);
    let lines: Box<dyn Layer<_> + Send + Sync> = if json {
        Box::new(lines.json().flatten_event(true))
    } else {
        Box::new(lines.with_target(false).compact())
    };
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(Causes.with_filter(only_causes()))
        .try_init();
    started.map_err(|e| Failure::new(Exit::Failed, format!("the log: {e}")))?;
    let _ = FILTER.set(handle);
    Ok(())
}

/// What `--log` means.
pub(super) fn filter(level: &str) -> Result<EnvFilter, Failure> {
    // One word is a level for everything of ours; libraries keep quiet below warnings unless they are named, and the NATS
    // client altogether: what happens to the connection is told by us, once.
    let directives = match level {
        "off" => level.to_owned(),
        filter if filter.contains(['=', ',']) => filter.to_owned(),
        level => format!("warn,async_nats=off,rosey={level},rosey_layers={level}"),
    };
    EnvFilter::try_new(directives).map_err(|e| Failure::new(Exit::Usage, format!("--log {level:?}: {e}")))
}

/// Logs what this filter lets through, from now on.
pub(super) fn exchange(filter: EnvFilter) {
    if let Some(handle) = FILTER.get() {
        // It fails only where there is no log any more.
        let _ = handle.reload(filter);
    }
}

/// Opens the file for the log, for its owner alone to read.
pub(super) fn open(path: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map_err(|e| Failure::new(Exit::Usage, format!("the log file {}: {e}", path.display())))
}

/// Logs to this file from now on, or to stderr.
pub(super) fn switch(to: Option<(PathBuf, File)>) {
    *file() = to;
}

/// Opens the file of the log again, after it was renamed.
pub(super) fn reopen() -> Result<(), Failure> {
    let Some(path) = file().as_ref().map(|(path, _)| path.clone()) else { return Ok(()) };
    let opened = open(&path)?;
    switch(Some((path, opened)));
    Ok(())
}

/// Writes a line to the file, if there is one.
pub(super) fn append(line: &str) {
    if let Some((_, file)) = file().as_mut() {
        // A full disk must not end what the log is about.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

/// Where the lines of the log go.
#[derive(Clone, Copy, Debug)]
struct Lines {
    json: bool,
    ansi: bool,
}

impl Write for Lines {
    /// Takes a whole event.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = match (self.json, self.ansi) {
            (true, _) => shown::json(line),
            (false, true) if file().is_none() => shown::coloured(line),
            (false, true) => shown::clean(&uncoloured(line)),
            (false, false) => shown::clean(line),
        };
        let line = secrets::redact(&line);
        if file().is_some() {
            append(&line);
        } else {
            console::raw_stderr(format!("{line}\n").as_bytes());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line without our own colours, for a file that was named after the start.
fn uncoloured(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}
