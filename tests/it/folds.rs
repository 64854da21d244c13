//! Rows that operations only append, and what folds them.

#[cfg(feature = "postgres")]
mod before;
mod file;
#[cfg(feature = "postgres")]
mod rosey;

use eitherway::Db;
use eitherway::operation::{Definition, Done, Fold, Keys, Migration, Spec};
use eitherway::sql::{SqlService, SqliteOptions};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::support::wait_until;

const TABLES: &[Migration] = &[Migration::new(
    10,
    "tally",
    "CREATE TABLE tally (name TEXT PRIMARY KEY, total BIGINT NOT NULL);
     CREATE TABLE tally_waiting (op_id TEXT PRIMARY KEY, name TEXT NOT NULL, amount BIGINT NOT NULL)",
)];

const TALLY: Fold = Fold::new(
    "tally",
    "SELECT op_id FROM tally_waiting ORDER BY op_id LIMIT (SELECT most FROM sweep)",
    &[
        "INSERT INTO tally (name, total)
         SELECT name, CAST(sum(amount) AS BIGINT) FROM tally_waiting WHERE op_id IN (SELECT key FROM gone) GROUP BY name
         ON CONFLICT (name) DO UPDATE SET total = tally.total + excluded.total",
        "DELETE FROM tally_waiting WHERE op_id IN (SELECT key FROM gone)",
    ],
)
.portion(7);

/// Adds something to the tally of a name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Add {
    name: String,
    amount: i64,
}

impl Definition for Add {
    type Answer = Done;
    const SPEC: Spec = Spec::event("add", "tally.add");
    const STATEMENTS: &'static [&'static str] = &["INSERT INTO tally_waiting (op_id, name, amount)
         SELECT id, op ->> 'name', CAST(op ->> 'amount' AS BIGINT) FROM new"];
    const FOLDS: &'static [Fold] = &[TALLY];
    const POSTGRES: eitherway::operation::Dialect = eitherway::operation::Dialect::SAME.keys(Keys::Own);
}

/// The tally of a name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Total {
    name: String,
}

impl Definition for Total {
    type Answer = i64;
    const SPEC: Spec = Spec::query("total", "tally.total");
    const ANSWER: &'static str = "
        SELECT CAST(coalesce(sum(n), 0) AS TEXT) FROM (
            SELECT total AS n FROM tally WHERE name = (SELECT op ->> 'name' FROM asked)
            UNION ALL SELECT amount FROM tally_waiting WHERE name = (SELECT op ->> 'name' FROM asked)) all_of_it";
}

/// How many rows wait.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {}

impl Definition for Waiting {
    type Answer = i64;
    const SPEC: Spec = Spec::query("waiting", "tally.waiting");
    const ANSWER: &'static str = "SELECT CAST(count(*) AS TEXT) FROM tally_waiting";
}

eitherway::operations! {
    /// Sums by name.
    pub(crate) enum Tally -> TallyAnswer in "tally" with TABLES { Add(Add), Total(Total), Waiting(Waiting) }
}

type Service = Db<SqlService<Tally>>;

async fn add(db: &Service, number: i64) {
    let all = (0..number).map(|n| db.call(Add { name: format!("n{}", n % 3), amount: n }));
    for reply in join_all(all).await {
        reply.unwrap();
    }
}

async fn totals(db: &Service) -> [i64; 3] {
    let mut totals = [0; 3];
    for (n, total) in totals.iter_mut().enumerate() {
        *total = db.call(Total { name: format!("n{n}") }).await.unwrap().answer;
    }
    totals
}

async fn waiting(db: &Service) -> i64 {
    db.call(Waiting {}).await.unwrap().answer
}

/// Sums stay what they are while what waits is folded: first by hand, in portions, then by itself.
async fn is_folded(by_hand: SqlService<Tally>, by_itself: impl Future<Output = SqlService<Tally>>) {
    let db = Db::new(by_hand);
    add(&db, 100).await;
    let expected = [1683, 1617, 1650];
    assert_eq!((totals(&db).await, waiting(&db).await), (expected, 100));
    assert_eq!(db.stack().fold().await.unwrap(), 100);
    assert_eq!((totals(&db).await, waiting(&db).await), (expected, 0));
    assert_eq!(db.stack().fold().await.unwrap(), 0);

    // Not before: it folds what waits when it is opened.
    let db = Db::new(by_itself.await);
    add(&db, 100).await;
    assert_eq!(totals(&db).await, expected.map(|n| n * 2));
    wait_until("nothing waits", || async { waiting(&db).await == 0 }).await;
    assert_eq!(totals(&db).await, expected.map(|n| n * 2));
}

#[tokio::test]
async fn what_was_appended_is_folded_in_a_file_by_its_writer() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("tally.db").to_str().unwrap()).unwrap();
    let by_hand = SqlService::open(&options.clone().folding(None)).await.unwrap();
    let readers = by_hand.readers().unwrap().clone();
    is_folded(by_hand, async { SqlService::open(&options).await.unwrap() }).await;
    let traces = "SELECT count(*) FROM meta WHERE key LIKE 'swept.%'";
    let traces: i64 = sqlx::query_scalar(traces).fetch_one(&readers).await.unwrap();
    assert_eq!(traces, 0, "a fold is no sweep");
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_is_folded_on_postgresql() {
    let url = crate::support::Postgres::shared().empty().await;
    let options = eitherway::postgres::PostgresOptions::new(&url).unwrap().schema("tally");
    let by_hand = SqlService::open_postgres(&options.clone().folding(None)).await.unwrap();
    is_folded(by_hand, async { SqlService::open_postgres(&options).await.unwrap() }).await;
}
