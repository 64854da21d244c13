//! The log: its filter, which can be exchanged, and the file it goes to, which can be opened again after a rename.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
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
static LOG: Mutex<Option<LogFile>> = Mutex::new(None);

/// The filter in force.
static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// A file that is open for the log.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether the last line could not be written.
    fails: bool,
}

fn file() -> MutexGuard<'static, Option<LogFile>> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts logging, at this level if nothing was said.
pub(super) fn start(global: &Global, level: &str) -> Result<(), Failure> {
    if let Some(path) = &global.log_file {
        *file() = Some(open(path)?);
    }
    let wanted = filter(global.log.as_deref().unwrap_or(level));
    let (filter, handle) = reload::Layer::new(wanted.map_err(|why| Failure::new(Exit::Usage, why))?);
    // Colours are for a terminal. A line that cannot be written is lost, and nothing else.
    let ansi = io::stderr().is_terminal() && global.log_file.is_none();
    let json = console::logs_json();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines { json, ansi: ansi && !json })
        .with_ansi(ansi && !json)
        .log_internal_errors(false);
    let lines: Box<dyn Layer<_> + Send + Sync> = if json {
        Box::new(lines.json().flatten_event(true).with_span_list(false))
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

/// Reads `--log`.
pub(super) fn level(text: &str) -> Result<String, String> {
    filter(text).map(|_| text.to_owned())
}

/// What `--log` means.
pub(super) fn filter(level: &str) -> Result<EnvFilter, String> {
    // One word is a level for everything of ours; libraries keep quiet below warnings unless they are named, and the NATS
    // client altogether: what happens to the connection is told by us, once.
    let directives = match level {
        "off" => level.to_owned(),
        filter if filter.contains(['=', ',']) => filter.to_owned(),
        level => format!("warn,async_nats=off,rosey={level},eitherway={level}"),
    };
    EnvFilter::try_new(directives).map_err(|_| {
        "expected off, error, warn, info, debug or trace, or a filter such as eitherway=debug,rosey=info"
            .to_owned()
    })
}

/// Logs what this filter lets through, from now on.
pub(super) fn exchange(filter: EnvFilter) {
    if let Some(handle) = FILTER.get() {
        // It fails only where there is no log any more.
        let _ = handle.reload(filter);
    }
}

/// Opens the file for the log, for its owner alone to read.
pub(super) fn open(path: &Path) -> Result<LogFile, Failure> {
    let failed = |why: String| Failure::new(Exit::Usage, format!("the log file {}: {why}", path.display()));
    if let Ok(found) = std::fs::metadata(path) {
        // Opening a pipe waits until another program reads it, without limit.
        let kind = found.file_type();
        let what = match () {
            () if kind.is_dir() => "a folder",
            () if kind.is_fifo() => "a named pipe",
            () if kind.is_socket() => "a socket",
            () if kind.is_block_device() => "a disk",
            () => "",
        };
        if !what.is_empty() {
            return Err(failed(format!("that is {what}; name an ordinary file")));
        }
    }
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = opened.map_err(|e| match path.parent() {
        Some(folder) if e.kind() == ErrorKind::NotFound => {
            failed(format!("there is no folder {}; create it first", folder.display()))
        }
        _ => failed(e.to_string()),
    })?;
    Ok(LogFile { path: path.to_owned(), file, fails: false })
}

/// Logs to this file from now on, or to stderr.
pub(super) fn switch(to: Option<LogFile>) {
    *file() = to;
}

/// Opens the file of the log again, after it was renamed.
pub(super) fn reopen() -> Result<(), Failure> {
    let Some(path) = file().as_ref().map(|log| log.path.clone()) else { return Ok(()) };
    let opened = open(&path)?;
    switch(Some(opened));
    Ok(())
}

/// Writes a line to the file; returns whether it is there. A file that cannot be written, on a disk that is full say, ends
/// nothing: it is said once, and what could not be written is for stderr.
pub(super) fn append(line: &str) -> bool {
    let mut held = file();
    let Some(log) = held.as_mut() else { return false };
    let written = log.file.write_all(format!("{line}\n").as_bytes());
    let (failed_before, path) = (log.fails, log.path.display().to_string());
    log.fails = written.is_err();
    drop(held);
    match written {
        Ok(()) => true,
        Err(e) => {
            if !failed_before {
                console::warn(&format!(
                    "the log file {path} cannot be written: {e}; the log goes to stderr until it can"
                ));
            }
            false
        }
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
        let line = secrets::hide(&line);
        if !append(&line) {
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
