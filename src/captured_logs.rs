//! Captures log events in tests.

use std::fmt::{self, Write};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

/// The log events of this thread, one line per event: `LEVEL message key=value …`.
#[derive(Clone, Default)]
pub(crate) struct CapturedLogs(Arc<Mutex<Vec<String>>>);

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
        std::mem::take(&mut *self.0.lock())
    }
}

impl Subscriber for CapturedLogs {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["eitherway", env!("CARGO_CRATE_NAME")].iter().any(|own| metadata.target().starts_with(own))
            && *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = format!("{} {}{}", event.metadata().level(), line.message, line.fields);
        self.0.lock().push(text);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
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
