//! Why the NATS client has ended a connection: it tells only its log.

use std::fmt;
use std::panic;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::layer::Context;

use eitherway::__private::unreadable;

/// The client's crate, as it names itself in logs and in paths.
const TARGET: &str = "async_nats";
const CRATE: &str = "async-nats-";

/// Hears why a connection ended.
pub(super) struct Causes;

/// Lets through what may be that, and nothing else: decided once for each place in the code.
pub(super) fn only_causes() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    let may_be: fn(&Metadata<'_>) -> bool = |place| {
        place.target() == TARGET && *place.level() == Level::DEBUG && place.fields().field("error").is_some()
    };
    filter_fn(may_be).with_max_level_hint(LevelFilter::DEBUG)
}

impl<S: Subscriber> Layer<S> for Causes {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if said.message == "disconnected" && is_unreadable(&said.error) {
            unreadable::ends(plain(&said.error));
        }
    }
}

/// Whether it is about what came, and not about the connection.
fn is_unreadable(error: &str) -> bool {
    error.contains("InvalidInput") || error.contains("could not parse status")
}

#[derive(Default)]
struct Said {
    message: String,
    error: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "error" => self.error = format!("{value:?}"),
            _ => {}
        }
    }
}

/// What went wrong, out of the form `Some(Custom { kind: …, error: … })` that the library logs.
fn plain(error: &str) -> String {
    let inner = error.split_once("error: ").map_or(error, |(_, rest)| rest);
    let inner = inner.trim_end_matches([')', '}', ' ']);
    match inner.trim_matches('"') {
        "ParseHeaderNameError" => "the name of a header is not valid".to_owned(),
        "ParseHeaderValueError" => "the value of a header is not valid".to_owned(),
        // Of a header it says so; what else is read as text is the line of a message, with its subjects.
        text if text.starts_with("Utf8Error") => "a subject is not UTF-8".to_owned(),
        text => text.replace("\\\"", "\""),
    }
}

/// A panic of the NATS client is such an end too, and is told with the others, not each time. Any other one is a line of the
/// log.
pub(super) fn of_panics() {
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(|place| place.file()).unwrap_or_default();
        if !place.contains(CRATE) {
            let said = panic.to_string();
            return tracing::error!("{}", said.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        unreadable::ends(format!("the NATS client: {}", panic.payload_as_str().unwrap_or("a panic")));
    }));
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_went_wrong_is_named_without_the_form_of_the_log() {
        let logged = |error| format!("Some(Custom {{ kind: InvalidInput, error: {error} }})");
        assert_eq!(plain(&logged("ParseHeaderNameError")), "the name of a header is not valid");
        assert_eq!(plain(&logged(r#""header isn't valid utf-8""#)), "header isn't valid utf-8");
        let subject = plain(&logged("Utf8Error { valid_up_to: 20, error_len: Some(1) }"));
        assert_eq!(subject, "a subject is not UTF-8");
        assert_eq!(plain("other"), "other");
    }
}
