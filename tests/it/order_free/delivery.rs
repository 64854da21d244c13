//! Delivers a case to the writers of one database.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use eitherway::sql::{Retention, SqlService};
use eitherway::stack::BoxedStack;
use eitherway::{Code, Db, Head, OpId, Operation, Request, clock};
use futures_util::future::join_all;
use rosey::op::{
    Answer, Forget as ForgetOp, HighWater, KvDelete, KvSet, MessageLog, Op, OutboundEnqueue, OutboundGet,
    OutboundMarkFailed, OutboundMarkSent, PmCommand, QuoteAdd, StatusUpdate, Tell, TellUndo, UserCount,
    UserJoined, UserLeft,
};

use super::base::Base;
use super::history::{Batch, Case, Event, Forget, Sweep, What};
use super::sending::{paths, send, send_one};

/// What the database was given, in the order of the history.
pub(crate) struct Delivered {
    pub(crate) requests: Vec<Request<Op>>,
    /// The operation that each message came with, by the message's number.
    pub(crate) messages: HashMap<i64, OpId>,
    /// What was removed in the end, at the latest: the latest horizon of all.
    pub(crate) removed: Option<Removed>,
}

#[derive(Clone, Copy)]
pub(crate) struct Removed {
    /// What is older is gone.
    pub(crate) horizon: i64,
    /// The ledger, too.
    pub(crate) forgotten: bool,
}

impl Delivered {
    /// The message with the highest number.
    pub(crate) fn newest(&self) -> Option<OpId> {
        let newest = self.messages.iter().max_by_key(|(number, _)| **number);
        newest.map(|(_, id)| id.clone())
    }
}

/// What is removed of each kind: what is older.
#[derive(Clone, Copy)]
struct Horizons {
    chat: i64,
    history: i64,
    sent: i64,
    kv: i64,
    forgotten: i64,
}

impl Horizons {
    const fn all(horizon: i64) -> Self {
        Self { chat: horizon, history: horizon, sent: horizon, kv: horizon, forgotten: horizon }
    }
}

/// A number of a message that there is not.
const NOBODYS: i64 = 1_000_000;

/// Delivers everything as the case says. Messages come first, because their numbers are known only then; their
/// repetitions come among the rest.
///
/// # Errors
/// When an operation fails, or is answered differently the second time, or its id is taken for something else.
pub(crate) async fn deliver<B: Base>(case: &Case, base: &B) -> Result<Delivered, String> {
    let enqueues = |event: &&Event| matches!(&event.what, What::Op(op) if matches!(**op, Op::OutboundEnqueue(_) | Op::Tell(_)));
    let messages: Vec<&Event> = case.events.iter().filter(enqueues).collect();
    let mut post = Post {
        base,
        paths: paths(base),
        writers: base.writers().iter().cloned().map(Db::new).collect(),
        answers: HashMap::new(),
        earlier: None,
        forgotten: HashSet::new(),
    };

    let first = messages.iter().map(|event| (*event, request(event, &[]), &event.deliveries[..1]));
    post.send(ordered(placed(first)), &case.batches).await?;
    let numbers: Vec<i64> = messages.iter().map(|event| post.number(&event.id)).collect();

    let requests: Vec<_> = case.events.iter().map(|event| request(event, &numbers)).collect();
    let rest = case.events.iter().zip(&requests).map(|(event, request)| {
        let from = usize::from(enqueues(&event));
        (event, request.clone(), &event.deliveries[from..])
    });
    let mut rest = placed(rest);
    let mut sweeps = case.sweeps.clone();
    sweeps.sort_by_key(|sweep| sweep.place);
    for sweep in &sweeps {
        let later = rest.split_off(rest.partition_point(|(place, _)| *place < sweep.place));
        post.send(ordered(std::mem::replace(&mut rest, later)), &case.batches).await?;
        post.sweep(sweep, &mut rest, &requests).await?;
    }
    post.send(ordered(rest), &case.batches).await?;
    let forgotten = sweeps.iter().any(|sweep| sweep.forget != Forget::Nothing);
    let first = requests.iter().find(|request| !matches!(*request.op, Op::OutboundGet(_)));
    if let Some(first) = first.filter(|_| !forgotten) {
        post.refused(first).await?;
    }
    let horizon = sweeps.iter().map(|sweep| sweep.horizon).max();
    let removed = horizon.map(|horizon| Removed { horizon, forgotten });
    if let Some(removed) = removed {
        let forget = if forgotten { Some(post.last_applied().await? + 1) } else { None };
        let all = Horizons::all(removed.horizon);
        post.remove(all, forget, 0).await?;
    }

    let messages = numbers.into_iter().zip(messages.iter().map(|event| event.id.clone())).collect();
    Ok(Delivered { requests, messages, removed })
}

fn request(event: &Event, numbers: &[i64]) -> Request<Op> {
    let head = Head { id: event.id.clone(), ..Head::at(event.at) };
    match &event.what {
        What::Op(op) => Request::from_parts(head, op.clone()),
        What::Mark(message, mark) => {
            let message_id = numbers.get(*message).copied().unwrap_or(NOBODYS);
            match mark.clone() {
                None => Request::with_head(head, OutboundMarkSent { message_id }),
                Some((error, permanent)) => {
                    Request::with_head(head, OutboundMarkFailed { message_id, error, permanent })
                }
            }
        }
        What::Undo(message, sender) => {
            let message_id = numbers.get(*message).copied().unwrap_or(NOBODYS);
            Request::with_head(head, TellUndo { sender: sender.clone(), message_id })
        }
        What::Claim(username) => {
            let head = Head { occurred_at: clock::now(), ..head };
            Request::with_head(head, OutboundGet { username: username.clone(), limit: 2, max_retries: 3 })
        }
    }
}

fn placed<'a>(
    events: impl Iterator<Item = (&'a Event, Request<Op>, &'a [super::history::Delivery])>,
) -> Vec<(u16, Request<Op>)> {
    let mut placed = Vec::new();
    for (_, request, deliveries) in events {
        for delivery in deliveries {
            placed.extend((0..=usize::from(delivery.twice)).map(|_| (delivery.place, request.clone())));
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    placed
}

fn ordered(placed: Vec<(u16, Request<Op>)>) -> Vec<Request<Op>> {
    placed.into_iter().map(|(_, request)| request).collect()
}

struct Post<'a, B> {
    base: &'a B,
    paths: Vec<Db<BoxedStack<Op>>>,
    writers: Vec<Db<SqlService<Op>>>,
    answers: HashMap<OpId, Answer>,
    /// Until when the database had applied something at the sweep before.
    earlier: Option<i64>,
    forgotten: HashSet<OpId>,
}

impl<B: Base> Post<'_, B> {
    async fn send(&mut self, requests: Vec<Request<Op>>, batches: &[Batch]) -> Result<(), String> {
        let mut rest = requests.as_slice();
        let mut batches = batches.iter().cycle();
        while !rest.is_empty() {
            let Some(batch) = batches.next() else { return Err("no batches".to_owned()) };
            // Two writers write at the same time now and then; more of them always.
            let writers = self.writers.len();
            let together = if writers > 2 || batch.alongside { writers } else { 1 };
            let sizes = std::iter::once(batch.size).chain(batches.by_ref().map(|batch| batch.size));
            let parts: Vec<_> = sizes.take(together).map(|size| take(&mut rest, size)).collect();
            let sent = parts.into_iter().enumerate();
            let sent = sent.map(|(n, part)| send(&self.paths[(batch.writer + n) % writers], part));
            for answered in join_all(sent).await {
                for (request, answer) in answered? {
                    self.keep(&request, answer)?;
                }
            }
        }
        // What has lost still waits in the queue of the other writer, before this.
        if let Some(last) = requests.last().filter(|_| self.base.hedged()) {
            for writer in 0..self.writers.len() {
                let (request, answer) = (last.clone(), send_one(&self.writers[writer], last).await);
                self.keep(&request, answer.map_err(|e| e.to_string())?.answer)?;
            }
        }
        Ok(())
    }

    /// Removes what is older than the horizon. What is still to come bounds it, as the times do that rows are kept:
    /// nothing comes again that the ledger has forgotten, no join or leave that is older than those it has folded, and
    /// no report on a message that is gone.
    async fn sweep(
        &mut self,
        sweep: &Sweep,
        rest: &mut Vec<(u16, Request<Op>)>,
        requests: &[Request<Op>],
    ) -> Result<(), String> {
        let answered = self.answers.keys().cloned().collect::<HashSet<_>>();
        // By what the database has written down, not by our clock: the operator may set that back in the meantime.
        let forget = match (sweep.forget, self.earlier.take()) {
            (Forget::Everything, _) => Some(self.last_applied().await? + 1),
            (Forget::Earlier, earlier) => earlier,
            (Forget::Nothing, _) => None,
        };
        let forget = match forget {
            Some(until) => Some((until, self.applied_before(until).await?)),
            None => None,
        };
        if let Some((_, forgotten)) = &forget {
            rest.retain(|(_, request)| !forgotten.contains(&request.head.id));
            self.forgotten.extend(forgotten.iter().cloned());
        }
        let order = |r: &Request<Op>| (r.head.occurred_at, r.head.id.to_string());
        let folded = |late: &Request<Op>| {
            requests
                .iter()
                .any(|r| self.forgotten.contains(&r.head.id) && who(r) == who(late) && order(r) > order(late))
        };
        let late =
            rest.iter().filter(|(_, r)| who(r).is_some() && !answered.contains(&r.head.id) && folded(r));
        let presence = late.map(|(_, r)| r.head.occurred_at).min().unwrap_or(i64::MAX);
        let marked = rest.iter().any(|(_, request)| {
            matches!(*request.op, Op::OutboundMarkSent(_) | Op::OutboundMarkFailed(_) | Op::TellUndo(_))
                && !self.answers.contains_key(&request.head.id)
        });
        let written = rest.iter().any(|(_, request)| {
            matches!(*request.op, Op::KvSet(_) | Op::KvDelete(_))
                && !self.answers.contains_key(&request.head.id)
        });
        let answers = &self.answers;
        let forgets =
            rest.iter().filter(|(_, r)| matches!(*r.op, Op::Forget(_)) && !answers.contains_key(&r.head.id));
        // What is summed up is forgotten as a whole.
        let forgotten = forgets.map(|(_, r)| r.head.occurred_at).min();
        let horizon = sweep.horizon.min(forgotten.unwrap_or(i64::MAX));
        let horizons = Horizons {
            chat: horizon,
            history: horizon.min(presence),
            sent: if marked || forgotten.is_some() { 0 } else { horizon },
            kv: if written { 0 } else { horizon },
            forgotten: 0,
        };
        self.remove(horizons, forget.map(|(at, _)| at), sweep.writer).await?;
        // What is applied from now on is so at a later time, mostly.
        let until = self.last_applied().await? + 1;
        while clock::now() < until {
            tokio::task::yield_now().await;
        }
        self.earlier = Some(until);
        Ok(())
    }

    async fn last_applied(&self) -> Result<i64, String> {
        self.base.last_applied().await
    }

    /// What the ledger forgets with everything that was applied before `until`.
    async fn applied_before(&self, until: i64) -> Result<HashSet<OpId>, String> {
        let ids = self.base.applied_before(until).await?;
        ids.iter().map(|id| OpId::parse(id).map_err(|e| e.to_string())).collect()
    }

    async fn remove(&self, horizons: Horizons, forget: Option<i64>, writer: usize) -> Result<(), String> {
        let now = clock::now().max(forget.unwrap_or(0));
        let since = |at: i64| Duration::from_millis(u64::try_from(now - at).unwrap());
        let retention = Retention::default()
            .keep("chat", since(horizons.chat))
            .keep("history", since(horizons.history))
            .keep("sent", since(horizons.sent))
            .keep("kv", since(horizons.kv))
            .keep("forgotten", since(horizons.forgotten))
            .keep("ledger", since(forget.unwrap_or(0)));
        let swept = self.writers[writer].stack().sweep(&retention, now).await;
        swept.map(drop).map_err(|e| format!("what is old could not be removed: {e}"))
    }

    /// Other operations under an id that is taken: later ones, which would show if they had an effect.
    async fn refused(&self, taken: &Request<Op>) -> Result<(), String> {
        let head = Head { occurred_at: taken.head.occurred_at + 60_000, ..taken.head.clone() };
        let status = Some(Some("rival".to_owned()));
        let (username, message, content) = ("rival".to_owned(), "rival".to_owned(), "rival".to_owned());
        let rivals = [
            Op::from(UserJoined { username: username.clone() }),
            Op::from(UserLeft { username: username.clone() }),
            Op::from(MessageLog { username: username.clone(), message }),
            Op::from(UserCount { chat_count: 90, connected_count: 90 }),
            Op::from(HighWater { chat_count: 90, connected_count: Some(90) }),
            Op::from(StatusUpdate { status, ..StatusUpdate::default() }),
            Op::from(PmCommand { username, command: "rival".to_owned(), ..PmCommand::default() }),
            Op::from(OutboundEnqueue { username: None, content }),
            Op::from(OutboundMarkSent { message_id: 1 }),
            Op::from(OutboundMarkFailed { message_id: 1, error: "rival".to_owned(), permanent: true }),
            Op::from(Tell {
                sender: "rival".to_owned(),
                username: "ann".to_owned(),
                content: "rival".to_owned(),
                privately: true,
            }),
            Op::from(TellUndo { sender: "ann".to_owned(), message_id: 1 }),
            Op::from(QuoteAdd { username: "rival".to_owned(), message: "rival".to_owned(), added_by: None }),
            Op::from(KvSet {
                plugin_name: "quiz".to_owned(),
                key: "a".to_owned(),
                value: "rival".into(),
                ttl_seconds: None,
            }),
            Op::from(KvDelete { plugin_name: "quiz".to_owned(), key: "a".to_owned() }),
            Op::from(ForgetOp { username: "ann".to_owned() }),
        ];
        let same = |rival: &Op| (rival.index(), rival.encode()) == (taken.op.index(), taken.op.encode());
        for rival in rivals.into_iter().filter(|rival| !same(rival)) {
            let request = Request::with_head(head.clone(), rival);
            match self.writers[0].send(request.clone()).await {
                Err(e) if e.cause().code() == Code::ID_REUSED => {}
                other => return Err(format!("{request:?}, whose id is taken: {other:?}")),
            }
        }
        Ok(())
    }

    fn keep(&mut self, request: &Request<Op>, answer: Answer) -> Result<(), String> {
        let id = request.head.id.clone();
        // What a claim hands out may have been reported in the meantime.
        let changes = matches!(answer, Answer::OutboundGet(_));
        let shown = format!("{answer:?}");
        match self.answers.insert(id, answer) {
            Some(before) if !changes && format!("{before:?}") != shown => {
                Err(format!("{request:?} was answered {before:?}, then {shown}"))
            }
            _ => Ok(()),
        }
    }

    fn number(&self, id: &OpId) -> i64 {
        match self.answers.get(id) {
            Some(Answer::OutboundEnqueue(enqueued) | Answer::Tell(enqueued)) => enqueued.id,
            other => panic!("a message was answered {other:?}"),
        }
    }
}

/// Who joined or left.
fn who(request: &Request<Op>) -> Option<String> {
    match &*request.op {
        Op::UserJoined(op) => Some(op.username.to_lowercase()),
        Op::UserLeft(op) => Some(op.username.to_lowercase()),
        _ => None,
    }
}

fn take<'a, T>(rest: &mut &'a [T], most: usize) -> &'a [T] {
    let (taken, left) = rest.split_at(most.min(rest.len()));
    *rest = left;
    taken
}
