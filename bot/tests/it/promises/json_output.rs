//! JSON where JSON was asked for: results on stdout, a failure as the last line of stderr.

use serde_json::{Value, json};

use crate::support::program::{Ran, Running, dir_of, finished, json_lines, rosey, write};
use crate::support::*;

/// What a failure says for machines: one object, the last line of stderr; nothing else is on stdout.
fn failure(ran: &Ran) -> Value {
    json_lines(&ran.out);
    let last = ran.err.lines().last().unwrap_or_else(|| panic!("nothing was said: {}", ran.out));
    let object: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {}", ran.all()));
    assert!(object["error"].as_str().is_some_and(|error| !error.is_empty()), "{object}");
    assert_eq!(object["exit"].as_i64().map(|exit| i32::try_from(exit).unwrap()), ran.code, "{object}");
    object
}

#[test]
fn with_json_every_result_and_every_failure_is_json() {
    let file = DbFile::new();
    let (dir, url) = (dir_of(&file), file.url());
    let db = ["--no-nats", "--database-url", &url];
    let json = |arguments: &[&str]| Ran::of(rosey(&dir).args(arguments).arg("--json"));
    let with_db = |arguments: &[&str]| json(&[arguments, &db].concat());
    let joined = r#"{"username":"alice"}"#;
    for ran in [
        with_db(&["send", "user_joined", joined]),
        with_db(&["stats"]),
        with_db(&["stats", "alice"]),
        with_db(&["stats", "unknown"]),
        with_db(&["recent"]),
        with_db(&["tell", "alice", "hi"]),
        with_db(&["forget", "alice", "--yes"]),
        json(&["verify", "--database-url", &url]),
        json(&["dead", "list", "--database-url", &url]),
        json(&["dead", "drop", "--all", "--database-url", &url]),
        json(&["outbox"]),
        json(&["config"]),
        json(&["completions", "bash"]),
    ] {
        assert!(ran.code == Some(0) && ran.err.is_empty(), "{}", ran.all());
        assert_eq!(json_lines(&ran.out).len(), 1, "{}", ran.out);
    }
    for (code, class, ran) in [
        ("invalid", json!("rejected"), with_db(&["send", "user_joined", r#"{"username":""}"#])),
        ("unavailable", json!("not_sent"), json(&["send", "user_left", joined, "--nats-url", NOWHERE])),
        ("unavailable", json!("not_sent"), json(&["stats", "--nats-url", NOWHERE])),
        ("unavailable", json!("not_sent"), json(&["recent", "--nats-url", NOWHERE])),
        ("usage", Value::Null, with_db(&["send", "nonsense"])),
        ("usage", Value::Null, with_db(&["tell", "alice"])),
        ("usage", Value::Null, with_db(&["forget", "alice"])),
        ("usage", Value::Null, with_db(&["stats", "--nonsense"])),
        ("usage", Value::Null, with_db(&["recent", "-n", "many"])),
        ("usage", Value::Null, with_db(&["recent", "--nats-timeout-ms", "0"])),
        ("usage", Value::Null, json(&["nonsense"])),
        ("usage", Value::Null, json(&[])),
        ("usage", Value::Null, json(&["dead"])),
        ("usage", Value::Null, json(&["config", "nonsense"])),
        ("failed", Value::Null, json(&["dead", "show", "7", "--database-url", &url])),
        ("usage", Value::Null, json(&["dead", "drop", "--database-url", &url])),
        ("usage", Value::Null, json(&["dead", "list", "--database-url", "sqlite://none.db"])),
        ("usage", Value::Null, json(&["verify", "--database-url", "sqlite://none.db"])),
        ("usage", Value::Null, json(&["outbox", "--drop"])),
        ("usage", Value::Null, json(&["outbox", "replay"])),
        ("usage", Value::Null, json(&["outbox", "--retry", "x", "--outbox", "none.outbox"])),
        ("usage", Value::Null, json(&["demo", "--session", "nowhere.jsonl", "--no-nats"])),
        ("usage", Value::Null, json(&["serve", "--database-url", "sqlite://no/such/folder/x.db"])),
        ("usage", Value::Null, json(&["bot", "--chat", "nonsense", "--no-nats", "--database-url", &url])),
        ("usage", Value::Null, json(&["up", "--chat", "nonsense", "--no-nats", "--database-url", &url])),
        ("usage", Value::Null, json(&["serve", "--log", "a=b=c"])),
    ] {
        let object = failure(&ran);
        assert_eq!((&object["code"], &object["class"]), (&json!(code), &class), "{object}");
    }
    // The environment asks as well.
    failure(&Ran::of(rosey(&dir).arg("nonsense").env("ROSEY_JSON", "1")));
    // And the file.
    write(&dir.join("json.toml"), "json = true\n");
    failure(&Ran::of(rosey(&dir).args(["nonsense", "--config", "json.toml"])));
    let text = Ran::of(rosey(&dir).arg("nonsense").env("ROSEY_JSON", "0"));
    assert!(text.err.starts_with("error: "), "{}", text.err);
}

#[test]
fn an_outbox_that_is_not_there_has_no_file_and_says_which_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let ran = Ran::of(rosey(dir.path()).args(["outbox", "--json", "--outbox", "none.outbox"]));
    let listing = &json_lines(&ran.out)[0];
    assert_eq!(
        (&listing["file"], &listing["missing"], &listing["waiting"]),
        (&Value::Null, &json!("none.outbox"), &json!(0))
    );
}

#[tokio::test]
async fn a_log_in_json_is_json_to_its_last_line() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let dir = dir_of(&file);
    for json in
        [&["--log-format", "json"][..], &["--json"], &["--json", "--log-format", "json", "--log", "debug"]]
    {
        let mut serve = rosey(&dir);
        serve.args(["serve", "--nats-url", &server.url(), "--database-url", &file.url()]).args(json);
        let serve = Running::start(&mut serve);
        serve.says("serving").await;
        serve.signal("-TERM");
        let (code, _, err) = serve.ends().await;
        assert_eq!(code, Some(0), "{err}");
        let last = json_lines(&err).pop().unwrap();
        assert_eq!((&last["served"]["taken"], &last["exit"]), (&json!(0), &json!(0)), "{last}");
        assert!(last["message"].as_str().unwrap().starts_with("stopped: "), "{last}");
        assert!(last["timestamp"].as_str().unwrap().ends_with('Z') && last["level"] == "INFO", "{last}");

        let session = dir.join("session.jsonl");
        write(
            &session,
            "{\"event\":\"message\",\"user\":\"alice\",\"content\":\"hi\",\"timestamp\":1}\nnonsense\n",
        );
        for command in ["bot", "up"] {
            let chat = format!("jsonl:{}?shift=now&speed=max", session.display());
            let mut bot = rosey(&dir);
            bot.args([
                command,
                "--no-nats",
                "--outbox",
                "off",
                "--chat",
                &chat,
                "--database-url",
                &file.url(),
            ]);
            let ran = finished(bot.args(json)).await;
            json_lines(&ran.out);
            let last = json_lines(&ran.err).pop().unwrap();
            assert!(last["summary"].is_object() && last["exit"].is_number(), "{last}");
        }
        for wrong in [&["nonsense"][..], &["serve", "--nats-url", "nats://a:b"], &["serve", "--log", "a=b=c"]]
        {
            let ran = finished(rosey(&dir).args(wrong).args(json)).await;
            assert!(json_lines(&ran.err).pop().unwrap()["exit"] == 2, "{}", ran.err);
        }
    }
}

#[tokio::test]
async fn a_failure_after_results_is_the_last_line_of_stderr_too() {
    let (file, other) = (DbFile::new(), DbFile::new());
    let (dir, url) = (dir_of(&file), file.url());
    let sent = ["send", "user_joined", r#"{"username":"alice"}"#, "--no-nats", "--database-url", &url];
    assert_eq!(Ran::of(rosey(&dir).args(sent)).code, Some(0));
    file.execute("UPDATE user_stats SET connected_ms = 1001").await;
    // An event that no path takes waits in the outbox.
    let bot = ["bot", "--chat", "jsonl:-", "--nats-url", NOWHERE, "--outbox", "kept.outbox"];
    let chat = dir.join("chat.jsonl");
    write(&chat, "{\"event\":\"message\",\"user\":\"alice\",\"content\":\"hi\",\"timestamp\":1}\n");
    let source = format!("jsonl:{}?shift=now&speed=max", chat.display());
    Ran::of(
        rosey(&dir).args(bot).args(["--chat", &source]).args(&["--log", "off"][..]).env_remove("ROSEY_CHAT"),
    );
    let mut with_chat = rosey(&dir);
    with_chat.args(["bot", "--chat", &source, "--nats-url", NOWHERE, "--outbox", "kept.outbox"]);
    Ran::of(&mut with_chat);
    other.open().await.close().await;
    for (exit, results, words) in [
        (1, 1, vec!["verify", "--database-url", &url]),
        (1, 1, vec!["dead", "drop", "99", "--database-url", &url]),
        (1, 2, vec!["dead", "drop", "98", "99", "--database-url", &url]),
        (1, 1, vec!["dead", "retry", "99", "--database-url", &url]),
        (1, 2, vec!["dead", "retry", "98", "99", "--database-url", &url]),
        (1, 1, vec!["outbox", "retry", "none", "--outbox", "kept.outbox"]),
        (4, 1, vec!["outbox", "--replay", "--outbox", "kept.outbox", "--nats-url", NOWHERE]),
        (2, 0, vec!["outbox", "--replay", "--outbox", "none.outbox"]),
    ] {
        for before in [true, false] {
            let mut command = rosey(&dir);
            if before {
                command.arg("--json").args(&words);
            } else {
                command.args(&words).arg("--json");
            }
            let ran = Ran::of(&mut command);
            let object = failure(&ran);
            assert_eq!(ran.code, Some(exit), "{words:?}: {object}");
            assert_eq!(json_lines(&ran.out).len(), results, "{words:?}: {}", ran.out);
        }
        let text = Ran::of(rosey(&dir).args(&words));
        assert!(text.err.lines().last().unwrap().starts_with("rosey: "), "{words:?}: {}", text.err);
    }
}

#[test]
fn what_is_wrong_with_a_command_line_is_json_wherever_json_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let json = |words: &[&str]| Ran::of(rosey(dir.path()).args(words));
    for words in [
        &["--json=3", "stats"][..],
        &["--json", "--nonsense"],
        &["--json", "stats", "--log-format", "xml"],
        &["--json", "completions", "fish shell"],
        &["--json", "help", "nonsense"],
        &["--json", "send", "user_joined", "--at", "x"],
        &["--json", "dead", "show", "x"],
        &["--json", "bot"],
        &["--json", "config", "serve", "--keep", "nonsense"],
        &["--json", "config", "nonsense"],
        &["--json", "stats", "--config", "none.toml"],
        &["--json", "stats", "--config"],
        &["--json", "stats", "--nats-url", " "],
    ] {
        let ran = json(words);
        assert_eq!((ran.code, &failure(&ran)["code"]), (Some(2), &json!("usage")), "{words:?}");
        assert_eq!(ran.err.lines().count(), 1, "{words:?}: {}", ran.err);
    }
    // The file asks, for all commands or for one; and a log in JSON has no other lines.
    for (config, words) in [
        ("json = true", &["stats", "--nonsense"][..]),
        ("[stats]\njson = true", &["stats", "--nonsense"]),
        ("log-format = \"json\"", &["stats", "--nonsense"]),
        ("json = true\nnonsense = 1", &["stats"]),
        ("log-format = \"json\"\nnonsense = 1", &["serve"]),
    ] {
        write(&dir.path().join("rosey.toml"), config);
        let ran = json(words);
        assert_eq!(ran.code, Some(2));
        assert_eq!(json_lines(&ran.err).pop().unwrap()["exit"], 2, "{config}: {}", ran.err);
    }
    // What was asked for in words is told in words.
    for words in [["--json", "--version"], ["--json", "--help"]] {
        let ran = json(&words);
        assert!(ran.code == Some(0) && ran.out.contains("rosey"), "{}", ran.all());
    }
}
