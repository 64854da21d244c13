//! Read-your-writes: a stream's acknowledgement says that an event is stored, not that it is applied.

use std::time::Duration;

use async_nats::Subject;
use serde::{Deserialize, Serialize};
use tokio::time;

use super::NatsService;
use super::health::Route;
use super::inbox::{Completion, ReplyFrom};
use super::pending::PendingReply;
use super::wire;
use crate::error::{Cause, Code};
use crate::operation::{Kind, Operation};

/// The pause after a question without an answer.
const PAUSE: Duration = Duration::from_millis(50);

/// The question on `SERVICE.applied`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Question {
    /// The stream sequence to wait for; if absent, the last one in the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<u64>,
}

/// The answer on `SERVICE.applied`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Whether all messages up to `sequence` are applied. The client asks again if not.
    pub(crate) applied: bool,
    /// The stream sequence that the service waited for.
    pub(crate) sequence: u64,
}

impl<O: Operation> NatsService<O> {
    /// Waits until everything that the stream has acknowledged to this service and its clones is applied, so
    /// that later reads on any path include it. Returns at once where the service answers after the commit.
    /// Cancel safe.
    ///
    /// # Errors
    /// `unanswered`, if it is not applied within `limit`.
    pub async fn applied(&self, limit: Duration) -> Result<(), Cause> {
        match self.shared.health.last_stored() {
            0 => Ok(()),
            sequence => self.until(Question { sequence: Some(sequence) }, limit).await,
        }
    }

    /// Waits until everything that the stream has acknowledged to any client by now is applied: as
    /// [`applied`](Self::applied), for readers of other clients' writes. Cancel safe.
    ///
    /// # Errors
    /// `unanswered`, if it is not applied within `limit`.
    pub async fn all_applied(&self, limit: Duration) -> Result<(), Cause> {
        self.until(Question::default(), limit).await
    }

    async fn until(&self, mut question: Question, limit: Duration) -> Result<(), Cause> {
        let asked = async {
            loop {
                match self.ask(question).await {
                    Some(Answer { applied: true, .. }) => return,
                    // "By now" is the moment of the first question: other clients may continue to publish.
                    Some(answer) => question.sequence = Some(answer.sequence),
                    None => time::sleep(PAUSE).await,
                }
            }
        };
        time::timeout(limit, asked).await.map_err(|_| {
            Cause::new(
                Code::UNANSWERED,
                format!("what the stream has stored is not applied within {limit:?}"),
            )
        })
    }

    async fn ask(&self, question: Question) -> Option<Answer> {
        let shared = &*self.shared;
        if shared.health.way(Kind::Query).ok()? != Route::Service {
            return None;
        }
        let subject = Subject::from(shared.names.own("applied"));
        let body = serde_json::to_vec(&question).ok()?.into();
        // If the service is lost, this wait is ended together with all others.
        match PendingReply::to(&shared.client, &shared.inbox, subject, ReplyFrom::Service, body).await {
            Some(Completion::Answer(message)) if wire::refusal(&message).is_none() => {
                serde_json::from_slice(&message.payload).ok()
            }
            _ => None,
        }
    }
}
