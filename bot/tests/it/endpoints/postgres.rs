//! The same on a PostgreSQL server: whether it serves, why not, and what it holds.

use super::Endpoints;
use crate::support::program::Running;
use crate::support::program::rosey;
use crate::support::*;
use eitherway_testkit::Peer;

/// `rosey serve` on a server of its own.
async fn serve(nats: &NatsServer, url: &str, dir: &std::path::Path) -> (Running, Endpoints) {
    let mut command = rosey(dir);
    command.args(["serve", "--nats-url", &nats.url(), "--database-url", url, "--listen", "127.0.0.1:0"]);
    let mut process = Running::start(&mut command);
    process.serves().await;
    let endpoints = Endpoints::of(&process).await;
    (process, endpoints)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_server_that_goes_is_a_reason_for_as_long_as_it_is_away() {
    let (nats, dir) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let mut postgres = Postgres::start(&[]);
    let url = postgres.database().await;
    let (_process, endpoints) = serve(&nats, &url, dir.path()).await;
    endpoints.are_ready().await;
    postgres.stop("-INT");
    let check = endpoints.fails("database").await;
    assert!(check["required"] == true && check["why"].as_str().unwrap().len() > 20, "{check}");
    assert_eq!(endpoints.alive_and_ready().await, (true, false), "a restart would not help");
    assert_eq!(endpoints.status().await["board"]["level"], "bad");
    postgres.run();
    endpoints.are_ready().await;
    let fine = || async { endpoints.status().await["board"]["level"] == "fine" };
    wait_until("the board says so", fine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_postgresql_server_holds_is_told_by_status_and_metrics_and_no_password_with_it() {
    let (nats, dir) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let url = Postgres::shared().database().await;
    let with_password = url.replace("postgres://postgres@", "postgres://postgres:hunter22@");
    assert_ne!(url, with_password);
    let (_process, endpoints) = serve(&nats, &with_password, dir.path()).await;
    endpoints.are_ready().await;
    let peer = Peer::connect(&nats).await;
    peer.request("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    for payload in ["no JSON", r#"{"username":""}"#] {
        peer.publish("rosey.db.user.joined", payload).await;
    }
    peer.publish("rosey.db.message.log", "no JSON").await;
    let groups = || async {
        let letters = endpoints.status().await["database"]["letters"].clone();
        letters.as_array().is_some_and(|groups| groups.len() == 2)
    };
    wait_until("the letters are told of, by what they have in common", groups).await;
    let status = endpoints.status().await;
    let letters = status["board"]["letters"].as_array().unwrap();
    let joined = letters.iter().find(|group| group["operation"] == "user_joined").unwrap();
    assert!(joined["count"] == 2 && joined["code"] == "invalid", "{joined:#}");
    assert_eq!(status["database"]["dead_letters"], 3);
    assert!(status["database"]["file_bytes"].is_null(), "a server has no file of ours");
    let scrape = endpoints.scrape().await;
    assert_eq!(scrape.sum("rosey_database_dead_letters", &[]), Some(3.0));
    assert!(scrape.sum("rosey_commits_total", &[]) >= Some(1.0));
    assert_eq!(scrape.sum("rosey_database_file_bytes", &[]), None);
    for path in ["/", "/readyz", "/metrics", "/status.json"] {
        let (_, text) = endpoints.get(path).await;
        assert!(!text.contains("hunter22"), "{path}: {text}");
    }
}
