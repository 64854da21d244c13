//! One id, one operation: what is acknowledged under an id is applied or set aside, and never swallowed because another client
//! used that id before.

use async_nats::HeaderMap;

use crate::support::{DbFile, Durable, NatsServer, Peer, Ran, ServeProcess, run, wait_until};

const LINES: &str = "SELECT message FROM recent_chat ORDER BY id";
const LETTERS: &str = "SELECT code || ' ' || subject FROM dead_letters ORDER BY id";

fn line(text: &str) -> String {
    format!(r#"{{"username":"alice","message":"{text}"}}"#)
}

/// Sends one operation under an id, over NATS alone.
async fn send(url: &str, id: &str, operation: &str, payload: &str) -> Ran {
    run(&["send", "--nats-url", url, "--id", id, operation, payload]).await
}

fn assert_stored(ran: &Ran) {
    assert!(ran.code == Some(0) && ran.out.contains("via=nats ack=stored"), "{ran:?}");
}

async fn serve(w: &Durable) -> ServeProcess {
    ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "on"]).await
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(*name, *value);
    }
    headers
}

#[tokio::test]
async fn what_is_stored_under_an_id_that_had_another_use_becomes_a_dead_letter() {
    let w = Durable::new().await;
    let serving = serve(&w).await;
    let url = crate::support::Url::url(&w.server);
    assert_stored(&send(&url, "dup", "message_log", &line("one")).await);
    for (operation, payload) in
        [("message_log", line("two")), ("user_joined", r#"{"username":"alice"}"#.to_owned())]
    {
        assert_stored(&send(&url, "dup", operation, &payload).await);
    }
    // The same once more is a repeat, and no fault; another case is another id.
    assert_stored(&send(&url, "dup", "message_log", &line("one")).await);
    assert_stored(&send(&url, "DUP", "message_log", &line("three")).await);
    w.emptied().await;
    assert_eq!(w.file.texts(LINES).await, ["one", "three"]);
    let letters = w.file.texts(LETTERS).await;
    assert_eq!(letters, ["id_reused rosey.db.message.log", "id_reused rosey.db.user.joined"]);
    // Offered again they are what they were: refused for the same reason, and kept.
    let file = w.file.url();
    let again = run(&["dead", "--database-url", &file, "retry", "--all"]).await;
    assert_eq!((again.code, again.out.matches("id_reused").count()), (Some(3), 2), "{again:?}");
    assert_eq!(serving.terminate().await, Some(0));
    w.file.assert_clean().await;
}

#[tokio::test]
async fn without_a_stream_the_caller_is_told_that_the_id_had_another_use() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _serving = ServeProcess::start(&server, &file).await;
    let url = crate::support::Url::url(&server);
    let first = send(&url, "dup", "message_log", &line("one")).await;
    assert!(first.code == Some(0) && first.out.contains("ack=committed"), "{first:?}");
    let second = send(&url, "dup", "message_log", &line("two")).await;
    assert!(second.code == Some(3) && second.err.contains("id_reused"), "{second:?}");
    assert_eq!(file.texts(LINES).await, ["one"]);
}

#[tokio::test]
async fn an_id_that_was_taken_before_keeps_no_event_out_of_the_stream() {
    let w = Durable::new().await;
    let _serving = serve(&w).await;
    let url = crate::support::Url::url(&w.server);
    let peer = Peer::connect(&w.server).await;
    // Garbage of every form under the id, on other subjects and on its own.
    for (n, subject) in ["rosey.db.user.joined", "rosey.db.message.log"].into_iter().enumerate() {
        for name in ["Nats-Msg-Id", "Eitherway-Operation-Id"] {
            let said = peer.request_with(subject, headers(&[(name, &format!("squat-{n}"))]), "garbage").await;
            assert!(said.body.contains("\"stream\":\"ROSEY\""), "{said:?}");
        }
        assert_stored(&send(&url, &format!("squat-{n}"), "message_log", &line(&format!("line {n}"))).await);
    }
    w.emptied().await;
    assert_eq!(w.file.texts(LINES).await, ["line 0", "line 1"]);
    assert!(w.file.texts(LETTERS).await.iter().all(|letter| letter.starts_with("invalid ")));
}

#[tokio::test]
async fn an_id_that_was_used_on_another_path_or_by_another_kind_is_known_on_the_stream() {
    let w = Durable::new().await;
    let _serving = serve(&w).await;
    let (url, file) = (crate::support::Url::url(&w.server), w.file.url());
    let call = send(&url, "call", "outbound_enqueue", r#"{"content":"hi"}"#).await;
    assert!(call.out.contains("via=nats ack=committed"), "{call:?}");
    let direct = ["send", "--no-nats", "--database-url", &file, "--id", "direct", "message_log"];
    let direct = run(&[&direct[..], &[&line("one")]].concat()).await;
    assert!(direct.out.contains("via=db ack=committed"), "{direct:?}");
    // The same again is a repeat; anything else under these ids is set aside.
    assert_stored(&send(&url, "direct", "message_log", &line("one")).await);
    assert_stored(&send(&url, "direct", "message_log", &line("two")).await);
    assert_stored(&send(&url, "call", "message_log", &line("three")).await);
    w.emptied().await;
    assert_eq!(w.file.texts(LINES).await, ["one"]);
    let letters = w.file.texts(LETTERS).await;
    assert_eq!(letters, ["id_reused rosey.db.message.log", "id_reused rosey.db.message.log"]);
}

#[tokio::test]
async fn a_peer_that_knows_only_the_streams_own_header_is_understood() {
    let w = Durable::new().await;
    let _serving = serve(&w).await;
    let peer = Peer::connect(&w.server).await;
    for id in ["theirs", "other"] {
        peer.request_with("rosey.db.message.log", headers(&[("Nats-Msg-Id", id)]), line(id)).await;
    }
    w.emptied().await;
    assert_eq!(w.file.texts("SELECT id FROM ledger ORDER BY id").await, ["other", "theirs"]);
}

#[tokio::test]
async fn to_an_older_service_the_id_goes_as_before_and_what_it_might_swallow_is_not_called_stored() {
    let w = Durable::new().await;
    let mut serving = serve(&w).await;
    serving.kill();
    // It says nothing of a header of its own for the id.
    let peer = Peer::connect(&w.server).await;
    let database = w.file.texts("SELECT value FROM meta WHERE key = 'database_id'").await.remove(0);
    let older = headers(&[("Rosey-Reply", "1"), ("Rosey-Database", &database)]);
    let older = peer.answer("rosey.db.ping", older, r#"{"mode":"jetstream","stream":"ROSEY"}"#).await;
    let mut wire = peer.listen("rosey.db.message.log").await;
    let url = crate::support::Url::url(&w.server);
    assert_stored(&send(&url, "dup", "message_log", &line("one")).await);
    let sent = crate::support::next(&mut wire).await.headers.unwrap();
    assert_eq!(sent.get("Nats-Msg-Id").map(|id| id.as_str()), Some("dup"));
    let second = send(&url, "dup", "message_log", &line("two")).await;
    assert!(second.code == Some(4) && second.err.contains("under this id already"), "{second:?}");
    older.abort();
    serving.restart().await;
    w.emptied().await;
    wait_until("the first is applied", || async { w.file.texts(LINES).await == ["one"] }).await;
}
