//! Captures log events in tests.

use std::fmt::{self, Write};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

/// The log events of this thread, one line per event: `LEVEL message key=value …`, and `within` the trace of the span around it.
#[derive(Clone, Default)]
pub(crate) struct CapturedLogs {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Spans>>,
}

/// The `trace_id` of each span, and which are entered.
#[derive(Default)]
struct Spans {
    traces: Vec<Option<String>>,
    entered: Vec<usize>,
}

/// Allows one subscriber at a time, because tracing caches callsites for the whole process.
pub(crate) struct Guard {
    _subscriber: DefaultGuard,
    _turn: MutexGuard<'static, ()>,
}

impl CapturedLogs {
    /// Captures events of the default levels until the guard is dropped.
    pub(crate) fn catch() -> (Self, Guard) {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock();
        let heard = Self::default();
        let subscriber = tracing::subscriber::set_default(heard.clone());
        (heard, Guard { _subscriber: subscriber, _turn: turn })
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock())
    }
}

impl Subscriber for CapturedLogs {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["eitherway", env!("CARGO_CRATE_NAME")].iter().any(|own| metadata.target().starts_with(own))
            && *metadata.level() <= Level::INFO
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        attributes.record(&mut line);
        let trace = line.fields.split_whitespace().find_map(|field| field.strip_prefix("trace_id="));
        let mut spans = self.spans.lock();
        spans.traces.push(trace.map(str::to_owned));
        Id::from_u64(spans.traces.len() as u64)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut text = format!("{} {}{}", event.metadata().level(), line.message, line.fields);
        let spans = self.spans.lock();
        if let Some(trace) = spans.entered.last().and_then(|span| spans.traces[*span].as_deref()) {
            let _ = write!(text, " within {trace}");
        }
        self.lines.lock().push(text);
    }
    fn enter(&self, span: &Id) {
        self.spans.lock().entered.push(usize::try_from(span.into_u64()).unwrap_or_default() - 1);
    }
    fn exit(&self, _: &Id) {
        self.spans.lock().entered.pop();
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
