//! What an operator of PostgreSQL is told: of passwords in files, of rights, of a standby alone, and of two primaries.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::program::{Running, outcome, rosey, run_with};
use crate::support::*;
use sqlx::{AssertSqlSafe, PgConnection};

async fn sql(raw: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(raw).await.unwrap();
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_in_a_file_counts_and_one_that_others_may_read_is_refused_or_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let hba = dir.path().join("hba");
    let rules = "host all postgres 127.0.0.1/32 trust\nhost all with_a_word 127.0.0.1/32 scram-sha-256\n";
    fs::write(&hba, rules).unwrap();
    let server = Postgres::start(&[&format!("hba_file={}", hba.display())]);
    let url = server.database().await;
    let role = "CREATE ROLE with_a_word SUPERUSER LOGIN PASSWORD 's3cret'";
    sql(&mut server.connect("postgres").await, role).await;
    let url = url.replace("postgres@", "with_a_word@");
    let verify = |name: &str, value: &Path, more: &[&str]| {
        let mut command = rosey(dir.path());
        command.args(["verify", "--database-url", &url]).args(more).env_remove("PGPASSFILE");
        let (code, text) = outcome(command.env("HOME", "/no/home").env(name, value));
        assert!(!text.contains("s3cret"), "{text}");
        (code, text)
    };
    let (good, wrong) = ("127.0.0.1:*:*:with_a_word:s3cret\n", "127.0.0.1:*:*:other:s3cret\n");
    let file = dir.path().join(".pgpass");
    for (name, value) in [("PGPASSFILE", file.as_path()), ("HOME", dir.path())] {
        for (text, mode, expected, says) in [
            (good, 0o600, Some(0), "clean"),
            (&format!("# of us\n\n{good}"), 0o400, Some(0), "clean"),
            (&format!("s3cret\n{good}"), 0o600, Some(0), "clean"),
            (good, 0o640, Some(4), "chmod 600"),
            (good, 0o604, Some(4), "chmod 600"),
            (wrong, 0o600, Some(4), "no line of"),
        ] {
            let _ = fs::remove_file(&file);
            write(&file, text, mode);
            let (code, said) = verify(name, value, &[]);
            assert!(code == expected && said.contains(says), "{name} {mode:o} {text}: {code:?} {said}");
        }
    }
    let (code, said) = verify("PGPASSFILE", Path::new("/no/such/file"), &[]);
    assert!(code == Some(4) && said.contains("/no/such/file, which is not there"), "{said}");
    let word = dir.path().join("word");
    for (mode, warned) in [(0o600, false), (0o644, true)] {
        write(&word, "s3cret\n", mode);
        let option = ["--log", "warn", "--database-password-file", word.to_str().unwrap()];
        let (code, said) = verify("PGPASSFILE", Path::new("/no/such/file"), &option);
        assert!(code == Some(0) && said.contains("others may read") == warned, "{mode:o}: {said}");
    }
    let option = ["--database-password-file", "/no/such/word"];
    let (code, said) = verify("PGPASSFILE", Path::new("/no/such/file"), &option);
    assert!(code != Some(0) && said.contains("/no/such/word"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_is_named_before_anything_is_looked_at() {
    let server = Postgres::start(&[]);
    let url = server.database().await;
    let name = url.rsplit('/').next().unwrap();
    let grants = "CREATE ROLE bot LOGIN; GRANT USAGE ON SCHEMA rosey TO bot; GRANT ALL ON ALL TABLES IN SCHEMA rosey TO bot;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA rosey TO bot; REVOKE SELECT ON rosey.recent_chat FROM bot";
    sql(&mut server.connect(name).await, grants).await;
    let bot = url.replace("postgres@", "bot@");
    for command in [&["recent", "--no-nats"][..], &["verify"], &["serve"]] {
        let ran = run_with(&[command, &["--database-url", &bot]].concat(), "").await;
        let says = "GRANT ALL ON ALL TABLES IN SCHEMA rosey TO bot";
        assert!(ran.code == Some(4) && ran.all().contains(says), "{command:?}: {}", ran.all());
        assert!(!ran.all().contains("cannot be planned"), "{}", ran.all());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_in_a_server_are_put_right_with_psql() {
    let server = Postgres::shared();
    let url = server.database().await;
    let name = url.rsplit('/').next().unwrap();
    let added = "INSERT INTO rosey.recent_chat (timestamp, username, message, at, op_id) VALUES (1, 'x', 'y', 1000, 'z')";
    sql(&mut server.connect(name).await, added).await;
    let ran = run_with(&["verify", "--database-url", &url], "").await;
    let said = ran.all();
    assert!(ran.code == Some(1) && said.contains("psql") && !said.contains("sqlite3"), "{said}");
}

/// A primary, its standby, the address of both and that of the standby alone.
async fn pair() -> (Postgres, Postgres, String, String) {
    let primary = Postgres::start(&[]);
    let url = primary.database().await;
    let standby = primary.standby();
    let database = url.rsplit('/').next().unwrap();
    let both =
        format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/{database}", primary.port(), standby.port());
    let alone = standby.url(database);
    (primary, standby, both, alone)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_alone_is_read_by_commands_that_ask_and_says_so() {
    let (mut primary, _standby, both, alone) = pair().await;
    primary.stop("-INT");
    for url in [&both, &alone] {
        for command in [&["stats", "--no-nats"][..], &["recent", "--no-nats"], &["verify"], &["dead", "list"]]
        {
            let ran = run_with(&[command, &["--database-url", url]].concat(), "").await;
            assert_eq!(ran.code, Some(0), "{command:?}: {}", ran.all());
            let said = ran.err.matches("no server takes writes: reading from 127.0.0.1:").count();
            assert!(said == 1, "{command:?}: {}", ran.all());
        }
        for command in [
            &["serve"][..],
            &["up", "--no-nats", "--chat", "jsonl:-"],
            &["bot", "--no-nats", "--chat", "jsonl:-"],
        ] {
            let ran = run_with(&[command, &["--database-url", url]].concat(), "").await;
            assert!(ran.code == Some(4) && ran.err.contains("pg_promote()"), "{command:?}: {}", ran.all());
        }
        let tell = ["tell", "--no-nats", "alice", "hello", "--database-url", url];
        let ran = run_with(&tell, "").await;
        assert!(ran.code == Some(4) && ran.err.contains("only reads"), "{}", ran.all());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_from_one_primary_to_another_is_logged_once_with_both() {
    let (store, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let nats = NatsServer::with_jetstream(store.path()).await;
    let (primary, standby, both, _) = pair().await;
    let mut service =
        Running::start(rosey(dir.path()).args(["serve", "--nats-url", &nats.url(), "--database-url", &both]));
    service.serves().await;
    standby.promote().await;
    let moved = format!(
        "writes move from 127.0.0.1:{} (timeline 1) to 127.0.0.1:{} (timeline 2)",
        primary.port(),
        standby.port()
    );
    service.says(&moved).await;
    service.says("two primaries. Fence the one").await;
    let line = r#"{"username":"alice","message":"hello"}"#;
    for _ in 0..3 {
        let send = ["send", "message_log", line, "--nats-url", &nats.url()];
        let (code, text) = outcome(rosey(dir.path()).args(send));
        assert_eq!(code, Some(0), "{text}");
    }
    let log = service.terminate_and_log().await;
    assert_eq!(log.matches("writes move from").count(), 1, "{log}");
    assert_eq!(log.matches("two primaries").count(), 1, "{log}");
}
