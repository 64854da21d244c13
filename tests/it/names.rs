//! One person, however the name is written: on each store, in what a program of before has left, and beside one.

use eitherway::operation::{Definition, Dialect, Done, Keys, Migration, Persist, Spec};
use eitherway::sql::SqlService;
use eitherway::{Db, Head, OpId, Operation};
use rosey::op::{
    GetQuote, GetUserStats, Op, OutboundEnqueue, QuoteAdd, RoseyClient, SearchChat, Tell, UserJoined,
};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection};

use crate::support::*;

const AT: i64 = 1_700_000_000_000;

macro_rules! migrations {
    ($store:literal: $($version:literal $file:literal),+) => {
        &[$(Migration::new($version, $file, include_str!(concat!("../../bot/migrations/", $store, "/00", $version, "_", $file, ".sql")))),+]
    };
}

const TABLES: &[Migration] = migrations!("sqlite": 12 "origin", 13 "channel", 14 "bounds", 15 "server", 16 "append_and_fold",
    17 "people", 18 "forgotten", 19 "leases");
const ON_POSTGRES: &[Migration] = migrations!("postgres": 10 "channel", 11 "append_and_fold", 12 "people", 13 "forgotten",
    14 "leases");

macro_rules! operation {
    ($name:ident { $($field:ident),+ }, $spec:expr, [$($statement:literal),+], postgres [$($other:literal),+]) => {
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(crate) struct $name {
            $($field: String),+
        }

        impl Definition for $name {
            type Answer = Done;
            const SPEC: Spec = $spec;
            const STATEMENTS: &'static [&'static str] = &[$($statement),+];
            const POSTGRES: Dialect = Dialect::SAME.statements(&[$($other),+]).keys(Keys::Own);
        }
    };
}

operation!(
    Joined { username },
    Spec::event("user_joined", "rosey.db.user.joined"),
    ["INSERT INTO presence (username, at, id, joined) SELECT op ->> 'username', at, id, 1 FROM new"],
    postgres["INSERT INTO presence_waiting (username, at, id, joined) SELECT op ->> 'username', at, id, 1 FROM new"]
);
operation!(
    Left { username },
    Spec::event("user_left", "rosey.db.user.left"),
    ["INSERT INTO presence (username, at, id, joined) SELECT op ->> 'username', at, id, 0 FROM new"],
    postgres["INSERT INTO presence_waiting (username, at, id, joined) SELECT op ->> 'username', at, id, 0 FROM new"]
);
operation!(
    Said { username, message },
    Spec::event("message_log", "rosey.db.message.log"),
    [
        "INSERT INTO recent_chat (timestamp, username, message, at, op_id)
         SELECT at / 1000, op ->> 'username', op ->> 'message', at, id FROM new",
        "INSERT INTO lines_waiting (shelf, username, lines, first, last)
         SELECT 0, op ->> 'username' AS speaker, count(*), min(at), max(at) FROM new WHERE true GROUP BY speaker
         ON CONFLICT (shelf, username) DO UPDATE SET
             lines = lines + excluded.lines, first = min(first, excluded.first), last = max(last, excluded.last)"
    ],
    postgres [
        "INSERT INTO recent_chat (timestamp, username, message, at, op_id)
         SELECT at / 1000, op ->> 'username', op ->> 'message', at, id FROM new",
        "INSERT INTO lines_waiting (username, lines, first, last)
         SELECT op ->> 'username', count(*), min(at), max(at) FROM new GROUP BY 1"
    ]
);
operation!(
    Kept { username, message, added_by },
    Spec::event("kept", "rosey.db.quote.kept"),
    ["INSERT INTO channel_quotes (op_id, at, username, message, added_by)
      SELECT id, at, op ->> 'username', op ->> 'message', op ->> 'added_by' FROM new"],
    postgres["INSERT INTO channel_quotes (op_id, at, username, message, added_by)
      SELECT id, at, op ->> 'username', op ->> 'message', op ->> 'added_by' FROM new"]
);
operation!(
    Told { sender, username, content },
    Spec::event("told", "rosey.db.messages.told"),
    ["INSERT INTO outbound_messages (timestamp, message, username, sender, at, op_id)
      SELECT at / 1000, op ->> 'content', op ->> 'username', op ->> 'sender', at, id FROM new"],
    postgres["INSERT INTO outbound_messages (timestamp, message, username, sender, at, op_id)
      SELECT at / 1000, op ->> 'content', op ->> 'username', op ->> 'sender', at, id FROM new"]
);

eitherway::operations! {
    /// What a program of before writes that compares names letter by letter.
    pub(crate) enum Before -> BeforeAnswer in "rosey.db" with TABLES, postgres ON_POSTGRES {
        Joined(Joined), Left(Left), Said(Said), Kept(Kept), Told(Told)
    }
}

/// A database, and how programs open it.
enum Place {
    File(DbFile),
    #[cfg(feature = "postgres")]
    Server(String),
}

#[cfg(feature = "postgres")]
fn on_postgres(url: &str) -> eitherway::postgres::PostgresOptions {
    eitherway::postgres::PostgresOptions::new(url).unwrap().retention(None).folding(None)
}

impl Place {
    async fn open<O: Persist>(&self) -> Db<SqlService<O>> {
        Db::new(match self {
            Self::File(file) => {
                let options = eitherway::sql::SqliteOptions::new(&file.url()).unwrap();
                SqlService::open(&options.retention(None).folding(None)).await.unwrap()
            }
            #[cfg(feature = "postgres")]
            Self::Server(url) => SqlService::open_postgres(&on_postgres(url)).await.unwrap(),
        })
    }

    async fn assert_clean(&self) {
        match self {
            Self::File(file) => file.assert_clean().await,
            #[cfg(feature = "postgres")]
            Self::Server(url) => {
                let verdict = eitherway::postgres::verify::<Op>(&on_postgres(url), |_| {}).await.unwrap();
                assert!(verdict.is_clean(), "{:#?}", verdict.findings);
            }
        }
    }
}

/// A test for each store.
macro_rules! on_each_store {
    ($($check:ident),+ $(,)?) => {
        $(mod $check {
            use super::*;

            #[tokio::test]
            async fn on_sqlite() {
                super::$check(Place::File(DbFile::new())).await;
            }

            #[cfg(feature = "postgres")]
            #[tokio::test]
            async fn on_postgres() {
                super::$check(Place::Server(Postgres::shared().empty().await)).await;
            }
        })+
    };
}

on_each_store! {
    a_person_is_one_in_every_answer_and_shown_as_written_last,
    messages_and_quotes_are_of_the_person_and_keep_how_the_name_was_written,
    who_is_forgotten_is_forgotten_in_every_spelling,
    what_was_kept_under_several_spellings_becomes_one_person_once,
    a_program_of_before_goes_on_writing_and_its_rows_are_the_persons_after_the_next_start,
    what_was_forgotten_in_one_spelling_stays_so,
}

fn chat(username: &str) -> SearchChat {
    SearchChat { username: Some(username.to_owned()), limit: 9, ..SearchChat::default() }
}

async fn a_person_is_one_in_every_answer_and_shown_as_written_last(place: Place) {
    let db = place.open::<Op>().await;
    let at = |second: i64| db.at(AT + second * 1000);
    at(0).user_joined("Ann").await.unwrap();
    // The later one arrives first.
    at(7).message_log("ANN", "second").await.unwrap();
    at(5).message_log("ann", "first").await.unwrap();
    at(6).message_log("ÄRN", "else").await.unwrap();
    for _ in 0..2 {
        let stats = db.user_stats("aNn").await.unwrap().unwrap();
        assert_eq!((stats.username.as_str(), stats.total_chat_lines), ("ANN", Some(2)));
        let seen = db.seen("ann").await.unwrap().unwrap();
        assert_eq!((seen.username.as_str(), seen.here_since), ("ANN", Some(AT / 1000)));
        let channel = db.channel_stats().await.unwrap();
        assert_eq!(channel.total_users_seen, 2);
        let top: Vec<_> = channel.top_chatters.iter().map(|c| (c.username.as_str(), c.chat_lines)).collect();
        assert_eq!(top, [("ANN", 2), ("ÄRN", 1)]);
        let board = db.leaderboard(0, 9).await.unwrap();
        let board: Vec<_> = board.iter().map(|c| (c.username.as_str(), c.chat_lines)).collect();
        assert_eq!(board, [("ANN", 2), ("ÄRN", 1)]);
        let lines = db.chat(chat("aNN")).await.unwrap();
        let lines: Vec<_> =
            lines.iter().map(|line| (line.username.as_str(), line.message.as_str())).collect();
        assert_eq!(lines, [("ann", "first"), ("ANN", "second")], "as they were written");
        db.stack().fold().await.unwrap();
    }
    let nobody = db.call(GetUserStats { username: "NoBody".to_owned() }).await.unwrap().answer;
    assert_eq!((nobody.username.as_str(), nobody.found), ("NoBody", false), "as it was asked");
    at(9).user_left("ann").await.unwrap();
    at(8).user_joined("äRN").await.unwrap();
    let sessions = db.open_sessions().await.unwrap();
    assert_eq!(sessions.iter().map(|session| session.username.as_str()).collect::<Vec<_>>(), ["äRN"]);
    assert_eq!(db.user_stats("ANN").await.unwrap().unwrap().total_time_connected, Some(9));
    // What SQL sees beside the payload is no part of what the id stands for.
    let head = Head { id: OpId::parse("once").unwrap(), ..Head::at(AT + 1000) };
    for _ in 0..2 {
        db.with(head.clone()).user_joined("Once").await.unwrap();
    }
    let other = db.with(head).user_joined("once").await.unwrap_err();
    assert_eq!(other.cause().code(), eitherway::Code::ID_REUSED);
    place.assert_clean().await;
}

fn tell(sender: &str, username: &str) -> Tell {
    Tell { sender: sender.into(), username: username.into(), content: "hi".into(), privately: true }
}

async fn messages_and_quotes_are_of_the_person_and_keep_how_the_name_was_written(place: Place) {
    let db = place.open::<Op>().await;
    let first = db.tell(tell("Bob", "ANN")).await.unwrap();
    let second = db.tell(tell("bob", "Ann")).await.unwrap();
    let third = db.call(OutboundEnqueue { username: Some("ann".into()), content: "of nobody".into() });
    let third = third.await.unwrap().answer.id;
    let waits = db.tells_for("ann").await.unwrap();
    let waits: Vec<_> = waits.iter().map(|tell| (tell.sender.as_str(), tell.username.as_str())).collect();
    assert_eq!(waits, [("Bob", "ANN"), ("bob", "Ann")]);
    assert_eq!(db.tells_of("BOB").await.unwrap().len(), 2);
    assert!(db.tell_undo("BoB", second).await.unwrap(), "of the same sender");
    let claimed = db.outbound_messages("aNN", 9).await.unwrap();
    let claimed: Vec<_> =
        claimed.iter().map(|m| (m.id, m.username.as_deref().unwrap(), m.sender.as_deref())).collect();
    assert_eq!(claimed, [(first, "ANN", Some("Bob")), (third, "ann", None)]);
    let quote = QuoteAdd { username: "Ann".into(), message: "so".into(), added_by: Some("Bob".into()) };
    db.quote_add(quote).await.unwrap();
    let of = |name: &str| GetQuote { username: Some(name.to_owned()), ..GetQuote::default() };
    let quote = db.quote(of("ANN")).await.unwrap().unwrap();
    assert_eq!((quote.username.as_str(), quote.added_by.as_deref()), ("Ann", Some("Bob")));
    assert_eq!(db.quote(of("bob")).await.unwrap(), None);
    place.assert_clean().await;
}

async fn who_is_forgotten_is_forgotten_in_every_spelling(place: Place) {
    let db = place.open::<Op>().await;
    let at = |second: i64| db.at(AT + second * 1000);
    at(0).user_joined("ann").await.unwrap();
    at(1).message_log("Ann", "secret").await.unwrap();
    db.at(AT).tell(tell("ANN", "bob")).await.unwrap();
    at(2).forget("aNN").await.unwrap();
    at(1).message_log("ANN", "comes late").await.unwrap();
    assert_eq!(db.user_stats("ann").await.unwrap(), None);
    assert_eq!(db.chat(SearchChat { limit: 9, ..SearchChat::default() }).await.unwrap(), []);
    assert_eq!(db.tells_for("bob").await.unwrap(), []);
    at(3).message_log("Ann", "hello again").await.unwrap();
    assert_eq!(db.user_stats("ann").await.unwrap().unwrap().total_chat_lines, Some(1));
    place.assert_clean().await;
}

/// Two visits and five lines of Ann in three spellings, and some of others; everything begins at this second.
async fn two_visits(before: &Db<SqlService<Before>>, begin: i64) {
    let text = |text: &str| text.to_owned();
    let at = |second: i64| before.at(AT + (begin + second) * 1000);
    for (second, name) in [(0, "Ann"), (10, "ann"), (2, "bob"), (3, "ÄRN")] {
        at(second).call(Joined { username: text(name) }).await.unwrap();
    }
    for (second, name) in [(4, "ANN"), (19, "Ann"), (5, "ärn")] {
        at(second).call(Left { username: text(name) }).await.unwrap();
    }
    for (second, name) in
        [(1, "Ann"), (2, "ANN"), (3, "ann"), (11, "ann"), (12, "Ann"), (4, "bob"), (5, "ÄRN")]
    {
        at(second).call(Said { username: text(name), message: format!("line {second}") }).await.unwrap();
    }
    at(6).call(Told { sender: text("Bob"), username: text("Ann"), content: text("hi") }).await.unwrap();
    at(6).call(Told { sender: text("bob"), username: text("ann"), content: text("hi") }).await.unwrap();
    at(6).call(Kept { username: text("ANN"), message: text("so"), added_by: text("Bob") }).await.unwrap();
}

/// What becomes of this many times two visits.
async fn assert_visited(db: &Db<SqlService<Op>>, times: i64) {
    for name in ["ann", "Ann", "ANN"] {
        let ann = db.user_stats(name).await.unwrap().unwrap();
        assert_eq!((ann.total_chat_lines, ann.total_time_connected), (Some(5 * times), Some(13 * times)));
        assert_eq!((ann.first_seen, ann.current_session_start), (Some(AT / 1000), None));
        assert_eq!(db.tells_for(name).await.unwrap().len() as i64, 2 * times);
        let seen = db.seen(name).await.unwrap().unwrap();
        assert_eq!(seen.last_line, Some(AT / 1000 + 100 * (times - 1) + 12));
        let quote = db.quote(GetQuote { username: Some(name.into()), ..GetQuote::default() }).await.unwrap();
        assert_eq!(quote.map(|quote| (quote.username, quote.of)), Some(("ANN".to_owned(), times)));
    }
    assert_eq!(db.user_stats("äRN").await.unwrap().unwrap().total_time_connected, Some(2 * times));
    assert_eq!(db.chat(chat("aNN")).await.unwrap().len() as i64, (5 * times).min(9));
    assert_eq!(db.tells_of("BOB").await.unwrap().len() as i64, 2 * times);
    let channel = db.channel_stats().await.unwrap();
    assert_eq!(channel.total_users_seen, 3);
    let top: Vec<_> =
        channel.top_chatters.iter().map(|c| (c.username.to_lowercase(), c.chat_lines)).collect();
    assert_eq!(top, [("ann".into(), 5 * times), ("bob".into(), times), ("ärn".into(), times)]);
    let board = db.leaderboard(0, 9).await.unwrap();
    assert_eq!(board.iter().map(|c| c.chat_lines).collect::<Vec<_>>(), [5 * times, times, times]);
}

async fn what_was_kept_under_several_spellings_becomes_one_person_once(place: Place) {
    let before = place.open::<Before>().await;
    two_visits(&before, 0).await;
    before.stack().close().await;
    for _ in 0..3 {
        let db = place.open::<Op>().await;
        assert_visited(&db, 1).await;
        assert_eq!(db.user_stats("ann").await.unwrap().unwrap().username, "Ann", "seen last as that");
        place.assert_clean().await;
        db.stack().fold().await.unwrap();
        assert_visited(&db, 1).await;
        place.assert_clean().await;
        db.stack().close().await;
    }
}

async fn a_program_of_before_goes_on_writing_and_its_rows_are_the_persons_after_the_next_start(place: Place) {
    let before = place.open::<Before>().await;
    two_visits(&before, 0).await;
    let db = place.open::<Op>().await;
    two_visits(&before, 100).await;
    place.assert_clean().await;
    let again = place.open::<Op>().await;
    assert_visited(&again, 2).await;
    two_visits(&before, 200).await;
    // By now some of it is folded.
    db.stack().fold().await.unwrap();
    place.assert_clean().await;
    before.stack().close().await;
    for service in [db, again] {
        service.stack().close().await;
        let db = place.open::<Op>().await;
        assert_visited(&db, 3).await;
        place.assert_clean().await;
        db.stack().close().await;
    }
}

async fn what_was_forgotten_in_one_spelling_stays_so(place: Place) {
    let before = place.open::<Before>().await;
    two_visits(&before, 0).await;
    let db = place.open::<Op>().await;
    // As a program of before has left it: of Ann, not of ann.
    db.at(AT + 20_000).forget("Zoe").await.unwrap();
    let forgotten = "UPDATE forgotten SET username = 'Ann' WHERE username = 'zoe'";
    match &place {
        Place::File(file) => {
            let mut raw = sqlx::SqliteConnection::connect(&file.url()).await.unwrap();
            sqlx::query(forgotten).execute(&mut raw).await.unwrap();
        }
        #[cfg(feature = "postgres")]
        Place::Server(url) => {
            let mut raw = sqlx::PgConnection::connect(url).await.unwrap();
            let forgotten = AssertSqlSafe(format!("SET search_path = rosey; {forgotten}"));
            sqlx::raw_sql(forgotten).execute(&mut raw).await.unwrap();
        }
    }
    db.stack().close().await;
    let db = place.open::<Op>().await;
    place.assert_clean().await;
    assert_visited(&db, 1).await;
    // What is older than anything that is kept stays out.
    let late = Head { id: OpId::parse("late").unwrap(), ..Head::at(AT - 1000) };
    db.send(eitherway::Request::<Op>::with_head(late, UserJoined { username: "aNN".into() })).await.unwrap();
    assert_visited(&db, 1).await;
    place.assert_clean().await;
}

#[test]
fn what_sql_sees_beside_a_payload_is_not_sent() {
    let op = Op::from(UserJoined { username: "Ann".to_owned() });
    assert_eq!(op.encode().unwrap(), br#"{"username":"Ann"}"#);
}
