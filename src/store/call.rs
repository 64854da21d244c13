//! A request that is applied by its function, whatever the database.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time;

use super::queue::Write;
use super::writer::Outcome;
use crate::error::{Cause, Code};
use crate::operation::{ApplyError, ApplyFn, Persist, Refusal, Seen, Spec, Tx};
use crate::request::Head;

/// How long one call may take: what it locks is locked meanwhile.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// How long the calls of one transaction may take together: those that have not begun by then go into the next one.
/// Less than another process waits for the lock of a file.
pub(crate) const TOGETHER: Duration = Duration::from_millis(200);

/// What stands before a refusal in the ledger, in the place of an answer. No JSON begins with it.
const REFUSED: char = '!';

/// The answers of operations that have none of their own, or that took effect before they had one.
pub(crate) fn silences<O: Persist>() -> Vec<&'static str> {
    let silence = |(kind, spec): (usize, &Spec)| {
        // A function says nothing of the form of its answer.
        let is_empty = O::ANSWERS[kind].is_empty()
            && (O::APPLY[kind].is_none() || O::decode_answer(kind, spec.empty_answer.as_bytes()).is_ok());
        if spec.answer_is_list() || is_empty { spec.empty_answer } else { "null" }
    };
    O::SPECS.iter().enumerate().map(silence).collect()
}

/// What became of a call.
pub(crate) enum Called {
    /// JSON.
    Answer(String),
    Refused(Refusal),
    Failed(sqlx::Error),
    /// It has said that all is well, and is not believed.
    Undone(String),
    Panicked,
    Late(Duration),
}

impl Called {
    /// Calls the function, within a limit.
    pub(crate) async fn of(function: ApplyFn, write: &Write, tx: &mut Tx<'_>, limit: Duration) -> Self {
        let Write { id, occurred_at, trace, deadline, .. } = write;
        let head =
            Head { id: id.clone(), occurred_at: *occurred_at, trace: trace.clone(), deadline: *deadline };
        let call = AssertUnwindSafe(function(&write.payload, tx, &head)).catch_unwind();
        match time::timeout(limit, call).await {
            Ok(Ok(Ok(answer))) => Self::Answer(String::from_utf8(answer).unwrap_or_default()),
            Ok(Ok(Err(ApplyError::Refused(refusal)))) => Self::Refused(refusal),
            Ok(Ok(Err(ApplyError::Database(error)))) => Self::Failed(error),
            Ok(Err(_)) => Self::Panicked,
            Err(_) => Self::Late(limit),
        }
    }

    /// The same in the light of what its statements came to.
    pub(crate) fn after(self, seen: Seen) -> Self {
        match (self, seen.forbidden, seen.failed) {
            (Self::Answer(_) | Self::Refused(_) | Self::Failed(_), Some(why), _)
            | (Self::Answer(_), None, Some(why)) => Self::Undone(why),
            (called, ..) => called,
        }
    }

    /// The outcome of one that has left nothing.
    pub(crate) fn failed(&self, spec: &Spec) -> Outcome {
        let why = match self {
            Self::Failed(error) => error.to_string(),
            Self::Undone(why) => why.clone(),
            Self::Late(limit) => {
                format!("it has not ended within {limit:?}, in which the database is locked")
            }
            Self::Panicked | Self::Answer(_) | Self::Refused(_) => "it has panicked".to_owned(),
        };
        Outcome::Refused(Cause::new(Code::REFUSED, format!("{}: {why}", spec.name)))
    }
}

/// That a call has ended the transaction that it was applied in.
pub(crate) fn ended(spec: &Spec) -> Cause {
    let why = "it has ended the transaction that it is applied in, released its savepoint, or changed where its tables are \
               found; that is the framework's";
    Cause::new(Code::REFUSED, format!("{}: {why}", spec.name))
}

/// A refusal as the ledger keeps it.
pub(crate) fn keep(refusal: &Refusal) -> String {
    format!("{REFUSED}{}", serde_json::json!(refusal))
}

/// What the ledger has kept of a call.
pub(crate) fn kept(answer: String) -> Outcome {
    let Some(json) = answer.strip_prefix(REFUSED) else { return Outcome::Answer(answer) };
    Outcome::Refused(match serde_json::from_str::<Refusal>(json) {
        Ok(refusal) => Cause::Refused(Box::new(refusal)),
        Err(e) => {
            Cause::new(Code::REFUSED, format!("the operation has refused it, and why cannot be read: {e}"))
        }
    })
}
