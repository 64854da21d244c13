//! Who else answers on our subjects: asked before the service listens, and once more when it does, because another
//! one may have started at the same moment.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::{Client, Message, StatusCode};
use futures_util::StreamExt;
use tokio::time;

use super::ServeError;
use super::instance::{Instance, Who};
use crate::nats::tokens::Tokens;
use crate::nats::{Mode, stored, wire};
use crate::operation::{Kind, Persist};
use crate::sql::SqlxService;

/// How long answers are waited for. That nobody is there, the server says at once.
const WAIT: Duration = Duration::from_millis(300);

/// The subject on which every instance of our service tells its database and its mode: not one of them, as on the
/// others.
pub(super) fn who_subject<O: Persist>() -> String {
    format!("{}.who", O::SERVICE)
}

/// Another kind of service: asks every query, because a query changes nothing, whoever serves it.
pub(super) async fn other_kinds<O: Persist>(client: &Client) -> Result<(), ServeError> {
    let queries = O::SPECS.iter().filter(|spec| spec.kind == Kind::Query);
    let asked: Vec<_> = queries.map(|spec| (spec.subject.to_owned(), spec.example.to_owned())).collect();
    let answers = ask(client, &asked).await?;
    let is_ours = |answer: &Message| wire::is_ours(answer) && wire::database(answer).is_some();
    let served = answers.iter().any(|(_, answer)| is_ours(answer));
    for (subject, answer) in answers {
        if is_ours(&answer) {
            continue;
        }
        if let Some(ack) = stored::PubAck::read(&answer.payload) {
            // A peer that sees the answers of a running instance can have an event acknowledged to the same inbox.
            if served && ack.stream == O::stream() {
                continue;
            }
            return Err(ServeError::ForeignStream { stream: ack.stream, subject });
        }
        let who = "its answers are not ours, as those of the Python bot's database service".to_owned();
        return Err(ServeError::Neighbour { subject, who });
    }
    Ok(())
}

/// This instance, for whoever compares.
pub(super) struct Own<'a, O> {
    pub(super) instance: &'a Instance,
    pub(super) db: &'a SqlxService<O>,
    /// Whether it listens already.
    pub(super) serves: bool,
}

/// Our own kind: the mode of the instances that run already, if there are any. One that works on a copy of our file, or on
/// the file of which ours is a copy, is not one of them.
pub(super) async fn ours<O: Persist>(
    client: &Client,
    database: &str,
    own: Option<Own<'_, O>>,
) -> Result<Option<Mode>, ServeError> {
    let (mode, strange) = ask_ours(client, database, own.as_ref()).await?;
    if strange.is_none() {
        return Ok(mode);
    }
    // Once more: by now everybody has written down that it is there.
    time::sleep(WAIT).await;
    let (mode, strange) = ask_ours(client, database, own.as_ref()).await?;
    let error = own.zip(strange).and_then(|(Own { instance, serves, .. }, other)| {
        // One that does not serve yet is the younger one, whatever its clock says.
        let stops = if serves { instance.must_stop(&other) } else { !instance.names_the_same_file(&other) };
        stops.then(|| instance.is_a_copy(&other, 0))
    });
    error.map_or(Ok(mode), Err)
}

async fn ask_ours<O: Persist>(
    client: &Client,
    database: &str,
    own: Option<&Own<'_, O>>,
) -> Result<(Option<Mode>, Option<Who>), ServeError> {
    let (mut mode, mut strange) = (None, None);
    let question = own.map_or_else(|| "{}".to_owned(), |own| own.instance.question(None));
    for (_, answer) in ask(client, &[(who_subject::<O>(), question)]).await? {
        match wire::database(&answer) {
            Some(other) if other != database => {
                return Err(ServeError::OtherDatabase { other: other.to_owned(), own: database.to_owned() });
            }
            Some(_) => {
                let who: Who = serde_json::from_slice(&answer.payload).unwrap_or_default();
                mode = Some(Mode::named(&who.mode).unwrap_or_default());
                if let Some(own) = own
                    && own.instance.is_strange(own.db, &who).await
                {
                    strange = Some(who);
                }
            }
            None => {}
        }
    }
    Ok((mode, strange))
}

/// Asks on some subjects, and collects what comes back from anybody.
async fn ask(client: &Client, subjects: &[(String, String)]) -> Result<Vec<(String, Message)>, ServeError> {
    let failed = |e: &dyn std::fmt::Display| ServeError::Connection(e.to_string());
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(format!("{inbox}.*")).await.map_err(|e| failed(&e))?;
    let (tokens, mut open) = (Tokens::default(), HashMap::new());
    for (place, (subject, payload)) in subjects.iter().enumerate() {
        let token = format!("{:x}", tokens.next());
        let reply = format!("{inbox}.{token}");
        open.insert(token, place);
        client
            .publish_with_reply(subject.clone(), reply, payload.clone().into())
            .await
            .map_err(|e| failed(&e))?;
    }
    let mut collected = Vec::new();
    let mut nobody = 0;
    let all = async {
        while nobody < subjects.len()
            && let Some(answer) = answers.next().await
        {
            if answer.status == Some(StatusCode::NO_RESPONDERS) {
                nobody += 1;
                continue;
            }
            let place = answer.subject.rsplit('.').next().and_then(|token| open.get(token));
            if let Some((subject, _)) = place.and_then(|place| subjects.get(*place)) {
                collected.push((subject.clone(), answer));
            }
        }
    };
    // Whoever is slower than this is not there.
    let _ = time::timeout(WAIT, all).await;
    Ok(collected)
}
