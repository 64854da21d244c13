//! `SERVICE.applied`: whether what a stream has stored is applied.

use std::time::Duration;

use async_nats::Message;
use tokio::time::{self, Instant};

use super::{Shared, handle};
use crate::error::{Cause, Code};
use crate::nats::barrier::{Answer, Question};
use crate::nats::wire;
use crate::operation::Operation;
use crate::store::Store;

/// How long it is waited for before the answer is no; a client that still wants to know asks again.
const WAIT: Duration = Duration::from_secs(1);
/// The pause between looks.
const LOOK: Duration = Duration::from_millis(10);

/// Waits a moment for it to become so. What counts is what the server knows: another instance may have taken the message.
pub(super) async fn applied<O: Operation, D: Store<O>>(shared: &Shared<O, D>, message: Message) {
    shared.counters.asked();
    let Some(to) = shared.way_to(&message) else { return };
    let database = shared.db.id();
    let (headers, body) = match look(shared, &message.payload).await {
        Ok(answer) => (wire::answer_headers(database), serde_json::to_vec(&answer).unwrap_or_default()),
        Err(cause) => handle::refusal(shared, None, &cause),
    };
    handle::send(shared, to, headers, body).await;
}

async fn look<O: Operation, D: Store<O>>(shared: &Shared<O, D>, payload: &[u8]) -> Result<Answer, Cause> {
    let question: Question = if payload.is_empty() {
        Question::default()
    } else {
        serde_json::from_slice(payload).map_err(|e| Cause::new(Code::INVALID, e.to_string()))?
    };
    let Some(stream) = &shared.stream else {
        // Everything was acknowledged after its commit.
        return Ok(Answer { applied: true, sequence: question.sequence.unwrap_or_default() });
    };
    let deadline = Instant::now() + WAIT;
    let mut sequence = question.sequence;
    loop {
        let looked = shared.api.stream(&stream.name).await;
        let state = looked.map_err(|e| Cause::new(Code::DATABASE, e.to_string()))?.state;
        let until = *sequence.get_or_insert_with(|| state.last());
        let applied = state.has_applied(until);
        if applied || Instant::now() > deadline {
            return Ok(Answer { applied, sequence: until });
        }
        time::sleep(LOOK).await;
    }
}
