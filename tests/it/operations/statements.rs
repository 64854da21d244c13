use eitherway::operation::{Definition, Done, Migration, Spec};
use eitherway::sql::{SqlService, SqliteOptions};
use eitherway::{Code, Request};
use eitherway_layers::{Class, Classify};
use serde::{Deserialize, Serialize};

use super::shop::{Count, Fixture, Shop, ShopClient, Stock};
use super::stores::on_each_store;

on_each_store! {
    no_statement_gives_a_request_a_second_effect,
    tables_changed_by_hand_fail_only_the_operations_that_need_them_and_later_they_are_applied,
}

fn count() -> Request<Shop> {
    Request::new(Count { name: "x".into() })
}

/// Whatever reads the new rows, or only seems to: no request has an effect twice.
async fn no_statement_gives_a_request_a_second_effect(f: Fixture) {
    let request = count();
    f.db.send(request.clone()).await.unwrap();
    let once = f.counters().await;
    assert!(once.iter().all(|(_, n)| *n == 1), "{once:?}");
    // alone, and many at once
    for _ in 0..3 {
        f.db.send(request.clone()).await.unwrap();
    }
    let again = futures_util::future::join_all((0..20).map(|_| f.db.send(request.clone()))).await;
    assert!(again.iter().all(Result::is_ok));
    assert_eq!(f.counters().await, once);
    // beside something else that is new
    let (again, stocked) = tokio::join!(f.db.send(request.clone()), f.db.stock("tea", 3));
    assert_eq!((again.is_ok(), stocked.unwrap()), (true, 3));
    assert_eq!(f.counters().await, once);
    // beside others of its kind: those alone take effect
    let others: Vec<_> = (0..5).map(|_| count()).collect();
    let all = others.iter().chain([&request]).map(|request| f.db.send(request.clone()));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    let ids = f.number("SELECT n FROM counters WHERE name = 'ids'").await;
    assert_eq!((ids, f.number("SELECT n FROM counters WHERE name = 'rows'").await), (6, 6));
    for (name, n) in f.counters().await {
        assert!(n <= 6, "{name} counts {n} of six requests");
    }
    assert_eq!(f.number("SELECT count(*) FROM ledger WHERE operation = 'count'").await, 6);
}

/// In every class that SQLite has for it.
#[tokio::test]
async fn what_fails_because_of_one_request_fails_for_that_one_alone() {
    let f = Fixture::new().await;
    f.execute(
        "CREATE TRIGGER aborts BEFORE INSERT ON shelf WHEN NEW.item = 'abort'
         BEGIN SELECT raise(ABORT, 'not that'); END;
         CREATE TRIGGER fails BEFORE INSERT ON shelf WHEN NEW.item = 'fail' BEGIN SELECT raise(FAIL, 'not that'); END;
         CREATE TRIGGER rolls BEFORE INSERT ON shelf WHEN NEW.item = 'roll'
         BEGIN SELECT raise(ROLLBACK, 'not that'); END;
         CREATE TRIGGER errs BEFORE INSERT ON shelf WHEN NEW.item = 'err'
         BEGIN SELECT json_extract('{}', 'no path'); END;",
    )
    .await;
    let stock = |item: Option<&str>, count| Stock { item: item.map(str::to_owned), count };
    let bad = [
        stock(Some("abort"), 1.into()),
        stock(Some("fail"), 1.into()),
        stock(Some("roll"), 1.into()),
        stock(Some("err"), 1.into()),
        stock(None, 1.into()),
        stock(Some("null"), serde_json::Value::Null),
        stock(Some("overflow"), i64::MIN.into()),
    ];
    let good: Vec<_> = (0..60).map(|n| stock(Some(&format!("item{n}")), 1.into())).collect();
    let mut mixed = good.clone();
    for (n, bad) in bad.iter().enumerate() {
        mixed.insert(n * 8, bad.clone());
    }
    let results = futures_util::future::join_all(mixed.iter().map(|op| f.db.call(op.clone()))).await;
    for (op, result) in mixed.iter().zip(results) {
        let item = op.item.clone().unwrap_or_default();
        if item.starts_with("item") {
            assert_eq!(result.unwrap().answer, 1, "{item}");
        } else {
            let error = result.expect_err(&item);
            assert_eq!(
                (error.class(), error.cause().code()),
                (Class::Rejected, Code::REFUSED),
                "{item}: {error}"
            );
        }
    }
    assert_eq!(f.number("SELECT count(*) FROM shelf").await, 60);
    assert_eq!(f.number("SELECT count(*) FROM ledger").await, 60, "what is refused leaves nothing");
}

async fn tables_changed_by_hand_fail_only_the_operations_that_need_them_and_later_they_are_applied(
    f: Fixture,
) {
    f.execute("ALTER TABLE shelf RENAME TO elsewhere").await;
    let request = Request::<Shop>::new(Stock { item: Some("tea".into()), count: 1.into() });
    let (stocked, counted) = tokio::join!(f.db.send(request.clone()), f.db.send(count()));
    let error = stocked.unwrap_err();
    assert_eq!((error.class(), error.cause().code()), (Class::Backend, Code::DATABASE), "{error}");
    counted.unwrap();
    f.execute("ALTER TABLE elsewhere RENAME TO shelf").await;
    f.db.send(request).await.unwrap();
    assert_eq!(f.number("SELECT count FROM shelf").await, 1);
}

const TABLES: &[Migration] =
    &[Migration::new(10, "hits", "CREATE TABLE hits (n INTEGER); INSERT INTO hits VALUES (0)")];

/// Two of them have a fault each: a typo, and no row.
macro_rules! faulty {
    ($($module:ident: $statement:literal;)+) => {
        $(mod $module {
            use super::*;

            #[derive(Debug, Serialize, Deserialize)]
            pub struct Hit {}

            impl Definition for Hit {
                type Answer = Done;
                const SPEC: Spec = Spec::event("hit", "site.hit");
                const STATEMENTS: &'static [&'static str] =
                    &["UPDATE hits SET n = n + (SELECT count(*) FROM new)", $statement];
            }

            eitherway::operations! {
                pub enum Site -> Answer in "site" with TABLES { Hit(Hit) }
            }
        })+
    };
}

faulty! {
    typo: "UPDATE hitz SET n = n + (SELECT count(*) FROM new)";
    no_rows: "UPDATE hits SET n = n + 1";
}

async fn opening<O: eitherway::operation::Persist>() -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("site.db");
    let options = SqliteOptions::new(path.to_str().unwrap()).unwrap();
    SqlService::<O>::open(&options).await.map(drop).unwrap_err().to_string()
}

#[tokio::test]
async fn a_faulty_statement_is_named_at_the_opening() {
    let error = opening::<typo::Site>().await;
    assert_eq!(error, "the operation hit: its statement 2 cannot be prepared: no such table: hitz");
    let f = Fixture::new().await;
    f.execute("CREATE TRIGGER twice BEFORE INSERT ON ledger BEGIN UPDATE counters SET n = n + 1; END").await;
    let options = SqliteOptions::new(&f.place.path().unwrap()).unwrap();
    let error = SqlService::<Shop>::open(&options).await.map(drop).unwrap_err().to_string();
    assert!(error.starts_with("the trigger twice fires on the ledger"), "{error}");
    let error = opening::<no_rows::Site>().await;
    assert!(error.starts_with("the operation hit: its statement 2 does not read `new`"), "{error}");
}
