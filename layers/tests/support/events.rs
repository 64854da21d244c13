//! Captures log events.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

/// The events so far, one line per event: `LEVEL message key=value …`.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    /// Captures this thread's events of this level and above, until the guard is dropped.
    pub fn catch(level: Level) -> (Self, Guard) {
        let events = Self::default();
        let guard = Guard::new(tracing_subscriber::registry().with(events.catcher(level)));
        (events, guard)
    }

    pub fn catcher<S: Subscriber>(&self, level: Level) -> impl Layer<S> + use<S> {
        Catcher { events: self.clone(), level }
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Allows one subscriber at a time: tracing caches callsites for the whole process, and the cache is not
/// stable while another thread installs or removes a subscriber.
pub struct Guard {
    _subscriber: tracing::subscriber::DefaultGuard,
    _turn: MutexGuard<'static, ()>,
}

impl Guard {
    pub fn new(subscriber: impl Subscriber + Send + Sync + 'static) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { _subscriber: tracing::subscriber::set_default(subscriber), _turn: turn }
    }
}

struct Catcher {
    events: Events,
    level: Level,
}

impl<S: Subscriber> Layer<S> for Catcher {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level))
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == eitherway_layers::logging::TARGET && *metadata.level() <= self.level
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        let text = format!("{} {}{}", event.metadata().level(), line.message, line.fields);
        self.events.0.lock().unwrap().push(text);
    }
}

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}
