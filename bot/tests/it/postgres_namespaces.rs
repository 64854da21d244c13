//! Namespaces on a PostgreSQL server: a schema each, many of them in one process.

use super::namespaces::crowd::{all_served, patient_client};
use crate::support::program::run_with;
use crate::support::*;
use eitherway::{Class, Classify};
use rosey::op::UserJoined;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

async fn number(url: &str, sql: &str) -> i64 {
    let mut raw = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut raw).await.unwrap()
}

/// How many connections of services this database has.
async fn connections(url: &str) -> i64 {
    let all =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> ''";
    number(url, all).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_schemas_share_a_process_and_do_not_notice_the_locked_one() {
    const EACH: usize = 10;
    let (server, url) = (NatsServer::start().await, Postgres::shared().empty().await);
    let nats_url = server.url();
    let mut arguments = vec!["serve", "--nats-url", &nats_url, "--namespaces-url", &url];
    arguments.extend(["--namespaces-create", "--namespaces-idle-ms", "2000", "--jetstream", "off"]);
    let mut process = ServeProcess::begin(&arguments);
    process.serves().await;
    let names: Vec<_> = (0..20).map(|n| format!("room-{n}")).collect();
    let mut clients = Vec::new();
    for name in &names {
        clients.push(patient_client(&server, name).await);
    }
    for nats in &clients {
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect("its schema is created");
    }
    let schema = |room: &str| {
        let url = url.clone();
        let like =
            format!("SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^rosey_{room}_[0-9a-z]+$'");
        async move {
            let mut raw = PgConnection::connect(&url).await.unwrap();
            sqlx::query_scalar::<_, String>(AssertSqlSafe(like)).fetch_one(&mut raw).await.unwrap()
        }
    };
    let (locked, last) = (schema("room_19").await, clients.pop().unwrap());
    let mut raw = PgConnection::connect(&url).await.unwrap();
    let lock = format!("BEGIN; LOCK TABLE {locked}.ledger, {locked}.presence IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut raw).await.unwrap();
    let (busy, joined) =
        (nats_within(&last, LIMIT), |n: usize| UserJoined { username: format!("locked-{n}") });
    let flood: Vec<_> = (0..50)
        .map(|n| {
            let busy = busy.clone();
            tokio::spawn(async move { busy.call(joined(n)).await })
        })
        .collect();
    all_served(EACH, names.iter().map(String::as_str).zip(&clients)).await;
    assert!(connections(&url).await <= 1 + 3 * 20 + 2, "those of the test are without a name");
    for asked in flood {
        let refused = asked.await.unwrap().expect_err("it is locked");
        assert_eq!(refused.class(), Class::Backend, "{refused}");
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut raw).await.unwrap();
    busy.call(joined(50)).await.unwrap();
    for (n, _) in clients.iter().enumerate() {
        let schema = schema(&format!("room_{n}")).await;
        assert_eq!(number(&url, &format!("SELECT count(*) FROM {schema}.ledger")).await, EACH as i64);
    }
    assert_eq!(number(&url, &format!("SELECT count(*) FROM {locked}.ledger")).await, 1);
    // No client needs them any more: one connection is left, to list the namespaces.
    drop((clients, last, busy));
    wait_until("they are closed", || async { connections(&url).await == 1 }).await;
    process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_namespaces_are_open_than_there_are_connections_for() {
    let (server, url) = (NatsServer::start().await, Postgres::shared().empty().await);
    let nats_url = server.url();
    let rooms = ["a", "b"].map(|name| format!("--namespace={name}={url}"));
    let mut arguments = vec!["serve", "--nats-url", &nats_url, "--namespaces-connections", "4"];
    arguments.extend(rooms.iter().map(String::as_str));
    let process = ServeProcess::begin(&arguments);
    let a = patient_client(&server, "a").await;
    tokio::time::timeout(LIMIT, a.recognised()).await.unwrap();
    let b = patient_client(&server, "b").await;
    process.says("1 namespaces are open, as many as may be").await;
    assert!(connections(&url).await <= 4);
    // Both are named on one address, and have a schema each.
    drop(a);
    tokio::time::timeout(LIMIT, b.recognised()).await.unwrap();
    nats_within(&b, LIMIT).call(UserJoined { username: "ann".into() }).await.unwrap();
    assert_eq!(number(&url, "SELECT count(*) FROM rosey_b.ledger").await, 1);
    assert_eq!(number(&url, "SELECT count(*) FROM rosey_a.ledger").await, 0);
    process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_works_on_the_schema_of_its_namespace() {
    let url = Postgres::shared().empty().await;
    let run = async |arguments: &[&str], input: &str, url: &str| {
        run_with(&[arguments, &["--database-url", url]].concat(), input).await
    };
    let said = r#"{"event":"message","user":"alice","content":"hello"}"#;
    let up = ["up", "--no-nats", "--chat", "jsonl:-", "--namespace", "lounge"];
    let ran = run(&up, &format!("{said}\n"), &url).await;
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert_eq!(number(&url, "SELECT count(*) FROM rosey_lounge.recent_chat").await, 1);
    let says = [
        (&["recent", "--no-nats"][..], "hello"),
        (&["verify"], "clean"),
        (&["dead", "list"], "no dead letters"),
    ];
    for (command, says) in says {
        let ran = run(&[command, &["--namespace", "lounge"]].concat(), "", &url).await;
        assert!(ran.code == Some(0) && ran.out.contains(says), "{command:?}: {}", ran.all());
        // Another namespace has no database, and a query does not create one.
        let ran = run(&[command, &["--namespace", "den"]].concat(), "", &url).await;
        assert!(ran.code == Some(4) && ran.all().contains("rosey_den"), "{command:?}: {}", ran.all());
        let wrong = format!("{url}?schema=rosey_lounge");
        let ran = run(&[command, &["--namespace", "den"]].concat(), "", &wrong).await;
        let refused = "made for the namespace lounge, and not for the namespace den";
        assert!(ran.code == Some(2) && ran.err.contains(refused), "{command:?}: {}", ran.all());
    }
}

#[tokio::test]
async fn the_address_of_many_namespaces_is_that_of_a_server_and_stands_alone() {
    let url = "postgres://me:s3cret@127.0.0.1:1/rosey";
    for (arguments, says) in [
        (&["--namespaces-url", "rosey.db"][..], "for files there is --namespaces-dir"),
        (&["--namespaces-url", "postgres://h/d?schema=a"], "leave out ?schema="),
        (&["--namespaces-url", url, "--namespaces-dir", "."], "--namespaces-dir"),
        (&["--namespaces-url", url, "--namespace", "a"], "are those of the database"),
        (&["--namespaces-url", url, "--database-url", url], "are those of the database"),
    ] {
        let ran = run_with(&[&["serve"], arguments].concat(), "").await;
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.all());
        assert!(ran.err.contains(says) && !ran.all().contains("s3cret"), "{arguments:?}: {}", ran.err);
    }
}
