//! Namespaces on a real PostgreSQL: a schema each.

use std::collections::HashSet;

use crate::support::Postgres;
use eitherway::nats::NatsOptions;
use eitherway::postgres::{self, PostgresOptions, PostgresSchemas};
use eitherway::runtime::Runtime;
use eitherway::sql::{OpenError, SqlService};
use eitherway::store::Stores;
use eitherway::{Db, Namespace};
use futures_util::future::join_all;
use rosey::op::{Op, RoseyClient};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

fn namespace(name: &str) -> Namespace {
    if name.is_empty() { Namespace::none() } else { name.parse().unwrap() }
}

fn options(url: &str, name: &str) -> PostgresOptions {
    PostgresOptions::new(url).unwrap().retention(None).namespace(namespace(name))
}

async fn open(options: &PostgresOptions) -> Result<SqlService<Op>, OpenError> {
    SqlService::open_postgres(options).await
}

async fn texts(url: &str, sql: &str) -> Vec<String> {
    let mut raw = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut raw).await.unwrap()
}

async fn run(url: &str, sql: &str) {
    let mut raw = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut raw).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_of_one_address_share_nothing() {
    let url = Postgres::shared().empty().await;
    let names = ["", "lounge", "irc.my-room", "irc_my_room"];
    let opened = join_all(names.map(|name| {
        let options = options(&url, name);
        async move { Db::new(open(&options).await.unwrap()) }
    }));
    let opened = opened.await;
    for (name, db) in names.iter().zip(&opened) {
        db.message_log("alice", format!("in {name:?}")).await.unwrap();
    }
    for (name, db) in names.iter().zip(&opened) {
        let lines = db.recent_chat(10).await.unwrap();
        let said: Vec<_> = lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(said, [format!("in {name:?}")]);
        db.stack().close().await;
        let verdict = postgres::verify::<Op>(&options(&url, name), |_| {}).await.unwrap();
        assert!(verdict.is_clean(), "{:#?}", verdict.findings);
    }
    let schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'rosey%' ORDER BY 1";
    let schemas = texts(&url, schemas).await;
    assert_eq!(schemas.len(), 4, "{schemas:?}");
    assert!(schemas[0] == "rosey" && schemas[3] == "rosey_lounge", "{schemas:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_opens_the_schema_of_its_namespace() {
    let url = Postgres::shared().empty().await;
    let nats = NatsOptions::new("nats://127.0.0.1:1").namespace(namespace("den"));
    for (builder, schema) in [
        (Runtime::<Op>::builder().store(url.as_str()), "rosey"),
        (Runtime::builder().store(url.as_str()).namespace(namespace("lounge")), "rosey_lounge"),
        (Runtime::builder().store(url.as_str()).nats(nats), "rosey_den"),
        (Runtime::builder().store(options(&url, "bar")), "rosey_bar"),
    ] {
        let runtime = builder.build().await.unwrap();
        runtime.client().message_log("alice", "hello").await.unwrap();
        let _ = runtime.shutdown(std::time::Duration::from_secs(5)).await;
        let count = format!("SELECT count(*)::text FROM {schema}.recent_chat");
        assert_eq!(texts(&url, &count).await, ["1"], "{schema}");
    }
    let two = Runtime::<Op>::builder().store(options(&url, "bar")).namespace(namespace("den"));
    let refused = two.build().await.err().unwrap().to_string();
    assert!(refused.contains("two namespaces are named"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_was_made_for_another_namespace_is_refused_and_left_as_it_is() {
    let url = Postgres::shared().empty().await;
    open(&options(&url, "lounge")).await.unwrap().close().await;
    open(&options(&url, "")).await.unwrap().close().await;
    // One of an older program, which brings it to its version and adds its function.
    run(&url, "DELETE FROM rosey_lounge._sqlx_migrations WHERE version > 1").await;
    for (schema, wrong, says) in [
        ("rosey_lounge", "den", "made for the namespace lounge, and not for the namespace den"),
        ("rosey_lounge", "", "made for the namespace lounge, and not for no namespace"),
        ("rosey", "lounge", "made for no namespace, and not for the namespace lounge"),
    ] {
        let wrong = options(&url, wrong).schema(schema);
        let refused = open(&wrong).await.unwrap_err();
        assert!(matches!(refused, OpenError::Namespace { .. }), "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
        let refused = postgres::verify::<Op>(&wrong, |_| {}).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
    }
    let versions = "SELECT count(*)::text FROM rosey_lounge._sqlx_migrations";
    assert_eq!(texts(&url, versions).await, ["1"], "nothing was migrated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_says_nothing_of_its_namespace_is_for_the_namespace_that_opens_it_first() {
    let url = Postgres::shared().empty().await;
    let old = options(&url, "").schema("channel_2");
    open(&old).await.unwrap().close().await;
    run(&url, "DELETE FROM channel_2.meta WHERE key = 'namespace'").await;
    // Reading adopts nothing.
    postgres::verify::<Op>(&old, |_| {}).await.unwrap();
    let lounge = options(&url, "lounge").schema("channel_2");
    let both = [&lounge, &lounge].map(|lounge| async { open(lounge).await.unwrap().close().await });
    join_all(both).await;
    open(&old).await.unwrap_err();
    let kept = "SELECT value FROM channel_2.meta WHERE key = 'namespace'";
    assert_eq!(texts(&url, kept).await, ["lounge"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_create_a_schema_is_told_the_command_which_is_enough() {
    let url = Postgres::shared().empty().await;
    run(&url, "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$").await;
    let guest = options(&url.replace("postgres@", "guest@"), "irc.my-room");
    let refused = open(&guest).await.unwrap_err().to_string();
    let (_, command) = refused.split_once("Run as the owner of the database: ").expect(&refused);
    let (command, _) = command.split_once(';').expect(&refused);
    assert!(command.starts_with("CREATE SCHEMA rosey_irc_my_room_"), "{refused}");
    assert!(command.ends_with(" AUTHORIZATION guest"), "{refused}");
    run(&url, command).await;
    let db = Db::new(open(&guest).await.unwrap());
    db.message_log("alice", "hello").await.unwrap();
}

fn schemas(url: &str, create: bool) -> PostgresSchemas {
    PostgresSchemas::new(options(url, "").readers(1), create)
}

async fn listed(schemas: &PostgresSchemas) -> Vec<String> {
    let listed = Stores::<Op>::list(schemas).await.unwrap();
    listed.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_open_the_same_new_namespaces_at_the_same_time_make_each_once() {
    let url = Postgres::shared().empty().await;
    let processes = [schemas(&url, true), schemas(&url, true)];
    let names: Vec<Namespace> = (0..10).map(|n| namespace(&format!("room-{n}"))).collect();
    let opened = names.iter().flat_map(|name| processes.iter().map(move |stores| stores.open(name)));
    let opened: Vec<SqlService<Op>> = join_all(opened).await.into_iter().map(Result::unwrap).collect();
    for pair in opened.chunks(2) {
        assert_eq!(pair[0].database(), pair[1].database());
    }
    let ids: HashSet<&str> = opened.iter().map(SqlService::database).collect();
    assert_eq!(ids.len(), names.len());
    assert_eq!(listed(&processes[0]).await.len(), names.len());
    let functions = "SELECT count(*)::text FROM pg_proc WHERE proname LIKE 'apply\\_%'";
    assert_eq!(texts(&url, functions).await, ["10"]);
    join_all(opened.iter().map(SqlService::close)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_a_schema_that_says_so_or_has_nothing_in_it() {
    let url = Postgres::shared().empty().await;
    for name in ["", "lounge", "irc.my-room", "old", "moved"] {
        open(&options(&url, name)).await.unwrap().close().await;
    }
    run(
        &url,
        "DELETE FROM rosey_old.meta WHERE key = 'namespace';
         ALTER SCHEMA rosey_moved RENAME TO rosey_elsewhere;
         CREATE SCHEMA rosey_new; CREATE SCHEMA other_new; CREATE SCHEMA \"rosey_A;b\";
         CREATE SCHEMA rosey_backup; CREATE TABLE rosey_backup.things (n int);
         CREATE SCHEMA rosey_foreign; CREATE TABLE rosey_foreign.meta (n int)",
    )
    .await;
    let (follows, creates) = (schemas(&url, false), schemas(&url, true));
    for _ in 0..2 {
        assert_eq!(listed(&follows).await, ["irc.my-room", "lounge", "new", "old"]);
    }
    let open = async |schemas: &PostgresSchemas, name: &str| -> Result<SqlService<Op>, String> {
        schemas.open(&namespace(name)).await
    };
    for name in ["new", "old"] {
        open(&follows, name).await.unwrap().close().await;
    }
    let kept = "SELECT value FROM rosey_old.meta WHERE key = 'namespace'";
    assert_eq!(texts(&url, kept).await, ["old"]);
    // One that is asked for.
    assert!(Stores::<Op>::is_to_come(&follows, &namespace("den")).await);
    let refused = open(&follows, "den").await.unwrap_err();
    assert!(refused.contains("there is no schema rosey_den"), "{refused}");
    open(&creates, "den").await.unwrap().close().await;
    assert!(!Stores::<Op>::is_to_come(&follows, &namespace("den")).await);
    assert!(listed(&follows).await.contains(&"den".to_owned()));
    // One that goes.
    run(&url, "DROP SCHEMA rosey_lounge CASCADE").await;
    assert_eq!(listed(&follows).await, ["den", "irc.my-room", "new", "old"]);
}
