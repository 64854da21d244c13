//! The program as its operator meets it: exit codes, what it says, what it leaves behind.

mod start;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::program::{outcome, rosey};
use crate::support::*;
use serde_json::json;

#[test]
fn the_exit_code_says_what_became_of_an_operation() {
    let file = DbFile::new();
    let url = file.url();
    let db = ["--nats-url", NOWHERE, "--database-url", &url];
    let (code, text) =
        outcome(rosey(file.dir()).args(["send", "user_joined", r#"{"username":"alice"}"#]).args(db));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("{}\nvia=db ack=committed time="), "{text}");
    for (arguments, expected) in [
        (["send", "user_joined", r#"{"username":""}"#], 3),
        (["send", "no_such_thing", "{}"], 2),
        (["send", "user_joined", "[1]"], 3),
    ] {
        let (code, text) = outcome(rosey(file.dir()).args(arguments).args(db));
        assert_eq!(code, Some(expected), "{arguments:?}: {text}");
    }
    let unserved = rosey(file.dir())
        .args(["send", "user_left", r#"{"username":"alice"}"#, "--nats-url", NOWHERE])
        .output();
    assert_eq!(unserved.unwrap().status.code(), Some(4), "no database was named, and none is touched");
}

#[test]
fn a_question_creates_no_database_and_an_end_leaves_one_file() {
    let file = DbFile::new();
    let names = || {
        let dir = std::fs::read_dir(file.path().parent().unwrap()).unwrap();
        dir.map(|f| f.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let url = file.url();
    let (code, text) = outcome(rosey(file.dir()).args(["stats", "--no-nats", "--database-url", &url]));
    assert_eq!(code, Some(2), "{text}");
    assert_eq!(names(), Vec::<String>::new());
    let (code, text) =
        outcome(rosey(file.dir()).args(["tell", "alice", "hi", "--no-nats", "--database-url", &url]));
    assert_eq!(code, Some(0), "{text}");
    assert!(!names().iter().any(|name| name.ends_with("-wal")), "{:?}", names());
}

#[test]
fn a_number_where_an_address_is_wanted_is_said_with_the_file_the_line_and_what_to_write() {
    let file = DbFile::new();
    let config = file.path().with_file_name("rosey.toml");
    for (line, said) in [
        (
            "nats-url = 4222",
            "nats-url: expected an address in quotes, such as nats-url = \"nats://127.0.0.1:4222\"",
        ),
        ("[serve]\ndatabase-url = 1", "database-url: expected an address in quotes"),
        ("database-url = true", "such as database-url = \"sqlite://rosey.db\", found true"),
    ] {
        std::fs::write(&config, line).unwrap();
        let (code, text) = outcome(rosey(file.dir()).arg("serve"));
        assert!(code == Some(2) && text.contains(said) && text.contains("rosey.toml"), "{line}: {text}");
    }
}

#[tokio::test]
async fn verify_tells_right_from_wrong_by_its_exit_code_its_text_and_its_json() {
    let file = DbFile::new();
    let url = file.url();
    let send = ["send", "user_joined", r#"{"username":"alice"}"#, "--no-nats", "--database-url", &url];
    assert_eq!(outcome(rosey(file.dir()).args(send)).0, Some(0));
    let verify =
        |more: &[&str]| outcome(rosey(file.dir()).args(["verify", "--database-url", &url]).args(more));
    let json = || {
        let (code, text) = verify(&["--json"]);
        let line = text.lines().next().unwrap();
        (code, serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {text}")))
    };

    let (code, text) = verify(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("clean: ") && text.contains("right") && !text.contains("WRONG"), "{text}");
    let (code, verdict) = json();
    assert_eq!((code, &verdict["findings"], &verdict["wrong"]), (Some(0), &json!([]), &json!({})));
    assert_eq!(verdict["compared"]["joins"], 1);

    file.execute("UPDATE user_stats SET connected_ms = 1001, total_time_connected = 1").await;
    let (code, text) = verify(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("2 WRONG"), "{text}");
    assert!(text.contains("alice · connected_ms: found 1001, expected 0"), "{text}");
    assert!(text.contains("2 of ") && !text.contains("clean"), "{text}");
    let (code, verdict) = json();
    assert_eq!((code, &verdict["wrong"]), (Some(1), &json!({"user_stats": 2})));
    let finding = json!({"check": "user_stats", "row": "alice", "column": "connected_ms",
        "stands": "1001", "must_stand": "0"});
    assert!(verdict["findings"].as_array().unwrap().contains(&finding), "{verdict:#}");

    // a name is what a stranger has chosen
    file.execute("UPDATE presence SET username = 'a' || char(27) || '[2Jb'").await;
    let (code, text) = verify(&[]);
    assert_eq!(code, Some(1));
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn a_file_that_cannot_be_verified_has_an_exit_code_of_its_own() {
    let (missing, python, newer, letter) = (DbFile::new(), DbFile::new(), DbFile::new(), DbFile::new());
    std::fs::write(python.path(), "").unwrap();
    python.execute("CREATE TABLE user_stats (username TEXT)").await;
    newer.open().await.close().await;
    newer
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (4711, 'of tomorrow', 1, x'00', 1)",
        )
        .await;
    std::fs::write(letter.path(), "a letter, and no database ".repeat(100)).unwrap();
    for (file, expected, says) in [
        (missing, 2, "there is no such database"),
        (python, 4, "`rosey serve` or `rosey up` brings it there"),
        (newer, 5, "newer than this program"),
        (letter, 4, "not a database"),
    ] {
        let (code, text) = outcome(rosey(file.dir()).args(["verify", "--database-url", &file.url()]));
        assert_eq!(code, Some(expected), "{text}");
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn how_long_what_is_kept_is_said_right_or_refused_before_anything_is_touched() {
    let file = DbFile::new();
    let url = file.url();
    let chat = ["--no-nats", "--database-url", &url, "--chat", "jsonl:-"];
    for (keep, says) in [
        ("lines=5d", "\"lines\" is not one of chat, forgotten, history, kv, ledger, sent"),
        ("chat", "is not NAME=TIME"),
        ("chat=5", "is not a time"),
        ("chat=-5h", "is not a time"),
        ("chat=0h", "is not a time"),
        ("ledger=7d", "at least 8d"),
        ("chat=1h,ledger=1h", "at least 8d"),
    ] {
        for command in ["bot", "up"] {
            let (code, text) = outcome(rosey(file.dir()).arg(command).args(chat).args(["--keep", keep]));
            assert_eq!(code, Some(2), "{command} {keep}: {text}");
            assert!(text.contains(says), "{command} {keep}: {text}");
            let (code, _) = outcome(rosey(file.dir()).arg(command).args(chat).env("ROSEY_KEEP", keep));
            assert_eq!(code, Some(2), "{command} ROSEY_KEEP={keep}");
        }
    }
    assert!(!file.path().exists());
    let (code, text) =
        outcome(rosey(file.dir()).arg("bot").args(chat).args(["--keep", "chat=1h, ledger=8d,sent=2d,"]));
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_timeline_has_every_operation_once_in_the_stretch_in_which_it_ended() {
    let file = DbFile::new();
    let here = file.path().parent().unwrap().to_owned();
    // Two and a half recorded seconds, with nothing in the middle.
    let events = |second: u32| {
        (0..50)
            .map(move |n| format!("{{\"event\":\"user_join\",\"user\":\"u{n}\",\"timestamp\":{second}.5}}\n"))
    };
    std::fs::write(here.join("chat"), events(1_700_000_000).chain(events(1_700_000_002)).collect::<String>())
        .unwrap();
    let url = file.url();
    let bot = [
        "bot",
        "--no-nats",
        "--database-url",
        &url,
        "--chat",
        "jsonl:chat?speed=1",
        "--report",
        "report",
        "--outbox",
        "off",
    ];
    let (code, text) =
        outcome(rosey(file.dir()).args(bot).args(["--timeline", "timeline", "--timeline-ms", "100"]));
    assert_eq!(code, Some(0), "{text}");

    let read = |name: &str| std::fs::read_to_string(here.join(name)).unwrap();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let lines: Vec<_> = read("timeline").lines().map(json).collect();
    let report = json(&read("report"));
    let sum = |kind: &str| lines.iter().map(|line| line[kind]["db"].as_u64().unwrap()).sum::<u64>();
    let sent = |events: bool| {
        let is_event = |row: &serde_json::Value| {
            row["operation"] == "user_joined" || row["operation"] == "status_update"
        };
        let rows = report["operations"].as_array().unwrap();
        rows.iter().filter(|row| is_event(row) == events).map(|row| row["db"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((sum("events"), sum("requests")), (sent(true), sent(false)), "{report:#}");
    assert!(sum("events") > 100 && sum("requests") >= 100, "{report:#}");
    assert!(lines.iter().all(|line| line["events"]["slowest_us"].as_u64() > Some(0)
        || line["requests"]["slowest_us"].as_u64() > Some(0)));
    let at: Vec<i64> = lines.iter().map(|line| line["at"].as_i64().unwrap()).collect();
    assert!(at.is_sorted() && at.last().unwrap() - at[0] >= 1000, "{at:?}");

    let (code, text) = outcome(rosey(file.dir()).args(bot).args(["--timeline", "no/such/directory"]));
    assert!(code == Some(2) && text.contains("no/such/directory"), "{text}");
}

#[tokio::test]
async fn a_bot_that_knows_no_database_and_has_no_outbox_reads_nothing_until_there_is_a_path() {
    let (mut server, file) = (NatsServer::down(), DbFile::new());
    let mut bot = rosey(file.dir())
        .args(["bot", "--chat", "jsonl:-", "--outbox", "off", "--nats-url", &server.url()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    bot.stdin.take().unwrap().write_all(b"{\"event\":\"user_join\",\"user\":\"alice\"}\n").unwrap();
    server.restart().await;
    let _service = ServeProcess::start(&server, &file).await;
    let output = tokio::task::spawn_blocking(|| bot.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(file.number("SELECT count(*) FROM presence").await, 1);
}

/// Over which paths a bot's queries were read, once NATS served its events: (NATS, database).
async fn queries_of(mut bot: Command, file: &DbFile) -> (u64, u64) {
    let report = file.path().with_file_name("report.json");
    let mut bot = bot
        .args(["--chat", "jsonl:-", "--outbox", "off", "--database-url", &file.url(), "--report"])
        .arg(&report)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut chat = bot.stdin.take().unwrap();
    let over_nats = Arc::new(AtomicBool::new(false));
    let (seen, lines) = (Arc::clone(&over_nats), BufReader::new(bot.stderr.take().unwrap()).lines());
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            seen.fetch_or(line.contains("[NATS] is serving events"), Ordering::Release);
        }
    });
    wait_until("its events go over NATS", || {
        writeln!(chat, r#"{{"event":"user_join","user":"alice"}}"#).unwrap();
        let over_nats = over_nats.load(Ordering::Acquire);
        async move { over_nats }
    })
    .await;
    writeln!(chat, r#"{{"event":"user_list","users":["alice"]}}"#).unwrap();
    drop(chat);
    assert!(bot.wait().unwrap().success());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let rows = report["operations"].as_array().unwrap();
    let row = rows.iter().find(|row| row["operation"] == "open_sessions").expect("it asked");
    (row["nats"].as_u64().unwrap(), row["db"].as_u64().unwrap())
}

#[tokio::test]
async fn a_bot_reads_its_queries_from_the_database_where_option_environment_or_file_say_so() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&server, &file).await;
    let bot = || {
        let mut bot = rosey(file.dir());
        bot.arg("bot").env("ROSEY_NATS_URL", server.url());
        bot
    };
    let (nats, _) = queries_of(bot(), &file).await;
    assert!(nats > 0, "over NATS, if nothing is said");
    let (mut option, mut environment) = (bot(), bot());
    option.args(["--queries", "db"]);
    environment.env("ROSEY_QUERIES", "db");
    let config = file.path().with_file_name("rosey.toml");
    for (what, bot) in [("option", option), ("environment", environment), ("file", bot())] {
        if what == "file" {
            std::fs::write(&config, "[bot]\nqueries = \"db\"\n").unwrap();
        }
        let (nats, db) = queries_of(bot, &file).await;
        assert!(nats == 0 && db > 0, "{what}: {nats} over NATS, {db} from the database");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bot_has_sent_is_applied_before_its_own_service_ends() {
    let w = Durable::new().await;
    let mut up = rosey(w.file.dir())
        .args(["up", "--chat", "jsonl:-", "--nats-url", &w.server.url(), "--database-url", &w.file.url()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let nats = w.client().await;
    wait_until("the stream is there", || async { w.stored().await.is_some() }).await;
    drop(nats);
    let mut chat = up.stdin.take().unwrap();
    // What the bot does at its beginning may take either path; then it is the stream's turn.
    let mut joined = 0;
    wait_until("events go to the stream", || {
        joined += 1;
        writeln!(chat, r#"{{"event":"user_join","user":"early{joined}"}}"#).unwrap();
        chat.flush().unwrap();
        async { w.context().await.get_stream("ROSEY").await.unwrap().cached_info().state.last_sequence > 2 }
    })
    .await;
    for n in 0..500 {
        writeln!(chat, r#"{{"event":"user_join","user":"user{n}"}}"#).unwrap();
    }
    chat.flush().unwrap();
    wait_until("all have joined", || async {
        w.file.number("SELECT count(*) FROM presence").await >= joined + 500
    })
    .await;
    // The last words cannot be applied until the service has been asked whether they are; a service that cannot write may be
    // taken for absent, and is not asked then.
    let mut asked = Peer::connect(&w.server).await.listen("rosey.db.applied").await;
    let held = w.file.hold().await;
    for n in 0..100 {
        writeln!(chat, r#"{{"event":"message","user":"alice","content":"line {n}"}}"#).unwrap();
    }
    drop(chat);
    let mut ended = tokio::task::spawn_blocking(|| up.wait_with_output());
    let asked = async {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), next(&mut asked)).await;
    };
    let output = tokio::select! {
        () = asked => None,
        output = &mut ended => Some(output),
    };
    held.release().await;
    let output = match output {
        Some(output) => output,
        None => ended.await,
    };
    let output = output.unwrap().unwrap();
    // The bot asks for messages now and then; a question that met the lock has failed, and its end tells so.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)) && said.contains(" 0 lost"), "{said}");
    assert_eq!(w.stored().await, Some(0), "{said}");
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, joined + 500);
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, 100);
}
