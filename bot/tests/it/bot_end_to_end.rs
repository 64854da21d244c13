//! The seven places where the bot touches its memory, each with NATS and without: a recording in, the real stack, a real
//! server or none, and the rows that are left.

use std::sync::Arc;
use std::time::Duration;

use crate::support::*;
use rosey::bot::chat::jsonl::{Jsonl, JsonlSender};
use rosey::bot::{Bot, Ended, Intervals, Summary};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::task::JoinHandle;

/// A bot in a channel of which the test is the whole public.
struct World {
    server: NatsServer,
    service: Option<DbService>,
    file: DbFile,
    db: Over,
    channel: DuplexStream,
    said: Lines<BufReader<DuplexStream>>,
    bot: JoinHandle<Summary>,
}

/// Where operations go.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Paths {
    /// Over NATS, with nothing behind it: what is there came over it.
    Nats,
    /// No server: the database itself.
    Database,
    /// The standard stack, service and all.
    Both,
}

const PATHS: [Paths; 2] = [Paths::Nats, Paths::Database];

impl World {
    async fn new(paths: Paths) -> Self {
        let (mut server, file) = (NatsServer::down(), DbFile::new());
        let mut service = None;
        if paths != Paths::Database {
            server.restart().await;
            service = Some(DbService::start(&server, &file).await);
        }
        let nats = nats(&server).await;
        if paths != Paths::Database {
            tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
        }
        let db = if paths == Paths::Nats { nats_only(&nats) } else { stack(&nats, &file).await };
        let (channel, input) = tokio::io::duplex(1 << 20);
        let (output, said) = tokio::io::duplex(1 << 20);
        let chat = Jsonl::new(BufReader::new(input), Arc::new(JsonlSender::new(output)));
        let often = Duration::from_millis(20);
        let intervals = Intervals::default().messages(often).user_counts(Duration::ZERO).status(often);
        let bot = Bot::new(db.clone(), Box::new(chat)).name("Rosey").channel("lounge").intervals(intervals);
        let bot = tokio::spawn(bot.run(std::future::pending()));
        Self { server, service, file, db, channel, said: BufReader::new(said).lines(), bot }
    }

    /// Something happens in the channel.
    async fn event(&mut self, event: Value) {
        self.channel.write_all(format!("{event}\n").as_bytes()).await.unwrap();
    }

    async fn until(&self, what: &str, sql: &'static str, number: i64) {
        wait_until(what, || async { self.file.number(sql).await == number }).await;
    }

    /// The next thing that the bot says.
    async fn hears(&mut self) -> Value {
        let line = tokio::time::timeout(LIMIT, self.said.next_line()).await.expect("the bot says something");
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    }

    /// The recording ends; the bot finishes, and nothing was lost or refused.
    async fn end(self) -> DbFile {
        drop(self.channel);
        let summary = tokio::time::timeout(LIMIT, self.bot).await.expect("the bot ends").unwrap();
        assert_eq!(summary.ended, Ended::EndOfInput);
        assert!(summary.is_clean(), "{summary}");
        if let Some(service) = self.service {
            let served = service.stop().await;
            assert!(served.done > 0 && served.lost + served.refused == 0, "{served:?}");
        }
        self.file
    }
}

const AT: i64 = 1_700_000_000;

fn joins(user: &str, at: i64) -> Value {
    json!({"event": "user_join", "user": user, "user_data": {"username": user, "rank": 1}, "timestamp": AT + at})
}

#[tokio::test]
async fn place_11_a_user_joins() {
    for paths in PATHS {
        let mut w = World::new(paths).await;
        w.event(joins("alice", 0)).await;
        w.until(
            "alice is here",
            "SELECT count(*) FROM user_stats_now WHERE current_session_start = 1700000000",
            1,
        )
        .await;
        w.end().await;
    }
}

#[tokio::test]
async fn place_12_a_user_leaves() {
    for paths in PATHS {
        let mut w = World::new(paths).await;
        w.event(joins("alice", 0)).await;
        w.event(json!({"event": "user_leave", "user": "alice", "timestamp": AT + 60})).await;
        let file = w.end().await;
        let stats = "SELECT total_time_connected FROM user_stats_now WHERE current_session_start IS NULL";
        assert_eq!(file.number(stats).await, 60, "{paths:?}");
    }
}

#[tokio::test]
async fn place_13_a_line_is_said_at_its_own_time() {
    for paths in PATHS {
        let mut w = World::new(paths).await;
        for (at, content) in [(2, "second ☃"), (1, "first")] {
            let event =
                json!({"event": "message", "user": "alice", "content": content, "timestamp": AT + at});
            w.event(event).await;
        }
        let file = w.end().await;
        let lines = "SELECT timestamp || ' ' || username || ': ' || message FROM recent_chat ORDER BY at";
        assert_eq!(
            file.texts(lines).await,
            ["1700000001 alice: first", "1700000002 alice: second ☃"],
            "{paths:?}"
        );
    }
}

#[tokio::test]
async fn places_14_and_15_users_are_counted() {
    for paths in PATHS {
        let mut w = World::new(paths).await;
        for (at, chat, connected) in [(0, 3, 5), (10, 7, 9), (20, 2, 4)] {
            let event = json!({"event": "user_count", "usercount": chat, "connected": connected, "timestamp": AT + at});
            w.event(event).await;
        }
        let file = w.end().await;
        let history =
            "SELECT chat_users || '/' || connected_users FROM user_count_history ORDER BY timestamp";
        assert_eq!(file.texts(history).await, ["3/5", "7/9", "2/4"], "{paths:?}");
        let peak =
            "SELECT max_users || '/' || max_connected || ' at ' || max_users_timestamp FROM channel_stats";
        assert_eq!(file.texts(peak).await, ["7/9 at 1700000010"], "{paths:?}");
    }
}

#[tokio::test]
async fn place_16_the_bot_comes_and_goes_and_is_thrown_out() {
    let is = |status: &'static str| match status {
        "online" => "SELECT count(*) FROM current_status WHERE status = 'online' AND bot_connected",
        "offline" => "SELECT count(*) FROM current_status WHERE status = 'offline' AND NOT bot_connected",
        _ => "SELECT count(*) FROM current_status WHERE status = 'kicked' AND details = 'spam'",
    };
    for paths in PATHS {
        let mut w = World::new(paths).await;
        w.event(json!({"event": "connect"})).await;
        w.until("online", is("online"), 1).await;
        w.event(json!({"event": "disconnect"})).await;
        w.until("offline", is("offline"), 1).await;
        w.event(json!({"event": "connect"})).await;
        w.until("online again", is("online"), 1).await;
        w.event(json!({"event": "kicked", "reason": "spam"})).await;
        w.until("thrown out", is("kicked"), 1).await;
        let file = w.end().await;
        let row = "SELECT status || ' ' || bot_name || ' ' || channel_name FROM current_status";
        assert_eq!(file.texts(row).await, ["offline Rosey lounge"], "{paths:?}: the last word of the bot");
    }
}

#[tokio::test]
async fn place_17_a_message_waits_for_a_user_until_he_joins_and_is_delivered_once() {
    for paths in PATHS {
        let mut w = World::new(paths).await;
        w.db.outbound_enqueue(Some("alice"), "welcome back").await.unwrap();
        w.db.outbound_enqueue(Some("bob"), "not for alice").await.unwrap();
        w.event(joins("alice", 0)).await;
        assert_eq!(w.hears().await, json!({"pm": {"user": "alice", "content": "welcome back"}}), "{paths:?}");
        w.until("it is marked", "SELECT count(*) FROM outbound_messages WHERE sent", 1).await;
        w.event(joins("alice", 10)).await;
        w.event(joins("bob", 20)).await;
        assert_eq!(w.hears().await, json!({"pm": {"user": "bob", "content": "not for alice"}}), "{paths:?}");
        let file = w.end().await;
        assert_eq!(file.number("SELECT count(*) FROM outbound_messages WHERE sent").await, 2);
    }
}

#[tokio::test]
async fn place_17_a_message_to_the_channel_is_said_once_within_the_interval() {
    for paths in PATHS {
        let mut w = World::new(paths).await;
        w.event(json!({"event": "connect"})).await;
        for content in ["one", "two"] {
            w.db.outbound_enqueue(None, content).await.unwrap();
            assert_eq!(w.hears().await, json!({"say": content}), "{paths:?}");
        }
        let file = w.end().await;
        assert_eq!(file.number("SELECT count(*) FROM outbound_messages WHERE sent").await, 2);
    }
}

#[tokio::test]
async fn who_came_and_went_unseen_is_made_good_by_the_list() {
    for paths in PATHS {
        let mut w = World::new(paths).await;
        w.event(joins("bob", 0)).await;
        w.until(
            "bob is here",
            "SELECT count(*) FROM user_stats_now WHERE current_session_start IS NOT NULL",
            1,
        )
        .await;
        w.event(json!({"event": "user_list", "users": [{"username": "alice"}, {"username": "carol"}]})).await;
        let file = w.end().await;
        let here =
            "SELECT username FROM user_stats_now WHERE current_session_start IS NOT NULL ORDER BY username";
        assert_eq!(file.texts(here).await, ["alice", "carol"], "{paths:?}");
    }
}

#[tokio::test]
async fn a_recording_played_twice_has_one_effect() {
    for paths in PATHS {
        let mut w = World::new(paths).await;
        for _ in 0..2 {
            for n in 0..20 {
                let mut event = joins(&format!("user{n}"), n);
                event["id"] = json!(format!("j{n}"));
                w.event(event).await;
                w.event(json!({"event": "message", "user": "alice", "content": "hi", "timestamp": AT + n, "id": n})).await;
            }
        }
        let file = w.end().await;
        assert_eq!(file.number("SELECT count(*) FROM presence").await, 20, "{paths:?}");
        assert_eq!(
            file.number("SELECT total_chat_lines FROM user_stats_now WHERE username = 'alice'").await,
            20
        );
    }
}

#[tokio::test]
async fn the_server_stops_and_returns_and_the_bot_carries_on() {
    let mut w = World::new(Paths::Both).await;
    let mut at = 0;
    for round in 0..3 {
        if round == 1 {
            w.server.kill();
        } else if round == 2 {
            w.server.restart().await;
        }
        for _ in 0..50 {
            w.event(joins(&format!("user{at}"), at)).await;
            let event =
                json!({"event": "message", "user": "alice", "content": at.to_string(), "timestamp": AT + at});
            w.event(event).await;
            at += 1;
        }
        w.db.outbound_enqueue(None, format!("round {round}")).await.unwrap();
        assert_eq!(w.hears().await, json!({"say": format!("round {round}")}));
    }
    let file = w.end().await;
    assert_eq!(file.number("SELECT count(*) FROM presence").await, at);
    assert_eq!(file.number("SELECT count(DISTINCT message) FROM recent_chat").await, at);
    assert_eq!(file.number("SELECT total_chat_lines FROM user_stats_now WHERE username = 'alice'").await, at);
}

#[tokio::test]
async fn when_both_paths_fail_the_bot_carries_on_and_says_what_it_lost() {
    let mut w = World::new(Paths::Nats).await;
    w.server.kill();
    w.event(joins("alice", 0)).await;
    w.event(json!({"event": "message", "user": "alice", "content": "hi", "timestamp": AT})).await;
    w.event(json!({"event": "what is this"})).await;
    drop(w.channel);
    let summary = tokio::time::timeout(LIMIT, w.bot).await.expect("the bot ends").unwrap();
    assert_eq!((summary.ended, summary.bad_lines), (Ended::EndOfInput, 1));
    assert!(summary.operations_failed >= 2 && !summary.is_clean(), "{summary}");
}
