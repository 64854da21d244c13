//! What people see: the log on stderr, a progress bar on a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::args::{Global, LogFormat};
use super::causes::{Causes, only_causes};
use super::exit::{Exit, Failure};

/// The bars on the terminal; the log is written above them.
fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Starts logging to stderr, at this level if nothing was said.
pub(super) fn logs(global: &Global, level: &str) -> Result<(), Failure> {
    let level = global.log.as_deref().unwrap_or(level);
    let wrong = |e: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("--log {level:?}: {e}"));
    // One word is a level for everything of ours; libraries keep quiet below warnings unless they are named, and the NATS
    // client altogether: what happens to the connection is told by us, once.
    let directives = match level {
        "off" => level.to_owned(),
        filter if filter.contains(['=', ',']) => filter.to_owned(),
        level => format!("warn,async_nats=off,rosey={level},rosey_layers={level}"),
    };
    let filter = EnvFilter::try_new(directives).map_err(|e| wrong(&e))?;
    let log = tracing_subscriber::fmt::layer().with_writer(Stderr);
    let log = match global.log_format {
        LogFormat::Text => log.with_target(false).with_ansi(io::stderr().is_terminal()).compact().boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    let all =
        tracing_subscriber::registry().with(log.with_filter(filter)).with(Causes.with_filter(only_causes()));
    all.try_init().map_err(|e| wrong(&e))
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
    if !io::stderr().is_terminal() {
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
pub(super) fn say(line: impl AsRef<str>) {
    bars().suspend(|| {
        // Nobody reads stderr any more: nothing to do about that.
        let _ = writeln!(io::stderr(), "{}", line.as_ref());
    });
}

/// Prints a result on stdout.
pub(super) fn print(line: impl AsRef<str>) {
    bars().suspend(|| {
        // A closed pipe (`rosey recent | head`) is the reader's choice.
        let _ = writeln!(io::stdout(), "{}", line.as_ref());
    });
}

/// Writes to stderr without tearing the bars.
#[derive(Clone, Copy, Debug)]
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bars().suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}
