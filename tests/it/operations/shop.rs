//! A shop whose operations are written in every way that is taken, and in some that ask for trouble.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use eitherway::operation::{
    Apply, ApplyError, Definition, Dialect, Done, Keys, Migration, Refusal, Spec, Tx,
};
use eitherway::{Head, Request};
use serde::{Deserialize, Serialize};

pub(super) use super::stores::Fixture;

pub(super) const TABLES: &[Migration] = &[Migration::new(
    10,
    "shop",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
     INSERT INTO counters VALUES ('ids', 0), ('rows', 0), ('seen', 0), ('batches', 0), ('always', 0), ('joined', 0);
     CREATE TABLE shelf (item TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL CHECK (count >= 0));
     CREATE TABLE sales (op_id TEXT PRIMARY KEY, item TEXT NOT NULL);
     CREATE TABLE kinds (op_id TEXT PRIMARY KEY, text TEXT, number BIGINT, half DOUBLE PRECISION, absent BIGINT);",
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
         INSERT INTO counters SELECT 'rows', count(*) FROM n WHERE true
         ON CONFLICT (name) DO UPDATE SET n = counters.n + excluded.n",
        "UPDATE counters SET n = n + 1 WHERE name = 'seen' AND EXISTS (SELECT 1 FROM new)",
        "UPDATE counters SET n = n + 1 + 0 * (SELECT count(*) FROM new) WHERE name = 'batches'",
        "UPDATE counters SET n = n + 1 FROM (SELECT 1) o LEFT JOIN new ON false WHERE name = 'always'",
        "INSERT INTO counters SELECT 'joined', count(new.id) FROM (SELECT 1) o LEFT JOIN new ON true WHERE true
         ON CONFLICT (name) DO UPDATE SET n = counters.n + excluded.n",
        "INSERT INTO sales SELECT id, op ->> 'name' FROM new WHERE op ->> 'name' <> 'x'",
    ];
}

/// Puts things on the shelf; a statement that some values are not taken by, in every class that the database has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stock {
    pub item: Option<String>,
    pub count: serde_json::Value,
}

impl Definition for Stock {
    type Answer = i64;
    const SPEC: Spec = Spec::call("stock", "shop.stock");
    const STATEMENTS: &'static [&'static str] =
        &["INSERT INTO shelf SELECT op ->> 'item', sum(abs(CAST(op ->> 'count' AS bigint))) FROM new WHERE true GROUP BY 1
         ON CONFLICT (item) DO UPDATE SET count = shelf.count + excluded.count"];
    const ANSWER: &'static str =
        "SELECT asked.id, CAST(count AS text) FROM asked JOIN shelf ON item = op ->> 'item'";
}

/// Sells one, if there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Buy {
    pub item: String,
}

/// How often [`Buy`] was called for a request.
static CALLED: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

pub(super) fn called(request: &Request<Shop>) -> usize {
    CALLED.lock().unwrap().get(&request.head.id.to_string()).copied().unwrap_or_default()
}

impl Apply for Buy {
    type Answer = i64;
    const SPEC: Spec = Spec::call("buy", "shop.buy");

    async fn apply(&self, tx: &mut Tx<'_>, head: &Head) -> Result<i64, ApplyError> {
        *CALLED.lock().unwrap().entry(head.id.to_string()).or_default() += 1;
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
    /// How long it waits for nothing, in milliseconds.
    #[serde(default)]
    pub waits: u64,
}

/// Something that is its own fault.
pub(super) fn misbehave(sql: &[&str]) -> Misbehave {
    let sql = sql.iter().map(|sql| (*sql).to_owned()).collect();
    Misbehave { sql, panics: false, fails: false, waits: 0 }
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
        tokio::time::sleep(Duration::from_millis(self.waits)).await;
        Ok(Done {})
    }
}

/// Reads what it has written, in the types of both databases, and says which one it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Which {
    pub text: String,
    pub number: i64,
    pub half: f64,
}

impl Apply for Which {
    type Answer = String;
    const SPEC: Spec = Spec::call("which", "shop.which");

    async fn apply(&self, tx: &mut Tx<'_>, head: &Head) -> Result<String, ApplyError> {
        let id = head.id.to_string();
        let insert =
            sqlx::query("INSERT INTO kinds (op_id, text, number, half, absent) VALUES ($1, $2, $3, $4, $5)")
                .bind(&id)
                .bind(&self.text)
                .bind(self.number)
                .bind(self.half)
                .bind(None::<i64>);
        assert_eq!(tx.execute(insert).await?, 1);
        let read = "SELECT text, number, half, absent FROM kinds WHERE op_id = $1";
        let row: Option<(String, i64, f64, Option<i64>)> =
            tx.fetch_optional(sqlx::query(read).bind(&id)).await?;
        assert_eq!(row, Some((self.text.clone(), self.number, self.half, None)));
        let rows: Vec<(String,)> = tx.fetch_all(sqlx::query("SELECT op_id FROM kinds")).await?;
        assert_eq!(rows, [(id.clone(),)]);
        #[cfg(feature = "postgres")]
        if let Some(on) = tx.postgres() {
            let array =
                sqlx::query("SELECT $1::text[] || op_id FROM kinds").bind(vec!["PostgreSQL".to_owned()]);
            let row: Option<(Vec<String>,)> = on.fetch_optional(array).await?;
            return Ok(row.map(|(texts,)| texts[0].clone()).unwrap_or_default());
        }
        let on = tx.sqlite().expect("the other one");
        let row: Option<(u8,)> =
            on.fetch_optional(sqlx::query("SELECT CAST($1 AS INTEGER)").bind(7_u8)).await?;
        Ok(row.filter(|(seven,)| *seven == 7).map(|_| "SQLite".to_owned()).unwrap_or_default())
    }
}

/// Touches one row, and after a moment the other, whatever becomes of that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Touch {
    pub items: Vec<String>,
    pub waits: u64,
}

impl Apply for Touch {
    type Answer = Done;
    const SPEC: Spec = Spec::call("touch", "shop.touch");
    const POSTGRES: Dialect = Dialect::SAME.keys(Keys::Own);

    async fn apply(&self, tx: &mut Tx<'_>, _: &Head) -> Result<Done, ApplyError> {
        for item in &self.items {
            let touch = sqlx::query("UPDATE shelf SET count = count + 1 WHERE item = $1").bind(item);
            let _ = tx.execute(touch).await;
            tokio::time::sleep(Duration::from_millis(self.waits)).await;
        }
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
    const ANSWER: &'static str =
        "SELECT CAST(count AS text) FROM shelf WHERE item = (SELECT op ->> 'item' FROM asked)";
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
        "SELECT CAST(max(count) AS text) FROM shelf WHERE item = (SELECT op ->> 'item' FROM asked)";
}

/// Everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Everything {}

impl Definition for Everything {
    type Answer = Vec<String>;
    const SPEC: Spec = Spec::query("everything", "shop.everything").list();
    const ANSWER: &'static str = "SELECT json_group_array(item) FROM shelf HAVING count(*) > 0";
    const POSTGRES: Dialect = Dialect::SAME.answer("SELECT json_agg(item) FROM shelf HAVING count(*) > 0");
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
    const POSTGRES: Dialect =
        Dialect::SAME.answer("SELECT asked.id, to_json(item) FROM asked JOIN sales ON op_id = asked.id");
}

eitherway::operations! {
    /// All that a shop can do.
    pub enum Shop -> ShopAnswer in "shop" with TABLES {
        Count(Count), Stock(Stock), Buy(Buy), Misbehave(Misbehave), Look(Look), Insist(Insist), Everything(Everything),
        Take(Take), Which(Which), Touch(Touch),
    }
}

eitherway::client! {
    /// The shop's methods.
    pub trait ShopClient for Shop {
        /// Puts this many on the shelf.
        stock(item: impl Into<String>, count: i64) => Stock { item: Some(item.into()), count: count.into() };
        /// Sells one.
        buy(item: impl Into<String>) => Buy { item: item.into() };
        /// How many there are.
        look(item: impl Into<String>) => Look { item: item.into() };
    }
}
