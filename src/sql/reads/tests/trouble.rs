//! Readers that hang, that cannot be opened, or that meet a fault; and how long a question waits for one.

use super::*;

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
async fn what_has_waited_as_long_as_for_a_connection_is_told_so() {
    let file = File::with(&[PERHAPS_LONG], 1, Duration::from_millis(200)).await;
    let reads = file.ask(0, r#"{"long":3000000}"#, None);
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
