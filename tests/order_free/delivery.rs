//! Delivers a case to two writers on one file.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use rosey::op::{
    Answer, HighWater, MessageLog, Op, OutboundEnqueue, OutboundGet, OutboundMarkFailed, OutboundMarkSent,
    PmCommand, StatusUpdate, UserCount, UserJoined, UserLeft,
};
use rosey::sql::{Retention, SqlxService};
use rosey::{Code, Db, Head, OpId, Operation, Request, clock};

use crate::history::{Batch, Case, Event, Sweep, What};

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

/// A number of a message that there is not.
const NOBODYS: i64 = 1_000_000;

/// Delivers everything as the case says. Messages come first, because their numbers are known only then; their
/// repetitions come among the rest.
///
/// # Errors
/// When an operation fails, or is answered differently the second time, or its id is taken for something else.
pub(crate) async fn deliver(case: &Case, writers: &[SqlxService<Op>; 2]) -> Result<Delivered, String> {
    let enqueues =
        |event: &&Event| matches!(&event.what, What::Op(op) if matches!(**op, Op::OutboundEnqueue(_)));
    let messages: Vec<&Event> = case.events.iter().filter(enqueues).collect();
    let mut post = Post { writers: writers.clone().map(Db::new), answers: HashMap::new() };

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
        post.sweep(sweep, &mut rest).await?;
    }
    post.send(ordered(rest), &case.batches).await?;
    let forgotten = sweeps.iter().any(|sweep| sweep.forget);
    let first = requests.iter().find(|request| !matches!(*request.op, Op::OutboundGet(_)));
    if let Some(first) = first.filter(|_| !forgotten) {
        post.refused(first).await?;
    }
    let horizon = sweeps.iter().map(|sweep| sweep.horizon).max();
    let removed = horizon.map(|horizon| Removed { horizon, forgotten });
    if let Some(removed) = removed {
        post.remove(removed, removed.horizon, removed.horizon, 0).await?;
    }

    let messages = numbers.into_iter().zip(messages.iter().map(|event| event.id.clone())).collect();
    Ok(Delivered { requests, messages, removed })
}

fn request(event: &Event, numbers: &[i64]) -> Request<Op> {
    let head = Head { id: event.id.clone(), occurred_at: event.at, trace: None };
    match &event.what {
        What::Op(op) => Request { head, op: op.clone() },
        What::Mark(message, mark) => {
            let message_id = numbers.get(*message).copied().unwrap_or(NOBODYS);
            match mark.clone() {
                None => Request::with_head(head, OutboundMarkSent { message_id }),
                Some((error, permanent)) => {
                    Request::with_head(head, OutboundMarkFailed { message_id, error, permanent })
                }
            }
        }
        What::Claim(username) => {
            let head = Head { occurred_at: clock::now(), ..head };
            Request::with_head(head, OutboundGet { username: username.clone(), limit: 2, max_retries: 3 })
        }
    }
}

fn placed<'a>(
    events: impl Iterator<Item = (&'a Event, Request<Op>, &'a [crate::history::Delivery])>,
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

struct Post {
    writers: [Db<SqlxService<Op>>; 2],
    answers: HashMap<OpId, Answer>,
}

impl Post {
    async fn send(&mut self, requests: Vec<Request<Op>>, batches: &[Batch]) -> Result<(), String> {
        let mut rest = requests.as_slice();
        let mut batches = batches.iter().cycle();
        while !rest.is_empty() {
            let Some(batch) = batches.next() else { return Err("no batches".to_owned()) };
            let beside = if batch.alongside { batches.next() } else { None };
            let one = take(&mut rest, batch.size);
            let other = take(&mut rest, beside.map_or(0, |beside| beside.size));
            let (one, other) = tokio::join!(
                send(&self.writers[batch.writer], one),
                send(&self.writers[1 - batch.writer], other)
            );
            for (request, answer) in one?.into_iter().chain(other?) {
                self.keep(&request, answer)?;
            }
        }
        Ok(())
    }

    /// Removes what is older than the horizon. What is still to come bounds it, as the times do that rows are kept:
    /// nothing comes again that the ledger has forgotten, no join or leave that is older than those it has folded, and
    /// no report on a message that is gone.
    async fn sweep(&mut self, sweep: &Sweep, rest: &mut Vec<(u16, Request<Op>)>) -> Result<(), String> {
        if sweep.forget {
            rest.retain(|(_, request)| !self.answers.contains_key(&request.head.id));
        }
        let first = |rest: &[(u16, Request<Op>)], of: fn(&Op) -> bool| {
            rest.iter().filter(|(_, r)| of(&r.op)).map(|(_, r)| r.head.occurred_at).min().unwrap_or(i64::MAX)
        };
        let presence = first(rest, |op| matches!(op, Op::UserJoined(_) | Op::UserLeft(_)));
        let marked = rest.iter().any(|(_, request)| {
            matches!(*request.op, Op::OutboundMarkSent(_) | Op::OutboundMarkFailed(_))
                && !self.answers.contains_key(&request.head.id)
        });
        let sent = if marked { 0 } else { sweep.horizon };
        let removed = Removed { horizon: sweep.horizon, forgotten: sweep.forget };
        self.remove(removed, sweep.horizon.min(presence), sent, sweep.writer).await
    }

    async fn remove(&self, removed: Removed, history: i64, sent: i64, writer: usize) -> Result<(), String> {
        // A millisecond on: what was applied in this one is forgotten, too.
        let now = clock::now() + 1;
        let since = |at: i64| Duration::from_millis(u64::try_from(now - at).unwrap());
        let ledger = if removed.forgotten { Duration::ZERO } else { Duration::from_secs(86_400) };
        let retention = Retention::default()
            .keep("chat", since(removed.horizon))
            .keep("history", since(history))
            .keep("sent", since(sent))
            .keep("ledger", ledger);
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
            Some(Answer::OutboundEnqueue(enqueued)) => enqueued.id,
            other => panic!("a message was answered {other:?}"),
        }
    }
}

fn take<'a, T>(rest: &mut &'a [T], most: usize) -> &'a [T] {
    let (taken, left) = rest.split_at(most.min(rest.len()));
    *rest = left;
    taken
}

/// All at once: they wait together in the writer's queue and are committed in one transaction.
async fn send(
    writer: &Db<SqlxService<Op>>,
    requests: &[Request<Op>],
) -> Result<Vec<(Request<Op>, Answer)>, String> {
    let sent = join_all(requests.iter().map(|request| writer.send(request.clone()))).await;
    let answered = |(request, result): (&Request<Op>, Result<rosey::Reply<Answer>, _>)| match result {
        Ok(reply) => Ok((request.clone(), reply.answer)),
        Err(e) => Err(format!("{request:?}: {e}")),
    };
    requests.iter().zip(sent).map(answered).collect()
}
