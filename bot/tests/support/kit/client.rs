//! Our side: the standard stack over a server and a file, and callers that load it and count.

use std::ops::{Deref, DerefMut};

use async_nats::jetstream::{Context, stream};
use eitherway::nats::{NatsOptions, NatsService};
use eitherway::stack::{BoxedStack, GuardedStore, Hedging, NO_PATH, StackBuilder, boxed};
use eitherway::{Db, Stack};
use rosey::op::{GetChannelStats, MessageLog, Op, OutboundEnqueue, UserJoined};

use super::{DbFile, LIMIT, NatsServer, Url};

/// A client over one path or both.
pub(crate) type Over = Db<BoxedStack<Op>>;

/// A path over NATS. Returns at once, whether a server runs or not.
pub(crate) async fn nats(server: &impl Url) -> NatsService<Op> {
    NatsService::connect(NatsOptions::new(server.url())).await.unwrap()
}

/// The same, when it has recognised the service and its stream.
pub(crate) async fn recognised(server: &impl Url) -> NatsService<Op> {
    let nats = nats(server).await;
    tokio::time::timeout(LIMIT, nats.recognised()).await.expect("the service is recognised");
    nats
}

/// A server's address for one of its users, whose password is `x`; without a name, for none.
pub(crate) struct As<'a>(pub(crate) &'a str, pub(crate) &'a NatsServer);

impl Url for As<'_> {
    fn url(&self) -> String {
        let login = if self.0.is_empty() { String::new() } else { format!("{}:x@", self.0) };
        self.1.url().replace("//", &format!("//{login}"))
    }
}

/// Makes a stream on a subject, as an operator does.
pub(crate) async fn declare(context: &Context, name: &str, subject: &str) {
    let (name, subjects) = (name.to_owned(), vec![subject.to_owned()]);
    context.create_stream(stream::Config { name, subjects, ..Default::default() }).await.unwrap();
}

/// The direct path to a file, following what the service on NATS says of its database.
pub(crate) async fn direct(file: &DbFile, nats: &NatsService<Op>) -> GuardedStore<Op> {
    let direct = GuardedStore::open(file.open().await);
    direct.guard(nats.health());
    direct
}

/// The standard stack over both paths.
pub(crate) async fn stack(nats: &NatsService<Op>, file: &DbFile) -> Over {
    let direct = direct(file, nats).await;
    let built = StackBuilder::new().over(Some(nats.clone()), direct, NO_PATH);
    built.hedges.bind_late(nats.late_answers());
    Db::new(boxed(built.stack))
}

/// The standard stack with nothing behind NATS, and no hedges: a silence of a busy machine opens no circuit.
pub(crate) fn nats_only(nats: &NatsService<Op>) -> Over {
    nats_within(nats, std::time::Duration::from_secs(2))
}

/// The same, where an answer may take this long.
pub(crate) fn nats_within(nats: &NatsService<Op>, limit: std::time::Duration) -> Over {
    let stack = StackBuilder::new().nats_timeout(limit).hedging(Hedging::off());
    Db::new(boxed(stack.over(Some(nats.clone()), GuardedStore::closed(), NO_PATH).stack))
}

/// The standard stack on the file alone.
pub(crate) async fn db_only(file: &DbFile) -> Over {
    Db::new(boxed(StackBuilder::new().over(NO_PATH, file.open().await, NO_PATH).stack))
}

/// Callers that send joins and lines, each of them once, until they are told to stop.
pub(crate) struct Load(eitherway_testkit::Load);

/// One operation, the next in a row.
fn next(mix: u64, user: &str, caller: u64, n: u64) -> Op {
    let username = format!("{user}-{caller}-{n}");
    match n % mix {
        0 => UserJoined { username }.into(),
        1 => MessageLog { username, message: format!("line {n} of {caller}") }.into(),
        2 => OutboundEnqueue { username: None, content: format!("message {n} of {caller}") }.into(),
        _ => GetChannelStats {}.into(),
    }
}

impl Load {
    /// Of events alone.
    pub(crate) fn start<S: Stack<Op>>(db: &Db<S>, callers: u64) -> Self {
        Self::begin("user", 2, db, callers)
    }

    /// Of events, calls and queries.
    pub(crate) fn mixed<S: Stack<Op>>(db: &Db<S>, callers: u64) -> Self {
        Self::begin("user", 4, db, callers)
    }

    /// Of events alone, with users of its own beside another load.
    pub(crate) fn named<S: Stack<Op>>(name: &'static str, db: &Db<S>, callers: u64) -> Self {
        Self::begin(name, 2, db, callers)
    }

    fn begin<S: Stack<Op>>(name: &'static str, mix: u64, db: &Db<S>, callers: u64) -> Self {
        Self(eitherway_testkit::Load::start(db, callers, move |caller, n| next(mix, name, caller, n)))
    }

    /// Lets every caller finish what it has begun. Returns how many operations were sent.
    pub(crate) async fn finish(&mut self) -> u64 {
        self.0.finish().await.all
    }

    /// The same, if every call was served.
    pub(crate) async fn all_served(&mut self) -> u64 {
        let sent = self.finish().await;
        self.assert_all_served(sent);
        sent
    }

    /// The verdict on the callers' side: every call was served.
    pub(crate) fn assert_all_served(&self, sent: u64) {
        assert_eq!(self.tally.errors(), Default::default(), "every call is served");
        assert_eq!(self.tally.by_nats() + self.tally.by_db() + self.tally.by_outbox(), sent);
    }
}

impl Deref for Load {
    type Target = eitherway_testkit::Load;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Load {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// The verdict on the database's side: everything sent is there, and there once.
pub(crate) async fn assert_exactly_once(file: &DbFile, sent: u64) {
    assert_exactly_once_with(file, sent, 0).await;
}

/// The same for events and calls.
pub(crate) async fn assert_exactly_once_with(file: &DbFile, sent: u64, calls: u64) {
    let count = async |sql| u64::try_from(file.number(sql).await).unwrap();
    assert_eq!(file.applied().await, sent + calls, "sent = applied");
    assert_eq!(count("SELECT count(*) FROM outbound_messages").await, calls, "one message a call");
    let (joins, lines) =
        (count("SELECT count(*) FROM presence").await, count("SELECT count(*) FROM recent_chat").await);
    assert_eq!(joins + lines, sent, "one effect each");
    assert_eq!(count("SELECT count(DISTINCT username) FROM presence").await, joins, "no join twice");
    assert_eq!(
        count("SELECT count(DISTINCT username || message) FROM recent_chat").await,
        lines,
        "no line twice"
    );
    assert_eq!(
        count("SELECT coalesce(sum(total_chat_lines), 0) FROM user_stats_now").await,
        lines,
        "every line counted once"
    );
    file.assert_verified().await;
}
