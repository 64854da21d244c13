//! Many writers sell the last pieces of a thing: as often as there are any, whatever happens to the server.

use eitherway::sql::SqlService;
use eitherway::{Class, Classify, Code, Db, Request};
use futures_util::future::join_all;

use super::shop::{Buy, Count, Fixture, Shop, ShopClient, called};
use super::stores::on_each_store;

on_each_store! { the_last_pieces_are_sold_once_each_by_four_writers_at_once }

const WRITERS: usize = 4;

fn buy(item: &str) -> Request<Shop> {
    Request::new(Buy { item: item.into() })
}

async fn writers(f: &Fixture) -> Vec<Db<SqlService<Shop>>> {
    join_all((0..WRITERS).map(|_| async { Db::new(f.place.open().await.unwrap()) })).await
}

async fn the_last_pieces_are_sold_once_each_by_four_writers_at_once(f: Fixture) {
    let writers = writers(&f).await;
    for round in 0..10 {
        let item = format!("item {round}");
        f.db.stock(&item, 7).await.unwrap();
        let orders: Vec<_> = (0..24).map(|_| buy(&item)).collect();
        // Each by two writers at the same time, beside operations by statements.
        let sent = (0..WRITERS * 12).map(|n| {
            let (order, writer) = (&orders[n % 24], &writers[(n + n / 24) % WRITERS]);
            async move { (order, until_told(writer, order).await) }
        });
        let counted = join_all((0..8).map(|n| {
            let request = Request::<Shop>::new(Count { name: "x".into() });
            let writer = &writers[n % WRITERS];
            async move { until_told(writer, &request).await }
        }));
        let (sold, counted) = tokio::join!(join_all(sent), counted);
        assert!(counted.iter().all(Result::is_ok));
        let mut left: Vec<String> = sold[..24].iter().filter_map(|(_, told)| told.clone().ok()).collect();
        left.sort_unstable();
        assert_eq!(left, ["Buy(0)", "Buy(1)", "Buy(2)", "Buy(3)", "Buy(4)", "Buy(5)", "Buy(6)"]);
        for n in 0..24 {
            assert_eq!(sold[n].1, sold[n + 24].1, "the same by both writers");
            assert!(called(&orders[n]) >= 1);
        }
        assert_eq!(f.number("SELECT sum(count) FROM shelf").await, 0);
    }
    assert_eq!(f.number("SELECT count(*) FROM sales").await, 70);
    assert_eq!(f.number("SELECT n FROM counters WHERE name = 'ids'").await, 80);
    assert_eq!(f.number("SELECT count(*) FROM ledger WHERE operation = 'buy'").await, 240);
}

/// Sends it until a reply says what became of it, and tells that.
async fn until_told(db: &Db<SqlService<Shop>>, request: &Request<Shop>) -> Result<String, String> {
    loop {
        match db.send(request.clone()).await {
            Ok(reply) => return Ok(format!("{:?}", reply.answer)),
            Err(e) if e.class() == Class::Rejected => {
                assert!(e.cause().refusal().is_some(), "{e}");
                return Err(e.to_string());
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    }
}

#[cfg(feature = "postgres")]
mod on_a_server {
    use std::time::Duration;

    use super::super::shop::Touch;
    use super::super::stores::Location;
    use super::*;
    use crate::support::{Postgres, wait_until};

    #[tokio::test]
    async fn functions_that_lock_each_other_out_are_applied_one_after_the_other() {
        let f = Fixture::on_postgres().await;
        let writers = writers(&f).await;
        for item in ["a", "b"] {
            f.db.stock(item, 0).await.unwrap();
        }
        let touched = (0..WRITERS).map(|n| {
            let items = if n % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
            let touch = Touch { items: items.map(str::to_owned).to_vec(), waits: 50 };
            let writer = &writers[n];
            async move { writer.call(touch).await.map(drop) }
        });
        for touched in join_all(touched).await {
            touched.unwrap();
        }
        assert_eq!(f.number("SELECT sum(count) FROM shelf").await, 8);
        drop(writers);
        f.db.stack().close().await;
        // A connection has counted its own when it is gone.
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        wait_until("there was a deadlock", || async { f.number(deadlocks).await > 0 }).await;
    }

    #[tokio::test]
    async fn a_call_that_waits_for_a_lock_fails_as_busy_and_is_applied_later() {
        let f = Fixture::on_postgres().await;
        f.db.stock("tea", 1).await.unwrap();
        let Location::Server(url) = &f.place else { unreachable!("it is a server") };
        let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.unwrap();
        sqlx::raw_sql("BEGIN; LOCK TABLE rosey.shelf").execute(&mut other).await.unwrap();
        let order = buy("tea");
        let busy = f.db.send(order.clone()).await.unwrap_err();
        assert_eq!((busy.class(), busy.cause().code()), (Class::Backend, Code::BUSY), "{busy}");
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        assert_eq!(f.said(&order).await.unwrap(), "Buy(0)");
        assert_eq!(f.number("SELECT count(*) FROM sales").await, 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_killed_in_the_middle_sells_no_piece_twice_and_none_too_few() {
        let mut server = Postgres::start(&[]);
        let f = Fixture { place: Location::Server(server.empty().await), ..Fixture::on_postgres().await };
        let writers = writers(&f).await;
        let stock =
            Request::<Shop>::new(super::super::shop::Stock { item: Some("tea".into()), count: 300.into() });
        until_told(&writers[0], &stock).await.unwrap();
        let sold = std::sync::atomic::AtomicU32::new(0);
        let callers = join_all((0..WRITERS * 2).map(|n| {
            let (writers, sold) = (&writers, &sold);
            async move {
                // As many as there are, and some more.
                for _ in 0..50 {
                    let order = buy("tea");
                    let told = until_told(&writers[n % WRITERS], &order).await;
                    sold.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    assert_eq!(
                        until_told(&writers[(n + 1) % WRITERS], &order).await,
                        told,
                        "told the same again"
                    );
                }
            }
        }));
        let killed = async {
            for (signal, after) in [("-KILL", 40), ("-QUIT", 120), ("-KILL", 250)] {
                let so_many = || async { sold.load(std::sync::atomic::Ordering::Relaxed) >= after };
                wait_until("orders are told", so_many).await;
                server.stop(signal);
                tokio::time::sleep(Duration::from_millis(100)).await;
                server.run();
            }
        };
        tokio::join!(callers, killed);
        assert_eq!(f.number("SELECT count FROM shelf").await, 0);
        assert_eq!(f.number("SELECT count(*) FROM sales").await, 300);
        assert_eq!(f.number("SELECT count(*) FROM ledger WHERE operation = 'buy'").await, 400);
        for db in writers {
            db.stack().close().await;
        }
    }
}
