//! How the database service runs, and why it does not start.

use std::time::Duration;

use tower::layer::util::{Identity, Stack};

use super::monitor::Monitor;
use super::waiting;
use crate::hints::option;
use crate::namespace::{Namespace, NamespaceError};
use crate::nats::{ConnectError, Mode};
use crate::setters::setters;

/// Whether the service works on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JetStream {
    /// If the server offers JetStream, and if no instance beside this one does otherwise.
    #[default]
    Auto,
    /// Always: not to have it is an error at the start.
    On,
    /// Never. A stream of ours that is there is emptied into the database, and deleted.
    Off,
}

/// How the database service runs: a builder.
///
/// `L` is what stands around the store: every operation goes through it, from requests and from the stream alike, inside the
/// service's own retries and its limits of what is worked on at once.
///
/// ```
/// # use std::time::Duration;
/// # use rosey::op::Op;
/// # use eitherway::{Request, nats::NatsOptions, service::{self, ServiceOptions}, sql::SqlService};
/// # use tower::util::MapRequestLayer;
/// # async fn example(db: SqlService<Op>) -> Result<(), service::ServeError> {
/// use eitherway_layers::{LogLayer, TimeoutLayer};
///
/// let options = ServiceOptions::default()
///     .in_flight(256)
///     .layer(TimeoutLayer::new(Duration::from_secs(20)))
///     .layer(LogLayer::new("[STORE]"));
/// let nats = NatsOptions::new("nats://127.0.0.1:4222");
/// service::serve(nats, db, options, || {}, std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ServiceOptions<L = Identity> {
    pub(super) settings: Settings,
    pub(super) around: L,
}

/// The options but for the layers.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) namespace: Namespace,
    pub(super) takeover: bool,
    pub(super) jetstream: JetStream,
    pub(super) stream_max_bytes: Option<i64>,
    pub(super) stream_replicas: Option<u8>,
    pub(super) in_flight: usize,
    pub(super) bytes: usize,
    pub(super) bundles: bool,
    pub(super) ack_wait: Duration,
    pub(super) grace: Duration,
    pub(super) reply_prefixes: Vec<String>,
    pub(super) monitor: Monitor,
}

impl<L> ServiceOptions<L> {
    setters! { in settings;
        /// The namespace that is served. Default: the one that the options for NATS name.
        namespace: Namespace,
        /// Whether it starts even beside another kind of service on the same subjects. Default: no.
        takeover: bool,
        /// Whether events come from a stream. Default: [`JetStream::Auto`].
        jetstream: JetStream,
        /// How large the stream may grow, in bytes; an event that does not fit is refused, and goes to the database. Default:
        /// the server's limit.
        stream_max_bytes: Option<i64>,
        /// On how many servers of a cluster the stream is kept: 1, 3 or 5. What is acknowledged then survives the loss of less than
        /// half of them. A stream that is there is changed to it. Default: 1 for a new stream, and one that is there stays as it
        /// is.
        stream_replicas: Option<u8>,
        /// How many requests of one subject, and how many messages of the stream over all instances, are worked on at once;
        /// more wait in the connection, or in the stream. Default: 1024.
        in_flight: usize,
        /// How many bytes of requests may wait or be worked on over all subjects. A request beyond them is dropped and counted
        /// (`overruns`), and a client that waits for it takes another path. A service that shares a process with others is
        /// bounded by its part of theirs, too: [`Namespaces::bytes`](super::Namespaces::bytes). Default: 32 MiB.
        bytes: usize,
        /// Whether clients may send several operations in one message, and the stream may store such a message while every instance
        /// understands it. A client that may publish to the subject of bundles can then do every operation, also those whose
        /// own subjects are denied to it. Default: no.
        bundles: bool,
        /// After how long without a word a message of the stream is given to another instance. Default: 30 s.
        ack_wait: Duration,
        /// How long finishing may take at the end. Requests that are not done then are counted as lost, messages stay in the
        /// stream. Default: 10 s.
        grace: Duration,
        /// Prefixes of reply subjects that are answered to, beside `_INBOX`. Nothing but inboxes may lie there: an answer is
        /// published under this service's rights, wherever a peer wants it.
        reply_prefixes: Vec<String>,
        /// Where the service tells of itself while it runs. Default: one that is not read.
        monitor: Monitor,
    }

    /// A layer around the store, and around the layers that were named before. An error that it makes itself needs no request:
    /// the service adds it, and goes by its class. Not ready, it holds up what comes after, so it should become ready by
    /// itself.
    #[must_use]
    pub fn layer<T>(self, layer: T) -> ServiceOptions<Stack<L, T>> {
        ServiceOptions { settings: self.settings, around: Stack::new(self.around, layer) }
    }
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self { settings: Settings::default(), around: Identity::new() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: Namespace::none(),
            takeover: false,
            jetstream: JetStream::Auto,
            stream_max_bytes: None,
            stream_replicas: None,
            in_flight: 1024,
            bytes: waiting::MOST,
            bundles: false,
            ack_wait: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            reply_prefixes: Vec::new(),
            monitor: Monitor::default(),
        }
    }
}

/// Why the database service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address or credentials that cannot be read.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A namespace that cannot be served.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A prefix of reply subjects below which more lies than inboxes.
    #[error("{} {prefix:?} cannot be answered to: {why}", option("reply-prefix"))]
    ReplyPrefix {
        /// The prefix.
        prefix: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another kind of service answers on our subjects.
    #[error(
        "another kind of service already answers on {subject}: {who}. Two of them would both write; stop it, or start \
         with {takeover}", takeover = option("takeover")
    )]
    ForeignService {
        /// Where it answered.
        subject: String,
        /// What is known of it.
        who: String,
    },
    /// A service of our kind answers, on another database.
    #[error(
        "a database service on another database ({other}) already answers here; this one is {own}. Start both on the \
         same file, or stop one"
    )]
    OtherDatabase {
        /// The database that answers.
        other: String,
        /// The database of this service.
        own: String,
    },
    /// A service of our kind answers, on another file with the same id: one of them is a copy.
    #[error("{}", copy(own, other, *replaced, *applied))]
    Copy {
        /// The file of this service.
        own: String,
        /// The file of the other one.
        other: String,
        /// Whether both are called the same: then the file was replaced beneath this service.
        replaced: bool,
        /// How many operations this service has done.
        applied: u64,
    },
    /// A service of our kind answers, and takes events in another way.
    #[error(
        "a database service that takes events {} already answers here; stop it first, or start this one with \
         {}", how(*mode), option(flag(*mode))
    )]
    OtherMode {
        /// How the other service takes events.
        mode: Mode,
    },
    /// A stream that is not ours stores what is sent to us.
    #[error(
        "the stream {stream:?} stores {subject}, and is not ours: what it acknowledges would never be applied. Delete \
         it (nats stream rm {stream}), or change its subjects"
    )]
    ForeignStream {
        /// The name of the stream.
        stream: String,
        /// One of our subjects that it stores.
        subject: String,
    },
    /// A stream of our name that is not ours, or not any more.
    #[error(
        "the stream {stream:?} is not this service's ({why}). {}",
        instead(stream, *in_the_way)
    )]
    NotOurStream {
        /// The name of the stream.
        stream: String,
        /// How that is known.
        why: String,
        /// Whether it stores what is sent to us: then no way of taking events goes beside it.
        in_the_way: bool,
    },
    /// A stream is wanted, and a limit forbids it.
    #[error(
        "{on}, but a limit of the server or the account forbids the stream: {why}; or start this service with \
         {auto}, which goes on without a stream", on = option("jetstream on"), auto = option("jetstream auto")
    )]
    StreamForbidden {
        /// The limit, and what helps.
        why: String,
    },
    /// JetStream is wanted, and is not there.
    #[error(
        "{on}, but {why}. Start the server with JetStream (nats-server -js) and allow it to this account and user, \
         or start this service with {auto}", on = option("jetstream on"), auto = option("jetstream auto")
    )]
    NoJetStream {
        /// What was found.
        why: String,
    },
    /// The connection was lost permanently.
    #[error("the connection to NATS: {0}")]
    Connection(String),
}

fn instead(stream: &str, in_the_way: bool) -> String {
    if in_the_way {
        format!(
            "It stores what is sent to this service, and what it holds is for another database: start this service on the file of \
             that database; or, if what is in the stream is not needed, delete it (nats stream rm {stream})"
        )
    } else {
        format!(
            "Delete it if what is in it is not needed (nats stream rm {stream}), or start with {}",
            option("jetstream off")
        )
    }
}

fn copy(own: &str, other: &str, replaced: bool, applied: u64) -> String {
    let what = if replaced {
        format!(
            "{own} was replaced by another file while this service had it open, and another service serves that one"
        )
    } else {
        format!("{own} is a copy: another service serves the same database from {other}, and was there first")
    };
    let done = match applied {
        0 => String::new(),
        n => format!(" What this service was asked since its start ({n} done) is in its own file only."),
    };
    format!(
        "{what}. Two services on two files would split the channel's data, so this one does not serve.{done} Start \
         it on the same file, or stop the other one first; docs/database.md says how a copy becomes a database of its own"
    )
}

const fn how(mode: Mode) -> &'static str {
    match mode {
        Mode::Core => "by request and reply",
        Mode::JetStream => "from a stream",
    }
}

const fn flag(mode: Mode) -> &'static str {
    match mode {
        Mode::Core => "jetstream off",
        Mode::JetStream => "jetstream on",
    }
}
