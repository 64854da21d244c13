//! An operation that was applied by statements in one version of a program, and by a function in the next; or the other way round.
//! What one has applied, the other knows, also where the ledger has no answer for it.

use eitherway::operation::{Apply, ApplyError, Definition, Done, Migration, Persist, Refusal, Spec, Tx};
use eitherway::{Class, Classify, Db, Head, Request};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::stores::Location;

const TABLES: &[Migration] =
    &[Migration::new(10, "hits", "CREATE TABLE hits (op_id TEXT NOT NULL, n BIGINT NOT NULL)")];
const HIT: Spec = Spec::event("hit", "site.hit");
const FIND: Spec = Spec::call("find", "site.find");
const TAKE: Spec = Spec::call("take", "site.take");

mod by_statements {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Hit {}

    impl Definition for Hit {
        type Answer = Done;
        const SPEC: Spec = HIT;
        const STATEMENTS: &'static [&'static str] = &["INSERT INTO hits SELECT id, 1 FROM new"];
    }

    /// Finds nothing.
    #[derive(Debug, Serialize, Deserialize)]
    pub struct Find {}

    impl Definition for Find {
        type Answer = Option<i64>;
        const SPEC: Spec = FIND;
        const STATEMENTS: &'static [&'static str] = &["INSERT INTO hits SELECT id, 1 FROM new"];
        const ANSWER: &'static str = "SELECT id, CAST(1 AS text) FROM asked WHERE id = 'none'";
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Take {
        pub n: i64,
    }

    impl Definition for Take {
        type Answer = i64;
        const SPEC: Spec = TAKE;
        const STATEMENTS: &'static [&'static str] =
            &["INSERT INTO hits SELECT id, CAST(op ->> 'n' AS bigint) FROM new"];
        const ANSWER: &'static str =
            "SELECT asked.id, CAST(n AS text) FROM asked JOIN hits ON op_id = asked.id";
    }

    eitherway::operations! {
        pub enum Site -> Answer in "site" with TABLES { Hit(Hit), Find(Find), Take(Take) }
    }
}

mod by_functions {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Hit {}

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Find {}

    #[derive(Debug, Serialize, Deserialize)]
    pub struct Take {
        pub n: i64,
    }

    async fn insert(tx: &mut Tx<'_>, head: &Head, n: i64) -> Result<(), ApplyError> {
        let insert = sqlx::query("INSERT INTO hits (op_id, n) VALUES ($1, $2)");
        tx.execute(insert.bind(head.id.to_string()).bind(n)).await?;
        Ok(())
    }

    impl Apply for Hit {
        type Answer = Done;
        const SPEC: Spec = HIT;

        async fn apply(&self, tx: &mut Tx<'_>, head: &Head) -> Result<Done, ApplyError> {
            insert(tx, head, 1).await.map(|()| Done {})
        }
    }

    impl Apply for Find {
        type Answer = Option<i64>;
        const SPEC: Spec = FIND;

        async fn apply(&self, tx: &mut Tx<'_>, head: &Head) -> Result<Option<i64>, ApplyError> {
            insert(tx, head, 1).await.map(|()| None)
        }
    }

    impl Apply for Take {
        type Answer = i64;
        const SPEC: Spec = TAKE;

        async fn apply(&self, tx: &mut Tx<'_>, head: &Head) -> Result<i64, ApplyError> {
            if self.n < 0 {
                return Err(Refusal::new("too_few", "less than nothing").into());
            }
            insert(tx, head, self.n).await.map(|()| self.n)
        }
    }

    eitherway::operations! {
        pub enum Site -> Answer in "site" with TABLES { Hit(Hit), Find(Find), Take(Take) }
    }
}

/// Applies these in a version of the program, all at once, each twice; what was answered, as JSON.
async fn answers<O: Persist>(place: &Location, heads: &[Head], n: i64) -> Vec<String> {
    let service = place.open::<O>().await.unwrap();
    let db = Db::new(service.clone());
    let payloads = ["{}".to_owned(), "{}".to_owned(), format!("{{\"n\":{n}}}")];
    let sent = heads.iter().enumerate().flat_map(|(index, head)| {
        let request = Request::with_head(head.clone(), O::decode(index, payloads[index].as_bytes()).unwrap());
        [db.send(request.clone()), db.send(request)]
    });
    let answers = join_all(sent).await.into_iter().map(|sent| match sent {
        Ok(reply) => String::from_utf8(O::encode_answer(reply.answer).unwrap()).unwrap(),
        Err(error) => {
            assert_eq!(error.class(), Class::Rejected, "{error}");
            error.to_string()
        }
    });
    let answers = answers.collect();
    service.close().await;
    answers
}

async fn known_to<Before: Persist, After: Persist>(place: Location, n: i64) {
    let heads = [Head::now(), Head::now(), Head::now()];
    let before = answers::<Before>(&place, &heads, n).await;
    let hits = place.number("SELECT count(*) FROM hits").await;
    for _ in 0..2 {
        assert_eq!(answers::<After>(&place, &heads, n).await, before);
        assert_eq!(place.number("SELECT count(*) FROM hits").await, hits, "applied once");
    }
    assert_eq!(answers::<Before>(&place, &heads, n).await, before, "and back");
    assert_eq!(place.number("SELECT count(*) FROM ledger").await, 3);
}

/// Both ways, in a database of its own each time; a function refuses what is below nothing.
async fn in_each(place: impl AsyncFn() -> Location) {
    known_to::<by_statements::Site, by_functions::Site>(place().await, 7).await;
    for n in [7, -1] {
        known_to::<by_functions::Site, by_statements::Site>(place().await, n).await;
    }
}

#[tokio::test]
async fn what_statements_or_functions_have_applied_the_others_do_not_apply_again_on_sqlite() {
    in_each(async || Location::file()).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn what_statements_or_functions_have_applied_the_others_do_not_apply_again_on_postgresql() {
    in_each(Location::server).await;
}
