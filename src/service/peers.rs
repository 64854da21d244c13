//! Who else answers on our subjects: asked before the service listens, and once more when it does, because another
//! one may have started at the same moment.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, StatusCode};
use futures_util::StreamExt;
use tokio::time;

use super::ServeError;
use super::instance::{Instance, InstanceInfo};
use crate::nats::names::Names;
use crate::nats::tokens::Tokens;
use crate::nats::{Mode, stored, wire};
use crate::operation::Kind;
use crate::store::Instances;

/// How long answers are waited for. The server reports at once that there is no responder.
const WAIT: Duration = Duration::from_millis(300);

/// The subject on which every instance of our service tells its database and its mode: not one of them, as on the
/// others.
pub(super) fn who_subject(names: &Names) -> String {
    names.own("who")
}

/// Another kind of service: asks every query, because a query changes nothing, whichever service answers it. Ours answers
/// without executing it.
pub(super) async fn other_kinds(names: &Names, client: &Client) -> Result<(), ServeError> {
    let queries = names.operations().filter(|(_, spec, _)| spec.kind == Kind::Query);
    let asked: Vec<_> =
        queries.map(|(_, spec, subject)| (subject.to_string(), spec.example.to_owned())).collect();
    let answers = ask(client, &asked).await?;
    let is_ours = |answer: &Message| wire::is_ours(answer) && wire::database(answer).is_some();
    let served = answers.iter().any(|(_, answer)| is_ours(answer));
    for (subject, answer) in answers {
        if is_ours(&answer) {
            continue;
        }
        if let Some(ack) = stored::PubAck::read(&answer.payload) {
            // A peer that sees the answers of a running instance can have an event acknowledged to the same inbox.
            if served && ack.stream == names.stream {
                continue;
            }
            return Err(ServeError::ForeignStream { stream: ack.stream, subject });
        }
        let who = "its answers are not ours, as those of the Python bot's database service".to_owned();
        return Err(ServeError::ForeignService { subject, who });
    }
    Ok(())
}

/// Whether an instance of our service is there, on whichever database.
pub(super) async fn is_served(names: &Names, client: &Client) -> bool {
    let answers = ask(client, &[(who_subject(names), "{}".to_owned())]).await;
    answers.is_ok_and(|answers| answers.iter().any(|(_, answer)| wire::is_ours(answer)))
}

/// This instance, to compare the others with.
pub(super) struct Own<'a, D> {
    pub(super) instance: &'a Instance,
    pub(super) db: &'a D,
    /// Whether it listens already.
    pub(super) serves: bool,
}

/// Our own kind: the mode of the instances that run already, if there are any. One that works on a copy of our file, or on
/// the file of which ours is a copy, is not one of them.
pub(super) async fn ours<D: Instances>(
    names: &Names,
    client: &Client,
    database: &str,
    own: Option<Own<'_, D>>,
) -> Result<Option<Mode>, ServeError> {
    let (mode, strange) = ask_ours(names, client, database, own.as_ref()).await?;
    if strange.is_none() {
        return Ok(mode);
    }
    // Once more: by now every instance has written down that it is there.
    time::sleep(WAIT).await;
    let (mode, strange) = ask_ours(names, client, database, own.as_ref()).await?;
    let error = own.zip(strange).and_then(|(Own { instance, serves, .. }, other)| {
        // One that does not serve yet is the younger one, whatever its clock says.
        let stops = if serves { instance.must_stop(&other) } else { !instance.names_the_same_file(&other) };
        stops.then(|| instance.is_a_copy(&other, 0))
    });
    error.map_or(Ok(mode), Err)
}

async fn ask_ours<D: Instances>(
    names: &Names,
    client: &Client,
    database: &str,
    own: Option<&Own<'_, D>>,
) -> Result<(Option<Mode>, Option<InstanceInfo>), ServeError> {
    let (mut mode, mut strange) = (None, None);
    let question = own.map_or_else(|| "{}".to_owned(), |own| own.instance.question(None));
    for (_, answer) in ask(client, &[(who_subject(names), question)]).await? {
        match wire::database(&answer) {
            Some(other) if other != database => {
                return Err(ServeError::OtherDatabase { other: other.to_owned(), own: database.to_owned() });
            }
            Some(_) => {
                let who: InstanceInfo = serde_json::from_slice(&answer.payload).unwrap_or_default();
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

/// Asks on some subjects, and collects all answers.
async fn ask(client: &Client, subjects: &[(String, String)]) -> Result<Vec<(String, Message)>, ServeError> {
    let failed = |e: &dyn std::fmt::Display| ServeError::Connection(e.to_string());
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(format!("{inbox}.*")).await.map_err(|e| failed(&e))?;
    let (tokens, mut open) = (Tokens::default(), HashMap::new());
    let mut headers = HeaderMap::new();
    headers.insert(wire::LOOK, "1");
    for (place, (subject, payload)) in subjects.iter().enumerate() {
        let token = format!("{:x}", tokens.next());
        let reply = format!("{inbox}.{token}");
        open.insert(token, place);
        client
            .publish_with_reply_and_headers(subject.clone(), reply, headers.clone(), payload.clone().into())
            .await
            .map_err(|e| failed(&e))?;
    }
    let mut collected = Vec::new();
    let mut silent = 0;
    let all = async {
        while silent < subjects.len()
            && let Some(answer) = answers.next().await
        {
            if answer.status == Some(StatusCode::NO_RESPONDERS) {
                silent += 1;
                continue;
            }
            let place = answer.subject.rsplit('.').next().and_then(|token| open.get(token));
            if let Some((subject, _)) = place.and_then(|place| subjects.get(*place)) {
                collected.push((subject.clone(), answer));
            }
        }
    };
    // A service that is slower than this counts as absent.
    let _ = time::timeout(WAIT, all).await;
    Ok(collected)
}
