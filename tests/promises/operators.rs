//! What the command line says and asks: no secrets, no commands to a terminal, JSON where JSON was asked for, and nothing
//! removed by mistake.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use async_nats::HeaderMap;
use serde_json::{Value, json};

use crate::support::program::{Ran, Running, json_lines, rosey, write};
use crate::support::*;

/// A port on which nothing listens.
const NOWHERE: &str = "nats://127.0.0.1:1";

const SECRET: &str = "hunter2";

/// Every command, with what it needs to be understood.
const COMMANDS: [&[&str]; 12] = [
    &["up", "--chat", "jsonl:-"],
    &["serve"],
    &["bot", "--chat", "jsonl:-"],
    &["send", "user_joined"],
    &["stats"],
    &["recent"],
    &["tell", "alice", "hi"],
    &["outbox"],
    &["verify"],
    &["dead"],
    &["demo"],
    &["config"],
];

fn dir_of(file: &DbFile) -> std::path::PathBuf {
    file.path().parent().unwrap().to_owned()
}

/// Runs it without blocking those who answer it.
async fn run(command: &mut Command) -> Ran {
    let mut taken = Command::new(command.get_program());
    taken.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => taken.env(name, value),
            None => taken.env_remove(name),
        };
    }
    taken.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || Ran::of(&mut taken)).await.unwrap()
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_by_its_place_and_never_by_its_text() {
    let dir = tempfile::tempdir().unwrap();
    for (config, place) in [
        ("\nnats-url = \"nats://me:hunter2@host\n", "rosey.toml:2:"),
        ("\nnats-url = nats://me:hunter2@host\n", "rosey.toml:2:"),
        ("nats-url = 'nats://me:hunter2@host' hunter2\n", "rosey.toml:1:"),
        ("\n\n  nats-urk = \"nats://me:hunter2@host\"\n", "rosey.toml:3:3: nats-urk"),
        ("nats-url = [\"nats://me:hunter2@host\"]\n", "rosey.toml:1:1: nats-url"),
        ("nats-url = { password = \"hunter2\" }\n", "rosey.toml:1:1: "),
        ("nats-url = 1979-05-27 # hunter2\n", "rosey.toml:1:1: nats-url"),
        ("json = false\nsynchronous = \"hunter2\"\n", "rosey.toml:2:1: synchronous: expected one of "),
        ("nats-timeout-ms = \"hunter2\"\n", "rosey.toml:1:1: nats-timeout-ms"),
        ("log-format = \"hunter2\"\n", "rosey.toml:1:1: log-format"),
        ("nats-url = \"a\"\nnats-url = \"nats://me:hunter2@host\"\n", "rosey.toml:2:"),
        ("[serve]\nnats-urk = \"nats://me:hunter2@host\"\n", "rosey.toml:2:1: nats-urk in [serve]"),
        ("[serve]\njetstream = \"hunter2\"\n", "rosey.toml:2:1: jetstream: expected one of "),
        ("[serf]\nnats-url = \"nats://me:hunter2@host\"\n", "rosey.toml:1:2: [serf]"),
        ("[serve.deep]\nnats-url = \"nats://me:hunter2@host\"\n", "rosey.toml:1:"),
        ("[[serve]]\nnats-url = \"nats://me:hunter2@host\"\n", "rosey.toml:1:"),
        ("hunter2\n", "rosey.toml:1:"),
    ] {
        write(&dir.path().join("rosey.toml"), config);
        for more in [&[][..], &["--json"], &["--log-format", "json"]] {
            let ran = Ran::of(rosey(dir.path()).args(["stats"]).args(more));
            assert!(ran.code == Some(2) && ran.err.contains(place), "{config}: {}", ran.all());
            assert!(!ran.all().contains(SECRET), "{config}: {}", ran.all());
        }
    }
}

#[tokio::test]
async fn no_password_of_an_address_is_shown_in_an_error_the_log_or_the_help() {
    let file = DbFile::new();
    let dir = dir_of(&file);
    let mut commands = Vec::new();
    for url in [
        "nats://me:hunter2",
        "nats://me:hunter2@",
        "nats://me:hunter2@:4222",
        "nats://me:p%40hunter2@127.0.0.1:1",
        "nats://hunter2@127.0.0.1:1",
        "tls://me:hunter2@127.0.0.1:1/",
        "nats://127.0.0.1:1,nats://me:hunter2@127.0.0.1:1",
        "nats://me:hunter2@127.0.0.1:1, nats://127.0.0.1:1",
        "me:hunter2@127.0.0.1:1",
        "nats://me:hunter2@127.0.0.1:port",
    ] {
        let send = ["send", "user_joined", r#"{"username":"alice"}"#];
        let mut of_option = rosey(&dir);
        of_option.args(send).args(["--nats-url", url, "--log", "debug,async_nats=trace"]);
        let mut as_json = rosey(&dir);
        as_json.args(send).args(["--json", "--log", "trace"]).env("NATS_URL", url);
        let mut help = rosey(&dir);
        help.args(["serve", "--help"]).env("ROSEY_NATS_URL", url).env("ROSEY_DATABASE_URL", url);
        let mut shared = rosey(&dir);
        shared.args(["up", "--help"]).env("NATS_URL", url).env("DATABASE_URL", url).env("ROSEY_CHAT", url);
        let mut config = rosey(&dir);
        config.arg("config").env("NATS_URL", url).env("ROSEY_DATABASE_URL", url);
        let mut config_json = rosey(&dir);
        config_json.args(["config", "serve", "--nats-url", url, "--json"]);
        commands.extend([of_option, as_json, help, shared, config, config_json]);
        let mut misplaced = rosey(&dir);
        misplaced.args(["serve", url]);
        if url.contains("://") {
            commands.push(misplaced);
        }
        let mut database = rosey(&dir);
        database.args(["verify", "--database-url", url]);
        if url.contains("://") {
            commands.push(database);
        }
    }
    for command in &mut commands {
        let ran = run(command).await;
        assert!(!ran.all().contains(SECRET), "{command:?}: {}", ran.all());
    }
}

#[test]
fn an_option_of_a_command_may_stand_anywhere_behind_it() {
    let file = DbFile::new();
    let (dir, url) = (dir_of(&file), file.url());
    let joined = ["send", "user_joined", r#"{"username":"alice"}"#, "--no-nats", "--database-url", &url];
    assert_eq!(Ran::of(rosey(&dir).args(joined)).code, Some(0));
    for line in [
        "dead list --database-url URL",
        "dead --database-url URL list",
        "dead list --synchronous full --database-url URL --json",
        "dead --json list --database-url URL",
        "--json dead list --database-url URL",
        "dead drop --database-url URL --all --yes",
        "dead --database-url URL retry --all",
        "outbox list --outbox x.outbox",
        "outbox --outbox x.outbox list --json",
        "outbox --json --outbox x.outbox",
        "outbox list --nats-url nats://a --database-url URL --no-nats",
        "verify --json --database-url URL --log off",
        "stats alice --no-nats --database-url URL",
        "stats --no-nats --database-url URL -- alice",
    ] {
        let words: Vec<&str> = line.split(' ').map(|word| if word == "URL" { &*url } else { word }).collect();
        let ran = Ran::of(rosey(&dir).args(&words));
        assert_eq!(ran.code, Some(0), "{line}: {}", ran.all());
    }
    // And the file may name them too.
    write(&dir.join("rosey.toml"), &format!("database-url = \"{url}\"\n"));
    assert_eq!(Ran::of(rosey(&dir).args(["dead", "list"])).code, Some(0));
}

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
            let ran = run(bot.args(json)).await;
            json_lines(&ran.out);
            let last = json_lines(&ran.err).pop().unwrap();
            assert!(last["summary"].is_object() && last["exit"].is_number(), "{last}");
        }
        for wrong in [&["nonsense"][..], &["serve", "--nats-url", "nats://a:b"], &["serve", "--log", "a=b=c"]]
        {
            let ran = run(rosey(&dir).args(wrong).args(json)).await;
            assert!(json_lines(&ran.err).pop().unwrap()["exit"] == 2, "{}", ran.err);
        }
    }
}

/// The names of the variables that the help of a command names.
fn variables(dir: &Path, command: &str) -> BTreeSet<String> {
    let help = Ran::of(rosey(dir).args([command, "--help"])).out;
    let names = help.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap().to_owned());
    names.collect()
}

#[test]
fn a_blank_variable_is_an_unset_one_for_every_option_of_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for words in COMMANDS {
        let names = variables(dir.path(), words[0]);
        assert!(names.len() >= 4, "{words:?}: {names:?}");
        let config = |blank: Option<&str>| {
            let mut command = rosey(dir.path());
            command.arg("config").args(words).arg("--json").env_remove("NATS_SERVER_BIN");
            if let Some(blank) = blank {
                command.envs(names.iter().map(|name| (name, blank)));
                command.env("NATS_URL", blank).env("DATABASE_URL", blank);
            }
            let ran = Ran::of(&mut command);
            assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.all());
            json_lines(&ran.out).remove(0)
        };
        let unset = config(None);
        assert!(unset["options"].as_object().unwrap().len() >= 4, "{unset}");
        for blank in ["", "  ", "\t"] {
            assert_eq!(config(Some(blank)), unset, "{words:?}");
        }
        seen.extend(names);
    }
    for name in [
        "ROSEY_JSON",
        "ROSEY_NO_NATS",
        "ROSEY_TAKEOVER",
        "ROSEY_DATABASE_URL",
        "ROSEY_YES",
        "NATS_SERVER_BIN",
    ] {
        assert!(seen.contains(name), "{name}: {seen:?}");
    }
    // What the file says counts then, switches as well.
    write(&dir.path().join("rosey.toml"), "json = true\nnats-url = \"nats://filehost\"\nkeep = \"\"\n");
    let blank = [("ROSEY_JSON", ""), ("ROSEY_NATS_URL", ""), ("NATS_URL", ""), ("ROSEY_CONFIG", " ")];
    let ran = Ran::of(rosey(dir.path()).args(["config", "serve"]).envs(blank));
    let config = json_lines(&ran.out).remove(0);
    assert_eq!(config["options"]["nats-url"], json!({"value": "nats://filehost", "from": "rosey.toml:2"}));
    assert_eq!(config["options"]["keep"]["from"], "default");
}

#[test]
fn config_says_what_is_in_force_and_who_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file =
        "nats-url = \"nats://me:hunter2@filehost\"\nlog = \"debug\"\n[bot]\nnats-url = \"nats://bothost\"\n";
    write(&dir.path().join("rosey.toml"), file);
    let config = |words: &[&str], variables: &[(&str, &str)]| {
        let ran = Ran::of(
            rosey(dir.path()).arg("config").args(words).arg("--json").envs(variables.iter().copied()),
        );
        assert!(ran.code == Some(0) && !ran.all().contains(SECRET), "{}", ran.all());
        json_lines(&ran.out).remove(0)["options"].take()
    };
    let said = |value: &str, from: &str| json!({"value": value, "from": from});
    let options = config(&["serve"], &[]);
    assert_eq!(options["nats-url"], said("nats://***@filehost", "rosey.toml:1"));
    assert_eq!(options["log"], said("debug", "rosey.toml:2"));
    assert_eq!(options["jetstream"], said("auto", "default"));
    assert_eq!(options["database-url"], json!({"value": null, "from": "default"}));
    assert_eq!(config(&["bot"], &[])["nats-url"], said("nats://bothost", "rosey.toml:4"));
    // What other programs say counts before the file, in each of its parts.
    let shared = [("NATS_URL", "nats://shared")];
    assert_eq!(config(&["bot"], &shared)["nats-url"], said("nats://shared", "NATS_URL"));
    let own = [("NATS_URL", "nats://shared"), ("ROSEY_NATS_URL", "nats://own")];
    assert_eq!(config(&["bot"], &own)["nats-url"], said("nats://own", "ROSEY_NATS_URL"));
    let options = config(&["serve", "--nats-url", "nats://option"], &own);
    assert_eq!(options["nats-url"], said("nats://option", "command line"));
    let text = Ran::of(rosey(dir.path()).arg("config")).out;
    assert!(text.contains("nats://***@filehost  (rosey.toml:1)"), "{text}");
}

/// Whether a text holds a character that a terminal may obey, or that is not to be seen.
fn hidden(text: &str) -> Option<char> {
    text.chars().find(|c| {
        (c.is_control() && *c != '\n')
            || matches!(*c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    })
}

/// The name of a stranger: all of them.
const STRANGER: &str = "a\u{9b}31m\u{202e}b\u{2066}\u{2069}\u{200f}\u{61c}\u{2028}\u{2029}\u{200b}\u{feff}c";

#[tokio::test]
async fn what_strangers_wrote_commands_no_terminal_in_any_command() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let dir = dir_of(&file);
    let mut serve = rosey(&dir);
    serve.args(["serve", "--nats-url", &server.url(), "--database-url", &file.url()]);
    let serve = Running::start(&mut serve);
    serve.says("serving").await;
    let peer = Peer::connect(&server).await;
    let line = json!({"username": STRANGER, "message": format!("{STRANGER}\u{1b}]0;x\u{7}")}).to_string();
    assert_eq!(peer.request("rosey.db.user.joined", line.clone()).await.refusal(), None);
    assert_eq!(peer.request("rosey.db.message.log", line.clone()).await.refusal(), None);
    // What cannot be understood is kept as it came, and the log tells of it.
    let mut headers = HeaderMap::new();
    headers.insert("X-Stranger", STRANGER);
    let garbage = format!("{{\"username\": 1, \"{STRANGER}\": \u{1b}[2J");
    assert!(peer.request_with("rosey.db.user.joined", headers, garbage).await.refusal().is_some());
    wait_until("dead letters", || async { file.buried().await >= 1 }).await;

    let url = file.url();
    let db = ["--no-nats", "--database-url", &url];
    let recent = ["send", "recent_chat", r#"{"limit":5}"#];
    let mut lines: Vec<Vec<&str>> = vec![
        [&["recent"][..], &db].concat(),
        [&["stats"][..], &db].concat(),
        [&["stats", STRANGER][..], &db].concat(),
        [&["stats", "\u{202e}unknown"][..], &db].concat(),
        [&["tell", STRANGER, "hi"][..], &db].concat(),
        [&recent[..], &db].concat(),
        vec!["verify", "--database-url", &url],
        vec!["dead", "list", "--database-url", &url],
        vec!["dead", "show", "1", "--database-url", &url],
        vec!["dead", "retry", "--all", "--database-url", &url],
    ];
    // And what is wrong is told in the same way.
    lines.push(vec!["send", "user_joined", "\u{202e}", "--no-nats", "--database-url", &url]);
    lines.push(vec!["outbox", "--outbox", "\u{202e}none"]);
    lines.push(vec!["verify", "--database-url", "sqlite://\u{202e}none"]);
    for line in lines {
        for json in [&[][..], &["--json"], &["--log", "trace"]] {
            let ran = run(rosey(&dir).args(&line).args(json)).await;
            assert_eq!(hidden(&ran.all()), None, "{line:?}: {}", ran.all().escape_debug());
            if json == ["--json"] {
                json_lines(&ran.out);
            }
        }
    }
    // JSON means what was written.
    let ran = run(rosey(&dir).args(["recent", "--json"]).args(db)).await;
    assert_eq!(json_lines(&ran.out)[0][0]["username"], STRANGER, "{}", ran.out);
    serve.signal("-TERM");
    let (_, _, err) = serve.ends().await;
    assert!(err.contains("refused"), "{err}");
    assert_eq!(hidden(&err), None, "{}", err.escape_debug());
}

#[tokio::test]
async fn times_say_that_they_are_utc() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let dir = dir_of(&file);
    let mut serve = rosey(&dir);
    serve.args(["serve", "--nats-url", &server.url(), "--database-url", &file.url()]);
    let serve = Running::start(&mut serve);
    serve.says("serving").await;
    let peer = Peer::connect(&server).await;
    peer.request("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    peer.request("rosey.db.message.log", r#"{"username":"alice","message":"hi"}"#).await;
    peer.request("rosey.db.user.joined", "garbage").await;
    wait_until("a dead letter", || async { file.buried().await == 1 }).await;
    let url = file.url();
    let db = ["--no-nats", "--database-url", &url];
    let mut shown = Vec::new();
    for line in [&["recent"][..], &["stats", "alice"], &["stats"]] {
        shown.push(run(rosey(&dir).args(line).args(db)).await);
    }
    for line in [["dead", "list", "-n1"], ["dead", "show", "1"]] {
        shown.push(run(rosey(&dir).args(line).args(["--database-url", &url])).await);
    }
    for ran in &shown {
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        // Each time of day ends in UTC, or a Z.
        for word in ran.out.split("UTC") {
            let times =
                word.split_whitespace().filter(|w| w.len() == 8 && w.matches(':').count() == 2).count();
            assert!(times <= 1, "{}", ran.out);
            let rest = word.trim_end();
            assert!(times == 0 || rest.ends_with(|c: char| c.is_ascii_digit()), "{}", ran.out);
        }
    }
    assert!(shown.iter().filter(|ran| ran.out.contains(" UTC")).count() >= 4);
    serve.signal("-TERM");
    let (_, _, err) = serve.ends().await;
    assert!(err.lines().next().unwrap().split_whitespace().next().unwrap().ends_with('Z'), "{err}");
}

#[tokio::test]
async fn nothing_is_removed_for_good_without_a_yes_and_it_is_said_how_much_it_is() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (dir, url) = (dir_of(&file), file.url());
    let service = ServeProcess::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    for _ in 0..3 {
        peer.request("rosey.db.user.joined", "garbage").await;
    }
    wait_until("dead letters", || async { file.buried().await == 3 }).await;
    assert_eq!(service.terminate().await, Some(0));
    let dead = |words: &[&str]| Ran::of(rosey(&dir).args(["dead", "--database-url", &url]).args(words));
    for words in [&["drop", "--all"][..], &["drop", "--all", "--json"]] {
        let ran = dead(words);
        assert_eq!(ran.code, Some(2), "{}", ran.all());
        assert!(ran.err.contains("3 dead letters") && ran.err.contains("--yes"), "{}", ran.err);
    }
    assert_eq!(file.buried().await, 3);
    // One that is named was looked at.
    assert_eq!(dead(&["drop", "1"]).code, Some(0));
    let ran = dead(&["drop", "--all", "--yes"]);
    assert!(ran.code == Some(0) && ran.out.ends_with("2 dead letters dropped\n"), "{}", ran.all());
    assert_eq!(file.buried().await, 0);
    let ran = dead(&["drop", "--all", "--json"]);
    assert_eq!((ran.code, json_lines(&ran.out)), (Some(0), vec![json!({"dropped": 0})]), "{}", ran.all());

    // Events that wait in an outbox: nothing serves, and they are kept.
    let session = dir.join("session.jsonl");
    write(&session, "{\"event\":\"message\",\"user\":\"alice\",\"content\":\"hi\",\"timestamp\":1}\n");
    let chat = format!("jsonl:{}?shift=now&speed=max", session.display());
    let bot =
        Ran::of(rosey(&dir).args(["bot", "--chat", &chat, "--nats-url", NOWHERE, "--outbox", "kept.outbox"]));
    let outbox =
        |words: &[&str]| Ran::of(rosey(&dir).args(["outbox", "--outbox", "kept.outbox"]).args(words));
    let waiting = || json_lines(&outbox(&["--json"]).out)[0]["waiting"].as_u64().unwrap();
    let kept = waiting();
    assert!(kept > 0, "{}", bot.all());
    for words in [&["--drop"][..], &["drop"], &["drop", "waiting"], &["--drop", "--json"]] {
        let ran = outbox(words);
        assert_eq!(ran.code, Some(2), "{}", ran.all());
        assert!(ran.err.contains(&format!("{kept} operations")) && ran.err.contains("--yes"), "{}", ran.err);
    }
    assert_eq!(waiting(), kept);
    assert!(outbox(&[]).out.contains(" UTC"), "{}", outbox(&[]).out);
    assert_eq!(outbox(&["drop", "--yes"]).code, Some(0));
    assert_eq!(waiting(), 0);
}
