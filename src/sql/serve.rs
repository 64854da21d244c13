//! A request on its way through the database: a write to the queue of the writer, a query to a reader.

use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tower::Service;

use super::{SqlFuture, SqlService};
use crate::answer::{End, Json, cut};
use crate::clock;
use crate::error::{Cause, Code, Error};
use crate::operation::{Persist, Spec};
use crate::reply::Reply;
use crate::request::{Received, Request};
use crate::store::queue::{Item, Write};
use crate::store::reader::{Answered, Question};

impl<O: Persist> SqlService<O> {
    fn start(&self, request: &Request<O>) -> Result<SqlFuture<O>, Cause> {
        let received = request.received().unwrap_or_else(Received::now);
        let most = received.answer_bytes().min(self.shared.answer_bytes);
        let index = request.op.index();
        let spec = &O::SPECS[index];
        request.head.check_deadline()?;
        request.head.check_of(received.at(), self.shared.future_tolerance, self.shared.past_tolerance)?;
        is_fresh(spec, request.head.occurred_at)?;
        if spec.writes() {
            let (tx, rx) = oneshot::channel();
            self.enqueue(Item::Write(Write::new(request, index, most)?, tx))?;
            return Ok(SqlFuture::writing(rx, request.clone()));
        }
        let payload = request.op.bound()?;
        let payload = std::str::from_utf8(&payload).map_err(|e| Cause::new(Code::INVALID, e.to_string()))?;
        let nothing = if spec.answer_is_list() { spec.empty_answer } else { "null" };
        let read = self.shared.reader.ask(Question {
            index,
            payload: payload.to_owned(),
            id: request.head.id.to_string(),
            occurred_at: request.head.occurred_at,
            now: self.shared.keeper.now(),
            most,
            deadline: request.head.deadline,
        })?;
        let read = Box::pin(async move {
            let Answered { json, omitted } = read.await?;
            let json = json.unwrap_or_else(|| Json::from(nothing.to_owned()));
            if !spec.answer_is_list() || json.as_str().len() <= most {
                return Ok((json, omitted));
            }
            match cut(json.as_str().as_bytes(), most, End::First) {
                // Cut from UTF-8 between entries.
                Some((less, gone)) => {
                    Ok((Json::from(String::from_utf8(less).unwrap_or_default()), omitted + gone))
                }
                None => Ok((json, omitted)),
            }
        });
        Ok(SqlFuture::reading(read, request.clone()))
    }
}

/// Whether a request comes in time.
fn is_fresh(spec: &Spec, occurred_at: i64) -> Result<(), Cause> {
    let age = clock::now() - occurred_at;
    match spec.max_age {
        Some(fresh) if age > i64::try_from(fresh.as_millis()).unwrap_or(i64::MAX) => Err(Cause::new(
            Code::CLOCK,
            format!("it was made {} s ago, or the sender's clock is slow: ask again", age / 1000),
        )),
        _ => Ok(()),
    }
}

impl<O: Persist> Service<Request<O>> for SqlService<O> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future = SqlFuture<O>;

    /// Always ready: what cannot be taken is refused by `call`.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<O>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<O>) -> SqlFuture<O> {
        let started = self.start(&request);
        started.unwrap_or_else(|cause| SqlFuture::refused(Error::new(cause, request)))
    }
}
