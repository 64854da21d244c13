//! Queries by one caller and by 256, beside a pool of sqlx that asks the same statements one by one.
//!
//! `cargo xtask bench reads` runs it. A file of 10⁵ lines by 10⁴ users. *Read* is an answer as a typed client has it;
//! *forwarded*, as a service passes it on.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/callers.rs"]
mod callers;
#[allow(dead_code, reason = "the bench `growth` counts operations")]
#[path = "growth/fill.rs"]
mod fill;
#[allow(dead_code, reason = "it has more kinds of operations for the bench `writer`")]
#[path = "writer/load.rs"]
mod load;
#[path = "writer/ours.rs"]
mod ours;
#[path = "support/rows.rs"]
mod rows;

use std::time::Duration;

use eitherway::Received;
use eitherway::operation::{Definition, Operation};
use eitherway::sql::Synchronous;
use rosey::op::{GetChannelStats, GetUserStats, Op, OpenSessions, RecentChat};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row};
use tokio::runtime::Runtime;

use fill::{Size, fill};
use load::Load;

const SIZE: Size = Size { lines: 100_000, users: 10_000 };
/// The most bytes of a list.
const MOST: usize = 1_000_000;

/// Requests of a kind, and its statement.
struct Query {
    name: &'static str,
    load: Load,
    answer: &'static str,
}

fn queries() -> Vec<Query> {
    let stats = |user: usize| GetUserStats { username: load::name(user) }.into();
    let query = |name, answer, ops: Vec<Op>| Query { name, load: Load::new(ops), answer };
    vec![
        query("recent_chat 10", RecentChat::ANSWER, vec![RecentChat { limit: 10 }.into()]),
        query("recent_chat 50", RecentChat::ANSWER, vec![RecentChat { limit: 50 }.into()]),
        query("user_stats", GetUserStats::ANSWER, (0..SIZE.users).map(stats).collect()),
        query("user_stats of one user", GetUserStats::ANSWER, vec![stats(7)]),
        query("open_sessions", OpenSessions::ANSWER, vec![OpenSessions {}.into()]),
        query("channel_stats", GetChannelStats::ANSWER, vec![GetChannelStats {}.into()]),
    ]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = ours::file(dir.path(), "reads");
    let open = || ours::service(&runtime, &file, Synchronous::Normal);
    runtime.block_on(open().close());
    fill(&file, SIZE);
    let service = open();
    let options = SqliteConnectOptions::new().filename(&file).read_only(true).row_buffer_size(4);
    let pool = SqlitePoolOptions::new().max_connections(4).test_before_acquire(false);
    let pool = runtime.block_on(pool.connect_with(options)).unwrap();
    let mut criterion = rows::criterion(Duration::from_secs(5));
    for callers in [1, 256] {
        for Query { name, load, answer } in queries() {
            let plural = if callers == 1 { "" } else { "s" };
            let mut group =
                rows::group(&mut criterion, &format!("{name}, {callers} caller{plural}"), callers);
            bare(&mut group, &runtime, &pool, callers, load, answer);
            let asked = service.clone();
            rows::row(&mut group, &runtime, "read", callers, move |caller, turn| {
                ours::ask(asked.clone(), load.request(caller, turn))
            });
            let asked = service.clone();
            rows::row(&mut group, &runtime, "forwarded", callers, move |caller, turn| {
                let request = load.request(caller, turn);
                let at = request.head.occurred_at;
                ours::ask(asked.clone(), request.with_received(Received::new(at, MOST)))
            });
            group.finish();
        }
    }
    runtime.block_on(service.close());
    criterion.final_summary();
}

/// The statement with one question, through a pool of four connections; the answer is read.
fn bare(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    runtime: &Runtime,
    pool: &SqlitePool,
    callers: usize,
    load: Load,
    answer: &str,
) {
    let sql: &'static str = Box::leak(
        format!(
            "WITH asked (id, at, op) AS (SELECT NULL, NULL, $1), host (now, answer_bytes) AS (SELECT 0, {MOST}) SELECT * FROM ({answer})"
        )
        .into(),
    );
    let pool = pool.clone();
    rows::row(group, runtime, "sqlx, one by one", callers, move |caller, turn| {
        let (pool, request) = (pool.clone(), load.request(caller, turn));
        async move {
            let payload = String::from_utf8(request.op.encode().unwrap()).unwrap();
            let row = sqlx::query(AssertSqlSafe(sql)).bind(payload).fetch_one(&pool).await.unwrap();
            let json: String = row.get(0);
            Op::decode_answer(request.op.index(), json.as_bytes()).unwrap();
        }
    });
}
