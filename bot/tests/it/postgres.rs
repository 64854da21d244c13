//! `rosey` on a PostgreSQL server, as processes: two services over one database, and the commands of an operator.

use crate::support::program::{outcome, rosey, run_with};
use crate::support::*;
use futures_util::future::join_all;
use rosey::op::RoseyClient;
use sqlx::{Connection, PgConnection};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_share_a_database_and_one_that_is_killed_loses_nothing() {
    for jetstream in ["off", "on"] {
        let (files, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = NatsServer::with_jetstream(store.path()).await;
        let url = Postgres::shared().database().await;
        let nats = server.url();
        let serve =
            ["serve", "--nats-url", &nats, "--database-url", &url, "--jetstream", jetstream, "--bundles"];
        let mut services = [ServeProcess::begin(&serve), ServeProcess::begin(&serve)];
        for service in &mut services {
            service.serves().await;
        }
        let of = |arguments: &[&str]| {
            let paths = ["--nats-url", &nats, "--database-url", &url];
            outcome(rosey(files.path()).args(arguments).args(paths))
        };
        for n in 0..10 {
            if n == 5 {
                services[0].kill();
            }
            let (code, text) =
                of(&["send", "message_log", &format!(r#"{{"username":"alice","message":"line {n}"}}"#)]);
            assert_eq!(code, Some(0), "{text}");
        }
        wait_until("all lines are applied", || async {
            let (_, text) = of(&["recent", "-n", "20", "--json"]);
            text.matches("line ").count() == 10
        })
        .await;
        let (code, text) = of(&["stats", "alice", "--json"]);
        assert!(code == Some(0) && text.contains(r#""total_chat_lines":10"#), "{text}");
        // What many send at once travels together, as soon as the stream takes that.
        let client = recognised(&server).await;
        let db = nats_only(&client);
        let mut said = 0;
        while client.inbox().bundles == 0 {
            let lines = join_all((0..100).map(|n| db.message_log("bob", format!("{said} and {n}")))).await;
            assert!(lines.into_iter().all(|line| line.is_ok()));
            said += 100;
        }
        wait_until("each line is counted once", || async {
            of(&["stats", "bob", "--json"]).1.contains(&format!(r#""total_chat_lines":{said},"#))
        })
        .await;
        let (code, text) = outcome(rosey(files.path()).args(["verify", "--database-url", &url]));
        assert!(code == Some(0) && text.contains("clean: "), "{text}");
        // What cannot be understood is a row for a person to look at.
        let peer = Peer::connect(&server).await;
        peer.publish("rosey.db.message.log", "no JSON").await;
        let listed = || outcome(rosey(files.path()).args(["dead", "list", "--database-url", &url])).1;
        wait_until("the letter is kept", || async { listed().contains("message_log") }).await;
        let (code, text) = outcome(rosey(files.path()).args(["dead", "drop", "1", "--database-url", &url]));
        assert_eq!(code, Some(0), "{text}");
        assert!(listed().contains("no dead letters"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_and_its_service_begin_with_an_address_alone() {
    let url = Postgres::shared().empty().await;
    let input = r#"{"event":"message","user":"alice","content":"hello"}"#;
    let arguments = ["up", "--no-nats", "--chat", "jsonl:-", "--database-url", &url];
    let ran = run_with(&arguments, &format!("{input}\n")).await;
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let ran = run_with(&["recent", "--no-nats", "--json", "--database-url", &url], "").await;
    assert!(ran.code == Some(0) && ran.out.contains("hello"), "{}", ran.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_database_from_being_opened_is_said_in_one_sentence_and_at_once() {
    let server = Postgres::shared();
    let unreachable = "postgres://postgres@127.0.0.1:1/rosey";
    for (url, says) in [
        (unreachable.to_owned(), "no connection to PostgreSQL"),
        (server.url("no_such_database"), "does not exist"),
        (server.url("postgres").replace("postgres@", "no_such_role:s3cret@"), "no_such_role"),
    ] {
        let ran = run_with(&["serve", "--database-url", &url], "").await;
        assert_eq!(ran.code, Some(4), "{}", ran.all());
        assert!(ran.err.contains(says) && !ran.all().contains("s3cret"), "{}", ran.all());
    }
    let url = server.database().await;
    let newer = "INSERT INTO rosey._sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'newer', true, '', 0)";
    sqlx::raw_sql(newer).execute(&mut PgConnection::connect(&url).await.unwrap()).await.unwrap();
    for command in [&["serve"][..], &["verify"], &["recent", "--no-nats"]] {
        let ran = run_with(&[command, &["--database-url", &url]].concat(), "").await;
        let says = ran.err.contains("newer than this program") && ran.err.contains("schema rosey");
        assert!(ran.code == Some(5) && says, "{command:?}: {}", ran.all());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_would_mean_less_than_it_says_is_refused_and_shows_no_password() {
    let url = Postgres::shared().url("postgres");
    for (address, says) in [
        (format!("{url}?sslmod=verify-full"), "did you mean sslmode?"),
        (format!("{url}?sslmode=foo"), "verify-full and not \"foo\""),
        (format!("{url}?channel_binding=require"), "not supported here"),
        ("host=db user=rosey password=s3cret".to_owned(), "the form host=… of libpq is not read"),
        ("host=db password='two s3cret'".to_owned(), "the form host=… of libpq is not read"),
        ("mysql://bot:s3cret@db/rosey".to_owned(), "only SQLite and PostgreSQL"),
        ("postgres:/bot:s3cret@db/rosey".to_owned(), "two slashes"),
        ("postgresql:rosey".to_owned(), "two slashes"),
    ] {
        for command in [&["serve"][..], &["verify"], &["config", "serve"]] {
            let ran = run_with(&[command, &["--database-url", &address]].concat(), "").await;
            assert!(ran.code == Some(2) && ran.all().contains(says), "{address}: {}", ran.all());
            assert!(!ran.all().contains("s3cret"), "{}", ran.all());
        }
    }
    // As separate words, and in a variable.
    let dir = tempfile::tempdir().unwrap();
    let words = ["serve", "--database-url", "host=db", "password=s3cret"];
    let (code, text) = outcome(rosey(dir.path()).args(words));
    assert!(code == Some(2) && !text.contains("s3cret"), "{text}");
    let (code, text) = outcome(rosey(dir.path()).arg("serve").env("DATABASE_URL", "host=db password=s3cret"));
    assert!(code == Some(2) && !text.contains("s3cret"), "{text}");
    let mode =
        rosey(dir.path()).args(["serve", "--database-url", &url]).env("PGSSLMODE", "verify_full").output();
    let text = String::from_utf8_lossy(&mode.unwrap().stderr).into_owned();
    assert!(text.contains("PGSSLMODE is one of"), "{text}");
}
