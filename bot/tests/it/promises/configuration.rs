//! Options, environment and configuration file: what counts, who says so, and what is refused.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::support::program::{Ran, Running, dir_of, json_lines, rosey, shell, write};
use crate::support::*;

const SECRET: &str = "hunter2";

/// Every command, with what it needs to be understood.
const COMMANDS: [&[&str]; 17] = [
    &["up", "--chat", "jsonl:-"],
    &["serve"],
    &["bot", "--chat", "jsonl:-"],
    &["send", "user_joined"],
    &["stats"],
    &["recent"],
    &["tell", "alice", "hi"],
    &["seen", "alice"],
    &["leaderboard"],
    &["quote"],
    &["inbox", "alice"],
    &["forget", "alice"],
    &["outbox"],
    &["verify"],
    &["dead"],
    &["demo"],
    &["config"],
];

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
            command
                .arg("config")
                .args(words)
                .arg("--json")
                .env_remove("NATS_SERVER_BIN")
                .env_remove("POSTGRES_BIN")
                .env_remove("NGIRCD_BIN");
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
        "POSTGRES_BIN",
        "NGIRCD_BIN",
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
    assert_eq!(options["database-url"], said("sqlite://rosey.db", "default"));
    assert_eq!(config(&["bot"], &[])["nats-url"], said("nats://bothost", "rosey.toml:4"));
    // What other programs say counts before the file, in each of its parts.
    let shared = [("NATS_URL", "nats://shared")];
    assert_eq!(config(&["bot"], &shared)["nats-url"], said("nats://shared", "NATS_URL"));
    let own = [("NATS_URL", "nats://shared"), ("ROSEY_NATS_URL", "nats://own")];
    assert_eq!(config(&["bot"], &own)["nats-url"], said("nats://own", "ROSEY_NATS_URL"));
    let options = config(&["serve", "--nats-url", "nats://option"], &own);
    assert_eq!(options["nats-url"], said("nats://option", "command line"));
    let variable = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let receiver = config(&["up"], &[(variable, "http://receiver:4318")])["otlp-endpoint"].take();
    assert_eq!(receiver, said("http://receiver:4318", variable));
    let text = Ran::of(rosey(dir.path()).arg("config")).out;
    assert!(text.contains("nats://***@filehost  (rosey.toml:1)"), "{text}");
}

#[test]
fn config_refuses_what_the_command_would_refuse_and_names_every_place() {
    let dir = tempfile::tempdir().unwrap();
    write(
        &dir.path().join("rosey.toml"),
        "nats-urk = \"x\"\nlog = \"loud\"\nnats-timeout-ms = 0\n[serve]\nkeep = \"chat\"\nchannel = \"x\"\n[serf]\nx = 1\n",
    );
    let variables =
        [("ROSEY_SYNCHRONOUS", "never"), ("ROSEY_NO_NATS", "maybe"), ("DATABASE_URL", "mysql://host/db")];
    let config = |words: &[&str]| Ran::of(rosey(dir.path()).arg("config").args(words).envs(variables));
    let ran = config(&["bot", "--chat", "irc", "--file-mode", "rw", "--queries=both", "--name="]);
    assert!(ran.code == Some(2) && ran.out.is_empty(), "{}", ran.all());
    for place in [
        "rosey.toml:1:1: nats-urk: there is no such option",
        "rosey.toml:2:1: log: expected off, error",
        "rosey.toml:3:1: nats-timeout-ms: a whole number",
        "rosey.toml:5:1: keep: this value is not NAME=TIME, as in chat=150h",
        "rosey.toml:6:1: channel in [serve]: `rosey serve` has no such option",
        "rosey.toml:7:2: [serf]: there is no such command",
        "ROSEY_SYNCHRONOUS: synchronous: expected one of normal, full",
        "ROSEY_NO_NATS: no-nats: expected yes or no",
        "DATABASE_URL: database-url: only SQLite and PostgreSQL are supported",
        "--chat: ",
        "--file-mode: ",
        "--queries: expected one of nats, db, found \"both\"",
        "--name: the value is blank",
    ] {
        assert!(ran.err.contains(place), "{place}: {}", ran.err);
    }
    // In the order of the file.
    let lines: Vec<&str> = ran.err.lines().filter(|line| line.contains("rosey.toml:")).collect();
    assert!(lines.len() == 6 && lines.is_sorted(), "{}", ran.err);
    // Nothing else is wrong, and as JSON it is one object.
    assert_eq!(ran.err.lines().count(), 14, "{}", ran.err);
    let ran = config(&["bot", "--json"]);
    assert_eq!(json_lines(&ran.err).len(), 1, "{}", ran.err);
    std::fs::remove_file(dir.path().join("rosey.toml")).unwrap();

    // Whatever `config` takes, the command takes; and the other way round.
    for (words, says) in [
        (&["serve", "--keep", "lines=5d"][..], "is not one of chat, forgotten, history, kv, ledger, sent"),
        (&["serve", "--keep", "ledger=1d"], "at least 8d"),
        (&["serve", "--reply-prefix", "rosey.db"], "rosey.db lies there"),
        (&["serve", "--nats-inbox-prefix", "a b"], "expected a subject"),
        (&["serve", "--nats-url", "http://host"], "only nats://"),
        (&["serve", "--database-url", "file:rosey.db"], "only SQLite"),
        (&["serve", "--log", "loud"], "expected off, error"),
        (&["bot", "--chat", "xmpp://host"], "no network `xmpp`"),
        (&["bot", "--chat", "irc://host"], "the channel follows"),
        (&["bot", "--chat", "jsonl:-", "--timeline-ms", "0"], "a whole number"),
        (&["serve", "--log", ""], "the value is blank"),
        (&["--log", "loud", "serve"], "expected off, error"),
    ] {
        let asked = Ran::of(rosey(dir.path()).arg("config").args(words));
        let command = Ran::of(rosey(dir.path()).args(words));
        assert_eq!(
            (asked.code, command.code),
            (Some(2), Some(2)),
            "{words:?}: {}",
            asked.all() + &command.all()
        );
        assert!(
            asked.err.contains(says) && command.err.contains(says),
            "{words:?}: {}",
            asked.all() + &command.all()
        );
    }
}

#[test]
fn a_value_that_is_wrong_is_said_with_the_place_that_gives_it() {
    let dir = tempfile::tempdir().unwrap();
    let said = |words: &[&str], variables: &[(&str, &str)]| {
        let ran = Ran::of(rosey(dir.path()).args(words).envs(variables.iter().copied()));
        assert_eq!(ran.code, Some(2), "{}", ran.all());
        ran.err
    };
    let serve = ["serve", "--database-url", "none/x.db"];
    let text = said(&serve, &[("ROSEY_KEEP", "chat")]);
    assert!(text.starts_with("rosey: ROSEY_KEEP: this value is not NAME=TIME"), "{text}");
    let text = said(&["verify"], &[("DATABASE_URL", "mysql://host")]);
    assert!(
        text.contains("DATABASE_URL: ") && text.contains("only SQLite and PostgreSQL are supported"),
        "{text}"
    );
    let text = said(&["serve", "--keep", "chat"], &[("ROSEY_KEEP", "chat=1h")]);
    assert!(text.contains("--keep: "), "{text}");
}

#[test]
fn a_blank_value_on_the_command_line_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    for blank in ["", " ", "\t"] {
        for (words, option) in [
            (&["stats"][..], "--nats-url"),
            (&["stats"], "--database-url"),
            (&["stats"], "--nats-credentials"),
            (&["stats"], "--nats-inbox-prefix"),
            (&["stats"], "--log"),
            (&["stats"], "--log-file"),
            (&["stats"], "--log-format"),
            (&["stats"], "--config"),
            (&["stats"], "--file-mode"),
            (&["serve"], "--keep"),
            (&["serve"], "--jetstream"),
            (&["serve"], "--reply-prefix"),
            (&["bot", "--chat", "jsonl:-"], "--name"),
            (&["bot", "--chat", "jsonl:-"], "--outbox"),
            (&["bot", "--chat", "jsonl:-"], "--report"),
            (&["bot"], "--chat"),
        ] {
            let ran = Ran::of(rosey(dir.path()).args(words).arg(format!("{option}={blank}")));
            assert!(ran.code == Some(2) && ran.err.contains(option), "{words:?} {option}: {}", ran.all());
            let says = ran.err.contains("blank") || ran.err.contains("value is required");
            assert!(says, "{words:?} {option}={blank:?}: {}", ran.all());
            assert!(
                !ran.err.contains("2 settings") && !ran.err.contains("expected one of \n"),
                "{}",
                ran.err
            );
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was created");
}

#[test]
fn a_broken_configuration_file_does_not_stop_the_help() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("rosey.toml"), "nonsense");
    for words in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        assert_eq!(Ran::of(rosey(dir.path()).args(words)).code, Some(0), "{words:?}");
    }
}

#[tokio::test]
async fn a_configuration_file_that_would_never_end_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert_eq!(Ran::of(&mut shell("mkfifo rosey.toml", dir)).code, Some(0));
    for (file, words) in [
        (None, "the configuration file rosey.toml cannot be read: that is a named pipe"),
        (Some("/dev/zero"), "it is larger than 1048576 bytes"),
    ] {
        let mut command = rosey(dir);
        command.arg("config").args(file.into_iter().flat_map(|file| ["--config", file]));
        let (code, _, said) = Running::start(&mut command).ends().await;
        assert_eq!(code, Some(2), "{file:?}: {said}");
        assert!(said.contains(words), "{file:?}: {said}");
    }
}
