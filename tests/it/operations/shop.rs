//! A shop whose operations are written in every way that is taken, and in some that ask for trouble.

use std::sync::atomic::{AtomicUsize, Ordering};

use eitherway::operation::{Apply, ApplyError, Definition, Done, Migration, Refusal, Spec, Tx};
use eitherway::sql::{SqlService, SqliteOptions};
use eitherway::{Db, Head};
use serde::{Deserialize, Serialize};
use sqlx::Connection;

pub(super) const TABLES: &[Migration] = &[Migration::new(
    10,
    "shop",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
     INSERT INTO counters VALUES ('ids', 0), ('rows', 0), ('seen', 0), ('batches', 0), ('always', 0), ('joined', 0);
     CREATE TABLE shelf (item TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL CHECK (count >= 0));
     CREATE TABLE sales (op_id TEXT PRIMARY KEY, item TEXT NOT NULL);",
)];

/// Counts in every way that reads the new rows, also where an effect would stand without them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Count {
    pub name: String,
}

impl Definition for Count {
    type Answer = Done;
    const SPEC: Spec = Spec::event("count", "shop.count");
    const STATEMENTS: &'static [&'static str] = &[
        "UPDATE counters SET n = n + (SELECT count(*) FROM new) WHERE name = 'ids'",
        "WITH RECURSIVE n (id) AS (SELECT id FROM new UNION SELECT id FROM n)
         INSERT INTO counters SELECT 'rows', 1 FROM n WHERE true ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
        "UPDATE counters SET n = n + 1 WHERE name = 'seen' AND EXISTS (SELECT 1 FROM new)",
        "UPDATE counters SET n = n + 1 + 0 * (SELECT count(*) FROM new) WHERE name = 'batches'",
        "UPDATE counters SET n = n + 1 FROM (SELECT 1) LEFT JOIN new ON false WHERE name = 'always'",
        "INSERT INTO counters SELECT 'joined', count(*) FROM (SELECT 1) LEFT JOIN new ON true WHERE true
         ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
        "INSERT INTO sales SELECT id, op ->> 'name' FROM new WHERE op ->> 'name' <> 'x'",
    ];
}

/// Puts things on the shelf; a statement that some values are not taken by, in every class that SQLite has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stock {
    pub item: Option<String>,
    pub count: serde_json::Value,
}

impl Definition for Stock {
    type Answer = i64;
    const SPEC: Spec = Spec::call("stock", "shop.stock");
    const STATEMENTS: &'static [&'static str] =
        &["INSERT INTO shelf SELECT op ->> 'item', sum(abs(op ->> 'count')) FROM new WHERE true GROUP BY 1
         ON CONFLICT (item) DO UPDATE SET count = count + excluded.count"];
    const ANSWER: &'static str = "SELECT asked.id, count FROM asked JOIN shelf ON item = op ->> 'item'";
}

/// Sells one, if there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Buy {
    pub item: String,
}

/// How often [`Buy`] was called.
pub(super) static CALLED: AtomicUsize = AtomicUsize::new(0);

impl Apply for Buy {
    type Answer = i64;
    const SPEC: Spec = Spec::call("buy", "shop.buy");

    async fn apply(&self, tx: &mut Tx<'_>, head: &Head) -> Result<i64, ApplyError> {
        CALLED.fetch_add(1, Ordering::SeqCst);
        let sale = sqlx::query("INSERT INTO sales (op_id, item) VALUES ($1, $2)");
        tx.execute(sale.bind(head.id.to_string()).bind(&self.item)).await?;
        let take = "UPDATE shelf SET count = count - 1 WHERE item = $1 AND count > 0 RETURNING count";
        match tx.fetch_optional(sqlx::query(take).bind(&self.item)).await? {
            Some((left,)) => Ok(left),
            None => Err(Refusal::new("out_of_stock", format!("there is no {} left", self.item)).into()),
        }
    }
}

/// Does what it should not, and then says that all is well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Misbehave {
    pub sql: Vec<String>,
    #[serde(default)]
    pub panics: bool,
    #[serde(default)]
    pub fails: bool,
}

impl Apply for Misbehave {
    type Answer = Done;
    const SPEC: Spec = Spec::call("misbehave", "shop.misbehave");

    async fn apply(&self, tx: &mut Tx<'_>, _: &Head) -> Result<Done, ApplyError> {
        tx.execute(sqlx::query("UPDATE counters SET n = n + 1000")).await?;
        for sql in &self.sql {
            let done = tx.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone()))).await;
            if self.fails {
                done?;
            }
        }
        assert!(!self.panics, "as it was asked");
        Ok(Done {})
    }
}

/// What is known of a thing: perhaps nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Look {
    pub item: String,
}

impl Definition for Look {
    type Answer = Option<i64>;
    const SPEC: Spec = Spec::query("look", "shop.look");
    const ANSWER: &'static str = "SELECT count FROM shelf WHERE item = (SELECT op ->> 'item' FROM asked)";
}

/// The same for a thing that must be there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Insist {
    pub item: String,
}

impl Definition for Insist {
    type Answer = i64;
    const SPEC: Spec = Spec::query("insist", "shop.insist");
    const ANSWER: &'static str =
        "SELECT max(count) FROM shelf WHERE item = (SELECT op ->> 'item' FROM asked)";
}

/// Everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Everything {}

impl Definition for Everything {
    type Answer = Vec<String>;
    const SPEC: Spec = Spec::query("everything", "shop.everything").list();
    const ANSWER: &'static str = "SELECT json_group_array(item) FROM shelf HAVING count(*) > 0";
}

/// Takes one of a kind from the shelf and says which; perhaps none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Take {
    pub item: String,
}

impl Definition for Take {
    type Answer = Option<String>;
    const SPEC: Spec = Spec::call("take", "shop.take");
    const STATEMENTS: &'static [&'static str] =
        &["INSERT INTO sales SELECT id, item FROM new JOIN shelf ON item = op ->> 'item' WHERE count > 0"];
    const ANSWER: &'static str =
        "SELECT asked.id, json_quote(item) FROM asked JOIN sales ON op_id = asked.id";
}

eitherway::operations! {
    /// All that a shop can do.
    pub enum Shop -> ShopAnswer in "shop" with TABLES {
        Count(Count), Stock(Stock), Buy(Buy), Misbehave(Misbehave), Look(Look), Insist(Insist), Everything(Everything),
        Take(Take),
    }
}

eitherway::client! {
    /// The shop's methods.
    pub trait ShopClient for Shop {
        /// Puts so many on the shelf.
        stock(item: impl Into<String>, count: i64) => Stock { item: Some(item.into()), count: count.into() };
        /// Sells one.
        buy(item: impl Into<String>) => Buy { item: item.into() };
        /// How many there are.
        look(item: impl Into<String>) => Look { item: item.into() };
    }
}

pub(super) struct Fixture {
    pub(super) dir: tempfile::TempDir,
    pub(super) service: SqlService<Shop>,
    pub(super) db: Db<SqlService<Shop>>,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.db");
        let service = SqlService::open(&SqliteOptions::new(path.to_str().unwrap()).unwrap()).await.unwrap();
        Self { dir, db: Db::new(service.clone()), service }
    }

    pub(super) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.service.readers().unwrap()).await.unwrap()
    }

    pub(super) async fn execute(&self, sql: &'static str) {
        let path = self.dir.path().join("shop.db");
        let mut connection = sqlx::SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }

    pub(super) async fn counters(&self) -> Vec<(String, i64)> {
        sqlx::query_as("SELECT name, n FROM counters ORDER BY name")
            .fetch_all(self.service.readers().unwrap())
            .await
            .unwrap()
    }
}
