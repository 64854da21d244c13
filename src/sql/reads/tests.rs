//! What waits for a reader, while the test has all of them.

mod queue;
mod trouble;

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions};
use tempfile::TempDir;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready};

use super::*;
use crate::deadline::Deadline;
use crate::sqlite::limit::tests::SOON;

const LOOK_UP: &str = "SELECT n FROM t WHERE name = (SELECT op ->> 'name' FROM asked)";
/// As long as is asked for.
const PERHAPS_LONG: &str = "
    WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < (SELECT op ->> 'long' FROM asked))
    SELECT n FROM t WHERE name = 'a' AND (SELECT count(*) FROM c) > 0";
/// A quarter of a second, and longer than a test.
const LONG: &str = r#"{"long":2000000}"#;
const ENDLESS: &str = r#"{"long":80000000}"#;

struct File {
    dir: TempDir,
    writer: SqliteConnection,
    pool: SqlitePool,
    reads: Arc<Reads>,
}

type Asked = Spawn<std::pin::Pin<Box<dyn Future<Output = Result<Answered, Cause>> + Send>>>;

impl File {
    async fn new(answers: &[&str], readers: u32) -> Self {
        Self::with(answers, readers, Duration::from_secs(30)).await
    }

    async fn with(answers: &[&str], readers: u32, patience: Duration) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("shop.db");
        let options = SqliteConnectOptions::new().filename(&path).journal_mode(SqliteJournalMode::Wal);
        let mut writer = options.create_if_missing(true).connect().await.expect("a file");
        let tables = "CREATE TABLE t (name TEXT PRIMARY KEY, n INTEGER); INSERT INTO t VALUES ('a', 1)";
        sqlx::raw_sql(tables).execute(&mut writer).await.expect("a table");
        let reading = SqliteConnectOptions::new().filename(&path).read_only(true);
        let pool = SqlitePoolOptions::new().max_connections(readers).test_before_acquire(false);
        let pool = pool.acquire_timeout(patience).connect_with(reading).await.expect("readers");
        let place = Arc::new(DatabaseFile::new(&path).expect("a place"));
        place.adopt(place.compare().expect("the file").1);
        let queries = answers.iter().map(|answer| QuerySql {
            together: QuerySql::together(answer, if answer.contains(", 7 ") { 2 } else { 1 }).map(Into::into),
            is_shared: true,
            ..QuerySql::alone(answer)
        });
        let reads = Reads::new(pool.clone(), place, queries.collect());
        Self { dir, writer, pool, reads }
    }

    async fn write(&mut self, sql: &'static str) {
        sqlx::query(sql).execute(&mut self.writer).await.expect(sql);
    }

    /// All readers: what is asked now waits.
    async fn hold(&self) -> Vec<Reader> {
        let mut held = Vec::new();
        for _ in 0..self.pool.options().get_max_connections() {
            held.push(self.pool.acquire().await.expect("a reader"));
        }
        held
    }

    /// Waits until all readers are there and free.
    async fn idle(&self) {
        drop(self.hold().await);
        while self.pool.num_idle() < self.pool.options().get_max_connections() as usize {
            tokio::task::yield_now().await;
        }
    }

    fn question(index: usize, payload: impl ToString, deadline: Option<Deadline>) -> Question {
        let (payload, id) = (payload.to_string(), "id".to_owned());
        Question { index, payload, id, occurred_at: 0, now: 0, most: 1000, deadline }
    }

    /// Asks what cannot be answered at once.
    fn ask(&self, index: usize, payload: impl ToString, deadline: Option<Deadline>) -> Asked {
        let question = Self::question(index, payload, deadline);
        let mut asked: Asked = spawn(Box::pin(Arc::clone(&self.reads).ask(question)));
        assert_pending!(asked.poll());
        asked
    }

    /// Asks, and waits for the answer.
    async fn json(&self, index: usize, payload: impl ToString) -> Option<String> {
        json(Arc::clone(&self.reads).ask(Self::question(index, payload, None))).await
    }

    fn groups(&self) -> Vec<usize> {
        self.reads.groups.lock().clone()
    }
}

fn of(name: impl std::fmt::Display) -> String {
    format!(r#"{{"name":"{name}"}}"#)
}

async fn json(asked: impl Future<Output = Result<Answered, Cause>>) -> Option<String> {
    let answer = tokio::time::timeout(SOON, asked).await.expect("at once").expect("an answer");
    answer.json.map(|json| json.as_str().to_owned())
}

#[tokio::test]
async fn what_waits_goes_in_one_statement_and_each_gets_its_own_answer() {
    let mut file = File::new(&[LOOK_UP], 1).await;
    file.write("WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 100) INSERT INTO t SELECT n, n FROM c").await;
    let held = file.hold().await;
    let asked: Vec<Asked> = (1..=110).map(|n| file.ask(0, of(n), None)).collect();
    drop(held);
    for (n, asked) in (1..).zip(asked) {
        assert_eq!(json(asked).await, (n <= 100).then(|| n.to_string()), "{n}");
    }
    let groups = file.groups();
    assert_eq!((groups[0], groups.iter().sum()), (16, 110), "{groups:?}");
}

#[tokio::test]
async fn the_same_question_is_asked_once_for_all_who_wait_with_it() {
    let file = File::new(&[LOOK_UP], 1).await;
    let held = file.hold().await;
    let asked: Vec<Asked> = (0..50).map(|n| file.ask(0, of(["a", "b"][n % 2]), None)).collect();
    drop(held);
    for (n, asked) in asked.into_iter().enumerate() {
        assert_eq!(json(asked).await, (n % 2 == 0).then(|| "1".to_owned()));
    }
    assert_eq!(file.groups(), [2]);
}

#[tokio::test]
async fn who_comes_while_the_same_is_read_is_not_told_what_was_before() {
    let mut file = File::new(&[PERHAPS_LONG], 1).await;
    let first = file.ask(0, LONG, None);
    let second = file.ask(0, LONG, None);
    file.write("UPDATE t SET n = 2").await;
    let third = file.ask(0, LONG, None);
    let (first, second, third) = tokio::join!(first, second, third);
    let json = |answer: Result<Answered, Cause>| {
        answer.expect("an answer").json.map(|json| json.as_str().to_owned())
    };
    assert!(json(first).is_some());
    assert_eq!([json(second), json(third)], [Some("2".to_owned()), Some("2".to_owned())]);
    assert_eq!(file.groups(), [1], "both of them at once");
}

#[tokio::test]
async fn a_question_that_fails_fails_alone() {
    let file = File::new(&["SELECT json_extract('{\"a\":1}', op ->> 'path') FROM asked"], 1).await;
    let held = file.hold().await;
    let path = |n: usize| if n == 5 { "no path" } else { "$.a" };
    let asked: Vec<Asked> =
        (0..16).map(|n| file.ask(0, format!(r#"{{"n":{n},"path":"{}"}}"#, path(n)), None)).collect();
    drop(held);
    for (n, asked) in asked.into_iter().enumerate() {
        let answer = tokio::time::timeout(SOON, asked).await.expect("at once");
        match answer {
            Ok(answer) => assert_eq!((answer.json.expect("JSON").as_str(), path(n)), ("1", "$.a")),
            Err(cause) => assert!(cause.to_string().contains("path") && n == 5, "{n}: {cause}"),
        }
    }
    assert_eq!(file.groups()[0], 16);
}

/// Answers that a string of many could not tell apart.
#[tokio::test]
async fn an_answer_is_the_same_in_company() {
    let texts = ["[1,\n2]", "", "\u{1e}", "1 \u{1e}", "0 x", "null", "☃\u{7f}\"\\", "\n", " "];
    let texts = texts.map(|text| serde_json::json!({ "text": text })).into_iter();
    let long = serde_json::json!({ "text": "x".repeat(query::LONGEST) });
    let rest =
        [r#"{"text":0.1}"#, r#"{"text":1e300}"#, r#"{"text":null}"#, r#"{"text":[1,{"a":"b"}]}"#, "{}"];
    let payloads: Vec<String> =
        texts.chain([long]).map(|json| json.to_string()).chain(rest.map(str::to_owned)).collect();
    for answer in [
        "SELECT op ->> 'text' FROM asked",
        "SELECT CAST(op ->> 'text' AS BLOB) FROM asked",
        "SELECT json_array(op) FROM asked",
        "SELECT op ->> 'text', 7 FROM asked",
    ] {
        let one = File::new(&[answer], 1).await;
        let mut alone = Vec::new();
        for payload in &payloads {
            alone.push(one.json(0, payload).await);
        }
        // With one that all lines tell from others: two that do not would both be asked alone.
        let file = File::new(&[answer], 1).await;
        for (payload, alone) in payloads.iter().zip(alone) {
            let groups = file.groups().len();
            let held = file.hold().await;
            let [asked, beside] =
                [payload.as_str(), r#"{"text":"beside"}"#].map(|payload| file.ask(0, payload, None));
            drop(held);
            assert_eq!(json(asked).await, alone, "{answer} of {payload}");
            assert!(json(beside).await.is_some_and(|beside| beside.contains("beside")));
            assert_eq!(file.groups()[groups], 2, "{answer} of {payload}");
        }
    }
}

#[tokio::test]
async fn a_long_answer_is_given_alone() {
    let file = File::new(&["SELECT json_array(printf('%.*c', op ->> 'length', 'x')) FROM asked"], 1).await;
    let held = file.hold().await;
    let lengths = [10, query::LONGEST, 100_000, 11];
    let asked = lengths.map(|length| file.ask(0, format!(r#"{{"length":{length}}}"#), None));
    drop(held);
    for (asked, length) in asked.into_iter().zip(lengths) {
        assert_eq!(json(asked).await.map_or(0, |json| json.len()), length + 4);
    }
    assert_eq!(file.groups(), [4, 1, 1]);
}

#[tokio::test]
async fn who_has_gone_is_not_asked_for_and_spoils_nothing() {
    let file = File::new(&[LOOK_UP], 1).await;
    let held = file.hold().await;
    let [gone, also, same, other] = ["b", "a", "a", "c"].map(|name| file.ask(0, of(name), None));
    drop((gone, also));
    drop(held);
    assert_eq!((json(same).await, json(other).await), (Some("1".to_owned()), None));
    assert_eq!(file.groups(), [2]);
}

#[tokio::test]
async fn who_goes_in_the_middle_of_a_read_makes_room_for_those_who_wait() {
    let file = File::new(&[PERHAPS_LONG], 1).await;
    let reads = file.ask(0, LONG, None);
    let waits = file.ask(0, "{}", None);
    drop(reads);
    // As soon as SQLite is through with it.
    let answer = tokio::time::timeout(Duration::from_secs(60), waits).await.expect("its turn");
    assert_eq!(answer.expect("an answer").json.expect("JSON").as_str(), "1");
}

#[tokio::test]
async fn who_needs_a_reader_itself_gets_one_however_much_waits() {
    const MANY: usize = 1000;
    let file = File::new(&[PERHAPS_LONG], 1).await;
    let held = file.hold().await;
    let asked: Vec<Asked> =
        (0..MANY).map(|n| file.ask(0, format!(r#"{{"long":{}}}"#, 20_000 + n), None)).collect();
    drop(held);
    let mut asked = asked.into_iter();
    assert_eq!(json(asked.next().expect("the first")).await.as_deref(), Some("1"));
    drop(file.pool.acquire().await.expect("a reader"));
    let read = file.groups().iter().sum::<usize>();
    assert!(read < MANY, "it has waited for all");
}

#[tokio::test]
async fn what_is_asked_again_is_asked_by_all_readers_that_are_free() {
    let answer = "
        WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < (SELECT op ->> 'long' FROM asked))
        SELECT json_extract('{\"a\":1}', op ->> 'path') FROM asked WHERE (SELECT count(*) FROM c) > 0";
    let file = File::new(&[answer], 2).await;
    let held = file.hold().await;
    let [mut long, fails, waits] =
        [r#"{"path":"$.a","long":1000000}"#, r#"{"path":"no path"}"#, r#"{"path":"$.a"}"#]
            .map(|payload| file.ask(0, payload, None));
    drop(held);
    assert_eq!(waits.await.expect("an answer").json.expect("JSON").as_str(), "1");
    assert_pending!(long.poll(), "it has waited for the long one");
    assert!(fails.await.is_err());
    assert_eq!(file.groups(), [3, 1, 1, 1]);
}

#[tokio::test]
async fn none_is_woken_while_the_queue_is_locked() {
    struct Looks(Arc<Reads>, parking_lot::Mutex<Vec<bool>>);
    impl std::task::Wake for Looks {
        fn wake(self: Arc<Self>) {
            self.1.lock().push(self.0.queue.try_lock().is_some());
        }
    }
    let file = File::new(&[LOOK_UP], 1).await;
    let looks = Arc::new(Looks(Arc::clone(&file.reads), parking_lot::Mutex::default()));
    let waker = Arc::clone(&looks).into();
    let held = file.hold().await;
    let mut waits = Box::pin(Arc::clone(&file.reads).ask(File::question(0, of("a"), None)));
    assert!(waits.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    file.reads.place.close(true);
    drop(held);
    while looks.1.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(*looks.1.lock(), [true]);
}
