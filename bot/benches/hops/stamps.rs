//! When an operation passes which hop, without a word about it in what is measured: sqlx asks for the current span where a
//! command is sent to SQLite's thread, and that thread enters the span as long as it works on the command. A subscriber sees
//! both.

use std::sync::LazyLock;
use std::time::Instant;

use parking_lot::Mutex;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

/// How the thread of a connection is called.
const THREAD: &str = "sqlx-sqlite-worker";

/// What sqlx takes for the current span; it is never recorded.
static SPAN: LazyLock<&'static Metadata<'static>> =
    LazyLock::new(|| tracing::info_span!("operation").metadata().expect("a span has metadata"));

/// The hops of the operation that is under way.
static STAMPS: Mutex<Stamps> = Mutex::new(Stamps { sent: None, begun: None, ended: None, visits: 0 });

/// The hops of one operation between its caller and SQLite's thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    /// The command is sent to SQLite's thread, for the first time.
    pub(crate) sent: Option<Instant>,
    /// The thread begins.
    pub(crate) begun: Option<Instant>,
    /// The thread has ended, for the last time.
    pub(crate) ended: Option<Instant>,
    /// How many commands that were.
    pub(crate) visits: u32,
}

impl Stamps {
    /// Takes what is there, for the next operation.
    pub(crate) fn take() -> Self {
        std::mem::replace(&mut *STAMPS.lock(), Self { sent: None, begun: None, ended: None, visits: 0 })
    }

    /// Whether SQLite has worked on the operation.
    pub(crate) fn are_there() -> bool {
        STAMPS.lock().ended.is_some()
    }
}

struct Watch;

/// Installs the subscriber, which switches all other ones off.
pub(crate) fn watch() {
    LazyLock::force(&SPAN);
    tracing::subscriber::set_global_default(Watch).expect("it is the first");
}

fn is_of_sqlite() -> bool {
    thread_local!(static IS: bool = std::thread::current().name().is_some_and(|name| name.starts_with(THREAD)));
    IS.with(|is| *is)
}

impl Subscriber for Watch {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::never()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        if is_of_sqlite() {
            let mut stamps = STAMPS.lock();
            stamps.begun.get_or_insert_with(Instant::now);
            stamps.visits += 1;
        }
    }

    fn exit(&self, _: &Id) {
        if is_of_sqlite() {
            STAMPS.lock().ended = Some(Instant::now());
        }
    }

    fn current_span(&self) -> Current {
        let mut stamps = STAMPS.lock();
        if stamps.begun.is_none() {
            stamps.sent = Some(Instant::now());
        }
        Current::new(Id::from_u64(1), *SPAN)
    }
}
