//! What the NATS server allows this user, tried one by one, without an effect: a subject is listened to for a moment, a question
//! that changes nothing is asked.

use async_nats::HeaderMap;
use tokio::time;

use super::connection::{Connection, Denied};
use super::finding::Findings;
use crate::op::Op;
use eitherway::operation::{Kind, Operation};

/// Marks a question that only asks who answers (docs/wire.md).
const LOOK: &str = "Eitherway-Look";

const LISTENS: &str = "service subjects";
const ASKS: &str = "client subjects";

/// Returns whether this user can be that of a bot alone.
pub(super) async fn look(connection: &Connection, findings: &mut Findings) -> bool {
    let subject = |name: &str| connection.namespace.subject(name);
    // A service listens to these; nothing is taken away from one that runs.
    let listens: Vec<String> =
        Op::SPECS.iter().map(|spec| subject(spec.subject)).chain(["$SRV.PING".to_owned()]).collect();
    let mut open = Vec::new();
    for subject in &listens {
        open.extend(connection.client.subscribe(subject.clone()).await.ok());
    }
    // A bot asks these. The last answer comes after everything that the server refuses.
    let queries = Op::SPECS.iter().filter(|spec| spec.kind == Kind::Query);
    let mut asks: Vec<(String, &str)> = queries.map(|spec| (subject(spec.subject), spec.example)).collect();
    let ping = subject(&format!("{}.ping", Op::SERVICE));
    asks.push((ping.clone(), ""));
    for (subject, example) in &asks {
        let mut headers = HeaderMap::new();
        headers.insert(LOOK, "1");
        let _ = connection
            .client
            .publish_with_reply_and_headers(
                subject.clone(),
                connection.client.new_inbox(),
                headers,
                example.to_owned().into(),
            )
            .await;
    }
    let answered = connection.ask(ping, String::new()).await;
    drop(open);
    let refused = connection.all_refused().await;
    let is_refused = |denied: &Denied| refused.iter().any(|said| denied.is(said));
    let listens_denied: Vec<&String> =
        listens.iter().filter(|subject| is_refused(&Denied::subscription(subject))).collect();
    let asks_denied: Vec<&String> = asks
        .iter()
        .map(|(subject, _)| subject)
        .filter(|subject| is_refused(&Denied::publish(subject)))
        .collect();
    // A user that may do one of these wholly need not do all of the other.
    let is_bot = asks_denied.is_empty() && listens_denied.len() == listens.len();
    if is_bot {
        findings.ok(LISTENS, "this user may listen to none: no service can run as it, and a bot can");
    } else {
        told(findings, LISTENS, "listen to", listens.len(), &listens_denied, "subscribe", "a service");
    }
    if listens_denied.is_empty() && !asks_denied.is_empty() {
        let denied = asks_denied.len();
        let said = format!(
            "this user may not ask {denied} of {}: no bot can run as it, and a service can",
            asks.len()
        );
        findings.ok(ASKS, said);
    } else {
        told(findings, ASKS, "ask", asks.len(), &asks_denied, "publish", "a bot");
    }
    let deaf = is_refused(&connection.deaf());
    match answered {
        Some(answer) => service(&answer, findings),
        None if deaf => findings.fail(
            "service",
            format!("this user may not listen to its inbox, {}.*, so that it hears no answer", connection.inbox()),
            "name the prefix that it may listen to with --nats-inbox-prefix, or add this one to \
             permissions.subscribe.allow of its user (docs/identities.md)",
        ),
        None if asks_denied.is_empty() => findings.warn(
            "service",
            "no database service answers",
            "start `rosey serve`, or go on with bots that have a database; if one runs, it hangs: its log says more, start \
             it again",
        ),
        None => {}
    }
    let _ = time::timeout(std::time::Duration::from_secs(1), connection.client.flush()).await;
    is_bot
}

/// What a service that answers has to tell its operator.
fn service(answer: &[u8], findings: &mut Findings) {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let notices = answer["notices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let notices: Vec<&str> = notices.iter().filter_map(|notice| notice.as_str()).collect();
    if notices.is_empty() {
        return findings.ok("service", "a database service answers");
    }
    findings.warn(
        "service",
        format!("a database service answers, and has to tell: {}", notices.join("; ")),
        "each sentence says what to do; docs/outages.md says more",
    );
}

fn told(
    findings: &mut Findings,
    name: &'static str,
    what: &str,
    all: usize,
    denied: &[&String],
    permission: &str,
    who: &str,
) {
    if denied.is_empty() {
        return findings.ok(name, format!("this user may {what} all {all}"));
    }
    let names: Vec<&str> = denied.iter().map(|subject| subject.as_str()).collect();
    findings.warn(
        name,
        format!("this user may not {what} {} of {all}: {}", denied.len(), names.join(", ")),
        format!("{who} needs them: add them to permissions.{permission}.allow of its user (docs/wire.md)"),
    );
}
