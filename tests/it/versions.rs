//! Versions beside each other: what an earlier one sends is read, and its answers count. Hand-made messages play the earlier
//! version, whose headers of our own begin with `Rosey-`.

use crate::support::*;
use async_nats::HeaderMap;
use eitherway::{Db, Via};
use rosey::op::{Op, RecentChat};

const HI: &str = r#"{"username":"alice","message":"hi","timestamp":1700000000}"#;
const SUBJECT: &str = "rosey.db.message.log";
const LEDGER: &str = "SELECT id || ' ' || occurred_at FROM ledger";

fn headers(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    headers.iter().for_each(|(name, value)| map.insert(*name, *value));
    map
}

fn of_an_earlier_client(id: &str) -> HeaderMap {
    headers(&[("Rosey-Operation-Id", id), ("Nats-Msg-Id", "op\tkey"), ("Rosey-Occurred-At", "1700000000123")])
}

fn of_an_earlier_service(more: &[(&str, &str)]) -> HeaderMap {
    headers(&[&[("Rosey-Reply", "1"), ("Rosey-Database", "earlier")], more].concat())
}

#[tokio::test]
async fn a_request_of_an_earlier_client_keeps_its_id_and_time() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    for _ in 0..2 {
        let said = peer.request_with(SUBJECT, of_an_earlier_client("one"), HI).await;
        assert_eq!((said.refusal(), said.header("Eitherway-Operation-Id")), (None, Some("one")));
    }
    assert_eq!(file.texts(LEDGER).await, ["one 1700000000123"]);
    service.stop().await;
}

#[tokio::test]
async fn an_event_that_an_earlier_client_has_put_into_the_stream_keeps_its_id_and_time() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let stored = Peer::connect(&w.server).await.request_with(SUBJECT, of_an_earlier_client("one"), HI).await;
    assert_eq!(stored.json()["stream"], "ROSEY");
    let service = w.serve().await;
    w.emptied().await;
    assert_eq!(w.file.texts(LEDGER).await, ["one 1700000000123"]);
    service.stop().await;
}

/// It falls back: to the database itself, or to its outbox.
#[tokio::test]
async fn an_earlier_client_does_not_take_this_service_for_its_own() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    for (subject, payload) in [("rosey.db.ping", ""), (SUBJECT, HI), (SUBJECT, "nonsense")] {
        let said = peer.request_with(subject, of_an_earlier_client("one"), payload).await;
        assert!(said.header("Eitherway-Reply").is_some(), "{subject}");
        let all = said.headers.iter().map(|(name, _)| name.to_string());
        assert!(all.into_iter().all(|name| !name.starts_with("Rosey-")), "{subject}: {:?}", said.headers);
    }
    service.stop().await;
}

#[tokio::test]
async fn an_earlier_service_is_recognised_and_its_answers_count() {
    let server = NatsServer::start().await;
    let peer = Peer::connect(&server).await;
    // It names the operations in its answers to those whose id it reads: ours are not among them.
    let says = r#"{"mode":"core","id_header":"Rosey-Operation-Id","names_operations":true}"#;
    let _ping = peer.answer("rosey.db.ping", of_an_earlier_service(&[]), says).await;
    let cut = of_an_earlier_service(&[("Rosey-Truncated", "7")]);
    let _chat = peer.answer("rosey.db.stats.recent_chat.get", cut, "[]").await;
    let refused =
        [("Nats-Service-Error-Code", "499"), ("Nats-Service-Error", "full"), ("Rosey-Refusal", "out")];
    let _event = peer.answer(SUBJECT, of_an_earlier_service(&refused), "{}").await;
    let mut wire = peer.listen(SUBJECT).await;
    let nats = nats(&server).await;
    tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
    let db: Db<_> = nats_only(&nats);
    let read = db.call(RecentChat { limit: 5 }).await.unwrap();
    assert_eq!((read.via, read.answer.len(), read.omitted), (Via::NATS, 0, 7));
    let message = rosey::op::MessageLog { username: "alice".into(), message: "hi".into() };
    let request = eitherway::Request::<Op>::new(message);
    let id = request.head.id.to_string();
    let error = db.send(request).await.unwrap_err();
    assert!(error.to_string().contains("full (out)"), "{error}");
    // What it reads of an id.
    let sent = next(&mut wire).await.headers.unwrap();
    assert_eq!(sent.get("Nats-Msg-Id").map(|sent| sent.as_str()), Some(id.as_str()));
    assert_eq!(nats.inbox().foreign, 0);
}
