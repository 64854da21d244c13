//! What waits for a reader, while the test has all of them.

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
async fn a_question_waits_for_a_reader_no_longer_than_its_deadline() {
    let file = File::new(&[LOOK_UP], 1).await;
    let held = file.hold().await;
    let soon = Some(Deadline::after(Duration::from_millis(30)));
    let [late, unasked, waits] = [soon, soon, None].map(|deadline| file.ask(0, of("a"), deadline));
    assert_eq!(
        tokio::time::timeout(SOON, late).await.expect("in time").expect_err("late").code(),
        Code::EXPIRED
    );
    drop(held);
    assert_eq!(json(waits).await.as_deref(), Some("1"));
    let mut unasked = unasked;
    assert_eq!(assert_ready!(unasked.poll()).expect_err("late, too").code(), Code::EXPIRED);
}

#[tokio::test]
async fn a_reader_that_is_stuck_keeps_no_one_waiting() {
    let file = File::new(&[PERHAPS_LONG, LOOK_UP], 2).await;
    file.idle().await;
    let stuck = file.ask(0, ENDLESS, None);
    for n in 0..20 {
        let (same, other) = tokio::join!(file.json(0, format!(r#"{{"n":{n}}}"#)), file.json(1, of("a")));
        assert_eq!((same.as_deref(), other.as_deref()), (Some("1"), Some("1")));
    }
    drop(stuck);
}

#[tokio::test]
async fn those_who_wait_are_told_when_the_file_is_closed() {
    let file = File::new(&[LOOK_UP], 1).await;
    let held = file.hold().await;
    let waits = file.ask(0, of("a"), None);
    let pool = file.pool.clone();
    let closing = tokio::spawn(async move { pool.close().await });
    let told = tokio::time::timeout(SOON, waits).await.expect("at once");
    assert_eq!(told.expect_err("it is closed").code(), Code::DATABASE);
    drop(held);
    closing.await.expect("closed");
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
async fn what_has_waited_as_long_as_for_a_connection_is_told_so() {
    let file = File::with(&[PERHAPS_LONG], 1, Duration::from_millis(300)).await;
    let reads = file.ask(0, r#"{"long":6000000}"#, None);
    let waits = file.ask(0, "{}", None);
    let (read, late) = tokio::join!(reads, waits);
    assert_eq!(read.expect("an answer").json.expect("JSON").as_str(), "1");
    let late = late.expect_err("it has waited for too long");
    assert!(late.to_string().contains(&sqlx::Error::PoolTimedOut.to_string()), "{late}");
    assert_eq!(file.json(0, "{}").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_reader_is_at_work_for_who_has_gone_until_sqlite_is_through() {
    let file = File::new(&[PERHAPS_LONG], 3).await;
    file.idle().await;
    for _ in 0..2 {
        drop(file.ask(0, LONG, None));
    }
    let is_free = async || {
        tokio::task::yield_now().await;
        file.reads.queue.lock().is_free(0)
    };
    for _ in 0..10 {
        assert!(!is_free().await, "the third reader is for others");
    }
    while !is_free().await {}
}

#[tokio::test]
async fn a_reader_that_never_answers_who_has_gone_is_replaced() {
    let file = File::new(&[PERHAPS_LONG], 1).await;
    drop(file.ask(0, ENDLESS, None));
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert_eq!(file.json(0, "{}").await.as_deref(), Some("1"));
}

#[test]
fn a_group_that_meets_a_damaged_page_is_asked_one_by_one_and_one_that_meets_a_lock_is_not() {
    for (code, of_one) in [
        // ERROR, NOMEM, IOERR and one of its kinds, CORRUPT, TOOBIG, NOTADB
        ([1, 7, 10, 266, 11, 18, 26].as_slice(), true),
        // BUSY and one of its kinds, LOCKED, READONLY, FULL, CANTOPEN, PROTOCOL
        ([5, 517, 6, 8, 13, 14, 15].as_slice(), false),
    ]
    .into_iter()
    .flat_map(|(codes, of_one)| codes.iter().map(move |code| (*code, of_one)))
    {
        assert_eq!(is_of_one(&sqlx::Error::Database(Box::new(Said(code)))), of_one, "{code}");
    }
    assert!(is_of_one(&sqlx::Error::WorkerCrashed));
}

/// What SQLite says, as a code.
#[derive(Debug)]
struct Said(i32);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Said {}

impl sqlx::error::DatabaseError for Said {
    fn message(&self) -> &str {
        "an error"
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.0.to_string().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_fails_one_question_and_not_what_others_can_read() {
    let file = File::new(&[PERHAPS_LONG], 2).await;
    let nowhere = SqliteConnectOptions::new().filename(file.dir.path().join("no folder").join("shop.db"));
    file.pool.set_connect_options(nowhere);
    let reads = file.ask(0, LONG, None);
    let waits: Vec<Asked> = (0..1000).map(|n| file.ask(0, format!(r#"{{"n":{n}}}"#), None)).collect();
    let (read, answers) = tokio::join!(reads, futures_util::future::join_all(waits));
    assert!(read.is_ok());
    let (read, failed): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!read.is_empty() && !failed.is_empty(), "{} and {}", read.len(), failed.len());
    assert!(failed.into_iter().all(|failed| failed.is_err_and(|cause| cause.code() == Code::STORAGE)));
}

#[tokio::test]
async fn a_file_that_is_gone_is_the_reason_that_no_connection_can_be_opened() {
    let file = File::new(&[LOOK_UP], 1).await;
    drop(file.pool.acquire().await.expect("a reader").detach());
    std::fs::remove_file(file.dir.path().join("shop.db")).expect("the file");
    let gone = file.reads.place.check().expect_err("it is gone").to_string();
    let told = tokio::time::timeout(SOON, file.ask(0, of("a"), None)).await.expect("at once");
    assert_eq!(told.expect_err("no file").to_string(), gone);
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

mod queue {
    use super::super::queue::*;
    use super::*;

    fn ask(queue: &mut Queue, index: usize, payload: &str) -> oneshot::Receiver<Result<Answered, Cause>> {
        let (tx, rx) = oneshot::channel();
        let (payload, id) = (payload.to_owned(), String::new());
        let question = Question { index, payload, id, occurred_at: 0, now: 0, most: 1000, deadline: None };
        queue.push(question, Asker { tx, deadline: None }, true);
        rx
    }

    #[test]
    fn operations_have_turns_however_much_waits_of_one() {
        let mut queue = Queue::new(3, 4);
        let mut asked: Vec<_> = (0..100).map(|n| ask(&mut queue, 0, &n.to_string())).collect();
        asked.extend([ask(&mut queue, 2, "a"), ask(&mut queue, 1, "a")]);
        let mut turns = Vec::new();
        while let Some((index, group)) = queue.take(|_| true) {
            turns.push((index, group.len()));
            queue.done(index);
        }
        assert_eq!(&turns[..4], [(0, 16), (2, 1), (1, 1), (0, 16)]);
        assert_eq!(turns.iter().map(|(_, count)| count).sum::<usize>(), 102);
    }

    #[test]
    fn not_all_readers_are_at_one_operation() {
        for (readers, at_work) in [(1, 1), (2, 2), (3, 2), (4, 3), (8, 6)] {
            let mut queue = Queue::new(2, readers);
            for n in 0..readers {
                assert_eq!(queue.is_free(0), n < at_work, "{readers}");
                if queue.is_free(0) {
                    queue.begin(0);
                }
            }
            let _waits = ask(&mut queue, 0, "a");
            assert!(queue.take(|_| true).is_none() && !queue.start());
            queue.done(0);
            assert!(queue.take(|_| true).is_some());
        }
    }

    #[test]
    fn a_group_has_bounds_of_bytes_and_of_the_time_that_the_last_one_took() {
        let mut queue = Queue::new(1, 1);
        let sizes = |queue: &mut Queue, took: Duration, length: usize| {
            let asked: Vec<_> = (0..600).map(|n| ask(queue, 0, &format!("{n:>length$}"))).collect();
            let mut sizes = Vec::new();
            while let Some((index, group)) = queue.take(|_| true) {
                sizes.push(group.len());
                queue.took(index, group.len(), took, true);
                queue.done(index);
            }
            drop(asked);
            sizes
        };
        assert_eq!(sizes(&mut queue, Duration::from_millis(1), 5), [16, 32, 64, 128, 256, 104]);
        assert!(sizes(&mut queue, Duration::from_millis(10), 10_000).iter().all(|count| *count <= 104));
        assert_eq!(sizes(&mut queue, Duration::from_millis(20), 5)[..4], [256, 128, 64, 32]);
        // One that is slow makes all wait who are with it.
        queue = Queue::new(1, 1);
        sizes(&mut queue, Duration::from_secs(1), 5);
        assert_eq!(sizes(&mut queue, Duration::from_millis(1), 5)[..257], [1; 257]);
        // Not for ever, if as many alone take no longer than a group may.
        queue = Queue::new(1, 1);
        sizes(&mut queue, Duration::from_secs(1), 5);
        let sizes = sizes(&mut queue, Duration::from_millis(5), 5);
        assert!(sizes[..257].iter().all(|size| *size == 1) && sizes[257..259] == [2, 2], "{sizes:?}");
    }

    #[test]
    fn who_has_gone_takes_no_room() {
        let mut queue = Queue::new(1, 1);
        for n in 0..100_000 {
            drop(ask(&mut queue, 0, &n.to_string()));
        }
        let _last = ask(&mut queue, 0, "last");
        assert!(queue.waiting() < 2048, "{}", queue.waiting());
        assert_eq!(queue.take(|_| true).map(|(_, group)| group.len()), Some(1));
    }
}
