//! A database file with two writers, in memory where the machine has a folder for that.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eitherway::Db;
use eitherway::sql::{SqlService, SqliteOptions, Verdict, verify};
use rosey::op::{Op, RoseyClient, SearchChat};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::base::{APPLIED_BEFORE, Base, LAST_APPLIED};
use super::dump::{self, Dump};

/// One file.
pub(crate) struct Files {
    pub(crate) writers: [SqlService<Op>; 2],
    /// A connection past the service.
    pub(crate) raw: Mutex<SqliteConnection>,
    pub(crate) options: SqliteOptions,
    pub(crate) hedged: bool,
    /// How many cases there were. Both writers fold beside every other one; in the rest all waits to the end.
    cases: AtomicUsize,
    clear: String,
    _folder: TempDir,
}

impl Files {
    pub(crate) async fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory).ok() } else { None };
        let folder = folder.unwrap_or_else(|| tempfile::tempdir().unwrap());
        let [path, empty] = ["rosey.db", "empty.db"].map(|name| folder.path().join(name));
        open(&options(&empty)).await.close().await;
        let options = options(&path);
        let writers = [open(&options).await, open(&options).await];
        let mut raw = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        sqlx::query("ATTACH $1 AS empty").bind(empty.to_str()).execute(&mut raw).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM empty.sqlite_master WHERE type = 'table' AND name NOT LIKE '%sql%' AND name <> 'meta'
             -- Some are changed by the triggers of others.
             ORDER BY name IN ('outbound_messages', 'user_stats', 'channel_stats', 'current_status', 'top_chatters'),
                      name IN ('channel_stats', 'current_status', 'top_chatters'), name = 'channel_stats'",
        )
        .fetch_all(&mut raw)
        .await
        .unwrap();
        // To the writers it stays the file that they know: one whose ledger has forgotten everything, and that counts its dead
        // letters on.
        let mut clear = "BEGIN IMMEDIATE; DELETE FROM main.sqlite_sequence WHERE name <> 'dead_letters';\
             DELETE FROM main.meta WHERE key LIKE 'swept.%';\
             INSERT INTO main.meta VALUES ('swept.ledger', '9223372036854775807');"
            .to_owned();
        for table in tables {
            clear.push_str(&format!(
                "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM empty.{table};"
            ));
        }
        clear.push_str("COMMIT");
        Self {
            writers,
            raw: Mutex::new(raw),
            options,
            hedged: false,
            cases: AtomicUsize::new(0),
            clear,
            _folder: folder,
        }
    }
}

impl Base for Files {
    fn writers(&self) -> &[SqlService<Op>] {
        &self.writers
    }

    fn hedged(&self) -> bool {
        self.hedged
    }

    async fn clear(&self) {
        let mut raw = self.raw.lock().await;
        sqlx::raw_sql(AssertSqlSafe(self.clear.as_str())).execute(&mut *raw).await.unwrap();
    }

    async fn verdict(&self) -> Verdict {
        verify::<Op>(&self.options, |_| {}).await.unwrap()
    }

    async fn dump(&self) -> Dump {
        dump::of(&self.writers[0]).await
    }

    async fn beside<T>(&self, this: impl Future<Output = T>) -> T {
        super::base::beside_folds(&self.cases, [&self.writers[0], &self.writers[1]], this).await
    }

    async fn fold(&self) -> bool {
        let waits = waits(&self.writers[0]).await;
        if waits {
            self.writers[1].fold().await.unwrap();
            assert!(!self::waits(&self.writers[0]).await, "something waits behind a fold");
        }
        waits
    }

    /// Lines are gathered, and not counted. In every fourth case: it changes the schema.
    async fn fold_half(&self) -> bool {
        if self.cases.load(Ordering::Relaxed) % 4 != 1 || !waits(&self.writers[0]).await {
            return false;
        }
        let mut raw = self.raw.lock().await;
        let stop =
            "CREATE TRIGGER main.stop BEFORE DELETE ON speakers BEGIN SELECT raise(ABORT, 'stopped'); END";
        sqlx::raw_sql(stop).execute(&mut *raw).await.unwrap();
        let stopped = self.writers[1].fold().await.unwrap_err();
        assert!(stopped.to_string().contains("stopped"), "{stopped}");
        sqlx::raw_sql("DROP TRIGGER main.stop").execute(&mut *raw).await.unwrap();
        true
    }

    async fn answers(&self) -> Result<(), String> {
        answers(&self.writers[0]).await
    }

    async fn last_applied(&self) -> Result<i64, String> {
        let last = sqlx::query_scalar(LAST_APPLIED).fetch_one(self.writers[0].readers().unwrap());
        last.await.map_err(|e| e.to_string())
    }

    async fn applied_before(&self, until: i64) -> Result<Vec<String>, String> {
        let ids =
            sqlx::query_scalar(APPLIED_BEFORE).bind(until).fetch_all(self.writers[0].readers().unwrap());
        ids.await.map_err(|e| e.to_string())
    }
}

fn options(path: &Path) -> SqliteOptions {
    SqliteOptions::new(path.to_str().unwrap())
        .unwrap()
        .readers(1)
        .retention(None) // removing is part of the cases
        .folding(None) // so is folding
        .past_tolerance(Duration::MAX) // their clock begins at 1
        // Waiting for the other writer is no failure here.
        .busy_timeout(Duration::from_secs(30))
}

async fn open(options: &SqliteOptions) -> SqlService<Op> {
    SqlService::open(options).await.unwrap()
}

async fn waits(service: &SqlService<Op>) -> bool {
    let waits = "SELECT EXISTS (SELECT 1 FROM lines_waiting) OR EXISTS (SELECT 1 FROM speakers)";
    sqlx::query_scalar(waits).fetch_one(service.readers().unwrap()).await.unwrap()
}

/// Whether what is looked up is what is found by reading all of it.
async fn answers(service: &SqlService<Op>) -> Result<(), String> {
    let readers = service.readers().unwrap();
    let db = Db::new(service.clone());
    let ten = "SELECT substr(named, 16), total_chat_lines FROM user_stats_now WHERE total_chat_lines > 0
               AND lower(username) NOT IN ('server', '[server]') ORDER BY total_chat_lines DESC, username LIMIT 10";
    let ten: Vec<(String, i64)> = sqlx::query_as(ten).fetch_all(readers).await.unwrap();
    let seen = "SELECT count(*) FROM user_stats_now WHERE lower(username) NOT IN ('server', '[server]')";
    let seen: i64 = sqlx::query_scalar(seen).fetch_one(readers).await.unwrap();
    let channel = db.channel_stats().await.unwrap();
    let chatters = channel.top_chatters.into_iter().map(|c| (c.username, c.chat_lines)).collect::<Vec<_>>();
    if (&chatters, channel.total_users_seen) != (&ten, seen) {
        return Err(format!(
            "channel_stats: {chatters:?}, {}, not {ten:?}, {seen}",
            channel.total_users_seen
        ));
    }
    let users = "SELECT username, first_seen, last_seen, total_chat_lines, total_time_connected, current_session_start,
                        last_line, substr(named, 16), upper(username)
                 FROM user_stats_now";
    for row in sqlx::query(users).fetch_all(readers).await.unwrap() {
        // However it is written.
        let user = db.user_stats(row.get::<String, _>(8)).await.unwrap().unwrap();
        let told = [
            user.first_seen,
            user.last_seen,
            user.total_chat_lines,
            user.total_time_connected,
            user.current_session_start,
        ];
        let found: [Option<i64>; 5] = std::array::from_fn(|n| row.get(n + 1));
        let seen = db.seen(row.get::<String, _>(0)).await.unwrap().unwrap();
        let again = [seen.first_seen, seen.last_seen, seen.here_since];
        if seen.username != row.get::<String, _>(7)
            || seen.username != user.username
            || again != [user.first_seen, user.last_seen, user.current_session_start]
            || seen.last_line != row.get(6)
        {
            return Err(format!("{seen:?} is not {user:?}"));
        }
        if told != found {
            return Err(format!("user_stats of {}: {told:?}, not {found:?}", user.username));
        }
    }
    let most = "SELECT substr(named, 16), lines FROM (
                    SELECT coalesce(person, username) AS username, count(*) AS lines
                    FROM recent_chat WHERE at >= 1700000002000 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 2)
                JOIN user_stats_now USING (username) ORDER BY lines DESC, username";
    let most: Vec<(String, i64)> = sqlx::query_as(most).fetch_all(readers).await.unwrap();
    let board = db.leaderboard(1_700_000_002, 2).await.unwrap();
    let board: Vec<_> = board.into_iter().map(|c| (c.username, c.chat_lines)).collect();
    if board != most {
        return Err(format!("leaderboard: {board:?}, not {most:?}"));
    }
    let lines = "SELECT message FROM recent_chat WHERE coalesce(person, username) = 'ann' AND message LIKE '%h%' ORDER BY at DESC, op_id DESC LIMIT 3";
    let mut lines: Vec<String> = sqlx::query_scalar(lines).fetch_all(readers).await.unwrap();
    lines.reverse();
    let search = SearchChat {
        username: Some("ANN".to_owned()),
        containing: Some("h".to_owned()),
        limit: 3,
        ..SearchChat::default()
    };
    let found: Vec<_> = db.chat(search).await.unwrap().into_iter().map(|line| line.message).collect();
    if found != lines {
        return Err(format!("chat: {found:?}, not {lines:?}"));
    }
    let waits = "SELECT id FROM outbound_messages WHERE sent = 0 AND sender = 'ann' ORDER BY at, id";
    let waits: Vec<i64> = sqlx::query_scalar(waits).fetch_all(readers).await.unwrap();
    let told: Vec<i64> = db.tells_of("Ann").await.unwrap().into_iter().map(|tell| tell.id).collect();
    if told != waits.iter().copied().take(50).collect::<Vec<_>>() {
        return Err(format!("tells: {told:?}, not {waits:?}"));
    }
    Ok(())
}
