//! The log: its filter, which can be exchanged, and how its lines look.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::args::{Global, filter};
use super::causes::{Causes, only_causes};
use super::exit::{Exit, Failure};
use super::traces::Traces;
use super::{console, logfile, secrets, shown};

/// The filter in force.
static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging, at this level if nothing was said; and what records traces beside it.
pub(super) fn start(global: &Global, level: &str, traces: &Traces) -> Result<(), Failure> {
    if let Some(path) = &global.log_file {
        logfile::switch(Some(logfile::open(path)?));
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
    let log = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(Causes.with_filter(only_causes()));
    let started = match traces.layer() {
        Some(traces) => log.with(traces).try_init(),
        None => log.try_init(),
    };
    started.map_err(|e| Failure::new(Exit::Failed, format!("the log: {e}")))?;
    let _ = FILTER.set(handle);
    Ok(())
}

/// Logs what this filter lets through, from now on.
pub(super) fn exchange(filter: EnvFilter) {
    if let Some(handle) = FILTER.get() {
        // It fails only where there is no log any more.
        let _ = handle.reload(filter);
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
            (false, true) if !logfile::is_open() => shown::coloured(line),
            (false, true) => shown::clean(&uncoloured(line)),
            (false, false) => shown::clean(line),
        };
        let line = secrets::hide(&line);
        if !console::append(&line) {
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
