//! What may appear on our subjects after the start: a foreign stream, a stream of our name beside a service that takes
//! events without one, JetStream on a server that had none. Our clients take none of it for an acknowledgement; an operator
//! has to act on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time;

use super::stream::ApiError;
use super::{Mode, Shared};
use crate::hints::option;
use crate::nats::stored;
use crate::operation::Operation;
use crate::store::Store;

/// How often it is looked, beside once on every new connection.
const EVERY: Duration = Duration::from_secs(5);
/// How seldom, where no answer comes.
const SELDOM: Duration = Duration::from_secs(600);

/// What the keys of these notices begin with.
const PREFIX: &str = "stream.";

/// What is in the way, or would be better otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Warning {
    Foreign { stream: String, subject: String },
    Ours { stream: String, subject: String },
    Offered,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { stream, subject } => write!(
                f,
                "the stream {stream:?} stores {subject}, and is not ours: it answers requests there, and what it \
                 acknowledges is not applied from it. Delete it (nats stream rm {stream}), or change its subjects"
            ),
            Self::Ours { stream, subject } => write!(
                f,
                "the stream {stream:?} stores {subject}, and this service takes events without one. Restart it: with {} \
                 to work on the stream, with {} to empty and delete it",
                option("jetstream on"),
                option("jetstream off")
            ),
            Self::Offered => write!(
                f,
                "the server offers JetStream by now, and this service began without. Restart it to have events kept \
                 in a stream, or start it with {} if that is not wanted",
                option("jetstream off")
            ),
        }
    }
}

/// Looks as long as the service runs. `unoffered`: it works without a stream only because the server had none.
pub(super) async fn run<O: Operation, D: Store<O>>(shared: Arc<Shared<O, D>>, unoffered: bool) {
    let mut connection = shared.connection.clone();
    let mut pause = EVERY;
    loop {
        let times = connection.borrow().times;
        match look(&shared, unoffered).await {
            Ok(found) => {
                let keyed = |notice: Warning| (format!("{PREFIX}{notice:?}"), notice.to_string());
                shared.notices.replace(PREFIX, found.into_iter().map(keyed).collect::<BTreeMap<_, _>>());
                pause = EVERY;
            }
            Err(e) => {
                // Without permission no answer comes, and the server complains of each question.
                tracing::debug!("what else there is over our subjects is not known: {e}");
                pause = (pause * 2).min(SELDOM);
            }
        }
        tokio::select! {
            () = time::sleep(pause) => {}
            Ok(_) = connection.wait_for(|c| c.up && c.times != times) => pause = EVERY,
            () = shared.stop.cancelled() => return,
        }
    }
}

async fn look<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    unoffered: bool,
) -> Result<BTreeSet<Warning>, ApiError> {
    let mut found = BTreeSet::new();
    match shared.api.account().await {
        Ok(()) => {}
        Err(ApiError::Absent) => return Ok(found),
        Err(e) => return Err(e),
    }
    if unoffered {
        found.insert(Warning::Offered);
    }
    let names = &shared.names;
    for (_, _, subject) in names.operations() {
        for stream in shared.api.storing(subject).await? {
            // One of its subjects is enough to name a stream.
            let named = found.iter().any(|notice| match notice {
                Warning::Foreign { stream: named, .. } | Warning::Ours { stream: named, .. } => {
                    *named == stream
                }
                Warning::Offered => false,
            });
            // On a stream, whether it is ours is looked at when it is declared.
            let ours =
                stream == names.stream && (shared.mode() != Mode::Core || is_marked(shared, &stream).await?);
            let subject = subject.to_string();
            if !named && !ours {
                found.insert(Warning::Foreign { stream, subject });
            } else if !named && shared.mode() == Mode::Core {
                found.insert(Warning::Ours { stream, subject });
            }
        }
    }
    Ok(found)
}

/// Whether a stream is for this database.
async fn is_marked<O: Operation, D: Store<O>>(shared: &Shared<O, D>, stream: &str) -> Result<bool, ApiError> {
    let stream_tag = stored::stream_tag(&shared.names.service, shared.db.id());
    Ok(shared.api.stream(stream).await?.description() == stream_tag)
}
