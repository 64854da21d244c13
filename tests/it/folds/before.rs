//! A program of before operations were appended, beside one of now.

use std::time::Duration;

use eitherway::Db;
use eitherway::operation::{Definition, Dialect, Done, Keys, Migration, Spec};
use eitherway::postgres::{self, PostgresOptions};
use eitherway::sql::SqlService;
use rosey::op::{Op, RoseyClient};
use serde::{Deserialize, Serialize};

use crate::support::Postgres;

const TABLES: &[Migration] =
    &[Migration::new(10, "channel", include_str!("../../../bot/migrations/postgres/0010_channel.sql"))];

macro_rules! operation {
    ($name:ident { $($field:ident),+ }, $spec:expr, $($statement:literal),+) => {
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(crate) struct $name {
            $($field: String),+
        }

        impl Definition for $name {
            type Answer = Done;
            const SPEC: Spec = $spec;
            const STATEMENTS: &'static [&'static str] = &[$($statement),+];
            const POSTGRES: Dialect = Dialect::SAME.keys(Keys::Of("SELECT op ->> 'username' FROM new"));
        }
    };
}

operation!(
    Joined { username },
    Spec::event("user_joined", "rosey.db.user.joined"),
    "INSERT INTO presence (username, at, id, joined) SELECT op ->> 'username', at, id, 1 FROM new"
);
operation!(
    Left { username },
    Spec::event("user_left", "rosey.db.user.left"),
    "INSERT INTO presence (username, at, id, joined) SELECT op ->> 'username', at, id, 0 FROM new"
);
operation!(
    Said { username, message },
    Spec::event("message_log", "rosey.db.message.log"),
    "INSERT INTO recent_chat (timestamp, username, message, at, op_id)
     SELECT at / 1000, op ->> 'username', op ->> 'message', at, id FROM new",
    "INSERT INTO user_stats AS u (username, first_seen, last_seen, total_chat_lines, last_line)
     SELECT op ->> 'username', min(at) / 1000, max(at) / 1000, count(*), max(at) / 1000
     FROM new GROUP BY 1 ORDER BY 1
     ON CONFLICT (username) DO UPDATE SET
         first_seen = least(u.first_seen, excluded.first_seen),
         last_seen = greatest(u.last_seen, excluded.last_seen),
         last_line = greatest(u.last_line, excluded.last_line),
         total_chat_lines = u.total_chat_lines + excluded.total_chat_lines"
);

eitherway::operations! {
    /// The operations of before, as far as they write what is appended now.
    pub(crate) enum Before -> BeforeAnswer in "rosey.db" with TABLES { Joined(Joined), Left(Left), Said(Said) }
}

const USERS: [&str; 3] = ["ann", "bob", "cid"];
const ROUNDS: usize = 40;

/// Joins, lines and leaves of all users, some at the same time.
async fn old_ones(db: &Db<SqlService<Before>>) {
    for round in 0..ROUNDS {
        let username = USERS[round % 3].to_owned();
        let message = "hello".to_owned();
        let joined = db.call(Joined { username: username.clone() });
        let said = db.call(Said { username: username.clone(), message });
        let (joined, said, left) = tokio::join!(joined, said, db.call(Left { username }));
        joined.unwrap();
        said.unwrap();
        left.unwrap();
    }
}

async fn new_ones(db: &Db<SqlService<Op>>) {
    for round in 0..ROUNDS {
        let user = USERS[round % 3];
        let (joined, said, left) =
            tokio::join!(db.user_joined(user), db.message_log(user, "hello"), db.user_left(user));
        joined.unwrap();
        said.unwrap();
        left.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_before_goes_on_writing_beside_this_one_and_nothing_is_lost() {
    let url = Postgres::shared().empty().await;
    let options = PostgresOptions::new(&url).unwrap().retention(None).folding(Some(Duration::from_millis(1)));
    let before = Db::new(SqlService::<Before>::open_postgres(&options).await.unwrap());
    old_ones(&before).await;

    let now = [
        Db::new(SqlService::<Op>::open_postgres(&options).await.unwrap()),
        Db::new(SqlService::<Op>::open_postgres(&options).await.unwrap()),
    ];
    tokio::join!(old_ones(&before), new_ones(&now[0]), new_ones(&now[1]));
    let (rounds, users) = (i64::try_from(ROUNDS).unwrap(), USERS.len());
    let mut lines = 0;
    for user in USERS {
        lines += now[0].user_stats(user).await.unwrap().unwrap().total_chat_lines.unwrap();
    }
    assert_eq!((lines, users), (rounds * 4, 3));
    let verdict = || async { postgres::verify::<Op>(&options, |_| {}).await.unwrap() };
    assert!(verdict().await.is_clean(), "{:#?}", verdict().await.findings);
    now[0].stack().fold().await.unwrap();
    assert!(verdict().await.is_clean(), "{:#?}", verdict().await.findings);

    let again = SqlService::<Before>::open_postgres(&options).await.unwrap_err().to_string();
    assert!(again.contains("newer than this program"), "{again}");
}
