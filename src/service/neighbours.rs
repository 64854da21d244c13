//! Who else answers on our subjects: asked before the service starts.

use std::time::Duration;

use async_nats::{Client, StatusCode};
use tracing::debug;

use super::{ServeError, collect, ping_subject};
use crate::nats::wire;
use crate::operation::{Kind, Persist};

/// How long answers are waited for. Nobody there is told at once by the server.
const WAIT: Duration = Duration::from_millis(400);

/// Asks every query, with nothing in it, and our own ping: a query changes nothing, whoever serves it.
pub(super) async fn look<O: Persist>(client: &Client, own: &str) -> Result<(), ServeError> {
    let queries = O::SPECS.iter().filter(|s| s.kind == Kind::Query).map(|s| s.subject.to_owned());
    let asked: Vec<String> = queries.chain([ping_subject::<O>()]).collect();
    let inbox = client.new_inbox();
    let failed = |e: String| ServeError::Connection(e);
    let answers = client.subscribe(format!("{inbox}.*")).await.map_err(|e| failed(e.to_string()))?;
    for (place, subject) in asked.iter().enumerate() {
        client
            .publish_with_reply(subject.clone(), format!("{inbox}.{place}"), "{}".into())
            .await
            .map_err(|e| failed(e.to_string()))?;
    }
    for answer in collect(answers, WAIT).await {
        let place = answer.subject.rsplit('.').next().and_then(|p| p.parse::<usize>().ok());
        let Some(subject) = place.and_then(|p| asked.get(p)) else { continue };
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            continue;
        }
        if !wire::is_ours(&answer) {
            let who = match wire::stream_of(&answer.payload) {
                Some(stream) => {
                    format!("the stream {stream:?} stores our subjects (delete it, or change its subjects)")
                }
                None => "its answers are not ours, as those of the Python bot's database service".to_owned(),
            };
            return Err(ServeError::Neighbour { subject: subject.clone(), who });
        }
        match wire::database(&answer) {
            Some(other) if other != own => {
                return Err(ServeError::OtherDatabase { other: other.to_owned(), own: own.to_owned() });
            }
            _ => debug!(subject, "another instance of this service answers too"),
        }
    }
    Ok(())
}
