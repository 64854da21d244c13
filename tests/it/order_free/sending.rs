//! The paths to the writers of one database, and how requests are sent over them.

use eitherway::stack::{BoxedStack, Hedging, NO_PATH, StackBuilder, boxed};
use eitherway::{Code, Db, Request, Stack, clock};
use futures_util::future::join_all;
use rosey::op::{Answer, Op};

use super::base::Base;

/// What takes the operations: each writer, or each beside another one.
pub(super) fn paths(base: &impl Base) -> Vec<Db<BoxedStack<Op>>> {
    let writers = base.writers();
    let both = |n: usize| {
        let stack = StackBuilder::new().hedging(Hedging::new().database_always());
        let other = writers[(n + 1) % writers.len()].clone();
        boxed(stack.over(Some(writers[n].clone()), other, NO_PATH).stack)
    };
    let path = |n: usize| if base.hedged() { both(n) } else { boxed(writers[n].clone()) };
    (0..writers.len()).map(|n| Db::new(path(n))).collect()
}

/// All at once: they wait together in the writer's queue and are committed in one transaction.
pub(super) async fn send<S: Stack<Op>>(
    writer: &Db<S>,
    requests: &[Request<Op>],
) -> Result<Vec<(Request<Op>, Answer)>, String> {
    let sent = join_all(requests.iter().map(|request| send_one(writer, request))).await;
    let answered = |(request, result): (&Request<Op>, Result<eitherway::Reply<Answer>, _>)| match result {
        Ok(reply) => Ok((request.clone(), reply.answer)),
        Err(e) => Err(format!("{request:?}: {e}")),
    };
    requests.iter().zip(sent).map(answered).collect()
}

pub(super) async fn send_one<S: Stack<Op>>(
    writer: &Db<S>,
    request: &Request<Op>,
) -> Result<eitherway::Reply<Answer>, rosey::op::Error> {
    if !matches!(*request.op, Op::OutboundGet(_)) {
        return writer.send(request.clone()).await;
    }
    // An old one is refused. So is one that this machine was halted under, and it has had no effect then.
    let now = || {
        let mut request = request.clone();
        request.head.occurred_at = clock::now();
        request
    };
    match writer.send(now()).await {
        Err(e) if e.cause().code() == Code::CLOCK => writer.send(now()).await,
        result => result,
    }
}
