//! The same on PostgreSQL: beside a bare `INSERT` with its own commit, and by the number of writers.

use std::path::Path;

use criterion::Criterion;
use eitherway::postgres::PostgresOptions;
use eitherway::sql::SqlService;
use rosey::op::Op;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::runtime::Runtime;

use crate::kit::Postgres;
use crate::load::{self, Load};
use crate::{Group, ours, rows};

/// As many connections as sqlx gives a pool if nothing is said.
const POOL: u32 = 10;

/// One after the other, each over a new database of one server, whose commits are on the disk.
pub(crate) fn postgres(criterion: &mut Criterion, runtime: &Runtime, dir: &Path) {
    if std::env::var_os("POSTGRES_BIN").is_none() {
        eprintln!(
            "POSTGRES_BIN is not set: nothing is measured on PostgreSQL; `cargo xtask bench writer` sets it"
        );
        return;
    }
    let server = Postgres::start_in(dir, &["fsync=on", "full_page_writes=on", "deadlock_timeout=1s"]);
    let users = load::users();
    let loads =
        [("lines", "chat lines", Load::lines(&users)), ("moves", "joins and leaves", Load::presence(&users))];
    for (title, name, load) in loads {
        let database = runtime.block_on(server.empty());
        let pool = runtime.block_on(bare(&database));
        // Each with a connection of its own, as services on several machines.
        let options = PostgresOptions::new(&database).unwrap();
        let open = || SqlService::open_postgres(&options);
        let writers: Vec<SqlService<Op>> = (0..4).map(|_| runtime.block_on(open()).unwrap()).collect();
        for callers in [1, 256] {
            let plural = if callers == 1 { "" } else { "s" };
            let mut group =
                rows::group(criterion, &format!("postgres {title}, {callers} caller{plural}"), callers);
            bare_row(&mut group, runtime, &pool, callers);
            for count in [1, 2, 4].into_iter().filter(|count| *count <= callers) {
                let plural = if count == 1 { "" } else { "s" };
                let (writers, row) = (writers.clone(), format!("{name}, {count} writer{plural}"));
                rows::row(&mut group, runtime, &row, callers, move |caller, turn| {
                    ours::ask(writers[caller % count].clone(), load.request(caller, turn))
                });
            }
            group.finish();
        }
        for writer in writers {
            runtime.block_on(writer.close());
        }
        runtime.block_on(pool.close());
    }
}

async fn bare(url: &str) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(POOL).min_connections(POOL).connect(url).await.unwrap();
    let table = "CREATE TABLE bare (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint NOT NULL, username text NOT NULL, message text NOT NULL)";
    sqlx::query(table).execute(&pool).await.unwrap();
    pool
}

fn bare_row(group: &mut Group<'_>, runtime: &Runtime, pool: &PgPool, callers: usize) {
    let (pool, lines) = (pool.clone(), load::said());
    rows::row(group, runtime, "bare INSERT and commit, sqlx pool of 10", callers, move |caller, turn| {
        let pool = pool.clone();
        let (username, message) = &lines[(caller * 34 + turn) % lines.len()];
        async move {
            sqlx::query("INSERT INTO bare (at, username, message) VALUES ($1, $2, $3)")
                .bind(1_700_000_000_000_i64)
                .bind(username)
                .bind(message)
                .execute(&pool)
                .await
                .unwrap();
        }
    });
}
