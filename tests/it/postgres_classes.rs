//! What the server says of a statement, and what a caller is told: each error as a real server makes it, where it can be made to.

use std::time::{Duration, Instant};

use crate::support::{LIMIT, Postgres};
use eitherway::postgres::{self, PostgresOptions};
use eitherway::sql::SqlService;
use eitherway::{Class, Classify, Code, Db};
use rosey::op::{Op, RoseyClient};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// How an error comes about.
enum By {
    /// A trigger that runs this with the line.
    Trigger(&'static str),
    /// A trigger that says so.
    Word,
    /// Something done to the database before, and undone after.
    Change(&'static str, &'static str),
}
use By::{Change, Trigger, Word};

const CLASSES: [(&str, By, Class, Code); 22] = [
    ("22003", Trigger("PERFORM 2147483647 + length(NEW.message)"), Class::Rejected, Code::REFUSED),
    ("22012", Trigger("PERFORM 1 / 0"), Class::Rejected, Code::REFUSED),
    ("22P02", Trigger("PERFORM NEW.message::int"), Class::Rejected, Code::REFUSED),
    ("22P05", Trigger(r#"PERFORM (json '"\u0000"') #>> '{}'"#), Class::Rejected, Code::REFUSED),
    (
        "23505",
        Change(
            "CREATE UNIQUE INDEX one ON rosey.recent_chat ((true)) WHERE message IN ('well', 'hurt')",
            "DROP INDEX rosey.one",
        ),
        Class::Rejected,
        Code::REFUSED,
    ),
    (
        "23514",
        Change(
            "ALTER TABLE rosey.recent_chat ADD CONSTRAINT hurt CHECK (message <> 'hurt')",
            "ALTER TABLE rosey.recent_chat DROP CONSTRAINT hurt",
        ),
        Class::Rejected,
        Code::REFUSED,
    ),
    (
        "54000",
        Change(
            "CREATE FUNCTION large(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT CASE $1 WHEN 'hurt' THEN
                 (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n) END $$;
             CREATE INDEX large ON rosey.recent_chat (public.large(message))",
            "DROP FUNCTION large CASCADE",
        ),
        Class::Rejected,
        Code::REFUSED,
    ),
    ("P0001", Trigger("RAISE 'not this one'"), Class::Rejected, Code::REFUSED),
    ("25006", Trigger("PERFORM set_config('transaction_read_only', 'on', true)"), Class::Backend, Code::STORAGE),
    ("53100", Word, Class::Backend, Code::STORAGE),
    ("58030", Word, Class::Backend, Code::STORAGE),
    ("40001", Word, Class::Backend, Code::BUSY),
    ("40P01", Word, Class::Backend, Code::BUSY),
    (
        "55P03",
        Change("BEGIN; LOCK TABLE rosey.recent_chat", "ROLLBACK"),
        Class::Backend,
        Code::BUSY,
    ),
    ("57014", Trigger("PERFORM pg_sleep(5)"), Class::Backend, Code::BUSY),
    ("26000", Trigger("EXECUTE 'DEALLOCATE ALL'"), Class::Backend, Code::DATABASE),
    ("42703", Trigger("PERFORM no_such_column FROM ledger"), Class::Backend, Code::DATABASE),
    (
        "42P01",
        Change(
            "ALTER TABLE rosey.recent_chat RENAME TO away",
            "ALTER TABLE rosey.away RENAME TO recent_chat",
        ),
        Class::Backend,
        Code::DATABASE,
    ),
    (
        "53200",
        Trigger("PERFORM pg_advisory_xact_lock(7, n) FROM generate_series(1, 100000) n"),
        Class::Backend,
        Code::DATABASE,
    ),
    ("XX000", Word, Class::Backend, Code::DATABASE),
    ("57P03", Word, Class::NotSent, Code::UNAVAILABLE),
    ("57P01", Trigger("PERFORM pg_terminate_backend(pg_backend_pid())"), Class::Unknown, Code::UNANSWERED),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_the_server_has_its_class() {
    let server = Postgres::start(&["max_connections=20"]);
    let url = server.database().await;
    let mut raw = PgConnection::connect(&url).await.unwrap();
    let short = PostgresOptions::new(&url)
        .unwrap()
        .retention(None)
        .lock_timeout(Duration::from_millis(200))
        .statement_timeout(Duration::from_secs(1))
        .repeat_timeout(Duration::from_millis(100));
    let db = Db::new(SqlService::<Op>::open_postgres(&short).await.unwrap());
    db.message_log("bob", "well").await.unwrap();
    for (state, by, class, code) in CLASSES {
        let trigger = |body: &str| {
            format!(
                "CREATE FUNCTION rosey.hurt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$;
                 CREATE TRIGGER hurt BEFORE INSERT ON rosey.recent_chat FOR EACH ROW WHEN (NEW.message = 'hurt')
                 EXECUTE FUNCTION rosey.hurt()"
            )
        };
        let dropped = "DROP FUNCTION rosey.hurt CASCADE";
        let (before, after) = match by {
            Trigger(body) => (trigger(body), dropped),
            Word => (trigger(&format!("RAISE 'so it says' USING ERRCODE = '{state}'")), dropped),
            Change(before, after) => (before.to_owned(), after),
        };
        sqlx::raw_sql(AssertSqlSafe(before)).execute(&mut raw).await.unwrap();
        let told = db.message_log("alice", "hurt").await;
        // The one that met it was served before that; the next is told.
        let told = if state == "26000" { db.message_log("alice", "hurt").await } else { told };
        let since = Instant::now();
        // An error is told before its transaction has let go of all locks.
        while let Err(e) = sqlx::raw_sql(after).execute(&mut raw).await {
            assert!(since.elapsed() < LIMIT, "{state}: {e}");
        }
        let told = told.expect_err(state);
        assert_eq!((told.class(), told.cause().code()), (class, code), "{state}: {told}");
        assert!(told.to_string().contains(state), "{state}: {told}");
        // The connection, or another one, serves the next.
        db.message_log("bob", state).await.unwrap_or_else(|e| panic!("after {state}: {e}"));
    }
    let verdict = postgres::verify::<Op>(&short, |_| {}).await.unwrap();
    assert!(verdict.is_clean(), "{:#?}", verdict.findings);
}
