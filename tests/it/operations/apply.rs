#![allow(clippy::print_stdout)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eitherway::operation::Refusal;
use eitherway::{Cause, Code, Db, Request};
use eitherway_layers::{Class, Classify};

use super::shop::{Buy, Count, Fixture, Misbehave, Shop, ShopClient, Which, called, misbehave};
use super::stores::on_each_store;

on_each_store! {
    a_function_is_called_once_a_request_and_its_word_is_given_again,
    many_at_once_are_applied_one_after_the_other_beside_statements,
    a_function_can_neither_end_the_transaction_nor_write_to_the_ledger,
    a_function_that_panics_or_fails_does_so_alone,
    a_function_that_never_ends_is_given_up_alone,
    a_function_whose_table_was_changed_by_hand_fails_by_itself_and_is_applied_once_the_table_is_back,
    a_function_reads_what_it_has_written_and_knows_which_database_it_is,
    many_slow_functions_hold_what_they_lock_no_longer_than_their_bound_and_are_applied_once,
}

fn buy(item: &str) -> Request<Shop> {
    Request::new(Buy { item: item.into() })
}

async fn a_function_is_called_once_a_request_and_its_word_is_given_again(f: Fixture) {
    f.db.stock("tea", 2).await.unwrap();
    let request = buy("tea");
    for _ in 0..3 {
        assert_eq!(f.said(&request).await.unwrap(), "Buy(1)");
    }
    let again = futures_util::future::join_all((0..20).map(|_| f.db.send(request.clone()))).await;
    assert!(again.into_iter().all(|reply| format!("{:?}", reply.unwrap().answer) == "Buy(1)"));
    assert_eq!(called(&request), 1);
    assert_eq!(f.db.buy("tea").await.unwrap(), 0);

    // a refusal of its own is kept as well, and undoes what was done
    let request = buy("tea");
    for _ in 0..2 {
        let error = f.db.send(request.clone()).await.unwrap_err();
        let refused = Refusal::new("out_of_stock", "there is no tea left");
        assert_eq!((error.class(), error.cause()), (Class::Rejected, &Cause::Refused(Box::new(refused))));
        assert_eq!(error.to_string(), "there is no tea left (out_of_stock)");
        f.db.stock("tea", 1).await.unwrap();
    }
    assert_eq!(f.number("SELECT count(*) FROM sales").await, 2);
    assert_eq!(f.number("SELECT count FROM shelf").await, 2);
    assert_eq!(called(&request), 1);
}

async fn many_at_once_are_applied_one_after_the_other_beside_statements(f: Fixture) {
    f.db.stock("milk", 30).await.unwrap();
    let bought = futures_util::future::join_all((0..50).map(|_| f.db.buy("milk")));
    let counted = futures_util::future::join_all((0..50).map(|_| f.db.call(Count { name: "x".into() })));
    let (bought, counted) = tokio::join!(bought, counted);
    assert_eq!(bought.iter().filter(|result| result.is_ok()).count(), 30);
    assert!(counted.iter().all(Result::is_ok));
    assert_eq!(f.number("SELECT count FROM shelf WHERE item = 'milk'").await, 0);
    assert_eq!(f.number("SELECT count(*) FROM sales").await, 30);
    assert_eq!(f.number("SELECT n FROM counters WHERE name = 'ids'").await, 50);
}

async fn a_function_can_neither_end_the_transaction_nor_write_to_the_ledger(f: Fixture) {
    let kept = f.db.send(Request::<Shop>::new(Count { name: "x".into() })).await.unwrap();
    assert_eq!(format!("{:?}", kept.answer), "Count(Done)");
    let before = f.counters().await;
    let ends = "is not SELECT, INSERT, UPDATE or DELETE";
    let both = [
        (&["COMMIT"][..], false, ends),
        (&["COMMIT"], true, ends),
        (&["END", "UPDATE counters SET n = n + 1000"], false, ends),
        (&["ROLLBACK"], false, ends),
        (&["ROLLBACK", "UPDATE counters SET n = n + 1000"], false, ends),
        (&["ROLLBACK", "BEGIN", "SAVEPOINT operation", "UPDATE counters SET n = n + 1000"], false, ends),
        (&["COMMIT", "BEGIN", "SAVEPOINT operation"], false, ends),
        (&["RELEASE operation"], false, ends),
        (&["RELEASE operation", "SAVEPOINT operation", "COMMIT"], false, ends),
        (&["ROLLBACK TO operation", "UPDATE counters SET n = n + 1000"], false, ends),
        (&["BEGIN"], true, ends),
        (&["SELEKT"], true, ends),
    ];
    let ours = "no operation writes to it";
    let on_sqlite = [
        (&["DELETE FROM ledger"][..], true, ours),
        (&["UPDATE \"ledger\" SET hash = 0"], true, ours),
        (&["REPLACE INTO main.ledger SELECT * FROM ledger"], true, ours),
        (
            &[
                "INSERT INTO ledger SELECT 'x', operation, hash, occurred_at, applied_at, batch, NULL FROM ledger",
            ],
            true,
            ours,
        ),
        (&["SELECT * FROM nowhere"], true, "no such table"),
    ];
    let ours = "changes the table ledger, which is the framework's";
    let on_postgres = [
        (&["DELETE FROM ledger"][..], true, ours),
        (&["UPDATE \"ledger\" SET hash = 0"], true, ours),
        (
            &["INSERT INTO ledger SELECT 'x', operation, hash, occurred_at, applied_at, NULL FROM ledger"],
            true,
            ours,
        ),
        // Also what it has ignored.
        (&["DELETE FROM ledger"], false, ours),
        (&["INSERT INTO shelf VALUES ('tea', -1)"], false, "shelf_count_check"),
        (&["INSERT INTO shelf VALUES ('tea', -1)", "SELECT 1"], true, "shelf_count_check"),
        (&["SELECT * FROM nowhere"], true, "does not exist"),
        (&["SELECT * FROM nowhere"], false, "does not exist"),
    ];
    let own = if f.place.is_file() { &on_sqlite[..] } else { &on_postgres };
    for (sql, fails, said) in both.iter().chain(own).copied() {
        let request = Request::<Shop>::new(Misbehave { fails, ..misbehave(sql) });
        let neighbour = || f.db.stock("tea", 1);
        let (one, misbehaved, two) = tokio::join!(neighbour(), f.db.send(request.clone()), neighbour());
        let error = misbehaved.map(|reply| format!("{:?}", reply.answer)).expect_err(&format!("{sql:?}"));
        assert_eq!(
            (error.class(), error.cause().code()),
            (Class::Rejected, Code::REFUSED),
            "{sql:?}: {error}"
        );
        assert!(error.to_string().contains(said), "{sql:?}: {error}");
        assert_eq!((one.is_ok(), two.is_ok()), (true, true), "{sql:?}: the neighbours are applied");
        assert_eq!(f.counters().await, before, "{sql:?}");
        let rows = f.number("SELECT count(*) FROM ledger WHERE operation = 'misbehave'").await;
        assert_eq!(rows, 0, "{sql:?}: what failed leaves nothing");
    }
    if f.place.is_file() {
        // what it has ignored has not happened
        f.db.call(misbehave(&["DELETE FROM ledger"])).await.unwrap();
    }
    assert_eq!(f.number("SELECT count(*) FROM ledger WHERE operation = 'count'").await, 1);
}

async fn a_function_that_panics_or_fails_does_so_alone(f: Fixture) {
    let before = f.counters().await;
    let panics = Misbehave { panics: true, ..misbehave(&[]) };
    let fails = Misbehave { fails: true, ..misbehave(&["INSERT INTO shelf VALUES ('tea', -1)"]) };
    let (panicked, stocked, failed) = tokio::join!(f.db.call(panics), f.db.stock("tea", 1), f.db.call(fails));
    assert_eq!(stocked.unwrap(), 1);
    for (error, said) in [(panicked.unwrap_err(), "panicked"), (failed.unwrap_err(), "check")] {
        assert_eq!(error.cause().code(), Code::REFUSED);
        assert!(error.to_string().to_lowercase().contains(said), "{error}");
    }
    assert_eq!(f.counters().await, before);
    assert_eq!(f.db.stock("tea", 1).await.unwrap(), 2, "the writer goes on");
}

async fn a_function_whose_table_was_changed_by_hand_fails_by_itself_and_is_applied_once_the_table_is_back(
    f: Fixture,
) {
    f.db.stock("tea", 2).await.unwrap();
    assert_eq!(f.db.buy("tea").await.unwrap(), 1);
    f.execute("ALTER TABLE shelf RENAME TO elsewhere").await;
    let request = buy("tea");
    // The statement is taken up again after it has failed.
    for _ in 0..3 {
        let (bought, counted) =
            tokio::join!(f.db.send(request.clone()), f.db.call(Count { name: "x".into() }));
        let error = bought.unwrap_err();
        assert_eq!(error.cause().code(), Code::REFUSED, "{error}");
        let said = if f.place.is_file() { "no such table" } else { "does not exist" };
        assert!(error.to_string().contains(said), "{error}");
        counted.unwrap();
    }
    f.execute("ALTER TABLE elsewhere RENAME TO shelf").await;
    assert_eq!(f.said(&request).await.unwrap(), "Buy(0)");
}

async fn a_function_that_never_ends_is_given_up_alone(f: Fixture) {
    let before = f.counters().await;
    let (since, stuck) = (Instant::now(), Misbehave { waits: 600_000, ..misbehave(&[]) });
    let (stuck, counted) = tokio::join!(f.db.call(stuck), f.db.stock("tea", 1));
    let error = stuck.unwrap_err();
    assert_eq!((error.class(), error.cause().code()), (Class::Rejected, Code::REFUSED), "{error}");
    assert!(error.to_string().contains("has not ended within 5s"), "{error}");
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    assert_eq!(counted.unwrap(), 1);
    assert_eq!(f.counters().await, before);
    if !f.place.is_file() {
        // Where the server does not answer, that is not the function's fault: its answer is waited for, and all is undone.
        let error = f.db.call(misbehave(&["SELECT pg_sleep(6)"])).await.unwrap_err();
        assert_eq!((error.class(), error.cause().code()), (Class::Backend, Code::BUSY), "{error}");
        assert!(error.to_string().contains("has not answered within 5s"), "{error}");
        assert_eq!(f.counters().await, before);
    }
    assert_eq!(f.db.stock("tea", 1).await.unwrap(), 2, "the writer goes on");
}

async fn a_function_reads_what_it_has_written_and_knows_which_database_it_is(f: Fixture) {
    let which = if f.place.is_file() { "SQLite" } else { "PostgreSQL" };
    let request = Request::<Shop>::new(Which { text: "tea's".into(), number: i64::MAX, half: 0.5 });
    for _ in 0..2 {
        assert_eq!(f.said(&request).await.unwrap(), format!("Which({which:?})"));
    }
}

async fn many_slow_functions_hold_what_they_lock_no_longer_than_their_bound_and_are_applied_once(f: Fixture) {
    // A fifth of a second together, and the one that is called then; here 2 s in all.
    let bound = Duration::from_secs(1);
    let requests: Vec<_> = (0..60)
        .map(|n| match n % 3 {
            0 => Request::<Shop>::new(Count { name: "x".into() }),
            _ => Request::new(Misbehave { waits: 50, ..misbehave(&[]) }),
        })
        .collect();
    let all = || futures_util::future::join_all(requests.iter().map(|request| f.said(request)));
    // Another process, which needs the same locks.
    let other = f.place.open::<Shop>().await.unwrap();
    let (db, done) = (Db::new(other.clone()), AtomicBool::new(false));
    let first = async {
        let applied = all().await;
        done.store(true, Ordering::Relaxed);
        applied
    };
    let second = async {
        let mut longest = Duration::ZERO;
        while !done.load(Ordering::Relaxed) {
            let since = Instant::now();
            while let Err(error) = db.stock("tea", 1).await {
                assert_eq!(error.cause().code(), Code::BUSY, "{error}");
            }
            longest = longest.max(since.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        longest
    };
    let (applied, longest) = tokio::join!(first, second);
    println!("40 functions of 50 ms: another one has waited for {longest:?} at most");
    assert!(applied.iter().all(Result::is_ok), "{applied:?}");
    assert!(longest < bound, "another one has waited for {longest:?}");
    // Counted once each, by what was there when it was called.
    let ledger = "SELECT count(*) FROM ledger WHERE operation <> 'stock'";
    assert_eq!(f.number(ledger).await, 60);
    assert_eq!(f.number("SELECT n / 1000 FROM counters WHERE name = 'rows'").await, 40);
    assert_eq!(f.number("SELECT n % 1000 FROM counters WHERE name = 'ids'").await, 20);
    let repeated = |f: &Fixture| (0..4).map(|kind| f.service.duplicates(kind)).sum::<u64>();
    assert_eq!(repeated(&f), 0, "none was asked for twice");
    assert!(all().await.iter().all(Result::is_ok));
    assert_eq!(f.number(ledger).await, 60);
    assert_eq!(repeated(&f), 60);
    other.close().await;
}
