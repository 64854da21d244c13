//! `rosey demo` as CI runs it: every fault of its story, by its counts.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::support::program::{Ran, rosey};
use serde_json::Value;

/// The demo in short, of the usual recording, which is part of the program: it is played far from its sources. Whatever it
/// leaves is in `dir`.
fn demo(dir: &Path) -> Command {
    let mut command = rosey(dir);
    command.args(["demo", "--fast"]).env("TMPDIR", dir);
    command
}

fn demo_of(session: &Path, dir: &Path) -> Command {
    let mut command = demo(dir);
    command.arg("--session").arg(session);
    command
}

/// What a demo says for machines. It must have ended well, and told its story without a bar.
fn good(command: &mut Command) -> (Value, String) {
    let Ran { code, out: json, err: told } = Ran::of(command.arg("--json"));
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {json}\n{told}"));
    assert_eq!(code, Some(0), "{told}\n{:#}\n{:#}", json["wrong"], json["phases"]);
    assert_eq!((&json["lost"], &json["doubled"]), (&0.into(), &0.into()), "{json:#}");
    assert_eq!((&json["wrong"], &json["waiting"]), (&Value::Array(Vec::new()), &0.into()));
    assert!(!told.contains('\u{1b}') && !told.contains('\r'), "a progress bar without a terminal: {told}");
    (json, told)
}

fn count(phase: &Value, kind: &str, way: &str) -> u64 {
    phase[kind][way].as_u64().unwrap()
}

/// Every operation is in one phase, whichever way it went.
fn assert_all_told(json: &Value) {
    let phases = json["phases"].as_array().unwrap();
    let operations = json["operations"].as_array().unwrap();
    for way in ["nats", "db", "outbox", "failed"] {
        let told: u64 = phases.iter().map(|p| count(p, "events", way) + count(p, "requests", way)).sum();
        let sent: u64 = operations.iter().map(|row| row[way].as_u64().unwrap()).sum();
        assert_eq!(told, sent, "{way}: {json:#}");
    }
}

/// Plays the story with NATS, in which the database is `broken` at the end; returns what was told.
fn assert_every_fault_shows_its_path(command: &mut Command, dir: &Path, broken: &str) {
    assert!(std::env::var_os("NATS_SERVER_BIN").is_some(), "no nats-server: run `cargo xtask test`");
    let (json, told) = good(command);
    let phases = json["phases"].as_array().unwrap();
    let names: Vec<&str> = phases.iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "all well",
            "server killed",
            "server back",
            "server frozen",
            "server thawed",
            "service killed",
            "service back",
            broken,
            "both down",
            "all back"
        ]
    );
    for (phase, name) in phases.iter().zip(names) {
        assert!(told.contains(&format!("/10  {name}\n")), "{told}");
        let (events, calls) = match name {
            "server killed" | "server frozen" => ("db", "db"),
            "service killed" => ("nats", "db"),
            "both down" => ("outbox", "failed"),
            name if name == broken => ("nats", "failed"),
            _ => ("nats", "nats"),
        };
        assert!(count(phase, "events", events) > 300, "{phase:#}");
        assert!(count(phase, "requests", calls) > 0, "{phase:#}");
        assert_eq!(count(phase, "events", "failed"), 0, "{phase:#}");
        if ![broken, "both down", "all back"].contains(&name) {
            assert_eq!(count(phase, "requests", "failed"), 0, "{phase:#}");
        }
    }
    assert_all_told(&json);
    assert!(json["verify"]["wrong"].as_object().unwrap().is_empty());
    assert_eq!(dir.read_dir().unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn every_fault_of_the_story_shows_its_path_and_nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    assert_every_fault_shows_its_path(&mut demo(dir.path()), dir.path(), "database locked");
}

#[test]
fn on_postgresql_the_story_kills_its_server_and_nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    assert!(std::env::var_os("POSTGRES_BIN").is_some(), "no PostgreSQL: run `cargo xtask test`");
    assert_every_fault_shows_its_path(demo(dir.path()).arg("--postgres"), dir.path(), "database killed");
}

#[test]
fn without_nats_the_outbox_bridges_a_locked_database_and_the_table_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (json, _) = good(demo(dir.path()).args(["--no-nats", "--keep", "kept"]));
    let phases = json["phases"].as_array().unwrap();
    assert_eq!(phases.len(), 3);
    assert!(count(&phases[0], "events", "db") > 1000 && count(&phases[2], "events", "db") > 1000);
    assert!(count(&phases[1], "events", "outbox") > 300, "{json:#}");
    assert_all_told(&json);
    let kept = dir.path().join("kept");
    for file in ["rosey.db", "rosey.outbox", "bot.log", "timeline.jsonl", "report.json"] {
        assert!(kept.join(file).is_file(), "{file}");
    }
    for file in kept.read_dir().unwrap().map(Result::unwrap) {
        let mode = file.metadata().unwrap().mode() & 0o777;
        assert!(!file.path().is_file() || mode == 0o600, "{:?} may be read by others: {mode:o}", file.path());
    }

    let Ran { code, err: told, .. } = Ran::of(demo(dir.path()).args(["--no-nats", "--keep", "kept"]));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("rosey.db is there already"), "{told}");
}

#[test]
fn in_a_channel_of_irc_every_line_is_kept_once_and_the_bot_answers_while_nats_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let Ran { code, out, err: told } = Ran::of(demo(dir.path()).args(["--irc", "--json"]));
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{told}"));
    assert_eq!(code, Some(0), "{told}\n{json:#}");
    assert_eq!(json, serde_json::json!({"lines": 9, "lost": 0, "doubled": 0, "mismatches": 0}), "{told}");
    let (_, killed) = told.split_once("nats-server is killed").unwrap();
    let (killed, _) = killed.split_once("nats-server is back").unwrap();
    for answer in ["bob: alice is here", "bob: kept as #1", "carol: bob said"] {
        assert!(killed.contains(answer), "{told}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn the_help_and_the_readme_say_the_same_of_fast() {
    let Ran { code, out: help, .. } = Ran::of(rosey(Path::new(".")).args(["demo", "-h"]));
    assert_eq!(code, Some(0));
    let said =
        help.lines().find_map(|line| line.trim().strip_prefix("--fast ")).unwrap().trim().to_lowercase();
    let readme = include_str!("../../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.len() > 10 && readme.contains(&format!("`--fast`: {said};")), "{said}");
}

#[test]
fn a_demo_that_cannot_be_played_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let Ran { code, err: told, .. } = Ran::of(demo(dir.path()).env_remove("NATS_SERVER_BIN").env("PATH", ""));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("--nats-server") && told.contains("--no-nats"), "{told}");
    let Ran { code, err: told, .. } = Ran::of(
        demo(dir.path()).env_remove("NGIRCD_BIN").env("PATH", "").args(["--irc", "--ngircd", "none"]),
    );
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("--ngircd") && told.contains("cargo xtask demo --irc"), "{told}");
    let Ran { code, err: told, .. } =
        Ran::of(demo_of(Path::new("nowhere.jsonl"), dir.path()).arg("--no-nats"));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("nowhere.jsonl") && told.contains("--session"), "{told}");
    let short = dir.path().join("short.jsonl");
    let line = "{\"event\":\"message\",\"user\":\"a\",\"content\":\"b\",\"timestamp\":1}\n";
    std::fs::write(&short, line).unwrap();
    let Ran { code, err: told, .. } = Ran::of(demo_of(&short, dir.path()).arg("--no-nats"));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("1 events are too few") && told.contains("--session"), "{told}");
    std::fs::remove_file(short).unwrap();
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_demo_that_went_wrong_is_no_success_and_the_logs_stay() {
    let dir = tempfile::tempdir().unwrap();
    let session = dir.path().join("session.jsonl");
    let line =
        |n| format!("{{\"event\":\"message\",\"user\":\"a\",\"content\":\"{n}\",\"timestamp\":{}}}\n", n + 1);
    let unknown = "{\"event\":\"explode\",\"timestamp\":2000}\n";
    std::fs::write(&session, (0..1200).map(line).chain([unknown.to_owned()]).collect::<String>()).unwrap();
    let Ran { code, out: shown, err: told } = Ran::of(demo_of(&session, dir.path()).arg("--no-nats"));
    assert_eq!(code, Some(1), "{told}");
    assert!(shown.contains("NOT AS IT MUST BE · bot: 1 lines of the recording were skipped"), "{shown}");
    let kept = told.lines().find_map(|line| line.strip_prefix("Database and logs are in ")).unwrap();
    assert!(Path::new(kept.trim_end_matches('.')).join("bot.log").is_file(), "{told}");
}
