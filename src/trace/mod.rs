//! The context of a trace, and who records its spans.
//!
//! Requests carry the W3C trace context ([`Trace`]) in their [head](crate::Head), over NATS, through the outbox and into the
//! function of an operation. Without a tracer that is all: the context travels as it came, and its id stands in the lines of
//! the log that belong to the request.
//!
//! With a [`Tracer`], which a program sets once, each sampled request has spans of the crate `tracing` (target [`TARGET`]):
//!
//! | span | kind | is |
//! |---|---|---|
//! | `OPERATION` | client | a request to the [stack](crate::stack); a child of its head's trace, else of the current span |
//! | `replay OPERATION` | client | the same out of the outbox, in the trace that it came in |
//! | `send OPERATION` | producer (events), client | its attempt over NATS |
//! | `apply OPERATION` | client | its attempt on the database |
//! | `keep OPERATION` | producer | its attempt in the outbox |
//! | `process OPERATION` | consumer (events), server | what a [service](crate::service) does for it |
//! | `commit` | client | the transaction in which the store applies it; a link leads to `transaction` |
//! | `transaction` | client | a root of its own, linked to all that it applies |
//!
//! `path` is the path that has answered. An attempt that was dropped because another path has won has `outcome = "dropped"`. What
//! the log tells meanwhile (a path that is late, a circuit that opens) is an event of the span, where the tracer takes events.
//!
//! A service continues traces, and begins none.
//!
//! With the feature `opentelemetry` there is one: `trace::OpenTelemetry`.

#[cfg(feature = "opentelemetry")]
mod opentelemetry;

use std::fmt;
use std::sync::OnceLock;

use tracing::Span;

#[cfg(feature = "opentelemetry")]
pub use opentelemetry::OpenTelemetry;

/// The W3C trace context of a request, passed on unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The header `traceparent`.
    pub parent: String,
    /// The header `tracestate`, if there was one.
    pub state: Option<String>,
}

impl Trace {
    /// A context, if `parent` has the form of a `traceparent` (version, trace id, span id, flags in
    /// lower-case hexadecimal). Anything else yields `None` and no error: tracing must not refuse an
    /// operation.
    #[must_use]
    pub fn new(parent: &str, state: Option<&str>) -> Option<Self> {
        let fields: Vec<&str> = parent.split('-').collect();
        let form = fields.iter().map(|f| f.len()).eq([2, 32, 16, 2]);
        let hex = fields.iter().all(|f| f.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        let zero = fields.iter().skip(1).take(2).any(|field| field.bytes().all(|digit| digit == b'0'));
        (form && hex && !zero && fields.first() != Some(&"ff")).then(|| Self {
            parent: parent.to_owned(),
            state: state
                .filter(|s| s.len() <= 512 && s.bytes().all(|b| (b' '..=b'~').contains(&b)))
                .map(str::to_owned),
        })
    }

    /// The trace's id: 32 digits.
    #[must_use]
    pub fn id(&self) -> &str {
        self.field(1)
    }

    /// The id of the span that continues: 16 digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        self.field(2)
    }

    /// Whether its spans are recorded, as far as who began it has decided.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(self.field(3), 16).is_ok_and(|flags| flags & 1 == 1)
    }

    fn field(&self, index: usize) -> &str {
        self.parent.split('-').nth(index).unwrap_or_default()
    }
}

/// The target of all spans, and of the events that are for them alone.
pub const TARGET: &str = "eitherway::trace";

/// Records spans, and knows their places in a trace. Is asked for sampled requests, and must not block.
///
/// With the crate `tracing-opentelemetry`, whose version need not be that of the feature `opentelemetry`, the methods are `set_parent`,
/// `add_link` and `context` of its `OpenTelemetrySpanExt`.
pub trait Tracer: Send + Sync + 'static {
    /// Makes a span that was not entered yet the child of the span that this context names.
    fn continues(&self, span: &Span, trace: &Trace);

    /// Links a span to the one that this context names.
    fn links(&self, span: &Span, trace: &Trace);

    /// What the children of this span continue; `None` if it is not recorded.
    fn context(&self, span: &Span) -> Option<Trace>;
}

static TRACER: OnceLock<Box<dyn Tracer>> = OnceLock::new();

/// There is a tracer already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadySet;

impl fmt::Display for AlreadySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this process has a tracer already")
    }
}

impl std::error::Error for AlreadySet {}

/// Records the spans of this process from now on.
///
/// # Errors
/// There is a tracer already, which stays.
pub fn set_tracer(tracer: impl Tracer) -> Result<(), AlreadySet> {
    TRACER.set(Box::new(tracer)).map_err(|_| AlreadySet)
}

/// The tracer, if there is one.
#[must_use]
#[inline]
pub fn tracer() -> Option<&'static dyn Tracer> {
    TRACER.get().map(|tracer| &**tracer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(Trace::new(good, Some("a=b")).expect("context").state.as_deref(), Some("a=b"));
        for bad in [
            "",
            "00-xyz",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(Trace::new(bad, None).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_lowest_bit_of_the_flags_says_whether_it_is_sampled() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
            assert_eq!(Trace::new(&parent, None).expect("context").is_sampled(), sampled, "{flags}");
        }
    }
}
